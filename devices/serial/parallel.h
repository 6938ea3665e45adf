/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A parallel port: standard, bidirectional and EPP modes (no ECP), with a printer's handshake at the other end.
 * (Device *) parallel is the device. */
#pragma once

#include "chardev.h"
#include "device.h"
#include "irq-line.h"

typedef struct Parallel Parallel;

/* Eight ports from first_port.  far_end is the printer (NULL: none, the status lines float) and is closed with the
 * device.  Returns 0, -ENOMEM or what bus_claim_ports says; far_end is then still the caller's. */
int parallel_new (const DeviceHost *host, uint16_t first_port, IrqLine irq, CharBackend *far_end, Parallel **ret);

/* Puts another printer in place (the old one is closed). NULL unplugs. */
void parallel_plug (Parallel *self, CharBackend *far_end);
