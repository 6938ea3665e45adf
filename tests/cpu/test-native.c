/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The interpreter against the processor that runs the tests.
 *
 * Every user-mode row of insns.def is executed with random bytes and operands (native-cases.c) once by this host in 32-bit
 * compatibility mode (native-run.c) and once by the interpreter, and everything visible is compared: registers,
 * flags but the undefined ones, segment registers, x87, MMX and SSE state, memory, and the exception with its error
 * code and CR2.
 *
 *   BULKHEAD_NATIVE_CASES   cases in all; default: what fits into a few seconds per group
 *   BULKHEAD_NATIVE_SEED    where to begin
 *   BULKHEAD_NATIVE_ROW     only this mnemonic
 *
 * Where this host and the interpreter may differ, although both are right, stands in `differences` below. */
#include "flags.h"
#include "interpreter.h"
#include "native-cases.h"
#include "paging.h"
#include "physical-memory.h"
#include "segments.h"
#include "tlb.h"
#include "virtual-clock.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

/* ---- The guest ---- */

enum { RAM_BYTES = 1 << 20, DIRECTORY = 0x1000, TABLE = 0x2000, DESCRIPTORS = 0x3000, LOCAL_DESCRIPTORS = 0x3800, WORLD = 0x10000,
       DESCRIPTORS_LINEAR = 0x00300000 };

typedef struct
{
  Bus         *bus;
  GuestMemory *memory;
  Clock       *clock;
  Cpu         *cpu;
  const char  *why_not;
} Guest;

static const uint32_t world_pages[NATIVE_WORLD] = { NATIVE_CODE, NATIVE_LEAVE, NATIVE_READ_ONLY, NATIVE_DATA,
                                                    NATIVE_DATA + NATIVE_PAGE, NATIVE_STACK };

static uint8_t *
guest_bytes (Guest *guest, uint32_t address)
{
  for (unsigned i = 0; i < NATIVE_WORLD; i++)
    if (address - world_pages[i] < NATIVE_PAGE)
      return guest->memory->host + WORLD + i * NATIVE_PAGE + (address - world_pages[i]);
  return NULL;
}

static void
put32 (uint8_t *bytes, uint32_t value)
{
  memcpy (bytes, &value, 4);
}

static void
put_descriptor (uint8_t *bytes, uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
  put32 (bytes, (limit & 0xffff) | base << 16);
  put32 (bytes + 4, (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | flags << 20 | (base & 0xff000000u));
}

/* The selectors that a 64-bit Linux process has, and nothing but the world in user pages. */
static void
guest_open (Guest *guest)
{
  static const CpuConfig config = { .model = CPU_MODEL_PENTIUM_M };
  uint8_t *ram;

  guest->bus = bus_new ();
  guest->memory = guest_memory_new (RAM_BYTES, 0, -1, guest->bus);
  guest->clock = clock_new (CLOCK_MANUAL, NULL);
  guest->cpu = cpu_new (&config, guest->memory, guest->bus, guest->clock);
  ram = guest->memory->host;
  put32 (ram + DIRECTORY + 4 * (NATIVE_CODE >> 22), TABLE | 0x67);
  put32 (ram + DIRECTORY, (TABLE + 0x5000) | 0x67);
  put32 (ram + TABLE + 0x5000 + 4 * (DESCRIPTORS_LINEAR >> 12), DESCRIPTORS | 0x63);
  for (unsigned i = 0; i < NATIVE_WORLD; i++)
    put32 (ram + TABLE + 4 * (world_pages[i] >> 12 & 0x3ff), (WORLD + i * NATIVE_PAGE) | 0x65 | (i >= 3 ? 2 : 0));
  put_descriptor (ram + DESCRIPTORS + (NATIVE_CS & ~7), 0, 0xfffff, 0xfb, 0xc);
  put_descriptor (ram + DESCRIPTORS + (NATIVE_DS & ~7), 0, 0xfffff, 0xf3, 0xc);
  put_descriptor (ram + LOCAL_DESCRIPTORS, NATIVE_LDT_BASE, NATIVE_LDT_LIMIT, 0xf3, 0x4);
  put_descriptor (ram + LOCAL_DESCRIPTORS + 8, NATIVE_CODE, NATIVE_LDT_LIMIT, 0xfb, 0);
  guest->cpu->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_AM;
  guest->cpu->cr3 = DIRECTORY;
  guest->cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
  guest->cpu->gdt_base = DESCRIPTORS_LINEAR;
  guest->cpu->gdt_limit = 0x7f;
  guest->cpu->idt_limit = 0;
  guest->cpu->ldt = (Segment) { .base = DESCRIPTORS_LINEAR + 0x800, .limit = 15, .selector = 0x50, .attributes = 0x82 };
  /* No I/O permission map. */
  put32 (ram + DESCRIPTORS + 0xc00 + 0x64, 0xffff0000u);
  guest->cpu->task = (Segment) { .base = DESCRIPTORS_LINEAR + 0xc00, .limit = 0x67, .selector = 0x40, .attributes = 0x8b };
  tlb_flush (guest->cpu, true);
}

static void
guest_close (Guest *guest)
{
  cpu_free (guest->cpu);
  clock_free (guest->clock);
  guest_memory_free (guest->memory);
  bus_free (guest->bus);
}

static Segment
flat_segment (uint16_t selector)
{
  switch (selector)
    {
    case NATIVE_CS:
      return (Segment) { .base = 0, .limit = 0xffffffff, .selector = selector, .attributes = 0xc0fb };
    case NATIVE_DS:
      return (Segment) { .base = 0, .limit = 0xffffffff, .selector = selector, .attributes = 0xc0f3 };
    case NATIVE_LDT_DS:
      return (Segment) { .base = NATIVE_LDT_BASE, .limit = NATIVE_LDT_LIMIT, .selector = selector, .attributes = 0x40f3 };
    case NATIVE_LDT_CS:
      return (Segment) { .base = NATIVE_CODE, .limit = NATIVE_LDT_LIMIT, .selector = selector, .attributes = 0x00fb };
    default:
      return (Segment) { .selector = selector };
    }
}

static void
fpu_from_image (Fpu *fpu, const uint8_t *image)
{
  unsigned top;

  memcpy (&fpu->control, image, 2);
  memcpy (&fpu->status, image + 2, 2);
  fpu->valid = image[4];
  memcpy (&fpu->mxcsr, image + 24, 4);
  top = fpu->status >> 11 & 7;
  for (unsigned i = 0; i < 8; i++)
    memcpy (fpu->r[(top + i) & 7], image + 32 + 16 * i, 10);
  memcpy (fpu->xmm, image + 160, 128);
  fpu->ip = fpu->dp = 0;
  fpu->cs = fpu->ds = fpu->opcode = 0;
}

static void
fpu_to_image (const Fpu *fpu, uint8_t *image)
{
  unsigned top = fpu->status >> 11 & 7;

  memcpy (image, &fpu->control, 2);
  memcpy (image + 2, &fpu->status, 2);
  image[4] = fpu->valid;
  memcpy (image + 24, &fpu->mxcsr, 4);
  for (unsigned i = 0; i < 8; i++)
    memcpy (image + 32 + 16 * i, fpu->r[(top + i) & 7], 10);
  memcpy (image + 160, fpu->xmm, 128);
}

/* One instruction.  A repeated one is run to its end, as the host does. */
static void
guest_run (Guest *guest, const NativeCase *test, const DecodedInsn *insn, int decoded, NativeState *state)
{
  Cpu *cpu = guest->cpu;
  ExitReason reason;
  bool repeats = insn_rows[insn->row].attributes & INSN_ATTRIBUTES_REP && insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE);

  memcpy (cpu->regs, test->state.regs, sizeof cpu->regs);
  cpu->eip = test->state.eip;
  cpu->eflags = test->state.eflags;
  cpu->lazy_operation = 0;
  cpu->cpl = 3;
  cpu->inhibit = 0;
  cpu->halted = false;
  cpu->segments[SEG_CS] = flat_segment (test->state.cs);
  cpu->segments[SEG_SS] = flat_segment (test->state.ss);
  cpu->segments[SEG_ES] = flat_segment (test->state.es);
  cpu->segments[SEG_DS] = flat_segment (test->state.ds);
  cpu->segments[SEG_FS] = flat_segment (0);
  cpu->segments[SEG_GS] = flat_segment (test->state.gs);
  fpu_from_image (&cpu->fpu, test->state.fxsave);
  cpu_changed (cpu);
  *state = test->state;
  state->vector = -1;
  state->error = state->cr2 = 0;
  if (decoded == 0)
    {
      InterpretFunc routine = interpreter_routine (insn);
      unsigned count = 0;

      do
        reason = routine (cpu, insn);
      while (repeats && reason != EXIT_FAULT && cpu->eip == test->state.eip && reason != EXIT_NONE && count++ < 1000);
    }
  else
    {
      reason = EXIT_FAULT;
      cpu->exception_vector = decoded == -E2BIG ? VECTOR_GP : VECTOR_UD;
      cpu->exception_has_error = decoded == -E2BIG;
      cpu->exception_error = 0;
    }
  if (reason == EXIT_NONE)
    cpu->eip += insn->length;
  if (reason == EXIT_FAULT)
    {
      state->vector = cpu->exception_vector;
      state->error = cpu->exception_has_error ? cpu->exception_error : 0;
      state->cr2 = cpu->exception_vector == VECTOR_PF ? cpu->cr2 : 0;
    }
  memcpy (state->regs, cpu->regs, sizeof cpu->regs);
  state->eip = cpu->eip;
  state->eflags = cpu_get_eflags (cpu);
  state->es = cpu->segments[SEG_ES].selector;
  state->ds = cpu->segments[SEG_DS].selector;
  state->ss = cpu->segments[SEG_SS].selector;
  state->gs = cpu->segments[SEG_GS].selector;
  state->cs = cpu->segments[SEG_CS].selector;
  fpu_to_image (&cpu->fpu, state->fxsave);
}

/* ---- Comparison ---- */

static uint32_t
undefined_flags (const NativeCase *test, const DecodedInsn *insn)
{
  const InsnRow *row = &insn_rows[test->row];
  uint32_t undefined = row->undefined;
  unsigned count, bits;

  /* Shifts and rotates: a count of 0 changes nothing, a count of 1 defines OF (SDM vol. 2, SAL, RCL, SHLD). */
  if (g_str_has_suffix (row->form, "_Ib") || g_str_has_suffix (row->form, "_CL"))
    if (undefined & EFLAGS_OF && row->written & EFLAGS_CF && !g_str_has_prefix (row->form, "AL") && strcmp (row->form, "Ib"))
      {
        count = (g_str_has_suffix (row->form, "_CL") ? test->state.regs[REG_ECX] : insn->immediate) & 31;
        bits = 8 * insn->operand_size;
        if (count == 0)
          undefined = 0;
        else if (count == 1)
          undefined &= ~(uint32_t) EFLAGS_OF;
        if (count <= bits)
          undefined &= ~(uint32_t) EFLAGS_CF;
        else if (g_str_has_prefix (row->mnemonic, "SH") && strlen (row->mnemonic) == 4)
          undefined = EFLAGS_ARITHMETIC;        /* SHLD, SHRD: the result too */
      }
  return undefined;
}

static bool
result_is_undefined (const NativeCase *test, const DecodedInsn *insn)
{
  const InsnRow *row = &insn_rows[test->row];
  unsigned count = (g_str_has_suffix (row->form, "_CL") ? test->state.regs[REG_ECX] : insn->immediate) & 31;

  return (!strcmp (row->mnemonic, "SHLD") || !strcmp (row->mnemonic, "SHRD")) && count > 8u * insn->operand_size;
}

typedef struct
{
  GString *text;
} Differences;

static void
differ (Differences *differences, const char *what, uint64_t native, uint64_t guest)
{
  if (native != guest)
    g_string_append_printf (differences->text, "  %-8s native %0*" G_GINT64_MODIFIER "x  interpreter %0*" G_GINT64_MODIFIER "x\n",
                            what, 8, native, 8, guest);
}

static void
differ_bytes (Differences *differences, const char *what, unsigned number, const uint8_t *native, const uint8_t *guest,
              unsigned n_bytes)
{
  if (!memcmp (native, guest, n_bytes))
    return;
  g_string_append_printf (differences->text, "  %s%x\n    native      ", what, number);
  for (unsigned i = n_bytes; i-- > 0;)
    g_string_append_printf (differences->text, "%02x", native[i]);
  g_string_append (differences->text, "\n    interpreter ");
  for (unsigned i = n_bytes; i-- > 0;)
    g_string_append_printf (differences->text, "%02x", guest[i]);
  g_string_append (differences->text, "\n");
}

static void
compare_states (Differences *differences, const NativeState *native, const NativeState *guest, uint32_t undefined)
{
  static const char *const names[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" };
  uint32_t mask = (EFLAGS_ARITHMETIC | EFLAGS_DF | EFLAGS_IF | EFLAGS_IOPL | EFLAGS_NT | EFLAGS_AC | EFLAGS_ID) & ~undefined;
  uint32_t native_mxcsr, guest_mxcsr;
  uint16_t a, b;

  differ (differences, "vector", (unsigned) native->vector, (unsigned) guest->vector);

  if (native->vector == guest->vector)
    {
      differ (differences, "error", native->error, guest->error);
      if (native->vector == VECTOR_PF)
        differ (differences, "cr2", native->cr2, guest->cr2);
    }
  for (unsigned i = 0; i < 8; i++)
    differ (differences, names[i], native->regs[i], guest->regs[i]);
  differ (differences, "eip", native->eip, guest->eip);
  differ (differences, "eflags", native->eflags & mask, guest->eflags & mask);
  /* The host's interrupts turn null selectors 1 ... 3 into 0 (SDM vol. 2, IRET). */
  differ (differences, "es", native->es > 3 ? native->es : 0, guest->es > 3 ? guest->es : 0);
  differ (differences, "cs", native->cs, guest->cs);
  differ (differences, "ss", native->ss, guest->ss);
  differ (differences, "ds", native->ds > 3 ? native->ds : 0, guest->ds > 3 ? guest->ds : 0);
  differ (differences, "gs", native->gs > 3 ? native->gs : 0, guest->gs > 3 ? guest->gs : 0);
  memcpy (&a, native->fxsave, 2);
  memcpy (&b, guest->fxsave, 2);
  differ (differences, "fcw", a, b);
  memcpy (&a, native->fxsave + 2, 2);
  memcpy (&b, guest->fxsave + 2, 2);
  differ (differences, "fsw", a, b);
  differ (differences, "ftw", native->fxsave[4], guest->fxsave[4]);
  memcpy (&native_mxcsr, native->fxsave + 24, 4);
  memcpy (&guest_mxcsr, guest->fxsave + 24, 4);
  differ (differences, "mxcsr", native_mxcsr, guest_mxcsr);
  for (unsigned i = 0; i < 8; i++)
    differ_bytes (differences, "st", i, native->fxsave + 32 + 16 * i, guest->fxsave + 32 + 16 * i, 10);
  for (unsigned i = 0; i < 8; i++)
    differ_bytes (differences, "xmm", i, native->fxsave + 160 + 16 * i, guest->fxsave + 160 + 16 * i, 16);
}

/* Memory that may differ.  Fields of a stored environment that the host does not keep as a Pentium III does: AMD processors
 * write the instruction and operand pointers only while an exception is pending, newer ones of both vendors never the
 * selectors; MXCSR_MASK names bits of the host.  And the upper half of a pushed segment register, which is zero or left as
 * it was (SDM vol. 2, PUSH). */
static void
ignore_memory (Guest *guest, const NativeCase *test, const DecodedInsn *insn, const NativeState *native)
{
  const char *mnemonic = insn_rows[test->row].mnemonic;
  uint32_t first, length;
  uint32_t address = insn->displacement;

  if (!strcmp (mnemonic, "PUSH") && strlen (insn_rows[test->row].form) == 2 && insn_rows[test->row].form[1] == 'S'
      && insn->operand_size == 4 && native->vector == -1)
    {
      memcpy (guest_bytes (guest, native->regs[REG_ESP] + 2), native_bytes (native->regs[REG_ESP] + 2), 2);
      return;
    }
  if (!strcmp (mnemonic, "FNSTENV") || !strcmp (mnemonic, "FNSAVE"))
    {
      first = insn->operand_size == 4 ? 12 : 6;
      length = insn->operand_size == 4 ? 16 : 8;
    }
  else if (!strcmp (mnemonic, "FXSAVE"))
    {
      first = 6;
      length = 26;
    }
  else
    return;
  if (insn->base != REG_NONE)
    address += test->state.regs[insn->base];
  if (insn->index != REG_NONE)
    address += test->state.regs[insn->index] << insn->scale;
  if (insn->address_size == 2)
    address &= 0xffff;
  address += flat_segment (insn->segment == SEG_DS ? test->state.ds : insn->segment == SEG_ES ? test->state.es
                           : insn->segment == SEG_CS ? test->state.cs : NATIVE_DS).base;
  for (uint32_t at = address + first; at < address + first + length; at++)
    {
      if (!strcmp (mnemonic, "FXSAVE") && at - address >= 24 && at - address < 28)
        continue;       /* MXCSR itself */
      if (native_bytes (at) != NULL && at >= NATIVE_DATA)
        *guest_bytes (guest, at) = *native_bytes (at);
    }
}

static void
compare_memory (Differences *differences, Guest *guest)
{
  for (unsigned i = 3; i < NATIVE_WORLD; i++)
    {
      uint8_t *native = native_bytes (world_pages[i]), *ours = guest_bytes (guest, world_pages[i]);

      if (!memcmp (native, ours, NATIVE_PAGE))
        continue;
      for (unsigned at = 0; at < NATIVE_PAGE; at += 16)
        if (memcmp (native + at, ours + at, 16))
          differ_bytes (differences, "memory ", world_pages[i] + at, native + at, ours + at, 16);
      memcpy (ours, native, NATIVE_PAGE);
    }
}

/* Differences that are nobody's fault.  Each is a place where the manuals leave the choice to the processor, or where this
 * harness, not the instruction, is seen. */
typedef struct
{
  const char *mnemonics;        /* NULL: all */
  const char *reason;
  bool      (*applies) (const NativeCase *test, const DecodedInsn *insn, const NativeState *native, const NativeState *guest);
} Difference;

#include "native-differences.inc"

static const char *
explain (const NativeCase *test, const DecodedInsn *insn, const NativeState *native, const NativeState *guest)
{
  const char *mnemonic = insn_rows[test->row].mnemonic;

  for (unsigned i = 0; i < G_N_ELEMENTS (differences_table); i++)
    {
      const Difference *difference = &differences_table[i];
      g_auto (GStrv) names = difference->mnemonics != NULL ? g_strsplit (difference->mnemonics, " ", -1) : NULL;

      if ((names == NULL || g_strv_contains ((const char *const *) names, mnemonic))
          && difference->applies (test, insn, native, guest))
        return difference->reason;
    }
  return NULL;
}

static void
describe (const NativeCase *test, const DecodedInsn *insn, int decoded, uint64_t seed, const Differences *differences)
{
  const InsnRow *row = &insn_rows[test->row];
  g_autoptr (GString) bytes = g_string_new (NULL);
  const uint8_t *fxsave = test->state.fxsave;
  char text[128] = "(not decoded)";

  for (unsigned i = 0; i < test->n_bytes; i++)
    g_string_append_printf (bytes, "%02x ", test->bytes[i]);
  if (decoded == 0)
    insn_disassemble (insn, test->state.eip, text, sizeof text);
  g_test_message ("%s %s (row %u): %s %s seed 0x%" G_GINT64_MODIFIER "x", row->mnemonic, row->form, test->row, bytes->str, text, seed);
  g_test_message ("  before: eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi %08x edi %08x eip %08x eflags %08x cs %x ds %x es %x",
                  test->state.regs[0], test->state.regs[1], test->state.regs[2], test->state.regs[3], test->state.regs[4],
                  test->state.regs[5], test->state.regs[6], test->state.regs[7], test->state.eip, test->state.eflags,
                  test->state.cs, test->state.ds, test->state.es);
  if (row->feature & (FEATURE_FPU | FEATURE_MMX | FEATURE_SSE | FEATURE_SSE2 | FEATURE_FXSR | FEATURE_CMOV))
    {
      g_test_message ("  before: fcw %02x%02x fsw %02x%02x ftw %02x mxcsr %02x%02x", fxsave[1], fxsave[0], fxsave[3], fxsave[2],
                      fxsave[4], fxsave[25], fxsave[24]);
      for (unsigned i = 0; i < 8; i++)
        {
          g_autoptr (GString) line = g_string_new (NULL);

          g_string_append_printf (line, "  before: st%u ", i);
          for (unsigned j = 10; j-- > 0;)
            g_string_append_printf (line, "%02x", fxsave[32 + 16 * i + j]);
          g_string_append_printf (line, " xmm%u ", i);
          for (unsigned j = 16; j-- > 0;)
            g_string_append_printf (line, "%02x", fxsave[160 + 16 * i + j]);
          g_test_message ("%s", line->str);
        }
    }
  g_test_message ("%s", differences->text->str);
}

/* ---- Running ---- */

typedef struct
{
  const char *name;
  uint32_t    features;         /* rows that need one of these; 0: only base rows */
  bool        rest;
} Group;

static const Group groups[] = {
  { "integer", 0, true },
  { "x87", FEATURE_FPU, false },
  { "mmx", FEATURE_MMX, false },
  { "sse", FEATURE_SSE | FEATURE_FXSR, false },
  { "sse2", FEATURE_SSE2 | FEATURE_CLFLUSH, false },
};

static bool
in_group (const Group *group, const InsnRow *row)
{
  uint32_t feature = row->feature;

  if (feature == FEATURE_CMOV && row->mnemonic[0] == 'F')
    feature = FEATURE_FPU;
  if (group->rest)
    {
      for (unsigned i = 0; i < G_N_ELEMENTS (groups); i++)
        if (feature & groups[i].features)
          return false;
      return true;
    }
  return (feature & group->features) != 0;
}

static Guest guest;

enum { MAX_REPORTS = 25, MAX_REPORTS_PER_ROW = 2 };

static void
copy_to_guest (uint32_t first, uint32_t length)
{
  while (length > 0)
    {
      uint32_t n = NATIVE_PAGE - (first & (NATIVE_PAGE - 1));

      if (n > length)
        n = length;
      memcpy (guest_bytes (&guest, first), native_bytes (first), n);
      first += n;
      length -= n;
    }
}

/* Returns false when the case failed. */
static bool
run_case (unsigned row, uint64_t seed, unsigned *reports, bool quiet, unsigned *explained)
{
  Random random = { seed };
  NativeCase test;
  NativeState native, ours;
  Differences differences;
  DecodedInsn insn;
  uint32_t first, length, stack_first;
  int decoded;
  const char *reason;
  bool same;

  native_case_generate (&random, row, &test, &first, &length);
  memcpy (native_bytes (native_code_base (test.state.cs) + test.state.eip), test.bytes, test.n_bytes);
  memset (&insn, 0, sizeof insn);
  decoded = insn_decode (test.bytes, test.n_bytes, test.state.cs == NATIVE_CS ? DECODE_CODE32 | DECODE_STACK32 : DECODE_STACK32, guest.cpu->features, &insn);
  if (decoded == 0 && insn.length != test.n_bytes)
    {
      g_test_message ("row %u %s %s: %u bytes generated, %u decoded", row, insn_rows[row].mnemonic, insn_rows[row].form,
                      test.n_bytes, insn.length);
      return false;
    }
  copy_to_guest (first, length);
  stack_first = NATIVE_STACK;
  copy_to_guest (stack_first, NATIVE_PAGE);
  if (test.single_step)
    put32 (guest_bytes (&guest, test.state.regs[REG_ESP] - 4), test.state.eflags | 0x100);
  native = test.state;
  native_run (&native, test.n_bytes, test.single_step);
  memcpy (guest_bytes (&guest, NATIVE_CODE), native_bytes (NATIVE_CODE), 256);
  guest_run (&guest, &test, &insn, decoded, &ours);
  if (decoded == 0)
    ignore_memory (&guest, &test, &insn, &native);
  differences.text = g_string_new (NULL);
  compare_states (&differences, &native, &ours, decoded == 0 && native.vector == -1 ? undefined_flags (&test, &insn) : 0);
  compare_memory (&differences, &guest);
  same = differences.text->len == 0;
  if (!same && (reason = decoded == 0 && result_is_undefined (&test, &insn) ? "count beyond the operand"
                                                                            : explain (&test, &insn, &native, &ours)) != NULL)
    {
      ++*explained;
      same = true;
    }
  if (!same && !quiet)
    {
      describe (&test, &insn, decoded, seed, &differences);
      ++*reports;
    }
  g_string_free (differences.text, TRUE);
  return same;
}

static void
test_group (const void *data)
{
  const Group *group = data;
  const char *cases_text = g_getenv ("BULKHEAD_NATIVE_CASES"), *seed_text = g_getenv ("BULKHEAD_NATIVE_SEED");
  const char *only = g_getenv ("BULKHEAD_NATIVE_ROW");
  uint64_t n_cases = cases_text != NULL ? strtoull (cases_text, NULL, 0) / G_N_ELEMENTS (groups) : UINT64_MAX;
  uint64_t base = seed_text != NULL ? strtoull (seed_text, NULL, 0) : 1;
  gint64 deadline = cases_text != NULL ? G_MAXINT64 : g_get_monotonic_time () + 2500000;
  uint64_t run = 0, failed = 0;
  unsigned rows[N_INSN_ROWS], n_rows = 0, reports = 0, explained = 0, failed_rows = 0;
  unsigned failures[N_INSN_ROWS] = { 0 };

  if (guest.why_not != NULL)
    {
      g_test_skip (guest.why_not);
      return;
    }
  for (unsigned i = 0; i < N_INSN_ROWS; i++)
    if (in_group (group, &insn_rows[i]) && native_row_excluded (&insn_rows[i]) == NULL
        && (only == NULL || !strcmp (only, insn_rows[i].mnemonic)))
      rows[n_rows++] = i;
  if (n_rows == 0)
    return;
  while (run < n_cases && (run % 64 || g_get_monotonic_time () < deadline))
    {
      unsigned row = rows[run % n_rows];
      uint64_t seed = (base << 40 | run) * 0x9e3779b97f4a7c15u | 1;

      if (!run_case (row, seed, &reports, reports >= MAX_REPORTS || failures[row] >= MAX_REPORTS_PER_ROW, &explained))
        {
          failures[row]++;
          failed++;
        }
      run++;
    }
  for (unsigned i = 0; i < N_INSN_ROWS; i++)
    if (failures[i])
      {
        failed_rows++;
        g_test_message ("row %u %s %s: %u of about %" G_GUINT64_FORMAT " cases differ", i, insn_rows[i].mnemonic, insn_rows[i].form,
                        failures[i], run / n_rows);
      }
  g_test_message ("%" G_GUINT64_FORMAT " cases over %u rows, %u explained differences, %" G_GUINT64_FORMAT " failures in %u rows",
                  run, n_rows, explained, failed, failed_rows);
  if (failed > 0)
    g_test_fail ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (unsigned i = 0; i < G_N_ELEMENTS (groups); i++)
    {
      g_autofree char *path = g_strdup_printf ("/native/%s", groups[i].name);

      g_test_add_data_func (path, &groups[i], test_group);
    }
  guest_open (&guest);
  guest.why_not = native_open ();
  if (guest.why_not == NULL)
    for (unsigned i = 0; i < NATIVE_WORLD; i++)
      memcpy (guest_bytes (&guest, world_pages[i]), native_bytes (world_pages[i]), NATIVE_PAGE);

  int result = g_test_run ();

  guest_close (&guest);
  return result;
}
