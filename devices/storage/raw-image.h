/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A plain file (or block device) as a disk: byte n of the disk is byte n of the file. */
#pragma once

#include "block.h"

/* fd: an open regular file or block device, owned by the image after success (closed by block_close), still the
 * caller's after a failure.  read_only is forced when fd was not opened for writing.
 * Errors: -EINVAL for anything else than a file or block device, -ENOMEM, errno of
 * fstat and lseek. */
int raw_image_new (int fd, bool read_only, BlockBackend **ret);
