/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Port 61h as the PIIX3 has it (data sheet 2.5.7, NMI status and control), and sound.
 *
 * The cone is a level, 0 or 1: counter 2's output and the data bit.  A sample is the share of its 1/48000 s for which the
 * level was 1, so tones above the sampling rate (pulse width speech) come out as their average.  A real speaker passes no
 * direct current; a high pass filter at some 30 Hz does the same and lets every sound end in exact silence, when the timer
 * stops. */
#include "speaker.h"

#include "bus.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>

enum
{
  PORT_GATE2 = 1 << 0, PORT_DATA = 1 << 1, PORT_WRITABLE = 0x0f, PORT_REFRESH = 1 << 4, PORT_OUT2 = 1 << 5,
  REFRESH_TICKS = 18,           /* counter 1 as every BIOS programs it: 15.09 us */
  CHUNK_FRAMES = 480,           /* 10 ms */
  MAX_BEHIND_FRAMES = SOUND_RATE / 4,
  AMPLITUDE = 10000, FILTER_SHIFT = 8, FILTER_FRACTION = 8,
};

struct Speaker
{
  Device     parent;
  Clock     *clock;
  Pit       *pit;
  SoundSink *sink;
  Timer     *timer;
  uint8_t    latch;             /* the writable bits */
  uint8_t    active;            /* frames are being made: the next three are valid */
  uint64_t   next_frame;        /* the one being made, since power on, at SOUND_RATE */
  int64_t    done_tick;         /* the level has been looked at up to here, inside next_frame */
  uint32_t   partial;           /* ticks of next_frame before done_tick for which the level was 1 */
  int32_t    average;           /* of the level, what the high pass takes away; FILTER_FRACTION binary places */
};

/* The PIT's tick at which a frame begins. */
static int64_t
frame_tick (uint64_t frame)
{
  return (int64_t) clock_scale (frame, PIT_HZ, SOUND_RATE);
}

static uint64_t
frame_now (const Speaker *self)
{
  return clock_scale ((uint64_t) pit_now_ticks (self->pit), SOUND_RATE, PIT_HZ);
}

static void
begin_frames (Speaker *self, uint64_t frame)
{
  self->active = 1;
  self->next_frame = frame;
  self->done_tick = frame_tick (frame);
  self->partial = 0;
}

/* Ticks from done_tick to `last` for which the level was 1. */
static uint32_t
high_ticks_until (Speaker *self, int64_t last)
{
  uint32_t high = 0;

  if (last <= self->done_tick)
    return 0;
  if (self->latch & PORT_DATA)
    high = pit_high_ticks2 (self->pit, self->done_tick, last);
  self->done_tick = last;
  return high;
}

/* Looks at the level up to now, and sends all frames that are complete. */
static void
render (Speaker *self)
{
  uint64_t end = frame_now (self);
  int16_t  frames[CHUNK_FRAMES * 2];

  if (!self->active)
    return;
  /* The machine stood still with its clock running on: what nobody could have heard is left out. */
  if (end > self->next_frame + MAX_BEHIND_FRAMES)
    begin_frames (self, end - MAX_BEHIND_FRAMES);
  while (self->next_frame < end)
    {
      size_t n = 0;

      for (; n < CHUNK_FRAMES && self->next_frame < end; n++, self->next_frame++)
        {
          int64_t last = frame_tick (self->next_frame + 1), length = last - frame_tick (self->next_frame);
          int64_t high = self->partial + high_ticks_until (self, last);
          int32_t level = (int32_t) ((high < length ? high : length) * AMPLITUDE / length);
          int32_t sample = level - (self->average >> FILTER_FRACTION);

          self->partial = 0;
          self->average += ((level << FILTER_FRACTION) - self->average) >> FILTER_SHIFT;
          frames[2 * n] = frames[2 * n + 1] = (int16_t) sample;
        }
      self->sink->write (self->sink, frames, n);
    }
  if (end == self->next_frame)
    self->partial += high_ticks_until (self, pit_now_ticks (self->pit));
}

/* Whether the cone moves by itself, or the filter has not come to rest: an average near where the level stays. */
static bool
is_audible (Speaker *self)
{
  int32_t level = (self->latch & PORT_DATA) && pit_out2 (self->pit) ? AMPLITUDE : 0;
  int32_t rest = (level << FILTER_FRACTION) - self->average;

  return ((self->latch & PORT_DATA) && pit_running2 (self->pit)) || rest >= 1 << FILTER_SHIFT || rest < 0;
}

static void
continue_or_rest (Speaker *self)
{
  if (!self->sink)
    return;
  if (!is_audible (self))
    {
      self->active = 0;
      timer_disarm (self->timer);
      return;
    }
  if (!self->active)
    begin_frames (self, frame_now (self));
  if (!timer_armed (self->timer))
    timer_arm (self->timer, clock_tick_ns (self->next_frame + CHUNK_FRAMES, SOUND_RATE));
}

static void
speaker_fire (Device *device)
{
  Speaker *self = (Speaker *) device;

  render (self);
  continue_or_rest (self);
  /* Under fuzzy time no frame may be complete yet; never wait for a moment that is past. */
  if (timer_armed (self->timer) && timer_deadline_ns (self->timer) <= clock_now_ns (self->clock))
    timer_arm (self->timer, clock_now_ns (self->clock) + CLOCK_NS_PER_SECOND * CHUNK_FRAMES / SOUND_RATE);
}

/* Counter 2 is about to be written, or its gate to change. */
static void
counter_changing (Device *device)
{
  Speaker *self = (Speaker *) device;

  if (!self->sink || !(self->latch & PORT_DATA))
    return;
  render (self);
  /* What it will do is not known yet: look again soon. */
  if (!self->active)
    begin_frames (self, frame_now (self));
  if (!timer_armed (self->timer))
    timer_arm (self->timer, clock_tick_ns (self->next_frame + CHUNK_FRAMES, SOUND_RATE));
}

static uint64_t
speaker_read (Device *device, uint32_t offset, unsigned size)
{
  Speaker *self = (Speaker *) device;
  uint64_t value = self->latch;

  /* The refresh request toggles with counter 1; programs count it to wait. */
  if (pit_now_ticks (self->pit) / REFRESH_TICKS & 1)
    value |= PORT_REFRESH;
  if (pit_out2 (self->pit))
    value |= PORT_OUT2;
  return value;
}

static void
speaker_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Speaker *self = (Speaker *) device;

  if (self->sink && ((value ^ self->latch) & (PORT_GATE2 | PORT_DATA)))
    render (self);
  self->latch = value & PORT_WRITABLE;
  pit_set_gate2 (self->pit, self->latch & PORT_GATE2);
  continue_or_rest (self);
}

static const BusRegion speaker_region = { "port-61", BUS_SIZE_1, speaker_read, speaker_write };

static const StateField speaker_fields[] = {
  STATE_FIELD (Speaker, timer, STATE_TIMER, 1),
  STATE_FIELD (Speaker, latch, STATE_UINT, 1),
  STATE_FIELD (Speaker, active, STATE_UINT, 1),
  STATE_FIELD (Speaker, next_frame, STATE_UINT, 1),
  STATE_FIELD (Speaker, done_tick, STATE_UINT, 1),
  STATE_FIELD (Speaker, partial, STATE_UINT, 1),
  STATE_FIELD (Speaker, average, STATE_UINT, 1),
  STATE_END,
};

static int
speaker_check (Device *device)
{
  Speaker *self = (Speaker *) device;

  if ((self->latch & ~PORT_WRITABLE) || self->active > 1 || self->next_frame >> 48 || self->done_tick < 0
      || self->done_tick >> 56 || self->done_tick < frame_tick (self->next_frame) || self->average < 0
      || self->partial > PIT_HZ || self->average > AMPLITUDE << FILTER_FRACTION)
    return -EBADMSG;
  if (!self->sink)
    {
      self->active = 0;
      timer_disarm (self->timer);
    }
  return 0;
}

static const StateTable speaker_state = { "speaker", 1, speaker_fields, speaker_check };

static void
speaker_reset (Device *device)
{
  Speaker *self = (Speaker *) device;

  self->latch = 0;
  self->active = 0;
  self->next_frame = 0;
  self->done_tick = 0;
  self->partial = 0;
  self->average = 0;
  timer_disarm (self->timer);
  pit_set_gate2 (self->pit, false);
}

static void
speaker_finish (Device *device)
{
  Speaker *self = (Speaker *) device;

  if (!self)
    return;
  if (self->sink)
    self->sink->close (self->sink);
  timer_free (self->timer);
  free (self);
}

static const DeviceClass speaker_class = { "speaker", sizeof (Speaker), &speaker_state, speaker_reset, speaker_finish };

int
speaker_new (const DeviceHost *host, Pit *pit, SoundSink *sink, Speaker **ret)
{
  Speaker *self = calloc (1, sizeof *self);
  int      result = -ENOMEM;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &speaker_class;
  self->clock = host->clock;
  self->pit = pit;
  self->timer = clock_add_timer (host->clock, &self->parent, speaker_fire);
  if (self->timer)
    result = bus_claim_ports (host->bus, &self->parent, &speaker_region, 0x61, 1);
  if (result < 0)
    {
      speaker_finish (&self->parent);
      return result;
    }
  self->sink = sink;
  pit_on_change2 (pit, counter_changing, &self->parent);
  speaker_reset (&self->parent);
  *ret = self;
  return 0;
}
