/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "roles.h"

#include <gcrypt.h>
#include <string.h>
#include <sys/random.h>

enum { SALT_BYTES = 16, HASH_BYTES = 32, PASSES = 3, MEMORY_KIB = 65536, MIN_PASSPHRASE = 8, MAX_FAILURES = 5, WAIT_SECONDS = 30 };

struct Roles
{
  Guard      *guard;
  char       *file;
  GKeyFile   *contents;
  GHashTable *officers;         /* connections */
  guint       failures;
  gint64      blocked_until;
};

Roles *
roles_new (Guard *guard, GError **error)
{
  Roles *self = g_new0 (Roles, 1);

  self->guard = guard;
  self->file = g_build_filename (guard->data_folder, "officer.conf", NULL);
  self->officers = g_hash_table_new (g_direct_hash, g_direct_equal);
  self->contents = files_load_sealed (self->file, guard->key, error);
  if (!self->contents)
    self->contents = g_key_file_new ();
  return self;
}

void
roles_free (Roles *self)
{
  if (!self)
    return;
  g_key_file_unref (self->contents);
  g_hash_table_unref (self->officers);
  g_free (self->file);
  g_free (self);
}

gboolean
roles_is_set (Roles *self)
{
  return g_key_file_has_key (self->contents, "officer", "hash", NULL);
}

static gboolean
stretch (GBytes *passphrase, const guint8 salt[SALT_BYTES], guint8 ret_hash[HASH_BYTES], GError **error)
{
  const unsigned long parameters[] = { HASH_BYTES, PASSES, MEMORY_KIB, 1 };
  gcry_kdf_hd_t kdf;
  gcry_error_t failed;

  failed = gcry_kdf_open (&kdf, GCRY_KDF_ARGON2, GCRY_KDF_ARGON2ID, parameters, G_N_ELEMENTS (parameters),
                          g_bytes_get_data (passphrase, NULL), g_bytes_get_size (passphrase), salt, SALT_BYTES, NULL, 0, NULL, 0);
  if (!failed)
    {
      failed = gcry_kdf_compute (kdf, NULL);
      if (!failed)
        failed = gcry_kdf_final (kdf, HASH_BYTES, ret_hash);
      gcry_kdf_close (kdf);
    }
  if (failed)
    g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "Argon2id: %s", gcry_strerror (failed));
  return !failed;
}

gboolean
roles_set_passphrase (Roles *self, GBytes *passphrase, GError **error)
{
  guint8 salt[SALT_BYTES], hash[HASH_BYTES];
  g_autofree char *salt_text = NULL;
  g_autofree char *hash_text = NULL;

  if (g_bytes_get_size (passphrase) < MIN_PASSPHRASE)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_USAGE, "the officer's passphrase has at least %d characters", MIN_PASSPHRASE);
      return FALSE;
    }
  if (getrandom (salt, sizeof salt, 0) != sizeof salt || !stretch (passphrase, salt, hash, error)
      || !guard_record (self->guard, "officer-passphrase", "officer", NULL, NULL, error))
    return FALSE;
  salt_text = files_hex (salt, sizeof salt);
  hash_text = files_hex (hash, sizeof hash);
  g_key_file_set_string (self->contents, "officer", "salt", salt_text);
  g_key_file_set_string (self->contents, "officer", "hash", hash_text);
  return files_save_sealed (self->file, self->contents, self->guard->key, error);
}

gboolean
roles_check (Roles *self, GBytes *passphrase, GError **error)
{
  g_autofree char *salt_text = g_key_file_get_string (self->contents, "officer", "salt", NULL);
  g_autofree char *hash_text = g_key_file_get_string (self->contents, "officer", "hash", NULL);
  g_autofree char *given = NULL;
  guint8 salt[SALT_BYTES] = { 0 }, hash[HASH_BYTES];
  guint difference = 0;

  if (g_get_monotonic_time () < self->blocked_until)
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_REFUSED, "refused: officer-login: too many wrong passphrases; wait");
      return FALSE;
    }
  for (guint i = 0; salt_text && strlen (salt_text) == 2 * SALT_BYTES && i < SALT_BYTES; i++)
    salt[i] = (guint8) ((guint) g_ascii_xdigit_value (salt_text[2 * i]) << 4 | (guint) g_ascii_xdigit_value (salt_text[2 * i + 1]));
  if (!stretch (passphrase, salt, hash, error))
    return FALSE;
  given = files_hex (hash, sizeof hash);
  if (!hash_text || strlen (hash_text) != strlen (given))
    difference = 1;
  for (gsize i = 0; !difference && given[i]; i++)
    difference |= (guint) (given[i] ^ hash_text[i]);
  if (!difference)
    {
      self->failures = 0;
      return guard_record (self->guard, "officer-login", "officer", NULL, "accepted", error);
    }
  if (++self->failures >= MAX_FAILURES)
    self->blocked_until = g_get_monotonic_time () + WAIT_SECONDS * G_USEC_PER_SEC;
  guard_refuse (self->guard, "officer-login", "user", NULL, error, "the passphrase is not the officer's");
  return FALSE;
}

void
roles_enter (Roles *self, gpointer connection)
{
  g_hash_table_add (self->officers, connection);
}

void
roles_leave (Roles *self, gpointer connection)
{
  g_hash_table_remove (self->officers, connection);
}

gboolean
roles_is_officer (Roles *self, gpointer connection)
{
  return g_hash_table_contains (self->officers, connection);
}
