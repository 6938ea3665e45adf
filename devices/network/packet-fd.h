/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A network cable that is a SOCK_SEQPACKET or SOCK_DGRAM socket: one Ethernet frame a packet. */
#pragma once

#include "packet.h"

/* The descriptor is closed with the cable. NULL when memory is short. */
PacketBackend *packet_fd_new  (int fd);
int            packet_fd_descriptor (const PacketBackend *self);
/* When the descriptor is readable, on the machine's thread: takes frames until there are none or the card is full.
 * Returns -EAGAIN (nothing more now), -EBUSY (the card is full: try again soon), -EPIPE (the far end is gone). */
int            packet_fd_receive (PacketBackend *self);
