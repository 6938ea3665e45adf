/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Creating, changing, copying and deleting machines: everything that touches their records. */
#include "broker.h"
#include "disk-tools.h"
#include "folders.h"
#include "machine-private.h"
#include "media.h"
#include "networks.h"
#include "vm-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static gboolean G_GNUC_PRINTF (3, 4)
fail (GError **error, GuardError code, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, GUARD_ERROR, (int) code, text);
  return FALSE;
}

/* ------------------------------------------------------------------------------------------------ options */

/* "64M", "2GiB", "1048576": bytes. */
static gboolean
read_size (const char *text, guint64 *ret_bytes, GError **error)
{
  static const char units[] = "KMGT";
  char *end;
  guint64 value;
  guint shift = 0;
  const char *unit;

  errno = 0;
  value = g_ascii_strtoull (text, &end, 10);
  if (end == text || errno || *text == '-')
    return fail (error, GUARD_ERROR_USAGE, "\"%s\" is no size; write for example 64M or 4G", text);
  unit = *end ? strchr (units, g_ascii_toupper (*end)) : NULL;
  if (unit)
    {
      shift = 10 * (guint) (unit - units + 1);
      end++;
      if (g_ascii_strcasecmp (end, "iB") == 0 || g_ascii_strcasecmp (end, "B") == 0)
        end += strlen (end);
    }
  if (*end || (shift && value >> (64 - shift)) || value << shift < 512 || value << shift > (guint64) 127 << 40)
    return fail (error, GUARD_ERROR_USAGE, "\"%s\" is no size of a disk; write for example 64M or 4G", text);
  *ret_bytes = ((value << shift) + 511) & ~(guint64) 511;
  return TRUE;
}

static gboolean
read_choice (GVariant *options, const char *key, const char *const *choices, char **into, GError **error)
{
  const char *value;

  if (!g_variant_lookup (options, key, "&s", &value))
    return TRUE;
  if (!g_strv_contains (choices, value))
    {
      g_autofree char *list = g_strjoinv (", ", (char **) choices);

      return fail (error, GUARD_ERROR_USAGE, "%s is one of %s, not \"%s\"", key, list, value);
    }
  g_free (*into);
  *into = g_strdup (value);
  return TRUE;
}

/* A value that is a string or a list of strings. NULL when absent. */
static char **
read_strings (GVariant *options, const char *key)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (options, key, NULL);

  if (!value)
    return NULL;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
    return g_variant_dup_strv (value, NULL);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    {
      char **list = g_new0 (char *, 2);

      list[0] = g_variant_dup_string (value, NULL);
      return list;
    }
  return NULL;
}

static gboolean
apply_hardware (MachineRecord *record, GVariant *options, GError **error)
{
  static const char *const cpus[] = { "pentium", "pentium2", "pentium3", "pentium-m", NULL };
  static const char *const engines[] = { "auto", "interpreter", "translator", "kvm", NULL };
  static const char *const parallels[] = { "none", "printer", "file", NULL };
  static const char *const serials[] = { "null", "file", "console", NULL };
  static const char *const clocks[] = { "host", "instructions", NULL };
  static const char *const boots[] = { "floppy", "disk", "cdrom", NULL };
  g_auto (GStrv) boot = read_strings (options, "boot");
  g_auto (GStrv) serial = read_strings (options, "serial");
  const char *text;
  guint memory;

  if (g_variant_lookup (options, "memory", "u", &memory))
    {
      if (memory < PROTOCOL_MIN_MEMORY || memory > PROTOCOL_MAX_MEMORY)
        return fail (error, GUARD_ERROR_USAGE, "memory is from %d to %d MiB, not %u", PROTOCOL_MIN_MEMORY, PROTOCOL_MAX_MEMORY,
                     memory);
      record->memory_mib = memory;
    }
  if (!read_choice (options, "cpu", cpus, &record->cpu, error)
      || !read_choice (options, "engine", engines, &record->engine, error)
      || !read_choice (options, "parallel", parallels, &record->parallel, error)
      || !read_choice (options, "clock", clocks, &record->clock, error))
    return FALSE;
  if (g_str_equal (record->engine, "kvm"))
    return fail (error, GUARD_ERROR_FAILED, "the kvm engine does not exist yet; use auto");
  if (boot)
    {
      for (guint i = 0; boot[i]; i++)
        if (!g_strv_contains (boots, boot[i]) || i >= 3)
          return fail (error, GUARD_ERROR_USAGE, "boot is an order of floppy, disk and cdrom, not \"%s\"", boot[i]);
      g_strfreev (record->boot);
      record->boot = g_steal_pointer (&boot);
    }
  for (guint i = 0; serial && serial[i]; i++)
    {
      if (i >= SERIAL_PORTS || !g_strv_contains (serials, serial[i]))
        return fail (error, GUARD_ERROR_USAGE, "a serial port is null, file or console, not \"%s\"", serial[i]);
      g_free (record->serial[i]);
      record->serial[i] = g_strdup (serial[i]);
    }
  if (g_variant_lookup (options, "rtc", "&s", &text))
    {
      if (!g_str_equal (text, "utc") && !g_str_equal (text, "local")
          && !(g_str_has_prefix (text, "fixed:") && g_ascii_string_to_signed (text + 6, 10, 0, G_MAXINT64, NULL, NULL)))
        return fail (error, GUARD_ERROR_USAGE, "rtc is utc, local or fixed:SECONDS, not \"%s\"", text);
      g_free (record->rtc);
      record->rtc = g_strdup (text);
    }
  g_variant_lookup (options, "sound", "b", &record->sound);
  g_variant_lookup (options, "undetectable", "b", &record->undetectable);
  g_variant_lookup (options, "fuzzy-time", "b", &record->fuzzy_time);
  return TRUE;
}

static gboolean
apply_notes (MachineRecord *record, GVariant *options, GError **error)
{
  const char *text;

  if (!g_variant_lookup (options, "notes", "&s", &text))
    return TRUE;
  if (strlen (text) > 4096)
    return fail (error, GUARD_ERROR_USAGE, "notes are at most 4096 bytes");
  g_free (record->notes);
  record->notes = g_strdup (text);
  return TRUE;
}

static gboolean
attach_one (Guard *guard, MachineRecord *record, SlotIndex slot, const char *path, const char *format, gboolean read_only,
            GError **error)
{
  g_autofree char *resolved = NULL;
  gboolean writable = !read_only;

  if (!*path)
    {
      g_clear_pointer (&record->slots[slot].path, g_free);
      return TRUE;
    }
  if (slot == SLOT_DISK0 && record->file)
    return fail (error, GUARD_ERROR_USAGE, "disk0 is the VM's own file");
  if (!g_str_equal (format, "raw") && !g_str_equal (format, "qcow2"))
    return fail (error, GUARD_ERROR_USAGE, "a drive's format is raw or qcow2, not \"%s\"", format);
  resolved = broker_resolve (guard, path, error);
  if (!resolved || !broker_check_medium (guard, record->name, &record->label, slot_kind (slot), resolved, &writable, error))
    return FALSE;
  for (int i = 0; i < N_SLOTS; i++)
    if (i != (int) slot && record->slots[i].path && slot_kind ((SlotIndex) i) != DRIVE_FLOPPY && slot_kind (slot) != DRIVE_FLOPPY
        && slot_position ((SlotIndex) i) == slot_position (slot))
      return fail (error, GUARD_ERROR_USAGE, "%s and %s are one and the same place on the IDE cable", slot_name (slot),
                   slot_name ((SlotIndex) i));
  g_free (record->slots[slot].path);
  record->slots[slot].path = g_steal_pointer (&resolved);
  record->slots[slot].read_only = !writable;
  record->slots[slot].format = g_str_equal (format, "qcow2") ? FORMAT_QCOW2 : FORMAT_RAW;
  return TRUE;
}

static gboolean
apply_media (Guard *guard, MachineRecord *record, GVariant *options, GError **error)
{
  g_auto (GStrv) floppies = read_strings (options, "floppy");
  g_auto (GStrv) cdroms = read_strings (options, "cdrom");
  g_autoptr (GVariant) attach = g_variant_lookup_value (options, "attach", G_VARIANT_TYPE ("aa{sv}"));

  for (guint i = 0; floppies && floppies[i]; i++)
    if (i > 1)
      return fail (error, GUARD_ERROR_USAGE, "there are two floppy drives");
    else if (!attach_one (guard, record, (SlotIndex) (SLOT_FLOPPY0 + i), floppies[i], "raw", FALSE, error))
      return FALSE;
  for (guint i = 0; cdroms && cdroms[i]; i++)
    if (i > 1)
      return fail (error, GUARD_ERROR_USAGE, "there are two CD drives");
    else if (!attach_one (guard, record, (SlotIndex) (SLOT_CDROM0 + i), cdroms[i], "raw", TRUE, error))
      return FALSE;
  for (gsize i = 0; attach && i < g_variant_n_children (attach); i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (attach, i);
      const char *slot_text = "", *path = "", *format = "raw";
      gboolean read_only = FALSE;
      SlotIndex slot;

      g_variant_lookup (row, "slot", "&s", &slot_text);
      g_variant_lookup (row, "path", "&s", &path);
      g_variant_lookup (row, "format", "&s", &format);
      g_variant_lookup (row, "read-only", "b", &read_only);
      slot = slot_find (slot_text);
      if (slot == N_SLOTS)
        return fail (error, GUARD_ERROR_USAGE, "there is no drive \"%s\"", slot_text);
      if (!attach_one (guard, record, slot, path, format, read_only, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
apply_network (Guard *guard, MachineRecord *record, GVariant *options, GError **error)
{
  const char *name;
  Label label;

  if (!g_variant_lookup (options, "network", "&s", &name))
    return TRUE;
  if (!*name || g_str_equal (name, "none"))
    {
      g_clear_pointer (&record->network, g_free);
      return TRUE;
    }
  if (!networks_label (guard->networks, name, &label))
    return fail (error, GUARD_ERROR_FAILED, "there is no network \"%s\"; `network list` shows them", name);
  if (!guard_decide (guard, CHANNEL_NETWORK_JOIN, record->name, name, &record->label, &label, NULL, error))
    return FALSE;
  g_free (record->network);
  record->network = g_strdup (name);
  return TRUE;
}

static gboolean
apply_folders (Guard *guard, MachineRecord *record, GVariant *options, GError **error)
{
  g_auto (GStrv) add = read_strings (options, "folder");
  g_auto (GStrv) remove = read_strings (options, "remove-folder");
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  gboolean writable;

  if (!add && !remove)
    return TRUE;
  for (guint i = 0; record->folders[i]; i++)
    if ((!remove || !g_strv_contains ((const char *const *) remove, record->folders[i]))
        && (!add || !g_strv_contains ((const char *const *) add, record->folders[i])))
      g_strv_builder_add (builder, record->folders[i]);
  for (guint i = 0; add && add[i]; i++)
    {
      if (!*add[i])
        continue;
      if (!folders_check (guard->folders, add[i], record->name, &record->label, &writable, error))
        return FALSE;
      g_strv_builder_add (builder, add[i]);
    }
  g_strfreev (record->folders);
  record->folders = g_strv_builder_end (builder);
  return TRUE;
}

static GBytes *
read_passphrase (GVariant *options)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (options, "passphrase", G_VARIANT_TYPE_BYTESTRING);

  return value ? g_variant_get_data_as_bytes (value) : NULL;
}

/* ------------------------------------------------------------------------------------------------ create */

/* Where a new machine's file goes: where the user said, or into the library. */
static char *
new_file_path (Guard *guard, const MachineRecord *record, GVariant *options, GError **error)
{
  const char *wanted = NULL;
  g_autofree char *folder = NULL;
  g_autofree char *name = NULL;
  g_autofree char *path = NULL;
  g_autofree char *parent = NULL;
  char *real;

  g_variant_lookup (options, "file", "&s", &wanted);
  if (!wanted || !*wanted)
    {
      folder = guard_folder (guard, "disks", error);
      name = g_strconcat (record->name, ".bulkhead", NULL);
      path = folder ? g_build_filename (folder, name, NULL) : NULL;
      if (path && g_file_test (path, G_FILE_TEST_EXISTS))
        {
          g_free (path);
          g_free (name);
          name = g_strdup_printf ("%s-%.8s.bulkhead", record->name, record->uuid);
          path = g_build_filename (folder, name, NULL);
        }
      return g_steal_pointer (&path);
    }
  if (!g_path_is_absolute (wanted) || strlen (wanted) >= PATH_MAX || !g_utf8_validate (wanted, -1, NULL))
    return fail (error, GUARD_ERROR_USAGE, "the file needs an absolute path in UTF-8"), NULL;
  parent = g_path_get_dirname (wanted);
  name = g_path_get_basename (wanted);
  real = realpath (parent, NULL);
  if (!real)
    return fail (error, GUARD_ERROR_FAILED, "%s: %s", parent, g_strerror (errno)), NULL;
  path = g_build_filename (real, name, NULL);
  free (real);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return fail (error, GUARD_ERROR_FAILED, "%s is already there", path), NULL;
  return g_steal_pointer (&path);
}

static gboolean
fill_from_disk (Guard *guard, MachineRecord *record, const char *source, const char *format, GBytes *passphrase,
                VmKeys **ret_keys, GVariant *options, GError **error)
{
  g_autofree char *resolved = broker_resolve (guard, source, error);
  g_autofree char *path = NULL;
  g_auto (AutoFd) from = -1;
  gboolean writable = FALSE;
  guint64 n_bytes;

  if (!resolved)
    return FALSE;
  from = broker_open_medium (guard, record->name, &record->label, DRIVE_DISK, resolved, &writable, error);
  if (from < 0)
    return FALSE;
  n_bytes = disk_tools_size (from, format, error);
  path = n_bytes ? new_file_path (guard, record, options, error) : NULL;
  if (!path || !vm_file_create (guard, record, path, n_bytes, passphrase, ret_keys, error))
    return FALSE;
  if (media_enter (guard->media, path, -1, &record->label, error) && vm_file_fill (guard, record, *ret_keys, from, format, error))
    return TRUE;
  unlink (path);
  return FALSE;
}

static gboolean
make_file (Guard *guard, MachineRecord *record, GVariant *options, GBytes *passphrase, VmKeys **ret_keys, GError **error)
{
  const char *from_disk = NULL, *from = NULL, *text = NULL, *file = NULL;
  g_autofree char *path = NULL;
  guint64 n_bytes = 0;

  if (g_variant_lookup (options, "from-disk", "&s", &from_disk))
    {
      if (!g_variant_lookup (options, "from", "&s", &from))
        from = disk_tools_format_of (from_disk);
      return fill_from_disk (guard, record, from_disk, from, passphrase, ret_keys, options, error);
    }
  if (g_variant_lookup (options, "disk", "&s", &text) && !read_size (text, &n_bytes, error))
    return FALSE;
  g_variant_lookup (options, "disk", "t", &n_bytes);
  g_variant_lookup (options, "file", "&s", &file);
  if (!n_bytes && !file && !passphrase)
    return TRUE;
  path = new_file_path (guard, record, options, error);
  return path && vm_file_create (guard, record, path, n_bytes, passphrase, ret_keys, error)
         && media_enter (guard->media, path, -1, &record->label, error);
}

/* The VM's own file bears the VM's label wherever it turns up. */
static gboolean
label_file (Guard *guard, const MachineRecord *record, GError **error)
{
  return !record->file || media_raise (guard->media, record->file, -1, &record->label, error);
}

static void
warn_if_plain (Machine *self)
{
  const MachineRecord *record = self->record;

  if (!record->file || record->encrypted || label_can_flow (&record->label, &self->guard->host))
    return;
  machine_warn (self, "the file is not encrypted and its label is above the host's: whoever can read %s can read all in it",
                record->file);
  guard_record (self->guard, "plain-file", record->name, record->file, "not encrypted above the host's label", NULL);
}

static gboolean
check_new (Guard *guard, const char *name, GError **error)
{
  if (!store_check_name (name, error))
    return FALSE;
  if (g_hash_table_contains (guard->machines, name))
    return fail (error, GUARD_ERROR_FAILED, "there is already a VM \"%s\"", name);
  if (guard_problem (guard))
    {
      guard_refuse (guard, "create", name, NULL, error, "the guard denies everything: %s", guard_problem (guard));
      return FALSE;
    }
  return TRUE;
}

/* made: the file is ours and goes again when the machine cannot be entered. */
static Machine *
enter (Guard *guard, MachineRecord *record, const VmKeys *keys, gboolean made, GError **error)
{
  Machine *self;

  if (!label_file (guard, record, error) || !vm_file_update (guard, record, keys, error)
      || !store_save (guard->store, record, error))
    {
      if (made && record->file)
        unlink (record->file);
      machine_record_free (record);
      return NULL;
    }
  self = machine_new (guard, record);
  warn_if_plain (self);
  if (guard->service && guard_may_see (guard, &record->label))
    bh_guard1_emit_machine_added (guard->service, record->name, machine_describe (self));
  return self;
}

Machine *
machine_create (Guard *guard, const char *name, GVariant *options, GError **error)
{
  g_autoptr (MachineRecord) record = NULL;
  g_autoptr (GBytes) passphrase = read_passphrase (options);
  g_autoptr (VmKeys) keys = NULL;
  g_autofree char *canonical = NULL;
  const char *label_text = NULL;
  gboolean encrypt = FALSE, plain = FALSE;
  Label label;

  if (!check_new (guard, name, error))
    return NULL;
  if (!g_variant_lookup (options, "label", "&s", &label_text))
    return fail (error, GUARD_ERROR_USAGE, "a VM needs a label (--label TEXT)"), NULL;
  if (!guard_read_label (guard, label_text, &label, error))
    return NULL;
  if (!guard_may_see (guard, &label))
    {
      guard_refuse (guard, "create", name, NULL, error, "%s is outside your clearance range", label_text);
      return NULL;
    }
  plain = g_variant_lookup (options, "encrypt", "b", &encrypt) && !encrypt;
  if (encrypt && !passphrase)
    return fail (error, GUARD_ERROR_USAGE, "encryption needs a passphrase (--passphrase-file FILE)"), NULL;
  if (!encrypt && !plain && !passphrase && encodings_wants_encryption (guard->encodings, &label)
      && (g_variant_lookup (options, "disk", "&s", &label_text) || g_variant_lookup (options, "from-disk", "&s", &label_text)))
    return fail (error, GUARD_ERROR_USAGE, "these encodings want VMs of this label encrypted: give --encrypt --passphrase-file "
                                           "FILE, or --plain"), NULL;
  record = machine_record_new (name);
  record->label = label;
  canonical = guard_canonical (&label);
  if (!apply_hardware (record, options, error) || !apply_notes (record, options, error)
      || !guard_record (guard, "create", name, NULL, canonical, error)
      || !apply_network (guard, record, options, error) || !apply_folders (guard, record, options, error)
      || !apply_media (guard, record, options, error)
      || !make_file (guard, record, options, passphrase, &keys, error))
    return NULL;
  return enter (guard, g_steal_pointer (&record), keys, TRUE, error);
}

/* ------------------------------------------------------------------------------------------------ change */

/* Raises the label of a machine that is off: its media move along, what no longer fits is detached. */
static gboolean
relabel (Machine *self, MachineRecord *record, const char *text, GError **error)
{
  Guard *guard = self->guard;
  Label label, other;

  if (!guard_read_label (guard, text, &label, error))
    return FALSE;
  if (label_equal (&label, &record->label))
    return TRUE;
  if (self->process)
    return fail (error, GUARD_ERROR_WRONG_STATE, "VM \"%s\" must be powered off to change its label", record->name);
  if (!guard_decide_as (guard, CHANNEL_CLONE, "relabel", record->name, record->name, &record->label, &label, NULL, error))
    return FALSE;
  if (!guard_may_see (guard, &label))
    {
      guard_refuse (guard, "relabel", "user", record->name, error, "%s is outside your clearance range", text);
      return FALSE;
    }
  for (int i = 0; i < N_SLOTS; i++)
    {
      const char *path = record->slots[i].path;

      if (!path || record->slots[i].read_only)
        continue;
      media_label (guard->media, path, -1, &other);
      if (!media_raise (guard->media, path, -1, &label, error))
        return FALSE;
    }
  if (record->network && !(networks_label (guard->networks, record->network, &other) && label_equal (&other, &label)))
    {
      machine_warn (self, "detached from network \"%s\", whose label is another now", record->network);
      guard_record (guard, "detach", record->name, record->network, "relabel", NULL);
      g_clear_pointer (&record->network, g_free);
    }
  record->label = label;
  for (guint i = 0; record->folders[i];)
    {
      gboolean writable;

      if (folders_check (guard->folders, record->folders[i], record->name, &label, &writable, NULL))
        {
          i++;
          continue;
        }
      machine_warn (self, "detached from folder \"%s\", whose label does not fit any more", record->folders[i]);
      g_free (record->folders[i]);
      for (guint k = i; record->folders[k]; k++)
        record->folders[k] = record->folders[k + 1];
    }
  return label_file (guard, record, error);
}

gboolean
machine_set (Machine *self, GVariant *options, GError **error)
{
  static const char *const hardware[] = { "memory", "cpu", "engine", "boot", "serial", "parallel", "rtc", "clock", "sound",
                                          "undetectable", "fuzzy-time", "floppy", "cdrom", "attach", "disk" };
  g_autoptr (MachineRecord) record = NULL;
  const char *label_text;
  Guard *guard = self->guard;

  if (guard_problem (guard))
    {
      guard_refuse (guard, "set", record->name, NULL, error, "the guard denies everything: %s", guard_problem (guard));
      return FALSE;
    }
  for (gsize i = 0; self->process && i < G_N_ELEMENTS (hardware); i++)
    {
      g_autoptr (GVariant) value = g_variant_lookup_value (options, hardware[i], NULL);

      if (value)
        return fail (error, GUARD_ERROR_WRONG_STATE, "VM \"%s\" must be powered off to change %s%s", record->name, hardware[i],
                     g_str_equal (hardware[i], "floppy") || g_str_equal (hardware[i], "cdrom") ? "; use insert" : "");
    }
  if (self->state == STATE_SUSPENDED)
    for (gsize i = 0; i < G_N_ELEMENTS (hardware); i++)
      {
        g_autoptr (GVariant) value = g_variant_lookup_value (options, hardware[i], NULL);

        if (value)
          return fail (error, GUARD_ERROR_WRONG_STATE, "VM \"%s\" is suspended; its hardware cannot change", record->name);
      }
  if (self->busy)
    {
      g_propagate_error (error, machine_wrong_state (self, "changed"));
      return FALSE;
    }
  machine_forget_warnings (self);
  if (!machine_take_keys (self, options, error))
    return FALSE;
  record = machine_record_copy (self->record);
  if (g_variant_lookup (options, "label", "&s", &label_text) && !relabel (self, record, label_text, error))
    return FALSE;
  if (!apply_hardware (record, options, error) || !apply_notes (record, options, error)
      || !apply_network (guard, record, options, error) || !apply_folders (guard, record, options, error)
      || !apply_media (guard, record, options, error)
      || !vm_file_update (guard, record, self->keys, error) || !store_save (guard->store, record, error)
      || !guard_record (guard, "set", record->name, NULL, NULL, error))
    return FALSE;
  /* The name is the table's key and did not change: it stays where it is. */
  {
    char *name = g_steal_pointer (&self->record->name);

    machine_record_free (self->record);
    self->record = g_steal_pointer (&record);
    g_free (self->record->name);
    self->record->name = name;
  }
  warn_if_plain (self);
  machine_changed (self);
  return TRUE;
}

gboolean
machine_rename (Machine *self, const char *new_name, GError **error)
{
  g_autofree char *old = g_strdup (self->record->name);
  Guard *guard = self->guard;
  MachineRecord *record;
  char *kept;

  if (!check_new (guard, new_name, error))
    return FALSE;
  if (self->process)
    return fail (error, GUARD_ERROR_WRONG_STATE, "VM \"%s\" must be powered off to be renamed", old);
  if (!guard_record (guard, "rename", old, new_name, NULL, error))
    return FALSE;
  record = machine_record_copy (self->record);
  g_free (record->name);
  record->name = g_strdup (new_name);
  if (!vm_file_update (guard, record, self->keys, error) || !store_save (guard->store, record, error))
    {
      machine_record_free (record);
      return FALSE;
    }
  kept = self->record->name;
  self->record->name = NULL;
  machine_record_free (self->record);
  self->record = record;
  g_hash_table_steal (guard->machines, old);
  g_hash_table_replace (guard->machines, self->record->name, self);
  g_free (kept);
  if (guard->service && guard_may_see (guard, &self->record->label))
    bh_guard1_emit_machine_renamed (guard->service, old, new_name);
  return TRUE;
}

gboolean
machine_delete (Machine *self, GVariant *options, GError **error)
{
  Guard *guard = self->guard;
  g_autofree char *name = g_strdup (self->record->name);
  g_autofree char *state = machine_state_path (self, NULL);
  gboolean keep_file = FALSE, seen = guard_may_see (guard, &self->record->label);

  g_variant_lookup (options, "keep-file", "b", &keep_file);
  if (self->process)
    return fail (error, GUARD_ERROR_WRONG_STATE, "VM \"%s\" must be powered off to be deleted", name);
  if (machine_linked_clone (self))
    return fail (error, GUARD_ERROR_WRONG_STATE, "the linked clone \"%s\" lies over the disk of \"%s\"; delete that first",
                 machine_linked_clone (self), name);
  if (!guard_record (guard, "delete", name, self->record->file, keep_file ? "file kept" : NULL, error)
      || !store_delete (guard->store, self->record, error))
    return FALSE;
  if (state)
    unlink (state);
  if (self->record->file && !keep_file)
    {
      unlink (self->record->file);
      media_forget (guard->media, self->record->file);
    }
  g_hash_table_remove (guard->machines, name);
  if (guard->service && seen)
    bh_guard1_emit_machine_removed (guard->service, name);
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ copies */

Machine *
machine_clone (Machine *self, const char *new_name, GVariant *options, GError **error)
{
  g_autoptr (MachineRecord) record = NULL;
  g_autoptr (MachineRecord) fresh = NULL;
  g_autoptr (GBytes) passphrase = read_passphrase (options);
  g_autoptr (VmKeys) keys = NULL;
  const char *text = NULL;
  Guard *guard = self->guard;
  gboolean linked = FALSE;
  Label label = self->record->label;

  if (!check_new (guard, new_name, error))
    return NULL;
  if (g_variant_lookup (options, "label", "&s", &text) && !guard_read_label (guard, text, &label, error))
    return NULL;
  if (!guard_decide (guard, CHANNEL_CLONE, self->record->name, new_name, &self->record->label, &label, NULL, error))
    return NULL;
  if (!guard_may_see (guard, &label))
    {
      guard_refuse (guard, "clone", "user", new_name, error, "%s is outside your clearance range", text);
      return NULL;
    }
  g_variant_lookup (options, "linked", "b", &linked);
  if (linked && !guard_decide (guard, CHANNEL_BASE_IMAGE, self->record->name, new_name, &self->record->label, &label, NULL, error))
    return NULL;
  if (self->process)
    return fail (error, GUARD_ERROR_WRONG_STATE, "VM \"%s\" must be powered off to be cloned", self->record->name), NULL;
  if (!machine_take_keys (self, options, error))
    return NULL;
  if (!linked && self->record->encrypted && !passphrase)
    return fail (error, GUARD_ERROR_USAGE, "VM \"%s\" is encrypted: give its passphrase (--passphrase-file FILE), which becomes the "
                                           "clone's as well", self->record->name), NULL;
  /* Identity and what must not be shared are those of a new machine. */
  fresh = machine_record_new (new_name);
  record = machine_record_copy (self->record);
  memcpy (record->mac, fresh->mac, sizeof record->mac);
  record->seed = fresh->seed;
  record->created = fresh->created;
  record->used = 0;
  record->generation = 0;
  record->label = label;
  g_free (record->uuid);
  record->uuid = g_strdup (fresh->uuid);
  g_free (record->name);
  record->name = g_strdup (new_name);
  g_free (record->state);
  record->state = g_strdup ("off");
  g_clear_pointer (&record->file, g_free);
  g_clear_pointer (&record->base, g_free);
  record->encrypted = FALSE;
  for (int i = 0; i < N_SLOTS; i++)
    if (record->slots[i].path && !record->slots[i].read_only)
      g_clear_pointer (&record->slots[i].path, g_free);
  if (!label_equal (&label, &self->record->label))
    g_clear_pointer (&record->network, g_free);
  if (self->record->file)
    {
      g_autofree char *path = new_file_path (guard, record, options, error);

      if (!path || !vm_file_clone (guard, self->record, self->keys, record, path, linked, passphrase, &keys, error))
        return NULL;
      if (!media_enter (guard->media, path, -1, &record->label, error))
        {
          unlink (path);
          return NULL;
        }
    }
  return enter (guard, g_steal_pointer (&record), keys, TRUE, error);
}

Machine *
machine_import (Guard *guard, const char *path, GVariant *options, GError **error)
{
  g_autofree char *resolved = NULL;
  g_autoptr (MachineRecord) record = NULL;
  g_autoptr (GBytes) passphrase = read_passphrase (options);
  g_autoptr (VmKeys) keys = NULL;
  const char *name = NULL, *text = NULL;
  GHashTableIter iter;
  gpointer other;
  Label label, registered;

  if (guard_problem (guard))
    {
      guard_refuse (guard, "import", "user", path, error, "the guard denies everything: %s", guard_problem (guard));
      return NULL;
    }
  resolved = broker_resolve (guard, path, error);
  if (!resolved)
    return NULL;
  g_hash_table_iter_init (&iter, guard->machines);
  while (g_hash_table_iter_next (&iter, NULL, &other))
    if (g_strcmp0 (machine_record (other)->file, resolved) == 0)
      return fail (error, GUARD_ERROR_FAILED, "%s is the file of VM \"%s\" already; if it was changed, `check %s --repair`", resolved,
                   machine_record (other)->name, machine_record (other)->name), NULL;
  record = vm_file_import (guard, resolved, passphrase, &keys, error);
  if (!record)
    return NULL;
  if (g_variant_lookup (options, "name", "&s", &name))
    {
      g_free (record->name);
      record->name = g_strdup (name);
    }
  if (!check_new (guard, record->name, error))
    return NULL;
  label = record->label;
  if (g_variant_lookup (options, "label", "&s", &text) && !guard_read_label (guard, text, &label, error))
    return NULL;
  /* Neither below what the file claims nor below what this library knows of the file. */
  if (!guard_decide (guard, CHANNEL_IMPORT, record->name, resolved, &record->label, &label, NULL, error))
    return NULL;
  if (media_is_registered (guard->media, resolved, -1))
    {
      media_label (guard->media, resolved, -1, &registered);
      if (!guard_decide (guard, CHANNEL_IMPORT, record->name, resolved, &registered, &label, NULL, error))
        return NULL;
    }
  if (!encodings_check_label (guard->encodings, &label, error))
    return NULL;
  record->label = label;
  if (!guard_record (guard, "import", record->name, resolved, NULL, error))
    return NULL;
  return enter (guard, g_steal_pointer (&record), keys, FALSE, error);
}

gboolean
machine_export (Machine *self, const char *path, GVariant *options, GError **error)
{
  Guard *guard = self->guard;
  const char *format = "raw";
  g_auto (AutoFd) to = -1;

  g_variant_lookup (options, "format", "&s", &format);
  if (!guard_decide (guard, CHANNEL_EXPORT, self->record->name, path, &self->record->label, &guard->host, NULL, error))
    return FALSE;
  if (self->process)
    return fail (error, GUARD_ERROR_WRONG_STATE, "VM \"%s\" must be powered off to be exported", self->record->name);
  if (!self->record->file)
    return fail (error, GUARD_ERROR_FAILED, "VM \"%s\" has no file to export", self->record->name);
  if (!g_path_is_absolute (path))
    return fail (error, GUARD_ERROR_USAGE, "the target needs an absolute path");
  if (!machine_take_keys (self, options, error))
    return FALSE;
  to = broker_create (path, error);
  if (to < 0)
    return FALSE;
  if (vm_file_export (guard, self->record, self->keys, to, format, error))
    return TRUE;
  unlink (path);
  return FALSE;
}

GVariant *
machine_list_snapshots (Machine *self, GError **error)
{
  if (!self->record->file)
    return g_variant_new_array (G_VARIANT_TYPE_VARDICT, NULL, 0);
  return vm_file_list_snapshots (self->guard, self->record, self->keys, !self->process, error);
}

GVariant *
machine_check (Machine *self, GVariant *options, GError **error)
{
  Guard *guard = self->guard;
  gboolean repair = FALSE;
  GVariant *result;

  g_variant_lookup (options, "repair", "b", &repair);
  if (!self->record->file)
    return fail (error, GUARD_ERROR_FAILED, "VM \"%s\" has no file to check", self->record->name), NULL;
  if (self->process)
    return fail (error, GUARD_ERROR_WRONG_STATE, "VM \"%s\" must be powered off for its file to be checked", self->record->name), NULL;
  if (repair && machine_linked_clone (self))
    return fail (error, GUARD_ERROR_WRONG_STATE, "the linked clone \"%s\" lies over this disk", machine_linked_clone (self)), NULL;
  /* A header that is not ours cannot be unlocked; the check says what is wrong with it. */
  if (repair && self->record->encrypted)
    {
      g_autoptr (GBytes) passphrase = read_passphrase (options);
      VmKeys *keys = passphrase ? vm_file_unlock (guard, self->record, passphrase, TRUE, error) : NULL;

      if (passphrase && !keys)
        return NULL;
      if (keys)
        {
          vm_keys_free (self->keys);
          self->keys = keys;
          machine_keep_keys (self);
        }
    }
  else if (!machine_take_keys (self, options, NULL))
    machine_forget_keys (self);
  result = vm_file_check (self->guard, self->record, self->keys, repair, error);
  if (repair)
    {
      self->state = g_str_equal (self->record->state, "suspended") ? STATE_SUSPENDED : STATE_OFF;
      machine_changed (self);
    }
  return result;
}

gboolean
machine_take_keys (Machine *self, GVariant *options, GError **error)
{
  g_autoptr (GBytes) passphrase = options ? read_passphrase (options) : NULL;
  VmKeys *keys;

  if (!passphrase || !self->record->encrypted)
    return TRUE;
  keys = vm_file_unlock (self->guard, self->record, passphrase, FALSE, error);
  if (!keys)
    return FALSE;
  vm_keys_free (self->keys);
  self->keys = keys;
  machine_keep_keys (self);
  return TRUE;
}

const char *
machine_linked_clone (Machine *self)
{
  GHashTableIter iter;
  gpointer other;

  g_hash_table_iter_init (&iter, self->guard->machines);
  while (g_hash_table_iter_next (&iter, NULL, &other))
    if (g_strcmp0 (machine_record (other)->base, self->record->uuid) == 0)
      return machine_record (other)->name;
  return NULL;
}
