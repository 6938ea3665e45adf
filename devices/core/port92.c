/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "port92.h"

#include <errno.h>
#include <stdlib.h>

enum { FAST_RESET = 1 << 0, A20 = 1 << 1 };

struct Port92
{
  Device  parent;
  IrqLine a20, reset;
  uint8_t latch;
};

static uint64_t
port92_read (Device *device, uint32_t offset, unsigned size)
{
  return ((Port92 *) device)->latch;
}

static void
port92_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Port92 *self = (Port92 *) device;
  bool rising = value & ~self->latch & FAST_RESET;

  self->latch = (uint8_t) value;
  irq_line_set (&self->a20, self->latch & A20);
  /* Only the 0 -> 1 change resets: firmware leaves the bit set and writes A20 again. */
  if (rising)
    irq_line_pulse (&self->reset);
}

void
port92_follow_a20 (void *port92, unsigned input, bool level)
{
  Port92 *self = port92;

  self->latch = (uint8_t) ((self->latch & ~A20) | (level ? A20 : 0));
  irq_line_set (&self->a20, level);
}

static const BusRegion port92_region = { "port92", BUS_SIZE_1, port92_read, port92_write };

static void
port92_reset (Device *device)
{
  Port92 *self = (Port92 *) device;

  self->latch = A20;
  irq_line_set (&self->a20, true);
}

static void
port92_finish (Device *device)
{
  free (device);
}

static int
port92_check (Device *device)
{
  Port92 *self = (Port92 *) device;

  irq_line_set (&self->a20, self->latch & A20);
  return 0;
}

static const StateField port92_fields[] = {
  STATE_FIELD (Port92, latch, STATE_UINT, 1),
  STATE_END,
};
static const StateTable port92_state = { "port92", 1, port92_fields, port92_check };
static const DeviceClass port92_class = { "port92", sizeof (Port92), &port92_state, port92_reset, port92_finish };

int
port92_new (const DeviceHost *host, IrqLine a20, IrqLine reset, Port92 **ret)
{
  Port92 *self = calloc (1, sizeof *self);
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &port92_class;
  self->a20 = a20;
  self->reset = reset;
  self->latch = A20;
  result = bus_claim_ports (host->bus, &self->parent, &port92_region, 0x92, 1);
  if (result < 0)
    {
      free (self);
      return result;
    }
  *ret = self;
  return 0;
}

Device *
port92_device (Port92 *self)
{
  return &self->parent;
}
