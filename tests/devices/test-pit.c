/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The 8254: its modes by name, and then all of them against a model that is clocked pulse by pulse. */
#include "pit.h"

#include "chip-bench.h"

static Bench    bench;
static Pit     *pit;
static FakeLine irq0;

enum { CONTROL = 0x43 };

static void
set_up (void)
{
  irq0 = (FakeLine) { 0 };
  bench = bench_new (0);
  irq0.clock = bench.host.clock;
  g_assert_cmpint (pit_new (&bench.host, fake_line (&irq0), &pit), ==, 0);
}

static void
tear_down (void)
{
  bench_free (&bench, pit);
}

static void
to_tick (int64_t tick)
{
  bench_advance_to (&bench, clock_tick_ns ((uint64_t) tick, PIT_HZ));
}

static void
ticks (int64_t n)
{
  to_tick (pit_now_ticks (pit) + n);
}

static void
program (unsigned counter, unsigned mode, uint16_t count)
{
  bench_out (&bench, CONTROL, (uint8_t) (counter << 6 | 0x30 | mode << 1));
  bench_out (&bench, (uint16_t) (0x40 + counter), count & 0xff);
  bench_out (&bench, (uint16_t) (0x40 + counter), (uint8_t) (count >> 8));
}

static uint16_t
latched (unsigned counter)
{
  uint8_t low;

  bench_out (&bench, CONTROL, (uint8_t) (counter << 6));
  low = bench_in (&bench, (uint16_t) (0x40 + counter));
  return (uint16_t) (bench_in (&bench, (uint16_t) (0x40 + counter)) << 8 | low);
}

static uint8_t
status (unsigned counter)
{
  bench_out (&bench, CONTROL, (uint8_t) (0xe0 | 2u << counter));
  return bench_in (&bench, (uint16_t) (0x40 + counter));
}

static void
test_mode_0_interrupt_on_terminal_count (void)
{
  set_up ();
  to_tick (100);
  program (0, 0, 4);
  g_assert_false (irq0.level);
  ticks (1);
  g_assert_cmpuint (latched (0), ==, 4);
  ticks (3);
  g_assert_cmpuint (latched (0), ==, 1);
  g_assert_false (irq0.level);
  ticks (1);
  /* N + 1 CLK pulses after the count was written. */
  g_assert_true (irq0.level);
  g_assert_cmpuint (irq0.rise_ns, ==, clock_tick_ns (105, PIT_HZ));
  g_assert_cmpuint (latched (0), ==, 0);
  ticks (1);
  g_assert_cmpuint (latched (0), ==, 0xffff);
  g_assert_true (irq0.level);
  ticks (70000);
  g_assert_cmpuint (irq0.rises, ==, 1);
  /* A first byte sets the output low and stops counting. */
  bench_out (&bench, 0x40, 2);
  g_assert_false (irq0.level);
  ticks (50);
  g_assert_false (irq0.level);
  bench_out (&bench, 0x40, 0);
  ticks (3);
  g_assert_true (irq0.level);
  tear_down ();
}

static void
test_mode_1_one_shot (void)
{
  set_up ();
  program (2, 1, 5);
  g_assert_true (pit_out2 (pit));
  ticks (10);
  g_assert_true (pit_out2 (pit));
  pit_set_gate2 (pit, true);
  g_assert_true (pit_out2 (pit));
  ticks (1);
  g_assert_false (pit_out2 (pit));
  ticks (4);
  g_assert_false (pit_out2 (pit));
  ticks (1);
  g_assert_true (pit_out2 (pit));
  /* The gate's falling does nothing, its rising starts again, also during the pulse. */
  pit_set_gate2 (pit, false);
  pit_set_gate2 (pit, true);
  ticks (3);
  pit_set_gate2 (pit, false);
  pit_set_gate2 (pit, true);
  ticks (5);
  g_assert_false (pit_out2 (pit));
  ticks (1);
  g_assert_true (pit_out2 (pit));
  tear_down ();
}

static void
test_mode_2_rate_generator (void)
{
  set_up ();
  to_tick (10);
  program (0, 2, 1000);
  irq0.rises = 0;
  ticks (1 + 1000 * 7);
  g_assert_cmpuint (irq0.rises, ==, 7);
  g_assert_cmpuint (irq0.rise_ns, ==, clock_tick_ns (11 + 7000, PIT_HZ));
  g_assert_cmpuint (latched (0), ==, 1000);
  ticks (998);
  g_assert_cmphex (status (0), ==, 0xb4);
  ticks (1);
  g_assert_cmpuint (latched (0), ==, 1);
  g_assert_cmphex (status (0), ==, 0x34);
  /* A new count waits for the end of the period. */
  ticks (500);
  bench_out (&bench, 0x40, 100);
  bench_out (&bench, 0x40, 0);
  g_assert_cmphex (status (0) & 0x40, ==, 0x40);
  irq0.rises = 0;
  ticks (499);
  g_assert_cmpuint (latched (0), ==, 2);
  ticks (2);
  g_assert_cmpuint (irq0.rises, ==, 1);
  g_assert_cmpuint (latched (0), ==, 100);
  g_assert_cmphex (status (0) & 0x40, ==, 0);
  ticks (100);
  g_assert_cmpuint (irq0.rises, ==, 2);
  tear_down ();
}

static void
test_mode_3_square_wave (void)
{
  static const uint8_t even[] = { 4, 2, 4, 2, 4, 2 }, odd[] = { 4, 2, 0, 4, 2, 4, 2, 0, 4, 2 };
  static const char    even_out[] = "110011", odd_out[] = "1110011100";

  set_up ();
  pit_set_gate2 (pit, true);
  program (2, 3, 4);
  for (unsigned i = 0; i < sizeof even; i++)
    {
      ticks (1);
      g_assert_cmpuint (latched (2), ==, even[i]);
      g_assert_cmpint (pit_out2 (pit) ? '1' : '0', ==, even_out[i]);
    }
  program (2, 3, 5);
  for (unsigned i = 0; i < sizeof odd; i++)
    {
      ticks (1);
      g_assert_cmpuint (latched (2), ==, odd[i]);
      g_assert_cmpint (pit_out2 (pit) ? '1' : '0', ==, odd_out[i]);
    }
  /* The gate stops it high at once, and its rising begins a period. */
  pit_set_gate2 (pit, false);
  g_assert_true (pit_out2 (pit));
  ticks (20);
  pit_set_gate2 (pit, true);
  ticks (3);
  g_assert_true (pit_out2 (pit));
  ticks (1);
  g_assert_false (pit_out2 (pit));
  program (0, 3, 1193);
  irq0.rises = 0;
  bench_advance (&bench, CLOCK_NS_PER_SECOND);
  g_assert_cmpuint (irq0.rises, ==, 1000);
  tear_down ();
}

static void
test_mode_4_software_strobe (void)
{
  set_up ();
  pit_set_gate2 (pit, true);
  program (2, 4, 3);
  ticks (3);
  g_assert_true (pit_out2 (pit));
  ticks (1);
  g_assert_false (pit_out2 (pit));
  ticks (1);
  g_assert_true (pit_out2 (pit));
  ticks (70000);
  g_assert_true (pit_out2 (pit));
  program (0, 4, 50);
  irq0.rises = 0;
  ticks (51);
  g_assert_cmpuint (irq0.rises, ==, 0);
  ticks (1);
  g_assert_cmpuint (irq0.rises, ==, 1);
  ticks (70000);
  g_assert_cmpuint (irq0.rises, ==, 1);
  tear_down ();
}

static void
test_mode_5_hardware_strobe (void)
{
  set_up ();
  program (2, 5, 3);
  ticks (10);
  g_assert_true (pit_out2 (pit));
  pit_set_gate2 (pit, true);
  ticks (3);
  g_assert_true (pit_out2 (pit));
  ticks (1);
  g_assert_false (pit_out2 (pit));
  ticks (1);
  g_assert_true (pit_out2 (pit));
  tear_down ();
}

static void
test_modes_6_and_7_are_2_and_3 (void)
{
  set_up ();
  bench_out (&bench, CONTROL, 0x3c);
  g_assert_cmphex (status (0) & 0x0e, ==, 0x04);
  bench_out (&bench, CONTROL, 0x3e);
  g_assert_cmphex (status (0) & 0x0e, ==, 0x06);
  tear_down ();
}

static void
test_bcd (void)
{
  set_up ();
  bench_out (&bench, CONTROL, 0x31);
  bench_out (&bench, 0x40, 0x05);
  bench_out (&bench, 0x40, 0x10);
  ticks (1);
  g_assert_cmphex (latched (0), ==, 0x1005);
  ticks (6);
  g_assert_cmphex (latched (0), ==, 0x0999);
  ticks (999);
  g_assert_true (irq0.level);
  g_assert_cmphex (latched (0), ==, 0);
  ticks (1);
  g_assert_cmphex (latched (0), ==, 0x9999);
  /* Zero counts 10000. */
  bench_out (&bench, CONTROL, 0x31);
  bench_out (&bench, 0x40, 0);
  bench_out (&bench, 0x40, 0);
  ticks (10000);
  g_assert_false (irq0.level);
  ticks (1);
  g_assert_true (irq0.level);
  tear_down ();
}

static void
test_count_zero_is_65536 (void)
{
  set_up ();
  program (0, 2, 0);
  irq0.rises = 0;
  ticks (1 + 65535);
  g_assert_cmpuint (irq0.rises, ==, 0);
  ticks (1);
  g_assert_cmpuint (irq0.rises, ==, 1);
  tear_down ();
}

static void
test_access_modes (void)
{
  set_up ();
  bench_out (&bench, CONTROL, 0x10);
  bench_out (&bench, 0x40, 0x34);
  ticks (1);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 0x34);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 0x34);
  bench_out (&bench, CONTROL, 0x20);
  bench_out (&bench, 0x40, 0x12);
  ticks (1);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 0x12);
  ticks (1);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 0x11);
  program (0, 0, 0x1234);
  ticks (1);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 0x34);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 0x12);
  tear_down ();
}

static void
test_counter_latch (void)
{
  set_up ();
  program (0, 2, 5000);
  ticks (101);
  bench_out (&bench, CONTROL, 0x00);
  ticks (50);
  /* A second latch is ignored until the first is read. */
  bench_out (&bench, CONTROL, 0x00);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 4900 & 0xff);
  ticks (50);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 4900 >> 8);
  g_assert_cmpuint (latched (0), ==, 4800);
  /* Programming drops a latch. */
  bench_out (&bench, CONTROL, 0x00);
  program (0, 2, 7);
  ticks (1);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 7);
  tear_down ();
}

static void
test_read_back (void)
{
  set_up ();
  program (0, 2, 5000);
  program (1, 3, 18);
  ticks (11);
  bench_out (&bench, CONTROL, 0xc6);
  ticks (7);
  /* Status first, then the latched count. */
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 0xb4);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 4990 & 0xff);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 4990 >> 8);
  g_assert_cmphex (bench_in (&bench, 0x41), ==, 0x36);
  g_assert_cmphex (bench_in (&bench, 0x41), ==, 16);
  g_assert_cmphex (bench_in (&bench, 0x41), ==, 0);
  /* Null count until the count is loaded. */
  bench_out (&bench, CONTROL, 0x34);
  g_assert_cmphex (status (0), ==, 0xf4);
  bench_out (&bench, 0x40, 1);
  bench_out (&bench, 0x40, 1);
  g_assert_cmphex (status (0), ==, 0xf4);
  ticks (1);
  g_assert_cmphex (status (0), ==, 0xb4);
  tear_down ();
}

static void
test_gate_stops_mode_0 (void)
{
  set_up ();
  program (2, 0, 10);
  ticks (50);
  g_assert_cmpuint (latched (2), ==, 10);
  g_assert_false (pit_out2 (pit));
  pit_set_gate2 (pit, true);
  ticks (4);
  pit_set_gate2 (pit, false);
  ticks (100);
  g_assert_cmpuint (latched (2), ==, 6);
  pit_set_gate2 (pit, true);
  ticks (6);
  g_assert_true (pit_out2 (pit));
  tear_down ();
}

/* What SeaBIOS and Linux do to find the TSC's rate: counter 2, mode 0, wait for OUT2. */
static void
test_calibration (void)
{
  uint64_t begin;

  set_up ();
  pit_set_gate2 (pit, true);
  program (2, 0, 11932);
  begin = bench_now (&bench);
  while (!pit_out2 (pit))
    bench_advance (&bench, 500);
  g_assert_cmpuint (bench_now (&bench) - begin, >=, 10000000);
  g_assert_cmpuint (bench_now (&bench) - begin, <=, 10002500);
  tear_down ();
}

static void
test_idle_costs_nothing (void)
{
  set_up ();
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  program (1, 2, 18);
  pit_set_gate2 (pit, true);
  program (2, 3, 100);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  program (0, 3, 0);
  /* One event per period. */
  g_assert_cmpuint (bench_advance (&bench, CLOCK_NS_PER_SECOND), ==, 18);
  program (0, 2, 1);
  program (0, 0, 10);
  ticks (20);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down ();
}

static void
test_late_edges_are_made_up (void)
{
  set_up ();
  program (0, 2, 1000);
  irq0.rises = 0;
  /* The host was away for 100 periods: one edge at once, the others within a third of that time. */
  clock_advance (bench.host.clock, clock_tick_ns (100500, PIT_HZ));
  g_assert_cmpuint (clock_run_timers (bench.host.clock), ==, 1);
  g_assert_cmpuint (irq0.rises, ==, 1);
  ticks (1000);
  g_assert_cmpuint (irq0.rises, >, 3);
  g_assert_cmpuint (irq0.rises, <, 7);
  ticks (39000);
  g_assert_cmpuint (irq0.rises, ==, 140);
  ticks (10000);
  g_assert_cmpuint (irq0.rises, ==, 150);
  g_assert_cmpuint ((clock_ticks (irq0.rise_ns, PIT_HZ) - 1) % 1000, ==, 0);
  /* An hour is not made up, only its last second; and not after the counter is programmed anew. */
  clock_advance (bench.host.clock, 3600 * CLOCK_NS_PER_SECOND);
  clock_run_timers (bench.host.clock);
  irq0.rises = 0;
  bench_advance (&bench, 2 * CLOCK_NS_PER_SECOND);
  g_assert_cmpuint (irq0.rises, >, 3 * 1190);
  g_assert_cmpuint (irq0.rises, <, 3 * 1196);
  clock_advance (bench.host.clock, CLOCK_NS_PER_SECOND);
  clock_run_timers (bench.host.clock);
  program (0, 2, 1000);
  irq0.rises = 0;
  ticks (10000);
  g_assert_cmpuint (irq0.rises, <=, 10);
  tear_down ();
}

static void
test_fuzzy_time (void)
{
  set_up ();
  clock_set_fuzz (bench.host.clock, 100000, 7);
  program (0, 2, 1193);
  irq0.rises = 0;
  g_assert_cmpuint (bench_advance (&bench, 0), ==, 0);
  for (unsigned i = 0; i < 20000; i++)
    {
      clock_advance (bench.host.clock, 50000);
      g_assert_cmpuint (clock_run_timers (bench.host.clock), <, 5);
    }
  g_assert_cmpuint (irq0.rises, >, 900);
  g_assert_cmpuint (irq0.rises, <, 1100);
  tear_down ();
}

/* --- The pulse by pulse model --------------------------------------------------------------------------------- */

typedef struct
{
  unsigned mode;
  bool     bcd, gate, out, counting, load, trigger, has_count, done, write_high, odd;
  uint8_t  low;
  int      cr, ce;
} Model;

static void
model_control (Model *m, unsigned mode, bool bcd)
{
  m->mode = mode;
  m->bcd = bcd;
  m->out = mode != 0;
  m->counting = m->load = m->trigger = m->has_count = m->write_high = false;
}

static void
model_write (Model *m, uint8_t byte)
{
  int raw;

  if (!m->write_high)
    {
      m->low = byte;
      m->write_high = true;
      if (m->mode == 0)
        {
          m->counting = m->load = false;
          m->out = false;
        }
      return;
    }
  m->write_high = false;
  raw = byte << 8 | m->low;
  if (m->bcd)
    raw = (raw >> 12) * 1000 + (raw >> 8 & 15) * 100 + (raw >> 4 & 15) * 10 + (raw & 15);
  m->cr = raw ? raw : m->bcd ? 10000 : 65536;
  if (m->mode == 0 || m->mode == 4 || ((m->mode == 2 || m->mode == 3) && !m->has_count))
    {
      m->load = true;
      if (m->mode == 0)
        m->out = false;
    }
  m->has_count = true;
}

static void
model_gate (Model *m, bool level)
{
  if (level && !m->gate && m->has_count && m->mode != 0 && m->mode != 4)
    m->trigger = true;
  m->gate = level;
  if (!level && (m->mode == 2 || m->mode == 3))
    m->out = true;
}

static void
model_clock (Model *m)
{
  int modulus = m->bcd ? 10000 : 65536;

  if (m->load || m->trigger)
    {
      m->load = m->trigger = false;
      m->counting = true;
      m->done = false;
      m->ce = m->cr;
      m->odd = m->cr & 1;
      if (m->mode == 3)
        m->ce &= ~1;
      m->out = m->mode > 1;
      return;
    }
  if (!m->counting || (!m->gate && m->mode != 1 && m->mode != 5))
    return;
  switch (m->mode)
    {
    case 2:
      if (m->ce == 1)
        {
          m->ce = m->cr;
          m->out = true;
        }
      else if (--m->ce == 1)
        m->out = false;
      break;
    case 3:
      if (m->odd && m->out && m->ce == 0)
        m->out = false;
      else if ((m->ce -= 2) != 0 || (m->odd && m->out))
        break;
      else
        m->out = !m->out;
      m->odd = m->cr & 1;
      m->ce = m->cr & ~1;
      break;
    default:
      m->ce = (m->ce + modulus - 1) % modulus;
      if (m->mode >= 4)
        m->out = !(m->ce == 0 && !m->done);
      else if (m->ce == 0)
        m->out = true;
      if (m->ce == 0)
        m->done = true;
      break;
    }
}

static void
test_against_model (void)
{
  GRand   *random = g_rand_new_with_seed (8254);
  Model    model = { .mode = 3, .out = true };
  bool     programmed = false;
  int64_t  base;
  unsigned compared = 0;

  set_up ();
  to_tick (100000);
  base = pit_now_ticks (pit);
  for (unsigned step = 0; step < 60000; step++)
    {
      unsigned action = (unsigned) g_rand_int_range (random, 0, 100);
      int      n = g_rand_int_range (random, 0, g_rand_int_range (random, 0, 10) ? 12 : 300);

      if (action < 4)
        {
          unsigned mode = (unsigned) g_rand_int_range (random, 0, 6);
          bool     bcd = g_rand_boolean (random);

          bench_out (&bench, CONTROL, (uint8_t) (0xb0 | mode << 1 | bcd));
          model_control (&model, mode, bcd);
          programmed = true;
        }
      else if (action < 50)
        {
          /* Counts of 2 … 99, written low byte first; illegal ones have no defined waves. */
          uint8_t byte = model.write_high ? 0 : (uint8_t) g_rand_int_range (random, 2, 10) | (uint8_t) (g_rand_int_range (random, 0, 10) << 4);

          if (!programmed)
            continue;
          bench_out (&bench, 0x42, byte);
          model_write (&model, byte);
        }
      else if (action < 65)
        {
          bool level = g_rand_boolean (random);

          pit_set_gate2 (pit, level);
          model_gate (&model, level);
        }
      g_assert_cmpint (pit_out2 (pit), ==, model.out);
      for (int i = 0; i < n; i++)
        {
          int      modulus = model.bcd ? 10000 : 65536;
          int      ce, seen;
          uint16_t raw;

          to_tick (++base);
          model_clock (&model);
          if (pit_out2 (pit) != model.out)
            g_error ("step %u, mode %u: out %d, model %d, ce %d", step, model.mode, pit_out2 (pit), model.out, model.ce);
          if (!model.counting)
            continue;
          raw = latched (2);
          seen = model.bcd ? (raw >> 12) * 1000 + (raw >> 8 & 15) * 100 + (raw >> 4 & 15) * 10 + (raw & 15) : raw;
          ce = model.ce % modulus;
          if (seen != ce)
            g_error ("step %u, mode %u: count %d, model %d", step, model.mode, seen, ce);
          compared++;
        }
    }
  g_assert_cmpuint (compared, >, 100000);
  g_rand_free (random);
  tear_down ();
}

/* The integral that the speaker hears equals the sum of single ticks. */
static int64_t  heard_until;
static uint32_t heard;

static void
listen (Device *nobody)
{
  int64_t now = pit_now_ticks (pit);

  heard += pit_high_ticks2 (pit, heard_until, now);
  heard_until = now;
}

static void
test_high_ticks (void)
{
  GRand   *random = g_rand_new_with_seed (61);
  uint32_t sum = 0;

  set_up ();
  heard = 0;
  heard_until = 0;
  pit_on_change2 (pit, listen, NULL);
  for (unsigned round = 0; round < 3000; round++)
    {
      unsigned mode = (unsigned) g_rand_int_range (random, 0, 6);

      program (2, mode, (uint16_t) g_rand_int_range (random, 2, 40));
      for (int i = g_rand_int_range (random, 1, 150); i > 0; i--)
        {
          unsigned action = (unsigned) g_rand_int_range (random, 0, 100);

          if (action < 3)
            {
              bench_out (&bench, 0x42, (uint8_t) g_rand_int_range (random, 2, 40));
              bench_out (&bench, 0x42, 0);
            }
          else if (action < 8)
            pit_set_gate2 (pit, g_rand_boolean (random));
          else if (action < 10)
            latched (2);
          sum += pit_out2 (pit);
          ticks (1);
        }
    }
  listen (NULL);
  g_assert_cmpuint (heard, ==, sum);
  g_assert_cmpuint (sum, >, 10000);
  g_rand_free (random);
  tear_down ();
}

static void
test_bad_accesses (void)
{
  set_up ();
  g_assert_cmphex (bench_in (&bench, CONTROL), ==, 0xff);
  g_assert_cmphex (bus_read_port (bench.host.bus, 0x42, 4), ==, 0xffffff00);
  bus_write_port (bench.host.bus, 0x40, 4, 0xffffffff);
  /* Reads and latches of a counter that was never programmed. */
  for (unsigned i = 0; i < 3; i++)
    {
      latched (i);
      status (i);
    }
  /* Illegal counts of one. */
  program (0, 2, 1);
  ticks (100);
  program (0, 3, 1);
  ticks (100);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down ();
}

static void
scramble (Bench *b)
{
  for (unsigned i = 0; i < 3; i++)
    {
      latched (i);
      status (i);
    }
  pit_set_gate2 (pit, !pit_gate2 (pit));
  pit_high_ticks2 (pit, pit_now_ticks (pit) - 5, pit_now_ticks (pit));
  clock_advance (b->host.clock, 12345);
  clock_run_timers (b->host.clock);
  pit_out2 (pit);
  pit_running2 (pit);
  bench_in (b, 0x40);
  bench_out (b, 0x40, 7);
  bench_out (b, 0x42, 7);
  bench_out (b, CONTROL, 0xc0);
}

static void
test_state (void)
{
  uint16_t counts[3];

  set_up ();
  program (0, 2, 5000);
  program (1, 3, 18);
  pit_set_gate2 (pit, true);
  program (2, 3, 1001);
  ticks (1300);
  bench_out (&bench, 0x42, 50);
  bench_out (&bench, 0x42, 0);
  bench_out (&bench, 0x40, 1);
  bench_out (&bench, CONTROL, 0xc2);
  bench_check_state (&bench, pit, scramble);
  g_assert_cmphex (bench_in (&bench, 0x40), ==, 0xb4);
  counts[0] = bench_in (&bench, 0x40);
  counts[0] |= (uint16_t) (bench_in (&bench, 0x40) << 8);
  counts[2] = latched (2);
  g_assert_cmpuint (counts[0], ==, 5000 - 1299);
  g_assert_cmpuint (counts[2], ==, 1000 - 2 * 298);
  ticks (300);
  g_assert_cmpuint (latched (2), <=, 50);
  irq0.rises = 0;
  ticks (5000);
  g_assert_cmpuint (irq0.rises, ==, 1);
  tear_down ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pit/mode-0-interrupt-on-terminal-count", test_mode_0_interrupt_on_terminal_count);
  g_test_add_func ("/pit/mode-1-one-shot", test_mode_1_one_shot);
  g_test_add_func ("/pit/mode-2-rate-generator", test_mode_2_rate_generator);
  g_test_add_func ("/pit/mode-3-square-wave", test_mode_3_square_wave);
  g_test_add_func ("/pit/mode-4-software-strobe", test_mode_4_software_strobe);
  g_test_add_func ("/pit/mode-5-hardware-strobe", test_mode_5_hardware_strobe);
  g_test_add_func ("/pit/modes-6-and-7-are-2-and-3", test_modes_6_and_7_are_2_and_3);
  g_test_add_func ("/pit/bcd", test_bcd);
  g_test_add_func ("/pit/count-zero-is-65536", test_count_zero_is_65536);
  g_test_add_func ("/pit/access-modes", test_access_modes);
  g_test_add_func ("/pit/counter-latch", test_counter_latch);
  g_test_add_func ("/pit/read-back", test_read_back);
  g_test_add_func ("/pit/gate-stops-mode-0", test_gate_stops_mode_0);
  g_test_add_func ("/pit/calibration", test_calibration);
  g_test_add_func ("/pit/idle-costs-nothing", test_idle_costs_nothing);
  g_test_add_func ("/pit/late-edges-are-made-up", test_late_edges_are_made_up);
  g_test_add_func ("/pit/fuzzy-time", test_fuzzy_time);
  g_test_add_func ("/pit/against-model", test_against_model);
  g_test_add_func ("/pit/high-ticks", test_high_ticks);
  g_test_add_func ("/pit/bad-accesses", test_bad_accesses);
  g_test_add_func ("/pit/state", test_state);
  return g_test_run ();
}
