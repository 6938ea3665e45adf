/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "preferences-window.h"

#include "genuine-mark.h"
#include "guard-call.h"
#include "user-messages.h"

#include <glib/gi18n.h>

struct _BhPreferencesWindow
{
  AdwPreferencesWindow parent_instance;
  BhLibrary           *library;
  GSettings           *settings;
  GCancellable        *cancellable;
  GPtrArray           *policy_rows;
  GtkWidget           *mark, *phrase_row, *encodings_row, *host_row, *clearance_row, *attention_row;
  GtkWidget           *officer_group, *login_row, *logout_row, *policy_group;
};

G_DEFINE_FINAL_TYPE (BhPreferencesWindow, bh_preferences_window, ADW_TYPE_PREFERENCES_WINDOW)

static const char *const close_values[] = { "ask", "keep", "suspend", "power-off", NULL };
static const char *const scaling_values[] = { "fit", "whole", "stretch", NULL };

static const struct { const char *key, *title; } policies[] = {
  { "encodings", N_("Encodings") },
  { "host-label", N_("Label of This Desktop") },
  { "clearance-low", N_("Clearance From") },
  { "clearance-high", N_("Clearance To") },
  { "clipboard-one-way", N_("One-Way Clipboard (deny or ask)") },
  { "clipboard-seconds", N_("Clipboard Is Emptied After (Seconds)") },
  { "console", N_("Consoles (on or off)") },
  { "attention-key", N_("Attention Key (ctrl+alt+pause or ctrl+alt+home)") },
  { "consent", N_("Notice to Be Accepted Before Use") },
  { "uplink-label", N_("Label of the Outside Network") },
  { "printer-banner", N_("Text on Printed Banner Pages") },
};

static const char *
policy_title (const char *key)
{
  for (guint i = 0; i < G_N_ELEMENTS (policies); i++)
    if (g_str_equal (policies[i].key, key))
      return _(policies[i].title);
  return key;
}

static GtkWidget *
new_group (GtkWidget *page, const char *title, const char *description)
{
  GtkWidget *group = adw_preferences_group_new ();

  adw_preferences_group_set_title (ADW_PREFERENCES_GROUP (group), title);
  if (description != NULL)
    adw_preferences_group_set_description (ADW_PREFERENCES_GROUP (group), description);
  adw_preferences_page_add (ADW_PREFERENCES_PAGE (page), ADW_PREFERENCES_GROUP (group));
  return group;
}

static GtkWidget *
new_row (GtkWidget *group, const char *title, const char *subtitle)
{
  GtkWidget *row = adw_action_row_new ();

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  if (subtitle != NULL)
    adw_action_row_set_subtitle (ADW_ACTION_ROW (row), subtitle);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), row);
  return row;
}

static GtkWidget *
new_page (BhPreferencesWindow *self, const char *title, const char *icon)
{
  GtkWidget *page = adw_preferences_page_new ();

  adw_preferences_page_set_title (ADW_PREFERENCES_PAGE (page), title);
  adw_preferences_page_set_icon_name (ADW_PREFERENCES_PAGE (page), icon);
  adw_preferences_window_add (ADW_PREFERENCES_WINDOW (self), ADW_PREFERENCES_PAGE (page));
  return page;
}

/* ------------------------------------------------------------------------------------------------ general */

static void
add_switch (BhPreferencesWindow *self, GtkWidget *group, const char *key, const char *title, const char *subtitle)
{
  GtkWidget *row = new_row (group, title, subtitle);
  GtkWidget *widget = gtk_switch_new ();

  gtk_widget_set_valign (widget, GTK_ALIGN_CENTER);
  adw_action_row_add_suffix (ADW_ACTION_ROW (row), widget);
  adw_action_row_set_activatable_widget (ADW_ACTION_ROW (row), widget);
  if (self->settings != NULL)
    g_settings_bind (self->settings, key, widget, "active", G_SETTINGS_BIND_DEFAULT);
  else
    gtk_widget_set_sensitive (row, FALSE);
}

static gboolean
value_to_index (GValue *value, GVariant *variant, gpointer data)
{
  const char *const *values = data;

  for (guint i = 0; values[i] != NULL; i++)
    if (g_str_equal (values[i], g_variant_get_string (variant, NULL)))
      {
        g_value_set_uint (value, i);
        return TRUE;
      }
  return FALSE;
}

static GVariant *
index_to_value (const GValue *value, const GVariantType *type, gpointer data)
{
  const char *const *values = data;
  const guint        i = g_value_get_uint (value);

  return i < g_strv_length ((char **) values) ? g_variant_new_string (values[i]) : NULL;
}

static void
add_choice (BhPreferencesWindow *self, GtkWidget *group, const char *key, const char *title, const char *const *values,
            const char *const *texts)
{
  GtkWidget     *row = adw_combo_row_new ();
  GtkStringList *list = gtk_string_list_new (texts);

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  adw_combo_row_set_model (ADW_COMBO_ROW (row), G_LIST_MODEL (list));
  g_object_unref (list);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), row);
  if (self->settings != NULL)
    g_settings_bind_with_mapping (self->settings, key, row, "selected", G_SETTINGS_BIND_DEFAULT, value_to_index,
                                  index_to_value, (gpointer) values, NULL);
  else
    gtk_widget_set_sensitive (row, FALSE);
}

static void
build_general (BhPreferencesWindow *self)
{
  GtkWidget *page = new_page (self, _("General"), "preferences-system-symbolic");
  GtkWidget *group = new_group (page, _("Windows"), NULL);

  add_choice (self, group, "on-close", _("When a Running Machine’s Window Is Closed"), close_values,
              (const char *const[]) { _("Ask"), _("Keep it running"), _("Suspend it"), _("Power it off"), NULL });
  add_switch (self, group, "follow-guest-size", _("Follow the Guest’s Size"), _("The window changes size with the guest’s screen"));
  group = new_group (page, _("Picture"), NULL);
  add_choice (self, group, "scaling", _("Scaling"), scaling_values,
              (const char *const[]) { _("Fit the window"), _("Whole multiples"), _("Stretch"), NULL });
  add_switch (self, group, "smooth-scaling", _("Smooth Scaling"), _("Off: sharp, uneven pixels where the size does not divide"));
}

/* ------------------------------------------------------------------------------------------------ security */

static void
on_phrase_applied (AdwEntryRow *row, BhPreferencesWindow *self)
{
  bh_guard_call (GTK_WIDGET (self), self->library, "SetPolicy",
                 g_variant_new ("(ss)", "phrase", gtk_editable_get_text (GTK_EDITABLE (row))), _("Cannot keep the phrase"),
                 _("Phrase changed"));
  bh_genuine_mark_set_phrase (BH_GENUINE_MARK (self->mark), gtk_editable_get_text (GTK_EDITABLE (row)));
}

static void
on_policy_applied (AdwEntryRow *row, BhPreferencesWindow *self)
{
  bh_guard_call (GTK_WIDGET (self), self->library, "SetPolicy",
                 g_variant_new ("(ss)", g_object_get_data (G_OBJECT (row), "key"), gtk_editable_get_text (GTK_EDITABLE (row))),
                 _("Cannot change the policy"), _("Policy changed"));
}

static void
on_policy (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant)  policy = NULL;
  BhPreferencesWindow  *self;
  GVariantIter          iter;
  const char           *key, *value;

  if (!bh_guard1_call_get_policy_finish (BH_GUARD1 (source), &policy, result, NULL))
    return;
  self = BH_PREFERENCES_WINDOW (data);
  for (guint i = 0; i < self->policy_rows->len; i++)
    adw_preferences_group_remove (ADW_PREFERENCES_GROUP (self->policy_group), g_ptr_array_index (self->policy_rows, i));
  g_ptr_array_set_size (self->policy_rows, 0);
  g_variant_iter_init (&iter, policy);
  while (g_variant_iter_next (&iter, "{&s&s}", &key, &value))
    {
      GtkWidget *row;

      if (g_str_equal (key, "phrase"))
        continue;
      row = adw_entry_row_new ();
      adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), policy_title (key));
      gtk_editable_set_text (GTK_EDITABLE (row), value);
      adw_entry_row_set_show_apply_button (ADW_ENTRY_ROW (row), TRUE);
      g_object_set_data_full (G_OBJECT (row), "key", g_strdup (key), g_free);
      g_signal_connect (row, "apply", G_CALLBACK (on_policy_applied), self);
      adw_preferences_group_add (ADW_PREFERENCES_GROUP (self->policy_group), row);
      g_ptr_array_add (self->policy_rows, row);
    }
}

static void
refresh (BhPreferencesWindow *self)
{
  GVariant        *status = bh_library_get_status (self->library);
  BhGuard1        *guard = bh_library_get_guard (self->library);
  const gboolean   officer = bh_lookup_boolean (status, "officer");
  const gboolean   officer_set = bh_lookup_boolean (status, "officer-set");
  g_autofree char *encodings = g_markup_escape_text (bh_lookup_string (status, "encodings", "–"), -1);
  g_autofree char *host = g_markup_escape_text (bh_lookup_string (status, "host-label", "–"), -1);
  g_autofree char *range = g_strdup_printf ("%s – %s", bh_lookup_string (status, "clearance-low", ""),
                                            bh_lookup_string (status, "clearance-high", ""));
  g_autofree char *clearance = g_markup_escape_text (range, -1);
  const char      *phrase = bh_lookup_string (status, "phrase", "");

  bh_genuine_mark_set_phrase (BH_GENUINE_MARK (self->mark), phrase);
  if (!gtk_widget_has_focus (GTK_WIDGET (gtk_editable_get_delegate (GTK_EDITABLE (self->phrase_row)))))
    gtk_editable_set_text (GTK_EDITABLE (self->phrase_row), phrase);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->encodings_row), encodings);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->host_row), host);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->clearance_row), clearance);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->attention_row),
                               g_str_equal (bh_lookup_string (status, "attention-key", "ctrl+alt+pause"), "ctrl+alt+home")
                                 ? "Ctrl+Alt+Home" : "Ctrl+Alt+Pause");
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->login_row),
                                 officer_set ? _("Officer’s Passphrase") : _("Choose an Officer’s Passphrase"));
  gtk_widget_set_visible (self->login_row, !officer);
  gtk_widget_set_visible (self->logout_row, officer);
  gtk_widget_set_visible (self->policy_group, officer);
  if (officer && guard != NULL)
    bh_guard1_call_get_policy (guard, self->cancellable, on_policy, self);
}

static void
on_logged_in (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhPreferencesWindow) self = data;
  g_autoptr (GVariant)            outcome = NULL;
  g_autoptr (GError)              error = NULL;

  if (!bh_guard1_call_officer_login_finish (BH_GUARD1 (source), &outcome, result, &error))
    bh_messages_error (GTK_WIDGET (self), _("Not accepted"), error);
  bh_library_refresh (self->library);
}

static void
on_login (AdwEntryRow *row, BhPreferencesWindow *self)
{
  BhGuard1   *guard = bh_library_get_guard (self->library);
  const char *text = gtk_editable_get_text (GTK_EDITABLE (row));

  if (guard != NULL && *text)
    {
      /* Deriving the key takes the guard longer than other answers. */
      g_dbus_proxy_set_default_timeout (G_DBUS_PROXY (guard), G_MAXINT);
      bh_guard1_call_officer_login (guard, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1), NULL,
                                    on_logged_in, g_object_ref (self));
    }
  gtk_editable_set_text (GTK_EDITABLE (row), "");
}

static void
on_logged_out (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhPreferencesWindow) self = data;

  bh_guard1_call_officer_logout_finish (BH_GUARD1 (source), result, NULL);
  bh_library_refresh (self->library);
}

static void
on_logout (GtkButton *button, BhPreferencesWindow *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  if (guard != NULL)
    bh_guard1_call_officer_logout (guard, NULL, on_logged_out, g_object_ref (self));
}

static void
build_security (BhPreferencesWindow *self)
{
  GtkWidget *page = new_page (self, _("Security"), "security-high-symbolic");
  GtkWidget *group = new_group (page, _("Genuine Windows"),
                                _("Words of your own that every question about labels shows. No guest can know them."));
  GtkWidget *frame = adw_bin_new ();
  GtkWidget *button;

  self->mark = bh_genuine_mark_new ();
  adw_bin_set_child (ADW_BIN (frame), self->mark);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), frame);
  group = adw_preferences_group_new ();
  adw_preferences_page_add (ADW_PREFERENCES_PAGE (page), ADW_PREFERENCES_GROUP (group));
  self->phrase_row = adw_entry_row_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->phrase_row), _("Your Phrase"));
  adw_entry_row_set_show_apply_button (ADW_ENTRY_ROW (self->phrase_row), TRUE);
  g_signal_connect (self->phrase_row, "apply", G_CALLBACK (on_phrase_applied), self);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), self->phrase_row);

  group = new_group (page, _("In Force"), NULL);
  self->encodings_row = new_row (group, _("Encodings"), NULL);
  self->host_row = new_row (group, _("Label of This Desktop"), NULL);
  self->clearance_row = new_row (group, _("Your Clearance"), NULL);
  self->attention_row = new_row (group, _("Attention Key"), NULL);

  self->officer_group = new_group (page, _("Officer"), _("Policy, encodings and clearances are changed in the officer’s role only."));
  self->login_row = adw_password_entry_row_new ();
  adw_entry_row_set_show_apply_button (ADW_ENTRY_ROW (self->login_row), TRUE);
  g_signal_connect (self->login_row, "apply", G_CALLBACK (on_login), self);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (self->officer_group), self->login_row);
  self->logout_row = new_row (self->officer_group, _("In the Officer’s Role"), NULL);
  button = gtk_button_new_with_mnemonic (_("_Leave"));
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  g_signal_connect (button, "clicked", G_CALLBACK (on_logout), self);
  adw_action_row_add_suffix (ADW_ACTION_ROW (self->logout_row), button);
  self->policy_group = new_group (page, _("Policy"), NULL);
}

static void
bh_preferences_window_dispose (GObject *object)
{
  BhPreferencesWindow *self = BH_PREFERENCES_WINDOW (object);

  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  if (self->library != NULL)
    g_signal_handlers_disconnect_by_data (self->library, self);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->library);
  g_clear_object (&self->settings);
  g_clear_pointer (&self->policy_rows, g_ptr_array_unref);

  G_OBJECT_CLASS (bh_preferences_window_parent_class)->dispose (object);
}

static void
bh_preferences_window_class_init (BhPreferencesWindowClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = bh_preferences_window_dispose;
}

static void
bh_preferences_window_init (BhPreferencesWindow *self)
{
  self->cancellable = g_cancellable_new ();
  self->policy_rows = g_ptr_array_new ();
  gtk_window_set_default_size (GTK_WINDOW (self), 600, 640);
  adw_preferences_window_set_search_enabled (ADW_PREFERENCES_WINDOW (self), FALSE);
}

GtkWidget *
bh_preferences_window_new (BhLibrary *library, GSettings *settings)
{
  BhPreferencesWindow *self = g_object_new (BH_TYPE_PREFERENCES_WINDOW, NULL);

  self->library = g_object_ref (library);
  self->settings = settings ? g_object_ref (settings) : NULL;
  build_general (self);
  build_security (self);
  g_signal_connect_swapped (library, "notify::status", G_CALLBACK (refresh), self);
  refresh (self);
  return GTK_WIDGET (self);
}
