/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Linear memory with paging, memory-mapped registers and page flags; no segments.
 *
 * access says who asks (ACCESS_USER or not); system structures (GDT, IDT, TSS, stacks of inner rings) are supervisor
 * accesses whatever the CPL.  Accesses may cross a page: both pages are translated before the first byte moves.
 * All return EXIT_NONE, or EXIT_FAULT with the exception recorded. */
#pragma once

#include "cpu.h"
#include "paging.h"

enum { MEMORY_MAX_BYTES = 4096 };       /* one access: at most two pages */

ExitReason memory_read  (Cpu *cpu, uint32_t linear, void *ret_bytes, unsigned n_bytes, unsigned access);
ExitReason memory_write (Cpu *cpu, uint32_t linear, const void *bytes, unsigned n_bytes, unsigned access);
/* Would the access succeed?  Sets accessed (and with ACCESS_WRITE dirty) bits; raises the #PF if not. */
ExitReason memory_probe (Cpu *cpu, uint32_t linear, unsigned n_bytes, unsigned access);

/* By guest-physical address, for page tables and SMM: memory or bus, no faults. */
uint64_t   physical_read  (Cpu *cpu, uint64_t physical, unsigned size);
void       physical_write (Cpu *cpu, uint64_t physical, unsigned size, uint64_t value);
/* Host pointer for n_bytes at linear within one page, when it is plain memory; NULL otherwise (also when the walk would
 * fault). With ACCESS_WRITE the page is marked written for that range. */
uint8_t   *memory_direct (Cpu *cpu, uint32_t linear, unsigned n_bytes, unsigned access);

static inline ExitReason
memory_read_16 (Cpu *cpu, uint32_t linear, unsigned access, uint16_t *ret)
{
  return memory_read (cpu, linear, ret, 2, access);
}

static inline ExitReason
memory_read_32 (Cpu *cpu, uint32_t linear, unsigned access, uint32_t *ret)
{
  return memory_read (cpu, linear, ret, 4, access);
}
