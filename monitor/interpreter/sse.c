/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SSE on XMM registers, and the exceptions that SSE2 shares.  The method is described in sse.h. */
#include "routines.h"

#include "flags.h"
#include "sse.h"

#define ROUTINE(name) \
  ExitReason \
  interpret_##name (Cpu *cpu, const DecodedInsn *insn)

/* ---- Unmasked exceptions ---- */

/* One element computed by the x87 unit with the element's precision but a much wider exponent: what the manual calls
 * the result rounded as if the exponent range were unbounded (SDM vol. 1, 4.9.1.5). */
typedef struct
{
  bool is_inexact, is_tiny, is_huge;
  bool fits_denormal;           /* tiny, and a denormal number holds it exactly */
} WideResult;

static WideResult
compute_wide (const Cpu *cpu, SseOperation operation, bool operands_double, double a, double b)
{
  static const uint16_t host_control = 0x37f;
  bool is_double = operands_double && operation != SSE_NARROW;
  uint16_t control = 0x7f | (is_double ? 0x200 : 0)
                     | (cpu->fpu.mxcsr >> MXCSR_RC_SHIFT & 3) << 10;
  uint16_t status = 0;
  long double result = 0;
  WideResult wide;

  /* Operands in memory are exact whatever the precision is; FADD and the others round to it. */
#define WIDE(text) \
  __asm__ volatile ("fnclex\n\tfldcw %2\n\tfldl %3\n\t" text "\n\tfnstsw %1\n\tfldcw %5\n\tfstpt %0" \
                    : "=m" (result), "=a" (status) : "m" (control), "m" (a), "m" (b), "m" (host_control) \
                    : "st", "st(1)", "memory")
  switch (operation)
    {
    case SSE_ADD:      WIDE ("faddl %4"); break;
    case SSE_SUBTRACT: WIDE ("fsubl %4"); break;
    case SSE_MULTIPLY: WIDE ("fmull %4"); break;
    case SSE_DIVIDE:   WIDE ("fdivl %4"); break;
    case SSE_NARROW:   WIDE ("fld1\n\tfmulp"); break;
    case SSE_OTHER:    break;
    }
#undef WIDE
  {
    uint16_t sign_exponent;
    uint64_t significand;
    int exponent;

    memcpy (&significand, &result, 8);
    memcpy (&sign_exponent, (const uint8_t *) &result + 8, 2);
    exponent = (sign_exponent & 0x7fff) - 16383;
    wide.is_inexact = (status & 0x20) != 0;
    wide.is_tiny = significand != 0 && exponent < (is_double ? -1022 : -126);
    wide.fits_denormal = wide.is_tiny && !wide.is_inexact
                         && exponent - 63 + __builtin_ctzll (significand) >= (is_double ? -1074 : -149);
    wide.is_huge = exponent != 0x7fff - 16383 && exponent > (is_double ? 1023 : 127);
  }
  return wide;
}

static double
lane (SseShape shape, __m128i value, unsigned i, bool daz)
{
  double result;

  if (shape.is_double)
    {
      uint64_t bits[2];

      _mm_storeu_si128 ((__m128i *) bits, value);
      if (daz && !(bits[i] & 0x7ff0000000000000u))
        bits[i] &= 0x8000000000000000u;
      memcpy (&result, &bits[i], 8);
    }
  else
    {
      uint32_t bits[4];
      float single;

      _mm_storeu_si128 ((__m128i *) bits, value);
      if (daz && !(bits[i] & 0x7f800000u))
        bits[i] &= 0x80000000u;
      memcpy (&single, &bits[i], 4);
      result = single;
    }
  return result;
}

/* SDM vol. 1, 11.5.3 and 4.9.1: precomputation exceptions of any element, if unmasked, hide the later ones of all.
 * An unmasked overflow or underflow reports the precision of the unbounded result, and an unmasked underflow comes for
 * every tiny result, exact ones too. */
ExitReason
sse_unmasked (Cpu *cpu, unsigned flags, SseShape shape, __m128i a, __m128i b)
{
  unsigned unmasked = ~(cpu->fpu.mxcsr >> MXCSR_MASK_SHIFT) & MXCSR_FLAGS;

  if (flags & unmasked & MXCSR_PRECOMPUTATION)
    flags &= MXCSR_PRECOMPUTATION;
  else if (shape.operation != SSE_OTHER && unmasked & (MXCSR_OE | MXCSR_UE))
    {
      bool daz = (cpu->fpu.mxcsr & MXCSR_DAZ) != 0;
      unsigned post = 0;

      for (unsigned i = 0; i < shape.n_lanes; i++)
        {
          WideResult wide = compute_wide (cpu, shape.operation, shape.is_double, lane (shape, a, i, daz),
                                          lane (shape, b, i, daz));

          if (wide.is_huge)
            post |= unmasked & MXCSR_OE && !wide.is_inexact ? MXCSR_OE : MXCSR_OE | MXCSR_PE;
          else if (wide.is_tiny && unmasked & MXCSR_UE)
            post |= wide.is_inexact ? MXCSR_UE | MXCSR_PE : MXCSR_UE;
          else if (wide.is_tiny)
            post |= wide.fits_denormal && !(cpu->fpu.mxcsr & MXCSR_FTZ) ? 0 : MXCSR_UE | MXCSR_PE;
          else if (wide.is_inexact)
            post |= MXCSR_PE;
        }
      flags = (flags & MXCSR_PRECOMPUTATION) | post;
    }
  cpu->fpu.mxcsr |= flags;
  if (flags & unmasked)
    return cpu_raise (cpu, cpu->cr4 & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD);
  return EXIT_NONE;
}

/* ---- Arithmetic ---- */

SSE_KERNEL (addps, "addps")
SSE_KERNEL (addss, "addss")
SSE_KERNEL (subps, "subps")
SSE_KERNEL (subss, "subss")
SSE_KERNEL (mulps, "mulps")
SSE_KERNEL (mulss, "mulss")
SSE_KERNEL (divps, "divps")
SSE_KERNEL (divss, "divss")
SSE_KERNEL (minps, "minps")
SSE_KERNEL (minss, "minss")
SSE_KERNEL (maxps, "maxps")
SSE_KERNEL (maxss, "maxss")
SSE_KERNEL (sqrtps, "sqrtps")
SSE_KERNEL (sqrtss, "sqrtss")
SSE_KERNEL (rcpps, "rcpps")
SSE_KERNEL (rcpss, "rcpss")
SSE_KERNEL (rsqrtps, "rsqrtps")
SSE_KERNEL (rsqrtss, "rsqrtss")
SSE_KERNEL (andps, "andps")
SSE_KERNEL (andnps, "andnps")
SSE_KERNEL (orps, "orps")
SSE_KERNEL (xorps, "xorps")
SSE_KERNEL (unpcklps, "unpcklps")
SSE_KERNEL (unpckhps, "unpckhps")
SSE_COMPARE_KERNEL (cmpps, "cmpps")
SSE_COMPARE_KERNEL (cmpss, "cmpss")
SSE_COMPARE_FLAGS (comiss, "comiss")
SSE_COMPARE_FLAGS (ucomiss, "ucomiss")

#define PS(operation) (SseShape) { operation, false, 4 }
#define SS(operation) (SseShape) { operation, false, 1 }

ROUTINE (ADDPS_Vps_Wps)  { return sse_arithmetic (cpu, insn, 16, addps, PS (SSE_ADD)); }
ROUTINE (ADDSS_Vss_Wss)  { return sse_arithmetic (cpu, insn, 4, addss, SS (SSE_ADD)); }
ROUTINE (SUBPS_Vps_Wps)  { return sse_arithmetic (cpu, insn, 16, subps, PS (SSE_SUBTRACT)); }
ROUTINE (SUBSS_Vss_Wss)  { return sse_arithmetic (cpu, insn, 4, subss, SS (SSE_SUBTRACT)); }
ROUTINE (MULPS_Vps_Wps)  { return sse_arithmetic (cpu, insn, 16, mulps, PS (SSE_MULTIPLY)); }
ROUTINE (MULSS_Vss_Wss)  { return sse_arithmetic (cpu, insn, 4, mulss, SS (SSE_MULTIPLY)); }
ROUTINE (DIVPS_Vps_Wps)  { return sse_arithmetic (cpu, insn, 16, divps, PS (SSE_DIVIDE)); }
ROUTINE (DIVSS_Vss_Wss)  { return sse_arithmetic (cpu, insn, 4, divss, SS (SSE_DIVIDE)); }
ROUTINE (MINPS_Vps_Wps)  { return sse_arithmetic (cpu, insn, 16, minps, PS (SSE_OTHER)); }
ROUTINE (MINSS_Vss_Wss)  { return sse_arithmetic (cpu, insn, 4, minss, SS (SSE_OTHER)); }
ROUTINE (MAXPS_Vps_Wps)  { return sse_arithmetic (cpu, insn, 16, maxps, PS (SSE_OTHER)); }
ROUTINE (MAXSS_Vss_Wss)  { return sse_arithmetic (cpu, insn, 4, maxss, SS (SSE_OTHER)); }
ROUTINE (SQRTPS_Vps_Wps) { return sse_arithmetic (cpu, insn, 16, sqrtps, PS (SSE_OTHER)); }
ROUTINE (SQRTSS_Vss_Wss) { return sse_arithmetic (cpu, insn, 4, sqrtss, SS (SSE_OTHER)); }
/* The approximations are the host's; they signal nothing. */
ROUTINE (RCPPS_Vps_Wps)    { return sse_plain (cpu, insn, 16, rcpps); }
ROUTINE (RCPSS_Vss_Wss)    { return sse_plain (cpu, insn, 4, rcpss); }
ROUTINE (RSQRTPS_Vps_Wps)  { return sse_plain (cpu, insn, 16, rsqrtps); }
ROUTINE (RSQRTSS_Vss_Wss)  { return sse_plain (cpu, insn, 4, rsqrtss); }
ROUTINE (ANDPS_Vps_Wps)    { return sse_plain (cpu, insn, 16, andps); }
ROUTINE (ANDNPS_Vps_Wps)   { return sse_plain (cpu, insn, 16, andnps); }
ROUTINE (ORPS_Vps_Wps)     { return sse_plain (cpu, insn, 16, orps); }
ROUTINE (XORPS_Vps_Wps)    { return sse_plain (cpu, insn, 16, xorps); }
ROUTINE (UNPCKLPS_Vps_Wps) { return sse_plain (cpu, insn, 16, unpcklps); }
ROUTINE (UNPCKHPS_Vps_Wps) { return sse_plain (cpu, insn, 16, unpckhps); }
ROUTINE (CMPPS_Vps_Wps_Ib) { return cmpps (cpu, insn, 16); }
ROUTINE (CMPSS_Vss_Wss_Ib) { return cmpss (cpu, insn, 4); }
ROUTINE (COMISS_Vss_Wss)   { return comiss (cpu, insn, 4); }
ROUTINE (UCOMISS_Vss_Wss)  { return ucomiss (cpu, insn, 4); }

ROUTINE (SHUFPS_Vps_Wps_Ib)
{
  uint32_t a[4], b[4], result[4];
  __m128i source;
  unsigned order = insn->immediate;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, 16, &source))
    return EXIT_FAULT;
  _mm_storeu_si128 ((__m128i *) a, xmm_load (cpu, insn->reg));
  _mm_storeu_si128 ((__m128i *) b, source);
  result[0] = a[order & 3];
  result[1] = a[order >> 2 & 3];
  result[2] = b[order >> 4 & 3];
  result[3] = b[order >> 6 & 3];
  xmm_store (cpu, insn->reg, _mm_loadu_si128 ((const __m128i *) result));
  return EXIT_NONE;
}

/* ---- Conversions ---- */

SSE_KERNEL (cvtdq2ps, "cvtdq2ps")
SSE_KERNEL (cvtps2dq, "cvtps2dq")
SSE_KERNEL (cvttps2dq, "cvttps2dq")

/* Two integers; the upper two lanes are zero, which converts without flags.  From memory the x87 state is not touched. */
ROUTINE (CVTPI2PS_Vps_Qq)
{
  uint64_t source;
  __m128i result;
  ExitReason reason = insn->is_memory ? cpu_check_sse (cpu) : sse_mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (mmx_read_source (cpu, insn, &source))
    return EXIT_FAULT;
  if (sse_convert (cpu, _mm_set_epi64x (0, (long long) source), cvtdq2ps, &result))
    return EXIT_FAULT;
  if (!insn->is_memory)
    mmx_enter (cpu);
  memcpy (cpu->fpu.xmm[insn->reg], &result, 8);
  return EXIT_NONE;
}

static inline ExitReason
convert_to_mmx (Cpu *cpu, const DecodedInsn *insn, SseKernel kernel)
{
  __m128i source, result;
  ExitReason reason = sse_mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (xmm_read_source (cpu, insn, 8, &source))
    return EXIT_FAULT;
  if (sse_convert (cpu, _mm_move_epi64 (source), kernel, &result))
    return EXIT_FAULT;
  mmx_enter (cpu);
  mmx_store (cpu, insn->reg, (uint64_t) _mm_cvtsi128_si64 (result));
  return EXIT_NONE;
}

ROUTINE (CVTPS2PI_Pq_Wq)  { return convert_to_mmx (cpu, insn, cvtps2dq); }
ROUTINE (CVTTPS2PI_Pq_Wq) { return convert_to_mmx (cpu, insn, cvttps2dq); }

ROUTINE (CVTSI2SS_Vss_Ed)
{
  uint32_t source;
  __m128i result;

  if (cpu_check_sse (cpu) || insn_read_32 (cpu, insn, &source))
    return EXIT_FAULT;
  result = xmm_load (cpu, insn->reg);
  host_mxcsr_load (cpu);
  __asm__ volatile ("cvtsi2ssl %1, %0" : "+x" (result) : "r" (source));
  if (sse_finish (cpu, host_mxcsr_restore (), SS (SSE_OTHER), result, result))
    return EXIT_FAULT;
  xmm_store (cpu, insn->reg, result);
  return EXIT_NONE;
}

static inline __attribute__ ((always_inline)) ExitReason
convert_to_register (Cpu *cpu, const DecodedInsn *insn, bool truncate)
{
  __m128i source;
  uint32_t result;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, 4, &source))
    return EXIT_FAULT;
  host_mxcsr_load (cpu);
  if (truncate)
    __asm__ volatile ("cvttss2sil %1, %0" : "=r" (result) : "x" (source));
  else
    __asm__ volatile ("cvtss2sil %1, %0" : "=r" (result) : "x" (source));
  if (sse_finish (cpu, host_mxcsr_restore (), SS (SSE_OTHER), source, source))
    return EXIT_FAULT;
  cpu->regs[insn->reg] = result;
  return EXIT_NONE;
}

ROUTINE (CVTSS2SI_Gd_Wss)  { return convert_to_register (cpu, insn, false); }
ROUTINE (CVTTSS2SI_Gd_Wss) { return convert_to_register (cpu, insn, true); }

/* ---- Moves ---- */

ExitReason
sse_load (Cpu *cpu, const DecodedInsn *insn, bool must_align)
{
  __m128i value;

  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  if (!insn->is_memory)
    value = xmm_load (cpu, insn->rm);
  else if (xmm_read_memory (cpu, insn, insn_offset (cpu, insn), &value, must_align ? 16 : 8))
    return EXIT_FAULT;
  xmm_store (cpu, insn->reg, value);
  return EXIT_NONE;
}

ExitReason
sse_store (Cpu *cpu, const DecodedInsn *insn, bool must_align)
{
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  if (insn->is_memory)
    return xmm_write_memory (cpu, insn, insn_offset (cpu, insn), cpu->fpu.xmm[insn->reg], must_align ? 16 : 8);
  xmm_store (cpu, insn->rm, xmm_load (cpu, insn->reg));
  return EXIT_NONE;
}

ExitReason
sse_load_half (Cpu *cpu, const DecodedInsn *insn, unsigned from, unsigned to)
{
  uint64_t value;

  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  if (!insn->is_memory)
    memcpy (&value, cpu->fpu.xmm[insn->rm] + 8 * from, 8);
  else if (cpu_read_64 (cpu, insn->segment, insn_offset (cpu, insn), &value))
    return EXIT_FAULT;
  memcpy (cpu->fpu.xmm[insn->reg] + 8 * to, &value, 8);
  return EXIT_NONE;
}

ExitReason
sse_store_half (Cpu *cpu, const DecodedInsn *insn, unsigned from)
{
  uint64_t value;

  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  memcpy (&value, cpu->fpu.xmm[insn->reg] + 8 * from, 8);
  return cpu_write_64 (cpu, insn->segment, insn_offset (cpu, insn), value);
}

ROUTINE (MOVUPS_Vps_Wps) { return sse_load (cpu, insn, false); }
ROUTINE (MOVUPS_Wps_Vps) { return sse_store (cpu, insn, false); }
ROUTINE (MOVAPS_Vps_Wps) { return sse_load (cpu, insn, true); }
ROUTINE (MOVAPS_Wps_Vps) { return sse_store (cpu, insn, true); }
ROUTINE (MOVNTPS_Mps_Vps) { return sse_store (cpu, insn, true); }
ROUTINE (MOVLPS_Vq_Mq)   { return sse_load_half (cpu, insn, 0, 0); }
ROUTINE (MOVHLPS_Vq_Uq)  { return sse_load_half (cpu, insn, 1, 0); }
ROUTINE (MOVHPS_Vq_Mq)   { return sse_load_half (cpu, insn, 0, 1); }
ROUTINE (MOVLHPS_Vq_Uq)  { return sse_load_half (cpu, insn, 0, 1); }
ROUTINE (MOVLPS_Mq_Vq)   { return sse_store_half (cpu, insn, 0); }
ROUTINE (MOVHPS_Mq_Vq)   { return sse_store_half (cpu, insn, 1); }

/* From memory MOVSS clears the rest of the register, between registers it keeps it. */
ROUTINE (MOVSS_Vss_Wss)
{
  __m128i source;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, 4, &source))
    return EXIT_FAULT;
  if (insn->is_memory)
    xmm_store (cpu, insn->reg, source);
  else
    memcpy (cpu->fpu.xmm[insn->reg], &source, 4);
  return EXIT_NONE;
}

ROUTINE (MOVSS_Wss_Vss)
{
  uint32_t value;

  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  memcpy (&value, cpu->fpu.xmm[insn->reg], 4);
  if (insn->is_memory)
    return cpu_write_32 (cpu, insn->segment, insn_offset (cpu, insn), value);
  memcpy (cpu->fpu.xmm[insn->rm], &value, 4);
  return EXIT_NONE;
}

ROUTINE (MOVMSKPS_Gd_Ups)
{
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  cpu->regs[insn->reg] = (uint32_t) _mm_movemask_ps (_mm_castsi128_ps (xmm_load (cpu, insn->rm)));
  return EXIT_NONE;
}

/* ---- Control ---- */

ROUTINE (LDMXCSR_Md)
{
  uint32_t value;

  if (cpu_check_sse (cpu) || cpu_read_32 (cpu, insn->segment, insn_offset (cpu, insn), &value))
    return EXIT_FAULT;
  if (value & ~mxcsr_mask (cpu))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  cpu->fpu.mxcsr = value;
  return EXIT_NONE;
}

ROUTINE (STMXCSR_Md)
{
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  return cpu_write_32 (cpu, insn->segment, insn_offset (cpu, insn), cpu->fpu.mxcsr);
}

/* The interpreter's stores are in order and the host orders the rest. */
ROUTINE (SFENCE_R)
{
  return EXIT_NONE;
}
