/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parallel port, with a slow far end or with the printer. */
#include "chip-fuzz.h"
#include "fake-char.h"
#include "parallel.h"
#include "printer.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static Parallel *parallel;
static FakeChar *far_end;
static bool      in_job;
static unsigned  n_jobs;

static bool
begin_job (void *data, uint32_t number)
{
  g_assert_false (in_job);
  in_job = ++n_jobs % 3;
  return in_job;
}

static bool
write_job (void *data, const uint8_t *bytes, size_t n_bytes)
{
  g_assert_true (in_job);
  return bytes[0] != 0xee;
}

static void
end_job (void *data, uint32_t number, uint64_t n_guest_bytes, bool complete)
{
  g_assert_true (in_job);
  in_job = false;
}

static const PrinterCallbacks callbacks = { begin_job, write_job, end_job };

static void
other (Bench *bench, FuzzInput *input, unsigned choice)
{
  static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz";
  PrinterConfig     config = { .banner = choice & 8 ? "BANNER" : NULL, .trailer = choice & 8 ? "TRAILER" : NULL };

  switch (choice & 7)
    {
    case 0: case 1: case 2: case 3:
      if (far_end)
        far_end->parent.receive (far_end->parent.device, (const uint8_t *) text, fuzz_byte (input) % sizeof text);
      break;
    case 4: case 5:
      if (far_end)
        far_end->stuck = choice & 8;
      break;
    case 6:
      far_end = NULL;
      parallel_plug (parallel, NULL);
      if (choice & 8)
        {
          far_end = fake_char_new ();
          parallel_plug (parallel, &far_end->parent);
        }
      break;
    default:
      far_end = NULL;
      parallel_plug (parallel, NULL);
      parallel_plug (parallel, printer_new (bench->host.clock, &config, &callbacks, NULL));
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const uint16_t ports[] = { 0x378, 8, 0x37a, 1, 0x37a, 1, 0, 0 };
  static const FuzzChip chip = { ports, NULL, other };
  FakeLine line = { 0 };
  Bench    bench = bench_new (0);

  in_job = false;
  far_end = fake_char_new ();
  g_assert_cmpint (parallel_new (&bench.host, 0x378, fake_line (&line), &far_end->parent, &parallel), ==, 0);
  fuzz_chip (&bench, parallel, &chip, bytes, n_bytes);
  bench_free (&bench, parallel);
  g_assert_false (in_job);
  return 0;
}
