/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The translator's own structures.  README.md explains how they work together. */
#pragma once

#include "cpu.h"
#include "decode.h"
#include "emit.h"
#include "engine.h"
#include "insn-table.h"
#include "translator-engine.h"

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

typedef struct Translator Translator;
typedef struct Space      Space;
typedef struct View       View;
typedef struct CodePage   CodePage;
typedef struct Unit       Unit;

enum
{
  CODE_BYTES        = 20 << 20, /* of translated code; when it is full everything is thrown away */
  HOT_BYTES         = 1 << 16,
  GLUE_BYTES        = 8192,     /* at the start of the code: entry, exits, callouts */
  MAX_UNITS         = 1 << 18,
  MAX_RECORDS       = 4 << 20,
  MAX_SITES         = 1 << 18,
  MAX_LINKS         = 1 << 19,
  MAX_CODE_PAGES    = 1 << 15,
  MAX_SPACES        = 24,
  MAX_VIEWS         = 48,
  MAX_INSTALLED     = 1600,     /* code pages in all EIP maps together: up to 16 KiB of map each */
  VIEWS_PER_SPACE   = 4,
  MAX_TABLES        = 256,      /* page tables watched per space; more: the space is emptied */
  MAX_UNIT_INSNS    = 192,
  PAIR_STACK_BYTES  = 1 << 20,  /* touched as far as calls nest */
  HOT_THRESHOLD     = 24,       /* executions of a block before it is translated */
  N_COUNTERS        = 1 << 14,
  MAX_MAPPINGS      = 1 << 20,  /* window pages, all spaces */
  VMA_BUDGET        = 50000,    /* host mappings that windows may make; vm.max_map_count is 65530 by default */
  N_SITE_STATS      = 1 << 14,  /* in buckets of SITE_WAYS */
  SITE_WAYS         = 8,
  MAX_CROSS         = 1 << 14,  /* units across a page border */
  N_TOUCHES         = 1 << 11,
  MAP_TOUCHES       = 32,       /* soft accesses to a page before it is mapped */
  BACK_HITS         = 256,       /* soft accesses in a row to mapped pages before a site goes back to the window */
};

#define WINDOW_BYTES  (1ull << 32)
#define WINDOW_STRIDE (1ull << 33)      /* window and guard */
#define MAP_BYTES     (1ull << 34)      /* four bytes per guest EIP */

/* What translated code and glue reach relative to RIP.  Lies just before the code. */
typedef struct
{
  uint64_t c_stack;             /* RSP of the C caller while translated code runs */
  uint64_t pair_stack;          /* RSP of translated code while C runs */
  uint64_t map, window;
  uint64_t segment_window[N_SEGMENTS];  /* window, or an address where every access faults */
  int64_t  remaining;           /* counted code: instructions until the limit */
  uint32_t inside;              /* the processor is in translated code */
  uint32_t direction;           /* the guest's DF, which the host's flag shows too */
  uint32_t fpu_in_host;         /* host registers hold the guest's x87 and SSE state */
  uint64_t exit_info;           /* link or site number */
  Cpu     *cpu;
  Translator *translator;
  uint32_t has_fsgsbase;
  _Alignas (64) uint8_t fx[512];        /* FXSAVE image */
  uint8_t  fx_host[512];        /* reserved: keeps the image's neighbours apart */
} Hot;

/* Why translated code came back to C. */
enum { LEAVE_LOOKUP = 1, LEAVE_LINK, LEAVE_INSN, LEAVE_LIMIT, LEAVE_EVENT, LEAVE_SIGNAL, LEAVE_REFUSED };

/* Segments as translated code knows them: part of a view's mode. */
enum { MODE_DS_BASED = 1, MODE_ES_BASED = 2, MODE_NONE = 0xff };

/* One guest instruction's place in translated code. */
typedef struct
{
  uint32_t host;                /* offset in the code of its first host instruction: the guest state is complete there */
  uint16_t offset;              /* of EIP in its guest page */
  uint8_t  count;               /* instructions of the basic block from this one on (counted code) */
  uint8_t  flags;               /* RECORD_* */
} InsnRecord;

enum { RECORD_NOT_BOUNDARY = 1 };

/* A callout: an instruction that the interpreter runs. */
typedef struct
{
  DecodedInsn insn;
  uint32_t    eip;
  uint8_t     count;            /* as in InsnRecord */
  uint8_t     flags;            /* SITE_* */
  uint16_t    stat;             /* SITE_SOFT: index in site_stats */
  uint8_t     reason;           /* REASON_* to count */
  uint8_t     segment;          /* the segment register that SITE_MODE loads; SEG_NONE: anything may have changed */
} Site;

enum { SITE_MODE = 1 /* may change segments or mode */, SITE_FPU = 2 /* reads or writes x87 or SSE state */, SITE_SOFT = 4 /* only because it faulted often */, SITE_ENDS = 8 /* no code behind it */, SITE_STI = 16 /* the next instruction is host code and no boundary */,
       SITE_SHADOW = 32 /* STI */, SITE_FPU_CHECK = 0x80 };

/* A direct jump to another unit: patched when the target exists, taken back when it dies. */
typedef struct
{
  uint32_t field;               /* offset in the code of the 32-bit displacement */
  uint32_t stub;                /* offset of the stub that it points to while unlinked */
  uint32_t eip;
  uint32_t next;                /* link + 1 in the list of the target unit */
  uint32_t unit, target;        /* from; to (unit + 1, 0: unlinked) */
} Link;

struct Unit
{
  uint32_t host, host_end;      /* offsets in the code */
  uint32_t first_record, n_records;
  uint32_t first_link, n_links;
  uint32_t first_entry, n_entries;      /* in its code page's entries: kept by value below */
  uint32_t links_in;            /* link + 1 */
  uint32_t page;                /* index of CodePage */
  uint32_t next_in_page;        /* unit + 1 */
  uint32_t eip;
  uint16_t low, high;           /* bytes of the guest page it was made of: [low, high) */
  uint32_t cross;               /* an instruction that ends in the next page: that page's backing + 1 */
  uint8_t  cross_bytes;         /* and how many bytes lie there */
  bool     valid;
};

typedef struct
{
  uint16_t offset;
  uint32_t host, unit;
} Entry;

/* A guest page of code as it is seen at one linear page in one mode. */
struct CodePage
{
  uint32_t linear_page, backing, region; /* region: what direct links may rely on, see unit.c */
  uint8_t  mode;
  bool     in_use;
  uint32_t next;                /* hash chain, index + 1 */
  uint32_t next_same_backing;   /* index + 1 */
  uint32_t units;               /* unit + 1 */
  Entry   *entries;
  uint32_t n_entries, max_entries;
  uint64_t views;               /* bit per view: installed there */
  bool     has_cross;           /* some entry depends on the next page too */
};

/* A page table that a space's mappings came from, and what it said. */
typedef struct
{
  const uint8_t *host;
  uint32_t       linear;        /* of its first entry */
  uint8_t        shift;         /* log2 of bytes per entry */
  uint8_t        entry_bytes;
  bool           in_use;
  uint8_t        copy[4096];
} TableShadow;

struct View
{
  Space    *space;
  uint8_t   mode;
  uint32_t *map;
  uint32_t *code_at;            /* per linear page: CodePage index + 1 */
  uint32_t *installed;          /* linear pages that code_at knows */
  uint32_t  n_installed, max_installed;
};

/* A linear address space as a host window. */
struct Space
{
  bool      in_use, user, paging;
  bool      lost;               /* its address range could not be kept: never used again */
  uint32_t  cr3, mode_bits;     /* CR0.WP, CR4.PSE, CR4.PAE as they matter to mappings */
  uint64_t  pdpte[4];
  uint8_t  *window;
  uint32_t *pages;              /* per linear page: mapping index + 1 and PAGE_WRITABLE */
  uint8_t  *pair_stack;
  uint64_t  pair_top, pair_pointer;
  uint64_t  epoch, last_used;
  uint32_t  n_mapped;
  uint32_t  n_vmas;             /* at most this many */
  View     *views[VIEWS_PER_SPACE];
  View     *view;               /* of the mode now */
  TableShadow *tables;
  uint32_t  n_tables;
};

#define SPACE_PAGE_WRITABLE 0x80000000u

/* One page of one window, in the list of its backing page. */
typedef struct
{
  uint32_t backing;
  uint32_t linear_page, physical_page;
  uint16_t space;
  bool     writable;
  uint32_t next, previous;      /* index + 1 */
} Mapping;

/* An instruction that faulted: after a few times it is run by the interpreter from the start. */
typedef struct
{
  uint32_t eip, backing;
  uint16_t faults;
  uint16_t hits;                /* soft: times in a row that the window would have answered */
  uint16_t guest_faults;        /* those that became the guest's page faults */
  bool     soft, exact;
} SiteStat;

/* How often soft sites touched a page that is not in the window: after a while it is worth a mapping. */
typedef struct
{
  uint32_t linear_page;
  uint16_t space;
  uint16_t touches;
} PageTouch;

enum { FPU_IN_CPU, FPU_IN_IMAGE, FPU_IN_HOST };

struct Translator
{
  Engine        engine;
  Cpu          *cpu;
  bool          counted;
  bool          strict_flags;   /* lockstep: undefined flags must not show */
  TranslatorBreak broken;       /* a lowering broken on purpose, for tests */

  /* executable memory */
  Hot          *hot;
  uint8_t      *code_rw;        /* writable alias of code */
  uint64_t      code;           /* executable address */
  uint8_t      *region;         /* HOT_BYTES + CODE_BYTES at hot */
  uint32_t      code_used, code_limit;
  uint32_t      vma_budget;
  uint32_t      glue_end;
  int         (*enter) (uint64_t target);
  uint64_t      glue_exit_lookup, glue_exit_link, glue_exit_insn, glue_exit_limit, glue_callout, glue_fpu, glue_ret_bottom;
  uint64_t      glue_signal_exit;
  uint64_t      map_bias;       /* what a map entry of 0 stands for */

  /* units */
  Unit         *units;
  uint32_t      n_units;
  InsnRecord   *records;
  uint32_t      n_records;
  Site         *sites;
  uint32_t      n_sites;
  Link         *links;
  uint32_t      n_links;
  CodePage     *pages;
  uint32_t      n_pages;
  uint32_t      page_hash[4096];        /* index + 1 */
  uint32_t     *backing_code;   /* per backing page: CodePage index + 1 */
  uint32_t      generation;     /* counts invalidations: translated code must be left */
  bool          reset_pairs;
  bool          block_start;    /* EIP was reached by a branch */
  bool          flush_wanted;
  bool          unsoften;       /* a site goes back to the window: its unit is made again */
  uint16_t      counters[N_COUNTERS];
  uint32_t      cross_units[MAX_CROSS];
  uint32_t      n_cross;

  /* spaces */
  Space         spaces[MAX_SPACES];
  View          views[MAX_VIEWS];
  uint32_t      n_views, n_installed;
  uint8_t      *windows;        /* reservation */
  Space        *space;
  Mapping      *mappings;
  uint32_t      n_mappings, free_mapping;       /* free list: index + 1 */
  uint32_t     *backing_mappings;       /* per backing page: index + 1 */
  uint64_t      epoch, use_clock;
  uint32_t      n_vmas;
  int           memory_fd;

  SiteStat      site_stats[N_SITE_STATS];
  PageTouch     touches[N_TOUCHES];

  /* FPU */
  int           fpu;            /* FPU_IN_* */

  /* signals */
  pid_t         thread;
  bool          stepping;
  int64_t       entered_with;   /* hot->remaining when translated code was entered */
  uint32_t      signal_insn;    /* the handler found that this must be interpreted; 2: a memory fault */
  uint32_t      fault_linear;
  bool          fault_in_guard;
  bool          fault_is_fpu;   /* x87 and SSE state were in the host's registers then */
  bool          fault_is_guests;        /* the guest's page tables do not allow the access */
  uint64_t      base_instructions;      /* cpu->instructions when translated code was entered */
  ExitReason    callout_reason;
  bool          callout_returns;        /* it was IRET */
  uint32_t      pending_link, pending_eip;      /* link + 1 that the next entry answers */
  uint32_t      resume_eip;     /* where the guest had a page fault */
  uint32_t      flush_state;
  unsigned      threshold;

  uint32_t      interpret_first;        /* instructions to interpret before translated code is tried again */

  /* statistics */
  uint64_t      n_faults, n_maps, n_leaves, n_translated_units, n_flushes, n_revalidations, n_callouts, n_kicks;
  uint64_t      leaves[8];
};

/* glue.c */
bool     glue_make (Translator *self);
/* Called by the glue: runs the instruction of a site; 0: go on behind it, else leave with this reason. */
int      translator_callout (Cpu *cpu, uint32_t site);

/* unit.c */
/* A unit that begins at eip.  tail: eip is in the middle of a block, only the way to the next branch is wanted. */
Unit    *unit_translate       (Translator *self, View *view, uint32_t eip, bool tail);
void     unit_invalidate_range (Translator *self, uint32_t backing, uint32_t offset, uint32_t n_bytes);
bool     unit_page_has_code   (const Translator *self, uint32_t backing);
void     unit_flush_all       (Translator *self);
const InsnRecord *unit_find_record (Translator *self, uint32_t code_offset, const Unit **ret_unit);
void     unit_link            (Translator *self, uint32_t link, uint64_t entry);
void     unit_forget_page     (Translator *self, View *view, uint32_t linear_page);
bool     unit_install_page    (Translator *self, View *view, uint32_t eip);
static inline uint64_t
unit_entry (const Translator *self, const View *view, uint32_t eip)
{
  uint32_t value = view->map[eip];

  return value ? value + self->map_bias : 0;
}
SiteStat *site_stat           (Translator *self, uint32_t eip, uint32_t backing, bool create);

/* lower.c */
typedef struct
{
  Translator *translator;
  Emitter    *e;
  uint8_t     mode;             /* MODE_* */
  bool        exact_address;    /* this instruction's operand is known to wrap: use the 32-bit form */
} Lower;

typedef enum { LOWER_CALLOUT, LOWER_DONE, LOWER_BRANCH } Lowering;

void     lower_setup          (void);
/* Whether instructions of this row are lowered at all (for the test that walks the table). */
bool     lower_row_is_lowered (unsigned row);
bool     lower_is_fpu         (const DecodedInsn *insn);
/* Emits code for one instruction that is not a branch. False: nothing was emitted, call out. */
bool     lower_insn           (Lower *self, const DecodedInsn *insn, uint32_t *ret_rep_host);
/* Emits code that loads a branch target or pushes; helpers of unit.c. */
bool     lower_load_rm32      (Lower *self, const DecodedInsn *insn, int to);
bool     lower_flags_simple   (const DecodedInsn *insn);
bool     lower_flags_logic    (const DecodedInsn *insn);
bool     lower_flags_dead     (const DecodedInsn *insn, bool *ret_decided);

/* space.c */
void    *translator_reserve   (size_t n_bytes);
bool     space_setup          (Translator *self, const char **ret_error);
void     space_teardown       (Translator *self);
Space   *space_select         (Translator *self, uint8_t mode);
void     space_revalidate     (Translator *self, Space *space);
/* A translated access to `linear` faulted.  True: mapped, run it again. */
bool     space_map_fault      (Translator *self, Space *space, uint32_t linear, bool write, bool wanted);
bool     space_translate_code (Translator *self, Space *space, uint32_t linear, uint32_t *ret_backing, uint32_t *ret_region);
void     space_unmap          (Translator *self, Space *space, uint32_t first_page, uint32_t n_pages);
void     space_unmap_all      (Translator *self, Space *space);
void     space_drop_all       (Translator *self);
void     space_protect_backing (Translator *self, uint32_t backing);
void     space_unmap_backing  (Translator *self, uint32_t backing);
void     space_flush_linear   (Translator *self, uint32_t linear);
View    *space_view           (Translator *self, Space *space, uint8_t mode);
void     space_reset_pairs    (Translator *self);

/* fpu.c */
void     fpu_to_image         (Translator *self);       /* host to image */
void     fpu_to_cpu           (Translator *self);       /* whatever to cpu->fpu */
void     fpu_to_host          (Translator *self);
