/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What lockstep, tests and statistics ask of the translating engine beyond engine.h. */
#pragma once

#include "engine.h"

#include <stdbool.h>
#include <stdint.h>

/* A lowering made wrong on purpose, to show that lockstep finds it. */
typedef enum
{
  TRANSLATOR_BREAK_NONE,
  TRANSLATOR_BREAK_SUB,         /* SBB becomes ADC */
  TRANSLATOR_BREAK_FLAGS,       /* CMC becomes STC */
  TRANSLATOR_BREAK_STORE,       /* MOV [reg + 7Ch], reg stores 4 bytes too far */
} TranslatorBreak;

typedef struct
{
  uint64_t units, code_bytes, faults, maps, leaves, callouts, kicks, flushes, revalidations, vmas;
} TranslatorStatistics;

/* Like run (), but takes no events and ends at the first request, limit, HALT or SHUTDOWN. */
ExitReason translator_run_chunk       (Engine *engine);
/* Instructions run translated only where the flags that they leave undefined are overwritten unseen. */
void       translator_set_strict_flags (Engine *engine, bool strict);
void       translator_break_lowering  (Engine *engine, TranslatorBreak which);
/* Executions of a block before it is translated (at least 1). */
void       translator_set_threshold   (Engine *engine, unsigned executions);
/* For tests: throw everything away after so many bytes of code, and empty windows after so many host mappings. */
void       translator_set_limits      (Engine *engine, uint32_t code_bytes, uint32_t mappings);
void       translator_get_statistics  (const Engine *engine, TranslatorStatistics *ret);
/* Whether instructions of a row of insns.def are ever run as host instructions. */
bool       translator_lowers_row      (unsigned row);
