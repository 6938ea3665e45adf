; SPDX-License-Identifier: GPL-3.0-or-later
; The built-in guest "Try it": a floppy that shows what a guest can learn about its machine.
;
; It boots by itself in a second, switches to an 800 x 600 VBE mode and to protected mode, runs each of the
; instructions that Robin and Irvine (USENIX Security 2000) found to stand in the way of virtualising a Pentium, and
; says what it told and whether that is what the bare machine would have said.  Then it echoes keys and mouse.
;
; Real mode takes what only the BIOS has (the rest of the floppy, a font, the video mode); everything else is below.
; Memory: 5000 mode information, 5200 VBE information, 6000 font, 7C00 boot sector and program, 70000-90000 stacks.

%define PROGRAM         0x7e00
%define MODE_INFO       0x5000
%define VBE_INFO        0x5200
%define FONT            0x6000
%define IDT             0x4000          ; 256 gates
%define STACK_0         0x90000
%define STACK_3         0x80000
%define WIDTH           800
%define HEIGHT          600

%define CODE_0          0x08
%define DATA_0          0x10
%define CODE_3          0x1b
%define DATA_3          0x23
%define TSS_SELECTOR    0x28
%define LDT_SELECTOR    0x30
%define GATE_SELECTOR   0x38
%define TEST_SELECTOR   0x40

%define BACKGROUND      0x101a26
%define PANEL           0x18263a
%define PLATE_GROUND    0x0a2c52
%define TEXT            0xe6ecf2
%define DIM             0x8fa3b8
%define GREEN           0x5fd38a
%define RED             0xff6b6b
%define YELLOW          0xffd75f

        org     0x7c00
        bits    16

; --- boot sector --------------------------------------------------------------------------------------------------

boot:
        jmp     0:start
start:
        cli
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        sti
        cld
        mov     [drive], dl

        ; A track's rest and the other side's track: two calls, two turns of the disk.
        mov     bx, PROGRAM
        mov     cx, 0x0002
        mov     dh, 0
        mov     ax, 0x0200 + 17
        call    read
        mov     bx, PROGRAM + 17 * 512
        mov     cx, 0x0001
        mov     dh, 1
        mov     ax, 0x0200 + 18
        call    read
        jmp     0:real_mode

read:
        mov     di, 4
.again:
        push    ax
        mov     dl, [drive]
        int     0x13
        pop     ax
        jnc     .done
        push    ax
        xor     ax, ax
        int     0x13
        pop     ax
        dec     di
        jnz     .again
        mov     si, text_read_error
        jmp     fail
.done:
        ret

fail:
        lodsb
        or      al, al
        jz      .stop
        mov     ah, 0x0e
        mov     bx, 7
        int     0x10
        jmp     fail
.stop:
        hlt
        jmp     .stop

drive:          db 0
text_read_error: db "The floppy cannot be read.", 0

        times   510 - ($ - $$) db 0
        dw      0xaa55

; --- the program: real mode ---------------------------------------------------------------------------------------

real_mode:
        ; The video BIOS's 8 x 16 font.
        mov     ax, 0x1130
        mov     bh, 6
        int     0x10
        push    ds
        mov     ax, es
        mov     ds, ax
        mov     si, bp
        xor     ax, ax
        mov     es, ax
        mov     di, FONT
        mov     cx, 2048
        rep     movsw
        pop     ds

        mov     dword [VBE_INFO], "VBE2"
        mov     ax, 0x4f00
        mov     di, VBE_INFO
        int     0x10
        cmp     ax, 0x004f
        jne     no_mode
        mov     ax, [VBE_INFO + 0x10]
        mov     fs, ax
        mov     si, [VBE_INFO + 0x0e]
next_mode:
        mov     cx, [fs:si]
        add     si, 2
        cmp     cx, 0xffff
        je      no_mode
        push    si
        push    cx
        mov     ax, 0x4f01
        mov     di, MODE_INFO
        int     0x10
        pop     cx
        pop     si
        cmp     ax, 0x004f
        jne     next_mode
        mov     ax, [MODE_INFO]
        and     ax, 0x0091                      ; supported, graphics, linear frame buffer
        cmp     ax, 0x0091
        jne     next_mode
        cmp     word [MODE_INFO + 0x12], WIDTH
        jne     next_mode
        cmp     word [MODE_INFO + 0x14], HEIGHT
        jne     next_mode
        cmp     byte [MODE_INFO + 0x19], 32
        jne     next_mode
        mov     bx, cx
        or      bx, 0x4000
        mov     ax, 0x4f02
        int     0x10
        cmp     ax, 0x004f
        jne     no_mode

        mov     ax, 0x2401                      ; A20, by the BIOS and by port 92h
        int     0x15
        in      al, 0x92
        or      al, 2
        and     al, 0xfe
        out     0x92, al
        cli
        lgdt    [gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     CODE_0:protected_mode

no_mode:
        mov     si, text_no_mode
        jmp     fail

text_no_mode:   db "There is no 800 x 600 graphics mode with 32 bits.", 0

; --- protected mode -----------------------------------------------------------------------------------------------

        bits    32

protected_mode:
        mov     ax, DATA_0
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     gs, ax
        mov     ss, ax
        mov     esp, STACK_0
        call    build_idt
        lidt    [idt_pointer]
        mov     ax, LDT_SELECTOR
        lldt    ax
        mov     ax, TSS_SELECTOR
        ltr     ax
        call    remap_interrupts
        movzx   eax, word [MODE_INFO + 0x10]
        mov     [pitch], eax
        mov     eax, [MODE_INFO + 0x28]
        mov     [screen], eax

        call    draw_frame
        sti
        mov     byte [reporting], 1
        call    run_tests
        mov     byte [report_end], 10
        call    draw_verdict
        call    draw_processor
        mov     byte [reporting], 0
        call    start_mouse
        call    unmask_interrupts
        call    draw_pointer
        jmp     main_loop

; --- interrupts ---------------------------------------------------------------------------------------------------

; eax: handler, ecx: vector, edx: low word of the type (8E00: interrupt gate, EE00: from ring 3)
set_gate:
        lea     edi, [IDT + ecx * 8]
        mov     [edi], ax
        mov     word [edi + 2], CODE_0
        mov     [edi + 4], dx
        shr     eax, 16
        mov     [edi + 6], ax
        ret

build_idt:
        xor     ecx, ecx
.fault:
        mov     eax, ecx
        shl     eax, 4
        add     eax, fault_stubs
        mov     edx, 0x8e00
        call    set_gate
        inc     ecx
        cmp     ecx, 32
        jb      .fault
.rest:
        mov     eax, ignore
        mov     edx, 0x8e00
        call    set_gate
        inc     ecx
        cmp     ecx, 256
        jb      .rest
        mov     ecx, 0x20
        mov     eax, timer_interrupt
        call    set_gate
        mov     ecx, 0x21
        mov     eax, input_interrupt
        call    set_gate
        mov     ecx, 0x2c
        mov     eax, input_interrupt
        call    set_gate
        mov     edx, 0xee00
        mov     ecx, 0x80
        mov     eax, test_interrupt
        call    set_gate
        mov     ecx, 0x81
        mov     eax, leave_ring_3
        jmp     set_gate

        align   16
fault_stubs:
%assign vector 0
%rep 32
        align   16
        push    dword vector
        jmp     near fault
%assign vector vector + 1
%endrep
        align   16

fault:
        mov     ax, DATA_0
        mov     ds, ax
        mov     es, ax
        pop     dword [fault_vector]
        cmp     byte [in_ring_3], 0
        jne     leave_ring_3
        ; Nothing in ring 0 should fault: say so and stop.
        mov     dword [colour], RED
        mov     dword [text_x], 24
        mov     dword [text_y], 560
        call    begin_text
        call    put
        db      "An exception that should not be: ", 0
        mov     al, [fault_vector]
        call    put_hex_8
        call    draw_text
.stop:
        cli
        hlt
        jmp     .stop

ignore:
        iretd

timer_interrupt:
        push    eax
        inc     dword [ticks]
        mov     al, 0x20
        out     0x20, al
        pop     eax
        iretd

; Keyboard and mouse alike: the byte and where it came from go into a queue.
input_interrupt:
        pushad
        in      al, 0x64
        test    al, 1
        jz      .done
        mov     ah, al
        in      al, 0x60
        mov     ebx, [queue_in]
        mov     [queue + ebx * 2], ax
        inc     ebx
        and     ebx, 255
        cmp     ebx, [queue_out]
        je      .done
        mov     [queue_in], ebx
.done:
        mov     al, 0x20
        out     0xa0, al
        out     0x20, al
        popad
        iretd

remap_interrupts:
        mov     al, 0x11
        out     0x20, al
        out     0xa0, al
        mov     al, 0x20
        out     0x21, al
        mov     al, 0x28
        out     0xa1, al
        mov     al, 4
        out     0x21, al
        mov     al, 2
        out     0xa1, al
        mov     al, 1
        out     0x21, al
        out     0xa1, al
        mov     al, 0xff                        ; nobody disturbs the tests
        out     0x21, al
        out     0xa1, al
        ret

unmask_interrupts:
        mov     al, 0xf8
        out     0x21, al
        mov     al, 0xef
        out     0xa1, al
        ret

; --- ring 3 and back ----------------------------------------------------------------------------------------------

; Calls eax in ring 3 with interrupts on. It ends with INT 81h or with an exception, whose number is then in
; fault_vector (-1: none). All registers are kept.
call_ring_3:
        pushad
        mov     [ring_0_stack], esp
        mov     dword [fault_vector], -1
        mov     byte [in_ring_3], 1
        mov     bx, DATA_3
        mov     ds, bx
        mov     es, bx
        push    dword DATA_3
        push    dword STACK_3
        pushfd
        or      dword [esp], 0x200
        push    dword CODE_3
        push    eax
        iretd

leave_ring_3:
        mov     ax, DATA_0
        mov     ds, ax
        mov     es, ax
        mov     byte [in_ring_3], 0
        mov     esp, [ring_0_stack]
        popad
        sti
        ret

; INT 80h: who called, and what the gate did to the interrupt flag.
test_interrupt:
        push    eax
        mov     eax, [esp + 8]
        mov     [seen_1], eax
        pushfd
        pop     eax
        mov     [seen_2], eax
        pop     eax
        iretd

; The call gate's far end.
gate_entry:
        mov     [seen_1], cs
        push    eax
        mov     eax, [esp + 8]
        mov     [seen_2], eax
        pop     eax
        retf

; --- the tests ----------------------------------------------------------------------------------------------------

; A row of the table: its name, and then the text that `put` and its friends collect.
%macro ROW 1
        call    begin_row
        db      %1, 0
%endmacro
%macro PUT 1
        call    put
        db      %1, 0
%endmacro
; The row's truth is collected in bl: every CHECK with zero set leaves it as it is.
%macro CHECK_EQUAL 2
        cmp     %1, %2
        call    check
%endmacro

check:
        je      .good
        mov     byte [row_good], 0
.good:
        ret

; Drops eax in ring 3, once around a routine.
%macro RING_3 1
        mov     eax, %1
        call    call_ring_3
%endmacro

run_tests:
        ROW     "SGDT"
        sgdt    [seen]
        PUT     "base "
        mov     eax, [seen + 2]
        call    put_hex_32
        PUT     " limit "
        mov     eax, [seen]
        call    put_hex_16
        PUT     ", as loaded"
        CHECK_EQUAL dword [seen + 2], gdt
        CHECK_EQUAL word [seen], gdt_end - gdt - 1
        RING_3  user_sgdt
        CHECK_EQUAL dword [seen + 2], gdt
        CHECK_EQUAL dword [fault_vector], -1
        call    end_row

        ROW     "SIDT"
        sidt    [seen]
        PUT     "base "
        mov     eax, [seen + 2]
        call    put_hex_32
        PUT     " limit "
        mov     eax, [seen]
        call    put_hex_16
        PUT     ", as loaded"
        CHECK_EQUAL dword [seen + 2], IDT
        CHECK_EQUAL word [seen], 2047
        RING_3  user_sidt
        CHECK_EQUAL dword [seen + 2], IDT
        CHECK_EQUAL dword [fault_vector], -1
        call    end_row

        ROW     "SLDT"
        xor     eax, eax
        sldt    ax
        call    put_hex_16
        CHECK_EQUAL ax, LDT_SELECTOR
        RING_3  user_sldt
        PUT     ", in ring 3 too: "
        mov     eax, [seen_1]
        call    put_hex_16
        CHECK_EQUAL ax, LDT_SELECTOR
        call    end_row

        ROW     "SMSW"
        RING_3  user_smsw
        mov     eax, [seen_1]
        call    put_hex_16
        PUT     " in ring 3, low half of CR0"
        mov     ecx, cr0
        CHECK_EQUAL ax, cx
        call    end_row

        ROW     "PUSHF"
        pushfd
        pop     eax
        call    put_hex_32
        PUT     " in ring 0, "
        and     eax, 0x3200
        CHECK_EQUAL eax, 0x0200
        RING_3  user_pushf
        mov     eax, [seen_1]
        call    put_hex_32
        PUT     " in ring 3: the real IF"
        and     eax, 0x3200
        CHECK_EQUAL eax, 0x0200
        call    end_row

        ROW     "POPF"
        pushfd
        and     dword [esp], ~0x200
        popfd
        pushfd
        pop     eax
        and     eax, 0x200
        CHECK_EQUAL eax, 0
        sti
        PUT     "clears IF in ring 0; in ring 3 IF stays "
        RING_3  user_popf
        mov     eax, [seen_1]
        shr     eax, 9
        and     eax, 1
        add     al, '0'
        call    put_character
        sub     al, '0'
        CHECK_EQUAL al, 1
        CHECK_EQUAL dword [fault_vector], -1
        call    end_row

        ROW     "LAR"
        mov     ecx, TEST_SELECTOR
        xor     eax, eax
        lar     eax, ecx
        call    put_hex_32
        PUT     " of a ring 0 segment; in ring 3: "
        and     eax, 0x00f0ff00
        CHECK_EQUAL eax, 0x00409300
        RING_3  user_lar
        call    put_refused
        call    end_row

        ROW     "LSL"
        mov     ecx, TEST_SELECTOR
        xor     eax, eax
        lsl     eax, ecx
        call    put_hex_32
        PUT     " of a ring 0 segment; in ring 3: "
        CHECK_EQUAL eax, 0x1234
        RING_3  user_lsl
        call    put_refused
        call    end_row

        ROW     "VERR"
        PUT     "in ring 3: ring 3 data "
        RING_3  user_verr
        call    put_two_answers
        call    end_row

        ROW     "VERW"
        PUT     "in ring 3: ring 3 data "
        RING_3  user_verw
        call    put_two_answers
        call    end_row

        ROW     "POP"
        PUT     "a ring 0 selector into DS in ring 3: exception "
        RING_3  user_pop
        call    put_protection_fault
        call    end_row

        ROW     "PUSH"
        PUT     "CS is "
        push    cs
        pop     eax
        call    put_hex_16
        CHECK_EQUAL ax, CODE_0
        PUT     " in ring 0, "
        RING_3  user_push
        mov     eax, [seen_1]
        call    put_hex_16
        CHECK_EQUAL ax, CODE_3
        PUT     " in ring 3"
        call    end_row

        ROW     "CALL"
        PUT     "through a gate: CS "
        RING_3  user_call
        call    put_seen_pair
        PUT     ", called from "
        mov     eax, [seen_2]
        call    put_hex_16
        CHECK_EQUAL ax, CODE_3
        call    end_row

        ROW     "JMP"
        PUT     "from ring 3 to a ring 0 segment: exception "
        RING_3  user_jmp
        call    put_protection_fault
        call    end_row

        ROW     "INT"
        PUT     "from "
        RING_3  user_int
        mov     eax, [seen_1]
        call    put_hex_16
        CHECK_EQUAL ax, CODE_3
        PUT     ", the gate cleared IF: flags "
        mov     eax, [seen_2]
        call    put_hex_32
        and     eax, 0x200
        CHECK_EQUAL eax, 0
        call    end_row

        ROW     "RET/IRET"
        PUT     "RET far to ring 3: CS "
        call    test_far_return
        mov     eax, [seen_1]
        call    put_hex_16
        CHECK_EQUAL ax, CODE_3
        PUT     "; IRET in ring 3 keeps IF "
        RING_3  user_iret
        mov     eax, [seen_1]
        mov     ecx, eax
        shr     eax, 9
        and     eax, 1
        add     al, '0'
        call    put_character
        and     ecx, 0x3200
        CHECK_EQUAL ecx, 0x0200
        call    end_row

        ROW     "STR"
        str     ax
        call    put_hex_16
        CHECK_EQUAL ax, TSS_SELECTOR
        RING_3  user_str
        PUT     ", in ring 3 too: "
        mov     eax, [seen_1]
        call    put_hex_16
        CHECK_EQUAL ax, TSS_SELECTOR
        call    end_row

        ROW     "MOV"
        PUT     "CS and SS are "
        mov     ax, cs
        mov     [seen_1], eax
        call    put_seen_pair
        PUT     " "
        mov     ax, ss
        call    put_hex_16
        CHECK_EQUAL ax, DATA_0
        PUT     " in ring 0, "
        RING_3  user_mov
        mov     eax, [seen_1]
        call    put_hex_16
        CHECK_EQUAL ax, CODE_3
        PUT     " "
        mov     eax, [seen_2]
        call    put_hex_16
        CHECK_EQUAL ax, DATA_3
        PUT     " in ring 3"
        jmp     end_row

put_seen_pair:
        mov     eax, [seen_1]
        call    put_hex_16
        CHECK_EQUAL ax, CODE_0
        ret

put_protection_fault:
        mov     al, [fault_vector]
        call    put_hex_8
        CHECK_EQUAL dword [fault_vector], 13
        ret

; seen_1: the zero flag that LAR and LSL left.
put_refused:
        cmp     dword [seen_1], 0
        jne     .not
        PUT     "refused"
        ret
.not:
        PUT     "not refused"
        mov     byte [row_good], 0
        ret

; seen_1, seen_2: the zero flags for what is allowed and for what is not.
put_two_answers:
        mov     eax, [seen_1]
        call    put_yes_no
        CHECK_EQUAL dword [seen_1], 1
        PUT     ", what it may not touch "
        mov     eax, [seen_2]
        call    put_yes_no
        CHECK_EQUAL dword [seen_2], 0
        ret

put_yes_no:
        or      eax, eax
        jz      .no
        PUT     "yes"
        ret
.no:
        PUT     "no"
        ret

; RET far into ring 3, which cannot be a routine of call_ring_3 because that one uses IRET.
test_far_return:
        pushad
        mov     [ring_0_stack], esp
        mov     byte [in_ring_3], 1
        mov     ax, DATA_3
        mov     ds, ax
        mov     es, ax
        push    dword DATA_3
        push    dword STACK_3
        push    dword CODE_3
        push    dword user_push
        retf

%macro STORE_ZERO_FLAG 1
        setz    al
        movzx   eax, al
        mov     [%1], eax
%endmacro

user_sgdt:
        mov     dword [seen + 2], 0
        sgdt    [seen]
        int     0x81
user_sidt:
        mov     dword [seen + 2], 0
        sidt    [seen]
        int     0x81
user_sldt:
        mov     dword [seen_1], 0
        sldt    word [seen_1]
        int     0x81
user_str:
        mov     dword [seen_1], 0
        str     word [seen_1]
        int     0x81
user_smsw:
        mov     dword [seen_1], 0
        smsw    word [seen_1]
        int     0x81
user_pushf:
        pushfd
        pop     dword [seen_1]
        int     0x81
user_popf:
        pushfd
        and     dword [esp], ~0x200
        or      dword [esp], 0x3000             ; neither IF nor IOPL may change
        popfd
        pushfd
        pop     eax
        mov     ecx, eax
        and     ecx, 0x3000
        jz      .kept
        and     eax, ~0x200                     ; an IOPL of three is as bad
.kept:
        mov     [seen_1], eax
        int     0x81
user_lar:
        mov     ecx, TEST_SELECTOR
        lar     eax, ecx
        STORE_ZERO_FLAG seen_1
        int     0x81
user_lsl:
        mov     ecx, TEST_SELECTOR
        lsl     eax, ecx
        STORE_ZERO_FLAG seen_1
        int     0x81
user_verr:
        mov     ecx, DATA_3
        verr    cx
        STORE_ZERO_FLAG seen_1
        mov     ecx, DATA_0
        verr    cx
        STORE_ZERO_FLAG seen_2
        int     0x81
user_verw:
        mov     ecx, DATA_3
        verw    cx
        STORE_ZERO_FLAG seen_1
        mov     ecx, CODE_3
        verw    cx
        STORE_ZERO_FLAG seen_2
        int     0x81
user_pop:
        push    dword DATA_0
        pop     ds
        int     0x81
user_push:
        push    cs
        pop     dword [seen_1]
        int     0x81
user_call:
        call    GATE_SELECTOR:0
        int     0x81
user_jmp:
        jmp     CODE_0:.ring_0
.ring_0:
        int     0x81
user_int:
        int     0x80
        int     0x81
user_iret:
        pushfd
        and     dword [esp], ~0x200
        or      dword [esp], 0x3000
        push    cs
        push    dword .next
        iretd
.next:
        pushfd
        pop     dword [seen_1]
        int     0x81
user_mov:
        mov     ax, cs
        mov     [seen_1], ax
        mov     ax, ss
        mov     [seen_2], ax
        int     0x81

; --- rows and verdicts --------------------------------------------------------------------------------------------

; The name follows the call.
begin_row:
        mov     byte [row_good], 1
        mov     dword [colour], YELLOW
        mov     dword [text_x], 24
        call    begin_text
        pop     esi
        call    append
        push    esi
        call    draw_text
        mov     dword [text_x], 112
        jmp     begin_text

end_row:
        mov     dword [colour], TEXT
        call    draw_text
        inc     dword [n_rows]
        mov     dword [text_x], 648
        call    begin_text
        cmp     byte [row_good], 0
        je      .bad
        inc     dword [n_good]
        mov     dword [colour], GREEN
        PUT     "as on hardware"
        jmp     .drawn
.bad:
        mov     dword [colour], RED
        PUT     "GIVES IT AWAY"
.drawn:
        mov     byte [report_end], 10
        call    draw_text
        mov     byte [report_end], ' '
        add     dword [text_y], 19
        ret

draw_verdict:
        mov     dword [text_x], 24
        add     dword [text_y], 6
        mov     dword [colour], GREEN
        call    begin_text
        mov     eax, [n_good]
        cmp     eax, [n_rows]
        jne     .bad
        PUT     "By these instructions this guest cannot tell that it is not on bare hardware."
        jmp     .drawn
.bad:
        mov     dword [colour], RED
        PUT     "By these instructions this guest can tell that it is NOT on bare hardware."
.drawn:
        call    draw_text
        add     dword [text_y], 19
        ret

; What the machine says of itself, if asked in the ways made for that.
draw_processor:
        mov     dword [colour], DIM
        mov     dword [text_x], 24
        call    begin_text
        PUT     "CPUID: "
        xor     eax, eax
        cpuid
        mov     [name], ebx
        mov     [name + 4], edx
        mov     [name + 8], ecx
        mov     esi, name
        call    append
        mov     eax, 1
        cpuid
        PUT     ", signature "
        call    put_hex_32
        test    ecx, ecx
        js      .says
        PUT     ", says nothing of a hypervisor"
        jmp     .drawn
.says:
        mov     eax, 0x40000000
        cpuid
        mov     [name], ebx
        mov     [name + 4], ecx
        mov     [name + 8], edx
        PUT     ", tells by its own choice of a hypervisor: "
        mov     esi, name
        call    append
.drawn:
        jmp     draw_text

; --- drawing ------------------------------------------------------------------------------------------------------

; ebx: x, ecx: y, esi: width, edx: height, eax: colour
fill:
        pushad
        imul    ecx, [pitch]
        add     ecx, [screen]
        lea     edi, [ecx + ebx * 4]
.line:
        push    edi
        mov     ecx, esi
        rep     stosd
        pop     edi
        add     edi, [pitch]
        dec     edx
        jnz     .line
        popad
        ret

; The colours of six banner lines, which the machine's strips have too.
plates:         dd 0x007a33, 0x502b85, 0x0033a0, 0xc8102e, 0xff8c00, 0xfce83a

draw_frame:
        mov     eax, BACKGROUND
        xor     ebx, ebx
        xor     ecx, ecx
        mov     esi, WIDTH
        mov     edx, HEIGHT
        call    fill
        ; A shaded head.
        mov     edx, 1
        xor     ecx, ecx
        mov     eax, 0x0a3a78
.shade:
        call    fill
        add     eax, 0x000101
        test    ecx, 1
        jz      .same
        sub     eax, 0x000102
.same:
        inc     ecx
        cmp     ecx, 56
        jb      .shade
        mov     dword [colour], 0xffffff
        mov     dword [text_x], 24
        mov     dword [text_y], 12
        call    begin_text
        PUT     "Bulkhead: try it"
        call    draw_text
        mov     dword [colour], 0xb8cbe0
        mov     dword [text_y], 30
        call    begin_text
        PUT     "What a guest learns from the instructions that a Pentium does not trap"
        call    draw_text
        mov     eax, PLATE_GROUND
        mov     ebx, 592
        mov     ecx, 8
        mov     esi, 190
        mov     edx, 42
        call    fill
        call    draw_plates
        ; The panels for keys and mouse.
        mov     eax, PANEL
        mov     ebx, 16
        mov     ecx, 500
        mov     esi, 496
        mov     edx, 84
        call    fill
        mov     ebx, 528
        mov     esi, 256
        call    fill
        mov     dword [colour], DIM
        mov     dword [text_y], 508
        mov     dword [text_x], 28
        call    begin_text
        PUT     "Type something (Enter clears, Esc restarts the machine):"
        call    draw_text
        mov     dword [text_x], 540
        call    begin_text
        PUT     "Move the mouse, click:"
        call    draw_text
        mov     dword [text_y], 72
        ret

; Six plates; the one whose turn it is stands taller.
draw_plates:
        pushad
        xor     ebp, ebp
.plate:
        mov     eax, PLATE_GROUND
        imul    ebx, ebp, 30
        add     ebx, 600
        mov     ecx, 14
        mov     esi, 24
        mov     edx, 30
        call    fill
        mov     eax, [ticks]
        shr     eax, 2
        xor     edx, edx
        mov     ecx, 6
        div     ecx
        cmp     edx, ebp
        mov     ecx, 22
        mov     edx, 14
        jne     .low
        mov     ecx, 14
        mov     edx, 30
.low:
        mov     eax, [plates + ebp * 4]
        call    fill
        inc     ebp
        cmp     ebp, 6
        jb      .plate
        popad
        ret

; --- text ---------------------------------------------------------------------------------------------------------

begin_text:
        mov     dword [line_length], 0
        ret

put_character:
        push    edi
        mov     edi, [line_length]
        cmp     edi, 95
        jae     .full
        mov     [line + edi], al
        inc     dword [line_length]
.full:
        pop     edi
        ret

; esi: text; afterwards behind its zero.
append:
        push    eax
.next:
        lodsb
        or      al, al
        jz      .done
        call    put_character
        jmp     .next
.done:
        pop     eax
        ret

; The text follows the call.
put:
        xchg    esi, [esp]
        call    append
        xchg    esi, [esp]
        ret

put_hex_32:
        rol     eax, 16
        call    put_hex_16
        rol     eax, 16
put_hex_16:
        rol     ax, 8
        call    put_hex_8
        rol     ax, 8
put_hex_8:
        rol     al, 4
        call    .digit
        rol     al, 4
.digit:
        push    eax
        and     al, 15
        cmp     al, 10
        jb      .decimal
        add     al, 'A' - '0' - 10
.decimal:
        add     al, '0'
        call    put_character
        pop     eax
        ret

; eax, up to four digits
put_decimal:
        pushad
        mov     ebx, 1000
.digit:
        xor     edx, edx
        div     ebx
        add     al, '0'
        call    put_character
        mov     ecx, edx
        mov     eax, ebx
        xor     edx, edx
        mov     ebx, 10
        div     ebx
        mov     ebx, eax
        mov     eax, ecx
        or      ebx, ebx
        jnz     .digit
        popad
        ret

; The line at text_x, text_y in the colour; the ground is left as it is.  What is said of the machine goes to the
; debug port as well, where nobody listens on bare hardware.
draw_text:
        pushad
        cmp     byte [reporting], 0
        je      .draw
        xor     ebp, ebp
.report:
        cmp     ebp, [line_length]
        jae     .reported
        mov     al, [line + ebp]
        out     0xe9, al
        inc     ebp
        jmp     .report
.reported:
        mov     al, [report_end]
        out     0xe9, al
.draw:
        xor     ebp, ebp
.character:
        cmp     ebp, [line_length]
        jae     .done
        movzx   esi, byte [line + ebp]
        shl     esi, 4
        add     esi, FONT
        mov     edi, [text_y]
        imul    edi, [pitch]
        add     edi, [screen]
        mov     eax, [text_x]
        lea     eax, [eax + ebp * 8]
        lea     edi, [edi + eax * 4]
        mov     eax, [colour]
        mov     ecx, 16
.row:
        mov     bl, [esi]
        inc     esi
        xor     edx, edx
.dot:
        shl     bl, 1
        jnc     .clear
        mov     [edi + edx * 4], eax
.clear:
        inc     edx
        cmp     edx, 8
        jb      .dot
        add     edi, [pitch]
        loop    .row
        inc     ebp
        jmp     .character
.done:
        popad
        ret

; --- keys and mouse -----------------------------------------------------------------------------------------------

main_loop:
        cli
        mov     ebx, [queue_out]
        cmp     ebx, [queue_in]
        jne     .input
        mov     eax, [ticks]
        shr     eax, 2
        cmp     eax, [last_animation]
        jne     .animate
        sti
        hlt
        jmp     main_loop
.animate:
        sti
        mov     [last_animation], eax
        call    hide_pointer
        call    draw_plates
        call    draw_pointer
        jmp     main_loop
.input:
        mov     ax, [queue + ebx * 2]
        inc     ebx
        and     ebx, 255
        mov     [queue_out], ebx
        sti
        test    ah, 0x20
        jnz     .mouse
        call    hide_pointer
        call    key
        call    draw_pointer
        jmp     main_loop
.mouse:
        call    mouse_byte
        jmp     main_loop

; al: a byte in scan code set 1
key:
        mov     [last_code], al
        cmp     al, 0xe0
        je      .done
        mov     ah, al
        and     ah, 0x7f
        cmp     ah, 0x2a
        je      .shift
        cmp     ah, 0x36
        je      .shift
        test    al, 0x80
        jnz     .done
        cmp     al, 1
        je      restart
        cmp     al, 0x1c
        je      .clear
        cmp     al, 0x0e
        je      .back
        cmp     al, 0x3a
        jae     .show
        movzx   eax, al
        cmp     byte [shifted], 0
        je      .plain
        add     eax, 0x3a
.plain:
        mov     al, [characters + eax]
        or      al, al
        jz      .show
        mov     ecx, [typed_length]
        cmp     ecx, 56
        jb      .room
        ; The line moves on.
        mov     esi, typed + 1
        mov     edi, typed
        mov     ecx, 55
        rep     movsb
        mov     ecx, 55
.room:
        mov     [typed + ecx], al
        inc     ecx
        mov     [typed_length], ecx
        jmp     .show
.back:
        cmp     dword [typed_length], 0
        je      .show
        dec     dword [typed_length]
        jmp     .show
.clear:
        mov     dword [typed_length], 0
.show:
        mov     eax, PANEL
        mov     ebx, 28
        mov     ecx, 530
        mov     esi, 470
        mov     edx, 48
        call    fill
        mov     dword [text_x], 28
        mov     dword [text_y], 532
        mov     dword [colour], TEXT
        call    begin_text
        xor     ecx, ecx
.copy:
        cmp     ecx, [typed_length]
        jae     .copied
        mov     al, [typed + ecx]
        call    put_character
        inc     ecx
        jmp     .copy
.copied:
        mov     al, '_'
        call    put_character
        call    draw_text
        mov     dword [text_y], 556
        mov     dword [colour], DIM
        call    begin_text
        PUT     "scan code "
        mov     al, [last_code]
        call    put_hex_8
        call    draw_text
.done:
        ret
.shift:
        shl     al, 1                           ; carry: released
        setnc   [shifted]
        ret

restart:
        mov     al, 0xfe
        out     0x64, al
.wait:
        hlt
        jmp     .wait

; Waits until the controller takes a byte.
controller_ready:
        push    eax
        push    ecx
        mov     ecx, 100000
.wait:
        in      al, 0x64
        test    al, 2
        loopnz  .wait
        pop     ecx
        pop     eax
        ret

; al to the mouse; its acknowledgement is waited for and dropped.
to_mouse:
        push    eax
        mov     al, 0xd4
        call    controller_ready
        out     0x64, al
        pop     eax
        call    controller_ready
        out     0x60, al
drop_answer:
        mov     ecx, 200000
.wait:
        in      al, 0x64
        test    al, 1
        jnz     .there
        loop    .wait
        ret
.there:
        in      al, 0x60
        ret

start_mouse:
        mov     al, 0xa8
        call    controller_ready
        out     0x64, al
.flush:
        in      al, 0x64
        test    al, 1
        jz      .empty
        in      al, 0x60
        jmp     .flush
.empty:
        mov     al, 0x60
        call    controller_ready
        out     0x64, al
        mov     al, 0x47                        ; both interrupts, translation
        call    controller_ready
        out     0x60, al
        mov     al, 0xf6
        call    to_mouse
        mov     al, 0xf4
        jmp     to_mouse

; al: the next byte of a three-byte packet
mouse_byte:
        mov     ecx, [packet_length]
        or      ecx, ecx
        jnz     .take
        test    al, 8                           ; the first byte has this bit; wait for one that does
        jz      .done
.take:
        mov     [packet + ecx], al
        inc     ecx
        mov     [packet_length], ecx
        cmp     ecx, 3
        jb      .done
        mov     dword [packet_length], 0
        call    hide_pointer
        movzx   eax, byte [packet + 1]
        test    byte [packet], 0x10
        jz      .right
        or      eax, 0xffffff00
.right:
        add     eax, [mouse_x]
        jns     .x_positive
        xor     eax, eax
.x_positive:
        cmp     eax, WIDTH - 12
        jbe     .x_inside
        mov     eax, WIDTH - 12
.x_inside:
        mov     [mouse_x], eax
        movzx   eax, byte [packet + 2]
        test    byte [packet], 0x20
        jz      .up
        or      eax, 0xffffff00
.up:
        neg     eax
        add     eax, [mouse_y]
        jns     .y_positive
        xor     eax, eax
.y_positive:
        cmp     eax, HEIGHT - 16
        jbe     .y_inside
        mov     eax, HEIGHT - 16
.y_inside:
        mov     [mouse_y], eax
        mov     eax, PANEL
        mov     ebx, 540
        mov     ecx, 530
        mov     esi, 240
        mov     edx, 48
        call    fill
        mov     dword [text_x], 540
        mov     dword [text_y], 532
        mov     dword [colour], TEXT
        call    begin_text
        mov     eax, [mouse_x]
        call    put_decimal
        PUT     ", "
        mov     eax, [mouse_y]
        call    put_decimal
        PUT     "  buttons "
        mov     al, [packet]
        and     al, 7
        add     al, '0'
        call    put_character
        call    draw_text
        ; A button paints where it is pressed.
        mov     ebx, [mouse_x]
        mov     ecx, [mouse_y]
        mov     esi, 4
        mov     edx, 4
        movzx   eax, byte [packet]
        and     eax, 7
        jz      .no_button
        mov     eax, [plates + eax * 4 - 4]
        call    fill
.no_button:
        call    draw_pointer
.done:
        ret

pointer_place:
        mov     edi, [mouse_y]
        imul    edi, [pitch]
        add     edi, [screen]
        mov     eax, [mouse_x]
        lea     edi, [edi + eax * 4]
        ret

; Keeps what is under the pointer.
draw_pointer:
        pushad
        call    pointer_place
        mov     esi, under
        mov     ebx, pointer_shape
        mov     ecx, 16
.row:
        mov     dx, [ebx]
        mov     ax, [ebx + pointer_edge - pointer_shape]
        add     ebx, 2
        xor     ebp, ebp
.dot:
        push    dword [edi + ebp * 4]
        pop     dword [esi + ebp * 4]
        shl     ax, 1
        jnc     .inner
        mov     dword [edi + ebp * 4], 0x000000
.inner:
        shl     dx, 1
        jnc     .clear
        mov     dword [edi + ebp * 4], 0xffffff
.clear:
        inc     ebp
        cmp     ebp, 12
        jb      .dot
        add     esi, 48
        add     edi, [pitch]
        loop    .row
        popad
        ret

hide_pointer:
        pushad
        call    pointer_place
        mov     esi, under
        mov     edx, 16
.row:
        push    edi
        mov     ecx, 12
        rep     movsd
        pop     edi
        add     edi, [pitch]
        dec     edx
        jnz     .row
        popad
        ret

; --- tables -------------------------------------------------------------------------------------------------------

        align   8
pointer_shape:
        dw      0x0000, 0x4000, 0x6000, 0x7000, 0x7800, 0x7c00, 0x7e00, 0x7f00
        dw      0x7f80, 0x7c00, 0x6c00, 0x4600, 0x0600, 0x0300, 0x0300, 0x0000
pointer_edge:
        dw      0xc000, 0xa000, 0x9000, 0x8800, 0x8400, 0x8200, 0x8100, 0x8080
        dw      0x8040, 0x83e0, 0x9200, 0xa900, 0xc900, 0x8480, 0x0480, 0x0300

characters:
        db      0, 0, "1234567890-=", 0, 0, "qwertyuiop[]", 0, 0, "asdfghjkl;'`", 0, "\zxcvbnm,./", 0, "*", 0, " "
        db      0, 0, "!@#$%^&*()_+", 0, 0, "QWERTYUIOP{}", 0, 0, 'ASDFGHJKL:"~', 0, "|ZXCVBNM<>?", 0, "*", 0, " "

        align   8
gdt:
        dq      0
        dq      0x00cf9b000000ffff              ; code, ring 0
        dq      0x00cf93000000ffff              ; data, ring 0
        dq      0x00cffb000000ffff              ; code, ring 3
        dq      0x00cff3000000ffff              ; data, ring 3
        dw      103, tss, 0x8900, 0             ; task state
        dw      7, ldt, 0x8200, 0               ; local descriptors
        dw      gate_entry, CODE_0, 0xec00, 0   ; call gate for ring 3
        dq      0x0040930000001234              ; what LAR and LSL are asked about
gdt_end:
ldt:
        dq      0x00cff3000000ffff
gdt_pointer:
        dw      gdt_end - gdt - 1
        dd      gdt
idt_pointer:
        dw      2047
        dd      IDT

        align   4
tss:
        dd      0, STACK_0 - 0x4000, DATA_0
        times   (104 - 12) / 4 - 1 dd 0
        dd      104 << 16

; --- variables ----------------------------------------------------------------------------------------------------

screen:         dd 0
pitch:          dd 0
ticks:          dd 0
last_animation: dd 0
colour:         dd 0
text_x:         dd 0
text_y:         dd 0
line_length:    dd 0
line:           times 96 db 0
seen:           dd 0, 0
seen_1:         dd 0
seen_2:         dd 0
fault_vector:   dd 0
ring_0_stack:   dd 0
in_ring_3:      db 0
row_good:       db 0
shifted:        db 0
reporting:      db 0
report_end:     db ' '
last_code:      db 0
n_rows:         dd 0
n_good:         dd 0
name:           times 13 db 0
        align   4
typed_length:   dd 0
typed:          times 64 db 0
packet_length:  dd 0
packet:         dd 0
mouse_x:        dd WIDTH / 2
mouse_y:        dd 440
queue_in:       dd 0
queue_out:      dd 0
queue:          times 256 dw 0
under:          times 12 * 16 dd 0

program_end:
        ; What the boot sector loads: 35 sectors.
        times   (35 + 1) * 512 - ($ - $$) db 0
        times   1474560 - ($ - $$) db 0
