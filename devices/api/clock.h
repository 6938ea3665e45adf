/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Guest time: one virtual clock per machine, in nanoseconds since power on.
 *
 * No device reads the host's clock.  The clock stands still while the machine is paused, so pausing, saving and
 * fuzzy time work for every device at once.  A timer fires on the machine's thread at or after its deadline;
 * timers with the same deadline fire in the order in which they were added. */
#pragma once

#include "device.h"

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_NS_PER_SECOND 1000000000ull

typedef struct Timer Timer;

uint64_t clock_now_ns    (const Clock *clock);
/* Never fails after construction time: NULL only when memory is short. The clock owns the timer. */
Timer   *clock_add_timer (Clock *clock, Device *owner, void (*fire) (Device *self));
void     timer_arm       (Timer *timer, uint64_t deadline_ns);     /* re-arming moves it */
void     timer_disarm    (Timer *timer);
bool     timer_armed     (const Timer *timer);
uint64_t timer_deadline_ns (const Timer *timer);                   /* UINT64_MAX when disarmed */
void     timer_free      (Timer *timer);                           /* accepts NULL */

/* a * b / c without overflow of the product (c != 0). */
static inline uint64_t
clock_scale (uint64_t a, uint64_t b, uint64_t c)
{
  return (uint64_t) ((unsigned __int128) a * b / c);
}

/* Ticks of a frequency since power on, and the first nanosecond at which tick `n` has been reached. */
static inline uint64_t
clock_ticks (uint64_t now_ns, uint64_t hertz)
{
  return clock_scale (now_ns, hertz, CLOCK_NS_PER_SECOND);
}

static inline uint64_t
clock_tick_ns (uint64_t n, uint64_t hertz)
{
  return (uint64_t) (((unsigned __int128) n * CLOCK_NS_PER_SECOND + hertz - 1) / hertz);
}
