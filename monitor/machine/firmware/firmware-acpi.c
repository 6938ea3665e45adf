/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ACPI 1.0b tables, and the loader script by which SeaBIOS places them (QEMU docs/specs/acpi "linker-loader"; the
 * commands are ALLOCATE, ADD_POINTER and ADD_CHECKSUM, 128 bytes each). */
#include "firmware.h"

#include "dsdt-aml.h"
#include "piix4-pm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  PM_BASE = 0x600,              /* where SeaBIOS puts PMBA */
  TABLES_MAX = 8192, LOADER_MAX = 32, HEADER_BYTES = 36, FILE_NAME_BYTES = 56,
  ZONE_HIGH = 1, ZONE_FSEG = 2,
};

static const char tables_file[] = "etc/acpi/tables";
static const char rsdp_file[] = "etc/acpi/rsdp";

typedef struct __attribute__ ((packed))
{
  uint32_t command;
  union __attribute__ ((packed))
  {
    struct __attribute__ ((packed)) { char file[FILE_NAME_BYTES]; uint32_t align; uint8_t zone; } allocate;
    struct __attribute__ ((packed)) { char to[FILE_NAME_BYTES]; char from[FILE_NAME_BYTES]; uint32_t offset; uint8_t size; } pointer;
    struct __attribute__ ((packed)) { char file[FILE_NAME_BYTES]; uint32_t offset, start, length; } checksum;
    uint8_t bytes[124];
  };
} LoaderEntry;

_Static_assert (sizeof (LoaderEntry) == 128, "the firmware reads entries of 128 bytes");

typedef struct
{
  uint8_t     tables[TABLES_MAX];
  size_t      n_tables;
  LoaderEntry loader[LOADER_MAX];
  size_t      n_loader;
} Builder;

uint32_t
firmware_pci_window (uint64_t ram_bytes)
{
  return ram_bytes <= 0x80000000u ? 0x80000000u : ram_bytes <= 0xc0000000u ? 0xc0000000u : 0xe0000000u;
}

static LoaderEntry *
add_entry (Builder *self, uint32_t command)
{
  LoaderEntry *entry = &self->loader[self->n_loader++];

  memset (entry, 0, sizeof *entry);
  entry->command = command;
  return entry;
}

static void
add_allocate (Builder *self, const char *file, uint32_t align, uint8_t zone)
{
  LoaderEntry *entry = add_entry (self, 1);

  memcpy (entry->allocate.file, file, strlen (file));
  entry->allocate.align = align;
  entry->allocate.zone = zone;
}

static void
add_pointer (Builder *self, const char *to, uint32_t offset)
{
  LoaderEntry *entry = add_entry (self, 2);

  memcpy (entry->pointer.to, to, strlen (to));
  memcpy (entry->pointer.from, tables_file, strlen (tables_file));
  entry->pointer.offset = offset;
  entry->pointer.size = 4;
}

static void
add_checksum (Builder *self, const char *file, uint32_t at, uint32_t start, uint32_t length)
{
  LoaderEntry *entry = add_entry (self, 3);

  memcpy (entry->checksum.file, file, strlen (file));
  entry->checksum.offset = at;
  entry->checksum.start = start;
  entry->checksum.length = length;
}

static void
put32 (uint8_t *at, uint32_t value)
{
  memcpy (at, &value, sizeof value);
}

static void
put16 (uint8_t *at, uint16_t value)
{
  memcpy (at, &value, sizeof value);
}

/* Room for a table of n bytes, header filled in (ACPI 5.2.3). Returns its offset. */
static uint32_t
begin_table (Builder *self, const char *signature, uint8_t revision, uint32_t n_bytes, uint32_t align)
{
  uint32_t offset = (uint32_t) ((self->n_tables + align - 1) / align * align);
  uint8_t *at = self->tables + offset;

  memcpy (at, signature, 4);
  put32 (at + 4, n_bytes);
  at[8] = revision;
  memcpy (at + 10, "BLKHD BLKHDPC ", 14);
  put32 (at + 24, 1);
  memcpy (at + 28, "BLKH", 4);
  put32 (at + 32, 1);
  self->n_tables = offset + n_bytes;
  return offset;
}

static void
finish_table (Builder *self, uint32_t offset, uint32_t n_bytes)
{
  add_checksum (self, tables_file, offset + 9, offset, n_bytes);
}

static uint32_t
add_facs (Builder *self)
{
  uint32_t offset = (uint32_t) ((self->n_tables + 63) / 64 * 64);

  memcpy (self->tables + offset, "FACS", 4);
  put32 (self->tables + offset + 4, 64);
  self->n_tables = offset + 64;
  return offset;
}

static uint32_t
add_dsdt (Builder *self, uint64_t ram_bytes)
{
  uint32_t offset = (uint32_t) ((self->n_tables + 15) / 16 * 16);
  uint8_t *at = self->tables + offset, *window = NULL;

  memcpy (at, dsdt_aml, sizeof dsdt_aml);
  self->n_tables = offset + sizeof dsdt_aml;
  /* Name (PMIN, DWordConst): 08h "PMIN" 0Ch and the value. */
  for (size_t i = 0; i + 9 <= sizeof dsdt_aml && !window; i++)
    if (memcmp (at + i, "PMIN\x0c", 5) == 0)
      window = at + i + 5;
  if (window)
    put32 (window, firmware_pci_window (ram_bytes));
  at[9] = 0;
  finish_table (self, offset, sizeof dsdt_aml);
  return offset;
}

/* Fixed ACPI description, revision 1, 116 bytes; with the reset register of ACPI 2.0 it is revision 3 and 129 bytes. */
static uint32_t
add_fadt (Builder *self, uint32_t facs, uint32_t dsdt)
{
  enum { BYTES = 129 };
  uint32_t offset = begin_table (self, "FACP", 3, BYTES, 16);
  uint8_t *at = self->tables + offset;

  put32 (at + 36, facs);
  add_pointer (self, tables_file, offset + 36);
  put32 (at + 40, dsdt);
  add_pointer (self, tables_file, offset + 40);
  at[44] = 1;                                   /* INT_MODEL: APIC */
  put16 (at + 46, PIIX4_PM_SCI_IRQ);
  put32 (at + 48, 0xb2);                        /* SMI_CMD */
  at[52] = PIIX4_PM_ACPI_ENABLE;
  at[53] = PIIX4_PM_ACPI_DISABLE;
  put32 (at + 56, PM_BASE + 0x00);              /* PM1a_EVT_BLK */
  put32 (at + 64, PM_BASE + 0x04);              /* PM1a_CNT_BLK */
  put32 (at + 76, PM_BASE + 0x08);              /* PM_TMR_BLK */
  put32 (at + 80, PM_BASE + 0x0c);              /* GPE0_BLK */
  at[88] = 4;
  at[89] = 2;
  at[91] = 4;
  at[92] = 4;
  put16 (at + 96, 0x0fff);                      /* no C2 */
  put16 (at + 98, 0x0fff);                      /* no C3 */
  at[108] = 0x32;                               /* century byte of the CMOS */
  put16 (at + 109, 0x0003);                     /* legacy devices, 8042 */
  /* WBINVD, PROC_C1, SLP_BUTTON absent, RTC not in fixed space, RESET_REG_SUP */
  put32 (at + 112, 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 10);
  at[116] = 1;                                  /* reset register: system I/O, 8 bits, CF9h */
  at[117] = 8;
  put32 (at + 120, 0xcf9);
  at[128] = 0x0e;
  finish_table (self, offset, BYTES);
  return offset;
}

/* Multiple APIC description (ACPI 5.2.8): one CPU, the I/O APIC, IRQ0 on input 2, and the PCI interrupts level, active high. */
static uint32_t
add_madt (Builder *self)
{
  enum { BYTES = HEADER_BYTES + 8 + 8 + 12 + 5 * 10 + 6 };
  static const uint8_t levels[] = { 5, 9, 10, 11 };
  uint32_t offset = begin_table (self, "APIC", 1, BYTES, 16);
  uint8_t *at = self->tables + offset + HEADER_BYTES;

  put32 (at, 0xfee00000);
  put32 (at + 4, 1);                            /* PCAT_COMPAT */
  at += 8;
  at[0] = 0, at[1] = 8, at[2] = 0, at[3] = 0;
  put32 (at + 4, 1);
  at += 8;
  at[0] = 1, at[1] = 12, at[2] = 0;
  put32 (at + 4, 0xfec00000);
  put32 (at + 8, 0);
  at += 12;
  at[0] = 2, at[1] = 10, at[2] = 0, at[3] = 0;
  put32 (at + 4, 2);
  at += 10;
  for (unsigned i = 0; i < sizeof levels; i++, at += 10)
    {
      at[0] = 2, at[1] = 10, at[2] = 0, at[3] = levels[i];
      put32 (at + 4, levels[i]);
      put16 (at + 8, 0x000d);
    }
  at[0] = 4, at[1] = 6, at[2] = 0xff, at[5] = 1;        /* NMI on LINT1 */
  finish_table (self, offset, BYTES);
  return offset;
}

static uint32_t
add_rsdt (Builder *self, const uint32_t *tables, unsigned n)
{
  uint32_t n_bytes = HEADER_BYTES + n * 4;
  uint32_t offset = begin_table (self, "RSDT", 1, n_bytes, 16);

  for (unsigned i = 0; i < n; i++)
    {
      put32 (self->tables + offset + HEADER_BYTES + i * 4, tables[i]);
      add_pointer (self, tables_file, offset + HEADER_BYTES + i * 4);
    }
  finish_table (self, offset, n_bytes);
  return offset;
}

int
firmware_add_acpi (FwCfg *fw_cfg, uint64_t ram_bytes)
{
  Builder *self = calloc (1, sizeof *self);
  uint8_t rsdp[20] = "RSD PTR \0BLKHD ";
  uint32_t list[2], facs, dsdt;
  int result;

  if (!self)
    return -ENOMEM;
  add_allocate (self, rsdp_file, 16, ZONE_FSEG);
  add_allocate (self, tables_file, 64, ZONE_HIGH);
  facs = add_facs (self);
  dsdt = add_dsdt (self, ram_bytes);
  list[0] = add_fadt (self, facs, dsdt);
  list[1] = add_madt (self);
  put32 (rsdp + 16, add_rsdt (self, list, 2));
  add_pointer (self, rsdp_file, 16);
  add_checksum (self, rsdp_file, 8, 0, sizeof rsdp);
  result = fw_cfg_add_file (fw_cfg, tables_file, self->tables, self->n_tables);
  if (result == 0)
    result = fw_cfg_add_file (fw_cfg, rsdp_file, rsdp, sizeof rsdp);
  if (result == 0)
    result = fw_cfg_add_file (fw_cfg, "etc/table-loader", self->loader, self->n_loader * sizeof (LoaderEntry));
  free (self);
  return result;
}

int
firmware_add_e820 (FwCfg *fw_cfg, uint64_t ram_bytes)
{
  struct __attribute__ ((packed)) { uint64_t address, length; uint32_t type; } entries[] = { { 0, ram_bytes, 1 } };

  return fw_cfg_add_file (fw_cfg, "etc/e820", entries, sizeof entries);
}
