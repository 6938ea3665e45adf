/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "network-process.h"

#include "broker.h"
#include "machine.h"
#include "network-protocol.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NETWORK_START_MS = 3000, MAX_UNANSWERED = 256 };

struct NetworkProcess
{
  NetworkProcessEnded ended;
  gpointer data;
  GPid     pid;
  int      socket;
  guint    socket_source, child_source;
  guint    n_unanswered;
  gboolean ports[NETWORK_MAX_PORTS];
  char    *why;
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
stop (NetworkProcess *self, const char *why)
{
  if (!self->why)
    self->why = g_strdup (why);
  g_clear_handle_id (&self->socket_source, g_source_remove);
  clear_fd (&self->socket);
  if (self->pid)
    kill (self->pid, SIGKILL);
}

static void
child_ended (GPid pid, gint status, gpointer user_data)
{
  NetworkProcess *self = user_data;

  self->child_source = 0;
  g_spawn_close_pid (pid);
  self->pid = 0;
  if (!self->why)
    self->why = WIFSIGNALED (status) ? g_strdup_printf ("it was ended by signal %d (%s)", WTERMSIG (status),
                                                        g_strsignal (WTERMSIG (status)))
                                     : g_strdup_printf ("it exited with status %d", WEXITSTATUS (status));
  stop (self, NULL);
  self->ended (self, self->why, self->data);
}

static gboolean
send_message (NetworkProcess *self, const NetworkMessage *message, int fd, GError **error)
{
  union { struct cmsghdr align; char bytes[CMSG_SPACE (sizeof (int))]; } control;
  struct iovec part = { (void *) message, sizeof *message };
  struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

  if (fd >= 0)
    {
      struct cmsghdr *rights;

      memset (&control, 0, sizeof control);
      header.msg_control = control.bytes;
      header.msg_controllen = sizeof control.bytes;
      rights = CMSG_FIRSTHDR (&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (rights), &fd, sizeof fd);
    }
  if (self->socket >= 0 && self->n_unanswered < MAX_UNANSWERED
      && sendmsg (self->socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t) sizeof *message)
    {
      self->n_unanswered++;
      return TRUE;
    }
  g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the network's process does not take messages any more");
  return FALSE;
}

static gboolean
socket_ready (int fd, GIOCondition condition, gpointer user_data)
{
  NetworkProcess *self = user_data;
  NetworkReply untrusted_reply;
  ssize_t n = recv (self->socket, &untrusted_reply, sizeof untrusted_reply, MSG_DONTWAIT | MSG_TRUNC);
  const char *why = NULL;

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return G_SOURCE_CONTINUE;
  if (n <= 0)
    why = "it closed its socket";
  else if (n != sizeof untrusted_reply || !self->n_unanswered)
    why = "it broke the protocol";
  else if (untrusted_reply.error)
    why = "it refused a cable";
  if (!why)
    {
      self->n_unanswered--;
      return G_SOURCE_CONTINUE;
    }
  self->socket_source = 0;
  stop (self, n <= 0 ? NULL : why);
  return G_SOURCE_REMOVE;
}

/* The answer to the one message that is out, before any cable exists.  -ETIMEDOUT, -EPIPE, -EPROTO or what it says. */
static int
await_reply (NetworkProcess *self)
{
  struct pollfd polled = { self->socket, POLLIN, 0 };
  NetworkReply reply;
  int ready;

  do
    ready = poll (&polled, 1, NETWORK_START_MS);
  while (ready < 0 && errno == EINTR);
  if (ready == 0)
    return -ETIMEDOUT;
  switch (recv (self->socket, &reply, sizeof reply, MSG_DONTWAIT | MSG_TRUNC))
    {
    case sizeof reply:
      self->n_unanswered--;
      return reply.error > 0 || reply.error < -4095 ? -EPROTO : reply.error;
    case 0:
    case -1:
      return -EPIPE;
    default:
      return -EPROTO;
    }
}

NetworkProcess *
network_process_spawn (gboolean nat, NetworkProcessEnded ended, gpointer data, GError **error)
{
  g_autofree char *program = machine_find_program ("bulkhead-network");
  char *argv[] = { program, (char *) (nat ? "--nat" : NULL), NULL };
  char *envp[] = { (char *) "PATH=/usr/bin:/bin", (char *) "LC_ALL=C.UTF-8", NULL };
  NetworkMessage hello = { .type = NETWORK_STATISTICS };
  NetworkProcess *self;
  int sockets[2], target = NETWORK_SOCKET_FD, said, result;
  gboolean spawned;
  GPid pid;

  if (!program)
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED,
                           "bulkhead-network does not lie beside the guard; reinstall or rebuild Bulkhead");
      return NULL;
    }
  if (!broker_socket_pair (SOCK_SEQPACKET, sockets, error))
    return NULL;
  g_unix_set_fd_nonblocking (sockets[1], FALSE, NULL);
  spawned = g_spawn_async_with_pipes_and_fds ("/", (const char *const *) argv, (const char *const *) envp,
                                              G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL,
                                              child_setup, GINT_TO_POINTER (getpid ()), -1, -1, -1, &sockets[1], &target, 1,
                                              &pid, NULL, NULL, &said, error);
  close (sockets[1]);
  if (!spawned)
    {
      close (sockets[0]);
      return NULL;
    }
  self = g_new0 (NetworkProcess, 1);
  self->ended = ended;
  self->data = data;
  self->pid = pid;
  self->socket = sockets[0];
  /* It answers when its sandbox is closed; one that cannot close it says why and ends. */
  result = send_message (self, &hello, -1, NULL) ? await_reply (self) : -EPIPE;
  if (result == 0)
    {
      close (said);
      self->socket_source = g_unix_fd_add (self->socket, G_IO_IN | G_IO_HUP | G_IO_ERR, socket_ready, self);
      self->child_source = g_child_watch_add (pid, child_ended, self);
      return self;
    }
  {
    char words[256] = "";
    ssize_t n;
    g_autofree char *shown = NULL;

    kill (pid, SIGKILL);
    n = result == -EPIPE ? read (said, words, sizeof words - 1) : 0;
    words[n > 0 ? n : 0] = '\0';
    shown = files_neutral_text (g_strchomp (words), 200);
    g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the network's process does not start: %s",
                 *shown ? shown : g_strerror (-result));
  }
  close (said);
  network_process_free (self);
  return NULL;
}

void
network_process_free (NetworkProcess *self)
{
  if (!self)
    return;
  g_clear_handle_id (&self->child_source, g_source_remove);
  stop (self, NULL);
  if (self->pid)
    {
      waitpid (self->pid, NULL, 0);
      g_spawn_close_pid (self->pid);
    }
  g_free (self->why);
  g_free (self);
}

int
network_process_join (NetworkProcess *self, guint *ret_port, GError **error)
{
  NetworkMessage message = { .type = NETWORK_JOIN };
  guint port = 0;
  int ends[2];
  gboolean sent;

  while (port < NETWORK_MAX_PORTS && self->ports[port])
    port++;
  if (port == NETWORK_MAX_PORTS)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "a network has room for %d machines", NETWORK_MAX_PORTS);
      return -1;
    }
  if (!broker_socket_pair (SOCK_SEQPACKET, ends, error))
    return -1;
  message.port = (guint16) port;
  sent = send_message (self, &message, ends[1], error);
  close (ends[1]);
  if (!sent)
    {
      close (ends[0]);
      return -1;
    }
  self->ports[port] = TRUE;
  *ret_port = port;
  return ends[0];
}

guint
network_process_leave (NetworkProcess *self, guint port)
{
  NetworkMessage message = { .type = NETWORK_LEAVE, .port = (guint16) port };
  guint n = 0;

  if (port < NETWORK_MAX_PORTS && self->ports[port])
    {
      self->ports[port] = FALSE;
      if (!send_message (self, &message, -1, NULL))
        stop (self, "it does not take messages any more");
    }
  for (guint i = 0; i < NETWORK_MAX_PORTS; i++)
    n += self->ports[i];
  return n;
}

gboolean
network_process_forward (NetworkProcess *self, guint8 protocol, guint16 host_port, guint16 guest_port, GError **error)
{
  NetworkMessage message = { .type = NETWORK_FORWARD, .protocol = protocol, .host_port = host_port, .guest_port = guest_port };
  int result = send_message (self, &message, -1, error) ? await_reply (self) : 1;

  if (result < 0)
    g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "port %u of this host cannot be forwarded: %s", host_port,
                 g_strerror (-result));
  return result == 0;
}

GPid
network_process_pid (NetworkProcess *self)
{
  return self->pid;
}
