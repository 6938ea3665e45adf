/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs one 32-bit instruction on this processor, in ring 3, in the compatibility mode of the running process.
 *
 * Memory below 4 GiB holds a small world (NATIVE_*) whose pages have the rights that the names say; everything else down
 * there is unmapped, so a stray access is a page fault as it is in the guest.  The process itself lives above. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum
{
  NATIVE_CODE      = 0x00400000,        /* execute and read */
  NATIVE_LEAVE     = 0x00401000,        /* execute and read: the way back */
  NATIVE_READ_ONLY = 0x004ff000,
  NATIVE_DATA      = 0x00500000,        /* two pages, read and write; unmapped behind */
  NATIVE_DATA_SIZE = 0x2000,
  NATIVE_STACK     = 0x00600000,        /* one page */
  NATIVE_PAGE      = 0x1000,
  NATIVE_WORLD     = 6,                 /* pages in all */
};

/* Selectors of a 64-bit Linux process: flat code and data for 32-bit programs, and in the LDT a data segment whose base
 * lets 16-bit offsets reach the data pages, and a 16-bit code segment over the code page. */
enum { NATIVE_CS = 0x23, NATIVE_DS = 0x2b, NATIVE_LDT_DS = 0x07, NATIVE_LDT_CS = 0x0f, NATIVE_LDT_BASE = NATIVE_DATA - 0x8000,
       NATIVE_LDT_LIMIT = 0xffff };

static inline uint32_t
native_code_base (uint16_t cs)
{
  return cs == NATIVE_LDT_CS ? NATIVE_CODE : 0;
}

typedef struct
{
  uint32_t regs[8];
  uint32_t eip, eflags;
  uint16_t es, ss, ds, gs, cs;          /* eip is an offset in cs */
  uint8_t  fxsave[512] __attribute__ ((aligned (16)));
  int      vector;              /* -1: none */
  uint32_t error, cr2;
} NativeState;

/* NULL, or why this host cannot. */
const char *native_open (void);
/* Where the test writes the contents of a page of the world (another mapping of the same memory); NULL outside. */
uint8_t    *native_bytes (uint32_t address);
/* Runs `length` bytes at state->cs:state->eip, which lie in the code page (not at its beginning).  single_step: by the trap flag,
 * for instructions that go elsewhere; then ESP must be a multiple of 4 inside a writable page, and the four bytes below
 * it are overwritten by the flags. State: before and after. */
void        native_run (NativeState *state, unsigned length, bool single_step);
