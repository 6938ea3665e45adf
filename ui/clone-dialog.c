/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clone-dialog.h"

#include "user-messages.h"

#include <glib/gi18n.h>

typedef struct
{
  BhLibrary *library;
  BhMachine *machine;
  GtkWidget *name, *linked;
} Clone;

static void
clone_free (gpointer data, GClosure *closure)
{
  Clone *clone = data;

  g_object_unref (clone->library);
  g_object_unref (clone->machine);
  g_free (clone);
}

typedef struct
{
  GWeakRef  from;
  char     *name;
} Call;

static void
on_cloned (GObject *source, GAsyncResult *result, gpointer data)
{
  Call                 *call = data;
  g_autoptr (GtkWidget) from = g_weak_ref_get (&call->from);
  g_autoptr (GVariant)  machine = NULL;
  g_autoptr (GError)    error = NULL;
  g_autofree char      *text = g_strdup_printf (_("“%s” is ready"), call->name);

  if (!bh_guard1_call_clone_machine_finish (BH_GUARD1 (source), &machine, result, &error))
    bh_messages_error (from, _("Cannot clone"), error);
  else if (from != NULL)
    bh_messages_toast (from, text);
  g_weak_ref_clear (&call->from);
  g_free (call->name);
  g_free (call);
}

static void
on_response (AdwMessageDialog *dialog, const char *response, Clone *clone)
{
  BhGuard1       *guard = bh_library_get_guard (clone->library);
  const char     *name = gtk_editable_get_text (GTK_EDITABLE (clone->name));
  GVariantBuilder options;
  Call           *call;

  if (!g_str_equal (response, "clone") || guard == NULL)
    return;
  call = g_new0 (Call, 1);
  g_weak_ref_init (&call->from, gtk_window_get_transient_for (GTK_WINDOW (dialog)));
  call->name = g_strdup (name);
  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&options, "{sv}", "linked",
                         g_variant_new_boolean (gtk_switch_get_active (GTK_SWITCH (clone->linked))));
  g_dbus_proxy_set_default_timeout (G_DBUS_PROXY (guard), G_MAXINT);
  bh_guard1_call_clone_machine (guard, bh_machine_get_name (clone->machine), name, g_variant_builder_end (&options),
                                NULL, on_cloned, call);
}

static void
on_name_changed (GtkEditable *editable, AdwMessageDialog *dialog)
{
  adw_message_dialog_set_response_enabled (dialog, "clone", *gtk_editable_get_text (editable) != '\0');
}

GtkWidget *
bh_clone_dialog_new (BhLibrary *library, BhMachine *machine)
{
  Clone            *clone = g_new0 (Clone, 1);
  g_autofree char  *heading = g_strdup_printf (_("Clone “%s”"), bh_machine_get_name (machine));
  /* Translators: the proposed name of a clone. */
  g_autofree char  *wanted = g_strdup_printf (_("%s copy"), bh_machine_get_name (machine));
  g_autofree char  *name = bh_library_free_name (library, wanted);
  AdwMessageDialog *dialog = ADW_MESSAGE_DIALOG (adw_message_dialog_new (NULL, heading,
                                                                         _("The clone has the label of its source.")));
  GtkWidget        *group = gtk_list_box_new ();
  GtkWidget        *row = adw_action_row_new ();

  clone->library = g_object_ref (library);
  clone->machine = g_object_ref (machine);
  clone->name = adw_entry_row_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (clone->name), _("Name"));
  gtk_editable_set_text (GTK_EDITABLE (clone->name), name);
  adw_entry_row_set_activates_default (ADW_ENTRY_ROW (clone->name), TRUE);
  clone->linked = gtk_switch_new ();
  gtk_widget_set_valign (clone->linked, GTK_ALIGN_CENTER);
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), _("Linked"));
  adw_action_row_set_subtitle (ADW_ACTION_ROW (row), _("Made at once and small, but needs its source"));
  adw_action_row_add_suffix (ADW_ACTION_ROW (row), clone->linked);
  adw_action_row_set_activatable_widget (ADW_ACTION_ROW (row), clone->linked);
  gtk_list_box_set_selection_mode (GTK_LIST_BOX (group), GTK_SELECTION_NONE);
  gtk_widget_add_css_class (group, "boxed-list");
  gtk_list_box_append (GTK_LIST_BOX (group), clone->name);
  gtk_list_box_append (GTK_LIST_BOX (group), row);
  adw_message_dialog_set_extra_child (dialog, group);

  adw_message_dialog_add_responses (dialog, "cancel", _("_Cancel"), "clone", _("C_lone"), NULL);
  adw_message_dialog_set_response_appearance (dialog, "clone", ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response (dialog, "clone");
  adw_message_dialog_set_close_response (dialog, "cancel");
  g_signal_connect (clone->name, "changed", G_CALLBACK (on_name_changed), dialog);
  g_signal_connect_data (dialog, "response", G_CALLBACK (on_response), clone, clone_free, 0);
  return GTK_WIDGET (dialog);
}
