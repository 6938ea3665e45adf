/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Intel 82093AA, order number 290566 ("DS").
 *
 * Where we differ: INTPOL is kept but selects nothing.  Lines in this machine say whether a device asserts them, not
 * at which voltage; the same line also goes to the PIC. */
#include "io-apic.h"

#include "bus.h"

#include <errno.h>
#include <stdlib.h>

enum { SELECT = 0x00, WINDOW = 0x10, REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_REDIRECTION = 0x10 };

#define ENTRY_VECTOR     UINT64_C (0xff)
#define ENTRY_LOGICAL    (UINT64_C (1) << 11)
#define ENTRY_PENDING    (UINT64_C (1) << 12)
#define ENTRY_REMOTE_IRR (UINT64_C (1) << 14)
#define ENTRY_LEVEL      (UINT64_C (1) << 15)
#define ENTRY_MASKED     (UINT64_C (1) << 16)
/* DS 3.2.4: the two status bits are the chip's. */
#define ENTRY_WRITABLE   UINT64_C (0xff0000000001afff)

typedef struct
{
  uint64_t entry;
} Redirection;

struct IoApic
{
  Device      parent;
  ApicDeliver deliver;
  void       *local_apic;
  uint8_t     select;
  uint32_t    id;
  uint32_t    lines;
  Redirection redirections[IO_APIC_N_INPUTS];
};

/* DS 3.2.4, delivery mode: SMI and INIT must be programmed edge, ExtINT and NMI are treated as edge. */
static bool
is_level (uint64_t entry)
{
  unsigned delivery = entry >> 8 & 7;

  return (entry & ENTRY_LEVEL) && (delivery == APIC_FIXED || delivery == APIC_LOWEST_PRIORITY);
}

static bool
send (IoApic *self, uint64_t entry)
{
  ApicMessage message = { (uint8_t) (entry >> 56), !!(entry & ENTRY_LOGICAL), entry >> 8 & 7, entry & ENTRY_VECTOR,
                          is_level (entry) };

  return self->deliver && self->deliver (self->local_apic, &message);
}

/* A level input is sent again whenever it is asserted and nobody is working on it. */
static void
service_level (IoApic *self, unsigned input)
{
  uint64_t *entry = &self->redirections[input].entry;

  if (!is_level (*entry) || (*entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
    return;
  if (!(self->lines & 1u << input))
    *entry &= ~ENTRY_PENDING;
  else if (send (self, *entry))
    *entry = (*entry & ~ENTRY_PENDING) | ENTRY_REMOTE_IRR;
  else
    *entry |= ENTRY_PENDING;
}

void
io_apic_set_irq (void *io_apic, unsigned input, bool level)
{
  IoApic  *self = io_apic;
  uint32_t bit;
  uint64_t entry;
  bool     rising;

  if (input >= IO_APIC_N_INPUTS)
    return;
  bit = 1u << input;
  rising = level && !(self->lines & bit);
  self->lines = level ? self->lines | bit : self->lines & ~bit;
  entry = self->redirections[input].entry;
  if (is_level (entry))
    service_level (self, input);
  /* DS 3.2.4, interrupt mask: an edge at a masked input is ignored, not held pending. */
  else if (rising && !(entry & ENTRY_MASKED))
    send (self, entry);
}

void
io_apic_eoi (void *io_apic, uint8_t vector)
{
  IoApic *self = io_apic;

  for (unsigned i = 0; i < IO_APIC_N_INPUTS; i++)
    {
      uint64_t *entry = &self->redirections[i].entry;

      if (vector && (*entry & ENTRY_REMOTE_IRR) && (*entry & ENTRY_VECTOR) == vector)
        {
          *entry &= ~ENTRY_REMOTE_IRR;
          service_level (self, i);
        }
      else if (*entry & ENTRY_PENDING)
        service_level (self, i);
    }
}

static uint32_t
read_window (const IoApic *self)
{
  unsigned index = self->select - REG_REDIRECTION;

  switch (self->select)
    {
    case REG_ID:
    case REG_ARBITRATION:
      return self->id;          /* the arbitration id is loaded with the id */
    case REG_VERSION:
      return (IO_APIC_N_INPUTS - 1) << 16 | 0x11;
    default:
      if (self->select < REG_REDIRECTION || index >= 2 * IO_APIC_N_INPUTS)
        return 0;
      return (uint32_t) (self->redirections[index / 2].entry >> (index & 1) * 32);
    }
}

static void
write_window (IoApic *self, uint32_t value)
{
  unsigned index = self->select - REG_REDIRECTION;
  uint64_t half = index & 1 ? UINT64_C (0xffffffff00000000) : UINT64_C (0xffffffff);
  uint64_t *entry;

  if (self->select == REG_ID)
    self->id = value & 0x0f000000;
  if (self->select < REG_REDIRECTION || index >= 2 * IO_APIC_N_INPUTS)
    return;
  entry = &self->redirections[index / 2].entry;
  half &= ENTRY_WRITABLE;
  *entry = (*entry & ~half) | ((uint64_t) value << (index & 1) * 32 & half);
  /* An edge entry has no remote IRR: software acknowledges a stuck level one by making it edge and level again. */
  if (!is_level (*entry))
    *entry &= ~(ENTRY_REMOTE_IRR | ENTRY_PENDING);
  service_level (self, index / 2);
}

static uint64_t
io_apic_read (Device *device, uint32_t offset, unsigned size)
{
  IoApic *self = (IoApic *) device;

  return offset == SELECT ? self->select : offset == WINDOW ? read_window (self) : 0;
}

static void
io_apic_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  IoApic *self = (IoApic *) device;

  if (offset == SELECT)
    self->select = (uint8_t) value;
  else if (offset == WINDOW)
    write_window (self, (uint32_t) value);
}

/* DS 3.0: registers are accessed as 32 bits; IOREGSEL holds eight, and byte writes to it reach them. */
static const BusRegion io_apic_region = { "io-apic", BUS_SIZE_1 | BUS_SIZE_2 | BUS_SIZE_4, io_apic_read, io_apic_write };

static const StateField redirection_fields[] = {
  STATE_FIELD (Redirection, entry, STATE_UINT, 1),
  STATE_END,
};

static const StateTable redirection_state = { "redirection", 1, redirection_fields, NULL };

static const StateField io_apic_fields[] = {
  STATE_FIELD (IoApic, select, STATE_UINT, 1),
  STATE_FIELD (IoApic, id, STATE_UINT, 1),
  STATE_FIELD (IoApic, lines, STATE_UINT, 1),
  STATE_NESTED (IoApic, redirections, &redirection_state, 1),
  STATE_END,
};

static int
io_apic_check (Device *device)
{
  const IoApic *self = (const IoApic *) device;

  if ((self->id & ~0x0f000000u) || self->lines >> IO_APIC_N_INPUTS)
    return -EBADMSG;
  for (unsigned i = 0; i < IO_APIC_N_INPUTS; i++)
    {
      uint64_t entry = self->redirections[i].entry;

      if ((entry & ~(ENTRY_WRITABLE | ENTRY_REMOTE_IRR | ENTRY_PENDING))
          || (!is_level (entry) && (entry & (ENTRY_REMOTE_IRR | ENTRY_PENDING))))
        return -EBADMSG;
    }
  return 0;
}

static const StateTable io_apic_state = { "io-apic", 1, io_apic_fields, io_apic_check };

static void
io_apic_reset (Device *device)
{
  IoApic *self = (IoApic *) device;

  self->select = 0;
  self->id = 0;
  self->lines = 0;              /* reset reaches the whole machine: every device lets go of its line */
  for (unsigned i = 0; i < IO_APIC_N_INPUTS; i++)
    self->redirections[i].entry = ENTRY_MASKED;
}

static void
io_apic_finish (Device *device)
{
  free (device);
}

static const DeviceClass io_apic_class = { "io-apic", sizeof (IoApic), &io_apic_state, io_apic_reset, io_apic_finish };

int
io_apic_new (const DeviceHost *host, ApicDeliver deliver, void *local_apic, IoApic **ret)
{
  IoApic *self = calloc (1, sizeof *self);
  int     result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &io_apic_class;
  self->deliver = deliver;
  self->local_apic = local_apic;
  io_apic_reset (&self->parent);
  result = bus_claim_memory (host->bus, &self->parent, &io_apic_region, IO_APIC_BASE, 256);
  if (result < 0)
    {
      io_apic_finish (&self->parent);
      return result;
    }
  *ret = self;
  return 0;
}
