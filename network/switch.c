/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "switch.h"

#include <string.h>

void
switch_init (Switch *self, void (*deliver) (void *data, unsigned port, const uint8_t *frame, size_t n_bytes), void *data)
{
  memset (self, 0, sizeof *self);
  self->deliver = deliver;
  self->data = data;
}

void
switch_plug (Switch *self, unsigned port)
{
  self->ports[port] = true;
}

void
switch_unplug (Switch *self, unsigned port)
{
  self->ports[port] = false;
  for (unsigned i = 0; i < SWITCH_TABLE_SIZE; i++)
    if (self->table[i].port == port)
      self->table[i].used = false;
}

static SwitchEntry *
entry_of (Switch *self, const uint8_t *address)
{
  uint32_t hash = 2166136261u;

  for (unsigned i = 0; i < 6; i++)
    hash = (hash ^ address[i]) * 16777619u;
  return &self->table[hash % SWITCH_TABLE_SIZE];
}

void
switch_frame (Switch *self, unsigned port, const uint8_t *frame, size_t n_bytes)
{
  const SwitchEntry *to;
  SwitchEntry *from;

  if (n_bytes < 14 || n_bytes > SWITCH_MAX_FRAME || !self->ports[port])
    return;
  self->n_frames++;
  from = entry_of (self, frame + 6);
  if (!(frame[6] & 1))
    {
      from->used = true;
      from->port = (uint8_t) port;
      memcpy (from->address, frame + 6, 6);
    }
  to = entry_of (self, frame);
  if (!(frame[0] & 1) && to->used && memcmp (to->address, frame, 6) == 0)
    {
      if (to->port != port)
        self->deliver (self->data, to->port, frame, n_bytes);
      return;
    }
  for (unsigned i = 0; i < SWITCH_MAX_PORTS; i++)
    if (self->ports[i] && i != port)
      self->deliver (self->data, i, frame, n_bytes);
}
