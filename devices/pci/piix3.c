/* SPDX-License-Identifier: GPL-3.0-or-later */
/* 82371SB PIIX3, ISA bridge (Intel 290550). PIRQRC[A:D] at 60h … 63h (2.2.8), reset control CF9h (3.2.1). */
#include "piix3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIRQRC = 0x60, PIRQ_DISABLED = 0x80, RESET_HARD = 1 << 1, RESET_GO = 1 << 2 };

struct Piix3
{
  Device      parent;
  DeviceHost  host;
  PciFunction pci[1];
  IrqLine     isa_irqs[16];
  IrqLine     reset;
  uint8_t     reset_control;
  uint8_t     pirq_levels[4];
  uint16_t    driven;                   /* ISA lines now held high by a PIRQ */
};

/* ISA IRQs that a PIRQ may be steered to (table of 2.2.8); the others are reserved and mean nowhere. */
static const uint16_t steerable = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15;

static void
update_irqs (Piix3 *self)
{
  uint16_t now = 0, changed;

  for (unsigned i = 0; i < 4; i++)
    {
      uint8_t route = self->pci[0].config[PIRQRC + i];

      if (self->pirq_levels[i] && !(route & PIRQ_DISABLED) && steerable >> (route & 15) & 1)
        now |= (uint16_t) (1 << (route & 15));
    }
  changed = now ^ self->driven;
  self->driven = now;
  for (unsigned irq = 0; irq < 16; irq++)
    if (changed >> irq & 1)
      irq_line_set (&self->isa_irqs[irq], now >> irq & 1);
}

void
piix3_set_pirq (void *piix3, unsigned wire, bool level)
{
  Piix3 *self = piix3;

  self->pirq_levels[wire & 3] = level;
  update_irqs (self);
}

static void
config_written (Device *device, unsigned offset, unsigned n_bytes, const uint8_t *old_bytes)
{
  if (offset < PIRQRC + 4 && offset + n_bytes > PIRQRC)
    update_irqs ((Piix3 *) device);
}

static uint64_t
reset_control_read (Device *device, uint32_t offset, unsigned size)
{
  return ((Piix3 *) device)->reset_control;
}

static void
reset_control_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Piix3 *self = (Piix3 *) device;
  bool go = value & ~self->reset_control & RESET_GO;

  /* Bit 2 resets on its 0 -> 1 change; it reads back as 0 after the reset that it caused. */
  self->reset_control = (uint8_t) value & RESET_HARD;
  if (go)
    irq_line_pulse (&self->reset);
}

const BusRegion piix3_reset_control = { "piix3-reset", BUS_SIZE_1, reset_control_read, reset_control_write };

static void
piix3_reset (Device *device)
{
  Piix3 *self = (Piix3 *) device;

  pci_function_reset (&self->pci[0]);
  memset (self->pci[0].config + PIRQRC, PIRQ_DISABLED, 4);
  self->pci[0].config[0x4c] = 0x4d;     /* IORT */
  self->pci[0].config[0x4e] = 0x03;     /* XBCS */
  self->pci[0].config[0x69] = 0x02;     /* TOM */
  self->reset_control = 0;
  update_irqs (self);
}

static void
piix3_finish (Device *device)
{
  free (device);
}

static int
piix3_check (Device *device)
{
  Piix3 *self = (Piix3 *) device;

  for (unsigned i = 0; i < 4; i++)
    if (self->pirq_levels[i] > 1)
      return -EBADMSG;
  return pci_function_restored (&self->pci[0]);
}

static const StateField piix3_fields[] = {
  STATE_NESTED (Piix3, pci, &pci_function_state, 1),
  STATE_FIELD (Piix3, reset_control, STATE_UINT, 1),
  STATE_FIELD (Piix3, pirq_levels, STATE_BYTES, 1),
  STATE_FIELD (Piix3, driven, STATE_UINT, 1),
  STATE_END,
};
static const StateTable piix3_state = { "piix3", 1, piix3_fields, piix3_check };
static const DeviceClass piix3_class = { "piix3", sizeof (Piix3), &piix3_state, piix3_reset, piix3_finish };

int
piix3_new (const DeviceHost *host, const IrqLine isa_irqs[16], IrqLine reset, Piix3 **ret)
{
  Piix3 *self = calloc (1, sizeof *self);
  PciFunction *pci;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &piix3_class;
  self->host = *host;
  memcpy (self->isa_irqs, isa_irqs, sizeof self->isa_irqs);
  self->reset = reset;
  pci = &self->pci[0];
  pci_function_setup (pci, &self->parent, "piix3", 0x8086, 0x7000, 0x060100, 0, 0);
  pci->config[PCI_COMMAND] = 0x07;
  pci->config[PCI_STATUS + 1] = 0x02;
  memset (pci->writable + PIRQRC, 0x8f, 4);
  pci->writable[0x4c] = 0xff;
  pci->writable[0x4e] = pci->writable[0x4f] = 0xff;
  pci->writable[0x69] = 0xfe;
  pci->writable[0x6a] = pci->writable[0x6b] = 0xff;
  pci->writable[0x70] = 0xff;
  pci->writable[0x82] = 0x0f;
  memset (pci->writable + 0xa0, 0xff, 16);
  pci->config_written = config_written;
  *ret = self;
  return 0;
}

int
piix3_attach (Piix3 *self, PciBus *bus, uint8_t devfn)
{
  return pci_bus_add (bus, devfn, &self->pci[0]);
}

Device *
piix3_device (Piix3 *self)
{
  return &self->parent;
}
