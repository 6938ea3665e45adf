/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A function in a PCI slot, for devices that sit there.  devices/pci/pci-bus.c implements it; tests may link it too.
 *
 * A device embeds a PciFunction, fills in the constants, and adds it to the bus.  The bus owns config cycles: it keeps
 * `config`, applies `writable`, sizes BARs, and claims or releases their regions when the guest moves them or toggles
 * the command register. */
#pragma once

#include "bus.h"
#include "irq-line.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct PciBus PciBus;
typedef struct PciFunction PciFunction;

enum { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEMORY, PCI_BAR_MEMORY_PREFETCH, PCI_N_BARS = 7 /* 6 is the expansion ROM */ };

enum
{
  PCI_VENDOR_ID = 0x00, PCI_DEVICE_ID = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06, PCI_REVISION = 0x08, PCI_CLASS = 0x09 /* 3 bytes: interface, subclass, class */,
  PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10, PCI_SUBSYSTEM_VENDOR = 0x2c, PCI_SUBSYSTEM = 0x2e, PCI_ROM = 0x30,
  PCI_CAPABILITIES = 0x34, PCI_INTERRUPT_LINE = 0x3c, PCI_INTERRUPT_PIN = 0x3d,
  PCI_COMMAND_IO = 1, PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4,
};

typedef struct
{
  uint8_t          kind;        /* PCI_BAR_* */
  uint32_t         n_bytes;     /* power of two; I/O at least 4, memory at least 16 (4096 when backed by pages) */
  const BusRegion *region;      /* claimed for the owner while mapped; NULL: the owner maps pages itself in bar_mapped */
} PciBar;

struct PciFunction
{
  Device  *owner;
  const char *name;
  uint8_t  config[256];
  uint8_t  writable[256];       /* 1 bits the guest may change; the bus sets those of command, BARs, interrupt line */
  PciBar   bars[PCI_N_BARS];
  /* After the guest moved a BAR: where it is now.  mapped false: nowhere. May be NULL. */
  void   (*bar_mapped) (Device *owner, unsigned bar, bool mapped, uint32_t address);
  /* After a config write changed bytes at offset … offset + n - 1 (old values given). May be NULL. */
  void   (*config_written) (Device *owner, unsigned offset, unsigned n_bytes, const uint8_t *old_bytes);
  /* Filled in by pci_bus_add */
  PciBus  *bus;
  uint8_t  devfn;               /* device << 3 | function */
  bool     bar_claimed[PCI_N_BARS];
  uint32_t bar_address[PCI_N_BARS];
  bool     irq_level;
};

/* For the owner's state table: STATE_NESTED needs an array, so declare the member as `PciFunction pci[1]`.
 * check in the owner's table must call pci_function_restored. */
extern const StateTable pci_function_state;

/* Both ids, class code (0xCCSSPP), revision; interrupt pin 0 (none) … 4. */
void pci_function_setup (PciFunction *self, Device *owner, const char *name, uint16_t vendor, uint16_t device, uint32_t class_code,
                         uint8_t revision, uint8_t interrupt_pin);
/* -EEXIST: the slot is taken. */
int  pci_bus_add        (PciBus *bus, uint8_t devfn, PciFunction *function);
/* Power-on values of what the guest can change, BARs unmapped. */
void pci_function_reset (PciFunction *self);
/* After a restore: claims what config says. -EBADMSG if that cannot be. */
int  pci_function_restored (PciFunction *self);
/* The INTx wire of this function. */
void pci_function_set_irq (PciFunction *self, bool level);
static inline bool
pci_function_is_master (const PciFunction *self)
{
  return self->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}
