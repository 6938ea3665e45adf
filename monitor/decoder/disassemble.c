/* SPDX-License-Identifier: GPL-3.0-or-later */
/* DecodedInsn to text in Intel syntax.  The operands come from the row's form, letter by letter. */
#include "decode.h"

#include "insn-table.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct
{
  char  *text;
  size_t n, at;
} Writer;

__attribute__ ((format (printf, 2, 3))) static void
put (Writer *writer, const char *format, ...)
{
  va_list arguments;
  int n;

  if (writer->at >= writer->n)
    return;
  va_start (arguments, format);
  n = vsnprintf (writer->text + writer->at, writer->n - writer->at, format, arguments);
  va_end (arguments);
  if (n > 0)
    writer->at += (size_t) n;
}

static const char *const registers[3][8] = {
  { "al", "cl", "dl", "bl", "ah", "ch", "dh", "bh" },
  { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" },
  { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" },
};
static const char *const segment_names[8] = { "es", "cs", "ss", "ds", "fs", "gs", "?", "?" };

static const char *
register_name (unsigned size, unsigned number)
{
  return registers[size == 1 ? 0 : size == 2 ? 1 : 2][number & 7];
}

static unsigned
operand_bytes (const DecodedInsn *insn, const char *suffix)
{
  switch (suffix[0])
    {
    case 'b': return 1;
    case 'w': return 2;
    case 'd': return suffix[1] == 'q' ? 16 : 4;
    case 'q': return 8;
    case 't': return 10;
    case 'p': return suffix[1] ? 16 : insn->operand_size + 2u;
    case 's': return suffix[1] == 's' ? 4 : suffix[1] == 'd' ? 8 : 6;
    case 'a': return insn->operand_size * 2u;
    default: return insn->operand_size;
    }
}

static void
put_memory (Writer *writer, const DecodedInsn *insn, unsigned size)
{
  static const char *const sizes[17] = { [1] = "byte ", [2] = "word ", [4] = "dword ", [6] = "fword ", [8] = "qword ", [10] = "tword ",
                                         [16] = "oword " };
  unsigned plain = insn->base == REG_EBP || insn->base == REG_ESP ? SEG_SS : SEG_DS;
  int32_t displacement = (int32_t) insn->displacement;
  const char *plus = "";

  put (writer, "%s", size <= 16 && sizes[size] ? sizes[size] : "");
  put (writer, "[");
  if (insn->segment != plain)
    put (writer, "%s:", segment_names[insn->segment & 7]);
  if (insn->base != REG_NONE)
    {
      put (writer, "%s", register_name (insn->address_size, insn->base));
      plus = "+";
    }
  if (insn->index != REG_NONE)
    {
      put (writer, "%s%s", plus, register_name (insn->address_size, insn->index));
      if (insn->scale)
        put (writer, "*%u", 1u << insn->scale);
      plus = "+";
    }
  if (!*plus)
    put (writer, "0x%x", insn->address_size == 2 ? insn->displacement & 0xffff : insn->displacement);
  else if (displacement < 0)
    put (writer, "-0x%x", -(uint32_t) displacement);
  else if (displacement)
    put (writer, "+0x%x", (uint32_t) displacement);
  put (writer, "]");
}

static void
put_operand (Writer *writer, const DecodedInsn *insn, uint32_t eip, const char *token)
{
  unsigned size = operand_bytes (insn, token + 1);

  if (!strcmp (token, "AL") || !strcmp (token, "CL") || !strcmp (token, "DX") || !strcmp (token, "AX") || !strcmp (token, "1")
      || !strcmp (token, "CS") || !strcmp (token, "DS") || !strcmp (token, "ES") || !strcmp (token, "SS") || !strcmp (token, "FS")
      || !strcmp (token, "GS"))
    for (const char *p = token; *p; p++)
      put (writer, "%c", tolower (*p));
  else if (!strcmp (token, "eAX"))
    put (writer, "%s", register_name (insn->operand_size, REG_EAX));
  else if (!strcmp (token, "ST"))
    put (writer, "st0");
  else if (!strcmp (token, "STi"))
    put (writer, "st%u", insn->rm);
  else
    switch (token[0])
      {
      case 'E': case 'M': case 'Q': case 'W': case 'N': case 'U': case 'R': case 'O':
        if (insn->is_memory)
          put_memory (writer, insn, token[1] ? size : 0);
        else if (token[0] == 'Q' || token[0] == 'N')
          put (writer, "mm%u", insn->rm);
        else if (token[0] == 'W' || token[0] == 'U')
          put (writer, "xmm%u", insn->rm);
        else
          put (writer, "%s", register_name (size, insn->rm));
        break;
      case 'G': case 'Z': put (writer, "%s", register_name (size, insn->reg)); break;
      case 'P': put (writer, "mm%u", insn->reg); break;
      case 'V': put (writer, "xmm%u", insn->reg); break;
      case 'S': put (writer, "%s", segment_names[insn->reg & 7]); break;
      case 'C': put (writer, "cr%u", insn->reg); break;
      case 'D': put (writer, "dr%u", insn->reg); break;
      case 'A': put (writer, "0x%x:0x%x", insn->immediate2, insn->immediate); break;
      case 'J':
        {
          uint32_t target = eip + insn->length + insn->immediate;

          put (writer, "0x%x", insn->operand_size == 2 ? target & 0xffff : target);
          break;
        }
      case 's':
        put (writer, "0x%x", insn->operand_size == 2 ? insn->immediate & 0xffff : insn->immediate);
        break;
      case 'I':
        put (writer, "0x%x", insn->id == INSN_ENTER && token[1] == 'b' ? insn->immediate2 : insn->immediate);
        break;
      case 'X':
        put (writer, "[%s:%s]", segment_names[insn->segment & 7], register_name (insn->address_size, REG_ESI));
        break;
      case 'Y':
        put (writer, "[es:%s]", register_name (insn->address_size, REG_EDI));
        break;
      default:
        break;
      }
}

void
insn_disassemble (const DecodedInsn *insn, uint32_t eip, char *ret_text, size_t n_text)
{
  Writer writer = { ret_text, n_text, 0 };
  const InsnRow *row = &insn_rows[insn->row < N_INSN_ROWS ? insn->row : 0];
  const char *separator = " ";

  if (!n_text)
    return;
  ret_text[0] = 0;
  if (insn->prefixes & INSN_PREFIX_LOCK)
    put (&writer, "lock ");
  if (row->attributes & INSN_ATTRIBUTES_REP && insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE))
    put (&writer, insn->prefixes & INSN_PREFIX_REPNE ? "repne " : "rep ");
  if (row->id == INSN_XCHG && insn->map == 0 && insn->opcode == 0x90)
    {
      put (&writer, "nop");
      return;
    }
  for (const char *p = row->mnemonic; *p; p++)
    put (&writer, "%c", tolower (*p));
  if (!strcmp (row->form, "none") || !strcmp (row->form, "R"))
    return;
  for (const char *form = row->form; *form;)
    {
      size_t length = strcspn (form, "_");
      char token[8] = "";

      if (length < sizeof token)
        memcpy (token, form, length);
      put (&writer, "%s", separator);
      put_operand (&writer, insn, eip, token);
      separator = ", ";
      form += length + (form[length] == '_');
    }
}
