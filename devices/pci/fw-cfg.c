/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fw_cfg with the DMA interface (QEMU docs/specs/fw_cfg, "Guest-side DMA Interface").  Items are read only. */
#include "fw-cfg.h"

#include "guest-memory.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  N_ITEMS = FW_CFG_FIRST_FILE + FW_CFG_MAX_FILES, FILE_NAME_BYTES = 56,
  ID_TRADITIONAL = 1, ID_DMA = 2,
  DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16,
};

#define DMA_SIGNATURE 0x51454d5520434647ull     /* "QEMU CFG" */

typedef struct
{
  uint8_t *bytes;
  size_t   n_bytes;
} Item;

typedef struct
{
  uint32_t size;                /* big endian, as the guest reads it */
  uint16_t number;
  uint16_t reserved;
  char     name[FILE_NAME_BYTES];
} FileEntry;

struct FwCfg
{
  Device     parent;
  DeviceHost host;
  Item       items[N_ITEMS];
  unsigned   n_files;
  FileEntry  files[FW_CFG_MAX_FILES];
  uint16_t   selected;
  uint32_t   position;
  uint32_t   dma_address_high;
};

static const Item *
current (const FwCfg *self)
{
  static const Item nothing = { NULL, 0 };
  unsigned number = self->selected & 0xbfff;    /* bit 14: for writing; bit 15: architecture-local, of which there are none */

  return number < N_ITEMS ? &self->items[number] : &nothing;
}

/* Past the end everything is 0. */
static void
read_bytes (FwCfg *self, uint8_t *to, size_t n_bytes)
{
  const Item *item = current (self);
  size_t have = self->position < item->n_bytes ? item->n_bytes - self->position : 0;

  if (have > n_bytes)
    have = n_bytes;
  if (have)
    memcpy (to, item->bytes + self->position, have);
  memset (to + have, 0, n_bytes - have);
  self->position = n_bytes > UINT32_MAX - self->position ? UINT32_MAX : self->position + (uint32_t) n_bytes;
}

static void
run_dma (FwCfg *self, uint64_t address)
{
  struct { uint32_t control, length; uint64_t address; } request;
  uint32_t control, result = 0, left;
  uint64_t to;

  if (guest_memory_read (self->host.memory, address, &request, sizeof request) < 0)
    return;
  control = be32toh (request.control);
  left = be32toh (request.length);
  to = be64toh (request.address);
  if (control & DMA_SELECT)
    {
      self->selected = (uint16_t) (control >> 16);
      self->position = 0;
    }
  if (control & DMA_READ)
    {
      const Item *item = current (self);
      uint8_t buffer[4096];

      /* A length of 4 GiB for an item of ten bytes must not take long: past the item one page of zeros is enough,
       * and memory that is not there ends it. */
      while (left)
        {
          size_t n = left < sizeof buffer ? left : sizeof buffer;

          if (self->position >= item->n_bytes && to >= guest_memory_ram_bytes (self->host.memory))
            break;
          read_bytes (self, buffer, n);
          if (guest_memory_write (self->host.memory, to, buffer, n) < 0)
            result = DMA_ERROR;
          to += n;
          left -= (uint32_t) n;
        }
    }
  else if (control & DMA_WRITE)
    result = DMA_ERROR;
  else if (control & DMA_SKIP)
    self->position = left > UINT32_MAX - self->position ? UINT32_MAX : self->position + left;
  request.control = htobe32 (result);
  guest_memory_write (self->host.memory, address, &request.control, sizeof request.control);
}

static uint64_t
port_read (Device *device, uint32_t offset, unsigned size)
{
  FwCfg *self = (FwCfg *) device;
  uint8_t byte;

  if (offset != 1 || size != 1)
    return UINT64_MAX;
  read_bytes (self, &byte, 1);
  return byte;
}

static void
port_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  FwCfg *self = (FwCfg *) device;

  if (offset != 0 || size != 2)
    return;
  self->selected = (uint16_t) value;
  self->position = 0;
}

static uint64_t
dma_read (Device *device, uint32_t offset, unsigned size)
{
  uint8_t signature[8];
  uint64_t value = htobe64 (DMA_SIGNATURE), part = 0;

  memcpy (signature, &value, sizeof signature);
  memcpy (&part, signature + offset, size);
  return part;
}

static void
dma_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  FwCfg *self = (FwCfg *) device;

  if (size != 4)
    return;
  if (offset == 0)
    self->dma_address_high = be32toh ((uint32_t) value);
  else if (offset == 4)
    {
      uint64_t address = (uint64_t) self->dma_address_high << 32 | be32toh ((uint32_t) value);

      self->dma_address_high = 0;
      run_dma (self, address);
    }
}

static const BusRegion port_region = { "fw-cfg", BUS_SIZE_1 | BUS_SIZE_2, port_read, port_write };
static const BusRegion dma_region = { "fw-cfg-dma", BUS_SIZE_1 | BUS_SIZE_2 | BUS_SIZE_4, dma_read, dma_write };

static void
fw_cfg_reset (Device *device)
{
  FwCfg *self = (FwCfg *) device;

  self->selected = 0;
  self->position = 0;
  self->dma_address_high = 0;
}

static void
fw_cfg_finish (Device *device)
{
  FwCfg *self = (FwCfg *) device;

  for (unsigned i = 0; i < N_ITEMS; i++)
    free (self->items[i].bytes);
  free (self);
}

static const StateField fw_cfg_fields[] = {
  STATE_FIELD (FwCfg, selected, STATE_UINT, 1),
  STATE_FIELD (FwCfg, position, STATE_UINT, 1),
  STATE_FIELD (FwCfg, dma_address_high, STATE_UINT, 1),
  STATE_END,
};
static const StateTable fw_cfg_state = { "fw-cfg", 1, fw_cfg_fields, NULL };
static const DeviceClass fw_cfg_class = { "fw-cfg", sizeof (FwCfg), &fw_cfg_state, fw_cfg_reset, fw_cfg_finish };

int
fw_cfg_add_item (FwCfg *self, uint16_t number, const void *bytes, size_t n_bytes)
{
  uint8_t *copy;

  if (number >= N_ITEMS)
    return -EINVAL;
  copy = malloc (n_bytes ? n_bytes : 1);
  if (!copy)
    return -ENOMEM;
  if (n_bytes)
    memcpy (copy, bytes, n_bytes);
  free (self->items[number].bytes);
  self->items[number] = (Item) { copy, n_bytes };
  return 0;
}

static int
update_directory (FwCfg *self)
{
  uint8_t directory[4 + sizeof self->files];
  uint32_t count = htobe32 (self->n_files);

  memcpy (directory, &count, sizeof count);
  memcpy (directory + 4, self->files, self->n_files * sizeof self->files[0]);
  return fw_cfg_add_item (self, FW_CFG_FILE_DIRECTORY, directory, 4 + self->n_files * sizeof self->files[0]);
}

int
fw_cfg_add_file (FwCfg *self, const char *name, const void *bytes, size_t n_bytes)
{
  FileEntry *entry;
  uint16_t number;
  int result;

  if (strlen (name) >= FILE_NAME_BYTES)
    return -ENAMETOOLONG;
  if (self->n_files == FW_CFG_MAX_FILES)
    return -ENOSPC;
  number = (uint16_t) (FW_CFG_FIRST_FILE + self->n_files);
  result = fw_cfg_add_item (self, number, bytes, n_bytes);
  if (result < 0)
    return result;
  entry = &self->files[self->n_files++];
  memset (entry, 0, sizeof *entry);
  entry->size = htobe32 ((uint32_t) n_bytes);
  entry->number = htobe16 (number);
  memcpy (entry->name, name, strlen (name));
  return update_directory (self);
}

int
fw_cfg_file_number (FwCfg *self, const char *name)
{
  for (unsigned i = 0; i < self->n_files; i++)
    if (strcmp (self->files[i].name, name) == 0)
      return be16toh (self->files[i].number);
  return -ENOENT;
}

int
fw_cfg_new (const DeviceHost *host, FwCfg **ret)
{
  FwCfg *self = calloc (1, sizeof *self);
  uint32_t id = ID_TRADITIONAL | (host->memory ? ID_DMA : 0);
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &fw_cfg_class;
  self->host = *host;
  result = fw_cfg_add_item (self, FW_CFG_SIGNATURE, "QEMU", 4);
  if (result == 0)
    result = fw_cfg_add_item (self, FW_CFG_ID, &id, sizeof id);
  if (result == 0)
    result = update_directory (self);
  if (result == 0)
    result = bus_claim_ports (host->bus, &self->parent, &port_region, 0x510, 2);
  if (result == 0 && host->memory)
    result = bus_claim_ports (host->bus, &self->parent, &dma_region, 0x514, 8);
  if (result < 0)
    {
      fw_cfg_finish (&self->parent);
      return result;
    }
  *ret = self;
  return 0;
}

Device *
fw_cfg_device (FwCfg *self)
{
  return &self->parent;
}
