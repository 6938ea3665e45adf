/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One guest instruction to host instructions.
 *
 * Rules that every lowering keeps:
 *   1. Only rows of class INNOCUOUS are here; whatever is not here is a callout to the interpreter.
 *   2. The guest's EAX … EDI but ESP are in the host registers of the same number, their upper halves zero; ESP is in
 *      R15D.  R12 is the Cpu, R13 the EIP map, R14 and the GS base the window; R8 … R11 are free.
 *   3. Host flags are guest flags: helpers use only MOV, LEA, MOVZX and JRCXZ, which touch none.
 *   4. Until the last host instruction that can fault, nothing of the guest's state has changed, except what running
 *      the instruction again gives again (string instructions keep their progress in the registers, as they should).
 *   5. A linear address is at most 32 bits before the window base is added, or so little beyond that it meets the guard.
 *
 * Memory operands (engine design, F.2): [reg + small] as [r14 + reg + small]; a wrap meets the guard, the fault is
 * interpreted, and a site that does it often is made again with an address of 32 bits: GS and 67h, exact by nature.
 * Segments that are not flat add a base from the Cpu, and a window pointer that points into the guard when the segment
 * cannot be used. */
#include "translator.h"

#include <stddef.h>

typedef enum { KIND_CALLOUT, KIND_MODRM, KIND_PLAIN, KIND_SPECIAL, KIND_NOTHING, KIND_BRANCH } RowKind;

typedef struct
{
  uint8_t  kind;
  uint8_t  immediate;           /* IMMEDIATE_* below */
  bool     reg_gpr, rm_gpr, reg8, rm8, sized, fpu;
  uint8_t  mandatory;
} RowInfo;

enum { IMMEDIATE_NONE, IMMEDIATE_BYTE, IMMEDIATE_FULL };

static RowInfo infos[N_INSN_ROWS];

static bool
is_fpu_row (const InsnRow *row)
{
  if (row->map == 0)
    return (row->opcode >= 0xd8 && row->opcode <= 0xdf) || row->opcode == 0x9b;
  if (row->opcode == 0xae && row->group >= 5)
    return false;                       /* fences, CLFLUSH */
  return (row->feature & (FEATURE_MMX | FEATURE_SSE | FEATURE_SSE2 | FEATURE_FXSR)) != 0 && row->opcode != 0xc3;
}

/* What is special, or left to the interpreter, among the innocuous rows. */
static RowKind
kind_by_opcode (const InsnRow *row, bool has_modrm)
{
  unsigned opcode = row->opcode;

  if (row->klass != INSN_INNOCUOUS)
    return KIND_CALLOUT;
  if (row->map == 0)
    switch (opcode)
      {
      case 0x27: case 0x2f: case 0x37: case 0x3f: case 0xd4: case 0xd5: case 0xd6:   /* not in 64-bit mode */
      case 0x62: case 0x63: case 0xc8:
        return KIND_CALLOUT;
      case 0x40: case 0x48: case 0x50: case 0x58: case 0x60: case 0x61: case 0x68: case 0x6a:
      case 0x8d: case 0x8f: case 0x90: case 0xa0: case 0xa1: case 0xa2: case 0xa3:
      case 0xa4: case 0xa5: case 0xa6: case 0xa7: case 0xaa: case 0xab: case 0xac: case 0xad: case 0xae: case 0xaf:
      case 0xb0: case 0xb8: case 0xc9: case 0xd7:
        return KIND_SPECIAL;
      case 0xc2: case 0xc3: case 0xe0: case 0xe1: case 0xe2: case 0xe3: case 0xe8: case 0xe9: case 0xeb:
        return KIND_BRANCH;
      case 0xff:
        return row->group == 2 || row->group == 4 ? KIND_BRANCH : row->group == 6 ? KIND_SPECIAL
               : row->group <= 1 ? KIND_MODRM : KIND_CALLOUT;
      case 0xd9:
        return !strcmp (row->mnemonic, "FLDENV") || !strcmp (row->mnemonic, "FNSTENV") ? KIND_CALLOUT : KIND_MODRM;
      case 0xdb:
        return row->group == 0xe0 || row->group == 0xe1 || row->group == 0xe4 ? KIND_CALLOUT : KIND_MODRM;
      case 0xdd:
        return !strcmp (row->mnemonic, "FRSTOR") || !strcmp (row->mnemonic, "FNSAVE") ? KIND_CALLOUT : KIND_MODRM;
      default:
        if (opcode >= 0x70 && opcode <= 0x7f)
          return KIND_BRANCH;
        return has_modrm ? KIND_MODRM : KIND_PLAIN;
      }
  switch (opcode)
    {
    case 0x0d: case 0x18: case 0x19: case 0x1a: case 0x1b: case 0x1c: case 0x1d: case 0x1e: case 0x1f:
      return KIND_NOTHING;
    case 0xae:
      return row->group == 3 ? KIND_MODRM : row->group >= 5 && strcmp (row->mnemonic, "CLFLUSH") ? KIND_NOTHING : KIND_CALLOUT;
    case 0xc8: case 0xf7:
      return KIND_SPECIAL;
    default:
      if (opcode >= 0x80 && opcode <= 0x8f)
        return KIND_BRANCH;
      return has_modrm ? KIND_MODRM : KIND_PLAIN;
    }
}

/* The operand letters of the form tell how the bytes lie (SDM vol. 2, appendix A.2). */
void
lower_setup (void)
{
  for (unsigned i = 0; i < N_INSN_ROWS; i++)
    {
      const InsnRow *row = &insn_rows[i];
      RowInfo *info = &infos[i];
      const char *at = row->form;
      bool has_modrm = row->map == 0 && row->opcode >= 0xd8 && row->opcode <= 0xdf;

      memset (info, 0, sizeof *info);
      info->fpu = is_fpu_row (row);
      info->sized = row->variants == VARIANTS_SIZE || row->variants == VARIANTS_RMSIZE;
      info->mandatory = row->prefix == INSN_PREFIX_IS_66 ? 0x66 : row->prefix == INSN_PREFIX_IS_F3 ? 0xf3
                        : row->prefix == INSN_PREFIX_IS_F2 ? 0xf2 : 0;
      for (;;)
        {
          size_t n = strcspn (at, "_");
          char letter = at[0];

          if (!strncmp (at, "STi", 3) || !strncmp (at, "ST", n) || !strncmp (at, "none", n) || !strncmp (at, "eAX", n)
              || !strncmp (at, "AL", n) || !strncmp (at, "CL", n) || !strncmp (at, "nce", n))
            ;
          else if (letter == 'E' && n > 1 && n <= 2)
            {
              has_modrm = info->rm_gpr = true;
              info->rm8 = at[1] == 'b';
            }
          else if (letter == 'R')
            has_modrm = info->rm_gpr = true;
          else if (letter == 'G' && n == 2 && at[1] != 'S')
            {
              has_modrm = info->reg_gpr = true;
              info->reg8 = at[1] == 'b';
            }
          else if (letter == 'M' || letter == 'P' || letter == 'Q' || letter == 'V' || letter == 'W' || letter == 'N'
                   || letter == 'U')
            has_modrm = true;
          else if (letter == 'I' && n == 2)
            info->immediate = at[1] == 'b' ? IMMEDIATE_BYTE : IMMEDIATE_FULL;
          else if (letter == 's' && n == 3)
            info->immediate = at[2] == 'b' ? IMMEDIATE_BYTE : IMMEDIATE_FULL;
          at += n;
          if (!*at)
            break;
          at++;
        }
      if (row->group >= 0 && !(row->map == 0 && row->opcode == 0x90))
        has_modrm = true;
      info->kind = (uint8_t) kind_by_opcode (row, has_modrm);
    }
}

bool
lower_row_is_lowered (unsigned row)
{
  return infos[row].kind != KIND_CALLOUT;
}

bool
lower_is_fpu (const DecodedInsn *insn)
{
  return infos[insn->row].fpu;
}

static int
host_register (unsigned reg)
{
  return reg == REG_ESP ? R15 : (int) reg;
}

static const HostMemory stack_top = { false, false, R14, R15, 0, 0 };

static HostMemory
stack_memory (int32_t displacement)
{
  HostMemory memory = stack_top;

  memory.displacement = displacement;
  return memory;
}

/* lea to, [guest operand] in 32 bits, without window. */
static void
emit_effective_address (Emitter *e, int to, const DecodedInsn *insn, int32_t extra)
{
  HostMemory memory = { false, false, NO_REGISTER, NO_REGISTER, insn->scale, (int32_t) insn->displacement + extra };

  if (insn->base == REG_NONE && insn->index == REG_NONE)
    {
      emit_mov_immediate32 (e, to, (uint32_t) memory.displacement & (insn->address_size == 2 ? 0xffff : UINT32_MAX));
      return;
    }
  if (insn->base != REG_NONE)
    memory.base = host_register (insn->base);
  if (insn->index != REG_NONE)
    memory.index = host_register (insn->index);
  emit_op_memory (e, 0, false, 0x8d, to, &memory);
  if (insn->address_size == 2)
    emit_op_register (e, 0, false, 0x0fb7, to, to);
}

static bool
segment_is_based (const Lower *self, unsigned segment)
{
  return segment == SEG_FS || segment == SEG_GS || (segment == SEG_DS && self->mode & MODE_DS_BASED)
         || (segment == SEG_ES && self->mode & MODE_ES_BASED);
}

static bool
is_load (const DecodedInsn *insn)
{
  if (insn->map == 0)
    return insn->opcode == 0x8a || insn->opcode == 0x8b || insn->opcode == 0xa0 || insn->opcode == 0xa1
           || (insn->opcode == 0xff && insn->reg >= 2);
  return insn->opcode == 0xb6 || insn->opcode == 0xb7 || insn->opcode == 0xbe || insn->opcode == 0xbf;
}

/* The host operand of the guest's memory operand; may emit code that puts an address into R8 and R9.
 * no_rex: a high byte register takes part, so no REX prefix may be needed.  False: cannot be had. */
static bool
memory_operand (Lower *self, const DecodedInsn *insn, bool no_rex, int32_t extra, HostMemory *ret)
{
  Emitter *e = self->e;
  int32_t displacement = (int32_t) insn->displacement + extra;

  /* A code segment can never be written: only plain loads go through it (views have readable CS). */
  if (insn->segment == SEG_CS && !is_load (insn))
    return false;
  if (segment_is_based (self, insn->segment))
    {
      HostMemory sum = { false, false, R8, NO_REGISTER, 0, 0 };

      if (no_rex)
        return false;
      emit_load32 (e, R8, R12, (int32_t) (offsetof (Cpu, segments) + insn->segment * sizeof (Segment) + offsetof (Segment, base)));
      if (insn->address_size == 4 && insn->index == REG_NONE)
        {
          if (insn->base != REG_NONE)
            sum.index = host_register (insn->base);
          sum.displacement = displacement;
        }
      else
        {
          emit_effective_address (e, R9, insn, extra);
          sum.index = R9;
        }
      emit_op_memory (e, 0, false, 0x8d, R8, &sum);
      emit_op_rip (e, true, 0x8b, R9, &self->translator->hot->segment_window[insn->segment], 0);
      *ret = (HostMemory) { false, false, R9, R8, 0, 0 };
      return true;
    }
  if (insn->address_size == 2)
    {
      if (no_rex)
        return false;
      emit_effective_address (e, R8, insn, extra);
      *ret = (HostMemory) { false, false, R14, R8, 0, 0 };
      return true;
    }
  if (no_rex)
    {
      if (insn->base == REG_ESP)
        return false;
    }
  else if (insn->index == REG_NONE && !self->exact_address)
    {
      if (insn->base == REG_NONE && displacement >= 0)
        {
          *ret = (HostMemory) { false, false, R14, NO_REGISTER, 0, displacement };
          return true;
        }
      if (insn->base != REG_NONE && displacement < 1 << 20 && displacement > -(1 << 20))
        {
          *ret = (HostMemory) { false, false, R14, host_register (insn->base), 0, displacement };
          return true;
        }
    }
  *ret = (HostMemory) { true, true, NO_REGISTER, NO_REGISTER, insn->scale, displacement };
  if (insn->base != REG_NONE)
    ret->base = host_register (insn->base);
  if (insn->index != REG_NONE)
    ret->index = host_register (insn->index);
  return true;
}

static void
emit_immediate (Emitter *e, const DecodedInsn *insn, unsigned kind)
{
  if (kind == IMMEDIATE_BYTE)
    emit8 (e, insn->immediate & 0xff);
  else if (kind == IMMEDIATE_FULL)
    {
      emit8 (e, insn->immediate & 0xff);
      emit8 (e, insn->immediate >> 8 & 0xff);
      if (insn->operand_size == 4)
        {
          emit8 (e, insn->immediate >> 16 & 0xff);
          emit8 (e, insn->immediate >> 24);
        }
    }
}

static bool
lower_modrm (Lower *self, const DecodedInsn *insn)
{
  const InsnRow *row = &insn_rows[insn->row];
  const RowInfo *info = &infos[insn->row];
  Emitter *e = self->e;
  unsigned opcode = insn->map ? 0x0f00u | insn->opcode : insn->opcode;
  bool high = (info->reg8 && insn->reg >= 4) || (info->rm8 && !insn->is_memory && insn->rm >= 4);
  int reg = insn->reg, rm = insn->rm;
  uint32_t prefixes = 0;
  HostMemory memory;

  if (row->group < 0 && info->reg_gpr && !info->reg8)
    reg = host_register (insn->reg);
  if (info->rm_gpr && !info->rm8)
    rm = host_register (insn->rm);
  if (high && (reg >= 8 || (!insn->is_memory && rm >= 8)))
    return false;
  /* Aliases that 64-bit mode lacks, or that deserve their plain form. */
  if (insn->map == 0)
    {
      if (opcode == 0x82)
        opcode = 0x80;
      if ((opcode == 0xf6 || opcode == 0xf7) && reg == 1)
        reg = 0;
      if ((opcode == 0xc0 || opcode == 0xc1 || (opcode >= 0xd0 && opcode <= 0xd3)) && reg == 6)
        reg = 4;
      if (self->translator->broken == TRANSLATOR_BREAK_SUB && (opcode == 0x1b || opcode == 0x19))
        opcode -= 8;
    }
  if (info->mandatory)
    prefixes = info->mandatory;
  else if (info->sized && insn->operand_size == 2)
    prefixes = 0x66;
  if (insn->prefixes & INSN_PREFIX_LOCK)
    prefixes = prefixes << 8 | 0xf0;
  if (insn->is_memory)
    {
      if (!memory_operand (self, insn, high, 0, &memory))
        return false;
      if (self->translator->broken == TRANSLATOR_BREAK_STORE && opcode == 0x89 && insn->displacement == 0x7c)
        memory.displacement += 4;
      emit_op_memory (e, prefixes, false, opcode, reg, &memory);
    }
  else
    emit_op_register (e, prefixes, false, opcode, reg, rm);
  emit_immediate (e, insn, info->immediate);
  return true;
}

static void
emit_push_register (Lower *self, int from, unsigned size)
{
  HostMemory below = stack_memory (-(int32_t) size);

  emit_op_memory (self->e, size == 2 ? 0x66 : 0, false, 0x89, from, &below);
  emit_lea32 (self->e, R15, R15, -(int32_t) size);
}

static void
emit_push_immediate (Lower *self, uint32_t value, unsigned size)
{
  HostMemory below = stack_memory (-(int32_t) size);

  emit_op_memory (self->e, size == 2 ? 0x66 : 0, false, 0xc7, 0, &below);
  emit8 (self->e, value & 0xff);
  emit8 (self->e, value >> 8 & 0xff);
  if (size == 4)
    {
      emit8 (self->e, value >> 16 & 0xff);
      emit8 (self->e, value >> 24);
    }
  emit_lea32 (self->e, R15, R15, -(int32_t) size);
}

static bool
lower_string (Lower *self, const DecodedInsn *insn, uint32_t *ret_rep_host)
{
  Emitter *e = self->e;
  unsigned opcode = insn->opcode & 0xfe;
  bool source = opcode == 0xa4 || opcode == 0xa6 || opcode == 0xac, destination = opcode != 0xac;
  bool repeat = insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE);
  HostMemory memory = { false, false, R14, NO_REGISTER, 0, 0 };

  if (insn->address_size != 4 || (source && (insn->segment == SEG_CS || segment_is_based (self, insn->segment)))
      || (destination && self->mode & MODE_ES_BASED) || (repeat && self->translator->counted))
    return false;
  if (source)
    {
      memory.index = RSI;
      emit_op_memory (e, 0, true, 0x8d, RSI, &memory);
    }
  if (destination)
    {
      memory.index = RDI;
      emit_op_memory (e, 0, true, 0x8d, RDI, &memory);
    }
  if (repeat)
    *ret_rep_host = (uint32_t) (e->address - self->translator->code);
  if (infos[insn->row].sized && insn->operand_size == 2)
    emit8 (e, 0x66);
  if (repeat)
    emit8 (e, insn->prefixes & INSN_PREFIX_REP ? 0xf3 : 0xf2);
  emit8 (e, insn->opcode);
  if (source)
    emit_mov32 (e, RSI, RSI);
  if (destination)
    emit_mov32 (e, RDI, RDI);
  return true;
}

/* to = the 32-bit register or memory operand. */
bool
lower_load_rm32 (Lower *self, const DecodedInsn *insn, int to)
{
  HostMemory memory;

  if (!insn->is_memory)
    {
      emit_mov32 (self->e, to, host_register (insn->rm));
      return true;
    }
  if (!memory_operand (self, insn, false, 0, &memory))
    return false;
  emit_op_memory (self->e, 0, false, 0x8b, to, &memory);
  return true;
}

static bool
lower_special (Lower *self, const DecodedInsn *insn, uint32_t *ret_rep_host)
{
  Emitter *e = self->e;
  unsigned size = insn->operand_size;
  uint32_t prefix = size == 2 ? 0x66 : 0;
  HostMemory memory;

  if (insn->map == 1)
    {
      if (insn->opcode == 0xf7)         /* MASKMOVQ, MASKMOVDQU: [EDI] */
        {
          if (insn->segment == SEG_CS || segment_is_based (self, insn->segment) || insn->address_size != 4)
            return false;
          memory = (HostMemory) { false, false, R14, RDI, 0, 0 };
          emit_op_memory (e, 0, true, 0x8d, RDI, &memory);
          emit_op_register (e, infos[insn->row].mandatory, false, 0x0ff7, insn->reg, insn->rm);
          emit_mov32 (e, RDI, RDI);
          return true;
        }
      if (size != 4)                    /* BSWAP r16 is undefined: the interpreter's answer counts */
        return false;
      if (insn->reg == REG_ESP)
        emit8 (e, 0x41);
      emit8 (e, 0x0f);
      emit8 (e, 0xc8 | ((unsigned) host_register (insn->reg) & 7));
      return true;
    }
  switch (insn->opcode)
    {
    case 0x40: case 0x41: case 0x42: case 0x43: case 0x44: case 0x45: case 0x46: case 0x47:
      emit_op_register (e, prefix, false, 0xff, 0, host_register (insn->reg));
      return true;
    case 0x48: case 0x49: case 0x4a: case 0x4b: case 0x4c: case 0x4d: case 0x4e: case 0x4f:
      emit_op_register (e, prefix, false, 0xff, 1, host_register (insn->reg));
      return true;
    case 0x50: case 0x51: case 0x52: case 0x53: case 0x54: case 0x55: case 0x56: case 0x57:
      emit_push_register (self, host_register (insn->reg), size);
      return true;
    case 0x58: case 0x59: case 0x5a: case 0x5b: case 0x5c: case 0x5d: case 0x5e: case 0x5f:
      memory = stack_memory (0);
      if (insn->reg == REG_ESP)
        {
          if (size == 2)
            return false;
          emit_op_memory (e, 0, false, 0x8b, R15, &memory);
          return true;
        }
      emit_op_memory (e, prefix, false, 0x8b, insn->reg, &memory);
      emit_lea32 (e, R15, R15, (int32_t) size);
      return true;
    case 0x60:
      if (size != 4)
        return false;
      for (int i = 0; i < 8; i++)
        {
          memory = stack_memory (-4 * (i + 1));
          emit_op_memory (e, 0, false, 0x89, host_register ((unsigned) i), &memory);
        }
      emit_lea32 (e, R15, R15, -32);
      return true;
    case 0x61:
      if (size != 4)
        return false;
      /* Both ends first: the eight loads behind them cannot fault. */
      memory = stack_memory (28);
      emit_op_memory (e, 0, false, 0x8b, R8, &memory);
      for (int i = 7; i >= 0; i--)
        if (i != REG_ESP)
          {
            memory = stack_memory (28 - 4 * i);
            emit_op_memory (e, 0, false, 0x8b, i, &memory);
          }
      emit_lea32 (e, R15, R15, 32);
      return true;
    case 0x68: case 0x6a:
      emit_push_immediate (self, insn->immediate, size);
      return true;
    case 0x8d:
      if (insn->address_size == 2)
        {
          emit_effective_address (e, R8, insn, 0);
          emit_op_register (e, prefix, false, 0x8b, host_register (insn->reg), R8);
          return true;
        }
      if (size == 2)
        {
          emit_effective_address (e, R8, insn, 0);
          emit_op_register (e, prefix, false, 0x8b, host_register (insn->reg), R8);
        }
      else
        emit_effective_address (e, host_register (insn->reg), insn, 0);
      return true;
    case 0x8f:
      if (!insn->is_memory)
        {
          if (insn->rm == REG_ESP)
            return false;
          memory = stack_memory (0);
          emit_op_memory (e, prefix, false, 0x8b, insn->rm, &memory);
          emit_lea32 (e, R15, R15, (int32_t) size);
          return true;
        }
      /* The address is computed with ESP already raised. */
      if (!memory_operand (self, insn, false, insn->base == REG_ESP ? (int32_t) size : 0, &memory))
        return false;
      {
        HostMemory top = stack_memory (0);

        emit_op_memory (e, 0, false, size == 2 ? 0x0fb7 : 0x8b, R10, &top);
      }
      emit_op_memory (e, prefix, false, 0x89, R10, &memory);
      emit_lea32 (e, R15, R15, (int32_t) size);
      return true;
    case 0x90: case 0x91: case 0x92: case 0x93: case 0x94: case 0x95: case 0x96: case 0x97:
      if (insn->opcode == 0x90)
        {
          if (insn->prefixes & INSN_PREFIX_REP)
            emit8 (e, 0xf3);
          emit8 (e, 0x90);
          return true;
        }
      emit_op_register (e, prefix, false, 0x87, RAX, host_register (insn->reg));
      return true;
    case 0xa0: case 0xa1: case 0xa2: case 0xa3:
      if (!memory_operand (self, insn, false, 0, &memory))
        return false;
      emit_op_memory (e, insn->opcode & 1 ? prefix : 0, false,
                      insn->opcode == 0xa0 ? 0x8a : insn->opcode == 0xa1 ? 0x8b : insn->opcode == 0xa2 ? 0x88 : 0x89, RAX, &memory);
      return true;
    case 0xa4: case 0xa5: case 0xa6: case 0xa7: case 0xaa: case 0xab: case 0xac: case 0xad: case 0xae: case 0xaf:
      return lower_string (self, insn, ret_rep_host);
    case 0xb0: case 0xb1: case 0xb2: case 0xb3: case 0xb4: case 0xb5: case 0xb6: case 0xb7:
      emit8 (e, insn->opcode);
      emit8 (e, insn->immediate & 0xff);
      return true;
    case 0xb8: case 0xb9: case 0xba: case 0xbb: case 0xbc: case 0xbd: case 0xbe: case 0xbf:
      if (size == 2)
        {
          emit_op_register (e, 0x66, false, 0xc7, 0, host_register (insn->reg));
          emit8 (e, insn->immediate & 0xff);
          emit8 (e, insn->immediate >> 8 & 0xff);
        }
      else
        emit_mov_immediate32 (e, host_register (insn->reg), insn->immediate);
      return true;
    case 0xc9:
      if (size != 4)
        return false;
      memory = (HostMemory) { false, false, R14, RBP, 0, 0 };
      emit_op_memory (e, 0, false, 0x8b, R8, &memory);
      emit_lea32 (e, R15, RBP, 4);
      emit_mov32 (e, RBP, R8);
      return true;
    case 0xd7:
      if (insn->address_size != 4 || insn->segment == SEG_CS || segment_is_based (self, insn->segment))
        return false;
      emit_op_register (e, 0, false, 0x0fb6, R8, RAX);
      memory = (HostMemory) { false, false, RBX, R8, 0, 0 };
      emit_op_memory (e, 0, false, 0x8d, R8, &memory);
      memory = (HostMemory) { false, false, R14, R8, 0, 0 };
      emit_op_memory (e, 0, false, 0x8a, RAX, &memory);
      return true;
    case 0xff:                          /* PUSH Ev */
      if (!insn->is_memory)
        {
          emit_push_register (self, host_register (insn->rm), size);
          return true;
        }
      if (!memory_operand (self, insn, false, 0, &memory))
        return false;
      emit_op_memory (e, 0, false, size == 2 ? 0x0fb7 : 0x8b, R10, &memory);
      emit_push_register (self, R10, size);
      return true;
    default:
      return false;
    }
}

bool
lower_insn (Lower *self, const DecodedInsn *insn, uint32_t *ret_rep_host)
{
  const RowInfo *info = &infos[insn->row];
  Emitter before = *self->e;
  bool done = false;

  *ret_rep_host = 0;
  switch ((RowKind) info->kind)
    {
    case KIND_MODRM:
      done = lower_modrm (self, insn);
      break;
    case KIND_PLAIN:
      if (info->sized && insn->operand_size == 2)
        emit8 (self->e, 0x66);
      if (insn->map)
        emit8 (self->e, 0x0f);
      emit8 (self->e, insn->opcode);
      if (insn->map == 0 && (insn->opcode & 0xfe) == 0xfc)
        {
          emit_op_rip (self->e, false, 0xc7, 0, &self->translator->hot->direction, 4);
          emit32 (self->e, insn->opcode & 1 ? EFLAGS_DF : 0);
        }
      if (self->translator->broken == TRANSLATOR_BREAK_FLAGS && insn->opcode == 0xf5)
        self->e->at[-1] = 0xf9;
      emit_immediate (self->e, insn, info->immediate);
      done = true;
      break;
    case KIND_SPECIAL:
      done = lower_special (self, insn, ret_rep_host);
      break;
    case KIND_NOTHING:
      done = true;
      break;
    case KIND_CALLOUT:
    case KIND_BRANCH:
      break;
    }
  if (!done)
    *self->e = before;
  return done;
}

/* Whether this instruction decides that all arithmetic flags before it are dead: it writes them all, reads none, and
 * cannot fault.  *ret_decided false: look at the next one. */
bool
lower_flags_dead (const DecodedInsn *insn, bool *ret_decided)
{
  const InsnRow *row = &insn_rows[insn->row];

  *ret_decided = true;
  if (insn->is_memory || insn->map || row->klass != INSN_INNOCUOUS)
    return false;
  switch (insn->opcode)
    {
    case 0x88: case 0x89: case 0x8a: case 0x8b: case 0x8d:
      *ret_decided = false;
      return false;
    case 0x80: case 0x81: case 0x82: case 0x83:
      return insn->reg != 2 && insn->reg != 3;
    case 0x84: case 0x85: case 0xa8: case 0xa9:
      return true;
    default:
      if (insn->opcode >= 0xb0 && insn->opcode <= 0xbf)
        {
          *ret_decided = false;
          return false;
        }
      if (insn->opcode < 0x40 && (insn->opcode & 7) < 6)
        return (insn->opcode & 0x38) != 0x10 && (insn->opcode & 0x38) != 0x18;
      return false;
    }
}

/* Neither stack nor memory, and no flag is read: what undefined flags may pass over unseen. */
bool
lower_flags_simple (const DecodedInsn *insn)
{
  const InsnRow *row = &insn_rows[insn->row];

  if (insn->is_memory || row->klass != INSN_INNOCUOUS)
    return false;
  if (insn->map)
    return insn->opcode == 0xb6 || insn->opcode == 0xb7 || insn->opcode == 0xbe || insn->opcode == 0xbf || insn->opcode == 0xaf;
  if (insn->opcode < 0x40)
    return (insn->opcode & 7) < 6 && (insn->opcode & 0x38) != 0x10 && (insn->opcode & 0x38) != 0x18;
  if (insn->opcode >= 0x80 && insn->opcode <= 0x83)
    return insn->reg != 2 && insn->reg != 3;
  return (insn->opcode >= 0x84 && insn->opcode <= 0x8b) || insn->opcode == 0x8d || insn->opcode == 0xa8 || insn->opcode == 0xa9
         || (insn->opcode >= 0xb0 && insn->opcode <= 0xbf) || (insn->opcode >= 0x40 && insn->opcode <= 0x4f);
}

/* AND, OR, XOR, TEST: the processors of today and the interpreter agree on AF. */
bool
lower_flags_logic (const DecodedInsn *insn)
{
  unsigned opcode = insn->opcode;

  if (insn->map)
    return false;
  return opcode < 0x40 || (opcode >= 0x80 && opcode <= 0x85) || opcode == 0xa8 || opcode == 0xa9
         || ((opcode == 0xf6 || opcode == 0xf7) && insn->reg < 2);
}
