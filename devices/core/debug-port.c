/* SPDX-License-Identifier: GPL-3.0-or-later */
/* E9h reads back E9h, by which guests know that somebody listens (Bochs manual, "port e9 hack"); 402h is SeaBIOS's. */
#include "debug-port.h"

#include <errno.h>
#include <stdlib.h>

struct DebugPort
{
  Device       parent;
  CharBackend *sink;
  void       (*exited) (void *data, uint32_t value);
  void        *data;
};

static uint64_t
debug_read (Device *device, uint32_t offset, unsigned size)
{
  return 0xe9;
}

static void
debug_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  DebugPort *self = (DebugPort *) device;
  uint8_t byte = (uint8_t) value;

  self->sink->klass->write (self->sink, &byte, 1);
}

static void
exit_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  DebugPort *self = (DebugPort *) device;

  self->exited (self->data, (uint32_t) value);
}

static const BusRegion debug_region = { "debug-port", BUS_SIZE_1, debug_read, debug_write };
static const BusRegion exit_region = { "exit-port", BUS_SIZE_1 | BUS_SIZE_2 | BUS_SIZE_4, NULL, exit_write };

static void
debug_port_reset (Device *device)
{
}

static void
debug_port_finish (Device *device)
{
  free (device);
}

static const StateField debug_port_fields[] = { STATE_END };
static const StateTable debug_port_state = { "debug-port", 1, debug_port_fields, NULL };
static const DeviceClass debug_port_class = { "debug-port", sizeof (DebugPort), &debug_port_state, debug_port_reset, debug_port_finish };

int
debug_port_new (const DeviceHost *host, CharBackend *sink, uint16_t exit_port, void (*exited) (void *data, uint32_t value), void *data,
                DebugPort **ret)
{
  DebugPort *self = calloc (1, sizeof *self);
  int result = 0;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &debug_port_class;
  self->sink = sink;
  self->exited = exited;
  self->data = data;
  if (sink)
    {
      result = bus_claim_ports (host->bus, &self->parent, &debug_region, 0xe9, 1);
      if (result == 0)
        result = bus_claim_ports (host->bus, &self->parent, &debug_region, 0x402, 1);
    }
  if (result == 0 && exit_port)
    result = bus_claim_ports (host->bus, &self->parent, &exit_region, exit_port, 1);
  if (result < 0)
    {
      free (self);
      return result;
    }
  *ret = self;
  return 0;
}

Device *
debug_port_device (DebugPort *self)
{
  return &self->parent;
}
