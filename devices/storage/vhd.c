/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VHD images, fixed and dynamic, for reading.  Fields as in Microsoft's Virtual Hard Disk Image Format Specification 1.0. */
#include "foreign-images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  N_FOOTER = 512, FOOTER_DATA = 16, FOOTER_SIZE = 48, FOOTER_TYPE = 60, FOOTER_CHECKSUM = 64,
  N_DYNAMIC = 1024, DYNAMIC_TABLE = 16, DYNAMIC_ENTRIES = 28, DYNAMIC_BLOCK = 32, DYNAMIC_CHECKSUM = 36,
  TYPE_FIXED = 2, TYPE_DYNAMIC = 3, TYPE_DIFFERENCING = 4
};

typedef struct
{
  BlockBackend parent;
  ImageIo     *io;
  uint32_t    *map;             /* sector of each block's bitmap, ~0: none; NULL: fixed */
  uint32_t     n_map, block;
  uint64_t     bitmap;          /* bytes of the sector bitmap before each block */
} Vhd;

static uint32_t
be32 (const uint8_t *at)
{
  return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

static uint64_t
be64 (const uint8_t *at)
{
  return (uint64_t) be32 (at) << 32 | be32 (at + 4);
}

static int
vhd_read (BlockBackend *backend, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  Vhd *self = (Vhd *) backend;
  uint8_t *at = ret_bytes;

  if (!foreign_in_range (backend, offset, n_bytes))
    return -EINVAL;
  if (!self->map)
    return image_io_read (self->io, offset, ret_bytes, n_bytes);
  while (n_bytes)
    {
      size_t in_block = offset % self->block, n = self->block - in_block < n_bytes ? self->block - in_block : n_bytes;
      uint32_t place = self->map[offset / self->block];
      int result = 0;

      /* A sector whose bitmap bit is clear was never written and holds zeros, so the bitmap need not be read. */
      if (place == UINT32_MAX)
        memset (at, 0, n);
      else
        result = image_io_read (self->io, (uint64_t) place * 512 + self->bitmap + in_block, at, n);
      if (result < 0)
        return result;
      at += n;
      offset += n;
      n_bytes -= n;
    }
  return 0;
}

static int
vhd_write (BlockBackend *backend, uint64_t offset, const void *bytes, size_t n_bytes)
{
  return -EROFS;
}

static int
vhd_flush (BlockBackend *backend)
{
  return 0;
}

static void
vhd_close (BlockBackend *backend)
{
  Vhd *self = (Vhd *) backend;

  image_io_close (self->io);
  free (self->map);
  free (self);
}

static const BlockClass vhd_class = { .format = "vhd", .read = vhd_read, .write = vhd_write, .flush = vhd_flush, .close = vhd_close };

static bool
sum_is_right (const uint8_t *bytes, size_t n, size_t at)
{
  uint32_t sum = 0;

  for (size_t i = 0; i < n; i++)
    if (i < at || i >= at + 4)
      sum += bytes[i];
  return ~sum == be32 (bytes + at);
}

int
vhd_open (ImageIo *io, BlockBackend **ret, const char **ret_reason)
{
  uint8_t footer[N_FOOTER], dynamic[N_DYNAMIC];
  uint64_t file_size, disk_size, table = 0, start = 0;
  uint32_t type, n = 0, block = 0;
  Vhd *self;
  int result = image_io_size (io, &file_size);

  if (result == 0 && file_size >= N_FOOTER)
    result = image_io_read (io, file_size - N_FOOTER, footer, sizeof footer);
  if (result < 0)
    return foreign_because (ret_reason, result, "its footer cannot be read");
  if (file_size < N_FOOTER || memcmp (footer, "conectix", 8) != 0 || !sum_is_right (footer, sizeof footer, FOOTER_CHECKSUM))
    return foreign_because (ret_reason, -EINVAL, "it is not a VHD image");
  type = be32 (footer + FOOTER_TYPE);
  disk_size = be64 (footer + FOOTER_SIZE);
  if (type == TYPE_DIFFERENCING)
    return foreign_because (ret_reason, -ENOTSUP, "it continues another image");
  if (type != TYPE_FIXED && type != TYPE_DYNAMIC)
    return foreign_because (ret_reason, -ENOTSUP, "its type is not known here");
  if (type == TYPE_FIXED && disk_size > file_size - N_FOOTER)
    return foreign_because (ret_reason, -EINVAL, "it is cut off");
  if (type == TYPE_DYNAMIC)
    {
      start = be64 (footer + FOOTER_DATA);
      if (start > file_size || file_size - start < N_DYNAMIC)
        return foreign_because (ret_reason, -EINVAL, "its header is outside the file");
      result = image_io_read (io, start, dynamic, sizeof dynamic);
      if (result < 0)
        return foreign_because (ret_reason, result, "its header cannot be read");
      table = be64 (dynamic + DYNAMIC_TABLE);
      n = be32 (dynamic + DYNAMIC_ENTRIES);
      block = be32 (dynamic + DYNAMIC_BLOCK);
      if (memcmp (dynamic, "cxsparse", 8) != 0 || !sum_is_right (dynamic, sizeof dynamic, DYNAMIC_CHECKSUM))
        return foreign_because (ret_reason, -EINVAL, "its header is damaged");
      if (block < 4096 || block > 1u << 28 || block & (block - 1))
        return foreign_because (ret_reason, -EINVAL, "its blocks have an impossible size");
      if ((uint64_t) n * 4 > FOREIGN_MAX_TABLE_BYTES)
        return foreign_because (ret_reason, -EFBIG, "its block table is too large");
      if (table > file_size || (uint64_t) n * 4 > file_size - table || disk_size > (uint64_t) n * block)
        return foreign_because (ret_reason, -EINVAL, "its block table is out of range");
    }
  self = calloc (1, sizeof *self);
  if (!self)
    return -ENOMEM;
  if (type == TYPE_DYNAMIC)
    {
      self->map = malloc ((size_t) n * 4 + 4);
      result = self->map ? image_io_read (io, table, self->map, (size_t) n * 4) : -ENOMEM;
      if (result < 0)
        {
          free (self->map);
          free (self);
          return result;
        }
      for (uint32_t i = 0; i < n; i++)
        self->map[i] = __builtin_bswap32 (self->map[i]);
    }
  self->parent.klass = &vhd_class;
  self->parent.n_bytes = disk_size;
  self->parent.read_only = true;
  self->io = io;
  self->n_map = n;
  self->block = block;
  self->bitmap = ((block / 512 + 7) / 8 + 511) & ~511u;
  *ret = &self->parent;
  return 0;
}
