/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Units of translated code, and how they find each other.
 *
 * A unit is what can be reached from one EIP without leaving the guest page: instructions are followed through
 * fall-through, direct jumps and conditional jumps, and laid out in that order, so loops stay inside.  Units are made
 * from (linear page, backing page, mode) and shared by all spaces where that linear page shows that backing page: a
 * CodePage is installed in a view when the mapping has been checked, and uninstalled when it changes.
 *
 * Ways from unit to unit:
 *   - a direct link (jmp rel32, patched) where the target's mapping cannot differ while the source's holds: the same
 *     page, or the same region (one large page table entry maps both; or paging is off);
 *   - the EIP map of the current view, an array of 4 bytes per guest EIP: mov r9d, [r13 + r8*4]; lea r9, [r9 + bias];
 *     jmp r9.  An empty entry is 0 and leads to the glue at `bias`, which asks the dispatcher.  No compare, no flags;
 *   - CALL pushes a host return address beside the guest's; RET loads the guest's into R8D and executes a host RET;
 *     the return site compares R8D with its own EIP and goes through the map when they differ.
 *
 * Every first instruction of a basic block that may be reached by a jump is an entry.  There the guest's state is
 * exactly in its registers; nothing is kept across. */
#include "translator.h"

#include "interpreter.h"
#include "physical-memory.h"
#include "tlb.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { NEAR_BYTES = 512 };
enum { END_NONE, END_JUMP /* to `eip` */, END_INSN /* interpret at `eip` */ };

typedef struct
{
  DecodedInsn insn;
  uint32_t    eip;
  uint32_t    host;             /* of its entry, 0: not emitted yet */
  uint32_t    host_inner;       /* the same with the FPU known to be loaded */
  uint8_t     end;              /* END_*: no instruction */
  uint8_t     count;            /* of its basic block from here */
  bool        leader;           /* a block begins: counted code charges here */
  bool        entry;            /* reachable by jumps */
  bool        return_site;
  bool        loop_head;        /* jumped to from below: worth aligning */
  bool        soft, exact;
  uint16_t    stat;
} Step;

typedef struct
{
  uint32_t field;               /* offset of a 32-bit displacement */
  int      step;                /* its target */
  bool     inner;
} Fixup;

typedef enum { STUB_LINK, STUB_MAP, STUB_INSN, STUB_LIMIT, STUB_RETURN, STUB_FPU } StubKind;

typedef struct
{
  StubKind kind;
  uint32_t field;
  uint32_t eip, value;
} Stub;

typedef struct
{
  Translator *self;
  View       *view;
  Emitter     e;
  Lower       lower;
  CodePage   *page;
  Step        steps[MAX_UNIT_INSNS + 64];
  int         n_steps;
  int16_t     at[4096];         /* step + 1 by offset in the page */
  Fixup       fixups[2 * MAX_UNIT_INSNS + 64];
  int         n_fixups;
  Stub        stubs[4 * MAX_UNIT_INSNS + 64];
  int         n_stubs;
  uint32_t    first_link;
  bool        fpu_known;
  bool        tail;
  uint8_t     known[4096];      /* offsets in the page where translated code begins already */
} Builder;

/* ---- Lookup ---- */

static unsigned
hash_page (uint32_t linear_page, uint32_t backing, uint8_t mode)
{
  return (linear_page * 2654435761u ^ backing * 40503u ^ mode) >> 7 & 4095;
}

static CodePage *
find_page (Translator *self, uint32_t linear_page, uint32_t backing, uint8_t mode, uint32_t region, bool create)
{
  uint32_t *head = &self->page_hash[hash_page (linear_page, backing, mode)];
  CodePage *page;

  for (uint32_t i = *head; i; i = self->pages[i - 1].next)
    {
      page = &self->pages[i - 1];
      if (page->linear_page == linear_page && page->backing == backing && page->mode == mode && page->region == region)
        return page;
    }
  if (!create || self->n_pages == MAX_CODE_PAGES)
    return NULL;
  page = &self->pages[self->n_pages++];
  *page = (CodePage) { .linear_page = linear_page, .backing = backing, .region = region, .mode = mode, .in_use = true,
                       .next = *head, .next_same_backing = self->backing_code[backing] };
  *head = self->backing_code[backing] = self->n_pages;
  return page;
}

SiteStat *
site_stat (Translator *self, uint32_t eip, uint32_t backing, bool create)
{
  SiteStat *bucket = &self->site_stats[((eip * 2654435761u ^ backing) >> 9 & (N_SITE_STATS - 1)) & ~(SITE_WAYS - 1u)];
  SiteStat *victim = bucket;

  for (unsigned i = 0; i < SITE_WAYS; i++)
    {
      if (bucket[i].eip == eip && bucket[i].backing == backing && bucket[i].faults)
        return &bucket[i];
      if (victim->soft + victim->exact > bucket[i].soft + bucket[i].exact || (!bucket[i].faults && victim->faults))
        victim = &bucket[i];
    }
  if (!create)
    return NULL;
  *victim = (SiteStat) { .eip = eip, .backing = backing };
  return victim;
}

const InsnRecord *
unit_find_record (Translator *self, uint32_t offset, const Unit **ret_unit)
{
  uint32_t low = 0, high = self->n_units;
  const Unit *unit;
  const InsnRecord *records;

  while (low < high)
    {
      uint32_t middle = (low + high) / 2;

      if (self->units[middle].host <= offset)
        low = middle + 1;
      else
        high = middle;
    }
  if (!low)
    return NULL;
  unit = &self->units[low - 1];
  if (offset >= unit->host_end || !unit->n_records)
    return NULL;
  records = &self->records[unit->first_record];
  if (records[0].host > offset)
    return NULL;
  low = 0;
  high = unit->n_records;
  while (low < high)
    {
      uint32_t middle = (low + high) / 2;

      if (records[middle].host <= offset)
        low = middle + 1;
      else
        high = middle;
    }
  *ret_unit = unit;
  return &records[low - 1];
}

/* ---- Views ---- */

static void
set_entry (Translator *self, View *view, uint32_t linear_page, const Entry *entry)
{
  view->map[linear_page << 12 | entry->offset] = (uint32_t) (self->code + entry->host - self->map_bias);
}

/* An entry whose instruction ends in the next page: valid while that page is mapped as it was, which is known while it
 * is installed as well. */
static bool
next_page_matches (Translator *self, View *view, uint32_t linear_page, const Unit *unit)
{
  uint32_t next = (linear_page + 1) & 0xfffff, backing, region;

  if (view->code_at[next])
    return self->pages[view->code_at[next] - 1].backing == unit->cross - 1;
  if (!space_translate_code (self, view->space, next << 12, &backing, &region) || backing != unit->cross - 1
      || !find_page (self, next, backing, view->mode, region, true))
    return false;
  unit_install_page (self, view, next << 12);
  return view->code_at[next] != 0;
}

/* The EIP maps grow with the pages installed in them; the memory of one that has not been used for long is given back. */
static void
empty_oldest_view (Translator *self, const View *keep)
{
  View *oldest = NULL;

  for (uint32_t v = 0; v < self->n_views; v++)
    {
      View *view = &self->views[v];

      if (view != keep && view->n_installed && (!oldest || view->space->last_used < oldest->space->last_used))
        oldest = view;
    }
  if (!oldest)
    return;
  while (oldest->n_installed)
    unit_forget_page (self, oldest, oldest->installed[oldest->n_installed - 1]);
  madvise (oldest->map, MAP_BYTES, MADV_REMOVE);
}

bool
unit_install_page (Translator *self, View *view, uint32_t eip)
{
  uint32_t linear_page = eip >> 12, backing, region;
  CodePage *page;

  if (view->code_at[linear_page])
    {
      page = &self->pages[view->code_at[linear_page] - 1];
      for (uint32_t i = 0; page->has_cross && i < page->n_entries; i++)
        if (page->entries[i].offset == (eip & 4095) && self->units[page->entries[i].unit].cross
            && next_page_matches (self, view, linear_page, &self->units[page->entries[i].unit]))
          {
            set_entry (self, view, linear_page, &page->entries[i]);
            return true;
          }
      return false;
    }
  if (!space_translate_code (self, view->space, eip, &backing, &region))
    return false;
  page = find_page (self, linear_page, backing, view->mode, region, false);
  if (!page)
    return false;
  if (view->n_installed == view->max_installed)
    {
      uint32_t n = view->max_installed ? 2 * view->max_installed : 256;
      uint32_t *list = realloc (view->installed, n * sizeof *list);

      if (!list)
        return false;
      view->installed = list;
      view->max_installed = n;
    }
  if (++self->n_installed > MAX_INSTALLED)
    empty_oldest_view (self, view);
  view->installed[view->n_installed++] = linear_page;
  view->code_at[linear_page] = (uint32_t) (page - self->pages) + 1;
  page->views |= 1ull << (view - self->views);
  for (uint32_t i = 0; i < page->n_entries; i++)
    if (!self->units[page->entries[i].unit].cross)
      set_entry (self, view, linear_page, &page->entries[i]);
  return true;
}

void
unit_forget_page (Translator *self, View *view, uint32_t linear_page)
{
  CodePage *page = &self->pages[view->code_at[linear_page] - 1];
  uint32_t before = (linear_page - 1) & 0xfffff;

  for (uint32_t i = 0; i < page->n_entries; i++)
    view->map[linear_page << 12 | page->entries[i].offset] = 0;
  view->code_at[linear_page] = 0;
  page->views &= ~(1ull << (view - self->views));
  for (uint32_t i = view->n_installed; i > 0; i--)
    if (view->installed[i - 1] == linear_page)
      {
        view->installed[i - 1] = view->installed[--view->n_installed];
        self->n_installed--;
        break;
      }
  if (view->code_at[before] && self->pages[view->code_at[before] - 1].has_cross)
    unit_forget_page (self, view, before);
  /* Return addresses on the pair stack and the code that runs now may rely on this page. */
  self->generation++;
  self->reset_pairs = true;
}

/* ---- Links ---- */

static void
patch32 (Translator *self, uint32_t field, uint32_t target)
{
  uint32_t value = target - (field + 4);

  memcpy (self->code_rw + field, &value, 4);
}

void
unit_link (Translator *self, uint32_t number, uint64_t entry)
{
  Link *link = &self->links[number];
  uint32_t offset = (uint32_t) (entry - self->code);
  const Unit *unit = NULL;

  if (link->target || !self->units[link->unit].valid)
    return;
  /* The unit that holds the entry: links go to entries, which lie inside. */
  {
    uint32_t low = 0, high = self->n_units;

    while (low < high)
      {
        uint32_t middle = (low + high) / 2;

        if (self->units[middle].host <= offset)
          low = middle + 1;
        else
          high = middle;
      }
    if (!low || !self->units[low - 1].valid)
      return;
    unit = &self->units[low - 1];
    link->target = low;
    link->next = self->units[low - 1].links_in;
    self->units[low - 1].links_in = number + 1;
  }
  (void) unit;
  patch32 (self, link->field, offset);
}

static void
invalidate (Translator *self, Unit *unit)
{
  CodePage *page = &self->pages[unit->page];
  uint32_t number = (uint32_t) (unit - self->units);

  for (uint32_t i = unit->links_in; i;)
    {
      Link *link = &self->links[i - 1];
      uint32_t next = link->next;

      patch32 (self, link->field, link->stub);
      link->target = 0;
      link->next = 0;
      i = next;
    }
  unit->links_in = 0;
  /* Its own links out: leave their targets' lists. */
  for (uint32_t i = unit->first_link; i < unit->first_link + unit->n_links; i++)
    {
      Link *link = &self->links[i];

      if (link->target)
        {
          uint32_t *at = &self->units[link->target - 1].links_in;

          while (*at && *at != i + 1)
            at = &self->links[*at - 1].next;
          if (*at)
            *at = link->next;
          link->target = 0;
        }
    }
  for (uint32_t i = page->n_entries; i > 0; i--)
    if (page->entries[i - 1].unit == number)
      {
        for (uint32_t v = 0; v < self->n_views; v++)
          if (page->views >> v & 1)
            self->views[v].map[page->linear_page << 12 | page->entries[i - 1].offset] = 0;
        page->entries[i - 1] = page->entries[--page->n_entries];
      }
  unit->valid = false;
}

void
unit_invalidate_range (Translator *self, uint32_t backing, uint32_t offset, uint32_t n_bytes)
{
  bool found = false;

  for (uint32_t i = 0; offset < 15 && i < self->n_cross; i++)
    {
      Unit *unit = &self->units[self->cross_units[i]];

      if (unit->cross == backing + 1 && offset < unit->cross_bytes)
        {
          uint32_t *at = &self->pages[unit->page].units;

          while (*at && *at != self->cross_units[i] + 1)
            at = &self->units[*at - 1].next_in_page;
          if (*at)
            *at = unit->next_in_page;
          invalidate (self, unit);
          unit->cross = 0;
          self->cross_units[i--] = self->cross_units[--self->n_cross];
          found = true;
        }
    }
  for (uint32_t i = self->backing_code[backing]; i; i = self->pages[i - 1].next_same_backing)
    {
      CodePage *page = &self->pages[i - 1];
      uint32_t *at = &page->units;

      while (*at)
        {
          Unit *unit = &self->units[*at - 1];

          if (unit->low < offset + n_bytes && offset < unit->high)
            {
              invalidate (self, unit);
              *at = unit->next_in_page;
              for (uint32_t k = 0; unit->cross && k < self->n_cross; k++)
                if (&self->units[self->cross_units[k]] == unit)
                  self->cross_units[k--] = self->cross_units[--self->n_cross];
              found = true;
            }
          else
            at = &unit->next_in_page;
        }
    }
  if (found)
    {
      self->generation++;
      self->reset_pairs = true;
    }
}

bool
unit_page_has_code (const Translator *self, uint32_t backing)
{
  for (uint32_t i = self->backing_code[backing]; i; i = self->pages[i - 1].next_same_backing)
    if (self->pages[i - 1].units)
      return true;
  for (uint32_t i = 0; i < self->n_cross; i++)
    if (self->units[self->cross_units[i]].cross == backing + 1)
      return true;
  return false;
}

void
unit_flush_all (Translator *self)
{
  for (uint32_t v = 0; v < self->n_views; v++)
    while (self->views[v].n_installed)
      unit_forget_page (self, &self->views[v], self->views[v].installed[self->views[v].n_installed - 1]);
  for (uint32_t i = 0; i < self->n_pages; i++)
    {
      self->backing_code[self->pages[i].backing] = 0;
      free (self->pages[i].entries);
    }
  memset (self->page_hash, 0, sizeof self->page_hash);
  self->n_pages = self->n_units = self->n_records = self->n_sites = self->n_links = self->n_cross = 0;
  self->code_used = self->glue_end;
  self->generation++;
  self->reset_pairs = true;
  self->flush_wanted = false;
  self->n_flushes++;
}

/* ---- Building ---- */

static bool
is_branch (const DecodedInsn *insn)
{
  unsigned opcode = insn->opcode;

  if (insn->map)
    return opcode >= 0x80 && opcode <= 0x8f;
  return (opcode >= 0x70 && opcode <= 0x7f) || opcode == 0xc2 || opcode == 0xc3 || (opcode >= 0xe0 && opcode <= 0xe3)
         || opcode == 0xe8 || opcode == 0xe9 || opcode == 0xeb || (opcode == 0xff && (insn->reg == 2 || insn->reg == 4));
}

static bool
is_conditional (const DecodedInsn *insn)
{
  unsigned opcode = insn->opcode;

  return insn->map ? opcode >= 0x80 && opcode <= 0x8f : (opcode >= 0x70 && opcode <= 0x7f) || (opcode >= 0xe0 && opcode <= 0xe3);
}

static bool
is_call (const DecodedInsn *insn)
{
  return insn->map == 0 && (insn->opcode == 0xe8 || (insn->opcode == 0xff && insn->reg == 2));
}

static bool
branch_is_native (const DecodedInsn *insn)
{
  if (insn->operand_size != 4)
    return false;
  if (insn->map == 0 && insn->opcode >= 0xe0 && insn->opcode <= 0xe3)
    return insn->address_size == 4;
  return true;
}

/* A callout after which the next instruction is somewhere else, or in another mode. */
static bool
callout_ends (const DecodedInsn *insn)
{
  unsigned opcode = insn->opcode;

  if (is_branch (insn))
    return true;
  if (insn->map == 0)
    switch (opcode)
      {
      case 0x9a: case 0xca: case 0xcb: case 0xcc: case 0xcd: case 0xce: case 0xcf: case 0xea: case 0xf1: case 0xf4:
        return true;
      case 0xff:
        return insn->reg == 3 || insn->reg == 5;
      default:
        return false;
      }
  switch (opcode)
    {
    case 0x0b: case 0x34: case 0x35: case 0xaa: case 0xb9: case 0xff: case 0x22:
      return true;
    case 0x01:
      return insn->reg >= 6;
    default:
      return false;
    }
}

static bool
callout_ends_trace (const DecodedInsn *insn)
{
  return callout_ends (insn) && !(lower_row_is_lowered (insn->row) && !is_branch (insn))
         && !(is_branch (insn) && is_conditional (insn) && branch_is_native (insn));
}

static bool
callout_changes_mode (const DecodedInsn *insn)
{
  unsigned opcode = insn->opcode;

  if (insn->map == 0)
    return opcode == 0x07 || opcode == 0x17 || opcode == 0x1f || opcode == 0x8e || opcode == 0xc4 || opcode == 0xc5 || opcode == 0x9d;
  return opcode == 0xa1 || opcode == 0xa9 || opcode == 0xb2 || opcode == 0xb4 || opcode == 0xb5 || opcode == 0x00 || opcode == 0x30
         || opcode == 0x06 || opcode == 0x23;
}

static uint32_t
branch_target (const Step *step)
{
  return step->eip + step->insn.length + step->insn.immediate;
}

static Step *
add_step (Builder *b, uint32_t eip, unsigned end)
{
  Step *step = &b->steps[b->n_steps++];

  memset (step, 0, sizeof *step);
  step->eip = eip;
  step->end = (uint8_t) end;
  return step;
}

/* Follows the code from `start`; targets of jumps inside the page are pushed for later. */
static void
trace (Builder *b, uint32_t start, uint32_t *pending, int *n_pending)
{
  Translator *self = b->self;
  const uint8_t *bytes = self->cpu->memory->host + ((size_t) b->page->backing << 12);
  uint32_t page = b->page->linear_page, eip = start;

  for (;;)
    {
      Step *step;
      SiteStat *stat;
      int error;

      if (eip >> 12 != page || b->n_steps >= MAX_UNIT_INSNS || b->at[eip & 4095] || (b->n_steps && b->known[eip & 4095]))
        {
          add_step (b, eip, END_JUMP);
          return;
        }
      step = add_step (b, eip, END_NONE);
      error = insn_decode (bytes + (eip & 4095), 4096 - (eip & 4095), DECODE_CODE32 | DECODE_STACK32, self->cpu->features, &step->insn);
      if (error)
        {
          /* Undefined or too long: the interpreter's.  Into the next page: a unit of its own. */
          step->end = error == -EAGAIN && b->n_steps > 1 ? END_JUMP : END_INSN;
          return;
        }
      b->at[eip & 4095] = (int16_t) b->n_steps;
      stat = site_stat (self, eip, b->page->backing, false);
      if (stat)
        {
          step->soft = stat->soft;
          step->exact = stat->exact;
          step->stat = (uint16_t) (stat - self->site_stats);
        }
      if (is_branch (&step->insn) && branch_is_native (&step->insn) && !step->soft)
        {
          uint32_t next = eip + step->insn.length;

          if (b->tail && !is_call (&step->insn))
            {
              /* Whatever follows is a block of its own. */
              if (is_conditional (&step->insn))
                add_step (b, next, END_JUMP);
              return;
            }
          if (is_conditional (&step->insn))
            {
              uint32_t target = branch_target (step);

              /* Near targets come along; what lies further away is often cold, and is translated when it is not. */
              if (target >> 12 == page && *n_pending < 64 && target - eip + NEAR_BYTES < 2 * NEAR_BYTES && !b->known[target & 4095])
                pending[(*n_pending)++] = target;
              eip = next;
              continue;
            }
          if (is_call (&step->insn))
            {
              eip = next;
              if (b->tail || b->known[eip & 4095] || eip >> 12 != page || b->at[eip & 4095] || b->n_steps >= MAX_UNIT_INSNS)
                return;         /* the return site is elsewhere: see emit_call_end */
              continue;
            }
          if (step->insn.opcode == 0xe9 || step->insn.opcode == 0xeb)
            {
              uint32_t target = branch_target (step);

              if (target >> 12 == page && !b->at[target & 4095] && !b->known[target & 4095] && b->n_steps < MAX_UNIT_INSNS)
                {
                  eip = target;
                  continue;
                }
            }
          return;
        }
      if (callout_ends_trace (&step->insn))
        return;
      eip += step->insn.length;
    }
}

static uint32_t
code_offset (const Builder *b)
{
  return (uint32_t) (b->e.address - b->self->code);
}

static void
add_record (Builder *b, const Step *step, unsigned count, unsigned flags)
{
  Translator *self = b->self;

  if (self->n_records == MAX_RECORDS)
    {
      b->e.full = true;
      return;
    }
  self->records[self->n_records++] = (InsnRecord) { code_offset (b), (uint16_t) (step->eip & 4095), (uint8_t) count, (uint8_t) flags };
}

static void
add_stub (Builder *b, StubKind kind, uint32_t eip, uint32_t value)
{
  if (b->n_stubs == (int) (sizeof b->stubs / sizeof b->stubs[0]))
    {
      b->e.full = true;
      return;
    }
  b->stubs[b->n_stubs++] = (Stub) { kind, code_offset (b) - 4, eip, value };
}

/* The displacement just emitted leads to guest address eip. */
static void
target_field (Builder *b, uint32_t eip)
{
  Translator *self = b->self;
  CodePage *page = b->page;
  int inside = eip >> 12 == page->linear_page ? b->at[eip & 4095] : 0;

  if (inside)
    {
      if (b->n_fixups == (int) (sizeof b->fixups / sizeof b->fixups[0]))
        b->e.full = true;
      else
        b->fixups[b->n_fixups++] = (Fixup) { code_offset (b) - 4, inside - 1, b->fpu_known };
      return;
    }
  if (eip >> 12 == page->linear_page || (page->region && (page->region == 1 || (page->region & 0xfff) == eip >> 22)))
    {
      if (self->n_links == MAX_LINKS)
        {
          b->e.full = true;
          return;
        }
      self->links[self->n_links++] = (Link) { code_offset (b) - 4, 0, eip, 0, self->n_units, 0 };
      add_stub (b, STUB_LINK, eip, self->n_links - 1);
      return;
    }
  add_stub (b, STUB_MAP, eip, 0);
}

static bool
links_directly (const Builder *b, uint32_t eip)
{
  const CodePage *page = b->page;

  return eip >> 12 == page->linear_page || (page->region && (page->region == 1 || (page->region & 0xfff) == eip >> 22));
}

/* R9 = host code of the guest address in R8D. */
static void
emit_map_lookup (Builder *b)
{
  HostMemory entry = { false, false, R13, R8, 2, 0 }, biased = { false, false, R9, NO_REGISTER, 0, (int32_t) b->self->map_bias };

  emit_op_memory (&b->e, 0, false, 0x8b, R9, &entry);
  emit_op_memory (&b->e, 0, true, 0x8d, R9, &biased);
}

static void
emit_jump_r9 (Builder *b, bool call)
{
  emit8 (&b->e, 0x41);
  emit8 (&b->e, 0xff);
  emit8 (&b->e, call ? 0xd1 : 0xe1);
}

static void
emit_goto (Builder *b, uint32_t eip)
{
  if (links_directly (b, eip))
    {
      emit8 (&b->e, 0xe9);
      emit32 (&b->e, 0);
      target_field (b, eip);
      return;
    }
  emit_mov_immediate32 (&b->e, R8, eip);
  emit_map_lookup (b);
  emit_jump_r9 (b, false);
}

static unsigned
loaded_segment (const DecodedInsn *insn)
{
  if (insn->map == 0)
    switch (insn->opcode)
      {
      case 0x07: case 0xc4: return SEG_ES;
      case 0x1f: case 0xc5: return SEG_DS;
      case 0x8e:            return insn->reg == SEG_SS ? SEG_NONE : insn->reg;
      default:              return SEG_NONE;
      }
  switch (insn->opcode)
    {
    case 0xa1: case 0xb4: return SEG_FS;
    case 0xa9: case 0xb5: return SEG_GS;
    default:              return SEG_NONE;
    }
}

static uint32_t
add_site (Builder *b, const Step *step, unsigned count, unsigned flags)
{
  Translator *self = b->self;

  if (self->n_sites == MAX_SITES)
    {
      b->e.full = true;
      return 0;
    }
  self->sites[self->n_sites] = (Site) { step->insn, step->eip, (uint8_t) count, (uint8_t) flags, step->stat,
                                         insn_rows[step->insn.row].reason, (uint8_t) loaded_segment (&step->insn) };
  self->sites[self->n_sites].insn.routine = interpreter_uncounted_routine (&step->insn);
  return self->n_sites++;
}

static void
emit_callout (Builder *b, const Step *step, unsigned count, unsigned flags)
{
  emit_mov_immediate32 (&b->e, R8, add_site (b, step, count, flags));
  emit_call (&b->e, b->self->glue_callout);
}

/* Loads the FPU unless it is: mov r9d, ecx; mov ecx, [fpu_in_host]; jrcxz stub … */
static void
emit_fpu_check (Builder *b, const Step *step, unsigned count)
{
  Emitter *e = &b->e;

  emit_mov32 (e, R9, RCX);
  emit_op_rip (e, false, 0x8b, RCX, &b->self->hot->fpu_in_host, 0);
  emit8 (e, 0xe3);
  emit8 (e, 5);
  emit_mov32 (e, RCX, R9);
  emit8 (e, 0xeb);              /* over the slow part */
  emit8 (e, 3 + 6 + 5);
  emit_mov32 (e, RCX, R9);
  emit_callout (b, step, count, SITE_FPU_CHECK);
  b->fpu_known = true;
}

static void
emit_count (Builder *b, const Step *step)
{
  Emitter *e = &b->e;
  HostMemory minus = { false, false, R8, NO_REGISTER, 0, -(int32_t) step->count };

  emit_mov32 (e, R10, RCX);
  emit_op_rip (e, true, 0x8b, R8, &b->self->hot->remaining, 0);
  emit_op_memory (e, 0, true, 0x8d, R8, &minus);
  emit_op_rip (e, true, 0x89, R8, &b->self->hot->remaining, 0);
  /* The sign, without flags: the top byte is 0 or 0xff. */
  emit8 (e, 0x49);
  emit8 (e, 0x0f);
  emit8 (e, 0xc8);                      /* bswap r8 */
  emit_op_register (e, 0, false, 0x0fb6, RCX, R8);
  emit8 (e, 0xe3);
  emit8 (e, 8);
  emit_mov32 (e, RCX, R10);
  emit8 (e, 0xe9);
  emit32 (e, 0);
  add_stub (b, STUB_LIMIT, step->eip, step->count);
  emit_mov32 (e, RCX, R10);
}

/* R8D must be this site's EIP, else the guest returned elsewhere. */
static void
emit_return_check (Builder *b, uint32_t eip, bool flags_dead)
{
  Emitter *e = &b->e;

  if (flags_dead)
    {
      emit8 (e, 0x41);
      emit8 (e, 0x81);
      emit8 (e, 0xf8);                  /* cmp r8d, eip */
      emit32 (e, eip);
      emit8 (e, 0x0f);
      emit8 (e, 0x85);
      emit32 (e, 0);
      add_stub (b, STUB_RETURN, 0, 0);
      return;
    }
  {
    HostMemory difference = { false, false, R8, NO_REGISTER, 0, (int32_t) -eip };

    emit_mov32 (e, R9, RCX);
    /* Always 32 bits of displacement: the dispatcher reads them (pair_expects). */
    emit8 (e, 0x41);
    emit8 (e, 0x8d);
    emit8 (e, 0x88);
    emit32 (e, (uint32_t) difference.displacement);
    emit8 (e, 0xe3);
    emit8 (e, 8);
    emit_mov32 (e, RCX, R9);
    emit8 (e, 0xe9);
    emit32 (e, 0);
    add_stub (b, STUB_RETURN, 0, 0);
    emit_mov32 (e, RCX, R9);
  }
}

static void
emit_branch (Builder *b, const Step *step)
{
  Emitter *e = &b->e;
  const DecodedInsn *insn = &step->insn;
  uint32_t next = step->eip + insn->length;
  HostMemory top = { false, false, R14, R15, 0, 0 }, below = { false, false, R14, R15, 0, -4 };

  if (is_call (insn))
    {
      bool direct = insn->opcode == 0xe8;

      if (!direct && !lower_load_rm32 (&b->lower, insn, R8))
        {
          e->full = true;
          return;
        }
      /* The store may fault; then the load is repeated. */
      emit_op_memory (e, 0, false, 0xc7, 0, &below);
      emit32 (e, next);
      emit_lea32 (e, R15, R15, -4);
      if (direct && links_directly (b, branch_target (step)))
        {
          emit8 (e, 0xe8);
          emit32 (e, 0);
          b->fpu_known = false;
          target_field (b, branch_target (step));
          return;
        }
      if (direct)
        emit_mov_immediate32 (e, R8, branch_target (step));
      emit_map_lookup (b);
      emit_jump_r9 (b, true);
      return;
    }
  if (insn->map == 0 && (insn->opcode == 0xc2 || insn->opcode == 0xc3))
    {
      emit_op_memory (e, 0, false, 0x8b, R8, &top);
      emit_lea32 (e, R15, R15, insn->opcode == 0xc2 ? 4 + (int32_t) (insn->immediate & 0xffff) : 4);
      emit8 (e, 0xc3);
      return;
    }
  if (insn->map == 0 && insn->opcode == 0xff)
    {
      if (!lower_load_rm32 (&b->lower, insn, R8))
        {
          e->full = true;
          return;
        }
      emit_map_lookup (b);
      emit_jump_r9 (b, false);
      return;
    }
  if (insn->map == 0 && (insn->opcode == 0xe9 || insn->opcode == 0xeb))
    {
      uint32_t target = branch_target (step);

      /* Nothing to do when the target follows. */
      if (step + 1 < b->steps + b->n_steps && step[1].eip == target && step[1].end == END_NONE
          && b->at[target & 4095] == (int) (step - b->steps) + 2)
        return;
      emit_goto (b, target);
      return;
    }
  if (insn->map == 0 && insn->opcode >= 0xe0 && insn->opcode <= 0xe3)
    {
      if (insn->opcode != 0xe3)
        emit_lea32 (e, RCX, RCX, -1);
      if (insn->opcode == 0xe3)
        {
          emit8 (e, 0xe3);
          emit8 (e, 2);
          emit8 (e, 0xeb);
          emit8 (e, 5);
          emit8 (e, 0xe9);
        }
      else if (insn->opcode == 0xe2)
        {
          emit8 (e, 0xe3);
          emit8 (e, 5);
          emit8 (e, 0xe9);
        }
      else
        {
          emit8 (e, 0xe3);
          emit8 (e, 6);
          emit8 (e, 0x0f);
          emit8 (e, insn->opcode == 0xe1 ? 0x84 : 0x85);
        }
      emit32 (e, 0);
      target_field (b, branch_target (step));
      return;
    }
  emit8 (e, 0x0f);
  emit8 (e, 0x80 | (insn->opcode & 15));
  emit32 (e, 0);
  target_field (b, branch_target (step));
}

static bool
flags_are_dead_at (const Builder *b, int number)
{
  for (; number < b->n_steps; number++)
    {
      const Step *step = &b->steps[number];
      bool decided, dead;

      if (step->end != END_NONE || step->soft)
        return false;
      dead = lower_flags_dead (&step->insn, &decided);
      if (decided)
        return dead;
      if (is_branch (&step->insn))
        return false;
    }
  return false;
}

/* Where blocks begin and how long they are. */
static void
mark_blocks (Builder *b)
{
  int next_leader = b->n_steps;
  unsigned count = 0;

  b->steps[0].leader = b->steps[0].entry = true;
  for (int i = 0; i < b->n_steps; i++)
    {
      Step *step = &b->steps[i];

      if (step->end == END_JUMP)
        {
          if (step->eip >> 12 == b->page->linear_page && b->at[step->eip & 4095])
            {
              Step *target = &b->steps[b->at[step->eip & 4095] - 1];

              target->leader = target->entry = true;
              target->loop_head = target <= step;
            }
          continue;
        }
      if (step->end != END_NONE)
        continue;
      if (is_branch (&step->insn) && branch_is_native (&step->insn))
        {
          bool has_target = is_conditional (&step->insn) || step->insn.opcode == 0xe9 || step->insn.opcode == 0xeb
                            || (step->insn.opcode == 0xe8 && !step->insn.map);
          uint32_t target = branch_target (step);

          if (has_target && target >> 12 == b->page->linear_page && b->at[target & 4095])
            {
              Step *at = &b->steps[b->at[target & 4095] - 1];

              at->leader = at->entry = true;
              at->loop_head = at->loop_head || at <= step;
            }
          if (i + 1 < b->n_steps)
            {
              b->steps[i + 1].leader = true;
              if (is_call (&step->insn) && b->steps[i + 1].end == END_NONE && b->steps[i + 1].eip == step->eip + step->insn.length)
                b->steps[i + 1].return_site = b->steps[i + 1].entry = true;
            }
        }
      else if (i + 1 < b->n_steps && (callout_ends (&step->insn) || step->insn.row == 0xffff))
        b->steps[i + 1].leader = true;
    }
  /* Traces laid one behind the other begin new blocks as well. */
  for (int i = 1; i < b->n_steps; i++)
    {
      const Step *before = &b->steps[i - 1];

      if (before->end != END_NONE || b->steps[i].eip != before->eip + before->insn.length)
        b->steps[i].leader = true;
    }
  (void) next_leader;
  for (int i = 0, run = 0; i < b->n_steps; i++)
    {
      if (b->steps[i].leader)
        run = 0;
      else if (++run == 200)
        {
          b->steps[i].leader = true;
          run = 0;
        }
    }
  for (int i = b->n_steps - 1; i >= 0; i--)
    {
      count = b->steps[i].end == END_NONE ? count + 1 : 0;
      b->steps[i].count = (uint8_t) count;
      if (b->steps[i].leader)
        count = 0;
    }
}

static void
emit_padding (Emitter *e, unsigned n)
{
  static const uint8_t nops[9][9] = {
    { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 }, { 0x0f, 0x1f, 0x40, 0 }, { 0x0f, 0x1f, 0x44, 0, 0 }, { 0x66, 0x0f, 0x1f, 0x44, 0, 0 },
    { 0x0f, 0x1f, 0x80, 0, 0, 0, 0 }, { 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 }, { 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 },
  };

  while (n)
    {
      unsigned part = n > 9 ? 9 : n;

      emit_bytes (e, nops[part - 1], part);
      n -= part;
    }
}

/* In lockstep the interpreter's choice for undefined flags counts.  An instruction that leaves some may run in host code
 * only if all of them are overwritten before anyone can look: within the block, and before the next access to memory. */
static bool
undefined_flags_show (const Builder *b, int number)
{
  uint32_t open = insn_rows[b->steps[number].insn.row].undefined & EFLAGS_ARITHMETIC;

  for (int i = number + 1; open; i++)
    {
      const Step *step = &b->steps[i];
      const InsnRow *row;

      if (i >= b->n_steps || step->end != END_NONE || step->leader || step->soft || is_branch (&step->insn))
        return true;
      row = &insn_rows[step->insn.row];
      if (step->insn.is_memory || !lower_row_is_lowered (step->insn.row) || !lower_flags_simple (&step->insn))
        return true;
      open &= ~(row->written & ~row->undefined);
    }
  return false;
}

/* STI before an instruction that surely runs as host code: interrupts are held off for it by not stopping there. */
static bool
shadow_fits (const Builder *b, int number)
{
  const Step *step = &b->steps[number], *next = step + 1;

  return !b->self->counted && step->end == END_NONE && !step->insn.map && step->insn.opcode == 0xfb && number + 1 < b->n_steps
         && next->end == END_NONE && next->eip == step->eip + 1 && !next->leader && !next->soft
         && lower_row_is_lowered (next->insn.row) && !lower_is_fpu (&next->insn)
         && !(next->insn.prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE))
         && (!is_branch (&next->insn) || branch_is_native (&next->insn)) && next->insn.map == 0
         && (next->insn.opcode < 0x40 || (next->insn.opcode >= 0x50 && next->insn.opcode <= 0x5f)
             || (next->insn.opcode >= 0x70 && next->insn.opcode <= 0x7f) || next->insn.opcode == 0x85 || next->insn.opcode == 0x89
             || next->insn.opcode == 0x8b || next->insn.opcode == 0x8d || next->insn.opcode == 0xc3 || next->insn.opcode == 0xe8
             || next->insn.opcode == 0xe9 || next->insn.opcode == 0xeb || (next->insn.opcode >= 0xb8 && next->insn.opcode <= 0xbf));
}

static void
emit_steps (Builder *b)
{
  Translator *self = b->self;

  for (int i = 0; i < b->n_steps && !b->e.full; i++)
    {
      Step *step = &b->steps[i];
      bool fpu = step->end == END_NONE && lower_is_fpu (&step->insn) && lower_row_is_lowered (step->insn.row) && !step->soft;
      uint32_t rep_host;

      if (step->loop_head && !step->return_site && !self->counted)
        emit_padding (&b->e, (32 - (unsigned) (b->e.address & 31)) & 31);
      if (step->return_site)
        emit_return_check (b, step->eip, !self->counted && flags_are_dead_at (b, i));
      if (step->leader && step->end == END_NONE)
        {
          bool block_uses_fpu = false;

          for (int k = i; k < b->n_steps && b->steps[k].end == END_NONE && (k == i || !b->steps[k].leader) && !block_uses_fpu; k++)
            {
              if (!lower_row_is_lowered (b->steps[k].insn.row))
                break;
              block_uses_fpu = lower_is_fpu (&b->steps[k].insn) && !b->steps[k].soft;
            }
          if (step->entry || !b->fpu_known)
            b->fpu_known = b->fpu_known && !step->entry;
          step->host = code_offset (b);
          if (block_uses_fpu && !b->fpu_known)
            emit_fpu_check (b, step, 0);
          step->host_inner = b->fpu_known ? code_offset (b) : step->host;
          if (self->counted)
            emit_count (b, step);
        }
      if (step->end == END_JUMP)
        {
          step->host = step->host_inner = code_offset (b);
          emit_goto (b, step->eip);
          b->fpu_known = false;
          continue;
        }
      if (step->end == END_INSN)
        {
          step->host = step->host_inner = code_offset (b);
          emit_mov_immediate32 (&b->e, R8, step->eip);
          emit_jump (&b->e, self->glue_exit_insn);
          b->fpu_known = false;
          continue;
        }
      if (!step->host)
        step->host = step->host_inner = code_offset (b);
      add_record (b, step, step->count, i > 0 && shadow_fits (b, i - 1) ? RECORD_NOT_BOUNDARY : 0);
      b->lower.exact_address = step->exact;
      if (is_branch (&step->insn) && branch_is_native (&step->insn) && !step->soft)
        {
          emit_branch (b, step);
          if (!is_conditional (&step->insn))
            b->fpu_known = false;
          /* The return site of a call that ends a trace is reached through the map. */
          if (is_call (&step->insn) && (i + 1 == b->n_steps || !b->steps[i + 1].return_site))
            {
              uint32_t next = step->eip + step->insn.length;

              emit_return_check (b, next, false);
              emit_goto (b, next);
            }
          continue;
        }
      if (fpu && !b->fpu_known)
        emit_fpu_check (b, step, step->count);
      if (step->soft || (self->strict_flags && insn_rows[step->insn.row].undefined && !lower_flags_logic (&step->insn)
                         && undefined_flags_show (b, i))
          || !lower_insn (&b->lower, &step->insn, &rep_host))
        {
          unsigned flags = (callout_changes_mode (&step->insn) ? SITE_MODE : 0) | (lower_is_fpu (&step->insn) ? SITE_FPU : 0);

          if (step->soft)
            flags |= SITE_SOFT;
          if (callout_ends (&step->insn))
            flags |= SITE_ENDS;
          if (shadow_fits (b, i))
            flags |= SITE_STI;
          if (step->insn.map == 0 && step->insn.opcode == 0xfb)
            flags |= SITE_SHADOW;
          emit_callout (b, step, step->count, flags);
          b->fpu_known = false;
          continue;
        }
      if (rep_host)
        {
          uint32_t here = code_offset (b);
          Emitter saved = b->e;

          /* In the middle of a repetition the state is complete at the string instruction itself. */
          b->e.address = self->code + rep_host;
          add_record (b, step, step->count, 0);
          b->e = saved;
          (void) here;
        }
    }
  for (int i = 0; i < b->n_stubs && !b->e.full; i++)
    {
      Stub *stub = &b->stubs[i];
      uint32_t here = code_offset (b);

      if (stub->kind == STUB_LINK)
        {
          self->links[stub->value].stub = here;
          emit_mov_immediate32 (&b->e, R8, stub->eip);
          emit_mov_immediate32 (&b->e, R10, stub->value);
          emit_jump (&b->e, self->glue_exit_link);
        }
      else if (stub->kind == STUB_MAP)
        {
          emit_mov_immediate32 (&b->e, R8, stub->eip);
          emit_map_lookup (b);
          emit_jump_r9 (b, false);
        }
      else if (stub->kind == STUB_RETURN)
        {
          emit_map_lookup (b);
          emit_jump_r9 (b, false);
        }
      else
        {
          emit_mov_immediate32 (&b->e, R8, stub->eip);
          emit_mov_immediate32 (&b->e, R10, stub->value);
          emit_jump (&b->e, self->glue_exit_limit);
        }
      if (!b->e.full)
        patch32 (self, stub->field, here);
    }
  if (b->e.full)
    return;
  for (int i = 0; i < b->n_fixups; i++)
    {
      Step *target = &b->steps[b->fixups[i].step];

      patch32 (self, b->fixups[i].field, b->fixups[i].inner ? target->host_inner : target->host);
    }
}

static void
mark_code (Translator *self, uint32_t backing)
{
  if (self->cpu->memory->page_flags[backing] & PAGE_CODE)
    return;
  self->cpu->memory->page_flags[backing] |= PAGE_CODE;
  tlb_protect_page (self->cpu, backing);        /* and the windows, by hook_page_protected */
}

/* Whether the instruction at eip ends in the next page; then it is decoded, and *ret_next is that page's backing + 1 (0: it
 * cannot be fetched). */
static bool
crosses_page (Translator *self, View *view, uint32_t eip, uint32_t backing, DecodedInsn *ret_insn, uint32_t *ret_next)
{
  const uint8_t *host = self->cpu->memory->host;
  uint32_t n = 4096 - (eip & 4095), next, region;
  uint8_t bytes[30];

  *ret_next = 0;
  if (n >= 15 || insn_decode (host + ((size_t) backing << 12) + (eip & 4095), n, DECODE_CODE32 | DECODE_STACK32, self->cpu->features,
                              ret_insn) != -EAGAIN)
    return false;
  memcpy (bytes, host + ((size_t) backing << 12) + (eip & 4095), n);
  if (space_translate_code (self, view->space, eip + n, &next, &region))
    {
      memcpy (bytes + n, host + ((size_t) next << 12), 15);
      if (!insn_decode (bytes, 15, DECODE_CODE32 | DECODE_STACK32, self->cpu->features, ret_insn))
        *ret_next = next + 1;
    }
  return true;
}

Unit *
unit_translate (Translator *self, View *view, uint32_t eip, bool tail)
{
  static Builder builder;       /* large; one machine per process, one processor per machine */
  Builder *b = &builder;
  uint32_t backing, region, pending[64], first_record = self->n_records, first_site = self->n_sites, first_link = self->n_links;
  int n_pending = 0;
  DecodedInsn crossing_insn;
  uint32_t next_backing;
  bool crossing;
  Unit *unit;
  CodePage *page;

  if (self->n_units == MAX_UNITS || self->code_used > self->code_limit)
    {
      self->flush_wanted = true;
      return NULL;
    }
  if (!space_translate_code (self, view->space, eip, &backing, &region))
    return NULL;
  page = find_page (self, eip >> 12, backing, view->mode, region, true);
  if (!page)
    {
      self->flush_wanted = true;
      return NULL;
    }
  crossing = crosses_page (self, view, eip, backing, &crossing_insn, &next_backing);
  if (crossing && (self->n_cross == MAX_CROSS || !next_backing))
    return NULL;
  b->self = self;
  b->view = view;
  b->page = page;
  b->n_steps = b->n_fixups = b->n_stubs = 0;
  b->fpu_known = false;
  b->tail = tail;
  memset (b->at, 0, sizeof b->at);
  memset (b->known, 0, sizeof b->known);
  for (uint32_t i = 0; i < page->n_entries; i++)
    if (!self->units[page->entries[i].unit].cross)
      b->known[page->entries[i].offset] = 1;
  b->e = (Emitter) { self->code_rw + self->code_used, self->code_rw + CODE_BYTES, self->code + self->code_used, false };
  b->lower = (Lower) { self, &b->e, view->mode, false };
  if (!crossing)
    trace (b, eip, pending, &n_pending);
  else
    {
      Step *step = add_step (b, eip, END_NONE);

      step->insn = crossing_insn;
      b->at[eip & 4095] = 1;
      if (!(is_branch (&step->insn) && branch_is_native (&step->insn) && !is_conditional (&step->insn))
          && !callout_ends_trace (&step->insn))
        add_step (b, eip + step->insn.length, END_JUMP);
    }
  for (int i = 0; i < n_pending && b->n_steps < MAX_UNIT_INSNS; i++)
    if (!b->at[pending[i] & 4095])
      trace (b, pending[i], pending, &n_pending);
  if (b->steps[0].end != END_NONE)
    return NULL;
  mark_blocks (b);
  emit_steps (b);
  if (b->e.full)
    {
      self->n_records = first_record;
      self->n_sites = first_site;
      self->n_links = first_link;
      self->flush_wanted = true;
      return NULL;
    }

  unit = &self->units[self->n_units++];
  *unit = (Unit) { .host = self->code_used, .host_end = code_offset (b), .first_record = first_record,
                   .n_records = self->n_records - first_record, .first_link = first_link, .n_links = self->n_links - first_link,
                   .cross = crossing ? next_backing : 0, .cross_bytes = (uint8_t) (crossing ? (eip & 4095) + crossing_insn.length - 4096 : 0),
                   .page = (uint32_t) (page - self->pages), .next_in_page = page->units, .eip = eip, .low = 4095, .valid = true };
  page->units = self->n_units;
  self->code_used = (code_offset (b) + 31) & ~31u;
  for (int i = 0; i < b->n_steps; i++)
    {
      const Step *step = &b->steps[i];
      uint32_t offset = step->eip & 4095;

      if (step->end == END_JUMP)
        continue;
      if (offset < unit->low)
        unit->low = (uint16_t) offset;
      if (offset + (step->end ? 15u : step->insn.length) > unit->high)
        unit->high = (uint16_t) (offset + (step->end ? 15u : step->insn.length));
      if (step->entry && step->end == END_NONE)
        {
          bool known = false;

          for (uint32_t k = 0; k < page->n_entries && !known; k++)
            known = page->entries[k].offset == offset && self->units[page->entries[k].unit].cross == unit->cross;
          if (known)
            continue;
          if (page->n_entries == page->max_entries)
            {
              uint32_t n = page->max_entries ? 2 * page->max_entries : 16;
              Entry *entries = realloc (page->entries, n * sizeof *entries);

              if (!entries)
                break;
              page->entries = entries;
              page->max_entries = n;
            }
          page->entries[page->n_entries] = (Entry) { (uint16_t) offset, step->host, self->n_units - 1 };
          for (uint32_t v = 0; v < self->n_views && !crossing; v++)
            if (page->views >> v & 1)
              set_entry (self, &self->views[v], page->linear_page, &page->entries[page->n_entries]);
          page->n_entries++;
        }
    }
  if (unit->high > 4096)
    unit->high = 4096;
  /* Jumps to what exists already are linked at once. */
  for (uint32_t i = unit->first_link; i < unit->first_link + unit->n_links; i++)
    {
      uint64_t entry = unit_entry (self, view, self->links[i].eip);

      if (entry)
        unit_link (self, i, entry);
    }
  mark_code (self, backing);
  if (crossing)
    {
      page->has_cross = true;
      self->cross_units[self->n_cross++] = self->n_units - 1;
      mark_code (self, next_backing - 1);
    }
  self->n_translated_units++;
  return unit;
}
