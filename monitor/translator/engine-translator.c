/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The translating engine: its loop, its signal handlers, its hooks.
 *
 * Cold code is interpreted; a block that has been entered a few times is translated.  Whatever translated code cannot
 * do by itself arrives here: an address without a translation, an instruction for the interpreter, a fault.
 *
 * Faults.  A memory access of translated code that the window cannot answer is a SIGSEGV.  The handler finds the guest
 * instruction by the host address (unit.c keeps a table), maps the page if the guest's page tables allow it and lets
 * the access run again; otherwise it stores the guest's registers, all of which are in the signal frame, and leaves
 * translated code: the interpreter runs that instruction and raises whatever is right.
 *
 * Kicks.  Nothing is polled.  A signal interrupts translated code; the handler looks whether the interrupted host
 * address begins a guest instruction; if not, it single-steps the host (TF) to one that does.  There the guest's state
 * is complete and translated code is left. */
#include "translator.h"

#include "exceptions.h"
#include "flags.h"
#include "decode-cache.h"
#include "interpreter.h"
#include "physical-memory.h"
#include "tlb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <asm/prctl.h>

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE 2
#endif

enum
{
  SIGNAL_STACK_BYTES = 64 << 10,
  SOFT_FAULTS        = 4,       /* faults at one instruction before the interpreter takes it over */
  GUEST_FAULTS       = 100,     /* the same for faults that were the guest's own */
  SOFT_FAULTS_USER   = 2,       /* the same for supervisor code at user pages */
  AFTER_FAULT        = 24,      /* interpreted after the guest handled a page fault: it often touches the page once */
  RETRY_NS           = 20000,
  HOST_TF            = 0x100,
};

/* One machine per process; signal handlers have no other way to find it. */
static Translator *active;
static __thread Translator *of_thread;  /* the engine that this thread runs */
/* Kicks again what could not be kicked: see on_kick.  Of the process, and made once: the sandbox lets no timer be made
 * or deleted later. */
static timer_t retry_timer;
/* The signal stack is never given back: a signal may still be under way when the engine has gone. */
static _Alignas (64) uint8_t signal_stack[SIGNAL_STACK_BYTES];
static bool    has_retry_timer;

/* Not a real-time signal: those queue, and a processor thread that has waited long would get them all at once. */
static int
kick_signal (void)
{
  return SIGUSR2;
}

/* ---- The guest's mode ---- */

static bool
segment_is_flat (const Segment *segment, bool write)
{
  unsigned attributes = segment->attributes;

  if (segment->base || segment->limit != UINT32_MAX || !(attributes & SEGMENT_P) || !(attributes & SEGMENT_S))
    return false;
  if (attributes & SEGMENT_CODE)
    return !write && attributes & SEGMENT_READABLE;
  return !(attributes & SEGMENT_EXPAND_DOWN) && (!write || attributes & SEGMENT_WRITABLE);
}

/* The mode of translated code for the processor's state now, or MODE_NONE: interpret. */
static uint8_t
mode_of (const Cpu *cpu)
{
  const Segment *code = &cpu->segments[SEG_CS], *stack = &cpu->segments[SEG_SS];
  uint8_t mode = 0;

  if (!(cpu->cr0 & CR0_PE) || cpu->eflags & EFLAGS_VM || !(code->attributes & SEGMENT_DB) || !(stack->attributes & SEGMENT_DB)
      || !segment_is_flat (code, false) || !segment_is_flat (stack, true))
    return MODE_NONE;
  if (cpu->cr0 & CR0_AM && cpu->eflags & EFLAGS_AC && cpu->cpl == 3)
    return MODE_NONE;
  if (!segment_is_flat (&cpu->segments[SEG_DS], true))
    mode |= MODE_DS_BASED;
  if (!segment_is_flat (&cpu->segments[SEG_ES], true))
    mode |= MODE_ES_BASED;
  return mode;
}

/* Conditions under which each instruction must be looked at alone. */
static bool
must_step (const Cpu *cpu)
{
  return cpu->inhibit || cpu->eflags & (EFLAGS_TF | EFLAGS_RF) || cpu->tf_pending || cpu->debug_hits || cpu->dr[7] & 0xff;
}

static inline void
set_segment_window (Translator *self, unsigned number)
{
  const Segment *segment = &self->cpu->segments[number];
  unsigned attributes = segment->attributes;
  enum { USABLE = SEGMENT_P | SEGMENT_S | SEGMENT_WRITABLE, MASK = USABLE | SEGMENT_CODE | SEGMENT_EXPAND_DOWN };
  bool usable = (attributes & MASK) == USABLE && segment->limit == UINT32_MAX;

  self->hot->segment_window[number] = (uint64_t) self->space->window + (usable ? 0 : WINDOW_BYTES);
}

static void
set_segment_windows (Translator *self)
{
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    set_segment_window (self, i);
}

/* ---- Host state ---- */

static void
set_gs_base (Translator *self, uint64_t base)
{
  if (self->hot->has_fsgsbase)
    __asm__ volatile ("wrgsbase %0" : : "r" (base));
  else
    syscall (SYS_arch_prctl, ARCH_SET_GS, base);
}

static void
enter_space (Translator *self, Space *space)
{
  Hot *hot = self->hot;

  if (self->space != space || hot->window != (uint64_t) space->window)
    {
      if (self->space)
        self->space->pair_pointer = hot->pair_stack;
      self->space = space;
      hot->window = (uint64_t) space->window;
      hot->pair_stack = space->pair_pointer;
      set_gs_base (self, hot->window);
    }
  hot->map = (uint64_t) space->view->map;
  if (self->reset_pairs)
    {
      space_reset_pairs (self);
      hot->pair_stack = space->pair_top;
    }
}

/* ---- Instruction clock ---- */

/* Counted code charges a whole basic block when it begins.  `not_executed`: instructions charged but not run. */
static void
sync_count (Translator *self, int64_t not_executed)
{
  if (self->counted)
    self->cpu->instructions = self->base_instructions + (uint64_t) (self->entered_with - (self->hot->remaining + not_executed));
}

/* ---- Callouts ---- */

/* A site that was taken from the window because it faulted often: has that changed?  Pages that it keeps touching are
 * mapped, and when every access finds its page mapped, the site goes back. */
static void
reconsider (Translator *self, const Site *site)
{
  const DecodedInsn *insn = &site->insn;
  SiteStat *stat = &self->site_stats[site->stat];
  Space *space = self->space;
  Cpu *cpu = self->cpu;
  uint32_t linear;

  if (stat->eip != site->eip || !stat->soft)
    return;
  if (insn->is_memory)
    {
      linear = insn->displacement;
      if (insn->base != REG_NONE)
        linear += cpu->regs[insn->base & 7];
      if (insn->index != REG_NONE)
        linear += cpu->regs[insn->index & 7] << insn->scale;
      if (insn->address_size == 2)
        linear &= 0xffff;
      linear += cpu->segments[insn->segment % N_SEGMENTS].base;
    }
  else if (insn->map == 0 && insn->opcode >= 0xa4 && insn->opcode <= 0xaf)
    linear = insn->opcode >= 0xac && insn->opcode <= 0xad ? cpu->regs[REG_ESI] : cpu->regs[REG_EDI];
  else
    linear = cpu->regs[REG_ESP] - 4;
  if (space->pages[linear >> 12])
    {
      if (++stat->hits >= BACK_HITS)
        {
          stat->soft = false;
          stat->hits = 0;
          stat->faults = 1;
          stat->guest_faults = 0;
          self->unsoften = true;
        }
    }
  else
    {
      PageTouch *touch = &self->touches[(linear >> 12 ^ (uint32_t) (space - self->spaces) << 7) & (N_TOUCHES - 1)];

      stat->hits = 0;
      if (touch->linear_page != linear >> 12 || touch->space != space - self->spaces)
        *touch = (PageTouch) { linear >> 12, (uint16_t) (space - self->spaces), 0 };
      if (++touch->touches >= MAP_TOUCHES)
        {
          touch->touches = 0;
          space_map_fault (self, space, linear, false, true);
        }
    }
}

/* After a site that loads `segment` (SEG_NONE: anything): may code of this mode go on? */
static bool
mode_is_current (Translator *self, unsigned segment)
{
  uint8_t mode = self->space->view->mode;

  switch (segment)
    {
    case SEG_FS:
    case SEG_GS:
      break;
    case SEG_DS:
      if (segment_is_flat (&self->cpu->segments[SEG_DS], true) == !!(mode & MODE_DS_BASED))
        return false;
      break;
    case SEG_ES:
      if (segment_is_flat (&self->cpu->segments[SEG_ES], true) == !!(mode & MODE_ES_BASED))
        return false;
      break;
    default:
      if (mode_of (self->cpu) != mode)
        return false;
      set_segment_windows (self);
      return true;
    }
  set_segment_window (self, segment);
  return true;
}

int
translator_callout (Cpu *cpu, uint32_t number)
{
  Translator *self = cpu->engine;
  const Site *site = &self->sites[number];
  uint32_t generation = self->generation;
  uint8_t flags = site->flags, length = site->insn.length;
  uint64_t before;
  ExitReason reason;

  fpu_to_image (self);
  cpu->eip = site->eip;
  if (flags & SITE_FPU_CHECK)
    {
      self->hot->exit_info = site->count;
      if (cpu->cr0 & (CR0_TS | CR0_EM))
        {
          self->interpret_first = 1;
          return LEAVE_EVENT;
        }
      fpu_to_host (self);
      return 0;
    }
  sync_count (self, site->count);
  if (flags & SITE_FPU)
    fpu_to_cpu (self);
  self->n_callouts++;
  if (flags & SITE_SOFT)
    reconsider (self, site);
  cpu->reason_counts[site->reason]++;
  cpu->tlb->code_changed = false;
  before = cpu->instructions;
  reason = site->insn.routine (cpu, &site->insn);
  if (reason == EXIT_NONE)
    cpu->eip += length;
  /* Repeated string instructions count each iteration, the last one as others. */
  if (self->counted)
    self->hot->remaining -= (int64_t) (cpu->instructions - before);
  self->hot->exit_info = site->count - (reason == EXIT_FAULT ? 0u : 1u);
  if (self->unsoften)
    {
      uint32_t index = self->space->view->code_at[site->eip >> 12];

      self->unsoften = false;
      if (index)
        unit_invalidate_range (self, self->pages[index - 1].backing, site->eip & 4095, 1);
    }
  flags_sync (cpu);
  if (flags & SITE_STI && cpu->inhibit == CPU_INHIBIT_STI && !cpu->exit_request)
    cpu->inhibit = 0;
  self->callout_reason = reason;
  self->callout_returns = site->insn.map == 0 && site->insn.opcode == 0xcf;
  if (reason != EXIT_NONE || flags & SITE_ENDS || cpu->exit_request || self->generation != generation || self->flush_wanted
      || (flags & (SITE_MODE | SITE_SHADOW | SITE_SOFT) && must_step (cpu)) || (self->counted && self->hot->remaining < 0)
      || (flags & SITE_MODE && !mode_is_current (self, site->segment)))
    return LEAVE_EVENT;
  return 0;
}

/* ---- Leaving translated code from a signal ---- */

static void
take_registers (Translator *self, ucontext_t *context, uint32_t eip)
{
  static const int where[8] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_R15, REG_RBP, REG_RSI, REG_RDI };
  Cpu *cpu = self->cpu;
  greg_t *registers = context->uc_mcontext.gregs;

  for (int i = 0; i < 8; i++)
    cpu->regs[i] = (uint32_t) registers[where[i]];
  cpu->eip = eip;
  cpu->eflags = (cpu->eflags & ~(uint32_t) (EFLAGS_ARITHMETIC | EFLAGS_DF))
                | ((uint32_t) registers[REG_EFL] & (EFLAGS_ARITHMETIC | EFLAGS_DF));
  cpu->lazy_operation = FLAGS_OP_NONE;
  self->hot->pair_stack = (uint64_t) registers[REG_RSP];
  if (self->fpu == FPU_IN_HOST)
    {
      memcpy (self->hot->fx, context->uc_mcontext.fpregs, sizeof self->hot->fx);
      self->fpu = FPU_IN_IMAGE;
      self->hot->fpu_in_host = 0;
    }
}

/* Goes back to C behind enter (); the signal frame is forgotten.  Only the kick's handler blocks a signal: its own. */
static void __attribute__ ((noreturn))
leave_from_signal (Translator *self, bool kicked)
{
  self->hot->inside = 0;
  self->stepping = false;
  if (kicked)
    {
      sigset_t kicks;

      sigemptyset (&kicks);
      sigaddset (&kicks, kick_signal ());
      sigprocmask (SIG_UNBLOCK, &kicks, NULL);
    }
  __asm__ volatile ("jmp *%0" : : "r" (self->glue_signal_exit));
  __builtin_unreachable ();
}

static uint32_t
record_eip (Translator *self, const Unit *unit, const InsnRecord *record)
{
  return self->pages[unit->page].linear_page << 12 | record->offset;
}

static void
not_ours (int number)
{
  struct sigaction action = { .sa_handler = SIG_DFL };

  sigaction (number, &action, NULL);
}

static void
on_fault (int number, siginfo_t *info, void *data)
{
  ucontext_t *context = data;
  Translator *self = active;
  greg_t *registers = context->uc_mcontext.gregs;
  uint64_t offset, address = (uint64_t) info->si_addr;
  const InsnRecord *record;
  const Unit *unit;

  if (!self || of_thread != self || (offset = (uint64_t) registers[REG_RIP] - self->code) >= CODE_BYTES || offset < self->glue_end)
    {
      not_ours (number);
      return;
    }
  if (number == SIGSEGV && registers[REG_TRAPNO] == 14)
    {
      uint64_t linear = address - (uint64_t) self->space->window;

      if (address - (uint64_t) self->space->pair_stack < 4096)
        {
          /* Calls without returns have filled the pair stack: it is only a prediction, begin again. */
          registers[REG_RSP] = (greg_t) self->space->pair_top;
          return;
        }
      self->n_faults++;
      if (linear < WINDOW_BYTES && space_map_fault (self, self->space, (uint32_t) linear, registers[REG_ERR] & 2, false))
        return;
      self->fault_linear = linear < WINDOW_BYTES ? (uint32_t) linear : 0;
      self->fault_in_guard = linear >= WINDOW_BYTES;
    }
  else
    self->fault_in_guard = false;
  record = unit_find_record (self, (uint32_t) offset, &unit);
  if (!record)
    {
      not_ours (number);
      return;
    }
  self->fault_is_fpu = self->fpu == FPU_IN_HOST;
  take_registers (self, context, record_eip (self, unit, record));
  self->hot->exit_info = record->count;
  self->signal_insn = number == SIGSEGV ? 2 : 1;
  leave_from_signal (self, false);
}

static void
retry_kick (Translator *self)
{
  struct itimerspec soon = { .it_value = { 0, RETRY_NS } };

  if (has_retry_timer)
    timer_settime (retry_timer, 0, &soon, NULL);
}

/* Kick, and the host's single step. */
static void
on_kick (int number, siginfo_t *info, void *data)
{
  ucontext_t *context = data;
  Translator *self = active;
  greg_t *registers = context->uc_mcontext.gregs;
  uint64_t offset;
  const InsnRecord *record;
  const Unit *unit;

  (void) info;
  if (!self || of_thread != self || (number == SIGTRAP && !self->stepping))
    {
      if (number == SIGTRAP)
        not_ours (number);
      return;
    }
  offset = (uint64_t) registers[REG_RIP] - self->code;
  if (offset >= CODE_BYTES || offset < self->glue_end)
    {
      /* In the glue, or inside another handler on top of translated code; when a step ended here, C has been reached or
       * soon will be.  Stepping on top of a handler is not ended: its own trap comes. */
      if (number == SIGTRAP)
        {
          registers[REG_EFL] &= ~(greg_t) HOST_TF;
          self->stepping = false;
        }
      if (self->hot->inside && self->cpu->exit_request && !self->stepping)
        retry_kick (self);
      return;
    }
  if (!self->cpu->exit_request)
    {
      registers[REG_EFL] &= ~(greg_t) HOST_TF;
      self->stepping = false;
      return;
    }
  record = unit_find_record (self, (uint32_t) offset, &unit);
  if (!record || record->host != offset || record->flags & RECORD_NOT_BOUNDARY)
    {
      registers[REG_EFL] |= HOST_TF;
      self->stepping = true;
      return;
    }
  self->n_kicks++;
  take_registers (self, context, record_eip (self, unit, record));
  self->hot->exit_info = record->count;
  self->signal_insn = 0;
  leave_from_signal (self, number != SIGTRAP);
}

/* ---- Hooks ---- */

static void
hook_flush_all (Cpu *cpu)
{
  Translator *self = cpu->engine;
  uint32_t state = (cpu->a20_masked ? 1u : 0) | (cpu->in_smm ? 2u : 0) | (cpu->cr0 & CR0_PG ? 4u : 0)
                   | (cpu->cr4 & (CR4_PSE | CR4_PAE)) << 8;

  self->epoch++;
  /* What a physical address means may have changed: page tables cannot tell. */
  if (state != self->flush_state)
    {
      self->flush_state = state;
      space_drop_all (self);
    }
  self->generation++;
}

static void
hook_flush_linear (Cpu *cpu, uint32_t linear)
{
  space_flush_linear (cpu->engine, linear);
}

static void
hook_cr3_written (Cpu *cpu)
{
  Translator *self = cpu->engine;

  self->epoch++;
  self->generation++;
}

static void
hook_code_written (Cpu *cpu, uint32_t page, uint32_t offset, uint32_t n_bytes)
{
  Translator *self = cpu->engine;
  uint32_t generation = self->generation;

  unit_invalidate_range (self, page, offset, n_bytes);
  /* A repeated string instruction that writes code, perhaps its own, stops and is fetched again. */
  if (self->generation != generation)
    cpu->tlb->code_changed = true;
  /* The decode cache has looked first.  A page without code may be written freely again. */
  if (!unit_page_has_code (cpu->engine, page) && !(cpu->decode_cache && cpu->decode_cache->pages[page]))
    cpu->memory->page_flags[page] &= (uint8_t) ~PAGE_CODE;
}

static void
hook_map_changed (Cpu *cpu, uint32_t first, uint32_t n)
{
  Translator *self = cpu->engine;

  for (uint32_t i = 0; i < self->n_mappings; i++)
    if (self->mappings[i].backing != GUEST_PAGE_NONE && self->mappings[i].physical_page - first < n)
      space_unmap (self, &self->spaces[self->mappings[i].space], self->mappings[i].linear_page, 1);
  for (uint32_t v = 0; v < self->n_views; v++)
    while (self->views[v].n_installed)
      unit_forget_page (self, &self->views[v], self->views[v].installed[self->views[v].n_installed - 1]);
}

static void
hook_dirty_cleared (Cpu *cpu, uint32_t first, uint32_t n)
{
  Translator *self = cpu->engine;

  for (uint32_t page = first; page < first + n && page < cpu->memory->n_pages; page++)
    if (self->backing_mappings[page])
      space_protect_backing (self, page);
}

/* Async-signal-safe, from any thread. */
static void
hook_kick (Cpu *cpu)
{
  Translator *self = cpu->engine;

  if (!self->hot->inside && of_thread == self)
    return;                     /* in C: the request is looked at before translated code runs */
  if (self->thread)
    syscall (SYS_tgkill, getpid (), self->thread, kick_signal ());
}

static void
hook_page_protected (Cpu *cpu, uint32_t page)
{
  Translator *self = cpu->engine;

  if (self->backing_mappings[page])
    space_protect_backing (self, page);
}

/* ---- The loop ---- */

static void
adopt_thread (Translator *self)
{
  stack_t stack = { .ss_sp = signal_stack, .ss_size = SIGNAL_STACK_BYTES };
  struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = kick_signal () };
  static pid_t timer_thread;

  if (of_thread == self)
    return;
  of_thread = self;
  self->thread = (pid_t) syscall (SYS_gettid);
  sigaltstack (&stack, NULL);
  if (timer_thread == self->thread)
    return;
  if (timer_thread)
    timer_delete (retry_timer);
  timer_thread = self->thread;
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
  event.sigev_notify_thread_id = self->thread;
  has_retry_timer = timer_create (CLOCK_MONOTONIC, &event, &retry_timer) == 0;
}

/* Interprets n instructions. */
static ExitReason
interpret (Translator *self, unsigned n)
{
  Cpu *cpu = self->cpu;
  uint64_t before = cpu->instructions;
  ExitReason reason = EXIT_NONE;

  fpu_to_cpu (self);
  while (n-- > 0 && reason == EXIT_NONE && !cpu->exit_request && cpu->instructions < cpu->instruction_limit)
    reason = cpu_step (cpu);
  self->block_start = false;
  cpu->n_interpreted += cpu->instructions - before;
  flags_sync (cpu);
  return reason;
}

/* Interprets a basic block. */
static ExitReason
interpret_block (Translator *self)
{
  Cpu *cpu = self->cpu;
  uint64_t before = cpu->instructions;
  uint8_t cpl = cpu->cpl;
  ExitReason reason;

  fpu_to_cpu (self);
  reason = interpreter_run_block (cpu);
  /* IRET and SYSEXIT return to where something was interrupted. */
  self->block_start = cpu->cpl <= cpl;
  cpu->n_interpreted += cpu->instructions - before;
  flags_sync (cpu);
  return reason == EXIT_REQUEST ? EXIT_NONE : reason;
}

static bool
pair_expects (const Translator *self, uint64_t pair_stack, uint32_t eip)
{
  uint64_t address = *(const uint64_t *) pair_stack;
  const uint8_t *bytes;
  uint32_t value;

  if (address - self->code >= CODE_BYTES || address - self->code < self->glue_end)
    return false;
  bytes = self->code_rw + (address - self->code);
  if (bytes[0] == 0x41 && bytes[1] == 0x81)
    {
      memcpy (&value, bytes + 3, 4);
      return value == eip;
    }
  memcpy (&value, bytes + 6, 4);
  return bytes[0] == 0x44 && (uint32_t) -value == eip;
}

/* After a fault that only the interpreter can answer: remember the place; after a few times it is made soft. */
static void
note_fault (Translator *self)
{
  Cpu *cpu = self->cpu;
  View *view = self->space->view;
  uint32_t index = view->code_at[cpu->eip >> 12];
  SiteStat *stat;

  if (!index)
    return;
  stat = site_stat (self, cpu->eip, self->pages[index - 1].backing, true);
  if (self->fault_is_guests && !self->fault_in_guard)
    {
      /* A page touched for the first time: common, and mostly once.  Only who does nothing else is made soft, and never
       * an x87 or SSE instruction, which would cost a change of state each time. */
      stat->guest_faults++;
      if (!stat->faults)
        stat->faults = 1;
      if (stat->guest_faults < GUEST_FAULTS || self->fault_is_fpu)
        return;
      stat->faults = SOFT_FAULTS;
    }
  else if (stat->faults < UINT16_MAX)
    stat->faults++;
  if (self->fault_in_guard && !stat->exact)
    stat->exact = true;
  else if (stat->faults >= (self->space->user ? SOFT_FAULTS : SOFT_FAULTS_USER) && !stat->soft)
    stat->soft = true;
  else
    return;
  unit_invalidate_range (self, self->pages[index - 1].backing, cpu->eip & 4095, 1);
}

static inline uint64_t
host_cycles (void)
{
  return __builtin_ia32_rdtsc ();
}

/* What was charged but not run: nothing, or the rest of the block that the exit names. */
static void
settle_count (Translator *self, int leave)
{
  if (leave == LEAVE_LIMIT || leave == LEAVE_EVENT || leave == LEAVE_SIGNAL)
    sync_count (self, (int64_t) self->hot->exit_info);
  else
    sync_count (self, 0);
}

static ExitReason
run_translated (Translator *self, uint64_t entry)
{
  Cpu *cpu = self->cpu;
  Hot *hot = self->hot;
  uint64_t before, callouts, executed;
  int leave;

  set_segment_windows (self);
  if (pair_expects (self, hot->pair_stack, cpu->eip))
    hot->pair_stack += 8;
  if (self->counted)
    {
      uint64_t left = cpu->instruction_limit - cpu->instructions;

      self->base_instructions = cpu->instructions;
      self->entered_with = hot->remaining = left > 1 << 30 ? 1 << 30 : (int64_t) left;
    }
  self->callout_reason = EXIT_NONE;
  self->block_start = false;
  callouts = self->n_callouts;
  before = self->counted ? cpu->instructions : host_cycles ();
  leave = self->enter (entry);
  fpu_to_image (self);
  callouts = self->n_callouts - callouts;
  cpu->n_interpreted += callouts;
  self->n_leaves++;
  self->leaves[leave & 7]++;
  settle_count (self, leave);
  /* Free-running code is not counted: one instruction a cycle is taken for granted, and stats say "estimated". */
  executed = (self->counted ? cpu->instructions : host_cycles ()) - before;
  if (!self->counted)
    cpu->instructions += executed;
  if (executed > callouts)
    cpu->n_translated += executed - callouts;
  switch (leave)
    {
    case LEAVE_LOOKUP:
    case LEAVE_REFUSED:
      self->block_start = true;
      break;
    case LEAVE_LINK:
      self->block_start = true;
      self->pending_link = (uint32_t) hot->exit_info + 1;
      self->pending_eip = cpu->eip;
      break;
    case LEAVE_INSN:
      self->interpret_first = 1;
      break;
    case LEAVE_LIMIT:
      self->interpret_first = (uint32_t) hot->exit_info;
      break;
    case LEAVE_EVENT:
      if (self->callout_reason == EXIT_FAULT)
        return cpu_deliver_exception (cpu) == EXIT_SHUTDOWN ? EXIT_SHUTDOWN : EXIT_NONE;
      self->block_start = self->callout_reason == EXIT_BRANCH && !self->callout_returns;
      if (self->callout_reason != EXIT_BRANCH && self->callout_reason != EXIT_REQUEST)
        return self->callout_reason;
      break;
    case LEAVE_SIGNAL:
      if (self->signal_insn)
        {
          self->interpret_first = 1;
          if (self->signal_insn == 2)
            note_fault (self);
        }
      break;
    default:
      break;
    }
  return EXIT_NONE;
}

static ExitReason
run_until_something (Translator *self)
{
  Cpu *cpu = self->cpu;
  ExitReason reason;

  for (;;)
    {
      uint64_t entry;
      View *view;
      uint8_t mode;

      if (cpu->exit_request || cpu->instructions >= cpu->instruction_limit)
        return EXIT_REQUEST;
      mode = must_step (cpu) ? MODE_NONE : mode_of (cpu);
      if (mode == MODE_NONE || !space_select (self, mode))
        {
          if ((reason = interpret_block (self)) != EXIT_NONE)
            return reason;
          continue;
        }
      enter_space (self, space_select (self, mode));
      view = self->space->view;
      if (self->interpret_first)
        {
          unsigned n = self->interpret_first;
          uint32_t eip = cpu->eip, cpl = cpu->cpl;

          self->interpret_first = 0;
          if ((reason = interpret (self, n)) != EXIT_NONE)
            return reason;
          /* A fault of the guest's own: when it comes back here, the first touches are interpreted. */
          if (self->signal_insn == 2 && cpu->cpl < cpl)
            self->resume_eip = eip;
          self->signal_insn = 0;
          continue;
        }
      if (self->resume_eip && self->resume_eip == cpu->eip && cpu->cpl == 3)
        {
          self->resume_eip = 0;
          if ((reason = interpret (self, AFTER_FAULT)) != EXIT_NONE)
            return reason;
          continue;
        }
      entry = unit_entry (self, view, cpu->eip);
      if (!entry && unit_install_page (self, view, cpu->eip))
        entry = unit_entry (self, view, cpu->eip);
      if (!entry)
        {
          uint16_t *counter = &self->counters[(cpu->eip * 2654435761u) >> 18 & (N_COUNTERS - 1)];

          if (++*counter >= self->threshold)
            {
              *counter = 0;
              if (unit_translate (self, view, cpu->eip, !self->block_start))
                {
                  unit_install_page (self, view, cpu->eip);
                  entry = unit_entry (self, view, cpu->eip);
                }
              if (self->flush_wanted)
                {
                  self->pending_link = 0;
                  unit_flush_all (self);
                  continue;
                }
            }
        }
      if (!entry)
        {
          self->pending_link = 0;
          if ((reason = interpret_block (self)) != EXIT_NONE)
            return reason;
          continue;
        }
      if (self->pending_link)
        {
          if (self->pending_eip == cpu->eip && self->pending_link <= self->n_links)
            unit_link (self, self->pending_link - 1, entry);
          self->pending_link = 0;
        }
      if (self->reset_pairs)
        enter_space (self, self->space);
      if ((reason = run_translated (self, entry)) != EXIT_NONE)
        return reason;
    }
}

static ExitReason
run (Engine *engine)
{
  Translator *self = (Translator *) engine;
  Cpu *cpu = self->cpu;
  ExitReason reason;

  adopt_thread (self);
  active = self;
  cpu_changed (cpu);
  flags_sync (cpu);
  if (self->space)
    set_gs_base (self, self->hot->window);
  self->block_start = true;
  for (;;)
    {
      if (cpu->exit_request & CPU_REQUEST_EVENT || cpu->halted || cpu->shutdown)
        {
          bool requested = cpu->exit_request != 0;

          reason = cpu_take_events (cpu);
          if (reason != EXIT_NONE || requested)
            {
              if (reason == EXIT_NONE)
                reason = EXIT_REQUEST;
              break;
            }
        }
      reason = run_until_something (self);
      if (reason != EXIT_REQUEST || !(cpu->exit_request & CPU_REQUEST_EVENT) || cpu->exit_request & CPU_REQUEST_STOP)
        break;
    }
  fpu_to_cpu (self);
  flags_sync (cpu);
  return reason;
}

/* ---- Life ---- */

static void
free_translator (Engine *engine)
{
  Translator *self = (Translator *) engine;

  if (!self)
    return;
  if (active == self)
    active = NULL;
  if (of_thread == self)
    of_thread = NULL;
  if (self->cpu && self->cpu->engine == self)
    {
      memset (&self->cpu->hooks, 0, sizeof self->cpu->hooks);
      self->cpu->engine = NULL;
    }
  for (uint32_t i = 0; self->pages && i < self->n_pages; i++)
    free (self->pages[i].entries);
  space_teardown (self);
  if (self->region)
    munmap (self->region, HOT_BYTES + CODE_BYTES);
  if (self->code_rw)
    munmap (self->code_rw, CODE_BYTES);
  if (self->cpu)
    decode_cache_free (self->cpu);
  munmap (self->units, MAX_UNITS * sizeof *self->units);
  munmap (self->records, MAX_RECORDS * sizeof *self->records);
  munmap (self->sites, MAX_SITES * sizeof *self->sites);
  munmap (self->links, MAX_LINKS * sizeof *self->links);
  munmap (self->pages, MAX_CODE_PAGES * sizeof *self->pages);
  free (self->backing_code);
  munmap (self, sizeof *self);
}

/* Executable memory: one memory file mapped twice, below 2 GiB so that 32 bits hold an address. */
static bool
make_code_memory (Translator *self)
{
  int fd = memfd_create ("translated-code", MFD_CLOEXEC);
  bool made = false;

  if (fd < 0)
    return false;
  if (ftruncate (fd, CODE_BYTES) == 0)
    {
      for (uint64_t address = 0x08000000; address < 0x78000000 && !self->region; address += 0x01000000)
        {
          void *region = mmap ((void *) address, HOT_BYTES + CODE_BYTES, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

          if (region == (void *) address)
            self->region = region;
          else if (region != MAP_FAILED)
            munmap (region, HOT_BYTES + CODE_BYTES);
        }
      self->code_rw = mmap (NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (self->code_rw == MAP_FAILED)
        self->code_rw = NULL;
      made = self->region && self->code_rw
             && mmap (self->region + HOT_BYTES, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
    }
  close (fd);
  self->hot = (Hot *) self->region;
  self->code = (uint64_t) self->region + HOT_BYTES;
  return made;
}

static bool
install_handlers (void)
{
  static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
  struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

  action.sa_sigaction = on_fault;
  for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++)
    if (sigaction (faults[i], &action, NULL) < 0)
      return false;
  action.sa_sigaction = on_kick;
  action.sa_flags |= SA_RESTART;
  if (sigaction (SIGTRAP, &action, NULL) < 0)
    return false;
  action.sa_flags &= ~SA_NODEFER;
  return sigaction (kick_signal (), &action, NULL) == 0;
}

static void
adopt (Engine *engine)
{
  adopt_thread ((Translator *) engine);
}

static const EngineClass translator_class = { "translator", run, free_translator, adopt };

Engine *
engine_new_translator (Cpu *cpu, bool exact, const char **ret_error)
{
  const char *error = "no memory for the translator";
  Translator *self = translator_reserve (sizeof *self);

  if (!self)
    {
      *ret_error = error;
      return NULL;
    }
  if (!cpu->decode_cache && !decode_cache_new (cpu))
    {
      munmap (self, sizeof *self);
      *ret_error = error;
      return NULL;
    }
  lower_setup ();
  self->engine.klass = &translator_class;
  self->engine.cpu = self->cpu = cpu;
  self->engine.exact = self->counted = exact;
  self->threshold = HOT_THRESHOLD;
  self->code_limit = CODE_BYTES - (256 << 10);
  self->vma_budget = VMA_BUDGET;
  self->units = translator_reserve (MAX_UNITS * sizeof *self->units);
  self->records = translator_reserve (MAX_RECORDS * sizeof *self->records);
  self->sites = translator_reserve (MAX_SITES * sizeof *self->sites);
  self->links = translator_reserve (MAX_LINKS * sizeof *self->links);
  self->pages = translator_reserve (MAX_CODE_PAGES * sizeof *self->pages);
  self->backing_code = calloc (cpu->memory->n_pages, sizeof *self->backing_code);
  if (!self->units || !self->records || !self->sites || !self->links || !self->pages || !self->backing_code)
    goto failed;
  error = "no executable memory (memfd_create, MAP_SHARED and PROT_EXEC are needed)";
  if (!make_code_memory (self))
    goto failed;
  self->hot->cpu = cpu;
  self->hot->translator = self;
  self->hot->has_fsgsbase = getauxval (AT_HWCAP2) & HWCAP2_FSGSBASE ? 1 : 0;
  error = "the translator's glue does not fit";
  if (!glue_make (self))
    goto failed;
  if (!space_setup (self, &error))
    goto failed;
  error = "signal handlers cannot be installed";
  if (!install_handlers ())
    goto failed;
  cpu->engine = self;
  cpu->hooks = (CpuHooks) { hook_flush_all, hook_flush_linear, hook_cr3_written, hook_code_written, hook_map_changed,
                            hook_dirty_cleared, hook_kick, hook_page_protected };
  return &self->engine;

failed:
  free_translator (&self->engine);
  *ret_error = error;
  return NULL;
}

/* ---- For lockstep and tests ---- */

ExitReason
translator_run_chunk (Engine *engine)
{
  Translator *self = (Translator *) engine;
  ExitReason reason;

  adopt_thread (self);
  active = self;
  cpu_changed (self->cpu);
  flags_sync (self->cpu);
  if (self->space)
    set_gs_base (self, self->hot->window);
  reason = run_until_something (self);
  fpu_to_cpu (self);
  flags_sync (self->cpu);
  return reason;
}

void
translator_set_strict_flags (Engine *engine, bool strict)
{
  ((Translator *) engine)->strict_flags = strict;
}

void
translator_break_lowering (Engine *engine, TranslatorBreak which)
{
  Translator *self = (Translator *) engine;

  self->broken = which;
  unit_flush_all (self);
}

void
translator_set_threshold (Engine *engine, unsigned executions)
{
  ((Translator *) engine)->threshold = executions ? executions : 1;
}

void
translator_set_limits (Engine *engine, uint32_t code_bytes, uint32_t mappings)
{
  Translator *self = (Translator *) engine;

  self->code_limit = self->glue_end + code_bytes;
  self->vma_budget = mappings;
}

void
translator_get_statistics (const Engine *engine, TranslatorStatistics *ret)
{
  const Translator *self = (const Translator *) engine;

  *ret = (TranslatorStatistics) { self->n_translated_units, self->code_used, self->n_faults, self->n_maps, self->n_leaves,
                                  self->n_callouts, self->n_kicks, self->n_flushes, self->n_revalidations, self->n_vmas };
}

bool
translator_lowers_row (unsigned row)
{
  return lower_row_is_lowered (row);
}
