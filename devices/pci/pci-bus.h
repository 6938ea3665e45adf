/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bus 0: configuration mechanism 1 (PCI Local Bus Specification 2.1, 3.2.2.3.2) and the functions on it. */
#pragma once

#include "pci.h"

/* set_irq: an INTx wire of the host bridge (0 … 3 for PIRQA … PIRQD) changed; a level is the OR of all who share it.
 * reset_control: byte accesses to CF9h, which lies inside CONFIG_ADDRESS; may be NULL. 0, -ENOMEM, or bus_claim_ports' error. */
int  pci_bus_new (const DeviceHost *host, const IrqLine pirqs[4], Device *reset_control_owner, const BusRegion *reset_control,
                  PciBus **ret_bus);
Device *pci_bus_device (PciBus *bus);
void pci_bus_each (PciBus *bus, void (*call) (PciFunction *function, void *data), void *data);
