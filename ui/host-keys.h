/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The few key combinations that belong to the host, by hardware key code, so that no layout hides them. */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

typedef enum
{
  BH_HOST_KEY_NONE,
  BH_HOST_KEY_ATTENTION,
  BH_HOST_KEY_FULLSCREEN,       /* Ctrl+Alt+Return */
  BH_HOST_KEY_TAKE,             /* Ctrl+Alt+C: first step of the clipboard */
  BH_HOST_KEY_GIVE,             /* Ctrl+Alt+V: second step */
} BhHostKey;

/* keycode: of the window system (evdev + 8).  attention: "ctrl+alt+pause" or "ctrl+alt+home"; what cannot be read counts as
 * the first. */
BhHostKey bh_host_key_find (guint keycode, GdkModifierType state, const char *attention);

/* For windows without a guest: the attention key works there too. */
void      bh_host_keys_watch_attention (GtkWidget *window);

G_END_DECLS
