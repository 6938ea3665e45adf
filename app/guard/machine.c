/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Running: starting, stopping, the console.  What concerns the library is in machine-library.c. */
#include "machine.h"

#include "broker.h"
#include "display.h"
#include "folders.h"
#include "guard-client.h"
#include "machine-private.h"
#include "media.h"
#include "networks.h"
#include "sound.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const state_names[] = { "off", "running", "paused", "suspended", "crashed" };

/* ------------------------------------------------------------------------------------------------ life */

Machine *
machine_new (Guard *guard, MachineRecord *record)
{
  Machine *self = g_new0 (Machine, 1);

  self->guard = guard;
  self->record = record;
  self->state = g_str_equal (record->state, "suspended") ? STATE_SUSPENDED : STATE_OFF;
  self->display_fd = self->frame_fd = self->sound_fd = self->loaded_state = -1;
  for (guint i = 0; i < SERIAL_PORTS; i++)
    self->serial_fd[i] = -1;
  self->waiting = g_array_new (FALSE, FALSE, sizeof (Waiter));
  g_hash_table_replace (guard->machines, record->name, self);
  return self;
}

static void
drop_runtime (Machine *self)
{
  clear_fd (&self->display_fd);
  clear_fd (&self->frame_fd);
  clear_fd (&self->sound_fd);
  clear_fd (&self->loaded_state);
  for (guint i = 0; i < SERIAL_PORTS; i++)
    {
      clear_fd (&self->serial_fd[i]);
      g_clear_pointer (&self->serial_spool[i], spool_free);
    }
  g_clear_pointer (&self->printer, spool_free);
  for (guint i = 0; i < PROTOCOL_FOLDERS; i++)
    g_clear_pointer (&self->folders[i], folder_process_free);
  media_release_all (self->guard->media, self->record->name);
  if (self->guard->networks)
    networks_disconnect (self->guard->networks, self->record->name);
  self->console_open = FALSE;
}

void
machine_free (Machine *self)
{
  if (!self)
    return;
  g_clear_pointer (&self->process, machine_process_free);
  drop_runtime (self);
  g_array_unref (self->waiting);
  machine_forget_keys (self);
  g_free (self->error);
  machine_record_free (self->record);
  g_free (self);
}

Machine *
machine_find (Guard *guard, const char *name, gboolean officer, GError **error)
{
  Machine *self = g_hash_table_lookup (guard->machines, name);
  g_autofree char *shown = NULL;

  if (self && (officer || guard_may_see (guard, &self->record->label)))
    return self;
  shown = files_neutral_text (name, 64);
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_NO_SUCH_MACHINE, "there is no VM \"%s\"; `list` shows those you may see", shown);
  return NULL;
}

char *
machine_find_program (const char *name)
{
  return guard_client_find_program (name);
}

const MachineRecord *
machine_record (Machine *self)
{
  return self->record;
}

MachineState
machine_state (Machine *self)
{
  return self->state;
}

gboolean
machine_is_live (Machine *self)
{
  return self->process != NULL;
}

int
machine_display_fd (Machine *self)
{
  return self->display_fd;
}

guint64
machine_display_bytes (void)
{
  return DISPLAY_FILE_BYTES;
}

guint64
machine_sound_bytes (void)
{
  return SOUND_RING_BYTES;
}

gboolean
machine_console_is_open (Machine *self)
{
  return self->console_open;
}

static void
add_string (GVariantBuilder *into, const char *key, const char *value)
{
  g_autofree char *shown = files_neutral_text (value, 4096);

  g_variant_builder_add (into, "{sv}", key, g_variant_new_string (shown));
}

GVariant *
machine_describe (Machine *self)
{
  const MachineRecord *record = self->record;
  GVariantBuilder all, media, serial;

  g_variant_builder_init (&all, G_VARIANT_TYPE_VARDICT);
  add_string (&all, "name", record->name);
  add_string (&all, "uuid", record->uuid);
  add_string (&all, "state", state_names[self->state]);
  if (self->error)
    add_string (&all, "error", self->error);
  guard_describe_label (self->guard, &all, "", &record->label);
  add_string (&all, "file", record->file);
  g_variant_builder_add (&all, "{sv}", "encrypted", g_variant_new_boolean (record->encrypted));
  g_variant_builder_add (&all, "{sv}", "pid", g_variant_new_int32 (self->process ? machine_process_pid (self->process) : 0));
  g_variant_builder_add (&all, "{sv}", "memory", g_variant_new_uint32 (record->memory_mib));
  add_string (&all, "cpu", record->cpu);
  add_string (&all, "engine", record->engine);
  add_string (&all, "clock", record->clock);
  add_string (&all, "rtc", record->rtc);
  g_variant_builder_add (&all, "{sv}", "boot", g_variant_new_strv ((const char *const *) record->boot, -1));
  g_variant_builder_add (&all, "{sv}", "undetectable", g_variant_new_boolean (record->undetectable));
  g_variant_builder_add (&all, "{sv}", "fuzzy-time", g_variant_new_boolean (record->fuzzy_time));
  g_variant_builder_init (&media, G_VARIANT_TYPE ("aa{sv}"));
  for (int i = 0; i < N_SLOTS; i++)
    {
      const Slot *slot = &record->slots[i];
      gboolean own = i == SLOT_DISK0 && record->file;
      const char *path = own ? record->file : slot->path;
      GVariantBuilder row;
      Label label;

      if (!path && slot_kind ((SlotIndex) i) == DRIVE_DISK)
        continue;
      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      add_string (&row, "slot", slot_name ((SlotIndex) i));
      add_string (&row, "path", path);
      add_string (&row, "format", (own ? record->file_format : slot->format) == FORMAT_QCOW2 ? "qcow2" : "raw");
      g_variant_builder_add (&row, "{sv}", "read-only", g_variant_new_boolean (slot->read_only));
      if (path)
        {
          media_label (self->guard->media, path, -1, &label);
          guard_describe_label (self->guard, &row, "", &label);
        }
      g_variant_builder_add_value (&media, g_variant_builder_end (&row));
    }
  g_variant_builder_add (&all, "{sv}", "media", g_variant_builder_end (&media));
  add_string (&all, "network", record->network);
  g_variant_builder_add (&all, "{sv}", "folders", g_variant_new_strv ((const char *const *) record->folders, -1));
  add_string (&all, "parallel", record->parallel);
  g_variant_builder_init (&serial, G_VARIANT_TYPE_STRING_ARRAY);
  for (int i = 0; i < SERIAL_PORTS; i++)
    g_variant_builder_add (&serial, "s", record->serial[i]);
  g_variant_builder_add (&all, "{sv}", "serial", g_variant_builder_end (&serial));
  g_variant_builder_add (&all, "{sv}", "sound", g_variant_new_boolean (record->sound));
  g_variant_builder_add (&all, "{sv}", "created", g_variant_new_int64 (record->created));
  g_variant_builder_add (&all, "{sv}", "used", g_variant_new_int64 (record->used));
  g_variant_builder_add (&all, "{sv}", "snapshots", g_variant_new_uint32 (self->n_snapshots));
  add_string (&all, "notes", record->notes);
  g_variant_builder_add (&all, "{sv}", "warnings",
                         g_variant_new_strv (self->warnings ? (const char *const *) self->warnings->pdata : NULL,
                                             self->warnings ? (gssize) self->warnings->len : 0));
  return g_variant_builder_end (&all);
}

void
machine_changed (Machine *self)
{
  if (!self->guard->service || !guard_may_see (self->guard, &self->record->label))
    return;
  bh_guard1_emit_machine_changed (self->guard->service, self->record->name, machine_describe (self));
}

void
machine_warn (Machine *self, const char *format, ...)
{
  va_list arguments;

  if (!self->warnings)
    self->warnings = g_ptr_array_new_with_free_func (g_free);
  if (self->warnings->len >= MACHINE_MAX_WARNINGS)
    return;
  va_start (arguments, format);
  g_ptr_array_add (self->warnings, g_strdup_vprintf (format, arguments));
  va_end (arguments);
}

void
machine_forget_warnings (Machine *self)
{
  g_clear_pointer (&self->warnings, g_ptr_array_unref);
}

void
machine_set_state (Machine *self, MachineState state)
{
  if (self->state == state)
    return;
  self->state = state;
  machine_changed (self);
}

static void
activity (Machine *self)
{
  if (self->guard->activity)
    self->guard->activity (self->guard, self->guard->activity_data);
}

GError *
machine_wrong_state (Machine *self, const char *what)
{
  if (self->busy)
    return g_error_new (GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "a snapshot or a suspension of VM \"%s\" is under way; it cannot be %s now",
                        self->record->name, what);
  return g_error_new (GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "VM \"%s\" is %s; it cannot be %s now", self->record->name,
                      state_names[self->state], what);
}

/* ------------------------------------------------------------------------------------------------ the monitor's end */

void
machine_wait_for_end (Machine *self, MachineFunc done, gpointer data)
{
  Waiter waiter = { done, data };

  g_array_append_val (self->waiting, waiter);
}

static void
process_warning (MachineProcess *process, const char *text, gpointer data)
{
  Machine *self = data;

  machine_warn (self, "%s", text);
  machine_changed (self);
}

static void
process_ended (MachineProcess *process, gboolean stopped, ProtocolStopped reason, const char *text, gpointer data)
{
  Machine *self = data;
  MachineState state = STATE_OFF;
  GArray *waiting = g_steal_pointer (&self->waiting);
  const char *close_reason = "off";

  self->waiting = g_array_new (FALSE, FALSE, sizeof (Waiter));
  self->process = NULL;
  g_clear_pointer (&self->error, g_free);
  if (self->suspended)
    {
      state = STATE_SUSPENDED;
      close_reason = "suspended";
    }
  else if (!self->stopping && (!stopped || reason == STOPPED_FAILED))
    {
      state = STATE_CRASHED;
      close_reason = "crashed";
      self->error = g_strdup_printf ("the monitor ended: %s", text);
      /* A memory state that could not be loaded is not lost for that. */
      if (g_str_equal (self->record->state, "suspended"))
        state = STATE_SUSPENDED;
    }
  self->suspended = self->stopping = FALSE;
  guard_record (self->guard, state == STATE_CRASHED ? "crashed" : state == STATE_SUSPENDED ? "suspended" : "stopped",
                self->record->name, NULL, self->error, NULL);
  drop_runtime (self);
  self->busy = FALSE;
  machine_forget_keys (self);
  if (self->guard->service && guard_may_see (self->guard, &self->record->label))
    bh_guard1_emit_console_closed (self->guard->service, self->record->name, close_reason);
  machine_set_state (self, state);
  machine_process_free (process);
  for (guint i = 0; i < waiting->len; i++)
    {
      Waiter *waiter = &g_array_index (waiting, Waiter, i);

      waiter->done (self, NULL, waiter->data);
    }
  g_array_unref (waiting);
  activity (self);
}

static const MachineProcessEvents process_events = { process_warning, process_ended };

/* ------------------------------------------------------------------------------------------------ requests */

/* One request of the service on its way to a monitor. */
typedef struct
{
  Machine         *machine;
  MachineFunc      done;
  MachineLinesFunc lines;
  MachineStatsFunc stats;
  gpointer         data;
  MachineState     next;        /* state on success */
  gboolean         has_next;
  SlotIndex        slot;
  char            *path;
  gboolean         read_only;
  ProtocolFormat   format;
  char            *name;
} Call;

static Call *
call_new (Machine *machine, MachineFunc done, gpointer data)
{
  Call *call = g_new0 (Call, 1);

  call->machine = machine;
  call->done = done;
  call->data = data;
  call->slot = N_SLOTS;
  return call;
}

static void
call_finish (Call *call, const GError *error)
{
  if (!error && call->has_next)
    machine_set_state (call->machine, call->next);
  if (call->done)
    call->done (call->machine, error, call->data);
  g_free (call->path);
  g_free (call->name);
  g_free (call);
}

static void
call_replied (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  call_finish (data, error);
}

static void
call_fail (MachineFunc done, Machine *self, GError *error, gpointer data)
{
  done (self, error, data);
  g_error_free (error);
}

static gboolean
fill_text (MsgText *text, const char *from)
{
  memset (text, 0, sizeof *text);
  if (strlen (from) >= sizeof text->text)
    return FALSE;
  memcpy (text->text, from, strlen (from));
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ start */

static void
step_clear (gpointer pointer)
{
  Step *step = pointer;

  for (guint i = 0; i < PROTOCOL_MAX_FDS; i++)
    clear_fd (&step->fds[i]);
  explicit_bzero (&step->message, sizeof step->message);
}

GArray *
machine_steps_new (void)
{
  GArray *steps = g_array_new (FALSE, TRUE, sizeof (Step));

  g_array_set_clear_func (steps, step_clear);
  return steps;
}

Step *
machine_add_step (GArray *steps, MessageType type, int fd0, int fd1)
{
  Step step = { .type = type, .fds = { fd0, fd1 } };

  g_array_append_val (steps, step);
  return &g_array_index (steps, Step, steps->len - 1);
}

static void
fill_configure (Machine *self, MsgConfigure *configure)
{
  static const char *const models[] = { "pentium", "pentium2", "pentium3", "pentium-m" };
  static const char *const boots[] = { "", "floppy", "disk", "cdrom" };
  const MachineRecord *record = self->record;
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;

  configure->version = PROTOCOL_VERSION;
  configure->memory_mib = record->memory_mib;
  configure->model = MODEL_PENTIUM3;
  for (guint8 i = 0; i < N_MODELS; i++)
    if (g_str_equal (models[i], record->cpu))
      configure->model = i;
  configure->engine = g_str_equal (record->engine, "interpreter") ? ENGINE_CHOICE_INTERPRETER
                      : g_str_equal (record->engine, "translator") ? ENGINE_CHOICE_TRANSLATOR : ENGINE_CHOICE_AUTO;
  for (guint i = 0; i < 4 && record->boot[i]; i++)
    for (guint8 k = 1; k < N_BOOTS; k++)
      if (g_str_equal (boots[k], record->boot[i]))
        configure->boot[i] = k;
  configure->flags = MACHINE_REQUIRE_SANDBOX | (record->undetectable ? MACHINE_UNDETECTABLE : 0)
                     | (record->fuzzy_time ? MACHINE_FUZZY_TIME : 0) | (record->sound ? MACHINE_SOUND : 0)
                     | (g_str_equal (record->clock, "instructions") ? MACHINE_CLOCK_INSTRUCTIONS : 0);
  configure->rtc = RTC_UTC;
  configure->rtc_base_s = now;
  configure->seed = record->seed;
  if (g_str_equal (record->rtc, "local"))
    {
      g_autoptr (GDateTime) local = g_date_time_new_now_local ();

      configure->rtc = RTC_LOCAL;
      configure->utc_offset_s = (gint32) (g_date_time_get_utc_offset (local) / G_TIME_SPAN_SECOND);
    }
  else if (g_str_has_prefix (record->rtc, "fixed:"))
    {
      configure->rtc = RTC_FIXED;
      configure->rtc_base_s = g_ascii_strtoll (record->rtc + strlen ("fixed:"), NULL, 10);
    }
}

static gboolean
add_drive (Machine *self, GArray *steps, SlotIndex index, const char *path, ProtocolFormat format, gboolean writable, guint depth,
           guint8 flags, GError **error)
{
  Step *step;
  int fd = broker_open_medium (self->guard, self->record->name, &self->record->label, slot_kind (index), path, &writable, error);

  if (fd < 0)
    return FALSE;
  step = machine_add_step (steps, MESSAGE_DRIVE, fd, -1);
  step->message.drive.kind = (uint8_t) slot_kind (index);
  step->message.drive.slot = (uint8_t) slot_position (index);
  step->message.drive.format = (uint8_t) format;
  step->message.drive.depth = depth;
  step->message.drive.flags = (uint8_t) (flags | (writable ? 0 : DRIVE_READ_ONLY));
  /* Floppies and CDs may be shared by readers that know no locks. */
  return slot_kind (index) != DRIVE_DISK || broker_lock (fd, path, writable, error);
}

/* The disks that a linked clone's own lies over, read-only; named by the configuration, whatever the image says. */
static gboolean
add_bases (Machine *self, GArray *steps, const char *uuid, guint depth, GError **error)
{
  GHashTableIter iter;
  gpointer value;

  while (uuid)
    {
      const MachineRecord *base = NULL;

      g_hash_table_iter_init (&iter, self->guard->machines);
      while (!base && g_hash_table_iter_next (&iter, NULL, &value))
        if (g_str_equal (machine_record (value)->uuid, uuid))
          base = machine_record (value);
      if (!base || !base->file || depth > PROTOCOL_MAX_DEPTH)
        {
          g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "VM \"%s\": the VM that its disk lies over is not in the library",
                       self->record->name);
          return FALSE;
        }
      if (!guard_decide (self->guard, CHANNEL_BASE_IMAGE, base->name, self->record->name, &base->label, &self->record->label, NULL, error)
          || !vm_file_verify (self->guard, (MachineRecord *) base, NULL, error)
          || !add_drive (self, steps, SLOT_DISK0, base->file, base->file_format, FALSE, depth++, 0, error))
        return FALSE;
      uuid = base->base;
    }
  return TRUE;
}

gboolean
machine_add_own_drive (Machine *self, GArray *steps, GError **error)
{
  MachineRecord *record = self->record;
  guint8 flags = record->encrypted ? DRIVE_ENCRYPTED : 0;

  if (!record->file || (record->file_format == FORMAT_QCOW2 && !record->disk_bytes))
    return TRUE;
  if (record->encrypted && !self->keys)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "VM \"%s\" is encrypted: give its passphrase (--passphrase-file FILE)",
                   record->name);
      return FALSE;
    }
  if (record->encrypted)
    {
      Step *step = machine_add_step (steps, MESSAGE_DRIVE_KEY, -1, -1);

      step->message.drive_key.kind = DRIVE_DISK;
      step->message.drive_key.slot = (uint8_t) slot_position (SLOT_DISK0);
      step->message.drive_key.n_key = sizeof self->keys->data;
      memcpy (step->message.drive_key.key, self->keys->data, sizeof self->keys->data);
    }
  if (self->discard_changes)
    {
      int fd = vm_file_new_overlay (self->guard, record, error);
      Step *step;

      if (fd < 0)
        return FALSE;
      step = machine_add_step (steps, MESSAGE_DRIVE, fd, -1);
      step->message.drive.kind = DRIVE_DISK;
      step->message.drive.slot = (uint8_t) slot_position (SLOT_DISK0);
      step->message.drive.format = FORMAT_QCOW2;
      return add_drive (self, steps, SLOT_DISK0, record->file, record->file_format, FALSE, 1, 0, error)
             && add_bases (self, steps, record->base, 2, error);
    }
  return add_drive (self, steps, SLOT_DISK0, record->file, record->file_format, TRUE, 0, flags, error)
         && add_bases (self, steps, record->base, 1, error);
}

static gboolean
claim_bases (Machine *self, GError **error)
{
  const char *uuid = self->record->base;
  GHashTableIter iter;
  gpointer value;

  for (guint depth = 0; uuid && depth < PROTOCOL_MAX_DEPTH; depth++)
    {
      const char *next = NULL;

      g_hash_table_iter_init (&iter, self->guard->machines);
      while (g_hash_table_iter_next (&iter, NULL, &value))
        if (g_str_equal (machine_record (value)->uuid, uuid))
          {
            next = machine_record (value)->base;
            if (!media_claim (self->guard->media, machine_record (value)->file, self->record->name, FALSE, error))
              return FALSE;
          }
      uuid = next;
    }
  return TRUE;
}

static gboolean
add_drives (Machine *self, GArray *steps, GError **error)
{
  MachineRecord *record = self->record;

  if (record->file)
    {
      if (machine_linked_clone (self) && !self->discard_changes)
        {
          g_set_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE,
                       "the linked clone \"%s\" lies over the disk of \"%s\", which must not change: start it with --discard-changes, or "
                       "delete that clone", machine_linked_clone (self), record->name);
          return FALSE;
        }
      if (!vm_file_verify (self->guard, record, self->keys, error)
          || !media_claim (self->guard->media, record->file, record->name, !self->discard_changes, error)
          || !claim_bases (self, error) || !machine_add_own_drive (self, steps, error))
        return FALSE;
    }
  for (int i = 0; i < N_SLOTS; i++)
    {
      Slot *slot = &record->slots[i];

      if (!slot->path || (i == SLOT_DISK0 && record->file))
        continue;
      if (!add_drive (self, steps, (SlotIndex) i, slot->path, slot->format, !slot->read_only, 0, 0, error)
          || !media_claim (self->guard->media, slot->path, record->name, !slot->read_only, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
add_ports (Machine *self, GArray *steps, GError **error)
{
  const MachineRecord *record = self->record;

  for (guint i = 0; i < SERIAL_PORTS; i++)
    {
      Step *step = NULL;
      int fd = -1;

      if (g_str_equal (record->serial[i], "file"))
        {
          g_autofree char *port = g_strdup_printf ("serial%u", i);

          self->serial_spool[i] = spool_new (self->guard, record->name, &record->label, CHANNEL_SERIAL_OUT, port, &fd, error);
          if (!self->serial_spool[i])
            return FALSE;
          step = machine_add_step (steps, MESSAGE_SERIAL, fd, -1);
          step->message.port.kind = PORT_FILE;
        }
      else if (g_str_equal (record->serial[i], "console"))
        {
          int ends[2];

          if (!broker_socket_pair (SOCK_STREAM, ends, error))
            return FALSE;
          self->serial_fd[i] = ends[0];
          step = machine_add_step (steps, MESSAGE_SERIAL, ends[1], -1);
          step->message.port.kind = PORT_SOCKET;
        }
      if (step)
        step->message.port.index = (uint8_t) i;
    }
  if (!g_str_equal (record->parallel, "none"))
    {
      int fd;
      gboolean printer = g_str_equal (record->parallel, "printer");

      self->printer = spool_new (self->guard, record->name, &record->label, CHANNEL_PRINTER_OUT, printer ? "printer" : "parallel",
                                 &fd, error);
      if (!self->printer)
        return FALSE;
      machine_add_step (steps, MESSAGE_PARALLEL, fd, -1)->message.port.kind = printer ? PORT_PRINTER : PORT_FILE;
    }
  return TRUE;
}

static gboolean
add_folders (Machine *self, GArray *steps, GError **error)
{
  MachineRecord *record = self->record;

  for (guint i = 0; record->folders[i]; i++)
    {
      gboolean writable;
      Step *step;
      int directory, socket;

      if (!folders_check (self->guard->folders, record->folders[i], record->name, &record->label, &writable, error))
        return FALSE;
      if (i >= PROTOCOL_FOLDERS || strlen (record->folders[i]) > 32)
        {
          g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED,
                       "folder \"%s\": a machine has at most %d shared folders, with names of at most 32 bytes", record->folders[i],
                       PROTOCOL_FOLDERS);
          return FALSE;
        }
      directory = broker_open_folder (folders_path (self->guard->folders, record->folders[i]), error);
      if (directory < 0)
        return FALSE;
      self->folders[i] = folder_process_spawn (directory, writable, &socket, error);
      close (directory);
      if (!self->folders[i])
        return FALSE;
      step = machine_add_step (steps, MESSAGE_FOLDER, socket, -1);
      step->message.folder.index = (uint8_t) i;
      memcpy (step->message.folder.tag, record->folders[i], strlen (record->folders[i]));
    }
  return TRUE;
}

/* Everything that can be refused, before there is a process. */
static gboolean
prepare (Machine *self, GArray *steps, GError **error)
{
  MachineRecord *record = self->record;
  Guard *guard = self->guard;
  g_autoptr (GError) local = NULL;
  int memory, firmware, vga, fd;
  Step *step;

  if (guard_problem (guard))
    {
      guard_refuse (guard, "start", record->name, NULL, error, "the guard denies everything: %s", guard_problem (guard));
      return FALSE;
    }
  if (!encodings_check_label (guard->encodings, &record->label, &local))
    {
      guard_refuse (guard, "start", record->name, NULL, error, "its label is not valid in the encodings: %s", local->message);
      return FALSE;
    }
  if (!guard_record (guard, "start", record->name, record->file, NULL, error))
    return FALSE;
  step = machine_add_step (steps, MESSAGE_CONFIGURE, -1, -1);
  fill_configure (self, &step->message.configure);
  memory = broker_memory_file ("bulkhead-memory", (guint64) (record->memory_mib + PROTOCOL_EXTRA_MEMORY) << 20, error);
  if (memory < 0)
    return FALSE;
  machine_add_step (steps, MESSAGE_MEMORY, memory, -1);
  self->display_fd = broker_memory_file ("bulkhead-display", DISPLAY_FILE_BYTES, error);
  self->sound_fd = self->display_fd < 0 ? -1 : broker_memory_file ("bulkhead-sound", SOUND_RING_BYTES, error);
  self->frame_fd = self->sound_fd < 0 ? -1 : broker_event (error);
  if (self->frame_fd < 0)
    return FALSE;
  machine_add_step (steps, MESSAGE_DISPLAY, fcntl (self->display_fd, F_DUPFD_CLOEXEC, 3), fcntl (self->frame_fd, F_DUPFD_CLOEXEC, 3));
  if (record->sound && guard_decide (guard, CHANNEL_SOUND_OUT, record->name, "user", &record->label, &record->label, NULL, error))
    machine_add_step (steps, MESSAGE_SOUND, fcntl (self->sound_fd, F_DUPFD_CLOEXEC, 3), -1);
  else if (record->sound)
    return FALSE;
  firmware = broker_open_firmware ("bios-256k.bin", error);
  if (firmware < 0)
    return FALSE;
  machine_add_step (steps, MESSAGE_FIRMWARE, firmware, -1);
  vga = broker_open_firmware ("vgabios-stdvga.bin", error);
  if (vga < 0)
    return FALSE;
  machine_add_step (steps, MESSAGE_VGA_FIRMWARE, vga, -1);
  if (!machine_read_state (self, error) || !add_drives (self, steps, error) || !add_ports (self, steps, error)
      || !add_folders (self, steps, error))
    return FALSE;
  if (record->network)
    {
      fd = networks_connect (guard->networks, record->network, record->name, &record->label, error);
      if (fd < 0)
        return FALSE;
      step = machine_add_step (steps, MESSAGE_NETWORK, fd, -1);
      memcpy (step->message.network.mac, record->mac, sizeof record->mac);
    }
  if (self->state == STATE_SUSPENDED && !self->discard_state)
    {
      if (self->discard_changes)
        {
          g_set_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "VM \"%s\" is suspended: resume it, or give --discard-state as well",
                       record->name);
          return FALSE;
        }
      return machine_add_state (self, steps, error);
    }
  return TRUE;
}

static void
start_failed (Call *call, const GError *error)
{
  Machine *self = call->machine;
  g_autoptr (GError) copy = g_error_copy (error);

  /* The process' end would overwrite the reason with a vaguer one. */
  machine_process_kill (self->process, error->message);
  call_finish (call, copy);
}

static void
step_done (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  Call *call = data;

  if (error && !call->has_next)
    {
      /* The first failure speaks for the start; has_next marks that it has spoken. */
      call->has_next = TRUE;
      g_free (call->name);
      call->name = g_strdup (error->message);
      machine_process_kill (process, error->message);
    }
}

static void
run_done (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  Call *call = data;
  Machine *self = call->machine;
  gboolean resume_failed = call->has_next;

  call->has_next = FALSE;
  if (error || resume_failed)
    {
      g_autoptr (GError) why = g_error_new (GUARD_ERROR, GUARD_ERROR_FAILED, "VM \"%s\" does not start: %s",
                                            self->record->name, resume_failed ? call->name : error->message);

      if (self->process)
        start_failed (call, why);
      else
        call_finish (call, why);
      return;
    }
  self->record->used = g_get_real_time () / G_USEC_PER_SEC;
  machine_state_used (self);
  store_save (self->guard->store, self->record, NULL);
  machine_set_state (self, STATE_RUNNING);
  call_finish (call, NULL);
}

void
machine_send_steps (Machine *self, GArray *steps, MachineReplyFunc reply, gpointer data)
{
  for (guint i = 0; i < steps->len; i++)
    {
      Step *step = &g_array_index (steps, Step, i);

      machine_process_request (self->process, step->type, step->message.bytes + sizeof (MessageHeader), step->fds,
                               step->type == MESSAGE_LOAD_STATE ? REQUEST_LONG_SECONDS : REQUEST_SECONDS, reply, data);
      for (guint k = 0; k < PROTOCOL_MAX_FDS; k++)
        step->fds[k] = -1;
    }
}

void
machine_start (Machine *self, GVariant *options, MachineFunc done, gpointer data)
{
  g_autoptr (GArray) steps = machine_steps_new ();
  g_autofree char *program = NULL;
  GError *error = NULL;
  gboolean keep = TRUE;
  Call *call;

  if (self->process)
    {
      call_fail (done, self, machine_wrong_state (self, "started"), data);
      return;
    }
  machine_forget_warnings (self);
  self->discard_state = FALSE;
  if (options)
    {
      g_variant_lookup (options, "discard-state", "b", &self->discard_state);
      g_variant_lookup (options, "keep", "b", &keep);
    }
  self->discard_changes = !keep;
  program = machine_find_program (self->guard->monitor);
  if (!program)
    error = g_error_new (GUARD_ERROR, GUARD_ERROR_FAILED, "%s does not lie beside the guard; reinstall or rebuild Bulkhead",
                         self->guard->monitor);
  if (!error && machine_take_keys (self, options, &error) && prepare (self, steps, &error))
    self->process = machine_process_spawn (program, &process_events, self, &error);
  if (!self->process)
    {
      drop_runtime (self);
      if (self->state == STATE_CRASHED)
        {
          g_free (self->error);
          self->error = g_strdup (error->message);
        }
      call_fail (done, self, error, data);
      return;
    }
  g_clear_pointer (&self->error, g_free);
  self->stopping = self->suspended = FALSE;
  call = call_new (self, done, data);
  machine_send_steps (self, steps, step_done, call);
  if (self->state == STATE_SUSPENDED && !self->discard_state)
    machine_resume_suspended (self, step_done, run_done, call);
  else
    machine_process_request (self->process, MESSAGE_RUN, NULL, NULL, REQUEST_SECONDS * 2, run_done, call);
  activity (self);
}

/* ------------------------------------------------------------------------------------------------ verbs */

void
machine_stop (Machine *self, gboolean force, MachineFunc done, gpointer data)
{
  if (!self->process)
    {
      call_fail (done, self, machine_wrong_state (self, "stopped"), data);
      return;
    }
  if (!force)
    {
      machine_command (self, MESSAGE_POWER_BUTTON, NULL, done, data);
      return;
    }
  guard_record (self->guard, "stop", self->record->name, NULL, "force", NULL);
  self->stopping = TRUE;
  machine_wait_for_end (self, done, data);
  machine_process_request (self->process, MESSAGE_STOP, NULL, NULL, REQUEST_SECONDS, NULL, NULL);
}

static const char *
command_word (MessageType type)
{
  switch ((int) type)
    {
    case MESSAGE_RESET:
      return "reset";
    case MESSAGE_POWER_BUTTON:
      return "power-button";
    case MESSAGE_KEYS:
      return "key";
    case MESSAGE_TYPE:
      return "type";
    default:
      return "command";
    }
}

void
machine_command (Machine *self, MessageType type, const char *text, MachineFunc done, gpointer data)
{
  MsgText message;
  GError *error = NULL;

  if (!self->process || self->busy || self->state == STATE_OFF || self->state == STATE_CRASHED
      || ((type == MESSAGE_KEYS || type == MESSAGE_TYPE) && self->state != STATE_RUNNING))
    error = machine_wrong_state (self, type == MESSAGE_KEYS || type == MESSAGE_TYPE ? "typed at" : "commanded");
  else if (text && !fill_text (&message, text))
    error = g_error_new (GUARD_ERROR, GUARD_ERROR_USAGE, "more than %d bytes", PROTOCOL_TEXT_BYTES - 1);
  else
    /* What is typed is the user's own and may be secret: the record says that, not what. */
    guard_record (self->guard, command_word (type), self->record->name, type == MESSAGE_KEYS ? text : NULL, NULL, &error);
  if (error)
    {
      call_fail (done, self, error, data);
      return;
    }
  machine_process_request (self->process, type, text ? &message : NULL, NULL, text ? 120 : REQUEST_SECONDS, call_replied,
                           call_new (self, done, data));
}

void
machine_pause (Machine *self, MachineFunc done, gpointer data)
{
  Call *call;

  if (!self->process || self->busy || self->state != STATE_RUNNING)
    {
      call_fail (done, self, machine_wrong_state (self, "paused"), data);
      return;
    }
  call = call_new (self, done, data);
  call->has_next = TRUE;
  call->next = STATE_PAUSED;
  machine_process_request (self->process, MESSAGE_PAUSE, NULL, NULL, REQUEST_SECONDS, call_replied, call);
}

void
machine_resume (Machine *self, GVariant *options, MachineFunc done, gpointer data)
{
  Call *call;

  if (!self->process && self->state == STATE_SUSPENDED)
    {
      machine_start (self, options, done, data);
      return;
    }
  if (!self->process || self->busy || self->state != STATE_PAUSED)
    {
      call_fail (done, self, machine_wrong_state (self, "resumed"), data);
      return;
    }
  call = call_new (self, done, data);
  call->has_next = TRUE;
  call->next = STATE_RUNNING;
  machine_process_request (self->process, MESSAGE_RESUME, NULL, NULL, REQUEST_SECONDS, call_replied, call);
}

static void
lines_replied (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  Call *call = data;
  g_autoptr (GPtrArray) lines = g_ptr_array_new ();

  for (guint i = 0; reply->rows && i < reply->rows->len; i++)
    g_ptr_array_add (lines, reply->rows->pdata[i]);
  g_ptr_array_add (lines, NULL);
  call->lines (call->machine, (const char *const *) lines->pdata, error, call->data);
  call_finish (call, error);
}

void
machine_screen_text (Machine *self, MachineLinesFunc done, gpointer data)
{
  Call *call;

  if (!self->process || (self->state != STATE_RUNNING && self->state != STATE_PAUSED))
    {
      g_autoptr (GError) error = machine_wrong_state (self, "read");

      done (self, NULL, error, data);
      return;
    }
  call = call_new (self, NULL, data);
  call->lines = done;
  machine_process_request (self->process, MESSAGE_SCREEN_TEXT, NULL, NULL, REQUEST_SECONDS, lines_replied, call);
}

static void
stats_replied (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  Call *call = data;
  const MsgStatistics *statistics = &reply->statistics;
  GVariantBuilder all, reasons;

  g_variant_builder_init (&all, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&all, "{sv}", "instructions", g_variant_new_uint64 (statistics->instructions));
  g_variant_builder_add (&all, "{sv}", "translated", g_variant_new_uint64 (statistics->translated));
  g_variant_builder_add (&all, "{sv}", "interpreted", g_variant_new_uint64 (statistics->interpreted));
  g_variant_builder_add (&all, "{sv}", "frames", g_variant_new_uint64 (statistics->frames));
  g_variant_builder_add (&all, "{sv}", "estimated", g_variant_new_boolean (statistics->estimated != 0));
  g_variant_builder_init (&reasons, G_VARIANT_TYPE ("a{st}"));
  for (guint i = 0; i < statistics->n_reasons; i++)
    {
      g_autofree char *code = files_neutral_text (statistics->reasons[i].code, 8);

      g_variant_builder_add (&reasons, "{st}", code, statistics->reasons[i].count);
    }
  g_variant_builder_add (&all, "{sv}", "reasons", g_variant_builder_end (&reasons));
  call->stats (call->machine, g_variant_builder_end (&all), error, call->data);
  call_finish (call, error);
}

void
machine_statistics (Machine *self, MachineStatsFunc done, gpointer data)
{
  Call *call;

  if (!self->process || (self->state != STATE_RUNNING && self->state != STATE_PAUSED))
    {
      g_autoptr (GError) error = machine_wrong_state (self, "measured");

      done (self, NULL, error, data);
      return;
    }
  call = call_new (self, NULL, data);
  call->stats = done;
  machine_process_request (self->process, MESSAGE_STATISTICS, NULL, NULL, REQUEST_SECONDS, stats_replied, call);
}

/* ------------------------------------------------------------------------------------------------ media */

static void
set_slot (Machine *self, SlotIndex slot, const char *path, gboolean read_only, ProtocolFormat format)
{
  char *copy = g_strdup (path);

  g_free (self->record->slots[slot].path);
  self->record->slots[slot].path = copy;
  self->record->slots[slot].read_only = read_only;
  self->record->slots[slot].format = format;
}

static void
media_replied (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  Call *call = data;
  Machine *self = call->machine;
  g_autofree char *old = g_strdup (self->record->slots[call->slot].path);

  if (error)
    {
      if (call->path && g_strcmp0 (old, call->path) != 0)
        media_release (self->guard->media, call->path, self->record->name);
    }
  else
    {
      if (old && g_strcmp0 (old, call->path) != 0)
        media_release (self->guard->media, old, self->record->name);
      set_slot (self, call->slot, call->path, call->read_only, call->format);
      store_save (self->guard->store, self->record, NULL);
      machine_changed (self);
    }
  call_finish (call, error);
}

static gboolean
removable_slot (const char *name, SlotIndex *ret_slot, GError **error)
{
  *ret_slot = slot_find (name);
  if (*ret_slot != N_SLOTS && slot_kind (*ret_slot) != DRIVE_DISK)
    return TRUE;
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_USAGE, "\"%s\" is no drive: floppy0, floppy1, cdrom0 or cdrom1", name);
  return FALSE;
}

void
machine_insert (Machine *self, const char *slot_text, const char *path, GVariant *options, MachineFunc done, gpointer data)
{
  g_autofree char *resolved = NULL;
  gboolean read_only = FALSE, writable;
  GError *error = NULL;
  SlotIndex slot;
  MsgDrive drive = { 0 };
  Call *call;
  int fd;

  if (options)
    g_variant_lookup (options, "read-only", "b", &read_only);
  if (!removable_slot (slot_text, &slot, &error) || !(resolved = broker_resolve (self->guard, path, &error)))
    {
      call_fail (done, self, error, data);
      return;
    }
  writable = !read_only;
  if (!self->process)
    {
      if (broker_check_medium (self->guard, self->record->name, &self->record->label, slot_kind (slot), resolved, &writable, &error))
        {
          set_slot (self, slot, resolved, !writable, FORMAT_RAW);
          store_save (self->guard->store, self->record, &error);
        }
      if (!error)
        machine_changed (self);
      done (self, error, data);
      g_clear_error (&error);
      return;
    }
  fd = broker_open_medium (self->guard, self->record->name, &self->record->label, slot_kind (slot), resolved, &writable, &error);
  if (fd >= 0 && !media_claim (self->guard->media, resolved, self->record->name, writable, &error))
    clear_fd (&fd);
  if (fd < 0)
    {
      call_fail (done, self, error, data);
      return;
    }
  drive.kind = (uint8_t) slot_kind (slot);
  drive.slot = (uint8_t) slot_position (slot);
  drive.format = FORMAT_RAW;
  drive.flags = writable ? 0 : DRIVE_READ_ONLY;
  call = call_new (self, done, data);
  call->slot = slot;
  call->path = g_steal_pointer (&resolved);
  call->read_only = !writable;
  machine_process_request (self->process, MESSAGE_INSERT, &drive, &fd, REQUEST_SECONDS, media_replied, call);
}

void
machine_eject (Machine *self, const char *slot_text, MachineFunc done, gpointer data)
{
  GError *error = NULL;
  SlotIndex slot;
  MsgDrive drive = { 0 };
  Call *call;

  if (!removable_slot (slot_text, &slot, &error)
      || !guard_record (self->guard, "eject", self->record->name, self->record->slots[slot].path, slot_text, &error))
    {
      call_fail (done, self, error, data);
      return;
    }
  if (!self->process)
    {
      set_slot (self, slot, NULL, FALSE, FORMAT_RAW);
      store_save (self->guard->store, self->record, &error);
      machine_changed (self);
      done (self, error, data);
      g_clear_error (&error);
      return;
    }
  drive.kind = (uint8_t) slot_kind (slot);
  drive.slot = (uint8_t) slot_position (slot);
  call = call_new (self, done, data);
  call->slot = slot;
  machine_process_request (self->process, MESSAGE_EJECT, &drive, NULL, REQUEST_SECONDS, media_replied, call);
}

/* ------------------------------------------------------------------------------------------------ console */

gboolean
machine_may_watch (Machine *self, const char *verb, GError **error)
{
  g_autofree char *allowed = guard_get_policy (self->guard, "console");
  g_autofree char *banner = guard_banner (self->guard, &self->record->label);

  if (g_str_equal (allowed, "on"))
    return guard_record (self->guard, "watch", "user", self->record->name, verb, error);
  guard_refuse (self->guard, verb, "user", self->record->name, error,
                "the officer has switched off the console of VMs (policy key console), for \"%s\" at %s", self->record->name,
                banner);
  return FALSE;
}

gboolean
machine_open_console (Machine *self, Console *ret_console, GError **error)
{
  Console console = { -1, -1, -1, -1 };
  int ends[2];

  if (!self->process || self->display_fd < 0)
    {
      g_propagate_error (error, machine_wrong_state (self, "watched"));
      return FALSE;
    }
  if (!machine_may_watch (self, "console", error) || !broker_socket_pair (SOCK_SEQPACKET, ends, error))
    return FALSE;
  console.input = ends[0];
  console.display = broker_read_only_view (self->display_fd, error);
  console.sound = console.display < 0 ? -1 : broker_read_only_view (self->sound_fd, error);
  console.frame = console.sound < 0 ? -1 : fcntl (self->frame_fd, F_DUPFD_CLOEXEC, 3);
  if (console.frame < 0)
    {
      clear_fd (&console.display);
      clear_fd (&console.sound);
      clear_fd (&console.input);
      close (ends[1]);
      return FALSE;
    }
  machine_process_request (self->process, MESSAGE_INPUT, NULL, &ends[1], REQUEST_SECONDS, NULL, NULL);
  self->console_open = TRUE;
  *ret_console = console;
  return TRUE;
}

int
machine_open_serial (Machine *self, guint port, GError **error)
{
  if (!self->process)
    {
      g_propagate_error (error, machine_wrong_state (self, "connected to"));
      return -1;
    }
  if (port >= SERIAL_PORTS || self->serial_fd[port] < 0)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "serial port %u of \"%s\" is not set to console", port,
                   self->record->name);
      return -1;
    }
  if (!machine_may_watch (self, "serial console", error))
    return -1;
  return fcntl (self->serial_fd[port], F_DUPFD_CLOEXEC, 3);
}
