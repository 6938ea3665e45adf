/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `--network nat[,forward=tcp:HOSTPORT:GUESTPORT]…` of a standalone machine: a bulkhead-network of its own. */
#pragma once

#include "machine.h"

typedef struct HostNetwork HostNetwork;

/* Starts the process and fills in config's card, cable and station address.  "none": 0 and *ret NULL.  False with a
 * sentence in *ret_error (freed by the caller). */
bool host_network_open  (const char *text, MachineConfig *config, HostNetwork **ret, char **ret_error);
/* Brings frames to the machine, from a thread. NULL is allowed. */
void host_network_start (HostNetwork *self, Machine *machine);
/* After machine_run, before machine_free. NULL is allowed. */
void host_network_stop  (HostNetwork *self);
