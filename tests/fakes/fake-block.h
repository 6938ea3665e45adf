/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk image in memory that can be told to fail and remembers what it was asked. */
#pragma once

#include "block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct
{
  BlockBackend parent;
  uint8_t     *bytes;
  uint64_t     stored;          /* bytes really there; the image may claim more, which reads as zero */
  int          read_error, write_error, flush_error;    /* returned while not 0 */
  uint64_t     fail_from, fail_to;      /* errors only touch accesses that overlap this range */
  unsigned     n_reads, n_writes, n_flushes, n_discards;
  uint64_t     discard_offset, discard_bytes;
  bool        *closed;          /* set to true by close, may be NULL */
} FakeBlock;

static inline bool
fake_block_fails (const FakeBlock *self, uint64_t offset, uint64_t n_bytes)
{
  return offset < self->fail_to && self->fail_from < offset + n_bytes;
}

static inline bool
fake_block_in_range (const FakeBlock *self, uint64_t offset, uint64_t n_bytes)
{
  return offset <= self->parent.n_bytes && n_bytes <= self->parent.n_bytes - offset;
}

static inline int
fake_block_read (BlockBackend *backend, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  FakeBlock *self = (FakeBlock *) backend;

  self->n_reads++;
  if (!fake_block_in_range (self, offset, n_bytes))
    return -EINVAL;
  if (self->read_error && fake_block_fails (self, offset, n_bytes))
    return self->read_error;
  memset (ret_bytes, 0, n_bytes);
  if (offset < self->stored)
    memcpy (ret_bytes, self->bytes + offset, n_bytes < self->stored - offset ? n_bytes : self->stored - offset);
  return 0;
}

static inline int
fake_block_write (BlockBackend *backend, uint64_t offset, const void *bytes, size_t n_bytes)
{
  FakeBlock *self = (FakeBlock *) backend;

  self->n_writes++;
  if (backend->read_only)
    return -EROFS;
  if (!fake_block_in_range (self, offset, n_bytes))
    return -EINVAL;
  if (self->write_error && fake_block_fails (self, offset, n_bytes))
    return self->write_error;
  if (offset < self->stored)
    memcpy (self->bytes + offset, bytes, n_bytes < self->stored - offset ? n_bytes : self->stored - offset);
  return 0;
}

static inline int
fake_block_flush (BlockBackend *backend)
{
  FakeBlock *self = (FakeBlock *) backend;

  self->n_flushes++;
  return self->flush_error;
}

static inline int
fake_block_discard (BlockBackend *backend, uint64_t offset, uint64_t n_bytes)
{
  FakeBlock *self = (FakeBlock *) backend;

  if (!fake_block_in_range (self, offset, n_bytes))
    return -EINVAL;
  self->n_discards++;
  self->discard_offset = offset;
  self->discard_bytes = n_bytes;
  if (offset < self->stored)
    memset (self->bytes + offset, 0, n_bytes < self->stored - offset ? n_bytes : self->stored - offset);
  return 0;
}

static inline void
fake_block_close (BlockBackend *backend)
{
  FakeBlock *self = (FakeBlock *) backend;

  if (self->closed)
    *self->closed = true;
  free (self->bytes);
  free (self);
}

static inline int
fake_block_resize (BlockBackend *backend, uint64_t n_bytes)
{
  return -ENOTSUP;
}

static const BlockClass fake_block_class = { "fake", fake_block_read, fake_block_write, fake_block_flush,
                                             fake_block_discard, fake_block_resize, fake_block_close };

/* An image of n_bytes whose first `stored` bytes exist. Sector s of 512 bytes is filled by its number: byte i of it is
 * (s + i) * 7 + s / 256, so that no two neighbours look alike. */
static inline FakeBlock *
fake_block_new (uint64_t n_bytes, uint64_t stored)
{
  FakeBlock *self = calloc (1, sizeof *self);

  self->parent.klass = &fake_block_class;
  self->parent.n_bytes = n_bytes;
  self->stored = stored;
  self->bytes = malloc (stored ? stored : 1);
  self->fail_to = UINT64_MAX;
  for (uint64_t i = 0; i < stored; i++)
    self->bytes[i] = (uint8_t) ((i / 512 + i % 512) * 7 + i / 512 / 256);
  return self;
}
