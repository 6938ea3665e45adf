/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guest's picture and the place where keys and mouse go to it.
 *
 * It draws nothing outside its own allocation, so the strips beside it are out of the guest's reach.  While it has the
 * focus every key is taken in the capture phase, by scan code, and goes to the guest: except Ctrl+Alt pressed and let go
 * with nothing between, which gives mouse and keyboard back.  Keys that belong to the host (full screen, attention) are
 * taken by the window before they get here. */
#pragma once

#include "display-source.h"
#include "input-channel.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

typedef enum
{
  BH_SCALING_FIT,               /* as large as fits, same shape */
  BH_SCALING_WHOLE,             /* 1, 2, 3 … times: every guest pixel the same size */
  BH_SCALING_STRETCH,           /* all of the view */
} BhScaling;

#define BH_TYPE_GUEST_VIEW (bh_guest_view_get_type ())
G_DECLARE_FINAL_TYPE (BhGuestView, bh_guest_view, BH, GUEST_VIEW, GtkWidget)

/* Properties: "captured" (the pointer is held), "active" (keys go to the guest), "mouse-absolute".
 * Signals: "resized" (the guest chose another size), "painted" (a frame was taken over). */
GtkWidget       *bh_guest_view_new (void);
/* NULL, NULL: nothing to show and nobody to type to.  The last picture stays, dimmed, until there is another source. */
void             bh_guest_view_set_console (BhGuestView *self, BhDisplaySource *source, BhInputChannel *input);
BhDisplaySource *bh_guest_view_get_source (BhGuestView *self);
BhInputChannel  *bh_guest_view_get_input (BhGuestView *self);
void             bh_guest_view_set_scaling (BhGuestView *self, BhScaling scaling, gboolean smooth);
/* Keep the window system's shortcuts for the guest while it has the focus (full screen). */
void             bh_guest_view_set_grab_shortcuts (BhGuestView *self, gboolean grab);
/* Lets go of pointer, shortcuts and every key the guest believes is held. */
void             bh_guest_view_release (BhGuestView *self);
gboolean         bh_guest_view_get_captured (BhGuestView *self);
gboolean         bh_guest_view_get_active (BhGuestView *self);
gboolean         bh_guest_view_get_mouse_absolute (BhGuestView *self);
/* False when the window system refused or took back the shortcuts that we asked for. */
gboolean         bh_guest_view_has_shortcuts (BhGuestView *self);
/* The guest's size in pixels; FALSE before the first frame. */
gboolean         bh_guest_view_get_guest_size (BhGuestView *self, int *ret_width, int *ret_height);
/* From the view's coordinates to the guest's pixels, clamped to the picture; FALSE outside of it. */
gboolean         bh_guest_view_to_guest (BhGuestView *self, double x, double y, double *ret_x, double *ret_y);

G_END_DECLS
