/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image-fd.h"

#include "image-convert.h"
#include "raw-image.h"

#include <errno.h>
#include <string.h>

#define MAX_CHAIN 16u

/* One file of a chain.  The seam does not own the descriptor yet. */
static int
open_one (const ImageFd *image, unsigned index, BlockBackend *backing, ImageIo **ret_io, BlockBackend **ret)
{
  bool read_only = image->read_only || index > 0;
  Qcow2Open how = { .backing = backing, .read_only = read_only };
  Qcow2Info info;
  int result = image_io_fd_new (image->fds[index], read_only, ret_io);

  if (result < 0)
    return result;
  image_io_fd_set_owned (*ret_io, false);
  if (image->base_is_raw && index == image->n_fds - 1)
    result = image_open_io (*ret_io, "raw", true, ret, NULL);
  else
    {
      how.io = *ret_io;
      result = qcow2_probe_header (*ret_io, &info, NULL);
      if (result == 0 && info.encrypted)
        {
          how.key = image->key;
          how.n_key = image->n_key;
        }
      if (result == 0)
        result = qcow2_open (&how, ret, NULL);
    }
  if (result < 0)
    {
      image_io_close (*ret_io);
      *ret_io = NULL;
    }
  return result;
}

int
image_open_fds (const ImageFd *image, BlockBackend **ret)
{
  ImageIo *io[MAX_CHAIN] = { NULL };
  BlockBackend *block = NULL;
  unsigned n = image->n_fds;
  int result = 0;

  if (n == 0 || n > MAX_CHAIN || (image->key && image->n_key != QCOW2_KEY_BYTES))
    return -EINVAL;
  if (strcmp (image->format, "raw") == 0)
    return n == 1 && !image->key ? raw_image_new (image->fds[0], image->read_only, ret) : -EINVAL;
  if (strcmp (image->format, "qcow2") != 0)
    return -ENOTSUP;
  if (image->base_is_raw && n == 1)
    return -EINVAL;
  for (unsigned i = n; i-- > 0;)
    {
      BlockBackend *upper = NULL;

      result = open_one (image, i, block, &io[i], &upper);
      if (result < 0)
        {
          block_close (block);          /* the seams below go with it, the descriptors stay the caller's */
          return result;
        }
      block = upper;
    }
  for (unsigned i = 0; i < n; i++)
    image_io_fd_set_owned (io[i], true);
  *ret = block;
  return 0;
}
