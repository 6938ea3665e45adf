/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Guest-physical memory: one memory file, one alias, one map.  See physical-memory.h. */
#include "physical-memory.h"

#include "bus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_GUEST_PAGES (1u << 20)

static void *
map_zeroed (size_t n_bytes)
{
  void *bytes = mmap (NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  return bytes == MAP_FAILED ? NULL : bytes;
}

GuestMemory *
guest_memory_new (uint64_t ram_bytes, uint64_t extra_bytes, int fd, Bus *bus)
{
  uint64_t n_bytes = ram_bytes + extra_bytes;
  GuestMemory *self;
  struct stat status;

  if (ram_bytes % GUEST_PAGE_SIZE || extra_bytes % GUEST_PAGE_SIZE || n_bytes < ram_bytes || ram_bytes > 1ull << 32)
    {
      errno = EINVAL;
      return NULL;
    }
  self = calloc (1, sizeof *self);
  if (!self)
    return NULL;
  self->fd = fd;
  self->bus = bus;
  self->ram_bytes = ram_bytes;
  self->n_pages = (uint32_t) (n_bytes / GUEST_PAGE_SIZE);
  self->n_ram_pages = self->next_free_page = (uint32_t) (ram_bytes / GUEST_PAGE_SIZE);
  if (fd < 0)
    {
      self->fd = memfd_create ("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      if (self->fd < 0 || ftruncate (self->fd, (off_t) n_bytes) < 0
          || fcntl (self->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        goto failed;
    }
  else if (fstat (fd, &status) < 0)
    goto failed;
  else if (status.st_size < 0 || (uint64_t) status.st_size < n_bytes)
    {
      errno = EINVAL;
      goto failed;
    }
  self->host = mmap (NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
  if (self->host == MAP_FAILED)
    {
      self->host = NULL;
      goto failed;
    }
  self->map = map_zeroed (N_GUEST_PAGES * sizeof *self->map);
  self->page_flags = calloc (self->n_pages, 1);
  if (!self->map || !self->page_flags)
    {
      errno = ENOMEM;
      goto failed;
    }
  for (uint32_t i = 0; i < N_GUEST_PAGES; i++)
    self->map[i].read = self->map[i].write = i < self->n_ram_pages ? i : GUEST_PAGE_NONE;
  return self;

failed:
  {
    int error = errno;

    if (fd >= 0)
      self->fd = -1;            /* the caller keeps it */
    guest_memory_free (self);
    errno = error;
  }
  return NULL;
}

void
guest_memory_free (GuestMemory *self)
{
  if (!self)
    return;
  if (self->host)
    munmap (self->host, (size_t) self->n_pages * GUEST_PAGE_SIZE);
  if (self->map)
    munmap (self->map, N_GUEST_PAGES * sizeof *self->map);
  if (self->fd >= 0)
    close (self->fd);
  free (self->page_flags);
  free (self);
}

void
guest_memory_add_listener (GuestMemory *self, const GuestMemoryListener *listener)
{
  if (self->n_listeners < sizeof self->listeners / sizeof self->listeners[0])
    self->listeners[self->n_listeners++] = *listener;
}

void
guest_memory_mark_written (GuestMemory *self, uint32_t page, uint32_t offset, uint32_t n_bytes)
{
  bool code = self->page_flags[page] & PAGE_CODE;

  self->page_flags[page] |= PAGE_DIRTY;
  if (code)
    for (unsigned i = 0; i < self->n_listeners; i++)
      if (self->listeners[i].code_written)
        self->listeners[i].code_written (self->listeners[i].listener, page, offset, n_bytes);
}

int
guest_memory_read (GuestMemory *self, uint64_t address, void *ret_bytes, size_t n_bytes)
{
  uint8_t *to = ret_bytes;
  int result = 0;

  while (n_bytes)
    {
      uint32_t offset = address % GUEST_PAGE_SIZE;
      size_t n = GUEST_PAGE_SIZE - offset;
      uint32_t page = address >> 32 ? GUEST_PAGE_NONE : self->map[address / GUEST_PAGE_SIZE].read;

      if (n > n_bytes)
        n = n_bytes;
      if (page == GUEST_PAGE_NONE)
        {
          memset (to, 0xff, n);
          result = -EFAULT;
        }
      else
        memcpy (to, self->host + (size_t) page * GUEST_PAGE_SIZE + offset, n);
      to += n;
      address += n;
      n_bytes -= n;
    }
  return result;
}

int
guest_memory_write (GuestMemory *self, uint64_t address, const void *bytes, size_t n_bytes)
{
  const uint8_t *from = bytes;
  int result = 0;

  while (n_bytes)
    {
      uint32_t offset = address % GUEST_PAGE_SIZE;
      size_t n = GUEST_PAGE_SIZE - offset;
      uint32_t page = address >> 32 ? GUEST_PAGE_NONE : self->map[address / GUEST_PAGE_SIZE].write;

      if (n > n_bytes)
        n = n_bytes;
      if (page == GUEST_PAGE_NONE)
        result = -EFAULT;
      else
        {
          memcpy (self->host + (size_t) page * GUEST_PAGE_SIZE + offset, from, n);
          guest_memory_mark_written (self, page, offset, (uint32_t) n);
          for (unsigned i = 0; i < self->n_listeners; i++)
            if (self->listeners[i].device_wrote)
              self->listeners[i].device_wrote (self->listeners[i].listener, page, offset, (uint32_t) n);
        }
      from += n;
      address += n;
      n_bytes -= n;
    }
  return result;
}

int
guest_memory_allocate (GuestMemory *self, const char *name, uint64_t n_bytes, uint32_t *ret_first_page)
{
  uint64_t n = n_bytes / GUEST_PAGE_SIZE;

  if (n_bytes == 0 || n_bytes % GUEST_PAGE_SIZE)
    return -EINVAL;
  if (n > self->n_pages - self->next_free_page)
    return -ENOMEM;
  *ret_first_page = self->next_free_page;
  self->next_free_page += (uint32_t) n;
  return 0;
}

uint8_t *
guest_memory_backing (GuestMemory *self, uint32_t page)
{
  return page < self->n_pages ? self->host + (size_t) page * GUEST_PAGE_SIZE : NULL;
}

static bool
backing_ok (const GuestMemory *self, uint32_t first, uint32_t n)
{
  return first == GUEST_PAGE_NONE || (first < self->n_pages && n <= self->n_pages - first);
}

static void
tell_map_changed (GuestMemory *self, uint32_t first, uint32_t n)
{
  for (unsigned i = 0; i < self->n_listeners; i++)
    if (self->listeners[i].map_changed)
      self->listeners[i].map_changed (self->listeners[i].listener, first, n);
}

int
guest_memory_map (GuestMemory *self, uint64_t address, uint64_t n_bytes, uint32_t read_first, uint32_t write_first)
{
  uint32_t first = (uint32_t) (address / GUEST_PAGE_SIZE);
  uint32_t n = (uint32_t) (n_bytes / GUEST_PAGE_SIZE);
  bool changed = false;

  if (address % GUEST_PAGE_SIZE || n_bytes % GUEST_PAGE_SIZE || n_bytes == 0 || address >> 32 || n_bytes > (1ull << 32) - address
      || !backing_ok (self, read_first, n) || !backing_ok (self, write_first, n))
    return -EINVAL;
  for (uint32_t i = 0; i < n; i++)
    {
      PhysicalPage page = { read_first == GUEST_PAGE_NONE ? GUEST_PAGE_NONE : read_first + i,
                            write_first == GUEST_PAGE_NONE ? GUEST_PAGE_NONE : write_first + i };
      PhysicalPage *entry = first + i - self->overlay_first < self->overlay_count
                            ? &self->overlay_under[first + i - self->overlay_first] : &self->map[first + i];

      changed |= memcmp (entry, &page, sizeof page) != 0;
      *entry = page;
    }
  /* Firmware writes the same PAM value again and again; the CPU need not forget anything then. */
  if (changed)
    tell_map_changed (self, first, n);
  return 0;
}

int
guest_memory_overlay (GuestMemory *self, uint64_t address, uint64_t n_bytes, uint32_t first_page)
{
  uint32_t first = (uint32_t) (address / GUEST_PAGE_SIZE);
  uint32_t n = (uint32_t) (n_bytes / GUEST_PAGE_SIZE);

  if (first_page == GUEST_PAGE_NONE)
    {
      n = self->overlay_count;
      self->overlay_count = 0;
      for (uint32_t i = 0; i < n; i++)
        self->map[self->overlay_first + i] = self->overlay_under[i];
      if (n)
        tell_map_changed (self, self->overlay_first, n);
      return 0;
    }
  if (address % GUEST_PAGE_SIZE || n_bytes % GUEST_PAGE_SIZE || n == 0 || n > GUEST_OVERLAY_PAGES || address >> 32
      || n_bytes > (1ull << 32) - address || !backing_ok (self, first_page, n) || self->overlay_count)
    return -EINVAL;
  self->overlay_first = first;
  self->overlay_count = n;
  for (uint32_t i = 0; i < n; i++)
    {
      self->overlay_under[i] = self->map[first + i];
      self->map[first + i] = (PhysicalPage) { first_page + i, first_page + i };
    }
  tell_map_changed (self, first, n);
  return 0;
}

bool
guest_memory_is_dirty (GuestMemory *self, uint32_t page)
{
  return page < self->n_pages && self->page_flags[page] & PAGE_DIRTY;
}

void
guest_memory_clear_dirty (GuestMemory *self, uint32_t first_page, uint32_t n_pages)
{
  bool any = false;

  if (first_page >= self->n_pages || n_pages > self->n_pages - first_page)
    return;
  for (uint32_t i = first_page; i < first_page + n_pages; i++)
    {
      any |= self->page_flags[i] & PAGE_DIRTY;
      self->page_flags[i] &= (uint8_t) ~PAGE_DIRTY;
    }
  for (unsigned i = 0; any && i < self->n_listeners; i++)
    if (self->listeners[i].dirty_cleared)
      self->listeners[i].dirty_cleared (self->listeners[i].listener, first_page, n_pages);
}

void
guest_memory_touched (GuestMemory *self, uint32_t first_page, uint32_t n_pages)
{
  if (first_page >= self->n_pages || n_pages > self->n_pages - first_page)
    return;
  for (uint32_t i = first_page; i < first_page + n_pages; i++)
    guest_memory_mark_written (self, i, 0, GUEST_PAGE_SIZE);
}

uint64_t
guest_memory_ram_bytes (GuestMemory *self)
{
  return self->ram_bytes;
}
