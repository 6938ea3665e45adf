/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2: new images. */
#include "qcow2-private.h"

#include <stdlib.h>

static uint64_t
put_extension (uint8_t *header, uint64_t at, uint32_t magic, const void *bytes, uint32_t n)
{
  put_be32 (header + at, magic);
  put_be32 (header + at + 4, n);
  if (bytes)
    memcpy (header + at + 8, bytes, n);
  return at + 8 + (((uint64_t) n + 7) & ~UINT64_C (7));
}

int
qcow2_create (ImageIo *io, const Qcow2Create *what, uint8_t *ret_key)
{
  Qcow2 layout = { .io = io, .version = 3, .cluster_bits = what->cluster_bits ? what->cluster_bits : 16 };
  unsigned order = what->default_refcount ? 4 : what->refcount_order;
  size_t n_name = what->backing_name ? strlen (what->backing_name) : 0;
  const char *format = what->backing_format ? what->backing_format : "raw";
  uint64_t n_bytes, n_l1, n_l1_clusters, n_luks = 0, n_blocks = 1, n_table = 1, total, at_l1, at_luks, file_size = 0, at;
  uint8_t *header = NULL, *table = NULL, *block = NULL, key[QCOW2_KEY_BYTES] = { 0 };
  int result;

  if (layout.cluster_bits < QCOW2_MIN_CLUSTER_BITS || layout.cluster_bits > QCOW2_MAX_CLUSTER_BITS || order > 6
      || (what->extended_l2 && layout.cluster_bits < 14) || n_name > QCOW2_MAX_BACKING_NAME || (what->backing_name && !n_name)
      || strlen (format) > 16 || (what->passphrase && !what->n_passphrase))
    return -EINVAL;
  if (what->n_bytes > INT64_MAX - 511)
    return -EFBIG;
  result = image_io_size (io, &file_size);
  if (result < 0)
    return result;
  if (file_size)
    return -EEXIST;
  n_bytes = (what->n_bytes + 511) & ~UINT64_C (511);
  layout.cluster = UINT64_C (1) << layout.cluster_bits;
  layout.l2_bits = layout.cluster_bits - 3 - (what->extended_l2 ? 1 : 0);
  layout.block_bits = layout.cluster_bits + 3 - order;
  n_l1 = l1_entries_for (&layout, n_bytes);
  if (n_l1 == 0)
    n_l1 = 1;
  if (n_l1 * 8 > QCOW2_MAX_L1_BYTES)
    return -EFBIG;
  n_l1_clusters = clusters_of (&layout, n_l1 * 8);
  if (what->passphrase)
    n_luks = clusters_of (&layout, LUKS1_HEADER_BYTES);
  for (;;)
    {
      uint64_t blocks, tables;

      total = 1 + n_table + n_blocks + n_l1_clusters + n_luks;
      blocks = (total + (UINT64_C (1) << layout.block_bits) - 1) >> layout.block_bits;
      tables = clusters_of (&layout, blocks * 8);
      if (blocks * 8 > QCOW2_MAX_REFCOUNT_TABLE_BYTES)
        return -EFBIG;
      if (blocks <= n_blocks && tables <= n_table)
        break;
      n_blocks = blocks > n_blocks ? blocks : n_blocks;
      n_table = tables > n_table ? tables : n_table;
    }
  at_l1 = 1 + n_table + n_blocks;
  at_luks = at_l1 + n_l1_clusters;

  header = calloc (1, layout.cluster);
  block = calloc (1, layout.cluster);
  table = calloc (n_table, layout.cluster);
  result = header && block && table ? 0 : -ENOMEM;
  if (result < 0)
    goto out;

  put_be32 (header, QCOW2_MAGIC);
  put_be32 (header + 4, 3);
  put_be32 (header + 20, layout.cluster_bits);
  put_be64 (header + 24, n_bytes);
  put_be32 (header + 32, what->passphrase ? 2 : 0);
  put_be32 (header + 36, (uint32_t) n_l1);
  put_be64 (header + 40, at_l1 << layout.cluster_bits);
  put_be64 (header + 48, layout.cluster);
  put_be32 (header + 56, (uint32_t) n_table);
  put_be64 (header + 72, what->extended_l2 ? INCOMPATIBLE_EXTENDED_L2 : 0);
  put_be64 (header + 88, what->autoclear);
  put_be32 (header + 96, order);
  at = HEADER_V3_BYTES + 8;
  put_be32 (header + 100, (uint32_t) at);
  {
    uint64_t needed = at + (what->backing_name ? 8 + ((strlen (format) + 7) & ~UINT64_C (7)) : 0) + (what->passphrase ? 24 : 0)
                      + (what->extension_magic ? 8 + (((uint64_t) what->n_extension + 7) & ~UINT64_C (7)) : 0) + 8 + n_name;

    if (needed > layout.cluster)
      {
        result = -ENOSPC;
        goto out;
      }
  }
  if (what->backing_name)
    at = put_extension (header, at, EXTENSION_BACKING_FORMAT, format, (uint32_t) strlen (format));
  if (what->passphrase)
    {
      uint8_t area[16];

      put_be64 (area, at_luks << layout.cluster_bits);
      put_be64 (area + 8, LUKS1_HEADER_BYTES);
      at = put_extension (header, at, EXTENSION_LUKS, area, sizeof area);
    }
  if (what->extension_magic)
    at = put_extension (header, at, what->extension_magic, NULL, what->n_extension);
  at += 8;
  if (what->backing_name)
    {
      put_be64 (header + 8, at);
      put_be32 (header + 16, (uint32_t) n_name);
      memcpy (header + at, what->backing_name, n_name);
    }

  for (uint64_t i = 0; i < n_blocks && result == 0; i++)
    {
      uint64_t first = i << layout.block_bits;
      unsigned bits = 1u << order;

      put_be64 (table + i * 8, (1 + n_table + i) << layout.cluster_bits);
      memset (block, 0, layout.cluster);
      for (uint64_t c = first; c < total && c - first < UINT64_C (1) << layout.block_bits; c++)
        {
          uint64_t bit = (c - first) * bits;

          /* Wide counts are big-endian: the one stands in their last byte. */
          if (bits >= 8)
            block[(bit + bits) / 8 - 1] = 1;
          else
            block[bit / 8] |= (uint8_t) (1u << bit % 8);
        }
      result = image_io_write (io, (1 + n_table + i) << layout.cluster_bits, block, layout.cluster);
    }
  if (result == 0)
    result = image_io_write (io, layout.cluster, table, (size_t) n_table << layout.cluster_bits);
  if (result == 0)
    result = io->klass->truncate (io, total << layout.cluster_bits);    /* the L1 table is a hole, all zero */
  if (result == 0 && what->passphrase)
    {
      Luks1 luks;

      result = luks1_create (&luks, io, at_luks << layout.cluster_bits, what->passphrase, what->n_passphrase, what->unlock_ms, key);
    }
  if (result == 0)
    result = image_io_flush (io);
  /* Without its magic the file is no image: the header comes when everything else is on disk. */
  if (result == 0)
    result = image_io_write (io, 0, header, layout.cluster);
  if (result == 0)
    result = image_io_flush (io);
  if (result == 0 && ret_key)
    memcpy (ret_key, key, sizeof key);

out:
  explicit_bzero (key, sizeof key);
  free (header);
  free (block);
  free (table);
  return result;
}
