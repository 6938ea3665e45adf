/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "audit.h"

#include "files.h"
#include "guard-error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_RECORD_BYTES = 16384 };

struct Audit
{
  char   *log_path, *head_path;
  guint8  key[SEAL_BYTES];
  guint8  last[SEAL_BYTES];     /* seal of the last record, zeros before the first */
  guint64 n_records;
  int     log_fd, head_fd;
  struct stat seen;             /* of the log after our last look */
  char   *problem;
};

/* audit.head: number and seal of the last record and a seal over both, hexadecimal, of fixed length so that it is
 * rewritten in place by one write. */
#define HEAD_FORMAT "%016" G_GINT64_MODIFIER "x %s %s\n"
enum { HEAD_BYTES = 16 + 1 + 64 + 1 + 64 + 1 };

static char *
head_text (const guint8 key[SEAL_BYTES], guint64 n_records, const guint8 last[SEAL_BYTES])
{
  g_autofree char *last_hex = files_hex (last, SEAL_BYTES);
  g_autofree char *hex = NULL;
  guint8 seal[SEAL_BYTES];
  guint64 n = GUINT64_TO_LE (n_records);

  files_seal (key, seal, "head", (gsize) 4, &n, sizeof n, last, (gsize) SEAL_BYTES, NULL);
  hex = files_hex (seal, SEAL_BYTES);
  return g_strdup_printf (HEAD_FORMAT, n_records, last_hex, hex);
}

static gboolean
write_head (Audit *self)
{
  g_autofree char *text = head_text (self->key, self->n_records, self->last);

  return pwrite (self->head_fd, text, HEAD_BYTES, 0) == HEAD_BYTES;
}

static gboolean
read_whole (int fd, char **ret_text, gsize *ret_n)
{
  GByteArray *bytes = g_byte_array_new ();
  guint8 buffer[65536];

  for (;;)
    {
      ssize_t n = pread (fd, buffer, sizeof buffer, bytes->len);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          g_byte_array_unref (bytes);
          return FALSE;
        }
      if (!n)
        break;
      g_byte_array_append (bytes, buffer, (guint) n);
    }
  *ret_n = bytes->len;
  g_byte_array_append (bytes, (const guint8 *) "", 1);
  *ret_text = (char *) g_byte_array_free (bytes, FALSE);
  return TRUE;
}

#define SEAL_KEY ",\"seal\":\""

/* Walks over the log and the head.  On success the state to go on from is left in ret_n and ret_last. */
static gboolean
walk (Audit *self, guint64 *ret_n, guint8 ret_last[SEAL_BYTES], guint64 *ret_bad_line, char **ret_problem)
{
  g_autofree char *log = NULL;
  g_autofree char *head = NULL;
  g_autofree char *wanted_head = NULL;
  guint8 seal[SEAL_BYTES] = { 0 }, head_seal[SEAL_BYTES] = { 0 };
  gboolean head_met = FALSE;
  guint64 n = 0, head_n = 0;
  gsize n_log, n_head;
  struct stat by_name;

  *ret_bad_line = 0;
  /* By name as well as by descriptor: a log that was moved away or replaced is a lost log. */
  if (lstat (self->log_path, &by_name) < 0 || by_name.st_ino != self->seen.st_ino || by_name.st_dev != self->seen.st_dev)
    {
      *ret_problem = g_strdup ("audit.jsonl was removed or replaced");
      return FALSE;
    }
  if (!read_whole (self->log_fd, &log, &n_log) || !read_whole (self->head_fd, &head, &n_head))
    {
      *ret_problem = g_strdup_printf ("the audit trail cannot be read: %s", g_strerror (errno));
      return FALSE;
    }
  if (n_head)
    {
      if (n_head == HEAD_BYTES)
        {
          head_n = g_ascii_strtoull (head, NULL, 16);
          for (int i = 0; i < SEAL_BYTES; i++)
            head_seal[i] = (guint8) ((guint) g_ascii_xdigit_value (head[17 + 2 * i]) << 4 | (guint) g_ascii_xdigit_value (head[18 + 2 * i]));
          wanted_head = head_text (self->key, head_n, head_seal);
        }
      if (g_strcmp0 (wanted_head, head) != 0)
        {
          *ret_problem = g_strdup ("audit.head is damaged");
          return FALSE;
        }
    }
  else if (n_log)
    {
      *ret_problem = g_strdup ("audit.head is empty");
      return FALSE;
    }
  head_met = head_n == 0;
  for (char *line = log; *line || line < log + n_log;)
    {
      char *end = memchr (line, '\n', (gsize) (log + n_log - line));
      char *mark;
      g_autofree char *hex = NULL;

      n++;
      *ret_bad_line = n;
      if (!end)
        {
          *ret_problem = g_strdup_printf ("record %" G_GUINT64_FORMAT " is cut off", n);
          return FALSE;
        }
      *end = '\0';
      mark = strlen (line) == (gsize) (end - line) ? g_strrstr (line, SEAL_KEY) : NULL;
      if (!mark || strlen (mark) != strlen (SEAL_KEY) + 2 * SEAL_BYTES + 2)
        {
          *ret_problem = g_strdup_printf ("record %" G_GUINT64_FORMAT " has no seal", n);
          return FALSE;
        }
      files_seal (self->key, seal, "record", (gsize) 6, seal, (gsize) SEAL_BYTES, line, (gsize) (mark - line), NULL);
      hex = files_hex (seal, SEAL_BYTES);
      if (memcmp (mark + strlen (SEAL_KEY), hex, 2 * SEAL_BYTES) != 0
          || !g_str_equal (mark + strlen (SEAL_KEY) + 2 * SEAL_BYTES, "\"}"))
        {
          *ret_problem = g_strdup_printf ("record %" G_GUINT64_FORMAT " was changed, moved, or the one before it removed", n);
          return FALSE;
        }
      if (n == head_n)
        {
          if (memcmp (seal, head_seal, SEAL_BYTES) != 0)
            {
              *ret_problem = g_strdup_printf ("record %" G_GUINT64_FORMAT " is not the one that was written last", n);
              return FALSE;
            }
          head_met = TRUE;
        }
      line = end + 1;
    }
  if (!head_met)
    {
      *ret_bad_line = n + 1;
      *ret_problem = g_strdup_printf ("the records from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " are lost", n + 1, head_n);
      return FALSE;
    }
  *ret_bad_line = 0;
  *ret_n = n;
  memcpy (ret_last, seal, SEAL_BYTES);
  return TRUE;
}

static void
look_again (Audit *self)
{
  guint64 line;

  g_clear_pointer (&self->problem, g_free);
  if (walk (self, &self->n_records, self->last, &line, &self->problem) && !write_head (self))
    self->problem = g_strdup_printf ("audit.head cannot be written: %s", g_strerror (errno));
  fstat (self->log_fd, &self->seen);
}

Audit *
audit_open (const char *folder)
{
  Audit *self = g_new0 (Audit, 1);
  g_autofree char *key_path = g_build_filename (folder, "audit.key", NULL);
  g_autoptr (GError) error = NULL;
  struct stat head;

  self->log_path = g_build_filename (folder, "audit.jsonl", NULL);
  self->head_path = g_build_filename (folder, "audit.head", NULL);
  self->log_fd = self->head_fd = -1;
  if (!files_load_key (key_path, self->key, &error))
    {
      self->problem = g_strdup (error->message);
      return self;
    }
  self->log_fd = open (self->log_path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  self->head_fd = open (self->head_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (self->log_fd < 0 || self->head_fd < 0 || fstat (self->log_fd, &self->seen) < 0 || fstat (self->head_fd, &head) < 0)
    {
      self->problem = g_strdup_printf ("the audit trail cannot be opened: %s", g_strerror (errno));
      return self;
    }
  if (!S_ISREG (self->seen.st_mode) || !S_ISREG (head.st_mode) || fchmod (self->log_fd, 0600) < 0
      || fchmod (self->head_fd, 0600) < 0)
    {
      self->problem = g_strdup ("the audit trail is not a pair of plain files of this user");
      return self;
    }
  look_again (self);
  return self;
}

void
audit_free (Audit *self)
{
  if (!self)
    return;
  clear_fd (&self->log_fd);
  clear_fd (&self->head_fd);
  g_free (self->log_path);
  g_free (self->head_path);
  g_free (self->problem);
  g_free (self);
}

const char *
audit_problem (Audit *self)
{
  struct stat now, by_name;

  if (self->log_fd < 0)
    return self->problem;
  if (fstat (self->log_fd, &now) < 0)
    return "the audit trail cannot be looked at";
  if (self->problem || now.st_size != self->seen.st_size || now.st_mtim.tv_sec != self->seen.st_mtim.tv_sec
      || now.st_mtim.tv_nsec != self->seen.st_mtim.tv_nsec || lstat (self->log_path, &by_name) < 0
      || by_name.st_ino != now.st_ino || by_name.st_dev != now.st_dev)
    look_again (self);
  return self->problem;
}

static void
append_json (GString *line, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  g_string_append_c (line, '"');
  for (const char *at = valid; *at; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      if (c == '"' || c == '\\')
        g_string_append_printf (line, "\\%c", (char) c);
      else if (c >= 0x20 && c < 0x7f)
        g_string_append_c (line, (char) c);
      else if (c < 0x10000)
        g_string_append_printf (line, "\\u%04x", c);
      else
        g_string_append_printf (line, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
      if (line->len > MAX_RECORD_BYTES - 512)
        break;
    }
  g_string_append_c (line, '"');
}

gboolean
audit_append (Audit *self, GError **error, const char *event, ...)
{
  g_autoptr (GString) line = NULL;
  g_autoptr (GDateTime) now = NULL;
  g_autofree char *time_text = NULL;
  g_autofree char *hex = NULL;
  guint8 seal[SEAL_BYTES];
  const char *problem = audit_problem (self);
  const char *key;
  va_list pairs;
  off_t before;
  ssize_t written;

  if (problem)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED,
                   "refused: the audit trail is not sound (%s); nothing is done without a record", problem);
      return FALSE;
    }
  now = g_date_time_new_now_utc ();
  time_text = g_date_time_format (now, "%Y-%m-%dT%H:%M:%S");
  line = g_string_new (NULL);
  g_string_printf (line, "{\"n\":%" G_GUINT64_FORMAT ",\"time\":\"%s.%06dZ\",\"event\":", self->n_records + 1, time_text,
                   g_date_time_get_microsecond (now));
  append_json (line, event);
  va_start (pairs, event);
  while ((key = va_arg (pairs, const char *)))
    {
      const char *value = va_arg (pairs, const char *);

      if (!value || !*value || line->len > MAX_RECORD_BYTES - 1024)
        continue;
      g_string_append_c (line, ',');
      append_json (line, key);
      g_string_append_c (line, ':');
      append_json (line, value);
    }
  va_end (pairs);
  files_seal (self->key, seal, "record", (gsize) 6, self->last, (gsize) SEAL_BYTES, line->str, line->len, NULL);
  hex = files_hex (seal, SEAL_BYTES);
  g_string_append_printf (line, SEAL_KEY "%s\"}\n", hex);

  before = self->seen.st_size;
  written = write (self->log_fd, line->str, line->len);
  if (written != (ssize_t) line->len || fdatasync (self->log_fd) < 0)
    {
      int saved = written >= 0 && written < (ssize_t) line->len ? ENOSPC : errno;

      /* Half a record would break the chain for ever. */
      if (ftruncate (self->log_fd, before) == 0)
        fstat (self->log_fd, &self->seen);
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED, "refused: no audit record can be written (%s)",
                   g_strerror (saved));
      return FALSE;
    }
  memcpy (self->last, seal, SEAL_BYTES);
  self->n_records++;
  fstat (self->log_fd, &self->seen);
  if (!write_head (self))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED, "refused: audit.head cannot be written (%s)", g_strerror (errno));
      return FALSE;
    }
  return TRUE;
}

gboolean
audit_verify (Audit *self, guint64 *ret_n_records, guint64 *ret_bad_line, char **ret_problem)
{
  guint8 last[SEAL_BYTES];

  *ret_n_records = 0;
  *ret_problem = NULL;
  *ret_bad_line = 0;
  if (self->log_fd < 0)
    {
      *ret_problem = g_strdup (self->problem);
      return FALSE;
    }
  if (!walk (self, ret_n_records, last, ret_bad_line, ret_problem))
    return FALSE;
  if (*ret_n_records < self->n_records)
    {
      *ret_bad_line = *ret_n_records + 1;
      *ret_problem = g_strdup_printf ("the records from %" G_GUINT64_FORMAT " are lost", *ret_bad_line);
      return FALSE;
    }
  return TRUE;
}

char **
audit_list (Audit *self, guint limit, const char *const *pieces, GError **error)
{
  g_autofree char *log = NULL;
  g_auto (GStrv) lines = NULL;
  GPtrArray *found;
  gsize n_log;
  guint n;

  if (self->log_fd < 0 || !read_whole (self->log_fd, &log, &n_log))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the audit trail cannot be read: %s",
                   self->problem ? self->problem : g_strerror (errno));
      return NULL;
    }
  lines = g_strsplit (log, "\n", -1);
  n = g_strv_length (lines);
  found = g_ptr_array_new_with_free_func (g_free);
  for (guint i = n; i-- > 0 && (!limit || found->len < limit);)
    {
      gboolean matches = *lines[i] != '\0';

      for (guint k = 0; matches && pieces && pieces[k]; k++)
        matches = strstr (lines[i], pieces[k]) != NULL;
      if (matches)
        g_ptr_array_insert (found, 0, g_utf8_make_valid (lines[i], -1));
    }
  g_ptr_array_add (found, NULL);
  return (char **) g_ptr_array_free (found, FALSE);
}
