/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The x87 error latch of PCs: FERR# becomes IRQ 13, and a write to port F0h drops it and drives IGNNE# until FERR# falls
 * (SDM vol. 3, 22.18.4.1; 82371SB data sheet, 3.3 "coprocessor error"). */
#pragma once

#include "bus.h"
#include "irq-line.h"

typedef struct FpuError FpuError;

int     fpu_error_new      (const DeviceHost *host, IrqLine irq_13, IrqLine ignne, FpuError **ret);
Device *fpu_error_device   (FpuError *self);
/* IrqLine-shaped: the processor's FERR#, high means asserted. */
void    fpu_error_set_ferr (void *fpu_error, unsigned input, bool level);
