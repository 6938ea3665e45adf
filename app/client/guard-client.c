/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "guard-client.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum
{
  CONNECT_ATTEMPTS = 4,
  READY_TIMEOUT_MS = 15000,
  CALL_TIMEOUT_MS  = 10 * 60 * 1000,    /* a clone of a large disk takes its time */
};

char *
guard_client_socket_path (void)
{
  return g_build_filename (g_get_user_runtime_dir (), "bulkhead", "guard.sock", NULL);
}

/* Where each program lies relative to the folder of another one: first the installed layout (bin/ and libexec/
 * bulkhead/), then the build tree, in which bulkhead-ctl is app/ctl/bulkhead-ctl and the monitor
 * monitor/bulkhead-monitor. */
char *
guard_client_find_program (const char *name)
{
  static const char *const places[] = {
    "%s", "../libexec/bulkhead/%s", "../../bin/%s",
    "guard/%s", "ctl/%s", "../monitor/%s", "../network/%s", "../folder/%s",      /* from build/app */
    "../guard/%s", "../ctl/%s", "../%s", "../../monitor/%s", "../../monitor/network/%s", "../../network/%s", "../../folder/%s",
    "../app/guard/%s", "../app/ctl/%s", "../app/%s",                    /* from build/monitor */
    "../../app/guard/%s", "../../app/ctl/%s", "../../app/%s",           /* from build/tests/guard */
  };
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self ? g_path_get_dirname (self) : NULL;

  if (!folder)
    return NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autofree char *relative = g_strdup_printf (places[i], name);
      g_autofree char *path = g_canonicalize_filename (relative, folder);

      if (g_file_test (path, G_FILE_TEST_IS_REGULAR) && access (path, X_OK) == 0)
        return g_steal_pointer (&path);
    }
  return NULL;
}

static void
detach_child (gpointer user_data)
{
  /* The guard outlives the terminal of whoever happened to need it first. */
  setsid ();
  fcntl (GPOINTER_TO_INT (user_data), F_SETFD, 0);
}

/* Starts a guard and waits until it says "ready" (or that another one runs).  Its standard streams go to /dev/null:
 * it must not keep a pipe of the caller's open. */
static gboolean
start_guard (GError **error)
{
  g_autofree char *program = guard_client_find_program ("bulkhead-guard");
  g_autofree char *ready_option = NULL;
  char answer[512] = "";
  gsize n_answer = 0;
  gint64 deadline;
  int ends[2];

  if (!program)
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED,
                           "bulkhead-guard does not lie beside this program; reinstall or rebuild Bulkhead");
      return FALSE;
    }
  if (!g_unix_open_pipe (ends, FD_CLOEXEC, error))
    return FALSE;
  ready_option = g_strdup_printf ("--ready-fd=%d", ends[1]);
  {
    char *argv[] = { program, ready_option, NULL };
    gboolean spawned = g_spawn_async ("/", argv, NULL,
                                      G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL
                                        | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                                      detach_child, GINT_TO_POINTER (ends[1]), NULL, error);

    close (ends[1]);
    if (!spawned)
      {
        close (ends[0]);
        return FALSE;
      }
  }
  deadline = g_get_monotonic_time () + READY_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
  for (;;)
    {
      struct pollfd wait = { ends[0], POLLIN, 0 };
      gint64 left = (deadline - g_get_monotonic_time ()) / G_TIME_SPAN_MILLISECOND;
      ssize_t n;

      if (left <= 0)
        break;
      if (poll (&wait, 1, (int) left) <= 0)
        continue;
      n = read (ends[0], answer + n_answer, sizeof answer - 1 - n_answer);
      if (n <= 0)
        break;
      n_answer += (gsize) n;
      answer[n_answer] = '\0';
      if (strchr (answer, '\n') || n_answer == sizeof answer - 1)
        break;
    }
  close (ends[0]);
  g_strchomp (answer);
  if (g_str_equal (answer, "ready"))
    return TRUE;
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the guard does not start: %s",
               *answer ? answer : "it ended without a word");
  return FALSE;
}

static BhGuard1 *
connect_once (const char *path, GCancellable *cancellable, GError **error)
{
  g_autofree char *escaped = g_dbus_address_escape_value (path);
  g_autofree char *address = g_strconcat ("unix:path=", escaped, NULL);
  g_autoptr (GDBusConnection) connection = NULL;
  g_autoptr (BhGuard1) guard = NULL;
  g_autoptr (GVariant) status = NULL;

  connection = g_dbus_connection_new_for_address_sync (address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL,
                                                       cancellable, error);
  if (!connection)
    return NULL;
  g_dbus_connection_set_exit_on_close (connection, FALSE);
  guard = bh_guard1_proxy_new_sync (connection, G_DBUS_PROXY_FLAGS_DO_NOT_LOAD_PROPERTIES, NULL, GUARD_OBJECT_PATH,
                                    cancellable, error);
  if (!guard)
    return NULL;
  g_dbus_proxy_set_default_timeout (G_DBUS_PROXY (guard), CALL_TIMEOUT_MS);
  /* A guard about to end may still have accepted us: the first call tells. */
  if (!bh_guard1_call_status_sync (guard, &status, cancellable, error))
    return NULL;
  return g_steal_pointer (&guard);
}

BhGuard1 *
guard_client_connect_sync (GuardClientFlags flags, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = guard_client_socket_path ();
  g_autoptr (GError) local = NULL;

  g_return_val_if_fail (error == NULL || *error == NULL, NULL);
  guard_error_quark ();
  for (int attempt = 0; attempt < CONNECT_ATTEMPTS; attempt++)
    {
      BhGuard1 *guard;

      g_clear_error (&local);
      guard = connect_once (path, cancellable, &local);
      if (guard)
        return guard;
      if (g_cancellable_is_cancelled (cancellable) || !(flags & GUARD_CLIENT_START))
        break;
      if (!start_guard (error))
        return NULL;
    }
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the guard cannot be reached at %s: %s", path,
               guard_client_error_text (local));
  return NULL;
}

static void
connect_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;
  BhGuard1 *guard = guard_client_connect_sync ((GuardClientFlags) GPOINTER_TO_UINT (task_data), cancellable, &error);

  if (guard)
    g_task_return_pointer (task, guard, g_object_unref);
  else
    g_task_return_error (task, error);
}

void
guard_client_connect (GuardClientFlags flags, GCancellable *cancellable, GAsyncReadyCallback callback,
                      gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);

  g_task_set_source_tag (task, guard_client_connect);
  g_task_set_task_data (task, GUINT_TO_POINTER (flags), NULL);
  g_task_run_in_thread (task, connect_in_thread);
}

BhGuard1 *
guard_client_connect_finish (GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

const char *
guard_client_error_text (GError *error)
{
  if (!error)
    return "unknown error";
  g_dbus_error_strip_remote_error (error);
  return error->message;
}
