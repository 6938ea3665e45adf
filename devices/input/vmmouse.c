/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Absolute pointer through the VMware back door, as the drivers of Linux and X.Org use it.
 *
 * The guest executes IN EAX,DX on port 5658h with a magic number in EAX and a command in CX; answers come in all of
 * EAX to EDX.  Events are groups of four words: flags and buttons, x, y, wheel. */
#include "vmmouse.h"

#include "bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BACK_DOOR_PORT = 0x5658, QUEUE_WORDS = 256, PACKET_WORDS = 4 };
enum { COMMAND_GET_VERSION = 10, COMMAND_POINTER_DATA = 39, COMMAND_POINTER_STATUS = 40, COMMAND_POINTER_COMMAND = 41 };
enum { BUTTON_LEFT = 0x20, BUTTON_RIGHT = 0x10, BUTTON_MIDDLE = 0x08 };

#define BACK_DOOR_MAGIC    0x564d5868u
#define BACK_DOOR_VERSION  6u
#define POINTER_VERSION    0x3442554au  /* "JUB4" */
#define POINTER_ENABLE     0x45414552u
#define POINTER_DISABLE    0x000000f5u
#define POINTER_RELATIVE   0x4c455252u
#define POINTER_ABSOLUTE   0x53424152u
#define POINTER_ERROR      0xffff0000u

struct VmMouse
{
  Device   parent;
  BackDoorRegisters registers;
  Ps2Mouse *mouse;
  uint8_t  enabled, absolute;
  uint32_t words[QUEUE_WORDS];
  uint16_t first, count;
};

static void
put_word (VmMouse *self, uint32_t word)
{
  self->words[(self->first + self->count) % QUEUE_WORDS] = word;
  self->count++;
}

static uint32_t
take_word (VmMouse *self)
{
  uint32_t word = self->words[self->first];

  if (!self->count)
    return 0;
  self->first = (self->first + 1) % QUEUE_WORDS;
  self->count--;
  return word;
}

static void
clear_queue (VmMouse *self)
{
  memset (self->words, 0, sizeof self->words);
  self->first = self->count = 0;
}

bool
vmmouse_is_absolute (const VmMouse *self)
{
  return self->enabled && self->absolute;
}

void
vmmouse_move (VmMouse *self, unsigned x, unsigned y, int dz, unsigned buttons)
{
  uint32_t flags = (buttons & MOUSE_BUTTON_LEFT ? BUTTON_LEFT : 0) | (buttons & MOUSE_BUTTON_RIGHT ? BUTTON_RIGHT : 0)
                   | (buttons & MOUSE_BUTTON_MIDDLE ? BUTTON_MIDDLE : 0);

  if (!vmmouse_is_absolute (self))
    return;
  x = x > MOUSE_ABSOLUTE_MAX ? MOUSE_ABSOLUTE_MAX : x;
  y = y > MOUSE_ABSOLUTE_MAX ? MOUSE_ABSOLUTE_MAX : y;
  dz = dz < -127 ? -127 : dz > 127 ? 127 : dz;
  if (self->count >= PACKET_WORDS && self->count % PACKET_WORDS == 0)
    {
      /* A position that the guest has not fetched and that changed nothing else gives way to the newer one. */
      unsigned last = (self->first + self->count - PACKET_WORDS) % QUEUE_WORDS;

      if (self->words[last] == flags && self->words[(last + 3) % QUEUE_WORDS] == 0 && dz == 0)
        {
          self->words[(last + 1) % QUEUE_WORDS] = x;
          self->words[(last + 2) % QUEUE_WORDS] = y;
          return;
        }
    }
  if (self->count + PACKET_WORDS > QUEUE_WORDS)
    return;
  put_word (self, flags);
  put_word (self, x);
  put_word (self, y);
  put_word (self, (uint32_t) dz);
  /* The driver looks here when bytes come from the mouse. */
  ps2_mouse_nudge (self->mouse);
}

static uint32_t
pointer_status (const VmMouse *self)
{
  return self->enabled ? self->count : POINTER_ERROR;
}

static void
pointer_command (VmMouse *self, uint32_t command)
{
  switch (command)
    {
    case POINTER_ENABLE:
      clear_queue (self);
      put_word (self, POINTER_VERSION);
      self->enabled = 1;
      break;
    case POINTER_DISABLE:
      clear_queue (self);
      self->enabled = self->absolute = 0;
      break;
    case POINTER_RELATIVE:
      self->absolute = 0;
      break;
    case POINTER_ABSOLUTE:
      self->absolute = 1;
      break;
    default:
      break;
    }
}

static uint32_t
read_register (const VmMouse *self, unsigned reg)
{
  return self->registers.read (self->registers.cpu, reg);
}

static void
write_register (const VmMouse *self, unsigned reg, uint32_t value)
{
  self->registers.write (self->registers.cpu, reg, value);
}

static uint64_t
back_door_read (Device *device, uint32_t offset, unsigned size)
{
  VmMouse *self = (VmMouse *) device;
  uint32_t value;

  /* Anything but the agreed call finds an empty port. */
  if (offset != 0 || read_register (self, BACK_DOOR_EAX) != BACK_DOOR_MAGIC)
    return UINT32_MAX;
  switch (read_register (self, BACK_DOOR_ECX) & 0xffff)
    {
    case COMMAND_GET_VERSION:
      write_register (self, BACK_DOOR_EBX, BACK_DOOR_MAGIC);
      write_register (self, BACK_DOOR_ECX, 2);  /* the product: a workstation */
      return BACK_DOOR_VERSION;
    case COMMAND_POINTER_STATUS:
      return pointer_status (self);
    case COMMAND_POINTER_COMMAND:
      pointer_command (self, read_register (self, BACK_DOOR_EBX));
      return pointer_status (self);
    case COMMAND_POINTER_DATA:
      {
        static const uint8_t registers[] = { BACK_DOOR_EBX, BACK_DOOR_ECX, BACK_DOOR_EDX };
        uint32_t n = read_register (self, BACK_DOOR_EBX);

        if (!self->enabled || n == 0 || n > PACKET_WORDS || n > self->count)
          return POINTER_ERROR;
        value = take_word (self);
        for (unsigned i = 1; i < n; i++)
          write_register (self, registers[i - 1], take_word (self));
        return value;
      }
    default:
      return UINT32_MAX;
    }
}

static const BusRegion back_door_region = { "back-door", BUS_SIZE_4, back_door_read, NULL };

static void
vmmouse_reset (Device *device)
{
  VmMouse *self = (VmMouse *) device;

  clear_queue (self);
  self->enabled = self->absolute = 0;
}

static void
vmmouse_finish (Device *device)
{
  free (device);
}

static int
vmmouse_check (Device *device)
{
  const VmMouse *self = (const VmMouse *) device;

  return self->first >= QUEUE_WORDS || self->count > QUEUE_WORDS || self->enabled > 1 || self->absolute > 1 ? -EBADMSG : 0;
}

static const StateField vmmouse_fields[] = {
  STATE_FIELD (VmMouse, enabled, STATE_UINT, 1),
  STATE_FIELD (VmMouse, absolute, STATE_UINT, 1),
  STATE_FIELD (VmMouse, words, STATE_BYTES, 1),
  STATE_FIELD (VmMouse, first, STATE_UINT, 1),
  STATE_FIELD (VmMouse, count, STATE_UINT, 1),
  STATE_END,
};

static const StateTable vmmouse_state = { "vmmouse", 1, vmmouse_fields, vmmouse_check };

const DeviceClass vmmouse_class = { "vmmouse", sizeof (VmMouse), &vmmouse_state, vmmouse_reset, vmmouse_finish };

int
vmmouse_new (const DeviceHost *host, const BackDoorRegisters *registers, Ps2Mouse *mouse, VmMouse **ret_vmmouse)
{
  VmMouse *self = calloc (1, sizeof *self);
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &vmmouse_class;
  self->registers = *registers;
  self->mouse = mouse;
  result = bus_claim_ports (host->bus, &self->parent, &back_door_region, BACK_DOOR_PORT, 4);
  if (result < 0)
    {
      vmmouse_finish (&self->parent);
      return result;
    }
  *ret_vmmouse = self;
  return 0;
}
