/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "application.h"

#include "attention-window.h"
#include "audit-window.h"
#include "bulkhead-config.h"
#include "console-window.h"
#include "guard-call.h"
#include "guard-client.h"
#include "host-keys.h"
#include "labelled-dialog.h"
#include "library-window.h"
#include "new-machine.h"
#include "paths.h"
#include "preferences-window.h"
#include "question-dialog.h"
#include "resources-window.h"
#include "user-messages.h"

#include <glib/gi18n.h>

/* The largest floppy that the machine has a drive for is 2.88 MB. */
#define FLOPPY_MAX_BYTES (2880 * 1024)
#define TRY_IT_NAME      "Try It"

struct _BhApplication
{
  AdwApplication parent_instance;
  BhLibrary     *library;
  GSettings     *settings;
  GPtrArray     *waiting;       /* arguments that came before the guard answered */
  GHashTable    *questions;     /* id -> BhQuestionDialog */
  GtkWidget     *attention;
  guint          inhibit_cookie;
  gboolean       connecting, consented, given_guard;
};

G_DEFINE_FINAL_TYPE (BhApplication, bh_application, ADW_TYPE_APPLICATION)

/* ------------------------------------------------------------------------------------------------ windows */

static GtkWindow *
find_window (BhApplication *self, GType type)
{
  for (GList *l = gtk_application_get_windows (GTK_APPLICATION (self)); l != NULL; l = l->next)
    if (G_TYPE_CHECK_INSTANCE_TYPE (l->data, type))
      return l->data;
  return NULL;
}

static GtkWindow *
find_console (BhApplication *self, BhMachine *machine)
{
  for (GList *l = gtk_application_get_windows (GTK_APPLICATION (self)); l != NULL; l = l->next)
    if (BH_IS_CONSOLE_WINDOW (l->data) && bh_console_window_get_machine (l->data) == machine)
      return l->data;
  return NULL;
}

static void
on_consent (AdwMessageDialog *dialog, const char *response, BhApplication *self)
{
  if (g_str_equal (response, "accept"))
    self->consented = TRUE;
  else
    g_application_quit (G_APPLICATION (self));
}

/* The notice of whoever is in charge here has to be accepted before anything is shown. */
static void
ask_consent (BhApplication *self, GtkWindow *window)
{
  const char *text = bh_lookup_string (bh_library_get_status (self->library), "consent", "");
  GtkWidget  *dialog;

  if (self->consented || *text == '\0' || g_object_get_data (G_OBJECT (self), "consent-dialog") != NULL)
    return;
  dialog = adw_message_dialog_new (window, _("Notice"), text);
  adw_message_dialog_add_responses (ADW_MESSAGE_DIALOG (dialog), "quit", _("_Quit"), "accept", _("_Accept"), NULL);
  adw_message_dialog_set_close_response (ADW_MESSAGE_DIALOG (dialog), "quit");
  g_object_set_data (G_OBJECT (self), "consent-dialog", dialog);
  g_signal_connect (dialog, "response", G_CALLBACK (on_consent), self);
  gtk_window_present (GTK_WINDOW (dialog));
}

static GtkWindow *
present_library (BhApplication *self)
{
  GtkWindow *window = find_window (self, BH_TYPE_LIBRARY_WINDOW);

  if (window == NULL)
    {
      window = GTK_WINDOW (bh_library_window_new (GTK_APPLICATION (self), self->library, self->settings));
      bh_host_keys_watch_attention (GTK_WIDGET (window));
    }
  gtk_window_present (window);
  ask_consent (self, window);
  return window;
}

static GtkWindow *
present_console (BhApplication *self, BhMachine *machine)
{
  GtkWindow *window = find_console (self, machine);

  if (window == NULL)
    {
      window = GTK_WINDOW (bh_console_window_new (GTK_APPLICATION (self), self->library, machine, self->settings));
      bh_console_window_set_frozen (BH_CONSOLE_WINDOW (window), self->attention != NULL);
    }
  gtk_window_present (window);
  return window;
}

static GtkWindow *
active_window (BhApplication *self)
{
  GtkWindow *window = gtk_application_get_active_window (GTK_APPLICATION (self));

  return window ? window : present_library (self);
}

/* Other windows have no place of their own: they belong to the one that was active. */
static void
present_above (BhApplication *self, GtkWidget *window)
{
  GtkWindow *parent = gtk_application_get_active_window (GTK_APPLICATION (self));

  while (parent != NULL && !GTK_IS_APPLICATION_WINDOW (parent))
    parent = gtk_window_get_transient_for (parent);
  if (parent != NULL)
    gtk_window_set_transient_for (GTK_WINDOW (window), parent);
  gtk_window_set_application (GTK_WINDOW (window), GTK_APPLICATION (self));
  bh_host_keys_watch_attention (window);
  gtk_window_present (GTK_WINDOW (window));
}

static void
tell (BhApplication *self, const char *heading, const char *text)
{
  GtkWidget *dialog = adw_message_dialog_new (active_window (self), heading, text);

  adw_message_dialog_add_response (ADW_MESSAGE_DIALOG (dialog), "close", _("_Close"));
  gtk_window_present (GTK_WINDOW (dialog));
}

/* ------------------------------------------------------------------------------------------------ opening things */

static void
open_machine (BhApplication *self, BhMachine *machine)
{
  GtkWindow *window = present_console (self, machine);

  bh_console_window_power_on (BH_CONSOLE_WINDOW (window));
}

static void
new_machine (BhApplication *self, const char *image, BhImageKind kind)
{
  if (!bh_library_get_online (self->library))
    return;
  present_library (self);
  present_above (self, bh_new_machine_new (self->library, image, kind));
}

typedef struct
{
  BhApplication *self;
  char          *path;
} Import;

static void
import_free (gpointer data)
{
  Import *import = data;

  g_object_unref (import->self);
  g_free (import->path);
  g_free (import);
}

static void
on_imported (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhApplication) self = data;
  g_autoptr (GVariant)      machine = NULL;
  g_autoptr (GError)        error = NULL;

  g_application_release (G_APPLICATION (self));
  if (bh_guard1_call_import_machine_finish (BH_GUARD1 (source), &machine, result, &error))
    open_machine (self, bh_library_adopt (self->library, machine));
  else
    bh_messages_error (GTK_WIDGET (active_window (self)), _("Cannot import"), error);
}

static void
on_import_confirmed (gpointer data)
{
  Import   *import = data;
  BhGuard1 *guard = bh_library_get_guard (import->self->library);

  if (guard == NULL)
    return;
  g_application_hold (G_APPLICATION (import->self));
  g_dbus_proxy_set_default_timeout (G_DBUS_PROXY (guard), G_MAXINT);
  bh_guard1_call_import_machine (guard, import->path, bh_no_options (), NULL, on_imported, g_object_ref (import->self));
}

/* A machine's file that the library does not know: its label is only its own claim. */
static void
ask_import (BhApplication *self, const char *path)
{
  Import          *import = g_new0 (Import, 1);
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *display = g_filename_display_name (base);
  g_autofree char *heading = g_strdup_printf (_("Import “%s”?"), display);

  import->self = g_object_ref (self);
  import->path = g_strdup (path);
  bh_messages_confirm (GTK_WIDGET (present_library (self)), heading,
                       _("This machine is not in the library. It keeps the label that its file claims, or gets a higher one; the label is never lowered."),
                       _("_Import and Start"), FALSE, on_import_confirmed, import, import_free);
}

/* The suffix .img says nothing: floppies and disks have it. */
static BhImageKind
image_kind (const char *path)
{
  g_autoptr (GFile)     file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE, G_FILE_QUERY_INFO_NONE, NULL, NULL);
  const BhImageKind     kind = bh_image_kind (path);

  if (info != NULL && kind == BH_IMAGE_FLOPPY && g_file_info_get_size (info) > FLOPPY_MAX_BYTES)
    return BH_IMAGE_DISK;
  if (info != NULL && kind == BH_IMAGE_UNKNOWN)
    return g_file_info_get_size (info) <= FLOPPY_MAX_BYTES ? BH_IMAGE_FLOPPY : BH_IMAGE_DISK;
  return kind;
}

static void
open_path (BhApplication *self, const char *path)
{
  BhMachine *machine = bh_library_find_file (self->library, path);

  if (machine != NULL)
    open_machine (self, machine);
  else if (!g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_autofree char *display = g_filename_display_name (path);
      g_autofree char *text = g_strdup_printf (_("There is no machine and no file called “%s”."), display);

      tell (self, _("Nothing to Open"), text);
    }
  else if (bh_image_kind (path) == BH_IMAGE_MACHINE)
    ask_import (self, path);
  else
    new_machine (self, path, image_kind (path));
}

/* A name of the library first, else a file. */
static void
open_argument (BhApplication *self, const char *name, const char *path)
{
  BhMachine *machine = bh_library_find (self->library, name);

  if (machine != NULL)
    open_machine (self, machine);
  else
    open_path (self, path);
}

typedef struct
{
  char *name, *path;
} Argument;

static void
argument_free (gpointer data)
{
  Argument *argument = data;

  g_free (argument->name);
  g_free (argument->path);
  g_free (argument);
}

static void
open_waiting (BhApplication *self)
{
  g_autoptr (GPtrArray) waiting = g_steal_pointer (&self->waiting);

  self->waiting = g_ptr_array_new_with_free_func (argument_free);
  for (guint i = 0; i < waiting->len; i++)
    {
      Argument *argument = g_ptr_array_index (waiting, i);

      open_argument (self, argument->name, argument->path);
      g_application_release (G_APPLICATION (self));
    }
}

static void
wait_for_guard (BhApplication *self, const char *name, const char *path)
{
  Argument *argument = g_new0 (Argument, 1);

  argument->name = g_strdup (name);
  argument->path = g_strdup (path);
  g_ptr_array_add (self->waiting, argument);
  g_application_hold (G_APPLICATION (self));
  if (bh_library_get_online (self->library))
    open_waiting (self);
}

/* ------------------------------------------------------------------------------------------------ the guard */

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhApplication) self = data;
  g_autoptr (GError)        error = NULL;
  g_autoptr (BhGuard1)      guard = guard_client_connect_finish (result, &error);

  self->connecting = FALSE;
  g_application_release (G_APPLICATION (self));
  if (guard == NULL)
    {
      /* Whatever was asked for cannot be had: the library's window says why. */
      bh_library_set_problem (self->library, guard_client_error_text (error));
      present_library (self);
      return;
    }
  bh_library_set_guard (self->library, guard);
}

static void
connect_guard (BhApplication *self)
{
  if (self->connecting || self->given_guard || bh_library_get_guard (self->library) != NULL)
    return;
  self->connecting = TRUE;
  bh_library_set_problem (self->library, NULL);
  g_application_hold (G_APPLICATION (self));
  guard_client_connect (GUARD_CLIENT_START, NULL, on_connected, g_object_ref (self));
}

static void
on_online (BhApplication *self)
{
  GtkWindow *window = find_window (self, BH_TYPE_LIBRARY_WINDOW);

  if (!bh_library_get_online (self->library))
    return;
  open_waiting (self);
  if (window != NULL)
    ask_consent (self, window);
}

static void
on_status (BhApplication *self)
{
  GtkWindow *window = find_window (self, BH_TYPE_LIBRARY_WINDOW);

  if (window != NULL)
    ask_consent (self, window);
}

/* While something runs, the computer shall not fall asleep or end the session unasked. */
static void
on_n_running (BhApplication *self)
{
  const gboolean any = bh_library_get_n_running (self->library) > 0;

  if (any && self->inhibit_cookie == 0)
    self->inhibit_cookie = gtk_application_inhibit (GTK_APPLICATION (self), NULL,
                                                    GTK_APPLICATION_INHIBIT_LOGOUT | GTK_APPLICATION_INHIBIT_SUSPEND,
                                                    _("Virtual machines are running"));
  else if (!any && self->inhibit_cookie != 0)
    {
      gtk_application_uninhibit (GTK_APPLICATION (self), self->inhibit_cookie);
      self->inhibit_cookie = 0;
    }
}

/* Notifications are shown by the desktop, at the desktop's label: they say nothing of which machine it was. */
static void
on_machine_state (BhMachine *machine, GParamSpec *pspec, BhApplication *self)
{
  GtkWindow               *window = gtk_application_get_active_window (GTK_APPLICATION (self));
  g_autoptr (GNotification) notification = NULL;

  if (bh_machine_get_state (machine) != BH_MACHINE_CRASHED || (window != NULL && gtk_window_is_active (window)))
    return;
  notification = g_notification_new (_("A machine stopped unexpectedly"));
  g_notification_set_default_action (notification, "app.library");
  g_application_send_notification (G_APPLICATION (self), "crashed", notification);
}

static void
on_items_changed (GListModel *model, guint position, guint removed, guint added, BhApplication *self)
{
  for (guint i = position; i < position + added; i++)
    {
      g_autoptr (BhMachine) machine = g_list_model_get_item (model, i);

      g_signal_handlers_disconnect_by_func (machine, G_CALLBACK (on_machine_state), self);
      g_signal_connect_object (machine, "notify::state", G_CALLBACK (on_machine_state), self, 0);
    }
}

/* ------------------------------------------------------------------------------------------------ questions */

static void
on_question_gone (GtkWidget *dialog, BhApplication *self)
{
  guint64 id = bh_question_dialog_get_id (BH_QUESTION_DIALOG (dialog));

  g_hash_table_remove (self->questions, &id);
}

static void
on_question (BhLibrary *library, guint64 id, GVariant *question, BhApplication *self)
{
  GtkWidget *dialog;

  if (g_hash_table_contains (self->questions, &id))
    return;
  dialog = bh_question_dialog_new (library, id, question);
  g_hash_table_insert (self->questions, g_memdup2 (&id, sizeof id), dialog);
  g_signal_connect (dialog, "destroy", G_CALLBACK (on_question_gone), self);
  present_above (self, dialog);
}

static void
on_question_closed (BhLibrary *library, guint64 id, BhApplication *self)
{
  BhQuestionDialog *dialog = g_hash_table_lookup (self->questions, &id);

  if (dialog != NULL)
    bh_question_dialog_withdraw (dialog);
}

/* ------------------------------------------------------------------------------------------------ attention */

static void
freeze_all (BhApplication *self, gboolean frozen)
{
  for (GList *l = gtk_application_get_windows (GTK_APPLICATION (self)); l != NULL; l = l->next)
    if (BH_IS_CONSOLE_WINDOW (l->data))
      bh_console_window_set_frozen (l->data, frozen);
}

static void
on_attention_gone (GtkWidget *window, BhApplication *self)
{
  self->attention = NULL;
  freeze_all (self, FALSE);
}

static void
activate_attention (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhApplication *self = data;
  GtkWindow     *window = gtk_application_get_active_window (GTK_APPLICATION (self));
  BhGuard1      *guard = bh_library_get_guard (self->library);
  const char    *source = "";

  if (BH_IS_CONSOLE_WINDOW (window))
    source = bh_machine_get_name (bh_console_window_get_machine (BH_CONSOLE_WINDOW (window)));
  /* Freeze first: nothing else may happen before. */
  freeze_all (self, TRUE);
  if (guard != NULL)
    bh_guard1_call_attention (guard, source, NULL, NULL, NULL);
  if (self->attention != NULL)
    {
      gtk_window_present (GTK_WINDOW (self->attention));
      return;
    }
  self->attention = bh_attention_window_new (self->library);
  g_signal_connect (self->attention, "destroy", G_CALLBACK (on_attention_gone), self);
  present_above (self, self->attention);
}

/* ------------------------------------------------------------------------------------------------ actions */

static void
activate_new_machine (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  new_machine (data, NULL, BH_IMAGE_UNKNOWN);
}

static void
activate_open_machine (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhApplication *self = data;
  BhMachine     *machine = bh_library_find (self->library, g_variant_get_string (parameter, NULL));

  if (machine != NULL)
    open_machine (self, machine);
}

static void
activate_open_path (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  open_path (data, g_variant_get_string (parameter, NULL));
}

static void
activate_library (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  present_library (data);
}

static void
activate_reconnect (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  connect_guard (data);
}

static void
activate_audit (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhApplication *self = data;

  present_above (self, bh_audit_window_new (self->library));
}

static void
activate_resources (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhApplication *self = data;

  present_above (self, bh_resources_window_new (self->library));
}

static void
activate_preferences (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhApplication *self = data;

  present_above (self, bh_preferences_window_new (self->library, self->settings));
}

static void
activate_about (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhApplication *self = data;
  GtkWidget     *window = adw_about_window_new ();

  g_object_set (window, "application-name", "Bulkhead", "application-icon", BH_APPLICATION_ID, "version", BH_VERSION,
                "developer-name", _("The Bulkhead authors"), "license-type", GTK_LICENSE_GPL_3_0, "comments",
                _("Whole computers in windows, kept apart by enforced security labels. No hardware virtualisation, no root."),
                /* Translators: your names, one a line. */
                "translator-credits", _("translator-credits"), NULL);
  present_above (self, window);
}

static void
activate_quit (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  g_autoptr (GList) windows = g_list_copy (gtk_application_get_windows (GTK_APPLICATION (data)));

  /* Each window asks what has to be asked; the application ends with the last one. */
  for (GList *l = windows; l != NULL; l = l->next)
    gtk_window_close (l->data);
}

static void
on_try_it_created (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhApplication) self = data;
  g_autoptr (GVariant)      machine = NULL;
  g_autoptr (GError)        error = NULL;

  if (bh_guard1_call_create_machine_finish (BH_GUARD1 (source), &machine, result, &error))
    open_machine (self, bh_library_adopt (self->library, machine));
  else
    bh_messages_error (GTK_WIDGET (active_window (self)), _("Cannot try it"), error);
}

/* A machine with the guest that comes with us on a floppy: made once, then only started. */
static void
activate_try_it (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhApplication   *self = data;
  BhMachine       *machine = bh_library_find (self->library, TRY_IT_NAME);
  BhGuard1        *guard = bh_library_get_guard (self->library);
  g_autofree char *image = bh_paths_data_file ("try-it.img", "devices/guest-tools/try-it.img");
  GVariantBuilder  options, attach, floppy;

  if (machine != NULL)
    {
      open_machine (self, machine);
      return;
    }
  if (image == NULL)
    {
      tell (self, _("Cannot try it"), _("The image “try-it.img” is missing from this installation."));
      return;
    }
  if (guard == NULL)
    return;
  g_variant_builder_init (&floppy, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&floppy, "{sv}", "slot", g_variant_new_string ("floppy0"));
  g_variant_builder_add (&floppy, "{sv}", "path", g_variant_new_string (image));
  g_variant_builder_add (&floppy, "{sv}", "format", g_variant_new_string ("raw"));
  g_variant_builder_add (&floppy, "{sv}", "read-only", g_variant_new_boolean (TRUE));
  g_variant_builder_init (&attach, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_builder_add_value (&attach, g_variant_builder_end (&floppy));
  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&options, "{sv}", "label", g_variant_new_string (
                         bh_lookup_string (bh_library_get_encodings (self->library), "default-label", "UNCLASSIFIED")));
  g_variant_builder_add (&options, "{sv}", "memory", g_variant_new_uint32 (32));
  g_variant_builder_add (&options, "{sv}", "attach", g_variant_builder_end (&attach));
  g_variant_builder_add (&options, "{sv}", "sound", g_variant_new_boolean (TRUE));
  g_variant_builder_add (&options, "{sv}", "notes", g_variant_new_string (_("The small guest that comes with Bulkhead.")));
  bh_guard1_call_create_machine (guard, TRY_IT_NAME, g_variant_builder_end (&options), NULL, on_try_it_created,
                                 g_object_ref (self));
}

static void
activate_save_text (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhApplication     *self = data;
  g_autoptr (GError) error = NULL;
  const char        *path, *text;

  g_variant_get (parameter, "(&s&s)", &path, &text);
  if (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
    {
      g_autofree char *base = g_path_get_basename (path);
      g_autofree char *done = g_strdup_printf (_("Saved as “%s”"), base);

      bh_messages_toast (GTK_WIDGET (active_window (self)), done);
    }
  else
    bh_messages_error (GTK_WIDGET (active_window (self)), _("Cannot save"), error);
}

/* ------------------------------------------------------------------------------------------------ the desktop's clipboard */

static void
on_put (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhApplication) self = data;
  g_autoptr (GError)        error = NULL;

  if (bh_guard1_call_put_host_clipboard_finish (BH_GUARD1 (source), result, &error))
    bh_messages_toast (GTK_WIDGET (active_window (self)), _("Taken from the desktop"));
  else
    bh_messages_error (GTK_WIDGET (active_window (self)), _("Cannot take from the desktop"), error);
}

static void
on_text_read (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhApplication) self = data;
  g_autoptr (GError)        error = NULL;
  g_autofree char          *text = gdk_clipboard_read_text_finish (GDK_CLIPBOARD (source), result, &error);
  BhGuard1                 *guard = bh_library_get_guard (self->library);

  if (text == NULL || guard == NULL)
    {
      bh_messages_toast (GTK_WIDGET (active_window (self)), _("There is no text on the desktop’s clipboard"));
      return;
    }
  bh_guard1_call_put_host_clipboard (guard, "text/plain;charset=utf-8",
                                     g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1), NULL, on_put,
                                     g_object_ref (self));
}

static void
activate_clipboard_from_host (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  gdk_clipboard_read_text_async (gdk_display_get_clipboard (gdk_display_get_default ()), NULL, on_text_read,
                                 g_object_ref (data));
}

static void
on_fetched (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhApplication) self = data;
  g_autofree char          *type = NULL;
  g_autoptr (GVariant)      bytes = NULL;
  g_autoptr (GError)        error = NULL;
  g_autofree char          *text = NULL;
  gconstpointer             content;
  gsize                     n_bytes;

  if (!bh_guard1_call_fetch_host_clipboard_finish (BH_GUARD1 (source), &type, &bytes, result, &error))
    {
      bh_messages_error (GTK_WIDGET (active_window (self)), _("Cannot give to the desktop"), error);
      return;
    }
  content = g_variant_get_fixed_array (bytes, &n_bytes, 1);
  text = g_utf8_make_valid (content, (gssize) n_bytes);
  gdk_clipboard_set_text (gdk_display_get_clipboard (gdk_display_get_default ()), text);
  bh_messages_toast (GTK_WIDGET (active_window (self)), _("Given to the desktop"));
}

static void
activate_clipboard_to_host (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhApplication *self = data;
  BhGuard1      *guard = bh_library_get_guard (self->library);

  if (guard != NULL)
    bh_guard1_call_fetch_host_clipboard (guard, NULL, on_fetched, g_object_ref (self));
}

static const GActionEntry entries[] = {
  { "new-machine", activate_new_machine, NULL, NULL, NULL, { 0 } },
  { "open-machine", activate_open_machine, "s", NULL, NULL, { 0 } },
  { "open-path", activate_open_path, "s", NULL, NULL, { 0 } },
  { "library", activate_library, NULL, NULL, NULL, { 0 } },
  { "try-it", activate_try_it, NULL, NULL, NULL, { 0 } },
  { "attention", activate_attention, NULL, NULL, NULL, { 0 } },
  { "audit", activate_audit, NULL, NULL, NULL, { 0 } },
  { "resources", activate_resources, NULL, NULL, NULL, { 0 } },
  { "preferences", activate_preferences, NULL, NULL, NULL, { 0 } },
  { "about", activate_about, NULL, NULL, NULL, { 0 } },
  { "reconnect", activate_reconnect, NULL, NULL, NULL, { 0 } },
  { "save-text", activate_save_text, "(ss)", NULL, NULL, { 0 } },
  { "clipboard-from-host", activate_clipboard_from_host, NULL, NULL, NULL, { 0 } },
  { "clipboard-to-host", activate_clipboard_to_host, NULL, NULL, NULL, { 0 } },
  { "quit", activate_quit, NULL, NULL, NULL, { 0 } },
};

/* ------------------------------------------------------------------------------------------------ keys of the application */

/* GTK looks at the application's accelerators before any widget sees a key.  Ours has one (the shortcuts window); it is
 * taken away while a guest has the keyboard. */
static void
update_accelerators (BhApplication *self)
{
  GtkWindow         *window = gtk_application_get_active_window (GTK_APPLICATION (self));
  const gboolean     guest = BH_IS_CONSOLE_WINDOW (window) &&
                             bh_guest_view_get_active (bh_console_window_get_view (BH_CONSOLE_WINDOW (window)));
  const char *const  help[] = { "<Control>question", NULL };
  const char *const  none[] = { NULL };

  gtk_application_set_accels_for_action (GTK_APPLICATION (self), "win.show-help-overlay", guest ? none : help);
}

static void
bh_application_window_added (GtkApplication *application, GtkWindow *window)
{
  GTK_APPLICATION_CLASS (bh_application_parent_class)->window_added (application, window);
  if (BH_IS_CONSOLE_WINDOW (window))
    g_signal_connect_object (bh_console_window_get_view (BH_CONSOLE_WINDOW (window)), "notify::active",
                             G_CALLBACK (update_accelerators), application, G_CONNECT_SWAPPED);
  update_accelerators (BH_APPLICATION (application));
}

/* ------------------------------------------------------------------------------------------------ GApplication */

static void
bh_application_startup (GApplication *application)
{
  BhApplication *self = BH_APPLICATION (application);

  G_APPLICATION_CLASS (bh_application_parent_class)->startup (application);
  g_action_map_add_action_entries (G_ACTION_MAP (self), entries, G_N_ELEMENTS (entries), self);
  g_signal_connect (self, "notify::active-window", G_CALLBACK (update_accelerators), NULL);
  self->settings = bh_paths_settings ();
  connect_guard (self);
}

static void
bh_application_activate (GApplication *application)
{
  BhApplication *self = BH_APPLICATION (application);

  connect_guard (self);
  present_library (self);
}

static void
bh_application_open (GApplication *application, GFile **files, int n_files, const char *hint)
{
  BhApplication *self = BH_APPLICATION (application);

  connect_guard (self);
  for (int i = 0; i < n_files; i++)
    {
      g_autofree char *path = g_file_get_path (files[i]);

      if (path != NULL)
        wait_for_guard (self, path, path);
    }
}

static int
bh_application_command_line (GApplication *application, GApplicationCommandLine *line)
{
  BhApplication  *self = BH_APPLICATION (application);
  GVariantDict   *options = g_application_command_line_get_options_dict (line);
  int             n_arguments;
  g_auto (GStrv)  arguments = g_application_command_line_get_arguments (line, &n_arguments);

  connect_guard (self);
  if (g_variant_dict_contains (options, "new-machine"))
    {
      present_library (self);
      g_action_group_activate_action (G_ACTION_GROUP (self), "new-machine", NULL);
      return 0;
    }
  if (n_arguments <= 1)
    present_library (self);
  for (int i = 1; i < n_arguments; i++)
    {
      g_autoptr (GFile) file = g_application_command_line_create_file_for_arg (line, arguments[i]);
      g_autofree char  *path = g_file_get_path (file);

      wait_for_guard (self, arguments[i], path ? path : arguments[i]);
    }
  return 0;
}

static int
bh_application_handle_local_options (GApplication *application, GVariantDict *options)
{
  if (g_variant_dict_contains (options, "version"))
    {
      g_print ("Bulkhead %s\n", BH_VERSION);
      return 0;
    }
  return -1;
}

static void
bh_application_dispose (GObject *object)
{
  BhApplication *self = BH_APPLICATION (object);

  if (self->library != NULL)
    g_signal_handlers_disconnect_by_data (self->library, self);
  g_clear_object (&self->settings);
  g_clear_object (&self->library);

  G_OBJECT_CLASS (bh_application_parent_class)->dispose (object);
}

static void
bh_application_finalize (GObject *object)
{
  BhApplication *self = BH_APPLICATION (object);

  g_clear_pointer (&self->waiting, g_ptr_array_unref);
  g_clear_pointer (&self->questions, g_hash_table_unref);

  G_OBJECT_CLASS (bh_application_parent_class)->finalize (object);
}

static void
bh_application_class_init (BhApplicationClass *klass)
{
  GObjectClass      *object_class = G_OBJECT_CLASS (klass);
  GApplicationClass *application_class = G_APPLICATION_CLASS (klass);

  object_class->dispose = bh_application_dispose;
  object_class->finalize = bh_application_finalize;
  application_class->startup = bh_application_startup;
  application_class->activate = bh_application_activate;
  application_class->open = bh_application_open;
  application_class->command_line = bh_application_command_line;
  application_class->handle_local_options = bh_application_handle_local_options;
  GTK_APPLICATION_CLASS (klass)->window_added = bh_application_window_added;
}

static void
bh_application_init (BhApplication *self)
{
  const GOptionEntry options[] = {
    { "version", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Show the version and exit"), NULL },
    { "new-machine", 'n', 0, G_OPTION_ARG_NONE, NULL, N_("Open the dialog for a new machine"), NULL },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
  };

  self->library = bh_library_new ();
  self->waiting = g_ptr_array_new_with_free_func (argument_free);
  self->questions = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_application_add_main_option_entries (G_APPLICATION (self), options);
  g_application_set_option_context_parameter_string (G_APPLICATION (self), _("[NAME | FILE…]"));
  g_application_set_option_context_summary (G_APPLICATION (self),
    _("Opens the library; powers on the machine with this NAME or in this .bulkhead FILE; or makes a new machine from a CD, floppy or disk image."));
  g_signal_connect_swapped (self->library, "notify::online", G_CALLBACK (on_online), self);
  g_signal_connect_swapped (self->library, "notify::status", G_CALLBACK (on_status), self);
  g_signal_connect_swapped (self->library, "notify::n-running", G_CALLBACK (on_n_running), self);
  g_signal_connect (self->library, "items-changed", G_CALLBACK (on_items_changed), self);
  g_signal_connect (self->library, "question", G_CALLBACK (on_question), self);
  g_signal_connect (self->library, "question-closed", G_CALLBACK (on_question_closed), self);
}

BhApplication *
bh_application_new (GApplicationFlags extra_flags)
{
  return g_object_new (BH_TYPE_APPLICATION, "application-id", BH_APPLICATION_ID, "flags",
                       G_APPLICATION_HANDLES_OPEN | G_APPLICATION_HANDLES_COMMAND_LINE | extra_flags,
                       "resource-base-path", "/io/github/bulkhead/Bulkhead", NULL);
}

void
bh_application_set_guard (BhApplication *self, BhGuard1 *guard)
{
  g_return_if_fail (BH_IS_APPLICATION (self));

  self->given_guard = TRUE;
  bh_library_set_guard (self->library, guard);
}

BhLibrary *
bh_application_get_library (BhApplication *self)
{
  g_return_val_if_fail (BH_IS_APPLICATION (self), NULL);

  return self->library;
}
