/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a guarded monitor takes from itself before the guest's first instruction.
 *
 * Stage 1, at start, one thread, no descriptor but the guard's socket: new namespaces with an empty root, Landlock.
 * Stage 2, all descriptors and threads present: limits and an exact list of system calls.
 * Each stage reports what is up; the guard decides whether that is enough. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The bits are SANDBOX_* of protocol.h. */

/* What this host offers, without changing anything that lasts. */
uint32_t sandbox_probe (void);
/* Call first of all. Returns the layers that are up (namespaces, empty root, no dump, Landlock). */
uint32_t sandbox_enter_early (void);
/* Of stage 1, once: a sparse file for maps that are large and nearly empty, whose blocks are bounded; -1 without namespaces. */
int      sandbox_flat_file (void);
/* Call last of all, with every thread and descriptor there is going to be. memory_bytes bounds private memory (RLIMIT_DATA).
 * Returns the layers that are up together with `early`, or negative errno when the system call filter cannot be set. */
int64_t  sandbox_enter_late (uint32_t early, uint64_t memory_bytes);
