/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image-convert.h"

#include "foreign-images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define N_CHUNK (1u << 20)

/* --- raw images over the seam --------------------------------------------------------------------------------------------- */

typedef struct
{
  BlockBackend parent;
  ImageIo     *io;
} RawIo;

static int
raw_read (BlockBackend *backend, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  return foreign_in_range (backend, offset, n_bytes) ? image_io_read (((RawIo *) backend)->io, offset, ret_bytes, n_bytes) : -EINVAL;
}

static int
raw_write (BlockBackend *backend, uint64_t offset, const void *bytes, size_t n_bytes)
{
  if (backend->read_only)
    return -EROFS;
  return foreign_in_range (backend, offset, n_bytes) ? image_io_write (((RawIo *) backend)->io, offset, bytes, n_bytes) : -EINVAL;
}

static int
raw_flush (BlockBackend *backend)
{
  return backend->read_only ? 0 : image_io_flush (((RawIo *) backend)->io);
}

static int
raw_next_data (BlockBackend *backend, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end)
{
  ImageIo *io = ((RawIo *) backend)->io;
  int result = 0;

  *ret_begin = offset;
  *ret_end = backend->n_bytes;
  if (io->klass->next_data)
    result = io->klass->next_data (io, offset, ret_begin, ret_end);
  if (*ret_begin > backend->n_bytes)
    *ret_begin = backend->n_bytes;
  if (*ret_end > backend->n_bytes)
    *ret_end = backend->n_bytes;
  return result;
}

static void
raw_close (BlockBackend *backend)
{
  raw_flush (backend);
  image_io_close (((RawIo *) backend)->io);
  free (backend);
}

static const BlockClass raw_class = {
  .format = "raw", .read = raw_read, .write = raw_write, .flush = raw_flush, .close = raw_close, .next_data = raw_next_data
};

static int
raw_io_open (ImageIo *io, bool read_only, BlockBackend **ret)
{
  RawIo *self = calloc (1, sizeof *self);
  int result;

  if (!self)
    return -ENOMEM;
  result = image_io_size (io, &self->parent.n_bytes);
  if (result < 0)
    {
      free (self);
      return result;
    }
  self->parent.klass = &raw_class;
  self->parent.read_only = read_only || io->read_only;
  self->io = io;
  *ret = &self->parent;
  return 0;
}

/* --- formats ------------------------------------------------------------------------------------------------------------------ */

bool
image_format_writable (const char *format)
{
  return strcmp (format, "raw") == 0 || strcmp (format, "qcow2") == 0 || strcmp (format, "vmdk") == 0 || strcmp (format, "vdi") == 0;
}

bool
image_format_readable (const char *format)
{
  return image_format_writable (format) || strcmp (format, "vhd") == 0;
}

int
image_open_io (ImageIo *io, const char *format, bool read_only, BlockBackend **ret, const char **ret_reason)
{
  Qcow2Open how = { .io = io, .read_only = read_only };

  foreign_because (ret_reason, 0, "it cannot be opened");
  if (strcmp (format, "raw") == 0)
    return raw_io_open (io, read_only, ret);
  if (strcmp (format, "qcow2") == 0)
    return qcow2_open (&how, ret, ret_reason);
  if (strcmp (format, "vmdk") == 0)
    return vmdk_open (io, read_only, ret, ret_reason);
  if (strcmp (format, "vdi") == 0)
    return vdi_open (io, read_only, ret, ret_reason);
  if (strcmp (format, "vhd") == 0)
    return vhd_open (io, ret, ret_reason);
  return foreign_because (ret_reason, -ENOTSUP, "the format is not known here");
}

/* --- copying -------------------------------------------------------------------------------------------------------------------- */

static bool
is_zero (const uint8_t *bytes, size_t n)
{
  return n == 0 || (bytes[0] == 0 && memcmp (bytes, bytes + 1, n - 1) == 0);
}

/* The pieces of a chunk that are not all zero, as few writes as possible. */
static int
write_pieces (BlockBackend *to, uint64_t offset, const uint8_t *bytes, size_t n, size_t piece)
{
  size_t begin = 0, at = 0;

  while (at < n)
    {
      size_t length = piece - (offset + at) % piece;

      if (length > n - at)
        length = n - at;
      if (is_zero (bytes + at, length))
        {
          int result = begin < at ? block_write (to, offset + begin, bytes + begin, at - begin) : 0;

          if (result < 0)
            return result;
          begin = at + length;
        }
      at += length;
    }
  return begin < n ? block_write (to, offset + begin, bytes + begin, n - begin) : 0;
}

int
image_copy (BlockBackend *from, BlockBackend *to, const ImageConvert *options)
{
  uint64_t at = 0, total = from->n_bytes, written = 0;
  uint8_t *buffer;
  int result = 0;

  if (to->n_bytes < total)
    return -EINVAL;
  buffer = malloc (N_CHUNK);
  if (!buffer)
    return -ENOMEM;
  while (at < total && result == 0)
    {
      uint64_t begin = at, end = total;

      if (from->klass->next_data)
        result = from->klass->next_data (from, at, &begin, &end);
      if (begin >= total || end <= begin)
        break;
      while (begin < end && result == 0)
        {
          size_t n = N_CHUNK - begin % N_CHUNK;

          if (n > end - begin)
            n = (size_t) (end - begin);
          result = block_read (from, begin, buffer, n);
          if (result == 0)
            result = write_pieces (to, begin, buffer, n, 4096);
          begin += n;
          written += n;
          if (result == 0 && written >= 64u << 20)
            {
              written = 0;
              if (options && options->progress && !options->progress (options->data, begin, total))
                result = -ECANCELED;
            }
        }
      at = end;
    }
  explicit_bzero (buffer, N_CHUNK);
  free (buffer);
  return result < 0 ? result : block_flush (to);
}

int
image_convert (BlockBackend *from, ImageIo *to_io, const char *format, const ImageConvert *options)
{
  BlockBackend *to = NULL;
  uint8_t key[QCOW2_KEY_BYTES];
  int result;

  if (strcmp (format, "raw") == 0)
    {
      result = to_io->klass->truncate (to_io, from->n_bytes);
      if (result == 0)
        result = raw_io_open (to_io, false, &to);
    }
  else if (strcmp (format, "qcow2") == 0)
    {
      Qcow2Create what = { .default_refcount = true };
      Qcow2Open how = { .io = to_io };

      if (options && options->qcow2)
        what = *options->qcow2;
      what.n_bytes = from->n_bytes;
      what.backing_name = NULL;
      result = qcow2_create (to_io, &what, key);
      if (what.passphrase)
        {
          how.key = key;
          how.n_key = sizeof key;
        }
      if (result == 0)
        result = qcow2_open (&how, &to, NULL);
      explicit_bzero (key, sizeof key);
    }
  else if (strcmp (format, "vmdk") == 0)
    {
      result = vmdk_create (to_io, from->n_bytes, options ? options->name : NULL);
      if (result == 0)
        result = vmdk_open (to_io, false, &to, NULL);
    }
  else if (strcmp (format, "vdi") == 0)
    {
      result = vdi_create (to_io, from->n_bytes);
      if (result == 0)
        result = vdi_open (to_io, false, &to, NULL);
    }
  else
    result = -ENOTSUP;
  if (result < 0)
    {
      image_io_close (to_io);
      return result;
    }
  result = image_copy (from, to, options);
  block_close (to);
  return result;
}
