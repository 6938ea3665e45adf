; SPDX-License-Identifier: GPL-3.0-or-later
; Interrupts and exceptions: SDM vol. 3, chapter 6.
%include "system.inc"

%macro RAISE_LINE 1
        mov al, %1
        out 0x80, al
        mov al, 1
        out 0x81, al
%endmacro

main:
; ---- 6.15: each exception ----
        xor ecx, ecx
        FAULTS "6.15-de-zero", 0, NO_ERROR, div ecx
        mov edx, 5
        mov ecx, 5
        FAULTS "6.15-de-overflow", 0, NO_ERROR, div ecx
        IS "6.15-de-leaves-edx", edx, 5
        mov eax, 0x80000000
        cdq
        mov ecx, -1
        FAULTS "6.15-de-idiv-min", 0, NO_ERROR, idiv ecx
        FAULTS "6.15-de-aam-0", 0, NO_ERROR, aam 0
        FAULTS "6.15-ud2", 6, NO_ERROR, ud2
        FAULTS "6.15-ud-lock", 6, NO_ERROR, db 0xf0, 0x90
        FAULTS "6.15-ud-mov-cs", 6, NO_ERROR, db 0x8e, 0xc8
        FAULTS "6.15-ud-cr1", 6, NO_ERROR, db 0x0f, 0x20, 0xc8
        FAULTS "6.15-ud-rsm", 6, NO_ERROR, rsm
        FAULTS "6.15-ud-syscall", 6, NO_ERROR, db 0x0f, 0x05
        FAULTS "6.15-gp-16-byte-instruction", 13, 0, db 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x90
        mov ecx, 3
        FAULTS "6.15-br", 5, NO_ERROR, bound ecx, [bounds]
        mov ecx, -4
        FAULTS "6.15-br-below", 5, NO_ERROR, bound ecx, [bounds]
        mov ecx, 2
        bound ecx, [bounds]
        ; traps point behind the instruction
        RESUME_AT .int3
.int3_at:
        int3
.int3:  IS "6.15-bp-vector", [got_vector], 3
        IS "6.15-bp-is-trap", [got_eip], .int3_at+1
        mov al, 0x7f
        RESUME_AT .into
        add al, 1
.into_at:
        into
.into:  IS "6.15-of-vector", [got_vector], 4
        IS "6.15-of-is-trap", [got_eip], .into_at+1
        xor eax, eax
        mov dword [got_vector], -1
        into
        IS "6.15-into-without-of", [got_vector], -1
        ; #NM
        mov eax, cr0
        or eax, 8
        mov cr0, eax
        FAULTS "6.15-nm-ts", 7, NO_ERROR, fld1
        clts
        mov eax, cr0
        or eax, 4
        mov cr0, eax
        FAULTS "6.15-nm-em", 7, NO_ERROR, fld1
        FAULTS "6.15-ud-mmx-em", 6, NO_ERROR, emms
        mov eax, cr0
        and eax, ~4
        mov cr0, eax
        mov eax, cr0
        or eax, 10
        mov cr0, eax
        FAULTS "6.15-nm-fwait-mp-ts", 7, NO_ERROR, fwait
        mov eax, cr0
        and eax, ~2
        mov cr0, eax
        fwait
        clts
        ; #MF with CR0.NE
        mov eax, cr0
        or eax, 0x20
        mov cr0, eax
        fninit
        fldcw [unmask_zero]
        fld1
        fldz
        fdivp st1, st0
        FAULTS "6.15-mf-at-next-waiting-instruction", 16, NO_ERROR, fld1
        fnclex
        fninit
        ; #AC: ring 3, AM and AC
        mov eax, cr0
        or eax, 0x40000
        mov cr0, eax
        RING3_FAULTS "6.15-ac-word", 17, 0, 0x40002, mov ax, [bounds+1]
        RING3_FAULTS "6.15-ac-dword", 17, 0, 0x40002, mov eax, [bounds+2]
        RING3 push_misaligned, 0x40002
        IS "6.15-ac-push", [got_vector], 17
        RING3 misaligned_is_fine
        IS "6.15-ac-off-without-flag", [got_vector], 0x40
        mov eax, [bounds+1]
        IS "6.15-ac-not-in-ring-0", 0, 0
        mov eax, cr0
        and eax, ~0x40000
        mov cr0, eax

; ---- 6.11, 6.12: gates ----
        sti
        RESUME_AT .gate1
        int 0x50
.gate1: mov eax, [handler_eflags]
        and eax, 0x200
        IS "6.12.1.3-interrupt-gate-clears-if", eax, 0
        mov byte [idt+0x50*8+5], 0x8f
        sti
        RESUME_AT .gate2
        int 0x50
.gate2: cli
        mov eax, [handler_eflags]
        and eax, 0x200
        IS "6.12.1.3-trap-gate-keeps-if", eax, 0x200
        mov eax, [got_frame]
        sub eax, esp
        neg eax
        IS "6.12.1-same-ring-frame-is-12-bytes", eax, 12
        mov byte [idt+0x50*8+5], 0x8e
        RING3_FAULTS "6.12.1.2-int-n-checks-dpl", 13, 0x50*8+2, 2, int 0x50
        RING3_FAULTS "6.12.1.2-int3-checks-dpl", 13, 3*8+2, 2, int3
        RING3_FAULTS "6.12.1.2-exceptions-do-not-check-dpl", 6, NO_ERROR, 2, ud2
        RING3 int1_user
        IS "6.12.1.2-int1-does-not-check-dpl", [got_vector], 1
        mov byte [idt+0x50*8+5], 0x0e
        FAULTS "6.11-gate-not-present", 11, 0x50*8+2, int 0x50
        mov byte [idt+0x50*8+5], 0x8c
        FAULTS "6.11-call-gate-in-idt", 13, 0x50*8+2, int 0x50
        mov byte [idt+0x50*8+5], 0x8e
        mov word [idt+0x50*8+2], 0
        FAULTS "6.12-null-code-selector", 13, 0, int 0x50
        mov word [idt+0x50*8+2], DATA0
        FAULTS "6.12-gate-to-data", 13, DATA0, int 0x50
        mov word [idt+0x50*8+2], CODE3
        FAULTS "6.12-gate-to-outer-ring", 13, CODE3 & 0xfffc, int 0x50
        mov word [idt+0x50*8+2], 0xfff8
        FAULTS "6.12-gate-beyond-gdt", 13, 0xfff8, int 0x50
        mov word [idt+0x50*8+2], CODE0
        mov word [idt_pointer], 0x50*8+6
        lidt [idt_pointer]
        FAULTS "6.10-beyond-idt-limit", 13, 0x50*8+2, int 0x50
        mov word [idt_pointer], 256*8-1
        lidt [idt_pointer]
        ; 16-bit gate pushes words
        mov byte [idt+0x50*8+5], 0x86
        SET_GATE idt+0x50*8, CODE0, gate16, 0x86, 0
        mov [saved_esp], esp
        int 0x50
gate16_back:
        IS "6.12.1-16-bit-frame-is-6-bytes", [value], 6
        SET_GATE idt+0x50*8, CODE0, stubs+0x50*16, 0x8e, 0
        ; EFLAGS on the way in
        RESUME_AT .flags
        push dword 0x4002               ; NT
        popfd
        int 0x50
.flags: mov eax, [handler_eflags]
        and eax, 0x4100
        IS "6.12.1-nt-and-tf-cleared", eax, 0
        mov eax, [got_eflags]
        and eax, 0x4000
        IS "6.12.1-nt-in-image", eax, 0x4000
        ; RF is set in the image of faults, not of traps (17.3.1.1)
        FAULTS "rf", 6, NO_ERROR, ud2
        mov eax, [got_eflags]
        and eax, 0x10000
        IS "17.3.1.1-fault-pushes-rf", eax, 0x10000
        RESUME_AT .rf
        int3
.rf:    mov eax, [got_eflags]
        and eax, 0x10000
        IS "17.3.1.1-trap-pushes-no-rf", eax, 0

; ---- 6.13: EXT ----
        mov byte [idt+0x60*8+5], 0x0e
        sti
        RESUME_AT .ext
        RAISE_LINE 0x60
        nop
        nop
.ext:   cli
        IS "6.13-ext-for-external-interrupts", [got_error], 0x60*8+3
        mov byte [idt+0x60*8+5], 0x8e
        mov byte [idt+6*8+5], 0x0e
        RESUME_AT .ext2
        ud2
.ext2:  IS "6.13-ext-for-exceptions", [got_error], 6*8+3
        mov byte [idt+6*8+5], 0x8e

; ---- 6.8: masking ----
        mov dword [resume], 0
        mov dword [got_vector], -1
        RAISE_LINE 0x61
        nop
        IS "6.8.1-if-clear-holds-off", [got_vector], -1
        sti
        mov eax, [got_vector]           ; the shadow of STI
        mov ebx, [got_vector]
        IS "sti-delays-one-instruction", eax, -1
        IS "sti-then-interrupt", ebx, 0x61
        cli
        mov dword [got_vector], -1
        RAISE_LINE 0x61
        sti
        cli
        nop
        IS "sti-cli-lets-nothing-in", [got_vector], -1
        sti
        nop
        cli
        IS "sti-nop-lets-it-in", [got_vector], 0x61
        mov dword [got_vector], -1
        RAISE_LINE 0x62
        mov ecx, 0x202
        mov dx, ss
        sti
        mov ss, dx                      ; the shadow of STI covers this one, its own the next
        mov eax, [got_vector]
        cli
        IS "6.8.3-mov-ss-delays", eax, -1
        IS "6.8.3-after-mov-ss", [got_vector], 0x62
        ; HLT ends with an interrupt; the return address is behind it
        mov dword [got_vector], -1
        RAISE_LINE 0x63
        sti
.hlt:   hlt
.behind_hlt:
        IS "hlt-wakes", [got_vector], 0x63
        IS "hlt-return-address", [got_eip], .behind_hlt
        cli
        ; POPF and IRET open the gate without a delay
        mov dword [got_vector], -1
        RAISE_LINE 0x64
        push dword 0x202
        popfd
        mov eax, [got_vector]
        cli
        IS "popf-does-not-delay", eax, 0x64

; ---- 6.7: NMI ----
        mov dword [got_vector], -1
        mov al, 2
        out 0x81, al
        mov al, 0
        out 0x81, al
        IS "6.7-nmi-ignores-if", [got_vector], 2
        ; a second NMI waits for IRET
        SET_GATE idt+2*8, CODE0, nmi_handler, 0x8e, 0
        mov al, 2
        out 0x81, al
        IS "6.7.1-nmi-blocked-in-handler", [value], 1
        IS "6.7.1-nmi-after-iret", [value2], 2
        SET_GATE idt+2*8, CODE0, stubs+2*16, 0x8e, 0

; ---- 6.9: priorities: NMI before INTR ----
        mov dword [got_count], 0
        mov al, 0x65
        out 0x80, al
        mov al, 0
        out 0x81, al
        mov al, 3
        out 0x81, al
        sti
        nop
        nop
        cli
        mov al, 0
        out 0x81, al
        IS "6.9-both-delivered", [got_count], 2
        IS "6.9-nmi-first", [got_vector], 0x65

; ---- 6.15, #DF: contributory pairs ----
        mov byte [idt+13*8+5], 0x0e     ; #GP's gate not present: #NP while delivering #GP
        RESUME_AT .df
        mov ax, DATA0 | 3
        mov ss, ax
.df:    IS "6.15-df-gp-np", [got_vector], 8
        IS "6.15-df-error-0", [got_error], 0
        mov byte [idt+13*8+5], 0x8e
        mov byte [idt+6*8+5], 0x0e      ; #UD is benign: #NP is delivered
        RESUME_AT .benign
        ud2
.benign:
        IS "6.15-benign-then-contributory", [got_vector], 11
        mov byte [idt+6*8+5], 0x8e

; ---- IRET ----
        RESUME_AT .iret1
        push dword 2
        push dword 0
        push dword 0x8000
        iretd
.iret1: IS "iret-null-cs", [got_vector], 13
        ; the descriptor is read again, though CS holds it
        RESUME_AT .iret2
        push dword 2
        push dword SCRATCH
        push dword 0x8000
        SET_DESCRIPTOR SCRATCH, 0, 0xfffff, 0x1b, 0xc
        iretd
.iret2: IS "iret-not-present", [got_vector], 11
        IS "iret-not-present-error", [got_error], SCRATCH
        push dword 0x246cd7            ; ID, AC, NT, IOPL 2, OF, DF and the arithmetic flags
        push dword CODE0
        push dword .iret3
        iretd
.iret3: pushfd
        pop eax
        push dword 2
        popfd
        IS "iret-loads-all-flags", eax, 0x246cd7
        ret

push_misaligned:
        dec esp
        push eax
        int 0x40
misaligned_is_fine:
        mov eax, [bounds+1]
        int 0x40

gate16: mov eax, [saved_esp]
        sub eax, esp
        mov [value], eax
        mov esp, [saved_esp]
        jmp gate16_back

; counts itself; raises another NMI inside, which must wait
nmi_handler:
        push eax
        inc dword [value2]
        cmp dword [value2], 2
        jae .end
        mov al, 0
        out 0x81, al
        mov al, 2
        out 0x81, al
        mov al, 0
        out 0x81, al
        mov eax, [value2]
        mov [value], eax
.end:   pop eax
        iretd

int1_user:
        db 0xf1
        int 0x40

        align 4
bounds: dd -3, 2
        dd 0
unmask_zero: dw 0x37b
        align 4
value:  dd 0
value2: dd 0
saved_esp: dd 0

%include "system-end.inc"
