/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resources-window.h"

#include "guard-call.h"
#include "labelled-dialog.h"
#include "user-messages.h"

#include <glib/gi18n.h>

enum { NETWORKS, FOLDERS, MEDIA, N_KINDS };

typedef struct
{
  GtkWidget *group, *none;
  GPtrArray *rows;
} Section;

struct _BhResourcesWindow
{
  AdwPreferencesWindow parent_instance;
  BhLibrary           *library;
  GCancellable        *cancellable;
  Section              sections[N_KINDS];
};

G_DEFINE_FINAL_TYPE (BhResourcesWindow, bh_resources_window, ADW_TYPE_PREFERENCES_WINDOW)

static const struct { const char *title, *icon, *description, *add, *none; } kinds[N_KINDS] = {
  { N_("Networks"), "network-workgroup-symbolic", N_("Machines of the same label can join. Nothing crosses between networks."),
    N_("New Network"), N_("No Networks") },
  { N_("Folders"), "folder-symbolic", N_("Folders of this computer that machines may read, and write where the labels are equal."),
    N_("Share a Folder"), N_("No Folders") },
  { N_("Media"), "media-optical-symbolic", N_("Images with their labels. Whoever writes one raises it to the writer’s label."),
    N_("Register an Image"), N_("No Media") },
};

static const char *
tag_of (gpointer object)
{
  return g_object_get_data (G_OBJECT (object), "tag");
}

/* ------------------------------------------------------------------------------------------------ removing */

typedef struct
{
  BhResourcesWindow *self;
  guint              kind;
  char              *name;
} Removal;

static void
removal_free (gpointer data)
{
  Removal *removal = data;

  g_object_unref (removal->self);
  g_free (removal->name);
  g_free (removal);
}

static void
on_removal_confirmed (gpointer data)
{
  Removal *removal = data;

  bh_guard_call (GTK_WIDGET (removal->self), removal->self->library,
                 removal->kind == NETWORKS ? "DeleteNetwork" : "RemoveFolder", g_variant_new ("(s)", removal->name),
                 _("Cannot remove this"), NULL);
}

static void
on_remove (GtkButton *button, BhResourcesWindow *self)
{
  Removal         *removal = g_new0 (Removal, 1);
  g_autofree char *heading = g_strdup_printf (_("Remove “%s”?"), tag_of (button));

  removal->self = g_object_ref (self);
  removal->kind = GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (button), "kind"));
  removal->name = g_strdup (tag_of (button));
  bh_messages_confirm (GTK_WIDGET (self), heading, removal->kind == FOLDERS ? _("The folder itself stays.") : NULL,
                       _("_Remove"), TRUE, on_removal_confirmed, removal, removal_free);
}

/* ------------------------------------------------------------------------------------------------ adding */

static void
on_network_given (const char *name, const char *label, gboolean nat, gpointer data)
{
  BhResourcesWindow *self = data;
  GVariantBuilder    options;

  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&options, "{sv}", "label", g_variant_new_string (label));
  g_variant_builder_add (&options, "{sv}", "nat", g_variant_new_boolean (nat));
  bh_guard_call (GTK_WIDGET (self), self->library, "CreateNetwork",
                 g_variant_new ("(s@a{sv})", name, g_variant_builder_end (&options)), _("Cannot make the network"), NULL);
}

typedef struct
{
  BhResourcesWindow *self;
  char              *path;
  guint              kind;
} Addition;

static void
addition_free (gpointer data)
{
  Addition *addition = data;

  g_object_unref (addition->self);
  g_free (addition->path);
  g_free (addition);
}

static void
on_path_labelled (const char *name, const char *label, gboolean option, gpointer data)
{
  Addition  *addition = data;
  GtkWidget *from = GTK_WIDGET (addition->self);
  GVariant  *options = bh_one_option ("label", g_variant_new_string (label));

  if (addition->kind == FOLDERS)
    bh_guard_call (from, addition->self->library, "AddFolder", g_variant_new ("(ss@a{sv})", name, addition->path, options),
                   _("Cannot share the folder"), NULL);
  else
    bh_guard_call (from, addition->self->library, "RegisterMedium", g_variant_new ("(s@a{sv})", addition->path, options),
                   _("Cannot register the image"), NULL);
}

static void
on_path_chosen (GtkNativeDialog *dialog, int response, BhResourcesWindow *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr (GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
      g_autofree char  *path = file ? g_file_get_path (file) : NULL;
      g_autofree char  *base = path ? g_path_get_basename (path) : NULL;

      if (path != NULL)
        {
          Addition *addition = g_new0 (Addition, 1);

          addition->self = g_object_ref (self);
          addition->path = g_strdup (path);
          addition->kind = GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (dialog), "kind"));
          bh_labelled_dialog_ask (GTK_WIDGET (self), self->library, base, _("Which label do its contents have?"), _("_Add"),
                                  addition->kind == FOLDERS ? base : NULL, NULL, NULL, on_path_labelled, addition,
                                  addition_free);
        }
    }
  g_object_unref (dialog);
}

static void
on_add (GtkButton *button, BhResourcesWindow *self)
{
  const guint           kind = GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (button), "kind"));
  GtkFileChooserNative *dialog;

  if (kind == NETWORKS)
    {
      bh_labelled_dialog_ask (GTK_WIDGET (self), self->library, _("New Network"), NULL, _("C_reate"), _("network"), NULL,
                              _("Reach the outside network (NAT)"), on_network_given, g_object_ref (self), g_object_unref);
      return;
    }
  dialog = gtk_file_chooser_native_new (_(kinds[kind].add), GTK_WINDOW (self),
                                        kind == FOLDERS ? GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER : GTK_FILE_CHOOSER_ACTION_OPEN,
                                        _("_Choose"), _("_Cancel"));
  g_object_set_data (G_OBJECT (dialog), "kind", GUINT_TO_POINTER (kind));
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_path_chosen), self, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

/* ------------------------------------------------------------------------------------------------ lists */

static char *
describe (guint kind, GVariant *thing)
{
  GString       *text = g_string_new (bh_lookup_string (thing, "label", ""));
  g_auto (GStrv) machines = NULL;

  if (kind == FOLDERS)
    g_string_append_printf (text, "\n%s", bh_lookup_string (thing, "path", ""));
  if (kind == NETWORKS && bh_lookup_boolean (thing, "nat"))
    g_string_append_printf (text, " · %s", _("reaches outside"));
  if (kind == MEDIA && *bh_lookup_string (thing, "writer", ""))
    g_string_append_printf (text, " · %s", bh_lookup_string (thing, "writer", ""));
  if (g_variant_lookup (thing, kind == MEDIA ? "readers" : "machines", "^as", &machines) && *machines != NULL)
    {
      g_autofree char *list = g_strjoinv (", ", machines);

      g_string_append_printf (text, "\n%s", list);
    }
  return g_string_free (text, FALSE);
}

static void
fill (BhResourcesWindow *self, guint kind, GVariant *things)
{
  Section     *section = &self->sections[kind];
  GVariantIter iter;
  GVariant    *thing;

  for (guint i = 0; i < section->rows->len; i++)
    adw_preferences_group_remove (ADW_PREFERENCES_GROUP (section->group), g_ptr_array_index (section->rows, i));
  g_ptr_array_set_size (section->rows, 0);
  g_variant_iter_init (&iter, things);
  while ((thing = g_variant_iter_next_value (&iter)) != NULL)
    {
      const char      *name = bh_lookup_string (thing, kind == MEDIA ? "path" : "name", "");
      g_autofree char *title = g_markup_escape_text (name, -1);
      g_autofree char *text = describe (kind, thing);
      g_autofree char *subtitle = g_markup_escape_text (text, -1);
      GtkWidget       *row = adw_action_row_new ();

      adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
      adw_action_row_set_subtitle (ADW_ACTION_ROW (row), subtitle);
      adw_action_row_set_icon_name (ADW_ACTION_ROW (row), kinds[kind].icon);
      if (kind != MEDIA)
        {
          GtkWidget *button = gtk_button_new_from_icon_name ("user-trash-symbolic");

          gtk_widget_set_tooltip_text (button, _("Remove"));
          gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Remove"), -1);
          gtk_widget_add_css_class (button, "flat");
          gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
          g_object_set_data_full (G_OBJECT (button), "tag", g_strdup (name), g_free);
          g_object_set_data (G_OBJECT (button), "kind", GUINT_TO_POINTER (kind));
          g_signal_connect (button, "clicked", G_CALLBACK (on_remove), self);
          adw_action_row_add_suffix (ADW_ACTION_ROW (row), button);
        }
      adw_preferences_group_add (ADW_PREFERENCES_GROUP (section->group), row);
      g_ptr_array_add (section->rows, row);
      g_variant_unref (thing);
    }
  gtk_widget_set_visible (section->none, section->rows->len == 0);
}

static void
on_networks (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) things = NULL;

  if (bh_guard1_call_list_networks_finish (BH_GUARD1 (source), &things, result, NULL))
    fill (BH_RESOURCES_WINDOW (data), NETWORKS, things);
}

static void
on_folders (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) things = NULL;

  if (bh_guard1_call_list_folders_finish (BH_GUARD1 (source), &things, result, NULL))
    fill (BH_RESOURCES_WINDOW (data), FOLDERS, things);
}

static void
on_media (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) things = NULL;

  if (bh_guard1_call_list_media_finish (BH_GUARD1 (source), &things, result, NULL))
    fill (BH_RESOURCES_WINDOW (data), MEDIA, things);
}

static void
ask (BhResourcesWindow *self)
{
  BhGuard1 *guard = bh_library_get_guard (self->library);

  if (guard == NULL)
    return;
  bh_guard1_call_list_networks (guard, self->cancellable, on_networks, self);
  bh_guard1_call_list_folders (guard, self->cancellable, on_folders, self);
  bh_guard1_call_list_media (guard, self->cancellable, on_media, self);
}

static void
bh_resources_window_dispose (GObject *object)
{
  BhResourcesWindow *self = BH_RESOURCES_WINDOW (object);

  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  if (self->library != NULL)
    g_signal_handlers_disconnect_by_data (self->library, self);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->library);
  for (guint i = 0; i < N_KINDS; i++)
    g_clear_pointer (&self->sections[i].rows, g_ptr_array_unref);

  G_OBJECT_CLASS (bh_resources_window_parent_class)->dispose (object);
}

static void
bh_resources_window_class_init (BhResourcesWindowClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = bh_resources_window_dispose;
}

static void
bh_resources_window_init (BhResourcesWindow *self)
{
  self->cancellable = g_cancellable_new ();
  gtk_window_set_title (GTK_WINDOW (self), _("Networks, Folders and Media"));
  gtk_window_set_default_size (GTK_WINDOW (self), 600, 560);
  adw_preferences_window_set_search_enabled (ADW_PREFERENCES_WINDOW (self), FALSE);
  for (guint i = 0; i < N_KINDS; i++)
    {
      Section   *section = &self->sections[i];
      GtkWidget *page = adw_preferences_page_new ();
      GtkWidget *button = gtk_button_new_from_icon_name ("list-add-symbolic");

      section->rows = g_ptr_array_new ();
      section->group = adw_preferences_group_new ();
      section->none = adw_action_row_new ();
      adw_preferences_page_set_title (ADW_PREFERENCES_PAGE (page), _(kinds[i].title));
      adw_preferences_page_set_icon_name (ADW_PREFERENCES_PAGE (page), kinds[i].icon);
      adw_preferences_group_set_title (ADW_PREFERENCES_GROUP (section->group), _(kinds[i].title));
      adw_preferences_group_set_description (ADW_PREFERENCES_GROUP (section->group), _(kinds[i].description));
      gtk_widget_add_css_class (button, "flat");
      gtk_widget_set_tooltip_text (button, _(kinds[i].add));
      gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, _(kinds[i].add), -1);
      g_object_set_data (G_OBJECT (button), "kind", GUINT_TO_POINTER (i));
      g_signal_connect (button, "clicked", G_CALLBACK (on_add), self);
      adw_preferences_group_set_header_suffix (ADW_PREFERENCES_GROUP (section->group), button);
      adw_preferences_row_set_title (ADW_PREFERENCES_ROW (section->none), _(kinds[i].none));
      gtk_widget_add_css_class (section->none, "dim-label");
      adw_preferences_group_add (ADW_PREFERENCES_GROUP (section->group), section->none);
      adw_preferences_page_add (ADW_PREFERENCES_PAGE (page), ADW_PREFERENCES_GROUP (section->group));
      adw_preferences_window_add (ADW_PREFERENCES_WINDOW (self), ADW_PREFERENCES_PAGE (page));
    }
}

GtkWidget *
bh_resources_window_new (BhLibrary *library)
{
  BhResourcesWindow *self = g_object_new (BH_TYPE_RESOURCES_WINDOW, NULL);

  self->library = g_object_ref (library);
  g_signal_connect_swapped (library, "resources-changed", G_CALLBACK (ask), self);
  ask (self);
  return GTK_WIDGET (self);
}
