/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of the display adapter share.
 *
 * Video memory is kept interleaved: plane p of plane address a is byte 4 * a + p, so that the four planes are one
 * little endian word, chain-4 addresses are linear, and the linear frame buffer needs no conversion.
 * References: IBM, "VGA technical reference" (PS/2 hardware interface, May 1992); the Bochs VBE DISPI text;
 * QEMU's standard-vga text for the PCI function. */
#pragma once

#include "bus.h"
#include "clock.h"
#include "guest-memory.h"
#include "pci.h"
#include "vga.h"

enum
{
  VGA_PLANE_BYTES  = 65536,     /* a plane as the VGA addresses it */
  VGA_N_PAGES      = VGA_VIDEO_RAM_BYTES / 4096,
  VGA_WINDOW       = 0xa0000,
  VGA_WINDOW_BYTES = 0x20000,
  VGA_MAX_COLUMNS  = 257,       /* the longest line, and one more for panning */
  VGA_SHADOW_ROWS  = 256,
};

enum
{
  MISC_COLOUR = 1, MISC_RAM_ENABLE = 2, MISC_LOW_PAGE = 0x20,
  SEQ_CLOCKING = 1, SEQ_MAP_MASK = 2, SEQ_CHARACTER_MAP = 3, SEQ_MEMORY_MODE = 4,
  GC_SET_RESET = 0, GC_ENABLE_SET_RESET = 1, GC_COLOUR_COMPARE = 2, GC_ROTATE = 3, GC_READ_MAP = 4, GC_MODE = 5, GC_MISC = 6,
  GC_COLOUR_CARE = 7, GC_BIT_MASK = 8,
  AC_MODE = 16, AC_OVERSCAN = 17, AC_PLANE_ENABLE = 18, AC_PANNING = 19, AC_COLOUR_SELECT = 20,
  AC_SCREEN_ON = 0x20,          /* bit of the index port: "palette address source" */
};

/* DISPI register numbers, and bits of ENABLE and BANK. */
enum
{
  VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH, VBE_VIRT_HEIGHT, VBE_X_OFFSET, VBE_Y_OFFSET,
  VBE_MEMORY_64K, VBE_N_REGISTERS,
};
enum
{
  VBE_ENABLED = 0x01, VBE_GETCAPS = 0x02, VBE_8BIT_DAC = 0x20, VBE_LFB_ENABLED = 0x40, VBE_NOCLEARMEM = 0x80,
  VBE_BANK_WRITE = 0x4000, VBE_BANK_READ = 0x8000,
  VBE_FIRST_ID = 0xb0c0, VBE_LAST_ID = 0xb0c5,
};

#define VGA_NO_CURSOR UINT32_MAX

/* One scan line as the CRT controller addresses it. */
typedef struct
{
  uint16_t counter;             /* memory address counter at its first character */
  uint8_t  row_scan;
  uint8_t  panning;             /* dots */
} VgaLine;

typedef enum
{
  VGA_KIND_NONE,                /* nothing drawn yet */
  VGA_KIND_TEXT,
  VGA_KIND_PLANAR,              /* four planes, one bit each */
  VGA_KIND_CGA,                 /* two bits at a time, bytes of planes 0 and 1 in turn */
  VGA_KIND_NIBBLES,             /* four bits at a time, not joined */
  VGA_KIND_BYTES,               /* four bits at a time, joined by the attribute controller */
  VGA_KIND_VBE,                 /* linear, 8 … 32 bits a pixel */
  VGA_KIND_VBE_PLANAR,          /* DISPI with 4 bits a pixel */
} VgaKind;

/* All registers that a picture depends on besides memory, colours and the cursor: equal keys, equal geometry. */
typedef struct
{
  uint8_t  kind, blanked;
  uint8_t  seq[5], gc_mode, gc_misc, ac[5];
  uint8_t  crtc[25];
  uint16_t vbe[VBE_N_REGISTERS];
} VgaKey;

typedef struct
{
  uint32_t width, height;       /* pixels, at most DISPLAY_MAX_* */
  uint32_t columns;             /* characters in a line (VGA kinds) */
  uint8_t  dots;                /* in a character: 8, or 9 */
  uint8_t  dot_shift;           /* 1: every dot twice */
  uint8_t  count_shift;         /* characters that share an address, as a shift */
  bool     dword, word, wrap_15, row_scan_13, row_scan_14;   /* how the address counter becomes an address */
  uint32_t font[2];             /* plane 2 offset of the glyphs for attribute bit 3 clear and set */
  uint32_t vbe_start, vbe_pitch;        /* bytes of video RAM; of a plane if planar */
} VgaGeometry;

struct Vga
{
  Device       parent;
  Bus         *bus;
  GuestMemory *memory;
  Clock       *clock;
  uint8_t     *vram;            /* backing pages */
  uint32_t     vram_page, rom_page, rom_bytes;
  PciFunction  pci[1];
  bool         has_pci;

  /* Registers, saved. */
  uint8_t  misc, feature;
  uint8_t  seq_index, gc_index, crtc_index, ac_index;
  uint8_t  ac_data_next;        /* the flip-flop: the next write to 3C0 is data */
  uint8_t  seq[8], gc[16], crtc[32], ac[32];
  uint8_t  dac_mask, dac_state, dac_read_index, dac_write_index, dac_component;
  uint8_t  dac_latch[2];
  uint8_t  palette[768];        /* 6 or 8 significant bits a component */
  uint32_t latch;
  uint64_t retrace_cleared_ns;  /* when the vertical interrupt was last cleared */
  uint16_t vbe_index;
  uint16_t vbe[VBE_N_REGISTERS];
  uint16_t vbe_bank_read, vbe_bank_write;       /* 64 KiB each */

  /* Derived from the registers. */
  uint32_t mapped_read, mapped_write;   /* backing page now at A0000, or GUEST_PAGE_NONE */
  bool     bar_mapped[PCI_N_BARS];
  uint32_t bar_address[PCI_N_BARS];

  /* What was drawn last. */
  VgaKey      key;
  VgaGeometry geometry;
  VgaLine     lines[DISPLAY_MAX_HEIGHT];
  uint32_t    colours[256];     /* XRGB by DAC index, mask applied */
  uint32_t    colours16[16];    /* by attribute */
  uint32_t    border;
  bool        palette_changed, redraw;
  const uint8_t *surface_pixels;
  bool        page_dirty[VGA_N_PAGES];
  /* Text modes */
  uint16_t    shadow[VGA_SHADOW_ROWS][VGA_MAX_COLUMNS];
  uint8_t     font_shadow[2][8192];
  uint32_t    cursor;           /* counter << 16 | first scan << 8 | last scan; VGA_NO_CURSOR when not visible */
  bool        blink_off, row_blinks[VGA_SHADOW_ROWS];
  uint32_t    spread[256];      /* bit 7 - i of the index in the lowest bit of nibble i */
};

/* vga-registers.c */
extern const BusRegion vga_attribute_region, vga_mono_region, vga_colour_region, vga_mono_status_region, vga_colour_status_region;
uint8_t  vga_read_register  (Vga *self, uint16_t port);
void     vga_write_register (Vga *self, uint16_t port, uint8_t value);
/* Frames since power on, in 1/256, by the CRT controller's timing. */
uint64_t vga_frame_count    (Vga *self);

/* vga-memory.c */
extern const BusRegion vga_memory_region;
/* Maps the window at A0000 straight to video RAM when a plain copy is all the hardware does, else sends it to the bus. */
void     vga_update_mapping (Vga *self);

/* vbe.c */
extern const BusRegion vbe_port_region, vga_mmio_region;
uint16_t vbe_read           (Vga *self, uint16_t index);
void     vbe_write          (Vga *self, uint16_t index, uint16_t value);
bool     vbe_is_enabled     (const Vga *self);
/* Of one line of the virtual screen, or of one plane of it. */
uint32_t vbe_pitch          (const Vga *self);
/* Whether registers from a state file are ones that the guest could have set. */
bool     vbe_state_ok       (const Vga *self);

/* vga-text.c */
/* What may differ from the last picture, besides everything (redraw). */
typedef struct
{
  bool     redraw, memory, blink;
  uint32_t old_cursor;
} VgaTextPass;

/* Reads the fonts and the cursor. */
VgaTextPass vga_text_begin (Vga *self, bool redraw, bool memory_dirty);
/* Draws the character row that starts at scan line y if it changed; returns the line after it. */
uint32_t vga_text_draw_row (Vga *self, const VgaTextPass *pass, DisplaySurface *surface, uint32_t y, unsigned row, bool *ret_drawn);

/* vga-render.c */
/* Brings key, geometry and lines up to date with the registers. If they change, the next refresh draws everything. */
void     vga_update_geometry  (Vga *self);
/* The plane address at which the CRT controller reads for this counter. */
uint32_t vga_display_address  (const Vga *self, uint32_t counter, uint8_t row_scan);
