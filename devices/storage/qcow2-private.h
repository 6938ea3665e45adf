/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of the qcow2 implementation share.  Offsets and layouts: docs/interop/qcow2 of the QEMU project, called
 * "the format text" in comments.
 *
 * The order of writes.  A table on disk may only name what is already on disk, and a cluster may only be used again when no
 * table on disk names it:
 *
 *   1. data and refcount blocks (increments)         nothing names them yet: a cut leaves leaks
 *   2. barrier, refcount table                       only when a refcount block is new
 *   3. barrier, L2 tables                            the barrier only when something was allocated since the last one
 *   4. barrier, L1 table                             only when an L2 table is new or moved
 *   5. barrier, refcount blocks (decrements)         the frees waited for 3 and 4 to be durable
 *
 * Entries of L1, L2 and refcount tables never cross a 512-byte sector, so a torn table holds old and new entries only.
 * Anything that changes refcounts of clusters in use (snapshots) runs under the dirty bit. */
#pragma once

#include "luks1.h"
#include "qcow2.h"

#include <errno.h>
#include <string.h>

#define QCOW2_MAGIC             0x514649fbu
#define INCOMPATIBLE_DIRTY      (UINT64_C (1) << 0)
#define INCOMPATIBLE_CORRUPT    (UINT64_C (1) << 1)
#define INCOMPATIBLE_DATA_FILE  (UINT64_C (1) << 2)
#define INCOMPATIBLE_COMPRESSION (UINT64_C (1) << 3)
#define INCOMPATIBLE_EXTENDED_L2 (UINT64_C (1) << 4)
#define INCOMPATIBLE_KNOWN      (UINT64_C (0x1f))
#define EXTENSION_END           0x00000000u
#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define EXTENSION_LUKS          0x0537be77u
#define ENTRY_COPIED            (UINT64_C (1) << 63)
#define ENTRY_COMPRESSED        (UINT64_C (1) << 62)
#define ENTRY_ZERO              (UINT64_C (1) << 0)
#define ENTRY_OFFSET            UINT64_C (0x00fffffffffffe00)
#define MAX_HOST_OFFSET         (UINT64_C (1) << 56)
#define SUBCLUSTERS_ALL         UINT64_C (0x00000000ffffffff)
#define SUBCLUSTERS_ZERO        UINT64_C (0xffffffff00000000)
#define HEADER_V2_BYTES         72u
#define HEADER_V3_BYTES         104u
#define MAX_PENDING_FREES       65536u  /* then the tables are written early so that the list can be worked off */

typedef struct
{
  uint64_t offset;              /* in the file; 0: unused */
  uint8_t *bytes;
  uint32_t dirty_from, dirty_to;        /* bytes that differ from the file; equal: none */
  uint32_t next;                /* in the bucket, index + 1 */
  bool     recent;
} Table;

typedef struct
{
  Table    *tables;
  uint32_t *buckets;            /* index + 1 of the first */
  uint32_t  n_tables, n_buckets, hand;
  uint32_t  n_dirty;
} TableCache;

/* Which host clusters hold tables: they are never written as data. */
typedef struct
{
  uint64_t *clusters;           /* cluster number + 1; 0: empty; open addressing */
  size_t    n_slots, n_used;
} ClusterSet;

typedef struct
{
  uint64_t  l1_offset;
  uint32_t  n_l1;
  uint32_t  date_s, date_ns;
  uint64_t  clock_ns, n_vm_state, n_disk;
  uint8_t  *extra;              /* what lies beyond the fields we know, kept as it is */
  uint32_t  n_extra;
  char     *id, *name;          /* NUL added */
  uint16_t  n_id, n_name;
} Snapshot;

typedef struct
{
  uint64_t *entries;            /* host byte order */
  uint32_t  n;
} L1View;

typedef struct
{
  BlockBackend  parent;
  ImageIo      *io;
  BlockBackend *backing;
  bool          without_backing;

  /* The header. */
  uint8_t       header[HEADER_V3_BYTES + 8];    /* as on disk, up to n_header */
  uint32_t      n_header;
  unsigned      version, cluster_bits, refcount_order;
  uint64_t      cluster, incompatible, autoclear, autoclear_found;
  bool          extended_l2, has_backing, zstd;
  unsigned      l2_bits;        /* log2 of entries per L2 table */
  unsigned      entry_words;    /* 1, or 2 with extended L2 */
  unsigned      subcluster_bits;        /* cluster_bits without extended L2 */
  uint64_t      l1_offset, refcount_table_offset, snapshots_offset;
  uint32_t      n_snapshots;
  uint64_t      snapshot_table_bytes;
  Snapshot     *snapshots;

  L1View        l1;
  uint32_t      l1_dirty_from, l1_dirty_to;
  uint64_t     *refcount_table; /* offsets of blocks, host byte order */
  uint32_t      n_refcount_table, refcount_clusters;
  uint32_t      rt_dirty_from, rt_dirty_to;
  unsigned      block_bits;     /* log2 of refcounts per block */
  uint64_t      max_refcount;

  TableCache    l2_cache, block_cache;
  ClusterSet    guarded;
  uint64_t      end;            /* first byte behind everything written or allocated, rounded up to a cluster */
  uint64_t      file_end;       /* bytes behind this read as zero and were never written */
  uint64_t      free_hint;      /* no free cluster below this number */
  uint64_t     *frees;          /* clusters that lose a reference once the tables are durable */
  size_t        n_frees, n_frees_allocated;
  bool          unsynced;       /* written since the last barrier */
  bool          allocated;      /* allocated since the last barrier */
  bool          broken;         /* an operation under the dirty bit failed half way: reopen to repair */
  bool          committing;

  /* Encryption. */
  bool          encrypted;
  uint64_t      luks_offset, luks_bytes;
  Luks1         luks;
  Luks1Cipher  *cipher;         /* NULL without the key */
  uint8_t       key[QCOW2_KEY_BYTES];

  uint8_t      *bounce;         /* one cluster or 64 KiB, whichever is larger */
  size_t        n_bounce;
  uint8_t      *unpacked;       /* the last decompressed cluster … */
  uint64_t      unpacked_entry; /* … and its L2 entry; 0: none */
} Qcow2;

static inline uint16_t
get_be16 (const uint8_t *at)
{
  return (uint16_t) (at[0] << 8 | at[1]);
}

static inline uint32_t
get_be32 (const uint8_t *at)
{
  uint32_t value;

  memcpy (&value, at, 4);
  return __builtin_bswap32 (value);
}

static inline uint64_t
get_be64 (const uint8_t *at)
{
  uint64_t value;

  memcpy (&value, at, 8);
  return __builtin_bswap64 (value);
}

static inline void
put_be16 (uint8_t *at, uint16_t value)
{
  at[0] = (uint8_t) (value >> 8);
  at[1] = (uint8_t) value;
}

static inline void
put_be32 (uint8_t *at, uint32_t value)
{
  value = __builtin_bswap32 (value);
  memcpy (at, &value, 4);
}

static inline void
put_be64 (uint8_t *at, uint64_t value)
{
  value = __builtin_bswap64 (value);
  memcpy (at, &value, 8);
}

static inline uint64_t
clusters_of (const Qcow2 *self, uint64_t n_bytes)
{
  return (n_bytes >> self->cluster_bits) + ((n_bytes & (self->cluster - 1)) != 0);
}

/* L1 entries for a disk of that size. */
static inline uint64_t
l1_entries_for (const Qcow2 *self, uint64_t n_bytes)
{
  return (clusters_of (self, n_bytes) + (UINT64_C (1) << self->l2_bits) - 1) >> self->l2_bits;
}

static inline bool
is_table_offset (const Qcow2 *self, uint64_t offset)
{
  return offset != 0 && (offset & (self->cluster - 1)) == 0 && offset < MAX_HOST_OFFSET && offset < self->end;
}

static inline void
qcow2_touch_l1 (Qcow2 *self, uint32_t index)
{
  if (self->l1_dirty_from == self->l1_dirty_to)
    {
      self->l1_dirty_from = index;
      self->l1_dirty_to = index + 1;
    }
  if (index < self->l1_dirty_from)
    self->l1_dirty_from = index;
  if (index >= self->l1_dirty_to)
    self->l1_dirty_to = index + 1;
}

Qcow2 *qcow2_of (BlockBackend *image);

int qcow2_guard_all (Qcow2 *self);

/* --- qcow2-tables.c: caches, refcounts, allocation, the order of writes --- */
int  qcow2_cache_new (Qcow2 *self, TableCache *cache, size_t n_bytes);
void qcow2_cache_free (TableCache *cache);
/* The table stays where it is until the next call for the same cache.  fresh: zeros, all dirty, not read. */
int  qcow2_cache_get (Qcow2 *self, TableCache *cache, uint64_t offset, bool fresh, Table **ret);
void qcow2_table_touch (TableCache *cache, Table *table, uint32_t from, uint32_t to);
void qcow2_cache_forget (TableCache *cache, uint64_t offset);
/* -EEXIST, -EFBIG (QCOW2_MAX_TABLES), -ENOMEM. */
int  qcow2_set_add (ClusterSet *set, uint64_t cluster_number);
int  qcow2_guard_add (Qcow2 *self, uint64_t offset, uint64_t n_clusters);
void qcow2_guard_remove (Qcow2 *self, uint64_t offset, uint64_t n_clusters);
bool qcow2_is_guarded (const Qcow2 *self, uint64_t cluster_number);

int  qcow2_io_write (Qcow2 *self, uint64_t offset, const void *bytes, size_t n_bytes);
int  qcow2_sync (Qcow2 *self);          /* a barrier, when anything was written */
int  qcow2_write_header (Qcow2 *self);  /* the fixed fields; not durable */
int  qcow2_write_tables (Qcow2 *self);  /* 1 to 4 */
int  qcow2_commit (Qcow2 *self);        /* 1 to 5 */

int  qcow2_refcount (Qcow2 *self, uint64_t cluster_number, uint64_t *ret);
/* Immediate; when it comes to zero the cluster can be taken at once.  n clusters in a row. */
int  qcow2_add_refs (Qcow2 *self, uint64_t cluster_number, uint64_t n, int change);
/* Between n_min and n_max clusters in a row, refcount 1. */
int  qcow2_allocate (Qcow2 *self, uint64_t n_min, uint64_t n_max, uint64_t *ret_offset, uint64_t *ret_n);
/* An allocation nothing on disk or in the tables names yet is taken back. */
void qcow2_unallocate (Qcow2 *self, uint64_t offset, uint64_t n);
/* One reference less, once the tables are durable. */
int  qcow2_free_later (Qcow2 *self, uint64_t offset, uint64_t n);
/* Host clusters a compressed entry touches. */
void qcow2_compressed_span (const Qcow2 *self, uint64_t entry, uint64_t *ret_offset, uint64_t *ret_n_bytes);
int  qcow2_grow_l1 (Qcow2 *self, uint64_t n_entries, uint64_t new_size);
int  qcow2_load_l1 (Qcow2 *self, uint64_t offset, uint32_t n, L1View *ret);
int  qcow2_store_l1 (Qcow2 *self, const L1View *l1, uint64_t offset);
int  qcow2_begin_structural (Qcow2 *self);      /* tables durable, then the dirty bit */
int  qcow2_end_structural (Qcow2 *self);        /* tables durable, then the dirty bit goes */

/* --- qcow2-data.c --- */
int  qcow2_read_area (Qcow2 *self, const L1View *l1, uint64_t offset, uint8_t *ret_bytes, size_t n_bytes, uint64_t backing_end);
int  qcow2_write_area (Qcow2 *self, uint64_t offset, const uint8_t *bytes, size_t n_bytes);
int  qcow2_discard_area (Qcow2 *self, uint64_t offset, uint64_t n_bytes);
int  qcow2_next_data (BlockBackend *backend, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end);

/* --- qcow2-snapshot.c --- */
int  qcow2_load_snapshots (Qcow2 *self, const char **ret_reason);
void qcow2_free_snapshots (Snapshot *snapshots, uint32_t n);

/* --- qcow2-check.c --- */
int  qcow2_rebuild (Qcow2 *self);       /* new refcounts and COPIED flags from the tables, then the dirty bit goes */
int  qcow2_fix_copied (Qcow2 *self);
/* Calls for every host cluster range an L1 table names: L2 tables after their data.  An L2 table named twice is visited once.
 * A negative result of the callback ends it.  *ret_n_bad: entries that break the format, which are
 * left out. */
typedef int (*Qcow2Visit) (Qcow2 *self, uint64_t cluster_number, uint64_t n, void *data);
int  qcow2_visit (Qcow2 *self, const L1View *l1, uint64_t *ret_n_bad, Qcow2Visit visit, void *data);
