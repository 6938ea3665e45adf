/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A server of 9P2000.L over one directory.  Requests come from a guest: every length, name and number is checked, names never
 * leave the directory (openat2 with RESOLVE_BENEATH and without symbolic links), and a session holds a bounded number of fids. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NINE_P_MAX_MESSAGE = 65536, NINE_P_MAX_FIDS = 1024 };

typedef struct NineP NineP;

/* root: an open directory; remains the caller's. NULL when memory is short. */
NineP *nine_p_new  (int root, bool writable);
void   nine_p_free (NineP *self);
/* One request in, one answer out (at most NINE_P_MAX_MESSAGE bytes). 0: the bytes are no request that can be answered. */
size_t nine_p_handle (NineP *self, const uint8_t *request, size_t n_bytes, uint8_t *ret_answer);
