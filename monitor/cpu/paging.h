/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Linear to guest-physical addresses (SDM vol. 3, chapter 4): 32-bit with 4 MiB pages and PSE-36, and PAE. */
#pragma once

#include "cpu.h"

enum { ACCESS_READ = 0, ACCESS_WRITE = 1, ACCESS_EXECUTE = 2, ACCESS_USER = 4 };

typedef struct
{
  uint64_t physical;            /* of the byte asked for, A20 applied */
  bool     writable;            /* a write by this kind of access is allowed and its dirty bits are set already */
  bool     user;                /* a user access may read it */
  bool     global;
  bool     executable;
  uint32_t page_size;           /* 4096, 2 MiB, 4 MiB; 4096 without paging */
} PageTranslation;

/* Walks the tables in memory (no TLB), sets accessed and dirty bits as the access requires.  access: ACCESS_*.
 * EXIT_NONE, or EXIT_FAULT with #PF recorded and CR2 set. */
ExitReason paging_translate (Cpu *cpu, uint32_t linear, unsigned access, PageTranslation *ret);
/* The same for debuggers and the translator's planning: no exception, no A/D update. false: not present. */
bool       paging_peek      (Cpu *cpu, uint32_t linear, PageTranslation *ret);
/* PAE: loads the four PDPTEs that cr3 points to into ret. false: a reserved bit is set (#GP). */
bool       paging_load_pdptes (Cpu *cpu, uint32_t cr3, uint64_t ret[4]);
