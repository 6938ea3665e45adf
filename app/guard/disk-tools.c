/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "disk-tools.h"

#include "guard-error.h"
#include "image-convert.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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

/* The descriptor stays the caller's. */
static gboolean
open_seam (int fd, gboolean read_only, ImageIo **ret, GError **error)
{
  int copy = fcntl (fd, F_DUPFD_CLOEXEC, 3), result;

  result = copy < 0 ? -errno : image_io_fd_new (copy, read_only, ret);
  if (result == 0)
    return TRUE;
  if (copy >= 0)
    close (copy);
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the disk cannot be used: %s", g_strerror (-result));
  return FALSE;
}

static BlockBackend *
open_image (int fd, const char *format, GError **error)
{
  const char *reason = NULL;
  BlockBackend *image = NULL;
  ImageIo *io = NULL;
  int result;

  if (!image_format_readable (format))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_USAGE, "disks are read as raw, qcow2, vmdk, vdi and vhd, not as \"%s\"", format);
      return NULL;
    }
  if (!open_seam (fd, TRUE, &io, error))
    return NULL;
  result = image_open_io (io, format, TRUE, &image, &reason);
  if (result == 0)
    return image;
  image_io_close (io);
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "no usable %s image: %s", format, reason ? reason : g_strerror (-result));
  return NULL;
}

gboolean
disk_tools_copy (int from_fd, const char *from_format, int to_fd, const char *to_format, GError **error)
{
  BlockBackend *from;
  ImageIo *io = NULL;
  int result;

  if (!image_format_writable (to_format))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_USAGE, "disks are written as raw, qcow2, vmdk and vdi, not as \"%s\"", to_format);
      return FALSE;
    }
  from = open_image (from_fd, from_format, error);
  if (!from)
    return FALSE;
  if (!open_seam (to_fd, FALSE, &io, error))
    {
      block_close (from);
      return FALSE;
    }
  result = image_convert (from, io, to_format, NULL);
  block_close (from);
  if (result == 0 && fsync (to_fd) < 0)
    result = -errno;
  if (result == 0)
    return TRUE;
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the disk cannot be copied: %s", g_strerror (-result));
  return FALSE;
}

guint64
disk_tools_size (int fd, const char *format, GError **error)
{
  BlockBackend *image = open_image (fd, format, error);
  guint64 n_bytes = image ? image->n_bytes : 0;

  block_close (image);
  if (image && !n_bytes)
    g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the disk is empty");
  return n_bytes;
}
