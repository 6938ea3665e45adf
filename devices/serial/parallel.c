/* SPDX-License-Identifier: GPL-3.0-or-later */
/* IEEE 1284-1994 compatibility and EPP modes, as the PC's registers show them (Microsoft/Intel "EPP" 1.9 register layout:
 * SPP at +0 … +2, EPP address at +3, EPP data at +4 … +7).
 *
 * A strobe gives the data byte to the printer, which is busy until it has taken it and then pulses nACK (1284 annex
 * C).  The times are computed, not waited for; a timer runs only for a printer that cannot take more, or for the
 * interrupt of nACK's trailing edge when the guest has enabled it. */
#include "parallel.h"

#include "bus.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_NS = 2000, ACK_NS = 2000, RETRY_NS = 1000000, RECEIVE_BYTES = 64 };

enum { REG_DATA, REG_STATUS, REG_CONTROL, REG_EPP_ADDRESS };

enum
{
  /* Pins as they read; the bit of BUSY is inverted. */
  STATUS_EPP_TIMEOUT = 0x01, STATUS_RESERVED = 0x06, STATUS_NOT_ERROR = 0x08, STATUS_SELECTED = 0x10,
  STATUS_PAPER_OUT = 0x20, STATUS_NOT_ACK = 0x40, STATUS_NOT_BUSY = 0x80,
  CONTROL_STROBE = 0x01, CONTROL_NOT_INIT = 0x04, CONTROL_IRQ = 0x10, CONTROL_INPUT = 0x20, CONTROL_WRITABLE = 0x3f,
  CONTROL_RESERVED = 0xc0,
};

struct Parallel
{
  Device       parent;
  Clock       *clock;
  IrqLine      irq;
  CharBackend *far_end;
  Timer       *timer;
  uint8_t      data, control;
  uint8_t      epp_timeout;
  uint8_t      waiting;         /* the printer holds `byte` and could not take it: busy */
  uint8_t      byte;
  uint8_t      ack_unseen;      /* the guest has not read the status since nACK fell: it is held for it */
  uint8_t      irq_due;         /* timer stands for nACK's trailing edge */
  uint64_t     taken_ns;        /* when the last byte was given to the printer: busy, then nACK, follow */
  uint8_t      received[RECEIVE_BYTES]; /* from the far end, for EPP reads and for data reads with the direction bit set */
  uint8_t      received_first, n_received;
};

static uint64_t
since_taken (const Parallel *self)
{
  uint64_t now = clock_now_ns (self->clock);

  return now > self->taken_ns ? now - self->taken_ns : 0;
}

static bool
is_busy (const Parallel *self)
{
  return self->waiting || since_taken (self) < BUSY_NS;
}

/* A guest that polls for nACK (the BIOS does) has microseconds to see it, in which this process may not even run: so
 * nACK stays low until it has been read once. */
static bool
is_acknowledging (const Parallel *self)
{
  return !self->waiting && since_taken (self) >= BUSY_NS && (self->ack_unseen || since_taken (self) < BUSY_NS + ACK_NS);
}

static uint8_t
status (const Parallel *self)
{
  uint8_t value = STATUS_RESERVED | (self->epp_timeout ? STATUS_EPP_TIMEOUT : 0);

  /* Nothing plugged in: pulled up inputs, and so "busy". */
  if (!self->far_end)
    return value | STATUS_NOT_ERROR | STATUS_SELECTED | STATUS_PAPER_OUT | STATUS_NOT_ACK;
  value |= STATUS_NOT_ERROR | STATUS_SELECTED;
  value |= is_acknowledging (self) ? 0 : STATUS_NOT_ACK;
  value |= is_busy (self) || !(self->control & CONTROL_NOT_INIT) ? 0 : STATUS_NOT_BUSY;
  return value;
}

static bool
give (Parallel *self, uint8_t byte)
{
  return self->far_end && self->far_end->klass->write (self->far_end, &byte, 1) == 1;
}

/* The printer has the byte: busy for a while, then the acknowledge. */
static void
begin_acknowledge (Parallel *self)
{
  self->waiting = 0;
  self->ack_unseen = !(self->control & CONTROL_IRQ);   /* who waits for the interrupt does not poll */
  self->taken_ns = clock_now_ns (self->clock);
  self->irq_due = !!(self->control & CONTROL_IRQ);
  if (self->irq_due)
    timer_arm (self->timer, self->taken_ns + BUSY_NS + ACK_NS);
}

static void
parallel_fire (Device *device)
{
  Parallel *self = (Parallel *) device;

  if (self->waiting)
    {
      if (give (self, self->byte))
        begin_acknowledge (self);
      else
        timer_arm (self->timer, clock_now_ns (self->clock) + RETRY_NS);
      return;
    }
  if (self->irq_due)
    {
      self->irq_due = 0;
      if (self->control & CONTROL_IRQ)
        irq_line_pulse (&self->irq);
    }
}

static void
strobe (Parallel *self)
{
  /* A byte strobed at a busy printer is lost; a reset one takes none. */
  if (!self->far_end || is_busy (self) || !(self->control & CONTROL_NOT_INIT) || (self->control & CONTROL_INPUT))
    return;
  if (give (self, self->data))
    {
      begin_acknowledge (self);
      return;
    }
  self->byte = self->data;
  self->waiting = 1;
  timer_arm (self->timer, clock_now_ns (self->clock) + RETRY_NS);
}

static void
write_control (Parallel *self, uint8_t value)
{
  uint8_t old = self->control;

  self->control = value & CONTROL_WRITABLE;
  if (self->control & ~old & CONTROL_STROBE)
    strobe (self);
  /* nINIT drops what the printer has not printed of its interface buffer. */
  if (!(self->control & CONTROL_NOT_INIT) && self->waiting)
    {
      self->waiting = 0;
      timer_disarm (self->timer);
    }
}

static uint8_t
take_received (Parallel *self)
{
  uint8_t byte = self->received[self->received_first];

  self->received_first = (self->received_first + 1) % RECEIVE_BYTES;
  self->n_received--;
  if (self->far_end && self->far_end->klass->ready)
    self->far_end->klass->ready (self->far_end, RECEIVE_BYTES - self->n_received);
  return byte;
}

static size_t
parallel_receive (Device *device, const uint8_t *bytes, size_t n_bytes)
{
  Parallel *self = (Parallel *) device;
  size_t    taken = 0;

  for (; taken < n_bytes && self->n_received < RECEIVE_BYTES; taken++)
    self->received[(self->received_first + self->n_received++) % RECEIVE_BYTES] = bytes[taken];
  return taken;
}

/* An EPP cycle that nWAIT does not answer ends after 10 us with the timeout bit; reading then gives the floating bus. */
static uint8_t
epp_read (Parallel *self, uint32_t offset)
{
  if (offset == REG_EPP_ADDRESS || !self->n_received)
    {
      self->epp_timeout = 1;
      return 0xff;
    }
  return take_received (self);
}

static void
epp_write (Parallel *self, uint32_t offset, uint8_t value)
{
  if (offset == REG_EPP_ADDRESS ? !self->far_end : is_busy (self) || !give (self, value))
    self->epp_timeout = 1;
}

static uint64_t
parallel_read (Device *device, uint32_t offset, unsigned size)
{
  Parallel *self = (Parallel *) device;

  switch (offset)
    {
    case REG_DATA:
      if (!(self->control & CONTROL_INPUT))
        return self->data;
      return self->n_received ? take_received (self) : 0xff;
    case REG_STATUS:
      {
        uint8_t value = status (self);

        self->ack_unseen = self->ack_unseen && (value & STATUS_NOT_ACK);
        return value;
      }
    case REG_CONTROL:
      return self->control | CONTROL_RESERVED;
    default:
      return epp_read (self, offset);
    }
}

static void
parallel_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Parallel *self = (Parallel *) device;

  switch (offset)
    {
    case REG_DATA:
      self->data = (uint8_t) value;
      break;
    case REG_STATUS:
      /* Read only but for the EPP timeout, which writing a one clears. */
      if (value & STATUS_EPP_TIMEOUT)
        self->epp_timeout = 0;
      break;
    case REG_CONTROL:
      write_control (self, (uint8_t) value);
      break;
    default:
      epp_write (self, offset, (uint8_t) value);
      break;
    }
}

void
parallel_plug (Parallel *self, CharBackend *far_end)
{
  CharBackend *old = self->far_end;

  self->far_end = far_end;
  if (old && old != far_end)
    old->klass->close (old);
  if (far_end)
    {
      far_end->receive = parallel_receive;
      far_end->device = &self->parent;
    }
  else
    self->waiting = 0;
}

static const BusRegion parallel_region = { "parallel", BUS_SIZE_1, parallel_read, parallel_write };

static const StateField parallel_fields[] = {
  STATE_FIELD (Parallel, timer, STATE_TIMER, 1),
  STATE_FIELD (Parallel, data, STATE_UINT, 1),
  STATE_FIELD (Parallel, control, STATE_UINT, 1),
  STATE_FIELD (Parallel, epp_timeout, STATE_UINT, 1),
  STATE_FIELD (Parallel, waiting, STATE_UINT, 1),
  STATE_FIELD (Parallel, byte, STATE_UINT, 1),
  STATE_FIELD (Parallel, ack_unseen, STATE_UINT, 1),
  STATE_FIELD (Parallel, irq_due, STATE_UINT, 1),
  STATE_FIELD (Parallel, taken_ns, STATE_UINT, 1),
  STATE_FIELD (Parallel, received, STATE_BYTES, 1),
  STATE_FIELD (Parallel, received_first, STATE_UINT, 1),
  STATE_FIELD (Parallel, n_received, STATE_UINT, 1),
  STATE_END,
};

static int
parallel_check (Device *device)
{
  Parallel *self = (Parallel *) device;

  if ((self->control & ~CONTROL_WRITABLE) || self->epp_timeout > 1 || self->waiting > 1 || self->irq_due > 1
      || self->received_first >= RECEIVE_BYTES || self->n_received > RECEIVE_BYTES
      || (self->waiting && !timer_armed (self->timer)))
    return -EBADMSG;
  /* A byte taken in the future would keep the printer busy until then. */
  if (self->taken_ns > clock_now_ns (self->clock))
    self->taken_ns = clock_now_ns (self->clock);
  return 0;
}

static const StateTable parallel_state = { "parallel", 1, parallel_fields, parallel_check };

static void
parallel_reset (Device *device)
{
  Parallel *self = (Parallel *) device;

  self->data = 0;
  self->control = CONTROL_NOT_INIT;
  self->epp_timeout = self->ack_unseen = 0;
  self->waiting = self->byte = self->irq_due = 0;
  /* Long ago. */
  self->taken_ns = 0;
  self->received_first = self->n_received = 0;
  memset (self->received, 0, sizeof self->received);
  timer_disarm (self->timer);
  irq_line_set (&self->irq, false);
}

static void
parallel_finish (Device *device)
{
  Parallel *self = (Parallel *) device;

  if (!self)
    return;
  if (self->far_end)
    self->far_end->klass->close (self->far_end);
  timer_free (self->timer);
  free (self);
}

static const DeviceClass parallel_class = { "parallel", sizeof (Parallel), &parallel_state, parallel_reset,
                                            parallel_finish };

int
parallel_new (const DeviceHost *host, uint16_t first_port, IrqLine irq, CharBackend *far_end, Parallel **ret)
{
  Parallel *self = calloc (1, sizeof *self);
  int       result = -ENOMEM;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &parallel_class;
  self->clock = host->clock;
  self->irq = irq;
  self->timer = clock_add_timer (host->clock, &self->parent, parallel_fire);
  if (self->timer)
    result = bus_claim_ports (host->bus, &self->parent, &parallel_region, first_port, 8);
  if (result < 0)
    {
      parallel_finish (&self->parent);
      return result;
    }
  parallel_reset (&self->parent);
  parallel_plug (self, far_end);
  *ret = self;
  return 0;
}
