/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The 16550A. */
#include "uart16550.h"

#include "chip-bench.h"
#include "fake-char.h"

static Bench     bench;
static Uart     *uart;
static FakeLine  irq;
static FakeChar *far_end;

enum { PORT = 0x3f8, DATA = PORT, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define US UINT64_C (1000)

static void
set_up_paced (bool paced)
{
  irq = (FakeLine) { 0 };
  bench = bench_new (0);
  far_end = fake_char_new ();
  g_assert_cmpint (uart_new (&bench.host, PORT, fake_line (&irq), &far_end->parent, paced, &uart), ==, 0);
  /* 115200 8n1, interrupts pass. */
  bench_out (&bench, LCR, 0x80);
  bench_out (&bench, DATA, 1);
  bench_out (&bench, IER, 0);
  bench_out (&bench, LCR, 0x03);
  bench_out (&bench, MCR, 0x0b);
}

static void
set_up (void)
{
  set_up_paced (false);
}

static void
tear_down (void)
{
  bench_free (&bench, uart);
}

static uint8_t
in (uint16_t port)
{
  return bench_in (&bench, port);
}

static void
out (uint16_t port, uint8_t value)
{
  bench_out (&bench, port, value);
}

static void
test_registers_after_reset (void)
{
  set_up ();
  ((Device *) uart)->klass->reset ((Device *) uart);
  g_assert_cmphex (in (IER), ==, 0x00);
  g_assert_cmphex (in (IIR), ==, 0x01);
  g_assert_cmphex (in (LCR), ==, 0x00);
  g_assert_cmphex (in (MCR), ==, 0x00);
  g_assert_cmphex (in (LSR), ==, 0x60);
  g_assert_cmphex (in (MSR), ==, 0xb0);
  tear_down ();
}

static void
test_divisor_latch (void)
{
  set_up ();
  out (LCR, 0x83);
  out (DATA, 0x34);
  out (IER, 0x12);
  g_assert_cmphex (in (DATA), ==, 0x34);
  g_assert_cmphex (in (IER), ==, 0x12);
  out (LCR, 0x03);
  g_assert_cmphex (in (IER), ==, 0x00);
  out (SCR, 0xa5);
  g_assert_cmphex (in (SCR), ==, 0xa5);
  out (IER, 0xff);
  g_assert_cmphex (in (IER), ==, 0x0f);
  out (MCR, 0xff);
  g_assert_cmphex (in (MCR), ==, 0x1f);
  tear_down ();
}

static void
test_transmit (void)
{
  set_up ();
  for (const char *c = "Hello"; *c; c++)
    {
      g_assert_cmphex (in (LSR), ==, 0x60);
      out (DATA, (uint8_t) *c);
    }
  g_assert_cmpstr (far_end->text->str, ==, "Hello");
  /* Five-bit words lose the high bits. */
  out (LCR, 0x00);
  out (DATA, 0xff);
  g_assert_cmphex ((uint8_t) far_end->text->str[5], ==, 0x1f);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down ();
}

static void
test_transmitter_interrupt (void)
{
  set_up ();
  /* Enabling it while the holding register is empty raises it. */
  out (IER, 0x02);
  g_assert_true (irq.level);
  g_assert_cmphex (in (IIR), ==, 0x02);
  /* Reading IIR clears it. */
  g_assert_false (irq.level);
  g_assert_cmphex (in (IIR), ==, 0x01);
  out (IER, 0x00);
  out (IER, 0x02);
  g_assert_true (irq.level);
  /* So does writing; when the byte has gone it comes again. */
  out (DATA, 'x');
  g_assert_false (irq.level);
  bench_advance (&bench, 20 * US);
  g_assert_true (irq.level);
  g_assert_cmphex (in (IIR), ==, 0x02);
  tear_down ();
}

static void
test_interrupt_gate (void)
{
  set_up ();
  out (MCR, 0x03);
  out (IER, 0x02);
  g_assert_false (irq.level);
  g_assert_cmphex (in (IIR), ==, 0x02);
  out (IER, 0x00);
  out (IER, 0x02);
  out (MCR, 0x0b);
  g_assert_true (irq.level);
  tear_down ();
}

static void
test_slow_far_end (void)
{
  set_up ();
  far_end->stuck = true;
  out (IIR, 0x01);
  for (unsigned i = 0; i < 16; i++)
    out (DATA, (uint8_t) ('a' + i));
  g_assert_cmphex (in (LSR), ==, 0x00);
  /* The seventeenth is lost. */
  out (DATA, 'X');
  bench_advance (&bench, 10000 * US);
  g_assert_cmphex (in (LSR), ==, 0x00);
  far_end->stuck = false;
  bench_advance (&bench, 2000 * US);
  g_assert_cmphex (in (LSR), ==, 0x60);
  g_assert_cmpstr (far_end->text->str, ==, "abcdefghijklmnop");
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down ();
}

static void
test_paced_transmit (void)
{
  set_up_paced (true);
  out (IIR, 0x01);
  out (IER, 0x02);
  in (IIR);
  for (unsigned i = 0; i < 8; i++)
    out (DATA, (uint8_t) ('0' + i));
  /* One is on the line; 10 bits at 115200 are 86.8 us. */
  g_assert_cmphex (in (LSR), ==, 0x00);
  bench_advance (&bench, 90 * US);
  g_assert_cmpstr (far_end->text->str, ==, "0");
  bench_advance (&bench, 520 * US);
  g_assert_cmpstr (far_end->text->str, ==, "0123456");
  /* The holding register is empty, the shift register not. */
  g_assert_cmphex (in (LSR), ==, 0x20);
  g_assert_cmphex (in (IIR), ==, 0xc2);
  bench_advance (&bench, 90 * US);
  g_assert_cmphex (in (LSR), ==, 0x60);
  g_assert_cmpstr (far_end->text->str, ==, "01234567");
  /* 300 baud, 8 data bits, parity, 2 stop bits: 12 bits are 40 ms. */
  out (LCR, 0x8f);
  out (DATA, 0x80);
  out (IER, 0x01);
  out (LCR, 0x0f);
  out (DATA, '!');
  bench_advance (&bench, 39990 * US);
  g_assert_cmphex (in (LSR), ==, 0x20);
  bench_advance (&bench, 20 * US);
  g_assert_cmphex (in (LSR), ==, 0x60);
  tear_down ();
}

static void
test_receive_without_fifo (void)
{
  set_up ();
  out (IER, 0x01);
  g_assert_cmpuint (fake_char_send (far_end, "ab"), ==, 1);
  g_assert_true (irq.level);
  g_assert_cmphex (in (IIR), ==, 0x04);
  g_assert_cmphex (in (LSR), ==, 0x61);
  far_end->n_ready = 0;
  g_assert_cmphex (in (DATA), ==, 'a');
  g_assert_cmpuint (far_end->n_ready, ==, 1);
  g_assert_cmpuint (far_end->last_ready, ==, 1);
  g_assert_false (irq.level);
  g_assert_cmphex (in (LSR), ==, 0x60);
  g_assert_cmpuint (fake_char_send (far_end, "b"), ==, 1);
  g_assert_cmphex (in (DATA), ==, 'b');
  tear_down ();
}

static void
test_fifo_trigger_levels (void)
{
  static const unsigned levels[4] = { 1, 4, 8, 14 };

  set_up ();
  for (unsigned i = 0; i < 4; i++)
    {
      out (IIR, 0x00);
      out (IIR, (uint8_t) (0x01 | i << 6));
      out (IER, 0x01);
      for (unsigned n = 1; n <= levels[i]; n++)
        {
          g_assert_false (irq.level);
          g_assert_cmpuint (fake_char_send (far_end, "x"), ==, 1);
        }
      g_assert_true (irq.level);
      g_assert_cmphex (in (IIR), ==, 0xc4);
      in (DATA);
      g_assert_false (irq.level);
    }
  tear_down ();
}

static void
test_fifo_depth (void)
{
  set_up ();
  out (IIR, 0xc1);
  g_assert_cmpuint (fake_char_send (far_end, "0123456789abcdefXYZ"), ==, 16);
  for (const char *c = "0123456789abcdef"; *c; c++)
    g_assert_cmphex (in (DATA), ==, *c);
  g_assert_cmpuint (far_end->last_ready, ==, 16);
  g_assert_cmphex (in (LSR), ==, 0x60);
  tear_down ();
}

static void
test_character_timeout (void)
{
  set_up ();
  out (IIR, 0x81);
  out (IER, 0x01);
  fake_char_send (far_end, "abc");
  g_assert_false (irq.level);
  /* Four characters of 10 bits at 115200. */
  bench_advance (&bench, 346 * US);
  g_assert_false (irq.level);
  bench_advance (&bench, 3 * US);
  g_assert_true (irq.level);
  g_assert_cmphex (in (IIR), ==, 0xcc);
  g_assert_cmphex (in (IIR), ==, 0xcc);
  in (DATA);
  g_assert_false (irq.level);
  /* The rest is waited for again. */
  bench_advance (&bench, 350 * US);
  g_assert_true (irq.level);
  in (DATA);
  in (DATA);
  g_assert_false (irq.level);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down ();
}

static void
test_fifo_control (void)
{
  set_up ();
  g_assert_cmphex (in (IIR), ==, 0x01);
  out (IIR, 0x01);
  g_assert_cmphex (in (IIR), ==, 0xc1);
  fake_char_send (far_end, "abc");
  out (IIR, 0x03);
  g_assert_cmphex (in (LSR), ==, 0x60);
  fake_char_send (far_end, "abc");
  /* Changing the enable bit empties it too, and without it the other bits do not count. */
  out (IIR, 0xc0);
  g_assert_cmphex (in (LSR), ==, 0x60);
  g_assert_cmphex (in (IIR), ==, 0x01);
  far_end->stuck = true;
  out (IIR, 0x01);
  out (DATA, 'x');
  out (DATA, 'y');
  out (IIR, 0x05);
  g_assert_cmphex (in (LSR), ==, 0x60);
  tear_down ();
}

static void
test_loopback (void)
{
  set_up ();
  out (MCR, 0x1b);
  out (DATA, 'L');
  g_assert_cmphex (in (DATA), ==, 'L');
  g_assert_cmpuint (far_end->text->len, ==, 0);
  /* Nothing comes in from outside. */
  g_assert_cmpuint (fake_char_send (far_end, "x"), ==, 0);
  /* RTS, DTR, OUT1, OUT2 come back as CTS, DSR, RI, DCD. */
  in (MSR);
  out (MCR, 0x10);
  g_assert_cmphex (in (MSR) & 0xf0, ==, 0x00);
  out (MCR, 0x11);
  g_assert_cmphex (in (MSR), ==, 0x22);
  out (MCR, 0x12);
  g_assert_cmphex (in (MSR), ==, 0x13);
  out (MCR, 0x14);
  g_assert_cmphex (in (MSR), ==, 0x41);
  out (MCR, 0x18);
  g_assert_cmphex (in (MSR), ==, 0x8c);
  g_assert_cmpuint (uart_modem_outputs (uart), ==, 0);
  far_end->n_ready = 0;
  out (MCR, 0x0b);
  g_assert_cmpuint (far_end->n_ready, ==, 1);
  g_assert_cmphex (in (MSR) & 0xf0, ==, 0xb0);
  g_assert_cmpuint (uart_modem_outputs (uart), ==, UART_DTR | UART_RTS);
  tear_down ();
}

static void
test_overrun (void)
{
  set_up ();
  out (MCR, 0x1b);
  out (IER, 0x04);
  out (DATA, 'a');
  out (DATA, 'b');
  g_assert_true (irq.level);
  g_assert_cmphex (in (IIR), ==, 0x06);
  g_assert_cmphex (in (LSR), ==, 0x63);
  g_assert_false (irq.level);
  g_assert_cmphex (in (LSR), ==, 0x61);
  /* Without FIFOs the new one is there, with them the old ones. */
  g_assert_cmphex (in (DATA), ==, 'b');
  out (IIR, 0x01);
  for (unsigned i = 0; i < 17; i++)
    out (DATA, (uint8_t) ('a' + i));
  g_assert_cmphex (in (LSR), ==, 0x63);
  for (unsigned i = 0; i < 16; i++)
    g_assert_cmphex (in (DATA), ==, 'a' + i);
  tear_down ();
}

static void
test_break (void)
{
  set_up ();
  out (IIR, 0x01);
  fake_char_send (far_end, "a");
  uart_receive_break (uart);
  fake_char_send (far_end, "b");
  /* It shows when it is its turn, but bit 7 tells that it is coming. */
  g_assert_cmphex (in (LSR), ==, 0xe1);
  g_assert_cmphex (in (DATA), ==, 'a');
  g_assert_cmphex (in (LSR), ==, 0xf1);
  g_assert_cmphex (in (LSR), ==, 0x61);
  g_assert_cmphex (in (DATA), ==, 0);
  g_assert_cmphex (in (DATA), ==, 'b');
  /* Sent into the loop. */
  out (MCR, 0x1b);
  out (LCR, 0x43);
  g_assert_cmphex (in (LSR), ==, 0xf1);
  tear_down ();
}

static void
test_modem_status (void)
{
  set_up ();
  out (IER, 0x08);
  g_assert_false (irq.level);
  uart_set_modem_inputs (uart, UART_DSR | UART_DCD);
  g_assert_true (irq.level);
  g_assert_cmphex (in (IIR), ==, 0x00);
  g_assert_cmphex (in (MSR), ==, 0xa1);
  g_assert_false (irq.level);
  g_assert_cmphex (in (MSR), ==, 0xa0);
  /* RI tells its trailing edge only. */
  uart_set_modem_inputs (uart, UART_DSR | UART_DCD | UART_RI);
  g_assert_cmphex (in (MSR), ==, 0xe0);
  uart_set_modem_inputs (uart, UART_DSR | UART_DCD);
  g_assert_cmphex (in (MSR), ==, 0xa4);
  tear_down ();
}

static void
test_interrupt_priority (void)
{
  set_up ();
  uart_set_modem_inputs (uart, 0);
  out (IER, 0x0f);
  fake_char_send (far_end, "a");
  uart_receive_break (uart);
  g_assert_cmphex (in (IIR), ==, 0x06);
  in (LSR);
  g_assert_cmphex (in (IIR), ==, 0x04);
  in (DATA);
  g_assert_cmphex (in (IIR), ==, 0x02);
  g_assert_cmphex (in (IIR), ==, 0x00);
  in (MSR);
  g_assert_cmphex (in (IIR), ==, 0x01);
  g_assert_false (irq.level);
  tear_down ();
}

static void
test_paced_receive (void)
{
  set_up_paced (true);
  out (IIR, 0xc1);
  g_assert_cmpuint (fake_char_send (far_end, "abc"), ==, 1);
  g_assert_cmpuint (fake_char_send (far_end, "bc"), ==, 0);
  far_end->n_ready = 0;
  bench_advance (&bench, 90 * US);
  g_assert_cmpuint (far_end->n_ready, ==, 1);
  g_assert_cmpuint (fake_char_send (far_end, "bc"), ==, 1);
  g_assert_cmphex (in (DATA), ==, 'a');
  g_assert_cmphex (in (DATA), ==, 'b');
  tear_down ();
}

/* A driver that serves its interrupt until none is left must come to an end, however much it has to send. */
static void
test_interrupt_routine_ends (void)
{
  unsigned sent = 0, calls = 0;

  set_up ();
  out (IIR, 0x01);
  out (IER, 0x02);
  while (sent < 1600)
    {
      unsigned passes = 0;

      g_assert_true (irq.level);
      calls++;
      while (!(in (IIR) & 1))
        {
          g_assert_cmpuint (++passes, <, 4);
          for (unsigned i = 0; i < 16; i++, sent++)
            out (DATA, 'x');
        }
      bench_advance (&bench, 15 * US);
    }
  g_assert_cmpuint (calls, ==, 100);
  g_assert_cmpuint (far_end->text->len, ==, 1600);
  tear_down ();
}

static void
test_plug (void)
{
  bool closed = false;

  set_up ();
  far_end->closed = &closed;
  in (MSR);
  uart_plug (uart, NULL);
  g_assert_true (closed);
  g_assert_cmphex (in (MSR), ==, 0x0b);
  out (DATA, 'x');
  g_assert_cmphex (in (LSR), ==, 0x60);
  far_end = fake_char_new ();
  uart_plug (uart, &far_end->parent);
  g_assert_cmphex (in (MSR), ==, 0xbb);
  out (DATA, 'y');
  g_assert_cmpstr (far_end->text->str, ==, "y");
  tear_down ();
}

static void
test_bad_accesses (void)
{
  set_up ();
  for (unsigned i = 0; i < 40; i++)
    in (DATA);
  out (LSR, 0xff);
  out (MSR, 0xff);
  g_assert_cmphex (in (LSR), ==, 0x60);
  g_assert_cmphex (bus_read_port (bench.host.bus, LSR, 4), ==, 0xff00b060);
  bus_write_port (bench.host.bus, PORT, 4, 0xffffffff);
  bus_write_port (bench.host.bus, PORT + 4, 4, 0xffffffff);
  out (LCR, 0x80);
  out (DATA, 0);
  out (IER, 0);
  out (LCR, 0);
  out (DATA, 1);
  bench_advance (&bench, 1000000 * US);
  tear_down ();
}

static void
scramble (Bench *b)
{
  out (IER, 0x0f);
  for (unsigned i = 0; i < 20; i++)
    out (DATA, 'x');
  fake_char_send (far_end, "scramble");
  uart_receive_break (uart);
  for (unsigned i = 0; i < 20; i++)
    in (DATA);
  in (LSR);
  in (IIR);
  in (MSR);
  clock_advance (b->host.clock, 10000000);
  clock_run_timers (b->host.clock);
  out (IIR, 0x87);
  fake_char_send (far_end, "scramble");
}

static void
test_state (void)
{
  set_up_paced (true);
  out (IIR, 0x81);
  out (IER, 0x05);
  fake_char_send (far_end, "a");
  uart_receive_break (uart);
  for (unsigned i = 0; i < 5; i++)
    out (DATA, (uint8_t) ('0' + i));
  out (SCR, 0x77);
  bench_check_state (&bench, uart, scramble);
  g_string_truncate (far_end->text, 0);
  g_assert_cmphex (in (SCR), ==, 0x77);
  bench_advance (&bench, 1000 * US);
  g_assert_cmpstr (far_end->text->str, ==, "01234");
  g_assert_cmphex (in (DATA), ==, 'a');
  g_assert_cmphex (in (LSR), ==, 0xf1);
  tear_down ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/uart/registers-after-reset", test_registers_after_reset);
  g_test_add_func ("/uart/divisor-latch", test_divisor_latch);
  g_test_add_func ("/uart/transmit", test_transmit);
  g_test_add_func ("/uart/transmitter-interrupt", test_transmitter_interrupt);
  g_test_add_func ("/uart/interrupt-gate", test_interrupt_gate);
  g_test_add_func ("/uart/slow-far-end", test_slow_far_end);
  g_test_add_func ("/uart/paced-transmit", test_paced_transmit);
  g_test_add_func ("/uart/receive-without-fifo", test_receive_without_fifo);
  g_test_add_func ("/uart/fifo-trigger-levels", test_fifo_trigger_levels);
  g_test_add_func ("/uart/fifo-depth", test_fifo_depth);
  g_test_add_func ("/uart/character-timeout", test_character_timeout);
  g_test_add_func ("/uart/fifo-control", test_fifo_control);
  g_test_add_func ("/uart/loopback", test_loopback);
  g_test_add_func ("/uart/overrun", test_overrun);
  g_test_add_func ("/uart/break", test_break);
  g_test_add_func ("/uart/modem-status", test_modem_status);
  g_test_add_func ("/uart/interrupt-priority", test_interrupt_priority);
  g_test_add_func ("/uart/paced-receive", test_paced_receive);
  g_test_add_func ("/uart/interrupt-routine-ends", test_interrupt_routine_ends);
  g_test_add_func ("/uart/plug", test_plug);
  g_test_add_func ("/uart/bad-accesses", test_bad_accesses);
  g_test_add_func ("/uart/state", test_state);
  return g_test_run ();
}
