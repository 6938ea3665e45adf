/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A learning Ethernet switch (IEEE 802.1D, 7.8 and 7.9) without a loop anywhere near it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SWITCH_MAX_PORTS = 65, SWITCH_TABLE_SIZE = 1024, SWITCH_MAX_FRAME = 1518 };

typedef struct
{
  bool    used;
  uint8_t port;
  uint8_t address[6];
} SwitchEntry;

typedef struct
{
  void  (*deliver) (void *data, unsigned port, const uint8_t *frame, size_t n_bytes);
  void   *data;
  bool    ports[SWITCH_MAX_PORTS];
  SwitchEntry table[SWITCH_TABLE_SIZE];         /* by hash of the address, one entry each: a clash forgets the older */
  uint32_t n_frames;
} Switch;

void switch_init   (Switch *self, void (*deliver) (void *data, unsigned port, const uint8_t *frame, size_t n_bytes), void *data);
void switch_plug   (Switch *self, unsigned port);
void switch_unplug (Switch *self, unsigned port);       /* what was learnt of it is forgotten */
/* A frame came in at a port. Frames shorter than a header or longer than SWITCH_MAX_FRAME are dropped. */
void switch_frame  (Switch *self, unsigned port, const uint8_t *frame, size_t n_bytes);
