; SPDX-License-Identifier: GPL-3.0-or-later
; What is left of the system: CPUID, MSRs, time, fast system calls, prefixes, self-modifying code, A20, strings.
%include "system.inc"

main:
; ---- CPUID ----
        xor eax, eax
        cpuid
        IS "cpuid-0-ebx", ebx, 'Genu'
        IS "cpuid-0-edx", edx, 'ineI'
        IS "cpuid-0-ecx", ecx, 'ntel'
        mov [max_leaf], eax
        mov eax, 1
        cpuid
        mov [features], edx
        and edx, 0x1bf & ~0x40
        IS "cpuid-1-base-features", edx, 0x1bf & ~0x40
        shr ecx, 31
        IS "cpuid-1-hypervisor-bit", ecx, 1
        mov eax, 0x40000000
        cpuid
        IS "cpuid-hypervisor-signature", ebx, 'KVMK'
        mov eax, 0x40000001
        cpuid
        IS "cpuid-hypervisor-no-features", eax, 0
        mov eax, [max_leaf]
        cpuid
        mov [value], edx
        mov eax, 0x0000ffff
        cpuid
        IS "cpuid-beyond-is-highest-basic-leaf", edx, [value]
        ; the ID flag can be changed
        pushfd
        xor dword [esp], 0x200000
        popfd
        pushfd
        pop eax
        and eax, 0x200000
        IS "eflags-id", eax, 0x200000

; ---- MSRs ----
        mov ecx, 0x1b
        rdmsr
        IS "msr-apic-base", eax, 0xfee00900
        mov ecx, 0x12345
        FAULTS "msr-unknown-read", 13, 0, rdmsr
        FAULTS "msr-unknown-write", 13, 0, wrmsr
        mov ecx, 0x10
        xor eax, eax
        xor edx, edx
        wrmsr
        rdtsc
        IS "17.17-tsc-written", edx, 0
        cmp eax, 100000
        setb al
        movzx eax, al
        IS "17.17-tsc-runs-from-there", eax, 1
        test dword [features], 1 << 12
        jz .no_mtrr
        mov ecx, 0x277
        mov eax, 2
        xor edx, edx
        FAULTS "11.12.4-pat-reserved-type", 13, 0, wrmsr
        mov ecx, 0xfe
        rdmsr
        IS "11.11.1-mtrrcap", eax, 0x508
        mov ecx, 0x200
        mov eax, 0x02
        FAULTS "11.11.2.3-mtrr-reserved-type", 13, 0, wrmsr
        mov eax, 0x80000006
        wrmsr
        xor eax, eax
        rdmsr
        IS "11.11.2.3-mtrr-base", eax, 0x80000006
        xor eax, eax
        wrmsr
.no_mtrr:

; ---- Time ----
        rdtsc
        mov ebx, eax
        nop
        nop
        rdtsc
        sub eax, ebx
        cmp eax, 1
        setae al
        movzx eax, al
        IS "17.17-tsc-advances", eax, 1
        mov eax, cr4
        or eax, 4
        mov cr4, eax
        RING3_FAULTS "17.17-tsd-in-ring-3", 13, 0, 2, rdtsc
        rdtsc
        IS "17.17-tsd-not-in-ring-0", 0, 0
        mov eax, cr4
        and eax, ~4
        mov cr4, eax
        RING3 read_tsc
        IS "17.17-rdtsc-in-ring-3", [got_vector], 0x40
        xor ecx, ecx
        RING3_FAULTS "rdpmc-in-ring-3", 13, 0, 2, rdpmc
        mov ecx, 2
        FAULTS "rdpmc-counter-2", 13, 0, rdpmc

; ---- SYSENTER, SYSEXIT ----
        test dword [features], 1 << 11
        jz .no_sep
        mov ecx, 0x174
        xor eax, eax
        xor edx, edx
        wrmsr
        FAULTS "5.8.7-sysenter-without-cs", 13, 0, sysenter
        FAULTS "5.8.7-sysexit-without-cs", 13, 0, sysexit
        mov eax, CODE0
        wrmsr
        mov ecx, 0x175
        mov eax, STACK_INNER-0x100
        wrmsr
        mov ecx, 0x176
        mov eax, .entered
        wrmsr
        RESUME_AT .failed
        push dword DATA3
        push dword STACK3
        push dword 0x3202
        push dword CODE3
        push dword .user
        iretd
.user:  sysenter
.entered:
        mov ax, DATA0                   ; ring 3 could not keep DS
        mov ds, ax
        mov es, ax
        mov [value], esp
        pushfd
        pop dword [value2]
        mov ax, cs
        movzx eax, ax
        IS "5.8.7-sysenter-cs", eax, CODE0
        mov ax, ss
        movzx eax, ax
        IS "5.8.7-sysenter-ss", eax, CODE0+8
        IS "5.8.7-sysenter-esp", [value], STACK_INNER-0x100
        mov eax, [value2]
        and eax, 0x200
        IS "5.8.7-sysenter-clears-if", eax, 0
        mov ecx, STACK3-0x40
        mov edx, .user2
        sysexit
.user2: int 0x40
.failed:
        IS "5.8.7-sysexit-cs", [got_cs], CODE3
        IS "5.8.7-sysexit-ss", [got_ss], DATA3
        IS "5.8.7-sysexit-esp", [got_esp], STACK3-0x40
        IS "5.8.7-sysexit-eip", [got_eip], .user2+2
.no_sep:

; ---- 8.1.2: LOCK ----
        lock inc dword [value]
        FAULTS "8.1.2.2-lock-cmp", 6, NO_ERROR, db 0xf0, 0x39, 0x05, 0, 0, 0, 0
        FAULTS "8.1.2.2-lock-register", 6, NO_ERROR, db 0xf0, 0x01, 0xc0
        FAULTS "8.1.2.2-lock-mov", 6, NO_ERROR, db 0xf0, 0x89, 0x05, 0, 0, 0, 0
        FAULTS "8.1.2.2-lock-bt", 6, NO_ERROR, db 0xf0, 0x0f, 0xa3, 0x05, 0, 0, 0, 0

; ---- Self-modifying code: the next instruction is the new one ----
        xor eax, eax
        mov byte [.patched+1], 0x42
.patched:
        mov al, 0
        IS "11.6-next-instruction", eax, 0x42
        mov ecx, 3
        xor ebx, ebx
.again: mov byte [.grow+1], cl
.grow:  mov al, 0
        movzx eax, al
        add ebx, eax
        loop .again
        IS "11.6-in-a-loop", ebx, 6
        ; written by a string instruction, and across the border of a page
        mov esi, fragment
        mov edi, 0x50ffd
        mov ecx, fragment_end - fragment
        rep movsb
        mov eax, 0x50ffd
        call eax
        IS "11.6-across-pages", eax, 0x11223344
        mov dword [0x51000-1], 0x55667788       ; the immediate's bytes lie on both sides
        mov eax, 0x50ffd
        call eax
        IS "11.6-across-pages-changed", eax, 0x55667788

; ---- A20 ----
        mov dword [0x100500], 0x20202020
        mov dword [0x000500], 0x10101010
        mov al, 8
        out 0x81, al
        mov eax, [0x100500]
        mov ebx, eax
        mov al, 0
        out 0x81, al
        IS "a20-masked-wraps", ebx, 0x10101010
        IS "a20-open-again", [0x100500], 0x20202020

; ---- String instructions ----
        mov edi, 0x50000
        mov ecx, 0
        mov al, 1
        rep stosb
        IS "rep-0-does-nothing", edi, 0x50000
        std
        mov esi, 0x50007
        mov edi, 0x5000b
        mov dword [0x50000], 0x03020100
        mov dword [0x50004], 0x07060504
        mov ecx, 8
        rep movsb
        cld
        IS "movs-backwards", [0x50008], 0x07060504
        IS "movs-backwards-edi", edi, 0x50003
        mov dword [0x50000], 0x44332211
        mov esi, 0x50000
        mov edi, 0x50001
        mov ecx, 7
        rep movsb
        IS "movs-overlapping-spreads", [0x50004], 0x11111111
        mov edi, 0x50000
        mov ecx, 100
        mov al, 0x99
        mov byte [0x50005], 0x99
        repne scasb
        IS "repne-scas-stops", ecx, 94
        mov esi, 0x50000
        mov edi, 0x50010
        mov dword [0x50010], 0x11111111
        mov dword [0x50014], 0x11110011
        mov ecx, 8
        repe cmpsb
        IS "repe-cmps-stops", ecx, 2
        ; 16-bit addresses wrap, the upper halves stay
        mov esi, 0x1234ffff
        mov byte [0xffff], 0x5a
        a16 lodsb
        IS "a16-lods-wraps", esi, 0x12340000
        mov ecx, 0x56780001
        mov edi, 0x9abc0500
        a16 rep stosb
        IS "a16-rep-counts-cx", ecx, 0x56780000
        ; counting: each iteration is an instruction (CLOCK: 10 ns each)
        mov edi, 0x50000
        mov ecx, 1000
        rdtsc
        mov ebx, eax
        rep stosb
        rdtsc
        sub eax, ebx
        IS "rep-counts-each-iteration", eax, 1002 * 10

; ---- Hidden parts outlive CR0.PE: "unreal mode" ----
        mov dword [0x200000], 0x600df00d
        jmp CODE16:.real16
        bits 16
.real16:
        mov ax, DATA0
        mov es, ax
        mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp 0:.real
.real:  mov ebx, 0x200000
        xor ax, ax
        mov es, ax
        mov ecx, [es:ebx]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp CODE0:.back
        bits 32
.back:  mov ax, DATA0
        mov es, ax
        mov ds, ax
        mov ss, ax
        IS "9.9-unreal-mode", ecx, 0x600df00d
        ret

read_tsc:
        rdtsc
        int 0x40
fragment:
        nop
        mov eax, 0x11223344
        ret
fragment_end:

        align 4
value:  dd 0
value2: dd 0
features: dd 0
max_leaf: dd 0

%include "system-end.inc"
