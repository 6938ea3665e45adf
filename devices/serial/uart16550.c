/* SPDX-License-Identifier: GPL-3.0-or-later */
/* National Semiconductor PC16550D / NS16550A ("DS": its data sheet, June 1995; section numbers 8.x are its register
 * descriptions).  The clock is the PC's 1.8432 MHz, so the baud rate is 115200 / divisor.
 *
 * Unpaced (the usual case) a character leaves at once, but the transmitter's next interrupt comes a little later: with
 * none of that delay a driver that loops until no interrupt is left would send for ever in its interrupt routine. */
#include "uart16550.h"

#include "bus.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIFO_BYTES = 16, BAUD_BASE = 115200, UNPACED_THRE_NS = 10000, RETRY_NS = 1000000 };

enum { REG_DATA, REG_IER, REG_IIR /* FCR when written */, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

enum
{
  IER_RDI = 1, IER_THRI = 2, IER_RLSI = 4, IER_MSI = 8,
  IIR_NONE = 1, IIR_MODEM = 0, IIR_THRE = 2, IIR_DATA = 4, IIR_LINE = 6, IIR_TIMEOUT = 12, IIR_FIFOS = 0xc0,
  FCR_ENABLE = 1, FCR_CLEAR_RECEIVE = 2, FCR_CLEAR_TRANSMIT = 4, FCR_KEPT = 0xc9,
  LCR_WORD = 3, LCR_STOP = 4, LCR_PARITY = 8, LCR_BREAK = 0x40, LCR_DLAB = 0x80,
  MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10,
  LSR_DR = 1, LSR_OE = 2, LSR_PE = 4, LSR_FE = 8, LSR_BI = 0x10, LSR_THRE = 0x20, LSR_TEMT = 0x40, LSR_FIFO_ERROR = 0x80,
  LSR_ERRORS = LSR_OE | LSR_PE | LSR_FE | LSR_BI,
  MSR_TERI = 4,
};

struct Uart
{
  Device       parent;
  Clock       *clock;
  IrqLine      irq;
  CharBackend *far_end;
  uint8_t      paced;
  Timer       *transmit_timer, *receive_timer, *timeout_timer;

  uint8_t      ier, fcr, lcr, mcr, scr;
  uint16_t     divisor;
  uint8_t      line_errors;     /* LSR_ERRORS bits not yet read */
  uint8_t      modem;           /* the four inputs as MSR shows them */
  uint8_t      modem_delta;
  uint8_t      inputs;          /* the pins, whatever loopback does */
  uint8_t      receive[FIFO_BYTES], receive_errors[FIFO_BYTES];
  uint8_t      receive_first, n_receive;
  uint8_t      transmit[FIFO_BYTES];
  uint8_t      transmit_first, n_transmit;
  uint8_t      shifting, shift_byte;    /* paced: the transmitter shift register */
  uint8_t      thre_pending;    /* the interrupt condition, cleared by reading IIR or writing THR */
  uint8_t      thre_due;        /* transmit_timer will set it */
  uint8_t      timeout_pending;
  uint8_t      refused;         /* the far end was told to wait */
};

/* --- Time ----------------------------------------------------------------------------------------------------- */

/* One character on the line: start bit, 5 … 8 data bits, parity, stop bits (1.5 counts as 2). */
static uint64_t
character_ns (const Uart *self)
{
  unsigned bits = 1 + 5 + (self->lcr & LCR_WORD) + !!(self->lcr & LCR_PARITY) + (self->lcr & LCR_STOP ? 2 : 1);

  return clock_scale ((uint64_t) bits * (self->divisor ? self->divisor : 1), CLOCK_NS_PER_SECOND, BAUD_BASE);
}

static void
arm_after (const Uart *self, Timer *timer, uint64_t ns)
{
  timer_arm (timer, clock_now_ns (self->clock) + ns);
}

/* --- Interrupts ----------------------------------------------------------------------------------------------- */

static bool
has_fifos (const Uart *self)
{
  return self->fcr & FCR_ENABLE;
}

static unsigned
trigger_level (const Uart *self)
{
  static const uint8_t levels[4] = { 1, 4, 8, 14 };

  return has_fifos (self) ? levels[self->fcr >> 6] : 1;
}

/* DS table "Interrupt control functions": the most urgent condition. */
static uint8_t
interrupt_id (const Uart *self)
{
  if ((self->ier & IER_RLSI) && self->line_errors)
    return IIR_LINE;
  if ((self->ier & IER_RDI) && self->n_receive >= trigger_level (self))
    return IIR_DATA;
  if ((self->ier & IER_RDI) && self->timeout_pending)
    return IIR_TIMEOUT;
  if ((self->ier & IER_THRI) && self->thre_pending)
    return IIR_THRE;
  if ((self->ier & IER_MSI) && self->modem_delta)
    return IIR_MODEM;
  return IIR_NONE;
}

/* In a PC the interrupt pin passes a gate that OUT2 opens. */
static void
update_interrupt (Uart *self)
{
  irq_line_set (&self->irq, (self->mcr & MCR_OUT2) && interrupt_id (self) != IIR_NONE);
}

/* DS "FIFO interrupt mode operation": four character times without a character or a read. */
static void
restart_timeout (Uart *self)
{
  self->timeout_pending = 0;
  if (has_fifos (self) && self->n_receive && (self->ier & IER_RDI))
    arm_after (self, self->timeout_timer, 4 * character_ns (self));
  else
    timer_disarm (self->timeout_timer);
}

static void
timeout_fire (Device *device)
{
  Uart *self = (Uart *) device;

  if (has_fifos (self) && self->n_receive)
    self->timeout_pending = 1;
  update_interrupt (self);
}

/* --- Receiver ------------------------------------------------------------------------------------------------- */

static unsigned
receive_depth (const Uart *self)
{
  return has_fifos (self) ? FIFO_BYTES : 1;
}

static void
push_received (Uart *self, uint8_t byte, uint8_t errors)
{
  unsigned at;

  if (self->n_receive >= receive_depth (self))
    {
      self->line_errors |= LSR_OE;
      /* With FIFOs the new character is lost, without them the old one (DS 8.3, bit 1). */
      if (has_fifos (self))
        return;
      self->n_receive = 0;
    }
  at = (self->receive_first + self->n_receive) % FIFO_BYTES;
  self->receive[at] = byte;
  self->receive_errors[at] = errors;
  if (self->n_receive++ == 0)
    self->line_errors |= errors;        /* errors show when their character is the next one to be read */
  restart_timeout (self);
}

static size_t
receive_room (const Uart *self)
{
  unsigned depth = receive_depth (self);

  if (self->mcr & MCR_LOOP)
    return 0;
  if (self->paced)
    return self->n_receive < depth && !timer_armed (self->receive_timer);
  return self->n_receive < depth ? depth - self->n_receive : 0;
}

static void
tell_ready (Uart *self)
{
  size_t room = receive_room (self);

  if (!room || !self->far_end)
    return;
  self->refused = 0;
  if (self->far_end->klass->ready)
    self->far_end->klass->ready (self->far_end, room);
}

static uint8_t
word_mask (const Uart *self)
{
  return (uint8_t) (0xff >> (3 - (self->lcr & LCR_WORD)));
}

static size_t
uart_receive (Device *device, const uint8_t *bytes, size_t n_bytes)
{
  Uart  *self = (Uart *) device;
  size_t taken = 0;

  while (taken < n_bytes && receive_room (self))
    {
      push_received (self, bytes[taken++] & word_mask (self), 0);
      if (self->paced)
        arm_after (self, self->receive_timer, character_ns (self));
    }
  if (taken < n_bytes)
    self->refused = 1;
  update_interrupt (self);
  return taken;
}

static void
receive_fire (Device *device)
{
  tell_ready ((Uart *) device);
}

void
uart_receive_break (Uart *self)
{
  if (self->mcr & MCR_LOOP)
    return;
  push_received (self, 0, LSR_BI);
  update_interrupt (self);
}

static uint8_t
read_data (Uart *self)
{
  uint8_t byte = self->receive[self->receive_first];

  if (!self->n_receive)
    {
      /* An empty buffer reads as it was; the timeout condition is cleared all the same. */
      self->timeout_pending = 0;
      update_interrupt (self);
      return byte;
    }
  self->receive_errors[self->receive_first] = 0;
  self->receive_first = (self->receive_first + 1) % FIFO_BYTES;
  if (--self->n_receive)
    self->line_errors |= self->receive_errors[self->receive_first];
  restart_timeout (self);
  update_interrupt (self);
  if (self->refused || !self->n_receive)
    tell_ready (self);
  return byte;
}

static void
clear_receiver (Uart *self)
{
  self->receive_first = self->n_receive = 0;
  memset (self->receive_errors, 0, sizeof self->receive_errors);
  restart_timeout (self);
}

/* --- Transmitter ---------------------------------------------------------------------------------------------- */

/* True when the far end took it. */
static bool
deliver (Uart *self, uint8_t byte)
{
  if (self->mcr & MCR_LOOP)
    {
      push_received (self, byte, 0);
      return true;
    }
  return !self->far_end || self->far_end->klass->write (self->far_end, &byte, 1) == 1;
}

static uint8_t
pop_transmit (Uart *self)
{
  uint8_t byte = self->transmit[self->transmit_first];

  self->transmit_first = (self->transmit_first + 1) % FIFO_BYTES;
  self->n_transmit--;
  return byte;
}

static void
transmit_paced (Uart *self)
{
  if (self->shifting || !self->n_transmit)
    return;
  self->shift_byte = pop_transmit (self);
  self->shifting = 1;
  arm_after (self, self->transmit_timer, character_ns (self));
  if (!self->n_transmit)
    self->thre_pending = 1;
}

static void
transmit_unpaced (Uart *self)
{
  while (self->n_transmit)
    {
      if (!deliver (self, self->transmit[self->transmit_first]))
        {
          arm_after (self, self->transmit_timer, RETRY_NS);
          return;
        }
      pop_transmit (self);
    }
  /* Nobody can see the condition while it is disabled, and enabling it sets it again. */
  if (self->ier & IER_THRI)
    {
      self->thre_due = 1;
      arm_after (self, self->transmit_timer, UNPACED_THRE_NS);
    }
}

static void
transmit (Uart *self)
{
  if (self->paced)
    transmit_paced (self);
  else if (self->n_transmit)
    transmit_unpaced (self);
}

static void
transmit_fire (Device *device)
{
  Uart *self = (Uart *) device;

  if (self->thre_due)
    {
      self->thre_due = 0;
      self->thre_pending = self->n_transmit == 0;
    }
  if (self->shifting)
    {
      if (deliver (self, self->shift_byte))
        self->shifting = 0;
      else
        arm_after (self, self->transmit_timer, character_ns (self));
    }
  transmit (self);
  update_interrupt (self);
}

static void
write_data (Uart *self, uint8_t value)
{
  unsigned depth = has_fifos (self) ? FIFO_BYTES : 1;

  self->thre_pending = self->thre_due = 0;
  update_interrupt (self);
  if (self->n_transmit < depth)
    {
      self->transmit[(self->transmit_first + self->n_transmit) % FIFO_BYTES] = value & word_mask (self);
      self->n_transmit++;
    }
  else if (depth == 1)
    self->transmit[self->transmit_first] = value & word_mask (self);
  transmit (self);
  update_interrupt (self);
}

static void
clear_transmitter (Uart *self)
{
  /* The shift register is not cleared (DS 8.5, bit 2). */
  if (self->n_transmit && (self->ier & IER_THRI))
    self->thre_pending = 1;
  self->transmit_first = self->n_transmit = 0;
}

/* --- Modem lines ---------------------------------------------------------------------------------------------- */

static void
update_modem (Uart *self)
{
  uint8_t now = self->inputs, changed;

  /* DS 8.6 bit 4: the outputs are looped to the inputs. */
  if (self->mcr & MCR_LOOP)
    now = (self->mcr & MCR_RTS ? UART_CTS : 0) | (self->mcr & MCR_DTR ? UART_DSR : 0)
          | (self->mcr & MCR_OUT1 ? UART_RI : 0) | (self->mcr & MCR_OUT2 ? UART_DCD : 0);
  changed = now ^ self->modem;
  self->modem = now;
  /* Deltas lie four bits below their inputs; that of RI tells its trailing edge only. */
  if (now & UART_RI)
    changed &= ~UART_RI;
  self->modem_delta |= changed >> 4;
}

void
uart_set_modem_inputs (Uart *self, uint8_t inputs)
{
  self->inputs = inputs & 0xf0;
  update_modem (self);
  update_interrupt (self);
}

uint8_t
uart_modem_outputs (const Uart *self)
{
  return self->mcr & MCR_LOOP ? 0 : self->mcr & (UART_DTR | UART_RTS);
}

/* --- Registers ------------------------------------------------------------------------------------------------ */

static uint8_t
read_line_status (Uart *self)
{
  uint8_t value = self->line_errors;

  value |= self->n_receive ? LSR_DR : 0;
  value |= self->n_transmit ? 0 : LSR_THRE;
  value |= self->n_transmit || self->shifting ? 0 : LSR_TEMT;
  if (has_fifos (self))
    for (unsigned i = 0; i < self->n_receive; i++)
      if (self->receive_errors[(self->receive_first + i) % FIFO_BYTES])
        value |= LSR_FIFO_ERROR;
  self->line_errors = 0;
  if (self->n_receive)
    self->receive_errors[self->receive_first] = 0;
  update_interrupt (self);
  return value;
}

static uint64_t
uart_read (Device *device, uint32_t offset, unsigned size)
{
  Uart   *self = (Uart *) device;
  uint8_t value;

  switch (offset)
    {
    case REG_DATA:
      return self->lcr & LCR_DLAB ? self->divisor & 0xff : read_data (self);
    case REG_IER:
      return self->lcr & LCR_DLAB ? self->divisor >> 8 : self->ier;
    case REG_IIR:
      value = interrupt_id (self);
      if (value == IIR_THRE)
        {
          self->thre_pending = 0;
          update_interrupt (self);
        }
      return value | (has_fifos (self) ? IIR_FIFOS : 0);
    case REG_LCR:
      return self->lcr;
    case REG_MCR:
      return self->mcr;
    case REG_LSR:
      return read_line_status (self);
    case REG_MSR:
      value = self->modem | self->modem_delta;
      self->modem_delta = 0;
      update_interrupt (self);
      return value;
    default:
      return self->scr;
    }
}

static void
write_interrupt_enable (Uart *self, uint8_t value)
{
  uint8_t enabled = (uint8_t) (value & ~self->ier);

  self->ier = value & 0x0f;
  /* Enabling the transmitter's interrupt while it is empty raises it at once. */
  if ((enabled & IER_THRI) && !self->n_transmit)
    self->thre_pending = 1;
  if ((enabled & IER_RDI) && !self->timeout_pending)
    restart_timeout (self);
  update_interrupt (self);
}

static void
write_fifo_control (Uart *self, uint8_t value)
{
  /* DS 8.5: changing bit 0 clears both FIFOs; the other bits count only while it is set. */
  bool toggled = (value ^ self->fcr) & FCR_ENABLE;

  if (!(value & FCR_ENABLE))
    value = 0;
  self->fcr = value & FCR_KEPT;
  if (toggled || (value & FCR_CLEAR_TRANSMIT))
    clear_transmitter (self);
  if (toggled || (value & FCR_CLEAR_RECEIVE))
    {
      clear_receiver (self);
      tell_ready (self);
    }
  update_interrupt (self);
}

static void
write_modem_control (Uart *self, uint8_t value)
{
  bool left_loop = (self->mcr & MCR_LOOP) && !(value & MCR_LOOP);

  self->mcr = value & 0x1f;
  update_modem (self);
  update_interrupt (self);
  if (left_loop)
    tell_ready (self);
}

static void
uart_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Uart   *self = (Uart *) device;
  uint8_t byte = (uint8_t) value;

  switch (offset)
    {
    case REG_DATA:
      if (self->lcr & LCR_DLAB)
        self->divisor = (self->divisor & 0xff00) | byte;
      else
        write_data (self, byte);
      break;
    case REG_IER:
      if (self->lcr & LCR_DLAB)
        self->divisor = (uint16_t) ((self->divisor & 0xff) | byte << 8);
      else
        write_interrupt_enable (self, byte);
      break;
    case REG_IIR:
      write_fifo_control (self, byte);
      break;
    case REG_LCR:
      /* A break that is sent into the loop comes back as one. */
      if ((self->mcr & MCR_LOOP) && (byte & ~self->lcr & LCR_BREAK))
        push_received (self, 0, LSR_BI);
      self->lcr = byte;
      update_interrupt (self);
      break;
    case REG_MCR:
      write_modem_control (self, byte);
      break;
    case REG_SCR:
      self->scr = byte;
      break;
    default:
      break;                    /* LSR and MSR are for reading (DS 8.3: writing LSR is for the factory) */
    }
}

/* --- Device --------------------------------------------------------------------------------------------------- */

void
uart_plug (Uart *self, CharBackend *far_end)
{
  CharBackend *old = self->far_end;

  self->far_end = far_end;
  if (old && old != far_end)
    old->klass->close (old);
  if (far_end)
    {
      far_end->receive = uart_receive;
      far_end->device = &self->parent;
    }
  uart_set_modem_inputs (self, far_end ? UART_CTS | UART_DSR | UART_DCD : 0);
  transmit (self);
  tell_ready (self);
}

static const BusRegion uart_region = { "uart", BUS_SIZE_1, uart_read, uart_write };

static const StateField uart_fields[] = {
  STATE_FIELD (Uart, transmit_timer, STATE_TIMER, 1),
  STATE_FIELD (Uart, receive_timer, STATE_TIMER, 1),
  STATE_FIELD (Uart, timeout_timer, STATE_TIMER, 1),
  STATE_FIELD (Uart, ier, STATE_UINT, 1),
  STATE_FIELD (Uart, fcr, STATE_UINT, 1),
  STATE_FIELD (Uart, lcr, STATE_UINT, 1),
  STATE_FIELD (Uart, mcr, STATE_UINT, 1),
  STATE_FIELD (Uart, scr, STATE_UINT, 1),
  STATE_FIELD (Uart, divisor, STATE_UINT, 1),
  STATE_FIELD (Uart, line_errors, STATE_UINT, 1),
  STATE_FIELD (Uart, modem, STATE_UINT, 1),
  STATE_FIELD (Uart, modem_delta, STATE_UINT, 1),
  STATE_FIELD (Uart, receive, STATE_BYTES, 1),
  STATE_FIELD (Uart, receive_errors, STATE_BYTES, 1),
  STATE_FIELD (Uart, receive_first, STATE_UINT, 1),
  STATE_FIELD (Uart, n_receive, STATE_UINT, 1),
  STATE_FIELD (Uart, transmit, STATE_BYTES, 1),
  STATE_FIELD (Uart, transmit_first, STATE_UINT, 1),
  STATE_FIELD (Uart, n_transmit, STATE_UINT, 1),
  STATE_FIELD (Uart, shifting, STATE_UINT, 1),
  STATE_FIELD (Uart, shift_byte, STATE_UINT, 1),
  STATE_FIELD (Uart, thre_pending, STATE_UINT, 1),
  STATE_FIELD (Uart, thre_due, STATE_UINT, 1),
  STATE_FIELD (Uart, timeout_pending, STATE_UINT, 1),
  STATE_END,
};

static int
uart_check (Device *device)
{
  Uart    *self = (Uart *) device;
  unsigned depth = receive_depth (self);

  if (self->receive_first >= FIFO_BYTES || self->n_receive > depth || self->transmit_first >= FIFO_BYTES
      || self->n_transmit > depth || self->ier > 0x0f || self->mcr > 0x1f || (self->fcr & ~FCR_KEPT)
      || (self->line_errors & ~LSR_ERRORS) || self->modem & 0x0f || self->modem_delta > 0x0f || self->shifting > 1
      || self->thre_pending > 1 || self->thre_due > 1 || self->timeout_pending > 1)
    return -EBADMSG;
  for (unsigned i = 0; i < FIFO_BYTES; i++)
    if (self->receive_errors[i] & ~LSR_ERRORS)
      return -EBADMSG;
  /* Something that nothing would ever finish must not be waited for. */
  if ((self->shifting || self->n_transmit || self->thre_due) && !timer_armed (self->transmit_timer))
    return -EBADMSG;
  /* The far end may be another one than when the state was saved: its lines count now, and it is asked again. */
  self->refused = 1;
  update_modem (self);
  update_interrupt (self);
  return 0;
}

static const StateTable uart_state = { "uart", 1, uart_fields, uart_check };

static void
uart_reset (Device *device)
{
  Uart *self = (Uart *) device;

  /* DS table "Reset functions"; SCR, divisor and data are not touched by the chip, but a machine's power-on sets them. */
  self->ier = self->fcr = self->lcr = self->mcr = self->scr = 0;
  self->divisor = 12;
  self->line_errors = 0;
  self->shifting = self->thre_pending = self->thre_due = self->refused = 0;
  self->transmit_first = self->n_transmit = 0;
  memset (self->receive, 0, sizeof self->receive);
  memset (self->transmit, 0, sizeof self->transmit);
  clear_receiver (self);
  timer_disarm (self->transmit_timer);
  timer_disarm (self->receive_timer);
  update_modem (self);
  self->modem_delta = 0;
  update_interrupt (self);
}

static void
uart_finish (Device *device)
{
  Uart *self = (Uart *) device;

  if (!self)
    return;
  if (self->far_end)
    self->far_end->klass->close (self->far_end);
  timer_free (self->transmit_timer);
  timer_free (self->receive_timer);
  timer_free (self->timeout_timer);
  free (self);
}

static const DeviceClass uart_class = { "uart", sizeof (Uart), &uart_state, uart_reset, uart_finish };

int
uart_new (const DeviceHost *host, uint16_t first_port, IrqLine irq, CharBackend *far_end, bool paced, Uart **ret)
{
  Uart *self = calloc (1, sizeof *self);
  int   result = -ENOMEM;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &uart_class;
  self->clock = host->clock;
  self->irq = irq;
  self->paced = paced;
  self->transmit_timer = clock_add_timer (host->clock, &self->parent, transmit_fire);
  self->receive_timer = clock_add_timer (host->clock, &self->parent, receive_fire);
  self->timeout_timer = clock_add_timer (host->clock, &self->parent, timeout_fire);
  if (self->transmit_timer && self->receive_timer && self->timeout_timer)
    result = bus_claim_ports (host->bus, &self->parent, &uart_region, first_port, 8);
  if (result < 0)
    {
      uart_finish (&self->parent);
      return result;
    }
  uart_reset (&self->parent);
  uart_plug (self, far_end);
  self->modem_delta = 0;
  *ret = self;
  return 0;
}
