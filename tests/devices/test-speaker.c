/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Port 61h, and what the speaker makes of counter 2. */
#include "speaker.h"

#include "chip-bench.h"

typedef struct
{
  SoundSink parent;
  GArray   *samples;            /* left channel */
  bool      closed;
} Recorder;

static Bench    bench;
static Pit     *pit;
static Speaker *speaker;
static Recorder recorder;

#define MS UINT64_C (1000000)

static void
record (SoundSink *sink, const int16_t *frames, size_t n_frames)
{
  for (size_t i = 0; i < n_frames; i++)
    {
      g_assert_cmpint (frames[2 * i], ==, frames[2 * i + 1]);
      g_array_append_val (recorder.samples, frames[2 * i]);
    }
}

static void
close_recorder (SoundSink *sink)
{
  recorder.closed = true;
}

static void
set_up (void)
{
  bench = bench_new (0);
  recorder = (Recorder) { { record, close_recorder }, g_array_new (FALSE, FALSE, sizeof (int16_t)), false };
  g_assert_cmpint (pit_new (&bench.host, (IrqLine) { 0 }, &pit), ==, 0);
  g_assert_cmpint (speaker_new (&bench.host, pit, &recorder.parent, &speaker), ==, 0);
}

static void
tear_down (void)
{
  ((Device *) speaker)->klass->finish ((Device *) speaker);
  g_assert_true (recorder.closed);
  bench_free (&bench, pit);
  g_array_free (recorder.samples, TRUE);
}

static int
sample (guint i)
{
  return g_array_index (recorder.samples, int16_t, i);
}

static void
tone (uint16_t count)
{
  bench_out (&bench, 0x43, 0xb6);
  bench_out (&bench, 0x42, count & 0xff);
  bench_out (&bench, 0x42, (uint8_t) (count >> 8));
  bench_out (&bench, 0x61, 0x03);
}

static unsigned
rising_zero_crossings (guint from)
{
  unsigned n = 0;

  for (guint i = from + 1; i < recorder.samples->len; i++)
    n += sample (i - 1) < 0 && sample (i) >= 0;
  return n;
}

static int
loudest (guint from)
{
  int peak = 0;

  for (guint i = from; i < recorder.samples->len; i++)
    peak = MAX (peak, ABS (sample (i)));
  return peak;
}

static void
test_port (void)
{
  set_up ();
  bench_out (&bench, 0x61, 0xff);
  g_assert_cmphex (bench_in (&bench, 0x61) & 0xcf, ==, 0x0f);
  g_assert_true (pit_gate2 (pit));
  bench_out (&bench, 0x61, 0x00);
  g_assert_false (pit_gate2 (pit));
  /* OUT2 shows in bit 5. */
  bench_out (&bench, 0x43, 0xb0);
  g_assert_cmphex (bench_in (&bench, 0x61) & 0x20, ==, 0x00);
  bench_out (&bench, 0x61, 0x01);
  bench_out (&bench, 0x42, 0x10);
  bench_out (&bench, 0x42, 0x00);
  bench_advance (&bench, 20000);
  g_assert_cmphex (bench_in (&bench, 0x61) & 0x20, ==, 0x20);
  tear_down ();
}

static void
test_refresh_toggles (void)
{
  unsigned changes = 0, last;

  set_up ();
  last = bench_in (&bench, 0x61) & 0x10;
  for (unsigned i = 0; i < 10000; i++)
    {
      unsigned now;

      bench_advance (&bench, 1000);
      now = bench_in (&bench, 0x61) & 0x10;
      changes += now != last;
      last = now;
    }
  /* 15.085 us each. */
  g_assert_cmpuint (changes, >=, 661);
  g_assert_cmpuint (changes, <=, 664);
  tear_down ();
}

static void
test_tone (void)
{
  set_up ();
  tone (1193);
  bench_advance (&bench, 1000 * MS);
  g_assert_cmpuint (recorder.samples->len, >=, 47500);
  g_assert_cmpuint (recorder.samples->len, <=, 48000);
  g_assert_cmpuint (rising_zero_crossings (0), >=, 980);
  g_assert_cmpuint (rising_zero_crossings (0), <=, 1001);
  g_assert_cmpint (loudest (24000), >, 4000);
  tear_down ();
}

static void
test_silence_costs_nothing (void)
{
  guint length;

  set_up ();
  bench_advance (&bench, 1000 * MS);
  g_assert_cmpuint (recorder.samples->len, ==, 0);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tone (1193);
  bench_advance (&bench, 100 * MS);
  bench_out (&bench, 0x61, 0x00);
  bench_advance (&bench, 1000 * MS);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  length = recorder.samples->len;
  g_assert_cmpuint (length, <, 48000 / 4);
  /* The end is silence, not a step. */
  g_assert_cmpint (ABS (sample (length - 1)), <=, 1);
  bench_advance (&bench, 1000 * MS);
  g_assert_cmpuint (recorder.samples->len, ==, length);
  /* A level that stays high is silent too. */
  bench_out (&bench, 0x43, 0xb6);
  bench_out (&bench, 0x61, 0x02);
  bench_advance (&bench, 2000 * MS);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down ();
}

static void
test_inaudible_tone_is_flat (void)
{
  set_up ();
  /* 200 kHz: an average, not an alias. */
  tone (6);
  bench_advance (&bench, 500 * MS);
  g_assert_cmpint (loudest (recorder.samples->len - 1000), <, 600);
  tear_down ();
}

/* Speech by pulse width: counter 2 in mode 0, reloaded 16000 times a second with the sample. */
static void
test_pulse_width (void)
{
  double sum = 0, weight = 0;

  set_up ();
  bench_out (&bench, 0x43, 0x90);
  bench_out (&bench, 0x61, 0x03);
  for (unsigned i = 0; i < 16000; i++)
    {
      /* A 500 Hz square wave of two pulse widths. */
      bench_out (&bench, 0x42, i / 16 & 1 ? 60 : 15);
      bench_advance (&bench, 62500);
    }
  g_assert_cmpuint (recorder.samples->len, >=, 47000);
  for (guint i = 24000; i < 47000; i++)
    {
      unsigned phase = i % 96;

      sum += phase >= 8 && phase < 40 ? sample (i) : phase >= 56 && phase < 88 ? -sample (i) : 0;
      weight += 1;
    }
  g_assert_cmpfloat (ABS (sum / weight), >, 500);
  tear_down ();
}

static void
test_direct_toggling (void)
{
  set_up ();
  bench_out (&bench, 0x43, 0xb6);
  for (unsigned i = 0; i < 1000; i++)
    {
      bench_out (&bench, 0x61, i & 1 ? 0x02 : 0x00);
      bench_advance (&bench, 500000);
    }
  g_assert_cmpuint (rising_zero_crossings (0), >=, 480);
  g_assert_cmpuint (rising_zero_crossings (0), <=, 501);
  tear_down ();
}

static void
test_without_sink (void)
{
  bench = bench_new (0);
  g_assert_cmpint (pit_new (&bench.host, (IrqLine) { 0 }, &pit), ==, 0);
  g_assert_cmpint (speaker_new (&bench.host, pit, NULL, &speaker), ==, 0);
  tone (1193);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  bench_advance (&bench, 100 * MS);
  ((Device *) speaker)->klass->finish ((Device *) speaker);
  bench_free (&bench, pit);
}

static void
test_long_absence (void)
{
  set_up ();
  tone (1193);
  clock_advance (bench.host.clock, 3600 * 1000 * MS);
  clock_run_timers (bench.host.clock);
  g_assert_cmpuint (recorder.samples->len, <=, 48000);
  bench_advance (&bench, 100 * MS);
  g_assert_cmpint (loudest (0), >, 4000);
  tear_down ();
}

static void
test_bad_accesses (void)
{
  set_up ();
  bus_write_port (bench.host.bus, 0x60, 4, 0xffffffff);
  g_assert_cmphex (bus_read_port (bench.host.bus, 0x61, 4) >> 8, ==, 0xffffff);
  tone (1);
  bench_advance (&bench, 100 * MS);
  tone (0);
  bench_advance (&bench, 100 * MS);
  tear_down ();
}

static void
scramble (Bench *b)
{
  tone (500);
  clock_advance (b->host.clock, 30 * MS);
  clock_run_timers (b->host.clock);
  bench_out (b, 0x61, 0x0e);
  bench_in (b, 0x61);
  clock_advance (b->host.clock, 30 * MS);
  clock_run_timers (b->host.clock);
  if (recorder.samples->len > 1000000)
    g_array_set_size (recorder.samples, 0);
}

static void
test_state (void)
{
  guint length;

  set_up ();
  tone (1193);
  bench_advance (&bench, 33 * MS);
  bench_check_state (&bench, speaker, scramble);
  /* The counter is not the speaker's to save. */
  tone (1193);
  length = recorder.samples->len;
  bench_advance (&bench, 100 * MS);
  g_assert_cmpuint (recorder.samples->len - length, >=, 4300);
  tear_down ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/speaker/port", test_port);
  g_test_add_func ("/speaker/refresh-toggles", test_refresh_toggles);
  g_test_add_func ("/speaker/tone", test_tone);
  g_test_add_func ("/speaker/silence-costs-nothing", test_silence_costs_nothing);
  g_test_add_func ("/speaker/inaudible-tone-is-flat", test_inaudible_tone_is_flat);
  g_test_add_func ("/speaker/pulse-width", test_pulse_width);
  g_test_add_func ("/speaker/direct-toggling", test_direct_toggling);
  g_test_add_func ("/speaker/without-sink", test_without_sink);
  g_test_add_func ("/speaker/long-absence", test_long_absence);
  g_test_add_func ("/speaker/bad-accesses", test_bad_accesses);
  g_test_add_func ("/speaker/state", test_state);
  return g_test_run ();
}
