/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random code on interpreter and translator, side by side.
 *
 * The input is a seed for registers and a stream of choices; each choice makes one instruction from a row of insns.def
 * with random operands, mostly ones that reach a small data area, now and then raw bytes.  The code runs in lockstep
 * in flat 32-bit mode, with or without paging; exceptions end in HLT. A difference aborts.
 *
 *   BULKHEAD_FUZZ_CASES=N fuzz-translator       prints the number of instructions compared at the end */
#include "engine-lockstep.h"
#include "engine.h"
#include "insn-table.h"
#include "physical-memory.h"
#include "translator-engine.h"
#include "virtual-clock.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

enum { RAM = 1 << 20, CODE = 0x10000, DATA = 0x40000, STACK = 0x80000, MOST = 3000, TABLES = 0xc0000 };

typedef struct
{
  const uint8_t *bytes;
  size_t         n, at;
  uint32_t       state;
} Stream;

static Bus         *bus;
static GuestMemory *memory;
static Clock       *guest_clock;
static Cpu         *cpu;
static Engine      *engine;
static uint64_t     n_compared;

static uint32_t
next (Stream *stream)
{
  uint32_t x = stream->state;

  if (stream->at < stream->n)
    x ^= (uint32_t) stream->bytes[stream->at++] * 0x01010193u;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return stream->state = x ? x : 0x9e3779b9;
}

static void
at_end (void)
{
  printf ("# %llu instructions compared\n", (unsigned long long) n_compared);
}

static void
make_machine (void)
{
  CpuConfig config = { CPU_MODEL_PENTIUM3, false };
  const char *error = "";

  bus = bus_new ();
  memory = guest_memory_new (RAM, 0, -1, bus);
  guest_clock = clock_new (CLOCK_INSTRUCTIONS, NULL);
  cpu = bus && memory && guest_clock ? cpu_new (&config, memory, bus, guest_clock) : NULL;
  if (!cpu)
    abort ();
  clock_set_counter (guest_clock, &cpu->instructions);
  clock_start (guest_clock);
  engine = engine_new_lockstep (cpu, &error);
  if (!engine)
    {
      fprintf (stderr, "%s\n", error);
      abort ();
    }
  translator_set_threshold (engine_lockstep_translator (engine), 1);
  atexit (at_end);
}

/* One instruction of a random row. */
static unsigned
put_instruction (Stream *stream, uint8_t *to)
{
  const InsnRow *row = &insn_rows[next (stream) % N_INSN_ROWS];
  uint32_t choice = next (stream);
  unsigned n = 0;

  if (choice % 64 == 0)
    {
      for (n = 0; n < 3; n++)
        to[n] = (uint8_t) next (stream);
      return n;
    }
  /* What changes the mode would soon end every program. */
  if (row->klass != INSN_INNOCUOUS && choice % 16 > 1)
    return 0;
  if (row->map == 0 && (row->opcode == 0xf4 || row->opcode == 0xc2 || row->opcode == 0xc3 || row->opcode == 0xe8 || row->opcode == 0xe9
                        || (row->opcode == 0xff && row->group >= 2 && row->group <= 5)) && choice % 8)
    return 0;
  if (row->map == 0 && (row->opcode == 0x9b || (row->opcode >= 0xd8 && row->opcode <= 0xdf)))
    return 0;                   /* x87 has its own tests: transcendentals and pointers differ by right */
  if (row->feature & (FEATURE_MMX | FEATURE_SSE | FEATURE_SSE2 | FEATURE_FXSR) && (row->opcode == 0x52 || row->opcode == 0x53))
    return 0;                   /* approximations are the host's */
  if (choice >> 8 & 1 && row->prefix == INSN_PREFIX_IS_ANY && (choice >> 9 & 3) == 0)
    to[n++] = 0x66;
  if ((choice >> 11 & 31) == 0)
    to[n++] = 0x67;
  if ((choice >> 16 & 15) == 0)
    to[n++] = (uint8_t[]) { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 }[(choice >> 20) % 6];
  if (row->attributes & INSN_ATTRIBUTES_REP && choice >> 23 & 1)
    to[n++] = choice >> 24 & 1 ? 0xf3 : 0xf2;
  if (row->attributes & INSN_ATTRIBUTES_LOCK && (choice >> 25 & 7) == 0)
    to[n++] = 0xf0;
  if (row->prefix == INSN_PREFIX_IS_66)
    to[n++] = 0x66;
  if (row->prefix == INSN_PREFIX_IS_F3)
    to[n++] = 0xf3;
  if (row->prefix == INSN_PREFIX_IS_F2)
    to[n++] = 0xf2;
  if (row->map)
    to[n++] = 0x0f;
  to[n] = row->opcode;
  if (strstr (row->form, "Z"))
    to[n] |= next (stream) & 7;
  n++;
  /* ModRM and the rest whether the form has them or not: surplus bytes are the next instruction. */
  {
    uint32_t m = next (stream);
    unsigned reg = row->group >= 0 && row->group < 8 ? (unsigned) row->group : m >> 3 & 7;

    if (row->group >= 0xc0)
      to[n++] = (uint8_t) row->group;
    else if (strpbrk (row->form, "EGMPQVWNUR") && strcmp (row->form, "eAX_Iz"))
      switch (m >> 8 & 7)
        {
        case 0: case 1: case 2:
          to[n++] = (uint8_t) (0xc0 | reg << 3 | (m & 7));
          break;
        case 3:                 /* [disp32] */
          to[n++] = (uint8_t) (reg << 3 | 5);
          memcpy (to + n, (uint32_t[]) { DATA + (m >> 16 & 0xff0) }, 4);
          n += 4;
          break;
        case 4:                 /* [reg + disp8], the register often holds an address */
          to[n++] = (uint8_t) (0x40 | reg << 3 | (uint8_t[]) { 3, 5, 6, 7 }[m & 3]);
          to[n++] = (uint8_t) (m >> 16);
          break;
        case 5:                 /* SIB */
          to[n++] = (uint8_t) (0x80 | reg << 3 | 4);
          to[n++] = (uint8_t) (m >> 11);
          memcpy (to + n, (uint32_t[]) { DATA + (m >> 20) }, 4);
          n += 4;
          break;
        case 6:                 /* [esp + disp8] */
          to[n++] = (uint8_t) (0x40 | reg << 3 | 4);
          to[n++] = 0x24;
          to[n++] = (uint8_t) (m >> 16);
          break;
        default:
          to[n++] = (uint8_t) (0x80 | reg << 3 | (m & 3));
          memcpy (to + n, (uint32_t[]) { DATA + (m >> 20) }, 4);
          n += 4;
        }
  }
  if (strstr (row->form, "Ib") || strstr (row->form, "Jb"))
    to[n++] = strstr (row->form, "Jb") ? (uint8_t) (next (stream) % 24) : (uint8_t) next (stream);
  else if (strstr (row->form, "Iz") || strstr (row->form, "Iv"))
    {
      memcpy (to + n, (uint32_t[]) { next (stream) }, 4);
      n += 4;
    }
  else if (strstr (row->form, "Jz"))
    {
      memcpy (to + n, (uint32_t[]) { next (stream) % 64 }, 4);
      n += 4;
    }
  else if (strstr (row->form, "Ob") || strstr (row->form, "Ov"))
    {
      memcpy (to + n, (uint32_t[]) { DATA + next (stream) % 4000 }, 4);
      n += 4;
    }
  return n;
}

/* mov esp, STACK - 64; mov ebx, DATA + 100h; mov esi, DATA + 800h; add dword [DATA - 8], 7; and dword [DATA - 8], 0ffh;
 * mov eax, [DATA - 8]; add eax, [DATA - 12]; dec dword [DATA - 16]; js hlt; jmp eax; hlt */
static const uint8_t handler[] = {
  0xbc, 0xc0, 0xff, 0x07, 0x00, 0xbb, 0x00, 0x01, 0x04, 0x00, 0xbe, 0x00, 0x08, 0x04, 0x00,
  0x83, 0x05, 0xf8, 0xff, 0x03, 0x00, 0x07, 0x81, 0x25, 0xf8, 0xff, 0x03, 0x00, 0xff, 0x00, 0x00, 0x00,
  0xa1, 0xf8, 0xff, 0x03, 0x00, 0x03, 0x05, 0xf4, 0xff, 0x03, 0x00, 0xff, 0x0d, 0xf0, 0xff, 0x03, 0x00,
  0x78, 0x02, 0xff, 0xe0, 0xf4,
};

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  Stream stream = { bytes, n_bytes, 0, 0x12345678u + (uint32_t) n_bytes };
  uint32_t at = CODE, body, paging, rounds;
  uint64_t limit;
  ExitReason reason = EXIT_REQUEST;

  if (!engine)
    make_machine ();
  for (size_t i = 0; i < n_bytes; i++)
    stream.state = stream.state * 31 + bytes[i];
  paging = next (&stream) & 1;
  rounds = 1 + next (&stream) % 150;

  /* The machine as after a reset, with this program.  Writes go the way of a device's, so that old translations die. */
  cpu_reset (cpu);
  {
    static uint8_t image[0x20000];
    uint32_t n_instructions = 8 + next (&stream) % 48;

    memset (image, 0xf4, sizeof image);
    /* mov ecx, rounds kept in memory; the loop: dec dword [counter]; js out; body; jmp loop */
    image[0] = 0xff;
    image[1] = 0x0d;
    memcpy (image + 2, (uint32_t[]) { DATA - 16 }, 4);
    image[6] = 0x0f;
    image[7] = 0x88;
    memcpy (image + 8, (uint32_t[]) { 0xff0 }, 4);
    at = 12;
    if (next (&stream) % 4 == 0)
      {
        /* across the page border */
        image[at] = 0xe9;
        memcpy (image + at + 1, (uint32_t[]) { 4096 - 40 - (at + 5) }, 4);
        at = 4096 - 40;
        memcpy (image + 8, (uint32_t[]) { 0x1ff0 }, 4);
      }
    body = at;
    for (uint32_t i = 0; i < n_instructions && at < 4096 + 2000; i++)
      at += put_instruction (&stream, image + at);
    image[at] = 0xe9;
    memcpy (image + at + 1, (uint32_t[]) { 0 - (at + 5) }, 4);
    guest_memory_write (memory, CODE, image, 0x3000);
    for (uint32_t i = 0; i < 0x2000; i += 4)
      memcpy (image + i, (uint32_t[]) { next (&stream) }, 4);
    guest_memory_write (memory, DATA, image, 0x2000);
    memset (image, 0, 0x2000);
    guest_memory_write (memory, STACK - 0x1000, image, 0x2000);
    guest_memory_write (memory, DATA - 16, &rounds, 4);
    /* IDT: every gate leads to a handler that goes on a little further in the code, perhaps inside an instruction,
     * until the rounds are over.  GDT with flat segments. */
    memset (image, 0xf4, sizeof image);
    memcpy (image, handler, sizeof handler);
    guest_memory_write (memory, 0x3000, image, 0x100);
    memcpy (image, (uint32_t[]) { CODE + body, 0 }, 8);
    guest_memory_write (memory, DATA - 12, image, 8);
    for (unsigned i = 0; i < 64; i++)
      memcpy (image + i * 8, (uint32_t[]) { 0x00080000 | 0x3000, 0x00008e00 }, 8);
    guest_memory_write (memory, 0x1000, image, 512);
    memcpy (image, (uint32_t[]) { 0, 0, 0xffff, 0x00cf9b00, 0xffff, 0x00cf9300, 0xffff, 0x04cf9300 }, 32);
    guest_memory_write (memory, 0x800, image, 32);
    if (paging)
      {
        memset (image, 0, 0x2000);
        memcpy (image, (uint32_t[]) { TABLES + 0x1000 + 7 }, 4);
        for (uint32_t page = 0; page < 256; page++)
          memcpy (image + 0x1000 + page * 4, (uint32_t[]) { page << 12 | 7 }, 4);
        if (next (&stream) & 1)
          image[0x1000 + 4 * ((DATA >> 12) + 1)] &= ~2;
        guest_memory_write (memory, TABLES, image, 0x2000);
      }
  }
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    cpu->segments[i] = (Segment) { 0, UINT32_MAX, i == SEG_CS ? 8 : 0x10, i == SEG_CS ? 0xc09b : 0xc093 };
  cpu->segments[SEG_FS] = (Segment) { DATA, UINT32_MAX, 0x18, 0xc093 };
  cpu->gdt_base = 0x800;
  cpu->gdt_limit = 31;
  cpu->idt_base = 0x1000;
  cpu->idt_limit = 511;
  cpu->cr3 = TABLES;
  cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
  cpu->fpu.control = 0x37f;
  cpu->cr0 = CR0_PE | CR0_ET | CR0_NE | (paging ? CR0_PG | CR0_WP : 0);
  for (unsigned i = 0; i < 8; i++)
    cpu->regs[i] = next (&stream) % 3 ? DATA + next (&stream) % 0x1f00 : next (&stream);
  cpu->regs[REG_ESP] = STACK - 64;
  cpu->eip = CODE;
  cpu->eflags = EFLAGS_1 | (next (&stream) & EFLAGS_ARITHMETIC);
  if (cpu->hooks.flush_all)
    cpu->hooks.flush_all (cpu);
  /* BULKHEAD_FUZZ_CHUNK=1 finds the very instruction. */
  engine_lockstep_set_chunk (engine, getenv ("BULKHEAD_FUZZ_CHUNK") ? (uint32_t) atoi (getenv ("BULKHEAD_FUZZ_CHUNK"))
                                                                   : 1 + next (&stream) % 300);
  limit = cpu->instructions + MOST;
  cpu->instruction_limit = limit;
  n_compared -= engine->n_compared;
  while (reason == EXIT_REQUEST && cpu->instructions < limit)
    reason = engine->klass->run (engine);
  n_compared += engine->n_compared;
  if (reason == EXIT_STOP)
    {
      fprintf (stderr, "%s\n", engine->message);
      abort ();
    }
  return 0;
}
