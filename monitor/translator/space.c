/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Linear address spaces as host mappings: the window.
 *
 * A space is 4 GiB of reserved addresses with as much guard after it.  Pages appear in it one fault at a time, as
 * shared mappings of the memory file, and are what a TLB entry is to hardware: they may be dropped at any time, and
 * must be dropped when the architecture flushes.  The rules:
 *
 *   - A page is writable in a window only when the page tables allow the write, the dirty bit is set, reads and writes
 *     reach the same backing page, that page is already PAGE_DIRTY and is not PAGE_CODE.
 *   - Each user space has its own (CR3) window.  All supervisor mappings share one window whatever CR3 is: kernels map
 *     themselves alike everywhere.
 *   - A flush (CR3, PGE) drops nothing.  For every page table that a window's pages came from, a copy of its 4 KiB is
 *     kept; before a space is used again after a flush, tables are compared with their copies (some 80 ns each) and the
 *     pages behind changed entries go.  New accessed or dirty bits are no change.
 *   - INVLPG drops one page in the spaces that it concerns now; the others are compared at their next use.
 *
 * The host bounds the number of mappings (vm.max_map_count); when a budget below it is spent, the least recently used
 * windows are emptied, one call each. */
#include "translator.h"

#include "flat-memory.h"

#include "paging.h"
#include "physical-memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80 };
enum { AROUND_PAGES = 16 };

typedef struct
{
  uint32_t physical_page, backing;      /* backing page that answers reads, or GUEST_PAGE_NONE */
  bool     writable;                    /* rights allow it and the dirty bit is set */
  bool     user, large;
  bool     accessed;
  bool     executable;
} Walk;

static uint8_t *
table_host (Translator *self, uint64_t physical, uint32_t *ret_backing)
{
  GuestMemory *memory = self->cpu->memory;
  uint32_t page;

  if (physical >> 32)
    return NULL;
  page = memory->map[physical >> 12].read;
  if (page == GUEST_PAGE_NONE || memory->map[physical >> 12].write != page)
    return NULL;
  *ret_backing = page;
  return memory->host + ((size_t) page << 12);
}

static uint64_t
read_entry (const uint8_t *table, unsigned index, unsigned entry_bytes)
{
  uint64_t value = 0;

  memcpy (&value, table + (size_t) index * entry_bytes, entry_bytes);
  return value;
}

static void
set_entry_bits (Translator *self, uint8_t *table, uint32_t backing, unsigned index, unsigned entry_bytes, uint32_t bits)
{
  uint8_t *entry = table + (size_t) index * entry_bytes;
  uint32_t value;

  memcpy (&value, entry, 4);
  if ((value & bits) == bits)
    return;
  value |= bits;
  memcpy (entry, &value, 4);
  guest_memory_mark_written (self->cpu->memory, backing, (uint32_t) (index * entry_bytes), 4);
}

/* Remembers what a table said, so that a change is found after the next flush. */
static bool
watch_entry (Space *space, const uint8_t *table, uint32_t linear, unsigned shift, unsigned index, unsigned entry_bytes)
{
  TableShadow *free_shadow = NULL;
  uint32_t span_shift = shift + (entry_bytes == 8 ? 9 : 10);
  uint32_t first = span_shift >= 32 ? 0 : linear >> span_shift << span_shift;

  for (uint32_t i = 0; i < space->n_tables; i++)
    {
      TableShadow *shadow = &space->tables[i];

      if (!shadow->in_use)
        free_shadow = shadow;
      else if (shadow->shift == shift && shadow->linear == first)
        {
          if (shadow->host != table)
            return false;               /* not the table it was: revalidation has not run */
          memcpy (shadow->copy + (size_t) index * entry_bytes, table + (size_t) index * entry_bytes, entry_bytes);
          return true;
        }
    }
  if (!free_shadow)
    {
      if (space->n_tables == MAX_TABLES)
        return false;
      free_shadow = &space->tables[space->n_tables++];
    }
  free_shadow->in_use = true;
  free_shadow->host = table;
  free_shadow->linear = first;
  free_shadow->shift = (uint8_t) shift;
  free_shadow->entry_bytes = (uint8_t) entry_bytes;
  memcpy (free_shadow->copy, table, 4096);
  return true;
}

/* Walks the guest's tables.  commit: an access really happens; accessed and dirty bits are set and tables watched.
 * False: the access would fault, or the tables are not plain memory. */
/* Address space for tables that are mostly holes.  Shared, so that it does not count against RLIMIT_DATA, which the
 * sandbox sets and which counts what could be touched. */
void *
translator_reserve (size_t n_bytes)
{
  void *bytes = mmap (NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  return bytes == MAP_FAILED ? NULL : bytes;
}

static bool
walk (Translator *self, Space *space, uint32_t linear, bool write, bool commit, Walk *ret)
{
  Cpu *cpu = self->cpu;
  GuestMemory *memory = cpu->memory;
  bool pae = cpu->cr4 & CR4_PAE;
  unsigned entry_bytes = pae ? 8 : 4, levels = 2;
  unsigned shifts[2] = { pae ? 21 : 22, 12 }, masks[2] = { pae ? 511 : 1023, pae ? 511 : 1023 };
  uint8_t *tables[2];
  uint32_t backings[2];
  uint64_t entries[2], next, physical;
  bool writable = true, user = true, large = false;
  uint32_t dirty_bits;

  if (!space->paging)
    {
      physical = cpu->a20_masked ? linear & ~(1u << 20) : linear;
      *ret = (Walk) { (uint32_t) (physical >> 12), memory->map[physical >> 12].read, true, true, true, true, true };
      return true;
    }
  if (pae)
    {
      uint64_t pdpte = cpu->pdpte[linear >> 30];

      if (!(pdpte & PTE_P))
        return false;
      next = pdpte & cpu->physical_mask & ~0xfffull;
    }
  else
    next = cpu->cr3 & ~0xfffu;
  for (levels = 0; levels < 2; levels++)
    {
      unsigned index = linear >> shifts[levels] & masks[levels];

      if (cpu->a20_masked)
        next &= ~(1ull << 20);
      tables[levels] = table_host (self, next, &backings[levels]);
      if (!tables[levels])
        return false;
      entries[levels] = read_entry (tables[levels], index, entry_bytes);
      if (!(entries[levels] & PTE_P))
        return false;
      writable = writable && entries[levels] & PTE_W;
      user = user && entries[levels] & PTE_U;
      if (levels == 0 && entries[0] & PTE_PS && (pae || cpu->cr4 & CR4_PSE))
        {
          large = true;
          levels = 1;
          break;
        }
      next = entries[levels] & (pae ? cpu->physical_mask & ~0xfffull : 0xfffff000u);
    }
  if (levels > 2)
    levels = 2;
  if (space->user ? !user || (write && !writable) : write && !writable && cpu->cr0 & CR0_WP)
    return false;
  if (!space->user && !(cpu->cr0 & CR0_WP))
    writable = true;
  if (large)
    {
      /* Reserved bits and PSE-36 addresses are the walker's business, which the interpreter asks. */
      if (pae ? entries[0] & 0x1fe000 : entries[0] & 0x3fe000)
        return false;
      physical = pae ? (entries[0] & cpu->physical_mask & ~0x1fffffull) | (linear & 0x1ff000)
                     : (entries[0] & 0xffc00000) | (linear & 0x3ff000);
    }
  else
    physical = next;
  if (pae)
    for (unsigned i = 0; i < levels; i++)
      if (entries[i] & ~(cpu->physical_mask | 1ull << 63) & ~0xfffull)
        return false;
  if (cpu->a20_masked)
    physical &= ~(1ull << 20);
  if (physical >> 32)
    return false;
  dirty_bits = PTE_A | (write ? PTE_D : 0);
  ret->accessed = ret->executable = true;
  if (pae && cpu->efer & 1 << 11)
    for (unsigned i = 0; i < levels; i++)
      if (entries[i] >> 63)
        ret->executable = false;
  for (unsigned i = 0; i < levels; i++)
    {
      unsigned index = linear >> shifts[i] & masks[i];
      uint32_t bits = i + 1 == levels ? dirty_bits : PTE_A;

      if (commit)
        {
          set_entry_bits (self, tables[i], backings[i], index, entry_bytes, bits);
          if (!watch_entry (space, tables[i], linear, shifts[i], index, entry_bytes))
            return false;
          entries[i] |= bits;
        }
      else if (!(entries[i] & PTE_A))
        ret->accessed = false;
    }
  ret->physical_page = (uint32_t) (physical >> 12);
  ret->backing = memory->map[physical >> 12].read;
  ret->writable = writable && entries[levels - 1] & PTE_D;
  ret->user = user;
  ret->large = large;
  return true;
}

/* ---- Mappings ---- */

static void
link_mapping (Translator *self, uint32_t number)
{
  Mapping *mapping = &self->mappings[number];
  uint32_t *head = &self->backing_mappings[mapping->backing];

  mapping->previous = 0;
  mapping->next = *head;
  if (*head)
    self->mappings[*head - 1].previous = number + 1;
  *head = number + 1;
}

static void
free_mapping (Translator *self, uint32_t number)
{
  Mapping *mapping = &self->mappings[number];

  if (mapping->previous)
    self->mappings[mapping->previous - 1].next = mapping->next;
  else
    self->backing_mappings[mapping->backing] = mapping->next;
  if (mapping->next)
    self->mappings[mapping->next - 1].previous = mapping->previous;
  mapping->backing = GUEST_PAGE_NONE;
  mapping->next = self->free_mapping;
  self->free_mapping = number + 1;
}

static bool
note_mapping (Translator *self, Space *space, uint32_t linear_page, uint32_t physical_page, uint32_t backing, bool writable)
{
  uint32_t state = space->pages[linear_page], number;

  if (state)
    {
      number = (state & ~SPACE_PAGE_WRITABLE) - 1;
      if (self->mappings[number].backing == backing)
        {
          self->mappings[number].writable = writable;
          space->pages[linear_page] = (number + 1) | (writable ? SPACE_PAGE_WRITABLE : 0);
          return true;
        }
      free_mapping (self, number);
      space->pages[linear_page] = 0;
      space->n_mapped--;
    }
  if (self->free_mapping)
    {
      number = self->free_mapping - 1;
      self->free_mapping = self->mappings[number].next;
    }
  else if (self->n_mappings < MAX_MAPPINGS)
    number = self->n_mappings++;
  else
    return false;
  self->mappings[number] = (Mapping) { backing, linear_page, physical_page, (uint16_t) (space - self->spaces), writable, 0, 0 };
  link_mapping (self, number);
  space->pages[linear_page] = (number + 1) | (writable ? SPACE_PAGE_WRITABLE : 0);
  space->n_mapped++;
  return true;
}

/* Forgets pages without touching the host's mappings. */
static uint32_t
forget_pages (Translator *self, Space *space, uint32_t first, uint32_t n)
{
  uint32_t n_found = 0;

  for (uint32_t page = first; page < first + n; page++)
    if (space->pages[page])
      {
        free_mapping (self, (space->pages[page] & ~SPACE_PAGE_WRITABLE) - 1);
        space->pages[page] = 0;
        n_found++;
      }
  space->n_mapped -= n_found;
  return n_found;
}

static void
forget_code (Translator *self, Space *space, uint32_t first, uint32_t n)
{
  for (unsigned i = 0; i < VIEWS_PER_SPACE; i++)
    {
      View *view = space->views[i];

      if (!view || !view->n_installed)
        continue;
      if (n == 1)
        {
          if (view->code_at[first])
            unit_forget_page (self, view, first);
          continue;
        }
      /* Forgetting one page may take its neighbour along. */
      for (uint32_t k = view->n_installed; k > 0; k--)
        {
          if (k > view->n_installed)
            k = view->n_installed;
          if (k > 0 && view->installed[k - 1] - first < n)
            unit_forget_page (self, view, view->installed[k - 1]);
          if (k == 0)
            break;
        }
    }
}

void
space_unmap (Translator *self, Space *space, uint32_t first, uint32_t n)
{
  forget_code (self, space, first, n);
  if (!space->n_mapped)
    return;
  if (n > 4096 && space->n_mapped < n / 64)
    {
      /* Few pages in a large range: find them by their mappings. */
      for (uint32_t i = 0; i < self->n_mappings; i++)
        {
          Mapping *mapping = &self->mappings[i];

          if (mapping->backing != GUEST_PAGE_NONE && mapping->space == space - self->spaces && mapping->linear_page - first < n)
            {
              uint32_t page = mapping->linear_page;

              forget_pages (self, space, page, 1);
              mmap (space->window + ((size_t) page << 12), 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
            }
        }
      return;
    }
  for (uint32_t page = first; page < first + n;)
    {
      uint32_t end;

      if (!space->pages[page])
        {
          page++;
          continue;
        }
      /* One call for a run; holes in it were unmapped already. */
      end = page + 1;
      for (uint32_t gap = 0, k = end; k < first + n && gap < 16; k++)
        if (space->pages[k])
          {
            end = k + 1;
            gap = 0;
          }
        else
          gap++;
      forget_pages (self, space, page, end - page);
      if (mmap (space->window + ((size_t) page << 12), (size_t) (end - page) << 12, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        {
          space_unmap_all (self, space);
          return;
        }
      page = end;
    }
}

/* Empties a window. */
void
space_unmap_all (Translator *self, Space *space)
{
  if (space->n_mapped)
    {
      for (uint32_t i = 0; i < self->n_mappings; i++)
        if (self->mappings[i].backing != GUEST_PAGE_NONE && self->mappings[i].space == space - self->spaces)
          {
            space->pages[self->mappings[i].linear_page] = 0;
            free_mapping (self, i);
          }
      space->n_mapped = 0;
    }
  if (space->n_vmas)
    {
      /* In one step: in a hole another thread's memory could come to lie.  Only when the host refuses it (too many
       * mappings) the range is given up first, and the space with it should someone else have been quicker. */
      if (mmap (space->window, WINDOW_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        {
          munmap (space->window, WINDOW_BYTES);
          if (mmap (space->window, WINDOW_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0)
              == MAP_FAILED)
            {
              space->lost = true;
              self->generation++;
            }
        }
      self->n_vmas -= space->n_vmas;
      space->n_vmas = 0;
    }
  forget_code (self, space, 0, 1 << 20);
  for (uint32_t i = 0; i < space->n_tables; i++)
    space->tables[i].in_use = false;
  space->n_tables = 0;
}

void
space_drop_all (Translator *self)
{
  for (unsigned i = 0; i < MAX_SPACES; i++)
    if (self->spaces[i].in_use)
      space_unmap_all (self, &self->spaces[i]);
  self->generation++;
  self->reset_pairs = true;
}

static void
make_room (Translator *self, Space *keep)
{
  while (self->n_vmas + 2 > self->vma_budget)
    {
      Space *victim = NULL;

      for (unsigned i = 0; i < MAX_SPACES; i++)
        {
          Space *space = &self->spaces[i];

          if (space->in_use && space != keep && space->n_vmas && (!victim || space->last_used < victim->last_used))
            victim = space;
        }
      if (!victim)
        victim = keep;
      space_unmap_all (self, victim);
      if (victim == keep)
        break;
    }
}

/* Whether the page that `walk` found may be written through the window at once. */
static bool
writable_now (Translator *self, const Walk *walk, bool write)
{
  GuestMemory *memory = self->cpu->memory;

  if (!walk->writable || memory->map[walk->physical_page].write != walk->backing || memory->page_flags[walk->backing] & PAGE_CODE)
    return false;
  /* Video memory: a clean page is one that the display need not draw again. */
  return write || walk->backing < memory->n_ram_pages || memory->page_flags[walk->backing] & PAGE_DIRTY;
}

bool
space_map_fault (Translator *self, Space *space, uint32_t linear, bool write, bool wanted)
{
  GuestMemory *memory = self->cpu->memory;
  uint32_t page = linear >> 12, first = page, n = 1;
  Walk found, other;
  bool writable;
  void *address;
  int protection;

  self->fault_is_guests = false;
  if (space->lost)
    return false;
  if (!walk (self, space, linear, write, true, &found))
    {
      self->fault_is_guests = true;
      if (space->n_tables < MAX_TABLES)
        return false;
      /* Perhaps only for want of room to watch another table. */
      space_unmap_all (self, space);
      if (!walk (self, space, linear, write, true, &found))
        return false;
    }
  if (found.backing == GUEST_PAGE_NONE)
    return false;
  /* Supervisor code at user pages: they go with the next process.  Soft sites do better, until one insists. */
  if (space->paging && !space->user && found.user && !wanted)
    return false;
  writable = writable_now (self, &found, write);
  if (write && !writable)
    return false;
  if (space->pages[page])
    {
      Mapping *mapping = &self->mappings[(space->pages[page] & ~SPACE_PAGE_WRITABLE) - 1];

      if (mapping->backing == found.backing && mapping->writable >= writable)
        {
          /* It was there already: a fault for another reason (or the guest changed its tables back). */
          if (mapping->writable || !write)
            return false;
        }
    }
  /* Neighbours that would fault alike, while the mapping stays one range of the file. */
  if (!space->pages[page])
    {
      uint32_t low = page & ~(AROUND_PAGES - 1u), high = low + AROUND_PAGES;

      while (first > low && !space->pages[first - 1] && walk (self, space, (first - 1) << 12, false, false, &other)
             && other.accessed && other.backing == found.backing - (page - (first - 1)) && other.backing != GUEST_PAGE_NONE
             && found.backing >= page - (first - 1) && writable_now (self, &other, false) == writable)
        first--;
      n = page - first + 1;
      while (first + n < high && !space->pages[first + n] && walk (self, space, (first + n) << 12, false, false, &other)
             && other.accessed && other.backing == found.backing + (first + n - page) && other.backing != GUEST_PAGE_NONE
             && writable_now (self, &other, false) == writable)
        n++;
    }
  if (self->n_vmas + 2 > self->vma_budget)
    make_room (self, space);
  if (space->lost)
    return false;
  address = space->window + ((size_t) first << 12);
  protection = PROT_READ | (writable ? PROT_WRITE : 0);
  if (mmap (address, (size_t) n << 12, protection, MAP_SHARED | MAP_FIXED | (n > 1 ? MAP_POPULATE : 0), memory->fd,
            (off_t) (found.backing - (page - first)) << 12) == MAP_FAILED)
    {
      space_drop_all (self);
      return false;
    }
  self->n_vmas += 2;
  space->n_vmas += 2;
  self->n_maps++;
  for (uint32_t i = 0; i < n; i++)
    {
      uint32_t backing = found.backing - (page - first) + i;

      if (writable)
        memory->page_flags[backing] |= PAGE_DIRTY;
      if (n > 1 && space->paging && first + i != page)
        walk (self, space, (first + i) << 12, false, true, &other);      /* its tables are watched too */
      if (!note_mapping (self, space, first + i, found.physical_page - (page - first) + i, backing, writable))
        {
          space_drop_all (self);
          return false;
        }
    }
  return true;
}

bool
space_translate_code (Translator *self, Space *space, uint32_t linear, uint32_t *ret_backing, uint32_t *ret_region)
{
  Walk found;

  if (!walk (self, space, linear, false, true, &found) || found.backing == GUEST_PAGE_NONE || !found.executable)
    return false;
  *ret_backing = found.backing;
  /* What direct links inside the region may rely on: all of it is mapped by one entry, evenly. */
  *ret_region = !space->paging ? 1 : found.large && !(self->cpu->cr4 & CR4_PAE) ? 0x1000 | linear >> 22 : 0;
  return true;
}

void
space_protect_backing (Translator *self, uint32_t backing)
{
  for (uint32_t i = self->backing_mappings[backing]; i; i = self->mappings[i - 1].next)
    {
      Mapping *mapping = &self->mappings[i - 1];
      Space *space = &self->spaces[mapping->space];

      if (!mapping->writable)
        continue;
      mapping->writable = false;
      space->pages[mapping->linear_page] &= ~SPACE_PAGE_WRITABLE;
      if (mprotect (space->window + ((size_t) mapping->linear_page << 12), 4096, PROT_READ) < 0)
        {
          space_drop_all (self);
          return;
        }
      self->n_vmas += 2;
      space->n_vmas += 2;
    }
}

void
space_unmap_backing (Translator *self, uint32_t backing)
{
  while (self->backing_mappings[backing])
    {
      Mapping *mapping = &self->mappings[self->backing_mappings[backing] - 1];

      space_unmap (self, &self->spaces[mapping->space], mapping->linear_page, 1);
    }
}

void
space_flush_linear (Translator *self, uint32_t linear)
{
  for (unsigned i = 0; i < MAX_SPACES; i++)
    {
      Space *space = &self->spaces[i];
      bool large = false;

      if (!space->in_use || !space->paging)
        continue;
      if (space->user && space->cr3 != self->cpu->cr3)
        continue;                       /* compared before it runs again */
      /* The page may belong to a large one now or have done so when it was mapped: then all of that goes. */
      for (uint32_t k = 0; k < space->n_tables; k++)
        {
          TableShadow *shadow = &space->tables[k];

          if (shadow->in_use && shadow->shift > 12 && (linear - shadow->linear) >> shadow->shift < (4096u / shadow->entry_bytes))
            large = large || read_entry (shadow->copy, (linear - shadow->linear) >> shadow->shift, shadow->entry_bytes) & PTE_PS;
        }
      if (large)
        {
          unsigned shift = self->cpu->cr4 & CR4_PAE ? 21 : 22;

          space_unmap (self, space, linear >> shift << (shift - 12), 1u << (shift - 12));
        }
      else
        space_unmap (self, space, linear >> 12, 1);
    }
}

/* ---- Spaces and views ---- */

static void
drop_tables_in (Space *space, uint32_t linear, uint64_t n_bytes, unsigned above_shift)
{
  for (uint32_t i = 0; i < space->n_tables; i++)
    {
      TableShadow *shadow = &space->tables[i];

      if (shadow->in_use && shadow->shift < above_shift && (uint64_t) (shadow->linear - linear) < n_bytes)
        shadow->in_use = false;
    }
}

static void
compare_table (Translator *self, Space *space, TableShadow *shadow)
{
  unsigned n = 4096 / shadow->entry_bytes;

  if (!memcmp (shadow->host, shadow->copy, 4096))
    return;
  for (unsigned i = 0; i < n;)
    {
      uint64_t old, now;

      if (i % (64 / shadow->entry_bytes) == 0
          && !memcmp (shadow->host + (size_t) i * shadow->entry_bytes, shadow->copy + (size_t) i * shadow->entry_bytes, 64))
        {
          i += 64 / shadow->entry_bytes;
          continue;
        }
      old = read_entry (shadow->copy, i, shadow->entry_bytes);
      now = read_entry (shadow->host, i, shadow->entry_bytes);
      if (old != now)
        {
          uint64_t n_bytes = 1ull << shadow->shift;
          uint32_t linear = shadow->linear + ((uint32_t) i << shadow->shift);

          memcpy (shadow->copy + (size_t) i * shadow->entry_bytes, &now, shadow->entry_bytes);
          if (old & PTE_P && ((old ^ now) & ~(uint64_t) (PTE_A | PTE_D) || old & ~now))
            {
              /* A run of changed small pages goes in one call. */
              uint32_t last = i;

              while (shadow->shift == 12 && last + 1 < n && (last + 1) % (64 / shadow->entry_bytes))
                {
                  uint64_t next_old = read_entry (shadow->copy, last + 1, shadow->entry_bytes);
                  uint64_t next_now = read_entry (shadow->host, last + 1, shadow->entry_bytes);

                  if (next_old == next_now)
                    break;
                  last++;
                  memcpy (shadow->copy + (size_t) last * shadow->entry_bytes, &next_now, shadow->entry_bytes);
                }
              if (shadow->shift > 12)
                drop_tables_in (space, linear, n_bytes, shadow->shift);
              space_unmap (self, space, linear >> 12, (uint32_t) (n_bytes >> 12) * (last - i + 1));
              i = last;
              if (!shadow->in_use)
                return;
            }
        }
      i++;
    }
}

void
space_revalidate (Translator *self, Space *space)
{
  Cpu *cpu = self->cpu;
  bool pae = cpu->cr4 & CR4_PAE;

  space->epoch = self->epoch;
  if (!space->paging || (!space->n_mapped && !space->n_tables))
    return;
  self->n_revalidations++;
  if (pae)
    {
      for (unsigned i = 0; i < 4; i++)
        if (space->pdpte[i] != cpu->pdpte[i])
          {
            drop_tables_in (space, i << 30, 1u << 30, 32);
            space_unmap (self, space, i << 18, 1u << 18);
            space->pdpte[i] = cpu->pdpte[i];
          }
    }
  for (uint32_t i = 0; i < space->n_tables; i++)
    {
      TableShadow *shadow = &space->tables[i];

      if (!shadow->in_use)
        continue;
      if (!pae && shadow->shift == 22)
        {
          uint32_t backing;
          const uint8_t *host = table_host (self, cpu->cr3 & ~0xfffu, &backing);

          if (!host)
            {
              space_unmap_all (self, space);
              return;
            }
          shadow->host = host;
        }
      compare_table (self, space, shadow);
    }
}

static uint32_t
mode_bits_of (const Cpu *cpu)
{
  return cpu->cr0 & CR0_PG ? (cpu->cr0 & (CR0_PG | CR0_WP)) | (cpu->cr4 & (CR4_PSE | CR4_PAE)) : 0;
}

View *
space_view (Translator *self, Space *space, uint8_t mode)
{
  View *view;
  unsigned slot;

  for (slot = 0; slot < VIEWS_PER_SPACE; slot++)
    if (space->views[slot] && space->views[slot]->mode == mode)
      return space->views[slot];
  for (slot = 0; slot < VIEWS_PER_SPACE; slot++)
    if (!space->views[slot])
      break;
  if (slot == VIEWS_PER_SPACE || self->n_views == MAX_VIEWS)
    return NULL;
  view = &self->views[self->n_views];
  if (!view->map)
    return NULL;
  self->n_views++;
  view->space = space;
  view->mode = mode;
  space->views[slot] = view;
  return view;
}

/* A space for the processor's state now, its view included; NULL when there is none to be had. */
Space *
space_select (Translator *self, uint8_t mode)
{
  Cpu *cpu = self->cpu;
  uint32_t bits = mode_bits_of (cpu);
  bool paging = bits & CR0_PG, user = paging && cpu->cpl == 3;
  Space *space = self->space, *victim = NULL;

  if (!space || space->lost || space->paging != paging || space->user != user || space->mode_bits != bits || (user && space->cr3 != cpu->cr3))
    {
      space = NULL;
      for (unsigned i = 0; i < MAX_SPACES; i++)
        {
          Space *other = &self->spaces[i];

          if (other->in_use && !other->lost && other->paging == paging && other->user == user && other->mode_bits == bits
              && (!user || other->cr3 == cpu->cr3))
            {
              space = other;
              break;
            }
          if (other->window && !other->lost && (!victim || (victim->in_use && (!other->in_use || other->last_used < victim->last_used))))
            victim = other;
        }
      if (!space)
        {
          space = victim;
          if (!space)
            return NULL;
          if (space->in_use)
            space_unmap_all (self, space);
          space->in_use = true;
          space->paging = paging;
          space->user = user;
          space->mode_bits = bits;
          space->cr3 = cpu->cr3;
          memcpy (space->pdpte, cpu->pdpte, sizeof space->pdpte);
          space->epoch = self->epoch;
          space->pair_pointer = space->pair_top;
        }
    }
  if (space->epoch != self->epoch)
    space_revalidate (self, space);
  space->last_used = ++self->use_clock;
  if (!space->view || space->view->mode != mode)
    {
      View *view = space_view (self, space, mode);

      if (!view)
        return NULL;
      space->view = view;
    }
  return space;
}

void
space_reset_pairs (Translator *self)
{
  for (unsigned i = 0; i < MAX_SPACES; i++)
    self->spaces[i].pair_pointer = self->spaces[i].pair_top;
  self->reset_pairs = false;
}

/* The sandbox bounds private writable memory (RLIMIT_DATA), and this is address space, of which little is ever touched: so it is mapped
 * from the flat file, and before the sandbox closes. */
static bool
map_view (View *view)
{
  void *map = flat_memory_map (MAP_BYTES);
  void *code_at = flat_memory_map (4u << 20);

  if (!map || !code_at)
    {
      flat_memory_unmap (map, MAP_BYTES);
      flat_memory_unmap (code_at, 4u << 20);
      return false;
    }
  view->map = map;
  view->code_at = code_at;
  madvise (map, MAP_BYTES, MADV_NOHUGEPAGE);
  return true;
}

bool
space_setup (Translator *self, const char **ret_error)
{
  GuestMemory *memory = self->cpu->memory;
  size_t pair_stride = PAIR_STACK_BYTES + 2 * 4096;
  unsigned n_spaces = MAX_SPACES;
  uint8_t *pairs;

  while (n_spaces)
    {
      size_t n_bytes = (n_spaces + 1) * WINDOW_STRIDE;

      self->windows = mmap (NULL, n_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (self->windows != MAP_FAILED)
        break;
      n_spaces /= 2;
    }
  if (!n_spaces)
    {
      self->windows = NULL;
      *ret_error = "no address space for guest windows (ulimit -v?)";
      return false;
    }
  self->mappings = translator_reserve (MAX_MAPPINGS * sizeof *self->mappings);
  pairs = mmap (NULL, MAX_SPACES * pair_stride, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  self->backing_mappings = calloc (memory->n_pages, sizeof *self->backing_mappings);
  if (!self->mappings || pairs == MAP_FAILED || !self->backing_mappings)
    {
      *ret_error = "no memory for the translator";
      return false;
    }
  for (unsigned i = 0; i < n_spaces; i++)
    {
      Space *space = &self->spaces[i];
      /* At least half a window of guard before the first; every later one has the guard of its predecessor. */
      uint64_t base = ((uint64_t) self->windows + WINDOW_BYTES + WINDOW_BYTES / 2) & ~(WINDOW_BYTES - 1);

      space->window = (uint8_t *) base + i * WINDOW_STRIDE;
      space->pages = translator_reserve (4u << 20);
      space->tables = translator_reserve (MAX_TABLES * sizeof *space->tables);
      space->pair_stack = pairs + i * pair_stride;
      if (!space->pages || !space->tables
          || mprotect (space->pair_stack + 4096, PAIR_STACK_BYTES, PROT_READ | PROT_WRITE) < 0)
        {
          *ret_error = "no memory for the translator";
          return false;
        }
      /* The lowest entry is where unmatched returns end: glue.c. */
      space->pair_top = (uint64_t) space->pair_stack + 4096 + PAIR_STACK_BYTES - 64;
      *(uint64_t *) space->pair_top = self->glue_ret_bottom;
      space->pair_pointer = space->pair_top;
    }
  /* Fewer views than wanted are slower, never wrong; without any there is no translator. */
  for (unsigned i = 0; i < MAX_VIEWS; i++)
    if (!map_view (&self->views[i]))
      break;
  if (!self->views[0].map)
    *ret_error = "no address space for the translator";
  return self->views[0].map != NULL;
}

void
space_teardown (Translator *self)
{
  for (unsigned i = 0; i < MAX_VIEWS; i++)
    {
      if (self->views[i].map)
        flat_memory_unmap (self->views[i].map, MAP_BYTES);
      if (self->views[i].code_at)
        flat_memory_unmap (self->views[i].code_at, 4u << 20);
      free (self->views[i].installed);
    }
  for (unsigned i = 0; i < MAX_SPACES; i++)
    {
      Space *space = &self->spaces[i];

      if (space->pages)
        munmap (space->pages, 4u << 20);
      if (space->tables)
        munmap (space->tables, MAX_TABLES * sizeof *space->tables);
    }
  if (self->spaces[0].pair_stack)
    munmap (self->spaces[0].pair_stack, MAX_SPACES * (PAIR_STACK_BYTES + 2 * 4096));
  if (self->windows)
    {
      /* The reservation may have been made for fewer spaces; the rest of the range is not ours. */
      unsigned n = 0;

      while (n < MAX_SPACES && self->spaces[n].window)
        n++;
      munmap (self->windows, (n + 1) * WINDOW_STRIDE);
    }
  if (self->mappings)
    munmap (self->mappings, MAX_MAPPINGS * sizeof *self->mappings);
  free (self->backing_mappings);
}
