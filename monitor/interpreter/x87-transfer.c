/* SPDX-License-Identifier: GPL-3.0-or-later */
/* x87: loads, stores, constants and moves between registers.  The method is described in x87.h. */
#include "routines.h"

#include "flags.h"
#include "x87.h"

#define ROUTINE(name) \
  ExitReason \
  interpret_##name (Cpu *cpu, const DecodedInsn *insn)

/* Loads that convert and may find a signalling NaN or a denormal. */
#define LOAD_KERNELS(name, text, Type) \
  static inline uint16_t \
  name (void *destination, const void *source) \
  { \
    uint16_t status; \
    __asm__ volatile (text " %2\n\tfnstsw %0\n\tfstpt %1" \
                      : "=a" (status), "=m" (*(X87Bytes *) destination) : "m" (*(const Type *) source) \
                      : HOST_X87_CLOBBERS); \
    return status; \
  } \
  static uint16_t \
  name##_unmasked (void *destination, const void *source, uint16_t control) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldcw %3\n\t" text " %2\n\tfnstsw %0\n\tfnclex\n\tfldcw %4\n\tfstpt %1" \
                      : "=a" (status), "=m" (*(X87Bytes *) destination) \
                      : "m" (*(const Type *) source), "m" (control), "m" (HOST_CONTROL) : HOST_X87_CLOBBERS); \
    return status; \
  }

/* Stores that convert: destination is our buffer, source is ST(0). They pop on the host; after an unmasked exception
 * x87_operate empties the host's stack. */
#define STORE_KERNELS(name, text, Type) \
  static inline uint16_t \
  name (void *destination, const void *source) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %2\n\t" text " %1\n\tfnstsw %0" \
                      : "=a" (status), "=m" (*(Type *) destination) : "m" (*(const X87Bytes *) source) \
                      : HOST_X87_CLOBBERS); \
    return status; \
  } \
  static uint16_t \
  name##_unmasked (void *destination, const void *source, uint16_t control) \
  { \
    uint16_t status; \
    __asm__ volatile ("fldt %2\n\tfldcw %3\n\t" text " %1\n\tfnstsw %0\n\tfnclex\n\tfldcw %4" \
                      : "=a" (status), "+m" (*(Type *) destination) \
                      : "m" (*(const X87Bytes *) source), "m" (control), "m" (HOST_CONTROL) : HOST_X87_CLOBBERS); \
    return status; \
  }

LOAD_KERNELS (load_m32, "flds", uint32_t)
LOAD_KERNELS (load_m64, "fldl", uint64_t)
STORE_KERNELS (store_m32, "fstps", uint32_t)
STORE_KERNELS (store_m64, "fstpl", uint64_t)
STORE_KERNELS (store_m16int, "fistps", uint16_t)
STORE_KERNELS (store_m32int, "fistpl", uint32_t)
STORE_KERNELS (store_m64int, "fistpll", uint64_t)
STORE_KERNELS (store_bcd, "fbstp", X87Bytes)

/* Pushes the indefinite value, or only flags the overflow. */
static ExitReason
push_overflow (Fpu *fpu)
{
  if (x87_stack_fault (fpu, true))
    float80_store (x87_push (fpu), FLOAT80_INDEFINITE);
  return EXIT_NONE;
}

/* The register that a push would fill is ST(7). */
static inline bool
push_overflows (const Fpu *fpu)
{
  return !x87_is_empty (fpu, 7);
}

static inline __attribute__ ((always_inline)) ExitReason
load_memory (Cpu *cpu, const DecodedInsn *insn, unsigned n_bytes, X87Kernel kernel, X87UnmaskedKernel unmasked)
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
  if (UNLIKELY (push_overflows (fpu)))
    return push_overflow (fpu);
  /* A denormal operand does not keep the value from being loaded, even unmasked. */
  if (x87_operate (fpu, x87_st (fpu, 7), source, kernel, unmasked, 0, FPU_IE))
    x87_push (fpu);
  return EXIT_NONE;
}

/* Normal numbers and zeros, by far the most, are widened and narrowed in C: they can raise nothing but precision, and
 * asking the host for its status word costs more than the whole conversion. */

static inline bool
widen_single (uint32_t bits, Float80 *ret_value)
{
  unsigned exponent = bits >> 23 & 0xff;

  if (UNLIKELY (exponent == 0xff || (exponent == 0 && bits << 1 != 0)))
    return false;
  ret_value->exponent = (bits >> 16 & 0x8000) | (exponent != 0 ? exponent + 16383 - 127 : 0);
  ret_value->significand = exponent != 0 ? 1ull << 63 | (uint64_t) bits << 41 >> 1 : 0;
  return true;
}

static inline bool
widen_double (uint64_t bits, Float80 *ret_value)
{
  unsigned exponent = bits >> 52 & 0x7ff;

  if (UNLIKELY (exponent == 0x7ff || (exponent == 0 && bits << 1 != 0)))
    return false;
  ret_value->exponent = (bits >> 48 & 0x8000) | (exponent != 0 ? exponent + 16383 - 1023 : 0);
  ret_value->significand = exponent != 0 ? 1ull << 63 | bits << 12 >> 1 : 0;
  return true;
}

/* To nearest, even on ties; *ret_flags: FPU_PE, and FPU_C1 when rounded up. */
static inline bool
narrow_to_double (Float80 value, uint64_t *ret_bits, unsigned *ret_flags)
{
  unsigned exponent = (value.exponent & 0x7fff) - (16383 - 1023);
  unsigned rest = value.significand & 0x7ff;
  uint64_t fraction = value.significand >> 11 & 0xfffffffffffffu;
  bool up = rest > 0x400 || (rest == 0x400 && fraction & 1);

  /* 2046 could still round to infinity. */
  if (UNLIKELY (exponent - 1 >= 2045 || !(value.significand >> 63)))
    {
      if (value.significand != 0 || value.exponent << 1 & 0xffff)
        return false;
      *ret_bits = (uint64_t) (value.exponent >> 15) << 63;
      *ret_flags = 0;
      return true;
    }
  *ret_bits = (uint64_t) (value.exponent >> 15) << 63 | (((uint64_t) exponent << 52 | fraction) + up);
  *ret_flags = rest == 0 ? 0 : up ? FPU_PE | FPU_C1 : FPU_PE;
  return true;
}

ROUTINE (FLD_Md)
{
  Fpu *fpu = &cpu->fpu;
  uint32_t offset = insn_offset (cpu, insn), bits;
  Float80 value;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (UNLIKELY (cpu_read_32 (cpu, insn->segment, offset, &bits)))
    return EXIT_FAULT;
  if (UNLIKELY (push_overflows (fpu) || !widen_single (bits, &value)))
    return load_memory (cpu, insn, 4, load_m32, load_m32_unmasked);
  x87_note_memory (cpu, insn, offset);
  float80_store (x87_push (fpu), value);
  fpu->status &= ~FPU_C1;
  return EXIT_NONE;
}

ROUTINE (FLD_Mq)
{
  Fpu *fpu = &cpu->fpu;
  uint32_t offset = insn_offset (cpu, insn);
  uint64_t bits;
  Float80 value;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (UNLIKELY (cpu_read_64 (cpu, insn->segment, offset, &bits)))
    return EXIT_FAULT;
  if (UNLIKELY (push_overflows (fpu) || !widen_double (bits, &value)))
    return load_memory (cpu, insn, 8, load_m64, load_m64_unmasked);
  x87_note_memory (cpu, insn, offset);
  float80_store (x87_push (fpu), value);
  fpu->status &= ~FPU_C1;
  return EXIT_NONE;
}

/* Integers, BCD and extended values load without any exception but those of the stack. */
static inline __attribute__ ((always_inline)) ExitReason
load_exact (Cpu *cpu, const DecodedInsn *insn, unsigned n_bytes, void (*convert) (void *destination, const void *source))
{
  uint32_t offset = insn_offset (cpu, insn);
  Fpu *fpu = &cpu->fpu;
  uint8_t source[10] = { 0 };
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  reason = x87_read (cpu, insn, offset, source, n_bytes);
  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note_memory (cpu, insn, offset);
  if (UNLIKELY (push_overflows (fpu)))
    return push_overflow (fpu);
  convert (x87_push (fpu), source);
  fpu->status &= ~FPU_C1;
  return EXIT_NONE;
}

#define CONVERT(name, text, Type) \
  static inline void \
  name (void *destination, const void *source) \
  { \
    __asm__ volatile (text " %1\n\tfstpt %0" : "=m" (*(X87Bytes *) destination) : "m" (*(const Type *) source) \
                      : HOST_X87_CLOBBERS); \
  }

CONVERT (convert_m16int, "filds", uint16_t)
CONVERT (convert_m32int, "fildl", uint32_t)
CONVERT (convert_m64int, "fildll", uint64_t)
CONVERT (convert_bcd, "fbld", X87Bytes)

static inline void
convert_m80 (void *destination, const void *source)
{
  float80_store (destination, float80_load (source));
}

ROUTINE (FILD_Mw) { return load_exact (cpu, insn, 2, convert_m16int); }
ROUTINE (FILD_Md) { return load_exact (cpu, insn, 4, convert_m32int); }
ROUTINE (FILD_Mq) { return load_exact (cpu, insn, 8, convert_m64int); }
ROUTINE (FBLD_Mt) { return load_exact (cpu, insn, 10, convert_bcd); }
ROUTINE (FLD_Mt)  { return load_exact (cpu, insn, 10, convert_m80); }

/* An unmasked exception keeps the store from happening, but not the memory from being checked first. `status`: the
 * status word to go back to. */
static ExitReason
store_nothing (Cpu *cpu, const DecodedInsn *insn, uint32_t offset, unsigned n_bytes, uint16_t status)
{
  if (cpu_check_write (cpu, insn->segment, offset, n_bytes, n_bytes == 10 ? 8 : n_bytes))
    {
      cpu->fpu.status = status;
      return EXIT_FAULT;
    }
  x87_note_memory (cpu, insn, offset);
  return EXIT_NONE;
}

/* Stores.  The value is converted into a buffer first; when the memory faults, the flags go back to what they were. */
static inline __attribute__ ((always_inline)) ExitReason
store_memory (Cpu *cpu, const DecodedInsn *insn, unsigned n_bytes, bool pop, uint64_t indefinite, X87Kernel kernel,
              X87UnmaskedKernel unmasked)
{
  uint32_t offset = insn_offset (cpu, insn);
  Fpu *fpu = &cpu->fpu;
  uint8_t value[10] = { 0 };
  uint16_t status = fpu->status;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (UNLIKELY (x87_is_empty (fpu, 0)))
    {
      if (!x87_stack_fault (fpu, false))
        return store_nothing (cpu, insn, offset, n_bytes, status);
      memcpy (value, &indefinite, sizeof indefinite);
      value[8] = value[9] = 0xff;       /* BCD: the other formats do not reach that far */
    }
  else if (!x87_operate (fpu, value, x87_st (fpu, 0), kernel, unmasked, 0, FPU_STORE_BLOCKING))
    return store_nothing (cpu, insn, offset, n_bytes, status);
  reason = x87_write (cpu, insn, offset, value, n_bytes);
  if (UNLIKELY (reason != EXIT_NONE))
    {
      fpu->status = status;
      return reason;
    }
  x87_note_memory (cpu, insn, offset);
  if (pop)
    x87_pop (fpu);
  return EXIT_NONE;
}

static inline __attribute__ ((always_inline)) ExitReason
store_double (Cpu *cpu, const DecodedInsn *insn, bool pop)
{
  Fpu *fpu = &cpu->fpu;
  uint32_t offset = insn_offset (cpu, insn);
  uint64_t bits;
  unsigned flags;

  if (UNLIKELY (cpu->cr0 & (CR0_EM | CR0_TS) || fpu->status & FPU_ES || x87_is_empty (fpu, 0)
                || fpu->control & FPU_CONTROL_ROUNDING || !narrow_to_double (float80_load (x87_st (fpu, 0)), &bits, &flags)))
    return store_memory (cpu, insn, 8, pop, 0xfff8000000000000u, store_m64, store_m64_unmasked);
  if (UNLIKELY (cpu_write_64 (cpu, insn->segment, offset, bits)))
    return EXIT_FAULT;
  x87_note_memory (cpu, insn, offset);
  fpu->status &= ~FPU_C1;
  x87_raise (fpu, flags);
  if (pop)
    x87_pop (fpu);
  return EXIT_NONE;
}

ROUTINE (FST_Md)   { return store_memory (cpu, insn, 4, false, 0xffc00000u, store_m32, store_m32_unmasked); }
ROUTINE (FSTP_Md)  { return store_memory (cpu, insn, 4, true, 0xffc00000u, store_m32, store_m32_unmasked); }
ROUTINE (FST_Mq)   { return store_double (cpu, insn, false); }
ROUTINE (FSTP_Mq)  { return store_double (cpu, insn, true); }
ROUTINE (FIST_Mw)  { return store_memory (cpu, insn, 2, false, 0x8000u, store_m16int, store_m16int_unmasked); }
ROUTINE (FISTP_Mw) { return store_memory (cpu, insn, 2, true, 0x8000u, store_m16int, store_m16int_unmasked); }
ROUTINE (FIST_Md)  { return store_memory (cpu, insn, 4, false, 0x80000000u, store_m32int, store_m32int_unmasked); }
ROUTINE (FISTP_Md) { return store_memory (cpu, insn, 4, true, 0x80000000u, store_m32int, store_m32int_unmasked); }
ROUTINE (FISTP_Mq) { return store_memory (cpu, insn, 8, true, 0x8000000000000000u, store_m64int,
                                          store_m64int_unmasked); }
ROUTINE (FBSTP_Mt) { return store_memory (cpu, insn, 10, true, 0xc000000000000000u, store_bcd, store_bcd_unmasked); }

ROUTINE (FSTP_Mt)
{
  uint32_t offset = insn_offset (cpu, insn);
  Fpu *fpu = &cpu->fpu;
  Float80 value = FLOAT80_INDEFINITE;
  uint8_t bytes[10];
  uint16_t status = fpu->status;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (LIKELY (!x87_is_empty (fpu, 0)))
    {
      value = float80_load (x87_st (fpu, 0));
      fpu->status &= ~FPU_C1;
    }
  else if (!x87_stack_fault (fpu, false))
    return store_nothing (cpu, insn, offset, sizeof bytes, status);
  float80_store (bytes, value);
  reason = x87_write (cpu, insn, offset, bytes, sizeof bytes);
  if (UNLIKELY (reason != EXIT_NONE))
    {
      fpu->status = status;
      return reason;
    }
  x87_note_memory (cpu, insn, offset);
  x87_pop (fpu);
  return EXIT_NONE;
}

/* Between registers */

ROUTINE (FLD_STi)
{
  Fpu *fpu = &cpu->fpu;
  unsigned i = insn->modrm & 7;
  ExitReason reason = x87_begin (cpu);
  Float80 value;

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note (cpu, insn);
  value = float80_load (x87_st (fpu, i));
  if (LIKELY (!x87_is_empty (fpu, i)))
    {
      if (UNLIKELY (push_overflows (fpu)))
        return push_overflow (fpu);
      fpu->status &= ~FPU_C1;
    }
  else
    {
      if (!x87_stack_fault (fpu, false))
        return EXIT_NONE;
      value = FLOAT80_INDEFINITE;
    }
  float80_store (x87_push (fpu), value);
  return EXIT_NONE;
}

static inline ExitReason
store_register (Cpu *cpu, const DecodedInsn *insn, bool pop)
{
  Fpu *fpu = &cpu->fpu;
  unsigned i = insn->modrm & 7;
  ExitReason reason = x87_begin (cpu);
  Float80 value;

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note (cpu, insn);
  value = float80_load (x87_st (fpu, 0));
  if (LIKELY (!x87_is_empty (fpu, 0)))
    fpu->status &= ~FPU_C1;
  else
    {
      if (!x87_stack_fault (fpu, false))
        return EXIT_NONE;
      value = FLOAT80_INDEFINITE;
    }
  float80_store (x87_st (fpu, i), value);
  x87_mark_valid (fpu, i);
  if (pop)
    x87_pop (fpu);
  return EXIT_NONE;
}

ROUTINE (FST_STi)  { return store_register (cpu, insn, false); }
ROUTINE (FSTP_STi) { return store_register (cpu, insn, true); }

/* D9 D8+i: an undocumented FSTP that signals nothing: an empty ST(0) is not stored, only popped. */
ROUTINE (FSTP_STi_nce)
{
  Fpu *fpu = &cpu->fpu;
  unsigned i = insn->modrm & 7;
  ExitReason reason = x87_begin (cpu);

  if (reason != EXIT_NONE)
    return reason;
  x87_note (cpu, insn);
  fpu->status &= ~FPU_C1;
  if (!x87_is_empty (fpu, 0))
    {
      float80_store (x87_st (fpu, i), float80_load (x87_st (fpu, 0)));
      x87_mark_valid (fpu, i);
    }
  x87_pop (fpu);
  return EXIT_NONE;
}

ROUTINE (FXCH_STi)
{
  Fpu *fpu = &cpu->fpu;
  unsigned i = insn->modrm & 7;
  ExitReason reason = x87_begin (cpu);
  Float80 top, other;

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note (cpu, insn);
  top = float80_load (x87_st (fpu, 0));
  other = float80_load (x87_st (fpu, i));
  if (LIKELY (!x87_is_empty (fpu, 0) && !x87_is_empty (fpu, i)))
    fpu->status &= ~FPU_C1;
  else
    {
      if (!x87_stack_fault (fpu, false))
        return EXIT_NONE;
      if (x87_is_empty (fpu, 0))
        top = FLOAT80_INDEFINITE;
      if (x87_is_empty (fpu, i))
        other = FLOAT80_INDEFINITE;
      x87_mark_valid (fpu, 0);
      x87_mark_valid (fpu, i);
    }
  float80_store (x87_st (fpu, 0), other);
  float80_store (x87_st (fpu, i), top);
  return EXIT_NONE;
}

static inline ExitReason
move_if (Cpu *cpu, const DecodedInsn *insn, uint32_t flags, bool wanted)
{
  Fpu *fpu = &cpu->fpu;
  unsigned i = insn->modrm & 7;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note (cpu, insn);
  if (UNLIKELY (x87_is_empty (fpu, 0) || x87_is_empty (fpu, i)))
    {
      if (x87_stack_fault (fpu, false))
        {
          float80_store (x87_st (fpu, 0), FLOAT80_INDEFINITE);
          x87_mark_valid (fpu, 0);
        }
      return EXIT_NONE;
    }
  fpu->status &= ~FPU_C1;
  if (((cpu_get_eflags (cpu) & flags) != 0) == wanted)
    float80_store (x87_st (fpu, 0), float80_load (x87_st (fpu, i)));
  return EXIT_NONE;
}

ROUTINE (FCMOVB_ST_STi)   { return move_if (cpu, insn, EFLAGS_CF, true); }
ROUTINE (FCMOVE_ST_STi)   { return move_if (cpu, insn, EFLAGS_ZF, true); }
ROUTINE (FCMOVBE_ST_STi)  { return move_if (cpu, insn, EFLAGS_CF | EFLAGS_ZF, true); }
ROUTINE (FCMOVU_ST_STi)   { return move_if (cpu, insn, EFLAGS_PF, true); }
ROUTINE (FCMOVNB_ST_STi)  { return move_if (cpu, insn, EFLAGS_CF, false); }
ROUTINE (FCMOVNE_ST_STi)  { return move_if (cpu, insn, EFLAGS_ZF, false); }
ROUTINE (FCMOVNBE_ST_STi) { return move_if (cpu, insn, EFLAGS_CF | EFLAGS_ZF, false); }
ROUTINE (FCMOVNU_ST_STi)  { return move_if (cpu, insn, EFLAGS_PF, false); }

/* Constants: rounded by RC as on every processor since the 387; the precision control does not touch them. */
static inline __attribute__ ((always_inline)) ExitReason
load_constant (Cpu *cpu, const DecodedInsn *insn, void (*load) (uint8_t *destination))
{
  Fpu *fpu = &cpu->fpu;
  bool is_plain = (fpu->control & FPU_CONTROL_PRECISION_ROUNDING) == FPU_CONTROL_PLAIN;
  ExitReason reason = x87_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  x87_note (cpu, insn);
  if (UNLIKELY (push_overflows (fpu)))
    return push_overflow (fpu);
  if (!is_plain)
    host_fldcw (fpu->control | FPU_FLAGS);
  load (x87_push (fpu));
  if (!is_plain)
    host_fldcw (HOST_CONTROL);
  fpu->status &= ~FPU_C1;
  return EXIT_NONE;
}

#define CONSTANT(NAME, text) \
  static inline void \
  load_##NAME (uint8_t *destination) \
  { \
    __asm__ volatile (text "\n\tfstpt %0" : "=m" (*(X87Bytes *) destination) : : HOST_X87_CLOBBERS); \
  } \
  ROUTINE (NAME##_none) { return load_constant (cpu, insn, load_##NAME); }

CONSTANT (FLD1, "fld1")
CONSTANT (FLDL2T, "fldl2t")
CONSTANT (FLDL2E, "fldl2e")
CONSTANT (FLDPI, "fldpi")
CONSTANT (FLDLG2, "fldlg2")
CONSTANT (FLDLN2, "fldln2")
CONSTANT (FLDZ, "fldz")
