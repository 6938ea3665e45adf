/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine-settings.h"

#include "guard-call.h"
#include "label-strip.h"
#include "labelled-dialog.h"
#include "user-messages.h"

#include <glib/gi18n.h>

struct _BhMachineSettings
{
  AdwPreferencesWindow parent_instance;
  BhLibrary           *library;
  BhMachine           *machine;
  GCancellable        *cancellable;
  gboolean             filling;
  guint                notes_source;
  GPtrArray           *when_off;        /* groups that need a machine that is off */
  GPtrArray           *media_rows, *snapshot_rows, *folder_rows;
  GtkWidget           *name_row, *strip, *label_row, *file_row, *encrypted_row, *notes_view;
  GtkWidget           *memory_spin, *cpu_row, *engine_row, *boot_row, *clock_row, *sound_switch;
  GtkWidget           *undetectable_switch, *fuzzy_switch;
  GtkWidget           *media_group, *network_row, *folder_group, *parallel_row, *snapshot_group, *no_folders, *no_snapshots;
};

G_DEFINE_FINAL_TYPE (BhMachineSettings, bh_machine_settings, ADW_TYPE_PREFERENCES_WINDOW)

static const char *const cpus[] = { "pentium", "pentium2", "pentium3", "pentium-m", NULL };
static const char *const engines[] = { "auto", "translator", "interpreter", NULL };
static const char *const clocks[] = { "utc", "local", NULL };
static const char *const parallels[] = { "none", "printer", NULL };

/* Orders in which a machine looks for something to boot. */
static const struct { const char *text; const char *devices[4]; } boots[] = {
  { N_("Floppy, CD, disk"), { "floppy", "cdrom", "disk", NULL } },
  { N_("CD, disk, floppy"), { "cdrom", "disk", "floppy", NULL } },
  { N_("Disk first"), { "disk", "cdrom", "floppy", NULL } },
  { N_("Disk only"), { "disk", NULL, NULL, NULL } },
};

static const char *
name_of (BhMachineSettings *self)
{
  return bh_machine_get_name (self->machine);
}

static void
set_option (BhMachineSettings *self, const char *key, GVariant *value)
{
  if (self->filling)
    {
      g_variant_unref (g_variant_ref_sink (value));
      return;
    }
  bh_guard_call (GTK_WIDGET (self), self->library, "SetMachine",
                 g_variant_new ("(s@a{sv})", name_of (self), bh_one_option (key, value)), _("Cannot change this"), NULL);
}

/* ------------------------------------------------------------------------------------------------ rows */

static GtkWidget *
new_group (GtkWidget *page, const char *title, const char *description)
{
  GtkWidget *group = adw_preferences_group_new ();

  if (title != NULL)
    adw_preferences_group_set_title (ADW_PREFERENCES_GROUP (group), title);
  if (description != NULL)
    adw_preferences_group_set_description (ADW_PREFERENCES_GROUP (group), description);
  adw_preferences_page_add (ADW_PREFERENCES_PAGE (page), ADW_PREFERENCES_GROUP (group));
  return group;
}

static GtkWidget *
new_page (BhMachineSettings *self, const char *title, const char *icon)
{
  GtkWidget *page = adw_preferences_page_new ();

  adw_preferences_page_set_title (ADW_PREFERENCES_PAGE (page), title);
  adw_preferences_page_set_icon_name (ADW_PREFERENCES_PAGE (page), icon);
  adw_preferences_window_add (ADW_PREFERENCES_WINDOW (self), ADW_PREFERENCES_PAGE (page));
  return page;
}

static GtkWidget *
new_row (GtkWidget *group, const char *title, const char *subtitle)
{
  GtkWidget *row = adw_action_row_new ();

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  if (subtitle != NULL)
    adw_action_row_set_subtitle (ADW_ACTION_ROW (row), subtitle);
  if (group != NULL)
    adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), row);
  return row;
}

static GtkWidget *
add_switch (GtkWidget *group, const char *title, const char *subtitle)
{
  GtkWidget *row = new_row (group, title, subtitle);
  GtkWidget *widget = gtk_switch_new ();

  gtk_widget_set_valign (widget, GTK_ALIGN_CENTER);
  adw_action_row_add_suffix (ADW_ACTION_ROW (row), widget);
  adw_action_row_set_activatable_widget (ADW_ACTION_ROW (row), widget);
  gtk_accessible_update_property (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_PROPERTY_LABEL, title, -1);
  return widget;
}

static GtkWidget *
add_combo (GtkWidget *group, const char *title, const char *subtitle, const char *const *texts)
{
  GtkWidget     *row = adw_combo_row_new ();
  GtkStringList *list = gtk_string_list_new (texts);

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  if (subtitle != NULL)
    adw_action_row_set_subtitle (ADW_ACTION_ROW (row), subtitle);
  adw_combo_row_set_model (ADW_COMBO_ROW (row), G_LIST_MODEL (list));
  g_object_unref (list);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), row);
  return row;
}

static GtkWidget *
add_button (GtkWidget *row, const char *icon, const char *text, GCallback callback, gpointer self, const char *tag)
{
  GtkWidget *button = gtk_button_new_from_icon_name (icon);

  gtk_widget_set_tooltip_text (button, text);
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
  gtk_widget_add_css_class (button, "flat");
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  g_object_set_data_full (G_OBJECT (button), "tag", g_strdup (tag), g_free);
  g_signal_connect (button, "clicked", callback, self);
  adw_action_row_add_suffix (ADW_ACTION_ROW (row), button);
  return button;
}

static const char *
tag_of (gpointer object)
{
  return g_object_get_data (G_OBJECT (object), "tag");
}

static guint
index_of (const char *const *list, const char *text)
{
  for (guint i = 0; list[i] != NULL; i++)
    if (g_str_equal (list[i], text))
      return i;
  return 0;
}

static void
clear_rows (GtkWidget *group, GPtrArray *rows)
{
  for (guint i = 0; i < rows->len; i++)
    adw_preferences_group_remove (ADW_PREFERENCES_GROUP (group), g_ptr_array_index (rows, i));
  g_ptr_array_set_size (rows, 0);
}

/* ------------------------------------------------------------------------------------------------ general */

static void
on_name_applied (AdwEntryRow *row, BhMachineSettings *self)
{
  bh_guard_call (GTK_WIDGET (self), self->library, "RenameMachine",
                 g_variant_new ("(ss)", name_of (self), gtk_editable_get_text (GTK_EDITABLE (row))), _("Cannot rename"), NULL);
}

static void
on_label_chosen (const char *name, const char *label, gboolean option, gpointer data)
{
  BhMachineSettings *self = data;

  set_option (self, "label", g_variant_new_string (label));
}

static void
on_raise_label (GtkButton *button, BhMachineSettings *self)
{
  bh_labelled_dialog_ask (GTK_WIDGET (self), self->library, _("Raise the Label"),
                          _("The machine’s disks and snapshots go with it. This cannot be undone."), _("_Raise"), NULL,
                          bh_machine_get_look (self->machine)->label, NULL, on_label_chosen, g_object_ref (self),
                          g_object_unref);
}

static gboolean
save_notes (gpointer data)
{
  BhMachineSettings *self = data;
  GtkTextBuffer     *buffer = gtk_text_view_get_buffer (GTK_TEXT_VIEW (self->notes_view));
  GtkTextIter        start, end;
  g_autofree char   *text = NULL;

  self->notes_source = 0;
  gtk_text_buffer_get_bounds (buffer, &start, &end);
  text = gtk_text_buffer_get_text (buffer, &start, &end, FALSE);
  set_option (self, "notes", g_variant_new_string (text));
  return G_SOURCE_REMOVE;
}

static void
on_notes_changed (BhMachineSettings *self)
{
  if (self->filling)
    return;
  g_clear_handle_id (&self->notes_source, g_source_remove);
  self->notes_source = g_timeout_add (800, save_notes, self);
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhMachineSettings) self = data;
  g_autoptr (GVariant)          outcome = NULL;
  g_autoptr (GError)            error = NULL;
  g_auto (GStrv)                messages = NULL;
  g_autofree char              *text = NULL;

  if (!bh_guard1_call_check_machine_finish (BH_GUARD1 (source), &outcome, result, &error))
    {
      bh_messages_error (GTK_WIDGET (self), _("Cannot check the file"), error);
      return;
    }
  if (bh_lookup_boolean (outcome, "ok"))
    {
      bh_messages_toast (GTK_WIDGET (self), _("The file is sound"));
      return;
    }
  g_variant_lookup (outcome, "messages", "^as", &messages);
  text = messages ? g_strjoinv ("\n", messages) : g_strdup ("");
  g_set_error_literal (&error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, text);
  bh_messages_error (GTK_WIDGET (self), _("The File Is Damaged"), error);
}

static void
on_check (GtkButton *button, BhMachineSettings *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  if (guard != NULL)
    bh_guard1_call_check_machine (guard, name_of (self), bh_no_options (), NULL, on_checked, g_object_ref (self));
}

static void
build_general (BhMachineSettings *self)
{
  GtkWidget *page = new_page (self, _("General"), "computer-symbolic");
  GtkWidget *group = new_group (page, NULL, NULL);
  GtkWidget *frame = adw_bin_new ();
  GtkWidget *scroller = gtk_scrolled_window_new ();
  GtkWidget *button, *notes;

  self->strip = bh_label_strip_new ();
  adw_bin_set_child (ADW_BIN (frame), self->strip);
  gtk_widget_add_css_class (frame, "label-preview");
  gtk_widget_set_overflow (frame, GTK_OVERFLOW_HIDDEN);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), frame);

  group = new_group (page, NULL, NULL);
  self->name_row = adw_entry_row_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->name_row), _("Name"));
  adw_entry_row_set_show_apply_button (ADW_ENTRY_ROW (self->name_row), TRUE);
  g_signal_connect (self->name_row, "apply", G_CALLBACK (on_name_applied), self);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), self->name_row);
  self->label_row = new_row (group, _("Label"), NULL);
  button = gtk_button_new_with_mnemonic (_("_Raise…"));
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  g_signal_connect (button, "clicked", G_CALLBACK (on_raise_label), self);
  adw_action_row_add_suffix (ADW_ACTION_ROW (self->label_row), button);
  g_ptr_array_add (self->when_off, button);

  group = new_group (page, NULL, NULL);
  self->file_row = new_row (group, _("File"), NULL);
  adw_action_row_set_subtitle_lines (ADW_ACTION_ROW (self->file_row), 0);
  button = gtk_button_new_with_mnemonic (_("_Check"));
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  g_signal_connect (button, "clicked", G_CALLBACK (on_check), self);
  adw_action_row_add_suffix (ADW_ACTION_ROW (self->file_row), button);
  g_ptr_array_add (self->when_off, button);
  self->encrypted_row = new_row (group, _("Encryption"), NULL);

  notes = new_group (page, _("Notes"), NULL);
  self->notes_view = gtk_text_view_new ();
  gtk_text_view_set_wrap_mode (GTK_TEXT_VIEW (self->notes_view), GTK_WRAP_WORD_CHAR);
  gtk_text_view_set_left_margin (GTK_TEXT_VIEW (self->notes_view), 12);
  gtk_text_view_set_right_margin (GTK_TEXT_VIEW (self->notes_view), 12);
  gtk_text_view_set_top_margin (GTK_TEXT_VIEW (self->notes_view), 12);
  gtk_text_view_set_bottom_margin (GTK_TEXT_VIEW (self->notes_view), 12);
  gtk_text_view_set_accepts_tab (GTK_TEXT_VIEW (self->notes_view), FALSE);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->notes_view), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Notes"), -1);
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (scroller), self->notes_view);
  gtk_scrolled_window_set_min_content_height (GTK_SCROLLED_WINDOW (scroller), 140);
  gtk_widget_add_css_class (scroller, "card");
  gtk_widget_set_overflow (scroller, GTK_OVERFLOW_HIDDEN);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (notes), scroller);
  g_signal_connect_swapped (gtk_text_view_get_buffer (GTK_TEXT_VIEW (self->notes_view)), "changed",
                            G_CALLBACK (on_notes_changed), self);
}

/* ------------------------------------------------------------------------------------------------ hardware */

static void
on_memory_changed (GtkSpinButton *spin, BhMachineSettings *self)
{
  set_option (self, "memory", g_variant_new_uint32 ((guint32) gtk_spin_button_get_value_as_int (spin)));
}

static void
on_combo_changed (AdwComboRow *row, GParamSpec *pspec, BhMachineSettings *self)
{
  const char *const *values = g_object_get_data (G_OBJECT (row), "values");
  const guint        selected = adw_combo_row_get_selected (row);

  if (values != NULL && selected < g_strv_length ((char **) values))
    set_option (self, tag_of (row), g_variant_new_string (values[selected]));
}

static void
watch_combo (BhMachineSettings *self, GtkWidget *row, const char *key, const char *const *values)
{
  g_object_set_data_full (G_OBJECT (row), "tag", g_strdup (key), g_free);
  g_object_set_data (G_OBJECT (row), "values", (gpointer) values);
  g_signal_connect (row, "notify::selected", G_CALLBACK (on_combo_changed), self);
}

static void
on_boot_changed (AdwComboRow *row, GParamSpec *pspec, BhMachineSettings *self)
{
  const guint selected = adw_combo_row_get_selected (row);

  if (selected < G_N_ELEMENTS (boots))
    set_option (self, "boot", g_variant_new_strv (boots[selected].devices, -1));
}

static void
on_switch_changed (GtkSwitch *widget, GParamSpec *pspec, BhMachineSettings *self)
{
  set_option (self, tag_of (widget), g_variant_new_boolean (gtk_switch_get_active (widget)));
}

static void
watch_switch (BhMachineSettings *self, GtkWidget *widget, const char *key)
{
  g_object_set_data_full (G_OBJECT (widget), "tag", g_strdup (key), g_free);
  g_signal_connect (widget, "notify::active", G_CALLBACK (on_switch_changed), self);
}

static void
build_hardware (BhMachineSettings *self)
{
  GtkWidget  *page = new_page (self, _("Hardware"), "applications-engineering-symbolic");
  GtkWidget  *group = new_group (page, _("Processor and Memory"), NULL);
  GtkWidget  *row = new_row (group, _("Memory"), _("MiB"));
  const char *boot_texts[G_N_ELEMENTS (boots) + 1] = { NULL };

  g_ptr_array_add (self->when_off, group);
  self->memory_spin = gtk_spin_button_new_with_range (1, 3584, 16);
  gtk_widget_set_valign (self->memory_spin, GTK_ALIGN_CENTER);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->memory_spin), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Memory in MiB"), -1);
  adw_action_row_add_suffix (ADW_ACTION_ROW (row), self->memory_spin);
  g_signal_connect (self->memory_spin, "value-changed", G_CALLBACK (on_memory_changed), self);
  self->cpu_row = add_combo (group, _("Processor"), NULL,
                             (const char *const[]) { "Pentium", "Pentium II", "Pentium III", "Pentium M", NULL });
  watch_combo (self, self->cpu_row, "cpu", cpus);
  self->engine_row = add_combo (group, _("Engine"), _("How instructions are carried out; the results are the same"),
                                (const char *const[]) { _("Automatic"), _("Translator"), _("Interpreter"), NULL });
  watch_combo (self, self->engine_row, "engine", engines);

  group = new_group (page, _("Start and Clock"), NULL);
  g_ptr_array_add (self->when_off, group);
  for (guint i = 0; i < G_N_ELEMENTS (boots); i++)
    boot_texts[i] = _(boots[i].text);
  self->boot_row = add_combo (group, _("Start From"), NULL, boot_texts);
  g_signal_connect (self->boot_row, "notify::selected", G_CALLBACK (on_boot_changed), self);
  self->clock_row = add_combo (group, _("Clock"), _("What the battery-backed clock shows"),
                               (const char *const[]) { _("Universal time"), _("Local time"), NULL });
  watch_combo (self, self->clock_row, "rtc", clocks);

  group = new_group (page, _("Devices and Behaviour"), NULL);
  g_ptr_array_add (self->when_off, group);
  self->sound_switch = add_switch (group, _("Sound Cards"), NULL);
  watch_switch (self, self->sound_switch, "sound");
  self->undetectable_switch = add_switch (group, _("Hard to Detect"), _("No sign for guests that ask whether they are in a virtual machine; the mouse is relative then"));
  watch_switch (self, self->undetectable_switch, "undetectable");
  self->fuzzy_switch = add_switch (group, _("Fuzzy Time"), _("Blurs the guest’s clocks against covert channels"));
  watch_switch (self, self->fuzzy_switch, "fuzzy-time");
}

/* ------------------------------------------------------------------------------------------------ media */

static void
on_insert_file (GtkNativeDialog *dialog, int response, BhMachineSettings *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr (GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
      g_autofree char  *path = file ? g_file_get_path (file) : NULL;

      if (path != NULL)
        bh_guard_call (GTK_WIDGET (self), self->library, "Insert",
                       g_variant_new ("(sss@a{sv})", name_of (self), tag_of (dialog), path, bh_no_options ()),
                       _("Cannot insert"), NULL);
    }
  g_object_unref (dialog);
}

static void
on_insert (GtkButton *button, BhMachineSettings *self)
{
  GtkFileChooserNative *dialog = gtk_file_chooser_native_new (_("Choose an Image"), GTK_WINDOW (self),
                                                              GTK_FILE_CHOOSER_ACTION_OPEN, _("_Insert"), _("_Cancel"));

  g_object_set_data_full (G_OBJECT (dialog), "tag", g_strdup (tag_of (button)), g_free);
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_insert_file), self, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

static void
on_eject (GtkButton *button, BhMachineSettings *self)
{
  bh_guard_call (GTK_WIDGET (self), self->library, "Eject", g_variant_new ("(ss)", name_of (self), tag_of (button)),
                 _("Cannot eject"), NULL);
}

static const char *
slot_title (const char *slot)
{
  if (g_str_has_prefix (slot, "disk"))
    return _("Disk");
  return g_str_has_prefix (slot, "cdrom") ? _("CD") : _("Floppy");
}

static void
add_medium_row (BhMachineSettings *self, GVariant *medium, gboolean removable)
{
  const char      *slot = bh_lookup_string (medium, "slot", "");
  const char      *path = bh_lookup_string (medium, "path", "");
  const char      *label = bh_lookup_string (medium, "label", "");
  g_autofree char *title = g_strdup_printf ("%s (%s)", slot_title (slot), slot);
  g_autofree char *text = NULL, *markup = NULL;
  GtkWidget       *row = new_row (self->media_group, title, NULL);

  text = *path ? g_strdup_printf ("%s%s%s%s", path, *label ? "\n" : "", label,
                                  bh_lookup_boolean (medium, "read-only") ? _(", read-only") : "")
               : g_strdup (removable ? _("Empty") : _("In the machine’s file"));
  markup = g_markup_escape_text (text, -1);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (row), markup);
  adw_action_row_set_icon_name (ADW_ACTION_ROW (row), g_str_has_prefix (slot, "disk") ? "drive-harddisk-symbolic"
                                : g_str_has_prefix (slot, "cdrom") ? "media-optical-symbolic" : "media-floppy-symbolic");
  if (removable)
    {
      add_button (row, "document-open-symbolic", _("Insert…"), G_CALLBACK (on_insert), self, slot);
      if (*path)
        add_button (row, "media-eject-symbolic", _("Eject"), G_CALLBACK (on_eject), self, slot);
    }
  g_ptr_array_add (self->media_rows, row);
}

static void
fill_media (BhMachineSettings *self)
{
  static const char *const keys[] = { "disks", "media" };

  clear_rows (self->media_group, self->media_rows);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autoptr (GVariant) media = g_variant_lookup_value (bh_machine_get_details (self->machine), keys[i],
                                                           G_VARIANT_TYPE ("aa{sv}"));
      GVariantIter         iter;
      GVariant            *medium;

      if (media == NULL)
        continue;
      g_variant_iter_init (&iter, media);
      while ((medium = g_variant_iter_next_value (&iter)) != NULL)
        {
          add_medium_row (self, medium, i == 1);
          g_variant_unref (medium);
        }
    }
}

/* ------------------------------------------------------------------------------------------------ network, folders */

static void
on_network_changed (AdwComboRow *row, GParamSpec *pspec, BhMachineSettings *self)
{
  GObject    *item = adw_combo_row_get_selected_item (row);
  const guint selected = adw_combo_row_get_selected (row);

  if (item != NULL)
    set_option (self, "network", g_variant_new_string (selected == 0 ? "" : gtk_string_object_get_string (GTK_STRING_OBJECT (item))));
}

static gboolean
same_label (BhMachineSettings *self, GVariant *thing)
{
  return g_str_equal (bh_lookup_string (thing, "canonical", ""), bh_machine_get_look (self->machine)->canonical);
}

static void
on_networks (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) networks = NULL;
  BhMachineSettings   *self;
  const char          *current;
  GtkStringList       *names;
  GVariantIter         iter;
  GVariant            *network;
  guint                selected = 0;

  if (!bh_guard1_call_list_networks_finish (BH_GUARD1 (source), &networks, result, NULL))
    return;
  self = BH_MACHINE_SETTINGS (data);
  current = bh_lookup_string (bh_machine_get_details (self->machine), "network", "");
  names = gtk_string_list_new ((const char *const[]) { _("None"), NULL });
  g_variant_iter_init (&iter, networks);
  while ((network = g_variant_iter_next_value (&iter)) != NULL)
    {
      const char *name = bh_lookup_string (network, "name", "");

      if (same_label (self, network) || g_str_equal (name, current))
        {
          gtk_string_list_append (names, name);
          if (g_str_equal (name, current))
            selected = g_list_model_get_n_items (G_LIST_MODEL (names)) - 1;
        }
      g_variant_unref (network);
    }
  self->filling = TRUE;
  adw_combo_row_set_model (ADW_COMBO_ROW (self->network_row), G_LIST_MODEL (names));
  adw_combo_row_set_selected (ADW_COMBO_ROW (self->network_row), selected);
  self->filling = FALSE;
  g_object_unref (names);
}

static void
on_folder_switched (GtkSwitch *widget, GParamSpec *pspec, BhMachineSettings *self)
{
  set_option (self, gtk_switch_get_active (widget) ? "folder" : "remove-folder", g_variant_new_string (tag_of (widget)));
}

static void
on_folders (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) folders = NULL;
  g_auto (GStrv)       current = NULL;
  BhMachineSettings   *self;
  GVariantIter         iter;
  GVariant            *folder;

  if (!bh_guard1_call_list_folders_finish (BH_GUARD1 (source), &folders, result, NULL))
    return;
  self = BH_MACHINE_SETTINGS (data);
  g_variant_lookup (bh_machine_get_details (self->machine), "folders", "^as", &current);
  clear_rows (self->folder_group, self->folder_rows);
  self->filling = TRUE;
  g_variant_iter_init (&iter, folders);
  while ((folder = g_variant_iter_next_value (&iter)) != NULL)
    {
      const char      *name = bh_lookup_string (folder, "name", "");
      g_autofree char *title = g_markup_escape_text (name, -1);
      g_autofree char *text = g_strdup_printf ("%s\n%s", bh_lookup_string (folder, "path", ""),
                                               bh_lookup_string (folder, "label", ""));
      g_autofree char *subtitle = g_markup_escape_text (text, -1);
      GtkWidget       *widget = add_switch (self->folder_group, title, subtitle);

      gtk_switch_set_active (GTK_SWITCH (widget), current != NULL && g_strv_contains ((const char *const *) current, name));
      g_object_set_data_full (G_OBJECT (widget), "tag", g_strdup (name), g_free);
      g_signal_connect (widget, "notify::active", G_CALLBACK (on_folder_switched), self);
      g_ptr_array_add (self->folder_rows, gtk_widget_get_ancestor (widget, ADW_TYPE_ACTION_ROW));
      g_variant_unref (folder);
    }
  self->filling = FALSE;
  gtk_widget_set_visible (self->no_folders, self->folder_rows->len == 0);
}

static void
ask_resources (BhMachineSettings *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  if (guard == NULL)
    return;
  bh_guard1_call_list_networks (guard, self->cancellable, on_networks, self);
  bh_guard1_call_list_folders (guard, self->cancellable, on_folders, self);
}

static void
build_sharing (BhMachineSettings *self)
{
  GtkWidget *page = new_page (self, _("Sharing"), "network-workgroup-symbolic");
  GtkWidget *group = new_group (page, _("Network"), _("Only a network of the same label can be joined."));

  self->network_row = add_combo (group, _("Network"), NULL, (const char *const[]) { _("None"), NULL });
  g_signal_connect (self->network_row, "notify::selected", G_CALLBACK (on_network_changed), self);
  self->folder_group = new_group (page, _("Shared Folders"), _("Read-only where the machine’s label is above the folder’s, writable where they are equal."));
  self->no_folders = new_row (self->folder_group, _("No Folders Registered"), _("Networks, Folders and Media in the main menu adds them"));
  group = new_group (page, _("Printer"), _("What is printed lies in the label’s folder, with banner and trailer."));
  self->parallel_row = add_combo (group, _("Parallel Port"), NULL, (const char *const[]) { _("Nothing"), _("Printer"), NULL });
  watch_combo (self, self->parallel_row, "parallel", parallels);
  g_ptr_array_add (self->when_off, group);
}

/* ------------------------------------------------------------------------------------------------ snapshots */

typedef struct
{
  BhMachineSettings *self;
  char              *snapshot;
} SnapshotCall;

static SnapshotCall *
snapshot_call_new (BhMachineSettings *self, const char *snapshot)
{
  SnapshotCall *call = g_new0 (SnapshotCall, 1);

  call->self = g_object_ref (self);
  call->snapshot = g_strdup (snapshot);
  return call;
}

static void
snapshot_call_free (gpointer data)
{
  SnapshotCall *call = data;

  g_object_unref (call->self);
  g_free (call->snapshot);
  g_free (call);
}

static void
on_revert_confirmed (gpointer data)
{
  SnapshotCall    *call = data;
  g_autofree char *done = g_strdup_printf (_("Back at “%s”"), call->snapshot);

  bh_guard_call (GTK_WIDGET (call->self), call->self->library, "RevertSnapshot",
                 g_variant_new ("(ss@a{sv})", name_of (call->self), call->snapshot, bh_no_options ()),
                 _("Cannot revert"), done);
}

static void
on_delete_confirmed (gpointer data)
{
  SnapshotCall *call = data;

  bh_guard_call (GTK_WIDGET (call->self), call->self->library, "DeleteSnapshot",
                 g_variant_new ("(ss)", name_of (call->self), call->snapshot), _("Cannot delete the snapshot"), NULL);
}

static void
on_rename_given (const char *text, gpointer data)
{
  SnapshotCall *call = data;

  if (text != NULL)
    bh_guard_call (GTK_WIDGET (call->self), call->self->library, "RenameSnapshot",
                   g_variant_new ("(sss)", name_of (call->self), call->snapshot, text), _("Cannot rename"), NULL);
}

static void
on_revert (GtkButton *button, BhMachineSettings *self)
{
  g_autofree char *heading = g_strdup_printf (_("Go back to “%s”?"), tag_of (button));

  bh_messages_confirm (GTK_WIDGET (self), heading, _("What has changed since then is lost unless it is in another snapshot."),
                       _("_Revert"), TRUE, on_revert_confirmed, snapshot_call_new (self, tag_of (button)), snapshot_call_free);
}

static void
on_delete_snapshot (GtkButton *button, BhMachineSettings *self)
{
  g_autofree char *heading = g_strdup_printf (_("Delete the snapshot “%s”?"), tag_of (button));

  bh_messages_confirm (GTK_WIDGET (self), heading, NULL, _("_Delete"), TRUE, on_delete_confirmed,
                       snapshot_call_new (self, tag_of (button)), snapshot_call_free);
}

static void
on_rename_snapshot (GtkButton *button, BhMachineSettings *self)
{
  bh_messages_ask_text (GTK_WIDGET (self), _("Rename Snapshot"), NULL, _("_Rename"), tag_of (button), FALSE,
                        on_rename_given, snapshot_call_new (self, tag_of (button)), snapshot_call_free);
}

static guint
snapshot_depth (GVariant *snapshots, const char *parent)
{
  guint depth = 0;

  /* A parent chain longer than the list would be a circle. */
  while (*parent != '\0' && depth < g_variant_n_children (snapshots))
    {
      GVariantIter iter;
      GVariant    *snapshot;
      const char  *next = "";

      g_variant_iter_init (&iter, snapshots);
      while ((snapshot = g_variant_iter_next_value (&iter)) != NULL)
        {
          if (g_str_equal (bh_lookup_string (snapshot, "id", ""), parent))
            next = bh_lookup_string (snapshot, "parent", "");
          g_variant_unref (snapshot);
        }
      depth++;
      parent = next;
    }
  return depth;
}

static void
add_snapshot_row (BhMachineSettings *self, GVariant *snapshot, guint depth)
{
  const char            *name = bh_lookup_string (snapshot, "name", "");
  const char            *note = bh_lookup_string (snapshot, "note", "");
  g_autoptr (GDateTime)  taken = g_date_time_new_from_unix_local (bh_lookup_number (snapshot, "taken", 0));
  g_autofree char       *time = taken ? g_date_time_format (taken, "%x %X") : g_strdup ("");
  g_autofree char       *size = g_format_size ((guint64) bh_lookup_number (snapshot, "bytes", 0));
  g_autofree char       *title = g_markup_escape_text (name, -1);
  g_autofree char       *text = g_strdup_printf ("%s · %s%s · %s%s%s", time, size,
                                                 bh_lookup_boolean (snapshot, "live") ? _(" · with memory") : "",
                                                 bh_lookup_string (snapshot, "label", ""), *note ? "\n" : "", note);
  g_autofree char       *subtitle = g_markup_escape_text (text, -1);
  GtkWidget             *row = new_row (self->snapshot_group, title, subtitle);
  GtkWidget             *indent = gtk_image_new_from_icon_name (bh_lookup_boolean (snapshot, "current") ? "emblem-ok-symbolic"
                                                                                                       : "camera-photo-symbolic");

  gtk_widget_set_margin_start (indent, (int) MIN (depth, 8) * 18);
  adw_action_row_add_prefix (ADW_ACTION_ROW (row), indent);
  add_button (row, "document-revert-symbolic", _("Revert"), G_CALLBACK (on_revert), self, name);
  add_button (row, "document-edit-symbolic", _("Rename…"), G_CALLBACK (on_rename_snapshot), self, name);
  add_button (row, "user-trash-symbolic", _("Delete…"), G_CALLBACK (on_delete_snapshot), self, name);
  g_ptr_array_add (self->snapshot_rows, row);
}

/* Children below their parents, as a tree. */
static void
add_snapshots_of (BhMachineSettings *self, GVariant *snapshots, const char *parent)
{
  GVariantIter iter;
  GVariant    *snapshot;

  if (self->snapshot_rows->len > g_variant_n_children (snapshots))
    return;
  g_variant_iter_init (&iter, snapshots);
  while ((snapshot = g_variant_iter_next_value (&iter)) != NULL)
    {
      if (g_str_equal (bh_lookup_string (snapshot, "parent", ""), parent))
        {
          const char *id = bh_lookup_string (snapshot, "id", "");

          add_snapshot_row (self, snapshot, snapshot_depth (snapshots, parent));
          if (*id)
            add_snapshots_of (self, snapshots, id);
        }
      g_variant_unref (snapshot);
    }
}

static void
on_snapshots (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) snapshots = NULL;
  BhMachineSettings   *self;

  if (!bh_guard1_call_list_snapshots_finish (BH_GUARD1 (source), &snapshots, result, NULL))
    return;
  self = BH_MACHINE_SETTINGS (data);
  clear_rows (self->snapshot_group, self->snapshot_rows);
  add_snapshots_of (self, snapshots, "");
  gtk_widget_set_visible (self->no_snapshots, self->snapshot_rows->len == 0);
}

static void
ask_snapshots (BhMachineSettings *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  if (guard != NULL)
    bh_guard1_call_list_snapshots (guard, name_of (self), self->cancellable, on_snapshots, self);
}

static void
on_take_given (const char *text, gpointer data)
{
  BhMachineSettings *self = data;

  if (text != NULL)
    bh_guard_call (GTK_WIDGET (self), self->library, "TakeSnapshot",
                   g_variant_new ("(ss@a{sv})", name_of (self), text, bh_no_options ()), _("Cannot take a snapshot"),
                   _("Snapshot taken"));
}

static void
on_take (GtkButton *button, BhMachineSettings *self)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char      *name = g_date_time_format (now, _("%Y-%m-%d %H:%M"));

  bh_messages_ask_text (GTK_WIDGET (self), _("Take a Snapshot"), NULL, _("_Take Snapshot"), name, FALSE, on_take_given,
                        g_object_ref (self), g_object_unref);
}

static void
build_snapshots (BhMachineSettings *self)
{
  GtkWidget *page = new_page (self, _("Snapshots"), "camera-photo-symbolic");
  GtkWidget *button = gtk_button_new_from_icon_name ("list-add-symbolic");

  self->snapshot_group = new_group (page, _("Snapshots"), _("States of the machine to go back to. They keep its label, or a higher one."));
  gtk_widget_add_css_class (button, "flat");
  gtk_widget_set_tooltip_text (button, _("Take a Snapshot"));
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Take a Snapshot"), -1);
  g_signal_connect (button, "clicked", G_CALLBACK (on_take), self);
  adw_preferences_group_set_header_suffix (ADW_PREFERENCES_GROUP (self->snapshot_group), button);
  self->no_snapshots = new_row (self->snapshot_group, _("None Yet"), NULL);
}

/* ------------------------------------------------------------------------------------------------ the object */

static void
fill (BhMachineSettings *self)
{
  GVariant            *details = bh_machine_get_details (self->machine);
  const BhLabelLook   *look = bh_machine_get_look (self->machine);
  const BhMachineState state = bh_machine_get_state (self->machine);
  const gboolean       off = state == BH_MACHINE_OFF || state == BH_MACHINE_CRASHED;
  const char          *notes = bh_lookup_string (details, "notes", "");
  g_autofree char     *title = g_strdup_printf (_("%s: Settings"), name_of (self));
  g_autofree char     *file = g_markup_escape_text (bh_lookup_string (details, "file", ""), -1);
  g_autofree char     *label = g_markup_escape_text (look->text, -1);
  g_auto (GStrv)       boot = NULL;
  GtkTextBuffer       *buffer = gtk_text_view_get_buffer (GTK_TEXT_VIEW (self->notes_view));

  self->filling = TRUE;
  gtk_window_set_title (GTK_WINDOW (self), title);
  bh_label_strip_set_look (BH_LABEL_STRIP (self->strip), look);
  if (!gtk_widget_is_ancestor (gtk_window_get_focus (GTK_WINDOW (self)) ? gtk_window_get_focus (GTK_WINDOW (self))
                                                                        : GTK_WIDGET (self), self->name_row))
    gtk_editable_set_text (GTK_EDITABLE (self->name_row), name_of (self));
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->label_row), label);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->file_row), *file ? file : _("In the library"));
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->encrypted_row), bh_lookup_boolean (details, "encrypted")
                               ? _("The file can be read with its passphrase only")
                               : _("None: whoever can read the file can read what is in the machine"));
  if (!gtk_widget_has_focus (self->notes_view))
    gtk_text_buffer_set_text (buffer, notes, -1);
  gtk_spin_button_set_value (GTK_SPIN_BUTTON (self->memory_spin), (double) bh_lookup_number (details, "memory", 64));
  adw_combo_row_set_selected (ADW_COMBO_ROW (self->cpu_row), index_of (cpus, bh_lookup_string (details, "cpu", "pentium3")));
  adw_combo_row_set_selected (ADW_COMBO_ROW (self->engine_row), index_of (engines, bh_lookup_string (details, "engine", "auto")));
  adw_combo_row_set_selected (ADW_COMBO_ROW (self->clock_row), index_of (clocks, bh_lookup_string (details, "rtc", "utc")));
  adw_combo_row_set_selected (ADW_COMBO_ROW (self->parallel_row), index_of (parallels, bh_lookup_string (details, "parallel", "none")));
  g_variant_lookup (details, "boot", "^as", &boot);
  for (guint i = 0; boot != NULL && i < G_N_ELEMENTS (boots); i++)
    if (g_strv_equal (boots[i].devices, (const char *const *) boot))
      adw_combo_row_set_selected (ADW_COMBO_ROW (self->boot_row), i);
  gtk_switch_set_active (GTK_SWITCH (self->sound_switch), bh_lookup_boolean (details, "sound"));
  gtk_switch_set_active (GTK_SWITCH (self->undetectable_switch), bh_lookup_boolean (details, "undetectable"));
  gtk_switch_set_active (GTK_SWITCH (self->fuzzy_switch), bh_lookup_boolean (details, "fuzzy-time"));
  self->filling = FALSE;

  for (guint i = 0; i < self->when_off->len; i++)
    {
      GtkWidget *widget = g_ptr_array_index (self->when_off, i);

      gtk_widget_set_sensitive (widget, off);
      gtk_widget_set_tooltip_text (widget, off ? NULL : _("Power the machine off to change this"));
      if (ADW_IS_PREFERENCES_GROUP (widget) && g_object_get_data (G_OBJECT (widget), "own-description") == NULL)
        adw_preferences_group_set_description (ADW_PREFERENCES_GROUP (widget), off ? NULL : _("Power the machine off to change this."));
    }
  fill_media (self);
}

static void
on_details_changed (BhMachineSettings *self)
{
  fill (self);
  ask_resources (self);
  ask_snapshots (self);
}

static void
bh_machine_settings_dispose (GObject *object)
{
  BhMachineSettings *self = BH_MACHINE_SETTINGS (object);

  if (self->notes_source != 0)
    {
      g_clear_handle_id (&self->notes_source, g_source_remove);
      save_notes (self);
    }
  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  if (self->machine != NULL)
    g_signal_handlers_disconnect_by_data (self->machine, self);
  if (self->library != NULL)
    g_signal_handlers_disconnect_by_data (self->library, self);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->machine);
  g_clear_object (&self->library);
  g_clear_pointer (&self->when_off, g_ptr_array_unref);
  g_clear_pointer (&self->media_rows, g_ptr_array_unref);
  g_clear_pointer (&self->snapshot_rows, g_ptr_array_unref);
  g_clear_pointer (&self->folder_rows, g_ptr_array_unref);

  G_OBJECT_CLASS (bh_machine_settings_parent_class)->dispose (object);
}

static void
bh_machine_settings_class_init (BhMachineSettingsClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = bh_machine_settings_dispose;
}

static void
bh_machine_settings_init (BhMachineSettings *self)
{
  GtkWidget *media;

  self->cancellable = g_cancellable_new ();
  self->when_off = g_ptr_array_new ();
  self->media_rows = g_ptr_array_new ();
  self->snapshot_rows = g_ptr_array_new ();
  self->folder_rows = g_ptr_array_new ();
  self->filling = TRUE;
  gtk_window_set_default_size (GTK_WINDOW (self), 640, 680);
  adw_preferences_window_set_search_enabled (ADW_PREFERENCES_WINDOW (self), FALSE);
  build_general (self);
  build_hardware (self);
  media = new_page (self, _("Media"), "media-optical-symbolic");
  self->media_group = new_group (media, _("Disks and Media"), NULL);
  build_sharing (self);
  build_snapshots (self);
  self->filling = FALSE;
}

GtkWidget *
bh_machine_settings_new (BhLibrary *library, BhMachine *machine)
{
  BhMachineSettings *self = g_object_new (BH_TYPE_MACHINE_SETTINGS, NULL);

  self->library = g_object_ref (library);
  self->machine = g_object_ref (machine);
  for (guint i = 0; i < self->when_off->len; i++)
    {
      GtkWidget *widget = g_ptr_array_index (self->when_off, i);

      if (ADW_IS_PREFERENCES_GROUP (widget) && adw_preferences_group_get_description (ADW_PREFERENCES_GROUP (widget)) != NULL)
        g_object_set_data (G_OBJECT (widget), "own-description", self);
    }
  g_signal_connect_swapped (machine, "notify::details", G_CALLBACK (on_details_changed), self);
  g_signal_connect_swapped (library, "resources-changed", G_CALLBACK (ask_resources), self);
  on_details_changed (self);
  return GTK_WIDGET (self);
}
