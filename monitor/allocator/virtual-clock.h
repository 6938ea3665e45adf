/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machine's side of clock.h: where guest time comes from. */
#pragma once

#include "clock.h"

typedef enum
{
  CLOCK_HOST,                   /* guest time follows the host's monotonic clock while the machine runs */
  CLOCK_INSTRUCTIONS,           /* guest time is retired instructions times CLOCK_NS_PER_INSTRUCTION: repeatable */
  CLOCK_MANUAL,                 /* tests move it with clock_advance */
} ClockSource;

enum { CLOCK_NS_PER_INSTRUCTION = 10 };

/* counter: retired instructions, read at each clock_now_ns; may be NULL unless CLOCK_INSTRUCTIONS. */
Clock   *clock_new            (ClockSource source, const uint64_t *counter);
void     clock_free           (Clock *clock);
void     clock_set_counter    (Clock *clock, const uint64_t *counter);
ClockSource clock_source      (const Clock *clock);
void     clock_stop           (Clock *clock);           /* time stands still (pause); starts stopped */
void     clock_start          (Clock *clock);
void     clock_advance        (Clock *clock, uint64_t ns);   /* MANUAL; INSTRUCTIONS: warp over an idle time */
void     clock_set_now        (Clock *clock, uint64_t ns);   /* restoring a state */
uint64_t clock_next_deadline  (const Clock *clock);     /* UINT64_MAX: none */
/* Fires every timer whose deadline has come, in order. Returns how many. */
unsigned clock_run_timers     (Clock *clock);
/* Called (on the machine's thread) whenever the earliest deadline changes, so that the run loop can shorten its wait. */
void     clock_on_new_deadline (Clock *clock, void (*changed) (void *data), void *data);
/* Fuzzy time: every deadline is delayed and every reading quantised by up to `grain_ns`, from a seeded generator. 0: off. */
void     clock_set_fuzz       (Clock *clock, uint64_t grain_ns, uint64_t seed);
