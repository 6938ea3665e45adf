/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Intel 8237A, order number 231466 ("DS"), twice, and the page registers of the AT.
 *
 * Bus timing (compressed, extended write, DREQ and DACK sense) has no meaning here; the bits are kept.
 * A software request on a channel other than memory-to-memory's would run cycles with no device at the other end; it is
 * only shown in the status register. */
#include "dma.h"

#include "bus.h"
#include "guest-memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { N_CONTROLLERS = 2, PER_CONTROLLER = 4, N_PAGES = 16 };

enum
{
  REG_COMMAND = 8 /* write; status when read */, REG_REQUEST = 9, REG_MASK = 10, REG_MODE = 11, REG_CLEAR_FLIP_FLOP = 12,
  REG_MASTER_CLEAR = 13 /* temporary when read */, REG_CLEAR_MASK = 14, REG_ALL_MASK = 15,
  COMMAND_MEMORY_TO_MEMORY = 1 << 0, COMMAND_HOLD_0 = 1 << 1, COMMAND_DISABLE = 1 << 2,
  MODE_TYPE = 3 << 2, TYPE_VERIFY = 0 << 2, TYPE_WRITE = 1 << 2, TYPE_READ = 2 << 2,
  MODE_AUTO = 1 << 4, MODE_DECREMENT = 1 << 5, MODE_SERVICE = 3 << 6, SERVICE_CASCADE = 3 << 6,
};

typedef struct
{
  uint16_t base_address, base_count, address, count;
  uint8_t  mode;                /* bits 2 … 7 of the mode register */
} Channel;

typedef struct
{
  Channel channels[PER_CONTROLLER];
  uint8_t command, temporary;
  uint8_t mask, soft_request, request, terminal;        /* one bit per channel */
  uint8_t high_byte;            /* the flip-flop */
} Controller;

typedef struct
{
  void  (*ready) (Device *listener);
  Device *listener;
  bool    was_ready;
} Listener;

struct Dma
{
  Device       parent;
  GuestMemory *memory;
  Controller   controllers[N_CONTROLLERS];
  uint8_t      pages[N_PAGES];
  Listener     listeners[DMA_N_CHANNELS];
};

/* Which register of 80h … 8fh holds a channel's page (AT technical reference, "DMA page registers"). */
static const uint8_t page_of[DMA_N_CHANNELS] = { 0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa };

/* --- Moving data ---------------------------------------------------------------------------------------------- */

/* Byte address of the current transfer.  Word channels shift the address and ignore the page's low bit.  Neither
 * carries into the page: addresses wrap at 64 K transfers. */
static uint32_t
memory_address (const Dma *self, unsigned channel)
{
  uint32_t page = self->pages[page_of[channel]];
  uint32_t address = self->controllers[channel / PER_CONTROLLER].channels[channel % PER_CONTROLLER].address;

  return channel < PER_CONTROLLER ? page << 16 | address : (page & 0xfe) << 16 | address << 1;
}

bool
dma_channel_ready (const Dma *self, unsigned channel)
{
  const Controller *controller;

  if (channel >= DMA_N_CHANNELS || channel == 4)
    return false;
  controller = &self->controllers[channel / PER_CONTROLLER];
  /* The byte controller works through channel 4 of the other one. */
  if (channel < PER_CONTROLLER)
    {
      const Controller *second = &self->controllers[1];

      if ((second->command & COMMAND_DISABLE) || (second->mask & 1)
          || (second->channels[0].mode & MODE_SERVICE) != SERVICE_CASCADE)
        return false;
    }
  return !(controller->command & COMMAND_DISABLE) && !(controller->mask & 1u << channel % PER_CONTROLLER)
         && (controller->channels[channel % PER_CONTROLLER].mode & MODE_SERVICE) != SERVICE_CASCADE;
}

uint32_t
dma_channel_left (const Dma *self, unsigned channel)
{
  return channel < DMA_N_CHANNELS
         ? self->controllers[channel / PER_CONTROLLER].channels[channel % PER_CONTROLLER].count + 1u : 0;
}

/* n transfers are done; n is at most count + 1.  True at the terminal count. */
static bool
count_down (Controller *controller, unsigned n_channel, uint32_t n)
{
  Channel *channel = &controller->channels[n_channel];
  bool     terminal = n > channel->count;

  channel->count -= (uint16_t) n;
  channel->address += (uint16_t) (channel->mode & MODE_DECREMENT ? 0u - n : n);
  if (terminal)
    {
      controller->terminal |= 1u << n_channel;
      controller->soft_request &= ~(1u << n_channel);
      /* DS "Autoinitialize": base registers are restored and the mask is left alone; otherwise it is set. */
      if (channel->mode & MODE_AUTO)
        {
          channel->address = channel->base_address;
          channel->count = channel->base_count;
        }
      else
        controller->mask |= 1u << n_channel;
    }
  return terminal;
}

/* Moves bytes at ascending memory addresses; they do not wrap inside. */
static void
move_up (Dma *self, uint32_t address, uint8_t type, uint8_t *bytes, size_t n_bytes)
{
  if (type == TYPE_READ)
    guest_memory_read (self->memory, address, bytes, n_bytes);
  else if (type == TYPE_WRITE)
    guest_memory_write (self->memory, address, bytes, n_bytes);
}

size_t
dma_channel_transfer (Dma *self, unsigned channel, DmaDirection direction, void *bytes, size_t n_bytes,
                      bool *ret_terminal_count)
{
  uint8_t    *at = bytes;
  unsigned    width = channel < PER_CONTROLLER ? 1 : 2;
  Controller *controller;
  Channel    *state;
  uint8_t     type;
  size_t      done = 0, n;
  bool        terminal = false;

  if (ret_terminal_count)
    *ret_terminal_count = false;
  if (!dma_channel_ready (self, channel))
    return 0;
  controller = &self->controllers[channel / PER_CONTROLLER];
  state = &controller->channels[channel % PER_CONTROLLER];
  type = state->mode & MODE_TYPE;
  if (type != (direction == DMA_TO_MEMORY ? TYPE_WRITE : TYPE_READ) || !self->memory)
    type = TYPE_VERIFY;
  n = n_bytes / width;
  if (n > state->count + 1u)
    n = state->count + 1u;
  if (n == 0)
    return 0;
  n_bytes = n * width;
  if (type == TYPE_VERIFY)
    {
      if (direction == DMA_FROM_MEMORY)
        memset (bytes, 0xff, n_bytes);
      terminal = count_down (controller, channel % PER_CONTROLLER, (uint32_t) n);
    }
  else
    while (done < n_bytes)
      {
        /* Up to the wrap of the 16-bit address; downwards one transfer at a time. */
        uint32_t run = state->mode & MODE_DECREMENT ? 1 : 0x10000u - state->address;

        if (run > (n_bytes - done) / width)
          run = (uint32_t) ((n_bytes - done) / width);
        move_up (self, memory_address (self, channel), type, at + done, (size_t) run * width);
        done += (size_t) run * width;
        terminal = count_down (controller, channel % PER_CONTROLLER, run);
      }
  self->listeners[channel].was_ready = dma_channel_ready (self, channel);
  if (ret_terminal_count)
    *ret_terminal_count = terminal;
  return n_bytes;
}

/* DS "Memory-to-memory": a software request on channel 0 moves bytes from channel 0's to channel 1's address until
 * channel 1's count runs out: at most 65536 cycles.  Only the byte controller has what it takes in a PC. */
static void
memory_to_memory (Dma *self)
{
  Controller *controller = &self->controllers[0];
  Channel    *source = &controller->channels[0], *target = &controller->channels[1];
  bool        terminal = false;

  if (!(controller->command & COMMAND_MEMORY_TO_MEMORY) || (controller->command & COMMAND_DISABLE) || !self->memory)
    return;
  while (!terminal)
    {
      guest_memory_read (self->memory, memory_address (self, 0), &controller->temporary, 1);
      guest_memory_write (self->memory, memory_address (self, 1), &controller->temporary, 1);
      if (!(controller->command & COMMAND_HOLD_0))
        source->address += source->mode & MODE_DECREMENT ? 0xffff : 1;
      source->count--;
      if (source->count == 0xffff && (source->mode & MODE_AUTO))
        {
          source->address = source->base_address;
          source->count = source->base_count;
        }
      terminal = target->count == 0;
      count_down (controller, 1, 1);
    }
  controller->soft_request &= ~1u;
}

/* --- Requests ------------------------------------------------------------------------------------------------- */

void
dma_channel_set_request (Dma *self, unsigned channel, bool level)
{
  Controller *controller;
  uint8_t     bit = (uint8_t) (1u << channel % PER_CONTROLLER);

  if (channel >= DMA_N_CHANNELS)
    return;
  controller = &self->controllers[channel / PER_CONTROLLER];
  controller->request = level ? controller->request | bit : controller->request & ~bit;
}

void
dma_channel_on_ready (Dma *self, unsigned channel, void (*ready) (Device *listener), Device *listener)
{
  if (channel < DMA_N_CHANNELS)
    self->listeners[channel] = (Listener) { ready, listener, dma_channel_ready (self, channel) };
}

static void
tell_listeners (Dma *self)
{
  for (unsigned i = 0; i < DMA_N_CHANNELS; i++)
    {
      Listener *listener = &self->listeners[i];
      bool      ready = dma_channel_ready (self, i);
      bool      became_ready = ready && !listener->was_ready;

      /* Noted first: the listener transfers, which may mask the channel again. */
      listener->was_ready = ready;
      if (became_ready && listener->ready)
        listener->ready (listener->listener);
    }
}

/* --- Registers ------------------------------------------------------------------------------------------------ */

static void
master_clear (Controller *self)
{
  self->command = self->temporary = 0;
  self->soft_request = self->terminal = 0;
  self->mask = 0xf;
  self->high_byte = 0;
}

/* Bytes of a 16-bit register, low first, by the flip-flop. */
static uint8_t
read_half (Controller *self, uint16_t value)
{
  uint8_t byte = (uint8_t) (self->high_byte ? value >> 8 : value);

  self->high_byte ^= 1;
  return byte;
}

static void
write_half (Controller *self, uint16_t *base, uint16_t *current, uint8_t value)
{
  /* DS "Base address and base word count": written together with the current registers. */
  *base = self->high_byte ? (*base & 0xff) | value << 8 : (*base & 0xff00) | value;
  *current = self->high_byte ? (*current & 0xff) | value << 8 : (*current & 0xff00) | value;
  self->high_byte ^= 1;
}

static uint64_t
controller_read (Dma *dma, unsigned n, unsigned reg)
{
  Controller *self = &dma->controllers[n];
  uint8_t     value;

  if (reg < 8)
    {
      const Channel *channel = &self->channels[reg / 2];

      return read_half (self, reg & 1 ? channel->count : channel->address);
    }
  switch (reg)
    {
    case REG_COMMAND:
      value = self->terminal | (uint8_t) ((self->request | self->soft_request) << 4);
      self->terminal = 0;
      return value;
    case REG_MASTER_CLEAR:
      return self->temporary;
    case REG_ALL_MASK:
      return self->mask | 0xf0; /* not on the 8237A: later chip sets, PIIX3 included, read the mask back here */
    default:
      return 0xff;              /* DS "Software command codes": illegal */
    }
}

static void
controller_write (Dma *dma, unsigned n, unsigned reg, uint8_t value)
{
  Controller *self = &dma->controllers[n];
  uint8_t     bit = (uint8_t) (1u << (value & 3));

  if (reg < 8)
    {
      Channel *channel = &self->channels[reg / 2];

      if (reg & 1)
        write_half (self, &channel->base_count, &channel->count, value);
      else
        write_half (self, &channel->base_address, &channel->address, value);
      return;
    }
  switch (reg)
    {
    case REG_COMMAND:
      self->command = value;
      break;
    case REG_REQUEST:
      self->soft_request = value & 4 ? self->soft_request | bit : self->soft_request & ~bit;
      if (n == 0 && (value & 7) == 4)
        memory_to_memory (dma);
      break;
    case REG_MASK:
      self->mask = value & 4 ? self->mask | bit : self->mask & ~bit;
      break;
    case REG_MODE:
      self->channels[value & 3].mode = value & 0xfc;
      break;
    case REG_CLEAR_FLIP_FLOP:
      self->high_byte = 0;
      break;
    case REG_MASTER_CLEAR:
      master_clear (self);
      break;
    case REG_CLEAR_MASK:
      self->mask = 0;
      break;
    default:
      self->mask = value & 0xf;
      break;
    }
  tell_listeners (dma);
}

static uint64_t
first_read (Device *device, uint32_t offset, unsigned size)
{
  return controller_read ((Dma *) device, 0, offset);
}

static void
first_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  controller_write ((Dma *) device, 0, offset, (uint8_t) value);
}

/* The second controller's A0 is the bus's A1; odd ports repeat the even ones. */
static uint64_t
second_read (Device *device, uint32_t offset, unsigned size)
{
  return controller_read ((Dma *) device, 1, offset >> 1);
}

static void
second_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  controller_write ((Dma *) device, 1, offset >> 1, (uint8_t) value);
}

static uint64_t
page_read (Device *device, uint32_t offset, unsigned size)
{
  return ((Dma *) device)->pages[offset & 15];
}

static void
page_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  ((Dma *) device)->pages[offset & 15] = (uint8_t) value;
}

/* --- Device --------------------------------------------------------------------------------------------------- */

static const BusRegion first_region = { "dma-1", BUS_SIZE_1, first_read, first_write };
static const BusRegion second_region = { "dma-2", BUS_SIZE_1, second_read, second_write };
static const BusRegion page_region = { "dma-pages", BUS_SIZE_1, page_read, page_write };

static const StateField channel_fields[] = {
  STATE_FIELD (Channel, base_address, STATE_UINT, 1),
  STATE_FIELD (Channel, base_count, STATE_UINT, 1),
  STATE_FIELD (Channel, address, STATE_UINT, 1),
  STATE_FIELD (Channel, count, STATE_UINT, 1),
  STATE_FIELD (Channel, mode, STATE_UINT, 1),
  STATE_END,
};

static const StateTable channel_state = { "8237a-channel", 1, channel_fields, NULL };

static const StateField controller_fields[] = {
  STATE_NESTED (Controller, channels, &channel_state, 1),
  STATE_FIELD (Controller, command, STATE_UINT, 1),
  STATE_FIELD (Controller, temporary, STATE_UINT, 1),
  STATE_FIELD (Controller, mask, STATE_UINT, 1),
  STATE_FIELD (Controller, soft_request, STATE_UINT, 1),
  STATE_FIELD (Controller, request, STATE_UINT, 1),
  STATE_FIELD (Controller, terminal, STATE_UINT, 1),
  STATE_FIELD (Controller, high_byte, STATE_UINT, 1),
  STATE_END,
};

static const StateTable controller_state = { "8237a", 1, controller_fields, NULL };

static const StateField dma_fields[] = {
  STATE_NESTED (Dma, controllers, &controller_state, 1),
  STATE_FIELD (Dma, pages, STATE_BYTES, 1),
  STATE_END,
};

static int
dma_check (Device *device)
{
  Dma *self = (Dma *) device;

  for (unsigned i = 0; i < N_CONTROLLERS; i++)
    {
      const Controller *controller = &self->controllers[i];

      if (controller->mask > 0xf || controller->soft_request > 0xf || controller->request > 0xf
          || controller->terminal > 0xf || controller->high_byte > 1)
        return -EBADMSG;
      for (unsigned c = 0; c < PER_CONTROLLER; c++)
        if (controller->channels[c].mode & 3)
          return -EBADMSG;
    }
  /* Devices restore what they were waiting for themselves; nobody is called while half the machine is old. */
  for (unsigned i = 0; i < DMA_N_CHANNELS; i++)
    self->listeners[i].was_ready = dma_channel_ready (self, i);
  return 0;
}

static const StateTable dma_state = { "dma", 1, dma_fields, dma_check };

static void
dma_reset (Device *device)
{
  Dma *self = (Dma *) device;

  for (unsigned i = 0; i < N_CONTROLLERS; i++)
    {
      memset (self->controllers[i].channels, 0, sizeof self->controllers[i].channels);
      self->controllers[i].request = 0;
      master_clear (&self->controllers[i]);
    }
  memset (self->pages, 0, sizeof self->pages);
  for (unsigned i = 0; i < DMA_N_CHANNELS; i++)
    self->listeners[i].was_ready = false;
}

static void
dma_finish (Device *device)
{
  free (device);
}

static const DeviceClass dma_class = { "dma", sizeof (Dma), &dma_state, dma_reset, dma_finish };

int
dma_new (const DeviceHost *host, Dma **ret)
{
  Dma *self = calloc (1, sizeof *self);
  int  result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &dma_class;
  self->memory = host->memory;
  if ((result = bus_claim_ports (host->bus, &self->parent, &first_region, 0x00, 16)) < 0
      || (result = bus_claim_ports (host->bus, &self->parent, &second_region, 0xc0, 32)) < 0
      || (result = bus_claim_ports (host->bus, &self->parent, &page_region, 0x80, 16)) < 0)
    {
      bus_release (host->bus, &self->parent, &first_region);
      bus_release (host->bus, &self->parent, &second_region);
      dma_finish (&self->parent);
      return result;
    }
  dma_reset (&self->parent);
  *ret = self;
  return 0;
}
