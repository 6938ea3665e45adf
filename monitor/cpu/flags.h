/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The arithmetic flags, computed late.
 *
 * lazy_operation == FLAGS_OP_NONE: the arithmetic bits of eflags are valid.  FLAGS_OP_LAZY: they are not, and follow
 * from three words that every arithmetic routine can store without a branch:
 *
 *   lazy_result       the result, sign-extended to 32 bits: ZF is lazy_result == 0, SF its bit 31
 *   lazy_source       carries: bit 31 carry out of the result's top bit (CF), bit 30 carry into it (OF is their
 *                     exclusive or), bit 3 carry out of bit 3 (AF)
 *   lazy_destination  the byte whose even parity is PF
 *
 * So a condition is a few operations whatever instruction set it, and INC or a shift need only change some bits.
 * Whoever has all flags (translator, debugger, IRET) stores them in eflags and sets lazy_operation = 0. */
#pragma once

#include "cpu.h"

enum { FLAGS_OP_NONE = 0, FLAGS_OP_LAZY = 1 };

static inline bool
flags_parity (uint32_t byte)
{
  return !(__builtin_popcount (byte & 0xff) & 1);
}

static inline uint32_t
flags_arithmetic (const Cpu *cpu)
{
  uint32_t carries = cpu->lazy_source, flags;

  if (cpu->lazy_operation == FLAGS_OP_NONE)
    return cpu->eflags & EFLAGS_ARITHMETIC;
  flags = carries >> 31;
  flags |= (carries & 8) << 1;
  flags |= ((carries ^ carries << 1) >> 31) << 11;
  flags |= cpu->lazy_result >> 24 & EFLAGS_SF;
  if (cpu->lazy_result == 0)
    flags |= EFLAGS_ZF;
  if (flags_parity (cpu->lazy_destination))
    flags |= EFLAGS_PF;
  return flags;
}

static inline uint32_t
flags_get (const Cpu *cpu)
{
  return (cpu->eflags & ~(uint32_t) EFLAGS_ARITHMETIC) | flags_arithmetic (cpu);
}

static inline void
flags_sync (Cpu *cpu)
{
  if (cpu->lazy_operation != FLAGS_OP_NONE)
    {
      cpu->eflags = flags_get (cpu);
      cpu->lazy_operation = FLAGS_OP_NONE;
    }
}

/* Replaces the arithmetic flags in mask by those of value. */
static inline void
flags_set (Cpu *cpu, uint32_t mask, uint32_t value)
{
  flags_sync (cpu);
  cpu->eflags = (cpu->eflags & ~mask) | (value & mask);
}

static inline bool
flags_cf (const Cpu *cpu)
{
  return cpu->lazy_operation ? cpu->lazy_source >> 31 : cpu->eflags & EFLAGS_CF;
}

static inline bool
flags_zf (const Cpu *cpu)
{
  return cpu->lazy_operation ? cpu->lazy_result == 0 : (cpu->eflags & EFLAGS_ZF) != 0;
}

static inline bool
flags_sf (const Cpu *cpu)
{
  return cpu->lazy_operation ? cpu->lazy_result >> 31 : (cpu->eflags & EFLAGS_SF) != 0;
}

static inline bool
flags_of (const Cpu *cpu)
{
  return cpu->lazy_operation ? (cpu->lazy_source ^ cpu->lazy_source << 1) >> 31 : (cpu->eflags & EFLAGS_OF) != 0;
}

static inline bool
flags_pf (const Cpu *cpu)
{
  return cpu->lazy_operation ? flags_parity (cpu->lazy_destination) : (cpu->eflags & EFLAGS_PF) != 0;
}

/* The sixteen conditions of Jcc, SETcc, CMOVcc in opcode order. condition should be a constant. */
static inline __attribute__ ((always_inline)) bool
flags_condition (const Cpu *cpu, unsigned condition)
{
  bool result = false;

  switch (condition >> 1)
    {
    case 0: result = flags_of (cpu); break;
    case 1: result = flags_cf (cpu); break;
    case 2: result = flags_zf (cpu); break;
    case 3: result = flags_cf (cpu) || flags_zf (cpu); break;
    case 4: result = flags_sf (cpu); break;
    case 5: result = flags_pf (cpu); break;
    case 6: result = flags_sf (cpu) != flags_of (cpu); break;
    case 7: result = flags_zf (cpu) || flags_sf (cpu) != flags_of (cpu); break;
    }
  return result != (condition & 1);
}

/* carries: bit i is the carry out of bit i of an operation of `bits` bits. */
static inline __attribute__ ((always_inline)) void
flags_store (Cpu *cpu, unsigned bits, uint32_t result, uint32_t carries)
{
  if (bits == 32)
    {
      cpu->lazy_result = result;
      cpu->lazy_source = carries;
    }
  else if (bits == 16)
    {
      cpu->lazy_result = (uint32_t) (int16_t) result;
      cpu->lazy_source = (carries << 16) | (carries & 8);
    }
  else
    {
      cpu->lazy_result = (uint32_t) (int8_t) result;
      cpu->lazy_source = (carries << 24) | (carries & 8);
    }
  cpu->lazy_destination = result;
  cpu->lazy_operation = FLAGS_OP_LAZY;
}

static inline __attribute__ ((always_inline)) void
flags_store_add (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b, uint32_t result)
{
  flags_store (cpu, bits, result, (a & b) | ((a | b) & ~result));
}

static inline __attribute__ ((always_inline)) void
flags_store_subtract (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b, uint32_t result)
{
  flags_store (cpu, bits, result, (~a & b) | ((~a | b) & result));
}

static inline __attribute__ ((always_inline)) void
flags_store_logic (Cpu *cpu, unsigned bits, uint32_t result)
{
  flags_store (cpu, bits, result, 0);
}

/* SZP from the result; CF, OF, AF as given. */
static inline __attribute__ ((always_inline)) void
flags_store_result (Cpu *cpu, unsigned bits, uint32_t result, bool cf, bool of, bool af)
{
  flags_store (cpu, bits, result, 0);
  cpu->lazy_source = (uint32_t) cf << 31 | (uint32_t) (cf ^ of) << 30 | (uint32_t) af << 3;
}

/* Keeps SZAP, replaces CF and OF: rotates. */
static inline void
flags_store_cf_of (Cpu *cpu, bool cf, bool of)
{
  if (cpu->lazy_operation)
    cpu->lazy_source = (cpu->lazy_source & 8) | (uint32_t) cf << 31 | (uint32_t) (cf ^ of) << 30;
  else
    cpu->eflags = (cpu->eflags & ~(uint32_t) (EFLAGS_CF | EFLAGS_OF)) | (cf ? EFLAGS_CF : 0) | (of ? EFLAGS_OF : 0);
}
