/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet-fd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct
{
  PacketBackend backend;
  int           fd;
  size_t        n_waiting;      /* bytes of a frame that the card had no room for */
  uint8_t       waiting[PACKET_MAX_BYTES];
} PacketFd;

static void
packet_fd_send (PacketBackend *backend, const uint8_t *frame, size_t n_bytes)
{
  PacketFd *self = (PacketFd *) backend;

  /* Ethernet loses frames; a slow or dead far end must not stop the machine. */
  if (send (self->fd, frame, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    return;
}

static void
packet_fd_close (PacketBackend *backend)
{
  PacketFd *self = (PacketFd *) backend;

  close (self->fd);
  free (self);
}

PacketBackend *
packet_fd_new (int fd)
{
  PacketFd *self = calloc (1, sizeof *self);

  if (!self)
    return NULL;
  self->fd = fd;
  self->backend.send = packet_fd_send;
  self->backend.close = packet_fd_close;
  return &self->backend;
}

int
packet_fd_descriptor (const PacketBackend *backend)
{
  return ((const PacketFd *) backend)->fd;
}

int
packet_fd_receive (PacketBackend *backend)
{
  PacketFd *self = (PacketFd *) backend;

  /* At most a burst at once: a flood must not keep the guest from running. */
  for (unsigned i = 0; i < 64; i++)
    {
      if (!self->n_waiting)
        {
          ssize_t n = recv (self->fd, self->waiting, sizeof self->waiting, MSG_DONTWAIT | MSG_TRUNC);

          if (n < 0 && errno == EINTR)
            continue;
          if (n <= 0)
            return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK) ? -EPIPE : -EAGAIN;
          if ((size_t) n > sizeof self->waiting)
            continue;           /* too long to be an Ethernet frame */
          self->n_waiting = (size_t) n;
        }
      if (backend->receive && !backend->receive (backend->card, self->waiting, self->n_waiting))
        return -EBUSY;
      self->n_waiting = 0;
    }
  return -EAGAIN;
}
