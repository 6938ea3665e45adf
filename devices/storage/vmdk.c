/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VMDK images in one file: monolithic sparse, and stream-optimised ones for reading.  Fields as in VMware's Virtual Disk
 * Format 5.0: a sparse header, a text descriptor, a grain directory of grain tables of 512 sector numbers, grains.
 *
 * A new grain goes to the end of the file first; the tables (both copies) follow at flush, behind a barrier. */
#include "foreign-images.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum
{
  AT_VERSION = 4, AT_FLAGS = 8, AT_CAPACITY = 12, AT_GRAIN = 20, AT_DESCRIPTOR = 28, AT_DESCRIPTOR_SIZE = 36, AT_PER_TABLE = 44,
  AT_SPARE_DIRECTORY = 48, AT_DIRECTORY = 56, AT_OVERHEAD = 64, AT_UNCLEAN = 72, AT_CHARACTERS = 73, AT_COMPRESSION = 77,
  N_HEADER = 512, N_PER_TABLE = 512, N_GRAIN_MARKER = 12
};

#define FLAG_NEWLINES   (1u << 0)
#define FLAG_SPARE      (1u << 1)
#define FLAG_ZERO_GRAIN (1u << 2)
#define FLAG_COMPRESSED (1u << 16)
#define DIRECTORY_AT_END UINT64_MAX
#define MAX_DESCRIPTOR  (64u << 10)
#define MAX_GRAIN       (1u << 21)

typedef struct
{
  BlockBackend parent;
  ImageIo     *io;
  uint64_t     grain;           /* bytes */
  bool         compressed, zero_grains;
  uint32_t    *tables;          /* grain entries of all tables, host byte order */
  uint32_t    *table_at, *spare_at;     /* sector of each grain table; spare NULL: none */
  uint32_t     n_tables;
  uint64_t     n_grains;
  uint8_t     *dirty;           /* per grain table */
  uint64_t     end;             /* where the next grain goes */
  uint8_t     *unpacked;
  uint64_t     unpacked_grain;  /* grain number + 1 */
} Vmdk;

static int
unpack_grain (Vmdk *self, uint64_t index)
{
  uint8_t marker[N_GRAIN_MARKER], *packed;
  uint64_t at = (uint64_t) self->tables[index] * 512;
  uLongf n_out = self->grain;
  uint32_t n;
  int result;

  if (self->unpacked_grain == index + 1)
    return 0;
  result = image_io_read (self->io, at, marker, sizeof marker);
  if (result < 0)
    return result;
  n = foreign_le32 (marker + 8);
  if (n == 0 || n > 2 * MAX_GRAIN)
    return -EIO;
  packed = malloc (n);
  if (!packed)
    return -ENOMEM;
  self->unpacked_grain = 0;
  result = image_io_read (self->io, at + N_GRAIN_MARKER, packed, n);
  if (result == 0 && uncompress (self->unpacked, &n_out, packed, n) != Z_OK)
    result = -EIO;
  free (packed);
  if (result < 0)
    return result;
  memset (self->unpacked + n_out, 0, self->grain - n_out);      /* the last grain may be short */
  self->unpacked_grain = index + 1;
  return 0;
}

static bool
is_hole (const Vmdk *self, uint64_t index)
{
  return self->tables[index] == 0 || (self->zero_grains && self->tables[index] == 1);
}

static int
vmdk_read (BlockBackend *backend, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  Vmdk *self = (Vmdk *) backend;
  uint8_t *at = ret_bytes;

  if (!foreign_in_range (backend, offset, n_bytes))
    return -EINVAL;
  while (n_bytes)
    {
      uint64_t index = offset / self->grain, in_grain = offset % self->grain;
      size_t n = self->grain - in_grain < n_bytes ? (size_t) (self->grain - in_grain) : n_bytes;
      int result = 0;

      if (is_hole (self, index))
        memset (at, 0, n);
      else if (self->compressed)
        {
          result = unpack_grain (self, index);
          if (result == 0)
            memcpy (at, self->unpacked + in_grain, n);
        }
      else
        result = image_io_read (self->io, (uint64_t) self->tables[index] * 512 + in_grain, at, n);
      if (result < 0)
        return result;
      at += n;
      offset += n;
      n_bytes -= n;
    }
  return 0;
}

static int
vmdk_write (BlockBackend *backend, uint64_t offset, const void *bytes, size_t n_bytes)
{
  Vmdk *self = (Vmdk *) backend;
  const uint8_t *at = bytes;

  if (backend->read_only)
    return -EROFS;
  if (!foreign_in_range (backend, offset, n_bytes))
    return -EINVAL;
  while (n_bytes)
    {
      uint64_t index = offset / self->grain, in_grain = offset % self->grain;
      size_t n = self->grain - in_grain < n_bytes ? (size_t) (self->grain - in_grain) : n_bytes;
      bool new_grain = is_hole (self, index);
      uint64_t place = new_grain ? self->end : (uint64_t) self->tables[index] * 512;
      int result = 0;

      if (new_grain && (place + self->grain) / 512 > UINT32_MAX)
        return -EFBIG;
      if (new_grain)
        result = self->io->klass->truncate (self->io, place + self->grain);
      if (result == 0)
        result = image_io_write (self->io, place + in_grain, at, n);
      if (result < 0)
        return result;
      if (new_grain)
        {
          self->tables[index] = (uint32_t) (place / 512);
          self->dirty[index / N_PER_TABLE] = 1;
          self->end = place + self->grain;
        }
      at += n;
      offset += n;
      n_bytes -= n;
    }
  return 0;
}

static int
vmdk_flush (BlockBackend *backend)
{
  Vmdk *self = (Vmdk *) backend;
  bool any = false;
  int result;

  if (backend->read_only)
    return 0;
  result = image_io_flush (self->io);
  for (uint32_t i = 0; i < self->n_tables && result == 0; i++)
    if (self->dirty[i])
      {
        uint8_t bytes[N_PER_TABLE * 4];

        for (unsigned e = 0; e < N_PER_TABLE; e++)
          foreign_put_le32 (bytes + 4 * e, self->tables[(size_t) i * N_PER_TABLE + e]);
        if (self->spare_at)
          result = image_io_write (self->io, (uint64_t) self->spare_at[i] * 512, bytes, sizeof bytes);
        if (result == 0)
          result = image_io_write (self->io, (uint64_t) self->table_at[i] * 512, bytes, sizeof bytes);
        if (result == 0)
          self->dirty[i] = 0;
        any = true;
      }
  return result == 0 && any ? image_io_flush (self->io) : result;
}

static int
vmdk_next_data (BlockBackend *backend, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end)
{
  Vmdk *self = (Vmdk *) backend;
  uint64_t index = offset / self->grain;

  *ret_begin = *ret_end = backend->n_bytes;
  while (index < self->n_grains && is_hole (self, index))
    index++;
  if (index * self->grain >= backend->n_bytes)
    return 0;
  *ret_begin = index * self->grain > offset ? index * self->grain : offset;
  while (index < self->n_grains && !is_hole (self, index))
    index++;
  if (index * self->grain < backend->n_bytes)
    *ret_end = index * self->grain;
  return 0;
}

static void
free_vmdk (Vmdk *self)
{
  free (self->tables);
  free (self->table_at);
  free (self->spare_at);
  free (self->dirty);
  free (self->unpacked);
  free (self);
}

static void
vmdk_close (BlockBackend *backend)
{
  Vmdk *self = (Vmdk *) backend;

  vmdk_flush (backend);
  image_io_close (self->io);
  free_vmdk (self);
}

static const BlockClass vmdk_class = {
  .format = "vmdk", .read = vmdk_read, .write = vmdk_write, .flush = vmdk_flush, .close = vmdk_close, .next_data = vmdk_next_data
};

static int
load_table (ImageIo *io, uint64_t at, uint32_t *ret, size_t n, uint64_t file_size)
{
  int result;

  if (at > file_size || n * 4 > file_size - at)
    return -EINVAL;
  result = image_io_read (io, at, ret, n * 4);
  for (size_t i = 0; i < n && result == 0; i++)
    {
      uint8_t bytes[4];

      memcpy (bytes, &ret[i], 4);
      ret[i] = foreign_le32 (bytes);
    }
  return result;
}

/* The descriptor says which kind of image this is and whether it continues another. */
static int
check_descriptor (ImageIo *io, const uint8_t *header, uint64_t file_size, const char **ret_reason)
{
  uint64_t at = foreign_le64 (header + AT_DESCRIPTOR), n = foreign_le64 (header + AT_DESCRIPTOR_SIZE);
  const char *parent, *type;
  char *text;
  int result;

  if (at == 0)
    return 0;
  if (at > file_size / 512 || n > file_size / 512)
    return foreign_because (ret_reason, -EINVAL, "its descriptor is outside the file");
  n = n * 512 < MAX_DESCRIPTOR ? n * 512 : MAX_DESCRIPTOR;
  text = calloc (1, n + 1);
  if (!text)
    return -ENOMEM;
  result = image_io_read (io, at * 512, text, n);
  parent = strstr (text, "parentCID=");
  type = strstr (text, "createType=\"");
  if (result == 0 && parent && strncasecmp (parent + 10, "ffffffff", 8) != 0)
    result = foreign_because (ret_reason, -ENOTSUP, "it continues another image");
  else if (result == 0 && type && strncmp (type + 12, "monolithicSparse\"", 17) != 0 && strncmp (type + 12, "streamOptimized\"", 16) != 0)
    result = foreign_because (ret_reason, -ENOTSUP, "it consists of several files");
  free (text);
  return result;
}

int
vmdk_open (ImageIo *io, bool read_only, BlockBackend **ret, const char **ret_reason)
{
  uint8_t header[N_HEADER];
  uint64_t file_size, capacity, directory, spare;
  uint32_t flags, version;
  Vmdk *self;
  int result = image_io_size (io, &file_size);

  if (result == 0)
    result = image_io_read (io, 0, header, sizeof header);
  if (result < 0)
    return foreign_because (ret_reason, result, "its header cannot be read");
  if (memcmp (header, "KDMV", 4) != 0)
    return foreign_because (ret_reason, -EINVAL, "it is not a sparse VMDK image");
  result = check_descriptor (io, header, file_size, ret_reason);
  if (result < 0)
    return result;
  /* A stream cannot know its directory at the beginning: the last but one sector repeats the header with it. */
  if (foreign_le64 (header + AT_DIRECTORY) == DIRECTORY_AT_END)
    {
      if (file_size < 3 * 512)
        return foreign_because (ret_reason, -EINVAL, "it is cut off");
      result = image_io_read (io, (file_size & ~UINT64_C (511)) - 1024, header, sizeof header);
      if (result < 0 || memcmp (header, "KDMV", 4) != 0)
        return foreign_because (ret_reason, result < 0 ? result : -EINVAL, "its footer is missing");
    }
  version = foreign_le32 (header + AT_VERSION);
  flags = foreign_le32 (header + AT_FLAGS);
  capacity = foreign_le64 (header + AT_CAPACITY);
  directory = foreign_le64 (header + AT_DIRECTORY);
  spare = foreign_le64 (header + AT_SPARE_DIRECTORY);
  if (version < 1 || version > 3)
    return foreign_because (ret_reason, -ENOTSUP, "its version of VMDK is not known here");
  if (foreign_le32 (header + AT_PER_TABLE) != N_PER_TABLE)
    return foreign_because (ret_reason, -ENOTSUP, "its grain tables have an unusual size");
  if (flags & FLAG_COMPRESSED && (header[AT_COMPRESSION] != 1 || header[AT_COMPRESSION + 1] != 0))
    return foreign_because (ret_reason, -ENOTSUP, "its compression is not known here");
  self = calloc (1, sizeof *self);
  if (!self)
    return -ENOMEM;
  self->grain = foreign_le64 (header + AT_GRAIN);
  if (self->grain < 8 || self->grain > MAX_GRAIN / 512 || self->grain & (self->grain - 1) || capacity > UINT64_C (1) << 40)
    {
      free (self);
      return foreign_because (ret_reason, -EINVAL, "its sizes are out of range");
    }
  self->grain *= 512;
  self->compressed = flags & FLAG_COMPRESSED;
  self->zero_grains = flags & FLAG_ZERO_GRAIN;
  self->parent.klass = &vmdk_class;
  self->parent.n_bytes = capacity * 512;
  self->parent.read_only = read_only || io->read_only || self->compressed;
  self->io = io;
  self->n_grains = (self->parent.n_bytes + self->grain - 1) / self->grain;
  self->n_tables = (uint32_t) ((self->n_grains + N_PER_TABLE - 1) / N_PER_TABLE);
  self->end = (file_size + self->grain - 1) & ~(self->grain - 1);
  if ((uint64_t) self->n_tables * N_PER_TABLE * 4 > FOREIGN_MAX_TABLE_BYTES)
    {
      free (self);
      return foreign_because (ret_reason, -EFBIG, "its tables are too large");
    }
  self->tables = calloc ((size_t) self->n_tables * N_PER_TABLE + 1, 4);
  self->table_at = calloc ((size_t) self->n_tables + 1, 4);
  self->dirty = calloc ((size_t) self->n_tables + 1, 1);
  if (self->compressed)
    self->unpacked = malloc (self->grain);
  if (flags & FLAG_SPARE && spare && !self->compressed)
    self->spare_at = calloc ((size_t) self->n_tables + 1, 4);
  result = !self->tables || !self->table_at || !self->dirty || (self->compressed && !self->unpacked)
           || (flags & FLAG_SPARE && spare && !self->compressed && !self->spare_at) ? -ENOMEM : 0;
  if (result == 0 && directory > file_size / 512)
    result = foreign_because (ret_reason, -EINVAL, "its grain directory is outside the file");
  if (result == 0)
    result = load_table (io, directory * 512, self->table_at, self->n_tables, file_size);
  if (result == 0 && self->spare_at && (spare > file_size / 512 || load_table (io, spare * 512, self->spare_at, self->n_tables, file_size) < 0))
    {
      free (self->spare_at);
      self->spare_at = NULL;
    }
  for (uint32_t i = 0; i < self->n_tables && result == 0; i++)
    if (self->table_at[i])
      result = load_table (io, (uint64_t) self->table_at[i] * 512, self->tables + (size_t) i * N_PER_TABLE, N_PER_TABLE, file_size);
    else
      self->parent.read_only = true;    /* a directory with gaps has no place for new tables */
  if (result < 0)
    {
      free_vmdk (self);
      return foreign_because (ret_reason, result, "its grain tables are damaged");
    }
  *ret = &self->parent;
  return 0;
}

int
vmdk_create (ImageIo *io, uint64_t n_bytes, const char *file_name)
{
  uint64_t sectors = n_bytes / 512 + (n_bytes % 512 != 0), n_grains = (sectors + 127) / 128;
  uint64_t n_tables = (n_grains + N_PER_TABLE - 1) / N_PER_TABLE, n_directory = (n_tables * 4 + 511) / 512;
  uint64_t descriptor = 1, n_descriptor = 20, spare = descriptor + n_descriptor, spare_tables = spare + n_directory;
  uint64_t directory = spare_tables + n_tables * 4, tables = directory + n_directory;
  uint64_t overhead = (tables + n_tables * 4 + 127) & ~UINT64_C (127), cylinders = sectors / (16 * 63);
  uint8_t header[N_HEADER] = { 0 }, *bytes;
  char text[20 * 512] = "";
  unsigned cid = 0x20000000u ^ (unsigned) (n_bytes >> 9);
  int n, result = 0;

  if (n_tables * N_PER_TABLE * 4 > FOREIGN_MAX_TABLE_BYTES)
    return -EFBIG;
  n = snprintf (text, sizeof text,
                "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n\n"
                "# Extent description\nRW %llu SPARSE \"%s\"\n\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\n"
                "ddb.geometry.cylinders = \"%llu\"\nddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\n"
                "ddb.adapterType = \"ide\"\n", cid, (unsigned long long) sectors, file_name ? file_name : "disk.vmdk",
                (unsigned long long) (cylinders > 16383 ? 16383 : cylinders));
  if (n < 0 || (size_t) n >= sizeof text || (file_name && strpbrk (file_name, "\"\n\r")))
    return -EINVAL;
  memcpy (header, "KDMV", 4);
  foreign_put_le32 (header + AT_VERSION, 1);
  foreign_put_le32 (header + AT_FLAGS, FLAG_NEWLINES | FLAG_SPARE);
  foreign_put_le64 (header + AT_CAPACITY, sectors);
  foreign_put_le64 (header + AT_GRAIN, 128);
  foreign_put_le64 (header + AT_DESCRIPTOR, descriptor);
  foreign_put_le64 (header + AT_DESCRIPTOR_SIZE, n_descriptor);
  foreign_put_le32 (header + AT_PER_TABLE, N_PER_TABLE);
  foreign_put_le64 (header + AT_SPARE_DIRECTORY, spare);
  foreign_put_le64 (header + AT_DIRECTORY, directory);
  foreign_put_le64 (header + AT_OVERHEAD, overhead);
  memcpy (header + AT_CHARACTERS, "\n \r\n", 4); /* shows a transfer that changed line ends */
  bytes = calloc (n_directory + 1, 512);
  if (!bytes)
    return -ENOMEM;
  for (unsigned copy = 0; copy < 2 && result == 0; copy++)
    {
      for (uint64_t i = 0; i < n_tables; i++)
        foreign_put_le32 (bytes + 4 * i, (uint32_t) ((copy ? tables : spare_tables) + 4 * i));
      result = image_io_write (io, (copy ? directory : spare) * 512, bytes, n_directory * 512);
    }
  free (bytes);
  if (result == 0)
    result = io->klass->truncate (io, overhead * 512);  /* the tables are holes: all zero */
  if (result == 0)
    result = image_io_write (io, descriptor * 512, text, sizeof text);
  return result < 0 ? result : image_io_write (io, 0, header, sizeof header);
}
