/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "disk-tools.h"

#include "guard-error.h"
#include "image-convert.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const char *const *
disk_tools_formats (void)
{
  static const char *const formats[] = { "raw", "qcow2", "vmdk", "vdi", "vhd", NULL };

  return formats;
}

const char *
disk_tools_format_of (const char *path)
{
  static const char *const known[] = { "qcow2", "vmdk", "vdi", "vhd" };
  const char *dot = strrchr (path, '.');

  for (gsize i = 0; dot && i < G_N_ELEMENTS (known); i++)
    if (g_ascii_strcasecmp (dot + 1, known[i]) == 0)
      return known[i];
  return dot && g_ascii_strcasecmp (dot, ".bulkhead") == 0 ? "qcow2" : "raw";
}

/* A seam over a descriptor that stays the caller's. */
static ImageIo *
seam_of (int fd, gboolean read_only, GError **error)
{
  ImageIo *io = NULL;
  int result = image_io_fd_new (fd, read_only, &io);

  if (result < 0)
    g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the disk image cannot be used: %s", g_strerror (-result));
  else
    image_io_fd_set_owned (io, FALSE);
  return io;
}

static BlockBackend *
open_disk (int fd, const char *format, GError **error)
{
  BlockBackend *block = NULL;
  const char *reason = NULL;
  ImageIo *io;
  int result;

  if (!image_format_readable (format))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the disk format \"%s\" is not supported by this build", format);
      return NULL;
    }
  io = seam_of (fd, TRUE, error);
  if (!io)
    return NULL;
  result = image_open_io (io, format, TRUE, &block, &reason);
  if (result == 0)
    return block;
  image_io_close (io);
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "this is no usable %s image: %s (%s)", format, reason, g_strerror (-result));
  return NULL;
}

gboolean
disk_tools_copy (int from_fd, const char *from_format, int to_fd, const char *to_format, GError **error)
{
  BlockBackend *from;
  ImageIo *to;
  int result;

  if (!image_format_writable (to_format))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "disks of the format \"%s\" cannot be written by this build", to_format);
      return FALSE;
    }
  from = open_disk (from_fd, from_format, error);
  if (!from)
    return FALSE;
  to = seam_of (to_fd, FALSE, error);
  if (!to)
    {
      block_close (from);
      return FALSE;
    }
  result = image_convert (from, to, to_format, NULL);
  block_close (from);
  if (result == 0 && fsync (to_fd) < 0)
    result = -errno;
  if (result < 0)
    g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the disk cannot be copied: %s", g_strerror (-result));
  return result == 0;
}

guint64
disk_tools_size (int fd, const char *format, GError **error)
{
  BlockBackend *block = open_disk (fd, format, error);
  guint64 n_bytes;

  if (!block)
    return 0;
  n_bytes = block->n_bytes;
  block_close (block);
  if (n_bytes == 0)
    g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the disk is empty");
  return n_bytes;
}
