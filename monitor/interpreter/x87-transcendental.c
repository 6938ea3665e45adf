/* SPDX-License-Identifier: GPL-3.0-or-later */
/* x87: transcendentals, remainders, scaling and FXTRACT.
 *
 * They follow the host to the last bit: the architecture leaves the low bits of transcendentals to the processor.
 * Beside tens of cycles of microcode a few more do not matter, so the host runs the operation on one or two loaded
 * registers under the guest's control word, unmasked or not, and FNSAVE (which neither waits nor leaves anything
 * behind: control 037F, stack empty) tells everything about the outcome. */
#include "routines.h"

#include "x87.h"

#define ROUTINE(name) \
  ExitReason \
  interpret_##name (Cpu *cpu, const DecodedInsn *insn)

/* FNSAVE in its 32-bit protected layout (SDM vol. 1, figure 8-9). */
typedef struct
{
  uint32_t control, status, tags, ip, selector_opcode, dp, ds;
  uint8_t  st[8][10];
} HostState;

_Static_assert (sizeof (HostState) == 108, "FNSAVE writes 108 bytes");

typedef void (*HostOperation) (const uint8_t *st1, const uint8_t *st0, uint16_t control, HostState *ret_state);

#define HOST_OPERATION(name) \
  static void \
  host_##name (const uint8_t *st1, const uint8_t *st0, uint16_t control, HostState *ret_state) \
  { \
    __asm__ volatile ("fninit\n\tfldt %1\n\tfldt %2\n\tfldcw %3\n\t" #name "\n\tfnsave %0" \
                      : "=m" (*ret_state) \
                      : "m" (*(const X87Bytes *) st1), "m" (*(const X87Bytes *) st0), "m" (control) \
                      : HOST_X87_CLOBBERS, "st(3)"); \
  }

HOST_OPERATION (f2xm1)
HOST_OPERATION (fyl2x)
HOST_OPERATION (fptan)
HOST_OPERATION (fpatan)
HOST_OPERATION (fxtract)
HOST_OPERATION (fprem1)
HOST_OPERATION (fprem)
HOST_OPERATION (fyl2xp1)
HOST_OPERATION (fsincos)
HOST_OPERATION (fscale)
HOST_OPERATION (fsin)
HOST_OPERATION (fcos)

static bool
is_nan (const uint8_t *bytes)
{
  Float80 value = float80_load (bytes);

  return (value.exponent & 0x7fff) == 0x7fff && value.significand << 1 != 0;
}

enum { HOST_TOP_BEFORE = 6 };           /* two registers were loaded */

/* n_operands: registers read; pushes: the result has one register more.  A pop is seen in the host's TOP: an operation
 * that an unmasked exception stopped has not popped (nor pushed). */
static ExitReason
transcendental (Cpu *cpu, const DecodedInsn *insn, HostOperation operation, unsigned n_operands, bool pops, bool pushes,
                uint16_t conditions)
{
  Fpu *fpu = &cpu->fpu;
  HostState state;
  uint16_t status;
  unsigned host_top;
  ExitReason reason = x87_begin (cpu);

  if (reason != EXIT_NONE)
    return reason;
  x87_note (cpu, insn);
  if (x87_is_empty (fpu, 0) || (n_operands == 2 && x87_is_empty (fpu, 1)) || (pushes && !x87_is_empty (fpu, 7)))
    {
      bool is_overflow = !x87_is_empty (fpu, 0);

      if (n_operands == 2)
        is_overflow = false;
      fpu->status &= ~(conditions & FPU_C2);
      if (!x87_stack_fault (fpu, is_overflow))
        return EXIT_NONE;
      if (pops)
        x87_pop (fpu);
      float80_store (x87_st (fpu, 0), FLOAT80_INDEFINITE);
      x87_mark_valid (fpu, 0);
      if (pushes)
        float80_store (x87_push (fpu), FLOAT80_INDEFINITE);
      return EXIT_NONE;
    }
  operation (n_operands == 2 ? x87_st (fpu, 1) : x87_st (fpu, 0), x87_st (fpu, 0), fpu->control | FPU_CONTROL_FIXED,
             &state);
  status = state.status;
  /* FPREM has no quotient to tell of when its result is a NaN or there is none. */
  if (conditions == FPU_CONDITIONS
      && (status & FPU_IE || status & ~fpu->control & FPU_PRECOMPUTATION || is_nan (state.st[0])))
    conditions = FPU_C2;
  fpu->status = (fpu->status & ~(FPU_C1 | conditions)) | (status & (FPU_C1 | conditions));
  x87_raise (fpu, status & FPU_FLAGS);
  if (status & ~fpu->control & FPU_PRECOMPUTATION)
    return EXIT_NONE;
  host_top = status >> FPU_TOP_SHIFT & 7;
  if (host_top > HOST_TOP_BEFORE)
    x87_pop (fpu);
  else if (host_top < HOST_TOP_BEFORE)
    {
      float80_store (x87_st (fpu, 0), float80_load (state.st[1]));
      x87_push (fpu);
    }
  float80_store (x87_st (fpu, 0), float80_load (state.st[0]));
  return EXIT_NONE;
}

ROUTINE (F2XM1_none)   { return transcendental (cpu, insn, host_f2xm1,   1, false, false, 0); }
ROUTINE (FYL2X_none)   { return transcendental (cpu, insn, host_fyl2x,   2, true,  false, 0); }
ROUTINE (FPTAN_none)   { return transcendental (cpu, insn, host_fptan,   1, false, true,  FPU_C2); }
ROUTINE (FPATAN_none)  { return transcendental (cpu, insn, host_fpatan,  2, true,  false, 0); }
ROUTINE (FXTRACT_none) { return transcendental (cpu, insn, host_fxtract, 1, false, true,  0); }
ROUTINE (FPREM1_none)  { return transcendental (cpu, insn, host_fprem1,  2, false, false, FPU_CONDITIONS); }
ROUTINE (FPREM_none)   { return transcendental (cpu, insn, host_fprem,   2, false, false, FPU_CONDITIONS); }
ROUTINE (FYL2XP1_none) { return transcendental (cpu, insn, host_fyl2xp1, 2, true,  false, 0); }
ROUTINE (FSINCOS_none) { return transcendental (cpu, insn, host_fsincos, 1, false, true,  FPU_C2); }
ROUTINE (FSCALE_none)  { return transcendental (cpu, insn, host_fscale,  2, false, false, 0); }
ROUTINE (FSIN_none)    { return transcendental (cpu, insn, host_fsin,    1, false, false, FPU_C2); }
ROUTINE (FCOS_none)    { return transcendental (cpu, insn, host_fcos,    1, false, false, FPU_C2); }
