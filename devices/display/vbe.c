/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bochs VBE: the DISPI registers at ports 1CEh (index) and 1CFh or 1D0h (data), and again in BAR 2.
 *
 * The first four registers are set while the extension is disabled and checked when it is enabled; a picture that does
 * not fit into video RAM cannot be enabled.  Every later register keeps the picture inside video RAM, so that neither
 * the CPU's window nor the renderer can leave it (the class of CVE-2016-3710 and CVE-2016-3712). */
#include "vga-private.h"

#include <string.h>

bool
vbe_is_enabled (const Vga *self)
{
  return self->vbe[VBE_ENABLE] & VBE_ENABLED;
}

static uint32_t
line_bytes (uint32_t width, unsigned bpp)
{
  return bpp == 4 ? width / 8 : width * ((bpp + 7) / 8);
}

/* Video RAM that lines are cut from: a plane of it when planar. */
static uint32_t
memory_bytes (unsigned bpp)
{
  return bpp == 4 ? VGA_VIDEO_RAM_BYTES / 4 : VGA_VIDEO_RAM_BYTES;
}

uint32_t
vbe_pitch (const Vga *self)
{
  return line_bytes (self->vbe[VBE_VIRT_WIDTH], self->vbe[VBE_BPP]);
}

static bool
mode_ok (const uint16_t *vbe)
{
  unsigned bpp = vbe[VBE_BPP];

  switch (bpp)
    {
    case 4:
      if (vbe[VBE_XRES] % 8)
        return false;
      break;
    case 8:
    case 15:
    case 16:
    case 24:
    case 32:
      break;
    default:
      return false;
    }
  return vbe[VBE_XRES] && vbe[VBE_XRES] <= DISPLAY_MAX_WIDTH && vbe[VBE_YRES] && vbe[VBE_YRES] <= DISPLAY_MAX_HEIGHT
         && (uint64_t) line_bytes (vbe[VBE_XRES], bpp) * vbe[VBE_YRES] <= memory_bytes (bpp);
}

/* How many lines of the virtual screen there are: what fits, as the register can say it. */
static uint16_t
virtual_height (uint32_t virtual_width, unsigned bpp)
{
  uint32_t lines = memory_bytes (bpp) / line_bytes (virtual_width, bpp);

  return (uint16_t) (lines > 0xffff ? 0xffff : lines);
}

static bool
view_ok (const uint16_t *vbe)
{
  return vbe[VBE_VIRT_WIDTH] >= vbe[VBE_XRES] && (vbe[VBE_BPP] != 4 || vbe[VBE_VIRT_WIDTH] % 8 == 0)
         && vbe[VBE_VIRT_HEIGHT] == virtual_height (vbe[VBE_VIRT_WIDTH], vbe[VBE_BPP])
         && vbe[VBE_VIRT_HEIGHT] >= vbe[VBE_YRES]
         && vbe[VBE_X_OFFSET] <= vbe[VBE_VIRT_WIDTH] - vbe[VBE_XRES]
         && vbe[VBE_Y_OFFSET] <= vbe[VBE_VIRT_HEIGHT] - vbe[VBE_YRES];
}

static bool
bank_ok (const uint16_t *vbe, unsigned bank)
{
  return bank < memory_bytes (vbe[VBE_BPP]) / 0x10000;
}

bool
vbe_state_ok (const Vga *self)
{
  const uint16_t *vbe = self->vbe;

  if (vbe[VBE_ID] < VBE_FIRST_ID || vbe[VBE_ID] > VBE_LAST_ID)
    return false;
  if (!vbe_is_enabled (self))
    return self->vbe_bank_read == 0 && self->vbe_bank_write == 0;
  return mode_ok (vbe) && view_ok (vbe) && bank_ok (vbe, self->vbe_bank_read) && bank_ok (vbe, self->vbe_bank_write);
}

static void
set_bank (Vga *self, uint16_t value)
{
  unsigned bank = value & 0x3fff;
  unsigned which = value & (VBE_BANK_READ | VBE_BANK_WRITE);

  if (!vbe_is_enabled (self) || !bank_ok (self->vbe, bank))
    return;
  self->vbe[VBE_BANK] = value;
  if (which != VBE_BANK_WRITE)
    self->vbe_bank_read = (uint16_t) bank;
  if (which != VBE_BANK_READ)
    self->vbe_bank_write = (uint16_t) bank;
  vga_update_mapping (self);
}

static void
set_enable (Vga *self, uint16_t value)
{
  uint16_t *vbe = self->vbe;
  bool was_enabled = vbe_is_enabled (self);
  bool was_8bit = vbe[VBE_ENABLE] & VBE_8BIT_DAC, is_8bit = value & VBE_8BIT_DAC;

  if (value & VBE_ENABLED && !was_enabled && !mode_ok (vbe))
    value &= (uint16_t) ~VBE_ENABLED;
  vbe[VBE_ENABLE] = value & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB_ENABLED | VBE_NOCLEARMEM);
  if (was_8bit != is_8bit)
    {
      /* The colours stay what they are when the width of the DAC changes. */
      for (unsigned i = 0; i < sizeof self->palette; i++)
        self->palette[i] = (uint8_t) (is_8bit ? self->palette[i] << 2 : self->palette[i] >> 2);
      self->palette_changed = true;
    }
  if (vbe_is_enabled (self) && !was_enabled)
    {
      vbe[VBE_VIRT_WIDTH] = vbe[VBE_XRES];
      vbe[VBE_VIRT_HEIGHT] = virtual_height (vbe[VBE_XRES], vbe[VBE_BPP]);
      vbe[VBE_X_OFFSET] = vbe[VBE_Y_OFFSET] = 0;
      if (!(value & VBE_NOCLEARMEM))
        {
          uint32_t n_bytes = line_bytes (vbe[VBE_XRES], vbe[VBE_BPP]) * vbe[VBE_YRES] * (vbe[VBE_BPP] == 4 ? 4 : 1);

          memset (self->vram, 0, n_bytes);
          guest_memory_touched (self->memory, self->vram_page, (n_bytes + 4095) / 4096);
        }
    }
  if (vbe_is_enabled (self) != was_enabled)
    {
      vbe[VBE_BANK] = self->vbe_bank_read = self->vbe_bank_write = 0;
      vga_update_mapping (self);
    }
}

uint16_t
vbe_read (Vga *self, uint16_t index)
{
  bool caps = self->vbe[VBE_ENABLE] & VBE_GETCAPS;

  switch (index)
    {
    case VBE_XRES:
      return caps ? DISPLAY_MAX_WIDTH : self->vbe[VBE_XRES];
    case VBE_YRES:
      return caps ? DISPLAY_MAX_HEIGHT : self->vbe[VBE_YRES];
    case VBE_BPP:
      return caps ? 32 : self->vbe[VBE_BPP];
    case VBE_MEMORY_64K:
      return VGA_VIDEO_RAM_BYTES / 0x10000;
    default:
      return index < VBE_N_REGISTERS ? self->vbe[index] : 0;
    }
}

void
vbe_write (Vga *self, uint16_t index, uint16_t value)
{
  uint16_t next[VBE_N_REGISTERS];
  bool enabled = vbe_is_enabled (self);

  memcpy (next, self->vbe, sizeof next);
  switch (index)
    {
    case VBE_ID:
      if (value >= VBE_FIRST_ID && value <= VBE_LAST_ID)
        self->vbe[VBE_ID] = value;
      break;
    case VBE_XRES:
      if (!enabled && value <= DISPLAY_MAX_WIDTH)
        self->vbe[VBE_XRES] = value;
      break;
    case VBE_YRES:
      if (!enabled && value <= DISPLAY_MAX_HEIGHT)
        self->vbe[VBE_YRES] = value;
      break;
    case VBE_BPP:
      /* Zero means eight, as in the first version of the interface. */
      if (!enabled)
        self->vbe[VBE_BPP] = value ? value : 8;
      break;
    case VBE_ENABLE:
      set_enable (self, value);
      break;
    case VBE_BANK:
      set_bank (self, value);
      break;
    case VBE_VIRT_WIDTH:
      if (!enabled || value < next[VBE_XRES] || (next[VBE_BPP] == 4 && value % 8))
        break;
      next[VBE_VIRT_WIDTH] = value;
      next[VBE_VIRT_HEIGHT] = virtual_height (value, next[VBE_BPP]);
      if (next[VBE_VIRT_HEIGHT] < next[VBE_YRES])
        break;
      if (!view_ok (next))
        next[VBE_X_OFFSET] = next[VBE_Y_OFFSET] = 0;
      memcpy (self->vbe, next, sizeof next);
      break;
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
      next[index] = value;
      if (enabled && view_ok (next))
        self->vbe[index] = value;
      break;
    default:
      break;                    /* VIRT_HEIGHT and VIDEO_MEMORY_64K are read only */
    }
}

static uint64_t
port_read (Device *device, uint32_t offset, unsigned size)
{
  Vga *self = (Vga *) device;

  return offset == 0 ? self->vbe_index : offset <= 2 ? vbe_read (self, self->vbe_index) : 0xffff;
}

static void
port_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Vga *self = (Vga *) device;

  if (offset == 0)
    self->vbe_index = (uint16_t) value;
  else if (offset <= 2)
    vbe_write (self, self->vbe_index, (uint16_t) value);
}

const BusRegion vbe_port_region = { "vbe", BUS_SIZE_2, port_read, port_write };

static uint64_t
mmio_read (Device *device, uint32_t offset, unsigned size)
{
  Vga *self = (Vga *) device;

  if (offset >= 0x400 && offset < 0x420)
    {
      uint16_t port = (uint16_t) (offset - 0x400 + 0x3c0);

      return size == 1 ? vga_read_register (self, port)
                       : (uint64_t) vga_read_register (self, port) | (uint64_t) vga_read_register (self, (uint16_t) (port + 1)) << 8;
    }
  if (offset >= 0x500 && offset + size <= 0x500 + VBE_N_REGISTERS * 2)
    {
      uint16_t value = vbe_read (self, (uint16_t) ((offset - 0x500) / 2));

      return size == 2 ? value : (uint64_t) value >> (offset & 1) * 8;
    }
  return 0;
}

static void
mmio_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Vga *self = (Vga *) device;

  if (offset >= 0x400 && offset < 0x420)
    for (unsigned i = 0; i < size; i++)
      vga_write_register (self, (uint16_t) (offset + i - 0x400 + 0x3c0), (uint8_t) (value >> i * 8));
  else if (offset >= 0x500 && offset < 0x500 + VBE_N_REGISTERS * 2 && size == 2 && offset % 2 == 0)
    vbe_write (self, (uint16_t) ((offset - 0x500) / 2), (uint16_t) value);
}

const BusRegion vga_mmio_region = { "vga-mmio", BUS_SIZE_1 | BUS_SIZE_2, mmio_read, mmio_write };
