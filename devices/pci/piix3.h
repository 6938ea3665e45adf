/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ISA bridge 82371SB (PIIX3), function 0: PIRQ routing and the reset control register CF9h. */
#pragma once

#include "pci.h"

typedef struct Piix3 Piix3;

/* isa_irqs: the sixteen ISA interrupt lines as level inputs for PIRQs (each the OR of PIC and I/O APIC, made by the board).
 * reset: pulsed by a write of CF9h that asks for a hard or soft reset. Create before the PCI bus, then piix3_attach. */
int  piix3_new    (const DeviceHost *host, const IrqLine isa_irqs[16], IrqLine reset, Piix3 **ret);
int  piix3_attach (Piix3 *self, PciBus *bus, uint8_t devfn);
Device *piix3_device (Piix3 *self);
/* IrqLine-shaped: wire 0 … 3 of PIRQA … PIRQD. */
void piix3_set_pirq (void *piix3, unsigned wire, bool level);
extern const BusRegion piix3_reset_control;
