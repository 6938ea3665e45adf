/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Floppies, CDs and extra disks: which label each file has and who uses it now.  A file that nobody registered has the
 * host's label.  A file is known by its path and by its device and inode: either is enough, the higher label counts. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

Media *media_new (Guard *guard, GError **error);
void   media_free (Media *self);

/* The label of a file, opened (fd) or at least named (fd -1). */
void media_label (Media *self, const char *path, int fd, Label *ret_label);

/* Registers a file or raises its record to the join of the old label and the new one; never lowers. */
gboolean media_raise (Media *self, const char *path, int fd, const Label *label, GError **error);

/* The user registers a file: like media_raise, but a label that would lower the record is refused. */
gboolean media_register (Media *self, const char *path, const Label *label, GError **error);

/* Enters a file that the guard has just made, at any label: the output of a regrade. */
gboolean media_enter (Media *self, const char *path, int fd, const Label *label, GError **error);

/* The guard has deleted the file. */
void media_forget (Media *self, const char *path);

/* Whether the file was ever registered. */
gboolean media_is_registered (Media *self, const char *path, int fd);

/* One writer and nobody else, or readers.  Fails naming the machine that has it. */
gboolean media_claim (Media *self, const char *path, const char *machine, gboolean writable, GError **error);
void     media_release (Media *self, const char *path, const char *machine);
void     media_release_all (Media *self, const char *machine);

/* aa{sv} of ListMedia, floating. */
GVariant *media_list (Media *self);

G_END_DECLS
