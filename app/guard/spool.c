/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "spool.h"

#include "broker.h"
#include "media.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

struct Spool
{
  Guard   *guard;
  char    *machine, *port;
  Label    label;
  int      pipe_fd, file_fd;
  guint    source, idle;
  guint    job;
  char    *path;
  guint64  n_bytes;
  gboolean failed;              /* this job's remaining bytes are dropped */
};

/* "SECRET//NOFORN" and s40:15/i20 make the folder SECRET-NOFORN_s40-15_i20: readable, and one per label. */
static char *
label_folder (Spool *self, GError **error)
{
  g_autofree char *banner = guard_banner (self->guard, &self->label);
  g_autofree char *canonical = guard_canonical (&self->label);
  g_autofree char *output = guard_folder (self->guard, "output", error);
  g_autofree char *name = NULL;
  g_autofree char *path = NULL;

  if (!output)
    return NULL;
  g_strcanon (banner, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", '-');
  g_strcanon (canonical, "abcdefghijklmnopqrstuvwxyz0123456789-_", '-');
  name = g_strdup_printf ("%.80s_%.160s", banner, canonical);
  path = g_build_filename (output, name, NULL);
  return files_private_folder (path, error) ? g_steal_pointer (&path) : NULL;
}

static gboolean
put (Spool *self, const char *bytes, gsize n_bytes)
{
  while (n_bytes)
    {
      ssize_t n = write (self->file_fd, bytes, n_bytes);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return FALSE;
      bytes += n;
      n_bytes -= (gsize) n;
    }
  return TRUE;
}

static char *
page (Spool *self, const char *word, const char *extra)
{
  g_autofree char *banner = guard_banner (self->guard, &self->label);
  g_autofree char *canonical = guard_canonical (&self->label);
  g_autofree char *handling = self->guard->encodings ? encodings_handling (self->guard->encodings, &self->label) : g_strdup ("");
  g_autofree char *own = guard_get_policy (self->guard, "printer-banner");
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *time_text = g_date_time_format (now, "%Y-%m-%d %H:%M:%S");
  static const char line[] = "==============================================================================";

  return g_strdup_printf ("%s\r\n\r\n    %s\r\n\r\n%s\r\n%s  job %u  machine %s  port %s\r\nuser %s  %s\r\nlabel %s\r\n%s%s%s%s"
                          "%s\r\n\r\n    %s\r\n\r\n%s\r\n",
                          line, banner, line, word, self->job, self->machine, self->port, g_get_user_name (), time_text,
                          canonical, handling, own, *own ? "\r\n" : "", extra, line, banner, line);
}

static void
end_job (Spool *self)
{
  g_autofree char *extra = NULL;
  g_autofree char *text = NULL;

  g_clear_handle_id (&self->idle, g_source_remove);
  if (self->file_fd >= 0)
    {
      extra = g_strdup_printf ("%" G_GUINT64_FORMAT " bytes%s\r\n", self->n_bytes, self->failed ? ", cut short" : "");
      text = page (self, "END", extra);
      put (self, "\r\n\f", 3);
      put (self, text, strlen (text));
      clear_fd (&self->file_fd);
    }
  g_clear_pointer (&self->path, g_free);
  self->failed = FALSE;
  self->n_bytes = 0;
}

static gboolean
idle_over (gpointer user_data)
{
  Spool *self = user_data;

  self->idle = 0;
  end_job (self);
  return G_SOURCE_REMOVE;
}

static gboolean
begin_job (Spool *self)
{
  g_autofree char *folder = label_folder (self, NULL);
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *time_text = g_date_time_format (now, "%Y%m%d-%H%M%S");
  g_autofree char *text = NULL;

  self->job++;
  for (guint try = 0; folder && self->file_fd < 0 && try < 1000; try++)
    {
      g_autofree char *name = g_strdup_printf ("%s-%s-%s-%03u.txt", self->machine, self->port, time_text, self->job + try);

      g_free (self->path);
      self->path = g_build_filename (folder, name, NULL);
      self->file_fd = broker_create (self->path, NULL);
    }
  if (self->file_fd < 0)
    return FALSE;
  /* Its label is on record before its first byte. */
  if (!media_enter (self->guard->media, self->path, self->file_fd, &self->label, NULL))
    {
      clear_fd (&self->file_fd);
      unlink (self->path);
      return FALSE;
    }
  text = page (self, "BEGIN", "");
  return put (self, text, strlen (text)) && put (self, "\f", 1);
}

static void
take (Spool *self, const char *bytes, gsize n_bytes)
{
  if (self->file_fd < 0 && !self->failed && !begin_job (self))
    self->failed = TRUE;
  if (!self->failed && (self->n_bytes + n_bytes > JOB_MAX_BYTES || !put (self, bytes, n_bytes)))
    self->failed = TRUE;
  if (!self->failed)
    self->n_bytes += n_bytes;
  g_clear_handle_id (&self->idle, g_source_remove);
  self->idle = g_timeout_add_seconds (JOB_IDLE_SECONDS, idle_over, self);
}

/* Takes at most `rounds` buffers. False at end of file. */
static gboolean
drain (Spool *self, guint rounds)
{
  char buffer[4096];

  while (rounds--)
    {
      ssize_t n = read (self->pipe_fd, buffer, sizeof buffer);

      if (n < 0)
        return errno == EAGAIN || errno == EINTR;
      if (n == 0)
        return FALSE;
      take (self, buffer, (gsize) n);
    }
  return TRUE;
}

static gboolean
readable (int fd, GIOCondition condition, gpointer user_data)
{
  Spool *self = user_data;

  if (drain (self, 16))
    return G_SOURCE_CONTINUE;
  self->source = 0;
  return G_SOURCE_REMOVE;
}

Spool *
spool_new (Guard *guard, const char *machine, const Label *label, PolicyChannel channel, const char *port, int *ret_fd,
           GError **error)
{
  Spool *self;
  int ends[2];

  if (!guard_decide (guard, channel, machine, port, label, label, NULL, error))
    return NULL;
  if (!g_unix_open_pipe (ends, FD_CLOEXEC, error))
    return NULL;
  g_unix_set_fd_nonblocking (ends[0], TRUE, NULL);
  self = g_new0 (Spool, 1);
  self->guard = guard;
  self->machine = g_strdup (machine);
  self->port = g_strdup (port);
  self->label = *label;
  self->file_fd = -1;
  self->pipe_fd = ends[0];
  self->source = g_unix_fd_add (self->pipe_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, self);
  *ret_fd = ends[1];
  return self;
}

void
spool_free (Spool *self)
{
  if (!self)
    return;
  /* A pipe holds 64 KiB, and a stopped monitor adds nothing. */
  drain (self, 64);
  end_job (self);
  g_clear_handle_id (&self->source, g_source_remove);
  clear_fd (&self->pipe_fd);
  g_free (self->machine);
  g_free (self->port);
  g_free (self->path);
  g_free (self);
}
