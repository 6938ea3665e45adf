/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text modes: character rows to pixels, and to UTF-8.
 *
 * Plane 0 holds characters, plane 1 attributes, plane 2 the glyphs, 32 bytes each.  A row is drawn again when one of
 * its cells differs from the copy made when it was last drawn, when the cursor enters, leaves or blinks in it, or when
 * it has blinking characters and their phase changed. */
#include "vga-private.h"

#include <string.h>

/* What the characters of the IBM character set (code page 437) look like, control codes included. */
static const uint16_t code_page_437[256] = {
  0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022,
  0x25d8, 0x25cb, 0x25d9, 0x2642, 0x2640, 0x266a, 0x266b, 0x263c,
  0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8,
  0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
  0x0020, 0x0021, 0x0022, 0x0023, 0x0024, 0x0025, 0x0026, 0x0027,
  0x0028, 0x0029, 0x002a, 0x002b, 0x002c, 0x002d, 0x002e, 0x002f,
  0x0030, 0x0031, 0x0032, 0x0033, 0x0034, 0x0035, 0x0036, 0x0037,
  0x0038, 0x0039, 0x003a, 0x003b, 0x003c, 0x003d, 0x003e, 0x003f,
  0x0040, 0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047,
  0x0048, 0x0049, 0x004a, 0x004b, 0x004c, 0x004d, 0x004e, 0x004f,
  0x0050, 0x0051, 0x0052, 0x0053, 0x0054, 0x0055, 0x0056, 0x0057,
  0x0058, 0x0059, 0x005a, 0x005b, 0x005c, 0x005d, 0x005e, 0x005f,
  0x0060, 0x0061, 0x0062, 0x0063, 0x0064, 0x0065, 0x0066, 0x0067,
  0x0068, 0x0069, 0x006a, 0x006b, 0x006c, 0x006d, 0x006e, 0x006f,
  0x0070, 0x0071, 0x0072, 0x0073, 0x0074, 0x0075, 0x0076, 0x0077,
  0x0078, 0x0079, 0x007a, 0x007b, 0x007c, 0x007d, 0x007e, 0x2302,
  0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7,
  0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
  0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
  0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
  0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba,
  0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
  0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556,
  0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
  0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
  0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567,
  0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
  0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
  0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4,
  0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
  0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
  0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

/* The end of the character row that starts at scan line y. */
static uint32_t
row_end (const Vga *self, uint32_t y)
{
  const VgaLine *first = &self->lines[y];
  /* With the CGA's and Hercules' line interleave on, scan lines of a row show other characters. */
  unsigned telling = (self->geometry.row_scan_13 ? 1u : 0) | (self->geometry.row_scan_14 ? 2u : 0);
  uint32_t end = y + 1;

  while (end < self->geometry.height && self->lines[end].counter == first->counter
         && self->lines[end].row_scan >= self->lines[end - 1].row_scan && self->lines[end].panning == first->panning
         && ((self->lines[end].row_scan ^ first->row_scan) & telling) == 0)
    end++;
  return end;
}

static bool
read_fonts (Vga *self)
{
  bool changed = false;

  for (unsigned f = 0; f < 2; f++)
    {
      const uint8_t *plane = self->vram + self->geometry.font[f] * 4 + 2;
      uint8_t *shadow = self->font_shadow[f];

      for (unsigned i = 0; i < sizeof self->font_shadow[f]; i++)
        {
          changed |= shadow[i] != plane[i * 4];
          shadow[i] = plane[i * 4];
        }
    }
  return changed;
}

VgaTextPass
vga_text_begin (Vga *self, bool redraw, bool memory_dirty)
{
  const uint8_t *crtc = self->crtc;
  VgaTextPass pass = { .redraw = redraw, .memory = memory_dirty || redraw, .old_cursor = self->cursor };
  unsigned first = crtc[0x0a] & 31, last = crtc[0x0b] & 31;

  if (pass.memory && read_fonts (self))
    pass.redraw = true;
  self->cursor = VGA_NO_CURSOR;
  /* It blinks once in 16 frames; a start below the end shows nothing (unlike the EGA's, which splits). */
  if (!(crtc[0x0a] & 0x20) && first <= last && !(vga_frame_count (self) >> 11 & 1))
    self->cursor = ((crtc[0x0e] << 8 | crtc[0x0f]) + (crtc[0x0b] >> 5 & 3u)) << 16 | first << 8 | last;
  return pass;
}

static bool
row_has_cursor (const Vga *self, uint32_t y, uint32_t cursor)
{
  return cursor != VGA_NO_CURSOR && (uint16_t) ((cursor >> 16) - self->lines[y].counter) <= self->geometry.columns;
}

static void
read_cells (const Vga *self, const VgaLine *line, uint16_t *cells, bool *ret_blinks)
{
  bool blinking = self->ac[AC_MODE] & 8, blinks = false;

  for (unsigned c = 0; c <= self->geometry.columns; c++)
    {
      const uint8_t *bytes = self->vram
                             + vga_display_address (self, line->counter + (c >> self->geometry.count_shift), line->row_scan) * 4;

      cells[c] = (uint16_t) (bytes[0] | bytes[1] << 8);
      blinks |= blinking && bytes[1] & 0x80;
    }
  *ret_blinks = blinks;
}

static void
draw_line (const Vga *self, const VgaLine *line, const uint16_t *cells, uint32_t *row)
{
  const VgaGeometry *geometry = &self->geometry;
  uint32_t pixels[VGA_MAX_COLUMNS * 9 * 2];
  uint32_t *at = pixels;
  bool blinking = self->ac[AC_MODE] & 8, line_graphics = self->ac[AC_MODE] & 4;
  bool underline_line = line->row_scan == (self->crtc[0x14] & 31);
  unsigned cursor_column = UINT32_MAX;

  if (self->cursor != VGA_NO_CURSOR && line->row_scan >= (self->cursor >> 8 & 31) && line->row_scan <= (self->cursor & 31))
    cursor_column = (uint16_t) ((self->cursor >> 16) - line->counter);
  for (unsigned c = 0; c <= geometry->columns; c++)
    {
      uint8_t character = cells[c] & 0xff, attribute = (uint8_t) (cells[c] >> 8);
      uint32_t colours[2] = { self->colours16[attribute >> 4 & (blinking ? 7 : 15)], self->colours16[attribute & 15] };
      /* Bit 8 is the leftmost dot, bit 0 the ninth. */
      unsigned glyph = self->font_shadow[attribute >> 3 & 1][character * 32 + line->row_scan] * 2u;

      /* The ninth dot repeats the eighth in the line drawing characters, so that boxes join. */
      if (line_graphics && character >= 0xc0 && character <= 0xdf)
        glyph |= glyph >> 1 & 1;
      if (underline_line && (attribute & 0x77) == 0x01)
        glyph = 0x1ff;
      if (blinking && attribute & 0x80 && self->blink_off)
        glyph = 0;
      if (c == cursor_column)
        glyph = 0x1ff;
      if (geometry->dot_shift)
        for (unsigned i = 0; i < geometry->dots; i++, at += 2)
          at[0] = at[1] = colours[glyph >> (8 - i) & 1];
      else
        for (unsigned i = 0; i < geometry->dots; i++)
          *at++ = colours[glyph >> (8 - i) & 1];
    }
  memcpy (row, pixels + ((unsigned) line->panning << geometry->dot_shift), geometry->width * 4);
}

uint32_t
vga_text_draw_row (Vga *self, const VgaTextPass *pass, DisplaySurface *surface, uint32_t y, unsigned row, bool *ret_drawn)
{
  uint32_t end = row_end (self, y);
  uint16_t cells[VGA_MAX_COLUMNS];
  size_t n_bytes = (self->geometry.columns + 1) * sizeof cells[0];
  bool draw = pass->redraw, blinks;

  /* Rows beyond the copy are drawn whenever anything changed: nobody has that many. */
  draw |= row >= VGA_SHADOW_ROWS;
  draw |= pass->old_cursor != self->cursor && (row_has_cursor (self, y, pass->old_cursor) || row_has_cursor (self, y, self->cursor));
  draw |= pass->blink && row < VGA_SHADOW_ROWS && self->row_blinks[row];
  if (!draw && !pass->memory)
    return end;
  read_cells (self, &self->lines[y], cells, &blinks);
  if (!draw && memcmp (cells, self->shadow[row], n_bytes) == 0)
    return end;
  if (row < VGA_SHADOW_ROWS)
    {
      memcpy (self->shadow[row], cells, n_bytes);
      self->row_blinks[row] = blinks;
    }
  for (uint32_t line = y; line < end; line++)
    draw_line (self, &self->lines[line], cells, (uint32_t *) (void *) (surface->pixels + (size_t) line * self->geometry.width * 4));
  *ret_drawn = true;
  return end;
}

static size_t
put_utf8 (char *to, unsigned character)
{
  if (character < 0x80)
    {
      to[0] = (char) character;
      return 1;
    }
  if (character < 0x800)
    {
      to[0] = (char) (0xc0 | character >> 6);
      to[1] = (char) (0x80 | (character & 0x3f));
      return 2;
    }
  to[0] = (char) (0xe0 | character >> 12);
  to[1] = (char) (0x80 | (character >> 6 & 0x3f));
  to[2] = (char) (0x80 | (character & 0x3f));
  return 3;
}

/* With two fonts loaded (512 glyphs), attribute bit 3 chooses; the second font's glyphs are whatever its owner drew,
 * unless they are the first one's. */
static unsigned
displayed_character (const Vga *self, uint16_t cell)
{
  uint8_t character = cell & 0xff;

  if (cell & 0x800 && self->geometry.font[0] != self->geometry.font[1])
    {
      const uint8_t *first = self->vram + (self->geometry.font[0] + character * 32u) * 4 + 2;
      const uint8_t *second = self->vram + (self->geometry.font[1] + character * 32u) * 4 + 2;

      for (unsigned i = 0; i < 32; i++)
        if (first[i * 4] != second[i * 4])
          return 0xfffd;
    }
  return code_page_437[character];
}

size_t
vga_screen_text (Vga *self, char *ret_text, size_t n_bytes)
{
  size_t length = 0;
  uint32_t y = 0;

  if (n_bytes == 0)
    return 0;
  vga_update_geometry (self);
  for (unsigned row = 0; self->key.kind == VGA_KIND_TEXT && y < self->geometry.height && row < VGA_TEXT_MAX_ROWS; row++)
    {
      char line[VGA_TEXT_MAX_COLUMNS * 3 + 1];
      size_t n = 0, n_used = 0;
      uint16_t cells[VGA_MAX_COLUMNS];
      bool blinks;

      read_cells (self, &self->lines[y], cells, &blinks);
      for (unsigned c = 0; c < self->geometry.columns; c++)
        {
          n += put_utf8 (line + n, displayed_character (self, cells[c]));
          if (line[n - 1] != ' ')
            n_used = n;
        }
      line[n_used++] = '\n';
      if (length + n_used >= n_bytes)
        break;
      memcpy (ret_text + length, line, n_used);
      length += n_used;
      y = row_end (self, y);
    }
  ret_text[length] = 0;
  return length;
}

void
vga_screen_info (Vga *self, VgaScreenInfo *ret_info)
{
  bool text;

  vga_update_geometry (self);
  text = self->key.kind == VGA_KIND_TEXT;
  *ret_info = (VgaScreenInfo) {
    .mode = text ? DISPLAY_MODE_TEXT : DISPLAY_MODE_GRAPHICS,
    .blanked = self->key.blanked,
    .width = self->geometry.width,
    .height = self->geometry.height,
    .columns = text ? self->geometry.columns : 0,
  };
  for (uint32_t y = 0; text && y < self->geometry.height; y = row_end (self, y))
    ret_info->rows++;
  /* Before the firmware has programmed the timing there is no size; say that of the mode it will begin with. */
  if (!vbe_is_enabled (self) && !(self->crtc[0x17] & 0x80))
    {
      ret_info->width = 720;
      ret_info->height = 400;
    }
}
