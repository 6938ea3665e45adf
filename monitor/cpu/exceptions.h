/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Exceptions and interrupts: recording them, and delivering them through the IDT (SDM vol. 3, chapter 6).
 *
 * cpu_raise records; nothing happens until the dispatcher calls cpu_deliver_exception.  All raise functions return
 * EXIT_FAULT, so a routine ends with `return cpu_raise (cpu, VECTOR_UD);`. */
#pragma once

#include "cpu.h"

ExitReason cpu_raise            (Cpu *cpu, unsigned vector);                     /* without error code */
ExitReason cpu_raise_error      (Cpu *cpu, unsigned vector, uint32_t error);     /* DF TS NP SS GP PF AC */
ExitReason cpu_raise_page_fault (Cpu *cpu, uint32_t linear, uint32_t error);     /* sets CR2 */
/* A trap: eip already points behind the instruction. dr6: bits to set with VECTOR_DB, else 0. */
ExitReason cpu_raise_trap       (Cpu *cpu, unsigned vector, uint32_t dr6);

/* Delivers the recorded exception, escalating to #DF and shutdown. EXIT_BRANCH or EXIT_SHUTDOWN.
 * A fault counts as one instruction when it is delivered (traps do not: their instruction has retired). */
ExitReason cpu_deliver_exception (Cpu *cpu);

typedef enum
{
  INTERRUPT_EXTERNAL,           /* INTR, NMI: no privilege check on the gate, EXT in error codes */
  INTERRUPT_EXCEPTION,
  INTERRUPT_SOFTWARE,           /* INT n: gate DPL is checked; eip must already point behind the instruction */
  INTERRUPT_SOFTWARE_EXCEPTION, /* INT3, INTO: the same, without virtual-8086 redirection */
  INTERRUPT_ICEBP,              /* INT1: no DPL check, #DB without DR6 */
} InterruptKind;

/* One delivery attempt; return_eip is what the frame holds.  EXIT_BRANCH when done; EXIT_FAULT with another exception recorded
 * and the state as before (but for what a task switch has already made final). */
ExitReason cpu_interrupt (Cpu *cpu, unsigned vector, InterruptKind kind, bool has_error, uint32_t error, uint32_t return_eip);

/* After a completed instruction: delivers #DB for debug_hits and tf_pending if there are any.
 * EXIT_NONE (nothing due), EXIT_BRANCH or EXIT_SHUTDOWN. */
ExitReason cpu_deliver_debug_traps (Cpu *cpu);
/* Instruction breakpoint at CS:EIP and not EFLAGS.RF: EXIT_FAULT with #DB recorded, else EXIT_NONE. */
ExitReason cpu_check_instruction_breakpoint (Cpu *cpu);
/* I/O breakpoints (CR4.DE): notes a hit in debug_hits. Called after the access. */
void       cpu_check_io_breakpoint (Cpu *cpu, uint16_t port, unsigned size);
/* A pending unmasked x87 error: #MF with CR0.NE; without it FERR# is raised and the instruction waits for the
 * interrupt: EXIT_BRANCH, it begins again. Call before every waiting x87 or MMX instruction; EXIT_NONE: go on. */
ExitReason cpu_report_x87_error (Cpu *cpu);
/* Shutdown: the processor stops until NMI, SMI, INIT or reset. */
ExitReason cpu_shut_down (Cpu *cpu);
