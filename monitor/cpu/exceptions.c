/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "exceptions.h"

#include "flags.h"
#include "memory.h"
#include "paging.h"
#include "segments.h"
#include "tlb.h"

#define TRY(expression) do { ExitReason reason_ = (expression); if (reason_ != EXIT_NONE) return reason_; } while (0)

enum { DR7_GD = 1 << 13, DR6_BD = 1 << 13, DR6_BS = 1 << 14, TSS_MAP_BASE = 102 };

/* ---- Recording ---- */

ExitReason
cpu_raise (Cpu *cpu, unsigned vector)
{
  cpu->exception_vector = (uint8_t) vector;
  cpu->exception_has_error = false;
  cpu->exception_error = 0;
  cpu->exception_is_trap = false;
  cpu->exception_dr6 = 0;
  return EXIT_FAULT;
}

ExitReason
cpu_raise_error (Cpu *cpu, unsigned vector, uint32_t error)
{
  cpu_raise (cpu, vector);
  cpu->exception_has_error = true;
  if (vector == VECTOR_GP || vector == VECTOR_SS || vector == VECTOR_NP || vector == VECTOR_TS)
    error |= cpu->external;
  cpu->exception_error = (uint16_t) error;
  return EXIT_FAULT;
}

ExitReason
cpu_raise_page_fault (Cpu *cpu, uint32_t linear, uint32_t error)
{
  cpu->cr2 = linear;
  /* A page fault drops what the processor had cached for the address (SDM vol. 3, 4.10.4.1). */
  if (cpu->hooks.flush_linear)
    cpu->hooks.flush_linear (cpu, linear);
  return cpu_raise_error (cpu, VECTOR_PF, error);
}

ExitReason
cpu_raise_trap (Cpu *cpu, unsigned vector, uint32_t dr6)
{
  cpu_raise (cpu, vector);
  cpu->exception_is_trap = true;
  cpu->exception_dr6 = dr6;
  return EXIT_FAULT;
}

/* ---- Real mode ---- */

/* Also virtual-8086 mode with the vector redirected to the program's own table (SDM vol. 3, 20.3): then flags is the image. */
static ExitReason
deliver_8086 (Cpu *cpu, uint32_t table, unsigned vector, uint32_t flags, uint32_t clear, uint32_t return_eip)
{
  uint32_t values[3] = { flags, cpu->segments[SEG_CS].selector, return_eip }, esp;
  unsigned access = cpu->cpl == 3 ? ACCESS_USER : 0;
  uint16_t target[2];

  TRY (memory_read (cpu, table + vector * 4, target, 4, access));
  if (target[0] > (cpu->eflags & EFLAGS_VM ? 0xffff : cpu->segments[SEG_CS].limit))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (stack_push_frame (cpu, &cpu->segments[SEG_SS], cpu->regs[REG_ESP], values, 3, 2, access, 0, &esp));
  cpu->regs[REG_ESP] = esp;
  segment_load_real (cpu, SEG_CS, target[1]);
  cpu->eip = target[0];
  cpu_write_eflags (cpu, 0, clear);
  return EXIT_BRANCH;
}

static ExitReason
interrupt_real (Cpu *cpu, unsigned vector, uint32_t return_eip)
{
  if (vector * 4 + 3 > cpu->idt_limit)
    return cpu_raise_error (cpu, VECTOR_GP, vector * 8 + 2);
  return deliver_8086 (cpu, cpu->idt_base, vector, cpu_get_eflags (cpu), EFLAGS_IF | EFLAGS_TF | EFLAGS_AC | EFLAGS_RF, return_eip);
}

/* INT n in virtual-8086 mode (SDM vol. 3, 20.3, methods 1 … 6). *ret_done: delivered or faulted. */
static ExitReason
interrupt_virtual (Cpu *cpu, unsigned vector, uint32_t return_eip, bool *ret_done)
{
  unsigned iopl = cpu_iopl (cpu);
  bool redirect = false;

  *ret_done = true;
  if (cpu->cr4 & CR4_VME)
    {
      uint16_t map_base;
      uint8_t bits;
      uint32_t at;

      if (cpu->task.limit < TSS_MAP_BASE + 1)
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      TRY (memory_read (cpu, cpu->task.base + TSS_MAP_BASE, &map_base, 2, 0));
      at = map_base - 32u + vector / 8;
      if (map_base < 32 || at > cpu->task.limit)
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      TRY (memory_read (cpu, cpu->task.base + at, &bits, 1, 0));
      redirect = !(bits >> (vector & 7) & 1);
    }
  if (redirect)
    {
      uint32_t flags = cpu_get_eflags (cpu);

      if (iopl == 3)
        return deliver_8086 (cpu, 0, vector, flags, EFLAGS_IF | EFLAGS_TF | EFLAGS_RF, return_eip);
      flags = (flags & ~(uint32_t) EFLAGS_IF) | EFLAGS_IOPL | (flags & EFLAGS_VIF ? EFLAGS_IF : 0);
      return deliver_8086 (cpu, 0, vector, flags, EFLAGS_VIF | EFLAGS_TF | EFLAGS_RF, return_eip);
    }
  if (iopl < 3)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  *ret_done = false;
  return EXIT_NONE;
}

/* ---- Protected mode ---- */

/* Into an inner ring, from virtual-8086 mode too. */
static ExitReason
enter_inner (Cpu *cpu, const Segment *cs, unsigned cpl, uint32_t offset, unsigned size, uint32_t flags, bool has_error, uint32_t error,
             uint32_t return_eip, uint32_t clear)
{
  static const uint8_t data[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES };
  bool from_virtual = cpu->eflags & EFLAGS_VM;
  uint32_t values[10], esp;
  uint16_t selector;
  unsigned n = 0;
  Segment ss;

  TRY (task_inner_stack (cpu, cpl, &selector, &esp));
  TRY (stack_segment_for (cpu, selector, cpl, &ss));
  for (unsigned i = 0; from_virtual && i < 4; i++)
    values[n++] = cpu->segments[data[i]].selector;
  values[n++] = cpu->segments[SEG_SS].selector;
  values[n++] = cpu->regs[REG_ESP];
  values[n++] = flags;
  values[n++] = cpu->segments[SEG_CS].selector;
  values[n++] = return_eip;
  if (has_error)
    values[n++] = error;
  TRY (stack_push_frame (cpu, &ss, esp, values, n, size, cpl == 3 ? ACCESS_USER : 0, selector & 0xfffcu, &esp));
  if (offset > cs->limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  for (unsigned i = 0; from_virtual && i < 4; i++)
    {
      cpu->segments[data[i]].selector = 0;
      cpu->segments[data[i]].attributes &= (uint16_t) ~SEGMENT_P;
    }
  cpu->segments[SEG_SS] = ss;
  cpu->regs[REG_ESP] = ss.attributes & SEGMENT_DB ? esp : (cpu->regs[REG_ESP] & 0xffff0000u) | (esp & 0xffff);
  cpu->segments[SEG_CS] = *cs;
  cpu->segments[SEG_CS].selector = (uint16_t) ((cs->selector & 0xfffc) | cpl);
  cpu->eip = offset;
  cpu_write_eflags (cpu, 0, clear);
  cpu_set_cpl (cpu, cpl);
  return EXIT_BRANCH;
}

static ExitReason
interrupt_protected (Cpu *cpu, unsigned vector, InterruptKind kind, bool has_error, uint32_t error, uint32_t return_eip)
{
  bool software = kind == INTERRUPT_SOFTWARE || kind == INTERRUPT_SOFTWARE_EXCEPTION;
  uint32_t gate_error = vector * 8 + 2, offset, flags, clear, esp, n = 0, values[4];
  Descriptor gate, code;
  uint16_t selector;
  unsigned type, size, dpl;
  Segment cs;

  if (vector * 8 + 7 > cpu->idt_limit)
    return cpu_raise_error (cpu, VECTOR_GP, gate_error);
  TRY (memory_read (cpu, cpu->idt_base + vector * 8, &gate, sizeof gate, 0));
  type = descriptor_type (&gate);
  if (descriptor_is_segment (&gate)
      || (type != DESCRIPTOR_TASK_GATE && type != DESCRIPTOR_INTERRUPT16 && type != DESCRIPTOR_TRAP16
          && type != DESCRIPTOR_INTERRUPT32 && type != DESCRIPTOR_TRAP32))
    return cpu_raise_error (cpu, VECTOR_GP, gate_error);
  if (software && descriptor_dpl (&gate) < cpu->cpl)
    return cpu_raise_error (cpu, VECTOR_GP, gate_error);
  if (!descriptor_present (&gate))
    return cpu_raise_error (cpu, VECTOR_NP, gate_error);
  selector = (uint16_t) (gate.low >> 16);
  if (type == DESCRIPTOR_TASK_GATE)
    return task_enter (cpu, selector, TASK_INTERRUPT, return_eip, has_error, error);
  size = type & 8 ? 4 : 2;
  offset = size == 4 ? (gate.high & 0xffff0000u) | (gate.low & 0xffff) : gate.low & 0xffff;
  if (!(selector & 0xfffc))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (descriptor_read (cpu, selector, &code, VECTOR_GP));
  dpl = descriptor_dpl (&code);
  if (!descriptor_is_code (&code) || dpl > cpu->cpl)
    return cpu_raise_error (cpu, VECTOR_GP, selector & 0xfffcu);
  if (!descriptor_present (&code))
    return cpu_raise_error (cpu, VECTOR_NP, selector & 0xfffcu);
  TRY (descriptor_set_accessed (cpu, selector, &code));
  cs = segment_from_descriptor (selector, &code);
  flags = cpu_get_eflags (cpu);
  /* Faults push RF set, so that the handler's IRET passes the breakpoint that may lie there (SDM vol. 3, 17.3.1.1). */
  if (kind == INTERRUPT_EXCEPTION && !cpu->exception_is_trap && vector != VECTOR_DB && vector != VECTOR_DF && vector != VECTOR_MC)
    flags |= EFLAGS_RF;
  clear = EFLAGS_TF | EFLAGS_VM | EFLAGS_RF | EFLAGS_NT | (type & 1 ? 0 : EFLAGS_IF);
  if (!(descriptor_type (&code) & SEGMENT_CONFORMING) && dpl < cpu->cpl)
    {
      if (cpu->eflags & EFLAGS_VM && dpl != 0)
        return cpu_raise_error (cpu, VECTOR_GP, selector & 0xfffcu);
      return enter_inner (cpu, &cs, dpl, offset, size, flags, has_error, error, return_eip, clear);
    }
  if (cpu->eflags & EFLAGS_VM)
    return cpu_raise_error (cpu, VECTOR_GP, selector & 0xfffcu);
  values[n++] = flags;
  values[n++] = cpu->segments[SEG_CS].selector;
  values[n++] = return_eip;
  if (has_error)
    values[n++] = error;
  if (offset > cs.limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (stack_push_frame (cpu, &cpu->segments[SEG_SS], cpu->regs[REG_ESP], values, n, size, cpu->cpl == 3 ? ACCESS_USER : 0, 0, &esp));
  cpu->regs[REG_ESP] = esp;
  cs.selector = (uint16_t) ((selector & 0xfffc) | cpu->cpl);
  cpu->segments[SEG_CS] = cs;
  cpu->eip = offset;
  cpu_write_eflags (cpu, 0, clear);
  cpu_changed (cpu);
  return EXIT_BRANCH;
}

ExitReason
cpu_interrupt (Cpu *cpu, unsigned vector, InterruptKind kind, bool has_error, uint32_t error, uint32_t return_eip)
{
  ExitReason reason = EXIT_NONE;

  cpu->external = kind == INTERRUPT_EXTERNAL || kind == INTERRUPT_EXCEPTION || kind == INTERRUPT_ICEBP;
  if (!(cpu->cr0 & CR0_PE))
    reason = interrupt_real (cpu, vector, return_eip);
  else
    {
      bool done = false;

      if (cpu->eflags & EFLAGS_VM && kind == INTERRUPT_SOFTWARE)
        reason = interrupt_virtual (cpu, vector, return_eip, &done);
      if (!done)
        reason = interrupt_protected (cpu, vector, kind, has_error, error, return_eip);
    }
  cpu->external = 0;
  return reason;
}

/* ---- Delivery with escalation (SDM vol. 3, table 6-5) ---- */

static bool
is_contributory (unsigned vector)
{
  return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

ExitReason
cpu_shut_down (Cpu *cpu)
{
  cpu->shutdown = true;
  cpu->halted = true;
  return EXIT_SHUTDOWN;
}

ExitReason
cpu_deliver_exception (Cpu *cpu)
{
  unsigned first = cpu->exception_vector;

  /* A guest whose handler faults at once must not stop the instruction clock. */
  if (!cpu->exception_is_trap)
    cpu->instructions++;
  for (;;)
    {
      unsigned vector = cpu->exception_vector;
      bool trap = cpu->exception_is_trap;

      if (vector == VECTOR_DB)
        {
          cpu->dr[6] |= cpu->exception_dr6;
          cpu->dr[7] &= ~(uint32_t) DR7_GD;
        }
      cpu->debug_hits = 0;
      cpu->tf_pending = false;
      if (cpu_interrupt (cpu, vector, INTERRUPT_EXCEPTION, cpu->exception_has_error, cpu->exception_error, cpu->eip) == EXIT_BRANCH)
        return EXIT_BRANCH;
      if (first == VECTOR_DF)
        return cpu_shut_down (cpu);
      if (cpu->exception_is_trap && !trap)
        /* The handler is a task with its T flag set: its #DB is a new event. */
        first = cpu->exception_vector;
      else if ((is_contributory (first) && is_contributory (cpu->exception_vector))
               || (first == VECTOR_PF && (cpu->exception_vector == VECTOR_PF || is_contributory (cpu->exception_vector))))
        {
          cpu_raise_error (cpu, VECTOR_DF, 0);
          first = VECTOR_DF;
        }
      else
        first = cpu->exception_vector;
    }
}

/* ---- Debugging (SDM vol. 3, chapter 17) ---- */

ExitReason
cpu_deliver_debug_traps (Cpu *cpu)
{
  uint32_t dr6 = cpu->debug_hits | (cpu->tf_pending ? DR6_BS : 0);

  if (!dr6)
    return EXIT_NONE;
  cpu->debug_hits = 0;
  cpu->tf_pending = false;
  cpu_raise_trap (cpu, VECTOR_DB, dr6);
  return cpu_deliver_exception (cpu);
}

ExitReason
cpu_check_instruction_breakpoint (Cpu *cpu)
{
  uint32_t linear = cpu->segments[SEG_CS].base + cpu->eip, hits = 0;

  if (cpu->eflags & EFLAGS_RF)
    return EXIT_NONE;
  for (unsigned i = 0; i < 4; i++)
    if (cpu->dr[7] >> (i * 2) & 3 && !(cpu->dr[7] >> (16 + i * 4) & 0xf) && cpu->dr[i] == linear)
      hits |= 1u << i;
  if (!hits)
    return EXIT_NONE;
  cpu_raise (cpu, VECTOR_DB);
  cpu->exception_dr6 = hits;
  return EXIT_FAULT;
}

void
cpu_check_io_breakpoint (Cpu *cpu, uint16_t port, unsigned size)
{
  if (!(cpu->cr4 & CR4_DE))
    return;
  for (unsigned i = 0; i < 4; i++)
    {
      unsigned length = (cpu->dr[7] >> (18 + i * 4) & 3) + 1;
      uint32_t first = cpu->dr[i] & ~(length - 1);

      if (cpu->dr[7] >> (i * 2) & 3 && (cpu->dr[7] >> (16 + i * 4) & 3) == 2 && first < (uint32_t) port + size && port <= first + length - 1)
        cpu->debug_hits |= (uint8_t) (1 << i);
    }
}

/* ---- x87 errors ---- */

ExitReason
cpu_report_x87_error (Cpu *cpu)
{
  if (!(cpu->fpu.status & ~cpu->fpu.control & 0x3f))
    return EXIT_NONE;
  if (cpu->cr0 & CR0_NE)
    return cpu_raise (cpu, VECTOR_MF);
  if (cpu->ignne)
    return EXIT_NONE;
  /* The processor stops here until the interrupt that FERR# causes comes in (SDM vol. 1, D.2.1). */
  if (!cpu->ferr)
    {
      cpu->ferr = true;
      irq_line_set (&cpu->lines.ferr, true);
    }
  return EXIT_BRANCH;
}
