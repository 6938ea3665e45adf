/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hardware tasks (SDM vol. 3, chapter 7). */
#include "segments.h"

#include "exceptions.h"
#include "memory.h"
#include "paging.h"
#include "tlb.h"

#include <string.h>

#define TRY(expression) do { ExitReason reason_ = (expression); if (reason_ != EXIT_NONE) return reason_; } while (0)

/* Offsets in the two forms of TSS. */
enum
{
  TSS32_CR3 = 28, TSS32_EIP = 32, TSS32_EFLAGS = 36, TSS32_EAX = 40, TSS32_ES = 72, TSS32_LDT = 96, TSS32_T = 100, TSS32_BYTES = 104,
  TSS16_IP = 14, TSS16_FLAGS = 16, TSS16_AX = 18, TSS16_ES = 34, TSS16_LDT = 42, TSS16_BYTES = 44,
  DR7_LOCAL = 0x155, DR6_BT = 1 << 15,
};

static bool
is_32 (unsigned type)
{
  return type & 8;
}

ExitReason
task_inner_stack (Cpu *cpu, unsigned cpl, uint16_t *ret_ss, uint32_t *ret_esp)
{
  uint32_t error = cpu->task.selector & 0xfffcu;

  if (is_32 (cpu->task.attributes & SEGMENT_TYPE))
    {
      if (cpl * 8 + 4 + 5 > cpu->task.limit)
        return cpu_raise_error (cpu, VECTOR_TS, error);
      TRY (memory_read (cpu, cpu->task.base + cpl * 8 + 4, ret_esp, 4, 0));
      return memory_read (cpu, cpu->task.base + cpl * 8 + 8, ret_ss, 2, 0);
    }
  if (cpl * 4 + 2 + 3 > cpu->task.limit)
    return cpu_raise_error (cpu, VECTOR_TS, error);
  *ret_esp = 0;
  TRY (memory_read (cpu, cpu->task.base + cpl * 4 + 2, ret_esp, 2, 0));
  return memory_read (cpu, cpu->task.base + cpl * 4 + 4, ret_ss, 2, 0);
}

ExitReason
task_enter (Cpu *cpu, uint16_t selector, TaskSource source, uint32_t next_eip, bool has_error, uint32_t error)
{
  Descriptor descriptor;
  unsigned type;

  if (selector & 4 || !(selector & 0xfffc))
    return cpu_raise_error (cpu, VECTOR_GP, selector & 0xfffcu);
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_GP));
  type = descriptor_type (&descriptor);
  if (descriptor_is_segment (&descriptor) || (type != DESCRIPTOR_TSS16 && type != DESCRIPTOR_TSS32))
    return cpu_raise_error (cpu, VECTOR_GP, selector & 0xfffcu);
  if (!descriptor_present (&descriptor))
    return cpu_raise_error (cpu, VECTOR_NP, selector & 0xfffcu);
  return task_switch (cpu, selector, &descriptor, source, next_eip, has_error, error);
}

static void
put (uint8_t *bytes, unsigned at, unsigned size, uint32_t value)
{
  memcpy (bytes + at, &value, size);
}

static uint32_t
get (const uint8_t *bytes, unsigned at, unsigned size)
{
  uint32_t value = 0;

  memcpy (&value, bytes + at, size);
  return value;
}

/* Writes the outgoing task's registers; the fields that it does not own (stacks, CR3, LDT, map base) stay. */
static ExitReason
save_task (Cpu *cpu, uint32_t next_eip, uint32_t flags)
{
  uint8_t bytes[TSS32_BYTES] = { 0 };

  if (is_32 (cpu->task.attributes & SEGMENT_TYPE))
    {
      put (bytes, TSS32_EIP, 4, next_eip);
      put (bytes, TSS32_EFLAGS, 4, flags);
      for (unsigned i = 0; i < 8; i++)
        put (bytes, TSS32_EAX + i * 4, 4, cpu->regs[i]);
      for (unsigned i = 0; i < N_SEGMENTS; i++)
        put (bytes, TSS32_ES + i * 4, 4, cpu->segments[i].selector);
      return memory_write (cpu, cpu->task.base + TSS32_EIP, bytes + TSS32_EIP, TSS32_LDT - TSS32_EIP, 0);
    }
  put (bytes, TSS16_IP, 2, next_eip);
  put (bytes, TSS16_FLAGS, 2, flags);
  for (unsigned i = 0; i < 8; i++)
    put (bytes, TSS16_AX + i * 2, 2, cpu->regs[i]);
  for (unsigned i = 0; i < 4; i++)
    put (bytes, TSS16_ES + i * 2, 2, cpu->segments[i].selector);
  return memory_write (cpu, cpu->task.base + TSS16_IP, bytes + TSS16_IP, TSS16_LDT - TSS16_IP, 0);
}

static ExitReason
set_busy (Cpu *cpu, uint16_t selector, bool busy)
{
  uint32_t linear = cpu->gdt_base + (selector & 0xfff8u) + 5;
  uint8_t type;

  TRY (memory_read (cpu, linear, &type, 1, 0));
  type = (uint8_t) (busy ? type | 2 : type & ~2);
  return memory_write (cpu, linear, &type, 1, 0);
}

static ExitReason
load_task_ldt (Cpu *cpu, uint16_t selector)
{
  Descriptor descriptor;

  cpu->ldt.selector = selector;
  cpu->ldt.attributes = 0;
  if (!(selector & 0xfffc))
    return EXIT_NONE;
  if (selector & 4)
    return cpu_raise_error (cpu, VECTOR_TS, selector & 0xfffcu);
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_TS));
  if (descriptor_is_segment (&descriptor) || descriptor_type (&descriptor) != DESCRIPTOR_LDT || !descriptor_present (&descriptor))
    return cpu_raise_error (cpu, VECTOR_TS, selector & 0xfffcu);
  cpu->ldt = segment_from_descriptor (selector, &descriptor);
  return EXIT_NONE;
}

static ExitReason
load_task_code (Cpu *cpu, uint16_t selector)
{
  unsigned dpl, rpl = selector & 3;
  Descriptor descriptor;
  bool conforming;

  if (!(selector & 0xfffc))
    return cpu_raise_error (cpu, VECTOR_TS, 0);
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_TS));
  dpl = descriptor_dpl (&descriptor);
  conforming = descriptor_type (&descriptor) & SEGMENT_CONFORMING;
  if (!descriptor_is_code (&descriptor) || (conforming ? dpl > rpl : dpl != rpl))
    return cpu_raise_error (cpu, VECTOR_TS, selector & 0xfffcu);
  if (!descriptor_present (&descriptor))
    return cpu_raise_error (cpu, VECTOR_NP, selector & 0xfffcu);
  TRY (descriptor_set_accessed (cpu, selector, &descriptor));
  cpu->segments[SEG_CS] = segment_from_descriptor (selector, &descriptor);
  return EXIT_NONE;
}

static ExitReason
load_task_data (Cpu *cpu, unsigned number, uint16_t selector)
{
  unsigned dpl, rpl = selector & 3, type;
  Descriptor descriptor;

  if (!(selector & 0xfffc))
    return EXIT_NONE;
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_TS));
  dpl = descriptor_dpl (&descriptor);
  type = descriptor_type (&descriptor);
  if (!descriptor_is_segment (&descriptor) || (type & SEGMENT_CODE && !(type & SEGMENT_READABLE))
      || (!(type & SEGMENT_CODE && type & SEGMENT_CONFORMING) && (rpl > dpl || cpu->cpl > dpl)))
    return cpu_raise_error (cpu, VECTOR_TS, selector & 0xfffcu);
  if (!descriptor_present (&descriptor))
    return cpu_raise_error (cpu, VECTOR_NP, selector & 0xfffcu);
  TRY (descriptor_set_accessed (cpu, selector, &descriptor));
  cpu->segments[number] = segment_from_descriptor (selector, &descriptor);
  return EXIT_NONE;
}

/* Steps 12 … of SDM vol. 3, 7.3, in the new task's context: the switch stands whatever happens here. */
static ExitReason
enter_task (Cpu *cpu, const uint16_t selectors[N_SEGMENTS], uint16_t ldt, bool has_error, uint32_t error, unsigned size)
{
  static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
  Segment ss;

  TRY (load_task_ldt (cpu, ldt));
  if (cpu->eflags & EFLAGS_VM)
    {
      for (unsigned i = 0; i < N_SEGMENTS; i++)
        segment_load_real (cpu, i, selectors[i]);
      cpu_set_cpl (cpu, 3);
    }
  else
    {
      cpu_set_cpl (cpu, selectors[SEG_CS] & 3);
      TRY (load_task_code (cpu, selectors[SEG_CS]));
      TRY (stack_segment_for (cpu, selectors[SEG_SS], cpu->cpl, &ss));
      cpu->segments[SEG_SS] = ss;
      for (unsigned i = 0; i < sizeof data; i++)
        TRY (load_task_data (cpu, data[i], selectors[data[i]]));
      cpu_changed (cpu);
    }
  if (has_error)
    {
      uint32_t esp;

      TRY (stack_push_frame (cpu, &cpu->segments[SEG_SS], cpu->regs[REG_ESP], &error, 1, size, cpu->cpl == 3 ? ACCESS_USER : 0, 0, &esp));
      cpu->regs[REG_ESP] = esp;
    }
  if (cpu->eip > cpu->segments[SEG_CS].limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  return EXIT_BRANCH;
}

ExitReason
task_switch (Cpu *cpu, uint16_t selector, const Descriptor *descriptor, TaskSource source, uint32_t next_eip,
             bool has_error, uint32_t error)
{
  Segment task = segment_from_descriptor (selector, descriptor);
  bool new_32 = is_32 (task.attributes & SEGMENT_TYPE), old_32 = is_32 (cpu->task.attributes & SEGMENT_TYPE);
  unsigned n_new = new_32 ? TSS32_BYTES : TSS16_BYTES;
  uint32_t old_flags = cpu_get_eflags (cpu), flags, cr3 = 0;
  uint16_t selectors[N_SEGMENTS] = { 0 }, old_selector = cpu->task.selector, ldt;
  uint8_t bytes[TSS32_BYTES];
  ExitReason reason;

  if (task.limit < n_new - 1)
    return cpu_raise_error (cpu, VECTOR_TS, selector & 0xfffcu);

  /* Everything that can fail in the old context. */
  TRY (memory_read (cpu, task.base, bytes, n_new, 0));
  TRY (memory_probe (cpu, cpu->task.base, old_32 ? TSS32_BYTES : TSS16_BYTES, ACCESS_WRITE));
  TRY (memory_probe (cpu, cpu->gdt_base + (selector & 0xfff8u), 8, ACCESS_WRITE));
  TRY (memory_probe (cpu, cpu->gdt_base + (old_selector & 0xfff8u), 8, ACCESS_WRITE));
  if (source == TASK_CALL || source == TASK_INTERRUPT)
    TRY (memory_probe (cpu, task.base, 2, ACCESS_WRITE));

  if (source == TASK_JUMP || source == TASK_RETURN)
    TRY (set_busy (cpu, old_selector, false));
  if (source == TASK_RETURN)
    old_flags &= ~(uint32_t) EFLAGS_NT;
  TRY (save_task (cpu, next_eip, old_flags));
  if (source == TASK_CALL || source == TASK_INTERRUPT)
    TRY (memory_write (cpu, task.base, &old_selector, 2, 0));
  if (source != TASK_RETURN)
    TRY (set_busy (cpu, selector, true));

  cpu->task = task;
  cpu->task.attributes |= 2;
  cpu->cr0 |= CR0_TS;
  if (new_32)
    {
      cr3 = get (bytes, TSS32_CR3, 4);
      cpu->eip = get (bytes, TSS32_EIP, 4);
      flags = get (bytes, TSS32_EFLAGS, 4);
      for (unsigned i = 0; i < 8; i++)
        cpu->regs[i] = get (bytes, TSS32_EAX + i * 4, 4);
      for (unsigned i = 0; i < N_SEGMENTS; i++)
        selectors[i] = (uint16_t) get (bytes, TSS32_ES + i * 4, 2);
      ldt = (uint16_t) get (bytes, TSS32_LDT, 2);
    }
  else
    {
      cpu->eip = get (bytes, TSS16_IP, 2);
      flags = get (bytes, TSS16_FLAGS, 2);
      for (unsigned i = 0; i < 8; i++)
        cpu->regs[i] = 0xffff0000u | get (bytes, TSS16_AX + i * 2, 2);
      for (unsigned i = 0; i < 4; i++)
        selectors[i] = (uint16_t) get (bytes, TSS16_ES + i * 2, 2);
      ldt = (uint16_t) get (bytes, TSS16_LDT, 2);
    }
  if (source == TASK_CALL || source == TASK_INTERRUPT)
    flags |= EFLAGS_NT;
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    {
      cpu->segments[i].selector = selectors[i];
      cpu->segments[i].attributes &= (uint16_t) ~SEGMENT_P;
    }
  cpu->lazy_operation = 0;
  cpu_write_eflags (cpu, flags, 0x003f7fd5);
  /* Local breakpoints end with the task (SDM vol. 3, 17.2.4). */
  cpu->dr[7] &= ~(uint32_t) DR7_LOCAL;
  if (new_32 && cpu->cr0 & CR0_PG && cr3 != cpu->cr3)
    {
      uint64_t pdptes[4];

      if (cpu->cr4 & CR4_PAE)
        {
          if (!paging_load_pdptes (cpu, cr3, pdptes))
            return cpu_raise_error (cpu, VECTOR_TS, selector & 0xfffcu);
          memcpy (cpu->pdpte, pdptes, sizeof pdptes);
        }
      cpu->cr3 = cr3;
      tlb_flush (cpu, false);
      if (cpu->hooks.cr3_written)
        cpu->hooks.cr3_written (cpu);
    }
  reason = enter_task (cpu, selectors, ldt, has_error, error, new_32 ? 4 : 2);
  if (reason == EXIT_BRANCH && new_32 && bytes[TSS32_T] & 1)
    {
      /* T flag: #DB before the first instruction of the new task. */
      cpu->dr[6] |= DR6_BT;
      return cpu_raise_trap (cpu, VECTOR_DB, DR6_BT);
    }
  return reason;
}
