/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes to instructions, by the tables that generate-tables.c makes of insns.def.
 *
 * Order of the checks: prefixes, opcode, row (mandatory prefix, group, memory or register, feature), address bytes,
 * immediate, LOCK.  Running out of bytes is -EAGAIN until fifteen have been seen, then -E2BIG. */
#include "decode.h"

#include "decode-layout.h"
#include "insn-table.h"

#include <errno.h>
#include <string.h>

#include "decode-tables.inc"

enum { MAX_LENGTH = 15 };

typedef struct
{
  const uint8_t *bytes;
  size_t         n, at;
} Reader;

static inline int
need (const Reader *reader, size_t n)
{
  if (reader->at + n > MAX_LENGTH)
    return -E2BIG;
  return reader->at + n > reader->n ? -EAGAIN : 0;
}

static inline uint32_t
take (Reader *reader, unsigned n)
{
  uint32_t value = 0;

  memcpy (&value, reader->bytes + reader->at, n);
  reader->at += n;
  return value;
}

/* Memory operand of ModRM (SDM vol. 2, 2.1.5).  16-bit forms become base and index like the others. */
static int
decode_address (Reader *reader, DecodedInsn *insn, unsigned override)
{
  static const uint8_t base16[8] = { REG_EBX, REG_EBX, REG_EBP, REG_EBP, REG_ESI, REG_EDI, REG_EBP, REG_EBX };
  static const uint8_t index16[8] = { REG_ESI, REG_EDI, REG_ESI, REG_EDI, REG_NONE, REG_NONE, REG_NONE, REG_NONE };
  unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7, n_displacement = 0;
  int error;

  insn->is_memory = true;
  if (insn->address_size == 2)
    {
      insn->base = base16[rm];
      insn->index = index16[rm];
      if (mod == 0 && rm == 6)
        {
          insn->base = REG_NONE;
          n_displacement = 2;
        }
      else
        n_displacement = mod;
    }
  else
    {
      insn->base = (uint8_t) rm;
      if (rm == 4)
        {
          uint8_t sib;

          if ((error = need (reader, 1)))
            return error;
          sib = (uint8_t) take (reader, 1);
          insn->base = sib & 7;
          insn->scale = sib >> 6;
          insn->index = (sib >> 3 & 7) == REG_ESP ? REG_NONE : sib >> 3 & 7;
        }
      if (mod == 0 && insn->base == REG_EBP)
        {
          insn->base = REG_NONE;
          n_displacement = 4;
        }
      else if (mod)
        n_displacement = mod == 1 ? 1 : 4;
    }
  if (n_displacement)
    {
      uint32_t value;

      if ((error = need (reader, n_displacement)))
        return error;
      value = take (reader, n_displacement);
      insn->displacement = n_displacement == 1 ? (uint32_t) (int8_t) value
                           : n_displacement == 2 ? (uint32_t) (int16_t) value : value;
    }
  if (override == SEG_NONE)
    insn->segment = insn->base == REG_EBP || (insn->base == REG_ESP && insn->address_size == 4) ? SEG_SS : SEG_DS;
  return 0;
}

static int
decode_immediate (Reader *reader, DecodedInsn *insn, unsigned kind, unsigned z)
{
  static const uint8_t fixed[] = { 0, 1, 1, 2, 0, 0, 0, 3 };
  unsigned n = fixed[kind];
  int error;

  if (kind == IMMEDIATE_Z || kind == IMMEDIATE_SZ)
    n = z;
  else if (kind == IMMEDIATE_FAR)
    n = z + 2;
  if (!n)
    return 0;
  if ((error = need (reader, n)))
    return error;
  switch (kind)
    {
    case IMMEDIATE_SBYTE:
      insn->immediate = (uint32_t) (int8_t) take (reader, 1);
      break;
    case IMMEDIATE_SZ:
      insn->immediate = take (reader, z);
      if (z == 2)
        insn->immediate = (uint32_t) (int16_t) insn->immediate;
      break;
    case IMMEDIATE_FAR:
      insn->immediate = take (reader, z);
      insn->immediate2 = (uint16_t) take (reader, 2);
      break;
    case IMMEDIATE_ENTER:
      insn->immediate = take (reader, 2);
      insn->immediate2 = (uint16_t) take (reader, 1);
      break;
    default:
      insn->immediate = take (reader, n);
    }
  return 0;
}

/* The row for this opcode, or NULL.  ModRM has been peeked at (modrm < 0: no byte left). */
static int
find_row (const OpcodeEntry *entry, unsigned mandatory, int modrm)
{
  for (unsigned i = 0; i < entry->count; i++)
    {
      unsigned number = candidates[entry->first + i];
      const InsnRow *row = &insn_rows[number];
      const RowLayout *layout = &row_layouts[number];

      if (row->prefix != INSN_PREFIX_IS_ANY && row->prefix != mandatory)
        continue;
      if (layout->flags & LAYOUT_MODRM)
        {
          if (modrm < 0)
            return -EAGAIN;
          if (row->group >= 0xc0 ? modrm != row->group : row->group >= 0 && (modrm >> 3 & 7) != row->group)
            continue;
          if ((layout->flags & LAYOUT_MEMORY && modrm >= 0xc0) || (layout->flags & LAYOUT_REGISTER && modrm < 0xc0))
            continue;
        }
      return (int) number;
    }
  return -EILSEQ;
}

int
insn_decode (const uint8_t *bytes, size_t n_bytes, unsigned mode, uint32_t features, DecodedInsn *ret_insn)
{
  Reader reader = { bytes, n_bytes, 0 };
  unsigned override = SEG_NONE, prefixes = 0, map = 0, opcode, mandatory = 0, last_repeat = 0;
  const RowLayout *layout;
  const InsnRow *row;
  int number, error;
  DecodedInsn insn;

  for (;;)
    {
      if ((error = need (&reader, 1)))
        return error;
      opcode = take (&reader, 1);
      switch (opcode)
        {
        case 0x26: case 0x2e: case 0x36: case 0x3e:
          override = opcode >> 3 & 3;
          prefixes |= INSN_PREFIX_SEGMENT;
          continue;
        case 0x64: case 0x65:
          override = SEG_FS + (opcode & 1);
          prefixes |= INSN_PREFIX_SEGMENT;
          continue;
        case 0x66:
          prefixes |= INSN_PREFIX_66;
          continue;
        case 0x67:
          prefixes |= INSN_PREFIX_67;
          continue;
        case 0xf0:
          prefixes |= INSN_PREFIX_LOCK;
          continue;
        case 0xf2:
          prefixes = (prefixes & ~(unsigned) INSN_PREFIX_REP) | INSN_PREFIX_REPNE;
          last_repeat = INSN_PREFIX_IS_F2;
          continue;
        case 0xf3:
          prefixes = (prefixes & ~(unsigned) INSN_PREFIX_REPNE) | INSN_PREFIX_REP;
          last_repeat = INSN_PREFIX_IS_F3;
          continue;
        default:
          break;
        }
      break;
    }
  if (opcode == 0x0f)
    {
      if ((error = need (&reader, 1)))
        return error;
      opcode = take (&reader, 1);
      map = 1;
    }
  mandatory = last_repeat ? last_repeat : prefixes & INSN_PREFIX_66 ? INSN_PREFIX_IS_66 : INSN_PREFIX_IS_NONE;
  error = need (&reader, 1);
  number = find_row (&opcode_entries[map][opcode], mandatory, error ? -1 : bytes[reader.at]);
  if (number < 0)
    return number == -EAGAIN ? error : number;
  row = &insn_rows[number];
  layout = &row_layouts[number];
  if (row->feature & ~features)
    return -EILSEQ;

  memset (&insn, 0, sizeof insn);
  insn.row = (uint16_t) number;
  insn.id = row->id;
  insn.prefixes = (uint8_t) prefixes;
  insn.map = (uint8_t) map;
  insn.opcode = (uint8_t) opcode;
  insn.address_size = (mode & DECODE_CODE32 ? 1 : 0) ^ (prefixes & INSN_PREFIX_67 ? 1 : 0) ? 4 : 2;

  unsigned z = (mode & DECODE_CODE32 ? 1 : 0) ^ (prefixes & INSN_PREFIX_66 ? 1 : 0) ? 4 : 2;

  insn.operand_size = layout->size == SIZE_V ? (uint8_t) z : layout->size;
  insn.base = insn.index = REG_NONE;
  insn.segment = override == SEG_NONE ? SEG_DS : (uint8_t) override;
  if (layout->flags & LAYOUT_OPCODE_REG)
    insn.reg = opcode & 7;
  if (layout->flags & LAYOUT_MODRM)
    {
      insn.modrm = (uint8_t) take (&reader, 1);
      insn.reg = insn.modrm >> 3 & 7;
      if (insn.modrm >= 0xc0 || layout->flags & (LAYOUT_CONTROL | LAYOUT_DEBUG))
        insn.rm = insn.modrm & 7;
      else if ((error = decode_address (&reader, &insn, override)))
        return error;
      /* There is no segment register 6 or 7, CS is not loaded by MOV, and control registers 1, 5, 6, 7 do not exist. */
      if ((layout->flags & (LAYOUT_SREG | LAYOUT_SREG_TO) && insn.reg >= N_SEGMENTS)
          || (layout->flags & LAYOUT_SREG_TO && insn.reg == SEG_CS)
          || (layout->flags & LAYOUT_CONTROL && !(0x1d & 1 << insn.reg)))
        return -EILSEQ;
    }
  if (layout->flags & LAYOUT_MOFFS)
    {
      if ((error = need (&reader, insn.address_size)))
        return error;
      insn.displacement = take (&reader, insn.address_size);
      insn.is_memory = true;
    }
  if (layout->immediate && (error = decode_immediate (&reader, &insn, layout->immediate, z)))
    return error;
  if (prefixes & INSN_PREFIX_LOCK && !(row->attributes & INSN_ATTRIBUTES_LOCK && insn.is_memory))
    return -EILSEQ;
  insn.length = (uint8_t) reader.at;
  *ret_insn = insn;
  return 0;
}
