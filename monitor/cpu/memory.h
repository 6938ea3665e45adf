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

/* For fetching: the backing page that holds linear's code, GUEST_PAGE_NONE when it is not plain memory. */
ExitReason memory_fetch (Cpu *cpu, uint32_t linear, uint32_t *ret_page);

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

/* ---- Through segment registers (slow paths of interpreter/operands.h) ----
 * n_bytes up to MEMORY_MAX_BYTES; alignment: 1 … 16, the boundary whose violation is #AC at CPL 3. */
ExitReason cpu_read_bytes  (Cpu *cpu, unsigned segment, uint32_t offset, void *ret_bytes, unsigned n_bytes, unsigned alignment);
ExitReason cpu_write_bytes (Cpu *cpu, unsigned segment, uint32_t offset, const void *bytes, unsigned n_bytes, unsigned alignment);
/* Everything that the access would check; a later cpu_write_bytes inside the range then cannot fail. */
ExitReason cpu_check_write (Cpu *cpu, unsigned segment, uint32_t offset, unsigned n_bytes, unsigned alignment);
ExitReason cpu_check_read  (Cpu *cpu, unsigned segment, uint32_t offset, unsigned n_bytes, unsigned alignment);
/* A write that cpu_check_write has passed. */
void       cpu_write_linear (Cpu *cpu, uint32_t linear, const void *bytes, unsigned n_bytes);
/* Presence, type and limit of a segment; offset 0 … 2^32 - 1. */
bool       segment_allows (const Segment *segment, uint32_t offset, unsigned n_bytes, bool write);
