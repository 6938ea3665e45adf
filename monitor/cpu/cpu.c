/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The processor's life: construction, reset, lines, events between instructions, saved state. */
#include "cpu.h"

#include "clock.h"
#include "cpuid.h"
#include "exceptions.h"
#include "flags.h"
#include "physical-memory.h"
#include "segments.h"
#include "smm.h"
#include "tlb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- What memory tells ---- */

static void
on_code_written (void *listener, uint32_t page, uint32_t offset, uint32_t n_bytes)
{
  Cpu *cpu = listener;

  if (cpu->cache_hooks.code_written)
    cpu->cache_hooks.code_written (cpu, page, offset, n_bytes);
  if (cpu->hooks.code_written)
    cpu->hooks.code_written (cpu, page, offset, n_bytes);
}

static void
on_map_changed (void *listener, uint32_t first_guest_page, uint32_t n_pages)
{
  Cpu *cpu = listener;

  tlb_flush (cpu, true);
  if (cpu->cache_hooks.map_changed)
    cpu->cache_hooks.map_changed (cpu, first_guest_page, n_pages);
  if (cpu->hooks.map_changed)
    cpu->hooks.map_changed (cpu, first_guest_page, n_pages);
}

static void
on_dirty_cleared (void *listener, uint32_t first_backing_page, uint32_t n_pages)
{
  Cpu *cpu = listener;

  if (n_pages == 1)
    tlb_protect_page (cpu, first_backing_page);
  else
    tlb_protect_all (cpu);
  if (cpu->hooks.dirty_cleared)
    cpu->hooks.dirty_cleared (cpu, first_backing_page, n_pages);
}

static void
flush_everything (Cpu *cpu)
{
  tlb_flush (cpu, true);
  if (cpu->cache_hooks.flush_all)
    cpu->cache_hooks.flush_all (cpu);
  if (cpu->hooks.flush_all)
    cpu->hooks.flush_all (cpu);
}

/* ---- Life ---- */

Cpu *
cpu_new (const CpuConfig *config, GuestMemory *memory, Bus *bus, Clock *clock)
{
  GuestMemoryListener listener = { on_code_written, on_map_changed, on_dirty_cleared, NULL };
  Cpu *cpu;

  if ((unsigned) config->model >= N_CPU_MODELS)
    return NULL;
  cpu = aligned_alloc (64, (sizeof *cpu + 63) & ~(size_t) 63);
  if (!cpu)
    return NULL;
  memset (cpu, 0, sizeof *cpu);
  cpu->tlb = aligned_alloc (64, (sizeof *cpu->tlb + 63) & ~(size_t) 63);
  if (!cpu->tlb)
    {
      free (cpu);
      return NULL;
    }
  memset (cpu->tlb, 0, sizeof *cpu->tlb);
  cpu->memory = memory;
  cpu->bus = bus;
  cpu->clock = clock;
  cpu->model = config->model;
  cpu->undetectable = config->undetectable;
  cpu->features = cpu_model_features (config->model);
  if (!cpu->undetectable)
    cpu->features |= FEATURE_HYPERVISOR;
  cpu->physical_mask = cpu->features & (FEATURE_PAE | FEATURE_PSE36) ? 0xfffffffffull : 0xffffffffull;
  cpu->instruction_limit = UINT64_MAX;
  listener.listener = cpu;
  guest_memory_add_listener (memory, &listener);
  cpu_reset (cpu);
  return cpu;
}

void
cpu_free (Cpu *cpu)
{
  if (!cpu)
    return;
  free (cpu->tlb);
  free (cpu);
}

void
cpu_init_reset (Cpu *cpu)
{
  cpu->eflags = EFLAGS_1;
  cpu->lazy_operation = 0;
  memset (cpu->regs, 0, sizeof cpu->regs);
  cpu->regs[REG_EDX] = cpu_model_signature (cpu->model);
  cpu->eip = 0xfff0;
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    cpu->segments[i] = (Segment) { 0, 0xffff, 0, 0x93 };
  cpu->segments[SEG_CS].selector = 0xf000;
  cpu->segments[SEG_CS].base = 0xffff0000;
  cpu->ldt = (Segment) { 0, 0xffff, 0, 0x82 };
  cpu->task = (Segment) { 0, 0xffff, 0, 0x8b };
  cpu->gdt_base = cpu->idt_base = 0;
  cpu->gdt_limit = cpu->idt_limit = 0xffff;
  /* INIT keeps CD and NW (SDM vol. 3, table 9-1). */
  cpu->cr0 = (cpu->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
  cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
  memset (cpu->dr, 0, sizeof cpu->dr);
  cpu->dr[6] = 0xffff0ff0;
  cpu->dr[7] = 0x400;
  cpu->efer = 0;
  cpu->cpl = 0;
  cpu->inhibit = 0;
  cpu->halted = cpu->shutdown = false;
  cpu->init_pending = false;
  cpu->nmi_blocked = false;
  cpu->tf_pending = false;
  cpu->debug_hits = 0;
  cpu->external = 0;
  flush_everything (cpu);
  cpu_changed (cpu);
}

void
cpu_reset (Cpu *cpu)
{
  bool was_in_smm = cpu->in_smm;

  cpu->cr0 = CR0_CD | CR0_NW;
  memset (&cpu->fpu, 0, sizeof cpu->fpu);
  cpu->fpu.control = 0x0040;
  cpu->fpu.valid = 0xff;        /* tag word 5555h: all zero, none empty */
  cpu->fpu.mxcsr = 0x1f80;
  memset (cpu->pdpte, 0, sizeof cpu->pdpte);
  cpu->tsc_offset = 0 - clock_now_ns (cpu->clock);
  cpu->apic_base = 0xfee00900;
  cpu->pat = 0x0007040600070406ull;
  cpu->mtrr_default = 0;
  memset (cpu->mtrr_fixed, 0, sizeof cpu->mtrr_fixed);
  memset (cpu->mtrr_base, 0, sizeof cpu->mtrr_base);
  memset (cpu->mtrr_mask, 0, sizeof cpu->mtrr_mask);
  memset (cpu->mc_status, 0, sizeof cpu->mc_status);
  cpu->misc_enable = 1;
  cpu->debug_control = cpu->bios_sign = cpu->mcg_status = cpu->feature_control = 0;
  cpu->platform_id = 0;
  cpu->sysenter_cs = cpu->sysenter_esp = cpu->sysenter_eip = 0;
  cpu->nmi_pending = cpu->smi_pending = false;
  cpu->smbase = 0x30000;
  cpu->in_smm = false;
  cpu->ferr = cpu->ignne = false;
  if (was_in_smm && cpu->lines.smm_changed)
    cpu->lines.smm_changed (cpu->lines.smm_controller, false);
  cpu_init_reset (cpu);
}

/* ---- Lines ---- */

void
cpu_request_exit (Cpu *cpu, uint32_t request)
{
  __atomic_or_fetch (&cpu->exit_request, request, __ATOMIC_SEQ_CST);
  if (cpu->hooks.kick)
    cpu->hooks.kick (cpu);
}

void
cpu_set_interrupt_line (void *data, unsigned input, bool level)
{
  Cpu *cpu = data;
  bool rose = level && !cpu->interrupt_line;

  cpu->interrupt_line = level;
  if (rose)
    cpu_request_exit (cpu, CPU_REQUEST_EVENT);
}

void
cpu_set_nmi_line (void *data, unsigned input, bool level)
{
  Cpu *cpu = data;

  if (level && !cpu->nmi_line)
    {
      cpu->nmi_pending = true;
      cpu_request_exit (cpu, CPU_REQUEST_EVENT);
    }
  cpu->nmi_line = level;
}

void
cpu_set_smi_line (void *data, unsigned input, bool level)
{
  Cpu *cpu = data;

  if (level)
    {
      cpu->smi_pending = true;
      cpu_request_exit (cpu, CPU_REQUEST_EVENT);
    }
}

void
cpu_set_a20_line (void *data, unsigned input, bool level)
{
  Cpu *cpu = data;

  if (cpu->a20_masked == !level)
    return;
  cpu->a20_masked = !level;
  flush_everything (cpu);
}

void
cpu_pulse_init (void *data, unsigned input, bool level)
{
  Cpu *cpu = data;

  if (level)
    {
      cpu->init_pending = true;
      cpu_request_exit (cpu, CPU_REQUEST_EVENT);
    }
}

void
cpu_set_ignne_line (void *data, unsigned input, bool level)
{
  ((Cpu *) data)->ignne = level;
}

/* ---- Events ---- */

static ExitReason
deliver (Cpu *cpu, unsigned vector)
{
  ExitReason reason;

  cpu->halted = cpu->shutdown = false;
  reason = cpu_interrupt (cpu, vector, INTERRUPT_EXTERNAL, false, 0, cpu->eip);
  if (reason == EXIT_FAULT)
    reason = cpu_deliver_exception (cpu);
  return reason == EXIT_SHUTDOWN ? EXIT_SHUTDOWN : EXIT_NONE;
}

ExitReason
cpu_take_events (Cpu *cpu)
{
  __atomic_and_fetch (&cpu->exit_request, ~(uint32_t) CPU_REQUEST_EVENT, __ATOMIC_SEQ_CST);
  if (cpu->init_pending && !cpu->in_smm)
    cpu_init_reset (cpu);
  if (cpu->smi_pending && !cpu->in_smm)
    {
      cpu->smi_pending = false;
      smm_enter (cpu);
    }
  if (cpu->nmi_pending && !cpu->nmi_blocked && !(cpu->inhibit & CPU_INHIBIT_MOV_SS))
    {
      cpu->nmi_pending = false;
      cpu->nmi_blocked = true;
      if (deliver (cpu, VECTOR_NMI) == EXIT_SHUTDOWN)
        return EXIT_SHUTDOWN;
    }
  if (cpu->shutdown)
    return EXIT_SHUTDOWN;
  if (cpu->eflags & EFLAGS_VIP && cpu->eflags & EFLAGS_VIF
      && (cpu->eflags & EFLAGS_VM ? cpu->cr4 & CR4_VME : cpu->cpl == 3 && cpu->cr4 & CR4_PVI))
    {
      /* SDM vol. 3, 20.3.3.3: a pending virtual interrupt that became deliverable. */
      cpu_raise_error (cpu, VECTOR_GP, 0);
      if (cpu_deliver_exception (cpu) == EXIT_SHUTDOWN)
        return EXIT_SHUTDOWN;
    }
  if (cpu->interrupt_line && cpu->eflags & EFLAGS_IF && !cpu->inhibit)
    {
      int vector = cpu->lines.acknowledge ? cpu->lines.acknowledge (cpu->lines.controller) : -1;

      if (vector >= 0 && deliver (cpu, (unsigned) vector & 0xff) == EXIT_SHUTDOWN)
        return EXIT_SHUTDOWN;
      if (cpu->interrupt_line && cpu->eflags & EFLAGS_IF)
        cpu->exit_request |= CPU_REQUEST_EVENT;
    }
  return cpu->halted ? EXIT_HALT : EXIT_NONE;
}

uint64_t
cpu_tsc (const Cpu *cpu)
{
  return clock_now_ns (cpu->clock) + cpu->tsc_offset;
}

void
cpu_sync_flags (Cpu *cpu)
{
  flags_sync (cpu);
}

uint32_t
cpu_get_eflags (const Cpu *cpu)
{
  return flags_get (cpu);
}

/* ---- Saved state ---- */

static const StateField segment_fields[] = {
  STATE_FIELD (Segment, base, STATE_UINT, 1),
  STATE_FIELD (Segment, limit, STATE_UINT, 1),
  STATE_FIELD (Segment, selector, STATE_UINT, 1),
  STATE_FIELD (Segment, attributes, STATE_UINT, 1),
  STATE_END,
};
static const StateTable segment_table = { "segment", 1, segment_fields, NULL };

#define SEGMENT_FIELD(field) { #field, STATE_TABLE, offsetof (Cpu, field), sizeof (Segment), 1, 1, &segment_table }

static const StateField cpu_fields[] = {
  STATE_FIELD (Cpu, regs, STATE_BYTES, 1),
  STATE_FIELD (Cpu, eip, STATE_UINT, 1),
  STATE_FIELD (Cpu, eflags, STATE_UINT, 1),
  STATE_FIELD (Cpu, lazy_result, STATE_UINT, 1),
  STATE_FIELD (Cpu, lazy_source, STATE_UINT, 1),
  STATE_FIELD (Cpu, lazy_destination, STATE_UINT, 1),
  STATE_FIELD (Cpu, lazy_operation, STATE_UINT, 1),
  STATE_FIELD (Cpu, cpl, STATE_UINT, 1),
  STATE_FIELD (Cpu, inhibit, STATE_UINT, 1),
  STATE_FIELD (Cpu, halted, STATE_UINT, 1),
  STATE_FIELD (Cpu, instructions, STATE_UINT, 1),
  STATE_NESTED (Cpu, segments, &segment_table, 1),
  STATE_FIELD (Cpu, fpu, STATE_BYTES, 1),
  STATE_FIELD (Cpu, cr0, STATE_UINT, 1),
  STATE_FIELD (Cpu, cr2, STATE_UINT, 1),
  STATE_FIELD (Cpu, cr3, STATE_UINT, 1),
  STATE_FIELD (Cpu, cr4, STATE_UINT, 1),
  STATE_FIELD (Cpu, dr, STATE_BYTES, 1),
  STATE_FIELD (Cpu, gdt_base, STATE_UINT, 1),
  STATE_FIELD (Cpu, idt_base, STATE_UINT, 1),
  STATE_FIELD (Cpu, gdt_limit, STATE_UINT, 1),
  STATE_FIELD (Cpu, idt_limit, STATE_UINT, 1),
  SEGMENT_FIELD (ldt),
  SEGMENT_FIELD (task),
  STATE_FIELD (Cpu, pdpte, STATE_BYTES, 1),
  STATE_FIELD (Cpu, tsc_offset, STATE_UINT, 1),
  STATE_FIELD (Cpu, apic_base, STATE_UINT, 1),
  STATE_FIELD (Cpu, efer, STATE_UINT, 1),
  STATE_FIELD (Cpu, pat, STATE_UINT, 1),
  STATE_FIELD (Cpu, mtrr_default, STATE_UINT, 1),
  STATE_FIELD (Cpu, mtrr_fixed, STATE_BYTES, 1),
  STATE_FIELD (Cpu, mtrr_base, STATE_BYTES, 1),
  STATE_FIELD (Cpu, mtrr_mask, STATE_BYTES, 1),
  STATE_FIELD (Cpu, misc_enable, STATE_UINT, 1),
  STATE_FIELD (Cpu, debug_control, STATE_UINT, 1),
  STATE_FIELD (Cpu, bios_sign, STATE_UINT, 1),
  STATE_FIELD (Cpu, platform_id, STATE_UINT, 1),
  STATE_FIELD (Cpu, mcg_status, STATE_UINT, 1),
  STATE_FIELD (Cpu, mc_status, STATE_BYTES, 1),
  STATE_FIELD (Cpu, feature_control, STATE_UINT, 1),
  STATE_FIELD (Cpu, sysenter_cs, STATE_UINT, 1),
  STATE_FIELD (Cpu, sysenter_esp, STATE_UINT, 1),
  STATE_FIELD (Cpu, sysenter_eip, STATE_UINT, 1),
  STATE_FIELD (Cpu, interrupt_line, STATE_UINT, 1),
  STATE_FIELD (Cpu, nmi_pending, STATE_UINT, 1),
  STATE_FIELD (Cpu, nmi_blocked, STATE_UINT, 1),
  STATE_FIELD (Cpu, smi_pending, STATE_UINT, 1),
  STATE_FIELD (Cpu, in_smm, STATE_UINT, 1),
  STATE_FIELD (Cpu, init_pending, STATE_UINT, 1),
  STATE_FIELD (Cpu, nmi_line, STATE_UINT, 1),
  STATE_FIELD (Cpu, a20_masked, STATE_UINT, 1),
  STATE_FIELD (Cpu, ferr, STATE_UINT, 1),
  STATE_FIELD (Cpu, ignne, STATE_UINT, 1),
  STATE_FIELD (Cpu, shutdown, STATE_UINT, 1),
  STATE_FIELD (Cpu, smbase, STATE_UINT, 1),
  STATE_END,
};

static bool
is_bool (const bool *value)
{
  uint8_t byte;

  memcpy (&byte, value, 1);
  return byte <= 1;
}

/* What no processor could hold is refused; what only a strange guest could reach is not. */
static int
check_state (Device *device)
{
  Cpu *cpu = (Cpu *) device;
  const bool *bools[] = { &cpu->halted, &cpu->interrupt_line, &cpu->nmi_pending, &cpu->nmi_blocked, &cpu->smi_pending, &cpu->in_smm,
                          &cpu->init_pending, &cpu->nmi_line, &cpu->a20_masked, &cpu->ferr, &cpu->ignne, &cpu->shutdown };
  uint32_t cr4_bits = 0x7f | (cpu->features & FEATURE_PGE ? CR4_PGE | CR4_PCE : 0)
                      | (cpu->features & FEATURE_FXSR ? CR4_OSFXSR : 0) | (cpu->features & FEATURE_SSE ? CR4_OSXMMEXCPT : 0);

  for (unsigned i = 0; i < sizeof bools / sizeof bools[0]; i++)
    if (!is_bool (bools[i]))
      return -EBADMSG;
  if (cpu->lazy_operation > FLAGS_OP_LAZY || cpu->cpl > 3 || cpu->inhibit > 3 || !(cpu->eflags & EFLAGS_1)
      || cpu->eflags & ~0x003f7fd7u)
    return -EBADMSG;
  if ((cpu->cr0 & CR0_PG && !(cpu->cr0 & CR0_PE)) || cpu->cr4 & ~cr4_bits || cpu->efer & ~0x800ull
      || (cpu->efer && !(cpu->features & FEATURE_NX)))
    return -EBADMSG;
  if (!(cpu->cr0 & CR0_PE) ? cpu->cpl != 0 || cpu->eflags & EFLAGS_VM : cpu->eflags & EFLAGS_VM && cpu->cpl != 3)
    return -EBADMSG;
  if (cpu->fpu.opcode > 0x7ff || cpu->fpu.mxcsr & ~0xffffu || cpu->shutdown > cpu->halted)
    return -EBADMSG;
  for (unsigned i = 0; i < 8; i++)
    for (unsigned byte = 10; byte < 16; byte++)
      if (cpu->fpu.r[i][byte])
        return -EBADMSG;
  if (cpu->apic_base & ~(0xfffff900ull | (cpu->physical_mask & ~0xffffffffull)))
    return -EBADMSG;
  cpu->dr[7] |= 0x400;
  cpu->tf_pending = false;
  cpu->debug_hits = 0;
  cpu->external = 0;
  cpu->exit_request |= CPU_REQUEST_EVENT;
  flush_everything (cpu);
  cpu_changed (cpu);
  return 0;
}

const StateTable cpu_state_table = { "cpu", 1, cpu_fields, check_state };
