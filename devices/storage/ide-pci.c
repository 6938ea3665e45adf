/* SPDX-License-Identifier: GPL-3.0-or-later */
/* 82371SB PIIX3, function 1 (Intel 290550, sections 2.3 and 3.5) and the bus master of SFF-8038i.
 *
 * A physical region descriptor is eight bytes: address, byte count (0: 64 KiB), bit 31 of the second word ends the
 * table.  One call of `transfer` never moves more than the drive asked for, and each descriptor holds at least two
 * bytes, so a table that points into itself ends with the transfer.  Data goes through guest_memory_* only: a region
 * that is not memory is a master abort and reaches no device. */
#include "ide-pci.h"

#include "guest-memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { IDETIM = 0x40, SIDETIM = 0x44, IDETIM_DECODE_HIGH = 0x80 };
enum { BM_COMMAND = 0, BM_STATUS = 2, BM_TABLE = 4 };
enum { COMMAND_START = 1, COMMAND_TO_MEMORY = 8 };
enum { STATUS_ACTIVE = 1, STATUS_ERROR = 2, STATUS_INTERRUPT = 4, STATUS_CAPABLE = 0x60 };

typedef struct
{
  uint8_t  command, status;
  uint32_t table;               /* BMIDTP */
  uint32_t next;                /* descriptor to fetch when `left` is used up */
  uint32_t address, left;       /* of the current region */
  bool     last;                /* it is the last one */
  /* Not state. */
  IdePci  *controller;
  IdeChannel *channel;
} Master;

struct IdePci
{
  Device       parent;
  GuestMemory *memory;
  PciFunction  pci[1];
  Master       masters[2];
  uint8_t      constants[256];  /* configuration after power on; not state */
};

/* ---------------------------------------------------------------- the masters */

static void
stop_with_error (Master *self)
{
  self->status = (uint8_t) ((self->status | STATUS_ERROR) & ~STATUS_ACTIVE);
}

static bool
fetch_descriptor (Master *self)
{
  uint32_t words[2];
  uint8_t bytes[8];

  if (guest_memory_read (self->controller->memory, self->next, bytes, sizeof bytes) < 0)
    return false;
  for (unsigned i = 0; i < 2; i++)
    words[i] = bytes[i * 4] | (uint32_t) bytes[i * 4 + 1] << 8 | (uint32_t) bytes[i * 4 + 2] << 16 | (uint32_t) bytes[i * 4 + 3] << 24;
  self->next += 8;
  self->address = words[0] & ~1u;
  self->left = words[1] & 0xfffe ? words[1] & 0xfffe : 65536;
  self->last = words[1] >> 31;
  return true;
}

static size_t
master_transfer (void *master, bool to_memory, void *bytes, size_t n_bytes)
{
  Master *self = master;
  GuestMemory *memory = self->controller->memory;
  uint8_t *at = bytes;
  size_t moved = 0;

  if (!(self->status & STATUS_ACTIVE) || !pci_function_is_master (self->controller->pci)
      || to_memory != !!(self->command & COMMAND_TO_MEMORY))
    return 0;
  while (moved < n_bytes)
    {
      size_t n = n_bytes - moved;
      int result;

      if (self->left == 0 && (self->last || !fetch_descriptor (self)))
        {
          if (!self->last)
            stop_with_error (self);
          break;
        }
      if (n > self->left)
        n = self->left;
      result = to_memory ? guest_memory_write (memory, self->address, at + moved, n)
                         : guest_memory_read (memory, self->address, at + moved, n);
      if (result < 0)
        {
          stop_with_error (self);
          break;
        }
      moved += n;
      self->address += (uint32_t) n;
      self->left -= (uint32_t) n;
    }
  /* Active falls with the last byte of the last region (SFF-8038i 2.3). */
  if (self->left == 0 && self->last)
    self->status &= (uint8_t) ~STATUS_ACTIVE;
  return moved;
}

static void
master_interrupt (void *master, bool level)
{
  if (level)
    ((Master *) master)->status |= STATUS_INTERRUPT;
}

static uint64_t
master_read (Device *device, uint32_t offset, unsigned size)
{
  const Master *self = &((IdePci *) device)->masters[offset >> 3 & 1];

  switch (offset & 7)
    {
    case BM_COMMAND:
      return self->command;
    case BM_STATUS:
      return self->status;
    case BM_TABLE: case BM_TABLE + 1: case BM_TABLE + 2: case BM_TABLE + 3:
      return self->table >> (offset & 3) * 8 & 0xff;
    default:
      return 0;
    }
}

static void
master_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Master *self = &((IdePci *) device)->masters[offset >> 3 & 1];
  unsigned shift = (offset & 3) * 8;
  uint8_t changed;

  switch (offset & 7)
    {
    case BM_COMMAND:
      changed = self->command ^ (uint8_t) value;
      self->command = value & (COMMAND_START | COMMAND_TO_MEMORY);
      if (!(changed & COMMAND_START))
        break;
      self->status &= (uint8_t) ~STATUS_ACTIVE;
      if (!(self->command & COMMAND_START))
        break;
      self->status |= STATUS_ACTIVE;
      self->next = self->table;
      self->left = 0;
      self->last = false;
      ide_channel_dma_ready (self->channel);
      break;
    case BM_STATUS:
      /* Error and interrupt are cleared by ones; the capable bits are the firmware's notes. */
      self->status &= (uint8_t) ~(value & (STATUS_ERROR | STATUS_INTERRUPT));
      self->status = (uint8_t) ((self->status & ~STATUS_CAPABLE) | (value & STATUS_CAPABLE));
      break;
    case BM_TABLE: case BM_TABLE + 1: case BM_TABLE + 2: case BM_TABLE + 3:
      self->table = (self->table & ~(0xffu << shift)) | (uint32_t) (value & 0xff) << shift;
      self->table &= ~3u;
      break;
    default:
      break;
    }
}

static const BusRegion master_region = { "ide-bus-master", BUS_SIZE_1, master_read, master_write };

/* ---------------------------------------------------------------- configuration space */

static void
update_decode (IdePci *self)
{
  const uint8_t *config = self->pci[0].config;

  for (unsigned i = 0; i < 2; i++)
    ide_channel_set_decode (self->masters[i].channel,
                            (config[PCI_COMMAND] & PCI_COMMAND_IO) && (config[IDETIM + 1 + i * 2] & IDETIM_DECODE_HIGH));
}

static void
config_written (Device *device, unsigned offset, unsigned n_bytes, const uint8_t *old_bytes)
{
  IdePci *self = (IdePci *) device;
  bool was_master = offset <= PCI_COMMAND && offset + n_bytes > PCI_COMMAND
                    && (old_bytes[PCI_COMMAND - offset] & PCI_COMMAND_MASTER);

  update_decode (self);
  /* A transfer that was held up by the master bit goes on. */
  if (!was_master && pci_function_is_master (self->pci))
    for (unsigned i = 0; i < 2; i++)
      if (self->masters[i].status & STATUS_ACTIVE)
        ide_channel_dma_ready (self->masters[i].channel);
}

/* ---------------------------------------------------------------- state */

static const StateField master_fields[] = {
  STATE_FIELD (Master, command, STATE_UINT, 1),
  STATE_FIELD (Master, status, STATE_UINT, 1),
  STATE_FIELD (Master, table, STATE_UINT, 1),
  STATE_FIELD (Master, next, STATE_UINT, 1),
  STATE_FIELD (Master, address, STATE_UINT, 1),
  STATE_FIELD (Master, left, STATE_UINT, 1),
  STATE_FIELD (Master, last, STATE_UINT, 1),
  STATE_END,
};
static const StateTable master_state = { "ide-bus-master", 1, master_fields, NULL };

static const StateField ide_pci_fields[] = {
  STATE_NESTED (IdePci, pci, &pci_function_state, 1),
  STATE_NESTED (IdePci, masters, &master_state, 1),
  STATE_END,
};

static int
ide_pci_check (Device *device)
{
  IdePci *self = (IdePci *) device;

  for (unsigned i = 0; i < 2; i++)
    {
      const Master *master = &self->masters[i];

      if (master->left > 65536 || *(const uint8_t *) &master->last > 1 || (master->command & ~(COMMAND_START | COMMAND_TO_MEMORY))
          || (master->status & ~(STATUS_ACTIVE | STATUS_ERROR | STATUS_INTERRUPT | STATUS_CAPABLE)) || (master->table & 3))
        return -EBADMSG;
    }
  /* What the guest cannot write, a state file cannot either.  The header type is the bus's: others share the slot. */
  for (unsigned i = 0; i < sizeof self->constants; i++)
    if (i != PCI_HEADER_TYPE && ((self->pci[0].config[i] ^ self->constants[i]) & ~self->pci[0].writable[i]))
      return -EBADMSG;
  update_decode (self);
  return pci_function_restored (self->pci);
}

static const StateTable ide_pci_state = { "ide-pci", 1, ide_pci_fields, ide_pci_check };

static void
ide_pci_reset (Device *device)
{
  IdePci *self = (IdePci *) device;

  for (unsigned i = 0; i < sizeof self->constants; i++)
    if (i != PCI_HEADER_TYPE && i != PCI_COMMAND && i != PCI_COMMAND + 1)
      self->pci[0].config[i] = self->constants[i];
  pci_function_reset (self->pci);
  for (unsigned i = 0; i < 2; i++)
    {
      Master *master = &self->masters[i];

      master->command = master->status = 0;
      master->table = master->next = master->address = master->left = 0;
      master->last = false;
    }
  update_decode (self);
}

static void
ide_pci_finish (Device *device)
{
  free (device);
}

static const DeviceClass ide_pci_class = { "ide-pci", sizeof (IdePci), &ide_pci_state, ide_pci_reset, ide_pci_finish };

int
ide_pci_new (const DeviceHost *host, PciBus *bus, uint8_t devfn, IdeChannel *primary, IdeChannel *secondary, IdePci **ret)
{
  IdePci *self = calloc (1, sizeof *self);
  PciFunction *pci;
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &ide_pci_class;
  self->memory = host->memory;
  pci = self->pci;
  /* Programming interface 80h: both channels at their legacy addresses for good, bus mastering. */
  pci_function_setup (pci, &self->parent, "piix3-ide", 0x8086, 0x7010, 0x010180, 0, 0);
  pci->config[PCI_STATUS] = 0x80;
  pci->config[PCI_STATUS + 1] = 0x02;
  pci->writable[0x0d] = 0xf0;                   /* master latency timer */
  for (unsigned i = 0; i < 2; i++)
    {
      pci->writable[IDETIM + i * 2] = 0xff;
      pci->writable[IDETIM + i * 2 + 1] = 0xf3;
    }
  pci->writable[SIDETIM] = 0xff;
  pci->bars[4] = (PciBar) { PCI_BAR_IO, 16, &master_region };
  pci->config_written = config_written;
  self->masters[0].channel = primary;
  self->masters[1].channel = secondary;
  result = pci_bus_add (bus, devfn, pci);
  if (result < 0)
    {
      free (self);
      return result;
    }
  memcpy (self->constants, pci->config, sizeof self->constants);
  for (unsigned i = 0; i < 2; i++)
    {
      IdeBusMaster master = { master_transfer, master_interrupt, &self->masters[i] };

      self->masters[i].controller = self;
      ide_channel_set_bus_master (self->masters[i].channel, &master);
    }
  ide_pci_reset (&self->parent);
  *ret = self;
  return 0;
}

Device *
ide_pci_device (IdePci *self)
{
  return &self->parent;
}
