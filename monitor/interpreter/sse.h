/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the MMX, SSE and SSE2 routines share.
 *
 * Floating-point operations run on the host under the guest's rounding, DAZ and FTZ with everything masked, then the
 * host's flags are read.  Nothing else in the monitor depends on MXCSR between two statements of a routine, and every
 * routine leaves HOST_MXCSR.  What an unmasked exception changes about flags and result is worked out in
 * sse_unmasked (). */
#pragma once

#include "decode.h"
#include "exceptions.h"
#include "operands.h"

#include <emmintrin.h>

enum
{
  MXCSR_IE = 1u << 0, MXCSR_DE = 1u << 1, MXCSR_ZE = 1u << 2, MXCSR_OE = 1u << 3, MXCSR_UE = 1u << 4,
  MXCSR_PE = 1u << 5, MXCSR_FLAGS = 0x3f, MXCSR_DAZ = 1u << 6, MXCSR_MASK_SHIFT = 7, MXCSR_MASKS = 0x3f << 7,
  MXCSR_RC_SHIFT = 13, MXCSR_FTZ = 1u << 15,
  MXCSR_PRECOMPUTATION = MXCSR_IE | MXCSR_DE | MXCSR_ZE,
  MXCSR_RESET = 0x1f80,
};

/* The bits that may be set (SDM vol. 1, 11.6.6): DAZ came after the Pentium III. */
static inline uint32_t
mxcsr_mask (const Cpu *cpu)
{
  return cpu->features & FEATURE_SSE2 ? 0xffff : 0xffff & ~(uint32_t) MXCSR_DAZ;
}

static inline __m128i
xmm_load (const Cpu *cpu, unsigned number)
{
  return _mm_load_si128 ((const __m128i *) cpu->fpu.xmm[number & 7]);
}

static inline void
xmm_store (Cpu *cpu, unsigned number, __m128i value)
{
  _mm_store_si128 ((__m128i *) cpu->fpu.xmm[number & 7], value);
}

/* 16 bytes: the fast path of operands.h, one size further.  alignment: 16, whose violation is #GP, or 8 for operands that
 * need none but may raise #AC (SDM vol. 2, MOVUPS). */
static inline ExitReason
xmm_read_memory (Cpu *cpu, const DecodedInsn *insn, uint32_t offset, __m128i *ret_value, unsigned alignment)
{
  const Tlb *tlb = cpu->tlb;
  uint32_t linear = cpu->segments[insn->segment].base + offset;
  const TlbEntry *entry = tlb_entry (tlb->data, linear);

  if (UNLIKELY (alignment == 16 && linear & 15))
    return cpu_check_aligned_16 (cpu, insn->segment, offset);
  if (LIKELY ((int64_t) offset + 15 <= tlb->read_max[insn->segment] && entry->read_tag == ((linear + 15) & ~0xfffu)))
    {
      *ret_value = _mm_loadu_si128 ((const __m128i *) (entry->addend + linear));
      return EXIT_NONE;
    }
  return cpu_read_bytes (cpu, insn->segment, offset, ret_value, 16, alignment);
}

static inline ExitReason
xmm_write_memory (Cpu *cpu, const DecodedInsn *insn, uint32_t offset, const uint8_t *bytes, unsigned alignment)
{
  const Tlb *tlb = cpu->tlb;
  uint32_t linear = cpu->segments[insn->segment].base + offset;
  const TlbEntry *entry = tlb_entry (tlb->data, linear);

  if (UNLIKELY (alignment == 16 && linear & 15))
    return cpu_check_aligned_16 (cpu, insn->segment, offset);
  if (LIKELY ((int64_t) offset + 15 <= tlb->write_max[insn->segment] && entry->write_tag == ((linear + 15) & ~0xfffu)))
    {
      memcpy ((uint8_t *) (entry->addend + linear), bytes, 16);
      return EXIT_NONE;
    }
  return cpu_write_bytes (cpu, insn->segment, offset, bytes, 16, alignment);
}

/* The instruction's source operand: its XMM register, or memory. The 16-byte one must be aligned. */
static inline __attribute__ ((always_inline)) ExitReason
xmm_read_source (Cpu *cpu, const DecodedInsn *insn, unsigned n_bytes, __m128i *ret_value)
{
  uint32_t offset;

  if (!insn->is_memory)
    {
      *ret_value = xmm_load (cpu, insn->rm);
      return EXIT_NONE;
    }
  offset = insn_offset (cpu, insn);
  if (n_bytes == 4)
    {
      uint32_t value;

      if (cpu_read_32 (cpu, insn->segment, offset, &value))
        return EXIT_FAULT;
      *ret_value = _mm_cvtsi32_si128 ((int) value);
    }
  else if (n_bytes == 8)
    {
      uint64_t value;

      if (cpu_read_64 (cpu, insn->segment, offset, &value))
        return EXIT_FAULT;
      *ret_value = _mm_set_epi64x (0, (long long) value);
    }
  else
    return xmm_read_memory (cpu, insn, offset, ret_value, 16);
  return EXIT_NONE;
}

/* MMX: registers are the low 8 bytes of the x87 registers. */
static inline uint64_t
mmx_load (const Cpu *cpu, unsigned number)
{
  uint64_t value;

  memcpy (&value, cpu->fpu.r[number & 7], 8);
  return value;
}

static inline void
mmx_store (Cpu *cpu, unsigned number, uint64_t value)
{
  uint8_t *bytes = cpu->fpu.r[number & 7];

  memcpy (bytes, &value, 8);
  bytes[8] = bytes[9] = 0xff;
}

/* First statement of every MMX routine: #UD, #NM, a pending x87 error (as x87_begin). */
ExitReason mmx_begin (Cpu *cpu);

/* The same for instructions that use both kinds of registers. */
static inline ExitReason
sse_mmx_begin (Cpu *cpu)
{
  ExitReason reason = cpu_check_sse (cpu);

  return reason == EXIT_NONE ? mmx_begin (cpu) : reason;
}

/* What every MMX instruction but EMMS does to the x87 stack, once it can no longer fault (SDM vol. 1, 9.5). */
static inline void
mmx_enter (Cpu *cpu)
{
  cpu->fpu.valid = 0xff;
  cpu->fpu.status &= ~(7u << 11);
}

static inline ExitReason
mmx_read_source (Cpu *cpu, const DecodedInsn *insn, uint64_t *ret_value)
{
  if (insn->is_memory)
    return cpu_read_64 (cpu, insn->segment, insn_offset (cpu, insn), ret_value);
  *ret_value = mmx_load (cpu, insn->rm);
  return EXIT_NONE;
}

static const uint32_t HOST_MXCSR = MXCSR_RESET;

/* With underflow unmasked FTZ does not count (SDM vol. 1, 10.2.3.3). */
static inline void
host_mxcsr_load (const Cpu *cpu)
{
  uint32_t value = (cpu->fpu.mxcsr & (0xffff & ~MXCSR_FLAGS)) | MXCSR_MASKS;

  if (!(cpu->fpu.mxcsr & MXCSR_UE << MXCSR_MASK_SHIFT))
    value &= ~(uint32_t) MXCSR_FTZ;
  __asm__ volatile ("ldmxcsr %0" : : "m" (value));
}

/* Returns the flags of the operation. */
static inline unsigned
host_mxcsr_restore (void)
{
  uint32_t value;

  __asm__ volatile ("stmxcsr %0\n\tldmxcsr %1" : "=m" (value) : "m" (HOST_MXCSR));
  return value & MXCSR_FLAGS;
}

/* Operations whose result may over- or underflow. */
typedef enum { SSE_OTHER, SSE_ADD, SSE_SUBTRACT, SSE_MULTIPLY, SSE_DIVIDE, SSE_NARROW /* double to single */ } SseOperation;

typedef struct
{
  SseOperation operation;
  bool         is_double;       /* format of the operands */
  uint8_t      n_lanes;
} SseShape;

/* The flags of a masked run, when not everything is masked.  Adds to MXCSR what the processor would, and returns
 * EXIT_FAULT with #XM (#UD without CR4.OSXMMEXCPT) if one of them is unmasked. */
ExitReason sse_unmasked (Cpu *cpu, unsigned flags, SseShape shape, __m128i a, __m128i b);

static inline __attribute__ ((always_inline)) ExitReason
sse_finish (Cpu *cpu, unsigned flags, SseShape shape, __m128i a, __m128i b)
{
  if (UNLIKELY ((cpu->fpu.mxcsr & MXCSR_MASKS) != MXCSR_MASKS))
    return sse_unmasked (cpu, flags, shape, a, b);
  cpu->fpu.mxcsr |= flags;
  return EXIT_NONE;
}

typedef __m128i (*SseKernel) (__m128i destination, __m128i source);

/* destination = destination op source, with flags. */
static inline __attribute__ ((always_inline)) ExitReason
sse_arithmetic (Cpu *cpu, const DecodedInsn *insn, unsigned n_source_bytes, SseKernel kernel, SseShape shape)
{
  __m128i destination, source, result;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, n_source_bytes, &source))
    return EXIT_FAULT;
  destination = xmm_load (cpu, insn->reg);
  host_mxcsr_load (cpu);
  result = kernel (destination, source);
  if (sse_finish (cpu, host_mxcsr_restore (), shape, destination, source))
    return EXIT_FAULT;
  xmm_store (cpu, insn->reg, result);
  return EXIT_NONE;
}

/* destination = destination op source, without flags. */
static inline __attribute__ ((always_inline)) ExitReason
sse_plain (Cpu *cpu, const DecodedInsn *insn, unsigned n_source_bytes, SseKernel kernel)
{
  __m128i source;

  if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, n_source_bytes, &source))
    return EXIT_FAULT;
  xmm_store (cpu, insn->reg, kernel (xmm_load (cpu, insn->reg), source));
  return EXIT_NONE;
}

/* Volatile: must stay between the statements that load and read MXCSR. */
#define SSE_KERNEL(name, text) \
  static inline __m128i \
  name (__m128i destination, __m128i source) \
  { \
    __asm__ volatile (text " %1, %0" : "+x" (destination) : "x" (source)); \
    return destination; \
  }

/* Comparisons by an immediate predicate; the upper bits of the immediate are reserved and ignored. */
#define SSE_COMPARE_KERNEL(name, text) \
  static inline __m128i \
  name##_predicate (__m128i destination, __m128i source, unsigned predicate) \
  { \
    switch (predicate & 7) \
      { \
      case 0: __asm__ volatile (text " $0, %1, %0" : "+x" (destination) : "x" (source)); break; \
      case 1: __asm__ volatile (text " $1, %1, %0" : "+x" (destination) : "x" (source)); break; \
      case 2: __asm__ volatile (text " $2, %1, %0" : "+x" (destination) : "x" (source)); break; \
      case 3: __asm__ volatile (text " $3, %1, %0" : "+x" (destination) : "x" (source)); break; \
      case 4: __asm__ volatile (text " $4, %1, %0" : "+x" (destination) : "x" (source)); break; \
      case 5: __asm__ volatile (text " $5, %1, %0" : "+x" (destination) : "x" (source)); break; \
      case 6: __asm__ volatile (text " $6, %1, %0" : "+x" (destination) : "x" (source)); break; \
      case 7: __asm__ volatile (text " $7, %1, %0" : "+x" (destination) : "x" (source)); break; \
      } \
    return destination; \
  } \
  static ExitReason \
  name (Cpu *cpu, const DecodedInsn *insn, unsigned n_source_bytes) \
  { \
    __m128i source, result; \
    if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, n_source_bytes, &source)) \
      return EXIT_FAULT; \
    host_mxcsr_load (cpu); \
    result = name##_predicate (xmm_load (cpu, insn->reg), source, insn->immediate); \
    if (sse_finish (cpu, host_mxcsr_restore (), (SseShape) { SSE_OTHER, false, 0 }, source, source)) \
      return EXIT_FAULT; \
    xmm_store (cpu, insn->reg, result); \
    return EXIT_NONE; \
  }

/* COMISS and its kin: ZF, PF, CF; OF, SF, AF cleared. */
#define SSE_COMPARE_FLAGS(name, text) \
  static ExitReason \
  name (Cpu *cpu, const DecodedInsn *insn, unsigned n_source_bytes) \
  { \
    __m128i source; \
    uint8_t zf, pf, cf; \
    if (cpu_check_sse (cpu) || xmm_read_source (cpu, insn, n_source_bytes, &source)) \
      return EXIT_FAULT; \
    host_mxcsr_load (cpu); \
    __asm__ volatile (text " %4, %3\n\tsetz %0\n\tsetp %1\n\tsetc %2" \
                      : "=r" (zf), "=r" (pf), "=r" (cf) : "x" (xmm_load (cpu, insn->reg)), "x" (source) : "cc"); \
    if (sse_finish (cpu, host_mxcsr_restore (), (SseShape) { SSE_OTHER, false, 0 }, source, source)) \
      return EXIT_FAULT; \
    flags_set (cpu, EFLAGS_ARITHMETIC, (zf ? EFLAGS_ZF : 0) | (pf ? EFLAGS_PF : 0) | (cf ? EFLAGS_CF : 0)); \
    return EXIT_NONE; \
  }

/* A conversion into a general register or MM register: only the result's low bits are taken. */
static inline __attribute__ ((always_inline)) ExitReason
sse_convert (Cpu *cpu, __m128i source, SseKernel kernel, __m128i *ret_result)
{
  host_mxcsr_load (cpu);
  *ret_result = kernel (source, source);
  return sse_finish (cpu, host_mxcsr_restore (), (SseShape) { SSE_OTHER, false, 0 }, source, source);
}

/* MASKMOVQ and MASKMOVDQU, the checks of the instruction's own registers done. */
ExitReason simd_store_masked (Cpu *cpu, const DecodedInsn *insn, const uint8_t *bytes, const uint8_t *mask,
                              unsigned n_bytes);

/* Moves, shared by SSE and SSE2.  `from` and `to` number the halves of a register. */
ExitReason sse_load       (Cpu *cpu, const DecodedInsn *insn, bool must_align);
ExitReason sse_store      (Cpu *cpu, const DecodedInsn *insn, bool must_align);
ExitReason sse_load_half  (Cpu *cpu, const DecodedInsn *insn, unsigned from, unsigned to);
ExitReason sse_store_half (Cpu *cpu, const DecodedInsn *insn, unsigned from);
