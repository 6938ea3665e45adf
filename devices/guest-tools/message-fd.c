/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message-fd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct
{
  MessageBackend backend;
  int            fd;
  uint8_t        bytes[MESSAGE_MAX_BYTES];
} MessageFd;

static int
message_fd_send (MessageBackend *backend, const uint8_t *bytes, size_t n_bytes)
{
  MessageFd *self = (MessageFd *) backend;

  if (send (self->fd, bytes, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t) n_bytes)
    return 0;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? -EAGAIN : -EPIPE;
}

static void
message_fd_close (MessageBackend *backend)
{
  close (((MessageFd *) backend)->fd);
  free (backend);
}

MessageBackend *
message_fd_new (int fd)
{
  MessageFd *self = calloc (1, sizeof *self);

  if (!self)
    return NULL;
  self->fd = fd;
  self->backend.send = message_fd_send;
  self->backend.close = message_fd_close;
  return &self->backend;
}

int
message_fd_descriptor (const MessageBackend *self)
{
  return ((const MessageFd *) self)->fd;
}

int
message_fd_receive (MessageBackend *backend)
{
  MessageFd *self = (MessageFd *) backend;

  for (unsigned i = 0; i < 32; i++)
    {
      ssize_t n = recv (self->fd, self->bytes, sizeof self->bytes, MSG_DONTWAIT | MSG_TRUNC);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return -EAGAIN;
      if (n <= 0)
        {
          if (backend->receive)
            backend->receive (backend->device, NULL, 0);
          return -EPIPE;
        }
      if ((size_t) n <= sizeof self->bytes && backend->receive)
        backend->receive (backend->device, self->bytes, (size_t) n);
    }
  return -EAGAIN;
}
