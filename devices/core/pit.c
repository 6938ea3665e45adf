/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Intel 82C54, order number 231244.  "DS" below is that data sheet.
 *
 * A counter is not counted: it keeps the tick at which its counting element (CE) was loaded and the count that was
 * loaded, and everything that can be seen of it is computed from the distance to now.  What changes by itself, a new
 * count that becomes effective at the end of a period, is applied by counter_sync before any look.
 *
 * Ticks are CLK pulses since power on.  A count written during tick t is in the CE at tick t + 1 (DS "Write
 * operations": loaded on the next CLK pulse).
 *
 * When the host was away for several periods of counter 0, the guest gets the missed edges later, at up to four times
 * their rate: its clock is a count of these interrupts and must not lose time because the host was busy. */
#include "pit.h"

#include "bus.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>

enum { N_COUNTERS = 3, CONTROL = 3, MIN_OWED_TICKS = 120 /* 100 us */ };
enum { ACCESS_LATCH = 0, ACCESS_LOW = 1, ACCESS_HIGH = 2, ACCESS_WORD = 3 };
/* Distances from power on that a restored state may name: 2^60 ticks are 30,000 years. */
#define MAX_TICK (INT64_C (1) << 60)

/* Flags are bytes: a restored state may hold any value in them, which a bool must not. */
typedef struct
{
  int64_t  start;               /* the tick at which the CE holds (or will hold) `count` */
  int64_t  paused_elapsed;      /* ticks counted when the gate stopped counting; loading needs no gate */
  int64_t  boundary;            /* the tick at which a pending count becomes effective: modes 2 and 3 while counting */
  uint32_t count;               /* in the CE: 1 … 65536 */
  uint32_t next_count;          /* in the count register */
  uint16_t frozen;              /* what reads as count while nothing was loaded */
  uint16_t latched_count;
  uint8_t  mode;                /* 0 … 5 */
  uint8_t  bcd;
  uint8_t  access;              /* ACCESS_LOW … ACCESS_WORD */
  uint8_t  gate;
  uint8_t  loaded;              /* `start` and `count` are valid */
  uint8_t  pending;             /* next_count waits for the end of the period or for a trigger */
  uint8_t  null_count;
  uint8_t  paused;
  uint8_t  out_before;          /* the output until `start` */
  uint8_t  write_high;          /* the next write is the high byte */
  uint8_t  write_low;           /* the low byte written before it */
  uint8_t  read_high;           /* the next read is the high byte */
  uint8_t  count_latched, status_latched, latched_status;
} Counter;

struct Pit
{
  Device   parent;
  Clock   *clock;
  IrqLine  irq0;
  Counter  counters[N_COUNTERS];
  Timer   *timer;
  int64_t  edge_tick;           /* the next edge */
  int64_t  due_tick;            /* what `timer` waits for: that, or an earlier edge that is owed */
  uint32_t owed;                /* edges that the guest has not got in time */
  uint8_t  edge_rises;
  void   (*changing) (Device *listener);
  Device  *listener;
};

int64_t
pit_now_ticks (const Pit *self)
{
  return (int64_t) (clock_ticks (clock_now_ns (self->clock), PIT_HZ) & (MAX_TICK - 1));
}

static uint32_t
modulus (const Counter *c)
{
  return c->bcd ? 10000 : 65536;
}

/* Zero is the largest count: 2^16 or 10^4 (DS table "Minimum and maximum initial counts"). A digit above 9 counts for
 * its weight. */
static uint32_t
count_of (const Counter *c, uint16_t raw)
{
  uint32_t n = raw;

  if (c->bcd)
    n = (raw >> 12) * 1000u + (raw >> 8 & 15) * 100u + (raw >> 4 & 15) * 10u + (raw & 15u);
  return n ? n : modulus (c);
}

static uint16_t
raw_of (const Counter *c, int64_t count)
{
  int64_t  m = modulus (c);
  uint32_t n = (uint32_t) (((count % m) + m) % m);

  if (c->bcd)
    return (uint16_t) ((n / 1000) << 12 | (n / 100 % 10) << 8 | (n / 10 % 10) << 4 | n % 10);
  return (uint16_t) n;
}

static int64_t
elapsed (const Counter *c, int64_t tick)
{
  return c->paused && tick >= c->start ? c->paused_elapsed : tick - c->start;
}

/* Ticks for which a square wave is high: the odd one belongs to the high half (DS "Mode 3"). */
static uint32_t
high_half (const Counter *c)
{
  return (c->count + 1) / 2;
}

/* The tick at which a new count becomes effective by itself: the end of the period (mode 2) or of the half period
 * (mode 3) that `tick` lies in.  Only for loaded, running counters of these modes. */
static int64_t
next_boundary (const Counter *c, int64_t tick)
{
  int64_t e = elapsed (c, tick);
  int64_t period_start;

  if (e < 0)
    return c->start;
  period_start = tick - e % c->count;
  if (c->mode == 3 && e % c->count < high_half (c) && high_half (c) < c->count)
    return period_start + high_half (c);
  return period_start + c->count;
}

static bool
is_periodic (const Counter *c)
{
  return c->mode == 2 || c->mode == 3;
}

/* Applies what has happened by itself up to `tick`. */
static void
counter_sync (Counter *c, int64_t tick)
{
  if (!c->loaded || tick < c->start)
    return;
  if (!c->pending)
    {
      c->null_count = 0;
      return;
    }
  if (is_periodic (c) && !c->paused)
    {
      bool low_begins = c->mode == 3 && (c->boundary - c->start) % c->count == high_half (c) && high_half (c) < c->count;

      if (tick < c->boundary)
        return;
      c->count = c->next_count;
      /* A low half begins as if a high one of the new length had just ended. */
      c->start = low_begins ? c->boundary - high_half (c) : c->boundary;
      c->pending = 0;
      c->null_count = 0;
    }
}

/* The same for a counter of the chip: a new count of counter 2 ends what pit_high_ticks2 can still look back at. */
static void
sync_counter (Pit *self, unsigned n, int64_t tick)
{
  Counter *c = &self->counters[n];

  if (n == 2 && self->changing && c->loaded && !c->paused && c->pending && is_periodic (c) && tick >= c->boundary)
    self->changing (self->listener);
  counter_sync (c, tick);
}

static bool
counter_out (const Counter *c, int64_t tick)
{
  int64_t e;

  if (!c->loaded)
    return c->mode != 0;
  if (is_periodic (c) && !c->gate)
    return true;
  e = elapsed (c, tick);
  if (e < 0)
    return c->out_before;
  switch (c->mode)
    {
    case 0:
    case 1:
      return e >= c->count;
    case 2:
      return e % c->count != c->count - 1;
    case 3:
      return e % c->count < high_half (c);
    default:
      return e != c->count;
    }
}

static uint16_t
counter_value (const Counter *c, int64_t tick)
{
  int64_t  e;
  uint32_t phase;

  if (!c->loaded)
    return c->frozen;
  e = elapsed (c, tick);
  if (e < 0)
    return c->frozen;
  switch (c->mode)
    {
    case 2:
      return raw_of (c, c->count - e % c->count);
    case 3:
      /* Counts down by two, twice per period; an odd count starts one lower (DS "Mode 3"). */
      phase = (uint32_t) (e % c->count);
      if (phase >= high_half (c))
        phase -= high_half (c);
      return raw_of (c, (int64_t) (c->count & ~1u) - 2 * (int64_t) phase);
    default:
      return raw_of (c, c->count - e);
    }
}

/* --- Edges of counter 0 --------------------------------------------------------------------------------------- */

/* The next tick after `tick` at which the output rises, or a pending count must be applied; -1: never. */
static int64_t
next_edge (const Counter *c, int64_t tick, uint8_t *ret_rises)
{
  int64_t e, edge = -1;

  *ret_rises = 1;
  if (!c->loaded || c->paused || (is_periodic (c) && !c->gate))
    return -1;
  if (is_periodic (c) && c->pending)
    {
      *ret_rises = c->mode == 2 || (c->boundary - c->start) % c->count == 0;
      return c->boundary > tick ? c->boundary : tick + 1;
    }
  e = elapsed (c, tick);
  switch (c->mode)
    {
    case 0:
    case 1:
      edge = c->start + c->count;
      break;
    case 2:
    case 3:
      /* A count of 1 gives no edges: illegal in mode 2, and a square wave without a low half. */
      if (c->count > 1)
        edge = e < 0 ? c->start + c->count : tick - e % c->count + c->count;
      break;
    default:
      edge = c->start + c->count + 1;
      break;
    }
  return edge > tick ? edge : -1;
}

static void
arm (Pit *self, int64_t tick)
{
  int64_t edge = next_edge (&self->counters[0], tick, &self->edge_rises);

  if (edge < 0)
    {
      timer_disarm (self->timer);
      return;
    }
  self->edge_tick = self->due_tick = edge;
  if (self->owed)
    {
      int64_t quarter = self->counters[0].count / 4;
      int64_t soon = tick + (quarter > MIN_OWED_TICKS ? quarter : MIN_OWED_TICKS);

      self->due_tick = soon < edge ? soon : edge;
    }
  timer_arm (self->timer, clock_tick_ns ((uint64_t) self->due_tick, PIT_HZ));
}

/* The timer is late: how many further edges lie between edge_tick and now. */
static void
note_missed (Pit *self, int64_t tick)
{
  const Counter *c = &self->counters[0];
  int64_t        missed, most;

  if (!c->loaded || c->paused || !is_periodic (c) || c->count < 2)
    return;
  /* At most a second's worth: after a longer absence no guest minds. */
  most = PIT_HZ / c->count;
  missed = self->owed + (tick - self->edge_tick) / c->count;
  self->owed = (uint32_t) (missed < most ? missed : most);
}

static void
counter0_fire (Device *device)
{
  Pit    *self = (Pit *) device;
  int64_t tick = pit_now_ticks (self);

  /* Under fuzzy time the clock may read a little less than the deadline that has come. */
  if (tick < self->due_tick)
    tick = self->due_tick;
  counter_sync (&self->counters[0], tick);
  if (tick >= self->edge_tick)
    note_missed (self, tick);
  else if (self->owed)
    self->owed--;
  if (tick < self->edge_tick || self->edge_rises)
    {
      /* The falling edge had no timer of its own. */
      irq_line_set (&self->irq0, false);
      irq_line_set (&self->irq0, true);
    }
  arm (self, tick);
}

/* --- Programming ---------------------------------------------------------------------------------------------- */

static void
load (Counter *c, int64_t tick)
{
  c->frozen = counter_value (c, tick);
  c->out_before = counter_out (c, tick);
  c->count = c->next_count;
  c->start = tick + 1;
  c->loaded = 1;
  c->pending = 0;
  c->paused = 0;
}

static void
pause_counting (Counter *c, int64_t tick)
{
  if (c->loaded && !c->paused)
    {
      c->paused_elapsed = tick < c->start ? 0 : tick - c->start;
      c->paused = 1;
    }
}

/* Loading needs no gate, counting does. */
static void
hold_if_gated (Counter *c)
{
  c->paused = !c->gate;
  c->paused_elapsed = 0;
}

/* The count register has been filled. */
static void
load_count (Counter *c, uint16_t raw, int64_t tick)
{
  c->next_count = count_of (c, raw);
  c->null_count = 1;
  switch (c->mode)
    {
    case 0:
    case 4:
      load (c, tick);
      if (c->mode == 0)
        c->out_before = 0;
      hold_if_gated (c);
      break;
    case 2:
    case 3:
      if (!c->loaded)
        {
          load (c, tick);
          hold_if_gated (c);
        }
      else if (tick < c->start)
        c->count = c->next_count;
      else if (!c->pending)
        {
          /* Not before the present period or half period ends, or the gate's rising edge; a further count replaces the
           * waiting one. */
          c->pending = 1;
          c->boundary = next_boundary (c, tick);
        }
      break;
    default:
      /* Modes 1 and 5 wait for a trigger, unless one has just come and the CLK pulse after it has not. */
      if (c->loaded && tick < c->start)
        c->count = c->next_count;
      else
        c->pending = 1;
      break;
    }
}

static void
set_gate (Counter *c, bool level, int64_t tick)
{
  bool rising = level && !c->gate, falling = !level && c->gate;

  if (!rising && !falling)
    return;
  counter_sync (c, tick);
  switch (c->mode)
    {
    case 0:
    case 4:
      if (falling)
        pause_counting (c, tick);
      else if (c->paused)
        {
          if (c->start < tick - c->paused_elapsed)
            c->start = tick - c->paused_elapsed;
          c->paused = 0;
        }
      break;
    case 1:
    case 5:
      if (rising && (c->pending || c->loaded))
        load (c, tick);
      break;
    default:
      /* A count that waits for the end of the period now waits for the trigger. */
      if (falling)
        pause_counting (c, tick);
      else if (c->loaded)
        load (c, tick);
      break;
    }
  c->gate = level;
}

static void
latch_count (Counter *c, int64_t tick)
{
  if (c->count_latched)
    return;                     /* DS "Counter latch command": further ones are ignored until it is read */
  c->latched_count = counter_value (c, tick);
  c->count_latched = c->access == ACCESS_WORD ? 2 : 1;
}

static void
latch_status (Counter *c, int64_t tick)
{
  if (c->status_latched)
    return;
  c->latched_status = (uint8_t) (counter_out (c, tick) << 7 | c->null_count << 6 | c->access << 4 | c->mode << 1 | c->bcd);
  c->status_latched = 1;
}

static void
write_control (Pit *self, uint8_t value, int64_t tick)
{
  unsigned n = value >> 6;
  Counter *c;

  if (n == 3)
    {
      /* Read-back: bits 5 and 4 low ask for count and status of the counters in bits 1 … 3. */
      for (unsigned i = 0; i < N_COUNTERS; i++)
        if (value & 2u << i)
          {
            sync_counter (self, i, tick);
            if (!(value & 0x20))
              latch_count (&self->counters[i], tick);
            if (!(value & 0x10))
              latch_status (&self->counters[i], tick);
          }
      return;
    }
  c = &self->counters[n];
  sync_counter (self, n, tick);
  if ((value >> 4 & 3) == ACCESS_LATCH)
    {
      latch_count (c, tick);
      return;
    }
  c->frozen = counter_value (c, tick);
  c->mode = value >> 1 & 7;
  if (c->mode > 5)
    c->mode -= 4;               /* the high bit of modes 2 and 3 is not decoded */
  c->bcd = value & 1;
  c->access = value >> 4 & 3;
  c->loaded = c->pending = c->paused = 0;
  c->null_count = 1;
  c->write_high = c->read_high = 0;
  c->count_latched = c->status_latched = 0;
}

static void
write_counter (Counter *c, uint8_t value, int64_t tick)
{
  counter_sync (c, tick);
  switch (c->access)
    {
    case ACCESS_LOW:
      load_count (c, value, tick);
      break;
    case ACCESS_HIGH:
      load_count (c, (uint16_t) (value << 8), tick);
      break;
    default:
      if (!c->write_high)
        {
          c->write_low = value;
          c->write_high = 1;
          /* DS "Mode 0": the first byte stops counting and sets OUT low at once. */
          if (c->mode == 0)
            {
              c->frozen = counter_value (c, tick);
              c->loaded = c->paused = 0;
            }
        }
      else
        {
          c->write_high = 0;
          load_count (c, (uint16_t) (value << 8 | c->write_low), tick);
        }
      break;
    }
}

static uint8_t
read_counter (Pit *self, unsigned n, int64_t tick)
{
  Counter *c = &self->counters[n];
  uint16_t value;
  bool     high;

  if (c->status_latched)
    {
      c->status_latched = 0;
      return c->latched_status;
    }
  sync_counter (self, n, tick);
  value = c->count_latched ? c->latched_count : counter_value (c, tick);
  high = c->access == ACCESS_HIGH;
  if (c->access == ACCESS_WORD)
    {
      high = c->read_high;
      c->read_high = !high;
    }
  if (c->count_latched)
    c->count_latched--;
  return (uint8_t) (high ? value >> 8 : value);
}

static uint64_t
pit_read (Device *device, uint32_t offset, unsigned size)
{
  Pit *self = (Pit *) device;

  if (offset >= CONTROL)
    return 0xff;                /* DS table "Read/write operations": no operation, the bus floats */
  return read_counter (self, offset, pit_now_ticks (self));
}

static void
pit_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Pit     *self = (Pit *) device;
  int64_t  tick = pit_now_ticks (self);
  unsigned n = offset < CONTROL ? offset : (unsigned) value >> 6 & 3;

  if (n == 2 && self->changing)
    self->changing (self->listener);
  if (offset < CONTROL)
    write_counter (&self->counters[offset], (uint8_t) value, tick);
  else
    write_control (self, (uint8_t) value, tick);
  /* Latch commands change no output. */
  if (n == 0 && (offset < CONTROL || (value >> 4 & 3) != ACCESS_LATCH))
    {
      irq_line_set (&self->irq0, counter_out (&self->counters[0], tick));
      self->owed = 0;
      arm (self, tick);
    }
}

/* --- Counter 2 and its listeners ------------------------------------------------------------------------------ */

void
pit_set_gate2 (Pit *self, bool level)
{
  if (level == self->counters[2].gate)
    return;
  if (self->changing)
    self->changing (self->listener);
  set_gate (&self->counters[2], level, pit_now_ticks (self));
}

bool
pit_gate2 (const Pit *self)
{
  return self->counters[2].gate;
}

bool
pit_out2 (Pit *self)
{
  int64_t tick = pit_now_ticks (self);

  sync_counter (self, 2, tick);
  return counter_out (&self->counters[2], tick);
}

void
pit_on_change2 (Pit *self, void (*changing) (Device *listener), Device *listener)
{
  self->changing = changing;
  self->listener = listener;
}

/* High ticks in [0, e) of a counter that was loaded at 0. */
static int64_t
high_before (const Counter *c, int64_t e)
{
  int64_t n = c->count, rest;

  if (e <= 0)
    return 0;
  switch (c->mode)
    {
    case 0:
    case 1:
      return e > n ? e - n : 0;
    case 2:
      return e / n * (n - 1) + e % n;
    case 3:
      rest = e % n;
      return e / n * high_half (c) + (rest < high_half (c) ? rest : high_half (c));
    default:
      return e > n ? e - 1 : e;
    }
}

static uint32_t
high_ticks (const Counter *c, int64_t first, int64_t last)
{
  int64_t high = 0;

  if (last <= first)
    return 0;
  if (!c->loaded || (is_periodic (c) && !c->gate))
    return counter_out (c, first) ? (uint32_t) (last - first) : 0;
  if (first < c->start)
    {
      int64_t until = last < c->start ? last : c->start;

      high += c->out_before ? until - first : 0;
      first = until;
    }
  if (first < last && c->paused)
    high += counter_out (c, first) ? last - first : 0;
  else if (first < last)
    high += high_before (c, last - c->start) - high_before (c, first - c->start);
  return (uint32_t) high;
}

uint32_t
pit_high_ticks2 (Pit *self, int64_t first, int64_t last)
{
  Counter *c = &self->counters[2];
  uint32_t high = 0;

  if (c->loaded && !c->paused && c->pending && is_periodic (c))
    {
      int64_t boundary = c->boundary;

      if (last <= boundary)
        return high_ticks (c, first, last);
      if (first < boundary)
        {
          high = high_ticks (c, first, boundary);
          first = boundary;
        }
      counter_sync (c, last);
    }
  return high + high_ticks (c, first, last);
}

bool
pit_running2 (Pit *self)
{
  Counter *c = &self->counters[2];
  int64_t  tick = pit_now_ticks (self), e;

  sync_counter (self, 2, tick);
  if (!c->loaded || c->paused || (is_periodic (c) && !c->gate))
    return false;
  e = elapsed (c, tick);
  return is_periodic (c) ? c->count > 1 || c->pending || e < 0 : e <= c->count;
}

/* --- Device --------------------------------------------------------------------------------------------------- */

static const BusRegion pit_region = { "pit", BUS_SIZE_1, pit_read, pit_write };

static const StateField counter_fields[] = {
  STATE_FIELD (Counter, start, STATE_UINT, 1),
  STATE_FIELD (Counter, paused_elapsed, STATE_UINT, 1),
  STATE_FIELD (Counter, boundary, STATE_UINT, 1),
  STATE_FIELD (Counter, count, STATE_UINT, 1),
  STATE_FIELD (Counter, next_count, STATE_UINT, 1),
  STATE_FIELD (Counter, frozen, STATE_UINT, 1),
  STATE_FIELD (Counter, latched_count, STATE_UINT, 1),
  STATE_FIELD (Counter, mode, STATE_UINT, 1),
  STATE_FIELD (Counter, bcd, STATE_UINT, 1),
  STATE_FIELD (Counter, access, STATE_UINT, 1),
  STATE_FIELD (Counter, gate, STATE_UINT, 1),
  STATE_FIELD (Counter, loaded, STATE_UINT, 1),
  STATE_FIELD (Counter, pending, STATE_UINT, 1),
  STATE_FIELD (Counter, null_count, STATE_UINT, 1),
  STATE_FIELD (Counter, paused, STATE_UINT, 1),
  STATE_FIELD (Counter, out_before, STATE_UINT, 1),
  STATE_FIELD (Counter, write_high, STATE_UINT, 1),
  STATE_FIELD (Counter, write_low, STATE_UINT, 1),
  STATE_FIELD (Counter, read_high, STATE_UINT, 1),
  STATE_FIELD (Counter, count_latched, STATE_UINT, 1),
  STATE_FIELD (Counter, status_latched, STATE_UINT, 1),
  STATE_FIELD (Counter, latched_status, STATE_UINT, 1),
  STATE_END,
};

static const StateTable counter_state = { "8254-counter", 1, counter_fields, NULL };

static const StateField pit_fields[] = {
  STATE_NESTED (Pit, counters, &counter_state, 1),
  STATE_FIELD (Pit, timer, STATE_TIMER, 1),
  STATE_FIELD (Pit, edge_tick, STATE_UINT, 1),
  STATE_FIELD (Pit, due_tick, STATE_UINT, 1),
  STATE_FIELD (Pit, owed, STATE_UINT, 1),
  STATE_FIELD (Pit, edge_rises, STATE_UINT, 1),
  STATE_END,
};

static bool
tick_is_sane (int64_t tick)
{
  return tick > -MAX_TICK && tick < MAX_TICK;
}

static int
pit_check (Device *device)
{
  const Pit *self = (const Pit *) device;

  for (unsigned i = 0; i < N_COUNTERS; i++)
    {
      const Counter *c = &self->counters[i];

      if (!tick_is_sane (c->start) || !tick_is_sane (c->paused_elapsed) || !tick_is_sane (c->boundary)
          || c->count < 1 || c->count > 65536 || c->next_count < 1 || c->next_count > 65536 || c->mode > 5
          || c->bcd > 1 || c->access < ACCESS_LOW || c->access > ACCESS_WORD || c->gate > 1 || c->loaded > 1 || c->pending > 1 || c->null_count > 1
          || c->paused > 1 || c->out_before > 1 || c->write_high > 1 || c->read_high > 1 || c->count_latched > 2
          || c->status_latched > 1 || (i != 2 && !c->gate))
        return -EBADMSG;
    }
  return tick_is_sane (self->edge_tick) && tick_is_sane (self->due_tick) && self->due_tick <= self->edge_tick
         && self->owed <= PIT_HZ && self->edge_rises <= 1 ? 0 : -EBADMSG;
}

static const StateTable pit_state = { "pit", 1, pit_fields, pit_check };

static void
pit_reset (Device *device)
{
  Pit *self = (Pit *) device;

  if (self->changing)
    self->changing (self->listener);
  /* DS "Programming the 82C54": undefined after power on. Stopped, in mode 3, is what nobody mistakes for running. */
  for (unsigned i = 0; i < N_COUNTERS; i++)
    self->counters[i] = (Counter) { .mode = 3, .access = ACCESS_WORD, .gate = i != 2, .null_count = 1, .count = 65536,
                                    .next_count = 65536 };
  timer_disarm (self->timer);
  self->edge_tick = self->due_tick = 0;
  self->owed = 0;
  self->edge_rises = 0;
  irq_line_set (&self->irq0, false);
}

static void
pit_finish (Device *device)
{
  Pit *self = (Pit *) device;

  if (!self)
    return;
  timer_free (self->timer);
  free (self);
}

static const DeviceClass pit_class = { "pit", sizeof (Pit), &pit_state, pit_reset, pit_finish };

int
pit_new (const DeviceHost *host, IrqLine irq0, Pit **ret)
{
  Pit *self = calloc (1, sizeof *self);
  int  result = -ENOMEM;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &pit_class;
  self->clock = host->clock;
  self->irq0 = irq0;
  self->timer = clock_add_timer (host->clock, &self->parent, counter0_fire);
  if (self->timer)
    result = bus_claim_ports (host->bus, &self->parent, &pit_region, 0x40, 4);
  if (result < 0)
    {
      pit_finish (&self->parent);
      return result;
    }
  pit_reset (&self->parent);
  *ret = self;
  return 0;
}
