/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Power management, function 3 of the 82371AB (PIIX4): ACPI registers, timer, power button, APM port and SMI.
 *
 * The board is a PIIX3 machine with this one function of its successor, because firmware and guests expect it. */
#pragma once

#include "pci.h"

typedef struct Piix4Pm Piix4Pm;

enum { PIIX4_PM_SCI_IRQ = 9, PIIX4_PM_ACPI_ENABLE = 0xf1, PIIX4_PM_ACPI_DISABLE = 0xf0 };

/* sci: the SCI interrupt.  smi: pulsed for SMI#.  power_off: pulsed when the guest enters soft-off (S5).
 * suspend: pulsed when it enters S3 (the machine then resets with the CMOS shutdown code of a resume). */
int  piix4_pm_new (const DeviceHost *host, PciBus *bus, uint8_t devfn, IrqLine sci, IrqLine smi, IrqLine power_off, Piix4Pm **ret);
Device *piix4_pm_device (Piix4Pm *self);
/* The user pressed the power button: PWRBTN_STS. Returns false if the guest has not switched ACPI on (nothing will happen). */
bool piix4_pm_power_button (Piix4Pm *self);
