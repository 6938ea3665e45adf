/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2: cached tables, refcounts, allocation of clusters, and the order in which all of it reaches the file. */
#include "qcow2-private.h"

#include <stdlib.h>

/* --- the set of table clusters ------------------------------------------------------------------------------------ */

static size_t
set_slot (const ClusterSet *set, uint64_t key)
{
  size_t at = (size_t) (key * UINT64_C (0x9e3779b97f4a7c15) >> 20) & (set->n_slots - 1);

  while (set->clusters[at] && set->clusters[at] != key)
    at = (at + 1) & (set->n_slots - 1);
  return at;
}

static int
set_grow (ClusterSet *set)
{
  ClusterSet larger = { .n_slots = set->n_slots ? set->n_slots * 2 : 256 };

  larger.clusters = calloc (larger.n_slots, sizeof *larger.clusters);
  if (!larger.clusters)
    return -ENOMEM;
  for (size_t i = 0; i < set->n_slots; i++)
    if (set->clusters[i])
      larger.clusters[set_slot (&larger, set->clusters[i])] = set->clusters[i];
  larger.n_used = set->n_used;
  free (set->clusters);
  *set = larger;
  return 0;
}

int
qcow2_set_add (ClusterSet *set, uint64_t cluster_number)
{
  size_t at;

  if (set->n_used >= QCOW2_MAX_TABLES)
    return -EFBIG;
  if ((set->n_used + 1) * 2 > set->n_slots && set_grow (set) < 0)
    return -ENOMEM;
  at = set_slot (set, cluster_number + 1);
  if (set->clusters[at])
    return -EEXIST;
  set->clusters[at] = cluster_number + 1;
  set->n_used++;
  return 0;
}

/* -EEXIST when one of them is a table already: two tables overlap. */
int
qcow2_guard_add (Qcow2 *self, uint64_t offset, uint64_t n_clusters)
{
  int result = 0;

  for (uint64_t i = 0; i < n_clusters && result == 0; i++)
    result = qcow2_set_add (&self->guarded, (offset >> self->cluster_bits) + i);
  return result;
}

void
qcow2_guard_remove (Qcow2 *self, uint64_t offset, uint64_t n_clusters)
{
  ClusterSet *set = &self->guarded;
  uint64_t first = offset >> self->cluster_bits;

  for (uint64_t i = 0; set->n_slots && i < n_clusters; i++)
    {
      size_t at = set_slot (set, first + i + 1);

      if (!set->clusters[at])
        continue;
      set->clusters[at] = 0;
      set->n_used--;
      /* What stood behind it in the same run moves up, or it would not be found again. */
      for (at = (at + 1) & (set->n_slots - 1); set->clusters[at]; at = (at + 1) & (set->n_slots - 1))
        {
          uint64_t key = set->clusters[at];

          set->clusters[at] = 0;
          set->clusters[set_slot (set, key)] = key;
        }
    }
}

bool
qcow2_is_guarded (const Qcow2 *self, uint64_t cluster_number)
{
  return self->guarded.n_slots && self->guarded.clusters[set_slot (&self->guarded, cluster_number + 1)] != 0;
}

/* --- caches ------------------------------------------------------------------------------------------------------------ */

int
qcow2_cache_new (Qcow2 *self, TableCache *cache, size_t n_bytes)
{
  size_t n = n_bytes >> self->cluster_bits;

  cache->n_tables = (uint32_t) (n < 4 ? 4 : n);
  for (cache->n_buckets = 4; cache->n_buckets < cache->n_tables; cache->n_buckets *= 2)
    ;
  cache->tables = calloc (cache->n_tables, sizeof *cache->tables);
  cache->buckets = calloc (cache->n_buckets, sizeof *cache->buckets);
  return cache->tables && cache->buckets ? 0 : -ENOMEM;
}

void
qcow2_cache_free (TableCache *cache)
{
  for (uint32_t i = 0; cache->tables && i < cache->n_tables; i++)
    free (cache->tables[i].bytes);
  free (cache->tables);
  free (cache->buckets);
  memset (cache, 0, sizeof *cache);
}

static uint32_t *
bucket_of (TableCache *cache, uint64_t offset)
{
  return &cache->buckets[(offset * UINT64_C (0x9e3779b97f4a7c15) >> 32) & (cache->n_buckets - 1)];
}

static void
unlink_table (TableCache *cache, Table *table)
{
  uint32_t *link = bucket_of (cache, table->offset);

  while (*link && &cache->tables[*link - 1] != table)
    link = &cache->tables[*link - 1].next;
  if (*link)
    *link = table->next;
  if (table->dirty_from != table->dirty_to)
    cache->n_dirty--;
  table->dirty_from = table->dirty_to = 0;
  table->offset = 0;
  table->next = 0;
}

void
qcow2_cache_forget (TableCache *cache, uint64_t offset)
{
  for (uint32_t i = *bucket_of (cache, offset); i; i = cache->tables[i - 1].next)
    if (cache->tables[i - 1].offset == offset)
      {
        unlink_table (cache, &cache->tables[i - 1]);
        return;
      }
}

void
qcow2_table_touch (TableCache *cache, Table *table, uint32_t from, uint32_t to)
{
  if (table->dirty_from == table->dirty_to)
    {
      cache->n_dirty++;
      table->dirty_from = from;
      table->dirty_to = to;
    }
  if (from < table->dirty_from)
    table->dirty_from = from;
  if (to > table->dirty_to)
    table->dirty_to = to;
}

static Table *
find_victim (TableCache *cache)
{
  Table *table;

  for (uint32_t i = 0; i < 2 * cache->n_tables; i++)
    {
      table = &cache->tables[cache->hand];
      cache->hand = (cache->hand + 1) % cache->n_tables;
      if (table->offset == 0)
        return table;
      if (!table->recent)
        return table;
      table->recent = false;
    }
  return &cache->tables[cache->hand];
}

static int
write_table (Qcow2 *self, TableCache *cache, Table *table)
{
  uint32_t from = table->dirty_from & ~511u, to = (table->dirty_to + 511u) & ~511u;
  int result;

  if (table->dirty_from == table->dirty_to)
    return 0;
  result = qcow2_io_write (self, table->offset + from, table->bytes + from, to - from);
  if (result < 0)
    return result;
  table->dirty_from = table->dirty_to = 0;
  cache->n_dirty--;
  return 0;
}

static int
write_cache (Qcow2 *self, TableCache *cache)
{
  int result = 0;

  for (uint32_t i = 0; i < cache->n_tables && cache->n_dirty && result == 0; i++)
    result = write_table (self, cache, &cache->tables[i]);
  return result;
}

static int
write_blocks (Qcow2 *self)
{
  int result = write_cache (self, &self->block_cache);

  if (result == 0 && self->rt_dirty_from < self->rt_dirty_to)
    {
      uint32_t n = self->rt_dirty_to - self->rt_dirty_from;
      uint8_t *bytes = malloc ((size_t) n * 8);

      if (!bytes)
        return -ENOMEM;
      for (uint32_t i = 0; i < n; i++)
        put_be64 (bytes + (size_t) i * 8, self->refcount_table[self->rt_dirty_from + i]);
      result = qcow2_sync (self);
      if (result == 0)
        result = qcow2_io_write (self, self->refcount_table_offset + (uint64_t) self->rt_dirty_from * 8, bytes, (size_t) n * 8);
      free (bytes);
      if (result == 0)
        {
          self->rt_dirty_from = self->rt_dirty_to = 0;
          self->allocated = true;       /* L2 tables wait for the refcount table too */
        }
    }
  return result;
}

int
qcow2_cache_get (Qcow2 *self, TableCache *cache, uint64_t offset, bool fresh, Table **ret)
{
  Table *table;
  uint32_t *bucket;
  int result;

  for (uint32_t i = *bucket_of (cache, offset); i; i = cache->tables[i - 1].next)
    if (cache->tables[i - 1].offset == offset)
      {
        table = &cache->tables[i - 1];
        if (fresh)
          {
            memset (table->bytes, 0, self->cluster);
            qcow2_table_touch (cache, table, 0, (uint32_t) self->cluster);
          }
        table->recent = true;
        *ret = table;
        return 0;
      }
  table = find_victim (cache);
  if (table->dirty_from != table->dirty_to)
    {
      result = cache == &self->l2_cache ? qcow2_write_tables (self) : write_blocks (self);
      if (result < 0)
        return result;
    }
  if (table->offset)
    unlink_table (cache, table);
  if (!table->bytes)
    {
      table->bytes = malloc (self->cluster);
      if (!table->bytes)
        return -ENOMEM;
    }
  if (fresh)
    memset (table->bytes, 0, self->cluster);
  else
    {
      result = image_io_read (self->io, offset, table->bytes, self->cluster);
      if (result < 0)
        return result;
    }
  table->offset = offset;
  table->recent = true;
  bucket = bucket_of (cache, offset);
  table->next = *bucket;
  *bucket = (uint32_t) (table - cache->tables) + 1;
  if (fresh)
    qcow2_table_touch (cache, table, 0, (uint32_t) self->cluster);
  *ret = table;
  return 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------------- */

int
qcow2_io_write (Qcow2 *self, uint64_t offset, const void *bytes, size_t n_bytes)
{
  int result = image_io_write (self->io, offset, bytes, n_bytes);

  self->unsynced = true;
  if (offset + n_bytes > self->file_end)
    self->file_end = offset + n_bytes;
  return result;
}

int
qcow2_sync (Qcow2 *self)
{
  int result;

  if (!self->unsynced)
    return 0;
  result = image_io_flush (self->io);
  if (result == 0)
    {
      self->unsynced = false;
      self->allocated = false;
    }
  return result;
}

int
qcow2_write_header (Qcow2 *self)
{
  uint8_t *h = self->header;

  put_be64 (h + 24, self->parent.n_bytes);
  put_be32 (h + 36, self->l1.n);
  put_be64 (h + 40, self->l1_offset);
  put_be64 (h + 48, self->refcount_table_offset);
  put_be32 (h + 56, self->refcount_clusters);
  put_be32 (h + 60, self->n_snapshots);
  put_be64 (h + 64, self->snapshots_offset);
  if (self->version >= 3)
    {
      put_be64 (h + 72, self->incompatible);
      put_be64 (h + 88, self->autoclear);
    }
  return qcow2_io_write (self, 0, h, self->n_header < HEADER_V3_BYTES ? self->n_header : HEADER_V3_BYTES);
}

int
qcow2_write_tables (Qcow2 *self)
{
  int result = write_blocks (self);

  if (result == 0 && self->l2_cache.n_dirty)
    {
      if (self->allocated)
        result = qcow2_sync (self);
      if (result == 0)
        result = write_cache (self, &self->l2_cache);
    }
  if (result == 0 && self->l1_dirty_from < self->l1_dirty_to)
    {
      uint32_t n = self->l1_dirty_to - self->l1_dirty_from;
      uint8_t *bytes = malloc ((size_t) n * 8);

      if (!bytes)
        return -ENOMEM;
      for (uint32_t i = 0; i < n; i++)
        put_be64 (bytes + (size_t) i * 8, self->l1.entries[self->l1_dirty_from + i]);
      result = qcow2_sync (self);
      if (result == 0)
        result = qcow2_io_write (self, self->l1_offset + (uint64_t) self->l1_dirty_from * 8, bytes, (size_t) n * 8);
      free (bytes);
      if (result == 0)
        self->l1_dirty_from = self->l1_dirty_to = 0;
    }
  return result;
}

static int
compare_clusters (const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

  return x < y ? -1 : x > y;
}

/* Only after the tables that no longer name these clusters are durable. */
static int
apply_frees (Qcow2 *self)
{
  uint64_t *frees = self->frees;
  size_t n = self->n_frees;
  uint64_t hole = 0, n_hole = 0;
  int result = 0;

  if (n == 0)
    return 0;
  /* A list of its own, so that nothing below can add to what is being worked off. */
  self->frees = NULL;
  self->n_frees = self->n_frees_allocated = 0;
  qsort (frees, n, sizeof *frees, compare_clusters);
  for (size_t i = 0; i < n && result == 0; i++)
    {
      uint64_t count = 0;

      result = qcow2_add_refs (self, frees[i], 1, -1);
      if (result == 0)
        result = qcow2_refcount (self, frees[i], &count);
      if (result < 0 || count)
        continue;
      /* The hole must be there before the cluster can be taken again: both happen in this loop, on this thread. */
      if (n_hole && hole + n_hole == frees[i])
        n_hole++;
      else
        {
          if (n_hole)
            self->io->klass->punch_hole (self->io, hole << self->cluster_bits, n_hole << self->cluster_bits);
          hole = frees[i];
          n_hole = 1;
        }
    }
  if (n_hole)
    self->io->klass->punch_hole (self->io, hole << self->cluster_bits, n_hole << self->cluster_bits);
  free (frees);
  self->unsynced = true;
  return result;
}

int
qcow2_commit (Qcow2 *self)
{
  int result;

  if (self->parent.read_only)
    return 0;
  if (self->broken)
    return -EIO;
  result = qcow2_write_tables (self);
  if (result == 0)
    result = qcow2_sync (self);
  if (result == 0 && self->n_frees)
    {
      result = apply_frees (self);
      if (result == 0)
        result = write_blocks (self);
    }
  return result;
}

int
qcow2_begin_structural (Qcow2 *self)
{
  int result = qcow2_commit (self);

  if (result < 0)
    return result;
  if (self->version < 3)
    return 0;
  self->incompatible |= INCOMPATIBLE_DIRTY;
  result = qcow2_write_header (self);
  if (result == 0)
    result = qcow2_sync (self);
  if (result < 0)
    self->incompatible &= ~INCOMPATIBLE_DIRTY;
  return result;
}

int
qcow2_end_structural (Qcow2 *self)
{
  int result = qcow2_commit (self);

  if (result == 0)
    result = qcow2_sync (self);
  if (result < 0)
    return result;
  self->incompatible &= ~INCOMPATIBLE_DIRTY;
  result = qcow2_write_header (self);
  return result < 0 ? result : qcow2_sync (self);
}

/* --- refcounts ---------------------------------------------------------------------------------------------------------------- */

static uint64_t
block_entry (const Qcow2 *self, const uint8_t *block, uint64_t index)
{
  switch (self->refcount_order)
    {
    case 4: return get_be16 (block + index * 2);
    case 3: return block[index];
    case 5: return get_be32 (block + index * 4);
    case 6: return get_be64 (block + index * 8);
    default:
      {
        unsigned bits = 1u << self->refcount_order;
        uint64_t bit = index * bits;

        return block[bit / 8] >> bit % 8 & ((1u << bits) - 1);
      }
    }
}

static void
set_block_entry (Qcow2 *self, Table *table, uint64_t index, uint64_t value)
{
  unsigned bits = 1u << self->refcount_order;
  uint64_t bit = index * bits;
  uint8_t *at = table->bytes + bit / 8;

  switch (self->refcount_order)
    {
    case 4: put_be16 (at, (uint16_t) value); break;
    case 3: *at = (uint8_t) value; break;
    case 5: put_be32 (at, (uint32_t) value); break;
    case 6: put_be64 (at, value); break;
    default:
      *at = (uint8_t) ((*at & ~(((1u << bits) - 1) << bit % 8)) | value << bit % 8);
      break;
    }
  qcow2_table_touch (&self->block_cache, table, (uint32_t) (bit / 8), (uint32_t) (bit / 8 + (bits + 7) / 8));
}

/* *ret NULL: the block does not exist, all its counts are zero. */
static int
get_block (Qcow2 *self, uint64_t cluster_number, Table **ret)
{
  uint64_t index = cluster_number >> self->block_bits;

  *ret = NULL;
  if (index >= self->n_refcount_table || self->refcount_table[index] == 0)
    return 0;
  if (!is_table_offset (self, self->refcount_table[index]))
    return -EIO;
  return qcow2_cache_get (self, &self->block_cache, self->refcount_table[index], false, ret);
}

int
qcow2_refcount (Qcow2 *self, uint64_t cluster_number, uint64_t *ret)
{
  Table *block;
  int result = get_block (self, cluster_number, &block);

  if (result == 0)
    *ret = block ? block_entry (self, block->bytes, cluster_number & ((UINT64_C (1) << self->block_bits) - 1)) : 0;
  return result;
}

static void
note_end (Qcow2 *self, uint64_t cluster_after)
{
  if (cluster_after << self->cluster_bits > self->end)
    self->end = cluster_after << self->cluster_bits;
}

static int
set_table_entry (Qcow2 *self, uint64_t index, uint64_t offset)
{
  self->refcount_table[index] = offset;
  if (self->rt_dirty_from == self->rt_dirty_to)
    {
      self->rt_dirty_from = (uint32_t) index;
      self->rt_dirty_to = (uint32_t) index + 1;
    }
  if (index < self->rt_dirty_from)
    self->rt_dirty_from = (uint32_t) index;
  if (index >= self->rt_dirty_to)
    self->rt_dirty_to = (uint32_t) index + 1;
  return 0;
}

/* n clusters behind everything that has a refcount block, with new blocks and, where it is too small, a new refcount table
 * beside them.  This is the only place where the table grows, and where runs larger than a block's reach are found. */
static int
allocate_at_frontier (Qcow2 *self, uint64_t n, uint64_t *ret_offset)
{
  uint64_t per_block = UINT64_C (1) << self->block_bits;
  uint64_t first_block = self->n_refcount_table, n_blocks = 0, n_table = 0, needed, start, at;
  uint64_t *table = NULL;
  int result = 0;

  while (first_block > 0 && self->refcount_table[first_block - 1] == 0)
    first_block--;
  start = first_block << self->block_bits;
  /* Behind the last block there may still be tables whose counts are lost. */
  if (start < self->end >> self->cluster_bits && self->end >> self->cluster_bits < MAX_HOST_OFFSET >> self->cluster_bits)
    {
      first_block = ((self->end >> self->cluster_bits) + per_block - 1) >> self->block_bits;
      start = first_block << self->block_bits;
    }
  for (;;)
    {
      uint64_t total = n + n_blocks + n_table;
      uint64_t blocks = (total + per_block - 1) >> self->block_bits;
      uint64_t table_clusters = 0;

      if (blocks == 0)
        blocks = 1;
      needed = first_block + blocks;
      if (needed > self->n_refcount_table)
        {
          uint64_t wanted = needed + needed / 2;

          if (wanted * 8 > QCOW2_MAX_REFCOUNT_TABLE_BYTES)
            wanted = QCOW2_MAX_REFCOUNT_TABLE_BYTES / 8;
          if (needed > wanted)
            return -EFBIG;
          table_clusters = clusters_of (self, wanted * 8);
          if (table_clusters << self->cluster_bits > QCOW2_MAX_REFCOUNT_TABLE_BYTES)
            table_clusters = QCOW2_MAX_REFCOUNT_TABLE_BYTES >> self->cluster_bits;
          if (table_clusters << self->cluster_bits >> 3 < needed)
            return -EFBIG;
        }
      if (blocks == n_blocks && table_clusters <= n_table)
        break;
      n_blocks = blocks > n_blocks ? blocks : n_blocks;
      n_table = table_clusters > n_table ? table_clusters : n_table;
    }
  if ((start + n + n_blocks + n_table) >= MAX_HOST_OFFSET >> self->cluster_bits)
    return -EFBIG;
  if (n_table)
    {
      table = calloc (n_table << self->cluster_bits >> 3, sizeof *table);
      if (!table)
        return -ENOMEM;
      memcpy (table, self->refcount_table, (size_t) self->n_refcount_table * sizeof *table);
    }
  /* Payload, blocks, table.  The blocks are new, so nothing on disk changes its meaning until the table names them. */
  at = start + n;
  note_end (self, at + n_blocks + n_table);
  result = qcow2_guard_add (self, at << self->cluster_bits, n_blocks + n_table);
  if (result < 0)
    {
      free (table);
      return result == -EEXIST ? -EIO : result;
    }
  self->allocated = true;
  for (uint64_t i = 0; i < n_blocks && result == 0; i++)
    {
      Table *block;

      result = qcow2_cache_get (self, &self->block_cache, (at + i) << self->cluster_bits, true, &block);
      for (uint64_t c = 0; result == 0 && c < per_block; c++)
        if ((i << self->block_bits) + c < n + n_blocks + n_table)
          set_block_entry (self, block, c, 1);
      if (table)
        table[first_block + i] = (at + i) << self->cluster_bits;
      else if (result == 0)
        set_table_entry (self, first_block + i, (at + i) << self->cluster_bits);
    }
  if (result == 0 && table)
    {
      uint64_t old_offset = self->refcount_table_offset, old_clusters = self->refcount_clusters;
      uint64_t *old_table = self->refcount_table;
      uint32_t n_old = self->n_refcount_table;
      size_t n_bytes = (size_t) (n_table << self->cluster_bits);
      uint8_t *bytes = malloc (n_bytes);

      result = bytes ? write_cache (self, &self->block_cache) : -ENOMEM;
      for (size_t i = 0; result == 0 && i < n_bytes / 8; i++)
        put_be64 (bytes + i * 8, table[i]);
      if (result == 0)
        result = qcow2_io_write (self, (at + n_blocks) << self->cluster_bits, bytes, n_bytes);
      free (bytes);
      if (result == 0)
        result = qcow2_sync (self);
      if (result == 0)
        {
          self->refcount_table = table;
          self->n_refcount_table = (uint32_t) (n_bytes / 8);
          self->refcount_table_offset = (at + n_blocks) << self->cluster_bits;
          self->refcount_clusters = (uint32_t) n_table;
          result = qcow2_write_header (self);
          if (result == 0)
            result = qcow2_sync (self);
          if (result == 0)
            {
              self->rt_dirty_from = self->rt_dirty_to = 0;
              free (old_table);
              table = NULL;
              qcow2_guard_remove (self, old_offset, old_clusters);
              result = qcow2_free_later (self, old_offset, old_clusters);
            }
          else
            {
              /* Which of the two tables the file names now is unknown, so neither may be written to. */
              self->refcount_table = old_table;
              self->n_refcount_table = n_old;
              self->refcount_table_offset = old_offset;
              self->refcount_clusters = (uint32_t) old_clusters;
              self->broken = true;
            }
        }
    }
  free (table);
  if (result < 0)
    {
      for (uint64_t i = 0; i < n_blocks; i++)
        qcow2_cache_forget (&self->block_cache, (at + i) << self->cluster_bits);
      for (uint64_t i = 0; i < n_blocks && first_block + i < self->n_refcount_table; i++)
        if (self->refcount_table[first_block + i] == (at + i) << self->cluster_bits)
          self->refcount_table[first_block + i] = 0;
      qcow2_guard_remove (self, at << self->cluster_bits, n_blocks + n_table);
      return result;
    }
  *ret_offset = start << self->cluster_bits;
  return 0;
}

/* A refcount block for this cluster, placed in this very cluster: the first thing the block counts is itself. */
static int
make_block (Qcow2 *self, uint64_t cluster_number)
{
  uint64_t index = cluster_number >> self->block_bits, offset;
  Table *block;
  int result;

  if (index >= self->n_refcount_table)
    return allocate_at_frontier (self, 0, &offset);
  if (cluster_number + 1 >= MAX_HOST_OFFSET >> self->cluster_bits)
    return -EFBIG;
  offset = cluster_number << self->cluster_bits;
  result = qcow2_guard_add (self, offset, 1);
  if (result < 0)
    return result == -EEXIST ? -EIO : result;
  result = qcow2_cache_get (self, &self->block_cache, offset, true, &block);
  if (result < 0)
    {
      qcow2_guard_remove (self, offset, 1);
      return result;
    }
  note_end (self, cluster_number + 1);
  set_block_entry (self, block, cluster_number & ((UINT64_C (1) << self->block_bits) - 1), 1);
  self->allocated = true;
  return set_table_entry (self, index, offset);
}

int
qcow2_add_refs (Qcow2 *self, uint64_t cluster_number, uint64_t n, int change)
{
  for (uint64_t i = 0; i < n; i++)
    {
      uint64_t at = (cluster_number + i) & ((UINT64_C (1) << self->block_bits) - 1), count;
      Table *block;
      int result = get_block (self, cluster_number + i, &block);

      if (result < 0)
        return result;
      if (!block)
        return -EIO;
      count = block_entry (self, block->bytes, at);
      /* A count that would wrap around belongs to a damaged image. */
      if (change < 0 ? count == 0 : count == 0 || count >= self->max_refcount)
        return change < 0 || count == 0 ? -EIO : -ENOTSUP;
      count = change < 0 ? count - 1 : count + 1;
      set_block_entry (self, block, at, count);
      if (count == 0)
        {
          qcow2_cache_forget (&self->l2_cache, (cluster_number + i) << self->cluster_bits);
          if (qcow2_is_guarded (self, cluster_number + i))
            qcow2_guard_remove (self, (cluster_number + i) << self->cluster_bits, 1);
          if (cluster_number + i < self->free_hint)
            self->free_hint = cluster_number + i;
          self->unpacked_entry = 0;
        }
    }
  return 0;
}

int
qcow2_allocate (Qcow2 *self, uint64_t n_min, uint64_t n_max, uint64_t *ret_offset, uint64_t *ret_n)
{
  uint64_t n_run = 0, start = 0, at = self->free_hint, per_block = UINT64_C (1) << self->block_bits;
  bool hint_moves = true;

  if (self->broken)
    return -EIO;
  while (n_run < n_max)
    {
      uint64_t count = 1;
      Table *block;
      int result;

      result = get_block (self, at, &block);
      if (result < 0)
        return result;
      if (!block)
        {
          if (n_run && n_run >= n_min)
            break;
          n_run = 0;
          if (n_min >= per_block)
            {
              result = allocate_at_frontier (self, n_min, ret_offset);
              if (result == 0)
                {
                  *ret_n = n_min;
                  self->unsynced = true;
                }
              return result;
            }
          /* With a table that grew, the frontier's block covers other clusters than this one: look again. */
          result = make_block (self, at);
          if (result < 0)
            return result;
          continue;
        }
      count = block_entry (self, block->bytes, at & (per_block - 1));
      if (count == 0 && qcow2_is_guarded (self, at))
        return -EIO;            /* a table in a cluster that is said to be free: do not make it worse */
      if (count == 0)
        {
          if (n_run == 0)
            start = at;
          n_run++;
        }
      else
        {
          if (n_run && n_run >= n_min)
            break;
          n_run = 0;
          if (hint_moves && self->free_hint == at)
            self->free_hint = at + 1;
        }
      if (count == 0)
        hint_moves = false;
      at++;
    }
  if (start + n_run >= MAX_HOST_OFFSET >> self->cluster_bits)
    return -EFBIG;
  for (uint64_t i = 0; i < n_run; i++)
    {
      Table *block;
      int result = get_block (self, start + i, &block);

      if (result == 0 && !block)
        result = -EIO;
      if (result < 0)
        {
          qcow2_unallocate (self, start << self->cluster_bits, i);
          return result;
        }
      set_block_entry (self, block, (start + i) & (per_block - 1), 1);
    }
  if (start == self->free_hint)
    self->free_hint = start + n_run;
  note_end (self, start + n_run);
  self->allocated = true;
  *ret_offset = start << self->cluster_bits;
  *ret_n = n_run;
  return 0;
}

void
qcow2_unallocate (Qcow2 *self, uint64_t offset, uint64_t n)
{
  qcow2_add_refs (self, offset >> self->cluster_bits, n, -1);
}

int
qcow2_free_later (Qcow2 *self, uint64_t offset, uint64_t n)
{
  for (uint64_t i = 0; i < n; i++)
    {
      if (self->n_frees == self->n_frees_allocated)
        {
          size_t larger = self->n_frees_allocated ? 2 * self->n_frees_allocated : 64;
          uint64_t *frees = realloc (self->frees, larger * sizeof *frees);

          if (!frees)
            return -ENOMEM;
          self->frees = frees;
          self->n_frees_allocated = larger;
        }
      self->frees[self->n_frees++] = (offset >> self->cluster_bits) + i;
    }
  return 0;
}

void
qcow2_compressed_span (const Qcow2 *self, uint64_t entry, uint64_t *ret_offset, uint64_t *ret_n_bytes)
{
  unsigned x = 62 - (self->cluster_bits - 8);
  uint64_t offset = entry & ((UINT64_C (1) << x) - 1);
  uint64_t sectors = (entry & ~(ENTRY_COPIED | ENTRY_COMPRESSED)) >> x;

  *ret_offset = offset;
  *ret_n_bytes = (sectors + 1) * 512 - (offset & 511);
}

/* --- L1 tables ----------------------------------------------------------------------------------------------------------------- */

int
qcow2_load_l1 (Qcow2 *self, uint64_t offset, uint32_t n, L1View *ret)
{
  uint64_t *entries;
  int result;

  if ((uint64_t) n * 8 > QCOW2_MAX_L1_BYTES)
    return -EFBIG;
  ret->n = n;
  ret->entries = NULL;
  if (n == 0)
    return 0;
  if (!is_table_offset (self, offset) || clusters_of (self, (uint64_t) n * 8) > (self->end - offset) >> self->cluster_bits)
    return -EIO;
  entries = malloc ((size_t) n * 8);
  if (!entries)
    return -ENOMEM;
  result = image_io_read (self->io, offset, entries, (size_t) n * 8);
  if (result < 0)
    {
      free (entries);
      return result;
    }
  for (uint32_t i = 0; i < n; i++)
    entries[i] = __builtin_bswap64 (entries[i]);
  ret->entries = entries;
  return 0;
}

/* Whole clusters, the rest zero. */
int
qcow2_store_l1 (Qcow2 *self, const L1View *l1, uint64_t offset)
{
  size_t n_bytes = (size_t) clusters_of (self, (uint64_t) l1->n * 8) << self->cluster_bits;
  uint8_t *bytes;
  int result;

  if (n_bytes == 0)
    return 0;
  bytes = calloc (1, n_bytes);
  if (!bytes)
    return -ENOMEM;
  for (uint32_t i = 0; i < l1->n; i++)
    put_be64 (bytes + (size_t) i * 8, l1->entries[i]);
  result = qcow2_io_write (self, offset, bytes, n_bytes);
  free (bytes);
  return result;
}

/* A larger L1 table in a new place, and a new size of the disk: one header write switches both. */
int
qcow2_grow_l1 (Qcow2 *self, uint64_t n_entries, uint64_t new_size)
{
  uint64_t old_size = self->parent.n_bytes, old_offset = self->l1_offset, offset = 0, n = 0, n_clusters;
  L1View old = self->l1, larger = { NULL, 0 };
  int result;

  if (n_entries * 8 > QCOW2_MAX_L1_BYTES)
    return -EFBIG;
  if (n_entries <= self->l1.n)
    {
      if (new_size == old_size)
        return 0;
      self->parent.n_bytes = new_size;
      result = qcow2_write_header (self);
      if (result < 0)
        self->parent.n_bytes = old_size;
      return result;
    }
  result = qcow2_write_tables (self);   /* the old table, as far as it was changed */
  if (result < 0)
    return result;
  n_clusters = clusters_of (self, n_entries * 8);
  result = qcow2_allocate (self, n_clusters, n_clusters, &offset, &n);
  if (result < 0)
    return result;
  larger.n = (uint32_t) n_entries;
  larger.entries = calloc (larger.n, 8);
  if (!larger.entries)
    {
      qcow2_unallocate (self, offset, n);
      return -ENOMEM;
    }
  memcpy (larger.entries, old.entries, (size_t) old.n * 8);
  result = qcow2_store_l1 (self, &larger, offset);
  if (result == 0)
    result = qcow2_write_tables (self); /* its refcounts */
  if (result == 0)
    result = qcow2_sync (self);
  if (result == 0)
    result = qcow2_guard_add (self, offset, n);
  if (result < 0)
    {
      free (larger.entries);
      qcow2_unallocate (self, offset, n);
      return result;
    }
  self->l1 = larger;
  self->l1_offset = offset;
  self->parent.n_bytes = new_size;
  result = qcow2_write_header (self);
  if (result == 0)
    result = qcow2_sync (self);
  if (result < 0)
    {
      /* The file may name either table: nothing may be written until it is opened again. */
      self->l1 = old;
      self->l1_offset = old_offset;
      self->parent.n_bytes = old_size;
      self->broken = true;
      free (larger.entries);
      return result;
    }
  free (old.entries);
  if (old_offset)
    {
      uint64_t n_old = clusters_of (self, (uint64_t) old.n * 8);

      qcow2_guard_remove (self, old_offset, n_old);
      result = qcow2_free_later (self, old_offset, n_old);
    }
  return result;
}
