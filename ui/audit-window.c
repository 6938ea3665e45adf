/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "audit-window.h"

#include "label-strip.h"
#include "question-dialog.h"
#include "user-messages.h"

#include <glib/gi18n.h>
#include <json-glib/json-glib.h>

enum { LIMIT = 2000, SEARCH_DELAY_MS = 200 };

struct _BhAuditWindow
{
  AdwWindow      parent_instance;
  BhLibrary     *library;
  GCancellable  *cancellable;
  GtkStringList *records;       /* JSON lines, newest first */
  GHashTable    *labels;        /* canonical -> words, or "" while the guard is asked */
  guint          search_source;
  GtkWidget     *strip, *toasts, *stack, *list, *search, *result;
};

G_DEFINE_FINAL_TYPE (BhAuditWindow, bh_audit_window, ADW_TYPE_WINDOW)

static const char *const results[] = { "", "allow", "ask", "deny" };

/* ------------------------------------------------------------------------------------------------ one record */

static JsonObject *
parse (const char *line, JsonParser *parser)
{
  if (!json_parser_load_from_data (parser, line, -1, NULL) || !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    return NULL;
  return json_node_get_object (json_parser_get_root (parser));
}

/* The first of some member names that is there, as text. */
static char *
member (JsonObject *object, const char *names)
{
  g_auto (GStrv) list = g_strsplit (names, " ", -1);

  for (guint i = 0; object != NULL && list[i] != NULL; i++)
    {
      JsonNode *node = json_object_get_member (object, list[i]);

      if (node == NULL || !JSON_NODE_HOLDS_VALUE (node))
        continue;
      if (json_node_get_value_type (node) == G_TYPE_STRING)
        return g_strdup (json_node_get_string (node));
      if (json_node_get_value_type (node) == G_TYPE_INT64)
        return g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (node));
      if (json_node_get_value_type (node) == G_TYPE_BOOLEAN)
        return g_strdup (json_node_get_boolean (node) ? "true" : "false");
      if (json_node_get_value_type (node) == G_TYPE_DOUBLE)
        return g_strdup_printf ("%.3f", json_node_get_double (node));
    }
  return g_strdup ("");
}

static char *
record_time (JsonObject *object)
{
  g_autofree char      *text = member (object, "time when at");
  char                 *end;
  const double          seconds = g_ascii_strtod (text, &end);
  g_autoptr (GDateTime) when = NULL;
  g_autoptr (GDateTime) local = NULL;

  if (*text != '\0' && *end == '\0')
    when = g_date_time_new_from_unix_local ((gint64) seconds);
  else
    {
      g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();

      when = g_date_time_new_from_iso8601 (text, utc);
    }
  if (when == NULL)
    return g_steal_pointer (&text);
  local = g_date_time_to_local (when);
  return g_date_time_format (local, "%x %X");
}

/* The trail holds labels in their canonical form; people read words. */
static char *
label_words (BhAuditWindow *self, JsonObject *object, const char *names)
{
  char       *canonical = member (object, names);
  const char *words = g_hash_table_lookup (self->labels, canonical);

  if (words == NULL || *words == '\0')
    return canonical;
  g_free (canonical);
  return g_strdup (words);
}

typedef struct
{
  BhAuditWindow *self;
  char          *canonical;
} Asked;

static void
on_label (GObject *source, GAsyncResult *result, gpointer data)
{
  Asked               *asked = data;
  g_autoptr (GVariant) label = NULL;

  if (bh_guard1_call_show_label_finish (BH_GUARD1 (source), &label, result, NULL))
    {
      const guint n = g_list_model_get_n_items (G_LIST_MODEL (asked->self->records));

      g_hash_table_insert (asked->self->labels, g_strdup (asked->canonical),
                           g_strdup (bh_lookup_string (label, "strip-text", "")));
      g_list_model_items_changed (G_LIST_MODEL (asked->self->records), 0, n, n);
    }
  g_object_unref (asked->self);
  g_free (asked->canonical);
  g_free (asked);
}

static void
ask_label (BhAuditWindow *self, JsonObject *object, const char *names)
{
  g_autofree char *canonical = member (object, names);
  BhGuard1        *guard = bh_library_get_guard (self->library);
  Asked           *asked;

  if (guard == NULL || *canonical == '\0' || g_hash_table_contains (self->labels, canonical))
    return;
  g_hash_table_insert (self->labels, g_strdup (canonical), g_strdup (""));
  asked = g_new0 (Asked, 1);
  asked->self = g_object_ref (self);
  asked->canonical = g_strdup (canonical);
  bh_guard1_call_show_label (guard, canonical, NULL, on_label, asked);
}

static void
setup_row (GtkSignalListItemFactory *factory, GtkListItem *item)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 12);
  GtkWidget *icon = gtk_image_new ();
  GtkWidget *words = gtk_box_new (GTK_ORIENTATION_VERTICAL, 2);
  GtkWidget *title = gtk_label_new (NULL);
  GtkWidget *subtitle = gtk_label_new (NULL);
  GtkWidget *time = gtk_label_new (NULL);

  gtk_label_set_xalign (GTK_LABEL (title), 0);
  gtk_label_set_ellipsize (GTK_LABEL (title), PANGO_ELLIPSIZE_END);
  gtk_label_set_xalign (GTK_LABEL (subtitle), 0);
  gtk_label_set_ellipsize (GTK_LABEL (subtitle), PANGO_ELLIPSIZE_END);
  gtk_widget_add_css_class (subtitle, "dim-label");
  gtk_widget_add_css_class (subtitle, "caption");
  gtk_widget_add_css_class (time, "dim-label");
  gtk_widget_add_css_class (time, "caption");
  gtk_widget_add_css_class (time, "numeric");
  gtk_box_append (GTK_BOX (words), title);
  gtk_box_append (GTK_BOX (words), subtitle);
  gtk_widget_set_hexpand (words, TRUE);
  gtk_box_append (GTK_BOX (row), icon);
  gtk_box_append (GTK_BOX (row), words);
  gtk_box_append (GTK_BOX (row), time);
  gtk_widget_set_margin_top (row, 6);
  gtk_widget_set_margin_bottom (row, 6);
  gtk_widget_set_margin_start (row, 6);
  gtk_widget_set_margin_end (row, 6);
  g_object_set_data (G_OBJECT (row), "icon", icon);
  g_object_set_data (G_OBJECT (row), "title", title);
  g_object_set_data (G_OBJECT (row), "subtitle", subtitle);
  g_object_set_data (G_OBJECT (row), "time", time);
  gtk_list_item_set_child (item, row);
}

static void
bind_row (GtkSignalListItemFactory *factory, GtkListItem *item, BhAuditWindow *self)
{
  GObject               *row = G_OBJECT (gtk_list_item_get_child (item));
  const char            *line = gtk_string_object_get_string (gtk_list_item_get_item (item));
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject            *object = parse (line, parser);
  g_autofree char       *machine = member (object, "machine name subject");
  g_autofree char       *channel = member (object, "channel event action");
  g_autofree char       *from = label_words (self, object, "from from-label source");
  g_autofree char       *to = label_words (self, object, "to to-label target");
  g_autofree char       *verdict = member (object, "result verdict");
  g_autofree char       *reason = member (object, "reason note object rule");
  g_autofree char       *time = record_time (object);
  g_autofree char       *title = NULL, *flow = NULL, *subtitle = NULL;
  const char            *icon = "emblem-ok-symbolic";

  if (object == NULL)
    reason = g_strdup (line);
  title = *machine ? g_strdup_printf ("%s  ·  %s", bh_channel_title (channel), machine)
                   : g_strdup (bh_channel_title (channel));
  if (*from || *to)
    flow = g_strdup_printf ("%s → %s", from, to);
  subtitle = flow && *reason ? g_strdup_printf ("%s   %s", flow, reason) : g_strdup (flow ? flow : reason);
  if (g_str_has_prefix (verdict, "den") || g_str_has_prefix (verdict, "refus") || g_str_has_prefix (verdict, "fail"))
    icon = "action-unavailable-symbolic";
  else if (g_str_has_prefix (verdict, "ask"))
    icon = "dialog-question-symbolic";
  gtk_image_set_from_icon_name (g_object_get_data (row, "icon"), icon);
  gtk_widget_set_tooltip_text (g_object_get_data (row, "icon"), verdict);
  gtk_label_set_text (g_object_get_data (row, "title"), title);
  gtk_label_set_text (g_object_get_data (row, "subtitle"), subtitle);
  gtk_label_set_text (g_object_get_data (row, "time"), time);
}

static void
on_activate (GtkListView *list, guint position, BhAuditWindow *self)
{
  const char               *line = gtk_string_list_get_string (self->records, position);
  g_autoptr (JsonParser)    parser = json_parser_new ();
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autofree char          *text = NULL;
  GtkWidget                *dialog, *label, *scroller;

  if (parse (line, parser) != NULL)
    {
      json_generator_set_root (generator, json_parser_get_root (parser));
      json_generator_set_pretty (generator, TRUE);
      text = json_generator_to_data (generator, NULL);
    }
  dialog = adw_message_dialog_new (GTK_WINDOW (self), _("Audit Record"), NULL);
  label = gtk_label_new (text ? text : line);
  gtk_label_set_selectable (GTK_LABEL (label), TRUE);
  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_label_set_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
  gtk_widget_add_css_class (label, "mono");
  scroller = gtk_scrolled_window_new ();
  gtk_scrolled_window_set_propagate_natural_height (GTK_SCROLLED_WINDOW (scroller), TRUE);
  gtk_scrolled_window_set_max_content_height (GTK_SCROLLED_WINDOW (scroller), 360);
  gtk_scrolled_window_set_min_content_width (GTK_SCROLLED_WINDOW (scroller), 320);
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (scroller), label);
  adw_message_dialog_set_extra_child (ADW_MESSAGE_DIALOG (dialog), scroller);
  adw_message_dialog_add_response (ADW_MESSAGE_DIALOG (dialog), "close", _("_Close"));
  gtk_window_present (GTK_WINDOW (dialog));
}

/* ------------------------------------------------------------------------------------------------ the list */

static void
on_records (GObject *source, GAsyncResult *result, gpointer data)
{
  g_auto (GStrv)     lines = NULL;
  g_autoptr (GError) error = NULL;
  BhAuditWindow     *self;

  if (!bh_guard1_call_list_audit_finish (BH_GUARD1 (source), &lines, result, &error))
    {
      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        bh_messages_error (GTK_WIDGET (data), _("Cannot read the audit trail"), error);
      return;
    }
  self = BH_AUDIT_WINDOW (data);
  /* Newest first, whichever way they came. */
  for (guint i = 0, n = g_strv_length (lines); i < n / 2; i++)
    {
      char *line = lines[i];

      lines[i] = lines[n - 1 - i];
      lines[n - 1 - i] = line;
    }
  gtk_string_list_splice (self->records, 0, g_list_model_get_n_items (G_LIST_MODEL (self->records)),
                          (const char *const *) lines);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autoptr (JsonParser) parser = json_parser_new ();
      JsonObject            *object = parse (lines[i], parser);

      if (object != NULL)
        {
          ask_label (self, object, "from from-label source");
          ask_label (self, object, "to to-label target");
        }
    }
  gtk_stack_set_visible_child_name (GTK_STACK (self->stack), *lines ? "list" : "empty");
}

static void
ask (BhAuditWindow *self)
{
  BhGuard1       *guard = bh_library_get_guard (self->library);
  const char     *text = gtk_editable_get_text (GTK_EDITABLE (self->search));
  const guint     result = gtk_drop_down_get_selected (GTK_DROP_DOWN (self->result));
  GVariantBuilder filter;

  if (guard == NULL)
    return;
  g_cancellable_cancel (self->cancellable);
  g_object_unref (self->cancellable);
  self->cancellable = g_cancellable_new ();
  g_variant_builder_init (&filter, G_VARIANT_TYPE_VARDICT);
  if (*text)
    g_variant_builder_add (&filter, "{sv}", "text", g_variant_new_string (text));
  if (result > 0 && result < G_N_ELEMENTS (results))
    g_variant_builder_add (&filter, "{sv}", "result", g_variant_new_string (results[result]));
  bh_guard1_call_list_audit (guard, LIMIT, g_variant_builder_end (&filter), self->cancellable, on_records, self);
}

static gboolean
on_search_delay (gpointer data)
{
  BhAuditWindow *self = data;

  self->search_source = 0;
  ask (self);
  return G_SOURCE_REMOVE;
}

static void
on_search_changed (BhAuditWindow *self)
{
  g_clear_handle_id (&self->search_source, g_source_remove);
  self->search_source = g_timeout_add (SEARCH_DELAY_MS, on_search_delay, self);
}

static void
on_verified (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (BhAuditWindow) self = data;
  g_autoptr (GVariant)      outcome = NULL;
  g_autoptr (GError)        error = NULL;
  g_autofree char          *text = NULL;
  guint64                   n;

  if (!bh_guard1_call_verify_audit_finish (BH_GUARD1 (source), &outcome, result, &error))
    {
      bh_messages_error (GTK_WIDGET (self), _("Cannot verify"), error);
      return;
    }
  n = (guint64) bh_lookup_number (outcome, "records", 0);
  if (bh_lookup_boolean (outcome, "ok"))
    {
      text = g_strdup_printf (ngettext ("The chain is whole: %u record", "The chain is whole: %u records", (gulong) n),
                              (guint) n);
      bh_messages_toast (GTK_WIDGET (self), text);
      return;
    }
  g_set_error (&error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _("Record %u: %s"),
               (guint) bh_lookup_number (outcome, "line", 0), bh_lookup_string (outcome, "problem", ""));
  bh_messages_error (GTK_WIDGET (self), _("The Audit Trail Has Been Changed"), error);
}

static void
verify (GtkWidget *widget, const char *action_name, GVariant *parameter)
{
  BhAuditWindow *self = BH_AUDIT_WINDOW (widget);
  BhGuard1      *guard = bh_library_get_guard (self->library);

  if (guard != NULL)
    bh_guard1_call_verify_audit (guard, NULL, on_verified, g_object_ref (self));
}

/* A field in quotes when it needs them; one that a spreadsheet would take for a formula gets an apostrophe. */
static void
append_csv (GString *out, const char *field)
{
  const gboolean formula = strchr ("=+-@", *field) != NULL && *field != '\0';

  g_string_append_c (out, '"');
  if (formula)
    g_string_append_c (out, '\'');
  for (const char *c = field; *c; c++)
    {
      if (*c == '"')
        g_string_append_c (out, '"');
      g_string_append_c (out, *c);
    }
  g_string_append_c (out, '"');
}

char *
bh_audit_window_export (BhAuditWindow *self, gboolean as_csv)
{
  static const char *const columns[] = { "time when at", "result verdict", "channel event action", "machine name subject",
                                         "from from-label source", "to to-label target", "rule", "reason note object" };
  GString *out = g_string_new (as_csv ? "time,result,channel,machine,from,to,rule,reason\r\n" : NULL);

  g_return_val_if_fail (BH_IS_AUDIT_WINDOW (self), NULL);

  for (guint i = 0; i < g_list_model_get_n_items (G_LIST_MODEL (self->records)); i++)
    {
      const char            *line = gtk_string_list_get_string (self->records, i);
      g_autoptr (JsonParser) parser = json_parser_new ();
      JsonObject            *object;

      if (!as_csv)
        {
          g_string_append_printf (out, "%s\n", line);
          continue;
        }
      object = parse (line, parser);
      for (guint j = 0; j < G_N_ELEMENTS (columns); j++)
        {
          g_autofree char *field = member (object, columns[j]);

          if (j > 0)
            g_string_append_c (out, ',');
          append_csv (out, field);
        }
      g_string_append (out, "\r\n");
    }
  return g_string_free (out, FALSE);
}

static void
on_export_file (GtkNativeDialog *dialog, int response, BhAuditWindow *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr (GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
      g_autofree char  *path = g_file_get_path (file);
      g_autofree char  *text = path ? bh_audit_window_export (self, g_str_has_suffix (path, ".csv")) : NULL;

      if (path != NULL)
        gtk_widget_activate_action (GTK_WIDGET (self), "app.save-text", "(ss)", path, text);
    }
  g_object_unref (dialog);
}

static void
export_records (GtkWidget *widget, const char *action_name, GVariant *parameter)
{
  GtkFileChooserNative *dialog = gtk_file_chooser_native_new (_("Export the Audit Trail"), GTK_WINDOW (widget),
                                                              GTK_FILE_CHOOSER_ACTION_SAVE, _("_Export"), _("_Cancel"));

  gtk_file_chooser_set_current_name (GTK_FILE_CHOOSER (dialog), "bulkhead-audit.csv");
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_export_file), widget, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

static void
bh_audit_window_dispose (GObject *object)
{
  BhAuditWindow *self = BH_AUDIT_WINDOW (object);

  g_clear_handle_id (&self->search_source, g_source_remove);
  g_cancellable_cancel (self->cancellable);
  g_clear_object (&self->library);

  G_OBJECT_CLASS (bh_audit_window_parent_class)->dispose (object);
}

static void
bh_audit_window_finalize (GObject *object)
{
  BhAuditWindow *self = BH_AUDIT_WINDOW (object);

  g_clear_object (&self->cancellable);
  g_clear_object (&self->records);
  g_clear_pointer (&self->labels, g_hash_table_unref);

  G_OBJECT_CLASS (bh_audit_window_parent_class)->finalize (object);
}

static void
bh_audit_window_class_init (BhAuditWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = bh_audit_window_dispose;
  G_OBJECT_CLASS (klass)->finalize = bh_audit_window_finalize;
  gtk_widget_class_install_action (widget_class, "audit.verify", NULL, verify);
  gtk_widget_class_install_action (widget_class, "audit.export", NULL, export_records);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Escape, 0, "window.close", NULL);
}

static GtkWidget *
icon_button (const char *icon, const char *text, const char *action)
{
  GtkWidget *button = gtk_button_new_from_icon_name (icon);

  gtk_widget_set_tooltip_text (button, text);
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
  gtk_actionable_set_action_name (GTK_ACTIONABLE (button), action);
  return button;
}

static void
bh_audit_window_init (BhAuditWindow *self)
{
  GtkWidget          *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  GtkWidget          *header = adw_header_bar_new ();
  GtkWidget          *tools = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 6);
  GtkWidget          *scroller = gtk_scrolled_window_new ();
  GtkWidget          *empty = adw_status_page_new ();
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();

  self->cancellable = g_cancellable_new ();
  self->records = gtk_string_list_new (NULL);
  self->labels = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  gtk_window_set_title (GTK_WINDOW (self), _("Audit Trail"));
  gtk_window_set_default_size (GTK_WINDOW (self), 720, 560);

  self->strip = g_object_new (BH_TYPE_LABEL_STRIP, "prefix", _("Highest label shown: "), NULL);
  adw_header_bar_pack_start (ADW_HEADER_BAR (header), icon_button ("security-high-symbolic", _("Verify the Chain"), "audit.verify"));
  adw_header_bar_pack_end (ADW_HEADER_BAR (header), icon_button ("document-save-symbolic", _("Export…"), "audit.export"));
  self->search = gtk_search_entry_new ();
  gtk_widget_set_hexpand (self->search, TRUE);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->search), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Search records"), -1);
  g_object_set (self->search, "placeholder-text", _("Machine, channel, label…"), NULL);
  g_signal_connect_swapped (self->search, "search-changed", G_CALLBACK (on_search_changed), self);
  self->result = gtk_drop_down_new_from_strings ((const char *const[]) { _("All"), _("Allowed"), _("Asked"), _("Refused"), NULL });
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->result), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Result"), -1);
  g_signal_connect_swapped (self->result, "notify::selected", G_CALLBACK (ask), self);
  gtk_box_append (GTK_BOX (tools), self->search);
  gtk_box_append (GTK_BOX (tools), self->result);
  gtk_widget_set_margin_top (tools, 6);
  gtk_widget_set_margin_bottom (tools, 6);
  gtk_widget_set_margin_start (tools, 12);
  gtk_widget_set_margin_end (tools, 12);

  g_signal_connect (factory, "setup", G_CALLBACK (setup_row), NULL);
  g_signal_connect (factory, "bind", G_CALLBACK (bind_row), self);
  self->list = gtk_list_view_new (GTK_SELECTION_MODEL (gtk_single_selection_new (G_LIST_MODEL (g_object_ref (self->records)))),
                                  factory);
  g_signal_connect (self->list, "activate", G_CALLBACK (on_activate), self);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->list), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Audit records"), -1);
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (scroller), self->list);
  adw_status_page_set_icon_name (ADW_STATUS_PAGE (empty), "security-high-symbolic");
  adw_status_page_set_title (ADW_STATUS_PAGE (empty), _("No Records"));
  adw_status_page_set_description (ADW_STATUS_PAGE (empty), _("Every decision of the guard is recorded; none fits this search."));
  self->stack = gtk_stack_new ();
  gtk_stack_add_named (GTK_STACK (self->stack), scroller, "list");
  gtk_stack_add_named (GTK_STACK (self->stack), empty, "empty");
  self->toasts = adw_toast_overlay_new ();
  adw_toast_overlay_set_child (ADW_TOAST_OVERLAY (self->toasts), self->stack);
  gtk_widget_set_vexpand (self->toasts, TRUE);
  bh_messages_set_overlay (GTK_WINDOW (self), ADW_TOAST_OVERLAY (self->toasts));

  gtk_box_append (GTK_BOX (box), self->strip);
  gtk_box_append (GTK_BOX (box), header);
  gtk_box_append (GTK_BOX (box), tools);
  gtk_box_append (GTK_BOX (box), self->toasts);
  adw_window_set_content (ADW_WINDOW (self), box);
}

GtkWidget *
bh_audit_window_new (BhLibrary *library)
{
  BhAuditWindow *self = g_object_new (BH_TYPE_AUDIT_WINDOW, NULL);

  self->library = g_object_ref (library);
  g_object_bind_property (library, "highest", self->strip, "look", G_BINDING_SYNC_CREATE);
  ask (self);
  return GTK_WIDGET (self);
}

guint
bh_audit_window_get_n_records (BhAuditWindow *self)
{
  g_return_val_if_fail (BH_IS_AUDIT_WINDOW (self), 0);

  return g_list_model_get_n_items (G_LIST_MODEL (self->records));
}
