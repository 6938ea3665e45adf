/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two readers follow the ring, each with its own position: the sound server's thread (playing) and the main loop
 * (recording), so that a recording is whole where there is no sound server at all. */
#include "sound-player.h"

#include "sound.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <pulse/pulseaudio.h>
#include <sndfile.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum
{
  FRAME_BYTES      = 4,
  LATENCY_FRAMES   = 48000 / 20,        /* 50 ms */
  LAG_FRAMES       = 48000 / 4,         /* farther behind than this, playing jumps to the present */
  POLL_US          = 40 * 1000,
  RECORD_MS        = 100,
};

struct _BhSoundPlayer
{
  GObject               parent_instance;
  guint8               *ring;
  gsize                 n_bytes;
  char                 *title;
  gint                  muted;
  /* Owned by the sound server's thread (under its lock). */
  pa_threaded_mainloop *loop;
  pa_context           *context;
  pa_stream            *stream;
  pa_time_event        *poll;
  guint64               play_position;
  guint64               n_played;
  gboolean              corked;
  /* Owned by the main loop. */
  SNDFILE              *file;
  guint                 record_source;
  guint64               record_position, n_recorded;
};

G_DEFINE_FINAL_TYPE (BhSoundPlayer, bh_sound_player, G_TYPE_OBJECT)

/* How far the guest has written; position itself when the header makes no sense. */
static guint64
ring_written (BhSoundPlayer *self, guint64 position)
{
  const volatile SoundRingHeader *live = (const volatile SoundRingHeader *) self->ring;
  guint64                         written;

  if (live->magic != SOUND_RING_MAGIC || live->rate != SOUND_RATE)
    return position;
  written = live->written;
  __atomic_thread_fence (__ATOMIC_ACQUIRE);
  return written < position ? position : written;
}

/* Copies at most n_frames from position on; returns how many there were. A reader that was overtaken starts again at
 * the oldest half of the ring. */
static gsize
ring_read (BhSoundPlayer *self, guint64 *position, gint16 *frames, gsize n_frames)
{
  const gint16 *samples = (const gint16 *) (const void *) (self->ring + SOUND_RING_OFFSET);
  const guint64 written = ring_written (self, *position);
  gsize         n, first;

  if (written - *position > SOUND_RING_FRAMES / 2)
    *position = written - SOUND_RING_FRAMES / 2;
  n = MIN (n_frames, (gsize) (written - *position));
  first = MIN (n, (gsize) (SOUND_RING_FRAMES - *position % SOUND_RING_FRAMES));
  memcpy (frames, samples + 2 * (*position % SOUND_RING_FRAMES), first * FRAME_BYTES);
  memcpy (frames + 2 * first, samples, (n - first) * FRAME_BYTES);
  *position += n;
  return n;
}

/* ------------------------------------------------------------------------------------------------ playing */

static void
on_poll (pa_mainloop_api *api, pa_time_event *event, const struct timeval *when, void *data)
{
  BhSoundPlayer *self = data;
  struct timeval next;
  guint64        written;

  written = ring_written (self, self->play_position);
  if (self->stream != NULL && pa_stream_get_state (self->stream) == PA_STREAM_READY)
    {
      pa_operation *operation = NULL;

      if (written - self->play_position > LAG_FRAMES)
        self->play_position = written - LATENCY_FRAMES;
      if (self->corked && written - self->play_position >= LATENCY_FRAMES)
        {
          self->corked = FALSE;
          operation = pa_stream_cork (self->stream, 0, NULL, NULL);
        }
      if (operation != NULL)
        pa_operation_unref (operation);
      if (!self->corked)
        {
          size_t room = pa_stream_writable_size (self->stream);

          while (room != (size_t) -1 && room >= FRAME_BYTES)
            {
              gint16 frames[1024 * 2];
              gsize  n = ring_read (self, &self->play_position, frames, MIN (room / FRAME_BYTES, 1024));

              if (n == 0)
                break;
              if (g_atomic_int_get (&self->muted))
                memset (frames, 0, n * FRAME_BYTES);
              if (pa_stream_write (self->stream, frames, n * FRAME_BYTES, NULL, 0, PA_SEEK_RELATIVE) < 0)
                break;
              self->n_played += n;
              room -= n * FRAME_BYTES;
            }
        }
    }
  gettimeofday (&next, NULL);
  pa_timeval_add (&next, POLL_US);
  api->time_restart (event, &next);
}

/* The guest has fallen silent: no stream of zeros, the server may sleep. */
static void
on_underflow (pa_stream *stream, void *data)
{
  BhSoundPlayer *self = data;

  if (ring_written (self, self->play_position) == self->play_position && !self->corked)
    {
      pa_operation *operation = pa_stream_cork (stream, 1, NULL, NULL);

      self->corked = TRUE;
      if (operation != NULL)
        pa_operation_unref (operation);
    }
}

static void
on_context_state (pa_context *context, void *data)
{
  BhSoundPlayer       *self = data;
  const pa_sample_spec format = { .format = PA_SAMPLE_S16LE, .rate = SOUND_RATE, .channels = 2 };
  const pa_buffer_attr buffer = { .maxlength = (uint32_t) -1, .tlength = 2 * LATENCY_FRAMES * FRAME_BYTES,
                                  .prebuf = LATENCY_FRAMES * FRAME_BYTES, .minreq = (uint32_t) -1,
                                  .fragsize = (uint32_t) -1 };

  if (pa_context_get_state (context) != PA_CONTEXT_READY || self->stream != NULL)
    return;
  self->stream = pa_stream_new (context, self->title, &format, NULL);
  if (self->stream == NULL)
    return;
  self->corked = TRUE;
  pa_stream_set_underflow_callback (self->stream, on_underflow, self);
  pa_stream_connect_playback (self->stream, NULL, &buffer, PA_STREAM_START_CORKED | PA_STREAM_ADJUST_LATENCY, NULL, NULL);
}

static void
start_playing (BhSoundPlayer *self)
{
  pa_mainloop_api *api;
  struct timeval   next;

  self->loop = pa_threaded_mainloop_new ();
  if (self->loop == NULL)
    return;
  api = pa_threaded_mainloop_get_api (self->loop);
  self->context = pa_context_new (api, "Bulkhead");
  self->play_position = ring_written (self, 0);
  pa_context_set_state_callback (self->context, on_context_state, self);
  /* NOFAIL waits for a server that is not there yet; NOAUTOSPAWN: it is not for us to start one. */
  pa_context_connect (self->context, NULL, PA_CONTEXT_NOFAIL | PA_CONTEXT_NOAUTOSPAWN, NULL);
  gettimeofday (&next, NULL);
  pa_timeval_add (&next, POLL_US);
  self->poll = api->time_new (api, &next, on_poll, self);
  pa_threaded_mainloop_start (self->loop);
}

static void
stop_playing (BhSoundPlayer *self)
{
  if (self->loop == NULL)
    return;
  pa_threaded_mainloop_lock (self->loop);
  if (self->stream != NULL)
    {
      pa_stream_disconnect (self->stream);
      g_clear_pointer (&self->stream, pa_stream_unref);
    }
  pa_threaded_mainloop_get_api (self->loop)->time_free (self->poll);
  pa_context_disconnect (self->context);
  g_clear_pointer (&self->context, pa_context_unref);
  pa_threaded_mainloop_unlock (self->loop);
  pa_threaded_mainloop_stop (self->loop);
  g_clear_pointer (&self->loop, pa_threaded_mainloop_free);
}

/* ------------------------------------------------------------------------------------------------ recording */

static gboolean
on_record (gpointer data)
{
  BhSoundPlayer *self = data;
  gint16         frames[2048 * 2];
  gsize          n;

  while ((n = ring_read (self, &self->record_position, frames, 2048)) > 0)
    {
      if (sf_writef_short (self->file, frames, (sf_count_t) n) != (sf_count_t) n)
        {
          g_warning ("Recording stopped: %s", sf_strerror (self->file));
          self->record_source = 0;
          bh_sound_player_stop_recording (self);
          return G_SOURCE_REMOVE;
        }
      self->n_recorded += n;
    }
  return G_SOURCE_CONTINUE;
}

static int
format_of (const char *path)
{
  if (g_str_has_suffix (path, ".flac"))
    return SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  if (g_str_has_suffix (path, ".ogg") || g_str_has_suffix (path, ".oga"))
    return SF_FORMAT_OGG | SF_FORMAT_VORBIS;
  return SF_FORMAT_WAV | SF_FORMAT_PCM_16;
}

gboolean
bh_sound_player_start_recording (BhSoundPlayer *self, const char *path, const char *comment, GError **error)
{
  SF_INFO info = { .samplerate = SOUND_RATE, .channels = 2 };

  g_return_val_if_fail (BH_IS_SOUND_PLAYER (self), FALSE);

  bh_sound_player_stop_recording (self);
  info.format = format_of (path);
  self->file = sf_open (path, SFM_WRITE, &info);
  if (self->file == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", path, sf_strerror (NULL));
      return FALSE;
    }
  sf_set_string (self->file, SF_STR_TITLE, self->title);
  sf_set_string (self->file, SF_STR_COMMENT, comment);
  sf_set_string (self->file, SF_STR_SOFTWARE, "Bulkhead");
  self->record_position = ring_written (self, 0);
  self->n_recorded = 0;
  self->record_source = g_timeout_add (RECORD_MS, on_record, self);
  return TRUE;
}

void
bh_sound_player_stop_recording (BhSoundPlayer *self)
{
  g_return_if_fail (BH_IS_SOUND_PLAYER (self));

  if (self->file == NULL)
    return;
  if (self->record_source != 0)
    {
      on_record (self);
      g_clear_handle_id (&self->record_source, g_source_remove);
    }
  g_clear_pointer (&self->file, sf_close);
}

gboolean
bh_sound_player_is_recording (BhSoundPlayer *self)
{
  g_return_val_if_fail (BH_IS_SOUND_PLAYER (self), FALSE);

  return self->file != NULL;
}

/* ------------------------------------------------------------------------------------------------ the object */

static void
bh_sound_player_finalize (GObject *object)
{
  BhSoundPlayer *self = BH_SOUND_PLAYER (object);

  bh_sound_player_stop_recording (self);
  stop_playing (self);
  if (self->ring != NULL)
    munmap (self->ring, self->n_bytes);
  g_free (self->title);

  G_OBJECT_CLASS (bh_sound_player_parent_class)->finalize (object);
}

static void
bh_sound_player_class_init (BhSoundPlayerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = bh_sound_player_finalize;
}

static void
bh_sound_player_init (BhSoundPlayer *self)
{
}

BhSoundPlayer *
bh_sound_player_new (int memory_fd, const char *title, GError **error)
{
  g_autoptr (BhSoundPlayer) self = g_object_new (BH_TYPE_SOUND_PLAYER, NULL);
  struct stat               status;
  int                       seals = fcntl (memory_fd, F_GET_SEALS);
  void                     *ring = MAP_FAILED;

  /* Truncating it under us would be SIGBUS, and a smaller one would be read past its end. */
  if (fstat (memory_fd, &status) == 0 && status.st_size >= SOUND_RING_BYTES && seals >= 0 && (seals & F_SEAL_SHRINK))
    ring = mmap (NULL, SOUND_RING_BYTES, PROT_READ, MAP_SHARED, memory_fd, 0);
  close (memory_fd);
  if (ring == MAP_FAILED)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                           "The guest’s sound is not in a sealed memory file of the right size");
      return NULL;
    }
  self->ring = ring;
  self->n_bytes = SOUND_RING_BYTES;
  self->title = g_strdup (title);
  start_playing (self);
  return g_steal_pointer (&self);
}

void
bh_sound_player_set_muted (BhSoundPlayer *self, gboolean muted)
{
  g_return_if_fail (BH_IS_SOUND_PLAYER (self));

  g_atomic_int_set (&self->muted, muted);
}

guint64
bh_sound_player_get_n_played (BhSoundPlayer *self)
{
  guint64 n;

  g_return_val_if_fail (BH_IS_SOUND_PLAYER (self), 0);

  if (self->loop == NULL)
    return 0;
  pa_threaded_mainloop_lock (self->loop);
  n = self->n_played;
  pa_threaded_mainloop_unlock (self->loop);
  return n;
}

guint64
bh_sound_player_get_n_recorded (BhSoundPlayer *self)
{
  g_return_val_if_fail (BH_IS_SOUND_PLAYER (self), 0);

  return self->n_recorded;
}
