/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a running machine is executed: how much translated, how much interpreted, and for which of the thesis's reasons. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_STATISTICS_WINDOW (bh_statistics_window_get_type ())
G_DECLARE_FINAL_TYPE (BhStatisticsWindow, bh_statistics_window, BH, STATISTICS_WINDOW, AdwWindow)

GtkWidget *bh_statistics_window_new (BhLibrary *library, BhMachine *machine);

G_END_DECLS
