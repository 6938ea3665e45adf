/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "segments.h"

#include "exceptions.h"
#include "memory.h"
#include "paging.h"
#include "tlb.h"

#include <string.h>

#define TRY(expression) do { ExitReason reason_ = (expression); if (reason_ != EXIT_NONE) return reason_; } while (0)

enum { SELECTOR_TI = 4 };

static uint32_t
selector_error (uint16_t selector)
{
  return selector & 0xfffcu;
}

static bool
is_null (uint16_t selector)
{
  return !(selector & 0xfffc);
}

Segment
segment_from_descriptor (uint16_t selector, const Descriptor *descriptor)
{
  Segment segment = {
    .base = descriptor->low >> 16 | (descriptor->high & 0xff) << 16 | (descriptor->high & 0xff000000u),
    .limit = (descriptor->low & 0xffff) | (descriptor->high & 0xf0000),
    .selector = selector,
    .attributes = descriptor->high >> 8 & 0xf0ff,
  };

  if (segment.attributes & SEGMENT_G)
    segment.limit = segment.limit << 12 | 0xfff;
  return segment;
}

/* Linear address of a descriptor. false: beyond the table. */
static bool
descriptor_address (const Cpu *cpu, uint16_t selector, uint32_t *ret)
{
  uint32_t base = cpu->gdt_base, limit = cpu->gdt_limit;

  if (selector & SELECTOR_TI)
    {
      if (!(cpu->ldt.attributes & SEGMENT_P))
        return false;
      base = cpu->ldt.base;
      limit = cpu->ldt.limit;
    }
  if ((selector | 7u) > limit)
    return false;
  *ret = base + (selector & 0xfff8u);
  return true;
}

ExitReason
descriptor_look (Cpu *cpu, uint16_t selector, Descriptor *ret, bool *ret_found)
{
  uint32_t linear;

  *ret_found = !is_null (selector) && descriptor_address (cpu, selector, &linear);
  return *ret_found ? memory_read (cpu, linear, ret, sizeof *ret, 0) : EXIT_NONE;
}

ExitReason
descriptor_read (Cpu *cpu, uint16_t selector, Descriptor *ret, unsigned vector)
{
  uint32_t linear;

  if (!descriptor_address (cpu, selector, &linear))
    return cpu_raise_error (cpu, vector, selector_error (selector));
  return memory_read (cpu, linear, ret, sizeof *ret, 0);
}

ExitReason
descriptor_set_accessed (Cpu *cpu, uint16_t selector, Descriptor *descriptor)
{
  uint32_t linear;
  uint8_t type;

  if (descriptor->high & 0x100 || !descriptor_address (cpu, selector, &linear))
    return EXIT_NONE;
  descriptor->high |= 0x100;
  type = (uint8_t) (descriptor->high >> 8);
  return memory_write (cpu, linear + 5, &type, 1, 0);
}

void
cpu_set_cpl (Cpu *cpu, unsigned cpl)
{
  cpu->cpl = (uint8_t) cpl;
  cpu_changed (cpu);
}

void
cpu_write_eflags (Cpu *cpu, uint32_t value, uint32_t mask)
{
  uint32_t old = cpu_get_eflags (cpu);

  cpu->eflags = (old & ~mask) | (value & mask) | EFLAGS_1;
  cpu->lazy_operation = 0;
  if (cpu->eflags & (EFLAGS_IF | EFLAGS_VIF) & ~old && (cpu->interrupt_line || cpu->eflags & EFLAGS_VIP))
    cpu->exit_request |= CPU_REQUEST_EVENT;
  if ((cpu->eflags ^ old) & (EFLAGS_AC | EFLAGS_VM))
    cpu_changed (cpu);
}

/* ---- Loading data segments ---- */

void
segment_load_real (Cpu *cpu, unsigned number, uint16_t selector)
{
  Segment *segment = &cpu->segments[number];

  segment->selector = selector;
  segment->base = (uint32_t) selector << 4;
  if (cpu->eflags & EFLAGS_VM)
    {
      segment->limit = 0xffff;
      segment->attributes = 0xf3;
    }
  else
    /* Real mode leaves limit, G and B alone: "unreal mode" depends on it. */
    segment->attributes = (segment->attributes & (SEGMENT_DB | SEGMENT_G)) | 0x93;
  cpu_segment_changed (cpu, number);
}

/* Systems reload the same few selectors all the time.  What was checked once for this selector, CPL and use holds again
 * while the eight bytes in the GDT are the same; they are read each time. */
static SegmentCacheEntry *
cached_segment (Cpu *cpu, uint16_t selector, uint64_t *ret_bytes)
{
  SegmentCacheEntry *entry = &cpu->tlb->segment_cache[(selector >> 3 ^ selector << 2) % SEGMENT_CACHE_ENTRIES];
  uint32_t linear = cpu->gdt_base + (selector & ~7u);
  const uint8_t *bytes;

  if (selector & 4 || (uint32_t) (selector | 7) > cpu->gdt_limit || (linear & 0xfff) > 0xff8
      || !(bytes = memory_direct (cpu, linear, 8, ACCESS_READ)))
    return NULL;
  memcpy (ret_bytes, bytes, 8);
  return entry;
}

ExitReason
segment_load (Cpu *cpu, unsigned number, uint16_t selector)
{
  unsigned rpl = selector & 3, dpl, type;
  SegmentCacheEntry *entry = NULL;
  Descriptor descriptor;
  uint64_t bytes = 0;

  if (!cpu_is_protected (cpu))
    {
      segment_load_real (cpu, number, selector);
      return EXIT_NONE;
    }
  if (is_null (selector))
    {
      if (number == SEG_SS)
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      cpu->segments[number].selector = selector;
      cpu->segments[number].attributes &= (uint16_t) ~SEGMENT_P;
      cpu_segment_changed (cpu, number);
      return EXIT_NONE;
    }
  entry = cached_segment (cpu, selector, &bytes);
  if (entry && entry->selector == selector && entry->descriptor == bytes && entry->gdt_base == cpu->gdt_base
      && entry->cpl == cpu->cpl && entry->stack == (number == SEG_SS))
    {
      cpu->segments[number] = entry->segment;
      cpu_segment_changed (cpu, number);
      return EXIT_NONE;
    }
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_GP));
  dpl = descriptor_dpl (&descriptor);
  type = descriptor_type (&descriptor);
  if (number == SEG_SS)
    {
      if (!descriptor_is_segment (&descriptor) || type & SEGMENT_CODE || !(type & SEGMENT_WRITABLE) || rpl != cpu->cpl
          || dpl != cpu->cpl)
        return cpu_raise_error (cpu, VECTOR_GP, selector_error (selector));
      if (!descriptor_present (&descriptor))
        return cpu_raise_error (cpu, VECTOR_SS, selector_error (selector));
    }
  else
    {
      bool conforming = type & SEGMENT_CODE && type & SEGMENT_CONFORMING;

      if (!descriptor_is_segment (&descriptor) || (type & SEGMENT_CODE && !(type & SEGMENT_READABLE))
          || (!conforming && (rpl > dpl || cpu->cpl > dpl)))
        return cpu_raise_error (cpu, VECTOR_GP, selector_error (selector));
      if (!descriptor_present (&descriptor))
        return cpu_raise_error (cpu, VECTOR_NP, selector_error (selector));
    }
  TRY (descriptor_set_accessed (cpu, selector, &descriptor));
  cpu->segments[number] = segment_from_descriptor (selector, &descriptor);
  cpu_segment_changed (cpu, number);
  entry = cached_segment (cpu, selector, &bytes);
  if (entry)
    *entry = (SegmentCacheEntry) { cpu->gdt_base, selector, cpu->cpl, number == SEG_SS, bytes, cpu->segments[number] };
  return EXIT_NONE;
}

/* ---- Stacks ---- */

static uint32_t
stack_mask (const Segment *ss)
{
  return ss->attributes & SEGMENT_DB ? 0xffffffffu : 0xffffu;
}

ExitReason
stack_push_frame (Cpu *cpu, const Segment *ss, uint32_t esp, const uint32_t *values, unsigned n, unsigned size,
                  unsigned access, uint32_t stack_error, uint32_t *ret_esp)
{
  uint32_t mask = stack_mask (ss), sp = esp & mask;

  for (unsigned i = 0; i < n; i++)
    {
      sp = (sp - size) & mask;
      if (!segment_allows (ss, sp, size, true))
        return cpu_raise_error (cpu, VECTOR_SS, stack_error);
      if (access & ACCESS_USER && cpu->cr0 & CR0_AM && cpu->eflags & EFLAGS_AC && (ss->base + sp) & (size - 1))
        return cpu_raise_error (cpu, VECTOR_AC, 0);
      TRY (memory_probe (cpu, ss->base + sp, size, access | ACCESS_WRITE));
    }
  sp = esp & mask;
  for (unsigned i = 0; i < n; i++)
    {
      sp = (sp - size) & mask;
      TRY (memory_write (cpu, ss->base + sp, &values[i], size, access));
    }
  *ret_esp = (esp & ~mask) | sp;
  return EXIT_NONE;
}

ExitReason
stack_segment_for (Cpu *cpu, uint16_t selector, unsigned cpl, Segment *ret)
{
  Descriptor descriptor;
  unsigned type;

  if (is_null (selector))
    return cpu_raise_error (cpu, VECTOR_TS, 0);
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_TS));
  type = descriptor_type (&descriptor);
  if ((selector & 3) != cpl || descriptor_dpl (&descriptor) != cpl || !descriptor_is_segment (&descriptor) || type & SEGMENT_CODE
      || !(type & SEGMENT_WRITABLE))
    return cpu_raise_error (cpu, VECTOR_TS, selector_error (selector));
  if (!descriptor_present (&descriptor))
    return cpu_raise_error (cpu, VECTOR_SS, selector_error (selector));
  TRY (descriptor_set_accessed (cpu, selector, &descriptor));
  *ret = segment_from_descriptor (selector, &descriptor);
  return EXIT_NONE;
}

static ExitReason
stack_peek (Cpu *cpu, uint32_t at, unsigned size, uint32_t *ret)
{
  uint32_t mask = stack_mask (&cpu->segments[SEG_SS]);

  *ret = 0;
  return cpu_read_bytes (cpu, SEG_SS, (cpu->regs[REG_ESP] + at) & mask, ret, size, size);
}

static void
stack_set (Cpu *cpu, uint32_t esp)
{
  uint32_t mask = stack_mask (&cpu->segments[SEG_SS]);

  cpu->regs[REG_ESP] = (cpu->regs[REG_ESP] & ~mask) | (esp & mask);
}

/* ---- Far transfers ---- */

static ExitReason
transfer_real (Cpu *cpu, uint16_t selector, uint32_t offset)
{
  uint32_t limit = cpu->eflags & EFLAGS_VM ? 0xffff : cpu->segments[SEG_CS].limit;

  if (offset > limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  segment_load_real (cpu, SEG_CS, selector);
  cpu->eip = offset;
  return EXIT_BRANCH;
}

/* Rights to a code segment by JMP and CALL (SDM vol. 3, 5.8.1): no RPL check through gates. */
static ExitReason
check_code (Cpu *cpu, uint16_t selector, const Descriptor *descriptor, bool use_rpl, bool allow_inner)
{
  unsigned dpl = descriptor_dpl (descriptor), rpl = use_rpl ? selector & 3 : 0;
  bool conforming = descriptor_type (descriptor) & SEGMENT_CONFORMING;

  if (!descriptor_is_code (descriptor) || (conforming || allow_inner ? dpl > cpu->cpl : dpl != cpu->cpl || rpl > cpu->cpl))
    return cpu_raise_error (cpu, VECTOR_GP, selector_error (selector));
  if (!descriptor_present (descriptor))
    return cpu_raise_error (cpu, VECTOR_NP, selector_error (selector));
  return EXIT_NONE;
}

static void
commit_code (Cpu *cpu, const Segment *cs, unsigned cpl, uint32_t eip)
{
  cpu->segments[SEG_CS] = *cs;
  cpu->segments[SEG_CS].selector = (uint16_t) ((cs->selector & 0xfffc) | cpl);
  cpu->eip = eip;
  cpu_set_cpl (cpu, cpl);
}

static ExitReason
check_gate (Cpu *cpu, uint16_t selector, const Descriptor *gate)
{
  unsigned dpl = descriptor_dpl (gate);

  if (dpl < cpu->cpl || dpl < (selector & 3u))
    return cpu_raise_error (cpu, VECTOR_GP, selector_error (selector));
  if (!descriptor_present (gate))
    return cpu_raise_error (cpu, VECTOR_NP, selector_error (selector));
  return EXIT_NONE;
}

ExitReason
segment_jump_far (Cpu *cpu, uint16_t selector, uint32_t offset, unsigned size, uint32_t next_eip)
{
  Descriptor descriptor;
  Segment cs;

  if (size == 2)
    offset &= 0xffff;
  if (!cpu_is_protected (cpu))
    return transfer_real (cpu, selector, offset);
  if (is_null (selector))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_GP));
  if (descriptor_is_segment (&descriptor))
    TRY (check_code (cpu, selector, &descriptor, true, false));
  else
    switch (descriptor_type (&descriptor))
      {
      case DESCRIPTOR_TSS16: case DESCRIPTOR_TSS32:
        TRY (check_gate (cpu, selector, &descriptor));
        return task_enter (cpu, selector, TASK_JUMP, next_eip, false, 0);
      case DESCRIPTOR_TASK_GATE:
        TRY (check_gate (cpu, selector, &descriptor));
        return task_enter (cpu, (uint16_t) (descriptor.low >> 16), TASK_JUMP, next_eip, false, 0);
      case DESCRIPTOR_CALL16: case DESCRIPTOR_CALL32:
        TRY (check_gate (cpu, selector, &descriptor));
        selector = (uint16_t) (descriptor.low >> 16);
        offset = descriptor_type (&descriptor) == DESCRIPTOR_CALL32 ? (descriptor.high & 0xffff0000u) | (descriptor.low & 0xffff)
                 : descriptor.low & 0xffff;
        if (is_null (selector))
          return cpu_raise_error (cpu, VECTOR_GP, 0);
        TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_GP));
        TRY (check_code (cpu, selector, &descriptor, false, false));
        break;
      default:
        return cpu_raise_error (cpu, VECTOR_GP, selector_error (selector));
      }
  cs = segment_from_descriptor (selector, &descriptor);
  if (offset > cs.limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (descriptor_set_accessed (cpu, selector, &descriptor));
  cs.attributes |= SEGMENT_ACCESSED;
  commit_code (cpu, &cs, cpu->cpl, offset);
  return EXIT_BRANCH;
}

/* A call gate into an inner ring: new stack from the TSS, parameters copied (SDM vol. 3, 5.8.5). */
static ExitReason
call_inner (Cpu *cpu, const Segment *cs, unsigned cpl, uint32_t offset, unsigned size, unsigned n_parameters, uint32_t next_eip)
{
  uint32_t values[2 + 31 + 2], esp, n = 0;
  uint16_t ss_selector;
  Segment ss;

  TRY (task_inner_stack (cpu, cpl, &ss_selector, &esp));
  TRY (stack_segment_for (cpu, ss_selector, cpl, &ss));
  values[n++] = cpu->segments[SEG_SS].selector;
  values[n++] = cpu->regs[REG_ESP];
  for (unsigned i = n_parameters; i > 0; i--)
    TRY (stack_peek (cpu, (i - 1) * size, size, &values[n++]));
  values[n++] = cpu->segments[SEG_CS].selector;
  values[n++] = next_eip;
  TRY (stack_push_frame (cpu, &ss, esp, values, n, size, cpl == 3 ? ACCESS_USER : 0, selector_error (ss_selector), &esp));
  if (offset > cs->limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  cpu->segments[SEG_SS] = ss;
  cpu->regs[REG_ESP] = stack_mask (&ss) == 0xffff ? (cpu->regs[REG_ESP] & 0xffff0000u) | (esp & 0xffff) : esp;
  commit_code (cpu, cs, cpl, offset);
  return EXIT_BRANCH;
}

ExitReason
segment_call_far (Cpu *cpu, uint16_t selector, uint32_t offset, unsigned size, uint32_t next_eip)
{
  uint32_t values[2] = { cpu->segments[SEG_CS].selector, next_eip }, esp;
  unsigned access = cpu->cpl == 3 ? ACCESS_USER : 0;
  Descriptor descriptor;
  Segment cs;

  if (size == 2)
    offset &= 0xffff;
  if (!cpu_is_protected (cpu))
    {
      uint32_t limit = cpu->eflags & EFLAGS_VM ? 0xffff : cpu->segments[SEG_CS].limit;

      if (offset > limit)
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      TRY (stack_push_frame (cpu, &cpu->segments[SEG_SS], cpu->regs[REG_ESP], values, 2, size, access, 0, &esp));
      cpu->regs[REG_ESP] = esp;
      return transfer_real (cpu, selector, offset);
    }
  if (is_null (selector))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_GP));
  if (descriptor_is_segment (&descriptor))
    TRY (check_code (cpu, selector, &descriptor, true, false));
  else
    {
      unsigned type = descriptor_type (&descriptor), n_parameters = descriptor.high & 0x1f;

      switch (type)
        {
        case DESCRIPTOR_TSS16: case DESCRIPTOR_TSS32:
          TRY (check_gate (cpu, selector, &descriptor));
          return task_enter (cpu, selector, TASK_CALL, next_eip, false, 0);
        case DESCRIPTOR_TASK_GATE:
          TRY (check_gate (cpu, selector, &descriptor));
          return task_enter (cpu, (uint16_t) (descriptor.low >> 16), TASK_CALL, next_eip, false, 0);
        case DESCRIPTOR_CALL16: case DESCRIPTOR_CALL32:
          break;
        default:
          return cpu_raise_error (cpu, VECTOR_GP, selector_error (selector));
        }
      TRY (check_gate (cpu, selector, &descriptor));
      size = type == DESCRIPTOR_CALL32 ? 4 : 2;
      selector = (uint16_t) (descriptor.low >> 16);
      offset = size == 4 ? (descriptor.high & 0xffff0000u) | (descriptor.low & 0xffff) : descriptor.low & 0xffff;
      if (is_null (selector))
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_GP));
      TRY (check_code (cpu, selector, &descriptor, false, true));
      if (!(descriptor_type (&descriptor) & SEGMENT_CONFORMING) && descriptor_dpl (&descriptor) < cpu->cpl)
        {
          TRY (descriptor_set_accessed (cpu, selector, &descriptor));
          cs = segment_from_descriptor (selector, &descriptor);
          return call_inner (cpu, &cs, descriptor_dpl (&descriptor), offset, size, n_parameters, next_eip);
        }
    }
  cs = segment_from_descriptor (selector, &descriptor);
  cs.attributes |= SEGMENT_ACCESSED;
  if (offset > cs.limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (stack_push_frame (cpu, &cpu->segments[SEG_SS], cpu->regs[REG_ESP], values, 2, size, access, 0, &esp));
  TRY (descriptor_set_accessed (cpu, selector, &descriptor));
  cpu->regs[REG_ESP] = esp;
  commit_code (cpu, &cs, cpu->cpl, offset);
  return EXIT_BRANCH;
}

/* After a return to an outer ring: data segments that the outer ring may not use become null (SDM vol. 3, 5.8.6). */
static void
drop_inner_segments (Cpu *cpu)
{
  static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

  for (unsigned i = 0; i < sizeof data; i++)
    {
      Segment *segment = &cpu->segments[data[i]];
      unsigned attributes = segment->attributes, dpl = attributes >> SEGMENT_DPL_SHIFT & 3;
      bool conforming = attributes & SEGMENT_CODE && attributes & SEGMENT_CONFORMING;

      if (dpl < cpu->cpl && !conforming)
        {
          segment->selector = 0;
          segment->attributes &= (uint16_t) ~SEGMENT_P;
        }
    }
  cpu_changed (cpu);
}

/* CS of a RETF or IRET. */
static ExitReason
return_code (Cpu *cpu, uint16_t selector, Segment *ret_cs)
{
  unsigned rpl = selector & 3, dpl;
  Descriptor descriptor;
  bool conforming;

  if (is_null (selector))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_GP));
  dpl = descriptor_dpl (&descriptor);
  conforming = descriptor_type (&descriptor) & SEGMENT_CONFORMING;
  if (!descriptor_is_code (&descriptor) || rpl < cpu->cpl || (conforming ? dpl > rpl : dpl != rpl))
    return cpu_raise_error (cpu, VECTOR_GP, selector_error (selector));
  if (!descriptor_present (&descriptor))
    return cpu_raise_error (cpu, VECTOR_NP, selector_error (selector));
  TRY (descriptor_set_accessed (cpu, selector, &descriptor));
  *ret_cs = segment_from_descriptor (selector, &descriptor);
  return EXIT_NONE;
}

/* SS of a return to an outer ring. */
static ExitReason
return_stack (Cpu *cpu, uint16_t selector, unsigned cpl, Segment *ret_ss)
{
  Descriptor descriptor;
  unsigned type;

  if (is_null (selector))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (descriptor_read (cpu, selector, &descriptor, VECTOR_GP));
  type = descriptor_type (&descriptor);
  if ((selector & 3) != cpl || !descriptor_is_segment (&descriptor) || type & SEGMENT_CODE || !(type & SEGMENT_WRITABLE)
      || descriptor_dpl (&descriptor) != cpl)
    return cpu_raise_error (cpu, VECTOR_GP, selector_error (selector));
  if (!descriptor_present (&descriptor))
    return cpu_raise_error (cpu, VECTOR_SS, selector_error (selector));
  TRY (descriptor_set_accessed (cpu, selector, &descriptor));
  *ret_ss = segment_from_descriptor (selector, &descriptor);
  return EXIT_NONE;
}

static void
commit_outer (Cpu *cpu, const Segment *cs, const Segment *ss, unsigned cpl, uint32_t eip, uint32_t esp)
{
  cpu->segments[SEG_SS] = *ss;
  stack_set (cpu, esp);
  commit_code (cpu, cs, cpl, eip);
  drop_inner_segments (cpu);
}

ExitReason
segment_return_far (Cpu *cpu, unsigned size, uint32_t release)
{
  uint32_t eip, selector, esp, ss_selector;
  Segment cs, ss;
  unsigned rpl;

  TRY (stack_peek (cpu, 0, size, &eip));
  TRY (stack_peek (cpu, size, size, &selector));
  selector &= 0xffff;
  if (!cpu_is_protected (cpu))
    {
      ExitReason reason = transfer_real (cpu, (uint16_t) selector, eip);

      if (reason == EXIT_BRANCH)
        stack_set (cpu, cpu->regs[REG_ESP] + 2 * size + release);
      return reason;
    }
  rpl = selector & 3;
  TRY (return_code (cpu, (uint16_t) selector, &cs));
  if (rpl == cpu->cpl)
    {
      if (eip > cs.limit)
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      stack_set (cpu, cpu->regs[REG_ESP] + 2 * size + release);
      commit_code (cpu, &cs, rpl, eip);
      return EXIT_BRANCH;
    }
  TRY (stack_peek (cpu, 2 * size + release, size, &esp));
  TRY (stack_peek (cpu, 3 * size + release, size, &ss_selector));
  TRY (return_stack (cpu, (uint16_t) ss_selector, rpl, &ss));
  if (eip > cs.limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  commit_outer (cpu, &cs, &ss, rpl, eip, esp + release);
  return EXIT_BRANCH;
}

/* ---- IRET ---- */

enum
{
  FLAGS_USER_16 = EFLAGS_ARITHMETIC | EFLAGS_TF | EFLAGS_DF | EFLAGS_NT,
  FLAGS_USER_32 = FLAGS_USER_16 | EFLAGS_RF | EFLAGS_AC | EFLAGS_ID,
};

/* Back to the interrupted task (NT set). */
static ExitReason
return_task (Cpu *cpu, uint32_t next_eip)
{
  Descriptor descriptor;
  uint16_t link;

  TRY (memory_read (cpu, cpu->task.base, &link, 2, 0));
  if (link & SELECTOR_TI || is_null (link))
    return cpu_raise_error (cpu, VECTOR_TS, selector_error (link));
  TRY (descriptor_read (cpu, link, &descriptor, VECTOR_TS));
  if (descriptor_is_segment (&descriptor)
      || (descriptor_type (&descriptor) != DESCRIPTOR_TSS16_BUSY && descriptor_type (&descriptor) != DESCRIPTOR_TSS32_BUSY))
    return cpu_raise_error (cpu, VECTOR_TS, selector_error (link));
  if (!descriptor_present (&descriptor))
    return cpu_raise_error (cpu, VECTOR_NP, selector_error (link));
  return task_switch (cpu, link, &descriptor, TASK_RETURN, next_eip, false, 0);
}

/* From ring 0 to virtual-8086 mode (SDM vol. 3, 20.2.2). */
static ExitReason
return_virtual (Cpu *cpu, uint32_t eip, uint32_t cs, uint32_t flags)
{
  static const uint8_t order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
  uint32_t esp, selectors[5];

  TRY (stack_peek (cpu, 12, 4, &esp));
  for (unsigned i = 0; i < 5; i++)
    TRY (stack_peek (cpu, 16 + i * 4, 4, &selectors[i]));
  if (eip > 0xffff)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  cpu_write_eflags (cpu, flags, FLAGS_USER_32 | EFLAGS_IF | EFLAGS_IOPL | EFLAGS_VM | EFLAGS_VIF | EFLAGS_VIP);
  segment_load_real (cpu, SEG_CS, (uint16_t) cs);
  for (unsigned i = 0; i < 5; i++)
    segment_load_real (cpu, order[i], (uint16_t) selectors[i]);
  cpu->regs[REG_ESP] = esp;
  cpu->eip = eip;
  cpu_set_cpl (cpu, 3);
  return EXIT_BRANCH;
}

static ExitReason
return_within_virtual (Cpu *cpu, unsigned size, uint32_t eip, uint32_t cs, uint32_t flags)
{
  if (cpu_iopl (cpu) == 3)
    {
      TRY (eip > 0xffff ? cpu_raise_error (cpu, VECTOR_GP, 0) : EXIT_NONE);
      cpu_write_eflags (cpu, flags, (size == 4 ? FLAGS_USER_32 : FLAGS_USER_16) | EFLAGS_IF);
    }
  else if (cpu->cr4 & CR4_VME && size == 2)
    {
      /* SDM vol. 2, IRET; vol. 3, 20.3: IF of the image is VIF. */
      if (flags & EFLAGS_TF || (flags & EFLAGS_IF && cpu->eflags & EFLAGS_VIP))
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      cpu_write_eflags (cpu, (flags & 0xffff) | (flags & EFLAGS_IF ? EFLAGS_VIF : 0), FLAGS_USER_16 | EFLAGS_VIF);
    }
  else
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  stack_set (cpu, cpu->regs[REG_ESP] + 3 * size);
  segment_load_real (cpu, SEG_CS, (uint16_t) cs);
  cpu->eip = eip;
  return EXIT_BRANCH;
}

ExitReason
segment_return_interrupt (Cpu *cpu, unsigned size, uint32_t next_eip)
{
  uint32_t eip, selector, flags, esp, ss_selector, mask;
  unsigned rpl;
  Segment cs, ss;

  if (cpu->eflags & EFLAGS_VM && cpu_iopl (cpu) < 3 && !(cpu->cr4 & CR4_VME && size == 2))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  if (cpu_is_protected (cpu) && cpu->eflags & EFLAGS_NT)
    {
      ExitReason reason = return_task (cpu, next_eip);

      if (reason == EXIT_BRANCH)
        cpu->nmi_blocked = false;
      return reason;
    }
  TRY (stack_peek (cpu, 0, size, &eip));
  TRY (stack_peek (cpu, size, size, &selector));
  TRY (stack_peek (cpu, 2 * size, size, &flags));
  selector &= 0xffff;
  if (cpu->eflags & EFLAGS_VM)
    {
      TRY (return_within_virtual (cpu, size, eip, selector, flags));
      return EXIT_BRANCH;
    }
  if (!(cpu->cr0 & CR0_PE))
    {
      ExitReason reason = transfer_real (cpu, (uint16_t) selector, eip);

      if (reason != EXIT_BRANCH)
        return reason;
      stack_set (cpu, cpu->regs[REG_ESP] + 3 * size);
      cpu_write_eflags (cpu, flags, (size == 4 ? FLAGS_USER_32 : FLAGS_USER_16) | EFLAGS_IF | EFLAGS_IOPL);
      goto unblock;
    }
  if (flags & EFLAGS_VM && size == 4 && cpu->cpl == 0)
    {
      ExitReason reason = return_virtual (cpu, eip, selector, flags);

      if (reason != EXIT_BRANCH)
        return reason;
      goto unblock;
    }
  rpl = selector & 3;
  mask = size == 4 ? FLAGS_USER_32 : FLAGS_USER_16;
  if (cpu->cpl <= cpu_iopl (cpu))
    mask |= EFLAGS_IF;
  if (cpu->cpl == 0)
    mask |= EFLAGS_IOPL | (size == 4 ? EFLAGS_VIF | EFLAGS_VIP : 0);
  TRY (return_code (cpu, (uint16_t) selector, &cs));
  if (rpl == cpu->cpl)
    {
      if (eip > cs.limit)
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      stack_set (cpu, cpu->regs[REG_ESP] + 3 * size);
      commit_code (cpu, &cs, rpl, eip);
    }
  else
    {
      TRY (stack_peek (cpu, 3 * size, size, &esp));
      TRY (stack_peek (cpu, 4 * size, size, &ss_selector));
      TRY (return_stack (cpu, (uint16_t) ss_selector, rpl, &ss));
      if (eip > cs.limit)
        return cpu_raise_error (cpu, VECTOR_GP, 0);
      commit_outer (cpu, &cs, &ss, rpl, eip, esp);
    }
  cpu_write_eflags (cpu, flags, mask);
unblock:
  if (cpu->nmi_blocked)
    {
      cpu->nmi_blocked = false;
      if (cpu->nmi_pending)
        cpu->exit_request |= CPU_REQUEST_EVENT;
    }
  return EXIT_BRANCH;
}

/* ---- I/O permission ---- */

ExitReason
cpu_check_io (Cpu *cpu, uint16_t port, unsigned size)
{
  uint16_t map_base, bits;
  uint32_t at;

  if (!(cpu->cr0 & CR0_PE) || (!(cpu->eflags & EFLAGS_VM) && cpu->cpl <= cpu_iopl (cpu)))
    return EXIT_NONE;
  /* SDM vol. 1, 18.5.2: a 32-bit TSS, and both bytes that hold the bits inside its limit. */
  if (!(cpu->task.attributes & SEGMENT_P) || (cpu->task.attributes & 0xd) != DESCRIPTOR_TSS32 || cpu->task.limit < 103)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (memory_read (cpu, cpu->task.base + 102, &map_base, 2, 0));
  at = map_base + port / 8u;
  if (at + 1 > cpu->task.limit)
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  TRY (memory_read (cpu, cpu->task.base + at, &bits, 2, 0));
  if (bits >> (port & 7) & ((1u << size) - 1))
    return cpu_raise_error (cpu, VECTOR_GP, 0);
  return EXIT_NONE;
}
