/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The IDE function of the PIIX3 (8086:7010): bus mastering for two channels that stay at their legacy ports and lines. */
#pragma once

#include "ide.h"
#include "pci.h"

typedef struct IdePci IdePci;

/* Puts the function at devfn and itself behind both channels, which must live as long.  After power on the channels are
 * not decoded: firmware sets bit 15 of IDETIM (40h, 42h) and the I/O space bit of the command register, as on the chip.
 * Errors: those of pci_bus_add, -ENOMEM. */
int     ide_pci_new    (const DeviceHost *host, PciBus *bus, uint8_t devfn, IdeChannel *primary, IdeChannel *secondary, IdePci **ret);
Device *ide_pci_device (IdePci *self);
