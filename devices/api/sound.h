/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a sound device's samples go. Interleaved signed 16-bit stereo at SOUND_RATE, paced by guest time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SOUND_RATE 48000u

typedef struct SoundSink SoundSink;

struct SoundSink
{
  void (*write) (SoundSink *self, const int16_t *frames, size_t n_frames);   /* never blocks; may drop */
  void (*close) (SoundSink *self);
};

/* The ring in a memory file shared with the app: one page of header, then RING_FRAMES stereo frames. */
enum { SOUND_RING_FRAMES = 65536, SOUND_RING_OFFSET = 4096, SOUND_RING_BYTES = SOUND_RING_OFFSET + SOUND_RING_FRAMES * 4,
       SOUND_RING_MAGIC = 0x53484221 };

typedef struct
{
  uint32_t magic, rate;
  uint64_t written;             /* frames ever written; position is written % SOUND_RING_FRAMES */
} SoundRingHeader;
