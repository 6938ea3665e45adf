/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Jumps, calls, returns, software interrupts. */
#include "flags.h"
#include "operands.h"
#include "routines.h"
#include "segments.h"

#define INLINE static inline __attribute__ ((always_inline))
#define ROUTINE(name) ExitReason interpret_##name (Cpu *cpu, const DecodedInsn *insn)

INLINE uint32_t
next_eip (const Cpu *cpu, const DecodedInsn *insn)
{
  return cpu->eip + insn->length;
}

/* A target beyond the limit is #GP(0) of the jump itself. */
INLINE ExitReason
jump_to (Cpu *cpu, uint32_t target)
{
  if (UNLIKELY (target > cpu->segments[SEG_CS].limit))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  cpu->eip = target;
  return EXIT_BRANCH;
}

#define RELATIVE_16 ((next_eip (cpu, insn) + insn->immediate) & 0xffff)
#define RELATIVE_32 (next_eip (cpu, insn) + insn->immediate)

#define CONDITIONAL(cc, number) \
  ROUTINE (J##cc##_Jb_16) { return flags_condition (cpu, number) ? jump_to (cpu, RELATIVE_16) : EXIT_NONE; } \
  ROUTINE (J##cc##_Jb_32) { return flags_condition (cpu, number) ? jump_to (cpu, RELATIVE_32) : EXIT_NONE; } \
  ROUTINE (J##cc##_Jz_16) { return flags_condition (cpu, number) ? jump_to (cpu, RELATIVE_16) : EXIT_NONE; } \
  ROUTINE (J##cc##_Jz_32) { return flags_condition (cpu, number) ? jump_to (cpu, RELATIVE_32) : EXIT_NONE; }

CONDITIONAL (O, 0)
CONDITIONAL (NO, 1)
CONDITIONAL (B, 2)
CONDITIONAL (NB, 3)
CONDITIONAL (Z, 4)
CONDITIONAL (NZ, 5)
CONDITIONAL (BE, 6)
CONDITIONAL (NBE, 7)
CONDITIONAL (S, 8)
CONDITIONAL (NS, 9)
CONDITIONAL (P, 10)
CONDITIONAL (NP, 11)
CONDITIONAL (L, 12)
CONDITIONAL (NL, 13)
CONDITIONAL (LE, 14)
CONDITIONAL (NLE, 15)

ROUTINE (JMP_Jb_16) { return jump_to (cpu, RELATIVE_16); }
ROUTINE (JMP_Jb_32) { return jump_to (cpu, RELATIVE_32); }
ROUTINE (JMP_Jz_16) { return jump_to (cpu, RELATIVE_16); }
ROUTINE (JMP_Jz_32) { return jump_to (cpu, RELATIVE_32); }
ROUTINE (JMP_Ev_r16) { return jump_to (cpu, reg_read_16 (cpu, insn->rm)); }
ROUTINE (JMP_Ev_r32) { return jump_to (cpu, cpu->regs[insn->rm]); }

ROUTINE (JMP_Ev_m16)
{
  uint16_t target;

  return cpu_read_16 (cpu, insn->segment, insn_offset (cpu, insn), &target) ? EXIT_FAULT : jump_to (cpu, target);
}

ROUTINE (JMP_Ev_m32)
{
  uint32_t target;

  return cpu_read_32 (cpu, insn->segment, insn_offset (cpu, insn), &target) ? EXIT_FAULT : jump_to (cpu, target);
}

/* ---- LOOP, JCXZ: the counter has the address size ---- */

INLINE ExitReason
loop (Cpu *cpu, const DecodedInsn *insn, bool condition, uint32_t target)
{
  uint32_t mask = insn->address_size == 4 ? 0xffffffffu : 0xffffu, count = (cpu->regs[REG_ECX] - 1) & mask;

  if (count && condition)
    {
      if (jump_to (cpu, target) == EXIT_FAULT)
        return EXIT_FAULT;
      cpu->regs[REG_ECX] = (cpu->regs[REG_ECX] & ~mask) | count;
      return EXIT_BRANCH;
    }
  cpu->regs[REG_ECX] = (cpu->regs[REG_ECX] & ~mask) | count;
  return EXIT_NONE;
}

ROUTINE (LOOP_Jb_16) { return loop (cpu, insn, true, RELATIVE_16); }
ROUTINE (LOOP_Jb_32) { return loop (cpu, insn, true, RELATIVE_32); }
ROUTINE (LOOPE_Jb_16) { return loop (cpu, insn, flags_zf (cpu), RELATIVE_16); }
ROUTINE (LOOPE_Jb_32) { return loop (cpu, insn, flags_zf (cpu), RELATIVE_32); }
ROUTINE (LOOPNE_Jb_16) { return loop (cpu, insn, !flags_zf (cpu), RELATIVE_16); }
ROUTINE (LOOPNE_Jb_32) { return loop (cpu, insn, !flags_zf (cpu), RELATIVE_32); }

INLINE bool
counter_is_zero (const Cpu *cpu, const DecodedInsn *insn)
{
  return insn->address_size == 4 ? cpu->regs[REG_ECX] == 0 : (cpu->regs[REG_ECX] & 0xffff) == 0;
}

ROUTINE (JCXZ_Jb_16) { return counter_is_zero (cpu, insn) ? jump_to (cpu, RELATIVE_16) : EXIT_NONE; }
ROUTINE (JCXZ_Jb_32) { return counter_is_zero (cpu, insn) ? jump_to (cpu, RELATIVE_32) : EXIT_NONE; }

/* ---- Near calls ---- */

INLINE ExitReason
call_16 (Cpu *cpu, const DecodedInsn *insn, uint32_t target)
{
  if (UNLIKELY (target > cpu->segments[SEG_CS].limit))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  if (cpu_push_16 (cpu, (uint16_t) next_eip (cpu, insn)))
    return EXIT_FAULT;
  cpu->eip = target;
  return EXIT_BRANCH;
}

INLINE ExitReason
call_32 (Cpu *cpu, const DecodedInsn *insn, uint32_t target)
{
  if (UNLIKELY (target > cpu->segments[SEG_CS].limit))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  if (cpu_push_32 (cpu, next_eip (cpu, insn)))
    return EXIT_FAULT;
  cpu->eip = target;
  return EXIT_BRANCH;
}

ROUTINE (CALL_Jz_16) { return call_16 (cpu, insn, RELATIVE_16); }
ROUTINE (CALL_Jz_32) { return call_32 (cpu, insn, RELATIVE_32); }
ROUTINE (CALL_Ev_r16) { return call_16 (cpu, insn, reg_read_16 (cpu, insn->rm)); }
ROUTINE (CALL_Ev_r32) { return call_32 (cpu, insn, cpu->regs[insn->rm]); }

ROUTINE (CALL_Ev_m16)
{
  uint16_t target;

  return cpu_read_16 (cpu, insn->segment, insn_offset (cpu, insn), &target) ? EXIT_FAULT : call_16 (cpu, insn, target);
}

ROUTINE (CALL_Ev_m32)
{
  uint32_t target;

  return cpu_read_32 (cpu, insn->segment, insn_offset (cpu, insn), &target) ? EXIT_FAULT : call_32 (cpu, insn, target);
}

INLINE ExitReason
return_near (Cpu *cpu, unsigned size, uint32_t release)
{
  uint32_t mask = cpu->tlb->stack_mask, esp = cpu->regs[REG_ESP], target;

  if (size == 4)
    {
      if (cpu_read_32 (cpu, SEG_SS, esp & mask, &target))
        return EXIT_FAULT;
    }
  else
    {
      uint16_t low;

      if (cpu_read_16 (cpu, SEG_SS, esp & mask, &low))
        return EXIT_FAULT;
      target = low;
    }
  if (UNLIKELY (target > cpu->segments[SEG_CS].limit))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  cpu->regs[REG_ESP] = (esp & ~mask) | ((esp + size + release) & mask);
  cpu->eip = target;
  return EXIT_BRANCH;
}

ROUTINE (RET_none_16) { return return_near (cpu, 2, 0); }
ROUTINE (RET_none_32) { return return_near (cpu, 4, 0); }
ROUTINE (RET_Iw_16) { return return_near (cpu, 2, insn->immediate); }
ROUTINE (RET_Iw_32) { return return_near (cpu, 4, insn->immediate); }

/* ---- Far ---- */

ROUTINE (JMP_Ap_16) { return segment_jump_far (cpu, insn->immediate2, insn->immediate, 2, next_eip (cpu, insn)); }
ROUTINE (JMP_Ap_32) { return segment_jump_far (cpu, insn->immediate2, insn->immediate, 4, next_eip (cpu, insn)); }
ROUTINE (CALL_Ap_16) { return segment_call_far (cpu, insn->immediate2, insn->immediate, 2, next_eip (cpu, insn)); }
ROUTINE (CALL_Ap_32) { return segment_call_far (cpu, insn->immediate2, insn->immediate, 4, next_eip (cpu, insn)); }

static ExitReason
read_far_pointer (Cpu *cpu, const DecodedInsn *insn, unsigned size, uint32_t *ret_offset, uint16_t *ret_selector)
{
  uint32_t offset = insn_offset (cpu, insn), mask = insn->address_size == 4 ? 0xffffffffu : 0xffffu;

  *ret_offset = 0;
  if (cpu_read_bytes (cpu, insn->segment, offset, ret_offset, size, size))
    return EXIT_FAULT;
  return cpu_read_16 (cpu, insn->segment, (offset + size) & mask, ret_selector);
}

#define FAR_INDIRECT(NAME, function, size, bits) \
  ROUTINE (NAME##_Mp_##bits) \
  { \
    uint32_t offset; \
    uint16_t selector; \
    if (read_far_pointer (cpu, insn, size, &offset, &selector)) \
      return EXIT_FAULT; \
    return function (cpu, selector, offset, size, next_eip (cpu, insn)); \
  }

FAR_INDIRECT (JMP, segment_jump_far, 2, 16)
FAR_INDIRECT (JMP, segment_jump_far, 4, 32)
FAR_INDIRECT (CALL, segment_call_far, 2, 16)
FAR_INDIRECT (CALL, segment_call_far, 4, 32)

ROUTINE (RETF_none_16) { return segment_return_far (cpu, 2, 0); }
ROUTINE (RETF_none_32) { return segment_return_far (cpu, 4, 0); }
ROUTINE (RETF_Iw_16) { return segment_return_far (cpu, 2, insn->immediate); }
ROUTINE (RETF_Iw_32) { return segment_return_far (cpu, 4, insn->immediate); }
ROUTINE (IRET_none_16) { return segment_return_interrupt (cpu, 2, next_eip (cpu, insn)); }
ROUTINE (IRET_none_32) { return segment_return_interrupt (cpu, 4, next_eip (cpu, insn)); }

#define LOAD_POINTER(NAME, number, size, bits) \
  ROUTINE (NAME##_Gv_Mp_##bits) \
  { \
    uint32_t offset; \
    uint16_t selector; \
    if (read_far_pointer (cpu, insn, size, &offset, &selector) || segment_load (cpu, number, selector)) \
      return EXIT_FAULT; \
    reg_write_##bits (cpu, insn->reg, (uint##bits##_t) offset); \
    return EXIT_NONE; \
  }

LOAD_POINTER (LES, SEG_ES, 2, 16)
LOAD_POINTER (LES, SEG_ES, 4, 32)
LOAD_POINTER (LDS, SEG_DS, 2, 16)
LOAD_POINTER (LDS, SEG_DS, 4, 32)
LOAD_POINTER (LSS, SEG_SS, 2, 16)
LOAD_POINTER (LSS, SEG_SS, 4, 32)
LOAD_POINTER (LFS, SEG_FS, 2, 16)
LOAD_POINTER (LFS, SEG_FS, 4, 32)
LOAD_POINTER (LGS, SEG_GS, 2, 16)
LOAD_POINTER (LGS, SEG_GS, 4, 32)

/* ---- Software interrupts ---- */

ROUTINE (INT3_none)
{
  return cpu_interrupt (cpu, VECTOR_BP, INTERRUPT_SOFTWARE_EXCEPTION, false, 0, next_eip (cpu, insn));
}

ROUTINE (INT_Ib)
{
  return cpu_interrupt (cpu, insn->immediate & 0xff, INTERRUPT_SOFTWARE, false, 0, next_eip (cpu, insn));
}

ROUTINE (INTO_none)
{
  if (!flags_of (cpu))
    return EXIT_NONE;
  return cpu_interrupt (cpu, VECTOR_OF, INTERRUPT_SOFTWARE_EXCEPTION, false, 0, next_eip (cpu, insn));
}

/* Undocumented in its day, INT1 or ICEBP: a #DB that no gate's DPL stops and that sets nothing in DR6. */
ROUTINE (INT1_none)
{
  return cpu_interrupt (cpu, VECTOR_DB, INTERRUPT_ICEBP, false, 0, next_eip (cpu, insn));
}

ROUTINE (UD0_Gv_Ev) { return cpu_raise (cpu, VECTOR_UD); }
ROUTINE (UD1_Gv_Ev) { return cpu_raise (cpu, VECTOR_UD); }
ROUTINE (UD2_none) { return cpu_raise (cpu, VECTOR_UD); }
