/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Memory and register operands, for all interpreter routines.
 *
 * Reads and writes check segment, alignment (#AC), paging and data breakpoints, and return EXIT_NONE or EXIT_FAULT with
 * the exception recorded and nothing changed:
 *
 *     if (cpu_read_32 (cpu, insn->segment, insn_offset (cpu, insn), &value))
 *       return EXIT_FAULT;
 *
 * Read-modify-write: cpu_read_for_write_N checks for writing, cpu_write_back_N then cannot fail.
 * Larger operands: cpu_read_bytes, cpu_write_bytes; an instruction that writes in several pieces first calls
 * cpu_check_write for the whole.  Values are little endian on the host too (the monitor requires it). */
#pragma once

#include "cpu.h"
#include "decode.h"
#include "exceptions.h"
#include "memory.h"
#include "tlb.h"

#include <string.h>

_Static_assert (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "guest values are copied as they are");

#define LIKELY(x)   __builtin_expect (!!(x), 1)
#define UNLIKELY(x) __builtin_expect (!!(x), 0)

/* ---- Registers ---- */

static inline uint8_t
reg_read_8 (const Cpu *cpu, unsigned number)
{
  return number < 4 ? (uint8_t) cpu->regs[number] : (uint8_t) (cpu->regs[number & 3] >> 8);
}

static inline void
reg_write_8 (Cpu *cpu, unsigned number, uint8_t value)
{
  ((uint8_t *) &cpu->regs[number & 3])[number >> 2] = value;
}

static inline uint16_t
reg_read_16 (const Cpu *cpu, unsigned number)
{
  return (uint16_t) cpu->regs[number];
}

static inline void
reg_write_16 (Cpu *cpu, unsigned number, uint16_t value)
{
  memcpy (&cpu->regs[number], &value, 2);
}

static inline uint32_t
reg_read_32 (const Cpu *cpu, unsigned number)
{
  return cpu->regs[number];
}

static inline void
reg_write_32 (Cpu *cpu, unsigned number, uint32_t value)
{
  cpu->regs[number] = value;
}

/* ---- Effective address ---- */

/* The offset of the memory operand within insn->segment. */
static inline uint32_t
insn_offset (const Cpu *cpu, const DecodedInsn *insn)
{
  uint32_t offset = insn->displacement;

  if (insn->base != REG_NONE)
    offset += cpu->regs[insn->base & 7];
  if (insn->index != REG_NONE)
    offset += cpu->regs[insn->index & 7] << insn->scale;
  return insn->address_size == 4 ? offset : offset & 0xffff;
}

/* ---- Memory ---- */

typedef struct
{
  uint8_t *host;                /* NULL: through memory.c */
  uint32_t linear;
} MemoryWriteBack;

/* SSE's 16-byte rule: #GP(0) when the linear address is not a multiple of 16. */
static inline ExitReason
cpu_check_aligned_16 (Cpu *cpu, unsigned segment, uint32_t offset)
{
  return (cpu->segments[segment].base + offset) & 15 ? cpu_raise_error (cpu, VECTOR_GP, 0) : EXIT_NONE;
}

static inline ExitReason
cpu_read_128 (Cpu *cpu, unsigned segment, uint32_t offset, void *ret_bytes)
{
  return cpu_read_bytes (cpu, segment, offset, ret_bytes, 16, 16);
}

static inline ExitReason
cpu_write_128 (Cpu *cpu, unsigned segment, uint32_t offset, const void *bytes)
{
  return cpu_write_bytes (cpu, segment, offset, bytes, 16, 16);
}

/* 80-bit values are aligned for #AC at 8 (SDM vol. 3, table 6-7). */
static inline ExitReason
cpu_read_80 (Cpu *cpu, unsigned segment, uint32_t offset, void *ret_bytes)
{
  return cpu_read_bytes (cpu, segment, offset, ret_bytes, 10, 8);
}

static inline ExitReason
cpu_write_80 (Cpu *cpu, unsigned segment, uint32_t offset, const void *bytes)
{
  return cpu_write_bytes (cpu, segment, offset, bytes, 10, 8);
}

#define DEFINE_ACCESS(bits, type) \
  static inline __attribute__ ((always_inline)) ExitReason \
  cpu_read_##bits (Cpu *cpu, unsigned segment, uint32_t offset, type *ret_value) \
  { \
    const Tlb *tlb = cpu->tlb; \
    uint32_t linear = cpu->segments[segment].base + offset; \
    const TlbEntry *entry = tlb_entry (tlb->data, linear); \
    if (LIKELY ((int64_t) offset + (bits / 8 - 1) <= tlb->read_max[segment] \
                && entry->read_tag == ((linear + (bits / 8 - 1)) & ~0xfffu))) \
      { \
        memcpy (ret_value, (const uint8_t *) (entry->addend + linear), bits / 8); \
        return EXIT_NONE; \
      } \
    return cpu_read_bytes (cpu, segment, offset, ret_value, bits / 8, bits / 8); \
  } \
  \
  static inline __attribute__ ((always_inline)) ExitReason \
  cpu_write_##bits (Cpu *cpu, unsigned segment, uint32_t offset, type value) \
  { \
    const Tlb *tlb = cpu->tlb; \
    uint32_t linear = cpu->segments[segment].base + offset; \
    const TlbEntry *entry = tlb_entry (tlb->data, linear); \
    if (LIKELY ((int64_t) offset + (bits / 8 - 1) <= tlb->write_max[segment] \
                && entry->write_tag == ((linear + (bits / 8 - 1)) & ~0xfffu))) \
      { \
        memcpy ((uint8_t *) (entry->addend + linear), &value, bits / 8); \
        return EXIT_NONE; \
      } \
    return cpu_write_bytes (cpu, segment, offset, &value, bits / 8, bits / 8); \
  } \
  \
  static inline __attribute__ ((always_inline)) ExitReason \
  cpu_read_for_write_##bits (Cpu *cpu, unsigned segment, uint32_t offset, type *ret_value, MemoryWriteBack *ret_where) \
  { \
    const Tlb *tlb = cpu->tlb; \
    uint32_t linear = cpu->segments[segment].base + offset; \
    const TlbEntry *entry = tlb_entry (tlb->data, linear); \
    ret_where->linear = linear; \
    if (LIKELY ((int64_t) offset + (bits / 8 - 1) <= tlb->write_max[segment] \
                && entry->write_tag == ((linear + (bits / 8 - 1)) & ~0xfffu))) \
      { \
        ret_where->host = (uint8_t *) (entry->addend + linear); \
        memcpy (ret_value, ret_where->host, bits / 8); \
        return EXIT_NONE; \
      } \
    ret_where->host = NULL; \
    if (cpu_check_write (cpu, segment, offset, bits / 8, bits / 8)) \
      return EXIT_FAULT; \
    return cpu_read_bytes (cpu, segment, offset, ret_value, bits / 8, 1); \
  } \
  \
  static inline __attribute__ ((always_inline)) void \
  cpu_write_back_##bits (Cpu *cpu, const MemoryWriteBack *where, type value) \
  { \
    if (LIKELY (where->host != NULL)) \
      memcpy (where->host, &value, bits / 8); \
    else \
      cpu_write_linear (cpu, where->linear, &value, bits / 8); \
  }

DEFINE_ACCESS (8, uint8_t)
DEFINE_ACCESS (16, uint16_t)
DEFINE_ACCESS (32, uint32_t)
DEFINE_ACCESS (64, uint64_t)
#undef DEFINE_ACCESS

/* E operands that may be register or memory. */
#define DEFINE_OPERAND(bits, type) \
  static inline ExitReason \
  insn_read_##bits (Cpu *cpu, const DecodedInsn *insn, type *ret_value) \
  { \
    if (insn->is_memory) \
      return cpu_read_##bits (cpu, insn->segment, insn_offset (cpu, insn), ret_value); \
    *ret_value = reg_read_##bits (cpu, insn->rm); \
    return EXIT_NONE; \
  } \
  \
  static inline ExitReason \
  insn_write_##bits (Cpu *cpu, const DecodedInsn *insn, type value) \
  { \
    if (insn->is_memory) \
      return cpu_write_##bits (cpu, insn->segment, insn_offset (cpu, insn), value); \
    reg_write_##bits (cpu, insn->rm, value); \
    return EXIT_NONE; \
  }

DEFINE_OPERAND (8, uint8_t)
DEFINE_OPERAND (16, uint16_t)
DEFINE_OPERAND (32, uint32_t)
#undef DEFINE_OPERAND

/* ---- Stack: width of SP from SS.B ---- */

static inline ExitReason
cpu_push_16 (Cpu *cpu, uint16_t value)
{
  uint32_t mask = cpu->tlb->stack_mask, sp = (cpu->regs[REG_ESP] - 2) & mask;

  if (cpu_write_16 (cpu, SEG_SS, sp, value))
    return EXIT_FAULT;
  cpu->regs[REG_ESP] = (cpu->regs[REG_ESP] & ~mask) | sp;
  return EXIT_NONE;
}

static inline ExitReason
cpu_push_32 (Cpu *cpu, uint32_t value)
{
  uint32_t mask = cpu->tlb->stack_mask, sp = (cpu->regs[REG_ESP] - 4) & mask;

  if (cpu_write_32 (cpu, SEG_SS, sp, value))
    return EXIT_FAULT;
  cpu->regs[REG_ESP] = (cpu->regs[REG_ESP] & ~mask) | sp;
  return EXIT_NONE;
}

static inline ExitReason
cpu_pop_16 (Cpu *cpu, uint16_t *ret_value)
{
  uint32_t mask = cpu->tlb->stack_mask;

  if (cpu_read_16 (cpu, SEG_SS, cpu->regs[REG_ESP] & mask, ret_value))
    return EXIT_FAULT;
  cpu->regs[REG_ESP] = (cpu->regs[REG_ESP] & ~mask) | ((cpu->regs[REG_ESP] + 2) & mask);
  return EXIT_NONE;
}

static inline ExitReason
cpu_pop_32 (Cpu *cpu, uint32_t *ret_value)
{
  uint32_t mask = cpu->tlb->stack_mask;

  if (cpu_read_32 (cpu, SEG_SS, cpu->regs[REG_ESP] & mask, ret_value))
    return EXIT_FAULT;
  cpu->regs[REG_ESP] = (cpu->regs[REG_ESP] & ~mask) | ((cpu->regs[REG_ESP] + 4) & mask);
  return EXIT_NONE;
}

/* ---- Coprocessor checks (SDM vol. 3, tables 2-2, 12-1, 13-1) ---- */

/* x87: #NM when CR0.EM or CR0.TS; FWAIT looks at MP and TS instead and does not call this. */
static inline ExitReason
cpu_check_x87 (Cpu *cpu)
{
  return cpu->cr0 & (CR0_EM | CR0_TS) ? cpu_raise (cpu, VECTOR_NM) : EXIT_NONE;
}

/* MMX: #UD when EM, #NM when TS. A pending x87 error: cpu_report_x87_error in exceptions.h. */
static inline ExitReason
cpu_check_mmx (Cpu *cpu)
{
  if (cpu->cr0 & CR0_EM)
    return cpu_raise (cpu, VECTOR_UD);
  return cpu->cr0 & CR0_TS ? cpu_raise (cpu, VECTOR_NM) : EXIT_NONE;
}

/* SSE and SSE2 on XMM registers: #UD when EM or not CR4.OSFXSR, #NM when TS. */
static inline ExitReason
cpu_check_sse (Cpu *cpu)
{
  if (cpu->cr0 & CR0_EM || !(cpu->cr4 & CR4_OSFXSR))
    return cpu_raise (cpu, VECTOR_UD);
  return cpu->cr0 & CR0_TS ? cpu_raise (cpu, VECTOR_NM) : EXIT_NONE;
}
