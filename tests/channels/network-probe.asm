; SPDX-License-Identifier: GPL-3.0-or-later
; A guest that shows what reaches its network card: one boot sector that sends a broadcast of EtherType 88B5h (local
; experiments) about twice a second and prints the text of every such frame it receives.  The text to send is at the
; end, where a test replaces it.  Registers: RTL8139C data sheet, chapter 5.
bits 16
org 0x7c00

CMD_OFFSET      equ 0x37
RX_SEGMENT      equ 0x1000              ; 64 KiB: the ring of 8 KiB and what runs over its end

        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7000
        cld
        mov     ax, 3
        int     0x10
        mov     ebx, 0x80000000
scan:   mov     al, 0
        call    config
        in      eax, dx
        cmp     eax, 0x813910ec
        je      found
        add     ebx, 0x800
        cmp     ebx, 0x80010000
        jb      scan
        mov     si, no_card
        call    print
        jmp     $
found:  mov     al, 4                   ; command: I/O and bus master
        call    config
        in      ax, dx
        or      ax, 5
        out     dx, ax
        mov     al, 0x10
        call    config
        in      ax, dx
        and     ax, 0xfffc
        mov     [card], ax
        mov     dx, ax
        add     dx, CMD_OFFSET
        mov     al, 0x10
        out     dx, al
wait_reset:
        in      al, dx
        test    al, 0x10
        jnz     wait_reset
        mov     eax, RX_SEGMENT << 4
        mov     cl, 0x30
        call    write_long
        mov     dx, [card]
        add     dx, CMD_OFFSET
        mov     al, 0x0c                ; receiver and transmitter on
        out     dx, al
        mov     eax, 0x8f               ; everything, frames run over the end of the ring
        mov     cl, 0x44
        call    write_long
        mov     di, frame + 6
        mov     dx, [card]
        mov     cx, 6
own_address:
        in      al, dx
        stosb
        inc     dx
        loop    own_address
        mov     si, ready
        call    print

main:   mov     ax, [0x46c]
        mov     bx, ax
        sub     ax, [last]
        cmp     ax, 9
        jb      receive
        mov     [last], bx
        mov     eax, frame
        mov     cl, [slot]
        add     cl, 0x20
        call    write_long
        mov     eax, 64
        mov     cl, [slot]
        add     cl, 0x10
        call    write_long
        add     byte [slot], 4
        and     byte [slot], 0x0c
receive:
        mov     dx, [card]
        add     dx, CMD_OFFSET
        in      al, dx
        test    al, 1
        jnz     main
        mov     ax, RX_SEGMENT
        mov     ds, ax
        mov     si, [cs:offset]
        mov     bp, [si + 2]            ; length with FCS
        cmp     word [si + 16], 0xb588
        jne     skip
        push    si
        add     si, 18
        call    print
        mov     si, line_end
        push    ds
        push    cs
        pop     ds
        call    print
        pop     ds
        pop     si
skip:   add     si, bp
        add     si, 4 + 3
        and     si, 0x1ffc
        xor     ax, ax
        mov     ds, ax
        mov     [offset], si
        sub     si, 16
        mov     ax, si
        mov     dx, [card]
        add     dx, 0x38
        out     dx, ax
        jmp     main

; al: register. dx: data port.
config: mov     bl, al
        mov     eax, ebx
        mov     dx, 0xcf8
        out     dx, eax
        mov     dl, 0xfc
        mov     bl, 0
        ret

; eax to the card's register cl
write_long:
        movzx   dx, cl
        add     dx, [card]
        out     dx, eax
        ret

print:  lodsb
        test    al, al
        jz      .end
        mov     ah, 0x0e
        mov     bx, 7
        int     0x10
        jmp     print
.end:   ret

no_card  db "no network card", 0
ready    db "network probe ready", 13, 10, 0
line_end db 13, 10, 0
card     dw 0
last     dw 0
offset   dw 0
slot     db 0
        align   4
frame   times 6 db 0xff
        times 6 db 0
        db      0x88, 0xb5
text    db      "CANARY-0123456789abcdef", 0
        times 64 - ($ - frame) db 0
        times 510 - ($ - $$) db 0
        db      0x55, 0xaa
        times 1474560 - ($ - $$) db 0
