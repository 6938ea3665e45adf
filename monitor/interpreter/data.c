/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Moves, exchanges, conversions, conditional moves, flag instructions. */
#include "flags.h"
#include "operands.h"
#include "routines.h"

#define ROUTINE(name) ExitReason interpret_##name (Cpu *cpu, const DecodedInsn *insn)

#define MOVES(bits, E, G, r, m) \
  ROUTINE (MOV_##E##_##G##_##r) \
  { \
    reg_write_##bits (cpu, insn->rm, reg_read_##bits (cpu, insn->reg)); \
    return EXIT_NONE; \
  } \
  ROUTINE (MOV_##E##_##G##_##m) \
  { \
    return cpu_write_##bits (cpu, insn->segment, insn_offset (cpu, insn), reg_read_##bits (cpu, insn->reg)); \
  } \
  ROUTINE (MOV_##G##_##E##_##r) \
  { \
    reg_write_##bits (cpu, insn->reg, reg_read_##bits (cpu, insn->rm)); \
    return EXIT_NONE; \
  } \
  ROUTINE (MOV_##G##_##E##_##m) \
  { \
    uint##bits##_t value; \
    if (cpu_read_##bits (cpu, insn->segment, insn_offset (cpu, insn), &value)) \
      return EXIT_FAULT; \
    reg_write_##bits (cpu, insn->reg, value); \
    return EXIT_NONE; \
  } \
  ROUTINE (XCHG_##E##_##G##_##r) \
  { \
    uint##bits##_t value = reg_read_##bits (cpu, insn->rm); \
    reg_write_##bits (cpu, insn->rm, reg_read_##bits (cpu, insn->reg)); \
    reg_write_##bits (cpu, insn->reg, value); \
    return EXIT_NONE; \
  } \
  ROUTINE (XCHG_##E##_##G##_##m) \
  { \
    uint##bits##_t value; \
    MemoryWriteBack where; \
    if (cpu_read_for_write_##bits (cpu, insn->segment, insn_offset (cpu, insn), &value, &where)) \
      return EXIT_FAULT; \
    cpu_write_back_##bits (cpu, &where, reg_read_##bits (cpu, insn->reg)); \
    reg_write_##bits (cpu, insn->reg, value); \
    return EXIT_NONE; \
  } \
  ROUTINE (XADD_##E##_##G##_##r) \
  { \
    uint32_t a = reg_read_##bits (cpu, insn->rm), b = reg_read_##bits (cpu, insn->reg); \
    flags_store_add (cpu, bits, a, b, a + b); \
    reg_write_##bits (cpu, insn->reg, (uint##bits##_t) a); \
    reg_write_##bits (cpu, insn->rm, (uint##bits##_t) (a + b)); \
    return EXIT_NONE; \
  } \
  ROUTINE (XADD_##E##_##G##_##m) \
  { \
    uint##bits##_t a, b = reg_read_##bits (cpu, insn->reg); \
    MemoryWriteBack where; \
    if (cpu_read_for_write_##bits (cpu, insn->segment, insn_offset (cpu, insn), &a, &where)) \
      return EXIT_FAULT; \
    flags_store_add (cpu, bits, a, b, (uint32_t) a + b); \
    cpu_write_back_##bits (cpu, &where, (uint##bits##_t) (a + b)); \
    reg_write_##bits (cpu, insn->reg, a); \
    return EXIT_NONE; \
  } \
  ROUTINE (CMPXCHG_##E##_##G##_##r) \
  { \
    uint32_t a = reg_read_##bits (cpu, REG_EAX), b = reg_read_##bits (cpu, insn->rm); \
    flags_store_subtract (cpu, bits, a, b, a - b); \
    if (a == b) \
      reg_write_##bits (cpu, insn->rm, reg_read_##bits (cpu, insn->reg)); \
    else \
      reg_write_##bits (cpu, REG_EAX, (uint##bits##_t) b); \
    return EXIT_NONE; \
  } \
  /* The destination is written in both cases, so it must be writable (SDM vol. 2). */ \
  ROUTINE (CMPXCHG_##E##_##G##_##m) \
  { \
    uint##bits##_t a = reg_read_##bits (cpu, REG_EAX), b; \
    MemoryWriteBack where; \
    if (cpu_read_for_write_##bits (cpu, insn->segment, insn_offset (cpu, insn), &b, &where)) \
      return EXIT_FAULT; \
    flags_store_subtract (cpu, bits, a, b, (uint32_t) a - b); \
    cpu_write_back_##bits (cpu, &where, a == b ? reg_read_##bits (cpu, insn->reg) : b); \
    if (a != b) \
      reg_write_##bits (cpu, REG_EAX, b); \
    return EXIT_NONE; \
  }

MOVES (8, Eb, Gb, r, m)
MOVES (16, Ev, Gv, r16, m16)
MOVES (32, Ev, Gv, r32, m32)

ROUTINE (MOV_Eb_Ib_r)
{
  reg_write_8 (cpu, insn->rm, (uint8_t) insn->immediate);
  return EXIT_NONE;
}

ROUTINE (MOV_Eb_Ib_m)
{
  return cpu_write_8 (cpu, insn->segment, insn_offset (cpu, insn), (uint8_t) insn->immediate);
}

ROUTINE (MOV_Ev_Iz_r16)
{
  reg_write_16 (cpu, insn->rm, (uint16_t) insn->immediate);
  return EXIT_NONE;
}

ROUTINE (MOV_Ev_Iz_m16)
{
  return cpu_write_16 (cpu, insn->segment, insn_offset (cpu, insn), (uint16_t) insn->immediate);
}

ROUTINE (MOV_Ev_Iz_r32)
{
  cpu->regs[insn->rm] = insn->immediate;
  return EXIT_NONE;
}

ROUTINE (MOV_Ev_Iz_m32)
{
  return cpu_write_32 (cpu, insn->segment, insn_offset (cpu, insn), insn->immediate);
}

ROUTINE (MOV_Zb_Ib)
{
  reg_write_8 (cpu, insn->reg, (uint8_t) insn->immediate);
  return EXIT_NONE;
}

ROUTINE (MOV_Zv_Iv_16)
{
  reg_write_16 (cpu, insn->reg, (uint16_t) insn->immediate);
  return EXIT_NONE;
}

ROUTINE (MOV_Zv_Iv_32)
{
  cpu->regs[insn->reg] = insn->immediate;
  return EXIT_NONE;
}

ROUTINE (MOV_AL_Ob)
{
  uint8_t value;

  if (cpu_read_8 (cpu, insn->segment, insn->displacement, &value))
    return EXIT_FAULT;
  reg_write_8 (cpu, REG_EAX, value);
  return EXIT_NONE;
}

ROUTINE (MOV_eAX_Ov_16)
{
  uint16_t value;

  if (cpu_read_16 (cpu, insn->segment, insn->displacement, &value))
    return EXIT_FAULT;
  reg_write_16 (cpu, REG_EAX, value);
  return EXIT_NONE;
}

ROUTINE (MOV_eAX_Ov_32)
{
  return cpu_read_32 (cpu, insn->segment, insn->displacement, &cpu->regs[REG_EAX]);
}

ROUTINE (MOV_Ob_AL)
{
  return cpu_write_8 (cpu, insn->segment, insn->displacement, (uint8_t) cpu->regs[REG_EAX]);
}

ROUTINE (MOV_Ov_eAX_16)
{
  return cpu_write_16 (cpu, insn->segment, insn->displacement, (uint16_t) cpu->regs[REG_EAX]);
}

ROUTINE (MOV_Ov_eAX_32)
{
  return cpu_write_32 (cpu, insn->segment, insn->displacement, cpu->regs[REG_EAX]);
}

ROUTINE (XCHG_Zv_eAX_16)
{
  uint16_t value = reg_read_16 (cpu, insn->reg);

  reg_write_16 (cpu, insn->reg, (uint16_t) cpu->regs[REG_EAX]);
  reg_write_16 (cpu, REG_EAX, value);
  return EXIT_NONE;
}

ROUTINE (XCHG_Zv_eAX_32)
{
  uint32_t value = cpu->regs[insn->reg];

  cpu->regs[insn->reg] = cpu->regs[REG_EAX];
  cpu->regs[REG_EAX] = value;
  return EXIT_NONE;
}

ROUTINE (PAUSE_none)
{
  return EXIT_NONE;
}

ROUTINE (NOP_Ev)
{
  return EXIT_NONE;
}

ROUTINE (LEA_Gv_M_16)
{
  reg_write_16 (cpu, insn->reg, (uint16_t) insn_offset (cpu, insn));
  return EXIT_NONE;
}

ROUTINE (LEA_Gv_M_32)
{
  cpu->regs[insn->reg] = insn_offset (cpu, insn);
  return EXIT_NONE;
}

#define EXTEND(NAME, E, from, type, bits) \
  ROUTINE (NAME##_Gv_##E##_r##bits) \
  { \
    reg_write_##bits (cpu, insn->reg, (uint##bits##_t) (type) reg_read_##from (cpu, insn->rm)); \
    return EXIT_NONE; \
  } \
  ROUTINE (NAME##_Gv_##E##_m##bits) \
  { \
    uint##from##_t value; \
    if (cpu_read_##from (cpu, insn->segment, insn_offset (cpu, insn), &value)) \
      return EXIT_FAULT; \
    reg_write_##bits (cpu, insn->reg, (uint##bits##_t) (type) value); \
    return EXIT_NONE; \
  }

EXTEND (MOVZX, Eb, 8, uint8_t, 16)
EXTEND (MOVZX, Eb, 8, uint8_t, 32)
EXTEND (MOVZX, Ew, 16, uint16_t, 16)
EXTEND (MOVZX, Ew, 16, uint16_t, 32)
EXTEND (MOVSX, Eb, 8, int8_t, 16)
EXTEND (MOVSX, Eb, 8, int8_t, 32)
EXTEND (MOVSX, Ew, 16, int16_t, 16)
EXTEND (MOVSX, Ew, 16, int16_t, 32)

ROUTINE (CBW_none_16)
{
  reg_write_16 (cpu, REG_EAX, (uint16_t) (int8_t) cpu->regs[REG_EAX]);
  return EXIT_NONE;
}

ROUTINE (CBW_none_32)
{
  cpu->regs[REG_EAX] = (uint32_t) (int16_t) cpu->regs[REG_EAX];
  return EXIT_NONE;
}

ROUTINE (CWD_none_16)
{
  reg_write_16 (cpu, REG_EDX, (uint16_t) ((int16_t) cpu->regs[REG_EAX] >> 15));
  return EXIT_NONE;
}

ROUTINE (CWD_none_32)
{
  cpu->regs[REG_EDX] = (uint32_t) ((int32_t) cpu->regs[REG_EAX] >> 31);
  return EXIT_NONE;
}

/* ---- Conditions ---- */

#define CONDITION(cc, number) \
  ROUTINE (SET##cc##_Eb_r) \
  { \
    reg_write_8 (cpu, insn->rm, flags_condition (cpu, number)); \
    return EXIT_NONE; \
  } \
  ROUTINE (SET##cc##_Eb_m) \
  { \
    return cpu_write_8 (cpu, insn->segment, insn_offset (cpu, insn), flags_condition (cpu, number)); \
  } \
  ROUTINE (CMOV##cc##_Gv_Ev_r16) \
  { \
    if (flags_condition (cpu, number)) \
      reg_write_16 (cpu, insn->reg, reg_read_16 (cpu, insn->rm)); \
    return EXIT_NONE; \
  } \
  ROUTINE (CMOV##cc##_Gv_Ev_r32) \
  { \
    if (flags_condition (cpu, number)) \
      cpu->regs[insn->reg] = cpu->regs[insn->rm]; \
    return EXIT_NONE; \
  } \
  ROUTINE (CMOV##cc##_Gv_Ev_m16) \
  { \
    uint16_t value; \
    if (cpu_read_16 (cpu, insn->segment, insn_offset (cpu, insn), &value)) \
      return EXIT_FAULT; \
    if (flags_condition (cpu, number)) \
      reg_write_16 (cpu, insn->reg, value); \
    return EXIT_NONE; \
  } \
  ROUTINE (CMOV##cc##_Gv_Ev_m32) \
  { \
    uint32_t value; \
    if (cpu_read_32 (cpu, insn->segment, insn_offset (cpu, insn), &value)) \
      return EXIT_FAULT; \
    if (flags_condition (cpu, number)) \
      cpu->regs[insn->reg] = value; \
    return EXIT_NONE; \
  }

CONDITION (O, 0)
CONDITION (NO, 1)
CONDITION (B, 2)
CONDITION (NB, 3)
CONDITION (Z, 4)
CONDITION (NZ, 5)
CONDITION (BE, 6)
CONDITION (NBE, 7)
CONDITION (S, 8)
CONDITION (NS, 9)
CONDITION (P, 10)
CONDITION (NP, 11)
CONDITION (L, 12)
CONDITION (NL, 13)
CONDITION (LE, 14)
CONDITION (NLE, 15)

/* ---- Flags ---- */

ROUTINE (LAHF_none)
{
  reg_write_8 (cpu, 4, (uint8_t) ((flags_arithmetic (cpu) & 0xd5) | EFLAGS_1));
  return EXIT_NONE;
}

ROUTINE (SAHF_none)
{
  flags_set (cpu, 0xd5, reg_read_8 (cpu, 4));
  return EXIT_NONE;
}

ROUTINE (CMC_none)
{
  flags_store_cf_of (cpu, !flags_cf (cpu), flags_of (cpu));
  return EXIT_NONE;
}

ROUTINE (CLC_none)
{
  flags_store_cf_of (cpu, false, flags_of (cpu));
  return EXIT_NONE;
}

ROUTINE (STC_none)
{
  flags_store_cf_of (cpu, true, flags_of (cpu));
  return EXIT_NONE;
}

ROUTINE (CLD_none)
{
  cpu->eflags &= ~(uint32_t) EFLAGS_DF;
  return EXIT_NONE;
}

ROUTINE (STD_none)
{
  cpu->eflags |= EFLAGS_DF;
  return EXIT_NONE;
}

/* Undocumented: AL = CF ? FFh : 0. */
ROUTINE (SALC_none)
{
  reg_write_8 (cpu, REG_EAX, flags_cf (cpu) ? 0xff : 0);
  return EXIT_NONE;
}

ROUTINE (XLAT_none)
{
  uint32_t offset = cpu->regs[REG_EBX] + (cpu->regs[REG_EAX] & 0xff);
  uint8_t value;

  if (cpu_read_8 (cpu, insn->segment, insn->address_size == 4 ? offset : offset & 0xffff, &value))
    return EXIT_FAULT;
  reg_write_8 (cpu, REG_EAX, value);
  return EXIT_NONE;
}

ROUTINE (BSWAP_Zv_32)
{
  cpu->regs[insn->reg] = __builtin_bswap32 (cpu->regs[insn->reg]);
  return EXIT_NONE;
}

/* Undefined by the manual; P6 and later clear the word. */
ROUTINE (BSWAP_Zv_16)
{
  reg_write_16 (cpu, insn->reg, 0);
  return EXIT_NONE;
}

ROUTINE (CMPXCHG8B_Mq)
{
  uint64_t expected = (uint64_t) cpu->regs[REG_EDX] << 32 | cpu->regs[REG_EAX], value;
  MemoryWriteBack where;

  if (cpu_read_for_write_64 (cpu, insn->segment, insn_offset (cpu, insn), &value, &where))
    return EXIT_FAULT;
  if (value == expected)
    cpu_write_back_64 (cpu, &where, (uint64_t) cpu->regs[REG_ECX] << 32 | cpu->regs[REG_EBX]);
  else
    {
      cpu_write_back_64 (cpu, &where, value);
      cpu->regs[REG_EAX] = (uint32_t) value;
      cpu->regs[REG_EDX] = (uint32_t) (value >> 32);
    }
  flags_set (cpu, EFLAGS_ZF, value == expected ? EFLAGS_ZF : 0);
  return EXIT_NONE;
}

ROUTINE (BOUND_Gv_Ma_16)
{
  uint32_t offset = insn_offset (cpu, insn), mask = insn->address_size == 4 ? 0xffffffffu : 0xffffu;
  uint16_t lower, upper;
  int16_t index = (int16_t) cpu->regs[insn->reg];

  if (cpu_read_16 (cpu, insn->segment, offset, &lower) || cpu_read_16 (cpu, insn->segment, (offset + 2) & mask, &upper))
    return EXIT_FAULT;
  return index < (int16_t) lower || index > (int16_t) upper ? cpu_raise (cpu, VECTOR_BR) : EXIT_NONE;
}

ROUTINE (BOUND_Gv_Ma_32)
{
  uint32_t offset = insn_offset (cpu, insn), mask = insn->address_size == 4 ? 0xffffffffu : 0xffffu;
  uint32_t lower, upper;
  int32_t index = (int32_t) cpu->regs[insn->reg];

  if (cpu_read_32 (cpu, insn->segment, offset, &lower) || cpu_read_32 (cpu, insn->segment, (offset + 4) & mask, &upper))
    return EXIT_FAULT;
  return index < (int32_t) lower || index > (int32_t) upper ? cpu_raise (cpu, VECTOR_BR) : EXIT_NONE;
}
