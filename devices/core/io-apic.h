/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The 82093AA I/O APIC: 24 inputs, registers at fec00000h.  (Device *) io_apic is the device.
 *
 * On a PC, inputs 1 and 3 … 15 are the ISA interrupts, the timer's IRQ0 is on input 2, and the PIC's INT on input 0. */
#pragma once

#include "apic-bus.h"
#include "device.h"
#include "irq-line.h"

enum { IO_APIC_N_INPUTS = 24 };
#define IO_APIC_BASE 0xfec00000u

typedef struct IoApic IoApic;

/* Messages go to deliver (local_apic, …); its EOIs come back through io_apic_eoi.  Returns 0, -ENOMEM or what
 * bus_claim_memory says. */
int io_apic_new (const DeviceHost *host, ApicDeliver deliver, void *local_apic, IoApic **ret);

/* IrqLine-shaped: input 0 … 23, others are ignored.  High means asserted, whatever polarity the guest programs. */
void io_apic_set_irq (void *io_apic, unsigned input, bool level);

/* LocalApicWires.io_apic_eoi-shaped. Vector 0: only tries again what nobody accepted. */
void io_apic_eoi (void *io_apic, uint8_t vector);
