/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands of an ATA disk (ATA/ATAPI-6, T13 1410D, section 8; DATA SET MANAGEMENT from ACS-2).
 *
 * Feature sets: general, power management, 48-bit address, host protected area (without passwords), SMART with
 * self-tests, write cache and look-ahead control, FLUSH CACHE, NOP, READ/WRITE BUFFER, TRIM.  Everything else is
 * aborted, as an unimplemented command is.
 *
 * Departures: the standby timer never runs out (a sleeping image saves nothing), READ and WRITE LONG are aborted. */
#include "ide-drive.h"

#include <errno.h>
#include <string.h>

enum
{
  ROW_EXT      = 1 << 0,        /* 48-bit address and 16-bit count */
  ROW_DMA      = 1 << 1,
  ROW_WRITE    = 1 << 2,
  ROW_MULTIPLE = 1 << 3,
  ROW_SYNC     = 1 << 4,        /* on the medium before it is reported done */
  ROW_VERIFY   = 1 << 5,        /* no data to the host */
};

typedef struct
{
  uint8_t  first, last;         /* opcodes */
  uint8_t  flags;
  void   (*run) (IdeDrive *self, unsigned flags);
} CommandRow;

/* ---------------------------------------------------------------- addresses */

static void
abort_command (IdeDrive *self)
{
  ide_drive_fail (self, ERROR_ABRT, 0);
}

/* Where the command's registers point (6.2, 6.16).  False: no such address. */
static bool
take_address (const IdeDrive *self, bool ext, uint64_t *ret_sector)
{
  if (ext)
    *ret_sector = (uint64_t) self->high[1] << 40 | (uint64_t) self->mid[1] << 32 | (uint64_t) self->low[1] << 24
                  | (uint64_t) self->high[0] << 16 | (uint64_t) self->mid[0] << 8 | self->low[0];
  else if (self->device & DEVICE_LBA)
    *ret_sector = (uint64_t) (self->device & 15) << 24 | (uint64_t) self->high[0] << 16 | (uint64_t) self->mid[0] << 8 | self->low[0];
  else
    {
      unsigned head = self->device & 15;
      unsigned cylinder = (unsigned) self->high[0] << 8 | self->mid[0];

      if (head >= self->heads || self->low[0] < 1 || self->low[0] > self->sectors)
        return false;
      *ret_sector = ((uint64_t) cylinder * self->heads + head) * self->sectors + self->low[0] - 1;
    }
  return *ret_sector < self->max_sectors;
}

static void
put_address (IdeDrive *self, bool ext, uint64_t sector)
{
  if (!ext && !(self->device & DEVICE_LBA))
    {
      uint64_t track = sector / self->sectors;
      uint64_t cylinder = track / self->heads;

      self->low[0] = (uint8_t) (sector % self->sectors + 1);
      self->mid[0] = (uint8_t) cylinder;
      self->high[0] = (uint8_t) (cylinder >> 8);
      self->device = (uint8_t) ((self->device & 0xf0) | (track % self->heads));
      return;
    }
  self->low[0] = (uint8_t) sector;
  self->mid[0] = (uint8_t) (sector >> 8);
  self->high[0] = (uint8_t) (sector >> 16);
  if (ext)
    {
      self->low[1] = (uint8_t) (sector >> 24);
      self->mid[1] = (uint8_t) (sector >> 32);
      self->high[1] = (uint8_t) (sector >> 40);
    }
  else
    self->device = (uint8_t) ((self->device & 0xf0) | (sector >> 24 & 15));
}

static bool
is_ext (const IdeDrive *self)
{
  switch (self->command)
    {
    case 0x24: case 0x25: case 0x29: case 0x34: case 0x35: case 0x39: case 0x3d: case 0xce: case 0x42: case 0x27: case 0x37:
      return true;
    default:
      return false;
    }
}

static uint32_t
take_count (const IdeDrive *self, bool ext)
{
  uint32_t count = ext ? self->count[0] | (uint32_t) self->count[1] << 8 : self->count[0];

  return count ? count : ext ? 65536 : 256;
}

/* The command ends at a bad sector: its address in the registers. */
static void
fail_at (IdeDrive *self, uint64_t sector, uint8_t error, uint8_t extra_status)
{
  put_address (self, is_ext (self), sector);
  ide_drive_fail (self, error, extra_status);
}

static void
report_end (IdeDrive *self)
{
  put_address (self, is_ext (self), self->sector ? self->sector - 1 : 0);
  self->count[0] = 0;
}

/* ---------------------------------------------------------------- reading and writing */

bool
disk_more (const IdeDrive *self)
{
  return self->data == DATA_SECTORS_IN && (self->n_left || self->beyond);
}

static void
offer_room (IdeDrive *self, bool quiet)
{
  uint32_t n = self->n_left < self->block ? self->n_left : self->block;

  self->position = 0;
  self->end = n * IDE_SECTOR_BYTES;
  ide_drive_offer (self, quiet);
}

void
disk_fill (IdeDrive *self)
{
  uint32_t n = self->n_left < self->block ? self->n_left : self->block;
  int result;

  self->position = self->end = 0;
  if (n == 0 || self->sector + n > self->n_sectors)
    {
      fail_at (self, self->sector, ERROR_IDNF, 0);
      return;
    }
  result = block_read (self->image, self->sector * IDE_SECTOR_BYTES, self->buffer, n * IDE_SECTOR_BYTES);
  if (result == -ENOSPC && ide_drive_stall (self, STEP_FILL))
    return;
  if (result < 0)
    {
      uint32_t good = 0;

      /* Which sector was it?  What comes before it is still good; a DMA host gets that much. */
      while (good < n - 1 && block_read (self->image, (self->sector + good) * IDE_SECTOR_BYTES,
                                         self->buffer + good * IDE_SECTOR_BYTES, IDE_SECTOR_BYTES) == 0)
        good++;
      if (good == 0 || !self->dma)
        {
          fail_at (self, self->sector + good, ERROR_UNC, 0);
          return;
        }
      n = good;
    }
  self->sector += n;
  self->n_left -= n;
  self->n_moved += n;
  self->end = n * IDE_SECTOR_BYTES;
  if (self->n_left == 0 && !self->beyond)
    report_end (self);
  ide_drive_offer (self, false);
}

static void
drain_sectors (IdeDrive *self)
{
  uint32_t n = self->end / IDE_SECTOR_BYTES;
  int result;

  if (n == 0 || n > self->n_left || self->sector + n > self->n_sectors)
    {
      fail_at (self, self->sector, ERROR_IDNF, 0);
      return;
    }
  result = block_write (self->image, self->sector * IDE_SECTOR_BYTES, self->buffer, n * IDE_SECTOR_BYTES);
  if (result == 0 && n == self->n_left && self->sync)
    result = block_flush (self->image);
  if (result == -ENOSPC && ide_drive_stall (self, STEP_DRAIN))
    return;
  if (result < 0)
    {
      fail_at (self, self->sector, ERROR_ABRT, STATUS_DF);
      return;
    }
  self->sector += n;
  self->n_left -= n;
  self->n_moved += n;
  if (self->n_left)
    offer_room (self, false);
  else if (self->beyond)
    fail_at (self, self->sector, ERROR_IDNF, 0);
  else
    {
      report_end (self);
      ide_drive_done (self);
    }
}

static void
run_transfer (IdeDrive *self, unsigned flags)
{
  bool ext = flags & ROW_EXT;
  uint32_t count = take_count (self, ext);
  uint64_t sector;

  /* 48-bit commands have no cylinders and heads (8.26). */
  if ((ext && !(self->device & DEVICE_LBA)) || ((flags & ROW_MULTIPLE) && self->multiple == 0))
    {
      abort_command (self);
      return;
    }
  if (!take_address (self, ext, &sector))
    {
      ide_drive_fail (self, ERROR_IDNF, 0);
      return;
    }
  if ((flags & ROW_WRITE) && self->image->read_only)
    {
      ide_drive_fail (self, ERROR_ABRT | ERROR_WP, 0);
      return;
    }
  self->sector = sector;
  self->beyond = count > self->max_sectors - sector;
  self->n_left = self->beyond ? (uint32_t) (self->max_sectors - sector) : count;
  self->sync = (flags & ROW_SYNC) || !self->write_cache;
  self->dma = flags & ROW_DMA;
  self->block = flags & ROW_DMA ? IDE_DMA_BLOCK : flags & ROW_MULTIPLE ? self->multiple : 1;
  self->data = flags & ROW_WRITE ? DATA_SECTORS_OUT : DATA_SECTORS_IN;
  if (flags & ROW_WRITE)
    offer_room (self, true);    /* the first block is asked for without interrupt (9.6) */
  else
    disk_fill (self);
}

static void
run_verify (IdeDrive *self, unsigned flags)
{
  bool ext = flags & ROW_EXT;
  uint32_t count = take_count (self, ext);
  uint64_t sector;

  if (ext && !(self->device & DEVICE_LBA))
    {
      abort_command (self);
      return;
    }
  if (!take_address (self, ext, &sector))
    {
      ide_drive_fail (self, ERROR_IDNF, 0);
      return;
    }
  for (uint32_t done = 0; done < count;)
    {
      uint32_t n = count - done < IDE_DMA_BLOCK ? count - done : IDE_DMA_BLOCK;

      if (n > self->max_sectors - sector)
        n = (uint32_t) (self->max_sectors - sector);
      if (n == 0)
        {
          fail_at (self, sector, ERROR_IDNF, 0);
          return;
        }
      if (block_read (self->image, sector * IDE_SECTOR_BYTES, self->buffer, n * IDE_SECTOR_BYTES) < 0)
        {
          while (block_read (self->image, sector * IDE_SECTOR_BYTES, self->buffer, IDE_SECTOR_BYTES) == 0 && --n)
            sector++;
          fail_at (self, sector, ERROR_UNC, 0);
          return;
        }
      sector += n;
      done += n;
    }
  self->sector = sector;
  report_end (self);
  ide_drive_done (self);
}

static void
run_seek (IdeDrive *self, unsigned flags)
{
  uint64_t sector;

  if (take_address (self, false, &sector))
    ide_drive_done (self);
  else
    ide_drive_fail (self, ERROR_IDNF, 0);
}

static void
run_recalibrate (IdeDrive *self, unsigned flags)
{
  put_address (self, false, 0);
  ide_drive_done (self);
}

static void
run_flush (IdeDrive *self, unsigned flags)
{
  int result = block_flush (self->image);

  if (result == -ENOSPC && ide_drive_stall (self, STEP_COMMAND))
    return;
  if (result < 0)
    ide_drive_fail (self, ERROR_ABRT, STATUS_DF);
  else
    ide_drive_done (self);
}

/* ---------------------------------------------------------------- TRIM */

static uint64_t
take_le64 (const uint8_t *at)
{
  uint64_t value = 0;

  for (unsigned i = 0; i < 8; i++)
    value |= (uint64_t) at[i] << (i * 8);
  return value;
}

/* Eight bytes a range: 48 bits of first sector, 16 of length; length 0 is padding (ACS-2 7.10). All are checked first. */
static void
drain_trim (IdeDrive *self)
{
  for (unsigned pass = 0; pass < 2; pass++)
    for (uint32_t at = 0; at < self->end; at += 8)
      {
        uint64_t range = take_le64 (self->buffer + at);
        uint64_t first = range & 0xffffffffffff;
        uint64_t length = range >> 48;
        int result;

        if (length == 0)
          continue;
        if (first >= self->max_sectors || length > self->max_sectors - first)
          {
            ide_drive_fail (self, ERROR_IDNF | ERROR_ABRT, 0);
            return;
          }
        if (pass == 0 || !self->image->klass->discard)
          continue;
        result = self->image->klass->discard (self->image, first * IDE_SECTOR_BYTES, length * IDE_SECTOR_BYTES);
        if (result == -ENOSPC && ide_drive_stall (self, STEP_DRAIN))
          return;
        /* A host that cannot make holes leaves the data: the guest promised not to look. */
        if (result < 0 && result != -ENOTSUP)
          {
            ide_drive_fail (self, ERROR_ABRT, STATUS_DF);
            return;
          }
      }
  ide_drive_done (self);
}

static void
run_data_set_management (IdeDrive *self, unsigned flags)
{
  uint32_t count = self->count[0] | (uint32_t) self->count[1] << 8;

  if (!(self->feature[0] & 1) || count == 0 || count > IDE_MAX_TRIM || !(self->device & DEVICE_LBA) || self->image->read_only)
    {
      abort_command (self);
      return;
    }
  self->dma = true;
  self->data = DATA_TRIM_OUT;
  self->position = 0;
  self->end = count * IDE_SECTOR_BYTES;
  ide_drive_offer (self, true);
}

void
disk_drain (IdeDrive *self)
{
  switch ((IdeData) self->data)
    {
    case DATA_SECTORS_OUT:
      drain_sectors (self);
      break;
    case DATA_TRIM_OUT:
      drain_trim (self);
      break;
    case DATA_BUFFER_OUT:
      ide_drive_done (self);
      break;
    case DATA_NONE: case DATA_REPLY: case DATA_SECTORS_IN: case DATA_CD_IN: case DATA_PACKET_OUT: case DATA_PARAMETERS_OUT:
    case N_IDE_DATA:
      abort_command (self);
      break;
    }
}

/* ---------------------------------------------------------------- buffer, IDENTIFY */

static void
reply_sector (IdeDrive *self)
{
  self->dma = false;
  self->data = DATA_REPLY;
  self->position = 0;
  self->end = IDE_SECTOR_BYTES;
  ide_drive_offer (self, false);
}

static void
run_read_buffer (IdeDrive *self, unsigned flags)
{
  reply_sector (self);
}

static void
run_write_buffer (IdeDrive *self, unsigned flags)
{
  self->dma = false;
  self->data = DATA_BUFFER_OUT;
  self->position = 0;
  self->end = IDE_SECTOR_BYTES;
  ide_drive_offer (self, true);
}

static uint32_t
addressable_28 (const IdeDrive *self)
{
  return self->max_sectors > 0x0fffffff ? 0x0fffffff : (uint32_t) self->max_sectors;
}

/* The cylinders of the translation in use (6.2.1): what fits below the end of the disk. */
static uint32_t
current_cylinders (const IdeDrive *self)
{
  uint32_t cylinders = addressable_28 (self) / ((uint32_t) self->heads * self->sectors);

  if (self->heads == self->default_heads && self->sectors == self->default_sectors)
    return self->default_cylinders;
  return cylinders > 65535 ? 65535 : cylinders < 1 ? 1 : cylinders;
}

/* Table 27. */
static void
run_identify (IdeDrive *self, unsigned flags)
{
  uint8_t *words = self->buffer;
  uint32_t n_current = current_cylinders (self) * self->heads * self->sectors;
  uint32_t n_28 = addressable_28 (self);
  uint16_t enabled = (uint16_t) (0x7408 | (self->smart ? 1 : 0) | (self->write_cache ? 0x20 : 0) | (self->look_ahead ? 0x40 : 0));

  memset (words, 0, 512);
  ide_put16 (words, 0, 0x0040);                         /* fixed disk */
  ide_put16 (words, 1, self->default_cylinders);
  ide_put16 (words, 3, self->default_heads);
  ide_put16 (words, 4, (uint16_t) (self->default_sectors * 512));       /* obsolete: bytes per track, per sector */
  ide_put16 (words, 5, 512);
  ide_put16 (words, 6, self->default_sectors);
  ide_put_text (words + 20, self->serial, 20);
  ide_put16 (words, 20, 3);                             /* obsolete: dual ported buffer with cache, its size, ECC bytes */
  ide_put16 (words, 21, 512);
  ide_put16 (words, 22, 4);
  ide_put_text (words + 46, self->firmware, 8);
  ide_put_text (words + 54, self->model, 40);
  ide_put16 (words, 47, 0x8000 | IDE_MAX_MULTIPLE);
  ide_put16 (words, 48, 1);                             /* double word I/O */
  ide_put16 (words, 49, 0x0f00);                        /* IORDY, its disable, LBA, DMA */
  ide_put16 (words, 50, 0x4000);
  ide_put16 (words, 51, 0x0200);
  ide_put16 (words, 52, 0x0200);
  ide_put16 (words, 54, (uint16_t) current_cylinders (self));
  ide_put16 (words, 55, self->heads);
  ide_put16 (words, 56, self->sectors);
  ide_put16 (words, 57, (uint16_t) n_current);
  ide_put16 (words, 58, (uint16_t) (n_current >> 16));
  ide_put16 (words, 59, (uint16_t) (self->multiple ? 0x100 | self->multiple : 0));
  ide_put16 (words, 60, (uint16_t) n_28);
  ide_put16 (words, 61, (uint16_t) (n_28 >> 16));
  ide_put16 (words, 80, 0x00f0);                        /* ATA/ATAPI-4 to -7 */
  ide_put16 (words, 82, 0x7469);                        /* NOP, buffers, HPA, look-ahead, write cache, power, SMART */
  ide_put16 (words, 83, 0x7400);                        /* FLUSH CACHE EXT, FLUSH CACHE, 48-bit */
  ide_put16 (words, 84, 0x4043);                        /* FUA writes, SMART self-test and error log */
  ide_put16 (words, 85, enabled);
  ide_put16 (words, 86, 0x3400);
  ide_put16 (words, 87, 0x4043);
  ide_put16 (words, 100, (uint16_t) self->max_sectors);
  ide_put16 (words, 101, (uint16_t) (self->max_sectors >> 16));
  ide_put16 (words, 102, (uint16_t) (self->max_sectors >> 32));
  ide_put16 (words, 103, (uint16_t) (self->max_sectors >> 48));
  if (self->image->klass->discard)
    {
      ide_put16 (words, 105, IDE_MAX_TRIM);
      ide_put16 (words, 169, 1);
    }
  ide_identify_modes (self, words);
  reply_sector (self);
}

/* ---------------------------------------------------------------- settings */

static void
run_initialize_parameters (IdeDrive *self, unsigned flags)
{
  if (self->count[0] == 0)
    {
      abort_command (self);
      return;
    }
  self->heads = (uint8_t) ((self->device & 15) + 1);
  self->sectors = self->count[0];
  ide_drive_done (self);
}

static void
run_set_multiple (IdeDrive *self, unsigned flags)
{
  uint8_t count = self->count[0];

  /* A power of two up to what word 47 says; 0 switches the commands off (8.49). */
  if (count > IDE_MAX_MULTIPLE || (count & (count - 1)))
    {
      abort_command (self);
      return;
    }
  self->multiple = count;
  ide_drive_done (self);
}

static void
run_set_features (IdeDrive *self, unsigned flags)
{
  switch (self->feature[0])
    {
    case 0x02:
      self->write_cache = true;
      break;
    case 0x82:
      /* What the cache holds must reach the medium first (8.46.11). */
      if (block_flush (self->image) < 0)
        {
          ide_drive_fail (self, ERROR_ABRT, STATUS_DF);
          return;
        }
      self->write_cache = false;
      break;
    case 0x03:
      if (ide_set_transfer_mode (self, self->count[0]) < 0)
        {
          abort_command (self);
          return;
        }
      break;
    case 0x55:
      self->look_ahead = false;
      break;
    case 0xaa:
      self->look_ahead = true;
      break;
    case 0x66: case 0xcc:       /* keep or lose settings at a software reset: they are always kept */
      break;
    default:
      abort_command (self);
      return;
    }
  ide_drive_done (self);
}

/* ---------------------------------------------------------------- host protected area (6.12) */

static void
run_read_native_max (IdeDrive *self, unsigned flags)
{
  uint64_t last = self->n_sectors - 1;

  if ((flags & ROW_EXT) && !(self->device & DEVICE_LBA))
    {
      abort_command (self);
      return;
    }
  if (!(flags & ROW_EXT) && last > 0x0ffffffe)
    last = 0x0ffffffe;
  put_address (self, flags & ROW_EXT, last);
  ide_drive_done (self);
  self->native_read = self->command;
}

static void
run_set_max (IdeDrive *self, unsigned flags)
{
  bool ext = flags & ROW_EXT;
  uint64_t limit = self->max_sectors, sector;

  /* Passwords (features 01h to 04h) are not supported; nor is a value that outlives the power. */
  if (self->native_read != (ext ? 0x27 : 0xf8) || (!ext && self->feature[0] != 0) || (self->count[0] & 1)
      || (ext && !(self->device & DEVICE_LBA)))
    {
      abort_command (self);
      return;
    }
  self->max_sectors = self->n_sectors;
  if (!take_address (self, ext, &sector))
    {
      self->max_sectors = limit;
      ide_drive_fail (self, ERROR_IDNF, 0);
      return;
    }
  self->max_sectors = sector + 1;
  ide_drive_done (self);
}

/* ---------------------------------------------------------------- SMART (6.14, 8.55) */

static void
sum_sector (uint8_t *sector)
{
  uint8_t sum = 0;

  for (unsigned i = 0; i < 511; i++)
    sum = (uint8_t) (sum + sector[i]);
  sector[511] = (uint8_t) -sum;
}

/* An attribute: id, flags, value, worst, raw. The second list are the thresholds. */
static const struct { uint8_t id; uint8_t flags; uint8_t value, threshold; } attributes[] = {
  { 1, 0x03, 100, 6 }, { 3, 0x03, 100, 16 }, { 4, 0x02, 100, 20 }, { 5, 0x03, 100, 36 }, { 9, 0x03, 100, 0 }, { 12, 0x03, 100, 0 },
  { 190, 0x03, 69, 50 },
};

static void
smart_read_data (IdeDrive *self)
{
  uint8_t *data = self->buffer;

  memset (data, 0, 512);
  data[0] = 1;
  for (unsigned i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
    {
      uint8_t *entry = data + 2 + i * 12;

      entry[0] = attributes[i].id;
      entry[1] = attributes[i].flags;
      entry[3] = entry[4] = attributes[i].value;
      entry[5] = attributes[i].id == 190 ? 31 : 0;
    }
  data[362] = 0x02;             /* offline collection completed */
  data[364] = 0x20;             /* its seconds */
  data[367] = 0x19;             /* offline immediate, self-test, aborts on a command */
  data[368] = 0x03;
  data[370] = 0x01;             /* error log */
  data[372] = 0x02;             /* minutes of the short and the extended test */
  data[373] = 0x36;
  sum_sector (data);
  reply_sector (self);
}

static void
smart_read_thresholds (IdeDrive *self)
{
  uint8_t *data = self->buffer;

  memset (data, 0, 512);
  data[0] = 1;
  for (unsigned i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
    {
      data[2 + i * 12] = attributes[i].id;
      data[3 + i * 12] = attributes[i].threshold;
    }
  sum_sector (data);
  reply_sector (self);
}

static void
smart_read_log (IdeDrive *self)
{
  uint8_t *data = self->buffer;

  if (self->count[0] != 1)
    {
      abort_command (self);
      return;
    }
  memset (data, 0, 512);
  switch (self->low[0])
    {
    case 0x00:                  /* directory: one sector each of the logs 1 and 6 */
      data[0] = 1;
      data[2] = 1;
      data[12] = 1;
      break;
    case 0x01:                  /* summary error log: no errors */
      data[0] = 1;
      sum_sector (data);
      break;
    case 0x06:                  /* self-test log: 21 entries of 24 bytes, byte 508 counts from 1 (8.55.6.8.4) */
      data[0] = 1;
      for (unsigned i = 0; i < self->n_self_tests && i < IDE_N_SELF_TESTS; i++)
        data[2 + i * 24] = self->self_tests[i];
      data[508] = self->n_self_tests;
      sum_sector (data);
      break;
    default:
      abort_command (self);
      return;
    }
  reply_sector (self);
}

/* Every test passes at once.  CVE-2014-2894 was this index, counted without looking at the log's size. */
static void
smart_execute (IdeDrive *self)
{
  switch (self->low[0])
    {
    case 0x00: case 0x01: case 0x02: case 0x81: case 0x82:
      if (self->n_self_tests >= IDE_N_SELF_TESTS)
        {
          memmove (self->self_tests, self->self_tests + 1, IDE_N_SELF_TESTS - 1);
          self->n_self_tests = IDE_N_SELF_TESTS - 1;
        }
      self->self_tests[self->n_self_tests++] = self->low[0];
      ide_drive_done (self);
      break;
    case 0x7f:                  /* abort a test: none is running */
      ide_drive_done (self);
      break;
    default:
      abort_command (self);
      break;
    }
}

static void
run_smart (IdeDrive *self, unsigned flags)
{
  uint8_t subcommand = self->feature[0];

  if (self->mid[0] != 0x4f || self->high[0] != 0xc2 || (!self->smart && subcommand != 0xd8))
    {
      abort_command (self);
      return;
    }
  switch (subcommand)
    {
    case 0xd0:
      smart_read_data (self);
      break;
    case 0xd1:
      smart_read_thresholds (self);
      break;
    case 0xd2:                  /* attribute autosave: 00h off, f1h on; attributes never change */
      if (self->count[0] == 0 || self->count[0] == 0xf1)
        ide_drive_done (self);
      else
        abort_command (self);
      break;
    case 0xd3:
      ide_drive_done (self);
      break;
    case 0xd4:
      smart_execute (self);
      break;
    case 0xd5:
      smart_read_log (self);
      break;
    case 0xd8:
      self->smart = true;
      ide_drive_done (self);
      break;
    case 0xd9:
      self->smart = false;
      ide_drive_done (self);
      break;
    case 0xda:                  /* the signature unchanged: no threshold exceeded */
      ide_drive_done (self);
      break;
    default:
      abort_command (self);
      break;
    }
}

/* ---------------------------------------------------------------- the table */

static void
run_power (IdeDrive *self, unsigned flags)
{
  bool down = self->command != 0x98 && self->command != 0xe5;

  /* Before a disk spins down its cache is written (6.11). */
  if (down && block_flush (self->image) < 0)
    ide_drive_fail (self, ERROR_ABRT, STATUS_DF);
  else if (!ide_power_command (self))
    abort_command (self);
}

static void
run_abort (IdeDrive *self, unsigned flags)
{
  abort_command (self);
}

static const CommandRow rows[] = {
  { 0x00, 0x00, 0,                                run_abort },          /* NOP always ends aborted (8.22) */
  { 0x06, 0x06, 0,                                run_data_set_management },
  { 0x10, 0x1f, 0,                                run_recalibrate },
  { 0x20, 0x21, 0,                                run_transfer },       /* READ SECTOR(S) */
  { 0x24, 0x24, ROW_EXT,                          run_transfer },
  { 0x25, 0x25, ROW_EXT | ROW_DMA,                run_transfer },
  { 0x27, 0x27, ROW_EXT,                          run_read_native_max },
  { 0x29, 0x29, ROW_EXT | ROW_MULTIPLE,           run_transfer },
  { 0x30, 0x31, ROW_WRITE,                        run_transfer },       /* WRITE SECTOR(S) */
  { 0x34, 0x34, ROW_EXT | ROW_WRITE,              run_transfer },
  { 0x35, 0x35, ROW_EXT | ROW_WRITE | ROW_DMA,    run_transfer },
  { 0x37, 0x37, ROW_EXT,                          run_set_max },
  { 0x39, 0x39, ROW_EXT | ROW_WRITE | ROW_MULTIPLE, run_transfer },
  { 0x3c, 0x3c, ROW_WRITE | ROW_SYNC,             run_transfer },       /* WRITE VERIFY */
  { 0x3d, 0x3d, ROW_EXT | ROW_WRITE | ROW_DMA | ROW_SYNC, run_transfer },       /* WRITE DMA FUA EXT */
  { 0x40, 0x41, ROW_VERIFY,                       run_verify },
  { 0x42, 0x42, ROW_EXT | ROW_VERIFY,             run_verify },
  { 0x70, 0x7f, 0,                                run_seek },
  { 0x91, 0x91, 0,                                run_initialize_parameters },
  { 0x94, 0x99, 0,                                run_power },
  { 0xb0, 0xb0, 0,                                run_smart },
  { 0xc4, 0xc4, ROW_MULTIPLE,                     run_transfer },
  { 0xc5, 0xc5, ROW_WRITE | ROW_MULTIPLE,         run_transfer },
  { 0xc6, 0xc6, 0,                                run_set_multiple },
  { 0xc8, 0xc9, ROW_DMA,                          run_transfer },
  { 0xca, 0xcb, ROW_WRITE | ROW_DMA,              run_transfer },
  { 0xce, 0xce, ROW_EXT | ROW_WRITE | ROW_MULTIPLE | ROW_SYNC, run_transfer },  /* WRITE MULTIPLE FUA EXT */
  { 0xe0, 0xe3, 0,                                run_power },
  { 0xe4, 0xe4, 0,                                run_read_buffer },
  { 0xe5, 0xe6, 0,                                run_power },
  { 0xe7, 0xe7, 0,                                run_flush },
  { 0xe8, 0xe8, 0,                                run_write_buffer },
  { 0xea, 0xea, 0,                                run_flush },          /* FLUSH CACHE EXT */
  { 0xec, 0xec, 0,                                run_identify },
  { 0xef, 0xef, 0,                                run_set_features },
  { 0xf8, 0xf8, 0,                                run_read_native_max },
  { 0xf9, 0xf9, 0,                                run_set_max },
};

void
disk_command (IdeDrive *self)
{
  uint8_t native_read = self->native_read;

  self->error = 0;
  self->data = DATA_NONE;
  self->position = self->burst_end = self->end = 0;
  /* A command that needs the medium wakes the disk up. */
  if (self->command < 0x90 || (self->command >= 0xc4 && self->command <= 0xce))
    self->power = POWER_ACTIVE;
  /* SET MAX must follow READ NATIVE MAX at once (8.47). */
  if (self->command != 0xf9 && self->command != 0x37)
    native_read = 0;
  self->native_read = native_read;
  for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (self->command >= rows[i].first && self->command <= rows[i].last)
      {
        rows[i].run (self, rows[i].flags);
        if (rows[i].run == run_set_max)
          self->native_read = 0;
        return;
      }
  abort_command (self);
}

void
disk_reset (IdeDrive *self, bool power_on)
{
  self->sector = 0;
  self->n_left = 0;
  self->block = 1;
  self->beyond = self->sync = false;
  self->native_read = 0;
  if (!power_on)
    return;
  self->max_sectors = self->n_sectors;
  self->heads = self->default_heads;
  self->sectors = self->default_sectors;
  self->multiple = IDE_MAX_MULTIPLE;
  self->write_cache = self->look_ahead = self->smart = true;
  self->n_self_tests = 0;
  self->transfer_mode = 0x0c;
  self->n_moved = 0;
  memset (self->self_tests, 0, sizeof self->self_tests);
  memset (self->buffer, 0, IDE_BUFFER_BYTES);
}

/* Values of a state file that a disk cannot have reached. */
int
disk_check (const IdeDrive *self)
{
  bool running = self->data == DATA_SECTORS_IN || self->data == DATA_SECTORS_OUT;

  if (self->data == DATA_CD_IN || self->data == DATA_PACKET_OUT || self->data == DATA_PARAMETERS_OUT || self->max_sectors < 1
      || self->max_sectors > self->n_sectors || self->heads < 1 || self->heads > 16 || self->sectors < 1
      || self->multiple > IDE_MAX_MULTIPLE || (self->multiple & (self->multiple - 1)) || self->block < 1
      || self->block > IDE_DMA_BLOCK || self->n_left > 65536)
    return -EBADMSG;
  if (running && (self->sector > self->n_sectors || self->n_left > self->n_sectors - self->sector || self->end % IDE_SECTOR_BYTES))
    return -EBADMSG;
  if (self->data == DATA_SECTORS_OUT && self->end / IDE_SECTOR_BYTES > self->n_left)
    return -EBADMSG;
  if (self->data == DATA_TRIM_OUT && self->end > IDE_MAX_TRIM * IDE_SECTOR_BYTES)
    return -EBADMSG;
  return 0;
}
