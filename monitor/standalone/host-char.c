/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "host-char.h"

#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

typedef enum { KIND_NULL, KIND_STDIO, KIND_FILE, KIND_SOCKET } Kind;

struct HostChar
{
  CharBackend     backend;
  Kind            kind;
  int             out;          /* -1: nobody listens */
  int             listener;
  Machine        *machine;
  pthread_mutex_t lock;         /* of out and log */
  char           *log;
  size_t          n_log, log_start;
  /* Input on its way to the guest, on the machine's thread */
  const uint8_t  *input;
  size_t          n_input, n_taken;
};

static struct termios saved_terminal;
static bool terminal_saved;

static void
restore_terminal (void)
{
  if (terminal_saved)
    tcsetattr (STDIN_FILENO, TCSANOW, &saved_terminal);
}

static void
keep (HostChar *self, const uint8_t *bytes, size_t n_bytes)
{
  pthread_mutex_lock (&self->lock);
  for (size_t i = 0; self->log && i < n_bytes; i++)
    {
      if (self->n_log == HOST_CHAR_LOG)
        {
          self->log[self->log_start] = (char) bytes[i];
          self->log_start = (self->log_start + 1) % HOST_CHAR_LOG;
        }
      else
        self->log[self->n_log++] = (char) bytes[i];
    }
  pthread_mutex_unlock (&self->lock);
}

static size_t
host_char_write (CharBackend *backend, const uint8_t *bytes, size_t n_bytes)
{
  HostChar *self = (HostChar *) backend;
  size_t n_written = 0;

  keep (self, bytes, n_bytes);
  while (self->kind != KIND_NULL && n_written < n_bytes)
    {
      ssize_t n;

      if (self->kind == KIND_SOCKET)
        {
          pthread_mutex_lock (&self->lock);
          n = self->out >= 0 ? send (self->out, bytes + n_written, n_bytes - n_written, MSG_NOSIGNAL) : -1;
          pthread_mutex_unlock (&self->lock);
        }
      else
        n = write (self->out, bytes + n_written, n_bytes - n_written);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        break;                  /* the far end is gone or full: a line without a listener loses its bytes */
      n_written += (size_t) n;
    }
  return n_bytes;
}

static void
host_char_close (CharBackend *backend)
{
  HostChar *self = (HostChar *) backend;

  if (self->out > STDERR_FILENO)
    close (self->out);
  self->out = -1;
}

static const CharClass host_char_class = { host_char_write, NULL, host_char_close };

static void __attribute__ ((format (printf, 3, 4)))
fail (HostChar *self, char **ret_error, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  if (vasprintf (ret_error, format, arguments) < 0)
    *ret_error = NULL;
  va_end (arguments);
  free (self->log);
  free (self);
}

HostChar *
host_char_new (const char *description, char **ret_error)
{
  HostChar *self = calloc (1, sizeof *self);

  *ret_error = NULL;
  if (!self)
    return NULL;
  self->backend.klass = &host_char_class;
  self->out = self->listener = -1;
  self->log = malloc (HOST_CHAR_LOG);
  pthread_mutex_init (&self->lock, NULL);
  if (strcmp (description, "null") == 0)
    self->kind = KIND_NULL;
  else if (strcmp (description, "stdio") == 0)
    {
      self->kind = KIND_STDIO;
      self->out = STDOUT_FILENO;
    }
  else if (strncmp (description, "file:", 5) == 0)
    {
      self->kind = KIND_FILE;
      self->out = open (description + 5, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      if (self->out < 0)
        {
          fail (self, ret_error, "%s: %s", description + 5, strerror (errno));
          return NULL;
        }
    }
  else if (strncmp (description, "socket:", 7) == 0)
    {
      struct sockaddr_un address = { .sun_family = AF_UNIX };

      self->kind = KIND_SOCKET;
      if (strlen (description + 7) >= sizeof address.sun_path)
        {
          fail (self, ret_error, "%s: the path of a socket has at most %zu bytes", description + 7, sizeof address.sun_path - 1);
          return NULL;
        }
      strcpy (address.sun_path, description + 7);
      self->listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (self->listener < 0 || bind (self->listener, (struct sockaddr *) &address, sizeof address) < 0
          || listen (self->listener, 1) < 0)
        {
          int error = errno;

          if (self->listener >= 0)
            close (self->listener);
          fail (self, ret_error, "%s: %s%s", description + 7, strerror (error),
                error == EADDRINUSE ? "; remove the file if no other machine uses it" : "");
          return NULL;
        }
    }
  else
    {
      fail (self, ret_error, "'%s' is no serial or parallel end: use null, stdio, file:PATH or socket:PATH", description);
      return NULL;
    }
  return self;
}

CharBackend *
host_char_backend (HostChar *self)
{
  return &self->backend;
}

static void
deliver (Machine *machine, void *data)
{
  HostChar *self = data;

  self->n_taken = self->backend.receive ? self->backend.receive (self->backend.device, self->input, self->n_input) : self->n_input;
}

/* Brings bytes to the guest at the speed at which it takes them. False: the machine has ended. */
static bool
pass_on (HostChar *self, const uint8_t *bytes, size_t n_bytes)
{
  while (n_bytes)
    {
      self->input = bytes;
      self->n_input = n_bytes;
      self->n_taken = 0;
      if (machine_call (self->machine, deliver, self) < 0)
        return false;
      bytes += self->n_taken;
      n_bytes -= self->n_taken;
      if (n_bytes)
        usleep (2000);
    }
  return true;
}

static void *
reader (void *data)
{
  HostChar *self = data;
  int in = self->kind == KIND_STDIO ? STDIN_FILENO : -1;
  uint8_t bytes[512];

  for (;;)
    {
      ssize_t n;

      if (in < 0)
        {
          in = accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC);
          if (in < 0)
            return NULL;
          pthread_mutex_lock (&self->lock);
          self->out = in;
          pthread_mutex_unlock (&self->lock);
        }
      n = read (in, bytes, sizeof bytes);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          if (self->kind == KIND_STDIO)
            return NULL;
          pthread_mutex_lock (&self->lock);
          self->out = -1;
          pthread_mutex_unlock (&self->lock);
          close (in);
          in = -1;
          continue;
        }
      if (!pass_on (self, bytes, (size_t) n))
        return NULL;
    }
}

void
host_char_start (HostChar *self, Machine *machine)
{
  pthread_t thread;

  self->machine = machine;
  if (self->kind == KIND_STDIO && isatty (STDIN_FILENO) && tcgetattr (STDIN_FILENO, &saved_terminal) == 0)
    {
      struct termios raw = saved_terminal;

      /* The guest echoes and edits; Ctrl+C goes on ending the monitor. */
      raw.c_iflag &= (tcflag_t) ~(ICRNL | IXON);
      raw.c_lflag &= (tcflag_t) ~(ECHO | ICANON);
      terminal_saved = true;
      atexit (restore_terminal);
      tcsetattr (STDIN_FILENO, TCSANOW, &raw);
    }
  if ((self->kind == KIND_STDIO || self->kind == KIND_SOCKET) && pthread_create (&thread, NULL, reader, self) == 0)
    pthread_detach (thread);
}

char *
host_char_log (HostChar *self)
{
  char *text;
  size_t n = 0;

  pthread_mutex_lock (&self->lock);
  text = malloc (self->n_log + 1);
  for (size_t i = 0; text && i < self->n_log; i++)
    {
      char c = self->log[(self->log_start + i) % HOST_CHAR_LOG];

      if (c)
        text[n++] = c;
    }
  pthread_mutex_unlock (&self->lock);
  if (text)
    text[n] = 0;
  return text;
}
