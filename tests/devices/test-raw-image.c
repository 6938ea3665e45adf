/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Raw images on real files. */
#include "raw-image.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static BlockBackend *
open_memory (uint64_t n_bytes, int *ret_fd)
{
  int fd = memfd_create ("image", MFD_CLOEXEC);
  BlockBackend *image = NULL;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, (off_t) n_bytes), ==, 0);
  g_assert_cmpint (raw_image_new (fd, false, &image), ==, 0);
  if (ret_fd)
    *ret_fd = fd;
  return image;
}

static void
test_read_and_write (void)
{
  BlockBackend *image = open_memory (10000, NULL);
  uint8_t bytes[600], back[600];

  for (unsigned i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t) (i * 3);
  g_assert_cmpuint (image->n_bytes, ==, 10000);
  g_assert_cmpstr (image->klass->format, ==, "raw");
  g_assert_cmpint (block_write (image, 5000, bytes, sizeof bytes), ==, 0);
  g_assert_cmpint (block_read (image, 5000, back, sizeof back), ==, 0);
  g_assert_cmpmem (back, sizeof back, bytes, sizeof bytes);
  g_assert_cmpint (block_flush (image), ==, 0);
  block_close (image);
}

static void
test_ranges_are_checked (void)
{
  BlockBackend *image = open_memory (1024, NULL);
  uint8_t bytes[1025] = { 0 };

  g_assert_cmpint (block_read (image, 0, bytes, 1024), ==, 0);
  g_assert_cmpint (block_read (image, 1024, bytes, 0), ==, 0);
  g_assert_cmpint (block_read (image, 0, bytes, 1025), ==, -EINVAL);
  g_assert_cmpint (block_read (image, 1023, bytes, 2), ==, -EINVAL);
  g_assert_cmpint (block_read (image, UINT64_MAX, bytes, 1), ==, -EINVAL);
  g_assert_cmpint (block_read (image, UINT64_MAX - 10, bytes, 20), ==, -EINVAL);
  g_assert_cmpint (block_write (image, 1024, bytes, 1), ==, -EINVAL);
  g_assert_cmpint (block_write (image, 1ull << 63, bytes, 1), ==, -EINVAL);
  g_assert_cmpint (image->klass->discard (image, 1000, 25), ==, -EINVAL);
  g_assert_cmpint (image->klass->discard (image, 1, UINT64_MAX), ==, -EINVAL);
  block_close (image);
}

static void
test_read_only (void)
{
  uint8_t bytes[16] = { 0 };
  int fd = memfd_create ("image", MFD_CLOEXEC);
  BlockBackend *image = NULL;

  g_assert_cmpint (ftruncate (fd, 512), ==, 0);
  g_assert_cmpint (raw_image_new (fd, true, &image), ==, 0);
  g_assert_true (image->read_only);
  g_assert_cmpint (block_write (image, 0, bytes, 16), ==, -EROFS);
  g_assert_cmpint (image->klass->discard (image, 0, 16), ==, -EROFS);
  g_assert_cmpint (image->klass->resize (image, 1024), ==, -EROFS);
  g_assert_cmpint (block_flush (image), ==, 0);
  g_assert_cmpint (block_read (image, 0, bytes, 16), ==, 0);
  block_close (image);
}

static void
test_descriptor_without_write_is_read_only (void)
{
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp ("raw-XXXXXX", &path, NULL);
  BlockBackend *image = NULL;

  g_assert_cmpint (ftruncate (fd, 512), ==, 0);
  close (fd);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  g_assert_cmpint (raw_image_new (fd, false, &image), ==, 0);
  g_assert_true (image->read_only);
  block_close (image);
  fd = open (path, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (raw_image_new (fd, false, &image), ==, -EINVAL);
  close (fd);
  g_unlink (path);
}

static void
test_other_files_are_refused (void)
{
  BlockBackend *image = NULL;
  int pipes[2], fd;

  g_assert_cmpint (pipe (pipes), ==, 0);
  g_assert_cmpint (raw_image_new (pipes[0], false, &image), ==, -EINVAL);
  close (pipes[0]);
  close (pipes[1]);
  fd = open ("/dev/zero", O_RDWR | O_CLOEXEC);
  g_assert_cmpint (raw_image_new (fd, false, &image), ==, -EINVAL);
  close (fd);
  fd = open ("/", O_RDONLY | O_CLOEXEC);
  g_assert_cmpint (raw_image_new (fd, false, &image), ==, -EINVAL);
  close (fd);
  g_assert_cmpint (raw_image_new (-1, false, &image), ==, -EBADF);
  g_assert_null (image);
}

static void
test_discard_reads_zero (void)
{
  static const uint8_t zero[65536];
  static uint8_t bytes[65536];
  int fd;
  BlockBackend *image = open_memory (1 << 20, &fd);
  struct stat before, after;

  memset (bytes, 0xaa, sizeof bytes);
  g_assert_cmpint (block_write (image, 65536, bytes, sizeof bytes), ==, 0);
  g_assert_cmpint (fstat (fd, &before), ==, 0);
  g_assert_cmpint (image->klass->discard (image, 65536, sizeof bytes), ==, 0);
  g_assert_cmpint (image->klass->discard (image, 0, 0), ==, 0);
  g_assert_cmpint (fstat (fd, &after), ==, 0);
  g_assert_cmpint (after.st_blocks, <, before.st_blocks);
  g_assert_cmpint (after.st_size, ==, before.st_size);
  g_assert_cmpint (block_read (image, 65536, bytes, sizeof bytes), ==, 0);
  g_assert_cmpmem (bytes, sizeof bytes, zero, sizeof zero);
  block_close (image);
}

static void
test_resize (void)
{
  uint8_t byte = 7;
  BlockBackend *image = open_memory (512, NULL);

  g_assert_cmpint (image->klass->resize (image, 4096), ==, 0);
  g_assert_cmpuint (image->n_bytes, ==, 4096);
  g_assert_cmpint (block_read (image, 4095, &byte, 1), ==, 0);
  g_assert_cmphex (byte, ==, 0);
  g_assert_cmpint (image->klass->resize (image, UINT64_MAX), ==, -EINVAL);
  g_assert_cmpint (image->klass->resize (image, 100), ==, 0);
  g_assert_cmpint (block_read (image, 100, &byte, 1), ==, -EINVAL);
  block_close (image);
}

static void
test_file_cut_short_is_an_error (void)
{
  uint8_t bytes[512];
  int fd;
  BlockBackend *image = open_memory (4096, &fd);

  g_assert_cmpint (ftruncate (fd, 1000), ==, 0);
  g_assert_cmpint (block_read (image, 0, bytes, 512), ==, 0);
  g_assert_cmpint (block_read (image, 900, bytes, 512), ==, -EIO);
  block_close (image);
}

static void
test_full_disk (void)
{
  g_autofree char *path = NULL;
  struct rlimit old, limit;
  int fd = g_file_open_tmp ("raw-XXXXXX", &path, NULL);
  BlockBackend *image = NULL;
  uint8_t bytes[512] = { 0 };

  /* The file size limit stands for a full disk: writes beyond fail, and work when there is room again. */
  g_assert_cmpint (ftruncate (fd, 1 << 20), ==, 0);
  g_assert_cmpint (raw_image_new (fd, false, &image), ==, 0);
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  limit = old;
  limit.rlim_cur = 65536;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  g_assert_cmpint (block_write (image, 0, bytes, 512), ==, 0);
  g_assert_cmpint (block_write (image, 65536, bytes, 512), ==, -EFBIG);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  g_assert_cmpint (block_write (image, 65536, bytes, 512), ==, 0);
  block_close (image);
  g_unlink (path);
}

static void
test_close_closes (void)
{
  int fd;
  BlockBackend *image = open_memory (512, &fd);

  block_close (image);
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, -1);
  block_close (NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/raw-image/read-and-write", test_read_and_write);
  g_test_add_func ("/raw-image/ranges-are-checked", test_ranges_are_checked);
  g_test_add_func ("/raw-image/read-only", test_read_only);
  g_test_add_func ("/raw-image/descriptor-without-write-is-read-only", test_descriptor_without_write_is_read_only);
  g_test_add_func ("/raw-image/other-files-are-refused", test_other_files_are_refused);
  g_test_add_func ("/raw-image/discard-reads-zero", test_discard_reads_zero);
  g_test_add_func ("/raw-image/resize", test_resize);
  g_test_add_func ("/raw-image/file-cut-short-is-an-error", test_file_cut_short_is_an_error);
  g_test_add_func ("/raw-image/full-disk", test_full_disk);
  g_test_add_func ("/raw-image/close-closes", test_close_closes);
  return g_test_run ();
}
