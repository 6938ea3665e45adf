/* SPDX-License-Identifier: GPL-3.0-or-later */
/* x87, MMX and SSE where a comparison with the host cannot look: device-not-available, when a pending exception is
 * reported and how, FERR# and IGNNE#, the layouts of the environment in every mode, CR4's bits. */
#include "flags.h"
#include "interpreter.h"
#include "physical-memory.h"
#include "tlb.h"
#include "virtual-clock.h"

#include <glib.h>
#include <string.h>

typedef struct
{
  Bus         *bus;
  GuestMemory *memory;
  Clock       *clock;
  Cpu         *cpu;
  bool         code32;
  bool         ferr;
  unsigned     ferr_changes;
} Box;

enum { CODE = 0x1000, DATA = 0x8000 };

static void
on_ferr (void *controller, unsigned input, bool level)
{
  Box *box = controller;

  box->ferr = level;
  box->ferr_changes++;
}

static void
box_open (Box *box, CpuModel model)
{
  const CpuConfig config = { .model = model };

  memset (box, 0, sizeof *box);
  box->bus = bus_new ();
  box->memory = guest_memory_new (1 << 20, 0, -1, box->bus);
  box->clock = clock_new (CLOCK_MANUAL, NULL);
  box->cpu = cpu_new (&config, box->memory, box->bus, box->clock);
  box->cpu->lines.ferr = (IrqLine) { on_ferr, box, 0 };
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    box->cpu->segments[i] = (Segment) { .base = 0, .limit = 0xffff, .selector = 0, .attributes = 0x93 };
  box->cpu->cr0 = CR0_ET | CR0_NE;
  box->cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
  box->cpu->eip = CODE;
  box->cpu->fpu.control = 0x37f;
  box->cpu->fpu.status = 0;
  box->cpu->fpu.valid = 0;
  box->cpu->fpu.mxcsr = 0x1f80;
  cpu_changed (box->cpu);
}

/* Flat 32-bit protected mode, ring 0. */
static void
box_protect (Box *box)
{
  Cpu *cpu = box->cpu;

  box->code32 = true;
  cpu->cr0 |= CR0_PE;
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    cpu->segments[i] = (Segment) { .base = 0, .limit = 0xffffffff, .selector = i == SEG_CS ? 0x08 : 0x10,
                                   .attributes = i == SEG_CS ? 0xc09b : 0xc093 };
  cpu_changed (cpu);
}

static void
box_close (Box *box)
{
  cpu_free (box->cpu);
  clock_free (box->clock);
  guest_memory_free (box->memory);
  bus_free (box->bus);
}

static ExitReason
run (Box *box, const uint8_t *bytes, size_t n_bytes)
{
  DecodedInsn insn;
  ExitReason reason;

  g_assert_cmpint (insn_decode (bytes, n_bytes, box->code32 ? DECODE_CODE32 | DECODE_STACK32 : 0, box->cpu->features, &insn), ==, 0);
  g_assert_cmpuint (insn.length, ==, n_bytes);
  reason = interpreter_routine (&insn) (box->cpu, &insn);
  if (reason == EXIT_NONE)
    box->cpu->eip += insn.length;
  return reason;
}

#define RUN(box, ...) run ((box), (const uint8_t[]) { __VA_ARGS__ }, sizeof ((const uint8_t[]) { __VA_ARGS__ }))
#define assert_runs(box, ...) g_assert_cmpint (RUN (box, __VA_ARGS__), ==, EXIT_NONE)
#define assert_raises(box, vector, ...) \
  do \
    { \
      g_assert_cmpint (RUN (box, __VA_ARGS__), ==, EXIT_FAULT); \
      g_assert_cmpuint ((box)->cpu->exception_vector, ==, vector); \
    } \
  while (0)

static uint8_t *
memory_at (Box *box, uint32_t address)
{
  return box->memory->host + address;
}

static uint32_t
get (Box *box, uint32_t address, unsigned n_bytes)
{
  uint32_t value = 0;

  memcpy (&value, memory_at (box, address), n_bytes);
  return value;
}

static void
put (Box *box, uint32_t address, uint32_t value, unsigned n_bytes)
{
  memcpy (memory_at (box, address), &value, n_bytes);
}

#define FLD1            0xd9, 0xe8
#define FLDZ            0xd9, 0xee
#define FADD            0xd8, 0xc1
#define FDIVP           0xde, 0xf9
#define FNINIT          0xdb, 0xe3
#define FNCLEX          0xdb, 0xe2
#define FNSTSW_AX       0xdf, 0xe0
#define FWAIT           0x9b
#define MEMORY_16(op, reg)   op, (reg) << 3 | 6, DATA & 0xff, DATA >> 8
#define MEMORY_32(op, reg)   op, (reg) << 3 | 5, DATA & 0xff, DATA >> 8, 0, 0

/* A division of 1 by 0 with zero-divide unmasked: an exception is pending. */
static void
make_pending (Box *box)
{
  put (box, DATA, 0x37b, 2);
  if (box->code32)
    assert_runs (box, MEMORY_32 (0xd9, 5));
  else
    assert_runs (box, MEMORY_16 (0xd9, 5));
  assert_runs (box, FLD1);
  assert_runs (box, FLDZ);
  assert_runs (box, FDIVP);
  g_assert_cmphex (box->cpu->fpu.status & 0x80ff, ==, 0x8084);
}

static void
test_not_available (void)
{
  Box box;
  Cpu *cpu;

  box_open (&box, CPU_MODEL_PENTIUM3);
  cpu = box.cpu;
  cpu->cr0 |= CR0_TS;
  assert_raises (&box, VECTOR_NM, FLD1);
  assert_raises (&box, VECTOR_NM, FNINIT);
  assert_raises (&box, VECTOR_NM, FNSTSW_AX);
  assert_raises (&box, VECTOR_NM, 0x0f, 0x77);          /* EMMS */
  assert_raises (&box, VECTOR_NM, 0x0f, 0x58, 0xc1);    /* ADDPS */
  assert_raises (&box, VECTOR_NM, 0x0f, 0xae, 0x06, 0x00, 0x80);        /* FXSAVE */
  assert_runs (&box, FWAIT);
  cpu->cr0 |= CR0_MP;
  assert_raises (&box, VECTOR_NM, FWAIT);
  cpu->cr0 = (cpu->cr0 & ~CR0_TS) | CR0_EM;
  assert_raises (&box, VECTOR_NM, FLD1);
  assert_raises (&box, VECTOR_UD, 0x0f, 0x77);
  assert_raises (&box, VECTOR_UD, 0x0f, 0x58, 0xc1);
  assert_runs (&box, FWAIT);
  cpu->cr0 |= CR0_TS;
  assert_raises (&box, VECTOR_UD, 0x0f, 0x77);          /* #UD before #NM */
  cpu->cr0 &= ~(CR0_EM | CR0_TS);
  cpu->cr4 &= ~(uint32_t) CR4_OSFXSR;
  assert_raises (&box, VECTOR_UD, 0x0f, 0x58, 0xc1);
  assert_runs (&box, 0x0f, 0x77);
  assert_runs (&box, 0x0f, 0xae, 0x06, 0x00, 0x80);
  assert_runs (&box, 0x0f, 0xae, 0xf8);                 /* SFENCE */
  g_assert_cmphex (cpu->fpu.status, ==, 0);
  box_close (&box);
}

static void
test_pending_is_reported_by_the_next (void)
{
  Box box;
  Cpu *cpu;

  box_open (&box, CPU_MODEL_PENTIUM3);
  cpu = box.cpu;
  make_pending (&box);
  g_assert_cmphex (cpu->fpu.valid, ==, 0xc0);           /* neither stored nor popped */
  assert_runs (&box, FNSTSW_AX);
  g_assert_cmphex (cpu->regs[REG_EAX] & 0xffff, ==, cpu->fpu.status);
  assert_runs (&box, MEMORY_16 (0xd9, 7));              /* FNSTCW */
  assert_runs (&box, 0x0f, 0x58, 0xc1);                 /* SSE does not wait */
  assert_raises (&box, VECTOR_MF, FADD);
  assert_raises (&box, VECTOR_MF, FWAIT);
  assert_raises (&box, VECTOR_MF, MEMORY_16 (0xd9, 5)); /* FLDCW */
  assert_raises (&box, VECTOR_MF, 0x0f, 0x77);
  assert_raises (&box, VECTOR_MF, 0x0f, 0x2a, 0xc1);    /* CVTPI2PS with a register */
  g_assert_cmphex (cpu->fpu.valid, ==, 0xc0);
  assert_runs (&box, FNCLEX);
  g_assert_cmphex (cpu->fpu.status & 0x80ff, ==, 0);
  assert_runs (&box, FADD);
  g_assert_false (box.ferr);
  box_close (&box);
}

static void
test_unmasking_a_sticky_flag (void)
{
  Box box;

  box_open (&box, CPU_MODEL_PENTIUM3);
  assert_runs (&box, FLD1);
  assert_runs (&box, FLDZ);
  assert_runs (&box, FDIVP);
  g_assert_cmphex (box.cpu->fpu.status & 0x80ff, ==, 4);
  put (&box, DATA, 0x37b, 2);
  assert_runs (&box, MEMORY_16 (0xd9, 5));
  g_assert_cmphex (box.cpu->fpu.status & 0x80ff, ==, 0x8084);
  assert_raises (&box, VECTOR_MF, FWAIT);
  /* FNSTENV masks everything after it has stored the state. */
  assert_runs (&box, MEMORY_16 (0xd9, 6));
  g_assert_cmphex (get (&box, DATA, 2), ==, 0x37b);
  g_assert_cmphex (get (&box, DATA + 2, 2) & 0x80ff, ==, 0x8084);
  g_assert_cmphex (box.cpu->fpu.control, ==, 0x37f);
  assert_runs (&box, FWAIT);
  box_close (&box);
}

static void
test_ferr (void)
{
  Box box;
  Cpu *cpu;
  uint32_t eip;

  box_open (&box, CPU_MODEL_PENTIUM3);
  cpu = box.cpu;
  cpu->cr0 &= ~(uint32_t) CR0_NE;
  make_pending (&box);
  g_assert_false (box.ferr);
  eip = cpu->eip;
  g_assert_cmpint (RUN (&box, FADD), ==, EXIT_BRANCH);  /* waits where it is */
  g_assert_true (box.ferr);
  g_assert_cmphex (cpu->eip, ==, eip);
  g_assert_cmpint (RUN (&box, 0x0f, 0x77), ==, EXIT_BRANCH);
  g_assert_cmpuint (box.ferr_changes, ==, 1);
  g_assert_cmpint (RUN (&box, 0x0f, 0x2a, 0xc1), ==, EXIT_BRANCH);
  g_assert_cmphex (cpu->eip, ==, eip);
  /* The handler writes port F0h: with IGNNE# the instruction goes on in spite of the error. */
  cpu_set_ignne_line (cpu, 0, true);
  assert_runs (&box, FADD);
  g_assert_true (box.ferr);
  cpu_set_ignne_line (cpu, 0, false);
  assert_runs (&box, FNCLEX);
  g_assert_false (box.ferr);
  assert_runs (&box, FADD);
  box_close (&box);
}

static void
test_pointers (void)
{
  Box box;
  Cpu *cpu;

  box_open (&box, CPU_MODEL_PENTIUM3);
  box_protect (&box);
  cpu = box.cpu;
  put (&box, DATA, 0x3f800000, 4);
  assert_runs (&box, 0x26, MEMORY_32 (0xd9, 0));        /* FLD dword [es:DATA] */
  g_assert_cmphex (cpu->fpu.ip, ==, CODE);              /* prefixes count */
  g_assert_cmphex (cpu->fpu.cs, ==, 0x08);
  g_assert_cmphex (cpu->fpu.dp, ==, DATA);
  g_assert_cmphex (cpu->fpu.ds, ==, 0x10);
  g_assert_cmphex (cpu->fpu.opcode, ==, 0x105);
  assert_runs (&box, FADD);
  g_assert_cmphex (cpu->fpu.ip, ==, CODE + 7);
  g_assert_cmphex (cpu->fpu.opcode, ==, 0x0c1);
  g_assert_cmphex (cpu->fpu.dp, ==, DATA);
  /* Control instructions leave them. */
  assert_runs (&box, MEMORY_32 (0xd9, 7));
  assert_runs (&box, FNSTSW_AX);
  assert_runs (&box, FNCLEX);
  assert_runs (&box, FWAIT);
  g_assert_cmphex (cpu->fpu.ip, ==, CODE + 7);
  box_close (&box);
}

static void
set_pointers (Cpu *cpu)
{
  cpu->fpu.ip = 0x12345;
  cpu->fpu.cs = 0x1000;
  cpu->fpu.dp = 0x6789;
  cpu->fpu.ds = 0x2000;
  cpu->fpu.opcode = 0x5ab;
  cpu->fpu.valid = 0x81;
  memset (cpu->fpu.r[0], 0, 16);
  memcpy (cpu->fpu.r[7], "\0\0\0\0\0\0\0\x80\xff\x3f", 10);
}

static void
test_environment_layouts (void)
{
  Box box;
  Cpu *cpu;

  box_open (&box, CPU_MODEL_PENTIUM3);
  cpu = box.cpu;
  /* Real mode, 16 bits */
  set_pointers (cpu);
  assert_runs (&box, MEMORY_16 (0xd9, 6));
  g_assert_cmphex (get (&box, DATA, 2), ==, 0x37f);
  g_assert_cmphex (get (&box, DATA + 4, 2), ==, 0x3ffd);        /* R0 zero, R7 valid, the others empty */
  g_assert_cmphex (get (&box, DATA + 6, 2), ==, 0x2345);
  g_assert_cmphex (get (&box, DATA + 8, 2), ==, 0x25ab);
  g_assert_cmphex (get (&box, DATA + 10, 2), ==, 0x6789);
  g_assert_cmphex (get (&box, DATA + 12, 2), ==, 0x2000);
  cpu->fpu.opcode = cpu->fpu.valid = 0;
  assert_runs (&box, MEMORY_16 (0xd9, 4));                      /* FLDENV */
  g_assert_cmphex (cpu->fpu.valid, ==, 0x81);
  g_assert_cmphex (cpu->fpu.opcode, ==, 0x5ab);
  g_assert_cmphex (cpu->fpu.ip + (cpu->fpu.cs << 4), ==, 0x22345);
  g_assert_cmphex (cpu->fpu.dp + (cpu->fpu.ds << 4), ==, 0x26789);
  /* Real mode, 32 bits */
  set_pointers (cpu);
  assert_runs (&box, 0x66, MEMORY_16 (0xd9, 6));
  g_assert_cmphex (get (&box, DATA, 4), ==, 0xffff037f);
  g_assert_cmphex (get (&box, DATA + 8, 4), ==, 0xffff3ffd);
  g_assert_cmphex (get (&box, DATA + 12, 2), ==, 0x2345);
  g_assert_cmphex (get (&box, DATA + 16, 4), ==, 0x000025ab);
  g_assert_cmphex (get (&box, DATA + 20, 2), ==, 0x6789);
  g_assert_cmphex (get (&box, DATA + 24, 4), ==, 0x00002000);
  /* Protected mode, 32 bits */
  box_protect (&box);
  set_pointers (cpu);
  assert_runs (&box, MEMORY_32 (0xd9, 6));
  g_assert_cmphex (get (&box, DATA + 12, 4), ==, 0x12345);
  g_assert_cmphex (get (&box, DATA + 16, 4), ==, 0x05ab1000);
  g_assert_cmphex (get (&box, DATA + 20, 4), ==, 0x6789);
  g_assert_cmphex (get (&box, DATA + 24, 4), ==, 0xffff2000);
  cpu->fpu.ip = cpu->fpu.cs = cpu->fpu.opcode = 0;
  assert_runs (&box, MEMORY_32 (0xd9, 4));
  g_assert_cmphex (cpu->fpu.ip, ==, 0x12345);
  g_assert_cmphex (cpu->fpu.cs, ==, 0x1000);
  g_assert_cmphex (cpu->fpu.ds, ==, 0x2000);
  g_assert_cmphex (cpu->fpu.opcode, ==, 0x5ab);
  /* Protected mode, 16 bits: no opcode */
  set_pointers (cpu);
  assert_runs (&box, 0x66, MEMORY_32 (0xd9, 6));
  g_assert_cmphex (get (&box, DATA + 6, 2), ==, 0x2345);
  g_assert_cmphex (get (&box, DATA + 8, 2), ==, 0x1000);
  g_assert_cmphex (get (&box, DATA + 12, 2), ==, 0x2000);
  /* Virtual-8086 mode is real here */
  cpu->eflags |= EFLAGS_VM;
  set_pointers (cpu);
  assert_runs (&box, 0x66, MEMORY_32 (0xd9, 6));
  g_assert_cmphex (get (&box, DATA + 8, 2), ==, 0x25ab);
  box_close (&box);
}

static void
test_save_and_restore (void)
{
  Box box;
  Cpu *cpu;
  Fpu before;

  box_open (&box, CPU_MODEL_PENTIUM3);
  box_protect (&box);
  cpu = box.cpu;
  assert_runs (&box, FLD1);
  assert_runs (&box, 0xd9, 0xeb);       /* FLDPI */
  before = cpu->fpu;
  assert_runs (&box, MEMORY_32 (0xdd, 6));      /* FNSAVE */
  g_assert_cmphex (cpu->fpu.control, ==, 0x37f);
  g_assert_cmphex (cpu->fpu.status, ==, 0);
  g_assert_cmphex (cpu->fpu.valid, ==, 0);
  g_assert_cmpmem (memory_at (&box, DATA + 28), 10, before.r[6], 10);   /* ST(0) first */
  assert_runs (&box, MEMORY_32 (0xdd, 4));      /* FRSTOR */
  g_assert_cmpmem (&cpu->fpu, sizeof before, &before, sizeof before);
  box_close (&box);
}

static void
test_fault_leaves_no_trace (void)
{
  Box box;
  Cpu *cpu;
  Fpu before;

  box_open (&box, CPU_MODEL_PENTIUM3);
  cpu = box.cpu;
  cpu->segments[SEG_DS].limit = DATA + 3;
  cpu_changed (cpu);
  assert_runs (&box, 0xd9, 0xeb);       /* FLDPI: narrowing it is inexact */
  before = cpu->fpu;
  assert_raises (&box, VECTOR_GP, MEMORY_16 (0xdd, 3)); /* FSTP qword */
  assert_raises (&box, VECTOR_GP, MEMORY_16 (0xdf, 6)); /* FBSTP */
  assert_raises (&box, VECTOR_GP, MEMORY_16 (0xdb, 7)); /* FSTP tbyte */
  assert_raises (&box, VECTOR_GP, MEMORY_16 (0xdd, 0)); /* FLD qword */
  assert_raises (&box, VECTOR_GP, MEMORY_16 (0xd9, 6)); /* FNSTENV */
  assert_raises (&box, VECTOR_GP, MEMORY_16 (0xdd, 6)); /* FNSAVE */
  assert_raises (&box, VECTOR_GP, MEMORY_16 (0xdd, 4)); /* FRSTOR */
  assert_raises (&box, VECTOR_GP, 0x0f, 0x6f, 0x06, 0x00, 0x80);        /* MOVQ mm0 */
  assert_raises (&box, VECTOR_GP, 0x0f, 0xae, 0x0e, 0x00, 0x80);        /* FXRSTOR */
  g_assert_cmpmem (&cpu->fpu, sizeof before, &before, sizeof before);
  assert_runs (&box, MEMORY_16 (0xd9, 3));      /* FSTP dword fits */
  g_assert_cmphex (cpu->fpu.valid, ==, 0);
  box_close (&box);
}

static void
test_mmx_and_x87_share_registers (void)
{
  Box box;
  Cpu *cpu;

  box_open (&box, CPU_MODEL_PENTIUM3);
  cpu = box.cpu;
  assert_runs (&box, FLD1);
  assert_runs (&box, FLD1);
  g_assert_cmphex (cpu->fpu.status >> 11 & 7, ==, 6);
  cpu->regs[REG_EAX] = 0x12345678;
  assert_runs (&box, 0x0f, 0x6e, 0xc8);         /* MOVD mm1, eax */
  g_assert_cmphex (cpu->fpu.status >> 11 & 7, ==, 0);
  g_assert_cmphex (cpu->fpu.valid, ==, 0xff);
  g_assert_cmpmem (cpu->fpu.r[1], 10, "\x78\x56\x34\x12\0\0\0\0\xff\xff", 10);
  assert_runs (&box, 0x0f, 0x77);
  g_assert_cmphex (cpu->fpu.valid, ==, 0);
  /* Full after an MMX instruction: a load overflows. */
  assert_runs (&box, 0x0f, 0x6e, 0xc8);
  assert_runs (&box, FLD1);
  g_assert_cmphex (cpu->fpu.status & 0x241, ==, 0x241);
  g_assert_cmpmem (cpu->fpu.r[7], 10, "\0\0\0\0\0\0\0\xc0\xff\xff", 10);
  box_close (&box);
}

static void
test_fxsave (void)
{
  Box box;
  Cpu *cpu;

  box_open (&box, CPU_MODEL_PENTIUM3);
  box_protect (&box);
  cpu = box.cpu;
  assert_runs (&box, FLD1);
  memset (cpu->fpu.xmm[7], 0x77, 16);
  memset (memory_at (&box, DATA), 0xee, 512);
  assert_runs (&box, 0x0f, 0xae, 0x05, 0, 0x80, 0, 0);
  g_assert_cmphex (get (&box, DATA, 4), ==, 0x3800037f);
  g_assert_cmphex (get (&box, DATA + 4, 4), ==, 0x01e80080);    /* one tag bit per register; opcode */
  g_assert_cmphex (get (&box, DATA + 8, 4), ==, CODE);
  g_assert_cmphex (get (&box, DATA + 12, 2), ==, 0x08);
  g_assert_cmphex (get (&box, DATA + 24, 4), ==, 0x1f80);
  g_assert_cmphex (get (&box, DATA + 28, 4), ==, 0xffbf);       /* no DAZ */
  g_assert_cmphex (get (&box, DATA + 39, 4), ==, 0x003fff80);   /* ST(0), padded with zero */
  g_assert_cmphex (get (&box, DATA + 272, 4), ==, 0x77777777);
  g_assert_cmphex (get (&box, DATA + 288, 4), ==, 0xeeeeeeee);
  assert_raises (&box, VECTOR_GP, 0x0f, 0xae, 0x05, 8, 0x80, 0, 0);
  assert_raises (&box, VECTOR_GP, 0x0f, 0xae, 0x0d, 8, 0x80, 0, 0);
  put (&box, DATA + 24, 0x1fc0, 4);
  assert_raises (&box, VECTOR_GP, 0x0f, 0xae, 0x0d, 0, 0x80, 0, 0);
  put (&box, DATA + 24, 0x3f80, 4);
  assert_runs (&box, 0x0f, 0xae, 0x0d, 0, 0x80, 0, 0);
  g_assert_cmphex (cpu->fpu.mxcsr, ==, 0x3f80);
  /* A pending exception is no obstacle, and is restored as one. */
  assert_runs (&box, FNINIT);
  make_pending (&box);
  assert_runs (&box, 0x0f, 0xae, 0x05, 0, 0x80, 0, 0);
  assert_runs (&box, FNINIT);
  assert_runs (&box, 0x0f, 0xae, 0x0d, 0, 0x80, 0, 0);
  assert_raises (&box, VECTOR_MF, FWAIT);
  box_close (&box);
  /* The Pentium II has no XMM registers to save. */
  box_open (&box, CPU_MODEL_PENTIUM2);
  box_protect (&box);
  memset (memory_at (&box, DATA), 0xee, 512);
  assert_runs (&box, 0x0f, 0xae, 0x05, 0, 0x80, 0, 0);
  g_assert_cmphex (get (&box, DATA + 160, 4), ==, 0xeeeeeeee);
  put (&box, DATA + 24, 0xffffffff, 4);
  assert_runs (&box, 0x0f, 0xae, 0x0d, 0, 0x80, 0, 0);
  box_close (&box);
}

static void
test_mxcsr (void)
{
  Box box;
  Cpu *cpu;

  box_open (&box, CPU_MODEL_PENTIUM3);
  box_protect (&box);
  cpu = box.cpu;
  put (&box, DATA, 0x10000, 4);
  assert_raises (&box, VECTOR_GP, 0x0f, 0xae, 0x15, 0, 0x80, 0, 0);
  put (&box, DATA, 0x40, 4);            /* DAZ came later */
  assert_raises (&box, VECTOR_GP, 0x0f, 0xae, 0x15, 0, 0x80, 0, 0);
  put (&box, DATA, 0xffbf, 4);
  assert_runs (&box, 0x0f, 0xae, 0x15, 0, 0x80, 0, 0);
  g_assert_cmphex (cpu->fpu.mxcsr, ==, 0xffbf);
  /* Division by zero, unmasked */
  put (&box, DATA, 0x1d80, 4);
  assert_runs (&box, 0x0f, 0xae, 0x15, 0, 0x80, 0, 0);
  for (unsigned i = 0; i < 4; i++)
    memcpy (cpu->fpu.xmm[0] + 4 * i, "\0\0\x80\x3f", 4);
  memset (cpu->fpu.xmm[1], 0, 16);
  assert_raises (&box, VECTOR_XM, 0x0f, 0x5e, 0xc1);    /* DIVPS xmm0, xmm1 */
  g_assert_cmphex (cpu->fpu.mxcsr, ==, 0x1d84);
  g_assert_cmpmem (cpu->fpu.xmm[0], 4, "\0\0\x80\x3f", 4);
  cpu->cr4 &= ~(uint32_t) CR4_OSXMMEXCPT;
  assert_raises (&box, VECTOR_UD, 0x0f, 0x5e, 0xc1);
  /* 16-byte rule */
  assert_raises (&box, VECTOR_GP, 0x0f, 0x28, 0x05, 4, 0x80, 0, 0);     /* MOVAPS */
  assert_runs (&box, 0x0f, 0x10, 0x05, 4, 0x80, 0, 0);                  /* MOVUPS */
  assert_raises (&box, VECTOR_GP, 0x0f, 0x58, 0x05, 4, 0x80, 0, 0);     /* ADDPS */
  box_close (&box);
  box_open (&box, CPU_MODEL_PENTIUM_M);
  box_protect (&box);
  put (&box, DATA, 0x1fc0, 4);
  assert_runs (&box, 0x0f, 0xae, 0x15, 0, 0x80, 0, 0);
  box_close (&box);
}

/* Whatever the guest's control words say, C code afterwards finds the units as the calling convention wants them. */
static void
test_host_stays_clean (void)
{
  static const uint16_t controls[] = { 0x37f, 0x27f, 0x07f, 0xc7f, 0x340, 0x000, 0x35a, 0xf60 };
  static const uint8_t operations[] = { 0xf0, 0xf1, 0xf3, 0xf5, 0xf8, 0xf9, 0xfa, 0xfc, 0xfd, 0xfe, 0xff, 0xf2, 0xf4, 0xfb };
  static const uint8_t values[][10] = {
    { 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f }, { 0 }, { 1, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x7f }, { 1 },
    { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x7f }, { 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0 },
  };
  Box box;
  Cpu *cpu;

  box_open (&box, CPU_MODEL_PENTIUM_M);
  box_protect (&box);
  cpu = box.cpu;
  for (unsigned c = 0; c < G_N_ELEMENTS (controls); c++)
    for (unsigned v = 0; v < G_N_ELEMENTS (values) * G_N_ELEMENTS (values); v++)
      for (unsigned o = 0; o < 20; o++)
        {
          struct { uint32_t control, status, tags, rest[4]; } environment;
          uint32_t mxcsr;

          cpu->fpu.control = controls[c] | 0x40;
          cpu->fpu.status = 6 << 11;
          cpu->fpu.valid = 0xc0;
          cpu->fpu.mxcsr = 0x0000 | (controls[c] & 0x3f) << 7;
          memcpy (cpu->fpu.r[6], values[v % G_N_ELEMENTS (values)], 10);
          memcpy (cpu->fpu.r[7], values[v / G_N_ELEMENTS (values)], 10);
          if (o < G_N_ELEMENTS (operations))
            assert_runs (&box, 0xd9, operations[o]);
          else if (o == 14)
            assert_runs (&box, 0xd8, 0xf1);     /* FDIV */
          else if (o == 15)
            assert_runs (&box, MEMORY_32 (0xdd, 3));
          else if (o == 16)
            assert_runs (&box, MEMORY_32 (0xdf, 6));
          else if (o == 17)
            assert_runs (&box, 0xd8, 0xd9);     /* FCOMP */
          else if (o == 18)
            RUN (&box, 0x0f, 0x5e, 0xc1);
          else
            assert_runs (&box, 0xde, 0xc9);     /* FMULP */
          __asm__ volatile ("fnstenv %0\n\tfldenv %0\n\tstmxcsr %1" : "=m" (environment), "=m" (mxcsr));
          g_assert_cmphex (environment.control & 0xffff, ==, 0x37f);
          g_assert_cmphex (environment.tags & 0xffff, ==, 0xffff);
          g_assert_cmphex (environment.status & 0x80, ==, 0);
          g_assert_cmphex (mxcsr & ~0x3fu, ==, 0x1f80);
        }
  box_close (&box);
}

static void
test_precision_control (void)
{
  Box box;
  Cpu *cpu;

  box_open (&box, CPU_MODEL_PENTIUM3);
  cpu = box.cpu;
  cpu->fpu.control = 0x07f;             /* 24 bits */
  assert_runs (&box, FLD1);
  put (&box, DATA, 3, 2);
  assert_runs (&box, MEMORY_16 (0xde, 6));      /* FIDIV word */
  g_assert_cmpmem (cpu->fpu.r[7], 10, "\0\0\0\0\0\xab\xaa\xaa\xfd\x3f", 10);
  g_assert_cmphex (cpu->fpu.status & 0x220, ==, 0x220);         /* inexact, rounded up */
  cpu->fpu.control = 0xc7f;             /* 24 bits, towards zero */
  assert_runs (&box, FLD1);
  assert_runs (&box, MEMORY_16 (0xde, 6));
  g_assert_cmpmem (cpu->fpu.r[6], 10, "\0\0\0\0\0\xaa\xaa\xaa\xfd\x3f", 10);
  g_assert_cmphex (cpu->fpu.status & 0x220, ==, 0x20);
  box_close (&box);
}

/* An unmasked overflow with a register destination stores the result with its exponent reduced by 24576. */
static void
test_unmasked_overflow (void)
{
  Box box;
  Cpu *cpu;
  uint16_t exponent;

  box_open (&box, CPU_MODEL_PENTIUM3);
  cpu = box.cpu;
  cpu->fpu.control = 0x377;
  assert_runs (&box, FLD1);
  exponent = 0x7ffe;
  memcpy (cpu->fpu.r[7] + 8, &exponent, 2);
  assert_runs (&box, 0xd8, 0xc8);       /* FMUL st0, st0 */
  memcpy (&exponent, cpu->fpu.r[7] + 8, 2);
  g_assert_cmphex (exponent, ==, 0x7ffe + 0x7ffe - 0x3fff - 24576);
  g_assert_cmphex (cpu->fpu.status & 0x80bf, ==, 0x8088);
  /* With a destination in memory nothing is stored or popped. */
  assert_runs (&box, FNCLEX);
  exponent = 0x7ffe;
  memcpy (cpu->fpu.r[7] + 8, &exponent, 2);
  put (&box, DATA, 0xabcdef01, 4);
  assert_runs (&box, MEMORY_16 (0xd9, 3));      /* FSTP dword */
  g_assert_cmphex (get (&box, DATA, 4), ==, 0xabcdef01);
  g_assert_cmphex (cpu->fpu.valid, ==, 0x80);
  assert_raises (&box, VECTOR_MF, FADD);
  box_close (&box);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fpu/not-available", test_not_available);
  g_test_add_func ("/fpu/pending-is-reported-by-the-next", test_pending_is_reported_by_the_next);
  g_test_add_func ("/fpu/unmasking-a-sticky-flag", test_unmasking_a_sticky_flag);
  g_test_add_func ("/fpu/ferr", test_ferr);
  g_test_add_func ("/fpu/pointers", test_pointers);
  g_test_add_func ("/fpu/environment-layouts", test_environment_layouts);
  g_test_add_func ("/fpu/save-and-restore", test_save_and_restore);
  g_test_add_func ("/fpu/fault-leaves-no-trace", test_fault_leaves_no_trace);
  g_test_add_func ("/fpu/mmx-and-x87-share-registers", test_mmx_and_x87_share_registers);
  g_test_add_func ("/fpu/fxsave", test_fxsave);
  g_test_add_func ("/fpu/mxcsr", test_mxcsr);
  g_test_add_func ("/fpu/host-stays-clean", test_host_stays_clean);
  g_test_add_func ("/fpu/precision-control", test_precision_control);
  g_test_add_func ("/fpu/unmasked-overflow", test_unmasked_overflow);
  return g_test_run ();
}
