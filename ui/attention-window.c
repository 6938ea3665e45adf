/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "attention-window.h"

#include "genuine-mark.h"
#include "label-strip.h"
#include "user-messages.h"

#include <glib/gi18n.h>

struct _BhAttentionWindow
{
  AdwWindow     parent_instance;
  BhLibrary    *library;
  GCancellable *cancellable;
  guint         n_sessions;
  GtkWidget    *mark, *list, *empty, *toasts, *clipboard_row, *clear_button;
};

G_DEFINE_FINAL_TYPE (BhAttentionWindow, bh_attention_window, ADW_TYPE_WINDOW)

static const char *
state_text (const char *state)
{
  if (g_str_equal (state, "running"))
    return _("Running");
  if (g_str_equal (state, "paused"))
    return _("Paused");
  if (g_str_equal (state, "suspended"))
    return _("Suspended");
  if (g_str_equal (state, "crashed"))
    return _("Stopped unexpectedly");
  return _("Powered off");
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhAttentionWindow) self = data;
  g_autoptr (GError)            error = NULL;
  g_autoptr (GVariant)          reply = g_dbus_proxy_call_finish (G_DBUS_PROXY (source), result, &error);

  if (reply == NULL)
    bh_messages_error (GTK_WIDGET (self), _("Not done"), error);
}

static void
connect_session (GtkWidget *widget, const char *action_name, GVariant *parameter)
{
  g_autofree char *name = g_variant_dup_string (parameter, NULL);

  gtk_widget_activate_action (widget, "app.open-machine", "s", name);
  gtk_window_close (GTK_WINDOW (widget));
}

static void
call_session (GtkWidget *widget, const char *action_name, GVariant *parameter)
{
  BhAttentionWindow *self = BH_ATTENTION_WINDOW (widget);
  BhGuard1          *guard = bh_library_get_guard (self->library);
  const char        *name = g_variant_get_string (parameter, NULL);

  if (guard == NULL)
    return;
  if (g_str_equal (action_name, "session.pause"))
    g_dbus_proxy_call (G_DBUS_PROXY (guard), "Pause", g_variant_new ("(s)", name), 0, G_MAXINT, NULL, on_done,
                       g_object_ref (self));
  else if (g_str_equal (action_name, "session.suspend"))
    g_dbus_proxy_call (G_DBUS_PROXY (guard), "Suspend", g_variant_new ("(s)", name), 0, G_MAXINT, NULL, on_done,
                       g_object_ref (self));
  else
    g_dbus_proxy_call (G_DBUS_PROXY (guard), "Stop", g_variant_new ("(sb)", name, TRUE), 0, G_MAXINT, NULL, on_done,
                       g_object_ref (self));
}

static void
add_button (GtkWidget *row, const char *icon, const char *text, const char *action, const char *name)
{
  GtkWidget *button = gtk_button_new_from_icon_name (icon);

  gtk_widget_set_tooltip_text (button, text);
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
  gtk_widget_add_css_class (button, "flat");
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  gtk_actionable_set_action_name (GTK_ACTIONABLE (button), action);
  gtk_actionable_set_action_target (GTK_ACTIONABLE (button), "s", name);
  gtk_box_append (GTK_BOX (row), button);
}

static GtkWidget *
new_row (GVariant *session)
{
  g_autoptr (BhLabelLook) look = bh_label_look_new_from_variant (session, "");
  const char             *name = bh_lookup_string (session, "name", "");
  const char             *state = bh_lookup_string (session, "state", "off");
  const gboolean          alive = g_str_equal (state, "running") || g_str_equal (state, "paused");
  GtkWidget              *row = gtk_list_box_row_new ();
  GtkWidget              *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  GtkWidget              *line = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 6);
  GtkWidget              *words = gtk_box_new (GTK_ORIENTATION_VERTICAL, 2);
  GtkWidget              *strip = g_object_new (BH_TYPE_LABEL_STRIP, "compact", TRUE, NULL);
  GtkWidget              *title, *subtitle;
  g_autofree char        *text = g_strdup_printf ("%u  %s", (guint) bh_lookup_number (session, "number", 0), name);
  g_autofree char        *detail = NULL;

  detail = bh_lookup_boolean (session, "connected") ? g_strdup_printf (_("%s, connected"), state_text (state))
                                                    : g_strdup (state_text (state));
  bh_label_strip_set_look (BH_LABEL_STRIP (strip), look);
  title = gtk_label_new (text);
  subtitle = gtk_label_new (detail);
  gtk_label_set_xalign (GTK_LABEL (title), 0);
  gtk_label_set_ellipsize (GTK_LABEL (title), PANGO_ELLIPSIZE_END);
  gtk_label_set_xalign (GTK_LABEL (subtitle), 0);
  gtk_widget_add_css_class (title, "heading");
  gtk_widget_add_css_class (subtitle, "caption");
  gtk_widget_add_css_class (subtitle, "dim-label");
  gtk_box_append (GTK_BOX (words), title);
  gtk_box_append (GTK_BOX (words), subtitle);
  gtk_widget_set_hexpand (words, TRUE);
  gtk_box_append (GTK_BOX (line), words);
  gtk_widget_set_margin_top (line, 9);
  gtk_widget_set_margin_bottom (line, 9);
  gtk_widget_set_margin_start (line, 12);
  gtk_widget_set_margin_end (line, 9);
  if (alive)
    {
      if (g_str_equal (state, "running"))
        add_button (line, "media-playback-pause-symbolic", _("Pause"), "session.pause", name);
      add_button (line, "weather-clear-night-symbolic", _("Suspend"), "session.suspend", name);
      add_button (line, "system-shutdown-symbolic", _("Power Off"), "session.power-off", name);
    }
  add_button (line, alive ? "go-next-symbolic" : "media-playback-start-symbolic",
              alive ? _("Connect") : g_str_equal (state, "suspended") ? _("Resume") : _("Start"), "session.connect", name);
  gtk_box_append (GTK_BOX (box), strip);
  gtk_box_append (GTK_BOX (box), line);
  gtk_list_box_row_set_child (GTK_LIST_BOX_ROW (row), box);
  gtk_widget_set_overflow (row, GTK_OVERFLOW_HIDDEN);
  gtk_actionable_set_action_name (GTK_ACTIONABLE (row), "session.connect");
  gtk_actionable_set_action_target (GTK_ACTIONABLE (row), "s", name);
  return row;
}

static void
on_sessions (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) sessions = NULL;
  g_autoptr (GError)   error = NULL;
  BhAttentionWindow   *self;
  GtkWidget           *child;
  GVariantIter         iter;
  GVariant            *session;

  if (!bh_guard1_call_list_sessions_finish (BH_GUARD1 (source), &sessions, result, &error))
    {
      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        bh_messages_error (GTK_WIDGET (data), _("No list"), error);
      return;
    }
  self = BH_ATTENTION_WINDOW (data);
  while ((child = gtk_widget_get_first_child (self->list)) != NULL)
    gtk_list_box_remove (GTK_LIST_BOX (self->list), child);
  self->n_sessions = 0;
  g_variant_iter_init (&iter, sessions);
  while ((session = g_variant_iter_next_value (&iter)) != NULL)
    {
      gtk_list_box_append (GTK_LIST_BOX (self->list), new_row (session));
      self->n_sessions++;
      g_variant_unref (session);
    }
  gtk_widget_set_visible (self->list, self->n_sessions > 0);
  gtk_widget_set_visible (self->empty, self->n_sessions == 0);
}

static void
show_clipboard (BhAttentionWindow *self, GVariant *status)
{
  g_autofree char *text = NULL;
  const gboolean   full = bh_lookup_boolean (status, "full");

  if (full)
    {
      g_autofree char *size = g_format_size ((guint64) bh_lookup_number (status, "bytes", 0));

      /* Translators: size, machine, label. */
      text = g_strdup_printf (_("%s from %s, label %s"), size, bh_lookup_string (status, "from", ""),
                              bh_lookup_string (status, "label", ""));
    }
  else
    text = g_strdup (_("Empty"));
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->clipboard_row), text);
  gtk_widget_set_sensitive (self->clear_button, full);
}

static void
on_clipboard_status (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) status = NULL;

  if (bh_guard1_call_clipboard_status_finish (BH_GUARD1 (source), &status, result, NULL))
    show_clipboard (BH_ATTENTION_WINDOW (data), status);
}

static void
ask (BhAttentionWindow *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  bh_genuine_mark_set_phrase (BH_GENUINE_MARK (self->mark),
                              bh_lookup_string (bh_library_get_status (self->library), "phrase", ""));
  if (guard != NULL)
    {
      bh_guard1_call_list_sessions (guard, self->cancellable, on_sessions, self);
      bh_guard1_call_clipboard_status (guard, self->cancellable, on_clipboard_status, self);
    }
}

static void
on_clipboard_changed (BhLibrary *library, GVariant *status, BhAttentionWindow *self)
{
  show_clipboard (self, status);
}

static void
clear_clipboard (GtkWidget *widget, const char *action_name, GVariant *parameter)
{
  BhAttentionWindow *self = BH_ATTENTION_WINDOW (widget);
  BhGuard1          *guard = bh_library_get_guard (self->library);

  if (guard != NULL)
    bh_guard1_call_clear_clipboard (guard, NULL, NULL, NULL);
}

static void
on_state_changed (BhMachine *machine, GParamSpec *pspec, BhAttentionWindow *self)
{
  ask (self);
}

static void
bh_attention_window_dispose (GObject *object)
{
  BhAttentionWindow *self = BH_ATTENTION_WINDOW (object);

  g_cancellable_cancel (self->cancellable);
  if (self->library != NULL)
    g_signal_handlers_disconnect_by_data (self->library, self);
  g_clear_object (&self->library);

  G_OBJECT_CLASS (bh_attention_window_parent_class)->dispose (object);
}

static void
bh_attention_window_finalize (GObject *object)
{
  g_clear_object (&BH_ATTENTION_WINDOW (object)->cancellable);

  G_OBJECT_CLASS (bh_attention_window_parent_class)->finalize (object);
}

static void
bh_attention_window_class_init (BhAttentionWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = bh_attention_window_dispose;
  G_OBJECT_CLASS (klass)->finalize = bh_attention_window_finalize;
  gtk_widget_class_install_action (widget_class, "session.connect", "s", connect_session);
  gtk_widget_class_install_action (widget_class, "session.pause", "s", call_session);
  gtk_widget_class_install_action (widget_class, "session.suspend", "s", call_session);
  gtk_widget_class_install_action (widget_class, "session.power-off", "s", call_session);
  gtk_widget_class_install_action (widget_class, "session.clear-clipboard", NULL, clear_clipboard);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Escape, 0, "window.close", NULL);
}

static void
bh_attention_window_init (BhAttentionWindow *self)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  GtkWidget *content = gtk_box_new (GTK_ORIENTATION_VERTICAL, 18);
  GtkWidget *scroller = gtk_scrolled_window_new ();
  GtkWidget *clamp = adw_clamp_new ();
  GtkWidget *frozen = gtk_label_new (_("All guests are frozen out: nothing you type or click here reaches one."));
  GtkWidget *extra = gtk_list_box_new ();

  self->cancellable = g_cancellable_new ();
  gtk_window_set_title (GTK_WINDOW (self), _("Sessions"));
  gtk_window_set_modal (GTK_WINDOW (self), TRUE);
  gtk_window_set_default_size (GTK_WINDOW (self), 520, 600);

  self->mark = bh_genuine_mark_new ();
  gtk_label_set_wrap (GTK_LABEL (frozen), TRUE);
  gtk_label_set_xalign (GTK_LABEL (frozen), 0);
  gtk_widget_add_css_class (frozen, "dim-label");
  self->list = gtk_list_box_new ();
  gtk_list_box_set_selection_mode (GTK_LIST_BOX (self->list), GTK_SELECTION_NONE);
  gtk_widget_add_css_class (self->list, "boxed-list");
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->list), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Sessions"), -1);
  self->empty = gtk_label_new (_("There are no sessions."));
  gtk_widget_add_css_class (self->empty, "dim-label");

  self->clipboard_row = adw_action_row_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->clipboard_row), _("Clipboard Between Machines"));
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->clipboard_row), _("Empty"));
  self->clear_button = gtk_button_new_with_mnemonic (_("_Clear"));
  gtk_widget_set_valign (self->clear_button, GTK_ALIGN_CENTER);
  gtk_widget_set_sensitive (self->clear_button, FALSE);
  gtk_actionable_set_action_name (GTK_ACTIONABLE (self->clear_button), "session.clear-clipboard");
  adw_action_row_add_suffix (ADW_ACTION_ROW (self->clipboard_row), self->clear_button);
  gtk_list_box_set_selection_mode (GTK_LIST_BOX (extra), GTK_SELECTION_NONE);
  gtk_widget_add_css_class (extra, "boxed-list");
  gtk_list_box_append (GTK_LIST_BOX (extra), self->clipboard_row);
  for (guint i = 0; i < 2; i++)
    {
      GtkWidget *row = adw_action_row_new ();
      GtkWidget *button = gtk_button_new_with_mnemonic (i == 0 ? _("_Take") : _("_Give"));

      adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), _("Clipboard of the Desktop"));
      adw_action_row_set_subtitle (ADW_ACTION_ROW (row), i == 0 ? _("Take its text, at the desktop’s label")
                                                               : _("Give it what was taken, if its label may hold it"));
      gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
      gtk_actionable_set_action_name (GTK_ACTIONABLE (button), i == 0 ? "app.clipboard-from-host" : "app.clipboard-to-host");
      adw_action_row_add_suffix (ADW_ACTION_ROW (row), button);
      gtk_list_box_append (GTK_LIST_BOX (extra), row);
    }

  gtk_box_append (GTK_BOX (content), self->mark);
  gtk_box_append (GTK_BOX (content), frozen);
  gtk_box_append (GTK_BOX (content), self->list);
  gtk_box_append (GTK_BOX (content), self->empty);
  gtk_box_append (GTK_BOX (content), extra);
  gtk_widget_set_margin_top (content, 18);
  gtk_widget_set_margin_bottom (content, 18);
  gtk_widget_set_margin_start (content, 12);
  gtk_widget_set_margin_end (content, 12);
  adw_clamp_set_child (ADW_CLAMP (clamp), content);
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (scroller), clamp);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (scroller), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  self->toasts = adw_toast_overlay_new ();
  adw_toast_overlay_set_child (ADW_TOAST_OVERLAY (self->toasts), scroller);
  gtk_widget_set_vexpand (self->toasts, TRUE);
  bh_messages_set_overlay (GTK_WINDOW (self), ADW_TOAST_OVERLAY (self->toasts));
  gtk_box_append (GTK_BOX (box), adw_header_bar_new ());
  gtk_box_append (GTK_BOX (box), self->toasts);
  adw_window_set_content (ADW_WINDOW (self), box);
}

GtkWidget *
bh_attention_window_new (BhLibrary *library)
{
  BhAttentionWindow *self = g_object_new (BH_TYPE_ATTENTION_WINDOW, NULL);

  self->library = g_object_ref (library);
  g_signal_connect_swapped (library, "items-changed", G_CALLBACK (ask), self);
  g_signal_connect (library, "clipboard-changed", G_CALLBACK (on_clipboard_changed), self);
  for (guint i = 0; i < g_list_model_get_n_items (G_LIST_MODEL (library)); i++)
    {
      g_autoptr (BhMachine) machine = g_list_model_get_item (G_LIST_MODEL (library), i);

      g_signal_connect_object (machine, "notify::state", G_CALLBACK (on_state_changed), self, 0);
    }
  ask (self);
  return GTK_WIDGET (self);
}

guint
bh_attention_window_get_n_sessions (BhAttentionWindow *self)
{
  g_return_val_if_fail (BH_IS_ATTENTION_WINDOW (self), 0);

  return self->n_sessions;
}
