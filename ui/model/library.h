/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of machines that the guard lets this user see (a GListModel of BhMachine, ordered by name), and the way to
 * ask the guard for more. The guard is any BhGuard1 proxy: tests put a guard of their own behind it. */
#pragma once

#include "guard-dbus.h"
#include "machine.h"

G_BEGIN_DECLS

#define BH_TYPE_LIBRARY (bh_library_get_type ())
G_DECLARE_FINAL_TYPE (BhLibrary, bh_library, BH, LIBRARY, GObject)

/* Properties: "online" (the guard answers and the list is filled), "problem" (why not; NULL while connecting),
 * "status" (a{sv}, of Status), "highest" (BhLabelLook: the highest label of what is shown), "n-running".
 * Signals: "question" (id t, a{sv}), "question-closed" (id t), "console-closed" (name, reason), "resources-changed",
 * "clipboard-changed" (a{sv}), "machine-renamed" (old name, new name). */
BhLibrary         *bh_library_new (void);

/* Starts to follow a guard; NULL and a problem text when there is none (any more). */
void               bh_library_set_guard (BhLibrary *self, BhGuard1 *guard);
void               bh_library_set_problem (BhLibrary *self, const char *problem);
BhGuard1          *bh_library_get_guard (BhLibrary *self);

gboolean           bh_library_get_online (BhLibrary *self);
const char        *bh_library_get_problem (BhLibrary *self);
GVariant          *bh_library_get_status (BhLibrary *self);
GVariant          *bh_library_get_encodings (BhLibrary *self);
const BhLabelLook *bh_library_get_highest (BhLibrary *self);
BhMachine         *bh_library_find (BhLibrary *self, const char *name);
BhMachine         *bh_library_find_file (BhLibrary *self, const char *path);
guint              bh_library_get_n_running (BhLibrary *self);
/* Asks the guard for status, encodings and machines again. */
void               bh_library_refresh (BhLibrary *self);
/* A name like wanted that no machine has. */
char              *bh_library_free_name (BhLibrary *self, const char *wanted);

/* "Take it from the dictionary that a call returned": the machine with these details, added if it is new. */
BhMachine         *bh_library_adopt (BhLibrary *self, GVariant *details);

G_END_DECLS
