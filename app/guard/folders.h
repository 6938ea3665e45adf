/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared folders of the host, each with a label: read-only for a machine that dominates it, writable at an equal label. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

Folders *folders_new (Guard *guard, GError **error);
void     folders_free (Folders *self);

gboolean folders_add (Folders *self, const char *name, const char *path, const Label *label, GError **error);
gboolean folders_remove (Folders *self, const char *name, GError **error);

/* Decides whether a machine of this label may have the folder, and how; with audit records. */
gboolean folders_check (Folders *self, const char *name, const char *machine, const Label *label, gboolean *ret_writable,
                        GError **error);

/* Path of a folder, NULL when there is none; belongs to the registry. */
const char *folders_path (Folders *self, const char *name);

GVariant *folders_list (Folders *self);

G_END_DECLS
