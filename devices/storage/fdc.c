/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Intel 82077AA floppy disk controller, PC-AT mode (data sheet 290166).
 *
 * A command is bytes into the FIFO, an execution, bytes out (section 5).  Execution is a chain of timer steps, one
 * sector each: find the ID field, move the data by DMA or through the FIFO, go to the next sector.  Nothing is held
 * between two steps but what the state table names, so a machine may be saved in the middle of a transfer and the disk
 * may be pulled out at any time.
 *
 * Departures from the chip:
 *  - the disk turns as fast as the host likes: SECTOR_NS instead of 11 ms, and it waits for a slow host, so overruns
 *    happen only when a DMA channel gives nothing for OVERRUN_TRIES milliseconds;
 *  - an image has no gaps, CRCs or odd IDs: FORMAT TRACK can only rewrite the format that the image has; deleted data
 *    marks are remembered while the disk is in the drive;
 *  - a drive without disk never sends index pulses and the chip would wait for ever; here the command ends after
 *    MISSING_NS with "missing address mark", as with an unformatted disk. */
#include "fdc.h"

#include "bus.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  FDC_N_UNITS       = 4,        /* the chip addresses four; two can be connected */
  FDC_N_DRIVES      = 2,
  FDC_MAX_COMMAND   = 9,
  FDC_MAX_RESULT    = 10,
  FDC_MAX_SECTOR    = 1024,
  FDC_MAX_SECTORS   = FDC_MAX_IMAGE_BYTES / 512,
  FDC_HEAD_LIMIT    = 83,
  RECALIBRATE_STEPS = 79,       /* 5.2.1: "up to 79 step pulses" */
  OVERRUN_TRIES     = 20,
};

#define COMMAND_NS   20000ull
#define SECTOR_NS   150000ull
#define RESET_NS     50000ull
#define SEEK_NS     300000ull
#define STEP_NS      20000ull
#define STARVED_NS 1000000ull
#define MISSING_NS 20000000ull

enum { REG_DOR = 0, REG_TDR = 1, REG_MSR = 2, REG_FIFO = 3 };    /* from base + 2; base + 7 is claimed alone */

enum { DOR_SELECT = 3, DOR_NOT_RESET = 4, DOR_DMA_GATE = 8 };
enum { DSR_RESET = 0x80, DSR_RATE = 3 };
enum { MSR_RQM = 0x80, MSR_DIO = 0x40, MSR_NON_DMA = 0x20, MSR_BUSY = 0x10 };
enum { CONFIG_EIS = 0x40, CONFIG_EFIFO = 0x20, CONFIG_POLL = 0x10, CONFIG_THRESHOLD = 0x0f };
enum { SPECIFY_NON_DMA = 1 };
enum { ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80, ST0_POLLED = 0xc0, ST0_SEEK_END = 0x20, ST0_EQUIPMENT = 0x10, ST0_HEAD = 4 };
enum { ST1_END = 0x80, ST1_DATA_ERROR = 0x20, ST1_OVERRUN = 0x10, ST1_NO_DATA = 4, ST1_PROTECTED = 2, ST1_NO_MARK = 1 };
enum { ST2_CONTROL_MARK = 0x40, ST2_DATA_ERROR = 0x20, ST2_WRONG_CYLINDER = 0x10, ST2_SCAN_EQUAL = 8, ST2_SCAN_FAILED = 4 };
enum { COMMAND_MT = 0x80, COMMAND_MFM = 0x40, COMMAND_SK = 0x20 };
enum { RATE_500K, RATE_300K, RATE_250K, RATE_1M };

typedef enum { PHASE_RESET, PHASE_COMMAND, PHASE_BUSY, PHASE_DATA, PHASE_RESULT, N_PHASES } Phase;
typedef enum { STEP_NONE, STEP_FIND, STEP_MOVE, STEP_STORE, STEP_FAIL, STEP_READ_ID, N_STEPS } Step;
typedef enum { SEEK_IDLE, SEEK_MOVING, SEEK_DONE, N_SEEKS } SeekState;

typedef enum
{
  OP_INVALID, OP_SPECIFY, OP_SENSE_DRIVE, OP_SENSE_INTERRUPT, OP_RECALIBRATE, OP_SEEK, OP_RELATIVE_SEEK, OP_VERSION,
  OP_DUMPREG, OP_PERPENDICULAR, OP_CONFIGURE, OP_LOCK, OP_READ_ID, OP_FORMAT, OP_READ, OP_READ_DELETED, OP_READ_TRACK,
  OP_WRITE, OP_WRITE_DELETED, OP_VERIFY, OP_SCAN_EQUAL, OP_SCAN_LOW, OP_SCAN_HIGH,
} Operation;

typedef struct
{
  uint8_t mask, value;          /* of the first byte: the other bits are MT, MFM, SK or a parameter */
  uint8_t n_bytes;              /* of the command phase */
  Operation operation;
} CommandRow;

/* Section 5.1, in the order of the data sheet's table.  What is not here answers ST0 = 80h: so does PART ID (18h), which
 * only the 82078 knows and which software uses to tell the two apart. */
static const CommandRow command_rows[] = {
  { 0x1f, 0x06, 9, OP_READ },
  { 0x1f, 0x0c, 9, OP_READ_DELETED },
  { 0x3f, 0x05, 9, OP_WRITE },
  { 0x3f, 0x09, 9, OP_WRITE_DELETED },
  { 0xbf, 0x02, 9, OP_READ_TRACK },
  { 0x1f, 0x16, 9, OP_VERIFY },
  { 0xff, 0x10, 1, OP_VERSION },
  { 0xbf, 0x0d, 6, OP_FORMAT },
  { 0x1f, 0x11, 9, OP_SCAN_EQUAL },
  { 0x1f, 0x19, 9, OP_SCAN_LOW },
  { 0x1f, 0x1d, 9, OP_SCAN_HIGH },
  { 0xff, 0x07, 2, OP_RECALIBRATE },
  { 0xff, 0x08, 1, OP_SENSE_INTERRUPT },
  { 0xff, 0x03, 3, OP_SPECIFY },
  { 0xff, 0x04, 2, OP_SENSE_DRIVE },
  { 0xff, 0x13, 4, OP_CONFIGURE },
  { 0xff, 0x0f, 3, OP_SEEK },
  { 0xbf, 0x8f, 3, OP_RELATIVE_SEEK },
  { 0xff, 0x0e, 1, OP_DUMPREG },
  { 0xbf, 0x0a, 2, OP_READ_ID },
  { 0xff, 0x12, 2, OP_PERPENDICULAR },
  { 0x7f, 0x14, 1, OP_LOCK },
};
static const CommandRow invalid_row = { 0, 0, 1, OP_INVALID };

/* One of the four units the chip can address. */
typedef struct
{
  uint8_t  cylinder;            /* PCN: where the chip believes the head is */
  uint8_t  head_track;          /* where it is */
  bool     changed;             /* the drive's disk change latch */
  uint8_t  seek;                /* SeekState */
  uint8_t  seek_cylinder;       /* PCN and head after the seek */
  uint8_t  seek_track;
  uint8_t  seek_status;         /* ST0 for SENSE INTERRUPT */
  uint64_t seek_end_ns;
  uint8_t  deleted[FDC_MAX_SECTORS / 8];        /* sectors with a deleted data mark */
  /* Not state: made by the board. */
  FloppyDriveKind kind;
  BlockBackend   *image;
  FloppyGeometry  geometry;     /* of image */
} Drive;

struct Fdc
{
  Device   parent;
  Clock   *clock;
  Bus     *bus;
  IrqLine  irq;
  DmaPort  dma;
  unsigned dma_channel;
  void   (*full) (void *data);
  void    *full_data;

  uint8_t  dor, dsr, tdr, specify[2], config, pretrack, perpendicular;
  bool     lock;
  uint8_t  phase, step;
  bool     interrupt;           /* INT before the gate */
  uint8_t  reset_statuses;      /* how many SENSE INTERRUPTs after a reset still answer "polled" */
  uint8_t  command[FDC_MAX_COMMAND], n_command;
  uint8_t  result[FDC_MAX_RESULT], n_result, result_at;

  /* Execution: the ID wanted next, the status so far. */
  uint8_t  c, h, r, n, head, eot, left, track_index;
  uint8_t  st0, st1, st2;
  bool     terminal_count, stop_after, stalled;
  uint8_t  starved;
  uint8_t  buffer[FDC_MAX_SECTOR];
  uint16_t position, length;
  Timer   *timer, *seek_timer;
  Drive    drives[FDC_N_UNITS];
};

/* ---------------------------------------------------------------- formats */

static const struct
{
  uint16_t       n_blocks;      /* image size in units of 512 bytes */
  FloppyGeometry geometry;
} formats[] = {
  {  320, { 40, 1,  8, 2, FLOPPY_DENSITY_DOUBLE } },   /* 160K */
  {  360, { 40, 1,  9, 2, FLOPPY_DENSITY_DOUBLE } },   /* 180K */
  {  640, { 40, 2,  8, 2, FLOPPY_DENSITY_DOUBLE } },   /* 320K */
  {  720, { 40, 2,  9, 2, FLOPPY_DENSITY_DOUBLE } },   /* 360K */
  {  800, { 40, 2, 10, 2, FLOPPY_DENSITY_DOUBLE } },   /* 400K */
  {  820, { 41, 2, 10, 2, FLOPPY_DENSITY_DOUBLE } },
  {  840, { 42, 2, 10, 2, FLOPPY_DENSITY_DOUBLE } },
  { 1280, { 80, 2,  8, 2, FLOPPY_DENSITY_DOUBLE } },   /* 640K */
  { 1440, { 80, 2,  9, 2, FLOPPY_DENSITY_DOUBLE } },   /* 720K */
  { 1476, { 82, 2,  9, 2, FLOPPY_DENSITY_DOUBLE } },
  { 1600, { 80, 2, 10, 2, FLOPPY_DENSITY_DOUBLE } },   /* 800K */
  { 1640, { 82, 2, 10, 2, FLOPPY_DENSITY_DOUBLE } },
  { 1660, { 83, 2, 10, 2, FLOPPY_DENSITY_DOUBLE } },
  { 2400, { 80, 2, 15, 2, FLOPPY_DENSITY_HIGH } },     /* 1.2M */
  { 2464, { 77, 2,  8, 3, FLOPPY_DENSITY_HIGH } },     /* 1.23M of 1024-byte sectors, Japanese PCs */
  { 2880, { 80, 2, 18, 2, FLOPPY_DENSITY_HIGH } },     /* 1.44M */
  { 2952, { 82, 2, 18, 2, FLOPPY_DENSITY_HIGH } },
  { 2988, { 83, 2, 18, 2, FLOPPY_DENSITY_HIGH } },
  { 3200, { 80, 2, 20, 2, FLOPPY_DENSITY_HIGH } },     /* 1.6M */
  { 3280, { 82, 2, 20, 2, FLOPPY_DENSITY_HIGH } },
  { 3320, { 83, 2, 20, 2, FLOPPY_DENSITY_HIGH } },
  { 3360, { 80, 2, 21, 2, FLOPPY_DENSITY_HIGH } },     /* 1.68M, the distribution media format */
  { 3444, { 82, 2, 21, 2, FLOPPY_DENSITY_HIGH } },     /* 1.72M */
  { 3486, { 83, 2, 21, 2, FLOPPY_DENSITY_HIGH } },
  { 3520, { 80, 2, 22, 2, FLOPPY_DENSITY_HIGH } },
  { 3608, { 82, 2, 22, 2, FLOPPY_DENSITY_HIGH } },
  { 3652, { 83, 2, 22, 2, FLOPPY_DENSITY_HIGH } },
  { 3680, { 80, 2, 23, 2, FLOPPY_DENSITY_HIGH } },
  { 3840, { 80, 2, 24, 2, FLOPPY_DENSITY_HIGH } },     /* 1.92M */
  { 5760, { 80, 2, 36, 2, FLOPPY_DENSITY_EXTRA } },    /* 2.88M */
  { 6240, { 80, 2, 39, 2, FLOPPY_DENSITY_EXTRA } },
  { 6400, { 80, 2, 40, 2, FLOPPY_DENSITY_EXTRA } },
  { 7040, { 80, 2, 44, 2, FLOPPY_DENSITY_EXTRA } },
  { 7680, { 80, 2, 48, 2, FLOPPY_DENSITY_EXTRA } },
};

int
floppy_geometry_of (uint64_t n_bytes, FloppyGeometry *ret)
{
  static const uint16_t standard[] = { 320, 720, 1440, 2400, 2880, 5760, 7680 };
  uint64_t n_blocks = n_bytes / 512;
  const unsigned n_formats = sizeof formats / sizeof formats[0];

  if (n_bytes == 0 || n_bytes > FDC_MAX_IMAGE_BYTES)
    return -EINVAL;
  for (unsigned i = 0; i < n_formats; i++)
    if (formats[i].n_blocks * 512ull == n_bytes)
      {
        *ret = formats[i].geometry;
        return 0;
      }
  if (n_bytes % 512 == 0)
    for (unsigned tracks = 80; tracks <= 84; tracks++)
      for (unsigned sectors = 9; sectors <= 48; sectors++)
        if (n_blocks == tracks * 2 * sectors)
          {
            *ret = (FloppyGeometry) { (uint8_t) tracks, 2, (uint8_t) sectors, 2,
                                      sectors <= 11   ? FLOPPY_DENSITY_DOUBLE
                                      : sectors <= 24 ? FLOPPY_DENSITY_HIGH
                                                      : FLOPPY_DENSITY_EXTRA };
            return 0;
          }
  for (unsigned s = 0; s < sizeof standard / sizeof standard[0]; s++)
    if (n_bytes <= standard[s] * 512ull)
      for (unsigned i = 0; i < n_formats; i++)
        if (formats[i].n_blocks == standard[s])
          {
            *ret = formats[i].geometry;
            return 0;
          }
  *ret = (FloppyGeometry) { 84, 2, 48, 2, FLOPPY_DENSITY_EXTRA };
  return 0;
}

/* ---------------------------------------------------------------- wires */

static void
update_irq (Fdc *self)
{
  irq_line_set (&self->irq, self->interrupt && (self->dor & DOR_DMA_GATE) && (self->dor & DOR_NOT_RESET));
}

static void
set_interrupt (Fdc *self, bool level)
{
  self->interrupt = level;
  update_irq (self);
}

/* A new reason while the old one was not answered must still be an edge for the interrupt controller. */
static void
raise_interrupt (Fdc *self)
{
  set_interrupt (self, false);
  set_interrupt (self, true);
}

static void
set_dma_request (Fdc *self, bool level)
{
  if (self->dma.set_request)
    self->dma.set_request (self->dma.dma, self->dma_channel, level);
}

static void
run_in (Fdc *self, Step step, uint64_t delay_ns)
{
  self->phase = PHASE_BUSY;
  self->step = step;
  timer_arm (self->timer, clock_now_ns (self->clock) + delay_ns);
}

static const CommandRow *
find_row (uint8_t first_byte)
{
  for (unsigned i = 0; i < sizeof command_rows / sizeof command_rows[0]; i++)
    if ((first_byte & command_rows[i].mask) == command_rows[i].value)
      return &command_rows[i];
  return &invalid_row;
}

static Operation
operation_of (const Fdc *self)
{
  return find_row (self->command[0])->operation;
}

static bool
operation_transfers (Operation operation)
{
  return operation >= OP_FORMAT;
}

static bool
operation_to_host (Operation operation)
{
  return operation == OP_READ || operation == OP_READ_DELETED || operation == OP_READ_TRACK;
}

static bool
operation_writes (Operation operation)
{
  return operation == OP_WRITE || operation == OP_WRITE_DELETED || operation == OP_FORMAT;
}

static bool
operation_scans (Operation operation)
{
  return operation >= OP_SCAN_EQUAL;
}

static bool
is_non_dma (const Fdc *self)
{
  return self->specify[1] & SPECIFY_NON_DMA;
}

static Drive *
commanded_drive (Fdc *self)
{
  return &self->drives[self->command[1] & 3];
}

/* ---------------------------------------------------------------- the disk */

/* A 40 track disk in a 1.2M drive lies under every second of the drive's 80 tracks: the guest steps twice. */
static unsigned
steps_per_track (const Drive *drive)
{
  return drive->kind == FLOPPY_DRIVE_1200K && drive->image && drive->geometry.n_tracks <= 42 ? 2 : 1;
}

/* A 250 kbit/s disk spins faster in a 1.2M drive and is read there at 300 kbit/s; both are taken for either. */
static bool
rate_matches (const Fdc *self, const FloppyGeometry *geometry)
{
  switch (self->dsr & DSR_RATE)
    {
    case RATE_500K: return geometry->density == FLOPPY_DENSITY_HIGH;
    case RATE_1M:   return geometry->density == FLOPPY_DENSITY_EXTRA;
    default:        return geometry->density == FLOPPY_DENSITY_DOUBLE;
    }
}

/* Whether the head sees ID fields at all. */
static bool
track_readable (Fdc *self, const Drive *drive)
{
  unsigned steps = steps_per_track (drive);

  return drive->kind != FLOPPY_DRIVE_NONE && drive->image && (self->command[0] & COMMAND_MFM)
         && rate_matches (self, &drive->geometry) && self->head < drive->geometry.n_heads && drive->head_track % steps == 0
         && drive->head_track / steps < drive->geometry.n_tracks;
}

static unsigned
sector_bytes (const Drive *drive)
{
  return 128u << drive->geometry.size_code;
}

/* r in 1 … n_sectors, the track readable. */
static unsigned
sector_number (const Drive *drive, unsigned head, unsigned r)
{
  unsigned cylinder = drive->head_track / steps_per_track (drive);

  return (cylinder * drive->geometry.n_heads + head) * drive->geometry.n_sectors + r - 1;
}

static bool
is_deleted (const Drive *drive, unsigned sector)
{
  return drive->deleted[sector / 8] >> (sector % 8) & 1;
}

static void
set_deleted (Drive *drive, unsigned sector, bool deleted)
{
  uint8_t bit = (uint8_t) (1u << (sector % 8));

  drive->deleted[sector / 8] = (uint8_t) (deleted ? drive->deleted[sector / 8] | bit : drive->deleted[sector / 8] & ~bit);
}

/* The end of an image that is shorter than its format reads as zeros. */
static int
read_sector (Drive *drive, unsigned sector, uint8_t *ret_bytes)
{
  unsigned n_bytes = sector_bytes (drive);
  uint64_t offset = (uint64_t) sector * n_bytes;
  uint64_t there = offset < drive->image->n_bytes ? drive->image->n_bytes - offset : 0;

  if (there > n_bytes)
    there = n_bytes;
  memset (ret_bytes + there, 0, n_bytes - there);
  return there ? block_read (drive->image, offset, ret_bytes, there) : 0;
}

static int
write_sector (Drive *drive, unsigned sector, const uint8_t *bytes)
{
  unsigned n_bytes = sector_bytes (drive);
  uint64_t offset = (uint64_t) sector * n_bytes;
  uint64_t there = offset < drive->image->n_bytes ? drive->image->n_bytes - offset : 0;

  if (drive->image->read_only)
    return -EROFS;
  /* Past the image's end there is nowhere to keep it: a bad spot on the disk. */
  if (there < n_bytes)
    return -EIO;
  return block_write (drive->image, offset, bytes, n_bytes);
}

/* ---------------------------------------------------------------- results */

static void
enter_command_phase (Fdc *self)
{
  self->phase = PHASE_COMMAND;
  self->step = STEP_NONE;
  self->n_command = 0;
}

static void
enter_result_phase (Fdc *self, unsigned n_bytes)
{
  self->phase = PHASE_RESULT;
  self->step = STEP_NONE;
  self->n_result = (uint8_t) n_bytes;
  self->result_at = 0;
}

/* The seven result bytes of every command that touches a track (section 5.1.1). */
static void
finish_transfer (Fdc *self)
{
  timer_disarm (self->timer);
  set_dma_request (self, false);
  self->position = self->length = 0;
  self->stalled = false;
  self->st0 = (uint8_t) (self->st0 | (self->head ? ST0_HEAD : 0) | (self->command[1] & 3));
  self->result[0] = self->st0;
  self->result[1] = self->st1;
  self->result[2] = self->st2;
  self->result[3] = self->c;
  self->result[4] = self->h;
  self->result[5] = self->r;
  self->result[6] = self->n;
  enter_result_phase (self, 7);
  raise_interrupt (self);
}

static void
fail_transfer (Fdc *self, uint8_t st1, uint8_t st2)
{
  self->st0 |= ST0_ABNORMAL;
  self->st1 |= st1;
  self->st2 |= st2;
  finish_transfer (self);
}

/* What is not found is searched for until the second index pulse. */
static void
fail_search (Fdc *self, uint8_t st1, uint8_t st2)
{
  self->st0 |= ST0_ABNORMAL;
  self->st1 |= st1;
  self->st2 |= st2;
  run_in (self, STEP_FAIL, MISSING_NS);
}

/* The ID after the last one done (table 5-6 of the data sheet: result phase table). */
static void
step_id (Fdc *self)
{
  if (self->r != self->eot)
    {
      self->r++;
      return;
    }
  self->r = 1;
  if (!(self->command[0] & COMMAND_MT))
    {
      self->c++;
      return;
    }
  if (self->head)
    self->c++;
  self->h ^= 1;
}

/* A sector is done: what next? */
static void
next_sector (Fdc *self)
{
  Operation operation = operation_of (self);
  bool multi_track = (self->command[0] & COMMAND_MT) && operation != OP_READ_TRACK;
  unsigned stride = operation_scans (operation) && self->command[8] == 2 ? 2 : 1;
  bool last = operation == OP_READ_TRACK ? self->track_index == self->eot : self->r == self->eot;

  self->position = self->length = 0;
  self->starved = 0;
  if (operation == OP_VERIFY && (self->command[1] & 0x80) && --self->left == 0)
    self->terminal_count = true;
  if (stride == 2 && self->r + 1 == self->eot)
    {
      last = true;
      self->r = self->eot;
    }
  if (self->terminal_count || self->stop_after)
    {
      /* Table 5-3: at an unexpected data mark the address is not incremented. */
      if (!self->stop_after)
        step_id (self);
      finish_transfer (self);
      return;
    }
  if (last && !(multi_track && self->head == 0))
    {
      step_id (self);
      /* VERIFY has no terminal count of its own: reaching EOT is its success (table 5-6). */
      if ((operation == OP_VERIFY && !(self->command[1] & 0x80)) || operation_scans (operation))
        finish_transfer (self);
      else
        fail_transfer (self, ST1_END, 0);
      return;
    }
  if (last)
    {
      step_id (self);
      self->head = 1;
    }
  else
    {
      self->r = (uint8_t) (self->r + stride);
      self->track_index++;
    }
  run_in (self, STEP_FIND, SECTOR_NS);
}

/* ---------------------------------------------------------------- execution */

static void move_by_dma (Fdc *self);

/* Starts moving buffer[position … length) between chip and host. */
static void
begin_data (Fdc *self)
{
  if (is_non_dma (self))
    {
      self->phase = PHASE_DATA;
      self->step = STEP_NONE;
      raise_interrupt (self);
    }
  else
    move_by_dma (self);
}

/* SCAN (5.1.10): is the disk's sector equal to, not above, or not below what the host sends?  A byte FFh on either
 * side matches anything.  Sets ST2; true when the condition holds. */
static bool
scan_compare (Fdc *self, const uint8_t *disk, unsigned n_bytes)
{
  Operation operation = operation_of (self);
  int order = 0;

  for (unsigned i = 0; i < n_bytes && order == 0; i++)
    if (disk[i] != 0xff && self->buffer[i] != 0xff)
      order = (int) disk[i] - (int) self->buffer[i];
  self->st2 &= (uint8_t) ~(ST2_SCAN_EQUAL | ST2_SCAN_FAILED);
  if (order == 0)
    self->st2 |= ST2_SCAN_EQUAL;
  else if (operation == OP_SCAN_EQUAL || (operation == OP_SCAN_LOW && order > 0) || (operation == OP_SCAN_HIGH && order < 0))
    self->st2 |= ST2_SCAN_FAILED;
  return !(self->st2 & ST2_SCAN_FAILED);
}

static void
find_sector (Fdc *self)
{
  Operation operation = operation_of (self);
  Drive *drive = commanded_drive (self);
  const FloppyGeometry *geometry = &drive->geometry;
  unsigned sector, r = self->r;
  int result;

  self->position = self->length = 0;
  if (!track_readable (self, drive))
    {
      fail_search (self, ST1_NO_MARK, 0);
      return;
    }
  if (operation_writes (operation) && drive->image->read_only)
    {
      fail_transfer (self, ST1_PROTECTED, 0);
      return;
    }
  if (operation == OP_FORMAT)
    {
      self->length = 4;
      begin_data (self);
      return;
    }
  if (operation == OP_READ_TRACK)
    {
      /* The track is read from its first sector whatever the IDs are; a mismatch is only noted (5.1.3). */
      r = self->track_index;
      if (r > geometry->n_sectors)
        {
          fail_search (self, ST1_NO_DATA, 0);
          return;
        }
      if (self->r != r || self->h != self->head || self->n != geometry->size_code
          || self->c != drive->head_track / steps_per_track (drive))
        self->st1 |= ST1_NO_DATA;
    }
  else
    {
      if (self->c != drive->head_track / steps_per_track (drive))
        {
          fail_search (self, ST1_NO_DATA, ST2_WRONG_CYLINDER);
          return;
        }
      if (self->h != self->head || self->n != geometry->size_code || r < 1 || r > geometry->n_sectors)
        {
          fail_search (self, ST1_NO_DATA, 0);
          return;
        }
    }
  sector = sector_number (drive, self->head, r);
  if (operation_writes (operation))
    {
      self->length = (uint16_t) sector_bytes (drive);
      begin_data (self);
      return;
    }
  if (operation != OP_READ_TRACK && is_deleted (drive, sector) != (operation == OP_READ_DELETED))
    {
      /* Tables 5-3 and 5-5: the wrong data mark is skipped, or read and then the command ends. */
      self->st2 |= ST2_CONTROL_MARK;
      if (self->command[0] & COMMAND_SK)
        {
          next_sector (self);
          return;
        }
      self->stop_after = true;
    }
  if (operation_scans (operation))
    {
      self->length = (uint16_t) sector_bytes (drive);
      begin_data (self);
      return;
    }
  result = read_sector (drive, sector, self->buffer);
  if (result < 0)
    {
      fail_transfer (self, ST1_DATA_ERROR, ST2_DATA_ERROR);
      return;
    }
  if (operation == OP_VERIFY)
    {
      next_sector (self);
      return;
    }
  self->length = (uint16_t) sector_bytes (drive);
  begin_data (self);
}

/* A full buffer came from the host: keep or compare it.  The disk may have changed since find_sector. */
static void
store_sector (Fdc *self)
{
  Operation operation = operation_of (self);
  Drive *drive = commanded_drive (self);
  unsigned n_bytes = drive->image ? sector_bytes (drive) : 0;
  uint8_t disk[FDC_MAX_SECTOR];
  unsigned r = operation == OP_FORMAT ? self->buffer[2] : self->r;
  bool on_track = r >= 1 && r <= drive->geometry.n_sectors;
  int result = 0;

  if (!track_readable (self, drive) || (operation != OP_FORMAT && (!on_track || n_bytes != self->length)))
    {
      fail_transfer (self, ST1_NO_MARK, 0);
      return;
    }
  if (operation_scans (operation))
    {
      if (read_sector (drive, sector_number (drive, self->head, r), disk) < 0)
        fail_transfer (self, ST1_DATA_ERROR, ST2_DATA_ERROR);
      else
        {
          if (scan_compare (self, disk, n_bytes))
            self->terminal_count = true;
          next_sector (self);
        }
      return;
    }
  if (operation == OP_FORMAT)
    {
      /* IDs that the image's format does not have are lost, as is what a real disk cannot hold before the index. */
      memcpy (disk, self->buffer, 4);
      if (on_track && disk[0] == drive->head_track / steps_per_track (drive) && disk[1] == self->head
          && disk[3] == drive->geometry.size_code && self->command[2] == drive->geometry.size_code)
        {
          uint8_t filler[FDC_MAX_SECTOR];

          memset (filler, self->command[5], sizeof filler);
          result = write_sector (drive, sector_number (drive, self->head, r), filler);
        }
    }
  else
    result = write_sector (drive, sector_number (drive, self->head, r), self->buffer);
  if (result == -ENOSPC && self->full)
    {
      self->phase = PHASE_BUSY;
      self->step = STEP_STORE;
      self->stalled = true;
      timer_disarm (self->timer);
      self->full (self->full_data);
      return;
    }
  if (result < 0)
    {
      fail_transfer (self, result == -EROFS ? ST1_PROTECTED : ST1_DATA_ERROR, result == -EROFS ? 0 : ST2_DATA_ERROR);
      return;
    }
  if (on_track)
    set_deleted (drive, sector_number (drive, self->head, r), operation == OP_WRITE_DELETED);
  if (operation != OP_FORMAT)
    {
      next_sector (self);
      return;
    }
  self->position = self->length = 0;
  self->starved = 0;
  if (self->terminal_count || --self->left == 0)
    finish_transfer (self);
  else
    run_in (self, STEP_FIND, SECTOR_NS / 4);
}

static void
data_done (Fdc *self)
{
  if (operation_to_host (operation_of (self)))
    next_sector (self);
  else
    store_sector (self);
}

static void
move_by_dma (Fdc *self)
{
  bool to_memory = operation_to_host (operation_of (self));
  size_t wanted = (size_t) (self->length - self->position);
  bool terminal_count = false;
  size_t n = 0;

  set_dma_request (self, true);
  if (self->dma.transfer && (self->dor & DOR_DMA_GATE))
    n = self->dma.transfer (self->dma.dma, self->dma_channel, to_memory, self->buffer + self->position, wanted, &terminal_count);
  if (n > wanted)
    n = wanted;
  self->position = (uint16_t) (self->position + n);
  if (terminal_count)
    {
      /* 5.2.2: the rest of a sector that the host cut short is written as zeros, or read and thrown away. */
      if (!to_memory)
        memset (self->buffer + self->position, 0, (size_t) (self->length - self->position));
      self->position = self->length;
      self->terminal_count = true;
    }
  if (self->position == self->length)
    {
      set_dma_request (self, false);
      data_done (self);
      return;
    }
  if (n == 0 && ++self->starved > OVERRUN_TRIES)
    {
      fail_transfer (self, ST1_OVERRUN, 0);
      return;
    }
  run_in (self, STEP_MOVE, STARVED_NS);
}

static void
read_id (Fdc *self)
{
  Drive *drive = commanded_drive (self);
  uint64_t turn = clock_now_ns (self->clock) / SECTOR_NS;

  if (!track_readable (self, drive))
    {
      fail_search (self, ST1_NO_MARK, 0);
      return;
    }
  /* Whichever sector passes the head now. */
  self->c = (uint8_t) (drive->head_track / steps_per_track (drive));
  self->h = self->head;
  self->r = (uint8_t) (turn % drive->geometry.n_sectors + 1);
  self->n = drive->geometry.size_code;
  finish_transfer (self);
}

static void
fdc_fire (Device *device)
{
  Fdc *self = (Fdc *) device;

  if (self->phase == PHASE_RESET)
    {
      if (!(self->dor & DOR_NOT_RESET))
        return;
      /* Polling finds four drives "ready" after a reset: one interrupt, four statuses (5.2.4). */
      enter_command_phase (self);
      self->reset_statuses = FDC_N_UNITS;
      raise_interrupt (self);
      return;
    }
  if (self->phase != PHASE_BUSY || self->stalled)
    return;
  switch ((Step) self->step)
    {
    case STEP_FIND:
      find_sector (self);
      break;
    case STEP_MOVE:
      move_by_dma (self);
      break;
    case STEP_STORE:
      store_sector (self);
      break;
    case STEP_READ_ID:
      read_id (self);
      break;
    case STEP_FAIL:
      finish_transfer (self);
      break;
    case STEP_NONE:
    case N_STEPS:
      break;
    }
}

/* ---------------------------------------------------------------- seeks */

static void
arm_seek_timer (Fdc *self)
{
  uint64_t first = UINT64_MAX;

  for (unsigned i = 0; i < FDC_N_UNITS; i++)
    if (self->drives[i].seek == SEEK_MOVING && self->drives[i].seek_end_ns < first)
      first = self->drives[i].seek_end_ns;
  if (first == UINT64_MAX)
    timer_disarm (self->seek_timer);
  else
    timer_arm (self->seek_timer, first);
}

/* The head moved (or was pulsed): a disk in the drive clears the change latch. */
static void
move_head (Drive *drive, unsigned track)
{
  if (track != drive->head_track && drive->image)
    drive->changed = false;
  drive->head_track = (uint8_t) track;
}

static void
seek_fire (Device *device)
{
  Fdc *self = (Fdc *) device;
  uint64_t now = clock_now_ns (self->clock);
  bool done = false;

  for (unsigned i = 0; i < FDC_N_UNITS; i++)
    {
      Drive *drive = &self->drives[i];

      if (drive->seek != SEEK_MOVING || drive->seek_end_ns > now)
        continue;
      drive->seek = SEEK_DONE;
      drive->cylinder = drive->seek_cylinder;
      move_head (drive, drive->seek_track);
      done = true;
    }
  arm_seek_timer (self);
  if (done)
    raise_interrupt (self);
}

static unsigned
head_limit (const Drive *drive)
{
  return drive->kind == FLOPPY_DRIVE_360K ? 41 : FDC_HEAD_LIMIT;
}

/* Sends `steps` pulses (negative: outwards). An absent drive moves nothing and the chip cannot know. */
static unsigned
track_after (const Drive *drive, int steps)
{
  int track = drive->head_track + steps;

  if (drive->kind == FLOPPY_DRIVE_NONE)
    return drive->head_track;
  return track < 0 ? 0 : track > (int) head_limit (drive) ? head_limit (drive) : (unsigned) track;
}

static void
begin_seek (Fdc *self, unsigned cylinder, unsigned track, unsigned n_steps, uint8_t status)
{
  Drive *drive = commanded_drive (self);

  drive->seek = SEEK_MOVING;
  drive->seek_cylinder = (uint8_t) cylinder;
  drive->seek_track = (uint8_t) track;
  drive->seek_status = (uint8_t) (status | (self->command[1] & 7));
  drive->seek_end_ns = clock_now_ns (self->clock) + SEEK_NS + n_steps * STEP_NS;
  arm_seek_timer (self);
  enter_command_phase (self);
}

static void
recalibrate (Fdc *self)
{
  Drive *drive = commanded_drive (self);
  bool reaches = drive->kind != FLOPPY_DRIVE_NONE && drive->head_track <= RECALIBRATE_STEPS;

  /* Without a drive, or from a track above 79, track 0 is not seen after 79 pulses: equipment check. */
  begin_seek (self, 0, track_after (drive, -RECALIBRATE_STEPS), reaches ? drive->head_track : RECALIBRATE_STEPS,
              (uint8_t) (ST0_SEEK_END | (reaches ? 0 : ST0_ABNORMAL | ST0_EQUIPMENT)));
}

static void
seek (Fdc *self)
{
  Drive *drive = commanded_drive (self);
  int steps = (int) self->command[2] - (int) drive->cylinder;

  begin_seek (self, self->command[2], track_after (drive, steps), (unsigned) abs (steps), ST0_SEEK_END);
}

static void
relative_seek (Fdc *self)
{
  Drive *drive = commanded_drive (self);
  int steps = self->command[0] & 0x40 ? self->command[2] : -(int) self->command[2];

  begin_seek (self, (uint8_t) (drive->cylinder + steps), track_after (drive, steps), self->command[2], ST0_SEEK_END);
}

static void
sense_interrupt (Fdc *self)
{
  unsigned unit;

  set_interrupt (self, false);
  self->n_result = 0;
  if (self->reset_statuses)
    {
      unit = (unsigned) (FDC_N_UNITS - self->reset_statuses--);
      self->result[0] = (uint8_t) (ST0_POLLED | unit);
      self->result[1] = self->drives[unit].cylinder;
      enter_result_phase (self, 2);
      return;
    }
  for (unit = 0; unit < FDC_N_UNITS && self->drives[unit].seek != SEEK_DONE; unit++)
    ;
  if (unit == FDC_N_UNITS)
    {
      self->result[0] = ST0_INVALID;
      enter_result_phase (self, 1);
      return;
    }
  self->drives[unit].seek = SEEK_IDLE;
  self->result[0] = self->drives[unit].seek_status;
  self->result[1] = self->drives[unit].cylinder;
  enter_result_phase (self, 2);
  for (unit = 0; unit < FDC_N_UNITS; unit++)
    if (self->drives[unit].seek == SEEK_DONE)
      raise_interrupt (self);
}

/* ---------------------------------------------------------------- commands */

static void
begin_transfer (Fdc *self)
{
  Operation operation = operation_of (self);
  Drive *drive = commanded_drive (self);
  uint64_t delay = SECTOR_NS;

  self->head = self->command[1] >> 2 & 1;
  self->st0 = self->st1 = self->st2 = 0;
  self->terminal_count = self->stop_after = self->stalled = false;
  self->starved = 0;
  self->track_index = 1;
  self->position = self->length = 0;
  self->reset_statuses = 0;
  if (operation == OP_READ_ID)
    {
      run_in (self, STEP_READ_ID, COMMAND_NS);
      return;
    }
  if (operation == OP_FORMAT)
    {
      self->c = drive->cylinder;
      self->h = self->head;
      self->r = 1;
      self->n = self->command[2];
      self->eot = self->left = self->command[3];
      if (self->left == 0)
        fail_transfer (self, ST1_NO_DATA, 0);
      else
        run_in (self, STEP_FIND, delay);
      return;
    }
  self->c = self->command[2];
  self->h = self->command[3];
  self->r = self->command[4];
  self->n = self->command[5];
  self->eot = self->command[6];
  self->left = self->command[8];
  if ((self->config & CONFIG_EIS) && operation != OP_READ_TRACK && self->c != drive->cylinder)
    {
      int steps = (int) self->c - (int) drive->cylinder;

      move_head (drive, track_after (drive, steps));
      drive->cylinder = self->c;
      self->st0 |= ST0_SEEK_END;
      delay += SEEK_NS + (unsigned) abs (steps) * STEP_NS;
    }
  run_in (self, STEP_FIND, delay);
}

static void
sense_drive (Fdc *self)
{
  const Drive *drive = commanded_drive (self);

  /* ST3: bits 5 and 3 are always one on this chip (6.4). */
  self->result[0] = (uint8_t) (0x28 | (self->command[1] & 7));
  if (drive->kind != FLOPPY_DRIVE_NONE && drive->head_track == 0)
    self->result[0] |= 0x10;
  if (drive->image && drive->image->read_only)
    self->result[0] |= 0x40;
  enter_result_phase (self, 1);
}

static void
dump_registers (Fdc *self)
{
  for (unsigned i = 0; i < FDC_N_UNITS; i++)
    self->result[i] = self->drives[i].cylinder;
  self->result[4] = self->specify[0];
  self->result[5] = self->specify[1];
  self->result[6] = self->eot;
  self->result[7] = (uint8_t) ((self->lock ? 0x80 : 0) | (self->perpendicular & 0x3f));
  self->result[8] = self->config;
  self->result[9] = self->pretrack;
  enter_result_phase (self, 10);
}

/* All bytes of the command are in. */
static void
execute (Fdc *self)
{
  switch (operation_of (self))
    {
    case OP_INVALID:
      self->result[0] = ST0_INVALID;
      enter_result_phase (self, 1);
      break;
    case OP_SPECIFY:
      memcpy (self->specify, self->command + 1, 2);
      enter_command_phase (self);
      break;
    case OP_SENSE_DRIVE:
      sense_drive (self);
      break;
    case OP_SENSE_INTERRUPT:
      sense_interrupt (self);
      break;
    case OP_RECALIBRATE:
      self->command[1] &= 3;
      recalibrate (self);
      break;
    case OP_SEEK:
      seek (self);
      break;
    case OP_RELATIVE_SEEK:
      relative_seek (self);
      break;
    case OP_VERSION:
      self->result[0] = 0x90;
      enter_result_phase (self, 1);
      break;
    case OP_DUMPREG:
      dump_registers (self);
      break;
    case OP_PERPENDICULAR:
      /* 5.2.5: without OW the drive bits keep their values. */
      if (self->command[1] & 0x80)
        self->perpendicular = self->command[1] & 0x3f;
      else
        self->perpendicular = (uint8_t) ((self->perpendicular & 0x3c) | (self->command[1] & 3));
      enter_command_phase (self);
      break;
    case OP_CONFIGURE:
      self->config = self->command[2] & 0x7f;
      self->pretrack = self->command[3];
      enter_command_phase (self);
      break;
    case OP_LOCK:
      self->lock = self->command[0] & 0x80;
      self->result[0] = self->lock ? 0x10 : 0;
      enter_result_phase (self, 1);
      break;
    case OP_READ_ID:
    case OP_FORMAT:
    case OP_READ:
    case OP_READ_DELETED:
    case OP_READ_TRACK:
    case OP_WRITE:
    case OP_WRITE_DELETED:
    case OP_VERIFY:
    case OP_SCAN_EQUAL:
    case OP_SCAN_LOW:
    case OP_SCAN_HIGH:
      begin_transfer (self);
      break;
    }
}

/* ---------------------------------------------------------------- registers */

/* 4.2: DOR and DSR resets are the same: the command dies, CONFIGURE's FIFO bits return unless locked. */
static void
soft_reset (Fdc *self)
{
  timer_disarm (self->timer);
  timer_disarm (self->seek_timer);
  set_dma_request (self, false);
  self->phase = PHASE_RESET;
  self->step = STEP_NONE;
  self->n_command = self->n_result = self->result_at = 0;
  self->position = self->length = 0;
  self->stalled = false;
  self->reset_statuses = 0;
  self->perpendicular &= 0x3c;
  for (unsigned i = 0; i < FDC_N_UNITS; i++)
    self->drives[i].seek = SEEK_IDLE;
  if (!self->lock)
    {
      self->config = (uint8_t) ((self->config & ~CONFIG_THRESHOLD) | CONFIG_EFIFO);
      self->pretrack = 0;
    }
  set_interrupt (self, false);
}

static uint8_t
main_status (const Fdc *self)
{
  uint8_t status = 0;

  for (unsigned i = 0; i < FDC_N_UNITS; i++)
    if (self->drives[i].seek == SEEK_MOVING)
      status |= (uint8_t) (1u << i);
  switch ((Phase) self->phase)
    {
    case PHASE_COMMAND:
      return (uint8_t) (status | MSR_RQM | (self->n_command ? MSR_BUSY : 0));
    case PHASE_BUSY:
      return (uint8_t) (status | MSR_BUSY | (is_non_dma (self) && operation_transfers (operation_of (self)) ? MSR_NON_DMA : 0));
    case PHASE_DATA:
      return (uint8_t) (status | MSR_RQM | MSR_BUSY | MSR_NON_DMA | (operation_to_host (operation_of (self)) ? MSR_DIO : 0));
    case PHASE_RESULT:
      return (uint8_t) (status | MSR_RQM | MSR_DIO | MSR_BUSY);
    case PHASE_RESET:
    case N_PHASES:
      break;
    }
  return 0;
}

/* After each byte of programmed I/O.  INT falls when the FIFO has been served and rises with the next request: per
 * byte in the 8272 compatible mode, per threshold with the FIFO on (5.2.1 and 5.2.2). */
static void
data_byte_moved (Fdc *self)
{
  unsigned group = self->config & CONFIG_EFIFO           ? 1
                   : operation_to_host (operation_of (self)) ? 16u - (self->config & CONFIG_THRESHOLD)
                                                             : 1u + (self->config & CONFIG_THRESHOLD);

  self->position++;
  if (self->position == self->length)
    {
      set_interrupt (self, false);
      self->phase = PHASE_BUSY;
      data_done (self);
    }
  else if (self->position % group == 0)
    {
      raise_interrupt (self);
    }
}

static uint8_t
read_fifo (Fdc *self)
{
  uint8_t value;

  if (self->phase == PHASE_DATA && operation_to_host (operation_of (self)) && self->position < self->length)
    {
      value = self->buffer[self->position];
      data_byte_moved (self);
      return value;
    }
  if (self->phase != PHASE_RESULT || self->result_at >= self->n_result)
    return 0;
  /* The first result byte answers the command's interrupt; one of a seek stays for SENSE INTERRUPT. */
  if (self->result_at == 0 && operation_of (self) != OP_SENSE_INTERRUPT && operation_of (self) >= OP_READ_ID)
    set_interrupt (self, false);
  value = self->result[self->result_at++];
  if (self->result_at == self->n_result)
    {
      enter_command_phase (self);
      /* A seek of another drive that ended during the command asks for attention now. */
      for (unsigned i = 0; i < FDC_N_UNITS; i++)
        if (self->drives[i].seek == SEEK_DONE && !self->interrupt)
          raise_interrupt (self);
    }
  return value;
}

static void
write_fifo (Fdc *self, uint8_t value)
{
  if (self->phase == PHASE_DATA && !operation_to_host (operation_of (self)) && self->position < self->length)
    {
      self->buffer[self->position] = value;
      data_byte_moved (self);
      return;
    }
  /* CVE-2015-3456 was a missing bound here: the row of the first byte says how many follow, at most nine in all. */
  if (self->phase != PHASE_COMMAND || self->n_command >= FDC_MAX_COMMAND)
    return;
  self->command[self->n_command++] = value;
  if (self->n_command >= find_row (self->command[0])->n_bytes)
    execute (self);
}

static void
write_dor (Fdc *self, uint8_t value)
{
  uint8_t old = self->dor;

  self->dor = value;
  if (!(value & DOR_NOT_RESET))
    {
      if (old & DOR_NOT_RESET)
        soft_reset (self);
      timer_disarm (self->timer);
    }
  else if (!(old & DOR_NOT_RESET))
    timer_arm (self->timer, clock_now_ns (self->clock) + RESET_NS);
  update_irq (self);
}

static uint64_t
fdc_read (Device *device, uint32_t offset, unsigned size)
{
  Fdc *self = (Fdc *) device;

  switch (offset)
    {
    case REG_DOR:  return self->dor;
    case REG_TDR:  return self->tdr;
    case REG_MSR:  return main_status (self);
    default:       return read_fifo (self);
    }
}

static void
fdc_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Fdc *self = (Fdc *) device;

  switch (offset)
    {
    case REG_DOR:
      write_dor (self, (uint8_t) value);
      break;
    case REG_TDR:
      self->tdr = value & 3;
      break;
    case REG_MSR:
      self->dsr = value & 0x7f;
      if (value & DSR_RESET)
        {
          soft_reset (self);
          if (self->dor & DOR_NOT_RESET)
            timer_arm (self->timer, clock_now_ns (self->clock) + RESET_NS);
        }
      break;
    default:
      write_fifo (self, (uint8_t) value);
      break;
    }
}

/* base + 7: DIR on reads, CCR on writes.  DIR bits 6-0 float in AT mode; software looks at bit 7 only. */
static uint64_t
fdc_read_dir (Device *device, uint32_t offset, unsigned size)
{
  Fdc *self = (Fdc *) device;
  const Drive *drive = &self->drives[self->dor & DOR_SELECT];

  return drive->kind != FLOPPY_DRIVE_NONE && drive->changed ? 0x80 : 0;
}

static void
fdc_write_ccr (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Fdc *self = (Fdc *) device;

  self->dsr = (uint8_t) ((self->dsr & ~DSR_RATE) | (value & DSR_RATE));
}

static const BusRegion fdc_region = { "fdc", BUS_SIZE_1, fdc_read, fdc_write };
static const BusRegion fdc_dir_region = { "fdc-dir", BUS_SIZE_1, fdc_read_dir, fdc_write_ccr };

/* ---------------------------------------------------------------- state */

static const StateField drive_fields[] = {
  STATE_FIELD (Drive, cylinder, STATE_UINT, 1),
  STATE_FIELD (Drive, head_track, STATE_UINT, 1),
  STATE_FIELD (Drive, changed, STATE_UINT, 1),
  STATE_FIELD (Drive, seek, STATE_UINT, 1),
  STATE_FIELD (Drive, seek_cylinder, STATE_UINT, 1),
  STATE_FIELD (Drive, seek_track, STATE_UINT, 1),
  STATE_FIELD (Drive, seek_status, STATE_UINT, 1),
  STATE_FIELD (Drive, seek_end_ns, STATE_UINT, 1),
  STATE_FIELD (Drive, deleted, STATE_BYTES, 1),
  STATE_END,
};
static const StateTable drive_state = { "floppy-drive", 1, drive_fields, NULL };

static const StateField fdc_fields[] = {
  STATE_FIELD (Fdc, dor, STATE_UINT, 1),
  STATE_FIELD (Fdc, dsr, STATE_UINT, 1),
  STATE_FIELD (Fdc, tdr, STATE_UINT, 1),
  STATE_FIELD (Fdc, specify, STATE_BYTES, 1),
  STATE_FIELD (Fdc, config, STATE_UINT, 1),
  STATE_FIELD (Fdc, pretrack, STATE_UINT, 1),
  STATE_FIELD (Fdc, perpendicular, STATE_UINT, 1),
  STATE_FIELD (Fdc, lock, STATE_UINT, 1),
  STATE_FIELD (Fdc, phase, STATE_UINT, 1),
  STATE_FIELD (Fdc, step, STATE_UINT, 1),
  STATE_FIELD (Fdc, interrupt, STATE_UINT, 1),
  STATE_FIELD (Fdc, reset_statuses, STATE_UINT, 1),
  STATE_FIELD (Fdc, command, STATE_BYTES, 1),
  STATE_FIELD (Fdc, n_command, STATE_UINT, 1),
  STATE_FIELD (Fdc, result, STATE_BYTES, 1),
  STATE_FIELD (Fdc, n_result, STATE_UINT, 1),
  STATE_FIELD (Fdc, result_at, STATE_UINT, 1),
  STATE_FIELD (Fdc, c, STATE_UINT, 1),
  STATE_FIELD (Fdc, h, STATE_UINT, 1),
  STATE_FIELD (Fdc, r, STATE_UINT, 1),
  STATE_FIELD (Fdc, n, STATE_UINT, 1),
  STATE_FIELD (Fdc, head, STATE_UINT, 1),
  STATE_FIELD (Fdc, eot, STATE_UINT, 1),
  STATE_FIELD (Fdc, left, STATE_UINT, 1),
  STATE_FIELD (Fdc, track_index, STATE_UINT, 1),
  STATE_FIELD (Fdc, st0, STATE_UINT, 1),
  STATE_FIELD (Fdc, st1, STATE_UINT, 1),
  STATE_FIELD (Fdc, st2, STATE_UINT, 1),
  STATE_FIELD (Fdc, terminal_count, STATE_UINT, 1),
  STATE_FIELD (Fdc, stop_after, STATE_UINT, 1),
  STATE_FIELD (Fdc, stalled, STATE_UINT, 1),
  STATE_FIELD (Fdc, starved, STATE_UINT, 1),
  STATE_FIELD (Fdc, buffer, STATE_BYTES, 1),
  STATE_FIELD (Fdc, position, STATE_UINT, 1),
  STATE_FIELD (Fdc, length, STATE_UINT, 1),
  STATE_FIELD (Fdc, timer, STATE_TIMER, 1),
  STATE_FIELD (Fdc, seek_timer, STATE_TIMER, 1),
  STATE_NESTED (Fdc, drives, &drive_state, 1),
  STATE_END,
};

/* A bool from a file may be any byte, and reading one that is neither 0 nor 1 is undefined. */
static bool
is_bool (const void *field)
{
  return *(const uint8_t *) field <= 1;
}

static int
fdc_check (Device *device)
{
  Fdc *self = (Fdc *) device;
  const CommandRow *row = find_row (self->command[0]);

  if (self->phase >= N_PHASES || self->step >= N_STEPS || self->head > 1 || self->reset_statuses > FDC_N_UNITS
      || self->starved > OVERRUN_TRIES + 1 || self->tdr > 3 || self->perpendicular > 0x3f)
    return -EBADMSG;
  if (!is_bool (&self->lock) || !is_bool (&self->interrupt) || !is_bool (&self->terminal_count) || !is_bool (&self->stop_after)
      || !is_bool (&self->stalled))
    return -EBADMSG;
  if (self->n_command > row->n_bytes || self->n_result > FDC_MAX_RESULT || self->result_at > self->n_result
      || self->length > FDC_MAX_SECTOR || self->position > self->length)
    return -EBADMSG;
  if ((self->dor & DOR_NOT_RESET) == 0 && self->phase != PHASE_RESET)
    return -EBADMSG;
  for (unsigned i = 0; i < FDC_N_UNITS; i++)
    {
      const Drive *drive = &self->drives[i];

      if (drive->head_track > FDC_HEAD_LIMIT || drive->seek_track > FDC_HEAD_LIMIT || drive->seek >= N_SEEKS
          || !is_bool (&drive->changed))
        return -EBADMSG;
    }
  switch ((Phase) self->phase)
    {
    case PHASE_COMMAND:
      if (self->n_command >= row->n_bytes)
        return -EBADMSG;
      break;
    case PHASE_BUSY:
      if (row->operation < OP_READ_ID || self->n_command != row->n_bytes || self->step == STEP_NONE
          || (row->operation == OP_READ_ID && self->step != STEP_READ_ID && self->step != STEP_FAIL)
          || (self->step == STEP_MOVE && self->length == 0))
        return -EBADMSG;
      if ((self->step == STEP_STORE && !operation_writes (row->operation) && !operation_scans (row->operation))
          || (self->step == STEP_MOVE && row->operation == OP_VERIFY))
        return -EBADMSG;
      /* A command in execution without its timer would hang for ever; one that waited for disk space tries again. */
      if (self->stalled)
        timer_arm (self->timer, clock_now_ns (self->clock) + COMMAND_NS);
      self->stalled = false;
      if (!timer_armed (self->timer))
        return -EBADMSG;
      break;
    case PHASE_DATA:
      if (row->operation < OP_FORMAT || row->operation == OP_VERIFY || self->n_command != row->n_bytes
          || self->position >= self->length)
        return -EBADMSG;
      break;
    case PHASE_RESULT:
      if (self->result_at >= self->n_result)
        return -EBADMSG;
      break;
    case PHASE_RESET:
      if ((self->dor & DOR_NOT_RESET) && !timer_armed (self->timer))
        return -EBADMSG;
      break;
    case N_PHASES:
      return -EBADMSG;
    }
  /* Every buffer operation but FORMAT's moves whole sectors; FORMAT's moves IDs. */
  if (row->operation == OP_FORMAT && self->length > 4)
    return -EBADMSG;
  arm_seek_timer (self);
  update_irq (self);
  return 0;
}

static const StateTable fdc_state = { "fdc", 1, fdc_fields, fdc_check };

static void
fdc_reset (Device *device)
{
  Fdc *self = (Fdc *) device;

  self->lock = false;
  soft_reset (self);
  self->dor = self->tdr = self->pretrack = self->perpendicular = 0;
  self->dsr = RATE_250K;
  self->config = CONFIG_EFIFO;
  memset (self->specify, 0, sizeof self->specify);
  memset (self->command, 0, sizeof self->command);
  memset (self->result, 0, sizeof self->result);
  memset (self->buffer, 0, sizeof self->buffer);
  self->c = self->h = self->r = self->n = self->head = self->eot = self->left = self->track_index = 0;
  self->st0 = self->st1 = self->st2 = self->starved = 0;
  self->terminal_count = self->stop_after = false;
  for (unsigned i = 0; i < FDC_N_UNITS; i++)
    {
      Drive *drive = &self->drives[i];

      drive->cylinder = drive->head_track = 0;
      drive->seek_cylinder = drive->seek_track = drive->seek_status = 0;
      drive->seek_end_ns = 0;
      drive->changed = true;
    }
  update_irq (self);
}

static void
fdc_finish (Device *device)
{
  Fdc *self = (Fdc *) device;

  if (!self)
    return;
  timer_free (self->timer);
  timer_free (self->seek_timer);
  bus_release (self->bus, device, &fdc_region);
  bus_release (self->bus, device, &fdc_dir_region);
  for (unsigned i = 0; i < FDC_N_UNITS; i++)
    block_close (self->drives[i].image);
  free (self);
}

static const DeviceClass fdc_class = { "fdc", sizeof (Fdc), &fdc_state, fdc_reset, fdc_finish };

/* ---------------------------------------------------------------- the board's side */

int
fdc_new (const DeviceHost *host, IrqLine irq, uint16_t base, const DmaPort *dma, unsigned dma_channel, Fdc **ret)
{
  Fdc *self = calloc (1, sizeof *self);
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &fdc_class;
  self->clock = host->clock;
  self->bus = host->bus;
  self->irq = irq;
  if (dma)
    self->dma = *dma;
  self->dma_channel = dma_channel;
  self->timer = clock_add_timer (host->clock, &self->parent, fdc_fire);
  self->seek_timer = clock_add_timer (host->clock, &self->parent, seek_fire);
  result = self->timer && self->seek_timer ? 0 : -ENOMEM;
  if (result == 0)
    result = bus_claim_ports (host->bus, &self->parent, &fdc_region, (uint16_t) (base + 2), 4);
  if (result == 0)
    result = bus_claim_ports (host->bus, &self->parent, &fdc_dir_region, (uint16_t) (base + 7), 1);
  if (result < 0)
    {
      fdc_finish (&self->parent);
      return result;
    }
  fdc_reset (&self->parent);
  *ret = self;
  return 0;
}

Device *
fdc_device (Fdc *self)
{
  return &self->parent;
}

int
fdc_set_drive (Fdc *self, unsigned unit, FloppyDriveKind kind)
{
  if (unit >= FDC_N_DRIVES || kind > FLOPPY_DRIVE_2880K)
    return -EINVAL;
  self->drives[unit].kind = kind;
  return 0;
}

FloppyDriveKind
fdc_drive_kind (const Fdc *self, unsigned unit)
{
  return unit < FDC_N_DRIVES ? self->drives[unit].kind : FLOPPY_DRIVE_NONE;
}

int
fdc_insert (Fdc *self, unsigned unit, BlockBackend *image)
{
  FloppyGeometry geometry = { 0 };
  Drive *drive;

  if (unit >= FDC_N_DRIVES || self->drives[unit].kind == FLOPPY_DRIVE_NONE
      || (image && floppy_geometry_of (image->n_bytes, &geometry) < 0))
    return -EINVAL;
  drive = &self->drives[unit];
  if (drive->image != image)
    block_close (drive->image);
  drive->image = image;
  drive->geometry = geometry;
  drive->changed = true;
  memset (drive->deleted, 0, sizeof drive->deleted);
  return 0;
}

BlockBackend *
fdc_image (const Fdc *self, unsigned unit)
{
  return unit < FDC_N_DRIVES ? self->drives[unit].image : NULL;
}

void
fdc_set_full_handler (Fdc *self, void (*full) (void *data), void *data)
{
  self->full = full;
  self->full_data = data;
}

void
fdc_retry (Fdc *self)
{
  if (!self->stalled)
    return;
  self->stalled = false;
  run_in (self, STEP_STORE, COMMAND_NS);
}

bool
fdc_motor_on (const Fdc *self, unsigned unit)
{
  return unit < FDC_N_DRIVES && (self->dor >> (4 + unit) & 1);
}
