/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fpu-error.h"

#include <errno.h>
#include <stdlib.h>

struct FpuError
{
  Device  parent;
  IrqLine irq_13, ignne;
  uint8_t ferr, latched, ignoring;
};

static void
update (FpuError *self)
{
  irq_line_set (&self->irq_13, self->latched);
  irq_line_set (&self->ignne, self->ignoring);
}

void
fpu_error_set_ferr (void *fpu_error, unsigned input, bool level)
{
  FpuError *self = fpu_error;

  if (level && !self->ferr)
    self->latched = 1;
  if (!level)
    self->ignoring = 0;
  self->ferr = level;
  update (self);
}

static void
fpu_error_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  FpuError *self = (FpuError *) device;

  /* F1h reset the 80287; it does nothing to a processor with its own x87. */
  if (offset)
    return;
  self->latched = 0;
  self->ignoring = self->ferr;
  update (self);
}

static const BusRegion fpu_error_region = { "fpu-error", BUS_SIZE_1, NULL, fpu_error_write };

static void
fpu_error_reset (Device *device)
{
  FpuError *self = (FpuError *) device;

  self->ferr = self->latched = self->ignoring = 0;
  update (self);
}

static void
fpu_error_finish (Device *device)
{
  free (device);
}

static int
fpu_error_check (Device *device)
{
  FpuError *self = (FpuError *) device;

  return self->ferr > 1 || self->latched > 1 || self->ignoring > 1 ? -EBADMSG : 0;
}

static const StateField fpu_error_fields[] = {
  STATE_FIELD (FpuError, ferr, STATE_UINT, 1),
  STATE_FIELD (FpuError, latched, STATE_UINT, 1),
  STATE_FIELD (FpuError, ignoring, STATE_UINT, 1),
  STATE_END,
};
static const StateTable fpu_error_state = { "fpu-error", 1, fpu_error_fields, fpu_error_check };
static const DeviceClass fpu_error_class = { "fpu-error", sizeof (FpuError), &fpu_error_state, fpu_error_reset, fpu_error_finish };

int
fpu_error_new (const DeviceHost *host, IrqLine irq_13, IrqLine ignne, FpuError **ret)
{
  FpuError *self = calloc (1, sizeof *self);
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &fpu_error_class;
  self->irq_13 = irq_13;
  self->ignne = ignne;
  result = bus_claim_ports (host->bus, &self->parent, &fpu_error_region, 0xf0, 2);
  if (result < 0)
    {
      free (self);
      return result;
    }
  *ret = self;
  return 0;
}

Device *
fpu_error_device (FpuError *self)
{
  return &self->parent;
}
