/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The translator against the interpreter: the programs of translator-programs.asm on a processor with memory and
 * nothing else, by interpretation, in counted and in free-running translated code, and in lockstep.
 *
 *   test-translator [--tap] translator-programs.bin */
#include "decode.h"
#include "engine-lockstep.h"
#include "engine.h"
#include "insn-table.h"
#include "interpreter.h"
#include "physical-memory.h"
#include "translator-engine.h"
#include "virtual-clock.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#define PROGRAMS 0x100000u
#define RAM_BYTES (16u << 20)

typedef enum { RUN_INTERPRETER, RUN_COUNTED, RUN_FREE, RUN_LOCKSTEP, RUN_LOCKSTEP_FINE } RunKind;

static uint8_t *programs;
static gsize    n_program_bytes;

typedef struct
{
  Bus         *bus;
  GuestMemory *memory;
  Clock       *clock;
  Cpu         *cpu;
  Engine      *engine;
} Machine;

static void
put32 (Machine *machine, uint32_t address, uint32_t value)
{
  memcpy (machine->memory->host + address, &value, 4);
}

static uint32_t
get32 (const uint8_t *bytes, uint32_t offset)
{
  uint32_t value;

  memcpy (&value, bytes + offset, 4);
  return value;
}

static Machine *
machine_new (RunKind kind)
{
  Machine *machine = g_new0 (Machine, 1);
  CpuConfig config = { CPU_MODEL_PENTIUM3, false };
  const char *error = NULL;
  Cpu *cpu;

  machine->bus = bus_new ();
  machine->memory = guest_memory_new (RAM_BYTES, 0, -1, machine->bus);
  g_assert_nonnull (machine->memory);
  machine->clock = clock_new (CLOCK_INSTRUCTIONS, NULL);
  machine->cpu = cpu = cpu_new (&config, machine->memory, machine->bus, machine->clock);
  g_assert_nonnull (cpu);
  clock_set_counter (machine->clock, &cpu->instructions);
  clock_start (machine->clock);

  if (programs)
    memcpy (machine->memory->host + PROGRAMS, programs, n_program_bytes);
  /* IDT at 1000h: interrupt gates to HLT instructions at 2000h; GDT at 800h: see translator-programs.asm. */
  for (unsigned i = 0; i < 64; i++)
    {
      put32 (machine, 0x1000 + i * 8, 0x00080000 | (0x2000 + i));
      put32 (machine, 0x1000 + i * 8 + 4, 0x00008e00);
      machine->memory->host[0x2000 + i] = 0xf4;
    }
  put32 (machine, 0x808, 0x0000ffff), put32 (machine, 0x80c, 0x00cf9b00);
  put32 (machine, 0x810, 0x0000ffff), put32 (machine, 0x814, 0x00cf9300);
  put32 (machine, 0x818, 0x0000ffff), put32 (machine, 0x81c, 0x00cf9320);
  put32 (machine, 0x820, 0x00000fff), put32 (machine, 0x824, 0x00409320);
  put32 (machine, 0x828, 0x30000067), put32 (machine, 0x82c, 0x00008900);
  put32 (machine, 0x830, 0x0000ffff), put32 (machine, 0x834, 0x00cffb00);
  put32 (machine, 0x838, 0x0000ffff), put32 (machine, 0x83c, 0x00cff300);
  cpu->gdt_base = 0x800;
  cpu->gdt_limit = 0x3f;
  cpu->idt_base = 0x1000;
  cpu->idt_limit = 64 * 8 - 1;
  cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    cpu->segments[i] = (Segment) { 0, UINT32_MAX, i == SEG_CS ? 8 : 0x10, i == SEG_CS ? 0xc09b : 0xc093 };
  cpu->regs[REG_ESP] = 0x90000;
  cpu->eflags = EFLAGS_1;

  if (kind == RUN_INTERPRETER)
    machine->engine = engine_new_interpreter (cpu, true, &error);
  else if (kind == RUN_COUNTED || kind == RUN_FREE)
    machine->engine = engine_new_translator (cpu, kind == RUN_COUNTED, &error);
  else
    machine->engine = engine_new_lockstep (cpu, &error);
  if (!machine->engine)
    g_error ("%s", error);
  if (kind == RUN_COUNTED || kind == RUN_FREE)
    translator_set_threshold (machine->engine, 2);
  else if (kind != RUN_INTERPRETER)
    {
      translator_set_threshold (engine_lockstep_translator (machine->engine), 2);
      engine_lockstep_set_chunk (machine->engine, kind == RUN_LOCKSTEP_FINE ? 1 + 16 : 1000);
    }
  return machine;
}

static void
machine_free (Machine *machine)
{
  machine->engine->klass->free (machine->engine);
  cpu_free (machine->cpu);
  clock_free (machine->clock);
  guest_memory_free (machine->memory);
  bus_free (machine->bus);
  g_free (machine);
}

static ExitReason
machine_run (Machine *machine, uint64_t most)
{
  ExitReason reason = EXIT_REQUEST;
  uint64_t limit = machine->cpu->instructions + most;
  gint64 deadline = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

  machine->cpu->instruction_limit = machine->engine->exact ? limit : UINT64_MAX;
  while (reason == EXIT_REQUEST && machine->cpu->instructions < limit && g_get_monotonic_time () < deadline)
    reason = machine->engine->klass->run (machine->engine);
  return reason;
}

static void
assert_same_state (const Machine *a, const Machine *b, bool exact)
{
  for (unsigned i = 0; i < 8; i++)
    g_assert_cmphex (a->cpu->regs[i], ==, b->cpu->regs[i]);
  g_assert_cmphex (a->cpu->eip, ==, b->cpu->eip);
  g_assert_cmphex (cpu_get_eflags (a->cpu) & (EFLAGS_CF | EFLAGS_ZF | EFLAGS_DF | EFLAGS_IF), ==,
                   cpu_get_eflags (b->cpu) & (EFLAGS_CF | EFLAGS_ZF | EFLAGS_DF | EFLAGS_IF));
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    g_assert_cmphex (a->cpu->segments[i].selector, ==, b->cpu->segments[i].selector);
  g_assert_cmphex (a->cpu->cr0, ==, b->cpu->cr0);
  g_assert_cmphex (a->cpu->cr2, ==, b->cpu->cr2);
  g_assert_cmphex (a->cpu->cr3, ==, b->cpu->cr3);
  g_assert_cmpmem (a->cpu->fpu.xmm, sizeof a->cpu->fpu.xmm, b->cpu->fpu.xmm, sizeof b->cpu->fpu.xmm);
  if (exact)
    g_assert_cmpuint (a->cpu->instructions, ==, b->cpu->instructions);
  for (uint32_t page = 0; page < RAM_BYTES / 4096; page++)
    if (memcmp (a->memory->host + page * 4096, b->memory->host + page * 4096, 4096))
      for (unsigned i = 0; i < 4096; i++)
        if (a->memory->host[page * 4096 + i] != b->memory->host[page * 4096 + i])
          g_error ("memory at %08x: %02x and %02x", page * 4096 + i, a->memory->host[page * 4096 + i], b->memory->host[page * 4096 + i]);
}

typedef struct
{
  uint32_t entry;
  RunKind  kind;
} Case;

static void
test_program (gconstpointer data)
{
  const Case *test = data;
  Machine *machine, *reference = NULL;

  if (test->kind <= RUN_FREE)
    {
      reference = machine_new (RUN_INTERPRETER);
      reference->cpu->eip = test->entry;
      g_assert_cmpint (machine_run (reference, 20000000), ==, EXIT_HALT);
    }
  machine = machine_new (test->kind);
  machine->cpu->eip = test->entry;
  if (machine_run (machine, 20000000) == EXIT_STOP)
    g_error ("%s", machine->engine->message);
  g_assert_true (machine->cpu->halted);
  if (reference)
    {
      assert_same_state (machine, reference, test->kind == RUN_COUNTED);
      machine_free (reference);
    }
  else
    g_assert_cmpuint (machine->engine->n_compared, >, 0);
  if (test->kind == RUN_FREE)
    {
      TranslatorStatistics statistics;

      translator_get_statistics (machine->engine, &statistics);
      g_assert_cmpuint (statistics.units, >, 0);
      g_test_message ("%" G_GUINT64_FORMAT " units, %" G_GUINT64_FORMAT " faults, %" G_GUINT64_FORMAT " maps, %" G_GUINT64_FORMAT
                      " leaves, %" G_GUINT64_FORMAT " callouts", statistics.units, statistics.faults, statistics.maps,
                      statistics.leaves, statistics.callouts);
    }
  machine_free (machine);
}

/* A lowering that is wrong on purpose must be found. */
static void
test_broken (gconstpointer data)
{
  static const char *const programs_of[] = { NULL, "flags", "flags", "stores" };
  TranslatorBreak which = (TranslatorBreak) GPOINTER_TO_INT (data);
  static const uint8_t stores[] = {
    0xbb, 0x00, 0x00, 0x20, 0x00,       /* mov ebx, 200000h */
    0xb9, 0xe8, 0x03, 0x00, 0x00,       /* mov ecx, 1000 */
    0x89, 0x4b, 0x7c,                   /* mov [ebx + 7ch], ecx */
    0x03, 0x43, 0x7c,                   /* add eax, [ebx + 7ch] */
    0x49, 0x75, 0xf7,                   /* dec ecx; jnz */
    0xf4,
  };
  Machine *machine = machine_new (RUN_LOCKSTEP);
  uint32_t n = get32 (programs, 0);

  translator_break_lowering (engine_lockstep_translator (machine->engine), which);
  if (!strcmp (programs_of[which], "stores"))
    {
      memcpy (machine->memory->host + 0x180000, stores, sizeof stores);
      machine->cpu->eip = 0x180000;
    }
  else
    for (uint32_t i = 0; i < n; i++)
      if (!strcmp ((const char *) programs + get32 (programs, 4 + i * 8) - PROGRAMS, programs_of[which]))
        machine->cpu->eip = get32 (programs, 8 + i * 8);
  g_assert_cmpint (machine_run (machine, 1000000), ==, EXIT_STOP);
  g_assert_nonnull (strstr (machine->engine->message, "lockstep:"));
  g_assert_nonnull (strstr (machine->engine->message, "interpreter"));
  g_test_message ("%s", machine->engine->message);
  machine_free (machine);
}

/* A code cache and a budget of host mappings so small that both are spent all the time. */
static void
test_limits (gconstpointer data)
{
  const Case *test = data;
  Machine *reference = machine_new (RUN_INTERPRETER), *machine = machine_new (test->kind);
  TranslatorStatistics statistics;

  reference->cpu->eip = machine->cpu->eip = test->entry;
  g_assert_cmpint (machine_run (reference, 20000000), ==, EXIT_HALT);
  translator_set_limits (machine->engine, 300, 8);
  g_assert_cmpint (machine_run (machine, 20000000), ==, EXIT_HALT);
  assert_same_state (machine, reference, test->kind == RUN_COUNTED);
  translator_get_statistics (machine->engine, &statistics);
  g_assert_cmpuint (statistics.vmas, <=, 16);
  g_test_message ("%" G_GUINT64_FORMAT " flushes, %" G_GUINT64_FORMAT " maps", statistics.flushes, statistics.maps);
  machine_free (machine);
  machine_free (reference);
}

/* Kicks at random moments stop free-running code at an instruction's border; the end is the same. */
static gpointer
kicker (gpointer data)
{
  Machine *machine = data;
  GRand *random = g_rand_new_with_seed (7);

  while (!__atomic_load_n (&machine->cpu->halted, __ATOMIC_RELAXED))
    {
      g_usleep ((gulong) g_rand_int_range (random, 50, 400));
      cpu_request_exit (machine->cpu, CPU_REQUEST_STOP);
    }
  g_rand_free (random);
  return NULL;
}

static void
test_kicks (gconstpointer data)
{
  const Case *test = data;
  Machine *reference = machine_new (RUN_INTERPRETER), *machine;
  ExitReason reason = EXIT_REQUEST;
  unsigned n_stops = 0;
  GThread *thread;

  reference->cpu->eip = test->entry;
  g_assert_cmpint (machine_run (reference, 20000000), ==, EXIT_HALT);
  machine = machine_new (RUN_FREE);
  machine->cpu->eip = test->entry;
  thread = g_thread_new ("kicker", kicker, machine);
  while (reason == EXIT_REQUEST)
    {
      reason = machine->engine->klass->run (machine->engine);
      machine->cpu->exit_request &= ~(uint32_t) CPU_REQUEST_STOP;
      n_stops++;
    }
  g_assert_cmpint (reason, ==, EXIT_HALT);
  g_thread_join (thread);
  assert_same_state (machine, reference, false);
  g_test_message ("%u stops", n_stops);
  machine_free (machine);
  machine_free (reference);
}

/* A loop without end must be left soon. */
static gpointer
stopper (gpointer data)
{
  g_usleep (30000);
  cpu_request_exit (data, CPU_REQUEST_STOP);
  return NULL;
}

static void
test_endless (void)
{
  static const uint8_t code[] = { 0x40, 0xeb, 0xfd };
  Machine *machine = machine_new (RUN_FREE);
  GThread *thread;
  gint64 before;

  memcpy (machine->memory->host + 0x180000, code, sizeof code);
  machine->cpu->eip = 0x180000;
  for (unsigned i = 0; i < 3; i++)
    {
      thread = g_thread_new ("stopper", stopper, machine->cpu);
      before = g_get_monotonic_time ();
      g_assert_cmpint (machine->engine->klass->run (machine->engine), ==, EXIT_REQUEST);
      g_assert_cmpint (g_get_monotonic_time () - before, <, G_TIME_SPAN_SECOND);
      g_thread_join (thread);
      machine->cpu->exit_request = 0;
    }
  machine_free (machine);
}

/* Counted code stops at the instruction. */
static void
test_limit (void)
{
  Machine *machine = machine_new (RUN_COUNTED), *reference = machine_new (RUN_INTERPRETER);
  uint32_t entry = get32 (programs, 8);

  machine->cpu->eip = reference->cpu->eip = entry;
  for (unsigned i = 0; i < 3000; i++)
    {
      uint64_t n = 1 + i * 7 % 61;

      machine_run (machine, n);
      machine_run (reference, n);
      g_assert_cmpuint (machine->cpu->instructions, ==, reference->cpu->instructions);
      g_assert_cmphex (machine->cpu->eip, ==, reference->cpu->eip);
      g_assert_cmphex (machine->cpu->regs[REG_EAX], ==, reference->cpu->regs[REG_EAX]);
    }
  machine_free (machine);
  machine_free (reference);
}

/* Only innocuous rows are ever lowered. */
static void
test_table (void)
{
  Machine *machine = machine_new (RUN_COUNTED);
  unsigned n_lowered = 0;

  for (unsigned row = 0; row < N_INSN_ROWS; row++)
    if (translator_lowers_row (row))
      {
        g_assert_cmpint (insn_rows[row].klass, ==, INSN_INNOCUOUS);
        g_assert_cmpint (insn_rows[row].reason, ==, REASON_NONE);
        n_lowered++;
      }
  g_assert_cmpuint (n_lowered, >, 500);
  machine_free (machine);
}

int
main (int argc, char **argv)
{
  static const char *const kinds[] = { "interpreter", "counted", "free", "lockstep", "lockstep-fine" };
  uint32_t n;

  g_test_init (&argc, &argv, NULL);
  if (argc < 2 || !g_file_get_contents (argv[1], (char **) &programs, &n_program_bytes, NULL))
    g_error ("usage: test-translator translator-programs.bin");
  n = get32 (programs, 0);
  for (uint32_t i = 0; i < n; i++)
    for (unsigned kind = RUN_COUNTED; kind <= RUN_LOCKSTEP_FINE; kind++)
      {
        const char *name = (const char *) programs + get32 (programs, 4 + i * 8) - PROGRAMS;
        Case *test = g_new (Case, 1);
        char *path = g_strdup_printf ("/translator/%s/%s", name, kinds[kind]);

        *test = (Case) { get32 (programs, 8 + i * 8), (RunKind) kind };
        g_test_add_data_func (path, test, test_program);
        g_free (path);
        if (kind <= RUN_FREE)
          {
            path = g_strdup_printf ("/translator/%s/%s-limits", name, kinds[kind]);
            g_test_add_data_func (path, test, test_limits);
            g_free (path);
          }
        if (kind == RUN_FREE)
          {
            path = g_strdup_printf ("/translator/%s/kicked", name);
            g_test_add_data_func (path, test, test_kicks);
            g_free (path);
          }
      }
  g_test_add_data_func ("/translator/broken/sub", GINT_TO_POINTER (TRANSLATOR_BREAK_SUB), test_broken);
  g_test_add_data_func ("/translator/broken/flags", GINT_TO_POINTER (TRANSLATOR_BREAK_FLAGS), test_broken);
  g_test_add_data_func ("/translator/broken/store", GINT_TO_POINTER (TRANSLATOR_BREAK_STORE), test_broken);
  g_test_add_func ("/translator/endless-loop-stops", test_endless);
  g_test_add_func ("/translator/limit-is-exact", test_limit);
  g_test_add_func ("/translator/only-innocuous-rows", test_table);
  return g_test_run ();
}
