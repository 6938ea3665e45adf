/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opens a disk image by path for a standalone machine or a tool. The format is given, never probed: a guest may write
 * anything into its disk. Guarded machines get descriptors instead. */
#pragma once

#include "block.h"

/* format: "raw", "qcow2", "vmdk", "vdi" or "vhd". A writable image is locked against a second opener (open file description lock).
 * NULL with a sentence that begins with the path in ret_error (freed by the caller). */
BlockBackend *image_open (const char *path, const char *format, bool read_only, char **ret_error);
