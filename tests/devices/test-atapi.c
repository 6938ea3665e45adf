/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ATAPI CD-ROM drive, one test per documented behaviour (SFF-8020i, MMC-3, ATA/ATAPI-6 9.8). */
#include "fake-ide.h"

enum { N_BLOCKS = 500, CD_BYTES = N_BLOCKS * 2048 };

typedef struct
{
  IdeBox    ide;
  IdeDrive *drive;
  FakeBlock *disc;
} Box;

static FakeBlock *
make_disc (uint64_t n_bytes)
{
  return fake_block_new (n_bytes, n_bytes < 4 << 20 ? n_bytes : 4 << 20);
}

/* PACKET with a byte limit; returns the status after the packet was taken and time passed. */
static uint8_t
packet_begin (Box *box, const uint8_t *packet, uint16_t limit, bool dma)
{
  IdeBox *ide = &box->ide;

  out8 (&ide->host, ATA_DEVICE, 0xa0);
  out8 (&ide->host, ATA_FEATURE, dma);
  out8 (&ide->host, ATA_MID, (uint8_t) limit);
  out8 (&ide->host, ATA_HIGH, (uint8_t) (limit >> 8));
  out8 (&ide->host, ATA_COMMAND, 0xa0);
  fake_host_run (&ide->host, MS);
  g_assert_cmphex (in8 (&ide->host, ATA_CONTROL), ==, 0x58);
  g_assert_cmphex (in8 (&ide->host, ATA_COUNT) & 3, ==, 1);
  g_assert_false (ide->line[0].level);
  ata_write_words (ide, packet, 12);
  fake_host_run (&ide->host, MS);
  return in8 (&ide->host, ATA_CONTROL);
}

/* A data-in command to its end; returns how many bytes came, -1 for CHECK CONDITION. */
static int
packet_in (Box *box, const uint8_t *packet, uint8_t *ret, uint32_t size, uint16_t limit)
{
  IdeBox *ide = &box->ide;
  uint32_t n = 0;
  uint8_t status = packet_begin (box, packet, limit, false);

  while (status & 0x08)
    {
      uint32_t burst = in8 (&ide->host, ATA_MID) | (uint32_t) in8 (&ide->host, ATA_HIGH) << 8;

      g_assert_true (ide->line[0].level);
      g_assert_cmphex (in8 (&ide->host, ATA_STATUS), ==, 0x58);
      g_assert_false (ide->line[0].level);
      g_assert_cmphex (in8 (&ide->host, ATA_COUNT) & 3, ==, 2);
      g_assert_cmpuint (burst, >, 0);
      g_assert_cmpuint (burst, <=, limit ? limit : 0xfffe);
      for (uint32_t i = 0; i < burst; i += 2)
        {
          uint16_t word = in16 (&ide->host, ATA_DATA);

          if (n + i < size)
            ret[n + i] = (uint8_t) word;
          if (n + i + 1 < size && i + 1 < burst)
            ret[n + i + 1] = (uint8_t) (word >> 8);
        }
      n += burst;
      fake_host_run (&ide->host, MS);
      status = in8 (&ide->host, ATA_CONTROL);
    }
  g_assert_true (ide->line[0].level);
  g_assert_cmphex (in8 (&ide->host, ATA_COUNT) & 3, ==, 3);
  status = in8 (&ide->host, ATA_STATUS);
  if (status == 0x51)
    return -1;
  g_assert_cmphex (status, ==, 0x50);
  return (int) n;
}

#define PACKET(...) ((const uint8_t[12]) { __VA_ARGS__ })

static int
no_data (Box *box, const uint8_t *packet)
{
  uint8_t none[1];

  return packet_in (box, packet, none, 0, 0);
}

/* Fetches the sense data: key << 16 | code << 8 | qualifier. */
static uint32_t
sense (Box *box)
{
  uint8_t bytes[18];

  g_assert_cmpint (packet_in (box, PACKET (0x03, 0, 0, 0, 18), bytes, 18, 0xfffe), ==, 18);
  g_assert_cmphex (bytes[0], ==, 0x70);
  g_assert_cmphex (bytes[7], ==, 10);
  return (uint32_t) bytes[2] << 16 | (uint32_t) bytes[12] << 8 | bytes[13];
}

static void
expect_sense (Box *box, const uint8_t *packet, uint32_t wanted)
{
  uint8_t bytes[256];

  g_assert_cmpint (packet_in (box, packet, bytes, sizeof bytes, 0xfffe), ==, -1);
  g_assert_cmphex (in8 (&box->ide.host, ATA_ERROR), ==, (wanted >> 16) << 4 | 4);
  g_assert_cmphex (sense (box), ==, wanted);
}

static const uint8_t test_ready[12];

static void
box_begin_empty (Box *box)
{
  ide_box_begin (&box->ide);
  box->disc = NULL;
  g_assert_cmpint (ide_attach_cdrom (box->ide.channel[0], 0, NULL, &box->drive), ==, 0);
}

static void
box_insert (Box *box, uint64_t n_bytes)
{
  box->disc = make_disc (n_bytes);
  g_assert_cmpint (cdrom_insert (box->drive, &box->disc->parent), ==, 0);
}

/* With a disc, and the unit attention taken. */
static void
box_begin (Box *box)
{
  box_begin_empty (box);
  box_insert (box, CD_BYTES);
  expect_sense (box, test_ready, 0x062800);
}

static void
box_end (Box *box)
{
  ide_box_end (&box->ide);
}

/* ---------------------------------------------------------------- the ATA side */

static void
test_signature (void)
{
  Box box;

  box_begin_empty (&box);
  g_assert_cmphex (in8 (&box.ide.host, ATA_STATUS), ==, 0x00);
  g_assert_cmphex (in8 (&box.ide.host, ATA_MID), ==, 0x14);
  g_assert_cmphex (in8 (&box.ide.host, ATA_HIGH), ==, 0xeb);
  out8 (&box.ide.host, ATA_MID, 0);
  out8 (&box.ide.host, ATA_CONTROL, 4);
  out8 (&box.ide.host, ATA_CONTROL, 0);
  fake_host_run (&box.ide.host, MS);
  g_assert_cmphex (in8 (&box.ide.host, ATA_MID), ==, 0x14);
  g_assert_cmphex (in8 (&box.ide.host, ATA_STATUS), ==, 0x00);
  box_end (&box);
}

static void
test_identify_device_aborts_with_signature (void)
{
  Box box;

  box_begin_empty (&box);
  for (unsigned i = 0; i < 2; i++)
    {
      ata_begin (&box.ide, i ? 0x20 : 0xec, 0, 1, 0x123456, 0xe0);
      g_assert_cmphex (ata_wait (&box.ide), ==, 0x51);
      g_assert_cmphex (in8 (&box.ide.host, ATA_ERROR), ==, 0x04);
      g_assert_cmphex (in8 (&box.ide.host, ATA_MID), ==, 0x14);
      g_assert_cmphex (in8 (&box.ide.host, ATA_HIGH), ==, 0xeb);
    }
  box_end (&box);
}

static void
test_identify_packet_device (void)
{
  uint16_t words[256];
  Box box;

  box_begin_empty (&box);
  ata_begin (&box.ide, 0xa1, 0, 0, 0, 0xa0);
  g_assert_cmphex (ata_wait (&box.ide), ==, 0x58);
  ata_read_words (&box.ide, words, 512);
  g_assert_cmphex (words[0], ==, 0x85c0);
  g_assert_cmphex (words[49] & 0x0300, ==, 0x0300);
  g_assert_cmphex (words[82], ==, 0x4218);
  g_assert_cmphex (in8 (&box.ide.host, ATA_STATUS), ==, 0x50);
  box_end (&box);
}

static void
test_device_reset (void)
{
  Box box;

  box_begin (&box);
  /* Also in the middle of a packet. */
  out8 (&box.ide.host, ATA_COMMAND, 0xa0);
  fake_host_run (&box.ide.host, MS);
  in16 (&box.ide.host, ATA_DATA);
  out8 (&box.ide.host, ATA_COMMAND, 0x08);
  g_assert_cmphex (in8 (&box.ide.host, ATA_STATUS), ==, 0x00);
  g_assert_cmphex (in8 (&box.ide.host, ATA_MID), ==, 0x14);
  fake_host_run (&box.ide.host, MS);
  g_assert_false (box.ide.line[0].level);
  g_assert_cmpint (no_data (&box, test_ready), ==, 0);
  box_end (&box);
}

static void
test_overlap_is_refused (void)
{
  Box box;

  box_begin (&box);
  out8 (&box.ide.host, ATA_FEATURE, 2);
  out8 (&box.ide.host, ATA_COMMAND, 0xa0);
  g_assert_cmphex (ata_wait (&box.ide), ==, 0x51);
  box_end (&box);
}

/* ---------------------------------------------------------------- readiness */

static void
test_power_on_attention (void)
{
  Box box;

  box_begin_empty (&box);
  expect_sense (&box, test_ready, 0x062900);
  expect_sense (&box, test_ready, 0x023a01);
  box_end (&box);
}

static void
test_inquiry_passes_an_attention (void)
{
  uint8_t bytes[36];
  Box box;

  box_begin_empty (&box);
  g_assert_cmpint (packet_in (&box, PACKET (0x12, 0, 0, 0, 36), bytes, 36, 0xfffe), ==, 36);
  g_assert_cmphex (bytes[0], ==, 0x05);
  g_assert_cmphex (bytes[1], ==, 0x80);
  g_assert_cmphex (bytes[3], ==, 0x21);
  g_assert_cmpmem (bytes + 8, 8, "Bulkhead", 8);
  g_assert_cmpmem (bytes + 16, 8, "DVD-ROM ", 8);
  g_assert_cmpint (packet_in (&box, PACKET (0x12, 0, 0, 0, 5), bytes, 36, 0xfffe), ==, 5);
  g_assert_cmpint (packet_in (&box, PACKET (0x12, 0, 0, 0, 0), bytes, 36, 0xfffe), ==, 0);
  g_assert_cmpint (packet_in (&box, PACKET (0x12, 1, 0x80, 0, 36), bytes, 36, 0xfffe), ==, -1);
  expect_sense (&box, test_ready, 0x062900);
  box_end (&box);
}

static void
test_request_sense_reports_an_attention (void)
{
  Box box;

  box_begin_empty (&box);
  g_assert_cmphex (sense (&box), ==, 0x062900);
  g_assert_cmphex (sense (&box), ==, 0x000000);
  box_end (&box);
}

static void
test_unknown_command (void)
{
  Box box;

  box_begin (&box);
  expect_sense (&box, PACKET (0x2a), 0x052000);
  expect_sense (&box, PACKET (0xff), 0x052000);
  box_end (&box);
}

static void
test_media_change (void)
{
  bool closed = false;
  Box box;

  box_begin (&box);
  g_assert_cmpint (no_data (&box, test_ready), ==, 0);
  box.disc->closed = &closed;
  g_assert_cmpint (cdrom_insert (box.drive, NULL), ==, 0);
  g_assert_true (closed);
  expect_sense (&box, test_ready, 0x023a01);
  box_insert (&box, 100 * 2048);
  expect_sense (&box, test_ready, 0x062800);
  g_assert_cmpint (no_data (&box, test_ready), ==, 0);
  /* Swapped between two looks of the host: it sees an open tray once. */
  box_insert (&box, 200 * 2048);
  expect_sense (&box, test_ready, 0x023a02);
  expect_sense (&box, test_ready, 0x062800);
  g_assert_cmpint (no_data (&box, test_ready), ==, 0);
  box_end (&box);
}

static void
test_start_stop_unit (void)
{
  Box box;

  box_begin (&box);
  g_assert_cmpint (no_data (&box, PACKET (0x1b, 0, 0, 0, 0)), ==, 0);
  g_assert_cmpint (no_data (&box, PACKET (0x1b, 0, 0, 0, 1)), ==, 0);
  g_assert_cmpint (no_data (&box, PACKET (0x1b, 0, 0, 0, 2)), ==, 0);
  g_assert_true (cdrom_tray_open (box.drive));
  expect_sense (&box, test_ready, 0x023a02);
  g_assert_cmpint (no_data (&box, PACKET (0x1b, 0, 0, 0, 3)), ==, 0);
  g_assert_false (cdrom_tray_open (box.drive));
  expect_sense (&box, test_ready, 0x062800);
  g_assert_cmpint (no_data (&box, test_ready), ==, 0);
  box_end (&box);
}

static void
test_tray_lock (void)
{
  uint8_t event[8];
  Box box;

  box_begin (&box);
  packet_in (&box, PACKET (0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), event, 8, 0xfffe);
  g_assert_cmpint (no_data (&box, PACKET (0x1e, 0, 0, 0, 1)), ==, 0);
  expect_sense (&box, PACKET (0x1b, 0, 0, 0, 2), 0x055302);
  g_assert_false (cdrom_tray_open (box.drive));
  /* The button does nothing but tell the host. */
  g_assert_cmpint (cdrom_eject (box.drive), ==, -EBUSY);
  g_assert_nonnull (ide_drive_image (box.drive));
  g_assert_cmpint (packet_in (&box, PACKET (0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), event, 8, 0xfffe), ==, 8);
  g_assert_cmphex (event[4], ==, 1);
  g_assert_cmpint (no_data (&box, PACKET (0x1e, 0, 0, 0, 0)), ==, 0);
  g_assert_cmpint (cdrom_eject (box.drive), ==, 0);
  g_assert_true (cdrom_tray_open (box.drive));
  g_assert_null (ide_drive_image (box.drive));
  box_end (&box);
}

static void
test_event_status (void)
{
  uint8_t event[8];
  Box box;

  box_begin (&box);
  g_assert_cmpint (packet_in (&box, PACKET (0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), event, 8, 0xfffe), ==, 8);
  g_assert_cmpmem (event, 8, ((uint8_t[]) { 0, 6, 4, 0x10, 2, 2, 0, 0 }), 8);
  g_assert_cmpint (packet_in (&box, PACKET (0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), event, 8, 0xfffe), ==, 8);
  g_assert_cmphex (event[4], ==, 0);
  g_assert_cmpint (packet_in (&box, PACKET (0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8), event, 8, 0xfffe), ==, 4);
  g_assert_cmpmem (event, 4, ((uint8_t[]) { 0, 2, 0x80, 0x10 }), 4);
  expect_sense (&box, PACKET (0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), 0x052400);
  box_end (&box);
}

/* ---------------------------------------------------------------- reading */

static void
test_read_10 (void)
{
  static uint8_t bytes[20 * 2048];
  Box box;

  box_begin (&box);
  g_assert_cmpint (packet_in (&box, PACKET (0x28, 0, 0, 0, 1, 0, 0, 0, 20), bytes, sizeof bytes, 2048), ==, sizeof bytes);
  g_assert_cmpmem (bytes, sizeof bytes, box.disc->bytes + 256 * 2048, sizeof bytes);
  /* One burst as large as the host allows. */
  memset (bytes, 0, sizeof bytes);
  g_assert_cmpint (packet_in (&box, PACKET (0x28, 0, 0, 0, 1, 0, 0, 0, 20), bytes, sizeof bytes, 0xfffe), ==, sizeof bytes);
  g_assert_cmpmem (bytes, sizeof bytes, box.disc->bytes + 256 * 2048, sizeof bytes);
  g_assert_cmpint (no_data (&box, PACKET (0x28, 0, 0, 0, 1)), ==, 0);
  box_end (&box);
}

static void
test_read_12_of_many (void)
{
  static uint8_t bytes[CD_BYTES];
  Box box;

  box_begin (&box);
  g_assert_cmpint (packet_in (&box, PACKET (0xa8, 0, 0, 0, 0, 0, 0, 0, 1, 0xf4), bytes, sizeof bytes, 0), ==, CD_BYTES);
  g_assert_cmpmem (bytes, sizeof bytes, box.disc->bytes, sizeof bytes);
  box_end (&box);
}

static void
test_byte_limits (void)
{
  static const uint16_t limits[] = { 1, 2, 3, 100, 511, 2047, 2049, 0x8000, 0xfffe, 0xffff, 0 };
  static uint8_t bytes[2 * 2048];
  Box box;

  box_begin (&box);
  for (unsigned i = 1; i < G_N_ELEMENTS (limits); i++)
    {
      memset (bytes, 0, sizeof bytes);
      g_assert_cmpint (packet_in (&box, PACKET (0x28, 0, 0, 0, 0, 7, 0, 0, 2), bytes, sizeof bytes, limits[i]), ==, sizeof bytes);
      g_assert_cmpmem (bytes, sizeof bytes, box.disc->bytes + 7 * 2048, sizeof bytes);
    }
  box_end (&box);
}

static void
test_read_past_the_end (void)
{
  Box box;

  box_begin (&box);
  expect_sense (&box, PACKET (0x28, 0, 0, 0, 1, 0xf4, 0, 0, 1), 0x052100);
  expect_sense (&box, PACKET (0x28, 0, 0, 0, 1, 0xf3, 0, 0, 2), 0x052100);
  expect_sense (&box, PACKET (0x2b, 0, 0, 0, 1, 0xf4), 0x052100);
  g_assert_cmpint (no_data (&box, PACKET (0x2b, 0, 0, 0, 1, 0xf3)), ==, 0);
  box_end (&box);
}

static void
test_read_error (void)
{
  Box box;

  box_begin (&box);
  box.disc->read_error = -EIO;
  expect_sense (&box, PACKET (0x28, 0, 0, 0, 0, 0, 0, 0, 1), 0x031100);
  box_end (&box);
}

static void
test_partial_last_block (void)
{
  static const uint8_t zero[2048 - 700];
  uint8_t bytes[2048];
  Box box;

  box_begin_empty (&box);
  box_insert (&box, 9 * 2048 + 700);
  no_data (&box, test_ready);
  g_assert_cmpint (packet_in (&box, PACKET (0x25), bytes, 8, 0xfffe), ==, 8);
  g_assert_cmpuint (bytes[3], ==, 9);
  g_assert_cmphex (bytes[6], ==, 8);
  g_assert_cmpint (packet_in (&box, PACKET (0x28, 0, 0, 0, 0, 9, 0, 0, 1), bytes, sizeof bytes, 0xfffe), ==, 2048);
  g_assert_cmpmem (bytes, 700, box.disc->bytes + 9 * 2048, 700);
  g_assert_cmpmem (bytes + 700, sizeof zero, zero, sizeof zero);
  box_end (&box);
}

static void
test_read_by_dma (void)
{
  static uint8_t bytes[100 * 2048];
  Box box;

  box_begin (&box);
  prd_put (&box.ide, 0, 0x10000, 0, false);
  prd_put (&box.ide, 1, 0x20000, 0, false);
  prd_put (&box.ide, 2, 0x30000, 0, false);
  prd_put (&box.ide, 3, 0x40000, 100 * 2048 - 3 * 65536, true);
  packet_begin (&box, PACKET (0x28, 0, 0, 0, 0, 3, 0, 0, 100), 0, true);
  bm_start (&box.ide, true);
  fake_host_run (&box.ide.host, 10 * MS);
  g_assert_true (box.ide.line[0].level);
  g_assert_cmphex (in8 (&box.ide.host, BM_BASE + 2) & 7, ==, 4);
  g_assert_cmphex (in8 (&box.ide.host, ATA_COUNT) & 3, ==, 3);
  g_assert_cmphex (in8 (&box.ide.host, ATA_STATUS), ==, 0x50);
  guest_memory_read (box.ide.host.memory, 0x10000, bytes, sizeof bytes);
  g_assert_cmpmem (bytes, sizeof bytes, box.disc->bytes + 3 * 2048, sizeof bytes);
  box_end (&box);
}

static uint32_t
crc_of_frame (const uint8_t *frame)
{
  /* The EDC polynomial as ECMA-130 writes it, bit by bit, most significant coefficient first. */
  uint64_t remainder = 0;

  for (unsigned i = 0; i < 2064 + 4; i++)
    for (unsigned bit = 0; bit < 8; bit++)
      {
        uint64_t in = i < 2064 ? frame[i] >> bit & 1 : 0;

        remainder = remainder << 1 | in;
        if (remainder >> 32 & 1)
          remainder ^= 0x18001801bull;
      }
  return (uint32_t) remainder;
}

static uint8_t
gf_multiply (uint8_t a, uint8_t b)
{
  uint8_t product = 0;

  for (; b; b >>= 1)
    {
      if (b & 1)
        product ^= a;
      a = (uint8_t) (a << 1 ^ (a & 0x80 ? 0x1d : 0));
    }
  return product;
}

/* Both syndromes of one parity vector: zero for a frame without errors. */
static void
check_vector (const uint8_t *frame, const unsigned *index, unsigned n)
{
  uint8_t s0 = 0, s1 = 0;

  for (unsigned i = 0; i < n; i++)
    {
      s0 ^= frame[12 + index[i]];
      s1 = (uint8_t) (gf_multiply (s1, 2) ^ frame[12 + index[i]]);
    }
  g_assert_cmphex (s0, ==, 0);
  g_assert_cmphex (s1, ==, 0);
}

static void
test_read_cd (void)
{
  static uint8_t bytes[3 * 2352];
  uint32_t crc, edc = 0;
  Box box;

  box_begin (&box);
  g_assert_cmpint (packet_in (&box, PACKET (0xbe, 0, 0, 0, 0, 8, 0, 0, 3, 0x10), bytes, sizeof bytes, 0xfffe), ==, 3 * 2048);
  g_assert_cmpmem (bytes, 3 * 2048, box.disc->bytes + 8 * 2048, 3 * 2048);
  g_assert_cmpint (packet_in (&box, PACKET (0xbe, 0, 0, 0, 0, 8, 0, 0, 3, 0xf8), bytes, sizeof bytes, 0xfffe), ==, 3 * 2352);
  for (unsigned i = 0; i < 3; i++)
    {
      const uint8_t *frame = bytes + i * 2352;
      unsigned index[45];

      g_assert_cmphex (frame[0], ==, 0);
      g_assert_cmphex (frame[1], ==, 0xff);
      g_assert_cmphex (frame[11], ==, 0);
      /* Block 8 + i is 00:02:08 + i, in BCD. */
      g_assert_cmpmem (frame + 12, 4, ((uint8_t[]) { 0, 2, (uint8_t) (i == 2 ? 0x10 : 8 + i), 1 }), 4);
      g_assert_cmpmem (frame + 16, 2048, box.disc->bytes + (8 + i) * 2048, 2048);
      crc = crc_of_frame (frame);
      for (unsigned bit = 0; bit < 32; bit++)
        edc = edc << 1 | (frame[2064 + bit / 8] >> bit % 8 & 1);
      g_assert_cmphex (edc, ==, crc);
      /* ECMA-130 annex A: P vectors are columns of 26 words, Q vectors diagonals of 45; two bytes a word. */
      for (unsigned p = 0; p < 86; p++)
        {
          for (unsigned k = 0; k < 26; k++)
            index[k] = p + 86 * k;
          check_vector (frame, index, 26);
        }
      for (unsigned q = 0; q < 52; q++)
        {
          for (unsigned k = 0; k < 43; k++)
            index[k] = 2 * ((44 * k + 43 * (q / 2)) % 1118) + (q & 1);
          index[43] = 2236 + q;
          index[44] = 2236 + 52 + q;
          check_vector (frame, index, 45);
        }
    }
  g_assert_cmpint (packet_in (&box, PACKET (0xbe, 0, 0, 0, 0, 8, 0, 0, 1, 0x20), bytes, sizeof bytes, 0xfffe), ==, 4);
  g_assert_cmpint (no_data (&box, PACKET (0xbe, 0, 0, 0, 0, 8, 0, 0, 1, 0x00)), ==, 0);
  expect_sense (&box, PACKET (0xbe, 0, 0, 0, 0, 8, 0, 0, 1, 0x10, 1), 0x052400);
  expect_sense (&box, PACKET (0xbe, 4, 0, 0, 0, 8, 0, 0, 1, 0x10), 0x056400);
  /* By time: 00:02:10 to 00:02:11 is block 10. */
  g_assert_cmpint (packet_in (&box, PACKET (0xb9, 0, 0, 0, 2, 10, 0, 2, 11, 0x10), bytes, sizeof bytes, 0xfffe), ==, 2048);
  g_assert_cmpmem (bytes, 2048, box.disc->bytes + 10 * 2048, 2048);
  expect_sense (&box, PACKET (0xb9, 0, 0, 0, 1, 0, 0, 2, 11, 0x10), 0x052400);
  box_end (&box);
}

static void
test_disc_taken_out_during_a_read (void)
{
  Box box;

  box_begin (&box);
  packet_begin (&box, PACKET (0x28, 0, 0, 0, 0, 0, 0, 0, 100), 2048, false);
  g_assert_cmpint (cdrom_insert (box.drive, NULL), ==, 0);
  for (unsigned i = 0; i < 40 && (in8 (&box.ide.host, ATA_CONTROL) & 8); i++)
    {
      for (unsigned w = 0; w < 1024; w++)
        in16 (&box.ide.host, ATA_DATA);
      fake_host_run (&box.ide.host, MS);
    }
  g_assert_cmphex (in8 (&box.ide.host, ATA_STATUS), ==, 0x51);
  g_assert_cmphex (sense (&box), ==, 0x023a01);
  box_end (&box);
}

/* ---------------------------------------------------------------- what the drive tells */

static void
test_read_capacity (void)
{
  uint8_t bytes[8];
  Box box;

  box_begin (&box);
  g_assert_cmpint (packet_in (&box, PACKET (0x25), bytes, 8, 0xfffe), ==, 8);
  g_assert_cmpmem (bytes, 8, ((uint8_t[]) { 0, 0, 1, 0xf3, 0, 0, 8, 0 }), 8);
  box_end (&box);
}

static void
test_read_toc (void)
{
  uint8_t bytes[64];
  Box box;

  box_begin (&box);
  g_assert_cmpint (packet_in (&box, PACKET (0x43, 0, 0, 0, 0, 0, 0, 0, 64), bytes, 64, 0xfffe), ==, 20);
  g_assert_cmpmem (bytes, 20, ((uint8_t[]) { 0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 1, 0xf4 }), 20);
  /* By time; 500 blocks and two seconds are 8 seconds and 50 frames. */
  g_assert_cmpint (packet_in (&box, PACKET (0x43, 2, 0, 0, 0, 0, 1, 0, 64), bytes, 64, 0xfffe), ==, 20);
  g_assert_cmpmem (bytes + 8, 4, ((uint8_t[]) { 0, 0, 2, 0 }), 4);
  g_assert_cmpmem (bytes + 16, 4, ((uint8_t[]) { 0, 0, 8, 50 }), 4);
  g_assert_cmpint (packet_in (&box, PACKET (0x43, 0, 0, 0, 0, 0, 0xaa, 0, 64), bytes, 64, 0xfffe), ==, 12);
  expect_sense (&box, PACKET (0x43, 0, 0, 0, 0, 0, 2, 0, 64), 0x052400);
  /* The length in the header is the whole's, whatever was allocated. */
  g_assert_cmpint (packet_in (&box, PACKET (0x43, 0, 0, 0, 0, 0, 0, 0, 4), bytes, 64, 0xfffe), ==, 4);
  g_assert_cmpuint (bytes[1], ==, 18);
  /* Sessions, in both places the format may be. */
  g_assert_cmpint (packet_in (&box, PACKET (0x43, 0, 1, 0, 0, 0, 0, 0, 64), bytes, 64, 0xfffe), ==, 12);
  g_assert_cmpmem (bytes, 12, ((uint8_t[]) { 0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0 }), 12);
  g_assert_cmpint (packet_in (&box, PACKET (0x43, 0, 0, 0, 0, 0, 0, 0, 64, 0x40), bytes, 64, 0xfffe), ==, 12);
  g_assert_cmpint (packet_in (&box, PACKET (0x43, 2, 2, 0, 0, 0, 0, 0, 64), bytes, 64, 0xfffe), ==, 48);
  g_assert_cmphex (bytes[4 + 22 + 3], ==, 0xa2);
  g_assert_cmpmem (bytes + 4 + 22 + 8, 3, ((uint8_t[]) { 0, 8, 50 }), 3);
  expect_sense (&box, PACKET (0x43, 0, 5, 0, 0, 0, 0, 0, 64), 0x052400);
  box_end (&box);
}

static void
test_get_configuration (void)
{
  uint8_t bytes[256];
  int n;
  Box box;

  box_begin (&box);
  n = packet_in (&box, PACKET (0x46, 0, 0, 0, 0, 0, 0, 1, 0), bytes, 256, 0xfffe);
  g_assert_cmpint (n, >, 40);
  g_assert_cmpint (bytes[3], ==, n - 4);
  g_assert_cmphex (bytes[7], ==, 0x08);
  g_assert_cmphex (bytes[11], ==, 8);
  /* Exactly one feature. */
  n = packet_in (&box, PACKET (0x46, 2, 0, 3, 0, 0, 0, 1, 0), bytes, 256, 0xfffe);
  g_assert_cmpint (n, ==, 16);
  g_assert_cmphex (bytes[9], ==, 3);
  expect_sense (&box, PACKET (0x46, 3, 0, 3, 0, 0, 0, 1, 0), 0x052400);
  /* A large image is a DVD. */
  box_insert (&box, 4ull << 30);
  n = packet_in (&box, PACKET (0x46, 1, 0, 0, 0, 0, 0, 1, 0), bytes, 256, 0xfffe);
  g_assert_cmphex (bytes[7], ==, 0x10);
  box_end (&box);
}

static void
test_read_dvd_structure (void)
{
  static uint8_t bytes[2052];
  Box box;

  box_begin (&box);
  expect_sense (&box, PACKET (0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4), 0x053002);
  box_insert (&box, 4ull << 30);
  no_data (&box, test_ready);
  no_data (&box, test_ready);
  g_assert_cmpint (packet_in (&box, PACKET (0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4), bytes, 2052, 0xfffe), ==, 2052);
  g_assert_cmpmem (bytes + 12, 4, ((uint8_t[]) { 0, 0x22, 0xff, 0xff }), 4);
  box_end (&box);
}

static void
test_mode_sense (void)
{
  uint8_t bytes[128];
  Box box;

  box_begin (&box);
  g_assert_cmpint (packet_in (&box, PACKET (0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128), bytes, 128, 0xfffe), ==, 30);
  g_assert_cmpuint (bytes[1], ==, 28);
  g_assert_cmphex (bytes[2], ==, 0x01);
  g_assert_cmphex (bytes[8], ==, 0x2a);
  g_assert_cmphex (bytes[14] & 0xe0, ==, 0x20);
  g_assert_cmpint (packet_in (&box, PACKET (0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 128), bytes, 128, 0xfffe), ==, 8 + 8 + 8 + 16 + 22);
  g_assert_cmpint (packet_in (&box, PACKET (0x1a, 0, 0x01, 0, 128), bytes, 128, 0xfffe), ==, 12);
  g_assert_cmpuint (bytes[0], ==, 11);
  expect_sense (&box, PACKET (0x5a, 0, 0xea, 0, 0, 0, 0, 0, 128), 0x053900);
  expect_sense (&box, PACKET (0x5a, 0, 0x11, 0, 0, 0, 0, 0, 128), 0x052400);
  box_end (&box);
}

static uint8_t
send (Box *box, const uint8_t *packet, const uint8_t *bytes, unsigned n_bytes)
{
  IdeBox *ide = &box->ide;

  g_assert_cmphex (packet_begin (box, packet, 0xfffe, false), ==, 0x58);
  g_assert_true (ide->line[0].level);
  in8 (&ide->host, ATA_STATUS);
  g_assert_cmphex (in8 (&ide->host, ATA_COUNT) & 3, ==, 0);
  ata_write_words (ide, bytes, n_bytes);
  fake_host_run (&ide->host, MS);
  return in8 (&ide->host, ATA_STATUS);
}

static void
test_mode_select (void)
{
  uint8_t list[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x06, 0, 17 };
  uint8_t bytes[16];
  Box box;

  box_begin (&box);
  g_assert_cmphex (send (&box, PACKET (0x55, 0x10, 0, 0, 0, 0, 0, 0, 16), list, 16), ==, 0x50);
  packet_in (&box, PACKET (0x5a, 0, 0x01, 0, 0, 0, 0, 0, 16), bytes, 16, 0xfffe);
  g_assert_cmpuint (bytes[11], ==, 17);
  /* A page that is not there, a length that lies, a list that ends early. */
  list[8] = 0x11;
  g_assert_cmphex (send (&box, PACKET (0x55, 0x10, 0, 0, 0, 0, 0, 0, 16), list, 16), ==, 0x51);
  g_assert_cmphex (sense (&box), ==, 0x052600);
  list[8] = 0x01;
  list[9] = 200;
  g_assert_cmphex (send (&box, PACKET (0x55, 0x10, 0, 0, 0, 0, 0, 0, 16), list, 16), ==, 0x51);
  list[9] = 6;
  g_assert_cmphex (send (&box, PACKET (0x55, 0x10, 0, 0, 0, 0, 0, 0, 12), list, 12), ==, 0x51);
  g_assert_cmphex (sense (&box), ==, 0x051a00);
  /* Block descriptors longer than the list. */
  list[6] = 0xff;
  g_assert_cmphex (send (&box, PACKET (0x55, 0x10, 0, 0, 0, 0, 0, 0, 16), list, 16), ==, 0x50);
  /* Six byte form. */
  memmove (list + 4, list + 8, 8);
  memset (list, 0, 4);
  list[7] = 9;
  g_assert_cmphex (send (&box, PACKET (0x15, 0x10, 0, 0, 12), list, 12), ==, 0x50);
  packet_in (&box, PACKET (0x5a, 0, 0x01, 0, 0, 0, 0, 0, 16), bytes, 16, 0xfffe);
  g_assert_cmpuint (bytes[11], ==, 9);
  expect_sense (&box, PACKET (0x55, 0x11, 0, 0, 0, 0, 0, 0, 16), 0x052400);
  expect_sense (&box, PACKET (0x55, 0x10, 0, 0, 0, 0, 0, 0xff, 0xff), 0x052400);
  box_end (&box);
}

static void
test_information_commands (void)
{
  uint8_t bytes[64];
  Box box;

  box_begin (&box);
  g_assert_cmpint (packet_in (&box, PACKET (0x51, 0, 0, 0, 0, 0, 0, 0, 64), bytes, 64, 0xfffe), ==, 34);
  g_assert_cmphex (bytes[2], ==, 0x0e);
  g_assert_cmpint (packet_in (&box, PACKET (0x52, 1, 0, 0, 0, 1, 0, 0, 64), bytes, 64, 0xfffe), ==, 36);
  g_assert_cmphex (bytes[27], ==, 0xf4);
  g_assert_cmpint (packet_in (&box, PACKET (0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), bytes, 64, 0xfffe), ==, 8);
  g_assert_cmpint (no_data (&box, PACKET (0xbb, 0, 0xff, 0xff)), ==, 0);
  g_assert_cmpint (packet_in (&box, PACKET (0x44, 0, 0, 0, 0, 9, 0, 0, 8), bytes, 64, 0xfffe), ==, 8);
  g_assert_cmpuint (bytes[7], ==, 9);
  no_data (&box, PACKET (0x2b, 0, 0, 0, 0, 100));
  g_assert_cmpint (packet_in (&box, PACKET (0x42, 0, 0x40, 1, 0, 0, 0, 0, 64), bytes, 64, 0xfffe), ==, 16);
  g_assert_cmphex (bytes[1], ==, 0x15);
  g_assert_cmpuint (bytes[11], ==, 100);
  g_assert_cmpint (packet_in (&box, PACKET (0x42, 0, 0, 1, 0, 0, 0, 0, 64), bytes, 64, 0xfffe), ==, 4);
  g_assert_cmpint (packet_in (&box, PACKET (0x42, 0, 0x40, 2, 0, 0, 0, 0, 64), bytes, 64, 0xfffe), ==, 24);
  expect_sense (&box, PACKET (0x42, 0, 0x40, 7, 0, 0, 0, 0, 64), 0x052400);
  expect_sense (&box, PACKET (0x45), 0x056400);
  expect_sense (&box, PACKET (0x4b), 0x052c00);
  box_end (&box);
}

/* ---------------------------------------------------------------- saved state, old holes */

static void
test_state_in_the_middle_of_a_read (void)
{
  static uint8_t bytes[8 * 2048];
  unsigned n = 0;
  Box box, other;

  box_begin (&box);
  box_begin (&other);
  packet_begin (&box, PACKET (0x28, 0, 0, 0, 0, 1, 0, 0, 8), 2048, false);
  ata_read_words (&box.ide, bytes, 700);
  clock_set_now (other.ide.host.clock, clock_now_ns (box.ide.host.clock));
  g_assert_cmpint (fake_copy_state (ide_channel_device (box.ide.channel[0]), ide_channel_device (other.ide.channel[0])), >, 0);
  ata_read_words (&other.ide, bytes + 700, 2048 - 700);
  for (n = 1; n < 8; n++)
    {
      g_assert_cmphex (ata_wait (&other.ide), ==, 0x58);
      ata_read_words (&other.ide, bytes + n * 2048, 2048);
    }
  g_assert_cmphex (ata_wait (&other.ide), ==, 0x50);
  g_assert_cmpmem (bytes, sizeof bytes, box.disc->bytes + 2048, sizeof bytes);
  box_end (&box);
  box_end (&other);
}

static void
test_state_refuses_lies (void)
{
  StateBuffer buffer = { 0 };
  unsigned refused = 0;
  Device *device;
  Box box;

  box_begin (&box);
  device = ide_channel_device (box.ide.channel[0]);
  packet_begin (&box, PACKET (0x28, 0, 0, 0, 0, 1, 0, 0, 8), 2048, false);
  state_save (device->klass->state, device, &buffer);
  for (size_t i = 0; i < buffer.length; i++)
    {
      uint8_t old = buffer.bytes[i];

      if (i > 600 && i < 65536)
        continue;
      if (i > 67000 && i % 61)
        continue;
      buffer.bytes[i] ^= i & 1 ? 0xff : 0x11;
      if (state_restore (device->klass->state, device, buffer.bytes, buffer.length) < 0)
        {
          refused++;
          device->klass->reset (device);
        }
      for (unsigned n = 0; n < 1100; n++)
        {
          in16 (&box.ide.host, ATA_DATA);
          out16 (&box.ide.host, ATA_DATA, (uint16_t) n);
        }
      fake_host_run (&box.ide.host, MS);
      buffer.bytes[i] = old;
    }
  g_assert_cmpuint (refused, >, 100);
  state_buffer_clear (&buffer);
  box_end (&box);
}

/* Addresses at and past every end, with every way to read: nothing but data of the disc or a refusal. */
static void
test_cve_2020_29443_lba_index (void)
{
  static const uint32_t addresses[] = { 0, 1, N_BLOCKS - 1, N_BLOCKS, N_BLOCKS + 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };
  static const uint32_t counts[] = { 0, 1, 2, 0xffff, 0xffffff, 0x7fffffff, 0x80000000, 0xffffffff };
  static uint8_t bytes[4 * 2352];
  Box box;

  box_begin (&box);
  for (unsigned a = 0; a < G_N_ELEMENTS (addresses); a++)
    for (unsigned c = 0; c < G_N_ELEMENTS (counts); c++)
      for (unsigned kind = 0; kind < 3; kind++)
        {
          uint32_t at = addresses[a], n = counts[c];
          uint8_t packet[12] = { kind == 0 ? 0x28 : kind == 1 ? 0xa8 : 0xbe, 0, (uint8_t) (at >> 24), (uint8_t) (at >> 16),
                                 (uint8_t) (at >> 8), (uint8_t) at };
          int got;

          if (kind == 0)
            n &= 0xffff, packet[7] = (uint8_t) (n >> 8), packet[8] = (uint8_t) n;
          else if (kind == 1)
            packet[6] = (uint8_t) (n >> 24), packet[7] = (uint8_t) (n >> 16), packet[8] = (uint8_t) (n >> 8), packet[9] = (uint8_t) n;
          else
            n &= 0xffffff, packet[6] = (uint8_t) (n >> 16), packet[7] = (uint8_t) (n >> 8), packet[8] = (uint8_t) n, packet[9] = 0xf8;
          got = packet_in (&box, packet, bytes, sizeof bytes, 0xfffe);
          if ((uint64_t) at + n <= N_BLOCKS && at < N_BLOCKS)
            g_assert_cmpint (got, ==, (int) n * (kind == 2 ? 2352 : 2048));
          else
            g_assert_cmpint (got, ==, -1);
        }
  /* A disc that shrinks under a read in progress. */
  packet_begin (&box, PACKET (0x28, 0, 0, 0, 0, 0, 0, 0, 200), 0xfffe, false);
  box_insert (&box, 10 * 2048);
  for (unsigned i = 0; i < 200 && (in8 (&box.ide.host, ATA_CONTROL) & 8); i++)
    {
      for (unsigned w = 0; w < 32768; w++)
        in16 (&box.ide.host, ATA_DATA);
      fake_host_run (&box.ide.host, MS);
    }
  g_assert_cmphex (in8 (&box.ide.host, ATA_STATUS), ==, 0x51);
  box_end (&box);
}

/* Commands without data left the pointers of the one before: the data port then ran past the buffer. */
static void
test_cve_2015_5154_pio_overrun (void)
{
  Box box;

  box_begin (&box);
  for (unsigned opcode = 0; opcode < 256; opcode++)
    {
      uint8_t packet[12] = { (uint8_t) opcode, 0, 0, 0, 3, 0, 0, 0xff, 0xff, 0xff, 0, 0 };

      packet_begin (&box, packet, 0xfffe, opcode & 1);
      for (unsigned i = 0; i < 40000; i++)
        bus_write_port (box.ide.host.bus, ATA_DATA, i & 1 ? 4 : 2, bus_read_port (box.ide.host.bus, ATA_DATA, i & 1 ? 2 : 4));
      fake_host_run (&box.ide.host, MS);
      out8 (&box.ide.host, ATA_COMMAND, 0x08);
    }
  box_end (&box);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/atapi/signature", test_signature);
  g_test_add_func ("/atapi/identify-device-aborts-with-signature", test_identify_device_aborts_with_signature);
  g_test_add_func ("/atapi/identify-packet-device", test_identify_packet_device);
  g_test_add_func ("/atapi/device-reset", test_device_reset);
  g_test_add_func ("/atapi/overlap-is-refused", test_overlap_is_refused);
  g_test_add_func ("/atapi/power-on-attention", test_power_on_attention);
  g_test_add_func ("/atapi/inquiry-passes-an-attention", test_inquiry_passes_an_attention);
  g_test_add_func ("/atapi/request-sense-reports-an-attention", test_request_sense_reports_an_attention);
  g_test_add_func ("/atapi/unknown-command", test_unknown_command);
  g_test_add_func ("/atapi/media-change", test_media_change);
  g_test_add_func ("/atapi/start-stop-unit", test_start_stop_unit);
  g_test_add_func ("/atapi/tray-lock", test_tray_lock);
  g_test_add_func ("/atapi/event-status", test_event_status);
  g_test_add_func ("/atapi/read-10", test_read_10);
  g_test_add_func ("/atapi/read-12-of-many", test_read_12_of_many);
  g_test_add_func ("/atapi/byte-limits", test_byte_limits);
  g_test_add_func ("/atapi/read-past-the-end", test_read_past_the_end);
  g_test_add_func ("/atapi/read-error", test_read_error);
  g_test_add_func ("/atapi/partial-last-block", test_partial_last_block);
  g_test_add_func ("/atapi/read-by-dma", test_read_by_dma);
  g_test_add_func ("/atapi/read-cd", test_read_cd);
  g_test_add_func ("/atapi/disc-taken-out-during-a-read", test_disc_taken_out_during_a_read);
  g_test_add_func ("/atapi/read-capacity", test_read_capacity);
  g_test_add_func ("/atapi/read-toc", test_read_toc);
  g_test_add_func ("/atapi/get-configuration", test_get_configuration);
  g_test_add_func ("/atapi/read-dvd-structure", test_read_dvd_structure);
  g_test_add_func ("/atapi/mode-sense", test_mode_sense);
  g_test_add_func ("/atapi/mode-select", test_mode_select);
  g_test_add_func ("/atapi/information-commands", test_information_commands);
  g_test_add_func ("/atapi/state-in-the-middle-of-a-read", test_state_in_the_middle_of_a_read);
  g_test_add_func ("/atapi/state-refuses-lies", test_state_refuses_lies);
  g_test_add_func ("/atapi/cve-2020-29443-lba-index", test_cve_2020_29443_lba_index);
  g_test_add_func ("/atapi/cve-2015-5154-pio-overrun", test_cve_2015_5154_pio_overrun);
  return g_test_run ();
}
