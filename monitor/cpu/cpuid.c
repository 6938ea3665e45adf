/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cpuid.h"

#include <string.h>

enum
{
  F_BASE = FEATURE_BASE | FEATURE_FPU | FEATURE_MMX | FEATURE_APIC,
  F_P6 = F_BASE | FEATURE_CMOV | FEATURE_SEP | FEATURE_FXSR | FEATURE_PAE | FEATURE_PGE | FEATURE_PSE36 | FEATURE_PAT | FEATURE_MTRR,
};

/* pentium is a P55C, pentium2 a Deschutes, pentium3 a Coppermine, pentium-m a late Dothan (the one with NX). */
static const struct
{
  uint32_t    signature, features, brand, max_leaf;
  uint32_t    cache[4];
  const char *name;
} models[N_CPU_MODELS] = {
  [CPU_MODEL_PENTIUM] = { 0x543, F_BASE, 0, 1, { 0 }, NULL },
  [CPU_MODEL_PENTIUM2] = { 0x652, F_P6, 0, 2, { 0x03020101, 0, 0, 0x0c040843 }, NULL },
  [CPU_MODEL_PENTIUM3] = { 0x686, F_P6 | FEATURE_SSE, 2, 2, { 0x03020101, 0, 0, 0x0c040882 }, NULL },
  [CPU_MODEL_PENTIUM_M] = { 0x6d8, F_P6 | FEATURE_SSE | FEATURE_SSE2 | FEATURE_NX | FEATURE_CLFLUSH, 0x16, 2,
                            { 0x02b3b001, 0x000000f0, 0, 0x2c04307d }, "Intel(R) Pentium(R) M processor 1.00GHz" },
};

uint32_t
cpu_model_features (CpuModel model)
{
  return models[model].features;
}

uint32_t
cpu_model_signature (CpuModel model)
{
  return models[model].signature;
}

static uint32_t
feature_bits (const Cpu *cpu)
{
  static const struct { uint32_t feature; unsigned bit; } map[] = {
    { FEATURE_FPU, 0 }, { FEATURE_PAE, 6 }, { FEATURE_SEP, 11 }, { FEATURE_MTRR, 12 }, { FEATURE_PGE, 13 }, { FEATURE_CMOV, 15 },
    { FEATURE_PAT, 16 }, { FEATURE_PSE36, 17 }, { FEATURE_CLFLUSH, 19 }, { FEATURE_MMX, 23 }, { FEATURE_FXSR, 24 },
    { FEATURE_SSE, 25 }, { FEATURE_SSE2, 26 },
  };
  /* VME, DE, PSE, TSC, MSR, MCE, CX8 */
  uint32_t bits = 0x1be;

  for (unsigned i = 0; i < sizeof map / sizeof map[0]; i++)
    if (cpu->features & map[i].feature)
      bits |= 1u << map[i].bit;
  if (cpu->features & FEATURE_MTRR)
    bits |= 1u << 14;           /* MCA came with the P6 too */
  if (cpu->features & FEATURE_APIC && cpu->apic_base & 0x800)
    bits |= 1u << 9;
  return bits;
}

void
cpu_cpuid (const Cpu *cpu, uint32_t leaf, uint32_t ret[4])
{
  const char *name = models[cpu->model].name;
  uint32_t max_leaf = models[cpu->model].max_leaf;

  memset (ret, 0, 4 * sizeof ret[0]);
  if (leaf >> 16 == 0x4000 && !cpu->undetectable)
    {
      /* KVM's signature: Linux then asks for the paravirtual features and finds none. */
      if (leaf == 0x40000000)
        {
          ret[0] = 0x40000001;
          memcpy (&ret[1], "KVMKVMKVM\0\0\0", 12);
        }
      return;
    }
  if (leaf >> 31 && name)
    switch (leaf)
      {
      case 0x80000000:
        ret[0] = 0x80000004;
        return;
      case 0x80000001:
        ret[3] = cpu->features & FEATURE_NX ? 1u << 20 : 0;
        return;
      case 0x80000002: case 0x80000003: case 0x80000004:
        {
          char text[48] = "";

          strncpy (text, name, sizeof text - 1);
          memcpy (ret, text + (leaf - 0x80000002) * 16, 16);
          return;
        }
      default:
        break;
      }
  if (leaf > max_leaf)
    leaf = max_leaf;
  switch (leaf)
    {
    case 0:
      ret[0] = max_leaf;
      memcpy (&ret[1], "Genu", 4);
      memcpy (&ret[3], "ineI", 4);
      memcpy (&ret[2], "ntel", 4);
      break;
    case 1:
      ret[0] = models[cpu->model].signature;
      ret[1] = models[cpu->model].brand | (cpu->features & FEATURE_CLFLUSH ? 8u << 8 : 0);
      ret[2] = cpu->undetectable ? 0 : 1u << 31;
      ret[3] = feature_bits (cpu);
      break;
    default:
      memcpy (ret, models[cpu->model].cache, sizeof models[cpu->model].cache);
    }
}
