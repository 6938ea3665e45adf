/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The way to the guard.
 *
 *   g_autoptr (BhGuard1) guard = guard_client_connect_sync (GUARD_CLIENT_START, NULL, &error);
 *   bh_guard1_call_list_machines_sync (guard, &machines, NULL, &error);
 *
 * The proxy is generated from io.github.bulkhead.Guard.xml (guard-dbus.h).  Errors of the calls are in the domain
 * GUARD_ERROR; strip the D-Bus prefix with guard_client_error_text before showing one. */
#pragma once

#include "guard-dbus.h"
#include "guard-error.h"

G_BEGIN_DECLS

#define GUARD_OBJECT_PATH "/io/github/bulkhead/Guard"

typedef enum
{
  GUARD_CLIENT_NONE  = 0,
  GUARD_CLIENT_START = 1 << 0,  /* start a guard when none answers */
} GuardClientFlags;

/* $XDG_RUNTIME_DIR/bulkhead/guard.sock.  Free with g_free. */
char *guard_client_socket_path (void);

/* Path of one of our programs ("bulkhead-guard", "bulkhead-monitor", "bulkhead-network", "bulkhead"), found beside
 * the running executable in the build tree or the installed tree, never through the environment; NULL when there is
 * none.  Free with g_free. */
char *guard_client_find_program (const char *name);

/* Connects, starting the guard if asked and needed; blocks for at most about 15 seconds.  A new reference. */
BhGuard1 *guard_client_connect_sync (GuardClientFlags flags, GCancellable *cancellable, GError **error);

void      guard_client_connect (GuardClientFlags flags, GCancellable *cancellable, GAsyncReadyCallback callback,
                                gpointer user_data);
BhGuard1 *guard_client_connect_finish (GAsyncResult *result, GError **error);

/* The text of an error without "GDBus.Error:…:"; belongs to the error.  Strips it in place. */
const char *guard_client_error_text (GError *error);

G_END_DECLS
