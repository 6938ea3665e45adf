/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PUSH, POP, ENTER, LEAVE, PUSHF, POPF.  The width of SP comes from SS, that of the operand from the instruction. */
#include "flags.h"
#include "operands.h"
#include "routines.h"
#include "segments.h"

#define ROUTINE(name) ExitReason interpret_##name (Cpu *cpu, const DecodedInsn *insn)

ROUTINE (PUSH_Zv_16) { return cpu_push_16 (cpu, (uint16_t) cpu->regs[insn->reg]); }
ROUTINE (PUSH_Zv_32) { return cpu_push_32 (cpu, cpu->regs[insn->reg]); }
ROUTINE (PUSH_Iz_16) { return cpu_push_16 (cpu, (uint16_t) insn->immediate); }
ROUTINE (PUSH_Iz_32) { return cpu_push_32 (cpu, insn->immediate); }
ROUTINE (PUSH_sIb_16) { return cpu_push_16 (cpu, (uint16_t) insn->immediate); }
ROUTINE (PUSH_sIb_32) { return cpu_push_32 (cpu, insn->immediate); }
ROUTINE (PUSH_Ev_r16) { return cpu_push_16 (cpu, (uint16_t) cpu->regs[insn->rm]); }
ROUTINE (PUSH_Ev_r32) { return cpu_push_32 (cpu, cpu->regs[insn->rm]); }

ROUTINE (PUSH_Ev_m16)
{
  uint16_t value;

  return cpu_read_16 (cpu, insn->segment, insn_offset (cpu, insn), &value) ? EXIT_FAULT : cpu_push_16 (cpu, value);
}

ROUTINE (PUSH_Ev_m32)
{
  uint32_t value;

  return cpu_read_32 (cpu, insn->segment, insn_offset (cpu, insn), &value) ? EXIT_FAULT : cpu_push_32 (cpu, value);
}

ROUTINE (POP_Zv_16)
{
  uint16_t value;

  if (cpu_pop_16 (cpu, &value))
    return EXIT_FAULT;
  reg_write_16 (cpu, insn->reg, value);
  return EXIT_NONE;
}

ROUTINE (POP_Zv_32)
{
  uint32_t value;

  if (cpu_pop_32 (cpu, &value))
    return EXIT_FAULT;
  cpu->regs[insn->reg] = value;
  return EXIT_NONE;
}

ROUTINE (POP_Ev_r16)
{
  uint16_t value;

  if (cpu_pop_16 (cpu, &value))
    return EXIT_FAULT;
  reg_write_16 (cpu, insn->rm, value);
  return EXIT_NONE;
}

ROUTINE (POP_Ev_r32)
{
  uint32_t value;

  if (cpu_pop_32 (cpu, &value))
    return EXIT_FAULT;
  cpu->regs[insn->rm] = value;
  return EXIT_NONE;
}

/* An address that uses ESP uses its value after the pop. */
ROUTINE (POP_Ev_m16)
{
  uint32_t esp = cpu->regs[REG_ESP];
  uint16_t value;

  if (cpu_pop_16 (cpu, &value))
    return EXIT_FAULT;
  if (cpu_write_16 (cpu, insn->segment, insn_offset (cpu, insn), value))
    {
      cpu->regs[REG_ESP] = esp;
      return EXIT_FAULT;
    }
  return EXIT_NONE;
}

ROUTINE (POP_Ev_m32)
{
  uint32_t esp = cpu->regs[REG_ESP], value;

  if (cpu_pop_32 (cpu, &value))
    return EXIT_FAULT;
  if (cpu_write_32 (cpu, insn->segment, insn_offset (cpu, insn), value))
    {
      cpu->regs[REG_ESP] = esp;
      return EXIT_FAULT;
    }
  return EXIT_NONE;
}

/* ---- Several at once ---- */

static ExitReason
push_values (Cpu *cpu, const uint32_t *values, unsigned n, unsigned size)
{
  return stack_push_frame (cpu, &cpu->segments[SEG_SS], cpu->regs[REG_ESP], values, n, size, cpu->tlb->user ? ACCESS_USER : 0, 0,
                           &cpu->regs[REG_ESP]);
}

static ExitReason
push_all (Cpu *cpu, unsigned size)
{
  uint32_t values[8];

  memcpy (values, cpu->regs, sizeof values);
  return push_values (cpu, values, 8, size);
}

ROUTINE (PUSHA_none_16) { return push_all (cpu, 2); }
ROUTINE (PUSHA_none_32) { return push_all (cpu, 4); }

static ExitReason
pop_all (Cpu *cpu, unsigned size)
{
  uint32_t values[8] = { 0 }, mask = cpu->tlb->stack_mask, esp = cpu->regs[REG_ESP];

  for (unsigned i = 0; i < 8; i++)
    if (cpu_read_bytes (cpu, SEG_SS, (esp + i * size) & mask, &values[7 - i], size, size))
      return EXIT_FAULT;
  for (unsigned i = 0; i < 8; i++)
    if (i != REG_ESP)
      memcpy (&cpu->regs[i], &values[i], size);
  cpu->regs[REG_ESP] = (esp & ~mask) | ((esp + 8 * size) & mask);
  return EXIT_NONE;
}

ROUTINE (POPA_none_16) { return pop_all (cpu, 2); }
ROUTINE (POPA_none_32) { return pop_all (cpu, 4); }

/* SDM vol. 2, ENTER: the frame pointers of the outer levels are copied, then the new one. */
static ExitReason
enter (Cpu *cpu, const DecodedInsn *insn, unsigned size)
{
  uint32_t values[33], mask = cpu->tlb->stack_mask, esp = cpu->regs[REG_ESP], frame = (esp - size) & mask, bp = cpu->regs[REG_EBP], sp;
  unsigned level = insn->immediate2 & 31, n = 0;

  values[n++] = bp;
  for (unsigned i = 1; i < level; i++)
    {
      bp = (bp & ~mask) | ((bp - size) & mask);
      values[n] = 0;
      if (cpu_read_bytes (cpu, SEG_SS, bp & mask, &values[n++], size, size))
        return EXIT_FAULT;
    }
  if (level)
    values[n++] = (esp & ~mask) | frame;
  sp = (esp - n * size - insn->immediate) & mask;
  if (cpu_check_write (cpu, SEG_SS, sp, size, 1) || push_values (cpu, values, n, size))
    return EXIT_FAULT;
  frame |= esp & ~mask;
  memcpy (&cpu->regs[REG_EBP], &frame, size);
  cpu->regs[REG_ESP] = (esp & ~mask) | sp;
  return EXIT_NONE;
}

ROUTINE (ENTER_Iw_Ib_16) { return enter (cpu, insn, 2); }
ROUTINE (ENTER_Iw_Ib_32) { return enter (cpu, insn, 4); }

ROUTINE (LEAVE_none_16)
{
  uint32_t mask = cpu->tlb->stack_mask, bp = cpu->regs[REG_EBP];
  uint16_t value;

  if (cpu_read_16 (cpu, SEG_SS, bp & mask, &value))
    return EXIT_FAULT;
  cpu->regs[REG_ESP] = (cpu->regs[REG_ESP] & ~mask) | ((bp + 2) & mask);
  reg_write_16 (cpu, REG_EBP, value);
  return EXIT_NONE;
}

ROUTINE (LEAVE_none_32)
{
  uint32_t mask = cpu->tlb->stack_mask, bp = cpu->regs[REG_EBP], value;

  if (cpu_read_32 (cpu, SEG_SS, bp & mask, &value))
    return EXIT_FAULT;
  cpu->regs[REG_ESP] = (cpu->regs[REG_ESP] & ~mask) | ((bp + 4) & mask);
  cpu->regs[REG_EBP] = value;
  return EXIT_NONE;
}

/* ---- Flags (SDM vol. 2, PUSHF and POPF; vol. 3, 20.3 for VME) ---- */

enum
{
  FLAGS_16 = EFLAGS_ARITHMETIC | EFLAGS_TF | EFLAGS_DF | EFLAGS_NT,
  FLAGS_32 = FLAGS_16 | EFLAGS_AC | EFLAGS_ID,
};

ROUTINE (PUSHF_none_16)
{
  uint32_t flags = flags_get (cpu);

  if (cpu->eflags & EFLAGS_VM && cpu_iopl (cpu) < 3)
    {
      if (!(cpu->cr4 & CR4_VME))
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      flags = (flags & ~(uint32_t) EFLAGS_IF) | EFLAGS_IOPL | (flags & EFLAGS_VIF ? EFLAGS_IF : 0);
    }
  return cpu_push_16 (cpu, (uint16_t) flags);
}

ROUTINE (PUSHF_none_32)
{
  if (cpu->eflags & EFLAGS_VM && cpu_iopl (cpu) < 3)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  return cpu_push_32 (cpu, flags_get (cpu) & ~(uint32_t) (EFLAGS_VM | EFLAGS_RF));
}

static ExitReason
pop_flags (Cpu *cpu, uint32_t value, uint32_t mask)
{
  if (!(cpu->cr0 & CR0_PE))
    mask |= EFLAGS_IF | EFLAGS_IOPL;
  else if (cpu->eflags & EFLAGS_VM)
    mask |= EFLAGS_IF;          /* IOPL is 3 here */
  else
    {
      if (cpu->cpl <= cpu_iopl (cpu))
        mask |= EFLAGS_IF;
      if (cpu->cpl == 0)
        mask |= EFLAGS_IOPL;
    }
  cpu_write_eflags (cpu, value, mask);
  return EXIT_NONE;
}

ROUTINE (POPF_none_16)
{
  uint32_t esp = cpu->regs[REG_ESP];
  uint16_t value;

  if (cpu->eflags & EFLAGS_VM && cpu_iopl (cpu) < 3)
    {
      if (!(cpu->cr4 & CR4_VME))
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      if (cpu_pop_16 (cpu, &value))
        return EXIT_FAULT;
      if (value & EFLAGS_TF || (value & EFLAGS_IF && cpu->eflags & EFLAGS_VIP))
        {
          cpu->regs[REG_ESP] = esp;
          return cpu_raise_error (cpu, VECTOR_GP, 0);
        }
      cpu_write_eflags (cpu, value | (value & EFLAGS_IF ? EFLAGS_VIF : 0), FLAGS_16 | EFLAGS_VIF);
      return EXIT_NONE;
    }
  return cpu_pop_16 (cpu, &value) ? EXIT_FAULT : pop_flags (cpu, value, FLAGS_16);
}

ROUTINE (POPF_none_32)
{
  uint32_t value;

  if (cpu->eflags & EFLAGS_VM && cpu_iopl (cpu) < 3)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  return cpu_pop_32 (cpu, &value) ? EXIT_FAULT : pop_flags (cpu, value, FLAGS_32);
}

/* CLI and STI: IF, or VIF under VME and PVI, or #GP(0). */
static ExitReason
interrupt_flag (Cpu *cpu, bool set)
{
  if (cpu->cr0 & CR0_PE && cpu->cpl > cpu_iopl (cpu))
    {
      bool virtual = cpu->eflags & EFLAGS_VM ? cpu->cr4 & CR4_VME : cpu->cpl == 3 && cpu->cr4 & CR4_PVI;

      if (!virtual || (set && cpu->eflags & EFLAGS_VIP))
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      cpu_write_eflags (cpu, set ? EFLAGS_VIF : 0, EFLAGS_VIF);
      return EXIT_NONE;
    }
  if (!set)
    cpu->eflags &= ~(uint32_t) EFLAGS_IF;
  else if (!(cpu->eflags & EFLAGS_IF))
    {
      cpu_write_eflags (cpu, EFLAGS_IF, EFLAGS_IF);
      cpu->inhibit |= CPU_INHIBIT_STI;
    }
  return EXIT_NONE;
}

ROUTINE (CLI_none) { return interrupt_flag (cpu, false); }
ROUTINE (STI_none) { return interrupt_flag (cpu, true); }
