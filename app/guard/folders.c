/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "folders.h"

#include "machine.h"
#include "store.h"

#include <string.h>
#include <sys/stat.h>

typedef struct
{
  char *name, *path;
  Label label;
} Folder;

struct Folders
{
  Guard     *guard;
  char      *file;
  GPtrArray *folders;
};

static void
folder_free (gpointer pointer)
{
  Folder *folder = pointer;

  g_free (folder->name);
  g_free (folder->path);
  g_free (folder);
}

Folders *
folders_new (Guard *guard, GError **error)
{
  Folders *self = g_new0 (Folders, 1);
  g_autoptr (GKeyFile) file = NULL;
  g_auto (GStrv) groups = NULL;

  self->guard = guard;
  self->file = g_build_filename (guard->data_folder, "folders.conf", NULL);
  self->folders = g_ptr_array_new_with_free_func (folder_free);
  file = files_load_sealed (self->file, guard->key, error);
  if (!file)
    return self;
  groups = g_key_file_get_groups (file, NULL);
  for (guint i = 0; groups[i]; i++)
    {
      Folder *folder = g_new0 (Folder, 1);
      g_autofree char *label = g_key_file_get_string (file, groups[i], "label", NULL);

      folder->name = g_key_file_get_string (file, groups[i], "name", NULL);
      folder->path = g_key_file_get_string (file, groups[i], "path", NULL);
      if (!folder->name || !folder->path || !label || !label_parse (label, &folder->label))
        {
          folder_free (folder);
          g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s: record %s is damaged", self->file, groups[i]);
          return self;
        }
      g_ptr_array_add (self->folders, folder);
    }
  return self;
}

void
folders_free (Folders *self)
{
  if (!self)
    return;
  g_ptr_array_unref (self->folders);
  g_free (self->file);
  g_free (self);
}

static gboolean
save (Folders *self, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  for (guint i = 0; i < self->folders->len; i++)
    {
      Folder *folder = self->folders->pdata[i];
      g_autofree char *group = g_strdup_printf ("folder%u", i);
      g_autofree char *label = guard_canonical (&folder->label);

      g_key_file_set_string (file, group, "name", folder->name);
      g_key_file_set_string (file, group, "path", folder->path);
      g_key_file_set_string (file, group, "label", label);
    }
  guard_resources_changed (self->guard);
  return files_save_sealed (self->file, file, self->guard->key, error);
}

static Folder *
find (Folders *self, const char *name, guint *ret_index)
{
  for (guint i = 0; i < self->folders->len; i++)
    {
      Folder *folder = self->folders->pdata[i];

      if (g_str_equal (folder->name, name))
        {
          if (ret_index)
            *ret_index = i;
          return folder;
        }
    }
  return NULL;
}

/* Whether one path is the other or lies below it. */
static gboolean
overlaps (const char *a, const char *b)
{
  gsize n = strlen (a), m = strlen (b);

  return strncmp (a, b, MIN (n, m)) == 0 && (n == m || (n < m ? b[n] : a[m]) == '/' || MIN (n, m) == 1);
}

gboolean
folders_add (Folders *self, const char *name, const char *path, const Label *label, GError **error)
{
  g_autofree char *real = NULL;
  g_autofree char *resolved = NULL;
  g_autofree char *text = guard_canonical (label);
  struct stat info;
  Folder *folder;

  if (!store_check_name (name, error))
    return FALSE;
  if (find (self, name, NULL))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "there is already a folder \"%s\"", name);
      return FALSE;
    }
  resolved = realpath (path, NULL);
  if (!resolved || lstat (resolved, &info) < 0 || !S_ISDIR (info.st_mode))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s is no folder", path);
      return FALSE;
    }
  real = g_strdup (resolved);
  if (overlaps (real, self->guard->data_folder) || overlaps (real, self->guard->runtime_folder))
    {
      guard_refuse (self->guard, "folder-add", "user", real, error, "the folder holds or lies in the guard's own files");
      return FALSE;
    }
  /* What lies in two folders would have two labels. */
  for (guint i = 0; i < self->folders->len; i++)
    {
      Folder *other = self->folders->pdata[i];

      if (overlaps (real, other->path) && !label_equal (label, &other->label))
        {
          guard_refuse (self->guard, "folder-add", "user", real, error, "it overlaps folder \"%s\" of another label", other->name);
          return FALSE;
        }
    }
  if (!guard_may_see (self->guard, label))
    {
      guard_refuse (self->guard, "folder-add", "user", name, error, "the label is outside your clearance range");
      return FALSE;
    }
  /* Files of the host have the host's label; a folder may be declared higher, not lower. */
  if (!guard_decide (self->guard, CHANNEL_IMPORT, "user", real, &self->guard->host, label, NULL, error)
      || !guard_record (self->guard, "folder-add", name, real, text, error))
    return FALSE;
  folder = g_new0 (Folder, 1);
  folder->name = g_strdup (name);
  folder->path = g_steal_pointer (&real);
  folder->label = *label;
  g_ptr_array_add (self->folders, folder);
  return save (self, error);
}

gboolean
folders_remove (Folders *self, const char *name, GError **error)
{
  GHashTableIter iter;
  gpointer value;
  guint index;

  if (!find (self, name, &index) || !guard_may_see (self->guard, &((Folder *) self->folders->pdata[index])->label))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "there is no folder \"%s\"", name);
      return FALSE;
    }
  g_hash_table_iter_init (&iter, self->guard->machines);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (g_strv_contains ((const char *const *) machine_record (value)->folders, name))
      {
        g_set_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "folder \"%s\" is used by \"%s\"; detach it first", name,
                     machine_record (value)->name);
        return FALSE;
      }
  if (!guard_record (self->guard, "folder-remove", "user", name, NULL, error))
    return FALSE;
  g_ptr_array_remove_index (self->folders, index);
  return save (self, error);
}

gboolean
folders_check (Folders *self, const char *name, const char *machine, const Label *label, gboolean *ret_writable,
               GError **error)
{
  Folder *folder = find (self, name, NULL);

  if (!folder)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "there is no folder \"%s\"", name);
      return FALSE;
    }
  if (!guard_decide (self->guard, CHANNEL_FOLDER_READ, machine, name, &folder->label, label, NULL, error))
    return FALSE;
  *ret_writable = label_equal (&folder->label, label)
                  && guard_decide (self->guard, CHANNEL_FOLDER_WRITE, machine, name, label, &folder->label, NULL, NULL);
  return TRUE;
}

const char *
folders_path (Folders *self, const char *name)
{
  Folder *folder = find (self, name, NULL);

  return folder ? folder->path : NULL;
}

GVariant *
folders_list (Folders *self)
{
  GVariantBuilder rows;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->folders->len; i++)
    {
      Folder *folder = self->folders->pdata[i];
      g_autofree char *shown = files_neutral_text (folder->path, 4096);
      GVariantBuilder row, machines;
      GHashTableIter iter;
      gpointer value;

      if (!guard_may_see (self->guard, &folder->label))
        continue;
      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_init (&machines, G_VARIANT_TYPE_STRING_ARRAY);
      g_hash_table_iter_init (&iter, self->guard->machines);
      while (g_hash_table_iter_next (&iter, NULL, &value))
        if (g_strv_contains ((const char *const *) machine_record (value)->folders, folder->name))
          g_variant_builder_add (&machines, "s", machine_record (value)->name);
      g_variant_builder_add (&row, "{sv}", "name", g_variant_new_string (folder->name));
      g_variant_builder_add (&row, "{sv}", "path", g_variant_new_string (shown));
      guard_describe_label (self->guard, &row, "", &folder->label);
      g_variant_builder_add (&row, "{sv}", "machines", g_variant_builder_end (&machines));
      g_variant_builder_add_value (&rows, g_variant_builder_end (&row));
    }
  return g_variant_builder_end (&rows);
}
