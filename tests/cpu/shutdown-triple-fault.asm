; SPDX-License-Identifier: GPL-3.0-or-later
; SDM vol. 3, 6.15, #DF: a fault while delivering a double fault stops the processor.
%include "system.inc"
main:
        lidt [empty]
        ud2
        ret
empty:  dw 0
        dd 0
%include "system-end.inc"
