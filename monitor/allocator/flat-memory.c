/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "flat-memory.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static int      file = -1;
static uint64_t n_used;         /* parts are not used again: the file is as long as it likes, only what is written counts */

void
flat_memory_use (int fd)
{
  if (fd < 0)
    return;
  if (file >= 0)
    close (file);
  file = fd;
  n_used = 0;
}

void *
flat_memory_map (uint64_t n_bytes)
{
  void *map;

  if (file < 0)
    file = memfd_create ("bulkhead-flat", MFD_CLOEXEC);
  if (file < 0 || n_bytes > INT64_MAX - n_used || ftruncate (file, (off_t) (n_used + n_bytes)) < 0)
    return NULL;
  map = mmap (NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, (off_t) n_used);
  if (map == MAP_FAILED)
    return NULL;
  n_used += n_bytes;
  return map;
}

void
flat_memory_unmap (void *map, uint64_t n_bytes)
{
  if (!map)
    return;
  madvise (map, n_bytes, MADV_REMOVE);
  munmap (map, n_bytes);
}

void
flat_memory_close (void)
{
  if (file >= 0)
    close (file);
  file = -1;
}
