/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Telling the user something in the window where it happened: a toast for what is over, a dialog for what needs reading. */
#pragma once

#include <adwaita.h>

G_BEGIN_DECLS

/* A window that has a toast overlay says so once. */
void bh_messages_set_overlay (GtkWindow *window, AdwToastOverlay *overlay);

/* Shows text in the window of `from`; falls back to a dialog where there is no overlay. */
void bh_messages_toast (GtkWidget *from, const char *text);

/* Why something did not work. A refusal by policy keeps all of the guard's words (channel, both labels, failing half)
 * in a dialog; so does anything long. Cancelled calls are silent. */
void bh_messages_error (GtkWidget *from, const char *heading, GError *error);

/* A dialog with one text entry; callback gets the text, or NULL when cancelled. */
typedef void (*BhTextFunc) (const char *text, gpointer data);
void bh_messages_ask_text (GtkWidget *from, const char *heading, const char *body, const char *accept,
                           const char *initial, gboolean secret, BhTextFunc callback, gpointer data,
                           GDestroyNotify destroy);

/* A dialog with a verb button; callback is called only when the user chose it. */
typedef void (*BhConfirmFunc) (gpointer data);
void bh_messages_confirm (GtkWidget *from, const char *heading, const char *body, const char *accept,
                          gboolean destructive, BhConfirmFunc callback, gpointer data, GDestroyNotify destroy);

GtkWindow *bh_messages_window_of (GtkWidget *widget);

G_END_DECLS
