/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bus, guest memory, clock and state: what every device stands on. */
#include "bus.h"
#include "physical-memory.h"
#include "virtual-clock.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

typedef struct
{
  Device   parent;
  uint32_t value;
  uint8_t  table[4];
  Timer   *timer;
  unsigned fired;
} Box;

static const StateField box_fields[] = {
  STATE_FIELD (Box, value, STATE_UINT, 1),
  STATE_FIELD (Box, table, STATE_BYTES, 1),
  STATE_FIELD (Box, timer, STATE_TIMER, 1),
  STATE_END,
};

static int
box_check (Device *device)
{
  return ((Box *) device)->value > 1000 ? -EBADMSG : 0;
}

static const StateTable box_state = { "box", 1, box_fields, box_check };

static uint64_t
box_read (Device *device, uint32_t offset, unsigned size)
{
  g_assert_cmpuint (size, ==, 1);
  return ((Box *) device)->table[offset];
}

static void
box_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  g_assert_cmpuint (size, ==, 1);
  ((Box *) device)->table[offset] = (uint8_t) value;
}

static const BusRegion box_region = { "box", BUS_SIZE_1, box_read, box_write };
static const BusRegion other_region = { "other", BUS_SIZE_4, NULL, NULL };

static void
box_fire (Device *device)
{
  ((Box *) device)->fired++;
}

static void
test_ports (void)
{
  Bus *bus = bus_new ();
  Box box = { .table = { 1, 2, 3, 4 } };

  g_assert_cmpint (bus_claim_ports (bus, &box.parent, &box_region, 0xfffe, 4), ==, -EINVAL);
  g_assert_cmpint (bus_claim_ports (bus, &box.parent, &box_region, 0x60, 4), ==, 0);
  g_assert_cmphex (bus_read_port (bus, 0x60, 4), ==, 0x04030201);
  g_assert_cmphex (bus_read_port (bus, 0x62, 4), ==, 0xffff0403);
  g_assert_cmphex (bus_read_port (bus, 0x5f, 2), ==, 0x01ff);
  g_assert_cmphex (bus_read_port (bus, 0xffff, 4), ==, 0xffffffff);
  bus_write_port (bus, 0x62, 4, 0xaabbccdd);
  g_assert_cmphex (box.table[2], ==, 0xdd);
  g_assert_cmphex (box.table[3], ==, 0xcc);
  g_assert_cmpint (bus_release (bus, &box.parent, &box_region), ==, 0);
  g_assert_cmpint (bus_release (bus, &box.parent, &box_region), ==, -ENOENT);
  g_assert_cmphex (bus_read_port (bus, 0x60, 1), ==, 0xff);
  bus_free (bus);
}

static void
test_memory_regions (void)
{
  Bus *bus = bus_new ();
  Box box = { .table = { 1, 2, 3, 4 } };

  g_assert_cmpint (bus_claim_memory (bus, &box.parent, &box_region, 0xfec00000, 4), ==, 0);
  g_assert_cmpint (bus_claim_memory (bus, &box.parent, &other_region, 0x1000, 16), ==, 0);
  g_assert_cmphex (bus_read_memory (bus, 0xfec00000, 8), ==, 0xffffffff04030201);
  g_assert_cmphex (bus_read_memory (bus, 0x1000, 4), ==, 0xffffffff);
  bus_write_memory (bus, 0xfec00003, 2, 0x1122);
  g_assert_cmphex (box.table[3], ==, 0x22);
  bus_free (bus);
}

static void
test_guest_memory (void)
{
  Bus *bus = bus_new ();
  GuestMemory *memory = guest_memory_new (1 << 20, 64 << 10, -1, bus);
  uint8_t bytes[16] = "0123456789abcde";
  uint8_t back[16];
  uint32_t rom;

  g_assert_nonnull (memory);
  g_assert_cmpint (guest_memory_write (memory, 0xff8, bytes, 16), ==, 0);
  g_assert_cmpint (guest_memory_read (memory, 0xff8, back, 16), ==, 0);
  g_assert_cmpmem (bytes, 16, back, 16);
  g_assert_true (guest_memory_is_dirty (memory, 0));
  g_assert_true (guest_memory_is_dirty (memory, 1));
  guest_memory_clear_dirty (memory, 0, 1);
  g_assert_false (guest_memory_is_dirty (memory, 0));
  g_assert_cmpint (guest_memory_read (memory, (1 << 20) - 8, back, 16), ==, -EFAULT);
  g_assert_cmphex (back[8], ==, 0xff);
  g_assert_cmpint (guest_memory_write (memory, UINT64_MAX - 3, bytes, 16), ==, -EFAULT);
  g_assert_cmpint (guest_memory_allocate (memory, "rom", 128 << 10, &rom), ==, -ENOMEM);
  g_assert_cmpint (guest_memory_allocate (memory, "rom", 64 << 10, &rom), ==, 0);
  memcpy (guest_memory_backing (memory, rom), "firmware", 8);
  g_assert_cmpint (guest_memory_map (memory, 0xf0000, 64 << 10, rom, GUEST_PAGE_NONE), ==, 0);
  g_assert_cmpint (guest_memory_write (memory, 0xf0000, bytes, 8), ==, -EFAULT);
  g_assert_cmpint (guest_memory_read (memory, 0xf0000, back, 8), ==, 0);
  g_assert_cmpmem (back, 8, "firmware", 8);
  g_assert_cmpint (guest_memory_map (memory, 0xfffff000, 8192, rom, rom), ==, -EINVAL);
  g_assert_cmpint (guest_memory_map (memory, 0, 4096, memory->n_pages, 0), ==, -EINVAL);
  guest_memory_free (memory);
  bus_free (bus);
}

static void
test_clock (void)
{
  Clock *clock = clock_new (CLOCK_MANUAL, NULL);
  Box a = { 0 }, b = { 0 };
  Timer *first = clock_add_timer (clock, &a.parent, box_fire);
  Timer *second = clock_add_timer (clock, &b.parent, box_fire);

  clock_start (clock);
  timer_arm (first, 100);
  timer_arm (second, 50);
  g_assert_cmpuint (clock_next_deadline (clock), ==, 50);
  clock_advance (clock, 60);
  g_assert_cmpuint (clock_run_timers (clock), ==, 1);
  g_assert_cmpuint (b.fired, ==, 1);
  timer_disarm (first);
  clock_advance (clock, 1000);
  g_assert_cmpuint (clock_run_timers (clock), ==, 0);
  g_assert_cmpuint (clock_next_deadline (clock), ==, UINT64_MAX);
  clock_free (clock);
}

static void
test_instruction_clock (void)
{
  uint64_t counter = 0;
  Clock *clock = clock_new (CLOCK_INSTRUCTIONS, &counter);

  clock_start (clock);
  counter = 1000;
  g_assert_cmpuint (clock_now_ns (clock), ==, 1000 * CLOCK_NS_PER_INSTRUCTION);
  clock_stop (clock);
  counter = 5000;
  g_assert_cmpuint (clock_now_ns (clock), ==, 1000 * CLOCK_NS_PER_INSTRUCTION);
  clock_start (clock);
  clock_advance (clock, 7);
  g_assert_cmpuint (clock_now_ns (clock), ==, 1000 * CLOCK_NS_PER_INSTRUCTION + 7);
  clock_free (clock);
}

static void
test_fuzzy_clock_is_monotonic (void)
{
  Clock *clock = clock_new (CLOCK_MANUAL, NULL);
  uint64_t last = 0, steps = 0;

  clock_start (clock);
  clock_set_fuzz (clock, 1000, 42);
  for (unsigned i = 0; i < 100000; i++)
    {
      uint64_t now;

      clock_advance (clock, 7);
      now = clock_now_ns (clock);
      g_assert_cmpuint (now, >=, last);
      g_assert_cmpuint (now, <=, 7ull * (i + 1));
      g_assert_cmpuint (now + 2000, >, 7ull * (i + 1));
      steps += now != last;
      last = now;
    }
  g_assert_cmpuint (steps, >, 600);
  g_assert_cmpuint (steps, <=, 700);
  clock_free (clock);
}

static void
test_state (void)
{
  Clock *clock = clock_new (CLOCK_MANUAL, NULL);
  Box a = { .value = 77, .table = { 9, 8, 7, 6 } }, b = { 0 };
  StateBuffer buffer = { 0 };

  a.timer = clock_add_timer (clock, &a.parent, box_fire);
  b.timer = clock_add_timer (clock, &b.parent, box_fire);
  timer_arm (a.timer, 1234);
  state_save (&box_state, &a, &buffer);
  g_assert_cmpint (buffer.error, ==, 0);
  g_assert_cmpint (state_restore (&box_state, &b, buffer.bytes, buffer.length), ==, (int64_t) buffer.length);
  g_assert_cmpuint (b.value, ==, 77);
  g_assert_cmpmem (a.table, 4, b.table, 4);
  g_assert_cmpuint (timer_deadline_ns (b.timer), ==, 1234);
  for (size_t cut = 0; cut < buffer.length; cut++)
    g_assert_cmpint (state_restore (&box_state, &b, buffer.bytes, cut), ==, -EBADMSG);
  a.value = 1001;
  buffer.length = 0;
  state_save (&box_state, &a, &buffer);
  g_assert_cmpint (state_restore (&box_state, &b, buffer.bytes, buffer.length), ==, -EBADMSG);
  state_buffer_clear (&buffer);
  clock_free (clock);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/allocator/bus/ports", test_ports);
  g_test_add_func ("/allocator/bus/memory", test_memory_regions);
  g_test_add_func ("/allocator/guest-memory", test_guest_memory);
  g_test_add_func ("/allocator/clock/timers", test_clock);
  g_test_add_func ("/allocator/clock/instructions", test_instruction_clock);
  g_test_add_func ("/allocator/clock/fuzzy-is-monotonic", test_fuzzy_clock_is_monotonic);
  g_test_add_func ("/allocator/state", test_state);
  return g_test_run ();
}
