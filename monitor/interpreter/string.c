/* SPDX-License-Identifier: GPL-3.0-or-later */
/* String instructions, INS and OUTS among them.
 *
 * Counting: each iteration of a repeated instruction retires as one instruction; a repeat count of 0 retires as one.
 * A routine runs as many iterations as instruction_limit allows and stops early, with EIP still at the instruction and
 * RF set, when something was requested or a trap is due after the iteration.  So where it stops does not depend on how
 * iterations were grouped. The translator counts in the same way.
 *
 * Registers are brought up to date after each iteration, so a fault in iteration k leaves k iterations done. When CMPS
 * or SCAS faults, the flags are those from before the instruction (SDM vol. 2, REP). */
#include "bus.h"
#include "flags.h"
#include "operands.h"
#include "physical-memory.h"
#include "routines.h"
#include "segments.h"

#define INLINE static inline __attribute__ ((always_inline))
#define ROUTINE(name) ExitReason interpret_##name (Cpu *cpu, const DecodedInsn *insn)

typedef ExitReason (*Iteration) (Cpu *cpu, const DecodedInsn *insn, uint32_t mask);
/* Does up to `most` iterations at once and moves ESI and EDI; 0: cannot. */
typedef uint32_t (*Bulk) (Cpu *cpu, const DecodedInsn *insn, uint32_t mask, uint32_t most);

INLINE void
advance (Cpu *cpu, unsigned number, uint32_t mask, unsigned size)
{
  uint32_t step = cpu->eflags & EFLAGS_DF ? 0 - size : size;

  cpu->regs[number] = (cpu->regs[number] & ~mask) | ((cpu->regs[number] + step) & mask);
}

INLINE uint32_t
address_mask (const DecodedInsn *insn)
{
  return insn->address_size == 4 ? 0xffffffffu : 0xffffu;
}

enum { COMPARES = 1 };

INLINE ExitReason
repeat (Cpu *cpu, const DecodedInsn *insn, unsigned flags, Iteration iteration, Bulk bulk)
{
  uint32_t mask = address_mask (insn), count, old_eflags = cpu->eflags;
  uint32_t old_result = cpu->lazy_result, old_source = cpu->lazy_source, old_destination = cpu->lazy_destination;
  uint8_t old_operation = cpu->lazy_operation;
  uint64_t done = 0, budget;

  if (LIKELY (!(insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE))))
    return iteration (cpu, insn, mask);
  count = cpu->regs[REG_ECX] & mask;
  if (count == 0)
    return EXIT_NONE;
  budget = cpu->eflags & EFLAGS_TF ? 1 : cpu->instruction_limit - cpu->instructions;
  for (;;)
    {
      uint32_t n = 0;

      if (bulk && count > 1 && budget - done > 1)
        n = bulk (cpu, insn, mask, budget - done < count ? (uint32_t) (budget - done) : count);
      if (n == 0)
        {
          if (iteration (cpu, insn, mask))
            {
              cpu->instructions += done;
              if (flags & COMPARES && done)
                {
                  cpu->lazy_result = old_result;
                  cpu->lazy_source = old_source;
                  cpu->lazy_destination = old_destination;
                  cpu->lazy_operation = old_operation;
                  cpu->eflags = old_eflags;
                }
              return EXIT_FAULT;
            }
          n = 1;
        }
      count -= n;
      done += n;
      cpu->regs[REG_ECX] = (cpu->regs[REG_ECX] & ~mask) | count;
      if (count == 0 || (flags & COMPARES && flags_zf (cpu) != !(insn->prefixes & INSN_PREFIX_REPNE)))
        {
          cpu->instructions += done - 1;
          return EXIT_NONE;
        }
      if (UNLIKELY (done >= budget || cpu->exit_request || cpu->debug_hits || cpu->tlb->code_changed))
        {
          cpu->instructions += done - 1;
          cpu->eflags |= EFLAGS_RF;
          return EXIT_BRANCH;
        }
    }
}

/* ---- Bulk: forward, within one page on each side, both pages plain memory ---- */

/* Elements from offset to the end of its page, of the segment and of the address size. */
INLINE uint32_t
elements_ahead (uint32_t offset, uint32_t linear, int64_t max, uint32_t mask, unsigned size, uint32_t most)
{
  uint32_t bytes = GUEST_PAGE_SIZE - (linear & 0xfff);

  if ((int64_t) offset + (int64_t) bytes - 1 > max)
    bytes = max < (int64_t) offset ? 0 : (uint32_t) (max - offset + 1);
  if (mask == 0xffff && offset + bytes > 0x10000)
    bytes = 0x10000 - offset;
  return bytes / size < most ? bytes / size : most;
}

INLINE uint32_t
bulk_move (Cpu *cpu, const DecodedInsn *insn, uint32_t mask, uint32_t most, unsigned size)
{
  const Tlb *tlb = cpu->tlb;
  uint32_t si = cpu->regs[REG_ESI] & mask, di = cpu->regs[REG_EDI] & mask;
  uint32_t from_linear = cpu->segments[insn->segment].base + si, to_linear = cpu->segments[SEG_ES].base + di, n_bytes;
  const TlbEntry *from_entry = tlb_entry (tlb->data, from_linear), *to_entry = tlb_entry (tlb->data, to_linear);
  const uint8_t *from = (const uint8_t *) (from_entry->addend + from_linear);
  uint8_t *to = (uint8_t *) (to_entry->addend + to_linear);

  if (cpu->eflags & EFLAGS_DF || from_entry->read_tag != (from_linear & ~0xfffu) || to_entry->write_tag != (to_linear & ~0xfffu))
    return 0;
  most = elements_ahead (si, from_linear, tlb->read_max[insn->segment], mask, size, most);
  most = elements_ahead (di, to_linear, tlb->write_max[SEG_ES], mask, size, most);
  if (!most)
    return 0;
  n_bytes = most * size;
  if (to <= from || to >= from + n_bytes)
    memmove (to, from, n_bytes);
  else
    /* The source is being overwritten ahead of its reading: a pattern spreads. */
    for (uint32_t i = 0; i < n_bytes; i += size)
      memcpy (to + i, from + i, size);
  cpu->regs[REG_ESI] = (cpu->regs[REG_ESI] & ~mask) | ((si + n_bytes) & mask);
  cpu->regs[REG_EDI] = (cpu->regs[REG_EDI] & ~mask) | ((di + n_bytes) & mask);
  return most;
}

INLINE uint32_t
bulk_store (Cpu *cpu, uint32_t mask, uint32_t most, unsigned size)
{
  const Tlb *tlb = cpu->tlb;
  uint32_t di = cpu->regs[REG_EDI] & mask, linear = cpu->segments[SEG_ES].base + di, value = cpu->regs[REG_EAX];
  const TlbEntry *entry = tlb_entry (tlb->data, linear);
  uint8_t *to = (uint8_t *) (entry->addend + linear);

  if (cpu->eflags & EFLAGS_DF || entry->write_tag != (linear & ~0xfffu))
    return 0;
  most = elements_ahead (di, linear, tlb->write_max[SEG_ES], mask, size, most);
  if (!most)
    return 0;
  if (size == 1)
    memset (to, (int) (value & 0xff), most);
  else
    for (uint32_t i = 0; i < most; i++)
      memcpy (to + i * size, &value, size);
  cpu->regs[REG_EDI] = (cpu->regs[REG_EDI] & ~mask) | ((di + most * size) & mask);
  return most;
}

/* ---- One iteration of each ---- */

#define STRING_SIZE(bits, X, Y, A, suffix) \
  static ExitReason \
  movs_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t mask) \
  { \
    uint##bits##_t value; \
    if (cpu_read_##bits (cpu, insn->segment, cpu->regs[REG_ESI] & mask, &value) \
        || cpu_write_##bits (cpu, SEG_ES, cpu->regs[REG_EDI] & mask, value)) \
      return EXIT_FAULT; \
    advance (cpu, REG_ESI, mask, bits / 8); \
    advance (cpu, REG_EDI, mask, bits / 8); \
    return EXIT_NONE; \
  } \
  static uint32_t \
  bulk_movs_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t mask, uint32_t most) \
  { \
    return bulk_move (cpu, insn, mask, most, bits / 8); \
  } \
  ROUTINE (MOVS_##Y##_##X##suffix) { return repeat (cpu, insn, 0, movs_##bits, bulk_movs_##bits); } \
  \
  static ExitReason \
  stos_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t mask) \
  { \
    if (cpu_write_##bits (cpu, SEG_ES, cpu->regs[REG_EDI] & mask, (uint##bits##_t) cpu->regs[REG_EAX])) \
      return EXIT_FAULT; \
    advance (cpu, REG_EDI, mask, bits / 8); \
    return EXIT_NONE; \
  } \
  static uint32_t \
  bulk_stos_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t mask, uint32_t most) \
  { \
    return bulk_store (cpu, mask, most, bits / 8); \
  } \
  ROUTINE (STOS_##Y##_##A##suffix) { return repeat (cpu, insn, 0, stos_##bits, bulk_stos_##bits); } \
  \
  static ExitReason \
  lods_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t mask) \
  { \
    uint##bits##_t value; \
    if (cpu_read_##bits (cpu, insn->segment, cpu->regs[REG_ESI] & mask, &value)) \
      return EXIT_FAULT; \
    reg_write_##bits (cpu, REG_EAX, value); \
    advance (cpu, REG_ESI, mask, bits / 8); \
    return EXIT_NONE; \
  } \
  ROUTINE (LODS_##A##_##X##suffix) { return repeat (cpu, insn, 0, lods_##bits, NULL); } \
  \
  static ExitReason \
  scas_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t mask) \
  { \
    uint##bits##_t value; \
    uint32_t a = reg_read_##bits (cpu, REG_EAX); \
    if (cpu_read_##bits (cpu, SEG_ES, cpu->regs[REG_EDI] & mask, &value)) \
      return EXIT_FAULT; \
    flags_store_subtract (cpu, bits, a, value, a - value); \
    advance (cpu, REG_EDI, mask, bits / 8); \
    return EXIT_NONE; \
  } \
  ROUTINE (SCAS_##A##_##Y##suffix) { return repeat (cpu, insn, COMPARES, scas_##bits, NULL); } \
  \
  static ExitReason \
  cmps_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t mask) \
  { \
    uint##bits##_t a, b; \
    if (cpu_read_##bits (cpu, insn->segment, cpu->regs[REG_ESI] & mask, &a) \
        || cpu_read_##bits (cpu, SEG_ES, cpu->regs[REG_EDI] & mask, &b)) \
      return EXIT_FAULT; \
    flags_store_subtract (cpu, bits, a, b, (uint32_t) a - b); \
    advance (cpu, REG_ESI, mask, bits / 8); \
    advance (cpu, REG_EDI, mask, bits / 8); \
    return EXIT_NONE; \
  } \
  ROUTINE (CMPS_##X##_##Y##suffix) { return repeat (cpu, insn, COMPARES, cmps_##bits, NULL); } \
  \
  /* The destination is checked before the port is read: a port may not be read twice. */ \
  static ExitReason \
  ins_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t mask) \
  { \
    uint16_t port = (uint16_t) cpu->regs[REG_EDX]; \
    uint##bits##_t value; \
    if (cpu_check_io (cpu, port, bits / 8) \
        || cpu_check_write (cpu, SEG_ES, cpu->regs[REG_EDI] & mask, bits / 8, bits / 8)) \
      return EXIT_FAULT; \
    value = (uint##bits##_t) bus_read_port (cpu->bus, port, bits / 8); \
    cpu_write_linear (cpu, cpu->segments[SEG_ES].base + (cpu->regs[REG_EDI] & mask), &value, bits / 8); \
    cpu_check_io_breakpoint (cpu, port, bits / 8); \
    advance (cpu, REG_EDI, mask, bits / 8); \
    return EXIT_NONE; \
  } \
  ROUTINE (INS_##Y##_DX##suffix) { return repeat (cpu, insn, 0, ins_##bits, NULL); } \
  \
  static ExitReason \
  outs_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t mask) \
  { \
    uint16_t port = (uint16_t) cpu->regs[REG_EDX]; \
    uint##bits##_t value; \
    if (cpu_check_io (cpu, port, bits / 8) \
        || cpu_read_##bits (cpu, insn->segment, cpu->regs[REG_ESI] & mask, &value)) \
      return EXIT_FAULT; \
    advance (cpu, REG_ESI, mask, bits / 8); \
    bus_write_port (cpu->bus, port, bits / 8, value); \
    cpu_check_io_breakpoint (cpu, port, bits / 8); \
    return EXIT_NONE; \
  } \
  ROUTINE (OUTS_DX_##X##suffix) { return repeat (cpu, insn, 0, outs_##bits, NULL); }

STRING_SIZE (8, Xb, Yb, AL, )
STRING_SIZE (16, Xv, Yv, eAX, _16)
STRING_SIZE (32, Xv, Yv, eAX, _32)
