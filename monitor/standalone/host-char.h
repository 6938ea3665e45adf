/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Serial and parallel back ends of a standalone machine: null, stdio, file:PATH, socket:PATH.
 *
 * What the guest sends is also kept (the last HOST_CHAR_LOG bytes) for `wait-serial`. */
#pragma once

#include "chardev.h"

#include <stdbool.h>

typedef struct HostChar HostChar;
typedef struct Machine Machine;

enum { HOST_CHAR_LOG = 1 << 20 };

/* NULL with a sentence in ret_error (freed by the caller). */
HostChar    *host_char_new     (const char *description, char **ret_error);
CharBackend *host_char_backend (HostChar *self);
/* Starts the thread that brings input to the guest, where there is any. */
void         host_char_start   (HostChar *self, Machine *machine);
/* A copy of the log as a string (zero bytes dropped), freed by the caller. NULL: out of memory. */
char        *host_char_log     (HostChar *self);
