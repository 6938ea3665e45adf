/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disk images of other hypervisors, over the seam of image-io.h.  In all functions io is owned by the image after success,
 * still the caller's after a failure.  Images that continue another file (parents, snapshots) are refused.
 * ret_reason (may be NULL): a constant sentence fragment about a failure. */
#pragma once

#include "block.h"
#include "image-io.h"

#define FOREIGN_MAX_TABLE_BYTES (32u << 20)     /* block maps and grain directories */

/* VMDK, monolithic sparse (read and write) and stream-optimised (read). */
int vmdk_open (ImageIo *io, bool read_only, BlockBackend **ret, const char **ret_reason);
int vmdk_create (ImageIo *io, uint64_t n_bytes, const char *file_name);

/* VDI, dynamic and static. */
int vdi_open (ImageIo *io, bool read_only, BlockBackend **ret, const char **ret_reason);
int vdi_create (ImageIo *io, uint64_t n_bytes);

/* VHD, fixed and dynamic; read only. */
int vhd_open (ImageIo *io, BlockBackend **ret, const char **ret_reason);

static inline uint32_t
foreign_le32 (const uint8_t *at)
{
  return at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24;
}

static inline uint64_t
foreign_le64 (const uint8_t *at)
{
  return foreign_le32 (at) | (uint64_t) foreign_le32 (at + 4) << 32;
}

static inline void
foreign_put_le32 (uint8_t *at, uint32_t value)
{
  for (unsigned i = 0; i < 4; i++)
    at[i] = (uint8_t) (value >> 8 * i);
}

static inline void
foreign_put_le64 (uint8_t *at, uint64_t value)
{
  foreign_put_le32 (at, (uint32_t) value);
  foreign_put_le32 (at + 4, (uint32_t) (value >> 32));
}

static inline bool
foreign_in_range (const BlockBackend *backend, uint64_t offset, uint64_t n_bytes)
{
  return offset <= backend->n_bytes && n_bytes <= backend->n_bytes - offset;
}

static inline int
foreign_because (const char **ret_reason, int error, const char *reason)
{
  if (ret_reason)
    *ret_reason = reason;
  return error;
}
