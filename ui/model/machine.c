/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine.h"

#include <glib/gi18n.h>

struct _BhMachine
{
  GObject        parent_instance;
  char          *name;
  GVariant      *details;
  BhMachineState state;
  BhLabelLook   *look;
  GdkTexture    *thumbnail;
  GBytes        *thumbnail_bytes;
};

enum { PROP_0, PROP_NAME, PROP_STATE, PROP_STATE_TEXT, PROP_LOOK, PROP_THUMBNAIL, PROP_DETAILS, N_PROPS };

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (BhMachine, bh_machine, G_TYPE_OBJECT)

GType
bh_machine_state_get_type (void)
{
  static gsize type;
  static const GEnumValue values[] = {
    { BH_MACHINE_OFF, "BH_MACHINE_OFF", "off" },
    { BH_MACHINE_RUNNING, "BH_MACHINE_RUNNING", "running" },
    { BH_MACHINE_PAUSED, "BH_MACHINE_PAUSED", "paused" },
    { BH_MACHINE_SUSPENDED, "BH_MACHINE_SUSPENDED", "suspended" },
    { BH_MACHINE_CRASHED, "BH_MACHINE_CRASHED", "crashed" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("BhMachineState", values));
  return type;
}

static BhMachineState
state_from_name (const char *name)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (BH_TYPE_MACHINE_STATE);
  const GEnumValue      *value = g_enum_get_value_by_nick (klass, name);

  return value ? (BhMachineState) value->value : BH_MACHINE_OFF;
}

static void
bh_machine_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BhMachine *self = BH_MACHINE (object);

  switch (id)
    {
    case PROP_NAME:
      g_value_set_string (value, self->name);
      break;
    case PROP_STATE:
      g_value_set_enum (value, self->state);
      break;
    case PROP_STATE_TEXT:
      g_value_set_string (value, bh_machine_get_state_text (self));
      break;
    case PROP_LOOK:
      g_value_set_boxed (value, self->look);
      break;
    case PROP_THUMBNAIL:
      g_value_set_object (value, self->thumbnail);
      break;
    case PROP_DETAILS:
      g_value_set_variant (value, self->details);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bh_machine_finalize (GObject *object)
{
  BhMachine *self = BH_MACHINE (object);

  g_clear_pointer (&self->name, g_free);
  g_clear_pointer (&self->details, g_variant_unref);
  g_clear_pointer (&self->look, bh_label_look_free);
  g_clear_pointer (&self->thumbnail_bytes, g_bytes_unref);
  g_clear_object (&self->thumbnail);

  G_OBJECT_CLASS (bh_machine_parent_class)->finalize (object);
}

static void
bh_machine_class_init (BhMachineClass *klass)
{
  GObjectClass    *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

  object_class->get_property = bh_machine_get_property;
  object_class->finalize = bh_machine_finalize;

  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);
  properties[PROP_STATE] = g_param_spec_enum ("state", NULL, NULL, BH_TYPE_MACHINE_STATE, BH_MACHINE_OFF, flags);
  properties[PROP_STATE_TEXT] = g_param_spec_string ("state-text", NULL, NULL, NULL, flags);
  properties[PROP_LOOK] = g_param_spec_boxed ("look", NULL, NULL, BH_TYPE_LABEL_LOOK, flags);
  properties[PROP_THUMBNAIL] = g_param_spec_object ("thumbnail", NULL, NULL, GDK_TYPE_TEXTURE, flags);
  properties[PROP_DETAILS] = g_param_spec_variant ("details", NULL, NULL, G_VARIANT_TYPE_VARDICT, NULL, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
bh_machine_init (BhMachine *self)
{
}

BhMachine *
bh_machine_new (const char *name, GVariant *details)
{
  BhMachine *self = g_object_new (BH_TYPE_MACHINE, NULL);

  self->name = g_strdup (name);
  bh_machine_update (self, details);
  return self;
}

/* A PNG made by the guard. It is decoded only when its bytes changed: MachineChanged comes for every property. */
static void
update_thumbnail (BhMachine *self)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (self->details, "thumbnail", G_VARIANT_TYPE_BYTESTRING);
  g_autoptr (GBytes)   bytes = value ? g_variant_get_data_as_bytes (value) : NULL;

  if (bytes != NULL && g_bytes_get_size (bytes) == 0)
    g_clear_pointer (&bytes, g_bytes_unref);
  if (bytes == self->thumbnail_bytes ||
      (bytes != NULL && self->thumbnail_bytes != NULL && g_bytes_equal (bytes, self->thumbnail_bytes)))
    return;
  g_clear_pointer (&self->thumbnail_bytes, g_bytes_unref);
  self->thumbnail_bytes = g_steal_pointer (&bytes);
  if (self->thumbnail_bytes == NULL)
    bh_machine_set_thumbnail (self, NULL);
  else
    {
      g_autoptr (GdkTexture) texture = gdk_texture_new_from_bytes (self->thumbnail_bytes, NULL);

      bh_machine_set_thumbnail (self, texture);
    }
}

void
bh_machine_update (BhMachine *self, GVariant *details)
{
  g_autoptr (BhLabelLook) look = NULL;
  BhMachineState          state;

  g_return_if_fail (BH_IS_MACHINE (self));

  g_object_freeze_notify (G_OBJECT (self));
  g_variant_ref_sink (details);
  g_clear_pointer (&self->details, g_variant_unref);
  self->details = details;

  look = bh_label_look_new_from_variant (details, "");
  if (!bh_label_look_equal (look, self->look))
    {
      bh_label_look_free (self->look);
      self->look = g_steal_pointer (&look);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LOOK]);
    }
  state = state_from_name (bh_lookup_string (details, "state", "off"));
  if (state != self->state)
    {
      self->state = state;
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE]);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE_TEXT]);
    }
  update_thumbnail (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_DETAILS]);
  g_object_thaw_notify (G_OBJECT (self));
}

void
bh_machine_rename (BhMachine *self, const char *name)
{
  g_return_if_fail (BH_IS_MACHINE (self));

  if (g_strcmp0 (name, self->name) == 0)
    return;
  g_free (self->name);
  self->name = g_strdup (name);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_NAME]);
}

const char *
bh_machine_get_name (BhMachine *self)
{
  g_return_val_if_fail (BH_IS_MACHINE (self), NULL);

  return self->name;
}

BhMachineState
bh_machine_get_state (BhMachine *self)
{
  g_return_val_if_fail (BH_IS_MACHINE (self), BH_MACHINE_OFF);

  return self->state;
}

const char *
bh_machine_get_state_text (BhMachine *self)
{
  g_return_val_if_fail (BH_IS_MACHINE (self), NULL);

  switch (self->state)
    {
    case BH_MACHINE_RUNNING:
      return _("Running");
    case BH_MACHINE_PAUSED:
      return _("Paused");
    case BH_MACHINE_SUSPENDED:
      return _("Suspended");
    case BH_MACHINE_CRASHED:
      return _("Stopped unexpectedly");
    case BH_MACHINE_OFF:
    default:
      return _("Powered off");
    }
}

const BhLabelLook *
bh_machine_get_look (BhMachine *self)
{
  g_return_val_if_fail (BH_IS_MACHINE (self), NULL);

  return self->look;
}

GdkTexture *
bh_machine_get_thumbnail (BhMachine *self)
{
  g_return_val_if_fail (BH_IS_MACHINE (self), NULL);

  return self->thumbnail;
}

void
bh_machine_set_thumbnail (BhMachine *self, GdkTexture *thumbnail)
{
  g_return_if_fail (BH_IS_MACHINE (self));

  if (g_set_object (&self->thumbnail, thumbnail))
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_THUMBNAIL]);
}

GVariant *
bh_machine_get_details (BhMachine *self)
{
  g_return_val_if_fail (BH_IS_MACHINE (self), NULL);

  return self->details;
}

char *
bh_machine_describe (BhMachine *self)
{
  static const struct { const char *id, *title; } cpus[] = {
    { "pentium", "Pentium" }, { "pentium2", "Pentium II" }, { "pentium3", "Pentium III" }, { "pentium-m", "Pentium M" },
  };
  const char *cpu, *network;
  GString    *text;

  g_return_val_if_fail (BH_IS_MACHINE (self), NULL);

  cpu = bh_lookup_string (self->details, "cpu", "");
  network = bh_lookup_string (self->details, "network", "");
  for (guint i = 0; i < G_N_ELEMENTS (cpus); i++)
    if (g_str_equal (cpu, cpus[i].id))
      cpu = cpus[i].title;
  text = g_string_new (NULL);
  g_string_append_printf (text, "%d MiB", (int) bh_lookup_number (self->details, "memory", 0));
  if (*cpu)
    g_string_append_printf (text, " · %s", cpu);
  if (*network)
    g_string_append_printf (text, " · %s", network);
  return g_string_free (text, FALSE);
}

gboolean
bh_machine_is_alive (BhMachine *self)
{
  g_return_val_if_fail (BH_IS_MACHINE (self), FALSE);

  return self->state == BH_MACHINE_RUNNING || self->state == BH_MACHINE_PAUSED;
}
