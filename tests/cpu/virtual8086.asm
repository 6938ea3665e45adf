; SPDX-License-Identifier: GPL-3.0-or-later
; Virtual-8086 mode and its extensions: SDM vol. 3, chapter 20.
%include "system.inc"

%define V86_SEGMENT 0x2000      ; code is copied to 20000h
%define V86_STACK   0x2100

; V86 code label, IOPL flags: enters virtual-8086 mode at a copy of the code; comes back by a fault or by INT 40h
%macro V86 2
        mov esi, %1
        mov ebp, %2
        call enter_v86
%endmacro
; V86_FAULTS name, vector, error, flags, code label
%macro V86_FAULTS 5
        V86 %5, %4
        IS %1, [got_vector], %2
        IS {%1, "-error"}, [got_error], %3
        IS {%1, "-ip"}, [got_eip], 0
%endmacro

main:
        ; INT 40h and 41h can be reached from ring 3; the map of redirected interrupts lies in front of the I/O map
        mov word [TSS_A_AT+102], 0x200
        mov edi, TSS_A_AT+0x200-32
        mov ecx, 8
        mov eax, -1
        rep stosd
        mov ecx, 0x800
        xor eax, eax
        mov edi, TSS_A_AT+0x200
        mov ecx, 16
        rep stosd

        mov byte [idt+3*8+5], 0xee
        mov byte [idt+0x41*8+5], 0xee
        mov dword [value], 0
; ---- 20.2: entry, state, exit ----
        V86 v_state, 0x23002
        IS "20.2.2-interrupt-leaves", [got_vector], 0x40
        IS "20.1.1-segment-times-16", [value], 0x5678
        mov eax, [got_eflags]
        and eax, 0x23000
        IS "20.2.3-vm-in-image", eax, 0x23000
        mov eax, [handler_eflags]
        and eax, 0x20000
        IS "20.2.3-vm-clear-in-handler", eax, 0
        IS "20.2.3-cs-in-frame", [got_cs], V86_SEGMENT
        IS "20.2.3-ss-in-frame", [got_ss], V86_STACK
        IS "20.2.3-es-in-frame", [STACK_INNER-16], 0x1111
        IS "20.2.3-ds-in-frame", [STACK_INNER-12], V86_SEGMENT
        IS "20.2.3-fs-in-frame", [STACK_INNER-8], 0x2222
        IS "20.2.3-gs-in-frame", [STACK_INNER-4], 0x3333
        IS "20.2.3-data-segments-null-in-handler", [got_ds], 0

; ---- 20.2.7, 20.2.8: what depends on IOPL ----
        V86_FAULTS "20.2.7-cli-iopl-0", 13, 0, 0x20002, v_cli
        V86_FAULTS "20.2.7-sti-iopl-0", 13, 0, 0x20002, v_sti
        V86_FAULTS "20.2.7-pushf-iopl-0", 13, 0, 0x20002, v_pushf
        V86_FAULTS "20.2.7-popf-iopl-0", 13, 0, 0x20002, v_popf
        V86_FAULTS "20.2.7-iret-iopl-0", 13, 0, 0x20002, v_iret
        V86_FAULTS "20.2.7-int-n-iopl-0", 13, 0, 0x20002, v_int41
        V86_FAULTS "20.2.7-pushfd-iopl-2", 13, 0, 0x22002, v_pushfd
        V86 v_cli, 0x23202
        mov eax, [got_eflags]
        and eax, 0x200
        IS "20.2.7-cli-iopl-3", eax, 0
        V86 v_int41, 0x23002
        IS "20.2.7-int-n-iopl-3", [got_vector], 0x41
        V86 v_int3, 0x20002
        IS "20.2.7-int3-needs-no-iopl", [got_vector], 3
        V86_FAULTS "20.2-hlt", 13, 0, 0x23002, v_hlt
        V86_FAULTS "20.2-mov-cr0", 13, 0, 0x23002, v_mov_cr0
        V86_FAULTS "20.2-lgdt", 13, 0, 0x23002, v_lgdt
        V86_FAULTS "20.2-clts", 13, 0, 0x23002, v_clts
        V86_FAULTS "20.2-lldt-is-ud", 6, NO_ERROR, 0x23002, v_lldt
        V86_FAULTS "20.2-str-is-ud", 6, NO_ERROR, 0x23002, v_str
        V86_FAULTS "20.2-lar-is-ud", 6, NO_ERROR, 0x23002, v_lar
        V86_FAULTS "20.2-verr-is-ud", 6, NO_ERROR, 0x23002, v_verr
        V86_FAULTS "20.2-arpl-is-ud", 6, NO_ERROR, 0x23002, v_arpl
        V86_FAULTS "20.1.1-limit-ffff", 13, 0, 0x23002, v_limit
        V86_FAULTS "20.1.1-stack-limit-ffff", 12, 0, 0x23002, v_stack_limit
        V86 v_smsw, 0x20002
        mov eax, [value]
        and eax, 0xffff
        IS "20.2-smsw-tells", eax, 0x11
; I/O goes by the bitmap even at IOPL 3
        V86 v_in, 0x23002
        IS "20.2.8-io-allowed-by-bitmap", [got_vector], 0x40
        mov byte [TSS_A_AT+0x200+0x84/8], 0x10
        V86_FAULTS "20.2.8-io-denied-by-bitmap", 13, 0, 0x23002, v_in
        mov byte [TSS_A_AT+0x200+0x84/8], 0
        ; POPF keeps VM and IOPL
        V86 v_popf_all, 0x23002
        mov eax, [got_eflags]
        and eax, 0x23000
        IS "20.2.7-popf-keeps-iopl", eax, 0x23000
        ; IRET with VM set in the image from a ring other than 0 does not enter
        RING3 iret_vm
        mov eax, [got_eflags]
        and eax, 0x20000
        IS "20.2.2-vm-only-from-ring-0", eax, 0
        ; IRET to EIP beyond ffffh
        RESUME_AT .beyond
        push dword 0
        push dword 0
        push dword 0
        push dword 0
        push dword V86_STACK
        push dword 0xfff0
        push dword 0x23002
        push dword V86_SEGMENT
        push dword 0x10000
        iretd
.beyond:
        IS "20.2.2-eip-beyond-ffff", [got_vector], 13
        ; interrupts from virtual-8086 mode go to ring 0 only
        SET_DESCRIPTOR SCRATCH, 0, 0xfffff, 0xfb, 0xc
        mov word [idt+0x41*8+2], SCRATCH | 3
        mov byte [idt+0x41*8+5], 0xee
        V86 v_int41, 0x23002
        IS "20.2.1-handler-must-be-ring-0", [got_vector], 13
        IS "20.2.1-handler-must-be-ring-0-error", [got_error], SCRATCH
        mov word [idt+0x41*8+2], CODE0

; ---- 20.3: VME ----
        mov eax, cr4
        or eax, 1
        mov cr4, eax
        V86 v_cli, 0xa0002              ; VIF set
        mov eax, [got_eflags]
        and eax, 0x80200
        IS "20.3-cli-clears-vif", eax, 0
        V86 v_sti, 0x20002
        mov eax, [got_eflags]
        and eax, 0x80200
        IS "20.3-sti-sets-vif", eax, 0x80000
        V86_FAULTS "20.3-sti-with-vip", 13, 0, 0x120002, v_sti
        V86 v_pushf_out, 0xa0002
        mov eax, [value]
        and eax, 0x3200
        IS "20.3-pushf-shows-vif-and-iopl-3", eax, 0x3200
        V86 v_popf_if, 0x20002
        mov eax, [got_eflags]
        and eax, 0x80200
        IS "20.3-popf-sets-vif", eax, 0x80000
        V86 v_popf_tf, 0x20002
        IS "20.3-popf-tf-is-gp", [got_vector], 13
        V86_FAULTS "20.3-pushfd-still-gp", 13, 0, 0x20002, v_pushfd
        ; INT n: a set bit goes to the monitor as #GP, a clear one to the program's own table
        V86_FAULTS "20.3-int-n-bit-set", 13, 0, 0x20002, v_int41
        and byte [TSS_A_AT+0x200-32+0x41/8], ~2
        mov word [0x41*4], v_own - v_code
        mov word [0x41*4+2], V86_SEGMENT
        V86 v_int41, 0xa0002
        ; it ends with INT 40h, whose bit is set
        IS "20.3-int-n-redirected", [got_eip], v_own.end - v_code
        mov eax, [value]
        and eax, 0x3200
        IS "20.3-redirected-image", eax, 0x3200
        mov eax, [got_eflags]
        and eax, 0x80000
        IS "20.3-redirected-clears-vif", eax, 0
        V86 v_iret_if, 0x20002
        mov eax, [got_eflags]
        and eax, 0x80200
        IS "20.3-iret-sets-vif", eax, 0x80000
        mov eax, cr4
        and eax, ~1
        mov cr4, eax

; ---- 20.4: PVI ----
        mov eax, cr4
        or eax, 2
        mov cr4, eax
        RING3 pvi_sti
        mov eax, [got_eflags]
        and eax, 0x80200
        IS "20.4-pvi-sti", eax, 0x80000
        RING3 pvi_cli, 0x80002
        mov eax, [got_eflags]
        and eax, 0x80200
        IS "20.4-pvi-cli", eax, 0
        mov eax, cr4
        and eax, ~2
        mov cr4, eax
        RING3_FAULTS "20.4-off-without-pvi", 13, 0, 2, sti
        ret

; esi: code, ebp: eflags
enter_v86:
        mov edi, V86_SEGMENT*16
        push esi
        mov ecx, 256
        rep movsb
        pop esi
        ; the handler that redirected interrupts reach lies at a fixed place
        push esi
        mov esi, v_own
        mov edi, V86_SEGMENT*16 + (v_own - v_code)
        mov ecx, 64
        rep movsb
        pop esi
        mov dword [got_vector], -1
        mov dword [got_error], -1
        mov dword [resume], .back
        mov [resume_esp], esp
        push dword 0x3333
        push dword 0x2222
        push dword V86_SEGMENT
        push dword 0x1111
        push dword V86_STACK
        push dword 0x0ff0
        push ebp
        push dword V86_SEGMENT
        push dword 0
        iretd
.back:  ret

pvi_sti:
        sti
        int 0x40
pvi_cli:
        cli
        int 0x40
iret_vm:
        push dword 0x20002
        push dword CODE3
        push dword .on
        iretd
.on:    int 0x40

        bits 16
v_code:
v_state:
        mov ax, 0x2800
        mov ds, ax
        mov word [0x10], 0x5678
        mov ax, 0
        mov ds, ax
        db 0x67, 0x66, 0xa1     ; mov eax, [28010h] does not fit the limit, so by segment
        dd 0x8000
        mov ax, 0x2801
        mov ds, ax
        mov ax, [0]
        mov bx, V86_SEGMENT
        mov cx, 0
        mov ds, cx
        mov [value], ax
        mov ds, bx
        int 0x40
v_cli:  cli
        int 0x40
v_sti:  sti
        int 0x40
v_pushf:
        pushf
        int 0x40
v_pushfd:
        pushfd
        int 0x40
v_popf: popf
        int 0x40
v_iret: iret
v_int41:
        int 0x41
        int 0x40
v_int3: int3
        int 0x40
v_hlt:  hlt
v_mov_cr0:
        mov eax, cr0
v_lgdt: lgdt [0]
v_clts: clts
v_lldt: lldt ax
v_str:  str ax
v_lar:  lar ax, ax
v_verr: verr ax
v_arpl: arpl ax, ax
v_limit:
        mov ax, [0xffff]
v_stack_limit:
        mov ax, [ss:0xffff]
v_smsw: smsw ax
        xor cx, cx
        mov ds, cx
        mov [value], ax
        int 0x40
v_in:   in al, 0x84
        int 0x40
v_popf_all:
        push word 0x0fd7 & ~0x100
        popf
        int 0x40
v_pushf_out:
        pushf
        pop ax
        xor cx, cx
        mov ds, cx
        mov [value], ax
        int 0x40
v_popf_if:
        push word 0x0202
        popf
        int 0x40
v_popf_tf:
        push word 0x0302
        popf
        int 0x40
v_iret_if:
        push word 0x0202
        push cs
        push word .on - v_iret_if
        iret
.on:    int 0x40

        times 512 - ($ - v_code) db 0x90
v_own:  pop ax
        pop ax
        pop ax
        xor cx, cx
        mov ds, cx
        mov [value], ax
.end:   int 0x40
        bits 32

        align 4
value:  dd 0

%include "system-end.inc"
