/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "library-window.h"

#include "guard-call.h"
#include "label-strip.h"
#include "machine-actions.h"
#include "machine-card.h"
#include "user-messages.h"

#include <glib/gi18n.h>

struct _BhLibraryWindow
{
  AdwApplicationWindow parent_instance;
  BhLibrary           *library;
  GSettings           *settings;
  GtkSingleSelection  *selection;
  GtkFilterListModel  *filtered;
  GtkFilter           *filter;
  GHashTable          *doomed;          /* names of machines whose deletion can still be undone */
  char                *needle;
  gboolean             as_list, was_online;

  GMenuModel          *machine_menu;
  GtkWidget           *highest, *header, *title, *search_button, *search_bar, *search_entry, *view_button;
  GtkWidget           *problem_revealer, *problem_label, *toasts, *stack, *grid, *list, *new_button;
};

static void machine_host_init (BhMachineHostInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BhLibraryWindow, bh_library_window, ADW_TYPE_APPLICATION_WINDOW,
                               G_IMPLEMENT_INTERFACE (BH_TYPE_MACHINE_HOST, machine_host_init))

/* ------------------------------------------------------------------------------------------------ what is shown */

static gboolean
matches (gpointer item, gpointer data)
{
  BhLibraryWindow *self = data;
  BhMachine       *machine = item;
  g_autofree char *folded = NULL;
  g_autofree char *text = NULL;

  if (g_hash_table_contains (self->doomed, bh_machine_get_name (machine)))
    return FALSE;
  if (self->needle == NULL || *self->needle == '\0')
    return TRUE;
  text = g_strjoin ("\n", bh_machine_get_name (machine), bh_machine_get_look (machine)->text,
                    bh_machine_get_state_text (machine), bh_lookup_string (bh_machine_get_details (machine), "notes", ""),
                    NULL);
  folded = g_utf8_casefold (text, -1);
  return strstr (folded, self->needle) != NULL;
}

static void
update_page (BhLibraryWindow *self)
{
  const gboolean online = bh_library_get_online (self->library);
  const char    *problem = bh_library_get_problem (self->library);
  const guint    n_machines = g_list_model_get_n_items (G_LIST_MODEL (self->library));
  const guint    n_shown = g_list_model_get_n_items (G_LIST_MODEL (self->filtered));
  const guint    n_running = bh_library_get_n_running (self->library);
  const char    *page;
  g_autofree char *subtitle = NULL;

  if (!online)
    page = problem ? "offline" : "connecting";
  else if (n_machines == 0 || n_machines == g_hash_table_size (self->doomed))
    page = "empty";
  else if (n_shown == 0)
    page = "none";
  else
    page = self->as_list ? "list" : "grid";
  if (online && !self->was_online)
    gtk_single_selection_set_selected (self->selection, 0);     /* not the card that happened to be there first */
  self->was_online = online;
  gtk_stack_set_visible_child_name (GTK_STACK (self->stack), page);
  gtk_label_set_text (GTK_LABEL (self->problem_label), problem ? problem : "");
  gtk_revealer_set_reveal_child (GTK_REVEALER (self->problem_revealer), problem != NULL);
  gtk_widget_set_sensitive (self->view_button, n_machines > 0);
  gtk_widget_set_sensitive (self->search_button, n_machines > 0);
  gtk_widget_set_sensitive (self->new_button, online);
  if (n_running > 0)
    subtitle = g_strdup_printf (ngettext ("%u machine running", "%u machines running", n_running), n_running);
  adw_window_title_set_subtitle (ADW_WINDOW_TITLE (self->title), subtitle ? subtitle : "");
  bh_label_strip_set_look (BH_LABEL_STRIP (self->highest), bh_library_get_highest (self->library));
}

static BhMachine *
selected (BhLibraryWindow *self)
{
  gpointer item = gtk_single_selection_get_selected_item (self->selection);

  return BH_IS_MACHINE (item) ? item : NULL;
}

static void
on_selected_changed (BhLibraryWindow *self)
{
  bh_machine_actions_update (BH_MACHINE_HOST (self));
}

static void
on_items_changed (BhLibraryWindow *self)
{
  update_page (self);
  bh_machine_actions_update (BH_MACHINE_HOST (self));
}

/* State is not an item change, but it changes what matches, what can be done and how many run. */
static void
on_machine_notify (BhMachine *machine, GParamSpec *pspec, BhLibraryWindow *self)
{
  if (self->needle != NULL && *self->needle != '\0')
    gtk_filter_changed (self->filter, GTK_FILTER_CHANGE_DIFFERENT);
  bh_machine_actions_update (BH_MACHINE_HOST (self));
}

static void
watch_machines (BhLibraryWindow *self, guint position, guint n_added)
{
  for (guint i = position; i < position + n_added; i++)
    {
      g_autoptr (BhMachine) machine = g_list_model_get_item (G_LIST_MODEL (self->library), i);

      /* Taking a machine out of its place and back (renaming) must not connect twice. */
      g_signal_handlers_disconnect_by_func (machine, G_CALLBACK (on_machine_notify), self);
      g_signal_connect_object (machine, "notify::state", G_CALLBACK (on_machine_notify), self, 0);
    }
}

static void
on_library_items_changed (GListModel *model, guint position, guint removed, guint added, BhLibraryWindow *self)
{
  watch_machines (self, position, added);
  update_page (self);
}

/* ------------------------------------------------------------------------------------------------ cards */

static BhLibraryWindow *
window_of (GtkWidget *card)
{
  return BH_LIBRARY_WINDOW (gtk_widget_get_root (card));
}

static void
on_card_menu (BhMachineCard *card, double x, double y, gpointer data)
{
  BhLibraryWindow *self = window_of (GTK_WIDGET (card));
  GtkListItem     *item = data;
  GtkWidget       *popover;

  gtk_single_selection_set_selected (self->selection, gtk_list_item_get_position (item));
  popover = gtk_popover_menu_new_from_model (self->machine_menu);
  gtk_widget_set_parent (popover, GTK_WIDGET (card));
  gtk_popover_set_has_arrow (GTK_POPOVER (popover), FALSE);
  gtk_widget_set_halign (popover, GTK_ALIGN_START);
  gtk_popover_set_pointing_to (GTK_POPOVER (popover), &(GdkRectangle) { (int) x, (int) y, 1, 1 });
  /* Unparented later: the action of the chosen item is activated after "closed". */
  g_signal_connect_after (popover, "closed", G_CALLBACK (gtk_widget_unparent), NULL);
  gtk_popover_popup (GTK_POPOVER (popover));
}

static void
setup_card (GtkSignalListItemFactory *factory, GtkListItem *item, gpointer as_row)
{
  GtkWidget *card = bh_machine_card_new (GPOINTER_TO_INT (as_row));

  if (!GPOINTER_TO_INT (as_row))
    gtk_widget_set_halign (card, GTK_ALIGN_CENTER);
  g_signal_connect (card, "menu", G_CALLBACK (on_card_menu), item);
  gtk_list_item_set_child (item, card);
}

static void
bind_card (GtkSignalListItemFactory *factory, GtkListItem *item)
{
  gpointer object = gtk_list_item_get_item (item);

  bh_machine_card_set_machine (BH_MACHINE_CARD (gtk_list_item_get_child (item)),
                               BH_IS_MACHINE (object) ? object : NULL);
}

static void
unbind_card (GtkSignalListItemFactory *factory, GtkListItem *item)
{
  bh_machine_card_set_machine (BH_MACHINE_CARD (gtk_list_item_get_child (item)), NULL);
}

static GtkListItemFactory *
new_factory (gboolean as_row)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();

  g_signal_connect (factory, "setup", G_CALLBACK (setup_card), GINT_TO_POINTER (as_row));
  g_signal_connect (factory, "bind", G_CALLBACK (bind_card), NULL);
  g_signal_connect (factory, "unbind", G_CALLBACK (unbind_card), NULL);
  return factory;
}

static void
on_activate (GtkWidget *view, guint position, BhLibraryWindow *self)
{
  g_autoptr (GObject) item = g_list_model_get_item (G_LIST_MODEL (self->selection), position);

  if (BH_IS_MACHINE (item))
    gtk_widget_activate_action (GTK_WIDGET (self), "app.open-machine", "s", bh_machine_get_name (BH_MACHINE (item)));
  else
    gtk_widget_activate_action (GTK_WIDGET (self), "app.new-machine", NULL);
}

/* ------------------------------------------------------------------------------------------------ deletion with undo */

typedef struct
{
  BhLibraryWindow *self;
  char            *name;
  gboolean         undone;
} Deletion;

static void
deletion_free (gpointer data, GClosure *closure)
{
  Deletion *deletion = data;

  g_object_unref (deletion->self);
  g_free (deletion->name);
  g_free (deletion);
}

static void
show_again (BhLibraryWindow *self, const char *name)
{
  g_hash_table_remove (self->doomed, name);
  gtk_filter_changed (self->filter, GTK_FILTER_CHANGE_LESS_STRICT);
  update_page (self);
}

static void
on_deleted (GObject *source, GAsyncResult *result, gpointer data)
{
  Deletion          *deletion = data;
  g_autoptr (GError) error = NULL;

  if (!bh_guard1_call_delete_machine_finish (BH_GUARD1 (source), result, &error))
    bh_messages_error (GTK_WIDGET (deletion->self), _("Cannot delete"), error);
  show_again (deletion->self, deletion->name);
  deletion_free (deletion, NULL);
}

static void
delete_now (BhLibraryWindow *self, const char *name)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);
  Deletion *deletion;

  if (guard == NULL)
    {
      show_again (self, name);
      return;
    }
  deletion = g_new0 (Deletion, 1);
  deletion->self = g_object_ref (self);
  deletion->name = g_strdup (name);
  bh_guard1_call_delete_machine (guard, name, bh_no_options (), NULL, on_deleted,
                                 deletion);
}

static void
on_undo (AdwToast *toast, Deletion *deletion)
{
  deletion->undone = TRUE;
  show_again (deletion->self, deletion->name);
}

static void
on_toast_dismissed (AdwToast *toast, Deletion *deletion)
{
  if (!deletion->undone && g_hash_table_contains (deletion->self->doomed, deletion->name))
    delete_now (deletion->self, deletion->name);
}

static void
delete_with_undo (BhMachineHost *host, BhMachine *machine)
{
  BhLibraryWindow *self = BH_LIBRARY_WINDOW (host);
  Deletion        *deletion = g_new0 (Deletion, 1);
  g_autofree char *text = g_strdup_printf (_("“%s” deleted"), bh_machine_get_name (machine));
  g_autofree char *markup = g_markup_escape_text (text, -1);
  AdwToast        *toast = adw_toast_new (markup);

  deletion->self = g_object_ref (self);
  deletion->name = g_strdup (bh_machine_get_name (machine));
  g_hash_table_add (self->doomed, g_strdup (deletion->name));
  gtk_filter_changed (self->filter, GTK_FILTER_CHANGE_MORE_STRICT);
  update_page (self);
  adw_toast_set_button_label (toast, _("_Undo"));
  adw_toast_set_timeout (toast, 6);
  g_signal_connect (toast, "button-clicked", G_CALLBACK (on_undo), deletion);
  g_signal_connect_data (toast, "dismissed", G_CALLBACK (on_toast_dismissed), deletion, deletion_free, 0);
  adw_toast_overlay_add_toast (ADW_TOAST_OVERLAY (self->toasts), toast);
}

/* ------------------------------------------------------------------------------------------------ actions */

static BhMachine *
host_get_machine (BhMachineHost *host)
{
  return selected (BH_LIBRARY_WINDOW (host));
}

static BhLibrary *
host_get_library (BhMachineHost *host)
{
  return BH_LIBRARY_WINDOW (host)->library;
}

static void
machine_host_init (BhMachineHostInterface *iface)
{
  iface->get_machine = host_get_machine;
  iface->get_library = host_get_library;
  iface->delete = delete_with_undo;
}

static void
update_view (BhLibraryWindow *self)
{
  gtk_button_set_icon_name (GTK_BUTTON (self->view_button), self->as_list ? "view-grid-symbolic" : "view-list-symbolic");
  gtk_widget_set_tooltip_text (self->view_button, self->as_list ? _("Show as Cards") : _("Show as List"));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->view_button), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                  self->as_list ? _("Show as Cards") : _("Show as List"), -1);
  update_page (self);
}

static void
toggle_view (GtkWidget *widget, const char *action_name, GVariant *parameter)
{
  BhLibraryWindow *self = BH_LIBRARY_WINDOW (widget);

  self->as_list = !self->as_list;
  if (self->settings != NULL)
    g_settings_set_string (self->settings, "view", self->as_list ? "list" : "grid");
  update_view (self);
}

static void
toggle_search (GtkWidget *widget, const char *action_name, GVariant *parameter)
{
  BhLibraryWindow *self = BH_LIBRARY_WINDOW (widget);

  gtk_search_bar_set_search_mode (GTK_SEARCH_BAR (self->search_bar),
                                  !gtk_search_bar_get_search_mode (GTK_SEARCH_BAR (self->search_bar)));
}

static void
on_file_chosen (GtkNativeDialog *dialog, int response, BhLibraryWindow *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr (GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
      g_autofree char  *path = file ? g_file_get_path (file) : NULL;

      if (path != NULL)
        gtk_widget_activate_action (GTK_WIDGET (self), "app.open-path", "s", path);
    }
  g_object_unref (dialog);
}

static void
open_file (GtkWidget *widget, const char *action_name, GVariant *parameter)
{
  GtkFileChooserNative *dialog = gtk_file_chooser_native_new (_("Open a Disk or CD Image"), GTK_WINDOW (widget),
                                                              GTK_FILE_CHOOSER_ACTION_OPEN, _("_Open"), _("_Cancel"));
  GtkFileFilter        *images = gtk_file_filter_new ();
  GtkFileFilter        *all = gtk_file_filter_new ();
  static const char *const suffixes[] = { "bulkhead", "iso", "img", "ima", "flp", "vfd", "dsk", "raw", "qcow2", "vmdk",
                                          "vdi", "vhd" };

  gtk_file_filter_set_name (images, _("Machines and images"));
  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    gtk_file_filter_add_suffix (images, suffixes[i]);
  gtk_file_filter_set_name (all, _("All files"));
  gtk_file_filter_add_pattern (all, "*");
  gtk_file_chooser_add_filter (GTK_FILE_CHOOSER (dialog), images);
  gtk_file_chooser_add_filter (GTK_FILE_CHOOSER (dialog), all);
  g_object_unref (images);
  g_object_unref (all);
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_file_chosen), widget, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

static gboolean
on_drop (GtkDropTarget *target, const GValue *value, double x, double y, BhLibraryWindow *self)
{
  GdkFileList     *list = g_value_get_boxed (value);
  GSList          *files = list ? gdk_file_list_get_files (list) : NULL;
  g_autofree char *path = files ? g_file_get_path (files->data) : NULL;

  g_slist_free (files);
  if (path == NULL)
    return FALSE;
  gtk_widget_activate_action (GTK_WIDGET (self), "app.open-path", "s", path);
  return TRUE;
}

static void
on_search_changed (GtkSearchEntry *entry, BhLibraryWindow *self)
{
  g_free (self->needle);
  self->needle = g_utf8_casefold (gtk_editable_get_text (GTK_EDITABLE (entry)), -1);
  gtk_filter_changed (self->filter, GTK_FILTER_CHANGE_DIFFERENT);
  update_page (self);
}

static void
on_search_activate (GtkSearchEntry *entry, BhLibraryWindow *self)
{
  BhMachine *machine = selected (self);

  if (machine != NULL)
    gtk_widget_activate_action (GTK_WIDGET (self), "app.open-machine", "s", bh_machine_get_name (machine));
}

static gboolean
bh_library_window_close_request (GtkWindow *window)
{
  BhLibraryWindow  *self = BH_LIBRARY_WINDOW (window);
  g_autoptr (GList) names = g_hash_table_get_keys (self->doomed);
  int               width, height;

  /* Closing the window ends the time to change one's mind. */
  for (GList *l = names; l != NULL; l = l->next)
    {
      BhGuard1 *guard = bh_library_get_guard (self->library);

      if (guard != NULL)
        bh_guard1_call_delete_machine_sync (guard, l->data, bh_no_options (), NULL,
                                            NULL);
    }
  g_hash_table_remove_all (self->doomed);
  if (self->settings != NULL && !gtk_window_is_maximized (window))
    {
      gtk_window_get_default_size (window, &width, &height);
      g_settings_set (self->settings, "window-size", "(ii)", width, height);
    }
  return GTK_WINDOW_CLASS (bh_library_window_parent_class)->close_request (window);
}

static void
bh_library_window_dispose (GObject *object)
{
  BhLibraryWindow *self = BH_LIBRARY_WINDOW (object);

  if (self->library != NULL)
    g_signal_handlers_disconnect_by_data (self->library, self);
  gtk_widget_dispose_template (GTK_WIDGET (self), BH_TYPE_LIBRARY_WINDOW);
  g_clear_object (&self->selection);
  g_clear_object (&self->filtered);
  g_clear_object (&self->library);
  g_clear_object (&self->settings);

  G_OBJECT_CLASS (bh_library_window_parent_class)->dispose (object);
}

static void
bh_library_window_finalize (GObject *object)
{
  BhLibraryWindow *self = BH_LIBRARY_WINDOW (object);

  g_clear_pointer (&self->doomed, g_hash_table_unref);
  g_clear_pointer (&self->needle, g_free);

  G_OBJECT_CLASS (bh_library_window_parent_class)->finalize (object);
}

static void
bh_library_window_class_init (BhLibraryWindowClass *klass)
{
  GObjectClass   *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  object_class->dispose = bh_library_window_dispose;
  object_class->finalize = bh_library_window_finalize;
  GTK_WINDOW_CLASS (klass)->close_request = bh_library_window_close_request;

  g_type_ensure (BH_TYPE_LABEL_STRIP);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/bulkhead/Bulkhead/ui/library-window.ui");
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, machine_menu);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, highest);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, header);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, title);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, search_button);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, search_bar);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, search_entry);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, view_button);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, new_button);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, problem_revealer);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, problem_label);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, toasts);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, stack);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, grid);
  gtk_widget_class_bind_template_child (widget_class, BhLibraryWindow, list);

  bh_machine_actions_install (widget_class);
  gtk_widget_class_install_action (widget_class, "win.toggle-view", NULL, toggle_view);
  gtk_widget_class_install_action (widget_class, "win.search", NULL, toggle_search);
  gtk_widget_class_install_action (widget_class, "win.open-file", NULL, open_file);

  /* Bound to this window, not to the application: in a console the same keys belong to the guest. */
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_n, GDK_CONTROL_MASK, "app.new-machine", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_o, GDK_CONTROL_MASK, "win.open-file", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_f, GDK_CONTROL_MASK, "win.search", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_l, GDK_CONTROL_MASK, "win.toggle-view", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_comma, GDK_CONTROL_MASK, "app.preferences", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_q, GDK_CONTROL_MASK, "app.quit", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_w, GDK_CONTROL_MASK, "window.close", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_F2, 0, "machine.rename", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Delete, 0, "machine.delete", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Return, GDK_ALT_MASK, "machine.settings", NULL);
}

static void
bh_library_window_init (BhLibraryWindow *self)
{
  GtkDropTarget *drop = gtk_drop_target_new (GDK_TYPE_FILE_LIST, GDK_ACTION_COPY);

  self->doomed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  gtk_widget_init_template (GTK_WIDGET (self));
  bh_messages_set_overlay (GTK_WINDOW (self), ADW_TOAST_OVERLAY (self->toasts));
  gtk_search_bar_connect_entry (GTK_SEARCH_BAR (self->search_bar), GTK_EDITABLE (self->search_entry));
  gtk_search_bar_set_key_capture_widget (GTK_SEARCH_BAR (self->search_bar), GTK_WIDGET (self));
  g_signal_connect (self->search_entry, "search-changed", G_CALLBACK (on_search_changed), self);
  g_signal_connect (self->search_entry, "activate", G_CALLBACK (on_search_activate), self);
  g_signal_connect (drop, "drop", G_CALLBACK (on_drop), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (drop));
}

static void
fill (BhLibraryWindow *self)
{
  GListStore          *extra = g_list_store_new (G_TYPE_OBJECT);
  GListStore          *parts = g_list_store_new (G_TYPE_LIST_MODEL);
  g_autoptr (GObject)  new_card = g_object_new (G_TYPE_OBJECT, NULL);
  GtkFlattenListModel *together;

  self->filter = GTK_FILTER (gtk_custom_filter_new (matches, self, NULL));
  self->filtered = gtk_filter_list_model_new (g_object_ref (G_LIST_MODEL (self->library)), self->filter);
  g_list_store_append (extra, new_card);
  g_list_store_append (parts, self->filtered);
  g_list_store_append (parts, extra);
  g_object_unref (extra);
  together = gtk_flatten_list_model_new (G_LIST_MODEL (parts));
  self->selection = gtk_single_selection_new (G_LIST_MODEL (together));
  gtk_grid_view_set_factory (GTK_GRID_VIEW (self->grid), new_factory (FALSE));
  gtk_grid_view_set_model (GTK_GRID_VIEW (self->grid), GTK_SELECTION_MODEL (self->selection));
  gtk_list_view_set_factory (GTK_LIST_VIEW (self->list), new_factory (TRUE));
  gtk_list_view_set_model (GTK_LIST_VIEW (self->list), GTK_SELECTION_MODEL (self->selection));
  g_signal_connect (self->grid, "activate", G_CALLBACK (on_activate), self);
  g_signal_connect (self->list, "activate", G_CALLBACK (on_activate), self);
  g_signal_connect_swapped (self->selection, "notify::selected-item", G_CALLBACK (on_selected_changed), self);
  g_signal_connect_swapped (self->filtered, "items-changed", G_CALLBACK (on_items_changed), self);
  g_signal_connect (self->library, "items-changed", G_CALLBACK (on_library_items_changed), self);
  g_signal_connect_swapped (self->library, "notify", G_CALLBACK (update_page), self);
  watch_machines (self, 0, g_list_model_get_n_items (G_LIST_MODEL (self->library)));
}

GtkWidget *
bh_library_window_new (GtkApplication *application, BhLibrary *library, GSettings *settings)
{
  BhLibraryWindow *self = g_object_new (BH_TYPE_LIBRARY_WINDOW, "application", application, NULL);

  self->library = g_object_ref (library);
  if (settings != NULL)
    {
      g_autofree char *view = g_settings_get_string (settings, "view");
      int              width, height;

      self->settings = g_object_ref (settings);
      self->as_list = g_str_equal (view, "list");
      g_settings_get (settings, "window-size", "(ii)", &width, &height);
      if (width > 0 && height > 0)
        gtk_window_set_default_size (GTK_WINDOW (self), width, height);
    }
  fill (self);
  update_view (self);
  bh_machine_actions_update (BH_MACHINE_HOST (self));
  return GTK_WIDGET (self);
}

void
bh_library_window_select (BhLibraryWindow *self, const char *name)
{
  g_return_if_fail (BH_IS_LIBRARY_WINDOW (self));

  for (guint i = 0; i < g_list_model_get_n_items (G_LIST_MODEL (self->selection)); i++)
    {
      g_autoptr (GObject) item = g_list_model_get_item (G_LIST_MODEL (self->selection), i);

      if (BH_IS_MACHINE (item) && g_str_equal (bh_machine_get_name (BH_MACHINE (item)), name))
        gtk_single_selection_set_selected (self->selection, i);
    }
}

guint
bh_library_window_get_n_shown (BhLibraryWindow *self)
{
  g_return_val_if_fail (BH_IS_LIBRARY_WINDOW (self), 0);

  return g_list_model_get_n_items (G_LIST_MODEL (self->filtered));
}
