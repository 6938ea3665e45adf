/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "regrade.h"

#include "broker.h"
#include "disk-tools.h"
#include "media.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct Regrades
{
  Guard    *guard;
  char     *file;
  GKeyFile *contents;           /* one group per request */
};

Regrades *
regrades_new (Guard *guard, GError **error)
{
  Regrades *self = g_new0 (Regrades, 1);

  self->guard = guard;
  self->file = g_build_filename (guard->data_folder, "regrades.conf", NULL);
  self->contents = files_load_sealed (self->file, guard->key, error);
  if (!self->contents)
    self->contents = g_key_file_new ();
  return self;
}

void
regrades_free (Regrades *self)
{
  if (!self)
    return;
  g_key_file_unref (self->contents);
  g_free (self->file);
  g_free (self);
}

static char *
get (Regrades *self, const char *id, const char *key)
{
  char *value = g_key_file_get_string (self->contents, id, key, NULL);

  return value ? value : g_strdup ("");
}

static gboolean
get_label (Regrades *self, const char *id, const char *key, Label *ret)
{
  g_autofree char *text = get (self, id, key);

  return label_parse (text, ret);
}

static GVariant *
describe (Regrades *self, const char *id)
{
  static const char *const keys[] = { "path", "digest", "reason", "requester", "state", "output", "answer" };
  GVariantBuilder row;
  Label label;

  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&row, "{sv}", "id", g_variant_new_string (id));
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autofree char *value = get (self, id, keys[i]);
      g_autofree char *shown = files_neutral_text (value, 4096);

      g_variant_builder_add (&row, "{sv}", keys[i], g_variant_new_string (shown));
    }
  g_variant_builder_add (&row, "{sv}", "requested",
                         g_variant_new_int64 (g_key_file_get_int64 (self->contents, id, "requested", NULL)));
  for (int i = 0; i < 2; i++)
    if (get_label (self, id, i ? "to" : "from", &label))
      {
        g_autofree char *banner = guard_banner (self->guard, &label);

        g_variant_builder_add (&row, "{sv}", i ? "to" : "from", g_variant_new_string (banner));
        guard_describe_label (self->guard, &row, i ? "to-" : "from-", &label);
      }
  return g_variant_builder_end (&row);
}

char *
regrades_request (Regrades *self, const char *path, const Label *to, const char *reason, GError **error)
{
  g_autofree char *resolved = broker_resolve (self->guard, path, error);
  g_autofree char *digest = NULL;
  g_autofree char *from_text = NULL;
  g_autofree char *to_text = guard_canonical (to);
  g_autofree char *note = NULL;
  g_autofree char *id = NULL;
  g_auto (AutoFd) fd = -1;
  Label from;

  if (!resolved)
    return NULL;
  if (!*reason || strlen (reason) > 1000)
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_USAGE, "a regrade needs a reason of at most 1000 bytes");
      return NULL;
    }
  fd = broker_open_source (resolved, error);
  if (fd < 0)
    return NULL;
  digest = files_digest_fd (fd);
  if (!digest)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s: %s", resolved, g_strerror (errno));
      return NULL;
    }
  media_label (self->guard->media, resolved, fd, &from);
  if (!guard_may_see (self->guard, &from) || !guard_may_see (self->guard, to))
    {
      guard_refuse (self->guard, "regrade", "user", resolved, error, "a label is outside your clearance range");
      return NULL;
    }
  from_text = guard_canonical (&from);
  id = g_strdup_printf ("r%u", g_random_int_range (100000, 999999));
  while (g_key_file_has_group (self->contents, id))
    {
      g_free (id);
      id = g_strdup_printf ("r%u", g_random_int_range (100000, 999999));
    }
  note = g_strdup_printf ("%s from %s to %s, sha256 %s: %s", id, from_text, to_text, digest, reason);
  if (!guard_record (self->guard, "regrade-request", g_get_user_name (), resolved, note, error))
    return NULL;
  g_key_file_set_string (self->contents, id, "path", resolved);
  g_key_file_set_string (self->contents, id, "from", from_text);
  g_key_file_set_string (self->contents, id, "to", to_text);
  g_key_file_set_string (self->contents, id, "digest", digest);
  g_key_file_set_string (self->contents, id, "reason", reason);
  g_key_file_set_string (self->contents, id, "requester", g_get_user_name ());
  g_key_file_set_string (self->contents, id, "state", "open");
  g_key_file_set_int64 (self->contents, id, "requested", g_get_real_time () / G_USEC_PER_SEC);
  return files_save_sealed (self->file, self->contents, self->guard->key, error) ? g_steal_pointer (&id) : NULL;
}

/* Copies the file beside the others of regraded items and enters the copy at its new label. */
static char *
make_copy (Regrades *self, const char *id, const char *path, const char *digest, const Label *to, GError **error)
{
  g_autofree char *folder = guard_folder (self->guard, "output", error);
  g_autofree char *regraded = folder ? g_build_filename (folder, "regraded", NULL) : NULL;
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *name = g_strdup_printf ("%s-%s", id, base);
  g_autofree char *target = NULL;
  g_autofree char *found = NULL;
  g_auto (AutoFd) from = -1;
  g_auto (AutoFd) copy = -1;

  if (!regraded || !files_private_folder (regraded, error))
    return NULL;
  target = g_build_filename (regraded, name, NULL);
  from = broker_open_source (path, error);
  copy = from < 0 ? -1 : broker_create (target, error);
  if (copy < 0)
    return NULL;
  /* The digest of the copy counts: what was approved is what gets the label, whoever writes to the original meanwhile. */
  if (disk_tools_copy (from, "raw", copy, "raw", error))
    {
      found = files_digest_fd (copy);
      if (g_strcmp0 (found, digest) != 0)
        g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s has changed since the request; ask again", path);
      else if (media_enter (self->guard->media, target, copy, to, error))
        return g_steal_pointer (&target);
    }
  unlink (target);
  return NULL;
}

GVariant *
regrades_decide (Regrades *self, const char *id, gboolean approve, const char *reason, GError **error)
{
  g_autofree char *state = NULL;
  g_autofree char *path = NULL;
  g_autofree char *digest = NULL;
  g_autofree char *output = NULL;
  Label to;

  if (!g_key_file_has_group (self->contents, id) || !get_label (self, id, "to", &to))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "there is no regrade request \"%s\"", id);
      return NULL;
    }
  state = get (self, id, "state");
  path = get (self, id, "path");
  digest = get (self, id, "digest");
  if (!g_str_equal (state, "open"))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "request %s is already %s", id, state);
      return NULL;
    }
  if (!guard_record (self->guard, approve ? "regrade-approve" : "regrade-refuse", "officer", path, reason, error))
    return NULL;
  if (approve)
    {
      output = make_copy (self, id, path, digest, &to, error);
      if (!output)
        return NULL;
      g_key_file_set_string (self->contents, id, "output", output);
    }
  g_key_file_set_string (self->contents, id, "state", approve ? "approved" : "refused");
  g_key_file_set_string (self->contents, id, "answer", reason);
  if (!files_save_sealed (self->file, self->contents, self->guard->key, error))
    return NULL;
  return describe (self, id);
}

GVariant *
regrades_list (Regrades *self)
{
  g_auto (GStrv) ids = g_key_file_get_groups (self->contents, NULL);
  GVariantBuilder rows;
  Label from, to;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; ids[i]; i++)
    if (get_label (self, ids[i], "from", &from) && get_label (self, ids[i], "to", &to) && guard_may_see (self->guard, &from)
        && guard_may_see (self->guard, &to))
      g_variant_builder_add_value (&rows, describe (self, ids[i]));
  return g_variant_builder_end (&rows);
}
