/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Everything about one machine.  Changes apply at once; what needs a machine that is off cannot be touched while it runs,
 * and says so. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_MACHINE_SETTINGS (bh_machine_settings_get_type ())
G_DECLARE_FINAL_TYPE (BhMachineSettings, bh_machine_settings, BH, MACHINE_SETTINGS, AdwPreferencesWindow)

GtkWidget *bh_machine_settings_new (BhLibrary *library, BhMachine *machine);

G_END_DECLS
