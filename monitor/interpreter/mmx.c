/* SPDX-License-Identifier: GPL-3.0-or-later */
/* MMX, with the additions of the Pentium III (SSE on MM registers) and SSE2.  Computed in the low half of the host's
 * XMM registers, so that the host's x87 unit stays out of MMX mode. */
#include "routines.h"

#include "sse.h"
#include "x87.h"

#define ROUTINE(name) \
  ExitReason \
  interpret_##name (Cpu *cpu, const DecodedInsn *insn)

/* SDM vol. 3, table 12-1: #UD comes before #NM; a pending x87 exception is reported as by a waiting instruction. */
ExitReason
mmx_begin (Cpu *cpu)
{
  if (UNLIKELY (cpu->cr0 & (CR0_EM | CR0_TS)))
    return cpu_check_mmx (cpu);
  if (UNLIKELY (cpu->fpu.status & FPU_ES))
    return cpu_report_x87_error (cpu);
  return EXIT_NONE;
}

typedef __m128i (*MmxKernel) (__m128i destination, __m128i source);

static inline __m128i
widen (uint64_t value)
{
  return _mm_set_epi64x (0, (long long) value);
}

static inline __attribute__ ((always_inline)) ExitReason
mmx_operate (Cpu *cpu, const DecodedInsn *insn, MmxKernel kernel)
{
  uint64_t source;
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (mmx_read_source (cpu, insn, &source))
    return EXIT_FAULT;
  mmx_enter (cpu);
  mmx_store (cpu, insn->reg, (uint64_t) _mm_cvtsi128_si64 (kernel (widen (mmx_load (cpu, insn->reg)), widen (source))));
  return EXIT_NONE;
}

#define SIMD_INTEGER(NAME, operation) \
  static inline __m128i kernel_##NAME (__m128i destination, __m128i source) { return operation (destination, source); } \
  ROUTINE (NAME##_Pq_Qq) { return mmx_operate (cpu, insn, kernel_##NAME); }
#include "simd-integer.def"
#undef SIMD_INTEGER

/* The packs take their upper half from the source: join both operands first. */
#define PACK(NAME, operation) \
  static inline __m128i \
  kernel_##NAME (__m128i destination, __m128i source) \
  { \
    __m128i both = _mm_unpacklo_epi64 (destination, source); \
    return operation (both, both); \
  } \
  ROUTINE (NAME##_Pq_Qq) { return mmx_operate (cpu, insn, kernel_##NAME); }

PACK (PACKSSWB, _mm_packs_epi16)
PACK (PACKSSDW, _mm_packs_epi32)
PACK (PACKUSWB, _mm_packus_epi16)

/* Interleaving the low halves of two XMM registers gives both MMX forms at once. */
#define UNPACK_HIGH(NAME, operation) \
  static inline __m128i \
  kernel_##NAME (__m128i destination, __m128i source) \
  { \
    return _mm_srli_si128 (operation (destination, source), 8); \
  } \
  ROUTINE (NAME##_Pq_Qq) { return mmx_operate (cpu, insn, kernel_##NAME); }

UNPACK_HIGH (PUNPCKHBW, _mm_unpacklo_epi8)
UNPACK_HIGH (PUNPCKHWD, _mm_unpacklo_epi16)
UNPACK_HIGH (PUNPCKHDQ, _mm_unpacklo_epi32)

/* The low forms read only 32 bits of memory. */
static inline __attribute__ ((always_inline)) ExitReason
unpack_low (Cpu *cpu, const DecodedInsn *insn, MmxKernel kernel)
{
  uint64_t source;
  uint32_t value;
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (!insn->is_memory)
    source = mmx_load (cpu, insn->rm);
  else
    {
      if (cpu_read_32 (cpu, insn->segment, insn_offset (cpu, insn), &value))
        return EXIT_FAULT;
      source = value;
    }
  mmx_enter (cpu);
  mmx_store (cpu, insn->reg, (uint64_t) _mm_cvtsi128_si64 (kernel (widen (mmx_load (cpu, insn->reg)), widen (source))));
  return EXIT_NONE;
}

#define UNPACK_LOW(NAME, operation) \
  static inline __m128i kernel_##NAME (__m128i destination, __m128i source) { return operation (destination, source); } \
  ROUTINE (NAME##_Pq_Qd) { return unpack_low (cpu, insn, kernel_##NAME); }

UNPACK_LOW (PUNPCKLBW, _mm_unpacklo_epi8)
UNPACK_LOW (PUNPCKLWD, _mm_unpacklo_epi16)
UNPACK_LOW (PUNPCKLDQ, _mm_unpacklo_epi32)

static inline __attribute__ ((always_inline)) ExitReason
shift_immediate (Cpu *cpu, const DecodedInsn *insn, MmxKernel kernel)
{
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  mmx_enter (cpu);
  mmx_store (cpu, insn->rm, (uint64_t) _mm_cvtsi128_si64 (kernel (widen (mmx_load (cpu, insn->rm)),
                                                                  widen (insn->immediate & 0xff))));
  return EXIT_NONE;
}

#define SIMD_SHIFT(NAME, operation) ROUTINE (NAME##_Nq_Ib) { return shift_immediate (cpu, insn, kernel_##NAME); }
#include "simd-shift.def"
#undef SIMD_SHIFT

ROUTINE (PSHUFW_Pq_Qq_Ib)
{
  uint64_t source, result = 0;
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (mmx_read_source (cpu, insn, &source))
    return EXIT_FAULT;
  mmx_enter (cpu);
  for (unsigned i = 0; i < 4; i++)
    result |= (source >> 16 * (insn->immediate >> 2 * i & 3) & 0xffff) << 16 * i;
  mmx_store (cpu, insn->reg, result);
  return EXIT_NONE;
}

ROUTINE (PINSRW_Pq_Ew_Ib)
{
  uint16_t value;
  unsigned shift = 16 * (insn->immediate & 3);
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (insn_read_16 (cpu, insn, &value))
    return EXIT_FAULT;
  mmx_enter (cpu);
  mmx_store (cpu, insn->reg, (mmx_load (cpu, insn->reg) & ~(0xffffull << shift)) | (uint64_t) value << shift);
  return EXIT_NONE;
}

ROUTINE (PEXTRW_Gd_Nq_Ib)
{
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  mmx_enter (cpu);
  cpu->regs[insn->reg] = mmx_load (cpu, insn->rm) >> 16 * (insn->immediate & 3) & 0xffff;
  return EXIT_NONE;
}

ROUTINE (PMOVMSKB_Gd_Nq)
{
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  mmx_enter (cpu);
  cpu->regs[insn->reg] = (uint32_t) _mm_movemask_epi8 (widen (mmx_load (cpu, insn->rm)));
  return EXIT_NONE;
}

/* ---- Moves ---- */

ROUTINE (MOVD_Pd_Ed)
{
  uint32_t value;
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (insn_read_32 (cpu, insn, &value))
    return EXIT_FAULT;
  mmx_enter (cpu);
  mmx_store (cpu, insn->reg, value);
  return EXIT_NONE;
}

ROUTINE (MOVD_Ed_Pd)
{
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (insn_write_32 (cpu, insn, (uint32_t) mmx_load (cpu, insn->reg)))
    return EXIT_FAULT;
  mmx_enter (cpu);
  return EXIT_NONE;
}

ROUTINE (MOVQ_Pq_Qq)
{
  uint64_t value;
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (mmx_read_source (cpu, insn, &value))
    return EXIT_FAULT;
  mmx_enter (cpu);
  mmx_store (cpu, insn->reg, value);
  return EXIT_NONE;
}

static ExitReason
store_quadword (Cpu *cpu, const DecodedInsn *insn)
{
  uint64_t value = mmx_load (cpu, insn->reg);
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  if (!insn->is_memory)
    mmx_store (cpu, insn->rm, value);
  else if (cpu_write_64 (cpu, insn->segment, insn_offset (cpu, insn), value))
    return EXIT_FAULT;
  mmx_enter (cpu);
  return EXIT_NONE;
}

ROUTINE (MOVQ_Qq_Pq)   { return store_quadword (cpu, insn); }
ROUTINE (MOVNTQ_Mq_Pq) { return store_quadword (cpu, insn); }

/* The bytes whose mask byte has its top bit, to [EDI] in any segment.  All of the operand is checked when any byte is
 * written: which faults the unselected bytes may cause is left to the processor (SDM vol. 2, MASKMOVQ). */
ExitReason
simd_store_masked (Cpu *cpu, const DecodedInsn *insn, const uint8_t *bytes, const uint8_t *mask, unsigned n_bytes)
{
  uint32_t offset = insn->address_size == 4 ? cpu->regs[REG_EDI] : cpu->regs[REG_EDI] & 0xffff;
  bool any = false;

  for (unsigned i = 0; i < n_bytes; i++)
    any |= mask[i] >> 7;
  if (!any)
    return EXIT_NONE;
  if (cpu_check_write (cpu, insn->segment, offset, n_bytes, 1))
    return EXIT_FAULT;
  for (unsigned i = 0; i < n_bytes; i++)
    if (mask[i] >> 7 && cpu_write_8 (cpu, insn->segment, offset + i, bytes[i]))
      return EXIT_FAULT;
  return EXIT_NONE;
}

ROUTINE (MASKMOVQ_Pq_Nq)
{
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  reason = simd_store_masked (cpu, insn, cpu->fpu.r[insn->reg], cpu->fpu.r[insn->rm], 8);
  if (reason == EXIT_NONE)
    mmx_enter (cpu);
  return reason;
}

ROUTINE (EMMS_none)
{
  ExitReason reason = mmx_begin (cpu);

  if (UNLIKELY (reason != EXIT_NONE))
    return reason;
  mmx_enter (cpu);
  cpu->fpu.valid = 0;
  return EXIT_NONE;
}
