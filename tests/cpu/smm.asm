; SPDX-License-Identifier: GPL-3.0-or-later
; System management mode: SDM vol. 3, chapter 34.
%include "system.inc"

%macro SMI 0
        mov al, 4
        out 0x81, al
        mov al, 0
        out 0x81, al
%endmacro
; the handler's code goes to 38000h (or what SMBASE + 8000h is)
%macro INSTALL 2                ; where, label
        mov esi, %2
        mov edi, %1
        mov ecx, 512
        cld
        rep movsb
%endmacro

main:
        INSTALL 0x38000, handler
        mov dword [value], 0
        mov ebx, 0xb0b0b0b0
        mov ebp, 0xbebebebe
        sti
        std
        SMI
        nop
        cld
        cli
        IS "34.5-handler-ran", [value], 1
        IS "34.5.1-cr0-pe-clear", [value+4], 0x60000010
        IS "34.5.1-cs-selector", [value+8], 0x3000
        IS "34.5.1-eflags", [value+12], 2
        IS "34.4.1-revision", [0x30000+0xfefc], 0x20000
        IS "34.4.1-smbase", [0x30000+0xfef8], 0x30000
        IS "34.4.1-ebx", [0x30000+0xffdc], 0xb0b0b0b0
        IS "34.4.1-cr0", [0x30000+0xfffc], 0x60000011
        movzx eax, word [0x30000+0xffac]
        IS "34.4.1-cs", eax, CODE0
        mov eax, [0x30000+0xfff4]
        and eax, 0x600
        IS "34.4.1-eflags-if-df", eax, 0x600
        IS "34.7-rsm-restores-ebx", ebx, 0xb0b0b0b0
        IS "34.7-rsm-takes-changed-ebp", ebp, 0x0badcafe
        mov ax, cs
        movzx eax, ax
        IS "34.7-rsm-restores-mode", eax, CODE0
        mov al, [0x8000]                ; limits and bases are back
        IS "34.7-rsm-restores-segments", 0, 0
        FAULTS "34.7-rsm-outside", 6, NO_ERROR, rsm

; ---- 34.8: interrupts and NMI are held off ----
        mov dword [got_vector], -1
        mov dword [got_count], 0
        mov dword [resume], 0
        INSTALL 0x38000, handler_nmi
        SMI
        nop
        IS "34.8-nmi-waits-for-rsm", [value+16], 0
        IS "34.8-nmi-after-rsm", [got_vector], 2

; ---- 34.10: HLT ----
        INSTALL 0x38000, handler_halt
        mov dword [value+20], 0
        mov al, 0x70
        out 0x80, al
        mov al, 0
        out 0x81, al
        ; an SMI that comes with HLT, then an interrupt that ends it
        mov dword [got_vector], -1
        mov al, 4
        out 0x81, al
        IS "34.10-smi-before-hlt", [value+20], 1
        mov al, 0
        out 0x81, al

; ---- 34.11: SMBASE ----
        INSTALL 0x38000, handler_relocate
        INSTALL 0x58000, handler
        mov dword [value], 0
        SMI
        IS "34.11-first-at-old-base", [value], 0x51
        mov dword [value], 0
        SMI
        IS "34.11-second-at-new-base", [value], 1
        IS "34.11-cs-is-new-base", [value+8], 0x5000
        IS "34.11-map-at-new-base", [0x50000+0xfef8], 0x50000

; ---- paging and virtual-8086 come back ----
        mov edi, 0x20000
        mov dword [edi], 0x83
        mov eax, cr4
        or eax, 0x10
        mov cr4, eax
        mov cr3, edi
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp .paged
.paged: mov dword [value], 0
        SMI
        IS "34.5.1-paging-off-in-handler", [value+4], 0x60000010
        mov eax, cr0
        IS "34.7-paging-back", eax, 0xe0000011
        mov eax, cr4
        IS "34.7-cr4-back", eax, 0x10
        mov eax, 0x60000011
        mov cr0, eax
        ret

        bits 16
; 16-bit code with 4 GiB limits; addresses of this program with address size 32
handler:
        xor eax, eax
        mov ds, ax
        inc dword [dword value]
        mov eax, cr0
        mov [dword value+4], eax
        xor eax, eax
        mov ax, cs
        mov [dword value+8], eax
        mov sp, 0x7800
        mov ss, [dword zero]
        pushfd
        pop eax
        and eax, 0xfffffffb             ; PF of the operations above
        and eax, 0xffffffbf
        mov [dword value+12], eax
        mov eax, cs
        shl eax, 4
        mov dword [eax+0xffe4], 0x0badcafe      ; EBP in the map
        rsm

handler_nmi:
        xor eax, eax
        mov ds, ax
        mov al, 2
        out 0x81, al
        mov al, 0
        out 0x81, al
        nop
        mov eax, [dword got_count]
        mov [dword value+16], eax
        rsm

handler_halt:
        xor eax, eax
        mov ds, ax
        inc dword [dword value+20]
        rsm

handler_relocate:
        xor eax, eax
        mov ds, ax
        mov dword [dword value], 0x51
        mov dword [dword 0x30000+0xfef8], 0x50000
        rsm
        bits 32

        align 4
zero:   dd 0
value:  times 8 dd 0

%include "system-end.inc"
