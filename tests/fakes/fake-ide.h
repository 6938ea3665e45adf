/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A board with both ATA channels behind a PIIX3 IDE function, and a host that speaks to them. */
#pragma once

#include "fake-drive-host.h"

#include "guest-memory.h"
#include "ide-pci.h"
#include "ide.h"
#include "pci-bus.h"

enum { ATA_DATA = 0x1f0, ATA_ERROR = 0x1f1, ATA_FEATURE = 0x1f1, ATA_COUNT = 0x1f2, ATA_LOW = 0x1f3, ATA_MID = 0x1f4,
       ATA_HIGH = 0x1f5, ATA_DEVICE = 0x1f6, ATA_STATUS = 0x1f7, ATA_COMMAND = 0x1f7, ATA_CONTROL = 0x3f6,
       BM_BASE = 0xc000, IDE_DEVFN = 1 << 3 | 1, IDE_RAM = 512 << 10, PRD_TABLE = 0x1000 };

#define US 1000ull
#define MS 1000000ull

typedef struct
{
  FakeHost    host;
  FakeLine    line[2];
  PciBus     *pci;
  IdePci     *ide_pci;
  IdeChannel *channel[2];
  FakeBlock  *image;
} IdeBox;

static inline void
pci_write (IdeBox *box, uint8_t offset, unsigned size, uint32_t value)
{
  bus_write_port (box->host.bus, 0xcf8, 4, 0x80000000u | IDE_DEVFN << 8 | (offset & 0xfc));
  bus_write_port (box->host.bus, (uint16_t) (0xcfc + (offset & 3)), size, value);
}

static inline uint32_t
pci_read (IdeBox *box, uint8_t offset, unsigned size)
{
  bus_write_port (box->host.bus, 0xcf8, 4, 0x80000000u | IDE_DEVFN << 8 | (offset & 0xfc));
  return bus_read_port (box->host.bus, (uint16_t) (0xcfc + (offset & 3)), size);
}

/* What firmware does before anything else. */
static inline void
ide_box_enable (IdeBox *box)
{
  pci_write (box, 0x20, 4, BM_BASE);
  pci_write (box, 0x40, 4, 0x80008000u);
  pci_write (box, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static inline void
ide_box_begin (IdeBox *box)
{
  IrqLine pirqs[4] = { { 0 } };

  memset (box, 0, sizeof *box);
  fake_host_begin (&box->host, IDE_RAM);
  g_assert_cmpint (pci_bus_new (&box->host.host, pirqs, NULL, NULL, &box->pci), ==, 0);
  for (unsigned i = 0; i < 2; i++)
    {
      IrqLine irq = { fake_line_set, &box->line[i], 14 + i };

      g_assert_cmpint (ide_channel_new (&box->host.host, irq, i ? 0x170 : 0x1f0, i ? 0x376 : 0x3f6, &box->channel[i]), ==, 0);
    }
  g_assert_cmpint (ide_pci_new (&box->host.host, box->pci, IDE_DEVFN, box->channel[0], box->channel[1], &box->ide_pci), ==, 0);
  ide_box_enable (box);
}

static inline void
ide_box_end (IdeBox *box)
{
  Device *devices[] = { ide_channel_device (box->channel[0]), ide_channel_device (box->channel[1]), ide_pci_device (box->ide_pci),
                        pci_bus_device (box->pci) };

  for (unsigned i = 0; i < G_N_ELEMENTS (devices); i++)
    devices[i]->klass->finish (devices[i]);
  fake_host_end (&box->host);
}

static inline void
ide_box_disk (IdeBox *box, unsigned unit, uint64_t n_bytes, uint64_t stored)
{
  box->image = fake_block_new (n_bytes, stored);
  g_assert_cmpint (ide_attach_disk (box->channel[0], unit, &box->image->parent, NULL), ==, 0);
}

static inline uint16_t
in16 (FakeHost *self, uint16_t port)
{
  return (uint16_t) bus_read_port (self->bus, port, 2);
}

static inline void
out16 (FakeHost *self, uint16_t port, uint16_t value)
{
  bus_write_port (self->bus, port, 2, value);
}

/* Task file of a 28-bit LBA (or CHS, by device) command, then the command; no time passes. */
static inline void
ata_begin (IdeBox *box, uint8_t command, uint8_t feature, uint8_t count, uint32_t lba, uint8_t device)
{
  out8 (&box->host, ATA_DEVICE, (uint8_t) (device | (lba >> 24 & 15)));
  out8 (&box->host, ATA_FEATURE, feature);
  out8 (&box->host, ATA_COUNT, count);
  out8 (&box->host, ATA_LOW, (uint8_t) lba);
  out8 (&box->host, ATA_MID, (uint8_t) (lba >> 8));
  out8 (&box->host, ATA_HIGH, (uint8_t) (lba >> 16));
  out8 (&box->host, ATA_COMMAND, command);
}

/* The same, 48-bit. */
static inline void
ata_begin_ext (IdeBox *box, uint8_t command, uint16_t count, uint64_t lba)
{
  out8 (&box->host, ATA_DEVICE, 0x40);
  for (int byte = 1; byte >= 0; byte--)
    {
      out8 (&box->host, ATA_COUNT, (uint8_t) (count >> byte * 8));
      out8 (&box->host, ATA_LOW, (uint8_t) (lba >> byte * 24));
      out8 (&box->host, ATA_MID, (uint8_t) (lba >> (byte * 24 + 8)));
      out8 (&box->host, ATA_HIGH, (uint8_t) (lba >> (byte * 24 + 16)));
    }
  out8 (&box->host, ATA_COMMAND, command);
}

static inline uint8_t
ata_wait (IdeBox *box)
{
  fake_host_run (&box->host, MS);
  return in8 (&box->host, ATA_STATUS);
}

static inline void
ata_read_words (IdeBox *box, void *ret, unsigned n_bytes)
{
  uint8_t *at = ret;

  for (unsigned i = 0; i < n_bytes; i += 2)
    {
      uint16_t word = in16 (&box->host, ATA_DATA);

      memcpy (at + i, &word, 2);
    }
}

static inline void
ata_write_words (IdeBox *box, const void *bytes, unsigned n_bytes)
{
  const uint8_t *at = bytes;

  for (unsigned i = 0; i < n_bytes; i += 2)
    out16 (&box->host, ATA_DATA, (uint16_t) (at[i] | at[i + 1] << 8));
}

/* One descriptor at PRD_TABLE + index * 8. */
static inline void
prd_put (IdeBox *box, unsigned index, uint32_t address, uint16_t n_bytes, bool last)
{
  uint32_t words[2] = { address, n_bytes | (last ? 0x80000000u : 0) };

  g_assert_cmpint (guest_memory_write (box->host.memory, PRD_TABLE + index * 8, words, 8), ==, 0);
}

static inline void
bm_start (IdeBox *box, bool to_memory)
{
  bus_write_port (box->host.bus, BM_BASE + 4, 4, PRD_TABLE);
  out8 (&box->host, BM_BASE + 2, 0x06);
  out8 (&box->host, BM_BASE, to_memory ? 8 : 0);
  out8 (&box->host, BM_BASE, to_memory ? 9 : 1);
}
