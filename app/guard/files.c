/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "files.h"

#include "guard-error.h"

#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

void
clear_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

int
steal_fd (int *fd)
{
  int taken = *fd;

  *fd = -1;
  return taken;
}

static gboolean
fail (GError **error, const char *what, const char *path)
{
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s: %s: %s", path, what, g_strerror (errno));
  return FALSE;
}

gboolean
files_private_folder (const char *path, GError **error)
{
  struct stat info;

  if (g_mkdir_with_parents (path, 0700) < 0)
    return fail (error, "cannot be made", path);
  if (lstat (path, &info) < 0)
    return fail (error, "cannot be looked at", path);
  if (!S_ISDIR (info.st_mode) || info.st_uid != geteuid ())
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s is no folder of this user", path);
      return FALSE;
    }
  if (info.st_mode & 077 && chmod (path, 0700) < 0)
    return fail (error, "cannot be closed to others", path);
  return TRUE;
}

static gboolean
write_all (int fd, const void *bytes, gsize n_bytes)
{
  const char *at = bytes;

  while (n_bytes)
    {
      ssize_t n = write (fd, at, n_bytes);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          errno = n < 0 ? errno : ENOSPC;
          return FALSE;
        }
      at += n;
      n_bytes -= (gsize) n;
    }
  return TRUE;
}

gboolean
files_replace (const char *path, const void *bytes, gsize n_bytes, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *beside = g_strconcat (path, ".new", NULL);
  g_auto (AutoFd) fd = -1;
  g_auto (AutoFd) folder_fd = -1;

  unlink (beside);
  fd = open (beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return fail (error, "cannot be written", beside);
  if (!write_all (fd, bytes, n_bytes) || fsync (fd) < 0 || rename (beside, path) < 0)
    {
      int saved = errno;

      unlink (beside);
      errno = saved;
      return fail (error, "cannot be written", path);
    }
  folder_fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0 || fsync (folder_fd) < 0)
    return fail (error, "cannot be made durable", folder);
  return TRUE;
}

gboolean
files_load_key (const char *path, guint8 ret_key[SEAL_BYTES], GError **error)
{
  g_auto (AutoFd) fd = open (path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;

  if (fd < 0)
    {
      if (errno != ENOENT)
        return fail (error, "cannot be read", path);
      if (getrandom (ret_key, SEAL_BYTES, 0) != SEAL_BYTES)
        return fail (error, "no random bytes for", path);
      return files_replace (path, ret_key, SEAL_BYTES, error);
    }
  if (fstat (fd, &info) < 0)
    return fail (error, "cannot be looked at", path);
  if (!S_ISREG (info.st_mode) || info.st_uid != geteuid () || info.st_mode & 077 || info.st_size != SEAL_BYTES
      || read (fd, ret_key, SEAL_BYTES) != SEAL_BYTES)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s is damaged or open to others", path);
      return FALSE;
    }
  return TRUE;
}

void
files_seal (const guint8 key[SEAL_BYTES], guint8 ret_seal[SEAL_BYTES], ...)
{
  gcry_md_hd_t hash;
  va_list parts;
  const void *part;

  if (gcry_md_open (&hash, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC))
    g_error ("libgcrypt has no SHA-256");
  gcry_md_setkey (hash, key, SEAL_BYTES);
  va_start (parts, ret_seal);
  while ((part = va_arg (parts, const void *)))
    {
      gsize n = va_arg (parts, gsize);
      guint64 length = GUINT64_TO_LE (n);

      /* The length of each part is sealed too, so that no text can move from one part to the next. */
      gcry_md_write (hash, &length, sizeof length);
      gcry_md_write (hash, part, n);
    }
  va_end (parts);
  memcpy (ret_seal, gcry_md_read (hash, 0), SEAL_BYTES);
  gcry_md_close (hash);
}

char *
files_hex (const guint8 *bytes, gsize n_bytes)
{
  GString *text = g_string_sized_new (2 * n_bytes + 1);

  for (gsize i = 0; i < n_bytes; i++)
    g_string_append_printf (text, "%02x", bytes[i]);
  return g_string_free (text, FALSE);
}

char *
files_digest_fd (int fd)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  guint8 buffer[65536];
  off_t at = 0;

  for (;;)
    {
      ssize_t n = pread (fd, buffer, sizeof buffer, at);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return NULL;
      if (!n)
        break;
      g_checksum_update (checksum, buffer, n);
      at += n;
    }
  return g_strdup (g_checksum_get_string (checksum));
}

/* A line of its own: the newline before it is the last character of what is sealed. */
#define SEAL_LINE "# seal "
#define SEAL_MARK "\n" SEAL_LINE

GKeyFile *
files_load_sealed (const char *path, const guint8 key[SEAL_BYTES], GError **error)
{
  g_autoptr (GKeyFile) contents = g_key_file_new ();
  g_autoptr (GError) local = NULL;
  g_autofree char *text = NULL;
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *wanted = NULL;
  guint8 seal[SEAL_BYTES];
  char *mark;
  gsize n;

  if (!g_file_get_contents (path, &text, &n, &local))
    {
      if (g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return g_steal_pointer (&contents);
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, local->message);
      return NULL;
    }
  mark = strlen (text) == n ? g_strrstr (text, SEAL_MARK) : NULL;
  if (mark)
    {
      files_seal (key, seal, name, strlen (name), text, (gsize) (mark + 1 - text), NULL);
      wanted = files_hex (seal, sizeof seal);
    }
  if (!mark || strlen (mark) != strlen (SEAL_MARK) + 2 * SEAL_BYTES + 1
      || memcmp (mark + strlen (SEAL_MARK), wanted, 2 * SEAL_BYTES) != 0
      || mark[strlen (SEAL_MARK) + 2 * SEAL_BYTES] != '\n')
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED,
                   "%s is damaged or was changed by another program; put back the last good copy", path);
      return NULL;
    }
  if (!g_key_file_load_from_data (contents, text, n, G_KEY_FILE_NONE, &local))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s: %s", path, local->message);
      return NULL;
    }
  return g_steal_pointer (&contents);
}

gboolean
files_save_sealed (const char *path, GKeyFile *contents, const guint8 key[SEAL_BYTES], GError **error)
{
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *data = NULL;
  g_autofree char *hex = NULL;
  g_autofree char *whole = NULL;
  guint8 seal[SEAL_BYTES];
  gsize n;

  data = g_key_file_to_data (contents, &n, NULL);
  if (!n || data[n - 1] != '\n')
    {
      char *longer = g_strconcat (data, "\n", NULL);

      g_free (data);
      data = longer;
    }
  n = strlen (data);
  files_seal (key, seal, name, strlen (name), data, n, NULL);
  hex = files_hex (seal, sizeof seal);
  whole = g_strconcat (data, SEAL_LINE, hex, "\n", NULL);
  return files_replace (path, whole, strlen (whole), error);
}

char *
files_neutral_text (const char *text, gsize max_chars)
{
  g_autofree char *valid = g_utf8_make_valid (text ? text : "", -1);
  GString *neutral = g_string_new (NULL);
  gsize n = 0;

  for (const char *at = valid; *at && n < max_chars; at = g_utf8_next_char (at), n++)
    {
      gunichar c = g_utf8_get_char (at);
      GUnicodeType type = g_unichar_type (c);

      if (type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT || type == G_UNICODE_LINE_SEPARATOR
          || type == G_UNICODE_PARAGRAPH_SEPARATOR || type == G_UNICODE_SURROGATE || type == G_UNICODE_UNASSIGNED
          || type == G_UNICODE_PRIVATE_USE)
        g_string_append_c (neutral, '?');
      else
        g_string_append_unichar (neutral, c);
    }
  return g_string_free (neutral, FALSE);
}
