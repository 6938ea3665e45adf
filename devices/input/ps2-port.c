/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two queues of a PS/2 device.  See ps2-port.h. */
#include "ps2-port.h"

#include <errno.h>
#include <string.h>

static const StateField queue_fields[] = {
  STATE_FIELD (Ps2Queue, bytes, STATE_BYTES, 1),
  STATE_FIELD (Ps2Queue, first, STATE_UINT, 1),
  STATE_FIELD (Ps2Queue, count, STATE_UINT, 1),
  STATE_END,
};

const StateTable ps2_queue_state = { "ps2-queue", 1, queue_fields, NULL };

/* Scan code set 2 to set 1, the controller's table: what lies above it passes unchanged but for two keys. */
static const uint8_t translation[128] = {
  0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
  0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
  0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
  0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
  0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
  0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
  0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
  0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

uint8_t
ps2_set_2_to_set_1 (uint8_t code)
{
  if (code < 0x80)
    return translation[code];
  return code == 0x83 ? 0x41 : code == 0x84 ? 0x54 : code;
}

static bool
queue_put (Ps2Queue *queue, uint8_t byte)
{
  if (queue->count >= PS2_QUEUE_BYTES)
    return false;
  queue->bytes[(queue->first + queue->count) % PS2_QUEUE_BYTES] = byte;
  queue->count++;
  return true;
}

static uint8_t
queue_take (Ps2Queue *queue)
{
  uint8_t byte = queue->bytes[queue->first];

  queue->first = (uint8_t) ((queue->first + 1) % PS2_QUEUE_BYTES);
  queue->count--;
  return byte;
}

bool
ps2_port_has_byte (const Ps2Port *self)
{
  return self->replies->count || self->events->count;
}

uint8_t
ps2_port_take (Ps2Port *self)
{
  if (self->replies->count)
    self->last_sent = queue_take (self->replies);
  else if (self->events->count)
    self->last_sent = queue_take (self->events);
  else
    return 0;
  if (self->events->count == 0 && self->drained)
    self->drained (self);
  return self->last_sent;
}

static void
tell_controller (Ps2Port *self)
{
  if (self->ready)
    self->ready (self->controller);
}

void
ps2_port_reply (Ps2Port *self, uint8_t byte)
{
  queue_put (self->replies, byte);
  tell_controller (self);
}

bool
ps2_port_event (Ps2Port *self, unsigned limit, const uint8_t *bytes, unsigned n_bytes)
{
  if (limit > PS2_QUEUE_BYTES)
    limit = PS2_QUEUE_BYTES;
  if (self->events->count + n_bytes > limit)
    return false;
  for (unsigned i = 0; i < n_bytes; i++)
    queue_put (self->events, bytes[i]);
  tell_controller (self);
  return true;
}

void
ps2_port_clear (Ps2Port *self)
{
  memset (self->replies, 0, sizeof self->replies);
  memset (self->events, 0, sizeof self->events);
  self->last_sent = 0;
}

int
ps2_port_check (const Ps2Port *self)
{
  /* Indices from a state file past their buffer are how CVE-2017-16845 worked. */
  if (self->replies->first >= PS2_QUEUE_BYTES || self->replies->count > PS2_QUEUE_BYTES
      || self->events->first >= PS2_QUEUE_BYTES || self->events->count > PS2_QUEUE_BYTES)
    return -EBADMSG;
  return 0;
}
