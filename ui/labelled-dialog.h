/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asks for a label, and for a name or a yes or no where the thing to be labelled needs one. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

typedef void (*BhLabelledFunc) (const char *name, const char *label, gboolean option, gpointer data);

/* name: proposed, NULL for no name row.  option: text of a switch, NULL for none.  callback only when accepted. */
void bh_labelled_dialog_ask (GtkWidget *from, BhLibrary *library, const char *heading, const char *body,
                             const char *accept, const char *name, const char *label, const char *option,
                             BhLabelledFunc callback, gpointer data, GDestroyNotify destroy);

G_END_DECLS
