; SPDX-License-Identifier: GPL-3.0-or-later
; Hardware tasks: SDM vol. 3, chapter 7.
%include "system.inc"

%define STACK_B 0x5800
%define T(field) TSS_B_AT+field
%define TSS_16   SCRATCH+56
%define TSS_16_AT 0x3000

%macro FRESH_B 1                ; TSS B starts at label %1 in ring 0
        mov esi, %1
        call fresh_b
%endmacro

main:
; ---- 7.3: JMP ----
        FRESH_B task_jumped
        mov dword [T(40)], 0xa0a0a0a0   ; eax
        mov dword [T(44)], 0xc0c0c0c0   ; ecx
        mov dword [T(36)], 0x00200202   ; eflags: ID, IF
        mov ebx, 0x12345678
        mov edx, 0xd0d0d0d0
        jmp TSS_B:0x99999999
back_from_jump:
        IS "7.3-jmp-enters-eip", [value], 1
        IS "7.3-jmp-loads-eax", [value+4], 0xa0a0a0a0
        IS "7.3-jmp-loads-ecx", [value+8], 0xc0c0c0c0
        mov eax, [value+12]
        and eax, 0x204200
        IS "7.3-jmp-loads-eflags-nt-clear", eax, 0x200200
        IS "7.3-jmp-loads-esp", [value+16], STACK_B
        IS "7.3-str-is-new-tss", [value+20], TSS_B
        mov eax, [value+24]
        and eax, 8
        IS "7.1.1-ts-set", eax, 8
        IS "7.2.2-new-tss-busy", [value+28], 0x8b
        IS "7.2.2-old-tss-available-after-jmp", [value+32], 0x89
        IS "7.3-old-ebx-saved", [TSS_A_AT+52], 0x12345678
        IS "7.3-old-eip-saved-behind-jmp", [TSS_A_AT+32], back_from_jump
        movzx eax, word [TSS_A_AT+76]
        IS "7.3-old-cs-saved", eax, CODE0
        IS "7.3-registers-restored-on-return", edx, 0xd0d0d0d0
        movzx eax, byte [gdt+TSS_B+5]
        IS "7.3-jmp-back-clears-busy", eax, 0x89
        movzx eax, word [TSS_B_AT]
        IS "7.4-jmp-writes-no-link", eax, 0

; ---- CALL and IRET ----
        FRESH_B task_called
        mov ebx, 0x5555
        call TSS_B:0
        IS "7.4-call-links", [value], TSS_A
        mov eax, [value+4]
        and eax, 0x4000
        IS "7.4-call-sets-nt", eax, 0x4000
        IS "7.2.2-both-busy-in-nested-task", [value+8], 0x8b8b
        IS "7.4-iret-returns", ebx, 0x5555
        movzx eax, byte [gdt+TSS_B+5]
        IS "7.4-iret-clears-busy", eax, 0x89
        movzx eax, byte [gdt+TSS_A+5]
        IS "7.4-outer-stays-busy", eax, 0x8b
        pushfd
        pop eax
        and eax, 0x4000
        IS "7.4-nt-clear-in-outer", eax, 0
        mov eax, [T(36)]
        and eax, 0x4000
        IS "7.4-iret-saves-nt-clear", eax, 0
        clts

; ---- Task gates ----
        FRESH_B task_called
        mov dword [gdt+SCRATCH], TSS_B << 16
        mov dword [gdt+SCRATCH+4], 0x8500
        mov dword [value], 0
        call SCRATCH:0
        IS "7.2.5-call-through-task-gate", [value], TSS_A
        FRESH_B task_called
        mov dword [gdt+SCRATCH+4], 0xe500
        RING3 call_task_gate
        IS "7.2.5-from-ring-3", [got_vector], 0x40
        mov dword [gdt+SCRATCH+4], 0x8500
        RING3_FAULTS "7.2.5-gate-dpl", 13, SCRATCH, 2, call SCRATCH:0
        RING3_FAULTS "7.2.2-tss-dpl", 13, TSS_B, 2, call TSS_B:0
        mov dword [gdt+SCRATCH+4], 0x0500
        FAULTS "7.2.5-gate-not-present", 11, SCRATCH, call SCRATCH:0
        ; interrupts through a task gate
        FRESH_B task_called
        mov dword [value], 0
        mov dword [idt+0x50*8], TSS_B << 16
        mov dword [idt+0x50*8+4], 0x8500
        int 0x50
        IS "7.2.5-interrupt-through-task-gate", [value], TSS_A
        ; an exception's error code is pushed on the new task's stack
        FRESH_B task_exception
        mov eax, [idt+13*8]
        mov [saved], eax
        mov eax, [idt+13*8+4]
        mov [saved+4], eax
        mov dword [idt+13*8], TSS_B << 16
        mov dword [idt+13*8+4], 0x8500
        mov dword [skip_to], .faulted
.fault: mov fs, [word_bad]
.faulted:
        IS "7.3-error-code-on-new-stack", [value], 0xfff0
        IS "7.3-esp-below-error-code", [value+4], STACK_B-4
        IS "7.3-faulting-eip-saved", [value+8], .fault
        mov eax, [saved]
        mov [idt+13*8], eax
        mov eax, [saved+4]
        mov [idt+13*8+4], eax

; ---- Refusals in the old context ----
        FAULTS "7.3-jmp-to-busy-tss", 13, TSS_A, jmp TSS_A:0
        mov byte [gdt+TSS_B+5], 0x09
        FAULTS "7.3-tss-not-present", 11, TSS_B, jmp TSS_B:0
        mov byte [gdt+TSS_B+5], 0x89
        mov word [gdt+TSS_B], 0x66
        FAULTS "7.2.1-tss-limit", 10, TSS_B, jmp TSS_B:0
        movzx eax, byte [gdt+TSS_B+5]
        IS "7.3-refused-tss-stays-available", eax, 0x89
        mov word [gdt+TSS_B], 0xfff
        mov dword [gdt+SCRATCH], (TSS_B | 4) << 16
        mov dword [gdt+SCRATCH+4], 0x8500
        FAULTS "7.2.5-gate-to-ldt-selector", 13, TSS_B | 4, jmp SCRATCH:0
        ; IRET with NT and a bad link
        mov word [TSS_A_AT], DATA0
        push dword 0x4002
        popfd
        FAULTS "7.4-iret-link-not-a-tss", 10, DATA0, iretd
        mov word [TSS_A_AT], TSS_B
        push dword 0x4002
        popfd
        FAULTS "7.4-iret-link-not-busy", 10, TSS_B, iretd
        push dword 2
        popfd
        mov word [TSS_A_AT], 0

; ---- Refusals in the new context: the fault is the new task's ----
%macro NEW_CONTEXT 4            ; name, vector, error, what spoils TSS B
        FRESH_B task_called
        %4
        mov dword [where], 0
        mov dword [resume_b], %%back
        call enter_bad
%%back: IS %1, [got_vector], %2
        IS {%1, "-error"}, [got_error], %3
        IS {%1, "-in-new-task"}, [where], TSS_B
%endmacro
        NEW_CONTEXT "7.3-bad-es-is-ts", 10, TSS_A, {mov word [T(72)], TSS_A}
        NEW_CONTEXT "7.3-es-beyond-gdt-is-ts", 10, 0xfff8, {mov word [T(72)], 0xfffb}
        SET_DESCRIPTOR SCRATCH+8, 0, 0xfffff, 0x13, 0xc
        NEW_CONTEXT "7.3-ds-not-present-is-np", 11, SCRATCH+8, {mov word [T(84)], SCRATCH+8}

; ---- T flag ----
        FRESH_B task_trapped
        mov word [T(100)], 1
        mov dword [got_vector], -1
        mov dword [resume], 0
        call TSS_B:0
        IS "17.3.1.5-t-flag-is-db", [got_vector], 1
        IS "17.3.1.5-before-first-instruction", [got_eip], task_trapped
        mov eax, dr6
        and eax, 0x8000
        IS "17.3.1.5-dr6-bt", eax, 0x8000
        xor eax, eax
        mov dr6, eax

; ---- LDT and CR3 of the task ----
        FRESH_B task_with_ldt
        SET_DESCRIPTOR SCRATCH+16, 0x30000, 0xff, 0x82, 0
        mov dword [0x30008], 0x1234ffff
        mov dword [0x3000c], 0x00409300
        mov word [T(96)], SCRATCH+16
        mov word [T(84)], 0x0c          ; DS in the LDT
        call TSS_B:0
        IS "7.2.1-ldt-loaded", [value], SCRATCH+16
        IS "7.2.1-ds-from-ldt", [value+4], 0x0c
        sldt ax
        movzx eax, ax
        IS "7.2.1-old-ldt-back", eax, 0

; ---- Local breakpoints end with the task (17.2.4) ----
        FRESH_B task_called
        mov eax, 0x0000
        mov dr0, eax
        mov eax, 0x00000703
        mov dr7, eax
        mov eax, 0xffffffff
        mov dr0, eax
        call TSS_B:0
        mov eax, dr7
        and eax, 3
        IS "17.2.4-local-breakpoints-end", eax, 2
        xor eax, eax
        mov dr7, eax

; ---- 16-bit TSS (7.6) ----
        mov edi, TSS_16_AT
        mov ecx, 64
        xor eax, eax
        rep stosd
        mov word [TSS_16_AT+14], task_16
        mov word [TSS_16_AT+16], 2
        mov word [TSS_16_AT+18], 0xaaaa
        mov word [TSS_16_AT+26], STACK_B
        mov word [TSS_16_AT+34], DATA0
        mov word [TSS_16_AT+36], CODE0
        mov word [TSS_16_AT+38], DATA0
        mov word [TSS_16_AT+40], DATA0
        SET_DESCRIPTOR TSS_16, TSS_16_AT, 0x2b, 0x81, 0
        mov ebx, 0x77770000
        call TSS_16:0
        movzx eax, word [value]
        IS "7.6-16-bit-tss-ax", eax, 0xaaaa
        IS "7.6-16-bit-link", [value+4], TSS_A
        IS "7.6-back-in-32-bit-task", ebx, 0x77770000
        SET_DESCRIPTOR TSS_16, TSS_16_AT, 0x2a, 0x81, 0
        FAULTS "7.6-16-bit-limit", 10, TSS_16, call TSS_16:0
        ret

fresh_b:                        ; esi: eip
        push eax
        push ecx
        push edi
        mov edi, TSS_B_AT
        mov ecx, 26
        xor eax, eax
        rep stosd
        mov [T(32)], esi
        mov dword [T(4)], STACK_INNER
        mov dword [T(8)], DATA0
        mov dword [T(36)], 2
        mov dword [T(56)], STACK_B
        mov word [T(72)], DATA0
        mov word [T(76)], CODE0
        mov word [T(80)], DATA0
        mov word [T(84)], DATA0
        mov word [T(88)], DATA0
        mov word [T(92)], DATA0
        mov byte [gdt+TSS_B+5], 0x89
        pop edi
        pop ecx
        pop eax
        ret

task_jumped:
        mov dword [value], 1
        mov [value+4], eax
        mov [value+8], ecx
        mov [value+16], esp
        pushfd
        pop dword [value+12]
        xor eax, eax
        str ax
        mov [value+20], eax
        mov eax, cr0
        mov [value+24], eax
        movzx eax, byte [gdt+TSS_B+5]
        mov [value+28], eax
        movzx eax, byte [gdt+TSS_A+5]
        mov [value+32], eax
        cli
        clts
        jmp TSS_A:0

task_called:
        movzx eax, word [TSS_B_AT]
        mov [value], eax
        pushfd
        pop dword [value+4]
        mov al, [gdt+TSS_A+5]
        mov ah, [gdt+TSS_B+5]
        movzx eax, ax
        mov [value+8], eax
        iretd
        jmp task_called

task_exception:
        mov [value+4], esp
        pop dword [value]
        mov eax, [TSS_A_AT+32]
        mov [value+8], eax
        mov eax, [skip_to]
        mov [TSS_A_AT+32], eax
        iretd

task_trapped:
        iretd

task_with_ldt:
        sldt ax
        movzx eax, ax
        mov [es:value], eax
        mov ax, ds
        movzx eax, ax
        mov [es:value+4], eax
        iretd

task_16:
        mov [value], eax
        movzx eax, word [TSS_16_AT]
        mov [value+4], eax
        o16 iret

call_task_gate:
        call SCRATCH:0
        int 0x40

; Enters TSS B, whose state is bad.  The handler runs in the new task; it notes TR, makes A the task again, and goes back.
enter_bad:
        mov [bad_esp], esp
        mov dword [resume], .handled
        mov dword [resume_esp], STACK_B
        mov dword [got_vector], -1
        call TSS_B:0
        ret
.handled:
        xor eax, eax
        str ax
        mov [where], eax
        push dword 2
        popfd
        mov byte [gdt+TSS_A+5], 0x89
        mov ax, TSS_A
        ltr ax
        xor eax, eax
        lldt ax
        mov ax, DATA0
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov esp, [bad_esp]
        add esp, 4
        jmp [resume_b]

word_bad: dw 0xfff0
        align 4
value:  times 10 dd 0
saved:  dd 0, 0
skip_to: dd 0
where:  dd 0
resume_b: dd 0
bad_esp: dd 0

%include "system-end.inc"
