/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asking the guard to do something on behalf of a window, and telling its user how that went. */
#pragma once

#include "library.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Calls a method whose answer is not needed (what changed comes as a signal).  heading begins the error message; done is
 * a toast when it worked, or NULL.  Takes a floating arguments.  Waits as long as it takes; the window may go meanwhile. */
void bh_guard_call (GtkWidget *from, BhLibrary *library, const char *method, GVariant *arguments, const char *heading,
                    const char *done);

/* a{sv} with nothing in it, floating. */
GVariant *bh_no_options (void);
/* a{sv} with one entry; takes a floating value. */
GVariant *bh_one_option (const char *key, GVariant *value);

G_END_DECLS
