/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The engine that interprets everything: the reference.
 *
 * It runs blocks of the decode cache.  Requests are looked at between blocks; what must be looked at between instructions
 * (single step, breakpoints, the instruction behind STI and MOV SS, the last ones before instruction_limit, code that lies
 * across pages or in memory-mapped registers) goes one instruction at a time through interpreter_step. */
#include "engine.h"

#include "decode-cache.h"
#include "exceptions.h"
#include "interpreter.h"
#include "memory.h"
#include "physical-memory.h"
#include "tlb.h"

#include <stdlib.h>

#define LIKELY(x)   __builtin_expect (!!(x), 1)
#define UNLIKELY(x) __builtin_expect (!!(x), 0)

static void
interpreter_free (Engine *self)
{
  decode_cache_free (self->cpu);
  free (self);
}

/* The block at CS:EIP; NULL: step instead.  *ret_reason EXIT_FAULT: the fetch faulted.  link: where the block before would
 * have its successor noted, or NULL. */
static inline Block *
find_block (Cpu *cpu, BlockLink *link, ExitReason *ret_reason)
{
  const Segment *cs = &cpu->segments[SEG_CS];
  uint32_t linear = cs->base + cpu->eip, page;
  unsigned mode = cs->attributes / SEGMENT_DB & DECODE_CODE32;
  uint64_t key = block_link_key (cpu, linear, mode, cpu->tlb->user, cpu->tlb->epoch);
  const TlbEntry *entry;
  Block *block;

  *ret_reason = EXIT_NONE;
  if (UNLIKELY (cpu->eip > cs->limit))
    return NULL;
  if (LIKELY (link && link->key == key))
    block = link->block;
  else
    {
      entry = tlb_entry (cpu->tlb->data, linear);
      if (LIKELY (entry->execute_tag == (linear & ~0xfffu)))
        page = entry->page;
      else if (memory_fetch (cpu, linear, &page))
        {
          *ret_reason = EXIT_FAULT;
          return NULL;
        }
      else if (page == GUEST_PAGE_NONE)
        return NULL;
      block = decode_cache_find (cpu->decode_cache, page, linear & 0xfff, mode);
      if (UNLIKELY (!block))
        {
          block = decode_cache_build (cpu, page, linear & 0xfff, mode);
          /* Building may have emptied the cache, and with it the block before. */
          link = NULL;
        }
      if (UNLIKELY (!block))
        return NULL;
      if (link)
        *link = (BlockLink) { key, block };
    }
  if (UNLIKELY (cs->limit - cpu->eip < block->n_bytes - 1u))
    return NULL;
  return block;
}

/* one_block: EXIT_NONE after each block, or step, instead of going on. */
static inline __attribute__ ((always_inline)) ExitReason
run_instructions (Cpu *cpu, bool one_block)
{
  DecodeCache *cache = cpu->decode_cache;
  BlockLink *link = NULL;
  ExitReason reason;

  for (;;)
    {
      const DecodedInsn *insn;
      Block *block;

      if (UNLIKELY (cpu->exit_request || cpu->instructions >= cpu->instruction_limit))
        return EXIT_REQUEST;
      if (UNLIKELY (cpu->inhibit || cpu->eflags & (EFLAGS_TF | EFLAGS_RF) || cpu->dr[7] & 0xff))
        {
          link = NULL;
          /* RF ends with the next instruction; without breakpoints nothing else comes of it. */
          if (!cpu->inhibit && !(cpu->eflags & EFLAGS_TF) && !(cpu->dr[7] & 0xff))
            {
              cpu->eflags &= ~(uint32_t) EFLAGS_RF;
              continue;
            }
          reason = interpreter_step (cpu, false);
          if (reason != EXIT_NONE || one_block)
            return reason;
          continue;
        }
      block = find_block (cpu, link, &reason);
      if (UNLIKELY (!block || cpu->instruction_limit - cpu->instructions < block->n_insns))
        {
          link = NULL;
          if (reason == EXIT_FAULT)
            reason = cpu_deliver_exception (cpu) == EXIT_SHUTDOWN ? EXIT_SHUTDOWN : EXIT_NONE;
          else
            reason = interpreter_step (cpu, false);
          if (reason != EXIT_NONE || one_block)
            return reason;
          continue;
        }
      cpu->tlb->code_changed = false;
      cache->current = block;
      insn = block->insns;
      while (LIKELY ((reason = insn->routine (cpu, insn)) == EXIT_NONE))
        {
          cpu->eip += insn->length;
          cpu->instructions++;
          insn++;
        }
      if (LIKELY (reason == EXIT_BRANCH))
        {
          cpu->instructions++;
          link = &block->links[1];
          if (one_block)
            return EXIT_NONE;
          continue;
        }
      link = NULL;
      switch (reason)
        {
        case EXIT_REQUEST:
          link = &block->links[0];
          break;
        case EXIT_FAULT:
          if (cpu_deliver_exception (cpu) == EXIT_SHUTDOWN)
            return EXIT_SHUTDOWN;
          break;
        case EXIT_HALT:
          cpu->instructions++;
          return reason;
        default:
          return reason;
        }
      if (one_block)
        return EXIT_NONE;
    }
}

ExitReason
interpreter_run_block (Cpu *cpu)
{
  return run_instructions (cpu, true);
}

ExitReason
interpreter_run_instructions (Cpu *cpu)
{
  return run_instructions (cpu, false);
}

static ExitReason
interpreter_run (Engine *self)
{
  Cpu *cpu = self->cpu;
  uint64_t before = cpu->instructions;
  ExitReason reason = EXIT_NONE;

  cpu_changed (cpu);
  if (cpu->halted || cpu->exit_request & CPU_REQUEST_EVENT)
    reason = cpu_take_events (cpu);
  if (reason == EXIT_NONE)
    reason = interpreter_run_instructions (cpu);
  cpu->n_interpreted += cpu->instructions - before;
  return reason;
}

static const EngineClass interpreter_class = { "interpreter", interpreter_run, interpreter_free, NULL };

Engine *
engine_new_interpreter (Cpu *cpu, bool exact, const char **ret_error)
{
  Engine *self = calloc (1, sizeof *self);

  if (!self || (!cpu->decode_cache && !decode_cache_new (cpu)))
    {
      free (self);
      if (ret_error)
        *ret_error = "not enough memory for the interpreter";
      return NULL;
    }
  self->klass = &interpreter_class;
  self->cpu = cpu;
  self->exact = exact;
  return self;
}
