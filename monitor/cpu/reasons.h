/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Why an instruction is sensitive: the requirements of Robin and Irvine's analysis of the Pentium (J. S. Robin,
 * "Analyzing the Intel Pentium's Capability to Support a Secure Virtual Machine Monitor", NPS 1999, chapter III),
 * with our own sub-numbers.  The codes are the keys of `reasons` in the control request `stats`. */
#pragma once

/*       code  meaning */
#define REASONS(REASON) \
  REASON (NONE, "not sensitive") \
  REASON (3A1,  "changes or tells the mode of the machine (CR0, SMM, SYSENTER)") \
  REASON (3A2,  "changes or tells the state of the machine (HLT, caches, debug registers, CPUID)") \
  REASON (3B1,  "tells a sensitive register (GDTR, IDTR, LDTR, MSRs)") \
  REASON (3B2,  "tells the clock (TSC, performance counters)") \
  REASON (3B3,  "changes or tells the interrupt flags (PUSHF, POPF, CLI, STI)") \
  REASON (3B4,  "changes a sensitive register (LGDT, LIDT, LLDT, WRMSR)") \
  REASON (3C1,  "asks the protection system about a selector (LAR, LSL, VERR, VERW, STR, ARPL)") \
  REASON (3C2,  "loads or stores a segment register (MOV, PUSH, POP, LDS)") \
  REASON (3C3,  "transfers through the protection system (far CALL, JMP, RET, INT, IRET)") \
  REASON (3C4,  "changes the address relocation system (LTR, INVLPG)") \
  REASON (3D,   "input or output")

typedef enum
{
#define REASON_ENUM(code, text) REASON_##code,
  REASONS (REASON_ENUM)
#undef REASON_ENUM
  N_REASONS
} Reason;

/* "3A1" … and what it means, by Reason. */
extern const char *const reason_codes[N_REASONS];
extern const char *const reason_texts[N_REASONS];
