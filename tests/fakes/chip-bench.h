/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A bus, memory and a clock moved by hand, for one chip on a bench; lines that count their edges; and the test that
 * every device must pass with its saved state. */
#pragma once

#include "bus.h"
#include "clock.h"
#include "guest-memory.h"
#include "irq-line.h"
#include "physical-memory.h"
#include "state.h"
#include "virtual-clock.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

typedef struct
{
  DeviceHost host;
} Bench;

static inline Bench
bench_new (uint64_t ram_bytes)
{
  Bench bench;

  bench.host.bus = bus_new ();
  bench.host.clock = clock_new (CLOCK_MANUAL, NULL);
  bench.host.memory = ram_bytes ? guest_memory_new (ram_bytes, 0, -1, bench.host.bus) : NULL;
  clock_start (bench.host.clock);
  return bench;
}

static inline void
bench_free (Bench *bench, void *device)
{
  if (device)
    ((Device *) device)->klass->finish (device);
  clock_free (bench->host.clock);
  if (bench->host.memory)
    guest_memory_free (bench->host.memory);
  bus_free (bench->host.bus);
}

static inline uint8_t
bench_in (Bench *bench, uint16_t port)
{
  return (uint8_t) bus_read_port (bench->host.bus, port, 1);
}

static inline void
bench_out (Bench *bench, uint16_t port, uint8_t value)
{
  bus_write_port (bench->host.bus, port, 1, value);
}

static inline uint64_t
bench_now (const Bench *bench)
{
  return clock_now_ns (bench->host.clock);
}

/* Moves time on, stopping at every deadline on the way, as an idle machine does. Returns how many timers fired. */
static inline unsigned
bench_advance (Bench *bench, uint64_t ns)
{
  Clock   *clock = bench->host.clock;
  uint64_t end = clock_now_ns (clock) + ns;
  unsigned fired = 0;

  while (clock_next_deadline (clock) <= end)
    {
      uint64_t deadline = clock_next_deadline (clock), now = clock_now_ns (clock);

      if (deadline > now)
        clock_advance (clock, deadline - now);
      fired += clock_run_timers (clock);
    }
  clock_advance (clock, end - clock_now_ns (clock));
  return fired;
}

static inline void
bench_advance_to (Bench *bench, uint64_t ns)
{
  g_assert_cmpuint (ns, >=, bench_now (bench));
  bench_advance (bench, ns - bench_now (bench));
}

/* --- Lines ---------------------------------------------------------------------------------------------------- */

typedef struct
{
  bool     level;
  unsigned rises, falls;
  uint64_t rise_ns;             /* of the last one, if clock is set */
  Clock   *clock;
} FakeLine;

static inline void
fake_line_set (void *line, unsigned input, bool level)
{
  FakeLine *self = line;

  if (level && !self->level)
    {
      self->rises++;
      self->rise_ns = self->clock ? clock_now_ns (self->clock) : 0;
    }
  if (!level && self->level)
    self->falls++;
  self->level = level;
}

static inline IrqLine
fake_line (FakeLine *self)
{
  return (IrqLine) { fake_line_set, self, 0 };
}

/* --- Saved state ---------------------------------------------------------------------------------------------- */

static inline StateBuffer
bench_save (void *device)
{
  StateBuffer buffer = { 0 };

  state_save (((Device *) device)->klass->state, device, &buffer);
  g_assert_cmpint (buffer.error, ==, 0);
  return buffer;
}

static inline int64_t
bench_restore (void *device, const uint8_t *bytes, size_t n_bytes)
{
  return state_restore (((Device *) device)->klass->state, device, bytes, n_bytes);
}

/* Saves, lets `scramble` and a reset change the device, restores, and wants the same bytes again; wants every cut refused; then
 * flips every byte in turn: the device must refuse the file or go on working (`scramble` runs on what it accepted). */
static inline void
bench_check_state (Bench *bench, void *device, void (*scramble) (Bench *bench))
{
  StateBuffer saved = bench_save (device), again;
  uint64_t    now = bench_now (bench);
  uint8_t    *bytes = g_memdup2 (saved.bytes, saved.length);

  scramble (bench);
  ((Device *) device)->klass->reset (device);
  again = bench_save (device);
  g_assert_false (again.length == saved.length && !memcmp (again.bytes, saved.bytes, saved.length));
  state_buffer_clear (&again);
  clock_set_now (bench->host.clock, now);
  g_assert_cmpint (bench_restore (device, saved.bytes, saved.length), ==, (int64_t) saved.length);
  again = bench_save (device);
  g_assert_cmpmem (again.bytes, again.length, saved.bytes, saved.length);
  state_buffer_clear (&again);
  for (size_t cut = 0; cut < saved.length; cut++)
    g_assert_cmpint (bench_restore (device, saved.bytes, cut), ==, -EBADMSG);
  for (size_t i = 0; i < saved.length; i++)
    {
      static const uint8_t flips[] = { 0x01, 0x80, 0xff };

      for (unsigned f = 0; f < G_N_ELEMENTS (flips); f++)
        {
          bytes[i] ^= flips[f];
          clock_set_now (bench->host.clock, now);
          if (bench_restore (device, bytes, saved.length) < 0)
            ((Device *) device)->klass->reset (device);
          scramble (bench);
          clock_run_timers (bench->host.clock);
          bytes[i] ^= flips[f];
        }
    }
  clock_set_now (bench->host.clock, now);
  ((Device *) device)->klass->reset (device);
  g_assert_cmpint (bench_restore (device, saved.bytes, saved.length), ==, (int64_t) saved.length);
  state_buffer_clear (&saved);
  g_free (bytes);
}
