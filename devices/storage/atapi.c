/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An ATAPI CD/DVD-ROM drive: packet commands of SFF-8020i and MMC-3, carried as ATA/ATAPI-6 section 9.8 says.
 *
 * A disc is one data track of mode 1 blocks of 2048 bytes: an ISO image.  There is no audio, so PLAY is refused with
 * "illegal mode for this track"; READ CD builds sync, header, EDC and ECC around the data when asked for whole frames.
 * Discs that are larger than any CD are shown as DVDs.
 *
 * The disc may be changed at any time.  Every block read is checked against the disc that is in the drive then, so an
 * address that was good when the command began is never used on another image (CVE-2020-29443 was such an index). */
#include "ide-drive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  SENSE_NOT_READY = 2, SENSE_MEDIUM_ERROR = 3, SENSE_ILLEGAL_REQUEST = 5, SENSE_UNIT_ATTENTION = 6,
};

/* Additional sense code and qualifier, MMC-3 annex. */
enum
{
  ASC_READ_ERROR        = 0x1100,
  ASC_PARAMETER_LENGTH  = 0x1a00,
  ASC_INVALID_OPCODE    = 0x2000,
  ASC_OUT_OF_RANGE      = 0x2100,
  ASC_INVALID_FIELD     = 0x2400,
  ASC_INVALID_PARAMETER = 0x2600,
  ASC_MEDIUM_CHANGED    = 0x2800,
  ASC_POWER_ON          = 0x2900,
  ASC_SEQUENCE_ERROR    = 0x2c00,
  ASC_NO_SAVED_PAGES    = 0x3900,
  ASC_NO_MEDIUM_CLOSED  = 0x3a01,
  ASC_NO_MEDIUM_OPEN    = 0x3a02,
  ASC_REMOVAL_PREVENTED = 0x5302,
  ASC_ILLEGAL_MODE      = 0x6400,
};

enum { EVENT_NONE, EVENT_EJECT_REQUEST, EVENT_NEW_MEDIA, EVENT_MEDIA_REMOVAL };
enum { PROFILE_CD_ROM = 0x0008, PROFILE_DVD_ROM = 0x0010 };
enum { CD_MAX_BLOCKS = 449850 /* 99:59:74 less the lead-in: larger is a DVD */, CD_MAX_PARAMETERS = 4096 };
enum { PART_SYNC = 0x80, PART_HEADER = 0x20, PART_SUBHEADER = 0x40, PART_USER = 0x10, PART_ECC = 0x08 };

enum { ROW_ATTENTION_OK = 1, ROW_MEDIUM = 2 };

typedef struct
{
  uint8_t opcode;
  uint8_t flags;
  void  (*run) (IdeDrive *self);
} PacketRow;

/* ---------------------------------------------------------------- bytes */

static uint32_t
get16 (const uint8_t *at)
{
  return (uint32_t) at[0] << 8 | at[1];
}

static uint32_t
get32 (const uint8_t *at)
{
  return get16 (at) << 16 | get16 (at + 2);
}

static void
put16 (uint8_t *at, uint32_t value)
{
  at[0] = (uint8_t) (value >> 8);
  at[1] = (uint8_t) value;
}

static void
put32 (uint8_t *at, uint32_t value)
{
  put16 (at, value >> 16);
  put16 (at + 2, value);
}

/* Minute, second, frame of a block: 75 frames a second, after two seconds of lead-in. */
static void
put_msf (uint8_t *at, uint32_t block)
{
  block += 150;
  at[0] = (uint8_t) (block / 75 / 60);
  at[1] = (uint8_t) (block / 75 % 60);
  at[2] = (uint8_t) (block % 75);
}

static void
put_address (uint8_t *at, uint32_t block, bool msf)
{
  if (!msf)
    {
      put32 (at, block);
      return;
    }
  at[0] = 0;
  put_msf (at + 1, block);
}

/* ---------------------------------------------------------------- results */

static uint32_t
n_blocks (const IdeDrive *self)
{
  return (uint32_t) self->n_sectors;
}

static bool
has_medium (const IdeDrive *self)
{
  return self->image && !self->tray_open;
}

static void
set_sense (IdeDrive *self, uint8_t key, uint16_t code)
{
  self->sense_key = key;
  self->sense_code = (uint8_t) (code >> 8);
  self->sense_qualifier = (uint8_t) code;
}

/* CHECK CONDITION. */
static void
fail (IdeDrive *self, uint8_t key, uint16_t code)
{
  set_sense (self, key, code);
  self->count[0] = REASON_COMMAND | REASON_TO_HOST;
  ide_drive_fail (self, (uint8_t) (key << 4 | ERROR_ABRT), 0);
}

static void
fail_not_ready (IdeDrive *self)
{
  fail (self, SENSE_NOT_READY, self->tray_open ? ASC_NO_MEDIUM_OPEN : ASC_NO_MEDIUM_CLOSED);
}

static void
invalid_field (IdeDrive *self)
{
  fail (self, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
}

void
cd_finish (IdeDrive *self)
{
  self->count[0] = REASON_COMMAND | REASON_TO_HOST;
  ide_drive_done (self);
}

/* The reply in the buffer, cut to what the host allocated. */
static void
reply (IdeDrive *self, uint32_t n_bytes, uint32_t allocated)
{
  if (n_bytes > allocated)
    n_bytes = allocated;
  if (n_bytes == 0)
    {
      cd_finish (self);
      return;
    }
  self->data = DATA_REPLY;
  self->position = 0;
  self->end = n_bytes;
  ide_drive_offer (self, false);
}

/* ---------------------------------------------------------------- blocks */

/* EDC of a mode 1 block: CRC-32 with the polynomial (x^16 + x^15 + x^2 + 1)(x^16 + x^2 + x + 1), ECMA-130 14.3. */
static uint32_t
edc_of (const uint8_t *bytes, unsigned n_bytes)
{
  uint32_t edc = 0;

  for (unsigned i = 0; i < n_bytes; i++)
    {
      edc ^= bytes[i];
      for (unsigned bit = 0; bit < 8; bit++)
        edc = edc >> 1 ^ (edc & 1 ? 0xd8018001u : 0);
    }
  return edc;
}

static uint8_t
gf_double (uint8_t value)
{
  return (uint8_t) (value << 1 ^ (value & 0x80 ? 0x1d : 0));
}

/* value / (alpha + 1), the divisor being 3; by search: ECC is rare. */
static uint8_t
gf_divide_by_3 (uint8_t value)
{
  uint8_t quotient = 0;

  while ((uint8_t) (quotient ^ gf_double (quotient)) != value)
    quotient++;
  return quotient;
}

/* Two parity bytes for each of n_major vectors of n_minor bytes of the block from byte 12 (ECMA-130 annex A): with the
 * bytes d of a vector and its parity p, q: sum d + p + q = 0 and sum alpha^i d = 0, counted from the end. */
static void
add_parity (const uint8_t *data, unsigned n_major, unsigned n_minor, unsigned major_step, unsigned minor_step, uint8_t *to)
{
  unsigned size = n_major * n_minor;

  for (unsigned major = 0; major < n_major; major++)
    {
      unsigned index = (major >> 1) * major_step + (major & 1);
      uint8_t a = 0, b = 0;

      for (unsigned minor = 0; minor < n_minor; minor++)
        {
          uint8_t byte = data[index];

          index += minor_step;
          if (index >= size)
            index -= size;
          a = gf_double (a ^ byte);
          b ^= byte;
        }
      a = gf_divide_by_3 (gf_double (a) ^ b);
      to[major] = a;
      to[major + n_major] = a ^ b;
    }
}

/* Puts the 2352 bytes of a mode 1 block around frame + 16. */
static void
wrap_block (uint8_t *frame, uint32_t block)
{
  uint8_t msf[3];
  uint32_t edc;

  memset (frame, 0xff, 12);
  frame[0] = frame[11] = 0;
  put_msf (msf, block);
  for (unsigned i = 0; i < 3; i++)
    frame[12 + i] = (uint8_t) (msf[i] / 10 % 16 << 4 | msf[i] % 10);
  frame[15] = 1;
  edc = edc_of (frame, 2064);
  for (unsigned i = 0; i < 4; i++)
    frame[2064 + i] = (uint8_t) (edc >> (i * 8));
  memset (frame + 2068, 0, 8);
  add_parity (frame + 12, 86, 24, 2, 86, frame + 2076);
  add_parity (frame + 12, 52, 43, 86, 88, frame + 2248);
}

/* n blocks from the image; what the last one lacks is zero. */
static int
read_blocks (const IdeDrive *self, uint32_t block, uint32_t n, uint8_t *ret_bytes)
{
  uint64_t offset = (uint64_t) block * CD_BLOCK_BYTES;
  size_t wanted = (size_t) n * CD_BLOCK_BYTES;
  size_t there = wanted;

  if (offset > self->image->n_bytes)
    return -EIO;
  if (self->image->n_bytes - offset < wanted)
    {
      there = (size_t) (self->image->n_bytes - offset);
      memset (ret_bytes + there, 0, wanted - there);
    }
  return block_read (self->image, offset, ret_bytes, there);
}

bool
cd_more (const IdeDrive *self)
{
  return self->data == DATA_CD_IN && self->cd_left;
}

/* The parts of a block that READ CD asked for, in their order on the disc. */
static uint16_t
parts_size (uint8_t parts)
{
  return (uint16_t) ((parts & PART_SYNC ? 12 : 0) + (parts & PART_HEADER ? 4 : 0) + (parts & PART_USER ? 2048 : 0)
                     + (parts & PART_ECC ? 288 : 0));
}

void
cd_fill (IdeDrive *self)
{
  uint32_t n = self->cd_bytes ? IDE_BUFFER_BYTES / self->cd_bytes : 0;
  int result;

  self->position = self->end = 0;
  if (!has_medium (self))
    {
      fail_not_ready (self);
      return;
    }
  if (n > self->cd_left)
    n = self->cd_left;
  if (n == 0 || self->cd_block >= n_blocks (self) || n > n_blocks (self) - self->cd_block)
    {
      fail (self, SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
      return;
    }
  if (self->cd_parts == PART_USER)
    result = read_blocks (self, self->cd_block, n, self->buffer);
  else
    {
      result = 0;
      for (uint32_t i = 0; i < n && result == 0; i++)
        {
          uint8_t frame[CD_RAW_BYTES];
          uint8_t *to = self->buffer + (size_t) i * self->cd_bytes;

          result = read_blocks (self, self->cd_block + i, 1, frame + 16);
          wrap_block (frame, self->cd_block + i);
          if (self->cd_parts & PART_SYNC)
            to = (uint8_t *) memcpy (to, frame, 12) + 12;
          if (self->cd_parts & PART_HEADER)
            to = (uint8_t *) memcpy (to, frame + 12, 4) + 4;
          if (self->cd_parts & PART_USER)
            to = (uint8_t *) memcpy (to, frame + 16, 2048) + 2048;
          if (self->cd_parts & PART_ECC)
            memcpy (to, frame + 2064, 288);
        }
    }
  if (result < 0)
    {
      fail (self, SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
      return;
    }
  self->cd_block += n;
  self->cd_left -= n;
  self->cd_position = self->cd_block - 1;
  self->n_moved += n;
  self->end = n * self->cd_bytes;
  ide_drive_offer (self, false);
}

static void
read_range (IdeDrive *self, uint32_t block, uint32_t n, uint8_t parts)
{
  if (block > n_blocks (self) || n > n_blocks (self) - block || (n == 0 && block >= n_blocks (self)))
    {
      fail (self, SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
      return;
    }
  if (n == 0 || parts_size (parts) == 0)
    {
      cd_finish (self);
      return;
    }
  self->data = DATA_CD_IN;
  self->cd_block = block;
  self->cd_left = n;
  self->cd_parts = parts;
  self->cd_bytes = parts_size (parts);
  cd_fill (self);
}

static void
run_read_10 (IdeDrive *self)
{
  read_range (self, get32 (self->packet + 2), get16 (self->packet + 7), PART_USER);
}

static void
run_read_12 (IdeDrive *self)
{
  read_range (self, get32 (self->packet + 2), get32 (self->packet + 6), PART_USER);
}

/* READ CD (BEh) and READ CD MSF (B9h), MMC-3 5.15 and 5.16. */
static void
read_cd (IdeDrive *self, uint32_t block, uint32_t n)
{
  uint8_t expected = self->packet[1] >> 2 & 7;
  uint8_t parts = self->packet[9] & 0xf8;

  /* Sub-channel data and error pointers are not on the image. */
  if ((self->packet[10] & 7) || (self->packet[9] & 6))
    {
      invalid_field (self);
      return;
    }
  /* Any type or mode 1; the track has nothing else. */
  if (expected != 0 && expected != 2)
    {
      fail (self, SENSE_ILLEGAL_REQUEST, ASC_ILLEGAL_MODE);
      return;
    }
  /* Mode 1 has no subheader; parts that are not neighbours on the disc cannot be read at once. */
  parts &= (uint8_t) ~PART_SUBHEADER;
  if ((parts & PART_SYNC) && parts != PART_SYNC && !(parts & PART_HEADER))
    {
      invalid_field (self);
      return;
    }
  if ((parts & PART_HEADER) && (parts & PART_ECC) && !(parts & PART_USER))
    {
      invalid_field (self);
      return;
    }
  read_range (self, block, n, parts);
}

static void
run_read_cd (IdeDrive *self)
{
  read_cd (self, get32 (self->packet + 2), (uint32_t) self->packet[6] << 16 | get16 (self->packet + 7));
}

static bool
take_msf (const uint8_t *at, uint32_t *ret_block)
{
  uint32_t frames = ((uint32_t) at[0] * 60 + at[1]) * 75 + at[2];

  if (at[1] > 59 || at[2] > 74 || frames < 150)
    return false;
  *ret_block = frames - 150;
  return true;
}

static void
run_read_cd_msf (IdeDrive *self)
{
  uint32_t first, end;

  if (!take_msf (self->packet + 3, &first) || !take_msf (self->packet + 6, &end) || end < first)
    invalid_field (self);
  else
    read_cd (self, first, end - first);
}

static void
run_seek (IdeDrive *self)
{
  uint32_t block = get32 (self->packet + 2);

  if (block >= n_blocks (self))
    {
      fail (self, SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
      return;
    }
  self->cd_position = block;
  cd_finish (self);
}

static void
run_read_capacity (IdeDrive *self)
{
  put32 (self->buffer, n_blocks (self) - 1);
  put32 (self->buffer + 4, CD_BLOCK_BYTES);
  reply (self, 8, 8);
}

static void
run_read_header (IdeDrive *self)
{
  uint32_t block = get32 (self->packet + 2);

  if (block >= n_blocks (self))
    {
      fail (self, SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
      return;
    }
  memset (self->buffer, 0, 8);
  self->buffer[0] = 1;
  put_address (self->buffer + 4, block, self->packet[1] & 2);
  reply (self, 8, get16 (self->packet + 7));
}

/* ---------------------------------------------------------------- table of contents (MMC-3 5.22) */

static unsigned
put_toc_entry (uint8_t *at, uint8_t track, uint32_t block, bool msf)
{
  at[0] = 0;
  at[1] = 0x14;                 /* data track, copying not permitted; Q sub-channel mode 1 */
  at[2] = track;
  at[3] = 0;
  put_address (at + 4, block, msf);
  return 8;
}

static unsigned
put_raw_entry (uint8_t *at, uint8_t point, uint8_t minute, uint8_t second, uint8_t frame)
{
  memset (at, 0, 11);
  at[0] = 1;
  at[1] = 0x14;
  at[3] = point;
  at[8] = minute;
  at[9] = second;
  at[10] = frame;
  return 11;
}

static void
run_read_toc (IdeDrive *self)
{
  bool msf = self->packet[1] & 2;
  uint8_t format = self->packet[2] & 15;
  uint8_t start = self->packet[6];
  uint8_t *data = self->buffer;
  uint8_t end_msf[3];
  unsigned n = 4;

  /* SFF-8020i had the format in the last byte. */
  if (format == 0)
    format = self->packet[9] >> 6;
  data[2] = data[3] = 1;
  switch (format)
    {
    case 0:
      if (start > 1 && start != 0xaa)
        {
          invalid_field (self);
          return;
        }
      if (start <= 1)
        n += put_toc_entry (data + n, 1, 0, msf);
      n += put_toc_entry (data + n, 0xaa, n_blocks (self), msf);
      break;
    case 1:
      n += put_toc_entry (data + n, 1, 0, msf);
      break;
    case 2:
      put_msf (end_msf, n_blocks (self));
      n += put_raw_entry (data + n, 0xa0, 1, 0, 0);
      n += put_raw_entry (data + n, 0xa1, 1, 0, 0);
      n += put_raw_entry (data + n, 0xa2, end_msf[0], end_msf[1], end_msf[2]);
      n += put_raw_entry (data + n, 1, 0, 2, 0);
      break;
    default:
      invalid_field (self);
      return;
    }
  put16 (data, n - 2);
  reply (self, n, get16 (self->packet + 7));
}

static void
run_read_sub_channel (IdeDrive *self)
{
  bool msf = self->packet[1] & 2;
  uint8_t *data = self->buffer;
  unsigned n = 4;

  memset (data, 0, 24);
  data[1] = 0x15;               /* no audio status to return */
  if (self->packet[2] & 0x40)
    switch (self->packet[3])
      {
      case 1:
        data[4] = 1;
        data[5] = 0x14;
        data[6] = data[7] = 1;
        put_address (data + 8, self->cd_position, msf);
        /* Relative to the track, which begins at block 0; as a time without the two seconds. */
        if (!msf)
          put32 (data + 12, self->cd_position);
        else
          {
            data[13] = (uint8_t) (self->cd_position / 75 / 60);
            data[14] = (uint8_t) (self->cd_position / 75 % 60);
            data[15] = (uint8_t) (self->cd_position % 75);
          }
        n = 16;
        break;
      case 2:                   /* catalogue number, track code: none */
      case 3:
        data[4] = self->packet[3];
        n = 24;
        break;
      default:
        invalid_field (self);
        return;
      }
  put16 (data + 2, n - 4);
  reply (self, n, get16 (self->packet + 7));
}

static void
run_read_disc_information (IdeDrive *self)
{
  uint8_t *data = self->buffer;

  memset (data, 0, 34);
  put16 (data, 32);
  data[2] = 0x0e;               /* complete disc, complete last session */
  data[3] = data[4] = data[5] = data[6] = 1;
  data[7] = 0x20;               /* unrestricted use */
  memset (data + 16, 0xff, 8);  /* nothing can be written: no lead-in and lead-out to come */
  reply (self, 34, get16 (self->packet + 7));
}

static void
run_read_track_information (IdeDrive *self)
{
  uint32_t number = get32 (self->packet + 2);
  uint8_t *data = self->buffer;
  uint8_t kind = self->packet[1] & 3;

  if (kind == 3 || (kind == 0 && number >= n_blocks (self)) || (kind != 0 && number != 1))
    {
      invalid_field (self);
      return;
    }
  memset (data, 0, 36);
  put16 (data, 34);
  data[2] = data[3] = 1;
  data[5] = 4;
  data[6] = 1;
  put32 (data + 24, n_blocks (self));
  reply (self, 36, get16 (self->packet + 7));
}

static bool
is_dvd (const IdeDrive *self)
{
  return has_medium (self) && n_blocks (self) > CD_MAX_BLOCKS;
}

/* READ DVD STRUCTURE (MMC-3 5.27): layer descriptor, copyright, manufacturer. */
static void
run_read_dvd_structure (IdeDrive *self)
{
  uint32_t allocated = get16 (self->packet + 8);
  uint8_t *data = self->buffer;
  unsigned n;

  if (!is_dvd (self) || self->packet[6] != 0)
    {
      fail (self, SENSE_ILLEGAL_REQUEST, is_dvd (self) ? ASC_INVALID_FIELD : 0x3002 /* incompatible format */);
      return;
    }
  switch (self->packet[7])
    {
    case 0:
      n = 4 + 2048;
      memset (data, 0, n);
      data[4] = 0x01;           /* DVD-ROM, version 1 */
      data[5] = 0x0f;           /* 12 cm, no maximum rate */
      data[6] = 0x01;           /* one layer, read only */
      put32 (data + 8, 0x030000);
      put32 (data + 12, 0x030000 + n_blocks (self) - 1);
      break;
    case 1:
      n = 4 + 4;
      memset (data, 0, n);      /* not protected, all regions */
      break;
    case 4:
      n = 4 + 2048;
      memset (data, 0, n);
      break;
    default:
      invalid_field (self);
      return;
    }
  put16 (data, n - 2);
  reply (self, n, allocated);
}

/* ---------------------------------------------------------------- the drive */

static void
run_test_unit_ready (IdeDrive *self)
{
  cd_finish (self);
}

static void
run_nothing (IdeDrive *self)
{
  cd_finish (self);
}

static void
run_request_sense (IdeDrive *self)
{
  uint8_t *data = self->buffer;

  if (self->sense_key == 0 && self->attention)
    {
      set_sense (self, SENSE_UNIT_ATTENTION, self->attention);
      self->attention = 0;
    }
  memset (data, 0, 18);
  data[0] = 0x70;
  data[2] = self->sense_key;
  data[7] = 10;
  data[12] = self->sense_code;
  data[13] = self->sense_qualifier;
  set_sense (self, 0, 0);
  reply (self, 18, self->packet[4]);
}

static void
put_padded (uint8_t *to, const char *text, unsigned n_bytes)
{
  for (unsigned i = 0; i < n_bytes; i++)
    to[i] = (uint8_t) (*text ? *text++ : ' ');
}

static void
run_inquiry (IdeDrive *self)
{
  const char *space = strchr (self->model, ' ');
  char vendor[9] = { 0 };
  uint8_t *data = self->buffer;

  /* Vital product data pages and command support data are not kept. */
  if ((self->packet[1] & 3) || self->packet[2])
    {
      invalid_field (self);
      return;
    }
  for (unsigned i = 0; i < 8 && self->model[i] && self->model + i != space; i++)
    vendor[i] = self->model[i];
  memset (data, 0, 36);
  data[0] = 5;                  /* CD-ROM */
  data[1] = 0x80;               /* removable */
  data[3] = 0x21;               /* ATAPI version 2, response format 1 (SFF-8020i 10.8.2) */
  data[4] = 31;
  put_padded (data + 8, vendor, 8);
  put_padded (data + 16, space ? space + 1 : "", 16);
  put_padded (data + 32, self->firmware, 4);
  reply (self, 36, self->packet[4]);
}

static void
run_start_stop (IdeDrive *self)
{
  bool load_eject = self->packet[4] & 2;
  bool start = self->packet[4] & 1;

  /* Power conditions (bits 7-4) and spinning change nothing that the host can see. */
  if ((self->packet[4] & 0xf0) || !load_eject)
    {
      cd_finish (self);
      return;
    }
  if (start == !self->tray_open)
    {
      cd_finish (self);
      return;
    }
  if (!start && self->locked)
    {
      fail (self, self->image ? SENSE_ILLEGAL_REQUEST : SENSE_NOT_READY, ASC_REMOVAL_PREVENTED);
      return;
    }
  self->tray_open = !start;
  if (self->image)
    {
      self->event = start ? EVENT_NEW_MEDIA : EVENT_MEDIA_REMOVAL;
      if (start)
        self->attention = ASC_MEDIUM_CHANGED;
    }
  self->changing = false;
  cd_finish (self);
}

static void
run_prevent_allow (IdeDrive *self)
{
  self->locked = self->packet[4] & 1;
  cd_finish (self);
}

static void
run_mechanism_status (IdeDrive *self)
{
  memset (self->buffer, 0, 8);
  self->buffer[1] = self->tray_open ? 0x10 : 0;
  self->buffer[2] = (uint8_t) (self->cd_position >> 16);
  put16 (self->buffer + 3, self->cd_position);
  reply (self, 8, get16 (self->packet + 8));
}

/* GET EVENT STATUS NOTIFICATION (MMC-3 5.6), media class only, polled only. */
static void
run_get_event_status (IdeDrive *self)
{
  uint8_t *data = self->buffer;
  unsigned n = 4;

  if (!(self->packet[1] & 1))
    {
      invalid_field (self);
      return;
    }
  memset (data, 0, 8);
  data[3] = 0x10;
  if (self->packet[4] & 0x10)
    {
      data[2] = 4;
      data[4] = self->event;
      data[5] = (uint8_t) ((self->tray_open ? 1 : 0) | (has_medium (self) ? 2 : 0));
      /* An event is told once, if the host took enough of the reply to see it. */
      if (get16 (self->packet + 7) > 4)
        self->event = EVENT_NONE;
      n = 8;
    }
  else
    data[2] = 0x80;
  put16 (data, n - 2);
  reply (self, n, get16 (self->packet + 7));
}

typedef struct
{
  uint8_t *data;
  unsigned n;
  uint16_t wanted;              /* first feature */
  uint8_t  which;               /* 0 all, 1 current, 2 exactly one */
} FeatureList;

static void
add_feature (FeatureList *list, uint16_t code, uint8_t flags, bool current, const uint8_t *data, unsigned n_bytes)
{
  uint8_t *at = list->data + list->n;

  if (list->which == 2 ? code != list->wanted : code < list->wanted)
    return;
  if (list->which == 1 && !current)
    return;
  put16 (at, code);
  at[2] = (uint8_t) (flags | (current ? 1 : 0));
  at[3] = (uint8_t) n_bytes;
  memcpy (at + 4, data, n_bytes);
  list->n += 4 + n_bytes;
}

/* GET CONFIGURATION (MMC-3 5.5 and 6.3). flags: version << 2 | persistent << 1. */
static void
run_get_configuration (IdeDrive *self)
{
  bool dvd = is_dvd (self), cd = has_medium (self) && !dvd;
  FeatureList list = { self->buffer, 8, (uint16_t) get16 (self->packet + 2), self->packet[1] & 3 };
  const uint8_t profiles[8] = { 0, PROFILE_DVD_ROM, dvd, 0, 0, PROFILE_CD_ROM, cd, 0 };
  const uint8_t core[4] = { 0, 0, 0, 2 };
  const uint8_t morphing[4] = { 2, 0, 0, 0 };
  const uint8_t removable[4] = { 0x29, 0, 0, 0 };       /* tray, can be ejected, locked */
  const uint8_t random[8] = { 0, 0, 8, 0, 0, 0x10, 0, 0 };      /* blocks of 2048 bytes, 16 at a time */
  const uint8_t cd_read[4] = { 0, 0, 0, 0 };

  if (list.which == 3)
    {
      invalid_field (self);
      return;
    }
  memset (self->buffer, 0, 8);
  add_feature (&list, 0x0000, 0x02, true, profiles, 8);
  add_feature (&list, 0x0001, 0x0a, true, core, 4);
  add_feature (&list, 0x0002, 0x06, true, morphing, 4);
  add_feature (&list, 0x0003, 0x02, true, removable, 4);
  add_feature (&list, 0x0010, 0x00, cd || dvd, random, 8);
  add_feature (&list, 0x001d, 0x00, cd || dvd, random, 0);
  add_feature (&list, 0x001e, 0x08, cd, cd_read, 4);
  add_feature (&list, 0x001f, 0x00, dvd, core, 0);
  add_feature (&list, 0x0100, 0x02, true, core, 0);
  add_feature (&list, 0x0105, 0x02, true, core, 0);
  put32 (self->buffer, list.n - 4);
  put16 (self->buffer + 6, dvd ? PROFILE_DVD_ROM : cd ? PROFILE_CD_ROM : 0);
  reply (self, list.n, get16 (self->packet + 7));
}

/* ---------------------------------------------------------------- mode pages (MMC-3 6.3, SFF-8020i 10.8.6) */

/* Appends a page; changeable: the mask of what MODE SELECT can set. Returns its length, 0 when there is none. */
static unsigned
put_page (const IdeDrive *self, uint8_t page, bool changeable, uint8_t *at)
{
  unsigned n;

  switch (page)
    {
    case 0x01:
      n = 8;
      memset (at, 0, n);
      at[3] = changeable ? 0xff : self->retry_count;
      break;
    case 0x0d:
      n = 8;
      memset (at, 0, n);
      if (!changeable)
        {
          at[5] = 60;
          at[7] = 75;
        }
      break;
    case 0x0e:
      n = 16;
      memset (at, 0, n);
      if (!changeable)
        {
          at[2] = 4;
          at[7] = 75;
          at[8] = 1;
          at[9] = 0xff;
          at[10] = 2;
          at[11] = 0xff;
        }
      break;
    case 0x2a:
      n = 22;
      memset (at, 0, n);
      if (!changeable)
        {
          at[2] = 0x3b;         /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R */
          at[4] = 0x70;         /* mode 2 forms 1 and 2, multi-session */
          at[5] = 0x00;
          at[6] = (uint8_t) (0x29 | (self->locked ? 2 : 0));    /* tray, eject, lock */
          put16 (at + 8, 50 * 176);
          put16 (at + 10, 2);
          put16 (at + 12, 512);
          put16 (at + 14, 50 * 176);
        }
      break;
    default:
      return 0;
    }
  at[0] = page;
  at[1] = (uint8_t) (n - 2);
  return n;
}

static void
mode_sense (IdeDrive *self, unsigned n_header, uint32_t allocated)
{
  static const uint8_t pages[] = { 0x01, 0x0d, 0x0e, 0x2a };
  uint8_t page = self->packet[2] & 0x3f;
  uint8_t control = self->packet[2] >> 6;
  uint8_t medium = !has_medium (self) ? (self->tray_open ? 0x71 : 0x70) : 0x01;
  uint8_t *data = self->buffer;
  unsigned n = n_header;

  if (control == 3)
    {
      fail (self, SENSE_ILLEGAL_REQUEST, ASC_NO_SAVED_PAGES);
      return;
    }
  memset (data, 0, 8);
  for (unsigned i = 0; i < sizeof pages; i++)
    if (page == pages[i] || page == 0x3f)
      n += put_page (self, pages[i], control == 1, data + n);
  if (n == n_header)
    {
      invalid_field (self);
      return;
    }
  if (n_header == 8)
    {
      put16 (data, n - 2);
      data[2] = medium;
    }
  else
    {
      data[0] = (uint8_t) (n - 1);
      data[1] = medium;
    }
  reply (self, n, allocated);
}

static void
run_mode_sense_6 (IdeDrive *self)
{
  mode_sense (self, 4, self->packet[4]);
}

static void
run_mode_sense_10 (IdeDrive *self)
{
  mode_sense (self, 8, get16 (self->packet + 7));
}

static void
mode_select (IdeDrive *self, uint32_t n_bytes)
{
  /* SP: nothing can be saved. PF: pages only. */
  if ((self->packet[1] & 1) || n_bytes > CD_MAX_PARAMETERS)
    {
      invalid_field (self);
      return;
    }
  if (n_bytes == 0)
    {
      cd_finish (self);
      return;
    }
  self->data = DATA_PARAMETERS_OUT;
  self->position = 0;
  self->end = n_bytes;
  ide_drive_offer (self, false);
}

static void
run_mode_select_6 (IdeDrive *self)
{
  mode_select (self, self->packet[4]);
}

static void
run_mode_select_10 (IdeDrive *self)
{
  mode_select (self, get16 (self->packet + 7));
}

/* The parameter list of MODE SELECT is in the buffer: header, block descriptors, pages. */
static void
drain_parameters (IdeDrive *self)
{
  const uint8_t *data = self->buffer;
  bool ten = self->packet[0] == 0x55;
  uint32_t n = self->end;
  uint32_t at = ten ? 8 : 4;

  if (n < at)
    {
      fail (self, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LENGTH);
      return;
    }
  at += ten ? get16 (data + 6) : data[3];
  while (at < n)
    {
      uint8_t mine[32];
      uint8_t page = data[at] & 0x3f;
      unsigned size = put_page (self, page, false, mine);

      if (n - at < 2 || size == 0 || data[at + 1] != size - 2 || n - at < size)
        {
          fail (self, SENSE_ILLEGAL_REQUEST, n - at < 2 || (size && n - at < size) ? ASC_PARAMETER_LENGTH : ASC_INVALID_PARAMETER);
          return;
        }
      if (page == 0x01)
        self->retry_count = data[at + 3];
      at += size;
    }
  cd_finish (self);
}

/* ---------------------------------------------------------------- audio: there is none */

static void
run_play (IdeDrive *self)
{
  fail (self, SENSE_ILLEGAL_REQUEST, ASC_ILLEGAL_MODE);
}

static void
run_pause_resume (IdeDrive *self)
{
  fail (self, SENSE_ILLEGAL_REQUEST, ASC_SEQUENCE_ERROR);
}

/* ---------------------------------------------------------------- the table */

static const PacketRow rows[] = {
  { 0x00, ROW_MEDIUM,       run_test_unit_ready },
  { 0x03, ROW_ATTENTION_OK, run_request_sense },
  { 0x12, ROW_ATTENTION_OK, run_inquiry },
  { 0x15, 0,                run_mode_select_6 },
  { 0x1a, 0,                run_mode_sense_6 },
  { 0x1b, 0,                run_start_stop },
  { 0x1e, 0,                run_prevent_allow },
  { 0x25, ROW_MEDIUM,       run_read_capacity },
  { 0x28, ROW_MEDIUM,       run_read_10 },
  { 0x2b, ROW_MEDIUM,       run_seek },
  { 0x42, ROW_MEDIUM,       run_read_sub_channel },
  { 0x43, ROW_MEDIUM,       run_read_toc },
  { 0x44, ROW_MEDIUM,       run_read_header },
  { 0x45, ROW_MEDIUM,       run_play },
  { 0x46, ROW_ATTENTION_OK, run_get_configuration },
  { 0x47, ROW_MEDIUM,       run_play },
  { 0x4a, ROW_ATTENTION_OK, run_get_event_status },
  { 0x4b, ROW_MEDIUM,       run_pause_resume },
  { 0x4e, ROW_MEDIUM,       run_nothing },              /* STOP PLAY/SCAN */
  { 0x51, ROW_MEDIUM,       run_read_disc_information },
  { 0x52, ROW_MEDIUM,       run_read_track_information },
  { 0x55, 0,                run_mode_select_10 },
  { 0x5a, 0,                run_mode_sense_10 },
  { 0xa5, ROW_MEDIUM,       run_play },
  { 0xa8, ROW_MEDIUM,       run_read_12 },
  { 0xad, ROW_MEDIUM,       run_read_dvd_structure },
  { 0xb9, ROW_MEDIUM,       run_read_cd_msf },
  { 0xba, ROW_MEDIUM,       run_play },                 /* SCAN */
  { 0xbb, 0,                run_nothing },              /* SET CD SPEED: as fast as the host */
  { 0xbd, 0,                run_mechanism_status },
  { 0xbe, ROW_MEDIUM,       run_read_cd },
};

static void
execute_packet (IdeDrive *self)
{
  const PacketRow *row = NULL;

  for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (rows[i].opcode == self->packet[0])
      row = &rows[i];
  if (self->packet[0] != 0x03)
    set_sense (self, 0, 0);
  /* A drive whose disc was swapped in one go opens its tray for one command: hosts look for that, too. */
  if (self->changing && !(row && (row->flags & ROW_ATTENTION_OK)))
    {
      self->changing = false;
      fail (self, SENSE_NOT_READY, ASC_NO_MEDIUM_OPEN);
      return;
    }
  if (self->attention && !(row && (row->flags & ROW_ATTENTION_OK)))
    {
      uint16_t attention = self->attention;

      self->attention = 0;
      fail (self, SENSE_UNIT_ATTENTION, attention);
      return;
    }
  if (!row)
    {
      fail (self, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
      return;
    }
  if ((row->flags & ROW_MEDIUM) && !has_medium (self))
    {
      fail_not_ready (self);
      return;
    }
  row->run (self);
}

void
cd_drain (IdeDrive *self)
{
  switch ((IdeData) self->data)
    {
    case DATA_PACKET_OUT:
      memcpy (self->packet, self->buffer, CD_PACKET_BYTES);
      self->data = DATA_NONE;
      self->position = self->burst_end = self->end = 0;
      execute_packet (self);
      break;
    case DATA_PARAMETERS_OUT:
      drain_parameters (self);
      break;
    case DATA_NONE: case DATA_REPLY: case DATA_SECTORS_IN: case DATA_SECTORS_OUT: case DATA_CD_IN: case DATA_BUFFER_OUT:
    case DATA_TRIM_OUT: case N_IDE_DATA:
      ide_drive_fail (self, ERROR_ABRT, 0);
      break;
    }
}

/* ---------------------------------------------------------------- ATA commands of a packet device */

/* ATA-6 table 28. */
static void
identify_packet_device (IdeDrive *self)
{
  uint8_t *words = self->buffer;

  memset (words, 0, 512);
  ide_put16 (words, 0, 0x85c0);                         /* ATAPI CD-ROM, removable, DRQ within 50 us, 12 byte packets */
  ide_put_text (words + 20, self->serial, 20);
  ide_put_text (words + 46, self->firmware, 8);
  ide_put_text (words + 54, self->model, 40);
  ide_put16 (words, 49, 0x0f00);
  ide_put16 (words, 50, 0x4000);
  ide_put16 (words, 51, 0x0200);
  ide_put16 (words, 52, 0x0200);
  ide_put16 (words, 71, 30);
  ide_put16 (words, 72, 30);
  ide_put16 (words, 80, 0x0070);
  ide_put16 (words, 82, 0x4218);                        /* NOP, DEVICE RESET, packet, power management */
  ide_put16 (words, 83, 0x4000);
  ide_put16 (words, 84, 0x4000);
  ide_put16 (words, 85, 0x4218);
  ide_put16 (words, 87, 0x4000);
  ide_identify_modes (self, words);
  self->data = DATA_REPLY;
  self->position = 0;
  self->end = IDE_SECTOR_BYTES;
  ide_drive_offer (self, false);
}

void
cd_command (IdeDrive *self)
{
  self->error = 0;
  self->data = DATA_NONE;
  self->dma = false;
  self->position = self->burst_end = self->end = 0;
  switch (self->command)
    {
    case 0xa0:
      /* Overlap is not supported (8.23). */
      if (self->feature[0] & 2)
        {
          ide_drive_fail (self, ERROR_ABRT, 0);
          return;
        }
      self->power = POWER_ACTIVE;
      self->dma = self->feature[0] & 1;
      self->byte_limit = (uint16_t) (self->mid[0] | self->high[0] << 8);
      self->data = DATA_PACKET_OUT;
      self->end = CD_PACKET_BYTES;
      self->count[0] = REASON_COMMAND;
      ide_drive_offer (self, true);
      return;
    case 0xa1:
      identify_packet_device (self);
      return;
    case 0x20: case 0xec:
      /* These tell hosts of ATA-1 what is here: abort with the signature (8.15, 8.34). */
      ide_drive_sign (self);
      ide_drive_fail (self, ERROR_ABRT, 0);
      return;
    case 0xe7: case 0xea:
      ide_drive_done (self);
      return;
    case 0xef:
      if ((self->feature[0] == 0x03 && ide_set_transfer_mode (self, self->count[0]) == 0) || self->feature[0] == 0x66
          || self->feature[0] == 0xcc)
        ide_drive_done (self);
      else
        ide_drive_fail (self, ERROR_ABRT, 0);
      return;
    default:
      if (!ide_power_command (self))
        ide_drive_fail (self, ERROR_ABRT, 0);
      return;
    }
}

void
cd_reset (IdeDrive *self, bool power_on)
{
  self->cd_block = self->cd_left = 0;
  self->cd_bytes = CD_BLOCK_BYTES;
  self->cd_parts = PART_USER;
  /* A reset gives the tray back to the user (MMC-3 5.14). */
  self->locked = false;
  set_sense (self, 0, 0);
  if (!power_on)
    return;
  self->transfer_mode = 0x0c;
  self->n_moved = 0;
  self->cd_position = 0;
  self->byte_limit = 0;
  self->attention = ASC_POWER_ON;
  self->changing = self->tray_open = false;
  self->event = self->image ? EVENT_NEW_MEDIA : EVENT_NONE;
  self->retry_count = 5;
  memset (self->packet, 0, sizeof self->packet);
  memset (self->buffer, 0, IDE_BUFFER_BYTES);
}

/* Values of a state file that a drive cannot have reached. */
int
cd_check (const IdeDrive *self)
{
  if (self->data == DATA_SECTORS_IN || self->data == DATA_SECTORS_OUT || self->data == DATA_BUFFER_OUT
      || self->data == DATA_TRIM_OUT || self->event > EVENT_MEDIA_REMOVAL || self->sense_key > 15
      || self->cd_bytes != parts_size (self->cd_parts) || (self->cd_parts & (PART_SUBHEADER | 7)))
    return -EBADMSG;
  if (self->data == DATA_PACKET_OUT && self->end != CD_PACKET_BYTES)
    return -EBADMSG;
  if (self->data == DATA_PARAMETERS_OUT && self->end > CD_MAX_PARAMETERS)
    return -EBADMSG;
  if (self->data == DATA_CD_IN && self->cd_bytes == 0)
    return -EBADMSG;
  return 0;
}

/* ---------------------------------------------------------------- the user's side */

int
cdrom_insert (IdeDrive *self, BlockBackend *image)
{
  bool had = has_medium (self);

  if (self->kind != IDE_KIND_CDROM)
    return -EINVAL;
  if (self->image != image)
    block_close (self->image);
  self->image = image;
  self->n_sectors = image ? (image->n_bytes + CD_BLOCK_BYTES - 1) / CD_BLOCK_BYTES : 0;
  if (self->n_sectors > INT32_MAX)
    self->n_sectors = INT32_MAX;
  /* An empty file is no disc. */
  if (image && self->n_sectors == 0)
    {
      self->image = NULL;
      block_close (image);
    }
  self->tray_open = false;
  self->changing = had && self->image;
  self->cd_position = 0;
  if (self->image)
    {
      self->attention = ASC_MEDIUM_CHANGED;
      self->event = EVENT_NEW_MEDIA;
    }
  else if (had)
    self->event = EVENT_MEDIA_REMOVAL;
  return 0;
}

int
cdrom_eject (IdeDrive *self)
{
  int result;

  if (self->kind != IDE_KIND_CDROM)
    return -EINVAL;
  if (self->locked)
    {
      self->event = EVENT_EJECT_REQUEST;
      return -EBUSY;
    }
  result = cdrom_insert (self, NULL);
  self->tray_open = true;
  return result;
}

bool
cdrom_tray_open (const IdeDrive *self)
{
  return self->tray_open;
}
