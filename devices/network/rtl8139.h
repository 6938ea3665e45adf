/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The Realtek RTL8139C Fast Ethernet controller on PCI (10ec:8139). */
#pragma once

#include "packet.h"
#include "pci.h"

typedef struct Rtl8139 Rtl8139;

/* cable may be NULL: no link.  The card closes it at its end.  mac: the station address in the serial EEPROM.
 * Errors: those of pci_bus_add, -ENOMEM; the cable is then still the caller's. */
int     rtl8139_new    (const DeviceHost *host, PciBus *bus, uint8_t devfn, PacketBackend *cable, const uint8_t mac[6], Rtl8139 **ret);
Device *rtl8139_device (Rtl8139 *self);
/* Puts another cable in (NULL: pulls it out); the old one is closed. */
void    rtl8139_plug   (Rtl8139 *self, PacketBackend *cable);
