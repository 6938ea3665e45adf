/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The few stretches of host code between C and translated code, made once at the start of the code cache.
 *
 *   enter (target)       a C function: loads the guest's registers and jumps
 *   exits                store the guest's registers and return from enter () with a LEAVE_* value
 *   callout              called by translated code with a site number in R8D: runs translator_callout () on the C stack
 *                        and goes on behind the call, or leaves
 *
 * The guest's return addresses have host counterparts on the pair stack, which is RSP while translated code runs; C
 * runs on the stack of enter ()'s caller.  Signals have their own stack. */
#include "translator.h"

#include <stddef.h>

#define FLAGS_MASK (EFLAGS_ARITHMETIC | EFLAGS_DF)

static void
store_registers (Emitter *e)
{
  for (int reg = 0; reg < 8; reg++)
    emit_store32 (e, reg == REG_ESP ? R15 : reg, R12, (int32_t) (offsetof (Cpu, regs) + 4 * (unsigned) reg));
}

static void
load_registers (Emitter *e)
{
  for (int reg = 0; reg < 8; reg++)
    emit_load32 (e, reg == REG_ESP ? R15 : reg, R12, (int32_t) (offsetof (Cpu, regs) + 4 * (unsigned) reg));
}

/* cpu->eflags = guest flags of the host and the other bits.  EAX, ECX die.  The direction flag is not read back from the
 * host: CLD and STD note it in hot->direction.  LAHF and SETO take a fraction of PUSHFQ's time. */
static void
save_flags (Emitter *e, const Hot *hot)
{
  static const uint8_t collect[] = {
    0x9f,                               /* lahf */
    0x0f, 0x90, 0xc0,                   /* seto al */
    0xfc,                               /* cld */
    0x0f, 0xb6, 0xcc,                   /* movzx ecx, ah */
    0x0f, 0xb6, 0xc0,                   /* movzx eax, al */
    0x81, 0xe1, 0xd5, 0x00, 0x00, 0x00, /* and ecx, 0d5h */
    0xc1, 0xe0, 0x0b,                   /* shl eax, 11 */
    0x09, 0xc1,                         /* or ecx, eax */
  };
  HostMemory eflags = host_memory (R12, offsetof (Cpu, eflags));
  HostMemory lazy = host_memory (R12, offsetof (Cpu, lazy_operation));

  emit_bytes (e, collect, sizeof collect);
  emit_op_rip (e, false, 0x0b, RCX, &hot->direction, 0);
  emit_op_memory (e, 0, false, 0x8b, RAX, &eflags);
  emit8 (e, 0x25);
  emit32 (e, ~(uint32_t) FLAGS_MASK);   /* and eax, ~mask */
  emit8 (e, 0x09);
  emit8 (e, 0xc8);                      /* or eax, ecx */
  emit_op_memory (e, 0, false, 0x89, RAX, &eflags);
  emit_op_memory (e, 0, false, 0xc6, 0, &lazy);
  emit8 (e, 0);
}

/* Guest flags to host flags; EAX, ECX die. */
static void
load_flags (Emitter *e, const Hot *hot)
{
  static const uint8_t spread[] = {
    0x89, 0xc1,                         /* mov ecx, eax */
    0xc1, 0xe9, 0x0b,                   /* shr ecx, 11 */
    0x83, 0xe1, 0x01,                   /* and ecx, 1 */
    0x80, 0xc1, 0x7f,                   /* add cl, 7fh: sets OF from bit 11 */
    0x88, 0xc4,                         /* mov ah, al */
    0x9e,                               /* sahf */
  };
  uint8_t *jump;

  emit_load32 (e, RAX, R12, offsetof (Cpu, eflags));
  emit_mov32 (e, RCX, RAX);
  emit8 (e, 0x81);
  emit8 (e, 0xe1);
  emit32 (e, EFLAGS_DF);                /* and ecx, DF */
  emit_op_rip (e, false, 0x89, RCX, &hot->direction, 0);
  emit8 (e, 0x74);
  jump = e->at;
  emit8 (e, 0);
  emit8 (e, 0xfd);                      /* std */
  *jump = (uint8_t) (e->at - jump - 1);
  emit_bytes (e, spread, sizeof spread);
}

static void
set_inside (Emitter *e, const Hot *hot, unsigned value)
{
  emit_op_rip (e, false, 0xc7, 0, &hot->inside, 4);
  emit32 (e, value);
}

static void
epilogue (Emitter *e)
{
  static const uint8_t bytes[] = { 0x48, 0x83, 0xc4, 0x08,      /* add rsp, 8 */
                                   0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3 };

  emit_bytes (e, bytes, sizeof bytes);
}

bool
glue_make (Translator *self)
{
  Emitter emitter = { self->code_rw, self->code_rw + GLUE_BYTES, self->code, false }, *e = &emitter;
  static const uint8_t prologue[] = { 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x48, 0x83, 0xec, 0x08 };
  Hot *hot = self->hot;
  uint64_t exit_common, leave;
  uint8_t *refused;

  /* exit_common: R8D = EIP, R9D = reason, R10D = info */
  exit_common = e->address;
  store_registers (e);
  emit_op_rip (e, true, 0x89, RSP, &hot->pair_stack, 0);
  emit_op_rip (e, true, 0x8b, RSP, &hot->c_stack, 0);
  save_flags (e, hot);
  emit_store32 (e, R8, R12, offsetof (Cpu, eip));
  emit_op_rip (e, true, 0x89, R10, &hot->exit_info, 0);
  set_inside (e, hot, 0);
  emit_mov32 (e, RAX, R9);
  epilogue (e);

#define EXIT_GLUE(field, reason) \
  self->field = e->address; \
  emit_mov_immediate32 (e, R9, reason); \
  emit_jump (e, exit_common)
  /* An empty entry of the EIP map leads to the first of these. */
  EXIT_GLUE (glue_exit_lookup, LEAVE_LOOKUP);
  EXIT_GLUE (glue_exit_link, LEAVE_LINK);
  EXIT_GLUE (glue_exit_insn, LEAVE_INSN);
  EXIT_GLUE (glue_exit_limit, LEAVE_LIMIT);
#undef EXIT_GLUE
  self->map_bias = self->glue_exit_lookup;

  /* The bottom of the pair stack: a return that matches nothing. Keep the bottom, look the address in R8D up. */
  self->glue_ret_bottom = e->address;
  {
    HostMemory back = { false, false, RSP, NO_REGISTER, 0, -8 };
    HostMemory entry = { false, false, R13, R8, 2, 0 }, biased = { false, false, R9, NO_REGISTER, 0, (int32_t) self->map_bias };

    emit_op_memory (e, 0, true, 0x8d, RSP, &back);
    emit_op_memory (e, 0, false, 0x8b, R9, &entry);
    emit_op_memory (e, 0, true, 0x8d, R9, &biased);
    emit8 (e, 0x41);
    emit8 (e, 0xff);
    emit8 (e, 0xe1);
  }

  /* leave: as exit_common, but everything is in the Cpu already and C's stack is current; EAX = reason */
  leave = e->address;
  epilogue (e);

  self->glue_signal_exit = e->address;
  emit_op_rip (e, true, 0x8b, RSP, &hot->c_stack, 0);
  emit_mov_immediate32 (e, RAX, LEAVE_SIGNAL);
  emit_jump (e, leave);

  /* callout: R8D = site; the return address is on the pair stack */
  self->glue_callout = e->address;
  store_registers (e);
  emit_op_rip (e, true, 0x89, RSP, &hot->pair_stack, 0);
  emit_op_rip (e, true, 0x8b, RSP, &hot->c_stack, 0);
  set_inside (e, hot, 0);
  save_flags (e, hot);
  emit_mov64 (e, RDI, R12);
  emit_mov32 (e, RSI, R8);
  emit8 (e, 0x48);
  emit8 (e, 0xb8);
  emit64 (e, (uint64_t) (uintptr_t) translator_callout);
  emit8 (e, 0xff);
  emit8 (e, 0xd0);                              /* call rax */
  set_inside (e, hot, 1);
  /* A kick before this line is seen here, one after it by the signal handler: it finds the processor inside. */
  {
    HostMemory request = host_memory (R12, offsetof (Cpu, exit_request));

    emit_op_memory (e, 0, false, 0x0b, RAX, &request);  /* or eax, [request] */
  }
  {
    uint8_t *jump, *at;

    emit8 (e, 0x75);
    jump = e->at;
    emit8 (e, 0);
    load_flags (e, hot);
    emit_op_rip (e, true, 0x8b, RSP, &hot->pair_stack, 0);
    load_registers (e);
    emit8 (e, 0xc3);
    at = e->at;
    *jump = (uint8_t) (at - jump - 1);
    /* Leaving: the return address into the unit goes. */
    emit_op_rip (e, true, 0x8b, RCX, &hot->pair_stack, 0);
    emit8 (e, 0x48);
    emit8 (e, 0x83);
    emit8 (e, 0xc1);
    emit8 (e, 8);                               /* add rcx, 8 */
    emit_op_rip (e, true, 0x89, RCX, &hot->pair_stack, 0);
    set_inside (e, hot, 0);
    emit_mov_immediate32 (e, RAX, LEAVE_EVENT);
    emit_jump (e, leave);
  }

  /* enter (RDI = target) */
  while (e->address & 15)
    emit8 (e, 0xcc);
  self->enter = (int (*) (uint64_t)) (uintptr_t) e->address;
  emit_bytes (e, prologue, sizeof prologue);
  emit_op_rip (e, true, 0x89, RSP, &hot->c_stack, 0);
  emit_op_rip (e, true, 0x8b, R12, &hot->cpu, 0);
  /* From here on a kick finds the processor inside and steps it to a boundary; a kick before is seen now. */
  set_inside (e, hot, 1);
  {
    HostMemory request = host_memory (R12, offsetof (Cpu, exit_request));

    emit_op_memory (e, 0, false, 0x83, 7, &request);    /* cmp dword [request], 0 */
    emit8 (e, 0);
  }
  emit8 (e, 0x75);
  refused = e->at;
  emit8 (e, 0);
  emit_op_rip (e, true, 0x8b, R13, &hot->map, 0);
  emit_op_rip (e, true, 0x8b, R14, &hot->window, 0);
  emit_mov64 (e, R11, RDI);
  load_flags (e, hot);
  emit_op_rip (e, true, 0x8b, RSP, &hot->pair_stack, 0);
  load_registers (e);
  emit8 (e, 0x41);
  emit8 (e, 0xff);
  emit8 (e, 0xe3);                              /* jmp r11 */
  *refused = (uint8_t) (e->at - refused - 1);
  set_inside (e, hot, 0);
  emit_mov_immediate32 (e, RAX, LEAVE_REFUSED);
  emit_jump (e, leave);

  self->glue_end = (uint32_t) ((e->address - self->code + 63) & ~63ull);
  self->code_used = self->glue_end;
  return !e->full;
}
