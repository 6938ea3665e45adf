/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Guest time.  See clock.h for what devices see and virtual-clock.h for where it comes from.
 *
 * Armed timers lie in a list sorted by deadline, then by the order in which they were added: a machine has some
 * twenty, so a list beats a heap. */
#include "virtual-clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct Timer
{
  Clock   *clock;
  Device  *owner;
  void   (*fire) (Device *self);
  uint64_t deadline_ns;
  uint64_t order;
  bool     armed;
  Timer   *next_armed, *next;
};

struct Clock
{
  ClockSource     source;
  const uint64_t *counter;
  bool            running;
  uint64_t        base_ns;      /* guest time at the moment when `origin` was taken */
  uint64_t        origin;       /* host ns or instruction count */
  uint64_t        last_ns;      /* never step back, fuzz included */
  Timer          *armed, *timers;
  uint64_t        n_timers;
  void          (*changed) (void *data);
  void           *changed_data;
  uint64_t        fuzz_grain_ns, fuzz_seed;
};

static uint64_t
source_now (const Clock *self)
{
  struct timespec now;

  switch (self->source)
    {
    case CLOCK_HOST:
      clock_gettime (CLOCK_MONOTONIC, &now);
      return (uint64_t) now.tv_sec * CLOCK_NS_PER_SECOND + (uint64_t) now.tv_nsec;
    case CLOCK_INSTRUCTIONS:
      return self->counter ? *self->counter * CLOCK_NS_PER_INSTRUCTION : 0;
    case CLOCK_MANUAL:
      break;
    }
  return 0;
}

Clock *
clock_new (ClockSource source, const uint64_t *counter)
{
  Clock *self = calloc (1, sizeof *self);

  if (!self)
    return NULL;
  self->source = source;
  self->counter = counter;
  return self;
}

void
clock_free (Clock *self)
{
  if (!self)
    return;
  while (self->timers)
    timer_free (self->timers);
  free (self);
}

static uint64_t
exact_now (const Clock *self)
{
  return self->running ? self->base_ns + (source_now (self) - self->origin) : self->base_ns;
}

void
clock_set_counter (Clock *self, const uint64_t *counter)
{
  self->base_ns = exact_now (self);
  self->counter = counter;
  self->origin = source_now (self);
}

ClockSource
clock_source (const Clock *self)
{
  return self->source;
}

void
clock_stop (Clock *self)
{
  self->base_ns = exact_now (self);
  self->running = false;
}

void
clock_start (Clock *self)
{
  if (self->running)
    return;
  self->origin = source_now (self);
  self->running = true;
}

void
clock_advance (Clock *self, uint64_t ns)
{
  self->base_ns += ns;
}

void
clock_set_now (Clock *self, uint64_t ns)
{
  self->base_ns = ns;
  self->last_ns = 0;
  self->origin = source_now (self);
}

void
clock_set_fuzz (Clock *self, uint64_t grain_ns, uint64_t seed)
{
  self->fuzz_grain_ns = grain_ns;
  self->fuzz_seed = seed;
}

/* A hash, not a stream: the same question gets the same answer, however often it is asked. */
static uint64_t
fuzz_hash (uint64_t x)
{
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return x ^ x >> 31;
}

uint64_t
clock_now_ns (const Clock *self)
{
  uint64_t now = exact_now (self);

  if (self->fuzz_grain_ns)
    {
      /* Time advances in steps at random places: step k lies somewhere inside grain k. */
      uint64_t grain = now / self->fuzz_grain_ns;
      uint64_t step = grain * self->fuzz_grain_ns + fuzz_hash (grain ^ self->fuzz_seed) % self->fuzz_grain_ns;
      uint64_t before = grain ? (grain - 1) * self->fuzz_grain_ns
                                + fuzz_hash ((grain - 1) ^ self->fuzz_seed) % self->fuzz_grain_ns : 0;

      now = now >= step ? step : before;
    }
  return now;
}

uint64_t
clock_next_deadline (const Clock *self)
{
  return self->armed ? self->armed->deadline_ns : UINT64_MAX;
}

void
clock_on_new_deadline (Clock *self, void (*changed) (void *data), void *data)
{
  self->changed = changed;
  self->changed_data = data;
}

Timer *
clock_add_timer (Clock *self, Device *owner, void (*fire) (Device *self))
{
  Timer *timer = calloc (1, sizeof *timer);

  if (!timer)
    return NULL;
  timer->clock = self;
  timer->owner = owner;
  timer->fire = fire;
  timer->order = self->n_timers++;
  timer->deadline_ns = UINT64_MAX;
  timer->next = self->timers;
  self->timers = timer;
  return timer;
}

static void
unlink_armed (Timer *timer)
{
  Timer **link = &timer->clock->armed;

  if (!timer->armed)
    return;
  while (*link != timer)
    link = &(*link)->next_armed;
  *link = timer->next_armed;
  timer->armed = false;
  timer->deadline_ns = UINT64_MAX;
}

void
timer_arm (Timer *timer, uint64_t deadline_ns)
{
  Clock *self = timer->clock;
  uint64_t earliest = clock_next_deadline (self);
  Timer **link = &self->armed;

  if (self->fuzz_grain_ns)
    deadline_ns += fuzz_hash (deadline_ns ^ self->fuzz_seed ^ timer->order << 56) % self->fuzz_grain_ns;
  unlink_armed (timer);
  timer->deadline_ns = deadline_ns;
  timer->armed = true;
  while (*link && ((*link)->deadline_ns < deadline_ns || ((*link)->deadline_ns == deadline_ns && (*link)->order < timer->order)))
    link = &(*link)->next_armed;
  timer->next_armed = *link;
  *link = timer;
  if (self->changed && clock_next_deadline (self) != earliest)
    self->changed (self->changed_data);
}

void
timer_disarm (Timer *timer)
{
  unlink_armed (timer);
}

bool
timer_armed (const Timer *timer)
{
  return timer->armed;
}

uint64_t
timer_deadline_ns (const Timer *timer)
{
  return timer->deadline_ns;
}

void
timer_free (Timer *timer)
{
  Timer **link;

  if (!timer)
    return;
  unlink_armed (timer);
  for (link = &timer->clock->timers; *link != timer; link = &(*link)->next)
    ;
  *link = timer->next;
  free (timer);
}

unsigned
clock_run_timers (Clock *self)
{
  unsigned n = 0;
  uint64_t now = exact_now (self);

  /* A device that re-arms itself for the past fires again at once; 10000 turns bound a guest that asks for that. */
  while (self->armed && self->armed->deadline_ns <= now && n < 10000)
    {
      Timer *timer = self->armed;

      unlink_armed (timer);
      n++;
      timer->fire (timer->owner);
    }
  return n;
}
