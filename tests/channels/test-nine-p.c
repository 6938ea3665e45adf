/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The server of shared folders: what a client does, and what a hostile one does. */
#include "nine-p-client.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 100, ATTACH = 104, WALK = 110, LOPEN = 12, LCREATE = 14, READ = 116, WRITE = 118, CLUNK = 120, GETATTR = 24, SETATTR = 26,
       READDIR = 40, MKDIR = 72, UNLINKAT = 76, RENAMEAT = 74, READLINK = 22, STATFS = 8, SYMLINK = 16, LINK = 70, MKNOD = 18 };

typedef struct
{
  NineP *server;
  char  *path;
  int    root;
  NinePMessage in, out;
} Fixture;

static void
start (Fixture *f, gboolean writable)
{
  nine_p_free (f->server);
  f->server = nine_p_new (f->root, writable);
  nine_p_begin (&f->in, VERSION);
  nine_p_put (&f->in, 4, 100000);
  nine_p_text (&f->in, "9P2000.L");
  g_assert_cmpint (nine_p_ask (f->server, &f->in, &f->out), ==, 0);
  g_assert_cmpuint (nine_p_get (&f->out, 7, 4), ==, NINE_P_MAX_MESSAGE);
  nine_p_begin (&f->in, ATTACH);
  nine_p_put (&f->in, 4, 0);
  nine_p_put (&f->in, 4, 0xffffffff);
  nine_p_text (&f->in, "root");
  nine_p_text (&f->in, "");
  nine_p_put (&f->in, 4, 0);
  g_assert_cmpint (nine_p_ask (f->server, &f->in, &f->out), ==, 0);
}

static void
setup (Fixture *f, gconstpointer data)
{
  g_autofree char *file = NULL;
  g_autofree char *link_name = NULL;
  g_autofree char *folder = NULL;
  g_autofree char *fifo = NULL;

  f->path = g_dir_make_tmp ("bulkhead-9p-XXXXXX", NULL);
  file = g_build_filename (f->path, "file", NULL);
  link_name = g_build_filename (f->path, "link", NULL);
  folder = g_build_filename (f->path, "folder", NULL);
  fifo = g_build_filename (f->path, "fifo", NULL);
  g_assert_true (g_file_set_contents (file, "contents", -1, NULL));
  g_assert_cmpint (symlink ("/etc/passwd", link_name), ==, 0);
  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  f->root = open (f->path, O_RDONLY | O_DIRECTORY);
  start (f, data == NULL);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  char *argv[] = { (char *) "rm", (char *) "-rf", f->path, NULL };

  nine_p_free (f->server);
  close (f->root);
  g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (f->path);
}

static int
walk (Fixture *f, uint32_t from, uint32_t to, const char *name)
{
  nine_p_begin (&f->in, WALK);
  nine_p_put (&f->in, 4, from);
  nine_p_put (&f->in, 4, to);
  nine_p_put (&f->in, 2, name ? 1 : 0);
  if (name)
    nine_p_text (&f->in, name);
  return nine_p_ask (f->server, &f->in, &f->out);
}

static int
ask (Fixture *f, unsigned type, uint32_t fid, const char *name, uint32_t a, uint32_t b, uint32_t c)
{
  nine_p_begin (&f->in, type);
  nine_p_put (&f->in, 4, fid);
  if (name)
    nine_p_text (&f->in, name);
  nine_p_put (&f->in, 4, a);
  nine_p_put (&f->in, 4, b);
  nine_p_put (&f->in, 4, c);
  return nine_p_ask (f->server, &f->in, &f->out);
}

static int
read_at (Fixture *f, uint32_t fid, uint64_t offset, uint32_t n)
{
  nine_p_begin (&f->in, READ);
  nine_p_put (&f->in, 4, fid);
  nine_p_put (&f->in, 8, offset);
  nine_p_put (&f->in, 4, n);
  return nine_p_ask (f->server, &f->in, &f->out);
}

static int
write_at (Fixture *f, uint32_t fid, uint64_t offset, const char *text)
{
  nine_p_begin (&f->in, WRITE);
  nine_p_put (&f->in, 4, fid);
  nine_p_put (&f->in, 8, offset);
  nine_p_put (&f->in, 4, strlen (text));
  memcpy (f->in.bytes + f->in.n, text, strlen (text));
  f->in.n += strlen (text);
  return nine_p_ask (f->server, &f->in, &f->out);
}

static void
reads_files (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (walk (f, 0, 1, "file"), ==, 0);
  g_assert_cmpint (ask (f, LOPEN, 1, NULL, 0, 0, 0), ==, 0);
  g_assert_cmpint (read_at (f, 1, 3, 100), ==, 0);
  g_assert_cmpuint (nine_p_get (&f->out, 7, 4), ==, 5);
  g_assert_cmpmem (f->out.bytes + 11, 5, "tents", 5);
  g_assert_cmpint (read_at (f, 1, 1000, 100), ==, 0);
  g_assert_cmpuint (nine_p_get (&f->out, 7, 4), ==, 0);
  g_assert_cmpint (ask (f, CLUNK, 1, NULL, 0, 0, 0), ==, 0);
  g_assert_cmpint (read_at (f, 1, 0, 1), ==, -EBADF);
}

static void
lists_folders (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (walk (f, 0, 1, NULL), ==, 0);
  g_assert_cmpint (ask (f, LOPEN, 1, NULL, 0, 0, 0), ==, 0);
  nine_p_begin (&f->in, READDIR);
  nine_p_put (&f->in, 4, 1);
  nine_p_put (&f->in, 8, 0);
  nine_p_put (&f->in, 4, 8000);
  g_assert_cmpint (nine_p_ask (f->server, &f->in, &f->out), ==, 0);
  g_assert_nonnull (memmem (f->out.bytes, f->out.n, "folder", 6));
  g_assert_nonnull (memmem (f->out.bytes, f->out.n, "link", 4));
  /* As small as it likes: whole entries or none. */
  for (unsigned n = 0; n < 100; n++)
    {
      nine_p_begin (&f->in, READDIR);
      nine_p_put (&f->in, 4, 1);
      nine_p_put (&f->in, 8, 0);
      nine_p_put (&f->in, 4, n);
      g_assert_cmpint (nine_p_ask (f->server, &f->in, &f->out), ==, 0);
      g_assert_cmpuint (nine_p_get (&f->out, 7, 4), <=, n);
    }
}

static void
writes_files (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->path, "folder", "renamed", NULL);
  g_autofree char *text = NULL;

  g_assert_cmpint (walk (f, 0, 1, NULL), ==, 0);
  g_assert_cmpint (ask (f, LCREATE, 1, "new", 0102, 0644, 0), ==, 0);
  g_assert_cmpint (write_at (f, 1, 0, "hello"), ==, 0);
  g_assert_cmpint (write_at (f, 1, 5, " host"), ==, 0);
  g_assert_cmpint (walk (f, 0, 2, "folder"), ==, 0);
  nine_p_begin (&f->in, RENAMEAT);
  nine_p_put (&f->in, 4, 0);
  nine_p_text (&f->in, "new");
  nine_p_put (&f->in, 4, 2);
  nine_p_text (&f->in, "renamed");
  g_assert_cmpint (nine_p_ask (f->server, &f->in, &f->out), ==, 0);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "hello host");
  /* A fid that held it before the rename finds it under its new name. */
  g_assert_cmpint (ask (f, CLUNK, 1, NULL, 0, 0, 0), ==, 0);
  g_assert_cmpint (walk (f, 2, 1, "renamed"), ==, 0);
  g_assert_cmpint (ask (f, LOPEN, 1, NULL, 01002, 0, 0), ==, 0);
  g_assert_cmpint (ask (f, UNLINKAT, 2, "renamed", 0, 0, 0), ==, 0);
  g_assert_cmpint (ask (f, MKDIR, 0, "made", 0755, 0, 0), ==, 0);
  g_assert_cmpint (ask (f, UNLINKAT, 0, "made", 0x200, 0, 0), ==, 0);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

static void
read_only_is_read_only (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (walk (f, 0, 1, "file"), ==, 0);
  g_assert_cmpint (ask (f, LOPEN, 1, NULL, 1, 0, 0), ==, -EROFS);
  g_assert_cmpint (ask (f, LOPEN, 1, NULL, 2, 0, 0), ==, -EROFS);
  g_assert_cmpint (ask (f, LOPEN, 1, NULL, 01000, 0, 0), ==, -EROFS);
  g_assert_cmpint (ask (f, LOPEN, 1, NULL, 0, 0, 0), ==, 0);
  g_assert_cmpint (write_at (f, 1, 0, "x"), ==, -EROFS);
  g_assert_cmpint (walk (f, 0, 2, NULL), ==, 0);
  g_assert_cmpint (ask (f, LCREATE, 2, "new", 0102, 0644, 0), ==, -EROFS);
  g_assert_cmpint (ask (f, MKDIR, 0, "new", 0755, 0, 0), ==, -EROFS);
  g_assert_cmpint (ask (f, UNLINKAT, 0, "file", 0, 0, 0), ==, -EROFS);
  nine_p_begin (&f->in, SETATTR);
  nine_p_put (&f->in, 4, 1);
  nine_p_put (&f->in, 4, 8);
  for (unsigned i = 0; i < 52; i++)
    nine_p_put (&f->in, 1, 0);
  g_assert_cmpint (nine_p_ask (f->server, &f->in, &f->out), ==, -EROFS);
}

static void
names_do_not_leave (Fixture *f, gconstpointer data)
{
  static const char *const bad[] = { "..", ".", "", "/etc/passwd", "folder/../..", "../x", "a/b" };

  for (size_t i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_cmpint (walk (f, 0, 9, bad[i]), <, 0);
      g_assert_cmpint (walk (f, 0, 1, NULL), ==, 0);
      g_assert_cmpint (ask (f, LCREATE, 1, bad[i], 0102, 0644, 0), <, 0);
      g_assert_cmpint (ask (f, MKDIR, 0, bad[i], 0755, 0, 0), <, 0);
      g_assert_cmpint (ask (f, UNLINKAT, 0, bad[i], 0, 0, 0), <, 0);
      ask (f, CLUNK, 1, NULL, 0, 0, 0);
    }
}

static void
links_and_special_files_are_not_followed (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (walk (f, 0, 1, "fifo"), ==, -ENOENT);
  /* A link can be looked at, which tells what the folder's owner wrote into it, but not opened or walked through. */
  if (walk (f, 0, 1, "link") == 0)
    {
      g_assert_cmpint (ask (f, LOPEN, 1, NULL, 0, 0, 0), <, 0);
      g_assert_cmpint (walk (f, 1, 2, "x"), <, 0);
    }
  g_assert_cmpint (ask (f, SYMLINK, 0, "evil", 0, 0, 0), ==, -EOPNOTSUPP);
  g_assert_cmpint (ask (f, LINK, 0, "evil", 0, 0, 0), ==, -EOPNOTSUPP);
  g_assert_cmpint (ask (f, MKNOD, 0, "evil", 0, 0, 0), ==, -EOPNOTSUPP);
}

/* A file that is replaced by a link between walk and open is not opened. */
static void
swapped_file_is_not_opened (Fixture *f, gconstpointer data)
{
  g_autofree char *file = g_build_filename (f->path, "file", NULL);

  g_assert_cmpint (walk (f, 0, 1, "file"), ==, 0);
  g_assert_cmpint (unlink (file), ==, 0);
  g_assert_cmpint (symlink ("/etc/passwd", file), ==, 0);
  g_assert_cmpint (ask (f, LOPEN, 1, NULL, 0, 0, 0), <, 0);
  g_assert_cmpint (walk (f, 0, 2, "folder"), ==, 0);
}

static void
lengths_are_checked (Fixture *f, gconstpointer data)
{
  nine_p_begin (&f->in, WRITE);
  nine_p_put (&f->in, 4, 0);
  nine_p_put (&f->in, 8, 0);
  nine_p_put (&f->in, 4, 0xffffffff);
  g_assert_cmpint (nine_p_ask (f->server, &f->in, &f->out), <, 0);
  nine_p_begin (&f->in, WALK);
  nine_p_put (&f->in, 4, 0);
  nine_p_put (&f->in, 4, 5);
  nine_p_put (&f->in, 2, 17);
  g_assert_cmpint (nine_p_ask (f->server, &f->in, &f->out), ==, -EINVAL);
  nine_p_begin (&f->in, WALK);
  nine_p_put (&f->in, 4, 0);
  nine_p_put (&f->in, 4, 5);
  nine_p_put (&f->in, 2, 1);
  nine_p_put (&f->in, 2, 0xffff);
  g_assert_cmpint (nine_p_ask (f->server, &f->in, &f->out), <, 0);
  g_assert_cmpuint (nine_p_handle (f->server, (const uint8_t *) "\x07\0\0\0\x64\0", 6, f->out.bytes), ==, 0);
  g_assert_cmpuint (nine_p_handle (f->server, (const uint8_t *) "\x08\0\0\0\x64\0\0", 7, f->out.bytes), ==, 0);
}

static void
fids_are_bounded (Fixture *f, gconstpointer data)
{
  int result = 0;

  for (uint32_t i = 1; i < NINE_P_MAX_FIDS + 10 && result == 0; i++)
    result = walk (f, 0, i, NULL);
  g_assert_cmpint (result, ==, -EMFILE);
  g_assert_cmpint (walk (f, 0, 5, NULL), ==, -EBADF);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define TEST(name, read_only) g_test_add ("/nine-p/" #name, Fixture, read_only, setup, name, teardown)
  TEST (reads_files, NULL);
  TEST (lists_folders, NULL);
  TEST (writes_files, NULL);
  TEST (read_only_is_read_only, "");
  TEST (names_do_not_leave, NULL);
  TEST (links_and_special_files_are_not_followed, NULL);
  TEST (swapped_file_is_not_opened, NULL);
  TEST (lengths_are_checked, NULL);
  TEST (fids_are_bounded, NULL);
  return g_test_run ();
}
