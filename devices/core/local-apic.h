/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The local APIC of a P6 family processor, in a machine with one of them (SDM vol. 3, chapter 10).
 *
 * It stands between the interrupt wires and the CPU: the PIC's INT goes to its LINT0, NMI to LINT1, and the CPU's
 * INTR and NMI come from here, also while the APIC is disabled (then the pins pass straight through).
 * (Device *) local_apic is the device. */
#pragma once

#include "apic-bus.h"
#include "device.h"
#include "irq-line.h"

/* What the timer counts, before its divider. */
#define LOCAL_APIC_BUS_HZ 100000000u
#define LOCAL_APIC_DEFAULT_BASE 0xfee00900u     /* IA32_APIC_BASE after reset: enabled, bootstrap processor */

enum { LOCAL_APIC_LINT0 = 0, LOCAL_APIC_LINT1 = 1 };

typedef struct LocalApic LocalApic;

/* Any member may be NULL or unconnected. */
typedef struct
{
  IrqLine interrupt;            /* INTR */
  IrqLine nmi, smi, init;       /* pulsed */
  int   (*pic_acknowledge) (void *pic);
  void   *pic;
  /* An EOI for a level triggered vector; vector 0 after the APIC was enabled: deliver what waits. */
  void  (*io_apic_eoi) (void *io_apic, uint8_t vector);
  void   *io_apic;
} LocalApicWires;

/* Claims the register page at the default address.  Returns 0, -ENOMEM or what bus_claim_memory says. */
int local_apic_new (const DeviceHost *host, const LocalApicWires *wires, LocalApic **ret);

/* For parts that are made later and need each other: the I/O APIC. */
void local_apic_connect_io_apic (LocalApic *self, void (*eoi) (void *io_apic, uint8_t vector), void *io_apic);

/* IrqLine-shaped: input LOCAL_APIC_LINT0 or LOCAL_APIC_LINT1. */
void local_apic_set_lint (void *local_apic, unsigned input, bool level);

/* The CPU's acknowledge cycle (CpuLines.acknowledge): the vector, from here or from the PIC; -1 if nothing is there to
 * be delivered and no spurious vector is in force. */
int  local_apic_acknowledge (void *local_apic);

/* ApicDeliver-shaped. */
bool local_apic_deliver (void *local_apic, const ApicMessage *message);

/* The CPU wrote IA32_APIC_BASE: bit 11 enables, bits 12 … 35 are the page.  Disabling loses all state (SDM 10.4.3). */
void local_apic_set_base (LocalApic *self, uint64_t apic_base);
uint64_t local_apic_base (const LocalApic *self);

/* INIT# or an INIT message: everything but the id is reset (SDM 10.4.7.3). */
void local_apic_init_reset (LocalApic *self);
