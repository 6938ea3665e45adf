/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guard without machines behind it: the real D-Bus interface over a socket pair in this process, a library in memory,
 * and a guest screen that the test paints.  It takes every call down, so that a test can ask what was asked. */
#pragma once

#include "display.h"
#include "guard-dbus.h"
#include "protocol.h"

#include <glib.h>

typedef struct FakeGuard FakeGuard;

FakeGuard  *fake_guard_new (void);
void        fake_guard_free (FakeGuard *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FakeGuard, fake_guard_free)

/* The client's end; belongs to the fake. */
BhGuard1   *fake_guard_get_proxy (FakeGuard *self);
/* Adds a machine in a state with a label of the four levels below. */
void        fake_guard_add (FakeGuard *self, const char *name, const char *state, const char *label);
void        fake_guard_set_state (FakeGuard *self, const char *name, const char *state, const char *error);
void        fake_guard_set_status (FakeGuard *self, const char *key, GVariant *value);
const char *fake_guard_get_state (FakeGuard *self, const char *name);
void        fake_guard_ask (FakeGuard *self, guint64 id, GVariant *question);
/* Ends the connection as a guard's death would. */
void        fake_guard_die (FakeGuard *self);
/* The next call of this method fails so. */
void        fake_guard_fail (FakeGuard *self, const char *method, int code, const char *text);

/* Calls since the last clear, as "Method" or "Method(first string argument)". */
gboolean    fake_guard_was_called (FakeGuard *self, const char *call);
guint       fake_guard_count (FakeGuard *self, const char *call);
void        fake_guard_clear_calls (FakeGuard *self);
/* The options of the last call that had some; NULL when there was none. */
GVariant   *fake_guard_get_options (FakeGuard *self);
gboolean    fake_guard_get_answer (FakeGuard *self, gboolean *ret_answered);

/* The guest behind the console of whichever machine was opened last. */
DisplayHeader *fake_guard_get_screen (FakeGuard *self);
guint32       *fake_guard_get_pixels (FakeGuard *self);
/* Fills the screen with a pattern of this size and publishes it. */
void           fake_guard_paint (FakeGuard *self, guint width, guint height, guint32 colour, gboolean absolute);
void           fake_guard_publish (FakeGuard *self, guint x, guint y, guint width, guint height);
/* The next packet that the console sent; FALSE when there is none. */
gboolean       fake_guard_read_input (FakeGuard *self, InputMessage *ret_message);
int            fake_guard_dup_display (FakeGuard *self);
