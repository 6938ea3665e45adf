/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asks for a clone's name and whether it shares its parent's disk. */
#pragma once

#include "library.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* A window, to be made transient and presented. */
GtkWidget *bh_clone_dialog_new (BhLibrary *library, BhMachine *machine);

G_END_DECLS
