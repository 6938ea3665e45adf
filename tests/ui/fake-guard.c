/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fake-guard.h"

#include "guard-error.h"
#include "sound.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <math.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define OBJECT_PATH "/io/github/bulkhead/Guard"

typedef struct
{
  char *name, *state, *label, *error, *network, *notes;
  guint memory;
  GPtrArray *snapshots;
} Machine;

struct FakeGuard
{
  BhGuard1        *proxy;
  GDBusConnection *server, *client;
  GPtrArray       *machines;
  GPtrArray       *calls;
  GVariant        *options;
  GHashTable      *status, *failures;
  gboolean         answered, answer;
  int              display_fd, event_fd, sound_fd, input[2];
  guint8          *display;
};

static const struct { const char *name, *foreground, *background, *pattern; guint value; } levels[] = {
  { "UNCLASSIFIED", "#ffffff", "#007a33", "circle", 10 },
  { "CUI", "#ffffff", "#502b85", "square", 20 },
  { "CONFIDENTIAL", "#ffffff", "#0033a0", "triangle", 30 },
  { "SECRET", "#ffffff", "#c8102e", "diamond", 40 },
  { "TOP SECRET", "#000000", "#ff8c00", "cross", 50 },
};

static guint
level_of (const char *label)
{
  guint best = 0;

  for (guint i = 0; i < G_N_ELEMENTS (levels); i++)
    if (g_str_has_prefix (label, levels[i].name))
      best = i;
  return best;
}

static void
machine_free (gpointer data)
{
  Machine *machine = data;

  g_free (machine->name);
  g_free (machine->state);
  g_free (machine->label);
  g_free (machine->error);
  g_free (machine->network);
  g_free (machine->notes);
  g_ptr_array_unref (machine->snapshots);
  g_free (machine);
}

static Machine *
find (FakeGuard *self, const char *name)
{
  for (guint i = 0; i < self->machines->len; i++)
    if (g_str_equal (((Machine *) g_ptr_array_index (self->machines, i))->name, name))
      return g_ptr_array_index (self->machines, i);
  return NULL;
}

static void
add_label (GVariantBuilder *builder, const char *label, const char *prefix)
{
  const guint      level = level_of (label);
  g_autofree char *foreground = g_strconcat (prefix, "foreground", NULL);
  g_autofree char *background = g_strconcat (prefix, "background", NULL);
  g_autofree char *pattern = g_strconcat (prefix, "pattern", NULL);
  g_autofree char *canonical_key = g_strconcat (prefix, "canonical", NULL);
  g_autofree char *canonical = g_strdup_printf ("s%u/i20", levels[level].value);

  g_variant_builder_add (builder, "{sv}", foreground, g_variant_new_string (levels[level].foreground));
  g_variant_builder_add (builder, "{sv}", background, g_variant_new_string (levels[level].background));
  g_variant_builder_add (builder, "{sv}", pattern, g_variant_new_string (levels[level].pattern));
  g_variant_builder_add (builder, "{sv}", canonical_key, g_variant_new_string (canonical));
  if (*prefix == '\0')
    {
      g_variant_builder_add (builder, "{sv}", "label", g_variant_new_string (label));
      g_variant_builder_add (builder, "{sv}", "strip-text", g_variant_new_string (label));
      g_variant_builder_add (builder, "{sv}", "label-rank", g_variant_new_uint32 (level));
    }
}

static GVariant *
describe (Machine *machine)
{
  GVariantBuilder builder, media, disks;
  const gboolean  alive = g_str_equal (machine->state, "running") || g_str_equal (machine->state, "paused");

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "name", g_variant_new_string (machine->name));
  g_variant_builder_add (&builder, "{sv}", "uuid", g_variant_new_string ("c0ffee00-0000-4000-8000-000000000000"));
  g_variant_builder_add (&builder, "{sv}", "state", g_variant_new_string (machine->state));
  if (machine->error != NULL)
    g_variant_builder_add (&builder, "{sv}", "error", g_variant_new_string (machine->error));
  add_label (&builder, machine->label, "");
  g_variant_builder_add (&builder, "{sv}", "file", g_variant_new_take_string (g_strdup_printf ("/home/user/.local/share/bulkhead/%s.bulkhead", machine->name)));
  g_variant_builder_add (&builder, "{sv}", "pid", g_variant_new_int32 (alive ? 4711 : 0));
  g_variant_builder_add (&builder, "{sv}", "memory", g_variant_new_uint32 (machine->memory));
  g_variant_builder_add (&builder, "{sv}", "cpu", g_variant_new_string ("pentium3"));
  g_variant_builder_add (&builder, "{sv}", "engine", g_variant_new_string ("auto"));
  g_variant_builder_add (&builder, "{sv}", "boot", g_variant_new_strv ((const char *const[]) { "floppy", "cdrom", "disk" }, 3));
  g_variant_builder_add (&builder, "{sv}", "rtc", g_variant_new_string ("utc"));
  g_variant_builder_add (&builder, "{sv}", "sound", g_variant_new_boolean (TRUE));
  g_variant_builder_add (&builder, "{sv}", "network", g_variant_new_string (machine->network));
  g_variant_builder_add (&builder, "{sv}", "notes", g_variant_new_string (machine->notes));
  g_variant_builder_add (&builder, "{sv}", "folders", g_variant_new_strv (NULL, 0));
  g_variant_builder_init (&media, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_builder_open (&media, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&media, "{sv}", "slot", g_variant_new_string ("cdrom0"));
  g_variant_builder_add (&media, "{sv}", "path", g_variant_new_string ("/home/user/Downloads/debian-12-i386.iso"));
  g_variant_builder_add (&media, "{sv}", "label", g_variant_new_string ("UNCLASSIFIED"));
  g_variant_builder_add (&media, "{sv}", "read-only", g_variant_new_boolean (TRUE));
  g_variant_builder_close (&media);
  g_variant_builder_open (&media, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&media, "{sv}", "slot", g_variant_new_string ("floppy0"));
  g_variant_builder_add (&media, "{sv}", "path", g_variant_new_string (""));
  g_variant_builder_close (&media);
  g_variant_builder_add (&builder, "{sv}", "media", g_variant_builder_end (&media));
  g_variant_builder_init (&disks, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_builder_open (&disks, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&disks, "{sv}", "slot", g_variant_new_string ("disk0"));
  g_variant_builder_add (&disks, "{sv}", "path", g_variant_new_string (""));
  g_variant_builder_close (&disks);
  g_variant_builder_add (&builder, "{sv}", "disks", g_variant_builder_end (&disks));
  return g_variant_builder_end (&builder);
}

static void
emit (FakeGuard *self, const char *signal, GVariant *arguments)
{
  if (self->server != NULL)
    g_dbus_connection_emit_signal (self->server, NULL, OBJECT_PATH, "io.github.bulkhead.Guard1", signal, arguments, NULL);
  else if (arguments != NULL)
    g_variant_unref (g_variant_ref_sink (arguments));
}

static void
emit_changed (FakeGuard *self, Machine *machine)
{
  emit (self, "MachineChanged", g_variant_new ("(s@a{sv})", machine->name, describe (machine)));
}

static void
set_state (FakeGuard *self, Machine *machine, const char *state)
{
  const gboolean was_alive = g_str_equal (machine->state, "running") || g_str_equal (machine->state, "paused");
  const gboolean alive = g_str_equal (state, "running") || g_str_equal (state, "paused");

  g_free (machine->state);
  machine->state = g_strdup (state);
  emit_changed (self, machine);
  if (was_alive && !alive)
    emit (self, "ConsoleClosed", g_variant_new ("(ss)", machine->name, state));
}

/* ------------------------------------------------------------------------------------------------ every method */

static GVariant *
status (FakeGuard *self)
{
  GVariantBuilder builder;
  GHashTableIter  iter;
  gpointer        key, value;
  guint           highest = 0;

  for (guint i = 0; i < self->machines->len; i++)
    highest = MAX (highest, level_of (((Machine *) g_ptr_array_index (self->machines, i))->label));
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "encodings", g_variant_new_string ("us-government"));
  g_variant_builder_add (&builder, "{sv}", "host-label", g_variant_new_string ("UNCLASSIFIED"));
  g_variant_builder_add (&builder, "{sv}", "host-canonical", g_variant_new_string ("s10/i20"));
  g_variant_builder_add (&builder, "{sv}", "clearance-low", g_variant_new_string ("UNCLASSIFIED"));
  g_variant_builder_add (&builder, "{sv}", "clearance-high", g_variant_new_string ("TOP SECRET"));
  g_variant_builder_add (&builder, "{sv}", "attention-key", g_variant_new_string ("ctrl+alt+pause"));
  if (self->machines->len > 0)
    {
      g_variant_builder_add (&builder, "{sv}", "highest-label", g_variant_new_string (levels[highest].name));
      g_variant_builder_add (&builder, "{sv}", "highest-foreground", g_variant_new_string (levels[highest].foreground));
      g_variant_builder_add (&builder, "{sv}", "highest-background", g_variant_new_string (levels[highest].background));
    }
  g_hash_table_iter_init (&iter, self->status);
  while (g_hash_table_iter_next (&iter, &key, &value))
    g_variant_builder_add (&builder, "{sv}", key, value);
  return g_variant_builder_end (&builder);
}

static void
add_word (GVariantBuilder *builder, const char *name, const char *group, const char *minimum, const char *excludes,
          const char *requires)
{
  g_variant_builder_open (builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (builder, "{sv}", "name", g_variant_new_string (name));
  g_variant_builder_add (builder, "{sv}", "group", g_variant_new_string (group));
  g_variant_builder_add (builder, "{sv}", "minimum", g_variant_new_string (minimum));
  g_variant_builder_add (builder, "{sv}", "reachable", g_variant_new_boolean (TRUE));
  if (excludes != NULL)
    g_variant_builder_add (builder, "{sv}", "excludes", g_variant_new_strv (&excludes, 1));
  if (requires != NULL)
    g_variant_builder_add (builder, "{sv}", "requires", g_variant_new_strv (&requires, 1));
  g_variant_builder_close (builder);
}

static GVariant *
encodings (void)
{
  GVariantBuilder builder, list;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "name", g_variant_new_string ("us-government"));
  g_variant_builder_add (&builder, "{sv}", "default-label", g_variant_new_string ("UNCLASSIFIED"));
  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < G_N_ELEMENTS (levels); i++)
    {
      g_variant_builder_open (&list, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&list, "{sv}", "name", g_variant_new_string (levels[i].name));
      g_variant_builder_add (&list, "{sv}", "value", g_variant_new_uint32 (levels[i].value));
      g_variant_builder_close (&list);
    }
  g_variant_builder_add (&builder, "{sv}", "levels", g_variant_builder_end (&list));
  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  add_word (&list, "HCS", "sci", "SECRET", NULL, "NOFORN");
  add_word (&list, "SI", "sci", "CONFIDENTIAL", NULL, NULL);
  add_word (&list, "TK", "sci", "SECRET", NULL, NULL);
  add_word (&list, "BUTTER POPCORN", "sap", "TOP SECRET", NULL, NULL);
  add_word (&list, "NOFORN", "dissemination", "CUI", NULL, NULL);
  add_word (&list, "REL TO USA, FVEY", "dissemination", "CONFIDENTIAL", "NOFORN", NULL);
  g_variant_builder_add (&builder, "{sv}", "words", g_variant_builder_end (&list));
  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_builder_open (&list, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&list, "{sv}", "name", g_variant_new_string ("sap"));
  g_variant_builder_add (&list, "{sv}", "prefix", g_variant_new_string ("SAR-"));
  g_variant_builder_close (&list);
  g_variant_builder_add (&builder, "{sv}", "groups", g_variant_builder_end (&list));
  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < 3; i++)
    {
      g_variant_builder_open (&list, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&list, "{sv}", "name", g_variant_new_string (((const char *[]) { "UNVERIFIED", "STANDARD", "VERIFIED" })[i]));
      g_variant_builder_close (&list);
    }
  g_variant_builder_add (&builder, "{sv}", "integrity-levels", g_variant_builder_end (&list));
  return g_variant_builder_end (&builder);
}

static void
seal_size (int fd, goffset size)
{
  g_assert_cmpint (ftruncate (fd, size), ==, 0);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), ==, 0);
}

static void
open_console (FakeGuard *self, GDBusMethodInvocation *invocation, Machine *machine)
{
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();

  for (guint i = 0; i < 2; i++)
    if (self->input[i] >= 0)
      close (self->input[i]);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, self->input), ==, 0);
  g_unix_fd_list_append (fds, self->display_fd, NULL);
  g_unix_fd_list_append (fds, self->event_fd, NULL);
  g_unix_fd_list_append (fds, self->input[1], NULL);
  g_unix_fd_list_append (fds, self->sound_fd, NULL);
  close (self->input[1]);
  self->input[1] = -1;
  g_dbus_method_invocation_return_value_with_unix_fd_list (invocation,
    g_variant_new ("(hhhh@a{sv})", 0, 1, 2, 3, describe (machine)), fds);
}

static GVariant *
one_of_each (const char *const *names, const char *label)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; names[i] != NULL; i++)
    {
      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&builder, "{sv}", "name", g_variant_new_string (names[i]));
      g_variant_builder_add (&builder, "{sv}", "path", g_variant_new_take_string (g_strdup_printf ("/home/user/%s", names[i])));
      add_label (&builder, label, "");
      g_variant_builder_close (&builder);
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
snapshots_of (Machine *machine)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < machine->snapshots->len; i++)
    {
      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&builder, "{sv}", "name", g_variant_new_string (g_ptr_array_index (machine->snapshots, i)));
      g_variant_builder_add (&builder, "{sv}", "id", g_variant_new_take_string (g_strdup_printf ("%u", i + 1)));
      g_variant_builder_add (&builder, "{sv}", "parent", g_variant_new_take_string (i ? g_strdup_printf ("%u", i) : g_strdup ("")));
      g_variant_builder_add (&builder, "{sv}", "taken", g_variant_new_int64 (1760000000 + i * 5000));
      g_variant_builder_add (&builder, "{sv}", "bytes", g_variant_new_uint64 (36700160));
      g_variant_builder_add (&builder, "{sv}", "live", g_variant_new_boolean (i == 1));
      g_variant_builder_add (&builder, "{sv}", "current", g_variant_new_boolean (i + 1 == machine->snapshots->len));
      g_variant_builder_add (&builder, "{sv}", "label", g_variant_new_string (machine->label));
      g_variant_builder_close (&builder);
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
sessions (FakeGuard *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->machines->len; i++)
    {
      Machine *machine = g_ptr_array_index (self->machines, i);

      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&builder, "{sv}", "number", g_variant_new_uint32 (i + 1));
      g_variant_builder_add (&builder, "{sv}", "name", g_variant_new_string (machine->name));
      g_variant_builder_add (&builder, "{sv}", "state", g_variant_new_string (machine->state));
      add_label (&builder, machine->label, "");
      g_variant_builder_close (&builder);
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
decision (const char *from, const char *to, const char *channel)
{
  GVariantBuilder builder;
  const gboolean  allow = g_strcmp0 (from, to) == 0;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "verdict", g_variant_new_string (allow ? "allow" : "deny"));
  g_variant_builder_add (&builder, "{sv}", "reason", g_variant_new_take_string (allow ? g_strdup ("")
    : g_strdup_printf ("%s from %s to %s is refused: the secrecy labels differ", channel, from, to)));
  return g_variant_builder_end (&builder);
}

static void
on_method (GDBusConnection *connection, const char *sender, const char *path, const char *interface, const char *method,
           GVariant *arguments, GDBusMethodInvocation *invocation, gpointer data)
{
  FakeGuard           *self = data;
  const char          *name = "", *second = "";
  Machine             *machine = NULL;
  GError              *failure;
  const gsize          n = g_variant_n_children (arguments);
  g_autoptr (GVariant) first_value = n > 0 ? g_variant_get_child_value (arguments, 0) : NULL;
  g_autoptr (GVariant) second_value = n > 1 ? g_variant_get_child_value (arguments, 1) : NULL;
  g_autoptr (GVariant) last_value = n > 0 ? g_variant_get_child_value (arguments, n - 1) : NULL;
  GVariant            *reply = NULL;

  if (first_value != NULL && g_variant_is_of_type (first_value, G_VARIANT_TYPE_STRING))
    name = g_variant_get_string (first_value, NULL);
  if (second_value != NULL && g_variant_is_of_type (second_value, G_VARIANT_TYPE_STRING))
    second = g_variant_get_string (second_value, NULL);
  if (last_value != NULL && g_variant_is_of_type (last_value, G_VARIANT_TYPE_VARDICT))
    {
      g_clear_pointer (&self->options, g_variant_unref);
      self->options = g_variant_ref (last_value);
    }
  g_ptr_array_add (self->calls, g_strdup (method));
  if (*name)
    g_ptr_array_add (self->calls, g_strdup_printf ("%s(%s)", method, name));
  if (*second)
    g_ptr_array_add (self->calls, g_strdup_printf ("%s(%s,%s)", method, name, second));
  machine = find (self, name);

  if (g_hash_table_steal_extended (self->failures, method, NULL, (gpointer *) &failure))
    {
      g_dbus_method_invocation_take_error (invocation, failure);
      return;
    }

#define IS(text) g_str_equal (method, text)
  if (IS ("Status"))
    reply = g_variant_new ("(@a{sv})", status (self));
  else if (IS ("DescribeEncodings"))
    reply = g_variant_new ("(@a{sv})", encodings ());
  else if (IS ("ListMachines"))
    {
      GVariantBuilder builder;

      g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
      for (guint i = 0; i < self->machines->len; i++)
        g_variant_builder_add_value (&builder, describe (g_ptr_array_index (self->machines, i)));
      reply = g_variant_new ("(@aa{sv})", g_variant_builder_end (&builder));
    }
  else if (IS ("CreateMachine"))
    {
      const char *label = "UNCLASSIFIED";

      g_variant_lookup (last_value, "label", "&s", &label);
      fake_guard_add (self, name, "off", label);
      machine = find (self, name);
      g_variant_lookup (last_value, "memory", "u", &machine->memory);
      reply = g_variant_new ("(@a{sv})", describe (machine));
    }
  else if (IS ("ShowLabel"))
    {
      GVariantBuilder builder;

      g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
      add_label (&builder, name, "");
      g_variant_builder_add (&builder, "{sv}", "valid", g_variant_new_boolean (strstr (name, "NOPE") == NULL));
      reply = g_variant_new ("(@a{sv})", g_variant_builder_end (&builder));
    }
  else if (IS ("ListNetworks"))
    reply = g_variant_new ("(@aa{sv})", one_of_each ((const char *const[]) { "office", "lab", NULL }, "UNCLASSIFIED"));
  else if (IS ("ListFolders"))
    reply = g_variant_new ("(@aa{sv})", one_of_each ((const char *const[]) { "Public", NULL }, "UNCLASSIFIED"));
  else if (IS ("ListMedia"))
    reply = g_variant_new ("(@aa{sv})", one_of_each ((const char *const[]) { "tools.img", NULL }, "SECRET"));
  else if (IS ("ListSessions"))
    reply = g_variant_new ("(@aa{sv})", sessions (self));
  else if (IS ("ClipboardStatus"))
    reply = g_variant_new ("(@a{sv})", g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0));
  else if (IS ("Decide"))
    {
      g_autoptr (GVariant) third = g_variant_get_child_value (arguments, 2);

      reply = g_variant_new ("(@a{sv})", decision (name, second, g_variant_get_string (third, NULL)));
    }
  else if (IS ("DecideDrag") && machine != NULL)
    reply = g_variant_new ("(@a{sv})", decision (machine->label, "UNCLASSIFIED", second));
  else if (IS ("AnswerQuestion"))
    {
      guint64 id;

      g_variant_get (arguments, "(tb)", &id, &self->answer);
      self->answered = TRUE;
      reply = g_variant_new ("()");
    }
  else if (IS ("ListAudit"))
    reply = g_variant_new ("(^as)", (const char *const[]) {
      "{\"seq\":1,\"time\":1760000000,\"machine\":\"alpha\",\"channel\":\"snapshot\",\"from\":\"SECRET\",\"to\":\"SECRET\",\"result\":\"allow\",\"rule\":\"equal\"}",
      "{\"seq\":2,\"time\":1760000100,\"machine\":\"alpha\",\"channel\":\"screenshot\",\"from\":\"SECRET\",\"to\":\"UNCLASSIFIED\",\"result\":\"deny\",\"reason\":\"secrecy: SECRET, not dominated by UNCLASSIFIED\"}",
      "{\"seq\":3,\"time\":1760000200,\"machine\":\"beta\",\"channel\":\"clipboard-paste\",\"from\":\"UNCLASSIFIED\",\"to\":\"SECRET\",\"result\":\"ask\"}", NULL });
  else if (IS ("VerifyAudit"))
    {
      GVariantBuilder builder;

      g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&builder, "{sv}", "ok", g_variant_new_boolean (TRUE));
      g_variant_builder_add (&builder, "{sv}", "records", g_variant_new_uint64 (3));
      reply = g_variant_new ("(@a{sv})", g_variant_builder_end (&builder));
    }
  else if (IS ("GetPolicy"))
    reply = g_variant_new_parsed ("({'clipboard-one-way': 'deny', 'host-label': 'UNCLASSIFIED'},)");
  else if (IS ("SetPolicy") && g_str_equal (name, "phrase"))
    {
      fake_guard_set_status (self, "phrase", g_variant_new_string (second));
      reply = g_variant_new ("()");
    }
  else if (IS ("OfficerLogin"))
    {
      fake_guard_set_status (self, "officer", g_variant_new_boolean (TRUE));
      reply = g_variant_new ("(@a{sv})", g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0));
    }
  else if (IS ("ListSnapshots") && machine != NULL)
    reply = g_variant_new ("(@aa{sv})", snapshots_of (machine));
  else if (IS ("Statistics"))
    reply = g_variant_new ("(@a{sv})", g_variant_new_parsed ("{'instructions': <@t 5178293014>, 'translated': <@t 5170012345>, "
      "'interpreted': <@t 8280669>, 'estimated': <true>, 'uptime-ns': <@t 384000000000>, 'frames': <@t 5120>, "
      "'reasons': <@a{st} {'3A1': 1204, '3B': 88123, '3C': 91234, '3D': 8100108}>}"));
  else if (IS ("TakeClipboard") || IS ("GiveClipboard"))
    reply = g_variant_new ("(@a{sv})", g_variant_new_parsed ("{'type': <'text/plain'>, 'bytes': <@t 12>, 'label': <'SECRET'>}"));
  else if (machine == NULL && n > 0 && !IS ("Attention") && !IS ("SetPolicy") && !IS ("CreateNetwork") && !IS ("DeleteNetwork") &&
           !IS ("AddFolder") && !IS ("RemoveFolder") && !IS ("RegisterMedium") && !IS ("PutHostClipboard"))
    {
      g_dbus_method_invocation_return_error (invocation, GUARD_ERROR, GUARD_ERROR_NO_SUCH_MACHINE, "no machine “%s”", name);
      return;
    }
  else if (IS ("OpenConsole"))
    {
      open_console (self, invocation, machine);
      return;
    }
  else if (IS ("Start"))
    {
      set_state (self, machine, "running");
      reply = g_variant_new ("(@a{sv})", describe (machine));
    }
  else if (IS ("GetMachine") || IS ("SetMachine"))
    {
      if (last_value != NULL && g_variant_is_of_type (last_value, G_VARIANT_TYPE_VARDICT))
        {
          const char *text;

          g_variant_lookup (last_value, "memory", "u", &machine->memory);
          if (g_variant_lookup (last_value, "label", "&s", &text))
            {
              g_free (machine->label);
              machine->label = g_strdup (text);
            }
          if (g_variant_lookup (last_value, "notes", "&s", &text))
            {
              g_free (machine->notes);
              machine->notes = g_strdup (text);
            }
        }
      emit_changed (self, machine);
      reply = g_variant_new ("(@a{sv})", describe (machine));
    }
  else if (IS ("CloneMachine"))
    {
      fake_guard_add (self, second, "off", machine->label);
      reply = g_variant_new ("(@a{sv})", describe (find (self, second)));
    }
  else if (IS ("RenameMachine"))
    {
      g_autofree char *old = g_strdup (name);

      g_free (machine->name);
      machine->name = g_strdup (second);
      emit (self, "MachineRenamed", g_variant_new ("(ss)", old, second));
      reply = g_variant_new ("()");
    }
  else if (IS ("DeleteMachine"))
    {
      g_autofree char *old = g_strdup (name);

      g_ptr_array_remove (self->machines, machine);
      emit (self, "MachineRemoved", g_variant_new ("(s)", old));
      reply = g_variant_new ("()");
    }
  else
    {
      if (IS ("Resume"))
        set_state (self, machine, "running");
      else if (IS ("Pause"))
        set_state (self, machine, "paused");
      else if (IS ("Suspend"))
        set_state (self, machine, "suspended");
      else if (IS ("Stop"))
        set_state (self, machine, "off");
      else if (IS ("TakeSnapshot"))
        {
          g_ptr_array_add (machine->snapshots, g_strdup (second));
          emit_changed (self, machine);
        }
      reply = g_variant_new ("()");
    }
#undef IS
  g_dbus_method_invocation_return_value (invocation, reply);
}

static const GDBusInterfaceVTable vtable = { on_method, NULL, NULL, { 0 } };

/* ------------------------------------------------------------------------------------------------ the pair of connections */

static void
on_server (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GDBusConnection **) data = g_dbus_connection_new_finish (result, NULL);
}

static void
connect_pair (FakeGuard *self)
{
  g_autofree char               *guid = g_dbus_generate_guid ();
  int                            fds[2];
  g_autoptr (GSocket)            server_socket = NULL, client_socket = NULL;
  g_autoptr (GSocketConnection)  server_stream = NULL, client_stream = NULL;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
  server_socket = g_socket_new_from_fd (fds[0], NULL);
  client_socket = g_socket_new_from_fd (fds[1], NULL);
  server_stream = g_socket_connection_factory_create_connection (server_socket);
  client_stream = g_socket_connection_factory_create_connection (client_socket);
  g_dbus_connection_new (G_IO_STREAM (server_stream), guid,
                         G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER | G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
                         NULL, NULL, on_server, &self->server);
  g_dbus_connection_new (G_IO_STREAM (client_stream), NULL, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL,
                         on_server, &self->client);
  while (self->server == NULL || self->client == NULL)
    g_main_context_iteration (NULL, TRUE);
}

static void
on_proxy (GObject *source, GAsyncResult *result, gpointer data)
{
  *(BhGuard1 **) data = bh_guard1_proxy_new_finish (result, NULL);
}

FakeGuard *
fake_guard_new (void)
{
  FakeGuard *self = g_new0 (FakeGuard, 1);

  guard_error_quark ();
  self->machines = g_ptr_array_new_with_free_func (machine_free);
  self->calls = g_ptr_array_new_with_free_func (g_free);
  self->status = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_variant_unref);
  self->failures = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->input[0] = self->input[1] = -1;
  self->display_fd = memfd_create ("fake-display", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  seal_size (self->display_fd, DISPLAY_FILE_BYTES);
  self->display = mmap (NULL, DISPLAY_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->display_fd, 0);
  g_assert_true (self->display != MAP_FAILED);
  self->event_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->sound_fd = memfd_create ("fake-sound", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  seal_size (self->sound_fd, SOUND_RING_BYTES);

  connect_pair (self);
  g_dbus_connection_register_object (self->server, OBJECT_PATH, bh_guard1_interface_info (), &vtable, self, NULL, NULL);
  g_dbus_connection_start_message_processing (self->server);
  bh_guard1_proxy_new (self->client, G_DBUS_PROXY_FLAGS_NONE, NULL, OBJECT_PATH, NULL, on_proxy, &self->proxy);
  while (self->proxy == NULL)
    g_main_context_iteration (NULL, TRUE);
  return self;
}

void
fake_guard_free (FakeGuard *self)
{
  g_clear_object (&self->proxy);
  fake_guard_die (self);
  g_clear_object (&self->client);
  g_ptr_array_unref (self->machines);
  g_ptr_array_unref (self->calls);
  g_hash_table_unref (self->status);
  g_hash_table_unref (self->failures);
  g_clear_pointer (&self->options, g_variant_unref);
  munmap (self->display, DISPLAY_FILE_BYTES);
  close (self->display_fd);
  close (self->event_fd);
  close (self->sound_fd);
  for (guint i = 0; i < 2; i++)
    if (self->input[i] >= 0)
      close (self->input[i]);
  g_free (self);
}

void
fake_guard_die (FakeGuard *self)
{
  if (self->server != NULL)
    g_dbus_connection_close (self->server, NULL, NULL, NULL);
  g_clear_object (&self->server);
}

BhGuard1 *
fake_guard_get_proxy (FakeGuard *self)
{
  return self->proxy;
}

void
fake_guard_add (FakeGuard *self, const char *name, const char *state, const char *label)
{
  Machine *machine = g_new0 (Machine, 1);

  machine->name = g_strdup (name);
  machine->state = g_strdup (state);
  machine->label = g_strdup (label);
  machine->network = g_strdup ("");
  machine->notes = g_strdup ("");
  machine->memory = 256;
  machine->snapshots = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (self->machines, machine);
  emit (self, "MachineAdded", g_variant_new ("(s@a{sv})", name, describe (machine)));
}

void
fake_guard_set_state (FakeGuard *self, const char *name, const char *state, const char *error)
{
  Machine *machine = find (self, name);

  g_free (machine->error);
  machine->error = g_strdup (error);
  set_state (self, machine, state);
}

void
fake_guard_set_status (FakeGuard *self, const char *key, GVariant *value)
{
  g_hash_table_insert (self->status, g_strdup (key), g_variant_ref_sink (value));
  emit (self, "PolicyChanged", NULL);
}

const char *
fake_guard_get_state (FakeGuard *self, const char *name)
{
  Machine *machine = find (self, name);

  return machine ? machine->state : NULL;
}

void
fake_guard_ask (FakeGuard *self, guint64 id, GVariant *question)
{
  self->answered = self->answer = FALSE;
  emit (self, "Question", g_variant_new ("(t@a{sv})", id, question));
}

void
fake_guard_fail (FakeGuard *self, const char *method, int code, const char *text)
{
  g_hash_table_insert (self->failures, g_strdup (method), g_error_new_literal (GUARD_ERROR, code, text));
}

gboolean
fake_guard_was_called (FakeGuard *self, const char *call)
{
  return fake_guard_count (self, call) > 0;
}

guint
fake_guard_count (FakeGuard *self, const char *call)
{
  guint n = 0;

  for (guint i = 0; i < self->calls->len; i++)
    n += g_str_equal (g_ptr_array_index (self->calls, i), call);
  return n;
}

void
fake_guard_clear_calls (FakeGuard *self)
{
  g_ptr_array_set_size (self->calls, 0);
}

GVariant *
fake_guard_get_options (FakeGuard *self)
{
  return self->options;
}

gboolean
fake_guard_get_answer (FakeGuard *self, gboolean *ret_answered)
{
  *ret_answered = self->answered;
  return self->answer;
}

DisplayHeader *
fake_guard_get_screen (FakeGuard *self)
{
  return (DisplayHeader *) (void *) self->display;
}

guint32 *
fake_guard_get_pixels (FakeGuard *self)
{
  return (guint32 *) (void *) (self->display + DISPLAY_PIXELS_OFFSET);
}

void
fake_guard_publish (FakeGuard *self, guint x, guint y, guint width, guint height)
{
  volatile DisplayHeader *header = fake_guard_get_screen (self);
  const guint64           one = 1;

  header->generation++;
  __atomic_thread_fence (__ATOMIC_RELEASE);
  header->damage_x = x;
  header->damage_y = y;
  header->damage_width = width;
  header->damage_height = height;
  __atomic_thread_fence (__ATOMIC_RELEASE);
  header->generation++;
  g_assert_cmpint (write (self->event_fd, &one, sizeof one), ==, sizeof one);
}

void
fake_guard_paint (FakeGuard *self, guint width, guint height, guint32 colour, gboolean absolute)
{
  DisplayHeader *header = fake_guard_get_screen (self);
  guint32       *pixels = fake_guard_get_pixels (self);

  header->magic = DISPLAY_MAGIC;
  header->width = width;
  header->height = height;
  header->stride = width * 4;
  header->mode = DISPLAY_MODE_GRAPHICS;
  header->mouse_absolute = absolute;
  for (guint y = 0; y < height; y++)
    for (guint x = 0; x < width; x++)
      pixels[(gsize) y * width + x] = x == 0 || y == 0 || x == width - 1 || y == height - 1 ? 0xffffffff : 0xff000000 | colour;
  fake_guard_publish (self, 0, 0, width, height);
}

gboolean
fake_guard_read_input (FakeGuard *self, InputMessage *ret_message)
{
  return self->input[0] >= 0 && recv (self->input[0], ret_message, sizeof *ret_message, MSG_DONTWAIT) == sizeof *ret_message;
}

int
fake_guard_dup_display (FakeGuard *self)
{
  return dup (self->display_fd);
}
