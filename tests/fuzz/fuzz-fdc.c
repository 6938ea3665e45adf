/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The floppy controller against a guest that writes anything. */
#include "fdc.h"

#include "fuzz-drives.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

typedef struct
{
  size_t left;
} FuzzDma;

static size_t
fuzz_dma_transfer (void *dma, unsigned channel, bool to_memory, void *bytes, size_t n_bytes, bool *terminal_count)
{
  FuzzDma *self = dma;
  size_t n = n_bytes < self->left ? n_bytes : self->left;

  /* Touch every byte: the sanitizer sees a bad range. */
  if (!to_memory)
    memset (bytes, 0x5a, n);
  else
    for (size_t i = 0; i < n; i++)
      self->left += ((volatile uint8_t *) bytes)[i] & 0;
  self->left -= n;
  *terminal_count = n && self->left == 0;
  return n;
}

static void
fuzz_dma_request (void *dma, unsigned channel, bool level)
{
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const uint32_t sizes[] = { 1440 << 10, 360 << 10, 2880 << 10, 77 * 2 * 8 * 1024, 160 << 10, 1000, 4032 << 10, 700 << 10 };
  FuzzInput input = { bytes, n_bytes };
  FuzzDma dma = { 5000 };
  DmaPort port = { fuzz_dma_transfer, fuzz_dma_request, &dma };
  FakeHost host;
  FakeLine line = { 0 };
  IrqLine irq = { fake_line_set, &line, 6 };
  Fdc *fdc;

  fake_host_begin (&host, 0);
  g_assert_cmpint (fdc_new (&host.host, irq, 0x3f0, &port, 2, &fdc), ==, 0);
  fdc_set_drive (fdc, 0, FLOPPY_DRIVE_1440K);
  fdc_set_drive (fdc, 1, FLOPPY_DRIVE_1200K);
  g_assert_cmpint (fdc_insert (fdc, 0, &fake_block_new (1440 << 10, 8192)->parent), ==, 0);
  out8 (&host, 0x3f2, 0x1c);
  fake_host_run (&host, MS);
  while (input.left)
    {
      uint8_t operation = fuzz_byte (&input);

      switch (operation & 15)
        {
        case 0: case 1: case 2: case 3: case 4: case 5: case 6:
          out8 (&host, 0x3f5, fuzz_byte (&input));
          break;
        case 7:
          out8 (&host, (uint16_t) (0x3f0 + (operation >> 4 & 7)), fuzz_byte (&input));
          break;
        case 8:
          for (unsigned i = 0; i < 7; i++)
            in8 (&host, 0x3f5);
          break;
        case 9:
          for (unsigned i = 0; i < 16; i++)
            in8 (&host, (uint16_t) (0x3f0 + (i & 7)));
          break;
        case 10:
          fake_host_run (&host, (uint64_t) fuzz_byte (&input) << (operation >> 4) * 2);
          break;
        case 11:
          fake_host_run (&host, 30 * MS);
          break;
        case 12:
          {
            uint32_t size = sizes[operation >> 4 & 7];
            FakeBlock *image = fake_block_new (size, size < 8192 ? size : 8192);

            image->read_error = fuzz_byte (&input) & 1 ? -EIO : 0;
            image->write_error = fuzz_byte (&input) & 1 ? -ENOSPC : 0;
            image->parent.read_only = fuzz_byte (&input) & 1;
            image->fail_from = fuzz_byte (&input) * 512u;
            if (fdc_insert (fdc, operation >> 7, operation & 0x40 ? NULL : &image->parent) < 0 || (operation & 0x40))
              block_close (&image->parent);
            break;
          }
        case 13:
          fuzz_state (&input, fdc_device (fdc), operation & 16);
          break;
        case 14:
          dma.left = fuzz_byte (&input) * 100u;
          fdc_retry (fdc);
          break;
        default:
          /* A whole read or write, as a driver would give it. */
          out8 (&host, 0x3f7, operation >> 4 & 3);
          for (unsigned i = 0; i < 9; i++)
            out8 (&host, 0x3f5, i == 0 ? (uint8_t) (fuzz_byte (&input) | 0x40) : i == 5 ? 2 : fuzz_byte (&input) & 31);
          fake_host_run (&host, 5 * MS);
          break;
        }
    }
  fdc_device (fdc)->klass->finish (fdc_device (fdc));
  fake_host_end (&host);
  return 0;
}
