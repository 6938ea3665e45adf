/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The 8254 interval timer at ports 40h … 43h: three counters at PIT_HZ.
 *
 * Counters are functions of guest time; only counter 0 has a timer, armed at the rising edges of its output.
 * (Device *) pit is the device. */
#pragma once

#include "device.h"
#include "irq-line.h"

#include <stdint.h>

#define PIT_HZ 1193182u

typedef struct Pit Pit;

/* irq0 is counter 0's output.  Returns 0, -ENOMEM or what bus_claim_ports says. */
int pit_new (const DeviceHost *host, IrqLine irq0, Pit **ret);

/* The gate of counter 2 (those of 0 and 1 are tied high). */
void pit_set_gate2 (Pit *self, bool level);
bool pit_gate2     (const Pit *self);
/* Counter 2's output now. */
bool pit_out2      (Pit *self);
/* Called before anything but time changes what counter 2 does (a write, its gate, a new count that comes into force), so
 * that whoever listens to it can first look at what it did until now. May be NULL. */
void pit_on_change2 (Pit *self, void (*changing) (Device *listener), Device *listener);

/* Ticks of PIT_HZ since power on. */
int64_t pit_now_ticks (const Pit *self);
/* For how many of the ticks first … last - 1 counter 2's output is high, as things stand now.
 * 0 <= last - first <= PIT_HZ; no tick after now, none before the last change. */
uint32_t pit_high_ticks2 (Pit *self, int64_t first, int64_t last);
/* Whether counter 2's output will change by itself, without a write or a gate. */
bool pit_running2 (Pit *self);
