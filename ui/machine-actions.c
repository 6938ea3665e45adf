/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine-actions.h"

#include "clone-dialog.h"
#include "guard-call.h"
#include "machine-settings.h"
#include "statistics-window.h"
#include "user-messages.h"

#include <glib/gi18n.h>

G_DEFINE_INTERFACE (BhMachineHost, bh_machine_host, GTK_TYPE_WIDGET)

static void
bh_machine_host_default_init (BhMachineHostInterface *iface)
{
}

enum
{
  IN_OFF       = 1 << BH_MACHINE_OFF,
  IN_RUNNING   = 1 << BH_MACHINE_RUNNING,
  IN_PAUSED    = 1 << BH_MACHINE_PAUSED,
  IN_SUSPENDED = 1 << BH_MACHINE_SUSPENDED,
  IN_CRASHED   = 1 << BH_MACHINE_CRASHED,
  IN_ALIVE     = IN_RUNNING | IN_PAUSED,
  IN_STILL     = IN_OFF | IN_SUSPENDED | IN_CRASHED,
  IN_ANY       = IN_ALIVE | IN_STILL,
};

static const struct
{
  const char *name;
  guint       states;           /* in which the action can be chosen */
} actions[] = {
  { "machine.start", IN_STILL },
  { "machine.open", IN_ANY },
  { "machine.pause", IN_RUNNING },
  { "machine.resume", IN_PAUSED | IN_SUSPENDED },
  { "machine.suspend", IN_ALIVE },
  { "machine.reset", IN_ALIVE },
  { "machine.power-button", IN_RUNNING },
  { "machine.power-off", IN_ALIVE },
  { "machine.snapshot", IN_ANY },
  { "machine.clone", IN_STILL },
  { "machine.rename", IN_STILL },
  { "machine.settings", IN_ANY },
  { "machine.statistics", IN_ALIVE },
  { "machine.delete", IN_STILL },
};

/* ------------------------------------------------------------------------------------------------ start */

typedef struct
{
  GWeakRef       from;
  BhLibrary     *library;
  BhMachine     *machine;
  BhStartFunc    callback;
  gpointer       data;
  GDestroyNotify destroy;
} Start;

static void
start_finish (Start *start, GError *error)
{
  start->callback (error, start->data);
  if (start->destroy != NULL)
    start->destroy (start->data);
  g_weak_ref_clear (&start->from);
  g_clear_object (&start->library);
  g_clear_object (&start->machine);
  g_free (start);
}

static void
on_started (GObject *source, GAsyncResult *result, gpointer data)
{
  Start               *start = data;
  g_autoptr (GVariant) details = NULL;
  g_autoptr (GError)   error = NULL;

  if (bh_guard1_call_start_finish (BH_GUARD1 (source), &details, result, &error))
    bh_library_adopt (start->library, details);
  start_finish (start, error);
}

static void
on_resumed (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  bh_guard1_call_resume_finish (BH_GUARD1 (source), result, &error);
  start_finish (data, error);
}

static void
start_with (Start *start, const char *passphrase)
{
  BhGuard1       *guard = bh_library_get_guard (start->library);
  const char     *name = bh_machine_get_name (start->machine);
  GVariantBuilder options;

  if (guard == NULL)
    {
      g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED,
                                                      _("There is no connection to the guard"));

      start_finish (start, error);
      return;
    }
  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  if (passphrase != NULL)
    g_variant_builder_add (&options, "{sv}", "passphrase",
                           g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, passphrase, strlen (passphrase), 1));
  /* Deriving a key or restoring a large memory may take longer than D-Bus likes to wait. */
  g_dbus_proxy_set_default_timeout (G_DBUS_PROXY (guard), G_MAXINT);
  if (bh_machine_get_state (start->machine) == BH_MACHINE_SUSPENDED)
    bh_guard1_call_resume (guard, name, g_variant_builder_end (&options), NULL, on_resumed, start);
  else
    bh_guard1_call_start (guard, name, g_variant_builder_end (&options), NULL, on_started, start);
}

static void
on_passphrase (const char *text, gpointer data)
{
  Start *start = data;

  if (text == NULL)
    {
      g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "");

      start_finish (start, error);
    }
  else
    start_with (start, text);
}

void
bh_machine_start (GtkWidget *from, BhLibrary *library, BhMachine *machine, BhStartFunc callback, gpointer data,
                  GDestroyNotify destroy)
{
  Start *start = g_new0 (Start, 1);

  g_weak_ref_init (&start->from, from);
  start->library = g_object_ref (library);
  start->machine = g_object_ref (machine);
  start->callback = callback;
  start->data = data;
  start->destroy = destroy;
  if (bh_lookup_boolean (bh_machine_get_details (machine), "encrypted"))
    {
      g_autofree char *heading = g_strdup_printf (_("Unlock “%s”"), bh_machine_get_name (machine));

      bh_messages_ask_text (from, heading, _("The machine’s file is encrypted."), _("_Unlock"), NULL, TRUE,
                            on_passphrase, start, NULL);
    }
  else
    start_with (start, NULL);
}

/* ------------------------------------------------------------------------------------------------ the actions */

typedef struct
{
  GtkWidget *from;
  BhLibrary *library;
  BhMachine *machine;
  char      *verb;
} Context;

static Context *
context_new (GtkWidget *from, BhLibrary *library, BhMachine *machine, const char *verb)
{
  Context *context = g_new0 (Context, 1);

  context->from = g_object_ref (from);
  context->library = g_object_ref (library);
  context->machine = g_object_ref (machine);
  context->verb = g_strdup (verb);
  return context;
}

static void
context_free (gpointer data)
{
  Context *context = data;

  g_object_unref (context->from);
  g_object_unref (context->library);
  g_object_unref (context->machine);
  g_free (context->verb);
  g_free (context);
}

static void
on_confirmed (gpointer data)
{
  Context    *context = data;
  const char *name = bh_machine_get_name (context->machine);

  if (g_str_equal (context->verb, "reset"))
    bh_guard_call (context->from, context->library, "Reset", g_variant_new ("(s)", name), _("Cannot reset"), NULL);
  else if (g_str_equal (context->verb, "power-off"))
    bh_guard_call (context->from, context->library, "Stop", g_variant_new ("(sb)", name, TRUE), _("Cannot power off"), NULL);
  else if (g_str_equal (context->verb, "delete"))
    bh_guard_call (context->from, context->library, "DeleteMachine", g_variant_new ("(s@a{sv})", name,
          bh_no_options ()), _("Cannot delete"), NULL);
}

static void
on_snapshot_name (const char *text, gpointer data)
{
  Context         *context = data;
  g_autofree char *done = NULL;

  if (text == NULL)
    return;
  done = g_strdup_printf (_("Snapshot “%s” taken"), text);
  bh_guard_call (context->from, context->library, "TakeSnapshot",
        g_variant_new ("(ss@a{sv})", bh_machine_get_name (context->machine), text,
                       bh_no_options ()),
        _("Cannot take a snapshot"), done);
}

static void
on_new_name (const char *text, gpointer data)
{
  Context *context = data;

  if (text != NULL && !g_str_equal (text, bh_machine_get_name (context->machine)))
    bh_guard_call (context->from, context->library, "RenameMachine",
          g_variant_new ("(ss)", bh_machine_get_name (context->machine), text), _("Cannot rename"), NULL);
}

static void
confirm (GtkWidget *from, BhLibrary *library, BhMachine *machine, const char *verb, const char *heading_format,
         const char *body, const char *accept)
{
  g_autofree char *heading = g_strdup_printf (heading_format, bh_machine_get_name (machine));

  bh_messages_confirm (from, heading, body, accept, TRUE, on_confirmed, context_new (from, library, machine, verb),
                       context_free);
}

static void
ask_snapshot_name (GtkWidget *from, BhLibrary *library, BhMachine *machine)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  /* Translators: the proposed name of a snapshot, a strftime format. */
  g_autofree char      *name = g_date_time_format (now, _("%Y-%m-%d %H:%M"));

  bh_messages_ask_text (from, _("Take a Snapshot"),
                        bh_machine_is_alive (machine) ? _("Disk and memory are kept; the machine runs on.")
                                                      : _("The disk is kept as it is now."),
                        _("_Take Snapshot"), name, FALSE, on_snapshot_name,
                        context_new (from, library, machine, "snapshot"), context_free);
}

static void
present_child (GtkWidget *from, GtkWidget *window)
{
  gtk_window_set_transient_for (GTK_WINDOW (window), bh_messages_window_of (from));
  gtk_window_present (GTK_WINDOW (window));
}

static void
activate (GtkWidget *widget, const char *action_name, GVariant *parameter)
{
  BhMachineHost          *host = BH_MACHINE_HOST (widget);
  BhMachineHostInterface *iface = BH_MACHINE_HOST_GET_IFACE (host);
  BhMachine              *machine = iface->get_machine (host);
  BhLibrary              *library = iface->get_library (host);
  const char             *verb = action_name + strlen ("machine.");
  const char             *name;

  if (machine == NULL)
    return;
  name = bh_machine_get_name (machine);

  if (g_str_equal (verb, "start") || g_str_equal (verb, "open"))
    gtk_widget_activate_action (widget, "app.open-machine", "s", name);
  else if (g_str_equal (verb, "resume") && bh_machine_get_state (machine) == BH_MACHINE_SUSPENDED)
    gtk_widget_activate_action (widget, "app.open-machine", "s", name);
  else if (g_str_equal (verb, "resume"))
    bh_guard_call (widget, library, "Resume", g_variant_new ("(s@a{sv})", name, bh_no_options ()), _("Cannot resume"), NULL);
  else if (g_str_equal (verb, "pause"))
    bh_guard_call (widget, library, "Pause", g_variant_new ("(s)", name), _("Cannot pause"), NULL);
  else if (g_str_equal (verb, "suspend"))
    bh_guard_call (widget, library, "Suspend", g_variant_new ("(s)", name), _("Cannot suspend"), NULL);
  else if (g_str_equal (verb, "power-button"))
    bh_guard_call (widget, library, "PowerButton", g_variant_new ("(s)", name), _("Cannot press the power button"),
          _("Power button pressed"));
  else if (g_str_equal (verb, "reset"))
    confirm (widget, library, machine, verb, _("Reset “%s”?"),
             _("The guest has no chance to save anything first."), _("_Reset"));
  else if (g_str_equal (verb, "power-off"))
    confirm (widget, library, machine, verb, _("Power off “%s”?"),
             _("The guest has no chance to save anything first. “Shut Down” asks it politely."), _("_Power Off"));
  else if (g_str_equal (verb, "snapshot"))
    ask_snapshot_name (widget, library, machine);
  else if (g_str_equal (verb, "rename"))
    bh_messages_ask_text (widget, _("Rename Machine"), NULL, _("_Rename"), name, FALSE, on_new_name,
                          context_new (widget, library, machine, verb), context_free);
  else if (g_str_equal (verb, "clone"))
    present_child (widget, bh_clone_dialog_new (library, machine));
  else if (g_str_equal (verb, "settings"))
    present_child (widget, bh_machine_settings_new (library, machine));
  else if (g_str_equal (verb, "statistics"))
    present_child (widget, bh_statistics_window_new (library, machine));
  else if (g_str_equal (verb, "delete") && iface->delete != NULL)
    iface->delete (host, machine);
  else if (g_str_equal (verb, "delete"))
    confirm (widget, library, machine, verb, _("Delete “%s”?"), _("Its disks and snapshots are deleted with it."),
             _("_Delete"));
}

void
bh_machine_actions_install (GtkWidgetClass *klass)
{
  for (guint i = 0; i < G_N_ELEMENTS (actions); i++)
    gtk_widget_class_install_action (klass, actions[i].name, NULL, activate);
}

void
bh_machine_actions_update (BhMachineHost *host)
{
  BhMachine  *machine = BH_MACHINE_HOST_GET_IFACE (host)->get_machine (host);
  const guint state = machine ? 1u << bh_machine_get_state (machine) : 0;

  for (guint i = 0; i < G_N_ELEMENTS (actions); i++)
    gtk_widget_action_set_enabled (GTK_WIDGET (host), actions[i].name, (actions[i].states & state) != 0);
}
