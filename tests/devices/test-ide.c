/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ATA channel, disks and the PIIX3's bus masters, one test per documented behaviour (ATA/ATAPI-6, 290550, SFF-8038i). */
#include "fake-ide.h"

enum { DISK_BYTES = 8 << 20, N_SECTORS = DISK_BYTES / 512 };

static void
box_begin (IdeBox *box)
{
  ide_box_begin (box);
  ide_box_disk (box, 0, DISK_BYTES, DISK_BYTES);
}

static const uint8_t *
disk_sector (IdeBox *box, uint64_t sector)
{
  return box->image->bytes + sector * 512;
}

static void
identify (IdeBox *box, uint16_t *ret_words)
{
  ata_begin (box, 0xec, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (box), ==, 0x58);
  ata_read_words (box, ret_words, 512);
}

/* ---------------------------------------------------------------- registers, selection, resets */

static void
test_signature_after_power_on (void)
{
  IdeBox box;

  box_begin (&box);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x01);
  g_assert_cmphex (in8 (&box.host, ATA_COUNT), ==, 0x01);
  g_assert_cmphex (in8 (&box.host, ATA_LOW), ==, 0x01);
  g_assert_cmphex (in8 (&box.host, ATA_MID), ==, 0x00);
  g_assert_cmphex (in8 (&box.host, ATA_HIGH), ==, 0x00);
  ide_box_end (&box);
}

static void
test_software_reset (void)
{
  IdeBox box;

  box_begin (&box);
  out8 (&box.host, ATA_MID, 0x55);
  out8 (&box.host, ATA_CONTROL, 0x04);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x80);
  fake_host_run (&box.host, 5 * MS);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x80);
  out8 (&box.host, ATA_CONTROL, 0x00);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x80);
  fake_host_run (&box.host, 5 * MS);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x01);
  g_assert_cmphex (in8 (&box.host, ATA_MID), ==, 0x00);
  g_assert_cmpuint (box.line[0].n_rises, ==, 0);
  ide_box_end (&box);
}

static void
test_diagnostic_is_for_both (void)
{
  FakeBlock *second = fake_block_new (1 << 20, 0);
  IdeBox box;

  box_begin (&box);
  g_assert_cmpint (ide_attach_disk (box.channel[0], 1, &second->parent, NULL), ==, 0);
  out8 (&box.host, ATA_DEVICE, 0xf0);
  out8 (&box.host, ATA_MID, 0x77);
  out8 (&box.host, ATA_COMMAND, 0x90);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmphex (in8 (&box.host, ATA_DEVICE) & 0x10, ==, 0);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x01);
  g_assert_cmphex (in8 (&box.host, ATA_MID), ==, 0x00);
  g_assert_cmpuint (box.line[0].n_rises, ==, 1);
  out8 (&box.host, ATA_DEVICE, 0xb0);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x01);
  g_assert_cmphex (in8 (&box.host, ATA_MID), ==, 0x00);
  ide_box_end (&box);
}

static void
test_absent_device_1 (void)
{
  IdeBox box;

  box_begin (&box);
  out8 (&box.host, ATA_DEVICE, 0xf0);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x00);
  g_assert_cmphex (in8 (&box.host, ATA_CONTROL), ==, 0x00);
  out8 (&box.host, ATA_COUNT, 0x55);
  g_assert_cmphex (in8 (&box.host, ATA_COUNT), ==, 0x55);
  out8 (&box.host, ATA_COMMAND, 0xec);
  g_assert_cmphex (ata_wait (&box), ==, 0x00);
  g_assert_cmpuint (box.line[0].n_rises, ==, 0);
  out8 (&box.host, ATA_DEVICE, 0xe0);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  ide_box_end (&box);
}

static void
test_empty_channel_floats (void)
{
  IdeBox box;

  box_begin (&box);
  for (uint16_t port = 0x171; port <= 0x177; port++)
    g_assert_cmphex (in8 (&box.host, port), ==, 0x7f);
  g_assert_cmphex (in8 (&box.host, 0x376), ==, 0x7f);
  out8 (&box.host, 0x177, 0xec);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, 0x177), ==, 0x7f);
  ide_box_end (&box);
}

static void
test_device_1_alone (void)
{
  IdeBox box;
  uint16_t words[256];

  ide_box_begin (&box);
  ide_box_disk (&box, 1, DISK_BYTES, 0);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x00);
  ata_begin (&box, 0xec, 0, 0, 0, 0xf0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, words, 512);
  g_assert_cmphex (words[93], ==, 0x6b00);
  ide_box_end (&box);
}

static void
test_both_drives_hear_registers (void)
{
  FakeBlock *second = fake_block_new (1 << 20, 0);
  IdeBox box;

  box_begin (&box);
  ide_attach_disk (box.channel[0], 1, &second->parent, NULL);
  out8 (&box.host, ATA_DEVICE, 0xe0);
  out8 (&box.host, ATA_LOW, 0x42);
  out8 (&box.host, ATA_DEVICE, 0xf0);
  g_assert_cmphex (in8 (&box.host, ATA_LOW), ==, 0x42);
  ide_box_end (&box);
}

static void
test_status_read_clears_interrupt (void)
{
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0xe5, 0, 0, 0, 0xe0);
  g_assert_cmphex (in8 (&box.host, ATA_CONTROL), ==, 0x80);
  fake_host_run (&box.host, MS);
  g_assert_true (box.line[0].level);
  g_assert_cmphex (in8 (&box.host, ATA_CONTROL), ==, 0x50);
  g_assert_true (box.line[0].level);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  g_assert_false (box.line[0].level);
  ide_box_end (&box);
}

static void
test_nien_gates_the_line (void)
{
  IdeBox box;

  box_begin (&box);
  out8 (&box.host, ATA_CONTROL, 0x02);
  ata_begin (&box, 0xe5, 0, 0, 0, 0xe0);
  fake_host_run (&box.host, MS);
  g_assert_false (box.line[0].level);
  out8 (&box.host, ATA_CONTROL, 0x00);
  g_assert_true (box.line[0].level);
  ide_box_end (&box);
}

static void
test_only_the_selected_drive_interrupts (void)
{
  FakeBlock *second = fake_block_new (1 << 20, 0);
  IdeBox box;

  box_begin (&box);
  ide_attach_disk (box.channel[0], 1, &second->parent, NULL);
  ata_begin (&box, 0xe5, 0, 0, 0, 0xe0);
  fake_host_run (&box.host, MS);
  g_assert_true (box.line[0].level);
  out8 (&box.host, ATA_DEVICE, 0xf0);
  g_assert_false (box.line[0].level);
  out8 (&box.host, ATA_DEVICE, 0xe0);
  g_assert_true (box.line[0].level);
  ide_box_end (&box);
}

static void
test_busy_drive_ignores_registers_and_commands (void)
{
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0xe5, 0, 0, 0, 0xe0);
  out8 (&box.host, ATA_LOW, 0x99);
  out8 (&box.host, ATA_COMMAND, 0xec);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmphex (in8 (&box.host, ATA_LOW), ==, 0x00);
  g_assert_cmphex (in8 (&box.host, ATA_COUNT), ==, 0xff);
  ide_box_end (&box);
}

static void
test_hob_shows_previous_content (void)
{
  IdeBox box;

  box_begin (&box);
  out8 (&box.host, ATA_LOW, 0x11);
  out8 (&box.host, ATA_LOW, 0x22);
  g_assert_cmphex (in8 (&box.host, ATA_LOW), ==, 0x22);
  out8 (&box.host, ATA_CONTROL, 0x80);
  g_assert_cmphex (in8 (&box.host, ATA_LOW), ==, 0x11);
  out8 (&box.host, ATA_COUNT, 0);
  g_assert_cmphex (in8 (&box.host, ATA_LOW), ==, 0x22);
  ide_box_end (&box);
}

static void
test_unknown_commands_abort (void)
{
  static const uint8_t unknown[] = { 0x00, 0x01, 0x08, 0x22, 0x23, 0x32, 0x50, 0x60, 0x87, 0xa0, 0xa1, 0xa2, 0xb1, 0xc0, 0xf1, 0xf5, 0xff };
  IdeBox box;

  box_begin (&box);
  for (unsigned i = 0; i < sizeof unknown; i++)
    {
      ata_begin (&box, unknown[i], 0, 1, 0, 0xe0);
      g_assert_cmphex (ata_wait (&box), ==, 0x51);
      g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x04);
    }
  ide_box_end (&box);
}

static void
test_decode_follows_the_piix (void)
{
  IdeBox box;

  box_begin (&box);
  pci_write (&box, 0x40, 2, 0x0000);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0xff);
  pci_write (&box, 0x40, 2, 0x8000);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  pci_write (&box, PCI_COMMAND, 2, 0);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0xff);
  ide_box_end (&box);
}

static void
test_attach_errors (void)
{
  FakeBlock *tiny = fake_block_new (511, 0), *good = fake_block_new (4096, 0);
  IdeDiskOptions bad = { .cylinders = 1, .heads = 17, .sectors = 63 };
  IdeBox box;

  box_begin (&box);
  g_assert_cmpint (ide_attach_disk (box.channel[0], 1, &tiny->parent, NULL), ==, -EINVAL);
  g_assert_cmpint (ide_attach_disk (box.channel[0], 2, &good->parent, NULL), ==, -EINVAL);
  g_assert_cmpint (ide_attach_disk (box.channel[0], 0, &good->parent, NULL), ==, -EEXIST);
  g_assert_cmpint (ide_attach_disk (box.channel[0], 1, &good->parent, &bad), ==, -EINVAL);
  g_assert_cmpint (ide_attach_cdrom (box.channel[0], 0, NULL, NULL), ==, -EEXIST);
  g_assert_null (ide_channel_drive (box.channel[0], 1));
  g_assert_cmpint (cdrom_insert (ide_channel_drive (box.channel[0], 0), NULL), ==, -EINVAL);
  block_close (&tiny->parent);
  block_close (&good->parent);
  ide_box_end (&box);
}

/* ---------------------------------------------------------------- IDENTIFY and settings */

static void
test_identify (void)
{
  IdeDiskOptions options = { .model = "A model", .serial = "S/N 1", .firmware = "2.5" };
  FakeBlock *disk = fake_block_new (20ull << 30, 0);
  uint8_t sum = 0;
  uint16_t words[256];
  IdeBox box;

  ide_box_begin (&box);
  g_assert_cmpint (ide_attach_disk (box.channel[0], 0, &disk->parent, &options), ==, 0);
  identify (&box, words);
  g_assert_cmphex (words[0], ==, 0x0040);
  g_assert_cmpuint (words[1], ==, 16383);
  g_assert_cmpuint (words[3], ==, 16);
  g_assert_cmpuint (words[6], ==, 63);
  g_assert_cmphex (words[27], ==, 'A' << 8 | ' ');
  g_assert_cmphex (words[28], ==, 'm' << 8 | 'o');
  g_assert_cmphex (words[46], ==, ' ' << 8 | ' ');
  g_assert_cmphex (words[10], ==, 'S' << 8 | '/');
  g_assert_cmphex (words[23], ==, '2' << 8 | '.');
  g_assert_cmphex (words[47], ==, 0x8010);
  g_assert_cmphex (words[49] & 0x0300, ==, 0x0300);
  g_assert_cmphex (words[53], ==, 7);
  g_assert_cmpuint (words[60] | (uint32_t) words[61] << 16, ==, 41943040);
  g_assert_cmpuint (words[100] | (uint32_t) words[101] << 16, ==, 41943040);
  g_assert_cmphex (words[83], ==, 0x7400);
  g_assert_cmphex (words[169], ==, 1);
  g_assert_cmphex (words[255] & 0xff, ==, 0xa5);
  for (unsigned i = 0; i < 512; i++)
    sum = (uint8_t) (sum + ((uint8_t *) words)[i]);
  g_assert_cmphex (sum, ==, 0);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  ide_box_end (&box);
}

static void
test_identify_large_disk (void)
{
  FakeBlock *disk = fake_block_new (3ull << 40, 0);
  uint16_t words[256];
  IdeBox box;

  ide_box_begin (&box);
  g_assert_cmpint (ide_attach_disk (box.channel[0], 0, &disk->parent, NULL), ==, 0);
  identify (&box, words);
  g_assert_cmphex (words[60] | (uint32_t) words[61] << 16, ==, 0x0fffffff);
  g_assert_cmphex (words[100] | (uint64_t) words[101] << 16 | (uint64_t) words[102] << 32, ==, 3ull << 31);
  ide_box_end (&box);
}

static void
test_set_features (void)
{
  static const uint8_t modes[] = { 0x00, 0x01, 0x08, 0x0c, 0x20, 0x22, 0x40, 0x45 };
  static const uint8_t bad_modes[] = { 0x02, 0x0d, 0x10, 0x23, 0x46, 0x80, 0xff };
  uint16_t words[256];
  IdeBox box;

  box_begin (&box);
  for (unsigned i = 0; i < sizeof modes; i++)
    {
      ata_begin (&box, 0xef, 0x03, modes[i], 0, 0xe0);
      g_assert_cmphex (ata_wait (&box), ==, 0x50);
    }
  identify (&box, words);
  g_assert_cmphex (words[88], ==, 0x203f);
  g_assert_cmphex (words[63], ==, 0x0007);
  for (unsigned i = 0; i < sizeof bad_modes; i++)
    {
      ata_begin (&box, 0xef, 0x03, bad_modes[i], 0, 0xe0);
      g_assert_cmphex (ata_wait (&box), ==, 0x51);
    }
  ata_begin (&box, 0xef, 0x82, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmpuint (box.image->n_flushes, ==, 1);
  ata_begin (&box, 0xef, 0x55, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  identify (&box, words);
  g_assert_cmphex (words[85] & 0x60, ==, 0);
  ata_begin (&box, 0xef, 0x42, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ide_box_end (&box);
}

static void
test_initialize_device_parameters (void)
{
  uint16_t words[256];
  uint8_t bytes[512];
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0x91, 0, 32, 0, 0xa7);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  identify (&box, words);
  g_assert_cmpuint (words[54], ==, N_SECTORS / (8 * 32));
  g_assert_cmpuint (words[55], ==, 8);
  g_assert_cmpuint (words[56], ==, 32);
  /* Cylinder 3, head 5, sector 7. */
  ata_begin (&box, 0x20, 0, 1, 3 << 8 | 7, 0xa5);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, bytes, 512);
  g_assert_cmpmem (bytes, 512, disk_sector (&box, (3 * 8 + 5) * 32 + 6), 512);
  ata_begin (&box, 0x91, 0, 0, 0, 0xa7);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ide_box_end (&box);
}

static void
test_chs_errors (void)
{
  IdeBox box;

  box_begin (&box);
  /* Sector 0, sector 64, cylinder beyond the end. */
  ata_begin (&box, 0x20, 0, 1, 0, 0xa0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x10);
  ata_begin (&box, 0x20, 0, 1, 64, 0xa0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ata_begin (&box, 0x20, 0, 1, 17 << 8 | 1, 0xa0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x10);
  ide_box_end (&box);
}

static void
test_power_modes (void)
{
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0xe5, 0, 0, 0, 0xe0);
  ata_wait (&box);
  g_assert_cmphex (in8 (&box.host, ATA_COUNT), ==, 0xff);
  ata_begin (&box, 0xe0, 0, 0, 0, 0xe0);
  ata_wait (&box);
  ata_begin (&box, 0x98, 0, 0, 0, 0xe0);
  ata_wait (&box);
  g_assert_cmphex (in8 (&box.host, ATA_COUNT), ==, 0x00);
  ata_begin (&box, 0xe1, 0, 0, 0, 0xe0);
  ata_wait (&box);
  ata_begin (&box, 0xe5, 0, 0, 0, 0xe0);
  ata_wait (&box);
  g_assert_cmphex (in8 (&box.host, ATA_COUNT), ==, 0x80);
  /* Asleep: only a reset wakes it. */
  ata_begin (&box, 0xe6, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin (&box, 0xec, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  out8 (&box.host, ATA_CONTROL, 0x04);
  out8 (&box.host, ATA_CONTROL, 0x00);
  fake_host_run (&box.host, MS);
  ata_begin (&box, 0xec, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ide_box_end (&box);
}

static void
test_read_and_write_buffer (void)
{
  uint8_t out[512], in[512];
  IdeBox box;

  box_begin (&box);
  for (unsigned i = 0; i < 512; i++)
    out[i] = (uint8_t) (i * 5);
  ata_begin (&box, 0xe8, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_write_words (&box, out, 512);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin (&box, 0xe4, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, in, 512);
  g_assert_cmpmem (in, 512, out, 512);
  g_assert_cmpuint (box.image->n_writes, ==, 0);
  ide_box_end (&box);
}

static void
test_set_max_address (void)
{
  uint16_t words[256];
  IdeBox box;

  box_begin (&box);
  /* Not after READ NATIVE MAX: aborted. */
  ata_begin (&box, 0xf9, 0, 0, 99, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ata_begin (&box, 0xf8, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmphex (in8 (&box.host, ATA_LOW), ==, 0xff);
  g_assert_cmphex (in8 (&box.host, ATA_MID), ==, 0x3f);
  g_assert_cmphex (in8 (&box.host, ATA_HIGH), ==, 0x00);
  ata_begin (&box, 0xf9, 0, 0, 99, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  identify (&box, words);
  g_assert_cmpuint (words[60], ==, 100);
  ata_begin (&box, 0x20, 0, 1, 100, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x10);
  /* A command in between forgets the permission; so does the last one. */
  ata_begin (&box, 0xf8, 0, 0, 0, 0xe0);
  ata_wait (&box);
  ata_begin (&box, 0xe5, 0, 0, 0, 0xe0);
  ata_wait (&box);
  ata_begin (&box, 0xf9, 0, 0, 99, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  /* Past the native end; a value kept over power off. */
  ata_begin (&box, 0xf8, 0, 0, 0, 0xe0);
  ata_wait (&box);
  ata_begin (&box, 0xf9, 0, 0, N_SECTORS, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ata_begin (&box, 0xf8, 0, 0, 0, 0xe0);
  ata_wait (&box);
  ata_begin (&box, 0xf9, 0, 1, 99, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  /* 48-bit pair. */
  ata_begin_ext (&box, 0x27, 0, 0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin_ext (&box, 0x37, 0, 199);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  identify (&box, words);
  g_assert_cmpuint (words[100], ==, 200);
  /* Power on gives the disk back. */
  ide_channel_device (box.channel[0])->klass->reset (ide_channel_device (box.channel[0]));
  identify (&box, words);
  g_assert_cmpuint (words[60], ==, N_SECTORS);
  ide_box_end (&box);
}

static void
test_smart (void)
{
  uint8_t bytes[512], sum = 0;
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0xb0, 0xda, 0, 0xc24f00, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmphex (in8 (&box.host, ATA_MID), ==, 0x4f);
  g_assert_cmphex (in8 (&box.host, ATA_HIGH), ==, 0xc2);
  ata_begin (&box, 0xb0, 0xd0, 0, 0xc24f00, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, bytes, 512);
  for (unsigned i = 0; i < 512; i++)
    sum = (uint8_t) (sum + bytes[i]);
  g_assert_cmphex (sum, ==, 0);
  /* Wrong key; disabled; enabled again. */
  ata_begin (&box, 0xb0, 0xda, 0, 0x000000, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ata_begin (&box, 0xb0, 0xd9, 0, 0xc24f00, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin (&box, 0xb0, 0xda, 0, 0xc24f00, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ata_begin (&box, 0xb0, 0xd8, 0, 0xc24f00, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin (&box, 0xb0, 0xda, 0, 0xc24f00, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin (&box, 0xb0, 0xd5, 1, 0xc24f01, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, bytes, 512);
  g_assert_cmphex (bytes[0], ==, 1);
  ide_box_end (&box);
}

/* ---------------------------------------------------------------- programmed I/O */

static void
test_read_sectors (void)
{
  uint8_t bytes[512];
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0x20, 0, 3, 0x1234, 0xe0);
  for (unsigned i = 0; i < 3; i++)
    {
      g_assert_cmphex (in8 (&box.host, ATA_CONTROL), ==, 0x80);
      fake_host_run (&box.host, MS);
      g_assert_true (box.line[0].level);
      g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x58);
      g_assert_false (box.line[0].level);
      ata_read_words (&box, bytes, 512);
      g_assert_cmpmem (bytes, 512, disk_sector (&box, 0x1234 + i), 512);
    }
  /* No interrupt after the last block. */
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  fake_host_run (&box.host, MS);
  g_assert_cmpuint (box.line[0].n_rises, ==, 3);
  g_assert_cmphex (in8 (&box.host, ATA_LOW), ==, 0x36);
  g_assert_cmphex (in8 (&box.host, ATA_COUNT), ==, 0x00);
  ide_box_end (&box);
}

static void
test_count_zero_is_256 (void)
{
  uint8_t bytes[512];
  unsigned n = 0;
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0x20, 0, 0, 0, 0xe0);
  while (ata_wait (&box) == 0x58 && n < 1000)
    {
      ata_read_words (&box, bytes, 512);
      g_assert_cmpmem (bytes, 512, disk_sector (&box, n), 512);
      n++;
    }
  g_assert_cmpuint (n, ==, 256);
  ide_box_end (&box);
}

static void
test_write_sectors (void)
{
  uint8_t bytes[1024];
  IdeBox box;

  box_begin (&box);
  for (unsigned i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t) (i * 11 + 3);
  ata_begin (&box, 0x30, 0, 2, 77, 0xe0);
  fake_host_run (&box.host, MS);
  /* The first block is asked for without interrupt. */
  g_assert_false (box.line[0].level);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x58);
  ata_write_words (&box, bytes, 512);
  g_assert_cmphex (in8 (&box.host, ATA_CONTROL), ==, 0x80);
  fake_host_run (&box.host, MS);
  g_assert_true (box.line[0].level);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x58);
  ata_write_words (&box, bytes + 512, 512);
  fake_host_run (&box.host, MS);
  g_assert_true (box.line[0].level);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  g_assert_cmpmem (disk_sector (&box, 77), 1024, bytes, 1024);
  g_assert_cmpuint (box.image->n_flushes, ==, 0);
  ide_box_end (&box);
}

static void
test_double_words_and_bytes_on_the_data_port (void)
{
  uint32_t words[128];
  uint8_t bytes[512];
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0x20, 0, 1, 5, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  for (unsigned i = 0; i < 128; i++)
    words[i] = bus_read_port (box.host.bus, ATA_DATA, 4);
  g_assert_cmpmem (words, 512, disk_sector (&box, 5), 512);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  /* Two bytes by word, then a double word across: the rest of the block after 127 of them and a word. */
  ata_begin (&box, 0x20, 0, 1, 6, 0xe0);
  ata_wait (&box);
  ata_read_words (&box, bytes, 2);
  for (unsigned i = 0; i < 128; i++)
    words[i] = bus_read_port (box.host.bus, ATA_DATA, 4);
  g_assert_cmphex (words[127] >> 16, ==, 0);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  /* A byte access moves a word and loses its upper half. */
  ata_begin (&box, 0x20, 0, 1, 7, 0xe0);
  ata_wait (&box);
  for (unsigned i = 0; i < 256; i++)
    g_assert_cmphex (in8 (&box.host, ATA_DATA), ==, disk_sector (&box, 7)[i * 2]);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  /* Nothing to move: zeros, and nothing happens. */
  g_assert_cmphex (in16 (&box.host, ATA_DATA), ==, 0);
  out16 (&box.host, ATA_DATA, 0x1234);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  ide_box_end (&box);
}

static void
test_read_multiple (void)
{
  uint8_t bytes[8 * 512];
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0xc6, 0, 8, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin (&box, 0xc4, 0, 11, 100, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, bytes, 8 * 512);
  g_assert_cmpmem (bytes, 8 * 512, disk_sector (&box, 100), 8 * 512);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, bytes, 3 * 512);
  g_assert_cmpmem (bytes, 3 * 512, disk_sector (&box, 108), 3 * 512);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  g_assert_cmpuint (box.line[0].n_rises, ==, 3);
  ide_box_end (&box);
}

static void
test_write_multiple (void)
{
  uint8_t bytes[6 * 512];
  IdeBox box;

  box_begin (&box);
  memset (bytes, 0x5c, sizeof bytes);
  ata_begin (&box, 0xc6, 0, 4, 0, 0xe0);
  ata_wait (&box);
  ata_begin (&box, 0xc5, 0, 6, 200, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_write_words (&box, bytes, 4 * 512);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_write_words (&box, bytes, 2 * 512);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmpmem (disk_sector (&box, 200), sizeof bytes, bytes, sizeof bytes);
  g_assert_cmphex (disk_sector (&box, 206)[0], !=, 0x5c);
  ide_box_end (&box);
}

static void
test_set_multiple_mode (void)
{
  uint16_t words[256];
  IdeBox box;

  box_begin (&box);
  for (unsigned count = 0; count < 256; count++)
    {
      bool good = count == 0 || count == 1 || count == 2 || count == 4 || count == 8 || count == 16;

      ata_begin (&box, 0xc6, 0, (uint8_t) count, 0, 0xe0);
      g_assert_cmphex (ata_wait (&box), ==, good ? 0x50 : 0x51);
    }
  identify (&box, words);
  g_assert_cmphex (words[59], ==, 0x110);
  ata_begin (&box, 0xc6, 0, 0, 0, 0xe0);
  ata_wait (&box);
  ata_begin (&box, 0xc4, 0, 1, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ide_box_end (&box);
}

static void
test_48_bit_read (void)
{
  uint8_t bytes[512];
  FakeBlock *disk = fake_block_new (3ull << 40, 0);
  IdeBox box;

  box_begin (&box);
  g_assert_cmpint (ide_attach_disk (box.channel[1], 0, &disk->parent, NULL), ==, 0);
  ata_begin_ext (&box, 0x24, 1, 0x1000);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, bytes, 512);
  g_assert_cmpmem (bytes, 512, disk_sector (&box, 0x1000), 512);
  ata_begin_ext (&box, 0x24, 1, 1ull << 40);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x10);
  /* Without the LBA bit there is no such command. */
  out8 (&box.host, ATA_DEVICE, 0x00);
  out8 (&box.host, ATA_COMMAND, 0x24);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x04);
  ide_box_end (&box);
}

static void
test_read_past_the_end (void)
{
  uint8_t bytes[512];
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0x20, 0, 4, N_SECTORS - 2, 0xe0);
  for (unsigned i = 0; i < 2; i++)
    {
      g_assert_cmphex (ata_wait (&box), ==, 0x58);
      ata_read_words (&box, bytes, 512);
      g_assert_cmpmem (bytes, 512, disk_sector (&box, N_SECTORS - 2 + i), 512);
    }
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x10);
  g_assert_cmphex (in8 (&box.host, ATA_LOW), ==, (uint8_t) N_SECTORS);
  ata_begin (&box, 0x20, 0, 1, 0x0fffffff, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x10);
  ide_box_end (&box);
}

static void
test_write_past_the_end (void)
{
  uint8_t bytes[512] = { 1, 2, 3 };
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0x30, 0, 2, N_SECTORS - 1, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_write_words (&box, bytes, 512);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x10);
  g_assert_cmpmem (disk_sector (&box, N_SECTORS - 1), 512, bytes, 512);
  ide_box_end (&box);
}

static void
test_verify_seek_recalibrate (void)
{
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0x40, 0, 200, 50, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin (&box, 0x40, 0, 2, N_SECTORS - 1, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  box.image->read_error = -EIO;
  box.image->fail_from = 150 * 512;
  box.image->fail_to = 151 * 512;
  ata_begin (&box, 0x40, 0, 200, 50, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x40);
  g_assert_cmpuint (in8 (&box.host, ATA_LOW), ==, 150);
  ata_begin (&box, 0x70, 0, 0, 50, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin (&box, 0x70, 0, 0, N_SECTORS, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ata_begin (&box, 0x10, 0, 0, 50, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ide_box_end (&box);
}

static void
test_read_error_names_the_sector (void)
{
  uint8_t bytes[512];
  IdeBox box;

  box_begin (&box);
  box.image->read_error = -EIO;
  box.image->fail_from = 11 * 512 + 5;
  box.image->fail_to = 11 * 512 + 6;
  ata_begin (&box, 0x20, 0, 4, 10, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, bytes, 512);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x40);
  g_assert_cmpuint (in8 (&box.host, ATA_LOW), ==, 11);
  ide_box_end (&box);
}

static void
test_write_error_and_read_only (void)
{
  uint8_t bytes[512] = { 0 };
  IdeBox box;

  box_begin (&box);
  box.image->write_error = -EIO;
  ata_begin (&box, 0x30, 0, 1, 10, 0xe0);
  ata_wait (&box);
  ata_write_words (&box, bytes, 512);
  g_assert_cmphex (ata_wait (&box), ==, 0x71);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x04);
  box.image->write_error = 0;
  box.image->parent.read_only = true;
  ata_begin (&box, 0x30, 0, 1, 10, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x44);
  ide_box_end (&box);
}

static void
test_flush (void)
{
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0xe7, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  ata_begin (&box, 0xea, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmpuint (box.image->n_flushes, ==, 2);
  box.image->flush_error = -EIO;
  ata_begin (&box, 0xe7, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x71);
  ide_box_end (&box);
}

static void
test_writes_are_durable_without_write_cache (void)
{
  uint8_t bytes[512] = { 0 };
  IdeBox box;

  box_begin (&box);
  ata_begin (&box, 0xef, 0x82, 0, 0, 0xe0);
  ata_wait (&box);
  box.image->n_flushes = 0;
  ata_begin (&box, 0x30, 0, 2, 10, 0xe0);
  ata_wait (&box);
  ata_write_words (&box, bytes, 512);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_write_words (&box, bytes, 512);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmpuint (box.image->n_flushes, ==, 1);
  ide_box_end (&box);
}

static void
count_full (void *data)
{
  (*(unsigned *) data)++;
}

static void
test_host_disk_full_waits_and_retries (void)
{
  uint8_t bytes[512];
  unsigned n_full = 0;
  IdeBox box;

  box_begin (&box);
  memset (bytes, 0x3d, sizeof bytes);
  ide_set_full_handler (box.channel[0], count_full, &n_full);
  box.image->write_error = -ENOSPC;
  ata_begin (&box, 0x30, 0, 1, 10, 0xe0);
  ata_wait (&box);
  ata_write_words (&box, bytes, 512);
  fake_host_run (&box.host, 100 * MS);
  g_assert_cmpuint (n_full, ==, 1);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x80);
  ide_retry (box.channel[0]);
  fake_host_run (&box.host, 100 * MS);
  g_assert_cmpuint (n_full, ==, 2);
  box.image->write_error = 0;
  ide_retry (box.channel[0]);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmpmem (disk_sector (&box, 10), 512, bytes, 512);
  /* The same by DMA, and a flush that needs room. */
  guest_memory_write (box.host.memory, 0x8000, bytes, 512);
  prd_put (&box, 0, 0x8000, 512, true);
  box.image->write_error = -ENOSPC;
  ata_begin (&box, 0xca, 0, 1, 20, 0xe0);
  bm_start (&box, false);
  fake_host_run (&box.host, 100 * MS);
  g_assert_cmpuint (n_full, ==, 3);
  box.image->write_error = 0;
  ide_retry (box.channel[0]);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmpmem (disk_sector (&box, 20), 512, bytes, 512);
  box.image->flush_error = -ENOSPC;
  ata_begin (&box, 0xe7, 0, 0, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x80);
  box.image->flush_error = 0;
  ide_retry (box.channel[0]);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  /* A reset forgets what waited. */
  box.image->write_error = -ENOSPC;
  ata_begin (&box, 0x30, 0, 1, 30, 0xe0);
  ata_wait (&box);
  ata_write_words (&box, bytes, 512);
  fake_host_run (&box.host, MS);
  out8 (&box.host, ATA_CONTROL, 4);
  out8 (&box.host, ATA_CONTROL, 0);
  fake_host_run (&box.host, MS);
  box.image->write_error = 0;
  ide_retry (box.channel[0]);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmphex (disk_sector (&box, 30)[0], !=, 0x3d);
  ide_box_end (&box);
}

/* ---------------------------------------------------------------- bus master */

static void
test_read_dma (void)
{
  uint8_t bytes[5 * 512];
  IdeBox box;

  box_begin (&box);
  /* Three regions, one of them crossing sectors. */
  prd_put (&box, 0, 0x8000, 700, false);
  prd_put (&box, 1, 0x9000, 2, false);
  prd_put (&box, 2, 0xa000, 5 * 512 - 702, true);
  ata_begin (&box, 0xc8, 0, 5, 1000, 0xe0);
  bm_start (&box, true);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x01);
  fake_host_run (&box.host, MS);
  g_assert_true (box.line[0].level);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x04);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  guest_memory_read (box.host.memory, 0x8000, bytes, 700);
  guest_memory_read (box.host.memory, 0x9000, bytes + 700, 2);
  guest_memory_read (box.host.memory, 0xa000, bytes + 702, sizeof bytes - 702);
  g_assert_cmpmem (bytes, sizeof bytes, disk_sector (&box, 1000), sizeof bytes);
  out8 (&box.host, BM_BASE, 8);
  out8 (&box.host, BM_BASE + 2, 0x04);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x00);
  g_assert_cmpuint (box.line[0].n_rises, ==, 1);
  ide_box_end (&box);
}

static void
test_write_dma (void)
{
  uint8_t bytes[300 * 512];
  IdeBox box;

  box_begin (&box);
  for (unsigned i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t) (i * 7 + i / 512);
  guest_memory_write (box.host.memory, 0x10000, bytes, sizeof bytes);
  prd_put (&box, 0, 0x10000, 0, false);         /* 0 is 64 KiB */
  prd_put (&box, 1, 0x20000, 0, false);
  prd_put (&box, 2, 0x30000, 300 * 512 - 131072, true);
  ata_begin_ext (&box, 0x35, 300, 2000);
  bm_start (&box, false);
  fake_host_run (&box.host, 10 * MS);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x04);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  g_assert_cmpmem (disk_sector (&box, 2000), sizeof bytes, bytes, sizeof bytes);
  ide_box_end (&box);
}

static void
test_dma_waits_for_the_master (void)
{
  IdeBox box;

  box_begin (&box);
  prd_put (&box, 0, 0x8000, 512, true);
  ata_begin (&box, 0xc8, 0, 1, 10, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  g_assert_false (box.line[0].level);
  bm_start (&box, true);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x04);
  ide_box_end (&box);
}

static void
test_prd_longer_than_the_transfer (void)
{
  IdeBox box;

  box_begin (&box);
  prd_put (&box, 0, 0x8000, 4096, true);
  ata_begin (&box, 0xc8, 0, 1, 10, 0xe0);
  bm_start (&box, true);
  fake_host_run (&box.host, MS);
  /* SFF-8038i table: interrupt and active both set. */
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x05);
  out8 (&box.host, BM_BASE, 8);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x04);
  ide_box_end (&box);
}

static void
test_prd_shorter_than_the_transfer (void)
{
  uint8_t bytes[1024];
  IdeBox box;

  box_begin (&box);
  prd_put (&box, 0, 0x8000, 512, true);
  ata_begin (&box, 0xc8, 0, 2, 10, 0xe0);
  bm_start (&box, true);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x00);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x58);
  /* A second table goes on where the first ended. */
  prd_put (&box, 0, 0x8200, 512, true);
  out8 (&box.host, BM_BASE, 8);
  bm_start (&box, true);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x04);
  guest_memory_read (box.host.memory, 0x8000, bytes, 1024);
  g_assert_cmpmem (bytes, 1024, disk_sector (&box, 10), 1024);
  ide_box_end (&box);
}

static void
test_dma_outside_memory_is_an_error (void)
{
  IdeBox box;

  box_begin (&box);
  prd_put (&box, 0, 0xfeb00000, 512, true);
  ata_begin (&box, 0xc8, 0, 1, 10, 0xe0);
  bm_start (&box, true);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x02);
  /* So is a table outside memory. */
  out8 (&box.host, ATA_CONTROL, 4);
  out8 (&box.host, ATA_CONTROL, 0);
  out8 (&box.host, BM_BASE, 0);
  fake_host_run (&box.host, MS);
  bus_write_port (box.host.bus, BM_BASE + 4, 4, 0xfffffff8);
  ata_begin (&box, 0xc8, 0, 1, 10, 0xe0);
  out8 (&box.host, BM_BASE + 2, 0x06);
  out8 (&box.host, BM_BASE, 9);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x02);
  ide_box_end (&box);
}

static void
test_dma_needs_the_master_bit_and_the_direction (void)
{
  IdeBox box;

  box_begin (&box);
  pci_write (&box, PCI_COMMAND, 2, PCI_COMMAND_IO);
  prd_put (&box, 0, 0x8000, 512, true);
  ata_begin (&box, 0xc8, 0, 1, 10, 0xe0);
  bm_start (&box, true);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x01);
  pci_write (&box, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x04);
  in8 (&box.host, ATA_STATUS);
  ata_begin (&box, 0xc8, 0, 1, 10, 0xe0);
  out8 (&box.host, BM_BASE, 0);
  bm_start (&box, false);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 0x07, ==, 0x01);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x58);
  ide_box_end (&box);
}

static void
test_dma_read_error (void)
{
  uint8_t bytes[512];
  IdeBox box;

  box_begin (&box);
  box.image->read_error = -EIO;
  box.image->fail_from = 11 * 512;
  box.image->fail_to = 12 * 512;
  prd_put (&box, 0, 0x8000, 2048, true);
  ata_begin (&box, 0xc8, 0, 4, 10, 0xe0);
  bm_start (&box, true);
  fake_host_run (&box.host, MS);
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x51);
  g_assert_cmphex (in8 (&box.host, ATA_ERROR), ==, 0x40);
  g_assert_cmpuint (in8 (&box.host, ATA_LOW), ==, 11);
  guest_memory_read (box.host.memory, 0x8000, bytes, 512);
  g_assert_cmpmem (bytes, 512, disk_sector (&box, 10), 512);
  ide_box_end (&box);
}

static void
test_trim (void)
{
  uint8_t ranges[512] = { 0 };
  static const uint8_t zero[512 * 8];
  IdeBox box;

  box_begin (&box);
  memcpy (ranges, (uint8_t[]) { 100, 0, 0, 0, 0, 0, 8, 0 }, 8);
  guest_memory_write (box.host.memory, 0x8000, ranges, 512);
  prd_put (&box, 0, 0x8000, 512, true);
  out8 (&box.host, ATA_COUNT, 0);
  ata_begin (&box, 0x06, 0x01, 1, 0, 0xe0);
  bm_start (&box, false);
  g_assert_cmphex (ata_wait (&box), ==, 0x50);
  g_assert_cmpuint (box.image->n_discards, ==, 1);
  g_assert_cmpuint (box.image->discard_offset, ==, 100 * 512);
  g_assert_cmpuint (box.image->discard_bytes, ==, 8 * 512);
  g_assert_cmpmem (disk_sector (&box, 100), sizeof zero, zero, sizeof zero);
  /* A range past the end: nothing is done. */
  memcpy (ranges + 8, (uint8_t[]) { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 8);
  guest_memory_write (box.host.memory, 0x8000, ranges, 512);
  out8 (&box.host, BM_BASE, 0);
  out8 (&box.host, ATA_COUNT, 0);
  ata_begin (&box, 0x06, 0x01, 1, 0, 0xe0);
  bm_start (&box, false);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  g_assert_cmpuint (box.image->n_discards, ==, 1);
  ata_begin (&box, 0x06, 0x00, 1, 0, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ide_box_end (&box);
}

static void
test_pci_identity (void)
{
  IdeBox box;

  box_begin (&box);
  g_assert_cmphex (pci_read (&box, 0, 4), ==, 0x70108086);
  g_assert_cmphex (pci_read (&box, 8, 4), ==, 0x01018000);
  g_assert_cmphex (pci_read (&box, 0x20, 4), ==, BM_BASE | 1);
  pci_write (&box, 0x20, 4, 0xffffffff);
  g_assert_cmphex (pci_read (&box, 0x20, 4), ==, 0xfffffff1);
  pci_write (&box, 0x20, 4, BM_BASE);
  pci_write (&box, 0x40, 4, 0xffffffff);
  g_assert_cmphex (pci_read (&box, 0x40, 4), ==, 0xf3fff3ff);
  g_assert_cmphex (pci_read (&box, 0x3d, 1), ==, 0);
  ide_box_end (&box);
}

/* ---------------------------------------------------------------- saved state */

static void
copy_box (IdeBox *from, IdeBox *to)
{
  clock_set_now (to->host.clock, clock_now_ns (from->host.clock));
  g_assert_cmpint (fake_copy_state (ide_channel_device (from->channel[0]), ide_channel_device (to->channel[0])), >, 0);
  g_assert_cmpint (fake_copy_state (ide_channel_device (from->channel[1]), ide_channel_device (to->channel[1])), >, 0);
  g_assert_cmpint (fake_copy_state (ide_pci_device (from->ide_pci), ide_pci_device (to->ide_pci)), >, 0);
}

static void
test_state_in_the_middle_of_programmed_io (void)
{
  uint8_t bytes[1024];
  IdeBox box, other;

  box_begin (&box);
  box_begin (&other);
  ata_begin (&box, 0x20, 0, 2, 10, 0xe0);
  ata_wait (&box);
  ata_read_words (&box, bytes, 100);
  copy_box (&box, &other);
  ata_read_words (&other, bytes + 100, 412);
  g_assert_cmphex (ata_wait (&other), ==, 0x58);
  ata_read_words (&other, bytes + 512, 512);
  g_assert_cmpmem (bytes, 1024, disk_sector (&box, 10), 1024);
  ide_box_end (&box);
  ide_box_end (&other);
}

static void
test_state_in_the_middle_of_dma (void)
{
  static uint8_t bytes[4 * 65536];
  IdeBox box, other;

  box_begin (&box);
  box_begin (&other);
  for (unsigned i = 0; i < 4; i++)
    {
      prd_put (&box, i, 0x10000 + i * 65536, 0, i == 3);
      prd_put (&other, i, 0x10000 + i * 65536, 0, i == 3);
    }
  ata_begin_ext (&box, 0x25, 512, 10);
  bm_start (&box, true);
  fake_host_run (&box.host, 32 * US);
  g_assert_cmpuint (box.image->n_reads, >, 0);
  g_assert_cmpuint (box.image->n_reads, <, 4);
  guest_memory_read (box.host.memory, 0x10000, bytes, sizeof bytes);
  guest_memory_write (other.host.memory, 0x10000, bytes, sizeof bytes);
  copy_box (&box, &other);
  fake_host_run (&other.host, 10 * MS);
  g_assert_cmphex (in8 (&other.host, ATA_STATUS), ==, 0x50);
  g_assert_cmphex (in8 (&other.host, BM_BASE + 2) & 7, ==, 0x04);
  guest_memory_read (other.host.memory, 0x10000, bytes, sizeof bytes);
  g_assert_cmpmem (bytes, sizeof bytes, disk_sector (&box, 10), sizeof bytes);
  ide_box_end (&box);
  ide_box_end (&other);
}

/* Every byte of a saved channel but the buffer's inside is turned over: refused, or harmless. */
static void
test_state_refuses_lies (void)
{
  StateBuffer buffer = { 0 };
  unsigned refused = 0;
  IdeBox box;
  Device *device;

  box_begin (&box);
  device = ide_channel_device (box.channel[0]);
  ata_begin (&box, 0x30, 0, 3, 10, 0xe0);
  fake_host_run (&box.host, MS);
  state_save (device->klass->state, device, &buffer);
  for (size_t i = 0; i < buffer.length; i++)
    {
      uint8_t old = buffer.bytes[i];

      if (i > 600 && i % 61)
        continue;
      buffer.bytes[i] ^= i & 1 ? 0xff : 0x11;
      if (state_restore (device->klass->state, device, buffer.bytes, buffer.length) < 0)
        {
          refused++;
          device->klass->reset (device);
        }
      for (unsigned n = 0; n < 1100; n++)
        {
          in16 (&box.host, ATA_DATA);
          out16 (&box.host, ATA_DATA, (uint16_t) n);
        }
      fake_host_run (&box.host, MS);
      buffer.bytes[i] = old;
    }
  g_assert_cmpuint (refused, >, 100);
  state_buffer_clear (&buffer);
  ide_box_end (&box);
}

static void
test_state_of_another_disk_is_refused (void)
{
  IdeBox box, other;

  box_begin (&box);
  ide_box_begin (&other);
  ide_box_disk (&other, 0, DISK_BYTES / 2, 0);
  g_assert_cmpint (fake_copy_state (ide_channel_device (box.channel[0]), ide_channel_device (other.channel[0])), ==, -EBADMSG);
  ide_box_end (&box);
  ide_box_end (&other);
}

/* ---------------------------------------------------------------- old holes of other monitors */

/* START STOP UNIT and others left the data pointers behind: the host then moved what lay beyond the buffer. */
static void
test_cve_2015_5154_pio_overrun (void)
{
  IdeBox box;

  box_begin (&box);
  for (unsigned command = 0; command < 256; command++)
    {
      ata_begin (&box, (uint8_t) command, 0x03, 2, 0xc24f01, 0xe0);
      fake_host_run (&box.host, MS);
      for (unsigned i = 0; i < 20000; i++)
        {
          in16 (&box.host, ATA_DATA);
          bus_write_port (box.host.bus, ATA_DATA, i & 1 ? 4 : 2, i);
        }
      fake_host_run (&box.host, MS);
      out8 (&box.host, ATA_CONTROL, 4);
      out8 (&box.host, ATA_CONTROL, 0);
      fake_host_run (&box.host, MS);
    }
  g_assert_cmphex (in8 (&box.host, ATA_STATUS), ==, 0x50);
  ide_box_end (&box);
}

/* The index of the self-test log ran out of it. */
static void
test_cve_2014_2894_smart_self_test_log (void)
{
  uint8_t bytes[512];
  IdeBox box;

  box_begin (&box);
  for (unsigned i = 0; i < 600; i++)
    {
      ata_begin (&box, 0xb0, 0xd4, 0, 0xc24f00 | i % 3, 0xe0);
      g_assert_cmphex (ata_wait (&box), ==, 0x50);
    }
  ata_begin (&box, 0xb0, 0xd5, 1, 0xc24f06, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x58);
  ata_read_words (&box, bytes, 512);
  g_assert_cmpuint (bytes[508], ==, 21);
  /* Logs that do not exist, lengths that are not one sector. */
  for (unsigned log = 2; log < 256; log++)
    if (log != 6)
      {
        ata_begin (&box, 0xb0, 0xd5, 1, 0xc24f00 | log, 0xe0);
        g_assert_cmphex (ata_wait (&box), ==, 0x51);
      }
  ata_begin (&box, 0xb0, 0xd5, 255, 0xc24f06, 0xe0);
  g_assert_cmphex (ata_wait (&box), ==, 0x51);
  ide_box_end (&box);
}

/* A reset during DMA left a request that then wrote sector 0. */
static void
test_cve_2023_5088_reset_during_dma (void)
{
  static uint8_t bytes[4 * 65536];
  IdeBox box;

  box_begin (&box);
  memset (bytes, 0xdd, sizeof bytes);
  guest_memory_write (box.host.memory, 0x10000, bytes, sizeof bytes);
  for (unsigned i = 0; i < 4; i++)
    prd_put (&box, i, 0x10000 + i * 65536, 0, i == 3);
  for (unsigned wait = 0; wait < 100; wait += 3)
    {
      uint8_t before[512];

      memcpy (before, disk_sector (&box, 0), 512);
      ata_begin_ext (&box, 0x35, 512, 1000);
      bm_start (&box, false);
      fake_host_run (&box.host, wait * US);
      out8 (&box.host, ATA_CONTROL, 4);
      box.image->n_writes = 0;
      fake_host_run (&box.host, MS);
      out8 (&box.host, ATA_CONTROL, 0);
      fake_host_run (&box.host, MS);
      g_assert_cmpuint (box.image->n_writes, ==, 0);
      g_assert_cmpmem (disk_sector (&box, 0), 512, before, 512);
      out8 (&box.host, BM_BASE, 0);
    }
  ide_box_end (&box);
}

/* Descriptors that point at the registers of the controller, or at the table itself. */
static void
test_dma_does_not_reach_devices (void)
{
  IdeBox box;

  box_begin (&box);
  prd_put (&box, 0, PRD_TABLE, 0, false);
  ata_begin_ext (&box, 0x25, 512, 0);
  bm_start (&box, true);
  fake_host_run (&box.host, 20 * MS);
  g_assert_cmpuint (box.image->n_reads, <=, 600);
  ide_box_end (&box);
}

/* A table of two-byte regions, or one that never ends, is bounded by what the drive has. */
static void
test_endless_prd_table (void)
{
  IdeBox box;

  box_begin (&box);
  for (unsigned i = 0; i < (IDE_RAM - PRD_TABLE) / 8; i++)
    prd_put (&box, i, 0x100, 2, false);
  ata_begin_ext (&box, 0x25, 0, 0);
  bm_start (&box, true);
  fake_host_run (&box.host, 100 * MS);
  g_assert_cmphex (in8 (&box.host, BM_BASE + 2) & 2, ==, 2);
  ide_box_end (&box);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ide/signature-after-power-on", test_signature_after_power_on);
  g_test_add_func ("/ide/software-reset", test_software_reset);
  g_test_add_func ("/ide/diagnostic-is-for-both", test_diagnostic_is_for_both);
  g_test_add_func ("/ide/absent-device-1", test_absent_device_1);
  g_test_add_func ("/ide/empty-channel-floats", test_empty_channel_floats);
  g_test_add_func ("/ide/device-1-alone", test_device_1_alone);
  g_test_add_func ("/ide/both-drives-hear-registers", test_both_drives_hear_registers);
  g_test_add_func ("/ide/status-read-clears-interrupt", test_status_read_clears_interrupt);
  g_test_add_func ("/ide/nien-gates-the-line", test_nien_gates_the_line);
  g_test_add_func ("/ide/only-the-selected-drive-interrupts", test_only_the_selected_drive_interrupts);
  g_test_add_func ("/ide/busy-drive-ignores-registers-and-commands", test_busy_drive_ignores_registers_and_commands);
  g_test_add_func ("/ide/hob-shows-previous-content", test_hob_shows_previous_content);
  g_test_add_func ("/ide/unknown-commands-abort", test_unknown_commands_abort);
  g_test_add_func ("/ide/decode-follows-the-piix", test_decode_follows_the_piix);
  g_test_add_func ("/ide/attach-errors", test_attach_errors);
  g_test_add_func ("/ide/identify", test_identify);
  g_test_add_func ("/ide/identify-large-disk", test_identify_large_disk);
  g_test_add_func ("/ide/set-features", test_set_features);
  g_test_add_func ("/ide/initialize-device-parameters", test_initialize_device_parameters);
  g_test_add_func ("/ide/chs-errors", test_chs_errors);
  g_test_add_func ("/ide/power-modes", test_power_modes);
  g_test_add_func ("/ide/read-and-write-buffer", test_read_and_write_buffer);
  g_test_add_func ("/ide/set-max-address", test_set_max_address);
  g_test_add_func ("/ide/smart", test_smart);
  g_test_add_func ("/ide/read-sectors", test_read_sectors);
  g_test_add_func ("/ide/count-zero-is-256", test_count_zero_is_256);
  g_test_add_func ("/ide/write-sectors", test_write_sectors);
  g_test_add_func ("/ide/double-words-and-bytes-on-the-data-port", test_double_words_and_bytes_on_the_data_port);
  g_test_add_func ("/ide/read-multiple", test_read_multiple);
  g_test_add_func ("/ide/write-multiple", test_write_multiple);
  g_test_add_func ("/ide/set-multiple-mode", test_set_multiple_mode);
  g_test_add_func ("/ide/48-bit-read", test_48_bit_read);
  g_test_add_func ("/ide/read-past-the-end", test_read_past_the_end);
  g_test_add_func ("/ide/write-past-the-end", test_write_past_the_end);
  g_test_add_func ("/ide/verify-seek-recalibrate", test_verify_seek_recalibrate);
  g_test_add_func ("/ide/read-error-names-the-sector", test_read_error_names_the_sector);
  g_test_add_func ("/ide/write-error-and-read-only", test_write_error_and_read_only);
  g_test_add_func ("/ide/flush", test_flush);
  g_test_add_func ("/ide/writes-are-durable-without-write-cache", test_writes_are_durable_without_write_cache);
  g_test_add_func ("/ide/host-disk-full-waits-and-retries", test_host_disk_full_waits_and_retries);
  g_test_add_func ("/ide/read-dma", test_read_dma);
  g_test_add_func ("/ide/write-dma", test_write_dma);
  g_test_add_func ("/ide/dma-waits-for-the-master", test_dma_waits_for_the_master);
  g_test_add_func ("/ide/prd-longer-than-the-transfer", test_prd_longer_than_the_transfer);
  g_test_add_func ("/ide/prd-shorter-than-the-transfer", test_prd_shorter_than_the_transfer);
  g_test_add_func ("/ide/dma-outside-memory-is-an-error", test_dma_outside_memory_is_an_error);
  g_test_add_func ("/ide/dma-needs-the-master-bit-and-the-direction", test_dma_needs_the_master_bit_and_the_direction);
  g_test_add_func ("/ide/dma-read-error", test_dma_read_error);
  g_test_add_func ("/ide/trim", test_trim);
  g_test_add_func ("/ide/pci-identity", test_pci_identity);
  g_test_add_func ("/ide/state-in-the-middle-of-programmed-io", test_state_in_the_middle_of_programmed_io);
  g_test_add_func ("/ide/state-in-the-middle-of-dma", test_state_in_the_middle_of_dma);
  g_test_add_func ("/ide/state-refuses-lies", test_state_refuses_lies);
  g_test_add_func ("/ide/state-of-another-disk-is-refused", test_state_of_another_disk_is_refused);
  g_test_add_func ("/ide/cve-2015-5154-pio-overrun", test_cve_2015_5154_pio_overrun);
  g_test_add_func ("/ide/cve-2014-2894-smart-self-test-log", test_cve_2014_2894_smart_self_test_log);
  g_test_add_func ("/ide/cve-2023-5088-reset-during-dma", test_cve_2023_5088_reset_during_dma);
  g_test_add_func ("/ide/dma-does-not-reach-devices", test_dma_does_not_reach_devices);
  g_test_add_func ("/ide/endless-prd-table", test_endless_prd_table);
  return g_test_run ();
}
