/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "networks.h"

#include "machine.h"
#include "network-process.h"
#include "store.h"

#include <netinet/in.h>

#include <string.h>

typedef struct
{
  char    *name;
  Label    label;
  gboolean nat;
  char   **forwards;
  NetworkProcess *process;      /* NULL while no machine is connected */
  GHashTable *cables;           /* name of a machine → its port (GUINT_TO_POINTER) */
  Guard  *guard;
} Network;

struct Networks
{
  Guard     *guard;
  char      *file;
  GPtrArray *networks;
};

static void
network_free (gpointer pointer)
{
  Network *network = pointer;

  network_process_free (network->process);
  g_hash_table_unref (network->cables);
  g_free (network->name);
  g_strfreev (network->forwards);
  g_free (network);
}

static Network *
network_new (Guard *guard)
{
  Network *network = g_new0 (Network, 1);

  network->guard = guard;
  network->cables = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return network;
}

Networks *
networks_new (Guard *guard, GError **error)
{
  Networks *self = g_new0 (Networks, 1);
  g_autoptr (GKeyFile) file = NULL;
  g_auto (GStrv) groups = NULL;

  self->guard = guard;
  self->file = g_build_filename (guard->data_folder, "networks.conf", NULL);
  self->networks = g_ptr_array_new_with_free_func (network_free);
  file = files_load_sealed (self->file, guard->key, error);
  if (!file)
    return self;
  groups = g_key_file_get_groups (file, NULL);
  for (guint i = 0; groups[i]; i++)
    {
      Network *network = network_new (guard);
      g_autofree char *label = g_key_file_get_string (file, groups[i], "label", NULL);

      network->name = g_key_file_get_string (file, groups[i], "name", NULL);
      network->nat = g_key_file_get_boolean (file, groups[i], "nat", NULL);
      network->forwards = g_key_file_get_string_list (file, groups[i], "forwards", NULL, NULL);
      if (!network->name || !label || !label_parse (label, &network->label))
        {
          network_free (network);
          g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s: record %s is damaged", self->file, groups[i]);
          return self;
        }
      g_ptr_array_add (self->networks, network);
    }
  return self;
}

void
networks_free (Networks *self)
{
  if (!self)
    return;
  g_ptr_array_unref (self->networks);
  g_free (self->file);
  g_free (self);
}

static gboolean
save (Networks *self, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  for (guint i = 0; i < self->networks->len; i++)
    {
      Network *network = self->networks->pdata[i];
      g_autofree char *group = g_strdup_printf ("network%u", i);
      g_autofree char *label = guard_canonical (&network->label);

      g_key_file_set_string (file, group, "name", network->name);
      g_key_file_set_string (file, group, "label", label);
      g_key_file_set_boolean (file, group, "nat", network->nat);
      if (network->forwards)
        g_key_file_set_string_list (file, group, "forwards", (const char *const *) network->forwards,
                                    g_strv_length (network->forwards));
    }
  guard_resources_changed (self->guard);
  return files_save_sealed (self->file, file, self->guard->key, error);
}

static Network *
find (Networks *self, const char *name, guint *ret_index)
{
  for (guint i = 0; i < self->networks->len; i++)
    {
      Network *network = self->networks->pdata[i];

      if (g_str_equal (network->name, name))
        {
          if (ret_index)
            *ret_index = i;
          return network;
        }
    }
  return NULL;
}

gboolean
networks_label (Networks *self, const char *name, Label *ret_label)
{
  Network *network = find (self, name, NULL);

  if (!network || !guard_may_see (self->guard, &network->label))
    return FALSE;
  *ret_label = network->label;
  return TRUE;
}

/* tcp|udp:HOSTPORT:MACHINE-OR-GUESTPORT[:GUESTPORT] */
static gboolean
check_forward (const char *text, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, ":", -1);
  guint n = g_strv_length (parts);
  guint64 port;

  if ((n == 3 || n == 4) && (g_str_equal (parts[0], "tcp") || g_str_equal (parts[0], "udp"))
      && g_ascii_string_to_unsigned (parts[1], 10, 1024, 65535, &port, NULL)
      && g_ascii_string_to_unsigned (parts[n - 1], 10, 1, 65535, &port, NULL))
    return TRUE;
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_USAGE,
               "\"%s\" is no port forward; write tcp:HOSTPORT:GUESTPORT with a host port from 1024 on", text);
  return FALSE;
}

gboolean
networks_create (Networks *self, const char *name, const Label *label, gboolean nat, const char *const *forwards,
                 GError **error)
{
  g_autofree char *text = guard_canonical (label);
  Network *network;

  if (!store_check_name (name, error))
    return FALSE;
  if (find (self, name, NULL))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "there is already a network \"%s\"", name);
      return FALSE;
    }
  if (!guard_may_see (self->guard, label))
    {
      guard_refuse (self->guard, "network-create", "user", name, error, "the label is outside your clearance range");
      return FALSE;
    }
  for (guint i = 0; forwards && forwards[i]; i++)
    if (!check_forward (forwards[i], error))
      return FALSE;
  if (nat && !guard_decide (self->guard, CHANNEL_NAT, name, "uplink", label, &self->guard->uplink, NULL, error))
    return FALSE;
  if (forwards && *forwards
      && !guard_decide (self->guard, CHANNEL_PORT_FORWARD, name, "host", label, &self->guard->uplink, NULL, error))
    return FALSE;
  if (!guard_record (self->guard, "network-create", "user", name, text, error))
    return FALSE;
  network = network_new (self->guard);
  network->name = g_strdup (name);
  network->label = *label;
  network->nat = nat;
  network->forwards = forwards && *forwards ? g_strdupv ((char **) forwards) : NULL;
  g_ptr_array_add (self->networks, network);
  return save (self, error);
}

gboolean
networks_delete (Networks *self, const char *name, GError **error)
{
  GHashTableIter iter;
  gpointer value;
  guint index;

  if (!find (self, name, &index) || !guard_may_see (self->guard, &((Network *) self->networks->pdata[index])->label))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "there is no network \"%s\"", name);
      return FALSE;
    }
  g_hash_table_iter_init (&iter, self->guard->machines);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (g_strcmp0 (machine_record (value)->network, name) == 0)
      {
        g_set_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE,
                     "network \"%s\" is used by \"%s\"; detach it first (set %s --network \"\")", name,
                     machine_record (value)->name, machine_record (value)->name);
        return FALSE;
      }
  if (!guard_record (self->guard, "network-delete", "user", name, NULL, error))
    return FALSE;
  g_ptr_array_remove_index (self->networks, index);
  return save (self, error);
}

static void
process_ended (NetworkProcess *process, const char *why, gpointer data)
{
  Network *network = data;

  guard_record (network->guard, "network-failed", network->name, NULL, why, NULL);
  network->process = NULL;
  g_hash_table_remove_all (network->cables);
  network_process_free (process);
}

/* tcp|udp:HOSTPORT:…:GUESTPORT, checked when the network was made. */
static gboolean
add_forwards (Network *network, GError **error)
{
  for (guint i = 0; network->forwards && network->forwards[i]; i++)
    {
      g_auto (GStrv) parts = g_strsplit (network->forwards[i], ":", -1);
      guint n = g_strv_length (parts);

      if (!guard_decide (network->guard, CHANNEL_PORT_FORWARD, network->name, "host", &network->label, &network->guard->uplink,
                         NULL, error)
          || !check_forward (network->forwards[i], error)
          || !network_process_forward (network->process, g_str_equal (parts[0], "tcp") ? IPPROTO_TCP : IPPROTO_UDP,
                                       (guint16) g_ascii_strtoull (parts[1], NULL, 10),
                                       (guint16) g_ascii_strtoull (parts[n - 1], NULL, 10), error))
        return FALSE;
    }
  return TRUE;
}

int
networks_connect (Networks *self, const char *name, const char *machine, const Label *label, GError **error)
{
  Network *network = find (self, name, NULL);
  guint port;
  int fd;

  if (!network)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "there is no network \"%s\"; choose another or none", name);
      return -1;
    }
  if (!guard_decide (self->guard, CHANNEL_NETWORK_JOIN, machine, name, label, &network->label, NULL, error))
    return -1;
  if (network->nat
      && !guard_decide (self->guard, CHANNEL_NAT, name, "uplink", &network->label, &self->guard->uplink, NULL, error))
    return -1;
  networks_disconnect (self, machine);
  if (!network->process)
    {
      network->process = network_process_spawn (network->nat, process_ended, network, error);
      if (!network->process)
        {
          g_prefix_error (error, "network \"%s\": ", name);
          return -1;
        }
      if (!add_forwards (network, error))
        {
          g_clear_pointer (&network->process, network_process_free);
          return -1;
        }
    }
  fd = network_process_join (network->process, &port, error);
  if (fd >= 0)
    g_hash_table_replace (network->cables, g_strdup (machine), GUINT_TO_POINTER (port));
  else if (g_hash_table_size (network->cables) == 0)
    g_clear_pointer (&network->process, network_process_free);
  return fd;
}

void
networks_disconnect (Networks *self, const char *machine)
{
  for (guint i = 0; i < self->networks->len; i++)
    {
      Network *network = self->networks->pdata[i];
      gpointer port;

      if (!g_hash_table_lookup_extended (network->cables, machine, NULL, &port))
        continue;
      g_hash_table_remove (network->cables, machine);
      guard_record (self->guard, "network-leave", machine, network->name, NULL, NULL);
      if (network->process && network_process_leave (network->process, GPOINTER_TO_UINT (port)) == 0)
        g_clear_pointer (&network->process, network_process_free);
    }
}

GVariant *
networks_list (Networks *self)
{
  GVariantBuilder rows;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->networks->len; i++)
    {
      Network *network = self->networks->pdata[i];
      GVariantBuilder row, machines;
      GHashTableIter iter;
      gpointer value;

      if (!guard_may_see (self->guard, &network->label))
        continue;
      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_init (&machines, G_VARIANT_TYPE_STRING_ARRAY);
      g_hash_table_iter_init (&iter, self->guard->machines);
      while (g_hash_table_iter_next (&iter, NULL, &value))
        if (g_strcmp0 (machine_record (value)->network, network->name) == 0)
          g_variant_builder_add (&machines, "s", machine_record (value)->name);
      g_variant_builder_add (&row, "{sv}", "name", g_variant_new_string (network->name));
      guard_describe_label (self->guard, &row, "", &network->label);
      g_variant_builder_add (&row, "{sv}", "nat", g_variant_new_boolean (network->nat));
      g_variant_builder_add (&row, "{sv}", "machines", g_variant_builder_end (&machines));
      g_variant_builder_add (&row, "{sv}", "connected", g_variant_new_uint32 (g_hash_table_size (network->cables)));
      g_variant_builder_add (&row, "{sv}", "pid",
                             g_variant_new_int32 (network->process ? network_process_pid (network->process) : 0));
      g_variant_builder_add (&row, "{sv}", "forwards",
                             g_variant_new_strv ((const char *const *) network->forwards, network->forwards ? -1 : 0));
      g_variant_builder_add_value (&rows, g_variant_builder_end (&row));
    }
  return g_variant_builder_end (&rows);
}
