/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Maps indexed by guest addresses: address space far larger than what will ever be touched.
 *
 * Private memory of that size would count for RLIMIT_DATA in full, so these maps are parts of one sparse file.  A guarded
 * monitor brings a file whose blocks the host bounds (a temporary file system of limited size); otherwise it is a memory
 * file.  Reading a part never written gives zeros. */
#pragma once

#include <stdint.h>

/* The file to use, before the first map; belongs to this module from then on. Negative: none. */
void  flat_memory_use   (int fd);
/* n_bytes of zeros (a multiple of the page size), readable and writable; NULL when that cannot be. */
void *flat_memory_map   (uint64_t n_bytes);
/* Gives the memory back as well. NULL is allowed. */
void  flat_memory_unmap (void *map, uint64_t n_bytes);
/* No more maps are going to be made: gives the file back. Maps stay. */
void  flat_memory_close (void);
