/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machine's loudspeaker socket: sinks that mix into the ring of sound.h, which the app maps and plays.
 *
 * Each sound device gets a sink of its own.  All are paced by the same guest time, so what they write within the same
 * few milliseconds belongs together and is added up; a sink that was silent joins at the present end.  The ring only
 * ever grows: a reader that falls behind by more than its length has lost the difference.  The app may read
 * the ring at any moment; of what it could change, only samples are read back, to be added to. */
#pragma once

#include "sound.h"

typedef struct SoundRing SoundRing;

/* mapping: SOUND_RING_BYTES of shared memory that stay mapped as long as the ring lives; its header is written here.
 * NULL when memory is short or n_bytes is too small. */
SoundRing *sound_ring_new (void *mapping, size_t n_bytes);
/* Sinks may be closed before or after; the last one out frees. */
void       sound_ring_free (SoundRing *self);

/* A new sink; the device closes it. NULL when memory is short. */
SoundSink *sound_ring_add_sink (SoundRing *self);

/* Frames ever written. */
uint64_t   sound_ring_written (const SoundRing *self);
