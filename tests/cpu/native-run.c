/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "native-run.h"

#include <asm/ldt.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined (__SANITIZE_ADDRESS__)
#define WITH_ADDRESS_SANITIZER true
#elif defined (__has_feature)
#if __has_feature (address_sanitizer)
#define WITH_ADDRESS_SANITIZER true
#endif
#endif
#ifndef WITH_ADDRESS_SANITIZER
#define WITH_ADDRESS_SANITIZER false
#endif

/* Everything that entry and exit code touch, with the offsets that they use. */
typedef struct
{
  uint8_t  fxsave[512];
  uint32_t regs[8];             /* 512 */
  uint64_t eflags;              /* 544 */
  uint64_t host_rsp;            /* 552 */
  uint32_t target_offset;       /* 560: far pointer */
  uint16_t target_selector, reserved;
  uint16_t es, ss, ds, gs;      /* 568, 570, 572, 574 */
} Gate;

_Static_assert (offsetof (Gate, eflags) == 544 && offsetof (Gate, host_rsp) == 552 && offsetof (Gate, target_offset) == 560
                && offsetof (Gate, es) == 568 && offsetof (Gate, gs) == 574, "offsets of the assembly below");

static Gate gate __attribute__ ((aligned (64)));
static struct { uint32_t address; uint8_t *bytes; } world[NATIVE_WORLD];
static sigjmp_buf resume;
static NativeState *volatile current;
static volatile bool stepping;

void native_enter (Gate *gate_pointer);
extern const char native_back[];

/* 64-bit to 32-bit.  The way back is emitted into NATIVE_LEAVE by native_open (it must lie below 4 GiB) and ends at
 * native_back. SS stays flat; RSP is lost in between, signals use their own stack. */
__asm__ (
  ".pushsection .text\n"
  ".globl native_enter\n.hidden native_enter\n.type native_enter, @function\n"
  "native_enter:\n"
  "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
  "  mov %rdi, %r15\n"
  "  mov %rsp, 552(%r15)\n"
  "  fxrstor (%r15)\n"
  "  mov 574(%r15), %gs\n"
  "  mov 568(%r15), %es\n"
  "  mov 572(%r15), %ds\n"
  "  mov 512(%r15), %eax\n  mov 516(%r15), %ecx\n  mov 520(%r15), %edx\n  mov 524(%r15), %ebx\n"
  "  mov 532(%r15), %ebp\n  mov 536(%r15), %esi\n  mov 540(%r15), %edi\n"
  "  pushq 544(%r15)\n  popfq\n"
  "  mov 528(%r15), %esp\n"
  "  ljmp *560(%r15)\n"
  ".globl native_back\n.hidden native_back\n"
  "native_back:\n"
  "  pushq $0x202\n  popfq\n"
  "  mov $0x2b, %ecx\n  mov %ecx, %ss\n"
  "  xor %ecx, %ecx\n  mov %ecx, %ds\n  mov %ecx, %es\n  mov %ecx, %gs\n"
  "  fninit\n"
  "  pushq $0x1f80\n  ldmxcsr (%rsp)\n  pop %rcx\n"
  "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
  "  ret\n"
  ".size native_enter, . - native_enter\n"
  ".popsection\n");

/* FS, where the C library keeps its thread, is never loaded by a test; so this may run as ordinary C. */
static void
on_signal (int number, siginfo_t *info, void *context)
{
  ucontext_t *user = context;
  NativeState *state = current;
  const greg_t *gregs = user->uc_mcontext.gregs;
  static const int order[8] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI };
  uint16_t selector;

  /* Alignment checks would hit the host's code too. */
  __asm__ volatile ("pushq $0x202\n\tpopfq" : : : "memory", "cc");
  selector = gregs[REG_CSGSFS] & 0xffff;
  if (state == NULL || (selector != NATIVE_CS && selector != NATIVE_LDT_CS))
    {
      /* Not ours: a defect of the test itself. */
      signal (number, SIG_DFL);
      raise (number);
      return;
    }
  state->cs = selector;
  for (unsigned i = 0; i < 8; i++)
    state->regs[i] = (uint32_t) gregs[order[i]];
  state->eip = (uint32_t) gregs[REG_RIP];
  state->eflags = (uint32_t) gregs[REG_EFL];
  state->vector = (int) gregs[REG_TRAPNO];
  state->error = (uint32_t) gregs[REG_ERR];
  state->cr2 = (uint32_t) gregs[REG_CR2];
  __asm__ ("mov %%ds, %0" : "=r" (selector));
  state->ds = selector;
  __asm__ ("mov %%es, %0" : "=r" (selector));
  state->es = selector;
  __asm__ ("mov %%gs, %0" : "=r" (selector));
  state->gs = selector;
  state->ss = gregs[REG_CSGSFS] >> 48 & 0xffff;
  if (user->uc_mcontext.fpregs != NULL)
    memcpy (state->fxsave, user->uc_mcontext.fpregs, sizeof state->fxsave);
  if (stepping)
    state->eflags &= ~0x100u;
  if (stepping && number == SIGTRAP && state->vector == 1)
    state->vector = -1;
  siglongjmp (resume, 1);
}

static bool
map_page (int fd, unsigned index, uint32_t address, int rights)
{
  void *low = mmap ((void *) (uintptr_t) address, NATIVE_PAGE, rights, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd,
                    (off_t) index * NATIVE_PAGE);
  void *high = mmap (NULL, NATIVE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t) index * NATIVE_PAGE);

  if (low != (void *) (uintptr_t) address || high == MAP_FAILED)
    return false;
  world[index].address = address;
  world[index].bytes = high;
  return true;
}

static void
emit_leave (uint8_t *at)
{
  uint64_t gate_address = (uint64_t) (uintptr_t) &gate, back = (uint64_t) (uintptr_t) native_back;
  static const uint8_t stores[] = {
    0x89, 0x88, 0x04, 0x02, 0, 0,  0x89, 0x90, 0x08, 0x02, 0, 0,  0x89, 0x98, 0x0c, 0x02, 0, 0,     /* ecx edx ebx */
    0x89, 0xa0, 0x10, 0x02, 0, 0,  0x89, 0xa8, 0x14, 0x02, 0, 0,  0x89, 0xb0, 0x18, 0x02, 0, 0,     /* esp ebp esi */
    0x89, 0xb8, 0x1c, 0x02, 0, 0,                                                                   /* edi */
    0x48, 0x8b, 0xa0, 0x28, 0x02, 0, 0,                                                             /* rsp = host_rsp */
    0x9c, 0x8f, 0x80, 0x20, 0x02, 0, 0,                                                             /* eflags */
    0xfc,
    0x8c, 0x80, 0x38, 0x02, 0, 0,  0x8c, 0x90, 0x3a, 0x02, 0, 0,                                    /* es ss */
    0x8c, 0x98, 0x3c, 0x02, 0, 0,  0x8c, 0xa8, 0x3e, 0x02, 0, 0,                                    /* ds gs */
    0x0f, 0xae, 0x00,                                                                               /* fxsave */
  };

  *at++ = 0x48;                 /* mov [gate.regs], rax: no register may be lost before; eax's neighbour comes later */
  *at++ = 0xa3;
  gate_address += offsetof (Gate, regs);
  memcpy (at, &gate_address, 8);
  at += 8;
  *at++ = 0x48;                 /* mov rax, gate */
  *at++ = 0xb8;
  gate_address -= offsetof (Gate, regs);
  memcpy (at, &gate_address, 8);
  at += 8;
  memcpy (at, stores, sizeof stores);
  at += sizeof stores;
  *at++ = 0x48;                 /* mov rcx, native_back; jmp rcx */
  *at++ = 0xb9;
  memcpy (at, &back, 8);
  at += 8;
  *at++ = 0xff;
  *at++ = 0xe1;
}

const char *
native_open (void)
{
  static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
  struct user_desc segment = { .entry_number = 0, .base_addr = NATIVE_LDT_BASE, .limit = NATIVE_LDT_LIMIT, .seg_32bit = 1,
                               .useable = 1 };
  struct user_desc code = { .entry_number = 1, .base_addr = NATIVE_CODE, .limit = NATIVE_LDT_LIMIT, .contents = MODIFY_LDT_CONTENTS_CODE,
                            .useable = 1 };
  struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
  stack_t stack = { .ss_size = 1 << 16 };
  NativeState probe = { .eip = NATIVE_CODE, .eflags = 0x202, .ss = NATIVE_DS, .ds = NATIVE_DS, .es = NATIVE_DS, .cs = NATIVE_CS };
  int fd = memfd_create ("native-world", MFD_CLOEXEC);

  if (WITH_ADDRESS_SANITIZER)
    return "the address sanitizer's shadow lies where stray accesses must fault";
  if ((uintptr_t) &gate < 0x100000000u)
    return "the test is not position independent and lies below 4 GiB";
  if (fd < 0 || ftruncate (fd, NATIVE_WORLD * NATIVE_PAGE) < 0)
    return "no memory file";
  if (!map_page (fd, 0, NATIVE_CODE, PROT_READ | PROT_EXEC) || !map_page (fd, 1, NATIVE_LEAVE, PROT_READ | PROT_EXEC)
      || !map_page (fd, 2, NATIVE_READ_ONLY, PROT_READ) || !map_page (fd, 3, NATIVE_DATA, PROT_READ | PROT_WRITE)
      || !map_page (fd, 4, NATIVE_DATA + NATIVE_PAGE, PROT_READ | PROT_WRITE)
      || !map_page (fd, 5, NATIVE_STACK, PROT_READ | PROT_WRITE))
    return "addresses below 4 GiB cannot be mapped";
  close (fd);
  if (syscall (SYS_modify_ldt, 1, &segment, sizeof segment) != 0 || syscall (SYS_modify_ldt, 1, &code, sizeof code) != 0)
    return "modify_ldt is not allowed";
  emit_leave (world[1].bytes);
  stack.ss_sp = malloc (stack.ss_size);
  if (stack.ss_sp == NULL || sigaltstack (&stack, NULL) < 0)
    return "no signal stack";
  for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++)
    sigaction (signals[i], &action, NULL);
  /* inc ecx, which in 64-bit mode would be a prefix. */
  probe.fxsave[0] = 0x7f;
  probe.fxsave[1] = 0x03;
  probe.fxsave[24] = 0x80;
  probe.fxsave[25] = 0x1f;
  world[0].bytes[0] = 0x41;
  native_run (&probe, 1, false);
  if (probe.vector != -1 || probe.regs[1] != 1)
    return "32-bit code does not run";
  return NULL;
}

uint8_t *
native_bytes (uint32_t address)
{
  for (unsigned i = 0; i < NATIVE_WORLD; i++)
    if (address - world[i].address < NATIVE_PAGE)
      return world[i].bytes + (address - world[i].address);
  return NULL;
}

void
native_run (NativeState *state, unsigned length, bool single_step)
{
  uint8_t *code = native_bytes (native_code_base (state->cs) + state->eip), *after = code + length;
  bool is_16bit = state->cs == NATIVE_LDT_CS;
  uint32_t leave = NATIVE_LEAVE;

  if (is_16bit)
    *after++ = 0x66;
  after[0] = 0xea;              /* jmp 0x33:leave, 32-bit offset */
  memcpy (after + 1, &leave, 4);
  after[5] = 0x33;
  after[6] = 0;
  memcpy (gate.fxsave, state->fxsave, sizeof gate.fxsave);
  memcpy (gate.regs, state->regs, sizeof gate.regs);
  gate.eflags = state->eflags;
  gate.target_offset = state->eip;
  if (single_step)
    {
      /* The trap comes after the instruction behind the one that sets TF: so POPFD must stand right before it. */
      uint32_t flags = state->eflags | 0x100;

      code[-1] = 0x9d;
      gate.target_offset--;
      if (is_16bit)
        {
          code[-2] = 0x66;
          gate.target_offset--;
        }
      gate.regs[4] -= 4;
      memcpy (native_bytes (gate.regs[4]), &flags, 4);
    }
  gate.target_selector = state->cs;
  gate.es = state->es;
  gate.ds = state->ds;
  gate.gs = state->gs;
  state->vector = -1;
  state->error = state->cr2 = 0;
  current = state;
  stepping = single_step;
  if (sigsetjmp (resume, 0) == 0)
    {
      native_enter (&gate);
      memcpy (state->fxsave, gate.fxsave, sizeof state->fxsave);
      memcpy (state->regs, gate.regs, sizeof state->regs);
      state->eip += length;
      state->eflags = (uint32_t) gate.eflags;
      state->es = gate.es;
      state->ss = gate.ss;
      state->ds = gate.ds;
      state->gs = gate.gs;
    }
  else
    {
      __asm__ volatile ("mov %0, %%ds\n\tmov %0, %%es\n\tmov %0, %%gs" : : "r" (0));
    }
  current = NULL;
}
