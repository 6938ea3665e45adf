/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A bus, memory, a clock moved by hand, a PCI bus and a display adapter with a surface to draw on. */
#pragma once

#include "bus.h"
#include "pci-bus.h"
#include "pci.h"
#include "physical-memory.h"
#include "vga.h"
#include "virtual-clock.h"

#include <glib.h>
#include <string.h>

enum { DISPLAY_HOST_RAM = 2 << 20, DISPLAY_HOST_DEVFN = 2 << 3 };

typedef struct
{
  DeviceHost     host;
  PciBus        *pci;
  Vga           *vga;
  DisplaySurface surface;
} DisplayHost;

static inline void
out (DisplayHost *self, uint16_t port, uint8_t value)
{
  bus_write_port (self->host.bus, port, 1, value);
}

static inline uint8_t
in (DisplayHost *self, uint16_t port)
{
  return (uint8_t) bus_read_port (self->host.bus, port, 1);
}

/* An index register and its data register. */
static inline void
out_indexed (DisplayHost *self, uint16_t port, uint8_t index, uint8_t value)
{
  bus_write_port (self->host.bus, port, 2, index | (uint32_t) value << 8);
}

static inline uint8_t
in_indexed (DisplayHost *self, uint16_t port, uint8_t index)
{
  out (self, port, index);
  return in (self, (uint16_t) (port + 1));
}

static inline void
out_attribute (DisplayHost *self, uint8_t index, uint8_t value)
{
  in (self, 0x3da);
  out (self, 0x3c0, index);
  out (self, 0x3c0, value);
}

/* As the processor would: through the map, else to the bus. */
static inline uint8_t
peek (DisplayHost *self, uint32_t address)
{
  uint32_t page = self->host.memory->map[address / 4096].read;

  return page == GUEST_PAGE_NONE ? (uint8_t) bus_read_memory (self->host.bus, address, 1)
                                 : guest_memory_backing (self->host.memory, page)[address % 4096];
}

static inline void
poke (DisplayHost *self, uint32_t address, uint8_t value)
{
  uint32_t page = self->host.memory->map[address / 4096].write;

  if (page == GUEST_PAGE_NONE)
    bus_write_memory (self->host.bus, address, 1, value);
  else
    guest_memory_write (self->host.memory, address, &value, 1);
}

static inline void
vbe_out (DisplayHost *self, uint16_t index, uint16_t value)
{
  bus_write_port (self->host.bus, 0x1ce, 2, index);
  bus_write_port (self->host.bus, 0x1cf, 2, value);
}

static inline uint16_t
vbe_in (DisplayHost *self, uint16_t index)
{
  bus_write_port (self->host.bus, 0x1ce, 2, index);
  return (uint16_t) bus_read_port (self->host.bus, 0x1d0, 2);
}

static inline void
pci_out (DisplayHost *self, uint8_t offset, unsigned size, uint32_t value)
{
  bus_write_port (self->host.bus, 0xcf8, 4, 0x80000000 | DISPLAY_HOST_DEVFN << 8 | (offset & ~3u));
  bus_write_port (self->host.bus, (uint16_t) (0xcfc + (offset & 3)), size, value);
}

static inline uint32_t
pci_in (DisplayHost *self, uint8_t offset, unsigned size)
{
  bus_write_port (self->host.bus, 0xcf8, 4, 0x80000000 | DISPLAY_HOST_DEVFN << 8 | (offset & ~3u));
  return bus_read_port (self->host.bus, (uint16_t) (0xcfc + (offset & 3)), size);
}

static inline uint32_t
pixel (DisplayHost *self, uint32_t x, uint32_t y)
{
  return ((uint32_t *) (void *) self->surface.pixels)[y * self->surface.header->width + x];
}

static inline void
display_host_init (DisplayHost *self, bool with_pci)
{
  static const IrqLine none[4];
  uint8_t rom[1000];

  memset (self, 0, sizeof *self);
  for (unsigned i = 0; i < sizeof rom; i++)
    rom[i] = (uint8_t) (i * 7);
  rom[0] = 0x55;
  rom[1] = 0xaa;
  self->host.bus = bus_new ();
  self->host.memory = guest_memory_new (DISPLAY_HOST_RAM, VGA_BACKING_BYTES, -1, self->host.bus);
  self->host.clock = clock_new (CLOCK_MANUAL, NULL);
  clock_start (self->host.clock);
  if (with_pci)
    g_assert_cmpint (pci_bus_new (&self->host, none, NULL, NULL, &self->pci), ==, 0);
  g_assert_cmpint (vga_new (&self->host, self->pci, DISPLAY_HOST_DEVFN, rom, sizeof rom, &self->vga), ==, 0);
  self->surface.n_bytes = DISPLAY_FILE_BYTES;
  self->surface.header = g_malloc0 (DISPLAY_FILE_BYTES);
  self->surface.pixels = (uint8_t *) self->surface.header + DISPLAY_PIXELS_OFFSET;
}

static inline void
display_host_clear (DisplayHost *self)
{
  vga_class.finish ((Device *) self->vga);
  if (self->pci)
    pci_bus_device (self->pci)->klass->finish (pci_bus_device (self->pci));
  clock_free (self->host.clock);
  guest_memory_free (self->host.memory);
  bus_free (self->host.bus);
  g_free (self->surface.header);
}

/* What the BIOS writes for a mode: miscellaneous output, sequencer 1-4, CRTC 0-18h, attribute 10h-14h, graphics 0-8. */
typedef struct
{
  uint8_t misc, seq[4], crtc[25], ac[5], gc[9];
} ModeTable;

static inline void
set_mode (DisplayHost *self, const ModeTable *mode)
{
  out (self, 0x3c2, mode->misc);
  out_indexed (self, 0x3c4, 0, 3);
  for (unsigned i = 0; i < 4; i++)
    out_indexed (self, 0x3c4, (uint8_t) (i + 1), mode->seq[i]);
  out_indexed (self, 0x3d4, 0x11, 0);
  for (unsigned i = 0; i < 25; i++)
    out_indexed (self, 0x3d4, (uint8_t) i, mode->crtc[i]);
  for (unsigned i = 0; i < 9; i++)
    out_indexed (self, 0x3ce, (uint8_t) i, mode->gc[i]);
  for (unsigned i = 0; i < 16; i++)
    out_attribute (self, (uint8_t) i, (uint8_t) i);
  for (unsigned i = 0; i < 5; i++)
    out_attribute (self, (uint8_t) (16 + i), mode->ac[i]);
  in (self, 0x3da);
  out (self, 0x3c0, 0x20);
  out (self, 0x3c6, 0xff);
  out (self, 0x3c8, 0);
  for (unsigned i = 0; i < 256; i++)
    {
      /* All different, and what they are is easy to say: see colour_of. */
      out (self, 0x3c9, (uint8_t) (i & 0x3f));
      out (self, 0x3c9, (uint8_t) (i >> 2 & 0x3f));
      out (self, 0x3c9, (uint8_t) (i >> 6));
    }
}

static inline uint32_t
widen (uint32_t six_bits)
{
  return six_bits << 2 | six_bits >> 4;
}

static inline uint32_t
colour_of (unsigned index)
{
  return 0xff000000 | widen (index & 0x3f) << 16 | widen (index >> 2 & 0x3f) << 8 | widen (index >> 6);
}

static const ModeTable mode_03 = {
  0x67, { 0x00, 0x03, 0x00, 0x02 },
  { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
  { 0x0c, 0x00, 0x0f, 0x08, 0x00 }, { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff },
};
static const ModeTable mode_04 = {
  0x63, { 0x09, 0x03, 0x00, 0x02 },
  { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff },
  { 0x01, 0x00, 0x03, 0x00, 0x00 }, { 0, 0, 0, 0, 0, 0x30, 0x0f, 0x0f, 0xff },
};
static const ModeTable mode_06 = {
  0x63, { 0x01, 0x01, 0x00, 0x06 },
  { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x00, 0x96, 0xb9, 0xc2, 0xff },
  { 0x01, 0x00, 0x01, 0x00, 0x00 }, { 0, 0, 0, 0, 0, 0x00, 0x0d, 0x0f, 0xff },
};
static const ModeTable mode_0d = {
  0x63, { 0x09, 0x0f, 0x00, 0x06 },
  { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc0, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xe3, 0xff },
  { 0x01, 0x00, 0x0f, 0x00, 0x00 }, { 0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff },
};
static const ModeTable mode_12 = {
  0xe3, { 0x01, 0x0f, 0x00, 0x06 },
  { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0, 0, 0, 0, 0, 0, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff },
  { 0x01, 0x00, 0x0f, 0x00, 0x00 }, { 0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff },
};
static const ModeTable mode_13 = {
  0x63, { 0x01, 0x0f, 0x00, 0x0e },
  { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff },
  { 0x41, 0x00, 0x0f, 0x00, 0x00 }, { 0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff },
};
