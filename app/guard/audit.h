/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The audit trail: audit.jsonl, one JSON object a line, each sealed over the seal before it; audit.head holds number and
 * seal of the last record.  A changed, lost or moved record makes verification fail and name the line; so does a lost
 * tail, because the head remembers it.  Records beyond the head with sound seals are those of a crash and are taken in.
 *
 * Fails closed: audit_append is false when the record is not on disk, and the caller must then not do the deed. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct Audit Audit;

/* Opens or makes the trail in a folder; never fails: a trail that is not sound makes every append fail. */
Audit *audit_open (const char *folder);
void   audit_free (Audit *self);

/* Appends {"n":…,"time":…,"event":event, key:value …,"seal":…}; keys and values in pairs ending with NULL, pairs with a
 * NULL or empty value are left out. Control characters and everything outside ASCII are escaped. */
gboolean audit_append (Audit *self, GError **error, const char *event, ...) G_GNUC_NULL_TERMINATED;

/* NULL when sound (checked again only if the files were touched by others), else why not; belongs to the trail. */
const char *audit_problem (Audit *self);

/* Reads everything.  Writes no record. */
gboolean audit_verify (Audit *self, guint64 *ret_n_records, guint64 *ret_bad_line, char **ret_problem);

/* The newest records first in time order, at most `limit` (0: all), that contain every one of the given pieces of text. */
char **audit_list (Audit *self, guint limit, const char *const *pieces, GError **error);

G_END_DECLS
