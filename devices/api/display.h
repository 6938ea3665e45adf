/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guest's screen in a memory file shared with whoever shows it.
 *
 * The file is one DisplayHeader in the first page, then pixels, XRGB8888, alpha byte 0xff.  The header is written
 * by an untrusted process: the viewer copies it once, checks the copy and uses the copy.  `generation` is odd while
 * the header is being changed and grows with every published frame. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum
{
  DISPLAY_MAX_WIDTH     = 2560,
  DISPLAY_MAX_HEIGHT    = 1600,
  DISPLAY_PIXELS_OFFSET = 4096,
  DISPLAY_FILE_BYTES    = DISPLAY_PIXELS_OFFSET + DISPLAY_MAX_WIDTH * DISPLAY_MAX_HEIGHT * 4,
  DISPLAY_MAGIC         = 0x44484221,
};

enum { DISPLAY_MODE_TEXT = 0, DISPLAY_MODE_GRAPHICS = 1, DISPLAY_MODE_BLANK = 2 };

typedef struct
{
  uint32_t magic;               /* DISPLAY_MAGIC */
  uint32_t generation;
  uint32_t width, height;       /* 1 .. DISPLAY_MAX_* */
  uint32_t stride;              /* bytes, >= width * 4 */
  uint32_t mode;                /* DISPLAY_MODE_* */
  uint32_t damage_x, damage_y, damage_width, damage_height;   /* of the last published frame */
  uint32_t mouse_absolute;      /* the guest follows absolute positions: no capture needed */
  uint32_t keyboard_leds;       /* bit 0 scroll, 1 num, 2 caps */
} DisplayHeader;

typedef struct
{
  DisplayHeader *header;
  uint8_t       *pixels;
  size_t         n_bytes;       /* of the mapping, known from fstat, never from the header */
} DisplaySurface;
