/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The interpreter as others use it. */
#pragma once

#include "cpu.h"
#include "decode.h"

/* The routine of a decoded instruction (never NULL). */
InterpretFunc interpreter_routine (const DecodedInsn *insn);
/* The same without counting its reason code: the caller does. */
InterpretFunc interpreter_uncounted_routine (const DecodedInsn *insn);

/* Fetches and decodes the instruction at CS:EIP with all checks (limit, paging, length) and sets its routine.
 * EXIT_NONE, or EXIT_FAULT with #GP, #PF or #UD recorded.  The bytes read: ret_insn->length. */
ExitReason interpreter_fetch (Cpu *cpu, DecodedInsn *ret_insn);

/* Runs exactly one instruction at CS:EIP: instruction breakpoints, fetch, execution, delivery of its exception, single step
 * and data breakpoint traps, advancing of `instructions` and `inhibit`.  Pending lines are not looked at: call
 * cpu_take_events before.  One iteration of a repeated string instruction is one instruction.
 * Returns EXIT_NONE (go on), EXIT_HALT, EXIT_SHUTDOWN. */
ExitReason cpu_step (Cpu *cpu);
/* The same, but a repeated string instruction goes on to instruction_limit (unless EFLAGS.TF). */
ExitReason interpreter_step (Cpu *cpu, bool one_iteration);

/* In dispatcher/engine-interpreter.c; both need decode_cache_new.  They take no events and deliver exceptions.
 * One block of the decode cache, or one instruction where blocks do not serve: EXIT_NONE, EXIT_REQUEST, EXIT_HALT or
 * EXIT_SHUTDOWN.  The other goes on to the first request or instruction_limit: EXIT_REQUEST, EXIT_HALT or EXIT_SHUTDOWN. */
ExitReason interpreter_run_block        (Cpu *cpu);
ExitReason interpreter_run_instructions (Cpu *cpu);
