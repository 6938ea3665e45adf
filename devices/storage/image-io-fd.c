/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image-io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  ImageIo parent;
  int     fd;
  bool    owned;
  int     flush_error;          /* after one failed fdatasync the kernel may have dropped the dirty pages: never 0 again */
} ImageIoFd;

/* A used-up quota is cured like a full disk: by making room. */
static int
host_error (void)
{
  return errno == EDQUOT ? -ENOSPC : errno ? -errno : -EIO;
}

static bool
is_offset (uint64_t offset, uint64_t n_bytes)
{
  return offset <= INT64_MAX && n_bytes <= INT64_MAX - offset;
}

static int
fd_read (ImageIo *io, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  ImageIoFd *self = (ImageIoFd *) io;
  uint8_t *at = ret_bytes;

  if (!is_offset (offset, n_bytes))
    return -EINVAL;
  while (n_bytes)
    {
      ssize_t n = pread (self->fd, at, n_bytes, (off_t) offset);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return host_error ();
      if (n == 0)
        {
          memset (at, 0, n_bytes);
          return 0;
        }
      at += n;
      offset += (uint64_t) n;
      n_bytes -= (size_t) n;
    }
  return 0;
}

static int
fd_write (ImageIo *io, uint64_t offset, const void *bytes, size_t n_bytes)
{
  ImageIoFd *self = (ImageIoFd *) io;
  const uint8_t *at = bytes;

  if (io->read_only)
    return -EROFS;
  if (!is_offset (offset, n_bytes))
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
fd_flush (ImageIo *io)
{
  ImageIoFd *self = (ImageIoFd *) io;

  if (io->read_only)
    return 0;
  if (self->flush_error == 0 && fdatasync (self->fd) < 0)
    self->flush_error = host_error ();
  return self->flush_error;
}

static int
fd_truncate (ImageIo *io, uint64_t n_bytes)
{
  ImageIoFd *self = (ImageIoFd *) io;

  if (io->read_only)
    return -EROFS;
  if (n_bytes > INT64_MAX)
    return -EINVAL;
  while (ftruncate (self->fd, (off_t) n_bytes) < 0)
    if (errno != EINTR)
      return host_error ();
  return 0;
}

static int
fd_punch_hole (ImageIo *io, uint64_t offset, uint64_t n_bytes)
{
  ImageIoFd *self = (ImageIoFd *) io;

  if (io->read_only)
    return -EROFS;
  if (!is_offset (offset, n_bytes))
    return -EINVAL;
  if (n_bytes == 0)
    return 0;
  while (fallocate (self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) offset, (off_t) n_bytes) < 0)
    if (errno != EINTR)
      return errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV ? -ENOTSUP : host_error ();
  return 0;
}

static int
fd_size (ImageIo *io, uint64_t *ret_n_bytes)
{
  ImageIoFd *self = (ImageIoFd *) io;
  off_t end = lseek (self->fd, 0, SEEK_END);    /* fstat gives 0 for block devices */

  if (end < 0)
    return host_error ();
  *ret_n_bytes = (uint64_t) end;
  return 0;
}

static void
fd_close (ImageIo *io)
{
  ImageIoFd *self = (ImageIoFd *) io;

  if (self->owned)
    close (self->fd);
  free (self);
}

static int
fd_next_data (ImageIo *io, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end)
{
  ImageIoFd *self = (ImageIoFd *) io;
  off_t begin, end;
  int result = fd_size (io, ret_end);

  if (result < 0)
    return result;
  *ret_begin = offset < *ret_end ? offset : *ret_end;
  begin = lseek (self->fd, (off_t) offset, SEEK_DATA);
  if (begin < 0)
    {
      /* A file system without holes says EINVAL: then all of it is data. */
      if (errno == ENXIO)
        *ret_begin = *ret_end;
      return 0;
    }
  *ret_begin = (uint64_t) begin;
  end = lseek (self->fd, begin, SEEK_HOLE);
  if (end > begin)
    *ret_end = (uint64_t) end;
  return 0;
}

static const ImageIoClass fd_class = {
  fd_read, fd_write, fd_flush, fd_truncate, fd_punch_hole, fd_size, fd_close, fd_next_data
};

int
image_io_fd_new (int fd, bool read_only, ImageIo **ret)
{
  struct stat info;
  ImageIoFd *self;
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
  self = calloc (1, sizeof *self);
  if (!self)
    return -ENOMEM;
  self->parent.klass = &fd_class;
  self->parent.read_only = read_only || (flags & O_ACCMODE) == O_RDONLY;
  self->fd = fd;
  self->owned = true;
  *ret = &self->parent;
  return 0;
}

void
image_io_fd_set_owned (ImageIo *self, bool owned)
{
  ((ImageIoFd *) self)->owned = owned;
}
