/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "disk-tools.h"

#include "guard-error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const *
disk_tools_formats (void)
{
  static const char *const formats[] = { "raw", NULL };

  return formats;
}

const char *
disk_tools_format_of (const char *path)
{
  static const char *const known[] = { "qcow2", "vmdk", "vdi" };
  const char *dot = strrchr (path, '.');

  for (gsize i = 0; dot && i < G_N_ELEMENTS (known); i++)
    if (g_ascii_strcasecmp (dot + 1, known[i]) == 0)
      return known[i];
  return dot && g_ascii_strcasecmp (dot, ".bulkhead") == 0 ? "qcow2" : "raw";
}

static gboolean
check_format (const char *format, GError **error)
{
  if (g_strv_contains (disk_tools_formats (), format))
    return TRUE;
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the disk format \"%s\" is not supported by this build", format);
  return FALSE;
}

static gboolean
failed (GError **error)
{
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the disk cannot be copied: %s", g_strerror (errno));
  return FALSE;
}

static gboolean
copy_range (int from_fd, int to_fd, off_t at, off_t end)
{
  static const gsize n_buffer = 1 << 20;
  g_autofree char *buffer = g_malloc (n_buffer);

  while (at < end)
    {
      ssize_t n = pread (from_fd, buffer, MIN (n_buffer, (gsize) (end - at)), at);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return n == 0;
      for (ssize_t done = 0; done < n;)
        {
          ssize_t m = pwrite (to_fd, buffer + done, (gsize) (n - done), at + done);

          if (m < 0 && errno == EINTR)
            continue;
          if (m <= 0)
            return FALSE;
          done += m;
        }
      at += n;
    }
  return TRUE;
}

gboolean
disk_tools_copy (int from_fd, const char *from_format, int to_fd, const char *to_format, GError **error)
{
  struct stat info;
  off_t data = 0;

  if (!check_format (from_format, error) || !check_format (to_format, error))
    return FALSE;
  if (fstat (from_fd, &info) < 0 || ftruncate (to_fd, info.st_size) < 0)
    return failed (error);
  while (data < info.st_size)
    {
      off_t begin = lseek (from_fd, data, SEEK_DATA), end;

      if (begin < 0 && errno == ENXIO)
        break;
      end = begin < 0 ? info.st_size : lseek (from_fd, begin, SEEK_HOLE);
      if (begin < 0)
        begin = data;
      if (end < 0)
        end = info.st_size;
      if (!copy_range (from_fd, to_fd, begin, end))
        return failed (error);
      data = end;
    }
  return fsync (to_fd) == 0 || failed (error);
}

guint64
disk_tools_size (int fd, const char *format, GError **error)
{
  struct stat info;

  if (!check_format (format, error))
    return 0;
  if (fstat (fd, &info) < 0)
    return failed (error), 0;
  return (guint64) info.st_size;
}
