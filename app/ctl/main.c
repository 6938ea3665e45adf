/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bulkhead-ctl: every verb is one row of a table; options of all verbs are one list.  The guard decides everything; this
 * program only asks, and turns the answer into text or JSON and an exit status. */
#include "encodings.h"
#include "guard-client.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <json-glib/json-glib.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

typedef struct
{
  gboolean   json;
  BhGuard1  *guard;             /* NULL for verbs that need none */
  char     **words;             /* the verb's positional arguments */
  guint      n_words;
  GHashTable *options;          /* name → GPtrArray of values ("" for a flag) */
} Context;

typedef struct
{
  const char *name;             /* one or two words */
  guint       min, max;         /* positional arguments */
  const char *options;          /* names it takes, separated by blanks */
  gboolean  (*run) (Context *context, GError **error);
  const char *usage, *help;
} Verb;

/* Options with a value; all others are flags. */
static const char *const valued[] = {
  "label", "memory", "disk", "from-disk", "from", "floppy", "cdrom", "file", "passphrase-file", "network", "folder",
  "remove-folder", "parallel", "serial", "boot", "cpu", "engine", "rtc", "clock", "notes", "attach", "format", "name", "forward",
  "reason", "batch", "limit", "machine", "channel", "result", "event", "text", "note", "port", "officer-passphrase-file", "output",
  NULL,
};

#define MACHINE_OPTIONS \
  "label memory floppy cdrom attach network folder parallel serial boot cpu engine rtc clock notes undetectable detectable " \
  "fuzzy-time exact-time sound no-sound passphrase-file "

static gboolean
usage_error (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
usage_error (GError **error, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_USAGE, text);
  return FALSE;
}

/* ------------------------------------------------------------------------------------------------ options */

static const char *
option (Context *context, const char *name)
{
  GPtrArray *values = g_hash_table_lookup (context->options, name);

  return values ? values->pdata[values->len - 1] : NULL;
}

static gboolean
has (Context *context, const char *name)
{
  return g_hash_table_contains (context->options, name);
}

/* Paths are the caller's; the guard runs elsewhere. */
static char *
absolute (const char *path)
{
  return g_canonicalize_filename (path, NULL);
}

static gboolean
add_passphrase (Context *context, GVariantBuilder *into, GError **error)
{
  const char *path = option (context, "passphrase-file");
  g_autofree char *bytes = NULL;
  gsize n;

  if (!path)
    return TRUE;
  if (!g_file_get_contents (path, &bytes, &n, error))
    return FALSE;
  /* The bytes count exactly as they are, a final newline included. */
  g_variant_builder_add (into, "{sv}", "passphrase", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, n, 1));
  explicit_bzero (bytes, n);
  return TRUE;
}

static void
add_strings (Context *context, GVariantBuilder *into, const char *name, gboolean paths)
{
  GPtrArray *values = g_hash_table_lookup (context->options, name);
  GVariantBuilder list;

  if (!values)
    return;
  g_variant_builder_init (&list, G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; i < values->len; i++)
    {
      const char *text = values->pdata[i];
      g_autofree char *full = paths && *text ? absolute (text) : g_strdup (text);

      g_variant_builder_add (&list, "s", full);
    }
  g_variant_builder_add (into, "{sv}", name, g_variant_builder_end (&list));
}

/* SLOT=PATH[,format=F][,readonly] */
static gboolean
add_attachments (Context *context, GVariantBuilder *into, GError **error)
{
  GPtrArray *values = g_hash_table_lookup (context->options, "attach");
  GVariantBuilder rows;

  if (!values)
    return TRUE;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < values->len; i++)
    {
      const char *text = values->pdata[i];
      const char *equals = strchr (text, '=');
      g_auto (GStrv) parts = NULL;
      g_autofree char *slot = NULL;
      g_autofree char *path = NULL;
      GVariantBuilder row;

      if (!equals)
        {
          g_variant_builder_clear (&rows);
          return usage_error (error, "--attach takes SLOT=PATH[,format=F][,readonly], not \"%s\"", text);
        }
      slot = g_strndup (text, (gsize) (equals - text));
      parts = g_strsplit (equals + 1, ",", -1);
      path = *parts[0] ? absolute (parts[0]) : g_strdup ("");
      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&row, "{sv}", "slot", g_variant_new_string (slot));
      g_variant_builder_add (&row, "{sv}", "path", g_variant_new_string (path));
      for (guint k = 1; parts[k]; k++)
        if (g_str_equal (parts[k], "readonly"))
          g_variant_builder_add (&row, "{sv}", "read-only", g_variant_new_boolean (TRUE));
        else if (g_str_has_prefix (parts[k], "format="))
          g_variant_builder_add (&row, "{sv}", "format", g_variant_new_string (parts[k] + strlen ("format=")));
        else
          {
            g_variant_builder_clear (&row);
            g_variant_builder_clear (&rows);
            return usage_error (error, "--attach knows format=F and readonly, not \"%s\"", parts[k]);
          }
      g_variant_builder_add_value (&rows, g_variant_builder_end (&row));
    }
  g_variant_builder_add (into, "{sv}", "attach", g_variant_builder_end (&rows));
  return TRUE;
}

static gboolean
add_boot (Context *context, GVariantBuilder *into)
{
  static const char *const all[] = { "floppy", "cdrom", "disk" };
  const char *text = option (context, "boot");
  g_auto (GStrv) parts = NULL;
  GVariantBuilder list;

  if (!text)
    return TRUE;
  parts = g_strsplit (text, ",", -1);
  g_variant_builder_init (&list, G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; parts[i]; i++)
    g_variant_builder_add (&list, "s", parts[i]);
  /* One name says what comes first; the others follow. */
  for (gsize i = 0; g_strv_length (parts) == 1 && i < G_N_ELEMENTS (all); i++)
    if (!g_str_equal (all[i], parts[0]))
      g_variant_builder_add (&list, "s", all[i]);
  g_variant_builder_add (into, "{sv}", "boot", g_variant_builder_end (&list));
  return TRUE;
}

/* The dictionary that CreateMachine, SetMachine and others take, from what was given on the command line. */
static GVariant *
machine_options (Context *context, GError **error)
{
  static const char *const plain[] = { "label", "disk", "from", "network", "parallel", "cpu", "engine", "rtc", "clock", "notes",
                                       "format", "name" };
  static const char *const paths[] = { "from-disk", "file" };
  static const struct { const char *option, *key; gboolean value; } flags[] = {
    { "encrypt", "encrypt", TRUE }, { "plain", "encrypt", FALSE }, { "undetectable", "undetectable", TRUE },
    { "detectable", "undetectable", FALSE }, { "fuzzy-time", "fuzzy-time", TRUE }, { "exact-time", "fuzzy-time", FALSE },
    { "sound", "sound", TRUE }, { "no-sound", "sound", FALSE }, { "linked", "linked", TRUE }, { "headless", "headless", TRUE },
    { "discard-state", "discard-state", TRUE }, { "discard-changes", "keep", FALSE }, { "keep-file", "keep-file", TRUE },
    { "readonly", "read-only", TRUE }, { "repair", "repair", TRUE }, { "nat", "nat", TRUE }, { "refuse", "refuse", TRUE },
    { "typed", "typed", TRUE },
  };
  const char *text;
  GVariantBuilder all;
  guint64 memory;

  g_variant_builder_init (&all, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < G_N_ELEMENTS (plain); i++)
    if ((text = option (context, plain[i])))
      g_variant_builder_add (&all, "{sv}", plain[i], g_variant_new_string (text));
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    if ((text = option (context, paths[i])))
      {
        g_autofree char *full = absolute (text);

        g_variant_builder_add (&all, "{sv}", paths[i], g_variant_new_string (full));
      }
  for (gsize i = 0; i < G_N_ELEMENTS (flags); i++)
    if (has (context, flags[i].option))
      g_variant_builder_add (&all, "{sv}", flags[i].key, g_variant_new_boolean (flags[i].value));
  if ((text = option (context, "memory")))
    {
      if (!g_ascii_string_to_unsigned (text, 10, 1, G_MAXUINT32, &memory, NULL))
        {
          g_variant_builder_clear (&all);
          usage_error (error, "--memory is a number of MiB, not \"%s\"", text);
          return NULL;
        }
      g_variant_builder_add (&all, "{sv}", "memory", g_variant_new_uint32 ((guint32) memory));
    }
  for (gsize i = 0; i < 2; i++)
    if ((text = option (context, i ? "reason" : "note")))
      g_variant_builder_add (&all, "{sv}", i ? "reason" : "note", g_variant_new_string (text));
  add_strings (context, &all, "floppy", TRUE);
  add_strings (context, &all, "cdrom", TRUE);
  add_strings (context, &all, "folder", FALSE);
  add_strings (context, &all, "remove-folder", FALSE);
  add_strings (context, &all, "serial", FALSE);
  add_strings (context, &all, "forward", FALSE);
  add_boot (context, &all);
  if (!add_attachments (context, &all, error) || !add_passphrase (context, &all, error))
    {
      g_variant_builder_clear (&all);
      return NULL;
    }
  return g_variant_ref_sink (g_variant_builder_end (&all));
}

/* ------------------------------------------------------------------------------------------------ output */

static void
print_json (JsonNode *node)
{
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autofree char *text = NULL;

  json_generator_set_root (generator, node);
  json_generator_set_pretty (generator, TRUE);
  text = json_generator_to_data (generator, NULL);
  puts (text);
}

static void
print_json_variant (GVariant *value)
{
  g_autoptr (JsonNode) node = json_gvariant_serialize (value);

  print_json (node);
}

static char *
value_text (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return g_variant_dup_string (value, NULL);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_BOOLEAN))
    return g_strdup (g_variant_get_boolean (value) ? "yes" : "no");
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
    {
      g_autofree const char **list = g_variant_get_strv (value, NULL);

      return g_strjoinv (", ", (char **) list);
    }
  return g_variant_print (value, FALSE);
}

static void
print_dictionary (GVariant *dictionary, const char *indent)
{
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_iter_init (&iter, dictionary);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &value))
    {
      if (g_variant_is_of_type (value, G_VARIANT_TYPE ("aa{sv}")))
        for (gsize i = 0; i < g_variant_n_children (value); i++)
          {
            g_autoptr (GVariant) row = g_variant_get_child_value (value, i);

            printf ("%s%s:\n", indent, key);
            print_dictionary (row, "    ");
          }
      else if (!g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
        {
          g_autofree char *text = value_text (value);

          if (*text)
            printf ("%s%-16s %s\n", indent, key, text);
        }
      g_variant_unref (value);
    }
}

static void
print_result (Context *context, GVariant *dictionary)
{
  if (context->json)
    print_json_variant (dictionary);
  else
    print_dictionary (dictionary, "");
}

static void
print_done (Context *context)
{
  if (context->json)
    puts ("{\n  \"ok\" : true\n}");
}

/* A table of some of the keys; JSON has them all. */
static void
print_rows (Context *context, GVariant *rows, const char *const *keys)
{
  if (context->json)
    {
      print_json_variant (rows);
      return;
    }
  for (gsize i = 0; i < g_variant_n_children (rows); i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (rows, i);

      for (guint k = 0; keys[k]; k++)
        {
          g_autoptr (GVariant) value = g_variant_lookup_value (row, keys[k], NULL);
          g_autofree char *text = value ? value_text (value) : g_strdup ("");

          printf (keys[k + 1] ? "%-20s  " : "%s\n", text);
        }
    }
}

static void
print_warnings (GVariant *machine)
{
  g_autoptr (GVariant) list = g_variant_lookup_value (machine, "warnings", G_VARIANT_TYPE_STRING_ARRAY);

  for (gsize i = 0; list && i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) text = g_variant_get_child_value (list, i);

      fprintf (stderr, "bulkhead-ctl: note: %s\n", g_variant_get_string (text, NULL));
    }
}

static gboolean
finish_machine (Context *context, gboolean good, GVariant **machine)
{
  if (!good)
    return FALSE;
  print_warnings (*machine);
  if (context->json)
    print_json_variant (*machine);
  return TRUE;
}

static gboolean
finish (Context *context, gboolean good)
{
  if (good)
    print_done (context);
  return good;
}

/* ------------------------------------------------------------------------------------------------ verbs: library */

/* An encrypted VM that is off needs its passphrase also for calls that have no place for it. */
static gboolean
unlock (Context *context, GError **error)
{
  g_autoptr (GVariant) options = NULL;

  if (!option (context, "passphrase-file"))
    return TRUE;
  options = machine_options (context, error);
  return options && bh_guard1_call_unlock_machine_sync (context->guard, context->words[0], options, NULL, error);
}

static gboolean
run_status (Context *context, GError **error)
{
  g_autoptr (GVariant) status = NULL;

  if (!bh_guard1_call_status_sync (context->guard, &status, NULL, error))
    return FALSE;
  print_result (context, status);
  return TRUE;
}

static gboolean
run_list (Context *context, GError **error)
{
  static const char *const keys[] = { "name", "state", "label", NULL };
  g_autoptr (GVariant) machines = NULL;

  if (!bh_guard1_call_list_machines_sync (context->guard, &machines, NULL, error))
    return FALSE;
  print_rows (context, machines, keys);
  return TRUE;
}

static gboolean
run_show (Context *context, GError **error)
{
  g_autoptr (GVariant) machine = NULL;

  if (!bh_guard1_call_get_machine_sync (context->guard, context->words[0], &machine, NULL, error))
    return FALSE;
  print_result (context, machine);
  return TRUE;
}

static gboolean
run_create (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);
  g_autoptr (GVariant) machine = NULL;

  return options && finish_machine (context, bh_guard1_call_create_machine_sync (context->guard, context->words[0], options,
                                                                                  &machine, NULL, error), &machine);
}

static gboolean
run_set (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);
  g_autoptr (GVariant) machine = NULL;
  const char *name = option (context, "name");

  if (!options)
    return FALSE;
  if (name)
    return unlock (context, error) && finish (context, bh_guard1_call_rename_machine_sync (context->guard, context->words[0], name, NULL, error));
  return finish_machine (context, bh_guard1_call_set_machine_sync (context->guard, context->words[0], options, &machine, NULL,
                                                                   error), &machine);
}

static gboolean
run_delete (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);

  return options && finish (context, bh_guard1_call_delete_machine_sync (context->guard, context->words[0], options, NULL, error));
}

static gboolean
run_clone (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);
  g_autoptr (GVariant) machine = NULL;

  return options && finish_machine (context, bh_guard1_call_clone_machine_sync (context->guard, context->words[0],
                                                                                 context->words[1], options, &machine, NULL,
                                                                                 error), &machine);
}

static gboolean
run_import (Context *context, GError **error)
{
  g_autofree char *path = absolute (context->words[0]);
  g_autoptr (GVariant) options = machine_options (context, error);
  g_autoptr (GVariant) machine = NULL;

  return options && finish_machine (context, bh_guard1_call_import_machine_sync (context->guard, path, options, &machine, NULL,
                                                                                  error), &machine);
}

static gboolean
run_export (Context *context, GError **error)
{
  g_autofree char *path = absolute (context->words[1]);
  g_autoptr (GVariant) options = machine_options (context, error);

  return options && finish (context, bh_guard1_call_export_machine_sync (context->guard, context->words[0], path, options, NULL,
                                                                         error));
}

static gboolean
run_convert (Context *context, GError **error)
{
  g_autofree char *from = absolute (context->words[0]);
  g_autofree char *to = absolute (context->words[1]);
  g_autoptr (GVariant) options = machine_options (context, error);

  return options && finish (context, bh_guard1_call_convert_sync (context->guard, from, to, options, NULL, error));
}

static gboolean
run_check (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);
  g_autoptr (GVariant) result = NULL;
  gboolean ok = FALSE;

  if (!options || !bh_guard1_call_check_machine_sync (context->guard, context->words[0], options, &result, NULL, error))
    return FALSE;
  print_result (context, result);
  g_variant_lookup (result, "ok", "b", &ok);
  if (!ok)
    g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the file has errors");
  return ok;
}

/* ------------------------------------------------------------------------------------------------ verbs: running */

static gboolean
run_start (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);
  g_autoptr (GVariant) machine = NULL;

  return options && finish_machine (context, bh_guard1_call_start_sync (context->guard, context->words[0], options, &machine,
                                                                         NULL, error), &machine);
}

static gboolean
run_resume (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);

  return options && finish (context, bh_guard1_call_resume_sync (context->guard, context->words[0], options, NULL, error));
}

static gboolean
run_stop (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_stop_sync (context->guard, context->words[0], has (context, "force"), NULL, error));
}

static gboolean
run_pause (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_pause_sync (context->guard, context->words[0], NULL, error));
}

static gboolean
run_suspend (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_suspend_sync (context->guard, context->words[0], NULL, error));
}

static gboolean
run_reset (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_reset_sync (context->guard, context->words[0], NULL, error));
}

static gboolean
run_screen_text (Context *context, GError **error)
{
  g_auto (GStrv) lines = NULL;

  if (!bh_guard1_call_screen_text_sync (context->guard, context->words[0], &lines, NULL, error))
    return FALSE;
  if (context->json)
    {
      GVariantBuilder all;
      g_autoptr (GVariant) sunk = NULL;

      g_variant_builder_init (&all, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&all, "{sv}", "lines", g_variant_new_strv ((const char *const *) lines, -1));
      sunk = g_variant_ref_sink (g_variant_builder_end (&all));
      print_json_variant (sunk);
    }
  else
    for (guint i = 0; lines[i]; i++)
      puts (lines[i]);
  return TRUE;
}

static gboolean
run_screenshot (Context *context, GError **error)
{
  g_autofree char *path = absolute (context->words[1]);
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GVariant) info = NULL;
  GVariantBuilder options;

  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&options, "{sv}", "path", g_variant_new_string (path));
  if (has (context, "plain"))
    g_variant_builder_add (&options, "{sv}", "stamp", g_variant_new_boolean (FALSE));
  if (!bh_guard1_call_screenshot_sync (context->guard, context->words[0], g_variant_builder_end (&options), NULL, &handle, &info,
                                       &fds, NULL, error))
    return FALSE;
  print_result (context, info);
  return TRUE;
}

static gboolean
run_type (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_type_sync (context->guard, context->words[0], context->words[1], NULL, error));
}

static gboolean
run_key (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_key_sync (context->guard, context->words[0], context->words[1], NULL, error));
}

static gboolean
run_insert (Context *context, GError **error)
{
  g_autofree char *path = absolute (context->words[2]);
  g_autoptr (GVariant) options = machine_options (context, error);

  return options && finish (context, bh_guard1_call_insert_sync (context->guard, context->words[0], context->words[1], path,
                                                                 options, NULL, error));
}

static gboolean
run_eject (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_eject_sync (context->guard, context->words[0], context->words[1], NULL, error));
}

static gboolean
run_stats (Context *context, GError **error)
{
  g_autoptr (GVariant) statistics = NULL;

  if (!bh_guard1_call_statistics_sync (context->guard, context->words[0], &statistics, NULL, error))
    return FALSE;
  print_result (context, statistics);
  return TRUE;
}

static gboolean
write_all (int fd, const char *bytes, gsize n)
{
  while (n)
    {
      ssize_t m = write (fd, bytes, n);

      if (m < 0 && errno == EAGAIN)
        {
          struct pollfd wait = { fd, POLLOUT, 0 };

          poll (&wait, 1, -1);
          continue;
        }
      if (m < 0 && errno == EINTR)
        continue;
      if (m <= 0)
        return FALSE;
      bytes += m;
      n -= (gsize) m;
    }
  return TRUE;
}

enum { CONSOLE_ESCAPE = 0x1d }; /* Ctrl+] */

static gboolean
run_console (Context *context, GError **error)
{
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) handle = NULL;
  guint64 port = 0;
  struct termios old, raw;
  gboolean terminal = isatty (STDIN_FILENO) && tcgetattr (STDIN_FILENO, &old) == 0, going = TRUE, reading = TRUE;
  int fd;

  if (option (context, "port") && !g_ascii_string_to_unsigned (option (context, "port"), 10, 0, 3, &port, NULL))
    return usage_error (error, "--port is 0 or 1");
  if (!bh_guard1_call_open_serial_sync (context->guard, context->words[0], (guint) port, NULL, &handle, &fds, NULL, error))
    return FALSE;
  fd = g_unix_fd_list_get (fds, g_variant_get_handle (handle), error);
  if (fd < 0)
    return FALSE;
  if (terminal)
    {
      raw = old;
      cfmakeraw (&raw);
      fprintf (stderr, "Connected to serial port %u of %s; Ctrl+] leaves.\r\n", (guint) port, context->words[0]);
      tcsetattr (STDIN_FILENO, TCSANOW, &raw);
    }
  while (going)
    {
      struct pollfd wait[2] = { { fd, POLLIN, 0 }, { reading ? STDIN_FILENO : -1, POLLIN, 0 } };
      char buffer[4096];
      ssize_t n;

      if (poll (wait, 2, -1) < 0 && errno != EINTR)
        break;
      if (wait[0].revents)
        {
          n = read (fd, buffer, sizeof buffer);
          going = (n > 0 && write_all (STDOUT_FILENO, buffer, (gsize) n)) || (n < 0 && (errno == EAGAIN || errno == EINTR));
        }
      if (going && wait[1].revents)
        {
          n = read (STDIN_FILENO, buffer, sizeof buffer);
          /* The end of a file that is piped in does not end the console: its output still comes. */
          if (n <= 0)
            reading = FALSE;
          else if (terminal && memchr (buffer, CONSOLE_ESCAPE, (gsize) n))
            break;
          else
            going = write_all (fd, buffer, (gsize) n);
        }
    }
  if (terminal)
    tcsetattr (STDIN_FILENO, TCSANOW, &old);
  close (fd);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ verbs: snapshots */

static GVariant *
empty_options (void)
{
  return g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0);
}

static gboolean
run_snapshot_list (Context *context, GError **error)
{
  static const char *const keys[] = { "name", "taken", "live", "note", NULL };
  g_autoptr (GVariant) rows = NULL;

  if (!unlock (context, error) || !bh_guard1_call_list_snapshots_sync (context->guard, context->words[0], &rows, NULL, error))
    return FALSE;
  print_rows (context, rows, keys);
  return TRUE;
}

static gboolean
run_snapshot_take (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);

  return options && unlock (context, error)
         && finish (context, bh_guard1_call_take_snapshot_sync (context->guard, context->words[0], context->words[1], options, NULL, error));
}

static gboolean
run_snapshot_revert (Context *context, GError **error)
{
  return unlock (context, error)
         && finish (context, bh_guard1_call_revert_snapshot_sync (context->guard, context->words[0], context->words[1], empty_options (),
                                                                  NULL, error));
}

static gboolean
run_snapshot_delete (Context *context, GError **error)
{
  return unlock (context, error)
         && finish (context, bh_guard1_call_delete_snapshot_sync (context->guard, context->words[0], context->words[1], NULL, error));
}

static gboolean
run_snapshot_rename (Context *context, GError **error)
{
  return unlock (context, error)
         && finish (context, bh_guard1_call_rename_snapshot_sync (context->guard, context->words[0], context->words[1],
                                                                  context->words[2], NULL, error));
}

/* ------------------------------------------------------------------------------------------------ verbs: resources */

static gboolean
run_network_list (Context *context, GError **error)
{
  static const char *const keys[] = { "name", "label", "nat", "machines", NULL };
  g_autoptr (GVariant) rows = NULL;

  if (!bh_guard1_call_list_networks_sync (context->guard, &rows, NULL, error))
    return FALSE;
  print_rows (context, rows, keys);
  return TRUE;
}

static gboolean
run_network_create (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);

  return options && finish (context, bh_guard1_call_create_network_sync (context->guard, context->words[0], options, NULL, error));
}

static gboolean
run_network_delete (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_delete_network_sync (context->guard, context->words[0], NULL, error));
}

static gboolean
run_folder_list (Context *context, GError **error)
{
  static const char *const keys[] = { "name", "label", "path", NULL };
  g_autoptr (GVariant) rows = NULL;

  if (!bh_guard1_call_list_folders_sync (context->guard, &rows, NULL, error))
    return FALSE;
  print_rows (context, rows, keys);
  return TRUE;
}

static gboolean
run_folder_add (Context *context, GError **error)
{
  g_autofree char *path = absolute (context->words[1]);
  g_autoptr (GVariant) options = machine_options (context, error);

  return options && finish (context, bh_guard1_call_add_folder_sync (context->guard, context->words[0], path, options, NULL, error));
}

static gboolean
run_folder_remove (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_remove_folder_sync (context->guard, context->words[0], NULL, error));
}

static gboolean
run_media_list (Context *context, GError **error)
{
  static const char *const keys[] = { "label", "writer", "path", NULL };
  g_autoptr (GVariant) rows = NULL;

  if (!bh_guard1_call_list_media_sync (context->guard, &rows, NULL, error))
    return FALSE;
  print_rows (context, rows, keys);
  return TRUE;
}

static gboolean
run_media_register (Context *context, GError **error)
{
  g_autofree char *path = absolute (context->words[0]);
  g_autoptr (GVariant) options = machine_options (context, error);

  return options && finish (context, bh_guard1_call_register_medium_sync (context->guard, path, options, NULL, error));
}

/* ------------------------------------------------------------------------------------------------ verbs: clipboard */

static gboolean
run_clipboard_take (Context *context, GError **error)
{
  g_autoptr (GVariant) taken = NULL;

  if (!bh_guard1_call_take_clipboard_sync (context->guard, context->words[0], empty_options (), &taken, NULL, error))
    return FALSE;
  print_result (context, taken);
  return TRUE;
}

static gboolean
run_clipboard_give (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);
  g_autoptr (GVariant) given = NULL;

  if (!options || !bh_guard1_call_give_clipboard_sync (context->guard, context->words[0], options, &given, NULL, error))
    return FALSE;
  print_result (context, given);
  return TRUE;
}

static gboolean
run_clipboard_put (Context *context, GError **error)
{
  const char *text = context->words[0];
  GVariant *bytes = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1);

  return finish (context, bh_guard1_call_put_host_clipboard_sync (context->guard, "text/plain;charset=utf-8", bytes, NULL, error));
}

static gboolean
run_clipboard_fetch (Context *context, GError **error)
{
  g_autoptr (GVariant) bytes = NULL;
  g_autofree char *type = NULL;
  gconstpointer data;
  gsize n;

  if (!bh_guard1_call_fetch_host_clipboard_sync (context->guard, &type, &bytes, NULL, error))
    return FALSE;
  data = g_variant_get_fixed_array (bytes, &n, 1);
  if (context->json)
    {
      g_autofree char *copy = g_strndup (data, n);
      g_autofree char *text = g_utf8_make_valid (copy, -1);
      GVariantBuilder row;
      g_autoptr (GVariant) sunk = NULL;

      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&row, "{sv}", "type", g_variant_new_string (type));
      g_variant_builder_add (&row, "{sv}", "text", g_variant_new_string (text));
      sunk = g_variant_ref_sink (g_variant_builder_end (&row));
      print_json_variant (sunk);
      return TRUE;
    }
  fwrite (data, 1, n, stdout);
  return TRUE;
}

static gboolean
run_clipboard_status (Context *context, GError **error)
{
  g_autoptr (GVariant) status = NULL;

  if (!bh_guard1_call_clipboard_status_sync (context->guard, &status, NULL, error))
    return FALSE;
  print_result (context, status);
  return TRUE;
}

static gboolean
run_clipboard_clear (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_clear_clipboard_sync (context->guard, NULL, error));
}

/* ------------------------------------------------------------------------------------------------ verbs: labels */

static gboolean
run_label_show (Context *context, GError **error)
{
  g_autoptr (GVariant) label = NULL;

  if (!context->n_words)
    {
      g_autoptr (GVariant) all = NULL;

      if (!bh_guard1_call_describe_encodings_sync (context->guard, &all, NULL, error))
        return FALSE;
      print_result (context, all);
      return TRUE;
    }
  if (!bh_guard1_call_show_label_sync (context->guard, context->words[0], &label, NULL, error))
    return FALSE;
  print_result (context, label);
  return TRUE;
}

static gboolean
decide_batch (Context *context, const char *path, GError **error)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GVariant) answers = NULL;
  g_autoptr (JsonBuilder) builder = NULL;
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (JsonGenerator) generator = NULL;
  g_autofree char *out = NULL;
  guint n;

  if (!g_file_get_contents (path, &text, NULL, error))
    return FALSE;
  if (!g_utf8_validate (text, -1, NULL))
    return usage_error (error, "%s is not UTF-8", path);
  lines = g_strsplit (text, "\n", -1);
  n = g_strv_length (lines);
  if (n && !*lines[n - 1])
    g_clear_pointer (&lines[n - 1], g_free);
  if (!bh_guard1_call_decide_batch_sync (context->guard, (const char *const *) lines, &answers, NULL, error))
    return FALSE;
  if (!context->json)
    {
      for (gsize i = 0; i < g_variant_n_children (answers); i++)
        {
          const char *verdict, *rule;

          g_variant_get_child (answers, i, "(&s&s)", &verdict, &rule);
          printf ("%-5s  %s\n", verdict, rule);
        }
      return TRUE;
    }
  builder = json_builder_new ();
  json_builder_begin_array (builder);
  for (gsize i = 0; i < g_variant_n_children (answers); i++)
    {
      const char *verdict, *rule;

      g_variant_get_child (answers, i, "(&s&s)", &verdict, &rule);
      json_builder_begin_object (builder);
      json_builder_set_member_name (builder, "verdict");
      json_builder_add_string_value (builder, verdict);
      json_builder_set_member_name (builder, "rule");
      json_builder_add_string_value (builder, rule);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
  root = json_builder_get_root (builder);
  generator = json_generator_new ();
  json_generator_set_root (generator, root);
  out = json_generator_to_data (generator, NULL);
  puts (out);
  return TRUE;
}

static gboolean
run_label_decide (Context *context, GError **error)
{
  g_autoptr (GVariant) decision = NULL;

  if (option (context, "batch"))
    return context->n_words ? usage_error (error, "--batch takes no further arguments")
                            : decide_batch (context, option (context, "batch"), error);
  if (context->n_words != 3)
    return usage_error (error, "label decide FROM TO CHANNEL, or label decide --batch FILE");
  if (!bh_guard1_call_decide_sync (context->guard, context->words[0], context->words[1], context->words[2], &decision, NULL, error))
    return FALSE;
  print_result (context, decision);
  return TRUE;
}

static gboolean
run_check_encodings (Context *context, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (Encodings) encodings = encodings_load (context->words[0], &local);
  GVariantBuilder row;
  g_autoptr (GVariant) sunk = NULL;

  if (!encodings)
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, local->message);
      return FALSE;
    }
  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&row, "{sv}", "ok", g_variant_new_boolean (TRUE));
  g_variant_builder_add (&row, "{sv}", "name", g_variant_new_string (encodings_name (encodings)));
  g_variant_builder_add (&row, "{sv}", "title", g_variant_new_string (encodings_title (encodings)));
  g_variant_builder_add (&row, "{sv}", "version", g_variant_new_string (encodings_version (encodings)));
  sunk = g_variant_ref_sink (g_variant_builder_end (&row));
  print_result (context, sunk);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ verbs: roles, audit */

static gboolean
run_regrade_request (Context *context, GError **error)
{
  g_autofree char *path = absolute (context->words[0]);
  g_autoptr (GVariant) options = machine_options (context, error);
  g_autofree char *id = NULL;
  const char *label = option (context, "label");

  if (!options)
    return FALSE;
  if (!label)
    return usage_error (error, "regrade request FILE --label TEXT --reason TEXT");
  if (!bh_guard1_call_request_regrade_sync (context->guard, path, label, options, &id, NULL, error))
    return FALSE;
  if (context->json)
    printf ("{\n  \"id\" : \"%s\"\n}\n", id);
  else
    puts (id);
  return TRUE;
}

static gboolean
run_regrade_approve (Context *context, GError **error)
{
  g_autoptr (GVariant) options = machine_options (context, error);
  g_autoptr (GVariant) row = NULL;

  if (!options || !bh_guard1_call_approve_regrade_sync (context->guard, context->words[0], options, &row, NULL, error))
    return FALSE;
  print_result (context, row);
  return TRUE;
}

static gboolean
run_regrade_list (Context *context, GError **error)
{
  static const char *const keys[] = { "id", "state", "from", "to", "path", NULL };
  g_autoptr (GVariant) rows = NULL;

  if (!bh_guard1_call_list_regrades_sync (context->guard, &rows, NULL, error))
    return FALSE;
  print_rows (context, rows, keys);
  return TRUE;
}

static gboolean
run_policy_get (Context *context, GError **error)
{
  g_autoptr (GVariant) policy = NULL;
  const char *value;

  if (!bh_guard1_call_get_policy_sync (context->guard, &policy, NULL, error))
    return FALSE;
  if (context->n_words && !g_variant_lookup (policy, context->words[0], "&s", &value))
    return usage_error (error, "there is no policy key \"%s\"", context->words[0]);
  if (context->n_words && !context->json)
    puts (value);
  else if (context->n_words)
    {
      GVariantBuilder row;
      g_autoptr (GVariant) sunk = NULL;

      g_variant_builder_init (&row, G_VARIANT_TYPE ("a{ss}"));
      g_variant_builder_add (&row, "{ss}", context->words[0], value);
      sunk = g_variant_ref_sink (g_variant_builder_end (&row));
      print_json_variant (sunk);
    }
  else if (context->json)
    print_json_variant (policy);
  else
    {
      GVariantIter iter;
      const char *key;

      g_variant_iter_init (&iter, policy);
      while (g_variant_iter_next (&iter, "{&s&s}", &key, &value))
        printf ("%-18s %s\n", key, value);
    }
  return TRUE;
}

static gboolean
run_policy_set (Context *context, GError **error)
{
  return finish (context, bh_guard1_call_set_policy_sync (context->guard, context->words[0], context->words[1], NULL, error));
}

static GVariant *
passphrase_from (const char *path, GError **error)
{
  g_autofree char *bytes = NULL;
  gsize n;

  if (!g_file_get_contents (path, &bytes, &n, error))
    return NULL;
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, n, 1);
}

static gboolean
run_officer_passphrase (Context *context, GError **error)
{
  GVariant *passphrase = passphrase_from (context->words[0], error);

  return passphrase && finish (context, bh_guard1_call_set_officer_passphrase_sync (context->guard, passphrase, NULL, error));
}

static char **
audit_records (Context *context, GError **error)
{
  static const char *const keys[] = { "machine", "channel", "result", "event", "text" };
  guint64 limit = 0;
  GVariantBuilder filter;
  char **records = NULL;

  if (option (context, "limit") && !g_ascii_string_to_unsigned (option (context, "limit"), 10, 0, G_MAXUINT32, &limit, NULL))
    {
      usage_error (error, "--limit is a number");
      return NULL;
    }
  g_variant_builder_init (&filter, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (option (context, keys[i]))
      g_variant_builder_add (&filter, "{sv}", keys[i], g_variant_new_string (option (context, keys[i])));
  bh_guard1_call_list_audit_sync (context->guard, (guint) limit, g_variant_builder_end (&filter), &records, NULL, error);
  return records;
}

static gboolean
run_audit_list (Context *context, GError **error)
{
  g_auto (GStrv) records = audit_records (context, error);

  if (!records)
    return FALSE;
  if (context->json)
    {
      /* Each record is a JSON object already. */
      g_autofree char *joined = g_strjoinv (",\n", records);

      printf ("[%s]\n", joined);
    }
  else
    for (guint i = 0; records[i]; i++)
      puts (records[i]);
  return TRUE;
}

static void
append_csv (GString *line, JsonObject *object, const char *key)
{
  const char *text = "";
  g_autofree char *number = NULL;
  JsonNode *node = json_object_get_member (object, key);

  if (node && json_node_get_value_type (node) == G_TYPE_INT64)
    text = number = g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (node));
  else if (node && json_node_get_value_type (node) == G_TYPE_STRING)
    text = json_node_get_string (node);
  if (line->len)
    g_string_append_c (line, ',');
  g_string_append_c (line, '"');
  for (; *text; text++)
    {
      if (*text == '"')
        g_string_append_c (line, '"');
      g_string_append_c (line, *text);
    }
  g_string_append_c (line, '"');
}

static gboolean
run_audit_export (Context *context, GError **error)
{
  static const char *const columns[] = { "n", "time", "event", "channel", "result", "rule", "subject", "object", "from", "to", "half",
                                         "reason", "note" };
  g_auto (GStrv) records = audit_records (context, error);
  g_autoptr (GString) out = g_string_new (NULL);

  if (!records)
    return FALSE;
  if (has (context, "csv"))
    {
      for (gsize i = 0; i < G_N_ELEMENTS (columns); i++)
        g_string_append_printf (out, "%s%s", i ? "," : "", columns[i]);
      g_string_append_c (out, '\n');
    }
  for (guint i = 0; records[i]; i++)
    if (has (context, "csv"))
      {
        g_autoptr (JsonNode) node = json_from_string (records[i], NULL);
        g_autoptr (GString) line = g_string_new (NULL);

        if (!node || !JSON_NODE_HOLDS_OBJECT (node))
          continue;
        for (gsize k = 0; k < G_N_ELEMENTS (columns); k++)
          append_csv (line, json_node_get_object (node), columns[k]);
        g_string_append_printf (out, "%s\n", line->str);
      }
    else
      g_string_append_printf (out, "%s\n", records[i]);
  if (!context->n_words)
    {
      fwrite (out->str, 1, out->len, stdout);
      return TRUE;
    }
  return finish (context, g_file_set_contents_full (context->words[0], out->str, (gssize) out->len,
                                                    G_FILE_SET_CONTENTS_CONSISTENT, 0600, error));
}

static gboolean
run_audit_verify (Context *context, GError **error)
{
  g_autoptr (GVariant) result = NULL;
  const char *problem = "";
  gboolean ok = FALSE;

  if (!bh_guard1_call_verify_audit_sync (context->guard, &result, NULL, error))
    return FALSE;
  print_result (context, result);
  g_variant_lookup (result, "ok", "b", &ok);
  g_variant_lookup (result, "problem", "&s", &problem);
  if (!ok)
    g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the audit trail is not sound: %s", problem);
  return ok;
}

static gboolean
run_sessions (Context *context, GError **error)
{
  static const char *const keys[] = { "number", "name", "state", "label", NULL };
  g_autoptr (GVariant) rows = NULL;

  if (!bh_guard1_call_list_sessions_sync (context->guard, &rows, NULL, error))
    return FALSE;
  print_rows (context, rows, keys);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ the table */

static const Verb verbs[] = {
  { "status", 0, 0, "", run_status, "status", "the guard: pid, encodings, audit, host label" },
  { "list", 0, 0, "", run_list, "list", "the VMs you may see" },
  { "create", 1, 1, MACHINE_OPTIONS "disk from-disk from file encrypt plain", run_create,
    "create NAME --label TEXT [--memory MiB] [--disk SIZE] [--from-disk FILE [--from FORMAT]] [--floppy FILE] [--cdrom FILE]\n"
    "         [--file PATH.bulkhead] [--encrypt --passphrase-file FILE] [--network NET] [--folder NAME] [--parallel printer|none]\n"
    "         [--serial console|file|null] [--boot floppy|disk|cdrom] [--cpu MODEL] [--engine ENGINE] [--rtc utc|local|fixed:T]\n"
    "         [--attach SLOT=FILE[,format=F][,readonly]] [--no-sound] [--undetectable] [--fuzzy-time] [--notes TEXT]", "a new VM" },
  { "show", 1, 1, "", run_show, "show NAME", "everything about one VM" },
  { "set", 1, 1, MACHINE_OPTIONS "remove-folder name", run_set, "set NAME [--label TEXT] [--network NET] [--folder NAME] [--name NEW] …",
    "change a VM; labels only upward and powered off" },
  { "delete", 1, 1, "keep-file", run_delete, "delete NAME [--keep-file]", "remove a VM from the library" },
  { "start", 1, 1, "headless passphrase-file discard-state discard-changes", run_start,
    "start NAME [--headless] [--passphrase-file FILE] [--discard-state] [--discard-changes]", "power on" },
  { "suspend", 1, 1, "", run_suspend, "suspend NAME", "save the state to disk and end the monitor" },
  { "resume", 1, 1, "headless passphrase-file", run_resume, "resume NAME", "go on after pause or suspend" },
  { "pause", 1, 1, "", run_pause, "pause NAME", "stop the VM's time" },
  { "reset", 1, 1, "", run_reset, "reset NAME", "press the reset button" },
  { "stop", 1, 1, "force", run_stop, "stop NAME [--force]", "press the power button, or pull the plug" },
  { "snapshot list", 1, 1, "passphrase-file", run_snapshot_list, "snapshot list NAME [--passphrase-file FILE]", "snapshots of a VM" },
  { "snapshot take", 2, 2, "note passphrase-file", run_snapshot_take, "snapshot take NAME SNAPSHOT [--note TEXT]", "take one" },
  { "snapshot revert", 2, 2, "passphrase-file", run_snapshot_revert, "snapshot revert NAME SNAPSHOT", "go back to one" },
  { "snapshot delete", 2, 2, "passphrase-file", run_snapshot_delete, "snapshot delete NAME SNAPSHOT", "remove one" },
  { "snapshot rename", 3, 3, "passphrase-file", run_snapshot_rename, "snapshot rename NAME SNAPSHOT NEW", "rename one" },
  { "clone", 2, 2, "linked label file passphrase-file", run_clone, "clone NAME NEW [--linked] [--label TEXT] [--file PATH]",
    "copy a VM; never below its label" },
  { "import", 1, 1, "name label from passphrase-file", run_import, "import FILE [--name NAME] [--label TEXT] [--passphrase-file FILE]",
    "take a VM's file into the library" },
  { "export", 2, 2, "format passphrase-file", run_export, "export NAME FILE [--format F]", "copy a VM out, if its label allows" },
  { "convert", 2, 2, "format from passphrase-file", run_convert, "convert IN OUT --format F [--from F]",
    "an unlabelled disk image into another format" },
  { "check", 1, 1, "repair passphrase-file", run_check, "check NAME [--repair]", "check a VM's file" },
  { "screenshot", 2, 2, "plain", run_screenshot, "screenshot NAME FILE.png [--plain]", "the screen with its label" },
  { "screen-text", 1, 1, "", run_screen_text, "screen-text NAME", "the text-mode screen" },
  { "type", 2, 2, "", run_type, "type NAME TEXT", "type a text" },
  { "key", 2, 2, "", run_key, "key NAME CHORD", "press keys, for example ctrl-alt-delete" },
  { "console", 1, 1, "port", run_console, "console NAME [--port N]", "the serial console; Ctrl+] leaves" },
  { "stats", 1, 1, "", run_stats, "stats NAME", "instructions by kind" },
  { "insert", 3, 3, "readonly", run_insert, "insert NAME SLOT FILE [--readonly]", "a floppy or CD: floppy0, floppy1, cdrom0, cdrom1" },
  { "eject", 2, 2, "", run_eject, "eject NAME SLOT", "take it out" },
  { "network list", 0, 0, "", run_network_list, "network list", "virtual networks" },
  { "network create", 1, 1, "label nat forward", run_network_create,
    "network create NAME --label TEXT [--nat] [--forward tcp:HOSTPORT:GUESTPORT]", "a new one" },
  { "network delete", 1, 1, "", run_network_delete, "network delete NAME", "remove one" },
  { "folder list", 0, 0, "", run_folder_list, "folder list", "shared folders" },
  { "folder add", 2, 2, "label", run_folder_add, "folder add NAME PATH --label TEXT", "a new one" },
  { "folder remove", 1, 1, "", run_folder_remove, "folder remove NAME", "remove one" },
  { "media list", 0, 0, "", run_media_list, "media list", "registered floppies, CDs and disks" },
  { "media register", 1, 1, "label", run_media_register, "media register FILE --label TEXT", "give a file its label" },
  { "clipboard take", 1, 1, "", run_clipboard_take, "clipboard take NAME", "from a VM into the guard" },
  { "clipboard give", 1, 1, "typed", run_clipboard_give, "clipboard give NAME [--typed]", "from the guard to a VM" },
  { "clipboard put", 1, 1, "", run_clipboard_put, "clipboard put TEXT", "from the host into the guard" },
  { "clipboard fetch", 0, 0, "", run_clipboard_fetch, "clipboard fetch", "from the guard to the host" },
  { "clipboard status", 0, 0, "", run_clipboard_status, "clipboard status", "what the guard holds" },
  { "clipboard clear", 0, 0, "", run_clipboard_clear, "clipboard clear", "empty it" },
  { "regrade request", 1, 1, "label reason", run_regrade_request, "regrade request FILE --label TEXT --reason TEXT",
    "ask for a copy at another label" },
  { "regrade approve", 1, 1, "reason refuse", run_regrade_approve, "regrade approve ID [--refuse] [--reason TEXT]",
    "answer as officer" },
  { "regrade list", 0, 0, "", run_regrade_list, "regrade list", "requests" },
  { "policy get", 0, 1, "", run_policy_get, "policy get [KEY]", "the officer's settings" },
  { "policy set", 2, 2, "", run_policy_set, "policy set KEY VALUE", "change one, as officer" },
  { "officer passphrase", 1, 1, "", run_officer_passphrase, "officer passphrase FILE", "change the officer's passphrase" },
  { "label show", 0, 1, "", run_label_show, "label show [TEXT]", "a label in words and numbers, or the encodings" },
  { "label decide", 0, 3, "batch", run_label_decide, "label decide FROM TO CHANNEL | label decide --batch FILE",
    "what the policy would say; no record is written" },
  { "label check-encodings", 1, 1, "", run_check_encodings, "label check-encodings FILE", "check an encodings file" },
  { "audit list", 0, 0, "limit machine channel result event text", run_audit_list,
    "audit list [--limit N] [--machine NAME] [--channel C] [--result R] [--event E] [--text T]", "audit records" },
  { "audit verify", 0, 0, "", run_audit_verify, "audit verify", "check the chain" },
  { "audit export", 0, 1, "csv limit machine channel result event text", run_audit_export, "audit export [FILE] [--csv]",
    "records as JSON lines or CSV" },
  { "sessions", 0, 0, "", run_sessions, "sessions", "the trusted list of running and suspended VMs" },
};

static void
print_help (FILE *to)
{
  fputs ("Usage: bulkhead-ctl [--json] VERB …\n\n", to);
  for (gsize i = 0; i < G_N_ELEMENTS (verbs); i++)
    fprintf (to, "  %s\n         %s\n", verbs[i].usage, verbs[i].help);
  fputs ("\nEverywhere: --json, --officer-passphrase-file FILE (act as the officer), --help.\n"
         "A label is banner text (\"SECRET//NOFORN\") or canonical (s40:15,16/i20).\n"
         "Exit status: 0 done, 1 failure, 2 usage, 3 no such VM, 4 wrong state, 5 refused by policy, 124 timeout.\n", to);
}

/* A verb that needs no guard. */
static gboolean
works_alone (const Verb *verb)
{
  return verb->run == run_check_encodings;
}

static gboolean
become_officer (Context *context, GError **error)
{
  const char *path = option (context, "officer-passphrase-file");
  g_autoptr (GVariant) result = NULL;
  GVariant *passphrase;

  if (!path)
    return TRUE;
  passphrase = passphrase_from (path, error);
  return passphrase && bh_guard1_call_officer_login_sync (context->guard, passphrase, &result, NULL, error);
}

static gboolean
is_in (const char *list, const char *name)
{
  g_auto (GStrv) names = g_strsplit (list, " ", -1);

  return g_strv_contains ((const char *const *) names, name);
}

static const Verb *
find_verb (GPtrArray *words, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (verbs); i++)
    {
      g_auto (GStrv) parts = g_strsplit (verbs[i].name, " ", 2);
      guint n = g_strv_length (parts);

      if (words->len < n || !g_str_equal (words->pdata[0], parts[0]) || (n == 2 && !g_str_equal (words->pdata[1], parts[1])))
        continue;
      g_ptr_array_remove_range (words, 0, n);
      if (words->len >= verbs[i].min && words->len <= verbs[i].max)
        return &verbs[i];
      usage_error (error, "usage: bulkhead-ctl %s", verbs[i].usage);
      return NULL;
    }
  if (words->len)
    usage_error (error, "there is no verb \"%s%s%s\"; bulkhead-ctl --help lists them", (char *) words->pdata[0],
                 words->len > 1 ? " " : "", words->len > 1 ? (char *) words->pdata[1] : "");
  else
    usage_error (error, "which verb? bulkhead-ctl --help lists them");
  return NULL;
}

static gboolean
read_arguments (Context *context, int argc, char **argv, GPtrArray *words, GError **error)
{
  gboolean only_words = FALSE;

  for (int i = 1; i < argc; i++)
    {
      g_autofree char *name = NULL;
      const char *equals, *value = "";
      GPtrArray *values;

      if (!g_utf8_validate (argv[i], -1, NULL))
        return usage_error (error, "argument %d is not UTF-8", i);
      if (only_words || !g_str_has_prefix (argv[i], "--"))
        {
          g_ptr_array_add (words, g_strdup (argv[i]));
          continue;
        }
      if (g_str_equal (argv[i], "--"))
        {
          only_words = TRUE;
          continue;
        }
      if (g_str_equal (argv[i], "--json"))
        {
          context->json = TRUE;
          continue;
        }
      equals = strchr (argv[i], '=');
      name = equals ? g_strndup (argv[i] + 2, (gsize) (equals - argv[i] - 2)) : g_strdup (argv[i] + 2);
      if (g_strv_contains (valued, name))
        {
          if (!equals && i + 1 >= argc)
            return usage_error (error, "--%s wants a value", name);
          value = equals ? equals + 1 : argv[++i];
          if (!g_utf8_validate (value, -1, NULL))
            return usage_error (error, "the value of --%s is not UTF-8", name);
        }
      else if (equals)
        return usage_error (error, "--%s takes no value", name);
      values = g_hash_table_lookup (context->options, name);
      if (!values)
        {
          values = g_ptr_array_new_with_free_func (g_free);
          g_hash_table_insert (context->options, g_steal_pointer (&name), values);
        }
      g_ptr_array_add (values, g_strdup (value));
    }
  return TRUE;
}

static gboolean
run (Context *context, int argc, char **argv, GError **error)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new_with_free_func (g_free);
  const Verb *verb;
  GHashTableIter iter;
  gpointer key;

  if (!read_arguments (context, argc, argv, words, error))
    return FALSE;
  if (has (context, "help") || (words->len == 1 && g_str_equal (words->pdata[0], "help")))
    {
      print_help (stdout);
      return TRUE;
    }
  verb = find_verb (words, error);
  if (!verb)
    return FALSE;
  g_hash_table_iter_init (&iter, context->options);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (!is_in (verb->options, key) && !g_str_equal (key, "officer-passphrase-file"))
      return usage_error (error, "%s takes no --%s\nusage: bulkhead-ctl %s", verb->name, (char *) key, verb->usage);
  context->words = (char **) words->pdata;
  context->n_words = words->len;
  if (!works_alone (verb))
    {
      context->guard = guard_client_connect_sync (GUARD_CLIENT_START, NULL, error);
      if (!context->guard || !become_officer (context, error))
        return FALSE;
    }
  return verb->run (context, error);
}

int
main (int argc, char **argv)
{
  Context context = { FALSE };
  g_autoptr (GError) error = NULL;
  int status = 0;

  setlocale (LC_ALL, "");
  guard_error_quark ();
  context.options = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
  if (!run (&context, argc, argv, &error))
    {
      status = guard_error_exit_status (error);
      fprintf (stderr, "bulkhead-ctl: %s\n", guard_client_error_text (error));
    }
  if (context.guard)
    g_object_unref (context.guard);
  g_hash_table_unref (context.options);
  if (fflush (stdout) != 0 && !status)
    status = GUARD_ERROR_FAILED;
  return status;
}
