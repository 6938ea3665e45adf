/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Model-specific registers (SDM vol. 4, P6 family and Pentium M tables).  A number that the model does not have, and a
 * reserved bit where the manual promises a check, is #GP(0). */
#include "cpuid.h"

#include "clock.h"
#include "exceptions.h"
#include "tlb.h"

enum
{
  MSR_P5_MC_ADDR = 0x0, MSR_P5_MC_TYPE = 0x1, MSR_TSC = 0x10, MSR_PLATFORM_ID = 0x17, MSR_APIC_BASE = 0x1b, MSR_EBL_CR_POWERON = 0x2a,
  MSR_UPDATE_TRIGGER = 0x79, MSR_BIOS_SIGN = 0x8b, MSR_PERFCTR0 = 0xc1, MSR_PERFCTR1 = 0xc2, MSR_MTRR_CAP = 0xfe, MSR_BBL_CR_CTL = 0x119,
  MSR_BBL_CR_CTL3 = 0x11e, MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_MCG_CAP = 0x179, MSR_MCG_STATUS = 0x17a,
  MSR_EVNTSEL0 = 0x186, MSR_EVNTSEL1 = 0x187, MSR_MISC_ENABLE = 0x1a0, MSR_DEBUGCTL = 0x1d9, MSR_LAST_BRANCH_FROM = 0x1db,
  MSR_LAST_EXCEPTION_TO = 0x1de, MSR_MTRR_BASE0 = 0x200, MSR_MTRR_MASK7 = 0x20f, MSR_MTRR_FIX64K = 0x250, MSR_MTRR_FIX16K_0 = 0x258,
  MSR_MTRR_FIX16K_1 = 0x259, MSR_MTRR_FIX4K_0 = 0x268, MSR_MTRR_FIX4K_7 = 0x26f, MSR_PAT = 0x277, MSR_MTRR_DEFAULT = 0x2ff,
  MSR_MC0 = 0x400, N_BANKS = 5,
};
#define MSR_EFER 0xc0000080u
#define EFER_NXE (1u << 11)

static int
fixed_mtrr (uint32_t number)
{
  if (number == MSR_MTRR_FIX64K)
    return 0;
  if (number == MSR_MTRR_FIX16K_0 || number == MSR_MTRR_FIX16K_1)
    return 1 + (int) (number - MSR_MTRR_FIX16K_0);
  if (number >= MSR_MTRR_FIX4K_0 && number <= MSR_MTRR_FIX4K_7)
    return 3 + (int) (number - MSR_MTRR_FIX4K_0);
  return -1;
}

/* Memory types: UC, WC, WT, WP, WB; PAT has UC- (7) too. */
static bool
types_valid (uint64_t types, bool pat)
{
  for (unsigned i = 0; i < 8; i++, types >>= 8)
    {
      unsigned type = types & 0xff;

      if (type > (pat ? 7u : 6u) || type == 2 || type == 3)
        return false;
    }
  return true;
}

static ExitReason
no_such (Cpu *cpu)
{
  return cpu_raise_error (cpu, VECTOR_GP, 0);
}

ExitReason
cpu_read_msr (Cpu *cpu, uint32_t number, uint64_t *ret)
{
  int fixed = fixed_mtrr (number);

  switch (number)
    {
    case MSR_P5_MC_ADDR: case MSR_P5_MC_TYPE: *ret = 0; return EXIT_NONE;
    case MSR_TSC: *ret = cpu_tsc (cpu); return EXIT_NONE;
    case MSR_APIC_BASE: *ret = cpu->apic_base; return EXIT_NONE;
    default: break;
    }
  if (cpu->model == CPU_MODEL_PENTIUM)
    {
      /* Performance monitors of the P5: CESR, CTR0, CTR1. They count nothing. */
      if (number >= 0x11 && number <= 0x13)
        {
          *ret = 0;
          return EXIT_NONE;
        }
      return no_such (cpu);
    }
  if (number == MSR_EFER && cpu->features & FEATURE_NX)
    *ret = cpu->efer;
  else if (number == MSR_MISC_ENABLE && cpu->model == CPU_MODEL_PENTIUM_M)
    *ret = cpu->misc_enable;
  else if (number == MSR_PAT && cpu->features & FEATURE_PAT)
    *ret = cpu->pat;
  else if (number >= MSR_SYSENTER_CS && number <= MSR_SYSENTER_EIP && cpu->features & FEATURE_SEP)
    *ret = number == MSR_SYSENTER_CS ? cpu->sysenter_cs : number == MSR_SYSENTER_ESP ? cpu->sysenter_esp : cpu->sysenter_eip;
  else if (number >= MSR_MTRR_BASE0 && number <= MSR_MTRR_MASK7)
    *ret = number & 1 ? cpu->mtrr_mask[(number - MSR_MTRR_BASE0) / 2] : cpu->mtrr_base[(number - MSR_MTRR_BASE0) / 2];
  else if (fixed >= 0)
    *ret = cpu->mtrr_fixed[fixed];
  else if (number >= MSR_MC0 && number < MSR_MC0 + N_BANKS * 4)
    *ret = (number & 3) == 1 ? cpu->mc_status[(number - MSR_MC0) / 4] : (number & 3) == 0 ? UINT64_MAX : 0;
  else if (number >= MSR_LAST_BRANCH_FROM && number <= MSR_LAST_EXCEPTION_TO)
    *ret = 0;
  else
    switch (number)
      {
      case MSR_PLATFORM_ID: *ret = cpu->platform_id; break;
      case MSR_EBL_CR_POWERON: *ret = 0; break;
      case MSR_BIOS_SIGN: *ret = cpu->bios_sign; break;
      case MSR_PERFCTR0: case MSR_PERFCTR1: case MSR_EVNTSEL0: case MSR_EVNTSEL1: *ret = 0; break;
      case MSR_BBL_CR_CTL: case MSR_BBL_CR_CTL3: *ret = 0; break;
      case MSR_MTRR_CAP: *ret = 0x508; break;
      case MSR_MTRR_DEFAULT: *ret = cpu->mtrr_default; break;
      case MSR_MCG_CAP: *ret = N_BANKS; break;
      case MSR_MCG_STATUS: *ret = cpu->mcg_status; break;
      case MSR_DEBUGCTL: *ret = cpu->debug_control; break;
      default: return no_such (cpu);
      }
  return EXIT_NONE;
}

ExitReason
cpu_write_msr (Cpu *cpu, uint32_t number, uint64_t value)
{
  int fixed = fixed_mtrr (number);

  switch (number)
    {
    case MSR_P5_MC_ADDR: case MSR_P5_MC_TYPE:
      return EXIT_NONE;
    case MSR_TSC:
      /* P6 and P5 write the low half only and clear the high one (SDM vol. 3, 17.17.3). */
      cpu->tsc_offset += (cpu->model == CPU_MODEL_PENTIUM_M ? value : (uint32_t) value) - cpu_tsc (cpu);
      return EXIT_NONE;
    case MSR_APIC_BASE:
      if (value & ~(0xfffff000ull | (cpu->physical_mask & ~0xffffffffull) | 0x900))
        return no_such (cpu);
      cpu->apic_base = value;
      if (cpu->lines.apic_base_written)
        cpu->lines.apic_base_written (cpu->lines.controller, value);
      return EXIT_NONE;
    default:
      break;
    }
  if (cpu->model == CPU_MODEL_PENTIUM)
    return number >= 0x11 && number <= 0x13 ? EXIT_NONE : no_such (cpu);
  if (number == MSR_EFER && cpu->features & FEATURE_NX)
    {
      if (value & ~(uint64_t) EFER_NXE)
        return no_such (cpu);
      if (cpu->efer != value)
        {
          cpu->efer = value;
          tlb_flush (cpu, true);
          if (cpu->hooks.flush_all)
            cpu->hooks.flush_all (cpu);
        }
    }
  else if (number == MSR_MISC_ENABLE && cpu->model == CPU_MODEL_PENTIUM_M)
    cpu->misc_enable = value;
  else if (number == MSR_PAT && cpu->features & FEATURE_PAT)
    {
      if (!types_valid (value, true))
        return no_such (cpu);
      cpu->pat = value;
    }
  else if (number >= MSR_SYSENTER_CS && number <= MSR_SYSENTER_EIP && cpu->features & FEATURE_SEP)
    {
      uint32_t *field = number == MSR_SYSENTER_CS ? &cpu->sysenter_cs
                        : number == MSR_SYSENTER_ESP ? &cpu->sysenter_esp : &cpu->sysenter_eip;

      *field = (uint32_t) value;
    }
  else if (number >= MSR_MTRR_BASE0 && number <= MSR_MTRR_MASK7)
    {
      unsigned i = (number - MSR_MTRR_BASE0) / 2;

      if (value & ~(cpu->physical_mask & ~(number & 1 ? 0x7ffull : 0xf00ull)))
        return no_such (cpu);
      if (!(number & 1) && !types_valid (value & 0xff, false))
        return no_such (cpu);
      *(number & 1 ? &cpu->mtrr_mask[i] : &cpu->mtrr_base[i]) = value;
    }
  else if (fixed >= 0)
    {
      if (!types_valid (value, false))
        return no_such (cpu);
      cpu->mtrr_fixed[fixed] = value;
    }
  else if (number >= MSR_MC0 && number < MSR_MC0 + N_BANKS * 4)
    {
      /* Status registers may only be cleared (SDM vol. 3, 15.3.2.2). */
      if ((number & 3) == 1)
        {
          if (value)
            return no_such (cpu);
          cpu->mc_status[(number - MSR_MC0) / 4] = 0;
        }
    }
  else
    switch (number)
      {
      case MSR_EBL_CR_POWERON: case MSR_UPDATE_TRIGGER: case MSR_PERFCTR0: case MSR_PERFCTR1: case MSR_EVNTSEL0: case MSR_EVNTSEL1:
      case MSR_BBL_CR_CTL: case MSR_BBL_CR_CTL3:
        break;
      case MSR_BIOS_SIGN: cpu->bios_sign = value; break;
      case MSR_MTRR_DEFAULT:
        if (value & ~0xcffull || !types_valid (value & 0xff, false))
          return no_such (cpu);
        cpu->mtrr_default = value;
        break;
      case MSR_MCG_STATUS: cpu->mcg_status = value & 7; break;
      case MSR_DEBUGCTL: cpu->debug_control = value & 0x7f; break;
      default: return no_such (cpu);
      }
  return EXIT_NONE;
}
