/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Decoded code, by backing page.
 *
 * A block is a run of instructions within one page, ending at a branch or at an instruction that may change how the next
 * one is fetched.  Pages with blocks are PAGE_CODE; a write to one comes to code_written, which kills the blocks that
 * overlap.  Killing replaces the routines of a block by one that leaves it, so that a program that writes the instruction
 * right behind the one being executed gets the new one, without a test per instruction. Memory of dead blocks is reused
 * only when the whole cache is emptied, between blocks. */
#pragma once

#include "cpu.h"
#include "decode.h"

typedef struct Block Block;

/* Where a block led last time: valid while the key is that of the next address in the same epoch. */
typedef struct
{
  uint64_t key;                 /* block_link_key */
  Block   *block;
} BlockLink;

struct Block
{
  BlockLink links[2];           /* left by its end, left by a branch */
  Block   *next_in_bucket, *next_in_page;
  uint32_t page;                /* backing page */
  uint16_t offset, n_bytes;
  uint8_t  mode;                /* DECODE_CODE32 or 0 */
  uint8_t  n_insns;
  DecodedInsn insns[];          /* and one more whose routine ends the block */
};

enum { BLOCK_MAX_INSNS = 32, DECODE_CACHE_BUCKETS = 1 << 15, DECODE_CACHE_BYTES = 16 << 20 };

struct DecodeCache
{
  Block   **buckets;
  Block   **pages;              /* per backing page: its blocks */
  uint64_t *masks;              /* per backing page: 64-byte pieces that hold decoded bytes */
  uint8_t  *arena;
  size_t    used;
  Block    *current;            /* being executed */
  uint64_t  n_built, n_killed, n_emptied;
};

/* NULL when memory is short.  Sets cpu->cache_hooks and cpu->decode_cache. */
DecodeCache *decode_cache_new  (Cpu *cpu);
void         decode_cache_free (Cpu *cpu);

/* Linear address, code size, ring 3 or not, epoch: 0 is never a key. */
static inline uint64_t
block_link_key (const Cpu *cpu, uint32_t linear, unsigned mode, bool user, uint64_t epoch)
{
  return linear | (uint64_t) (mode | (user ? 2 : 0) | 4) << 32 | epoch << 35;
}

static inline unsigned
decode_cache_bucket (uint32_t page, uint32_t offset, unsigned mode)
{
  return ((page << 12 | offset) * 0x9e3779b1u ^ mode << 16) >> 17 & (DECODE_CACHE_BUCKETS - 1);
}

static inline Block *
decode_cache_find (const DecodeCache *cache, uint32_t page, uint32_t offset, unsigned mode)
{
  Block *block = cache->buckets[decode_cache_bucket (page, offset, mode)];

  while (block && (block->page != page || block->offset != offset || block->mode != mode))
    block = block->next_in_bucket;
  return block;
}

/* Decodes from the page's bytes. NULL: the first instruction crosses the page, or is not one; execute it alone. */
Block *decode_cache_build (Cpu *cpu, uint32_t page, uint32_t offset, unsigned mode);
