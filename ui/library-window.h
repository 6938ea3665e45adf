/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The library: every machine this user may see, as cards or as a list. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_LIBRARY_WINDOW (bh_library_window_get_type ())
G_DECLARE_FINAL_TYPE (BhLibraryWindow, bh_library_window, BH, LIBRARY_WINDOW, AdwApplicationWindow)

/* settings may be NULL: nothing is remembered then. */
GtkWidget *bh_library_window_new (GtkApplication *application, BhLibrary *library, GSettings *settings);
void       bh_library_window_select (BhLibraryWindow *self, const char *name);
/* The number of machines shown (after search). */
guint      bh_library_window_get_n_shown (BhLibraryWindow *self);

G_END_DECLS
