; SPDX-License-Identifier: GPL-3.0-or-later
; Protection: SDM vol. 3, chapter 5, and the instructions that ask the protection system.
%include "system.inc"

main:
; ---- 3.4.2, 5.4.1: null selectors ----
        FAULTS "5.4.1-null-ss-is-gp0", 13, 0, mov ss, [null_word]
        mov ax, 3
        mov es, ax
        mov ax, es
        movzx eax, ax
        IS "5.4.1-null-es-loads", eax, 3
        FAULTS "5.4.1-null-es-use-is-gp0", 13, 0, mov al, [es:0x8000]
        FAULTS "5.4.1-null-es-write-is-gp0", 13, 0, mov [es:0x8000], al
        call restore

; ---- 5.3: limits ----
        SET_DESCRIPTOR SCRATCH, 0x20000, 0x0fff, 0x93, 4
        mov ax, SCRATCH
        mov es, ax
        mov al, [es:0xfff]
        IS "5.3-last-byte-readable", 0, 0
        FAULTS "5.3-byte-beyond-limit", 13, 0, mov al, [es:0x1000]
        FAULTS "5.3-word-across-limit", 13, 0, mov ax, [es:0xfff]
        FAULTS "5.3-dword-across-limit", 13, 0, mov eax, [es:0xffd]
        FAULTS "5.3-dword-at-top-of-4g", 13, 0, mov eax, [es:0xfffffffe]
        mov dword [es:0xffc], 0x11223344
        mov eax, [es:0xffc]
        IS "5.3-last-dword", eax, 0x11223344
        SET_DESCRIPTOR SCRATCH, 0x20000, 0x0000, 0x93, 0xc
        mov ax, SCRATCH
        mov es, ax
        mov al, [es:0xfff]
        FAULTS "5.3-granularity-4k", 13, 0, mov al, [es:0x1000]
        ; expand down: valid from limit + 1
        SET_DESCRIPTOR SCRATCH, 0x20000, 0x0fff, 0x97, 4
        mov ax, SCRATCH
        mov es, ax
        mov al, [es:0x1000]
        FAULTS "5.3-expand-down-below", 13, 0, mov al, [es:0xfff]
        mov al, [es:0xffffffff]
        FAULTS "5.3-expand-down-word-across-top", 13, 0, mov ax, [es:0xffffffff]
        SET_DESCRIPTOR SCRATCH, 0x20000, 0x0fff, 0x97, 0
        mov ax, SCRATCH
        mov es, ax
        mov al, [es:0xffff]
        FAULTS "5.3-expand-down-16-bit-top", 13, 0, mov al, [es:0x10000]
        ; SS violations are #SS
        SET_DESCRIPTOR SCRATCH, 0, 0xffff, 0x93, 4
        mov ax, SCRATCH
        mov ss, ax
        FAULTS "5.3-stack-limit-is-ss0", 12, 0, mov eax, [ss:0x10000]
        mov ax, SCRATCH
        mov ss, ax
        FAULTS "5.3-bp-addresses-stack", 12, 0, mov eax, [ebp+0x12345678]
        call restore

; ---- 5.4, 5.5: types ----
        SET_DESCRIPTOR SCRATCH, 0x20000, 0xfff, 0x91, 4         ; read-only data
        mov ax, SCRATCH
        mov es, ax
        mov al, [es:0]
        FAULTS "5.5-write-to-read-only", 13, 0, mov [es:0], al
        FAULTS "5.5-read-modify-write-to-read-only", 13, 0, inc dword [es:0]
        FAULTS "5.5-write-to-code", 13, 0, mov [cs:0x20000], al
        FAULTS "5.4-ss-must-be-writable", 13, SCRATCH, mov ss, [word_scratch]
        SET_DESCRIPTOR SCRATCH, 0x20000, 0xfff, 0x99, 4         ; execute-only code
        FAULTS "5.4-execute-only-is-not-data", 13, SCRATCH, mov es, [word_scratch]
        SET_DESCRIPTOR SCRATCH, 0x20000, 0xfff, 0x9b, 4         ; readable code
        mov ax, SCRATCH
        mov es, ax
        mov al, [es:0]
        FAULTS "5.5-readable-code-not-writable", 13, 0, mov [es:0], al
        FAULTS "5.4-tss-is-not-data", 13, TSS_A, mov es, [word_tss]
        SET_DESCRIPTOR SCRATCH, 0x20000, 0xfff, 0x13, 4         ; not present
        FAULTS "5.4-not-present-data", 11, SCRATCH, mov es, [word_scratch]
        FAULTS "5.4-not-present-ss-is-ss", 12, SCRATCH, mov ss, [word_scratch]
        FAULTS "3.5-beyond-gdt-limit", 13, 0xfff8, mov es, [word_beyond]
        FAULTS "3.5-ldt-absent", 13, 0x0c, mov es, [word_ldt]
        ; accessed bit
        SET_DESCRIPTOR SCRATCH, 0x20000, 0xfff, 0x92, 4
        mov ax, SCRATCH
        mov es, ax
        movzx eax, byte [gdt+SCRATCH+5]
        IS "3.4.5.1-load-sets-accessed", eax, 0x93
        call restore

; ---- 5.6: privilege of data segments ----
        RING3_FAULTS "5.6-ring3-loads-ring0-data", 13, DATA0, 2, mov es, [word_data0]
        RING3_FAULTS "5.6-rpl-counts", 13, DATA0, 2, mov es, [word_data0_rpl3]
        FAULTS "5.6-ring0-rpl3-to-dpl0", 13, DATA0, mov es, [word_data0_rpl3]
        mov ax, DATA3
        mov es, ax
        mov ax, es
        movzx eax, ax
        IS "5.6-ring0-loads-ring3-data", eax, DATA3
        FAULTS "5.7-ss-rpl-must-be-cpl", 13, DATA0, mov ss, [word_data0_rpl3]
        FAULTS "5.7-ss-dpl-must-be-cpl", 13, DATA3 & 0xfffc, mov ss, [word_data3_rpl0]
        SET_DESCRIPTOR SCRATCH, 0, 0xfffff, 0x9f, 0xc           ; conforming code DPL 0
        RING3 conforming_data
        IS "5.6-conforming-code-from-any-ring", [got_vector], 0x40
        call restore

; ---- 5.8: control transfers ----
        FAULTS "5.8.1-jmp-null", 13, 0, jmp 0:0
        FAULTS "5.8.1-jmp-to-data", 13, DATA0, jmp DATA0:0x8000
        FAULTS "5.8.1-jmp-outer-ring", 13, CODE3 & 0xfffc, jmp CODE3:0x8000
        FAULTS "5.8.1-rpl-above-cpl", 13, CODE0, jmp CODE0+3:0x8000
        SET_DESCRIPTOR SCRATCH, 0, 0xfffff, 0x1b, 0xc
        FAULTS "5.8.1-jmp-not-present", 11, SCRATCH, jmp SCRATCH:0x8000
        SET_DESCRIPTOR SCRATCH, 0, 0xff, 0x9b, 4
        FAULTS "5.8.1-jmp-beyond-limit", 13, 0, jmp SCRATCH:0x8000
        FAULTS "5.8.1-call-beyond-limit-pushes-nothing", 13, 0, call SCRATCH:0x8000
        mov eax, [got_frame]
        add eax, 12
        IS "6.12-fault-leaves-esp", eax, esp
        jmp CODE0:.near
.near:  IS "5.8.1-jmp-same-ring", 0, 0
        RING3_FAULTS "5.8.1-ring3-jmp-to-ring0", 13, CODE0, 2, jmp CODE0:0x8000
        SET_DESCRIPTOR SCRATCH, 0, 0xfffff, 0x9f, 0xc
        RING3 conforming_call
        IS "5.8.1.2-conforming-keeps-cpl", [value], CODE3

; ---- 5.8.3 ... 5.8.5: call gates ----
        SET_GATE gdt+SCRATCH+8, CODE0, gate_target, 0xec, 0
        call SCRATCH+8:0x12345678
        IS "5.8.4-gate-ignores-offset", [value], 0x77
        SET_GATE gdt+SCRATCH+8, CODE0, gate_observer, 0xec, 0
        RING3 gate_caller
        IS "5.8.5-gate-changes-ring", [value], CODE0
        IS "5.8.5-new-stack-from-tss", [value2], STACK_INNER - 16
        IS "5.8.5-old-ss-on-new-stack", [value3], DATA3
        IS "5.8.6-retf-restores-ring", [got_cs], CODE3
        IS "5.8.6-retf-restores-esp", [got_esp], STACK3
        SET_GATE gdt+SCRATCH+8, CODE0, gate_parameters, 0xec, 2
        RING3 gate_parameter_caller
        IS "5.8.5-parameters-copied", [value], 0x11112222
        IS "5.8.5-parameter-order", [value2], 0x33334444
        IS "5.8.6-retf-n-releases-outer-stack", [got_esp], STACK3
        SET_GATE gdt+SCRATCH+8, CODE0, gate_target, 0x8c, 0
        RING3_FAULTS "5.8.4-gate-dpl", 13, SCRATCH+8, 2, call SCRATCH+8:0
        SET_GATE gdt+SCRATCH+8, CODE0, gate_target, 0x6c, 0
        RING3_FAULTS "5.8.4-gate-not-present", 11, SCRATCH+8, 2, call SCRATCH+8:0
        SET_GATE gdt+SCRATCH+8, 0, gate_target, 0xec, 0
        RING3_FAULTS "5.8.4-gate-null-target", 13, 0, 2, call SCRATCH+8:0
        SET_GATE gdt+SCRATCH+8, DATA0, gate_target, 0xec, 0
        RING3_FAULTS "5.8.4-gate-to-data", 13, DATA0, 2, call SCRATCH+8:0
        SET_GATE gdt+SCRATCH+8, CODE0, gate_target, 0xec, 0
        RING3_FAULTS "5.8.4-jmp-through-gate-to-inner", 13, CODE0, 2, jmp SCRATCH+8:0
        ; into ring 1, whose stack selector is bad
        SET_DESCRIPTOR SCRATCH+16, 0, 0xfffff, 0xbb, 0xc
        SET_GATE gdt+SCRATCH+8, SCRATCH+16, gate_target, 0xec, 0
        mov dword [TSS_A_AT+12], 0x5000
        mov dword [TSS_A_AT+16], DATA3
        RING3_FAULTS "5.8.5-bad-inner-ss-is-ts", 10, DATA3 & 0xfffc, 2, call SCRATCH+8:0
        mov dword [TSS_A_AT+16], 0
        RING3_FAULTS "5.8.5-null-inner-ss-is-ts0", 10, 0, 2, call SCRATCH+8:0
        ; 16-bit gate pushes words
        SET_GATE gdt+SCRATCH+8, CODE0, gate16_target, 0xe4, 0
        mov ebp, esp
        call SCRATCH+8:0
        IS "5.8.4-16-bit-gate", [value], 4

; ---- 5.8.6: RETF ----
        RESUME_AT .retf1
        push dword DATA0
        push dword 0x8000
.retf_insn:
        retf
.retf1: IS "5.8.6-retf-to-data", [got_error], DATA0
        RESUME_AT .retf2
        push dword 0
        push dword 0x8000
        retf
.retf2: IS "5.8.6-retf-null", [got_error], 0
        RESUME_AT .retf3
        push dword 0
        push dword 0x1000
        push dword CODE3
        push dword 0x8000
        retf
.retf3: IS "5.8.6-retf-null-outer-ss", [got_error], 0
        RING3 return_inward
        IS "5.8.6-retf-inward", [got_error], CODE0
        ; data segments that ring 3 may not have become null
        mov ax, DATA0
        mov fs, ax
        mov ax, DATA3
        mov gs, ax
        RESUME_AT .nulled
        push dword DATA3
        push dword STACK3
        push dword CODE3
        push dword read_fs
        retf
.nulled:
        IS "5.8.6-inner-segments-become-null", [got_eax], 0
        IS "5.8.6-outer-segments-stay", [got_ecx], DATA3
        call restore

; ---- 5.9: privileged instructions in ring 3 ----
%macro PRIVILEGED 2+
        RING3_FAULTS {"5.9-", %1}, 13, 0, 0x3002, %2
%endmacro
        PRIVILEGED "lgdt", lgdt [gdt_pointer]
        PRIVILEGED "lidt", lidt [idt_pointer]
        PRIVILEGED "lldt", lldt ax
        PRIVILEGED "ltr", ltr ax
        PRIVILEGED "lmsw", lmsw ax
        PRIVILEGED "clts", clts
        PRIVILEGED "hlt", hlt
        PRIVILEGED "invd", invd
        PRIVILEGED "wbinvd", wbinvd
        PRIVILEGED "invlpg", invlpg [0]
        PRIVILEGED "mov-from-cr0", mov eax, cr0
        PRIVILEGED "mov-to-cr3", mov cr3, eax
        PRIVILEGED "mov-from-dr7", mov eax, dr7
        PRIVILEGED "mov-to-dr0", mov dr0, eax
        PRIVILEGED "rdmsr", rdmsr
        PRIVILEGED "wrmsr", wrmsr
        PRIVILEGED "sysexit", sysexit
; and what is not privileged: the thesis's instructions
        RING3 tell_registers
        IS "sgdt-in-ring-3-tells-truth", [table_out+2], gdt
        IS "sidt-in-ring-3-tells-truth", [table_out+10], idt
        IS "smsw-in-ring-3-tells-truth", [value], 0x60000011
        IS "str-in-ring-3-tells-truth", [value2], TSS_A
        IS "sldt-in-ring-3-tells-truth", [value3], 0

; ---- vol. 1, 18.5: I/O ----
        RING3_FAULTS "v1-18.5.1-iopl-0-in", 13, 0, 2, in al, 0x84
        RING3_FAULTS "v1-18.5.1-iopl-0-out", 13, 0, 2, out 0x84, al
        RING3 io_user, 0x3002
        IS "v1-18.5.1-iopl-3", [got_vector], 0x40
        mov word [TSS_A_AT+102], 0x200
        mov edi, TSS_A_AT+0x200
        mov ecx, 64
        mov eax, -1
        rep stosd
        mov byte [TSS_A_AT+0x200+0x84/8], 0xef          ; port 84h only
        RING3 io_user
        IS "v1-18.5.2-bitmap-allows", [got_vector], 0x40
        RING3_FAULTS "v1-18.5.2-bitmap-word-needs-both-bits", 13, 0, 2, in ax, 0x84
        RING3_FAULTS "v1-18.5.2-bitmap-denies", 13, 0, 2, in al, 0x85
        mov edx, 0x7000
        RING3_FAULTS "v1-18.5.2-beyond-tss-limit", 13, 0, 2, in al, dx
        RING3_FAULTS "v1-18.5.1-cli-needs-iopl", 13, 0, 2, cli
        RING3_FAULTS "v1-18.5.1-sti-needs-iopl", 13, 0, 2, sti

; ---- POPF at ring 3: IF and IOPL stay silently ----
        RING3 popf_user, 0x0002
        mov eax, [got_eflags]
        and eax, 0x3200
        IS "popf-in-ring-3-ignores-if-and-iopl", eax, 0
        RING3 popf_user, 0x3202
        mov eax, [got_eflags]
        and eax, 0x3200
        IS "popf-at-iopl-3-changes-if", eax, 0x3000

; ---- 5.10: LAR, LSL, VERR, VERW, ARPL ----
        mov ecx, 0x1234
        mov ax, CODE0
        lar ecx, eax
        IS "5.10.1-lar", ecx, 0x00cf9b00 & 0x00f0ff00
        mov ax, DATA0
        lsl ecx, eax
        IS "5.10.3-lsl-granular", ecx, 0xffffffff
        mov ax, TSS_A
        lsl ecx, eax
        IS "5.10.3-lsl-tss", ecx, 0xfff
        mov ax, 0xfff8
        mov ecx, 0x1234
        lar ecx, eax
        setz bl
        movzx ebx, bl
        IS "5.10.1-lar-beyond-limit-clears-zf", ebx, 0
        IS "5.10.1-lar-leaves-register", ecx, 0x1234
        SET_GATE gdt+SCRATCH, CODE0, main, 0x8e, 0
        mov ax, SCRATCH
        lar ecx, eax
        setz bl
        movzx ebx, bl
        IS "5.10.1-lar-refuses-interrupt-gate", ebx, 0
        SET_GATE gdt+SCRATCH, CODE0, main, 0x8c, 0
        mov ax, SCRATCH
        lar ecx, eax
        setz bl
        lsl ecx, eax
        setz bh
        movzx ebx, bx
        IS "5.10-lar-call-gate-lsl-not", ebx, 1
        mov ax, CODE0
        verr ax
        setz bl
        verw ax
        setz bh
        movzx ebx, bx
        IS "5.10.2-code-readable-not-writable", ebx, 1
        mov ax, DATA0 | 3
        verr ax
        setz bl
        movzx ebx, bl
        IS "5.10.2-verr-rpl-counts", ebx, 0
        xor eax, eax
        verr ax
        setz bl
        movzx ebx, bl
        IS "5.10.2-verr-null", ebx, 0
        mov ax, 0x10
        mov bx, 0x13
        arpl ax, bx
        setz cl
        movzx ecx, cl
        movzx eax, ax
        IS "5.10.4-arpl-raises-rpl", eax, 0x13
        IS "5.10.4-arpl-zf", ecx, 1

; ---- LLDT, LTR ----
        FAULTS "lldt-data-descriptor", 13, DATA0, lldt [word_data0]
        FAULTS "ltr-busy", 13, TSS_A, ltr [word_tss]
        FAULTS "ltr-null", 13, 0, ltr [null_word]
        SET_DESCRIPTOR SCRATCH, 0x30000, 0xff, 0x02, 0
        FAULTS "lldt-not-present", 11, SCRATCH, lldt [word_scratch]
        SET_DESCRIPTOR SCRATCH, 0x30000, 0xff, 0x82, 0
        lldt [word_scratch]
        mov dword [0x30008], 0x0000ffff
        mov dword [0x3000c], 0x00cf9300
        mov ax, 0x0c
        mov es, ax
        mov al, [es:0x8000]
        IS "3.5.1-segment-from-ldt", [es:got_vector], [got_vector]
        FAULTS "lldt-selector-in-ldt", 13, 0x0c, lldt [word_ldt]
        xor eax, eax
        lldt ax
        FAULTS "lldt-null-empties", 13, 0x0c, mov es, [word_ldt]
        call restore
        ret

; ---- Pieces ----

restore:
        mov ax, DATA0
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov fs, ax
        mov gs, ax
        ret

conforming_data:
        mov ax, SCRATCH
        mov es, ax
        int 0x40
conforming_call:
        call SCRATCH:.in
        int 0x40
.in:    mov ax, cs
        movzx eax, ax
        and eax, 3
        add eax, CODE3 & 0xfffc
        mov [value], eax
        retf
gate_target:
        mov dword [value], 0x77
        retf
gate_observer:
        mov ax, cs
        movzx eax, ax
        mov [value], eax
        mov [value2], esp
        mov eax, [esp+12]
        mov [value3], eax
        retf
gate_caller:
        call SCRATCH+8:0
        int 0x40
gate_parameters:
        mov eax, [esp+8]
        mov [value2], eax
        mov eax, [esp+12]
        mov [value], eax
        retf 8
gate_parameter_caller:
        push dword 0x11112222
        push dword 0x33334444
        call SCRATCH+8:0
        int 0x40
gate16_target:
        mov eax, ebp
        sub eax, esp
        mov [value], eax
        mov esp, ebp
        movzx eax, word [ebp-4]
        jmp eax
return_inward:
        push dword CODE0
        push dword 0x8000
        retf
read_fs:
        mov ax, fs
        movzx eax, ax
        mov cx, gs
        movzx ecx, cx
        int 0x40
io_user:
        in al, 0x84
        out 0x84, al
        int 0x40
popf_user:
        push dword 0x0002
        popfd
        push dword 0x3202
        cmp dword [value], 0
        popfd
        push dword 0x3002
        popfd
        int 0x40
tell_registers:
        sgdt [table_out]
        sidt [table_out+8]
        smsw eax
        mov [value], eax
        xor eax, eax
        str ax
        mov [value2], eax
        sldt ax
        mov [value3], eax
        int 0x40

null_word:      dw 0
word_scratch:   dw SCRATCH
word_tss:       dw TSS_A
word_beyond:    dw 0xfff8
word_ldt:       dw 0x0c
word_data0:     dw DATA0
word_data0_rpl3: dw DATA0 | 3
word_data3_rpl0: dw DATA3 & 0xfffc
        align 4
value:  dd 0
value2: dd 0
value3: dd 0
table_out: times 16 db 0

%include "system-end.inc"
