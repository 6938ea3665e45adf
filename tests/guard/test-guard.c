/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The real guard, spoken to over its socket, with monitors that only speak the protocol.  Each test has a home of its own. */
#include "display.h"
#include "guard-client.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  char     *home, *runtime, *data;
  GPid      pid;
  BhGuard1 *guard;
} World;

/* ------------------------------------------------------------------------------------------------ the world */

static void
end_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGTERM);
}

static void
start_guard (World *world)
{
  g_autofree char *program = guard_client_find_program ("guard-for-tests");
  g_autofree char *home = g_strconcat ("HOME=", world->home, NULL);
  g_autofree char *runtime = g_strconcat ("XDG_RUNTIME_DIR=", world->runtime, NULL);
  g_autofree char *data = g_strconcat ("XDG_DATA_HOME=", world->data, NULL);
  char *argv[] = { program, NULL };
  char *envp[] = { home, runtime, data, (char *) "PATH=/usr/bin:/bin", (char *) "LC_ALL=C.UTF-8", NULL };
  g_autofree char *socket = g_build_filename (world->runtime, "bulkhead", "guard.sock", NULL);
  g_autofree char *address = g_strconcat ("unix:path=", socket, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (program);
  g_assert_true (g_spawn_async ("/", argv, envp, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, end_with_parent, NULL,
                                &world->pid, &error));
  for (int i = 0; i < 200 && !world->guard; i++)
    {
      g_autoptr (GDBusConnection) connection = NULL;

      connection = g_dbus_connection_new_for_address_sync (address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, NULL);
      if (connection)
        world->guard = bh_guard1_proxy_new_sync (connection, G_DBUS_PROXY_FLAGS_DO_NOT_LOAD_PROPERTIES, NULL, GUARD_OBJECT_PATH, NULL, NULL);
      else
        g_usleep (25000);
    }
  g_assert_nonnull (world->guard);
}

static void
stop_guard (World *world, int with)
{
  g_clear_object (&world->guard);
  if (!world->pid)
    return;
  kill (world->pid, with);
  waitpid (world->pid, NULL, 0);
  world->pid = 0;
}

static void
set_up (World *world, gconstpointer data)
{
  world->home = g_dir_make_tmp ("bulkhead-guard-XXXXXX", NULL);
  world->runtime = g_build_filename (world->home, "run", NULL);
  world->data = g_build_filename (world->home, "data", NULL);
  g_mkdir (world->runtime, 0700);
  start_guard (world);
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder)))
    {
      g_autofree char *below = g_build_filename (path, name, NULL);

      if (g_file_test (below, G_FILE_TEST_IS_DIR) && !g_file_test (below, G_FILE_TEST_IS_SYMLINK))
        remove_tree (below);
      else
        g_unlink (below);
    }
  g_rmdir (path);
}

static void
tear_down (World *world, gconstpointer data)
{
  stop_guard (world, SIGTERM);
  remove_tree (world->home);
  g_free (world->home);
  g_free (world->runtime);
  g_free (world->data);
}

/* ------------------------------------------------------------------------------------------------ short forms */

static GVariant *
options (const char *format, ...)
{
  va_list arguments;
  GVariant *value;

  va_start (arguments, format);
  value = g_variant_new_parsed_va (format, &arguments);
  va_end (arguments);
  return value;
}

#define NOTHING g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0)
#define LABEL(text) g_variant_new_parsed ("{'label': <%s>}", text)

static char *
make_file (World *world, const char *name, const char *contents)
{
  char *path = g_build_filename (world->home, name, NULL);

  g_assert_true (g_file_set_contents (path, contents, -1, NULL));
  return path;
}

/* The status a call ended with, 0 for success; *ret_text (if not NULL) its text. */
static int
status_of (gboolean good, GError *error, char **ret_text)
{
  int status = good ? 0 : guard_error_exit_status (error);

  if (error)
    g_test_message ("%s", guard_client_error_text (error));
  if (ret_text)
    *ret_text = g_strdup (error ? guard_client_error_text (error) : "");
  g_clear_error (&error);
  return status;
}

static int
create (World *world, const char *name, GVariant *what, char **ret_text)
{
  g_autoptr (GVariant) machine = NULL;
  GError *error = NULL;
  gboolean good = bh_guard1_call_create_machine_sync (world->guard, name, what, &machine, NULL, &error);

  return status_of (good, error, ret_text);
}

static int
set (World *world, const char *name, GVariant *what, char **ret_text)
{
  g_autoptr (GVariant) machine = NULL;
  GError *error = NULL;
  gboolean good = bh_guard1_call_set_machine_sync (world->guard, name, what, &machine, NULL, &error);

  return status_of (good, error, ret_text);
}

static int
start (World *world, const char *name, char **ret_text)
{
  g_autoptr (GVariant) machine = NULL;
  GError *error = NULL;
  gboolean good = bh_guard1_call_start_sync (world->guard, name, NOTHING, &machine, NULL, &error);

  return status_of (good, error, ret_text);
}

static int
stop (World *world, const char *name)
{
  GError *error = NULL;
  gboolean good = bh_guard1_call_stop_sync (world->guard, name, TRUE, NULL, &error);

  return status_of (good, error, NULL);
}

static int
insert (World *world, const char *name, const char *slot, const char *path, char **ret_text)
{
  GError *error = NULL;
  gboolean good = bh_guard1_call_insert_sync (world->guard, name, slot, path, NOTHING, NULL, &error);

  return status_of (good, error, ret_text);
}

static GVariant *
get (World *world, const char *name)
{
  GVariant *machine = NULL;
  g_autoptr (GError) error = NULL;

  bh_guard1_call_get_machine_sync (world->guard, name, &machine, NULL, &error);
  return machine;
}

static char *
get_text (World *world, const char *name, const char *key)
{
  g_autoptr (GVariant) machine = get (world, name);
  char *text = NULL;

  g_assert_nonnull (machine);
  g_variant_lookup (machine, key, "s", &text);
  return text ? text : g_strdup ("");
}

static int
get_pid (World *world, const char *name)
{
  g_autoptr (GVariant) machine = get (world, name);
  int pid = 0;

  g_variant_lookup (machine, "pid", "i", &pid);
  return pid;
}

static gboolean
becomes (World *world, const char *name, const char *state, guint ms)
{
  for (guint i = 0; i <= ms / 10; i++)
    {
      g_autofree char *now = get_text (world, name, "state");

      if (g_str_equal (now, state))
        return TRUE;
      g_usleep (10000);
    }
  return FALSE;
}

static void
good (int status, const char *text)
{
  if (status)
    g_error ("status %d: %s", status, text);
}

static gboolean
audit_sound (World *world)
{
  g_autoptr (GVariant) result = NULL;
  gboolean ok = FALSE;

  g_assert_true (bh_guard1_call_verify_audit_sync (world->guard, &result, NULL, NULL));
  g_variant_lookup (result, "ok", "b", &ok);
  return ok;
}

static guint
audit_count (World *world, const char *text)
{
  g_auto (GStrv) records = NULL;

  g_assert_true (bh_guard1_call_list_audit_sync (world->guard, 0, options ("{'text': <%s>}", text), &records, NULL, NULL));
  return g_strv_length (records);
}

/* ------------------------------------------------------------------------------------------------ labels */

static void
test_no_machine_without_a_label (World *world, gconstpointer data)
{
  g_assert_cmpint (create (world, "plain", NOTHING, NULL), ==, GUARD_ERROR_USAGE);
  g_assert_cmpint (create (world, "odd", LABEL ("ULTRA VIOLET"), NULL), ==, GUARD_ERROR_FAILED);
  g_assert_cmpint (create (world, "odd", LABEL ("SECRET//REL TO USA, FVEY/NOFORN"), NULL), ==, GUARD_ERROR_FAILED);
  g_assert_cmpint (create (world, "odd", LABEL (""), NULL), ==, GUARD_ERROR_FAILED);
  g_assert_cmpint (create (world, "", LABEL ("SECRET"), NULL), ==, GUARD_ERROR_USAGE);
  g_assert_cmpint (create (world, "../x", LABEL ("SECRET"), NULL), ==, GUARD_ERROR_USAGE);
  g_assert_cmpint (create (world, "a\nb", LABEL ("SECRET"), NULL), ==, GUARD_ERROR_USAGE);
  g_assert_cmpint (create (world, "good", LABEL ("SECRET"), NULL), ==, 0);
  g_assert_cmpint (create (world, "good", LABEL ("SECRET"), NULL), ==, GUARD_ERROR_FAILED);
  g_assert_cmpint (start (world, "nobody", NULL), ==, GUARD_ERROR_NO_SUCH_MACHINE);
}

static void
test_relabel_only_upward_and_off (World *world, gconstpointer data)
{
  g_autofree char *text = NULL;
  g_autofree char *label = NULL;

  good (create (world, "m", LABEL ("CONFIDENTIAL"), &text), text);
  g_clear_pointer (&text, g_free);
  g_assert_cmpint (set (world, "m", LABEL ("UNCLASSIFIED"), &text), ==, GUARD_ERROR_REFUSED);
  g_assert_nonnull (strstr (text, "relabel"));
  g_assert_nonnull (strstr (text, "CONFIDENTIAL"));
  g_assert_nonnull (strstr (text, "UNCLASSIFIED"));
  g_assert_nonnull (strstr (text, "secrecy"));
  g_clear_pointer (&text, g_free);
  g_assert_cmpint (set (world, "m", LABEL ("CONFIDENTIAL [VERIFIED]"), &text), ==, GUARD_ERROR_REFUSED);
  g_assert_nonnull (strstr (text, "integrity"));
  g_assert_cmpint (set (world, "m", LABEL ("SECRET"), NULL), ==, 0);
  g_assert_cmpint (set (world, "m", LABEL ("CONFIDENTIAL"), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (start (world, "m", NULL), ==, 0);
  g_assert_cmpint (set (world, "m", LABEL ("TOP SECRET"), NULL), ==, GUARD_ERROR_WRONG_STATE);
  g_assert_cmpint (stop (world, "m"), ==, 0);
  g_assert_cmpint (set (world, "m", LABEL ("TOP SECRET"), NULL), ==, 0);
  label = get_text (world, "m", "label");
  g_assert_cmpstr (label, ==, "TOP SECRET");
}

static void
test_relabel_takes_media_along (World *world, gconstpointer data)
{
  g_autofree char *floppy = make_file (world, "f.img", "floppy");
  g_autofree char *text = NULL;

  good (create (world, "m", options ("{'label': <'CONFIDENTIAL'>, 'floppy': <%s>}", floppy), &text), text);
  good (create (world, "same", LABEL ("CONFIDENTIAL"), NULL), "");
  g_assert_cmpint (set (world, "m", LABEL ("SECRET"), NULL), ==, 0);
  g_assert_cmpint (insert (world, "same", "floppy0", floppy, NULL), ==, GUARD_ERROR_REFUSED);
}

static void
test_network_and_folder_labels (World *world, gconstpointer data)
{
  g_autofree char *folder = g_build_filename (world->home, "shared", NULL);
  g_autofree char *text = NULL;
  g_autofree char *network = NULL;
  GError *error = NULL;

  g_mkdir (folder, 0700);
  g_assert_true (bh_guard1_call_create_network_sync (world->guard, "hi", LABEL ("SECRET"), NULL, NULL));
  g_assert_true (bh_guard1_call_create_network_sync (world->guard, "lo", LABEL ("UNCLASSIFIED"), NULL, NULL));
  g_assert_true (bh_guard1_call_add_folder_sync (world->guard, "dir", folder, LABEL ("CONFIDENTIAL"), NULL, NULL));
  good (create (world, "low", options ("{'label': <'UNCLASSIFIED'>, 'network': <'lo'>}"), &text), text);
  g_clear_pointer (&text, g_free);
  good (create (world, "high", options ("{'label': <'SECRET'>, 'network': <'hi'>}"), &text), text);
  g_clear_pointer (&text, g_free);
  g_assert_cmpint (create (world, "no", options ("{'label': <'SECRET'>, 'network': <'lo'>}"), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (set (world, "low", options ("{'network': <'hi'>}"), &text), ==, GUARD_ERROR_REFUSED);
  g_assert_nonnull (strstr (text, "network-join"));
  g_assert_cmpint (set (world, "high", options ("{'network': <'lo'>}"), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (set (world, "low", options ("{'folder': <'dir'>}"), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (set (world, "high", options ("{'folder': <'dir'>}"), NULL), ==, 0);
  /* Relabelling detaches. */
  g_assert_cmpint (set (world, "low", LABEL ("CONFIDENTIAL"), NULL), ==, 0);
  network = get_text (world, "low", "network");
  g_assert_cmpstr (network, ==, "");
  g_assert_false (bh_guard1_call_delete_network_sync (world->guard, "hi", NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_WRONG_STATE);
  g_assert_true (bh_guard1_call_delete_network_sync (world->guard, "lo", NULL, NULL));
  /* NAT needs the uplink's label. */
  g_assert_false (bh_guard1_call_create_network_sync (world->guard, "nat", options ("{'label': <'SECRET'>, 'nat': <true>}"), NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_true (bh_guard1_call_create_network_sync (world->guard, "nat", options ("{'label': <'UNCLASSIFIED'>, 'nat': <true>}"), NULL, NULL));
}

static void
test_clone_is_never_below (World *world, gconstpointer data)
{
  g_autoptr (GVariant) copy = NULL;
  g_autofree char *label = NULL;
  GError *error = NULL;

  good (create (world, "source", options ("{'label': <'SECRET'>, 'disk': <'1M'>}"), NULL), "create");
  g_assert_false (bh_guard1_call_clone_machine_sync (world->guard, "source", "copy", LABEL ("UNCLASSIFIED"), &copy, NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_true (bh_guard1_call_clone_machine_sync (world->guard, "source", "same", NOTHING, &copy, NULL, NULL));
  g_clear_pointer (&copy, g_variant_unref);
  g_assert_true (bh_guard1_call_clone_machine_sync (world->guard, "source", "higher", LABEL ("TOP SECRET"), &copy, NULL, NULL));
  label = get_text (world, "same", "label");
  g_assert_cmpstr (label, ==, "SECRET");
}

static void
test_clearance_hides (World *world, gconstpointer data)
{
  g_autoptr (GVariant) login = NULL;
  g_autoptr (GVariant) machines = NULL;
  g_autofree char *text = NULL;
  GVariant *passphrase = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "correct horse", 13, 1);
  GError *error = NULL;

  good (create (world, "high", LABEL ("TOP SECRET"), NULL), "");
  good (create (world, "low", LABEL ("UNCLASSIFIED"), NULL), "");
  g_assert_false (bh_guard1_call_set_policy_sync (world->guard, "clearance-high", "CONFIDENTIAL", NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_true (bh_guard1_call_officer_login_sync (world->guard, passphrase, &login, NULL, NULL));
  g_assert_true (bh_guard1_call_set_policy_sync (world->guard, "clearance-high", "CONFIDENTIAL", NULL, NULL));
  g_assert_true (bh_guard1_call_officer_logout_sync (world->guard, NULL, NULL));
  g_assert_true (bh_guard1_call_list_machines_sync (world->guard, &machines, NULL, NULL));
  g_assert_cmpuint (g_variant_n_children (machines), ==, 1);
  g_assert_cmpint (start (world, "high", NULL), ==, GUARD_ERROR_NO_SUCH_MACHINE);
  g_assert_cmpint (create (world, "higher", LABEL ("SECRET"), &text), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (set (world, "low", LABEL ("SECRET"), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_false (bh_guard1_call_set_policy_sync (world->guard, "clearance-high", "TOP SECRET", NULL, &error));
  g_clear_error (&error);
  g_clear_pointer (&login, g_variant_unref);
  g_assert_false (bh_guard1_call_officer_login_sync (world->guard, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "wrong horse", 11, 1),
                                                     &login, NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
}

/* ------------------------------------------------------------------------------------------------ media */

static void
test_floppy_does_not_leak (World *world, gconstpointer data)
{
  g_autofree char *floppy = make_file (world, "f.img", "floppy");
  g_autofree char *renamed = g_build_filename (world->home, "g.img", NULL);
  g_autofree char *linked = g_build_filename (world->home, "h.img", NULL);
  g_autofree char *text = NULL;

  good (create (world, "high", options ("{'label': <'SECRET'>, 'floppy': <%s>}", floppy), &text), text);
  good (create (world, "low", LABEL ("UNCLASSIFIED"), NULL), "");
  good (start (world, "high", NULL), "start");
  g_clear_pointer (&text, g_free);
  g_assert_cmpint (insert (world, "low", "floppy0", floppy, &text), ==, GUARD_ERROR_REFUSED);
  g_assert_nonnull (strstr (text, "SECRET"));
  g_assert_nonnull (strstr (text, "floppy-read"));
  good (stop (world, "high"), "stop");
  g_assert_cmpint (insert (world, "low", "floppy0", floppy, NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (insert (world, "low", "cdrom0", floppy, NULL), ==, GUARD_ERROR_REFUSED);
  /* Neither a symbolic link nor another name helps. */
  g_assert_cmpint (symlink (floppy, linked), ==, 0);
  g_assert_cmpint (insert (world, "low", "floppy0", linked, NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (g_rename (floppy, renamed), ==, 0);
  g_assert_cmpint (insert (world, "low", "floppy0", renamed, NULL), ==, GUARD_ERROR_REFUSED);
  /* Nor a new guard. */
  stop_guard (world, SIGKILL);
  start_guard (world);
  g_assert_cmpint (insert (world, "low", "floppy0", renamed, NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_true (audit_sound (world));
}

static void
test_writable_medium_is_exclusive (World *world, gconstpointer data)
{
  g_autofree char *floppy = make_file (world, "f.img", "floppy");
  g_autofree char *text = NULL;

  good (create (world, "one", options ("{'label': <'SECRET'>, 'floppy': <%s>}", floppy), &text), text);
  good (create (world, "two", options ("{'label': <'SECRET'>, 'floppy': <%s>}", floppy), NULL), "");
  good (start (world, "one", NULL), "start");
  g_clear_pointer (&text, g_free);
  g_assert_cmpint (start (world, "two", &text), ==, GUARD_ERROR_WRONG_STATE);
  g_assert_nonnull (strstr (text, "\"one\""));
  g_assert_cmpint (insert (world, "two", "cdrom0", floppy, NULL), ==, 0);       /* not running: no claim */
  good (stop (world, "one"), "stop");
  good (start (world, "two", NULL), "start");
}

static void
test_machine_file_keeps_its_label (World *world, gconstpointer data)
{
  g_autofree char *file = g_build_filename (world->home, "vm.bulkhead", NULL);
  struct stat info;
  GError *error = NULL;

  good (create (world, "vm", options ("{'label': <'SECRET'>, 'disk': <'2M'>, 'file': <%s>}", file), NULL), "create");
  g_assert_cmpint (stat (file, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 077, ==, 0);
  good (create (world, "low", LABEL ("UNCLASSIFIED"), NULL), "");
  g_assert_cmpint (insert (world, "low", "cdrom0", file, NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (create (world, "thief", options ("{'label': <'UNCLASSIFIED'>, 'from-disk': <%s>, 'from': <'raw'>}", file), NULL), ==,
                   GUARD_ERROR_REFUSED);
  g_assert_false (bh_guard1_call_convert_sync (world->guard, file, "/tmp/never", options ("{'format': <'raw'>}"), NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_false (bh_guard1_call_export_machine_sync (world->guard, "vm", "/tmp/never", options ("{'format': <'raw'>}"), NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_false (g_file_test ("/tmp/never", G_FILE_TEST_EXISTS));
}

static void
test_odd_files_are_refused (World *world, gconstpointer data)
{
  g_autofree char *fifo = g_build_filename (world->home, "fifo", NULL);
  g_autofree char *log = g_build_filename (world->data, "bulkhead", "audit.jsonl", NULL);
  g_autofree char *key = g_build_filename (world->data, "bulkhead", "store.key", NULL);

  good (create (world, "m", LABEL ("SECRET"), NULL), "");
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_assert_cmpint (insert (world, "m", "floppy0", fifo, NULL), ==, GUARD_ERROR_FAILED);
  g_assert_cmpint (insert (world, "m", "floppy0", "/dev/null", NULL), ==, GUARD_ERROR_FAILED);
  g_assert_cmpint (insert (world, "m", "floppy0", world->home, NULL), ==, GUARD_ERROR_FAILED);
  g_assert_cmpint (insert (world, "m", "floppy0", "/nonexistent", NULL), ==, GUARD_ERROR_FAILED);
  g_assert_cmpint (insert (world, "m", "floppy0", "relative", NULL), ==, GUARD_ERROR_USAGE);
  g_assert_cmpint (insert (world, "m", "floppy0", log, NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (insert (world, "m", "floppy0", key, NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (insert (world, "m", "disk9", log, NULL), ==, GUARD_ERROR_USAGE);
}

static char *
find_output (const char *path)
{
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder)))
    {
      g_autofree char *below = g_build_filename (path, name, NULL);

      if (g_file_test (below, G_FILE_TEST_IS_DIR))
        {
          char *found = find_output (below);

          if (found)
            return found;
        }
      else
        return g_steal_pointer (&below);
    }
  return NULL;
}

static void
test_printer_file_keeps_its_label (World *world, gconstpointer data)
{
  g_autofree char *output = g_build_filename (world->data, "bulkhead", "output", NULL);
  g_autofree char *job = NULL;
  g_autofree char *text = NULL;
  struct stat info;

  /* 23 MiB: the monitor prints at once. */
  good (create (world, "press", options ("{'label': <'SECRET//NOFORN'>, 'memory': <uint32 23>, 'parallel': <'printer'>}"), &text), text);
  good (create (world, "reader", LABEL ("UNCLASSIFIED"), NULL), "");
  good (start (world, "press", NULL), "start");
  good (stop (world, "press"), "stop");
  job = find_output (output);
  g_assert_nonnull (job);
  g_assert_cmpint (stat (job, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0600);
  g_clear_pointer (&text, g_free);
  g_assert_true (g_file_get_contents (job, &text, NULL, NULL));
  g_assert_nonnull (strstr (text, "PRINTED-CANARY-77"));
  g_assert_true (strstr (text, "SECRET//NOFORN") < strstr (text, "PRINTED-CANARY-77"));
  g_assert_nonnull (strstr (strstr (text, "PRINTED-CANARY-77"), "SECRET//NOFORN"));
  g_assert_nonnull (strstr (text, "NOT RELEASABLE TO FOREIGN NATIONALS"));
  g_assert_cmpint (insert (world, "reader", "floppy0", job, NULL), ==, GUARD_ERROR_REFUSED);
}

/* ------------------------------------------------------------------------------------------------ monitors */

static int
create_sized (World *world, const char *name, guint memory)
{
  return create (world, name, options ("{'label': <'SECRET'>, 'memory': <%u>}", memory), NULL);
}

static void
test_life_of_a_machine (World *world, gconstpointer data)
{
  g_auto (GStrv) lines = NULL;
  g_autoptr (GVariant) statistics = NULL;
  GError *error = NULL;
  int pid;

  good (create (world, "m", LABEL ("SECRET"), NULL), "");
  g_assert_cmpint (stop (world, "m"), ==, GUARD_ERROR_WRONG_STATE);
  good (start (world, "m", NULL), "start");
  g_assert_cmpint (start (world, "m", NULL), ==, GUARD_ERROR_WRONG_STATE);
  pid = get_pid (world, "m");
  g_assert_cmpint (kill (pid, 0), ==, 0);
  g_assert_true (bh_guard1_call_type_sync (world->guard, "m", "hello", NULL, NULL));
  g_assert_true (bh_guard1_call_screen_text_sync (world->guard, "m", &lines, NULL, NULL));
  g_assert_cmpuint (g_strv_length (lines), ==, 3);
  g_assert_cmpstr (lines[1], ==, "?[31mred? \xef\xbf\xbd");       /* neutralised */
  g_assert_cmpstr (lines[2], ==, "hello");
  g_assert_true (bh_guard1_call_pause_sync (world->guard, "m", NULL, NULL));
  g_assert_true (becomes (world, "m", "paused", 0));
  g_assert_false (bh_guard1_call_type_sync (world->guard, "m", "x", NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_WRONG_STATE);
  g_assert_true (bh_guard1_call_resume_sync (world->guard, "m", NOTHING, NULL, NULL));
  g_assert_true (bh_guard1_call_statistics_sync (world->guard, "m", &statistics, NULL, NULL));
  g_assert_true (bh_guard1_call_suspend_sync (world->guard, "m", NULL, NULL));
  g_assert_true (becomes (world, "m", "suspended", 0));
  g_assert_cmpint (kill (pid, 0), ==, -1);
  /* A suspended machine stays one for the next guard. */
  stop_guard (world, SIGTERM);
  start_guard (world);
  g_assert_true (becomes (world, "m", "suspended", 0));
  g_assert_true (bh_guard1_call_resume_sync (world->guard, "m", NOTHING, NULL, NULL));
  g_assert_true (becomes (world, "m", "running", 0));
  g_assert_true (bh_guard1_call_type_sync (world->guard, "m", "poweroff", NULL, NULL));
  g_assert_true (becomes (world, "m", "off", 2000));
  g_assert_true (audit_sound (world));
}

static void
test_bad_monitors_end_alone (World *world, gconstpointer data)
{
  static const struct { guint memory; const char *state, *why; gboolean starts; } bad[] = {
    { 13, "crashed", "signal 6", TRUE }, { 14, "crashed", "broke the protocol", TRUE }, { 16, "crashed", "no such BIOS?", FALSE },
    { 18, "crashed", "broke the protocol", TRUE }, { 19, "crashed", "nobody asked", FALSE }, { 20, "off", "", TRUE },
    { 21, "crashed", "READY twice", FALSE }, { 25, "crashed", "broke the protocol", TRUE },
  };

  good (create_sized (world, "other", 32), "");
  good (start (world, "other", NULL), "start");
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *name = g_strdup_printf ("bad%u", bad[i].memory);
      g_autofree char *why = NULL;
      int status;

      good (create_sized (world, name, bad[i].memory), "");
      status = start (world, name, NULL);
      g_assert_cmpint (status == 0, ==, bad[i].starts);
      if (!becomes (world, name, bad[i].state, 3000))
        g_error ("%s does not become %s", name, bad[i].state);
      why = get_text (world, name, "error");
      if (!strstr (why, bad[i].why))
        g_error ("%s: \"%s\" instead of \"%s\"", name, why, bad[i].why);
      g_assert_cmpint (get_pid (world, name), ==, 0);
      g_assert_true (becomes (world, "other", "running", 0));
    }
  good (stop (world, "other"), "stop");
}

static void
test_screen_rows_out_of_order (World *world, gconstpointer data)
{
  g_auto (GStrv) lines = NULL;
  GError *error = NULL;

  good (create_sized (world, "m", 22), "");
  good (start (world, "m", NULL), "start");
  g_assert_false (bh_guard1_call_screen_text_sync (world->guard, "m", &lines, NULL, &error));
  g_clear_error (&error);
  g_assert_true (becomes (world, "m", "crashed", 2000));
}

static void
test_flood_is_bounded (World *world, gconstpointer data)
{
  g_autoptr (GVariant) machine = NULL;
  g_autoptr (GVariant) warnings = NULL;

  good (create_sized (world, "flood", 17), "");
  good (create_sized (world, "other", 32), "");
  good (start (world, "flood", NULL), "start");
  good (start (world, "other", NULL), "start");
  g_usleep (300000);
  machine = get (world, "flood");
  warnings = g_variant_lookup_value (machine, "warnings", NULL);
  g_assert_cmpuint (g_variant_n_children (warnings), <=, 32);
  good (stop (world, "other"), "stop");
  good (stop (world, "flood"), "stop");
}

static void
test_monitor_that_lingers_is_killed (World *world, gconstpointer data)
{
  good (create_sized (world, "m", 24), "");
  good (start (world, "m", NULL), "start");
  g_assert_true (becomes (world, "m", "off", 8000) || becomes (world, "m", "crashed", 0));
}

static void
test_killed_monitor_is_noticed_at_once (World *world, gconstpointer data)
{
  good (create (world, "one", LABEL ("SECRET"), NULL), "");
  good (create (world, "two", LABEL ("UNCLASSIFIED"), NULL), "");
  good (start (world, "one", NULL), "");
  good (start (world, "two", NULL), "");
  kill (get_pid (world, "one"), SIGKILL);
  g_assert_true (becomes (world, "one", "crashed", 1000));
  g_assert_true (becomes (world, "two", "running", 0));
  good (start (world, "one", NULL), "again");
  g_assert_true (becomes (world, "one", "running", 0));
}

static gboolean
gone (int pid, guint ms)
{
  for (guint i = 0; i <= ms / 20; i++)
    {
      g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
      g_autofree char *text = NULL;

      if (!g_file_get_contents (path, &text, NULL, NULL) || strstr (text, ") Z "))
        return TRUE;
      g_usleep (20000);
    }
  return FALSE;
}

static void
test_guards_death_ends_monitors (World *world, gconstpointer data)
{
  int one, two;

  good (create (world, "one", LABEL ("SECRET"), NULL), "");
  good (create (world, "two", LABEL ("UNCLASSIFIED"), NULL), "");
  good (start (world, "one", NULL), "");
  good (start (world, "two", NULL), "");
  one = get_pid (world, "one");
  two = get_pid (world, "two");
  stop_guard (world, SIGKILL);
  g_assert_true (gone (one, 5000) && gone (two, 5000));
  start_guard (world);
  g_assert_true (becomes (world, "one", "off", 0));
  g_assert_true (audit_sound (world));
  good (start (world, "one", NULL), "again");
}

static void
test_removed_socket_ends_the_guard (World *world, gconstpointer data)
{
  g_autofree char *socket = g_build_filename (world->runtime, "bulkhead", "guard.sock", NULL);
  int monitor, guard = world->pid;

  good (create (world, "m", LABEL ("SECRET"), NULL), "");
  good (start (world, "m", NULL), "");
  monitor = get_pid (world, "m");
  g_assert_cmpint (g_unlink (socket), ==, 0);
  g_assert_true (gone (guard, 6000) && gone (monitor, 6000));
}

static void
test_second_guard_gives_way (World *world, gconstpointer data)
{
  g_autoptr (GVariant) status = NULL;
  GPid first = world->pid;
  int pid = 0;

  world->pid = 0;
  g_clear_object (&world->guard);
  start_guard (world);
  g_assert_true (bh_guard1_call_status_sync (world->guard, &status, NULL, NULL));
  g_variant_lookup (status, "pid", "i", &pid);
  g_assert_cmpint (pid, ==, first);
  waitpid (world->pid, NULL, 0);        /* the second one ended by itself */
  world->pid = first;
}

/* ------------------------------------------------------------------------------------------------ console */

static void
test_console_descriptors (World *world, gconstpointer data)
{
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) display = NULL;
  g_autoptr (GVariant) frame = NULL;
  g_autoptr (GVariant) input = NULL;
  g_autoptr (GVariant) sound = NULL;
  g_autoptr (GVariant) info = NULL;
  InputMessage key = { .type = INPUT_KEY, .code = 30, .value_x = 1 };
  DisplayHeader header;
  struct stat status;
  int fd, socket;

  good (create (world, "m", LABEL ("SECRET"), NULL), "");
  good (start (world, "m", NULL), "");
  g_assert_true (bh_guard1_call_open_console_sync (world->guard, "m", NOTHING, NULL, &display, &frame, &input, &sound, &info, &fds, NULL, NULL));
  fd = g_unix_fd_list_get (fds, g_variant_get_handle (display), NULL);
  g_assert_cmpint (fstat (fd, &status), ==, 0);
  g_assert_cmpint (status.st_size, ==, DISPLAY_FILE_BYTES);
  g_assert_cmpint (fcntl (fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), ==, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  g_assert_cmpint (fcntl (fd, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
  g_assert_true (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  g_assert_cmpint (pread (fd, &header, sizeof header, 0), ==, sizeof header);
  g_assert_cmpuint (header.width, ==, 64);
  close (fd);
  socket = g_unix_fd_list_get (fds, g_variant_get_handle (input), NULL);
  g_assert_cmpint (send (socket, &key, sizeof key, MSG_NOSIGNAL), ==, sizeof key);
  good (stop (world, "m"), "");
  /* The other end is gone with the monitor. */
  {
    struct pollfd wait = { socket, POLLIN, 0 };

    g_assert_cmpint (poll (&wait, 1, 2000), ==, 1);
    g_assert_true (wait.revents & POLLHUP);
  }
  close (socket);
}

static void
test_serial_console (World *world, gconstpointer data)
{
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) handle = NULL;
  struct pollfd wait = { -1, POLLIN, 0 };
  char text[16] = "";
  GError *error = NULL;

  good (create (world, "m", LABEL ("SECRET"), NULL), "");
  good (start (world, "m", NULL), "");
  g_assert_true (bh_guard1_call_open_serial_sync (world->guard, "m", 0, NULL, &handle, &fds, NULL, NULL));
  wait.fd = g_unix_fd_list_get (fds, g_variant_get_handle (handle), NULL);
  g_assert_cmpint (poll (&wait, 1, 2000), ==, 1);
  g_assert_cmpint (read (wait.fd, text, sizeof text - 1), ==, 7);
  g_assert_cmpstr (text, ==, "login: ");
  close (wait.fd);
  g_clear_pointer (&handle, g_variant_unref);
  g_clear_object (&fds);
  g_assert_false (bh_guard1_call_open_serial_sync (world->guard, "m", 1, NULL, &handle, &fds, NULL, &error));
  g_clear_error (&error);
}

static void
test_screenshot_is_stamped_and_decided (World *world, gconstpointer data)
{
  g_autofree char *path = g_build_filename (world->home, "s.png", NULL);
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GVariant) info = NULL;
  g_autofree char *png = NULL;
  GError *error = NULL;
  guint height = 0;
  gsize n;

  good (create (world, "high", LABEL ("SECRET"), NULL), "");
  good (create (world, "low", LABEL ("UNCLASSIFIED"), NULL), "");
  good (start (world, "high", NULL), "");
  good (start (world, "low", NULL), "");
  g_assert_false (bh_guard1_call_screenshot_sync (world->guard, "high", options ("{'path': <%s>}", path), NULL, &handle, &info, &fds, NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_true (bh_guard1_call_screenshot_sync (world->guard, "low", options ("{'path': <%s>}", path), NULL, &handle, &info, &fds, NULL, NULL));
  g_variant_lookup (info, "height", "u", &height);
  g_assert_cmpuint (height, ==, 48 + 2 * 22);
  g_assert_true (g_file_get_contents (path, &png, &n, NULL));
  g_assert_cmpmem (png, 8, "\x89PNG\r\n\x1a\n", 8);
  g_assert_nonnull (memmem (png + 33, 64, "UNCLASSIFIED", 12));
}

static void
test_officer_switches_the_console_off (World *world, gconstpointer data)
{
  g_autoptr (GVariant) login = NULL;
  g_auto (GStrv) lines = NULL;
  GVariant *passphrase = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "correct horse", 13, 1);
  GError *error = NULL;

  good (create (world, "m", LABEL ("SECRET"), NULL), "");
  good (start (world, "m", NULL), "");
  g_assert_true (bh_guard1_call_officer_login_sync (world->guard, passphrase, &login, NULL, NULL));
  g_assert_true (bh_guard1_call_set_policy_sync (world->guard, "console", "off", NULL, NULL));
  g_assert_false (bh_guard1_call_screen_text_sync (world->guard, "m", &lines, NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_false (bh_guard1_call_type_sync (world->guard, "m", "x", NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_false (bh_guard1_call_key_sync (world->guard, "m", "a", NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
}

/* ------------------------------------------------------------------------------------------------ clipboard */

static int
put_host (World *world, const char *text)
{
  GError *error = NULL;
  gboolean done = bh_guard1_call_put_host_clipboard_sync (world->guard, "text/plain",
                                                          g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1), NULL, &error);

  return status_of (done, error, NULL);
}

static int
give (World *world, const char *name, char **ret_text)
{
  g_autoptr (GVariant) given = NULL;
  GError *error = NULL;
  gboolean done = bh_guard1_call_give_clipboard_sync (world->guard, name, NOTHING, &given, NULL, &error);

  return status_of (done, error, ret_text);
}

static gboolean
clipboard_full (World *world)
{
  g_autoptr (GVariant) status = NULL;
  gboolean full = FALSE;

  g_assert_true (bh_guard1_call_clipboard_status_sync (world->guard, &status, NULL, NULL));
  g_variant_lookup (status, "full", "b", &full);
  return full;
}

static void
test_clipboard_two_steps (World *world, gconstpointer data)
{
  g_autofree char *text = NULL;
  g_autofree char *big = g_strnfill (70000, 'x');
  g_auto (GStrv) lines = NULL;

  good (create (world, "low", LABEL ("UNCLASSIFIED"), NULL), "");
  good (create (world, "high", LABEL ("SECRET"), NULL), "");
  good (start (world, "low", NULL), "");
  good (start (world, "high", NULL), "");
  g_assert_cmpint (give (world, "low", NULL), ==, GUARD_ERROR_FAILED);          /* empty */
  g_assert_cmpint (put_host (world, big), ==, GUARD_ERROR_FAILED);
  good (put_host (world, "pasted"), "");
  /* Lawful one way, but not enabled. */
  g_assert_cmpint (give (world, "high", &text), ==, GUARD_ERROR_REFUSED);
  g_assert_nonnull (strstr (text, "clipboard-paste"));
  g_assert_true (clipboard_full (world));
  good (give (world, "low", NULL), "");
  g_assert_false (clipboard_full (world));
  g_assert_true (bh_guard1_call_screen_text_sync (world->guard, "low", &lines, NULL, NULL));
  g_assert_cmpstr (lines[2], ==, "pasted");
  good (put_host (world, "again"), "");
  g_assert_true (bh_guard1_call_clear_clipboard_sync (world->guard, NULL, NULL));
  g_assert_false (clipboard_full (world));
}

static void
test_clipboard_times_out (World *world, gconstpointer data)
{
  g_autoptr (GVariant) login = NULL;
  GVariant *passphrase = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "correct horse", 13, 1);

  g_assert_true (bh_guard1_call_officer_login_sync (world->guard, passphrase, &login, NULL, NULL));
  g_assert_true (bh_guard1_call_set_policy_sync (world->guard, "clipboard-seconds", "1", NULL, NULL));
  good (put_host (world, "short"), "");
  g_assert_true (clipboard_full (world));
  g_usleep (2300000);
  g_assert_false (clipboard_full (world));
}

typedef struct { guint64 id; gboolean allow; guint n; } Answer;

static void
on_question (BhGuard1 *guard, guint64 id, GVariant *question, gpointer user_data)
{
  Answer *answer = user_data;
  const char *from = "", *to = "";

  g_variant_lookup (question, "from-label", "&s", &from);
  g_variant_lookup (question, "to-label", "&s", &to);
  g_assert_cmpstr (from, ==, "UNCLASSIFIED");
  g_assert_cmpstr (to, ==, "SECRET");
  answer->id = id;
  answer->n++;
  bh_guard1_call_answer_question (guard, id, answer->allow, NULL, NULL, NULL);
}

static void
on_given (GObject *source, GAsyncResult *result, gpointer user_data)
{
  int *status = user_data;
  g_autoptr (GVariant) given = NULL;
  GError *error = NULL;
  gboolean done = bh_guard1_call_give_clipboard_finish (BH_GUARD1 (source), &given, result, &error);

  *status = status_of (done, error, NULL);
}

static void
test_question_decides (World *world, gconstpointer data)
{
  g_autoptr (GVariant) login = NULL;
  GVariant *passphrase = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "correct horse", 13, 1);
  Answer answer = { 0 };

  good (create (world, "high", LABEL ("SECRET"), NULL), "");
  good (start (world, "high", NULL), "");
  g_assert_true (bh_guard1_call_officer_login_sync (world->guard, passphrase, &login, NULL, NULL));
  g_assert_true (bh_guard1_call_set_policy_sync (world->guard, "clipboard-one-way", "ask", NULL, NULL));
  g_signal_connect (world->guard, "question", G_CALLBACK (on_question), &answer);
  for (int allow = 0; allow < 2; allow++)
    {
      int status = -1;

      answer.allow = allow;
      good (put_host (world, "asked"), "");
      bh_guard1_call_give_clipboard (world->guard, "high", NOTHING, NULL, on_given, &status);
      while (status < 0)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpint (status, ==, allow ? 0 : GUARD_ERROR_REFUSED);
      g_assert_cmpuint (answer.n, ==, (guint) allow + 1);
      g_assert_cmpint (clipboard_full (world), ==, !allow);
    }
}

static void
test_drag_out_is_always_refused (World *world, gconstpointer data)
{
  g_autoptr (GVariant) decision = NULL;
  const char *verdict = "";

  good (create (world, "low", LABEL ("UNCLASSIFIED"), NULL), "");
  good (create (world, "high", LABEL ("SECRET"), NULL), "");
  g_assert_true (bh_guard1_call_decide_drag_sync (world->guard, "low", "drag-out", &decision, NULL, NULL));
  g_variant_lookup (decision, "verdict", "&s", &verdict);
  g_assert_cmpstr (verdict, ==, "deny");
  g_clear_pointer (&decision, g_variant_unref);
  g_assert_true (bh_guard1_call_decide_drag_sync (world->guard, "low", "drag-in", &decision, NULL, NULL));
  g_variant_lookup (decision, "verdict", "&s", &verdict);
  g_assert_cmpstr (verdict, ==, "allow");
  g_clear_pointer (&decision, g_variant_unref);
  g_assert_true (bh_guard1_call_decide_drag_sync (world->guard, "high", "drag-in", &decision, NULL, NULL));
  g_variant_lookup (decision, "verdict", "&s", &verdict);
  g_assert_cmpstr (verdict, ==, "deny");
}

/* ------------------------------------------------------------------------------------------------ regrade, audit */

static void
test_regrade_needs_two_roles (World *world, gconstpointer data)
{
  g_autofree char *file = make_file (world, "report.txt", "to be released");
  g_autofree char *id = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GVariant) login = NULL;
  GVariant *passphrase = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "correct horse", 13, 1);
  const char *output = "";
  g_autofree char *contents = NULL;
  GError *error = NULL;

  g_assert_true (bh_guard1_call_register_medium_sync (world->guard, file, LABEL ("SECRET"), NULL, NULL));
  g_assert_false (bh_guard1_call_request_regrade_sync (world->guard, file, "UNCLASSIFIED", NOTHING, &id, NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_USAGE);    /* no reason */
  g_assert_true (bh_guard1_call_request_regrade_sync (world->guard, file, "UNCLASSIFIED", options ("{'reason': <'published'>}"), &id, NULL, NULL));
  g_assert_false (bh_guard1_call_approve_regrade_sync (world->guard, id, NOTHING, &result, NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_true (bh_guard1_call_officer_login_sync (world->guard, passphrase, &login, NULL, NULL));
  {
    g_autofree char *second = NULL;

    g_assert_false (bh_guard1_call_request_regrade_sync (world->guard, file, "UNCLASSIFIED", options ("{'reason': <'x'>}"), &second, NULL, &error));
    g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_REFUSED);
  }
  /* What changed since the request is not what was asked for. */
  g_assert_true (g_file_set_contents (file, "something else", -1, NULL));
  g_assert_false (bh_guard1_call_approve_regrade_sync (world->guard, id, NOTHING, &result, NULL, &error));
  g_assert_cmpint (status_of (FALSE, g_steal_pointer (&error), NULL), ==, GUARD_ERROR_FAILED);
  g_assert_true (g_file_set_contents (file, "to be released", -1, NULL));
  g_assert_true (bh_guard1_call_approve_regrade_sync (world->guard, id, NOTHING, &result, NULL, NULL));
  g_variant_lookup (result, "output", "&s", &output);
  g_assert_true (g_file_get_contents (output, &contents, NULL, NULL));
  g_assert_cmpstr (contents, ==, "to be released");
  g_assert_true (bh_guard1_call_officer_logout_sync (world->guard, NULL, NULL));
  good (create (world, "low", LABEL ("UNCLASSIFIED"), NULL), "");
  g_assert_cmpint (insert (world, "low", "cdrom0", output, NULL), ==, 0);
  g_assert_cmpint (insert (world, "low", "cdrom0", file, NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_true (audit_sound (world));
}

static void
test_damaged_audit_denies_everything (World *world, gconstpointer data)
{
  g_autofree char *log = g_build_filename (world->data, "bulkhead", "audit.jsonl", NULL);
  g_autofree char *text = NULL;
  g_autofree char *why = NULL;
  gsize n;

  good (create (world, "m", LABEL ("SECRET"), NULL), "");
  g_assert_true (g_file_get_contents (log, &text, &n, NULL));
  g_assert_cmpint (truncate (log, (off_t) n - 10), ==, 0);
  g_assert_cmpint (start (world, "m", &why), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (create (world, "x", LABEL ("SECRET"), NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (put_host (world, "x"), ==, GUARD_ERROR_REFUSED);
  g_assert_false (audit_sound (world));
}

static void
test_damaged_encodings_deny_everything (World *world, gconstpointer data)
{
  g_autofree char *file = g_build_filename (world->home, "own.encodings", NULL);
  g_autofree char *source = g_test_build_filename (G_TEST_DIST, "..", "..", "data", "encodings", "personal.encodings", NULL);
  g_autofree char *text = NULL;
  g_autoptr (GVariant) login = NULL;
  GVariant *passphrase = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "correct horse", 13, 1);
  GError *error = NULL;

  g_assert_true (g_file_get_contents (source, &text, NULL, NULL));
  g_assert_true (g_file_set_contents (file, text, -1, NULL));
  g_assert_true (bh_guard1_call_officer_login_sync (world->guard, passphrase, &login, NULL, NULL));
  g_assert_false (bh_guard1_call_set_policy_sync (world->guard, "encodings", "/nonexistent", NULL, &error));
  g_clear_error (&error);
  g_assert_true (bh_guard1_call_set_policy_sync (world->guard, "encodings", file, NULL, NULL));
  good (create (world, "m", LABEL ("PRIVATE//BANKING"), NULL), "");
  good (start (world, "m", NULL), "");
  good (stop (world, "m"), "");
  stop_guard (world, SIGTERM);
  g_assert_true (g_file_set_contents (file, "nonsense\n", -1, NULL));
  start_guard (world);
  g_assert_cmpint (start (world, "m", NULL), ==, GUARD_ERROR_REFUSED);
  g_assert_cmpint (create (world, "x", LABEL ("PRIVATE"), NULL), ==, GUARD_ERROR_REFUSED);
}

/* A record that was changed or put back does not come up with a lower label. */
static void
test_record_cannot_be_edited_or_put_back (World *world, gconstpointer data)
{
  g_autofree char *uuid = NULL;
  g_autofree char *path = NULL;
  g_autofree char *old = NULL;
  g_autofree char *name = NULL;
  g_autoptr (GVariant) machine = NULL;
  gsize n;

  good (create (world, "m", LABEL ("CONFIDENTIAL"), NULL), "");
  uuid = get_text (world, "m", "uuid");
  name = g_strconcat (uuid, ".machine", NULL);
  path = g_build_filename (world->data, "bulkhead", "machines", name, NULL);
  g_assert_true (g_file_get_contents (path, &old, &n, NULL));
  good (set (world, "m", LABEL ("SECRET"), NULL), "");
  stop_guard (world, SIGTERM);
  g_assert_true (g_file_set_contents (path, old, (gssize) n, NULL));
  start_guard (world);
  machine = get (world, "m");
  g_assert_null (machine);
}

static void
test_every_decision_leaves_a_record (World *world, gconstpointer data)
{
  g_autofree char *floppy = make_file (world, "f.img", "floppy");

  good (create (world, "high", options ("{'label': <'SECRET'>, 'floppy': <%s>}", floppy), NULL), "");
  good (create (world, "low", LABEL ("UNCLASSIFIED"), NULL), "");
  g_assert_cmpuint (audit_count (world, "\"result\":\"deny\""), ==, 0);
  insert (world, "low", "floppy0", floppy, NULL);
  g_assert_cmpuint (audit_count (world, "\"result\":\"deny\""), ==, 1);
  insert (world, "low", "floppy0", floppy, NULL);
  g_assert_cmpuint (audit_count (world, "\"result\":\"deny\""), ==, 2);
}

/* Queries leave none. */
static void
test_queries_leave_no_record (World *world, gconstpointer data)
{
  static const char *const lines[] = { "s3:0,5/i1 s4:0,5/i0 folder-read", "s3/i1 s2/i1 folder-read", "s9/i9 s9/i9 nat", NULL };
  g_autoptr (GVariant) answers = NULL;
  const char *verdict, *rule;
  guint before = audit_count (world, "");

  g_assert_true (bh_guard1_call_decide_batch_sync (world->guard, lines, &answers, NULL, NULL));
  g_assert_cmpuint (g_variant_n_children (answers), ==, 3);
  g_variant_get_child (answers, 0, "(&s&s)", &verdict, &rule);
  g_assert_cmpstr (verdict, ==, "allow");
  g_variant_get_child (answers, 1, "(&s&s)", &verdict, &rule);
  g_assert_cmpstr (verdict, ==, "deny");
  g_assert_cmpuint (audit_count (world, ""), ==, before);
}

/* ------------------------------------------------------------------------------------------------ hostile peers */

static void
test_random_calls_do_no_harm (World *world, gconstpointer data)
{
  const GDBusInterfaceInfo *info = bh_guard1_interface_info ();
  GDBusConnection *connection = g_dbus_proxy_get_connection (G_DBUS_PROXY (world->guard));
  static const char *const types[] = { "(s)", "(sa{sv})", "(ss)", "(sss)", "(u)", "(a{sv})", "()", "(b)", "(t)", "(ay)", "(as)", "(ssa{sv})" };
  g_autoptr (GVariant) status = NULL;

  good (create (world, "m", LABEL ("SECRET"), NULL), "");
  for (guint i = 0; info->methods[i]; i++)
    for (guint t = 0; t < G_N_ELEMENTS (types); t++)
      {
        g_autoptr (GVariant) reply = NULL;
        g_autoptr (GError) error = NULL;
        GVariant *arguments;

        if (g_str_equal (info->methods[i]->name, "OfficerLogin") || g_str_has_suffix (info->methods[i]->name, "Start"))
          continue;
        arguments = t == 0 ? g_variant_new (types[t], "m") : t == 1 ? g_variant_new ("(s@a{sv})", "m", g_variant_new_parsed ("{'label': <1>, 'memory': <'x'>, 'floppy': <2>, 'attach': <'y'>, 'path': <3>}"))
                    : t == 2 ? g_variant_new (types[t], "m", "\x7f") : t == 3 ? g_variant_new (types[t], "m", "m", "nat")
                    : t == 4 ? g_variant_new (types[t], 0xffffffffu) : t == 5 ? g_variant_new ("(@a{sv})", NOTHING)
                    : t == 6 ? NULL : t == 7 ? g_variant_new (types[t], TRUE) : t == 8 ? g_variant_new (types[t], G_MAXUINT64)
                    : t == 9 ? g_variant_new ("(@ay)", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "x", 1, 1))
                    : t == 10 ? g_variant_new ("(@as)", g_variant_new_strv (NULL, 0)) : g_variant_new ("(ss@a{sv})", "m", "x", NOTHING);
        reply = g_dbus_connection_call_sync (connection, NULL, GUARD_OBJECT_PATH, "io.github.bulkhead.Guard1", info->methods[i]->name,
                                             arguments, NULL, G_DBUS_CALL_FLAGS_NONE, 40000, NULL, &error);
        g_assert_true (reply || error);
      }
  g_assert_true (bh_guard1_call_status_sync (world->guard, &status, NULL, NULL));
}

static void
test_guard_hides_and_hardens (World *world, gconstpointer data)
{
  g_autofree char *limits_path = g_strdup_printf ("/proc/%d/limits", world->pid);
  g_autofree char *limits = NULL;
  g_autofree char *socket = g_build_filename (world->runtime, "bulkhead", NULL);
  g_autofree char *folder = g_build_filename (world->data, "bulkhead", NULL);
  struct stat info;

  g_assert_true (g_file_get_contents (limits_path, &limits, NULL, NULL));
  g_assert_nonnull (strstr (limits, "Max core file size        0                    0"));
  g_assert_cmpint (stat (socket, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0700);
  g_assert_cmpint (stat (folder, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0700);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  guard_error_quark ();
#define ADD(path, function) g_test_add (path, World, NULL, set_up, function, tear_down)
  ADD ("/guard/no-machine-without-a-label", test_no_machine_without_a_label);
  ADD ("/guard/relabel-only-upward-and-off", test_relabel_only_upward_and_off);
  ADD ("/guard/relabel-takes-media-along", test_relabel_takes_media_along);
  ADD ("/guard/network-and-folder-labels", test_network_and_folder_labels);
  ADD ("/guard/clone-is-never-below", test_clone_is_never_below);
  ADD ("/guard/clearance-hides", test_clearance_hides);
  ADD ("/guard/floppy-does-not-leak", test_floppy_does_not_leak);
  ADD ("/guard/writable-medium-is-exclusive", test_writable_medium_is_exclusive);
  ADD ("/guard/machine-file-keeps-its-label", test_machine_file_keeps_its_label);
  ADD ("/guard/odd-files-are-refused", test_odd_files_are_refused);
  ADD ("/guard/printer-file-keeps-its-label", test_printer_file_keeps_its_label);
  ADD ("/guard/life-of-a-machine", test_life_of_a_machine);
  ADD ("/guard/bad-monitors-end-alone", test_bad_monitors_end_alone);
  ADD ("/guard/screen-rows-out-of-order", test_screen_rows_out_of_order);
  ADD ("/guard/flood-is-bounded", test_flood_is_bounded);
  ADD ("/guard/monitor-that-lingers-is-killed", test_monitor_that_lingers_is_killed);
  ADD ("/guard/killed-monitor-is-noticed-at-once", test_killed_monitor_is_noticed_at_once);
  ADD ("/guard/guards-death-ends-monitors", test_guards_death_ends_monitors);
  ADD ("/guard/removed-socket-ends-the-guard", test_removed_socket_ends_the_guard);
  ADD ("/guard/second-guard-gives-way", test_second_guard_gives_way);
  ADD ("/guard/console-descriptors", test_console_descriptors);
  ADD ("/guard/serial-console", test_serial_console);
  ADD ("/guard/screenshot-is-stamped-and-decided", test_screenshot_is_stamped_and_decided);
  ADD ("/guard/officer-switches-the-console-off", test_officer_switches_the_console_off);
  ADD ("/guard/clipboard-two-steps", test_clipboard_two_steps);
  ADD ("/guard/clipboard-times-out", test_clipboard_times_out);
  ADD ("/guard/question-decides", test_question_decides);
  ADD ("/guard/drag-out-is-always-refused", test_drag_out_is_always_refused);
  ADD ("/guard/regrade-needs-two-roles", test_regrade_needs_two_roles);
  ADD ("/guard/damaged-audit-denies-everything", test_damaged_audit_denies_everything);
  ADD ("/guard/damaged-encodings-deny-everything", test_damaged_encodings_deny_everything);
  ADD ("/guard/record-cannot-be-edited-or-put-back", test_record_cannot_be_edited_or_put_back);
  ADD ("/guard/every-decision-leaves-a-record", test_every_decision_leaves_a_record);
  ADD ("/guard/queries-leave-no-record", test_queries_leave_no_record);
  ADD ("/guard/random-calls-do-no-harm", test_random_calls_do_no_harm);
  ADD ("/guard/guard-hides-and-hardens", test_guard_hides_and_hardens);
  return g_test_run ();
}
