/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct NatTimer NatTimer;

struct NatTimer
{
  SlirpTimerCb call;
  void        *opaque;
  int64_t      deadline_ms;     /* -1: off */
  NatTimer    *next;
};

struct Nat
{
  Slirp         *slirp;
  void         (*deliver) (void *data, const uint8_t *frame, size_t n_bytes);
  void          *data;
  NatTimer      *timers;
  struct pollfd *polls;         /* during a round */
  unsigned       first, n;
};

static int64_t
now_ns (void *opaque)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static ssize_t
send_packet (const void *bytes, size_t n_bytes, void *opaque)
{
  Nat *self = opaque;

  self->deliver (self->data, bytes, n_bytes);
  return (ssize_t) n_bytes;
}

static void
guest_error (const char *message, void *opaque)
{
  /* The guest's mistakes are the guest's: nothing it sends gets into a log. */
}

static void *
timer_new (SlirpTimerCb call, void *call_opaque, void *opaque)
{
  Nat *self = opaque;
  NatTimer *timer = calloc (1, sizeof *timer);

  if (timer)
    {
      *timer = (NatTimer) { call, call_opaque, -1, self->timers };
      self->timers = timer;
    }
  return timer;
}

static void
timer_free (void *data, void *opaque)
{
  Nat *self = opaque;
  NatTimer **link = &self->timers;

  while (*link && *link != data)
    link = &(*link)->next;
  if (*link)
    {
      NatTimer *timer = *link;

      *link = timer->next;
      free (timer);
    }
}

static void
timer_mod (void *data, int64_t deadline_ms, void *opaque)
{
  if (data)
    ((NatTimer *) data)->deadline_ms = deadline_ms;
}

static void
ignore_fd (int fd, void *opaque)
{
}

static void
notify (void *opaque)
{
}

static const SlirpCb callbacks = {
  .send_packet = send_packet, .guest_error = guest_error, .clock_get_ns = now_ns, .timer_new = timer_new, .timer_free = timer_free,
  .timer_mod = timer_mod, .register_poll_fd = ignore_fd, .unregister_poll_fd = ignore_fd, .notify = notify,
};

Nat *
nat_new (void (*deliver) (void *data, const uint8_t *frame, size_t n_bytes), void *data)
{
  SlirpConfig config = {
    .version = 4, .in_enabled = true, .in6_enabled = true, .vprefix_len = 64, .disable_host_loopback = true,
    .vhostname = "bulkhead",
  };
  Nat *self = calloc (1, sizeof *self);

  if (!self)
    return NULL;
  self->deliver = deliver;
  self->data = data;
  inet_pton (AF_INET, "10.0.2.0", &config.vnetwork);
  inet_pton (AF_INET, "255.255.255.0", &config.vnetmask);
  inet_pton (AF_INET, "10.0.2.2", &config.vhost);
  inet_pton (AF_INET, "10.0.2.15", &config.vdhcp_start);
  inet_pton (AF_INET, "10.0.2.3", &config.vnameserver);
  inet_pton (AF_INET6, "fec0::", &config.vprefix_addr6);
  inet_pton (AF_INET6, "fec0::2", &config.vhost6);
  inet_pton (AF_INET6, "fec0::3", &config.vnameserver6);
  self->slirp = slirp_new (&config, &callbacks, self);
  if (!self->slirp)
    {
      free (self);
      return NULL;
    }
  return self;
}

void
nat_free (Nat *self)
{
  if (!self)
    return;
  slirp_cleanup (self->slirp);
  while (self->timers)
    timer_free (self->timers, self);
  free (self);
}

void
nat_input (Nat *self, const uint8_t *frame, size_t n_bytes)
{
  slirp_input (self->slirp, frame, (int) n_bytes);
}

int
nat_forward (Nat *self, uint8_t protocol, uint16_t host_port, uint16_t guest_port)
{
  struct in_addr host, guest;

  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
    return -EINVAL;
  inet_pton (AF_INET, "127.0.0.1", &host);
  inet_pton (AF_INET, "10.0.2.15", &guest);
  return slirp_add_hostfwd (self->slirp, protocol == IPPROTO_UDP, host, host_port, guest, guest_port) < 0 ? -EADDRINUSE : 0;
}

static int
add_poll (int fd, int events, void *opaque)
{
  Nat *self = opaque;
  short wanted = 0;

  if (self->n == NAT_MAX_POLLS)
    return -1;
  if (events & SLIRP_POLL_IN)
    wanted |= POLLIN;
  if (events & SLIRP_POLL_OUT)
    wanted |= POLLOUT;
  if (events & SLIRP_POLL_PRI)
    wanted |= POLLPRI;
  self->polls[self->n] = (struct pollfd) { fd, wanted, 0 };
  return (int) self->n++;
}

static int
get_revents (int index, void *opaque)
{
  Nat *self = opaque;
  short got;
  int events = 0;

  if (index < (int) self->first || index >= (int) self->n)
    return 0;
  got = self->polls[index].revents;
  events |= got & POLLIN ? SLIRP_POLL_IN : 0;
  events |= got & POLLOUT ? SLIRP_POLL_OUT : 0;
  events |= got & POLLPRI ? SLIRP_POLL_PRI : 0;
  events |= got & POLLERR ? SLIRP_POLL_ERR : 0;
  events |= got & POLLHUP ? SLIRP_POLL_HUP : 0;
  return events;
}

void
nat_fill (Nat *self, struct pollfd *polls, unsigned *n, int *timeout_ms)
{
  uint32_t timeout = *timeout_ms < 0 ? UINT32_MAX : (uint32_t) *timeout_ms;
  int64_t now = now_ns (NULL) / 1000000;

  self->polls = polls;
  self->first = self->n = *n;
  slirp_pollfds_fill (self->slirp, &timeout, add_poll, self);
  for (NatTimer *timer = self->timers; timer; timer = timer->next)
    if (timer->deadline_ms >= 0 && timer->deadline_ms - now < (int64_t) timeout)
      timeout = timer->deadline_ms > now ? (uint32_t) (timer->deadline_ms - now) : 0;
  *n = self->n;
  *timeout_ms = timeout > INT32_MAX ? -1 : (int) timeout;
}

void
nat_polled (Nat *self, bool failed)
{
  int64_t now = now_ns (NULL) / 1000000;
  NatTimer *timer;

  slirp_pollfds_poll (self->slirp, failed, get_revents, self);
  /* A timer's call may free timers: look from the start after each. */
  do
    {
      for (timer = self->timers; timer && (timer->deadline_ms < 0 || timer->deadline_ms > now); timer = timer->next)
        ;
      if (timer)
        {
          timer->deadline_ms = -1;
          timer->call (timer->opaque);
        }
    }
  while (timer);
}
