/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "media.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  char   *path;
  guint64 device, inode;
  Label   label;
  gboolean raised;
} Medium;

typedef struct
{
  char    *path, *machine;
  gboolean writable;
} Claim;

struct Media
{
  Guard     *guard;
  char      *file;
  GPtrArray *media, *claims;
};

static void
medium_free (gpointer pointer)
{
  Medium *medium = pointer;

  g_free (medium->path);
  g_free (medium);
}

static void
claim_free (gpointer pointer)
{
  Claim *claim = pointer;

  g_free (claim->path);
  g_free (claim->machine);
  g_free (claim);
}

Media *
media_new (Guard *guard, GError **error)
{
  Media *self = g_new0 (Media, 1);
  g_autoptr (GKeyFile) file = NULL;
  g_auto (GStrv) groups = NULL;

  self->guard = guard;
  self->file = g_build_filename (guard->data_folder, "media.conf", NULL);
  self->media = g_ptr_array_new_with_free_func (medium_free);
  self->claims = g_ptr_array_new_with_free_func (claim_free);
  file = files_load_sealed (self->file, guard->key, error);
  if (!file)
    return self;
  groups = g_key_file_get_groups (file, NULL);
  for (guint i = 0; groups[i]; i++)
    {
      Medium *medium = g_new0 (Medium, 1);
      g_autofree char *label = g_key_file_get_string (file, groups[i], "label", NULL);

      medium->path = g_key_file_get_string (file, groups[i], "path", NULL);
      medium->device = g_key_file_get_uint64 (file, groups[i], "device", NULL);
      medium->inode = g_key_file_get_uint64 (file, groups[i], "inode", NULL);
      medium->raised = g_key_file_get_boolean (file, groups[i], "raised", NULL);
      if (!medium->path || !label || !label_parse (label, &medium->label))
        {
          medium_free (medium);
          g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s: record %s is damaged", self->file, groups[i]);
          return self;
        }
      g_ptr_array_add (self->media, medium);
    }
  return self;
}

void
media_free (Media *self)
{
  if (!self)
    return;
  g_ptr_array_unref (self->media);
  g_ptr_array_unref (self->claims);
  g_free (self->file);
  g_free (self);
}

static gboolean
save (Media *self, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  for (guint i = 0; i < self->media->len; i++)
    {
      Medium *medium = self->media->pdata[i];
      g_autofree char *group = g_strdup_printf ("medium%u", i);
      g_autofree char *label = guard_canonical (&medium->label);

      g_key_file_set_string (file, group, "path", medium->path);
      g_key_file_set_uint64 (file, group, "device", medium->device);
      g_key_file_set_uint64 (file, group, "inode", medium->inode);
      g_key_file_set_boolean (file, group, "raised", medium->raised);
      g_key_file_set_string (file, group, "label", label);
    }
  return files_save_sealed (self->file, file, self->guard->key, error);
}

static gboolean
identity (const char *path, int fd, guint64 *ret_device, guint64 *ret_inode)
{
  struct stat info;

  if (fd >= 0 ? fstat (fd, &info) < 0 : stat (path, &info) < 0)
    return FALSE;
  *ret_device = info.st_dev;
  *ret_inode = info.st_ino;
  return TRUE;
}

static gboolean
same_file (const Medium *medium, const char *path, gboolean known, guint64 device, guint64 inode)
{
  return g_str_equal (medium->path, path) || (known && medium->device == device && medium->inode == inode);
}

gboolean
media_is_registered (Media *self, const char *path, int fd)
{
  guint64 device = 0, inode = 0;
  gboolean known = identity (path, fd, &device, &inode);

  for (guint i = 0; i < self->media->len; i++)
    if (same_file (self->media->pdata[i], path, known, device, inode))
      return TRUE;
  return FALSE;
}

void
media_label (Media *self, const char *path, int fd, Label *ret_label)
{
  guint64 device = 0, inode = 0;
  gboolean known = identity (path, fd, &device, &inode), found = FALSE;

  for (guint i = 0; i < self->media->len; i++)
    {
      const Medium *medium = self->media->pdata[i];
      Label joined;

      if (!same_file (medium, path, known, device, inode))
        continue;
      if (!found)
        *ret_label = medium->label;
      else
        {
          label_join (ret_label, &medium->label, &joined);
          *ret_label = joined;
        }
      found = TRUE;
    }
  if (!found)
    *ret_label = self->guard->host;
}

gboolean
media_raise (Media *self, const char *path, int fd, const Label *label, GError **error)
{
  guint64 device = 0, inode = 0;
  gboolean registered = media_is_registered (self, path, fd);
  Label old, joined;
  g_autofree char *text = NULL;

  if (!identity (path, fd, &device, &inode))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s cannot be found", path);
      return FALSE;
    }
  media_label (self, path, fd, &old);
  label_join (&old, label, &joined);
  if (registered && label_equal (&old, &joined))
    return TRUE;
  text = guard_canonical (&joined);
  if (!guard_record (self->guard, "medium-label", "guard", path, text, error))
    return FALSE;
  for (guint i = 0; i < self->media->len; i++)
    {
      Medium *medium = self->media->pdata[i];

      if (same_file (medium, path, TRUE, device, inode))
        {
          medium->label = joined;
          medium->raised = TRUE;
        }
    }
  if (!registered)
    {
      Medium *medium = g_new0 (Medium, 1);

      medium->path = g_strdup (path);
      medium->device = device;
      medium->inode = inode;
      medium->label = joined;
      medium->raised = TRUE;
      g_ptr_array_add (self->media, medium);
    }
  guard_resources_changed (self->guard);
  return save (self, error);
}

gboolean
media_register (Media *self, const char *path, const Label *label, GError **error)
{
  g_autofree char *text = guard_canonical (label);
  guint64 device = 0, inode = 0;
  Medium *medium;
  Label old;

  if (!identity (path, -1, &device, &inode))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s cannot be found", path);
      return FALSE;
    }
  if (media_is_registered (self, path, -1))
    {
      media_label (self, path, -1, &old);
      if (!guard_decide (self->guard, CHANNEL_IMPORT, "user", path, &old, label, NULL, error))
        return FALSE;
      return media_raise (self, path, -1, label, error);
    }
  /* An unregistered file is at the host's label; its owner may say that it is higher, not that it is lower. */
  if (!guard_decide (self->guard, CHANNEL_IMPORT, "user", path, &self->guard->host, label, NULL, error)
      || !guard_record (self->guard, "medium-label", "user", path, text, error))
    return FALSE;
  medium = g_new0 (Medium, 1);
  medium->path = g_strdup (path);
  medium->device = device;
  medium->inode = inode;
  medium->label = *label;
  g_ptr_array_add (self->media, medium);
  guard_resources_changed (self->guard);
  return save (self, error);
}

gboolean
media_enter (Media *self, const char *path, int fd, const Label *label, GError **error)
{
  g_autofree char *text = guard_canonical (label);
  Medium *medium;

  /* An inode that belonged to a file deleted since would pass its label on. */
  for (guint i = self->media->len; i-- > 0;)
    {
      guint64 device = 0, inode = 0;

      medium = self->media->pdata[i];
      if (identity (path, fd, &device, &inode) && medium->device == device && medium->inode == inode
          && !g_str_equal (medium->path, path))
        g_ptr_array_remove_index (self->media, i);
    }
  medium = g_new0 (Medium, 1);
  medium->path = g_strdup (path);
  medium->label = *label;
  if (!identity (path, fd, &medium->device, &medium->inode)
      || !guard_record (self->guard, "medium-label", "guard", path, text, error))
    {
      medium_free (medium);
      return FALSE;
    }
  g_ptr_array_add (self->media, medium);
  guard_resources_changed (self->guard);
  return save (self, error);
}

void
media_forget (Media *self, const char *path)
{
  for (guint i = self->media->len; i-- > 0;)
    if (g_str_equal (((Medium *) self->media->pdata[i])->path, path))
      g_ptr_array_remove_index (self->media, i);
  save (self, NULL);
  guard_resources_changed (self->guard);
}

gboolean
media_claim (Media *self, const char *path, const char *machine, gboolean writable, GError **error)
{
  Claim *claim;

  for (guint i = 0; i < self->claims->len; i++)
    {
      claim = self->claims->pdata[i];
      if (g_str_equal (claim->path, path) && !g_str_equal (claim->machine, machine) && (claim->writable || writable))
        {
          g_set_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "%s is in use by \"%s\"; stop it or eject the medium there",
                       path, claim->machine);
          return FALSE;
        }
    }
  claim = g_new0 (Claim, 1);
  claim->path = g_strdup (path);
  claim->machine = g_strdup (machine);
  claim->writable = writable;
  g_ptr_array_add (self->claims, claim);
  return TRUE;
}

static void
release (Media *self, const char *path, const char *machine)
{
  for (guint i = self->claims->len; i-- > 0;)
    {
      Claim *claim = self->claims->pdata[i];

      if ((!path || g_str_equal (claim->path, path)) && g_str_equal (claim->machine, machine))
        g_ptr_array_remove_index (self->claims, i);
    }
}

void
media_release (Media *self, const char *path, const char *machine)
{
  release (self, path, machine);
}

void
media_release_all (Media *self, const char *machine)
{
  release (self, NULL, machine);
}

GVariant *
media_list (Media *self)
{
  GVariantBuilder rows;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->media->len; i++)
    {
      Medium *medium = self->media->pdata[i];
      g_autofree char *shown = files_neutral_text (medium->path, 4096);
      const char *writer = "";
      GVariantBuilder row, readers;

      if (!guard_may_see (self->guard, &medium->label))
        continue;
      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_init (&readers, G_VARIANT_TYPE_STRING_ARRAY);
      for (guint k = 0; k < self->claims->len; k++)
        {
          Claim *claim = self->claims->pdata[k];

          if (!g_str_equal (claim->path, medium->path))
            continue;
          if (claim->writable)
            writer = claim->machine;
          else
            g_variant_builder_add (&readers, "s", claim->machine);
        }
      g_variant_builder_add (&row, "{sv}", "path", g_variant_new_string (shown));
      guard_describe_label (self->guard, &row, "", &medium->label);
      g_variant_builder_add (&row, "{sv}", "writer", g_variant_new_string (writer));
      g_variant_builder_add (&row, "{sv}", "readers", g_variant_builder_end (&readers));
      g_variant_builder_add (&row, "{sv}", "raised", g_variant_new_boolean (medium->raised));
      g_variant_builder_add_value (&rows, g_variant_builder_end (&row));
    }
  return g_variant_builder_end (&rows);
}
