/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A bulkhead-network of a test's own, and frames made by hand. */
#pragma once

#include "network-protocol.h"

#include <errno.h>
#include <glib.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  pid_t pid;
  int   socket;
} NetworkPeer;

static inline NetworkReply
network_ask (NetworkPeer *self, const NetworkMessage *message, int fd)
{
  union { struct cmsghdr align; char bytes[CMSG_SPACE (sizeof (int))]; } control = { 0 };
  struct iovec part = { (void *) message, sizeof *message };
  struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
  struct pollfd polled = { self->socket, POLLIN, 0 };
  NetworkReply reply = { .error = -EPIPE };

  if (fd >= 0)
    {
      header.msg_control = control.bytes;
      header.msg_controllen = sizeof control.bytes;
      control.align.cmsg_level = SOL_SOCKET;
      control.align.cmsg_type = SCM_RIGHTS;
      control.align.cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (&control.align), &fd, sizeof fd);
    }
  if (sendmsg (self->socket, &header, MSG_NOSIGNAL) != (ssize_t) sizeof *message || poll (&polled, 1, 3000) != 1
      || recv (self->socket, &reply, sizeof reply, 0) != sizeof reply)
    reply.error = -EPIPE;
  return reply;
}

static inline void
network_open (NetworkPeer *self, const char *program, const char *option)
{
  NetworkMessage hello = { .type = NETWORK_STATISTICS };
  int ends[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), ==, 0);
  self->pid = fork ();
  if (self->pid == 0)
    {
      dup2 (ends[1], NETWORK_SOCKET_FD);
      execl (program, program, option, NULL);
      _exit (127);
    }
  close (ends[1]);
  self->socket = ends[0];
  g_assert_cmpint (network_ask (self, &hello, -1).error, ==, 0);
}

/* The status it ended with. */
static inline int
network_close (NetworkPeer *self)
{
  int status = -1;

  close (self->socket);
  waitpid (self->pid, &status, 0);
  return status;
}

static inline int
network_join (NetworkPeer *self, unsigned port)
{
  NetworkMessage join = { .type = NETWORK_JOIN, .port = (uint16_t) port };
  int ends[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), ==, 0);
  g_assert_cmpint (network_ask (self, &join, ends[1]).error, ==, 0);
  close (ends[1]);
  return ends[0];
}

/* A frame within so many ms; its length or 0. */
static inline size_t
network_receive (int cable, uint8_t *frame, size_t n_bytes, int timeout_ms)
{
  struct pollfd polled = { cable, POLLIN, 0 };
  ssize_t n = poll (&polled, 1, timeout_ms) == 1 ? recv (cable, frame, n_bytes, 0) : 0;

  return n > 0 ? (size_t) n : 0;
}

static inline void
put16 (uint8_t *at, unsigned value)
{
  at[0] = (uint8_t) (value >> 8);
  at[1] = (uint8_t) value;
}

static inline void
put32 (uint8_t *at, uint32_t value)
{
  put16 (at, value >> 16);
  put16 (at + 2, value & 0xffff);
}

static inline uint32_t
sum16 (const uint8_t *bytes, size_t n_bytes, uint32_t sum)
{
  for (size_t i = 0; i < n_bytes; i++)
    sum += i & 1 ? bytes[i] : (uint32_t) bytes[i] << 8;
  return sum;
}

static inline unsigned
fold (uint32_t sum)
{
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/* Ethernet + IPv4 + TCP without options; the frame's length. */
static inline size_t
make_tcp (uint8_t *frame, const uint8_t to_mac[6], uint32_t to, unsigned from_port, unsigned to_port, unsigned flags)
{
  static const uint8_t from_mac[6] = { 0x02, 1, 2, 3, 4, 5 };
  uint8_t *ip = frame + 14, *tcp = ip + 20;

  memset (frame, 0, 60);
  memcpy (frame, to_mac, 6);
  memcpy (frame + 6, from_mac, 6);
  put16 (frame + 12, 0x0800);
  ip[0] = 0x45;
  put16 (ip + 2, 40);
  ip[8] = 64;
  ip[9] = 6;
  put32 (ip + 12, 0x0a00020f);
  put32 (ip + 16, to);
  put16 (ip + 10, fold (sum16 (ip, 20, 0)));
  put16 (tcp, from_port);
  put16 (tcp + 2, to_port);
  put32 (tcp + 4, 1000);
  tcp[12] = 5 << 4;
  tcp[13] = (uint8_t) flags;
  put16 (tcp + 14, 8192);
  put16 (tcp + 16, fold (sum16 (tcp, 20, sum16 (ip + 12, 8, 6 + 20))));
  return 60;
}
