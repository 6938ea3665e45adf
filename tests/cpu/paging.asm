; SPDX-License-Identifier: GPL-3.0-or-later
; Paging: SDM vol. 3, chapter 4.  Linear 0 ... 3fffffh is mapped one to one as user pages; 800000h ... is the playground.
%include "system.inc"

%define DIRECTORY 0x20000
%define TABLE0    0x21000
%define TABLE2    0x22000       ; 800000h ... bfffffh
%define PDPT      0x23000
%define PAE_DIR   0x24000
%define PAE_TABLE 0x25000
%define PAGE_A    0x30000
%define PAGE_B    0x31000
%define PLAY      0x800000

; fault code bits
%define P 1
%define W 2
%define U 4
%define R 8
%define I 16

%macro MAP 2                    ; MAP page number in the playground, entry
        mov dword [TABLE2+(%1)*4], %2
        invlpg [PLAY+(%1)*0x1000]
%endmacro
; PF name, error, linear, instruction
%macro PF 4+
        FAULTS %1, 14, %2, %4
        IS {%1, "-cr2"}, [got_cr2], %3
%endmacro

main:
        mov edi, DIRECTORY
        mov ecx, 0x6000/4
        xor eax, eax
        rep stosd
        mov edi, TABLE0
        mov eax, 0x007
        mov ecx, 1024
.fill:  stosd
        add eax, 0x1000
        loop .fill
        mov dword [DIRECTORY], TABLE0 | 7
        mov dword [DIRECTORY+8], TABLE2 | 7
        mov eax, DIRECTORY
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp .paged
.paged: mov dword [PAGE_A], 0xaaaa0001
        mov dword [PAGE_B], 0xbbbb0002

; ---- 4.3 ----
        MAP 0, PAGE_A | 3
        mov eax, [PLAY]
        IS "4.3-4k-page", eax, 0xaaaa0001
        mov eax, [DIRECTORY+8]
        and eax, 0x60
        IS "4.8-directory-accessed-not-dirty", eax, 0x20
        mov eax, [TABLE2]
        and eax, 0x60
        IS "4.8-read-sets-accessed", eax, 0x20
        mov dword [PLAY], 0xaaaa0003
        mov eax, [TABLE2]
        and eax, 0x60
        IS "4.8-write-sets-dirty", eax, 0x60
        PF "4.7-not-present-read", 0, PLAY+0x1234, mov eax, [PLAY+0x1234]
        PF "4.7-not-present-write", W, PLAY+0x1ff0, mov [PLAY+0x1ff0], eax
        PF "4.7-no-directory-entry", 0, 0x1000000, mov eax, [0x1000000]
        PF "4.7-not-present-read-modify-write", W, PLAY+0x1000, inc dword [PLAY+0x1000]

; ---- 4.10: the TLB may keep what INVLPG and CR3 have not dropped; both drop it ----
        MAP 0, PAGE_B | 3
        mov eax, [PLAY]
        IS "4.10.4.1-invlpg", eax, 0xbbbb0002
        mov dword [TABLE2], PAGE_A | 3
        mov eax, cr3
        mov cr3, eax
        mov eax, [PLAY]
        IS "4.10.4.1-mov-cr3", eax, 0xaaaa0003
        mov dword [TABLE2], PAGE_B | 3
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        jmp .off
.off:   or eax, 0x80000000
        mov cr0, eax
        mov eax, [PLAY]
        IS "4.10.4.1-cr0-pg", eax, 0xbbbb0002
        mov dword [TABLE2+4], 0
        invlpg [PLAY+0x1000]
        RESUME_AT .filled
        mov eax, [PLAY+0x1000]
.filled:
        mov dword [TABLE2+4], PAGE_A | 3
        mov eax, [PLAY+0x1000]
        IS "4.10.2.1-not-present-is-not-cached", eax, 0xaaaa0003
        ; global pages
        mov eax, cr4
        or eax, 0x80
        mov cr4, eax
        MAP 2, PAGE_A | 0x103
        mov eax, [PLAY+0x2000]
        mov dword [TABLE2+8], PAGE_B | 0x103
        mov eax, cr3
        mov cr3, eax
        mov eax, [PLAY+0x2000]
        IS "4.10.2.4-global-survives-cr3", eax, 0xaaaa0003
        mov eax, cr4
        and eax, ~0x80
        mov cr4, eax
        mov eax, [PLAY+0x2000]
        IS "4.10.2.4-pge-change-drops-global", eax, 0xbbbb0002

; ---- 4.6: rights ----
        MAP 3, PAGE_A | 1
        mov dword [PLAY+0x3000], 0xaaaa0004
        mov eax, [PAGE_A]
        IS "4.6-supervisor-writes-read-only-without-wp", eax, 0xaaaa0004
        mov eax, cr0
        or eax, 0x10000
        mov cr0, eax
        PF "4.6-wp-stops-supervisor", P|W, PLAY+0x3000, mov [PLAY+0x3000], eax
        mov eax, [PLAY+0x3000]
        IS "4.6-wp-allows-reading", eax, 0xaaaa0004
        mov eax, cr0
        and eax, ~0x10000
        mov cr0, eax
        MAP 4, PAGE_A | 5
        MAP 5, PAGE_A | 3
        MAP 6, PAGE_A | 7
        RING3_FAULTS "4.6-user-reads-supervisor-page", 14, P|U, 2, mov eax, [PLAY+0x5000]
        RING3_FAULTS "4.6-user-writes-supervisor-page", 14, P|U|W, 2, mov [PLAY+0x5000], eax
        RING3_FAULTS "4.6-user-writes-read-only-page", 14, P|U|W, 2, mov [PLAY+0x4000], eax
        RING3_FAULTS "4.7-user-not-present", 14, U, 2, mov eax, [PLAY+0x9000]
        RING3 user_ok
        IS "4.6-user-reads-user-page", [got_eax], 0xaaaa0004
        and dword [DIRECTORY+8], ~4
        mov eax, cr3
        mov cr3, eax
        RING3_FAULTS "4.6-directory-user-bit-counts", 14, P|U, 2, mov eax, [PLAY+0x6000]
        or dword [DIRECTORY+8], 4
        and dword [DIRECTORY+8], ~2
        mov eax, cr3
        mov cr3, eax
        RING3_FAULTS "4.6-directory-write-bit-counts", 14, P|U|W, 2, mov [PLAY+0x6000], eax
        or dword [DIRECTORY+8], 2
        mov eax, cr3
        mov cr3, eax
        ; TSS and inner stack in supervisor pages: an interrupt from ring 3 reads them all the same
        and dword [TABLE0+1*4], ~4
        and dword [TABLE0+6*4], ~4
        mov eax, cr3
        mov cr3, eax
        RING3 ring3_int
        IS "4.6-implicit-accesses-are-supervisor", [got_vector], 0x40
        or dword [TABLE0+6*4], 4

; ---- Accesses across pages: nothing moves unless all can ----
        MAP 7, PAGE_A | 3
        MAP 8, 0
        mov dword [PAGE_A+0xffc], 0x55555555
        PF "6.12-write-across-to-missing", W, PLAY+0x8000, mov dword [PLAY+0x7ffe], 0
        IS "6.12-first-half-unchanged", [PAGE_A+0xffc], 0x55555555
        PF "4.7-read-across-to-missing", 0, PLAY+0x8000, mov eax, [PLAY+0x7ffd]
        MAP 8, PAGE_B | 3
        mov dword [PLAY+0x7ffe], 0x12345678
        movzx eax, word [PAGE_A+0xffe]
        IS "4.3-write-across-low-part", eax, 0x5678
        movzx eax, word [PAGE_B]
        IS "4.3-write-across-high-part", eax, 0x1234

; ---- Restart: a fault leaves the registers ----
        MAP 8, 0
        mov esi, PAGE_A
        mov edi, PLAY+0x7ff8
        mov ecx, 4
        RESUME_AT .pushed
        rep movsd
.pushed:
        IS "6.12-rep-movs-stops-at-fault", ecx, 2
        IS "6.12-rep-movs-esi", esi, PAGE_A+8
        IS "6.12-rep-movs-edi", edi, PLAY+0x8000
        MAP 8, PAGE_B | 3
        mov dword [PAGE_B], 0x77
        mov eax, 5
        RESUME_AT .xadd
        lock xadd [PLAY+0xa000], eax
.xadd:  IS "6.12-xadd-leaves-register", eax, 5

; ---- PF on fetch ----
        RESUME_AT .fetched
        mov dword [value], PLAY+0xb000
        jmp [value]
.fetched:
        IS "4.7-fetch-not-present", [got_error], 0
        IS "4.7-fetch-cr2", [got_cr2], PLAY+0xb000
        IS "4.7-fetch-eip", [got_eip], PLAY+0xb000
        ; an instruction across pages faults with the second page's address in CR2
        MAP 7, PAGE_A | 3
        MAP 8, 0
        mov byte [PAGE_A+0xffd], 0xb8
        RESUME_AT .across
        mov dword [value], PLAY+0x7ffd
        jmp [value]
.across:
        IS "4.7-fetch-across-cr2", [got_cr2], PLAY+0x8000
        IS "4.7-fetch-across-eip", [got_eip], PLAY+0x7ffd

; ---- 4.3: 4 MiB pages ----
        mov eax, cr4
        or eax, 0x10
        mov cr4, eax
        mov dword [DIRECTORY+12], 0x400083      ; linear c00000h -> physical 400000h
        mov dword [0xc12340], 0xc0ffee
        IS "4.3-4m-page-dirty", [DIRECTORY+12], 0x4000e3
        mov dword [DIRECTORY+4], 0x400083
        IS "4.3-4m-page", [0x412340], 0xc0ffee
        mov dword [DIRECTORY+16], 0x00200083
        PF "4.3-4m-reserved-bits", P|R, 0x1000000, mov eax, [0x1000000]
        mov dword [DIRECTORY+16], 0x00002083    ; PSE-36: 1_0000_0000h
        mov eax, [0x1000000]
        IS "4.3-pse36-beyond-memory-reads-ones", eax, 0xffffffff
        mov eax, cr4
        and eax, ~0x10
        mov cr4, eax
        mov dword [DIRECTORY+12], TABLE2 | 0x83
        mov eax, [0xc06000]
        IS "4.3-ps-ignored-without-pse", eax, [PAGE_A]

; ---- CR0, CR4 checks ----
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        jmp .unpaged
.unpaged:
        mov eax, 0x80000010
        FAULTS "2.5-pg-without-pe", 13, 0, mov cr0, eax
        mov eax, 0x20000011
        FAULTS "2.5-nw-without-cd", 13, 0, mov cr0, eax
        mov eax, 0x80000000
        FAULTS "2.5-cr4-reserved-bit", 13, 0, mov cr4, eax

; ---- 4.4: PAE ----
        mov edi, PAE_TABLE
        mov eax, 7
        mov ecx, 512
.pae:   stosd
        mov dword [edi], 0
        add edi, 4
        add eax, 0x1000
        loop .pae
        mov dword [PAE_DIR], PAE_TABLE | 7
        mov dword [PAE_DIR+4*8], 0x400083       ; 800000h: 2 MiB page at 400000h
        mov dword [PAE_DIR+5*8], 0x402083       ; reserved bit 13
        mov dword [PAE_DIR+6*8], 0x400083
        mov dword [PAE_DIR+6*8+4], 0x10         ; bit 36: beyond MAXPHYADDR
        mov dword [PDPT], PAE_DIR | 1
        mov dword [PDPT+8], PAE_DIR | 3         ; bit 1 is reserved
        mov eax, cr4
        or eax, 0x20
        mov cr4, eax
        mov eax, PDPT
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        FAULTS "4.4.1-reserved-bit-in-pdpte", 13, 0, mov cr0, eax
        mov dword [PDPT+8], 0
        mov cr0, eax
        jmp .in_pae
.in_pae:
        mov eax, [0x812340]
        IS "4.4-2m-page", eax, 0xc0ffee
        PF "4.4-2m-reserved-bit", P|R, 0xa00000, mov eax, [0xa00000]
        PF "4.4-beyond-maxphyaddr", P|R, 0xc00000, mov eax, [0xc00000]
        PF "4.4.2-pdpte-not-present", 0, 0x40000000, mov eax, [0x40000000]
        ; PDPTEs are read with CR3, not with each walk
        mov dword [PDPT], 0
        invlpg [0x8000]
        mov eax, [0x812340]
        IS "4.4.1-pdptes-are-registers", eax, 0xc0ffee
        mov dword [PDPT], PAE_DIR | 1
        mov dword [PDPT+8], PAE_DIR | 3
        mov eax, PDPT
        FAULTS "4.4.1-mov-cr3-checks-pdptes", 13, 0, mov cr3, eax
        mov dword [PDPT+8], 0
        mov dword [PAE_TABLE+0x30*8+4], 0x80000000
        invlpg [0x30000]
        mov eax, 0x80000001
        cpuid
        test edx, 1 << 20
        jz .no_nx
        PF "4.4-nx-reserved-without-nxe", P|R, 0x30000, mov eax, [0x30000]
        mov ecx, 0xc0000080
        mov eax, 0x800
        xor edx, edx
        wrmsr
        mov eax, [0x30000]
        IS "4.6-nx-page-readable", 0, 0
        RESUME_AT .nx
        mov dword [value], 0x30000
        jmp [value]
.nx:    IS "4.6-nx-fetch", [got_error], P|I
        IS "4.6-nx-fetch-cr2", [got_cr2], 0x30000
        jmp .end
.no_nx: PF "4.4-bit-63-reserved", P|R, 0x30000, mov eax, [0x30000]
.end:   mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        ret

user_ok:
        mov eax, [PLAY+0x6000]
        int 0x40
ring3_int:
        int 0x40

        align 4
value:  dd 0

%include "system-end.inc"
