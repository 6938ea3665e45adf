/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Suspending, resuming, snapshots of machines that run: pause, save the memory, let the guard have the disk for a moment,
 * give it back, go on.  Requests to a monitor are answered in order, so the whole sequence up to RELEASE_DRIVE is sent at once. */
#include "broker.h"
#include "machine-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { KEYS_SECONDS = 60 };

typedef enum { WORK_TAKE, WORK_REVERT, WORK_DELETE, WORK_SUSPEND } WorkKind;

typedef struct
{
  Machine    *machine;
  MachineFunc done;
  gpointer    data;
  WorkKind    kind;
  char       *name, *argument;
  int         state_fd;
  gboolean    was_running;
  gint64      paused_us;
  GError     *error;            /* the first */
} Work;

/* ------------------------------------------------------------------------------------------------ keys */

static gboolean
keys_over (gpointer data)
{
  Machine *self = data;

  self->keys_timeout = 0;
  if (!self->process)
    machine_forget_keys (self);
  return G_SOURCE_REMOVE;
}

void
machine_forget_keys (Machine *self)
{
  g_clear_handle_id (&self->keys_timeout, g_source_remove);
  g_clear_pointer (&self->keys, vm_keys_free);
}

void
machine_keep_keys (Machine *self)
{
  g_clear_handle_id (&self->keys_timeout, g_source_remove);
  self->keys_timeout = g_timeout_add_seconds (KEYS_SECONDS, keys_over, self);
}

gboolean
machine_unlock (Machine *self, GVariant *options, GError **error)
{
  return machine_take_keys (self, options, error);
}

/* ------------------------------------------------------------------------------------------------ where states are */

gboolean
machine_has_bundle (Machine *self)
{
  return self->record->file && self->record->file_format == FORMAT_QCOW2;
}

char *
machine_state_path (Machine *self, GError **error)
{
  g_autofree char *folder = guard_folder (self->guard, "states", error);
  g_autofree char *name = g_strconcat (self->record->uuid, ".state", NULL);

  return folder ? g_build_filename (folder, name, NULL) : NULL;
}

gboolean
machine_add_state (Machine *self, GArray *steps, GError **error)
{
  g_autofree char *path = machine_has_bundle (self) ? g_strdup (self->record->file) : machine_state_path (self, error);
  int fd;

  if (!path || !guard_decide (self->guard, CHANNEL_STATE_RESTORE, self->record->name, path, &self->record->label,
                              &self->record->label, NULL, error))
    return FALSE;
  if (machine_has_bundle (self))
    fd = self->loaded_state >= 0 ? steal_fd (&self->loaded_state) : -1;
  else
    fd = broker_open_own (path, FALSE, error);
  if (fd < 0)
    return FALSE;
  machine_add_step (steps, MESSAGE_LOAD_STATE, fd, -1);
  return TRUE;
}

gboolean
machine_read_state (Machine *self, GError **error)
{
  clear_fd (&self->loaded_state);
  if (self->state != STATE_SUSPENDED || !machine_has_bundle (self))
    return TRUE;
  if (self->discard_state)
    return vm_file_forget_state (self->guard, self->record, self->keys, error);
  self->loaded_state = vm_file_load_state (self->guard, self->record, self->keys, error);
  return self->loaded_state >= 0;
}

void
machine_state_used (Machine *self)
{
  g_autofree char *path = NULL;

  if (g_str_equal (self->record->state, "off"))
    return;
  /* The saved memory is used up; a second resume from it would not fit the disk any more. */
  path = machine_state_path (self, NULL);
  if (path)
    unlink (path);
  g_free (self->record->state);
  self->record->state = g_strdup ("off");
}

/* ------------------------------------------------------------------------------------------------ the disk changes hands */

/* RELEASE_DRIVE, or for a machine without a disk something that is answered as well. */
static void
request_release (Machine *self, MachineReplyFunc reply, gpointer data)
{
  MsgDrive drive = { .kind = DRIVE_DISK, .slot = (uint8_t) slot_position (SLOT_DISK0), .format = FORMAT_QCOW2 };

  if (self->record->disk_bytes)
    machine_process_request (self->process, MESSAGE_RELEASE_DRIVE, &drive, NULL, REQUEST_LONG_SECONDS, reply, data);
  else
    machine_process_request (self->process, MESSAGE_FLUSH, NULL, NULL, REQUEST_LONG_SECONDS, reply, data);
}

static gboolean
give_back (Machine *self, MachineReplyFunc reply, gpointer data, GError **error)
{
  g_autoptr (GArray) steps = machine_steps_new ();

  if (!machine_add_own_drive (self, steps, error))
    return FALSE;
  machine_send_steps (self, steps, reply, data);
  return TRUE;
}

typedef struct
{
  Machine         *machine;
  MachineReplyFunc step, done;
  gpointer         data;
} Resume;

static void
resume_released (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  g_autofree Resume *resume = data;
  Machine *self = resume->machine;
  g_autoptr (GError) local = NULL;

  if (!error && (!vm_file_forget_state (self->guard, self->record, self->keys, &local)
                 || !give_back (self, resume->step, resume->data, &local)))
    error = local;
  if (error)
    resume->step (process, reply, error, resume->data);
  machine_process_request (process, MESSAGE_RESUME, NULL, NULL, REQUEST_SECONDS * 2, resume->done, resume->data);
}

void
machine_resume_suspended (Machine *self, MachineReplyFunc step, MachineReplyFunc done, gpointer data)
{
  Resume *resume;

  if (!machine_has_bundle (self))
    {
      machine_process_request (self->process, MESSAGE_RESUME, NULL, NULL, REQUEST_SECONDS * 2, done, data);
      return;
    }
  /* The state's place in the file is given back before the guest runs: while it is there, every write is a copy. */
  resume = g_new0 (Resume, 1);
  *resume = (Resume) { self, step, done, data };
  request_release (self, resume_released, resume);
}

/* ------------------------------------------------------------------------------------------------ work */

static void
work_finish (Work *work)
{
  Machine *self = work->machine;

  self->busy = FALSE;
  if (work->error && self->process && work->was_running && machine_process_phase (self->process) == PHASE_PAUSED)
    machine_set_state (self, STATE_PAUSED);
  self->n_snapshots = vm_file_n_snapshots (self->guard, self->record, self->keys);
  machine_changed (self);
  if (work->done)
    work->done (self, work->error, work->data);
  clear_fd (&work->state_fd);
  g_clear_error (&work->error);
  g_free (work->name);
  g_free (work->argument);
  g_free (work);
}

/* Every step but the last. */
static void
work_step (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  Work *work = data;

  if (error && !work->error)
    work->error = g_error_copy (error);
}

static void
work_paused (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  ((Work *) data)->paused_us = g_get_monotonic_time ();
  work_step (process, reply, error, data);
}

static void
work_ended (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  Work *work = data;
  Machine *self = work->machine;

  work_step (process, reply, error, data);
  if (!error && machine_process_phase (process) == PHASE_RUNNING)
    {
      g_autofree char *note = g_strdup_printf ("stood still for %d ms", (int) ((g_get_monotonic_time () - work->paused_us) / 1000));

      if (work->paused_us)
        guard_record (self->guard, "went-on", self->record->name, work->name, note, NULL);
      machine_set_state (self, STATE_RUNNING);
    }
  work_finish (work);
}

static void
suspend_over (Machine *self, Work *work)
{
  self->suspended = self->stopping = TRUE;
  machine_wait_for_end (self, work->done, work->data);
  machine_process_request (self->process, MESSAGE_STOP, NULL, NULL, REQUEST_SECONDS, NULL, NULL);
  work->done = NULL;
  work_finish (work);
}

/* The guard's part, while the disk is released. */
static gboolean
work_do (Work *work, GError **error)
{
  Machine *self = work->machine;

  switch (work->kind)
    {
    case WORK_TAKE:
      return vm_file_take_snapshot (self->guard, self->record, self->keys, work->name, work->argument, work->state_fd, error);
    case WORK_REVERT:
      clear_fd (&work->state_fd);
      return vm_file_revert_snapshot (self->guard, self->record, self->keys, work->name, FALSE, &work->state_fd, error);
    case WORK_DELETE:
      return vm_file_delete_snapshot (self->guard, self->record, self->keys, work->name, error);
    case WORK_SUSPEND:
      return vm_file_suspend (self->guard, self->record, self->keys, work->state_fd, error);
    default:
      return FALSE;
    }
}

static void
work_released (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  Work *work = data;
  Machine *self = work->machine;
  gboolean released = !error, done = FALSE, go_on = work->was_running;
  g_autoptr (GError) local = NULL;

  work_step (process, reply, error, data);
  if (!machine_process_is_alive (process))
    {
      work_finish (work);
      return;
    }
  if (!work->error)
    done = work_do (work, &work->error);
  if (done && work->kind == WORK_SUSPEND)
    {
      suspend_over (self, work);
      return;
    }
  if (released && !give_back (self, work_step, work, &local))
    {
      /* Without its disk the guest cannot go on. */
      machine_process_kill (process, local->message);
      if (!work->error)
        work->error = g_steal_pointer (&local);
      work_finish (work);
      return;
    }
  if (done && work->kind == WORK_REVERT)
    {
      go_on = TRUE;
      if (work->state_fd >= 0)
        {
          int fd = steal_fd (&work->state_fd);

          machine_process_request (process, MESSAGE_LOAD_STATE, NULL, &fd, REQUEST_LONG_SECONDS, work_step, work);
        }
      else
        machine_process_request (process, MESSAGE_RESET, NULL, NULL, REQUEST_SECONDS, work_step, work);
    }
  machine_process_request (process, go_on ? MESSAGE_RESUME : MESSAGE_FLUSH, NULL, NULL, REQUEST_LONG_SECONDS, work_ended, work);
}

static Work *
work_new (Machine *self, WorkKind kind, MachineFunc done, gpointer data)
{
  Work *work = g_new0 (Work, 1);

  work->machine = self;
  work->kind = kind;
  work->done = done;
  work->data = data;
  work->state_fd = -1;
  work->was_running = self->state == STATE_RUNNING;
  self->busy = TRUE;
  if (work->was_running)
    {
      /* What the guest wrote is on the disk before time stands still: less is left to wait for. */
      machine_process_request (self->process, MESSAGE_FLUSH, NULL, NULL, REQUEST_LONG_SECONDS, NULL, NULL);
      machine_process_request (self->process, MESSAGE_PAUSE, NULL, NULL, REQUEST_SECONDS, work_paused, work);
    }
  return work;
}

/* SAVE_STATE into fd; work->state_fd is another descriptor of it. */
static void
work_save (Work *work, int fd)
{
  work->state_fd = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  machine_process_request (work->machine->process, MESSAGE_SAVE_STATE, NULL, &fd, REQUEST_LONG_SECONDS, work_step, work);
}

static void
fail_with (Machine *self, MachineFunc done, GError *error, gpointer data)
{
  done (self, error, data);
  g_error_free (error);
}

/* ------------------------------------------------------------------------------------------------ suspend */

/* Without a .bulkhead file the state goes into a file of the library. */
static void
suspend_saved (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data)
{
  Work *work = data;
  Machine *self = work->machine;

  work_step (process, reply, error, data);
  if (!work->error && fsync (work->state_fd) < 0)
    work->error = g_error_new (GUARD_ERROR, GUARD_ERROR_FAILED, "the state cannot be made durable: %s", g_strerror (errno));
  if (!work->error)
    {
      g_autofree char *old = g_steal_pointer (&self->record->state);

      self->record->state = g_strdup ("suspended");
      if (store_save (self->guard->store, self->record, &work->error))
        {
          suspend_over (self, work);
          return;
        }
      g_free (self->record->state);
      self->record->state = g_steal_pointer (&old);
    }
  if (!machine_process_is_alive (process))
    work_finish (work);
  else
    machine_process_request (process, work->was_running ? MESSAGE_RESUME : MESSAGE_FLUSH, NULL, NULL, REQUEST_LONG_SECONDS, work_ended,
                             work);
}

void
machine_suspend (Machine *self, MachineFunc done, gpointer data)
{
  gboolean bundle = machine_has_bundle (self);
  g_autofree char *path = NULL;
  GError *error = NULL;
  Work *work;
  int fd = -1;

  if (!self->process || self->busy || (self->state != STATE_RUNNING && self->state != STATE_PAUSED))
    error = machine_wrong_state (self, "suspended");
  else if (self->discard_changes)
    error = g_error_new (GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "the changes of VM \"%s\" are thrown away at its end; it cannot be suspended",
                         self->record->name);
  else
    path = bundle ? g_strdup (self->record->file) : machine_state_path (self, &error);
  if (path && guard_record (self->guard, "suspend", self->record->name, path, NULL, &error))
    fd = bundle ? vm_file_state_memory (self->record, &error) : broker_open_own (path, TRUE, &error);
  if (fd < 0)
    {
      fail_with (self, done, error, data);
      return;
    }
  work = work_new (self, WORK_SUSPEND, done, data);
  if (bundle)
    {
      work_save (work, fd);
      request_release (self, work_released, work);
      return;
    }
  work->state_fd = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  machine_process_request (self->process, MESSAGE_SAVE_STATE, NULL, &fd, REQUEST_LONG_SECONDS, suspend_saved, work);
}

/* ------------------------------------------------------------------------------------------------ snapshots */

static gboolean
snapshot_off (Machine *self, WorkKind kind, const char *name, const char *argument, GError **error)
{
  int state_fd = -1;
  gboolean good;

  if (kind == WORK_TAKE)
    {
      if (self->state == STATE_SUSPENDED)
        {
          g_set_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE,
                       "VM \"%s\" is suspended; resume it, or start it with --discard-state, before a snapshot", self->record->name);
          return FALSE;
        }
      good = vm_file_verify (self->guard, self->record, self->keys, error)
             && vm_file_take_snapshot (self->guard, self->record, self->keys, name, argument, -1, error);
    }
  else if (kind == WORK_REVERT)
    {
      good = vm_file_revert_snapshot (self->guard, self->record, self->keys, name, TRUE, &state_fd, error);
      if (good)
        self->state = g_str_equal (self->record->state, "suspended") ? STATE_SUSPENDED : STATE_OFF;
    }
  else
    good = vm_file_delete_snapshot (self->guard, self->record, self->keys, name, error);
  clear_fd (&state_fd);
  self->n_snapshots = vm_file_n_snapshots (self->guard, self->record, self->keys);
  return good;
}

/* Whether a running machine can go back to it: the memory must fit. */
static gboolean
fits (Machine *self, const char *name, GError **error)
{
  g_autofree char *cpu = NULL;
  gboolean live;
  guint memory;

  if (!vm_file_find_snapshot (self->guard, self->record, self->keys, name, &live, &memory, &cpu, error))
    return FALSE;
  if (!live || (memory == self->record->memory_mib && g_strcmp0 (cpu, self->record->cpu) == 0))
    return TRUE;
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE,
               "the snapshot \"%s\" was taken with other memory or another processor; power \"%s\" off first", name, self->record->name);
  return FALSE;
}

static void
snapshot_live (Machine *self, WorkKind kind, const char *name, const char *argument, MachineFunc done, gpointer data)
{
  GError *error = NULL;
  Work *work;
  int fd = -1;

  if (kind == WORK_TAKE)
    {
      fd = vm_file_state_memory (self->record, &error);
      if (fd < 0)
        {
          fail_with (self, done, error, data);
          return;
        }
    }
  else if (kind == WORK_REVERT && !fits (self, name, &error))
    {
      fail_with (self, done, error, data);
      return;
    }
  work = work_new (self, kind, done, data);
  work->name = g_strdup (name);
  work->argument = g_strdup (argument);
  if (kind == WORK_TAKE)
    work_save (work, fd);
  request_release (self, work_released, work);
}

void
machine_snapshot (Machine *self, const char *verb, const char *name, const char *argument, MachineFunc done, gpointer data)
{
  g_autoptr (GError) error = NULL;
  gboolean rename = g_str_equal (verb, "rename"), revert = g_str_equal (verb, "revert");
  WorkKind kind = g_str_equal (verb, "take") ? WORK_TAKE : revert ? WORK_REVERT : WORK_DELETE;

  if (store_check_name (name, &error) && rename)
    store_check_name (argument, &error);
  if (!error && !machine_has_bundle (self))
    g_set_error (&error, GUARD_ERROR, GUARD_ERROR_FAILED, "VM \"%s\" has no .bulkhead file to keep snapshots in%s", self->record->name,
                 self->record->file ? "; a clone of it has one" : "");
  else if (!error && (self->busy || (self->process && self->state != STATE_RUNNING && self->state != STATE_PAUSED)))
    error = machine_wrong_state (self, "worked on");
  else if (!error && self->process && self->discard_changes)
    g_set_error (&error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "the changes of VM \"%s\" are thrown away at its end; there are no snapshots "
                 "in such a run", self->record->name);
  else if (!error && revert && machine_linked_clone (self))
    g_set_error (&error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "the linked clone \"%s\" lies over the disk of \"%s\", which must not change",
                 machine_linked_clone (self), self->record->name);
  if (!error
      && guard_decide_as (self->guard, revert ? CHANNEL_STATE_RESTORE : CHANNEL_SNAPSHOT, revert ? "state-restore" : "snapshot",
                          self->record->name, name, &self->record->label, &self->record->label, NULL, &error)
      && guard_record (self->guard, "snapshot", self->record->name, name, verb, &error))
    {
      if (rename)
        vm_file_rename_snapshot (self->guard, self->record, self->keys, name, argument, &error);
      else if (self->process)
        {
          snapshot_live (self, kind, name, argument, done, data);
          return;
        }
      else
        snapshot_off (self, kind, name, argument, &error);
    }
  if (!error)
    machine_changed (self);
  done (self, error, data);
}
