/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "user-messages.h"

#include "guard-client.h"

#include <glib/gi18n.h>

enum { TOAST_CHARACTERS = 70 };

static const char overlay_key[] = "bh-toast-overlay";

GtkWindow *
bh_messages_window_of (GtkWidget *widget)
{
  GtkRoot *root = widget ? gtk_widget_get_root (widget) : NULL;

  if (GTK_IS_WINDOW (widget))
    return GTK_WINDOW (widget);
  return GTK_IS_WINDOW (root) ? GTK_WINDOW (root) : NULL;
}

void
bh_messages_set_overlay (GtkWindow *window, AdwToastOverlay *overlay)
{
  g_object_set_data (G_OBJECT (window), overlay_key, overlay);
}

static void
show_dialog (GtkWidget *from, const char *heading, const char *body)
{
  GtkWidget *dialog = adw_message_dialog_new (bh_messages_window_of (from), heading, body);

  adw_message_dialog_add_response (ADW_MESSAGE_DIALOG (dialog), "close", _("_Close"));
  adw_message_dialog_set_default_response (ADW_MESSAGE_DIALOG (dialog), "close");
  gtk_window_present (GTK_WINDOW (dialog));
}

void
bh_messages_toast (GtkWidget *from, const char *text)
{
  GtkWindow       *window = bh_messages_window_of (from);
  AdwToastOverlay *overlay = window ? g_object_get_data (G_OBJECT (window), overlay_key) : NULL;
  AdwToast        *toast;
  g_autofree char *markup = NULL;

  if (overlay == NULL)
    {
      show_dialog (from, text, NULL);
      return;
    }
  markup = g_markup_escape_text (text, -1);     /* a toast's title is markup; names of machines are not */
  toast = adw_toast_new (markup);
  adw_toast_set_timeout (toast, 4);
  adw_toast_overlay_add_toast (overlay, toast);
}

void
bh_messages_error (GtkWidget *from, const char *heading, GError *error)
{
  const char *text;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  text = guard_client_error_text (error);
  if (!g_error_matches (error, GUARD_ERROR, GUARD_ERROR_REFUSED) && g_utf8_strlen (text, -1) <= TOAST_CHARACTERS)
    {
      g_autofree char *whole = g_strdup_printf ("%s: %s", heading, text);

      if (g_utf8_strlen (whole, -1) <= TOAST_CHARACTERS)
        {
          bh_messages_toast (from, whole);
          return;
        }
    }
  show_dialog (from, heading, text);
}

typedef struct
{
  GtkEditable   *entry;
  BhTextFunc     text;
  BhConfirmFunc  confirm;
  gpointer       data;
  GDestroyNotify destroy;
} Question;

static void
question_free (gpointer data, GClosure *closure)
{
  Question *question = data;

  if (question->destroy != NULL)
    question->destroy (question->data);
  g_free (question);
}

static void
on_response (AdwMessageDialog *dialog, const char *response, Question *question)
{
  const gboolean accepted = g_str_equal (response, "accept");

  if (question->text != NULL)
    question->text (accepted ? gtk_editable_get_text (question->entry) : NULL, question->data);
  else if (accepted && question->confirm != NULL)
    question->confirm (question->data);
}

static AdwMessageDialog *
new_question (GtkWidget *from, const char *heading, const char *body, const char *accept, Question *question)
{
  AdwMessageDialog *dialog = ADW_MESSAGE_DIALOG (adw_message_dialog_new (bh_messages_window_of (from), heading, body));

  adw_message_dialog_add_responses (dialog, "cancel", _("_Cancel"), "accept", accept, NULL);
  adw_message_dialog_set_close_response (dialog, "cancel");
  g_signal_connect_data (dialog, "response", G_CALLBACK (on_response), question, question_free, 0);
  return dialog;
}

static void
on_entry_changed (GtkEditable *entry, AdwMessageDialog *dialog)
{
  adw_message_dialog_set_response_enabled (dialog, "accept", *gtk_editable_get_text (entry) != '\0');
}

void
bh_messages_ask_text (GtkWidget *from, const char *heading, const char *body, const char *accept, const char *initial,
                      gboolean secret, BhTextFunc callback, gpointer data, GDestroyNotify destroy)
{
  Question         *question = g_new0 (Question, 1);
  GtkWidget        *entry = secret ? gtk_password_entry_new () : gtk_entry_new ();
  AdwMessageDialog *dialog;

  question->entry = GTK_EDITABLE (entry);
  question->text = callback;
  question->data = data;
  question->destroy = destroy;
  dialog = new_question (from, heading, body, accept, question);
  if (secret)
    g_object_set (entry, "activates-default", TRUE, "show-peek-icon", TRUE, NULL);
  else
    gtk_entry_set_activates_default (GTK_ENTRY (entry), TRUE);
  gtk_accessible_update_property (GTK_ACCESSIBLE (entry), GTK_ACCESSIBLE_PROPERTY_LABEL, heading, -1);
  gtk_editable_set_text (question->entry, initial ? initial : "");
  gtk_editable_select_region (question->entry, 0, -1);
  g_signal_connect (entry, "changed", G_CALLBACK (on_entry_changed), dialog);
  adw_message_dialog_set_extra_child (dialog, entry);
  adw_message_dialog_set_response_appearance (dialog, "accept", ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response (dialog, "accept");
  on_entry_changed (question->entry, dialog);
  gtk_window_present (GTK_WINDOW (dialog));
  gtk_widget_grab_focus (entry);
}

void
bh_messages_confirm (GtkWidget *from, const char *heading, const char *body, const char *accept, gboolean destructive,
                     BhConfirmFunc callback, gpointer data, GDestroyNotify destroy)
{
  Question         *question = g_new0 (Question, 1);
  AdwMessageDialog *dialog;

  question->confirm = callback;
  question->data = data;
  question->destroy = destroy;
  dialog = new_question (from, heading, body, accept, question);
  adw_message_dialog_set_response_appearance (dialog, "accept",
                                              destructive ? ADW_RESPONSE_DESTRUCTIVE : ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response (dialog, destructive ? "cancel" : "accept");
  gtk_window_present (GTK_WINDOW (dialog));
}
