/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Builds a label from the encodings' levels and words, and lets the guard say whether it is one.  Words that do not go
 * with the chosen level, or with a chosen word, cannot be chosen; words beyond the user's clearance are not shown. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_LABEL_PICKER (bh_label_picker_get_type ())
G_DECLARE_FINAL_TYPE (BhLabelPicker, bh_label_picker, BH, LABEL_PICKER, GtkWidget)

/* Properties: "valid" (the guard has accepted the label as it stands), "label" (its banner text). */
GtkWidget  *bh_label_picker_new (BhLibrary *library);
void        bh_label_picker_set_library (BhLabelPicker *self, BhLibrary *library);
/* Text as typed: banner or canonical. */
void        bh_label_picker_set_label (BhLabelPicker *self, const char *label);
const char *bh_label_picker_get_label (BhLabelPicker *self);
gboolean    bh_label_picker_get_valid (BhLabelPicker *self);

G_END_DECLS
