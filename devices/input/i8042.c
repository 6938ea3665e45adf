/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The 8042 keyboard controller with its PS/2 firmware (IBM PS/2 hardware interface technical reference, "Keyboard and
 * auxiliary device controller").
 *
 * A byte on the cable takes its time: after the host has read one, the next arrives half a millisecond later, and the
 * output register shows the old one until then.  DOS programs rely on it when they read port 60h and then call the
 * BIOS's interrupt routine, which reads it again. */
#include "i8042.h"

#include "bus.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_NS 500000ull

enum { RAM_BYTES = 32 };

enum
{
  STATUS_OUTPUT_FULL = 0x01, STATUS_SYSTEM = 0x04, STATUS_COMMAND = 0x08, STATUS_UNLOCKED = 0x10, STATUS_AUX = 0x20,
};

/* Bits of the command byte, which is byte 0 of the controller's RAM. */
enum
{
  COMMAND_IRQ_1 = 0x01, COMMAND_IRQ_12 = 0x02, COMMAND_SYSTEM = 0x04, COMMAND_DISABLE_KEYBOARD = 0x10, COMMAND_DISABLE_AUX = 0x20,
  COMMAND_TRANSLATE = 0x40,
};

enum { OUTPUT_NOT_RESET = 0x01, OUTPUT_A20 = 0x02, OUTPUT_IRQ_1 = 0x10, OUTPUT_IRQ_12 = 0x20 };

typedef enum { FROM_CONTROLLER, FROM_KEYBOARD, FROM_AUX, N_SOURCES } Source;

struct I8042
{
  Device   parent;
  Clock   *clock;
  Ps2Port *keyboard, *mouse;
  IrqLine  irq_1, irq_12, a20, cpu_reset;
  Timer   *timer;
  bool     fetching;

  uint8_t  ram[RAM_BYTES];
  uint8_t  output, output_full, output_source;
  uint8_t  reply, reply_waiting, reply_source;  /* the controller's own answer, while the register is full */
  uint8_t  output_port;
  uint8_t  command;             /* of port 64h, whose data byte is awaited; 0: none */
  uint8_t  last_was_command;
  uint8_t  break_code;          /* F0 was translated away, the next code gets bit 7 */
  uint64_t next_byte_ns;        /* the cable is busy until then */
};

static void
update_lines (I8042 *self)
{
  bool aux = self->output_full && self->output_source == FROM_AUX;
  bool keyboard = self->output_full && !aux;

  irq_line_set (&self->irq_1, keyboard && self->ram[0] & COMMAND_IRQ_1);
  irq_line_set (&self->irq_12, aux && self->ram[0] & COMMAND_IRQ_12);
}

static void
fill_output (I8042 *self, uint8_t byte, Source source)
{
  self->output = byte;
  self->output_source = source;
  self->output_full = 1;
  update_lines (self);
}

/* An answer of the controller itself waits only for the register, not for the cable. */
static void
answer (I8042 *self, uint8_t byte, Source source)
{
  if (!self->output_full)
    {
      fill_output (self, byte, source);
      return;
    }
  self->reply = byte;
  self->reply_source = source;
  self->reply_waiting = 1;
}

static bool
keyboard_has_byte (const I8042 *self)
{
  return !(self->ram[0] & COMMAND_DISABLE_KEYBOARD) && ps2_port_has_byte (self->keyboard);
}

static bool
mouse_has_byte (const I8042 *self)
{
  return self->mouse && !(self->ram[0] & COMMAND_DISABLE_AUX) && ps2_port_has_byte (self->mouse);
}

/* Takes the next byte from a cable if the register is free and the time has come. */
static void
fetch (I8042 *self)
{
  uint64_t now;

  /* A device that makes its next event while the last is taken calls back here. */
  if (self->fetching || self->output_full || (!keyboard_has_byte (self) && !mouse_has_byte (self)))
    return;
  now = clock_now_ns (self->clock);
  if (now < self->next_byte_ns)
    {
      timer_arm (self->timer, self->next_byte_ns);
      return;
    }
  self->fetching = true;
  /* A break prefix that translation swallows costs no turn; queues are short, so this ends. */
  while (!self->output_full && keyboard_has_byte (self))
    {
      uint8_t byte = ps2_port_take (self->keyboard);

      if (self->ram[0] & COMMAND_TRANSLATE)
        {
          if (byte == 0xf0)
            {
              self->break_code = 0x80;
              continue;
            }
          byte = ps2_set_2_to_set_1 (byte) | self->break_code;
          self->break_code = 0;
        }
      fill_output (self, byte, FROM_KEYBOARD);
    }
  if (!self->output_full && mouse_has_byte (self))
    fill_output (self, ps2_port_take (self->mouse), FROM_AUX);
  self->fetching = false;
}

static void
fetch_later (Device *device)
{
  fetch ((I8042 *) device);
}

static void
port_ready (void *controller)
{
  fetch (controller);
}

static uint8_t
read_output_port (const I8042 *self)
{
  uint8_t value = self->output_port;

  if (self->output_full)
    value |= self->output_source == FROM_AUX ? OUTPUT_IRQ_12 : OUTPUT_IRQ_1;
  return value | 0xcc;          /* keyboard data and clock lines idle, unused bits high */
}

static void
write_output_port (I8042 *self, uint8_t value)
{
  self->output_port = value & (OUTPUT_NOT_RESET | OUTPUT_A20);
  irq_line_set (&self->a20, self->output_port & OUTPUT_A20);
  if (!(value & OUTPUT_NOT_RESET))
    {
      self->output_port |= OUTPUT_NOT_RESET;
      irq_line_pulse (&self->cpu_reset);
    }
}

static void
write_command_byte (I8042 *self, uint8_t value)
{
  self->ram[0] = value;
  update_lines (self);
  fetch (self);
}

static void
run_command (I8042 *self, uint8_t command)
{
  self->command = 0;
  if (command >= 0x20 && command <= 0x3f)
    {
      answer (self, self->ram[command - 0x20], FROM_CONTROLLER);
      return;
    }
  if (command >= 0xf0)
    {
      /* Pulses the output port's low bits whose place is zero; only the reset line notices. */
      if (!(command & 1))
        irq_line_pulse (&self->cpu_reset);
      return;
    }
  switch (command)
    {
    case 0xa4:
      answer (self, 0xf1, FROM_CONTROLLER);     /* no password is loaded */
      break;
    case 0xa7:
      self->ram[0] |= COMMAND_DISABLE_AUX;
      break;
    case 0xa8:
      self->ram[0] &= (uint8_t) ~COMMAND_DISABLE_AUX;
      fetch (self);
      break;
    case 0xa9:
      answer (self, self->mouse ? 0x00 : 0x02, FROM_CONTROLLER);
      break;
    case 0xaa:
      self->ram[0] |= COMMAND_SYSTEM;
      answer (self, 0x55, FROM_CONTROLLER);
      break;
    case 0xab:
      answer (self, 0x00, FROM_CONTROLLER);
      break;
    case 0xad:
      self->ram[0] |= COMMAND_DISABLE_KEYBOARD;
      break;
    case 0xae:
      self->ram[0] &= (uint8_t) ~COMMAND_DISABLE_KEYBOARD;
      fetch (self);
      break;
    case 0xc0:
      answer (self, 0x80, FROM_CONTROLLER);     /* input port: the keyboard is not locked */
      break;
    case 0xd0:
      answer (self, read_output_port (self), FROM_CONTROLLER);
      break;
    case 0xdd:
      write_output_port (self, self->output_port & (uint8_t) ~OUTPUT_A20);
      break;
    case 0xdf:
      write_output_port (self, self->output_port | OUTPUT_A20);
      break;
    case 0xe0:
      answer (self, 0x00, FROM_CONTROLLER);     /* test inputs: both clock lines low between bytes */
      break;
    default:
      /* Those that want a byte at port 60h: write RAM, output port, output buffers, mouse; passwords are swallowed. */
      if ((command >= 0x60 && command <= 0x7f) || (command >= 0xd1 && command <= 0xd4) || command == 0xa5)
        self->command = command;
      break;
    }
}

static void
write_data (I8042 *self, uint8_t value)
{
  uint8_t command = self->command;

  /* The password ends with a zero byte. */
  if (command != 0xa5 || value == 0)
    self->command = 0;
  if (command == 0x60)
    write_command_byte (self, value);
  else if (command > 0x60 && command <= 0x7f)
    self->ram[command - 0x60] = value;
  else
    switch (command)
      {
      case 0xa5:
        break;
      case 0xd1:
        write_output_port (self, value);
        break;
      case 0xd2:
        answer (self, value, FROM_KEYBOARD);
        break;
      case 0xd3:
        answer (self, value, FROM_AUX);
        break;
      case 0xd4:
        self->ram[0] &= (uint8_t) ~COMMAND_DISABLE_AUX;
        if (self->mouse)
          self->mouse->command (self->mouse, value);
        break;
      default:
        /* To talk to the keyboard the controller must let its clock go. */
        self->ram[0] &= (uint8_t) ~COMMAND_DISABLE_KEYBOARD;
        self->keyboard->command (self->keyboard, value);
        break;
      }
}

static uint64_t
data_read (Device *device, uint32_t offset, unsigned size)
{
  I8042 *self = (I8042 *) device;
  uint8_t value = self->output;

  if (!self->output_full)
    return value;
  self->output_full = 0;
  update_lines (self);
  if (self->reply_waiting)
    {
      self->reply_waiting = 0;
      fill_output (self, self->reply, (Source) self->reply_source);
      return value;
    }
  self->next_byte_ns = clock_now_ns (self->clock) + BYTE_NS;
  fetch (self);
  return value;
}

static void
data_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  I8042 *self = (I8042 *) device;

  self->last_was_command = 0;
  write_data (self, (uint8_t) value);
}

static uint64_t
status_read (Device *device, uint32_t offset, unsigned size)
{
  const I8042 *self = (I8042 *) device;
  uint8_t value = STATUS_UNLOCKED;

  if (self->output_full)
    value |= self->output_source == FROM_AUX ? STATUS_OUTPUT_FULL | STATUS_AUX : STATUS_OUTPUT_FULL;
  if (self->ram[0] & COMMAND_SYSTEM)
    value |= STATUS_SYSTEM;
  if (self->last_was_command)
    value |= STATUS_COMMAND;
  return value;
}

static void
command_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  I8042 *self = (I8042 *) device;

  self->last_was_command = 1;
  run_command (self, (uint8_t) value);
}

static const BusRegion data_region = { "i8042-data", BUS_SIZE_1, data_read, data_write };
static const BusRegion status_region = { "i8042-command", BUS_SIZE_1, status_read, command_write };

void
i8042_a20_moved (I8042 *self, bool open)
{
  self->output_port = (uint8_t) ((self->output_port & ~OUTPUT_A20) | (open ? OUTPUT_A20 : 0));
}

static void
i8042_reset (Device *device)
{
  I8042 *self = (I8042 *) device;

  memset (self->ram, 0, sizeof self->ram);
  self->ram[0] = COMMAND_IRQ_1 | COMMAND_TRANSLATE;
  self->output = self->output_full = self->output_source = 0;
  self->reply = self->reply_waiting = self->reply_source = 0;
  self->output_port = OUTPUT_NOT_RESET | OUTPUT_A20;
  self->command = self->last_was_command = self->break_code = 0;
  self->next_byte_ns = 0;
  timer_disarm (self->timer);
  update_lines (self);
  irq_line_set (&self->a20, true);
}

static void
i8042_finish (Device *device)
{
  I8042 *self = (I8042 *) device;

  if (!self)
    return;
  if (self->keyboard)
    self->keyboard->ready = NULL;
  if (self->mouse)
    self->mouse->ready = NULL;
  timer_free (self->timer);
  free (self);
}

static int
i8042_check (Device *device)
{
  I8042 *self = (I8042 *) device;

  if (self->output_full > 1 || self->output_source >= N_SOURCES || self->reply_waiting > 1 || self->reply_source >= N_SOURCES
      || (self->reply_waiting && !self->output_full) || (self->break_code & 0x7f) || self->last_was_command > 1)
    return -EBADMSG;
  /* Not an error: the clock may be restored after its devices.  But no state makes the cable busy for years. */
  if (self->next_byte_ns > clock_now_ns (self->clock) + BYTE_NS)
    self->next_byte_ns = clock_now_ns (self->clock) + BYTE_NS;
  update_lines (self);
  irq_line_set (&self->a20, self->output_port & OUTPUT_A20);
  return 0;
}

static const StateField i8042_fields[] = {
  STATE_FIELD (I8042, ram, STATE_BYTES, 1),
  STATE_FIELD (I8042, output, STATE_UINT, 1),
  STATE_FIELD (I8042, output_full, STATE_UINT, 1),
  STATE_FIELD (I8042, output_source, STATE_UINT, 1),
  STATE_FIELD (I8042, reply, STATE_UINT, 1),
  STATE_FIELD (I8042, reply_waiting, STATE_UINT, 1),
  STATE_FIELD (I8042, reply_source, STATE_UINT, 1),
  STATE_FIELD (I8042, output_port, STATE_UINT, 1),
  STATE_FIELD (I8042, command, STATE_UINT, 1),
  STATE_FIELD (I8042, last_was_command, STATE_UINT, 1),
  STATE_FIELD (I8042, break_code, STATE_UINT, 1),
  STATE_FIELD (I8042, next_byte_ns, STATE_UINT, 1),
  STATE_FIELD (I8042, timer, STATE_TIMER, 1),
  STATE_END,
};

static const StateTable i8042_state = { "i8042", 1, i8042_fields, i8042_check };

const DeviceClass i8042_class = { "i8042", sizeof (I8042), &i8042_state, i8042_reset, i8042_finish };

int
i8042_new (const DeviceHost *host, Ps2Port *keyboard, Ps2Port *mouse, const IrqLine *irq_1, const IrqLine *irq_12,
           const IrqLine *a20, const IrqLine *cpu_reset, I8042 **ret_controller)
{
  I8042 *self = calloc (1, sizeof *self);
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &i8042_class;
  self->clock = host->clock;
  self->irq_1 = *irq_1;
  self->irq_12 = *irq_12;
  self->a20 = *a20;
  self->cpu_reset = *cpu_reset;
  self->timer = clock_add_timer (host->clock, &self->parent, fetch_later);
  result = self->timer ? bus_claim_ports (host->bus, &self->parent, &data_region, 0x60, 1) : -ENOMEM;
  if (result == 0)
    {
      result = bus_claim_ports (host->bus, &self->parent, &status_region, 0x64, 1);
      if (result < 0)
        bus_release (host->bus, &self->parent, &data_region);
    }
  if (result < 0)
    {
      i8042_finish (&self->parent);
      return result;
    }
  self->keyboard = keyboard;
  self->mouse = mouse;
  keyboard->ready = port_ready;
  keyboard->controller = self;
  if (mouse)
    {
      mouse->ready = port_ready;
      mouse->controller = self;
    }
  i8042_reset (&self->parent);
  *ret_controller = self;
  return 0;
}
