/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The switch, the filter before the NAT, and the process they live in. */
#include "frame-filter.h"
#include "network-peer.h"
#include "switch.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>

static const char *program;
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* --- switch ---------------------------------------------------------------------------------------------------- */

static uint64_t delivered;      /* bit per port */
static bool     echoed;
static unsigned sender;

static void
note_delivery (void *data, unsigned port, const uint8_t *frame, size_t n_bytes)
{
  delivered |= 1ull << port;
  echoed |= port == sender;
}

static uint64_t
send_from (Switch *ethernet, unsigned port, uint8_t from, uint8_t to)
{
  uint8_t frame[60] = { to == 0xff ? 0xff : 2, to, to, to, to, to, 2, from, from, from, from, from, 0x88, 0xb5 };

  delivered = 0;
  sender = port;
  switch_frame (ethernet, port, frame, sizeof frame);
  return delivered;
}

static void
switch_learns_and_forgets (void)
{
  static Switch ethernet;

  switch_init (&ethernet, note_delivery, NULL);
  for (unsigned i = 0; i < 4; i++)
    switch_plug (&ethernet, i);
  echoed = false;
  g_assert_cmphex (send_from (&ethernet, 0, 10, 0xff), ==, 0xe);        /* broadcast: all but the sender */
  g_assert_cmphex (send_from (&ethernet, 1, 11, 12), ==, 0xd);          /* unknown: flooded */
  g_assert_cmphex (send_from (&ethernet, 1, 11, 10), ==, 0x1);          /* learnt */
  g_assert_cmphex (send_from (&ethernet, 0, 12, 10), ==, 0);            /* to a station behind the same port */
  g_assert_cmphex (send_from (&ethernet, 2, 10, 0xff), ==, 0xb);        /* the station moves */
  g_assert_cmphex (send_from (&ethernet, 1, 11, 10), ==, 0x4);
  switch_unplug (&ethernet, 2);
  g_assert_cmphex (send_from (&ethernet, 1, 11, 10), ==, 0x9);          /* forgotten; nothing to the pulled port */
  g_assert_cmphex (send_from (&ethernet, 2, 10, 0xff), ==, 0);          /* nothing from it */
  g_assert_false (echoed);
}

static void
switch_drops_bad_lengths (void)
{
  static Switch ethernet;
  static uint8_t frame[SWITCH_MAX_FRAME + 1] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2 };

  switch_init (&ethernet, note_delivery, NULL);
  switch_plug (&ethernet, 0);
  switch_plug (&ethernet, 1);
  delivered = 0;
  switch_frame (&ethernet, 0, frame, 0);
  switch_frame (&ethernet, 0, frame, 13);
  switch_frame (&ethernet, 0, frame, sizeof frame);
  g_assert_cmphex (delivered, ==, 0);
  switch_frame (&ethernet, 0, frame, 14);
  g_assert_cmphex (delivered, ==, 2);
}

/* A group address as the source is no station. */
static void
switch_learns_no_group (void)
{
  static Switch ethernet;
  uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 9, 9, 9, 9, 9 }, back[60] = { 3, 9, 9, 9, 9, 9, 2 };

  switch_init (&ethernet, note_delivery, NULL);
  for (unsigned i = 0; i < 3; i++)
    switch_plug (&ethernet, i);
  switch_frame (&ethernet, 0, frame, sizeof frame);
  delivered = 0;
  switch_frame (&ethernet, 1, back, sizeof back);
  g_assert_cmphex (delivered, ==, 5);
}

/* --- filter ---------------------------------------------------------------------------------------------------- */

enum { SYN = 2, ACK = 0x10, URG = 0x20 };

static void
filter_drops_urgent_segments (void)
{
  uint8_t frame[64];
  size_t n = make_tcp (frame, broadcast, 0x01020304, 1, 2, SYN);

  g_assert_true (frame_filter_allows (frame, n));
  for (unsigned flags = 0; flags < 256; flags++)
    {
      frame[14 + 20 + 13] = (uint8_t) flags;
      g_assert_cmpint (frame_filter_allows (frame, n), ==, !(flags & URG));
    }
}

static void
filter_drops_lying_ipv4_headers (void)
{
  uint8_t frame[64];
  size_t n = make_tcp (frame, broadcast, 0x01020304, 1, 2, SYN);

  for (size_t cut = 0; cut < 54; cut++)
    g_assert_cmpint (frame_filter_allows (frame, cut), ==, false);
  frame[14] = 0x44;             /* header of 16 bytes */
  g_assert_false (frame_filter_allows (frame, n));
  frame[14] = 0x4f;             /* header of 60 bytes */
  g_assert_false (frame_filter_allows (frame, n));
  frame[14] = 0x65;
  g_assert_false (frame_filter_allows (frame, n));
  frame[14] = 0x45;
  put16 (frame + 16, 47);       /* total longer than the frame */
  g_assert_false (frame_filter_allows (frame, n));
  put16 (frame + 16, 39);       /* TCP header cut off */
  g_assert_false (frame_filter_allows (frame, n));
  put16 (frame + 16, 40);
  frame[14 + 20 + 12] = 4 << 4; /* data offset below 5 */
  g_assert_false (frame_filter_allows (frame, n));
  frame[14 + 20 + 12] = 6 << 4; /* beyond the segment */
  g_assert_false (frame_filter_allows (frame, n));
}

static void
filter_drops_tcp_in_fragments (void)
{
  uint8_t frame[64];
  size_t n = make_tcp (frame, broadcast, 0x01020304, 1, 2, SYN);

  put16 (frame + 20, 0x4000);   /* don't fragment: allowed */
  g_assert_true (frame_filter_allows (frame, n));
  put16 (frame + 20, 0x2000);   /* more fragments */
  g_assert_false (frame_filter_allows (frame, n));
  put16 (frame + 20, 1);        /* a later one */
  g_assert_false (frame_filter_allows (frame, n));
  frame[14 + 9] = 17;
  g_assert_true (frame_filter_allows (frame, n));
}

static void
filter_drops_what_is_for_the_hosts_loopback (void)
{
  static const struct { uint32_t to; unsigned port; bool allowed; } cases[] = {
    { 0x7f000001, 80, false }, { 0x7fffffff, 80, false }, { 0, 80, false }, { 0x00000001, 80, false }, { 0xe00000fb, 5353, false },
    { 0xf0000001, 80, false }, { 0x0a000203, 53, true }, { 0x0a000203, 631, false }, { 0x0a000202, 80, true /* closed by libslirp */ },
    { 0x08080808, 80, true },
  };
  uint8_t frame[64];

  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      size_t n = make_tcp (frame, broadcast, cases[i].to, 1, cases[i].port, SYN);

      g_assert_cmpint (frame_filter_allows (frame, n), ==, cases[i].allowed);
      frame[23] = 17;
      g_assert_cmpint (frame_filter_allows (frame, n), ==, cases[i].allowed);
      put16 (frame + 20, 0x2000);       /* no fragments to the name server */
      g_assert_cmpint (frame_filter_allows (frame, n), ==, cases[i].allowed && cases[i].to != 0x0a000203);
    }
}

static void
filter_drops_what_is_for_the_hosts_ipv6_loopback (void)
{
  static const struct { uint8_t to[16]; unsigned port; bool allowed; } cases[] = {
    { { 0 }, 80, false }, { { [15] = 1 }, 80, false }, { { [10] = 0xff, 0xff, 127, 0, 0, 1 }, 80, false },
    { { [12] = 127, 0, 0, 1 }, 80, false }, { { 0xfe, 0xc0, [15] = 3 }, 53, true }, { { 0xfe, 0xc0, [15] = 3 }, 80, false },
    { { 0x20, 1, [15] = 1 }, 80, true },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      uint8_t frame[14 + 40 + 20] = { 0 };

      put16 (frame + 12, 0x86dd);
      frame[14] = 0x60;
      put16 (frame + 18, 20);
      frame[20] = 6;
      memcpy (frame + 38, cases[i].to, 16);
      put16 (frame + 56, cases[i].port);
      frame[54 + 12] = 5 << 4;
      g_assert_cmpint (frame_filter_allows (frame, sizeof frame), ==, cases[i].allowed);
    }
}

static void
filter_walks_ipv6_headers (void)
{
  uint8_t frame[14 + 40 + 8 + 20] = { 0 };
  uint8_t *ip = frame + 14;

  put16 (frame + 12, 0x86dd);
  ip[0] = 0x60;
  put16 (ip + 4, 28);
  ip[24] = 0x20;
  ip[6] = 60;                   /* destination options, then TCP */
  ip[40] = 6;
  ip[40 + 8 + 12] = 5 << 4;
  g_assert_true (frame_filter_allows (frame, sizeof frame));
  ip[40 + 8 + 13] = URG;
  g_assert_false (frame_filter_allows (frame, sizeof frame));
  ip[40 + 8 + 13] = 0;
  ip[41] = 255;                 /* longer than the packet */
  g_assert_false (frame_filter_allows (frame, sizeof frame));
  ip[41] = 0;
  ip[6] = 44;                   /* TCP in a fragment */
  g_assert_false (frame_filter_allows (frame, sizeof frame));
  ip[6] = 0;
  ip[40] = 0;                   /* hop-by-hop in hop-by-hop without end */
  ip[48] = 0;
  g_assert_false (frame_filter_allows (frame, sizeof frame));
  put16 (ip + 4, 29);
  g_assert_false (frame_filter_allows (frame, sizeof frame));
}

/* --- the process ------------------------------------------------------------------------------------------------- */

static unsigned
status_field (pid_t pid, const char *field, uint64_t *ret_value)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int) pid);
  g_autofree char *text = NULL;
  const char *at;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  at = strstr (text, field);
  g_assert_nonnull (at);
  *ret_value = g_ascii_strtoull (at + strlen (field), NULL, 16);
  return 0;
}

static void
check_sandbox (const char *option)
{
  static const struct { const char *field; uint64_t value; } expected[] = {
    { "\nSeccomp:\t", 2 }, { "\nNoNewPrivs:\t", 1 }, { "\nCapInh:\t", 0 }, { "\nCapPrm:\t", 0 }, { "\nCapEff:\t", 0 }, { "\nCapBnd:\t", 0 },
    { "\nCapAmb:\t", 0 },
  };
  NetworkPeer peer;

  network_open (&peer, program, option);
  for (size_t i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      uint64_t value;

      status_field (peer.pid, expected[i].field, &value);
      g_test_message ("%s %" G_GUINT64_FORMAT, expected[i].field + 1, value);
      g_assert_cmpuint (value, ==, expected[i].value);
    }
  g_assert_cmpint (network_close (&peer), ==, 0);
}

static void
process_is_sandboxed (void)
{
  check_sandbox (NULL);
  check_sandbox ("--nat");
}

static void
process_starts_within_20_ms (void)
{
  gint64 best = G_MAXINT64;

  for (int i = 0; i < 5; i++)
    {
      gint64 start = g_get_monotonic_time ();
      NetworkPeer peer;

      network_open (&peer, program, "--nat");
      best = MIN (best, g_get_monotonic_time () - start);
      network_close (&peer);
    }
  g_test_message ("started and sandboxed in %" G_GINT64_FORMAT " us", best);
  g_assert_cmpint (best, <, 20000);
}

static void
process_switches_between_cables (void)
{
  NetworkPeer peer;
  uint8_t frame[1600] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 1, 1, 1, 1, 0x88, 0xb5, 'x' }, got[1600];
  NetworkMessage leave = { .type = NETWORK_LEAVE, .port = 5 };
  int a, b;

  network_open (&peer, program, NULL);
  a = network_join (&peer, 0);
  b = network_join (&peer, 5);
  g_assert_cmpint (send (a, frame, 60, 0), ==, 60);
  g_assert_cmpuint (network_receive (b, got, sizeof got, 1000), ==, 60);
  g_assert_cmpmem (frame, 60, got, 60);
  g_assert_cmpuint (network_receive (a, got, sizeof got, 50), ==, 0);
  g_assert_cmpint (send (a, frame, 1519, 0), ==, 1519);                 /* too long for Ethernet */
  g_assert_cmpuint (network_receive (b, got, sizeof got, 50), ==, 0);
  g_assert_cmpint (network_ask (&peer, &leave, -1).error, ==, 0);
  g_assert_cmpint (recv (b, got, sizeof got, 0), ==, 0);
  close (a);
  close (b);
  g_assert_cmpint (network_close (&peer), ==, 0);
}

static void
process_refuses_bad_messages (void)
{
  static const NetworkMessage bad[] = {
    { .type = 0 }, { .type = 77 }, { .type = NETWORK_JOIN }, { .type = NETWORK_LEAVE, .port = NETWORK_MAX_PORTS },
    { .type = NETWORK_STATISTICS, .reserved = 1 }, { .type = NETWORK_STATISTICS, .reserved_2 = 1 },
    { .type = NETWORK_FORWARD, .protocol = 6, .host_port = 1, .guest_port = 1 },        /* no NAT here */
  };
  NetworkMessage hello = { .type = NETWORK_STATISTICS };
  NetworkPeer peer;

  network_open (&peer, program, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_cmpint (network_ask (&peer, &bad[i], -1).error, <, 0);
  g_assert_cmpint (network_ask (&peer, &hello, -1).error, ==, 0);
  g_assert_cmpint (send (peer.socket, &hello, sizeof hello - 1, 0), ==, sizeof hello - 1);
  g_assert_cmpint (network_close (&peer), ==, 0);                       /* a short one: it ends by itself */
}

/* Answers ARP until a TCP answer comes; its flags, or -1. */
static int
tcp_answer (int cable, int timeout_ms)
{
  gint64 end = g_get_monotonic_time () + timeout_ms * 1000;
  uint8_t frame[1600];

  while (g_get_monotonic_time () < end)
    {
      size_t n = network_receive (cable, frame, sizeof frame, 100);

      if (n >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 1)
        {
          /* Who has 10.0.2.15: we. */
          uint8_t answer[60] = { 0 };
          static const uint8_t mac[6] = { 2, 1, 2, 3, 4, 5 };

          memcpy (answer, frame + 6, 6);
          memcpy (answer + 6, mac, 6);
          memcpy (answer + 12, frame + 12, 8);
          answer[21] = 2;
          memcpy (answer + 22, mac, 6);
          memcpy (answer + 28, frame + 38, 4);
          memcpy (answer + 32, frame + 22, 10);
          send (cable, answer, sizeof answer, 0);
        }
      else if (n >= 54 && frame[12] == 8 && frame[13] == 0 && frame[23] == 6)
        return frame[47];
    }
  return -1;
}

static int
listen_on (uint32_t address, unsigned *ret_port)
{
  struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (address) };
  socklen_t n = sizeof name;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

  g_assert_cmpint (bind (fd, (struct sockaddr *) &name, n), ==, 0);
  g_assert_cmpint (listen (fd, 4), ==, 0);
  g_assert_cmpint (getsockname (fd, (struct sockaddr *) &name, &n), ==, 0);
  *ret_port = ntohs (name.sin_port);
  return fd;
}

static uint32_t
own_address (void)
{
  struct ifaddrs *all, *at;
  uint32_t address = 0;

  g_assert_cmpint (getifaddrs (&all), ==, 0);
  for (at = all; at && !address; at = at->ifa_next)
    if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET && !(at->ifa_flags & IFF_LOOPBACK))
      address = ntohl (((struct sockaddr_in *) at->ifa_addr)->sin_addr.s_addr);
  freeifaddrs (all);
  return address;
}

static void
nat_does_not_reach_the_hosts_loopback (void)
{
  static const uint8_t gateway[6] = { 0x52, 0x55, 10, 0, 2, 2 };
  static const uint32_t loopbacks[] = { 0x0a000202, 0x0a000203, 0x7f000001, 0x7f010203, 0 };
  NetworkPeer peer;
  unsigned port;
  uint8_t frame[64];
  int cable, listener = listen_on (INADDR_LOOPBACK, &port);

  network_open (&peer, program, "--nat");
  cable = network_join (&peer, 0);
  for (size_t i = 0; i < G_N_ELEMENTS (loopbacks); i++)
    {
      int flags;

      send (cable, frame, make_tcp (frame, gateway, loopbacks[i], 40000 + (unsigned) i, port, SYN), 0);
      flags = tcp_answer (cable, 500);
      g_test_message ("%08x: %d", loopbacks[i], flags);
      g_assert_true (flags == -1 || !(flags & SYN));
      g_assert_cmpint (accept (listener, NULL, NULL), ==, -1);
    }
  close (cable);
  close (listener);
  network_close (&peer);
}

/* The same way in, to an address that NAT may reach: the test above is not passed by a NAT that does nothing. */
static void
nat_reaches_the_network (void)
{
  static const uint8_t gateway[6] = { 0x52, 0x55, 10, 0, 2, 2 };
  uint32_t address = own_address ();
  NetworkPeer peer;
  unsigned port;
  uint8_t frame[64];
  int cable, listener;

  if (!address)
    {
      g_test_skip ("this host has no address but its loopback");
      return;
    }
  listener = listen_on (INADDR_ANY, &port);
  network_open (&peer, program, "--nat");
  cable = network_join (&peer, 0);
  send (cable, frame, make_tcp (frame, gateway, address, 40000, port, SYN), 0);
  g_assert_cmphex ((unsigned) tcp_answer (cable, 3000), ==, SYN | ACK);
  close (cable);
  close (listener);
  network_close (&peer);
}

static void
nat_forwards_a_port (void)
{
  NetworkPeer peer;
  NetworkMessage forward = { .type = NETWORK_FORWARD, .protocol = 6, .guest_port = 80 };
  struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  unsigned port;
  int cable, client, flags;

  close (listen_on (INADDR_LOOPBACK, &port));           /* a port that is free */
  forward.host_port = (uint16_t) port;
  network_open (&peer, program, "--nat");
  cable = network_join (&peer, 0);
  g_assert_cmpint (network_ask (&peer, &forward, -1).error, ==, 0);
  g_assert_cmpint (network_ask (&peer, &forward, -1).error, ==, -EADDRINUSE);
  client = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  name.sin_port = htons ((uint16_t) port);
  connect (client, (struct sockaddr *) &name, sizeof name);
  flags = tcp_answer (cable, 3000);
  g_assert_cmphex ((unsigned) flags, ==, SYN);
  close (client);
  close (cable);
  network_close (&peer);
}

static void
nat_never_sees_urgent_segments (void)
{
  static const uint8_t gateway[6] = { 0x52, 0x55, 10, 0, 2, 2 };
  NetworkMessage statistics = { .type = NETWORK_STATISTICS };
  NetworkReply reply;
  NetworkPeer peer;
  uint8_t frame[64];
  int cable;

  network_open (&peer, program, "--nat");
  cable = network_join (&peer, 0);
  for (int i = 0; i < 10; i++)
    send (cable, frame, make_tcp (frame, gateway, 0x01010101, 40000, 80, ACK | URG), 0);
  for (int i = 0; i < 50; i++)
    {
      reply = network_ask (&peer, &statistics, -1);
      if (reply.values[0] >= 10)
        break;
      g_usleep (10000);
    }
  g_assert_cmpuint (reply.values[1], ==, 10);
  close (cable);
  network_close (&peer);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, >=, 2);
  program = argv[1];
  g_test_add_func ("/switch/learns-and-forgets", switch_learns_and_forgets);
  g_test_add_func ("/switch/drops-bad-lengths", switch_drops_bad_lengths);
  g_test_add_func ("/switch/learns-no-group", switch_learns_no_group);
  g_test_add_func ("/frame-filter/drops-urgent-segments", filter_drops_urgent_segments);
  g_test_add_func ("/frame-filter/drops-lying-ipv4-headers", filter_drops_lying_ipv4_headers);
  g_test_add_func ("/frame-filter/drops-tcp-in-fragments", filter_drops_tcp_in_fragments);
  g_test_add_func ("/frame-filter/walks-ipv6-headers", filter_walks_ipv6_headers);
  g_test_add_func ("/frame-filter/drops-what-is-for-the-hosts-loopback", filter_drops_what_is_for_the_hosts_loopback);
  g_test_add_func ("/frame-filter/drops-what-is-for-the-hosts-ipv6-loopback", filter_drops_what_is_for_the_hosts_ipv6_loopback);
  g_test_add_func ("/network/process-is-sandboxed", process_is_sandboxed);
  g_test_add_func ("/network/process-starts-within-20-ms", process_starts_within_20_ms);
  g_test_add_func ("/network/process-switches-between-cables", process_switches_between_cables);
  g_test_add_func ("/network/process-refuses-bad-messages", process_refuses_bad_messages);
  g_test_add_func ("/nat/does-not-reach-the-hosts-loopback", nat_does_not_reach_the_hosts_loopback);
  g_test_add_func ("/nat/reaches-the-network", nat_reaches_the_network);
  g_test_add_func ("/nat/forwards-a-port", nat_forwards_a_port);
  g_test_add_func ("/nat/never-sees-urgent-segments", nat_never_sees_urgent_segments);
  return g_test_run ();
}
