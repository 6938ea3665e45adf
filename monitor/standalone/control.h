/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The control socket: one request per line, one JSON object per line back.  For scripts and tests. */
#pragma once

#include "host-char.h"
#include "machine.h"

typedef struct Control Control;

/* Opens media for `insert`: the caller's rule for paths and formats. NULL with a sentence in ret_error. */
typedef BlockBackend *(*ControlOpenMedium) (const char *path, bool is_cdrom, char **ret_error);

/* Listens at path (0600). NULL with a sentence in ret_error: an occupied path is not taken over. */
Control *control_new   (const char *path, char **ret_error);
/* Serves every client on a thread of its own until the process ends. */
void     control_start (Control *self, Machine *machine, HostChar *const *serials, unsigned n_serials, ControlOpenMedium open_medium);
/* Closes and removes the socket. Accepts NULL. */
void     control_free  (Control *self);
