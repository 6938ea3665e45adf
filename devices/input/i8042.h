/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The keyboard controller at ports 60h and 64h: PS/2 keyboard and mouse, A20 gate, processor reset. */
#pragma once

#include "device.h"
#include "irq-line.h"
#include "ps2-port.h"

typedef struct I8042 I8042;

/* keyboard and mouse stay the caller's and must live as long; mouse may be NULL.  a20 follows bit 1 of the output port
 * (high: addresses pass), cpu_reset is pulsed.  Returns 0, -ENOMEM or -EEXIST. */
int  i8042_new     (const DeviceHost *host, Ps2Port *keyboard, Ps2Port *mouse, const IrqLine *irq_1, const IrqLine *irq_12,
                    const IrqLine *a20, const IrqLine *cpu_reset, I8042 **ret_controller);
/* Somebody else (system control port A) moved the A20 gate: the output port reads so. */
void i8042_a20_moved (I8042 *controller, bool open);

extern const DeviceClass i8042_class;
