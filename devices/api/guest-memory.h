/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guest's physical memory as devices see it.
 *
 * DMA is by copy: a device never holds a pointer into RAM, so nothing changes under its check.  Memory that a
 * device itself owns (video RAM, ROM images) is allocated here as backing pages, because the CPU maps the same
 * pages; the owner may keep the pointer to its own backing.
 *
 * Backing pages are 4 KiB, numbered from 0 in one memory file; guest RAM begins at page 0. */
#pragma once

#include "device.h"

#include <stdbool.h>
#include <stdint.h>

#define GUEST_PAGE_SIZE 4096u
#define GUEST_PAGE_NONE UINT32_MAX

/* Copies; address + n_bytes may cross pages.  Parts that are not RAM or ROM read as all ones and swallow writes
 * (memory-mapped registers are not reached by DMA): then the result is -EFAULT, else 0. */
int guest_memory_read  (GuestMemory *memory, uint64_t address, void *ret_bytes, size_t n_bytes);
int guest_memory_write (GuestMemory *memory, uint64_t address, const void *bytes, size_t n_bytes);

/* n_bytes (multiple of 4096, zeroed) of new backing pages.  Returns 0 or -ENOMEM. */
int      guest_memory_allocate (GuestMemory *memory, const char *name, uint64_t n_bytes, uint32_t *ret_first_page);
uint8_t *guest_memory_backing  (GuestMemory *memory, uint32_t page);

/* Makes guest-physical pages read and write backing pages directly.  GUEST_PAGE_NONE for read or write sends that
 * direction to the bus (read ROM and drop writes: read = rom, write = NONE).  All values page aligned.
 * The CPU forgets what it knew of the range. -EINVAL for a bad range. */
int guest_memory_map (GuestMemory *memory, uint64_t address, uint64_t n_bytes, uint32_t read_first, uint32_t write_first);

/* Lays backing pages over a range of at most 128 KiB (SMRAM over the display's window) until called again with
 * GUEST_PAGE_NONE.  Maps made meanwhile take effect when the overlay goes. One overlay at a time. */
int guest_memory_overlay (GuestMemory *memory, uint64_t address, uint64_t n_bytes, uint32_t first_page);

/* Whether a backing page was written since guest_memory_clear_dirty.  Devices that write their own backing
 * directly need not mark it. */
bool guest_memory_is_dirty    (GuestMemory *memory, uint32_t page);
void guest_memory_clear_dirty (GuestMemory *memory, uint32_t first_page, uint32_t n_pages);
/* For a device that changed backing pages behind the CPU's back (ROM load, state restore): code made of them dies. */
void guest_memory_touched     (GuestMemory *memory, uint32_t first_page, uint32_t n_pages);
uint64_t guest_memory_ram_bytes (GuestMemory *memory);
