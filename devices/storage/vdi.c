/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VDI images: a header, a map of 32-bit block numbers, blocks of 1 MiB.  Fields as in VirtualBox's VDI 1.1 header.
 *
 * A new block's data goes to the end of the file first; the map follows at flush, behind a barrier, so that a cut leaves at
 * worst a block nobody names. */
#include "foreign-images.h"

#include <errno.h>
#include <gcrypt.h>
#include <stdlib.h>
#include <string.h>

enum
{
  AT_SIGNATURE = 0x40, AT_VERSION = 0x44, AT_HEADER_BYTES = 0x48, AT_TYPE = 0x4c, AT_MAP = 0x154, AT_DATA = 0x158, AT_SECTOR = 0x168,
  AT_DISK_BYTES = 0x170, AT_BLOCK_BYTES = 0x178, AT_BLOCK_EXTRA = 0x17c, AT_BLOCKS = 0x180, AT_ALLOCATED = 0x184, AT_UUID = 0x188,
  AT_UUID_SNAPSHOT = 0x198, AT_UUID_LINK = 0x1a8, AT_UUID_PARENT = 0x1b8, N_HEADER = 0x200,
  TYPE_DYNAMIC = 1, TYPE_STATIC = 2
};

#define SIGNATURE   0xbeda107fu
#define VERSION     0x00010001u
#define BLOCK       (1u << 20)
#define FREE        0xffffffffu
#define DISCARDED   0xfffffffeu

typedef struct
{
  BlockBackend parent;
  ImageIo     *io;
  uint32_t    *map;             /* host byte order */
  uint32_t     n_blocks, n_allocated, dirty_from, dirty_to;
  uint64_t     map_offset, data_offset;
} Vdi;

static int
vdi_read (BlockBackend *backend, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  Vdi *self = (Vdi *) backend;
  uint8_t *at = ret_bytes;

  if (!foreign_in_range (backend, offset, n_bytes))
    return -EINVAL;
  while (n_bytes)
    {
      size_t in_block = offset % BLOCK, n = BLOCK - in_block < n_bytes ? BLOCK - in_block : n_bytes;
      uint32_t place = self->map[offset / BLOCK];

      if (place >= DISCARDED)
        memset (at, 0, n);
      else
        {
          int result = image_io_read (self->io, self->data_offset + (uint64_t) place * BLOCK + in_block, at, n);

          if (result < 0)
            return result;
        }
      at += n;
      offset += n;
      n_bytes -= n;
    }
  return 0;
}

static int
vdi_write (BlockBackend *backend, uint64_t offset, const void *bytes, size_t n_bytes)
{
  Vdi *self = (Vdi *) backend;
  const uint8_t *at = bytes;

  if (backend->read_only)
    return -EROFS;
  if (!foreign_in_range (backend, offset, n_bytes))
    return -EINVAL;
  while (n_bytes)
    {
      size_t in_block = offset % BLOCK, n = BLOCK - in_block < n_bytes ? BLOCK - in_block : n_bytes;
      uint32_t index = (uint32_t) (offset / BLOCK), place = self->map[index];
      int result = 0;

      if (place >= DISCARDED)
        {
          /* The new end of the file reads as zero, whatever a block that was lost in a crash held there. */
          place = self->n_allocated;
          result = self->io->klass->truncate (self->io, self->data_offset + (uint64_t) place * BLOCK);
          if (result == 0)
            result = self->io->klass->truncate (self->io, self->data_offset + ((uint64_t) place + 1) * BLOCK);
        }
      if (result == 0)
        result = image_io_write (self->io, self->data_offset + (uint64_t) place * BLOCK + in_block, at, n);
      if (result < 0)
        return result;
      if (self->map[index] != place)
        {
          self->map[index] = place;
          self->n_allocated++;
          if (self->dirty_from == self->dirty_to)
            {
              self->dirty_from = index;
              self->dirty_to = index + 1;
            }
          self->dirty_from = index < self->dirty_from ? index : self->dirty_from;
          self->dirty_to = index >= self->dirty_to ? index + 1 : self->dirty_to;
        }
      at += n;
      offset += n;
      n_bytes -= n;
    }
  return 0;
}

static int
vdi_flush (BlockBackend *backend)
{
  Vdi *self = (Vdi *) backend;
  int result;

  if (backend->read_only)
    return 0;
  result = image_io_flush (self->io);
  if (result == 0 && self->dirty_from < self->dirty_to)
    {
      size_t n = self->dirty_to - self->dirty_from;
      uint8_t *bytes = malloc (n * 4), count[4];

      if (!bytes)
        return -ENOMEM;
      for (size_t i = 0; i < n; i++)
        foreign_put_le32 (bytes + 4 * i, self->map[self->dirty_from + i]);
      foreign_put_le32 (count, self->n_allocated);
      result = image_io_write (self->io, self->map_offset + (uint64_t) self->dirty_from * 4, bytes, n * 4);
      if (result == 0)
        result = image_io_write (self->io, AT_ALLOCATED, count, sizeof count);
      if (result == 0)
        result = image_io_flush (self->io);
      if (result == 0)
        self->dirty_from = self->dirty_to = 0;
      free (bytes);
    }
  return result;
}

static int
vdi_next_data (BlockBackend *backend, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end)
{
  Vdi *self = (Vdi *) backend;
  uint64_t block = offset / BLOCK;

  *ret_begin = *ret_end = backend->n_bytes;
  while (block < self->n_blocks && self->map[block] >= DISCARDED)
    block++;
  if (block * BLOCK >= backend->n_bytes)
    return 0;
  *ret_begin = block * BLOCK > offset ? block * BLOCK : offset;
  while (block < self->n_blocks && self->map[block] < DISCARDED)
    block++;
  if (block * BLOCK < backend->n_bytes)
    *ret_end = block * BLOCK;
  return 0;
}

static void
vdi_close (BlockBackend *backend)
{
  Vdi *self = (Vdi *) backend;

  vdi_flush (backend);
  image_io_close (self->io);
  free (self->map);
  free (self);
}

static const BlockClass vdi_class = {
  .format = "vdi", .read = vdi_read, .write = vdi_write, .flush = vdi_flush, .close = vdi_close, .next_data = vdi_next_data
};

int
vdi_open (ImageIo *io, bool read_only, BlockBackend **ret, const char **ret_reason)
{
  static const uint8_t no_uuid[16];
  uint8_t header[N_HEADER];
  uint64_t file_size, disk_size, map_offset, data_offset;
  uint32_t type, n_blocks;
  Vdi *self;
  int result;

  result = image_io_size (io, &file_size);
  if (result == 0)
    result = image_io_read (io, 0, header, sizeof header);
  if (result < 0)
    return foreign_because (ret_reason, result, "its header cannot be read");
  type = foreign_le32 (header + AT_TYPE);
  disk_size = foreign_le64 (header + AT_DISK_BYTES);
  map_offset = foreign_le32 (header + AT_MAP);
  data_offset = foreign_le32 (header + AT_DATA);
  n_blocks = foreign_le32 (header + AT_BLOCKS);
  if (foreign_le32 (header + AT_SIGNATURE) != SIGNATURE || foreign_le32 (header + AT_VERSION) != VERSION)
    return foreign_because (ret_reason, -EINVAL, "it is not a VDI image of version 1.1");
  if ((type != TYPE_DYNAMIC && type != TYPE_STATIC) || memcmp (header + AT_UUID_PARENT, no_uuid, 16) != 0)
    return foreign_because (ret_reason, -ENOTSUP, "it continues another image");
  if (foreign_le32 (header + AT_SECTOR) != 512 || foreign_le32 (header + AT_BLOCK_BYTES) != BLOCK
      || foreign_le32 (header + AT_BLOCK_EXTRA) != 0)
    return foreign_because (ret_reason, -ENOTSUP, "its blocks have an unusual size");
  if ((uint64_t) n_blocks * 4 > FOREIGN_MAX_TABLE_BYTES)
    return foreign_because (ret_reason, -EFBIG, "its block map is too large");
  if (disk_size > (uint64_t) n_blocks * BLOCK || map_offset < N_HEADER || data_offset < map_offset
      || map_offset + (uint64_t) n_blocks * 4 > file_size || map_offset + (uint64_t) n_blocks * 4 > data_offset)
    return foreign_because (ret_reason, -EINVAL, "its block map is out of range");
  self = calloc (1, sizeof *self);
  if (self)
    self->map = malloc ((size_t) n_blocks * 4 + 4);
  if (!self || !self->map)
    {
      free (self);
      return -ENOMEM;
    }
  result = image_io_read (io, map_offset, self->map, (size_t) n_blocks * 4);
  for (uint32_t i = 0; i < n_blocks && result == 0; i++)
    {
      uint8_t bytes[4];

      memcpy (bytes, &self->map[i], 4);
      self->map[i] = foreign_le32 (bytes);
      if (self->map[i] < DISCARDED && self->map[i] >= n_blocks)
        result = foreign_because (ret_reason, -EINVAL, "its block map is damaged");
      else if (self->map[i] < DISCARDED && self->map[i] >= self->n_allocated)
        self->n_allocated = self->map[i] + 1;
    }
  if (result < 0)
    {
      free (self->map);
      free (self);
      return result;
    }
  self->parent.klass = &vdi_class;
  self->parent.n_bytes = disk_size;
  self->parent.read_only = read_only || io->read_only;
  self->io = io;
  self->n_blocks = n_blocks;
  self->map_offset = map_offset;
  self->data_offset = data_offset;
  *ret = &self->parent;
  return 0;
}

int
vdi_create (ImageIo *io, uint64_t n_bytes)
{
  static const char text[] = "<<< Oracle VM VirtualBox Disk Image >>>\n";
  uint64_t n_blocks = n_bytes / BLOCK + (n_bytes % BLOCK != 0);
  uint64_t n_map = (n_blocks * 4 + 511) & ~UINT64_C (511);
  uint8_t header[N_HEADER] = { 0 }, *map;
  int result;

  if (n_blocks * 4 > FOREIGN_MAX_TABLE_BYTES)
    return -EFBIG;
  map = malloc (n_map + 1);
  if (!map)
    return -ENOMEM;
  memset (map, 0xff, n_map);
  memcpy (header, text, sizeof text);
  foreign_put_le32 (header + AT_SIGNATURE, SIGNATURE);
  foreign_put_le32 (header + AT_VERSION, VERSION);
  foreign_put_le32 (header + AT_HEADER_BYTES, 0x180);
  foreign_put_le32 (header + AT_TYPE, TYPE_DYNAMIC);
  foreign_put_le32 (header + AT_MAP, N_HEADER);
  foreign_put_le32 (header + AT_DATA, (uint32_t) (N_HEADER + n_map));
  foreign_put_le32 (header + AT_SECTOR, 512);
  foreign_put_le64 (header + AT_DISK_BYTES, n_bytes);
  foreign_put_le32 (header + AT_BLOCK_BYTES, BLOCK);
  foreign_put_le32 (header + AT_BLOCKS, (uint32_t) n_blocks);
  gcry_create_nonce (header + AT_UUID, 16);
  gcry_create_nonce (header + AT_UUID_SNAPSHOT, 16);
  /* Version 4, variant 1, in the little-endian field order of a VDI. */
  header[AT_UUID + 7] = (uint8_t) ((header[AT_UUID + 7] & 0x0f) | 0x40);
  header[AT_UUID + 8] = (uint8_t) ((header[AT_UUID + 8] & 0x3f) | 0x80);
  result = image_io_write (io, N_HEADER, map, n_map);
  if (result == 0)
    result = image_io_write (io, 0, header, sizeof header);
  free (map);
  return result;
}
