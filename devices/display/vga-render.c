/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From video RAM and registers to pixels.
 *
 * A picture is laid out once per change of the registers: for each scan line, where the CRT controller's address
 * counter stands and which row scan it counts (split screen, double scan, preset row scan, panning included).  After
 * that only lines whose pages were written are drawn again: guest memory's dirty marks cover the CPU's direct
 * writes, and the window's write routine sets the same marks.
 *
 * Sizes are the dots and scan lines that the registers describe, so mode 13h is 640 x 400: a monitor would draw it so.
 * The chip reads registers continuously; here a frame is drawn with those of one moment. */
#include "vga-private.h"

#include <stdatomic.h>
#include <string.h>

enum { MAX_LINE_PIXELS = VGA_MAX_COLUMNS * 9 * 2 };

static VgaKind
underlying_kind (const Vga *self)
{
  if (vbe_is_enabled (self))
    return self->vbe[VBE_BPP] == 4 ? VGA_KIND_VBE_PLANAR : VGA_KIND_VBE;
  if (!(self->gc[GC_MISC] & 1))
    return VGA_KIND_TEXT;
  if (self->gc[GC_MODE] & 0x40)
    return self->ac[AC_MODE] & 0x40 ? VGA_KIND_BYTES : VGA_KIND_NIBBLES;
  return self->gc[GC_MODE] & 0x20 ? VGA_KIND_CGA : VGA_KIND_PLANAR;
}

static void
compute_key (const Vga *self, VgaKey *ret_key)
{
  static const uint8_t pictured[] = { 0x01, 0x07, 0x08, 0x09, 0x0c, 0x0d, 0x12, 0x13, 0x14, 0x17, 0x18 };
  static const uint8_t pictured_vbe[] = { VBE_XRES, VBE_YRES, VBE_BPP, VBE_VIRT_WIDTH, VBE_X_OFFSET, VBE_Y_OFFSET };

  memset (ret_key, 0, sizeof *ret_key);
  ret_key->kind = (uint8_t) underlying_kind (self);
  ret_key->blanked = !(self->ac_index & AC_SCREEN_ON) || self->seq[SEQ_CLOCKING] & 0x20;
  if (vbe_is_enabled (self))
    {
      for (size_t i = 0; i < sizeof pictured_vbe; i++)
        ret_key->vbe[pictured_vbe[i]] = self->vbe[pictured_vbe[i]];
      return;
    }
  /* Without retrace pulses a monitor shows nothing. */
  ret_key->blanked |= !(self->crtc[0x17] & 0x80);
  memcpy (ret_key->seq + 1, self->seq + 1, 4);
  ret_key->seq[SEQ_MAP_MASK] = 0;
  ret_key->gc_mode = self->gc[GC_MODE] & 0x60;
  ret_key->gc_misc = self->gc[GC_MISC] & 1;
  memcpy (ret_key->ac, self->ac + AC_MODE, sizeof ret_key->ac);
  for (size_t i = 0; i < sizeof pictured; i++)
    ret_key->crtc[pictured[i]] = self->crtc[pictured[i]];
}

/* How many dots the picture moves to the left (AC register 13h). */
static uint8_t
panning_dots (const Vga *self, unsigned dots)
{
  unsigned panning = self->ac[AC_PANNING];

  if (panning > 7)
    return 0;
  return (uint8_t) (dots == 9 ? panning + 1 : panning);
}

static void
lay_out_lines (Vga *self)
{
  const uint8_t *crtc = self->crtc;
  VgaGeometry *geometry = &self->geometry;
  uint32_t line_compare = crtc[0x18] | (crtc[7] & 0x10u) << 4 | (crtc[9] & 0x40u) << 3;
  unsigned doubled = crtc[0x17] >> 2 & 1;       /* the vertical counter counts every other line */
  unsigned last_scan = crtc[9] & 31, row_scan = crtc[8] & 31;
  bool double_scan = crtc[9] & 0x80, repeat = false;
  uint16_t counter = (uint16_t) ((crtc[0x0c] << 8 | crtc[0x0d]) + (crtc[8] >> 5 & 3));
  uint8_t panning = panning_dots (self, geometry->dots);

  for (uint32_t y = 0; y < geometry->height; y++)
    {
      self->lines[y] = (VgaLine) { counter, (uint8_t) row_scan, panning };
      if (y >> doubled == line_compare && (!doubled || y & 1))
        {
          counter = 0;
          row_scan = 0;
          repeat = false;
          if (self->ac[AC_MODE] & 0x20)
            panning = 0;
        }
      else if (double_scan && !repeat)
        repeat = true;
      else
        {
          repeat = false;
          if (row_scan == last_scan)
            {
              row_scan = 0;
              counter = (uint16_t) (counter + crtc[0x13] * 2);
            }
          else
            row_scan = (row_scan + 1) & 31;
        }
    }
}

static void
compute_geometry (Vga *self)
{
  static const uint16_t font_offsets[8] = { 0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000 };
  const uint8_t *crtc = self->crtc;
  VgaGeometry *geometry = &self->geometry;
  bool text = self->key.kind == VGA_KIND_TEXT;
  unsigned characters;
  uint8_t map = self->seq[SEQ_CHARACTER_MAP];

  memset (geometry, 0, sizeof *geometry);
  geometry->dots = 8;
  if (self->key.kind == VGA_KIND_VBE || self->key.kind == VGA_KIND_VBE_PLANAR)
    {
      const uint16_t *vbe = self->vbe;
      unsigned bytes = (vbe[VBE_BPP] + 7u) / 8;

      geometry->width = vbe[VBE_XRES];
      geometry->height = vbe[VBE_YRES];
      geometry->columns = vbe[VBE_XRES] / 8u;
      geometry->vbe_pitch = vbe_pitch (self);
      geometry->vbe_start = vbe[VBE_Y_OFFSET] * geometry->vbe_pitch
                            + (vbe[VBE_BPP] == 4 ? vbe[VBE_X_OFFSET] / 8u : vbe[VBE_X_OFFSET] * bytes);
      return;
    }
  if (text && !(self->seq[SEQ_CLOCKING] & 1))
    geometry->dots = 9;
  geometry->dot_shift = self->seq[SEQ_CLOCKING] >> 3 & 1;
  geometry->count_shift = crtc[0x14] & 0x20 ? 2 : crtc[0x17] >> 3 & 1;
  /* Chain-4 memory is linear here, and then doubleword addressing undoes exactly what chain-4 does: see vga-memory.c. */
  geometry->dword = crtc[0x14] & 0x40;
  geometry->word = !geometry->dword && !(crtc[0x17] & 0x40);
  if (geometry->dword && self->seq[SEQ_MEMORY_MODE] & 8)
    geometry->dword = false;
  geometry->wrap_15 = crtc[0x17] & 0x20;
  geometry->row_scan_13 = !(crtc[0x17] & 1);
  geometry->row_scan_14 = !(crtc[0x17] & 2);
  geometry->font[1] = font_offsets[(map >> 2 & 3) | (map >> 3 & 4)];
  geometry->font[0] = font_offsets[(map & 3) | (map >> 2 & 4)];

  characters = crtc[1] + 1u;
  if ((characters * geometry->dots) << geometry->dot_shift > DISPLAY_MAX_WIDTH)
    characters = DISPLAY_MAX_WIDTH / ((unsigned) geometry->dots << geometry->dot_shift);
  geometry->columns = characters;
  geometry->width = (characters * geometry->dots) << geometry->dot_shift;
  geometry->height = (crtc[0x12] | (crtc[7] & 0x02u) << 7 | (crtc[7] & 0x40u) << 3) + 1;
  geometry->height <<= crtc[0x17] >> 2 & 1;
  if (geometry->height > DISPLAY_MAX_HEIGHT)
    geometry->height = DISPLAY_MAX_HEIGHT;
  lay_out_lines (self);
}

void
vga_update_geometry (Vga *self)
{
  VgaKey key;

  compute_key (self, &key);
  if (memcmp (&key, &self->key, sizeof key) == 0)
    return;
  self->key = key;
  self->redraw = true;
  compute_geometry (self);
}

uint32_t
vga_display_address (const Vga *self, uint32_t counter, uint8_t row_scan)
{
  const VgaGeometry *geometry = &self->geometry;
  uint32_t address = counter & 0xffff;

  if (geometry->dword)
    address = address << 2 | (address >> 12 & 3);
  else if (geometry->word)
    address = address << 1 | (geometry->wrap_15 ? address >> 15 : address >> 13 & 1);
  if (geometry->row_scan_13)
    address = (address & ~0x2000u) | (row_scan & 1u) << 13;
  if (geometry->row_scan_14)
    address = (address & ~0x4000u) | (row_scan & 2u) << 13;
  return address & 0xffff;
}

/* Returns whether a colour changed. */
static bool
compute_colours (Vga *self, bool blink_off)
{
  uint32_t colours[256], colours16[16], border;
  bool is_8bit = self->vbe[VBE_ENABLE] & VBE_8BIT_DAC, changed;
  uint8_t mode = self->ac[AC_MODE], select = self->ac[AC_COLOUR_SELECT];

  for (unsigned i = 0; i < 256; i++)
    {
      const uint8_t *entry = self->palette + (i & self->dac_mask) * 3;
      uint32_t colour = 0xff000000;

      for (unsigned c = 0; c < 3; c++)
        {
          uint32_t value = is_8bit ? entry[c] : (uint32_t) (entry[c] << 2 | (entry[c] & 0x3f) >> 4);

          colour |= (value & 0xff) << (16 - 8 * c);
        }
      colours[i] = colour;
    }
  for (unsigned i = 0; i < 16; i++)
    {
      unsigned index = i & self->ac[AC_PLANE_ENABLE] & 15;

      /* Blinking in graphics modes switches the fourth plane's bit off and on. */
      if (self->key.kind != VGA_KIND_TEXT && mode & 8 && blink_off)
        index &= 7;
      index = self->ac[index];
      if (mode & 0x80)
        index = (index & 0x0f) | (select & 3u) << 4;
      colours16[i] = colours[(index | (select & 0x0cu) << 4) & 0xff];
    }
  border = colours[self->ac[AC_OVERSCAN]];
  changed = memcmp (colours, self->colours, sizeof colours) != 0 || memcmp (colours16, self->colours16, sizeof colours16) != 0
            || border != self->border;
  memcpy (self->colours, colours, sizeof colours);
  memcpy (self->colours16, colours16, sizeof colours16);
  self->border = border;
  return changed;
}

static uint32_t *
surface_row (DisplaySurface *surface, const Vga *self, uint32_t y)
{
  return (uint32_t *) (void *) (surface->pixels + (size_t) y * self->geometry.width * 4);
}

/* Eight dots of one character in the graphics modes of the VGA. */
static inline void
draw_dots (const Vga *self, VgaKind kind, const uint8_t *planes, uint32_t *dots)
{
  switch (kind)
    {
    case VGA_KIND_BYTES:
      for (unsigned i = 0; i < 4; i++)
        dots[2 * i] = dots[2 * i + 1] = self->colours[planes[i]];
      break;
    case VGA_KIND_NIBBLES:
      for (unsigned i = 0; i < 4; i++)
        {
          dots[2 * i] = self->colours16[planes[i] >> 4];
          dots[2 * i + 1] = self->colours16[planes[i] & 15];
        }
      break;
    case VGA_KIND_CGA:
      for (unsigned i = 0; i < 8; i++)
        {
          unsigned shift = 6 - i % 4 * 2;

          dots[i] = self->colours16[(planes[i / 4] >> shift & 3) | (planes[2 + i / 4] >> shift & 3) << 2];
        }
      break;
    default:
      {
        uint32_t nibbles = self->spread[planes[0]] | self->spread[planes[1]] << 1 | self->spread[planes[2]] << 2
                           | self->spread[planes[3]] << 3;

        for (unsigned i = 0; i < 8; i++)
          dots[i] = self->colours16[nibbles >> i * 4 & 15];
        break;
      }
    }
}

static void
draw_vga_line (const Vga *self, const VgaLine *line, uint32_t *row)
{
  const VgaGeometry *geometry = &self->geometry;
  uint32_t pixels[MAX_LINE_PIXELS];
  uint32_t *at = pixels;
  VgaKind kind = (VgaKind) self->key.kind;

  /* One character more than is shown: panning moves it in. */
  for (unsigned c = 0; c <= geometry->columns; c++)
    {
      uint32_t address = vga_display_address (self, line->counter + (c >> geometry->count_shift), line->row_scan);

      if (geometry->dot_shift)
        {
          uint32_t dots[8];

          draw_dots (self, kind, self->vram + address * 4, dots);
          for (unsigned i = 0; i < 8; i++)
            at[2 * i] = at[2 * i + 1] = dots[i];
          at += 16;
        }
      else
        {
          draw_dots (self, kind, self->vram + address * 4, at);
          at += 8;
        }
    }
  memcpy (row, pixels + ((unsigned) line->panning << geometry->dot_shift), geometry->width * 4);
}

typedef uint32_t Vector __attribute__ ((vector_size (16), aligned (4), may_alias));

static void
copy_32 (uint32_t *to, const uint8_t *from, uint32_t n)
{
  uint32_t x = 0;

  for (; x + 8 <= n; x += 8)
    {
      Vector a = *(const Vector *) (const void *) (from + x * 4), b = *(const Vector *) (const void *) (from + x * 4 + 16);

      *(Vector *) (void *) (to + x) = a | 0xff000000u;
      *(Vector *) (void *) (to + x + 4) = b | 0xff000000u;
    }
  for (; x < n; x++)
    {
      uint32_t pixel;

      memcpy (&pixel, from + x * 4, 4);
      to[x] = pixel | 0xff000000u;
    }
}

static void
draw_vbe_line (const Vga *self, uint32_t y, uint32_t *row)
{
  const VgaGeometry *geometry = &self->geometry;
  uint32_t start = geometry->vbe_start + y * geometry->vbe_pitch;
  const uint8_t *from = self->vram + start;
  uint32_t width = geometry->width;

  switch (self->vbe[VBE_BPP])
    {
    case 4:
      for (unsigned c = 0; c < geometry->columns; c++)
        draw_dots (self, VGA_KIND_PLANAR, self->vram + (size_t) (start + c) * 4, row + c * 8);
      break;
    case 8:
      for (uint32_t x = 0; x < width; x++)
        row[x] = self->colours[from[x]];
      break;
    case 15:
      for (uint32_t x = 0; x < width; x++)
        {
          uint32_t pixel = from[2 * x] | (uint32_t) from[2 * x + 1] << 8;
          uint32_t rgb = (pixel & 0x7c00) << 9 | (pixel & 0x03e0) << 6 | (pixel & 0x001f) << 3;

          row[x] = 0xff000000 | rgb | (rgb >> 5 & 0x070707);
        }
      break;
    case 16:
      for (uint32_t x = 0; x < width; x++)
        {
          uint32_t pixel = from[2 * x] | (uint32_t) from[2 * x + 1] << 8;
          uint32_t red_blue = (pixel & 0xf800) << 8 | (pixel & 0x001f) << 3, green = (pixel & 0x07e0) << 5;

          row[x] = 0xff000000 | red_blue | (red_blue >> 5 & 0x070007) | green | (green >> 6 & 0x000300);
        }
      break;
    case 24:
      for (uint32_t x = 0; x < width; x++)
        row[x] = 0xff000000 | (uint32_t) from[3 * x + 2] << 16 | (uint32_t) from[3 * x + 1] << 8 | from[3 * x];
      break;
    default:
      copy_32 (row, from, width);
      break;
    }
}

static bool
any_page_dirty (const Vga *self, uint32_t first_byte, uint32_t n_bytes)
{
  for (uint32_t page = first_byte / 4096; page <= (first_byte + n_bytes - 1) / 4096; page++)
    if (self->page_dirty[page])
      return true;
  return false;
}

static bool
line_dirty (const Vga *self, uint32_t y)
{
  const VgaGeometry *geometry = &self->geometry;
  const VgaLine *line = &self->lines[y];

  if (self->key.kind == VGA_KIND_VBE)
    return any_page_dirty (self, geometry->vbe_start + y * geometry->vbe_pitch, geometry->width * ((self->vbe[VBE_BPP] + 7u) / 8));
  if (self->key.kind == VGA_KIND_VBE_PLANAR)
    return any_page_dirty (self, (geometry->vbe_start + y * geometry->vbe_pitch) * 4, geometry->columns * 4);
  for (unsigned c = 0; c <= geometry->columns; c++)
    if (self->page_dirty[vga_display_address (self, line->counter + (c >> geometry->count_shift), line->row_scan) / 1024])
      return true;
  return false;
}

/* Double scanned lines come from the same addresses as the line above. */
static bool
repeats_line_above (const Vga *self, uint32_t y)
{
  const VgaLine *line = &self->lines[y], *above = line - 1;
  unsigned telling = (self->geometry.row_scan_13 ? 1u : 0) | (self->geometry.row_scan_14 ? 2u : 0);

  return y > 0 && self->key.kind != VGA_KIND_VBE && self->key.kind != VGA_KIND_VBE_PLANAR && line->counter == above->counter
         && line->panning == above->panning && ((line->row_scan ^ above->row_scan) & telling) == 0;
}

/* Fetches the dirty marks of the pages shown and clears them. */
static bool
collect_dirty (Vga *self)
{
  const VgaGeometry *geometry = &self->geometry;
  uint32_t first = 0, n = VGA_PLANE_BYTES * 4 / 4096;
  bool any = false;

  if (self->key.kind == VGA_KIND_VBE || self->key.kind == VGA_KIND_VBE_PLANAR)
    {
      uint64_t scale = self->key.kind == VGA_KIND_VBE_PLANAR ? 4 : 1;
      uint64_t begin = geometry->vbe_start * scale;
      uint64_t end = begin + (uint64_t) geometry->height * geometry->vbe_pitch * scale;

      if (end > VGA_VIDEO_RAM_BYTES)
        end = VGA_VIDEO_RAM_BYTES;
      first = (uint32_t) (begin / 4096);
      n = (uint32_t) ((end + 4095) / 4096) - first;
    }
  for (uint32_t i = first; i < first + n; i++)
    any |= self->page_dirty[i] = guest_memory_is_dirty (self->memory, self->vram_page + i);
  if (any)
    guest_memory_clear_dirty (self->memory, self->vram_page + first, n);
  return any;
}

typedef struct
{
  uint32_t first, end;          /* scan lines; none if first >= end */
} Damage;

static void
add_damage (Damage *damage, uint32_t first, uint32_t end)
{
  if (first < damage->first)
    damage->first = first;
  if (end > damage->end)
    damage->end = end;
}

static void
draw_graphics (Vga *self, DisplaySurface *surface, bool redraw, Damage *damage)
{
  bool drawn_above = false;

  for (uint32_t y = 0; y < self->geometry.height; y++)
    {
      uint32_t *row = surface_row (surface, self, y);

      if (repeats_line_above (self, y))
        {
          if (!drawn_above)
            continue;
          memcpy (row, row - self->geometry.width, self->geometry.width * 4);
        }
      else
        {
          drawn_above = redraw || line_dirty (self, y);
          if (!drawn_above)
            continue;
          if (self->key.kind == VGA_KIND_VBE || self->key.kind == VGA_KIND_VBE_PLANAR)
            draw_vbe_line (self, y, row);
          else
            draw_vga_line (self, &self->lines[y], row);
        }
      add_damage (damage, y, y + 1);
    }
}

static void
draw_text (Vga *self, DisplaySurface *surface, const VgaTextPass *pass, Damage *damage)
{
  uint32_t y = 0;

  for (unsigned row = 0; y < self->geometry.height; row++)
    {
      bool drawn = false;
      uint32_t end = vga_text_draw_row (self, pass, surface, y, row, &drawn);

      if (drawn)
        add_damage (damage, y, end);
      y = end;
    }
}

static void
begin_frame (DisplaySurface *surface)
{
  _Atomic uint32_t *generation = (_Atomic uint32_t *) &surface->header->generation;

  atomic_store_explicit (generation, surface->header->generation | 1, memory_order_relaxed);
  atomic_thread_fence (memory_order_seq_cst);
}

static void
end_frame (DisplaySurface *surface)
{
  _Atomic uint32_t *generation = (_Atomic uint32_t *) &surface->header->generation;

  atomic_store_explicit (generation, surface->header->generation + 1, memory_order_release);
}

/* A blanked screen keeps its size: the guest may only be between two modes. */
static void
draw_blank (const Vga *self, DisplaySurface *surface, Damage *damage)
{
  DisplayHeader *header = surface->header;
  uint32_t *pixels = (uint32_t *) (void *) surface->pixels;
  uint32_t colour = self->seq[SEQ_CLOCKING] & 0x20 ? 0xff000000 : self->border;
  size_t n;

  if (header->magic != DISPLAY_MAGIC || header->width == 0 || header->height == 0 || header->width > DISPLAY_MAX_WIDTH
      || header->height > DISPLAY_MAX_HEIGHT || header->stride != header->width * 4)
    {
      header->width = 640;
      header->height = 400;
      header->stride = 640 * 4;
    }
  n = (size_t) header->width * header->height;
  for (size_t i = 0; i < n; i++)
    pixels[i] = colour;
  header->mode = DISPLAY_MODE_BLANK;
  add_damage (damage, 0, header->height);
}

void
vga_invalidate (Vga *self)
{
  self->redraw = self->palette_changed = true;
}

bool
vga_refresh (Vga *self, DisplaySurface *surface)
{
  DisplayHeader *header = surface->header;
  Damage damage = { UINT32_MAX, 0 };
  VgaTextPass pass;
  bool blink_off, blink_changed, redraw, dirty;

  if (surface->n_bytes < DISPLAY_FILE_BYTES)
    return false;
  vga_update_geometry (self);
  redraw = self->redraw || surface->pixels != self->surface_pixels || header->magic != DISPLAY_MAGIC;
  /* Characters blink once in 32 frames. */
  blink_off = vga_frame_count (self) >> 12 & 1;
  blink_changed = blink_off != self->blink_off;
  self->blink_off = blink_off;
  if (redraw || self->palette_changed || blink_changed)
    {
      bool changed = compute_colours (self, blink_off);

      redraw |= changed && (self->key.kind != VGA_KIND_VBE || self->vbe[VBE_BPP] == 8);
    }
  self->redraw = self->palette_changed = false;
  self->surface_pixels = surface->pixels;

  if (self->key.blanked)
    {
      if (!redraw)
        return false;
      begin_frame (surface);
      draw_blank (self, surface, &damage);
    }
  else
    {
      dirty = collect_dirty (self);
      if (self->key.kind == VGA_KIND_TEXT)
        {
          pass = vga_text_begin (self, redraw, dirty);
          pass.blink = blink_changed;
          if (!pass.redraw && !pass.memory && !pass.blink && pass.old_cursor == self->cursor)
            return false;
          redraw = pass.redraw;
        }
      else if (!redraw && !dirty)
        return false;
      begin_frame (surface);
      if (self->key.kind == VGA_KIND_TEXT)
        draw_text (self, surface, &pass, &damage);
      else
        draw_graphics (self, surface, redraw, &damage);
      if (damage.first >= damage.end && !redraw)
        {
          /* Pages were written, but with what they held or beside the picture. */
          atomic_store_explicit ((_Atomic uint32_t *) &header->generation, header->generation - 1, memory_order_release);
          return false;
        }
      header->width = self->geometry.width;
      header->height = self->geometry.height;
      header->stride = header->width * 4;
      header->mode = self->key.kind == VGA_KIND_TEXT ? DISPLAY_MODE_TEXT : DISPLAY_MODE_GRAPHICS;
    }
  header->magic = DISPLAY_MAGIC;
  header->damage_x = 0;
  header->damage_y = damage.first;
  header->damage_width = header->width;
  header->damage_height = damage.end - damage.first;
  end_frame (surface);
  return true;
}
