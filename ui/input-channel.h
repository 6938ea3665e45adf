/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The user's hands in a guest: keys and mouse as fixed packets to the monitor's input socket.
 *
 * It knows every key and button that the guest believes is held, so that all of them can be let go when the focus, a grab
 * or the whole console goes away; a release of a key that the guest never saw pressed is dropped. */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

#define BH_TYPE_INPUT_CHANNEL (bh_input_channel_get_type ())
G_DECLARE_FINAL_TYPE (BhInputChannel, bh_input_channel, BH, INPUT_CHANNEL, GObject)

/* Takes the socket. */
BhInputChannel *bh_input_channel_new (int socket);

/* code: Linux evdev number. A press of a key that is already held is sent again: that is how repeats arrive. */
void            bh_input_channel_key (BhInputChannel *self, guint code, gboolean down);
/* Press all in order, release all in reverse order. */
void            bh_input_channel_chord (BhInputChannel *self, const guint *codes, gsize n_codes);
void            bh_input_channel_move (BhInputChannel *self, int dx, int dy, int wheel);
void            bh_input_channel_point (BhInputChannel *self, guint x, guint y, int wheel);   /* 0 .. 65535 */
/* button: one of MOUSE_BUTTON_*. Tells the guest nothing by itself: the next move or point carries it. */
void            bh_input_channel_set_button (BhInputChannel *self, guint button, gboolean down);
guint           bh_input_channel_get_buttons (BhInputChannel *self);
gboolean        bh_input_channel_is_held (BhInputChannel *self, guint code);
void            bh_input_channel_release_all (BhInputChannel *self);

/* While frozen nothing is sent but the releases that freezing itself sends. */
void            bh_input_channel_set_frozen (BhInputChannel *self, gboolean frozen);
gboolean        bh_input_channel_get_frozen (BhInputChannel *self);

G_END_DECLS
