/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Holding the host's pointer for a guest that only knows relative motion.  GTK 4 has no pointer lock, so:
 *   X11      an XInput 2 grab, and the pointer is put back into the middle of the view when it strays;
 *   Wayland  pointer-constraints and relative-pointer, where the compositor has them;
 *   else     the differences between motion events, which end at the edges of the view. */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_POINTER_CAPTURE (bh_pointer_capture_get_type ())
G_DECLARE_FINAL_TYPE (BhPointerCapture, bh_pointer_capture, BH, POINTER_CAPTURE, GObject)

/* Signal "moved" (dx d, dy d): in surface pixels, while active.  view is not owned and must outlive the capture. */
BhPointerCapture *bh_pointer_capture_new (GtkWidget *view);

/* x, y: where the pointer is now, in the view. */
void              bh_pointer_capture_start (BhPointerCapture *self, double x, double y);
void              bh_pointer_capture_stop (BhPointerCapture *self);
gboolean          bh_pointer_capture_is_active (BhPointerCapture *self);
/* The view passes every motion of the pointer on (in its coordinates). */
void              bh_pointer_capture_motion (BhPointerCapture *self, double x, double y);

G_END_DECLS
