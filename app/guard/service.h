/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard's D-Bus face on its private socket. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

typedef struct Service Service;

/* Listens on runtime_folder/guard.sock.  `idle` is called whenever the number of connections changed. */
Service *service_new (Guard *guard, void (*changed) (gpointer data), gpointer data, GError **error);
/* Takes no more connections; the socket is gone. */
void     service_close (Service *self);
void     service_free (Service *self);
guint    service_n_connections (Service *self);
const char *service_socket (Service *self);

G_END_DECLS
