/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The 82077AA, one test per documented behaviour (data sheet 290166). */
#include "fdc.h"

#include "fake-drive-host.h"

/* An 8237 channel that needs no programming: memory, a position, a count. */
typedef struct
{
  uint8_t  memory[65536];
  size_t   position, count;     /* terminal count after `count` bytes */
  bool     masked, request, wrong_direction;
  unsigned n_calls;
  unsigned channel;
} FakeDma;

static size_t
fake_dma_transfer (void *dma, unsigned channel, bool to_memory, void *bytes, size_t n_bytes, bool *terminal_count)
{
  FakeDma *self = dma;
  size_t n = n_bytes < self->count ? n_bytes : self->count;

  self->n_calls++;
  self->channel = channel;
  g_assert_true (self->request);
  *terminal_count = false;
  if (self->masked)
    return 0;
  if (to_memory)
    memcpy (self->memory + self->position, bytes, n);
  else
    memcpy (bytes, self->memory + self->position, n);
  self->position += n;
  self->count -= n;
  if (self->count == 0)
    {
      *terminal_count = true;
      self->masked = true;
    }
  return n;
}

static void
fake_dma_set_request (void *dma, unsigned channel, bool level)
{
  ((FakeDma *) dma)->request = level;
}

typedef struct
{
  FakeHost   host;
  FakeLine   line;
  FakeDma    dma;
  Fdc       *fdc;
  FakeBlock *image;
} Box;

enum { DOR = 0x3f2, TDR = 0x3f3, MSR = 0x3f4, DSR = 0x3f4, FIFO = 0x3f5, DIR_PORT = 0x3f7, CCR = 0x3f7 };

#define MS 1000000ull

static void
box_begin_empty (Box *box)
{
  DmaPort port = { fake_dma_transfer, fake_dma_set_request, &box->dma };
  IrqLine irq = { fake_line_set, &box->line, 6 };

  memset (box, 0, sizeof *box);
  fake_host_begin (&box->host, 0);
  g_assert_cmpint (fdc_new (&box->host.host, irq, 0x3f0, &port, 2, &box->fdc), ==, 0);
}

static void
box_insert (Box *box, unsigned unit, uint64_t n_bytes)
{
  box->image = fake_block_new (n_bytes, n_bytes);
  g_assert_cmpint (fdc_insert (box->fdc, unit, &box->image->parent), ==, 0);
}

static void
command (Box *box, size_t n_bytes, const uint8_t *bytes)
{
  for (size_t i = 0; i < n_bytes; i++)
    {
      g_assert_cmphex (in8 (&box->host, MSR) & 0xc0, ==, 0x80);
      out8 (&box->host, FIFO, bytes[i]);
    }
}
#define COMMAND(box, ...) command (box, sizeof ((uint8_t[]) { __VA_ARGS__ }), (uint8_t[]) { __VA_ARGS__ })

/* Reads a result phase of exactly n bytes. */
static void
result (Box *box, uint8_t *ret, unsigned n)
{
  for (unsigned i = 0; i < n; i++)
    {
      g_assert_cmphex (in8 (&box->host, MSR) & 0xd0, ==, 0xd0);
      ret[i] = in8 (&box->host, FIFO);
    }
  g_assert_cmphex (in8 (&box->host, MSR) & 0xd0, ==, 0x80);
}

static void
expect (Box *box, unsigned n, const uint8_t *wanted)
{
  uint8_t got[10];

  result (box, got, n);
  g_assert_cmpmem (got, n, wanted, n);
}
#define EXPECT(box, ...) expect (box, sizeof ((uint8_t[]) { __VA_ARGS__ }), (uint8_t[]) { __VA_ARGS__ })

/* Reset, the four polled statuses, SPECIFY, recalibrate drive 0: what a BIOS does. */
static void
box_start (Box *box, uint8_t rate)
{
  out8 (&box->host, DOR, 0x1c);
  fake_host_run (&box->host, MS);
  g_assert_true (box->line.level);
  for (uint8_t i = 0; i < 4; i++)
    {
      COMMAND (box, 0x08);
      EXPECT (box, (uint8_t) (0xc0 | i), 0);
    }
  g_assert_false (box->line.level);
  out8 (&box->host, CCR, rate);
  COMMAND (box, 0x03, 0xaf, 0x02);
  COMMAND (box, 0x07, 0x00);
  fake_host_run (&box->host, 10 * MS);
  g_assert_true (box->line.level);
  COMMAND (box, 0x08);
  EXPECT (box, 0x20, 0x00);
}

static void
box_begin (Box *box)
{
  box_begin_empty (box);
  g_assert_cmpint (fdc_set_drive (box->fdc, 0, FLOPPY_DRIVE_1440K), ==, 0);
  box_insert (box, 0, 1440 << 10);
  box_start (box, 0);
}

static void
box_end (Box *box)
{
  fdc_device (box->fdc)->klass->finish (fdc_device (box->fdc));
  fake_host_end (&box->host);
}

static void
dma_program (Box *box, size_t count)
{
  box->dma.position = 0;
  box->dma.count = count;
  box->dma.masked = false;
  box->dma.n_calls = 0;
}

static const uint8_t *
image_sector (Box *box, unsigned c, unsigned h, unsigned r)
{
  return box->image->bytes + ((c * 2 + h) * 18 + r - 1) * 512;
}

static void
seek_to (Box *box, uint8_t cylinder)
{
  COMMAND (box, 0x0f, 0x00, cylinder);
  fake_host_run (&box->host, 20 * MS);
  COMMAND (box, 0x08);
  EXPECT (box, 0x20, cylinder);
}

/* ---------------------------------------------------------------- registers and reset */

static void
test_geometry (void)
{
  static const struct { uint32_t k; uint8_t tracks, heads, sectors; } rows[] = {
    { 160, 40, 1, 8 }, { 180, 40, 1, 9 }, { 320, 40, 2, 8 }, { 360, 40, 2, 9 }, { 720, 80, 2, 9 }, { 1200, 80, 2, 15 },
    { 1440, 80, 2, 18 }, { 1680, 80, 2, 21 }, { 1722, 82, 2, 21 }, { 1743, 83, 2, 21 }, { 2880, 80, 2, 36 },
    { 1760, 80, 2, 22 }, { 1520, 80, 2, 19 }, { 3840, 80, 2, 48 }, { 4032, 84, 2, 48 },
    /* Not a format: the next larger standard one. */
    { 100, 40, 1, 8 }, { 1000, 80, 2, 15 }, { 1300, 80, 2, 18 }, { 2000, 80, 2, 25 }, { 2001, 80, 2, 36 },
  };
  FloppyGeometry geometry;

  for (unsigned i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_assert_cmpint (floppy_geometry_of (rows[i].k * 1024ull, &geometry), ==, 0);
      g_assert_cmpint (geometry.n_tracks, ==, rows[i].tracks);
      g_assert_cmpint (geometry.n_heads, ==, rows[i].heads);
      g_assert_cmpint (geometry.n_sectors, ==, rows[i].sectors);
      g_assert_cmpint (geometry.size_code, ==, 2);
    }
  g_assert_cmpint (floppy_geometry_of (77 * 2 * 8 * 1024, &geometry), ==, 0);
  g_assert_cmpint (geometry.size_code, ==, 3);
  g_assert_cmpint (floppy_geometry_of (0, &geometry), ==, -EINVAL);
  g_assert_cmpint (floppy_geometry_of (FDC_MAX_IMAGE_BYTES, &geometry), ==, 0);
  g_assert_cmpint (floppy_geometry_of (FDC_MAX_IMAGE_BYTES + 1, &geometry), ==, -EINVAL);
  /* Every size up to the limit has a format, and every sector of it fits the marks. */
  for (uint64_t n = 1; n <= FDC_MAX_IMAGE_BYTES; n += 509)
    {
      g_assert_cmpint (floppy_geometry_of (n, &geometry), ==, 0);
      g_assert_cmpuint (geometry.n_tracks * geometry.n_heads * geometry.n_sectors, <=, FDC_MAX_IMAGE_BYTES / 512);
      g_assert_cmpuint ((128ull << geometry.size_code) * geometry.n_tracks * geometry.n_heads * geometry.n_sectors, >=, n);
      g_assert_cmpuint (geometry.size_code, <=, 3);
    }
}

static void
test_power_on_holds_reset (void)
{
  Box box;

  box_begin_empty (&box);
  g_assert_cmphex (in8 (&box.host, DOR), ==, 0x00);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x00);
  out8 (&box.host, FIFO, 0x10);
  fake_host_run (&box.host, 10 * MS);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x00);
  g_assert_false (box.line.level);
  box_end (&box);
}

static void
test_dor_reset_interrupts_and_polls (void)
{
  Box box;

  box_begin (&box);
  out8 (&box.host, DOR, 0x18);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x00);
  out8 (&box.host, DOR, 0x1c);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x80);
  g_assert_true (box.line.level);
  COMMAND (&box, 0x08);
  g_assert_false (box.line.level);
  EXPECT (&box, 0xc0, 0x00);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0xc1, 0x00);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0xc2, 0x00);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0xc3, 0x00);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x80);
  box_end (&box);
}

static void
test_dsr_reset_clears_itself (void)
{
  Box box;

  box_begin (&box);
  out8 (&box.host, DSR, 0x80);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x00);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x80);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0xc0, 0x00);
  box_end (&box);
}

static void
test_dma_gate_blocks_interrupt (void)
{
  Box box;

  box_begin (&box);
  out8 (&box.host, DOR, 0x14);
  COMMAND (&box, 0x07, 0x00);
  fake_host_run (&box.host, 10 * MS);
  g_assert_false (box.line.level);
  out8 (&box.host, DOR, 0x1c);
  g_assert_true (box.line.level);
  box_end (&box);
}

static void
test_tdr_holds_two_bits (void)
{
  Box box;

  box_begin (&box);
  out8 (&box.host, TDR, 0xfe);
  g_assert_cmphex (in8 (&box.host, TDR), ==, 0x02);
  box_end (&box);
}

static void
test_msr_busy_while_command_bytes_come (void)
{
  Box box;

  box_begin (&box);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x80);
  out8 (&box.host, FIFO, 0x03);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x90);
  out8 (&box.host, FIFO, 0xaf);
  out8 (&box.host, FIFO, 0x02);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x80);
  box_end (&box);
}

static void
test_ports_of_others_are_left_alone (void)
{
  Box box;

  box_begin_empty (&box);
  g_assert_null (bus_port_owner (box.host.bus, 0x3f0));
  g_assert_null (bus_port_owner (box.host.bus, 0x3f6));
  g_assert_nonnull (bus_port_owner (box.host.bus, 0x3f7));
  box_end (&box);
}

/* ---------------------------------------------------------------- control commands */

static void
test_version (void)
{
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x10);
  EXPECT (&box, 0x90);
  box_end (&box);
}

static void
test_invalid_command (void)
{
  static const uint8_t invalid[] = { 0x00, 0x01, 0x0b, 0x18 /* PART ID: 82078 only */, 0x1a, 0x1f, 0x8e, 0x2e, 0xff };
  Box box;

  box_begin (&box);
  for (unsigned i = 0; i < sizeof invalid; i++)
    {
      COMMAND (&box, invalid[i]);
      EXPECT (&box, 0x80);
    }
  box_end (&box);
}

static void
test_configure_lock_and_dumpreg (void)
{
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x13, 0x00, 0x4a, 0x11);
  COMMAND (&box, 0x0e);
  EXPECT (&box, 0, 0, 0, 0, 0xaf, 0x02, 0, 0x00, 0x4a, 0x11);
  /* Unlocked: a reset brings the FIFO's defaults back, implied seek stays. */
  out8 (&box.host, DSR, 0x80);
  fake_host_run (&box.host, MS);
  COMMAND (&box, 0x0e);
  EXPECT (&box, 0, 0, 0, 0, 0xaf, 0x02, 0, 0x00, 0x60, 0x00);
  COMMAND (&box, 0x13, 0x00, 0x4a, 0x11);
  COMMAND (&box, 0x94);
  EXPECT (&box, 0x10);
  out8 (&box.host, DSR, 0x80);
  fake_host_run (&box.host, MS);
  COMMAND (&box, 0x0e);
  EXPECT (&box, 0, 0, 0, 0, 0xaf, 0x02, 0, 0x80, 0x4a, 0x11);
  COMMAND (&box, 0x14);
  EXPECT (&box, 0x00);
  box_end (&box);
}

static void
test_perpendicular_overwrite_bit (void)
{
  uint8_t bytes[10];
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x12, 0x87);
  COMMAND (&box, 0x0e);
  result (&box, bytes, 10);
  g_assert_cmphex (bytes[7], ==, 0x07);
  COMMAND (&box, 0x12, 0x38);
  COMMAND (&box, 0x0e);
  result (&box, bytes, 10);
  g_assert_cmphex (bytes[7], ==, 0x04);
  box_end (&box);
}

static void
test_sense_drive (void)
{
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x04, 0x04);
  EXPECT (&box, 0x3c);
  seek_to (&box, 3);
  box.image->parent.read_only = true;
  COMMAND (&box, 0x04, 0x00);
  EXPECT (&box, 0x68);
  COMMAND (&box, 0x04, 0x01);
  EXPECT (&box, 0x29);
  box_end (&box);
}

static void
test_sense_interrupt_without_reason_is_invalid (void)
{
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x80);
  box_end (&box);
}

static void
test_seek_sets_drive_busy (void)
{
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x0f, 0x04, 40);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x81);
  fake_host_run (&box.host, 20 * MS);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x80);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x24, 40);
  box_end (&box);
}

static void
test_overlapped_seeks (void)
{
  Box box;

  box_begin (&box);
  fdc_set_drive (box.fdc, 1, FLOPPY_DRIVE_1440K);
  COMMAND (&box, 0x0f, 0x00, 10);
  COMMAND (&box, 0x0f, 0x01, 20);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x83);
  fake_host_run (&box.host, 20 * MS);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x20, 10);
  g_assert_true (box.line.level);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x21, 20);
  g_assert_false (box.line.level);
  box_end (&box);
}

static void
test_relative_seek (void)
{
  Box box;

  box_begin (&box);
  seek_to (&box, 10);
  COMMAND (&box, 0xcf, 0x00, 5);
  fake_host_run (&box.host, 20 * MS);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x20, 15);
  COMMAND (&box, 0x8f, 0x00, 12);
  fake_host_run (&box.host, 20 * MS);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x20, 3);
  COMMAND (&box, 0x4a, 0x00);
  fake_host_run (&box.host, 5 * MS);
  g_assert_cmphex (in8 (&box.host, FIFO), ==, 0x00);
  in8 (&box.host, FIFO);
  in8 (&box.host, FIFO);
  g_assert_cmpuint (in8 (&box.host, FIFO), ==, 3);
  box_end (&box);
}

static void
test_recalibrate_absent_drive_is_equipment_check (void)
{
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x07, 0x01);
  fake_host_run (&box.host, 20 * MS);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x71, 0x00);
  box_end (&box);
}

static void
test_recalibrate_gives_79_steps (void)
{
  Box box;

  box_begin (&box);
  seek_to (&box, 82);
  COMMAND (&box, 0x07, 0x00);
  fake_host_run (&box.host, 20 * MS);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x70, 0x00);
  COMMAND (&box, 0x07, 0x00);
  fake_host_run (&box.host, 20 * MS);
  COMMAND (&box, 0x08);
  EXPECT (&box, 0x20, 0x00);
  box_end (&box);
}

static void
test_disk_change_line (void)
{
  Box box;

  box_begin (&box);
  /* Recalibrating at track 0 makes no step pulse. */
  g_assert_cmphex (in8 (&box.host, DIR_PORT), ==, 0x80);
  seek_to (&box, 1);
  g_assert_cmphex (in8 (&box.host, DIR_PORT), ==, 0x00);
  g_assert_cmpint (fdc_insert (box.fdc, 0, NULL), ==, 0);
  g_assert_cmphex (in8 (&box.host, DIR_PORT), ==, 0x80);
  seek_to (&box, 0);
  g_assert_cmphex (in8 (&box.host, DIR_PORT), ==, 0x80);
  box_insert (&box, 0, 1440 << 10);
  g_assert_cmphex (in8 (&box.host, DIR_PORT), ==, 0x80);
  seek_to (&box, 1);
  g_assert_cmphex (in8 (&box.host, DIR_PORT), ==, 0x00);
  /* The latch belongs to the drive that DOR selects; no drive, no line. */
  out8 (&box.host, DOR, 0x1d);
  g_assert_cmphex (in8 (&box.host, DIR_PORT), ==, 0x00);
  box_end (&box);
}

static void
test_insert_errors (void)
{
  FakeBlock *big = fake_block_new (FDC_MAX_IMAGE_BYTES + 512, 0);
  bool closed = false;
  Box box;

  box_begin (&box);
  g_assert_cmpint (fdc_insert (box.fdc, 0, &big->parent), ==, -EINVAL);
  g_assert_cmpint (fdc_insert (box.fdc, 1, NULL), ==, -EINVAL);
  g_assert_cmpint (fdc_insert (box.fdc, 2, NULL), ==, -EINVAL);
  block_close (&big->parent);
  box.image->closed = &closed;
  g_assert_cmpint (fdc_insert (box.fdc, 0, NULL), ==, 0);
  g_assert_true (closed);
  box_end (&box);
}

/* ---------------------------------------------------------------- data by DMA */

static void
test_read_by_dma (void)
{
  Box box;

  box_begin (&box);
  seek_to (&box, 2);
  dma_program (&box, 3 * 512);
  COMMAND (&box, 0xe6, 0x04, 2, 1, 4, 2, 18, 0x1b, 0xff);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x10);
  fake_host_run (&box.host, 5 * MS);
  g_assert_true (box.line.level);
  g_assert_cmpuint (box.dma.channel, ==, 2);
  g_assert_false (box.dma.request);
  EXPECT (&box, 0x04, 0, 0, 2, 1, 7, 2);
  g_assert_false (box.line.level);
  g_assert_cmpmem (box.dma.memory, 3 * 512, image_sector (&box, 2, 1, 4), 3 * 512);
  box_end (&box);
}

static void
test_write_by_dma (void)
{
  Box box;

  box_begin (&box);
  for (unsigned i = 0; i < 1024; i++)
    box.dma.memory[i] = (uint8_t) (i * 3 + 1);
  dma_program (&box, 1024);
  COMMAND (&box, 0xc5, 0x00, 0, 0, 17, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 5 * MS);
  /* EOT and terminal count together: the next ID is on the other head (table of 5.1.1). */
  EXPECT (&box, 0x00, 0, 0, 0, 1, 1, 2);
  g_assert_cmpmem (image_sector (&box, 0, 0, 17), 1024, box.dma.memory, 1024);
  box_end (&box);
}

static void
test_result_ids (void)
{
  static const struct { uint8_t first, head, r, st[4]; } rows[] = {
    { 0x46, 0x00, 5,  { 0, 0, 6, 2 } },  { 0x46, 0x00, 18, { 1, 0, 1, 2 } },
    { 0x46, 0x04, 5,  { 0, 1, 6, 2 } },  { 0x46, 0x04, 18, { 1, 1, 1, 2 } },
    { 0xc6, 0x00, 5,  { 0, 0, 6, 2 } },  { 0xc6, 0x00, 18, { 0, 1, 1, 2 } },
    { 0xc6, 0x04, 5,  { 0, 1, 6, 2 } },  { 0xc6, 0x04, 18, { 1, 0, 1, 2 } },
  };
  uint8_t got[7];
  Box box;

  box_begin (&box);
  for (unsigned i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      dma_program (&box, 512);
      COMMAND (&box, rows[i].first, rows[i].head, 0, rows[i].head >> 2, rows[i].r, 2, 18, 0x1b, 0xff);
      fake_host_run (&box.host, 5 * MS);
      result (&box, got, 7);
      g_assert_cmphex (got[0], ==, rows[i].head);
      g_assert_cmpmem (got + 3, 4, rows[i].st, 4);
    }
  box_end (&box);
}

static void
test_multi_track_crosses_heads (void)
{
  Box box;

  box_begin (&box);
  dma_program (&box, 36 * 512);
  COMMAND (&box, 0xe6, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x04, 0, 0, 1, 0, 1, 2);
  g_assert_cmpmem (box.dma.memory, 36 * 512, box.image->bytes, 36 * 512);
  box_end (&box);
}

static void
test_end_of_cylinder_without_terminal_count (void)
{
  Box box;

  box_begin (&box);
  dma_program (&box, 65536);
  COMMAND (&box, 0x66, 0x00, 0, 0, 17, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x80, 0, 1, 0, 1, 2);
  g_assert_cmpuint (box.dma.position, ==, 1024);
  box_end (&box);
}

static void
test_terminal_count_inside_a_sector (void)
{
  static const uint8_t zero[412];
  Box box;

  box_begin (&box);
  memset (box.dma.memory, 0xa5, sizeof box.dma.memory);
  dma_program (&box, 100);
  COMMAND (&box, 0x45, 0x00, 0, 0, 3, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 5 * MS);
  EXPECT (&box, 0x00, 0, 0, 0, 0, 4, 2);
  g_assert_cmpmem (image_sector (&box, 0, 0, 3), 100, box.dma.memory, 100);
  g_assert_cmpmem (image_sector (&box, 0, 0, 3) + 100, 412, zero, 412);
  box_end (&box);
}

static void
test_sector_not_found (void)
{
  Box box;

  box_begin (&box);
  dma_program (&box, 512);
  COMMAND (&box, 0x46, 0x00, 0, 0, 19, 2, 20, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x04, 0, 0, 0, 19, 2);
  COMMAND (&box, 0x46, 0x00, 0, 0, 0, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x04, 0, 0, 0, 0, 2);
  /* ID of the other size, ID of the other head. */
  COMMAND (&box, 0x46, 0x00, 0, 0, 1, 3, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x04, 0, 0, 0, 1, 3);
  COMMAND (&box, 0x46, 0x00, 0, 1, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x04, 0, 0, 1, 1, 2);
  g_assert_cmpuint (box.dma.n_calls, ==, 0);
  box_end (&box);
}

static void
test_wrong_cylinder (void)
{
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x46, 0x00, 5, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x04, 0x10, 5, 0, 1, 2);
  box_end (&box);
}

static void
test_implied_seek (void)
{
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x13, 0x00, 0x60, 0x00);
  dma_program (&box, 512);
  COMMAND (&box, 0x46, 0x00, 5, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x20, 0x00, 0x00, 5, 0, 2, 2);
  g_assert_cmpmem (box.dma.memory, 512, image_sector (&box, 5, 0, 1), 512);
  box_end (&box);
}

static void
test_wrong_rate_misses_address_marks (void)
{
  Box box;

  box_begin (&box);
  out8 (&box.host, CCR, 2);
  COMMAND (&box, 0x4a, 0x00);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x01, 0, 0, 0, 0, 0);
  out8 (&box.host, DSR, 0);
  COMMAND (&box, 0x0a, 0x00);
  fake_host_run (&box.host, 50 * MS);
  g_assert_cmphex (in8 (&box.host, FIFO), ==, 0x40);
  box_end (&box);
}

static void
test_single_sided_has_no_head_1 (void)
{
  Box box;

  box_begin_empty (&box);
  fdc_set_drive (box.fdc, 0, FLOPPY_DRIVE_360K);
  box_insert (&box, 0, 160 << 10);
  box_start (&box, 2);
  COMMAND (&box, 0x4a, 0x04);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x44, 0x01, 0, 0, 0, 0, 0);
  box_end (&box);
}

static void
test_double_step_in_high_density_drive (void)
{
  uint8_t got[7];
  Box box;

  box_begin_empty (&box);
  fdc_set_drive (box.fdc, 0, FLOPPY_DRIVE_1200K);
  box_insert (&box, 0, 360 << 10);
  box_start (&box, 1);
  seek_to (&box, 6);
  COMMAND (&box, 0x4a, 0x00);
  fake_host_run (&box.host, 50 * MS);
  result (&box, got, 7);
  g_assert_cmphex (got[0], ==, 0);
  g_assert_cmpuint (got[3], ==, 3);
  seek_to (&box, 7);
  COMMAND (&box, 0x4a, 0x00);
  fake_host_run (&box.host, 50 * MS);
  result (&box, got, 7);
  g_assert_cmphex (got[0], ==, 0x40);
  box_end (&box);
}

static void
test_read_id_follows_the_rotation (void)
{
  uint32_t seen = 0;
  uint8_t got[7];
  Box box;

  box_begin (&box);
  for (unsigned i = 0; i < 200; i++)
    {
      COMMAND (&box, 0x4a, 0x04);
      fake_host_run (&box.host, MS);
      result (&box, got, 7);
      g_assert_cmphex (got[0], ==, 0x04);
      g_assert_cmpuint (got[4], ==, 1);
      g_assert_cmpuint (got[5], >=, 1);
      g_assert_cmpuint (got[5], <=, 18);
      g_assert_cmpuint (got[6], ==, 2);
      seen |= 1u << got[5];
    }
  g_assert_cmpint (g_bit_nth_msf (seen, -1), >, 0);
  g_assert_cmphex (seen & (seen - 1), !=, 0);
  box_end (&box);
}

static void
test_write_protect (void)
{
  Box box;

  box_begin (&box);
  box.image->parent.read_only = true;
  dma_program (&box, 512);
  COMMAND (&box, 0x45, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x02, 0, 0, 0, 1, 2);
  COMMAND (&box, 0x4d, 0x00, 2, 18, 0x54, 0xf6);
  fake_host_run (&box.host, 50 * MS);
  g_assert_cmphex (in8 (&box.host, FIFO), ==, 0x40);
  g_assert_cmphex (in8 (&box.host, FIFO), ==, 0x02);
  g_assert_cmpuint (box.image->n_writes, ==, 0);
  box_end (&box);
}

static void
test_read_track (void)
{
  Box box;

  box_begin (&box);
  dma_program (&box, 18 * 512);
  COMMAND (&box, 0x42, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x00, 0, 0, 1, 0, 1, 2);
  g_assert_cmpmem (box.dma.memory, 18 * 512, box.image->bytes, 18 * 512);
  /* Another ID than wanted: read all the same, no data noted. */
  dma_program (&box, 512);
  COMMAND (&box, 0x42, 0x00, 0, 0, 7, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x00, 0x04, 0, 0, 0, 8, 2);
  g_assert_cmpmem (box.dma.memory, 512, box.image->bytes, 512);
  box_end (&box);
}

static void
test_verify (void)
{
  Box box;

  box_begin (&box);
  box.dma.masked = true;
  /* Without EC: to EOT. */
  COMMAND (&box, 0x56, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x00, 0, 0, 1, 0, 1, 2);
  /* EC: SC sectors, over both heads. */
  COMMAND (&box, 0xd6, 0x80, 0, 0, 1, 2, 18, 0x1b, 20);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x04, 0, 0, 0, 1, 3, 2);
  /* More than there are. */
  COMMAND (&box, 0x56, 0x80, 0, 0, 1, 2, 20, 0x1b, 19);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x04, 0, 0, 0, 19, 2);
  g_assert_cmpuint (box.dma.n_calls, ==, 0);
  box_end (&box);
}

static void
test_deleted_data_marks (void)
{
  Box box;

  box_begin (&box);
  memset (box.dma.memory, 0x77, 512);
  dma_program (&box, 512);
  COMMAND (&box, 0x49, 0x00, 0, 0, 2, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 5 * MS);
  EXPECT (&box, 0x00, 0, 0, 0, 0, 3, 2);
  g_assert_cmphex (image_sector (&box, 0, 0, 2)[511], ==, 0x77);
  /* READ DATA, SK = 0: the sector is read, then the command ends with CM. */
  dma_program (&box, 3 * 512);
  COMMAND (&box, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 5 * MS);
  EXPECT (&box, 0x00, 0, 0x40, 0, 0, 2, 2);
  g_assert_cmpuint (box.dma.position, ==, 1024);
  /* SK = 1: skipped. */
  dma_program (&box, 2 * 512);
  COMMAND (&box, 0x66, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 5 * MS);
  EXPECT (&box, 0x00, 0, 0x40, 0, 0, 4, 2);
  g_assert_cmpmem (box.dma.memory + 512, 512, image_sector (&box, 0, 0, 3), 512);
  /* READ DELETED DATA reads it and stops at the normal one behind. */
  dma_program (&box, 3 * 512);
  COMMAND (&box, 0x4c, 0x00, 0, 0, 2, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 5 * MS);
  EXPECT (&box, 0x00, 0, 0x40, 0, 0, 3, 2);
  /* A normal write makes it normal again. */
  dma_program (&box, 512);
  COMMAND (&box, 0x45, 0x00, 0, 0, 2, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 5 * MS);
  EXPECT (&box, 0x00, 0, 0, 0, 0, 3, 2);
  dma_program (&box, 512);
  COMMAND (&box, 0x46, 0x00, 0, 0, 2, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 5 * MS);
  EXPECT (&box, 0x00, 0, 0x00, 0, 0, 3, 2);
  box_end (&box);
}

static void
scan (Box *box, uint8_t opcode, int difference, uint8_t wanted_st2)
{
  uint8_t got[7];

  memcpy (box->dma.memory, image_sector (box, 0, 0, 1), 512);
  box->dma.memory[100] = (uint8_t) (box->dma.memory[100] + difference);
  box->dma.memory[200] = 0xff;
  dma_program (box, 512);
  COMMAND (box, opcode, 0x00, 0, 0, 1, 2, 18, 0x1b, 1);
  fake_host_run (&box->host, 5 * MS);
  result (box, got, 7);
  g_assert_cmphex (got[0], ==, 0);
  g_assert_cmphex (got[2], ==, wanted_st2);
}

static void
test_scan (void)
{
  Box box;

  box_begin (&box);
  scan (&box, 0x51, 0, 0x08);
  scan (&box, 0x51, 1, 0x04);
  scan (&box, 0x51, -1, 0x04);
  scan (&box, 0x59, 0, 0x08);
  scan (&box, 0x59, 1, 0x00);           /* disk below host */
  scan (&box, 0x59, -1, 0x04);
  scan (&box, 0x5d, 0, 0x08);
  scan (&box, 0x5d, 1, 0x04);
  scan (&box, 0x5d, -1, 0x00);
  g_assert_cmpuint (box.image->n_writes, ==, 0);
  /* Found in the third sector, two by two. */
  memset (box.dma.memory, 0, 1024);
  memcpy (box.dma.memory + 1024, image_sector (&box, 0, 0, 5), 512);
  dma_program (&box, 4096);
  COMMAND (&box, 0x51, 0x00, 0, 0, 1, 2, 18, 0x1b, 2);
  fake_host_run (&box.host, 5 * MS);
  EXPECT (&box, 0x00, 0x00, 0x08, 0, 0, 6, 2);
  /* Not found up to EOT. */
  memset (box.dma.memory, 0, 4096);
  dma_program (&box, 4096);
  COMMAND (&box, 0x51, 0x00, 0, 0, 1, 2, 4, 0x1b, 2);
  fake_host_run (&box.host, 5 * MS);
  EXPECT (&box, 0x00, 0x00, 0x04, 1, 0, 1, 2);
  box_end (&box);
}

static void
test_format_track (void)
{
  uint8_t filler[512];
  Box box;

  box_begin (&box);
  seek_to (&box, 1);
  for (unsigned i = 0; i < 18; i++)
    memcpy (box.dma.memory + i * 4, (uint8_t[]) { 1, 1, (uint8_t) (18 - i), 2 }, 4);
  dma_program (&box, 18 * 4);
  COMMAND (&box, 0x4d, 0x04, 2, 18, 0x54, 0xf6);
  fake_host_run (&box.host, 20 * MS);
  g_assert_cmphex (in8 (&box.host, FIFO), ==, 0x04);
  memset (filler, 0xf6, sizeof filler);
  for (unsigned r = 1; r <= 18; r++)
    g_assert_cmpmem (image_sector (&box, 1, 1, r), 512, filler, 512);
  g_assert_cmphex (image_sector (&box, 1, 0, 18)[0], !=, 0xf6);
  g_assert_cmphex (image_sector (&box, 2, 0, 1)[0], !=, 0xf6);
  box_end (&box);
}

static void
test_format_other_layout_changes_nothing (void)
{
  Box box;

  box_begin (&box);
  for (unsigned i = 0; i < 18; i++)
    memcpy (box.dma.memory + i * 4, (uint8_t[]) { 7, 0, (uint8_t) (100 + i), 2 }, 4);
  dma_program (&box, 18 * 4);
  COMMAND (&box, 0x4d, 0x00, 2, 18, 0x54, 0xf6);
  fake_host_run (&box.host, 20 * MS);
  g_assert_cmphex (in8 (&box.host, FIFO), ==, 0x00);
  g_assert_cmpuint (box.image->n_writes, ==, 0);
  box_end (&box);
}

static void
test_masked_dma_is_overrun (void)
{
  Box box;

  box_begin (&box);
  box.dma.masked = true;
  COMMAND (&box, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 100 * MS);
  EXPECT (&box, 0x40, 0x10, 0, 0, 0, 1, 2);
  g_assert_cmpuint (box.dma.n_calls, <, 50);
  g_assert_false (box.dma.request);
  box_end (&box);
}

static void
test_read_error (void)
{
  Box box;

  box_begin (&box);
  box.image->read_error = -EIO;
  box.image->fail_from = 2 * 512;
  box.image->fail_to = 3 * 512;
  dma_program (&box, 4 * 512);
  COMMAND (&box, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x20, 0x20, 0, 0, 3, 2);
  g_assert_cmpuint (box.dma.position, ==, 1024);
  box_end (&box);
}

static void
count_full (void *data)
{
  (*(unsigned *) data)++;
}

static void
test_host_disk_full_waits_and_retries (void)
{
  unsigned n_full = 0;
  Box box;

  box_begin (&box);
  fdc_set_full_handler (box.fdc, count_full, &n_full);
  memset (box.dma.memory, 0x33, 512);
  dma_program (&box, 512);
  box.image->write_error = -ENOSPC;
  COMMAND (&box, 0x45, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 100 * MS);
  g_assert_cmpuint (n_full, ==, 1);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x10);
  fdc_retry (box.fdc);
  fake_host_run (&box.host, 10 * MS);
  g_assert_cmpuint (n_full, ==, 2);
  box.image->write_error = 0;
  fdc_retry (box.fdc);
  fake_host_run (&box.host, 10 * MS);
  EXPECT (&box, 0x00, 0, 0, 0, 0, 2, 2);
  g_assert_cmphex (box.image->bytes[0], ==, 0x33);
  /* Without anybody to ask, it is an error. */
  fdc_set_full_handler (box.fdc, NULL, NULL);
  box.image->write_error = -ENOSPC;
  dma_program (&box, 512);
  COMMAND (&box, 0x45, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 100 * MS);
  EXPECT (&box, 0x40, 0x20, 0x20, 0, 0, 1, 2);
  box_end (&box);
}

/* ---------------------------------------------------------------- programmed I/O */

static void
test_read_without_dma (void)
{
  uint8_t bytes[1024];
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x03, 0xaf, 0x03);
  COMMAND (&box, 0x46, 0x00, 0, 0, 17, 2, 18, 0x1b, 0xff);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x30);
  for (unsigned s = 0; s < 2; s++)
    {
      fake_host_run (&box.host, MS);
      g_assert_true (box.line.level);
      for (unsigned i = 0; i < 512; i++)
        {
          g_assert_cmphex (in8 (&box.host, MSR), ==, 0xf0);
          bytes[s * 512 + i] = in8 (&box.host, FIFO);
        }
    }
  g_assert_cmpmem (bytes, 1024, image_sector (&box, 0, 0, 17), 1024);
  fake_host_run (&box.host, MS);
  /* No terminal count pin in this mode: the end is always end of cylinder. */
  EXPECT (&box, 0x40, 0x80, 0, 1, 0, 1, 2);
  g_assert_cmpuint (box.dma.n_calls, ==, 0);
  box_end (&box);
}

static void
test_write_without_dma (void)
{
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x03, 0xaf, 0x03);
  COMMAND (&box, 0x45, 0x00, 0, 0, 18, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, MS);
  for (unsigned i = 0; i < 512; i++)
    {
      g_assert_cmphex (in8 (&box.host, MSR), ==, 0xb0);
      out8 (&box.host, FIFO, (uint8_t) (i ^ 0x5a));
    }
  fake_host_run (&box.host, MS);
  EXPECT (&box, 0x40, 0x80, 0, 1, 0, 1, 2);
  for (unsigned i = 0; i < 512; i++)
    g_assert_cmphex (image_sector (&box, 0, 0, 18)[i], ==, (uint8_t) (i ^ 0x5a));
  box_end (&box);
}

static void
test_interrupt_per_byte_without_fifo (void)
{
  unsigned rises;
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x03, 0xaf, 0x03);
  COMMAND (&box, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, MS);
  rises = box.line.n_rises;
  for (unsigned i = 0; i < 10; i++)
    in8 (&box.host, FIFO);
  g_assert_cmpuint (box.line.n_rises - rises, ==, 10);
  box_end (&box);

  /* With the FIFO at threshold 8: every 8 bytes. */
  box_begin (&box);
  COMMAND (&box, 0x13, 0x00, 0x08, 0x00);
  COMMAND (&box, 0x03, 0xaf, 0x03);
  COMMAND (&box, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, MS);
  rises = box.line.n_rises;
  for (unsigned i = 0; i < 80; i++)
    in8 (&box.host, FIFO);
  g_assert_cmpuint (box.line.n_rises - rises, ==, 10);
  box_end (&box);
}

/* ---------------------------------------------------------------- formats in drives */

static void
test_every_format_reads_its_last_sector (void)
{
  static const struct { uint32_t k; FloppyDriveKind kind; uint8_t rate, c, h, r, step; } rows[] = {
    { 160, FLOPPY_DRIVE_360K, 2, 39, 0, 8, 1 },   { 180, FLOPPY_DRIVE_360K, 2, 39, 0, 9, 1 },
    { 320, FLOPPY_DRIVE_360K, 2, 39, 1, 8, 1 },   { 360, FLOPPY_DRIVE_360K, 2, 39, 1, 9, 1 },
    { 360, FLOPPY_DRIVE_1200K, 1, 39, 1, 9, 2 },  { 720, FLOPPY_DRIVE_720K, 2, 79, 1, 9, 1 },
    { 720, FLOPPY_DRIVE_1440K, 2, 79, 1, 9, 1 },  { 1200, FLOPPY_DRIVE_1200K, 0, 79, 1, 15, 1 },
    { 1440, FLOPPY_DRIVE_1440K, 0, 79, 1, 18, 1 }, { 1680, FLOPPY_DRIVE_1440K, 0, 79, 1, 21, 1 },
    { 1743, FLOPPY_DRIVE_1440K, 0, 82, 1, 21, 1 }, { 2880, FLOPPY_DRIVE_2880K, 3, 79, 1, 36, 1 },
  };
  Box box;

  for (unsigned i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      uint8_t got[7];

      box_begin_empty (&box);
      fdc_set_drive (box.fdc, 0, rows[i].kind);
      box_insert (&box, 0, rows[i].k << 10);
      box_start (&box, rows[i].rate);
      seek_to (&box, (uint8_t) (rows[i].c * rows[i].step));
      dma_program (&box, 512);
      COMMAND (&box, 0x46, (uint8_t) (rows[i].h << 2), rows[i].c, rows[i].h, rows[i].r, 2, rows[i].r, 0x1b, 0xff);
      fake_host_run (&box.host, 50 * MS);
      result (&box, got, 7);
      g_assert_cmphex (got[0] & 0xf8, ==, 0);
      g_assert_cmpmem (box.dma.memory, 512, box.image->bytes + (rows[i].k << 10) - 512, 512);
      box_end (&box);
    }
}

static void
test_1024_byte_sectors (void)
{
  Box box;

  box_begin_empty (&box);
  fdc_set_drive (box.fdc, 0, FLOPPY_DRIVE_1440K);
  box_insert (&box, 0, 77 * 2 * 8 * 1024);
  box_start (&box, 0);
  dma_program (&box, 8192);
  COMMAND (&box, 0x46, 0x00, 0, 0, 1, 3, 8, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x00, 0, 0, 1, 0, 1, 3);
  g_assert_cmpmem (box.dma.memory, 8192, box.image->bytes, 8192);
  box_end (&box);
}

static void
test_short_image_reads_zero_at_the_end (void)
{
  static const uint8_t zero[512];
  Box box;

  box_begin_empty (&box);
  fdc_set_drive (box.fdc, 0, FLOPPY_DRIVE_1440K);
  box_insert (&box, 0, (1300 << 10) + 100);
  box_start (&box, 0);
  seek_to (&box, 79);
  memset (box.dma.memory, 1, 512);
  dma_program (&box, 512);
  COMMAND (&box, 0x46, 0x00, 79, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x00, 0, 0, 79, 0, 2, 2);
  g_assert_cmpmem (box.dma.memory, 512, zero, 512);
  dma_program (&box, 512);
  COMMAND (&box, 0x45, 0x00, 79, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 50 * MS);
  EXPECT (&box, 0x40, 0x20, 0x20, 79, 0, 1, 2);
  box_end (&box);
}

/* ---------------------------------------------------------------- saved state, old holes */

static void
test_state_in_the_middle_of_a_transfer (void)
{
  Box box, other;

  box_begin (&box);
  dma_program (&box, 18 * 512);
  COMMAND (&box, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, 1 * MS);
  g_assert_cmpuint (box.dma.position, >, 0);
  g_assert_cmpuint (box.dma.position, <, 18 * 512);

  box_begin (&other);
  clock_set_now (other.host.clock, clock_now_ns (box.host.clock));
  other.dma = box.dma;
  g_assert_cmpint (fake_copy_state (fdc_device (box.fdc), fdc_device (other.fdc)), >, 0);
  fake_host_run (&other.host, 10 * MS);
  EXPECT (&other, 0x00, 0, 0, 1, 0, 1, 2);
  g_assert_cmpmem (other.dma.memory, 18 * 512, other.image->bytes, 18 * 512);
  box_end (&other);
  box_end (&box);
}

static void
test_state_refuses_lies (void)
{
  StateBuffer buffer = { 0 };
  unsigned refused = 0;
  Box box;

  box_begin (&box);
  COMMAND (&box, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  state_save (fdc_device (box.fdc)->klass->state, box.fdc, &buffer);
  for (size_t i = 0; i < buffer.length; i++)
    {
      uint8_t old = buffer.bytes[i];

      if (i > 700 && i % 97)
        continue;
      buffer.bytes[i] ^= 0xff;
      if (state_restore (fdc_device (box.fdc)->klass->state, box.fdc, buffer.bytes, buffer.length) < 0)
        {
          refused++;
          fdc_device (box.fdc)->klass->reset (fdc_device (box.fdc));
        }
      /* Whatever was accepted must run without harm. */
      for (unsigned n = 0; n < 1100; n++)
        {
          in8 (&box.host, FIFO);
          out8 (&box.host, FIFO, (uint8_t) n);
        }
      fake_host_run (&box.host, 2 * MS);
      buffer.bytes[i] = old;
    }
  g_assert_cmpuint (refused, >, 100);
  state_buffer_clear (&buffer);
  box_end (&box);
}

static void
test_reset_aborts_transfer (void)
{
  Box box;

  box_begin (&box);
  memset (box.dma.memory, 0xee, 65536);
  dma_program (&box, 18 * 512);
  COMMAND (&box, 0x45, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  out8 (&box.host, DOR, 0x18);
  out8 (&box.host, DOR, 0x1c);
  fake_host_run (&box.host, 50 * MS);
  g_assert_cmpuint (box.image->n_writes, ==, 0);
  g_assert_cmphex (in8 (&box.host, MSR), ==, 0x80);
  box_end (&box);
}

/* VENOM: parameter bytes of some commands were counted without a bound. */
static void
test_cve_2015_3456_fifo_index (void)
{
  Box box;

  box_begin (&box);
  for (unsigned first = 0; first < 256; first++)
    {
      for (unsigned i = 0; i < 3000; i++)
        out8 (&box.host, FIFO, i ? (uint8_t) (first ^ i) : (uint8_t) first);
      for (unsigned i = 0; i < 600; i++)
        in8 (&box.host, FIFO);
      fake_host_run (&box.host, MS);
    }
  out8 (&box.host, DOR, 0x08);
  out8 (&box.host, DOR, 0x0c);
  fake_host_run (&box.host, MS);
  COMMAND (&box, 0x10);
  EXPECT (&box, 0x90);
  box_end (&box);
}

/* A command for a drive without a disk went through a null pointer. */
static void
test_cve_2021_20196_no_medium (void)
{
  Box box;

  box_begin (&box);
  fdc_set_drive (box.fdc, 1, FLOPPY_DRIVE_1440K);
  for (unsigned unit = 1; unit < 4; unit++)
    for (unsigned first = 0; first < 256; first++)
      {
        out8 (&box.host, DOR, (uint8_t) (0x1c | unit));
        out8 (&box.host, FIFO, (uint8_t) first);
        for (unsigned i = 0; i < 8 && (in8 (&box.host, MSR) & 0xd0) == 0x90; i++)
          out8 (&box.host, FIFO, (uint8_t) (i == 0 ? unit : i == 3 ? 1 : 2));
        fake_host_run (&box.host, 50 * MS);
        for (unsigned i = 0; i < 2000 && (in8 (&box.host, MSR) & 0x10); i++)
          {
            if ((in8 (&box.host, MSR) & 0xc0) == 0xc0)
              in8 (&box.host, FIFO);
            else
              out8 (&box.host, FIFO, 0);
            if (i % 256 == 0)
              fake_host_run (&box.host, 50 * MS);
          }
        g_assert_cmphex (in8 (&box.host, MSR) & 0x90, ==, 0x80);
      }
  /* And a disk pulled out in the middle of a write. */
  dma_program (&box, 18 * 512);
  COMMAND (&box, 0x45, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
  fake_host_run (&box.host, MS / 2);
  g_assert_cmpint (fdc_insert (box.fdc, 0, NULL), ==, 0);
  fake_host_run (&box.host, 50 * MS);
  g_assert_cmphex (in8 (&box.host, FIFO), ==, 0x40);
  g_assert_cmphex (in8 (&box.host, FIFO) & 0x01, ==, 0x01);
  box_end (&box);
}

/* The DMA length was computed from EOT - R and could be negative or larger than the buffer. */
static void
test_cve_2021_3507_dma_length (void)
{
  static const uint8_t numbers[] = { 0, 1, 2, 17, 18, 19, 127, 128, 254, 255 };
  Box box;

  box_begin (&box);
  for (unsigned r = 0; r < sizeof numbers; r++)
    for (unsigned eot = 0; eot < sizeof numbers; eot++)
      for (unsigned n = 0; n < sizeof numbers; n++)
        {
          uint8_t first = (uint8_t) (n & 1 ? 0xc6 : 0xc5);

          dma_program (&box, sizeof box.dma.memory);
          COMMAND (&box, first, 0x00, 0, 0, numbers[r], numbers[n], numbers[eot], 0x1b, numbers[n]);
          fake_host_run (&box.host, 60 * MS);
          g_assert_cmpuint (box.dma.position, <=, 36 * 512);
          for (unsigned i = 0; i < 7; i++)
            in8 (&box.host, FIFO);
          g_assert_cmphex (in8 (&box.host, MSR), ==, 0x80);
        }
  box_end (&box);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fdc/geometry-table", test_geometry);
  g_test_add_func ("/fdc/power-on-holds-reset", test_power_on_holds_reset);
  g_test_add_func ("/fdc/dor-reset-interrupts-and-polls", test_dor_reset_interrupts_and_polls);
  g_test_add_func ("/fdc/dsr-reset-clears-itself", test_dsr_reset_clears_itself);
  g_test_add_func ("/fdc/dma-gate-blocks-interrupt", test_dma_gate_blocks_interrupt);
  g_test_add_func ("/fdc/tdr-holds-two-bits", test_tdr_holds_two_bits);
  g_test_add_func ("/fdc/msr-busy-while-command-bytes-come", test_msr_busy_while_command_bytes_come);
  g_test_add_func ("/fdc/ports-of-others-are-left-alone", test_ports_of_others_are_left_alone);
  g_test_add_func ("/fdc/version", test_version);
  g_test_add_func ("/fdc/invalid-command", test_invalid_command);
  g_test_add_func ("/fdc/configure-lock-and-dumpreg", test_configure_lock_and_dumpreg);
  g_test_add_func ("/fdc/perpendicular-overwrite-bit", test_perpendicular_overwrite_bit);
  g_test_add_func ("/fdc/sense-drive", test_sense_drive);
  g_test_add_func ("/fdc/sense-interrupt-without-reason-is-invalid", test_sense_interrupt_without_reason_is_invalid);
  g_test_add_func ("/fdc/seek-sets-drive-busy", test_seek_sets_drive_busy);
  g_test_add_func ("/fdc/overlapped-seeks", test_overlapped_seeks);
  g_test_add_func ("/fdc/relative-seek", test_relative_seek);
  g_test_add_func ("/fdc/recalibrate-absent-drive-is-equipment-check", test_recalibrate_absent_drive_is_equipment_check);
  g_test_add_func ("/fdc/recalibrate-gives-79-steps", test_recalibrate_gives_79_steps);
  g_test_add_func ("/fdc/disk-change-line", test_disk_change_line);
  g_test_add_func ("/fdc/insert-errors", test_insert_errors);
  g_test_add_func ("/fdc/read-by-dma", test_read_by_dma);
  g_test_add_func ("/fdc/write-by-dma", test_write_by_dma);
  g_test_add_func ("/fdc/result-ids", test_result_ids);
  g_test_add_func ("/fdc/multi-track-crosses-heads", test_multi_track_crosses_heads);
  g_test_add_func ("/fdc/end-of-cylinder-without-terminal-count", test_end_of_cylinder_without_terminal_count);
  g_test_add_func ("/fdc/terminal-count-inside-a-sector", test_terminal_count_inside_a_sector);
  g_test_add_func ("/fdc/sector-not-found", test_sector_not_found);
  g_test_add_func ("/fdc/wrong-cylinder", test_wrong_cylinder);
  g_test_add_func ("/fdc/implied-seek", test_implied_seek);
  g_test_add_func ("/fdc/wrong-rate-misses-address-marks", test_wrong_rate_misses_address_marks);
  g_test_add_func ("/fdc/single-sided-has-no-head-1", test_single_sided_has_no_head_1);
  g_test_add_func ("/fdc/double-step-in-high-density-drive", test_double_step_in_high_density_drive);
  g_test_add_func ("/fdc/read-id-follows-the-rotation", test_read_id_follows_the_rotation);
  g_test_add_func ("/fdc/write-protect", test_write_protect);
  g_test_add_func ("/fdc/read-track", test_read_track);
  g_test_add_func ("/fdc/verify", test_verify);
  g_test_add_func ("/fdc/deleted-data-marks", test_deleted_data_marks);
  g_test_add_func ("/fdc/scan", test_scan);
  g_test_add_func ("/fdc/format-track", test_format_track);
  g_test_add_func ("/fdc/format-other-layout-changes-nothing", test_format_other_layout_changes_nothing);
  g_test_add_func ("/fdc/masked-dma-is-overrun", test_masked_dma_is_overrun);
  g_test_add_func ("/fdc/read-error", test_read_error);
  g_test_add_func ("/fdc/host-disk-full-waits-and-retries", test_host_disk_full_waits_and_retries);
  g_test_add_func ("/fdc/read-without-dma", test_read_without_dma);
  g_test_add_func ("/fdc/write-without-dma", test_write_without_dma);
  g_test_add_func ("/fdc/interrupt-per-byte-without-fifo", test_interrupt_per_byte_without_fifo);
  g_test_add_func ("/fdc/every-format-reads-its-last-sector", test_every_format_reads_its_last_sector);
  g_test_add_func ("/fdc/1024-byte-sectors", test_1024_byte_sectors);
  g_test_add_func ("/fdc/short-image-reads-zero-at-the-end", test_short_image_reads_zero_at_the_end);
  g_test_add_func ("/fdc/state-in-the-middle-of-a-transfer", test_state_in_the_middle_of_a_transfer);
  g_test_add_func ("/fdc/state-refuses-lies", test_state_refuses_lies);
  g_test_add_func ("/fdc/reset-aborts-transfer", test_reset_aborts_transfer);
  g_test_add_func ("/fdc/cve-2015-3456-fifo-index", test_cve_2015_3456_fifo_index);
  g_test_add_func ("/fdc/cve-2021-20196-no-medium", test_cve_2021_20196_no_medium);
  g_test_add_func ("/fdc/cve-2021-3507-dma-length", test_cve_2021_3507_dma_length);
  return g_test_run ();
}
