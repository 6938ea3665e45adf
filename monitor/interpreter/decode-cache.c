/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "decode-cache.h"

#include "insn-table.h"
#include "interpreter.h"
#include "physical-memory.h"
#include "tlb.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Sits behind the last instruction of a block, and in every instruction of a dead one. */
static ExitReason
leave_block (Cpu *cpu, const DecodedInsn *insn)
{
  return EXIT_REQUEST;
}

static void
kill_block (Block *block)
{
  for (unsigned i = 0; i < block->n_insns; i++)
    block->insns[i].routine = leave_block;
}

/* No link leads to a block that died. */
static void
forget_links (Cpu *cpu)
{
  cpu->tlb->epoch++;
}

static void
unlink_from_bucket (DecodeCache *cache, Block *block)
{
  Block **link = &cache->buckets[decode_cache_bucket (block->page, block->offset, block->mode)];

  while (*link != block)
    link = &(*link)->next_in_bucket;
  *link = block->next_in_bucket;
}

static uint64_t
pieces (uint32_t offset, uint32_t n_bytes)
{
  unsigned first = offset / 64, last = (offset + n_bytes - 1) / 64;

  return (UINT64_MAX << first) & (UINT64_MAX >> (63 - last));
}

static void
on_code_written (Cpu *cpu, uint32_t page, uint32_t offset, uint32_t n_bytes)
{
  DecodeCache *cache = cpu->decode_cache;
  Block **link = &cache->pages[page];
  uint64_t mask = 0;

  if (!(cache->masks[page] & pieces (offset, n_bytes)))
    return;
  while (*link)
    {
      Block *block = *link;

      if (block->offset < offset + n_bytes && offset < (uint32_t) block->offset + block->n_bytes)
        {
          *link = block->next_in_page;
          unlink_from_bucket (cache, block);
          kill_block (block);
          forget_links (cpu);
          cache->n_killed++;
          cpu->tlb->code_changed = true;
        }
      else
        {
          mask |= pieces (block->offset, block->n_bytes);
          link = &block->next_in_page;
        }
    }
  cache->masks[page] = mask;
  /* The page may also hold code that was translated: then it stays marked until the translator drops it. */
  if (!cache->pages[page] && !cpu->hooks.code_written)
    cpu->memory->page_flags[page] &= (uint8_t) ~PAGE_CODE;
}

/* The mapping from linear addresses to pages changed while a block runs: do not run on into what is no longer there. */
static void
leave_current (Cpu *cpu)
{
  DecodeCache *cache = cpu->decode_cache;
  Block *block = cache->current, **link;

  cpu->tlb->code_changed = true;
  if (!block || block->insns[0].routine == leave_block)
    return;
  for (link = &cache->pages[block->page]; *link && *link != block; link = &(*link)->next_in_page)
    ;
  if (!*link)
    return;
  *link = block->next_in_page;
  unlink_from_bucket (cache, block);
  kill_block (block);
  forget_links (cpu);
}

static void
on_map_changed (Cpu *cpu, uint32_t first_guest_page, uint32_t n_pages)
{
  leave_current (cpu);
}

static void
empty (Cpu *cpu)
{
  DecodeCache *cache = cpu->decode_cache;

  for (unsigned i = 0; i < DECODE_CACHE_BUCKETS; i++)
    {
      for (Block *block = cache->buckets[i]; block; block = block->next_in_bucket)
        {
          cache->pages[block->page] = NULL;
          cache->masks[block->page] = 0;
          if (!cpu->hooks.code_written)
            cpu->memory->page_flags[block->page] &= (uint8_t) ~PAGE_CODE;
        }
      cache->buckets[i] = NULL;
    }
  forget_links (cpu);
  cache->used = 0;
  cache->current = NULL;
  cache->n_emptied++;
}

Block *
decode_cache_build (Cpu *cpu, uint32_t page, uint32_t offset, unsigned mode)
{
  enum { MOST = sizeof (Block) + (BLOCK_MAX_INSNS + 1) * sizeof (DecodedInsn) };
  DecodeCache *cache = cpu->decode_cache;
  const uint8_t *bytes = cpu->memory->host + (size_t) page * GUEST_PAGE_SIZE;
  uint32_t at = offset;
  unsigned bucket;
  Block *block;

  if (cache->used + MOST > DECODE_CACHE_BYTES)
    empty (cpu);
  block = (Block *) (cache->arena + cache->used);
  block->n_insns = 0;
  while (block->n_insns < BLOCK_MAX_INSNS && at < GUEST_PAGE_SIZE)
    {
      DecodedInsn *insn = &block->insns[block->n_insns];
      const InsnRow *row;

      if (insn_decode (bytes + at, GUEST_PAGE_SIZE - at, mode, cpu->features, insn) < 0)
        break;
      insn->routine = interpreter_routine (insn);
      at += insn->length;
      block->n_insns++;
      row = &insn_rows[insn->row];
      if (row->attributes & INSN_ATTRIBUTES_END
          || (row->attributes & INSN_ATTRIBUTES_REP && insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE)))
        break;
    }
  if (block->n_insns == 0)
    return NULL;
  block->insns[block->n_insns].routine = leave_block;
  memset (block->links, 0, sizeof block->links);
  block->page = page;
  block->offset = (uint16_t) offset;
  block->n_bytes = (uint16_t) (at - offset);
  block->mode = (uint8_t) mode;
  bucket = decode_cache_bucket (page, offset, mode);
  block->next_in_bucket = cache->buckets[bucket];
  cache->buckets[bucket] = block;
  block->next_in_page = cache->pages[page];
  cache->pages[page] = block;
  cache->masks[page] |= pieces (offset, block->n_bytes);
  cache->used += sizeof (Block) + (block->n_insns + 1u) * sizeof (DecodedInsn);
  cache->used = (cache->used + 63) & ~(size_t) 63;
  cache->n_built++;
  if (!(cpu->memory->page_flags[page] & PAGE_CODE))
    {
      cpu->memory->page_flags[page] |= PAGE_CODE;
      tlb_protect_page (cpu, page);
    }
  return block;
}

static void *
map_pages (size_t n_bytes)
{
  void *bytes = mmap (NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  return bytes == MAP_FAILED ? NULL : bytes;
}

DecodeCache *
decode_cache_new (Cpu *cpu)
{
  DecodeCache *cache = calloc (1, sizeof *cache);
  size_t n_pages = cpu->memory->n_pages;

  if (!cache)
    return NULL;
  cpu->decode_cache = cache;
  cache->buckets = calloc (DECODE_CACHE_BUCKETS, sizeof *cache->buckets);
  cache->pages = map_pages (n_pages * sizeof *cache->pages);
  cache->masks = map_pages (n_pages * sizeof *cache->masks);
  cache->arena = map_pages (DECODE_CACHE_BYTES);
  if (!cache->buckets || !cache->pages || !cache->masks || !cache->arena)
    {
      decode_cache_free (cpu);
      return NULL;
    }
  cpu->cache_hooks.code_written = on_code_written;
  cpu->cache_hooks.map_changed = on_map_changed;
  cpu->cache_hooks.flush_all = leave_current;
  return cache;
}

void
decode_cache_free (Cpu *cpu)
{
  DecodeCache *cache = cpu->decode_cache;
  size_t n_pages = cpu->memory->n_pages;

  if (!cache)
    return;
  memset (&cpu->cache_hooks, 0, sizeof cpu->cache_hooks);
  cpu->decode_cache = NULL;
  free (cache->buckets);
  if (cache->pages)
    munmap (cache->pages, n_pages * sizeof *cache->pages);
  if (cache->masks)
    munmap (cache->masks, n_pages * sizeof *cache->masks);
  if (cache->arena)
    munmap (cache->arena, DECODE_CACHE_BYTES);
  free (cache);
}
