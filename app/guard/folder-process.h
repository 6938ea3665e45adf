/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One bulkhead-folder: the server of one shared folder for one machine.  It talks to the monitor alone; the guard starts it, hands
 * it the directory, and ends it with the machine. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

typedef struct FolderProcess FolderProcess;

/* Waits until its sandbox is closed.  directory remains the caller's; *ret_socket is the monitor's end. */
FolderProcess *folder_process_spawn (int directory, gboolean writable, int *ret_socket, GError **error);
void           folder_process_free (FolderProcess *self);

G_END_DECLS
