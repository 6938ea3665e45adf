/* SPDX-License-Identifier: GPL-3.0-or-later */
/* 82441FX PMC (Intel 290549): PAM registers 59h … 5Fh (3.2.18) and SMRAM control 72h (3.2.22). */
#include "i440fx.h"

#include "guest-memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  PAM0 = 0x59, SMRAM = 0x72,
  PAM_READ = 1, PAM_WRITE = 2,
  SMRAM_OPEN = 1 << 6, SMRAM_CLOSED = 1 << 5, SMRAM_LOCK = 1 << 4, SMRAM_ENABLE = 1 << 3, SMRAM_BASE_SEGMENT = 2,
  SMRAM_PAGE = 0xa0, N_SMRAM_PAGES = 0x20, ROM_PAGE = 0xe0,
};

struct I440fx
{
  Device      parent;
  DeviceHost  host;
  PciFunction pci[1];
  uint32_t    rom_first_page;
  uint8_t     in_smm;
  bool        smram_visible;
  uint64_t    ram_bytes;
};

static void
map_segment (I440fx *self, uint32_t address, uint32_t n_bytes, unsigned attributes)
{
  uint32_t ram = address / GUEST_PAGE_SIZE;
  uint32_t rom = ram >= ROM_PAGE ? self->rom_first_page + (ram - ROM_PAGE) : GUEST_PAGE_NONE;

  if (address + n_bytes > self->ram_bytes)
    {
      guest_memory_map (self->host.memory, address, n_bytes, rom, GUEST_PAGE_NONE);
      return;
    }
  guest_memory_map (self->host.memory, address, n_bytes, attributes & PAM_READ ? ram : rom,
                    attributes & PAM_WRITE ? ram : GUEST_PAGE_NONE);
}

static void
update_pam (I440fx *self)
{
  const uint8_t *pam = self->pci[0].config + PAM0;

  /* PAM0's high nibble is F0000h; PAM1 … PAM6 hold two 16 KiB segments each, from C0000h. */
  map_segment (self, 0xf0000, 0x10000, pam[0] >> 4);
  for (unsigned i = 0; i < 12; i++)
    map_segment (self, 0xc0000 + i * 0x4000, 0x4000, pam[1 + i / 2] >> (i & 1 ? 4 : 0));
}

/* While SMRAM shows, A0000h … BFFFFh is DRAM; else whatever the display mapped there. guest_memory_overlay keeps both. */
static void
update_smram (I440fx *self)
{
  uint8_t control = self->pci[0].config[SMRAM];
  bool visible = (control & SMRAM_ENABLE) && (control & SMRAM_OPEN || (self->in_smm && !(control & SMRAM_CLOSED)));

  if (visible == self->smram_visible)
    return;
  self->smram_visible = visible;
  guest_memory_overlay (self->host.memory, SMRAM_PAGE * GUEST_PAGE_SIZE, N_SMRAM_PAGES * GUEST_PAGE_SIZE,
                        visible ? SMRAM_PAGE : GUEST_PAGE_NONE);
}

static void
config_written (Device *device, unsigned offset, unsigned n_bytes, const uint8_t *old_bytes)
{
  I440fx *self = (I440fx *) device;

  if (offset <= PAM0 + 6 && offset + n_bytes > PAM0)
    update_pam (self);
  if (offset <= SMRAM && offset + n_bytes > SMRAM)
    {
      uint8_t *control = &self->pci[0].config[SMRAM];
      uint8_t old = old_bytes[SMRAM - offset];

      /* Once locked, only D_CLS can change until reset, and D_OPEN stays 0. */
      if (old & SMRAM_LOCK)
        *control = (uint8_t) ((old & ~SMRAM_CLOSED) | (*control & SMRAM_CLOSED));
      else if (*control & SMRAM_LOCK)
        *control &= (uint8_t) ~SMRAM_OPEN;
      update_smram (self);
    }
}

void
i440fx_smm_changed (void *i440fx, bool in_smm)
{
  I440fx *self = i440fx;

  self->in_smm = in_smm;
  update_smram (self);
}

static void
i440fx_reset (Device *device)
{
  I440fx *self = (I440fx *) device;

  pci_function_reset (&self->pci[0]);
  memset (self->pci[0].config + PAM0, 0, 7);
  self->pci[0].config[SMRAM] = SMRAM_BASE_SEGMENT;
  self->in_smm = false;
  update_pam (self);
  update_smram (self);
}

static void
i440fx_finish (Device *device)
{
  free (device);
}

static int
i440fx_check (Device *device)
{
  I440fx *self = (I440fx *) device;

  if (self->in_smm > 1)
    return -EBADMSG;
  update_pam (self);
  update_smram (self);
  return pci_function_restored (&self->pci[0]);
}

static const StateField i440fx_fields[] = {
  STATE_NESTED (I440fx, pci, &pci_function_state, 1),
  STATE_FIELD (I440fx, in_smm, STATE_UINT, 1),
  STATE_END,
};
static const StateTable i440fx_state = { "i440fx", 1, i440fx_fields, i440fx_check };
static const DeviceClass i440fx_class = { "i440fx", sizeof (I440fx), &i440fx_state, i440fx_reset, i440fx_finish };

int
i440fx_new (const DeviceHost *host, PciBus *bus, uint32_t rom_first_page, I440fx **ret)
{
  I440fx *self = calloc (1, sizeof *self);
  PciFunction *pci;
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &i440fx_class;
  self->host = *host;
  self->rom_first_page = rom_first_page;
  self->ram_bytes = guest_memory_ram_bytes (host->memory);
  pci = &self->pci[0];
  pci_function_setup (pci, &self->parent, "i440fx", 0x8086, 0x1237, 0x060000, 2, 0);
  /* Subsystem ids by which SeaBIOS knows a virtual board. */
  pci->config[PCI_SUBSYSTEM_VENDOR] = 0xf4;
  pci->config[PCI_SUBSYSTEM_VENDOR + 1] = 0x1a;
  pci->config[PCI_SUBSYSTEM + 1] = 0x11;
  memset (pci->writable + 0x50, 0xff, 0x20);            /* PMCCFG … DRB: kept, without effect on a board without DIMMs */
  pci->writable[PAM0] = 0x30;
  memset (pci->writable + PAM0 + 1, 0x33, 6);
  pci->writable[SMRAM] = SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE;
  pci->config_written = config_written;
  result = pci_bus_add (bus, 0, pci);
  if (result < 0)
    {
      free (self);
      return result;
    }
  /* The bridge always decodes memory and masters the bus. */
  pci->writable[PCI_COMMAND] = 0;
  *ret = self;
  return 0;
}

Device *
i440fx_device (I440fx *self)
{
  return &self->parent;
}
