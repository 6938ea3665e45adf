/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a drive controller stands on in tests: bus, memory, a clock moved by hand, a line that counts its edges. */
#pragma once

#include "fake-block.h"
#include "physical-memory.h"
#include "virtual-clock.h"

#include "bus.h"
#include "irq-line.h"

#include <glib.h>

typedef struct
{
  bool     level;
  unsigned n_rises;
} FakeLine;

static inline void
fake_line_set (void *controller, unsigned input, bool level)
{
  FakeLine *self = controller;

  if (level && !self->level)
    self->n_rises++;
  self->level = level;
}

typedef struct
{
  Bus         *bus;
  GuestMemory *memory;
  Clock       *clock;
  DeviceHost   host;
} FakeHost;

/* Making a memory is slow (its map covers 4 GiB), so the last one is kept for the next host, wiped. */
static GuestMemory *fake_host_spare;

static inline void
fake_host_begin (FakeHost *self, uint64_t ram_bytes)
{
  self->bus = bus_new ();
  self->memory = NULL;
  if (ram_bytes && fake_host_spare && fake_host_spare->ram_bytes == ram_bytes)
    {
      self->memory = fake_host_spare;
      fake_host_spare = NULL;
      self->memory->bus = self->bus;
      memset (self->memory->host, 0, ram_bytes);
    }
  else if (ram_bytes)
    self->memory = guest_memory_new (ram_bytes, 0, -1, self->bus);
  self->clock = clock_new (CLOCK_MANUAL, NULL);
  clock_start (self->clock);
  self->host = (DeviceHost) { self->bus, self->memory, self->clock };
}

static inline void
fake_host_end (FakeHost *self)
{
  if (fake_host_spare)
    guest_memory_free (fake_host_spare);
  fake_host_spare = self->memory;
  clock_free (self->clock);
  bus_free (self->bus);
}

/* Moves the clock by ns, stopping at every deadline on the way. */
static inline void
fake_host_run (FakeHost *self, uint64_t ns)
{
  uint64_t end = clock_now_ns (self->clock) + ns;

  for (;;)
    {
      uint64_t next = clock_next_deadline (self->clock);
      uint64_t now = clock_now_ns (self->clock);

      if (next > end)
        break;
      if (next > now)
        clock_advance (self->clock, next - now);
      clock_run_timers (self->clock);
    }
  if (clock_now_ns (self->clock) < end)
    clock_advance (self->clock, end - clock_now_ns (self->clock));
}

static inline uint8_t
in8 (FakeHost *self, uint16_t port)
{
  return (uint8_t) bus_read_port (self->bus, port, 1);
}

static inline void
out8 (FakeHost *self, uint16_t port, uint8_t value)
{
  bus_write_port (self->bus, port, 1, value);
}

/* Saves `from`, restores into `to` (both of the same table). */
static inline int64_t
fake_copy_state (const Device *from, Device *to)
{
  StateBuffer buffer = { 0 };
  int64_t used;

  state_save (from->klass->state, from, &buffer);
  used = state_restore (to->klass->state, to, buffer.bytes, buffer.length);
  if (used >= 0)
    g_assert_cmpint (used, ==, buffer.length);
  state_buffer_clear (&buffer);
  return used;
}
