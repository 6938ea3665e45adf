/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The interpreter's software TLB and what else the memory fast path wants to know.
 *
 * Two tables, supervisor and user.  An entry has a tag per kind of fast access; a tag holds the linear page or 1, which
 * no page equals.  Rules:
 *   read_tag   the page may be read at addend + linear
 *   write_tag  besides, its backing page is already PAGE_DIRTY and not PAGE_CODE, reads and writes reach the same
 *              backing, and dirty and write permission bits in the page tables are set
 *   walk_tag   physical and rights below are valid: memory-mapped registers are found without another walk
 * Everything else goes through memory.c.
 *
 * Segments have been checked ahead as well: read_max[s] and write_max[s] are the last offsets that may be read or
 * written, or -1 when each access must be looked at (null, wrong type, expand-down, alignment checks or data
 * breakpoints on).  cpu_changed () recomputes them; everything that changes a segment, CPL, CR0, EFLAGS.AC or DR7 by hand must
 * call it (engines do so once more when run () begins). */
#pragma once

#include "cpu.h"

enum { TLB_ENTRIES = 1024, TLB_NO_PAGE = 1 };
enum { TLB_RIGHT_WRITE = 1, TLB_RIGHT_EXECUTE = 2, TLB_GLOBAL = 4, TLB_LARGE = 8 };

typedef struct
{
  uint32_t  read_tag, write_tag, execute_tag, walk_tag;
  uintptr_t addend;             /* host address of linear 0 of this mapping */
  uint32_t  physical_page;      /* guest-physical page number << 8 | rights */
  uint32_t  page;               /* backing page that is read, or GUEST_PAGE_NONE */
} TlbEntry;

/* A data segment that has been loaded before: valid while the descriptor's bytes are what they were. */
typedef struct
{
  uint32_t gdt_base;
  uint16_t selector;            /* 0: empty */
  uint8_t  cpl;
  bool     stack;               /* checked as SS */
  uint64_t descriptor;
  Segment  segment;
} SegmentCacheEntry;

enum { SEGMENT_CACHE_ENTRIES = 16 };

struct Tlb
{
  TlbEntry *data;               /* table of the current privilege */
  int64_t   read_max[N_SEGMENTS], write_max[N_SEGMENTS];
  uint32_t  stack_mask;         /* 0xffff or 0xffffffff */
  bool      user;               /* data accesses are user accesses: CPL 3 */
  bool      slow;               /* #AC or data breakpoints may be due */
  bool      code_changed;       /* a decoded block died: leave the current one */
  uint64_t  epoch;              /* changes with everything that may change which code a linear address means */
  bool      large_pages;        /* some entry is part of a large page: INVLPG must look at all */
  TlbEntry  tables[2][TLB_ENTRIES];
  SegmentCacheEntry segment_cache[SEGMENT_CACHE_ENTRIES];
};

static inline TlbEntry *
tlb_entry (TlbEntry *table, uint32_t linear)
{
  return &table[linear >> 12 & (TLB_ENTRIES - 1)];
}

void tlb_flush        (Cpu *cpu, bool global_too);
void tlb_flush_linear (Cpu *cpu, uint32_t linear);
/* A backing page became PAGE_CODE or lost PAGE_DIRTY: the next write must be seen. */
void tlb_protect_page (Cpu *cpu, uint32_t page);
void tlb_protect_all  (Cpu *cpu);

/* Recomputes what is derived from segments, CPL, CR0, EFLAGS and DR7. */
void cpu_changed (Cpu *cpu);
/* The same for one segment register. */
void cpu_segment_changed (Cpu *cpu, unsigned segment);
