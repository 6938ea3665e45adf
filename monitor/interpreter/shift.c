/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shifts, rotates, bit tests and scans.  Counts are taken modulo 32; a count of 0 changes no flag.  OF, which the manual
 * defines for a count of 1 only, follows the same formula for every count, as on P6 processors. */
#include "flags.h"
#include "operands.h"
#include "routines.h"

#define INLINE static inline __attribute__ ((always_inline))

INLINE uint32_t
top (unsigned bits, uint32_t value)
{
  return value >> (bits - 1) & 1;
}

INLINE uint32_t
shift_shl (Cpu *cpu, unsigned bits, uint32_t a, unsigned count)
{
  uint64_t wide = (uint64_t) a << count;
  uint32_t result = (uint32_t) wide & (0xffffffffu >> (32 - bits));
  bool cf = wide >> bits & 1;

  flags_store_result (cpu, bits, result, cf, top (bits, result) ^ cf, false);
  return result;
}

INLINE uint32_t
shift_shr (Cpu *cpu, unsigned bits, uint32_t a, unsigned count)
{
  uint32_t result = a >> count;

  flags_store_result (cpu, bits, result, a >> (count - 1) & 1, top (bits, result << 1), false);
  return result;
}

INLINE uint32_t
shift_sar (Cpu *cpu, unsigned bits, uint32_t a, unsigned count)
{
  int32_t value = bits == 8 ? (int8_t) a : bits == 16 ? (int16_t) a : (int32_t) a;
  uint32_t result = (uint32_t) (value >> count);

  flags_store_result (cpu, bits, result, value >> (count - 1) & 1, false, false);
  return result;
}

INLINE uint32_t
shift_rol (Cpu *cpu, unsigned bits, uint32_t a, unsigned count)
{
  unsigned n = count & (bits - 1);
  uint32_t result = n ? a << n | a >> (bits - n) : a;
  bool cf = result & 1;

  flags_store_cf_of (cpu, cf, top (bits, result) ^ cf);
  return result;
}

INLINE uint32_t
shift_ror (Cpu *cpu, unsigned bits, uint32_t a, unsigned count)
{
  unsigned n = count & (bits - 1);
  uint32_t result = n ? a >> n | a << (bits - n) : a;

  flags_store_cf_of (cpu, top (bits, result), top (bits, result) ^ top (bits, result << 1));
  return result;
}

INLINE uint32_t
shift_rcl (Cpu *cpu, unsigned bits, uint32_t a, unsigned count)
{
  unsigned n = count % (bits + 1);
  uint64_t wide = (uint64_t) flags_cf (cpu) << bits | a, mask = (2ull << bits) - 1, result;

  if (!n)
    return a;
  result = (wide << n | wide >> (bits + 1 - n)) & mask;
  flags_store_cf_of (cpu, result >> bits & 1, top (bits, (uint32_t) result) ^ (result >> bits & 1));
  return (uint32_t) result;
}

INLINE uint32_t
shift_rcr (Cpu *cpu, unsigned bits, uint32_t a, unsigned count)
{
  unsigned n = count % (bits + 1);
  uint64_t wide = (uint64_t) flags_cf (cpu) << bits | a, mask = (2ull << bits) - 1, result;

  if (!n)
    return a;
  result = (wide >> n | wide << (bits + 1 - n)) & mask;
  flags_store_cf_of (cpu, result >> bits & 1, top (bits, (uint32_t) result) ^ top (bits, (uint32_t) result << 1));
  return (uint32_t) result;
}

#define SHIFT_REGISTER(name, op, bits, count_expression) \
  ExitReason \
  name (Cpu *cpu, const DecodedInsn *insn) \
  { \
    unsigned count = (count_expression) & 31; \
    if (count) \
      reg_write_##bits (cpu, insn->rm, (uint##bits##_t) op (cpu, bits, reg_read_##bits (cpu, insn->rm), count)); \
    return EXIT_NONE; \
  }

/* The memory operand is written back even when the count is 0, so it must be writable. */
#define SHIFT_MEMORY(name, op, bits, count_expression) \
  ExitReason \
  name (Cpu *cpu, const DecodedInsn *insn) \
  { \
    unsigned count = (count_expression) & 31; \
    uint##bits##_t value; \
    MemoryWriteBack where; \
    if (cpu_read_for_write_##bits (cpu, insn->segment, insn_offset (cpu, insn), &value, &where)) \
      return EXIT_FAULT; \
    if (count) \
      cpu_write_back_##bits (cpu, &where, (uint##bits##_t) op (cpu, bits, value, count)); \
    return EXIT_NONE; \
  }

#define SHIFT_FORM(NAME, op, form, count) \
  SHIFT_REGISTER (interpret_##NAME##_Eb_##form##_r, op, 8, count) \
  SHIFT_MEMORY (interpret_##NAME##_Eb_##form##_m, op, 8, count) \
  SHIFT_REGISTER (interpret_##NAME##_Ev_##form##_r16, op, 16, count) \
  SHIFT_MEMORY (interpret_##NAME##_Ev_##form##_m16, op, 16, count) \
  SHIFT_REGISTER (interpret_##NAME##_Ev_##form##_r32, op, 32, count) \
  SHIFT_MEMORY (interpret_##NAME##_Ev_##form##_m32, op, 32, count)

#define SHIFT_INSTRUCTION(NAME, op) \
  SHIFT_FORM (NAME, op, Ib, insn->immediate) \
  SHIFT_FORM (NAME, op, 1, 1u) \
  SHIFT_FORM (NAME, op, CL, cpu->regs[REG_ECX])

SHIFT_INSTRUCTION (ROL, shift_rol)
SHIFT_INSTRUCTION (ROR, shift_ror)
SHIFT_INSTRUCTION (RCL, shift_rcl)
SHIFT_INSTRUCTION (RCR, shift_rcr)
SHIFT_INSTRUCTION (SHL, shift_shl)
SHIFT_INSTRUCTION (SHR, shift_shr)
SHIFT_INSTRUCTION (SAR, shift_sar)

/* ---- Double shifts.  16-bit operands with counts above 16 shift destination:source:destination, as P6 does. ---- */

INLINE uint32_t
double_left (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b, unsigned count)
{
  uint32_t result;
  bool cf;

  if (bits == 16)
    {
      uint64_t wide = (uint64_t) a << 32 | (uint64_t) b << 16 | a;

      result = (uint32_t) (wide << count >> 32) & 0xffff;
      cf = wide << count >> 48 & 1;
    }
  else
    {
      uint64_t wide = ((uint64_t) a << 32 | b) << count;

      result = (uint32_t) (wide >> 32);
      cf = a >> (32 - count) & 1;
    }
  flags_store_result (cpu, bits, result, cf, top (bits, result ^ a), false);
  return result;
}

INLINE uint32_t
double_right (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b, unsigned count)
{
  uint64_t wide = bits == 16 ? (uint64_t) a << 32 | (uint64_t) b << 16 | a : (uint64_t) b << 32 | a;
  uint32_t result = (uint32_t) (wide >> count) & (0xffffffffu >> (32 - bits));

  flags_store_result (cpu, bits, result, wide >> (count - 1) & 1, top (bits, result ^ a), false);
  return result;
}

#define DOUBLE_FORM(NAME, op, form, bits, count_expression) \
  ExitReason \
  interpret_##NAME##_Ev_Gv_##form##_r##bits (Cpu *cpu, const DecodedInsn *insn) \
  { \
    unsigned count = (count_expression) & 31; \
    if (count) \
      reg_write_##bits (cpu, insn->rm, (uint##bits##_t) op (cpu, bits, reg_read_##bits (cpu, insn->rm), \
                                                            reg_read_##bits (cpu, insn->reg), count)); \
    return EXIT_NONE; \
  } \
  \
  ExitReason \
  interpret_##NAME##_Ev_Gv_##form##_m##bits (Cpu *cpu, const DecodedInsn *insn) \
  { \
    unsigned count = (count_expression) & 31; \
    uint##bits##_t value; \
    MemoryWriteBack where; \
    if (cpu_read_for_write_##bits (cpu, insn->segment, insn_offset (cpu, insn), &value, &where)) \
      return EXIT_FAULT; \
    if (count) \
      cpu_write_back_##bits (cpu, &where, (uint##bits##_t) op (cpu, bits, value, reg_read_##bits (cpu, insn->reg), count)); \
    return EXIT_NONE; \
  }

DOUBLE_FORM (SHLD, double_left, Ib, 16, insn->immediate)
DOUBLE_FORM (SHLD, double_left, Ib, 32, insn->immediate)
DOUBLE_FORM (SHLD, double_left, CL, 16, cpu->regs[REG_ECX])
DOUBLE_FORM (SHLD, double_left, CL, 32, cpu->regs[REG_ECX])
DOUBLE_FORM (SHRD, double_right, Ib, 16, insn->immediate)
DOUBLE_FORM (SHRD, double_right, Ib, 32, insn->immediate)
DOUBLE_FORM (SHRD, double_right, CL, 16, cpu->regs[REG_ECX])
DOUBLE_FORM (SHRD, double_right, CL, 32, cpu->regs[REG_ECX])

/* ---- BT, BTS, BTR, BTC: only CF changes ---- */

INLINE void
set_cf (Cpu *cpu, bool cf)
{
  flags_store_cf_of (cpu, cf, flags_of (cpu));
}

#define BIT_KEEP(value, mask) (value)
#define BIT_SET(value, mask) ((value) | (mask))
#define BIT_RESET(value, mask) ((value) & ~(mask))
#define BIT_FLIP(value, mask) ((value) ^ (mask))

/* A bit number in a register reaches beyond the operand: it is signed, and moves the address. */
#define BIT_FORMS(NAME, change, writes, bits, shift) \
  ExitReason \
  interpret_##NAME##_Ev_Gv_r##bits (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint##bits##_t value = reg_read_##bits (cpu, insn->rm); \
    unsigned bit = reg_read_##bits (cpu, insn->reg) & (bits - 1); \
    set_cf (cpu, value >> bit & 1); \
    if (writes) \
      reg_write_##bits (cpu, insn->rm, (uint##bits##_t) change (value, 1u << bit)); \
    return EXIT_NONE; \
  } \
  \
  ExitReason \
  interpret_##NAME##_Ev_Ib_r##bits (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint##bits##_t value = reg_read_##bits (cpu, insn->rm); \
    unsigned bit = insn->immediate & (bits - 1); \
    set_cf (cpu, value >> bit & 1); \
    if (writes) \
      reg_write_##bits (cpu, insn->rm, (uint##bits##_t) change (value, 1u << bit)); \
    return EXIT_NONE; \
  } \
  \
  static ExitReason \
  bit_##NAME##_##bits (Cpu *cpu, const DecodedInsn *insn, uint32_t offset, unsigned bit) \
  { \
    uint##bits##_t value; \
    if (writes) \
      { \
        MemoryWriteBack where; \
        if (cpu_read_for_write_##bits (cpu, insn->segment, offset, &value, &where)) \
          return EXIT_FAULT; \
        cpu_write_back_##bits (cpu, &where, (uint##bits##_t) change (value, 1u << bit)); \
      } \
    else if (cpu_read_##bits (cpu, insn->segment, offset, &value)) \
      return EXIT_FAULT; \
    set_cf (cpu, value >> bit & 1); \
    return EXIT_NONE; \
  } \
  \
  ExitReason \
  interpret_##NAME##_Ev_Gv_m##bits (Cpu *cpu, const DecodedInsn *insn) \
  { \
    int32_t number = (int##bits##_t) reg_read_##bits (cpu, insn->reg); \
    uint32_t offset = insn_offset (cpu, insn) + (uint32_t) (number >> shift) * (bits / 8); \
    if (insn->address_size == 2) \
      offset &= 0xffff; \
    return bit_##NAME##_##bits (cpu, insn, offset, (unsigned) number & (bits - 1)); \
  } \
  \
  ExitReason \
  interpret_##NAME##_Ev_Ib_m##bits (Cpu *cpu, const DecodedInsn *insn) \
  { \
    return bit_##NAME##_##bits (cpu, insn, insn_offset (cpu, insn), insn->immediate & (bits - 1)); \
  }

BIT_FORMS (BT, BIT_KEEP, false, 16, 4)
BIT_FORMS (BT, BIT_KEEP, false, 32, 5)
BIT_FORMS (BTS, BIT_SET, true, 16, 4)
BIT_FORMS (BTS, BIT_SET, true, 32, 5)
BIT_FORMS (BTR, BIT_RESET, true, 16, 4)
BIT_FORMS (BTR, BIT_RESET, true, 32, 5)
BIT_FORMS (BTC, BIT_FLIP, true, 16, 4)
BIT_FORMS (BTC, BIT_FLIP, true, 32, 5)

/* ---- BSF, BSR: with a source of 0 the destination stays as it is ---- */

#define SCAN_FORM(NAME, scan, bits) \
  ExitReason \
  interpret_##NAME##_Gv_Ev_r##bits (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint32_t value = reg_read_##bits (cpu, insn->rm); \
    flags_store_logic (cpu, bits, value); \
    if (value) \
      reg_write_##bits (cpu, insn->reg, (uint##bits##_t) (scan)); \
    return EXIT_NONE; \
  } \
  \
  ExitReason \
  interpret_##NAME##_Gv_Ev_m##bits (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint##bits##_t value; \
    if (cpu_read_##bits (cpu, insn->segment, insn_offset (cpu, insn), &value)) \
      return EXIT_FAULT; \
    flags_store_logic (cpu, bits, value); \
    if (value) \
      reg_write_##bits (cpu, insn->reg, (uint##bits##_t) (scan)); \
    return EXIT_NONE; \
  }

SCAN_FORM (BSF, __builtin_ctz (value), 16)
SCAN_FORM (BSF, __builtin_ctz (value), 32)
SCAN_FORM (BSR, 31 - __builtin_clz (value), 16)
SCAN_FORM (BSR, 31 - __builtin_clz (value), 32)
