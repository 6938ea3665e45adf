/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store.h"

#include "machine.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct Store
{
  Guard     *guard;
  char      *folder, *index_path;
  GKeyFile  *index;             /* uuid → generation */
  GPtrArray *problems;
};

static const struct { const char *name; ProtocolDrive kind; unsigned position; } slots[N_SLOTS] = {
  [SLOT_DISK0] = { "disk0", DRIVE_DISK, 0 },     [SLOT_DISK1] = { "disk1", DRIVE_DISK, 1 },
  [SLOT_DISK2] = { "disk2", DRIVE_DISK, 2 },     [SLOT_DISK3] = { "disk3", DRIVE_DISK, 3 },
  [SLOT_CDROM0] = { "cdrom0", DRIVE_CDROM, 2 },  [SLOT_CDROM1] = { "cdrom1", DRIVE_CDROM, 3 },
  [SLOT_FLOPPY0] = { "floppy0", DRIVE_FLOPPY, 0 }, [SLOT_FLOPPY1] = { "floppy1", DRIVE_FLOPPY, 1 },
};

const char *
slot_name (SlotIndex slot)
{
  return slot < N_SLOTS ? slots[slot].name : "?";
}

SlotIndex
slot_find (const char *name)
{
  if (g_str_equal (name, "cdrom") || g_str_equal (name, "cd"))
    return SLOT_CDROM0;
  if (g_str_equal (name, "floppy"))
    return SLOT_FLOPPY0;
  for (int i = 0; i < N_SLOTS; i++)
    if (g_str_equal (slots[i].name, name))
      return (SlotIndex) i;
  return N_SLOTS;
}

ProtocolDrive
slot_kind (SlotIndex slot)
{
  return slots[slot].kind;
}

unsigned
slot_position (SlotIndex slot)
{
  return slots[slot].position;
}

gboolean
store_check_name (const char *name, GError **error)
{
  g_autofree char *neutral = files_neutral_text (name, 1000);
  glong n = g_utf8_strlen (neutral, -1);

  if (n >= 1 && n <= 64 && g_str_equal (neutral, name) && !strchr (name, '/') && *name != '.' && *name != '-'
      && !g_ascii_isspace (*name) && !g_ascii_isspace (name[strlen (name) - 1]))
    return TRUE;
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_USAGE,
               "\"%s\" is no name: 1 to 64 printable characters without \"/\", not starting with \".\" or \"-\"", neutral);
  return FALSE;
}

MachineRecord *
machine_record_new (const char *name)
{
  static const char *const boot[] = { "floppy", "cdrom", "disk", NULL };
  MachineRecord *record = g_new0 (MachineRecord, 1);

  record->uuid = g_uuid_string_random ();
  record->name = g_strdup (name);
  record->state = g_strdup ("off");
  record->memory_mib = 64;
  record->cpu = g_strdup ("pentium3");
  record->engine = g_strdup ("auto");
  record->rtc = g_strdup ("utc");
  record->clock = g_strdup ("host");
  record->boot = g_strdupv ((char **) boot);
  record->folders = g_new0 (char *, 1);
  record->parallel = g_strdup ("none");
  for (int i = 0; i < SERIAL_PORTS; i++)
    record->serial[i] = g_strdup (i == 0 ? "console" : "null");
  record->sound = TRUE;
  record->notes = g_strdup ("");
  record->created = g_get_real_time () / G_USEC_PER_SEC;
  if (getrandom (record->mac, sizeof record->mac, 0) != sizeof record->mac
      || getrandom (&record->seed, sizeof record->seed, 0) != sizeof record->seed)
    g_error ("no random bytes");
  record->mac[0] = (record->mac[0] & 0xfc) | 0x02;      /* unicast, locally administered */
  return record;
}

MachineRecord *
machine_record_copy (const MachineRecord *record)
{
  MachineRecord *copy = g_memdup2 (record, sizeof *record);

  copy->uuid = g_strdup (record->uuid);
  copy->name = g_strdup (record->name);
  copy->state = g_strdup (record->state);
  copy->cpu = g_strdup (record->cpu);
  copy->engine = g_strdup (record->engine);
  copy->rtc = g_strdup (record->rtc);
  copy->clock = g_strdup (record->clock);
  copy->boot = g_strdupv (record->boot);
  copy->file = g_strdup (record->file);
  copy->base = g_strdup (record->base);
  for (int i = 0; i < N_SLOTS; i++)
    copy->slots[i].path = g_strdup (record->slots[i].path);
  copy->network = g_strdup (record->network);
  copy->folders = g_strdupv (record->folders);
  copy->parallel = g_strdup (record->parallel);
  for (int i = 0; i < SERIAL_PORTS; i++)
    copy->serial[i] = g_strdup (record->serial[i]);
  copy->notes = g_strdup (record->notes);
  return copy;
}

void
machine_record_free (MachineRecord *record)
{
  if (!record)
    return;
  g_free (record->uuid);
  g_free (record->name);
  g_free (record->state);
  g_free (record->cpu);
  g_free (record->engine);
  g_free (record->rtc);
  g_free (record->clock);
  g_strfreev (record->boot);
  g_free (record->file);
  g_free (record->base);
  for (int i = 0; i < N_SLOTS; i++)
    g_free (record->slots[i].path);
  g_free (record->network);
  g_strfreev (record->folders);
  g_free (record->parallel);
  for (int i = 0; i < SERIAL_PORTS; i++)
    g_free (record->serial[i]);
  g_free (record->notes);
  g_free (record);
}

static char *
record_path (Store *self, const char *uuid)
{
  g_autofree char *name = g_strconcat (uuid, ".machine", NULL);

  return g_build_filename (self->folder, name, NULL);
}

#define G "machine"

GKeyFile *
machine_record_to_key_file (const MachineRecord *record)
{
  GKeyFile *file = g_key_file_new ();
  g_autofree char *label = guard_canonical (&record->label);
  g_autofree char *mac = files_hex (record->mac, sizeof record->mac);

  g_key_file_set_string (file, G, "uuid", record->uuid);
  g_key_file_set_string (file, G, "name", record->name);
  g_key_file_set_string (file, G, "label", label);
  g_key_file_set_uint64 (file, G, "generation", record->generation);
  g_key_file_set_string (file, G, "state", record->state);
  g_key_file_set_uint64 (file, G, "memory", record->memory_mib);
  g_key_file_set_string (file, G, "cpu", record->cpu);
  g_key_file_set_string (file, G, "engine", record->engine);
  g_key_file_set_string (file, G, "rtc", record->rtc);
  g_key_file_set_string (file, G, "clock", record->clock);
  g_key_file_set_string_list (file, G, "boot", (const char *const *) record->boot, g_strv_length (record->boot));
  if (record->file)
    {
      g_key_file_set_string (file, G, "file", record->file);
      g_key_file_set_uint64 (file, G, "file-format", record->file_format);
      g_key_file_set_boolean (file, G, "encrypted", record->encrypted);
    }
  if (record->file && record->file_format == FORMAT_QCOW2)
    {
      g_autofree char *digest = files_hex (record->file_digest, sizeof record->file_digest);
      g_autofree char *file_label = guard_canonical (&record->file_label);

      g_key_file_set_uint64 (file, G, "disk-bytes", record->disk_bytes);
      g_key_file_set_uint64 (file, G, "file-generation", record->file_generation);
      g_key_file_set_string (file, G, "file-digest", digest);
      g_key_file_set_string (file, G, "file-label", file_label);
      g_key_file_set_boolean (file, G, "file-stale", record->file_stale);
    }
  if (record->base)
    g_key_file_set_string (file, G, "base", record->base);
  for (int i = 0; i < N_SLOTS; i++)
    if (record->slots[i].path)
      {
        g_autofree char *format = g_strconcat (slots[i].name, "-format", NULL);
        g_autofree char *read_only = g_strconcat (slots[i].name, "-read-only", NULL);

        g_key_file_set_string (file, G, slots[i].name, record->slots[i].path);
        g_key_file_set_uint64 (file, G, format, record->slots[i].format);
        g_key_file_set_boolean (file, G, read_only, record->slots[i].read_only);
      }
  if (record->network)
    g_key_file_set_string (file, G, "network", record->network);
  g_key_file_set_string_list (file, G, "folders", (const char *const *) record->folders, g_strv_length (record->folders));
  g_key_file_set_string (file, G, "parallel", record->parallel);
  g_key_file_set_string_list (file, G, "serial", (const char *const *) record->serial, SERIAL_PORTS);
  g_key_file_set_boolean (file, G, "sound", record->sound);
  g_key_file_set_boolean (file, G, "undetectable", record->undetectable);
  g_key_file_set_boolean (file, G, "fuzzy-time", record->fuzzy_time);
  g_key_file_set_string (file, G, "mac", mac);
  g_key_file_set_uint64 (file, G, "seed", record->seed);
  g_key_file_set_string (file, G, "notes", record->notes);
  g_key_file_set_int64 (file, G, "created", record->created);
  g_key_file_set_int64 (file, G, "used", record->used);
  return file;
}

static void
take_string (GKeyFile *file, const char *key, char **into)
{
  char *value = g_key_file_get_string (file, G, key, NULL);

  if (!value)
    return;
  g_free (*into);
  *into = value;
}

static void
take_hex (GKeyFile *file, const char *key, guint8 *ret_bytes, gsize n_bytes)
{
  g_autofree char *text = g_key_file_get_string (file, G, key, NULL);

  for (gsize i = 0; text && strlen (text) == 2 * n_bytes && i < n_bytes; i++)
    ret_bytes[i] = (guint8) ((g_ascii_xdigit_value (text[2 * i]) << 4) | g_ascii_xdigit_value (text[2 * i + 1]));
}

MachineRecord *
machine_record_from_key_file (GKeyFile *file, GError **error)
{
  g_autoptr (MachineRecord) record = machine_record_new ("");
  g_autofree char *label = g_key_file_get_string (file, G, "label", NULL);
  g_autofree char *file_label = NULL;
  g_auto (GStrv) serial = g_key_file_get_string_list (file, G, "serial", NULL, NULL);
  char **list;

  take_string (file, "uuid", &record->uuid);
  take_string (file, "name", &record->name);
  if (!label || !label_parse (label, &record->label))
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, "it has no label");
      return NULL;
    }
  if (!g_uuid_string_is_valid (record->uuid) || !store_check_name (record->name, error))
    {
      if (error && !*error)
        g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, "it has no identity");
      return NULL;
    }
  record->generation = g_key_file_get_uint64 (file, G, "generation", NULL);
  take_string (file, "state", &record->state);
  record->memory_mib = (guint) g_key_file_get_uint64 (file, G, "memory", NULL);
  record->memory_mib = CLAMP (record->memory_mib, (guint) PROTOCOL_MIN_MEMORY, (guint) PROTOCOL_MAX_MEMORY);
  take_string (file, "cpu", &record->cpu);
  take_string (file, "engine", &record->engine);
  take_string (file, "rtc", &record->rtc);
  take_string (file, "clock", &record->clock);
  list = g_key_file_get_string_list (file, G, "boot", NULL, NULL);
  if (list)
    {
      g_strfreev (record->boot);
      record->boot = list;
    }
  take_string (file, "file", &record->file);
  record->file_format = g_key_file_get_uint64 (file, G, "file-format", NULL) == FORMAT_QCOW2 ? FORMAT_QCOW2 : FORMAT_RAW;
  record->encrypted = g_key_file_get_boolean (file, G, "encrypted", NULL);
  record->disk_bytes = g_key_file_get_uint64 (file, G, "disk-bytes", NULL);
  record->file_generation = g_key_file_get_uint64 (file, G, "file-generation", NULL);
  record->file_stale = g_key_file_get_boolean (file, G, "file-stale", NULL);
  take_hex (file, "file-digest", record->file_digest, sizeof record->file_digest);
  record->file_label = record->label;
  file_label = g_key_file_get_string (file, G, "file-label", NULL);
  if (file_label && !label_parse (file_label, &record->file_label))
    record->file_label = record->label;
  take_string (file, "base", &record->base);
  if (record->base && !g_uuid_string_is_valid (record->base))
    g_clear_pointer (&record->base, g_free);
  for (int i = 0; i < N_SLOTS; i++)
    {
      g_autofree char *format = g_strconcat (slots[i].name, "-format", NULL);
      g_autofree char *read_only = g_strconcat (slots[i].name, "-read-only", NULL);

      take_string (file, slots[i].name, &record->slots[i].path);
      record->slots[i].format = g_key_file_get_uint64 (file, G, format, NULL) == FORMAT_QCOW2 ? FORMAT_QCOW2 : FORMAT_RAW;
      record->slots[i].read_only = g_key_file_get_boolean (file, G, read_only, NULL);
    }
  take_string (file, "network", &record->network);
  list = g_key_file_get_string_list (file, G, "folders", NULL, NULL);
  if (list)
    {
      g_strfreev (record->folders);
      record->folders = list;
    }
  take_string (file, "parallel", &record->parallel);
  for (guint i = 0; serial && serial[i] && i < SERIAL_PORTS; i++)
    {
      g_free (record->serial[i]);
      record->serial[i] = g_strdup (serial[i]);
    }
  record->sound = g_key_file_get_boolean (file, G, "sound", NULL);
  record->undetectable = g_key_file_get_boolean (file, G, "undetectable", NULL);
  record->fuzzy_time = g_key_file_get_boolean (file, G, "fuzzy-time", NULL);
  take_hex (file, "mac", record->mac, sizeof record->mac);
  record->mac[0] &= 0xfe;
  record->seed = g_key_file_get_uint64 (file, G, "seed", NULL);
  take_string (file, "notes", &record->notes);
  record->created = g_key_file_get_int64 (file, G, "created", NULL);
  record->used = g_key_file_get_int64 (file, G, "used", NULL);
  return g_steal_pointer (&record);
}

Store *
store_new (Guard *guard, GError **error)
{
  Store *self = g_new0 (Store, 1);

  self->guard = guard;
  self->problems = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (self->problems, NULL);
  self->index_path = g_build_filename (guard->data_folder, "library.index", NULL);
  self->folder = guard_folder (guard, "machines", error);
  if (self->folder)
    self->index = files_load_sealed (self->index_path, guard->key, error);
  if (!self->index)
    self->index = g_key_file_new ();
  return self;
}

void
store_free (Store *self)
{
  if (!self)
    return;
  g_key_file_unref (self->index);
  g_ptr_array_unref (self->problems);
  g_free (self->folder);
  g_free (self->index_path);
  g_free (self);
}

static void
problem (Store *self, char *text)
{
  g_ptr_array_insert (self->problems, (int) self->problems->len - 1, text);
}

const char *const *
store_problems (Store *self)
{
  return (const char *const *) self->problems->pdata;
}

static void
load_one (Store *self, const char *name)
{
  g_autofree char *path = g_build_filename (self->folder, name, NULL);
  g_autofree char *uuid = g_strndup (name, strlen (name) - strlen (".machine"));
  g_autoptr (GKeyFile) file = NULL;
  g_autoptr (MachineRecord) record = NULL;
  g_autoptr (GError) error = NULL;
  guint64 known = g_key_file_get_uint64 (self->index, "generations", uuid, NULL);

  file = files_load_sealed (path, self->guard->key, &error);
  record = file ? machine_record_from_key_file (file, &error) : NULL;
  if (record && !g_str_equal (record->uuid, uuid))
    g_set_error (&error, GUARD_ERROR, GUARD_ERROR_FAILED, "it is the record of another machine");
  else if (record && record->generation < known)
    g_set_error (&error, GUARD_ERROR, GUARD_ERROR_FAILED,
                 "an older copy was put back (generation %" G_GUINT64_FORMAT " instead of %" G_GUINT64_FORMAT
                 "); put back the newest one", record->generation, known);
  else if (record && g_hash_table_contains (self->guard->machines, record->name))
    g_set_error (&error, GUARD_ERROR, GUARD_ERROR_FAILED, "there are two machines \"%s\"", record->name);
  if (error)
    {
      problem (self, g_strdup_printf ("%s: %s", name, error->message));
      return;
    }
  machine_new (self->guard, g_steal_pointer (&record));
}

void
store_load_machines (Store *self)
{
  g_autoptr (GDir) folder = self->folder ? g_dir_open (self->folder, 0, NULL) : NULL;
  const char *name;

  while (folder && (name = g_dir_read_name (folder)))
    if (g_str_has_suffix (name, ".machine"))
      load_one (self, name);
}

gboolean
store_save (Store *self, MachineRecord *record, GError **error)
{
  g_autofree char *path = NULL;
  g_autoptr (GKeyFile) file = NULL;

  if (!self->folder)
    {
      g_set_error_literal (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the library's folder cannot be used");
      return FALSE;
    }
  path = record_path (self, record->uuid);
  record->generation++;
  file = machine_record_to_key_file (record);
  if (!files_save_sealed (path, file, self->guard->key, error))
    {
      record->generation--;
      return FALSE;
    }
  /* After the record: a crash between the two leaves a record newer than the index says, which is sound. */
  g_key_file_set_uint64 (self->index, "generations", record->uuid, record->generation);
  return files_save_sealed (self->index_path, self->index, self->guard->key, error);
}

gboolean
store_delete (Store *self, const MachineRecord *record, GError **error)
{
  g_autofree char *path = record_path (self, record->uuid);

  if (unlink (path) < 0 && errno != ENOENT)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s cannot be removed: %s", path, g_strerror (errno));
      return FALSE;
    }
  g_key_file_remove_key (self->index, "generations", record->uuid, NULL);
  return files_save_sealed (self->index_path, self->index, self->guard->key, error);
}
