/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "label-picker.h"

#include "label-strip.h"

#include <glib/gi18n.h>

enum { CHECK_DELAY_MS = 120 };

typedef struct
{
  char      *name, *group;
  guint      minimum, maximum;  /* of the level */
  char     **excludes, **requires;
  GtkWidget *button;
} Word;

struct _BhLabelPicker
{
  GtkWidget     parent_instance;
  BhLibrary    *library;
  GVariant     *encodings;
  GPtrArray    *words;          /* Word, in the order of the banner */
  GArray       *level_values;   /* guint */
  GCancellable *cancellable;
  char         *label;
  guint         check_source;
  gboolean      valid, filling;
  GtkWidget    *box, *strip, *problem, *level_row, *words_row, *words_box, *integrity_row;
};

enum { PROP_0, PROP_VALID, PROP_LABEL, N_PROPS };

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (BhLabelPicker, bh_label_picker, GTK_TYPE_WIDGET)

static void
word_free (gpointer data)
{
  Word *word = data;

  g_free (word->name);
  g_free (word->group);
  g_strfreev (word->excludes);
  g_strfreev (word->requires);
  g_free (word);
}

/* ------------------------------------------------------------------------------------------------ text */

static const char *
selected_name (GtkWidget *row)
{
  GObject *item = adw_combo_row_get_selected_item (ADW_COMBO_ROW (row));

  return item ? gtk_string_object_get_string (GTK_STRING_OBJECT (item)) : NULL;
}

static char *
group_prefix (BhLabelPicker *self, const char *name)
{
  g_autoptr (GVariant) groups = g_variant_lookup_value (self->encodings, "groups", G_VARIANT_TYPE ("aa{sv}"));
  GVariantIter         iter;
  GVariant            *group;
  char                *prefix = NULL;

  if (groups == NULL)
    return g_strdup ("");
  g_variant_iter_init (&iter, groups);
  while ((group = g_variant_iter_next_value (&iter)) != NULL)
    {
      if (prefix == NULL && g_str_equal (bh_lookup_string (group, "name", ""), name))
        prefix = g_strdup (bh_lookup_string (group, "prefix", ""));
      g_variant_unref (group);
    }
  return prefix ? prefix : g_strdup ("");
}

/* LEVEL//WORD/WORD//PREFIX-WORD [INTEGRITY]: words of a group are joined by one stroke, groups by two. */
static char *
compose (BhLabelPicker *self)
{
  const char *level = selected_name (self->level_row);
  const char *group = NULL;
  GString    *text;

  if (level == NULL)
    return g_strdup ("");
  text = g_string_new (level);
  for (guint i = 0; i < self->words->len; i++)
    {
      Word *word = g_ptr_array_index (self->words, i);

      if (!gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (word->button)) || !gtk_widget_get_sensitive (word->button))
        continue;
      if (g_strcmp0 (group, word->group) == 0)
        g_string_append_c (text, '/');
      else
        {
          g_autofree char *prefix = group_prefix (self, word->group);

          g_string_append_printf (text, "//%s", prefix);
        }
      g_string_append (text, word->name);
      group = word->group;
    }
  if (gtk_widget_get_visible (self->integrity_row) && adw_combo_row_get_selected (ADW_COMBO_ROW (self->integrity_row)) > 0)
    g_string_append_printf (text, " [%s]", selected_name (self->integrity_row));
  return g_string_free (text, FALSE);
}

static void
set_valid (BhLabelPicker *self, gboolean valid, const char *problem)
{
  gtk_label_set_text (GTK_LABEL (self->problem), problem ? problem : "");
  gtk_widget_set_visible (self->problem, problem != NULL && *problem != '\0');
  if (self->valid == valid)
    return;
  self->valid = valid;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_VALID]);
}

static void
on_shown (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant)    label = NULL;
  g_autoptr (GError)      error = NULL;
  g_autoptr (BhLabelLook) look = NULL;
  BhLabelPicker          *self;

  if (!bh_guard1_call_show_label_finish (BH_GUARD1 (source), &label, result, &error))
    {
      if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
      g_dbus_error_strip_remote_error (error);
      set_valid (BH_LABEL_PICKER (data), FALSE, error->message);
      return;
    }
  self = BH_LABEL_PICKER (data);
  look = bh_label_look_new_from_variant (label, "");
  bh_label_strip_set_look (BH_LABEL_STRIP (self->strip), look);
  if (bh_lookup_boolean (label, "valid"))
    set_valid (self, TRUE, NULL);
  else
    set_valid (self, FALSE, bh_lookup_string (label, "problem", _("This combination is not a label.")));
}

static gboolean
check (gpointer data)
{
  BhLabelPicker *self = data;
  BhGuard1      *guard = self->library ? bh_library_get_guard (self->library) : NULL;

  self->check_source = 0;
  g_cancellable_cancel (self->cancellable);
  g_object_unref (self->cancellable);
  self->cancellable = g_cancellable_new ();
  if (guard != NULL)
    bh_guard1_call_show_label (guard, self->label, self->cancellable, on_shown, self);
  return G_SOURCE_REMOVE;
}

/* ------------------------------------------------------------------------------------------------ which words go */

static gboolean
names_active_word (BhLabelPicker *self, char **names)
{
  for (guint i = 0; i < self->words->len; i++)
    {
      Word *word = g_ptr_array_index (self->words, i);

      if (names != NULL && g_strv_contains ((const char *const *) names, word->name) &&
          gtk_widget_get_sensitive (word->button) && gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (word->button)))
        return TRUE;
    }
  return FALSE;
}

static gboolean
is_excluded (BhLabelPicker *self, const Word *word)
{
  if (names_active_word (self, word->excludes))
    return TRUE;
  for (guint i = 0; i < self->words->len; i++)
    {
      Word *other = g_ptr_array_index (self->words, i);

      if (other != word && other->excludes != NULL && gtk_widget_get_sensitive (other->button) &&
          gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (other->button)) &&
          g_strv_contains ((const char *const *) other->excludes, word->name))
        return TRUE;
    }
  return FALSE;
}

static void
activate_required (BhLabelPicker *self, const Word *word)
{
  if (word->requires == NULL)
    return;
  for (guint i = 0; i < self->words->len; i++)
    {
      Word *other = g_ptr_array_index (self->words, i);

      if (g_strv_contains ((const char *const *) word->requires, other->name))
        gtk_toggle_button_set_active (GTK_TOGGLE_BUTTON (other->button), TRUE);
    }
}

static void
refresh (BhLabelPicker *self)
{
  const guint      selected = adw_combo_row_get_selected (ADW_COMBO_ROW (self->level_row));
  const guint      level = selected < self->level_values->len ? g_array_index (self->level_values, guint, selected) : 0;
  g_autofree char *chosen = NULL;
  GString         *words = g_string_new (NULL);
  guint            n_offered = 0;

  if (self->filling || self->encodings == NULL)
    {
      g_string_free (words, TRUE);
      return;
    }
  for (guint i = 0; i < self->words->len; i++)
    {
      Word          *word = g_ptr_array_index (self->words, i);
      const gboolean fits = level >= word->minimum && level <= word->maximum;

      gtk_widget_set_visible (gtk_widget_get_parent (word->button), fits);
      gtk_widget_set_sensitive (word->button, fits);
      n_offered += fits;
    }
  for (guint i = 0; i < self->words->len; i++)
    {
      Word *word = g_ptr_array_index (self->words, i);

      if (!gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (word->button)) && is_excluded (self, word))
        gtk_widget_set_sensitive (word->button, FALSE);
      if (gtk_widget_get_sensitive (word->button) && gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (word->button)))
        g_string_append_printf (words, "%s%s", words->len ? ", " : "", word->name);
    }
  gtk_widget_set_visible (self->words_row, n_offered > 0);
  chosen = g_markup_escape_text (words->len ? words->str : _("None"), -1);
  adw_expander_row_set_subtitle (ADW_EXPANDER_ROW (self->words_row), chosen);
  g_string_free (words, TRUE);

  g_free (self->label);
  self->label = compose (self);
  set_valid (self, FALSE, NULL);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LABEL]);
  g_clear_handle_id (&self->check_source, g_source_remove);
  self->check_source = g_timeout_add (CHECK_DELAY_MS, check, self);
}

static void
on_word_toggled (GtkToggleButton *button, BhLabelPicker *self)
{
  if (self->filling)
    return;
  if (gtk_toggle_button_get_active (button))
    for (guint i = 0; i < self->words->len; i++)
      {
        Word *word = g_ptr_array_index (self->words, i);

        if (word->button == GTK_WIDGET (button))
          {
            self->filling = TRUE;
            activate_required (self, word);
            self->filling = FALSE;
          }
      }
  refresh (self);
}

/* ------------------------------------------------------------------------------------------------ filling */

static guint
level_value (GVariant *levels, const char *name, guint otherwise)
{
  GVariantIter iter;
  GVariant    *level;
  guint        value = otherwise;

  if (name == NULL || *name == '\0')
    return otherwise;
  g_variant_iter_init (&iter, levels);
  while ((level = g_variant_iter_next_value (&iter)) != NULL)
    {
      if (g_str_equal (bh_lookup_string (level, "name", ""), name))
        value = (guint) bh_lookup_number (level, "value", otherwise);
      g_variant_unref (level);
    }
  return value;
}

static void
fill_levels (BhLabelPicker *self, GVariant *levels)
{
  GtkStringList *names = gtk_string_list_new (NULL);
  GVariantIter   iter;
  GVariant      *level;

  g_array_set_size (self->level_values, 0);
  g_variant_iter_init (&iter, levels);
  while ((level = g_variant_iter_next_value (&iter)) != NULL)
    {
      const guint value = (guint) bh_lookup_number (level, "value", 0);

      gtk_string_list_append (names, bh_lookup_string (level, "name", ""));
      g_array_append_val (self->level_values, value);
      g_variant_unref (level);
    }
  adw_combo_row_set_model (ADW_COMBO_ROW (self->level_row), G_LIST_MODEL (names));
  g_object_unref (names);
}

static void
fill_words (BhLabelPicker *self, GVariant *levels)
{
  g_autoptr (GVariant) words = g_variant_lookup_value (self->encodings, "words", G_VARIANT_TYPE ("aa{sv}"));
  GVariantIter         iter;
  GVariant            *dictionary;
  GtkWidget           *child;

  g_ptr_array_set_size (self->words, 0);
  while ((child = gtk_widget_get_first_child (self->words_box)) != NULL)
    gtk_flow_box_remove (GTK_FLOW_BOX (self->words_box), child);
  if (words == NULL)
    return;
  g_variant_iter_init (&iter, words);
  while ((dictionary = g_variant_iter_next_value (&iter)) != NULL)
    {
      Word *word;

      if (g_variant_lookup (dictionary, "reachable", "b", &(gboolean) { FALSE }) &&
          !bh_lookup_boolean (dictionary, "reachable"))
        {
          g_variant_unref (dictionary);
          continue;
        }
      word = g_new0 (Word, 1);
      word->name = g_strdup (bh_lookup_string (dictionary, "name", ""));
      word->group = g_strdup (bh_lookup_string (dictionary, "group", ""));
      word->minimum = level_value (levels, bh_lookup_string (dictionary, "minimum", NULL), 0);
      word->maximum = level_value (levels, bh_lookup_string (dictionary, "maximum", NULL), G_MAXUINT);
      g_variant_lookup (dictionary, "excludes", "^as", &word->excludes);
      g_variant_lookup (dictionary, "requires", "^as", &word->requires);
      word->button = gtk_toggle_button_new_with_label (word->name);
      gtk_widget_add_css_class (word->button, "word-chip");
      g_signal_connect (word->button, "toggled", G_CALLBACK (on_word_toggled), self);
      gtk_flow_box_insert (GTK_FLOW_BOX (self->words_box), word->button, -1);
      gtk_widget_set_focusable (gtk_widget_get_parent (word->button), FALSE);
      g_ptr_array_add (self->words, word);
      g_variant_unref (dictionary);
    }
}

static void
fill_integrity (BhLabelPicker *self)
{
  g_autoptr (GVariant) levels = g_variant_lookup_value (self->encodings, "integrity-levels", G_VARIANT_TYPE ("aa{sv}"));
  GtkStringList       *names = gtk_string_list_new ((const char *const[]) { _("As the level has it"), NULL });
  GVariantIter         iter;
  GVariant            *level;

  if (levels != NULL)
    {
      g_variant_iter_init (&iter, levels);
      while ((level = g_variant_iter_next_value (&iter)) != NULL)
        {
          gtk_string_list_append (names, bh_lookup_string (level, "name", ""));
          g_variant_unref (level);
        }
    }
  adw_combo_row_set_model (ADW_COMBO_ROW (self->integrity_row), G_LIST_MODEL (names));
  gtk_widget_set_visible (self->integrity_row, g_list_model_get_n_items (G_LIST_MODEL (names)) > 2);
  g_object_unref (names);
}

static void
fill (BhLabelPicker *self)
{
  g_autoptr (GVariant) levels = NULL;
  const char          *wanted;

  g_clear_pointer (&self->encodings, g_variant_unref);
  self->encodings = self->library ? bh_library_get_encodings (self->library) : NULL;
  if (self->encodings == NULL)
    return;
  g_variant_ref (self->encodings);
  levels = g_variant_lookup_value (self->encodings, "levels", G_VARIANT_TYPE ("aa{sv}"));
  if (levels == NULL)
    return;
  self->filling = TRUE;
  fill_levels (self, levels);
  fill_words (self, levels);
  fill_integrity (self);
  self->filling = FALSE;
  wanted = self->label && *self->label ? self->label : bh_lookup_string (self->encodings, "default-label", "");
  bh_label_picker_set_label (self, wanted);
}

static void
bh_label_picker_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BhLabelPicker *self = BH_LABEL_PICKER (object);

  switch (id)
    {
    case PROP_VALID:
      g_value_set_boolean (value, self->valid);
      break;
    case PROP_LABEL:
      g_value_set_string (value, self->label);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bh_label_picker_dispose (GObject *object)
{
  BhLabelPicker *self = BH_LABEL_PICKER (object);

  g_clear_handle_id (&self->check_source, g_source_remove);
  g_cancellable_cancel (self->cancellable);
  g_clear_pointer (&self->box, gtk_widget_unparent);
  g_clear_object (&self->library);

  G_OBJECT_CLASS (bh_label_picker_parent_class)->dispose (object);
}

static void
bh_label_picker_finalize (GObject *object)
{
  BhLabelPicker *self = BH_LABEL_PICKER (object);

  g_clear_pointer (&self->encodings, g_variant_unref);
  g_clear_pointer (&self->words, g_ptr_array_unref);
  g_clear_pointer (&self->level_values, g_array_unref);
  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->label, g_free);

  G_OBJECT_CLASS (bh_label_picker_parent_class)->finalize (object);
}

static void
bh_label_picker_class_init (BhLabelPickerClass *klass)
{
  GObjectClass     *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass   *widget_class = GTK_WIDGET_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = bh_label_picker_get_property;
  object_class->dispose = bh_label_picker_dispose;
  object_class->finalize = bh_label_picker_finalize;

  properties[PROP_VALID] = g_param_spec_boolean ("valid", NULL, NULL, FALSE, flags);
  properties[PROP_LABEL] = g_param_spec_string ("label", NULL, NULL, NULL, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
}

static void
bh_label_picker_init (BhLabelPicker *self)
{
  GtkWidget *list = gtk_list_box_new ();
  GtkWidget *strip_frame = adw_bin_new ();
  GtkWidget *words_frame;

  self->words = g_ptr_array_new_with_free_func (word_free);
  self->level_values = g_array_new (FALSE, FALSE, sizeof (guint));
  self->cancellable = g_cancellable_new ();

  self->strip = bh_label_strip_new ();
  adw_bin_set_child (ADW_BIN (strip_frame), self->strip);
  gtk_widget_add_css_class (strip_frame, "label-preview");
  gtk_widget_set_overflow (strip_frame, GTK_OVERFLOW_HIDDEN);

  self->level_row = adw_combo_row_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->level_row), _("Level"));
  g_signal_connect_swapped (self->level_row, "notify::selected", G_CALLBACK (refresh), self);

  self->words_row = adw_expander_row_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->words_row), _("Words"));
  self->words_box = gtk_flow_box_new ();
  gtk_flow_box_set_selection_mode (GTK_FLOW_BOX (self->words_box), GTK_SELECTION_NONE);
  gtk_flow_box_set_max_children_per_line (GTK_FLOW_BOX (self->words_box), 6);
  gtk_flow_box_set_column_spacing (GTK_FLOW_BOX (self->words_box), 6);
  gtk_flow_box_set_row_spacing (GTK_FLOW_BOX (self->words_box), 6);
  words_frame = adw_bin_new ();
  adw_bin_set_child (ADW_BIN (words_frame), self->words_box);
  gtk_widget_set_margin_top (words_frame, 12);
  gtk_widget_set_margin_bottom (words_frame, 12);
  gtk_widget_set_margin_start (words_frame, 12);
  gtk_widget_set_margin_end (words_frame, 12);
  adw_expander_row_add_row (ADW_EXPANDER_ROW (self->words_row), words_frame);

  self->integrity_row = adw_combo_row_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->integrity_row), _("Integrity"));
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->integrity_row), _("How far its contents can be trusted"));
  g_signal_connect_swapped (self->integrity_row, "notify::selected", G_CALLBACK (refresh), self);

  gtk_list_box_set_selection_mode (GTK_LIST_BOX (list), GTK_SELECTION_NONE);
  gtk_widget_add_css_class (list, "boxed-list");
  gtk_list_box_append (GTK_LIST_BOX (list), self->level_row);
  gtk_list_box_append (GTK_LIST_BOX (list), self->words_row);
  gtk_list_box_append (GTK_LIST_BOX (list), self->integrity_row);

  self->problem = gtk_label_new (NULL);
  gtk_label_set_wrap (GTK_LABEL (self->problem), TRUE);
  gtk_label_set_xalign (GTK_LABEL (self->problem), 0);
  gtk_widget_add_css_class (self->problem, "error");
  gtk_widget_set_visible (self->problem, FALSE);

  self->box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 12);
  gtk_box_append (GTK_BOX (self->box), strip_frame);
  gtk_box_append (GTK_BOX (self->box), list);
  gtk_box_append (GTK_BOX (self->box), self->problem);
  gtk_widget_set_parent (self->box, GTK_WIDGET (self));
}

GtkWidget *
bh_label_picker_new (BhLibrary *library)
{
  BhLabelPicker *self = g_object_new (BH_TYPE_LABEL_PICKER, NULL);

  bh_label_picker_set_library (self, library);
  return GTK_WIDGET (self);
}

void
bh_label_picker_set_library (BhLabelPicker *self, BhLibrary *library)
{
  g_return_if_fail (BH_IS_LABEL_PICKER (self));

  g_set_object (&self->library, library);
  fill (self);
}

static gboolean
has_word (char **parts, const char *prefix, const char *name)
{
  g_autofree char *whole = g_strconcat (prefix, name, NULL);

  return g_strv_contains ((const char *const *) parts, name) || g_strv_contains ((const char *const *) parts, whole);
}

/* Sets the rows from a banner text made of known names; anything else is left to the guard to judge. */
void
bh_label_picker_set_label (BhLabelPicker *self, const char *label)
{
  g_autoptr (GRegex) integrity = g_regex_new ("\\s*\\[([^]]*)\\]\\s*$", 0, 0, NULL);
  g_autoptr (GMatchInfo) found = NULL;
  g_autofree char   *words = NULL, *integrity_name = NULL;
  g_auto (GStrv)     parts = NULL;
  GListModel        *levels, *integrities;

  g_return_if_fail (BH_IS_LABEL_PICKER (self));

  if (g_strcmp0 (self->label, label) != 0)
    {
      g_free (self->label);
      self->label = g_strdup (label);
    }
  if (self->encodings == NULL || label == NULL)
    return;
  if (g_regex_match (integrity, label, 0, &found))
    integrity_name = g_match_info_fetch (found, 1);
  words = g_regex_replace (integrity, label, -1, 0, "", 0, NULL);
  parts = g_regex_split_simple ("/+", words, 0, 0);
  levels = adw_combo_row_get_model (ADW_COMBO_ROW (self->level_row));
  integrities = adw_combo_row_get_model (ADW_COMBO_ROW (self->integrity_row));

  self->filling = TRUE;
  for (guint i = 0; parts[0] != NULL && i < g_list_model_get_n_items (levels); i++)
    if (g_str_equal (gtk_string_list_get_string (GTK_STRING_LIST (levels), i), parts[0]))
      adw_combo_row_set_selected (ADW_COMBO_ROW (self->level_row), i);
  for (guint i = 0; i < self->words->len; i++)
    {
      Word            *word = g_ptr_array_index (self->words, i);
      g_autofree char *prefix = group_prefix (self, word->group);

      gtk_widget_set_sensitive (word->button, TRUE);
      gtk_toggle_button_set_active (GTK_TOGGLE_BUTTON (word->button),
                                    parts[0] != NULL && has_word (parts + 1, prefix, word->name));
    }
  adw_combo_row_set_selected (ADW_COMBO_ROW (self->integrity_row), 0);
  for (guint i = 1; integrity_name != NULL && i < g_list_model_get_n_items (integrities); i++)
    if (g_str_equal (gtk_string_list_get_string (GTK_STRING_LIST (integrities), i), integrity_name))
      adw_combo_row_set_selected (ADW_COMBO_ROW (self->integrity_row), i);
  self->filling = FALSE;
  refresh (self);
}

const char *
bh_label_picker_get_label (BhLabelPicker *self)
{
  g_return_val_if_fail (BH_IS_LABEL_PICKER (self), NULL);

  return self->label;
}

gboolean
bh_label_picker_get_valid (BhLabelPicker *self)
{
  g_return_val_if_fail (BH_IS_LABEL_PICKER (self), FALSE);

  return self->valid;
}
