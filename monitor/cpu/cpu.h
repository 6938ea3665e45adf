/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state of the guest's processor, as the Intel SDM names it.
 *
 * One struct, shared by interpreter, translator, state file and debugger.  Plain fields; what may be asked of them is
 * in segments.h (loading selectors, gates, tasks), paging.h (linear to physical), exceptions.h (raising and
 * delivering), flags.h (lazy arithmetic flags).
 *
 * Faults: a routine that fails records the exception with cpu_raise () and returns EXIT_FAULT; at that moment nothing
 * that the guest can see has changed, and eip is that of the faulting instruction. */
#pragma once

#include "irq-line.h"
#include "state.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Bus         Bus;
typedef struct GuestMemory GuestMemory;
typedef struct Clock       Clock;
typedef struct Cpu         Cpu;

typedef enum
{
#define EXIT(name, module, text) EXIT_##name,
#include "exits.def"
#undef EXIT
} ExitReason;

enum { REG_EAX, REG_ECX, REG_EDX, REG_EBX, REG_ESP, REG_EBP, REG_ESI, REG_EDI, REG_NONE = 0xff };
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, N_SEGMENTS, SEG_NONE = 0xff };

enum
{
  EFLAGS_CF = 1u << 0, EFLAGS_1 = 1u << 1, EFLAGS_PF = 1u << 2, EFLAGS_AF = 1u << 4, EFLAGS_ZF = 1u << 6,
  EFLAGS_SF = 1u << 7, EFLAGS_TF = 1u << 8, EFLAGS_IF = 1u << 9, EFLAGS_DF = 1u << 10, EFLAGS_OF = 1u << 11,
  EFLAGS_IOPL = 3u << 12, EFLAGS_NT = 1u << 14, EFLAGS_RF = 1u << 16, EFLAGS_VM = 1u << 17, EFLAGS_AC = 1u << 18,
  EFLAGS_VIF = 1u << 19, EFLAGS_VIP = 1u << 20, EFLAGS_ID = 1u << 21,
  EFLAGS_ARITHMETIC = EFLAGS_CF | EFLAGS_PF | EFLAGS_AF | EFLAGS_ZF | EFLAGS_SF | EFLAGS_OF,
};

enum
{
  CR0_PE = 1u << 0, CR0_MP = 1u << 1, CR0_EM = 1u << 2, CR0_TS = 1u << 3, CR0_ET = 1u << 4, CR0_NE = 1u << 5,
  CR0_WP = 1u << 16, CR0_AM = 1u << 18, CR0_NW = 1u << 29, CR0_CD = 1u << 30, CR0_PG = 1u << 31,
  CR4_VME = 1u << 0, CR4_PVI = 1u << 1, CR4_TSD = 1u << 2, CR4_DE = 1u << 3, CR4_PSE = 1u << 4, CR4_PAE = 1u << 5,
  CR4_MCE = 1u << 6, CR4_PGE = 1u << 7, CR4_PCE = 1u << 8, CR4_OSFXSR = 1u << 9, CR4_OSXMMEXCPT = 1u << 10,
};

enum
{
  VECTOR_DE = 0, VECTOR_DB = 1, VECTOR_NMI = 2, VECTOR_BP = 3, VECTOR_OF = 4, VECTOR_BR = 5, VECTOR_UD = 6,
  VECTOR_NM = 7, VECTOR_DF = 8, VECTOR_TS = 10, VECTOR_NP = 11, VECTOR_SS = 12, VECTOR_GP = 13, VECTOR_PF = 14,
  VECTOR_MF = 16, VECTOR_AC = 17, VECTOR_MC = 18, VECTOR_XM = 19,
};

/* A segment register with its hidden part (SDM vol. 3, 3.4.3). */
typedef struct
{
  uint32_t base;
  uint32_t limit;               /* last valid byte offset, granularity applied */
  uint16_t selector;
  uint16_t attributes;          /* SEGMENT_*: descriptor dword 1, bits 8..23, shifted right by 8 */
} Segment;

enum
{
  SEGMENT_TYPE = 0xf, SEGMENT_ACCESSED = 1, SEGMENT_WRITABLE = 2 /* data */, SEGMENT_READABLE = 2 /* code */,
  SEGMENT_EXPAND_DOWN = 4 /* data */, SEGMENT_CONFORMING = 4 /* code */, SEGMENT_CODE = 8, SEGMENT_S = 1 << 4,
  SEGMENT_DPL_SHIFT = 5, SEGMENT_P = 1 << 7, SEGMENT_AVL = 1 << 12, SEGMENT_L = 1 << 13, SEGMENT_DB = 1 << 14,
  SEGMENT_G = 1 << 15,
};

/* x87, MMX and SSE registers.  x87 registers lie in physical order R0 … R7 (ST(i) is R[(TOP + i) & 7]); MMi is the low
 * 8 bytes of Ri. */
typedef struct
{
  _Alignas (16) uint8_t r[8][16];       /* 80 bits each, little endian, bytes 10 … 15 zero */
  _Alignas (16) uint8_t xmm[8][16];
  uint16_t control, status, opcode;     /* status holds TOP in bits 11 … 13; opcode is 11 bits */
  uint8_t  valid;                       /* bit i: Ri is not empty (the tag word's other values are computed) */
  uint8_t  reserved;
  uint32_t mxcsr;
  uint32_t ip, dp;                      /* last instruction and operand pointer */
  uint16_t cs, ds;
} Fpu;

/* CPU models of the command line. */
typedef enum { CPU_MODEL_PENTIUM, CPU_MODEL_PENTIUM2, CPU_MODEL_PENTIUM3, CPU_MODEL_PENTIUM_M, N_CPU_MODELS } CpuModel;

/* Which instruction set extensions the model has: rows of insns.def name one of these. */
enum
{
  FEATURE_BASE = 0, FEATURE_FPU = 1u << 0, FEATURE_MMX = 1u << 1, FEATURE_CMOV = 1u << 2, FEATURE_SEP = 1u << 3,
  FEATURE_FXSR = 1u << 4, FEATURE_SSE = 1u << 5, FEATURE_SSE2 = 1u << 6, FEATURE_NX = 1u << 7, FEATURE_PAE = 1u << 8,
  FEATURE_PGE = 1u << 9, FEATURE_PSE36 = 1u << 10, FEATURE_CLFLUSH = 1u << 11, FEATURE_APIC = 1u << 12, FEATURE_PAT = 1u << 13,
  FEATURE_MTRR = 1u << 14, FEATURE_HYPERVISOR = 1u << 15,
};

/* What the engine that runs translated code must hear about. Any pointer may be NULL (interpreter alone). */
typedef struct
{
  void (*flush_all)       (Cpu *cpu);                    /* CR0/CR4 paging bits, A20, reset, restored state, SMM */
  void (*flush_linear)    (Cpu *cpu, uint32_t linear);   /* INVLPG, a changed mapping found by the walker */
  void (*cr3_written)     (Cpu *cpu);                    /* not global pages, if CR4.PGE */
  void (*code_written)    (Cpu *cpu, uint32_t page, uint32_t offset, uint32_t n_bytes);   /* backing page holds code */
  void (*map_changed)     (Cpu *cpu, uint32_t first_guest_page, uint32_t n_pages);        /* PAM, BARs, ROM */
  void (*dirty_cleared)   (Cpu *cpu, uint32_t first_backing_page, uint32_t n_pages);      /* catch the next write again */
  void (*kick)            (Cpu *cpu);                    /* async-signal-safe: leave translated code soon */
  void (*page_protected)  (Cpu *cpu, uint32_t page);     /* a backing page became PAGE_CODE: the next write must be seen */
} CpuHooks;

/* The chip at the other end of INTR (local APIC or PIC): asked when the CPU takes the interrupt. */
typedef struct
{
  int  (*acknowledge) (void *controller);                /* the vector, or -1: spurious, nothing is delivered */
  void (*smm_changed) (void *controller, bool in_smm);   /* chipset opens or closes SMRAM */
  void (*apic_base_written) (void *controller, uint64_t base);   /* WRMSR IA32_APIC_BASE */
  void  *controller;
  void  *smm_controller;
  IrqLine ferr;                                          /* FERR#: an unmasked x87 exception waits and CR0.NE is 0 */
} CpuLines;

typedef struct Tlb Tlb;                 /* cpu/tlb.h: the interpreter's software TLB */
typedef struct DecodeCache DecodeCache; /* interpreter/decode-cache.h */

struct Cpu
{
  /* Hot: translated code and the interpreter's inner loop use these. Order is not part of any file. */
  uint32_t  regs[8];
  uint32_t  eip;
  uint32_t  eflags;             /* all bits but the arithmetic ones, which are lazy: see flags.h */
  uint32_t  lazy_result, lazy_source, lazy_destination;
  uint8_t   lazy_operation;     /* FLAGS_OP_* of flags.h; 0: the arithmetic bits of eflags are valid */
  uint8_t   cpl;
  uint8_t   inhibit;            /* interrupts are held off for one instruction after STI, MOV SS, POP SS: CPU_INHIBIT_* */
  bool      halted;
  volatile uint32_t exit_request;       /* CPU_REQUEST_*: looked at between blocks; set from signal handlers */
  uint64_t  instructions;       /* retired since power on; a delivered fault and each iteration of a string count as one */
  uint64_t  instruction_limit;  /* run () returns at latest when `instructions` reaches this */
  Segment   segments[N_SEGMENTS];
  Tlb      *tlb;
  DecodeCache *decode_cache;
  GuestMemory *memory;
  Bus      *bus;
  Clock    *clock;

  Fpu       fpu;

  /* Exception being raised, valid after EXIT_FAULT. */
  uint8_t   exception_vector;
  bool      exception_has_error;
  uint16_t  exception_error;
  bool      exception_is_trap;  /* eip has already advanced (#DB traps) */
  uint8_t   external;           /* 1 while an external event is being delivered: EXT bit of error codes */
  uint32_t  exception_dr6;      /* #DB: bits to set in DR6 on delivery */

  /* System registers */
  uint32_t  cr0, cr2, cr3, cr4;
  uint32_t  dr[8];
  uint32_t  gdt_base, idt_base;
  uint16_t  gdt_limit, idt_limit;
  Segment   ldt, task;
  uint64_t  pdpte[4];           /* loaded with CR3 in PAE mode */

  /* MSRs */
  uint64_t  tsc_offset;         /* TSC = clock now in ns (1 GHz) + offset */
  uint64_t  apic_base, efer, pat, mtrr_default, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8], misc_enable;
  uint64_t  debug_control, bios_sign, platform_id, mcg_status, mc_status[5], feature_control;
  uint32_t  sysenter_cs, sysenter_esp, sysenter_eip;

  /* Lines and modes */
  bool      interrupt_line;     /* INTR */
  bool      nmi_pending, nmi_blocked, smi_pending, in_smm, init_pending;
  bool      nmi_line;
  bool      a20_masked;
  bool      ferr;               /* FERR# is driven */
  bool      ignne;              /* IGNNE#: x87 errors are ignored while CR0.NE is clear */
  bool      shutdown;
  bool      tf_pending;         /* single step trap due after this instruction */
  uint8_t   debug_hits;         /* DR6 bits to report after this instruction */
  uint32_t  smbase;

  /* Constant after construction */
  CpuModel  model;
  uint32_t  features;           /* FEATURE_* */
  uint64_t  physical_mask;      /* of guest-physical addresses: 2^32 - 1 or 2^36 - 1 */
  bool      undetectable;       /* no hypervisor CPUID leaf */
  CpuHooks  hooks;
  CpuHooks  cache_hooks;        /* the same for the interpreter's decode cache */
  void     *engine;             /* whatever the hooks need */
  CpuLines  lines;

  /* Counters for `stats` (exact under the instruction clock and in lockstep) */
  uint64_t  n_translated, n_interpreted;
  uint64_t  reason_counts[32];  /* by the thesis's reason codes: reasons.h */
};

enum { CPU_INHIBIT_STI = 1, CPU_INHIBIT_MOV_SS = 2 };

enum
{
  CPU_REQUEST_EVENT    = 1u << 0,       /* a line changed, a timer is due: look at everything */
  CPU_REQUEST_STOP     = 1u << 1,       /* the machine's thread has mail: leave run () */
};

typedef struct
{
  CpuModel model;
  bool     undetectable;
} CpuConfig;

/* A new processor, reset. The memory, bus and clock must outlive it. NULL when memory is short. */
Cpu *cpu_new        (const CpuConfig *config, GuestMemory *memory, Bus *bus, Clock *clock);
void cpu_free       (Cpu *cpu);
/* Power-on or RESET# (SDM vol. 3, 9.1); cpu_init_reset is INIT#: caches, FPU, MSRs and SMBASE keep their values. */
void cpu_reset      (Cpu *cpu);
void cpu_init_reset (Cpu *cpu);

/* The wires. IrqLine-shaped: controller is the Cpu. They set CPU_REQUEST_EVENT and call hooks.kick. */
void cpu_set_interrupt_line (void *cpu, unsigned input, bool level);
void cpu_set_nmi_line       (void *cpu, unsigned input, bool level);    /* edge */
void cpu_set_smi_line       (void *cpu, unsigned input, bool level);    /* edge */
void cpu_set_a20_line       (void *cpu, unsigned input, bool level);    /* high: A20 passes */
void cpu_pulse_init         (void *cpu, unsigned input, bool level);
void cpu_set_ignne_line     (void *cpu, unsigned input, bool level);    /* board: write to port F0h until FERR# falls */
void cpu_request_exit       (Cpu *cpu, uint32_t request);               /* async-signal-safe */

/* Takes whatever is pending between two instructions, in the SDM's order of priority (vol. 3, 6.9): INIT, SMI, NMI,
 * INTR, traps. Clears CPU_REQUEST_EVENT. Returns EXIT_NONE, EXIT_HALT (still halted) or EXIT_SHUTDOWN. */
ExitReason cpu_take_events  (Cpu *cpu);

uint64_t cpu_tsc (const Cpu *cpu);

extern const StateTable cpu_state_table;        /* brings lazy flags up to date before saving: call cpu_sync_flags */
void     cpu_sync_flags (Cpu *cpu);             /* makes eflags complete */
uint32_t cpu_get_eflags (const Cpu *cpu);       /* complete value, state unchanged */
