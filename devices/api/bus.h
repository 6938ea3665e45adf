/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ports and memory-mapped registers: who answers at which address.
 *
 * A region says which widths its hardware decodes; the bus splits an access of another width into narrower ones
 * (little endian, lowest address first), or, where the region decodes only wider ones, answers all ones.  So no
 * device tests `size` again.  `offset` counts from the start of the claimed range.  A missing read function
 * answers all ones, a missing write function drops the value; so do addresses that nobody claimed. */
#pragma once

#include "device.h"

#include <stdint.h>

enum { BUS_SIZE_1 = 1 << 0, BUS_SIZE_2 = 1 << 1, BUS_SIZE_4 = 1 << 2, BUS_SIZE_8 = 1 << 3 };

typedef struct
{
  const char *name;
  uint8_t     sizes;            /* BUS_SIZE_* that the hardware decodes */
  uint64_t  (*read)  (Device *self, uint32_t offset, unsigned size);
  void      (*write) (Device *self, uint32_t offset, unsigned size, uint64_t value);
} BusRegion;

/* Claim n_ports from first_port, or length bytes from address.  The region must live as long as the claim.
 * A later claim of the same owner and region at another place is a second claim.
 * Returns 0, -EEXIST if a part is taken (both owners are named on stderr), -EINVAL for an empty or wrapping range. */
int bus_claim_ports  (Bus *bus, Device *owner, const BusRegion *region, uint16_t first_port, uint32_t n_ports);
int bus_claim_memory (Bus *bus, Device *owner, const BusRegion *region, uint64_t address, uint64_t length);

/* Gives back every range claimed by this owner with this region (PCI BARs that move).  -ENOENT if there is none. */
int bus_release      (Bus *bus, Device *owner, const BusRegion *region);

/* The CPU's side.  size is 1, 2, 4 (ports) or 1, 2, 4, 8 (memory); address + size may cross region borders. */
uint32_t bus_read_port    (Bus *bus, uint16_t port, unsigned size);
void     bus_write_port   (Bus *bus, uint16_t port, unsigned size, uint32_t value);
uint64_t bus_read_memory  (Bus *bus, uint64_t address, unsigned size);
void     bus_write_memory (Bus *bus, uint64_t address, unsigned size, uint64_t value);

/* The name of who answers at a port, or NULL. For traces and tests. */
const char *bus_port_owner (Bus *bus, uint16_t port);
