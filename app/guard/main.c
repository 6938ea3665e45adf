/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One guard per user, started by whoever needs it first.  Ends 10 s after its last client and machine are gone, or when its
 * socket is removed; every monitor ends with it. */
#include "guard.h"
#include "machine.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IDLE_SECONDS = 10, SOCKET_SECONDS = 2, LOCK_SECONDS = 10 };

typedef struct
{
  GMainLoop *loop;
  Guard     *guard;
  Service   *service;
  guint      idle;
  struct stat socket;           /* as it was made */
} Program;

static void
say (int fd, const char *text)
{
  gsize n = strlen (text);

  if (fd < 0 || write (fd, text, n) < 0 || write (fd, "\n", 1) < 0)
    return;
}

static gboolean
idle_over (gpointer user_data)
{
  Program *program = user_data;

  program->idle = 0;
  /* From here on nobody new can come; whoever came in this very moment starts the next guard. */
  service_close (program->service);
  g_main_loop_quit (program->loop);
  return G_SOURCE_REMOVE;
}

static gboolean
any_machine (Guard *guard)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, guard->machines);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (machine_is_live (value))
      return TRUE;
  return FALSE;
}

static void
changed (gpointer user_data)
{
  Program *program = user_data;
  gboolean busy = !program->service || service_n_connections (program->service) > 0 || any_machine (program->guard);

  if (busy)
    g_clear_handle_id (&program->idle, g_source_remove);
  else if (!program->idle)
    program->idle = g_timeout_add_seconds (IDLE_SECONDS, idle_over, program);
}

static void
activity (Guard *guard, gpointer user_data)
{
  changed (user_data);
}

static gboolean
check_socket (gpointer user_data)
{
  Program *program = user_data;
  struct stat now;

  if (lstat (service_socket (program->service), &now) == 0 && now.st_ino == program->socket.st_ino
      && now.st_dev == program->socket.st_dev)
    return G_SOURCE_CONTINUE;
  g_main_loop_quit (program->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
terminate (gpointer user_data)
{
  Program *program = user_data;

  g_main_loop_quit (program->loop);
  return G_SOURCE_CONTINUE;
}

/* One guard per runtime folder.  A guard that is about to end holds the lock for a moment longer. */
static int
lock (const char *folder, const char **ret_why)
{
  g_autofree char *path = g_build_filename (folder, "guard.lock", NULL);
  int fd = open (path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

  *ret_why = fd < 0 ? "the lock cannot be opened" : NULL;
  for (int i = 0; fd >= 0 && i < LOCK_SECONDS * 20; i++)
    {
      g_autofree char *socket = g_build_filename (folder, "guard.sock", NULL);

      if (flock (fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
      if (g_file_test (socket, G_FILE_TEST_EXISTS) && i > 4)
        {
          *ret_why = "ready";
          break;
        }
      g_usleep (50000);
    }
  if (!*ret_why)
    *ret_why = "another guard holds the lock";
  if (fd >= 0)
    close (fd);
  return -1;
}

static void
harden (int keep_fd)
{
  struct rlimit none = { 0, 0 };

  /* No core file, no ptrace by others of this user: keys and passphrases pass through this process. */
  prctl (PR_SET_DUMPABLE, 0);
  setrlimit (RLIMIT_CORE, &none);
  umask (077);
  for (int fd = 3; fd < 1024; fd++)
    if (fd != keep_fd)
      close (fd);
}

int
main (int argc, char **argv)
{
  Program program = { NULL };
  g_autoptr (GError) error = NULL;
  g_autofree char *data = g_build_filename (g_get_user_data_dir (), "bulkhead", NULL);
  g_autofree char *runtime = g_build_filename (g_get_user_runtime_dir (), "bulkhead", NULL);
  const char *why;
  int ready_fd = -1, lock_fd;

  for (int i = 1; i < argc; i++)
    if (g_str_has_prefix (argv[i], "--ready-fd="))
      ready_fd = atoi (argv[i] + strlen ("--ready-fd="));
    else
      {
        fprintf (stderr, "bulkhead-guard takes no arguments; it is started by bulkhead and bulkhead-ctl\n");
        return 2;
      }
  harden (ready_fd);
  if (ready_fd >= 0)
    fcntl (ready_fd, F_SETFD, FD_CLOEXEC);
  if (!gcry_check_version ("1.10.0"))
    {
      say (ready_fd, "libgcrypt is too old");
      return 1;
    }
  gcry_control (GCRYCTL_DISABLE_SECMEM, 0);
  gcry_control (GCRYCTL_INITIALIZATION_FINISHED, 0);
  if (!files_private_folder (runtime, &error))
    {
      say (ready_fd, error->message);
      return 1;
    }
  lock_fd = lock (runtime, &why);
  if (lock_fd < 0)
    {
      say (ready_fd, why);
      return g_str_equal (why, "ready") ? 0 : 1;
    }
  program.loop = g_main_loop_new (NULL, FALSE);
  program.guard = guard_new (data, runtime, &error);
  if (program.guard)
    program.service = service_new (program.guard, changed, &program, &error);
  if (!program.service)
    {
      say (ready_fd, error->message);
      return 1;
    }
#ifdef GUARD_TEST_MONITOR
  program.guard->monitor = GUARD_TEST_MONITOR;
#endif
  program.guard->activity = activity;
  program.guard->activity_data = &program;
  lstat (service_socket (program.service), &program.socket);
  g_unix_signal_add (SIGTERM, terminate, &program);
  g_unix_signal_add (SIGINT, terminate, &program);
  g_unix_signal_add (SIGHUP, terminate, &program);
  g_timeout_add_seconds (SOCKET_SECONDS, check_socket, &program);
  say (ready_fd, "ready");
  if (ready_fd >= 0)
    close (ready_fd);
  changed (&program);
  g_main_loop_run (program.loop);

  service_free (program.service);
  guard_free (program.guard);
  g_main_loop_unref (program.loop);
  close (lock_fd);
  return 0;
}
