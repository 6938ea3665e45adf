/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whole disk images from one format into another. Formats are named, never probed. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* "raw", "qcow2", "vmdk", "vdi" that this build can read; NULL-terminated. */
const char *const *disk_tools_formats (void);

/* The format a file's suffix stands for, else "raw"; a constant. */
const char *disk_tools_format_of (const char *path);

/* Copies the disk's contents; the target is an empty file, holes stay holes.  On disk when it returns true. */
gboolean disk_tools_copy (int from_fd, const char *from_format, int to_fd, const char *to_format, GError **error);

/* Virtual size of the disk in bytes; 0 with an error. */
guint64 disk_tools_size (int fd, const char *format, GError **error);

G_END_DECLS
