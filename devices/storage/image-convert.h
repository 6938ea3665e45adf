/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whole disks into a new image of any format we write; what reads as zero takes no room. */
#pragma once

#include "block.h"
#include "image-io.h"
#include "qcow2.h"

#include <stdbool.h>

/* Whether a format can be opened ("raw", "qcow2", "vmdk", "vdi", "vhd") and written ("raw", "qcow2", "vmdk", "vdi"). */
bool image_format_readable (const char *format);
bool image_format_writable (const char *format);

/* Opens one image file of a named format; io is owned by the image after success, still the caller's after a failure.
 * An image that names a backing or parent file is refused.  qcow2 images with a key or a backing disk: qcow2_open.
 * ret_reason (may be NULL): a constant sentence fragment about a failure. */
int image_open_io (ImageIo *io, const char *format, bool read_only, BlockBackend **ret, const char **ret_reason);

typedef struct
{
  const Qcow2Create *qcow2;     /* for "qcow2": cluster size, encryption …; n_bytes is taken from the source; NULL: defaults */
  const char *name;             /* for "vmdk": the file's own name, which its descriptor repeats; NULL: "disk.vmdk" */
  /* Called now and then; false ends the conversion with -ECANCELED.  May be NULL. */
  bool (*progress) (void *data, uint64_t n_done, uint64_t n_total);
  void *data;
} ImageConvert;

/* Makes an image of that format in the empty file of to_io and copies the whole disk into it; durable when it returns 0.
 * to_io is closed in every case.  The source stays open. */
int image_convert (BlockBackend *from, ImageIo *to_io, const char *format, const ImageConvert *options);

/* Copies the contents of one open disk into another that is at least as large and reads as zero everywhere. */
int image_copy (BlockBackend *from, BlockBackend *to, const ImageConvert *options);
