/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "library.h"

#include <glib/gi18n.h>

struct _BhLibrary
{
  GObject       parent_instance;
  GPtrArray    *machines;       /* ordered by name */
  BhGuard1     *guard;
  GCancellable *cancellable;
  GVariant     *status, *encodings;
  BhLabelLook  *highest;
  char         *problem;
  gboolean      online;
  guint         n_running;
};

enum { PROP_0, PROP_ONLINE, PROP_PROBLEM, PROP_STATUS, PROP_HIGHEST, PROP_N_RUNNING, N_PROPS };
enum { SIGNAL_QUESTION, SIGNAL_QUESTION_CLOSED, SIGNAL_CONSOLE_CLOSED, SIGNAL_RESOURCES_CHANGED,
       SIGNAL_CLIPBOARD_CHANGED, SIGNAL_MACHINE_RENAMED, N_SIGNALS };

static GParamSpec *properties[N_PROPS];
static guint       signals[N_SIGNALS];

static void list_model_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BhLibrary, bh_library, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, list_model_init))

static GType
get_item_type (GListModel *model)
{
  return BH_TYPE_MACHINE;
}

static guint
get_n_items (GListModel *model)
{
  return BH_LIBRARY (model)->machines->len;
}

static gpointer
get_item (GListModel *model, guint position)
{
  BhLibrary *self = BH_LIBRARY (model);

  return position < self->machines->len ? g_object_ref (g_ptr_array_index (self->machines, position)) : NULL;
}

static void
list_model_init (GListModelInterface *iface)
{
  iface->get_item_type = get_item_type;
  iface->get_n_items = get_n_items;
  iface->get_item = get_item;
}

static int
compare_names (const char *a, const char *b)
{
  g_autofree char *folded_a = g_utf8_casefold (a, -1);
  g_autofree char *folded_b = g_utf8_casefold (b, -1);
  g_autofree char *key_a = g_utf8_collate_key_for_filename (folded_a, -1);
  g_autofree char *key_b = g_utf8_collate_key_for_filename (folded_b, -1);
  int              order = strcmp (key_a, key_b);

  return order ? order : strcmp (a, b);
}

static gboolean
find_position (BhLibrary *self, const char *name, guint *ret_position)
{
  for (guint i = 0; i < self->machines->len; i++)
    if (g_str_equal (bh_machine_get_name (g_ptr_array_index (self->machines, i)), name))
      {
        *ret_position = i;
        return TRUE;
      }
  return FALSE;
}

/* The window says the highest label of what it displays (goals: E13).  Ranks are the encodings' order of levels. */
static void
update_summary (BhLibrary *self)
{
  const BhLabelLook      *highest = NULL;
  g_autoptr (BhLabelLook) from_status = NULL;
  guint                   n_running = 0;

  for (guint i = 0; i < self->machines->len; i++)
    {
      BhMachine *machine = g_ptr_array_index (self->machines, i);

      if (bh_machine_is_alive (machine))
        n_running++;
      if (highest == NULL || bh_machine_get_look (machine)->rank > highest->rank)
        highest = bh_machine_get_look (machine);
    }
  /* The guard joins all labels, categories included; what it says wins over the highest single label. */
  if (self->status != NULL && *bh_lookup_string (self->status, "highest-label", ""))
    {
      from_status = bh_label_look_new (bh_lookup_string (self->status, "highest-label", ""),
                                       bh_lookup_string (self->status, "highest-foreground", NULL),
                                       bh_lookup_string (self->status, "highest-background", NULL), NULL);
      if (highest != NULL)
        from_status->pattern = highest->pattern;
      highest = from_status;
    }
  if (!bh_label_look_equal (highest, self->highest))
    {
      bh_label_look_free (self->highest);
      self->highest = highest ? bh_label_look_copy (highest) : NULL;
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_HIGHEST]);
    }
  if (n_running != self->n_running)
    {
      self->n_running = n_running;
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_RUNNING]);
    }
}

static void
remove_at (BhLibrary *self, guint position)
{
  g_ptr_array_remove_index (self->machines, position);
  g_list_model_items_changed (G_LIST_MODEL (self), position, 1, 0);
}

static void
insert (BhLibrary *self, BhMachine *machine)
{
  guint position = 0;

  while (position < self->machines->len &&
         compare_names (bh_machine_get_name (g_ptr_array_index (self->machines, position)),
                        bh_machine_get_name (machine)) < 0)
    position++;
  g_ptr_array_insert (self->machines, (int) position, machine);
  g_list_model_items_changed (G_LIST_MODEL (self), position, 0, 1);
}

static BhMachine *
merge (BhLibrary *self, const char *name, GVariant *details)
{
  guint      position;
  BhMachine *machine;

  if (find_position (self, name, &position))
    {
      machine = g_ptr_array_index (self->machines, position);
      bh_machine_update (machine, details);
    }
  else
    {
      machine = bh_machine_new (name, details);
      insert (self, machine);
    }
  return machine;
}

static void
clear (BhLibrary *self)
{
  guint n = self->machines->len;

  g_ptr_array_set_size (self->machines, 0);
  if (n > 0)
    g_list_model_items_changed (G_LIST_MODEL (self), 0, n, 0);
}

static void
set_online (BhLibrary *self, gboolean online)
{
  if (self->online == online)
    return;
  self->online = online;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ONLINE]);
}

static void
on_status (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) status = NULL;
  g_autoptr (GError)   error = NULL;
  BhLibrary           *self;

  if (!bh_guard1_call_status_finish (BH_GUARD1 (source), &status, result, &error))
    {
      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        g_debug ("Status: %s", error->message);
      return;
    }
  self = BH_LIBRARY (data);
  g_clear_pointer (&self->status, g_variant_unref);
  self->status = g_steal_pointer (&status);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATUS]);
  update_summary (self);
}

static void
ask_status (BhLibrary *self)
{
  if (self->guard != NULL)
    bh_guard1_call_status (self->guard, self->cancellable, on_status, self);
}

static void
on_encodings (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) encodings = NULL;
  g_autoptr (GError)   error = NULL;
  BhLibrary           *self;

  if (!bh_guard1_call_describe_encodings_finish (BH_GUARD1 (source), &encodings, result, &error))
    return;
  self = BH_LIBRARY (data);
  g_clear_pointer (&self->encodings, g_variant_unref);
  self->encodings = g_steal_pointer (&encodings);
}

static void
on_machines (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant)   machines = NULL;
  g_autoptr (GError)     error = NULL;
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  BhLibrary             *self;
  GVariantIter           iter;
  GVariant              *details;

  if (!bh_guard1_call_list_machines_finish (BH_GUARD1 (source), &machines, result, &error))
    {
      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        {
          g_dbus_error_strip_remote_error (error);
          bh_library_set_problem (BH_LIBRARY (data), error->message);
        }
      return;
    }
  self = BH_LIBRARY (data);
  g_variant_iter_init (&iter, machines);
  while ((details = g_variant_iter_next_value (&iter)) != NULL)
    {
      const char *name = bh_lookup_string (details, "name", NULL);

      if (name != NULL)
        {
          merge (self, name, details);
          g_hash_table_add (seen, g_strdup (name));
        }
      g_variant_unref (details);
    }
  for (guint i = self->machines->len; i > 0; i--)
    if (!g_hash_table_contains (seen, bh_machine_get_name (g_ptr_array_index (self->machines, i - 1))))
      remove_at (self, i - 1);
  update_summary (self);
  g_clear_pointer (&self->problem, g_free);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PROBLEM]);
  set_online (self, TRUE);
}

static void
on_machine_changed (BhGuard1 *guard, const char *name, GVariant *details, gpointer data)
{
  BhLibrary *self = data;

  merge (self, name, details);
  update_summary (self);
}

static void
on_machine_added (BhGuard1 *guard, const char *name, GVariant *details, gpointer data)
{
  on_machine_changed (guard, name, details, data);
  ask_status (data);            /* the highest label may have changed */
}

static void
on_machine_removed (BhGuard1 *guard, const char *name, gpointer data)
{
  BhLibrary *self = data;
  guint      position;

  if (find_position (self, name, &position))
    remove_at (self, position);
  update_summary (self);
  ask_status (self);
}

static void
on_machine_renamed (BhGuard1 *guard, const char *name, const char *new_name, gpointer data)
{
  BhLibrary           *self = data;
  guint                position;
  g_autoptr (BhMachine) machine = NULL;

  if (!find_position (self, name, &position))
    return;
  /* The place in the order changes with the name. */
  machine = g_object_ref (g_ptr_array_index (self->machines, position));
  remove_at (self, position);
  bh_machine_rename (machine, new_name);
  insert (self, g_steal_pointer (&machine));
  g_signal_emit (self, signals[SIGNAL_MACHINE_RENAMED], 0, name, new_name);
}

static void
on_question (BhGuard1 *guard, guint64 id, GVariant *question, gpointer data)
{
  g_signal_emit (data, signals[SIGNAL_QUESTION], 0, id, question);
}

static void
on_question_closed (BhGuard1 *guard, guint64 id, gpointer data)
{
  g_signal_emit (data, signals[SIGNAL_QUESTION_CLOSED], 0, id);
}

static void
on_console_closed (BhGuard1 *guard, const char *name, const char *reason, gpointer data)
{
  g_signal_emit (data, signals[SIGNAL_CONSOLE_CLOSED], 0, name, reason);
}

static void
on_clipboard_changed (BhGuard1 *guard, GVariant *status, gpointer data)
{
  g_signal_emit (data, signals[SIGNAL_CLIPBOARD_CHANGED], 0, status);
}

static void
on_resources_changed (BhGuard1 *guard, gpointer data)
{
  g_signal_emit (data, signals[SIGNAL_RESOURCES_CHANGED], 0);
}

static void
on_policy_changed (BhGuard1 *guard, gpointer data)
{
  bh_library_refresh (data);
}

static void
on_connection_closed (GDBusConnection *connection, gboolean remote, GError *error, gpointer data)
{
  BhLibrary *self = data;

  bh_library_set_guard (self, NULL);
  bh_library_set_problem (self, _("The guard has ended, and with it every machine: nothing may run unguarded."));
}

static void
drop_guard (BhLibrary *self)
{
  if (self->guard == NULL)
    return;
  g_cancellable_cancel (self->cancellable);
  g_clear_object (&self->cancellable);
  g_signal_handlers_disconnect_by_data (self->guard, self);
  if (G_IS_DBUS_PROXY (self->guard))
    g_signal_handlers_disconnect_by_data (g_dbus_proxy_get_connection (G_DBUS_PROXY (self->guard)), self);
  g_clear_object (&self->guard);
}

static void
bh_library_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BhLibrary *self = BH_LIBRARY (object);

  switch (id)
    {
    case PROP_ONLINE:
      g_value_set_boolean (value, self->online);
      break;
    case PROP_PROBLEM:
      g_value_set_string (value, self->problem);
      break;
    case PROP_STATUS:
      g_value_set_variant (value, self->status);
      break;
    case PROP_HIGHEST:
      g_value_set_boxed (value, self->highest);
      break;
    case PROP_N_RUNNING:
      g_value_set_uint (value, self->n_running);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bh_library_dispose (GObject *object)
{
  drop_guard (BH_LIBRARY (object));

  G_OBJECT_CLASS (bh_library_parent_class)->dispose (object);
}

static void
bh_library_finalize (GObject *object)
{
  BhLibrary *self = BH_LIBRARY (object);

  g_clear_pointer (&self->machines, g_ptr_array_unref);
  g_clear_pointer (&self->status, g_variant_unref);
  g_clear_pointer (&self->encodings, g_variant_unref);
  g_clear_pointer (&self->highest, bh_label_look_free);
  g_clear_pointer (&self->problem, g_free);

  G_OBJECT_CLASS (bh_library_parent_class)->finalize (object);
}

static void
bh_library_class_init (BhLibraryClass *klass)
{
  GObjectClass     *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
  GType             type = G_TYPE_FROM_CLASS (klass);

  object_class->get_property = bh_library_get_property;
  object_class->dispose = bh_library_dispose;
  object_class->finalize = bh_library_finalize;

  properties[PROP_ONLINE] = g_param_spec_boolean ("online", NULL, NULL, FALSE, flags);
  properties[PROP_PROBLEM] = g_param_spec_string ("problem", NULL, NULL, NULL, flags);
  properties[PROP_STATUS] = g_param_spec_variant ("status", NULL, NULL, G_VARIANT_TYPE_VARDICT, NULL, flags);
  properties[PROP_HIGHEST] = g_param_spec_boxed ("highest", NULL, NULL, BH_TYPE_LABEL_LOOK, flags);
  properties[PROP_N_RUNNING] = g_param_spec_uint ("n-running", NULL, NULL, 0, G_MAXUINT, 0, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  signals[SIGNAL_QUESTION] = g_signal_new ("question", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 2,
                                           G_TYPE_UINT64, G_TYPE_VARIANT);
  signals[SIGNAL_QUESTION_CLOSED] = g_signal_new ("question-closed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                                  G_TYPE_NONE, 1, G_TYPE_UINT64);
  signals[SIGNAL_CONSOLE_CLOSED] = g_signal_new ("console-closed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                                 G_TYPE_NONE, 2, G_TYPE_STRING, G_TYPE_STRING);
  signals[SIGNAL_RESOURCES_CHANGED] = g_signal_new ("resources-changed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                                    G_TYPE_NONE, 0);
  signals[SIGNAL_CLIPBOARD_CHANGED] = g_signal_new ("clipboard-changed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                                    G_TYPE_NONE, 1, G_TYPE_VARIANT);
  signals[SIGNAL_MACHINE_RENAMED] = g_signal_new ("machine-renamed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                                  G_TYPE_NONE, 2, G_TYPE_STRING, G_TYPE_STRING);
}

static void
bh_library_init (BhLibrary *self)
{
  self->machines = g_ptr_array_new_with_free_func (g_object_unref);
}

BhLibrary *
bh_library_new (void)
{
  return g_object_new (BH_TYPE_LIBRARY, NULL);
}

void
bh_library_set_guard (BhLibrary *self, BhGuard1 *guard)
{
  g_return_if_fail (BH_IS_LIBRARY (self));

  if (self->guard == guard)
    return;
  drop_guard (self);
  if (guard == NULL)
    {
      clear (self);
      update_summary (self);
      set_online (self, FALSE);
      return;
    }
  self->guard = g_object_ref (guard);
  self->cancellable = g_cancellable_new ();
  g_signal_connect (guard, "machine-added", G_CALLBACK (on_machine_added), self);
  g_signal_connect (guard, "machine-changed", G_CALLBACK (on_machine_changed), self);
  g_signal_connect (guard, "machine-removed", G_CALLBACK (on_machine_removed), self);
  g_signal_connect (guard, "machine-renamed", G_CALLBACK (on_machine_renamed), self);
  g_signal_connect (guard, "question", G_CALLBACK (on_question), self);
  g_signal_connect (guard, "question-closed", G_CALLBACK (on_question_closed), self);
  g_signal_connect (guard, "console-closed", G_CALLBACK (on_console_closed), self);
  g_signal_connect (guard, "clipboard-changed", G_CALLBACK (on_clipboard_changed), self);
  g_signal_connect (guard, "resources-changed", G_CALLBACK (on_resources_changed), self);
  g_signal_connect (guard, "policy-changed", G_CALLBACK (on_policy_changed), self);
  if (G_IS_DBUS_PROXY (guard))
    g_signal_connect (g_dbus_proxy_get_connection (G_DBUS_PROXY (guard)), "closed",
                      G_CALLBACK (on_connection_closed), self);
  bh_library_refresh (self);
}

void
bh_library_set_problem (BhLibrary *self, const char *problem)
{
  g_return_if_fail (BH_IS_LIBRARY (self));

  if (g_strcmp0 (self->problem, problem) == 0)
    return;
  g_free (self->problem);
  self->problem = g_strdup (problem);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PROBLEM]);
}

BhGuard1 *
bh_library_get_guard (BhLibrary *self)
{
  g_return_val_if_fail (BH_IS_LIBRARY (self), NULL);

  return self->guard;
}

gboolean
bh_library_get_online (BhLibrary *self)
{
  g_return_val_if_fail (BH_IS_LIBRARY (self), FALSE);

  return self->online;
}

const char *
bh_library_get_problem (BhLibrary *self)
{
  g_return_val_if_fail (BH_IS_LIBRARY (self), NULL);

  return self->problem;
}

GVariant *
bh_library_get_status (BhLibrary *self)
{
  g_return_val_if_fail (BH_IS_LIBRARY (self), NULL);

  return self->status;
}

GVariant *
bh_library_get_encodings (BhLibrary *self)
{
  g_return_val_if_fail (BH_IS_LIBRARY (self), NULL);

  return self->encodings;
}

const BhLabelLook *
bh_library_get_highest (BhLibrary *self)
{
  g_return_val_if_fail (BH_IS_LIBRARY (self), NULL);

  return self->highest;
}

BhMachine *
bh_library_find (BhLibrary *self, const char *name)
{
  guint position;

  g_return_val_if_fail (BH_IS_LIBRARY (self), NULL);

  return find_position (self, name, &position) ? g_ptr_array_index (self->machines, position) : NULL;
}

BhMachine *
bh_library_find_file (BhLibrary *self, const char *path)
{
  g_return_val_if_fail (BH_IS_LIBRARY (self), NULL);

  for (guint i = 0; i < self->machines->len; i++)
    {
      BhMachine *machine = g_ptr_array_index (self->machines, i);

      if (g_str_equal (bh_lookup_string (bh_machine_get_details (machine), "file", ""), path))
        return machine;
    }
  return NULL;
}

guint
bh_library_get_n_running (BhLibrary *self)
{
  g_return_val_if_fail (BH_IS_LIBRARY (self), 0);

  return self->n_running;
}

void
bh_library_refresh (BhLibrary *self)
{
  g_return_if_fail (BH_IS_LIBRARY (self));

  if (self->guard == NULL)
    return;
  /* In this order: who waits for "online" finds status and encodings filled. */
  ask_status (self);
  bh_guard1_call_describe_encodings (self->guard, self->cancellable, on_encodings, self);
  bh_guard1_call_list_machines (self->guard, self->cancellable, on_machines, self);
}

char *
bh_library_free_name (BhLibrary *self, const char *wanted)
{
  g_return_val_if_fail (BH_IS_LIBRARY (self), NULL);

  if (bh_library_find (self, wanted) == NULL)
    return g_strdup (wanted);
  for (guint i = 2;; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s %u", wanted, i);

      if (bh_library_find (self, name) == NULL)
        return g_steal_pointer (&name);
    }
}

BhMachine *
bh_library_adopt (BhLibrary *self, GVariant *details)
{
  const char *name = bh_lookup_string (details, "name", NULL);
  BhMachine  *machine;

  g_return_val_if_fail (BH_IS_LIBRARY (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  machine = merge (self, name, details);
  update_summary (self);
  return machine;
}
