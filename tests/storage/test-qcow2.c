/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2: what the format promises, in both directions with QEMU's tools; failing hosts; lying files.
 * BULKHEAD_QCOW2_SCRIPTS=N, BULKHEAD_QCOW2_SEED=S for longer random runs. */
#include "memory-io.h"

#include "image-convert.h"
#include "image-fd.h"
#include "qcow2.h"

#include <fcntl.h>

#define MAGIC 0x424c4b48u

static int
open_memory (MemoryFile *file, bool read_only, BlockBackend **ret, const char **ret_reason)
{
  MemoryIo *io = memory_io_new (file, NULL);
  Qcow2Open how = { .io = &io->parent, .read_only = read_only };
  int result = qcow2_open (&how, ret, ret_reason);

  if (result < 0)
    g_free (io);
  return result;
}

static BlockBackend *
must_open (MemoryFile *file)
{
  const char *reason = NULL;
  BlockBackend *disk = NULL;
  int result = open_memory (file, false, &disk, &reason);

  if (result < 0)
    g_error ("%s (%s)", reason, g_strerror (-result));
  return disk;
}

static BlockBackend *
new_image (MemoryFile *file, const Qcow2Create *what)
{
  MemoryIo *io = memory_io_new (file, NULL);

  g_assert_cmpint (qcow2_create (&io->parent, what, NULL), ==, 0);
  g_free (io);
  return must_open (file);
}

static void
fill (uint8_t *bytes, size_t n, uint32_t seed)
{
  for (size_t i = 0; i < n; i++)
    {
      seed = seed * 1664525u + 1013904223u;
      bytes[i] = (uint8_t) (seed >> 24);
    }
}

/* --- geometry --------------------------------------------------------------------------------------------------- */

static void
test_all_geometries (void)
{
  for (unsigned bits = QCOW2_MIN_CLUSTER_BITS; bits <= QCOW2_MAX_CLUSTER_BITS; bits++)
    for (unsigned order = 0; order <= 6; order += bits == 12 || bits == 16 ? 1 : 3)
      for (unsigned extended = 0; extended <= (bits >= 14 ? 1u : 0u); extended++)
        {
          Qcow2Create what = { .n_bytes = 5 << 20, .cluster_bits = bits, .refcount_order = order, .extended_l2 = extended };
          MemoryFile file = { 0 };
          BlockBackend *disk = new_image (&file, &what);
          g_autofree uint8_t *model = g_malloc0 (5 << 20), *seen = g_malloc (5 << 20);
          Qcow2Check check;

          for (unsigned i = 0; i < 12; i++)
            {
              uint64_t at = (uint64_t) g_test_rand_int_range (0, (5 << 20) - 200000);
              size_t n = (size_t) g_test_rand_int_range (1, 200000);

              fill (model + at, n, i + bits);
              g_assert_cmpint (block_write (disk, at, model + at, n), ==, 0);
            }
          g_assert_cmpint (disk->klass->discard (disk, 1 << 20, 1 << 20), ==, 0);
          memset (model + (1 << 20), 0, 1 << 20);
          block_close (disk);
          g_assert_cmpint (qemu_check (&file, NULL), ==, 0);
          disk = must_open (&file);
          g_assert_cmpint (block_read (disk, 0, seen, 5 << 20), ==, 0);
          g_assert_cmpmem (model, 5 << 20, seen, 5 << 20);
          g_assert_cmpint (qcow2_check (disk, false, &check), ==, 0);
          g_assert_cmpuint (check.n_errors, ==, 0);
          g_assert_cmpuint (check.n_leaks, ==, 0);
          g_assert_cmpint (block_read (disk, 5 << 20, seen, 1), ==, -EINVAL);
          g_assert_cmpint (block_write (disk, (5 << 20) - 1, seen, 2), ==, -EINVAL);
          block_close (disk);
          memory_file_clear (&file);
        }
}

static void
test_limits (void)
{
  static const struct { Qcow2Create what; int result; } rows[] = {
    { { .n_bytes = 1 << 20, .cluster_bits = 8 }, -EINVAL },
    { { .n_bytes = 1 << 20, .cluster_bits = 22 }, -EINVAL },
    { { .n_bytes = 1 << 20, .refcount_order = 7 }, -EINVAL },
    { { .n_bytes = 1 << 20, .cluster_bits = 13, .extended_l2 = true }, -EINVAL },
    { { .n_bytes = UINT64_C (128) << 30, .cluster_bits = 9, .refcount_order = 4 }, 0 },
    { { .n_bytes = (UINT64_C (128) << 30) + 512, .cluster_bits = 9 }, -EFBIG },
    { { .n_bytes = UINT64_MAX }, -EFBIG },
    { { .n_bytes = 1 << 20, .cluster_bits = 9, .extension_magic = MAGIC, .n_extension = 512 }, -ENOSPC },
    { { .n_bytes = 1 << 20, .extension_magic = MAGIC, .n_extension = 49152 }, 0 },
    { { .n_bytes = 1 << 20, .passphrase = "", .n_passphrase = 0 }, -EINVAL },
    { { .n_bytes = 0 }, 0 },
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      MemoryFile file = { 0 };
      MemoryIo *io = memory_io_new (&file, NULL);

      g_assert_cmpint (qcow2_create (&io->parent, &rows[i].what, NULL), ==, rows[i].result);
      if (rows[i].result == 0)
        {
          g_assert_cmpint (qemu_check (&file, NULL), ==, 0);
          g_assert_cmpint (qcow2_create (&io->parent, &rows[i].what, NULL), ==, -EEXIST);
        }
      g_free (io);
      memory_file_clear (&file);
    }
}

/* The refcount table grows, with blocks so small that they are needed all the time. */
static void
test_refcount_table_grows (void)
{
  Qcow2Create what = { .n_bytes = 24 << 20, .cluster_bits = 9, .refcount_order = 6 };
  MemoryFile file = { 0 };
  BlockBackend *disk = new_image (&file, &what);
  g_autofree uint8_t *bytes = g_malloc (24 << 20), *seen = g_malloc (24 << 20);
  Qcow2Check check;

  fill (bytes, 24 << 20, 1);
  for (unsigned at = 0; at < 24 << 20; at += 1 << 20)
    g_assert_cmpint (block_write (disk, at, bytes + at, 1 << 20), ==, 0);
  g_assert_cmpint (disk->klass->resize (disk, 1 << 30), ==, 0);
  block_close (disk);
  g_assert_cmpint (qemu_check (&file, NULL), ==, 0);
  disk = must_open (&file);
  g_assert_cmpuint (disk->n_bytes, ==, 1 << 30);
  g_assert_cmpint (block_read (disk, 0, seen, 24 << 20), ==, 0);
  g_assert_cmpmem (bytes, 24 << 20, seen, 24 << 20);
  g_assert_cmpint (qcow2_check (disk, false, &check), ==, 0);
  g_assert_cmpuint (check.n_errors + check.n_leaks, ==, 0);
  block_close (disk);
  memory_file_clear (&file);
}

/* --- extensions and features ----------------------------------------------------------------------------------------- */

static void
test_extension (void)
{
  Qcow2Create what = { .n_bytes = 1 << 20, .default_refcount = true, .extension_magic = MAGIC, .n_extension = 1000,
                       .backing_name = "base.img", .autoclear = QCOW2_AUTOCLEAR_BULKHEAD };
  MemoryFile file = { 0 }, base_file = { 0 };
  MemoryIo *io = memory_io_new (&file, NULL), *base_io;
  Qcow2Open how = { .io = &io->parent };
  BlockBackend *disk = NULL, *base = NULL;
  uint8_t bytes[1000], more[3000];
  const char *reason = NULL;
  Qcow2Info info;
  size_t n = 0;

  g_assert_cmpint (qcow2_create (&io->parent, &what, NULL), ==, 0);
  g_assert_cmpint (qcow2_open (&how, &disk, &reason), ==, -EINVAL);
  g_assert_nonnull (strstr (reason, "backing"));
  memory_file_resize (&base_file, 1 << 20);
  memset (base_file.bytes, 0x5a, 1 << 20);
  base_io = memory_io_new (&base_file, NULL);
  g_assert_cmpint (image_open_io (&base_io->parent, "raw", true, &base, NULL), ==, 0);
  how.backing = base;
  g_assert_cmpint (qcow2_open (&how, &disk, &reason), ==, 0);
  g_assert_cmpint (qcow2_get_info (disk, &info), ==, 0);
  g_assert_cmpstr (info.backing_name, ==, "base.img");
  g_assert_cmpuint (info.autoclear, ==, QCOW2_AUTOCLEAR_BULKHEAD);
  g_assert_cmpint (qcow2_get_extension (disk, MAGIC, bytes, sizeof bytes, &n), ==, 0);
  g_assert_cmpuint (n, ==, 1000);
  g_assert_cmpint (qcow2_write_extension_bytes (disk, MAGIC, 990, "0123456789", 10), ==, 0);
  g_assert_cmpint (qcow2_write_extension_bytes (disk, MAGIC, 991, "0123456789", 10), ==, -ERANGE);
  g_assert_cmpint (qcow2_write_extension_bytes (disk, MAGIC + 1, 0, "0", 1), ==, -ENOENT);
  g_assert_cmpint (qcow2_get_extension (disk, MAGIC, bytes, sizeof bytes, &n), ==, 0);
  g_assert_cmpmem (bytes + 990, 10, "0123456789", 10);
  fill (more, sizeof more, 9);
  g_assert_cmpint (qcow2_set_extension (disk, MAGIC + 1, more, sizeof more), ==, 0);
  g_assert_cmpint (qcow2_set_extension (disk, MAGIC, NULL, 0), ==, 0);
  g_assert_cmpint (qcow2_get_extension (disk, MAGIC, bytes, sizeof bytes, &n), ==, -ENOENT);
  g_assert_cmpint (qcow2_get_info (disk, &info), ==, 0);
  g_assert_cmpstr (info.backing_name, ==, "base.img");
  g_assert_cmpint (block_read (disk, 1000, bytes, 3), ==, 0);
  g_assert_cmpmem (bytes, 3, "ZZZ", 3);
  /* A discarded part does not show the backing file again. */
  g_assert_cmpint (disk->klass->discard (disk, 0, 100000), ==, 0);
  g_assert_cmpint (block_read (disk, 99999, bytes, 2), ==, 0);
  g_assert_cmpmem (bytes, 2, "\0Z", 2);
  block_close (disk);
  memory_file_clear (&file);
  memory_file_clear (&base_file);
}

static void
test_autoclear_of_others (void)
{
  Qcow2Create what = { .n_bytes = 1 << 20, .default_refcount = true, .autoclear = QCOW2_AUTOCLEAR_BULKHEAD | 0x30 };
  MemoryFile file = { 0 };
  BlockBackend *disk = new_image (&file, &what);
  Qcow2Info info;

  qcow2_get_info (disk, &info);
  g_assert_cmphex (info.autoclear, ==, QCOW2_AUTOCLEAR_BULKHEAD | 0x30);
  block_close (disk);
  disk = must_open (&file);
  qcow2_get_info (disk, &info);
  g_assert_cmphex (info.autoclear, ==, QCOW2_AUTOCLEAR_BULKHEAD);
  block_close (disk);
  if (have_qemu ())
    {
      g_autofree char *path = scratch_file ("foreign.qcow2");
      const char *argv[] = { "qemu-img", "resize", "-q", "-f", "qcow2", path, "2M", NULL };
      g_autofree char *bytes = NULL;
      gsize n;

      g_assert_true (g_file_set_contents (path, (char *) file.bytes, (gssize) file.size, NULL));
      g_assert_cmpint (run_tool (argv, NULL), ==, 0);
      g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
      g_assert_cmpmem (bytes + 88, 8, "\0\0\0\0\0\0\0\0", 8);
      g_remove (path);
    }
  memory_file_clear (&file);
}

/* --- encryption ------------------------------------------------------------------------------------------------------------ */

static void
test_luks (void)
{
  Qcow2Create what = { .n_bytes = 3 << 20, .default_refcount = true, .passphrase = "first one", .n_passphrase = 9, .unlock_ms = 1 };
  g_autofree char *path = scratch_file ("luks.qcow2"), *raw = scratch_file ("luks.raw"), *header = scratch_file ("luks.header");
  g_autofree uint8_t *model = g_malloc0 (3 << 20), *seen = g_malloc (3 << 20);
  g_autofree char *image = g_strdup_printf ("driver=qcow2,file.filename=%s,encrypt.key-secret=s", path);
  MemoryFile file = { 0 };
  MemoryIo *io = memory_io_new (&file, NULL);
  uint8_t key[QCOW2_KEY_BYTES], again[QCOW2_KEY_BYTES];
  Qcow2Open how = { .io = &io->parent };
  BlockBackend *disk = NULL;
  g_autofree char *bytes = NULL;
  gsize n;

  g_assert_cmpint (qcow2_create (&io->parent, &what, key), ==, 0);
  g_assert_cmpint (qcow2_open (&how, &disk, NULL), ==, -ENOKEY);
  how.passphrase = "wrong";
  how.n_passphrase = 5;
  g_assert_cmpint (qcow2_open (&how, &disk, NULL), ==, -EKEYREJECTED);
  how.passphrase = "first one";
  how.n_passphrase = 9;
  g_assert_cmpint (qcow2_open (&how, &disk, NULL), ==, 0);
  g_assert_cmpint (qcow2_get_key (disk, again), ==, 0);
  g_assert_cmpmem (key, sizeof key, again, sizeof again);
  for (unsigned i = 0; i < 40; i++)
    {
      uint64_t at = (uint64_t) g_test_rand_int_range (0, (3 << 20) - 100000);
      size_t length = (size_t) g_test_rand_int_range (1, 100000);

      memcpy (model + at, "TOP-SECRET-CANARY", MIN (length, 17));
      g_assert_cmpint (block_write (disk, at, model + at, length), ==, 0);
    }
  g_assert_cmpint (block_read (disk, 0, seen, 3 << 20), ==, 0);
  g_assert_cmpmem (model, 3 << 20, seen, 3 << 20);
  /* A new passphrase, the old one goes. */
  g_assert_cmpint (qcow2_key_slot_add (disk, "second", 6, 1), ==, 1);
  g_assert_cmpint (qcow2_key_slot_find (disk, "second", 6), ==, 1);
  g_assert_cmpint (qcow2_key_slot_remove (disk, 0), ==, 0);
  g_assert_cmpint (qcow2_key_slot_remove (disk, 1), ==, -EBUSY);
  g_assert_cmpint (qcow2_key_slot_find (disk, "first one", 9), ==, -EKEYREJECTED);
  g_assert_false (qcow2_key_slot_active (disk, 0));
  block_close (disk);
  g_assert_null (memmem (file.bytes, file.size, "TOP-SECRET-CANARY", 17));

  if (have_qemu ())
    {
      const char *convert[] = { "qemu-img", "convert", "--object", "secret,id=s,data=second", "--image-opts", image, "-O", "raw", raw, NULL };
      const char *slot[] = { "qemu-img", "amend", "--object", "secret,id=s,data=second", "--object", "secret,id=n,data=third",
                             "--image-opts", image, "-o", "encrypt.state=active,encrypt.new-secret=n,encrypt.iter-time=10", NULL };

      g_assert_true (g_file_set_contents (path, (char *) file.bytes, (gssize) file.size, NULL));
      g_assert_cmpint (run_tool (convert, NULL), ==, 0);
      g_assert_true (g_file_get_contents (raw, &bytes, &n, NULL));
      g_assert_cmpmem (bytes, n, model, 3 << 20);
      g_clear_pointer (&bytes, g_free);
      /* A slot that QEMU filled opens here. */
      g_assert_cmpint (run_tool (slot, NULL), ==, 0);
      g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
      memory_file_write (&file, 0, (uint8_t *) bytes, n);
      io = memory_io_new (&file, NULL);
      how.io = &io->parent;
      how.passphrase = "third";
      how.n_passphrase = 5;
      g_assert_cmpint (qcow2_open (&how, &disk, NULL), ==, 0);
      g_assert_cmpint (block_read (disk, 0, seen, 3 << 20), ==, 0);
      g_assert_cmpmem (model, 3 << 20, seen, 3 << 20);
      block_close (disk);
      g_remove (raw);
      g_remove (path);
    }
  {
    g_autofree char *tool = g_find_program_in_path ("cryptsetup");
    const char *dump[] = { "cryptsetup", "luksDump", header, NULL };
    uint64_t at = 0;
    g_autofree char *out = NULL;

    while (at < file.size && memcmp (file.bytes + at, "LUKS\xba\xbe", 6) != 0)
      at += 65536;
    g_assert_cmpuint (at, <, file.size);
    if (tool)
      {
        g_assert_true (g_file_set_contents (header, (char *) file.bytes + at, 4040 * 512, NULL));
        g_assert_cmpint (run_tool (dump, &out), ==, 0);
        g_assert_nonnull (strstr (out, "xts-plain64"));
        g_assert_nonnull (strstr (out, "Key Slot 1: ENABLED"));
        g_remove (header);
      }
    else
      g_test_message ("cryptsetup is not installed");
  }
  memory_file_clear (&file);
}

/* --- snapshots ------------------------------------------------------------------------------------------------------------------ */

static void
test_snapshots (void)
{
  Qcow2Create what = { .n_bytes = 4 << 20, .default_refcount = true };
  MemoryFile file = { 0 };
  BlockBackend *disk = new_image (&file, &what);
  Qcow2Snapshot first = { .name = "one", .date_s = 5, .clock_ns = 77 }, got;
  uint8_t state[70000], seen[70000], byte;
  uint64_t n = 0;

  g_assert_cmpint (block_write (disk, 100, "first", 5), ==, 0);
  fill (state, sizeof state, 3);
  g_assert_cmpint (qcow2_write_vm_state (disk, 0, state, sizeof state), ==, 0);
  first.n_vm_state = sizeof state;
  g_assert_cmpint (qcow2_snapshot_create (disk, &first), ==, 0);
  g_assert_cmpstr (first.id, ==, "1");
  g_assert_cmpuint (first.n_disk, ==, 4 << 20);
  g_assert_cmpint (block_write (disk, 100, "other", 5), ==, 0);
  g_assert_cmpint (qcow2_read_vm_state (disk, 0, 0, seen, sizeof seen), ==, 0);
  g_assert_cmpmem (state, sizeof state, seen, sizeof seen);
  g_assert_cmpint (qcow2_read_vm_state (disk, 0, 1, seen, sizeof seen), ==, -EINVAL);
  g_assert_cmpint (disk->klass->resize (disk, 6 << 20), ==, 0);
  g_assert_cmpint (qcow2_snapshot_rename (disk, 0, "uno"), ==, 0);
  block_close (disk);
  g_assert_cmpint (qemu_check (&file, NULL), ==, 0);
  disk = must_open (&file);
  g_assert_cmpuint (qcow2_n_snapshots (disk), ==, 1);
  g_assert_cmpint (qcow2_get_snapshot (disk, 0, &got), ==, 0);
  g_assert_cmpstr (got.name, ==, "uno");
  g_assert_cmpuint (got.clock_ns, ==, 77);
  g_assert_cmpint (qcow2_read_vm_state (disk, 0, 0, seen, sizeof seen), ==, 0);
  g_assert_cmpmem (state, sizeof state, seen, sizeof seen);
  g_assert_cmpint (qcow2_snapshot_exclusive_bytes (disk, 0, &n), ==, 0);
  g_assert_cmpuint (n, >, 65536);
  g_assert_cmpint (qcow2_snapshot_apply (disk, 0), ==, 0);
  g_assert_cmpuint (disk->n_bytes, ==, 4 << 20);
  g_assert_cmpint (block_read (disk, 100, seen, 5), ==, 0);
  g_assert_cmpmem (seen, 5, "first", 5);
  g_assert_cmpint (block_write (disk, 104, "X", 1), ==, 0);
  g_assert_cmpint (qcow2_snapshot_delete (disk, 0), ==, 0);
  g_assert_cmpint (block_read (disk, 104, &byte, 1), ==, 0);
  g_assert_cmpint (byte, ==, 'X');
  block_close (disk);
  g_assert_cmpint (qemu_check (&file, NULL), ==, 0);
  memory_file_clear (&file);
}

/* One-bit refcounts cannot count to two. */
static void
test_snapshot_needs_room (void)
{
  Qcow2Create what = { .n_bytes = 1 << 20, .cluster_bits = 12, .refcount_order = 1 };
  MemoryFile file = { 0 };
  Qcow2Snapshot s = { .name = "x" };
  BlockBackend *disk = new_image (&file, &what);

  g_assert_cmpint (block_write (disk, 0, "a", 1), ==, 0);
  g_assert_cmpint (qcow2_snapshot_create (disk, &s), ==, 0);
  g_assert_cmpint (qcow2_snapshot_create (disk, &s), ==, 0);
  g_assert_cmpint (qcow2_snapshot_create (disk, &s), ==, -ENOTSUP);
  g_assert_cmpint (block_write (disk, 0, "b", 1), ==, 0);
  block_close (disk);
  g_assert_cmpint (qemu_check (&file, NULL), ==, 0);
  memory_file_clear (&file);
}

static void
test_snapshot_cycles (void)
{
  Qcow2Create what = { .n_bytes = 2 << 20, .default_refcount = true, .cluster_bits = 12 };
  MemoryFile file = { 0 };
  BlockBackend *disk = new_image (&file, &what);
  uint64_t size = 0;

  for (unsigned i = 0; i < 300; i++)
    {
      Qcow2Snapshot s = { .name = "again" };
      uint8_t bytes[9000];

      fill (bytes, sizeof bytes, i);
      g_assert_cmpint (block_write (disk, (i * 7919) % (2 << 20) / 2, bytes, sizeof bytes), ==, 0);
      g_assert_cmpint (qcow2_snapshot_create (disk, &s), ==, 0);
      g_assert_cmpint (block_write (disk, 4096, bytes, sizeof bytes), ==, 0);
      if (i % 3 == 0)
        g_assert_cmpint (qcow2_snapshot_apply (disk, 0), ==, 0);
      g_assert_cmpint (qcow2_snapshot_delete (disk, 0), ==, 0);
      if (i == 200)
        size = file.size;
    }
  g_assert_cmpuint (file.size, <=, size + (256 << 10));         /* room is used again */
  block_close (disk);
  g_assert_cmpint (qemu_check (&file, NULL), ==, 0);
  memory_file_clear (&file);
}

/* --- with QEMU -------------------------------------------------------------------------------------------------------------------- */

static unsigned
from_environment (const char *name, unsigned usual)
{
  const char *text = g_getenv (name);

  return text ? (unsigned) g_ascii_strtoull (text, NULL, 10) : usual;
}

/* Random scripts, a part of the operations by qemu-io and qemu-img, a part by us, whole disk compared after each turn. */
static void
test_scripts_with_qemu (void)
{
  static const char *const options[] = {
    "cluster_size=64k", "cluster_size=512", "cluster_size=4k,refcount_bits=1", "cluster_size=2M", "extended_l2=on,cluster_size=16k",
    "compat=0.10", "refcount_bits=64", "lazy_refcounts=on", "compression_type=zstd"
  };
  unsigned n_scripts = from_environment ("BULKHEAD_QCOW2_SCRIPTS", 18), seed = from_environment ("BULKHEAD_QCOW2_SEED", 1);
  const uint64_t size = 8 << 20;
  g_autofree char *path = scratch_file ("script.qcow2"), *raw = scratch_file ("script.raw");

  if (!have_qemu ())
    {
      g_test_skip ("qemu-img is not installed");
      return;
    }
  for (unsigned script = 0; script < n_scripts; script++)
    {
      const char *option = options[script % G_N_ELEMENTS (options)];
      g_autoptr (GRand) random = g_rand_new_with_seed (seed + script);
      const char *create[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-o", option, path, "8M", NULL };
      const char *compare[] = { "qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", path, raw, NULL };
      const char *check[] = { "qemu-img", "check", "-q", "-f", "qcow2", path, NULL };
      g_autofree uint8_t *model = g_malloc0 (size), *seen = g_malloc (size);
      bool snapshots = !strstr (option, "refcount_bits=1") && !strstr (option, "compat");

      g_assert_cmpint (run_tool (create, NULL), ==, 0);
      for (unsigned turn = 0; turn < 4; turn++)
        {
          g_autoptr (GPtrArray) io = g_ptr_array_new_with_free_func (g_free);
          BlockBackend *disk = NULL;
          ImageIo *seam = NULL;
          const char *reason = NULL;
          Qcow2Open how = { 0 };
          Qcow2Check result;
          int fd;

          g_ptr_array_add (io, g_strdup ("qemu-io"));
          g_ptr_array_add (io, g_strdup ("-f"));
          g_ptr_array_add (io, g_strdup ("qcow2"));
          for (unsigned i = 0; i < 6; i++)
            {
              unsigned at = (unsigned) g_rand_int_range (random, 0, 7 << 20) & ~511u, n = (unsigned) g_rand_int_range (random, 1, 2000) * 512;
              unsigned pattern = (unsigned) g_rand_int_range (random, 1, 255);
              int kind = g_rand_int_range (random, 0, 5);

              n = MIN (n, (unsigned) size - at);
              g_ptr_array_add (io, g_strdup ("-c"));
              if (kind == 0)
                g_ptr_array_add (io, g_strdup_printf ("write -z %s %u %u", g_rand_boolean (random) ? "-u" : "", at, n));
              else if (kind == 1 && !strstr (option, "512"))
                {
                  unsigned cluster = strstr (option, "2M") ? 2 << 20 : strstr (option, "16k") ? 16 << 10 : strstr (option, "=4k") ? 4096 : 65536;

                  at &= ~(cluster - 1);
                  n = cluster;
                  /* QEMU compresses into clusters without a place only. */
                  g_ptr_array_add (io, g_strdup_printf ("discard %u %u", at, n));
                  g_ptr_array_add (io, g_strdup ("-c"));
                  g_ptr_array_add (io, g_strdup_printf ("write -c -P %u %u %u", pattern, at, n));
                }
              else
                {
                  kind = 2;
                  g_ptr_array_add (io, g_strdup_printf ("write -P %u %u %u", pattern, at, n));
                }
              memset (model + at, kind ? (int) pattern : 0, n);
            }
          g_ptr_array_add (io, g_strdup (path));
          g_ptr_array_add (io, NULL);
          g_assert_cmpint (run_tool ((const char *const *) io->pdata, NULL), ==, 0);
          if (turn == 1 && snapshots)
            {
              const char *take[] = { "qemu-img", "snapshot", "-c", "theirs", path, NULL };

              g_assert_cmpint (run_tool (take, NULL), ==, 0);
            }

          fd = open (path, O_RDWR | O_CLOEXEC);
          g_assert_cmpint (image_io_fd_new (fd, false, &seam), ==, 0);
          how.io = seam;
          if (qcow2_open (&how, &disk, &reason) < 0)
            g_error ("%s: %s", option, reason);
          g_assert_cmpint (block_read (disk, 0, seen, size), ==, 0);
          if (memcmp (seen, model, size) != 0)
            g_error ("%s, script %u, turn %u: read differs", option, seed + script, turn);
          for (unsigned i = 0; i < 8; i++)
            {
              unsigned at = (unsigned) g_rand_int_range (random, 0, 7 << 20), n = (unsigned) g_rand_int_range (random, 1, 1 << 20);

              n = MIN (n, (unsigned) size - at);
              if (i % 4 == 3)
                {
                  memset (model + at, 0, n);
                  g_assert_cmpint (disk->klass->discard (disk, at, n), ==, 0);
                }
              else
                {
                  fill (model + at, n, g_rand_int (random));
                  g_assert_cmpint (block_write (disk, at, model + at, n), ==, 0);
                }
              if (i % 5 == 4)
                g_assert_cmpint (block_flush (disk), ==, 0);
              if (i == 2 && snapshots && turn == 2)
                {
                  Qcow2Snapshot mine = { .name = "ours" };

                  g_assert_cmpint (qcow2_snapshot_create (disk, &mine), ==, 0);
                }
            }
          g_assert_cmpint (block_read (disk, 0, seen, size), ==, 0);
          g_assert_cmpmem (seen, size, model, size);
          g_assert_cmpint (qcow2_check (disk, false, &result), ==, 0);
          g_assert_cmpuint (result.n_errors, ==, 0);
          block_close (disk);
          g_assert_true (g_file_set_contents (raw, (char *) model, (gssize) size, NULL));
          g_assert_cmpint (run_tool (compare, NULL), ==, 0);
          if (run_tool (check, NULL) != 0)
            g_error ("%s, script %u, turn %u: check", option, seed + script, turn);
        }
    }
  g_remove (path);
  g_remove (raw);
}

/* A chain of descriptors: overlay over qcow2 over raw. */
static void
test_chain (void)
{
  g_autofree char *base = scratch_file ("base.raw"), *middle = scratch_file ("middle.qcow2"), *top = scratch_file ("top.qcow2");
  g_autofree char *content = g_malloc (1 << 20);
  const char *one[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", middle, NULL };
  const char *two[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-b", middle, "-F", "qcow2", top, NULL };
  const char *io[] = { "qemu-io", "-f", "qcow2", "-c", "write -P 17 65536 4096", middle, NULL };
  ImageFd image = { .format = "qcow2", .base_is_raw = true };
  BlockBackend *disk = NULL;
  uint8_t bytes[4];
  int fds[3];

  if (!have_qemu ())
    {
      g_test_skip ("qemu-img is not installed");
      return;
    }
  memset (content, 'b', 1 << 20);
  g_assert_true (g_file_set_contents (base, content, 1 << 20, NULL));
  g_assert_cmpint (run_tool (one, NULL), ==, 0);
  g_assert_cmpint (run_tool (two, NULL), ==, 0);
  g_assert_cmpint (run_tool (io, NULL), ==, 0);
  fds[0] = open (top, O_RDWR);
  fds[1] = open (middle, O_RDONLY);
  fds[2] = open (base, O_RDONLY);
  image.fds = fds;
  image.n_fds = 1;
  image.base_is_raw = false;
  g_assert_cmpint (image_open_fds (&image, &disk), ==, -EINVAL);        /* the image asks for a file it was not given */
  image.n_fds = 2;
  g_assert_cmpint (image_open_fds (&image, &disk), ==, -EINVAL);
  g_assert_cmpint (fcntl (fds[1], F_GETFD), >=, 0);
  image.n_fds = 3;
  image.base_is_raw = true;
  g_assert_cmpint (image_open_fds (&image, &disk), ==, 0);
  g_assert_cmpint (block_write (disk, 65538, "XY", 2), ==, 0);
  g_assert_cmpint (block_read (disk, 65537, bytes, 4), ==, 0);
  g_assert_cmpmem (bytes, 4, "\x11XY\x11", 4);
  g_assert_cmpint (block_read (disk, 65536 + 4095, bytes, 2), ==, 0);
  g_assert_cmpmem (bytes, 2, "\x11" "b", 2);
  block_close (disk);
  g_assert_cmpint (fcntl (fds[2], F_GETFD), <, 0);
  g_remove (base);
  g_remove (middle);
  g_remove (top);
}

/* --- failing hosts ------------------------------------------------------------------------------------------------------------------ */

static int
run_workload (MemoryIo *io)
{
  Qcow2Open how = { .io = &io->parent };
  BlockBackend *disk = NULL;
  Qcow2Snapshot s = { .name = "s" };
  g_autofree uint8_t *bytes = g_malloc (40000);
  int result = qcow2_open (&how, &disk, NULL), worst;

  if (result < 0)
    {
      g_free (io);
      return result;
    }
  worst = result;
  for (unsigned i = 0; i < 10; i++)
    {
      memset (bytes, (int) i + 1, 40000);
      result = block_write (disk, i * 50000, bytes, 40000);
      worst = worst ? worst : result;
      if (i == 3 || i == 8)
        result = block_flush (disk);
      if (i == 4)
        result = qcow2_snapshot_create (disk, &s);
      if (i == 5)
        result = disk->klass->discard (disk, 60000, 100000);
      if (i == 6)
        result = disk->klass->resize (disk, 3 << 20);
      if (i == 7 && qcow2_n_snapshots (disk))
        result = qcow2_snapshot_delete (disk, 0);
      worst = worst ? worst : result;
    }
  block_close (disk);
  return worst;
}

static void
test_nth_call_fails (void)
{
  static const int errors[] = { -EIO, -ENOSPC };

  for (unsigned mode = 0; mode < 2 * G_N_ELEMENTS (errors); mode++)
    for (unsigned n = 1; ; n++)
      {
        Qcow2Create what = { .n_bytes = 1 << 20, .cluster_bits = 12, .default_refcount = true };
        MemoryFile file = { 0 };
        MemoryIo *io;
        BlockBackend *disk = new_image (&file, &what);
        Qcow2Check check;
        uint8_t bytes[40000];
        bool failed;

        memset (bytes, 0xee, sizeof bytes);
        g_assert_cmpint (block_write (disk, 900000, bytes, sizeof bytes), ==, 0);
        block_close (disk);
        io = memory_io_new (&file, NULL);
        io->fail_call = n;
        io->fail_error = errors[mode / 2];
        io->fail_for_ever = mode % 2;
        /* Far past the last call of this work nothing fails any more: a clean pass ends the loop. */
        failed = run_workload (io) < 0;
        if (!failed && n > 400)
          {
            memory_file_clear (&file);
            break;
          }
        /* Whatever failed: the image opens again, without errors, and what was there before is there. */
        disk = must_open (&file);
        g_assert_cmpint (qcow2_check (disk, false, &check), ==, 0);
        if (check.n_errors)
          g_error ("call %u, mode %u: %" G_GUINT64_FORMAT " errors", n, mode, check.n_errors);
        g_assert_cmpint (block_read (disk, 900000, bytes, sizeof bytes), ==, 0);
        for (unsigned i = 0; i < sizeof bytes; i++)
          g_assert_cmphex (bytes[i], ==, 0xee);
        block_close (disk);
        memory_file_clear (&file);
      }
}

/* A full disk: the guest gets -ENOSPC, and can go on when there is room. */
static void
test_full_disk (void)
{
  Qcow2Create what = { .n_bytes = 8 << 20, .default_refcount = true };
  MemoryFile file = { 0 };
  MemoryIo *io = memory_io_new (&file, NULL);
  Qcow2Open how = { .io = &io->parent };
  g_autofree uint8_t *bytes = g_malloc (8 << 20), *seen = g_malloc (8 << 20);
  BlockBackend *disk = NULL;
  unsigned at = 0;
  int result = 0;

  fill (bytes, 8 << 20, 5);
  g_assert_cmpint (qcow2_create (&io->parent, &what, NULL), ==, 0);
  g_assert_cmpint (qcow2_open (&how, &disk, NULL), ==, 0);
  io->n_max = 3 << 20;
  for (; at < 8 << 20 && result == 0; at += result == 0 ? 10000 : 0)
    result = block_write (disk, at, bytes + at, MIN (10000, (8 << 20) - at));
  g_assert_cmpint (result, ==, -ENOSPC);
  g_assert_cmpint (block_write (disk, at, bytes + at, 10000), ==, -ENOSPC);
  g_assert_cmpint (block_flush (disk), ==, 0);
  io->n_max = 0;
  for (; at < 8 << 20; at += 10000)
    g_assert_cmpint (block_write (disk, at, bytes + at, MIN (10000, (8 << 20) - at)), ==, 0);
  block_close (disk);
  disk = must_open (&file);
  g_assert_cmpint (block_read (disk, 0, seen, 8 << 20), ==, 0);
  g_assert_cmpmem (bytes, 8 << 20, seen, 8 << 20);
  block_close (disk);
  g_assert_cmpint (qemu_check (&file, NULL), ==, 0);
  memory_file_clear (&file);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/qcow2/all-geometries", test_all_geometries);
  g_test_add_func ("/qcow2/limits-of-create", test_limits);
  g_test_add_func ("/qcow2/refcount-table-grows", test_refcount_table_grows);
  g_test_add_func ("/qcow2/extension-in-place", test_extension);
  g_test_add_func ("/qcow2/autoclear-bits-of-others", test_autoclear_of_others);
  g_test_add_func ("/qcow2/luks-slots", test_luks);
  g_test_add_func ("/qcow2/snapshots", test_snapshots);
  g_test_add_func ("/qcow2/snapshot-needs-refcount-room", test_snapshot_needs_room);
  g_test_add_func ("/qcow2/snapshot-cycles-reuse-room", test_snapshot_cycles);
  g_test_add_func ("/qcow2/scripts-with-qemu", test_scripts_with_qemu);
  g_test_add_func ("/qcow2/chain-of-descriptors", test_chain);
  g_test_add_func ("/qcow2/nth-call-fails", test_nth_call_fails);
  g_test_add_func ("/qcow2/full-disk", test_full_disk);
  return g_test_run ();
}
