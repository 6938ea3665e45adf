/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The mouse's side of the cable (IBM PS/2 hardware interface technical reference, "Mouse"; Microsoft's wheel and
 * five-button extensions by their knock sequences).
 *
 * Movements collect in counters; a packet is made when the last one has been fetched, so a slow guest gets fewer,
 * larger steps and never an old one.  A change of the buttons makes a packet at once as long as there is room. */
#include "ps2-mouse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MODE_STREAM, MODE_REMOTE, MODE_WRAP_STREAM, MODE_WRAP_REMOTE, N_MODES };
enum { ID_STANDARD = 0, ID_WHEEL = 3, ID_FIVE_BUTTONS = 4 };
enum { COUNTER_MAX = 32767, ALL_BUTTONS = 31 };

struct Ps2Mouse
{
  Ps2Port port;
  uint8_t mode, enabled, scaling, resolution, rate, id;
  uint8_t rates[2];             /* the two sample rates set before the last one: the knock */
  uint8_t command;              /* whose parameter is awaited; 0: none */
  uint8_t rejected;             /* the last byte was answered with "resend"; the next gets "error" */
  uint8_t buttons, sent_buttons;
  uint8_t moved;                /* there is something to report */
  int32_t dx, dy, dz;           /* since the last packet; dy upwards */
};

Ps2Port *
ps2_mouse_port (Ps2Mouse *self)
{
  return &self->port;
}

static int
clamp (int value, int least, int most)
{
  return value < least ? least : value > most ? most : value;
}

/* Scaling 2:1 stretches fast movements (stream mode only). */
static int
scale (int value)
{
  static const int8_t steps[] = { 0, 1, 1, 3, 6, 9 };
  int size = abs (value);

  size = size < 6 ? steps[size] : size * 2;
  return value < 0 ? -size : size;
}

/* Fills in the next packet and takes from the counters what it carries. Returns its length. */
static unsigned
make_packet (Ps2Mouse *self, uint8_t *bytes, bool stream)
{
  int dx = clamp (self->dx, -255, 255), dy = clamp (self->dy, -255, 255), dz;
  unsigned n = 3;

  self->dx -= dx;
  self->dy -= dy;
  if (stream && self->scaling)
    {
      dx = clamp (scale (dx), -255, 255);
      dy = clamp (scale (dy), -255, 255);
    }
  bytes[0] = (uint8_t) (0x08 | (dy < 0 ? 0x20 : 0) | (dx < 0 ? 0x10 : 0) | (self->buttons & 7));
  bytes[1] = (uint8_t) dx;
  bytes[2] = (uint8_t) dy;
  if (self->id == ID_WHEEL)
    {
      dz = clamp (self->dz, -128, 127);
      self->dz -= dz;
      bytes[n++] = (uint8_t) dz;
    }
  else if (self->id == ID_FIVE_BUTTONS)
    {
      dz = clamp (self->dz, -8, 7);
      self->dz -= dz;
      bytes[n++] = (uint8_t) ((dz & 15) | (self->buttons & (MOUSE_BUTTON_SIDE | MOUSE_BUTTON_EXTRA)) << 1);
    }
  else
    self->dz = 0;
  self->sent_buttons = self->buttons;
  self->moved = self->dx || self->dy || self->dz;
  return n;
}

static void
send_packets (Ps2Mouse *self)
{
  unsigned n_bytes = self->id == ID_STANDARD ? 3 : 4;

  if (self->mode != MODE_STREAM || !self->enabled)
    return;
  while (self->port.events->count == 0 ? self->moved || self->buttons != self->sent_buttons
         : self->buttons != self->sent_buttons && self->port.events->count + n_bytes <= PS2_QUEUE_BYTES)
    {
      uint8_t bytes[4];
      unsigned n = make_packet (self, bytes, true);

      ps2_port_event (&self->port, PS2_QUEUE_BYTES, bytes, n);
    }
}

static void
mouse_drained (Ps2Port *port)
{
  send_packets ((Ps2Mouse *) port);
}

void
ps2_mouse_move (Ps2Mouse *self, int dx, int dy, int dz, unsigned buttons)
{
  dx = clamp (dx, -COUNTER_MAX, COUNTER_MAX);
  dy = clamp (dy, -COUNTER_MAX, COUNTER_MAX);
  dz = clamp (dz, -COUNTER_MAX, COUNTER_MAX);
  /* A mouse that nobody listens to forgets. */
  if (!self->enabled && self->mode == MODE_STREAM)
    dx = dy = dz = 0;
  self->dx = clamp (self->dx + dx, -COUNTER_MAX, COUNTER_MAX);
  self->dy = clamp (self->dy - dy, -COUNTER_MAX, COUNTER_MAX);
  self->dz = clamp (self->dz + dz, -COUNTER_MAX, COUNTER_MAX);
  self->moved |= dx || dy || dz;
  self->buttons = buttons & ALL_BUTTONS;
  send_packets (self);
}

void
ps2_mouse_nudge (Ps2Mouse *self)
{
  self->moved = 1;
  send_packets (self);
}

bool
ps2_mouse_is_enabled (const Ps2Mouse *self)
{
  return self->enabled;
}

static void
forget_movement (Ps2Mouse *self)
{
  self->dx = self->dy = self->dz = 0;
  self->moved = 0;
  self->sent_buttons = self->buttons;
}

static void
set_defaults (Ps2Mouse *self)
{
  self->mode = MODE_STREAM;
  self->enabled = self->scaling = 0;
  self->resolution = 2;
  self->rate = 100;
  forget_movement (self);
}

static void
reply (Ps2Mouse *self, uint8_t byte)
{
  ps2_port_reply (&self->port, byte);
}

static void
reject (Ps2Mouse *self)
{
  reply (self, self->rejected ? PS2_ERROR : PS2_RESEND);
  self->rejected = !self->rejected;
}

static void
set_rate (Ps2Mouse *self, uint8_t rate)
{
  self->rate = rate;
  if (self->rates[0] == 200 && self->rates[1] == 100 && rate == 80 && self->id == ID_STANDARD)
    self->id = ID_WHEEL;
  else if (self->rates[0] == 200 && self->rates[1] == 200 && rate == 80 && self->id != ID_STANDARD)
    self->id = ID_FIVE_BUTTONS;
  self->rates[0] = self->rates[1];
  self->rates[1] = rate;
}

static bool
is_rate (uint8_t rate)
{
  return rate == 10 || rate == 20 || rate == 40 || rate == 60 || rate == 80 || rate == 100 || rate == 200;
}

static void
take_parameter (Ps2Mouse *self, uint8_t byte)
{
  uint8_t command = self->command;

  if (command == 0xe8 ? byte > 3 : !is_rate (byte))
    {
      /* The command stays open for a better value once. */
      if (self->rejected)
        self->command = 0;
      reject (self);
      return;
    }
  self->command = self->rejected = 0;
  if (command == 0xe8)
    self->resolution = byte;
  else
    set_rate (self, byte);
  reply (self, PS2_ACK);
}

static void
send_status (Ps2Mouse *self)
{
  reply (self, PS2_ACK);
  reply (self, (uint8_t) ((self->mode == MODE_REMOTE ? 0x40 : 0) | (self->enabled ? 0x20 : 0) | (self->scaling ? 0x10 : 0)
                          | (self->buttons & MOUSE_BUTTON_LEFT ? 4 : 0) | (self->buttons & MOUSE_BUTTON_MIDDLE ? 2 : 0)
                          | (self->buttons & MOUSE_BUTTON_RIGHT ? 1 : 0)));
  reply (self, self->resolution);
  reply (self, self->rate);
}

static void
run_command (Ps2Mouse *self, uint8_t byte)
{
  bool was_rejected = self->rejected;
  uint8_t bytes[4];
  unsigned n;

  self->rejected = 0;
  switch (byte)
    {
    case 0xe6:
    case 0xe7:
      self->scaling = byte == 0xe7;
      reply (self, PS2_ACK);
      break;
    case 0xe8:
    case 0xf3:
      self->command = byte;
      reply (self, PS2_ACK);
      break;
    case 0xe9:
      send_status (self);
      break;
    case 0xea:
    case 0xf0:
      self->mode = byte == 0xea ? MODE_STREAM : MODE_REMOTE;
      forget_movement (self);
      reply (self, PS2_ACK);
      break;
    case 0xeb:
      reply (self, PS2_ACK);
      n = make_packet (self, bytes, false);
      for (unsigned i = 0; i < n; i++)
        reply (self, bytes[i]);
      break;
    case 0xec:                  /* out of wrap mode; handled there, otherwise nothing to leave */
      reply (self, PS2_ACK);
      break;
    case 0xee:
      self->mode = self->mode == MODE_REMOTE ? MODE_WRAP_REMOTE : MODE_WRAP_STREAM;
      reply (self, PS2_ACK);
      break;
    case 0xf2:
      reply (self, PS2_ACK);
      reply (self, self->id);
      break;
    case 0xf4:
      self->enabled = 1;
      forget_movement (self);
      reply (self, PS2_ACK);
      break;
    case 0xf5:
      self->enabled = 0;
      forget_movement (self);
      reply (self, PS2_ACK);
      break;
    case 0xf6:
      set_defaults (self);
      reply (self, PS2_ACK);
      break;
    case 0xff:
      set_defaults (self);
      self->id = ID_STANDARD;
      memset (self->rates, 0, sizeof self->rates);
      reply (self, PS2_ACK);
      reply (self, PS2_SELF_TEST_PASSED);
      reply (self, self->id);
      break;
    default:
      self->rejected = was_rejected;
      reject (self);
      break;
    }
}

static void
mouse_command (Ps2Port *port, uint8_t byte)
{
  Ps2Mouse *self = (Ps2Mouse *) port;

  if (self->mode >= MODE_WRAP_STREAM && byte != 0xec && byte != 0xff)
    {
      reply (self, byte);
      return;
    }
  if (byte == PS2_RESEND)
    {
      reply (self, port->last_sent);
      return;
    }
  /* A command ends whatever was on its way, half a packet included. */
  memset (port->replies, 0, sizeof port->replies);
  memset (port->events, 0, sizeof port->events);
  if (self->mode >= MODE_WRAP_STREAM && byte == 0xec)
    self->mode = self->mode == MODE_WRAP_REMOTE ? MODE_REMOTE : MODE_STREAM;
  if (self->command && byte != 0xff)
    take_parameter (self, byte);
  else
    {
      self->command = 0;
      run_command (self, byte);
    }
}

static void
mouse_reset (Device *device)
{
  Ps2Mouse *self = (Ps2Mouse *) device;

  ps2_port_clear (&self->port);
  self->buttons = 0;
  set_defaults (self);
  self->id = ID_STANDARD;
  self->command = self->rejected = 0;
  memset (self->rates, 0, sizeof self->rates);
}

static void
mouse_finish (Device *device)
{
  free (device);
}

static bool
counter_ok (int32_t value)
{
  return value >= -COUNTER_MAX && value <= COUNTER_MAX;
}

static int
mouse_check (Device *device)
{
  Ps2Mouse *self = (Ps2Mouse *) device;

  if (ps2_port_check (&self->port) < 0 || self->mode >= N_MODES || self->enabled > 1 || self->scaling > 1 || self->resolution > 3
      || (self->id != ID_STANDARD && self->id != ID_WHEEL && self->id != ID_FIVE_BUTTONS) || self->rejected > 1
      || self->buttons > ALL_BUTTONS || self->sent_buttons > ALL_BUTTONS || self->moved > 1 || !is_rate (self->rate)
      || (self->command && self->command != 0xe8 && self->command != 0xf3)
      || !counter_ok (self->dx) || !counter_ok (self->dy) || !counter_ok (self->dz))
    return -EBADMSG;
  return 0;
}

static const StateField mouse_fields[] = {
  STATE_NESTED (Ps2Mouse, port.replies, &ps2_queue_state, 1),
  STATE_NESTED (Ps2Mouse, port.events, &ps2_queue_state, 1),
  STATE_FIELD (Ps2Mouse, port.last_sent, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, mode, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, enabled, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, scaling, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, resolution, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, rate, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, id, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, rates, STATE_BYTES, 1),
  STATE_FIELD (Ps2Mouse, command, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, rejected, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, buttons, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, sent_buttons, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, moved, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, dx, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, dy, STATE_UINT, 1),
  STATE_FIELD (Ps2Mouse, dz, STATE_UINT, 1),
  STATE_END,
};

static const StateTable mouse_state = { "ps2-mouse", 1, mouse_fields, mouse_check };

const DeviceClass ps2_mouse_class = { "ps2-mouse", sizeof (Ps2Mouse), &mouse_state, mouse_reset, mouse_finish };

int
ps2_mouse_new (Ps2Mouse **ret_mouse)
{
  Ps2Mouse *self = calloc (1, sizeof *self);

  if (!self)
    return -ENOMEM;
  self->port.parent.klass = &ps2_mouse_class;
  self->port.command = mouse_command;
  self->port.drained = mouse_drained;
  mouse_reset (&self->port.parent);
  *ret_mouse = self;
  return 0;
}
