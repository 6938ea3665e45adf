/* SPDX-License-Identifier: GPL-3.0-or-later */
/* x87: arithmetic, comparisons, square root and rounding.  The method is described in x87.h. */
#include "routines.h"

#include "flags.h"
#include "x87.h"

/* Kernels with an operand in memory, in the four formats; `suffix` letters are those of the assembler. */
#define MEMORY_KERNELS(name, text, Type) \
  static inline uint16_t \
  name (void *destination, const void *source) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %1\n\t" text " %2\n\tfnstsw %0\n\tfstpt %1" \
                      : "=a" (status), "+m" (*(X87Bytes *) destination) : "m" (*(const Type *) source) \
                      : HOST_X87_CLOBBERS); \
    return status; \
  } \
  static uint16_t \
  name##_unmasked (void *destination, const void *source, uint16_t control) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %1\n\tfldcw %3\n\t" text " %2\n\tfnstsw %0\n\tfnclex\n\tfldcw %4\n\tfstpt %1" \
                      : "=a" (status), "+m" (*(X87Bytes *) destination) \
                      : "m" (*(const Type *) source), "m" (control), "m" (HOST_CONTROL) : HOST_X87_CLOBBERS); \
    return status; \
  }

/* Kernels between registers: destination op source.  The masked one pops on the host to save a cleaning step, the
 * unmasked one must not (an operation that faults does not pop).  Opcodes instead of mnemonics, because assemblers
 * disagree on the order of operands in FSUB and FDIV. */
#define REGISTER_KERNELS(name, pop_opcode, opcode) \
  static inline uint16_t \
  name (void *destination, const void *source) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %1\n\tfldt %2\n\t.byte " pop_opcode "\n\tfnstsw %0\n\tfstpt %1" \
                      : "=a" (status), "+m" (*(X87Bytes *) destination) : "m" (*(const X87Bytes *) source) \
                      : HOST_X87_CLOBBERS); \
    return status; \
  } \
  static uint16_t \
  name##_unmasked (void *destination, const void *source, uint16_t control) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %2\n\tfldt %1\n\tfldcw %3\n\t.byte " opcode "\n\tfnstsw %0\n\tfnclex\n\tfldcw %4\n\t" \
                      "fstpt %1\n\tfstp %%st(0)" \
                      : "=a" (status), "+m" (*(X87Bytes *) destination) \
                      : "m" (*(const X87Bytes *) source), "m" (control), "m" (HOST_CONTROL) : HOST_X87_CLOBBERS); \
    return status; \
  }

#define UNARY_KERNELS(name, text) \
  static inline uint16_t \
  name (void *destination, const void *source) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %1\n\t" text "\n\tfnstsw %0\n\tfstpt %1" \
                      : "=a" (status), "+m" (*(X87Bytes *) destination) : : HOST_X87_CLOBBERS); \
    return status; \
  } \
  static uint16_t \
  name##_unmasked (void *destination, const void *source, uint16_t control) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %1\n\tfldcw %2\n\t" text "\n\tfnstsw %0\n\tfnclex\n\tfldcw %3\n\tfstpt %1" \
                      : "=a" (status), "+m" (*(X87Bytes *) destination) : "m" (control), "m" (HOST_CONTROL) \
                      : HOST_X87_CLOBBERS); \
    return status; \
  }

/* Comparisons: destination is ST(0) and is not written. */
#define COMPARE_MEMORY_KERNELS(name, text, pop_text, Type) \
  static inline uint16_t \
  name (void *destination, const void *source) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %1\n\t" pop_text " %2\n\tfnstsw %0" \
                      : "=a" (status) : "m" (*(const X87Bytes *) destination), "m" (*(const Type *) source) \
                      : HOST_X87_CLOBBERS); \
    return status; \
  } \
  static uint16_t \
  name##_unmasked (void *destination, const void *source, uint16_t control) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %1\n\tfldcw %3\n\t" text " %2\n\tfnstsw %0\n\tfnclex\n\tfldcw %4\n\tfstp %%st(0)" \
                      : "=a" (status) \
                      : "m" (*(const X87Bytes *) destination), "m" (*(const Type *) source), "m" (control), \
                        "m" (HOST_CONTROL) : HOST_X87_CLOBBERS); \
    return status; \
  }

#define COMPARE_REGISTER_KERNELS(name, text, pop_text) \
  static inline uint16_t \
  name (void *destination, const void *source) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %2\n\tfldt %1\n\t" pop_text "\n\tfnstsw %0" \
                      : "=a" (status) : "m" (*(const X87Bytes *) destination), "m" (*(const X87Bytes *) source) \
                      : HOST_X87_CLOBBERS); \
    return status; \
  } \
  static uint16_t \
  name##_unmasked (void *destination, const void *source, uint16_t control) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %2\n\tfldt %1\n\tfldcw %3\n\t" text "\n\tfnstsw %0\n\tfnclex\n\tfldcw %4\n\t" \
                      "fstp %%st(0)\n\tfstp %%st(0)" \
                      : "=a" (status) \
                      : "m" (*(const X87Bytes *) destination), "m" (*(const X87Bytes *) source), "m" (control), \
                        "m" (HOST_CONTROL) : HOST_X87_CLOBBERS); \
    return status; \
  }

#define ARITHMETIC_KERNELS(name, text, itext, pop_opcode, opcode) \
  MEMORY_KERNELS (name##_m32, text "s", uint32_t) \
  MEMORY_KERNELS (name##_m64, text "l", uint64_t) \
  MEMORY_KERNELS (name##_m32int, itext "l", uint32_t) \
  MEMORY_KERNELS (name##_m16int, itext "s", uint16_t) \
  REGISTER_KERNELS (name##_st, pop_opcode, opcode)

ARITHMETIC_KERNELS (add,  "fadd",  "fiadd",  "0xde, 0xc1", "0xd8, 0xc1")
ARITHMETIC_KERNELS (mul,  "fmul",  "fimul",  "0xde, 0xc9", "0xd8, 0xc9")
ARITHMETIC_KERNELS (sub,  "fsub",  "fisub",  "0xde, 0xe9", "0xd8, 0xe1")
ARITHMETIC_KERNELS (subr, "fsubr", "fisubr", "0xde, 0xe1", "0xd8, 0xe9")
ARITHMETIC_KERNELS (div,  "fdiv",  "fidiv",  "0xde, 0xf9", "0xd8, 0xf1")
ARITHMETIC_KERNELS (divr, "fdivr", "fidivr", "0xde, 0xf1", "0xd8, 0xf9")
UNARY_KERNELS (square_root, "fsqrt")
UNARY_KERNELS (round_to_integer, "frndint")
COMPARE_MEMORY_KERNELS (compare_m32, "fcoms", "fcomps", uint32_t)
COMPARE_MEMORY_KERNELS (compare_m64, "fcoml", "fcompl", uint64_t)
COMPARE_MEMORY_KERNELS (compare_m32int, "ficoml", "ficompl", uint32_t)
COMPARE_MEMORY_KERNELS (compare_m16int, "ficoms", "ficomps", uint16_t)
COMPARE_REGISTER_KERNELS (compare_st, "fcom", "fcompp")
COMPARE_REGISTER_KERNELS (compare_unordered_st, "fucom", "fucompp")

static inline uint16_t
test_st (void *destination, const void *source)
{
  uint16_t status;
  __asm__ volatile ("fldt %1\n\tftst\n\tfnstsw %0\n\tfstp %%st(0)"
                    : "=a" (status) : "m" (*(const X87Bytes *) destination) : HOST_X87_CLOBBERS);
  return status;
}

static uint16_t
test_st_unmasked (void *destination, const void *source, uint16_t control)
{
  uint16_t status;
  __asm__ volatile ("fldt %1\n\tfldcw %2\n\tftst\n\tfnstsw %0\n\tfnclex\n\tfldcw %3\n\tfstp %%st(0)"
                    : "=a" (status) : "m" (*(const X87Bytes *) destination), "m" (control), "m" (HOST_CONTROL)
                    : HOST_X87_CLOBBERS);
  return status;
}

static inline __attribute__ ((always_inline)) ExitReason
arithmetic_memory (Cpu *cpu, const DecodedInsn *insn, unsigned n_bytes, X87Kernel kernel, X87UnmaskedKernel unmasked)
{
  uint32_t offset = insn_offset (cpu, insn);
  Fpu *fpu = &cpu->fpu;
  uint8_t source[8] = { 0 };
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  reason = x87_read (cpu, insn, offset, source, n_bytes);
  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note_memory (cpu, insn, offset);
  if (UNLIKELY (x87_is_empty (fpu, 0)))
    {
      if (x87_stack_fault (fpu, false))
        {
          float80_store (x87_st (fpu, 0), FLOAT80_INDEFINITE);
          x87_mark_valid (fpu, 0);
        }
      return EXIT_NONE;
    }
  x87_operate (fpu, x87_st (fpu, 0), source, kernel, unmasked, 0, FPU_PRECOMPUTATION);
  return EXIT_NONE;
}

static inline __attribute__ ((always_inline)) ExitReason
arithmetic_register (Cpu *cpu, const DecodedInsn *insn, unsigned destination, unsigned source, bool pop,
                     X87Kernel kernel, X87UnmaskedKernel unmasked)
{
  Fpu *fpu = &cpu->fpu;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note (cpu, insn);
  if (UNLIKELY (x87_is_empty (fpu, destination) || x87_is_empty (fpu, source)))
    {
      if (!x87_stack_fault (fpu, false))
        return EXIT_NONE;
      float80_store (x87_st (fpu, destination), FLOAT80_INDEFINITE);
      x87_mark_valid (fpu, destination);
    }
  else if (!x87_operate (fpu, x87_st (fpu, destination), x87_st (fpu, source), kernel, unmasked, 0, FPU_PRECOMPUTATION))
    return EXIT_NONE;
  if (pop)
    x87_pop (fpu);
  return EXIT_NONE;
}

static inline __attribute__ ((always_inline)) ExitReason
arithmetic_unary (Cpu *cpu, const DecodedInsn *insn, X87Kernel kernel, X87UnmaskedKernel unmasked)
{
  return arithmetic_register (cpu, insn, 0, 0, false, kernel, unmasked);
}

#define ROUTINE(name) \
  ExitReason \
  interpret_##name (Cpu *cpu, const DecodedInsn *insn)

#define ARITHMETIC_ROUTINES(NAME, INAME, kernel) \
  ROUTINE (NAME##_Md)      { return arithmetic_memory (cpu, insn, 4, kernel##_m32, kernel##_m32_unmasked); } \
  ROUTINE (NAME##_Mq)      { return arithmetic_memory (cpu, insn, 8, kernel##_m64, kernel##_m64_unmasked); } \
  ROUTINE (INAME##_Md)     { return arithmetic_memory (cpu, insn, 4, kernel##_m32int, kernel##_m32int_unmasked); } \
  ROUTINE (INAME##_Mw)     { return arithmetic_memory (cpu, insn, 2, kernel##_m16int, kernel##_m16int_unmasked); } \
  ROUTINE (NAME##_ST_STi)  { return arithmetic_register (cpu, insn, 0, insn->modrm & 7, false, kernel##_st, \
                                                         kernel##_st_unmasked); } \
  ROUTINE (NAME##_STi_ST)  { return arithmetic_register (cpu, insn, insn->modrm & 7, 0, false, kernel##_st, \
                                                         kernel##_st_unmasked); } \
  ROUTINE (NAME##P_STi_ST) { return arithmetic_register (cpu, insn, insn->modrm & 7, 0, true, kernel##_st, \
                                                         kernel##_st_unmasked); }

ARITHMETIC_ROUTINES (FADD,  FIADD,  add)
ARITHMETIC_ROUTINES (FMUL,  FIMUL,  mul)
ARITHMETIC_ROUTINES (FSUB,  FISUB,  sub)
ARITHMETIC_ROUTINES (FSUBR, FISUBR, subr)
ARITHMETIC_ROUTINES (FDIV,  FIDIV,  div)
ARITHMETIC_ROUTINES (FDIVR, FIDIVR, divr)

ROUTINE (FSQRT_none)   { return arithmetic_unary (cpu, insn, square_root, square_root_unmasked); }
ROUTINE (FRNDINT_none) { return arithmetic_unary (cpu, insn, round_to_integer, round_to_integer_unmasked); }

/* Comparisons.  An empty register compares as unordered. */

static inline __attribute__ ((always_inline)) ExitReason
compare_memory (Cpu *cpu, const DecodedInsn *insn, unsigned n_bytes, bool pop, X87Kernel kernel,
                X87UnmaskedKernel unmasked)
{
  uint32_t offset = insn_offset (cpu, insn);
  Fpu *fpu = &cpu->fpu;
  uint8_t source[8] = { 0 };
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  reason = x87_read (cpu, insn, offset, source, n_bytes);
  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note_memory (cpu, insn, offset);
  if (UNLIKELY (x87_is_empty (fpu, 0)))
    {
      fpu->status |= FPU_CONDITIONS;
      if (!x87_stack_fault (fpu, false))
        return EXIT_NONE;
    }
  else if (!x87_operate (fpu, x87_st (fpu, 0), source, kernel, unmasked, FPU_CONDITIONS, FPU_PRECOMPUTATION))
    return EXIT_NONE;
  if (pop)
    x87_pop (fpu);
  return EXIT_NONE;
}

static inline __attribute__ ((always_inline)) ExitReason
compare_register (Cpu *cpu, const DecodedInsn *insn, unsigned source, unsigned n_pops, X87Kernel kernel,
                  X87UnmaskedKernel unmasked)
{
  Fpu *fpu = &cpu->fpu;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note (cpu, insn);
  if (UNLIKELY (x87_is_empty (fpu, 0) || x87_is_empty (fpu, source)))
    {
      fpu->status |= FPU_CONDITIONS;
      if (!x87_stack_fault (fpu, false))
        return EXIT_NONE;
    }
  else if (!x87_operate (fpu, x87_st (fpu, 0), x87_st (fpu, source), kernel, unmasked, FPU_CONDITIONS,
                         FPU_PRECOMPUTATION))
    return EXIT_NONE;
  while (n_pops-- > 0)
    x87_pop (fpu);
  return EXIT_NONE;
}

/* FCOMI and its kin answer in EFLAGS and leave C0, C2 and C3 alone. */
static inline __attribute__ ((always_inline)) ExitReason
compare_flags (Cpu *cpu, const DecodedInsn *insn, bool pop, X87Kernel kernel, X87UnmaskedKernel unmasked)
{
  Fpu *fpu = &cpu->fpu;
  unsigned source = insn->modrm & 7;
  uint16_t conditions;
  bool completes = true;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note (cpu, insn);
  if (UNLIKELY (x87_is_empty (fpu, 0) || x87_is_empty (fpu, source)))
    {
      if (!x87_stack_fault (fpu, false))
        return EXIT_NONE;
      conditions = FPU_CONDITIONS;
    }
  else
    {
      uint16_t before = fpu->status & FPU_CONDITIONS;

      completes = x87_operate (fpu, x87_st (fpu, 0), x87_st (fpu, source), kernel, unmasked, FPU_CONDITIONS,
                               FPU_PRECOMPUTATION);
      conditions = fpu->status & FPU_CONDITIONS;
      fpu->status = (fpu->status & ~FPU_CONDITIONS) | before;
      /* An unmasked invalid operation leaves EFLAGS alone (SDM vol. 2, FCOMI); a denormal operand does not. */
      if (!completes && conditions == FPU_CONDITIONS)
        return EXIT_NONE;
    }
  flags_set (cpu, EFLAGS_ARITHMETIC,
             (conditions & FPU_C0 ? EFLAGS_CF : 0) | (conditions & FPU_C2 ? EFLAGS_PF : 0)
             | (conditions & FPU_C3 ? EFLAGS_ZF : 0));
  if (pop && completes)
    x87_pop (fpu);
  return EXIT_NONE;
}

ROUTINE (FCOM_Md)       { return compare_memory (cpu, insn, 4, false, compare_m32, compare_m32_unmasked); }
ROUTINE (FCOMP_Md)      { return compare_memory (cpu, insn, 4, true, compare_m32, compare_m32_unmasked); }
ROUTINE (FCOM_Mq)       { return compare_memory (cpu, insn, 8, false, compare_m64, compare_m64_unmasked); }
ROUTINE (FCOMP_Mq)      { return compare_memory (cpu, insn, 8, true, compare_m64, compare_m64_unmasked); }
ROUTINE (FICOM_Md)      { return compare_memory (cpu, insn, 4, false, compare_m32int, compare_m32int_unmasked); }
ROUTINE (FICOMP_Md)     { return compare_memory (cpu, insn, 4, true, compare_m32int, compare_m32int_unmasked); }
ROUTINE (FICOM_Mw)      { return compare_memory (cpu, insn, 2, false, compare_m16int, compare_m16int_unmasked); }
ROUTINE (FICOMP_Mw)     { return compare_memory (cpu, insn, 2, true, compare_m16int, compare_m16int_unmasked); }
ROUTINE (FCOM_ST_STi)   { return compare_register (cpu, insn, insn->modrm & 7, 0, compare_st, compare_st_unmasked); }
ROUTINE (FCOMP_ST_STi)  { return compare_register (cpu, insn, insn->modrm & 7, 1, compare_st, compare_st_unmasked); }
ROUTINE (FCOMPP_none)   { return compare_register (cpu, insn, 1, 2, compare_st, compare_st_unmasked); }
ROUTINE (FUCOM_STi)     { return compare_register (cpu, insn, insn->modrm & 7, 0, compare_unordered_st,
                                                   compare_unordered_st_unmasked); }
ROUTINE (FUCOMP_STi)    { return compare_register (cpu, insn, insn->modrm & 7, 1, compare_unordered_st,
                                                   compare_unordered_st_unmasked); }
ROUTINE (FUCOMPP_none)  { return compare_register (cpu, insn, 1, 2, compare_unordered_st,
                                                   compare_unordered_st_unmasked); }
ROUTINE (FTST_none)     { return compare_register (cpu, insn, 0, 0, test_st, test_st_unmasked); }
ROUTINE (FCOMI_ST_STi)  { return compare_flags (cpu, insn, false, compare_st, compare_st_unmasked); }
ROUTINE (FCOMIP_ST_STi) { return compare_flags (cpu, insn, true, compare_st, compare_st_unmasked); }
ROUTINE (FUCOMI_ST_STi) { return compare_flags (cpu, insn, false, compare_unordered_st,
                                                compare_unordered_st_unmasked); }
ROUTINE (FUCOMIP_ST_STi) { return compare_flags (cpu, insn, true, compare_unordered_st,
                                                 compare_unordered_st_unmasked); }

/* Classification looks at the tag and never faults. */
ROUTINE (FXAM_none)
{
  Fpu *fpu = &cpu->fpu;
  ExitReason reason = x87_begin (cpu);
  uint16_t status;

  if (reason != EXIT_NONE)
    return reason;
  x87_note (cpu, insn);
  __asm__ volatile ("fldt %1\n\tfxam\n\tfnstsw %0\n\tfstp %%st(0)"
                    : "=a" (status) : "m" (*(const X87Bytes *) x87_st (fpu, 0)) : HOST_X87_CLOBBERS);
  if (x87_is_empty (fpu, 0))
    status = (status & FPU_C1) | FPU_C3 | FPU_C0;
  fpu->status = (fpu->status & ~(FPU_CONDITIONS | FPU_C1)) | (status & (FPU_CONDITIONS | FPU_C1));
  return EXIT_NONE;
}

/* The sign bit, whatever the rest is: no flags but those of the stack. */
static inline ExitReason
change_sign (Cpu *cpu, const DecodedInsn *insn, uint8_t and_bits, uint8_t xor_bits)
{
  Fpu *fpu = &cpu->fpu;
  uint8_t *st0;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note (cpu, insn);
  st0 = x87_st (fpu, 0);
  if (UNLIKELY (x87_is_empty (fpu, 0)))
    {
      if (x87_stack_fault (fpu, false))
        {
          float80_store (st0, FLOAT80_INDEFINITE);
          x87_mark_valid (fpu, 0);
        }
      return EXIT_NONE;
    }
  st0[9] = (st0[9] & and_bits) ^ xor_bits;
  fpu->status &= ~FPU_C1;
  return EXIT_NONE;
}

ROUTINE (FABS_none) { return change_sign (cpu, insn, 0x7f, 0); }
ROUTINE (FCHS_none) { return change_sign (cpu, insn, 0xff, 0x80); }
