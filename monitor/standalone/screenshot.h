/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "display.h"

/* Writes the surface as an 8-bit RGB PNG file (mode 0600 & ~umask, replaced as a whole). 0 or negative errno. */
int screenshot_write_png (const DisplaySurface *surface, const char *path);
