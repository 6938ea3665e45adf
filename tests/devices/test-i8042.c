/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keyboard controller, keyboard, mouse, back door pointer and typing: one test per documented behaviour. */
#include "bus.h"
#include "i8042.h"
#include "keyboard-text.h"
#include "physical-memory.h"
#include "ps2-keyboard.h"
#include "ps2-mouse.h"
#include "virtual-clock.h"
#include "vmmouse.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

enum { IRQ_1, IRQ_12, A20, RESET, N_WIRES };

typedef struct
{
  DeviceHost    host;
  I8042        *controller;
  Ps2Keyboard  *keyboard;
  Ps2Mouse     *mouse;
  KeyboardText *typer;
  VmMouse      *vmmouse;
  bool          level[N_WIRES];
  unsigned      rises[N_WIRES];
  uint32_t      registers[8];
} Input;

static void
set_wire (void *data, unsigned wire, bool level)
{
  Input *input = data;

  input->rises[wire] += level && !input->level[wire];
  input->level[wire] = level;
}

static uint32_t
read_cpu (void *cpu, unsigned reg)
{
  return ((Input *) cpu)->registers[reg];
}

static void
write_cpu (void *cpu, unsigned reg, uint32_t value)
{
  ((Input *) cpu)->registers[reg] = value;
}

static void
out (Input *self, uint16_t port, uint8_t value)
{
  bus_write_port (self->host.bus, port, 1, value);
}

static uint8_t
in (Input *self, uint16_t port)
{
  return (uint8_t) bus_read_port (self->host.bus, port, 1);
}

static void
pass (Input *self, unsigned us)
{
  for (unsigned i = 0; i < us; i += 100)
    {
      clock_advance (self->host.clock, 100000);
      clock_run_timers (self->host.clock);
    }
}

/* The next byte, or -1 if none comes within a few byte times. */
static int
next (Input *self)
{
  for (unsigned i = 0; i < 20; i++)
    {
      if (in (self, 0x64) & 1)
        return in (self, 0x60);
      pass (self, 100);
    }
  return -1;
}

static void
expect (Input *self, unsigned n, const uint8_t *bytes)
{
  for (unsigned i = 0; i < n; i++)
    g_assert_cmphex (next (self), ==, bytes[i]);
  g_assert_cmpint (next (self), ==, -1);
}

#define EXPECT(input, ...) \
  expect (input, sizeof ((uint8_t[]) { __VA_ARGS__ }), (uint8_t[]) { __VA_ARGS__ })

static void
command_byte (Input *self, uint8_t value)
{
  out (self, 0x64, 0x60);
  out (self, 0x60, value);
}

static void
input_init (Input *self)
{
  const IrqLine wires[N_WIRES] = { { set_wire, self, IRQ_1 }, { set_wire, self, IRQ_12 }, { set_wire, self, A20 }, { set_wire, self, RESET } };
  const BackDoorRegisters registers = { read_cpu, write_cpu, self };

  memset (self, 0, sizeof *self);
  self->host.bus = bus_new ();
  self->host.clock = clock_new (CLOCK_MANUAL, NULL);
  clock_start (self->host.clock);
  g_assert_cmpint (ps2_keyboard_new (&self->keyboard), ==, 0);
  g_assert_cmpint (ps2_mouse_new (&self->mouse), ==, 0);
  g_assert_cmpint (i8042_new (&self->host, ps2_keyboard_port (self->keyboard), ps2_mouse_port (self->mouse), &wires[IRQ_1],
                              &wires[IRQ_12], &wires[A20], &wires[RESET], &self->controller), ==, 0);
  g_assert_cmpint (keyboard_text_new (&self->host, self->keyboard, &self->typer), ==, 0);
  g_assert_cmpint (vmmouse_new (&self->host, &registers, self->mouse, &self->vmmouse), ==, 0);
}

static void
input_clear (Input *self)
{
  keyboard_text_class.finish ((Device *) self->typer);
  vmmouse_class.finish ((Device *) self->vmmouse);
  i8042_class.finish ((Device *) self->controller);
  ps2_keyboard_class.finish ((Device *) self->keyboard);
  ps2_mouse_class.finish ((Device *) self->mouse);
  clock_free (self->host.clock);
  bus_free (self->host.bus);
}

/* --- controller --------------------------------------------------------------------------------------------------- */

static void
test_self_tests (void)
{
  Input input;

  input_init (&input);
  g_assert_cmphex (in (&input, 0x64) & 0x15, ==, 0x10);
  out (&input, 0x64, 0xaa);
  g_assert_cmphex (in (&input, 0x64) & 0x0d, ==, 0x0d);
  EXPECT (&input, 0x55);
  out (&input, 0x64, 0xab);
  EXPECT (&input, 0x00);
  out (&input, 0x64, 0xa9);
  EXPECT (&input, 0x00);
  out (&input, 0x64, 0xa4);
  EXPECT (&input, 0xf1);
  out (&input, 0x64, 0xc0);
  EXPECT (&input, 0x80);
  out (&input, 0x64, 0xe0);
  EXPECT (&input, 0x00);
  out (&input, 0x64, 0x9f);     /* no such command */
  g_assert_cmpint (next (&input), ==, -1);
  input_clear (&input);
}

static void
test_command_byte_and_ram (void)
{
  Input input;

  input_init (&input);
  command_byte (&input, 0x65);
  out (&input, 0x64, 0x20);
  EXPECT (&input, 0x65);
  g_assert_cmphex (in (&input, 0x64) & 4, ==, 4);
  for (unsigned i = 1; i < 32; i++)
    {
      out (&input, 0x64, (uint8_t) (0x60 + i));
      out (&input, 0x60, (uint8_t) (i * 5));
    }
  for (unsigned i = 1; i < 32; i++)
    {
      out (&input, 0x64, (uint8_t) (0x20 + i));
      g_assert_cmphex (next (&input), ==, (uint8_t) (i * 5));
    }
  input_clear (&input);
}

static void
test_disabled_keyboard_waits (void)
{
  Input input;

  input_init (&input);
  out (&input, 0x64, 0xad);
  ps2_keyboard_key (input.keyboard, 30, true);
  g_assert_cmpint (next (&input), ==, -1);
  out (&input, 0x64, 0xae);
  EXPECT (&input, 0x1e);
  /* Writing to the keyboard lets its clock go. */
  out (&input, 0x64, 0xad);
  out (&input, 0x60, 0xee);
  EXPECT (&input, 0xee);
  out (&input, 0x64, 0x20);
  g_assert_cmphex (next (&input) & 0x10, ==, 0);
  input_clear (&input);
}

static void
test_interrupt_lines (void)
{
  Input input;

  input_init (&input);
  command_byte (&input, 0x43);
  ps2_keyboard_key (input.keyboard, 30, true);
  g_assert_true (input.level[IRQ_1]);
  g_assert_false (input.level[IRQ_12]);
  in (&input, 0x60);
  g_assert_false (input.level[IRQ_1]);
  out (&input, 0x64, 0xd3);
  out (&input, 0x60, 0x77);
  g_assert_true (input.level[IRQ_12]);
  g_assert_cmphex (in (&input, 0x64) & 0x21, ==, 0x21);
  g_assert_cmphex (in (&input, 0x60), ==, 0x77);
  g_assert_false (input.level[IRQ_12]);
  command_byte (&input, 0x40);
  ps2_keyboard_key (input.keyboard, 30, false);
  pass (&input, 2000);
  g_assert_cmphex (in (&input, 0x64) & 1, ==, 1);
  g_assert_false (input.level[IRQ_1]);
  input_clear (&input);
}

/* A DOS program reads the code and calls the BIOS, which reads it again. */
static void
test_byte_stays_readable_for_a_while (void)
{
  Input input;

  input_init (&input);
  ps2_keyboard_key (input.keyboard, 30, true);
  ps2_keyboard_key (input.keyboard, 30, false);
  g_assert_cmphex (in (&input, 0x60), ==, 0x1e);
  g_assert_cmphex (in (&input, 0x64) & 1, ==, 0);
  g_assert_cmphex (in (&input, 0x60), ==, 0x1e);
  pass (&input, 600);
  g_assert_cmphex (in (&input, 0x64) & 1, ==, 1);
  g_assert_cmphex (in (&input, 0x60), ==, 0x9e);
  input_clear (&input);
}

static void
test_every_byte_is_an_edge (void)
{
  Input input;

  input_init (&input);
  ps2_keyboard_key (input.keyboard, 105, true);
  ps2_keyboard_key (input.keyboard, 105, false);
  EXPECT (&input, 0xe0, 0x4b, 0xe0, 0xcb);
  g_assert_cmpuint (input.rises[IRQ_1], ==, 4);
  input_clear (&input);
}

static void
test_answer_waits_for_the_register (void)
{
  Input input;

  input_init (&input);
  ps2_keyboard_key (input.keyboard, 30, true);
  out (&input, 0x64, 0x20);
  g_assert_cmphex (in (&input, 0x60), ==, 0x1e);
  g_assert_cmphex (in (&input, 0x64) & 1, ==, 1);
  g_assert_cmphex (in (&input, 0x60), ==, 0x41);
  input_clear (&input);
}

static void
test_output_port (void)
{
  Input input;

  input_init (&input);
  g_assert_true (input.level[A20]);
  out (&input, 0x64, 0xd1);
  out (&input, 0x60, 0xdd);
  g_assert_false (input.level[A20]);
  out (&input, 0x64, 0xd0);
  g_assert_cmphex (next (&input) & 0x03, ==, 0x01);
  out (&input, 0x64, 0xdf);
  g_assert_true (input.level[A20]);
  out (&input, 0x64, 0xdd);
  g_assert_false (input.level[A20]);
  i8042_a20_moved (input.controller, true);
  out (&input, 0x64, 0xd0);
  g_assert_cmphex (next (&input) & 0x02, ==, 0x02);
  g_assert_cmpuint (input.rises[RESET], ==, 0);
  out (&input, 0x64, 0xd1);
  out (&input, 0x60, 0xfe);
  g_assert_cmpuint (input.rises[RESET], ==, 1);
  input_clear (&input);
}

static void
test_pulse_resets (void)
{
  Input input;

  input_init (&input);
  for (unsigned i = 0xf0; i <= 0xff; i++)
    out (&input, 0x64, (uint8_t) i);
  g_assert_cmpuint (input.rises[RESET], ==, 8);
  g_assert_false (input.level[RESET]);
  input_clear (&input);
}

static void
test_write_output_buffers (void)
{
  Input input;

  input_init (&input);
  out (&input, 0x64, 0xd2);
  out (&input, 0x60, 0x12);     /* not translated */
  g_assert_cmphex (in (&input, 0x64) & 0x21, ==, 0x01);
  EXPECT (&input, 0x12);
  out (&input, 0x64, 0xd3);
  out (&input, 0x60, 0x34);
  g_assert_cmphex (in (&input, 0x64) & 0x21, ==, 0x21);
  EXPECT (&input, 0x34);
  input_clear (&input);
}

/* --- keyboard ----------------------------------------------------------------------------------------------------- */

static void
no_translation (Input *input)
{
  command_byte (input, 0x01);
}

static void
use_set (Input *input, uint8_t set)
{
  no_translation (input);
  out (input, 0x60, 0xf0);
  EXPECT (input, 0xfa);
  out (input, 0x60, set);
  EXPECT (input, 0xfa);
}

static void
test_translation_table (void)
{
  /* evdev numbers up to 83 are the codes of set 1: that is where they come from. */
  Input input;

  input_init (&input);
  for (unsigned key = 1; key <= 83; key++)
    {
      ps2_keyboard_key (input.keyboard, key, true);
      g_assert_cmphex (next (&input), ==, key);
      ps2_keyboard_key (input.keyboard, key, false);
      g_assert_cmphex (next (&input), ==, key | 0x80);
    }
  ps2_keyboard_key (input.keyboard, 87, true);
  ps2_keyboard_key (input.keyboard, 88, true);
  ps2_keyboard_key (input.keyboard, 86, true);
  EXPECT (&input, 0x57, 0x58, 0x56);
  ps2_keyboard_key (input.keyboard, 97, true);
  ps2_keyboard_key (input.keyboard, 97, false);
  EXPECT (&input, 0xe0, 0x1d, 0xe0, 0x9d);
  ps2_keyboard_key (input.keyboard, 125, true);
  EXPECT (&input, 0xe0, 0x5b);
  input_clear (&input);
}

static void
test_set_2 (void)
{
  Input input;

  input_init (&input);
  no_translation (&input);
  ps2_keyboard_key (input.keyboard, 30, true);
  ps2_keyboard_key (input.keyboard, 30, true);
  ps2_keyboard_key (input.keyboard, 30, false);
  EXPECT (&input, 0x1c, 0x1c, 0xf0, 0x1c);
  ps2_keyboard_key (input.keyboard, 103, true);
  ps2_keyboard_key (input.keyboard, 103, false);
  EXPECT (&input, 0xe0, 0x75, 0xe0, 0xf0, 0x75);
  ps2_keyboard_key (input.keyboard, 65, true);
  EXPECT (&input, 0x83);
  /* A release of what is not down, and numbers without a key. */
  ps2_keyboard_key (input.keyboard, 31, false);
  ps2_keyboard_key (input.keyboard, 0, true);
  ps2_keyboard_key (input.keyboard, 255, true);
  ps2_keyboard_key (input.keyboard, 70000, true);
  g_assert_cmpint (next (&input), ==, -1);
  input_clear (&input);
}

static void
test_set_1 (void)
{
  Input input;

  input_init (&input);
  use_set (&input, 1);
  ps2_keyboard_key (input.keyboard, 30, true);
  ps2_keyboard_key (input.keyboard, 30, false);
  ps2_keyboard_key (input.keyboard, 111, true);
  ps2_keyboard_key (input.keyboard, 111, false);
  EXPECT (&input, 0x1e, 0x9e, 0xe0, 0x53, 0xe0, 0xd3);
  input_clear (&input);
}

static void
test_set_3 (void)
{
  Input input;

  input_init (&input);
  use_set (&input, 3);
  out (&input, 0x60, 0xf0);
  EXPECT (&input, 0xfa);
  out (&input, 0x60, 0x00);
  EXPECT (&input, 0xfa, 0x03);
  ps2_keyboard_key (input.keyboard, 30, true);          /* typematic: repeats, no release */
  ps2_keyboard_key (input.keyboard, 30, true);
  ps2_keyboard_key (input.keyboard, 30, false);
  ps2_keyboard_key (input.keyboard, 42, true);          /* shift: press and release */
  ps2_keyboard_key (input.keyboard, 42, true);
  ps2_keyboard_key (input.keyboard, 42, false);
  ps2_keyboard_key (input.keyboard, 59, true);          /* F1: press only */
  ps2_keyboard_key (input.keyboard, 59, true);
  ps2_keyboard_key (input.keyboard, 59, false);
  EXPECT (&input, 0x1c, 0x1c, 0x12, 0xf0, 0x12, 0x07);
  out (&input, 0x60, 0xfa);
  EXPECT (&input, 0xfa);
  ps2_keyboard_key (input.keyboard, 59, true);
  ps2_keyboard_key (input.keyboard, 59, true);
  ps2_keyboard_key (input.keyboard, 59, false);
  EXPECT (&input, 0x07, 0x07, 0xf0, 0x07);
  out (&input, 0x60, 0xfd);
  EXPECT (&input, 0xfa);
  out (&input, 0x60, 0x1c);
  EXPECT (&input, 0xfa);
  out (&input, 0x60, 0xf4);             /* ends the list */
  EXPECT (&input, 0xfa);
  ps2_keyboard_key (input.keyboard, 30, true);
  ps2_keyboard_key (input.keyboard, 30, true);
  ps2_keyboard_key (input.keyboard, 30, false);
  EXPECT (&input, 0x1c);
  ps2_keyboard_key (input.keyboard, 119, true);
  ps2_keyboard_key (input.keyboard, 99, true);
  EXPECT (&input, 0x62, 0x57);
  input_clear (&input);
}

static void
test_pause (void)
{
  Input input;

  input_init (&input);
  ps2_keyboard_key (input.keyboard, 119, true);
  ps2_keyboard_key (input.keyboard, 119, false);
  EXPECT (&input, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
  ps2_keyboard_key (input.keyboard, 29, true);
  ps2_keyboard_key (input.keyboard, 119, true);
  ps2_keyboard_key (input.keyboard, 119, false);
  EXPECT (&input, 0x1d, 0xe0, 0x46, 0xe0, 0xc6);
  ps2_keyboard_key (input.keyboard, 29, false);
  EXPECT (&input, 0x9d);
  no_translation (&input);
  ps2_keyboard_key (input.keyboard, 119, true);
  EXPECT (&input, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
  input_clear (&input);
}

static void
test_print_screen (void)
{
  Input input;

  input_init (&input);
  ps2_keyboard_key (input.keyboard, 99, true);
  EXPECT (&input, 0xe0, 0x2a, 0xe0, 0x37);
  ps2_keyboard_key (input.keyboard, 99, false);
  EXPECT (&input, 0xe0, 0xb7, 0xe0, 0xaa);
  ps2_keyboard_key (input.keyboard, 42, true);
  ps2_keyboard_key (input.keyboard, 99, true);
  ps2_keyboard_key (input.keyboard, 99, false);
  ps2_keyboard_key (input.keyboard, 42, false);
  EXPECT (&input, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xaa);
  ps2_keyboard_key (input.keyboard, 56, true);
  ps2_keyboard_key (input.keyboard, 99, true);
  ps2_keyboard_key (input.keyboard, 99, false);
  EXPECT (&input, 0x38, 0x54, 0xd4);
  input_clear (&input);
}

static void
test_keyboard_commands (void)
{
  Input input;

  input_init (&input);
  no_translation (&input);
  out (&input, 0x60, 0xff);
  EXPECT (&input, 0xfa, 0xaa);
  out (&input, 0x60, 0xf2);
  EXPECT (&input, 0xfa, 0xab, 0x83);
  out (&input, 0x60, 0xee);
  EXPECT (&input, 0xee);
  out (&input, 0x60, 0xed);
  EXPECT (&input, 0xfa);
  out (&input, 0x60, 0x05);
  EXPECT (&input, 0xfa);
  g_assert_cmpuint (ps2_keyboard_leds (input.keyboard), ==, KEYBOARD_LED_SCROLL | KEYBOARD_LED_CAPS);
  out (&input, 0x60, 0xf3);
  EXPECT (&input, 0xfa);
  out (&input, 0x60, 0x20);
  EXPECT (&input, 0xfa);
  out (&input, 0x60, 0xfe);
  EXPECT (&input, 0xfa);
  out (&input, 0x60, 0xf2);
  EXPECT (&input, 0xfa, 0xab, 0x83);
  out (&input, 0x60, 0xfe);
  EXPECT (&input, 0x83);
  out (&input, 0x60, 0x80);
  EXPECT (&input, 0xfe);
  /* A command in place of a parameter is run. */
  out (&input, 0x60, 0xed);
  EXPECT (&input, 0xfa);
  out (&input, 0x60, 0xf2);
  EXPECT (&input, 0xfa, 0xab, 0x83);
  out (&input, 0x60, 0x02);
  EXPECT (&input, 0xfe);
  input_clear (&input);
}

static void
test_translated_id (void)
{
  Input input;

  input_init (&input);
  out (&input, 0x60, 0xf2);
  EXPECT (&input, 0xfa, 0xab, 0x41);
  input_clear (&input);
}

static void
test_scanning_off (void)
{
  Input input;

  input_init (&input);
  out (&input, 0x60, 0xf5);
  EXPECT (&input, 0xfa);
  g_assert_false (ps2_keyboard_key (input.keyboard, 30, true));
  g_assert_cmpint (next (&input), ==, -1);
  out (&input, 0x60, 0xf4);
  EXPECT (&input, 0xfa);
  ps2_keyboard_key (input.keyboard, 30, false);
  EXPECT (&input, 0x9e);
  ps2_keyboard_key (input.keyboard, 31, true);
  ps2_keyboard_key (input.keyboard, 42, true);
  EXPECT (&input, 0x1f, 0x2a);
  ps2_keyboard_release_all (input.keyboard);
  EXPECT (&input, 0x9f, 0xaa);
  input_clear (&input);
}

static void
test_answers_go_first (void)
{
  Input input;

  input_init (&input);
  ps2_keyboard_key (input.keyboard, 30, true);
  ps2_keyboard_key (input.keyboard, 31, true);
  ps2_keyboard_key (input.keyboard, 32, true);
  out (&input, 0x60, 0xf2);
  EXPECT (&input, 0x1e, 0xfa, 0xab, 0x41, 0x1f, 0x20);
  input_clear (&input);
}

static void
test_overrun (void)
{
  Input input;

  input_init (&input);
  use_set (&input, 2);
  out (&input, 0x64, 0xad);
  for (unsigned i = 0; i < 20; i++)
    ps2_keyboard_key (input.keyboard, 30, true);
  out (&input, 0x64, 0xae);
  for (unsigned i = 0; i < 16; i++)
    g_assert_cmphex (next (&input), ==, 0x1c);
  EXPECT (&input, 0x00);
  ps2_keyboard_key (input.keyboard, 30, false);
  EXPECT (&input, 0xf0, 0x1c);
  input_clear (&input);
}

/* --- mouse -------------------------------------------------------------------------------------------------------- */

static void
aux (Input *self, uint8_t value)
{
  out (self, 0x64, 0xd4);
  out (self, 0x60, value);
}

static void
aux_ack (Input *self, uint8_t value)
{
  aux (self, value);
  g_assert_cmphex (in (self, 0x64) & 0x21, ==, 0x21);
  EXPECT (self, 0xfa);
}

static void
test_mouse_reset_and_id (void)
{
  Input input;

  input_init (&input);
  aux (&input, 0xff);
  EXPECT (&input, 0xfa, 0xaa, 0x00);
  aux (&input, 0xf2);
  EXPECT (&input, 0xfa, 0x00);
  aux (&input, 0xe9);
  EXPECT (&input, 0xfa, 0x00, 0x02, 0x64);
  aux (&input, 0xfe);
  EXPECT (&input, 0x64);
  input_clear (&input);
}

static void
test_mouse_stream (void)
{
  Input input;

  input_init (&input);
  ps2_mouse_move (input.mouse, 5, 5, 0, 0);
  g_assert_cmpint (next (&input), ==, -1);      /* not enabled: forgotten */
  aux_ack (&input, 0xf4);
  ps2_mouse_move (input.mouse, 10, 3, 0, MOUSE_BUTTON_LEFT);
  EXPECT (&input, 0x29, 0x0a, 0xfd);
  ps2_mouse_move (input.mouse, -10, -3, 7, MOUSE_BUTTON_RIGHT | MOUSE_BUTTON_MIDDLE);
  EXPECT (&input, 0x1e, 0xf6, 0x03);
  ps2_mouse_move (input.mouse, 0, 0, 0, 0);
  EXPECT (&input, 0x08, 0, 0);
  ps2_mouse_move (input.mouse, 0, 0, 0, 0);
  g_assert_cmpint (next (&input), ==, -1);
  /* Far movements take several packets, and none is lost. */
  ps2_mouse_move (input.mouse, 600, 0, 0, 0);
  EXPECT (&input, 0x08, 0xff, 0, 0x08, 0xff, 0, 0x08, 0x5a, 0);
  input_clear (&input);
}

static void
test_mouse_movement_adds_up (void)
{
  Input input;

  input_init (&input);
  aux_ack (&input, 0xf4);
  for (unsigned i = 0; i < 100; i++)
    ps2_mouse_move (input.mouse, 1, 0, 0, 0);
  EXPECT (&input, 0x08, 1, 0, 0x08, 99, 0);
  /* A click between two fetches is not lost. */
  ps2_mouse_move (input.mouse, 0, 0, 0, 1);
  ps2_mouse_move (input.mouse, 0, 0, 0, 0);
  ps2_mouse_move (input.mouse, 0, 0, 0, 1);
  ps2_mouse_move (input.mouse, 4, 0, 0, 1);
  EXPECT (&input, 0x09, 0, 0, 0x08, 0, 0, 0x09, 0, 0, 0x09, 4, 0);
  for (unsigned i = 0; i < 100000; i++)
    ps2_mouse_move (input.mouse, 30000, -30000, 30000, i & 1);
  input_clear (&input);
}

static void
test_mouse_wheel_knock (void)
{
  static const uint8_t knock[] = { 200, 100, 80 };
  Input input;

  input_init (&input);
  for (unsigned i = 0; i < 3; i++)
    {
      aux_ack (&input, 0xf3);
      aux_ack (&input, knock[i]);
    }
  aux (&input, 0xf2);
  EXPECT (&input, 0xfa, 0x03);
  aux_ack (&input, 0xf4);
  ps2_mouse_move (input.mouse, 0, 0, -1, 0);
  EXPECT (&input, 0x08, 0, 0, 0xff);
  aux (&input, 0xff);
  EXPECT (&input, 0xfa, 0xaa, 0x00);
  aux (&input, 0xf2);
  EXPECT (&input, 0xfa, 0x00);
  input_clear (&input);
}

static void
test_mouse_five_button_knock (void)
{
  static const uint8_t knock[] = { 200, 100, 80, 200, 200, 80 };
  Input input;

  input_init (&input);
  for (unsigned i = 0; i < 6; i++)
    {
      aux_ack (&input, 0xf3);
      aux_ack (&input, knock[i]);
    }
  aux (&input, 0xf2);
  EXPECT (&input, 0xfa, 0x04);
  aux_ack (&input, 0xf4);
  ps2_mouse_move (input.mouse, 0, 0, 1, MOUSE_BUTTON_SIDE);
  EXPECT (&input, 0x08, 0, 0, 0x11);
  ps2_mouse_move (input.mouse, 0, 0, 0, MOUSE_BUTTON_EXTRA);
  EXPECT (&input, 0x08, 0, 0, 0x20);
  ps2_mouse_move (input.mouse, 0, 0, -10, 0);
  EXPECT (&input, 0x08, 0, 0, 0x08, 0x08, 0, 0, 0x0e);
  input_clear (&input);
}

static void
test_mouse_remote (void)
{
  Input input;

  input_init (&input);
  aux_ack (&input, 0xf0);
  ps2_mouse_move (input.mouse, 3, 0, 0, 1);
  g_assert_cmpint (next (&input), ==, -1);
  aux (&input, 0xeb);
  EXPECT (&input, 0xfa, 0x09, 3, 0);
  aux (&input, 0xe9);
  EXPECT (&input, 0xfa, 0x44, 2, 100);
  aux_ack (&input, 0xea);
  input_clear (&input);
}

static void
test_mouse_wrap (void)
{
  Input input;

  input_init (&input);
  aux_ack (&input, 0xee);
  aux (&input, 0xf2);
  EXPECT (&input, 0xf2);
  aux (&input, 0xfe);
  EXPECT (&input, 0xfe);
  aux_ack (&input, 0xec);
  aux (&input, 0xf2);
  EXPECT (&input, 0xfa, 0x00);
  input_clear (&input);
}

static void
test_mouse_scaling (void)
{
  static const int8_t in_steps[] = { 1, 2, 3, 4, 5, 6, -4 }, out_steps[] = { 1, 1, 3, 6, 9, 12, -6 };
  Input input;

  input_init (&input);
  aux_ack (&input, 0xe7);
  aux_ack (&input, 0xf4);
  for (unsigned i = 0; i < G_N_ELEMENTS (in_steps); i++)
    {
      ps2_mouse_move (input.mouse, in_steps[i], 0, 0, 0);
      EXPECT (&input, (uint8_t) (in_steps[i] < 0 ? 0x18 : 0x08), (uint8_t) out_steps[i], 0);
    }
  aux (&input, 0xe9);
  EXPECT (&input, 0xfa, 0x30, 2, 100);
  aux_ack (&input, 0xe6);
  ps2_mouse_move (input.mouse, 4, 0, 0, 0);
  EXPECT (&input, 0x08, 4, 0);
  input_clear (&input);
}

static void
test_mouse_bad_values (void)
{
  Input input;

  input_init (&input);
  aux (&input, 0x11);
  EXPECT (&input, 0xfe);
  aux (&input, 0x11);
  EXPECT (&input, 0xfc);
  aux_ack (&input, 0xe8);
  aux (&input, 0x04);
  EXPECT (&input, 0xfe);
  aux (&input, 0x03);
  EXPECT (&input, 0xfa);
  aux_ack (&input, 0xf3);
  aux (&input, 81);
  EXPECT (&input, 0xfe);
  aux (&input, 81);
  EXPECT (&input, 0xfc);
  aux (&input, 0xe9);
  EXPECT (&input, 0xfa, 0x00, 3, 100);
  input_clear (&input);
}

static void
test_mouse_disabled_interface (void)
{
  Input input;

  input_init (&input);
  aux_ack (&input, 0xf4);
  out (&input, 0x64, 0xa7);
  ps2_mouse_move (input.mouse, 1, 1, 0, 0);
  g_assert_cmpint (next (&input), ==, -1);
  out (&input, 0x64, 0xa8);
  EXPECT (&input, 0x28, 0x01, 0xff);
  input_clear (&input);
}

/* --- the back door ------------------------------------------------------------------------------------------------ */

static uint32_t
back_door (Input *self, uint32_t command, uint32_t ebx)
{
  self->registers[BACK_DOOR_EAX] = 0x564d5868;
  self->registers[BACK_DOOR_EBX] = ebx;
  self->registers[BACK_DOOR_ECX] = command;
  self->registers[BACK_DOOR_EDX] = 0x5658;
  return bus_read_port (self->host.bus, 0x5658, 4);
}

static void
test_back_door_version (void)
{
  Input input;

  input_init (&input);
  g_assert_cmpuint (back_door (&input, 10, 0xa9b2a797), ==, 6);
  g_assert_cmphex (input.registers[BACK_DOOR_EBX], ==, 0x564d5868);
  input.registers[BACK_DOOR_EAX] = 0x564d5869;
  g_assert_cmphex (bus_read_port (input.host.bus, 0x5658, 4), ==, 0xffffffff);
  g_assert_cmphex (bus_read_port (input.host.bus, 0x5658, 1), ==, 0xff);
  g_assert_cmphex (back_door (&input, 9999, 0), ==, 0xffffffff);
  input_clear (&input);
}

static void
test_back_door_pointer (void)
{
  Input input;

  input_init (&input);
  aux_ack (&input, 0xf4);
  g_assert_cmphex (back_door (&input, 40, 0), ==, 0xffff0000);
  g_assert_cmphex (back_door (&input, 39, 4), ==, 0xffff0000);
  back_door (&input, 41, 0x45414552);
  g_assert_cmphex (back_door (&input, 40, 0), ==, 1);
  g_assert_cmphex (back_door (&input, 39, 1), ==, 0x3442554a);
  g_assert_false (vmmouse_is_absolute (input.vmmouse));
  back_door (&input, 41, 0x53424152);
  g_assert_true (vmmouse_is_absolute (input.vmmouse));
  vmmouse_move (input.vmmouse, 1000, 2000, 0, MOUSE_BUTTON_LEFT);
  /* The mouse's interrupt calls the driver. */
  g_assert_cmphex (in (&input, 0x64) & 0x21, ==, 0x21);
  EXPECT (&input, 0x08, 0, 0);
  vmmouse_move (input.vmmouse, 1001, 2001, 0, MOUSE_BUTTON_LEFT);
  vmmouse_move (input.vmmouse, 99999, 3, -2, 0);
  g_assert_cmphex (back_door (&input, 40, 0), ==, 8);
  g_assert_cmphex (back_door (&input, 39, 4), ==, 0x20);
  g_assert_cmpuint (input.registers[BACK_DOOR_EBX], ==, 1001);
  g_assert_cmpuint (input.registers[BACK_DOOR_ECX], ==, 2001);
  g_assert_cmpuint (input.registers[BACK_DOOR_EDX], ==, 0);
  g_assert_cmphex (back_door (&input, 39, 4), ==, 0);
  g_assert_cmpuint (input.registers[BACK_DOOR_EBX], ==, 65535);
  g_assert_cmphex (input.registers[BACK_DOOR_EDX], ==, 0xfffffffe);
  g_assert_cmphex (back_door (&input, 39, 4), ==, 0xffff0000);
  g_assert_cmphex (back_door (&input, 39, 0xffffffff), ==, 0xffff0000);
  back_door (&input, 41, 0x4c455252);
  g_assert_false (vmmouse_is_absolute (input.vmmouse));
  back_door (&input, 41, 0xf5);
  g_assert_cmphex (back_door (&input, 40, 0), ==, 0xffff0000);
  input_clear (&input);
}

static void
test_back_door_queue_is_bounded (void)
{
  Input input;
  uint32_t n;

  input_init (&input);
  back_door (&input, 41, 0x45414552);
  back_door (&input, 39, 1);
  back_door (&input, 41, 0x53424152);
  for (unsigned i = 0; i < 10000; i++)
    vmmouse_move (input.vmmouse, i, i, 0, i & 1);
  n = back_door (&input, 40, 0);
  g_assert_cmpuint (n, ==, 256);
  for (unsigned i = 0; i < 64; i++)
    g_assert_cmphex (back_door (&input, 39, 4), ==, i & 1 ? 0x20 : 0);
  g_assert_cmphex (back_door (&input, 40, 0), ==, 0);
  input_clear (&input);
}

/* --- typing ------------------------------------------------------------------------------------------------------- */

/* What a guest with a US keyboard reads. */
static GString *
listen (Input *self)
{
  static const char plain[] = "..1234567890-=\b\tqwertyuiop[]\n.asdfghjkl;'`.\\zxcvbnm,./... ";
  static const char shifted[] = "..!@#$%^&*()_+\b\tQWERTYUIOP{}\n.ASDFGHJKL:\"~.|ZXCVBNM<>?... ";
  GString *text = g_string_new (NULL);
  bool shift = false;

  while (keyboard_text_busy (self->typer) || in (self, 0x64) & 1)
    {
      uint8_t code;

      pass (self, 1000);
      if (!(in (self, 0x64) & 1))
        continue;
      code = in (self, 0x60);
      if ((code & 0x7f) == 0x2a)
        shift = !(code & 0x80);
      else if (!(code & 0x80) && code < sizeof plain - 1)
        g_string_append_c (text, (shift ? shifted : plain)[code]);
    }
  return text;
}

static void
test_type_text (void)
{
  static const char text[] = "The quick brown fox;\tjumps over 12 LAZY dogs: {[(<|~`@#$%^&*\"'\\/?,.>)]}_-+= !\n";
  Input input;
  GString *heard;

  input_init (&input);
  g_assert_cmpint (keyboard_text_type (input.typer, text, strlen (text)), ==, 0);
  g_assert_true (keyboard_text_busy (input.typer));
  heard = listen (&input);
  g_assert_cmpstr (heard->str, ==, text);
  g_string_free (heard, TRUE);
  input_clear (&input);
}

static void
test_type_waits_for_a_slow_guest (void)
{
  Input input;
  GString *heard;
  g_autofree char *text = g_strnfill (300, 'x');

  input_init (&input);
  g_assert_cmpint (keyboard_text_type (input.typer, text, 300), ==, 0);
  pass (&input, 10000000);
  g_assert_true (keyboard_text_busy (input.typer));
  heard = listen (&input);
  g_assert_cmpuint (heard->len, ==, 300);
  g_string_free (heard, TRUE);
  input_clear (&input);
}

static void
test_type_refusals (void)
{
  Input input;
  g_autofree char *longest = g_strnfill (KEYBOARD_TEXT_MAX_EVENTS / 2 + 1, 'x');

  input_init (&input);
  g_assert_cmpint (keyboard_text_type (input.typer, "caf\xc3\xa9", 5), ==, -EILSEQ);
  g_assert_cmpint (keyboard_text_type (input.typer, "\x01", 1), ==, -EILSEQ);
  g_assert_cmpint (keyboard_text_type (input.typer, longest, strlen (longest)), ==, -ENOBUFS);
  g_assert_false (keyboard_text_busy (input.typer));
  g_assert_cmpint (keyboard_text_type (input.typer, longest, strlen (longest) - 1), ==, 0);
  g_assert_cmpint (keyboard_text_key (input.typer, "a"), ==, -ENOBUFS);
  keyboard_text_stop (input.typer);
  g_assert_false (keyboard_text_busy (input.typer));
  input_clear (&input);
}

static void
test_key_names (void)
{
  Input input;

  input_init (&input);
  g_assert_cmpint (keyboard_text_key (input.typer, "ctrl-alt-delete"), ==, 0);
  pass (&input, 100);
  EXPECT (&input);
  for (unsigned i = 0; i < 6; i++)
    {
      static const uint8_t first[] = { 0x1d, 0x38, 0xe0, 0xe0, 0xb8, 0x9d };

      while (!(in (&input, 0x64) & 1))
        pass (&input, 100);
      g_assert_cmphex (in (&input, 0x60), ==, first[i]);
      if (first[i] == 0xe0)
        g_assert_cmphex (next (&input), ==, i == 2 ? 0x53 : 0xd3);
    }
  g_assert_cmpint (keyboard_text_key (input.typer, "ctrl-alt-dell"), ==, -EINVAL);
  g_assert_cmpint (keyboard_text_key (input.typer, ""), ==, -EINVAL);
  g_assert_cmpint (keyboard_text_key (input.typer, "a-"), ==, -EINVAL);
  g_assert_cmpint (keyboard_text_key (input.typer, "a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a"), ==, -EINVAL);
  g_assert_cmpuint (keyboard_key_by_name ("ret", 3), ==, 28);
  g_assert_cmpuint (keyboard_key_by_name ("f12", 3), ==, 88);
  g_assert_cmpuint (keyboard_key_by_name ("spc", 3), ==, 57);
  g_assert_cmpuint (keyboard_key_by_name ("pgup", 4), ==, 104);
  g_assert_cmpuint (keyboard_key_by_name ("kp_enter", 8), ==, 96);
  input_clear (&input);
}

/* --- state -------------------------------------------------------------------------------------------------------- */

static void
round_trip (Device *device)
{
  StateBuffer before = { 0 }, after = { 0 };

  state_save (device->klass->state, device, &before);
  device->klass->reset (device);
  g_assert_cmpint (state_restore (device->klass->state, device, before.bytes, before.length), ==, (int64_t) before.length);
  state_save (device->klass->state, device, &after);
  g_assert_cmpmem (before.bytes, before.length, after.bytes, after.length);
  state_buffer_clear (&before);
  state_buffer_clear (&after);
}

static void
test_state_round_trip (void)
{
  Input input;

  input_init (&input);
  aux_ack (&input, 0xf4);
  ps2_keyboard_key (input.keyboard, 42, true);
  ps2_keyboard_key (input.keyboard, 30, true);
  ps2_mouse_move (input.mouse, 1000, 5, 1, 1);
  out (&input, 0x64, 0x60);
  back_door (&input, 41, 0x45414552);
  round_trip ((Device *) input.controller);
  round_trip ((Device *) input.keyboard);
  round_trip ((Device *) input.mouse);
  round_trip ((Device *) input.vmmouse);
  round_trip ((Device *) input.typer);
  out (&input, 0x60, 0x41);
  g_assert_cmphex (next (&input), ==, 0x2a);
  g_assert_cmphex (next (&input), ==, 0x1e);
  input_clear (&input);
}

static uint8_t *
find_field (StateBuffer *buffer, const char *name, unsigned occurrence)
{
  size_t length = strlen (name);

  for (size_t i = 0; i + length + 5 < buffer->length; i++)
    if (buffer->bytes[i] == length && memcmp (buffer->bytes + i + 1, name, length) == 0 && occurrence-- == 0)
      return buffer->bytes + i + 1 + length + 4;
  g_assert_not_reached ();
}

static void
refuses (Device *device, const char *field, unsigned occurrence, unsigned offset, uint8_t value)
{
  StateBuffer buffer = { 0 };

  state_save (device->klass->state, device, &buffer);
  find_field (&buffer, field, occurrence)[offset] = value;
  g_test_message ("%s: %s", device->klass->name, field);
  g_assert_cmpint (state_restore (device->klass->state, device, buffer.bytes, buffer.length), ==, -EBADMSG);
  device->klass->reset (device);
  state_buffer_clear (&buffer);
}

/* The class of CVE-2017-16845 among them: queue positions beyond the queue. */
static void
test_state_refuses_impossible_values (void)
{
  Input input;

  input_init (&input);
  refuses ((Device *) input.keyboard, "first", 0, 0, 64);
  refuses ((Device *) input.keyboard, "count", 0, 0, 65);
  refuses ((Device *) input.keyboard, "first", 1, 0, 255);
  refuses ((Device *) input.keyboard, "count", 1, 0, 255);
  refuses ((Device *) input.keyboard, "set", 0, 0, 4);
  refuses ((Device *) input.keyboard, "set", 0, 0, 0);
  refuses ((Device *) input.keyboard, "types", 0, 9, 4);
  refuses ((Device *) input.keyboard, "command", 0, 0, 0xf4);
  refuses ((Device *) input.mouse, "first", 1, 0, 64);
  refuses ((Device *) input.mouse, "count", 0, 0, 65);
  refuses ((Device *) input.mouse, "mode", 0, 0, 4);
  refuses ((Device *) input.mouse, "id", 0, 0, 2);
  refuses ((Device *) input.mouse, "dx", 0, 3, 0x7f);
  refuses ((Device *) input.mouse, "rate", 0, 0, 0);
  refuses ((Device *) input.controller, "output_source", 0, 0, 3);
  refuses ((Device *) input.controller, "reply_waiting", 0, 0, 1);
  refuses ((Device *) input.controller, "break_code", 0, 0, 1);
  refuses ((Device *) input.vmmouse, "first", 0, 1, 1);
  refuses ((Device *) input.vmmouse, "count", 0, 1, 2);
  input_clear (&input);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/i8042/self-tests", test_self_tests);
  g_test_add_func ("/i8042/command-byte-and-ram", test_command_byte_and_ram);
  g_test_add_func ("/i8042/disabled-keyboard-waits", test_disabled_keyboard_waits);
  g_test_add_func ("/i8042/interrupt-lines", test_interrupt_lines);
  g_test_add_func ("/i8042/byte-stays-readable-for-a-while", test_byte_stays_readable_for_a_while);
  g_test_add_func ("/i8042/every-byte-is-an-edge", test_every_byte_is_an_edge);
  g_test_add_func ("/i8042/answer-waits-for-the-register", test_answer_waits_for_the_register);
  g_test_add_func ("/i8042/output-port", test_output_port);
  g_test_add_func ("/i8042/pulse-resets", test_pulse_resets);
  g_test_add_func ("/i8042/write-output-buffers", test_write_output_buffers);
  g_test_add_func ("/keyboard/translation-table", test_translation_table);
  g_test_add_func ("/keyboard/set-1", test_set_1);
  g_test_add_func ("/keyboard/set-2", test_set_2);
  g_test_add_func ("/keyboard/set-3", test_set_3);
  g_test_add_func ("/keyboard/pause", test_pause);
  g_test_add_func ("/keyboard/print-screen", test_print_screen);
  g_test_add_func ("/keyboard/commands", test_keyboard_commands);
  g_test_add_func ("/keyboard/translated-id", test_translated_id);
  g_test_add_func ("/keyboard/scanning-off", test_scanning_off);
  g_test_add_func ("/keyboard/answers-go-first", test_answers_go_first);
  g_test_add_func ("/keyboard/overrun", test_overrun);
  g_test_add_func ("/mouse/reset-and-id", test_mouse_reset_and_id);
  g_test_add_func ("/mouse/stream", test_mouse_stream);
  g_test_add_func ("/mouse/movement-adds-up", test_mouse_movement_adds_up);
  g_test_add_func ("/mouse/wheel-knock", test_mouse_wheel_knock);
  g_test_add_func ("/mouse/five-button-knock", test_mouse_five_button_knock);
  g_test_add_func ("/mouse/remote", test_mouse_remote);
  g_test_add_func ("/mouse/wrap", test_mouse_wrap);
  g_test_add_func ("/mouse/scaling", test_mouse_scaling);
  g_test_add_func ("/mouse/bad-values", test_mouse_bad_values);
  g_test_add_func ("/mouse/disabled-interface", test_mouse_disabled_interface);
  g_test_add_func ("/vmmouse/version", test_back_door_version);
  g_test_add_func ("/vmmouse/pointer", test_back_door_pointer);
  g_test_add_func ("/vmmouse/queue-is-bounded", test_back_door_queue_is_bounded);
  g_test_add_func ("/typing/text", test_type_text);
  g_test_add_func ("/typing/waits-for-a-slow-guest", test_type_waits_for_a_slow_guest);
  g_test_add_func ("/typing/refusals", test_type_refusals);
  g_test_add_func ("/typing/key-names", test_key_names);
  g_test_add_func ("/input/state/round-trip", test_state_round_trip);
  g_test_add_func ("/input/state/refuses-impossible-values", test_state_refuses_impossible_values);
  return g_test_run ();
}
