/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image.h"

#include "image-convert.h"
#include "raw-image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static BlockBackend * __attribute__ ((format (printf, 2, 3)))
refuse (char **ret_error, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  if (vasprintf (ret_error, format, arguments) < 0)
    *ret_error = NULL;
  va_end (arguments);
  return NULL;
}

/* Two writers destroy an image, and a reader beside a writer sees nonsense. The lock goes with the descriptor. */
static bool
lock_image (int fd, bool read_only)
{
  struct flock lock = { .l_type = (short) (read_only ? F_RDLCK : F_WRLCK), .l_whence = SEEK_SET };

  return fcntl (fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
}

BlockBackend *
image_open (const char *path, const char *format, bool read_only, char **ret_error)
{
  int fd = open (path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
  BlockBackend *block = NULL;
  ImageIo *io = NULL;
  const char *reason = NULL;
  struct stat status;
  int result;

  *ret_error = NULL;
  if (fd < 0 && !read_only && (errno == EACCES || errno == EROFS))
    return refuse (ret_error, "%s: you may not write to it; make it writable, or attach it read-only", path);
  if (fd < 0 || fstat (fd, &status) < 0)
    {
      int error = errno;

      if (fd >= 0)
        close (fd);
      return refuse (ret_error, "%s: %s", path, strerror (error));
    }
  if (!S_ISREG (status.st_mode) && !S_ISBLK (status.st_mode))
    {
      close (fd);
      return refuse (ret_error, "%s: not an image file or a disk", path);
    }
  if (S_ISREG (status.st_mode) && status.st_size == 0)
    {
      close (fd);
      return refuse (ret_error, "%s: the file is empty, which is no %s image", path, format);
    }
  if (!lock_image (fd, read_only))
    {
      close (fd);
      return refuse (ret_error, "%s: another machine or program is using it; stop that first", path);
    }
  if (strcmp (format, "raw") == 0)
    result = raw_image_new (fd, read_only, &block);
  else if (image_format_readable (format))
    {
      result = image_io_fd_new (fd, read_only, &io);
      if (result == 0)
        image_io_fd_set_owned (io, false);
      if (result == 0)
        result = image_open_io (io, format, read_only, &block, &reason);
      if (result == 0)
        image_io_fd_set_owned (io, true);
      else
        image_io_close (io);
      if (result == 0 && !read_only && block->read_only)
        {
          block_close (block);
          return refuse (ret_error, "%s: this kind of %s image can only be read; attach it read-only or convert it", path, format);
        }
    }
  else
    result = -ENOTSUP;
  if (result < 0)
    {
      close (fd);
      return reason ? refuse (ret_error, "%s: no usable %s image: %s (%s)", path, format, reason, strerror (-result))
             : refuse (ret_error, "%s: no usable %s image: %s", path, format, strerror (-result));
    }
  return block;
}
