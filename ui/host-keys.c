/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "host-keys.h"

#include <linux/input-event-codes.h>

BhHostKey
bh_host_key_find (guint keycode, GdkModifierType state, const char *attention)
{
  const GdkModifierType both = GDK_CONTROL_MASK | GDK_ALT_MASK;
  const guint           code = keycode > 8 ? keycode - 8 : 0;
  const gboolean        home = g_strcmp0 (attention, "ctrl+alt+home") == 0;

  if ((state & both) != both)
    return BH_HOST_KEY_NONE;
  switch (code)
    {
    case KEY_PAUSE:
    case KEY_BREAK:
      return home ? BH_HOST_KEY_NONE : BH_HOST_KEY_ATTENTION;
    case KEY_HOME:
    case KEY_KP7:
      return home ? BH_HOST_KEY_ATTENTION : BH_HOST_KEY_NONE;
    case KEY_ENTER:
    case KEY_KPENTER:
      return BH_HOST_KEY_FULLSCREEN;
    case KEY_C:
      return BH_HOST_KEY_TAKE;
    case KEY_V:
      return BH_HOST_KEY_GIVE;
    default:
      return BH_HOST_KEY_NONE;
    }
}

static gboolean
on_key (GtkEventControllerKey *controller, guint keyval, guint keycode, GdkModifierType state, GtkWidget *window)
{
  if (bh_host_key_find (keycode, state, "ctrl+alt+pause") != BH_HOST_KEY_ATTENTION &&
      bh_host_key_find (keycode, state, "ctrl+alt+home") != BH_HOST_KEY_ATTENTION)
    return GDK_EVENT_PROPAGATE;
  gtk_widget_activate_action (window, "app.attention", NULL);
  return GDK_EVENT_STOP;
}

void
bh_host_keys_watch_attention (GtkWidget *window)
{
  GtkEventController *keys = gtk_event_controller_key_new ();

  gtk_event_controller_set_propagation_phase (keys, GTK_PHASE_CAPTURE);
  g_signal_connect (keys, "key-pressed", G_CALLBACK (on_key), window);
  gtk_widget_add_controller (window, keys);
}
