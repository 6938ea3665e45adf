/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guest's screen as the app sees it: a sealed memory file written by an untrusted monitor, and an eventfd that it
 * signals for each published frame.  The header is copied once, checked against the size of the mapping, and only the
 * checked copy is used; a bad header keeps the last good frame. */
#pragma once

#include "display.h"

#include <gdk/gdk.h>

G_BEGIN_DECLS

#define BH_TYPE_DISPLAY_SOURCE (bh_display_source_get_type ())
G_DECLARE_FINAL_TYPE (BhDisplaySource, bh_display_source, BH, DISPLAY_SOURCE, GObject)

/* Takes both descriptors, also on failure.  Fails when the memory file is too small, is not sealed against shrinking
 * (its writer could then end us with SIGBUS) or cannot be mapped.
 * Signal "frame": the monitor has published something since the last bh_display_source_update().  It is emitted at
 * most once per update, so a monitor that signals without end costs one wake-up per drawn frame. */
BhDisplaySource *bh_display_source_new (int memory_fd, int event_fd, GError **error);

/* Reads the header.  True when there is a new checked frame; ret_damage is what changed, in guest pixels.  Arms the
 * "frame" signal again in every case. */
gboolean bh_display_source_update (BhDisplaySource *self, GdkRectangle *ret_damage);

/* The last checked header; width is 0 before the first good frame. */
const DisplayHeader *bh_display_source_get_header (BhDisplaySource *self);

/* True before the first frame and while the guest shows nothing. */
gboolean bh_display_source_is_blank (BhDisplaySource *self);

/* The pixels of the last checked frame, height * stride bytes; they live as long as a reference to the bytes. */
GBytes *bh_display_source_dup_bytes (BhDisplaySource *self, const GdkRectangle *part, gsize *ret_stride);

/* A cairo surface over the live pixels (no copy), or NULL before the first frame.  Transfer none. */
cairo_surface_t *bh_display_source_get_surface (BhDisplaySource *self);

/* A private copy of the whole picture, scaled down to at most max_width x max_height, for thumbnails and screenshots;
 * NULL before the first frame.  0 keeps the size. */
GdkTexture *bh_display_source_copy_texture (BhDisplaySource *self, int max_width, int max_height);

G_END_DECLS
