/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image-fd.h"

#include "raw-image.h"

#include <errno.h>
#include <string.h>

int
image_open_fds (const ImageFd *image, BlockBackend **ret)
{
  if (image->n_fds == 0)
    return -EINVAL;
  if (strcmp (image->format, "raw") == 0)
    return image->n_fds == 1 && !image->key ? raw_image_new (image->fds[0], image->read_only, ret) : -EINVAL;
  return -ENOTSUP;
}
