/* SPDX-License-Identifier: GPL-3.0-or-later */
/* System control port A, 92h: A20 gate and fast reset (PS/2 Model 50/60 Technical Reference). */
#pragma once

#include "bus.h"
#include "irq-line.h"

typedef struct Port92 Port92;

/* a20: high lets address line 20 pass. reset: pulsed. */
int     port92_new    (const DeviceHost *host, IrqLine a20, IrqLine reset, Port92 **ret);
Device *port92_device (Port92 *self);
/* The keyboard controller's half of the A20 gate moved: the two gates are one wire on this board, as on PIIX3. */
void    port92_follow_a20 (void *port92, unsigned input, bool level);
