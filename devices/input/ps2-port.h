/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A device at the end of a PS/2 cable, as the keyboard controller sees it: bytes in both directions.
 *
 * Answers to commands go before events (key codes, mouse packets), as on the real devices: a driver that waits for an
 * acknowledgement must not find a key instead. */
#pragma once

#include "device.h"

#include <stdbool.h>
#include <stdint.h>

enum { PS2_QUEUE_BYTES = 64, PS2_ACK = 0xfa, PS2_RESEND = 0xfe, PS2_ERROR = 0xfc, PS2_SELF_TEST_PASSED = 0xaa };

typedef struct
{
  uint8_t bytes[PS2_QUEUE_BYTES];
  uint8_t first, count;
} Ps2Queue;

typedef struct Ps2Port Ps2Port;

struct Ps2Port
{
  Device   parent;
  /* The device's: a byte from the host; events may now be made (called when the event queue ran empty, may be NULL). */
  void   (*command) (Ps2Port *self, uint8_t byte);
  void   (*drained) (Ps2Port *self);
  /* The controller's: there are bytes to take. May be NULL. */
  void   (*ready) (void *controller);
  void    *controller;

  Ps2Queue replies[1], events[1];
  uint8_t  last_sent;           /* for the command "resend" */
};

extern const StateTable ps2_queue_state;

bool    ps2_port_has_byte (const Ps2Port *port);
/* The next byte towards the host, 0 if there is none. */
uint8_t ps2_port_take     (Ps2Port *port);
void    ps2_port_reply    (Ps2Port *port, uint8_t byte);
/* False: the queue (of `limit` bytes) has no room for all of them; then none is taken. */
bool    ps2_port_event    (Ps2Port *port, unsigned limit, const uint8_t *bytes, unsigned n_bytes);
void    ps2_port_clear    (Ps2Port *port);
/* For restored states: -EBADMSG for queues that no queue can be. */
int     ps2_port_check    (const Ps2Port *port);
/* One byte of scan code set 2 in set 1, as the controller translates it; F0 has to be taken out before. */
uint8_t ps2_set_2_to_set_1 (uint8_t code);
