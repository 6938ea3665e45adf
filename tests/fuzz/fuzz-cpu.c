/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random code in every mode, run twice: by the interpreter's engine in blocks, and one instruction at a time.  Both must end
 * in the same state, and neither may do anything that a sanitizer dislikes.
 *
 * Input: byte 0 mode, byte 1 model and paging, 32 bytes of registers, 64 bytes that spoil the descriptor tables, then code. */
#include "bare-machine.h"
#include "interpreter.h"
#include "memory.h"
#include "tlb.h"

#include <stdio.h>
#include <stdlib.h>

enum { RAM_BYTES = 1 << 18, CODE = 0x10000, GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, LDT = 0x3800, DIRECTORY = 0x4000, TABLE = 0x5000,
       STACK = 0x8000, INNER = 0x9000, INSTRUCTIONS = 1500 };

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static BareMachine machines[N_CPU_MODELS][2];

typedef struct
{
  const uint8_t *bytes;
  size_t         n;
} Input;

static uint8_t
take (Input *input)
{
  if (!input->n)
    return 0;
  input->n--;
  return *input->bytes++;
}

static void
put64 (uint8_t *ram, uint32_t at, uint64_t value)
{
  memcpy (ram + at, &value, 8);
}

static void
tables (uint8_t *ram, Input *input)
{
  static const uint64_t gdt[16] = {
    0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x0000890030000067, 0x0000820038000fff,
    0x00009b000000ffff, 0x000093000000ffff, 0x0000ec0000080010, 0x0000e50000280000, 0x00cf97000000000f, 0x0040bb000000ffff,
    0x0000f7000000ffff, 0x00cf9f000000ffff, 0x0000810038000040,
  };

  for (unsigned i = 0; i < 16; i++)
    put64 (ram, GDT + i * 8, gdt[i]);
  for (unsigned i = 0; i < 256; i++)
    {
      uint32_t offset = CODE + i * 7;

      put64 (ram, IDT + i * 8, (uint64_t) (offset >> 16) << 48 | 0xee0000000000 | 0x80000 | (offset & 0xffff));
    }
  ram[IDT + 0x21 * 8 + 5] = 0x85;
  ram[IDT + 0x22 * 8 + 5] = 0xe6;
  ram[IDT + 0x23 * 8 + 5] = 0xef;
  for (unsigned i = 0; i < 3; i++)
    {
      uint32_t esp = INNER + i * 0x200, ss = i == 0 ? 0x10 : 0x60;

      memcpy (ram + TSS + 4 + i * 8, &esp, 4);
      memcpy (ram + TSS + 8 + i * 8, &ss, 4);
    }
  ram[TSS + 102] = 0x68;
  for (unsigned i = 0; i < 1024; i++)
    {
      uint32_t entry = i * 4096 | 7;

      memcpy (ram + TABLE + i * 4, &entry, 4);
    }
  ram[DIRECTORY] = 7;
  ram[DIRECTORY + 1] = TABLE >> 8;
  ram[DIRECTORY + 4] = 0x87;
  for (unsigned i = 0; i < 16; i++)
    {
      unsigned at = take (input) | take (input) << 8;
      uint8_t value = take (input), where = take (input);

      if (where & 1)
        ram[GDT + at % 128] ^= value;
      else if (where & 2)
        ram[TABLE + at % 256] ^= value;
      else if (where & 4)
        ram[IDT + at % 2048] ^= value;
      else if (where & 8)
        ram[TSS + at % 104] ^= value;
    }
}

static void
segments (Cpu *cpu, unsigned code, unsigned data, unsigned code_attributes, unsigned data_attributes, uint32_t limit)
{
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    cpu->segments[i] = (Segment) { 0, limit, (uint16_t) (i == SEG_CS ? code : data),
                                   (uint16_t) (i == SEG_CS ? code_attributes : data_attributes) };
}

static void
set_up (BareMachine *machine, Input input, unsigned mode, unsigned options)
{
  Cpu *cpu = machine->cpu;
  uint8_t *ram = machine->memory->host;

  memset (ram, 0, RAM_BYTES);
  cpu_reset (cpu);
  cpu->instructions = 0;
  cpu->exit_request = 0;
  machine->exit_code = -1;
  machine->n_text = 0;
  memset (machine->ports, 0, sizeof machine->ports);
  cpu_set_interrupt_line (cpu, 0, false);
  cpu_set_nmi_line (cpu, 0, false);
  cpu_set_a20_line (cpu, 0, true);
  cpu->nmi_pending = cpu->smi_pending = cpu->init_pending = false;
  for (unsigned i = 0; i < 8; i++)
    for (unsigned b = 0; b < 4; b++)
      cpu->regs[i] |= (uint32_t) (take (&input) & (b < 2 ? 0xff : i & 1 ? 0x01 : 0xff)) << (b * 8);
  cpu->regs[REG_ESP] = STACK;
  tables (ram, &input);
  memcpy (ram + CODE, input.bytes, input.n < 0x4000 ? input.n : 0x4000);
  guest_memory_touched (machine->memory, 0, RAM_BYTES / GUEST_PAGE_SIZE);
  cpu->eip = CODE;
  cpu->gdt_base = GDT;
  cpu->gdt_limit = 127;
  cpu->idt_base = IDT;
  cpu->idt_limit = 0x7ff;
  cpu->task = (Segment) { TSS, 0xfff, 0x28, 0x8b };
  cpu->ldt = (Segment) { LDT, 0xfff, 0x30, 0x82 };
  cpu->cr0 = CR0_PE | CR0_ET | (options & 2 ? CR0_NE : 0) | (options & 4 ? CR0_WP | CR0_AM : 0);
  cpu->cr4 = (options & 8 ? CR4_PSE | CR4_DE : 0) | (options & 16 ? CR4_VME | CR4_PVI : 0);
  if (cpu->features & FEATURE_SSE)
    cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
  cpu->cr3 = DIRECTORY;
  if (options & 1 && mode != 0)
    cpu->cr0 |= CR0_PG;
  cpu->eflags = EFLAGS_1 | (options & 32 ? EFLAGS_IOPL : 0) | (options & 64 ? EFLAGS_IF : 0) | (options & 128 ? EFLAGS_AC : 0);
  switch (mode)
    {
    case 0:                     /* real */
      cpu->cr0 &= ~(uint32_t) CR0_PE;
      segments (cpu, CODE >> 4, 0x800, 0x93, 0x93, 0xffff);
      for (unsigned i = 0; i < N_SEGMENTS; i++)
        cpu->segments[i].base = (uint32_t) cpu->segments[i].selector << 4;
      cpu->eip = 0;
      cpu->idt_base = 0;
      cpu->idt_limit = 0x3ff;
      break;
    case 1:                     /* virtual-8086 */
      cpu->eflags |= EFLAGS_VM;
      cpu->cpl = 3;
      segments (cpu, CODE >> 4, 0x800, 0xf3, 0xf3, 0xffff);
      for (unsigned i = 0; i < N_SEGMENTS; i++)
        cpu->segments[i].base = (uint32_t) cpu->segments[i].selector << 4;
      cpu->eip = 0;
      break;
    case 2:                     /* 16-bit protected */
      segments (cpu, 0x38, 0x40, 0x9b, 0x93, 0xffff);
      cpu->segments[SEG_CS].base = CODE;
      cpu->eip = 0;
      break;
    case 3:                     /* ring 3 */
      segments (cpu, 0x1b, 0x23, 0xc0fb, 0xc0f3, 0xffffffff);
      cpu->cpl = 3;
      break;
    default:
      segments (cpu, 0x08, 0x10, 0xc09b, 0xc093, 0xffffffff);
      break;
    }
  if (options & 0x10 && options & 0x40)
    {
      /* a data and an instruction breakpoint */
      cpu->dr[0] = STACK - 8;
      cpu->dr[1] = CODE + 20;
      cpu->dr[7] = 0x000f070a;
    }
  cpu_changed (cpu);
}

static void
run (BareMachine *machine, bool in_blocks)
{
  Cpu *cpu = machine->cpu;

  cpu->instruction_limit = INSTRUCTIONS;
  while (cpu->instructions < INSTRUCTIONS && machine->exit_code < 0)
    {
      ExitReason reason = EXIT_NONE;

      __atomic_and_fetch (&cpu->exit_request, ~(uint32_t) CPU_REQUEST_STOP, __ATOMIC_SEQ_CST);
      if (in_blocks)
        reason = machine->engine->klass->run (machine->engine);
      else
        {
          if (cpu->halted || cpu->exit_request & CPU_REQUEST_EVENT)
            reason = cpu_take_events (cpu);
          if (reason == EXIT_NONE)
            reason = cpu_step (cpu);
        }
      if (reason == EXIT_SHUTDOWN || (reason == EXIT_HALT && !(cpu->exit_request & CPU_REQUEST_EVENT)))
        break;
    }
}

static void
same (const char *what, uint64_t a, uint64_t b)
{
  if (a != b)
    {
      fprintf (stderr, "%s: blocks %#llx, steps %#llx\n", what, (unsigned long long) a, (unsigned long long) b);
      abort ();
    }
}

static void
compare (const BareMachine *a, const BareMachine *b)
{
  static const char *const names[8] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" };

  same ("instructions", a->cpu->instructions, b->cpu->instructions);
  same ("eip", a->cpu->eip, b->cpu->eip);
  for (unsigned i = 0; i < 8; i++)
    same (names[i], a->cpu->regs[i], b->cpu->regs[i]);
  same ("eflags", cpu_get_eflags (a->cpu) & ~(uint32_t) EFLAGS_RF, cpu_get_eflags (b->cpu) & ~(uint32_t) EFLAGS_RF);
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    {
      same ("selector", a->cpu->segments[i].selector, b->cpu->segments[i].selector);
      same ("base", a->cpu->segments[i].base, b->cpu->segments[i].base);
      same ("limit", a->cpu->segments[i].limit, b->cpu->segments[i].limit);
      same ("attributes", a->cpu->segments[i].attributes, b->cpu->segments[i].attributes);
    }
  same ("cr0", a->cpu->cr0, b->cpu->cr0);
  same ("cr2", a->cpu->cr2, b->cpu->cr2);
  same ("cr3", a->cpu->cr3, b->cpu->cr3);
  same ("dr6", a->cpu->dr[6], b->cpu->dr[6]);
  same ("tr", a->cpu->task.selector, b->cpu->task.selector);
  same ("shutdown", a->cpu->shutdown, b->cpu->shutdown);
  same ("fpu", (uint64_t) (memcmp (&a->cpu->fpu, &b->cpu->fpu, sizeof a->cpu->fpu) != 0), 0);
  for (uint32_t page = 0; page < RAM_BYTES; page += 4096)
    if (memcmp (a->memory->host + page, b->memory->host + page, 4096))
      for (uint32_t i = page; i < page + 4096; i++)
        if (a->memory->host[i] != b->memory->host[i])
          {
            fprintf (stderr, "memory at %#x\n", i);
            same ("memory", a->memory->host[i], b->memory->host[i]);
          }
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  Input input = { bytes, n_bytes };
  unsigned mode = take (&input) % 6, options = take (&input);
  BareMachine *pair = machines[mode == 5 ? (options >> 1) % N_CPU_MODELS : CPU_MODEL_PENTIUM_M];

  if (!pair[0].cpu)
    for (unsigned i = 0; i < 2; i++)
      bare_machine_init (&pair[i], (CpuModel) ((pair - machines[0]) / 2), RAM_BYTES);
  for (unsigned i = 0; i < 2; i++)
    {
      set_up (&pair[i], input, mode, options);
      run (&pair[i], i == 0);
    }
  compare (&pair[0], &pair[1]);
  return 0;
}
