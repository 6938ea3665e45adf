/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A PNG of the guest's screen with its label above and below, and in a text chunk. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct
{
  const char *text;             /* of the strips, ASCII; NULL: no strips */
  guint32     foreground, background;   /* 0xrrggbb */
} ScreenshotStamp;

/* display_fd: a DISPLAY_FILE_BYTES memory file that an untrusted process writes.  NULL while there is no picture. */
GBytes *screenshot_take (int display_fd, const ScreenshotStamp *stamp, guint *ret_width, guint *ret_height, GError **error);

G_END_DECLS
