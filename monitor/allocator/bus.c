/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ports and memory-mapped registers: which device holds which range.
 *
 * Ports are looked up in a table of 65536 claim numbers, memory in a sorted array: there are few memory claims, and
 * RAM never comes here.  Claims are kept in slots so that a release leaves the other numbers as they are. */
#include "physical-memory.h"

#include "bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUS_MAX_CLAIMS = 256 };

typedef struct
{
  Device          *owner;
  const BusRegion *region;
  uint64_t         first, length;
  bool             is_memory;
} Claim;

struct Bus
{
  Claim    claims[BUS_MAX_CLAIMS];      /* slot 0 is never used: 0 in the tables means nobody */
  unsigned n_memory;
  unsigned n_conflicts;
  uint8_t  memory_order[BUS_MAX_CLAIMS];        /* slots of memory claims by address */
  uint8_t  ports[65536];
  BusTap   tap;
};

Bus *
bus_new (void)
{
  return calloc (1, sizeof (Bus));
}

void
bus_free (Bus *bus)
{
  free (bus);
}

static int
find_slot (Bus *bus)
{
  for (int i = 1; i < BUS_MAX_CLAIMS; i++)
    if (!bus->claims[i].region)
      return i;
  return -ENOSPC;
}

/* A guest can move BARs onto each other as often as it likes: a few lines are enough to find the fault. */
static void
report_conflict (Bus *bus, const BusRegion *wanted, uint64_t first, const Claim *holder)
{
  if (bus->n_conflicts++ < 8)
    fprintf (stderr, "bus: %s wants %#llx, which %s holds\n", wanted->name, (unsigned long long) first, holder->region->name);
}

int
bus_claim_ports (Bus *bus, Device *owner, const BusRegion *region, uint16_t first_port, uint32_t n_ports)
{
  int slot;

  if (n_ports == 0 || first_port + n_ports > 65536)
    return -EINVAL;
  for (uint32_t i = 0; i < n_ports; i++)
    if (bus->ports[first_port + i])
      {
        report_conflict (bus, region, first_port + i, &bus->claims[bus->ports[first_port + i]]);
        return -EEXIST;
      }
  slot = find_slot (bus);
  if (slot < 0)
    return slot;
  bus->claims[slot] = (Claim) { owner, region, first_port, n_ports, false };
  memset (bus->ports + first_port, slot, n_ports);
  return 0;
}

int
bus_claim_memory (Bus *bus, Device *owner, const BusRegion *region, uint64_t address, uint64_t length)
{
  unsigned position = 0;
  int slot;

  if (length == 0 || address + length < address)
    return -EINVAL;
  for (unsigned i = 0; i < bus->n_memory; i++)
    {
      const Claim *other = &bus->claims[bus->memory_order[i]];

      if (address < other->first + other->length && other->first < address + length)
        {
          report_conflict (bus, region, address, other);
          return -EEXIST;
        }
      if (other->first < address)
        position = i + 1;
    }
  slot = find_slot (bus);
  if (slot < 0)
    return slot;
  bus->claims[slot] = (Claim) { owner, region, address, length, true };
  memmove (bus->memory_order + position + 1, bus->memory_order + position, bus->n_memory - position);
  bus->memory_order[position] = (uint8_t) slot;
  bus->n_memory++;
  return 0;
}

int
bus_release (Bus *bus, Device *owner, const BusRegion *region)
{
  int result = -ENOENT;

  for (int slot = 1; slot < BUS_MAX_CLAIMS; slot++)
    {
      Claim *claim = &bus->claims[slot];

      if (claim->region != region || claim->owner != owner)
        continue;
      if (claim->is_memory)
        {
          unsigned kept = 0;

          for (unsigned i = 0; i < bus->n_memory; i++)
            if (bus->memory_order[i] != slot)
              bus->memory_order[kept++] = bus->memory_order[i];
          bus->n_memory = kept;
        }
      else
        memset (bus->ports + claim->first, 0, claim->length);
      *claim = (Claim) { 0 };
      result = 0;
    }
  return result;
}

const char *
bus_port_owner (Bus *bus, uint16_t port)
{
  return bus->ports[port] ? bus->claims[bus->ports[port]].region->name : NULL;
}

static uint64_t
all_ones (unsigned size)
{
  return size >= 8 ? UINT64_MAX : (1ull << (size * 8)) - 1;
}

/* The whole access lies inside the claim.  Narrows to a width that the region decodes. */
static uint64_t
claim_read (const Claim *claim, uint32_t offset, unsigned size)
{
  const BusRegion *region = claim->region;
  unsigned narrow = size;
  uint64_t value = 0;

  if (!region->read)
    return all_ones (size);
  if (region->sizes & size)
    return region->read (claim->owner, offset, size) & all_ones (size);
  while (narrow && !(region->sizes & narrow))
    narrow >>= 1;
  if (!narrow)
    return all_ones (size);
  for (unsigned i = 0; i < size; i += narrow)
    value |= (region->read (claim->owner, offset + i, narrow) & all_ones (narrow)) << (i * 8);
  return value;
}

static void
claim_write (const Claim *claim, uint32_t offset, unsigned size, uint64_t value)
{
  const BusRegion *region = claim->region;
  unsigned narrow = size;

  if (!region->write)
    return;
  while (narrow && !(region->sizes & narrow))
    narrow >>= 1;
  if (!narrow)
    return;
  for (unsigned i = 0; i < size; i += narrow)
    region->write (claim->owner, offset + i, narrow, (value >> (i * 8)) & all_ones (narrow));
}

static const Claim *
find_port (Bus *bus, uint32_t port)
{
  return port <= 0xffff && bus->ports[port] ? &bus->claims[bus->ports[port]] : NULL;
}

static const Claim *
find_memory (Bus *bus, uint64_t address)
{
  for (unsigned i = 0; i < bus->n_memory; i++)
    {
      const Claim *claim = &bus->claims[bus->memory_order[i]];

      if (address < claim->first)
        return NULL;
      if (address - claim->first < claim->length)
        return claim;
    }
  return NULL;
}

static uint32_t
read_port (Bus *bus, uint16_t port, unsigned size)
{
  const Claim *claim = find_port (bus, port);
  uint32_t value = 0;

  if (claim && port - claim->first + size <= claim->length)
    return (uint32_t) claim_read (claim, (uint32_t) (port - claim->first), size);
  for (unsigned i = 0; i < size; i++)
    {
      claim = find_port (bus, port + i);
      value |= (claim ? (uint32_t) claim_read (claim, (uint32_t) (port + i - claim->first), 1) : 0xffu) << (i * 8);
    }
  return value;
}

static void
write_port (Bus *bus, uint16_t port, unsigned size, uint32_t value)
{
  const Claim *claim = find_port (bus, port);

  if (claim && port - claim->first + size <= claim->length)
    {
      claim_write (claim, (uint32_t) (port - claim->first), size, value);
      return;
    }
  for (unsigned i = 0; i < size; i++)
    if ((claim = find_port (bus, port + i)))
      claim_write (claim, (uint32_t) (port + i - claim->first), 1, (value >> (i * 8)) & 0xff);
}

static uint64_t
read_memory (Bus *bus, uint64_t address, unsigned size)
{
  const Claim *claim = find_memory (bus, address);
  uint64_t value = 0;

  if (claim && address - claim->first + size <= claim->length)
    return claim_read (claim, (uint32_t) (address - claim->first), size);
  for (unsigned i = 0; i < size; i++)
    {
      claim = find_memory (bus, address + i);
      value |= (claim ? claim_read (claim, (uint32_t) (address + i - claim->first), 1) : 0xffu) << (i * 8);
    }
  return value;
}

static void
write_memory (Bus *bus, uint64_t address, unsigned size, uint64_t value)
{
  const Claim *claim = find_memory (bus, address);

  if (claim && address - claim->first + size <= claim->length)
    {
      claim_write (claim, (uint32_t) (address - claim->first), size, value);
      return;
    }
  for (unsigned i = 0; i < size; i++)
    if ((claim = find_memory (bus, address + i)))
      claim_write (claim, (uint32_t) (address + i - claim->first), 1, (value >> (i * 8)) & 0xff);
}

/* The CPU's side, with whoever listens in. */

void
bus_set_tap (Bus *bus, const BusTap *tap)
{
  bus->tap = tap ? *tap : (BusTap) { NULL, NULL, NULL };
}

uint32_t
bus_read_port (Bus *bus, uint16_t port, unsigned size)
{
  uint64_t value;

  if (bus->tap.answer && bus->tap.answer (bus->tap.data, BUS_READ_PORT, port, size, &value))
    return (uint32_t) value;
  value = read_port (bus, port, size);
  if (bus->tap.done)
    bus->tap.done (bus->tap.data, BUS_READ_PORT, port, size, value);
  return (uint32_t) value;
}

void
bus_write_port (Bus *bus, uint16_t port, unsigned size, uint32_t value)
{
  uint64_t copy = value;

  if (bus->tap.answer && bus->tap.answer (bus->tap.data, BUS_WRITE_PORT, port, size, &copy))
    return;
  if (bus->tap.done)
    bus->tap.done (bus->tap.data, BUS_WRITE_PORT, port, size, value);
  write_port (bus, port, size, value);
}

uint64_t
bus_read_memory (Bus *bus, uint64_t address, unsigned size)
{
  uint64_t value;

  if (bus->tap.answer && bus->tap.answer (bus->tap.data, BUS_READ_MEMORY, address, size, &value))
    return value;
  value = read_memory (bus, address, size);
  if (bus->tap.done)
    bus->tap.done (bus->tap.data, BUS_READ_MEMORY, address, size, value);
  return value;
}

void
bus_write_memory (Bus *bus, uint64_t address, unsigned size, uint64_t value)
{
  uint64_t copy = value;

  if (bus->tap.answer && bus->tap.answer (bus->tap.data, BUS_WRITE_MEMORY, address, size, &copy))
    return;
  if (bus->tap.done)
    bus->tap.done (bus->tap.data, BUS_WRITE_MEMORY, address, size, value);
  write_memory (bus, address, size, value);
}
