/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A solid bar in a label's colour with its words in the middle and, at both ends, a shape that tells the level where
 * colour cannot.  It takes its own space: it never lies over a guest's picture and nothing of a guest reaches it. */
#pragma once

#include "label-look.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_LABEL_STRIP (bh_label_strip_get_type ())
G_DECLARE_FINAL_TYPE (BhLabelStrip, bh_label_strip, BH, LABEL_STRIP, GtkWidget)

/* Properties: "look" (BhLabelLook, or NULL for a strip that takes no space), "caption" (what stands at the left, such as
 * a machine's name), "note" (what stands at the right, such as where the keyboard goes), "compact" (small, for cards),
 * "prefix" (before the label's words). */
GtkWidget *bh_label_strip_new (void);
void       bh_label_strip_set_look (BhLabelStrip *self, const BhLabelLook *look);
void       bh_label_strip_set_caption (BhLabelStrip *self, const char *caption);
void       bh_label_strip_set_note (BhLabelStrip *self, const char *note);
const char *bh_label_strip_get_text (BhLabelStrip *self);

G_END_DECLS
