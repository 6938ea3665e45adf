/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Officer and user.  The officer's passphrase is kept as an Argon2id hash; a connection that gave it holds the role until
 * it logs out or ends. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

Roles   *roles_new (Guard *guard, GError **error);
void     roles_free (Roles *self);

gboolean roles_is_set (Roles *self);

/* Sets or changes the passphrase. */
gboolean roles_set_passphrase (Roles *self, GBytes *passphrase, GError **error);

/* Whether it is the officer's passphrase; recorded either way, and slower with every wrong one. */
gboolean roles_check (Roles *self, GBytes *passphrase, GError **error);

void     roles_enter (Roles *self, gpointer connection);
void     roles_leave (Roles *self, gpointer connection);
gboolean roles_is_officer (Roles *self, gpointer connection);

G_END_DECLS
