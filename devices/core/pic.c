/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Intel 8259A, order number 231468, twice.  "DS" below is that data sheet.
 *
 * Where we differ from the chip, on purpose:
 *  - An edge triggered request stays in IRR when its line falls before the acknowledge; the chip would forget it and
 *    answer a spurious IR7 (DS "Reading the 8259A status": IR must stay high).  Devices here may pulse a line.
 *    The cascade between our own two chips follows the slave's INT exactly.
 *  - INT is held low while an initialisation sequence is incomplete: the vector is not known yet. */
#include "pic.h"

#include "bus.h"

#include <errno.h>
#include <stdlib.h>

enum { CASCADE = 2, N_CHIPS = 2 };

enum
{
  ICW1_IC4 = 1 << 0, ICW1_SNGL = 1 << 1, ICW1_ADI = 1 << 2, ICW1_LTIM = 1 << 3, ICW1_INIT = 1 << 4,
  ICW4_X86 = 1 << 0, ICW4_AEOI = 1 << 1, ICW4_SFNM = 1 << 4,
  OCW3_SELECT = 1 << 3, OCW3_RIS = 1 << 0, OCW3_RR = 1 << 1, OCW3_POLL = 1 << 2, OCW3_SMM = 1 << 5, OCW3_ESMM = 1 << 6,
};

/* All flags are bytes: a restored state may hold any value in them, which a bool must not. */
typedef struct
{
  uint8_t lines;                /* levels of the inputs */
  uint8_t irr;                  /* latched edges and high level inputs */
  uint8_t isr, imr;
  uint8_t elcr;                 /* 1: level triggered */
  uint8_t icw1, icw2, icw3, icw4;
  uint8_t init_step;            /* which ICW port 1 takes next: 2, 3, 4; 0: initialised; 1: waiting for ICW1 */
  uint8_t lowest;               /* the input of lowest priority: 7 unless rotated */
  uint8_t rotate_aeoi;
  uint8_t special_mask;
  uint8_t read_isr;             /* what port 0 reads */
  uint8_t poll;                 /* the next read is a poll */
} Chip;

struct Pic
{
  Device  parent;
  IrqLine cpu_interrupt;
  Chip    chips[N_CHIPS];       /* master, slave */
  uint8_t output;
};

/* PIIX3 data sheet 2.5.6: these inputs belong to the board and are always edge triggered. */
static const uint8_t elcr_mask[N_CHIPS] = { 0xf8, 0xde };

static uint8_t
level_inputs (const Chip *chip)
{
  return chip->icw1 & ICW1_LTIM ? 0xff : chip->elcr;
}

/* The most urgent of a set of inputs as a distance from the top priority (0 … 7), or 8 if the set is empty. */
static unsigned
rank_of (const Chip *chip, uint8_t set)
{
  for (unsigned rank = 0; rank < 8; rank++)
    if (set & 1u << ((chip->lowest + 1u + rank) & 7))
      return rank;
  return 8;
}

static unsigned
input_of (const Chip *chip, unsigned rank)
{
  return (chip->lowest + 1u + rank) & 7;
}

static bool
is_master (const Pic *self, const Chip *chip)
{
  return chip == &self->chips[0];
}

/* The input that the chip would present now, or -1. */
static int
pending_input (const Pic *self, const Chip *chip)
{
  uint8_t  in_service = chip->isr;
  unsigned request = rank_of (chip, chip->irr & ~chip->imr);
  unsigned serviced;

  if (request == 8 || chip->init_step)
    return -1;
  /* DS "Special mask mode": levels masked while in service no longer block the others. */
  if (chip->special_mask)
    in_service &= ~chip->imr;
  serviced = rank_of (chip, in_service);
  if (request < serviced)
    return (int) input_of (chip, request);
  /* DS "Special fully nested mode": the slave in service may interrupt again. */
  if (request == serviced && (chip->icw4 & ICW4_SFNM) && is_master (self, chip) && input_of (chip, request) == CASCADE
      && (chip->icw3 & 1 << CASCADE))
    return CASCADE;
  return -1;
}

static void
drive_input (Chip *chip, unsigned input, bool level, bool forget)
{
  uint8_t bit = (uint8_t) (1u << input);
  bool    rising = level && !(chip->lines & bit);

  chip->lines = level ? chip->lines | bit : chip->lines & ~bit;
  if (level_inputs (chip) & bit)
    chip->irr = level ? chip->irr | bit : chip->irr & ~bit;
  else if (rising)
    chip->irr |= bit;
  else if (!level && forget)
    chip->irr &= ~bit;
}

static void
update_output (Pic *self)
{
  bool output;

  drive_input (&self->chips[0], CASCADE, pending_input (self, &self->chips[1]) >= 0, true);
  output = pending_input (self, &self->chips[0]) >= 0;
  if (output != self->output)
    {
      self->output = output;
      irq_line_set (&self->cpu_interrupt, output);
    }
}

void
pic_set_irq (void *pic, unsigned irq, bool level)
{
  Pic *self = pic;

  if (irq > 15 || irq == CASCADE)
    return;
  drive_input (&self->chips[irq >> 3], irq & 7, level, false);
  update_output (self);
}

bool
pic_output (const Pic *self)
{
  return self->output;
}

static void
end_of_interrupt (Chip *chip, unsigned input, bool rotate)
{
  chip->isr &= ~(1u << input);
  if (rotate)
    chip->lowest = (uint8_t) input;
}

/* The chip has been acknowledged (INTA# or poll) for this input. */
static void
take_request (Chip *chip, unsigned input)
{
  uint8_t bit = (uint8_t) (1u << input);

  if (!(level_inputs (chip) & bit))
    chip->irr &= ~bit;
  chip->isr |= bit;
  /* DS "Automatic end of interrupt": at the trailing edge of the last INTA# pulse. */
  if (chip->icw4 & ICW4_AEOI)
    end_of_interrupt (chip, input, chip->rotate_aeoi);
}

static int
vector_of (const Chip *chip, unsigned input)
{
  if (chip->icw4 & ICW4_X86)
    return (chip->icw2 & 0xf8) | (int) input;
  /* MCS-80/85 mode answers CALL and an address in three cycles; an x86 runs two and takes the second byte, the low
   * half of the address (DS "Interrupt sequence outputs"). */
  return chip->icw1 & ICW1_ADI ? (chip->icw1 & 0xe0) | (int) input << 2 : (chip->icw1 & 0xc0) | (int) input << 3;
}

/* One chip's part of the acknowledge cycle. DS "Interrupt sequence", 6: no request any more means IR7, ISR not set. */
static int
acknowledge_chip (Pic *self, Chip *chip)
{
  int input = pending_input (self, chip);

  if (input < 0)
    return 7;
  take_request (chip, (unsigned) input);
  return input;
}

int
pic_acknowledge (Pic *self)
{
  Chip *master = &self->chips[0], *slave = &self->chips[1];
  int   input = acknowledge_chip (self, master);
  int   vector;

  if (input == CASCADE && !(master->icw1 & ICW1_SNGL) && (master->icw3 & 1 << CASCADE))
    {
      /* The slave whose identity is on the cascade lines puts the vector on the bus; if none does, it floats. */
      if ((slave->icw3 & 7) == CASCADE && !(slave->icw1 & ICW1_SNGL))
        {
          vector = vector_of (slave, (unsigned) acknowledge_chip (self, slave));
          /* INT falls with INTA# and rises again if there is more: an edge for the master. */
          drive_input (master, CASCADE, false, true);
        }
      else
        vector = 0xff;
    }
  else
    vector = vector_of (master, (unsigned) input);
  /* INT falls with INTA#: whoever listens for edges (an APIC) sees the next request as a new one. */
  if (self->output)
    {
      self->output = 0;
      irq_line_set (&self->cpu_interrupt, false);
    }
  update_output (self);
  return vector;
}

static void
begin_initialisation (Chip *chip, uint8_t icw1)
{
  /* DS "Initialization command word 1": a to f.  Level inputs request for as long as they are high. */
  chip->icw1 = icw1;
  chip->irr = chip->lines & level_inputs (chip);
  chip->isr = 0;
  chip->imr = 0;
  chip->lowest = 7;
  chip->icw3 = 7;
  chip->icw4 = 0;
  chip->special_mask = 0;
  chip->rotate_aeoi = 0;
  chip->read_isr = 0;
  chip->poll = 0;
  chip->init_step = 2;
}

static void
write_ocw2 (Chip *chip, uint8_t value)
{
  unsigned input = value & 7;
  /* A non-specific EOI does not see levels that special mask mode masks (DS "Special mask mode"). */
  unsigned highest = rank_of (chip, chip->special_mask ? chip->isr & ~chip->imr : chip->isr);

  switch (value >> 5)
    {
    case 0: chip->rotate_aeoi = 0; break;
    case 4: chip->rotate_aeoi = 1; break;
    case 1:
    case 5:
      if (highest < 8)
        end_of_interrupt (chip, input_of (chip, highest), value >> 5 == 5);
      break;
    case 3: end_of_interrupt (chip, input, false); break;
    case 7: end_of_interrupt (chip, input, true); break;
    case 6: chip->lowest = (uint8_t) input; break;
    default: break;             /* 2: no operation */
    }
}

static void
write_ocw3 (Chip *chip, uint8_t value)
{
  if (value & OCW3_ESMM)
    chip->special_mask = !!(value & OCW3_SMM);
  /* DS: with both P and RR set, the poll comes first. */
  if (value & OCW3_POLL)
    chip->poll = 1;
  else if (value & OCW3_RR)
    chip->read_isr = value & OCW3_RIS;
}

static void
write_data (Chip *chip, uint8_t value)
{
  switch (chip->init_step)
    {
    case 2:
      chip->icw2 = value;
      chip->init_step = !(chip->icw1 & ICW1_SNGL) ? 3 : chip->icw1 & ICW1_IC4 ? 4 : 0;
      break;
    case 3:
      chip->icw3 = value;
      chip->init_step = chip->icw1 & ICW1_IC4 ? 4 : 0;
      break;
    case 4:
      chip->icw4 = value & 0x1f;
      chip->init_step = 0;
      break;
    default:
      chip->imr = value;        /* OCW1 */
      break;
    }
}

static void
chip_write (Pic *self, unsigned n, uint32_t offset, uint64_t value)
{
  Chip *chip = &self->chips[n];

  if (offset == 1)
    write_data (chip, (uint8_t) value);
  else if (value & ICW1_INIT)
    {
      begin_initialisation (chip, (uint8_t) value);
      /* A slave that is already asking counts as a new edge, or a master initialised alone would lose it. */
      if (n == 0)
        chip->lines &= ~(1u << CASCADE);
    }
  else if (value & OCW3_SELECT)
    write_ocw3 (chip, (uint8_t) value);
  else
    write_ocw2 (chip, (uint8_t) value);
  update_output (self);
}

static uint64_t
chip_read (Pic *self, unsigned n, uint32_t offset)
{
  Chip *chip = &self->chips[n];

  if (chip->poll)
    {
      /* DS "Poll command": the next read is the acknowledge, whatever the address. */
      int input = pending_input (self, chip);

      chip->poll = 0;
      if (input < 0)
        return 0;
      take_request (chip, (unsigned) input);
      if (n == 1)
        drive_input (&self->chips[0], CASCADE, false, true);
      update_output (self);
      return 0x80u | (unsigned) input;
    }
  if (offset == 1)
    return chip->imr;
  return chip->read_isr ? chip->isr : chip->irr;
}

static uint64_t
master_read (Device *device, uint32_t offset, unsigned size)
{
  return chip_read ((Pic *) device, 0, offset);
}

static void
master_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  chip_write ((Pic *) device, 0, offset, value);
}

static uint64_t
slave_read (Device *device, uint32_t offset, unsigned size)
{
  return chip_read ((Pic *) device, 1, offset);
}

static void
slave_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  chip_write ((Pic *) device, 1, offset, value);
}

static uint64_t
elcr_read (Device *device, uint32_t offset, unsigned size)
{
  return ((Pic *) device)->chips[offset & 1].elcr;
}

static void
elcr_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Pic  *self = (Pic *) device;
  Chip *chip = &self->chips[offset & 1];

  chip->elcr = (uint8_t) value & elcr_mask[offset & 1];
  chip->irr = (chip->irr & ~level_inputs (chip)) | (chip->lines & level_inputs (chip));
  update_output (self);
}

static const BusRegion master_region = { "pic-master", BUS_SIZE_1, master_read, master_write };
static const BusRegion slave_region = { "pic-slave", BUS_SIZE_1, slave_read, slave_write };
static const BusRegion elcr_region = { "pic-elcr", BUS_SIZE_1, elcr_read, elcr_write };

static const StateField chip_fields[] = {
  STATE_FIELD (Chip, lines, STATE_UINT, 1),
  STATE_FIELD (Chip, irr, STATE_UINT, 1),
  STATE_FIELD (Chip, isr, STATE_UINT, 1),
  STATE_FIELD (Chip, imr, STATE_UINT, 1),
  STATE_FIELD (Chip, elcr, STATE_UINT, 1),
  STATE_FIELD (Chip, icw1, STATE_UINT, 1),
  STATE_FIELD (Chip, icw2, STATE_UINT, 1),
  STATE_FIELD (Chip, icw3, STATE_UINT, 1),
  STATE_FIELD (Chip, icw4, STATE_UINT, 1),
  STATE_FIELD (Chip, init_step, STATE_UINT, 1),
  STATE_FIELD (Chip, lowest, STATE_UINT, 1),
  STATE_FIELD (Chip, rotate_aeoi, STATE_UINT, 1),
  STATE_FIELD (Chip, special_mask, STATE_UINT, 1),
  STATE_FIELD (Chip, read_isr, STATE_UINT, 1),
  STATE_FIELD (Chip, poll, STATE_UINT, 1),
  STATE_END,
};

static const StateTable chip_state = { "8259a", 1, chip_fields, NULL };

static const StateField pic_fields[] = {
  STATE_NESTED (Pic, chips, &chip_state, 1),
  STATE_END,
};

static int
pic_check (Device *device)
{
  Pic *self = (Pic *) device;

  for (unsigned i = 0; i < N_CHIPS; i++)
    {
      const Chip *chip = &self->chips[i];

      if (chip->init_step > 4 || chip->lowest > 7 || (chip->elcr & ~elcr_mask[i]) || chip->rotate_aeoi > 1
          || chip->special_mask > 1 || chip->read_isr > 1 || chip->poll > 1 || (chip->icw4 & 0xe0))
        return -EBADMSG;
    }
  /* Level inputs request exactly while they are high. */
  for (unsigned i = 0; i < N_CHIPS; i++)
    {
      Chip *chip = &self->chips[i];

      chip->irr = (chip->irr & ~level_inputs (chip)) | (chip->lines & level_inputs (chip));
    }
  self->output = pending_input (self, &self->chips[0]) >= 0;
  irq_line_set (&self->cpu_interrupt, self->output);
  update_output (self);
  return 0;
}

static const StateTable pic_state = { "pic", 1, pic_fields, pic_check };

static void
pic_reset (Device *device)
{
  Pic *self = (Pic *) device;

  /* Reset reaches the whole machine: every device lets go of its line, before or after us. */
  for (unsigned i = 0; i < N_CHIPS; i++)
    self->chips[i] = (Chip) { .icw3 = 7, .lowest = 7, .init_step = 1 };
  self->output = 0;
  irq_line_set (&self->cpu_interrupt, false);
}

static void
pic_finish (Device *device)
{
  free (device);
}

static const DeviceClass pic_class = { "pic", sizeof (Pic), &pic_state, pic_reset, pic_finish };

int
pic_new (const DeviceHost *host, IrqLine cpu_interrupt, Pic **ret)
{
  Pic *self = calloc (1, sizeof *self);
  int  result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &pic_class;
  self->cpu_interrupt = cpu_interrupt;
  pic_reset (&self->parent);
  if ((result = bus_claim_ports (host->bus, &self->parent, &master_region, 0x20, 2)) < 0
      || (result = bus_claim_ports (host->bus, &self->parent, &slave_region, 0xa0, 2)) < 0
      || (result = bus_claim_ports (host->bus, &self->parent, &elcr_region, 0x4d0, 2)) < 0)
    {
      bus_release (host->bus, &self->parent, &master_region);
      bus_release (host->bus, &self->parent, &slave_region);
      pic_finish (&self->parent);
      return result;
    }
  *ret = self;
  return 0;
}
