/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "native-cases.h"

#include <string.h>

/* ---- What cannot be compared ---- */

static const struct { const char *mnemonic, *reason; } excluded[] = {
  { "CPUID",    "names the host" },
  { "RDTSC",    "reads the host's clock" },
  { "RDPMC",    "depends on CR4.PCE of the host" },
  { "SGDT",     "answered by the host kernel (UMIP)" },
  { "SIDT",     "answered by the host kernel (UMIP)" },
  { "SLDT",     "answered by the host kernel (UMIP)" },
  { "STR",      "answered by the host kernel (UMIP)" },
  { "SMSW",     "answered by the host kernel (UMIP)" },
  { "SYSENTER", "enters the host kernel, or is undefined in compatibility mode (AMD)" },
  { "SYSEXIT",  "undefined in compatibility mode on AMD, #GP on Intel" },
  { "INT3",     "delivered by the host's IDT, the guest here has none" },
  { "INT1",     "delivered by the host's IDT, the guest here has none" },
  { "LFS",      "FS belongs to the host's C library" },
  { "RSM",      "needs system management mode to mean anything" },
  { "UD0",      "whether it reads a ModRM byte differs between vendors" },
};

/* Shares its opcode with an instruction that the Pentium III does not have, when the prefix is present. */
static bool
may_repeat_prefix (const InsnRow *row)
{
  return (row->attributes & INSN_ATTRIBUTES_REP) != 0;
}

const char *
native_row_excluded (const InsnRow *row)
{
  for (unsigned i = 0; i < sizeof excluded / sizeof excluded[0]; i++)
    if (!strcmp (row->mnemonic, excluded[i].mnemonic))
      return excluded[i].reason;
  if (!strcmp (row->mnemonic, "POP") && !strcmp (row->form, "FS"))
    return "FS belongs to the host's C library";
  return NULL;
}

/* ---- Values ---- */

static uint32_t
edge_32 (Random *random)
{
  static const uint32_t edges[] = {
    0, 1, 2, 3, 7, 8, 0xf, 0x10, 0x1f, 0x20, 0x21, 0x3f, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
    0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x55555555, 0xaaaaaaaa, 0xffff8000, 0xffffff80, 0x80808080, 0x7f7f7f7f,
  };

  switch (random_below (random, 4))
    {
    case 0: return edges[random_below (random, sizeof edges / sizeof edges[0])];
    case 1: return random_next (random) >> random_below (random, 32);
    default: return random_next (random);
    }
}

static uint32_t
edge_float (Random *random)
{
  static const uint32_t edges[] = {
    0, 0x80000000, 0x3f800000, 0xbf800000, 0x40000000, 0x3f000000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000,
    0x7f800001, 0xffbfffff, 0x7fffffff, 1, 0x80000001, 0x007fffff, 0x00800000, 0x00800001, 0x7f7fffff, 0xff7fffff,
    0x4f000000, 0xcf000000, 0x4effffff, 0x5f000000, 0x3effffff, 0x3fffffff, 0x46fffe00, 0x47000000, 0xc7000000, 0x4b7fffff,
  };

  switch (random_below (random, 5))
    {
    case 0: case 1: return edges[random_below (random, sizeof edges / sizeof edges[0])];
    case 2: return random_next (random);
    case 3: return (random_next (random) & 0x803fffff) | (random_below (random, 48) + 104) << 23;
    default: return (random_next (random) & 0x80000000) | (uint32_t) (random_below (random, 2) ? 1 : 254) << 23
                    | (random_next (random) & 0x7fffff);
    }
}

static uint64_t
edge_double (Random *random)
{
  static const uint64_t edges[] = {
    0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x4000000000000000, 0x3fe0000000000000,
    0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000000, 0x7ff0000000000001, 0xfff7ffffffffffff,
    1, 0x8000000000000001, 0x000fffffffffffff, 0x0010000000000000, 0x0010000000000001, 0x7fefffffffffffff,
    0xffefffffffffffff, 0x41dfffffffc00000, 0x41e0000000000000, 0xc1e0000000000000, 0xc1e0000000200000, 0x43e0000000000000,
    0xc3e0000000000000, 0x40dfffc000000000, 0x40e0000000000000, 0x36a0000000000000, 0x3690000000000001, 0x47efffffe0000000,
    0x47efffffefffffff, 0x47f0000000000000, 0x380fffffffffffff, 0x3810000000000000,
  };
  uint64_t value = (uint64_t) random_next (random) << 32 | random_next (random);

  switch (random_below (random, 5))
    {
    case 0: case 1: return edges[random_below (random, sizeof edges / sizeof edges[0])];
    case 2: return value;
    case 3: return (value & 0x800fffffffffffff) | (uint64_t) (random_below (random, 128) + 960) << 52;
    default: return (value & 0x800fffffe0000000) | (uint64_t) (random_below (random, 280) + 885) << 52;
    }
}

static void
edge_extended (Random *random, uint8_t *bytes)
{
  static const struct { uint64_t significand; uint16_t exponent; } edges[] = {
    { 0, 0 }, { 0, 0x8000 }, { 0x8000000000000000, 0x3fff }, { 0x8000000000000000, 0xbfff }, { 0x8000000000000000, 0x7fff },
    { 0x8000000000000000, 0xffff }, { 0xc000000000000000, 0x7fff }, { 0xc000000000000000, 0xffff },
    { 0x8000000000000001, 0x7fff }, { 0xbfffffffffffffff, 0xffff }, { 0xffffffffffffffff, 0x7fff }, { 1, 0 }, { 1, 0x8000 },
    { 0x7fffffffffffffff, 0 }, { 0x8000000000000000, 0 } /* pseudo-denormal */, { 0xffffffffffffffff, 0x8000 },
    { 0x8000000000000000, 1 }, { 0xffffffffffffffff, 0x7ffe }, { 0xffffffffffffffff, 0xfffe },
    { 0x4000000000000000, 0x3fff } /* unnormal */, { 0, 0x3fff }, { 0, 0x7fff } /* pseudo-infinity */,
    { 0x4000000000000000, 0x7fff } /* pseudo-NaN */, { 0x8000000000000000, 0x401e }, { 0x8000000000000000, 0xc01e },
    { 0x8000000000000000, 0x403e }, { 0x8000000000000000, 0xc03e }, { 0xffffffffffffffff, 0x403d }, { 0x8000000000000000, 0x400e },
    { 0xfffe000000000000, 0x400d }, { 0x8000000000000000, 0x3ffe }, { 0xc90fdaa22168c235, 0x4000 }, { 0xc90fdaa22168c235, 0x3ffe },
    { 0x8000000000000000, 0x403e }, { 0xde0b6b3a763ffff0, 0x403a }, { 0xde0b6b3a76400000, 0x403a }, { 0x8000000000000000, 0x4000 },
    { 0x8000000000000000, 0x43ff }, { 0xffffffffffffffff, 0x43fe }, { 0x8000000000000000, 0x3c00 }, { 0x8000000000000000, 0x407f },
  };
  uint64_t significand = (uint64_t) random_next (random) << 32 | random_next (random);
  uint16_t exponent = (uint16_t) random_next (random);
  unsigned i;

  switch (random_below (random, 6))
    {
    case 0: case 1:
      i = random_below (random, sizeof edges / sizeof edges[0]);
      significand = edges[i].significand;
      exponent = edges[i].exponent;
      break;
    case 2:
      significand |= 0x8000000000000000;
      exponent = (exponent & 0x8000) | (uint16_t) (0x3fff - 40 + (int) random_below (random, 80));
      break;
    case 3:
      significand = (significand | 0x8000000000000000) & ~0ull << random_below (random, 64);
      exponent = (exponent & 0x8000) | (uint16_t) (0x3fff - 4 + (int) random_below (random, 70));
      break;
    case 4:
      significand |= 0x8000000000000000;
      break;
    default:
      significand |= 0x8000000000000000;
      exponent = (exponent & 0x8000)
                 | (uint16_t) (random_below (random, 2) ? random_below (random, 80) : 0x7fff - random_below (random, 80));
      break;
    }
  memcpy (bytes, &significand, 8);
  memcpy (bytes + 8, &exponent, 2);
}

typedef enum { VALUES_INTEGER, VALUES_FLOAT, VALUES_DOUBLE, VALUES_EXTENDED, VALUES_BCD } ValueKind;

static ValueKind
value_kind (const InsnRow *row)
{
  const char *form = row->form;

  if (row->feature == FEATURE_FPU)
    switch (row->opcode)
      {
      case 0xd8: case 0xd9: return VALUES_FLOAT;
      case 0xdc: case 0xdd: return VALUES_DOUBLE;
      case 0xdb: return !strcmp (form, "Mt") ? VALUES_EXTENDED : VALUES_INTEGER;
      case 0xdf: return !strcmp (form, "Mt") ? VALUES_BCD : VALUES_INTEGER;
      default: return VALUES_INTEGER;
      }
  if (strstr (form, "pd") || strstr (form, "sd"))
    return strstr (form, "Wps") || strstr (form, "Wss") ? VALUES_FLOAT : VALUES_DOUBLE;
  if (strstr (form, "ps") || strstr (form, "ss") || !strcmp (form, "Pq_Wq"))
    return VALUES_FLOAT;
  return VALUES_INTEGER;
}

static void
fill_values (Random *random, ValueKind kind, uint8_t *bytes, unsigned n_bytes)
{
  unsigned at = 0;

  while (at < n_bytes)
    {
      uint8_t piece[16] = { 0 };
      unsigned size = 4;
      uint32_t word;
      uint64_t quad;

      switch (kind)
        {
        case VALUES_FLOAT:
          word = edge_float (random);
          memcpy (piece, &word, 4);
          break;
        case VALUES_DOUBLE:
          quad = edge_double (random);
          memcpy (piece, &quad, 8);
          size = 8;
          break;
        case VALUES_EXTENDED:
          edge_extended (random, piece);
          size = 10;
          break;
        case VALUES_BCD:
          for (unsigned i = 0; i < 9; i++)
            piece[i] = (uint8_t) (random_below (random, 10) << 4 | random_below (random, 10));
          piece[9] = random_below (random, 2) ? 0x80 : 0;
          size = 10;
          break;
        case VALUES_INTEGER:
          word = edge_32 (random);
          memcpy (piece, &word, 4);
          break;
        }
      if (size > n_bytes - at)
        size = n_bytes - at;
      memcpy (bytes + at, piece, size);
      at += size;
    }
}

/* ---- State ---- */

static void
put16 (uint8_t *bytes, unsigned value)
{
  bytes[0] = (uint8_t) value;
  bytes[1] = (uint8_t) (value >> 8);
}

/* A control word and a status word that fit: ES and B as the flags and masks say. */
static void
generate_x87 (Random *random, uint8_t *fxsave)
{
  unsigned control = 0x37f, status = random_next (random) & 0x7f00;

  if (random_below (random, 3) == 0)
    control = (control & ~0xf00u) | (random_next (random) & 0xf00);
  if (random_below (random, 4) == 0)
    control = (control & ~0x3fu) | (random_next (random) & 0x3f);
  if (random_below (random, 2))
    status |= random_next (random) & 0x7f;
  /* An exception that is pending already says nothing about the instruction: rare. */
  if (random_below (random, 32))
    status &= ~(~control & 0x3f);
  if (status & ~control & 0x3f)
    status |= 0x8080;
  put16 (fxsave, control);
  put16 (fxsave + 2, status);
  fxsave[4] = random_below (random, 3) ? 0xff : (uint8_t) random_next (random);
  if (random_below (random, 3) == 0)    /* room for a push */
    fxsave[4] &= (uint8_t) ~(1u << (((status >> 11) - 1) & 7));
  for (unsigned i = 0; i < 8; i++)
    {
      edge_extended (random, fxsave + 32 + 16 * i);
      if (random_below (random, 8) == 0)
        memset (fxsave + 32 + 16 * i + 8, 0xff, 2);     /* as MMX leaves it */
    }
}

static void
generate_sse (Random *random, ValueKind kind, uint8_t *fxsave)
{
  uint32_t mxcsr = 0x1f80;

  if (random_below (random, 3) == 0)
    mxcsr |= random_next (random) & 0xe040;     /* RC, FTZ, DAZ */
  if (random_below (random, 4) == 0)
    mxcsr &= ~(random_next (random) & 0x1f80u);
  if (random_below (random, 2))
    mxcsr |= random_next (random) & 0x3f;
  memcpy (fxsave + 24, &mxcsr, 4);
  fill_values (random, kind, fxsave + 160, 128);
}

/* ---- Encodings ---- */

typedef struct
{
  Random     *random;
  NativeCase *test;
  bool        address_16;
  unsigned    reserved;         /* bit per general register that must keep its value */
} Builder;

static void
emit (Builder *builder, uint32_t value, unsigned n_bytes)
{
  while (n_bytes--)
    {
      builder->test->bytes[builder->test->n_bytes++] = (uint8_t) value;
      value >>= 8;
    }
}

static bool
has_token (const char *form, const char *token)
{
  size_t length = strlen (token);

  for (const char *at = form; *at; at += strcspn (at, "_"), at += *at == '_')
    if (!strncmp (at, token, length) && (at[length] == 0 || at[length] == '_'))
      return true;
  return false;
}

/* Some token of the form begins with one of these letters and is not a register by name. */
static bool
has_letter (const char *form, const char *letters)
{
  for (const char *at = form; *at; at += strcspn (at, "_"), at += *at == '_')
    {
      if (!strncmp (at, "none", 4) || !strncmp (at, "eAX", 3) || !strncmp (at, "AL", 2) || !strncmp (at, "AX", 2)
          || !strncmp (at, "CL", 2) || !strncmp (at, "DX", 2) || !strncmp (at, "ST", 2) || !strncmp (at, "nce", 3)
          || !strncmp (at, "sIb", 3) || (at[1] == 'S' && (at[2] == 0 || at[2] == '_')))
        continue;
      if (strchr (letters, at[0]))
        return true;
    }
  return false;
}

/* ModRM, SIB and displacement for [offset], by whatever form; changes registers that are not reserved. */
static void
emit_memory (Builder *builder, unsigned reg, uint32_t offset)
{
  Random *random = builder->random;
  NativeCase *test = builder->test;
  uint32_t *regs = test->state.regs;
  unsigned mod = random_below (random, 3), rm, displacement_size;
  uint32_t displacement;

  if (builder->address_16)
    {
      static const struct { uint8_t base, index; } forms[8] = {
        { REG_EBX, REG_ESI }, { REG_EBX, REG_EDI }, { REG_EBP, REG_ESI }, { REG_EBP, REG_EDI },
        { REG_ESI, REG_NONE }, { REG_EDI, REG_NONE }, { REG_EBP, REG_NONE }, { REG_EBX, REG_NONE },
      };
      uint16_t sum;

      rm = random_below (random, 8);
      if (forms[rm].base == REG_EBP && random_below (random, 4))
        rm = 7;                 /* BP means SS, where low addresses are unmapped */
      if (mod == 0 && rm == 6)
        {
          emit (builder, reg << 3 | 6, 1);
          emit (builder, offset, 2);
          return;
        }
      displacement = mod == 0 ? 0 : mod == 1 ? (uint32_t) (int8_t) random_next (random) : random_next (random);
      sum = (uint16_t) (offset - displacement);
      if (forms[rm].index != REG_NONE)
        {
          if (builder->reserved >> forms[rm].index & 1)
            ;
          else
            regs[forms[rm].index] = edge_32 (random);
          sum -= (uint16_t) regs[forms[rm].index];
        }
      if (!(builder->reserved >> forms[rm].base & 1))
        regs[forms[rm].base] = (regs[forms[rm].base] & 0xffff0000u) | sum;
      emit (builder, mod << 6 | reg << 3 | rm, 1);
      emit (builder, displacement, mod);
      return;
    }
  rm = random_below (random, 8);
  displacement = mod == 0 ? 0 : mod == 1 ? (uint32_t) (int8_t) random_next (random) : edge_32 (random);
  displacement_size = mod == 2 ? 4 : mod;
  if (rm == 4)
    {
      unsigned base = random_below (random, 8), index = random_below (random, 8), scale = random_below (random, 4);
      uint32_t sum = 0;

      if (base == 5 && mod == 0)
        displacement_size = 4;
      if (index != 4)
        {
          if (!(builder->reserved >> index & 1) && index != base)
            regs[index] = edge_32 (random);
          sum = regs[index] << scale;
        }
      if (base == 5 && mod == 0)
        displacement = offset - sum;
      else if (builder->reserved >> base & 1 || base == index || base == REG_ESP)
        {
          /* The base cannot be chosen: let a long displacement do it. */
          mod = 2;
          displacement_size = 4;
          displacement = offset - sum - regs[base];
        }
      else
        regs[base] = offset - sum - displacement;
      emit (builder, mod << 6 | reg << 3 | 4, 1);
      emit (builder, scale << 6 | index << 3 | base, 1);
    }
  else if (rm == 5 && mod == 0)
    {
      displacement = offset;
      displacement_size = 4;
      emit (builder, reg << 3 | 5, 1);
    }
  else
    {
      if (builder->reserved >> rm & 1)
        {
          mod = 2;
          displacement_size = 4;
          displacement = offset - regs[rm];
        }
      else
        regs[rm] = offset - displacement;
      emit (builder, mod << 6 | reg << 3 | rm, 1);
    }
  emit (builder, displacement, displacement_size);
}

static uint32_t
choose_address (Random *random, unsigned alignment)
{
  uint32_t address;

  switch (random_below (random, 40))
    {
    case 0: address = NATIVE_DATA + NATIVE_PAGE - 16 + random_below (random, 32); break;        /* across two pages */
    case 1: address = NATIVE_DATA + NATIVE_DATA_SIZE - random_below (random, 24); break;        /* into the hole */
    case 2: address = NATIVE_READ_ONLY + 0x800 + random_below (random, 64); break;
    case 3: address = NATIVE_DATA - random_below (random, 8); break;                            /* from read-only */
    default: address = NATIVE_DATA + 0x400 + random_below (random, 0x800); break;
    }
  return random_below (random, 3) ? address & ~(alignment - 1) : address;
}

static uint16_t
choose_selector (Random *random)
{
  static const uint16_t selectors[] = { NATIVE_DS, NATIVE_DS, NATIVE_DS, 0x28, 0x2a, NATIVE_CS, 0, 1, 3, NATIVE_LDT_DS, NATIVE_LDT_CS, 0x0d, 0x17, 0x1000,
                                        0x0107 };

  return selectors[random_below (random, sizeof selectors / sizeof selectors[0])];
}

static bool
is_mnemonic (const InsnRow *row, const char *names)
{
  const char *at = strstr (names, row->mnemonic);
  size_t length = strlen (row->mnemonic);

  while (at != NULL && !((at == names || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0)))
    at = strstr (at + 1, row->mnemonic);
  return at != NULL;
}

void
native_case_generate (Random *random, unsigned row_number, NativeCase *test, uint32_t *ret_first, uint32_t *ret_length)
{
  const InsnRow *row = &insn_rows[row_number];
  const char *form = row->form;
  NativeState *state = &test->state;
  Builder builder = { random, test, false, 1u << REG_ESP };
  ValueKind kind = value_kind (row);
  bool is_string = has_letter (form, "XY");
  bool is_big = is_mnemonic (row, "FXSAVE FXRSTOR");
  bool is_far = is_mnemonic (row, "LES LDS LSS LFS LGS") || (!strcmp (form, "Mp"));
  bool has_modrm, is_16bit, operand_16, locked = false;
  unsigned alignment = 1u << random_below (random, 5), modrm_reg = random_below (random, 8);
  uint32_t address, offset;
  uint8_t *window;

  memset (test, 0, sizeof *test);
  test->row = row_number;
  is_16bit = random_below (random, 5) == 0;
  state->cs = is_16bit ? NATIVE_LDT_CS : NATIVE_CS;
  state->eip = NATIVE_CODE - native_code_base (state->cs) + 16 + random_below (random, 64);
  state->es = state->ds = state->ss = NATIVE_DS;
  state->eflags = 0x202 | (random_next (random) & 0x8d5);
  if (random_below (random, 16) == 0)
    state->eflags |= 0x200000;          /* ID */
  if (random_below (random, 16) == 0)
    state->eflags |= 0x40000;           /* AC, and Linux sets CR0.AM */
  for (unsigned i = 0; i < 8; i++)
    state->regs[i] = edge_32 (random);
  state->regs[REG_ESP] = NATIVE_STACK + 0x800 + (random_below (random, 64) << 2)
                         + (random_below (random, 8) ? 0 : random_below (random, 4));
  /* Now and then at the page's ends; but what POPF and POP FS find must be chosen. */
  if (random_below (random, 200) == 0 && !is_mnemonic (row, "POPF POP"))
    state->regs[REG_ESP] = NATIVE_STACK + (random_below (random, 2) ? random_below (random, 16) : 0xff8 + random_below (random, 16));
  generate_x87 (random, state->fxsave);
  generate_sse (random, kind, state->fxsave);
  if (row->attributes & INSN_ATTRIBUTES_END && !is_string && !is_mnemonic (row, "MOV POP LDS LES LSS LGS POPF STI"))
    test->single_step = true;
  if (test->single_step)
    state->regs[REG_ESP] = NATIVE_STACK + 0x800 + (random_below (random, 64) << 2);

  /* Prefixes */
  operand_16 = is_16bit;
  builder.address_16 = is_16bit;
  if (row->prefix == INSN_PREFIX_IS_ANY && random_below (random, 4) == 0)
    {
      operand_16 = !operand_16;
      emit (&builder, 0x66, 1);
    }
  else if (row->prefix == INSN_PREFIX_IS_66)
    emit (&builder, 0x66, 1);
  if (random_below (random, 8) == 0)
    {
      builder.address_16 = !builder.address_16;
      emit (&builder, 0x67, 1);
    }
  if (builder.address_16)
    {
      state->ds = NATIVE_LDT_DS;
      if (random_below (random, 2))
        state->es = NATIVE_LDT_DS;
    }
  else if (random_below (random, 16) == 0)
    state->ds = random_below (random, 4) ? NATIVE_LDT_DS : 0;
  if (random_below (random, 16) == 0)
    {
      static const uint8_t overrides[] = { 0x26, 0x2e, 0x36, 0x3e };

      emit (&builder, overrides[random_below (random, 4)], 1);
    }
  if (may_repeat_prefix (row) && random_below (random, 2))
    emit (&builder, random_below (random, 2) ? 0xf2 : 0xf3, 1);
  if (row->prefix == INSN_PREFIX_IS_F2)
    emit (&builder, 0xf2, 1);
  if (row->prefix == INSN_PREFIX_IS_F3)
    emit (&builder, 0xf3, 1);

  /* Operand in memory. A locked one stays inside a cache line: a split lock may be trapped by the host. */
  address = choose_address (random, alignment);
  if (is_mnemonic (row, "XCHG CMPXCHG CMPXCHG8B"))
    address &= ~7u;
  if (kind == VALUES_FLOAT || kind == VALUES_DOUBLE || row->feature & (FEATURE_SSE | FEATURE_SSE2) || is_big)
    if (random_below (random, 8))
      address &= ~15u;
  /* Selectors in memory must be ours: what else the host's GDT holds is its own business. */
  if (is_far || is_mnemonic (row, "LAR LSL VERR VERW ARPL") || has_token (form, "Sw"))
    address = NATIVE_DATA + 0x400 + random_below (random, 0x200);
  if (is_mnemonic (row, "INTO"))
    state->eflags &= ~0x800u;           /* otherwise delivered by the host's IDT */
  if (is_big && address > NATIVE_DATA + 0x800 && random_below (random, 16))
    address = NATIVE_DATA + 0x400 + (random_below (random, 16) << 4);
  offset = state->ds == NATIVE_LDT_DS ? address - NATIVE_LDT_BASE : address;

  has_modrm = row->group >= 0 || has_letter (form, "EGPQVWMNURSCD") || has_token (form, "ST") || has_token (form, "STi");
  if (row->group >= 0 && row->group < 8)
    modrm_reg = (unsigned) row->group;
  if (has_token (form, "Sw") && modrm_reg == SEG_FS)
    modrm_reg = SEG_GS;         /* FS belongs to the C library */
  if (has_modrm && row->attributes & INSN_ATTRIBUTES_LOCK && !has_letter (form, "NUR") && random_below (random, 4) == 0)
    locked = true;

  /* Registers with a meaning */
  if (is_string || is_mnemonic (row, "MASKMOVQ MASKMOVDQU"))
    {
      bool es_low = state->es == NATIVE_LDT_DS;
      uint32_t other = choose_address (random, alignment);

      state->regs[REG_ESI] = offset;
      state->regs[REG_EDI] = es_low ? other - NATIVE_LDT_BASE : other;
      if (is_mnemonic (row, "MASKMOVQ MASKMOVDQU"))
        state->regs[REG_EDI] = NATIVE_DATA + 0x400 + random_below (random, 0x200)
                               - (state->ds == NATIVE_LDT_DS ? NATIVE_LDT_BASE : 0);
      state->regs[REG_ECX] = random_below (random, 12);
      if (builder.address_16 && random_below (random, 2))
        {
          state->regs[REG_ECX] |= random_next (random) & 0xffff0000u;
          state->regs[REG_ESI] |= random_next (random) & 0xffff0000u;
          state->regs[REG_EDI] |= random_next (random) & 0xffff0000u;
        }
      state->eflags |= random_below (random, 3) ? 0 : 0x400;
    }
  else if (random_below (random, 8) == 0)
    state->eflags |= 0x400;
  if (is_mnemonic (row, "XLAT"))
    state->regs[REG_EBX] = offset - (state->regs[REG_EAX] & 0xff);
  if (is_mnemonic (row, "DIV IDIV") && random_below (random, 2))
    state->regs[REG_EDX] = edge_32 (random) & 3 ? 0 : 0xffffffff;
  if (is_mnemonic (row, "BT BTS BTR BTC"))
    {
      /* A register bit offset moves the address. */
      state->regs[modrm_reg] = random_below (random, 512) - 256;
      if (modrm_reg == REG_ESP)
        modrm_reg = REG_EAX;
      builder.reserved |= 1u << modrm_reg;
      if (random_below (random, 16))
        state->regs[modrm_reg] &= 0xffu;
      address = NATIVE_DATA + 0x400 + (random_below (random, 0x80) << 3);
      offset = state->ds == NATIVE_LDT_DS ? address - NATIVE_LDT_BASE : address;
    }
  if (is_mnemonic (row, "ENTER LEAVE"))
    state->regs[REG_EBP] = NATIVE_STACK + 0xa00 + (random_below (random, 64) << 2);
  if (is_mnemonic (row, "LAR LSL VERR VERW ARPL") || has_token (form, "Sw"))
    for (unsigned i = 0; i < 8; i++)
      if (i != REG_ESP)
        state->regs[i] = (state->regs[i] & 0xffff0000u) | choose_selector (random);
  if (is_mnemonic (row, "CMPXCHG CMPXCHG8B") && random_below (random, 2))
    builder.reserved |= 1u << REG_EAX | 1u << REG_EDX;

  /* Opcode and operands */
  if (locked)
    {
      /* Before everything else: only its presence counts. */
      memmove (test->bytes + 1, test->bytes, test->n_bytes);
      test->bytes[0] = 0xf0;
      test->n_bytes++;
    }
  if (row->map == 1)
    emit (&builder, 0x0f, 1);
  if (strstr (form, "Zv") == form || strstr (form, "Zb") == form)
    emit (&builder, row->opcode | random_below (random, 8), 1);
  else
    emit (&builder, row->opcode, 1);
  if (row->group >= 0xc0)
    emit (&builder, (unsigned) row->group, 1);
  else if (has_modrm)
    {
      bool memory_only = has_letter (form, "M");
      bool register_only = has_letter (form, "NURCD") || has_token (form, "ST") || has_token (form, "STi");
      bool in_memory = memory_only || (!register_only && (locked || random_below (random, 2)));

      if (locked)
        address &= ~15u;
      if (in_memory)
        {
          if (locked)
            offset = state->ds == NATIVE_LDT_DS ? address - NATIVE_LDT_BASE : address;
          if (is_mnemonic (row, "PUSH POP") )
            builder.reserved |= 1u << REG_ESP;
          emit_memory (&builder, modrm_reg, offset);
        }
      else
        emit (&builder, 0xc0 | modrm_reg << 3 | random_below (random, 8), 1);
    }
  if (has_letter (form, "O"))
    emit (&builder, offset, builder.address_16 ? 2 : 4);
  if (has_token (form, "Ap"))
    {
      emit (&builder, edge_32 (random), operand_16 ? 2 : 4);
      emit (&builder, random_below (random, 2) ? NATIVE_CS : choose_selector (random), 2);
    }
  if (has_token (form, "Iw"))
    emit (&builder, is_mnemonic (row, "ENTER") ? random_below (random, 0x100) : edge_32 (random), 2);
  if (has_token (form, "Ib") || has_token (form, "sIb") || has_token (form, "Jb"))
    {
      uint32_t byte = random_below (random, 2) ? random_next (random) : random_below (random, 34);

      if (is_mnemonic (row, "ENTER"))
        byte = random_below (random, 8);
      if (is_mnemonic (row, "INT") && ((byte & 0xff) == 0x80 || (byte & 0xff) == 3 || (byte & 0xff) == 4))
        byte = 0x21;            /* a system call, and vectors that ring 3 may use */
      emit (&builder, byte, 1);
    }
  if (has_token (form, "Iz") || has_token (form, "Iv") || has_token (form, "Jz"))
    emit (&builder, edge_32 (random), operand_16 ? 2 : 4);

  /* Memory around the operand, and the stack. */
  *ret_first = (address & ~15u) - 32;
  *ret_length = is_big ? 608 : 192;
  if (*ret_first < NATIVE_DATA || *ret_first >= NATIVE_DATA + NATIVE_DATA_SIZE)
    *ret_first = NATIVE_DATA;
  if (*ret_first + *ret_length > NATIVE_DATA + NATIVE_DATA_SIZE)
    *ret_first = NATIVE_DATA + NATIVE_DATA_SIZE - *ret_length;
  for (uint32_t at = *ret_first; at < *ret_first + *ret_length;)
    {
      uint32_t end = (at & ~(NATIVE_PAGE - 1u)) + NATIVE_PAGE, n;

      if (end > *ret_first + *ret_length)
        end = *ret_first + *ret_length;
      n = end - at;
      if (at < address && address < end && kind != VALUES_INTEGER)
        {
          fill_values (random, VALUES_INTEGER, native_bytes (at), address - at);
          fill_values (random, kind, native_bytes (address), end - address);
        }
      else
        fill_values (random, kind, native_bytes (at), n);
      at = end;
    }
  window = address >= NATIVE_DATA && address + 512 <= NATIVE_DATA + NATIVE_DATA_SIZE
           && (address & 0xfff) + 512 <= NATIVE_PAGE ? native_bytes (address) : NULL;
  if (window != NULL)
    {
      uint32_t word;

      if (is_big && address % 16 == 0)
        {
          memset (window, 0, 512);
          generate_x87 (random, window);
          generate_sse (random, VALUES_FLOAT, window);
          window[4] = (uint8_t) random_next (random);
          if (random_below (random, 16) == 0)
            window[26] = 2 << random_below (random, 6);         /* reserved in MXCSR, but for bit 17 of AMD's */
          if (window[26] & 2)
            window[26] = 0;
        }
      if (is_big && address % 16 == 0 && random_below (random, 4) == 0)
        window[2 + random_below (random, 2)] ^= 0x80;   /* a summary that does not fit its flags */
      if (is_mnemonic (row, "FLDENV FRSTOR"))
        {
          unsigned step = operand_16 ? 2 : 4;
          uint8_t image[512];

          memset (image, 0, sizeof image);
          generate_x87 (random, image);
          memcpy (window, image, 2);
          memcpy (window + step, image + 2, 2);
          if (random_below (random, 4) == 0)
            window[step + random_below (random, 2)] ^= 0x80;
          for (unsigned i = 0; i < 8; i++)
            memcpy (window + 7 * step + 10 * i, image + 32 + 16 * i, 10);
        }
      if (is_mnemonic (row, "LDMXCSR"))
        {
          word = random_next (random) & 0xffff;
          if (random_below (random, 8) == 0)
            word |= 0x40000u << random_below (random, 14);
          memcpy (window, &word, 4);
        }
      if (is_far)
        put16 (window + (operand_16 ? 2 : 4), is_mnemonic (row, "LES LDS LSS LFS LGS") || random_below (random, 2)
               ? choose_selector (random) : NATIVE_CS);
      if (is_mnemonic (row, "LAR LSL VERR VERW ARPL") || has_token (form, "Sw"))
        put16 (window, choose_selector (random));
      if (is_mnemonic (row, "CMPXCHG") && random_below (random, 2))
        memcpy (window, &state->regs[REG_EAX], 4);
      if (is_mnemonic (row, "CMPXCHG8B") && random_below (random, 2))
        {
          memcpy (window, &state->regs[REG_EAX], 4);
          memcpy (window + 4, &state->regs[REG_EDX], 4);
        }
    }
  if ((state->regs[REG_ESP] & 0xfff) >= 0x400 && (state->regs[REG_ESP] & 0xfff) < 0xe00
      && state->regs[REG_ESP] - NATIVE_STACK < NATIVE_PAGE)
    {
      uint8_t *stack = native_bytes (state->regs[REG_ESP]);

      fill_values (random, VALUES_INTEGER, stack - 64, 64 + 128);
      if (is_mnemonic (row, "RETF IRET"))
        {
          unsigned step = operand_16 ? 2 : 4;
          uint32_t flags = (random_next (random) & 0x200cd5) | 0x202;

          put16 (stack + step, random_below (random, 2) ? NATIVE_CS : choose_selector (random));
          memcpy (stack + 2 * step, &flags, step);
        }
      if (is_mnemonic (row, "POPF"))
        {
          /* TF, AC and NT would act on the host. */
          uint32_t flags = random_next (random) & ~0x44100u;

          memcpy (stack, &flags, 4);
        }
      if (is_mnemonic (row, "POP") && !has_letter (form, "EZ"))
        put16 (stack, choose_selector (random));
    }
}
