/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk, floppy or CD image as a device sees it: bytes at offsets.
 *
 * All calls are synchronous, on the machine's thread.  Offsets and lengths may be any value: the back end checks
 * them.  Errors are negative errno; a failed flush stays failed.  -ENOSPC means the host's disk is full: the
 * machine pauses and the request is tried again after the user has freed space. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct BlockBackend BlockBackend;

typedef struct
{
  const char *format;           /* "raw", "qcow2" … */
  int  (*read)    (BlockBackend *self, uint64_t offset, void *ret_bytes, size_t n_bytes);
  int  (*write)   (BlockBackend *self, uint64_t offset, const void *bytes, size_t n_bytes);
  int  (*flush)   (BlockBackend *self);          /* when it returns 0, every completed write survives power loss */
  int  (*discard) (BlockBackend *self, uint64_t offset, uint64_t n_bytes);   /* then reads zero; may be NULL */
  int  (*resize)  (BlockBackend *self, uint64_t n_bytes);                    /* may be NULL: -ENOTSUP */
  void (*close)   (BlockBackend *self);          /* flushes what it can and frees */
  /* The next range at or behind offset that may hold anything else than zeros; both are n_bytes when there is none.  May be
   * NULL: everything may. */
  int  (*next_data) (BlockBackend *self, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end);
} BlockClass;

struct BlockBackend
{
  const BlockClass *klass;
  uint64_t          n_bytes;    /* size of the virtual disk */
  bool              read_only;
};

static inline int
block_read (BlockBackend *self, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  return self->klass->read (self, offset, ret_bytes, n_bytes);
}

static inline int
block_write (BlockBackend *self, uint64_t offset, const void *bytes, size_t n_bytes)
{
  return self->klass->write (self, offset, bytes, n_bytes);
}

static inline int
block_flush (BlockBackend *self)
{
  return self->klass->flush (self);
}

static inline void
block_close (BlockBackend *self)
{
  if (self)
    self->klass->close (self);
}
