/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The application: windows, actions, command line, and the connection to the guard. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_APPLICATION (bh_application_get_type ())
G_DECLARE_FINAL_TYPE (BhApplication, bh_application, BH, APPLICATION, AdwApplication)

BhApplication *bh_application_new (GApplicationFlags extra_flags);
/* Use this guard instead of connecting to one (tests). */
void           bh_application_set_guard (BhApplication *self, BhGuard1 *guard);
BhLibrary     *bh_application_get_library (BhApplication *self);

G_END_DECLS
