; SPDX-License-Identifier: GPL-3.0-or-later
; Endless loops for bench-interpreter; the first words are their entry points.
        bits 32
        org 0x100000
        dd arithmetic, memory, branches, calls, strings, sieve, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0

arithmetic:
        xor eax, eax
        mov ecx, 1000
        mov ebx, 12345
.loop:  add eax, ebx
        lea edx, [eax+eax*2+5]
        xor ebx, edx
        shl edx, 3
        sub eax, edx
        and ebx, 0xffffff
        or eax, 1
        dec ecx
        jnz .loop
        jmp arithmetic

memory:
        mov esi, 0x200000
        mov edi, 0x210000
        mov ecx, 1000
.loop:  mov eax, [esi]
        add eax, [esi+4]
        mov [edi], eax
        add [edi+4], eax
        movzx edx, byte [esi+8]
        mov [edi+8], dl
        add esi, 12
        add edi, 12
        dec ecx
        jnz .loop
        jmp memory

branches:
        mov eax, 1
        mov ecx, 1000
.loop:  imul eax, eax, 1103515245
        add eax, 12345
        test eax, 0x10000
        jz .a
        inc ebx
        jmp .b
.a:     dec ebx
.b:     cmp eax, 0x40000000
        jb .c
        xor edx, eax
.c:     dec ecx
        jnz .loop
        jmp branches

calls:
        mov eax, 20
        call fib
        jmp calls
fib:    push ebx
        push esi
        mov ebx, eax
        cmp eax, 2
        jb .done
        lea eax, [ebx-1]
        call fib
        mov esi, eax
        lea eax, [ebx-2]
        call fib
        add eax, esi
        pop esi
        pop ebx
        ret
.done:  pop esi
        pop ebx
        ret

strings:
        mov esi, 0x200000
        mov edi, 0x280000
        mov ecx, 16
        rep movsd
        mov al, 0
        mov edi, 0x280000
        mov ecx, 40
        repne scasb
        mov esi, 0x200000
        lodsd
        stosd
        jmp strings

sieve:
        mov edi, 0x300000
        mov ecx, 8192
        mov al, 1
        rep stosb
        mov ebx, 2
.next:  cmp byte [0x300000+ebx], 0
        je .skip
        lea edx, [ebx+ebx]
.mark:  cmp edx, 8192
        jae .skip
        mov byte [0x300000+edx], 0
        add edx, ebx
        jmp .mark
.skip:  inc ebx
        cmp ebx, 8192
        jb .next
        jmp sieve
