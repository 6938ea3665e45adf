/* SPDX-License-Identifier: GPL-3.0-or-later */
/* insns.def as data: what decoder, interpreter, translator, disassembler and tests ask about a row. */
#pragma once

#include "cpu.h"
#include "insn-ids.h"           /* generated: InsnId, INSN_<MNEMONIC> */
#include "reasons.h"

typedef enum { INSN_INNOCUOUS, INSN_BEHAVIOUR, INSN_CONTROL, INSN_IO } InsnClass;
typedef enum { INSN_PREFIX_IS_ANY, INSN_PREFIX_IS_NONE, INSN_PREFIX_IS_66, INSN_PREFIX_IS_F3, INSN_PREFIX_IS_F2 } InsnPrefix;
typedef enum { VARIANTS_ONE, VARIANTS_RM, VARIANTS_SIZE, VARIANTS_RMSIZE } InsnVariants;

enum
{
  INSN_ATTRIBUTES_NONE = 0, INSN_ATTRIBUTES_LOCK = 1, INSN_ATTRIBUTES_REP = 2, INSN_ATTRIBUTES_REPZ = 4 | 2,
  INSN_ATTRIBUTES_END = 8, INSN_ATTRIBUTES_REP_END = 8 | 2,
};

/* Flags by their EFLAGS bits. */
enum
{
  INSN_FLAGS_NONE = 0, INSN_FLAGS_C = EFLAGS_CF, INSN_FLAGS_Z = EFLAGS_ZF, INSN_FLAGS_A = EFLAGS_AF, INSN_FLAGS_O = EFLAGS_OF,
  INSN_FLAGS_OC = EFLAGS_OF | EFLAGS_CF, INSN_FLAGS_OA = EFLAGS_OF | EFLAGS_AF, INSN_FLAGS_OAC = INSN_FLAGS_OA | EFLAGS_CF,
  INSN_FLAGS_SZAP = EFLAGS_SF | EFLAGS_ZF | EFLAGS_AF | EFLAGS_PF, INSN_FLAGS_SZAPC = INSN_FLAGS_SZAP | EFLAGS_CF,
  INSN_FLAGS_OSAP = EFLAGS_OF | EFLAGS_SF | EFLAGS_AF | EFLAGS_PF, INSN_FLAGS_OSAPC = INSN_FLAGS_OSAP | EFLAGS_CF,
  INSN_FLAGS_OSZP = EFLAGS_OF | EFLAGS_SF | EFLAGS_ZF | EFLAGS_PF, INSN_FLAGS_OSZAP = INSN_FLAGS_OSZP | EFLAGS_AF,
  INSN_FLAGS_OSZAPC = EFLAGS_ARITHMETIC, INSN_FLAGS_ALL = 0x3f7fd5,
};

typedef struct
{
  uint8_t     map, opcode;
  int16_t     group;
  uint8_t     prefix;           /* InsnPrefix */
  uint8_t     klass;            /* InsnClass */
  uint8_t     variants;         /* InsnVariants */
  uint8_t     reason;           /* Reason */
  uint32_t    feature;          /* FEATURE_* */
  uint32_t    written, undefined;       /* EFLAGS_* */
  uint16_t    attributes;       /* INSN_ATTRIBUTES_* */
  uint16_t    id;               /* InsnId */
  const char *mnemonic;         /* "ADD" */
  const char *form;             /* "Ev_Gv" */
} InsnRow;

enum
{
#define INSN(map, opcode, group, prefix, mnemonic, form, variants, klass, feature, written, undefined, reason, attributes) + 1
  N_INSN_ROWS = 0
#include "insns.def"
#undef INSN
};

extern const InsnRow insn_rows[N_INSN_ROWS];
