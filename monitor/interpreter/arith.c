/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addition, subtraction, logic, comparison, multiplication, division. */
#include "flags.h"
#include "operands.h"
#include "routines.h"

#define INLINE static inline __attribute__ ((always_inline))

INLINE uint32_t
alu_add (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  uint32_t result = a + b;

  flags_store_add (cpu, bits, a, b, result);
  return result;
}

INLINE uint32_t
alu_adc (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  uint32_t result = a + b + flags_cf (cpu);

  flags_store_add (cpu, bits, a, b, result);
  return result;
}

INLINE uint32_t
alu_sub (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  uint32_t result = a - b;

  flags_store_subtract (cpu, bits, a, b, result);
  return result;
}

INLINE uint32_t
alu_sbb (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  uint32_t result = a - b - flags_cf (cpu);

  flags_store_subtract (cpu, bits, a, b, result);
  return result;
}

INLINE uint32_t
alu_or (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  flags_store_logic (cpu, bits, a | b);
  return a | b;
}

INLINE uint32_t
alu_and (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  flags_store_logic (cpu, bits, a & b);
  return a & b;
}

INLINE uint32_t
alu_xor (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  flags_store_logic (cpu, bits, a ^ b);
  return a ^ b;
}

/* INC and DEC leave CF alone. */
INLINE uint32_t
alu_inc (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  uint32_t result = a + 1, cf = flags_cf (cpu), of;

  flags_store_add (cpu, bits, a, 1, result);
  of = (cpu->lazy_source ^ cpu->lazy_source << 1) >> 31;
  cpu->lazy_source = (cpu->lazy_source & 8) | cf << 31 | (cf ^ of) << 30;
  return result;
}

INLINE uint32_t
alu_dec (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  uint32_t result = a - 1, cf = flags_cf (cpu), of;

  flags_store_subtract (cpu, bits, a, 1, result);
  of = (cpu->lazy_source ^ cpu->lazy_source << 1) >> 31;
  cpu->lazy_source = (cpu->lazy_source & 8) | cf << 31 | (cf ^ of) << 30;
  return result;
}

INLINE uint32_t
alu_neg (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  return alu_sub (cpu, bits, 0, a);
}

INLINE uint32_t
alu_not (Cpu *cpu, unsigned bits, uint32_t a, uint32_t b)
{
  return ~a;
}

/* One routine: destination register or memory, the other operand an expression. */
#define ALU_REGISTER(name, op, bits, number, source, writes) \
  ExitReason \
  name (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint##bits##_t result = (uint##bits##_t) op (cpu, bits, reg_read_##bits (cpu, number), source); \
    if (writes) \
      reg_write_##bits (cpu, number, result); \
    return EXIT_NONE; \
  }

#define ALU_MEMORY(name, op, bits, source, writes) \
  ExitReason \
  name (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint##bits##_t value, result; \
    if (writes) \
      { \
        MemoryWriteBack where; \
        if (cpu_read_for_write_##bits (cpu, insn->segment, insn_offset (cpu, insn), &value, &where)) \
          return EXIT_FAULT; \
        result = (uint##bits##_t) op (cpu, bits, value, source); \
        cpu_write_back_##bits (cpu, &where, result); \
        return EXIT_NONE; \
      } \
    if (cpu_read_##bits (cpu, insn->segment, insn_offset (cpu, insn), &value)) \
      return EXIT_FAULT; \
    op (cpu, bits, value, source); \
    return EXIT_NONE; \
  }

/* Register destination, memory source. */
#define ALU_LOAD(name, op, bits, writes) \
  ExitReason \
  name (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint##bits##_t value, result; \
    if (cpu_read_##bits (cpu, insn->segment, insn_offset (cpu, insn), &value)) \
      return EXIT_FAULT; \
    result = (uint##bits##_t) op (cpu, bits, reg_read_##bits (cpu, insn->reg), value); \
    if (writes) \
      reg_write_##bits (cpu, insn->reg, result); \
    return EXIT_NONE; \
  }

#define IMMEDIATE(bits) ((uint##bits##_t) insn->immediate)

#define ALU_INSTRUCTION(NAME, op, writes) \
  ALU_REGISTER (interpret_##NAME##_Eb_Gb_r, op, 8, insn->rm, reg_read_8 (cpu, insn->reg), writes) \
  ALU_MEMORY (interpret_##NAME##_Eb_Gb_m, op, 8, reg_read_8 (cpu, insn->reg), writes) \
  ALU_REGISTER (interpret_##NAME##_Ev_Gv_r16, op, 16, insn->rm, reg_read_16 (cpu, insn->reg), writes) \
  ALU_MEMORY (interpret_##NAME##_Ev_Gv_m16, op, 16, reg_read_16 (cpu, insn->reg), writes) \
  ALU_REGISTER (interpret_##NAME##_Ev_Gv_r32, op, 32, insn->rm, reg_read_32 (cpu, insn->reg), writes) \
  ALU_MEMORY (interpret_##NAME##_Ev_Gv_m32, op, 32, reg_read_32 (cpu, insn->reg), writes) \
  ALU_REGISTER (interpret_##NAME##_Gb_Eb_r, op, 8, insn->reg, reg_read_8 (cpu, insn->rm), writes) \
  ALU_LOAD (interpret_##NAME##_Gb_Eb_m, op, 8, writes) \
  ALU_REGISTER (interpret_##NAME##_Gv_Ev_r16, op, 16, insn->reg, reg_read_16 (cpu, insn->rm), writes) \
  ALU_LOAD (interpret_##NAME##_Gv_Ev_m16, op, 16, writes) \
  ALU_REGISTER (interpret_##NAME##_Gv_Ev_r32, op, 32, insn->reg, reg_read_32 (cpu, insn->rm), writes) \
  ALU_LOAD (interpret_##NAME##_Gv_Ev_m32, op, 32, writes) \
  ALU_REGISTER (interpret_##NAME##_AL_Ib, op, 8, REG_EAX, IMMEDIATE (8), writes) \
  ALU_REGISTER (interpret_##NAME##_eAX_Iz_16, op, 16, REG_EAX, IMMEDIATE (16), writes) \
  ALU_REGISTER (interpret_##NAME##_eAX_Iz_32, op, 32, REG_EAX, IMMEDIATE (32), writes) \
  ALU_REGISTER (interpret_##NAME##_Eb_Ib_r, op, 8, insn->rm, IMMEDIATE (8), writes) \
  ALU_MEMORY (interpret_##NAME##_Eb_Ib_m, op, 8, IMMEDIATE (8), writes) \
  ALU_REGISTER (interpret_##NAME##_Ev_Iz_r16, op, 16, insn->rm, IMMEDIATE (16), writes) \
  ALU_MEMORY (interpret_##NAME##_Ev_Iz_m16, op, 16, IMMEDIATE (16), writes) \
  ALU_REGISTER (interpret_##NAME##_Ev_Iz_r32, op, 32, insn->rm, IMMEDIATE (32), writes) \
  ALU_MEMORY (interpret_##NAME##_Ev_Iz_m32, op, 32, IMMEDIATE (32), writes) \
  ALU_REGISTER (interpret_##NAME##_Ev_sIb_r16, op, 16, insn->rm, IMMEDIATE (16), writes) \
  ALU_MEMORY (interpret_##NAME##_Ev_sIb_m16, op, 16, IMMEDIATE (16), writes) \
  ALU_REGISTER (interpret_##NAME##_Ev_sIb_r32, op, 32, insn->rm, IMMEDIATE (32), writes) \
  ALU_MEMORY (interpret_##NAME##_Ev_sIb_m32, op, 32, IMMEDIATE (32), writes)

ALU_INSTRUCTION (ADD, alu_add, true)
ALU_INSTRUCTION (OR, alu_or, true)
ALU_INSTRUCTION (ADC, alu_adc, true)
ALU_INSTRUCTION (SBB, alu_sbb, true)
ALU_INSTRUCTION (AND, alu_and, true)
ALU_INSTRUCTION (SUB, alu_sub, true)
ALU_INSTRUCTION (XOR, alu_xor, true)
ALU_INSTRUCTION (CMP, alu_sub, false)

ALU_REGISTER (interpret_TEST_Eb_Gb_r, alu_and, 8, insn->rm, reg_read_8 (cpu, insn->reg), false)
ALU_MEMORY (interpret_TEST_Eb_Gb_m, alu_and, 8, reg_read_8 (cpu, insn->reg), false)
ALU_REGISTER (interpret_TEST_Ev_Gv_r16, alu_and, 16, insn->rm, reg_read_16 (cpu, insn->reg), false)
ALU_MEMORY (interpret_TEST_Ev_Gv_m16, alu_and, 16, reg_read_16 (cpu, insn->reg), false)
ALU_REGISTER (interpret_TEST_Ev_Gv_r32, alu_and, 32, insn->rm, reg_read_32 (cpu, insn->reg), false)
ALU_MEMORY (interpret_TEST_Ev_Gv_m32, alu_and, 32, reg_read_32 (cpu, insn->reg), false)
ALU_REGISTER (interpret_TEST_AL_Ib, alu_and, 8, REG_EAX, IMMEDIATE (8), false)
ALU_REGISTER (interpret_TEST_eAX_Iz_16, alu_and, 16, REG_EAX, IMMEDIATE (16), false)
ALU_REGISTER (interpret_TEST_eAX_Iz_32, alu_and, 32, REG_EAX, IMMEDIATE (32), false)
ALU_REGISTER (interpret_TEST_Eb_Ib_r, alu_and, 8, insn->rm, IMMEDIATE (8), false)
ALU_MEMORY (interpret_TEST_Eb_Ib_m, alu_and, 8, IMMEDIATE (8), false)
ALU_REGISTER (interpret_TEST_Ev_Iz_r16, alu_and, 16, insn->rm, IMMEDIATE (16), false)
ALU_MEMORY (interpret_TEST_Ev_Iz_m16, alu_and, 16, IMMEDIATE (16), false)
ALU_REGISTER (interpret_TEST_Ev_Iz_r32, alu_and, 32, insn->rm, IMMEDIATE (32), false)
ALU_MEMORY (interpret_TEST_Ev_Iz_m32, alu_and, 32, IMMEDIATE (32), false)

#define UNARY_INSTRUCTION(NAME, op) \
  ALU_REGISTER (interpret_##NAME##_Eb_r, op, 8, insn->rm, 0, true) \
  ALU_MEMORY (interpret_##NAME##_Eb_m, op, 8, 0, true) \
  ALU_REGISTER (interpret_##NAME##_Ev_r16, op, 16, insn->rm, 0, true) \
  ALU_MEMORY (interpret_##NAME##_Ev_m16, op, 16, 0, true) \
  ALU_REGISTER (interpret_##NAME##_Ev_r32, op, 32, insn->rm, 0, true) \
  ALU_MEMORY (interpret_##NAME##_Ev_m32, op, 32, 0, true)

UNARY_INSTRUCTION (INC, alu_inc)
UNARY_INSTRUCTION (DEC, alu_dec)
UNARY_INSTRUCTION (NEG, alu_neg)
UNARY_INSTRUCTION (NOT, alu_not)
ALU_REGISTER (interpret_INC_Zv_16, alu_inc, 16, insn->reg, 0, true)
ALU_REGISTER (interpret_INC_Zv_32, alu_inc, 32, insn->reg, 0, true)
ALU_REGISTER (interpret_DEC_Zv_16, alu_dec, 16, insn->reg, 0, true)
ALU_REGISTER (interpret_DEC_Zv_32, alu_dec, 32, insn->reg, 0, true)

/* ---- Multiplication: SF, ZF, PF follow the low half, AF is clear (the manual leaves them open) ---- */

#define MULTIPLY(NAME, variant, bits, wide, type, read) \
  ExitReason \
  interpret_##NAME##_E##variant (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint##bits##_t value; \
    wide product; \
    bool overflow; \
    read \
    product = (wide) ((wide) (type) reg_read_##bits (cpu, REG_EAX) * (wide) (type) value); \
    overflow = product != (wide) (type) product; \
    flags_store_result (cpu, bits, (uint32_t) product, overflow, overflow, false); \
    multiply_store_##bits (cpu, (uint64_t) product); \
    return EXIT_NONE; \
  }

INLINE void
multiply_store_8 (Cpu *cpu, uint64_t product)
{
  reg_write_16 (cpu, REG_EAX, (uint16_t) product);
}

INLINE void
multiply_store_16 (Cpu *cpu, uint64_t product)
{
  reg_write_16 (cpu, REG_EAX, (uint16_t) product);
  reg_write_16 (cpu, REG_EDX, (uint16_t) (product >> 16));
}

INLINE void
multiply_store_32 (Cpu *cpu, uint64_t product)
{
  cpu->regs[REG_EAX] = (uint32_t) product;
  cpu->regs[REG_EDX] = (uint32_t) (product >> 32);
}

#define READ_R(bits) value = reg_read_##bits (cpu, insn->rm);
#define READ_M(bits) if (cpu_read_##bits (cpu, insn->segment, insn_offset (cpu, insn), &value)) return EXIT_FAULT;

MULTIPLY (MUL, b_r, 8, uint32_t, uint8_t, READ_R (8))
MULTIPLY (MUL, b_m, 8, uint32_t, uint8_t, READ_M (8))
MULTIPLY (MUL, v_r16, 16, uint32_t, uint16_t, READ_R (16))
MULTIPLY (MUL, v_m16, 16, uint32_t, uint16_t, READ_M (16))
MULTIPLY (MUL, v_r32, 32, uint64_t, uint32_t, READ_R (32))
MULTIPLY (MUL, v_m32, 32, uint64_t, uint32_t, READ_M (32))
MULTIPLY (IMUL, b_r, 8, int32_t, int8_t, READ_R (8))
MULTIPLY (IMUL, b_m, 8, int32_t, int8_t, READ_M (8))
MULTIPLY (IMUL, v_r16, 16, int32_t, int16_t, READ_R (16))
MULTIPLY (IMUL, v_m16, 16, int32_t, int16_t, READ_M (16))
MULTIPLY (IMUL, v_r32, 32, int64_t, int32_t, READ_R (32))
MULTIPLY (IMUL, v_m32, 32, int64_t, int32_t, READ_M (32))

#define IMUL_FORM(name, bits, read, other) \
  ExitReason \
  name (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint##bits##_t value; \
    int64_t product; \
    bool overflow; \
    read \
    product = (int64_t) (int##bits##_t) value * (int64_t) (int##bits##_t) (other); \
    overflow = product != (int##bits##_t) product; \
    flags_store_result (cpu, bits, (uint32_t) product, overflow, overflow, false); \
    reg_write_##bits (cpu, insn->reg, (uint##bits##_t) product); \
    return EXIT_NONE; \
  }

IMUL_FORM (interpret_IMUL_Gv_Ev_r16, 16, READ_R (16), reg_read_16 (cpu, insn->reg))
IMUL_FORM (interpret_IMUL_Gv_Ev_m16, 16, READ_M (16), reg_read_16 (cpu, insn->reg))
IMUL_FORM (interpret_IMUL_Gv_Ev_r32, 32, READ_R (32), reg_read_32 (cpu, insn->reg))
IMUL_FORM (interpret_IMUL_Gv_Ev_m32, 32, READ_M (32), reg_read_32 (cpu, insn->reg))
IMUL_FORM (interpret_IMUL_Gv_Ev_Iz_r16, 16, READ_R (16), insn->immediate)
IMUL_FORM (interpret_IMUL_Gv_Ev_Iz_m16, 16, READ_M (16), insn->immediate)
IMUL_FORM (interpret_IMUL_Gv_Ev_Iz_r32, 32, READ_R (32), insn->immediate)
IMUL_FORM (interpret_IMUL_Gv_Ev_Iz_m32, 32, READ_M (32), insn->immediate)
IMUL_FORM (interpret_IMUL_Gv_Ev_sIb_r16, 16, READ_R (16), insn->immediate)
IMUL_FORM (interpret_IMUL_Gv_Ev_sIb_m16, 16, READ_M (16), insn->immediate)
IMUL_FORM (interpret_IMUL_Gv_Ev_sIb_r32, 32, READ_R (32), insn->immediate)
IMUL_FORM (interpret_IMUL_Gv_Ev_sIb_m32, 32, READ_M (32), insn->immediate)

/* ---- Division: #DE for zero and for a quotient that does not fit ---- */

INLINE ExitReason
divide_8 (Cpu *cpu, uint8_t divisor)
{
  uint32_t dividend = reg_read_16 (cpu, REG_EAX);

  if (divisor == 0 || dividend / divisor > 0xff)
    return cpu_raise (cpu, VECTOR_DE);
  reg_write_16 (cpu, REG_EAX, (uint16_t) (dividend / divisor | (dividend % divisor) << 8));
  return EXIT_NONE;
}

INLINE ExitReason
divide_16 (Cpu *cpu, uint16_t divisor)
{
  uint32_t dividend = (uint32_t) reg_read_16 (cpu, REG_EDX) << 16 | reg_read_16 (cpu, REG_EAX);

  if (divisor == 0 || dividend / divisor > 0xffff)
    return cpu_raise (cpu, VECTOR_DE);
  reg_write_16 (cpu, REG_EAX, (uint16_t) (dividend / divisor));
  reg_write_16 (cpu, REG_EDX, (uint16_t) (dividend % divisor));
  return EXIT_NONE;
}

INLINE ExitReason
divide_32 (Cpu *cpu, uint32_t divisor)
{
  uint64_t dividend = (uint64_t) cpu->regs[REG_EDX] << 32 | cpu->regs[REG_EAX];

  if (divisor == 0 || cpu->regs[REG_EDX] >= divisor)
    return cpu_raise (cpu, VECTOR_DE);
  cpu->regs[REG_EAX] = (uint32_t) (dividend / divisor);
  cpu->regs[REG_EDX] = (uint32_t) (dividend % divisor);
  return EXIT_NONE;
}

INLINE ExitReason
signed_divide_8 (Cpu *cpu, uint8_t value)
{
  int32_t dividend = (int16_t) reg_read_16 (cpu, REG_EAX), divisor = (int8_t) value;

  if (divisor == 0 || dividend / divisor != (int8_t) (dividend / divisor))
    return cpu_raise (cpu, VECTOR_DE);
  reg_write_16 (cpu, REG_EAX, (uint16_t) ((uint8_t) (dividend / divisor) | (uint8_t) (dividend % divisor) << 8));
  return EXIT_NONE;
}

INLINE ExitReason
signed_divide_16 (Cpu *cpu, uint16_t value)
{
  int64_t dividend = (int32_t) ((uint32_t) reg_read_16 (cpu, REG_EDX) << 16 | reg_read_16 (cpu, REG_EAX)), divisor = (int16_t) value;

  if (divisor == 0 || dividend / divisor != (int16_t) (dividend / divisor))
    return cpu_raise (cpu, VECTOR_DE);
  reg_write_16 (cpu, REG_EAX, (uint16_t) (dividend / divisor));
  reg_write_16 (cpu, REG_EDX, (uint16_t) (dividend % divisor));
  return EXIT_NONE;
}

INLINE ExitReason
signed_divide_32 (Cpu *cpu, uint32_t value)
{
  int64_t dividend = (int64_t) ((uint64_t) cpu->regs[REG_EDX] << 32 | cpu->regs[REG_EAX]), divisor = (int32_t) value;

  /* INT64_MIN / -1 would trap on the host. */
  if (divisor == 0 || (divisor == -1 && dividend == INT64_MIN) || dividend / divisor != (int32_t) (dividend / divisor))
    return cpu_raise (cpu, VECTOR_DE);
  cpu->regs[REG_EAX] = (uint32_t) (dividend / divisor);
  cpu->regs[REG_EDX] = (uint32_t) (dividend % divisor);
  return EXIT_NONE;
}

#define DIVIDE(NAME, variant, function, bits, read) \
  ExitReason \
  interpret_##NAME##_E##variant (Cpu *cpu, const DecodedInsn *insn) \
  { \
    uint##bits##_t value; \
    read \
    return function##_##bits (cpu, value); \
  }

DIVIDE (DIV, b_r, divide, 8, READ_R (8))
DIVIDE (DIV, b_m, divide, 8, READ_M (8))
DIVIDE (DIV, v_r16, divide, 16, READ_R (16))
DIVIDE (DIV, v_m16, divide, 16, READ_M (16))
DIVIDE (DIV, v_r32, divide, 32, READ_R (32))
DIVIDE (DIV, v_m32, divide, 32, READ_M (32))
DIVIDE (IDIV, b_r, signed_divide, 8, READ_R (8))
DIVIDE (IDIV, b_m, signed_divide, 8, READ_M (8))
DIVIDE (IDIV, v_r16, signed_divide, 16, READ_R (16))
DIVIDE (IDIV, v_m16, signed_divide, 16, READ_M (16))
DIVIDE (IDIV, v_r32, signed_divide, 32, READ_R (32))
DIVIDE (IDIV, v_m32, signed_divide, 32, READ_M (32))

/* ---- Decimal adjustment (SDM vol. 2) ---- */

static void
store_decimal (Cpu *cpu, uint8_t al, bool cf, bool af)
{
  reg_write_8 (cpu, REG_EAX, al);
  flags_store_result (cpu, 8, al, cf, false, af);
}

ExitReason
interpret_DAA_none (Cpu *cpu, const DecodedInsn *insn)
{
  uint32_t flags = flags_arithmetic (cpu);
  uint8_t old = reg_read_8 (cpu, REG_EAX), al = old;
  bool cf = flags & EFLAGS_CF, af = flags & EFLAGS_AF, high = old > 0x99 || cf;

  af = (old & 0xf) > 9 || af;
  if (af)
    al = (uint8_t) (al + 6);
  if (high)
    al = (uint8_t) (al + 0x60);
  store_decimal (cpu, al, high, af);
  return EXIT_NONE;
}

ExitReason
interpret_DAS_none (Cpu *cpu, const DecodedInsn *insn)
{
  uint32_t flags = flags_arithmetic (cpu);
  uint8_t old = reg_read_8 (cpu, REG_EAX), al = old;
  bool old_cf = flags & EFLAGS_CF, af = flags & EFLAGS_AF, high = old > 0x99 || old_cf, cf = false;

  af = (old & 0xf) > 9 || af;
  if (af)
    {
      cf = old_cf || al < 6;
      al = (uint8_t) (al - 6);
    }
  if (high)
    {
      al = (uint8_t) (al - 0x60);
      cf = true;
    }
  store_decimal (cpu, al, cf, af);
  return EXIT_NONE;
}

ExitReason
interpret_AAA_none (Cpu *cpu, const DecodedInsn *insn)
{
  bool adjust = (cpu->regs[REG_EAX] & 0xf) > 9 || flags_arithmetic (cpu) & EFLAGS_AF;
  uint16_t ax = reg_read_16 (cpu, REG_EAX);

  if (adjust)
    ax = (uint16_t) (ax + 0x106);
  reg_write_16 (cpu, REG_EAX, ax & 0xff0f);
  flags_store_result (cpu, 8, ax & 0x0f, adjust, false, adjust);
  return EXIT_NONE;
}

ExitReason
interpret_AAS_none (Cpu *cpu, const DecodedInsn *insn)
{
  bool adjust = (cpu->regs[REG_EAX] & 0xf) > 9 || flags_arithmetic (cpu) & EFLAGS_AF;
  uint16_t ax = reg_read_16 (cpu, REG_EAX);

  if (adjust)
    ax = (uint16_t) (ax - 0x106);
  reg_write_16 (cpu, REG_EAX, ax & 0xff0f);
  flags_store_result (cpu, 8, ax & 0x0f, adjust, false, adjust);
  return EXIT_NONE;
}

ExitReason
interpret_AAM_Ib (Cpu *cpu, const DecodedInsn *insn)
{
  uint8_t base = (uint8_t) insn->immediate, al = reg_read_8 (cpu, REG_EAX);

  if (base == 0)
    return cpu_raise (cpu, VECTOR_DE);
  reg_write_16 (cpu, REG_EAX, (uint16_t) (al / base << 8 | al % base));
  flags_store_result (cpu, 8, al % base, false, false, false);
  return EXIT_NONE;
}

ExitReason
interpret_AAD_Ib (Cpu *cpu, const DecodedInsn *insn)
{
  uint16_t ax = reg_read_16 (cpu, REG_EAX);
  uint8_t al = (uint8_t) ((ax >> 8) * insn->immediate + ax);

  reg_write_16 (cpu, REG_EAX, al);
  flags_store_result (cpu, 8, al, false, false, false);
  return EXIT_NONE;
}
