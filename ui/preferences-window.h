/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The user's own wishes (kept in GSettings), the phrase of genuine windows, and, for the officer, the guard's policy. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_PREFERENCES_WINDOW (bh_preferences_window_get_type ())
G_DECLARE_FINAL_TYPE (BhPreferencesWindow, bh_preferences_window, BH, PREFERENCES_WINDOW, AdwPreferencesWindow)

/* settings may be NULL. */
GtkWidget *bh_preferences_window_new (BhLibrary *library, GSettings *settings);

G_END_DECLS
