/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The display adapter as a device: construction, reset, saved state, its PCI function.  See vga.h and vga-private.h. */
#include "vga-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BAR_FRAME_BUFFER = 0, BAR_REGISTERS = 2, BAR_ROM = 6, REGISTERS_BYTES = 4096 };

/* Below the local and I/O APIC and the firmware: a BAR that is being sized lands there for a moment. */
#define LAST_PCI_ADDRESS 0xfec00000ull

static uint32_t
bar_bytes (const Vga *self, unsigned bar)
{
  return self->pci[0].bars[bar].n_bytes;
}

static void
show_bar (Vga *self, unsigned bar, bool mapped)
{
  uint32_t address = self->bar_address[bar];

  if (bar == BAR_FRAME_BUFFER)
    guest_memory_map (self->memory, address, VGA_VIDEO_RAM_BYTES, mapped ? self->vram_page : GUEST_PAGE_NONE,
                      mapped ? self->vram_page : GUEST_PAGE_NONE);
  else if (bar == BAR_ROM)
    guest_memory_map (self->memory, address, self->rom_bytes, mapped ? self->rom_page : GUEST_PAGE_NONE, GUEST_PAGE_NONE);
}

/* The guest may put a BAR anywhere; over RAM or the firmware the chipset would answer first, so there it stays out. */
static void
bar_mapped (Device *device, unsigned bar, bool mapped, uint32_t address)
{
  Vga *self = (Vga *) device;

  if (bar != BAR_FRAME_BUFFER && bar != BAR_ROM)
    return;
  if (self->bar_mapped[bar])
    show_bar (self, bar, false);
  self->bar_mapped[bar] = mapped && address % 4096 == 0 && address >= 1 << 20 && address >= guest_memory_ram_bytes (self->memory)
                          && (uint64_t) address + bar_bytes (self, bar) <= LAST_PCI_ADDRESS;
  self->bar_address[bar] = address;
  if (self->bar_mapped[bar])
    show_bar (self, bar, true);
}

static void
reset_registers (Vga *self)
{
  self->misc = self->feature = 0;
  self->seq_index = self->gc_index = self->crtc_index = self->ac_index = self->ac_data_next = 0;
  memset (self->seq, 0, sizeof self->seq);
  memset (self->gc, 0, sizeof self->gc);
  memset (self->crtc, 0, sizeof self->crtc);
  memset (self->ac, 0, sizeof self->ac);
  self->dac_mask = 0xff;
  self->dac_state = self->dac_read_index = self->dac_write_index = self->dac_component = 0;
  memset (self->dac_latch, 0, sizeof self->dac_latch);
  memset (self->palette, 0, sizeof self->palette);
  self->latch = 0;
  self->retrace_cleared_ns = 0;
  self->vbe_index = 0;
  memset (self->vbe, 0, sizeof self->vbe);
  self->vbe[VBE_ID] = VBE_LAST_ID;
  self->vbe[VBE_BPP] = 8;
  self->vbe[VBE_MEMORY_64K] = VGA_VIDEO_RAM_BYTES / 0x10000;
  self->vbe_bank_read = self->vbe_bank_write = 0;
}

static void
vga_reset (Device *device)
{
  Vga *self = (Vga *) device;

  /* Video RAM keeps what it holds, as on the chip: the firmware clears what it shows. */
  reset_registers (self);
  if (self->has_pci)
    pci_function_reset (self->pci);
  vga_update_mapping (self);
  vga_invalidate (self);
}

static void
vga_finish (Device *device)
{
  free (device);
}

static int
vga_check (Device *device)
{
  Vga *self = (Vga *) device;

  if (self->seq_index > 7 || self->gc_index > 15 || self->crtc_index > 0x3f || self->ac_index > 0x3f || self->ac_data_next > 1
      || self->dac_component > 2 || (self->dac_state != 0 && self->dac_state != 3) || !vbe_state_ok (self))
    return -EBADMSG;
  /* Registers whose values index tables: no more bits than the guest could have set. */
  if (self->gc[GC_SET_RESET] > 15 || self->gc[GC_ENABLE_SET_RESET] > 15 || self->gc[GC_COLOUR_COMPARE] > 15
      || self->gc[GC_COLOUR_CARE] > 15 || self->gc[GC_READ_MAP] > 3 || self->seq[SEQ_MAP_MASK] > 15)
    return -EBADMSG;
  for (unsigned i = 0; i < 16; i++)
    if (self->ac[i] > 0x3f)
      return -EBADMSG;
  if (self->has_pci && pci_function_restored (self->pci) < 0)
    return -EBADMSG;
  guest_memory_touched (self->memory, self->vram_page, VGA_N_PAGES);
  vga_update_mapping (self);
  vga_invalidate (self);
  return 0;
}

/* Video RAM is guest memory: whoever saves the machine saves it with the rest of that. */
static const StateField vga_fields[] = {
  STATE_FIELD (Vga, misc, STATE_UINT, 1),
  STATE_FIELD (Vga, feature, STATE_UINT, 1),
  STATE_FIELD (Vga, seq_index, STATE_UINT, 1),
  STATE_FIELD (Vga, gc_index, STATE_UINT, 1),
  STATE_FIELD (Vga, crtc_index, STATE_UINT, 1),
  STATE_FIELD (Vga, ac_index, STATE_UINT, 1),
  STATE_FIELD (Vga, ac_data_next, STATE_UINT, 1),
  STATE_FIELD (Vga, seq, STATE_BYTES, 1),
  STATE_FIELD (Vga, gc, STATE_BYTES, 1),
  STATE_FIELD (Vga, crtc, STATE_BYTES, 1),
  STATE_FIELD (Vga, ac, STATE_BYTES, 1),
  STATE_FIELD (Vga, dac_mask, STATE_UINT, 1),
  STATE_FIELD (Vga, dac_state, STATE_UINT, 1),
  STATE_FIELD (Vga, dac_read_index, STATE_UINT, 1),
  STATE_FIELD (Vga, dac_write_index, STATE_UINT, 1),
  STATE_FIELD (Vga, dac_component, STATE_UINT, 1),
  STATE_FIELD (Vga, dac_latch, STATE_BYTES, 1),
  STATE_FIELD (Vga, palette, STATE_BYTES, 1),
  STATE_FIELD (Vga, latch, STATE_UINT, 1),
  STATE_FIELD (Vga, retrace_cleared_ns, STATE_UINT, 1),
  STATE_FIELD (Vga, vbe_index, STATE_UINT, 1),
  STATE_FIELD (Vga, vbe, STATE_BYTES, 1),
  STATE_FIELD (Vga, vbe_bank_read, STATE_UINT, 1),
  STATE_FIELD (Vga, vbe_bank_write, STATE_UINT, 1),
  STATE_NESTED (Vga, pci, &pci_function_state, 1),
  STATE_END,
};

static const StateTable vga_state = { "vga", 1, vga_fields, vga_check };

const DeviceClass vga_class = { "vga", sizeof (Vga), &vga_state, vga_reset, vga_finish };

static uint32_t
rom_bar_bytes (size_t n_rom_bytes)
{
  uint32_t n_bytes = 4096;

  while (n_bytes < n_rom_bytes)
    n_bytes *= 2;
  return n_bytes;
}

static int
claim_legacy (Vga *self)
{
  Device *device = &self->parent;
  int result;

  if ((result = bus_claim_ports (self->bus, device, &vga_attribute_region, 0x3c0, 16)) < 0
      || (result = bus_claim_ports (self->bus, device, &vga_mono_region, 0x3b4, 2)) < 0
      || (result = bus_claim_ports (self->bus, device, &vga_mono_status_region, 0x3ba, 1)) < 0
      || (result = bus_claim_ports (self->bus, device, &vga_colour_region, 0x3d4, 2)) < 0
      || (result = bus_claim_ports (self->bus, device, &vga_colour_status_region, 0x3da, 1)) < 0
      || (result = bus_claim_ports (self->bus, device, &vbe_port_region, 0x1ce, 4)) < 0
      || (result = bus_claim_memory (self->bus, device, &vga_memory_region, VGA_WINDOW, VGA_WINDOW_BYTES)) < 0)
    return result;
  return 0;
}

static void
release_legacy (Vga *self)
{
  const BusRegion *regions[] = { &vga_attribute_region, &vga_mono_region, &vga_mono_status_region, &vga_colour_region,
                                 &vga_colour_status_region, &vbe_port_region, &vga_memory_region };

  for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++)
    bus_release (self->bus, &self->parent, regions[i]);
}

static int
add_pci_function (Vga *self, PciBus *bus, uint8_t devfn, const uint8_t *rom, size_t n_rom_bytes)
{
  PciFunction *pci = self->pci;
  int result;

  pci_function_setup (pci, &self->parent, "vga", 0x1234, 0x1111, 0x030000, 2, 0);
  pci->bars[BAR_FRAME_BUFFER] = (PciBar) { PCI_BAR_MEMORY_PREFETCH, VGA_VIDEO_RAM_BYTES, NULL };
  pci->bars[BAR_REGISTERS] = (PciBar) { PCI_BAR_MEMORY, REGISTERS_BYTES, &vga_mmio_region };
  pci->bar_mapped = bar_mapped;
  if (n_rom_bytes)
    {
      self->rom_bytes = rom_bar_bytes (n_rom_bytes);
      result = guest_memory_allocate (self->memory, "vga-rom", self->rom_bytes, &self->rom_page);
      if (result < 0)
        return result;
      memcpy (guest_memory_backing (self->memory, self->rom_page), rom, n_rom_bytes);
      pci->bars[BAR_ROM] = (PciBar) { PCI_BAR_MEMORY, self->rom_bytes, NULL };
    }
  result = pci_bus_add (bus, devfn, pci);
  self->has_pci = result == 0;
  return result;
}

int
vga_new (const DeviceHost *host, PciBus *bus, uint8_t devfn, const uint8_t *rom, size_t n_rom_bytes, Vga **ret_vga)
{
  Vga *self;
  int result;

  if (n_rom_bytes > VGA_MAX_ROM_BYTES)
    return -EINVAL;
  self = calloc (1, sizeof *self);
  if (!self)
    return -ENOMEM;
  self->parent.klass = &vga_class;
  self->bus = host->bus;
  self->memory = host->memory;
  self->clock = host->clock;
  self->mapped_read = self->mapped_write = GUEST_PAGE_NONE;
  result = guest_memory_allocate (self->memory, "video-ram", VGA_VIDEO_RAM_BYTES, &self->vram_page);
  if (result < 0)
    goto failed;
  self->vram = guest_memory_backing (self->memory, self->vram_page);
  result = claim_legacy (self);
  if (result < 0)
    goto failed;
  if (bus && (result = add_pci_function (self, bus, devfn, rom, n_rom_bytes)) < 0)
    goto failed;
  /* RAM was mapped from 0; the window belongs to the display. */
  guest_memory_map (self->memory, VGA_WINDOW, VGA_WINDOW_BYTES, GUEST_PAGE_NONE, GUEST_PAGE_NONE);
  for (unsigned i = 0; i < 256; i++)
    for (unsigned bit = 0; bit < 8; bit++)
      self->spread[i] |= (i >> (7 - bit) & 1u) << bit * 4;
  reset_registers (self);
  vga_invalidate (self);
  *ret_vga = self;
  return 0;

failed:
  release_legacy (self);
  vga_finish (&self->parent);
  return result;
}
