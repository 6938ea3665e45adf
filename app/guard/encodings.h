/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words, colours, constraints and ranges of labels, from one file.  data/encodings/README describes the format. */
#pragma once

#include "label.h"

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct Encodings Encodings;

#define ENCODINGS_ERROR (encodings_error_quark ())
GQuark encodings_error_quark (void);

enum
{
  ENCODINGS_ERROR_FILE = 1,     /* the file is not sound: the text starts with its line */
  ENCODINGS_ERROR_LABEL,        /* a text is no label, or the label is not valid here */
};

typedef struct
{
  const char *foreground, *background;          /* "#rrggbb" */
  const char *pattern;                          /* circle, square, triangle, diamond, cross, star */
  unsigned    rank;                             /* of the level, from 0 */
} EncodingsColours;

/* Reads and checks a file or a text; NULL with "line N: reason".  Limits: 256 KiB, lines of 1,000 bytes. */
Encodings *encodings_load (const char *path, GError **error);
Encodings *encodings_parse (const char *text, gsize n_bytes, GError **error);
Encodings *encodings_ref (Encodings *self);
void       encodings_unref (Encodings *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Encodings, encodings_unref)

const char *encodings_name (const Encodings *self);
const char *encodings_title (const Encodings *self);
const char *encodings_version (const Encodings *self);

/* The lowest label of these encodings at the default integrity unless the file names another; the clearance range a
 * user has when the officer has set none. */
const Label *encodings_host_label (const Encodings *self);
const Label *encodings_default_label (const Encodings *self);
const Label *encodings_clearance_low (const Encodings *self);
const Label *encodings_clearance_high (const Encodings *self);

/* True when a machine of this label should be encrypted unless its user says otherwise. */
gboolean encodings_wants_encryption (const Encodings *self, const Label *label);

/* Text of a label, banner or canonical, in any case, names or short names; only labels that are valid here. */
gboolean encodings_read_label (const Encodings *self, const char *text, Label *ret_label, GError **error);

/* The same without constraints and ranges, for clearances, which may hold combinations that no data has. */
gboolean encodings_read_clearance (const Encodings *self, const char *text, Label *ret_label, GError **error);

/* Level, words, constraints, ranges. */
gboolean encodings_check_label (const Encodings *self, const Label *label, GError **error);

/* Banner text; the integrity in brackets where it is not the default; canonical text for a label without words here. */
char *encodings_banner (const Encodings *self, const Label *label);

/* Handling instructions of level and words, one per line; "" for none. */
char *encodings_handling (const Encodings *self, const Label *label);

void encodings_colours (const Encodings *self, const Label *label, EncodingsColours *ret_colours);

/* For the label picker: the dictionary of DescribeEncodings; words above `clearance_high` are marked unreachable. */
GVariant *encodings_describe (const Encodings *self, const Label *clearance_high);

G_END_DECLS
