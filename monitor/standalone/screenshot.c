/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "screenshot.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>

static int
write_picture (FILE *file, const DisplaySurface *surface, uint8_t *row)
{
  uint32_t width = surface->header->width, height = surface->header->height;
  png_structp png = png_create_write_struct (PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png ? png_create_info_struct (png) : NULL;

  if (!info)
    {
      png_destroy_write_struct (&png, NULL);
      return -ENOMEM;
    }
  if (setjmp (png_jmpbuf (png)))
    {
      png_destroy_write_struct (&png, &info);
      return -EIO;
    }
  png_init_io (png, file);
  png_set_IHDR (png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level (png, 1);
  png_write_info (png, info);
  for (uint32_t y = 0; y < height; y++)
    {
      const uint8_t *from = surface->pixels + (size_t) y * surface->header->stride;

      for (uint32_t x = 0; x < width; x++)
        {
          row[x * 3] = from[x * 4 + 2];
          row[x * 3 + 1] = from[x * 4 + 1];
          row[x * 3 + 2] = from[x * 4];
        }
      png_write_row (png, row);
    }
  png_write_end (png, NULL);
  png_destroy_write_struct (&png, &info);
  return 0;
}

int
screenshot_write_png (const DisplaySurface *surface, const char *path)
{
  uint8_t *row = malloc ((size_t) surface->header->width * 3 + 1);
  char *part = NULL;
  FILE *file = NULL;
  int result = -ENOMEM;

  if (row && asprintf (&part, "%s.part", path) >= 0)
    {
      file = fopen (part, "wbe");
      result = file ? write_picture (file, surface, row) : -errno;
      if (file && fclose (file) != 0 && result == 0)
        result = -errno;
      if (result == 0 && rename (part, path) < 0)
        result = -errno;
      if (result < 0 && file)
        remove (part);
      free (part);
    }
  free (row);
  return result;
}
