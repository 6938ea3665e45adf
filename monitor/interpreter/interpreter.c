/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From decoded instructions to routines, and execution of single instructions. */
#include "interpreter.h"

#include "exceptions.h"
#include "insn-table.h"
#include "memory.h"
#include "routines.h"
#include "tlb.h"

#include <errno.h>
#include <string.h>

/* By operand size (4: +2) and kind of operand (memory: +1). */
#define ENTRY_ONE(name)    { name, name, name, name }
#define ENTRY_RM(name)     { name##_r, name##_m, name##_r, name##_m }
#define ENTRY_SIZE(name)   { name##_16, name##_16, name##_32, name##_32 }
#define ENTRY_RMSIZE(name) { name##_r16, name##_m16, name##_r32, name##_m32 }

static const InterpretFunc routines[N_INSN_ROWS][4] = {
#define INSN(map, opcode, group, prefix, mnemonic, form, variants, klass, feature, written, undefined, reason, attributes) \
  ENTRY_##variants (interpret_##mnemonic##_##form),
#include "insns.def"
#undef INSN
};

static InterpretFunc
plain_routine (const DecodedInsn *insn)
{
  return routines[insn->row][(insn->operand_size == 4 ? 2 : 0) + (insn->is_memory ? 1 : 0)];
}

/* Sensitive instructions are rare enough to be counted one by one. */
static ExitReason
count_and_run (Cpu *cpu, const DecodedInsn *insn)
{
  cpu->reason_counts[insn_rows[insn->row].reason]++;
  return plain_routine (insn) (cpu, insn);
}

InterpretFunc
interpreter_routine (const DecodedInsn *insn)
{
  return insn_rows[insn->row].reason == REASON_NONE ? plain_routine (insn) : count_and_run;
}

InterpretFunc
interpreter_uncounted_routine (const DecodedInsn *insn)
{
  return plain_routine (insn);
}

ExitReason
interpreter_fetch (Cpu *cpu, DecodedInsn *ret_insn)
{
  const Segment *cs = &cpu->segments[SEG_CS];
  unsigned mode = cs->attributes & SEGMENT_DB ? DECODE_CODE32 : 0, access = ACCESS_EXECUTE | (cpu->cpl == 3 ? ACCESS_USER : 0);
  uint32_t linear = cs->base + cpu->eip;
  unsigned in_limit, in_page = 4096 - (linear & 0xfff), n;
  uint8_t bytes[15];
  int result;

  if (cpu->eip > cs->limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  in_limit = cs->limit - cpu->eip >= 14 ? 15 : cs->limit - cpu->eip + 1;
  n = in_limit < in_page ? in_limit : in_page;
  if (memory_read (cpu, linear, bytes, n, access))
    return EXIT_FAULT;
  result = insn_decode (bytes, n, mode, cpu->features, ret_insn);
  if (result == -EAGAIN && n < in_limit)
    {
      /* The rest is in the next page; only now may it fault. */
      if (memory_read (cpu, linear + n, bytes + n, in_limit - n, access))
        return EXIT_FAULT;
      result = insn_decode (bytes, in_limit, mode, cpu->features, ret_insn);
    }
  if (result == -EILSEQ)
    return cpu_raise (cpu, VECTOR_UD);
  /* Longer than fifteen bytes, or running over the segment's end. */
  if (result < 0)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  ret_insn->routine = interpreter_routine (ret_insn);
  return EXIT_NONE;
}

static ExitReason
finish (ExitReason reason)
{
  return reason == EXIT_SHUTDOWN ? EXIT_SHUTDOWN : EXIT_NONE;
}

/* An instruction began with CPU_INHIBIT_* in force, which its end lifts: what was held off may come in now. */
static void
lift_inhibition (Cpu *cpu, uint8_t before)
{
  if (before && !cpu->inhibit && (cpu->interrupt_line || cpu->nmi_pending))
    cpu->exit_request |= CPU_REQUEST_EVENT;
}

ExitReason
interpreter_step (Cpu *cpu, bool one_iteration)
{
  bool single_step = cpu->eflags & EFLAGS_TF;
  uint8_t inhibit = cpu->inhibit;
  uint64_t limit = cpu->instruction_limit;
  DecodedInsn insn;
  ExitReason reason;

  if (cpu->dr[7] & 0xff && cpu_check_instruction_breakpoint (cpu))
    return finish (cpu_deliver_exception (cpu));
  if (interpreter_fetch (cpu, &insn))
    {
      cpu->inhibit = 0;
      lift_inhibition (cpu, inhibit);
      return finish (cpu_deliver_exception (cpu));
    }
  cpu->inhibit = 0;
  cpu->eflags &= ~(uint32_t) EFLAGS_RF;
  if (one_iteration)
    cpu->instruction_limit = cpu->instructions + 1;
  reason = insn.routine (cpu, &insn);
  cpu->instruction_limit = limit;
  switch (reason)
    {
    case EXIT_NONE:
      cpu->eip += insn.length;
      cpu->instructions++;
      break;
    case EXIT_BRANCH:
    case EXIT_HALT:
      cpu->instructions++;
      break;
    case EXIT_FAULT:
      lift_inhibition (cpu, inhibit);
      return finish (cpu_deliver_exception (cpu));
    default:
      return reason;
    }
  lift_inhibition (cpu, inhibit);
  /* A software interrupt has cleared TF on its way in, and its own trap with it. */
  if (single_step && !(reason == EXIT_BRANCH && (insn.id == INSN_INT || insn.id == INSN_INT3 || insn.id == INSN_INTO
                                                 || insn.id == INSN_INT1)))
    cpu->tf_pending = true;
  if (cpu->inhibit & CPU_INHIBIT_MOV_SS)
    cpu->tf_pending = false;    /* #DB waits for the next instruction (SDM vol. 3, 6.8.3) */
  else if ((cpu->tf_pending || cpu->debug_hits) && cpu_deliver_debug_traps (cpu) == EXIT_SHUTDOWN)
    return EXIT_SHUTDOWN;
  return cpu->halted ? EXIT_HALT : EXIT_NONE;
}

ExitReason
cpu_step (Cpu *cpu)
{
  return interpreter_step (cpu, true);
}
