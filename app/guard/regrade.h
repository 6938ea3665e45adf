/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Regrading a file by two roles: a user asks, with a reason; an officer approves, and a copy appears at the new label.  The
 * original keeps its own.  Machines are not regraded. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

Regrades *regrades_new (Guard *guard, GError **error);
void      regrades_free (Regrades *self);

/* The id of the request, or NULL. */
char     *regrades_request (Regrades *self, const char *path, const Label *to, const char *reason, GError **error);

/* The request as a dictionary, floating; NULL on failure. */
GVariant *regrades_decide (Regrades *self, const char *id, gboolean approve, const char *reason, GError **error);
GVariant *regrades_list (Regrades *self);

G_END_DECLS
