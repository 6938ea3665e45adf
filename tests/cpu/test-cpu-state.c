/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The processor's saved state, its reset values, and its wires. */
#include "bare-machine.h"
#include "tlb.h"

#include <glib.h>

/* A loop that touches flags, memory and the stack. */
static const uint8_t program[] = {
  0xb8, 0x34, 0x12,             /* mov ax, 1234h */
  0x05, 0x01, 0x80,             /* add ax, 8001h */
  0x50,                         /* push ax */
  0x11, 0xc3,                   /* adc bx, ax */
  0xd1, 0xd3,                   /* rcl bx, 1 */
  0xa3, 0x00, 0x06,             /* mov [600h], ax */
  0x58,                         /* pop ax */
  0x41,                         /* inc cx */
  0xeb, 0xee,                   /* jmp to the beginning */
};

static void
load_program (BareMachine *machine)
{
  guest_memory_write (machine->memory, 0x1000, program, sizeof program);
  machine->cpu->segments[SEG_CS].base = 0;
  machine->cpu->segments[SEG_CS].selector = 0;
  machine->cpu->eip = 0x1000;
  machine->cpu->regs[REG_ESP] = 0x800;
}

static StateBuffer
save (BareMachine *machine)
{
  StateBuffer buffer = { 0 };

  cpu_sync_flags (machine->cpu);
  state_save (&cpu_state_table, machine->cpu, &buffer);
  g_assert_cmpint (buffer.error, ==, 0);
  return buffer;
}

static void
test_round_trip (void)
{
  BareMachine *a = g_new0 (BareMachine, 1), *b = g_new0 (BareMachine, 1);
  StateBuffer first, second;

  bare_machine_init (a, CPU_MODEL_PENTIUM3, 1 << 20);
  bare_machine_init (b, CPU_MODEL_PENTIUM3, 1 << 20);
  load_program (a);
  load_program (b);
  bare_machine_run (a, 10007);
  first = save (a);
  g_assert_cmpint (state_restore (&cpu_state_table, b->cpu, first.bytes, first.length), ==, (int64_t) first.length);
  second = save (b);
  g_assert_cmpmem (first.bytes, first.length, second.bytes, second.length);
  state_buffer_clear (&first);
  state_buffer_clear (&second);
  /* Both go on alike. */
  bare_machine_run (a, 5003);
  bare_machine_run (b, 5003);
  first = save (a);
  second = save (b);
  g_assert_cmpmem (first.bytes, first.length, second.bytes, second.length);
  state_buffer_clear (&first);
  state_buffer_clear (&second);
  bare_machine_clear (a);
  bare_machine_clear (b);
  g_free (a);
  g_free (b);
}

static void
refuse (BareMachine *machine, const char *what)
{
  StateBuffer buffer = { 0 };
  BareMachine *other = g_new0 (BareMachine, 1);

  g_test_message ("%s", what);
  state_save (&cpu_state_table, machine->cpu, &buffer);
  bare_machine_init (other, CPU_MODEL_PENTIUM3, 1 << 20);
  g_assert_cmpint (state_restore (&cpu_state_table, other->cpu, buffer.bytes, buffer.length), <, 0);
  state_buffer_clear (&buffer);
  bare_machine_clear (other);
  g_free (other);
  cpu_reset (machine->cpu);
}

static void
test_impossible_values (void)
{
  BareMachine *machine = g_new0 (BareMachine, 1);
  Cpu *cpu;

  bare_machine_init (machine, CPU_MODEL_PENTIUM3, 1 << 20);
  cpu = machine->cpu;
  cpu->cpl = 4;
  refuse (machine, "cpl 4");
  cpu->cpl = 3;
  refuse (machine, "cpl 3 in real mode");
  cpu->lazy_operation = 200;
  refuse (machine, "lazy operation");
  cpu->cr0 = CR0_PG;
  refuse (machine, "paging without protection");
  cpu->cr4 = 1u << 31;
  refuse (machine, "reserved CR4 bit");
  cpu->efer = 0x800;
  refuse (machine, "NXE without NX");
  cpu->eflags = 1u << 31;
  refuse (machine, "reserved EFLAGS bit");
  cpu->fpu.r[3][12] = 1;
  refuse (machine, "more than 80 bits");
  cpu->fpu.mxcsr = 1u << 20;
  refuse (machine, "reserved MXCSR bit");
  cpu->shutdown = true;
  refuse (machine, "shut down and running");
  memset (&cpu->in_smm, 7, 1);
  refuse (machine, "a bool of 7");
  bare_machine_clear (machine);
  g_free (machine);
}

/* Whatever bytes a file holds, restoring and then running does nothing bad. */
static void
test_damaged_files (void)
{
  BareMachine *machine = g_new0 (BareMachine, 1);
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  StateBuffer buffer;
  unsigned n_accepted = 0;

  bare_machine_init (machine, CPU_MODEL_PENTIUM_M, 1 << 20);
  load_program (machine);
  bare_machine_run (machine, 1000);
  buffer = save (machine);
  for (unsigned i = 0; i < 20000; i++)
    {
      g_autofree uint8_t *bytes = g_memdup2 (buffer.bytes, buffer.length);

      for (int n = g_rand_int_range (random, 1, 4); n > 0; n--)
        bytes[g_rand_int_range (random, 0, (gint32) buffer.length)] = (uint8_t) g_rand_int (random);
      cpu_reset (machine->cpu);
      if (state_restore (&cpu_state_table, machine->cpu, bytes, buffer.length) < 0)
        continue;
      n_accepted++;
      machine->cpu->instructions = 0;
      machine->exit_code = -1;
      bare_machine_run (machine, 50);
    }
  g_assert_cmpuint (n_accepted, >, 1000);
  state_buffer_clear (&buffer);
  bare_machine_clear (machine);
  g_free (machine);
}

/* SDM vol. 3, table 9-1. */
static void
test_reset_values (void)
{
  static const uint32_t signatures[N_CPU_MODELS] = { 0x543, 0x652, 0x686, 0x6d8 };

  for (unsigned model = 0; model < N_CPU_MODELS; model++)
    {
      BareMachine *machine = g_new0 (BareMachine, 1);
      Cpu *cpu;

      bare_machine_init (machine, (CpuModel) model, 1 << 20);
      cpu = machine->cpu;
      g_assert_cmphex (cpu->eip, ==, 0xfff0);
      g_assert_cmphex (cpu->segments[SEG_CS].base, ==, 0xffff0000);
      g_assert_cmphex (cpu->segments[SEG_CS].selector, ==, 0xf000);
      g_assert_cmphex (cpu->segments[SEG_DS].limit, ==, 0xffff);
      g_assert_cmphex (cpu->cr0, ==, 0x60000010);
      g_assert_cmphex (cpu->cr4, ==, 0);
      g_assert_cmphex (cpu_get_eflags (cpu), ==, 2);
      g_assert_cmphex (cpu->regs[REG_EDX], ==, signatures[model]);
      g_assert_cmphex (cpu->regs[REG_EAX], ==, 0);
      g_assert_cmphex (cpu->dr[6], ==, 0xffff0ff0);
      g_assert_cmphex (cpu->dr[7], ==, 0x400);
      g_assert_cmphex (cpu->fpu.control, ==, 0x40);
      g_assert_cmphex (cpu->fpu.mxcsr, ==, 0x1f80);
      g_assert_cmphex (cpu->smbase, ==, 0x30000);
      g_assert_cmphex (cpu->gdt_limit, ==, 0xffff);
      g_assert_cmphex (cpu->idt_limit, ==, 0xffff);
      bare_machine_clear (machine);
      g_free (machine);
    }
}

/* INIT keeps what RESET does not: SMBASE, MSRs, the FPU. */
static void
test_init_keeps (void)
{
  BareMachine *machine = g_new0 (BareMachine, 1);
  Cpu *cpu;

  bare_machine_init (machine, CPU_MODEL_PENTIUM3, 1 << 20);
  cpu = machine->cpu;
  cpu->smbase = 0x50000;
  cpu->fpu.control = 0x37f;
  cpu->sysenter_cs = 8;
  cpu->cr0 = CR0_PE | CR0_ET;
  cpu->regs[REG_EBX] = 5;
  cpu_pulse_init (cpu, 0, true);
  g_assert_true (cpu->exit_request & CPU_REQUEST_EVENT);
  g_assert_cmpint (cpu_take_events (cpu), ==, EXIT_NONE);
  g_assert_cmphex (cpu->smbase, ==, 0x50000);
  g_assert_cmphex (cpu->fpu.control, ==, 0x37f);
  g_assert_cmphex (cpu->sysenter_cs, ==, 8);
  g_assert_cmphex (cpu->cr0, ==, CR0_ET);
  g_assert_cmphex (cpu->eip, ==, 0xfff0);
  g_assert_cmphex (cpu->regs[REG_EBX], ==, 0);
  cpu_reset (cpu);
  g_assert_cmphex (cpu->smbase, ==, 0x30000);
  g_assert_cmphex (cpu->fpu.control, ==, 0x40);
  bare_machine_clear (machine);
  g_free (machine);
}

/* run () stops exactly at the limit, whatever the block's length, string instructions included. */
static void
test_exact_limit (void)
{
  static const uint8_t strings[] = { 0xb9, 0x64, 0x00, 0xbf, 0x00, 0x20, 0xf3, 0xaa, 0xeb, 0xf6 };  /* mov cx, 100; mov di; rep stosb; jmp */
  BareMachine *machine = g_new0 (BareMachine, 1);
  uint64_t at = 0;

  bare_machine_init (machine, CPU_MODEL_PENTIUM3, 1 << 20);
  load_program (machine);
  guest_memory_write (machine->memory, 0x1000, strings, sizeof strings);
  for (unsigned n = 1; n < 300; n++)
    {
      bare_machine_run (machine, n);
      at += n;
      g_assert_cmpuint (machine->cpu->instructions, ==, at);
    }
  bare_machine_clear (machine);
  g_free (machine);
}

/* The host writes guest memory by DMA: decoded code follows. */
static void
test_dma_into_code (void)
{
  static const uint8_t patch[] = { 0xb8, 0x99, 0x99 };
  BareMachine *machine = g_new0 (BareMachine, 1);

  bare_machine_init (machine, CPU_MODEL_PENTIUM3, 1 << 20);
  load_program (machine);
  bare_machine_run (machine, 901);      /* 100 rounds of 9, and MOV */
  g_assert_cmphex (machine->cpu->regs[REG_EAX], ==, 0x1234);
  bare_machine_run (machine, 8);
  guest_memory_write (machine->memory, 0x1000, patch, sizeof patch);
  bare_machine_run (machine, 1);
  g_assert_cmphex (machine->cpu->regs[REG_EAX], ==, 0x9999);
  bare_machine_clear (machine);
  g_free (machine);
}

/* Clearing the dirty flags catches the next write again. */
static void
test_dirty_pages (void)
{
  BareMachine *machine = g_new0 (BareMachine, 1);

  bare_machine_init (machine, CPU_MODEL_PENTIUM3, 1 << 20);
  load_program (machine);
  bare_machine_run (machine, 100);
  g_assert_true (guest_memory_is_dirty (machine->memory, 0));
  guest_memory_clear_dirty (machine->memory, 0, 16);
  g_assert_false (guest_memory_is_dirty (machine->memory, 0));
  bare_machine_run (machine, 100);
  g_assert_true (guest_memory_is_dirty (machine->memory, 0));
  bare_machine_clear (machine);
  g_free (machine);
}

/* Addresses that nobody answers: ones, dropped writes, no end of the run. */
static void
test_code_nowhere (void)
{
  BareMachine *machine = g_new0 (BareMachine, 1);

  bare_machine_init (machine, CPU_MODEL_PENTIUM3, 1 << 20);
  /* The reset vector lies in unclaimed space: FF FF is an undefined opcode, and the IDT at 0 leads to address 0. */
  bare_machine_run (machine, 1000);
  g_assert_cmpuint (machine->cpu->instructions, >=, 1000);
  bare_machine_clear (machine);
  g_free (machine);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cpu/state-round-trip", test_round_trip);
  g_test_add_func ("/cpu/state-impossible-values", test_impossible_values);
  g_test_add_func ("/cpu/state-damaged-files", test_damaged_files);
  g_test_add_func ("/cpu/reset-values", test_reset_values);
  g_test_add_func ("/cpu/init-keeps", test_init_keeps);
  g_test_add_func ("/cpu/exact-limit", test_exact_limit);
  g_test_add_func ("/cpu/dma-into-code", test_dma_into_code);
  g_test_add_func ("/cpu/dirty-pages", test_dirty_pages);
  g_test_add_func ("/cpu/code-nowhere", test_code_nowhere);
  return g_test_run ();
}
