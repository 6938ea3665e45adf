/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smm.h"

#include "exceptions.h"
#include "memory.h"
#include "paging.h"
#include "segments.h"
#include "tlb.h"

/* Offsets from SMBASE + 8000h (SDM vol. 3, table 34-1).  The hidden parts of segments lie in the area that the manual
 * calls reserved; where is the processor's own business. */
enum
{
  MAP_CR0 = 0x7ffc, MAP_CR3 = 0x7ff8, MAP_EFLAGS = 0x7ff4, MAP_EIP = 0x7ff0, MAP_EDI = 0x7fec, MAP_EAX = 0x7fd0, MAP_DR6 = 0x7fcc,
  MAP_DR7 = 0x7fc8, MAP_TR = 0x7fc4, MAP_LDTR = 0x7fc0, MAP_GS = 0x7fbc, MAP_ES = 0x7fa8, MAP_HALT_RESTART = 0x7f02,
  MAP_IO_RESTART = 0x7f00, MAP_REVISION = 0x7efc, MAP_SMBASE = 0x7ef8, MAP_CR4 = 0x7e14, MAP_HIDDEN = 0x7e20, MAP_GDT = 0x7e90,
  MAP_IDT = 0x7e98, MAP_CPL = 0x7ea0, MAP_CR2 = 0x7ea4, MAP_INHIBIT = 0x7ea8,
  REVISION = 0x00020000,        /* SMBASE relocation, no I/O restart */
};

static void
put (Cpu *cpu, unsigned at, uint32_t value)
{
  physical_write (cpu, (uint64_t) cpu->smbase + 0x8000 + at, 4, value);
}

static uint32_t
get (Cpu *cpu, unsigned at)
{
  return (uint32_t) physical_read (cpu, (uint64_t) cpu->smbase + 0x8000 + at, 4);
}

static void
put_hidden (Cpu *cpu, unsigned number, const Segment *segment)
{
  unsigned at = MAP_HIDDEN + number * 12;

  put (cpu, at, segment->base);
  put (cpu, at + 4, segment->limit);
  put (cpu, at + 8, segment->attributes);
}

static void
get_hidden (Cpu *cpu, unsigned number, uint32_t selector, Segment *segment)
{
  unsigned at = MAP_HIDDEN + number * 12;

  segment->selector = (uint16_t) selector;
  segment->base = get (cpu, at);
  segment->limit = get (cpu, at + 4);
  segment->attributes = get (cpu, at + 8) & 0xf0ff;
}

static void
changed_everything (Cpu *cpu)
{
  tlb_flush (cpu, true);
  if (cpu->hooks.flush_all)
    cpu->hooks.flush_all (cpu);
  cpu_changed (cpu);
}

void
smm_enter (Cpu *cpu)
{
  bool a20 = cpu->a20_masked;

  cpu->in_smm = true;
  cpu->a20_masked = false;
  if (cpu->lines.smm_changed)
    cpu->lines.smm_changed (cpu->lines.smm_controller, true);
  cpu_sync_flags (cpu);
  put (cpu, MAP_CR0, cpu->cr0);
  put (cpu, MAP_CR3, cpu->cr3);
  put (cpu, MAP_EFLAGS, cpu->eflags);
  put (cpu, MAP_EIP, cpu->eip);
  for (unsigned i = 0; i < 8; i++)
    put (cpu, MAP_EAX + i * 4, cpu->regs[i]);
  put (cpu, MAP_DR6, cpu->dr[6]);
  put (cpu, MAP_DR7, cpu->dr[7]);
  put (cpu, MAP_TR, cpu->task.selector);
  put (cpu, MAP_LDTR, cpu->ldt.selector);
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    {
      put (cpu, MAP_ES + i * 4, cpu->segments[i].selector);
      put_hidden (cpu, i, &cpu->segments[i]);
    }
  put_hidden (cpu, 6, &cpu->ldt);
  put_hidden (cpu, 7, &cpu->task);
  put (cpu, MAP_GDT, cpu->gdt_base);
  put (cpu, MAP_GDT + 4, cpu->gdt_limit);
  put (cpu, MAP_IDT, cpu->idt_base);
  put (cpu, MAP_IDT + 4, cpu->idt_limit);
  put (cpu, MAP_CR4, cpu->cr4);
  put (cpu, MAP_CR2, cpu->cr2);
  put (cpu, MAP_CPL, cpu->cpl);
  put (cpu, MAP_INHIBIT, cpu->inhibit | (a20 ? 0x100u : 0) | (cpu->nmi_blocked ? 0x200u : 0));
  put (cpu, MAP_IO_RESTART, cpu->halted ? 0x00010000u : 0);
  put (cpu, MAP_REVISION, REVISION);
  put (cpu, MAP_SMBASE, cpu->smbase);

  /* SDM vol. 3, 34.5.1 and table 34-3. */
  cpu->halted = cpu->shutdown = false;
  cpu->inhibit = 0;
  cpu->nmi_blocked = true;
  cpu->eflags = EFLAGS_1;
  cpu->lazy_operation = 0;
  cpu->eip = 0x8000;
  cpu->cr0 &= ~(uint32_t) (CR0_PE | CR0_EM | CR0_TS | CR0_PG);
  cpu->cr4 = 0;
  cpu->dr[7] = 0x400;
  cpu->cpl = 0;
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    cpu->segments[i] = (Segment) { 0, 0xffffffff, 0, 0x93 | SEGMENT_G };
  cpu->segments[SEG_CS].selector = (uint16_t) (cpu->smbase >> 4);
  cpu->segments[SEG_CS].base = cpu->smbase;
  changed_everything (cpu);
}

ExitReason
smm_leave (Cpu *cpu)
{
  uint32_t cr0 = get (cpu, MAP_CR0), cr4 = get (cpu, MAP_CR4), flags = get (cpu, MAP_EFLAGS), inhibit = get (cpu, MAP_INHIBIT);
  uint32_t halt = get (cpu, MAP_IO_RESTART) >> 16;

  /* SDM vol. 3, 34.7: an impossible CR0 or CR4 ends in shutdown. */
  if ((cr0 & CR0_PG && !(cr0 & CR0_PE)) || (cr0 & CR0_NW && !(cr0 & CR0_CD)) || cr4 & ~0x7ffu)
    return cpu_shut_down (cpu);
  cpu->cr0 = cr0;
  cpu->cr4 = cr4;
  cpu->cr3 = get (cpu, MAP_CR3);
  cpu->cr2 = get (cpu, MAP_CR2);
  cpu->eflags = (flags & 0x003f7fd5) | EFLAGS_1;
  cpu->lazy_operation = 0;
  cpu->eip = get (cpu, MAP_EIP);
  for (unsigned i = 0; i < 8; i++)
    cpu->regs[i] = get (cpu, MAP_EAX + i * 4);
  cpu->dr[6] = get (cpu, MAP_DR6);
  cpu->dr[7] = (get (cpu, MAP_DR7) & 0xffff2fffu) | 0x400;
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    get_hidden (cpu, i, get (cpu, MAP_ES + i * 4), &cpu->segments[i]);
  get_hidden (cpu, 6, get (cpu, MAP_LDTR), &cpu->ldt);
  get_hidden (cpu, 7, get (cpu, MAP_TR), &cpu->task);
  cpu->gdt_base = get (cpu, MAP_GDT);
  cpu->gdt_limit = (uint16_t) get (cpu, MAP_GDT + 4);
  cpu->idt_base = get (cpu, MAP_IDT);
  cpu->idt_limit = (uint16_t) get (cpu, MAP_IDT + 4);
  cpu->cpl = cpu->eflags & EFLAGS_VM ? 3 : get (cpu, MAP_CPL) & 3;
  cpu->inhibit = inhibit & 3;
  cpu->nmi_blocked = inhibit & 0x200;
  cpu->smbase = get (cpu, MAP_SMBASE);
  cpu->in_smm = false;
  if (cpu->lines.smm_changed)
    cpu->lines.smm_changed (cpu->lines.smm_controller, false);
  cpu->a20_masked = inhibit & 0x100;
  if (cpu->cr0 & CR0_PG && cpu->cr4 & CR4_PAE && !paging_load_pdptes (cpu, cpu->cr3, cpu->pdpte))
    return cpu_shut_down (cpu);
  changed_everything (cpu);
  cpu->exit_request |= CPU_REQUEST_EVENT;
  if (halt & 1)
    {
      cpu->halted = true;
      return EXIT_HALT;
    }
  return EXIT_BRANCH;
}
