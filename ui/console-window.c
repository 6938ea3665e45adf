/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console-window.h"

#include "guard-call.h"
#include "host-keys.h"
#include "label-strip.h"
#include "machine-actions.h"
#include "sound-player.h"
#include "user-messages.h"

#include <gio/gunixfdlist.h>
#include <glib/gi18n.h>

enum
{
  HINT_SECONDS      = 3,
  BAR_DWELL_MS      = 300,
  BAR_HIDE_MS       = 600,
  THUMBNAIL_SECONDS = 2,
  THUMBNAIL_WIDTH   = 320,
  THUMBNAIL_HEIGHT  = 240,
};

struct _BhConsoleWindow
{
  AdwApplicationWindow parent_instance;
  BhLibrary           *library;
  BhMachine           *machine;
  GSettings           *settings;
  BhSoundPlayer       *sound;
  GCancellable        *connecting;
  gboolean             connected, was_connected, starting, frozen, painted, closing, in_bar;
  guint                hint_source, bar_source, thumbnail_source, fit_source, n_fits;
  char                *ended;           /* why there is no console though the machine lives */
  GCancellable        *drag_question;
  gboolean             drag_allowed;

  GMenu               *keys_section, *media_section;
  GtkWidget           *strip_top, *strip_bottom, *header, *title, *run_button, *power_button, *menu_button;
  GtkWidget           *fullscreen_button, *keys_button, *notice_revealer, *notice_box, *notice_icon, *notice_label;
  GtkWidget           *notice_action, *notice_close, *toasts, *overlay, *stack, *starting_label, *view, *still_page;
  GtkWidget           *still_start, *hint_revealer, *hint_label, *refusal_revealer, *refusal_label, *bar_revealer;
  GtkWidget           *bar_title, *bar_run, *bar_power, *bar_keys, *bar_menu;
};

static void machine_host_init (BhMachineHostInterface *iface);
static void refresh (BhConsoleWindow *self);

G_DEFINE_FINAL_TYPE_WITH_CODE (BhConsoleWindow, bh_console_window, ADW_TYPE_APPLICATION_WINDOW,
                               G_IMPLEMENT_INTERFACE (BH_TYPE_MACHINE_HOST, machine_host_init))

static BhMachine *
host_get_machine (BhMachineHost *host)
{
  return BH_CONSOLE_WINDOW (host)->machine;
}

static BhLibrary *
host_get_library (BhMachineHost *host)
{
  return BH_CONSOLE_WINDOW (host)->library;
}

static void
machine_host_init (BhMachineHostInterface *iface)
{
  iface->get_machine = host_get_machine;
  iface->get_library = host_get_library;
}

/* ------------------------------------------------------------------------------------------------ hints */

static gboolean
hide_hint (gpointer data)
{
  BhConsoleWindow *self = data;

  self->hint_source = 0;
  gtk_revealer_set_reveal_child (GTK_REVEALER (self->hint_revealer), FALSE);
  return G_SOURCE_REMOVE;
}

static void
show_hint (BhConsoleWindow *self, const char *text)
{
  gtk_label_set_text (GTK_LABEL (self->hint_label), text);
  gtk_revealer_set_reveal_child (GTK_REVEALER (self->hint_revealer), TRUE);
  g_clear_handle_id (&self->hint_source, g_source_remove);
  self->hint_source = g_timeout_add_seconds (HINT_SECONDS, hide_hint, self);
}

static void
on_captured (BhConsoleWindow *self)
{
  if (bh_guest_view_get_captured (BH_GUEST_VIEW (self->view)))
    show_hint (self, _("Press Ctrl+Alt to release the mouse"));
  refresh (self);
}

/* ------------------------------------------------------------------------------------------------ the console's descriptors */

static int
take_fd (GUnixFDList *fds, GVariant *handle)
{
  const int index = handle ? g_variant_get_handle (handle) : -1;

  if (fds == NULL || index < 0 || index >= g_unix_fd_list_get_length (fds))
    return -1;
  return g_unix_fd_list_get (fds, index, NULL);
}

static void
disconnect_console (BhConsoleWindow *self)
{
  if (self->connecting != NULL)
    g_cancellable_cancel (self->connecting);
  g_clear_object (&self->connecting);
  self->connected = FALSE;
  bh_guest_view_set_console (BH_GUEST_VIEW (self->view), NULL, NULL);
  g_clear_object (&self->sound);
}

static void
on_console_opened (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant)        display = NULL, frame = NULL, input = NULL, sound = NULL, info = NULL;
  g_autoptr (GUnixFDList)     fds = NULL;
  g_autoptr (GError)          error = NULL;
  g_autoptr (BhDisplaySource) screen = NULL;
  g_autoptr (BhInputChannel)  channel = NULL;
  BhConsoleWindow            *self;
  int                         display_fd, frame_fd, input_fd, sound_fd;

  if (!bh_guard1_call_open_console_finish (BH_GUARD1 (source), &display, &frame, &input, &sound, &info, &fds, result,
                                           &error))
    {
      if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
      self = BH_CONSOLE_WINDOW (data);
      g_clear_object (&self->connecting);
      g_free (self->ended);
      g_dbus_error_strip_remote_error (error);
      self->ended = g_strdup (error->message);
      refresh (self);
      return;
    }
  self = BH_CONSOLE_WINDOW (data);
  g_clear_object (&self->connecting);
  display_fd = take_fd (fds, display);
  frame_fd = take_fd (fds, frame);
  input_fd = take_fd (fds, input);
  sound_fd = take_fd (fds, sound);
  screen = bh_display_source_new (display_fd, frame_fd, &error);
  if (input_fd >= 0)
    channel = bh_input_channel_new (input_fd);
  if (screen == NULL)
    {
      g_free (self->ended);
      self->ended = g_strdup (error->message);
      if (sound_fd >= 0)
        close (sound_fd);
      refresh (self);
      return;
    }
  if (channel != NULL)
    bh_input_channel_set_frozen (channel, self->frozen);
  bh_guest_view_set_console (BH_GUEST_VIEW (self->view), screen, channel);
  if (sound_fd >= 0)
    {
      g_autoptr (GError) sound_error = NULL;

      self->sound = bh_sound_player_new (sound_fd, bh_machine_get_name (self->machine), &sound_error);
      if (self->sound == NULL)
        g_debug ("%s", sound_error->message);
    }
  self->connected = self->was_connected = TRUE;
  g_clear_pointer (&self->ended, g_free);
  refresh (self);
  gtk_widget_grab_focus (self->view);
}

static void
connect_console (BhConsoleWindow *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  if (self->connected || self->connecting != NULL || guard == NULL || self->ended != NULL)
    return;
  self->connecting = g_cancellable_new ();
  bh_guard1_call_open_console (guard, bh_machine_get_name (self->machine),
                               bh_no_options (), NULL, self->connecting,
                               on_console_opened, self);
}

static void
on_console_closed (BhLibrary *library, const char *name, const char *reason, BhConsoleWindow *self)
{
  if (!g_str_equal (name, bh_machine_get_name (self->machine)) || !self->connected)
    return;
  disconnect_console (self);
  if (g_str_equal (reason, "taken"))
    {
      g_free (self->ended);
      self->ended = g_strdup (_("Another program has opened this machine’s console."));
    }
  refresh (self);
}

/* ------------------------------------------------------------------------------------------------ what the window says */

static gboolean
is_fullscreen (BhConsoleWindow *self)
{
  return gtk_window_is_fullscreen (GTK_WINDOW (self));
}

static void
set_run_button (GtkWidget *button, BhMachineState state)
{
  const char *icon = "media-playback-start-symbolic", *action = "machine.start", *text = _("Start");

  if (state == BH_MACHINE_RUNNING)
    {
      icon = "media-playback-pause-symbolic";
      action = "machine.pause";
      text = _("Pause");
    }
  else if (state == BH_MACHINE_PAUSED)
    {
      action = "machine.resume";
      text = _("Resume");
    }
  gtk_button_set_icon_name (GTK_BUTTON (button), icon);
  gtk_actionable_set_action_name (GTK_ACTIONABLE (button), action);
  gtk_widget_set_tooltip_text (button, text);
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
}

static const char *
subtitle (BhConsoleWindow *self)
{
  BhGuestView *view = BH_GUEST_VIEW (self->view);

  if (self->frozen)
    return _("Input frozen");
  if (bh_machine_get_state (self->machine) != BH_MACHINE_RUNNING || !self->connected)
    return self->starting ? _("Starting…") : bh_machine_get_state_text (self->machine);
  if (bh_guest_view_get_captured (view))
    return _("Ctrl+Alt releases the mouse");
  if (!bh_guest_view_get_mouse_absolute (view))
    return _("Click to give it the mouse, Ctrl+Alt releases");
  return bh_machine_get_state_text (self->machine);
}

static const char *
focus_note (BhConsoleWindow *self)
{
  BhGuestView *view = BH_GUEST_VIEW (self->view);

  if (self->frozen)
    return _("Input frozen");
  if (!bh_guest_view_get_active (view))
    return "";
  if (is_fullscreen (self) && !bh_guest_view_has_shortcuts (view))
    return _("Keyboard here, the desktop keeps its own keys");
  return bh_guest_view_get_captured (view) ? _("Keyboard and mouse here") : _("Keyboard here");
}

static void
show_notice (BhConsoleWindow *self, const char *text, const char *button, const char *action, gboolean error)
{
  gtk_label_set_text (GTK_LABEL (self->notice_label), text ? text : "");
  gtk_widget_set_visible (self->notice_action, button != NULL);
  if (button != NULL)
    {
      gtk_button_set_label (GTK_BUTTON (self->notice_action), button);
      gtk_actionable_set_action_name (GTK_ACTIONABLE (self->notice_action), action);
    }
  if (error)
    gtk_widget_add_css_class (self->notice_box, "error");
  else
    gtk_widget_remove_css_class (self->notice_box, "error");
  gtk_revealer_set_reveal_child (GTK_REVEALER (self->notice_revealer), text != NULL);
}

static void
refresh_still_page (BhConsoleWindow *self)
{
  AdwStatusPage       *page = ADW_STATUS_PAGE (self->still_page);
  const BhMachineState state = bh_machine_get_state (self->machine);
  const char          *error = bh_lookup_string (bh_machine_get_details (self->machine), "error", "");
  const char          *icon = "system-shutdown-symbolic", *text = _("_Power On"), *description = "";

  if (state == BH_MACHINE_CRASHED)
    {
      icon = "dialog-warning-symbolic";
      text = _("_Restart");
      description = *error ? error : _("Its monitor ended without a word.");
    }
  else if (state == BH_MACHINE_SUSPENDED)
    {
      icon = "weather-clear-night-symbolic";
      text = _("_Resume");
      description = _("It goes on from where it was.");
    }
  else if (*error)
    description = error;
  else if (!bh_library_get_online (self->library))
    description = _("There is no connection to the guard.");
  adw_status_page_set_icon_name (page, icon);
  adw_status_page_set_title (page, bh_machine_get_state_text (self->machine));
  adw_status_page_set_description (page, description);
  gtk_button_set_label (GTK_BUTTON (self->still_start), text);
}

static void
refresh_media (BhConsoleWindow *self)
{
  g_autoptr (GVariant) media = g_variant_lookup_value (bh_machine_get_details (self->machine), "media",
                                                       G_VARIANT_TYPE ("aa{sv}"));
  GVariantIter         iter;
  GVariant            *medium;
  gboolean             any = FALSE;

  g_menu_remove_all (self->media_section);
  if (media != NULL)
    {
      g_variant_iter_init (&iter, media);
      while ((medium = g_variant_iter_next_value (&iter)) != NULL)
        {
          const char      *slot = bh_lookup_string (medium, "slot", "");
          const char      *path = bh_lookup_string (medium, "path", "");
          g_autofree char *file = *path ? g_path_get_basename (path) : NULL;
          g_autofree char *text = NULL, *insert = NULL, *eject = NULL;
          GMenu           *part = g_menu_new ();

          insert = g_strdup_printf ("win.insert::%s", slot);
          eject = g_strdup_printf ("win.eject::%s", slot);
          g_menu_append (part, _("_Insert…"), insert);
          if (file != NULL)
            g_menu_append (part, _("_Eject"), eject);
          /* Translators: a drive and what is in it. */
          text = g_strdup_printf (_("%s: %s"), g_str_has_prefix (slot, "cdrom") ? _("CD") : _("Floppy"),
                                  file ? file : _("empty"));
          g_menu_append_section (self->media_section, text, G_MENU_MODEL (part));
          g_object_unref (part);
          g_variant_unref (medium);
          any = TRUE;
        }
    }
  if (!any)
    {
      g_menu_append (self->media_section, _("Insert a _CD…"), "win.insert::cdrom0");
      g_menu_append (self->media_section, _("Insert a _Floppy…"), "win.insert::floppy0");
    }
}

static void
enable (BhConsoleWindow *self, const char *action, gboolean enabled)
{
  GAction *found = g_action_map_lookup_action (G_ACTION_MAP (self), action);

  g_simple_action_set_enabled (G_SIMPLE_ACTION (found), enabled);
}

/* Everything the window shows follows from the machine's state and the console's; nothing is remembered twice. */
static void
refresh (BhConsoleWindow *self)
{
  const BhMachineState state = bh_machine_get_state (self->machine);
  const BhLabelLook   *look = bh_machine_get_look (self->machine);
  const char          *name = bh_machine_get_name (self->machine);
  const gboolean       alive = bh_machine_is_alive (self->machine) && bh_library_get_online (self->library);
  const gboolean       fullscreen = is_fullscreen (self);
  const char          *page;

  if (self->closing)
    return;
  if (alive)
    {
      self->starting = FALSE;
      connect_console (self);
    }
  else if (self->connected || self->connecting != NULL)
    disconnect_console (self);

  if (alive && self->connected)
    page = "screen";
  else if (self->starting || (alive && self->ended == NULL))
    page = "starting";
  else if (alive)
    page = "screen";
  else if (state == BH_MACHINE_CRASHED && self->was_connected)
    page = "screen";            /* the last picture, dimmed, below the notice */
  else
    page = "still";
  gtk_stack_set_visible_child_name (GTK_STACK (self->stack), page);
  refresh_still_page (self);

  /* Nobody is kept in a full screen whose guest is gone. */
  if (fullscreen && !alive && !self->starting)
    gtk_window_unfullscreen (GTK_WINDOW (self));

  if (!bh_library_get_online (self->library))
    show_notice (self, bh_library_get_problem (self->library), _("_Reconnect"), "app.reconnect", TRUE);
  else if (alive && self->ended != NULL)
    show_notice (self, self->ended, _("_Open Here"), "win.reopen", FALSE);
  else if (state == BH_MACHINE_CRASHED && self->was_connected)
    {
      const char      *error = bh_lookup_string (bh_machine_get_details (self->machine), "error", "");
      g_autofree char *text = g_strdup_printf ("%s %s", _("The machine stopped unexpectedly."), error);

      show_notice (self, text, _("_Restart"), "machine.start", TRUE);
    }
  else
    show_notice (self, NULL, NULL, NULL, FALSE);

  bh_label_strip_set_look (BH_LABEL_STRIP (self->strip_top), look);
  bh_label_strip_set_look (BH_LABEL_STRIP (self->strip_bottom), look);
  bh_label_strip_set_caption (BH_LABEL_STRIP (self->strip_top), name);
  bh_label_strip_set_caption (BH_LABEL_STRIP (self->strip_bottom), name);
  bh_label_strip_set_note (BH_LABEL_STRIP (self->strip_top), focus_note (self));
  bh_label_strip_set_note (BH_LABEL_STRIP (self->strip_bottom), focus_note (self));

  gtk_window_set_title (GTK_WINDOW (self), name);
  adw_window_title_set_title (ADW_WINDOW_TITLE (self->title), name);
  adw_window_title_set_subtitle (ADW_WINDOW_TITLE (self->title), subtitle (self));
  gtk_label_set_text (GTK_LABEL (self->bar_title), name);
  set_run_button (self->run_button, state);
  set_run_button (self->bar_run, state);
  gtk_widget_set_visible (self->header, !fullscreen);
  if (!fullscreen)
    gtk_revealer_set_reveal_child (GTK_REVEALER (self->bar_revealer), FALSE);
  gtk_widget_set_visible (self->bar_revealer, fullscreen);

  enable (self, "send-keys", alive);
  enable (self, "type-text", alive);
  enable (self, "screenshot", alive);
  enable (self, "record-sound", self->sound != NULL);
  enable (self, "clipboard-take", alive);
  enable (self, "clipboard-give", alive);
  refresh_media (self);
  bh_machine_actions_update (BH_MACHINE_HOST (self));
}

/* ------------------------------------------------------------------------------------------------ size and full screen */

/* Makes the window as large as shows the guest pixel for pixel, or as much of that as the screen has.  What a window's
 * default size counts besides its content differs between decorations: the difference that is left tells. */
static gboolean
fit_window (BhConsoleWindow *self)
{
  GdkSurface  *surface = gtk_native_get_surface (GTK_NATIVE (self));
  GdkMonitor  *monitor;
  GdkRectangle room = { 0, 0, 1280, 800 };
  const int    factor = gtk_widget_get_scale_factor (self->view);
  int          guest_width, guest_height, width, height, old_width, old_height;

  if (!bh_guest_view_get_guest_size (BH_GUEST_VIEW (self->view), &guest_width, &guest_height))
    return FALSE;
  if (gtk_window_is_maximized (GTK_WINDOW (self)) || is_fullscreen (self) || !gtk_widget_get_mapped (self->view))
    return FALSE;
  monitor = surface ? gdk_display_get_monitor_at_surface (gtk_widget_get_display (GTK_WIDGET (self)), surface) : NULL;
  if (monitor != NULL)
    gdk_monitor_get_geometry (monitor, &room);
  gtk_window_get_default_size (GTK_WINDOW (self), &old_width, &old_height);
  if (old_width <= 0 || old_height <= 0)
    {
      old_width = gtk_widget_get_width (GTK_WIDGET (self));
      old_height = gtk_widget_get_height (GTK_WIDGET (self));
    }
  width = MIN (old_width + guest_width / factor - gtk_widget_get_width (self->view), (int) (room.width * 0.95));
  height = MIN (old_height + guest_height / factor - gtk_widget_get_height (self->view), (int) (room.height * 0.92));
  if (width == old_width && height == old_height)
    return FALSE;
  gtk_window_set_default_size (GTK_WINDOW (self), width, height);
  return TRUE;
}

static gboolean
on_fit_time (gpointer data)
{
  BhConsoleWindow *self = data;

  if (++self->n_fits < 4 && fit_window (self))
    return G_SOURCE_CONTINUE;
  self->fit_source = 0;
  return G_SOURCE_REMOVE;
}

static void
start_fitting (BhConsoleWindow *self)
{
  self->n_fits = 0;
  if (self->fit_source == 0)
    self->fit_source = g_timeout_add_full (G_PRIORITY_LOW, 60, on_fit_time, self, NULL);
}

static void
on_guest_resized (BhGuestView *view, BhConsoleWindow *self)
{
  /* After the layout that is under way: the sizes around the picture are taken from it. */
  if (self->settings == NULL || g_settings_get_boolean (self->settings, "follow-guest-size"))
    start_fitting (self);
  refresh (self);
}

static void
on_fullscreened (BhConsoleWindow *self)
{
  const gboolean fullscreen = is_fullscreen (self);

  bh_guest_view_set_grab_shortcuts (BH_GUEST_VIEW (self->view), fullscreen);
  if (fullscreen)
    show_hint (self, _("Ctrl+Alt+Return leaves full screen"));
  refresh (self);
}

static void
toggle_fullscreen (BhConsoleWindow *self)
{
  /* The modifiers of the hot key have already reached the guest. */
  bh_guest_view_release (BH_GUEST_VIEW (self->view));
  if (is_fullscreen (self))
    gtk_window_unfullscreen (GTK_WINDOW (self));
  else
    gtk_window_fullscreen (GTK_WINDOW (self));
  gtk_widget_grab_focus (self->view);
}

static gboolean
menu_is_open (BhConsoleWindow *self)
{
  GtkWidget *buttons[] = { self->bar_power, self->bar_keys, self->bar_menu };

  for (guint i = 0; i < G_N_ELEMENTS (buttons); i++)
    {
      GtkPopover *popover = gtk_menu_button_get_popover (GTK_MENU_BUTTON (buttons[i]));

      if (popover != NULL && gtk_widget_get_visible (GTK_WIDGET (popover)))
        return TRUE;
    }
  return FALSE;
}

static gboolean
on_bar_time (gpointer data)
{
  BhConsoleWindow *self = data;

  if (!self->in_bar && menu_is_open (self))
    return G_SOURCE_CONTINUE;
  self->bar_source = 0;
  gtk_revealer_set_reveal_child (GTK_REVEALER (self->bar_revealer), self->in_bar && is_fullscreen (self));
  return G_SOURCE_REMOVE;
}

/* The bar comes when the pointer rests at the top edge of the guest and goes when it has left the bar. */
static void
on_overlay_motion (GtkEventControllerMotion *motion, double x, double y, BhConsoleWindow *self)
{
  const gboolean shown = gtk_revealer_get_reveal_child (GTK_REVEALER (self->bar_revealer));
  const int      edge = shown ? gtk_widget_get_height (self->bar_revealer) + 24 : 2;
  const gboolean in_bar = y <= edge && !bh_guest_view_get_captured (BH_GUEST_VIEW (self->view));

  if (!is_fullscreen (self) || in_bar == self->in_bar)
    return;
  self->in_bar = in_bar;
  g_clear_handle_id (&self->bar_source, g_source_remove);
  if (in_bar != shown)
    self->bar_source = g_timeout_add (in_bar ? BAR_DWELL_MS : BAR_HIDE_MS, on_bar_time, self);
}

/* ------------------------------------------------------------------------------------------------ the host's own keys */

/* Before the guest view, wherever the focus is: these keys never reach a guest, neither pressed nor released. */
static gboolean
on_host_key (GtkEventControllerKey *controller, guint keyval, guint keycode, GdkModifierType state, BhConsoleWindow *self)
{
  GVariant   *status = bh_library_get_status (self->library);
  const char *attention = bh_lookup_string (status, "attention-key", "ctrl+alt+pause");

  switch (bh_host_key_find (keycode, state, attention))
    {
    case BH_HOST_KEY_ATTENTION:
      bh_guest_view_release (BH_GUEST_VIEW (self->view));
      gtk_widget_activate_action (GTK_WIDGET (self), "app.attention", NULL);
      return GDK_EVENT_STOP;
    case BH_HOST_KEY_FULLSCREEN:
      toggle_fullscreen (self);
      return GDK_EVENT_STOP;
    case BH_HOST_KEY_TAKE:
      bh_guest_view_release (BH_GUEST_VIEW (self->view));
      gtk_widget_activate_action (GTK_WIDGET (self), "win.clipboard-take", NULL);
      return GDK_EVENT_STOP;
    case BH_HOST_KEY_GIVE:
      bh_guest_view_release (BH_GUEST_VIEW (self->view));
      gtk_widget_activate_action (GTK_WIDGET (self), "win.clipboard-give", NULL);
      return GDK_EVENT_STOP;
    case BH_HOST_KEY_NONE:
    default:
      return GDK_EVENT_PROPAGATE;
    }
}

/* ------------------------------------------------------------------------------------------------ power on */

static void
on_started (GError *error, gpointer data)
{
  BhConsoleWindow *self = data;

  self->starting = FALSE;
  if (self->closing)
    return;
  /* Where the monitor came up and died, the page behind says so already. */
  if (error != NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) &&
      bh_machine_get_state (self->machine) != BH_MACHINE_CRASHED)
    {
      g_autofree char *heading = g_strdup_printf (_("Cannot start “%s”"), bh_machine_get_name (self->machine));

      bh_messages_error (GTK_WIDGET (self), heading, error);
    }
  refresh (self);
}

void
bh_console_window_power_on (BhConsoleWindow *self)
{
  g_return_if_fail (BH_IS_CONSOLE_WINDOW (self));

  if (bh_machine_is_alive (self->machine) || self->starting)
    return;
  self->starting = TRUE;
  self->was_connected = FALSE;
  g_clear_pointer (&self->ended, g_free);
  gtk_label_set_text (GTK_LABEL (self->starting_label),
                      bh_machine_get_state (self->machine) == BH_MACHINE_SUSPENDED ? _("Restoring the machine…")
                                                                                  : _("Powering on…"));
  refresh (self);
  bh_machine_start (GTK_WIDGET (self), self->library, self->machine, on_started, g_object_ref (self), g_object_unref);
}

/* ------------------------------------------------------------------------------------------------ actions */

typedef struct
{
  GWeakRef self;
  char    *heading, *done;
} Call;

static Call *
call_new (BhConsoleWindow *self, const char *heading, const char *done)
{
  Call *call = g_new0 (Call, 1);

  g_weak_ref_init (&call->self, self);
  call->heading = g_strdup (heading);
  call->done = g_strdup (done);
  return call;
}

static void
call_free (Call *call)
{
  g_weak_ref_clear (&call->self);
  g_free (call->heading);
  g_free (call->done);
  g_free (call);
}

static void
activate_fullscreen (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  toggle_fullscreen (data);
}

static void
activate_natural_size (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  start_fitting (data);
}

static void
activate_reopen (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhConsoleWindow *self = data;

  g_clear_pointer (&self->ended, g_free);
  refresh (self);
}

static void
activate_send_keys (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhConsoleWindow *self = data;

  if (!self->frozen)
    bh_guard_call (GTK_WIDGET (self), self->library, "Key", g_variant_new ("(ss)", bh_machine_get_name (self->machine),
                g_variant_get_string (parameter, NULL)), _("Cannot send keys"), NULL);
}

static void
on_type_text (const char *text, gpointer data)
{
  BhConsoleWindow *self = data;

  if (text != NULL && !self->frozen)
    bh_guard_call (GTK_WIDGET (self), self->library, "Type", g_variant_new ("(ss)", bh_machine_get_name (self->machine), text), _("Cannot type"), NULL);
}

static void
activate_type_text (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  bh_messages_ask_text (data, _("Type Text"), _("The text is typed into the guest as keys of a US keyboard."),
                        _("_Type"), NULL, FALSE, on_type_text, g_object_ref (data), g_object_unref);
}

static void
on_screenshot_taken (GObject *source, GAsyncResult *result, gpointer data)
{
  Call                       *call = data;
  g_autoptr (BhConsoleWindow) self = g_weak_ref_get (&call->self);
  g_autoptr (GVariant)        png = NULL, info = NULL;
  g_autoptr (GUnixFDList)     fds = NULL;
  g_autoptr (GError)          error = NULL;
  const gboolean              done = bh_guard1_call_screenshot_finish (BH_GUARD1 (source), &png, &info, &fds, result, &error);

  if (self != NULL && !done)
    bh_messages_error (GTK_WIDGET (self), call->heading, error);
  else if (self != NULL)
    bh_messages_toast (GTK_WIDGET (self), call->done);
  call_free (call);
}

static char *
file_name (BhConsoleWindow *self, const char *suffix)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char      *time = g_date_time_format (now, "%Y-%m-%d %H-%M-%S");
  g_autofree char      *name = g_strdelimit (g_strdup (bh_machine_get_name (self->machine)), "/", '_');

  return g_strdup_printf ("%s %s.%s", name, time, suffix);
}

static void
choose_file (BhConsoleWindow *self, const char *title, GtkFileChooserAction action, const char *accept, const char *name,
             GUserDirectory folder, GCallback callback, const char *tag)
{
  GtkFileChooserNative *dialog = gtk_file_chooser_native_new (title, GTK_WINDOW (self), action, accept, _("_Cancel"));

  if (name != NULL)
    {
      const char *path = g_get_user_special_dir (folder);

      gtk_file_chooser_set_current_name (GTK_FILE_CHOOSER (dialog), name);
      if (path != NULL)
        {
          g_autoptr (GFile) file = g_file_new_for_path (path);

          gtk_file_chooser_set_current_folder (GTK_FILE_CHOOSER (dialog), file, NULL);
        }
    }
  g_object_set_data_full (G_OBJECT (dialog), "tag", g_strdup (tag), g_free);
  g_signal_connect_object (dialog, "response", callback, self, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

static char *
chosen_path (GtkNativeDialog *dialog, int response)
{
  g_autoptr (GFile) file = NULL;

  if (response != GTK_RESPONSE_ACCEPT)
    return NULL;
  file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
  return file ? g_file_get_path (file) : NULL;
}

/* The guard writes the file, with the label in the picture, or says why the host may not have it. */
static void
on_screenshot_file (GtkNativeDialog *dialog, int response, BhConsoleWindow *self)
{
  g_autofree char *path = chosen_path (dialog, response);
  BhGuard1        *guard = bh_library_get_guard (self->library);
  GVariantBuilder  options;

  if (path != NULL && guard != NULL)
    {
      g_autofree char *base = g_path_get_basename (path);
      g_autofree char *done = g_strdup_printf (_("Saved as “%s”"), base);

      g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&options, "{sv}", "path", g_variant_new_string (path));
      bh_guard1_call_screenshot (guard, bh_machine_get_name (self->machine), g_variant_builder_end (&options), NULL,
                                 NULL, on_screenshot_taken, call_new (self, _("Cannot save the screenshot"), done));
    }
  g_object_unref (dialog);
}

static void
activate_screenshot (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhConsoleWindow *self = data;
  g_autofree char *name = file_name (self, "png");

  choose_file (self, _("Save Screenshot"), GTK_FILE_CHOOSER_ACTION_SAVE, _("_Save"), name, G_USER_DIRECTORY_PICTURES,
               G_CALLBACK (on_screenshot_file), NULL);
}

static void
on_insert_file (GtkNativeDialog *dialog, int response, BhConsoleWindow *self)
{
  g_autofree char *path = chosen_path (dialog, response);
  const char      *slot = g_object_get_data (G_OBJECT (dialog), "tag");

  if (path != NULL)
    {
      g_autofree char *base = g_path_get_basename (path);
      g_autofree char *done = g_strdup_printf (_("“%s” inserted"), base);

      bh_guard_call (GTK_WIDGET (self), self->library, "Insert", g_variant_new ("(sss@a{sv})", bh_machine_get_name (self->machine), slot, path,
                  bh_no_options ()), _("Cannot insert"), done);
    }
  g_object_unref (dialog);
}

static void
activate_insert (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  const char *slot = g_variant_get_string (parameter, NULL);

  choose_file (data, g_str_has_prefix (slot, "cdrom") ? _("Insert a CD Image") : _("Insert a Floppy Image"),
               GTK_FILE_CHOOSER_ACTION_OPEN, _("_Insert"), NULL, G_USER_DIRECTORY_DOWNLOAD,
               G_CALLBACK (on_insert_file), slot);
}

static void
activate_eject (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  BhConsoleWindow *self = data;

  bh_guard_call (GTK_WIDGET (self), self->library, "Eject", g_variant_new ("(ss)", bh_machine_get_name (self->machine),
              g_variant_get_string (parameter, NULL)), _("Cannot eject"), NULL);
}

static void
on_clipboard (GObject *source, GAsyncResult *result, gpointer data)
{
  Call                       *call = data;
  g_autoptr (BhConsoleWindow) self = g_weak_ref_get (&call->self);
  g_autoptr (GVariant)        reply = NULL;
  g_autoptr (GVariant)        info = NULL;
  g_autoptr (GError)          error = NULL;

  reply = g_dbus_proxy_call_finish (G_DBUS_PROXY (source), result, &error);
  if (reply != NULL)
    g_variant_get (reply, "(@a{sv})", &info);
  if (self != NULL && reply == NULL)
    bh_messages_error (GTK_WIDGET (self), call->heading, error);
  else if (self != NULL)
    {
      const guint64    n_bytes = (guint64) bh_lookup_number (info, "bytes", 0);
      g_autofree char *size = g_format_size (n_bytes);
      g_autofree char *text = g_strdup_printf (call->done, size, bh_lookup_string (info, "label", ""));

      bh_messages_toast (GTK_WIDGET (self), text);
    }
  call_free (call);
}

static void
clipboard (BhConsoleWindow *self, const char *method, const char *heading, const char *done)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  if (guard != NULL && !self->frozen)
    g_dbus_proxy_call (G_DBUS_PROXY (guard), method,
                       g_variant_new ("(s@a{sv})", bh_machine_get_name (self->machine),
                                      bh_no_options ()),
                       G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL, on_clipboard, call_new (self, heading, done));
}

static void
activate_clipboard_take (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  /* Translators: a size, a label. */
  clipboard (data, "TakeClipboard", _("Cannot copy out of the guest"), _("%s taken, label %s"));
}

static void
activate_clipboard_give (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  clipboard (data, "GiveClipboard", _("Cannot paste into the guest"), _("%s given, label %s"));
}

static void
set_recording (BhConsoleWindow *self, gboolean recording)
{
  GAction *action = g_action_map_lookup_action (G_ACTION_MAP (self), "record-sound");

  g_simple_action_set_state (G_SIMPLE_ACTION (action), g_variant_new_boolean (recording));
}

static void
on_record_file (GtkNativeDialog *dialog, int response, BhConsoleWindow *self)
{
  g_autofree char   *path = chosen_path (dialog, response);
  g_autoptr (GError) error = NULL;

  if (path != NULL && self->sound != NULL)
    {
      if (bh_sound_player_start_recording (self->sound, path, bh_machine_get_look (self->machine)->label, &error))
        {
          set_recording (self, TRUE);
          bh_messages_toast (GTK_WIDGET (self), _("Recording sound"));
        }
      else
        bh_messages_error (GTK_WIDGET (self), _("Cannot record"), error);
    }
  g_object_unref (dialog);
}

/* A recording is a file on the host: only where sound may flow from this machine to the host's label. */
static void
on_record_decided (GObject *source, GAsyncResult *result, gpointer data)
{
  Call                       *call = data;
  g_autoptr (BhConsoleWindow) self = g_weak_ref_get (&call->self);
  g_autoptr (GVariant)        decision = NULL;
  g_autoptr (GError)          error = NULL;

  if (!bh_guard1_call_decide_finish (BH_GUARD1 (source), &decision, result, &error))
    {
      if (self != NULL)
        bh_messages_error (GTK_WIDGET (self), call->heading, error);
    }
  else if (self != NULL && !g_str_equal (bh_lookup_string (decision, "verdict", "deny"), "allow"))
    {
      g_set_error_literal (&error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                           bh_lookup_string (decision, "reason", _("Sound of this machine may not be kept on the host.")));
      bh_messages_error (GTK_WIDGET (self), call->heading, error);
    }
  else if (self != NULL)
    {
      g_autofree char *name = file_name (self, "flac");

      choose_file (self, _("Record Sound"), GTK_FILE_CHOOSER_ACTION_SAVE, _("_Record"), name, G_USER_DIRECTORY_MUSIC,
                   G_CALLBACK (on_record_file), NULL);
    }
  call_free (call);
}

static void
change_record_sound (GSimpleAction *action, GVariant *state, gpointer data)
{
  BhConsoleWindow *self = data;
  BhGuard1        *guard = bh_library_get_guard (self->library);

  if (self->sound == NULL || guard == NULL)
    return;
  if (bh_sound_player_is_recording (self->sound))
    {
      bh_sound_player_stop_recording (self->sound);
      set_recording (self, FALSE);
      bh_messages_toast (GTK_WIDGET (self), _("Recording saved"));
      return;
    }
  bh_guard1_call_decide (guard, bh_machine_get_look (self->machine)->canonical,
                         bh_lookup_string (bh_library_get_status (self->library), "host-canonical", ""), "sound-out",
                         NULL, on_record_decided, call_new (self, _("Cannot record"), NULL));
}

static BhScaling
scaling_from_name (const char *name)
{
  if (g_str_equal (name, "whole"))
    return BH_SCALING_WHOLE;
  return g_str_equal (name, "stretch") ? BH_SCALING_STRETCH : BH_SCALING_FIT;
}

static void
apply_scaling (BhConsoleWindow *self, const char *name)
{
  bh_guest_view_set_scaling (BH_GUEST_VIEW (self->view), scaling_from_name (name),
                             self->settings == NULL || g_settings_get_boolean (self->settings, "smooth-scaling"));
}

static void
change_scaling (GSimpleAction *action, GVariant *state, gpointer data)
{
  BhConsoleWindow *self = data;

  apply_scaling (self, g_variant_get_string (state, NULL));
  if (self->settings != NULL)
    g_settings_set_string (self->settings, "scaling", g_variant_get_string (state, NULL));
  g_simple_action_set_state (action, state);
}

static const GActionEntry entries[] = {
  { "fullscreen", activate_fullscreen, NULL, NULL, NULL, { 0 } },
  { "natural-size", activate_natural_size, NULL, NULL, NULL, { 0 } },
  { "reopen", activate_reopen, NULL, NULL, NULL, { 0 } },
  { "send-keys", activate_send_keys, "s", NULL, NULL, { 0 } },
  { "type-text", activate_type_text, NULL, NULL, NULL, { 0 } },
  { "screenshot", activate_screenshot, NULL, NULL, NULL, { 0 } },
  { "insert", activate_insert, "s", NULL, NULL, { 0 } },
  { "eject", activate_eject, "s", NULL, NULL, { 0 } },
  { "clipboard-take", activate_clipboard_take, NULL, NULL, NULL, { 0 } },
  { "clipboard-give", activate_clipboard_give, NULL, NULL, NULL, { 0 } },
  { "record-sound", NULL, NULL, "false", change_record_sound, { 0 } },
  { "scaling", NULL, "s", "'fit'", change_scaling, { 0 } },
};

/* ------------------------------------------------------------------------------------------------ dragging over the guest */

static void
end_drag (BhConsoleWindow *self)
{
  if (self->drag_question != NULL)
    g_cancellable_cancel (self->drag_question);
  g_clear_object (&self->drag_question);
  self->drag_allowed = FALSE;
  gtk_revealer_set_reveal_child (GTK_REVEALER (self->refusal_revealer), FALSE);
}

static void
on_drag_decided (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) decision = NULL;
  g_autoptr (GError)   error = NULL;
  BhConsoleWindow     *self;
  const char          *reason;

  if (!bh_guard1_call_decide_drag_finish (BH_GUARD1 (source), &decision, result, &error) &&
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  self = BH_CONSOLE_WINDOW (data);
  self->drag_allowed = decision != NULL && g_str_equal (bh_lookup_string (decision, "verdict", "deny"), "allow");
  if (error != NULL)
    g_dbus_error_strip_remote_error (error);
  reason = error ? error->message : bh_lookup_string (decision, "reason", "");
  if (!self->drag_allowed)
    {
      gtk_label_set_text (GTK_LABEL (self->refusal_label), *reason ? reason : _("Nothing may be dropped here."));
      gtk_revealer_set_reveal_child (GTK_REVEALER (self->refusal_revealer), TRUE);
    }
}

/* Refused before the drop: until the guard has said yes no action is offered to the drag's source. */
static GdkDragAction
on_drag_enter (GtkDropTargetAsync *target, GdkDrop *drop, double x, double y, BhConsoleWindow *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  end_drag (self);
  if (guard == NULL)
    return 0;
  self->drag_question = g_cancellable_new ();
  bh_guard1_call_decide_drag (guard, bh_machine_get_name (self->machine), "drag-in", self->drag_question,
                              on_drag_decided, self);
  return 0;
}

static GdkDragAction
on_drag_motion (GtkDropTargetAsync *target, GdkDrop *drop, double x, double y, BhConsoleWindow *self)
{
  return self->drag_allowed && !self->frozen ? GDK_ACTION_COPY : 0;
}

static void
on_drag_leave (GtkDropTargetAsync *target, GdkDrop *drop, BhConsoleWindow *self)
{
  end_drag (self);
}

static void
insert_dropped (BhConsoleWindow *self, const char *path)
{
  static const char *const floppies[] = { ".img", ".ima", ".flp", ".vfd", ".dsk" };
  g_autofree char         *lower = g_ascii_strdown (path, -1);
  const char              *slot = NULL;

  if (g_str_has_suffix (lower, ".iso"))
    slot = "cdrom0";
  for (guint i = 0; i < G_N_ELEMENTS (floppies); i++)
    if (g_str_has_suffix (lower, floppies[i]))
      slot = "floppy0";
  if (slot == NULL)
    bh_messages_toast (GTK_WIDGET (self), _("Only CD and floppy images can be dropped into this guest"));
  else
    bh_guard_call (GTK_WIDGET (self), self->library, "Insert", g_variant_new ("(sss@a{sv})", bh_machine_get_name (self->machine), slot, path,
                bh_no_options ()), _("Cannot insert"), _("Inserted"));
}

static void
on_drop_read (GObject *source, GAsyncResult *result, gpointer data)
{
  GdkDrop                    *drop = GDK_DROP (source);
  g_autoptr (BhConsoleWindow) self = data;
  const GValue               *value = gdk_drop_read_value_finish (drop, result, NULL);

  if (value != NULL && G_VALUE_HOLDS (value, GDK_TYPE_FILE_LIST))
    {
      GSList          *files = gdk_file_list_get_files (g_value_get_boxed (value));
      g_autofree char *path = files ? g_file_get_path (files->data) : NULL;

      if (path != NULL)
        insert_dropped (self, path);
      g_slist_free (files);
    }
  gdk_drop_finish (drop, value != NULL ? GDK_ACTION_COPY : 0);
}

static gboolean
on_drop (GtkDropTargetAsync *target, GdkDrop *drop, double x, double y, BhConsoleWindow *self)
{
  if (!self->drag_allowed || self->frozen)
    return FALSE;
  gdk_drop_read_value_async (drop, GDK_TYPE_FILE_LIST, G_PRIORITY_DEFAULT, NULL, on_drop_read, g_object_ref (self));
  end_drag (self);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ thumbnails, closing */

static void
on_painted (BhGuestView *view, BhConsoleWindow *self)
{
  self->painted = TRUE;
}

static gboolean
update_thumbnail (gpointer data)
{
  BhConsoleWindow *self = data;
  BhDisplaySource *source = bh_guest_view_get_source (BH_GUEST_VIEW (self->view));

  if (self->painted && self->connected && source != NULL)
    {
      g_autoptr (GdkTexture) texture = bh_display_source_copy_texture (source, THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT);

      self->painted = FALSE;
      if (texture != NULL)
        bh_machine_set_thumbnail (self->machine, texture);
    }
  return G_SOURCE_CONTINUE;
}

static void
close_for_good (BhConsoleWindow *self)
{
  self->closing = TRUE;
  gtk_window_close (GTK_WINDOW (self));
}

static void
close_with (BhConsoleWindow *self, const char *choice)
{
  if (g_str_equal (choice, "suspend"))
    bh_guard_call (GTK_WIDGET (self), self->library, "Suspend", g_variant_new ("(s)", bh_machine_get_name (self->machine)), _("Cannot suspend"), NULL);
  else if (g_str_equal (choice, "power-off"))
    bh_guard_call (GTK_WIDGET (self), self->library, "Stop", g_variant_new ("(sb)", bh_machine_get_name (self->machine), TRUE), _("Cannot power off"),
                NULL);
  close_for_good (self);
}

static void
on_close_response (AdwMessageDialog *dialog, const char *response, BhConsoleWindow *self)
{
  GtkWidget *remember = adw_message_dialog_get_extra_child (dialog);

  if (g_str_equal (response, "cancel"))
    return;
  if (self->settings != NULL && gtk_check_button_get_active (GTK_CHECK_BUTTON (remember)))
    g_settings_set_string (self->settings, "on-close", response);
  close_with (self, response);
}

static void
ask_before_closing (BhConsoleWindow *self)
{
  g_autofree char  *heading = g_strdup_printf (_("“%s” Is Running"), bh_machine_get_name (self->machine));
  AdwMessageDialog *dialog = ADW_MESSAGE_DIALOG (adw_message_dialog_new (GTK_WINDOW (self), heading,
                               _("It can run on without a window, or be suspended and go on later from where it was.")));
  GtkWidget        *remember = gtk_check_button_new_with_mnemonic (_("_Always do this"));

  adw_message_dialog_add_responses (dialog, "cancel", _("_Cancel"), "power-off", _("_Power Off"), "suspend",
                                    _("_Suspend"), "keep", _("_Keep Running"), NULL);
  adw_message_dialog_set_response_appearance (dialog, "power-off", ADW_RESPONSE_DESTRUCTIVE);
  adw_message_dialog_set_response_appearance (dialog, "keep", ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response (dialog, "keep");
  adw_message_dialog_set_close_response (dialog, "cancel");
  gtk_widget_set_halign (remember, GTK_ALIGN_CENTER);
  adw_message_dialog_set_extra_child (dialog, remember);
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_close_response), self, 0);
  gtk_window_present (GTK_WINDOW (dialog));
}

static gboolean
bh_console_window_close_request (GtkWindow *window)
{
  BhConsoleWindow *self = BH_CONSOLE_WINDOW (window);
  g_autofree char *choice = self->settings ? g_settings_get_string (self->settings, "on-close") : NULL;

  bh_guest_view_release (BH_GUEST_VIEW (self->view));
  if (!self->closing && bh_machine_is_alive (self->machine) && bh_library_get_online (self->library))
    {
      if (choice == NULL || g_str_equal (choice, "ask"))
        {
          ask_before_closing (self);
          return GDK_EVENT_STOP;
        }
      if (g_str_equal (choice, "suspend"))
        bh_guard_call (GTK_WIDGET (self), self->library, "Suspend", g_variant_new ("(s)", bh_machine_get_name (self->machine)), _("Cannot suspend"), NULL);
      else if (g_str_equal (choice, "power-off"))
        bh_guard_call (GTK_WIDGET (self), self->library, "Stop", g_variant_new ("(sb)", bh_machine_get_name (self->machine), TRUE),
                    _("Cannot power off"), NULL);
    }
  self->closing = TRUE;
  disconnect_console (self);
  return GTK_WINDOW_CLASS (bh_console_window_parent_class)->close_request (window);
}

/* ------------------------------------------------------------------------------------------------ the object */

static void
bh_console_window_dispose (GObject *object)
{
  BhConsoleWindow *self = BH_CONSOLE_WINDOW (object);

  self->closing = TRUE;
  end_drag (self);
  g_clear_handle_id (&self->hint_source, g_source_remove);
  g_clear_handle_id (&self->bar_source, g_source_remove);
  g_clear_handle_id (&self->thumbnail_source, g_source_remove);
  g_clear_handle_id (&self->fit_source, g_source_remove);
  if (self->connecting != NULL)
    g_cancellable_cancel (self->connecting);
  g_clear_object (&self->connecting);
  if (self->library != NULL)
    g_signal_handlers_disconnect_by_data (self->library, self);
  if (self->machine != NULL)
    g_signal_handlers_disconnect_by_data (self->machine, self);
  if (self->view != NULL)
    g_signal_handlers_disconnect_by_data (self->view, self);
  gtk_widget_dispose_template (GTK_WIDGET (self), BH_TYPE_CONSOLE_WINDOW);
  g_clear_object (&self->sound);
  g_clear_object (&self->machine);
  g_clear_object (&self->library);
  g_clear_object (&self->settings);
  g_clear_pointer (&self->ended, g_free);

  G_OBJECT_CLASS (bh_console_window_parent_class)->dispose (object);
}

static void
bh_console_window_class_init (BhConsoleWindowClass *klass)
{
  GObjectClass   *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  object_class->dispose = bh_console_window_dispose;
  GTK_WINDOW_CLASS (klass)->close_request = bh_console_window_close_request;

  g_type_ensure (BH_TYPE_LABEL_STRIP);
  g_type_ensure (BH_TYPE_GUEST_VIEW);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/bulkhead/Bulkhead/ui/console-window.ui");
#define BIND(name) gtk_widget_class_bind_template_child (widget_class, BhConsoleWindow, name)
  BIND (keys_section);
  BIND (media_section);
  BIND (strip_top);
  BIND (strip_bottom);
  BIND (header);
  BIND (title);
  BIND (run_button);
  BIND (power_button);
  BIND (menu_button);
  BIND (fullscreen_button);
  BIND (keys_button);
  BIND (notice_revealer);
  BIND (notice_box);
  BIND (notice_icon);
  BIND (notice_label);
  BIND (notice_action);
  BIND (notice_close);
  BIND (toasts);
  BIND (overlay);
  BIND (stack);
  BIND (starting_label);
  BIND (view);
  BIND (still_page);
  BIND (still_start);
  BIND (hint_revealer);
  BIND (hint_label);
  BIND (refusal_revealer);
  BIND (refusal_label);
  BIND (bar_revealer);
  BIND (bar_title);
  BIND (bar_run);
  BIND (bar_power);
  BIND (bar_keys);
  BIND (bar_menu);
#undef BIND
  bh_machine_actions_install (widget_class);
}

static void
fill_keys (BhConsoleWindow *self)
{
  static const struct { const char *text, *chord; } keys[] = {
    { "Ctrl+Alt+Delete", "ctrl-alt-delete" },
    { "Ctrl+Alt+Backspace", "ctrl-alt-backspace" },
    { "Ctrl+Alt+Return", "ctrl-alt-ret" },
    { "Ctrl+Escape", "ctrl-esc" },
    { "Alt+Tab", "alt-tab" },
    { "Alt+F4", "alt-f4" },
    { "Ctrl+Alt+F1", "ctrl-alt-f1" },
    { "Ctrl+Alt+F2", "ctrl-alt-f2" },
    { "Ctrl+Alt+F7", "ctrl-alt-f7" },
    { "Print", "print" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autofree char *action = g_strdup_printf ("win.send-keys::%s", keys[i].chord);

      g_menu_append (self->keys_section, keys[i].text, action);
    }
}

static void
bh_console_window_init (BhConsoleWindow *self)
{
  GtkEventController *keys = gtk_event_controller_key_new ();
  GtkEventController *motion = gtk_event_controller_motion_new ();
  GtkDropTargetAsync *drop = gtk_drop_target_async_new (gdk_content_formats_new_for_gtype (GDK_TYPE_FILE_LIST),
                                                        GDK_ACTION_COPY);

  gtk_widget_init_template (GTK_WIDGET (self));
  g_action_map_add_action_entries (G_ACTION_MAP (self), entries, G_N_ELEMENTS (entries), self);
  bh_messages_set_overlay (GTK_WINDOW (self), ADW_TOAST_OVERLAY (self->toasts));
  fill_keys (self);

  gtk_event_controller_set_propagation_phase (keys, GTK_PHASE_CAPTURE);
  g_signal_connect (keys, "key-pressed", G_CALLBACK (on_host_key), self);
  gtk_widget_add_controller (GTK_WIDGET (self), keys);
  gtk_event_controller_set_propagation_phase (motion, GTK_PHASE_CAPTURE);
  g_signal_connect (motion, "motion", G_CALLBACK (on_overlay_motion), self);
  gtk_widget_add_controller (self->overlay, motion);

  g_signal_connect (drop, "drag-enter", G_CALLBACK (on_drag_enter), self);
  g_signal_connect (drop, "drag-motion", G_CALLBACK (on_drag_motion), self);
  g_signal_connect (drop, "drag-leave", G_CALLBACK (on_drag_leave), self);
  g_signal_connect (drop, "drop", G_CALLBACK (on_drop), self);
  gtk_widget_add_controller (self->view, GTK_EVENT_CONTROLLER (drop));

  g_signal_connect (self->view, "resized", G_CALLBACK (on_guest_resized), self);
  g_signal_connect (self->view, "painted", G_CALLBACK (on_painted), self);
  g_signal_connect_swapped (self->view, "notify::captured", G_CALLBACK (on_captured), self);
  g_signal_connect_swapped (self->view, "notify::active", G_CALLBACK (refresh), self);
  g_signal_connect_swapped (self->view, "notify::mouse-absolute", G_CALLBACK (refresh), self);
  g_signal_connect (self, "notify::fullscreened", G_CALLBACK (on_fullscreened), NULL);
  self->thumbnail_source = g_timeout_add_seconds (THUMBNAIL_SECONDS, update_thumbnail, self);
}

static void
on_settings_changed (GSettings *settings, const char *key, BhConsoleWindow *self)
{
  g_autofree char *scaling = g_settings_get_string (settings, "scaling");

  g_action_group_change_action_state (G_ACTION_GROUP (self), "scaling", g_variant_new_string (scaling));
}

GtkWidget *
bh_console_window_new (GtkApplication *application, BhLibrary *library, BhMachine *machine, GSettings *settings)
{
  BhConsoleWindow *self = g_object_new (BH_TYPE_CONSOLE_WINDOW, "application", application, NULL);

  self->library = g_object_ref (library);
  self->machine = g_object_ref (machine);
  self->settings = settings ? g_object_ref (settings) : NULL;
  g_signal_connect_swapped (machine, "notify::state", G_CALLBACK (refresh), self);
  g_signal_connect_swapped (machine, "notify::look", G_CALLBACK (refresh), self);
  g_signal_connect_swapped (machine, "notify::name", G_CALLBACK (refresh), self);
  g_signal_connect_swapped (machine, "notify::details", G_CALLBACK (refresh), self);
  g_signal_connect_swapped (library, "notify::online", G_CALLBACK (refresh), self);
  g_signal_connect (library, "console-closed", G_CALLBACK (on_console_closed), self);
  if (settings != NULL)
    {
      on_settings_changed (settings, NULL, self);
      g_signal_connect_object (settings, "changed::scaling", G_CALLBACK (on_settings_changed), self, 0);
      g_signal_connect_object (settings, "changed::smooth-scaling", G_CALLBACK (on_settings_changed), self, 0);
    }
  gtk_label_set_text (GTK_LABEL (self->starting_label), _("Opening the console…"));
  refresh (self);
  return GTK_WIDGET (self);
}

BhMachine *
bh_console_window_get_machine (BhConsoleWindow *self)
{
  g_return_val_if_fail (BH_IS_CONSOLE_WINDOW (self), NULL);

  return self->machine;
}

BhGuestView *
bh_console_window_get_view (BhConsoleWindow *self)
{
  g_return_val_if_fail (BH_IS_CONSOLE_WINDOW (self), NULL);

  return BH_GUEST_VIEW (self->view);
}

void
bh_console_window_set_frozen (BhConsoleWindow *self, gboolean frozen)
{
  BhInputChannel *input;

  g_return_if_fail (BH_IS_CONSOLE_WINDOW (self));

  input = bh_guest_view_get_input (BH_GUEST_VIEW (self->view));
  self->frozen = frozen;
  bh_guest_view_release (BH_GUEST_VIEW (self->view));
  if (input != NULL)
    bh_input_channel_set_frozen (input, frozen);
  if (frozen && is_fullscreen (self))
    gtk_window_unfullscreen (GTK_WINDOW (self));
  refresh (self);
}

const char *
bh_console_window_get_page (BhConsoleWindow *self)
{
  g_return_val_if_fail (BH_IS_CONSOLE_WINDOW (self), NULL);

  return gtk_stack_get_visible_child_name (GTK_STACK (self->stack));
}
