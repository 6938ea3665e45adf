/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2: guest bytes.  Reading maps runs of clusters to one host read; writing goes in place where a cluster is ours alone,
 * else to a new cluster that the L2 table names afterwards. */
#include "qcow2-private.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

typedef enum { UNALLOCATED, ZERO, DATA, COMPRESSED } Kind;

typedef struct
{
  Kind     kind;
  uint64_t host;                /* DATA: of the first byte; COMPRESSED: the L2 entry */
  uint64_t n_bytes;
} Extent;

static uint64_t
l2_span (const Qcow2 *self)
{
  return UINT64_C (1) << (self->cluster_bits + self->l2_bits);
}

static uint64_t
l2_word (const Qcow2 *self, const Table *l2, uint64_t index, unsigned word)
{
  return get_be64 (l2->bytes + (index * self->entry_words + word) * 8);
}

static void
set_l2 (Qcow2 *self, Table *l2, uint64_t index, uint64_t entry, uint64_t bitmap)
{
  uint32_t at = (uint32_t) (index * self->entry_words * 8);

  put_be64 (l2->bytes + at, entry);
  if (self->extended_l2)
    put_be64 (l2->bytes + at + 8, bitmap);
  qcow2_table_touch (&self->l2_cache, l2, at, at + self->entry_words * 8);
}

/* What one unit (a cluster, or a subcluster) is.  -EIO for an entry that breaks the format. */
static int
classify (const Qcow2 *self, const Table *l2, uint64_t index, unsigned subcluster, Kind *ret_kind, uint64_t *ret_host)
{
  uint64_t entry = l2_word (self, l2, index, 0), host = entry & ENTRY_OFFSET;

  *ret_host = 0;
  if (entry & ENTRY_COMPRESSED)
    {
      *ret_kind = COMPRESSED;
      *ret_host = entry;
      return 0;
    }
  if (host & (self->cluster - 1))
    return -EIO;
  if (self->extended_l2)
    {
      uint64_t bitmap = l2_word (self, l2, index, 1);
      bool allocated = bitmap >> subcluster & 1, zero = bitmap >> (32 + subcluster) & 1;

      if (allocated && (zero || !host))
        return -EIO;
      *ret_kind = zero ? ZERO : allocated ? DATA : UNALLOCATED;
    }
  else if (self->version >= 3 && entry & ENTRY_ZERO)
    *ret_kind = ZERO;
  else
    *ret_kind = host ? DATA : UNALLOCATED;
  if (*ret_kind == DATA)
    {
      if (!is_table_offset (self, host))
        return -EIO;
      *ret_host = host;
    }
  return 0;
}

/* The longest run from offset that one action can serve, at most n_max bytes, inside one L2 table. */
static int
map (Qcow2 *self, const L1View *l1, uint64_t offset, uint64_t n_max, Extent *ret)
{
  uint64_t index = offset >> (self->cluster_bits + self->l2_bits);
  uint64_t to_end = l2_span (self) - (offset & (l2_span (self) - 1));
  uint64_t subcluster = UINT64_C (1) << self->subcluster_bits;
  uint64_t table_offset;
  Table *l2;
  int result;

  if (n_max > to_end)
    n_max = to_end;
  ret->kind = UNALLOCATED;
  ret->host = 0;
  ret->n_bytes = n_max;
  if (index >= l1->n || !(l1->entries[index] & ~ENTRY_COPIED))
    return 0;
  table_offset = l1->entries[index] & ENTRY_OFFSET;
  if (!is_table_offset (self, table_offset))
    return -EIO;
  result = qcow2_cache_get (self, &self->l2_cache, table_offset, false, &l2);
  if (result < 0)
    return result;
  ret->n_bytes = 0;
  while (ret->n_bytes < n_max)
    {
      uint64_t at = offset + ret->n_bytes, host;
      uint64_t cluster_index = at >> self->cluster_bits & ((UINT64_C (1) << self->l2_bits) - 1);
      uint64_t in_cluster = at & (self->cluster - 1);
      uint64_t n = subcluster - (at & (subcluster - 1));
      Kind kind;

      result = classify (self, l2, cluster_index, (unsigned) (in_cluster >> self->subcluster_bits), &kind, &host);
      if (result < 0)
        return ret->n_bytes ? 0 : result;
      if (kind == DATA)
        host += in_cluster;
      if (kind == COMPRESSED)
        n = self->cluster - in_cluster;
      if (ret->n_bytes == 0)
        {
          ret->kind = kind;
          ret->host = host;
        }
      else if (kind != ret->kind || kind == COMPRESSED || (kind == DATA && host != ret->host + ret->n_bytes))
        break;
      ret->n_bytes += n;
      if (kind == COMPRESSED)
        break;
    }
  if (ret->n_bytes > n_max)
    ret->n_bytes = n_max;
  return 0;
}

/* --- compressed clusters --------------------------------------------------------------------------------------------------- */

static int
inflate_cluster (const uint8_t *packed, size_t n_packed, uint8_t *ret, size_t n)
{
  z_stream stream = { .next_in = (uint8_t *) packed, .avail_in = (uInt) n_packed, .next_out = ret, .avail_out = (uInt) n };
  int result;

  if (inflateInit2 (&stream, -15) != Z_OK)
    return -ENOMEM;
  result = inflate (&stream, Z_FINISH);
  inflateEnd (&stream);
  /* The sectors usually hold more than the stream: what counts is that a cluster came out. */
  return (result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK) && stream.avail_out == 0 ? 0 : -EIO;
}

static int
unzstd_cluster (const uint8_t *packed, size_t n_packed, uint8_t *ret, size_t n)
{
  ZSTD_DStream *stream = ZSTD_createDStream ();
  ZSTD_inBuffer in = { packed, n_packed, 0 };
  ZSTD_outBuffer out = { ret, n, 0 };

  if (!stream)
    return -ENOMEM;
  /* A cluster has at most 2 MiB, so a frame that wants a larger window is damaged. */
  ZSTD_DCtx_setParameter (stream, ZSTD_d_windowLogMax, 22);
  while (out.pos < out.size)
    {
      size_t in_before = in.pos, out_before = out.pos;
      size_t result = ZSTD_decompressStream (stream, &out, &in);

      if (ZSTD_isError (result) || (in.pos == in_before && out.pos == out_before))
        break;
    }
  ZSTD_freeDStream (stream);
  return out.pos == out.size ? 0 : -EIO;
}

/* The whole cluster of a compressed entry into self->unpacked. */
static int
unpack (Qcow2 *self, uint64_t entry)
{
  uint64_t offset, n_packed;
  uint8_t *packed;
  int result;

  if (self->unpacked_entry == entry)
    return 0;
  qcow2_compressed_span (self, entry, &offset, &n_packed);
  if (offset < self->cluster || offset >= self->end)
    return -EIO;
  if (!self->unpacked && !(self->unpacked = malloc (self->cluster)))
    return -ENOMEM;
  packed = malloc (n_packed);
  if (!packed)
    return -ENOMEM;
  self->unpacked_entry = 0;
  result = image_io_read (self->io, offset, packed, n_packed);
  if (result == 0)
    result = self->zstd ? unzstd_cluster (packed, n_packed, self->unpacked, self->cluster)
             : inflate_cluster (packed, n_packed, self->unpacked, self->cluster);
  free (packed);
  if (result == 0)
    self->unpacked_entry = entry;
  return result;
}

/* --- reading -------------------------------------------------------------------------------------------------------------------- */

static int
read_backing (Qcow2 *self, uint64_t offset, uint8_t *ret_bytes, size_t n_bytes, uint64_t backing_end)
{
  uint64_t end = self->backing ? self->backing->n_bytes : 0;

  if (self->has_backing && !self->backing && offset < backing_end)
    return -EIO;
  if (end > backing_end)
    end = backing_end;
  if (offset < end)
    {
      size_t n = n_bytes < end - offset ? n_bytes : (size_t) (end - offset);
      int result = block_read (self->backing, offset, ret_bytes, n);

      if (result < 0)
        return result;
      offset += n;
      ret_bytes += n;
      n_bytes -= n;
    }
  memset (ret_bytes, 0, n_bytes);
  return 0;
}

static int
read_data (Qcow2 *self, uint64_t host, uint8_t *ret_bytes, size_t n_bytes)
{
  int result;

  if (!self->encrypted)
    return image_io_read (self->io, host, ret_bytes, n_bytes);
  if (!self->cipher)
    return -ENOKEY;
  while (n_bytes)
    {
      uint64_t sector = host >> 9;
      size_t skip = host & 511, n;

      if (skip || n_bytes < 512)
        {
          uint8_t whole[512];

          n = 512 - skip < n_bytes ? 512 - skip : n_bytes;
          result = image_io_read (self->io, sector << 9, whole, sizeof whole);
          if (result == 0)
            result = luks1_decrypt (self->cipher, sector, whole, sizeof whole);
          if (result < 0)
            return result;
          memcpy (ret_bytes, whole + skip, n);
        }
      else
        {
          n = n_bytes & ~(size_t) 511;
          result = image_io_read (self->io, host, ret_bytes, n);
          if (result == 0)
            result = luks1_decrypt (self->cipher, sector, ret_bytes, n);
          if (result < 0)
            return result;
        }
      host += n;
      ret_bytes += n;
      n_bytes -= n;
    }
  return 0;
}

/* backing_end: where the part of the area that the backing file may fill ends (the disk's size, not the memory state's). */
int
qcow2_read_area (Qcow2 *self, const L1View *l1, uint64_t offset, uint8_t *ret_bytes, size_t n_bytes, uint64_t backing_end)
{
  while (n_bytes)
    {
      Extent extent;
      size_t n;
      int result = map (self, l1, offset, n_bytes, &extent);

      if (result < 0)
        return result;
      n = (size_t) extent.n_bytes;
      switch (extent.kind)
        {
        case UNALLOCATED:
          result = read_backing (self, offset, ret_bytes, n, backing_end);
          break;
        case ZERO:
          memset (ret_bytes, 0, n);
          break;
        case DATA:
          result = read_data (self, extent.host, ret_bytes, n);
          break;
        case COMPRESSED:
          result = unpack (self, extent.host);
          if (result == 0)
            memcpy (ret_bytes, self->unpacked + (offset & (self->cluster - 1)), n);
          break;
        default:
          result = -EIO;
        }
      if (result < 0)
        return result;
      offset += n;
      ret_bytes += n;
      n_bytes -= n;
    }
  return 0;
}

/* --- writing ---------------------------------------------------------------------------------------------------------------------- */

/* Into clusters that hold data of this image.  Encrypted data goes through the bounce buffer, whole sectors at a time. */
static int
write_data (Qcow2 *self, uint64_t host, const uint8_t *bytes, size_t n_bytes)
{
  int result;

  if (!self->encrypted)
    return qcow2_io_write (self, host, bytes, n_bytes);
  if (!self->cipher)
    return -ENOKEY;
  while (n_bytes)
    {
      uint64_t sector = host >> 9;
      size_t skip = host & 511, n;

      if (skip || n_bytes < 512)
        {
          uint8_t whole[512];

          n = 512 - skip < n_bytes ? 512 - skip : n_bytes;
          result = read_data (self, sector << 9, whole, sizeof whole);
          if (result < 0)
            return result;
          memcpy (whole + skip, bytes, n);
          result = luks1_encrypt (self->cipher, sector, whole, self->bounce, sizeof whole);
          if (result == 0)
            result = qcow2_io_write (self, sector << 9, self->bounce, sizeof whole);
        }
      else
        {
          n = n_bytes & ~(size_t) 511;
          if (n > self->n_bounce)
            n = self->n_bounce;
          result = luks1_encrypt (self->cipher, sector, bytes, self->bounce, n);
          if (result == 0)
            result = qcow2_io_write (self, host, self->bounce, n);
        }
      if (result < 0)
        return result;
      host += n;
      bytes += n;
      n_bytes -= n;
    }
  return 0;
}

/* The L2 table for a guest offset, ours alone. */
static int
l2_for_write (Qcow2 *self, uint64_t l1_index, Table **ret)
{
  uint64_t entry = self->l1.entries[l1_index], old = entry & ENTRY_OFFSET, offset, n;
  uint8_t *content = NULL;
  int result;

  if (old && !is_table_offset (self, old))
    return -EIO;
  if (old && entry & ENTRY_COPIED)
    return qcow2_cache_get (self, &self->l2_cache, old, false, ret);
  if (old)
    {
      Table *table;

      result = qcow2_cache_get (self, &self->l2_cache, old, false, &table);
      if (result < 0)
        return result;
      content = malloc (self->cluster);
      if (!content)
        return -ENOMEM;
      memcpy (content, table->bytes, self->cluster);
    }
  result = qcow2_allocate (self, 1, 1, &offset, &n);
  if (result == 0 && (result = qcow2_guard_add (self, offset, 1)) < 0)
    qcow2_unallocate (self, offset, 1);
  if (result == 0 && (result = qcow2_cache_get (self, &self->l2_cache, offset, true, ret)) < 0)
    qcow2_unallocate (self, offset, 1);
  if (result == 0 && old)
    {
      memcpy ((*ret)->bytes, content, self->cluster);
      result = qcow2_free_later (self, old, 1);
    }
  free (content);
  if (result < 0)
    return result;
  self->l1.entries[l1_index] = offset | ENTRY_COPIED;
  qcow2_touch_l1 (self, (uint32_t) l1_index);
  return 0;
}

/* The host clusters of an entry that is being replaced. */
static int
free_entry (Qcow2 *self, uint64_t entry)
{
  if (entry & ENTRY_COMPRESSED)
    {
      uint64_t offset, n_bytes, first, last;

      qcow2_compressed_span (self, entry, &offset, &n_bytes);
      first = offset >> self->cluster_bits;
      last = (offset + n_bytes - 1) >> self->cluster_bits;
      return qcow2_free_later (self, first << self->cluster_bits, last - first + 1);
    }
  if (entry & ENTRY_OFFSET)
    return qcow2_free_later (self, entry & ENTRY_OFFSET & ~(self->cluster - 1), 1);
  return 0;
}

/* How many bytes from offset can be written where they are; 0: the first cluster needs a new place. */
static uint64_t
in_place_run (Qcow2 *self, Table *l2, uint64_t offset, uint64_t n_max, uint64_t *ret_host)
{
  uint64_t done = 0;

  while (done < n_max)
    {
      uint64_t at = offset + done, in_cluster = at & (self->cluster - 1);
      uint64_t index = at >> self->cluster_bits & ((UINT64_C (1) << self->l2_bits) - 1);
      uint64_t entry = l2_word (self, l2, index, 0), host = entry & ENTRY_OFFSET;
      uint64_t n = self->cluster - in_cluster;

      if (entry & ENTRY_COMPRESSED || !(entry & ENTRY_COPIED) || !is_table_offset (self, host))
        break;
      if (self->extended_l2 ? l2_word (self, l2, index, 1) != SUBCLUSTERS_ALL : self->version >= 3 && entry & ENTRY_ZERO)
        break;
      if (qcow2_is_guarded (self, host >> self->cluster_bits))
        break;
      if (done == 0)
        *ret_host = host + in_cluster;
      else if (host + in_cluster != *ret_host + done)
        break;
      done += n;
    }
  return done > n_max ? n_max : done;
}

/* Writes up to n_bytes into new clusters from offset on, inside one L2 table.  *ret_n: how many were written. */
static int
write_new (Qcow2 *self, Table *l2, uint64_t offset, const uint8_t *bytes, uint64_t n_bytes, uint64_t *ret_n)
{
  uint64_t mask = (UINT64_C (1) << self->l2_bits) - 1;
  uint64_t l1_index = offset >> (self->cluster_bits + self->l2_bits);
  uint64_t in_cluster = offset & (self->cluster - 1);
  uint64_t index = offset >> self->cluster_bits & mask;
  uint64_t wanted, host = 0, n_clusters = 1, n, entry = l2_word (self, l2, index, 0);
  bool reuse = !(entry & ENTRY_COMPRESSED) && entry & ENTRY_COPIED && is_table_offset (self, entry & ENTRY_OFFSET)
               && !qcow2_is_guarded (self, (entry & ENTRY_OFFSET) >> self->cluster_bits);
  bool partial = in_cluster != 0 || n_bytes < self->cluster, fresh = false;
  int result = 0;

  if (!(entry & ENTRY_COMPRESSED) && entry & ENTRY_OFFSET && entry & ENTRY_COPIED && !reuse)
    return -EIO;                /* data in a table's cluster, or outside the file */
  if (reuse)
    host = entry & ENTRY_OFFSET;        /* zero clusters with a place of their own, half filled subclusters */
  else
    {
      /* Whole clusters may become one run; a partly written cluster is one of its own. */
      wanted = partial ? 1 : n_bytes >> self->cluster_bits;
      for (uint64_t i = 1; i < wanted; i++)
        {
          uint64_t place;

          if (in_place_run (self, l2, offset + (i << self->cluster_bits), self->cluster, &place)
              || l2_word (self, l2, index + i, 0) & ENTRY_COPIED)
            wanted = i;
        }
      result = qcow2_allocate (self, 1, wanted, &host, &n_clusters);
      if (result < 0)
        return result;
      fresh = host >= self->file_end;
    }
  if (!partial)
    {
      n = n_clusters << self->cluster_bits;
      result = write_data (self, host, bytes, n);
    }
  else
    {
      Extent extent;

      n = self->cluster - in_cluster < n_bytes ? self->cluster - in_cluster : n_bytes;
      result = map (self, &self->l1, offset - in_cluster, self->cluster, &extent);
      /* Nothing to keep and nothing stale: the file's end reads as zero anyway. */
      if (result == 0 && fresh && !self->encrypted && !self->has_backing && extent.n_bytes == self->cluster
          && (extent.kind == UNALLOCATED || extent.kind == ZERO))
        result = write_data (self, host + in_cluster, bytes, n);
      else if (result == 0)
        {
          uint8_t *whole = malloc (self->cluster);
          uint64_t area_end = self->parent.n_bytes;

          result = whole ? qcow2_read_area (self, &self->l1, offset - in_cluster, whole, self->cluster, area_end) : -ENOMEM;
          if (result == 0)
            {
              memcpy (whole + in_cluster, bytes, n);
              result = write_data (self, host, whole, self->cluster);
            }
          free (whole);
        }
    }
  /* Reading the old content may have gone through the cache: the table may have moved. */
  if (result == 0)
    result = qcow2_cache_get (self, &self->l2_cache, self->l1.entries[l1_index] & ENTRY_OFFSET, false, &l2);
  if (result < 0)
    {
      if (!reuse)
        qcow2_unallocate (self, host, n_clusters);
      return result;
    }
  for (uint64_t i = 0; i < n_clusters && result == 0; i++)
    {
      if (!reuse)
        result = free_entry (self, l2_word (self, l2, index + i, 0));
      set_l2 (self, l2, index + i, (host + (i << self->cluster_bits)) | ENTRY_COPIED, SUBCLUSTERS_ALL);
    }
  self->allocated = true;       /* the data must be durable before the entry that names it */
  *ret_n = n;
  return result;
}

int
qcow2_write_area (Qcow2 *self, uint64_t offset, const uint8_t *bytes, size_t n_bytes)
{
  if (self->broken)
    return -EIO;
  while (n_bytes)
    {
      uint64_t l1_index = offset >> (self->cluster_bits + self->l2_bits);
      uint64_t to_end = l2_span (self) - (offset & (l2_span (self) - 1));
      uint64_t n_max = n_bytes < to_end ? n_bytes : to_end, host = 0, n = 0;
      Table *l2;
      int result;

      if (l1_index >= self->l1.n)
        return -EIO;
      result = l2_for_write (self, l1_index, &l2);
      if (result < 0)
        return result;
      n = in_place_run (self, l2, offset, n_max, &host);
      if (n)
        result = write_data (self, host, bytes, (size_t) n);
      else
        result = write_new (self, l2, offset, bytes, n_max, &n);
      if (result < 0)
        return result;
      offset += n;
      bytes += n;
      n_bytes -= (size_t) n;
      if (self->n_frees > MAX_PENDING_FREES && (result = qcow2_commit (self)) < 0)
        return result;
    }
  return 0;
}

/* --- discarding --------------------------------------------------------------------------------------------------------------------- */

static int
write_zeros (Qcow2 *self, uint64_t offset, uint64_t n_bytes)
{
  static const uint8_t zeros[65536];

  while (n_bytes)
    {
      size_t n = n_bytes < sizeof zeros ? (size_t) n_bytes : sizeof zeros;
      int result = qcow2_write_area (self, offset, zeros, n);

      if (result < 0)
        return result;
      offset += n;
      n_bytes -= n;
    }
  return 0;
}

/* Parts of clusters are written with zeros, unless they are zero already. */
static int
zero_part (Qcow2 *self, uint64_t offset, uint64_t n_bytes)
{
  while (n_bytes)
    {
      Extent extent;
      int result = map (self, &self->l1, offset, n_bytes, &extent);

      if (result == 0 && extent.kind != ZERO && (extent.kind != UNALLOCATED || self->has_backing))
        result = write_zeros (self, offset, extent.n_bytes);
      if (result < 0)
        return result;
      offset += extent.n_bytes;
      n_bytes -= extent.n_bytes;
    }
  return 0;
}

/* The area reads as zero afterwards. */
int
qcow2_discard_area (Qcow2 *self, uint64_t offset, uint64_t n_bytes)
{
  uint64_t end = offset + n_bytes;
  int result = 0;

  if (self->broken)
    return -EIO;
  while (offset < end && result == 0)
    {
      uint64_t l1_index = offset >> (self->cluster_bits + self->l2_bits);
      uint64_t index = offset >> self->cluster_bits & ((UINT64_C (1) << self->l2_bits) - 1);
      uint64_t in_cluster = offset & (self->cluster - 1), entry, bitmap = 0, new_entry, new_bitmap;
      bool backed = self->has_backing;
      Table *l2;

      if (l1_index >= self->l1.n)
        return -EIO;
      if (!(self->l1.entries[l1_index] & ENTRY_OFFSET) && !backed)
        {
          offset = (offset & ~(l2_span (self) - 1)) + l2_span (self);
          continue;
        }
      if (in_cluster || end - offset < self->cluster)
        {
          uint64_t n = self->cluster - in_cluster < end - offset ? self->cluster - in_cluster : end - offset;

          /* The last cluster of a disk may be cut off by its end: then it goes whole. */
          if (in_cluster || offset + n != self->parent.n_bytes)
            {
              result = zero_part (self, offset, n);
              offset += n;
              continue;
            }
        }
      result = l2_for_write (self, l1_index, &l2);
      if (result < 0)
        return result;
      entry = l2_word (self, l2, index, 0);
      if (self->extended_l2)
        bitmap = l2_word (self, l2, index, 1);
      new_entry = backed && !self->extended_l2 ? ENTRY_ZERO : 0;
      new_bitmap = backed ? SUBCLUSTERS_ZERO : 0;
      if (backed && self->version < 3)
        result = write_zeros (self, offset, self->cluster < end - offset ? self->cluster : end - offset);
      else if (entry != new_entry || bitmap != new_bitmap)
        {
          result = free_entry (self, entry);
          if (result == 0)
            set_l2 (self, l2, index, new_entry, new_bitmap);
        }
      offset += self->cluster;
      if (result == 0 && self->n_frees > MAX_PENDING_FREES)
        result = qcow2_commit (self);
    }
  return result;
}

int
qcow2_next_data (BlockBackend *backend, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end)
{
  Qcow2 *self = (Qcow2 *) backend;
  uint64_t size = backend->n_bytes;

  *ret_begin = *ret_end = size;
  while (offset < size)
    {
      Extent extent;
      int result = map (self, &self->l1, offset, size - offset, &extent);
      bool data;

      if (result < 0)
        return result;
      data = extent.kind == DATA || extent.kind == COMPRESSED || (extent.kind == UNALLOCATED && self->has_backing);
      if (data && *ret_begin == size)
        *ret_begin = offset;
      else if (!data && *ret_begin != size)
        {
          *ret_end = offset;
          return 0;
        }
      offset += extent.n_bytes;
    }
  return 0;
}
