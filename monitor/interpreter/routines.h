/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The prototypes of all routines, from insns.def: interpret_<MNEMONIC>_<form><variant>. */
#pragma once

#include "decode.h"

#define ROUTINES_ONE(name)    ExitReason name (Cpu *cpu, const DecodedInsn *insn);
#define ROUTINES_RM(name)     ROUTINES_ONE (name##_r) ROUTINES_ONE (name##_m)
#define ROUTINES_SIZE(name)   ROUTINES_ONE (name##_16) ROUTINES_ONE (name##_32)
#define ROUTINES_RMSIZE(name) ROUTINES_ONE (name##_r16) ROUTINES_ONE (name##_m16) ROUTINES_ONE (name##_r32) ROUTINES_ONE (name##_m32)

#define INSN(map, opcode, group, prefix, mnemonic, form, variants, klass, feature, written, undefined, reason, attributes) \
  ROUTINES_##variants (interpret_##mnemonic##_##form)
#include "insns.def"
#undef INSN
