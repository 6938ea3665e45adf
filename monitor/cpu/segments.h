/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Selectors, descriptors, gates and tasks (SDM vol. 3, chapters 3, 5, 7 and 20).
 *
 * Functions that move control set EIP and return EXIT_BRANCH; all return EXIT_FAULT with the exception recorded and
 * nothing changed (but for faults in a new task's context, where the task switch itself stands).
 * `size` is the operand size, 2 or 4.  next_eip is the address behind the instruction; it is what gets saved. */
#pragma once

#include "cpu.h"

typedef struct
{
  uint32_t low, high;
} Descriptor;

/* Types of system descriptors */
enum
{
  DESCRIPTOR_TSS16 = 1, DESCRIPTOR_LDT = 2, DESCRIPTOR_TSS16_BUSY = 3, DESCRIPTOR_CALL16 = 4, DESCRIPTOR_TASK_GATE = 5,
  DESCRIPTOR_INTERRUPT16 = 6, DESCRIPTOR_TRAP16 = 7, DESCRIPTOR_TSS32 = 9, DESCRIPTOR_TSS32_BUSY = 11, DESCRIPTOR_CALL32 = 12,
  DESCRIPTOR_INTERRUPT32 = 14, DESCRIPTOR_TRAP32 = 15,
};

static inline unsigned
descriptor_dpl (const Descriptor *descriptor)
{
  return descriptor->high >> 13 & 3;
}

static inline unsigned
descriptor_type (const Descriptor *descriptor)
{
  return descriptor->high >> 8 & 15;
}

static inline bool
descriptor_is_segment (const Descriptor *descriptor)
{
  return descriptor->high & 0x1000;
}

static inline bool
descriptor_present (const Descriptor *descriptor)
{
  return descriptor->high & 0x8000;
}

static inline bool
descriptor_is_code (const Descriptor *descriptor)
{
  return (descriptor->high & 0x1800) == 0x1800;
}

static inline bool
cpu_is_protected (const Cpu *cpu)
{
  return cpu->cr0 & CR0_PE && !(cpu->eflags & EFLAGS_VM);
}

static inline unsigned
cpu_iopl (const Cpu *cpu)
{
  return cpu->eflags >> 12 & 3;
}

/* The hidden part that a descriptor stands for. */
Segment    segment_from_descriptor (uint16_t selector, const Descriptor *descriptor);
/* Reads a descriptor; beyond its table's limit: `vector` with the selector as error code. */
ExitReason descriptor_read (Cpu *cpu, uint16_t selector, Descriptor *ret, unsigned vector);
/* The same for LAR, LSL, VERR, VERW: *ret_found false instead of an exception for a bad selector. */
ExitReason descriptor_look (Cpu *cpu, uint16_t selector, Descriptor *ret, bool *ret_found);

/* MOV, POP, LDS …: any segment register but CS, in every mode. */
ExitReason segment_load (Cpu *cpu, unsigned segment, uint16_t selector);
/* Real and virtual-8086 mode: cannot fail. */
void       segment_load_real (Cpu *cpu, unsigned segment, uint16_t selector);

ExitReason segment_jump_far   (Cpu *cpu, uint16_t selector, uint32_t offset, unsigned size, uint32_t next_eip);
ExitReason segment_call_far   (Cpu *cpu, uint16_t selector, uint32_t offset, unsigned size, uint32_t next_eip);
ExitReason segment_return_far (Cpu *cpu, unsigned size, uint32_t release);
ExitReason segment_return_interrupt (Cpu *cpu, unsigned size, uint32_t next_eip);

/* EFLAGS bits in mask := value; brings pending interrupts and derived state up to date. */
void       cpu_write_eflags (Cpu *cpu, uint32_t value, uint32_t mask);
void       cpu_set_cpl (Cpu *cpu, unsigned cpl);

/* IN, OUT: IOPL and the TSS's permission bitmap. EXIT_NONE or #GP(0). */
ExitReason cpu_check_io (Cpu *cpu, uint16_t port, unsigned size);

/* ---- Tasks: tasks.c ---- */
typedef enum { TASK_JUMP, TASK_CALL, TASK_INTERRUPT, TASK_RETURN } TaskSource;

/* selector and descriptor: an available TSS (busy for TASK_RETURN), present, checked by the caller. */
ExitReason task_switch (Cpu *cpu, uint16_t selector, const Descriptor *descriptor, TaskSource source, uint32_t next_eip,
                        bool has_error, uint32_t error);
/* Through a task gate or TSS selector: the checks on the TSS itself. `error_vector` for a bad TSS: GP or TS. */
ExitReason task_enter  (Cpu *cpu, uint16_t selector, TaskSource source, uint32_t next_eip, bool has_error, uint32_t error);
/* SS:ESP of an inner ring from the current TSS. #TS on a short TSS. */
ExitReason task_inner_stack (Cpu *cpu, unsigned cpl, uint16_t *ret_ss, uint32_t *ret_esp);

/* ---- Shared with exceptions.c ---- */

/* Pushes n values of `size` bytes on a stack that need not be the current one; checks all before it writes any.
 * access: ACCESS_USER when the stack's ring is 3.  stack_error: error code of #SS. */
ExitReason stack_push_frame (Cpu *cpu, const Segment *ss, uint32_t esp, const uint32_t *values, unsigned n, unsigned size,
                             unsigned access, uint32_t stack_error, uint32_t *ret_esp);
/* SS for an inner ring `cpl` by the rules of call gates (SDM vol. 3, 5.8.5): #TS, #SS. */
ExitReason stack_segment_for (Cpu *cpu, uint16_t selector, unsigned cpl, Segment *ret);
ExitReason descriptor_set_accessed (Cpu *cpu, uint16_t selector, Descriptor *descriptor);
