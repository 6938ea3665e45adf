/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One machine's window: its label above and below everything, its screen between. */
#pragma once

#include "guest-view.h"
#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_CONSOLE_WINDOW (bh_console_window_get_type ())
G_DECLARE_FINAL_TYPE (BhConsoleWindow, bh_console_window, BH, CONSOLE_WINDOW, AdwApplicationWindow)

/* settings may be NULL. */
GtkWidget   *bh_console_window_new (GtkApplication *application, BhLibrary *library, BhMachine *machine,
                                    GSettings *settings);
BhMachine   *bh_console_window_get_machine (BhConsoleWindow *self);
BhGuestView *bh_console_window_get_view (BhConsoleWindow *self);
/* Starts or resumes the machine if it is off or suspended. */
void         bh_console_window_power_on (BhConsoleWindow *self);
/* The attention key: lets go of everything, leaves full screen, and holds the guest's input while frozen. */
void         bh_console_window_set_frozen (BhConsoleWindow *self, gboolean frozen);
/* What the window shows: "starting", "screen" or "still". */
const char  *bh_console_window_get_page (BhConsoleWindow *self);

G_END_DECLS
