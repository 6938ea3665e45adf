/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "labelled-dialog.h"

#include "label-picker.h"
#include "user-messages.h"

#include <glib/gi18n.h>

typedef struct
{
  AdwMessageDialog *dialog;
  GtkWidget        *name, *picker, *option;
  BhLabelledFunc    callback;
  gpointer          data;
  GDestroyNotify    destroy;
} Ask;

static void
ask_free (gpointer data, GClosure *closure)
{
  Ask *ask = data;

  if (ask->destroy != NULL)
    ask->destroy (ask->data);
  g_free (ask);
}

static void
on_response (AdwMessageDialog *dialog, const char *response, Ask *ask)
{
  if (g_str_equal (response, "accept"))
    ask->callback (ask->name ? gtk_editable_get_text (GTK_EDITABLE (ask->name)) : NULL,
                   bh_label_picker_get_label (BH_LABEL_PICKER (ask->picker)),
                   ask->option != NULL && gtk_switch_get_active (GTK_SWITCH (ask->option)), ask->data);
}

static void
refresh (Ask *ask)
{
  const gboolean named = ask->name == NULL || *gtk_editable_get_text (GTK_EDITABLE (ask->name)) != '\0';

  adw_message_dialog_set_response_enabled (ask->dialog, "accept",
                                           named && bh_label_picker_get_valid (BH_LABEL_PICKER (ask->picker)));
}

void
bh_labelled_dialog_ask (GtkWidget *from, BhLibrary *library, const char *heading, const char *body, const char *accept,
                        const char *name, const char *label, const char *option, BhLabelledFunc callback, gpointer data,
                        GDestroyNotify destroy)
{
  Ask       *ask = g_new0 (Ask, 1);
  GtkWidget *content = gtk_box_new (GTK_ORIENTATION_VERTICAL, 12);
  GtkWidget *list = gtk_list_box_new ();

  ask->dialog = ADW_MESSAGE_DIALOG (adw_message_dialog_new (bh_messages_window_of (from), heading, body));
  ask->callback = callback;
  ask->data = data;
  ask->destroy = destroy;
  gtk_list_box_set_selection_mode (GTK_LIST_BOX (list), GTK_SELECTION_NONE);
  gtk_widget_add_css_class (list, "boxed-list");
  if (name != NULL)
    {
      ask->name = adw_entry_row_new ();
      adw_preferences_row_set_title (ADW_PREFERENCES_ROW (ask->name), _("Name"));
      gtk_editable_set_text (GTK_EDITABLE (ask->name), name);
      adw_entry_row_set_activates_default (ADW_ENTRY_ROW (ask->name), TRUE);
      g_signal_connect_swapped (ask->name, "changed", G_CALLBACK (refresh), ask);
      gtk_list_box_append (GTK_LIST_BOX (list), ask->name);
    }
  if (option != NULL)
    {
      GtkWidget *row = adw_action_row_new ();

      ask->option = gtk_switch_new ();
      gtk_widget_set_valign (ask->option, GTK_ALIGN_CENTER);
      adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), option);
      adw_action_row_add_suffix (ADW_ACTION_ROW (row), ask->option);
      adw_action_row_set_activatable_widget (ADW_ACTION_ROW (row), ask->option);
      gtk_list_box_append (GTK_LIST_BOX (list), row);
    }
  if (name != NULL || option != NULL)
    gtk_box_append (GTK_BOX (content), list);
  else
    g_object_ref_sink (list), g_object_unref (list);
  ask->picker = bh_label_picker_new (library);
  if (label != NULL)
    bh_label_picker_set_label (BH_LABEL_PICKER (ask->picker), label);
  g_signal_connect_swapped (ask->picker, "notify::valid", G_CALLBACK (refresh), ask);
  gtk_box_append (GTK_BOX (content), ask->picker);
  gtk_widget_set_size_request (content, 320, -1);
  adw_message_dialog_set_extra_child (ask->dialog, content);
  adw_message_dialog_add_responses (ask->dialog, "cancel", _("_Cancel"), "accept", accept, NULL);
  adw_message_dialog_set_response_appearance (ask->dialog, "accept", ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response (ask->dialog, "accept");
  adw_message_dialog_set_close_response (ask->dialog, "cancel");
  g_signal_connect_data (ask->dialog, "response", G_CALLBACK (on_response), ask, ask_free, 0);
  refresh (ask);
  gtk_window_present (GTK_WINDOW (ask->dialog));
}
