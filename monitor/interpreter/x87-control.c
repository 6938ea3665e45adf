/* SPDX-License-Identifier: GPL-3.0-or-later */
/* x87: control and status, the environment in its four layouts, FXSAVE and FXRSTOR, and how a pending exception
 * reaches the guest. */
#include "routines.h"

#include "exceptions.h"
#include "flags.h"
#include "sse.h"
#include "x87.h"

#define ROUTINE(name) \
  ExitReason \
  interpret_##name (Cpu *cpu, const DecodedInsn *insn)

ExitReason
x87_not_ready (Cpu *cpu, bool is_waiting)
{
  if (cpu->cr0 & (CR0_EM | CR0_TS))
    return cpu_raise (cpu, VECTOR_NM);
  return is_waiting ? cpu_report_x87_error (cpu) : EXIT_NONE;
}

void
x87_summarise (Cpu *cpu)
{
  Fpu *fpu = &cpu->fpu;

  if (fpu->status & ~fpu->control & FPU_FLAGS)
    {
      fpu->status |= FPU_ES | FPU_B;
      return;
    }
  fpu->status &= ~(FPU_ES | FPU_B);
  if (cpu->ferr)
    {
      cpu->ferr = false;
      irq_line_set (&cpu->lines.ferr, false);
    }
}

/* FNINIT, and the last step of FNSAVE. */
static void
x87_reset (Cpu *cpu)
{
  Fpu *fpu = &cpu->fpu;

  fpu->control = FPU_CONTROL_RESET;
  fpu->status = 0;
  fpu->valid = 0;
  fpu->opcode = 0;
  fpu->ip = fpu->dp = 0;
  fpu->cs = fpu->ds = 0;
  x87_summarise (cpu);
}

/* The tag word of the environment: 0 valid, 1 zero, 2 special, 3 empty (SDM vol. 1, 8.1.7). */
static uint16_t
tag_word (const Fpu *fpu)
{
  uint16_t tags = 0;

  for (unsigned i = 0; i < 8; i++)
    {
      Float80 value = float80_load (fpu->r[i]);
      unsigned exponent = value.exponent & 0x7fff;
      unsigned tag = 0;

      if (!(fpu->valid >> i & 1))
        tag = 3;
      else if (exponent == 0 && value.significand == 0)
        tag = 1;
      else if (exponent == 0 || exponent == 0x7fff || !(value.significand >> 63))
        tag = 2;
      tags |= tag << 2 * i;
    }
  return tags;
}

static bool
uses_real_layout (const Cpu *cpu)
{
  return !(cpu->cr0 & CR0_PE) || (cpu->eflags & EFLAGS_VM);
}

static void
put16 (uint8_t *bytes, unsigned value)
{
  bytes[0] = value;
  bytes[1] = value >> 8;
}

static void
put32 (uint8_t *bytes, uint32_t value)
{
  put16 (bytes, value & 0xffff);
  put16 (bytes + 2, value >> 16);
}

static uint16_t
get16 (const uint8_t *bytes)
{
  return bytes[0] | bytes[1] << 8;
}

static uint32_t
get32 (const uint8_t *bytes)
{
  return get16 (bytes) | (uint32_t) get16 (bytes + 2) << 16;
}

enum { ENVIRONMENT_16 = 14, ENVIRONMENT_32 = 28, REGISTERS = 80, FXSAVE_XMM = 160, FXSAVE_XMM_END = 288 };

/* SDM vol. 1, figures 8-9 to 8-12.  Returns the number of bytes. */
static unsigned
environment_store (const Cpu *cpu, bool is_32bit, uint8_t *bytes)
{
  const Fpu *fpu = &cpu->fpu;
  bool is_real = uses_real_layout (cpu);
  uint32_t ip = fpu->ip, dp = fpu->dp;

  if (is_real)
    {
      ip += (uint32_t) fpu->cs << 4;
      dp += (uint32_t) fpu->ds << 4;
    }
  if (!is_32bit)
    {
      put16 (bytes, fpu->control);
      put16 (bytes + 2, fpu->status);
      put16 (bytes + 4, tag_word (fpu));
      put16 (bytes + 6, ip);
      put16 (bytes + 8, is_real ? (ip >> 4 & 0xf000) | fpu->opcode : fpu->cs);
      put16 (bytes + 10, dp);
      put16 (bytes + 12, is_real ? dp >> 4 & 0xf000 : fpu->ds);
      return ENVIRONMENT_16;
    }
  put32 (bytes, 0xffff0000u | fpu->control);
  put32 (bytes + 4, 0xffff0000u | fpu->status);
  put32 (bytes + 8, 0xffff0000u | tag_word (fpu));
  if (is_real)
    {
      put32 (bytes + 12, 0xffff0000u | (ip & 0xffff));
      put32 (bytes + 16, (ip >> 4 & 0x0ffff000u) | fpu->opcode);
      put32 (bytes + 20, 0xffff0000u | (dp & 0xffff));
      put32 (bytes + 24, dp >> 4 & 0x0ffff000u);
    }
  else
    {
      put32 (bytes + 12, ip);
      put32 (bytes + 16, (uint32_t) fpu->opcode << 16 | fpu->cs);
      put32 (bytes + 20, dp);
      put32 (bytes + 24, 0xffff0000u | fpu->ds);
    }
  return ENVIRONMENT_32;
}

static void
environment_load (Cpu *cpu, bool is_32bit, const uint8_t *bytes)
{
  Fpu *fpu = &cpu->fpu;
  bool is_real = uses_real_layout (cpu);
  unsigned step = is_32bit ? 4 : 2;
  uint16_t tags = get16 (bytes + 2 * step);

  fpu->control = (get16 (bytes) & FPU_CONTROL_WRITABLE) | FPU_CONTROL_FIXED;
  fpu->status = get16 (bytes + step);
  fpu->valid = 0;
  for (unsigned i = 0; i < 8; i++)
    if ((tags >> 2 * i & 3) != 3)
      fpu->valid |= 1u << i;
  if (!is_32bit)
    {
      uint16_t ip_high = get16 (bytes + 8), dp_high = get16 (bytes + 12);

      fpu->ip = get16 (bytes + 6);
      fpu->dp = get16 (bytes + 10);
      if (is_real)
        {
          fpu->ip |= (uint32_t) (ip_high & 0xf000) << 4;
          fpu->dp |= (uint32_t) (dp_high & 0xf000) << 4;
          fpu->opcode = ip_high & 0x7ff;
          fpu->cs = fpu->ds = 0;
        }
      else
        {
          fpu->cs = ip_high;
          fpu->ds = dp_high;
        }
    }
  else if (is_real)
    {
      uint32_t ip_high = get32 (bytes + 16);

      fpu->ip = get16 (bytes + 12) | (ip_high & 0x0ffff000u) << 4;
      fpu->opcode = ip_high & 0x7ff;
      fpu->dp = get16 (bytes + 20) | (get32 (bytes + 24) & 0x0ffff000u) << 4;
      fpu->cs = fpu->ds = 0;
    }
  else
    {
      fpu->ip = get32 (bytes + 12);
      fpu->cs = get16 (bytes + 16);
      fpu->opcode = get16 (bytes + 18) & 0x7ff;
      fpu->dp = get32 (bytes + 20);
      fpu->ds = get16 (bytes + 24);
    }
  x87_summarise (cpu);
}

ROUTINE (FNSTENV_M)
{
  uint32_t offset = insn_offset (cpu, insn);
  uint8_t bytes[ENVIRONMENT_32];
  unsigned n_bytes;
  ExitReason reason = x87_begin_no_wait (cpu);

  if (reason != EXIT_NONE)
    return reason;
  n_bytes = environment_store (cpu, insn->operand_size == 4, bytes);
  reason = cpu_write_bytes (cpu, insn->segment, offset, bytes, n_bytes, insn->operand_size);
  if (reason != EXIT_NONE)
    return reason;
  cpu->fpu.control |= FPU_FLAGS;
  x87_summarise (cpu);
  return EXIT_NONE;
}

ROUTINE (FLDENV_M)
{
  uint32_t offset = insn_offset (cpu, insn);
  bool is_32bit = insn->operand_size == 4;
  uint8_t bytes[ENVIRONMENT_32];
  ExitReason reason = x87_begin (cpu);

  if (reason != EXIT_NONE)
    return reason;
  reason = cpu_read_bytes (cpu, insn->segment, offset, bytes, is_32bit ? ENVIRONMENT_32 : ENVIRONMENT_16,
                           insn->operand_size);
  if (reason != EXIT_NONE)
    return reason;
  environment_load (cpu, is_32bit, bytes);
  return EXIT_NONE;
}

ROUTINE (FNSAVE_M)
{
  uint32_t offset = insn_offset (cpu, insn);
  Fpu *fpu = &cpu->fpu;
  uint8_t bytes[ENVIRONMENT_32 + REGISTERS];
  unsigned n_bytes;
  ExitReason reason = x87_begin_no_wait (cpu);

  if (reason != EXIT_NONE)
    return reason;
  n_bytes = environment_store (cpu, insn->operand_size == 4, bytes);
  for (unsigned i = 0; i < 8; i++)
    memcpy (bytes + n_bytes + 10 * i, x87_st (fpu, i), 10);
  reason = cpu_write_bytes (cpu, insn->segment, offset, bytes, n_bytes + REGISTERS, insn->operand_size);
  if (reason != EXIT_NONE)
    return reason;
  x87_reset (cpu);
  return EXIT_NONE;
}

ROUTINE (FRSTOR_M)
{
  uint32_t offset = insn_offset (cpu, insn);
  Fpu *fpu = &cpu->fpu;
  bool is_32bit = insn->operand_size == 4;
  unsigned n_bytes = is_32bit ? ENVIRONMENT_32 : ENVIRONMENT_16;
  uint8_t bytes[ENVIRONMENT_32 + REGISTERS];
  ExitReason reason = x87_begin (cpu);

  if (reason != EXIT_NONE)
    return reason;
  reason = cpu_read_bytes (cpu, insn->segment, offset, bytes, n_bytes + REGISTERS, insn->operand_size);
  if (reason != EXIT_NONE)
    return reason;
  environment_load (cpu, is_32bit, bytes);
  for (unsigned i = 0; i < 8; i++)
    memcpy (x87_st (fpu, i), bytes + n_bytes + 10 * i, 10);
  return EXIT_NONE;
}

ROUTINE (FLDCW_Mw)
{
  uint32_t offset = insn_offset (cpu, insn);
  uint8_t bytes[2];
  ExitReason reason = x87_begin (cpu);

  if (reason != EXIT_NONE)
    return reason;
  reason = x87_read (cpu, insn, offset, bytes, sizeof bytes);
  if (reason != EXIT_NONE)
    return reason;
  cpu->fpu.control = (get16 (bytes) & FPU_CONTROL_WRITABLE) | FPU_CONTROL_FIXED;
  x87_summarise (cpu);
  return EXIT_NONE;
}

static ExitReason
store_word (Cpu *cpu, const DecodedInsn *insn, uint16_t value)
{
  uint32_t offset = insn_offset (cpu, insn);
  uint8_t bytes[2];
  ExitReason reason = x87_begin_no_wait (cpu);

  if (reason != EXIT_NONE)
    return reason;
  put16 (bytes, value);
  return x87_write (cpu, insn, offset, bytes, sizeof bytes);
}

ROUTINE (FNSTCW_Mw) { return store_word (cpu, insn, cpu->fpu.control); }
ROUTINE (FNSTSW_Mw) { return store_word (cpu, insn, cpu->fpu.status); }

ROUTINE (FNSTSW_AX)
{
  ExitReason reason = x87_begin_no_wait (cpu);

  if (reason != EXIT_NONE)
    return reason;
  cpu->regs[REG_EAX] = (cpu->regs[REG_EAX] & 0xffff0000u) | cpu->fpu.status;
  return EXIT_NONE;
}

ROUTINE (FNINIT_none)
{
  ExitReason reason = x87_begin_no_wait (cpu);

  if (reason != EXIT_NONE)
    return reason;
  x87_reset (cpu);
  return EXIT_NONE;
}

ROUTINE (FNCLEX_none)
{
  ExitReason reason = x87_begin_no_wait (cpu);

  if (reason != EXIT_NONE)
    return reason;
  cpu->fpu.status &= ~(FPU_FLAGS | FPU_SF);
  x87_summarise (cpu);
  return EXIT_NONE;
}

/* FENI, FDISI (8087) and FSETPM (287) do nothing on later processors. */
static ExitReason
do_nothing (Cpu *cpu)
{
  return x87_begin_no_wait (cpu);
}

ROUTINE (FNENI_none)   { return do_nothing (cpu); }
ROUTINE (FNDISI_none)  { return do_nothing (cpu); }
ROUTINE (FNSETPM_none) { return do_nothing (cpu); }

/* WAIT asks CR0.MP whether TS counts, and never EM (SDM vol. 3, table 2-2). */
ROUTINE (FWAIT_none)
{
  if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
    return cpu_raise (cpu, VECTOR_NM);
  if (cpu->fpu.status & FPU_ES)
    return cpu_report_x87_error (cpu);
  return EXIT_NONE;
}

ROUTINE (FNOP_none)
{
  ExitReason reason = x87_begin (cpu);

  if (reason == EXIT_NONE)
    x87_note (cpu, insn);
  return reason;
}

static ExitReason
free_register (Cpu *cpu, const DecodedInsn *insn, bool pop)
{
  ExitReason reason = x87_begin (cpu);

  if (reason != EXIT_NONE)
    return reason;
  x87_note (cpu, insn);
  cpu->fpu.status &= ~FPU_C1;
  x87_mark_empty (&cpu->fpu, insn->modrm & 7);
  if (pop)
    x87_pop (&cpu->fpu);
  return EXIT_NONE;
}

ROUTINE (FFREE_STi)  { return free_register (cpu, insn, false); }
ROUTINE (FFREEP_STi) { return free_register (cpu, insn, true); }

static ExitReason
rotate_stack (Cpu *cpu, const DecodedInsn *insn, int step)
{
  ExitReason reason = x87_begin (cpu);

  if (reason != EXIT_NONE)
    return reason;
  x87_note (cpu, insn);
  cpu->fpu.status &= ~FPU_C1;
  x87_set_top (&cpu->fpu, x87_top (&cpu->fpu) + step);
  return EXIT_NONE;
}

ROUTINE (FINCSTP_none) { return rotate_stack (cpu, insn, 1); }
ROUTINE (FDECSTP_none) { return rotate_stack (cpu, insn, -1); }

/* FXSAVE and FXRSTOR (SDM vol. 2): the registers in stack order, the tags as one bit per physical register.  They do
 * not wait.  Without CR4.OSFXSR whether XMM registers are included is the processor's choice: here they are. */
static ExitReason
check_fxsave (Cpu *cpu, const DecodedInsn *insn, uint32_t offset)
{
  ExitReason reason = x87_begin_no_wait (cpu);

  if (reason != EXIT_NONE)
    return reason;
  return cpu_check_aligned_16 (cpu, insn->segment, offset);
}

/* A Pentium II has the instruction without the XMM registers. */
static unsigned
fxsave_size (const Cpu *cpu)
{
  return cpu->features & FEATURE_SSE ? FXSAVE_XMM_END : FXSAVE_XMM;
}

ROUTINE (FXSAVE_M)
{
  uint32_t offset = insn_offset (cpu, insn);
  Fpu *fpu = &cpu->fpu;
  /* Bytes 288 ... 511 are reserved and stay as they are. */
  uint8_t bytes[FXSAVE_XMM_END] = { 0 };
  ExitReason reason = check_fxsave (cpu, insn, offset);

  if (reason != EXIT_NONE)
    return reason;
  put16 (bytes, fpu->control);
  put16 (bytes + 2, fpu->status);
  bytes[4] = fpu->valid;
  put16 (bytes + 6, fpu->opcode);
  put32 (bytes + 8, fpu->ip);
  put16 (bytes + 12, fpu->cs);
  put32 (bytes + 16, fpu->dp);
  put16 (bytes + 20, fpu->ds);
  for (unsigned i = 0; i < 8; i++)
    {
      memcpy (bytes + 32 + 16 * i, x87_st (fpu, i), 10);
      memcpy (bytes + FXSAVE_XMM + 16 * i, fpu->xmm[i], 16);
    }
  if (cpu->features & FEATURE_SSE)
    {
      put32 (bytes + 24, fpu->mxcsr);
      put32 (bytes + 28, mxcsr_mask (cpu));
    }
  return cpu_write_bytes (cpu, insn->segment, offset, bytes, fxsave_size (cpu), 1);
}

ROUTINE (FXRSTOR_M)
{
  uint32_t offset = insn_offset (cpu, insn);
  Fpu *fpu = &cpu->fpu;
  bool has_sse = (cpu->features & FEATURE_SSE) != 0;
  uint8_t bytes[FXSAVE_XMM_END];
  ExitReason reason = check_fxsave (cpu, insn, offset);

  if (reason != EXIT_NONE)
    return reason;
  reason = cpu_read_bytes (cpu, insn->segment, offset, bytes, fxsave_size (cpu), 1);
  if (reason != EXIT_NONE)
    return reason;
  if (has_sse && get32 (bytes + 24) & ~mxcsr_mask (cpu))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  fpu->control = (get16 (bytes) & FPU_CONTROL_WRITABLE) | FPU_CONTROL_FIXED;
  fpu->status = get16 (bytes + 2);
  fpu->valid = bytes[4];
  fpu->opcode = get16 (bytes + 6) & 0x7ff;
  fpu->ip = get32 (bytes + 8);
  fpu->cs = get16 (bytes + 12);
  fpu->dp = get32 (bytes + 16);
  fpu->ds = get16 (bytes + 20);
  for (unsigned i = 0; i < 8; i++)
    memcpy (x87_st (fpu, i), bytes + 32 + 16 * i, 10);
  if (has_sse)
    {
      fpu->mxcsr = get32 (bytes + 24);
      memcpy (fpu->xmm, bytes + FXSAVE_XMM, sizeof fpu->xmm);
    }
  x87_summarise (cpu);
  return EXIT_NONE;
}
