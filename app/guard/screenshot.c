/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "screenshot.h"

#include "display.h"
#include "guard-error.h"

#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

enum { STRIP_HEIGHT = 22, GLYPH_WIDTH = 5, GLYPH_HEIGHT = 7, SCALE = 2 };

/* Five by seven dots, rows from the top, bit 4 is the left column. */
static const struct { char character; guint8 rows[GLYPH_HEIGHT]; } glyphs[] = {
  { 'A', { 14, 17, 17, 31, 17, 17, 17 } }, { 'B', { 30, 17, 17, 30, 17, 17, 30 } }, { 'C', { 14, 17, 16, 16, 16, 17, 14 } },
  { 'D', { 30, 17, 17, 17, 17, 17, 30 } }, { 'E', { 31, 16, 16, 30, 16, 16, 31 } }, { 'F', { 31, 16, 16, 30, 16, 16, 16 } },
  { 'G', { 14, 17, 16, 23, 17, 17, 15 } }, { 'H', { 17, 17, 17, 31, 17, 17, 17 } }, { 'I', { 14, 4, 4, 4, 4, 4, 14 } },
  { 'J', { 7, 2, 2, 2, 2, 18, 12 } }, { 'K', { 17, 18, 20, 24, 20, 18, 17 } }, { 'L', { 16, 16, 16, 16, 16, 16, 31 } },
  { 'M', { 17, 27, 21, 21, 17, 17, 17 } }, { 'N', { 17, 25, 21, 19, 17, 17, 17 } }, { 'O', { 14, 17, 17, 17, 17, 17, 14 } },
  { 'P', { 30, 17, 17, 30, 16, 16, 16 } }, { 'Q', { 14, 17, 17, 17, 21, 18, 13 } }, { 'R', { 30, 17, 17, 30, 20, 18, 17 } },
  { 'S', { 15, 16, 16, 14, 1, 1, 30 } }, { 'T', { 31, 4, 4, 4, 4, 4, 4 } }, { 'U', { 17, 17, 17, 17, 17, 17, 14 } },
  { 'V', { 17, 17, 17, 17, 17, 10, 4 } }, { 'W', { 17, 17, 17, 21, 21, 27, 17 } }, { 'X', { 17, 17, 10, 4, 10, 17, 17 } },
  { 'Y', { 17, 17, 10, 4, 4, 4, 4 } }, { 'Z', { 31, 1, 2, 4, 8, 16, 31 } }, { '0', { 14, 17, 19, 21, 25, 17, 14 } },
  { '1', { 4, 12, 4, 4, 4, 4, 14 } }, { '2', { 14, 17, 1, 6, 8, 16, 31 } }, { '3', { 30, 1, 1, 14, 1, 1, 30 } },
  { '4', { 2, 6, 10, 18, 31, 2, 2 } }, { '5', { 31, 16, 30, 1, 1, 17, 14 } }, { '6', { 6, 8, 16, 30, 17, 17, 14 } },
  { '7', { 31, 1, 2, 4, 8, 8, 8 } }, { '8', { 14, 17, 17, 14, 17, 17, 14 } }, { '9', { 14, 17, 17, 15, 1, 2, 12 } },
  { '/', { 1, 1, 2, 4, 8, 16, 16 } }, { '-', { 0, 0, 0, 31, 0, 0, 0 } }, { '[', { 14, 8, 8, 8, 8, 8, 14 } },
  { ']', { 14, 2, 2, 2, 2, 2, 14 } }, { ',', { 0, 0, 0, 0, 4, 4, 8 } }, { ':', { 0, 4, 0, 0, 0, 4, 0 } },
  { '.', { 0, 0, 0, 0, 0, 0, 4 } }, { ' ', { 0, 0, 0, 0, 0, 0, 0 } },
};

static const guint8 unknown_glyph[GLYPH_HEIGHT] = { 31, 17, 17, 17, 17, 17, 31 };

static const guint8 *
glyph (char character)
{
  for (gsize i = 0; i < G_N_ELEMENTS (glyphs); i++)
    if (glyphs[i].character == g_ascii_toupper (character))
      return glyphs[i].rows;
  return unknown_glyph;
}

static void
put_pixel (guint8 *at, guint32 colour)
{
  at[0] = (guint8) (colour >> 16);
  at[1] = (guint8) (colour >> 8);
  at[2] = (guint8) colour;
}

static void
draw_strip (guint8 *pixels, guint width, const ScreenshotStamp *stamp)
{
  guint n_fit = width / ((GLYPH_WIDTH + 1) * SCALE), n = (guint) strlen (stamp->text);
  guint left, top = (STRIP_HEIGHT - GLYPH_HEIGHT * SCALE) / 2;

  n = MIN (n, n_fit);
  left = (width - n * (GLYPH_WIDTH + 1) * SCALE) / 2;
  for (guint i = 0; i < width * STRIP_HEIGHT; i++)
    put_pixel (pixels + 3 * i, stamp->background);
  for (guint i = 0; i < n; i++)
    {
      const guint8 *rows = glyph (stamp->text[i]);

      for (guint y = 0; y < GLYPH_HEIGHT * SCALE; y++)
        for (guint x = 0; x < GLYPH_WIDTH * SCALE; x++)
          if (rows[y / SCALE] >> (GLYPH_WIDTH - 1 - x / SCALE) & 1)
            put_pixel (pixels + 3 * ((top + y) * width + left + i * (GLYPH_WIDTH + 1) * SCALE + x), stamp->foreground);
    }
}

static void
put_u32 (GByteArray *into, guint32 value)
{
  guint32 big = GUINT32_TO_BE (value);

  g_byte_array_append (into, (const guint8 *) &big, sizeof big);
}

/* PNG specification, 5.3: length, type, data, CRC over type and data. */
static void
put_chunk (GByteArray *into, const char *type, const guint8 *data, gsize n)
{
  uLong crc = crc32 (0, (const Bytef *) type, 4);

  if (n)
    crc = crc32 (crc, data, (uInt) n);
  put_u32 (into, (guint32) n);
  g_byte_array_append (into, (const guint8 *) type, 4);
  if (n)
    g_byte_array_append (into, data, (guint) n);
  put_u32 (into, (guint32) crc);
}

static GBytes *
encode (const guint8 *pixels, guint width, guint height, const char *label)
{
  static const guint8 signature[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
  GByteArray *png = g_byte_array_new ();
  g_autoptr (GByteArray) header = g_byte_array_new ();
  gsize n_raw = (gsize) (3 * width + 1) * height;
  g_autofree guint8 *raw = g_malloc (n_raw);
  uLongf n_packed = compressBound (n_raw);
  g_autofree guint8 *packed = g_malloc (n_packed);

  for (guint y = 0; y < height; y++)
    {
      raw[(gsize) y * (3 * width + 1)] = 0;     /* filter: none */
      memcpy (raw + (gsize) y * (3 * width + 1) + 1, pixels + (gsize) y * 3 * width, 3 * width);
    }
  if (compress2 (packed, &n_packed, raw, n_raw, 6) != Z_OK)
    {
      g_byte_array_unref (png);
      return NULL;
    }
  g_byte_array_append (png, signature, sizeof signature);
  put_u32 (header, width);
  put_u32 (header, height);
  g_byte_array_append (header, (const guint8 *) "\x08\x02\x00\x00\x00", 5);     /* 8 bits, RGB */
  put_chunk (png, "IHDR", header->data, header->len);
  if (label)
    {
      g_autofree char *text = g_strconcat ("Security label", NULL);
      g_autoptr (GByteArray) chunk = g_byte_array_new ();

      g_byte_array_append (chunk, (const guint8 *) text, (guint) strlen (text) + 1);
      g_byte_array_append (chunk, (const guint8 *) label, (guint) strlen (label));
      put_chunk (png, "tEXt", chunk->data, chunk->len);
    }
  put_chunk (png, "IDAT", packed, n_packed);
  put_chunk (png, "IEND", NULL, 0);
  return g_byte_array_free_to_bytes (png);
}

GBytes *
screenshot_take (int display_fd, const ScreenshotStamp *stamp, guint *ret_width, guint *ret_height, GError **error)
{
  gboolean strips = stamp && stamp->text;
  DisplayHeader header;
  guint8 *map, *picture;
  guint width, height, top = strips ? STRIP_HEIGHT : 0;
  GBytes *png;

  /* The file is sealed against shrinking by whoever made it, which was the broker. */
  map = mmap (NULL, DISPLAY_FILE_BYTES, PROT_READ, MAP_SHARED, display_fd, 0);
  if (map == MAP_FAILED)
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the screen cannot be mapped");
      return NULL;
    }
  /* Copied once, checked, and only the copy is used. */
  memcpy (&header, map, sizeof header);
  if (header.magic != DISPLAY_MAGIC || header.width < 1 || header.width > DISPLAY_MAX_WIDTH || header.height < 1
      || header.height > DISPLAY_MAX_HEIGHT || header.stride < header.width * 4 || header.stride > DISPLAY_MAX_WIDTH * 4
      || (guint64) header.stride * header.height > DISPLAY_FILE_BYTES - DISPLAY_PIXELS_OFFSET)
    {
      munmap (map, DISPLAY_FILE_BYTES);
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the VM shows no picture yet");
      return NULL;
    }
  width = header.width;
  height = header.height + 2 * top;
  picture = g_malloc ((gsize) 3 * width * height);
  for (guint y = 0; y < header.height; y++)
    for (guint x = 0; x < width; x++)
      {
        guint32 pixel;

        memcpy (&pixel, map + DISPLAY_PIXELS_OFFSET + (gsize) y * header.stride + 4 * (gsize) x, sizeof pixel);
        put_pixel (picture + 3 * ((gsize) (top + y) * width + x), pixel & 0xffffff);
      }
  munmap (map, DISPLAY_FILE_BYTES);
  if (strips)
    {
      draw_strip (picture, width, stamp);
      draw_strip (picture + (gsize) 3 * width * (height - STRIP_HEIGHT), width, stamp);
    }
  png = encode (picture, width, height, stamp ? stamp->text : NULL);
  g_free (picture);
  if (!png)
    g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the picture cannot be compressed");
  *ret_width = width;
  *ret_height = height;
  return png;
}
