/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The slow paths of guest memory, and the software TLB that makes them rare. See memory.h and tlb.h. */
#include "memory.h"

#include "exceptions.h"
#include "physical-memory.h"
#include "bus.h"
#include "tlb.h"

#include <string.h>

/* ---- Physical ---- */

static const PhysicalPage nowhere = { GUEST_PAGE_NONE, GUEST_PAGE_NONE };

static inline const PhysicalPage *
physical_page (const Cpu *cpu, uint64_t physical)
{
  return physical >> 32 ? &nowhere : &cpu->memory->map[physical / GUEST_PAGE_SIZE];
}

static inline uint8_t *
backing (const Cpu *cpu, uint32_t page)
{
  return cpu->memory->host + (size_t) page * GUEST_PAGE_SIZE;
}

static void
read_within_page (Cpu *cpu, uint64_t physical, void *ret_bytes, unsigned n_bytes)
{
  const PhysicalPage *page = physical_page (cpu, physical);
  uint8_t *to = ret_bytes;

  if (page->read != GUEST_PAGE_NONE)
    {
      memcpy (to, backing (cpu, page->read) + physical % GUEST_PAGE_SIZE, n_bytes);
      return;
    }
  while (n_bytes)
    {
      unsigned n = n_bytes >= 8 ? 8 : n_bytes >= 4 ? 4 : n_bytes >= 2 ? 2 : 1;
      uint64_t value = bus_read_memory (cpu->bus, physical, n);

      memcpy (to, &value, n);
      to += n;
      physical += n;
      n_bytes -= n;
    }
}

static void
write_within_page (Cpu *cpu, uint64_t physical, const void *bytes, unsigned n_bytes)
{
  const PhysicalPage *page = physical_page (cpu, physical);
  const uint8_t *from = bytes;

  if (page->write != GUEST_PAGE_NONE)
    {
      uint32_t offset = physical % GUEST_PAGE_SIZE;

      memcpy (backing (cpu, page->write) + offset, from, n_bytes);
      guest_memory_mark_written (cpu->memory, page->write, offset, n_bytes);
      return;
    }
  while (n_bytes)
    {
      unsigned n = n_bytes >= 8 ? 8 : n_bytes >= 4 ? 4 : n_bytes >= 2 ? 2 : 1;
      uint64_t value = 0;

      memcpy (&value, from, n);
      bus_write_memory (cpu->bus, physical, n, value);
      from += n;
      physical += n;
      n_bytes -= n;
    }
}

uint64_t
physical_read (Cpu *cpu, uint64_t physical, unsigned size)
{
  uint64_t value = 0;

  if (cpu->a20_masked)
    physical &= ~(uint64_t) (1u << 20);
  read_within_page (cpu, physical, &value, size);
  return value;
}

void
physical_write (Cpu *cpu, uint64_t physical, unsigned size, uint64_t value)
{
  if (cpu->a20_masked)
    physical &= ~(uint64_t) (1u << 20);
  write_within_page (cpu, physical, &value, size);
}

/* ---- TLB ---- */

static void
forget (TlbEntry *entry)
{
  entry->read_tag = entry->write_tag = entry->execute_tag = entry->walk_tag = TLB_NO_PAGE;
}

void
tlb_flush (Cpu *cpu, bool global_too)
{
  Tlb *tlb = cpu->tlb;

  tlb->epoch++;
  for (unsigned table = 0; table < 2; table++)
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
      {
        TlbEntry *entry = &tlb->tables[table][i];

        if (global_too || !(entry->physical_page & TLB_GLOBAL))
          forget (entry);
      }
  if (global_too)
    tlb->large_pages = false;
}

void
tlb_flush_linear (Cpu *cpu, uint32_t linear)
{
  Tlb *tlb = cpu->tlb;

  tlb->epoch++;
  for (unsigned table = 0; table < 2; table++)
    {
      TlbEntry *entry = tlb_entry (tlb->tables[table], linear);

      if (entry->walk_tag == (linear & ~0xfffu))
        forget (entry);
      /* One INVLPG drops the whole large page (SDM vol. 3, 4.10.4.1). */
      for (unsigned i = 0; tlb->large_pages && i < TLB_ENTRIES; i++)
        {
          entry = &tlb->tables[table][i];
          if (entry->physical_page & TLB_LARGE && ((entry->walk_tag ^ linear) & ~0x3fffffu) == 0)
            forget (entry);
        }
    }
}

void
tlb_protect_page (Cpu *cpu, uint32_t page)
{
  if (cpu->hooks.page_protected)
    cpu->hooks.page_protected (cpu, page);
  for (unsigned table = 0; table < 2; table++)
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
      if (cpu->tlb->tables[table][i].page == page)
        cpu->tlb->tables[table][i].write_tag = TLB_NO_PAGE;
}

void
tlb_protect_all (Cpu *cpu)
{
  for (unsigned table = 0; table < 2; table++)
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
      cpu->tlb->tables[table][i].write_tag = TLB_NO_PAGE;
}

static void
fill (Cpu *cpu, TlbEntry *entry, uint32_t linear, const PageTranslation *translation)
{
  uint32_t tag = linear & ~0xfffu;
  const PhysicalPage *page = physical_page (cpu, translation->physical);

  forget (entry);
  entry->walk_tag = tag;
  entry->physical_page = (uint32_t) (translation->physical >> 12) << 8 | (translation->writable ? TLB_RIGHT_WRITE : 0)
                         | (translation->executable ? TLB_RIGHT_EXECUTE : 0) | (translation->global ? TLB_GLOBAL : 0);
  if (translation->page_size > 4096)
    {
      entry->physical_page |= TLB_LARGE;
      cpu->tlb->large_pages = true;
    }
  entry->page = page->read;
  if (page->read != GUEST_PAGE_NONE)
    {
      entry->addend = (uintptr_t) backing (cpu, page->read) - tag;
      entry->read_tag = tag;
      if (translation->executable)
        entry->execute_tag = tag;
    }
}

/* After a write: may the next one be fast? */
static void
allow_fast_write (Cpu *cpu, TlbEntry *entry)
{
  uint64_t physical = (uint64_t) (entry->physical_page >> 8) << 12;
  const PhysicalPage *page = physical_page (cpu, physical);

  if (entry->walk_tag != TLB_NO_PAGE && entry->physical_page & TLB_RIGHT_WRITE && page->write != GUEST_PAGE_NONE
      && page->write == page->read && (cpu->memory->page_flags[page->write] & (PAGE_DIRTY | PAGE_CODE)) == PAGE_DIRTY)
    entry->write_tag = entry->walk_tag;
}

/* Physical address of linear, by TLB or walk. */
static ExitReason
translate (Cpu *cpu, uint32_t linear, unsigned access, uint64_t *ret_physical, TlbEntry **ret_entry)
{
  TlbEntry *entry = tlb_entry (cpu->tlb->tables[access & ACCESS_USER ? 1 : 0], linear);
  unsigned rights = (access & ACCESS_WRITE ? TLB_RIGHT_WRITE : 0) | (access & ACCESS_EXECUTE ? TLB_RIGHT_EXECUTE : 0);

  if (entry->walk_tag != (linear & ~0xfffu) || (entry->physical_page & rights) != rights)
    {
      PageTranslation translation;

      if (paging_translate (cpu, linear, access, &translation))
        {
          if (entry->walk_tag == (linear & ~0xfffu))
            forget (entry);
          return EXIT_FAULT;
        }
      fill (cpu, entry, linear, &translation);
    }
  *ret_physical = (uint64_t) (entry->physical_page >> 8) << 12 | (linear & 0xfff);
  *ret_entry = entry;
  return EXIT_NONE;
}

/* ---- Linear ---- */

ExitReason
memory_read (Cpu *cpu, uint32_t linear, void *ret_bytes, unsigned n_bytes, unsigned access)
{
  unsigned first = GUEST_PAGE_SIZE - (linear & 0xfff);
  uint64_t physical, second;
  TlbEntry *entry;

  if (translate (cpu, linear, access, &physical, &entry))
    return EXIT_FAULT;
  if (n_bytes <= first)
    {
      read_within_page (cpu, physical, ret_bytes, n_bytes);
      return EXIT_NONE;
    }
  if (translate (cpu, linear + first, access, &second, &entry))
    return EXIT_FAULT;
  read_within_page (cpu, physical, ret_bytes, first);
  read_within_page (cpu, second, (uint8_t *) ret_bytes + first, n_bytes - first);
  return EXIT_NONE;
}

ExitReason
memory_write (Cpu *cpu, uint32_t linear, const void *bytes, unsigned n_bytes, unsigned access)
{
  unsigned first = GUEST_PAGE_SIZE - (linear & 0xfff);
  uint64_t physical, second;
  TlbEntry *entry, *second_entry;

  access |= ACCESS_WRITE;
  if (translate (cpu, linear, access, &physical, &entry))
    return EXIT_FAULT;
  if (n_bytes <= first)
    {
      write_within_page (cpu, physical, bytes, n_bytes);
      allow_fast_write (cpu, entry);
      return EXIT_NONE;
    }
  if (translate (cpu, linear + first, access, &second, &second_entry))
    return EXIT_FAULT;
  write_within_page (cpu, physical, bytes, first);
  write_within_page (cpu, second, (const uint8_t *) bytes + first, n_bytes - first);
  allow_fast_write (cpu, second_entry);
  return EXIT_NONE;
}

ExitReason
memory_probe (Cpu *cpu, uint32_t linear, unsigned n_bytes, unsigned access)
{
  uint64_t physical;
  TlbEntry *entry;

  if (n_bytes == 0)
    return EXIT_NONE;
  if (translate (cpu, linear, access, &physical, &entry))
    return EXIT_FAULT;
  if ((linear & 0xfff) + n_bytes > GUEST_PAGE_SIZE)
    return translate (cpu, (linear + n_bytes - 1) & ~(GUEST_PAGE_SIZE - 1), access, &physical, &entry);     /* CR2: its first byte */
  return EXIT_NONE;
}

ExitReason
memory_fetch (Cpu *cpu, uint32_t linear, uint32_t *ret_page)
{
  uint64_t physical;
  TlbEntry *entry;

  if (translate (cpu, linear, ACCESS_EXECUTE | (cpu->cpl == 3 ? ACCESS_USER : 0), &physical, &entry))
    return EXIT_FAULT;
  *ret_page = entry->page;
  return EXIT_NONE;
}

uint8_t *
memory_direct (Cpu *cpu, uint32_t linear, unsigned n_bytes, unsigned access)
{
  TlbEntry *entry = tlb_entry (cpu->tlb->tables[access & ACCESS_USER ? 1 : 0], linear);
  uint32_t tag = linear & ~0xfffu;

  if (access & ACCESS_WRITE ? entry->write_tag == tag : entry->read_tag == tag)
    return (uint8_t *) (entry->addend + linear);
  if (access & ACCESS_WRITE && entry->walk_tag == tag && entry->physical_page & TLB_RIGHT_WRITE)
    {
      uint64_t physical = (uint64_t) (entry->physical_page >> 8) << 12;
      const PhysicalPage *page = physical_page (cpu, physical);

      if (page->write == GUEST_PAGE_NONE)
        return NULL;
      guest_memory_mark_written (cpu->memory, page->write, linear & 0xfff, n_bytes);
      allow_fast_write (cpu, entry);
      return backing (cpu, page->write) + (linear & 0xfff);
    }
  return NULL;
}

/* ---- Segmented ---- */

/* SDM vol. 3, 5.3 … 5.5: presence, type and limit. */
bool
segment_allows (const Segment *segment, uint32_t offset, unsigned n_bytes, bool write)
{
  unsigned attributes = segment->attributes;
  uint64_t last = (uint64_t) offset + n_bytes - 1;

  if (!(attributes & SEGMENT_P) || !(attributes & SEGMENT_S))
    return false;
  if (attributes & SEGMENT_CODE)
    {
      if (write || !(attributes & SEGMENT_READABLE))
        return false;
    }
  else
    {
      if (write && !(attributes & SEGMENT_WRITABLE))
        return false;
      if (attributes & SEGMENT_EXPAND_DOWN)
        return offset > segment->limit && last <= (attributes & SEGMENT_DB ? 0xffffffffu : 0xffffu);
    }
  return last <= segment->limit;
}

static void
note_data_breakpoints (Cpu *cpu, uint32_t linear, unsigned n_bytes, bool write)
{
  for (unsigned i = 0; i < 4; i++)
    {
      unsigned kind = cpu->dr[7] >> (16 + i * 4) & 3, length = (cpu->dr[7] >> (18 + i * 4) & 3) + 1;

      if (!(cpu->dr[7] >> (i * 2) & 3) || !(kind == 3 || (kind == 1 && write)))
        continue;
      /* The address is taken at the boundary of its length (SDM vol. 3, 17.2.5). */
      if ((uint64_t) (cpu->dr[i] & ~(length - 1)) < (uint64_t) linear + n_bytes
          && linear <= (cpu->dr[i] & ~(length - 1)) + (length - 1))
        cpu->debug_hits |= (uint8_t) (1 << i);
    }
}

static ExitReason
check (Cpu *cpu, unsigned segment, uint32_t offset, unsigned n_bytes, unsigned alignment, bool write)
{
  uint32_t linear = cpu->segments[segment].base + offset;

  if (!segment_allows (&cpu->segments[segment], offset, n_bytes, write))
    return cpu_raise_error (cpu, segment == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
  if (cpu->tlb->slow && linear & (alignment - 1) && cpu->cpl == 3 && cpu->cr0 & CR0_AM && cpu->eflags & EFLAGS_AC)
    return cpu_raise_error (cpu, VECTOR_AC, 0);
  return EXIT_NONE;
}

ExitReason
cpu_read_bytes (Cpu *cpu, unsigned segment, uint32_t offset, void *ret_bytes, unsigned n_bytes, unsigned alignment)
{
  uint32_t linear = cpu->segments[segment].base + offset;

  if (check (cpu, segment, offset, n_bytes, alignment, false)
      || memory_read (cpu, linear, ret_bytes, n_bytes, cpu->tlb->user ? ACCESS_USER : 0))
    return EXIT_FAULT;
  if (cpu->tlb->slow)
    note_data_breakpoints (cpu, linear, n_bytes, false);
  return EXIT_NONE;
}

ExitReason
cpu_write_bytes (Cpu *cpu, unsigned segment, uint32_t offset, const void *bytes, unsigned n_bytes, unsigned alignment)
{
  uint32_t linear = cpu->segments[segment].base + offset;

  if (check (cpu, segment, offset, n_bytes, alignment, true)
      || memory_write (cpu, linear, bytes, n_bytes, cpu->tlb->user ? ACCESS_USER : 0))
    return EXIT_FAULT;
  if (cpu->tlb->slow)
    note_data_breakpoints (cpu, linear, n_bytes, true);
  return EXIT_NONE;
}

ExitReason
cpu_check_write (Cpu *cpu, unsigned segment, uint32_t offset, unsigned n_bytes, unsigned alignment)
{
  if (check (cpu, segment, offset, n_bytes, alignment, true))
    return EXIT_FAULT;
  return memory_probe (cpu, cpu->segments[segment].base + offset, n_bytes,
                       ACCESS_WRITE | (cpu->tlb->user ? ACCESS_USER : 0));
}

ExitReason
cpu_check_read (Cpu *cpu, unsigned segment, uint32_t offset, unsigned n_bytes, unsigned alignment)
{
  if (check (cpu, segment, offset, n_bytes, alignment, false))
    return EXIT_FAULT;
  return memory_probe (cpu, cpu->segments[segment].base + offset, n_bytes, cpu->tlb->user ? ACCESS_USER : 0);
}

/* Checked before: this cannot fail. */
void
cpu_write_linear (Cpu *cpu, uint32_t linear, const void *bytes, unsigned n_bytes)
{
  memory_write (cpu, linear, bytes, n_bytes, cpu->tlb->user ? ACCESS_USER : 0);
  if (cpu->tlb->slow)
    note_data_breakpoints (cpu, linear, n_bytes, true);
}

/* ---- Derived state ---- */

static void
segment_changed (Cpu *cpu, unsigned number)
{
  Tlb *tlb = cpu->tlb;
  const Segment *segment = &cpu->segments[number];
  unsigned attributes = segment->attributes;

  tlb->read_max[number] = tlb->write_max[number] = -1;
  if (tlb->slow || !(attributes & SEGMENT_P) || !(attributes & SEGMENT_S))
    return;
  if (attributes & SEGMENT_CODE)
    {
      if (attributes & SEGMENT_READABLE)
        tlb->read_max[number] = segment->limit;
    }
  else if (!(attributes & SEGMENT_EXPAND_DOWN))
    {
      tlb->read_max[number] = segment->limit;
      if (attributes & SEGMENT_WRITABLE)
        tlb->write_max[number] = segment->limit;
    }
}

void
cpu_segment_changed (Cpu *cpu, unsigned segment)
{
  segment_changed (cpu, segment);
  if (segment == SEG_SS)
    cpu->tlb->stack_mask = cpu->segments[SEG_SS].attributes & SEGMENT_DB ? 0xffffffffu : 0xffffu;
}

void
cpu_changed (Cpu *cpu)
{
  Tlb *tlb = cpu->tlb;

  tlb->user = cpu->cpl == 3;
  tlb->data = tlb->tables[tlb->user];
  tlb->slow = tlb->user && cpu->cr0 & CR0_AM && cpu->eflags & EFLAGS_AC;
  for (unsigned i = 0; i < 4; i++)
    if (cpu->dr[7] >> (i * 2) & 3 && cpu->dr[7] >> (16 + i * 4) & 1)
      tlb->slow = true;
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    segment_changed (cpu, i);
  tlb->stack_mask = cpu->segments[SEG_SS].attributes & SEGMENT_DB ? 0xffffffffu : 0xffffu;
}
