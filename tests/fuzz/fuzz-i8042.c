/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keyboard controller, keyboard, mouse, back door and typing under port accesses, host input and hostile states. */
#include "bus.h"
#include "i8042.h"
#include "keyboard-text.h"
#include "physical-memory.h"
#include "ps2-keyboard.h"
#include "ps2-mouse.h"
#include "virtual-clock.h"
#include "vmmouse.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

typedef struct
{
  const uint8_t *bytes;
  size_t         left;
} Input;

static uint32_t registers[8];

static uint32_t
take (Input *input, unsigned n)
{
  uint32_t value = 0;

  while (n--)
    {
      value <<= 8;
      if (input->left)
        {
          value |= *input->bytes++;
          input->left--;
        }
    }
  return value;
}

static uint32_t
read_cpu (void *cpu, unsigned reg)
{
  return registers[reg];
}

static void
write_cpu (void *cpu, unsigned reg, uint32_t value)
{
  registers[reg] = value;
}

static void
restore_altered (Device *device, Input *input)
{
  StateBuffer buffer = { 0 };
  unsigned n = take (input, 1) & 7;

  state_save (device->klass->state, device, &buffer);
  while (n--)
    buffer.bytes[take (input, 2) % buffer.length] = (uint8_t) take (input, 1);
  if (state_restore (device->klass->state, device, buffer.bytes, buffer.length) < 0)
    device->klass->reset (device);
  state_buffer_clear (&buffer);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const IrqLine none;
  const BackDoorRegisters access = { read_cpu, write_cpu, NULL };
  static const uint32_t pointer_commands[] = { 0x45414552, 0xf5, 0x4c455252, 0x53424152 };
  DeviceHost host = { bus_new (), NULL, clock_new (CLOCK_MANUAL, NULL) };
  Ps2Keyboard *keyboard = NULL;
  Ps2Mouse *mouse = NULL;
  I8042 *controller = NULL;
  KeyboardText *typer = NULL;
  VmMouse *vmmouse = NULL;
  Input input = { bytes, n_bytes };
  Device *devices[5];

  clock_start (host.clock);
  if (ps2_keyboard_new (&keyboard) < 0 || ps2_mouse_new (&mouse) < 0
      || i8042_new (&host, ps2_keyboard_port (keyboard), ps2_mouse_port (mouse), &none, &none, &none, &none, &controller) < 0
      || keyboard_text_new (&host, keyboard, &typer) < 0 || vmmouse_new (&host, &access, mouse, &vmmouse) < 0)
    __builtin_trap ();
  devices[0] = (Device *) controller;
  devices[1] = (Device *) keyboard;
  devices[2] = (Device *) mouse;
  devices[3] = (Device *) vmmouse;
  devices[4] = (Device *) typer;
  while (input.left)
    switch (take (&input, 1) & 15)
      {
      case 0:
      case 1:
        bus_write_port (host.bus, 0x64, 1, take (&input, 1));
        break;
      case 2:
      case 3:
        bus_write_port (host.bus, 0x60, 1, take (&input, 1));
        break;
      case 4:
        bus_write_port (host.bus, 0x64, 1, 0xd4);
        bus_write_port (host.bus, 0x60, 1, take (&input, 1));
        break;
      case 5:
        bus_read_port (host.bus, 0x64, 1);
        bus_read_port (host.bus, 0x60, 1);
        break;
      case 6:
      case 7:
        clock_advance (host.clock, take (&input, 1) * 20000ull);
        clock_run_timers (host.clock);
        break;
      case 8:
      case 9:
        {
          unsigned code = take (&input, 1);

          ps2_keyboard_key (keyboard, code & 0x7f, code & 0x80);
          break;
        }
      case 10:
        {
          int dx = (int) take (&input, 4), dy = (int) take (&input, 2);

          ps2_mouse_move (mouse, dx, dy, (int) take (&input, 1) - 128, take (&input, 1));
          break;
        }
      case 11:
        {
          unsigned x = take (&input, 3), y = take (&input, 2);

          vmmouse_move (vmmouse, x, y, (int) take (&input, 1) - 128, take (&input, 1));
          break;
        }
      case 12:
        registers[BACK_DOOR_EAX] = 0x564d5868;
        registers[BACK_DOOR_ECX] = 38 + take (&input, 1) % 5;
        registers[BACK_DOOR_EBX] = registers[BACK_DOOR_ECX] == 41 ? pointer_commands[take (&input, 1) % 4] : take (&input, 1) % 6;
        bus_read_port (host.bus, 0x5658, 4);
        break;
      case 13:
        {
          size_t n = take (&input, 1) % 32;

          n = n > input.left ? input.left : n;
          keyboard_text_type (typer, (const char *) input.bytes, n);
          input.bytes += n;
          input.left -= n;
          break;
        }
      case 14:
        {
          char name[24] = "";

          for (unsigned i = 0; i < sizeof name - 1; i++)
            name[i] = (char) take (&input, 1);
          keyboard_text_key (typer, name);
          break;
        }
      default:
        restore_altered (devices[take (&input, 1) % 5], &input);
        break;
      }
  keyboard_text_class.finish (devices[4]);
  vmmouse_class.finish (devices[3]);
  i8042_class.finish (devices[0]);
  ps2_mouse_class.finish (devices[2]);
  ps2_keyboard_class.finish (devices[1]);
  clock_free (host.clock);
  bus_free (host.bus);
  return 0;
}
