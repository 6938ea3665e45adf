/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Virtual networks: a switch with a label, and perhaps a way out through the host (NAT), which needs the uplink's label. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

Networks *networks_new (Guard *guard, GError **error);
void      networks_free (Networks *self);

/* False when there is no such network (or it is outside the user's range). */
gboolean networks_label (Networks *self, const char *name, Label *ret_label);
gboolean networks_create (Networks *self, const char *name, const Label *label, gboolean nat, const char *const *forwards,
                          GError **error);
gboolean networks_delete (Networks *self, const char *name, GError **error);

/* Connects a machine: a packet socket for its monitor, decided anew; -1 on failure. */
int networks_connect (Networks *self, const char *name, const char *machine, const Label *label, GError **error);

/* The machine has stopped: its cable is pulled out of whatever it was in.  The last one ends the network's process. */
void networks_disconnect (Networks *self, const char *machine);

GVariant *networks_list (Networks *self);

G_END_DECLS
