/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "label-look.h"

G_DEFINE_BOXED_TYPE (BhLabelLook, bh_label_look, bh_label_look_copy, bh_label_look_free)

static BhPattern
pattern_from_name (const char *name)
{
  static const char *const names[] = { "", "circle", "square", "triangle", "diamond", "cross", "star" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strcmp0 (name, names[i]) == 0)
      return (BhPattern) i;
  return BH_PATTERN_NONE;
}

BhLabelLook *
bh_label_look_new (const char *text, const char *foreground, const char *background, const char *pattern)
{
  BhLabelLook *look = g_new0 (BhLabelLook, 1);

  look->text = g_strdup (text);
  look->label = g_strdup (text);
  look->canonical = g_strdup ("");
  if (foreground == NULL || !gdk_rgba_parse (&look->foreground, foreground))
    look->foreground = (GdkRGBA) { 1, 1, 1, 1 };
  if (background == NULL || !gdk_rgba_parse (&look->background, background))
    look->background = (GdkRGBA) { 0, 0, 0, 1 };
  look->foreground.alpha = look->background.alpha = 1;
  look->pattern = pattern_from_name (pattern);
  return look;
}

BhLabelLook *
bh_label_look_new_from_variant (GVariant *dictionary, const char *prefix)
{
  g_autofree char *foreground = g_strconcat (prefix, "foreground", NULL);
  g_autofree char *background = g_strconcat (prefix, "background", NULL);
  g_autofree char *pattern = g_strconcat (prefix, "pattern", NULL);
  g_autofree char *strip = g_strconcat (prefix, "strip-text", NULL);
  g_autofree char *canonical_key = g_strconcat (prefix, "canonical", NULL);
  /* In a question "from" is the label itself, in a machine "label" is. */
  g_autofree char *label_key = *prefix ? g_strndup (prefix, strlen (prefix) - 1) : g_strdup ("label");
  const char      *label = bh_lookup_string (dictionary, label_key, "");
  const char      *canonical = bh_lookup_string (dictionary, canonical_key, "");
  const char      *text = bh_lookup_string (dictionary, strip, label);
  BhLabelLook     *look;

  if (*text == '\0')
    text = *canonical ? canonical : "?";
  look = bh_label_look_new (text, bh_lookup_string (dictionary, foreground, NULL),
                            bh_lookup_string (dictionary, background, NULL),
                            bh_lookup_string (dictionary, pattern, NULL));
  g_free (look->label);
  look->label = g_strdup (*label ? label : text);
  g_free (look->canonical);
  look->canonical = g_strdup (canonical);
  look->rank = (guint) bh_lookup_number (dictionary, "label-rank", 0);
  return look;
}

BhLabelLook *
bh_label_look_copy (const BhLabelLook *look)
{
  BhLabelLook *copy = g_memdup2 (look, sizeof *look);

  copy->text = g_strdup (look->text);
  copy->label = g_strdup (look->label);
  copy->canonical = g_strdup (look->canonical);
  return copy;
}

void
bh_label_look_free (BhLabelLook *look)
{
  if (look == NULL)
    return;
  g_free (look->text);
  g_free (look->label);
  g_free (look->canonical);
  g_free (look);
}

gboolean
bh_label_look_equal (const BhLabelLook *a, const BhLabelLook *b)
{
  if (a == NULL || b == NULL)
    return a == b;
  return g_str_equal (a->text, b->text) && g_str_equal (a->label, b->label) &&
         g_str_equal (a->canonical, b->canonical) && gdk_rgba_equal (&a->foreground, &b->foreground) &&
         gdk_rgba_equal (&a->background, &b->background) && a->pattern == b->pattern && a->rank == b->rank;
}

const char *
bh_lookup_string (GVariant *dictionary, const char *key, const char *otherwise)
{
  const char *value;

  if (dictionary != NULL && g_variant_lookup (dictionary, key, "&s", &value))
    return value;
  return otherwise;
}

gint64
bh_lookup_number (GVariant *dictionary, const char *key, gint64 otherwise)
{
  g_autoptr (GVariant) value = dictionary ? g_variant_lookup_value (dictionary, key, NULL) : NULL;

  if (value == NULL)
    return otherwise;
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BYTE:
      return g_variant_get_byte (value);
    case G_VARIANT_CLASS_INT16:
      return g_variant_get_int16 (value);
    case G_VARIANT_CLASS_UINT16:
      return g_variant_get_uint16 (value);
    case G_VARIANT_CLASS_INT32:
      return g_variant_get_int32 (value);
    case G_VARIANT_CLASS_UINT32:
      return g_variant_get_uint32 (value);
    case G_VARIANT_CLASS_INT64:
      return g_variant_get_int64 (value);
    case G_VARIANT_CLASS_UINT64:
      return (gint64) MIN (g_variant_get_uint64 (value), (guint64) G_MAXINT64);
    case G_VARIANT_CLASS_BOOLEAN:
    case G_VARIANT_CLASS_HANDLE:
    case G_VARIANT_CLASS_DOUBLE:
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
    case G_VARIANT_CLASS_VARIANT:
    case G_VARIANT_CLASS_MAYBE:
    case G_VARIANT_CLASS_ARRAY:
    case G_VARIANT_CLASS_TUPLE:
    case G_VARIANT_CLASS_DICT_ENTRY:
    default:
      return otherwise;
    }
}

gboolean
bh_lookup_boolean (GVariant *dictionary, const char *key)
{
  gboolean value = FALSE;

  return dictionary != NULL && g_variant_lookup (dictionary, key, "b", &value) && value;
}
