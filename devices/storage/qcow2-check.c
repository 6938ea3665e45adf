/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2: counting references.  The counts come from walking every table, one window of host clusters at a time, so that the
 * memory they take does not grow with the image. */
#include "qcow2-private.h"

#include <stdlib.h>

#define WINDOW_CLUSTERS (UINT64_C (1) << 21)
#define MAX_CHECK_CLUSTERS (UINT64_C (1) << 33)

typedef struct
{
  uint32_t *counts;             /* of window … window + n_window */
  uint64_t  window, n_window;
  uint64_t  end;                /* behind the last cluster anything refers to */
  bool      any;                /* something fell into the window */
} Count;

static int
count_clusters (Qcow2 *self, uint64_t cluster_number, uint64_t n, void *data)
{
  Count *count = data;

  if (cluster_number + n > count->end)
    count->end = cluster_number + n;
  for (uint64_t i = 0; i < n; i++)
    if (cluster_number + i >= count->window && cluster_number + i - count->window < count->n_window)
      {
        uint32_t *at = &count->counts[cluster_number + i - count->window];

        *at += *at != UINT32_MAX;
        count->any = true;
      }
  return 0;
}

int
qcow2_visit (Qcow2 *self, const L1View *l1, uint64_t *ret_n_bad, Qcow2Visit visit, void *data)
{
  ClusterSet seen = { 0 };
  int result = 0;

  for (uint32_t i = 0; i < l1->n && result == 0; i++)
    {
      uint64_t offset = l1->entries[i] & ENTRY_OFFSET;
      Table *l2;

      if (!(l1->entries[i] & ~ENTRY_COPIED))
        continue;
      if (!is_table_offset (self, offset))
        {
          ++*ret_n_bad;
          continue;
        }
      result = qcow2_set_add (&seen, offset >> self->cluster_bits);
      if (result == -EEXIST)
        {
          ++*ret_n_bad;
          result = 0;
          continue;
        }
      if (result == 0)
        result = qcow2_cache_get (self, &self->l2_cache, offset, false, &l2);
      for (uint64_t e = 0; result == 0 && e < UINT64_C (1) << self->l2_bits; e++)
        {
          uint64_t entry = get_be64 (l2->bytes + e * self->entry_words * 8), host = entry & ENTRY_OFFSET;

          if (entry & ENTRY_COMPRESSED)
            {
              uint64_t at, n_bytes;

              qcow2_compressed_span (self, entry, &at, &n_bytes);
              if (at < self->cluster || at >= self->end)
                ++*ret_n_bad;
              else
                result = visit (self, at >> self->cluster_bits,
                                ((at + n_bytes - 1) >> self->cluster_bits) - (at >> self->cluster_bits) + 1, data);
            }
          else if (host)
            {
              if (!is_table_offset (self, host))
                ++*ret_n_bad;
              else
                result = visit (self, host >> self->cluster_bits, 1, data);
            }
        }
      if (result == 0)
        result = visit (self, offset >> self->cluster_bits, 1, data);
    }
  free (seen.clusters);
  return result;
}

static void
count_range (Qcow2 *self, Count *count, uint64_t offset, uint64_t n_bytes, uint64_t *n_bad)
{
  if (n_bytes == 0)
    return;
  if (!is_table_offset (self, offset))
    ++*n_bad;
  else
    count_clusters (self, offset >> self->cluster_bits, clusters_of (self, n_bytes), count);
}

/* All references whose clusters lie in the window.  with_refcounts: the refcount table and its blocks too. */
static int
count_all (Qcow2 *self, Count *count, bool with_refcounts, uint64_t *ret_n_bad)
{
  int result;

  *ret_n_bad = 0;
  count->any = false;
  count_clusters (self, 0, 1, count);
  if (with_refcounts)
    {
      count_range (self, count, self->refcount_table_offset, (uint64_t) self->refcount_clusters << self->cluster_bits, ret_n_bad);
      for (uint32_t i = 0; i < self->n_refcount_table; i++)
        if (self->refcount_table[i])
          count_range (self, count, self->refcount_table[i], self->cluster, ret_n_bad);
    }
  count_range (self, count, self->l1_offset, (uint64_t) self->l1.n * 8, ret_n_bad);
  result = qcow2_visit (self, &self->l1, ret_n_bad, count_clusters, count);
  if (self->n_snapshots)
    count_range (self, count, self->snapshots_offset, self->snapshot_table_bytes, ret_n_bad);
  for (uint32_t i = 0; i < self->n_snapshots && result == 0; i++)
    {
      L1View l1;

      count_range (self, count, self->snapshots[i].l1_offset, (uint64_t) self->snapshots[i].n_l1 * 8, ret_n_bad);
      result = qcow2_load_l1 (self, self->snapshots[i].l1_offset, self->snapshots[i].n_l1, &l1);
      if (result == -EIO)
        {
          ++*ret_n_bad;
          result = 0;
          continue;
        }
      if (result == 0)
        {
          result = qcow2_visit (self, &l1, ret_n_bad, count_clusters, count);
          free (l1.entries);
        }
    }
  if (self->encrypted)
    count_range (self, count, self->luks_offset, self->luks_bytes, ret_n_bad);
  return result;
}

/* --- flags ------------------------------------------------------------------------------------------------------------- */

/* Sets COPIED exactly where the refcount is one, or counts where it is not so. */
static int
copied_flags (Qcow2 *self, bool fix, uint64_t *ret_n_wrong, uint64_t *ret_n_allocated)
{
  for (uint32_t i = 0; i < self->l1.n; i++)
    {
      uint64_t offset = self->l1.entries[i] & ENTRY_OFFSET, refs = 0;
      Table *l2;
      int result;

      if (!is_table_offset (self, offset))
        continue;
      result = qcow2_refcount (self, offset >> self->cluster_bits, &refs);
      if (result < 0)
        return result;
      if ((refs == 1) != !!(self->l1.entries[i] & ENTRY_COPIED))
        {
          ++*ret_n_wrong;
          if (fix)
            {
              self->l1.entries[i] ^= ENTRY_COPIED;
              qcow2_touch_l1 (self, i);
            }
        }
      result = qcow2_cache_get (self, &self->l2_cache, offset, false, &l2);
      if (result < 0)
        return result;
      for (uint64_t e = 0; e < UINT64_C (1) << self->l2_bits; e++)
        {
          uint8_t *at = l2->bytes + e * self->entry_words * 8;
          uint64_t entry = get_be64 (at), host = entry & ENTRY_OFFSET;

          if (entry & ENTRY_COMPRESSED)
            {
              ++*ret_n_allocated;
              if (!(entry & ENTRY_COPIED))
                continue;
              ++*ret_n_wrong;
              if (!fix)
                continue;
              put_be64 (at, entry & ~ENTRY_COPIED);
            }
          else
            {
              if (!is_table_offset (self, host))
                continue;
              ++*ret_n_allocated;
              result = qcow2_refcount (self, host >> self->cluster_bits, &refs);
              if (result < 0)
                return result;
              if ((refs == 1) == !!(entry & ENTRY_COPIED))
                continue;
              ++*ret_n_wrong;
              if (!fix)
                continue;
              put_be64 (at, entry ^ ENTRY_COPIED);
            }
          qcow2_table_touch (&self->l2_cache, l2, (uint32_t) (at - l2->bytes), (uint32_t) (at - l2->bytes) + 8);
        }
    }
  return 0;
}

int
qcow2_fix_copied (Qcow2 *self)
{
  uint64_t n_wrong = 0, n_allocated = 0;

  return copied_flags (self, true, &n_wrong, &n_allocated);
}

/* --- rebuilding ----------------------------------------------------------------------------------------------------------- */

static void
put_count (const Qcow2 *self, uint8_t *block, uint64_t index, uint64_t value)
{
  switch (self->refcount_order)
    {
    case 4: put_be16 (block + index * 2, (uint16_t) value); break;
    case 5: put_be32 (block + index * 4, (uint32_t) value); break;
    case 6: put_be64 (block + index * 8, value); break;
    default:
      {
        unsigned bits = 1u << self->refcount_order;
        uint64_t bit = index * bits;

        block[bit / 8] |= (uint8_t) (value << bit % 8);
      }
    }
}

/* New refcounts behind everything the file holds, then one header write that names them. */
int
qcow2_rebuild (Qcow2 *self)
{
  uint64_t per_block = UINT64_C (1) << self->block_bits, n_bad = 0, base, n_blocks = 1, n_table = 1, total;
  Count count = { 0 };
  uint8_t *block = NULL, *table = NULL;
  int result = count_all (self, &count, false, &n_bad);

  if (result < 0)
    return result;
  if (n_bad)
    return -EIO;
  base = self->end >> self->cluster_bits;
  if (count.end > base)
    base = count.end;
  if (base > MAX_CHECK_CLUSTERS)
    return -EFBIG;
  for (;;)
    {
      uint64_t blocks, tables;

      total = base + n_blocks + n_table;
      blocks = (total + per_block - 1) >> self->block_bits;
      tables = clusters_of (self, blocks * 8);
      if (blocks * 8 > QCOW2_MAX_REFCOUNT_TABLE_BYTES)
        return -EFBIG;
      if (blocks == n_blocks && tables == n_table)
        break;
      n_blocks = blocks > n_blocks ? blocks : n_blocks;
      n_table = tables > n_table ? tables : n_table;
    }
  count.n_window = WINDOW_CLUSTERS;
  if (count.n_window < per_block)
    count.n_window = per_block;
  if (count.n_window > n_blocks << self->block_bits)
    count.n_window = n_blocks << self->block_bits;
  count.counts = malloc (count.n_window * sizeof *count.counts);
  block = malloc (self->cluster);
  table = calloc (n_table, self->cluster);
  result = count.counts && block && table ? 0 : -ENOMEM;
  for (count.window = 0; result == 0 && count.window < n_blocks << self->block_bits; count.window += count.n_window)
    {
      memset (count.counts, 0, count.n_window * sizeof *count.counts);
      result = count_all (self, &count, false, &n_bad);
      count_clusters (self, base, n_blocks + n_table, &count);
      for (uint64_t at = 0; result == 0 && at < count.n_window; at += per_block)
        {
          uint64_t index = (count.window + at) >> self->block_bits;

          if (index >= n_blocks)
            break;
          memset (block, 0, self->cluster);
          for (uint64_t i = 0; i < per_block && result == 0; i++)
            if (count.counts[at + i] > self->max_refcount)
              result = -ENOTSUP;
            else if (count.counts[at + i])
              put_count (self, block, i, count.counts[at + i]);
          put_be64 (table + index * 8, (base + index) << self->cluster_bits);
          if (result == 0)
            result = qcow2_io_write (self, (base + index) << self->cluster_bits, block, self->cluster);
        }
    }
  if (result == 0)
    result = qcow2_io_write (self, (base + n_blocks) << self->cluster_bits, table, (size_t) n_table << self->cluster_bits);
  if (result == 0)
    result = qcow2_sync (self);
  if (result == 0)
    {
      uint64_t *entries = calloc (n_table, self->cluster);

      result = entries ? 0 : -ENOMEM;
      for (uint64_t i = 0; result == 0 && i < n_blocks; i++)
        entries[i] = (base + i) << self->cluster_bits;
      if (result == 0)
        {
          free (self->refcount_table);
          self->refcount_table = entries;
          self->n_refcount_table = (uint32_t) (n_table << self->cluster_bits >> 3);
          self->refcount_table_offset = (base + n_blocks) << self->cluster_bits;
          self->refcount_clusters = (uint32_t) n_table;
          self->rt_dirty_from = self->rt_dirty_to = 0;
          self->end = total << self->cluster_bits;
          self->free_hint = 0;
          self->n_frees = 0;
          qcow2_cache_free (&self->block_cache);
          result = qcow2_cache_new (self, &self->block_cache, 2u << 20);
          if (result == 0)
            result = qcow2_write_header (self);
          if (result == 0)
            result = qcow2_sync (self);
          if (result == 0)
            result = qcow2_guard_all (self);
          if (result == 0)
            result = qcow2_fix_copied (self);
          if (result == 0)
            result = qcow2_end_structural (self);
          if (result < 0)
            self->broken = true;
        }
    }
  free (count.counts);
  free (block);
  free (table);
  return result;
}

/* --- checking ---------------------------------------------------------------------------------------------------------------- */

static int
check_once (Qcow2 *self, Qcow2Check *ret)
{
  uint64_t n_clusters = self->end >> self->cluster_bits, covered = 0, per_block = UINT64_C (1) << self->block_bits, n_bad = 0;
  uint64_t n_wrong = 0, n_allocated = 0;
  Count count = { 0 };
  int result = qcow2_guard_all (self);

  memset (ret, 0, sizeof *ret);
  ret->n_clusters = n_clusters;
  if (result == -EEXIST)
    {
      ret->n_errors = 1;
      return 0;
    }
  if (result < 0)
    return result;
  if (n_clusters > MAX_CHECK_CLUSTERS)
    return -EFBIG;
  for (uint32_t i = 0; i < self->n_refcount_table; i++)
    if (self->refcount_table[i] && !is_table_offset (self, self->refcount_table[i]))
      {
        ret->n_errors++;
        return 0;
      }
    else if (self->refcount_table[i])
      covered = (i + 1) * per_block;
  result = copied_flags (self, false, &n_wrong, &n_allocated);
  if (result < 0)
    return result;
  count.n_window = WINDOW_CLUSTERS > per_block ? WINDOW_CLUSTERS : per_block;
  count.n_window = count.n_window > n_clusters ? (n_clusters + per_block) & ~(per_block - 1) : count.n_window;
  count.counts = malloc (count.n_window * sizeof *count.counts);
  if (!count.counts)
    return -ENOMEM;
  for (count.window = 0; result == 0 && count.window < n_clusters; count.window += count.n_window)
    {
      memset (count.counts, 0, count.n_window * sizeof *count.counts);
      n_bad = 0;
      result = count_all (self, &count, true, &n_bad);
      for (uint64_t at = 0; result == 0 && at < count.n_window; at += per_block)
        {
          uint64_t index = (count.window + at) >> self->block_bits;
          bool has_block = index < self->n_refcount_table && self->refcount_table[index];

          if (!has_block && !count.any)
            continue;
          for (uint64_t i = 0; i < per_block && result == 0; i++)
            {
              uint64_t refs = 0;

              if (has_block)
                result = qcow2_refcount (self, count.window + at + i, &refs);
              if (refs < count.counts[at + i])
                ret->n_errors++;
              else if (refs > count.counts[at + i])
                ret->n_leaks++;
            }
        }
    }
  /* Counts of clusters behind the file's end. */
  for (uint64_t c = count.window; result == 0 && c < covered; c++)
    {
      uint64_t refs = 0;

      if (!self->refcount_table[c >> self->block_bits])
        {
          c |= per_block - 1;
          continue;
        }
      result = qcow2_refcount (self, c, &refs);
      ret->n_leaks += refs != 0;
    }
  free (count.counts);
  ret->n_errors += n_bad + n_wrong;
  ret->n_allocated = n_allocated;
  return result;
}

int
qcow2_check (BlockBackend *image, bool repair, Qcow2Check *ret)
{
  Qcow2 *self = qcow2_of (image);
  int result;

  if (!self)
    return -EINVAL;
  if (repair && image->read_only)
    return -EROFS;
  if (self->broken)
    return -EIO;
  result = image->read_only ? 0 : qcow2_commit (self);
  if (result == 0)
    result = check_once (self, ret);
  if (result == 0 && repair && (ret->n_errors || ret->n_leaks))
    {
      result = qcow2_begin_structural (self);
      if (result == 0)
        result = qcow2_rebuild (self);
      if (result == 0)
        result = check_once (self, ret);
      ret->repaired = result == 0;
    }
  return result;
}

int
qcow2_used_bytes (BlockBackend *image, uint64_t *ret_n_bytes)
{
  Qcow2 *self = qcow2_of (image);
  uint64_t n = 0;

  if (!self)
    return -EINVAL;
  for (uint64_t c = 0; c < self->end >> self->cluster_bits; c++)
    {
      uint64_t refs = 0;
      int result;

      if (c >> self->block_bits >= self->n_refcount_table)
        break;
      if (!self->refcount_table[c >> self->block_bits])
        {
          c |= (UINT64_C (1) << self->block_bits) - 1;
          continue;
        }
      result = qcow2_refcount (self, c, &refs);
      if (result < 0)
        return result;
      n += refs != 0;
    }
  *ret_n_bytes = n << self->cluster_bits;
  return 0;
}
