/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The CPU's window at A0000-BFFFF: latches, write modes, read modes (IBM technical reference, "Graphics controller").
 *
 * Four planes travel as one 32-bit word.  Chain-4 is linear over the interleaved memory, which permutes plane
 * addresses against IBM's chip (which leaves three of four unused); as the display address is permuted the same way,
 * only programs that fill memory in one addressing and show it in the other could tell.
 *
 * Where the hardware would do nothing but copy (chain-4 with plain registers, DISPI banks), the window's pages are
 * video RAM's pages and no access comes here; then the latches keep their last value. */
#include "vga-private.h"

#include <string.h>

/* Bit p of the index set: byte p all ones. */
static const uint32_t plane_masks[16] = {
  0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
  0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
};

static uint32_t
load_planes (const Vga *self, uint32_t address)
{
  uint32_t word;

  memcpy (&word, self->vram + (size_t) address * 4, 4);
  return word;
}

static void
store_planes (Vga *self, uint32_t address, uint32_t word)
{
  memcpy (self->vram + (size_t) address * 4, &word, 4);
  guest_memory_touched (self->memory, self->vram_page + address / 1024, 1);
}

/* Which plane address an access at this offset from A0000 means.  False: the window is elsewhere.  The result is
 * below VGA_VIDEO_RAM_BYTES / 4 whatever the registers hold. */
static bool
decode (const Vga *self, uint32_t offset, unsigned bank, uint32_t *ret_address, unsigned *ret_low)
{
  uint32_t address;

  if (!(self->misc & MISC_RAM_ENABLE))
    return false;
  switch (self->gc[GC_MISC] >> 2 & 3)
    {
    case 0:
      address = offset;
      break;
    case 1:
      if (offset >= 0x10000)
        return false;
      address = offset;
      break;
    case 2:
      if (offset < 0x10000 || offset >= 0x18000)
        return false;
      address = offset - 0x10000;
      break;
    default:
      if (offset < 0x18000)
        return false;
      address = offset - 0x18000;
      break;
    }
  *ret_low = address & 3;
  if (self->seq[SEQ_MEMORY_MODE] & 8)
    address = (address & 0xffff) >> 2;
  else
    {
      if (self->gc[GC_MISC] & 2)
        {
          /* Odd/even chaining: bit 0 picks the plane, its place is taken by bit 16 or the page bit. */
          unsigned page = self->gc[GC_MISC] & 0x0c ? !(self->misc & MISC_LOW_PAGE) : address >> 16 & 1;

          address = (address & ~1u) | page;
        }
      address &= 0xffff;
      if (vbe_is_enabled (self) && self->vbe[VBE_BPP] == 4)
        address += (uint32_t) bank << 16;
    }
  if (address >= VGA_VIDEO_RAM_BYTES / 4)
    return false;
  *ret_address = address;
  return true;
}

static uint64_t
memory_read (Device *device, uint32_t offset, unsigned size)
{
  Vga *self = (Vga *) device;
  const uint8_t *gc = self->gc;
  uint32_t address, care;
  unsigned low, plane;

  if (!decode (self, offset, self->vbe_bank_read, &address, &low))
    return 0xff;
  self->latch = load_planes (self, address);
  if (gc[GC_MODE] & 8)
    {
      /* Read mode 1: a bit is set where all planes that matter equal the compare colour. */
      care = (self->latch ^ plane_masks[gc[GC_COLOUR_COMPARE]]) & plane_masks[gc[GC_COLOUR_CARE]];
      care |= care >> 16;
      return ~(care | care >> 8) & 0xff;
    }
  if (self->seq[SEQ_MEMORY_MODE] & 8)
    plane = low;
  else if (gc[GC_MODE] & 0x10)
    plane = (gc[GC_READ_MAP] & 2) | (low & 1);
  else
    plane = gc[GC_READ_MAP];
  return self->latch >> plane * 8 & 0xff;
}

static void
memory_write (Device *device, uint32_t offset, unsigned size, uint64_t written)
{
  Vga *self = (Vga *) device;
  const uint8_t *gc = self->gc;
  uint32_t address, word, mask;
  uint8_t value = (uint8_t) written, bits = gc[GC_BIT_MASK];
  unsigned low, rotate = gc[GC_ROTATE] & 7, planes = self->seq[SEQ_MAP_MASK];

  if (!decode (self, offset, self->vbe_bank_write, &address, &low))
    return;
  if (self->seq[SEQ_MEMORY_MODE] & 8)
    planes &= 1u << low;
  else if (!(self->seq[SEQ_MEMORY_MODE] & 4))
    planes &= low & 1 ? 0xa : 0x5;
  if (!planes)
    return;

  switch (gc[GC_MODE] & 3)
    {
    case 0:
      value = (uint8_t) (value >> rotate | value << (8 - rotate));
      mask = plane_masks[gc[GC_ENABLE_SET_RESET]];
      word = (value * 0x01010101u & ~mask) | (plane_masks[gc[GC_SET_RESET]] & mask);
      break;
    case 1:
      word = self->latch;
      break;
    case 2:
      word = plane_masks[value & 15];
      break;
    default:
      value = (uint8_t) (value >> rotate | value << (8 - rotate));
      bits &= value;
      word = plane_masks[gc[GC_SET_RESET]];
      break;
    }
  if ((gc[GC_MODE] & 3) != 1)
    {
      switch (gc[GC_ROTATE] >> 3 & 3)
        {
        case 1:
          word &= self->latch;
          break;
        case 2:
          word |= self->latch;
          break;
        case 3:
          word ^= self->latch;
          break;
        default:
          break;
        }
      mask = bits * 0x01010101u;
      word = (word & mask) | (self->latch & ~mask);
    }
  mask = plane_masks[planes];
  store_planes (self, address, (load_planes (self, address) & ~mask) | (word & mask));
}

const BusRegion vga_memory_region = { "vga-memory", BUS_SIZE_1, memory_read, memory_write };

static bool
is_plain_chain_4 (const Vga *self)
{
  const uint8_t *gc = self->gc;

  return self->seq[SEQ_MEMORY_MODE] & 8 && self->seq[SEQ_MAP_MASK] == 0xf && self->misc & MISC_RAM_ENABLE
         && !(gc[GC_MODE] & 0x0b) && gc[GC_ENABLE_SET_RESET] == 0 && gc[GC_ROTATE] == 0 && gc[GC_BIT_MASK] == 0xff
         && (gc[GC_MISC] & 0x0c) <= 4;
}

void
vga_update_mapping (Vga *self)
{
  uint32_t read = GUEST_PAGE_NONE, write = GUEST_PAGE_NONE;

  if (vbe_is_enabled (self) && self->vbe[VBE_BPP] != 4)
    {
      read = self->vram_page + self->vbe_bank_read * 16u;
      write = self->vram_page + self->vbe_bank_write * 16u;
    }
  else if (is_plain_chain_4 (self))
    read = write = self->vram_page;
  if (read == self->mapped_read && write == self->mapped_write)
    return;
  self->mapped_read = read;
  self->mapped_write = write;
  guest_memory_map (self->memory, VGA_WINDOW, 0x10000, read, write);
}
