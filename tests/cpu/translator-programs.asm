; SPDX-License-Identifier: GPL-3.0-or-later
; Programs for test-translator.c: flat 32-bit protected mode, ring 0, loaded at 100000h, stack at 90000h, data from
; 200000h.  Each ends with HLT; what it leaves in registers and memory must be the same on every engine.
bits 32
org 0x100000

DATA equ 0x200000

  dd (table_end - table) / 8
table:
  dd name_loop, p_loop, name_fib, p_fib, name_indirect, p_indirect, name_strings, p_strings
  dd name_wrap, p_wrap, name_flags, p_flags, name_high, p_high, name_stack, p_stack
  dd name_smc, p_smc, name_loops, p_loops, name_x87, p_x87, name_sse, p_sse, name_mmx, p_mmx
  dd name_divide, p_divide, name_paging, p_paging, name_segments, p_segments, name_coroutine, p_coroutine
  dd name_step, p_step, name_middle, p_middle, name_crossing, p_crossing, name_bits, p_bits
  dd name_mmio, p_mmio, name_deep, p_deep, name_returns, p_returns, name_stosloop, p_stosloop
  dd name_switch, p_switch, name_smcdata, p_smcdata, name_user, p_user
table_end:

name_loop: db "loop", 0
name_fib: db "fib", 0
name_indirect: db "indirect", 0
name_strings: db "strings", 0
name_wrap: db "wrap", 0
name_flags: db "flags", 0
name_high: db "high-bytes", 0
name_stack: db "stack", 0
name_smc: db "self-modifying", 0
name_loops: db "loop-instructions", 0
name_x87: db "x87", 0
name_sse: db "sse", 0
name_mmx: db "mmx", 0
name_divide: db "divide-error", 0
name_paging: db "paging", 0
name_segments: db "segments", 0
name_coroutine: db "coroutine", 0
name_step: db "single-step", 0
name_middle: db "middle", 0
name_crossing: db "page-crossing", 0
name_bits: db "bit-strings", 0
name_mmio: db "mmio", 0
name_deep: db "deep-recursion", 0
name_returns: db "odd-returns", 0
name_stosloop: db "fresh-pages", 0
name_switch: db "jump-table", 0
name_smcdata: db "data-beside-code", 0
name_user: db "user-mode", 0

align 16
p_loop:
  xor eax, eax
  mov ecx, 20000
.again:
  lea edx, [ecx + ecx*2]
  add eax, edx
  rol eax, 3
  xor eax, ecx
  mov [DATA + ecx*4], eax
  add eax, [DATA + ecx*4 + 4]
  dec ecx
  jnz .again
  hlt

p_fib:
  mov eax, 18
  call fib
  hlt
fib:
  cmp eax, 2
  jb .one
  push ebx
  mov ebx, eax
  dec eax
  call fib
  push eax
  lea eax, [ebx - 2]
  call fib
  pop ebx
  add eax, ebx
  pop ebx
  ret
.one:
  mov eax, 1
  ret

p_indirect:
  mov ecx, 3000
  xor eax, eax
.again:
  mov edx, ecx
  and edx, 3
  call [functions + edx*4]
  mov edx, ecx
  shr edx, 2
  and edx, 3
  mov edx, [functions + edx*4]
  call edx
  dec ecx
  jnz .again
  hlt
functions: dd .f0, .f1, .f2, .f3
.f0: add eax, 5
  ret
.f1: xor eax, 0x1234567
  ret
.f2: ror eax, 5
  ret
.f3: sub eax, ecx
  ret

p_strings:
  mov ebp, 60
.outer:
  mov edi, DATA
  mov eax, ebp
  mov ecx, 300
  rep stosd
  mov esi, DATA + 100
  mov edi, DATA + 4000
  mov ecx, 777
  rep movsb
  mov esi, DATA + 5
  mov edi, DATA + 6
  mov ecx, 200
  rep movsw
  std
  mov esi, DATA + 700
  mov edi, DATA + 702
  mov ecx, 99
  rep movsd
  cld
  mov esi, DATA
  mov edi, DATA + 2000
  mov ecx, 500
  repe cmpsb
  mov edx, ecx
  mov edi, DATA
  mov al, 0xff
  mov ecx, 5000
  repne scasb
  add edx, ecx
  lodsd
  add edx, eax
  lodsb
  movsb
  stosw
  cmpsd
  scasd
  xor ecx, ecx
  rep movsb
  dec ebp
  jnz .outer
  mov eax, edx
  hlt

; A negative index that wraps below 0, and addresses that wrap above 4 GiB.
p_wrap:
  mov ebp, 100
  xor edx, edx
.again:
  mov eax, 0x40
  mov dword [eax + DATA - 0x40], 0x11223344
  mov ecx, -0x1000
  add edx, [ecx + DATA + 0x1000]
  mov ecx, 0xffffff00
  add edx, [ecx*1 + DATA + 0x100]
  mov ebx, -8
  add edx, [ebx + ebx + DATA + 16]
  mov ebx, DATA + 0x100000
  add edx, [ebx + 0xfff00000]
  mov ebx, 0xfffffff0
  add edx, [ebx + 0x1010]
  mov ebx, 0x80000000
  add edx, [ebx + ebx + DATA]
  dec ebp
  jnz .again
  hlt

p_flags:
  mov ecx, 500
  xor edi, edi
.again:
  mov eax, ecx
  imul eax, eax, 0x9e3779b1
  add eax, ecx
  adc edi, 7
  sbb edi, eax
  setc dl
  seto dh
  movzx edx, dx
  add edi, edx
  cmp eax, 0x40000000
  cmovl edi, eax
  cmovg esi, edi
  lahf
  and eax, 0xd500
  add edi, eax
  stc
  rcl edi, 3
  cmc
  rcr esi, 1
  test edi, 0x10
  jp .even
  inc edi
.even:
  neg esi
  not esi
  pushfd
  pop ebx
  and ebx, 0x4c1
  add edi, ebx
  shl esi, 5
  bsr ebx, edi
  jz .zero
  add edi, ebx
.zero:
  xadd edi, esi
  cmpxchg esi, edi
  bswap edi
  sahf
  jc .carry
  inc esi
.carry:
  dec ecx
  jnz .again
  hlt

p_high:
  mov ecx, 300
  mov ebx, DATA
  xor eax, eax
  mov dword [ebx], 0x00fe7f01
.again:
  mov ah, [ebx + 1]
  add al, ah
  mov [ebx + 2], ah
  xchg ch, cl
  xchg cl, ch
  add dh, [ebx + 2]
  xor dl, dh
  mov bh, 0x20
  mov bh, 0
  movzx esi, ah
  movsx edi, dh
  add ah, cl
  sub [ebx + 3], dh
  mov bl, 0
  cmp ah, [esp - 100]
  mov [esp - 100], ch
  imul ah
  dec ecx
  mov ebx, DATA
  jnz .again
  hlt

p_stack:
  mov ecx, 200
.again:
  pushad
  push dword 0x12345678
  push byte -3
  push word 0x1234
  pop dx
  pop eax
  pop dword [esp + 4]
  push dword [esp + 8]
  pop dword [DATA]
  popad
  enter 32, 0
  mov [ebp - 4], ecx
  push esp
  pop edx
  mov eax, [ebp - 4]
  leave
  push ax
  push cx
  pop eax
  mov esi, esp
  push esi
  pop esp
  call .next
.next:
  pop edi
  dec ecx
  jnz .again
  hlt

p_smc:
  mov ecx, 400
  xor eax, eax
.again:
.patch:
  add eax, 1
  add byte [.patch + 2], 3
  mov ebx, ecx
  and ebx, 7
  jnz .no
  xor byte [.far], 8               ; add <-> or in code that has run
.no:
  jmp .far
.back:
  dec ecx
  jnz .again
  hlt
align 64
.far:
  add eax, ecx
  jmp .back

p_loops:
  mov ebx, 50
  xor eax, eax
.outer:
  mov ecx, 40
.a:
  add eax, ecx
  loop .a
  mov ecx, 40
.b:
  inc eax
  cmp eax, ebx
  loopne .b
  mov ecx, 30
  xor edx, edx
.c:
  cmp edx, 0
  loope .c
  jecxz .empty
  inc eax
.empty:
  mov ecx, 5
  jecxz .never
  add eax, 3
.never:
  db 0x67
  loop .d                          ; 16-bit counter
.d:
  dec ebx
  jnz .outer
  hlt

p_x87:
  fninit
  mov ecx, 2000
  fldz
  fld1
.again:
  mov [DATA], ecx
  fild dword [DATA]
  fmul st0, st0
  fsqrt
  fadd st1, st0
  fdivr st0, st1
  faddp st2, st0
  fld st0
  fld1
  faddp st1
  fxch st1
  fstp st0
  fcomi st0, st1
  fstsw ax
  add ebx, eax
  dec ecx
  jnz .again
  fst qword [DATA + 8]
  fistp dword [DATA + 16]
  fstp tword [DATA + 24]
  fnstcw [DATA + 40]
  or word [DATA + 40], 0xc00
  fldcw [DATA + 40]
  fld qword [DATA + 8]
  frndint
  fistp qword [DATA + 48]
  fldpi
  fnstenv [DATA + 64]
  movzx eax, word [DATA + 64]
  movzx ebx, word [DATA + 68]
  movzx edx, word [DATA + 72]
  xor ecx, ecx
  mov dword [DATA + 64 + 12], 0
  mov dword [DATA + 64 + 16], 0
  mov dword [DATA + 64 + 20], 0
  mov dword [DATA + 64 + 24], 0
  hlt

p_sse:
  mov eax, cr4
  or eax, 0x600
  mov cr4, eax
  mov dword [DATA], 0x3f800000
  mov dword [DATA + 4], 0x40490fdb
  mov dword [DATA + 8], 0x3dcccccd
  mov dword [DATA + 12], 0xc2480000
  movaps xmm0, [DATA]
  xorps xmm1, xmm1
  mov ecx, 1000
.again:
  addps xmm1, xmm0
  mulps xmm1, xmm0
  movaps xmm2, xmm1
  shufps xmm2, xmm2, 0x1b
  addss xmm1, xmm2
  cvttss2si eax, xmm2
  add ebx, eax
  cvtsi2ss xmm3, ecx
  divps xmm1, xmm3
  ucomiss xmm1, xmm2
  adc ebx, 0
  movups [DATA + 0x21], xmm1
  maxps xmm1, xmm0
  sqrtps xmm4, xmm3
  unpcklps xmm4, xmm1
  movmskps edx, xmm4
  add ebx, edx
  dec ecx
  jnz .again
  movaps [DATA + 0x40], xmm1
  movaps [DATA + 0x50], xmm4
  stmxcsr [DATA + 0x60]
  mov dword [DATA + 0x64], 0x7f80
  ldmxcsr [DATA + 0x64]
  movss xmm5, [DATA + 8]
  divss xmm5, xmm0
  movss [DATA + 0x68], xmm5
  movups xmm0, [DATA + 1]
  hlt

p_mmx:
  mov ecx, 500
  mov dword [DATA], 0x01020304
  mov dword [DATA + 4], 0xf0e0d0c0
  movq mm0, [DATA]
  pxor mm1, mm1
.again:
  paddb mm1, mm0
  pmullw mm1, mm0
  movd eax, mm1
  movd mm2, ecx
  punpcklbw mm2, mm1
  psubusb mm1, mm2
  packsswb mm2, mm1
  psrlq mm2, 3
  pmaddwd mm1, mm2
  pcmpgtb mm3, mm2
  por mm1, mm3
  movq [DATA + 8], mm1
  add ebx, eax
  dec ecx
  jnz .again
  movq [DATA + 16], mm2
  emms
  hlt

; The divide error's handler is HLT; before it, many divisions that work.
p_divide:
  mov ecx, 1000
  xor ebx, ebx
.again:
  mov eax, ecx
  imul eax, eax, 77777
  cdq
  idiv ecx
  add ebx, eax
  add ebx, edx
  mov eax, ebx
  xor edx, edx
  mov esi, ecx
  or esi, 1
  div esi
  xor ebx, edx
  dec ecx
  jnz .again
  mov esi, 0x77
  div ecx
  hlt

; Two-level tables, identity for 4 MiB by small pages; pages at 800000h appear on demand, the handler counts.
PD equ 0x300000
p_paging:
  mov edi, PD
  xor eax, eax
  mov ecx, 4096
  rep stosd
  mov dword [PD], PD + 0x1003
  mov dword [PD + 8], PD + 0x2003
  mov edi, PD + 0x1000
  mov eax, 3
  mov ecx, 1024
.fill:
  stosd
  add eax, 0x1000
  loop .fill
  mov eax, .fault                  ; gate 14
  mov [0x1000 + 14 * 8], ax
  shr eax, 16
  mov [0x1000 + 14 * 8 + 6], ax
  mov eax, PD
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80010000
  mov cr0, eax
  jmp .on
.on:
  xor ebp, ebp
  mov ecx, 20
.round:
  mov esi, 0x800000
  mov edx, 32
.touch:
  mov [esi + 0x10], edx
  add ebp, [esi + 0x10]
  add ebp, [esi + 0xff0]
  add esi, 0x1000
  dec edx
  jnz .touch
  ; take every second page away, with INVLPG
  mov esi, 0x800000
  mov edi, PD + 0x2000
  mov edx, 16
.away:
  add ebp, [edi]
  mov dword [edi], 0
  invlpg [esi]
  add edi, 8
  add esi, 0x2000
  dec edx
  jnz .away
  ; and write-protect one, with a reload of CR3
  and dword [PD + 0x2000 + 4], ~2
  mov eax, cr3
  mov cr3, eax
  add dword [0x801020], 5
  ; swap two pages behind the processor's back, then reload
  mov eax, [PD + 0x2000 + 12]
  xchg eax, [PD + 0x2000 + 20]
  mov [PD + 0x2000 + 12], eax
  mov eax, cr3
  mov cr3, eax
  add ebp, [0x803010]
  dec ecx
  jnz .round
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  mov eax, ebp
  hlt
.fault:
  push eax
  push ebx
  inc ebp
  mov eax, cr2
  mov ebx, eax
  shr ebx, 12
  and ebx, 0x3ff
  test dword [PD + 0x2000 + ebx*4], 1
  jnz .protection
  mov eax, ebx
  shl eax, 12
  add eax, 0x340003
  mov [PD + 0x2000 + ebx*4], eax
  jmp .out
.protection:
  or dword [PD + 0x2000 + ebx*4], 2
.out:
  pop ebx
  pop eax
  add esp, 4
  iret

; FS with a base, GS expand-down or null, DS with a base.
p_segments:
  mov eax, 0x18                    ; data, base DATA, limit 4 GiB
  mov fs, eax
  mov ecx, 300
  xor ebx, ebx
.again:
  mov [fs:ecx*4], ecx
  add ebx, [fs:ecx*4]
  mov eax, [fs:8]
  add ebx, eax
  mov esi, 0x10
  add ebx, [fs:esi + 0x20]
  push fs
  pop edx
  add ebx, edx
  lock add dword [fs:0x40], 3
  inc byte [fs:esi + 1]
  movzx edx, byte [fs:esi]
  add ebx, edx
  dec ecx
  jnz .again
  mov eax, 0x20                    ; data, base DATA, limit FFFh
  mov gs, eax
  mov ecx, 60
.limited:
  mov [gs:ecx*4], ecx
  add ebx, [gs:ecx*2]
  dec ecx
  jnz .limited
  mov eax, 0x18
  mov ds, eax
  mov ecx, 60
.based:
  mov [ecx*4 + 0x800], ebx
  add ebx, [ecx*4 + 0x800]
  mov esi, 0x10
  lodsd
  add ebx, eax
  dec ecx
  jnz .based
  mov eax, 0x10
  mov ds, eax
  xor eax, eax
  mov gs, eax
  mov eax, ebx
  mov eax, [gs:0]                  ; #GP: HLT
  hlt

; Two stacks that jump between each other in the middle of calls.
p_coroutine:
  mov dword [DATA], DATA + 0x8000
  mov dword [DATA + 0x7ffc], .other
  sub dword [DATA], 4
  mov ecx, 500
  xor eax, eax
.again:
  call .work
  dec ecx
  jnz .again
  hlt
.work:
  add eax, 3
  call .switch
  xor eax, ecx
  ret
.switch:
  xchg esp, [DATA]
  ret
.other:
  rol eax, 1
  call .deeper
  jmp .other
.deeper:
  call .switch
  add eax, 11
  ret

; TF for a stretch of code; the handler counts.
p_step:
  mov eax, .trap
  mov [0x1000 + 1 * 8], ax
  shr eax, 16
  mov [0x1000 + 1 * 8 + 6], ax
  xor ebp, ebp
  mov ecx, 50
.again:
  pushfd
  or dword [esp], 0x100
  popfd
  mov eax, 1
  add eax, ecx
  mov [DATA], eax
  pushfd
  and dword [esp], ~0x100
  popfd
  imul eax, ecx
  add ebx, eax
  dec ecx
  jnz .again
  hlt
.trap:
  inc ebp
  add edx, [esp]
  iret

; The same bytes read in two ways.
p_middle:
  mov ecx, 300
  xor eax, eax
.again:
  test cl, 1
  jz .one
  jmp .in + 1
.one:
.in:
  db 0xba, 0x90, 0x90, 0xeb, 0x02  ; mov edx, imm32; or, from its second byte: nop, nop, jmp .next
  add eax, edx
.next:
  add eax, 7
  dec ecx
  jnz .again
  hlt

p_crossing:
  mov ecx, 2000
  xor eax, eax
  jmp .loop
  times (4096 - (($ - $$ + 6) & 4095)) nop
.loop:
  add eax, ecx
  add eax, 0x12345678
  lea eax, [eax + ecx*2 + 0x1000]
  rol eax, 7
  dec ecx
  jnz .loop
  hlt

p_bits:
  mov ecx, 400
  mov ebx, DATA + 0x1000
  xor edx, edx
.again:
  mov eax, ecx
  imul eax, eax, 37
  bts [ebx], eax
  adc edx, 0
  neg eax
  btc [ebx], eax
  adc edx, edx
  bt dword [ebx + 4], 9
  adc edx, 1
  lock btr [ebx], ecx
  adc edx, 3
  bts ax, cx
  bsf eax, eax
  add edx, eax
  dec ecx
  jnz .again
  hlt

; Above RAM there is nobody: reads give ones.
p_mmio:
  mov ecx, 100
  xor eax, eax
.again:
  add eax, [0xd0000000]
  mov [0xd0000010], ecx
  mov ebx, 0xd0000000
  add eax, [ebx + ecx*4]
  add al, [ebx + 3]
  push dword [ebx]
  pop edx
  add eax, edx
  dec ecx
  jnz .again
  hlt

p_deep:
  mov esp, 0xf0000
  mov eax, 20000
  call .down
  mov ebx, eax
  mov eax, 20000
  call .down
  add eax, ebx
  hlt
.down:
  test eax, eax
  jz .bottom
  dec eax
  call .down
  add eax, 3
  ret
.bottom:
  ret

p_returns:
  mov ecx, 1000
  xor eax, eax
.again:
  push .back                       ; RET as a jump
  ret
  hlt
.back:
  call .pop                        ; a call that never returns
.pop:
  pop edx
  add eax, edx
  call .skip                       ; returns elsewhere, flags kept
  hlt
  nop
.skipped:
  adc eax, 1
  call .args
  push 5
  push 6
  call .clean
  dec ecx
  jnz .again
  hlt
.skip:
  add dword [esp], 2
  stc
  ret
.args:
  stc
  ret 0
.clean:
  add eax, [esp + 4]
  ret 8

; Stores to pages never touched before.
p_stosloop:
  mov edi, DATA
  mov ecx, 0x40000
  mov eax, 1
.again:
  mov [edi], al
  add al, [edi]
  add edi, 17
  sub ecx, 17
  ja .again
  mov edi, DATA + 0x80000
  mov ecx, 0x4000
  rep stosd
  hlt

p_switch:
  mov ecx, 4000
  xor eax, eax
.again:
  mov edx, ecx
  imul edx, edx, 13
  and edx, 7
  jmp [.cases + edx*4]
.cases: dd .c0, .c1, .c2, .c3, .c4, .c5, .c6, .c7
.c0: add eax, 1
  jmp .next
.c1: sub eax, ecx
  jmp .next
.c2: xor eax, 0x55
  jmp .next
.c3: rol eax, 1
  jmp .next
.c4: not eax
  jmp .next
.c5: lea eax, [eax*2 + 3]
  jmp .next
.c6: bswap eax
  jmp .next
.c7: inc eax
.next:
  dec ecx
  jnz .again
  hlt

p_smcdata:
  mov ecx, 3000
.again:
  mov [.data], ecx
  add eax, [.data]
  inc dword [.data + 4]
  dec ecx
  jnz .again
  mov ebx, [.data + 4]
  hlt
align 4
.data: dd 0, 0

; Ring 3 and back: a TSS, INT 30h as the system call, paging with user pages.
p_user:
  mov edi, PD
  xor eax, eax
  mov ecx, 4096
  rep stosd
  mov dword [PD], PD + 0x1007
  mov edi, PD + 0x1000
  mov eax, 7
  mov ecx, 1024
.fill:
  stosd
  add eax, 0x1000
  loop .fill
  and dword [PD + 0x1000 + 4], ~4            ; the IDT's page and page 0 are the supervisor's
  and dword [PD + 0x1000], ~4
  mov dword [0x3000 + 4], 0x8f000            ; TSS: ESP0, SS0
  mov dword [0x3000 + 8], 0x10
  mov eax, 0x28
  ltr ax
  mov eax, .call
  mov [0x1000 + 0x30 * 8], ax
  mov word [0x1000 + 0x30 * 8 + 2], 8
  mov word [0x1000 + 0x30 * 8 + 4], 0xee00
  shr eax, 16
  mov [0x1000 + 0x30 * 8 + 6], ax
  mov eax, .fault
  mov [0x1000 + 14 * 8], ax
  shr eax, 16
  mov [0x1000 + 14 * 8 + 6], ax
  mov eax, PD
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80010000
  mov cr0, eax
  xor ebp, ebp
  push dword 0x3b
  push dword 0x80000
  push dword 0x202
  push dword 0x33
  push dword .user
  iret
.user:
  mov eax, 0x3b
  mov ds, eax
  mov es, eax
  mov ecx, 300
.again:
  mov eax, ecx
  int 0x30
  add ebx, eax
  mov [DATA + ecx*8], ebx
  add ebp, [0x1000 + 14 * 8]                 ; a page fault, skipped by the handler
  call .leaf
  dec ecx
  jnz .again
  xor eax, eax
  int 0x30
  jmp $
.leaf:
  add ebx, 3
  ret
.call:
  push ds
  push ecx
  mov ecx, 0x10
  mov ds, ecx
  test eax, eax
  jz .end
  lea eax, [eax*2 + 1]
  add dword [DATA + 0x10000], eax
  pop ecx
  pop ds
  iret
.end:
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  hlt
.fault:
  add dword [esp + 4], 6
  inc edx
  add esp, 4
  iret
