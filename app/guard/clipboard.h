/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two-step clipboard: one act takes from a machine (or the host) into this store, another gives to a machine (or the
 * host).  Guests are never polled or told.  Emptied after giving, after a time, and on request (lock). */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

enum { CLIPBOARD_MAX_BYTES = 65536 };

Clipboard *clipboard_new (Guard *guard);
void       clipboard_free (Clipboard *self);
void       clipboard_clear (Clipboard *self);

/* First step: data that came from a machine, or from the host with machine NULL. */
gboolean   clipboard_put (Clipboard *self, const char *machine, const Label *label, const char *type, GBytes *data,
                          GError **error);

/* Second step: to a machine, or to the host with machine NULL.  `done` gets the data, or NULL with an error; the store is
 * empty afterwards when it got them. */
typedef void (*ClipboardFunc) (GBytes *data, const char *type, const GError *error, gpointer user_data);
void       clipboard_get (Clipboard *self, const char *machine, const Label *label, ClipboardFunc done, gpointer user_data);

GVariant  *clipboard_status (Clipboard *self);

G_END_DECLS
