/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One bulkhead-network: its process and the socket to it (network-protocol.h).  It parses what guests send, so it counts as
 * hostile from the first frame on: the guard waits for it only before there is a cable, and afterwards reads its answers
 * when they come.  A wrong answer ends it, and with it the network's cables, and nothing else. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

typedef struct NetworkProcess NetworkProcess;

/* The process is gone; every cable to it is dead.  It may be freed here. */
typedef void (*NetworkProcessEnded) (NetworkProcess *process, const char *why, gpointer data);

/* Starts it and waits until its sandbox is closed (at most NETWORK_START_MS). */
NetworkProcess *network_process_spawn (gboolean nat, NetworkProcessEnded ended, gpointer data, GError **error);
/* Tells it to end; no callback is called any more. */
void            network_process_free (NetworkProcess *self);

/* A machine's end of a new cable; *ret_port is what it is called by.  -1 on failure. */
int             network_process_join (NetworkProcess *self, guint *ret_port, GError **error);
/* Pulls a cable out; the number of cables left. */
guint           network_process_leave (NetworkProcess *self, guint port);
/* protocol 6 or 17.  Waits for the answer: call before the first join. */
gboolean        network_process_forward (NetworkProcess *self, guint8 protocol, guint16 host_port, guint16 guest_port,
                                         GError **error);
GPid            network_process_pid (NetworkProcess *self);

G_END_DECLS
