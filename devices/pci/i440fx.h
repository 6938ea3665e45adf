/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The host bridge 82441FX (PMC): which reads and writes of C0000h … FFFFFh reach DRAM (PAM), and SMRAM. */
#pragma once

#include "pci.h"

typedef struct I440fx I440fx;

/* rom_first_page: backing of the firmware's last 128 KiB, seen at E0000h … FFFFFh while PAM sends reads to PCI. */
int  i440fx_new (const DeviceHost *host, PciBus *bus, uint32_t rom_first_page, I440fx **ret);
Device *i440fx_device (I440fx *self);
/* The processor entered or left system management mode (SMIACT#). CpuLines-shaped. */
void i440fx_smm_changed (void *i440fx, bool in_smm);
