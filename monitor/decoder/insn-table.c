/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "insn-table.h"

const InsnRow insn_rows[N_INSN_ROWS] = {
#define INSN(map, opcode, group, prefix, mnemonic, form, variants, klass, feature, written, undefined, reason, attributes) \
  { map, opcode, group, INSN_PREFIX_IS_##prefix, INSN_##klass, VARIANTS_##variants, REASON_##reason, FEATURE_##feature, \
    INSN_FLAGS_##written, INSN_FLAGS_##undefined, INSN_ATTRIBUTES_##attributes, INSN_##mnemonic, #mnemonic, #form },
#include "insns.def"
#undef INSN
};
