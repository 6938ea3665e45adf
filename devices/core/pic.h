/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two cascaded 8259A interrupt controllers as in a PC: ports 20h/21h and a0h/a1h, with the edge/level control
 * registers of the PIIX3 at 4d0h/4d1h.  (Device *) pic is the device. */
#pragma once

#include "device.h"
#include "irq-line.h"

typedef struct Pic Pic;

/* cpu_interrupt is the master's INT output.  Returns 0, -ENOMEM or what bus_claim_ports says. */
int pic_new (const DeviceHost *host, IrqLine cpu_interrupt, Pic **ret);

/* IrqLine-shaped: controller is the Pic, input 0 … 15.  Input 2 is the cascade and ignored, as are inputs above 15.
 * An edge triggered input stays requested when the line falls again. */
void pic_set_irq (void *pic, unsigned irq, bool level);

/* The CPU's interrupt acknowledge cycle: always returns a vector, a spurious one (IR7 of either chip) if the request
 * has gone meanwhile. */
int pic_acknowledge (Pic *self);

/* Whether INT is high now. */
bool pic_output (const Pic *self);
