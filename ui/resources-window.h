/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What machines can be joined to: labelled networks, shared folders, registered media. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_RESOURCES_WINDOW (bh_resources_window_get_type ())
G_DECLARE_FINAL_TYPE (BhResourcesWindow, bh_resources_window, BH, RESOURCES_WINDOW, AdwPreferencesWindow)

GtkWidget *bh_resources_window_new (BhLibrary *library);

G_END_DECLS
