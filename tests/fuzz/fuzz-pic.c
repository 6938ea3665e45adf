/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "chip-fuzz.h"
#include "pic.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static Pic *pic;

static void
other (Bench *bench, FuzzInput *input, unsigned choice)
{
  int vector;

  if (choice & 1)
    {
      vector = pic_acknowledge (pic);
      g_assert_cmpint (vector, >=, 0);
      g_assert_cmpint (vector, <=, 255);
    }
  else
    pic_set_irq (pic, fuzz_byte (input) & 31, choice & 2);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const uint16_t ports[] = { 0x20, 2, 0xa0, 2, 0x4d0, 2, 0, 0 };
  static const FuzzChip chip = { ports, NULL, other };
  FakeLine line = { 0 };
  Bench    bench = bench_new (0);

  g_assert_cmpint (pic_new (&bench.host, fake_line (&line), &pic), ==, 0);
  fuzz_chip (&bench, pic, &chip, bytes, n_bytes);
  g_assert_cmpint (line.level, ==, pic_output (pic));
  bench_free (&bench, pic);
  return 0;
}
