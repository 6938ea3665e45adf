/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "chip-fuzz.h"
#include "rtc.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static Rtc *rtc;

static void
other (Bench *bench, FuzzInput *input, unsigned choice)
{
  switch (choice & 3)
    {
    case 0:
      rtc_set_time (rtc, (int64_t) (int32_t) fuzz_word (input) * (INT64_C (1) << (choice & 0xc) * 2));
      break;
    case 1:
      rtc_get_time (rtc);
      break;
    default:
      rtc_set_cmos (rtc, fuzz_word (input), fuzz_byte (input));
      rtc_checksum (rtc);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const uint16_t ports[] = { 0x70, 4, 0x71, 1, 0x71, 1, 0, 0 };
  static const FuzzChip chip = { ports, NULL, other };
  FakeLine line = { 0 };
  Bench    bench = bench_new (0);

  if (n_bytes && (bytes[0] & 0x80))
    clock_set_fuzz (bench.host.clock, 1 + bytes[0] * 1000u, bytes[0]);
  g_assert_cmpint (rtc_new (&bench.host, fake_line (&line), 1800000000, &rtc), ==, 0);
  fuzz_chip (&bench, rtc, &chip, bytes, n_bytes);
  bench_free (&bench, rtc);
  return 0;
}
