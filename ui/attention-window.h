/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The trusted list: what the attention key brings.  While it is open no key and no click reaches any guest. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_ATTENTION_WINDOW (bh_attention_window_get_type ())
G_DECLARE_FINAL_TYPE (BhAttentionWindow, bh_attention_window, BH, ATTENTION_WINDOW, AdwWindow)

GtkWidget *bh_attention_window_new (BhLibrary *library);
guint      bh_attention_window_get_n_sessions (BhAttentionWindow *self);

G_END_DECLS
