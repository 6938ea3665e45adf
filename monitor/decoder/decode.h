/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes to instructions.  The tables come from insns.def; see there for the columns and operand letters. */
#pragma once

#include "cpu.h"

#include <stddef.h>

typedef struct DecodedInsn DecodedInsn;

/* All interpreter routines have this shape.  Contract: on EXIT_FAULT nothing visible has changed.  The routine does
 * not advance EIP unless it is a branch: the caller adds insn->length when it returns EXIT_NONE; routines that set
 * EIP themselves (jumps, calls, gates, RETs, HLT, mode changes) return EXIT_BRANCH or a stronger reason. */
typedef ExitReason (*InterpretFunc) (Cpu *cpu, const DecodedInsn *insn);

enum { INSN_PREFIX_LOCK = 1, INSN_PREFIX_REP = 2 /* F3 */, INSN_PREFIX_REPNE = 4 /* F2 */, INSN_PREFIX_66 = 8, INSN_PREFIX_67 = 16,
       INSN_PREFIX_SEGMENT = 32 };

struct DecodedInsn
{
  InterpretFunc routine;
  uint32_t immediate;           /* sign- or zero-extended as the instruction wants it; offset of a far pointer; branch displacement */
  uint32_t displacement;        /* sign-extended to 32 bits */
  uint16_t id;                  /* InsnId: row family in insns.def (mnemonic) */
  uint16_t row;                 /* index of the row in insns.def */
  uint16_t immediate2;          /* selector of a far pointer; level of ENTER */
  uint8_t  length;              /* 1 … 15 */
  uint8_t  operand_size;        /* 1, 2, 4, 8, 10, 16 bytes: prefixes and mode already applied */
  uint8_t  address_size;        /* 2 or 4 */
  uint8_t  prefixes;            /* INSN_PREFIX_* present in the bytes */
  uint8_t  segment;             /* SEG_* of the memory operand, override applied */
  uint8_t  map;                 /* 0: one byte, 1: 0F, 2 … : as insns.def says */
  uint8_t  opcode;              /* last opcode byte */
  uint8_t  modrm;               /* raw, 0 if there is none */
  uint8_t  reg;                 /* ModRM.reg, or the register in the opcode's low three bits */
  uint8_t  rm;                  /* ModRM.rm when it is a register */
  uint8_t  base, index;         /* REG_* or REG_NONE; 16-bit forms too (BX+SI: base EBX, index ESI) */
  uint8_t  scale;               /* 0 … 3: index << scale */
  bool     is_memory;           /* ModRM names memory */
};

/* mode bits for insn_decode */
enum { DECODE_CODE32 = 1, DECODE_STACK32 = 2 /* not needed to decode, part of cache keys */ };

/* Decodes at most n_bytes at `bytes`; touches no CPU state.  0, -EAGAIN: more bytes are needed (page border),
 * -EILSEQ: #UD (undefined opcode, or not in `features`), -E2BIG: longer than 15 bytes (#GP). LOCK on an instruction that
 * cannot be locked is -EILSEQ. */
int insn_decode (const uint8_t *bytes, size_t n_bytes, unsigned mode, uint32_t features, DecodedInsn *ret_insn);

/* "mov eax, [ebp-4]" (Intel syntax) into text; never more than n_text bytes with the 0. */
void insn_disassemble (const DecodedInsn *insn, uint32_t eip, char *ret_text, size_t n_text);
