/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "service.h"

#include "broker.h"
#include "clipboard.h"
#include "disk-tools.h"
#include "folders.h"
#include "guard-client.h"
#include "guard-config.h"
#include "machine.h"
#include "media.h"
#include "networks.h"
#include "questions.h"
#include "regrade.h"
#include "roles.h"
#include "screenshot.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct Service
{
  Guard       *guard;
  GDBusServer *server;
  char        *socket;
  GPtrArray   *connections;
  void       (*changed) (gpointer data);
  gpointer     data;
};

enum { MAX_CONNECTIONS = 64, MAX_BATCH = 1000000 };

/* ------------------------------------------------------------------------------------------------ helpers */

/* Errors leave in our own domain, with a text and never empty. */
static void
refuse (GDBusMethodInvocation *invocation, const GError *error)
{
  guard_error_quark ();
  if (error->domain == GUARD_ERROR)
    g_dbus_method_invocation_return_gerror (invocation, error);
  else
    g_dbus_method_invocation_return_error_literal (invocation, GUARD_ERROR, GUARD_ERROR_FAILED, error->message);
}

static gboolean
is_officer (Service *self, GDBusMethodInvocation *invocation)
{
  return roles_is_officer (self->guard->roles, g_dbus_method_invocation_get_connection (invocation));
}

static gboolean
need_officer (Service *self, GDBusMethodInvocation *invocation, const char *what)
{
  g_autoptr (GError) error = NULL;

  if (is_officer (self, invocation))
    return TRUE;
  guard_refuse (self->guard, what, "user", NULL, &error, "this needs the officer's role (officer login)");
  refuse (invocation, error);
  return FALSE;
}

static Machine *
find (Service *self, GDBusMethodInvocation *invocation, const char *name)
{
  g_autoptr (GError) error = NULL;
  Machine *machine = machine_find (self->guard, name, is_officer (self, invocation), &error);

  if (!machine)
    refuse (invocation, error);
  return machine;
}

/* For methods without results. */
static void
done_empty (Machine *machine, const GError *error, gpointer data)
{
  if (error)
    refuse (data, error);
  else
    g_dbus_method_invocation_return_value (data, NULL);
}

static void
done_described (Machine *machine, const GError *error, gpointer data)
{
  if (error)
    refuse (data, error);
  else
    g_dbus_method_invocation_return_value (data, g_variant_new ("(@a{sv})", machine_describe (machine)));
}

static void
answer_bool (GDBusMethodInvocation *invocation, gboolean good, GError *const *error)
{
  if (good)
    g_dbus_method_invocation_return_value (invocation, NULL);
  else
    refuse (invocation, *error);
}

#define HANDLER(name, ...) \
  static gboolean handle_##name (BhGuard1 *skeleton, GDBusMethodInvocation *invocation, ##__VA_ARGS__, gpointer user_data)
#define HANDLER0(name) \
  static gboolean handle_##name (BhGuard1 *skeleton, GDBusMethodInvocation *invocation, gpointer user_data)

/* ------------------------------------------------------------------------------------------------ the guard itself */

static gint
by_name (gconstpointer a, gconstpointer b)
{
  return g_utf8_collate (machine_record (*(Machine *const *) a)->name, machine_record (*(Machine *const *) b)->name);
}

/* Those the caller may see, in order. */
static GPtrArray *
visible (Service *self, GDBusMethodInvocation *invocation)
{
  GPtrArray *machines = g_ptr_array_new ();
  gboolean officer = is_officer (self, invocation);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->guard->machines);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (officer || guard_may_see (self->guard, &machine_record (value)->label))
      g_ptr_array_add (machines, value);
  g_ptr_array_sort (machines, by_name);
  return machines;
}

static void
add (GVariantBuilder *into, const char *key, const char *value)
{
  g_variant_builder_add (into, "{sv}", key, g_variant_new_string (value ? value : ""));
}

static void
add_label_text (Guard *guard, GVariantBuilder *into, const char *key, const Label *label)
{
  g_autofree char *text = guard_banner (guard, label);

  add (into, key, text);
}

HANDLER0 (status)
{
  Service *self = user_data;
  Guard *guard = self->guard;
  g_autoptr (GPtrArray) machines = visible (self, invocation);
  g_autofree char *phrase = guard_get_policy (guard, "phrase");
  g_autofree char *key = guard_get_policy (guard, "attention-key");
  g_autofree char *consent = guard_get_policy (guard, "consent");
  g_autofree char *console = guard_get_policy (guard, "console");
  g_autofree char *canonical = guard_canonical (&guard->host);
  g_autofree char *problems = g_strjoinv ("\n", (char **) store_problems (guard->store));
  const char *audit = audit_problem (guard->audit);
  Label highest = guard->host, joined;
  EncodingsColours colours;
  GVariantBuilder all;
  guint running = 0;

  for (guint i = 0; i < machines->len; i++)
    {
      running += machine_is_live (machines->pdata[i]);
      label_join (&highest, &machine_record (machines->pdata[i])->label, &joined);
      highest = joined;
    }
  /* The library's mark is about secrecy: how trustworthy the list is does not go down with what it lists. */
  highest.integrity = guard->host.integrity;
  g_variant_builder_init (&all, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&all, "{sv}", "pid", g_variant_new_int32 (getpid ()));
  add (&all, "version", BULKHEAD_VERSION);
  g_variant_builder_add (&all, "{sv}", "protocol", g_variant_new_uint32 (PROTOCOL_VERSION));
  add (&all, "socket", self->socket);
  g_variant_builder_add (&all, "{sv}", "running", g_variant_new_uint32 (running));
  g_variant_builder_add (&all, "{sv}", "machines", g_variant_new_uint32 (machines->len));
  g_variant_builder_add (&all, "{sv}", "officer", g_variant_new_boolean (is_officer (self, invocation)));
  g_variant_builder_add (&all, "{sv}", "officer-set", g_variant_new_boolean (roles_is_set (guard->roles)));
  add (&all, "audit", audit ? audit : "ok");
  add (&all, "problem", guard->problem);
  add (&all, "library-problems", problems);
  add (&all, "encodings", guard->encodings ? encodings_name (guard->encodings) : "");
  add (&all, "encodings-file", guard->encodings_path);
  add (&all, "encodings-problem", guard->encodings_problem);
  add_label_text (guard, &all, "host-label", &guard->host);
  add (&all, "host-canonical", canonical);
  guard_colours (guard, &guard->host, &colours);
  add (&all, "host-foreground", colours.foreground);
  add (&all, "host-background", colours.background);
  add (&all, "host-pattern", colours.pattern);
  add_label_text (guard, &all, "clearance-low", &guard->clearance_low);
  add_label_text (guard, &all, "clearance-high", &guard->clearance_high);
  add_label_text (guard, &all, "highest-label", &highest);
  guard_colours (guard, &highest, &colours);
  add (&all, "highest-foreground", colours.foreground);
  add (&all, "highest-background", colours.background);
  add (&all, "highest-pattern", colours.pattern);
  add (&all, "phrase", phrase);
  add (&all, "attention-key", key);
  add (&all, "consent", consent);
  g_variant_builder_add (&all, "{sv}", "console-allowed", g_variant_new_boolean (g_str_equal (console, "on")));
  bh_guard1_complete_status (skeleton, invocation, g_variant_builder_end (&all));
  return TRUE;
}

HANDLER0 (describe_encodings)
{
  Service *self = user_data;
  g_autoptr (GVariant) described = NULL;
  g_autoptr (GError) error = NULL;

  if (!self->guard->encodings)
    {
      error = g_error_new (GUARD_ERROR, GUARD_ERROR_FAILED, "the encodings are damaged: %s", self->guard->encodings_problem);
      refuse (invocation, error);
      return TRUE;
    }
  described = encodings_describe (self->guard->encodings, &self->guard->clearance_high);
  bh_guard1_complete_describe_encodings (skeleton, invocation, described);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ library */

HANDLER0 (list_machines)
{
  Service *self = user_data;
  g_autoptr (GPtrArray) machines = visible (self, invocation);
  GVariantBuilder rows;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < machines->len; i++)
    g_variant_builder_add_value (&rows, machine_describe (machines->pdata[i]));
  bh_guard1_complete_list_machines (skeleton, invocation, g_variant_builder_end (&rows));
  return TRUE;
}

HANDLER (get_machine, const char *name)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    bh_guard1_complete_get_machine (skeleton, invocation, machine_describe (machine));
  return TRUE;
}

HANDLER (create_machine, const char *name, GVariant *options)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  Machine *machine = machine_create (self->guard, name, options, &error);

  if (machine)
    bh_guard1_complete_create_machine (skeleton, invocation, machine_describe (machine));
  else
    refuse (invocation, error);
  return TRUE;
}

HANDLER (set_machine, const char *name, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;

  if (!machine)
    return TRUE;
  if (machine_set (machine, options, &error))
    bh_guard1_complete_set_machine (skeleton, invocation, machine_describe (machine));
  else
    refuse (invocation, error);
  return TRUE;
}

HANDLER (delete_machine, const char *name, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;

  if (machine)
    answer_bool (invocation, machine_delete (machine, options, &error), &error);
  return TRUE;
}

HANDLER (rename_machine, const char *name, const char *new_name)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;

  if (machine)
    answer_bool (invocation, machine_rename (machine, new_name, &error), &error);
  return TRUE;
}

HANDLER (clone_machine, const char *name, const char *new_name, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name), *copy;
  g_autoptr (GError) error = NULL;

  if (!machine)
    return TRUE;
  copy = machine_clone (machine, new_name, options, &error);
  if (copy)
    bh_guard1_complete_clone_machine (skeleton, invocation, machine_describe (copy));
  else
    refuse (invocation, error);
  return TRUE;
}

HANDLER (import_machine, const char *path, GVariant *options)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  Machine *machine = machine_import (self->guard, path, options, &error);

  if (machine)
    bh_guard1_complete_import_machine (skeleton, invocation, machine_describe (machine));
  else
    refuse (invocation, error);
  return TRUE;
}

HANDLER (export_machine, const char *name, const char *path, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;

  if (machine)
    answer_bool (invocation, machine_export (machine, path, options, &error), &error);
  return TRUE;
}

/* Only for images that no label clings to: neither a machine's file nor a registered medium. */
static gboolean
convert (Guard *guard, const char *source, const char *target, GVariant *options, GError **error)
{
  g_autofree char *resolved = broker_resolve (guard, source, error);
  const char *format = NULL, *from = NULL;
  g_auto (AutoFd) in = -1;
  g_auto (AutoFd) out = -1;
  Label label;

  if (!resolved)
    return FALSE;
  media_label (guard->media, resolved, -1, &label);
  if (media_is_registered (guard->media, resolved, -1) || g_str_has_suffix (resolved, ".bulkhead"))
    {
      g_autofree char *banner = guard_banner (guard, &label);
      g_autofree char *host = guard_banner (guard, &guard->host);

      guard_refuse (guard, "export", "user", resolved, error,
                    "from %s to %s: the image bears a label; use `export`, which decides about it (secrecy)", banner, host);
      return FALSE;
    }
  if (!g_variant_lookup (options, "format", "&s", &format))
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_USAGE, "convert needs --format");
      return FALSE;
    }
  if (!g_variant_lookup (options, "from", "&s", &from))
    from = disk_tools_format_of (resolved);
  if (!guard_record (guard, "convert", "user", resolved, target, error))
    return FALSE;
  in = broker_open_own (resolved, FALSE, error);
  if (in < 0)
    return FALSE;
  out = broker_open_target (target, error);
  if (out < 0)
    return FALSE;
  if (media_is_registered (guard->media, target, out))
    {
      guard_refuse (guard, "export", "user", target, error, "the target is a registered medium");
      return FALSE;
    }
  if (ftruncate (out, 0) < 0)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s cannot be emptied: %s", target, g_strerror (errno));
      return FALSE;
    }
  return disk_tools_copy (in, from, out, format, error);
}

HANDLER (convert, const char *source, const char *target, GVariant *options)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!g_path_is_absolute (target))
    error = g_error_new_literal (GUARD_ERROR, GUARD_ERROR_USAGE, "the target needs an absolute path");
  answer_bool (invocation, !error && convert (self->guard, source, target, options, &error), &error);
  return TRUE;
}

HANDLER (check_machine, const char *name, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;
  GVariant *result;

  if (!machine)
    return TRUE;
  result = machine_check (machine, options, &error);
  if (result)
    bh_guard1_complete_check_machine (skeleton, invocation, result);
  else
    refuse (invocation, error);
  return TRUE;
}

HANDLER (unlock_machine, const char *name, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;

  if (machine)
    answer_bool (invocation, machine_unlock (machine, options, &error), &error);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ running */

HANDLER (start, const char *name, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_start (machine, options, done_described, invocation);
  return TRUE;
}

HANDLER (stop, const char *name, gboolean force)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_stop (machine, force, done_empty, invocation);
  return TRUE;
}

HANDLER (power_button, const char *name)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_command (machine, MESSAGE_POWER_BUTTON, NULL, done_empty, invocation);
  return TRUE;
}

HANDLER (pause, const char *name)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_pause (machine, done_empty, invocation);
  return TRUE;
}

HANDLER (resume, const char *name, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_resume (machine, options, done_empty, invocation);
  return TRUE;
}

HANDLER (reset, const char *name)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_command (machine, MESSAGE_RESET, NULL, done_empty, invocation);
  return TRUE;
}

HANDLER (suspend, const char *name)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_suspend (machine, done_empty, invocation);
  return TRUE;
}

HANDLER (open_console, GUnixFDList *fds_in, const char *name, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GError) error = NULL;
  GVariantBuilder info;
  g_autoptr (GVariant) described = NULL;
  GVariantIter iter;
  const char *key;
  GVariant *value;
  Console console;
  int list[4];

  if (!machine)
    return TRUE;
  if (machine_console_is_open (machine))
    bh_guard1_emit_console_closed (skeleton, name, "taken");
  if (!machine_open_console (machine, &console, &error))
    {
      refuse (invocation, error);
      return TRUE;
    }
  list[0] = console.display;
  list[1] = console.frame;
  list[2] = console.input;
  list[3] = console.sound;
  fds = g_unix_fd_list_new_from_array (list, 4);
  g_variant_builder_init (&info, G_VARIANT_TYPE_VARDICT);
  described = g_variant_ref_sink (machine_describe (machine));
  g_variant_iter_init (&iter, described);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &value))
    {
      g_variant_builder_add (&info, "{sv}", key, value);
      g_variant_unref (value);
    }
  g_variant_builder_add (&info, "{sv}", "display-bytes", g_variant_new_uint64 (machine_display_bytes ()));
  g_variant_builder_add (&info, "{sv}", "sound-bytes", g_variant_new_uint64 (machine_sound_bytes ()));
  bh_guard1_complete_open_console (skeleton, invocation, fds, g_variant_new_handle (0), g_variant_new_handle (1),
                                   g_variant_new_handle (2), g_variant_new_handle (3), g_variant_builder_end (&info));
  return TRUE;
}

HANDLER (open_serial, GUnixFDList *fds_in, const char *name, guint port)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  if (!machine)
    return TRUE;
  fd = machine_open_serial (machine, port, &error);
  if (fd < 0)
    {
      refuse (invocation, error);
      return TRUE;
    }
  fds = g_unix_fd_list_new_from_array (&fd, 1);
  bh_guard1_complete_open_serial (skeleton, invocation, fds, g_variant_new_handle (0));
  return TRUE;
}

static void
done_lines (Machine *machine, const char *const *lines, const GError *error, gpointer data)
{
  if (error)
    refuse (data, error);
  else
    g_dbus_method_invocation_return_value (data, g_variant_new ("(^as)", lines));
}

HANDLER (screen_text, const char *name)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;

  if (!machine)
    return TRUE;
  if (machine_is_live (machine) && !machine_may_watch (machine, "screen-text", &error))
    refuse (invocation, error);
  else
    machine_screen_text (machine, done_lines, invocation);
  return TRUE;
}

static guint32
colour_value (const char *text)
{
  return (guint32) g_ascii_strtoull (text + 1, NULL, 16);
}

static int
png_file (GBytes *png, GError **error)
{
  int fd = broker_memory_file ("bulkhead-screenshot", g_bytes_get_size (png), error);

  if (fd >= 0 && pwrite (fd, g_bytes_get_data (png, NULL), g_bytes_get_size (png), 0) != (ssize_t) g_bytes_get_size (png))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the picture cannot be handed over: %s", g_strerror (errno));
      clear_fd (&fd);
    }
  return fd;
}

HANDLER (screenshot, GUnixFDList *fds_in, const char *name, GVariant *options)
{
  Service *self = user_data;
  Guard *guard = self->guard;
  Machine *machine = find (self, invocation, name);
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) png = NULL;
  g_autofree char *banner = NULL;
  EncodingsColours colours;
  ScreenshotStamp stamp;
  gboolean wants_stamp = TRUE;
  const char *path = NULL;
  const Label *label;
  guint width = 0, height = 0;
  GVariantBuilder info;
  int fd = -1;

  if (!machine)
    return TRUE;
  label = &machine_record (machine)->label;
  banner = guard_banner (guard, label);
  guard_colours (guard, label, &colours);
  g_variant_lookup (options, "stamp", "b", &wants_stamp);
  g_variant_lookup (options, "path", "&s", &path);
  stamp = (ScreenshotStamp) { banner, colour_value (colours.foreground), colour_value (colours.background) };
  if (machine_display_fd (machine) < 0)
    error = g_error_new (GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "VM \"%s\" is not running", name);
  /* Whether into a file or into another program of the user: the picture leaves for the host. */
  else if (guard_decide (guard, CHANNEL_SCREENSHOT, name, path ? path : "user", label, &guard->host, NULL, &error)
           && machine_may_watch (machine, "screenshot", &error))
    png = screenshot_take (machine_display_fd (machine), wants_stamp ? &stamp : NULL, &width, &height, &error);
  if (png && path)
    {
      if (!g_path_is_absolute (path))
        error = g_error_new_literal (GUARD_ERROR, GUARD_ERROR_USAGE, "the picture needs an absolute path");
      else if (files_replace (path, g_bytes_get_data (png, NULL), g_bytes_get_size (png), &error))
        fd = broker_memory_file ("bulkhead-nothing", 0, &error);
    }
  else if (png)
    fd = png_file (png, &error);
  if (fd < 0)
    {
      refuse (invocation, error);
      return TRUE;
    }
  fds = g_unix_fd_list_new_from_array (&fd, 1);
  g_variant_builder_init (&info, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&info, "{sv}", "width", g_variant_new_uint32 (width));
  g_variant_builder_add (&info, "{sv}", "height", g_variant_new_uint32 (height));
  g_variant_builder_add (&info, "{sv}", "bytes", g_variant_new_uint64 (g_bytes_get_size (png)));
  add (&info, "label", banner);
  bh_guard1_complete_screenshot (skeleton, invocation, fds, g_variant_new_handle (0), g_variant_builder_end (&info));
  return TRUE;
}

static gboolean
handle_keys (Service *self, GDBusMethodInvocation *invocation, const char *name, MessageType type, const char *text)
{
  Machine *machine = find (self, invocation, name);
  g_autoptr (GError) error = NULL;

  if (!machine)
    return TRUE;
  if (machine_is_live (machine) && !machine_may_watch (machine, type == MESSAGE_TYPE ? "type" : "key", &error))
    refuse (invocation, error);
  else
    machine_command (machine, type, text, done_empty, invocation);
  return TRUE;
}

/* A text longer than one message goes in pieces, cut between characters. */
typedef struct
{
  GDBusMethodInvocation *invocation;
  char *text;
  gsize at;
} Typing;

static void
type_next (Machine *machine, const GError *error, gpointer data)
{
  Typing *typing = data;
  const char *rest = typing->text + typing->at;
  gsize n = strlen (rest);

  if (error || !n)
    {
      done_empty (machine, error, typing->invocation);
      g_free (typing->text);
      g_free (typing);
      return;
    }
  if (n > PROTOCOL_TEXT_BYTES - 1)
    {
      n = PROTOCOL_TEXT_BYTES - 1;
      while (((guchar) rest[n] & 0xc0) == 0x80)
        n--;
    }
  {
    g_autofree char *piece = g_strndup (rest, n);

    typing->at += n;
    machine_command (machine, MESSAGE_TYPE, piece, type_next, typing);
  }
}

static void
type_text (Machine *machine, const char *text, GDBusMethodInvocation *invocation)
{
  Typing *typing = g_new0 (Typing, 1);

  typing->invocation = invocation;
  typing->text = g_strdup (text);
  type_next (machine, NULL, typing);
}

HANDLER (type, const char *name, const char *text)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;

  if (!machine)
    return TRUE;
  if (g_utf8_strlen (text, -1) > 4096)
    error = g_error_new_literal (GUARD_ERROR, GUARD_ERROR_USAGE, "at most 4096 characters at once");
  else if (machine_is_live (machine))
    machine_may_watch (machine, "type", &error);
  if (error)
    refuse (invocation, error);
  else if (!machine_is_live (machine))
    machine_command (machine, MESSAGE_TYPE, "", done_empty, invocation);
  else
    type_text (machine, text, invocation);
  return TRUE;
}

HANDLER (key, const char *name, const char *chord)
{
  return handle_keys (user_data, invocation, name, MESSAGE_KEYS, chord);
}

HANDLER (insert, const char *name, const char *slot, const char *path, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_insert (machine, slot, path, options, done_empty, invocation);
  return TRUE;
}

HANDLER (eject, const char *name, const char *slot)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_eject (machine, slot, done_empty, invocation);
  return TRUE;
}

static void
done_stats (Machine *machine, GVariant *statistics, const GError *error, gpointer data)
{
  g_autoptr (GVariant) sunk = statistics ? g_variant_ref_sink (statistics) : NULL;

  if (error)
    refuse (data, error);
  else
    g_dbus_method_invocation_return_value (data, g_variant_new ("(@a{sv})", sunk));
}

HANDLER (statistics, const char *name)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_statistics (machine, done_stats, invocation);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ snapshots */

HANDLER (list_snapshots, const char *name)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;
  GVariant *rows;

  if (!machine)
    return TRUE;
  rows = machine_list_snapshots (machine, &error);
  if (rows)
    bh_guard1_complete_list_snapshots (skeleton, invocation, rows);
  else
    refuse (invocation, error);
  return TRUE;
}

HANDLER (take_snapshot, const char *name, const char *snapshot, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);
  const char *note = "";

  g_variant_lookup (options, "note", "&s", &note);
  if (machine)
    machine_snapshot (machine, "take", snapshot, note, done_empty, invocation);
  return TRUE;
}

HANDLER (revert_snapshot, const char *name, const char *snapshot, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_snapshot (machine, "revert", snapshot, NULL, done_empty, invocation);
  return TRUE;
}

HANDLER (delete_snapshot, const char *name, const char *snapshot)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_snapshot (machine, "delete", snapshot, NULL, done_empty, invocation);
  return TRUE;
}

HANDLER (rename_snapshot, const char *name, const char *snapshot, const char *new_name)
{
  Machine *machine = find (user_data, invocation, name);

  if (machine)
    machine_snapshot (machine, "rename", snapshot, new_name, done_empty, invocation);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ resources */

HANDLER0 (list_networks)
{
  Service *self = user_data;

  bh_guard1_complete_list_networks (skeleton, invocation, networks_list (self->guard->networks));
  return TRUE;
}

/* The label every resource needs. */
static gboolean
option_label (Guard *guard, GVariant *options, Label *ret_label, GError **error)
{
  const char *text;

  if (g_variant_lookup (options, "label", "&s", &text))
    return guard_read_label (guard, text, ret_label, error);
  g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_USAGE, "this needs a label (--label TEXT)");
  return FALSE;
}

HANDLER (create_network, const char *name, GVariant *options)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree const char **forwards = NULL;
  gboolean nat = FALSE;
  Label label;

  g_variant_lookup (options, "nat", "b", &nat);
  g_variant_lookup (options, "forward", "^a&s", &forwards);
  answer_bool (invocation,
               option_label (self->guard, options, &label, &error)
                 && networks_create (self->guard->networks, name, &label, nat, forwards, &error),
               &error);
  return TRUE;
}

HANDLER (delete_network, const char *name)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;

  answer_bool (invocation, networks_delete (self->guard->networks, name, &error), &error);
  return TRUE;
}

HANDLER0 (list_folders)
{
  Service *self = user_data;

  bh_guard1_complete_list_folders (skeleton, invocation, folders_list (self->guard->folders));
  return TRUE;
}

HANDLER (add_folder, const char *name, const char *path, GVariant *options)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  Label label;

  answer_bool (invocation,
               option_label (self->guard, options, &label, &error)
                 && folders_add (self->guard->folders, name, path, &label, &error),
               &error);
  return TRUE;
}

HANDLER (remove_folder, const char *name)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;

  answer_bool (invocation, folders_remove (self->guard->folders, name, &error), &error);
  return TRUE;
}

HANDLER0 (list_media)
{
  Service *self = user_data;

  bh_guard1_complete_list_media (skeleton, invocation, media_list (self->guard->media));
  return TRUE;
}

HANDLER (register_medium, const char *path, GVariant *options)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree char *resolved = NULL;
  Label label;

  answer_bool (invocation,
               option_label (self->guard, options, &label, &error)
                 && (resolved = broker_resolve (self->guard, path, &error))
                 && media_register (self->guard->media, resolved, &label, &error),
               &error);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ clipboard */

HANDLER (take_clipboard, const char *name, GVariant *options)
{
  Machine *machine = find (user_data, invocation, name);
  g_autoptr (GError) error = NULL;

  if (!machine)
    return TRUE;
  error = g_error_new (GUARD_ERROR, GUARD_ERROR_FAILED,
                       "VM \"%s\" has no agent that could hand over its clipboard (spice-vdagent in the guest)", name);
  refuse (invocation, error);
  return TRUE;
}

typedef struct
{
  Service *service;
  GDBusMethodInvocation *invocation;
  char *name;
  gboolean typed;
} Giving;

static void
typed_given (Machine *machine, const GError *error, gpointer data)
{
  GVariantBuilder row;

  if (error)
    {
      refuse (data, error);
      return;
    }
  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&row, "{sv}", "typed", g_variant_new_boolean (TRUE));
  g_dbus_method_invocation_return_value (data, g_variant_new ("(@a{sv})", g_variant_builder_end (&row)));
}

static void
given_to_machine (GBytes *bytes, const char *type, const GError *error, gpointer data)
{
  Giving *giving = data;
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  Machine *machine;

  if (!error)
    {
      machine = machine_find (giving->service->guard, giving->name, TRUE, &local);
      text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      if (machine && (!g_utf8_validate (text, -1, NULL) || strlen (text) >= PROTOCOL_TEXT_BYTES))
        local = g_error_new (GUARD_ERROR, GUARD_ERROR_FAILED, "only text of up to %d bytes can be typed", PROTOCOL_TEXT_BYTES - 1);
      error = local;
      if (!error)
        machine_command (machine, MESSAGE_TYPE, text, typed_given, giving->invocation);
    }
  if (error)
    refuse (giving->invocation, error);
  g_free (giving->name);
  g_free (giving);
}

HANDLER (give_clipboard, const char *name, GVariant *options)
{
  Service *self = user_data;
  Machine *machine = find (self, invocation, name);
  g_autoptr (GError) error = NULL;
  gboolean typed = FALSE;
  Giving *giving;

  if (!machine)
    return TRUE;
  g_variant_lookup (options, "typed", "b", &typed);
  if (!machine_is_live (machine))
    error = g_error_new (GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "VM \"%s\" is not running", name);
  if (error)
    {
      refuse (invocation, error);
      return TRUE;
    }
  giving = g_new0 (Giving, 1);
  giving->service = self;
  giving->invocation = invocation;
  giving->name = g_strdup (name);
  giving->typed = typed;
  clipboard_get (self->guard->clipboard, name, &machine_record (machine)->label, given_to_machine, giving);
  return TRUE;
}

HANDLER (put_host_clipboard, const char *type, GVariant *data)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (data);

  answer_bool (invocation, clipboard_put (self->guard->clipboard, NULL, &self->guard->host, type, bytes, &error), &error);
  return TRUE;
}

static void
given_to_host (GBytes *bytes, const char *type, const GError *error, gpointer data)
{
  if (error)
    refuse (data, error);
  else
    g_dbus_method_invocation_return_value (data,
                                           g_variant_new ("(s@ay)", type,
                                                          g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE)));
}

HANDLER0 (fetch_host_clipboard)
{
  Service *self = user_data;

  clipboard_get (self->guard->clipboard, NULL, &self->guard->host, given_to_host, invocation);
  return TRUE;
}

HANDLER0 (clipboard_status)
{
  Service *self = user_data;

  bh_guard1_complete_clipboard_status (skeleton, invocation, clipboard_status (self->guard->clipboard));
  return TRUE;
}

HANDLER0 (clear_clipboard)
{
  Service *self = user_data;

  clipboard_clear (self->guard->clipboard);
  bh_guard1_complete_clear_clipboard (skeleton, invocation);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ labels */

/* Any label that can be read, valid here or not: canonical text first, then words. */
static gboolean
read_any (Guard *guard, const char *text, Label *ret_label, GError **error)
{
  if (label_parse (text, ret_label))
    return TRUE;
  return guard_read_label (guard, text, ret_label, error);
}

HANDLER (show_label, const char *text)
{
  Service *self = user_data;
  Guard *guard = self->guard;
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) invalid = NULL;
  GVariantBuilder row;
  gboolean valid;
  Label label;

  if (!label_parse (text, &label)
      && !(guard->encodings ? encodings_read_clearance (guard->encodings, text, &label, &error)
                            : guard_read_label (guard, text, &label, &error)))
    {
      refuse (invocation, error);
      return TRUE;
    }
  valid = guard->encodings && encodings_check_label (guard->encodings, &label, &invalid);
  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  guard_describe_label (guard, &row, "", &label);
  g_variant_builder_add (&row, "{sv}", "secrecy-level", g_variant_new_uint32 (label.secrecy.level));
  g_variant_builder_add (&row, "{sv}", "integrity-level", g_variant_new_uint32 (label.integrity.level));
  g_variant_builder_add (&row, "{sv}", "valid", g_variant_new_boolean (valid));
  add (&row, "problem", invalid ? invalid->message : "");
  bh_guard1_complete_show_label (skeleton, invocation, g_variant_builder_end (&row));
  return TRUE;
}

static gboolean
decide_query (Guard *guard, const char *from_text, const char *to_text, const char *channel_text, Label *from, Label *to,
              PolicyChannel *channel, PolicyDecision *ret, GError **error)
{
  if (!read_any (guard, from_text, from, error) || !read_any (guard, to_text, to, error))
    return FALSE;
  if (!policy_channel_find (channel_text, channel))
    {
      g_autofree char *shown = files_neutral_text (channel_text, 64);

      g_set_error (error, GUARD_ERROR, GUARD_ERROR_USAGE, "there is no channel \"%s\"", shown);
      return FALSE;
    }
  *ret = policy_decide (&guard->settings, *channel, from, to);
  return TRUE;
}

HANDLER (decide, const char *from_text, const char *to_text, const char *channel_text)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree char *reason = NULL;
  PolicyDecision decision;
  PolicyChannel channel;
  GVariantBuilder row;
  Label from, to;

  if (!decide_query (self->guard, from_text, to_text, channel_text, &from, &to, &channel, &decision, &error))
    {
      refuse (invocation, error);
      return TRUE;
    }
  if (decision.verdict == VERDICT_DENY)
    reason = guard_refusal_text (self->guard, channel_text, &from, &to, decision);
  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  add (&row, "verdict", policy_verdict_text (decision.verdict));
  add (&row, "rule", policy_rule_text (decision.rule));
  g_variant_builder_add (&row, "{sv}", "rule-number", g_variant_new_uint32 (decision.rule));
  add (&row, "half", policy_half_text (decision.half));
  add (&row, "reason", reason);
  add (&row, "channel", channel_text);
  add_label_text (self->guard, &row, "from", &from);
  add_label_text (self->guard, &row, "to", &to);
  bh_guard1_complete_decide (skeleton, invocation, g_variant_builder_end (&row));
  return TRUE;
}

HANDLER (decide_batch, const char *const *lines)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  GVariantBuilder rows;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("a(ss)"));
  for (guint i = 0; lines[i]; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines[i], " ", 4);
      PolicyDecision decision;
      PolicyChannel channel;
      Label from, to;

      if (i >= MAX_BATCH || g_strv_length (words) != 3)
        {
          error = g_error_new (GUARD_ERROR, GUARD_ERROR_USAGE, "line %u: not FROM TO CHANNEL with canonical labels", i + 1);
          break;
        }
      if (!decide_query (self->guard, words[0], words[1], words[2], &from, &to, &channel, &decision, &error))
        {
          g_prefix_error (&error, "line %u: ", i + 1);
          break;
        }
      g_variant_builder_add (&rows, "(ss)", policy_verdict_text (decision.verdict), policy_rule_text (decision.rule));
    }
  if (error)
    {
      g_variant_builder_clear (&rows);
      refuse (invocation, error);
    }
  else
    bh_guard1_complete_decide_batch (skeleton, invocation, g_variant_builder_end (&rows));
  return TRUE;
}

HANDLER (answer_question, guint64 id, gboolean allow)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!questions_answer (self->guard, id, allow))
    error = g_error_new_literal (GUARD_ERROR, GUARD_ERROR_FAILED, "this question is not open any more");
  answer_bool (invocation, !error, &error);
  return TRUE;
}

HANDLER (decide_drag, const char *name, const char *channel_text)
{
  Service *self = user_data;
  Guard *guard = self->guard;
  Machine *machine = find (self, invocation, name);
  g_autoptr (GError) error = NULL;
  GVariantBuilder row;

  if (!machine)
    return TRUE;
  if (g_str_equal (channel_text, "drag-out"))
    guard_refuse (guard, "drag-out", name, "host", &error,
                  "nothing is dragged out of a VM: the guest would choose what and when; use the clipboard or a folder");
  else if (g_str_equal (channel_text, "drag-in"))
    guard_decide (guard, CHANNEL_DRAG_IN, name, "host", &guard->host, &machine_record (machine)->label, NULL, &error);
  else
    error = g_error_new_literal (GUARD_ERROR, GUARD_ERROR_USAGE, "the channel is drag-in or drag-out");
  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  add (&row, "verdict", error ? "deny" : "allow");
  add (&row, "reason", error ? error->message : "");
  bh_guard1_complete_decide_drag (skeleton, invocation, g_variant_builder_end (&row));
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ roles, policy, audit */

HANDLER (officer_login, GVariant *passphrase)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (passphrase);
  gboolean set = !roles_is_set (self->guard->roles), good;
  GVariantBuilder row;

  good = set ? roles_set_passphrase (self->guard->roles, bytes, &error) : roles_check (self->guard->roles, bytes, &error);
  if (!good)
    {
      refuse (invocation, error);
      return TRUE;
    }
  roles_enter (self->guard->roles, g_dbus_method_invocation_get_connection (invocation));
  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&row, "{sv}", "set", g_variant_new_boolean (set));
  bh_guard1_complete_officer_login (skeleton, invocation, g_variant_builder_end (&row));
  return TRUE;
}

HANDLER0 (officer_logout)
{
  Service *self = user_data;

  roles_leave (self->guard->roles, g_dbus_method_invocation_get_connection (invocation));
  bh_guard1_complete_officer_logout (skeleton, invocation);
  return TRUE;
}

HANDLER (set_officer_passphrase, GVariant *passphrase)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (passphrase);

  if (need_officer (self, invocation, "officer-passphrase"))
    answer_bool (invocation, roles_set_passphrase (self->guard->roles, bytes, &error), &error);
  return TRUE;
}

HANDLER0 (get_policy)
{
  Service *self = user_data;
  const char *const *keys = guard_policy_keys ();
  GVariantBuilder row;

  g_variant_builder_init (&row, G_VARIANT_TYPE ("a{ss}"));
  for (guint i = 0; keys[i]; i++)
    {
      g_autofree char *value = guard_get_policy (self->guard, keys[i]);

      g_variant_builder_add (&row, "{ss}", keys[i], value);
    }
  bh_guard1_complete_get_policy (skeleton, invocation, g_variant_builder_end (&row));
  return TRUE;
}

HANDLER (set_policy, const char *key, const char *value)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;

  if (g_str_equal (key, "phrase") || need_officer (self, invocation, "policy"))
    answer_bool (invocation, guard_set_policy (self->guard, key, value, &error), &error);
  return TRUE;
}

HANDLER (request_regrade, const char *path, const char *label_text, GVariant *options)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree char *id = NULL;
  const char *reason = "";
  Label label;

  g_variant_lookup (options, "reason", "&s", &reason);
  /* Two people: whoever holds the officer's role cannot also be the one who asks. */
  if (is_officer (self, invocation))
    guard_refuse (self->guard, "regrade", "officer", path, &error, "the officer cannot ask for what the officer approves");
  else if (guard_read_label (self->guard, label_text, &label, &error))
    id = regrades_request (self->guard->regrades, path, &label, reason, &error);
  if (id)
    bh_guard1_complete_request_regrade (skeleton, invocation, id);
  else
    refuse (invocation, error);
  return TRUE;
}

HANDLER (approve_regrade, const char *id, GVariant *options)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  const char *reason = "";
  gboolean refuse_it = FALSE;
  GVariant *row;

  if (!need_officer (self, invocation, "regrade"))
    return TRUE;
  g_variant_lookup (options, "reason", "&s", &reason);
  g_variant_lookup (options, "refuse", "b", &refuse_it);
  row = regrades_decide (self->guard->regrades, id, !refuse_it, reason, &error);
  if (row)
    bh_guard1_complete_approve_regrade (skeleton, invocation, row);
  else
    refuse (invocation, error);
  return TRUE;
}

HANDLER0 (list_regrades)
{
  Service *self = user_data;

  bh_guard1_complete_list_regrades (skeleton, invocation, regrades_list (self->guard->regrades));
  return TRUE;
}

HANDLER (list_audit, guint limit, GVariant *filter)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) pieces = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) records = NULL;
  static const struct { const char *option, *key; } keys[] = {
    { "machine", "subject" }, { "channel", "channel" }, { "result", "result" }, { "event", "event" },
  };
  const char *text;

  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (g_variant_lookup (filter, keys[i].option, "&s", &text) && *text)
      g_ptr_array_add (pieces, g_strdup_printf ("\"%s\":\"%s\"", keys[i].key, text));
  if (g_variant_lookup (filter, "text", "&s", &text) && *text)
    g_ptr_array_add (pieces, g_strdup (text));
  g_ptr_array_add (pieces, NULL);
  records = audit_list (self->guard->audit, limit, (const char *const *) pieces->pdata, &error);
  if (records)
    bh_guard1_complete_list_audit (skeleton, invocation, (const char *const *) records);
  else
    refuse (invocation, error);
  return TRUE;
}

HANDLER0 (verify_audit)
{
  Service *self = user_data;
  g_autofree char *problem = NULL;
  guint64 n, line;
  gboolean good = audit_verify (self->guard->audit, &n, &line, &problem);
  GVariantBuilder row;

  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&row, "{sv}", "ok", g_variant_new_boolean (good));
  g_variant_builder_add (&row, "{sv}", "records", g_variant_new_uint64 (n));
  g_variant_builder_add (&row, "{sv}", "line", g_variant_new_uint64 (line));
  add (&row, "problem", problem);
  bh_guard1_complete_verify_audit (skeleton, invocation, g_variant_builder_end (&row));
  return TRUE;
}

HANDLER0 (list_sessions)
{
  Service *self = user_data;
  g_autoptr (GPtrArray) machines = visible (self, invocation);
  static const char *const kept[] = { "name", "state", "label", "canonical", "foreground", "background", "pattern", "pid" };
  GVariantBuilder rows;
  guint number = 0;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < machines->len; i++)
    {
      Machine *machine = machines->pdata[i];
      g_autoptr (GVariant) described = NULL;
      GVariantBuilder row;

      if (!machine_is_live (machine) && machine_state (machine) != STATE_SUSPENDED)
        continue;
      described = g_variant_ref_sink (machine_describe (machine));
      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&row, "{sv}", "number", g_variant_new_uint32 (++number));
      for (gsize k = 0; k < G_N_ELEMENTS (kept); k++)
        {
          g_autoptr (GVariant) value = g_variant_lookup_value (described, kept[k], NULL);

          g_variant_builder_add (&row, "{sv}", kept[k], value);
        }
      g_variant_builder_add (&row, "{sv}", "connected", g_variant_new_boolean (machine_console_is_open (machine)));
      g_variant_builder_add_value (&rows, g_variant_builder_end (&row));
    }
  bh_guard1_complete_list_sessions (skeleton, invocation, g_variant_builder_end (&rows));
  return TRUE;
}

HANDLER (attention, const char *source)
{
  Service *self = user_data;
  g_autoptr (GError) error = NULL;

  answer_bool (invocation, guard_record (self->guard, "attention", "user", source, NULL, &error), &error);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ connections */

static void
connect_handlers (Service *self, BhGuard1 *skeleton)
{
#define CONNECT(name, function) g_signal_connect (skeleton, "handle-" name, G_CALLBACK (handle_##function), self)
  CONNECT ("status", status);
  CONNECT ("describe-encodings", describe_encodings);
  CONNECT ("list-machines", list_machines);
  CONNECT ("get-machine", get_machine);
  CONNECT ("create-machine", create_machine);
  CONNECT ("set-machine", set_machine);
  CONNECT ("delete-machine", delete_machine);
  CONNECT ("rename-machine", rename_machine);
  CONNECT ("clone-machine", clone_machine);
  CONNECT ("import-machine", import_machine);
  CONNECT ("export-machine", export_machine);
  CONNECT ("convert", convert);
  CONNECT ("check-machine", check_machine);
  CONNECT ("unlock-machine", unlock_machine);
  CONNECT ("start", start);
  CONNECT ("stop", stop);
  CONNECT ("power-button", power_button);
  CONNECT ("pause", pause);
  CONNECT ("resume", resume);
  CONNECT ("reset", reset);
  CONNECT ("suspend", suspend);
  CONNECT ("open-console", open_console);
  CONNECT ("open-serial", open_serial);
  CONNECT ("screen-text", screen_text);
  CONNECT ("screenshot", screenshot);
  CONNECT ("type", type);
  CONNECT ("key", key);
  CONNECT ("insert", insert);
  CONNECT ("eject", eject);
  CONNECT ("statistics", statistics);
  CONNECT ("list-snapshots", list_snapshots);
  CONNECT ("take-snapshot", take_snapshot);
  CONNECT ("revert-snapshot", revert_snapshot);
  CONNECT ("delete-snapshot", delete_snapshot);
  CONNECT ("rename-snapshot", rename_snapshot);
  CONNECT ("list-networks", list_networks);
  CONNECT ("create-network", create_network);
  CONNECT ("delete-network", delete_network);
  CONNECT ("list-folders", list_folders);
  CONNECT ("add-folder", add_folder);
  CONNECT ("remove-folder", remove_folder);
  CONNECT ("list-media", list_media);
  CONNECT ("register-medium", register_medium);
  CONNECT ("take-clipboard", take_clipboard);
  CONNECT ("give-clipboard", give_clipboard);
  CONNECT ("put-host-clipboard", put_host_clipboard);
  CONNECT ("fetch-host-clipboard", fetch_host_clipboard);
  CONNECT ("clipboard-status", clipboard_status);
  CONNECT ("clear-clipboard", clear_clipboard);
  CONNECT ("show-label", show_label);
  CONNECT ("decide", decide);
  CONNECT ("decide-batch", decide_batch);
  CONNECT ("answer-question", answer_question);
  CONNECT ("decide-drag", decide_drag);
  CONNECT ("officer-login", officer_login);
  CONNECT ("officer-logout", officer_logout);
  CONNECT ("set-officer-passphrase", set_officer_passphrase);
  CONNECT ("get-policy", get_policy);
  CONNECT ("set-policy", set_policy);
  CONNECT ("request-regrade", request_regrade);
  CONNECT ("approve-regrade", approve_regrade);
  CONNECT ("list-regrades", list_regrades);
  CONNECT ("list-audit", list_audit);
  CONNECT ("verify-audit", verify_audit);
  CONNECT ("list-sessions", list_sessions);
  CONNECT ("attention", attention);
#undef CONNECT
}

static void
connection_closed (GDBusConnection *connection, gboolean remote_vanished, GError *error, gpointer user_data)
{
  Service *self = user_data;

  roles_leave (self->guard->roles, connection);
  g_signal_handlers_disconnect_by_data (connection, self);
  g_dbus_interface_skeleton_unexport_from_connection (G_DBUS_INTERFACE_SKELETON (self->guard->service), connection);
  g_ptr_array_remove (self->connections, connection);
  self->changed (self->data);
}

static gboolean
new_connection (GDBusServer *server, GDBusConnection *connection, gpointer user_data)
{
  Service *self = user_data;

  if (self->connections->len >= MAX_CONNECTIONS
      || !g_dbus_interface_skeleton_export (G_DBUS_INTERFACE_SKELETON (self->guard->service), connection, GUARD_OBJECT_PATH, NULL))
    return FALSE;
  g_dbus_connection_set_exit_on_close (connection, FALSE);
  g_ptr_array_add (self->connections, g_object_ref (connection));
  g_signal_connect (connection, "closed", G_CALLBACK (connection_closed), self);
  self->changed (self->data);
  return TRUE;
}

static gboolean
allow_mechanism (GDBusAuthObserver *observer, const char *mechanism, gpointer user_data)
{
  return g_str_equal (mechanism, "EXTERNAL");
}

/* The peer's user, told by the kernel. */
static gboolean
authorize_peer (GDBusAuthObserver *observer, GIOStream *stream, GCredentials *credentials, gpointer user_data)
{
  return credentials && g_credentials_get_unix_user (credentials, NULL) == geteuid ();
}

Service *
service_new (Guard *guard, void (*changed) (gpointer data), gpointer data, GError **error)
{
  g_autoptr (GDBusAuthObserver) observer = g_dbus_auth_observer_new ();
  g_autofree char *socket = g_build_filename (guard->runtime_folder, "guard.sock", NULL);
  g_autofree char *escaped = g_dbus_address_escape_value (socket);
  g_autofree char *address = g_strconcat ("unix:path=", escaped, NULL);
  g_autofree char *guid = g_dbus_generate_guid ();
  g_autoptr (GDBusServer) server = NULL;
  Service *self;

  g_signal_connect (observer, "allow-mechanism", G_CALLBACK (allow_mechanism), NULL);
  g_signal_connect (observer, "authorize-authenticated-peer", G_CALLBACK (authorize_peer), NULL);
  unlink (socket);
  server = g_dbus_server_new_sync (address, G_DBUS_SERVER_FLAGS_AUTHENTICATION_REQUIRE_SAME_USER, guid, observer, NULL, error);
  if (!server)
    return NULL;
  self = g_new0 (Service, 1);
  self->guard = guard;
  self->changed = changed;
  self->data = data;
  self->socket = g_steal_pointer (&socket);
  self->connections = g_ptr_array_new_with_free_func (g_object_unref);
  self->server = g_steal_pointer (&server);
  guard->service = bh_guard1_skeleton_new ();
  connect_handlers (self, guard->service);
  g_signal_connect (self->server, "new-connection", G_CALLBACK (new_connection), self);
  g_dbus_server_start (self->server);
  return self;
}

void
service_close (Service *self)
{
  /* It removes the socket, which must be there. */
  if (g_dbus_server_is_active (self->server) && g_file_test (self->socket, G_FILE_TEST_EXISTS))
    g_dbus_server_stop (self->server);
}

void
service_free (Service *self)
{
  if (!self)
    return;
  service_close (self);
  for (guint i = 0; i < self->connections->len; i++)
    {
      g_signal_handlers_disconnect_by_data (self->connections->pdata[i], self);
      g_dbus_connection_flush_sync (self->connections->pdata[i], NULL, NULL);
    }
  if (self->connections->len)
    g_dbus_interface_skeleton_unexport (G_DBUS_INTERFACE_SKELETON (self->guard->service));
  g_ptr_array_unref (self->connections);
  g_object_unref (self->server);
  g_free (self->socket);
  g_free (self);
}

guint
service_n_connections (Service *self)
{
  return self->connections->len;
}

const char *
service_socket (Service *self)
{
  return self->socket;
}
