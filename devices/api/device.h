/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What every device is, and what it may touch.
 *
 * A device gets its power as parameters of its constructor (bus, memory, clock, lines, back ends); the board is
 * the one place where all are made.  Nothing registers itself.  All device code runs on the machine's thread. */
#pragma once

#include "state.h"

#include <stddef.h>

typedef struct Bus         Bus;
typedef struct GuestMemory GuestMemory;
typedef struct Clock       Clock;
typedef struct Device      Device;

typedef struct
{
  Bus         *bus;
  GuestMemory *memory;          /* NULL for devices that do no DMA: then they cannot */
  Clock       *clock;
} DeviceHost;

typedef struct
{
  const char       *name;
  size_t            instance_size;
  const StateTable *state;      /* required; a device without state has an empty table */
  void            (*reset)  (Device *self);   /* power-on values; cannot fail, allocates nothing */
  void            (*finish) (Device *self);   /* accepts a half-built device; frees it */
} DeviceClass;

struct Device
{
  const DeviceClass *klass;
};
