/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parallel port, and the printer that cuts jobs. */
#include "parallel.h"
#include "printer.h"

#include "chip-bench.h"
#include "fake-char.h"

static Bench     bench;
static Parallel *parallel;
static FakeLine  irq;
static FakeChar *far_end;

enum { PORT = 0x378, DATA = PORT, STATUS, CONTROL, EPP_ADDRESS, EPP_DATA };
#define US UINT64_C (1000)
#define MS UINT64_C (1000000)

static void
set_up (void)
{
  irq = (FakeLine) { 0 };
  bench = bench_new (0);
  far_end = fake_char_new ();
  g_assert_cmpint (parallel_new (&bench.host, PORT, fake_line (&irq), &far_end->parent, &parallel), ==, 0);
  bench_advance (&bench, 100 * US);
}

static void
tear_down (void)
{
  bench_free (&bench, parallel);
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
strobe (uint8_t byte)
{
  out (DATA, byte);
  out (CONTROL, 0x0d);
  out (CONTROL, 0x0c);
}

/* What the BIOS's INT 17h does. */
static void
print (const char *text)
{
  for (; *text; text++)
    {
      while (!(in (STATUS) & 0x80))
        bench_advance (&bench, US);
      strobe ((uint8_t) *text);
    }
}

static void
test_registers (void)
{
  set_up ();
  g_assert_cmphex (in (CONTROL), ==, 0xc4);
  out (CONTROL, 0xff & ~0x21);
  g_assert_cmphex (in (CONTROL), ==, 0xde);
  out (DATA, 0xa5);
  g_assert_cmphex (in (DATA), ==, 0xa5);
  g_assert_cmphex (in (STATUS), ==, 0xde);
  tear_down ();
}

static void
test_handshake (void)
{
  set_up ();
  out (CONTROL, 0x0c);
  strobe ('A');
  /* Busy, then the acknowledge, then ready. */
  g_assert_cmphex (in (STATUS) & 0xc0, ==, 0x40);
  bench_advance (&bench, 2 * US);
  g_assert_cmphex (in (STATUS) & 0xc0, ==, 0x80);
  bench_advance (&bench, 2 * US);
  g_assert_cmphex (in (STATUS) & 0xc0, ==, 0xc0);
  g_assert_cmpstr (far_end->text->str, ==, "A");
  /* A guest that looks late still sees the acknowledge, once. */
  out (CONTROL, 0x0c);
  strobe ('A');
  bench_advance (&bench, 500 * US);
  g_assert_cmphex (in (STATUS) & 0xc0, ==, 0x80);
  g_assert_cmphex (in (STATUS) & 0xc0, ==, 0xc0);
  g_string_truncate (far_end->text, 1);
  /* Holding the strobe gives no second byte; a busy printer takes none. */
  out (CONTROL, 0x0d);
  out (CONTROL, 0x0d);
  out (CONTROL, 0x0c);
  g_assert_cmpstr (far_end->text->str, ==, "AA");
  strobe ('B');
  g_assert_cmpstr (far_end->text->str, ==, "AA");
  print ("CD");
  g_assert_cmpstr (far_end->text->str, ==, "AACD");
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down ();
}

static void
test_interrupt (void)
{
  set_up ();
  out (CONTROL, 0x1c);
  out (DATA, 'x');
  out (CONTROL, 0x1d);
  out (CONTROL, 0x1c);
  g_assert_cmpuint (irq.rises, ==, 0);
  bench_advance (&bench, 4 * US);
  g_assert_cmpuint (irq.rises, ==, 1);
  g_assert_cmphex (in (STATUS) & 0xc0, ==, 0xc0);
  bench_advance (&bench, 1000 * MS);
  g_assert_cmpuint (irq.rises, ==, 1);
  tear_down ();
}

static void
test_slow_printer (void)
{
  set_up ();
  far_end->stuck = true;
  strobe ('x');
  bench_advance (&bench, 500 * MS);
  g_assert_cmphex (in (STATUS) & 0xc0, ==, 0x40);
  far_end->stuck = false;
  bench_advance (&bench, 2 * MS);
  g_assert_cmphex (in (STATUS) & 0xc0, ==, 0x80);
  g_assert_cmphex (in (STATUS) & 0xc0, ==, 0xc0);
  g_assert_cmpstr (far_end->text->str, ==, "x");
  /* nINIT frees a printer that hangs. */
  far_end->stuck = true;
  strobe ('y');
  out (CONTROL, 0x08);
  g_assert_cmphex (in (STATUS) & 0x80, ==, 0x00);
  out (CONTROL, 0x0c);
  g_assert_cmphex (in (STATUS) & 0x80, ==, 0x80);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down ();
}

static void
test_nothing_plugged_in (void)
{
  set_up ();
  parallel_plug (parallel, NULL);
  g_assert_cmphex (in (STATUS), ==, 0x7e);
  strobe ('x');
  g_assert_cmphex (in (STATUS), ==, 0x7e);
  far_end = fake_char_new ();
  parallel_plug (parallel, &far_end->parent);
  bench_advance (&bench, 10 * US);
  print ("y");
  g_assert_cmpstr (far_end->text->str, ==, "y");
  tear_down ();
}

static void
test_bidirectional (void)
{
  set_up ();
  out (DATA, 0x55);
  out (CONTROL, 0x24);
  g_assert_cmphex (in (DATA), ==, 0xff);
  g_assert_cmpuint (fake_char_send (far_end, "ok"), ==, 2);
  g_assert_cmphex (in (DATA), ==, 'o');
  g_assert_cmphex (in (DATA), ==, 'k');
  g_assert_cmphex (in (DATA), ==, 0xff);
  /* No strobe goes out while the port listens. */
  out (CONTROL, 0x25);
  out (CONTROL, 0x24);
  g_assert_cmpuint (far_end->text->len, ==, 0);
  out (CONTROL, 0x04);
  g_assert_cmphex (in (DATA), ==, 0x55);
  tear_down ();
}

static void
test_epp (void)
{
  set_up ();
  out (EPP_ADDRESS, 0x01);
  g_assert_cmphex (in (STATUS) & 1, ==, 0);
  bus_write_port (bench.host.bus, EPP_DATA, 4, 0x64636261);
  g_assert_cmpstr (far_end->text->str, ==, "abcd");
  g_assert_cmphex (in (STATUS) & 1, ==, 0);
  fake_char_send (far_end, "1234");
  g_assert_cmphex (bus_read_port (bench.host.bus, EPP_DATA, 4), ==, 0x34333231);
  /* Nobody answers: the timeout bit, until it is written. */
  g_assert_cmphex (in (EPP_DATA), ==, 0xff);
  g_assert_cmphex (in (STATUS) & 1, ==, 1);
  out (STATUS, 0x00);
  g_assert_cmphex (in (STATUS) & 1, ==, 1);
  out (STATUS, 0x01);
  g_assert_cmphex (in (STATUS) & 1, ==, 0);
  far_end->stuck = true;
  out (EPP_DATA, 'x');
  g_assert_cmphex (in (STATUS) & 1, ==, 1);
  tear_down ();
}

static void
test_bad_accesses (void)
{
  set_up ();
  for (unsigned port = PORT; port < PORT + 8; port++)
    for (unsigned value = 0; value < 256; value++)
      {
        out ((uint16_t) port, (uint8_t) value);
        in ((uint16_t) port);
      }
  for (unsigned i = 0; i < 10; i++)
    fake_char_send (far_end, "more than the port can hold");
  bus_write_port (bench.host.bus, PORT, 4, 0xffffffff);
  bus_read_port (bench.host.bus, PORT + 6, 4);
  tear_down ();
}

static void
scramble (Bench *b)
{
  out (CONTROL, 0x1c);
  strobe ('z');
  in (STATUS);
  clock_advance (b->host.clock, 5 * MS);
  clock_run_timers (b->host.clock);
  fake_char_send (far_end, "zz");
  in (EPP_DATA);
  out (CONTROL, 0x24);
  in (DATA);
}

static void
test_state (void)
{
  set_up ();
  out (CONTROL, 0x1c);
  far_end->stuck = true;
  strobe ('x');
  fake_char_send (far_end, "123");
  bench_check_state (&bench, parallel, scramble);
  far_end->stuck = false;
  g_string_truncate (far_end->text, 0);
  bench_advance (&bench, 2 * MS);
  g_assert_cmpstr (far_end->text->str, ==, "x");
  g_assert_cmphex (in (EPP_DATA), ==, '1');
  tear_down ();
}

/* --- Printer -------------------------------------------------------------------------------------------------- */

static GString *paper;
static bool     refuse_job, refuse_write;

static bool
begin_job (void *data, uint32_t number)
{
  if (refuse_job)
    return false;
  g_string_append_printf (paper, "<%u:", number);
  return true;
}

static bool
write_job (void *data, const uint8_t *bytes, size_t n_bytes)
{
  if (refuse_write)
    return false;
  g_string_append_len (paper, (const char *) bytes, (gssize) n_bytes);
  return true;
}

static void
end_job (void *data, uint32_t number, uint64_t n_bytes, bool complete)
{
  g_string_append_printf (paper, ":%u,%u%s>", number, (unsigned) n_bytes, complete ? "" : "!");
}

static const PrinterCallbacks callbacks = { begin_job, write_job, end_job };

static CharBackend *
set_up_printer (const PrinterConfig *config)
{
  bench = bench_new (0);
  paper = g_string_new (NULL);
  refuse_job = refuse_write = false;
  return printer_new (bench.host.clock, config, &callbacks, NULL);
}

static void
tear_down_printer (CharBackend *printer)
{
  printer->klass->close (printer);
  bench_free (&bench, NULL);
  g_string_free (paper, TRUE);
}

static void
send (CharBackend *printer, const char *text)
{
  g_assert_cmpuint (printer->klass->write (printer, (const uint8_t *) text, strlen (text)), ==, strlen (text));
}

static void
test_printer_jobs (void)
{
  PrinterConfig config = { .idle_ns = 1000 * MS, .idle_after_form_feed_ns = 100 * MS };
  CharBackend  *printer = set_up_printer (&config);

  send (printer, "one ");
  bench_advance (&bench, 900 * MS);
  send (printer, "page");
  bench_advance (&bench, 900 * MS);
  g_assert_cmpstr (paper->str, ==, "<1:one page");
  bench_advance (&bench, 200 * MS);
  g_assert_cmpstr (paper->str, ==, "<1:one page:1,8>");
  g_string_truncate (paper, 0);
  /* Pages of one job follow each other soon. */
  send (printer, "a\f");
  bench_advance (&bench, 50 * MS);
  send (printer, "b\f");
  bench_advance (&bench, 150 * MS);
  send (printer, "c");
  g_assert_cmpstr (paper->str, ==, "<2:a\fb\f:2,4><3:c");
  printer_flush (printer);
  g_assert_cmpstr (paper->str, ==, "<2:a\fb\f:2,4><3:c:3,1>");
  printer_flush (printer);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  tear_down_printer (printer);
}

static void
test_printer_banner (void)
{
  PrinterConfig config = { .banner = "SECRET", .trailer = "END" };
  CharBackend  *printer = set_up_printer (&config);

  send (printer, "text");
  bench_advance (&bench, 10000 * MS);
  g_assert_cmpstr (paper->str, ==, "<1:SECRET\ftext\fEND\f:1,4>");
  g_string_truncate (paper, 0);
  send (printer, "text\f");
  bench_advance (&bench, 10000 * MS);
  g_assert_cmpstr (paper->str, ==, "<2:SECRET\ftext\fEND\f:2,5>");
  tear_down_printer (printer);
}

static void
test_printer_failures (void)
{
  PrinterConfig config = { 0 };
  CharBackend  *printer = set_up_printer (&config);

  refuse_job = true;
  send (printer, "lost");
  refuse_job = false;
  send (printer, "lost too");
  bench_advance (&bench, 10000 * MS);
  g_assert_cmpstr (paper->str, ==, "");
  send (printer, "kept");
  refuse_write = true;
  send (printer, "full");
  refuse_write = false;
  send (printer, "dropped");
  bench_advance (&bench, 10000 * MS);
  g_assert_cmpstr (paper->str, ==, "<2:kept:2,15!>");
  tear_down_printer (printer);
}

static void
test_printer_close_ends_job (void)
{
  PrinterConfig config = { 0 };
  CharBackend  *printer = set_up_printer (&config);

  send (printer, "x");
  printer->klass->close (printer);
  g_assert_cmpstr (paper->str, ==, "<1:x:1,1>");
  bench_free (&bench, NULL);
  g_string_free (paper, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/parallel/registers", test_registers);
  g_test_add_func ("/parallel/handshake", test_handshake);
  g_test_add_func ("/parallel/interrupt", test_interrupt);
  g_test_add_func ("/parallel/slow-printer", test_slow_printer);
  g_test_add_func ("/parallel/nothing-plugged-in", test_nothing_plugged_in);
  g_test_add_func ("/parallel/bidirectional", test_bidirectional);
  g_test_add_func ("/parallel/epp", test_epp);
  g_test_add_func ("/parallel/bad-accesses", test_bad_accesses);
  g_test_add_func ("/parallel/state", test_state);
  g_test_add_func ("/printer/jobs", test_printer_jobs);
  g_test_add_func ("/printer/banner", test_printer_banner);
  g_test_add_func ("/printer/failures", test_printer_failures);
  g_test_add_func ("/printer/close-ends-job", test_printer_close_ends_job);
  return g_test_run ();
}
