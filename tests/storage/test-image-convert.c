/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disks of other hypervisors, with qemu-img as judge, and files that lie. */
#include "memory-io.h"

#include "foreign-images.h"
#include "image-convert.h"
#include "image.h"

#include <fcntl.h>

#define SIZE (9u << 20)

static char *raw, *other;

static void
make_disk (uint8_t *ret)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (11);

  memset (ret, 0, SIZE);
  for (unsigned i = 0; i < 60; i++)
    {
      unsigned at = (unsigned) g_rand_int_range (random, 0, SIZE - 40000), n = (unsigned) g_rand_int_range (random, 1, 40000);

      for (unsigned b = 0; b < n; b++)
        ret[at + b] = (uint8_t) (g_rand_int (random) & 0x3f);
    }
}

static BlockBackend *
open_path (const char *path, const char *format)
{
  char *error = NULL;
  BlockBackend *disk = image_open (path, format, true, &error);

  if (!disk)
    g_error ("%s", error);
  return disk;
}

static void
test_reads (gconstpointer data)
{
  const char *const *row = data;        /* our format, theirs, options */
  const char *convert[] = { "qemu-img", "convert", "-f", "raw", "-O", row[1], "-o", row[2], raw, other, NULL };
  g_autofree uint8_t *model = g_malloc (SIZE), *seen = g_malloc (SIZE);
  uint64_t begin = 0, end = 0;
  BlockBackend *disk;

  if (!have_qemu ())
    {
      g_test_skip ("qemu-img is not installed");
      return;
    }
  make_disk (model);
  g_assert_true (g_file_set_contents (raw, (char *) model, SIZE, NULL));
  g_assert_cmpint (run_tool (convert, NULL), ==, 0);
  disk = open_path (other, row[0]);
  g_assert_cmpuint (disk->n_bytes, >=, SIZE);
  g_assert_cmpint (block_read (disk, 0, seen, SIZE), ==, 0);
  g_assert_cmpmem (model, SIZE, seen, SIZE);
  g_assert_cmpint (block_read (disk, 12345, seen, 77777), ==, 0);
  g_assert_cmpmem (model + 12345, 77777, seen, 77777);
  g_assert_cmpint (block_read (disk, disk->n_bytes, seen, 1), ==, -EINVAL);
  g_assert_cmpint (block_write (disk, 0, seen, 1), ==, -EROFS);
  if (disk->klass->next_data)
    g_assert_cmpint (disk->klass->next_data (disk, 0, &begin, &end), ==, 0);
  block_close (disk);
}

static void
test_writes (gconstpointer data)
{
  const char *format = data;
  const char *compare[] = { "qemu-img", "compare", "-q", "-f", "raw", "-F", format, raw, other, NULL };
  g_autofree uint8_t *model = g_malloc (SIZE);
  BlockBackend *from;
  ImageIo *to = NULL;
  GStatBuf info;

  if (!have_qemu ())
    {
      g_test_skip ("qemu-img is not installed");
      return;
    }
  make_disk (model);
  memset (model + (3 << 20), 0, 4 << 20);
  g_assert_true (g_file_set_contents (raw, (char *) model, SIZE, NULL));
  from = open_path (raw, "raw");
  g_remove (other);
  g_assert_cmpint (image_io_fd_new (open (other, O_RDWR | O_CREAT | O_EXCL, 0600), false, &to), ==, 0);
  g_assert_cmpint (image_convert (from, to, format, NULL), ==, 0);
  block_close (from);
  g_assert_cmpint (run_tool (compare, NULL), ==, 0);
  g_assert_cmpint (g_stat (other, &info), ==, 0);
  g_assert_cmpint (info.st_blocks * 512, <, SIZE - (3 << 20));  /* holes stay holes */
}

/* Not only conversions: a VDI or VMDK that is written to like a disk. */
static void
test_written_again (gconstpointer data)
{
  const char *format = data;
  MemoryFile file = { 0 };
  MemoryIo *io = memory_io_new (&file, NULL);
  g_autofree uint8_t *model = g_malloc0 (SIZE), *seen = g_malloc (SIZE);
  BlockBackend *disk = NULL;

  g_assert_cmpint (strcmp (format, "vdi") == 0 ? vdi_create (&io->parent, SIZE) : vmdk_create (&io->parent, SIZE, NULL), ==, 0);
  for (unsigned round = 0; round < 4; round++)
    {
      if (!io)
        io = memory_io_new (&file, NULL);
      g_assert_cmpint (image_open_io (&io->parent, format, false, &disk, NULL), ==, 0);
      for (unsigned i = 0; i < 20; i++)
        {
          unsigned at = (unsigned) g_test_rand_int_range (0, SIZE - 100000), n = (unsigned) g_test_rand_int_range (1, 100000);

          memset (model + at, (int) (round * 20 + i + 1), n);
          g_assert_cmpint (block_write (disk, at, model + at, n), ==, 0);
        }
      block_close (disk);
      io = memory_io_new (&file, NULL);
      g_assert_cmpint (image_open_io (&io->parent, format, true, &disk, NULL), ==, 0);
      g_assert_cmpint (block_read (disk, 0, seen, SIZE), ==, 0);
      g_assert_cmpmem (model, SIZE, seen, SIZE);
      block_close (disk);
      io = NULL;
    }
  memory_file_clear (&file);
}

/* Every byte of the first sectors changed, every length: no crash, no endless work. */
static void
test_lies (gconstpointer data)
{
  const char *const *row = data;
  const char *convert[] = { "qemu-img", "convert", "-f", "raw", "-O", row[1], "-o", row[2], raw, other, NULL };
  g_autoptr (GRand) random = g_rand_new_with_seed (3);
  g_autofree uint8_t *model = g_malloc0 (SIZE);
  g_autofree char *bytes = NULL;
  MemoryFile file = { 0 };
  gsize n = 0;

  if (!have_qemu ())
    {
      g_test_skip ("qemu-img is not installed");
      return;
    }
  memset (model + 70000, 7, 5000);
  g_assert_true (g_file_set_contents (raw, (char *) model, SIZE, NULL));
  g_assert_cmpint (run_tool (convert, NULL), ==, 0);
  g_assert_true (g_file_get_contents (other, &bytes, &n, NULL));
  for (unsigned i = 0; i < 700; i++)
    {
      MemoryIo *io;
      BlockBackend *disk = NULL;
      uint8_t seen[5000];

      memory_file_resize (&file, 0);
      memory_file_write (&file, 0, (uint8_t *) bytes, n);
      if (i < 512)
        {
          file.bytes[i] = (uint8_t) g_rand_int (random);
          file.bytes[n - 512 + i] ^= (uint8_t) (i % 3 == 0 ? 0xff : 0);
          file.bytes[n - 1024 + i] ^= (uint8_t) (i % 5 == 0 ? 0x80 : 0);
        }
      else if (i < 600)
        memory_file_resize (&file, (uint64_t) g_rand_int_range (random, 0, (gint32) MIN (n, 100000)));
      else
        for (unsigned k = 0; k < 40; k++)
          file.bytes[512 + (unsigned) g_rand_int_range (random, 0, (gint32) MIN (n - 512, 4096))] = (uint8_t) g_rand_int (random);
      io = memory_io_new (&file, NULL);
      if (image_open_io (&io->parent, row[0], false, &disk, NULL) < 0)
        {
          g_free (io);
          continue;
        }
      for (uint64_t at = 0; at < MIN (disk->n_bytes, SIZE); at += 65536)
        block_read (disk, at, seen, (size_t) MIN (sizeof seen, disk->n_bytes - at));
      block_close (disk);
    }
  memory_file_clear (&file);
}

int
main (int argc, char **argv)
{
  static const char *const rows[][3] = {
    { "vmdk", "vmdk", "subformat=monolithicSparse" }, { "vmdk", "vmdk", "subformat=streamOptimized" },
    { "vdi", "vdi", "static=off" }, { "vdi", "vdi", "static=on" },
    { "vhd", "vpc", "subformat=dynamic,force_size=on" }, { "vhd", "vpc", "subformat=fixed,force_size=on" }
  };
  static const char *const writable[] = { "raw", "qcow2", "vmdk", "vdi" };
  int result;

  g_test_init (&argc, &argv, NULL);
  raw = scratch_file ("convert.raw");
  other = scratch_file ("convert.other");
  for (unsigned i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *reads = g_strdup_printf ("/image-convert/reads/%s/%s", rows[i][1], strchr (rows[i][2], '=') + 1);
      g_autofree char *lies = g_strdup_printf ("/image-convert/lies/%s/%s", rows[i][1], strchr (rows[i][2], '=') + 1);

      g_test_add_data_func (reads, rows[i], test_reads);
      g_test_add_data_func (lies, rows[i], test_lies);
    }
  for (unsigned i = 0; i < G_N_ELEMENTS (writable); i++)
    {
      g_autofree char *writes = g_strdup_printf ("/image-convert/writes/%s", writable[i]);

      g_test_add_data_func (writes, writable[i], test_writes);
    }
  g_test_add_data_func ("/image-convert/written-again/vdi", "vdi", test_written_again);
  g_test_add_data_func ("/image-convert/written-again/vmdk", "vmdk", test_written_again);
  result = g_test_run ();
  g_remove (raw);
  g_remove (other);
  g_free (raw);
  g_free (other);
  return result;
}
