/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk, a CD-ROM drive and the bus masters against a guest that writes anything. */
#include "fuzz-drives.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static void
ignore_full (void *data)
{
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  FuzzInput input = { bytes, n_bytes };
  IdeDrive *cd;
  IdeBox box;

  ide_box_begin (&box);
  ide_box_disk (&box, 0, 1 << 20, 65536);
  g_assert_cmpint (ide_attach_cdrom (box.channel[0], 1, NULL, &cd), ==, 0);
  cdrom_insert (cd, &fake_block_new (300 * 2048 + 77, 65536)->parent);
  ide_set_full_handler (box.channel[0], ignore_full, NULL);
  prd_put (&box, 0, 0x8000, 1000, false);
  prd_put (&box, 1, 0x10000, 0, false);
  prd_put (&box, 2, 0x20000, 0, true);
  bus_write_port (box.host.bus, BM_BASE + 4, 4, PRD_TABLE);
  while (input.left)
    {
      uint8_t operation = fuzz_byte (&input);

      switch (operation & 15)
        {
        case 0: case 1: case 2:
          out8 (&box.host, (uint16_t) (0x1f1 + (operation >> 4) % 7), fuzz_byte (&input));
          break;
        case 3:
        case 4:
          {
            uint8_t command = fuzz_byte (&input);
            uint8_t feature = fuzz_byte (&input);
            uint32_t lba = fuzz_byte (&input) * 9u;

            if (operation & 1)
              ata_begin (&box, command, feature, operation >> 4, lba, 0xe0);
            else
              ata_begin_ext (&box, command, operation >> 4, lba);
            break;
          }
        case 5:
          for (unsigned i = 0; i < 300; i++)
            bus_read_port (box.host.bus, ATA_DATA, 1u << (operation >> 4) % 3);
          break;
        case 6:
          for (unsigned i = 0; i < 300; i++)
            bus_write_port (box.host.bus, ATA_DATA, 1u << (operation >> 4) % 3, i * 0x01010101u);
          break;
        case 7:
          fake_host_run (&box.host, (uint64_t) fuzz_byte (&input) << (operation >> 4));
          break;
        case 8:
          fake_host_run (&box.host, MS);
          break;
        case 9:
          out8 (&box.host, ATA_CONTROL, fuzz_byte (&input));
          break;
        case 10:
          out8 (&box.host, (uint16_t) (BM_BASE + (operation >> 4)), fuzz_byte (&input));
          break;
        case 11:
          bm_start (&box, operation & 16);
          break;
        case 12:
          /* A whole packet. */
          out8 (&box.host, ATA_DEVICE, 0xb0);
          out8 (&box.host, ATA_FEATURE, operation >> 4 & 1);
          out8 (&box.host, ATA_MID, fuzz_byte (&input));
          out8 (&box.host, ATA_HIGH, fuzz_byte (&input));
          out8 (&box.host, ATA_COMMAND, 0xa0);
          fake_host_run (&box.host, MS);
          for (unsigned i = 0; i < 6; i++)
            {
              uint8_t low = fuzz_byte (&input);

              out16 (&box.host, ATA_DATA, (uint16_t) (low | fuzz_byte (&input) << 8));
            }
          fake_host_run (&box.host, MS);
          break;
        case 13:
          if (operation & 0x80)
            fuzz_state (&input, ide_pci_device (box.ide_pci), operation & 0x40);
          else
            fuzz_state (&input, ide_channel_device (box.channel[0]), operation & 0x40);
          break;
        case 14:
          {
            uint8_t what = fuzz_byte (&input);

            if (what & 1)
              cdrom_eject (cd);
            else if (what & 2)
              cdrom_insert (cd, &fake_block_new ((what >> 2) * 1000u, 4096)->parent);
            box.image->write_error = what & 4 ? -ENOSPC : 0;
            box.image->read_error = what & 8 ? -EIO : 0;
            box.image->flush_error = what & 16 ? -EIO : 0;
            box.image->fail_from = what * 100u;
            ide_retry (box.channel[0]);
            break;
          }
        default:
          {
            uint8_t offset = fuzz_byte (&input);

            pci_write (&box, offset, 1, fuzz_byte (&input));
            break;
          }
        }
    }
  ide_box_end (&box);
  return 0;
}
