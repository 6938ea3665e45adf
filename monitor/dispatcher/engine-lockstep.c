/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Translator and interpreter side by side.
 *
 * The translator runs the real machine, in counted code, for a chunk of instructions.  Then the reference, an
 * interpreting processor with memory of its own, runs as many; what the devices answered the first is played back to
 * it: results of port and memory-mapped reads, writes that must be the same, bytes that devices wrote by DMA, and the
 * vectors of interrupts.  After each chunk all registers are compared, and now and then the memory.  The first
 * difference ends the run with both states and a disassembly.
 *
 * The clock must count instructions (CLOCK_INSTRUCTIONS), so that both see the same time. */
#include "engine-lockstep.h"

#include "decode-cache.h"
#include "decode.h"
#include "flags.h"
#include "interpreter.h"
#include "paging.h"
#include "physical-memory.h"
#include "tlb.h"
#include "translator-engine.h"
#include "virtual-clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
  DEFAULT_CHUNK     = 1000,
  MEMORY_INTERVAL   = 500000,   /* instructions between comparisons of the pages that the reference wrote */
  FULL_INTERVAL     = 200000000, /* and of all RAM */
  MAX_TRAIL         = 16,
  MAX_DEVICE_PAGES  = 8192,
  FPU_C1            = 1 << 9,
};

typedef enum { LOG_READ_PORT, LOG_WRITE_PORT, LOG_READ_MEMORY, LOG_WRITE_MEMORY, LOG_DMA, LOG_VECTOR } LogKind;

typedef struct
{
  uint8_t  kind;
  uint8_t  size;
  uint64_t address;             /* DMA: backing page << 12 | offset */
  uint64_t value;               /* DMA: where the bytes begin in log_bytes; VECTOR: the vector */
  uint32_t n_bytes;
} LogEntry;

typedef struct
{
  Engine       engine;
  Engine      *translator;
  Cpu         *cpu, *reference;
  GuestMemory *memory;          /* of the reference */
  Bus         *bus;
  Clock       *clock;
  bool         synchronised;
  uint32_t     chunk;

  LogEntry    *log;
  size_t       n_log, max_log, next_log;
  uint8_t     *log_bytes;
  size_t       n_log_bytes, max_log_bytes;
  bool         log_failed;
  bool         map_changed, video_written;

  int        (*acknowledge) (void *controller);
  void        *acknowledge_controller;

  uint32_t     device_pages[MAX_DEVICE_PAGES];  /* backing pages that are no RAM and may be written */
  uint32_t     n_device_pages;

  uint64_t     next_memory, next_full;
  uint32_t     trail[MAX_TRAIL];        /* EIPs at the beginning of the last chunks */
  unsigned     n_trail;
  char         replay_error[256];
} Lockstep;

/* ---- Recording ---- */

static LogEntry *
add_entry (Lockstep *self, LogKind kind)
{
  if (self->n_log == self->max_log)
    {
      size_t n = self->max_log ? 2 * self->max_log : 1024;
      LogEntry *log = realloc (self->log, n * sizeof *log);

      if (!log)
        {
          self->log_failed = true;
          return NULL;
        }
      self->log = log;
      self->max_log = n;
    }
  self->log[self->n_log] = (LogEntry) { .kind = (uint8_t) kind };
  return &self->log[self->n_log++];
}

static void
record_access (void *data, BusAccess access, uint64_t address, unsigned size, uint64_t value)
{
  Lockstep *self = data;
  LogEntry *entry = add_entry (self, (LogKind) access);

  if (!entry)
    return;
  entry->address = address;
  entry->size = (uint8_t) size;
  entry->value = value;
  if (access == BUS_WRITE_PORT || access == BUS_WRITE_MEMORY)
    {
      /* Devices may change memory of their own now: the chunk ends behind this instruction, and video memory is
       * copied before the reference goes on. */
      /* The VBE ports can clear the screen.  What the VGA's memory windows change is seen when they become plain memory
       * again, which changes the map. */
      if (access == BUS_WRITE_PORT && address >= 0x1ce && address <= 0x1d1)
        self->video_written = true;
      cpu_request_exit (self->cpu, CPU_REQUEST_EVENT);
    }
}

static void
record_dma (void *data, uint32_t page, uint32_t offset, uint32_t n_bytes)
{
  Lockstep *self = data;
  LogEntry *entry;

  if (self->n_log_bytes + n_bytes > self->max_log_bytes)
    {
      size_t n = 2 * (self->n_log_bytes + n_bytes);
      uint8_t *bytes = realloc (self->log_bytes, n);

      if (!bytes)
        {
          self->log_failed = true;
          return;
        }
      self->log_bytes = bytes;
      self->max_log_bytes = n;
    }
  if (!(entry = add_entry (self, LOG_DMA)))
    return;
  entry->address = (uint64_t) page << 12 | offset;
  entry->value = self->n_log_bytes;
  entry->n_bytes = n_bytes;
  memcpy (self->log_bytes + self->n_log_bytes, self->cpu->memory->host + entry->address, n_bytes);
  self->n_log_bytes += n_bytes;
}

static void
record_map (void *data, uint32_t first_guest_page, uint32_t n_pages)
{
  Lockstep *self = data;

  (void) first_guest_page, (void) n_pages;
  /* The reference sees the new map from the next chunk on, which begins behind this instruction. */
  self->map_changed = true;
  cpu_request_exit (self->cpu, CPU_REQUEST_EVENT);
}

static int
record_vector (void *data)
{
  Lockstep *self = data;
  int vector = self->acknowledge ? self->acknowledge (self->acknowledge_controller) : -1;
  LogEntry *entry = add_entry (self, LOG_VECTOR);

  if (entry)
    entry->value = (uint64_t) (int64_t) vector;
  return vector;
}

/* ---- Playing back ---- */

static void
play_dma (Lockstep *self)
{
  while (self->next_log < self->n_log && self->log[self->next_log].kind == LOG_DMA)
    {
      const LogEntry *entry = &self->log[self->next_log++];

      memcpy (self->memory->host + entry->address, self->log_bytes + entry->value, entry->n_bytes);
      guest_memory_mark_written (self->memory, (uint32_t) (entry->address >> 12), entry->address & 4095, entry->n_bytes);
    }
}

static bool
play_access (void *data, BusAccess access, uint64_t address, unsigned size, uint64_t *value)
{
  static const char *const names[] = { "read of port", "write to port", "read of memory", "write to memory" };
  Lockstep *self = data;
  bool write = access == BUS_WRITE_PORT || access == BUS_WRITE_MEMORY;
  const LogEntry *entry = self->next_log < self->n_log ? &self->log[self->next_log] : NULL;

  if (!entry || entry->kind != (uint8_t) access || entry->address != address || entry->size != size
      || (write && entry->value != *value))
    {
      if (!self->replay_error[0])
        snprintf (self->replay_error, sizeof self->replay_error, "the interpreter makes a %u-byte %s %#" PRIx64 " (value %#" PRIx64
                  ") where the translator made %s %#" PRIx64 " (value %#" PRIx64 ")", size, names[access], address,
                  write ? *value : 0, entry && entry->kind < 4 ? names[entry->kind] : "none",
                  entry ? entry->address : 0, entry ? entry->value : 0);
      if (!write)
        *value = UINT64_MAX;
      return true;
    }
  self->next_log++;
  if (!write)
    *value = entry->value;
  play_dma (self);
  return true;
}

static int
play_vector (void *data)
{
  Lockstep *self = data;

  if (self->next_log < self->n_log && self->log[self->next_log].kind == LOG_VECTOR)
    {
      int vector = (int) (int64_t) self->log[self->next_log++].value;

      play_dma (self);
      return vector;
    }
  if (!self->replay_error[0])
    snprintf (self->replay_error, sizeof self->replay_error, "the interpreter takes an interrupt that the translator did not take");
  return -1;
}

/* ---- Copying and comparing ---- */

static void
copy_map (Lockstep *self)
{
  memcpy (self->memory->map, self->cpu->memory->map, ((size_t) 1 << 20) * sizeof *self->memory->map);
  self->map_changed = false;
  self->n_device_pages = 0;
  for (uint32_t page = 0; page < 1u << 20; page++)
    {
      uint32_t backing = self->memory->map[page].read;

      if (backing != GUEST_PAGE_NONE && backing >= self->memory->n_ram_pages && self->memory->map[page].write == backing
          && self->n_device_pages < MAX_DEVICE_PAGES)
        self->device_pages[self->n_device_pages++] = backing;
    }
  self->video_written = true;
  tlb_flush (self->reference, true);
  if (self->reference->cache_hooks.map_changed)
    self->reference->cache_hooks.map_changed (self->reference, 0, 1u << 20);
}

/* Memory that devices own and may write behind the bus: whatever of it the processor can see and write. */
static void
copy_video (Lockstep *self)
{
  GuestMemory *from = self->cpu->memory, *to = self->memory;

  for (uint32_t i = 0; i < self->n_device_pages; i++)
    {
      size_t offset = (size_t) self->device_pages[i] << 12;

      if (memcmp (to->host + offset, from->host + offset, 4096))
        {
          memcpy (to->host + offset, from->host + offset, 4096);
          guest_memory_mark_written (to, self->device_pages[i], 0, 4096);
        }
    }
  self->video_written = false;
}

static void
copy_processor (Lockstep *self)
{
  Cpu *to = self->reference, kept = *to;

  *to = *self->cpu;
  to->tlb = kept.tlb;
  to->decode_cache = kept.decode_cache;
  to->memory = kept.memory;
  to->bus = kept.bus;
  to->clock = kept.clock;
  to->hooks = kept.hooks;
  to->cache_hooks = kept.cache_hooks;
  to->engine = kept.engine;
  to->lines = kept.lines;
  to->exit_request = 0;
  cpu_sync_flags (to);
  tlb_flush (to, true);
  if (to->cache_hooks.flush_all)
    to->cache_hooks.flush_all (to);
  cpu_changed (to);
}

static const char *
compare_segments (const Segment *a, const Segment *b, const char *name)
{
  return a->base != b->base || a->limit != b->limit || a->selector != b->selector || a->attributes != b->attributes ? name : NULL;
}

/* The name of the first difference, or NULL. */
static const char *
compare_processors (const Cpu *a, const Cpu *b)
{
  static const char *const registers[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" };
  static const char *const segments[] = { "es", "cs", "ss", "ds", "fs", "gs" };
  const char *name;

  if (a->eip != b->eip)
    return "eip";
  for (unsigned i = 0; i < 8; i++)
    if (a->regs[i] != b->regs[i])
      return registers[i];
  if (cpu_get_eflags (a) != cpu_get_eflags (b))
    return "eflags";
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    if ((name = compare_segments (&a->segments[i], &b->segments[i], segments[i])))
      return name;
  if ((name = compare_segments (&a->ldt, &b->ldt, "ldt")) || (name = compare_segments (&a->task, &b->task, "task")))
    return name;
#define SAME(field) if (memcmp (&a->field, &b->field, sizeof a->field)) return #field
  SAME (cpl);
  SAME (inhibit);
  SAME (halted);
  SAME (shutdown);
  SAME (cr0);
  SAME (cr2);
  SAME (cr3);
  SAME (cr4);
  SAME (dr);
  SAME (gdt_base);
  SAME (gdt_limit);
  SAME (idt_base);
  SAME (idt_limit);
  SAME (pdpte);
  SAME (tsc_offset);
  SAME (apic_base);
  SAME (efer);
  SAME (sysenter_cs);
  SAME (sysenter_esp);
  SAME (sysenter_eip);
  SAME (tf_pending);
  SAME (debug_hits);
  SAME (in_smm);
  SAME (smbase);
  SAME (fpu.r);
  SAME (fpu.xmm);
  SAME (fpu.control);
  SAME (fpu.status);
  SAME (fpu.valid);
  SAME (fpu.mxcsr);
#undef SAME
  return NULL;
}

static void __attribute__ ((format (printf, 2, 3)))
say (Lockstep *self, const char *format, ...)
{
  size_t n = strlen (self->engine.message);
  va_list arguments;

  va_start (arguments, format);
  vsnprintf (self->engine.message + n, sizeof self->engine.message - n, format, arguments);
  va_end (arguments);
}

static void
say_registers (Lockstep *self, const char *who, const Cpu *cpu)
{
  say (self, "%-11s eip %08x eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi %08x edi %08x\n"
       "            eflags %08x cs %04x ss %04x ds %04x es %04x fs %04x gs %04x cr0 %08x cr2 %08x cr3 %08x cr4 %08x\n"
       "            fpu control %04x status %04x valid %02x mxcsr %08x inhibit %u halted %u\n",
       who, cpu->eip, cpu->regs[0], cpu->regs[1], cpu->regs[2], cpu->regs[3], cpu->regs[4], cpu->regs[5], cpu->regs[6], cpu->regs[7],
       cpu_get_eflags (cpu), cpu->segments[SEG_CS].selector, cpu->segments[SEG_SS].selector, cpu->segments[SEG_DS].selector,
       cpu->segments[SEG_ES].selector, cpu->segments[SEG_FS].selector, cpu->segments[SEG_GS].selector, cpu->cr0, cpu->cr2, cpu->cr3,
       cpu->cr4, cpu->fpu.control, cpu->fpu.status, cpu->fpu.valid, cpu->fpu.mxcsr, cpu->inhibit, cpu->halted);
}

static void
say_code (Lockstep *self, const Cpu *cpu, uint32_t eip, unsigned n)
{
  while (n--)
    {
      uint32_t linear = cpu->segments[SEG_CS].base + eip;
      bool code32 = cpu->segments[SEG_CS].attributes & SEGMENT_DB;
      uint8_t bytes[16];
      unsigned n_bytes = 0;
      DecodedInsn insn;
      char text[80];

      for (; n_bytes < 15; n_bytes++)
        {
          PageTranslation translation;

          if (!paging_peek ((Cpu *) cpu, linear + n_bytes, &translation)
              || guest_memory_read (self->cpu->memory, translation.physical, &bytes[n_bytes], 1))
            break;
        }
      if (insn_decode (bytes, n_bytes, code32 ? DECODE_CODE32 : 0, cpu->features, &insn))
        {
          say (self, "    %08x  (bad)\n", eip);
          return;
        }
      insn_disassemble (&insn, eip, text, sizeof text);
      say (self, "    %08x  %s\n", eip, text);
      eip += insn.length;
    }
}

static ExitReason
report (Lockstep *self, const char *what, uint32_t start)
{
  self->engine.message[0] = 0;
  say (self, "lockstep: %s differs after %" PRIu64 " instructions (chunk of %" PRIu64 ")\n", what, self->cpu->instructions,
       (uint64_t) self->chunk);
  if (self->replay_error[0])
    say (self, "  %s\n", self->replay_error);
  say_registers (self, "translator", self->cpu);
  say_registers (self, "interpreter", self->reference);
  say (self, "chunk began at %08x:\n", start);
  say_code (self, self->cpu, start, 12);
  if (self->cpu->eip != start)
    {
      say (self, "translator is at:\n");
      say_code (self, self->cpu, self->cpu->eip, 3);
    }
  if (self->reference->eip != self->cpu->eip)
    {
      say (self, "interpreter is at:\n");
      say_code (self, self->reference, self->reference->eip, 3);
    }
  say (self, "earlier chunks began at:");
  for (unsigned i = 0; i < MAX_TRAIL && i < self->n_trail; i++)
    say (self, " %08x", self->trail[(self->n_trail - 1 - i) % MAX_TRAIL]);
  say (self, "\n");
  return EXIT_STOP;
}

static bool
compare_page (Lockstep *self, uint32_t page, uint32_t start)
{
  const uint8_t *a = self->cpu->memory->host + ((size_t) page << 12), *b = self->memory->host + ((size_t) page << 12);
  char what[160];
  unsigned i = 0;

  if (!memcmp (a, b, 4096))
    return true;
  while (a[i] == b[i])
    i++;
  snprintf (what, sizeof what, "memory at physical %08x (translator %02x %02x %02x %02x, interpreter %02x %02x %02x %02x)",
            (page << 12) + i, a[i], i < 4095 ? a[i + 1] : 0, i < 4094 ? a[i + 2] : 0, i < 4093 ? a[i + 3] : 0, b[i],
            i < 4095 ? b[i + 1] : 0, i < 4094 ? b[i + 2] : 0, i < 4093 ? b[i + 3] : 0);
  report (self, what, start);
  return false;
}

static bool
compare_memory (Lockstep *self, uint32_t start)
{
  bool full = self->cpu->instructions >= self->next_full;

  for (uint32_t page = 0; page < self->memory->n_ram_pages; page++)
    if ((full ? (self->cpu->memory->page_flags[page] | self->memory->page_flags[page]) : self->memory->page_flags[page]) & PAGE_DIRTY
        && !compare_page (self, page, start))
      return false;
  guest_memory_clear_dirty (self->memory, 0, self->memory->n_pages);
  self->next_memory = self->cpu->instructions + MEMORY_INTERVAL;
  if (full)
    self->next_full = self->cpu->instructions + FULL_INTERVAL;
  return true;
}

/* ---- Running ---- */

static void
synchronise (Lockstep *self)
{
  if (!self->synchronised)
    {
      for (uint32_t page = 0; page < self->memory->n_pages; page++)
        {
          const uint8_t *from = self->cpu->memory->host + ((size_t) page << 12);
          static const uint8_t zeroes[4096];

          if (memcmp (from, zeroes, 4096))
            memcpy (self->memory->host + ((size_t) page << 12), from, 4096);
        }
      copy_map (self);
      copy_processor (self);
      self->n_log = self->next_log = self->n_log_bytes = 0;
      self->synchronised = true;
    }
}

/* Both take what is pending between two instructions. */
static ExitReason
take_events (Lockstep *self)
{
  Cpu *cpu = self->cpu, *reference = self->reference;
  ExitReason reason;

  reference->interrupt_line = cpu->interrupt_line;
  reference->nmi_pending = cpu->nmi_pending;
  reference->smi_pending = cpu->smi_pending;
  reference->init_pending = cpu->init_pending;
  reference->ignne = cpu->ignne;
  reason = cpu_take_events (cpu);
  if (self->map_changed)
    copy_map (self);
  if (cpu_take_events (reference) != reason && !self->replay_error[0])
    snprintf (self->replay_error, sizeof self->replay_error, "pending events end differently");
  reference->interrupt_line = cpu->interrupt_line;
  reference->exit_request = 0;
  cpu_sync_flags (cpu);
  cpu_sync_flags (reference);
  return reason;
}

static ExitReason
run (Engine *engine)
{
  Lockstep *self = (Lockstep *) engine;
  Cpu *cpu = self->cpu, *reference = self->reference;
  uint64_t limit = cpu->instruction_limit;
  ExitReason reason = EXIT_REQUEST;
  const char *difference;

  if (cpu->lines.acknowledge != record_vector)
    {
      self->acknowledge = cpu->lines.acknowledge;
      self->acknowledge_controller = cpu->lines.controller;
      cpu->lines.acknowledge = record_vector;
      cpu->lines.controller = self;
    }
  cpu_sync_flags (cpu);
  synchronise (self);
  /* What the machine did between two runs (reset, restore, debugger) is the machine's business. */
  if (compare_processors (cpu, reference))
    copy_processor (self);
  for (;;)
    {
      uint32_t start = cpu->eip;
      uint64_t began = cpu->instructions;
      int64_t steps;

      if (self->map_changed)
        copy_map (self);
      play_dma (self);
      if (self->video_written)
        copy_video (self);
      if (reference->a20_masked != cpu->a20_masked)
        cpu_set_a20_line (reference, 0, !cpu->a20_masked);
      if (cpu->exit_request & CPU_REQUEST_EVENT || cpu->halted || cpu->shutdown)
        {
          bool requested = cpu->exit_request != 0;

          reason = take_events (self);
          if (self->replay_error[0] || (difference = compare_processors (cpu, reference)))
            return report (self, self->replay_error[0] ? "an event" : difference, start);
          if (reason != EXIT_NONE || requested)
            {
              if (reason == EXIT_NONE)
                reason = EXIT_REQUEST;
              break;
            }
        }
      if (cpu->instructions >= limit || cpu->exit_request)
        {
          reason = EXIT_REQUEST;
          break;
        }
      self->trail[self->n_trail++ % MAX_TRAIL] = start;
      cpu->instruction_limit = limit - cpu->instructions > self->chunk ? cpu->instructions + self->chunk : limit;
      clock_set_now (self->clock, clock_now_ns (cpu->clock));
      reason = translator_run_chunk (self->translator);
      cpu->instruction_limit = limit;

      steps = (int64_t) (cpu->instructions - began);
      reference->interrupt_line = cpu->interrupt_line && reference->interrupt_line;
      reference->instruction_limit = cpu->instructions;
      while (steps > 0 && !self->replay_error[0])
        {
          uint64_t before = reference->instructions;
          ExitReason step = interpreter_run_instructions (reference);

          reference->exit_request = 0;
          steps -= (int64_t) (reference->instructions - before);
          if (step == EXIT_HALT || step == EXIT_SHUTDOWN)
            break;
        }
      reference->instruction_limit = UINT64_MAX;
      /* An instruction that ended in an exception is not counted but has been delivered on one side. */
      if (steps == 0 && !self->replay_error[0] && compare_processors (cpu, reference))
        {
          uint64_t before = reference->instructions;

          /* An exception whose handler cannot be reached raises the next one: such a chain has no instructions either. */
          for (unsigned i = 0; i < 1000000 && reference->instructions == before
               && (cpu->eip != reference->eip || cpu->shutdown != reference->shutdown || cpu->cr2 != reference->cr2
                   || cpu->regs[REG_ESP] != reference->regs[REG_ESP]); i++)
            cpu_step (reference);
          steps -= (int64_t) (reference->instructions - before);
        }
      cpu_sync_flags (reference);
      reference->exit_request = 0;
      engine->n_compared += (uint64_t) (cpu->instructions - began);
      if (steps != 0 || self->replay_error[0])
        return report (self, self->replay_error[0] ? "an access to a device" : "the number of instructions", start);
      /* Whether comparisons clear C1 is the processor's choice (AMD's leave it): the host's counts. */
      if ((cpu->fpu.status ^ reference->fpu.status) == FPU_C1)
        reference->fpu.status = cpu->fpu.status;
      if ((difference = compare_processors (cpu, reference)))
        return report (self, difference, start);
      if (self->next_log < self->n_log && self->log[self->next_log].kind != LOG_DMA)
        {
          snprintf (self->replay_error, sizeof self->replay_error, "the translator accessed a device (%u: %#" PRIx64
                    ") and the interpreter did not", self->log[self->next_log].kind, self->log[self->next_log].address);
          return report (self, "an access to a device", start);
        }
      play_dma (self);
      self->n_log = self->next_log = self->n_log_bytes = 0;
      if (cpu->instructions >= self->next_memory && !compare_memory (self, start))
        return EXIT_STOP;
      if (self->log_failed)
        return report (self, "nothing, but memory for the record is short: no answer", start);
      if (reason != EXIT_REQUEST)
        break;
    }
  if (self->n_log > 0 && self->next_log == self->n_log)
    self->n_log = self->next_log = self->n_log_bytes = 0;
  return reason;
}

static void
free_lockstep (Engine *engine)
{
  Lockstep *self = (Lockstep *) engine;

  if (!self)
    return;
  if (self->cpu && self->cpu->lines.acknowledge == record_vector)
    {
      self->cpu->lines.acknowledge = self->acknowledge;
      self->cpu->lines.controller = self->acknowledge_controller;
    }
  if (self->cpu)
    bus_set_tap (self->cpu->bus, NULL);
  if (self->translator)
    self->translator->klass->free (self->translator);
  if (self->reference)
    decode_cache_free (self->reference);
  cpu_free (self->reference);
  clock_free (self->clock);
  guest_memory_free (self->memory);
  bus_free (self->bus);
  free (self->log);
  free (self->log_bytes);
  free (self);
}

static void
adopt_thread (Engine *engine)
{
  Engine *translator = ((Lockstep *) engine)->translator;

  translator->klass->adopt_thread (translator);
}

static const EngineClass lockstep_class = { "lockstep", run, free_lockstep, adopt_thread };

Engine *
engine_lockstep_translator (Engine *lockstep)
{
  return ((Lockstep *) lockstep)->translator;
}

void
engine_lockstep_set_chunk (Engine *lockstep, uint32_t instructions)
{
  ((Lockstep *) lockstep)->chunk = instructions ? instructions : 1;
}

Engine *
engine_new_lockstep (Cpu *cpu, const char **ret_error)
{
  Lockstep *self = calloc (1, sizeof *self);
  CpuConfig config = { cpu->model, cpu->undetectable };
  BusTap record = { NULL, record_access, self }, play = { play_access, NULL, self };
  GuestMemoryListener listener = { .map_changed = record_map, .device_wrote = record_dma, .listener = self };
  const char *error = "no memory for lockstep";

  if (!self)
    goto failed;
  self->engine.klass = &lockstep_class;
  self->engine.cpu = self->cpu = cpu;
  self->engine.exact = true;
  self->chunk = DEFAULT_CHUNK;
  self->translator = engine_new_translator (cpu, true, &error);
  if (!self->translator)
    goto failed;
  translator_set_strict_flags (self->translator, true);
  error = "no memory for lockstep";
  self->bus = bus_new ();
  self->memory = guest_memory_new (cpu->memory->ram_bytes, (uint64_t) (cpu->memory->n_pages - cpu->memory->n_ram_pages) << 12, -1,
                                   self->bus);
  self->clock = clock_new (CLOCK_INSTRUCTIONS, NULL);
  if (!self->bus || !self->memory || !self->clock)
    goto failed;
  self->reference = cpu_new (&config, self->memory, self->bus, self->clock);
  if (!self->reference || !decode_cache_new (self->reference))
    goto failed;
  clock_set_counter (self->clock, &self->reference->instructions);
  clock_start (self->clock);
  self->reference->lines.acknowledge = play_vector;
  self->reference->lines.controller = self;
  bus_set_tap (self->bus, &play);
  bus_set_tap (cpu->bus, &record);
  guest_memory_add_listener (cpu->memory, &listener);
  return &self->engine;

failed:
  free_lockstep (&self->engine);
  *ret_error = error;
  return NULL;
}
