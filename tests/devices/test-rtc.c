/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The MC146818A and its CMOS memory. */
#include "rtc.h"

#include "chip-bench.h"

#include <time.h>

static Bench    bench;
static Rtc     *rtc;
static FakeLine irq8;

enum { SECOND = 0, SECOND_ALARM, MINUTE, MINUTE_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D, CENTURY = 0x32 };
#define MS UINT64_C (1000000)

/* Saturday 2026-02-28 23:59:58 UTC */
#define LATE INT64_C (1772323198)

static void
set_up (int64_t unix_seconds)
{
  irq8 = (FakeLine) { 0 };
  bench = bench_new (0);
  irq8.clock = bench.host.clock;
  g_assert_cmpint (rtc_new (&bench.host, fake_line (&irq8), unix_seconds, &rtc), ==, 0);
}

static void
tear_down (void)
{
  bench_free (&bench, rtc);
}

static uint8_t
get (unsigned index)
{
  bench_out (&bench, 0x70, (uint8_t) index);
  return bench_in (&bench, 0x71);
}

static void
put (unsigned index, uint8_t value)
{
  bench_out (&bench, 0x70, (uint8_t) index);
  bench_out (&bench, 0x71, value);
}

static void
assert_time (const char *expected)
{
  char text[64];

  g_snprintf (text, sizeof text, "%02x%02x-%02x-%02x %02x:%02x:%02x", get (CENTURY), get (YEAR), get (MONTH), get (DAY),
              get (HOUR), get (MINUTE), get (SECOND));
  g_assert_cmpstr (text, ==, expected);
}

static void
test_base_time (void)
{
  set_up (LATE);
  assert_time ("2026-02-28 23:59:58");
  g_assert_cmphex (get (WEEKDAY), ==, 7);
  g_assert_cmphex (get (B), ==, 0x02);
  g_assert_cmphex (get (D), ==, 0x80);
  g_assert_cmpint (rtc_get_time (rtc), ==, LATE);
  tear_down ();
}

static void
test_time_passes (void)
{
  set_up (LATE);
  bench_advance (&bench, 2000 * MS);
  assert_time ("2026-03-01 00:00:00");
  g_assert_cmphex (get (WEEKDAY), ==, 1);
  bench_advance (&bench, UINT64_C (366) * 86400 * 1000 * MS);
  assert_time ("2027-03-02 00:00:00");
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down ();
}

/* Every day from 1900 to 2199 against the C library. */
static void
test_calendar (void)
{
  set_up (0);
  for (int64_t day = -25567; day < 84000; day += 1)
    {
      time_t    seconds = (time_t) (day * 86400 + 86399);
      struct tm tm;
      char      text[64];

      gmtime_r (&seconds, &tm);
      rtc_set_time (rtc, seconds);
      strftime (text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
      assert_time (text);
      g_assert_cmphex (get (WEEKDAY), ==, tm.tm_wday + 1);
    }
  tear_down ();
}

static void
test_binary_and_12_hours (void)
{
  set_up (LATE);
  put (B, 0x06);
  g_assert_cmpuint (get (SECOND), ==, 58);
  g_assert_cmpuint (get (HOUR), ==, 23);
  g_assert_cmpuint (get (YEAR), ==, 26);
  put (B, 0x04);
  g_assert_cmphex (get (HOUR), ==, 0x8b);
  put (B, 0x00);
  g_assert_cmphex (get (HOUR), ==, 0x91);
  bench_advance (&bench, 3000 * MS);
  g_assert_cmphex (get (HOUR), ==, 0x12);
  bench_advance (&bench, UINT64_C (12) * 3600 * 1000 * MS);
  g_assert_cmphex (get (HOUR), ==, 0x92);
  bench_advance (&bench, UINT64_C (3600) * 1000 * MS);
  g_assert_cmphex (get (HOUR), ==, 0x81);
  tear_down ();
}

static void
set_by_program (uint8_t b, const uint8_t *fields)
{
  put (B, b | 0x80);
  put (SECOND, fields[0]);
  put (MINUTE, fields[1]);
  put (HOUR, fields[2]);
  put (DAY, fields[3]);
  put (MONTH, fields[4]);
  put (YEAR, fields[5]);
  put (CENTURY, fields[6]);
  put (B, b);
}

static void
test_setting (void)
{
  static const uint8_t bcd[] = { 0x59, 0x59, 0x23, 0x31, 0x12, 0x99, 0x19 };
  static const uint8_t binary_12[] = { 59, 59, 0x80 | 11, 31, 12, 99, 19 };

  set_up (LATE);
  bench_advance (&bench, 300 * MS);
  set_by_program (0x02, bcd);
  assert_time ("1999-12-31 23:59:59");
  /* The chain below one second went on. */
  bench_advance (&bench, 690 * MS);
  assert_time ("1999-12-31 23:59:59");
  bench_advance (&bench, 20 * MS);
  assert_time ("2000-01-01 00:00:00");
  set_by_program (0x04, binary_12);
  bench_advance (&bench, 1000 * MS);
  put (B, 0x02);
  assert_time ("2000-01-01 00:00:00");
  /* One field while the clock runs. */
  put (HOUR, 0x17);
  put (DAY, 0x29);
  put (MONTH, 0x02);
  assert_time ("2000-02-29 17:00:00");
  tear_down ();
}

static void
test_set_stops_updates (void)
{
  set_up (LATE);
  put (B, 0x82);
  bench_advance (&bench, 5000 * MS);
  assert_time ("2026-02-28 23:59:58");
  g_assert_cmphex (get (A) & 0x80, ==, 0);
  g_assert_cmphex (get (C), ==, 0x40);
  put (B, 0x02);
  assert_time ("2026-02-28 23:59:58");
  tear_down ();
}

static void
test_divider_reset (void)
{
  set_up (LATE);
  bench_advance (&bench, 700 * MS);
  put (A, 0x76);
  bench_advance (&bench, 10000 * MS);
  assert_time ("2026-02-28 23:59:58");
  put (A, 0x26);
  /* The first update comes half a second after the chain was released. */
  bench_advance (&bench, 499 * MS);
  assert_time ("2026-02-28 23:59:58");
  bench_advance (&bench, 2 * MS);
  assert_time ("2026-02-28 23:59:59");
  bench_advance (&bench, 1000 * MS);
  assert_time ("2026-03-01 00:00:00");
  tear_down ();
}

/* What Linux does to set the time: SET, divider reset, fields, divider, SET off. */
static void
test_setting_with_divider_reset (void)
{
  set_up (LATE);
  put (B, 0x82);
  put (A, 0x76);
  put (YEAR, 0x30);
  put (MONTH, 0x07);
  put (B, 0x02);
  put (A, 0x26);
  assert_time ("2030-07-28 23:59:58");
  bench_advance (&bench, 501 * MS);
  assert_time ("2030-07-28 23:59:59");
  tear_down ();
}

static void
test_update_in_progress (void)
{
  uint64_t rise, fall;

  set_up (LATE);
  /* Wait for UIP to come and go as programs do, in steps of 10 us. */
  while (!(get (A) & 0x80))
    bench_advance (&bench, 10000);
  rise = bench_now (&bench);
  assert_time ("2026-02-28 23:59:58");
  while (get (A) & 0x80)
    bench_advance (&bench, 10000);
  fall = bench_now (&bench);
  assert_time ("2026-02-28 23:59:59");
  g_assert_cmpuint (fall - rise, >, 2200000);
  g_assert_cmpuint (fall - rise, <, 2250000);
  g_assert_cmpuint (fall, >=, 1000 * MS);
  g_assert_cmpuint (fall, <, 1000 * MS + 20000);
  /* The flag is readable and only readable. */
  put (A, 0xa6);
  g_assert_cmphex (get (A), ==, 0x26);
  tear_down ();
}

static void
test_update_interrupt (void)
{
  set_up (LATE);
  put (B, 0x12);
  bench_advance (&bench, 999 * MS);
  g_assert_false (irq8.level);
  bench_advance (&bench, 1 * MS);
  g_assert_true (irq8.level);
  assert_time ("2026-02-28 23:59:59");
  bench_advance (&bench, 5000 * MS);
  g_assert_cmpuint (irq8.rises, ==, 1);
  /* Midnight is what alarm registers of zero wait for. */
  g_assert_cmphex (get (C), ==, 0xf0);
  g_assert_false (irq8.level);
  g_assert_cmphex (get (C), ==, 0);
  bench_advance (&bench, 1000 * MS);
  g_assert_cmpuint (irq8.rises, ==, 2);
  /* SET clears UIE. */
  put (B, 0x92);
  g_assert_cmphex (get (B), ==, 0x82);
  tear_down ();
}

static void
test_flags_without_interrupts (void)
{
  set_up (LATE);
  get (C);
  bench_advance (&bench, 1500 * MS);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  g_assert_cmphex (get (C), ==, 0x50);
  g_assert_cmphex (get (C), ==, 0);
  /* Enabling with the flag already up raises the line at once. */
  bench_advance (&bench, 1000 * MS);
  put (B, 0x12);
  g_assert_true (irq8.level);
  tear_down ();
}

static void
test_periodic_interrupt (void)
{
  static const unsigned hertz[16] = { 0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2 };

  set_up (LATE);
  for (unsigned rate = 0; rate < 16; rate++)
    {
      unsigned n = 0;
      uint64_t end = bench_now (&bench) + 1000 * MS;

      put (A, (uint8_t) (0x20 | rate));
      put (B, 0x42);
      get (C);
      while (clock_next_deadline (bench.host.clock) <= end)
        {
          bench_advance_to (&bench, clock_next_deadline (bench.host.clock));
          g_assert_true (irq8.level);
          g_assert_cmphex (get (C) & 0xc0, ==, 0xc0);
          n++;
        }
      bench_advance_to (&bench, end);
      g_assert_cmpuint (n, ==, hertz[rate]);
    }
  /* Nobody reads: one edge, no more events. */
  put (A, 0x23);
  g_assert_cmpuint (bench_advance (&bench, 1000 * MS), <=, 1);
  tear_down ();
}

static void
test_alarm (void)
{
  set_up (LATE);
  put (SECOND_ALARM, 0x10);
  put (MINUTE_ALARM, 0x05);
  put (HOUR_ALARM, 0x07);
  put (B, 0x22);
  bench_advance (&bench, UINT64_C (10) * 3600 * 1000 * MS);
  g_assert_cmpuint (irq8.rises, ==, 1);
  /* 23:59:58 to 07:05:10 */
  g_assert_cmpuint (irq8.rise_ns, ==, (UINT64_C (7) * 3600 + 5 * 60 + 12) * 1000 * MS);
  g_assert_cmphex (get (C) & 0xa0, ==, 0xa0);
  bench_advance (&bench, UINT64_C (24) * 3600 * 1000 * MS);
  g_assert_cmpuint (irq8.rises, ==, 2);
  tear_down ();
}

static void
test_alarm_dont_care (void)
{
  set_up (LATE);
  put (SECOND_ALARM, 0x30);
  put (MINUTE_ALARM, 0xc0);
  put (HOUR_ALARM, 0xff);
  put (B, 0x22);
  for (unsigned i = 0; i < 60; i++)
    {
      bench_advance (&bench, UINT64_C (60) * 1000 * MS);
      g_assert_true (irq8.level);
      g_assert_cmphex (get (C) & 0x20, ==, 0x20);
    }
  g_assert_cmpuint (irq8.rises, ==, 60);
  /* Every second. */
  put (SECOND_ALARM, 0xff);
  for (unsigned i = 0; i < 5; i++)
    {
      bench_advance (&bench, 1000 * MS);
      get (C);
    }
  g_assert_cmpuint (irq8.rises, ==, 65);
  /* A time that no clock shows: never. */
  put (SECOND_ALARM, 0x7a);
  g_assert_cmpuint (bench_advance (&bench, UINT64_C (3) * 86400 * 1000 * MS), ==, 0);
  tear_down ();
}

static void
test_cmos (void)
{
  uint8_t saved[CMOS_BYTES];

  set_up (LATE);
  for (unsigned i = 14; i < 128; i++)
    if (i != CENTURY)
      put (i, (uint8_t) (i * 3));
  for (unsigned i = 0; i < 128; i++)
    {
      bench_out (&bench, 0x72, (uint8_t) i);
      bench_out (&bench, 0x73, (uint8_t) (i ^ 0x5a));
    }
  for (unsigned i = 14; i < 128; i++)
    if (i != CENTURY)
      g_assert_cmphex (get (i), ==, i * 3 & 0xff);
  bench_out (&bench, 0x72, 0x10);
  g_assert_cmphex (bench_in (&bench, 0x73), ==, 0x4a);
  g_assert_cmphex (rtc_get_cmos (rtc, 0x90), ==, 0x4a);
  rtc_set_cmos (rtc, CMOS_SHUTDOWN, 0x05);
  g_assert_cmphex (get (CMOS_SHUTDOWN), ==, 0x05);
  /* The clock's own bytes and numbers past the end are not CMOS. */
  rtc_set_cmos (rtc, SECOND, 0x77);
  rtc_set_cmos (rtc, CENTURY, 0x77);
  rtc_set_cmos (rtc, 256, 0x77);
  rtc_set_cmos (rtc, 100000, 0x77);
  assert_time ("2026-02-28 23:59:58");
  g_assert_cmphex (rtc_get_cmos (rtc, 256), ==, 0);
  rtc_save_cmos (rtc, saved);
  put (0x20, 0);
  rtc_load_cmos (rtc, saved);
  g_assert_cmphex (get (0x20), ==, 0x60);
  rtc_checksum (rtc);
  {
    unsigned sum = 0;

    for (unsigned i = 0x10; i <= 0x2d; i++)
      sum += get (i);
    g_assert_cmphex (get (0x2e) << 8 | get (0x2f), ==, sum);
  }
  tear_down ();
}

static void
test_nmi_mask (void)
{
  set_up (LATE);
  g_assert_false (rtc_nmi_masked (rtc));
  bench_out (&bench, 0x70, 0x80 | YEAR);
  g_assert_true (rtc_nmi_masked (rtc));
  g_assert_cmphex (bench_in (&bench, 0x71), ==, 0x26);
  tear_down ();
}

static void
test_reset_keeps_time_and_memory (void)
{
  set_up (LATE);
  put (0x40, 0x99);
  put (B, 0x72);
  bench_advance (&bench, 1000 * MS);
  g_assert_true (irq8.level);
  ((Device *) rtc)->klass->reset ((Device *) rtc);
  g_assert_false (irq8.level);
  g_assert_cmphex (get (B), ==, 0x02);
  g_assert_cmphex (get (C), ==, 0);
  g_assert_cmphex (get (0x40), ==, 0x99);
  assert_time ("2026-02-28 23:59:59");
  tear_down ();
}

static void
test_set_time (void)
{
  set_up (LATE);
  bench_advance (&bench, 400 * MS);
  rtc_set_time (rtc, 0);
  assert_time ("1970-01-01 00:00:00");
  bench_advance (&bench, 600 * MS);
  assert_time ("1970-01-01 00:00:01");
  rtc_set_time (rtc, INT64_MAX);
  assert_time ("9999-12-31 23:59:59");
  bench_advance (&bench, 100000 * MS);
  assert_time ("9999-12-31 23:59:59");
  rtc_set_time (rtc, INT64_MIN);
  assert_time ("0000-01-01 00:00:00");
  tear_down ();
}

static void
test_fuzzy_time (void)
{
  unsigned last = 0x58, changes = 0;

  set_up (LATE);
  clock_set_fuzz (bench.host.clock, 5 * MS, 3);
  put (B, 0x12);
  for (unsigned i = 0; i < 30000; i++)
    {
      unsigned rises = irq8.rises;

      clock_advance (bench.host.clock, 1 * MS);
      g_assert_cmpuint (clock_run_timers (bench.host.clock), <, 3);
      if (irq8.rises != rises)
        {
          /* After the update-ended interrupt the new second shows. */
          g_assert_cmphex (get (SECOND), !=, last);
          last = get (SECOND);
          changes++;
          get (C);
        }
    }
  g_assert_cmpuint (changes, >=, 29);
  tear_down ();
}

static void
test_bad_accesses (void)
{
  set_up (LATE);
  g_assert_cmphex (bench_in (&bench, 0x70), ==, 0xff);
  g_assert_cmphex (bench_in (&bench, 0x72), ==, 0xff);
  put (C, 0xff);
  put (D, 0x00);
  g_assert_cmphex (get (D), ==, 0x80);
  /* Every value in every clock register, running and stopped. */
  for (unsigned index = 0; index < 12; index++)
    for (unsigned value = 0; value < 256; value++)
      {
        put (index, (uint8_t) value);
        bench_advance (&bench, 123 * MS);
        for (unsigned i = 0; i < 14; i++)
          get (i);
      }
  bus_write_port (bench.host.bus, 0x70, 4, 0xffffffff);
  bus_read_port (bench.host.bus, 0x70, 4);
  tear_down ();
}

static void
scramble (Bench *b)
{
  put (MONTH, 0x33);
  get (C);
  get (YEAR);
  put (B, 0x76);
  clock_advance (b->host.clock, 1234567890);
  clock_run_timers (b->host.clock);
  get (C);
  put (A, 0x23);
  rtc_get_time (rtc);
  bench_out (b, 0x72, 0x77);
  bench_out (b, 0x73, 0x77);
}

static void
test_state (void)
{
  set_up (LATE);
  put (0x44, 0x12);
  put (A, 0x2a);
  put (B, 0x62);
  bench_advance (&bench, 300 * MS);
  bench_check_state (&bench, rtc, scramble);
  assert_time ("2026-02-28 23:59:58");
  bench_advance (&bench, 1000 * MS);
  assert_time ("2026-02-28 23:59:59");
  g_assert_cmphex (get (0x44), ==, 0x12);
  tear_down ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/rtc/base-time", test_base_time);
  g_test_add_func ("/rtc/time-passes", test_time_passes);
  g_test_add_func ("/rtc/calendar", test_calendar);
  g_test_add_func ("/rtc/binary-and-12-hours", test_binary_and_12_hours);
  g_test_add_func ("/rtc/setting", test_setting);
  g_test_add_func ("/rtc/set-stops-updates", test_set_stops_updates);
  g_test_add_func ("/rtc/divider-reset", test_divider_reset);
  g_test_add_func ("/rtc/setting-with-divider-reset", test_setting_with_divider_reset);
  g_test_add_func ("/rtc/update-in-progress", test_update_in_progress);
  g_test_add_func ("/rtc/update-interrupt", test_update_interrupt);
  g_test_add_func ("/rtc/flags-without-interrupts", test_flags_without_interrupts);
  g_test_add_func ("/rtc/periodic-interrupt", test_periodic_interrupt);
  g_test_add_func ("/rtc/alarm", test_alarm);
  g_test_add_func ("/rtc/alarm-dont-care", test_alarm_dont_care);
  g_test_add_func ("/rtc/cmos", test_cmos);
  g_test_add_func ("/rtc/nmi-mask", test_nmi_mask);
  g_test_add_func ("/rtc/reset-keeps-time-and-memory", test_reset_keeps_time_and_memory);
  g_test_add_func ("/rtc/set-time", test_set_time);
  g_test_add_func ("/rtc/fuzzy-time", test_fuzzy_time);
  g_test_add_func ("/rtc/bad-accesses", test_bad_accesses);
  g_test_add_func ("/rtc/state", test_state);
  return g_test_run ();
}
