/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sound-ring.h"

#include <stdlib.h>
#include <string.h>

enum
{
  /* How far behind the end a sink may be and still be mixed in: 43 ms, more than any device's period.  The app plays at
   * least that far behind the end. */
  MIX_FRAMES = 2048,
};

struct SoundRing
{
  SoundRingHeader *header;      /* shared: written, never read */
  int16_t         *frames;
  uint64_t         written;     /* ours: the app cannot change it */
  unsigned         n_users;     /* the owner and the open sinks */
};

typedef struct
{
  SoundSink  parent;
  SoundRing *ring;
  uint64_t   position;          /* of this sink's next frame */
} RingSink;

static void
release (SoundRing *self)
{
  if (--self->n_users == 0)
    free (self);
}

static int16_t
saturate (int32_t value)
{
  return (int16_t) (value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

static void
ring_write (SoundSink *sink, const int16_t *frames, size_t n_frames)
{
  RingSink  *self = (RingSink *) sink;
  SoundRing *ring = self->ring;

  if (ring->written - self->position > MIX_FRAMES)
    self->position = ring->written;
  for (size_t i = 0; i < n_frames; i++, self->position++)
    {
      int16_t *at = ring->frames + self->position % SOUND_RING_FRAMES * 2;

      if (self->position < ring->written)
        {
          at[0] = saturate (at[0] + frames[2 * i]);
          at[1] = saturate (at[1] + frames[2 * i + 1]);
        }
      else
        {
          at[0] = frames[2 * i];
          at[1] = frames[2 * i + 1];
        }
    }
  if (self->position > ring->written)
    {
      ring->written = self->position;
      /* The frames before the count that says they are there. */
      __atomic_store_n (&ring->header->written, ring->written, __ATOMIC_RELEASE);
    }
}

static void
ring_close (SoundSink *sink)
{
  RingSink *self = (RingSink *) sink;

  release (self->ring);
  free (self);
}

SoundRing *
sound_ring_new (void *mapping, size_t n_bytes)
{
  SoundRing *self;

  if (n_bytes < SOUND_RING_BYTES || !(self = calloc (1, sizeof *self)))
    return NULL;
  self->header = mapping;
  self->frames = (int16_t *) ((uint8_t *) mapping + SOUND_RING_OFFSET);
  self->n_users = 1;
  self->header->magic = SOUND_RING_MAGIC;
  self->header->rate = SOUND_RATE;
  __atomic_store_n (&self->header->written, 0, __ATOMIC_RELEASE);
  return self;
}

void
sound_ring_free (SoundRing *self)
{
  if (self)
    release (self);
}

SoundSink *
sound_ring_add_sink (SoundRing *self)
{
  RingSink *sink = calloc (1, sizeof *sink);

  if (!sink)
    return NULL;
  *sink = (RingSink) { { ring_write, ring_close }, self, self->written };
  self->n_users++;
  return &sink->parent;
}

uint64_t
sound_ring_written (const SoundRing *self)
{
  return self->written;
}
