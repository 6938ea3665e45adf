/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SMBIOS 2.8 structures (DMTF DSP0134): BIOS, system, enclosure, processor, memory array, device, mapped address, boot. */
#include "firmware.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TABLES_MAX = 2048 };

typedef struct
{
  uint8_t  bytes[TABLES_MAX];
  size_t   n_bytes;
  unsigned n_structures;
  size_t   largest;
} Tables;

static void
put16 (uint8_t *at, uint16_t value)
{
  memcpy (at, &value, sizeof value);
}

static void
put32 (uint8_t *at, uint32_t value)
{
  memcpy (at, &value, sizeof value);
}

/* Formatted area, then its strings, each ended by 0, the set by one more 0 (6.1.3). handle is type << 8. */
static void
add_structure (Tables *self, uint8_t type, const uint8_t *body, size_t n_body, const char *const *strings)
{
  uint8_t *at = self->bytes + self->n_bytes;
  size_t n = 4;

  at[0] = type;
  at[1] = (uint8_t) (4 + n_body);
  put16 (at + 2, (uint16_t) (type << 8));
  memcpy (at + n, body, n_body);
  n += n_body;
  for (; strings && *strings; strings++)
    {
      memcpy (at + n, *strings, strlen (*strings) + 1);
      n += strlen (*strings) + 1;
    }
  at[n++] = 0;
  if (!strings)
    at[n++] = 0;
  self->n_bytes += n;
  self->n_structures++;
  if (n > self->largest)
    self->largest = n;
}

static void
add_bios (Tables *self)
{
  static const char *const strings[] = { "SeaBIOS", "Bulkhead", "04/01/2014", NULL };
  uint8_t body[20] = { 1, 2, 0x00, 0xe8, 3, 0x00 };

  body[6] = 0x08;               /* characteristics not supported */
  body[15] = 0x14;              /* extension 2: virtual machine, targeted content distribution */
  put16 (body + 16, 0);
  body[18] = 0xff;
  body[19] = 0xff;
  add_structure (self, 0, body, sizeof body, strings);
}

static void
add_system (Tables *self)
{
  static const char *const strings[] = { "Bulkhead", "PC (i440FX + PIIX3)", "1", NULL };
  uint8_t body[23] = { 1, 2, 3, 0 };

  body[20] = 6;                 /* wake-up: power switch */
  add_structure (self, 1, body, sizeof body, strings);
}

static void
add_enclosure (Tables *self)
{
  static const char *const strings[] = { "Bulkhead", NULL };
  uint8_t body[17] = { 1, 1, 0, 0, 0, 3, 3, 3, 2 };

  add_structure (self, 3, body, sizeof body, strings);
}

static void
add_processor (Tables *self, unsigned family, const char *name)
{
  const char *const strings[] = { "CPU 0", "GenuineIntel", name, NULL };
  uint8_t body[38] = { 1, 3, (uint8_t) family, 2 };

  body[12] = 3;
  put16 (body + 16, 1000);
  put16 (body + 18, 1000);
  body[20] = 0x41;
  body[21] = 1;
  put16 (body + 22, 0xffff);
  put16 (body + 24, 0xffff);
  put16 (body + 26, 0xffff);
  body[31] = 1;
  body[32] = 1;
  body[33] = 1;
  add_structure (self, 4, body, sizeof body, strings);
}

static void
add_memory (Tables *self, uint64_t ram_bytes)
{
  static const char *const strings[] = { "DIMM 0", "Bulkhead", NULL };
  uint8_t array[11] = { 1, 3, 3 }, device[30] = { 0 }, mapped[11] = { 0 };

  put32 (array + 3, (uint32_t) (ram_bytes >> 10));
  put16 (array + 7, 0xfffe);
  put16 (array + 9, 1);
  add_structure (self, 16, array, sizeof array, NULL);
  put16 (device, 0x1000);
  put16 (device + 2, 0xfffe);
  put16 (device + 4, 64);
  put16 (device + 6, 64);
  put16 (device + 8, (uint16_t) (ram_bytes >> 20));
  device[10] = 9;               /* DIMM */
  device[12] = 1;
  device[14] = 7;               /* RAM */
  put16 (device + 15, 1 << 1);
  device[19] = 2;
  add_structure (self, 17, device, sizeof device, strings);
  put32 (mapped + 4, (uint32_t) ((ram_bytes >> 10) - 1));
  put16 (mapped + 8, 0x1000);
  mapped[10] = 1;
  add_structure (self, 19, mapped, sizeof mapped, NULL);
}

static uint8_t
checksum (const uint8_t *bytes, size_t n)
{
  uint8_t sum = 0;

  while (n--)
    sum = (uint8_t) (sum + *bytes++);
  return (uint8_t) -sum;
}

int
firmware_add_smbios (FwCfg *fw_cfg, uint64_t ram_bytes, unsigned cpu_family, const char *cpu_name)
{
  static const uint8_t boot[16] = { 0 };
  Tables *self = calloc (1, sizeof *self);
  uint8_t anchor[31] = "_SM_";
  int result;

  if (!self)
    return -ENOMEM;
  add_bios (self);
  add_system (self);
  add_enclosure (self);
  add_processor (self, cpu_family, cpu_name);
  add_memory (self, ram_bytes);
  add_structure (self, 32, boot, sizeof boot, NULL);
  add_structure (self, 127, NULL, 0, NULL);
  anchor[5] = 31;
  anchor[6] = 2;
  anchor[7] = 8;
  put16 (anchor + 8, (uint16_t) self->largest);
  memcpy (anchor + 16, "_DMI_", 5);
  put16 (anchor + 22, (uint16_t) self->n_bytes);
  put16 (anchor + 28, (uint16_t) self->n_structures);
  anchor[30] = 0x28;
  anchor[21] = checksum (anchor + 16, 15);
  anchor[4] = checksum (anchor, sizeof anchor);
  result = fw_cfg_add_file (fw_cfg, "etc/smbios/smbios-tables", self->bytes, self->n_bytes);
  if (result == 0)
    result = fw_cfg_add_file (fw_cfg, "etc/smbios/smbios-anchor", anchor, sizeof anchor);
  free (self);
  return result;
}
