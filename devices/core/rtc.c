/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Motorola MC146818A ("DS": its data sheet, document MC146818A/D).
 *
 * Nothing ticks.  The chip's time is a second number at a moment of guest time (`origin_ns`, where a second begins);
 * registers are computed when read.  The flags of register C are computed when looked at, from what the time between
 * the last look and now has passed; a timer exists only for the next event that would raise the interrupt line.
 *
 * An update is visible at once at the beginning of a second, and the update-in-progress bit is high for the 2228 us
 * before it (tBUC + tUC of DS table "Update cycle times" for a 32.768 kHz time base).  On the chip the fields change
 * somewhere inside that window; programs that keep the rules (no UIP: 244 us of peace; or the update-ended
 * interrupt) cannot tell.
 *
 * Where we differ: the century byte at 32h, which PC firmware defined, follows the date; the chip itself has only RAM
 * there.  The square wave output is not connected in a PC. */
#include "rtc.h"

#include "bus.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BASE_HZ = 32768, UIP_NS = 2228000, HALF_SECOND_NS = 500000000 };

enum
{
  REG_SECOND, REG_SECOND_ALARM, REG_MINUTE, REG_MINUTE_ALARM, REG_HOUR, REG_HOUR_ALARM, REG_WEEKDAY, REG_DAY,
  REG_MONTH, REG_YEAR, REG_A, REG_B, REG_C, REG_D, FIRST_RAM,
  A_UIP = 0x80, A_DV = 0x70, A_DV_NORMAL = 0x20, A_RS = 0x0f,
  B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 0x08, B_BINARY = 0x04, B_24H = 0x02, B_DSE = 0x01,
  C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10,
  D_VRT = 0x80,
};

#define SECONDS_PER_DAY INT64_C (86400)
/* The calendar: years 0000 … 9999, as seconds of the proleptic Gregorian calendar from 1970. */
#define MIN_TIME INT64_C (-62167219200)
#define MAX_TIME INT64_C (253402300799)
#define MAX_NS (INT64_C (1) << 62)

typedef struct
{
  int64_t  year;
  unsigned month, day, weekday, hour, minute, second;   /* month, day from 1; weekday 1 is Sunday */
} Fields;

struct Rtc
{
  Device   parent;
  Clock   *clock;
  IrqLine  irq8;
  Timer   *timer;
  uint8_t  cmos[CMOS_BYTES];    /* 0 … 9 and CMOS_CENTURY are valid only while the clock stands still */
  uint8_t  index, extended_index;
  uint8_t  weekday_offset;      /* 0 … 6: the guest's idea of the day of the week */
  int64_t  origin_ns;           /* of guest time (may be negative): the divider chain was at zero */
  int64_t  origin_seconds;      /* the second that began then */
  int64_t  flags_ns;            /* the flags in C are complete up to here */
  int64_t  due_ns;              /* what `timer` waits for */
};

/* --- Calendar ------------------------------------------------------------------------------------------------- */

/* Days from 1970-01-01 of a proleptic Gregorian date; month and day may be out of range, they carry over. */
static int64_t
days_from_date (int64_t year, int64_t month, int64_t day)
{
  int64_t era, year_of_era, day_of_year;

  year += (month - 1) / 12;
  month = (month - 1) % 12 + 1;
  if (month < 1)
    {
      month += 12;
      year--;
    }
  /* Years that begin in March put the leap day at the end. */
  year -= month <= 2;
  era = (year >= 0 ? year : year - 399) / 400;
  year_of_era = year - era * 400;
  day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void
date_from_days (int64_t days, Fields *ret)
{
  int64_t era, day_of_era, year_of_era, day_of_year, march_month;

  ret->weekday = (unsigned) (((days + 4) % 7 + 7) % 7) + 1;
  days += 719468;
  era = (days >= 0 ? days : days - 146096) / 146097;
  day_of_era = days - era * 146097;
  year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  march_month = (5 * day_of_year + 2) / 153;
  ret->day = (unsigned) (day_of_year - (153 * march_month + 2) / 5 + 1);
  ret->month = (unsigned) (march_month < 10 ? march_month + 3 : march_month - 9);
  ret->year = year_of_era + era * 400 + (ret->month <= 2);
}

static Fields
fields_of (int64_t seconds)
{
  int64_t days = seconds / SECONDS_PER_DAY, rest = seconds % SECONDS_PER_DAY;
  Fields  fields;

  if (rest < 0)
    {
      rest += SECONDS_PER_DAY;
      days--;
    }
  date_from_days (days, &fields);
  fields.hour = (unsigned) (rest / 3600);
  fields.minute = (unsigned) (rest / 60 % 60);
  fields.second = (unsigned) (rest % 60);
  return fields;
}

/* --- Register formats ----------------------------------------------------------------------------------------- */

static uint8_t
encode (const Rtc *self, unsigned value)
{
  return (uint8_t) (self->cmos[REG_B] & B_BINARY ? value : (value / 10 % 10) << 4 | value % 10);
}

static unsigned
decode (const Rtc *self, uint8_t raw)
{
  return self->cmos[REG_B] & B_BINARY ? raw : (raw >> 4) * 10u + (raw & 15u);
}

/* DS table "Time, calendar, and alarm data modes": 12-hour mode is 1 … 12 with the high bit for the afternoon. */
static uint8_t
encode_hour (const Rtc *self, unsigned hour)
{
  if (self->cmos[REG_B] & B_24H)
    return encode (self, hour);
  return encode (self, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static unsigned
decode_hour (const Rtc *self, uint8_t raw)
{
  if (self->cmos[REG_B] & B_24H)
    return decode (self, raw);
  return decode (self, raw & 0x7f) % 12 + (raw & 0x80 ? 12 : 0);
}

static void
fields_to_registers (Rtc *self, int64_t seconds)
{
  Fields fields = fields_of (seconds);

  self->cmos[REG_SECOND] = encode (self, fields.second);
  self->cmos[REG_MINUTE] = encode (self, fields.minute);
  self->cmos[REG_HOUR] = encode_hour (self, fields.hour);
  self->cmos[REG_WEEKDAY] = encode (self, (fields.weekday - 1 + self->weekday_offset) % 7 + 1);
  self->cmos[REG_DAY] = encode (self, fields.day);
  self->cmos[REG_MONTH] = encode (self, fields.month);
  self->cmos[REG_YEAR] = encode (self, (unsigned) (fields.year % 100));
  self->cmos[CMOS_CENTURY] = encode (self, (unsigned) (fields.year / 100));
}

/* What the registers mean; values that no clock shows carry over into the next field. */
static int64_t
registers_to_seconds (const Rtc *self)
{
  int64_t year = (int64_t) decode (self, self->cmos[CMOS_CENTURY]) * 100 + decode (self, self->cmos[REG_YEAR]);
  int64_t seconds = days_from_date (year, decode (self, self->cmos[REG_MONTH]), decode (self, self->cmos[REG_DAY]))
                    * SECONDS_PER_DAY;

  seconds += (int64_t) decode_hour (self, self->cmos[REG_HOUR]) * 3600 + decode (self, self->cmos[REG_MINUTE]) * 60
             + decode (self, self->cmos[REG_SECOND]);
  return seconds < MIN_TIME ? MIN_TIME : seconds > MAX_TIME ? MAX_TIME : seconds;
}

/* --- Time ----------------------------------------------------------------------------------------------------- */

/* Never before what has been accounted for: under fuzzy time the clock may read a little less than a deadline that has
 * come, and an update-ended interrupt must not be followed by the old second. */
static int64_t
now_ns (const Rtc *self)
{
  int64_t ns = (int64_t) (clock_now_ns (self->clock) & (uint64_t) (MAX_NS - 1));

  return ns > self->flags_ns ? ns : self->flags_ns;
}

/* The oscillator's chain runs. DS table "Divider values": 4.194304 and 1.048576 MHz crystals would run too fast here,
 * so only the 32.768 kHz setting counts; 11x holds the chain in reset. */
static bool
divider_runs (const Rtc *self)
{
  return (self->cmos[REG_A] & A_DV) == A_DV_NORMAL;
}

static bool
time_runs (const Rtc *self)
{
  return divider_runs (self) && !(self->cmos[REG_B] & B_SET);
}

/* Ticks of the time base since origin. */
static int64_t
base_ticks (const Rtc *self, int64_t ns)
{
  return ns <= self->origin_ns ? 0 : (int64_t) clock_ticks ((uint64_t) (ns - self->origin_ns), BASE_HZ);
}

static int64_t
tick_ns (const Rtc *self, int64_t tick)
{
  return self->origin_ns + (int64_t) clock_tick_ns ((uint64_t) tick, BASE_HZ);
}

static int64_t
seconds_at (const Rtc *self, int64_t ns)
{
  int64_t seconds = self->origin_seconds + base_ticks (self, ns) / BASE_HZ;

  return seconds > MAX_TIME ? MAX_TIME : seconds;
}

static void
start_time (Rtc *self, int64_t ns, int64_t seconds)
{
  int64_t into_second = divider_runs (self) ? base_ticks (self, ns) % BASE_HZ : 0;

  /* The chain below one second is not touched by setting the time (DS "SET"). */
  self->origin_seconds = seconds - (base_ticks (self, ns) - into_second) / BASE_HZ;
}

/* Ticks per periodic interrupt, 0 for none (DS table "Periodic interrupt rate", 32.768 kHz column). */
static unsigned
periodic_ticks (const Rtc *self)
{
  unsigned rate = self->cmos[REG_A] & A_RS;

  if (rate == 0 || !divider_runs (self))
    return 0;
  return 1u << (rate < 3 ? rate + 6 : rate - 1);
}

static bool
alarm_byte_matches (uint8_t alarm, uint8_t now)
{
  /* DS "Alarm": the two high bits set mean "don't care". */
  return (alarm & 0xc0) == 0xc0 || alarm == now;
}

/* The first second after `seconds` at which the alarm matches, or INT64_MAX if no time of day does. */
static int64_t
next_alarm (const Rtc *self, int64_t seconds)
{
  int64_t at = seconds + 1, end = at + SECONDS_PER_DAY;

  while (at < end)
    {
      Fields fields = fields_of (at);

      if (!alarm_byte_matches (self->cmos[REG_HOUR_ALARM], encode_hour (self, fields.hour)))
        at += 3600 - (int64_t) fields.minute * 60 - fields.second;
      else if (!alarm_byte_matches (self->cmos[REG_MINUTE_ALARM], encode (self, fields.minute)))
        at += 60 - (int64_t) fields.second;
      else if (!alarm_byte_matches (self->cmos[REG_SECOND_ALARM], encode (self, fields.second)))
        at++;
      else
        return at;
    }
  return INT64_MAX;
}

/* --- Flags and the interrupt ---------------------------------------------------------------------------------- */

/* Brings the flags of register C up to a moment. */
static void
catch_up (Rtc *self, int64_t ns)
{
  int64_t before = base_ticks (self, self->flags_ns), after = base_ticks (self, ns);
  unsigned period = periodic_ticks (self);

  if (ns <= self->flags_ns)
    return;
  if (period && before / period != after / period)
    self->cmos[REG_C] |= C_PF;
  if (time_runs (self) && before / BASE_HZ != after / BASE_HZ)
    {
      self->cmos[REG_C] |= C_UF;
      if (!(self->cmos[REG_C] & C_AF) && next_alarm (self, seconds_at (self, self->flags_ns)) <= seconds_at (self, ns))
        self->cmos[REG_C] |= C_AF;
    }
  self->flags_ns = ns;
}

/* Drives the line from flags and enables, and arms the timer for the next event that could raise it. */
static void
update_interrupt (Rtc *self)
{
  uint8_t  flags = self->cmos[REG_C] & (C_PF | C_AF | C_UF);
  uint8_t  waiting = self->cmos[REG_B] & (B_PIE | B_AIE | B_UIE);
  int64_t  ticks = base_ticks (self, self->flags_ns), next = INT64_MAX;
  unsigned period = periodic_ticks (self);

  /* Enables of B and flags of C have the same places. */
  if (flags & waiting)
    {
      self->cmos[REG_C] = flags | C_IRQF;
      timer_disarm (self->timer);
      irq_line_set (&self->irq8, true);
      return;
    }
  self->cmos[REG_C] = flags;
  irq_line_set (&self->irq8, false);
  if ((waiting & B_PIE) && period)
    next = (ticks / period + 1) * period;
  if ((waiting & B_UIE) && time_runs (self))
    {
      int64_t update = (ticks / BASE_HZ + 1) * BASE_HZ;

      next = update < next ? update : next;
    }
  if ((waiting & B_AIE) && time_runs (self))
    {
      int64_t now = seconds_at (self, self->flags_ns), alarm = next_alarm (self, now);

      if (alarm != INT64_MAX)
        {
          int64_t at = (ticks / BASE_HZ + (alarm - now)) * BASE_HZ;

          next = at < next ? at : next;
        }
    }
  if (next == INT64_MAX)
    timer_disarm (self->timer);
  else
    {
      self->due_ns = tick_ns (self, next);
      timer_arm (self->timer, (uint64_t) self->due_ns);
    }
}

static void
rtc_fire (Device *device)
{
  Rtc    *self = (Rtc *) device;
  int64_t ns = now_ns (self);

  catch_up (self, ns > self->due_ns ? ns : self->due_ns);
  update_interrupt (self);
}

/* --- Registers ------------------------------------------------------------------------------------------------ */

static bool
is_time_register (unsigned index)
{
  switch (index)
    {
    case REG_SECOND: case REG_MINUTE: case REG_HOUR: case REG_WEEKDAY: case REG_DAY: case REG_MONTH: case REG_YEAR:
    case CMOS_CENTURY:
      return true;
    default:
      return false;
    }
}

static bool
update_in_progress (const Rtc *self, int64_t ns)
{
  int64_t next;

  if (!time_runs (self))
    return false;
  next = tick_ns (self, (base_ticks (self, ns) / BASE_HZ + 1) * BASE_HZ);
  return next - ns <= UIP_NS;
}

static uint8_t
read_register (Rtc *self, unsigned index)
{
  int64_t ns = now_ns (self);
  uint8_t value;

  switch (index)
    {
    case REG_A:
      return (self->cmos[REG_A] & ~A_UIP) | (update_in_progress (self, ns) ? A_UIP : 0);
    case REG_C:
      catch_up (self, ns);
      update_interrupt (self);
      value = self->cmos[REG_C];
      self->cmos[REG_C] = 0;
      update_interrupt (self);
      return value;
    case REG_D:
      return D_VRT;
    default:
      if (is_time_register (index) && time_runs (self))
        fields_to_registers (self, seconds_at (self, ns));
      return self->cmos[index];
    }
}

/* Registers now hold what the guest means: the clock goes on from there. */
static void
take_registers (Rtc *self, int64_t ns)
{
  int64_t  seconds = registers_to_seconds (self);
  unsigned weekday = decode (self, self->cmos[REG_WEEKDAY]);

  self->weekday_offset = (uint8_t) ((weekday % 7 + 14 - fields_of (seconds).weekday) % 7);
  start_time (self, ns, seconds);
}

static void
write_a (Rtc *self, uint8_t value, int64_t ns)
{
  bool    ran = divider_runs (self), stopped = !time_runs (self);
  int64_t seconds = stopped ? 0 : seconds_at (self, ns);

  if (!stopped)
    fields_to_registers (self, seconds);
  self->cmos[REG_A] = value & ~A_UIP;
  if (!ran && divider_runs (self))
    {
      /* DS "Divider control": the first update comes half a second after the chain is released. */
      self->origin_ns = ns - HALF_SECOND_NS;
      self->flags_ns = ns;
      if (!(self->cmos[REG_B] & B_SET))
        take_registers (self, ns);
    }
}

static void
write_b (Rtc *self, uint8_t value, int64_t ns)
{
  bool ran = time_runs (self);

  /* The time is kept in the old format's registers when it stops; a change of DM or 24/12 alone does not convert
   * registers that stand still (DS "DM": they must be initialised again). */
  if (ran)
    fields_to_registers (self, seconds_at (self, ns));
  if (value & B_SET)
    value &= ~B_UIE;            /* DS "UIE": cleared by SET going high */
  self->cmos[REG_B] = value;
  if (!ran && time_runs (self))
    take_registers (self, ns);
  else if (ran && time_runs (self))
    fields_to_registers (self, seconds_at (self, ns));
}

static void
write_register (Rtc *self, unsigned index, uint8_t value)
{
  int64_t ns = now_ns (self);

  if (index == REG_C || index == REG_D)
    return;                     /* read only */
  if (index >= FIRST_RAM && index != CMOS_CENTURY)
    {
      self->cmos[index] = value;
      return;
    }
  catch_up (self, ns);
  if (index == REG_A)
    write_a (self, value, ns);
  else if (index == REG_B)
    write_b (self, value, ns);
  else if (is_time_register (index) && time_runs (self))
    {
      fields_to_registers (self, seconds_at (self, ns));
      self->cmos[index] = value;
      take_registers (self, ns);
    }
  else
    self->cmos[index] = value;
  update_interrupt (self);
}

static uint64_t
rtc_read (Device *device, uint32_t offset, unsigned size)
{
  Rtc *self = (Rtc *) device;

  switch (offset)
    {
    case 1:  return read_register (self, self->index & 0x7f);
    case 3:  return self->cmos[0x80 | self->extended_index];
    default: return 0xff;       /* index ports are write only (PIIX3 data sheet 2.5.8) */
    }
}

static void
rtc_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Rtc *self = (Rtc *) device;

  switch (offset)
    {
    case 0:  self->index = (uint8_t) value; break;
    case 1:  write_register (self, self->index & 0x7f, (uint8_t) value); break;
    case 2:  self->extended_index = value & 0x7f; break;
    default: self->cmos[0x80 | self->extended_index] = (uint8_t) value; break;
    }
}

/* --- The board's side ----------------------------------------------------------------------------------------- */

static bool
is_ram (unsigned index)
{
  return index >= FIRST_RAM && index < CMOS_BYTES && index != CMOS_CENTURY;
}

void
rtc_set_cmos (Rtc *self, unsigned index, uint8_t value)
{
  if (is_ram (index))
    self->cmos[index] = value;
}

uint8_t
rtc_get_cmos (const Rtc *self, unsigned index)
{
  return is_ram (index) ? self->cmos[index] : 0;
}

void
rtc_checksum (Rtc *self)
{
  unsigned sum = 0;

  for (unsigned i = 0x10; i < CMOS_CHECKSUM; i++)
    sum += self->cmos[i];
  self->cmos[CMOS_CHECKSUM] = (uint8_t) (sum >> 8);
  self->cmos[CMOS_CHECKSUM + 1] = (uint8_t) sum;
}

void
rtc_save_cmos (const Rtc *self, uint8_t *ret_bytes)
{
  for (unsigned i = 0; i < CMOS_BYTES; i++)
    ret_bytes[i] = rtc_get_cmos (self, i);
}

void
rtc_load_cmos (Rtc *self, const uint8_t *bytes)
{
  for (unsigned i = 0; i < CMOS_BYTES; i++)
    rtc_set_cmos (self, i, bytes[i]);
}

void
rtc_set_time (Rtc *self, int64_t unix_seconds)
{
  int64_t ns = now_ns (self);

  if (unix_seconds < MIN_TIME)
    unix_seconds = MIN_TIME;
  if (unix_seconds > MAX_TIME)
    unix_seconds = MAX_TIME;
  catch_up (self, ns);
  self->weekday_offset = 0;
  if (time_runs (self))
    start_time (self, ns, unix_seconds);
  fields_to_registers (self, unix_seconds);
  update_interrupt (self);
}

int64_t
rtc_get_time (const Rtc *self)
{
  return time_runs (self) ? seconds_at (self, now_ns (self)) : registers_to_seconds (self);
}

bool
rtc_nmi_masked (const Rtc *self)
{
  return self->index & 0x80;
}

/* --- Device --------------------------------------------------------------------------------------------------- */

static const BusRegion rtc_region = { "rtc", BUS_SIZE_1, rtc_read, rtc_write };

static const StateField rtc_fields[] = {
  STATE_FIELD (Rtc, timer, STATE_TIMER, 1),
  STATE_FIELD (Rtc, cmos, STATE_BYTES, 1),
  STATE_FIELD (Rtc, index, STATE_UINT, 1),
  STATE_FIELD (Rtc, extended_index, STATE_UINT, 1),
  STATE_FIELD (Rtc, weekday_offset, STATE_UINT, 1),
  STATE_FIELD (Rtc, origin_ns, STATE_UINT, 1),
  STATE_FIELD (Rtc, origin_seconds, STATE_UINT, 1),
  STATE_FIELD (Rtc, flags_ns, STATE_UINT, 1),
  STATE_FIELD (Rtc, due_ns, STATE_UINT, 1),
  STATE_END,
};

static bool
time_is_sane (const Rtc *self)
{
  /* A guest may set the earliest date late in guest time, so the origin may lie before the calendar. */
  return self->extended_index < 0x80 && self->weekday_offset < 7 && self->origin_ns > -MAX_NS && self->origin_ns < MAX_NS
         && self->origin_seconds > 2 * MIN_TIME && self->origin_seconds <= MAX_TIME && self->flags_ns >= 0
         && self->flags_ns < MAX_NS && self->due_ns > -MAX_NS && self->due_ns < MAX_NS;
}

static int
rtc_check (Device *device)
{
  const Rtc *self = (const Rtc *) device;

  return time_is_sane (self) && !(self->cmos[REG_A] & A_UIP) ? 0 : -EBADMSG;
}

static const StateTable rtc_state = { "rtc", 1, rtc_fields, rtc_check };

/* RESET# leaves time, calendar and RAM to the battery (DS "RESET"). */
static void
rtc_reset (Device *device)
{
  Rtc    *self = (Rtc *) device;
  int64_t ns;

  if (!time_is_sane (self))
    {
      /* What a refused restore left behind. */
      self->flags_ns = 0;
      ns = now_ns (self);
      self->origin_ns = ns;
      self->origin_seconds = 0;
      self->flags_ns = self->due_ns = ns;
      self->weekday_offset = 0;
      self->extended_index = 0;
    }
  self->cmos[REG_A] &= ~A_UIP;
  catch_up (self, now_ns (self));
  self->cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
  self->cmos[REG_C] = 0;
  self->index = 0;
  update_interrupt (self);
}

static void
rtc_finish (Device *device)
{
  Rtc *self = (Rtc *) device;

  if (!self)
    return;
  timer_free (self->timer);
  free (self);
}

static const DeviceClass rtc_class = { "rtc", sizeof (Rtc), &rtc_state, rtc_reset, rtc_finish };

int
rtc_new (const DeviceHost *host, IrqLine irq8, int64_t unix_seconds, Rtc **ret)
{
  Rtc *self = calloc (1, sizeof *self);
  int  result = -ENOMEM;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &rtc_class;
  self->clock = host->clock;
  self->irq8 = irq8;
  self->timer = clock_add_timer (host->clock, &self->parent, rtc_fire);
  if (self->timer)
    result = bus_claim_ports (host->bus, &self->parent, &rtc_region, 0x70, 4);
  if (result < 0)
    {
      rtc_finish (&self->parent);
      return result;
    }
  self->origin_ns = self->flags_ns = now_ns (self);
  self->cmos[REG_A] = A_DV_NORMAL | 6;  /* 1024 Hz, what PC firmware sets */
  self->cmos[REG_B] = B_24H;
  rtc_set_time (self, unix_seconds);
  rtc_reset (&self->parent);
  *ret = self;
  return 0;
}
