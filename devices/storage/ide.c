/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ATA channel: task file, interrupt, resets, and the carrying of data (ATA/ATAPI-6, T13 1410D).
 *
 * Both drives hear every register write; only the selected one answers (ATA-6 6.2).  Without a device 1, device 0
 * answers for it: its registers, but status 00h (9.16.1).  Without any device the bus floats with DD7 pulled down. */
#include "ide-drive.h"

#include "bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDE_N_DRIVES = 2, FLOATING = 0x7f };
enum { REG_DATA, REG_FEATURE, REG_COUNT, REG_LOW, REG_MID, REG_HIGH, REG_DEVICE, REG_COMMAND };
enum { CONTROL_NIEN = 2, CONTROL_SRST = 4, CONTROL_HOB = 0x80 };
enum { COMMAND_DEVICE_RESET = 0x08, COMMAND_DIAGNOSTIC = 0x90, COMMAND_PACKET = 0xa0 };

struct IdeChannel
{
  Device       parent;
  Bus         *bus;
  Clock       *clock;
  IrqLine      irq;
  IdeBusMaster master;
  void       (*full) (void *data);
  void        *full_data;
  bool         decode;
  bool         line;            /* INTRQ as last driven */

  uint8_t      select;          /* 0 or 1 */
  uint8_t      control;
  IdeDrive     drives[IDE_N_DRIVES];
};

/* ---------------------------------------------------------------- the line */

static bool
interrupt_level (const IdeChannel *self)
{
  const IdeDrive *drive = &self->drives[self->select];

  return drive->kind != IDE_KIND_NONE && drive->interrupt && !(self->control & CONTROL_NIEN);
}

static void
update_irq (IdeChannel *self)
{
  bool level = interrupt_level (self);

  if (level == self->line)
    return;
  self->line = level;
  if (self->master.interrupt)
    self->master.interrupt (self->master.master, level);
  irq_line_set (&self->irq, level);
}

static void
raise_interrupt (IdeDrive *self)
{
  self->interrupt = true;
  update_irq (self->channel);
}

/* ---------------------------------------------------------------- for the commands */

void
ide_drive_run_in (IdeDrive *self, IdeStep step, uint64_t delay_ns)
{
  self->status = STATUS_BSY;
  self->phase = IDE_BUSY;
  self->step = step;
  timer_arm (self->timer, clock_now_ns (self->channel->clock) + delay_ns);
}

static void
go_idle (IdeDrive *self)
{
  timer_disarm (self->timer);
  self->phase = IDE_IDLE;
  self->step = STEP_NONE;
  self->data = DATA_NONE;
  self->position = self->burst_end = self->end = 0;
  self->stalled = self->dma = false;
}

void
ide_drive_done (IdeDrive *self)
{
  go_idle (self);
  self->status = STATUS_READY;
  self->error = 0;
  raise_interrupt (self);
}

void
ide_drive_fail (IdeDrive *self, uint8_t error, uint8_t extra_status)
{
  go_idle (self);
  self->status = STATUS_READY | STATUS_ERR | extra_status;
  self->error = error;
  raise_interrupt (self);
}

bool
ide_drive_stall (IdeDrive *self, IdeStep step)
{
  if (!self->channel->full)
    return false;
  timer_disarm (self->timer);
  self->status = STATUS_BSY;
  self->phase = IDE_BUSY;
  self->step = step;
  self->stalled = true;
  self->channel->full (self->channel->full_data);
  return true;
}

void
ide_drive_sign (IdeDrive *self)
{
  self->count[0] = self->low[0] = 1;
  self->mid[0] = self->kind == IDE_KIND_CDROM ? 0x14 : 0;
  self->high[0] = self->kind == IDE_KIND_CDROM ? 0xeb : 0;
  self->count[1] = self->low[1] = self->mid[1] = self->high[1] = 0;
}

void
ide_put_text (uint8_t *to, const char *text, unsigned n_bytes)
{
  for (unsigned i = 0; i < n_bytes; i++)
    to[i ^ 1] = (uint8_t) (*text ? *text++ : ' ');
}

/* ATA-6 table 44: PIO default and flow control modes, multiword DMA 0-2, Ultra DMA 0-5. */
int
ide_set_transfer_mode (IdeDrive *self, uint8_t mode)
{
  unsigned number = mode & 7;

  switch (mode >> 3)
    {
    case 0: if (number > 1) return -EINVAL; break;
    case 1: if (number > 4) return -EINVAL; break;
    case 4: if (number > 2) return -EINVAL; break;
    case 8: if (number > 5) return -EINVAL; break;
    default: return -EINVAL;
    }
  self->transfer_mode = mode;
  return 0;
}

void
ide_identify_modes (const IdeDrive *self, uint8_t *words)
{
  unsigned number = self->transfer_mode & 7;
  uint8_t sum = 0;

  ide_put16 (words, 53, 7);
  ide_put16 (words, 63, (uint16_t) (0x07 | (self->transfer_mode >> 3 == 4 ? 0x100 << number : 0)));
  ide_put16 (words, 64, 3);
  ide_put16 (words, 65, 120);
  ide_put16 (words, 66, 120);
  ide_put16 (words, 67, 120);
  ide_put16 (words, 68, 120);
  ide_put16 (words, 88, (uint16_t) (0x3f | (self->transfer_mode >> 3 == 8 ? 0x100 << number : 0)));
  /* Hardware reset result: 80-conductor cable seen, number from the jumper, diagnostics passed. */
  ide_put16 (words, 93, self->unit ? 0x6b00 : 0x600b);
  words[510] = 0xa5;
  for (unsigned i = 0; i < 511; i++)
    sum = (uint8_t) (sum + words[i]);
  words[511] = (uint8_t) -sum;
}

bool
ide_power_command (IdeDrive *self)
{
  switch (self->command)
    {
    case 0x94: case 0xe0: case 0x96: case 0xe2:
      self->power = POWER_STANDBY;
      break;
    case 0x95: case 0xe1: case 0x97: case 0xe3:
      self->power = POWER_IDLE;
      break;
    case 0x98: case 0xe5:
      self->count[0] = self->power == POWER_STANDBY ? 0x00 : self->power == POWER_IDLE ? 0x80 : 0xff;
      break;
    case 0x99: case 0xe6:
      self->power = POWER_SLEEP;
      break;
    default:
      return false;
    }
  ide_drive_done (self);
  return true;
}

/* ---------------------------------------------------------------- carrying data */

static bool
data_to_host (const IdeDrive *self)
{
  return self->data >= DATA_REPLY && self->data <= DATA_CD_IN;
}

static bool
more_data (const IdeDrive *self)
{
  return self->kind == IDE_KIND_DISK ? disk_more (self) : cd_more (self);
}

static void
all_data_moved (IdeDrive *self)
{
  if (data_to_host (self) && more_data (self))
    ide_drive_run_in (self, STEP_FILL, IDE_BLOCK_NS);
  else if (!data_to_host (self))
    ide_drive_run_in (self, STEP_DRAIN, IDE_BLOCK_NS);
  else if (self->kind == IDE_KIND_CDROM && self->command == COMMAND_PACKET)
    ide_drive_run_in (self, STEP_DONE, IDE_BLOCK_NS);
  else if (self->dma)
    ide_drive_done (self);
  else
    {
      /* The last block of a PIO read has had its interrupt (ATA-6 9.5). */
      go_idle (self);
      self->status = STATUS_READY;
      self->error = 0;
    }
}

static void
move_by_dma (IdeDrive *self)
{
  const IdeBusMaster *master = &self->channel->master;
  size_t wanted = self->end - self->position;
  size_t n = 0;

  if (master->transfer)
    n = master->transfer (master->master, data_to_host (self), self->buffer + self->position, wanted);
  self->position += (uint32_t) (n > wanted ? wanted : n);
  if (self->position == self->end)
    {
      all_data_moved (self);
      return;
    }
  /* DMARQ stays up until the master comes (again). */
  timer_disarm (self->timer);
  self->phase = IDE_DMA_WAIT;
  self->step = STEP_MOVE;
  self->status = STATUS_READY | STATUS_DRQ;
}

void
ide_drive_offer (IdeDrive *self, bool quiet)
{
  uint32_t n = self->end - self->position;

  if (self->dma && self->data != DATA_PACKET_OUT)
    {
      move_by_dma (self);
      return;
    }
  if (self->kind == IDE_KIND_CDROM && self->command == COMMAND_PACKET && self->data != DATA_PACKET_OUT)
    {
      /* The host's limit for one burst (SFF-8020i 5.7): even unless it is the last; 0 is taken for the largest. */
      uint32_t limit = self->byte_limit;

      if (limit == 0 || limit == 0xffff)
        limit = 0xfffe;
      if (n > limit)
        n = limit > 1 ? limit & ~1u : 2;
      self->mid[0] = (uint8_t) n;
      self->high[0] = (uint8_t) (n >> 8);
      self->count[0] = data_to_host (self) ? REASON_TO_HOST : 0;
    }
  timer_disarm (self->timer);
  self->burst_end = self->position + n;
  self->phase = data_to_host (self) ? IDE_PIO_IN : IDE_PIO_OUT;
  self->step = STEP_NONE;
  self->status = STATUS_READY | STATUS_DRQ;
  if (!quiet)
    raise_interrupt (self);
}

static void
burst_moved (IdeDrive *self)
{
  if (self->position < self->end)
    ide_drive_run_in (self, STEP_MOVE, IDE_BLOCK_NS);
  else
    all_data_moved (self);
}

/* The data register.  A drive moves words; of a byte access the other half is lost, a double word is two words. */
static uint64_t
read_data (IdeDrive *self, unsigned size)
{
  uint32_t value = 0;
  uint32_t n;

  if (self->phase != IDE_PIO_IN)
    return 0;
  n = self->burst_end - self->position;
  if (size == 2 && n >= 2)
    {
      memcpy (&value, self->buffer + self->position, 2);
      n = 2;
    }
  else if (size == 4 && n >= 4)
    {
      memcpy (&value, self->buffer + self->position, 4);
      n = 4;
    }
  else
    {
      if (n > (size == 1 ? 2 : size))
        n = size == 1 ? 2 : size;
      memcpy (&value, self->buffer + self->position, n);
    }
  self->position += n;
  if (self->position == self->burst_end)
    burst_moved (self);
  return value;
}

static void
write_data (IdeDrive *self, unsigned size, uint32_t value)
{
  uint32_t n;

  if (self->phase != IDE_PIO_OUT)
    return;
  n = self->burst_end - self->position;
  if (n > (size == 1 ? 2 : size))
    n = size == 1 ? 2 : size;
  memcpy (self->buffer + self->position, &value, n);
  self->position += n;
  if (self->position == self->burst_end)
    burst_moved (self);
}

/* ---------------------------------------------------------------- commands and resets */

static void
reset_drive (IdeDrive *self, bool power_on)
{
  go_idle (self);
  self->interrupt = false;
  self->feature[0] = self->feature[1] = 0;
  self->device = 0;
  self->error = 1;              /* diagnostic code: no error */
  self->command = 0;
  self->power = POWER_ACTIVE;
  ide_drive_sign (self);
  switch (self->kind)
    {
    case IDE_KIND_DISK:
      self->status = STATUS_READY;
      disk_reset (self, power_on);
      break;
    case IDE_KIND_CDROM:
      /* A packet device is not ready before its first command (9.12): so that hosts of ATA-1 do not take it for a disk. */
      self->status = 0;
      cd_reset (self, power_on);
      break;
    case IDE_KIND_NONE:
      self->status = 0;
      break;
    }
}

/* Nothing of a running command survives: a DMA that was in flight writes nothing (CVE-2023-5088). */
static void
begin_software_reset (IdeChannel *self)
{
  self->select = 0;
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    if (self->drives[i].kind != IDE_KIND_NONE)
      {
        go_idle (&self->drives[i]);
        self->drives[i].interrupt = false;
        self->drives[i].status = STATUS_BSY;
        self->drives[i].phase = IDE_BUSY;
        self->drives[i].step = STEP_RESET;
      }
  update_irq (self);
}

static void
end_software_reset (IdeChannel *self)
{
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    if (self->drives[i].kind != IDE_KIND_NONE)
      ide_drive_run_in (&self->drives[i], STEP_RESET, IDE_RESET_NS);
}

static void
write_control (IdeChannel *self, uint8_t value)
{
  uint8_t changed = self->control ^ value;

  self->control = value;
  if (changed & value & CONTROL_SRST)
    begin_software_reset (self);
  else if (changed & CONTROL_SRST)
    end_software_reset (self);
  update_irq (self);
}

static void
write_command (IdeChannel *self, uint8_t value)
{
  if (self->control & CONTROL_SRST)
    return;
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    {
      IdeDrive *drive = &self->drives[i];

      /* EXECUTE DEVICE DIAGNOSTIC is for both whatever is selected (8.11). */
      if (drive->kind == IDE_KIND_NONE || (i != self->select && value != COMMAND_DIAGNOSTIC))
        continue;
      if (value == COMMAND_DEVICE_RESET && drive->kind == IDE_KIND_CDROM)
        {
          /* Accepted also when busy, no interrupt (8.7). */
          uint8_t device = drive->device;

          reset_drive (drive, false);
          drive->device = device;
          update_irq (self);
          continue;
        }
      if ((drive->status & (STATUS_BSY | STATUS_DRQ)) || drive->power == POWER_SLEEP)
        continue;
      drive->interrupt = false;
      drive->command = value;
      ide_drive_run_in (drive, STEP_COMMAND, IDE_COMMAND_NS);
    }
  if (value == COMMAND_DIAGNOSTIC)
    self->select = 0;
  update_irq (self);
}

static void
run_diagnostic (IdeDrive *self)
{
  reset_drive (self, false);
  self->command = COMMAND_DIAGNOSTIC;
  if (self->unit == 0 || self->channel->drives[0].kind == IDE_KIND_NONE)
    raise_interrupt (self);
}

static void
run_step (IdeDrive *self)
{
  if (self->phase != IDE_BUSY || self->stalled)
    return;
  switch ((IdeStep) self->step)
    {
    case STEP_RESET:
      if (!(self->channel->control & CONTROL_SRST))
        reset_drive (self, false);
      break;
    case STEP_COMMAND:
      if (self->command == COMMAND_DIAGNOSTIC)
        run_diagnostic (self);
      else if (self->kind == IDE_KIND_DISK)
        disk_command (self);
      else
        cd_command (self);
      break;
    case STEP_FILL:
      if (self->kind == IDE_KIND_DISK)
        disk_fill (self);
      else
        cd_fill (self);
      break;
    case STEP_DRAIN:
      if (self->kind == IDE_KIND_DISK)
        disk_drain (self);
      else
        cd_drain (self);
      break;
    case STEP_MOVE:
      ide_drive_offer (self, false);
      break;
    case STEP_DONE:
      if (self->kind == IDE_KIND_CDROM)
        cd_finish (self);
      else
        ide_drive_done (self);
      break;
    case STEP_NONE:
    case N_IDE_STEPS:
      break;
    }
}

static void
fire_0 (Device *device)
{
  run_step (&((IdeChannel *) device)->drives[0]);
}

static void
fire_1 (Device *device)
{
  run_step (&((IdeChannel *) device)->drives[1]);
}

/* ---------------------------------------------------------------- registers */

/* Who answers reads: the selected drive, or device 0 for an absent device 1; NULL: nobody. */
static IdeDrive *
answering_drive (IdeChannel *self)
{
  if (self->drives[self->select].kind != IDE_KIND_NONE)
    return &self->drives[self->select];
  return self->select == 1 && self->drives[0].kind != IDE_KIND_NONE ? &self->drives[0] : NULL;
}

static uint8_t
read_status (IdeChannel *self, bool acknowledge)
{
  IdeDrive *drive = &self->drives[self->select];

  if (drive->kind == IDE_KIND_NONE)
    return self->drives[0].kind == IDE_KIND_NONE && self->drives[1].kind == IDE_KIND_NONE ? FLOATING : 0;
  if (acknowledge && drive->interrupt)
    {
      drive->interrupt = false;
      update_irq (self);
    }
  return drive->status;
}

static uint8_t
read_register (IdeChannel *self, uint32_t offset)
{
  const IdeDrive *drive = answering_drive (self);
  unsigned previous = self->control & CONTROL_HOB ? 1 : 0;

  if (offset == REG_COMMAND)
    return read_status (self, true);
  if (!drive)
    return self->drives[1].kind == IDE_KIND_NONE ? FLOATING : 0;
  switch (offset)
    {
    case REG_FEATURE: return drive->error;
    case REG_COUNT:   return drive->count[previous];
    case REG_LOW:     return drive->low[previous];
    case REG_MID:     return drive->mid[previous];
    case REG_HIGH:    return drive->high[previous];
    default:          return (uint8_t) (drive->device | 0xa0 | (self->select ? DEVICE_DEV : 0));
    }
}

static void
push (uint8_t *reg, uint8_t value)
{
  reg[1] = reg[0];
  reg[0] = value;
}

static void
write_register (IdeChannel *self, uint32_t offset, uint8_t value)
{
  self->control &= (uint8_t) ~CONTROL_HOB;
  if (offset == REG_COMMAND)
    {
      write_command (self, value);
      return;
    }
  /* A busy drive does not hear its registers (7.1), and a selection is not taken from it. */
  if (offset == REG_DEVICE && !(self->drives[self->select].status & STATUS_BSY))
    self->select = value & DEVICE_DEV ? 1 : 0;
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    {
      IdeDrive *drive = &self->drives[i];

      if (drive->status & STATUS_BSY)
        continue;
      switch (offset)
        {
        case REG_FEATURE: push (drive->feature, value); break;
        case REG_COUNT:   push (drive->count, value); break;
        case REG_LOW:     push (drive->low, value); break;
        case REG_MID:     push (drive->mid, value); break;
        case REG_HIGH:    push (drive->high, value); break;
        default:          drive->device = value & (uint8_t) ~DEVICE_DEV; break;
        }
    }
  if (offset == REG_DEVICE)
    update_irq (self);
}

static uint64_t
ide_read (Device *device, uint32_t offset, unsigned size)
{
  IdeChannel *self = (IdeChannel *) device;
  uint64_t value = 0;

  if (!self->decode)
    return UINT64_MAX;
  if (offset == REG_DATA)
    {
      IdeDrive *drive = &self->drives[self->select];

      return drive->kind != IDE_KIND_NONE ? read_data (drive, size) : answering_drive (self) ? 0 : UINT64_MAX;
    }
  for (unsigned i = 0; i < size; i++)
    value |= (uint64_t) read_register (self, offset + i) << (i * 8);
  return value;
}

static void
ide_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  IdeChannel *self = (IdeChannel *) device;

  if (!self->decode)
    return;
  if (offset == REG_DATA)
    {
      write_data (&self->drives[self->select], size, (uint32_t) value);
      return;
    }
  for (unsigned i = 0; i < size; i++)
    write_register (self, offset + i, (uint8_t) (value >> (i * 8)));
}

static uint64_t
ide_read_control (Device *device, uint32_t offset, unsigned size)
{
  IdeChannel *self = (IdeChannel *) device;

  return self->decode ? read_status (self, false) : 0xff;
}

static void
ide_write_control (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  IdeChannel *self = (IdeChannel *) device;

  if (self->decode)
    write_control (self, (uint8_t) value);
}

/* Wider accesses of other registers than data are split by the ISA bus; here because the region is one. */
static const BusRegion ide_region = { "ide", BUS_SIZE_1 | BUS_SIZE_2 | BUS_SIZE_4, ide_read, ide_write };
static const BusRegion ide_control_region = { "ide-control", BUS_SIZE_1, ide_read_control, ide_write_control };

/* ---------------------------------------------------------------- state */

#define FIELD(name, kind) STATE_FIELD (IdeDrive, name, kind, 1)
static const StateField drive_fields[] = {
  FIELD (feature, STATE_BYTES), FIELD (count, STATE_BYTES), FIELD (low, STATE_BYTES), FIELD (mid, STATE_BYTES),
  FIELD (high, STATE_BYTES), FIELD (device, STATE_UINT), FIELD (status, STATE_UINT), FIELD (error, STATE_UINT),
  FIELD (command, STATE_UINT), FIELD (interrupt, STATE_UINT),
  FIELD (phase, STATE_UINT), FIELD (step, STATE_UINT), FIELD (data, STATE_UINT), FIELD (dma, STATE_UINT),
  FIELD (stalled, STATE_UINT), FIELD (position, STATE_UINT), FIELD (burst_end, STATE_UINT), FIELD (end, STATE_UINT),
  STATE_POINTER (IdeDrive, buffer, IDE_BUFFER_BYTES, 1), FIELD (timer, STATE_TIMER),
  FIELD (sector, STATE_UINT), FIELD (n_left, STATE_UINT), FIELD (block, STATE_UINT), FIELD (beyond, STATE_UINT),
  FIELD (sync, STATE_UINT), FIELD (max_sectors, STATE_UINT), FIELD (heads, STATE_UINT), FIELD (sectors, STATE_UINT),
  FIELD (multiple, STATE_UINT), FIELD (native_read, STATE_UINT), FIELD (write_cache, STATE_UINT),
  FIELD (look_ahead, STATE_UINT), FIELD (smart, STATE_UINT), FIELD (n_self_tests, STATE_UINT),
  FIELD (self_tests, STATE_BYTES), FIELD (power, STATE_UINT), FIELD (transfer_mode, STATE_UINT), FIELD (n_moved, STATE_UINT),
  FIELD (packet, STATE_BYTES), FIELD (byte_limit, STATE_UINT), FIELD (cd_block, STATE_UINT), FIELD (cd_left, STATE_UINT), FIELD (cd_bytes, STATE_UINT),
  FIELD (cd_parts, STATE_UINT), FIELD (cd_position, STATE_UINT), FIELD (sense_key, STATE_UINT),
  FIELD (sense_code, STATE_UINT), FIELD (sense_qualifier, STATE_UINT), FIELD (attention, STATE_UINT),
  FIELD (changing, STATE_UINT), FIELD (tray_open, STATE_UINT), FIELD (locked, STATE_UINT), FIELD (event, STATE_UINT),
  FIELD (retry_count, STATE_UINT),
  STATE_END,
};
#undef FIELD
static const StateTable drive_state = { "ide-drive", 1, drive_fields, NULL };

static const StateField ide_fields[] = {
  STATE_FIELD (IdeChannel, select, STATE_UINT, 1),
  STATE_FIELD (IdeChannel, control, STATE_UINT, 1),
  STATE_NESTED (IdeChannel, drives, &drive_state, 1),
  STATE_END,
};

/* A bool from a file may be any byte, and reading one that is neither 0 nor 1 is undefined. */
static bool
is_bool (const void *field)
{
  return *(const uint8_t *) field <= 1;
}

static int
check_drive (IdeDrive *self)
{
  bool bools = is_bool (&self->interrupt) && is_bool (&self->dma) && is_bool (&self->stalled) && is_bool (&self->beyond)
               && is_bool (&self->sync) && is_bool (&self->write_cache) && is_bool (&self->look_ahead)
               && is_bool (&self->smart) && is_bool (&self->changing) && is_bool (&self->tray_open) && is_bool (&self->locked);

  if (!bools || self->phase >= N_IDE_PHASES || self->step >= N_IDE_STEPS || self->data >= N_IDE_DATA || self->power >= N_POWERS
      || self->end > IDE_BUFFER_BYTES || self->position > self->end || self->burst_end > self->end
      || self->n_self_tests > IDE_N_SELF_TESTS || (self->device & DEVICE_DEV))
    return -EBADMSG;
  if (self->kind == IDE_KIND_NONE)
    return self->phase == IDE_IDLE && self->status == 0 ? 0 : -EBADMSG;
  switch ((IdePhase) self->phase)
    {
    case IDE_IDLE:
      if ((self->status & (STATUS_BSY | STATUS_DRQ)) || self->data != DATA_NONE)
        return -EBADMSG;
      break;
    case IDE_BUSY:
      if (self->status != STATUS_BSY || self->step == STEP_NONE)
        return -EBADMSG;
      if ((self->step == STEP_FILL && (!data_to_host (self) || self->data == DATA_REPLY))
          || (self->step == STEP_DRAIN && (self->data == DATA_NONE || data_to_host (self) || self->position != self->end))
          || (self->step == STEP_MOVE && (self->data == DATA_NONE || self->position >= self->end)))
        return -EBADMSG;
      /* A command that waited for disk space tries again. */
      if (self->stalled)
        timer_arm (self->timer, clock_now_ns (self->channel->clock) + IDE_COMMAND_NS);
      self->stalled = false;
      if (!timer_armed (self->timer) && !(self->step == STEP_RESET && (self->channel->control & CONTROL_SRST)))
        return -EBADMSG;
      break;
    case IDE_PIO_IN:
    case IDE_PIO_OUT:
      if (self->data == DATA_NONE || data_to_host (self) != (self->phase == IDE_PIO_IN) || self->position >= self->burst_end
          || self->status != (STATUS_READY | STATUS_DRQ))
        return -EBADMSG;
      break;
    case IDE_DMA_WAIT:
      if (self->data == DATA_NONE || !self->dma || self->position >= self->end || self->step != STEP_MOVE
          || self->data == DATA_PACKET_OUT || self->status != (STATUS_READY | STATUS_DRQ))
        return -EBADMSG;
      break;
    case N_IDE_PHASES:
      return -EBADMSG;
    }
  return self->kind == IDE_KIND_DISK ? disk_check (self) : cd_check (self);
}

static int
ide_check (Device *device)
{
  IdeChannel *self = (IdeChannel *) device;

  if (self->select > 1)
    return -EBADMSG;
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    if (check_drive (&self->drives[i]) < 0)
      return -EBADMSG;
  /* The bus master has its own memory of the interrupt; this is no new one. */
  self->line = interrupt_level (self);
  irq_line_set (&self->irq, self->line);
  return 0;
}

static const StateTable ide_state = { "ide", 1, ide_fields, ide_check };

static void
ide_reset (Device *device)
{
  IdeChannel *self = (IdeChannel *) device;

  self->select = 0;
  self->control = 0;
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    reset_drive (&self->drives[i], true);
  update_irq (self);
}

static void
ide_finish (Device *device)
{
  IdeChannel *self = (IdeChannel *) device;

  if (!self)
    return;
  bus_release (self->bus, device, &ide_region);
  bus_release (self->bus, device, &ide_control_region);
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    {
      timer_free (self->drives[i].timer);
      free (self->drives[i].buffer);
      block_close (self->drives[i].image);
    }
  free (self);
}

static const DeviceClass ide_class = { "ide", sizeof (IdeChannel), &ide_state, ide_reset, ide_finish };

/* ---------------------------------------------------------------- the board's side */

int
ide_channel_new (const DeviceHost *host, IrqLine irq, uint16_t command_port, uint16_t control_port, IdeChannel **ret)
{
  IdeChannel *self = calloc (1, sizeof *self);
  int result = 0;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &ide_class;
  self->bus = host->bus;
  self->clock = host->clock;
  self->irq = irq;
  self->decode = true;
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    {
      IdeDrive *drive = &self->drives[i];

      drive->channel = self;
      drive->unit = i;
      drive->buffer = calloc (1, IDE_BUFFER_BYTES);
      drive->timer = clock_add_timer (host->clock, &self->parent, i ? fire_1 : fire_0);
      if (!drive->buffer || !drive->timer)
        result = -ENOMEM;
    }
  if (result == 0)
    result = bus_claim_ports (host->bus, &self->parent, &ide_region, command_port, 8);
  if (result == 0)
    result = bus_claim_ports (host->bus, &self->parent, &ide_control_region, control_port, 1);
  if (result < 0)
    {
      ide_finish (&self->parent);
      return result;
    }
  ide_reset (&self->parent);
  *ret = self;
  return 0;
}

Device *
ide_channel_device (IdeChannel *self)
{
  return &self->parent;
}

static void
take_options (IdeDrive *drive, const IdeDiskOptions *options, const char *model, const char *serial)
{
  const char *texts[3] = { options ? options->model : NULL, options ? options->serial : NULL, options ? options->firmware : NULL };

  snprintf (drive->model, sizeof drive->model, "%s", texts[0] ? texts[0] : model);
  snprintf (drive->serial, sizeof drive->serial, "%s", texts[1] ? texts[1] : serial);
  snprintf (drive->firmware, sizeof drive->firmware, "%s", texts[2] ? texts[2] : "1.0");
}

int
ide_attach_disk (IdeChannel *self, unsigned unit, BlockBackend *image, const IdeDiskOptions *options)
{
  uint64_t n_sectors = image->n_bytes / IDE_SECTOR_BYTES;
  unsigned heads = 16, sectors = 63;
  uint64_t cylinders;
  IdeDrive *drive;

  if (unit >= IDE_N_DRIVES || n_sectors == 0 || n_sectors > 1ull << 48)
    return -EINVAL;
  drive = &self->drives[unit];
  if (drive->kind != IDE_KIND_NONE)
    return -EEXIST;
  cylinders = n_sectors / (heads * sectors);
  if (options && (options->cylinders || options->heads || options->sectors))
    {
      cylinders = options->cylinders;
      heads = options->heads;
      sectors = options->sectors;
      if (cylinders < 1 || heads < 1 || heads > 16 || sectors < 1 || sectors > 63)
        return -EINVAL;
    }
  drive->default_cylinders = (uint16_t) (cylinders < 1 ? 1 : cylinders > 16383 ? 16383 : cylinders);
  drive->default_heads = (uint8_t) heads;
  drive->default_sectors = (uint8_t) sectors;
  take_options (drive, options, "Bulkhead Disk", unit ? "BD00001" : "BD00000");
  drive->kind = IDE_KIND_DISK;
  drive->image = image;
  drive->n_sectors = n_sectors;
  reset_drive (drive, true);
  return 0;
}

int
ide_change_disk (IdeDrive *drive, BlockBackend *image)
{
  if (!drive || drive->kind != IDE_KIND_DISK || !image || image->n_bytes != drive->image->n_bytes
      || image->read_only != drive->image->read_only)
    return -EINVAL;
  block_close (drive->image);
  drive->image = image;
  return 0;
}

int
ide_attach_cdrom (IdeChannel *self, unsigned unit, const IdeDiskOptions *options, IdeDrive **ret)
{
  IdeDrive *drive;

  if (unit >= IDE_N_DRIVES)
    return -EINVAL;
  drive = &self->drives[unit];
  if (drive->kind != IDE_KIND_NONE)
    return -EEXIST;
  take_options (drive, options, "Bulkhead DVD-ROM", unit ? "BC00001" : "BC00000");
  drive->kind = IDE_KIND_CDROM;
  reset_drive (drive, true);
  if (ret)
    *ret = drive;
  return 0;
}

IdeDrive *
ide_channel_drive (IdeChannel *self, unsigned unit)
{
  return unit < IDE_N_DRIVES && self->drives[unit].kind != IDE_KIND_NONE ? &self->drives[unit] : NULL;
}

BlockBackend *
ide_drive_image (const IdeDrive *drive)
{
  return drive->image;
}

void
ide_set_full_handler (IdeChannel *self, void (*full) (void *data), void *data)
{
  self->full = full;
  self->full_data = data;
}

void
ide_retry (IdeChannel *self)
{
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    if (self->drives[i].stalled)
      {
        self->drives[i].stalled = false;
        ide_drive_run_in (&self->drives[i], self->drives[i].step, IDE_COMMAND_NS);
      }
}

void
ide_channel_set_bus_master (IdeChannel *self, const IdeBusMaster *master)
{
  self->master = *master;
}

void
ide_channel_dma_ready (IdeChannel *self)
{
  for (unsigned i = 0; i < IDE_N_DRIVES; i++)
    if (self->drives[i].phase == IDE_DMA_WAIT)
      ide_drive_run_in (&self->drives[i], STEP_MOVE, IDE_COMMAND_NS);
}

void
ide_channel_set_decode (IdeChannel *self, bool on)
{
  self->decode = on;
}

uint64_t
ide_channel_activity (const IdeChannel *self)
{
  return self->drives[0].n_moved + self->drives[1].n_moved;
}
