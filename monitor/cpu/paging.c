/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "paging.h"

#include "exceptions.h"
#include "memory.h"

enum
{
  PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100,
  FAULT_PRESENT = 1, FAULT_WRITE = 2, FAULT_USER = 4, FAULT_RESERVED = 8, FAULT_FETCH = 16,
};

#define PTE_NX (1ull << 63)
#define EFER_NXE (1u << 11)

typedef struct
{
  uint64_t entries[2];          /* directory entry, table entry */
  uint64_t addresses[2];
  unsigned n;                   /* levels used: 1 for a large page */
  unsigned width;               /* bytes per entry */
  uint64_t physical;
  uint32_t page_size;
  uint32_t fault;               /* FAULT_PRESENT or _RESERVED bits when the walk failed */
  bool     failed, writable, user, no_execute;
} Walk;

static uint64_t
a20 (const Cpu *cpu, uint64_t physical)
{
  return cpu->a20_masked ? physical & ~(uint64_t) (1u << 20) : physical;
}

/* 32-bit paging (SDM vol. 3, 4.3).  PSE-36 puts address bits 32 … 35 into bits 13 … 16 of a large entry. */
static void
walk_32 (Cpu *cpu, uint32_t linear, Walk *walk)
{
  uint32_t pde, pte;

  walk->width = 4;
  walk->n = 1;
  walk->addresses[0] = (cpu->cr3 & 0xfffff000u) | (linear >> 22) * 4;
  walk->entries[0] = pde = (uint32_t) physical_read (cpu, walk->addresses[0], 4);
  walk->failed = true;
  if (!(pde & PTE_P))
    return;
  walk->writable = pde & PTE_W;
  walk->user = pde & PTE_U;
  if (pde & PTE_PS && cpu->cr4 & CR4_PSE)
    {
      bool pse36 = cpu->features & FEATURE_PSE36;

      if (pde & (pse36 ? 0x003e0000u : 0x003ff000u))
        {
          walk->fault = FAULT_PRESENT | FAULT_RESERVED;
          return;
        }
      walk->page_size = 4u << 20;
      walk->physical = (pde & 0xffc00000u) | (linear & 0x003fffffu);
      if (pse36)
        walk->physical |= (uint64_t) (pde >> 13 & 0xf) << 32;
      walk->failed = false;
      return;
    }
  walk->n = 2;
  walk->addresses[1] = (pde & 0xfffff000u) | (linear >> 12 & 0x3ff) * 4;
  walk->entries[1] = pte = (uint32_t) physical_read (cpu, walk->addresses[1], 4);
  if (!(pte & PTE_P))
    return;
  walk->writable &= (pte & PTE_W) != 0;
  walk->user &= (pte & PTE_U) != 0;
  walk->page_size = 4096;
  walk->physical = (pte & 0xfffff000u) | (linear & 0xfff);
  walk->failed = false;
}

/* PAE paging (SDM vol. 3, 4.4): the PDPTEs were read when CR3 was loaded. */
static void
walk_pae (Cpu *cpu, uint32_t linear, Walk *walk)
{
  uint64_t pdpte = cpu->pdpte[linear >> 30], entry;
  uint64_t reserved = ~cpu->physical_mask & ~PTE_NX;

  if (!(cpu->efer & EFER_NXE))
    reserved |= PTE_NX;
  walk->width = 8;
  walk->failed = true;
  if (!(pdpte & PTE_P))
    return;
  walk->n = 1;
  walk->addresses[0] = (pdpte & cpu->physical_mask & ~0xfffull) | (linear >> 21 & 0x1ff) * 8;
  walk->entries[0] = entry = physical_read (cpu, walk->addresses[0], 8);
  if (!(entry & PTE_P))
    return;
  if (entry & reserved || (entry & PTE_PS && entry & 0x001fe000u))
    {
      walk->fault = FAULT_PRESENT | FAULT_RESERVED;
      return;
    }
  walk->writable = entry & PTE_W;
  walk->user = entry & PTE_U;
  walk->no_execute = entry & PTE_NX;
  if (entry & PTE_PS)
    {
      walk->page_size = 2u << 20;
      walk->physical = (entry & cpu->physical_mask & ~0x1fffffull) | (linear & 0x001fffffu);
      walk->failed = false;
      return;
    }
  walk->n = 2;
  walk->addresses[1] = (entry & cpu->physical_mask & ~0xfffull) | (linear >> 12 & 0x1ff) * 8;
  walk->entries[1] = entry = physical_read (cpu, walk->addresses[1], 8);
  if (!(entry & PTE_P))
    return;
  if (entry & reserved)
    {
      walk->fault = FAULT_PRESENT | FAULT_RESERVED;
      return;
    }
  walk->writable &= (entry & PTE_W) != 0;
  walk->user &= (entry & PTE_U) != 0;
  walk->no_execute |= (entry & PTE_NX) != 0;
  walk->page_size = 4096;
  walk->physical = (entry & cpu->physical_mask & ~0xfffull) | (linear & 0xfff);
  walk->failed = false;
}

static void
walk_tables (Cpu *cpu, uint32_t linear, Walk *walk)
{
  *walk = (Walk) { 0 };
  if (cpu->cr4 & CR4_PAE)
    walk_pae (cpu, linear, walk);
  else
    walk_32 (cpu, linear, walk);
}

static void
describe (const Cpu *cpu, const Walk *walk, PageTranslation *ret)
{
  uint64_t leaf = walk->entries[walk->n - 1];

  ret->physical = a20 (cpu, walk->physical);
  ret->user = walk->user;
  ret->global = cpu->cr4 & CR4_PGE && leaf & PTE_G;
  ret->executable = !walk->no_execute;
  ret->page_size = walk->page_size;
}

ExitReason
paging_translate (Cpu *cpu, uint32_t linear, unsigned access, PageTranslation *ret)
{
  bool write = access & ACCESS_WRITE, user = access & ACCESS_USER, allowed_write;
  uint32_t error = (write ? FAULT_WRITE : 0) | (user ? FAULT_USER : 0);
  Walk walk;

  if (!(cpu->cr0 & CR0_PG))
    {
      *ret = (PageTranslation) { a20 (cpu, linear), true, true, false, true, 4096 };
      return EXIT_NONE;
    }
  if (access & ACCESS_EXECUTE && cpu->cr4 & CR4_PAE && cpu->efer & EFER_NXE)
    error |= FAULT_FETCH;
  walk_tables (cpu, linear, &walk);
  if (walk.failed)
    return cpu_raise_page_fault (cpu, linear, error | walk.fault);
  allowed_write = walk.writable || (!user && !(cpu->cr0 & CR0_WP));
  if ((user && !walk.user) || (write && !allowed_write) || (access & ACCESS_EXECUTE && walk.no_execute))
    return cpu_raise_page_fault (cpu, linear, error | FAULT_PRESENT);
  for (unsigned i = 0; i < walk.n; i++)
    {
      uint64_t bits = PTE_A | (write && i + 1 == walk.n ? PTE_D : 0);

      if ((walk.entries[i] & bits) != bits)
        {
          walk.entries[i] |= bits;
          physical_write (cpu, walk.addresses[i], walk.width, walk.entries[i]);
        }
    }
  describe (cpu, &walk, ret);
  ret->writable = allowed_write && walk.entries[walk.n - 1] & PTE_D;
  return EXIT_NONE;
}

bool
paging_peek (Cpu *cpu, uint32_t linear, PageTranslation *ret)
{
  Walk walk;

  if (!(cpu->cr0 & CR0_PG))
    {
      *ret = (PageTranslation) { a20 (cpu, linear), true, true, false, true, 4096 };
      return true;
    }
  walk_tables (cpu, linear, &walk);
  if (walk.failed)
    return false;
  describe (cpu, &walk, ret);
  ret->writable = walk.writable;
  return true;
}

bool
paging_load_pdptes (Cpu *cpu, uint32_t cr3, uint64_t ret[4])
{
  uint64_t entries[4], reserved = ~cpu->physical_mask | 0x1e6;

  for (unsigned i = 0; i < 4; i++)
    {
      entries[i] = physical_read (cpu, (cr3 & 0xffffffe0u) + i * 8, 8);
      if (entries[i] & PTE_P && entries[i] & reserved)
        return false;
    }
  for (unsigned i = 0; i < 4; i++)
    ret[i] = entries[i];
  return true;
}
