/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The dual 8259A: one test per mode of its data sheet. */
#include "pic.h"

#include "chip-bench.h"

static Bench    bench;
static Pic     *pic;
static FakeLine cpu;

enum { MASTER = 0x20, SLAVE = 0xa0, ELCR = 0x4d0 };

static void
initialise_with (uint8_t icw1, uint8_t master_icw4, uint8_t slave_icw4)
{
  bench_out (&bench, MASTER, icw1);
  bench_out (&bench, MASTER + 1, 0x20);
  bench_out (&bench, MASTER + 1, 0x04);
  bench_out (&bench, MASTER + 1, master_icw4);
  bench_out (&bench, SLAVE, icw1);
  bench_out (&bench, SLAVE + 1, 0x28);
  bench_out (&bench, SLAVE + 1, 0x02);
  bench_out (&bench, SLAVE + 1, slave_icw4);
}

static void
set_up (void)
{
  cpu = (FakeLine) { 0 };
  bench = bench_new (0);
  g_assert_cmpint (pic_new (&bench.host, fake_line (&cpu), &pic), ==, 0);
}

static void
set_up_pc (void)
{
  set_up ();
  initialise_with (0x11, 0x01, 0x01);
}

static void
tear_down (void)
{
  bench_free (&bench, pic);
}

static uint8_t
read_isr (uint16_t port)
{
  bench_out (&bench, port, 0x0b);
  return bench_in (&bench, port);
}

static uint8_t
read_irr (uint16_t port)
{
  bench_out (&bench, port, 0x0a);
  return bench_in (&bench, port);
}

static void
pulse (unsigned irq)
{
  pic_set_irq (pic, irq, true);
  pic_set_irq (pic, irq, false);
}

static void
test_silent_until_initialised (void)
{
  set_up ();
  pulse (0);
  g_assert_false (cpu.level);
  bench_out (&bench, MASTER, 0x11);
  pulse (1);
  g_assert_false (cpu.level);
  bench_out (&bench, MASTER + 1, 0x20);
  bench_out (&bench, MASTER + 1, 0x04);
  g_assert_false (cpu.level);
  bench_out (&bench, MASTER + 1, 0x01);
  /* The edge before ICW1 was forgotten with it, the one after was not. */
  g_assert_true (cpu.level);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x21);
  tear_down ();
}

static void
test_fixed_priority (void)
{
  set_up_pc ();
  pulse (7);
  pulse (3);
  pulse (5);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x23);
  g_assert_false (cpu.level);
  pulse (1);
  g_assert_true (cpu.level);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x21);
  g_assert_cmphex (read_isr (MASTER), ==, 0x0a);
  g_assert_cmphex (read_irr (MASTER), ==, 0xa0);
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmphex (read_isr (MASTER), ==, 0x08);
  g_assert_false (cpu.level);
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x25);
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x27);
  tear_down ();
}

static void
test_mask (void)
{
  set_up_pc ();
  bench_out (&bench, MASTER + 1, 0x08);
  g_assert_cmphex (bench_in (&bench, MASTER + 1), ==, 0x08);
  pulse (3);
  g_assert_false (cpu.level);
  bench_out (&bench, MASTER + 1, 0x00);
  g_assert_true (cpu.level);
  bench_out (&bench, MASTER + 1, 0xff);
  g_assert_false (cpu.level);
  tear_down ();
}

static void
test_edge_latches (void)
{
  set_up_pc ();
  pic_set_irq (pic, 4, true);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x24);
  bench_out (&bench, MASTER, 0x20);
  /* The level alone does not ask again. */
  g_assert_false (cpu.level);
  pic_set_irq (pic, 4, true);
  g_assert_false (cpu.level);
  pic_set_irq (pic, 4, false);
  pic_set_irq (pic, 4, true);
  g_assert_true (cpu.level);
  tear_down ();
}

static void
test_level_by_elcr (void)
{
  set_up_pc ();
  bench_out (&bench, ELCR, 0xff);
  bench_out (&bench, ELCR + 1, 0xff);
  g_assert_cmphex (bench_in (&bench, ELCR), ==, 0xf8);
  g_assert_cmphex (bench_in (&bench, ELCR + 1), ==, 0xde);
  pic_set_irq (pic, 5, true);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x25);
  g_assert_false (cpu.level);
  bench_out (&bench, MASTER, 0x20);
  g_assert_true (cpu.level);
  pic_set_irq (pic, 5, false);
  g_assert_false (cpu.level);
  pic_set_irq (pic, 11, true);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x2b);
  bench_out (&bench, SLAVE, 0x20);
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x2b);
  tear_down ();
}

static void
test_level_by_ltim (void)
{
  set_up ();
  initialise_with (0x19, 0x01, 0x01);
  pic_set_irq (pic, 1, true);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x21);
  bench_out (&bench, MASTER, 0x20);
  g_assert_true (cpu.level);
  pic_set_irq (pic, 1, false);
  g_assert_false (cpu.level);
  tear_down ();
}

static void
test_cascade (void)
{
  set_up_pc ();
  pulse (12);
  pulse (9);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x29);
  g_assert_cmphex (read_isr (MASTER), ==, 0x04);
  g_assert_cmphex (read_isr (SLAVE), ==, 0x02);
  bench_out (&bench, SLAVE, 0x20);
  g_assert_false (cpu.level);
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x2c);
  bench_out (&bench, SLAVE, 0x20);
  bench_out (&bench, MASTER, 0x20);
  g_assert_false (cpu.level);
  /* Withdrawn by the slave's mask: the master forgets the cascade request too. */
  pulse (9);
  bench_out (&bench, SLAVE + 1, 0x02);
  g_assert_false (cpu.level);
  g_assert_cmphex (read_irr (MASTER), ==, 0);
  tear_down ();
}

static void
test_cascade_needs_icw3 (void)
{
  set_up_pc ();
  /* A master that does not know of the slave answers itself. */
  bench_out (&bench, MASTER, 0x11);
  bench_out (&bench, MASTER + 1, 0x20);
  bench_out (&bench, MASTER + 1, 0x00);
  bench_out (&bench, MASTER + 1, 0x01);
  pulse (9);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x22);
  /* A slave with another identity does not answer at all. */
  initialise_with (0x11, 1, 1);
  bench_out (&bench, SLAVE, 0x11);
  bench_out (&bench, SLAVE + 1, 0x28);
  bench_out (&bench, SLAVE + 1, 0x05);
  bench_out (&bench, SLAVE + 1, 0x01);
  pulse (9);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0xff);
  tear_down ();
}

static void
test_special_fully_nested (void)
{
  set_up ();
  initialise_with (0x11, 0x11, 0x01);
  pulse (12);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x2c);
  pulse (9);
  g_assert_true (cpu.level);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x29);
  pulse (5);
  g_assert_false (cpu.level);
  /* Fully nested, the same is held back. */
  initialise_with (0x11, 0x01, 0x01);
  pulse (12);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x2c);
  pulse (9);
  g_assert_false (cpu.level);
  tear_down ();
}

static void
test_specific_eoi (void)
{
  set_up_pc ();
  pulse (6);
  pic_acknowledge (pic);
  pulse (2);
  pulse (1);
  pic_acknowledge (pic);
  g_assert_cmphex (read_isr (MASTER), ==, 0x42);
  bench_out (&bench, MASTER, 0x66);
  g_assert_cmphex (read_isr (MASTER), ==, 0x02);
  bench_out (&bench, MASTER, 0x61);
  g_assert_cmphex (read_isr (MASTER), ==, 0);
  bench_out (&bench, MASTER, 0x20);
  bench_out (&bench, MASTER, 0x40);
  g_assert_cmphex (read_isr (MASTER), ==, 0);
  tear_down ();
}

static void
test_auto_eoi (void)
{
  set_up ();
  initialise_with (0x11, 0x03, 0x03);
  pulse (3);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x23);
  g_assert_cmphex (read_isr (MASTER), ==, 0);
  pulse (10);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x2a);
  g_assert_cmphex (read_isr (SLAVE), ==, 0);
  tear_down ();
}

static void
test_auto_eoi_rotates (void)
{
  set_up ();
  initialise_with (0x11, 0x03, 0x03);
  bench_out (&bench, MASTER, 0x80);
  pulse (0);
  pulse (1);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x20);
  pulse (0);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x21);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x20);
  bench_out (&bench, MASTER, 0x00);
  pulse (6);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x26);
  /* No longer rotating: 0 is still the lowest. */
  pulse (0);
  pulse (7);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x27);
  tear_down ();
}

static void
test_rotate_on_eoi (void)
{
  set_up_pc ();
  pulse (4);
  pic_acknowledge (pic);
  bench_out (&bench, MASTER, 0xa0);
  g_assert_cmphex (read_isr (MASTER), ==, 0);
  pulse (4);
  pulse (5);
  pulse (3);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x25);
  bench_out (&bench, MASTER, 0xe5);
  pulse (6);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x26);
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x23);
  tear_down ();
}

static void
test_set_priority (void)
{
  set_up_pc ();
  bench_out (&bench, MASTER, 0xc4);
  pulse (0);
  pulse (4);
  pulse (5);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x25);
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x20);
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x24);
  tear_down ();
}

static void
test_special_mask (void)
{
  set_up_pc ();
  pulse (4);
  pic_acknowledge (pic);
  pulse (6);
  g_assert_false (cpu.level);
  bench_out (&bench, MASTER + 1, 0x10);
  g_assert_false (cpu.level);
  bench_out (&bench, MASTER, 0x68);
  g_assert_true (cpu.level);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x26);
  /* A non-specific EOI does not see the masked level. */
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmphex (read_isr (MASTER), ==, 0x10);
  bench_out (&bench, MASTER, 0x48);
  bench_out (&bench, MASTER, 0x20);
  g_assert_cmphex (read_isr (MASTER), ==, 0);
  tear_down ();
}

static void
test_poll (void)
{
  set_up_pc ();
  bench_out (&bench, MASTER, 0x0c);
  g_assert_cmphex (bench_in (&bench, MASTER), ==, 0);
  pulse (5);
  bench_out (&bench, MASTER, 0x0c);
  g_assert_cmphex (bench_in (&bench, MASTER), ==, 0x85);
  g_assert_false (cpu.level);
  g_assert_cmphex (bench_in (&bench, MASTER), ==, 0);
  g_assert_cmphex (read_isr (MASTER), ==, 0x20);
  pulse (10);
  bench_out (&bench, SLAVE, 0x0c);
  g_assert_cmphex (bench_in (&bench, SLAVE + 1), ==, 0x82);
  g_assert_cmphex (read_irr (MASTER), ==, 0);
  tear_down ();
}

static void
test_spurious (void)
{
  set_up_pc ();
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x27);
  g_assert_cmphex (read_isr (MASTER), ==, 0);
  /* The slave's request goes away after the master has decided: only possible with a level input. */
  bench_out (&bench, ELCR, 0x80);
  pic_set_irq (pic, 7, true);
  pic_set_irq (pic, 7, false);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x27);
  g_assert_cmphex (read_isr (MASTER), ==, 0);
  tear_down ();
}

static void
test_single (void)
{
  set_up ();
  bench_out (&bench, MASTER, 0x13);
  bench_out (&bench, MASTER + 1, 0x60);
  bench_out (&bench, MASTER + 1, 0x01);
  bench_out (&bench, MASTER + 1, 0xfe);
  g_assert_cmphex (bench_in (&bench, MASTER + 1), ==, 0xfe);
  pulse (0);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x60);
  tear_down ();
}

static void
test_without_icw4 (void)
{
  set_up ();
  /* IC4 = 0: three words, MCS-80/85 mode; an x86 takes the low half of the address that an 8080 would call. */
  bench_out (&bench, MASTER, 0x10 | 0x04 | 0xa0);
  bench_out (&bench, MASTER + 1, 0x12);
  bench_out (&bench, MASTER + 1, 0x04);
  bench_out (&bench, MASTER + 1, 0x00);
  g_assert_cmphex (bench_in (&bench, MASTER + 1), ==, 0x00);
  pulse (3);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0xa0 | 3 << 2);
  bench_out (&bench, MASTER, 0x10 | 0xc0);
  bench_out (&bench, MASTER + 1, 0x12);
  bench_out (&bench, MASTER + 1, 0x04);
  pulse (3);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0xc0 | 3 << 3);
  tear_down ();
}

static void
test_initialisation_clears (void)
{
  set_up_pc ();
  bench_out (&bench, MASTER + 1, 0xaa);
  bench_out (&bench, MASTER, 0xc2);
  bench_out (&bench, MASTER, 0x68);
  pulse (0);
  pic_acknowledge (pic);
  read_isr (MASTER);
  initialise_with (0x11, 1, 1);
  g_assert_cmphex (bench_in (&bench, MASTER + 1), ==, 0);
  g_assert_cmphex (bench_in (&bench, MASTER), ==, 0);
  g_assert_cmphex (read_isr (MASTER), ==, 0);
  pulse (7);
  pulse (0);
  g_assert_cmpint (pic_acknowledge (pic), ==, 0x20);
  tear_down ();
}

static void
test_int_falls_at_acknowledge (void)
{
  set_up_pc ();
  pulse (4);
  pulse (3);
  pulse (1);
  g_assert_cmpuint (cpu.rises, ==, 1);
  bench_out (&bench, MASTER + 1, 0);
  pic_acknowledge (pic);
  pulse (0);
  g_assert_cmpuint (cpu.rises, ==, 2);
  tear_down ();
}

static void
test_bad_accesses (void)
{
  set_up_pc ();
  for (unsigned irq = 16; irq < 300; irq++)
    pic_set_irq (pic, irq, true);
  pic_set_irq (pic, 2, true);
  g_assert_false (cpu.level);
  g_assert_cmphex (bus_read_port (bench.host.bus, 0x20, 4), ==, 0xffff0000);
  bus_write_port (bench.host.bus, 0x21, 4, 0xffffffff);
  g_assert_cmphex (bench_in (&bench, 0x21), ==, 0xff);
  tear_down ();
}

static void
scramble (Bench *b)
{
  for (unsigned i = 0; i < 16; i++)
    pulse (i * 7);
  bench_out (b, MASTER, 0xe3);
  bench_in (b, MASTER);
  bench_in (b, SLAVE + 1);
  pic_acknowledge (pic);
  bench_out (b, MASTER, 0x15);
  bench_out (b, MASTER + 1, 0x77);
}

static void
test_state (void)
{
  set_up ();
  initialise_with (0x11, 0x11, 0x01);
  bench_out (&bench, ELCR + 1, 0x0e);
  bench_out (&bench, MASTER + 1, 0x80);
  bench_out (&bench, MASTER, 0xc3);
  pulse (4);
  pic_acknowledge (pic);
  pic_set_irq (pic, 11, true);
  bench_out (&bench, SLAVE, 0x0b);
  bench_check_state (&bench, pic, scramble);
  g_assert_cmphex (bench_in (&bench, SLAVE), ==, 0);
  g_assert_cmphex (read_isr (MASTER), ==, 0x10);
  g_assert_cmphex (read_irr (SLAVE), ==, 0x08);
  tear_down ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pic/silent-until-initialised", test_silent_until_initialised);
  g_test_add_func ("/pic/fixed-priority", test_fixed_priority);
  g_test_add_func ("/pic/mask", test_mask);
  g_test_add_func ("/pic/edge-latches", test_edge_latches);
  g_test_add_func ("/pic/level-by-elcr", test_level_by_elcr);
  g_test_add_func ("/pic/level-by-ltim", test_level_by_ltim);
  g_test_add_func ("/pic/cascade", test_cascade);
  g_test_add_func ("/pic/cascade-needs-icw3", test_cascade_needs_icw3);
  g_test_add_func ("/pic/special-fully-nested", test_special_fully_nested);
  g_test_add_func ("/pic/specific-eoi", test_specific_eoi);
  g_test_add_func ("/pic/auto-eoi", test_auto_eoi);
  g_test_add_func ("/pic/auto-eoi-rotates", test_auto_eoi_rotates);
  g_test_add_func ("/pic/rotate-on-eoi", test_rotate_on_eoi);
  g_test_add_func ("/pic/set-priority", test_set_priority);
  g_test_add_func ("/pic/special-mask", test_special_mask);
  g_test_add_func ("/pic/poll", test_poll);
  g_test_add_func ("/pic/spurious", test_spurious);
  g_test_add_func ("/pic/single", test_single);
  g_test_add_func ("/pic/without-icw4", test_without_icw4);
  g_test_add_func ("/pic/initialisation-clears", test_initialisation_clears);
  g_test_add_func ("/pic/int-falls-at-acknowledge", test_int_falls_at_acknowledge);
  g_test_add_func ("/pic/bad-accesses", test_bad_accesses);
  g_test_add_func ("/pic/state", test_state);
  return g_test_run ();
}
