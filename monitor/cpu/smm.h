/* SPDX-License-Identifier: GPL-3.0-or-later */
/* System management mode (SDM vol. 3, chapter 34), with the 32-bit state save map of P6 processors. */
#pragma once

#include "cpu.h"

/* Takes an SMI: saves the state at SMBASE + FE00h … FFFFh and starts at SMBASE + 8000h. */
void       smm_enter (Cpu *cpu);
/* RSM. EXIT_BRANCH; EXIT_SHUTDOWN when the saved state is impossible. #UD outside of SMM is the caller's. */
ExitReason smm_leave (Cpu *cpu);
