/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "frame-filter.h"

#include <string.h>

enum { ETHERNET_BYTES = 14, TCP = 6, UDP = 17, TCP_URG = 0x20, TCP_MIN_BYTES = 20, DNS_PORT = 53 };

static unsigned
be16 (const uint8_t *at)
{
  return (unsigned) at[0] << 8 | at[1];
}

static bool
tcp_allowed (const uint8_t *segment, size_t n_bytes)
{
  size_t header;

  if (n_bytes < TCP_MIN_BYTES)
    return false;
  header = (size_t) (segment[12] >> 4) * 4;
  return header >= TCP_MIN_BYTES && header <= n_bytes && !(segment[13] & TCP_URG);
}

/* Whom the NAT may be asked to talk to.  libslirp closes only its own name for the host (10.0.2.2): what a guest sends to
 * 127.0.0.1 or 0.0.0.0 it would connect there.  Its name server stands for the host's resolver, which often is at a
 * loopback address, at every port: only port 53 of it is passed. */
static bool
ipv4_target_allowed (const uint8_t *packet, size_t header, size_t total)
{
  static const uint8_t name_server[4] = { 10, 0, 2, 3 }, broadcast[4] = { 255, 255, 255, 255 };
  const uint8_t *to = packet + 16;

  if (to[0] == 0 || to[0] == 127)
    return false;
  if (to[0] >= 224)
    return memcmp (to, broadcast, 4) == 0;      /* DHCP; no multicast reaches the host's services */
  if (memcmp (to, name_server, 4) != 0 || (packet[9] != TCP && packet[9] != UDP))
    return true;
  return !(be16 (packet + 6) & 0x3fff) && total >= header + 4 && be16 (packet + header + 2) == DNS_PORT;
}

/* The same for IPv6: ::, ::1, addresses that hold one of IPv4, and the name server fec0::3. */
static bool
ipv6_target_allowed (const uint8_t *packet, size_t n_bytes)
{
  static const uint8_t zeros[10] = { 0 }, name_server[16] = { 0xfe, 0xc0, [15] = 3 };
  const uint8_t *to = packet + 24;

  if (memcmp (to, zeros, sizeof zeros) == 0)
    return false;
  if (memcmp (to, name_server, 16) != 0 || packet[6] == 58 /* ICMPv6: neighbour discovery */)
    return true;
  return (packet[6] == TCP || packet[6] == UDP) && n_bytes >= 44 && be16 (packet + 42) == DNS_PORT;
}

/* RFC 791. A fragment behind the first can overwrite the flags of a header already seen (RFC 1858), so TCP in
 * fragments is not passed at all: no guest needs it, since paths inside this network have one MTU. */
static bool
ipv4_allowed (const uint8_t *packet, size_t n_bytes)
{
  size_t header, total;

  if (n_bytes < 20 || packet[0] >> 4 != 4)
    return false;
  header = (size_t) (packet[0] & 15) * 4;
  total = be16 (packet + 2);
  if (header < 20 || total < header || total > n_bytes)
    return false;
  if (!ipv4_target_allowed (packet, header, total))
    return false;
  if (packet[9] != TCP)
    return true;
  return !(be16 (packet + 6) & 0x3fff) && tcp_allowed (packet + header, total - header);
}

/* RFC 8200: TCP directly or behind extension headers, which are walked; a fragment header ends it. */
static bool
ipv6_allowed (const uint8_t *packet, size_t n_bytes)
{
  size_t at = 40, end;
  unsigned next;

  if (n_bytes < 40 || packet[0] >> 4 != 6)
    return false;
  end = 40 + be16 (packet + 4);
  if (end > n_bytes || !ipv6_target_allowed (packet, end))
    return false;
  next = packet[6];
  for (unsigned i = 0; i < 8; i++)
    switch (next)
      {
      case TCP:
        return tcp_allowed (packet + at, end - at);
      case 0: case 43: case 60:         /* hop-by-hop, routing, destination options */
        if (end - at < 8)
          return false;
        next = packet[at];
        if ((size_t) (packet[at + 1] + 1) * 8 > end - at)
          return false;
        at += (size_t) (packet[at + 1] + 1) * 8;
        break;
      case 44:                          /* fragment */
        return end - at >= 8 && packet[at] != TCP;
      default:
        return true;
      }
  return false;
}

bool
frame_filter_allows (const uint8_t *frame, size_t n_bytes)
{
  if (n_bytes < ETHERNET_BYTES)
    return false;
  switch (be16 (frame + 12))
    {
    case 0x0800:
      return ipv4_allowed (frame + ETHERNET_BYTES, n_bytes - ETHERNET_BYTES);
    case 0x86dd:
      return ipv6_allowed (frame + ETHERNET_BYTES, n_bytes - ETHERNET_BYTES);
    default:
      return true;              /* ARP and what NAT ignores */
    }
}
