/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the x87 routines share: the register stack, the exception flags and the way an operation reaches the host.
 *
 * An operation is executed by the host's own x87 unit, which gives the 80-bit result, the flags and the rounding
 * direction (C1) that the manual demands, for every operand format.  What depends on the guest's whole state is
 * decided here in C: empty and full registers, whether an exception is masked, what is stored and what is popped, and
 * who hears about it.
 *
 * How the host is used, and why it is safe:
 * - The C calling convention wants the host's stack empty and its control word at HOST_CONTROL between statements.
 *   Every asm statement keeps the first; a different rounding or precision is loaded just around one operation.
 * - The host's sticky flags are nobody's property.  Clearing them costs more than an addition, so a masked operation
 *   runs without clearing: only when flags appear that the guest has not got yet is the operation repeated after
 *   FNCLEX to learn which are its own.
 * - When the guest has unmasked something, the operation runs under the guest's masks between FLDCW and FNCLEX.  Only
 *   instructions that do not wait stand between the two, so no exception is ever delivered to us (SDM vol. 1, 8.3.12);
 *   a signal in between saves and restores the unit as it is. */
#pragma once

#include "decode.h"
#include "exceptions.h"
#include "operands.h"

#include <string.h>

enum
{
  FPU_IE = 1u << 0, FPU_DE = 1u << 1, FPU_ZE = 1u << 2, FPU_OE = 1u << 3, FPU_UE = 1u << 4, FPU_PE = 1u << 5,
  FPU_SF = 1u << 6, FPU_ES = 1u << 7, FPU_C0 = 1u << 8, FPU_C1 = 1u << 9, FPU_C2 = 1u << 10, FPU_TOP_SHIFT = 11,
  FPU_TOP = 7u << 11, FPU_C3 = 1u << 14, FPU_B = 1u << 15,
  FPU_FLAGS = 0x3f,             /* also the six mask bits of the control word */
  FPU_PRECOMPUTATION = FPU_IE | FPU_DE | FPU_ZE,        /* unmasked, they leave the operands alone */
  FPU_STORE_BLOCKING = FPU_PRECOMPUTATION | FPU_OE | FPU_UE,    /* the same for a destination in memory */
  FPU_CONDITIONS = FPU_C0 | FPU_C2 | FPU_C3,
  FPU_CONTROL_WRITABLE = 0x1f3f, FPU_CONTROL_FIXED = 0x40,
  FPU_CONTROL_PRECISION_ROUNDING = 0xf00, FPU_CONTROL_PLAIN = 0x300, FPU_CONTROL_ROUNDING = 0xc00,
  FPU_CONTROL_RESET = 0x37f,
};


static const uint16_t HOST_CONTROL = 0x37f;

/* An 80-bit register in C's hands: moved as 8 + 2 bytes, because a store by the x87 unit forwards to loads of exactly
 * these sizes. */
typedef struct
{
  uint64_t significand;
  uint16_t exponent;            /* sign in bit 15 */
} Float80;

static const Float80 FLOAT80_INDEFINITE = { 0xc000000000000000u, 0xffff };

static inline Float80
float80_load (const void *bytes)
{
  Float80 value;

  memcpy (&value.significand, bytes, 8);
  memcpy (&value.exponent, (const uint8_t *) bytes + 8, 2);
  return value;
}

static inline void
float80_store (void *bytes, Float80 value)
{
  memcpy (bytes, &value.significand, 8);
  memcpy ((uint8_t *) bytes + 8, &value.exponent, 2);
}

static inline unsigned
x87_top (const Fpu *fpu)
{
  return fpu->status >> FPU_TOP_SHIFT & 7;
}

static inline void
x87_set_top (Fpu *fpu, unsigned top)
{
  fpu->status = (fpu->status & ~FPU_TOP) | (top & 7) << FPU_TOP_SHIFT;
}

static inline uint8_t *
x87_st (Fpu *fpu, unsigned i)
{
  return fpu->r[(x87_top (fpu) + i) & 7];
}

static inline bool
x87_is_empty (const Fpu *fpu, unsigned i)
{
  return !(fpu->valid >> ((x87_top (fpu) + i) & 7) & 1);
}

static inline void
x87_mark_valid (Fpu *fpu, unsigned i)
{
  fpu->valid |= 1u << ((x87_top (fpu) + i) & 7);
}

static inline void
x87_mark_empty (Fpu *fpu, unsigned i)
{
  fpu->valid &= ~(1u << ((x87_top (fpu) + i) & 7));
}

static inline void
x87_pop (Fpu *fpu)
{
  x87_mark_empty (fpu, 0);
  x87_set_top (fpu, x87_top (fpu) + 1);
}

/* Returns the new ST(0), whose contents the caller sets. */
static inline uint8_t *
x87_push (Fpu *fpu)
{
  x87_set_top (fpu, x87_top (fpu) - 1);
  x87_mark_valid (fpu, 0);
  return x87_st (fpu, 0);
}

/* #NM, or a pending unmasked exception: called when one of the two may be due.  EXIT_NONE when the instruction may go
 * on, else what cpu_report_x87_error () says: EXIT_FAULT, or EXIT_BRANCH to begin again once FERR# has had its effect. */
ExitReason x87_not_ready (Cpu *cpu, bool is_waiting);

/* First statement of every waiting x87 instruction but WAIT. */
static inline ExitReason
x87_begin (Cpu *cpu)
{
  if (UNLIKELY ((cpu->cr0 & (CR0_EM | CR0_TS)) | (cpu->fpu.status & FPU_ES)))
    return x87_not_ready (cpu, true);
  return EXIT_NONE;
}

/* First statement of every x87 instruction that does not wait. */
static inline ExitReason
x87_begin_no_wait (Cpu *cpu)
{
  if (UNLIKELY (cpu->cr0 & (CR0_EM | CR0_TS)))
    return x87_not_ready (cpu, false);
  return EXIT_NONE;
}

/* Instruction and operand pointers: kept by every instruction but the control ones (SDM vol. 1, 8.1.8).  The P6 family
 * updates the opcode every time, not just on exceptions. */
static inline void
x87_note (Cpu *cpu, const DecodedInsn *insn)
{
  Fpu *fpu = &cpu->fpu;

  fpu->ip = cpu->eip;
  fpu->cs = cpu->segments[SEG_CS].selector;
  fpu->opcode = (insn->opcode & 7) << 8 | insn->modrm;
}

static inline void
x87_note_memory (Cpu *cpu, const DecodedInsn *insn, uint32_t offset)
{
  x87_note (cpu, insn);
  cpu->fpu.dp = offset;
  cpu->fpu.ds = cpu->segments[insn->segment].selector;
}

/* n_bytes is a constant where it matters: then only one access is left. */
static inline __attribute__ ((always_inline)) ExitReason
x87_read (Cpu *cpu, const DecodedInsn *insn, uint32_t offset, void *ret_bytes, unsigned n_bytes)
{
  switch (n_bytes)
    {
    case 2:
      return cpu_read_16 (cpu, insn->segment, offset, ret_bytes);
    case 4:
      return cpu_read_32 (cpu, insn->segment, offset, ret_bytes);
    case 8:
      return cpu_read_64 (cpu, insn->segment, offset, ret_bytes);
    default:
      return cpu_read_80 (cpu, insn->segment, offset, ret_bytes);
    }
}

static inline __attribute__ ((always_inline)) ExitReason
x87_write (Cpu *cpu, const DecodedInsn *insn, uint32_t offset, const void *bytes, unsigned n_bytes)
{
  uint64_t value = 0;

  if (n_bytes > 8)
    return cpu_write_80 (cpu, insn->segment, offset, bytes);
  memcpy (&value, bytes, n_bytes);
  switch (n_bytes)
    {
    case 2:
      return cpu_write_16 (cpu, insn->segment, offset, (uint16_t) value);
    case 4:
      return cpu_write_32 (cpu, insn->segment, offset, (uint32_t) value);
    default:
      return cpu_write_64 (cpu, insn->segment, offset, value);
    }
}

/* Adds flags and summarises them.  True when one of them is unmasked. */
static inline bool
x87_raise (Fpu *fpu, unsigned flags)
{
  fpu->status |= flags;
  if (LIKELY (!(flags & ~fpu->control & FPU_FLAGS)))
    return false;
  fpu->status |= FPU_ES | FPU_B;
  return true;
}

/* Recomputes the summary after control or status were loaded; FERR# falls when nothing is pending any more. */
void x87_summarise (Cpu *cpu);

/* Register used empty or filled twice.  True: masked, the caller delivers the indefinite value. */
static inline bool
x87_stack_fault (Fpu *fpu, bool is_overflow)
{
  fpu->status = (fpu->status & ~FPU_C1) | (is_overflow ? FPU_C1 : 0);
  return !x87_raise (fpu, FPU_IE | FPU_SF);
}

static inline void
host_fldcw (uint16_t control)
{
  __asm__ volatile ("fldcw %0" : : "m" (control));
}

static inline void
host_fnclex (void)
{
  __asm__ volatile ("fnclex" : : : "memory");
}

/* After an unmasked kernel: what did not complete on the host has left its stack uneven. */
static inline void
host_fninit (void)
{
  __asm__ volatile ("fninit" : : : "memory");
}

#define HOST_X87_CLOBBERS "st", "st(1)", "st(2)", "memory"

/* kernel: the operation with everything masked; may start with foreign flags set.  Returns the host's status word.
 * unmasked: the operation under `control`, flags clean. */
typedef struct { uint8_t bytes[10]; } X87Bytes;          /* what FLD and FSTP m80 touch */

typedef uint16_t (*X87Kernel)         (void *destination, const void *source);
typedef uint16_t (*X87UnmaskedKernel) (void *destination, const void *source, uint16_t control);

/* Runs one operation and gives the guest its flags.  `conditions` are the condition bits that the operation defines
 * besides C1; `blocking` the flags that, unmasked, keep it from completing: FPU_PRECOMPUTATION for a register
 * destination, FPU_STORE_BLOCKING for memory.  True when the instruction completes (stores, pops); false: the
 * destination is as it was, an exception is pending. Always inlined, so that the kernels are. */
static inline __attribute__ ((always_inline)) bool
x87_operate (Fpu *fpu, uint8_t *destination, const void *source, X87Kernel kernel, X87UnmaskedKernel unmasked,
             uint16_t conditions, uint16_t blocking)
{
  uint16_t control = fpu->control, status;
  Float80 before = float80_load (destination);

  if (LIKELY ((control & FPU_FLAGS) == FPU_FLAGS))
    {
      bool is_plain = (control & FPU_CONTROL_PRECISION_ROUNDING) == FPU_CONTROL_PLAIN;

      if (!is_plain)
        host_fldcw (control);
      status = kernel (destination, source);
      if (UNLIKELY (status & FPU_FLAGS & ~fpu->status))
        {
          host_fnclex ();
          float80_store (destination, before);
          status = kernel (destination, source);
        }
      if (!is_plain)
        host_fldcw (HOST_CONTROL);
      fpu->status = (fpu->status & ~(FPU_C1 | conditions)) | (status & (FPU_FLAGS | FPU_C1 | conditions));
      return true;
    }
  host_fnclex ();
  status = unmasked (destination, source, control | FPU_CONTROL_FIXED);
  host_fninit ();
  fpu->status = (fpu->status & ~(FPU_C1 | conditions)) | (status & (FPU_C1 | conditions));
  x87_raise (fpu, status & FPU_FLAGS);
  if (status & ~control & blocking)
    {
      float80_store (destination, before);
      return false;
    }
  return true;
}
