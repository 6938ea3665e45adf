/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The seam between an image format and the host: every byte that a format reads or writes goes through these
 * functions and nothing else, so that a test can number, refuse, tear and reorder them.
 *
 * Errors are negative errno; a used-up quota is -ENOSPC.  Calls are synchronous and complete: never short. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ImageIo ImageIo;

typedef struct
{
  int  (*read)       (ImageIo *self, uint64_t offset, void *ret_bytes, size_t n_bytes);  /* past the end: zeros */
  int  (*write)      (ImageIo *self, uint64_t offset, const void *bytes, size_t n_bytes); /* grows the file */
  int  (*flush)      (ImageIo *self);   /* barrier: what was written before survives power loss; fails for ever after once */
  int  (*truncate)   (ImageIo *self, uint64_t n_bytes);
  int  (*punch_hole) (ImageIo *self, uint64_t offset, uint64_t n_bytes);  /* then reads zero; -ENOTSUP: nothing was done */
  int  (*size)       (ImageIo *self, uint64_t *ret_n_bytes);
  void (*close)      (ImageIo *self);
  /* The next range at or behind offset that is no hole; both the size when there is none.  May be NULL: no hole is known. */
  int  (*next_data)  (ImageIo *self, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end);
} ImageIoClass;

struct ImageIo
{
  const ImageIoClass *klass;
  bool                read_only;        /* then write, truncate and punch_hole give -EROFS */
};

/* fd: an open regular file or block device, owned by the seam after success (closed by image_io_close), still the
 * caller's after a failure.  read_only is forced when fd was not opened for writing.
 * Errors: -EINVAL for anything else than a file or block device, -ENOMEM, errno of fstat and fcntl.
 * System calls used: pread64, pwrite64, fdatasync, fallocate, ftruncate, lseek, close. */
int image_io_fd_new (int fd, bool read_only, ImageIo **ret);
/* Of such a seam: whether image_io_close closes the descriptor. */
void image_io_fd_set_owned (ImageIo *self, bool owned);

static inline int
image_io_read (ImageIo *self, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  return self->klass->read (self, offset, ret_bytes, n_bytes);
}

static inline int
image_io_write (ImageIo *self, uint64_t offset, const void *bytes, size_t n_bytes)
{
  return self->klass->write (self, offset, bytes, n_bytes);
}

static inline int
image_io_flush (ImageIo *self)
{
  return self->klass->flush (self);
}

static inline int
image_io_size (ImageIo *self, uint64_t *ret_n_bytes)
{
  return self->klass->size (self, ret_n_bytes);
}

static inline void
image_io_close (ImageIo *self)
{
  if (self)
    self->klass->close (self);
}
