/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The display adapter: a complete VGA with the Bochs VBE extension, as PCI function 1234:1111.
 *
 * Guest side: ports 3B4-3B5, 3BA, 3C0-3CF, 3D4-3D5, 3DA (VGA), 1CE-1D1 (DISPI), memory A0000-BFFFF, BAR 0 (linear
 * frame buffer), BAR 2 (the same registers in memory, VGA ports at 400h, DISPI at 500h), expansion ROM.
 * Host side: vga_refresh draws what changed since the last call; vga_screen_text reads text modes. */
#pragma once

#include "device.h"
#include "display.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct PciBus PciBus;
typedef struct Vga Vga;

enum
{
  VGA_VIDEO_RAM_BYTES = 16 << 20,
  VGA_MAX_ROM_BYTES   = 256 << 10,
  VGA_TEXT_MAX_ROWS   = 256,
  VGA_TEXT_MAX_COLUMNS = 256,
  /* Every cell three bytes of UTF-8, a newline a row, and the final zero. */
  VGA_TEXT_MAX_BYTES  = VGA_TEXT_MAX_ROWS * (VGA_TEXT_MAX_COLUMNS * 3 + 1) + 1,
};

/* Backing pages that vga_new takes from guest memory, for whoever sizes it. */
enum { VGA_BACKING_BYTES = VGA_VIDEO_RAM_BYTES + VGA_MAX_ROM_BYTES };

typedef struct
{
  uint32_t mode;                /* DISPLAY_MODE_TEXT or DISPLAY_MODE_GRAPHICS, whether blanked or not */
  bool     blanked;
  uint32_t width, height;       /* pixels */
  uint32_t columns, rows;       /* characters; 0 in graphics modes */
} VgaScreenInfo;

/* Claims ports and memory, allocates video RAM and the ROM's pages.  rom is copied; n_rom_bytes 0 … VGA_MAX_ROM_BYTES.
 * bus == NULL: no PCI function, hence no linear frame buffer and no ROM.
 * Returns 0, -ENOMEM, -EEXIST (range or slot taken), -EINVAL (ROM too long). */
int  vga_new         (const DeviceHost *host, PciBus *bus, uint8_t devfn, const uint8_t *rom, size_t n_rom_bytes, Vga **ret_vga);

/* Draws changed lines into the surface and publishes a frame in its header.  False: nothing had changed and nothing
 * was touched.  A surface other than the last one, or one without magic, is drawn completely. */
bool vga_refresh     (Vga *vga, DisplaySurface *surface);
/* The next refresh draws everything: somebody else wrote to the surface. */
void vga_invalidate  (Vga *vga);

void vga_screen_info (Vga *vga, VgaScreenInfo *ret_info);
/* Text mode contents as displayed (start address, split screen), UTF-8, one line a row with '\n' after each, trailing
 * blanks removed; empty in graphics modes.  At most n_bytes with the final zero are written; a line that does not
 * fit is left out.  Returns the number of bytes written without the zero. */
size_t vga_screen_text (Vga *vga, char *ret_text, size_t n_bytes);

extern const DeviceClass vga_class;
