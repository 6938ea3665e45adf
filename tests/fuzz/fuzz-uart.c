/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "chip-fuzz.h"
#include "fake-char.h"
#include "uart16550.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static Uart     *uart;
static FakeChar *far_end;

static void
other (Bench *bench, FuzzInput *input, unsigned choice)
{
  static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";

  switch (choice & 7)
    {
    case 0: case 1: case 2:
      {
        size_t n = fuzz_byte (input) % sizeof text;

        g_assert_cmpuint (far_end->parent.receive (far_end->parent.device, (const uint8_t *) text, n), <=, n);
        break;
      }
    case 3:
      far_end->stuck = choice & 8;
      break;
    case 4:
      uart_set_modem_inputs (uart, fuzz_byte (input));
      break;
    case 5:
      uart_receive_break (uart);
      break;
    case 6:
      far_end = fake_char_new ();
      uart_plug (uart, &far_end->parent);
      break;
    default:
      uart_modem_outputs (uart);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const uint16_t ports[] = { 0x3f8, 8, 0, 0 };
  static const FuzzChip chip = { ports, NULL, other };
  FakeLine line = { 0 };
  Bench    bench = bench_new (0);

  far_end = fake_char_new ();
  g_assert_cmpint (uart_new (&bench.host, 0x3f8, fake_line (&line), &far_end->parent, n_bytes && bytes[0] & 1, &uart), ==, 0);
  fuzz_chip (&bench, uart, &chip, bytes, n_bytes);
  bench_free (&bench, uart);
  return 0;
}
