/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random instructions from the rows of insns.def, with operands that like borders. */
#pragma once

#include "decode.h"
#include "insn-table.h"
#include "native-run.h"

typedef struct
{
  unsigned    row;
  uint8_t     bytes[16];
  unsigned    n_bytes;
  bool        single_step;
  NativeState state;            /* before */
} NativeCase;

/* Why a row cannot be compared on any host, or NULL. */
const char *native_row_excluded (const InsnRow *row);

/* xorshift64*: seeded, so that every failure can be repeated. */
typedef struct { uint64_t state; } Random;

static inline uint32_t
random_next (Random *random)
{
  random->state ^= random->state >> 12;
  random->state ^= random->state << 25;
  random->state ^= random->state >> 27;
  return (uint32_t) (random->state * 0x2545f4914f6cdd1du >> 32);
}

static inline uint32_t
random_below (Random *random, uint32_t n)
{
  return (uint32_t) ((uint64_t) random_next (random) * n >> 32);
}

/* Makes a case for the row, and writes operands into the writable pages of the native world at *ret_first …
 * *ret_first + *ret_length. */
void native_case_generate (Random *random, unsigned row, NativeCase *ret_case, uint32_t *ret_first, uint32_t *ret_length);
