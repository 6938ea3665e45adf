/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SSE2: double precision, and integers in XMM registers.  The method is described in sse.h. */
#include "routines.h"

#include "flags.h"
#include "sse.h"

#define ROUTINE(name) \
  ExitReason \
  interpret_##name (Cpu *cpu, const DecodedInsn *insn)

/* ---- Arithmetic ---- */

SSE_KERNEL (addpd, "addpd")
SSE_KERNEL (addsd, "addsd")
SSE_KERNEL (subpd, "subpd")
SSE_KERNEL (subsd, "subsd")
SSE_KERNEL (mulpd, "mulpd")
SSE_KERNEL (mulsd, "mulsd")
SSE_KERNEL (divpd, "divpd")
SSE_KERNEL (divsd, "divsd")
SSE_KERNEL (minpd, "minpd")
SSE_KERNEL (minsd, "minsd")
SSE_KERNEL (maxpd, "maxpd")
SSE_KERNEL (maxsd, "maxsd")
SSE_KERNEL (sqrtpd, "sqrtpd")
SSE_KERNEL (sqrtsd, "sqrtsd")
SSE_KERNEL (andpd, "andpd")
SSE_KERNEL (andnpd, "andnpd")
SSE_KERNEL (orpd, "orpd")
SSE_KERNEL (xorpd, "xorpd")
SSE_KERNEL (unpcklpd, "unpcklpd")
SSE_KERNEL (unpckhpd, "unpckhpd")
SSE_KERNEL (cvtps2pd, "cvtps2pd")
SSE_KERNEL (cvtpd2ps, "cvtpd2ps")
SSE_KERNEL (cvtss2sd, "cvtss2sd")
SSE_KERNEL (cvtsd2ss, "cvtsd2ss")
SSE_KERNEL (cvtdq2ps, "cvtdq2ps")
SSE_KERNEL (cvtps2dq, "cvtps2dq")
SSE_KERNEL (cvttps2dq, "cvttps2dq")
SSE_KERNEL (cvtdq2pd, "cvtdq2pd")
SSE_KERNEL (cvtpd2dq, "cvtpd2dq")
SSE_KERNEL (cvttpd2dq, "cvttpd2dq")
SSE_COMPARE_KERNEL (cmppd, "cmppd")
SSE_COMPARE_KERNEL (cmpsd, "cmpsd")
SSE_COMPARE_FLAGS (comisd, "comisd")
SSE_COMPARE_FLAGS (ucomisd, "ucomisd")

#define PD(operation) (SseShape) { operation, true, 2 }
#define SD(operation) (SseShape) { operation, true, 1 }

ROUTINE (ADDPD_Vpd_Wpd)  { return sse_arithmetic (cpu, insn, 16, addpd, PD (SSE_ADD)); }
ROUTINE (ADDSD_Vsd_Wsd)  { return sse_arithmetic (cpu, insn, 8, addsd, SD (SSE_ADD)); }
ROUTINE (SUBPD_Vpd_Wpd)  { return sse_arithmetic (cpu, insn, 16, subpd, PD (SSE_SUBTRACT)); }
ROUTINE (SUBSD_Vsd_Wsd)  { return sse_arithmetic (cpu, insn, 8, subsd, SD (SSE_SUBTRACT)); }
ROUTINE (MULPD_Vpd_Wpd)  { return sse_arithmetic (cpu, insn, 16, mulpd, PD (SSE_MULTIPLY)); }
ROUTINE (MULSD_Vsd_Wsd)  { return sse_arithmetic (cpu, insn, 8, mulsd, SD (SSE_MULTIPLY)); }
ROUTINE (DIVPD_Vpd_Wpd)  { return sse_arithmetic (cpu, insn, 16, divpd, PD (SSE_DIVIDE)); }
ROUTINE (DIVSD_Vsd_Wsd)  { return sse_arithmetic (cpu, insn, 8, divsd, SD (SSE_DIVIDE)); }
ROUTINE (MINPD_Vpd_Wpd)  { return sse_arithmetic (cpu, insn, 16, minpd, PD (SSE_OTHER)); }
ROUTINE (MINSD_Vsd_Wsd)  { return sse_arithmetic (cpu, insn, 8, minsd, SD (SSE_OTHER)); }
ROUTINE (MAXPD_Vpd_Wpd)  { return sse_arithmetic (cpu, insn, 16, maxpd, PD (SSE_OTHER)); }
ROUTINE (MAXSD_Vsd_Wsd)  { return sse_arithmetic (cpu, insn, 8, maxsd, SD (SSE_OTHER)); }
ROUTINE (SQRTPD_Vpd_Wpd) { return sse_arithmetic (cpu, insn, 16, sqrtpd, PD (SSE_OTHER)); }
ROUTINE (SQRTSD_Vsd_Wsd) { return sse_arithmetic (cpu, insn, 8, sqrtsd, SD (SSE_OTHER)); }
ROUTINE (ANDPD_Vpd_Wpd)    { return sse_plain (cpu, insn, 16, andpd); }
ROUTINE (ANDNPD_Vpd_Wpd)   { return sse_plain (cpu, insn, 16, andnpd); }
ROUTINE (ORPD_Vpd_Wpd)     { return sse_plain (cpu, insn, 16, orpd); }
ROUTINE (XORPD_Vpd_Wpd)    { return sse_plain (cpu, insn, 16, xorpd); }
ROUTINE (UNPCKLPD_Vpd_Wpd) { return sse_plain (cpu, insn, 16, unpcklpd); }
ROUTINE (UNPCKHPD_Vpd_Wpd) { return sse_plain (cpu, insn, 16, unpckhpd); }
ROUTINE (CMPPD_Vpd_Wpd_Ib) { return cmppd (cpu, insn, 16); }
ROUTINE (CMPSD_Vsd_Wsd_Ib) { return cmpsd (cpu, insn, 8); }
ROUTINE (COMISD_Vsd_Wsd)   { return comisd (cpu, insn, 8); }
ROUTINE (UCOMISD_Vsd_Wsd)  { return ucomisd (cpu, insn, 8); }

ROUTINE (SHUFPD_Vpd_Wpd_Ib)
{
  __m128i source;
  uint64_t a, b;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, 16, &source))
    return EXIT_FAULT;
  memcpy (&a, cpu->fpu.xmm[insn->reg] + (insn->immediate & 1 ? 8 : 0), 8);
  memcpy (&b, (const uint8_t *) &source + (insn->immediate & 2 ? 8 : 0), 8);
  xmm_store (cpu, insn->reg, _mm_set_epi64x ((long long) b, (long long) a));
  return EXIT_NONE;
}

/* ---- Conversions ---- */

ROUTINE (CVTPS2PD_Vpd_Wq)   { return sse_arithmetic (cpu, insn, 8, cvtps2pd, PD (SSE_OTHER)); }
ROUTINE (CVTSS2SD_Vsd_Wss)  { return sse_arithmetic (cpu, insn, 4, cvtss2sd, SD (SSE_OTHER)); }
ROUTINE (CVTDQ2PS_Vps_Wdq)  { return sse_arithmetic (cpu, insn, 16, cvtdq2ps, PD (SSE_OTHER)); }
ROUTINE (CVTPS2DQ_Vdq_Wps)  { return sse_arithmetic (cpu, insn, 16, cvtps2dq, PD (SSE_OTHER)); }
ROUTINE (CVTTPS2DQ_Vdq_Wps) { return sse_arithmetic (cpu, insn, 16, cvttps2dq, PD (SSE_OTHER)); }
ROUTINE (CVTDQ2PD_Vpd_Wq)   { return sse_arithmetic (cpu, insn, 8, cvtdq2pd, PD (SSE_OTHER)); }
ROUTINE (CVTPD2DQ_Vdq_Wpd)  { return sse_arithmetic (cpu, insn, 16, cvtpd2dq, PD (SSE_OTHER)); }
ROUTINE (CVTTPD2DQ_Vdq_Wpd) { return sse_arithmetic (cpu, insn, 16, cvttpd2dq, PD (SSE_OTHER)); }

/* Narrowing may over- and underflow, and what it narrows is the source. */
static inline __attribute__ ((always_inline)) ExitReason
narrow (Cpu *cpu, const DecodedInsn *insn, unsigned n_source_bytes, SseKernel kernel, SseShape shape)
{
  __m128i source, result;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, n_source_bytes, &source))
    return EXIT_FAULT;
  result = xmm_load (cpu, insn->reg);
  host_mxcsr_load (cpu);
  result = kernel (result, source);
  if (sse_finish (cpu, host_mxcsr_restore (), shape, source, source))
    return EXIT_FAULT;
  xmm_store (cpu, insn->reg, result);
  return EXIT_NONE;
}

ROUTINE (CVTPD2PS_Vps_Wpd) { return narrow (cpu, insn, 16, cvtpd2ps, PD (SSE_NARROW)); }
ROUTINE (CVTSD2SS_Vss_Wsd) { return narrow (cpu, insn, 8, cvtsd2ss, SD (SSE_NARROW)); }

/* Exact.  From memory the x87 state is not touched and a pending x87 error not reported (SDM vol. 2, CVTPI2PD). */
ROUTINE (CVTPI2PD_Vpd_Qq)
{
  uint64_t source;
  __m128i value;
  ExitReason reason = insn->is_memory ? cpu_check_sse (cpu) : sse_mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (mmx_read_source (cpu, insn, &source))
    return EXIT_FAULT;
  if (!insn->is_memory)
    mmx_enter (cpu);
  value = _mm_set_epi64x (0, (long long) source);
  xmm_store (cpu, insn->reg, cvtdq2pd (value, value));
  return EXIT_NONE;
}

static inline ExitReason
convert_to_mmx (Cpu *cpu, const DecodedInsn *insn, SseKernel kernel)
{
  __m128i source, result;
  ExitReason reason = sse_mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (xmm_read_source (cpu, insn, 16, &source))
    return EXIT_FAULT;
  if (sse_convert (cpu, source, kernel, &result))
    return EXIT_FAULT;
  mmx_enter (cpu);
  mmx_store (cpu, insn->reg, (uint64_t) _mm_cvtsi128_si64 (result));
  return EXIT_NONE;
}

ROUTINE (CVTPD2PI_Pq_Wpd)  { return convert_to_mmx (cpu, insn, cvtpd2dq); }
ROUTINE (CVTTPD2PI_Pq_Wpd) { return convert_to_mmx (cpu, insn, cvttpd2dq); }

ROUTINE (CVTSI2SD_Vsd_Ed)
{
  uint32_t source;
  __m128i result;

  if (cpu_check_sse (cpu) || insn_read_32 (cpu, insn, &source))
    return EXIT_FAULT;
  result = xmm_load (cpu, insn->reg);
  __asm__ ("cvtsi2sdl %1, %0" : "+x" (result) : "r" (source));
  xmm_store (cpu, insn->reg, result);
  return EXIT_NONE;
}

static inline __attribute__ ((always_inline)) ExitReason
convert_to_register (Cpu *cpu, const DecodedInsn *insn, bool truncate)
{
  __m128i source;
  uint32_t result;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, 8, &source))
    return EXIT_FAULT;
  host_mxcsr_load (cpu);
  if (truncate)
    __asm__ volatile ("cvttsd2sil %1, %0" : "=r" (result) : "x" (source));
  else
    __asm__ volatile ("cvtsd2sil %1, %0" : "=r" (result) : "x" (source));
  if (sse_finish (cpu, host_mxcsr_restore (), SD (SSE_OTHER), source, source))
    return EXIT_FAULT;
  cpu->regs[insn->reg] = result;
  return EXIT_NONE;
}

ROUTINE (CVTSD2SI_Gd_Wsd)  { return convert_to_register (cpu, insn, false); }
ROUTINE (CVTTSD2SI_Gd_Wsd) { return convert_to_register (cpu, insn, true); }

/* ---- Moves ---- */

ROUTINE (MOVUPD_Vpd_Wpd) { return sse_load (cpu, insn, false); }
ROUTINE (MOVUPD_Wpd_Vpd) { return sse_store (cpu, insn, false); }
ROUTINE (MOVAPD_Vpd_Wpd) { return sse_load (cpu, insn, true); }
ROUTINE (MOVAPD_Wpd_Vpd) { return sse_store (cpu, insn, true); }
ROUTINE (MOVDQU_Vdq_Wdq) { return sse_load (cpu, insn, false); }
ROUTINE (MOVDQU_Wdq_Vdq) { return sse_store (cpu, insn, false); }
ROUTINE (MOVDQA_Vdq_Wdq) { return sse_load (cpu, insn, true); }
ROUTINE (MOVDQA_Wdq_Vdq) { return sse_store (cpu, insn, true); }
ROUTINE (MOVNTPD_Mpd_Vpd) { return sse_store (cpu, insn, true); }
ROUTINE (MOVNTDQ_Mdq_Vdq) { return sse_store (cpu, insn, true); }
ROUTINE (MOVLPD_Vq_Mq)   { return sse_load_half (cpu, insn, 0, 0); }
ROUTINE (MOVHPD_Vq_Mq)   { return sse_load_half (cpu, insn, 0, 1); }
ROUTINE (MOVLPD_Mq_Vq)   { return sse_store_half (cpu, insn, 0); }
ROUTINE (MOVHPD_Mq_Vq)   { return sse_store_half (cpu, insn, 1); }

/* From memory MOVSD clears the upper half, between registers it keeps it. */
ROUTINE (MOVSD_Vsd_Wsd)
{
  __m128i source;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, 8, &source))
    return EXIT_FAULT;
  if (insn->is_memory)
    xmm_store (cpu, insn->reg, source);
  else
    memcpy (cpu->fpu.xmm[insn->reg], &source, 8);
  return EXIT_NONE;
}

ROUTINE (MOVSD_Wsd_Vsd)
{
  if (insn->is_memory)
    return sse_store_half (cpu, insn, 0);
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  memmove (cpu->fpu.xmm[insn->rm], cpu->fpu.xmm[insn->reg], 8);
  return EXIT_NONE;
}

/* MOVQ clears the upper half of a register destination. */
ROUTINE (MOVQ_Vq_Wq)
{
  __m128i source;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, 8, &source))
    return EXIT_FAULT;
  xmm_store (cpu, insn->reg, _mm_move_epi64 (source));
  return EXIT_NONE;
}

ROUTINE (MOVQ_Wq_Vq)
{
  if (insn->is_memory)
    return sse_store_half (cpu, insn, 0);
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  xmm_store (cpu, insn->rm, _mm_move_epi64 (xmm_load (cpu, insn->reg)));
  return EXIT_NONE;
}

ROUTINE (MOVD_Vd_Ed)
{
  uint32_t value;

  if (cpu_check_sse (cpu) || insn_read_32 (cpu, insn, &value))
    return EXIT_FAULT;
  xmm_store (cpu, insn->reg, _mm_cvtsi32_si128 ((int) value));
  return EXIT_NONE;
}

ROUTINE (MOVD_Ed_Vd)
{
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  return insn_write_32 (cpu, insn, (uint32_t) _mm_cvtsi128_si32 (xmm_load (cpu, insn->reg)));
}

ROUTINE (MOVQ2DQ_Vdq_Nq)
{
  ExitReason reason = sse_mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  mmx_enter (cpu);
  xmm_store (cpu, insn->reg, _mm_set_epi64x (0, (long long) mmx_load (cpu, insn->rm)));
  return EXIT_NONE;
}

ROUTINE (MOVDQ2Q_Pq_Uq)
{
  ExitReason reason = sse_mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  mmx_enter (cpu);
  mmx_store (cpu, insn->reg, (uint64_t) _mm_cvtsi128_si64 (xmm_load (cpu, insn->rm)));
  return EXIT_NONE;
}

ROUTINE (MOVMSKPD_Gd_Upd)
{
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  cpu->regs[insn->reg] = (uint32_t) _mm_movemask_pd (_mm_castsi128_pd (xmm_load (cpu, insn->rm)));
  return EXIT_NONE;
}

ROUTINE (PMOVMSKB_Gd_Udq)
{
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  cpu->regs[insn->reg] = (uint32_t) _mm_movemask_epi8 (xmm_load (cpu, insn->rm));
  return EXIT_NONE;
}

ROUTINE (MASKMOVDQU_Vdq_Udq)
{
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  return simd_store_masked (cpu, insn, cpu->fpu.xmm[insn->reg], cpu->fpu.xmm[insn->rm], 16);
}

/* ---- Integers ---- */

#define SIMD_INTEGER(NAME, operation) \
  static inline __m128i kernel_##NAME (__m128i destination, __m128i source) { return operation (destination, source); } \
  ROUTINE (NAME##_Vdq_Wdq) { return sse_plain (cpu, insn, 16, kernel_##NAME); }
#include "simd-integer.def"
#undef SIMD_INTEGER

#define BINARY(NAME, operation) \
  static inline __m128i kernel_##NAME (__m128i destination, __m128i source) { return operation (destination, source); } \
  ROUTINE (NAME##_Vdq_Wdq) { return sse_plain (cpu, insn, 16, kernel_##NAME); }

BINARY (PACKSSWB,   _mm_packs_epi16)
BINARY (PACKSSDW,   _mm_packs_epi32)
BINARY (PACKUSWB,   _mm_packus_epi16)
BINARY (PUNPCKLBW,  _mm_unpacklo_epi8)
BINARY (PUNPCKLWD,  _mm_unpacklo_epi16)
BINARY (PUNPCKLDQ,  _mm_unpacklo_epi32)
BINARY (PUNPCKLQDQ, _mm_unpacklo_epi64)
BINARY (PUNPCKHBW,  _mm_unpackhi_epi8)
BINARY (PUNPCKHWD,  _mm_unpackhi_epi16)
BINARY (PUNPCKHDQ,  _mm_unpackhi_epi32)
BINARY (PUNPCKHQDQ, _mm_unpackhi_epi64)

static inline __attribute__ ((always_inline)) ExitReason
shift_immediate (Cpu *cpu, const DecodedInsn *insn, SseKernel kernel)
{
  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  xmm_store (cpu, insn->rm, kernel (xmm_load (cpu, insn->rm), _mm_cvtsi32_si128 (insn->immediate & 0xff)));
  return EXIT_NONE;
}

#define SIMD_SHIFT(NAME, operation) ROUTINE (NAME##_Udq_Ib) { return shift_immediate (cpu, insn, kernel_##NAME); }
#include "simd-shift.def"
#undef SIMD_SHIFT

/* Whole register, by bytes. */
static ExitReason
shift_bytes (Cpu *cpu, const DecodedInsn *insn, bool left)
{
  unsigned count = insn->immediate & 0xff;
  uint8_t bytes[48] = { 0 };

  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  if (count > 16)
    count = 16;
  memcpy (bytes + 16, cpu->fpu.xmm[insn->rm], 16);
  memcpy (cpu->fpu.xmm[insn->rm], bytes + 16 + (left ? -(int) count : (int) count), 16);
  return EXIT_NONE;
}

ROUTINE (PSLLDQ_Udq_Ib) { return shift_bytes (cpu, insn, true); }
ROUTINE (PSRLDQ_Udq_Ib) { return shift_bytes (cpu, insn, false); }

/* Elements of n_bytes in four positions from `first`, in the order of the immediate; the others as in the source. */
static ExitReason
shuffle (Cpu *cpu, const DecodedInsn *insn, unsigned n_bytes, unsigned first)
{
  __m128i source;
  uint8_t from[16], to[16];

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, 16, &source))
    return EXIT_FAULT;
  _mm_storeu_si128 ((__m128i *) from, source);
  memcpy (to, from, 16);
  for (unsigned i = 0; i < 4; i++)
    memcpy (to + first + i * n_bytes, from + first + (insn->immediate >> 2 * i & 3) * n_bytes, n_bytes);
  memcpy (cpu->fpu.xmm[insn->reg], to, 16);
  return EXIT_NONE;
}

ROUTINE (PSHUFD_Vdq_Wdq_Ib)  { return shuffle (cpu, insn, 4, 0); }
ROUTINE (PSHUFLW_Vdq_Wdq_Ib) { return shuffle (cpu, insn, 2, 0); }
ROUTINE (PSHUFHW_Vdq_Wdq_Ib) { return shuffle (cpu, insn, 2, 8); }

ROUTINE (PINSRW_Vdq_Ew_Ib)
{
  uint16_t value;

  if (cpu_check_sse (cpu) || insn_read_16 (cpu, insn, &value))
    return EXIT_FAULT;
  memcpy (cpu->fpu.xmm[insn->reg] + 2 * (insn->immediate & 7), &value, 2);
  return EXIT_NONE;
}

ROUTINE (PEXTRW_Gd_Udq_Ib)
{
  uint16_t value;

  if (cpu_check_sse (cpu))
    return EXIT_FAULT;
  memcpy (&value, cpu->fpu.xmm[insn->rm] + 2 * (insn->immediate & 7), 2);
  cpu->regs[insn->reg] = value;
  return EXIT_NONE;
}

/* ---- Hints and order ---- */

ROUTINE (MOVNTI_Md_Gd)
{
  return cpu_write_32 (cpu, insn->segment, insn_offset (cpu, insn), cpu->regs[insn->reg]);
}

ROUTINE (LFENCE_R) { return EXIT_NONE; }
ROUTINE (MFENCE_R) { return EXIT_NONE; }

/* There is no cache to flush, but the address must be readable. */
ROUTINE (CLFLUSH_Mb)
{
  return cpu_check_read (cpu, insn->segment, insn_offset (cpu, insn), 1, 1);
}
