/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a label is shown: its words, its colours and a shape that tells the level where colour cannot. The guard makes
 * all of it from the encodings; nothing here decides anything. */
#pragma once

#include <gdk/gdk.h>

G_BEGIN_DECLS

typedef enum
{
  BH_PATTERN_NONE,
  BH_PATTERN_CIRCLE,
  BH_PATTERN_SQUARE,
  BH_PATTERN_TRIANGLE,
  BH_PATTERN_DIAMOND,
  BH_PATTERN_CROSS,
  BH_PATTERN_STAR,
} BhPattern;

#define BH_TYPE_LABEL_LOOK (bh_label_look_get_type ())
typedef struct
{
  char     *text;               /* what the strips show; never translated */
  char     *label;              /* banner text */
  char     *canonical;
  GdkRGBA   foreground, background;
  BhPattern pattern;
  guint     rank;
} BhLabelLook;

GType        bh_label_look_get_type (void);
/* From a dictionary of the guard; prefix is "" or "from-", "to-". Missing or unreadable colours give white on black,
 * a missing text the label, so a strip is never empty. */
BhLabelLook *bh_label_look_new_from_variant (GVariant *dictionary, const char *prefix);
/* Colours as "#rrggbb". */
BhLabelLook *bh_label_look_new (const char *text, const char *foreground, const char *background, const char *pattern);
BhLabelLook *bh_label_look_copy (const BhLabelLook *look);
void         bh_label_look_free (BhLabelLook *look);
gboolean     bh_label_look_equal (const BhLabelLook *a, const BhLabelLook *b);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BhLabelLook, bh_label_look_free)

/* Strings and numbers out of a{sv}; the default when the key is absent or of another type. */
const char *bh_lookup_string (GVariant *dictionary, const char *key, const char *otherwise);
gint64      bh_lookup_number (GVariant *dictionary, const char *key, gint64 otherwise);   /* of any integer type */
gboolean    bh_lookup_boolean (GVariant *dictionary, const char *key);

G_END_DECLS
