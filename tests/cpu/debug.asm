; SPDX-License-Identifier: GPL-3.0-or-later
; Debug registers and single step: SDM vol. 3, chapter 17.
%include "system.inc"

; SET_DR7 value; clears DR6
%macro SET_DR7 1
        push eax
        xor eax, eax
        mov dr6, eax
        mov eax, %1
        mov dr7, eax
        pop eax
%endmacro
%macro DR6_IS 2
        push eax
        mov eax, dr6
        and eax, 0xe00f
        mov [dr6_found], eax
        xor eax, eax
        mov dr6, eax
        pop eax
        IS %1, [dr6_found], %2
%endmacro

main:
; ---- 17.3.1.1: instruction breakpoints are faults ----
        mov eax, .here
        mov dr0, eax
        SET_DR7 0x701
        RESUME_AT .hit
.here:  nop
        mov dword [got_vector], 0xffff
.hit:   IS "17.3.1.1-execution", [got_vector], 1
        IS "17.3.1.1-before-the-instruction", [got_eip], .here
        mov eax, [got_eflags]
        and eax, 0x10000
        IS "17.3.1.1-no-rf-in-image", eax, 0
        DR6_IS "17.2.3-b0", 1
        ; RF passes the breakpoint once
        mov dword [got_vector], -1
        push dword 0x10002
        push dword CODE0
        push dword .here2
        mov eax, .here2
        mov dr0, eax
        RESUME_AT .rf
        iretd
.here2: nop
        nop
.rf:    IS "17.3.1.1-rf-suppresses", [got_vector], -1
        pushfd
        pop eax
        and eax, 0x10000
        IS "17.3.1.1-rf-clear-in-pushf", eax, 0
        SET_DR7 0x700
        RESUME_AT .off
        call .here3
.off:   jmp .on
.here3: mov eax, .here3
        ret
.on:
; ---- 17.3.1.2: data breakpoints are traps ----
        mov eax, data
        mov dr1, eax
        SET_DR7 0x00d00704              ; L1, dword, write
        mov dword [resume], 0
        mov dword [got_vector], -1
        mov eax, [data]
        IS "17.2.4-write-breakpoint-ignores-reads", [got_vector], -1
.w:     mov dword [data], 5
.behind:
        IS "17.3.1.2-write", [got_vector], 1
        IS "17.3.1.2-behind-the-instruction", [got_eip], .behind
        IS "17.3.1.2-write-done", [data], 5
        DR6_IS "17.2.3-b1", 2
        mov dword [got_vector], -1
        mov byte [data+3], 1
        IS "17.2.5-byte-inside-dword", [got_vector], 1
        mov dword [got_vector], -1
        mov dword [data-3], 0
        IS "17.2.5-dword-overlaps", [got_vector], 1
        mov dword [got_vector], -1
        mov byte [data+4], 1
        mov byte [data-1], 1
        IS "17.2.5-outside", [got_vector], -1
        SET_DR7 0x00f00704              ; read or write
        mov eax, [data]
        IS "17.3.1.2-read", [got_vector], 1
        mov dword [got_vector], -1
        mov al, [data+2]
        IS "17.3.1.2-read-byte", [got_vector], 1
        SET_DR7 0x00100704              ; one byte, write
        mov dword [got_vector], -1
        mov byte [data+1], 1
        IS "17.2.4-length-1", [got_vector], -1
        mov word [data-1], 1
        IS "17.2.4-length-1-word-overlaps", [got_vector], 1
        SET_DR7 0x00d00708              ; G1
        mov dword [got_vector], -1
        inc dword [data]
        IS "17.2.4-global-enable", [got_vector], 1
        mov dword [got_vector], -1
        push dword [data]
        pop dword [data]
        IS "17.3.1.2-pop-to-memory", [got_vector], 1
        ; each iteration of a repeated instruction can trap
        mov edi, data-4
        mov ecx, 3
        xor eax, eax
        mov dword [got_count], 0
        rep stosd
        IS "17.3.1.2-rep-stos-once", [got_count], 1
        IS "17.3.1.2-rep-stos-in-the-middle", [got_ecx], 1
        SET_DR7 0x700

; ---- 17.3.1.3: general detect ----
        mov eax, 0x2700
        mov dr7, eax
        RESUME_AT .gd
.gd_at: mov eax, dr0
        mov dword [got_vector], 0xffff
.gd:    IS "17.3.1.3-general-detect", [got_vector], 1
        IS "17.3.1.3-before-the-instruction", [got_eip], .gd_at
        mov eax, dr7
        and eax, 0x2000
        IS "17.3.1.3-gd-cleared", eax, 0
        DR6_IS "17.2.3-bd", 0x2000

; ---- 17.3.1.4: single step ----
        mov dword [resume], 0
        mov dword [got_count], 0
        pushfd
        or dword [esp], 0x100
        popfd
.s1:    nop
.s2:    nop
        pushfd
        and dword [esp], ~0x100
        popfd
.s6:    IS "17.3.1.4-one-trap-per-instruction", [got_count], 5
        IS "17.3.1.4-popf-clearing-tf-traps-too", [got_eip], .s6
        DR6_IS "17.2.3-bs", 0x4000
        ; MOV SS holds the trap off
        mov dword [got_count], 0
        mov ax, ss
        pushfd
        or dword [esp], 0x100
        popfd
        mov ss, ax
        nop
        pushfd
        and dword [esp], ~0x100
        popfd
        IS "6.8.3-mov-ss-delays-single-step", [got_count], 4
        DR6_IS "bs", 0x4000
        ; repeated strings trap after each iteration
        mov dword [got_count], 0
        mov ecx, 3
        mov esi, data
        pushfd
        or dword [esp], 0x100
        popfd
        rep lodsd
        pushfd
        and dword [esp], ~0x100
        popfd
        IS "17.3.1.4-rep-traps-each-iteration", [got_count], 6
        DR6_IS "bs-2", 0x4000
        ; a software interrupt clears TF on its way in
        mov dword [got_count], 0
        pushfd
        or dword [esp], 0x100
        popfd
        int 0x40
        pushfd
        and dword [esp], ~0x100
        popfd
        IS "17.3.1.4-int-n-does-not-trap", [got_count], 4
        mov eax, [handler_eflags]
        and eax, 0x100
        IS "17.3.1.4-tf-clear-in-handler", eax, 0
        DR6_IS "bs-3", 0x4000

; ---- 17.2.4: I/O breakpoints with CR4.DE ----
        mov eax, cr4
        or eax, 8
        mov cr4, eax
        mov eax, 0x84
        mov dr2, eax
        SET_DR7 0x02000710              ; L2, I/O, one byte
        mov dword [got_vector], -1
        out 0x84, al
.io:    IS "17.3.1.2-io", [got_vector], 1
        IS "17.3.1.2-io-trap", [got_eip], .io
        DR6_IS "17.2.3-b2", 4
        mov dword [got_vector], -1
        in al, 0x85
        IS "17.3.1.2-other-port", [got_vector], -1
        SET_DR7 0x700
        FAULTS "17.2.2-dr4-with-de", 6, NO_ERROR, mov eax, dr4
        mov eax, cr4
        and eax, ~8
        mov cr4, eax
        mov eax, dr4
        mov ebx, dr6
        IS "17.2.2-dr4-is-dr6-without-de", eax, ebx

; ---- fixed bits ----
        mov eax, 0xffffffff
        mov dr6, eax
        mov eax, dr6
        IS "17.2.3-dr6-fixed-bits", eax, 0xffffefff
        xor eax, eax
        mov dr7, eax
        mov eax, dr7
        IS "17.2.4-dr7-bit-10", eax, 0x400
        xor eax, eax
        mov dr6, eax
        mov eax, dr6
        IS "17.2.3-dr6-reads-ones", eax, 0xffff0ff0
        ; INT1 sets nothing in DR6
        RESUME_AT .icebp
        db 0xf1
.icebp: IS "int1-vector", [got_vector], 1
        DR6_IS "int1-leaves-dr6", 0
        ret

        align 16
        dd 0, 0, 0
data:   dd 0, 0, 0, 0
dr6_found: dd 0

%include "system-end.inc"
