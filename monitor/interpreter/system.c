/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Segment registers, descriptor tables, control registers, ports, and the rest of the sensitive instructions. */
#include "bus.h"
#include "cpuid.h"
#include "flags.h"
#include "operands.h"
#include "routines.h"
#include "segments.h"
#include "smm.h"

#define ROUTINE(name) ExitReason interpret_##name (Cpu *cpu, const DecodedInsn *insn)

static ExitReason
gp (Cpu *cpu)
{
  return cpu_raise_error (cpu, VECTOR_GP, 0);
}

/* ---- Segment registers ---- */

ROUTINE (MOV_Ev_Sw_r16)
{
  reg_write_16 (cpu, insn->rm, cpu->segments[insn->reg].selector);
  return EXIT_NONE;
}

/* P6 processors clear the upper half (SDM vol. 2, MOV). */
ROUTINE (MOV_Ev_Sw_r32)
{
  cpu->regs[insn->rm] = cpu->segments[insn->reg].selector;
  return EXIT_NONE;
}

ROUTINE (MOV_Ev_Sw_m16)
{
  return cpu_write_16 (cpu, insn->segment, insn_offset (cpu, insn), cpu->segments[insn->reg].selector);
}

ROUTINE (MOV_Ev_Sw_m32) { return interpret_MOV_Ev_Sw_m16 (cpu, insn); }

static ExitReason
move_to_segment (Cpu *cpu, unsigned number, uint16_t selector)
{
  if (segment_load (cpu, number, selector))
    return EXIT_FAULT;
  if (number == SEG_SS)
    cpu->inhibit |= CPU_INHIBIT_MOV_SS;
  return EXIT_NONE;
}

ROUTINE (MOV_Sw_Ew_r) { return move_to_segment (cpu, insn->reg, reg_read_16 (cpu, insn->rm)); }

ROUTINE (MOV_Sw_Ew_m)
{
  uint16_t selector;

  if (cpu_read_16 (cpu, insn->segment, insn_offset (cpu, insn), &selector))
    return EXIT_FAULT;
  return move_to_segment (cpu, insn->reg, selector);
}

/* A 32-bit push of a segment register moves ESP by four but writes two bytes, as P6 does. */
static ExitReason
push_segment_32 (Cpu *cpu, unsigned number)
{
  uint32_t mask = cpu->tlb->stack_mask, sp = (cpu->regs[REG_ESP] - 4) & mask;

  if (cpu_write_16 (cpu, SEG_SS, sp, cpu->segments[number].selector))
    return EXIT_FAULT;
  cpu->regs[REG_ESP] = (cpu->regs[REG_ESP] & ~mask) | sp;
  return EXIT_NONE;
}

static ExitReason
pop_segment (Cpu *cpu, unsigned number, unsigned size)
{
  uint32_t mask = cpu->tlb->stack_mask, esp = cpu->regs[REG_ESP];
  uint16_t selector;

  if (cpu_read_16 (cpu, SEG_SS, esp & mask, &selector) || segment_load (cpu, number, selector))
    return EXIT_FAULT;
  /* POP SS moves the pointer of the old stack's width. */
  cpu->regs[REG_ESP] = (esp & ~mask) | ((esp + size) & mask);
  if (number == SEG_SS)
    cpu->inhibit |= CPU_INHIBIT_MOV_SS;
  return EXIT_NONE;
}

#define PUSH_SEGMENT(name) \
  ROUTINE (PUSH_##name##_16) { return cpu_push_16 (cpu, cpu->segments[SEG_##name].selector); } \
  ROUTINE (PUSH_##name##_32) { return push_segment_32 (cpu, SEG_##name); }
#define POP_SEGMENT(name) \
  ROUTINE (POP_##name##_16) { return pop_segment (cpu, SEG_##name, 2); } \
  ROUTINE (POP_##name##_32) { return pop_segment (cpu, SEG_##name, 4); }

PUSH_SEGMENT (ES)
PUSH_SEGMENT (CS)
PUSH_SEGMENT (SS)
PUSH_SEGMENT (DS)
PUSH_SEGMENT (FS)
PUSH_SEGMENT (GS)
POP_SEGMENT (ES)
POP_SEGMENT (SS)
POP_SEGMENT (DS)
POP_SEGMENT (FS)
POP_SEGMENT (GS)

/* ---- Asking the protection system ---- */

ROUTINE (ARPL_Ew_Gw_r)
{
  uint16_t value = reg_read_16 (cpu, insn->rm), source = reg_read_16 (cpu, insn->reg);
  bool less = (value & 3) < (source & 3);

  if (!cpu_is_protected (cpu))
    return cpu_raise (cpu, VECTOR_UD);
  if (less)
    reg_write_16 (cpu, insn->rm, (uint16_t) ((value & ~3) | (source & 3)));
  flags_set (cpu, EFLAGS_ZF, less ? EFLAGS_ZF : 0);
  return EXIT_NONE;
}

ROUTINE (ARPL_Ew_Gw_m)
{
  uint16_t value, source = reg_read_16 (cpu, insn->reg);
  MemoryWriteBack where;
  bool less;

  if (!cpu_is_protected (cpu))
    return cpu_raise (cpu, VECTOR_UD);
  if (cpu_read_for_write_16 (cpu, insn->segment, insn_offset (cpu, insn), &value, &where))
    return EXIT_FAULT;
  less = (value & 3) < (source & 3);
  if (less)
    cpu_write_back_16 (cpu, &where, (uint16_t) ((value & ~3) | (source & 3)));
  flags_set (cpu, EFLAGS_ZF, less ? EFLAGS_ZF : 0);
  return EXIT_NONE;
}

/* The descriptor behind the selector operand. *ret_visible: exists and CPL and RPL may see it (conforming code always). */
static ExitReason
look (Cpu *cpu, const DecodedInsn *insn, Descriptor *ret, bool *ret_visible)
{
  uint16_t selector;

  if (!cpu_is_protected (cpu))
    return cpu_raise (cpu, VECTOR_UD);
  if (insn_read_16 (cpu, insn, &selector) || descriptor_look (cpu, selector, ret, ret_visible))
    return EXIT_FAULT;
  if (*ret_visible)
    {
      bool conforming = descriptor_is_code (ret) && descriptor_type (ret) & SEGMENT_CONFORMING;

      *ret_visible = conforming || (descriptor_dpl (ret) >= cpu->cpl && descriptor_dpl (ret) >= (selector & 3u));
    }
  return EXIT_NONE;
}

static ExitReason
load_rights (Cpu *cpu, const DecodedInsn *insn)
{
  /* Busy and available TSSs, LDT, call and task gates; not interrupt and trap gates (SDM vol. 2, table 3-53). */
  static const uint16_t valid = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12;
  Descriptor descriptor;
  bool visible;

  if (look (cpu, insn, &descriptor, &visible))
    return EXIT_FAULT;
  if (visible && !descriptor_is_segment (&descriptor))
    visible = valid >> descriptor_type (&descriptor) & 1;
  if (visible && insn->operand_size == 4)
    cpu->regs[insn->reg] = descriptor.high & 0x00f0ff00;
  else if (visible)
    reg_write_16 (cpu, insn->reg, (uint16_t) (descriptor.high & 0xff00));
  flags_set (cpu, EFLAGS_ZF, visible ? EFLAGS_ZF : 0);
  return EXIT_NONE;
}

static ExitReason
load_limit (Cpu *cpu, const DecodedInsn *insn)
{
  static const uint16_t valid = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11;
  Descriptor descriptor;
  bool visible;

  if (look (cpu, insn, &descriptor, &visible))
    return EXIT_FAULT;
  if (visible && !descriptor_is_segment (&descriptor))
    visible = valid >> descriptor_type (&descriptor) & 1;
  if (visible)
    {
      uint32_t limit = segment_from_descriptor (0, &descriptor).limit;

      if (insn->operand_size == 4)
        cpu->regs[insn->reg] = limit;
      else
        reg_write_16 (cpu, insn->reg, (uint16_t) limit);
    }
  flags_set (cpu, EFLAGS_ZF, visible ? EFLAGS_ZF : 0);
  return EXIT_NONE;
}

ROUTINE (LAR_Gv_Ew_r16) { return load_rights (cpu, insn); }
ROUTINE (LAR_Gv_Ew_m16) { return load_rights (cpu, insn); }
ROUTINE (LAR_Gv_Ew_r32) { return load_rights (cpu, insn); }
ROUTINE (LAR_Gv_Ew_m32) { return load_rights (cpu, insn); }
ROUTINE (LSL_Gv_Ew_r16) { return load_limit (cpu, insn); }
ROUTINE (LSL_Gv_Ew_m16) { return load_limit (cpu, insn); }
ROUTINE (LSL_Gv_Ew_r32) { return load_limit (cpu, insn); }
ROUTINE (LSL_Gv_Ew_m32) { return load_limit (cpu, insn); }

static ExitReason
verify (Cpu *cpu, const DecodedInsn *insn, bool write)
{
  Descriptor descriptor;
  bool visible;

  if (look (cpu, insn, &descriptor, &visible))
    return EXIT_FAULT;
  if (visible)
    {
      unsigned type = descriptor_type (&descriptor);

      visible = descriptor_is_segment (&descriptor);
      if (type & SEGMENT_CODE)
        visible &= !write && type & SEGMENT_READABLE;
      else
        visible &= !write || type & SEGMENT_WRITABLE;
    }
  flags_set (cpu, EFLAGS_ZF, visible ? EFLAGS_ZF : 0);
  return EXIT_NONE;
}

ROUTINE (VERR_Ew_r) { return verify (cpu, insn, false); }
ROUTINE (VERR_Ew_m) { return verify (cpu, insn, false); }
ROUTINE (VERW_Ew_r) { return verify (cpu, insn, true); }
ROUTINE (VERW_Ew_m) { return verify (cpu, insn, true); }

/* ---- Descriptor table registers ---- */

#define STORE_SELECTOR(NAME, field) \
  ROUTINE (NAME##_Ev_r16) \
  { \
    if (!cpu_is_protected (cpu)) \
      return cpu_raise (cpu, VECTOR_UD); \
    reg_write_16 (cpu, insn->rm, cpu->field.selector); \
    return EXIT_NONE; \
  } \
  ROUTINE (NAME##_Ev_r32) \
  { \
    if (!cpu_is_protected (cpu)) \
      return cpu_raise (cpu, VECTOR_UD); \
    cpu->regs[insn->rm] = cpu->field.selector; \
    return EXIT_NONE; \
  } \
  ROUTINE (NAME##_Ev_m16) \
  { \
    if (!cpu_is_protected (cpu)) \
      return cpu_raise (cpu, VECTOR_UD); \
    return cpu_write_16 (cpu, insn->segment, insn_offset (cpu, insn), cpu->field.selector); \
  } \
  ROUTINE (NAME##_Ev_m32) { return interpret_##NAME##_Ev_m16 (cpu, insn); }

STORE_SELECTOR (SLDT, ldt)
STORE_SELECTOR (STR, task)

static ExitReason
load_system_segment (Cpu *cpu, const DecodedInsn *insn, bool task)
{
  Descriptor descriptor;
  uint16_t selector;
  unsigned type;

  if (!cpu_is_protected (cpu))
    return cpu_raise (cpu, VECTOR_UD);
  if (cpu->cpl != 0)
    return gp (cpu);
  if (insn_read_16 (cpu, insn, &selector))
    return EXIT_FAULT;
  if (!(selector & 0xfffc))
    {
      if (task)
        return gp (cpu);
      cpu->ldt.selector = selector;
      cpu->ldt.attributes = 0;
      return EXIT_NONE;
    }
  if (selector & 4)
    return cpu_raise_error (cpu, VECTOR_GP, selector & 0xfffcu);
  if (descriptor_read (cpu, selector, &descriptor, VECTOR_GP))
    return EXIT_FAULT;
  type = descriptor_type (&descriptor);
  if (descriptor_is_segment (&descriptor) || (task ? type != DESCRIPTOR_TSS16 && type != DESCRIPTOR_TSS32 : type != DESCRIPTOR_LDT))
    return cpu_raise_error (cpu, VECTOR_GP, selector & 0xfffcu);
  if (!descriptor_present (&descriptor))
    return cpu_raise_error (cpu, VECTOR_NP, selector & 0xfffcu);
  if (task)
    {
      uint8_t byte;

      descriptor.high |= 0x200;
      byte = (uint8_t) (descriptor.high >> 8);
      if (memory_write (cpu, cpu->gdt_base + (selector & 0xfff8u) + 5, &byte, 1, 0))
        return EXIT_FAULT;
    }
  *(task ? &cpu->task : &cpu->ldt) = segment_from_descriptor (selector, &descriptor);
  return EXIT_NONE;
}

ROUTINE (LLDT_Ew_r) { return load_system_segment (cpu, insn, false); }
ROUTINE (LLDT_Ew_m) { return load_system_segment (cpu, insn, false); }
ROUTINE (LTR_Ew_r) { return load_system_segment (cpu, insn, true); }
ROUTINE (LTR_Ew_m) { return load_system_segment (cpu, insn, true); }

static ExitReason
store_table (Cpu *cpu, const DecodedInsn *insn, uint32_t base, uint16_t limit)
{
  uint32_t offset = insn_offset (cpu, insn), mask = insn->address_size == 4 ? 0xffffffffu : 0xffffu;

  if (cpu_check_write (cpu, insn->segment, (offset + 2) & mask, 4, 1) || cpu_write_16 (cpu, insn->segment, offset, limit))
    return EXIT_FAULT;
  return cpu_write_bytes (cpu, insn->segment, (offset + 2) & mask, &base, 4, 1);
}

ROUTINE (SGDT_Ms_16) { return store_table (cpu, insn, cpu->gdt_base, cpu->gdt_limit); }
ROUTINE (SGDT_Ms_32) { return store_table (cpu, insn, cpu->gdt_base, cpu->gdt_limit); }
ROUTINE (SIDT_Ms_16) { return store_table (cpu, insn, cpu->idt_base, cpu->idt_limit); }
ROUTINE (SIDT_Ms_32) { return store_table (cpu, insn, cpu->idt_base, cpu->idt_limit); }

static ExitReason
load_table (Cpu *cpu, const DecodedInsn *insn, uint32_t *base, uint16_t *limit)
{
  uint32_t offset = insn_offset (cpu, insn), mask = insn->address_size == 4 ? 0xffffffffu : 0xffffu, new_base;
  uint16_t new_limit;

  if (cpu->cpl != 0)
    return gp (cpu);
  if (cpu_read_16 (cpu, insn->segment, offset, &new_limit) || cpu_read_32 (cpu, insn->segment, (offset + 2) & mask, &new_base))
    return EXIT_FAULT;
  *base = insn->operand_size == 2 ? new_base & 0xffffff : new_base;
  *limit = new_limit;
  return EXIT_NONE;
}

ROUTINE (LGDT_Ms_16) { return load_table (cpu, insn, &cpu->gdt_base, &cpu->gdt_limit); }
ROUTINE (LGDT_Ms_32) { return load_table (cpu, insn, &cpu->gdt_base, &cpu->gdt_limit); }
ROUTINE (LIDT_Ms_16) { return load_table (cpu, insn, &cpu->idt_base, &cpu->idt_limit); }
ROUTINE (LIDT_Ms_32) { return load_table (cpu, insn, &cpu->idt_base, &cpu->idt_limit); }

/* ---- Control registers (SDM vol. 3, 2.5) ---- */

static void
paging_changed (Cpu *cpu)
{
  tlb_flush (cpu, true);
  if (cpu->cache_hooks.flush_all)
    cpu->cache_hooks.flush_all (cpu);
  if (cpu->hooks.flush_all)
    cpu->hooks.flush_all (cpu);
}

static ExitReason
write_cr0 (Cpu *cpu, uint32_t value)
{
  uint32_t changed;

  value = (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)) | CR0_ET;
  if ((value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
    return gp (cpu);
  changed = value ^ cpu->cr0;
  if (value & changed & CR0_PG && cpu->cr4 & CR4_PAE && !paging_load_pdptes (cpu, cpu->cr3, cpu->pdpte))
    return gp (cpu);
  cpu->cr0 = value;
  if (changed & (CR0_PG | CR0_PE | CR0_WP))
    paging_changed (cpu);
  cpu_changed (cpu);
  return EXIT_NONE;
}

static ExitReason
write_cr3 (Cpu *cpu, uint32_t value)
{
  if (cpu->cr0 & CR0_PG && cpu->cr4 & CR4_PAE && !paging_load_pdptes (cpu, value, cpu->pdpte))
    return gp (cpu);
  cpu->cr3 = value;
  tlb_flush (cpu, false);
  if (cpu->hooks.cr3_written)
    cpu->hooks.cr3_written (cpu);
  return EXIT_NONE;
}

static ExitReason
write_cr4 (Cpu *cpu, uint32_t value)
{
  uint32_t allowed = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_MCE | CR4_PCE, changed = value ^ cpu->cr4;

  if (cpu->features & FEATURE_PAE)
    allowed |= CR4_PAE;
  if (cpu->features & FEATURE_PGE)
    allowed |= CR4_PGE;
  if (cpu->features & FEATURE_FXSR)
    allowed |= CR4_OSFXSR;
  if (cpu->features & FEATURE_SSE)
    allowed |= CR4_OSXMMEXCPT;
  if (value & ~allowed)
    return gp (cpu);
  if (cpu->cr0 & CR0_PG && value & CR4_PAE && changed & (CR4_PAE | CR4_PSE | CR4_PGE)
      && !paging_load_pdptes (cpu, cpu->cr3, cpu->pdpte))
    return gp (cpu);
  cpu->cr4 = value;
  if (changed & (CR4_PSE | CR4_PAE | CR4_PGE))
    paging_changed (cpu);
  return EXIT_NONE;
}

ROUTINE (MOV_Rd_Cd)
{
  if (cpu->cpl != 0)
    return gp (cpu);
  cpu->regs[insn->rm] = insn->reg == 0 ? cpu->cr0 : insn->reg == 2 ? cpu->cr2 : insn->reg == 3 ? cpu->cr3 : cpu->cr4;
  return EXIT_NONE;
}

ROUTINE (MOV_Cd_Rd)
{
  uint32_t value = cpu->regs[insn->rm];

  if (cpu->cpl != 0)
    return gp (cpu);
  switch (insn->reg)
    {
    case 0: return write_cr0 (cpu, value);
    case 2: cpu->cr2 = value; return EXIT_NONE;
    case 3: return write_cr3 (cpu, value);
    default: return write_cr4 (cpu, value);
    }
}

ROUTINE (CLTS_none)
{
  if (cpu->cpl != 0)
    return gp (cpu);
  cpu->cr0 &= ~(uint32_t) CR0_TS;
  return EXIT_NONE;
}

ROUTINE (SMSW_Ev_r16)
{
  reg_write_16 (cpu, insn->rm, (uint16_t) cpu->cr0);
  return EXIT_NONE;
}

ROUTINE (SMSW_Ev_r32)
{
  cpu->regs[insn->rm] = cpu->cr0;
  return EXIT_NONE;
}

ROUTINE (SMSW_Ev_m16) { return cpu_write_16 (cpu, insn->segment, insn_offset (cpu, insn), (uint16_t) cpu->cr0); }
ROUTINE (SMSW_Ev_m32) { return interpret_SMSW_Ev_m16 (cpu, insn); }

/* PE can be set but not cleared. */
static ExitReason
load_status_word (Cpu *cpu, const DecodedInsn *insn)
{
  uint16_t value;

  if (cpu->cpl != 0)
    return gp (cpu);
  if (insn_read_16 (cpu, insn, &value))
    return EXIT_FAULT;
  return write_cr0 (cpu, (cpu->cr0 & ~(uint32_t) (CR0_MP | CR0_EM | CR0_TS)) | (value & 0xf));
}

ROUTINE (LMSW_Ew_r) { return load_status_word (cpu, insn); }
ROUTINE (LMSW_Ew_m) { return load_status_word (cpu, insn); }

/* ---- Debug registers (SDM vol. 3, 17.2) ---- */

enum { DR7_GD = 1 << 13, DR6_BD = 1 << 13 };

static ExitReason
debug_register (Cpu *cpu, const DecodedInsn *insn, unsigned *ret_number)
{
  unsigned number = insn->reg;

  if (cpu->cpl != 0)
    return gp (cpu);
  if (number == 4 || number == 5)
    {
      if (cpu->cr4 & CR4_DE)
        return cpu_raise (cpu, VECTOR_UD);
      number += 2;
    }
  if (cpu->dr[7] & DR7_GD)
    {
      cpu_raise (cpu, VECTOR_DB);
      cpu->exception_dr6 = DR6_BD;
      return EXIT_FAULT;
    }
  *ret_number = number;
  return EXIT_NONE;
}

ROUTINE (MOV_Rd_Dd)
{
  unsigned number = 0;

  if (debug_register (cpu, insn, &number))
    return EXIT_FAULT;
  cpu->regs[insn->rm] = cpu->dr[number];
  return EXIT_NONE;
}

ROUTINE (MOV_Dd_Rd)
{
  uint32_t value = cpu->regs[insn->rm];
  unsigned number = 0;

  if (debug_register (cpu, insn, &number))
    return EXIT_FAULT;
  cpu->dr[number] = number == 6 ? (value & 0xe00f) | 0xffff0ff0u : number == 7 ? (value & 0xffff2bffu) | 0x400 : value;
  cpu_changed (cpu);
  return EXIT_NONE;
}

/* ---- Caches, TLB, HLT ---- */

ROUTINE (INVD_none) { return cpu->cpl ? gp (cpu) : EXIT_NONE; }
ROUTINE (WBINVD_none) { return cpu->cpl ? gp (cpu) : EXIT_NONE; }

ROUTINE (INVLPG_Mb)
{
  uint32_t linear = cpu->segments[insn->segment].base + insn_offset (cpu, insn);

  if (cpu->cpl != 0)
    return gp (cpu);
  tlb_flush_linear (cpu, linear);
  if (cpu->hooks.flush_linear)
    cpu->hooks.flush_linear (cpu, linear);
  return EXIT_NONE;
}

ROUTINE (HLT_none)
{
  if (cpu->cpl != 0)
    return gp (cpu);
  cpu->eip += insn->length;
  cpu->halted = true;
  return EXIT_HALT;
}

/* ---- MSRs, time, identity ---- */

ROUTINE (RDMSR_none)
{
  uint64_t value;

  if (cpu->cpl != 0)
    return gp (cpu);
  if (cpu_read_msr (cpu, cpu->regs[REG_ECX], &value))
    return EXIT_FAULT;
  cpu->regs[REG_EAX] = (uint32_t) value;
  cpu->regs[REG_EDX] = (uint32_t) (value >> 32);
  return EXIT_NONE;
}

ROUTINE (WRMSR_none)
{
  if (cpu->cpl != 0)
    return gp (cpu);
  return cpu_write_msr (cpu, cpu->regs[REG_ECX], (uint64_t) cpu->regs[REG_EDX] << 32 | cpu->regs[REG_EAX]);
}

ROUTINE (RDTSC_none)
{
  uint64_t value;

  if (cpu->cr4 & CR4_TSD && cpu->cpl != 0)
    return gp (cpu);
  value = cpu_tsc (cpu);
  cpu->regs[REG_EAX] = (uint32_t) value;
  cpu->regs[REG_EDX] = (uint32_t) (value >> 32);
  return EXIT_NONE;
}

/* Two counters that count nothing. */
ROUTINE (RDPMC_none)
{
  if ((!(cpu->cr4 & CR4_PCE) && cpu->cpl != 0) || cpu->regs[REG_ECX] > 1)
    return gp (cpu);
  cpu->regs[REG_EAX] = cpu->regs[REG_EDX] = 0;
  return EXIT_NONE;
}

ROUTINE (CPUID_none)
{
  uint32_t values[4];

  cpu_cpuid (cpu, cpu->regs[REG_EAX], values);
  cpu->regs[REG_EAX] = values[0];
  cpu->regs[REG_EBX] = values[1];
  cpu->regs[REG_ECX] = values[2];
  cpu->regs[REG_EDX] = values[3];
  return EXIT_NONE;
}

/* ---- Fast system calls (SDM vol. 3, 5.8.7) ---- */

static void
flat_segments (Cpu *cpu, uint16_t code, uint16_t stack, unsigned cpl)
{
  uint16_t ring = (uint16_t) (cpl << SEGMENT_DPL_SHIFT);

  cpu->segments[SEG_CS] = (Segment) { 0, 0xffffffff, (uint16_t) ((code & 0xfffc) | cpl), (uint16_t) (0xc09b | ring) };
  cpu->segments[SEG_SS] = (Segment) { 0, 0xffffffff, (uint16_t) ((stack & 0xfffc) | cpl), (uint16_t) (0xc093 | ring) };
  cpu_set_cpl (cpu, cpl);
}

ROUTINE (SYSENTER_none)
{
  if (!(cpu->cr0 & CR0_PE) || !(cpu->sysenter_cs & 0xfffc))
    return gp (cpu);
  cpu_write_eflags (cpu, 0, EFLAGS_VM | EFLAGS_IF | EFLAGS_RF);
  flat_segments (cpu, (uint16_t) cpu->sysenter_cs, (uint16_t) (cpu->sysenter_cs + 8), 0);
  cpu->regs[REG_ESP] = cpu->sysenter_esp;
  cpu->eip = cpu->sysenter_eip;
  return EXIT_BRANCH;
}

ROUTINE (SYSEXIT_none)
{
  if (!cpu_is_protected (cpu) || cpu->cpl != 0 || !(cpu->sysenter_cs & 0xfffc))
    return gp (cpu);
  flat_segments (cpu, (uint16_t) (cpu->sysenter_cs + 16), (uint16_t) (cpu->sysenter_cs + 24), 3);
  cpu->regs[REG_ESP] = cpu->regs[REG_ECX];
  cpu->eip = cpu->regs[REG_EDX];
  return EXIT_BRANCH;
}

ROUTINE (RSM_none)
{
  return cpu->in_smm ? smm_leave (cpu) : cpu_raise (cpu, VECTOR_UD);
}

/* ---- Ports ---- */

static ExitReason
port_in (Cpu *cpu, uint16_t port, unsigned size)
{
  uint32_t value;

  if (cpu_check_io (cpu, port, size))
    return EXIT_FAULT;
  value = bus_read_port (cpu->bus, port, size);
  memcpy (&cpu->regs[REG_EAX], &value, size);
  cpu_check_io_breakpoint (cpu, port, size);
  return EXIT_NONE;
}

static ExitReason
port_out (Cpu *cpu, uint16_t port, unsigned size)
{
  uint32_t value = 0;

  if (cpu_check_io (cpu, port, size))
    return EXIT_FAULT;
  memcpy (&value, &cpu->regs[REG_EAX], size);
  bus_write_port (cpu->bus, port, size, value);
  cpu_check_io_breakpoint (cpu, port, size);
  return EXIT_NONE;
}

#define IMMEDIATE_PORT ((uint16_t) (insn->immediate & 0xff))
#define DX_PORT ((uint16_t) cpu->regs[REG_EDX])

ROUTINE (IN_AL_Ib) { return port_in (cpu, IMMEDIATE_PORT, 1); }
ROUTINE (IN_eAX_Ib_16) { return port_in (cpu, IMMEDIATE_PORT, 2); }
ROUTINE (IN_eAX_Ib_32) { return port_in (cpu, IMMEDIATE_PORT, 4); }
ROUTINE (IN_AL_DX) { return port_in (cpu, DX_PORT, 1); }
ROUTINE (IN_eAX_DX_16) { return port_in (cpu, DX_PORT, 2); }
ROUTINE (IN_eAX_DX_32) { return port_in (cpu, DX_PORT, 4); }
ROUTINE (OUT_Ib_AL) { return port_out (cpu, IMMEDIATE_PORT, 1); }
ROUTINE (OUT_Ib_eAX_16) { return port_out (cpu, IMMEDIATE_PORT, 2); }
ROUTINE (OUT_Ib_eAX_32) { return port_out (cpu, IMMEDIATE_PORT, 4); }
ROUTINE (OUT_DX_AL) { return port_out (cpu, DX_PORT, 1); }
ROUTINE (OUT_DX_eAX_16) { return port_out (cpu, DX_PORT, 2); }
ROUTINE (OUT_DX_eAX_32) { return port_out (cpu, DX_PORT, 4); }
