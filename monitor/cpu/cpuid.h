/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the processor says of itself: CPUID and model-specific registers (SDM vol. 2, CPUID; vol. 4). */
#pragma once

#include "cpu.h"

/* FEATURE_* of a model; EDX after reset and CPUID leaf 1's EAX. */
uint32_t cpu_model_features  (CpuModel model);
uint32_t cpu_model_signature (CpuModel model);

/* EAX, EBX, ECX, EDX. Leaves above the highest answer like the highest basic leaf, as Intel's do. */
void cpu_cpuid (const Cpu *cpu, uint32_t leaf, uint32_t ret[4]);

/* EXIT_NONE, or EXIT_FAULT with #GP(0): no such register, or a reserved bit. Privilege is the caller's. */
ExitReason cpu_read_msr  (Cpu *cpu, uint32_t number, uint64_t *ret);
ExitReason cpu_write_msr (Cpu *cpu, uint32_t number, uint64_t value);
