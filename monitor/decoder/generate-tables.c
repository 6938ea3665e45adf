/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Build tool: reads insns.def and prints what the decoder wants to know about each row as constant tables.
 *
 *   generate-tables ids      the enum of mnemonics
 *   generate-tables tables   per row: layout of the bytes; per opcode: the rows that may match */
#include "decode-layout.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct
{
  int map, opcode, group;
  const char *mnemonic, *form;
} Row;

static const Row rows[] = {
#define INSN(map, opcode, group, prefix, mnemonic, form, variants, klass, feature, written, undefined, reason, attributes) \
  { map, opcode, group, #mnemonic, #form },
#include "insns.def"
#undef INSN
};

enum { N_ROWS = sizeof rows / sizeof rows[0], MAX_TOKENS = 4 };

static unsigned
split (const char *form, char tokens[MAX_TOKENS][8])
{
  unsigned n = 0;

  while (*form && n < MAX_TOKENS)
    {
      size_t length = strcspn (form, "_");

      if (length > 7)
        abort ();
      memcpy (tokens[n], form, length);
      tokens[n++][length] = 0;
      form += length + (form[length] == '_');
    }
  return n;
}

/* Size of an operand by the letters after its first; 0: says nothing, SIZE_V: operand size. */
static int
token_size (const char *token)
{
  static const struct { const char *suffix; int size; } sizes[] = {
    { "b", 1 }, { "w", 2 }, { "d", 4 }, { "q", 8 }, { "t", 10 }, { "dq", 16 }, { "ps", 16 }, { "pd", 16 }, { "ss", 4 }, { "sd", 8 },
    { "v", SIZE_V }, { "z", SIZE_V }, { "p", SIZE_V }, { "s", SIZE_V }, { "a", SIZE_V }, { "", SIZE_V },
  };

  /* Iw of RET and ENTER counts bytes: what is moved has the operand size. */
  if (!strcmp (token, "eAX") || !strcmp (token, "sIb") || !strcmp (token, "Iw") || token[0] == 'J' || !strcmp (token, "none"))
    return SIZE_V;
  if (!strcmp (token, "AL"))
    return 1;
  if (!strcmp (token, "ES") || !strcmp (token, "CS") || !strcmp (token, "SS") || !strcmp (token, "DS") || !strcmp (token, "FS")
      || !strcmp (token, "GS"))
    return SIZE_V;
  if (!strcmp (token, "ST") || !strcmp (token, "STi"))
    return 10;
  if (!strcmp (token, "AX"))
    return 2;
  if (!strcmp (token, "CL") || !strcmp (token, "DX") || !strcmp (token, "1") || !strcmp (token, "nce"))
    return 0;
  for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    if (!strcmp (token + 1, sizes[i].suffix))
      return sizes[i].size;
  fprintf (stderr, "insns.def: operand %s\n", token);
  exit (1);
}

static void
print_layout (const Row *row)
{
  char tokens[MAX_TOKENS][8];
  unsigned n = split (row->form, tokens), flags = 0, immediate = IMMEDIATE_NONE;
  int size = 0;

  if (row->group >= 0)
    flags |= LAYOUT_MODRM;
  for (unsigned i = 0; i < n; i++)
    {
      const char *t = tokens[i];
      int this_size = token_size (t);
      bool named = !strcmp (t, "ST") || !strcmp (t, "STi") || !strcmp (t, "nce");

      if (named)
        flags |= LAYOUT_MODRM | LAYOUT_REGISTER;
      else if (!strcmp (t, "CS") || !strcmp (t, "DS") || !strcmp (t, "ES") || !strcmp (t, "SS") || !strcmp (t, "FS")
               || !strcmp (t, "GS") || !strcmp (t, "AL") || !strcmp (t, "AX") || !strcmp (t, "eAX") || !strcmp (t, "CL")
               || !strcmp (t, "DX") || !strcmp (t, "1") || !strcmp (t, "none"))
        ;
      else
        switch (t[0])
          {
          case 'E': case 'G': case 'P': case 'Q': case 'V': case 'W': flags |= LAYOUT_MODRM; break;
          case 'S': flags |= LAYOUT_MODRM | (i == 0 ? LAYOUT_SREG_TO : LAYOUT_SREG); break;
          case 'M': flags |= LAYOUT_MODRM | LAYOUT_MEMORY; break;
          case 'N': case 'U': case 'R': flags |= LAYOUT_MODRM | LAYOUT_REGISTER; break;
          case 'C': flags |= LAYOUT_MODRM | LAYOUT_CONTROL; break;
          case 'D': flags |= LAYOUT_MODRM | LAYOUT_DEBUG; break;
          case 'O': flags |= LAYOUT_MOFFS; break;
          case 'Z': flags |= LAYOUT_OPCODE_REG; break;
          case 'A': immediate = IMMEDIATE_FAR; break;
          case 'J': immediate = t[1] == 'b' ? IMMEDIATE_SBYTE : IMMEDIATE_SZ; break;
          case 's': immediate = IMMEDIATE_SBYTE; break;
          case 'I':
            if (immediate == IMMEDIATE_WORD)
              immediate = IMMEDIATE_ENTER;
            else
              immediate = t[1] == 'b' ? IMMEDIATE_BYTE : t[1] == 'w' ? IMMEDIATE_WORD : IMMEDIATE_Z;
            break;
          case 'X': case 'Y': break;
          default:
            fprintf (stderr, "insns.def: operand %s\n", t);
            exit (1);
          }
      if (this_size == SIZE_V || !size)
        size = this_size;
    }
  /* The MOVs to and from control and debug registers take ModRM as register whatever mod says. */
  if (flags & (LAYOUT_CONTROL | LAYOUT_DEBUG))
    flags &= ~(unsigned) LAYOUT_REGISTER;
  if (row->group >= 0xc0)
    flags |= LAYOUT_REGISTER;
  printf ("  { %u, %u, %d },\n", flags, immediate, size ? size : SIZE_V);
}

static void
print_tables (void)
{
  printf ("static const RowLayout row_layouts[] = {\n");
  for (unsigned i = 0; i < N_ROWS; i++)
    print_layout (&rows[i]);
  printf ("};\n\nstatic const uint16_t candidates[] = {\n");

  unsigned first[2][256], count[2][256], at = 0;

  for (int map = 0; map < 2; map++)
    for (int opcode = 0; opcode < 256; opcode++)
      {
        first[map][opcode] = at;
        for (unsigned i = 0; i < N_ROWS; i++)
          {
            bool wide = strstr (rows[i].form, "Zv") == rows[i].form || strstr (rows[i].form, "Zb") == rows[i].form;

            if (rows[i].map == map && (rows[i].opcode == opcode || (wide && (opcode & ~7) == rows[i].opcode)))
              {
                printf ("%u,%s", i, at % 16 == 15 ? "\n" : " ");
                at++;
              }
          }
        count[map][opcode] = at - first[map][opcode];
      }
  printf ("\n};\n\nstatic const OpcodeEntry opcode_entries[2][256] = {\n");
  for (int map = 0; map < 2; map++)
    {
      printf ("  {\n");
      for (int opcode = 0; opcode < 256; opcode++)
        printf ("    { %u, %u },\n", first[map][opcode], count[map][opcode]);
      printf ("  },\n");
    }
  printf ("};\n");
}

static void
print_ids (void)
{
  printf ("/* Made from insns.def by generate-tables.c. */\n#pragma once\n\ntypedef enum\n{\n  INSN_INVALID,\n");
  for (unsigned i = 0; i < N_ROWS; i++)
    {
      unsigned j = 0;

      while (strcmp (rows[j].mnemonic, rows[i].mnemonic))
        j++;
      if (j == i)
        printf ("  INSN_%s,\n", rows[i].mnemonic);
    }
  printf ("  N_INSN_IDS\n} InsnId;\n");
}

int
main (int argc, char **argv)
{
  if (argc == 2 && !strcmp (argv[1], "ids"))
    print_ids ();
  else if (argc == 2 && !strcmp (argv[1], "tables"))
    print_tables ();
  else
    return 2;
  return 0;
}
