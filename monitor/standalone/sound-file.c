/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sound-file.h"

#include <errno.h>
#include <pulse/error.h>
#include <pulse/simple.h>
#include <pthread.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- file ------------------------------------------------------------------------------------------------------ */

typedef struct
{
  SoundSink sink;
  SNDFILE  *file;
} FileSink;

static void
file_write (SoundSink *sink, const int16_t *frames, size_t n_frames)
{
  sf_writef_short (((FileSink *) sink)->file, frames, (sf_count_t) n_frames);
}

static void
file_close (SoundSink *sink)
{
  sf_close (((FileSink *) sink)->file);
  free (sink);
}

static int
format_of (const char *path)
{
  const char *dot = strrchr (path, '.');

  if (dot && strcasecmp (dot, ".flac") == 0)
    return SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  if (dot && (strcasecmp (dot, ".ogg") == 0 || strcasecmp (dot, ".oga") == 0))
    return SF_FORMAT_OGG | SF_FORMAT_VORBIS;
  return SF_FORMAT_WAV | SF_FORMAT_PCM_16;
}

static SoundSink *
open_file (const char *path, char **ret_error)
{
  SF_INFO info = { .samplerate = SOUND_RATE, .channels = 2, .format = format_of (path) };
  FileSink *self = calloc (1, sizeof *self);

  if (!self)
    return NULL;
  self->file = sf_open (path, SFM_WRITE, &info);
  if (!self->file)
    {
      if (asprintf (ret_error, "%s: %s", path, sf_strerror (NULL)) < 0)
        *ret_error = NULL;
      free (self);
      return NULL;
    }
  /* The header is right after every write: a killed monitor leaves a playable file. */
  sf_command (self->file, SFC_SET_UPDATE_HEADER_AUTO, NULL, SF_TRUE);
  self->sink = (SoundSink) { file_write, file_close };
  return &self->sink;
}

/* --- PulseAudio ------------------------------------------------------------------------------------------------ */

enum { QUEUE_FRAMES = SOUND_RATE / 4 };

/* pa_simple_write blocks, the machine must not: a thread empties a short queue, and what does not fit is dropped. */
typedef struct
{
  SoundSink       sink;
  pa_simple      *stream;
  pthread_t       thread;
  pthread_mutex_t lock;
  pthread_cond_t  more;
  int16_t         queue[QUEUE_FRAMES * 2];
  size_t          first, count;
  bool            closing;
} PulseSink;

static void
pulse_write (SoundSink *sink, const int16_t *frames, size_t n_frames)
{
  PulseSink *self = (PulseSink *) sink;

  pthread_mutex_lock (&self->lock);
  for (size_t i = 0; i < n_frames && self->count < QUEUE_FRAMES; i++, self->count++)
    memcpy (self->queue + (self->first + self->count) % QUEUE_FRAMES * 2, frames + i * 2, 4);
  pthread_cond_signal (&self->more);
  pthread_mutex_unlock (&self->lock);
}

static void *
play (void *data)
{
  PulseSink *self = data;
  int16_t chunk[512 * 2];

  pthread_mutex_lock (&self->lock);
  while (!self->closing)
    {
      size_t n = self->count < 512 ? self->count : 512;

      if (n == 0)
        {
          pthread_cond_wait (&self->more, &self->lock);
          continue;
        }
      for (size_t i = 0; i < n; i++)
        memcpy (chunk + i * 2, self->queue + (self->first + i) % QUEUE_FRAMES * 2, 4);
      self->first = (self->first + n) % QUEUE_FRAMES;
      self->count -= n;
      pthread_mutex_unlock (&self->lock);
      pa_simple_write (self->stream, chunk, n * 4, NULL);
      pthread_mutex_lock (&self->lock);
    }
  pthread_mutex_unlock (&self->lock);
  return NULL;
}

static void
pulse_close (SoundSink *sink)
{
  PulseSink *self = (PulseSink *) sink;

  pthread_mutex_lock (&self->lock);
  self->closing = true;
  pthread_cond_signal (&self->more);
  pthread_mutex_unlock (&self->lock);
  pthread_join (self->thread, NULL);
  pa_simple_free (self->stream);
  free (self);
}

static SoundSink *
open_pulse (char **ret_error)
{
  static const pa_sample_spec format = { PA_SAMPLE_S16LE, SOUND_RATE, 2 };
  pa_buffer_attr latency = { .maxlength = UINT32_MAX, .tlength = SOUND_RATE / 25 * 4, .prebuf = UINT32_MAX, .minreq = UINT32_MAX };
  PulseSink *self = calloc (1, sizeof *self);
  int error = 0;

  if (!self)
    return NULL;
  self->stream = pa_simple_new (NULL, "Bulkhead", PA_STREAM_PLAYBACK, NULL, "virtual machine", &format, NULL, &latency, &error);
  if (!self->stream)
    {
      if (asprintf (ret_error, "PulseAudio: %s; start a sound server or use --sound none", pa_strerror (error)) < 0)
        *ret_error = NULL;
      free (self);
      return NULL;
    }
  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->more, NULL);
  self->sink = (SoundSink) { pulse_write, pulse_close };
  if (pthread_create (&self->thread, NULL, play, self) != 0)
    {
      pa_simple_free (self->stream);
      free (self);
      return NULL;
    }
  return &self->sink;
}

SoundSink *
sound_sink_open (const char *description, char **ret_error)
{
  *ret_error = NULL;
  if (strcmp (description, "pulse") == 0)
    return open_pulse (ret_error);
  if (strncmp (description, "file:", 5) == 0 && description[5])
    return open_file (description + 5, ret_error);
  if (asprintf (ret_error, "'%s' is neither none, pulse nor file:PATH", description) < 0)
    *ret_error = NULL;
  return NULL;
}
