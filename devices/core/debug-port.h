/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ports for people who debug guests: a byte sink at E9h and 402h (firmware's log) and an exit port. */
#pragma once

#include "bus.h"
#include "chardev.h"

typedef struct DebugPort DebugPort;

/* sink may be NULL: then the ports do not exist. exit_port 0: none.  exited: a guest wrote `value` to the exit port. */
int     debug_port_new    (const DeviceHost *host, CharBackend *sink, uint16_t exit_port, void (*exited) (void *data, uint32_t value),
                           void *data, DebugPort **ret);
Device *debug_port_device (DebugPort *self);
