/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The decoder and its table: known encodings field by field, the table's own rules, and lengths against Zydis over
 * random byte strings. */
#include "decode.h"
#include "insn-table.h"
#include "interpreter.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t all_features = 0xffffffff;

static int
decode (const char *hex, unsigned mode, uint32_t features, DecodedInsn *insn)
{
  uint8_t bytes[32];
  size_t n = 0;

  for (const char *p = hex; *p; p += p[2] ? 3 : 2)
    bytes[n++] = (uint8_t) g_ascii_strtoull (p, NULL, 16);
  return insn_decode (bytes, n, mode, features, insn);
}

typedef struct
{
  const char *hex;
  unsigned    mode;             /* DECODE_CODE32 or 0 */
  const char *text;             /* NULL: error */
  int         error;
} Case;

static void
test_text (void)
{
  static const Case cases[] = {
    { "8b 45 fc", 1, "mov eax, dword [ebp-0x4]", 0 },
    { "8b 04 8d 10 00 00 00", 1, "mov eax, dword [ecx*4+0x10]", 0 },
    { "26 8b 87 34 12", 0, "mov ax, word [es:bx+0x1234]", 0 },
    { "67 8b 00", 0, "mov ax, word [eax]", 0 },
    { "8b 42 80", 0, "mov ax, word [bp+si-0x80]", 0 },
    { "66 89 e5", 1, "mov bp, sp", 0 },
    { "90", 1, "nop", 0 },
    { "f3 90", 1, "pause", 0 },
    { "f3 a4", 1, "rep movs [es:edi], [ds:esi]", 0 },
    { "e8 fb ff ff ff", 1, "call 0x1000", 0 },
    { "eb fe", 0, "jmp 0x1000", 0 },
    { "9a 78 56 34 12 10 00", 1, "call 0x10:0x12345678", 0 },
    { "c8 10 00 03", 1, "enter 0x10, 0x3", 0 },
    { "0f 12 c1", 1, "movhlps xmm0, xmm1", 0 },
    { "0f 12 01", 1, "movlps xmm0, qword [ecx]", 0 },
    { "66 f2 0f 58 c1", 1, "addsd xmm0, xmm1", 0 },
    { "0f 71 d0 05", 1, "psrlw mm0, 0x5", 0 },
    { "d9 f0", 1, "f2xm1", 0 },
    { "dc d1", 1, "fcom st0, st1", 0 },
    { "df c2", 1, "ffreep st2", 0 },
    { "df e0", 1, "fnstsw ax", 0 },
    { "d6", 1, "salc", 0 },
    { "f1", 1, "int1", 0 },
    { "f6 c8 01", 1, "test al, 0x1", 0 },
    { "d0 f0", 1, "shl al, 1", 0 },
    { "82 c0 7f", 1, "add al, 0x7f", 0 },
    { "d4 0a", 1, "aam 0xa", 0 },
    { "0f 20 c0", 1, "mov eax, cr0", 0 },
    { "0f 20 00", 1, "mov eax, cr0", 0 },
    { "8e d8", 1, "mov ds, ax", 0 },
    { "f0 0f c7 0e", 1, "lock cmpxchg8b qword [esi]", 0 },
    { "a1 01 02 03 04", 1, "mov eax, dword [0x4030201]", 0 },
    { "0f 0d 00", 1, "nop dword [eax]", 0 },
    { "0f c3 08", 1, "movnti dword [eax], ecx", 0 },
    { "0f ae f0", 1, "mfence", 0 },
    { "f0 01 c0", 1, NULL, -EILSEQ },           /* LOCK with a register destination */
    { "f0 90", 1, NULL, -EILSEQ },
    { "0f 05", 1, NULL, -EILSEQ },              /* SYSCALL, LOADALL */
    { "0f 07", 1, NULL, -EILSEQ },
    { "8e c8", 1, NULL, -EILSEQ },              /* MOV CS */
    { "8e f8", 1, NULL, -EILSEQ },
    { "0f 22 c8", 1, NULL, -EILSEQ },           /* MOV CR1 */
    { "8d c0", 1, NULL, -EILSEQ },              /* LEA of a register */
    { "c4 c0", 1, NULL, -EILSEQ },              /* LES of a register: AVX much later */
    { "fe d0", 1, NULL, -EILSEQ },
    { "ff f8", 1, NULL, -EILSEQ },
    { "8f c8", 1, NULL, -EILSEQ },
    { "0f 38 00 c0", 1, NULL, -EILSEQ },        /* SSSE3 */
    { "0f 0f c0 b4", 1, NULL, -EILSEQ },        /* 3DNow! */
    { "0f 01 c1", 1, NULL, -EILSEQ },           /* VMCALL */
    { "0f", 1, NULL, -EAGAIN },
    { "8b", 1, NULL, -EAGAIN },
    { "8b 04", 1, NULL, -EAGAIN },
    { "8b 05 00 00 00", 1, NULL, -EAGAIN },
    { "66", 1, NULL, -EAGAIN },
    { "2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 90", 1, "nop", 0 },
    { "2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 90", 1, NULL, -E2BIG },
    { "2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e b8 01 02 03 04", 1, NULL, -E2BIG },
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      DecodedInsn insn;
      char text[100] = "";
      int result = decode (cases[i].hex, cases[i].mode, all_features, &insn);

      g_test_message ("%s", cases[i].hex);
      g_assert_cmpint (result, ==, cases[i].error);
      if (result)
        continue;
      insn_disassemble (&insn, 0x1000, text, sizeof text);
      g_assert_cmpuint (insn.length, ==, (strlen (cases[i].hex) + 1) / 3);
      g_assert_cmpstr (text, ==, cases[i].text);
    }
}

static void
test_text_is_bounded (void)
{
  DecodedInsn insn;
  char text[12];

  g_assert_cmpint (decode ("26 c7 84 8d 78 56 34 12 78 56 34 12", 1, all_features, &insn), ==, 0);
  memset (text, 'x', sizeof text);
  insn_disassemble (&insn, 0, text, 8);
  g_assert_cmpuint (strlen (text), ==, 7);
  g_assert_cmpint (text[8], ==, 'x');
  insn_disassemble (&insn, 0, text, 0);
}

static void
test_fields (void)
{
  DecodedInsn insn;

  g_assert_cmpint (decode ("64 66 8b 94 cd 78 56 34 12", DECODE_CODE32, all_features, &insn), ==, 0);
  g_assert_cmpuint (insn.operand_size, ==, 2);
  g_assert_cmpuint (insn.address_size, ==, 4);
  g_assert_cmpuint (insn.segment, ==, SEG_FS);
  g_assert_cmpuint (insn.base, ==, REG_EBP);
  g_assert_cmpuint (insn.index, ==, REG_ECX);
  g_assert_cmpuint (insn.scale, ==, 3);
  g_assert_cmpuint (insn.reg, ==, REG_EDX);
  g_assert_cmphex (insn.displacement, ==, 0x12345678);
  g_assert_true (insn.is_memory);
  g_assert_cmpuint (insn.prefixes, ==, INSN_PREFIX_66 | INSN_PREFIX_SEGMENT);
  /* Without an override an address that uses EBP or ESP as its base is in SS. */
  g_assert_cmpint (decode ("8b 04 24", DECODE_CODE32, all_features, &insn), ==, 0);
  g_assert_cmpuint (insn.segment, ==, SEG_SS);
  g_assert_cmpint (decode ("8b 04 2d 00 00 00 00", DECODE_CODE32, all_features, &insn), ==, 0);
  g_assert_cmpuint (insn.segment, ==, SEG_DS);
  g_assert_cmpint (decode ("83 c0 ff", DECODE_CODE32, all_features, &insn), ==, 0);
  g_assert_cmphex (insn.immediate, ==, 0xffffffff);
  g_assert_cmpint (decode ("cd 80", DECODE_CODE32, all_features, &insn), ==, 0);
  g_assert_cmphex (insn.immediate, ==, 0x80);
  g_assert_cmpint (decode ("dd 00", 0, all_features, &insn), ==, 0);
  g_assert_cmpuint (insn.operand_size, ==, 8);
  g_assert_cmpint (decode ("c2 04 00", DECODE_CODE32, all_features, &insn), ==, 0);
  g_assert_cmpuint (insn.operand_size, ==, 4);
}

/* An instruction that the model does not have is #UD. */
static void
test_features (void)
{
  static const struct { const char *hex; uint32_t feature; } cases[] = {
    { "0f 40 c1", FEATURE_CMOV }, { "da c1", FEATURE_CMOV }, { "0f 34", FEATURE_SEP }, { "0f ae 00", FEATURE_FXSR },
    { "0f 58 c1", FEATURE_SSE }, { "66 0f 58 c1", FEATURE_SSE2 }, { "0f fc c1", FEATURE_MMX }, { "66 0f fc c1", FEATURE_SSE2 },
    { "0f ae 38", FEATURE_CLFLUSH }, { "d9 e8", FEATURE_FPU }, { "0f 18 00", FEATURE_CMOV },
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      DecodedInsn insn;

      g_assert_cmpint (decode (cases[i].hex, 1, all_features & ~cases[i].feature, &insn), ==, -EILSEQ);
      g_assert_cmpint (decode (cases[i].hex, 1, all_features, &insn), ==, 0);
    }
}

/* Rules that every row keeps. */
static void
test_table (void)
{
  for (unsigned i = 0; i < N_INSN_ROWS; i++)
    {
      const InsnRow *row = &insn_rows[i];

      g_test_message ("row %u: %s %s", i, row->mnemonic, row->form);
      g_assert_cmpuint (row->map, <=, 1);
      g_assert_true (row->group >= -1 && (row->group < 8 || (row->group >= 0xc0 && row->group <= 0xff)));
      g_assert_true (row->klass != INSN_IO || row->reason == REASON_3D);
      g_assert_true (row->klass != INSN_CONTROL || row->reason != REASON_NONE);
      /* An innocuous row is translated: it may not be sensitive. */
      g_assert_true (row->klass != INSN_INNOCUOUS || row->reason == REASON_NONE);
      g_assert_true (row->klass != INSN_BEHAVIOUR || row->reason != REASON_NONE || g_str_has_prefix (row->mnemonic, "UD"));
    }
}

/* The seventeen instructions of Robin's thesis are marked, each with its requirement. */
static void
test_seventeen (void)
{
  static const struct { const char *hex; char group; } seventeen[] = {
    { "0f 01 00", 'B' }, { "0f 01 08", 'B' }, { "0f 00 00", 'B' }, { "0f 01 e0", 'A' }, { "9c", 'B' }, { "9d", 'B' },
    { "0f 02 c0", 'C' }, { "0f 03 c0", 'C' }, { "0f 00 e0", 'C' }, { "0f 00 e8", 'C' }, { "1f", 'C' }, { "1e", 'C' },
    { "9a 00 00 00 00 00 00", 'C' }, { "ea 00 00 00 00 00 00", 'C' }, { "cd 80", 'C' }, { "cb", 'C' }, { "0f 00 08", 'C' },
    { "8c d8", 'C' }, { "8e d8", 'C' }, { "0f aa", 'A' }, { "0f 34", 'A' },
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (seventeen); i++)
    {
      DecodedInsn insn;

      g_assert_cmpint (decode (seventeen[i].hex, 1, all_features, &insn), ==, 0);
      g_assert_cmpint (insn_rows[insn.row].klass, !=, INSN_INNOCUOUS);
      g_assert_cmpint (reason_codes[insn_rows[insn.row].reason][1], ==, seventeen[i].group);
    }
}

/* Every row can be decoded from some bytes and has a routine. */
static void
test_every_row_reached (void)
{
  bool reached[N_INSN_ROWS] = { false };
  static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };

  for (unsigned map = 0; map < 2; map++)
    for (unsigned prefix = 0; prefix < 4; prefix++)
      for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned modrm = 0; modrm < 256; modrm++)
          {
            uint8_t bytes[15] = { 0 };
            unsigned n = 0;
            DecodedInsn insn;

            if (prefixes[prefix])
              bytes[n++] = prefixes[prefix];
            if (map)
              bytes[n++] = 0x0f;
            bytes[n++] = (uint8_t) opcode;
            bytes[n++] = (uint8_t) modrm;
            if (insn_decode (bytes, sizeof bytes, DECODE_CODE32, all_features, &insn) == 0)
              {
                reached[insn.row] = true;
                g_assert_nonnull (interpreter_routine (&insn));
                g_assert_cmpuint (insn.id, ==, insn_rows[insn.row].id);
                g_assert_cmpuint (insn.length, <=, 15);
              }
          }
  for (unsigned i = 0; i < N_INSN_ROWS; i++)
    {
      g_test_message ("row %u: %s %s", i, insn_rows[i].mnemonic, insn_rows[i].form);
      g_assert_true (reached[i]);
    }
}

/* ---- Against Zydis ---- */

/* What Zydis decodes and a Pentium M does not have: everything but these extensions. */
static bool
is_ours (const ZydisDecodedInstruction *other, const uint8_t *bytes)
{
  switch (other->meta.isa_ext)
    {
    case ZYDIS_ISA_EXT_BASE:
      switch (other->meta.isa_set)
        {
        case ZYDIS_ISA_SET_I86: case ZYDIS_ISA_SET_I186: case ZYDIS_ISA_SET_I286REAL: case ZYDIS_ISA_SET_I286PROTECTED:
        case ZYDIS_ISA_SET_I386: case ZYDIS_ISA_SET_I486: case ZYDIS_ISA_SET_I486REAL: case ZYDIS_ISA_SET_PENTIUMREAL:
        case ZYDIS_ISA_SET_CMOV: case ZYDIS_ISA_SET_PPRO: case ZYDIS_ISA_SET_RDPMC: case ZYDIS_ISA_SET_FAT_NOP: case ZYDIS_ISA_SET_PAUSE:
        case ZYDIS_ISA_SET_PREFETCH_NOP: case ZYDIS_ISA_SET_PENTIUMMMX:
          return true;
        default:
          return false;
        }
    case ZYDIS_ISA_EXT_X87:
      return other->meta.isa_set == ZYDIS_ISA_SET_X87 || other->meta.isa_set == ZYDIS_ISA_SET_FCMOV;
    case ZYDIS_ISA_EXT_MMX:
    case ZYDIS_ISA_EXT_SSE: case ZYDIS_ISA_EXT_SSE2: case ZYDIS_ISA_EXT_CLFSH:
      return true;
    default:
      return false;
    }
}

/* The differences between this decoder and Zydis 4, each right for a P6:
 *  - MOV to and from DR4 and DR5: an alias or #UD by CR4.DE, so only the routine can know; Zydis refuses.
 *  - DB E0, E1, E4 (FENI, FDISI, FSETPM) do nothing.
 *  - 0F 0D and 0F 18 … 1F are NOPs with every ModRM; MPX, CET and CLDEMOTE took some of them later. */
static bool
may_differ (const DecodedInsn *ours, bool zydis_ok)
{
  const InsnRow *row = &insn_rows[ours->row];

  if (zydis_ok)
    return row->map == 1 && row->opcode >= 0x18 && row->opcode <= 0x1f;
  if (row->map == 1 && (row->opcode == 0x0d || (row->opcode >= 0x18 && row->opcode <= 0x1f)))
    return true;
  if (row->id == INSN_MOV && (!strcmp (row->form, "Rd_Dd") || !strcmp (row->form, "Dd_Rd")))
    return ours->reg == 4 || ours->reg == 5;
  return row->id == INSN_FNENI || row->id == INSN_FNDISI || row->id == INSN_FNSETPM;
}

static void
test_zydis (gconstpointer data)
{
  bool code32 = GPOINTER_TO_INT (data);
  const char *cases_text = g_getenv ("BULKHEAD_DECODER_CASES");
  uint64_t cases = cases_text ? g_ascii_strtoull (cases_text, NULL, 10) : 3000000;
  static const uint8_t prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x64, 0x26 };
  g_autoptr (GRand) random = g_rand_new_with_seed (0x5eed);
  unsigned n_reported = 0, n_compared = 0;
  ZydisDecoder decoder;

  g_assert_true (ZYAN_SUCCESS (ZydisDecoderInit (&decoder, code32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
                                                 code32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16)));
  for (uint64_t i = 0; i < cases; i++)
    {
      uint8_t bytes[16];
      unsigned n = 0, n_prefixes = (unsigned) g_rand_int_range (random, 0, 8);
      ZydisDecodedInstruction other;
      DecodedInsn ours;
      bool ours_ok, zydis_ok;

      for (; n_prefixes > 4 && n < n_prefixes - 4; n++)
        bytes[n] = prefixes[g_rand_int (random) % sizeof prefixes];
      if (g_rand_boolean (random))
        bytes[n++] = 0x0f;
      for (; n < sizeof bytes; n++)
        bytes[n] = (uint8_t) g_rand_int (random);
      ours_ok = insn_decode (bytes, sizeof bytes, code32 ? DECODE_CODE32 : 0, all_features, &ours) == 0;
      zydis_ok = ZYAN_SUCCESS (ZydisDecoderDecodeInstruction (&decoder, NULL, bytes, 15, &other));
      if (zydis_ok && !is_ours (&other, bytes))
        {
          /* Later extensions: undefined here, or a prefix that this processor ignores. */
          continue;
        }
      n_compared++;
      if (ours_ok == zydis_ok && (!ours_ok || ours.length == other.length))
        continue;
      if (ours_ok && may_differ (&ours, zydis_ok))
        continue;
      if (n_reported++ < 40)
        {
          g_autoptr (GString) text = g_string_new (NULL);
          char name[100] = "";

          for (unsigned b = 0; b < sizeof bytes; b++)
            g_string_append_printf (text, "%02x ", bytes[b]);
          if (ours_ok)
            insn_disassemble (&ours, 0, name, sizeof name);
          g_test_message ("%s: %d %s, Zydis %d %s", text->str, ours_ok ? ours.length : 0, name, zydis_ok ? other.length : 0,
                          zydis_ok ? ZydisMnemonicGetString (other.mnemonic) : "");
        }
    }
  g_test_message ("%u compared, %u differ", n_compared, n_reported);
  g_assert_cmpuint (n_reported, ==, 0);
  g_assert_cmpuint (n_compared, >, cases / 2);
}

/* A shorter string of the same bytes asks for more or says the same. */
static void
test_truncation (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (7);

  for (unsigned i = 0; i < 100000; i++)
    {
      uint8_t bytes[16];
      DecodedInsn whole, part;
      int result;

      for (unsigned b = 0; b < sizeof bytes; b++)
        bytes[b] = (uint8_t) g_rand_int (random);
      result = insn_decode (bytes, sizeof bytes, DECODE_CODE32, all_features, &whole);
      if (result != 0)
        continue;
      for (unsigned n = 0; n < whole.length; n++)
        g_assert_cmpint (insn_decode (bytes, n, DECODE_CODE32, all_features, &part), ==, -EAGAIN);
      g_assert_cmpint (insn_decode (bytes, whole.length, DECODE_CODE32, all_features, &part), ==, 0);
      g_assert_cmpmem (&whole, sizeof whole, &part, sizeof part);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/decoder/text", test_text);
  g_test_add_func ("/decoder/text-is-bounded", test_text_is_bounded);
  g_test_add_func ("/decoder/fields", test_fields);
  g_test_add_func ("/decoder/features", test_features);
  g_test_add_func ("/decoder/table", test_table);
  g_test_add_func ("/decoder/thesis-instructions-are-sensitive", test_seventeen);
  g_test_add_func ("/decoder/every-row-reached", test_every_row_reached);
  g_test_add_func ("/decoder/truncation", test_truncation);
  g_test_add_data_func ("/decoder/zydis-32", GINT_TO_POINTER (1), test_zydis);
  g_test_add_data_func ("/decoder/zydis-16", GINT_TO_POINTER (0), test_zydis);
  return g_test_run ();
}
