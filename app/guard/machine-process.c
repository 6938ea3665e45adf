/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine-process.h"

#include "broker.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  MessageType      type;
  guint8           payload[sizeof (MsgText)];
  int              fds[PROTOCOL_MAX_FDS];
  guint            seconds;
  guint32          sequence;
  MachineReplyFunc reply;
  gpointer         data;
  MachineReply     answer;
} Request;

struct MachineProcess
{
  MachineProcessEvents events;
  gpointer  data;
  GPid      pid;
  int       socket;
  guint     socket_source, child_source, timeout;
  GQueue    requests;           /* the head is in flight when sent */
  gboolean  sent, ready, stopped, ended;
  ProtocolStopped reason;
  guint32   sequence;
  Phase     phase;
  char     *why;                /* first reason for the end */
};

enum { STOPPED_SECONDS = 5 };   /* from STOPPED to the end of the process */

static void send_next (MachineProcess *self);

static void
request_free (Request *request)
{
  for (guint i = 0; i < PROTOCOL_MAX_FDS; i++)
    clear_fd (&request->fds[i]);
  g_clear_pointer (&request->answer.rows, g_ptr_array_unref);
  explicit_bzero (request->payload, sizeof request->payload);
  g_free (request);
}

static void
fail_requests (MachineProcess *self)
{
  g_autoptr (GError) error = NULL;
  Request *request;

  g_clear_handle_id (&self->timeout, g_source_remove);
  error = g_error_new (GUARD_ERROR, GUARD_ERROR_FAILED, "the monitor ended: %s", self->why ? self->why : "it was stopped");
  while ((request = g_queue_pop_head (&self->requests)))
    {
      if (request->reply)
        request->reply (self, &request->answer, error, request->data);
      request_free (request);
    }
}

static void
close_socket (MachineProcess *self)
{
  g_clear_handle_id (&self->socket_source, g_source_remove);
  clear_fd (&self->socket);
}

void
machine_process_kill (MachineProcess *self, const char *why)
{
  if (!self->why)
    self->why = g_strdup (why);
  if (!self->ended && self->pid)
    kill (self->pid, SIGKILL);
}

static void
child_ended (GPid pid, gint status, gpointer user_data)
{
  MachineProcess *self = user_data;

  self->child_source = 0;
  self->ended = TRUE;
  if (!self->why)
    {
      if (WIFSIGNALED (status))
        self->why = g_strdup_printf ("it was ended by signal %d (%s)", WTERMSIG (status), g_strsignal (WTERMSIG (status)));
      else
        self->why = g_strdup_printf ("it exited with status %d", WEXITSTATUS (status));
    }
  g_spawn_close_pid (pid);
  self->pid = 0;
  close_socket (self);
  fail_requests (self);
  self->events.ended (self, self->stopped, self->reason, self->why, self->data);
}

static gboolean
linger_over (gpointer user_data)
{
  MachineProcess *self = user_data;

  self->timeout = 0;
  machine_process_kill (self, "it said that it stopped but went on");
  return G_SOURCE_REMOVE;
}

static gboolean
request_over (gpointer user_data)
{
  MachineProcess *self = user_data;
  Request *request = g_queue_peek_head (&self->requests);

  self->timeout = 0;
  if (request)
    {
      g_autofree char *why = g_strdup_printf ("it did not answer %s within %u s", protocol_message_name (request->type),
                                              request->seconds);

      machine_process_kill (self, why);
    }
  return G_SOURCE_REMOVE;
}

/* The phase after a request that the monitor has confirmed. */
static void
advance_phase (MachineProcess *self, MessageType done)
{
  if (done == MESSAGE_RUN || done == MESSAGE_RESUME)
    self->phase = PHASE_RUNNING;
  else if (done == MESSAGE_PAUSE || done == MESSAGE_LOAD_STATE)
    self->phase = PHASE_PAUSED;
}

static void
handle_done (MachineProcess *self, const MsgDone *done)
{
  Request *request = g_queue_pop_head (&self->requests);
  g_autoptr (GError) error = NULL;

  self->sent = FALSE;
  g_clear_handle_id (&self->timeout, g_source_remove);
  if (done->error)
    {
      g_autofree char *text = files_neutral_text (done->text, 200);

      error = g_error_new (GUARD_ERROR, GUARD_ERROR_FAILED, "%s", *text ? text : g_strerror (-done->error));
    }
  else
    advance_phase (self, request->type);
  if (request->reply)
    request->reply (self, &request->answer, error, request->data);
  request_free (request);
}

/* Returns a constant that says what is wrong with the frame, or NULL. */
static const char *
handle_frame (MachineProcess *self, const Message *frame)
{
  Request *request = self->sent ? g_queue_peek_head (&self->requests) : NULL;
  gboolean asked = request && frame->header.sequence == request->sequence;
  g_autofree char *text = NULL;

  switch ((int) frame->header.type)
    {
    case MESSAGE_READY:
      if (self->ready || frame->header.sequence)
        return "READY twice";
      self->ready = TRUE;
      return NULL;
    case MESSAGE_WARNING:
      text = files_neutral_text (frame->text.text, 500);
      if (self->events.warning)
        self->events.warning (self, text, self->data);
      return NULL;
    case MESSAGE_STOPPED:
      self->stopped = TRUE;
      self->reason = (ProtocolStopped) frame->stopped.reason;
      if (self->reason == STOPPED_FAILED && !self->why)
        self->why = files_neutral_text (*frame->stopped.text ? frame->stopped.text : "it failed", 250);
      g_clear_handle_id (&self->timeout, g_source_remove);
      self->timeout = g_timeout_add_seconds (STOPPED_SECONDS, linger_over, self);
      return NULL;
    case MESSAGE_DONE:
      if (!asked)
        return "an answer nobody asked for";
      handle_done (self, &frame->done);
      return NULL;
    case MESSAGE_SCREEN_ROW:
      if (!asked || request->type != MESSAGE_SCREEN_TEXT)
        return "a screen row nobody asked for";
      if (!request->answer.rows)
        request->answer.rows = g_ptr_array_new_with_free_func (g_free);
      if (request->answer.rows->len != frame->screen_row.row)
        return "screen rows out of order";
      g_ptr_array_add (request->answer.rows, files_neutral_text (frame->screen_row.text, 132));
      return NULL;
    case MESSAGE_STATUS_INFO:
      if (!asked || request->type != MESSAGE_STATUS)
        return "a status nobody asked for";
      request->answer.status = frame->status;
      return NULL;
    case MESSAGE_STATISTICS_INFO:
      if (!asked || request->type != MESSAGE_STATISTICS)
        return "statistics nobody asked for";
      request->answer.statistics = frame->statistics;
      return NULL;
    default:
      return "unknown message";
    }
}

static gboolean
socket_ready (int fd, GIOCondition condition, gpointer user_data)
{
  MachineProcess *self = user_data;

  /* At most so many per turn: a flood from one monitor must not starve the others. */
  for (int round = 0; round < 64 && self->socket >= 0; round++)
    {
      int fds[PROTOCOL_MAX_FDS];
      size_t n_fds;
      Message frame;
      const char *why = NULL;
      ssize_t n = protocol_receive (self->socket, &frame, fds, &n_fds);

      if (n == -EAGAIN)
        break;
      if (n == 0 || (n < 0 && n != -EMSGSIZE))
        {
          /* It closed the socket or died; the child watch tells the rest.  One that only closed it has no guard. */
          self->socket_source = 0;
          clear_fd (&self->socket);
          if (!self->stopped && self->pid)
            kill (self->pid, SIGKILL);
          return G_SOURCE_REMOVE;
        }
      if (n == -EMSGSIZE)
        why = "frame or descriptors too large";
      else
        protocol_check (self->phase, SENDER_MONITOR, &frame, (size_t) n, n_fds, &why);
      while (n_fds)
        close (fds[--n_fds]);
      if (!why && !self->ready && frame.header.type != MESSAGE_READY)
        why = "it did not begin with READY";
      if (!why && self->stopped)
        why = "a message after STOPPED";
      if (!why)
        why = handle_frame (self, &frame);
      if (why)
        {
          g_autofree char *text = g_strdup_printf ("it broke the protocol: %s", why);

          machine_process_kill (self, text);
          self->socket_source = 0;
          clear_fd (&self->socket);
          return G_SOURCE_REMOVE;
        }
      send_next (self);
    }
  return G_SOURCE_CONTINUE;
}

static void
send_next (MachineProcess *self)
{
  Request *request = g_queue_peek_head (&self->requests);
  int result;

  if (!request || self->sent || !self->ready || self->stopped || self->socket < 0)
    return;
  request->sequence = ++self->sequence;
  result = protocol_send (self->socket, request->type, request->sequence, request->payload, request->fds);
  for (guint i = 0; i < PROTOCOL_MAX_FDS; i++)
    clear_fd (&request->fds[i]);
  explicit_bzero (request->payload, sizeof request->payload);
  if (result < 0)
    {
      g_autofree char *why = g_strdup_printf ("it cannot be written to: %s", g_strerror (-result));

      machine_process_kill (self, why);
      return;
    }
  self->sent = TRUE;
  g_clear_handle_id (&self->timeout, g_source_remove);
  self->timeout = g_timeout_add_seconds (request->seconds, request_over, self);
}

void
machine_process_request (MachineProcess *self, MessageType type, const void *payload, const int *fds, guint seconds,
                         MachineReplyFunc reply, gpointer data)
{
  Request *request = g_new0 (Request, 1);

  request->type = type;
  request->seconds = seconds;
  request->reply = reply;
  request->data = data;
  for (guint i = 0; i < PROTOCOL_MAX_FDS; i++)
    request->fds[i] = i < protocol_message_fds (type) ? fds[i] : -1;
  if (payload)
    memcpy (request->payload, payload, protocol_message_bytes (type));
  g_queue_push_tail (&self->requests, request);
  if (self->ended || self->why)
    {
      if (self->ended)
        fail_requests (self);
      return;
    }
  if (!self->ready && !self->timeout)
    self->timeout = g_timeout_add_seconds (REQUEST_SECONDS, request_over, self);
  send_next (self);
}

static void
child_setup (gpointer user_data)
{
  /* The monitor notices the end of the socket and flushes; one that does not is ended by the kernel.  The signal comes
   * when the thread that started it ends: the main one, which ends last. */
  prctl (PR_SET_PDEATHSIG, SIGTERM);
  if (getppid () != GPOINTER_TO_INT (user_data))
    _exit (1);
  setsid ();
}

MachineProcess *
machine_process_spawn (const char *program, const MachineProcessEvents *events, gpointer data, GError **error)
{
  char *argv[] = { (char *) program, (char *) "--guarded", NULL };
  char *envp[] = { (char *) "PATH=/usr/bin:/bin", (char *) "LC_ALL=C.UTF-8", NULL };
  MachineProcess *self;
  int sockets[2];
  int target = PROTOCOL_SOCKET_FD;
  gboolean spawned;
  GPid pid;

  if (!broker_socket_pair (SOCK_SEQPACKET, sockets, error))
    return NULL;
  /* The monitor's end blocks or not as it likes. */
  g_unix_set_fd_nonblocking (sockets[1], FALSE, NULL);
  spawned = g_spawn_async_with_pipes_and_fds ("/", (const char *const *) argv, (const char *const *) envp,
                                              G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL
                                                | G_SPAWN_STDERR_TO_DEV_NULL,
                                              child_setup, GINT_TO_POINTER (getpid ()), -1, -1, -1, &sockets[1], &target, 1,
                                              &pid, NULL, NULL, NULL, error);
  close (sockets[1]);
  if (!spawned)
    {
      close (sockets[0]);
      return NULL;
    }
  self = g_new0 (MachineProcess, 1);
  self->events = *events;
  self->data = data;
  self->pid = pid;
  self->socket = sockets[0];
  self->phase = PHASE_SETUP;
  g_queue_init (&self->requests);
  self->socket_source = g_unix_fd_add (self->socket, G_IO_IN | G_IO_HUP | G_IO_ERR, socket_ready, self);
  self->child_source = g_child_watch_add (pid, child_ended, self);
  return self;
}

void
machine_process_free (MachineProcess *self)
{
  Request *request;

  if (!self)
    return;
  g_clear_handle_id (&self->timeout, g_source_remove);
  g_clear_handle_id (&self->child_source, g_source_remove);
  close_socket (self);
  if (self->pid)
    {
      kill (self->pid, SIGKILL);
      waitpid (self->pid, NULL, 0);
    }
  while ((request = g_queue_pop_head (&self->requests)))
    request_free (request);
  g_free (self->why);
  g_free (self);
}

GPid
machine_process_pid (MachineProcess *self)
{
  return self->pid;
}

Phase
machine_process_phase (MachineProcess *self)
{
  return self->phase;
}

gboolean
machine_process_is_alive (MachineProcess *self)
{
  return !self->ended && !self->why && !self->stopped && self->socket >= 0;
}
