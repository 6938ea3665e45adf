/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes of x86-64 instructions.
 *
 * An Emitter writes through the writable alias of the code cache; `address` is where the processor will see the byte
 * at `at`.  Running over `end` sets `full` and writes nothing more: callers look once, at the end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NO_REGISTER = -1 };

typedef struct
{
  uint8_t *at, *end;
  uint64_t address;             /* of `at`, in the executable alias */
  bool     full;
} Emitter;

/* A memory operand of the host. */
typedef struct
{
  bool    gs;                   /* relative to the GS base */
  bool    address32;            /* 67h: the effective address wraps at 4 GiB */
  int     base, index;          /* host registers or NO_REGISTER */
  uint8_t scale;
  int32_t displacement;
} HostMemory;

static inline void
emit_bytes (Emitter *e, const void *bytes, unsigned n)
{
  if (e->at + n > e->end)
    {
      e->full = true;
      return;
    }
  memcpy (e->at, bytes, n);
  e->at += n;
  e->address += n;
}

static inline void
emit8 (Emitter *e, unsigned byte)
{
  uint8_t value = (uint8_t) byte;

  emit_bytes (e, &value, 1);
}

static inline void
emit32 (Emitter *e, uint32_t value)
{
  emit_bytes (e, &value, 4);
}

static inline void
emit64 (Emitter *e, uint64_t value)
{
  emit_bytes (e, &value, 8);
}

/* ModRM, SIB and displacement; `reg` is the register field. */
static inline void
emit_memory_bytes (Emitter *e, int reg, const HostMemory *memory)
{
  unsigned field = ((unsigned) reg & 7) << 3, mod, sib;
  int32_t displacement = memory->displacement;

  if (memory->base == NO_REGISTER)
    {
      /* No base: SIB with base 5 and mod 0 always has 32 bits of displacement. */
      sib = (unsigned) memory->scale << 6 | (memory->index == NO_REGISTER ? 4 : (unsigned) memory->index & 7) << 3 | 5;
      emit8 (e, field | 4);
      emit8 (e, sib);
      emit32 (e, (uint32_t) displacement);
      return;
    }
  mod = displacement == 0 && (memory->base & 7) != RBP ? 0 : displacement == (int8_t) displacement ? 0x40 : 0x80;
  if (memory->index == NO_REGISTER && (memory->base & 7) != RSP)
    emit8 (e, mod | field | ((unsigned) memory->base & 7));
  else
    {
      sib = (unsigned) memory->scale << 6 | (memory->index == NO_REGISTER ? 4 : (unsigned) memory->index & 7) << 3
            | ((unsigned) memory->base & 7);
      emit8 (e, mod | field | 4);
      emit8 (e, sib);
    }
  if (mod == 0x40)
    emit8 (e, (uint8_t) displacement);
  else if (mod == 0x80)
    emit32 (e, (uint32_t) displacement);
}

/* prefixes: up to four legacy prefix bytes, first in the low byte; opcode: 0x0fXX for the two-byte map. */
static inline void
emit_op_memory (Emitter *e, uint32_t prefixes, bool wide, unsigned opcode, int reg, const HostMemory *memory)
{
  unsigned rex = (wide ? 8 : 0) | (reg >= 8 ? 4 : 0) | (memory->index >= 8 ? 2 : 0) | (memory->base >= 8 ? 1 : 0);

  for (; prefixes; prefixes >>= 8)
    emit8 (e, prefixes & 0xff);
  if (memory->gs)
    emit8 (e, 0x65);
  if (memory->address32)
    emit8 (e, 0x67);
  if (rex)
    emit8 (e, 0x40 | rex);
  if (opcode > 0xff)
    emit8 (e, opcode >> 8);
  emit8 (e, opcode & 0xff);
  emit_memory_bytes (e, reg, memory);
}

static inline void
emit_op_register (Emitter *e, uint32_t prefixes, bool wide, unsigned opcode, int reg, int rm)
{
  unsigned rex = (wide ? 8 : 0) | (reg >= 8 ? 4 : 0) | (rm >= 8 ? 1 : 0);

  for (; prefixes; prefixes >>= 8)
    emit8 (e, prefixes & 0xff);
  if (rex)
    emit8 (e, 0x40 | rex);
  if (opcode > 0xff)
    emit8 (e, opcode >> 8);
  emit8 (e, opcode & 0xff);
  emit8 (e, 0xc0 | ((unsigned) reg & 7) << 3 | ((unsigned) rm & 7));
}

static inline HostMemory
host_memory (int base, int32_t displacement)
{
  return (HostMemory) { .base = base, .index = NO_REGISTER, .displacement = displacement };
}

/* RIP-relative operand at absolute address `target`; `after` bytes of immediate follow it. */
static inline void
emit_op_rip (Emitter *e, bool wide, unsigned opcode, int reg, const void *target, unsigned after)
{
  unsigned rex = (wide ? 8 : 0) | (reg >= 8 ? 4 : 0);

  if (rex)
    emit8 (e, 0x40 | rex);
  if (opcode > 0xff)
    emit8 (e, opcode >> 8);
  emit8 (e, opcode & 0xff);
  emit8 (e, ((unsigned) reg & 7) << 3 | 5);
  emit32 (e, (uint32_t) ((uint64_t) target - (e->address + 4 + after)));
}

static inline void
emit_mov32 (Emitter *e, int to, int from)
{
  emit_op_register (e, 0, false, 0x8b, to, from);
}

static inline void
emit_mov64 (Emitter *e, int to, int from)
{
  emit_op_register (e, 0, true, 0x8b, to, from);
}

static inline void
emit_mov_immediate32 (Emitter *e, int to, uint32_t value)
{
  if (to >= 8)
    emit8 (e, 0x41);
  emit8 (e, 0xb8 | ((unsigned) to & 7));
  emit32 (e, value);
}

static inline void
emit_load32 (Emitter *e, int to, int base, int32_t displacement)
{
  HostMemory memory = host_memory (base, displacement);

  emit_op_memory (e, 0, false, 0x8b, to, &memory);
}

static inline void
emit_store32 (Emitter *e, int from, int base, int32_t displacement)
{
  HostMemory memory = host_memory (base, displacement);

  emit_op_memory (e, 0, false, 0x89, from, &memory);
}

/* lea to, [base + displacement] in 32 bits: no flags touched. */
static inline void
emit_lea32 (Emitter *e, int to, int base, int32_t displacement)
{
  HostMemory memory = host_memory (base, displacement);

  emit_op_memory (e, 0, false, 0x8d, to, &memory);
}

static inline void
emit_jump (Emitter *e, uint64_t target)
{
  emit8 (e, 0xe9);
  emit32 (e, (uint32_t) (target - (e->address + 4)));
}

static inline void
emit_call (Emitter *e, uint64_t target)
{
  emit8 (e, 0xe8);
  emit32 (e, (uint32_t) (target - (e->address + 4)));
}

static inline void
emit_jump_condition (Emitter *e, unsigned condition, uint64_t target)
{
  emit8 (e, 0x0f);
  emit8 (e, 0x80 | condition);
  emit32 (e, (uint32_t) (target - (e->address + 4)));
}
