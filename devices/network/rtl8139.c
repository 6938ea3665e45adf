/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RTL8139C (Realtek data sheet RTL8139C(L) rev. 1.4; programming guide 1.1): four transmit descriptors in registers,
 * one receive ring, an MII PHY in registers, a 93C46 EEPROM behind 9346CR.
 *
 * Sending completes at once; a frame that arrives goes straight into the ring.  Both happen on the machine's thread and
 * neither calls the other (loopback included: a looped frame is received, never sent on), so there is no recursion. */
#include "rtl8139.h"

#include "clock.h"
#include "guest-memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  IDR0 = 0x00, MAR0 = 0x08, TSD0 = 0x10, TSAD0 = 0x20, RBSTART = 0x30, ERBCR = 0x34, ERSR = 0x36, CR = 0x37, CAPR = 0x38, CBR = 0x3a,
  IMR = 0x3c, ISR = 0x3e, TCR = 0x40, RCR = 0x44, TCTR = 0x48, MPC = 0x4c, CR9346 = 0x50, CONFIG0 = 0x51, CONFIG1 = 0x52,
  TIMER_INT = 0x54, MSR = 0x58, CONFIG3 = 0x59, CONFIG4 = 0x5a, MULINT = 0x5c, RERID = 0x5e, TSAD = 0x60, BMCR = 0x62, BMSR = 0x64,
  ANAR = 0x66, ANLPAR = 0x68, ANER = 0x6a, CSCR = 0x74, CONFIG5 = 0xd8,
  N_REGISTERS = 256,

  CR_BUFE = 1 << 0, CR_TE = 1 << 2, CR_RE = 1 << 3, CR_RST = 1 << 4,
  ISR_ROK = 1 << 0, ISR_RER = 1 << 1, ISR_TOK = 1 << 2, ISR_TER = 1 << 3, ISR_RXOVW = 1 << 4, ISR_LINK = 1 << 5, ISR_FOVW = 1 << 6,
  ISR_TIMEOUT = 1 << 14, ISR_SERR = 1 << 15, ISR_BITS = 0xe07f,
  TSD_SIZE = 0x1fff, TSD_OWN = 1 << 13, TSD_TUN = 1 << 14, TSD_TOK = 1 << 15, TSD_EARLY = 0x3f << 16, TSD_TABT = 1 << 30,
  RCR_AAP = 1 << 0, RCR_APM = 1 << 1, RCR_AM = 1 << 2, RCR_AB = 1 << 3, RCR_AR = 1 << 4, RCR_AER = 1 << 5, RCR_WRAP = 1 << 7,
  RSR_ROK = 1 << 0, RSR_RUNT = 1 << 4, RSR_BAR = 1 << 13, RSR_PAM = 1 << 14, RSR_MAR = 1 << 15,
  TCR_LOOPBACK = 3 << 17, TCR_REVISION = 0x74000000 /* RTL8139C */,
  MSR_LINKB = 1 << 2, MSR_SPEED_10 = 1 << 3, MSR_AUX = 1 << 4,
  CR9346_CONFIG_WRITE = 0xc0, CR9346_PROGRAM = 0x80,
  EEPROM_WORDS = 64, BUFFER_MAX = 2048, RING_SLACK = 16,
};

typedef struct
{
  uint16_t words[EEPROM_WORDS];
  uint16_t shift;               /* bits of the command received */
  uint16_t out;                 /* word being read, and how many bits are left */
  uint8_t  n_shift, n_out;
  uint8_t  select, clock, output;
} Eeprom;

struct Rtl8139
{
  Device         parent;
  DeviceHost     host;
  PciFunction    pci[1];
  PacketBackend *cable;
  Eeprom         eeprom[1];
  Timer         *timer;
  uint64_t       timer_base_ns;         /* when TCTR was written last */
  uint32_t       tsd[4], tsad[4];
  uint32_t       rbstart, rcr, tcr, timer_int;
  uint16_t       capr, cbr, imr, isr, bmcr, anar, mulint, cscr;
  uint8_t        idr[6], mar[8];
  uint8_t        cr, cr9346, config1, config3, config4, config5, mpc;
  uint8_t        next_transmit;
};

static void
update_irq (Rtl8139 *self)
{
  pci_function_set_irq (&self->pci[0], self->isr & self->imr & ISR_BITS);
}

static bool
link_up (const Rtl8139 *self)
{
  return self->cable != NULL;
}

/* --- EEPROM ------------------------------------------------------------------------------------------------------ */

/* 93C46: a start bit, two bits of opcode, six of address; 10 is READ (National Semiconductor NM93C46). The other commands are accepted
 * without effect: the station address is the host's to choose. */
static void
eeprom_clock (Eeprom *self, bool select, bool clock, bool data)
{
  bool rising = clock && !self->clock;

  if (!select)
    {
      self->shift = self->n_shift = self->n_out = 0;
      self->output = 1;
    }
  else if (rising && self->n_out)
    {
      self->n_out--;
      self->output = self->out >> self->n_out & 1;
    }
  else if (rising && (self->n_shift || data))
    {
      self->shift = (uint16_t) (self->shift << 1 | data);
      if (++self->n_shift == 9)
        {
          if ((self->shift >> 6 & 3) == 2)
            {
              self->out = self->words[self->shift & (EEPROM_WORDS - 1)];
              self->n_out = 16;
              self->output = 0;         /* the dummy bit before the word */
            }
          self->n_shift = 0;
          self->shift = 0;
        }
    }
  self->select = select;
  self->clock = clock;
}

static void
fill_eeprom (Eeprom *self, const uint8_t mac[6])
{
  memset (self, 0, sizeof *self);
  self->words[0] = 0x8129;
  self->words[1] = 0x10ec;
  self->words[2] = 0x8139;
  self->words[3] = 0x10ec;
  self->words[4] = 0x8139;
  for (unsigned i = 0; i < 3; i++)
    self->words[7 + i] = (uint16_t) (mac[i * 2] | mac[i * 2 + 1] << 8);
}

/* --- receiving --------------------------------------------------------------------------------------------------- */

static uint32_t
ring_bytes (const Rtl8139 *self)
{
  return 8192u << (self->rcr >> 11 & 3);
}

/* CRC-32 of the address, its upper six bits choose the filter bit (data sheet 6.2). */
static bool
multicast_wanted (const Rtl8139 *self, const uint8_t *address)
{
  uint32_t crc = ~0u;

  for (unsigned i = 0; i < 6; i++)
    for (unsigned bit = 0; bit < 8; bit++)
      {
        unsigned out = (crc >> 31) ^ (address[i] >> bit & 1);

        crc = crc << 1 ^ (out ? 0x04c11db7 : 0);
      }
  return self->mar[crc >> 29] >> (crc >> 26 & 7) & 1;
}

static void
ring_put (Rtl8139 *self, uint32_t *at, const void *bytes, uint32_t n_bytes)
{
  uint32_t size = ring_bytes (self), first = n_bytes;

  /* With WRAP the chip goes on behind the ring's end, where the driver has left room (not with 64 KiB). */
  if (!(self->rcr & RCR_WRAP && size < 65536) && *at + n_bytes > size)
    first = *at < size ? size - *at : 0;
  guest_memory_write (self->host.memory, self->rbstart + *at, bytes, first);
  if (first < n_bytes)
    guest_memory_write (self->host.memory, self->rbstart, (const uint8_t *) bytes + first, n_bytes - first);
  *at += n_bytes;
  if (first < n_bytes || (*at >= size && !(self->rcr & RCR_WRAP && size < 65536)))
    *at -= size;
}

static uint32_t
crc32_frame (const uint8_t *bytes, size_t n_bytes)
{
  uint32_t crc = ~0u;

  for (size_t i = 0; i < n_bytes; i++)
    {
      crc ^= bytes[i];
      for (unsigned bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
  return ~crc;
}

/* Status word of an accepted frame, or 0: filtered out. */
static uint16_t
filter (const Rtl8139 *self, const uint8_t *frame)
{
  static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

  if (memcmp (frame, broadcast, 6) == 0)
    return self->rcr & (RCR_AB | RCR_AAP) ? RSR_ROK | RSR_BAR : 0;
  if (frame[0] & 1)
    return (self->rcr & RCR_AM && multicast_wanted (self, frame)) || self->rcr & RCR_AAP ? RSR_ROK | RSR_MAR : 0;
  if (memcmp (frame, self->idr, 6) == 0 && self->rcr & (RCR_APM | RCR_AAP))
    return RSR_ROK | RSR_PAM;
  return self->rcr & RCR_AAP ? RSR_ROK : 0;
}

static bool
receive (Device *device, const uint8_t *frame, size_t n_bytes)
{
  Rtl8139 *self = (Rtl8139 *) device;
  uint8_t padded[BUFFER_MAX];
  uint32_t size = ring_bytes (self), at = self->cbr, used, needed, crc;
  uint16_t status, header[2];

  if (!(self->cr & CR_RE) || n_bytes < 14 || n_bytes > PACKET_MAX_BYTES || !pci_function_is_master (&self->pci[0]))
    return true;
  status = filter (self, frame);
  if (!status)
    return true;
  memcpy (padded, frame, n_bytes);
  if (n_bytes < 60)
    {
      memset (padded + n_bytes, 0, 60 - n_bytes);
      n_bytes = 60;
    }
  crc = crc32_frame (padded, n_bytes);
  memcpy (padded + n_bytes, &crc, 4);
  n_bytes += 4;
  /* CAPR is 16 less than the driver's read position. The ring is never filled to the last byte: full would look empty. */
  used = (uint32_t) (self->cbr - (uint16_t) (self->capr + RING_SLACK)) & (size - 1);
  needed = (uint32_t) ((n_bytes + 4 + 3) & ~3u);
  if (needed + 4 >= size - used)
    {
      self->isr |= ISR_RXOVW;
      self->mpc = (uint8_t) (self->mpc + (self->mpc != 0xff));
      update_irq (self);
      return false;
    }
  header[0] = status;
  header[1] = (uint16_t) n_bytes;
  at &= size - 1;
  ring_put (self, &at, header, 4);
  ring_put (self, &at, padded, (uint32_t) n_bytes);
  self->cbr = (uint16_t) (((self->cbr & (size - 1)) + needed) & (size - 1));
  self->isr |= ISR_ROK;
  update_irq (self);
  return true;
}

/* --- transmitting ------------------------------------------------------------------------------------------------ */

static void
transmit (Rtl8139 *self, unsigned n)
{
  uint8_t frame[TSD_SIZE + 1];
  uint32_t size = self->tsd[n] & TSD_SIZE;

  if (!(self->cr & CR_TE) || size > BUFFER_MAX || guest_memory_read (self->host.memory, self->tsad[n], frame, size) < 0
      || !pci_function_is_master (&self->pci[0]))
    {
      self->tsd[n] |= TSD_OWN | TSD_TABT;
      self->isr |= ISR_TER;
      update_irq (self);
      return;
    }
  if (self->tcr & TCR_LOOPBACK)
    receive (&self->parent, frame, size);
  else if (self->cable && size >= 14 && size <= PACKET_MAX_BYTES)
    {
      if (size < 60)
        {
          memset (frame + size, 0, 60 - size);
          size = 60;
        }
      self->cable->send (self->cable, frame, size);
    }
  self->tsd[n] |= TSD_OWN | TSD_TOK;
  self->isr |= ISR_TOK;
  update_irq (self);
}

/* --- timer ------------------------------------------------------------------------------------------------------- */

/* TCTR counts PCI clocks, 33 MHz. */
static uint32_t
timer_count (const Rtl8139 *self)
{
  return (uint32_t) clock_ticks (clock_now_ns (self->host.clock) - self->timer_base_ns, 33000000);
}

static void
update_timer (Rtl8139 *self)
{
  uint64_t base_ticks;

  if (!self->timer_int)
    {
      timer_disarm (self->timer);
      return;
    }
  base_ticks = clock_ticks (clock_now_ns (self->host.clock) - self->timer_base_ns, 33000000);
  timer_arm (self->timer, self->timer_base_ns
                          + clock_tick_ns ((base_ticks & ~0xffffffffull) + self->timer_int
                                           + ((uint32_t) base_ticks >= self->timer_int ? 1ull << 32 : 0), 33000000));
}

static void
timer_fired (Device *device)
{
  Rtl8139 *self = (Rtl8139 *) device;

  self->isr |= ISR_TIMEOUT;
  update_irq (self);
  update_timer (self);
}

/* --- registers --------------------------------------------------------------------------------------------------- */

static void
soft_reset (Rtl8139 *self)
{
  memset (self->tsd, 0, sizeof self->tsd);
  for (unsigned i = 0; i < 4; i++)
    self->tsd[i] = TSD_OWN;
  memset (self->tsad, 0, sizeof self->tsad);
  self->rbstart = self->rcr = self->timer_int = 0;
  self->tcr = TCR_REVISION;
  self->capr = (uint16_t) -RING_SLACK;
  self->cbr = self->imr = self->isr = self->mulint = 0;
  self->cr = CR_BUFE;
  self->mpc = 0;
  self->next_transmit = 0;
  timer_disarm (self->timer);
  update_irq (self);
}

static uint16_t
tsad_summary (const Rtl8139 *self)
{
  uint16_t value = 0;

  for (unsigned i = 0; i < 4; i++)
    {
      value |= (uint16_t) ((self->tsd[i] & TSD_OWN ? 1 : 0) << i);
      value |= (uint16_t) ((self->tsd[i] & TSD_TABT ? 1 : 0) << (i + 4));
      value |= (uint16_t) ((self->tsd[i] & TSD_TUN ? 1 : 0) << (i + 8));
      value |= (uint16_t) ((self->tsd[i] & TSD_TOK ? 1 : 0) << (i + 12));
    }
  return value;
}

static uint8_t
byte_of (uint32_t value, unsigned index)
{
  return (uint8_t) (value >> (index * 8));
}

static uint8_t
read_byte (Rtl8139 *self, unsigned at)
{
  if (at < 6)
    return self->idr[at];
  if (at >= MAR0 && at < MAR0 + 8)
    return self->mar[at - MAR0];
  if (at >= TSD0 && at < TSD0 + 16)
    return byte_of (self->tsd[(at - TSD0) / 4], at & 3);
  if (at >= TSAD0 && at < TSAD0 + 16)
    return byte_of (self->tsad[(at - TSAD0) / 4], at & 3);
  switch (at & ~3u)
    {
    case RBSTART:
      return byte_of (self->rbstart, at & 3);
    case TCR:
      return byte_of (self->tcr, at & 3);
    case RCR:
      return byte_of (self->rcr, at & 3);
    case TCTR:
      return byte_of (timer_count (self), at & 3);
    case MPC:
      return at == MPC ? self->mpc : 0;
    case TIMER_INT:
      return byte_of (self->timer_int, at & 3);
    default:
      break;
    }
  switch (at)
    {
    case CR:
      return (uint8_t) ((self->cr & ~CR_BUFE) | ((self->cbr & (ring_bytes (self) - 1)) == ((self->capr + RING_SLACK) & (ring_bytes (self) - 1))
                                                  ? CR_BUFE : 0));
    case CAPR: case CAPR + 1:
      return byte_of (self->capr, at & 1);
    case CBR: case CBR + 1:
      return byte_of (self->cbr, at & 1);
    case IMR: case IMR + 1:
      return byte_of (self->imr, at & 1);
    case ISR: case ISR + 1:
      return byte_of (self->isr, at & 1);
    case CR9346:
      return (uint8_t) ((self->cr9346 & 0xce) | (self->cr9346 & CR9346_PROGRAM ? self->eeprom[0].output : 0));
    case CONFIG1:
      return self->config1;
    case MSR:
      return (uint8_t) (link_up (self) ? MSR_AUX : MSR_AUX | MSR_LINKB);
    case CONFIG3:
      return self->config3;
    case CONFIG4:
      return self->config4;
    case MULINT: case MULINT + 1:
      return byte_of (self->mulint, at & 1);
    case RERID:
      return 0x10;
    case TSAD: case TSAD + 1:
      return byte_of (tsad_summary (self), at & 1);
    case BMCR: case BMCR + 1:
      return byte_of (self->bmcr, at & 1);
    case BMSR: case BMSR + 1:
      /* 10/100 half and full, negotiation able; complete and link when there is a cable. */
      return byte_of (0x7809 | (link_up (self) ? 0x24 : 0), at & 1);
    case ANAR: case ANAR + 1:
      return byte_of (self->anar, at & 1);
    case ANLPAR: case ANLPAR + 1:
      return byte_of (link_up (self) ? 0x45e1 : 0, at & 1);
    case ANER: case ANER + 1:
      return byte_of (link_up (self) ? 1 : 0, at & 1);
    case CSCR: case CSCR + 1:
      return byte_of (self->cscr | (link_up (self) ? 0x0008 : 0), at & 1);
    case CONFIG5:
      return self->config5;
    default:
      return 0;
    }
}

/* Registers whose bytes act as one: collected, then written whole. */
static void
merge (uint32_t *value, unsigned index, uint8_t byte)
{
  *value = (*value & ~(0xffu << (index * 8))) | (uint32_t) byte << (index * 8);
}

static void
merge16 (uint16_t *value, unsigned index, uint8_t byte)
{
  *value = (uint16_t) ((*value & ~(0xffu << (index * 8))) | (unsigned) byte << (index * 8));
}

static void
write_command (Rtl8139 *self, uint8_t value)
{
  if (value & CR_RST)
    {
      soft_reset (self);
      return;
    }
  if (value & CR_RE && !(self->cr & CR_RE))
    {
      self->cbr = 0;
      self->capr = (uint16_t) -RING_SLACK;
    }
  if (value & CR_TE && !(self->cr & CR_TE))
    self->next_transmit = 0;
  self->cr = value & (CR_TE | CR_RE);
}

static void
write_byte (Rtl8139 *self, unsigned at, uint8_t value)
{
  bool unlocked = (self->cr9346 & CR9346_CONFIG_WRITE) == CR9346_CONFIG_WRITE;

  if (at < 6)
    self->idr[at] = value;
  else if (at >= MAR0 && at < MAR0 + 8)
    self->mar[at - MAR0] = value;
  else
    switch (at)
      {
      case CR:
        write_command (self, value);
        break;
      case CR9346:
        self->cr9346 = value & 0xce;
        if ((value & CR9346_CONFIG_WRITE) == CR9346_PROGRAM)
          eeprom_clock (&self->eeprom[0], value & 8, value & 4, value & 2);
        break;
      case CONFIG1:
        if (unlocked)
          self->config1 = (uint8_t) ((value & ~0x0c) | (self->config1 & 0x0c));
        break;
      case CONFIG3:
        if (unlocked)
          self->config3 = value & 0x7c;
        break;
      case CONFIG4:
        if (unlocked)
          self->config4 = value;
        break;
      case CONFIG5:
        self->config5 = value & 0x7f;
        break;
      case MPC: case MPC + 1: case MPC + 2:
        self->mpc = 0;
        break;
      case IMR: case IMR + 1:
        merge16 (&self->imr, at & 1, value);
        self->imr &= ISR_BITS;
        update_irq (self);
        break;
      case ISR: case ISR + 1:
        self->isr &= (uint16_t) ~((unsigned) value << ((at & 1) * 8));
        update_irq (self);
        break;
      case CAPR: case CAPR + 1:
        merge16 (&self->capr, at & 1, value);
        break;
      case MULINT: case MULINT + 1:
        merge16 (&self->mulint, at & 1, value);
        break;
      case BMCR: case BMCR + 1:
        merge16 (&self->bmcr, at & 1, value);
        /* Reset and restart of negotiation are over at once; the registers are locked behind 9346CR on the chip's word side only. */
        self->bmcr &= 0x3100;
        break;
      case ANAR: case ANAR + 1:
        merge16 (&self->anar, at & 1, value);
        break;
      default:
        break;
      }
}

static void
write_long (Rtl8139 *self, unsigned at, uint32_t value)
{
  if (at >= TSD0 && at < TSD0 + 16)
    {
      unsigned n = (at - TSD0) / 4;

      /* Writing hands the buffer over: OWN, TOK and the error bits fall, and OWN is set again when it is sent. */
      self->tsd[n] = value & (TSD_SIZE | TSD_EARLY);
      transmit (self, n);
    }
  else if (at >= TSAD0 && at < TSAD0 + 16)
    self->tsad[(at - TSAD0) / 4] = value;
  else
    switch (at)
      {
      case RBSTART:
        self->rbstart = value;
        break;
      case TCR:
        self->tcr = (value & 0x030707f0) | TCR_REVISION | (value & TCR_LOOPBACK);
        break;
      case RCR:
        self->rcr = value & 0x0f0fffbf;
        break;
      case TCTR:
        self->timer_base_ns = clock_now_ns (self->host.clock);
        update_timer (self);
        break;
      case TIMER_INT:
        self->timer_int = value;
        update_timer (self);
        break;
      default:
        for (unsigned i = 0; i < 4; i++)
          write_byte (self, at + i, byte_of (value, i));
        break;
      }
}

static bool
is_long_register (unsigned at)
{
  return (at >= TSD0 && at < RBSTART + 4) || (at >= TCR && at < MPC) || (at >= TIMER_INT && at < TIMER_INT + 4);
}

static uint64_t
rtl8139_read (Device *device, uint32_t offset, unsigned size)
{
  Rtl8139 *self = (Rtl8139 *) device;
  uint32_t value = 0;

  for (unsigned i = 0; i < size; i++)
    value |= (uint32_t) read_byte (self, (offset + i) % N_REGISTERS) << (i * 8);
  return value;
}

static void
rtl8139_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Rtl8139 *self = (Rtl8139 *) device;

  offset %= N_REGISTERS;
  if (size == 4 && offset % 4 == 0)
    {
      write_long (self, offset, (uint32_t) value);
      return;
    }
  for (unsigned i = 0; i < size; i++)
    {
      unsigned at = (offset + i) % N_REGISTERS;

      if (is_long_register (at))
        {
          /* A narrow write to a long register changes its part and acts as a write of the whole. */
          uint32_t whole = (uint32_t) rtl8139_read (device, at & ~3u, 4);

          merge (&whole, at & 3, byte_of ((uint32_t) value, i));
          if (i + 1 == size || (at & 3) == 3)
            write_long (self, at & ~3u, whole);
          else
            continue;
        }
      else
        write_byte (self, at, byte_of ((uint32_t) value, i));
    }
}

static const BusRegion io_region = { "rtl8139", BUS_SIZE_1 | BUS_SIZE_2 | BUS_SIZE_4, rtl8139_read, rtl8139_write };
static const BusRegion memory_region = { "rtl8139-memory", BUS_SIZE_1 | BUS_SIZE_2 | BUS_SIZE_4, rtl8139_read, rtl8139_write };

void
rtl8139_plug (Rtl8139 *self, PacketBackend *cable)
{
  if (self->cable)
    self->cable->close (self->cable);
  self->cable = cable;
  if (cable)
    {
      cable->receive = receive;
      cable->card = &self->parent;
    }
  self->isr |= ISR_LINK;
  update_irq (self);
}

static void
rtl8139_reset (Device *device)
{
  Rtl8139 *self = (Rtl8139 *) device;

  pci_function_reset (&self->pci[0]);
  soft_reset (self);
  for (unsigned i = 0; i < 6; i++)
    self->idr[i] = byte_of (self->eeprom[0].words[7 + i / 2], i & 1);
  memset (self->mar, 0, sizeof self->mar);
  self->cr9346 = 0;
  self->config1 = 0x0c;
  self->config3 = 0x01;
  self->config4 = self->config5 = 0;
  self->bmcr = 0x1000;
  self->anar = 0x05e1;
  self->cscr = 0x03c0;
  self->timer_base_ns = clock_now_ns (self->host.clock);
  self->eeprom[0].select = self->eeprom[0].clock = self->eeprom[0].n_shift = self->eeprom[0].n_out = 0;
}

static void
rtl8139_finish (Device *device)
{
  Rtl8139 *self = (Rtl8139 *) device;

  if (self->cable)
    self->cable->close (self->cable);
  timer_free (self->timer);
  free (self);
}

static int
rtl8139_check (Device *device)
{
  Rtl8139 *self = (Rtl8139 *) device;

  if (self->eeprom[0].n_shift >= 9 || self->eeprom[0].n_out > 16 || self->next_transmit > 3
      || self->timer_base_ns > clock_now_ns (self->host.clock))
    return -EBADMSG;
  return pci_function_restored (&self->pci[0]);
}

static const StateField eeprom_fields[] = {
  STATE_FIELD (Eeprom, words, STATE_BYTES, 1),
  STATE_FIELD (Eeprom, shift, STATE_UINT, 1),
  STATE_FIELD (Eeprom, out, STATE_UINT, 1),
  STATE_FIELD (Eeprom, n_shift, STATE_UINT, 1),
  STATE_FIELD (Eeprom, n_out, STATE_UINT, 1),
  STATE_FIELD (Eeprom, select, STATE_UINT, 1),
  STATE_FIELD (Eeprom, clock, STATE_UINT, 1),
  STATE_FIELD (Eeprom, output, STATE_UINT, 1),
  STATE_END,
};
static const StateTable eeprom_state = { "93c46", 1, eeprom_fields, NULL };

static const StateField rtl8139_fields[] = {
  STATE_NESTED (Rtl8139, pci, &pci_function_state, 1),
  STATE_NESTED (Rtl8139, eeprom, &eeprom_state, 1),
  STATE_FIELD (Rtl8139, timer, STATE_TIMER, 1),
  STATE_FIELD (Rtl8139, timer_base_ns, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, tsd, STATE_BYTES, 1),
  STATE_FIELD (Rtl8139, tsad, STATE_BYTES, 1),
  STATE_FIELD (Rtl8139, rbstart, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, rcr, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, tcr, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, timer_int, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, capr, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, cbr, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, imr, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, isr, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, bmcr, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, anar, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, mulint, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, cscr, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, idr, STATE_BYTES, 1),
  STATE_FIELD (Rtl8139, mar, STATE_BYTES, 1),
  STATE_FIELD (Rtl8139, cr, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, cr9346, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, config1, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, config3, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, config4, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, config5, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, mpc, STATE_UINT, 1),
  STATE_FIELD (Rtl8139, next_transmit, STATE_UINT, 1),
  STATE_END,
};
static const StateTable rtl8139_state = { "rtl8139", 1, rtl8139_fields, rtl8139_check };
static const DeviceClass rtl8139_class = { "rtl8139", sizeof (Rtl8139), &rtl8139_state, rtl8139_reset, rtl8139_finish };

int
rtl8139_new (const DeviceHost *host, PciBus *bus, uint8_t devfn, PacketBackend *cable, const uint8_t mac[6], Rtl8139 **ret)
{
  Rtl8139 *self = calloc (1, sizeof *self);
  PciFunction *pci;
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &rtl8139_class;
  self->host = *host;
  self->timer = clock_add_timer (host->clock, &self->parent, timer_fired);
  fill_eeprom (&self->eeprom[0], mac);
  pci = &self->pci[0];
  pci_function_setup (pci, &self->parent, "rtl8139", 0x10ec, 0x8139, 0x020000, 0x10, 1);
  pci->bars[0] = (PciBar) { PCI_BAR_IO, 256, &io_region };
  pci->bars[1] = (PciBar) { PCI_BAR_MEMORY, 256, &memory_region };
  pci->config[PCI_SUBSYSTEM_VENDOR] = 0xec;
  pci->config[PCI_SUBSYSTEM_VENDOR + 1] = 0x10;
  pci->config[PCI_SUBSYSTEM] = 0x39;
  pci->config[PCI_SUBSYSTEM + 1] = 0x81;
  result = self->timer ? pci_bus_add (bus, devfn, pci) : -ENOMEM;
  if (result < 0)
    {
      timer_free (self->timer);
      free (self);
      return result;
    }
  if (cable)
    {
      self->cable = cable;
      cable->receive = receive;
      cable->card = &self->parent;
    }
  rtl8139_reset (&self->parent);
  *ret = self;
  return 0;
}

Device *
rtl8139_device (Rtl8139 *self)
{
  return &self->parent;
}
