/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Makes a machine: what it runs, its label, what it has.  Everything is filled in, so that Enter, Enter, Enter makes one. */
#pragma once

#include "library.h"
#include "system-presets.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_NEW_MACHINE (bh_new_machine_get_type ())
G_DECLARE_FINAL_TYPE (BhNewMachine, bh_new_machine, BH, NEW_MACHINE, AdwWindow)

/* image: what it shall start from, or NULL. */
GtkWidget *bh_new_machine_new (BhLibrary *library, const char *image, BhImageKind kind);

G_END_DECLS
