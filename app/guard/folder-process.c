/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "folder-process.h"

#include "broker.h"
#include "machine.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FOLDER_START_MS = 3000, SOCKET_FD = 3, DIRECTORY_FD = 4 };

struct FolderProcess
{
  GPid  pid;
  guint child_source;
};

static void
child_setup (gpointer user_data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != GPOINTER_TO_INT (user_data))
    _exit (1);
  setsid ();
}

static void
child_ended (GPid pid, gint status, gpointer user_data)
{
  FolderProcess *self = user_data;

  self->child_source = 0;
  self->pid = 0;
  g_spawn_close_pid (pid);
}

FolderProcess *
folder_process_spawn (int directory, gboolean writable, int *ret_socket, GError **error)
{
  g_autofree char *program = machine_find_program ("bulkhead-folder");
  char *argv[] = { program, (char *) (writable ? "--writable" : NULL), NULL };
  char *envp[] = { (char *) "PATH=/usr/bin:/bin", (char *) "LC_ALL=C.UTF-8", NULL };
  int sockets[2], sources[2], targets[2] = { SOCKET_FD, DIRECTORY_FD }, said;
  struct pollfd polled = { .events = POLLIN };
  FolderProcess *self;
  char words[128] = "";
  gboolean spawned;
  ssize_t n = 0;
  GPid pid;

  if (!program)
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED,
                           "bulkhead-folder does not lie beside the guard; reinstall or rebuild Bulkhead");
      return NULL;
    }
  if (!broker_socket_pair (SOCK_SEQPACKET, sockets, error))
    return NULL;
  g_unix_set_fd_nonblocking (sockets[1], FALSE, NULL);
  sources[0] = sockets[1];
  sources[1] = directory;
  spawned = g_spawn_async_with_pipes_and_fds ("/", (const char *const *) argv, (const char *const *) envp,
                                              G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL, child_setup,
                                              GINT_TO_POINTER (getpid ()), -1, -1, -1, sources, targets, 2, &pid, NULL, &said, NULL,
                                              error);
  close (sockets[1]);
  if (!spawned)
    {
      close (sockets[0]);
      return NULL;
    }
  polled.fd = said;
  if (poll (&polled, 1, FOLDER_START_MS) == 1)
    n = read (said, words, sizeof words - 1);
  close (said);
  words[n > 0 ? n : 0] = '\0';
  g_strchomp (words);
  if (!g_str_equal (words, "ready"))
    {
      g_autofree char *shown = files_neutral_text (words, 100);

      kill (pid, SIGKILL);
      waitpid (pid, NULL, 0);
      g_spawn_close_pid (pid);
      close (sockets[0]);
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the folder's process does not start: %s", *shown ? shown : "no answer");
      return NULL;
    }
  self = g_new0 (FolderProcess, 1);
  self->pid = pid;
  self->child_source = g_child_watch_add (pid, child_ended, self);
  *ret_socket = sockets[0];
  return self;
}

void
folder_process_free (FolderProcess *self)
{
  if (!self)
    return;
  g_clear_handle_id (&self->child_source, g_source_remove);
  if (self->pid)
    {
      kill (self->pid, SIGKILL);
      waitpid (self->pid, NULL, 0);
      g_spawn_close_pid (self->pid);
    }
  g_free (self);
}
