; SPDX-License-Identifier: GPL-3.0-or-later
; Option ROM that starts a kernel given by --kernel: a Linux bzImage or a multiboot ELF.
;
; It is a PnP expansion header with a boot entry vector (BIOS Boot Specification 1.01, 3.3), so that SeaBIOS offers it
; in the boot order.  The monitor fills in the words below: a list of fw_cfg items to copy to memory by the DMA
; interface, and how to enter the kernel.  boot-rom.h describes the same layout for C.
        bits    16
        org     0

        db      0x55, 0xaa
rom_blocks:
        db      0                       ; filled in by firmware-kernel.c: length / 512
        jmp     near initialise
        times   0x1a - ($ - $$) db 0
        dw      pnp
        dw      0

; The monitor finds this block by its magic.
        align   16, db 0
magic:          db 'BulkheadBootROM', 0
entry_kind:     dd 0                    ; 1: Linux, 2: multiboot
n_items:        dd 0
items:          times 8 * 4 dd 0        ; per item: fw_cfg number, bytes, guest-physical address, 0
entry_point:    dd 0                    ; multiboot: EIP
information:    dd 0                    ; multiboot: address of its information structure
memory_map:     dd 0                    ; multiboot: where the map goes
setup_segment:  dw 0                    ; Linux: the real-mode kernel is entered at setup_segment + 20h : 0
stack_top:      dw 0

        align   4, db 0
pnp:            db '$PnP', 1, 2
                dw 0                    ; no further header
                db 0
pnp_checksum:   db 0
                dd 0
                dw manufacturer
                dw product
                db 0, 0, 0
                db 0xe4                 ; initial program load device, read cacheable, shadowable
                dw 0, 0
                dw boot                 ; boot entry vector
                dw 0, 0
manufacturer:   db 'Bulkhead', 0
product:        db 'Kernel', 0

initialise:
        mov     ax, 0x20                ; an IPL device is attached (PnP BIOS 1.0a, 4.6)
        retf

; Copies one item. edi: guest-physical address of the request (in low memory), esi: item in this ROM.
boot:
        cli
        cld
        xor     ax, ax
        mov     ss, ax
        mov     sp, 0x7c00
        mov     es, ax
        mov     ax, cs
        mov     ds, ax
        sti

        mov     ecx, [n_items]
        mov     si, items
.next_item:
        jecxz   .copied
        mov     di, 0x600               ; the request: control, length, address, all big endian
        mov     eax, [si]
        shl     eax, 16
        or      eax, 0x0a               ; select and read
        bswap   eax
        mov     [es:di], eax
        mov     eax, [si + 4]
        bswap   eax
        mov     [es:di + 4], eax
        mov     dword [es:di + 8], 0
        mov     eax, [si + 8]
        bswap   eax
        mov     [es:di + 12], eax
        mov     dx, 0x514
        xor     eax, eax
        out     dx, eax
        mov     dx, 0x518
        mov     eax, 0x600
        bswap   eax
        out     dx, eax
.wait:
        mov     eax, [es:di]
        bswap   eax
        test    eax, 0xfffffffe
        jnz     .wait
        test    eax, eax
        jnz     failed
        add     si, 16
        dec     ecx
        jmp     .next_item
.copied:
        cmp     dword [entry_kind], 2
        je      multiboot

; Linux boot protocol, "Running the kernel": all segments the setup segment, a stack below it, jump 20h behind.
        cli
        mov     ax, [setup_segment]
        mov     cx, [stack_top]
        mov     bx, ax
        add     bx, 0x20
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     gs, ax
        mov     ss, ax
        movzx   esp, cx
        push    bx
        push    word 0
        retf

failed:
        mov     si, message
.character:
        lodsb
        test    al, al
        jz      .give_up
        mov     ah, 0x0e
        xor     bx, bx
        int     0x10
        jmp     .character
.give_up:
        int     0x18                    ; SeaBIOS tries the next device
        hlt
        jmp     .give_up
message: db 'Bulkhead: the kernel could not be read', 13, 10, 0

; Multiboot 0.6.96, 3.2 and 3.3: the memory map from INT 15h E820h, flat 32-bit protected mode, A20 on.
multiboot:
        mov     edi, [memory_map]
        mov     eax, edi
        shr     eax, 4
        mov     es, ax
        and     di, 0x0f
        xor     ebx, ebx
        xor     bp, bp                  ; bytes of map so far
.next_range:
        add     di, 4                   ; room for the entry's size
        mov     eax, 0xe820
        mov     edx, 0x534d4150
        mov     ecx, 20
        int     0x15
        jc      .ranges_done
        mov     dword [es:di - 4], 20
        add     di, 20
        add     bp, 24
        test    ebx, ebx
        jz      .ranges_done
        cmp     bp, 24 * 32
        jb      .next_range
.ranges_done:
        mov     eax, [information]
        mov     edx, eax
        shr     eax, 4
        mov     es, ax
        and     dx, 0x0f
        mov     di, dx
        movzx   eax, bp
        mov     [es:di + 44], eax       ; mmap_length
        int     0x12
        movzx   eax, ax
        mov     [es:di + 4], eax        ; mem_lower in KiB
        cli
        in      al, 0x92
        or      al, 2
        and     al, 0xfe
        out     0x92, al
        ; GDTR: base of the table in this ROM
        xor     eax, eax
        mov     ax, cs
        shl     eax, 4
        mov     ebp, eax
        lea     ecx, [eax + gdt]
        push    ecx
        push    word gdt_end - gdt - 1
        mov     bx, sp
        o32 lgdt [ss:bx]
        mov     edx, [entry_point]
        mov     ebx, [information]
        add     eax, protected
        push    dword 8
        push    eax
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     short $ + 2
        o32 retf

        bits    32
protected:
        mov     ax, 0x10
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     gs, ax
        mov     ss, ax
        mov     eax, 0x2badb002
        jmp     edx

        align   8, db 0
gdt:            dq 0
                dq 0x00cf9b000000ffff
                dq 0x00cf93000000ffff
gdt_end:
        align   512, db 0
