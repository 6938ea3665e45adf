/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who holds which physical page: the CPU's view of guest-memory.h.
 *
 * One memory file holds every backing page (RAM from page 0, then video RAM, ROMs …); it is mapped once, read and
 * write, at `host`.  `map` has one entry per 4 KiB guest-physical page below 4 GiB: which backing page answers reads
 * and which takes writes; GUEST_PAGE_NONE sends the access to the bus.  Addresses at and above 4 GiB are nobody's.
 *
 * Flags belong to backing pages, because one may be visible at several addresses. */
#pragma once

#include "guest-memory.h"

enum
{
  PAGE_DIRTY = 1 << 0,          /* written by the CPU or by DMA since guest_memory_clear_dirty */
  PAGE_CODE  = 1 << 1,          /* decoded or translated code was made from it: a write must tell */
};

enum { GUEST_OVERLAY_PAGES = 32 };

typedef struct
{
  uint32_t read, write;         /* backing page numbers or GUEST_PAGE_NONE */
} PhysicalPage;

typedef struct
{
  void (*code_written)  (void *listener, uint32_t page, uint32_t offset, uint32_t n_bytes);   /* a PAGE_CODE page was written by DMA */
  void (*map_changed)   (void *listener, uint32_t first_guest_page, uint32_t n_pages);
  void (*dirty_cleared) (void *listener, uint32_t first_backing_page, uint32_t n_pages);
  void  *listener;
  void (*device_wrote)  (void *listener, uint32_t page, uint32_t offset, uint32_t n_bytes);   /* DMA, after the fact */
} GuestMemoryListener;

struct GuestMemory
{
  uint8_t      *host;           /* alias of the whole file */
  PhysicalPage *map;            /* 1 << 20 entries */
  uint8_t      *page_flags;     /* one per backing page */
  uint32_t      n_pages, n_ram_pages, next_free_page;
  int           fd;
  uint64_t      ram_bytes;
  Bus          *bus;
  uint32_t      overlay_first, overlay_count;   /* guest pages covered by guest_memory_overlay; count 0: none */
  PhysicalPage  overlay_under[GUEST_OVERLAY_PAGES];
  GuestMemoryListener listeners[4];
  unsigned      n_listeners;
};

/* fd >= 0: a memory file of at least ram_bytes + extra_bytes made (and sealed against resizing) by someone else,
 * taken over; -1: make one.  NULL with errno set. RAM is mapped at 0 … ram_bytes. */
GuestMemory *guest_memory_new  (uint64_t ram_bytes, uint64_t extra_bytes, int fd, Bus *bus);
void         guest_memory_free (GuestMemory *memory);
void         guest_memory_add_listener (GuestMemory *memory, const GuestMemoryListener *listener);
/* Marks a page as written; if it holds code, tells the listeners. For the CPU's slow path. */
void         guest_memory_mark_written (GuestMemory *memory, uint32_t page, uint32_t offset, uint32_t n_bytes);

Bus  *bus_new  (void);
void  bus_free (Bus *bus);

/* Who listens in on the CPU's accesses, or answers in the devices' place (lockstep). */
typedef enum { BUS_READ_PORT, BUS_WRITE_PORT, BUS_READ_MEMORY, BUS_WRITE_MEMORY } BusAccess;

typedef struct
{
  bool (*answer) (void *data, BusAccess access, uint64_t address, unsigned size, uint64_t *value);    /* true: devices are not asked */
  void (*done)   (void *data, BusAccess access, uint64_t address, unsigned size, uint64_t value);     /* writes: before the device */
  void  *data;
} BusTap;

void bus_set_tap (Bus *bus, const BusTap *tap);         /* NULL: nobody */
