/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A qcow2 file that lies, and a guest that uses it.  The input begins with a script of operations (one byte each, up to the
 * first zero); the rest is changes to a small valid image: 16-bit position among its tables, a byte to put there. */
#include "../storage/memory-io.h"

#include "image-convert.h"
#include "qcow2.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static const MemoryFile *
victim (void)
{
  static MemoryFile file;
  Qcow2Create what = { .n_bytes = 1 << 20, .cluster_bits = 12, .default_refcount = true, .extension_magic = 0x424c4b48, .n_extension = 64 };
  Qcow2Snapshot snapshot = { .name = "s", .n_vm_state = 100 };
  BlockBackend *disk = NULL;
  MemoryIo *io;

  if (file.size)
    return &file;
  io = memory_io_new (&file, NULL);
  g_assert_cmpint (qcow2_create (&io->parent, &what, NULL), ==, 0);
  g_assert_cmpint (image_open_io (&io->parent, "qcow2", false, &disk, NULL), ==, 0);
  for (unsigned i = 0; i < 8; i++)
    g_assert_cmpint (block_write (disk, i * 9000, "0123456789", 10), ==, 0);
  g_assert_cmpint (qcow2_write_vm_state (disk, 0, "state", 5), ==, 0);
  g_assert_cmpint (qcow2_snapshot_create (disk, &snapshot), ==, 0);
  g_assert_cmpint (block_write (disk, 0, "other", 5), ==, 0);
  block_close (disk);
  return &file;
}

static void
act (BlockBackend *disk, uint8_t code)
{
  static uint8_t data[20000];
  Qcow2Snapshot snapshot = { .name = "f" };
  Qcow2Check check;
  uint64_t at = disk->n_bytes ? (uint64_t) (code >> 4) * 9001 % disk->n_bytes : 0, n = MIN (sizeof data, disk->n_bytes - at), got;

  switch (code & 15)
    {
    case 1: block_read (disk, at, data, n); break;
    case 2: block_write (disk, at, data, n / 2); break;
    case 3: block_write (disk, at, data, MIN (n, 7)); break;
    case 4: block_flush (disk); break;
    case 5: if (!disk->read_only) disk->klass->discard (disk, at, n); break;
    case 6: disk->klass->resize (disk, disk->n_bytes + 5000); break;
    case 7: if (qcow2_n_snapshots (disk) < 4) qcow2_snapshot_create (disk, &snapshot); break;
    case 8: qcow2_snapshot_apply (disk, code >> 6); break;
    case 9: qcow2_snapshot_delete (disk, code >> 6); break;
    case 10: qcow2_check (disk, !disk->read_only && code & 16, &check); break;
    case 11: qcow2_read_vm_state (disk, 0, 0, data, 10); break;
    case 12: qcow2_write_vm_state (disk, at, data, 100); break;
    case 13: qcow2_snapshot_exclusive_bytes (disk, 0, &got); break;
    case 14: qcow2_set_extension (disk, 0x424c4b48, data, code); break;
    default: qcow2_snapshot_rename (disk, 0, "renamed"); break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  const uint8_t *script = bytes, *end = memchr (bytes, 0, n_bytes);
  size_t n_script = end ? (size_t) (end - bytes) : n_bytes, at = n_script + 1;
  MemoryFile file = { 0 };
  BlockBackend *disk = NULL;
  MemoryIo *io;

  memory_file_copy (&file, victim ());
  for (; at + 3 <= n_bytes; at += 3)
    {
      /* Tables stand at the beginning of clusters: half of the positions mean one of their first 256 bytes. */
      uint64_t position = bytes[at] & 0x80 ? (uint64_t) (bytes[at] & 0x7f) << 12 | bytes[at + 1]
                          : (uint64_t) bytes[at] << 8 | bytes[at + 1];

      file.bytes[position % file.size] = bytes[at + 2];
    }
  io = memory_io_new (&file, NULL);
  io->n_max = 64 << 20;
  if (image_open_io (&io->parent, "qcow2", n_bytes & 1, &disk, NULL) < 0)
    g_free (io);
  else
    {
      for (size_t i = 0; i < MIN (n_script, 24); i++)
        act (disk, script[i]);
      block_close (disk);
    }
  memory_file_clear (&file);
  return 0;
}
