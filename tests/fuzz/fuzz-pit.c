/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The timer with the speaker that listens to it. */
#include "chip-fuzz.h"
#include "pit.h"
#include "speaker.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static Pit     *pit;
static Speaker *speaker;

static void
drop_frames (SoundSink *sink, const int16_t *frames, size_t n_frames)
{
  volatile int16_t last = frames[2 * n_frames - 1];

  (void) last;
}

static void
close_nothing (SoundSink *sink)
{
}

static void
other (Bench *bench, FuzzInput *input, unsigned choice)
{
  int64_t now = pit_now_ticks (pit);

  switch (choice & 3)
    {
    case 0:
      pit_set_gate2 (pit, choice & 4);
      break;
    case 1:
      pit_out2 (pit);
      pit_running2 (pit);
      break;
    case 2:
      {
        uint32_t n = fuzz_byte (input);

        g_assert_cmpuint (pit_high_ticks2 (pit, now - n, now), <=, n);
        break;
      }
    default:
      fuzz_restore ((Device *) speaker, input);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const uint16_t ports[] = { 0x40, 4, 0x61, 1, 0, 0 };
  static const FuzzChip chip = { ports, NULL, other };
  SoundSink sink = { drop_frames, close_nothing };
  FakeLine  line = { 0 };
  Bench     bench = bench_new (0);

  if (n_bytes && (bytes[0] & 0x80))
    clock_set_fuzz (bench.host.clock, 1 + bytes[0] * 1000u, bytes[0]);
  g_assert_cmpint (pit_new (&bench.host, fake_line (&line), &pit), ==, 0);
  g_assert_cmpint (speaker_new (&bench.host, pit, &sink, &speaker), ==, 0);
  fuzz_chip (&bench, pit, &chip, bytes, n_bytes);
  ((Device *) speaker)->klass->finish ((Device *) speaker);
  bench_free (&bench, pit);
  return 0;
}
