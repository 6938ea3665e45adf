/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The audit trail under every kind of damage, and the sealed files of the library. */
#include "audit.h"
#include "files.h"
#include "guard-error.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

typedef struct
{
  char *folder, *log, *head;
} Trail;

static void
set_up (Trail *trail, gconstpointer data)
{
  trail->folder = g_dir_make_tmp ("bulkhead-audit-XXXXXX", NULL);
  trail->log = g_build_filename (trail->folder, "audit.jsonl", NULL);
  trail->head = g_build_filename (trail->folder, "audit.head", NULL);
}

static void
tear_down (Trail *trail, gconstpointer data)
{
  g_autoptr (GDir) folder = g_dir_open (trail->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (folder)))
    {
      g_autofree char *path = g_build_filename (trail->folder, name, NULL);

      g_remove (path);
    }
  g_rmdir (trail->folder);
  g_free (trail->folder);
  g_free (trail->log);
  g_free (trail->head);
}

static gboolean
sound (Audit *audit)
{
  g_autofree char *problem = NULL;
  guint64 n, line;

  return audit_verify (audit, &n, &line, &problem);
}

static void
fill (Audit *audit, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *name = g_strdup_printf ("machine%u", i);

      g_assert_true (audit_append (audit, &error, "decision", "subject", name, "result", "allow", NULL));
      g_assert_no_error (error);
    }
}

static void
write_back (const char *path, const char *bytes, gsize n)
{
  FILE *file = fopen (path, "wb");

  g_assert_nonnull (file);
  g_assert_cmpuint (fwrite (bytes, 1, n, file), ==, n);
  fclose (file);
}

static void
test_grows_and_survives_restart (Trail *trail, gconstpointer data)
{
  Audit *audit = audit_open (trail->folder);
  struct stat info;

  g_assert_null (audit_problem (audit));
  fill (audit, 10);
  g_assert_true (sound (audit));
  audit_free (audit);
  audit = audit_open (trail->folder);
  g_assert_null (audit_problem (audit));
  fill (audit, 5);
  g_assert_true (sound (audit));
  g_assert_cmpint (stat (trail->log, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0600);
  audit_free (audit);
}

/* Each byte of a short trail flipped, one after the other. */
static void
test_every_flipped_byte_is_found (Trail *trail, gconstpointer data)
{
  Audit *audit = audit_open (trail->folder);
  g_autofree char *log = NULL;
  gsize n;

  fill (audit, 3);
  g_file_get_contents (trail->log, &log, &n, NULL);
  for (gsize i = 0; i < n; i++)
    {
      log[i] ^= 1;
      write_back (trail->log, log, n);
      if (sound (audit))
        g_error ("byte %" G_GSIZE_FORMAT " can be changed", i);
      log[i] ^= 1;
    }
  write_back (trail->log, log, n);
  g_assert_true (sound (audit));
  audit_free (audit);
}

static void
test_cut_swap_insert (Trail *trail, gconstpointer data)
{
  Audit *audit = audit_open (trail->folder);
  g_autofree char *log = NULL;
  g_auto (GStrv) lines = NULL;
  g_autofree char *swapped = NULL;
  g_autofree char *twice = NULL;
  g_autofree char *problem = NULL;
  guint64 n_records, line;
  gsize n;

  fill (audit, 4);
  g_file_get_contents (trail->log, &log, &n, NULL);
  for (gsize k = 0; k < n; k++)
    {
      write_back (trail->log, log, k);
      if (sound (audit))
        g_error ("the trail can be cut to %" G_GSIZE_FORMAT " bytes", k);
    }
  lines = g_strsplit (log, "\n", -1);
  swapped = g_strdup_printf ("%s\n%s\n%s\n%s\n", lines[1], lines[0], lines[2], lines[3]);
  write_back (trail->log, swapped, strlen (swapped));
  g_assert_false (audit_verify (audit, &n_records, &line, &problem));
  g_assert_cmpuint (line, ==, 1);
  twice = g_strdup_printf ("%s%s\n", log, lines[3]);
  write_back (trail->log, twice, strlen (twice));
  g_assert_false (sound (audit));
  write_back (trail->log, log, n);
  g_assert_true (sound (audit));
  audit_free (audit);
}

static void
test_damage_denies (Trail *trail, gconstpointer data)
{
  Audit *audit = audit_open (trail->folder);
  g_autoptr (GError) error = NULL;
  g_autofree char *log = NULL;
  gsize n;

  fill (audit, 3);
  g_file_get_contents (trail->log, &log, &n, NULL);
  write_back (trail->log, log, n - 5);
  g_assert_nonnull (audit_problem (audit));
  g_assert_false (audit_append (audit, &error, "decision", "subject", "x", NULL));
  g_assert_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED);
  g_clear_error (&error);
  /* Also for the next guard. */
  audit_free (audit);
  audit = audit_open (trail->folder);
  g_assert_nonnull (audit_problem (audit));
  g_assert_false (audit_append (audit, &error, "decision", NULL));
  g_clear_error (&error);
  write_back (trail->log, log, n);
  g_assert_null (audit_problem (audit));
  fill (audit, 1);
  g_assert_true (sound (audit));
  audit_free (audit);
}

static void
test_head_counts (Trail *trail, gconstpointer data)
{
  Audit *audit = audit_open (trail->folder);
  g_autofree char *old = NULL;
  g_autofree char *head = NULL;
  gsize n, n_head;

  fill (audit, 2);
  g_file_get_contents (trail->head, &head, &n_head, NULL);
  for (gsize i = 0; i < n_head; i++)
    {
      head[i] ^= 1;
      write_back (trail->head, head, n_head);
      if (sound (audit))
        g_error ("byte %" G_GSIZE_FORMAT " of the head can be changed", i);
      head[i] ^= 1;
    }
  write_back (trail->head, head, n_head);
  /* A head that is behind is what a crash leaves: the records beyond it are sound and taken in. */
  g_file_get_contents (trail->head, &old, &n, NULL);
  fill (audit, 1);
  audit_free (audit);
  write_back (trail->head, old, n);
  audit = audit_open (trail->folder);
  g_assert_null (audit_problem (audit));
  g_assert_true (sound (audit));
  audit_free (audit);
  /* No head at all is not. */
  write_back (trail->head, "", 0);
  audit = audit_open (trail->folder);
  g_assert_nonnull (audit_problem (audit));
  audit_free (audit);
}

static void
test_removed_log_is_noticed (Trail *trail, gconstpointer data)
{
  Audit *audit = audit_open (trail->folder);

  fill (audit, 2);
  g_unlink (trail->log);
  g_assert_false (sound (audit));
  g_assert_nonnull (audit_problem (audit));
  g_assert_false (audit_append (audit, NULL, "decision", NULL));
  audit_free (audit);
  audit = audit_open (trail->folder);
  g_assert_nonnull (audit_problem (audit));
  audit_free (audit);
}

static void
test_another_key_is_noticed (Trail *trail, gconstpointer data)
{
  Audit *audit = audit_open (trail->folder);
  g_autofree char *key = g_build_filename (trail->folder, "audit.key", NULL);

  fill (audit, 2);
  audit_free (audit);
  g_unlink (key);
  audit = audit_open (trail->folder);
  g_assert_nonnull (audit_problem (audit));
  audit_free (audit);
}

/* A full disk, by the limit on a file's size: no record, no half record, and it goes on when there is room again. */
static void
test_full_storage_denies (Trail *trail, gconstpointer data)
{
  Audit *audit = audit_open (trail->folder);
  g_autoptr (GError) error = NULL;
  struct rlimit old, small;
  struct stat info;

  fill (audit, 3);
  stat (trail->log, &info);
  getrlimit (RLIMIT_FSIZE, &old);
  small = old;
  small.rlim_cur = (rlim_t) info.st_size + 50;
  signal (SIGXFSZ, SIG_IGN);
  setrlimit (RLIMIT_FSIZE, &small);
  g_assert_false (audit_append (audit, &error, "decision", "subject", "x", NULL));
  g_assert_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED);
  setrlimit (RLIMIT_FSIZE, &old);
  g_assert_true (sound (audit));
  fill (audit, 1);
  g_assert_true (sound (audit));
  audit_free (audit);
}

static void
test_no_text_forges_a_record (Trail *trail, gconstpointer data)
{
  static const char *const texts[] = {
    "a\nb", "\",\"result\":\"allow", "\x1b[2J", "\xe2\x80\xae!evil", "\xff\xfe", "\t\r\v", "{\"n\":1}", "\\", "\xf0\x9f\x98\x80",
    "\",\"seal\":\"00", "",
  };
  Audit *audit = audit_open (trail->folder);
  g_auto (GStrv) records = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    g_assert_true (audit_append (audit, NULL, "note", "text", texts[i], texts[i], "value", NULL));
  g_assert_true (sound (audit));
  records = audit_list (audit, 0, NULL, NULL);
  g_assert_cmpuint (g_strv_length (records), ==, G_N_ELEMENTS (texts));
  for (guint i = 0; records[i]; i++)
    {
      g_autoptr (JsonNode) node = json_from_string (records[i], NULL);

      g_assert_nonnull (node);
      g_assert_cmpstr (json_object_get_string_member_with_default (json_node_get_object (node), "event", ""), ==, "note");
      for (const char *at = records[i]; *at; at++)
        g_assert_true (*at >= 0x20 && *at < 0x7f);
    }
  audit_free (audit);
}

static void
test_long_texts_are_cut (Trail *trail, gconstpointer data)
{
  Audit *audit = audit_open (trail->folder);
  g_autofree char *text = g_strnfill (100000, 'x');

  g_assert_true (audit_append (audit, NULL, "note", "a", text, "b", text, NULL));
  fill (audit, 1);
  g_assert_true (sound (audit));
  audit_free (audit);
}

static void
test_filter (Trail *trail, gconstpointer data)
{
  static const char *const pieces[] = { "\"subject\":\"machine3\"", NULL };
  Audit *audit = audit_open (trail->folder);
  g_auto (GStrv) one = NULL;
  g_auto (GStrv) last = NULL;

  fill (audit, 6);
  one = audit_list (audit, 0, pieces, NULL);
  g_assert_cmpuint (g_strv_length (one), ==, 1);
  last = audit_list (audit, 2, NULL, NULL);
  g_assert_cmpuint (g_strv_length (last), ==, 2);
  g_assert_nonnull (strstr (last[0], "machine4"));
  audit_free (audit);
}

/* ------------------------------------------------------------------------------------------------ sealed files */

static void
test_sealed_file (Trail *trail, gconstpointer data)
{
  static const guint8 key[SEAL_BYTES] = { 1 }, other[SEAL_BYTES] = { 2 };
  g_autofree char *path = g_build_filename (trail->folder, "test.conf", NULL);
  g_autofree char *moved = g_build_filename (trail->folder, "moved.conf", NULL);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GKeyFile) empty = NULL;
  g_autoptr (GKeyFile) back = NULL;
  g_autofree char *bytes = NULL;
  gsize n;

  empty = files_load_sealed (path, key, NULL);
  g_assert_nonnull (empty);
  g_key_file_set_string (file, "machine", "label", "s40:16/i20");
  g_key_file_set_string (file, "machine", "name", "# seal 00\nx");
  g_assert_true (files_save_sealed (path, file, key, NULL));
  back = files_load_sealed (path, key, NULL);
  g_assert_nonnull (back);
  g_assert_null (files_load_sealed (path, other, NULL));
  g_file_get_contents (path, &bytes, &n, NULL);
  for (gsize i = 0; i < n; i++)
    for (int bit = 0; bit < 8; bit++)
      {
        GKeyFile *changed;

        bytes[i] ^= (char) (1 << bit);
        write_back (path, bytes, n);
        changed = files_load_sealed (path, key, NULL);
        if (changed)
          g_error ("bit %d of byte %" G_GSIZE_FORMAT " can be changed", bit, i);
        bytes[i] ^= (char) (1 << bit);
      }
  for (gsize k = 0; k < n; k++)
    {
      write_back (path, bytes, k);
      g_assert_null (files_load_sealed (path, key, NULL));
    }
  /* Under another name it is another file. */
  write_back (moved, bytes, n);
  g_assert_null (files_load_sealed (moved, key, NULL));
}

static void
test_key_must_be_private (Trail *trail, gconstpointer data)
{
  g_autofree char *path = g_build_filename (trail->folder, "key", NULL);
  guint8 a[SEAL_BYTES], b[SEAL_BYTES];

  g_assert_true (files_load_key (path, a, NULL));
  g_assert_true (files_load_key (path, b, NULL));
  g_assert_cmpmem (a, sizeof a, b, sizeof b);
  g_chmod (path, 0640);
  g_assert_false (files_load_key (path, b, NULL));
  g_chmod (path, 0600);
  g_assert_cmpint (truncate (path, 31), ==, 0);
  g_assert_false (files_load_key (path, b, NULL));
}

static void
test_neutral_text (Trail *trail, gconstpointer data)
{
  static const char *const texts[][2] = {
    { "plain", "plain" }, { "a\nb", "a?b" }, { "\x1b[31m", "?[31m" }, { "\xe2\x80\xae", "?" }, { "\xe2\x80\x8b", "?" },
    { "\xc3\xa4", "\xc3\xa4" }, { "\xef\xbb\xbf", "?" }, { "\xe2\x80\xa8", "?" }, { "\x7f", "?" }, { "\xc2\x9b", "?" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autofree char *neutral = files_neutral_text (texts[i][0], 100);

      g_assert_cmpstr (neutral, ==, texts[i][1]);
    }
  {
    g_autofree char *cut = files_neutral_text ("abcdef", 3);

    g_assert_cmpstr (cut, ==, "abc");
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, function) g_test_add (path, Trail, NULL, set_up, function, tear_down)
  ADD ("/audit/grows-and-survives-restart", test_grows_and_survives_restart);
  ADD ("/audit/every-flipped-byte-is-found", test_every_flipped_byte_is_found);
  ADD ("/audit/cut-swap-insert", test_cut_swap_insert);
  ADD ("/audit/damage-denies", test_damage_denies);
  ADD ("/audit/head-counts", test_head_counts);
  ADD ("/audit/removed-log-is-noticed", test_removed_log_is_noticed);
  ADD ("/audit/another-key-is-noticed", test_another_key_is_noticed);
  ADD ("/audit/full-storage-denies", test_full_storage_denies);
  ADD ("/audit/no-text-forges-a-record", test_no_text_forges_a_record);
  ADD ("/audit/long-texts-are-cut", test_long_texts_are_cut);
  ADD ("/audit/filter", test_filter);
  ADD ("/files/sealed-file", test_sealed_file);
  ADD ("/files/key-must-be-private", test_key_must_be_private);
  ADD ("/files/neutral-text", test_neutral_text);
  return g_test_run ();
}
