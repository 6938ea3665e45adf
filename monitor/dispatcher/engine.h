/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What runs guest instructions: the interpreter, the translator, or both in lockstep. */
#pragma once

#include "cpu.h"

typedef struct Engine Engine;

typedef struct
{
  const char *name;
  /* Runs until something must be answered by the run loop: cpu->exit_request is set, cpu->instructions reached
   * cpu->instruction_limit, HALT, SHUTDOWN or STOP.  Exceptions and interrupts are delivered inside.  Under the
   * instruction clock (`exact`) it stops at instruction_limit to the instruction; else soon after a request. */
  ExitReason (*run)  (Engine *self);
  void       (*free) (Engine *self);
  /* May be NULL.  On the thread that will call run (), before the sandbox closes: signal stack, timers. */
  void       (*adopt_thread) (Engine *self);
} EngineClass;

struct Engine
{
  const EngineClass *klass;
  Cpu               *cpu;
  bool               exact;
  /* after EXIT_STOP: what happened, for stderr */
  char               message[4096];
  uint64_t           n_compared;        /* lockstep */
};

/* NULL with a reason in ret_error (static text) when the host cannot do it. */
Engine *engine_new_interpreter (Cpu *cpu, bool exact, const char **ret_error);
Engine *engine_new_translator  (Cpu *cpu, bool exact, const char **ret_error);
/* Runs reference and translator side by side over two machines' worth of CPU state; memory of the second is its own. */
Engine *engine_new_lockstep    (Cpu *cpu, const char **ret_error);
