/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2: header, header extensions, opening and closing, the disk's calls. */
#include "qcow2-private.h"

#include <stdlib.h>

static const BlockClass qcow2_class;

Qcow2 *
qcow2_of (BlockBackend *image)
{
  return image->klass == &qcow2_class ? (Qcow2 *) image : NULL;
}

static int
because (const char **ret_reason, int error, const char *reason)
{
  if (ret_reason)
    *ret_reason = reason;
  return error;
}

void
qcow2_prepare_crypto (void)
{
  luks1_prepare ();
}

/* --- the header ------------------------------------------------------------------------------------------------------ */

/* Everything that the header says, checked as far as it can be without other parts of the file. */
static int
parse_header (Qcow2 *self, const char **ret_reason)
{
  uint8_t *h = self->header;
  uint64_t file_size = 0, known = INCOMPATIBLE_KNOWN;
  int result;

  result = image_io_size (self->io, &file_size);
  if (result == 0)
    result = image_io_read (self->io, 0, h, sizeof self->header);
  if (result < 0)
    return because (ret_reason, result, "its header cannot be read");
  if (file_size < HEADER_V2_BYTES || get_be32 (h) != QCOW2_MAGIC)
    return because (ret_reason, -EINVAL, "it is not a qcow2 image");
  self->version = get_be32 (h + 4);
  if (self->version != 2 && self->version != 3)
    return because (ret_reason, -ENOTSUP, "its version of qcow2 is unknown");
  self->cluster_bits = get_be32 (h + 20);
  if (self->cluster_bits < QCOW2_MIN_CLUSTER_BITS || self->cluster_bits > QCOW2_MAX_CLUSTER_BITS)
    return because (ret_reason, -EINVAL, "its cluster size is out of range");
  self->cluster = UINT64_C (1) << self->cluster_bits;
  self->n_header = HEADER_V2_BYTES;
  self->refcount_order = 4;
  if (self->version == 3)
    {
      self->n_header = get_be32 (h + 100);
      if (self->n_header < HEADER_V3_BYTES || self->n_header % 8 || self->n_header > self->cluster || file_size < HEADER_V3_BYTES)
        return because (ret_reason, -EINVAL, "its header length is wrong");
      self->incompatible = get_be64 (h + 72);
      self->autoclear = self->autoclear_found = get_be64 (h + 88);
      self->refcount_order = get_be32 (h + 96);
      if (self->refcount_order > 6)
        return because (ret_reason, -EINVAL, "its refcount width is out of range");
      if (self->incompatible & INCOMPATIBLE_DATA_FILE)
        return because (ret_reason, -ENOTSUP, "it keeps its data in another file");
      if (self->incompatible & ~known)
        return because (ret_reason, -ENOTSUP, "it uses a feature that is not known here");
      if (self->n_header > HEADER_V3_BYTES && h[104] != 0)
        {
          if (h[104] != 1)
            return because (ret_reason, -ENOTSUP, "its compression is not known here");
          self->zstd = true;
        }
      if (self->zstd != !!(self->incompatible & INCOMPATIBLE_COMPRESSION))
        return because (ret_reason, -EINVAL, "its compression is contradictory");
      self->extended_l2 = self->incompatible & INCOMPATIBLE_EXTENDED_L2;
      if (self->extended_l2 && self->cluster_bits < 14)
        return because (ret_reason, -EINVAL, "its clusters are too small for subclusters");
    }
  self->entry_words = self->extended_l2 ? 2 : 1;
  self->l2_bits = self->cluster_bits - 3 - (self->extended_l2 ? 1 : 0);
  self->subcluster_bits = self->extended_l2 ? self->cluster_bits - 5 : self->cluster_bits;
  self->block_bits = self->cluster_bits + 3 - self->refcount_order;
  self->max_refcount = self->refcount_order == 6 ? UINT64_MAX : (UINT64_C (1) << (1u << self->refcount_order)) - 1;
  self->file_end = file_size;
  if (file_size >= MAX_HOST_OFFSET)
    return because (ret_reason, -EFBIG, "the file is too large");
  self->end = clusters_of (self, file_size) << self->cluster_bits;

  self->parent.n_bytes = get_be64 (h + 24);
  self->has_backing = get_be64 (h + 8) != 0;
  if (self->has_backing)
    {
      uint64_t at = get_be64 (h + 8);
      uint32_t n = get_be32 (h + 16);

      if (n > QCOW2_MAX_BACKING_NAME || at < self->n_header || at > self->cluster || n > self->cluster - at)
        return because (ret_reason, -EINVAL, "the name of its backing file is out of range");
    }
  if (get_be32 (h + 32) > 2)
    return because (ret_reason, -EINVAL, "its encryption method is not known here");
  if (get_be32 (h + 32) == 1)
    return because (ret_reason, -ENOTSUP, "it uses the old, unsafe encryption method");
  self->encrypted = get_be32 (h + 32) == 2;
  self->l1.n = get_be32 (h + 36);
  self->l1_offset = get_be64 (h + 40);
  self->refcount_table_offset = get_be64 (h + 48);
  self->refcount_clusters = get_be32 (h + 56);
  self->n_snapshots = get_be32 (h + 60);
  self->snapshots_offset = get_be64 (h + 64);
  if ((uint64_t) self->l1.n * 8 > QCOW2_MAX_L1_BYTES)
    return because (ret_reason, -EFBIG, "its first-level table is too large");
  if (self->parent.n_bytes > (uint64_t) QCOW2_MAX_L1_BYTES / 8 << (self->cluster_bits + self->l2_bits)
      || l1_entries_for (self, self->parent.n_bytes) > self->l1.n)
    return because (ret_reason, -EINVAL, "its first-level table is too small for the disk");
  if (self->l1.n
      && (!is_table_offset (self, self->l1_offset)
          || clusters_of (self, (uint64_t) self->l1.n * 8) > (self->end - self->l1_offset) >> self->cluster_bits))
    return because (ret_reason, -EINVAL, "its first-level table is outside the file");
  if ((uint64_t) self->refcount_clusters << self->cluster_bits > QCOW2_MAX_REFCOUNT_TABLE_BYTES)
    return because (ret_reason, -EFBIG, "its refcount table is too large");
  if (self->refcount_clusters == 0 || !is_table_offset (self, self->refcount_table_offset)
      || self->refcount_clusters > (self->end - self->refcount_table_offset) >> self->cluster_bits)
    return because (ret_reason, -EINVAL, "its refcount table is outside the file");
  if (self->n_snapshots > QCOW2_MAX_SNAPSHOTS)
    return because (ret_reason, -EFBIG, "it has too many snapshots");
  if (self->n_snapshots && !is_table_offset (self, self->snapshots_offset))
    return because (ret_reason, -EINVAL, "its snapshot table is outside the file");
  return 0;
}

/* The first cluster with the extension area; *ret_limit: where the area has to end. */
static int
read_first_cluster (const Qcow2 *self, uint8_t **ret, uint64_t *ret_limit)
{
  uint8_t *bytes = malloc (self->cluster);
  int result;

  if (!bytes)
    return -ENOMEM;
  result = image_io_read (self->io, 0, bytes, self->cluster);
  if (result < 0)
    {
      free (bytes);
      return result;
    }
  *ret = bytes;
  *ret_limit = self->has_backing && get_be64 (self->header + 8) ? get_be64 (self->header + 8) : self->cluster;
  return 0;
}

/* Walks the extension area.  at: where the next extension begins, moved behind it.  1, 0 at the end, -EINVAL. */
static int
next_extension (const uint8_t *cluster, uint64_t limit, uint64_t *at, uint32_t *ret_magic, uint64_t *ret_content, uint32_t *ret_n)
{
  uint64_t n;

  if (*at > limit || limit - *at < 8)
    return 0;
  *ret_magic = get_be32 (cluster + *at);
  if (*ret_magic == EXTENSION_END)
    return 0;
  n = get_be32 (cluster + *at + 4);
  if (n > limit - *at - 8)
    return -EINVAL;
  *ret_content = *at + 8;
  *ret_n = (uint32_t) n;
  *at += 8 + ((n + 7) & ~UINT64_C (7));
  return 1;
}

/* Where an extension's content stands in the file. */
static int
find_extension (const Qcow2 *self, uint32_t magic, uint64_t *ret_content, uint32_t *ret_n, uint8_t **ret_cluster)
{
  uint64_t limit = 0, at = self->n_header;
  uint8_t *cluster = NULL;
  uint32_t found = 0;
  int result = read_first_cluster (self, &cluster, &limit);

  if (result < 0)
    return result;
  while ((result = next_extension (cluster, limit, &at, &found, ret_content, ret_n)) == 1)
    if (found == magic)
      break;
  if (result == 1 && ret_cluster)
    *ret_cluster = cluster;
  else
    free (cluster);
  return result < 0 ? result : result == 0 ? -ENOENT : 0;
}

static int
fill_info (const Qcow2 *self, Qcow2Info *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->version = self->version;
  ret->cluster_bits = self->cluster_bits;
  ret->refcount_order = self->refcount_order;
  ret->n_bytes = self->parent.n_bytes;
  ret->encrypted = self->encrypted;
  ret->dirty = self->incompatible & INCOMPATIBLE_DIRTY;
  ret->corrupt = self->incompatible & INCOMPATIBLE_CORRUPT;
  ret->extended_l2 = self->extended_l2;
  ret->has_backing = self->has_backing;
  ret->autoclear = self->autoclear_found;
  ret->n_snapshots = self->n_snapshots;
  return self->has_backing
         ? image_io_read (self->io, get_be64 (self->header + 8), ret->backing_name, get_be32 (self->header + 16)) : 0;
}

int
qcow2_probe_header (ImageIo *io, Qcow2Info *ret, const char **ret_reason)
{
  Qcow2 *self = calloc (1, sizeof *self);
  int result;

  if (!self)
    return -ENOMEM;
  self->io = io;
  result = parse_header (self, ret_reason);
  if (result == 0)
    result = fill_info (self, ret);
  free (self);
  return result;
}

int
qcow2_get_info (BlockBackend *image, Qcow2Info *ret)
{
  return qcow2_of (image) ? fill_info (qcow2_of (image), ret) : -EINVAL;
}

int
qcow2_set_autoclear (BlockBackend *image, uint64_t bits)
{
  Qcow2 *self = qcow2_of (image);
  int result;

  if (!self || self->version < 3)
    return -EINVAL;
  if (image->read_only || self->broken)
    return image->read_only ? -EROFS : -EIO;
  self->autoclear = bits;
  result = qcow2_write_header (self);
  return result < 0 ? result : qcow2_sync (self);
}

/* --- header extensions ---------------------------------------------------------------------------------------------------- */

static int
copy_extension (const Qcow2 *self, uint32_t magic, void *ret_bytes, size_t n_max, size_t *ret_n_bytes, uint64_t *ret_offset)
{
  uint64_t content = 0;
  uint8_t *cluster = NULL;
  uint32_t n = 0;
  int result = find_extension (self, magic, &content, &n, &cluster);

  if (result < 0)
    return result;
  if (ret_bytes)
    memcpy (ret_bytes, cluster + content, n < n_max ? n : n_max);
  free (cluster);
  *ret_n_bytes = n;
  if (ret_offset)
    *ret_offset = content;
  return 0;
}

int
qcow2_get_extension (BlockBackend *image, uint32_t magic, void *ret_bytes, size_t n_max, size_t *ret_n_bytes)
{
  Qcow2 *self = qcow2_of (image);

  return self ? copy_extension (self, magic, ret_bytes, n_max, ret_n_bytes, NULL) : -EINVAL;
}

int
qcow2_peek_extension (ImageIo *io, uint32_t magic, void *ret_bytes, size_t n_max, size_t *ret_n_bytes, uint64_t *ret_file_offset)
{
  Qcow2 *self = calloc (1, sizeof *self);
  int result;

  if (!self)
    return -ENOMEM;
  self->io = io;
  result = parse_header (self, NULL);
  if (result == 0)
    result = copy_extension (self, magic, ret_bytes, n_max, ret_n_bytes, ret_file_offset);
  free (self);
  return result;
}

int
qcow2_write_extension_bytes (BlockBackend *image, uint32_t magic, uint64_t offset, const void *bytes, size_t n_bytes)
{
  Qcow2 *self = qcow2_of (image);
  uint64_t content = 0;
  uint32_t n = 0;
  int result;

  if (!self)
    return -EINVAL;
  if (image->read_only)
    return -EROFS;
  result = find_extension (self, magic, &content, &n, NULL);
  if (result < 0)
    return result;
  if (offset > n || n_bytes > n - offset)
    return -ERANGE;
  return qcow2_io_write (self, content + offset, bytes, n_bytes);
}

int
qcow2_barrier (BlockBackend *image)
{
  Qcow2 *self = qcow2_of (image);

  return self ? qcow2_sync (self) : -EINVAL;
}

int
qcow2_set_extension (BlockBackend *image, uint32_t magic, const void *bytes, size_t n_bytes)
{
  Qcow2 *self = qcow2_of (image);
  uint64_t limit = 0, at, out, content = 0;
  uint8_t *old = NULL, *new_cluster;
  uint32_t found = 0, n = 0, n_name;
  int result;

  if (!self || magic == EXTENSION_END || magic == EXTENSION_LUKS)
    return -EINVAL;
  if (image->read_only || self->broken)
    return image->read_only ? -EROFS : -EIO;
  result = read_first_cluster (self, &old, &limit);
  if (result < 0)
    return result;
  new_cluster = calloc (1, self->cluster);
  if (!new_cluster)
    {
      free (old);
      return -ENOMEM;
    }
  n_name = self->has_backing ? get_be32 (self->header + 16) : 0;
  memcpy (new_cluster, old, self->n_header);
  at = out = self->n_header;
  while (result == 0 && next_extension (old, limit, &at, &found, &content, &n) == 1)
    if (found != magic)
      {
        memcpy (new_cluster + out, old + content - 8, 8 + (size_t) n);
        out += 8 + (((uint64_t) n + 7) & ~UINT64_C (7));
      }
  if (bytes && (n_bytes > self->cluster || out + 8 + ((n_bytes + 7) & ~(size_t) 7) + 8 + n_name > self->cluster))
    result = -ENOSPC;
  else if (bytes)
    {
      put_be32 (new_cluster + out, magic);
      put_be32 (new_cluster + out + 4, (uint32_t) n_bytes);
      memcpy (new_cluster + out + 8, bytes, n_bytes);
      out += 8 + ((n_bytes + 7) & ~(size_t) 7);
    }
  out += 8;                     /* the end of the area */
  if (result == 0 && out + n_name > self->cluster)
    result = -ENOSPC;
  if (result == 0)
    {
      if (self->has_backing)
        {
          memcpy (new_cluster + out, old + get_be64 (self->header + 8), n_name);
          put_be64 (new_cluster + 8, out);
        }
      result = qcow2_io_write (self, 0, new_cluster, self->cluster);
      if (result == 0)
        memcpy (self->header, new_cluster, sizeof self->header);
      if (result == 0)
        result = qcow2_sync (self);
    }
  free (new_cluster);
  free (old);
  return result;
}

/* --- keys ------------------------------------------------------------------------------------------------------------------- */

static int
open_luks (Qcow2 *self, const Qcow2Open *how, const char **ret_reason)
{
  uint8_t area[16];
  size_t n = 0;
  int result = copy_extension (self, EXTENSION_LUKS, area, sizeof area, &n, NULL);

  if (result < 0 || n < sizeof area)
    return because (ret_reason, -EINVAL, "its encryption header is missing");
  self->luks_offset = get_be64 (area);
  self->luks_bytes = get_be64 (area + 8);
  if (!is_table_offset (self, self->luks_offset) || self->luks_bytes > self->end - self->luks_offset)
    return because (ret_reason, -EINVAL, "its encryption header is outside the file");
  result = luks1_load (&self->luks, self->io, self->luks_offset, self->luks_bytes);
  if (result < 0)
    return because (ret_reason, result, result == -ENOTSUP ? "its cipher is not known here" : "its encryption header is damaged");
  if (how->key)
    {
      if (how->n_key != QCOW2_KEY_BYTES)
        return because (ret_reason, -EINVAL, "the key has the wrong length");
      memcpy (self->key, how->key, QCOW2_KEY_BYTES);
      result = luks1_check_key (&self->luks, self->key);
    }
  else if (how->passphrase)
    result = luks1_unlock (&self->luks, how->passphrase, how->n_passphrase, self->key);
  else
    return how->without_key ? 0 : because (ret_reason, -ENOKEY, "it is encrypted");
  if (result < 0)
    return because (ret_reason, result, "the passphrase is wrong");
  self->cipher = luks1_cipher_new (self->key);
  return self->cipher ? 0 : -ENOMEM;
}

static Qcow2 *
keyed (BlockBackend *image)
{
  Qcow2 *self = qcow2_of (image);

  return self && self->encrypted ? self : NULL;
}

int
qcow2_get_key (BlockBackend *image, uint8_t ret_key[QCOW2_KEY_BYTES])
{
  Qcow2 *self = keyed (image);

  if (!self || !self->cipher)
    return self ? -ENOKEY : -EINVAL;
  memcpy (ret_key, self->key, QCOW2_KEY_BYTES);
  return 0;
}

int
qcow2_key_slot_find (BlockBackend *image, const void *passphrase, size_t n_passphrase)
{
  Qcow2 *self = keyed (image);

  return self ? luks1_unlock (&self->luks, passphrase, n_passphrase, NULL) : -EINVAL;
}

bool
qcow2_key_slot_active (BlockBackend *image, unsigned slot)
{
  Qcow2 *self = keyed (image);

  return self && luks1_slot_active (&self->luks, slot);
}

int
qcow2_key_slot_add (BlockBackend *image, const void *passphrase, size_t n_passphrase, unsigned unlock_ms)
{
  Qcow2 *self = keyed (image);

  if (!self)
    return -EINVAL;
  if (image->read_only)
    return -EROFS;
  if (!self->cipher)
    return -ENOKEY;
  return luks1_slot_add (&self->luks, self->key, passphrase, n_passphrase, unlock_ms);
}

int
qcow2_key_slot_remove (BlockBackend *image, unsigned slot)
{
  Qcow2 *self = keyed (image);

  if (!self)
    return -EINVAL;
  return image->read_only ? -EROFS : luks1_slot_remove (&self->luks, slot);
}

/* --- opening -------------------------------------------------------------------------------------------------------------------- */

static void
free_image (Qcow2 *self)
{
  qcow2_cache_free (&self->l2_cache);
  qcow2_cache_free (&self->block_cache);
  qcow2_free_snapshots (self->snapshots, self->n_snapshots);
  luks1_cipher_free (self->cipher);
  explicit_bzero (self->key, sizeof self->key);
  if (self->bounce)
    explicit_bzero (self->bounce, self->n_bounce);
  free (self->bounce);
  free (self->unpacked);
  free (self->l1.entries);
  free (self->refcount_table);
  free (self->guarded.clusters);
  free (self->frees);
  free (self);
}

static int
guard_range (Qcow2 *self, uint64_t offset, uint64_t n_bytes)
{
  if (n_bytes == 0 || !is_table_offset (self, offset))
    return 0;                   /* uses of it give -EIO */
  return qcow2_guard_add (self, offset, clusters_of (self, n_bytes));
}

/* The set of all clusters that hold tables, from scratch.  -EEXIST when two of them overlap. */
int
qcow2_guard_all (Qcow2 *self)
{
  int result;

  if (self->guarded.n_slots)
    memset (self->guarded.clusters, 0, self->guarded.n_slots * sizeof *self->guarded.clusters);
  self->guarded.n_used = 0;
  result = qcow2_guard_add (self, 0, 1);
  if (result == 0)
    result = guard_range (self, self->refcount_table_offset, (uint64_t) self->refcount_clusters << self->cluster_bits);
  for (uint32_t i = 0; i < self->n_refcount_table && result == 0; i++)
    result = guard_range (self, self->refcount_table[i], self->cluster);
  if (result == 0)
    result = guard_range (self, self->l1_offset, (uint64_t) self->l1.n * 8);
  for (uint32_t i = 0; i < self->l1.n && result == 0; i++)
    result = guard_range (self, self->l1.entries[i] & ENTRY_OFFSET, self->cluster);
  if (result == 0 && self->n_snapshots)
    result = guard_range (self, self->snapshots_offset, self->snapshot_table_bytes);
  for (uint32_t i = 0; i < self->n_snapshots && result == 0; i++)
    result = guard_range (self, self->snapshots[i].l1_offset, (uint64_t) self->snapshots[i].n_l1 * 8);
  if (result == 0 && self->encrypted)
    result = guard_range (self, self->luks_offset, self->luks_bytes);
  return result;
}

static int
load_refcount_table (Qcow2 *self)
{
  size_t n_bytes = (size_t) self->refcount_clusters << self->cluster_bits;
  int result;

  self->n_refcount_table = (uint32_t) (n_bytes / 8);
  self->refcount_table = malloc (n_bytes);
  if (!self->refcount_table)
    return -ENOMEM;
  result = image_io_read (self->io, self->refcount_table_offset, self->refcount_table, n_bytes);
  for (uint32_t i = 0; i < self->n_refcount_table; i++)
    self->refcount_table[i] = __builtin_bswap64 (self->refcount_table[i]);
  return result;
}

static int
prepare_writing (Qcow2 *self, const char **ret_reason)
{
  uint64_t keep = self->autoclear & QCOW2_AUTOCLEAR_BULKHEAD;
  int result;

  if (self->incompatible & INCOMPATIBLE_CORRUPT)
    return because (ret_reason, -EIO, "it is marked as damaged and can only be read");
  result = qcow2_guard_all (self);
  if (result < 0)
    return because (ret_reason, result == -EEXIST ? -EINVAL : result, "its tables overlap");
  if (self->version >= 3 && self->autoclear != keep)
    {
      self->autoclear = keep;
      result = qcow2_write_header (self);
      if (result == 0)
        result = qcow2_sync (self);
      if (result < 0)
        return because (ret_reason, result, "its header cannot be written");
    }
  if (self->incompatible & INCOMPATIBLE_DIRTY)
    {
      result = qcow2_rebuild (self);
      if (result < 0)
        return because (ret_reason, result, "it was not closed properly and cannot be repaired");
    }
  return 0;
}

int
qcow2_open (const Qcow2Open *how, BlockBackend **ret, const char **ret_reason)
{
  Qcow2 *self = calloc (1, sizeof *self);
  uint32_t n_l1, n_snapshots;
  int result;

  if (!self)
    return because (ret_reason, -ENOMEM, "there is not enough memory");
  self->parent.klass = &qcow2_class;
  self->parent.read_only = how->read_only || how->io->read_only;
  self->io = how->io;
  self->backing = how->backing;
  because (ret_reason, 0, "it cannot be read");
  result = parse_header (self, ret_reason);
  n_l1 = self->l1.n;
  n_snapshots = self->n_snapshots;
  self->l1.n = self->n_snapshots = 0;
  if (result == 0 && self->has_backing && !how->backing && !how->without_backing)
    result = because (ret_reason, -EINVAL, "it needs a backing file, which was not given");
  if (result == 0 && !self->has_backing && how->backing)
    result = because (ret_reason, -EINVAL, "it has no backing file, but one was given");
  if (result == 0 && self->encrypted)
    result = open_luks (self, how, ret_reason);
  if (result == 0)
    result = qcow2_cache_new (self, &self->l2_cache, 4u << 20);
  if (result == 0)
    result = qcow2_cache_new (self, &self->block_cache, 2u << 20);
  if (result == 0)
    {
      self->n_bounce = self->cluster > 65536 ? self->cluster : 65536;
      self->bounce = malloc (self->n_bounce);
      result = self->bounce ? 0 : -ENOMEM;
    }
  if (result == 0)
    result = load_refcount_table (self);
  if (result == 0)
    result = qcow2_load_l1 (self, self->l1_offset, n_l1, &self->l1);
  if (result == 0)
    {
      self->n_snapshots = n_snapshots;
      result = qcow2_load_snapshots (self, ret_reason);
    }
  if (result == 0 && !self->parent.read_only)
    result = prepare_writing (self, ret_reason);
  if (result < 0)
    {
      if (!self->snapshots)
        self->n_snapshots = 0;
      free_image (self);
      return result;
    }
  *ret = &self->parent;
  return 0;
}

/* --- the disk ------------------------------------------------------------------------------------------------------------------------- */

static bool
in_range (const BlockBackend *backend, uint64_t offset, uint64_t n_bytes)
{
  return offset <= backend->n_bytes && n_bytes <= backend->n_bytes - offset;
}

static int
disk_read (BlockBackend *backend, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  Qcow2 *self = (Qcow2 *) backend;

  return in_range (backend, offset, n_bytes) ? qcow2_read_area (self, &self->l1, offset, ret_bytes, n_bytes, backend->n_bytes) : -EINVAL;
}

static int
disk_write (BlockBackend *backend, uint64_t offset, const void *bytes, size_t n_bytes)
{
  if (backend->read_only)
    return -EROFS;
  return in_range (backend, offset, n_bytes) ? qcow2_write_area ((Qcow2 *) backend, offset, bytes, n_bytes) : -EINVAL;
}

static int
disk_flush (BlockBackend *backend)
{
  return qcow2_commit ((Qcow2 *) backend);
}

static int
disk_discard (BlockBackend *backend, uint64_t offset, uint64_t n_bytes)
{
  if (backend->read_only)
    return -EROFS;
  return in_range (backend, offset, n_bytes) ? qcow2_discard_area ((Qcow2 *) backend, offset, n_bytes) : -EINVAL;
}

static int
disk_resize (BlockBackend *backend, uint64_t n_bytes)
{
  Qcow2 *self = (Qcow2 *) backend;
  uint64_t old = backend->n_bytes, n_entries, backed;
  int result;

  if (backend->read_only)
    return -EROFS;
  if (n_bytes > INT64_MAX - 511)
    return -EINVAL;
  n_bytes = (n_bytes + 511) & ~UINT64_C (511);
  if (n_bytes < old)
    return -ENOTSUP;
  n_entries = l1_entries_for (self, n_bytes);
  if (n_entries * 8 > QCOW2_MAX_L1_BYTES)
    return -EFBIG;
  /* What lies behind the disk now is memory state that no snapshot took: it must not become disk. */
  result = qcow2_discard_vm_state (backend);
  if (result == 0)
    result = qcow2_commit (self);
  if (result == 0 && n_entries > self->l1.n)
    result = qcow2_grow_l1 (self, n_entries, old);
  /* The rest of the last cluster and what the backing file has behind our end come into view: they are new, so zero. */
  backed = self->backing && self->backing->n_bytes > old ? self->backing->n_bytes : 0;
  if (result == 0)
    {
      uint64_t end = (old + self->cluster - 1) & ~(self->cluster - 1);

      if (end < backed)
        end = (backed + self->cluster - 1) & ~(self->cluster - 1);
      if (end > n_bytes)
        end = n_bytes;
      backend->n_bytes = end > old ? end : old;
      if (end > old)
        result = qcow2_discard_area (self, old, end - old);
      backend->n_bytes = old;
    }
  if (result == 0)
    result = qcow2_commit (self);
  if (result == 0)
    result = qcow2_grow_l1 (self, n_entries, n_bytes);
  return result < 0 ? result : qcow2_commit (self);
}

static void
disk_close (BlockBackend *backend)
{
  Qcow2 *self = (Qcow2 *) backend;

  if (!backend->read_only && qcow2_commit (self) == 0)
    qcow2_sync (self);
  block_close (self->backing);
  image_io_close (self->io);
  free_image (self);
}

static const BlockClass qcow2_class = {
  .format = "qcow2", .read = disk_read, .write = disk_write, .flush = disk_flush, .discard = disk_discard, .resize = disk_resize,
  .close = disk_close, .next_data = qcow2_next_data
};
