/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "new-machine.h"

#include "label-picker.h"
#include "user-messages.h"

#include <glib/gi18n.h>

enum { SOURCE_CD, SOURCE_FLOPPY, SOURCE_DISK, N_SOURCES };

typedef struct
{
  GtkWidget *row, *clear;
  char      *path;
} Source;

struct _BhNewMachine
{
  AdwWindow     parent_instance;
  BhLibrary    *library;
  GCancellable *cancellable;
  Source        sources[N_SOURCES];
  gboolean      name_typed, filling, creating;
  GtkWidget    *title, *back_button, *next_button, *toasts, *stack, *name_row, *system_row, *cd_row, *floppy_row;
  GtkWidget    *disk_row, *picker, *memory_spin, *disk_spin, *disk_size_row, *network_row, *encrypt_row;
  GtkWidget    *passphrase_row, *repeat_row, *start_switch;
};

G_DEFINE_FINAL_TYPE (BhNewMachine, bh_new_machine, ADW_TYPE_WINDOW)

static const char *const pages[] = { "system", "label", "resources" };

static guint
page_number (BhNewMachine *self)
{
  const char *name = gtk_stack_get_visible_child_name (GTK_STACK (self->stack));

  for (guint i = 0; i < G_N_ELEMENTS (pages); i++)
    if (g_strcmp0 (name, pages[i]) == 0)
      return i;
  return 0;
}

static const BhSystemPreset *
preset (BhNewMachine *self)
{
  guint                 n_presets;
  const BhSystemPreset *presets = bh_system_presets_get (&n_presets);

  return &presets[MIN (adw_combo_row_get_selected (ADW_COMBO_ROW (self->system_row)), n_presets - 1)];
}

/* ------------------------------------------------------------------------------------------------ checked as typed */

static void
mark (GtkWidget *row, gboolean wrong)
{
  if (wrong)
    gtk_widget_add_css_class (row, "error");
  else
    gtk_widget_remove_css_class (row, "error");
}

static gboolean
name_is_good (BhNewMachine *self)
{
  const char *name = gtk_editable_get_text (GTK_EDITABLE (self->name_row));

  return *name != '\0' && strchr (name, '/') == NULL && *name != '.' && bh_library_find (self->library, name) == NULL;
}

static gboolean
passphrase_is_good (BhNewMachine *self)
{
  const char *text = gtk_editable_get_text (GTK_EDITABLE (self->passphrase_row));

  if (!adw_expander_row_get_enable_expansion (ADW_EXPANDER_ROW (self->encrypt_row)))
    return TRUE;
  return *text != '\0' && g_str_equal (text, gtk_editable_get_text (GTK_EDITABLE (self->repeat_row)));
}

static void
refresh (BhNewMachine *self)
{
  const guint      page = page_number (self);
  const gboolean   good_name = name_is_good (self);
  const gboolean   good_passphrase = passphrase_is_good (self);
  const gboolean   last = page == G_N_ELEMENTS (pages) - 1;
  gboolean         ready = good_name;
  g_autofree char *step = NULL;

  mark (self->name_row, !good_name);
  gtk_widget_set_tooltip_text (self->name_row, good_name ? NULL : _("Names are not empty, contain no “/” and are used once"));
  mark (self->repeat_row, !good_passphrase);
  if (page >= 1)
    ready = ready && bh_label_picker_get_valid (BH_LABEL_PICKER (self->picker));
  if (last)
    ready = ready && good_passphrase;
  gtk_widget_set_sensitive (self->next_button, ready && !self->creating);
  gtk_button_set_label (GTK_BUTTON (self->back_button), page == 0 ? _("_Cancel") : _("_Back"));
  gtk_button_set_label (GTK_BUTTON (self->next_button), last ? _("C_reate") : _("_Next"));
  step = g_strdup_printf (_("Step %u of %u"), page + 1, (guint) G_N_ELEMENTS (pages));
  adw_window_title_set_subtitle (ADW_WINDOW_TITLE (self->title), step);
  gtk_widget_set_sensitive (self->disk_size_row, self->sources[SOURCE_DISK].path == NULL);
}

/* ------------------------------------------------------------------------------------------------ what it starts from */

static void
apply_preset (BhNewMachine *self)
{
  const BhSystemPreset *chosen = preset (self);

  if (self->filling)
    return;
  gtk_spin_button_set_value (GTK_SPIN_BUTTON (self->memory_spin), chosen->memory_mib);
  gtk_spin_button_set_value (GTK_SPIN_BUTTON (self->disk_spin), chosen->disk_mib / 1024.0);
}

static void
propose_name (BhNewMachine *self, const char *wanted)
{
  g_autofree char *name = bh_library_free_name (self->library, *wanted ? wanted : _("New Machine"));

  if (self->name_typed)
    return;
  self->filling = TRUE;
  gtk_editable_set_text (GTK_EDITABLE (self->name_row), name);
  gtk_editable_set_position (GTK_EDITABLE (self->name_row), -1);
  self->filling = FALSE;
}

static void
set_source (BhNewMachine *self, guint index, const char *path)
{
  Source                *source = &self->sources[index];
  g_autofree char       *base = path ? g_path_get_basename (path) : NULL;
  g_autofree char       *display = base ? g_filename_display_name (base) : NULL;
  g_autofree char       *markup = NULL;
  guint                  n_presets;
  const BhSystemPreset  *presets = bh_system_presets_get (&n_presets);

  if (source->path != path)
    {
      g_free (source->path);
      source->path = g_strdup (path);
    }
  markup = g_markup_escape_text (display ? display : _("None"), -1);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (source->row), markup);
  gtk_widget_set_visible (source->clear, path != NULL);
  if (path != NULL)
    {
      g_autofree char *name = bh_system_presets_machine_name (path);

      propose_name (self, name);
      adw_combo_row_set_selected (ADW_COMBO_ROW (self->system_row), (guint) (bh_system_presets_guess (path) - presets));
      apply_preset (self);
    }
  refresh (self);
}

static void
on_file_chosen (GtkNativeDialog *dialog, int response, BhNewMachine *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr (GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
      g_autofree char  *path = file ? g_file_get_path (file) : NULL;

      if (path != NULL)
        set_source (self, GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (dialog), "source")), path);
    }
  g_object_unref (dialog);
}

static guint
source_of (BhNewMachine *self, GtkWidget *row)
{
  for (guint i = 0; i < N_SOURCES; i++)
    if (self->sources[i].row == row)
      return i;
  return 0;
}

static void
on_source_activated (AdwActionRow *row, BhNewMachine *self)
{
  const guint           index = source_of (self, GTK_WIDGET (row));
  GtkFileChooserNative *dialog = gtk_file_chooser_native_new (adw_preferences_row_get_title (ADW_PREFERENCES_ROW (row)),
                                                              GTK_WINDOW (self), GTK_FILE_CHOOSER_ACTION_OPEN,
                                                              _("_Choose"), _("_Cancel"));

  g_object_set_data (G_OBJECT (dialog), "source", GUINT_TO_POINTER (index));
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_file_chosen), self, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

static void
on_source_cleared (GtkButton *button, BhNewMachine *self)
{
  set_source (self, GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (button), "source")), NULL);
}

static void
set_up_source (BhNewMachine *self, guint index, GtkWidget *row)
{
  Source    *source = &self->sources[index];
  GtkWidget *arrow = gtk_image_new_from_icon_name ("document-open-symbolic");

  source->row = row;
  source->clear = gtk_button_new_from_icon_name ("edit-clear-symbolic");
  gtk_widget_set_valign (source->clear, GTK_ALIGN_CENTER);
  gtk_widget_add_css_class (source->clear, "flat");
  gtk_widget_set_tooltip_text (source->clear, _("Remove"));
  gtk_accessible_update_property (GTK_ACCESSIBLE (source->clear), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Remove"), -1);
  g_object_set_data (G_OBJECT (source->clear), "source", GUINT_TO_POINTER (index));
  g_signal_connect (source->clear, "clicked", G_CALLBACK (on_source_cleared), self);
  adw_action_row_add_suffix (ADW_ACTION_ROW (row), source->clear);
  adw_action_row_add_suffix (ADW_ACTION_ROW (row), arrow);
  gtk_list_box_row_set_activatable (GTK_LIST_BOX_ROW (row), TRUE);
  g_signal_connect (row, "activated", G_CALLBACK (on_source_activated), self);
}

/* ------------------------------------------------------------------------------------------------ create */

static void
on_created (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhNewMachine) self = data;
  g_autoptr (GVariant)     machine = NULL;
  g_autoptr (GError)       error = NULL;

  if (!bh_guard1_call_create_machine_finish (BH_GUARD1 (source), &machine, result, &error))
    {
      self->creating = FALSE;
      gtk_widget_set_sensitive (self->stack, TRUE);
      refresh (self);
      bh_messages_error (GTK_WIDGET (self), _("Cannot create the machine"), error);
      return;
    }
  bh_library_adopt (self->library, machine);
  if (gtk_switch_get_active (GTK_SWITCH (self->start_switch)))
    gtk_widget_activate_action (GTK_WIDGET (self), "app.open-machine", "s", bh_lookup_string (machine, "name", ""));
  gtk_window_destroy (GTK_WINDOW (self));
}

static GVariant *
options (BhNewMachine *self)
{
  const BhSystemPreset *chosen = preset (self);
  const guint           network = adw_combo_row_get_selected (ADW_COMBO_ROW (self->network_row));
  const double          disk_gib = gtk_spin_button_get_value (GTK_SPIN_BUTTON (self->disk_spin));
  GVariantBuilder       builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "label",
                         g_variant_new_string (bh_label_picker_get_label (BH_LABEL_PICKER (self->picker))));
  g_variant_builder_add (&builder, "{sv}", "memory", g_variant_new_uint32 (
                         (guint32) gtk_spin_button_get_value_as_int (GTK_SPIN_BUTTON (self->memory_spin))));
  g_variant_builder_add (&builder, "{sv}", "cpu", g_variant_new_string (chosen->cpu));
  g_variant_builder_add (&builder, "{sv}", "rtc", g_variant_new_string (chosen->local_clock ? "local" : "utc"));
  if (self->sources[SOURCE_DISK].path != NULL)
    {
      g_variant_builder_add (&builder, "{sv}", "from-disk", g_variant_new_string (self->sources[SOURCE_DISK].path));
      g_variant_builder_add (&builder, "{sv}", "from",
                             g_variant_new_string (bh_image_format (self->sources[SOURCE_DISK].path)));
    }
  else if (disk_gib > 0)
    g_variant_builder_add (&builder, "{sv}", "disk", g_variant_new_uint64 ((guint64) (disk_gib * 1024) << 20));
  if (self->sources[SOURCE_CD].path != NULL)
    g_variant_builder_add (&builder, "{sv}", "cdrom", g_variant_new_string (self->sources[SOURCE_CD].path));
  if (self->sources[SOURCE_FLOPPY].path != NULL)
    g_variant_builder_add (&builder, "{sv}", "floppy", g_variant_new_string (self->sources[SOURCE_FLOPPY].path));
  if (network > 0)
    {
      GListModel *model = adw_combo_row_get_model (ADW_COMBO_ROW (self->network_row));

      g_variant_builder_add (&builder, "{sv}", "network",
                             g_variant_new_string (gtk_string_list_get_string (GTK_STRING_LIST (model), network)));
    }
  g_variant_builder_add (&builder, "{sv}", "sound", g_variant_new_boolean (TRUE));
  if (adw_expander_row_get_enable_expansion (ADW_EXPANDER_ROW (self->encrypt_row)))
    {
      const char *text = gtk_editable_get_text (GTK_EDITABLE (self->passphrase_row));

      g_variant_builder_add (&builder, "{sv}", "encrypt", g_variant_new_boolean (TRUE));
      g_variant_builder_add (&builder, "{sv}", "passphrase",
                             g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1));
    }
  return g_variant_builder_end (&builder);
}

static void
create (BhNewMachine *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  if (guard == NULL)
    {
      bh_messages_toast (GTK_WIDGET (self), _("There is no connection to the guard"));
      return;
    }
  self->creating = TRUE;
  gtk_widget_set_sensitive (self->stack, FALSE);
  refresh (self);
  g_dbus_proxy_set_default_timeout (G_DBUS_PROXY (guard), G_MAXINT);
  bh_guard1_call_create_machine (guard, gtk_editable_get_text (GTK_EDITABLE (self->name_row)), options (self), NULL,
                                 on_created, g_object_ref (self));
}

static void
show_page (BhNewMachine *self, guint page)
{
  gtk_stack_set_visible_child_name (GTK_STACK (self->stack), pages[page]);
  refresh (self);
  /* Enter goes on from wherever the page starts: rows of a page would take it for themselves. */
  if (page == 0)
    gtk_widget_grab_focus (self->name_row);
  else
    gtk_widget_grab_focus (self->next_button);
}

static void
on_next (GtkButton *button, BhNewMachine *self)
{
  const guint page = page_number (self);

  if (page == G_N_ELEMENTS (pages) - 1)
    create (self);
  else
    show_page (self, page + 1);
}

static void
on_back (GtkButton *button, BhNewMachine *self)
{
  const guint page = page_number (self);

  if (page == 0)
    gtk_window_close (GTK_WINDOW (self));
  else
    show_page (self, page - 1);
}

static void
on_name_changed (GtkEditable *editable, BhNewMachine *self)
{
  if (!self->filling)
    self->name_typed = TRUE;
  refresh (self);
}

/* Networks whose label is not the machine's would be refused: they are not offered. */
static void
on_networks (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) networks = NULL;
  g_autoptr (GError)   error = NULL;
  BhNewMachine        *self;
  GtkStringList       *names;
  GVariantIter         iter;
  GVariant            *network;

  if (!bh_guard1_call_list_networks_finish (BH_GUARD1 (source), &networks, result, &error))
    return;
  self = BH_NEW_MACHINE (data);
  names = gtk_string_list_new ((const char *const[]) { _("None"), NULL });
  g_variant_iter_init (&iter, networks);
  while ((network = g_variant_iter_next_value (&iter)) != NULL)
    {
      if (g_strcmp0 (bh_lookup_string (network, "label", ""), bh_label_picker_get_label (BH_LABEL_PICKER (self->picker))) == 0)
        gtk_string_list_append (names, bh_lookup_string (network, "name", ""));
      g_variant_unref (network);
    }
  adw_combo_row_set_model (ADW_COMBO_ROW (self->network_row), G_LIST_MODEL (names));
  gtk_widget_set_visible (self->network_row, g_list_model_get_n_items (G_LIST_MODEL (names)) > 1);
  g_object_unref (names);
}

static void
on_label_changed (BhNewMachine *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  refresh (self);
  if (guard != NULL && bh_label_picker_get_valid (BH_LABEL_PICKER (self->picker)))
    bh_guard1_call_list_networks (guard, self->cancellable, on_networks, self);
}

static void
bh_new_machine_dispose (GObject *object)
{
  BhNewMachine *self = BH_NEW_MACHINE (object);

  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  if (self->picker != NULL)
    g_signal_handlers_disconnect_by_data (self->picker, self);
  gtk_widget_dispose_template (GTK_WIDGET (self), BH_TYPE_NEW_MACHINE);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->library);
  for (guint i = 0; i < N_SOURCES; i++)
    g_clear_pointer (&self->sources[i].path, g_free);

  G_OBJECT_CLASS (bh_new_machine_parent_class)->dispose (object);
}

static void
bh_new_machine_class_init (BhNewMachineClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = bh_new_machine_dispose;

  g_type_ensure (BH_TYPE_LABEL_PICKER);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/bulkhead/Bulkhead/ui/new-machine.ui");
#define BIND(name) gtk_widget_class_bind_template_child (widget_class, BhNewMachine, name)
  BIND (title);
  BIND (back_button);
  BIND (next_button);
  BIND (toasts);
  BIND (stack);
  BIND (name_row);
  BIND (system_row);
  BIND (cd_row);
  BIND (floppy_row);
  BIND (disk_row);
  BIND (picker);
  BIND (memory_spin);
  BIND (disk_spin);
  BIND (disk_size_row);
  BIND (network_row);
  BIND (encrypt_row);
  BIND (passphrase_row);
  BIND (repeat_row);
  BIND (start_switch);
#undef BIND
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Escape, 0, "window.close", NULL);
}

static void
bh_new_machine_init (BhNewMachine *self)
{
  GtkStringList        *systems = gtk_string_list_new (NULL);
  guint                 n_presets;
  const BhSystemPreset *presets = bh_system_presets_get (&n_presets);

  self->cancellable = g_cancellable_new ();
  gtk_widget_init_template (GTK_WIDGET (self));
  bh_messages_set_overlay (GTK_WINDOW (self), ADW_TOAST_OVERLAY (self->toasts));
  for (guint i = 0; i < n_presets; i++)
    gtk_string_list_append (systems, _(presets[i].name));
  self->filling = TRUE;
  adw_combo_row_set_model (ADW_COMBO_ROW (self->system_row), G_LIST_MODEL (systems));
  g_object_unref (systems);
  set_up_source (self, SOURCE_CD, self->cd_row);
  set_up_source (self, SOURCE_FLOPPY, self->floppy_row);
  set_up_source (self, SOURCE_DISK, self->disk_row);
  gtk_widget_set_visible (self->network_row, FALSE);
  self->filling = FALSE;
}

GtkWidget *
bh_new_machine_new (BhLibrary *library, const char *image, BhImageKind kind)
{
  BhNewMachine         *self = g_object_new (BH_TYPE_NEW_MACHINE, NULL);
  guint                 n_presets;

  self->library = g_object_ref (library);
  bh_system_presets_get (&n_presets);
  propose_name (self, _("New Machine"));
  adw_combo_row_set_selected (ADW_COMBO_ROW (self->system_row), n_presets - 1);
  apply_preset (self);
  for (guint i = 0; i < N_SOURCES; i++)
    set_source (self, i, NULL);
  bh_label_picker_set_library (BH_LABEL_PICKER (self->picker), library);
  if (image != NULL)
    set_source (self, kind == BH_IMAGE_CD ? SOURCE_CD : kind == BH_IMAGE_FLOPPY ? SOURCE_FLOPPY : SOURCE_DISK, image);

  g_signal_connect_swapped (self->system_row, "notify::selected", G_CALLBACK (apply_preset), self);
  g_signal_connect (self->name_row, "changed", G_CALLBACK (on_name_changed), self);
  g_signal_connect_swapped (self->picker, "notify::valid", G_CALLBACK (on_label_changed), self);
  g_signal_connect_swapped (self->passphrase_row, "changed", G_CALLBACK (refresh), self);
  g_signal_connect_swapped (self->repeat_row, "changed", G_CALLBACK (refresh), self);
  g_signal_connect_swapped (self->encrypt_row, "notify::enable-expansion", G_CALLBACK (refresh), self);
  g_signal_connect (self->next_button, "clicked", G_CALLBACK (on_next), self);
  g_signal_connect (self->back_button, "clicked", G_CALLBACK (on_back), self);
  show_page (self, 0);
  return GTK_WIDGET (self);
}
