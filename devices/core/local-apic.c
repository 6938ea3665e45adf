/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Intel SDM vol. 3, chapter 10, in the P6 family's flavour: four-bit ids, five local vector table entries, no x2APIC.
 * Section numbers below are of that chapter.
 *
 * One processor: arbitration and focus checking have nothing to decide; their bits are kept.  A delivery that nobody
 * accepts is reported as an accept error, as the three-wire APIC bus did.
 *
 * When the host was away for several periods of the timer, the guest gets the missed interrupts later, at up to four
 * times their rate: a clock that counts them must not lose time because the host was busy.
 *
 * The timer's count is a function of guest time.  It is armed only while an expiry would be seen: not while its entry
 * is masked, and not while its previous interrupt still waits in IRR, where a second one would make no difference. */
#include "local-apic.h"

#include "bus.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_APR = 0x09, REG_PPR = 0x0a, REG_EOI = 0x0b, REG_REMOTE_READ = 0x0c,
  REG_LDR = 0x0d, REG_DFR = 0x0e, REG_SVR = 0x0f, REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28,
  REG_ICR_LOW = 0x30, REG_ICR_HIGH = 0x31, REG_LVT = 0x32, REG_TIMER_INITIAL = 0x38, REG_TIMER_CURRENT = 0x39,
  REG_TIMER_DIVIDE = 0x3e,
};

/* Rows of the local vector table; the P6 has none at 330h (thermal, Pentium 4). */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, N_LVT };

enum
{
  LVT_VECTOR = 0xff, LVT_DELIVERY = 7 << 8, LVT_POLARITY = 1 << 13, LVT_REMOTE_IRR = 1 << 14, LVT_LEVEL = 1 << 15,
  LVT_MASKED = 1 << 16, LVT_PERIODIC = 1 << 17,
  SVR_ENABLE = 1 << 8,
  ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14, ICR_LEVEL = 1 << 15, ICR_SHORTHAND = 3 << 18,
  ICR_WRITABLE = 0x000ccfff,
  ESR_SEND_ACCEPT = 1 << 2, ESR_SEND_VECTOR = 1 << 5, ESR_RECEIVE_VECTOR = 1 << 6, ESR_REGISTER = 1 << 7,
  VERSION = 0x00040011,         /* integrated APIC, entries 0 … 4 */
  BASE_BOOTSTRAP = 1 << 8, BASE_ENABLE = 1 << 11,
  REGISTER_BYTES = 4096, FIRST_LEGAL_VECTOR = 16, BROADCAST = 0xff, ILLEGAL_TIMER_NS = 1000000, MIN_OWED_NS = 100000,
  NS_PER_CYCLE = 1000000000 / LOCAL_APIC_BUS_HZ,
};

#define BASE_ADDRESS 0xffffff000ull
#define MAX_NS (INT64_C (1) << 61)

static const uint32_t lvt_writable[N_LVT] = {
  [LVT_TIMER] = LVT_VECTOR | LVT_MASKED | LVT_PERIODIC,
  [LVT_PERFORMANCE] = LVT_VECTOR | LVT_DELIVERY | LVT_MASKED,
  [LVT_LINT0] = LVT_VECTOR | LVT_DELIVERY | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
  [LVT_LINT1] = LVT_VECTOR | LVT_DELIVERY | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
  [LVT_ERROR] = LVT_VECTOR | LVT_MASKED,
};

struct LocalApic
{
  Device         parent;
  Bus           *bus;
  Clock         *clock;
  LocalApicWires wires;
  Timer         *timer;
  uint8_t        claimed;       /* the register page is on the bus */
  uint8_t        output;        /* level of INTR */

  uint64_t       base;          /* IA32_APIC_BASE */
  uint32_t       id, tpr, ldr, dfr, svr, icr_low, icr_high;
  uint32_t       esr, errors;   /* errors since the last write of ESR */
  uint32_t       lvt[N_LVT];
  uint32_t       isr[8], tmr[8], irr[8];
  uint32_t       timer_initial, timer_divide;
  int64_t        timer_start_ns;        /* when the count was timer_initial, perhaps before power on: a divider that grew */
  int64_t        timer_expiry_ns;       /* the next expiry */
  int64_t        timer_due_ns;          /* what `timer` waits for: that, or an earlier interrupt that is owed */
  uint32_t       timer_owed;    /* interrupts that the guest has not got in time */
  uint8_t        timer_expired; /* one-shot: has reached zero and told so */
  uint8_t        pins;          /* levels of LINT0 and LINT1 */
  uint8_t        extint;        /* an ExtINT message of the I/O APIC waits for the CPU */
};

static void raise_error (LocalApic *self, uint32_t error);

/* --- Vector sets ---------------------------------------------------------------------------------------------- */

static int
highest (const uint32_t *set)
{
  for (int i = 7; i >= 0; i--)
    if (set[i])
      return i * 32 + 31 - __builtin_clz (set[i]);
  return -1;
}

static bool
contains (const uint32_t *set, uint8_t vector)
{
  return set[vector >> 5] >> (vector & 31) & 1;
}

static void
insert (uint32_t *set, uint8_t vector)
{
  set[vector >> 5] |= 1u << (vector & 31);
}

static void
drop (uint32_t *set, uint8_t vector)
{
  set[vector >> 5] &= ~(1u << (vector & 31));
}

/* --- Priority ------------------------------------------------------------------------------------------------- */

static bool
is_enabled (const LocalApic *self)
{
  return self->base & BASE_ENABLE;
}

static bool
is_software_enabled (const LocalApic *self)
{
  return is_enabled (self) && (self->svr & SVR_ENABLE);
}

/* 10.8.3.1: the higher of task priority and what is in service. */
static uint32_t
processor_priority (const LocalApic *self)
{
  int      serviced = highest (self->isr);
  uint32_t class = serviced < 0 ? 0 : (uint32_t) serviced & 0xf0;

  return (self->tpr & 0xf0) >= class ? self->tpr : class;
}

static uint32_t
arbitration_priority (const LocalApic *self)
{
  int      requested = highest (self->irr), serviced = highest (self->isr);
  uint32_t request = requested < 0 ? 0 : (uint32_t) requested & 0xf0;
  uint32_t service = serviced < 0 ? 0 : (uint32_t) serviced & 0xf0;

  if ((self->tpr & 0xf0) >= request && (self->tpr & 0xf0) > service)
    return self->tpr;
  return request > service ? request : service > (self->tpr & 0xf0) ? service : self->tpr & 0xf0;
}

/* The vector that may interrupt the processor now, or -1. */
static int
deliverable (const LocalApic *self)
{
  int vector = highest (self->irr);

  if (vector < 0 || !is_software_enabled (self))
    return -1;
  return ((uint32_t) vector & 0xf0) > (processor_priority (self) & 0xf0) ? vector : -1;
}

static bool
pin_is_active (const LocalApic *self, unsigned pin)
{
  return !!(self->pins & 1u << pin) != !!(self->lvt[LVT_LINT0 + pin] & LVT_POLARITY);
}

static bool
entry_delivers (const LocalApic *self, unsigned entry, ApicDelivery delivery)
{
  return !(self->lvt[entry] & LVT_MASKED) && (self->lvt[entry] & LVT_DELIVERY) >> 8 == (uint32_t) delivery;
}

static bool
external_interrupt (const LocalApic *self)
{
  if (!is_enabled (self))
    return self->pins & 1 << LOCAL_APIC_LINT0;
  if (self->extint)
    return true;
  for (unsigned pin = 0; pin < 2; pin++)
    if (entry_delivers (self, LVT_LINT0 + pin, APIC_EXTINT) && pin_is_active (self, pin))
      return true;
  return false;
}

static void
update_output (LocalApic *self)
{
  bool output = external_interrupt (self) || deliverable (self) >= 0;

  if (output != self->output)
    {
      self->output = output;
      irq_line_set (&self->wires.interrupt, output);
    }
}

/* --- Timer ---------------------------------------------------------------------------------------------------- */

/* 10.5.4: bits 3, 1, 0; 111 divides by one. */
static unsigned
timer_divisor (const LocalApic *self)
{
  unsigned code = (self->timer_divide & 3) | (self->timer_divide >> 1 & 4);

  return code == 7 ? 1 : 2u << code;
}

static int64_t
now_ns (const LocalApic *self)
{
  return (int64_t) (clock_now_ns (self->clock) & (uint64_t) (MAX_NS - 1));
}

static int64_t
counts_to_ns (const LocalApic *self, int64_t counts)
{
  return counts * timer_divisor (self) * NS_PER_CYCLE;
}

static int64_t
counts_since_start (const LocalApic *self, int64_t ns)
{
  return ns <= self->timer_start_ns ? 0 : (ns - self->timer_start_ns) / NS_PER_CYCLE / timer_divisor (self);
}

static uint32_t
timer_current (const LocalApic *self, int64_t ns)
{
  int64_t counts;

  if (!self->timer_initial)
    return 0;
  counts = counts_since_start (self, ns);
  if (self->lvt[LVT_TIMER] & LVT_PERIODIC)
    return self->timer_initial - (uint32_t) (counts % self->timer_initial);
  return counts >= self->timer_initial ? 0 : self->timer_initial - (uint32_t) counts;
}

static void
arm_timer (LocalApic *self, int64_t ns)
{
  uint32_t entry = self->lvt[LVT_TIMER];
  int64_t  counts, expiry;

  if (!self->timer_initial || (entry & LVT_MASKED) || contains (self->irr, entry & LVT_VECTOR)
      || (!(entry & LVT_PERIODIC) && self->timer_expired))
    {
      timer_disarm (self->timer);
      return;
    }
  counts = counts_since_start (self, ns);
  expiry = entry & LVT_PERIODIC ? counts - counts % self->timer_initial + self->timer_initial : self->timer_initial;
  self->timer_due_ns = self->timer_expiry_ns = self->timer_start_ns + counts_to_ns (self, expiry);
  if (self->timer_owed && (entry & LVT_PERIODIC))
    {
      int64_t quarter = counts_to_ns (self, self->timer_initial) / 4;
      int64_t soon = ns + (quarter > MIN_OWED_NS ? quarter : MIN_OWED_NS);

      if (soon < self->timer_due_ns)
        self->timer_due_ns = soon;
    }
  /* An illegal vector never waits in IRR: nothing the guest does bounds how often its error is raised. */
  if ((entry & LVT_VECTOR) < FIRST_LEGAL_VECTOR && self->timer_due_ns < ns + ILLEGAL_TIMER_NS)
    self->timer_due_ns = ns + ILLEGAL_TIMER_NS;
  timer_arm (self->timer, self->timer_due_ns > 0 ? (uint64_t) self->timer_due_ns : 0);
}

static bool
accept_fixed (LocalApic *self, uint8_t vector, bool level)
{
  if (vector < FIRST_LEGAL_VECTOR)
    {
      raise_error (self, ESR_RECEIVE_VECTOR);
      return false;
    }
  insert (self->irr, vector);
  if (level)
    insert (self->tmr, vector);
  else
    drop (self->tmr, vector);
  update_output (self);
  return true;
}

static void
timer_fire (Device *device)
{
  LocalApic *self = (LocalApic *) device;
  int64_t    ns = now_ns (self);

  /* Under fuzzy time the clock may read a little less than the deadline that has come. */
  if (ns < self->timer_due_ns)
    ns = self->timer_due_ns;
  self->timer_expired = 1;
  if (ns < self->timer_expiry_ns)
    self->timer_owed -= self->timer_owed > 0;
  else if ((self->lvt[LVT_TIMER] & LVT_PERIODIC) && self->timer_initial)
    {
      /* At most a second's worth: after a longer absence no guest minds. */
      int64_t period = counts_to_ns (self, self->timer_initial);
      int64_t owed = self->timer_owed + (ns - self->timer_expiry_ns) / period;
      int64_t most = (int64_t) CLOCK_NS_PER_SECOND / period;

      /* Periods that no guest could serve in time are not owed. */
      self->timer_owed = period < MIN_OWED_NS ? 0 : (uint32_t) (owed < most ? owed : most);
    }
  /* Armed means unmasked, and masked entries were masked when the APIC was disabled by software. */
  if (is_software_enabled (self))
    accept_fixed (self, self->lvt[LVT_TIMER] & LVT_VECTOR, false);
  arm_timer (self, ns);
}

/* --- Deliveries ----------------------------------------------------------------------------------------------- */

static void
raise_error (LocalApic *self, uint32_t error)
{
  uint32_t entry = self->lvt[LVT_ERROR];

  self->errors |= error;
  /* 10.5.3: an illegal vector in the error entry itself is an error that can only be recorded. */
  if (entry & LVT_MASKED)
    return;
  if ((entry & LVT_VECTOR) < FIRST_LEGAL_VECTOR)
    self->errors |= ESR_RECEIVE_VECTOR;
  else
    accept_fixed (self, entry & LVT_VECTOR, false);
}

static void
reset_registers (LocalApic *self)
{
  /* 10.4.7.1; the id is set by the caller. */
  self->tpr = self->ldr = self->icr_low = self->icr_high = self->esr = self->errors = 0;
  self->dfr = 0xffffffff;
  self->svr = 0xff;
  for (unsigned i = 0; i < N_LVT; i++)
    self->lvt[i] = LVT_MASKED;
  memset (self->isr, 0, sizeof self->isr);
  memset (self->tmr, 0, sizeof self->tmr);
  memset (self->irr, 0, sizeof self->irr);
  self->timer_initial = self->timer_divide = 0;
  self->timer_start_ns = self->timer_expiry_ns = self->timer_due_ns = 0;
  self->timer_owed = 0;
  self->timer_expired = self->extint = 0;
  timer_disarm (self->timer);
}

void
local_apic_init_reset (LocalApic *self)
{
  reset_registers (self);
  update_output (self);
}

/* What one accepted delivery does. */
static bool
act (LocalApic *self, unsigned delivery, uint8_t vector, bool level)
{
  switch (delivery)
    {
    case APIC_FIXED:
    case APIC_LOWEST_PRIORITY:
      return is_software_enabled (self) && accept_fixed (self, vector, level);
    case APIC_SMI:
      irq_line_pulse (&self->wires.smi);
      return true;
    case APIC_NMI:
      irq_line_pulse (&self->wires.nmi);
      return true;
    case APIC_INIT:
      local_apic_init_reset (self);
      irq_line_pulse (&self->wires.init);
      return true;
    case APIC_STARTUP:
      /* 8.4.3: only a processor that waits for it starts; the bootstrap processor does not. */
      return true;
    case APIC_EXTINT:
      self->extint = 1;
      update_output (self);
      return true;
    default:
      return false;
    }
}

static bool
is_addressed (const LocalApic *self, uint8_t destination, bool logical)
{
  uint8_t own = (uint8_t) (self->ldr >> 24);

  if (destination == BROADCAST)
    return true;
  if (!logical)
    /* 10.6.2.1: four-bit ids in the P6 family; all ones is everybody. */
    return (destination & 0xf) == (self->id >> 24 & 0xf) || (destination & 0xf) == 0xf;
  /* 10.6.2.2: one bit each, or clusters of four. */
  if (self->dfr >> 28 == 0xf)
    return destination & own;
  return destination >> 4 == own >> 4 && (destination & own & 0xf);
}

bool
local_apic_deliver (void *local_apic, const ApicMessage *message)
{
  LocalApic *self = local_apic;

  return is_enabled (self) && is_addressed (self, message->destination, message->logical)
         && act (self, message->delivery, message->vector, message->level);
}

static void
send_interprocessor (LocalApic *self)
{
  unsigned delivery = self->icr_low >> 8 & 7, shorthand = (self->icr_low & ICR_SHORTHAND) >> 18;
  uint8_t  vector = self->icr_low & 0xff;
  bool     accepted;

  /* 10.6.1: an INIT level de-assert only sets arbitration ids. */
  if (delivery == APIC_INIT && (self->icr_low & ICR_LEVEL) && !(self->icr_low & ICR_ASSERT))
    return;
  if ((delivery == APIC_FIXED || delivery == APIC_LOWEST_PRIORITY) && vector < FIRST_LEGAL_VECTOR)
    {
      raise_error (self, ESR_SEND_VECTOR);
      return;
    }
  switch (shorthand)
    {
    case 0:
      accepted = is_addressed (self, (uint8_t) (self->icr_high >> 24), self->icr_low & ICR_LOGICAL)
                 && act (self, delivery, vector, false);
      break;
    case 1:
    case 2:
      /* Table 10-3: an SMI, INIT or start-up message to oneself is not a legal combination. */
      accepted = shorthand == 1 && delivery != APIC_FIXED ? true : act (self, delivery, vector, false);
      break;
    default:
      accepted = true;          /* all but oneself: nobody is there, and nobody had to be */
      break;
    }
  if (!accepted)
    raise_error (self, ESR_SEND_ACCEPT);
}

/* A level triggered pin asks again until its handler has made the device let go. */
static void
service_level_pin (LocalApic *self, unsigned pin)
{
  uint32_t *entry = &self->lvt[LVT_LINT0 + pin];

  if (entry_delivers (self, LVT_LINT0 + pin, APIC_FIXED) && (*entry & LVT_LEVEL) && !(*entry & LVT_REMOTE_IRR)
      && pin_is_active (self, pin) && act (self, APIC_FIXED, *entry & LVT_VECTOR, true))
    *entry |= LVT_REMOTE_IRR;
}

void
local_apic_set_lint (void *local_apic, unsigned input, bool level)
{
  LocalApic *self = local_apic;
  uint32_t   entry;
  bool       was_active, was_high;

  if (input > LOCAL_APIC_LINT1)
    return;
  was_active = pin_is_active (self, input);
  was_high = self->pins & 1u << input;
  self->pins = level ? self->pins | 1u << input : self->pins & ~(1u << input);
  if (!is_enabled (self))
    {
      if (input == LOCAL_APIC_LINT1 && level && !was_high)
        irq_line_pulse (&self->wires.nmi);
      update_output (self);
      return;
    }
  entry = self->lvt[LVT_LINT0 + input];
  if (!(entry & LVT_MASKED) && !was_active && pin_is_active (self, input))
    {
      unsigned delivery = (entry & LVT_DELIVERY) >> 8;

      if (delivery == APIC_FIXED && (entry & LVT_LEVEL))
        service_level_pin (self, input);
      /* ExtINT follows the pin, see external_interrupt; the other modes are edges (10.5.1). */
      else if (delivery != APIC_EXTINT && delivery != APIC_LOWEST_PRIORITY && delivery != APIC_STARTUP)
        act (self, delivery, entry & LVT_VECTOR, false);
    }
  update_output (self);
}

int
local_apic_acknowledge (void *local_apic)
{
  LocalApic *self = local_apic;
  int        vector = deliverable (self);

  if (vector >= 0)
    {
      drop (self->irr, (uint8_t) vector);
      insert (self->isr, (uint8_t) vector);
      update_output (self);
      if ((self->lvt[LVT_TIMER] & LVT_VECTOR) == (uint32_t) vector)
        arm_timer (self, now_ns (self));
      return vector;
    }
  if (external_interrupt (self))
    {
      self->extint = 0;
      vector = self->wires.pic_acknowledge ? self->wires.pic_acknowledge (self->wires.pic) : -1;
      update_output (self);
      return vector;
    }
  /* 10.9: the interrupt has gone between INTR and the acknowledge; ISR is not touched. */
  return is_software_enabled (self) ? (int) (self->svr & 0xff) : -1;
}

static void
end_of_interrupt (LocalApic *self)
{
  int  vector = highest (self->isr);
  bool level;

  if (vector < 0)
    return;
  drop (self->isr, (uint8_t) vector);
  level = contains (self->tmr, (uint8_t) vector);
  if (level)
    {
      for (unsigned pin = 0; pin < 2; pin++)
        if ((self->lvt[LVT_LINT0 + pin] & LVT_REMOTE_IRR) && (self->lvt[LVT_LINT0 + pin] & LVT_VECTOR) == (uint32_t) vector)
          {
            self->lvt[LVT_LINT0 + pin] &= ~LVT_REMOTE_IRR;
            service_level_pin (self, pin);
          }
      if (self->wires.io_apic_eoi)
        self->wires.io_apic_eoi (self->wires.io_apic, (uint8_t) vector);
    }
  update_output (self);
}

/* --- Registers ------------------------------------------------------------------------------------------------ */

/* Which row of the table a register is, or N_LVT. */
static unsigned
lvt_row (uint32_t reg)
{
  return reg >= REG_LVT && reg < REG_LVT + N_LVT && lvt_writable[reg - REG_LVT] ? reg - REG_LVT : N_LVT;
}

static uint64_t
apic_read (Device *device, uint32_t offset, unsigned size)
{
  LocalApic *self = (LocalApic *) device;
  uint32_t   reg = offset >> 4;

  if (offset & 0xf)
    return 0;                   /* 10.4.1: registers lie at 16-byte steps; between them is nothing defined */
  switch (reg)
    {
    case REG_ID:            return self->id;
    case REG_VERSION:       return VERSION;
    case REG_TPR:           return self->tpr;
    case REG_APR:           return arbitration_priority (self);
    case REG_PPR:           return processor_priority (self);
    case REG_EOI:
    case REG_REMOTE_READ:   return 0;
    case REG_LDR:           return self->ldr;
    case REG_DFR:           return self->dfr;
    case REG_SVR:           return self->svr;
    case REG_ESR:           return self->esr;
    case REG_ICR_LOW:       return self->icr_low;
    case REG_ICR_HIGH:      return self->icr_high;
    case REG_TIMER_INITIAL: return self->timer_initial;
    case REG_TIMER_CURRENT: return timer_current (self, now_ns (self));
    case REG_TIMER_DIVIDE:  return self->timer_divide;
    default:
      break;
    }
  if (reg >= REG_ISR && reg < REG_ISR + 8)
    return self->isr[reg - REG_ISR];
  if (reg >= REG_TMR && reg < REG_TMR + 8)
    return self->tmr[reg - REG_TMR];
  if (reg >= REG_IRR && reg < REG_IRR + 8)
    return self->irr[reg - REG_IRR];
  if (lvt_row (reg) < N_LVT)
    return self->lvt[lvt_row (reg)];
  raise_error (self, ESR_REGISTER);
  return 0;
}

static void
write_spurious_vector (LocalApic *self, uint32_t value)
{
  bool was_enabled = self->svr & SVR_ENABLE;

  /* 10.9: in the P6 family the low four bits of the vector are hardwired to ones. */
  self->svr = (value & 0x3ff) | 0x0f;
  if (!(self->svr & SVR_ENABLE))
    {
      /* 10.4.7.2 */
      for (unsigned i = 0; i < N_LVT; i++)
        self->lvt[i] |= LVT_MASKED;
      timer_disarm (self->timer);
    }
  else if (!was_enabled && self->wires.io_apic_eoi)
    self->wires.io_apic_eoi (self->wires.io_apic, 0);
}

static void
write_lvt (LocalApic *self, unsigned row, uint32_t value)
{
  uint32_t old = self->lvt[row];

  value &= lvt_writable[row];
  if (!(self->svr & SVR_ENABLE))
    value |= LVT_MASKED;
  /* Remote IRR is the APIC's; leaving level mode clears it. */
  if (value & LVT_LEVEL)
    value |= old & LVT_REMOTE_IRR;
  self->lvt[row] = value;
  if (row == LVT_TIMER)
    {
      int64_t ns = now_ns (self);

      /* From periodic to one-shot: the period that runs now is the last. */
      if ((old & LVT_PERIODIC) && !(value & LVT_PERIODIC) && self->timer_initial)
        {
          int64_t counts = counts_since_start (self, ns);

          self->timer_start_ns += counts_to_ns (self, counts - counts % self->timer_initial);
          self->timer_expired = 0;
        }
      /* A one-shot count that ran out while masked is gone. */
      else if (!(value & LVT_PERIODIC) && (old & LVT_MASKED) && self->timer_initial && !timer_current (self, ns))
        self->timer_expired = 1;
      arm_timer (self, ns);
    }
  else if (row == LVT_LINT0 || row == LVT_LINT1)
    service_level_pin (self, row - LVT_LINT0);
}

static void
write_timer_divide (LocalApic *self, uint32_t value)
{
  int64_t  ns = now_ns (self);
  uint32_t current = timer_current (self, ns);

  self->timer_divide = value & 0xb;
  /* The count goes on from where it is at the new rate. */
  if (self->timer_initial)
    {
      self->timer_start_ns = ns - counts_to_ns (self, self->timer_initial - current);
      arm_timer (self, ns);
    }
}

static void
apic_write (Device *device, uint32_t offset, unsigned size, uint64_t wide)
{
  LocalApic *self = (LocalApic *) device;
  uint32_t   reg = offset >> 4, value = (uint32_t) wide;

  if (offset & 0xf)
    return;
  switch (reg)
    {
    case REG_ID:
      self->id = value & 0x0f000000;
      break;
    case REG_TPR:
      self->tpr = value & 0xff;
      break;
    case REG_EOI:
      end_of_interrupt (self);
      break;
    case REG_LDR:
      self->ldr = value & 0xff000000;
      break;
    case REG_DFR:
      self->dfr = value | 0x0fffffff;
      break;
    case REG_SVR:
      write_spurious_vector (self, value);
      break;
    case REG_ESR:
      /* 10.5.3: a write brings the errors since the last one into view. */
      self->esr = self->errors;
      self->errors = 0;
      break;
    case REG_ICR_LOW:
      self->icr_low = value & ICR_WRITABLE;
      send_interprocessor (self);
      break;
    case REG_ICR_HIGH:
      self->icr_high = value & 0xff000000;
      break;
    case REG_TIMER_INITIAL:
      self->timer_initial = value;
      self->timer_start_ns = now_ns (self);
      self->timer_expired = 0;
      self->timer_owed = 0;
      arm_timer (self, self->timer_start_ns);
      break;
    case REG_TIMER_DIVIDE:
      write_timer_divide (self, value);
      break;
    case REG_VERSION: case REG_APR: case REG_PPR: case REG_REMOTE_READ: case REG_TIMER_CURRENT:
      break;                    /* read only */
    default:
      if (lvt_row (reg) < N_LVT)
        write_lvt (self, lvt_row (reg), value);
      else if (reg < REG_ISR || reg >= REG_ESR)
        raise_error (self, ESR_REGISTER);
      break;
    }
  update_output (self);
}

/* --- Place on the bus ----------------------------------------------------------------------------------------- */

static const BusRegion apic_region = { "local-apic", BUS_SIZE_4, apic_read, apic_write };

static int
claim (LocalApic *self)
{
  int result = 0;

  if (self->claimed)
    bus_release (self->bus, &self->parent, &apic_region);
  self->claimed = 0;
  if (is_enabled (self))
    {
      result = bus_claim_memory (self->bus, &self->parent, &apic_region, self->base & BASE_ADDRESS, REGISTER_BYTES);
      self->claimed = result == 0;
    }
  return result;
}

void
local_apic_set_base (LocalApic *self, uint64_t apic_base)
{
  uint64_t old = self->base;

  self->base = apic_base & (BASE_ADDRESS | BASE_ENABLE | BASE_BOOTSTRAP);
  if (self->base == old)
    return;
  if ((old ^ self->base) & BASE_ENABLE)
    reset_registers (self);
  /* A page that a device holds already stays that device's: the guest put the APIC where it cannot be seen. */
  claim (self);
  update_output (self);
}

uint64_t
local_apic_base (const LocalApic *self)
{
  return self->base;
}

void
local_apic_connect_io_apic (LocalApic *self, void (*eoi) (void *io_apic, uint8_t vector), void *io_apic)
{
  self->wires.io_apic_eoi = eoi;
  self->wires.io_apic = io_apic;
}

/* --- Device --------------------------------------------------------------------------------------------------- */

static const StateField apic_fields[] = {
  STATE_FIELD (LocalApic, timer, STATE_TIMER, 1),
  STATE_FIELD (LocalApic, base, STATE_UINT, 1),
  STATE_FIELD (LocalApic, id, STATE_UINT, 1),
  STATE_FIELD (LocalApic, tpr, STATE_UINT, 1),
  STATE_FIELD (LocalApic, ldr, STATE_UINT, 1),
  STATE_FIELD (LocalApic, dfr, STATE_UINT, 1),
  STATE_FIELD (LocalApic, svr, STATE_UINT, 1),
  STATE_FIELD (LocalApic, icr_low, STATE_UINT, 1),
  STATE_FIELD (LocalApic, icr_high, STATE_UINT, 1),
  STATE_FIELD (LocalApic, esr, STATE_UINT, 1),
  STATE_FIELD (LocalApic, errors, STATE_UINT, 1),
  STATE_FIELD (LocalApic, lvt, STATE_BYTES, 1),
  STATE_FIELD (LocalApic, isr, STATE_BYTES, 1),
  STATE_FIELD (LocalApic, tmr, STATE_BYTES, 1),
  STATE_FIELD (LocalApic, irr, STATE_BYTES, 1),
  STATE_FIELD (LocalApic, timer_initial, STATE_UINT, 1),
  STATE_FIELD (LocalApic, timer_divide, STATE_UINT, 1),
  STATE_FIELD (LocalApic, timer_start_ns, STATE_UINT, 1),
  STATE_FIELD (LocalApic, timer_expiry_ns, STATE_UINT, 1),
  STATE_FIELD (LocalApic, timer_due_ns, STATE_UINT, 1),
  STATE_FIELD (LocalApic, timer_owed, STATE_UINT, 1),
  STATE_FIELD (LocalApic, timer_expired, STATE_UINT, 1),
  STATE_FIELD (LocalApic, pins, STATE_UINT, 1),
  STATE_FIELD (LocalApic, extint, STATE_UINT, 1),
  STATE_END,
};

static int
apic_check (Device *device)
{
  LocalApic *self = (LocalApic *) device;

  if ((self->base & ~(BASE_ADDRESS | BASE_ENABLE | BASE_BOOTSTRAP)) || (self->id & ~0x0f000000u) || self->tpr > 0xff
      || (self->ldr & 0x00ffffff) || (self->dfr & 0x0fffffff) != 0x0fffffff || (self->svr & ~0x3ffu)
      || (self->icr_low & ~(uint32_t) ICR_WRITABLE) || (self->icr_high & 0x00ffffff) || (self->timer_divide & ~0xbu)
      || self->timer_start_ns >= MAX_NS || self->timer_start_ns <= -MAX_NS
      || self->timer_due_ns >= 2 * MAX_NS || self->timer_due_ns <= -MAX_NS
      || self->timer_expiry_ns >= 2 * MAX_NS || self->timer_expiry_ns <= -MAX_NS || self->timer_owed > 100000
      || self->timer_expired > 1 || self->pins > 3
      || self->extint > 1)
    return -EBADMSG;
  for (unsigned i = 0; i < N_LVT; i++)
    if (self->lvt[i] & ~(lvt_writable[i] | LVT_MASKED | (lvt_writable[i] & LVT_LEVEL ? LVT_REMOTE_IRR : 0)))
      return -EBADMSG;
  if ((self->isr[0] | self->irr[0]) & 0xffff)
    return -EBADMSG;            /* illegal vectors are never accepted */
  claim (self);
  self->output = external_interrupt (self) || deliverable (self) >= 0;
  irq_line_set (&self->wires.interrupt, self->output);
  return 0;
}

static const StateTable apic_state = { "local-apic", 1, apic_fields, apic_check };

static void
apic_reset (Device *device)
{
  LocalApic *self = (LocalApic *) device;

  reset_registers (self);
  self->pins = 0;               /* reset reaches the whole machine */
  self->id = 0;
  self->base = LOCAL_APIC_DEFAULT_BASE;
  claim (self);
  self->output = 0;
  irq_line_set (&self->wires.interrupt, false);
  update_output (self);
}

static void
apic_finish (Device *device)
{
  LocalApic *self = (LocalApic *) device;

  if (!self)
    return;
  timer_free (self->timer);
  free (self);
}

static const DeviceClass apic_class = { "local-apic", sizeof (LocalApic), &apic_state, apic_reset, apic_finish };

int
local_apic_new (const DeviceHost *host, const LocalApicWires *wires, LocalApic **ret)
{
  LocalApic *self = calloc (1, sizeof *self);
  int        result = -ENOMEM;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &apic_class;
  self->bus = host->bus;
  self->clock = host->clock;
  self->wires = *wires;
  self->timer = clock_add_timer (host->clock, &self->parent, timer_fire);
  if (self->timer)
    {
      self->base = LOCAL_APIC_DEFAULT_BASE;
      result = claim (self);
    }
  if (result < 0)
    {
      apic_finish (&self->parent);
      return result;
    }
  apic_reset (&self->parent);
  *ret = self;
  return 0;
}
