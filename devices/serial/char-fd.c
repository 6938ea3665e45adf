/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "char-fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 256 };

typedef struct
{
  CharBackend parent;
  int         fd;
  bool        owned;
  int         error;
  bool        full;             /* the device refused bytes and has not said since that it has room */
  size_t      room;             /* what it said last */
  uint8_t     held[CHUNK];      /* read from the descriptor but refused */
  size_t      n_held;
  void      (*ready) (void *data);
  void       *data;
} CharFd;

static size_t
fd_write (CharBackend *backend, const uint8_t *bytes, size_t n_bytes)
{
  CharFd *self = (CharFd *) backend;
  ssize_t n;

  if (self->error || n_bytes == 0)
    return n_bytes;             /* like a cable that leads nowhere: the guest must not hang on it */
  do
    n = write (self->fd, bytes, n_bytes);
  while (n < 0 && errno == EINTR);
  if (n >= 0)
    return (size_t) n;
  if (errno == EAGAIN || errno == EWOULDBLOCK)
    return 0;
  self->error = errno;
  return n_bytes;
}

static void
fd_ready (CharBackend *backend, size_t n_bytes)
{
  CharFd *self = (CharFd *) backend;
  bool    was_full = self->full;

  self->full = false;
  self->room = n_bytes;
  if (self->n_held)
    {
      size_t taken = backend->receive ? backend->receive (backend->device, self->held, self->n_held) : 0;

      memmove (self->held, self->held + taken, self->n_held - taken);
      self->n_held -= taken;
      self->full = self->n_held > 0;
    }
  if (was_full && !self->full && self->ready)
    self->ready (self->data);
}

static void
fd_close (CharBackend *backend)
{
  CharFd *self = (CharFd *) backend;

  if (self->owned)
    close (self->fd);
  free (self);
}

static const CharClass fd_class = { fd_write, fd_ready, fd_close };

CharBackend *
char_fd_new (int fd, bool owned, void (*ready) (void *data), void *data)
{
  CharFd *self = calloc (1, sizeof *self);

  if (!self)
    return NULL;
  self->parent.klass = &fd_class;
  self->fd = fd;
  self->owned = owned;
  self->room = 1;
  self->ready = ready;
  self->data = data;
  return &self->parent;
}

size_t
char_fd_room (const CharBackend *backend)
{
  const CharFd *self = (const CharFd *) backend;

  return self->full || self->n_held ? 0 : self->room ? self->room : 1;
}

size_t
char_fd_feed (CharBackend *backend, const uint8_t *bytes, size_t n_bytes)
{
  CharFd *self = (CharFd *) backend;
  size_t  taken = 0;

  /* Bytes that came earlier go first. */
  if (!self->n_held && backend->receive)
    taken = backend->receive (backend->device, bytes, n_bytes);
  self->full = taken < n_bytes;
  return taken;
}

int
char_fd_receive (CharBackend *backend)
{
  CharFd *self = (CharFd *) backend;
  uint8_t bytes[CHUNK];
  size_t  room = char_fd_room (backend), taken;
  ssize_t n;

  if (!room)
    return -EAGAIN;
  do
    n = read (self->fd, bytes, room < sizeof bytes ? room : sizeof bytes);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return -errno;
  taken = char_fd_feed (backend, bytes, (size_t) n);
  memcpy (self->held, bytes + taken, (size_t) n - taken);
  self->n_held = (size_t) n - taken;
  return (int) n;
}

int
char_fd_error (const CharBackend *backend)
{
  return ((const CharFd *) backend)->error;
}
