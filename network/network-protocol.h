/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the owner of a virtual network (the guard, or a standalone monitor) says to bulkhead-network on descriptor 3:
 * SOCK_SEQPACKET, one NetworkMessage each, with at most one descriptor.  The answer is one NetworkReply each. */
#pragma once

#include <stdint.h>

enum { NETWORK_SOCKET_FD = 3, NETWORK_MAX_PORTS = 64, NETWORK_PROTOCOL_VERSION = 1 };

typedef enum
{
  NETWORK_JOIN = 1,             /* descriptor: a machine's cable (SOCK_SEQPACKET); port: what it is called by */
  NETWORK_LEAVE,                /* port */
  NETWORK_FORWARD,              /* protocol 6 or 17, host_port on the host's loopback, to guest_port of 10.0.2.15 (NAT only) */
  NETWORK_STATISTICS,           /* the reply's values: frames switched, frames dropped by the filter, ports */
} NetworkRequest;

typedef struct
{
  uint16_t type, port;
  uint8_t  protocol, reserved;
  uint16_t host_port, guest_port;
  uint16_t reserved_2;
} NetworkMessage;

typedef struct
{
  int32_t  error;               /* 0 or negative errno */
  uint32_t values[3];
} NetworkReply;

_Static_assert (sizeof (NetworkMessage) == 12 && sizeof (NetworkReply) == 16, "no padding");
