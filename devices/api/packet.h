/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The cable of a network card: whole Ethernet frames without FCS. */
#pragma once

#include "device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACKET_MAX_BYTES = 1518 };

typedef struct PacketBackend PacketBackend;

struct PacketBackend
{
  /* A frame leaves the card. Dropped if the far end is slow. */
  void (*send)  (PacketBackend *self, const uint8_t *frame, size_t n_bytes);
  void (*close) (PacketBackend *self);
  /* Filled in by the card: a frame arrives, on the machine's thread. False: no room, offer it again later or drop. */
  bool (*receive) (Device *card, const uint8_t *frame, size_t n_bytes);
  Device *card;
};
