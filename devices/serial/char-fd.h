/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A far end behind a file descriptor: a file, a pipe, a socket, a terminal.
 *
 * Writing is done here.  Reading is the business of whoever polls: when the descriptor is readable and
 * char_fd_room () > 0, call char_fd_receive (). */
#pragma once

#include "chardev.h"

#include <stdbool.h>

/* owned: the descriptor is closed with the far end.  ready (may be NULL) is called when the device has room again after
 * it had none.  The descriptor should be non-blocking if its far end may be slow.  NULL when memory is short. */
CharBackend *char_fd_new (int fd, bool owned, void (*ready) (void *data), void *data);

/* How many bytes the device would take; unknown until it has refused some, so at least 1 before that. */
size_t char_fd_room (const CharBackend *self);

/* Hands over bytes that were read from the descriptor, or typed.  Returns how many were taken; the rest is the caller's to
 * keep until `ready`. */
size_t char_fd_feed (CharBackend *self, const uint8_t *bytes, size_t n_bytes);

/* Reads what there is, at most what the device has room for, and feeds it.  Returns how many bytes, 0 at the end of the
 * file, -EAGAIN if there is nothing now or no room, or another negative errno. */
int char_fd_receive (CharBackend *self);

/* A write has failed for good (EPIPE, ENOSPC …): bytes are dropped since. The errno, or 0. */
int char_fd_error (const CharBackend *self);
