/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The display adapter under a stream of port and memory accesses, clock steps, refreshes, and hostile saved states. */
#include "fake-display-host.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

typedef struct
{
  const uint8_t *bytes;
  size_t         left;
} Input;

static uint32_t
take (Input *input, unsigned n)
{
  uint32_t value = 0;

  while (n--)
    {
      value <<= 8;
      if (input->left)
        {
          value |= *input->bytes++;
          input->left--;
        }
    }
  return value;
}

/* The state file is 16 MiB of video RAM; only what comes before is worth lying about. */
static void
restore_altered (DisplayHost *host, Input *input)
{
  StateBuffer buffer = { 0 };
  unsigned n = take (input, 1) & 7;

  state_save (vga_class.state, host->vga, &buffer);
  while (n--)
    buffer.bytes[take (input, 2) % 1600] = (uint8_t) take (input, 1);
  if (state_restore (vga_class.state, host->vga, buffer.bytes, buffer.length) < 0)
    vga_class.reset ((Device *) host->vga);
  state_buffer_clear (&buffer);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static DisplayHost host;
  Input input = { bytes, n_bytes };
  unsigned restores = 0, refreshes = 0;
  char text[2000];

  /* Made once: mapping 16 MiB for each input would be all that is tested. */
  if (!host.vga)
    display_host_init (&host, true);
  vga_class.reset ((Device *) host.vga);
  while (input.left)
    {
      unsigned size = 1u << take (&input, 1) % 3;

      switch (take (&input, 1) & 15)
        {
        case 0:
        case 1:
        case 2:
          bus_write_port (host.host.bus, (uint16_t) (0x3b0 + take (&input, 1) % 0x30), size, take (&input, size));
          break;
        case 3:
          bus_read_port (host.host.bus, (uint16_t) (0x3b0 + take (&input, 1) % 0x30), size);
          break;
        case 4:
        case 5:
          vbe_out (&host, (uint16_t) (take (&input, 1) % 12), (uint16_t) take (&input, 2));
          break;
        case 6:
          {
            /* A mode that can be enabled, more often than chance would have it. */
            static const uint8_t depths[] = { 4, 8, 15, 16, 24, 32, 0, 7 };

            vbe_out (&host, 4, 0);
            vbe_out (&host, 1, (uint16_t) (take (&input, 1) * 8));
            vbe_out (&host, 2, (uint16_t) (take (&input, 1) * 4));
            vbe_out (&host, 3, depths[take (&input, 1) % 8]);
            vbe_out (&host, 4, 0x81);
            break;
          }
        case 7:
        case 8:
          bus_write_memory (host.host.bus, 0xa0000 + take (&input, 3) % 0x20000, size, take (&input, size));
          break;
        case 9:
          bus_read_memory (host.host.bus, 0xa0000 + take (&input, 3) % 0x20000, size);
          break;
        case 10:
          clock_advance (host.host.clock, take (&input, 4));
          break;
        case 11:
          if (refreshes++ < 4)
            vga_refresh (host.vga, &host.surface);
          break;
        case 12:
          vga_screen_text (host.vga, text, take (&input, 2) % sizeof text);
          break;
        case 13:
          pci_out (&host, (uint8_t) take (&input, 1), size, take (&input, size));
          break;
        case 14:
          bus_write_memory (host.host.bus, 0xe2000000 + take (&input, 2) % 0x1000, size, take (&input, size));
          bus_read_memory (host.host.bus, 0xe2000000 + take (&input, 2) % 0x1000, size);
          break;
        default:
          if (restores++ < 1 && n_bytes > 1000)
            restore_altered (&host, &input);
          break;
        }
    }
  if (n_bytes % 8 == 0)
    vga_refresh (host.vga, &host.surface);
  vga_screen_text (host.vga, text, sizeof text);
  return 0;
}
