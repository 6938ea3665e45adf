/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PCI bus 0 behind the i440FX.
 *
 * CONFIG_ADDRESS (CF8h) answers doublewords only; narrower accesses to its four bytes pass through to whoever sits
 * there, which on this board is the PIIX3's reset control register at CF9h (82371SB data sheet, 3.2.1).
 * A BAR is a claim on the bus: it exists exactly while the command register and the address say so. */
#include "pci-bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc, HEADER_MULTI_FUNCTION = 0x80 };

#define CONFIG_ENABLE 0x80000000u

struct PciBus
{
  Device       parent;
  DeviceHost   host;
  PciFunction *functions[256];
  uint32_t     address;
  IrqLine      pirqs[4];
  uint8_t      pirq_count[4];           /* how many functions pull each wire */
  Device      *reset_control_owner;
  const BusRegion *reset_control;
};

/* --- functions ------------------------------------------------------------------------------------------------- */

static unsigned
bar_register (unsigned bar)
{
  return bar == 6 ? PCI_ROM : PCI_BAR0 + bar * 4;
}

static uint32_t
get32 (const uint8_t *at)
{
  uint32_t value;

  memcpy (&value, at, sizeof value);
  return value;
}

static void
put32 (uint8_t *at, uint32_t value)
{
  memcpy (at, &value, sizeof value);
}

static void
put16 (uint8_t *at, uint16_t value)
{
  memcpy (at, &value, sizeof value);
}

void
pci_function_setup (PciFunction *self, Device *owner, const char *name, uint16_t vendor, uint16_t device, uint32_t class_code,
                    uint8_t revision, uint8_t interrupt_pin)
{
  memset (self, 0, sizeof *self);
  self->owner = owner;
  self->name = name;
  put16 (self->config + PCI_VENDOR_ID, vendor);
  put16 (self->config + PCI_DEVICE_ID, device);
  self->config[PCI_REVISION] = revision;
  self->config[PCI_CLASS] = class_code & 0xff;
  self->config[PCI_CLASS + 1] = (class_code >> 8) & 0xff;
  self->config[PCI_CLASS + 2] = (class_code >> 16) & 0xff;
  self->config[PCI_INTERRUPT_PIN] = interrupt_pin;
}

/* Where a BAR answers now, or false: not enabled, or at an address where a guest parks BARs while it sizes them. */
static bool
bar_wanted (const PciFunction *self, unsigned bar, uint32_t *ret_address)
{
  const PciBar *description = &self->bars[bar];
  uint32_t value = get32 (self->config + bar_register (bar));
  uint8_t command = self->config[PCI_COMMAND];
  uint32_t address = value & ~(description->n_bytes - 1);

  if (description->kind == PCI_BAR_NONE)
    return false;
  *ret_address = address;
  if (description->kind == PCI_BAR_IO)
    return (command & PCI_COMMAND_IO) && address != 0 && address + description->n_bytes <= 0x10000;
  if (bar == 6 && !(value & 1))
    return false;
  return (command & PCI_COMMAND_MEMORY) && address != 0 && (uint64_t) address + description->n_bytes < 1ull << 32;
}

static void
update_bars (PciFunction *self)
{
  Bus *bus = self->bus->host.bus;

  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    {
      const PciBar *description = &self->bars[bar];
      uint32_t address = 0;
      bool wanted = bar_wanted (self, bar, &address);

      if (self->bar_claimed[bar] && wanted && address == self->bar_address[bar])
        continue;
      if (self->bar_claimed[bar])
        {
          if (description->region)
            bus_release (bus, self->owner, description->region);
          self->bar_claimed[bar] = false;
          if (self->bar_mapped)
            self->bar_mapped (self->owner, bar, false, self->bar_address[bar]);
        }
      if (!wanted)
        continue;
      /* Two BARs at one place: on a real bus both would answer; here the first one keeps it. */
      if (description->region
          && (description->kind == PCI_BAR_IO
                ? bus_claim_ports (bus, self->owner, description->region, (uint16_t) address, description->n_bytes)
                : bus_claim_memory (bus, self->owner, description->region, address, description->n_bytes)) < 0)
        continue;
      self->bar_claimed[bar] = true;
      self->bar_address[bar] = address;
      if (self->bar_mapped)
        self->bar_mapped (self->owner, bar, true, address);
    }
}

static void
apply_constants (PciFunction *self)
{
  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    {
      const PciBar *description = &self->bars[bar];
      uint32_t flags = description->kind == PCI_BAR_IO ? 1 : description->kind == PCI_BAR_MEMORY_PREFETCH ? 8 : 0;
      uint32_t mask = description->kind == PCI_BAR_NONE ? 0 : ~(description->n_bytes - 1);

      if (description->kind == PCI_BAR_NONE)
        continue;
      put32 (self->config + bar_register (bar), bar == 6 ? 0 : flags);
      put32 (self->writable + bar_register (bar), bar == 6 ? mask | 1 : mask);
    }
  self->writable[PCI_COMMAND] |= PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
  self->writable[PCI_COMMAND + 1] |= 1 << 0 | 1 << 2;    /* SERR# enable, interrupt disable */
  if (self->config[PCI_INTERRUPT_PIN])
    self->writable[PCI_INTERRUPT_LINE] = 0xff;
}

int
pci_bus_add (PciBus *bus, uint8_t devfn, PciFunction *function)
{
  unsigned n_in_slot = 0;

  if (bus->functions[devfn])
    return -EEXIST;
  bus->functions[devfn] = function;
  function->bus = bus;
  function->devfn = devfn;
  for (unsigned i = devfn & ~7u; i < (devfn & ~7u) + 8; i++)
    n_in_slot += bus->functions[i] != NULL;
  for (unsigned i = devfn & ~7u; n_in_slot > 1 && i < (devfn & ~7u) + 8; i++)
    if (bus->functions[i])
      bus->functions[i]->config[PCI_HEADER_TYPE] |= HEADER_MULTI_FUNCTION;
  apply_constants (function);
  return 0;
}

void
pci_function_reset (PciFunction *self)
{
  pci_function_set_irq (self, false);
  self->config[PCI_COMMAND] = 0;
  self->config[PCI_COMMAND + 1] = 0;
  self->config[PCI_INTERRUPT_LINE] = 0;
  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    if (self->bars[bar].kind != PCI_BAR_NONE)
      {
        uint8_t *at = self->config + bar_register (bar);

        put32 (at, get32 (at) & ~get32 (self->writable + bar_register (bar)));
      }
  if (self->bus)
    update_bars (self);
}

int
pci_function_restored (PciFunction *self)
{
  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    {
      const PciBar *description = &self->bars[bar];
      uint32_t fixed, flags;

      if (description->kind == PCI_BAR_NONE)
        continue;
      flags = description->kind == PCI_BAR_IO ? 1 : description->kind == PCI_BAR_MEMORY_PREFETCH ? 8 : 0;
      fixed = get32 (self->config + bar_register (bar)) & ~get32 (self->writable + bar_register (bar));
      if (fixed != (bar == 6 ? 0 : flags))
        return -EBADMSG;
    }
  update_bars (self);
  return 0;
}

void
pci_function_set_irq (PciFunction *self, bool level)
{
  unsigned pin = self->config[PCI_INTERRUPT_PIN], wire;
  PciBus *bus = self->bus;

  if (self->irq_level == level || !pin || !bus)
    return;
  self->irq_level = level;
  /* Slot 1's INTA is PIRQA, and each slot rotates by one. */
  wire = ((self->devfn >> 3) - 1u + pin - 1u) & 3;
  bus->pirq_count[wire] = (uint8_t) (bus->pirq_count[wire] + (level ? 1 : -1));
  irq_line_set (&bus->pirqs[wire], bus->pirq_count[wire] != 0);
}

static const StateField pci_function_fields[] = {
  STATE_FIELD (PciFunction, config, STATE_BYTES, 1),
  STATE_END,
};

const StateTable pci_function_state = { "pci-function", 1, pci_function_fields, NULL };

static void
config_write (PciFunction *self, unsigned offset, unsigned size, uint32_t value)
{
  uint8_t old_bytes[4];

  memcpy (old_bytes, self->config + offset, size);
  for (unsigned i = 0; i < size; i++)
    {
      uint8_t byte = (uint8_t) (value >> (i * 8)), mask = self->writable[offset + i];

      self->config[offset + i] = (uint8_t) ((self->config[offset + i] & ~mask) | (byte & mask));
    }
  update_bars (self);
  if (self->config_written)
    self->config_written (self->owner, offset, size, old_bytes);
}

/* --- mechanism 1 ----------------------------------------------------------------------------------------------- */

static uint64_t
address_read (Device *device, uint32_t offset, unsigned size)
{
  PciBus *self = (PciBus *) device;

  if (size == 4)
    return self->address;
  if (offset == 1 && self->reset_control)
    return self->reset_control->read (self->reset_control_owner, 0, 1);
  return 0xff;
}

static void
address_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  PciBus *self = (PciBus *) device;

  if (size == 4)
    self->address = (uint32_t) value & 0x80fffffc;
  else if (offset == 1 && self->reset_control)
    self->reset_control->write (self->reset_control_owner, 0, 1, value);
}

static PciFunction *
selected_function (PciBus *self)
{
  if (!(self->address & CONFIG_ENABLE) || (self->address >> 16 & 0xff) != 0)
    return NULL;
  return self->functions[self->address >> 8 & 0xff];
}

static uint64_t
data_read (Device *device, uint32_t offset, unsigned size)
{
  PciBus *self = (PciBus *) device;
  PciFunction *function = selected_function (self);
  uint32_t value = 0;

  if (!function)
    return UINT64_MAX;
  memcpy (&value, function->config + (self->address & 0xfc) + offset, size);
  return value;
}

static void
data_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  PciBus *self = (PciBus *) device;
  PciFunction *function = selected_function (self);

  if (function)
    config_write (function, (self->address & 0xfc) + offset, size, (uint32_t) value);
}

static const BusRegion address_region = { "pci-config-address", BUS_SIZE_1 | BUS_SIZE_4, address_read, address_write };
static const BusRegion data_region = { "pci-config-data", BUS_SIZE_1 | BUS_SIZE_2 | BUS_SIZE_4, data_read, data_write };

static void
pci_bus_reset (Device *device)
{
  ((PciBus *) device)->address = 0;
}

static void
pci_bus_finish (Device *device)
{
  free (device);
}

static const StateField pci_bus_fields[] = {
  STATE_FIELD (PciBus, address, STATE_UINT, 1),
  STATE_END,
};

static int
pci_bus_check (Device *device)
{
  PciBus *self = (PciBus *) device;

  return self->address & ~0x80fffffcu ? -EBADMSG : 0;
}

static const StateTable pci_bus_state = { "pci-bus", 1, pci_bus_fields, pci_bus_check };
static const DeviceClass pci_bus_class = { "pci-bus", sizeof (PciBus), &pci_bus_state, pci_bus_reset, pci_bus_finish };

int
pci_bus_new (const DeviceHost *host, const IrqLine pirqs[4], Device *reset_control_owner, const BusRegion *reset_control,
             PciBus **ret_bus)
{
  PciBus *self = calloc (1, sizeof *self);
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &pci_bus_class;
  self->host = *host;
  memcpy (self->pirqs, pirqs, sizeof self->pirqs);
  self->reset_control_owner = reset_control_owner;
  self->reset_control = reset_control;
  result = bus_claim_ports (host->bus, &self->parent, &address_region, CONFIG_ADDRESS, 4);
  if (result == 0)
    result = bus_claim_ports (host->bus, &self->parent, &data_region, CONFIG_DATA, 4);
  if (result < 0)
    {
      free (self);
      return result;
    }
  *ret_bus = self;
  return 0;
}

Device *
pci_bus_device (PciBus *self)
{
  return &self->parent;
}

void
pci_bus_each (PciBus *self, void (*call) (PciFunction *function, void *data), void *data)
{
  for (unsigned i = 0; i < 256; i++)
    if (self->functions[i])
      call (self->functions[i], data);
}
