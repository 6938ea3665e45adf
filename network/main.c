/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bulkhead-network: one virtual network. Cables come by descriptor 3 (network-protocol.h); frames go between them, and with
 * --nat out through libslirp.  It holds no disk, no key and no guest memory, and ends when descriptor 3 closes.
 *
 *   bulkhead-network [--nat] [--no-sandbox]       --no-sandbox: for a standalone machine on a host without namespaces */
#include "frame-filter.h"
#include "nat.h"
#include "network-protocol.h"
#include "network-sandbox.h"
#include "switch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NAT_PORT = SWITCH_MAX_PORTS - 1, BURST = 64 };

typedef struct
{
  Switch   ethernet;
  Nat     *nat;
  int      cables[NETWORK_MAX_PORTS];
  uint32_t n_filtered;
} Network;

static void
deliver (void *data, unsigned port, const uint8_t *frame, size_t n_bytes)
{
  Network *self = data;

  if (port == NAT_PORT && self->nat)
    {
      if (frame_filter_allows (frame, n_bytes))
        nat_input (self->nat, frame, n_bytes);
      else
        self->n_filtered++;
    }
  else if (port < NETWORK_MAX_PORTS && self->cables[port] >= 0
           && send (self->cables[port], frame, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    return;                     /* a machine that does not keep up loses frames, as on a real wire */
}

static void
from_nat (void *data, const uint8_t *frame, size_t n_bytes)
{
  switch_frame (&((Network *) data)->ethernet, NAT_PORT, frame, n_bytes);
}

static void
unplug (Network *self, unsigned port)
{
  if (self->cables[port] < 0)
    return;
  close (self->cables[port]);
  self->cables[port] = -1;
  switch_unplug (&self->ethernet, port);
}

static void
take_frames (Network *self, unsigned port)
{
  uint8_t frame[SWITCH_MAX_FRAME];

  for (unsigned i = 0; i < BURST && self->cables[port] >= 0; i++)
    {
      ssize_t n = recv (self->cables[port], frame, sizeof frame, MSG_DONTWAIT | MSG_TRUNC);

      if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
      if (n <= 0)
        unplug (self, port);
      else if ((size_t) n <= sizeof frame)
        switch_frame (&self->ethernet, port, frame, (size_t) n);
    }
}

static int
act (Network *self, const NetworkMessage *message, int *fd, NetworkReply *reply)
{
  if (message->reserved || message->reserved_2)
    return -EINVAL;
  switch (message->type)
    {
    case NETWORK_JOIN:
      if (message->port >= NETWORK_MAX_PORTS || *fd < 0)
        return -EINVAL;
      unplug (self, message->port);
      self->cables[message->port] = *fd;
      *fd = -1;
      switch_plug (&self->ethernet, message->port);
      return 0;
    case NETWORK_LEAVE:
      if (message->port >= NETWORK_MAX_PORTS)
        return -EINVAL;
      unplug (self, message->port);
      return 0;
    case NETWORK_FORWARD:
      return self->nat ? nat_forward (self->nat, message->protocol, message->host_port, message->guest_port) : -ENOTSUP;
    case NETWORK_STATISTICS:
      reply->values[0] = self->ethernet.n_frames;
      reply->values[1] = self->n_filtered;
      for (unsigned i = 0; i < NETWORK_MAX_PORTS; i++)
        reply->values[2] += self->cables[i] >= 0;
      return 0;
    default:
      return -EINVAL;
    }
}

/* False: the owner is gone or speaks nonsense. */
static bool
take_message (Network *self)
{
  NetworkMessage message;
  NetworkReply reply = { 0 };
  union { struct cmsghdr header; char bytes[CMSG_SPACE (sizeof (int))]; } control;
  struct iovec part = { &message, sizeof message };
  struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
  ssize_t n = recvmsg (NETWORK_SOCKET_FD, &header, MSG_CMSG_CLOEXEC);
  struct cmsghdr *got;
  int fd = -1;

  if (n < 0 && errno == EINTR)
    return true;
  if (n <= 0)
    return false;
  got = CMSG_FIRSTHDR (&header);
  if (got && got->cmsg_level == SOL_SOCKET && got->cmsg_type == SCM_RIGHTS && got->cmsg_len == CMSG_LEN (sizeof fd))
    memcpy (&fd, CMSG_DATA (got), sizeof fd);
  reply.error = n == sizeof message && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ? act (self, &message, &fd, &reply) : -EBADMSG;
  if (fd >= 0)
    close (fd);
  return reply.error != -EBADMSG && send (NETWORK_SOCKET_FD, &reply, sizeof reply, MSG_NOSIGNAL) == sizeof reply;
}

static void
serve (Network *self)
{
  static struct pollfd polls[1 + NETWORK_MAX_PORTS + NAT_MAX_POLLS];

  for (;;)
    {
      unsigned n = 1, ports[NETWORK_MAX_PORTS], n_ports = 0;
      int timeout = -1, ready;

      polls[0] = (struct pollfd) { NETWORK_SOCKET_FD, POLLIN, 0 };
      for (unsigned i = 0; i < NETWORK_MAX_PORTS; i++)
        if (self->cables[i] >= 0)
          {
            ports[n_ports++] = i;
            polls[n++] = (struct pollfd) { self->cables[i], POLLIN, 0 };
          }
      if (self->nat)
        nat_fill (self->nat, polls, &n, &timeout);
      ready = poll (polls, n, timeout);
      if (self->nat)
        nat_polled (self->nat, ready < 0);
      if (ready < 0)
        continue;
      for (unsigned i = 0; i < n_ports; i++)
        if (polls[1 + i].revents)
          take_frames (self, ports[i]);
      if (polls[0].revents && !take_message (self))
        return;
    }
}

int
main (int argc, char **argv)
{
  static Network self;
  bool nat = false, sandbox = true;
  const char *why;

  for (int i = 1; i < argc; i++)
    if (strcmp (argv[i], "--nat") == 0)
      nat = true;
    else if (strcmp (argv[i], "--no-sandbox") == 0)
      sandbox = false;
    else
      {
        fputs ("bulkhead-network is started by bulkhead-guard or by a standalone monitor\n", stderr);
        return 2;
      }
  prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  signal (SIGPIPE, SIG_IGN);
  memset (self.cables, 0xff, sizeof self.cables);
  switch_init (&self.ethernet, deliver, &self);
  if (nat)
    {
      self.nat = nat_new (from_nat, &self);
      if (!self.nat)
        {
          fputs ("bulkhead-network: out of memory\n", stderr);
          return 1;
        }
      switch_plug (&self.ethernet, NAT_PORT);
    }
  if (sandbox && !network_sandbox_enter (nat, &why))
    {
      fprintf (stderr, "bulkhead-network: no sandbox: %s\n", why);
      return 1;
    }
  serve (&self);
  nat_free (self.nat);
  return 0;
}
