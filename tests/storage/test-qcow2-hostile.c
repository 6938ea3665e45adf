/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files that lie.  Each is refused, or its damaged part gives an I/O error; none takes a second or crashes, nothing is
 * ever opened on its word, and what it says about its tables never makes a write land in a table. */
#include "memory-io.h"

#include "image-convert.h"
#include "qcow2.h"

typedef enum { REFUSED = 1, HANDLED = 2, EITHER = 3 } Expected;

typedef struct
{
  const char *name;
  uint64_t    offset;
  unsigned    width;            /* bytes of value, big-endian */
  uint64_t    value;
  Expected    expected;         /* when opened for writing */
} Lie;

/* The image below: 64 KiB clusters; 0 header, 1 refcount table, 2 refcount block, 3 L1, then allocated: 4 L2, 5 … data,
 * snapshots.  Offsets of the fields: the format text. */
#define C(n) ((uint64_t) (n) << 16)
#define COPIED (UINT64_C (1) << 63)
#define PACKED (UINT64_C (1) << 62)

static const Lie lies[] = {
  { "magic",                          0, 4, 0x514649fa, REFUSED },
  { "version-0",                      4, 4, 0, REFUSED },
  { "version-1",                      4, 4, 1, REFUSED },
  { "version-4",                      4, 4, 4, REFUSED },
  { "version-2-with-v3-tables",       4, 4, 2, EITHER },
  { "backing-offset-past-cluster",    8, 8, C (1) + 1, REFUSED },
  { "backing-offset-in-header",       8, 8, 8, REFUSED },
  { "backing-offset-huge",            8, 8, UINT64_MAX, REFUSED },
  { "backing-named",                  8, 8, 4096, REFUSED },
  { "backing-length-huge",            8, 12, 0, REFUSED },      /* see apply_lie */
  { "cluster-bits-0",                20, 4, 0, REFUSED },
  { "cluster-bits-8",                20, 4, 8, REFUSED },
  { "cluster-bits-9",                20, 4, 9, EITHER },
  { "cluster-bits-21",               20, 4, 21, EITHER },
  { "cluster-bits-22",               20, 4, 22, REFUSED },
  { "cluster-bits-63",               20, 4, 63, REFUSED },
  { "cluster-bits-huge",             20, 4, UINT32_MAX, REFUSED },
  { "size-huge",                     24, 8, UINT64_MAX, REFUSED },
  { "size-past-l1",                  24, 8, UINT64_C (1) << 40, REFUSED },
  { "size-zero",                     24, 8, 0, HANDLED },
  { "size-odd",                      24, 8, 12345, HANDLED },
  { "crypt-aes",                     32, 4, 1, REFUSED },
  { "crypt-luks-without-header",     32, 4, 2, REFUSED },
  { "crypt-3",                       32, 4, 3, REFUSED },
  { "l1-size-0",                     36, 4, 0, REFUSED },
  { "l1-size-huge",                  36, 4, UINT32_MAX, REFUSED },
  { "l1-size-maximum",               36, 4, 4 << 20, REFUSED },
  { "l1-offset-0",                   40, 8, 0, REFUSED },
  { "l1-offset-odd",                 40, 8, C (3) + 8, REFUSED },
  { "l1-offset-past-end",            40, 8, C (4000), REFUSED },
  { "l1-offset-huge",                40, 8, UINT64_MAX & ~(C (1) - 1), REFUSED },
  { "l1-is-refcount-table",          40, 8, C (1), REFUSED },
  { "l1-is-refcount-block",          40, 8, C (2), REFUSED },
  { "l1-is-l2",                      40, 8, C (4), EITHER },
  { "refcount-table-0",              48, 8, 0, REFUSED },
  { "refcount-table-odd",            48, 8, C (1) + 512, REFUSED },
  { "refcount-table-past-end",       48, 8, C (4000), REFUSED },
  { "refcount-table-is-l1",          48, 8, C (3), REFUSED },
  { "refcount-table-is-data",        48, 8, C (5), EITHER },
  { "refcount-table-clusters-0",     56, 4, 0, REFUSED },
  { "refcount-table-clusters-huge",  56, 4, UINT32_MAX, REFUSED },
  { "refcount-table-clusters-over-l1", 56, 4, 3, REFUSED },
  { "snapshots-huge",                60, 4, UINT32_MAX, REFUSED },
  { "snapshots-65536",               60, 4, 65536, REFUSED },
  { "snapshots-two-more",            60, 4, 3, REFUSED },
  { "snapshot-table-0",              64, 8, 0, REFUSED },
  { "snapshot-table-odd",            64, 8, C (4) + 8, REFUSED },
  { "snapshot-table-past-end",       64, 8, C (4000), REFUSED },
  { "snapshot-table-is-header",      64, 8, 0, REFUSED },
  { "snapshot-table-is-l1",          64, 8, C (3), REFUSED },
  { "incompatible-dirty",            72, 8, 1, HANDLED },
  { "incompatible-corrupt",          72, 8, 2, REFUSED },
  { "incompatible-data-file",        72, 8, 4, REFUSED },
  { "incompatible-compression",      72, 8, 8, REFUSED },
  { "incompatible-extended-l2",      72, 8, 16, EITHER },
  { "incompatible-bit-5",            72, 8, 32, REFUSED },
  { "incompatible-bit-63",           72, 8, COPIED, REFUSED },
  { "compatible-all",                80, 8, UINT64_MAX, HANDLED },
  { "autoclear-all",                 88, 8, UINT64_MAX, HANDLED },
  { "refcount-order-7",              96, 4, 7, REFUSED },
  { "refcount-order-huge",           96, 4, UINT32_MAX, REFUSED },
  { "refcount-order-0",              96, 4, 0, EITHER },
  { "refcount-order-6",              96, 4, 6, EITHER },
  { "header-length-0",              100, 4, 0, REFUSED },
  { "header-length-103",            100, 4, 103, REFUSED },
  { "header-length-huge",           100, 4, UINT32_MAX & ~7u, REFUSED },
  { "compression-type-1",           104, 1, 1, REFUSED },
  { "compression-type-9",           104, 1, 9, REFUSED },
  { "extension-length-huge",        116, 4, UINT32_MAX, HANDLED },
  { "refcount-block-0",            C (1), 8, 0, HANDLED },
  { "refcount-block-odd",          C (1), 8, C (2) + 512, HANDLED },
  { "refcount-block-past-end",     C (1), 8, C (5000), HANDLED },
  { "refcount-block-huge",         C (1), 8, UINT64_MAX & ~(C (1) - 1), HANDLED },
  { "refcount-block-is-header",    C (1), 8, 0x100, HANDLED },
  { "refcount-block-is-l1",        C (1), 8, C (3), REFUSED },
  { "refcount-block-is-itself",    C (1), 8, C (1), REFUSED },
  { "refcount-block-twice",        C (1) + 8, 8, C (2), REFUSED },
  { "refcount-of-header-0",        C (2), 2, 0, HANDLED },
  { "refcount-of-table-0",         C (2) + 2, 2, 0, HANDLED },
  { "refcount-of-block-0",         C (2) + 4, 2, 0, HANDLED },
  { "refcount-of-l1-0",            C (2) + 6, 2, 0, HANDLED },
  { "refcount-of-l2-0",            C (2) + 8, 2, 0, HANDLED },
  { "refcount-of-data-0",          C (2) + 10, 2, 0, HANDLED },
  { "refcount-of-data-full",       C (2) + 10, 2, UINT16_MAX, HANDLED },
  { "refcount-all-zero",           C (2), 8, 0, HANDLED },
  { "l1-entry-odd",                C (3), 8, COPIED | (C (4) + 512), HANDLED },
  { "l1-entry-past-end",           C (3), 8, COPIED | C (5000), HANDLED },
  { "l1-entry-huge",               C (3), 8, UINT64_MAX, HANDLED },
  { "l1-entry-is-header",          C (3), 8, COPIED, HANDLED },
  { "l1-entry-is-l1",              C (3), 8, COPIED | C (3), REFUSED },
  { "l1-entry-is-refcount-table",  C (3), 8, COPIED | C (1), REFUSED },
  { "l1-entry-is-refcount-block",  C (3), 8, COPIED | C (2), REFUSED },
  { "l2-entry-odd",                C (4), 8, COPIED | (C (5) + 512), HANDLED },
  { "l2-entry-past-end",           C (4), 8, COPIED | C (5000), HANDLED },
  { "l2-entry-huge",               C (4), 8, COPIED | (UINT64_C (0xff) << 48), HANDLED },
  { "l2-entry-is-header",          C (4), 8, COPIED, HANDLED },
  { "l2-entry-is-l1",              C (4), 8, COPIED | C (3), HANDLED },
  { "l2-entry-is-l2",              C (4), 8, COPIED | C (4), HANDLED },
  { "l2-entry-is-refcount-table",  C (4), 8, COPIED | C (1), HANDLED },
  { "l2-entry-is-refcount-block",  C (4), 8, COPIED | C (2), HANDLED },
  { "l2-entry-reserved-bits",      C (4), 8, COPIED | C (5) | 0x3e, HANDLED },
  { "l2-entry-zero-with-place",    C (4), 8, COPIED | C (5) | 1, HANDLED },
  { "l2-entry-packed-at-0",        C (4), 8, PACKED, HANDLED },
  { "l2-entry-packed-no-stream",   C (4), 8, PACKED | C (5), HANDLED },
  { "l2-entry-packed-past-end",    C (4), 8, PACKED | C (5000), HANDLED },
  { "l2-entry-packed-huge",        C (4), 8, PACKED | (PACKED - 1), HANDLED },
  { "l2-entry-packed-copied",      C (4), 8, COPIED | PACKED | C (5), HANDLED },
};

static void
apply_lie (MemoryFile *file, const Lie *lie)
{
  for (unsigned i = 0; i < lie->width; i++)
    file->bytes[lie->offset + i] = i < lie->width && lie->width <= 8 ? (uint8_t) (lie->value >> 8 * (lie->width - 1 - i)) : 0xff;
  if (strcmp (lie->name, "backing-named") == 0)
    memcpy (file->bytes + 16, "\0\0\0\x0b", 4), memcpy (file->bytes + 4096, "/etc/passwd", 11);
}

static int
open_file (MemoryFile *file, bool read_only, BlockBackend **ret)
{
  MemoryIo *io = memory_io_new (file, NULL);
  const char *reason = NULL;
  int result = image_open_io (&io->parent, "qcow2", read_only, ret, &reason);

  if (result < 0)
    {
      g_assert_nonnull (reason);
      g_free (io);
    }
  return result;
}

static void
make_victim (MemoryFile *file)
{
  Qcow2Create what = { .n_bytes = 16 << 20, .default_refcount = true };
  Qcow2Snapshot snapshot = { .name = "s" };
  MemoryIo *io = memory_io_new (file, NULL);
  BlockBackend *disk = NULL;
  uint8_t bytes[4096];

  memset (bytes, 0x42, sizeof bytes);
  g_assert_cmpint (qcow2_create (&io->parent, &what, NULL), ==, 0);
  g_free (io);
  g_assert_cmpint (open_file (file, false, &disk), ==, 0);
  for (unsigned i = 0; i < 4; i++)
    g_assert_cmpint (block_write (disk, C (i) + 100, bytes, sizeof bytes), ==, 0);
  g_assert_cmpint (block_flush (disk), ==, 0);
  g_assert_cmpint (qcow2_snapshot_create (disk, &snapshot), ==, 0);
  g_assert_cmpint (qcow2_snapshot_delete (disk, 0), ==, 0);
  g_assert_cmpint (qcow2_snapshot_create (disk, &snapshot), ==, 0);
  block_close (disk);
  memory_file_resize (file, (file->size + 65535) & ~UINT64_C (65535));
}

/* Everything a machine, the guard and a tool may do with it; only time and memory safety are judged. */
static void
use (BlockBackend *disk)
{
  static uint8_t bytes[100000];
  Qcow2Snapshot snapshot = { .name = "t" }, got;
  Qcow2Check check;
  uint64_t begin, end, n;

  for (uint64_t at = 0; at < MIN (disk->n_bytes, 1 << 20); at += 50000)
    {
      block_read (disk, at, bytes, (size_t) MIN (sizeof bytes, disk->n_bytes - at));
      block_write (disk, at, bytes, (size_t) MIN (777, disk->n_bytes - at));
    }
  block_flush (disk);
  if (!disk->read_only)
    disk->klass->discard (disk, 0, MIN (disk->n_bytes, 200000));
  disk->klass->next_data (disk, 0, &begin, &end);
  for (unsigned i = 0; i < MIN (qcow2_n_snapshots (disk), 3); i++)
    {
      qcow2_get_snapshot (disk, i, &got);
      qcow2_snapshot_exclusive_bytes (disk, i, &n);
      qcow2_read_vm_state (disk, i, 0, bytes, 10);
    }
  qcow2_snapshot_create (disk, &snapshot);
  qcow2_write_vm_state (disk, 0, bytes, 1000);
  if (qcow2_n_snapshots (disk))
    qcow2_snapshot_apply (disk, 0);
  if (qcow2_n_snapshots (disk))
    qcow2_snapshot_delete (disk, 0);
  disk->klass->resize (disk, disk->n_bytes + 100000);
  qcow2_used_bytes (disk, &n);
  qcow2_check (disk, false, &check);
  qcow2_check (disk, !disk->read_only, &check);
  block_close (disk);
}

static void
test_lie (gconstpointer data)
{
  const Lie *lie = data;

  for (unsigned pass = 0; pass < 2; pass++)
    {
      gint64 begin = g_get_monotonic_time ();
      MemoryFile file = { 0 };
      BlockBackend *disk = NULL;
      uint8_t header[65536];
      int result;

      make_victim (&file);
      apply_lie (&file, lie);
      memcpy (header, file.bytes, sizeof header);
      result = open_file (&file, pass == 0, &disk);
      if (pass == 1 && result == 0 && !(lie->expected & HANDLED))
        g_error ("was accepted");
      if (pass == 1 && result < 0 && !(lie->expected & REFUSED))
        g_error ("was refused: %s", g_strerror (-result));
      if (result == 0)
        use (disk);
      /* Whatever it said: guest data never got into the header's sector. */
      g_assert_cmpmem (file.bytes, 4, header, 4);
      memory_file_clear (&file);
      g_assert_cmpint (g_get_monotonic_time () - begin, <, G_USEC_PER_SEC);
    }
}

/* Guest data must not land in a table that the refcounts call free. */
static void
test_free_tables_are_not_taken (void)
{
  MemoryFile file = { 0 };
  g_autofree uint8_t *tables = g_malloc (4 * 65536), *bytes = g_malloc (65536);
  BlockBackend *disk = NULL;
  int result = 0;

  make_victim (&file);
  memset (file.bytes + C (2), 0, 65536);
  memcpy (tables, file.bytes, 4 * 65536);
  memset (bytes, 0x99, 65536);
  g_assert_cmpint (open_file (&file, false, &disk), ==, 0);
  for (unsigned i = 10; i < 200 && result == 0; i++)
    result = block_write (disk, C (i), bytes, 65536);
  g_assert_cmpint (result, ==, -EIO);
  block_close (disk);
  g_assert_cmpmem (file.bytes, 2 * 65536, tables, 2 * 65536);
  g_assert_null (memmem (file.bytes, 4 * 65536, bytes, 512));
  memory_file_clear (&file);
}

/* A file cut off at every cluster, and at many other places. */
static void
test_cut_off (void)
{
  MemoryFile whole = { 0 };

  make_victim (&whole);
  for (uint64_t n = 0; n < whole.size; n += n < 200 ? 1 : 7919)
    for (unsigned read_only = 0; read_only < 2; read_only++)
      {
        MemoryFile file = { 0 };
        BlockBackend *disk = NULL;

        memory_file_copy (&file, &whole);
        memory_file_resize (&file, n);
        if (open_file (&file, read_only, &disk) == 0)
          use (disk);
        memory_file_clear (&file);
      }
  memory_file_clear (&whole);
}

/* Each bit of the header, and random bytes in the tables. */
static void
test_flipped_bits (void)
{
  MemoryFile whole = { 0 };
  g_autoptr (GRand) random = g_rand_new_with_seed (4);

  make_victim (&whole);
  for (unsigned i = 0; i < 112 * 8 + 400; i++)
    {
      MemoryFile file = { 0 };
      BlockBackend *disk = NULL;

      memory_file_copy (&file, &whole);
      if (i < 112 * 8)
        file.bytes[i / 8] ^= (uint8_t) (1u << i % 8);
      else
        for (unsigned k = 0; k < 8; k++)
          file.bytes[C (g_rand_int_range (random, 1, 9)) + (uint64_t) g_rand_int_range (random, 0, 64)] ^= (uint8_t) g_rand_int (random);
      if (open_file (&file, i & 1, &disk) == 0)
        use (disk);
      memory_file_clear (&file);
    }
  memory_file_clear (&whole);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (unsigned i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strconcat ("/qcow2-hostile/", lies[i].name, NULL);

      g_test_add_data_func (path, &lies[i], test_lie);
    }
  g_test_add_func ("/qcow2-hostile/free-tables-are-not-taken", test_free_tables_are_not_taken);
  g_test_add_func ("/qcow2-hostile/cut-off", test_cut_off);
  g_test_add_func ("/qcow2-hostile/flipped-bits", test_flipped_bits);
  return g_test_run ();
}
