/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The local APIC and the I/O APIC, alone, with each other, and with the PIC behind them. */
#include "io-apic.h"
#include "local-apic.h"
#include "pic.h"

#include "chip-bench.h"

static Bench      bench;
static LocalApic *apic;
static IoApic    *io;
static Pic       *pic;
static FakeLine   intr, nmi, smi, init;

enum
{
  ID = 0x20, VERSION = 0x30, TPR = 0x80, APR = 0x90, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100, TMR = 0x180,
  IRR = 0x200, ESR = 0x280, ICR_LOW = 0x300, ICR_HIGH = 0x310, LVT_TIMER = 0x320, LVT_LINT0 = 0x350, LVT_LINT1 = 0x360,
  LVT_ERROR = 0x370, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0,
};

#define BASE UINT64_C (0xfee00000)

static int
acknowledge_pic (void *nothing)
{
  return pic_acknowledge (pic);
}

/* On a PC, the PIC's INT goes to LINT0 and to input 0 of the I/O APIC. */
static void
int_fans_out (void *nothing, unsigned input, bool level)
{
  local_apic_set_lint (apic, LOCAL_APIC_LINT0, level);
  if (io)
    io_apic_set_irq (io, 0, level);
}

static void
set_up (void)
{
  LocalApicWires wires = { .pic_acknowledge = acknowledge_pic };

  intr = nmi = smi = init = (FakeLine) { 0 };
  bench = bench_new (0);
  wires.interrupt = fake_line (&intr);
  wires.nmi = fake_line (&nmi);
  wires.smi = fake_line (&smi);
  wires.init = fake_line (&init);
  io = NULL;
  g_assert_cmpint (local_apic_new (&bench.host, &wires, &apic), ==, 0);
  g_assert_cmpint (pic_new (&bench.host, (IrqLine) { int_fans_out, NULL, 0 }, &pic), ==, 0);
  g_assert_cmpint (io_apic_new (&bench.host, local_apic_deliver, apic, &io), ==, 0);
  local_apic_connect_io_apic (apic, io_apic_eoi, io);
}

static void
tear_down (void)
{
  ((Device *) io)->klass->finish ((Device *) io);
  ((Device *) pic)->klass->finish ((Device *) pic);
  bench_free (&bench, apic);
}

static uint32_t
get (uint32_t offset)
{
  return (uint32_t) bus_read_memory (bench.host.bus, BASE + offset, 4);
}

static void
put (uint32_t offset, uint32_t value)
{
  bus_write_memory (bench.host.bus, BASE + offset, 4, value);
}

static uint32_t
io_get (uint8_t reg)
{
  bus_write_memory (bench.host.bus, IO_APIC_BASE, 4, reg);
  return (uint32_t) bus_read_memory (bench.host.bus, IO_APIC_BASE + 0x10, 4);
}

static void
io_put (uint8_t reg, uint32_t value)
{
  bus_write_memory (bench.host.bus, IO_APIC_BASE, 4, reg);
  bus_write_memory (bench.host.bus, IO_APIC_BASE + 0x10, 4, value);
}

static void
redirect (unsigned input, uint32_t low)
{
  io_put ((uint8_t) (0x11 + 2 * input), 0);
  io_put ((uint8_t) (0x10 + 2 * input), low);
}

static void
enable (void)
{
  put (SVR, 0x1ff);
}

static bool
has (uint32_t set, unsigned vector)
{
  return get (set + vector / 32 * 16) >> (vector % 32) & 1;
}

static void
self_ipi (unsigned vector)
{
  put (ICR_LOW, 0x40000 | vector);
}

static uint32_t
errors (void)
{
  put (ESR, 0);
  return get (ESR);
}

static void
start_pic (void)
{
  static const uint8_t words[] = { 0x20, 0x04, 0x01 }, slave_words[] = { 0x28, 0x02, 0x01 };

  bench_out (&bench, 0x20, 0x11);
  bench_out (&bench, 0xa0, 0x11);
  for (unsigned i = 0; i < 3; i++)
    {
      bench_out (&bench, 0x21, words[i]);
      bench_out (&bench, 0xa1, slave_words[i]);
    }
}

static void
pulse_pic (unsigned irq)
{
  pic_set_irq (pic, irq, true);
  pic_set_irq (pic, irq, false);
}

/* --- Local APIC ----------------------------------------------------------------------------------------------- */

static void
test_reset_values (void)
{
  set_up ();
  g_assert_cmphex (local_apic_base (apic), ==, 0xfee00900);
  g_assert_cmphex (get (ID), ==, 0);
  g_assert_cmphex (get (VERSION), ==, 0x40011);
  g_assert_cmphex (get (SVR), ==, 0xff);
  g_assert_cmphex (get (DFR), ==, 0xffffffff);
  g_assert_cmphex (get (LDR), ==, 0);
  for (uint32_t lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt += 0x10)
    if (lvt != 0x330)
      g_assert_cmphex (get (lvt), ==, 0x10000);
  g_assert_cmphex (get (CURRENT), ==, 0);
  tear_down ();
}

static void
test_fixed_interrupt (void)
{
  set_up ();
  enable ();
  self_ipi (0x41);
  g_assert_true (intr.level);
  g_assert_true (has (IRR, 0x41));
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x41);
  g_assert_false (intr.level);
  g_assert_false (has (IRR, 0x41));
  g_assert_true (has (ISR, 0x41));
  g_assert_cmphex (get (PPR), ==, 0x40);
  put (EOI, 0);
  g_assert_false (has (ISR, 0x41));
  g_assert_cmphex (get (PPR), ==, 0);
  tear_down ();
}

static void
test_priority (void)
{
  set_up ();
  enable ();
  self_ipi (0x45);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x45);
  /* The same class waits, a higher one does not. */
  self_ipi (0x4f);
  g_assert_false (intr.level);
  self_ipi (0x50);
  g_assert_true (intr.level);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x50);
  put (EOI, 0);
  g_assert_false (intr.level);
  put (EOI, 0);
  g_assert_true (intr.level);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x4f);
  put (EOI, 0);
  put (EOI, 0);
  tear_down ();
}

static void
test_task_priority (void)
{
  set_up ();
  enable ();
  put (TPR, 0x5a);
  g_assert_cmphex (get (PPR), ==, 0x5a);
  self_ipi (0x5f);
  g_assert_false (intr.level);
  self_ipi (0x61);
  g_assert_true (intr.level);
  put (TPR, 0x60);
  g_assert_false (intr.level);
  /* Gone before the acknowledge: the spurious vector, and nothing in service. */
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0xff);
  put (TPR, 0);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x61);
  g_assert_cmphex (get (APR), ==, 0x60);
  put (TPR, 0x73);
  g_assert_cmphex (get (APR), ==, 0x73);
  tear_down ();
}

static void
test_software_disable (void)
{
  set_up ();
  self_ipi (0x41);
  g_assert_false (intr.level);
  g_assert_cmphex (errors (), ==, 0x04);
  enable ();
  put (LVT_TIMER, 0x20041);
  self_ipi (0x51);
  put (SVR, 0x0ff);
  g_assert_false (intr.level);
  /* Entries are masked and cannot be unmasked; what is pending is kept. */
  g_assert_cmphex (get (LVT_TIMER), ==, 0x30041);
  put (LVT_TIMER, 0x20041);
  g_assert_cmphex (get (LVT_TIMER), ==, 0x30041);
  g_assert_true (has (IRR, 0x51));
  enable ();
  g_assert_true (intr.level);
  put (SVR, 0x1a0);
  g_assert_cmphex (get (SVR), ==, 0x1af);
  tear_down ();
}

static void
test_timer_one_shot (void)
{
  set_up ();
  enable ();
  put (DIVIDE, 0xb);
  put (LVT_TIMER, 0x41);
  put (INITIAL, 1000);
  bench_advance (&bench, 5000);
  g_assert_cmpuint (get (CURRENT), ==, 500);
  bench_advance (&bench, 4990);
  g_assert_cmpuint (get (CURRENT), ==, 1);
  g_assert_false (intr.level);
  bench_advance (&bench, 10);
  g_assert_true (intr.level);
  g_assert_cmpuint (get (CURRENT), ==, 0);
  bench_advance (&bench, 1000000);
  local_apic_acknowledge (apic);
  put (EOI, 0);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  g_assert_cmpuint (intr.rises, ==, 1);
  put (INITIAL, 0);
  bench_advance (&bench, 1000000);
  g_assert_cmpuint (intr.rises, ==, 1);
  tear_down ();
}

static void
test_timer_periodic (void)
{
  unsigned n = 0;

  set_up ();
  enable ();
  put (DIVIDE, 0x3);
  put (LVT_TIMER, 0x20041);
  /* 16 × 10 ns × 6250 = 1 ms */
  put (INITIAL, 6250);
  for (unsigned i = 0; i < 1000; i++)
    {
      bench_advance (&bench, 1000000);
      if (intr.level)
        {
          n++;
          g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x41);
          put (EOI, 0);
        }
    }
  g_assert_cmpuint (n, ==, 1000);
  /* Nobody takes it: no more events until somebody does, and then at the proper places. */
  g_assert_cmpuint (bench_advance (&bench, 50500000), ==, 1);
  local_apic_acknowledge (apic);
  put (EOI, 0);
  bench_advance (&bench, 499999);
  g_assert_false (intr.level);
  bench_advance (&bench, 1);
  g_assert_true (intr.level);
  tear_down ();
}

static void
test_timer_late_interrupts_are_made_up (void)
{
  unsigned n = 0;

  set_up ();
  enable ();
  put (DIVIDE, 0x3);
  put (LVT_TIMER, 0x20041);
  put (INITIAL, 6250);
  /* The host was away for 50 periods of 1 ms. */
  clock_advance (bench.host.clock, 50500000);
  for (unsigned i = 0; i < 1000; i++)
    {
      g_assert_cmpuint (clock_run_timers (bench.host.clock), <=, 1);
      if (intr.level)
        {
          n++;
          g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x41);
          put (EOI, 0);
        }
      clock_advance (bench.host.clock, 100000);
    }
  g_assert_cmpuint (n, ==, 150);
  tear_down ();
}

static void
test_timer_dividers (void)
{
  static const struct { uint8_t code; unsigned by; } rows[] = {
    { 0x0, 2 }, { 0x1, 4 }, { 0x2, 8 }, { 0x3, 16 }, { 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 },
  };

  set_up ();
  for (unsigned i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      put (DIVIDE, rows[i].code);
      g_assert_cmphex (get (DIVIDE), ==, rows[i].code);
      put (INITIAL, 100000);
      bench_advance (&bench, 1280 * 100);
      g_assert_cmpuint (get (CURRENT), ==, 100000 - 12800 / rows[i].by);
    }
  put (DIVIDE, 0xff);
  g_assert_cmphex (get (DIVIDE), ==, 0x0b);
  tear_down ();
}

static void
test_timer_masked (void)
{
  set_up ();
  enable ();
  put (DIVIDE, 0xb);
  put (LVT_TIMER, 0x30041);
  put (INITIAL, 1000);
  g_assert_cmpuint (clock_next_deadline (bench.host.clock), ==, UINT64_MAX);
  bench_advance (&bench, 25000);
  g_assert_cmpuint (get (CURRENT), ==, 500);
  put (LVT_TIMER, 0x20041);
  bench_advance (&bench, 4999);
  g_assert_false (intr.level);
  bench_advance (&bench, 1);
  g_assert_true (intr.level);
  /* A one-shot that ran out while masked does not come when unmasked. */
  local_apic_acknowledge (apic);
  put (EOI, 0);
  put (LVT_TIMER, 0x10041);
  put (INITIAL, 10);
  bench_advance (&bench, 1000);
  put (LVT_TIMER, 0x00041);
  bench_advance (&bench, 1000);
  g_assert_false (intr.level);
  tear_down ();
}

static void
test_timer_divider_change (void)
{
  set_up ();
  put (DIVIDE, 0xb);
  put (INITIAL, 1000000);
  bench_advance (&bench, 1000000);
  g_assert_cmpuint (get (CURRENT), ==, 900000);
  put (DIVIDE, 0x1);
  g_assert_cmpuint (get (CURRENT), ==, 900000);
  bench_advance (&bench, 4000000);
  g_assert_cmpuint (get (CURRENT), ==, 800000);
  tear_down ();
}

static void
test_fastest_timer (void)
{
  set_up ();
  enable ();
  put (DIVIDE, 0xb);
  put (LVT_TIMER, 0x20041);
  put (INITIAL, 1);
  g_assert_cmpuint (bench_advance (&bench, 100000000), ==, 1);
  /* An illegal vector never waits in IRR; its errors are bounded instead. */
  put (LVT_TIMER, 0x20005);
  g_assert_cmpuint (bench_advance (&bench, 100000000), <=, 101);
  g_assert_cmphex (errors (), ==, 0x40);
  tear_down ();
}

static void
test_ipi_destinations (void)
{
  static const struct { uint32_t ldr, dfr, high, low; bool here; } rows[] = {
    { 0, 0xffffffff, 0x00000000, 0x00041, true },               /* physical: this id */
    { 0, 0xffffffff, 0x01000000, 0x00041, false },
    { 0, 0xffffffff, 0xff000000, 0x00041, true },
    { 0, 0xffffffff, 0x0f000000, 0x00041, true },               /* four-bit ids */
    { 0x04000000, 0xffffffff, 0x06000000, 0x00841, true },      /* logical, flat */
    { 0x04000000, 0xffffffff, 0x03000000, 0x00841, false },
    { 0x31000000, 0x0fffffff, 0x35000000, 0x00841, true },      /* cluster 3 */
    { 0x31000000, 0x0fffffff, 0x25000000, 0x00841, false },
    { 0x31000000, 0x0fffffff, 0x3e000000, 0x00841, false },
    { 0x04000000, 0xffffffff, 0x04000000, 0x00941, true },      /* lowest priority */
    { 0, 0xffffffff, 0x55000000, 0x40041, true },               /* shorthands */
    { 0, 0xffffffff, 0x55000000, 0x80041, true },
  };

  set_up ();
  enable ();
  for (unsigned i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      put (LDR, rows[i].ldr);
      put (DFR, rows[i].dfr);
      put (ICR_HIGH, rows[i].high);
      put (ICR_LOW, rows[i].low);
      g_assert_cmpint (intr.level, ==, rows[i].here);
      g_assert_cmphex (errors (), ==, rows[i].here ? 0 : 0x04);
      if (rows[i].here)
        {
          g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x41);
          put (EOI, 0);
        }
    }
  /* All but oneself: nobody, and no error. */
  put (ICR_LOW, 0xc0041);
  g_assert_false (intr.level);
  g_assert_cmphex (errors (), ==, 0);
  g_assert_cmphex (get (ICR_LOW), ==, 0xc0041);
  tear_down ();
}

static void
test_ipi_deliveries (void)
{
  set_up ();
  enable ();
  put (TPR, 0x20);
  put (ICR_LOW, 0x00400);
  g_assert_cmpuint (nmi.rises, ==, 1);
  put (ICR_LOW, 0x00200);
  g_assert_cmpuint (smi.rises, ==, 1);
  /* INIT level de-assert is no INIT; the boot processor ignores a start-up message. */
  put (ICR_LOW, 0x08500);
  put (ICR_LOW, 0x0069a);
  g_assert_cmpuint (init.rises, ==, 0);
  g_assert_cmphex (get (TPR), ==, 0x20);
  put (ICR_LOW, 0x0c500);
  g_assert_cmpuint (init.rises, ==, 1);
  g_assert_cmphex (get (TPR), ==, 0);
  g_assert_cmphex (get (SVR), ==, 0xff);
  tear_down ();
}

static void
test_init_keeps_id (void)
{
  set_up ();
  put (ID, 0xff000000);
  g_assert_cmphex (get (ID), ==, 0x0f000000);
  enable ();
  local_apic_init_reset (apic);
  g_assert_cmphex (get (ID), ==, 0x0f000000);
  g_assert_cmphex (get (SVR), ==, 0xff);
  tear_down ();
}

static void
test_errors (void)
{
  set_up ();
  enable ();
  put (LVT_ERROR, 0xe1);
  self_ipi (0x0f);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0xe1);
  put (EOI, 0);
  /* Errors show only after a write. */
  g_assert_cmphex (get (ESR), ==, 0);
  g_assert_cmphex (errors (), ==, 0x20);
  g_assert_cmphex (errors (), ==, 0);
  get (0x330);
  get (0x40);
  put (0x3f0, 1);
  get (0xff0);
  g_assert_cmphex (errors (), ==, 0x80);
  /* An illegal vector in the error entry itself. */
  put (LVT_ERROR, 0x05);
  self_ipi (0x01);
  g_assert_cmphex (errors (), ==, 0x60);
  tear_down ();
}

static void
test_virtual_wire (void)
{
  set_up ();
  start_pic ();
  pulse_pic (4);
  /* LINT0 is masked after reset. */
  g_assert_false (intr.level);
  enable ();
  put (LVT_LINT0, 0x8700);
  g_assert_true (intr.level);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x24);
  g_assert_false (intr.level);
  bench_out (&bench, 0x20, 0x20);
  /* What the APIC itself holds comes first. */
  pulse_pic (12);
  self_ipi (0x41);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x41);
  g_assert_true (intr.level);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x2c);
  put (EOI, 0);
  tear_down ();
}

/* The other way for the PIC's interrupts: input 0 of the I/O APIC, ExtINT. */
static void
test_extint_through_io_apic (void)
{
  set_up ();
  start_pic ();
  enable ();
  redirect (0, 0x700);
  pulse_pic (3);
  pulse_pic (4);
  g_assert_true (intr.level);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x23);
  g_assert_false (intr.level);
  bench_out (&bench, 0x20, 0x20);
  g_assert_true (intr.level);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x24);
  tear_down ();
}

static void
test_disabled_passes_through (void)
{
  set_up ();
  start_pic ();
  local_apic_set_base (apic, 0xfee00100);
  g_assert_cmphex (get (VERSION), ==, 0xffffffff);
  pulse_pic (3);
  g_assert_true (intr.level);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x23);
  g_assert_false (intr.level);
  local_apic_set_lint (apic, LOCAL_APIC_LINT1, true);
  g_assert_cmpuint (nmi.rises, ==, 1);
  local_apic_set_lint (apic, LOCAL_APIC_LINT1, true);
  g_assert_cmpuint (nmi.rises, ==, 1);
  /* Messages reach nobody. */
  redirect (5, 0x51);
  io_apic_set_irq (io, 5, true);
  local_apic_set_base (apic, 0xfee00900);
  g_assert_cmphex (get (VERSION), ==, 0x40011);
  g_assert_false (intr.level);
  tear_down ();
}

static void
test_move (void)
{
  set_up ();
  enable ();
  local_apic_set_base (apic, 0xf0000900);
  g_assert_cmphex (get (VERSION), ==, 0xffffffff);
  g_assert_cmphex (bus_read_memory (bench.host.bus, 0xf00000f0, 4), ==, 0x1ff);
  /* Onto the I/O APIC: not to be seen, and no harm. */
  local_apic_set_base (apic, 0xfec00900);
  g_assert_cmphex (io_get (1), ==, 0x170011);
  local_apic_set_base (apic, 0xfee00900);
  g_assert_cmphex (get (SVR), ==, 0x1ff);
  tear_down ();
}

static void
test_lint_modes (void)
{
  set_up ();
  enable ();
  put (LVT_LINT1, 0x400);
  local_apic_set_lint (apic, 1, true);
  local_apic_set_lint (apic, 1, false);
  g_assert_cmpuint (nmi.rises, ==, 1);
  /* Fixed, edge. */
  put (LVT_LINT0, 0x61);
  local_apic_set_lint (apic, 0, true);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x61);
  put (EOI, 0);
  g_assert_false (intr.level);
  local_apic_set_lint (apic, 0, false);
  /* Fixed, level: again until it is let go. */
  put (LVT_LINT0, 0x8062);
  local_apic_set_lint (apic, 0, true);
  g_assert_cmphex (get (LVT_LINT0), ==, 0xc062);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x62);
  g_assert_false (intr.level);
  put (EOI, 0);
  g_assert_true (intr.level);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x62);
  local_apic_set_lint (apic, 0, false);
  put (EOI, 0);
  g_assert_false (intr.level);
  g_assert_cmphex (get (LVT_LINT0), ==, 0x8062);
  /* Active low. */
  put (LVT_LINT0, 0x2063);
  local_apic_set_lint (apic, 0, true);
  g_assert_false (intr.level);
  local_apic_set_lint (apic, 0, false);
  g_assert_true (intr.level);
  tear_down ();
}

static void
test_bad_accesses (void)
{
  set_up ();
  for (uint32_t offset = 0; offset < 0x1000; offset += 4)
    {
      bus_read_memory (bench.host.bus, BASE + offset, 8);
      bus_write_memory (bench.host.bus, BASE + offset, 4, 0xffffffff);
      bus_write_memory (bench.host.bus, BASE + offset, 8, 0x1234567812345678);
      bus_write_memory (bench.host.bus, BASE + offset, 4, 0);
    }
  g_assert_cmphex (bus_read_memory (bench.host.bus, BASE + VERSION, 1), ==, 0xff);
  local_apic_set_lint (apic, 2, true);
  local_apic_set_lint (apic, 99, true);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, -1);
  for (uint32_t offset = 0; offset < 0x200; offset++)
    {
      bus_write_memory (bench.host.bus, IO_APIC_BASE + offset, 4, 0xffffffff);
      bus_read_memory (bench.host.bus, IO_APIC_BASE + offset, 8);
    }
  for (unsigned reg = 0; reg < 256; reg++)
    {
      io_put ((uint8_t) reg, 0xffffffff);
      io_get ((uint8_t) reg);
    }
  io_apic_set_irq (io, 24, true);
  io_apic_set_irq (io, UINT_MAX, true);
  tear_down ();
}

static void
scramble (Bench *b)
{
  put (SVR, 0x1ff);
  put (LVT_TIMER, 0x20055);
  put (LVT_LINT0, 0x8066);
  put (INITIAL, 77);
  local_apic_set_lint (apic, 0, true);
  self_ipi (0x99);
  clock_advance (b->host.clock, 1000000);
  clock_run_timers (b->host.clock);
  for (unsigned i = 0; i < 4; i++)
    {
      local_apic_acknowledge (apic);
      put (EOI, 0);
    }
  get (CURRENT);
  get (PPR);
  get (APR);
  put (TPR, 0x33);
  local_apic_set_lint (apic, 0, false);
}

static void
test_state (void)
{
  set_up ();
  enable ();
  put (LVT_TIMER, 0x20041);
  put (DIVIDE, 0x3);
  put (INITIAL, 6250);
  bench_advance (&bench, 1300000);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x41);
  self_ipi (0x31);
  self_ipi (0x51);
  put (LVT_LINT0, 0x8700);
  bench_check_state (&bench, apic, scramble);
  g_assert_true (intr.level);
  g_assert_cmpuint (get (CURRENT), ==, 6250 - 1875);
  g_assert_true (has (ISR, 0x41));
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x51);
  put (EOI, 0);
  put (EOI, 0);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x31);
  put (EOI, 0);
  bench_advance (&bench, 700000);
  g_assert_true (intr.level);
  tear_down ();
}

/* --- I/O APIC ------------------------------------------------------------------------------------------------- */

static void
test_io_registers (void)
{
  set_up ();
  g_assert_cmphex (io_get (1), ==, 0x170011);
  io_put (0, 0xff000000);
  g_assert_cmphex (io_get (0), ==, 0x0f000000);
  g_assert_cmphex (io_get (2), ==, 0x0f000000);
  for (unsigned i = 0; i < 24; i++)
    {
      g_assert_cmphex (io_get ((uint8_t) (0x10 + 2 * i)), ==, 0x10000);
      io_put ((uint8_t) (0x11 + 2 * i), 0x12345678);
      g_assert_cmphex (io_get ((uint8_t) (0x11 + 2 * i)), ==, 0x12000000);
    }
  /* Status bits are the chip's. */
  io_put (0x10, 0xffffffff);
  g_assert_cmphex (io_get (0x10), ==, 0x1afff);
  g_assert_cmphex (io_get (0x40), ==, 0);
  tear_down ();
}

static void
test_io_edge (void)
{
  set_up ();
  enable ();
  redirect (4, 0x54);
  io_apic_set_irq (io, 4, true);
  io_apic_set_irq (io, 4, true);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x54);
  put (EOI, 0);
  g_assert_false (intr.level);
  io_apic_set_irq (io, 4, false);
  io_apic_set_irq (io, 4, true);
  g_assert_true (intr.level);
  g_assert_false (has (TMR, 0x54));
  tear_down ();
}

static void
test_io_masked_edge_is_lost (void)
{
  set_up ();
  enable ();
  redirect (4, 0x10054);
  io_apic_set_irq (io, 4, true);
  redirect (4, 0x54);
  g_assert_false (intr.level);
  io_apic_set_irq (io, 4, false);
  io_apic_set_irq (io, 4, true);
  g_assert_true (intr.level);
  tear_down ();
}

static void
test_io_level (void)
{
  set_up ();
  enable ();
  redirect (10, 0xa05a);
  io_apic_set_irq (io, 10, true);
  g_assert_cmphex (io_get (0x24), ==, 0xe05a);
  g_assert_true (has (TMR, 0x5a));
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x5a);
  g_assert_false (intr.level);
  /* Still asserted at EOI: again. */
  put (EOI, 0);
  g_assert_true (intr.level);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x5a);
  io_apic_set_irq (io, 10, false);
  put (EOI, 0);
  g_assert_false (intr.level);
  g_assert_cmphex (io_get (0x24), ==, 0xa05a);
  /* Masked while asserted, delivered when unmasked. */
  redirect (10, 0x1805a);
  io_apic_set_irq (io, 10, true);
  g_assert_false (intr.level);
  redirect (10, 0x0805a);
  g_assert_true (intr.level);
  tear_down ();
}

static void
test_io_remote_irr_cleared_by_edge (void)
{
  set_up ();
  enable ();
  redirect (10, 0x805a);
  io_apic_set_irq (io, 10, true);
  g_assert_cmphex (io_get (0x24), ==, 0xc05a);
  redirect (10, 0x1005a);
  g_assert_cmphex (io_get (0x24), ==, 0x1005a);
  redirect (10, 0x1805a);
  g_assert_cmphex (io_get (0x24), ==, 0x1805a);
  tear_down ();
}

static void
test_io_waits_for_acceptance (void)
{
  set_up ();
  redirect (10, 0x805a);
  io_apic_set_irq (io, 10, true);
  /* Send pending: the local APIC is off. */
  g_assert_cmphex (io_get (0x24), ==, 0x905a);
  g_assert_false (intr.level);
  enable ();
  g_assert_true (intr.level);
  g_assert_cmphex (io_get (0x24), ==, 0xc05a);
  tear_down ();
}

static void
test_io_delivery_modes (void)
{
  set_up ();
  enable ();
  put (LDR, 0x01000000);
  redirect (1, 0x400);
  redirect (2, 0x200);
  redirect (3, 0x500);
  redirect (4, 0x153);
  io_put (0x11 + 2 * 4, 0x01000000);
  io_put (0x10 + 2 * 4, 0x953);
  io_apic_set_irq (io, 1, true);
  g_assert_cmpuint (nmi.rises, ==, 1);
  io_apic_set_irq (io, 2, true);
  g_assert_cmpuint (smi.rises, ==, 1);
  io_apic_set_irq (io, 4, true);
  g_assert_cmpint (local_apic_acknowledge (apic), ==, 0x53);
  put (EOI, 0);
  io_apic_set_irq (io, 3, true);
  g_assert_cmpuint (init.rises, ==, 1);
  /* The reserved mode 3 and a destination that is not there. */
  enable ();
  redirect (5, 0x355);
  io_apic_set_irq (io, 5, true);
  redirect (6, 0x56);
  io_put (0x11 + 2 * 6, 0x05000000);
  io_apic_set_irq (io, 6, true);
  g_assert_false (intr.level);
  tear_down ();
}

static void
io_scramble (Bench *b)
{
  put (SVR, 0x1ff);
  redirect (3, 0x8077);
  for (unsigned i = 0; i < 24; i++)
    io_apic_set_irq (io, i, i & 1);
  for (unsigned i = 0; i < 4; i++)
    {
      local_apic_acknowledge (apic);
      put (EOI, 0);
    }
  for (unsigned i = 0; i < 24; i++)
    io_apic_set_irq (io, i, false);
  io_put (0, 0x07000000);
}

static void
test_io_state (void)
{
  set_up ();
  enable ();
  redirect (10, 0x805a);
  io_apic_set_irq (io, 10, true);
  redirect (7, 0x57);
  io_put (0, 0x02000000);
  bench_check_state (&bench, io, io_scramble);
  g_assert_cmphex (io_get (0x24), ==, 0xc05a);
  g_assert_cmphex (io_get (0), ==, 0x02000000);
  tear_down ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/local-apic/reset-values", test_reset_values);
  g_test_add_func ("/local-apic/fixed-interrupt", test_fixed_interrupt);
  g_test_add_func ("/local-apic/priority", test_priority);
  g_test_add_func ("/local-apic/task-priority", test_task_priority);
  g_test_add_func ("/local-apic/software-disable", test_software_disable);
  g_test_add_func ("/local-apic/timer-one-shot", test_timer_one_shot);
  g_test_add_func ("/local-apic/timer-periodic", test_timer_periodic);
  g_test_add_func ("/local-apic/timer-late-interrupts-are-made-up", test_timer_late_interrupts_are_made_up);
  g_test_add_func ("/local-apic/timer-dividers", test_timer_dividers);
  g_test_add_func ("/local-apic/timer-masked", test_timer_masked);
  g_test_add_func ("/local-apic/timer-divider-change", test_timer_divider_change);
  g_test_add_func ("/local-apic/fastest-timer", test_fastest_timer);
  g_test_add_func ("/local-apic/ipi-destinations", test_ipi_destinations);
  g_test_add_func ("/local-apic/ipi-deliveries", test_ipi_deliveries);
  g_test_add_func ("/local-apic/init-keeps-id", test_init_keeps_id);
  g_test_add_func ("/local-apic/errors", test_errors);
  g_test_add_func ("/local-apic/virtual-wire", test_virtual_wire);
  g_test_add_func ("/local-apic/extint-through-io-apic", test_extint_through_io_apic);
  g_test_add_func ("/local-apic/disabled-passes-through", test_disabled_passes_through);
  g_test_add_func ("/local-apic/move", test_move);
  g_test_add_func ("/local-apic/lint-modes", test_lint_modes);
  g_test_add_func ("/local-apic/bad-accesses", test_bad_accesses);
  g_test_add_func ("/local-apic/state", test_state);
  g_test_add_func ("/io-apic/registers", test_io_registers);
  g_test_add_func ("/io-apic/edge", test_io_edge);
  g_test_add_func ("/io-apic/masked-edge-is-lost", test_io_masked_edge_is_lost);
  g_test_add_func ("/io-apic/level", test_io_level);
  g_test_add_func ("/io-apic/remote-irr-cleared-by-edge", test_io_remote_irr_cleared_by_edge);
  g_test_add_func ("/io-apic/waits-for-acceptance", test_io_waits_for_acceptance);
  g_test_add_func ("/io-apic/delivery-modes", test_io_delivery_modes);
  g_test_add_func ("/io-apic/state", test_io_state);
  return g_test_run ();
}
