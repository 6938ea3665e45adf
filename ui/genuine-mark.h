/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What tells a genuine dialog of Bulkhead from a picture of one: the user's own phrase, and a picture made from it.  No
 * guest can read either. */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_GENUINE_MARK (bh_genuine_mark_get_type ())
G_DECLARE_FINAL_TYPE (BhGenuineMark, bh_genuine_mark, BH, GENUINE_MARK, GtkWidget)

GtkWidget *bh_genuine_mark_new (void);
/* Empty or NULL: says that no phrase was chosen yet. */
void       bh_genuine_mark_set_phrase (BhGenuineMark *self, const char *phrase);

G_END_DECLS
