/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Raw images: pread and pwrite on one descriptor.
 *
 * The file may be changed behind our back (it is the user's file): a read that comes back short is an I/O error, not
 * stale memory.  System calls used after construction: pread64, pwrite64, fdatasync, fallocate, ftruncate, close. */
#include "raw-image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  BlockBackend parent;
  int          fd;
  int          flush_error;     /* after one failed fdatasync the kernel may have dropped the dirty pages: never 0 again */
  bool         is_device;
} RawImage;

static bool
in_range (const BlockBackend *backend, uint64_t offset, uint64_t n_bytes)
{
  return offset <= backend->n_bytes && n_bytes <= backend->n_bytes - offset;
}

/* A used-up quota is cured like a full disk: by making room. */
static int
host_error (void)
{
  return errno == EDQUOT ? -ENOSPC : errno ? -errno : -EIO;
}

static int
raw_read (BlockBackend *backend, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  RawImage *self = (RawImage *) backend;
  uint8_t *at = ret_bytes;

  if (!in_range (backend, offset, n_bytes))
    return -EINVAL;
  while (n_bytes)
    {
      ssize_t n = pread (self->fd, at, n_bytes, (off_t) offset);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return host_error ();
      if (n == 0)
        return -EIO;
      at += n;
      offset += (uint64_t) n;
      n_bytes -= (size_t) n;
    }
  return 0;
}

static int
raw_write (BlockBackend *backend, uint64_t offset, const void *bytes, size_t n_bytes)
{
  RawImage *self = (RawImage *) backend;
  const uint8_t *at = bytes;

  if (backend->read_only)
    return -EROFS;
  if (!in_range (backend, offset, n_bytes))
    return -EINVAL;
  while (n_bytes)
    {
      ssize_t n = pwrite (self->fd, at, n_bytes, (off_t) offset);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return host_error ();
      if (n == 0)
        return -EIO;
      at += n;
      offset += (uint64_t) n;
      n_bytes -= (size_t) n;
    }
  return 0;
}

static int
raw_flush (BlockBackend *backend)
{
  RawImage *self = (RawImage *) backend;

  if (backend->read_only)
    return 0;
  if (self->flush_error == 0 && fdatasync (self->fd) < 0)
    self->flush_error = -errno;
  return self->flush_error;
}

static int
raw_discard (BlockBackend *backend, uint64_t offset, uint64_t n_bytes)
{
  RawImage *self = (RawImage *) backend;

  if (backend->read_only)
    return -EROFS;
  if (!in_range (backend, offset, n_bytes))
    return -EINVAL;
  if (n_bytes == 0)
    return 0;
  while (fallocate (self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) offset, (off_t) n_bytes) < 0)
    if (errno != EINTR)
      return errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV ? -ENOTSUP : host_error ();
  return 0;
}

static int
raw_resize (BlockBackend *backend, uint64_t n_bytes)
{
  RawImage *self = (RawImage *) backend;

  if (backend->read_only)
    return -EROFS;
  if (self->is_device)
    return -ENOTSUP;
  if (n_bytes > INT64_MAX)
    return -EINVAL;
  while (ftruncate (self->fd, (off_t) n_bytes) < 0)
    if (errno != EINTR)
      return host_error ();
  backend->n_bytes = n_bytes;
  return 0;
}

static void
raw_close (BlockBackend *backend)
{
  RawImage *self = (RawImage *) backend;

  raw_flush (backend);
  close (self->fd);
  free (self);
}

static const BlockClass raw_class = { "raw", raw_read, raw_write, raw_flush, raw_discard, raw_resize, raw_close };

int
raw_image_new (int fd, bool read_only, BlockBackend **ret)
{
  struct stat info;
  RawImage *self;
  off_t size;
  int flags;

  if (fstat (fd, &info) < 0)
    return -errno;
  if (!S_ISREG (info.st_mode) && !S_ISBLK (info.st_mode))
    return -EINVAL;
  flags = fcntl (fd, F_GETFL);
  if (flags < 0)
    return -errno;
  if ((flags & O_ACCMODE) == O_WRONLY)
    return -EINVAL;
  /* fstat gives 0 for block devices; the end of either kind is where lseek puts it. */
  size = lseek (fd, 0, SEEK_END);
  if (size < 0)
    return -errno;
  self = calloc (1, sizeof *self);
  if (!self)
    return -ENOMEM;
  self->parent.klass = &raw_class;
  self->parent.n_bytes = (uint64_t) size;
  self->parent.read_only = read_only || (flags & O_ACCMODE) == O_RDONLY;
  self->fd = fd;
  self->is_device = S_ISBLK (info.st_mode);
  *ret = &self->parent;
  return 0;
}
