/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The monitor's side of the protocol.
 *
 * The first thread answers the guard and the console; the second is the machine's.  Until RUN nothing of the guest has
 * run: descriptors are only collected, the machine is made, and the sandbox is closed before the first instruction. */
#include "guarded.h"

#include "char-fd.h"
#include "flat-memory.h"
#include "image-fd.h"
#include "machine.h"
#include "message-fd.h"
#include "packet-fd.h"
#include "protocol.h"
#include "qcow2.h"
#include "reasons.h"
#include "sandbox.h"
#include "sound-ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum
{
  MAX_FILE_BYTES = 1 << 30, FRAME_MS = 16, IDLE_FRAME_MS = 500, BUSY_CARD_MS = 2, N_CHAIN = PROTOCOL_MAX_DEPTH + 1,
  PRIVATE_MEMORY_BYTES = 1 << 30,
};

typedef struct
{
  bool    present;
  uint8_t format, flags;
  int     fds[N_CHAIN];
  unsigned n_fds;
  uint8_t key[64];
  unsigned n_key;
  bool    released;             /* the guard has the file for now; the descriptors of its DRIVEs are collected again */
} Drive;

typedef struct
{
  Phase         phase;
  uint32_t      sandbox;
  bool          require_sandbox, configured, machine_started, stopping;
  MachineConfig config;
  Machine      *machine;
  pthread_t     thread;
  Drive         drives[N_DRIVES][MACHINE_N_DISKS];
  uint8_t      *files[4];               /* firmware, VGA firmware, kernel, initrd */
  char          command_line[PROTOCOL_TEXT_BYTES];
  DisplaySurface surface;
  SoundRing    *ring;
  int           frame_event, input, change_event[2];
  PacketBackend *cable;                 /* NULL: none, or its far end is gone; belongs to the machine once there is one */
  MessageBackend *folders[MACHINE_N_FOLDERS];   /* the machine's, from the moment there is one; NULL: none or gone */
  uint64_t      cable_full_until;       /* the card had no room: not before this time in ms */
  uint64_t      n_frames;
  MachineEnd    end;
} Server;

/* --- sending --------------------------------------------------------------------------------------------------- */

static bool
done (uint32_t sequence, int error, const char *text)
{
  MsgDone message = { .error = error };

  if (error && text)
    snprintf (message.text, sizeof message.text, "%s", text);
  return protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_DONE, sequence, &message, NULL) == 0;
}

static void
tell_stopped (ProtocolStopped reason, int error, const char *text)
{
  MsgStopped message = { .reason = reason, .error = error };

  snprintf (message.text, sizeof message.text, "%s", text);
  protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_STOPPED, 0, &message, NULL);
}

/* --- setup ------------------------------------------------------------------------------------------------------ */

static int
configure (Server *self, const MsgConfigure *message)
{
  static const MachineEngine engines[N_ENGINE_CHOICES] = { MACHINE_ENGINE_AUTO, MACHINE_ENGINE_INTERPRETER, MACHINE_ENGINE_TRANSLATOR };
  MachineConfig *config = &self->config;

  if (message->version != PROTOCOL_VERSION)
    return -EPROTONOSUPPORT;
  if (self->configured)
    return -EALREADY;
  self->configured = true;
  *config = (MachineConfig) {
    .memory_mib = message->memory_mib, .cpu_model = (CpuModel) message->model, .engine = engines[message->engine],
    .rtc_unix_seconds = message->rtc_base_s + (message->rtc == RTC_LOCAL ? message->utc_offset_s : 0), .seed = message->seed,
    .memory_fd = -1, .n_floppy_drives = MACHINE_N_FLOPPIES,
    .undetectable = message->flags & MACHINE_UNDETECTABLE, .no_reboot = message->flags & MACHINE_NO_REBOOT,
    .clock_source = message->flags & MACHINE_CLOCK_INSTRUCTIONS ? CLOCK_INSTRUCTIONS : CLOCK_HOST,
    .fuzzy_time_ns = message->flags & MACHINE_FUZZY_TIME ? 1000000 : 0,
  };
  self->require_sandbox = message->flags & MACHINE_REQUIRE_SANDBOX;
  for (unsigned i = 0; i < MACHINE_BOOT_ORDER_MAX; i++)
    config->boot_order[i] = (MachineBootDevice) message->boot[i];
  return 0;
}

static int
map_display (Server *self, int fd, int event)
{
  void *bytes = mmap (NULL, DISPLAY_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  close (fd);
  if (bytes == MAP_FAILED)
    return -errno;
  self->surface = (DisplaySurface) { bytes, (uint8_t *) bytes + DISPLAY_PIXELS_OFFSET, DISPLAY_FILE_BYTES };
  self->frame_event = event;
  return 0;
}

static int
read_whole (int fd, size_t max, uint8_t **ret_bytes, size_t *ret_n)
{
  struct stat status;
  uint8_t *bytes;
  size_t n = 0;

  if (fstat (fd, &status) < 0)
    return -errno;
  if (status.st_size <= 0 || (uint64_t) status.st_size > max)
    return -EFBIG;
  bytes = malloc ((size_t) status.st_size);
  if (!bytes)
    return -ENOMEM;
  while (n < (size_t) status.st_size)
    {
      ssize_t got = pread (fd, bytes + n, (size_t) status.st_size - n, (off_t) n);

      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        {
          free (bytes);
          return got < 0 ? -errno : -EIO;
        }
      n += (size_t) got;
    }
  free (*ret_bytes);
  *ret_bytes = bytes;
  *ret_n = n;
  return 0;
}

static int
take_file (Server *self, unsigned index, int fd, size_t max, const uint8_t **ret_bytes, size_t *ret_n)
{
  int result = read_whole (fd, max, &self->files[index], ret_n);

  close (fd);
  *ret_bytes = self->files[index];
  return result;
}

static int
take_drive (Server *self, const MsgDrive *message, int fd)
{
  Drive *drive = &self->drives[message->kind][message->slot % MACHINE_N_DISKS];
  bool again = message->depth == 0 && self->machine && (message->format != drive->format || message->flags != drive->flags);

  if (message->depth != drive->n_fds || message->depth >= N_CHAIN || (self->machine && !drive->released) || again)
    {
      close (fd);
      return -EINVAL;
    }
  if (message->depth == 0)
    {
      drive->present = true;
      drive->format = message->format;
      drive->flags = message->flags;
    }
  drive->fds[drive->n_fds++] = fd;
  return 0;
}

static BlockBackend *
open_drive (Drive *drive, int *ret_error)
{
  ImageFd image = { .fds = drive->fds, .n_fds = drive->n_fds, .format = drive->format == FORMAT_QCOW2 ? "qcow2" : "raw",
                    .read_only = drive->flags & DRIVE_READ_ONLY, .key = drive->n_key ? drive->key : NULL, .n_key = drive->n_key };
  BlockBackend *block = NULL;

  *ret_error = image_open_fds (&image, &block);
  for (unsigned i = 0; *ret_error && i < drive->n_fds; i++)
    close (drive->fds[i]);
  explicit_bzero (drive->key, sizeof drive->key);
  drive->n_key = 0;
  drive->n_fds = 0;
  return block;
}

/* --- released disks: while the guard changes the file, nothing may be read, written or remembered ------------------- */

static int
absent_read (BlockBackend *self, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  return -ENOMEDIUM;
}

static int
absent_write (BlockBackend *self, uint64_t offset, const void *bytes, size_t n_bytes)
{
  return -ENOMEDIUM;
}

static int
absent_flush (BlockBackend *self)
{
  return 0;
}

static void
absent_close (BlockBackend *self)
{
  free (self);
}

static const BlockClass absent_class = {
  .format = "absent", .read = absent_read, .write = absent_write, .flush = absent_flush, .close = absent_close,
};

typedef struct
{
  Drive   *drives;              /* of the kind DRIVE_DISK */
  unsigned slot;
  int      result;
  const char *text;
} DiskCall;

static void
call_release (Machine *machine, void *data)
{
  DiskCall *call = data;
  BlockBackend *block = machine_disk (machine, call->slot), *absent;

  call->text = "there is no such disk, or it is released already";
  call->result = -ENODEV;
  if (!block || call->drives[call->slot].released)
    return;
  call->text = "the disk could not be written";
  call->result = block->read_only ? 0 : block_flush (block);
  if (call->result < 0)
    return;
  absent = malloc (sizeof *absent);
  call->result = absent ? 0 : -ENOMEM;
  if (!absent)
    return;
  *absent = (BlockBackend) { &absent_class, block->n_bytes, block->read_only };
  call->result = machine_change_disk (machine, call->slot, absent);
  if (call->result < 0)
    free (absent);
  else
    call->drives[call->slot].released = true;
}

static void
call_bring_back (Machine *machine, void *data)
{
  DiskCall *call = data;

  for (unsigned slot = 0; slot < MACHINE_N_DISKS && call->result == 0; slot++)
    {
      Drive *drive = &call->drives[slot];
      BlockBackend *block;

      if (!drive->released)
        continue;
      call->text = "a released disk was not brought back";
      call->result = drive->n_fds ? 0 : -ENOMEDIUM;
      if (call->result < 0)
        return;
      call->text = "the disk that was brought back cannot be used";
      block = open_drive (drive, &call->result);
      if (call->result < 0)
        return;
      call->result = machine_change_disk (machine, slot, block);
      if (call->result < 0)
        block_close (block);
      else
        drive->released = false;
    }
}

static int
take_port (CharBackend **place, int fd)
{
  *place = char_fd_new (fd, true, NULL, NULL);
  if (*place)
    return 0;
  close (fd);
  return -ENOMEM;
}

static int
take_sound (Server *self, int fd)
{
  void *ring = mmap (NULL, SOUND_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  close (fd);
  if (ring == MAP_FAILED)
    return -errno;
  self->ring = sound_ring_new (ring, SOUND_RING_BYTES);
  self->config.sound = self->ring ? sound_ring_add_sink (self->ring) : NULL;
  return self->config.sound ? 0 : -ENOMEM;
}

static int
make_drives (Server *self, char *ret_text, size_t n_text)
{
  int error = 0;

  for (unsigned slot = 0; slot < MACHINE_N_DISKS; slot++)
    for (unsigned kind = DRIVE_DISK; kind <= DRIVE_FLOPPY; kind++)
      {
        Drive *drive = &self->drives[kind][slot];
        BlockBackend *block;

        if (!drive->present)
          continue;
        block = drive->n_fds ? open_drive (drive, &error) : NULL;
        if (error)
          {
            snprintf (ret_text, n_text, "%s %u: %s", kind == DRIVE_FLOPPY ? "floppy" : kind == DRIVE_CDROM ? "CD" : "disk", slot,
                      strerror (-error));
            return error;
          }
        if (kind == DRIVE_FLOPPY && slot < MACHINE_N_FLOPPIES)
          self->config.floppies[slot] = block;
        else if (kind != DRIVE_FLOPPY)
          self->config.disks[slot] = (MachineDrive) { block, true, kind == DRIVE_CDROM };
      }
  return 0;
}

/* Sent from the machine's thread: a frame is one system call, so it does not mix with the other thread's. */
static void
tell_stalled (void *data, bool stalled)
{
  MsgText message = { 0 };

  snprintf (message.text, sizeof message.text, "%s",
            stalled ? "the disk with this machine's files is full: it waits and goes on when there is space again"
                    : "there is space again: the machine goes on");
  protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_WARNING, 0, &message, NULL);
}

static void *
machine_thread (void *data)
{
  Server *self = data;
  uint32_t value;
  uint8_t byte = 0;

  self->end = machine_run (self->machine, &value);
  while (write (self->change_event[1], &byte, 1) < 0 && errno == EINTR)
    ;
  return NULL;
}

static void
call_nothing (Machine *machine, void *data)
{
}

static void
call_pause (Machine *machine, void *data)
{
  machine_pause (machine);
}

static void
call_resume (Machine *machine, void *data)
{
  machine_resume (machine);
}

typedef struct
{
  int         fd, result;
  const char *text;
} StateCall;

static void
call_restore (Machine *machine, void *data)
{
  StateCall *call = data;

  call->text = "the saved state cannot be read";
  call->result = machine_restore (machine, call->fd, &call->text);
}

static void
call_save (Machine *machine, void *data)
{
  StateCall *call = data;

  call->result = machine_save (machine, call->fd);
}

/* Makes the machine, its thread, and closes the sandbox. The machine is paused afterwards. */
static int
make_machine (Server *self, char *ret_text, size_t n_text)
{
  static const uint32_t required = SANDBOX_NAMESPACES | SANDBOX_EMPTY_ROOT | SANDBOX_SECCOMP | SANDBOX_NO_DUMP | SANDBOX_LIMITS;
  char *error = NULL;
  int result;
  int64_t layers;

  if (self->machine)
    return 0;
  if (!self->configured || !self->config.n_firmware || !self->config.n_vga_firmware || !self->surface.header)
    {
      snprintf (ret_text, n_text, "configuration, firmware or display is missing");
      return -EINVAL;
    }
  result = make_drives (self, ret_text, n_text);
  if (result < 0)
    return result;
  self->config.command_line = self->command_line;
  self->machine = machine_new (&self->config, &error);
  flat_memory_close ();
  for (unsigned i = 0; i < 4; i++)
    {
      free (self->files[i]);
      self->files[i] = NULL;
    }
  if (!self->machine)
    {
      snprintf (ret_text, n_text, "%s", error ? error : "out of memory");
      free (error);
      return -EIO;
    }
  machine_on_stall (self->machine, tell_stalled, NULL);
  machine_pause (self->machine);
  if (pipe2 (self->change_event, O_CLOEXEC) < 0 || pthread_create (&self->thread, NULL, machine_thread, self) != 0)
    {
      snprintf (ret_text, n_text, "no thread for the machine");
      return -EAGAIN;
    }
  self->machine_started = true;
  /* Its timer and signal handler exist once it answers; from then on it needs no more of the kernel. */
  machine_call (self->machine, call_nothing, NULL);
  layers = sandbox_enter_late (self->sandbox, PRIVATE_MEMORY_BYTES);
  if (layers < 0 || (self->require_sandbox && (layers & required) != required))
    {
      snprintf (ret_text, n_text, "the sandbox is not complete: %s",
                layers < 0 ? strerror ((int) -layers) : !(layers & SANDBOX_NAMESPACES) ? "this host refuses user namespaces"
                : !(layers & SANDBOX_EMPTY_ROOT) ? "no empty root directory could be made" : "a limit could not be set");
      return -EPERM;
    }
  self->sandbox = (uint32_t) layers;
  return 0;
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

typedef struct
{
  Server     *server;
  const Message *message;
  int         fd, result;
  const char *text;
} Command;

static void
do_insert (Machine *machine, void *data)
{
  Command *command = data;
  const MsgDrive *drive = &command->message->drive;
  bool eject = command->message->header.type == MESSAGE_EJECT;
  BlockBackend *block = NULL;

  if (!eject)
    {
      ImageFd image = { .fds = &command->fd, .n_fds = 1, .format = drive->format == FORMAT_QCOW2 ? "qcow2" : "raw",
                        .read_only = drive->flags & DRIVE_READ_ONLY };

      command->result = image_open_fds (&image, &block);
      command->text = "the image cannot be used";
      if (command->result < 0)
        return;
      command->fd = -1;
    }
  command->result = drive->kind == DRIVE_FLOPPY ? machine_change_floppy (machine, drive->slot, block)
                                                : machine_change_cdrom (machine, drive->slot, block, true);
  command->text = command->result == -ENODEV ? "the machine has no such drive" : "the drive does not take this image";
  if (command->result < 0)
    block_close (block);
}

static void
do_simple (Machine *machine, void *data)
{
  Command *command = data;

  switch (command->message->header.type)
    {
    case MESSAGE_RESET:
      machine_reset (machine);
      break;
    case MESSAGE_POWER_BUTTON:
      machine_power_button (machine);
      break;
    case MESSAGE_KEYS:
      command->result = machine_key_combination (machine, command->message->text.text);
      command->text = "not a key combination like ctrl-alt-delete";
      break;
    case MESSAGE_TYPE:
      command->result = machine_type (machine, command->message->text.text);
      command->text = "the text has a character that a US keyboard lacks; nothing was typed";
      break;
    case MESSAGE_FLUSH:
      command->result = machine_flush (machine);
      command->text = "a disk could not be written";
      break;
    default:
      break;
    }
}

static void
do_screen_text (Machine *machine, void *data)
{
  *(char **) data = machine_screen_text (machine);
}

static void
send_screen_text (Server *self, uint32_t sequence)
{
  char *text = NULL, *line;
  unsigned n_rows = 0, row = 0;

  if (self->machine)
    machine_call (self->machine, do_screen_text, &text);
  for (const char *at = text; at && *at; at++)
    n_rows += *at == '\n';
  if (n_rows > PROTOCOL_SCREEN_ROWS)
    n_rows = PROTOCOL_SCREEN_ROWS;
  for (line = text; row < n_rows; row++)
    {
      MsgScreenRow message = { .row = (uint16_t) row, .n_rows = (uint16_t) n_rows };
      size_t n = strcspn (line, "\n"), kept = n < sizeof message.text - 1 ? n : sizeof message.text - 1;

      /* Do not cut a character of several bytes. */
      while (kept < n && kept && ((unsigned char) line[kept] & 0xc0) == 0x80)
        kept--;
      memcpy (message.text, line, kept);
      protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_SCREEN_ROW, sequence, &message, NULL);
      line += n + 1;
    }
  free (text);
}

static void
do_status (Machine *machine, void *data)
{
  MsgStatus *status = data;
  MachineScreen screen;

  machine_screen_info (machine, &screen);
  status->engine = strcmp (machine_engine (machine)->klass->name, "translator") == 0 ? ENGINE_CHOICE_TRANSLATOR : ENGINE_CHOICE_INTERPRETER;
  status->display_mode = (uint8_t) screen.mode;
  status->width = screen.width;
  status->height = screen.height;
  status->uptime_ns = clock_now_ns (machine_clock (machine));
}

static void
do_statistics (Machine *machine, void *data)
{
  MsgStatistics *statistics = data;
  const Cpu *cpu = machine_cpu (machine);

  statistics->instructions = cpu->instructions;
  statistics->translated = cpu->n_translated;
  statistics->interpreted = cpu->n_interpreted;
  statistics->estimated = !machine_engine (machine)->exact;
  for (unsigned i = 0; i < N_REASONS && statistics->n_reasons < PROTOCOL_REASONS; i++)
    if (cpu->reason_counts[i])
      {
        snprintf (statistics->reasons[statistics->n_reasons].code, sizeof statistics->reasons[0].code, "%s", reason_codes[i]);
        statistics->reasons[statistics->n_reasons++].count = cpu->reason_counts[i];
      }
}

static int
on_machine (Server *self, void (*call) (Machine *, void *), Command *command)
{
  return self->machine ? machine_call (self->machine, call, command) : -EINVAL;
}

static int
state_command (Server *self, const Message *message, int fd, const char **ret_text)
{
  static char text[200];
  StateCall call = { .fd = fd };
  int result = message->header.type == MESSAGE_LOAD_STATE ? make_machine (self, text, sizeof text) : 0;

  *ret_text = text;
  if (result < 0)
    return result;
  result = on_machine (self, message->header.type == MESSAGE_LOAD_STATE ? call_restore : call_save, (Command *) &call);
  *ret_text = call.text ? call.text : "the state could not be written";
  return result < 0 ? result : call.result;
}

static int
release_drive (Server *self, const MsgDrive *message, const char **ret_text)
{
  DiskCall call = { .drives = self->drives[DRIVE_DISK], .slot = message->slot };
  int result;

  *ret_text = "only disks can be released";
  if (message->kind != DRIVE_DISK || message->slot >= MACHINE_N_DISKS || !self->machine)
    return -EINVAL;
  result = machine_call (self->machine, call_release, &call);
  *ret_text = call.text;
  return result < 0 ? result : call.result;
}

/* Opens what was released, as far as its files have come, and lets the guest go on. */
static int
go_on (Server *self, const char **ret_text)
{
  DiskCall call = { .drives = self->drives[DRIVE_DISK] };
  int result = machine_call (self->machine, call_bring_back, &call);

  *ret_text = call.text;
  if (result == 0)
    result = call.result;
  return result < 0 ? result : machine_call (self->machine, call_resume, NULL);
}

static int plug_network (Server *self, const MsgNetwork *message, int fd);
static int take_folder (Server *self, const MsgFolder *message, int fd);

/* One request of the guard. Its descriptors are ours; those that a case keeps are set to -1. False ends the monitor. */
static bool
handle (Server *self, const Message *message, int *fds)
{
  static char text[200];
  Command command = { .server = self, .message = message, .fd = fds[0] };
  uint32_t sequence = message->header.sequence;
  const char *why = NULL;
  int result = 0;

  text[0] = 0;
  switch ((MessageType) message->header.type)
    {
    case MESSAGE_CONFIGURE:
      result = configure (self, &message->configure);
      break;
    case MESSAGE_MEMORY:
      self->config.memory_fd = fds[0];
      fds[0] = -1;
      break;
    case MESSAGE_DISPLAY:
      result = map_display (self, fds[0], fds[1]);
      fds[0] = fds[1] = -1;
      break;
    case MESSAGE_SOUND:
      result = take_sound (self, fds[0]);
      fds[0] = -1;
      break;
    case MESSAGE_FIRMWARE:
      result = take_file (self, 0, fds[0], 4 << 20, &self->config.firmware, &self->config.n_firmware);
      fds[0] = -1;
      break;
    case MESSAGE_VGA_FIRMWARE:
      result = take_file (self, 1, fds[0], 256 << 10, &self->config.vga_firmware, &self->config.n_vga_firmware);
      fds[0] = -1;
      break;
    case MESSAGE_KERNEL:
      result = take_file (self, 2, fds[0], MAX_FILE_BYTES, &self->config.kernel, &self->config.n_kernel);
      fds[0] = -1;
      break;
    case MESSAGE_INITRD:
      result = take_file (self, 3, fds[0], MAX_FILE_BYTES, &self->config.initrd, &self->config.n_initrd);
      fds[0] = -1;
      break;
    case MESSAGE_APPEND:
      memcpy (self->command_line, message->text.text, sizeof self->command_line);
      break;
    case MESSAGE_DRIVE:
      result = take_drive (self, &message->drive, fds[0]);
      fds[0] = -1;
      break;
    case MESSAGE_DRIVE_KEY:
      {
        Drive *drive = &self->drives[message->drive_key.kind][message->drive_key.slot % MACHINE_N_DISKS];

        memcpy (drive->key, message->drive_key.key, sizeof drive->key);
        drive->n_key = message->drive_key.n_key;
        break;
      }
    case MESSAGE_SERIAL:
      result = take_port (&self->config.serials[message->port.index % MACHINE_N_SERIALS], fds[0]);
      fds[0] = -1;
      break;
    case MESSAGE_PARALLEL:
      result = take_port (&self->config.parallel, fds[0]);
      fds[0] = -1;
      break;
    case MESSAGE_NETWORK:
      result = plug_network (self, &message->network, fds[0]);
      fds[0] = -1;
      why = result == -ENODEV ? "the machine has no network card" : NULL;
      break;
    case MESSAGE_FOLDER:
      result = take_folder (self, &message->folder, fds[0]);
      fds[0] = -1;
      break;
    case MESSAGE_NETWORK_UNPLUG:
      result = plug_network (self, NULL, -1);
      why = result == -ENODEV ? "the machine has no network card" : NULL;
      break;
    case MESSAGE_INPUT:
      if (self->input >= 0)
        close (self->input);
      self->input = fds[0];
      fds[0] = -1;
      break;
    case MESSAGE_LOAD_STATE:
    case MESSAGE_SAVE_STATE:
      result = state_command (self, message, fds[0], &why);
      if (result == 0)
        self->phase = PHASE_PAUSED;
      break;
    case MESSAGE_RUN:
      result = make_machine (self, text, sizeof text);
      if (result == 0)
        result = machine_call (self->machine, call_resume, NULL);
      if (result == 0)
        self->phase = PHASE_RUNNING;
      break;
    case MESSAGE_PAUSE:
      result = machine_call (self->machine, call_pause, NULL);
      if (result == 0)
        self->phase = PHASE_PAUSED;
      break;
    case MESSAGE_RELEASE_DRIVE:
      result = release_drive (self, &message->drive, &why);
      break;
    case MESSAGE_RESUME:
      result = go_on (self, &why);
      if (result == 0)
        self->phase = PHASE_RUNNING;
      break;
    case MESSAGE_RESET:
    case MESSAGE_POWER_BUTTON:
    case MESSAGE_KEYS:
    case MESSAGE_TYPE:
    case MESSAGE_FLUSH:
      result = on_machine (self, do_simple, &command);
      result = result < 0 ? result : command.result;
      why = command.text;
      break;
    case MESSAGE_INSERT:
    case MESSAGE_EJECT:
      result = on_machine (self, do_insert, &command);
      result = result < 0 ? result : command.result;
      why = command.text;
      fds[0] = command.fd;
      break;
    case MESSAGE_STOP:
      done (sequence, 0, NULL);
      return false;
    case MESSAGE_SCREEN_TEXT:
      send_screen_text (self, sequence);
      break;
    case MESSAGE_STATUS:
      {
        MsgStatus status = { .phase = (uint8_t) self->phase, .sandbox = self->sandbox, .engine = ENGINE_CHOICE_INTERPRETER };

        if (self->machine)
          machine_call (self->machine, do_status, &status);
        protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_STATUS_INFO, sequence, &status, NULL);
        break;
      }
    case MESSAGE_STATISTICS:
      {
        MsgStatistics statistics = { .frames = self->n_frames };

        if (self->machine)
          machine_call (self->machine, do_statistics, &statistics);
        protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_STATISTICS_INFO, sequence, &statistics, NULL);
        break;
      }
    default:
      result = -ENOTSUP;
      why = "this monitor does not do that";
      break;
    }
  return done (sequence, result, why ? why : text[0] ? text : result ? strerror (-result) : NULL);
}

/* --- network ----------------------------------------------------------------------------------------------------- */

typedef struct
{
  PacketBackend *cable;
  int            result;
} CableCall;

static void
call_plug (Machine *machine, void *data)
{
  CableCall *call = data;

  call->result = machine_plug_network (machine, call->cable);
}

static void
call_frames (Machine *machine, void *data)
{
  CableCall *call = data;

  call->result = packet_fd_receive (call->cable);
}

/* Takes the descriptor over.  Before the machine exists the cable waits in the configuration, with the card it needs. */
static int
plug_network (Server *self, const MsgNetwork *message, int fd)
{
  CableCall call = { .cable = fd >= 0 ? packet_fd_new (fd) : NULL };

  if (fd >= 0 && !call.cable)
    {
      close (fd);
      return -ENOMEM;
    }
  if (self->machine)
    {
      int result = machine_call (self->machine, call_plug, &call);

      call.result = result < 0 ? result : call.result;
      if (call.result < 0 && call.cable)
        call.cable->close (call.cable);
      if (call.result < 0)
        return call.result;
    }
  else
    {
      if (self->config.network)
        self->config.network->close (self->config.network);
      self->config.network = call.cable;
      if (message)
        {
          self->config.has_network = true;
          memcpy (self->config.mac, message->mac, sizeof self->config.mac);
        }
    }
  self->cable = call.cable;
  self->cable_full_until = 0;
  return 0;
}

static void
take_frames (Server *self, uint64_t now_ms)
{
  CableCall call = { .cable = self->cable };

  if (machine_call (self->machine, call_frames, &call) < 0)
    return;
  if (call.result == -EBUSY)
    self->cable_full_until = now_ms + BUSY_CARD_MS;
  else if (call.result == -EPIPE)
    plug_network (self, NULL, -1);      /* the network is gone: the guest sees its link go down */
}

/* --- shared folders ------------------------------------------------------------------------------------------------ */

static int
take_folder (Server *self, const MsgFolder *message, int fd)
{
  unsigned index = message->index % MACHINE_N_FOLDERS;

  self->folders[index] = self->config.folders[index].far_end ? NULL : message_fd_new (fd);
  if (!self->folders[index])
    {
      close (fd);
      return self->config.folders[index].far_end ? -EALREADY : -ENOMEM;
    }
  self->config.folders[index].far_end = self->folders[index];
  memcpy (self->config.folders[index].tag, message->tag, sizeof self->config.folders[index].tag);
  return 0;
}

typedef struct
{
  MessageBackend *far_end;
  int             result;
} FolderCall;

static void
call_answers (Machine *machine, void *data)
{
  FolderCall *call = data;

  call->result = message_fd_receive (call->far_end);
}

static void
take_answers (Server *self, unsigned index)
{
  FolderCall call = { .far_end = self->folders[index] };

  /* The device closes a far end that is gone. */
  if (machine_call (self->machine, call_answers, &call) < 0 || call.result == -EPIPE)
    self->folders[index] = NULL;
}

/* --- console ----------------------------------------------------------------------------------------------------- */

static void
call_input (Machine *machine, void *data)
{
  const InputMessage *message = data;

  switch (message->type)
    {
    case INPUT_KEY:
      machine_key (machine, message->code, message->value_x);
      break;
    case INPUT_MOUSE_RELATIVE:
      machine_mouse (machine, message->value_x, message->value_y, -message->wheel, message->buttons);
      break;
    case INPUT_MOUSE_ABSOLUTE:
      machine_mouse_at (machine, (unsigned) message->value_x, (unsigned) message->value_y, -message->wheel, message->buttons);
      break;
    case INPUT_RELEASE_ALL:
      machine_release_keys (machine);
      break;
    default:
      break;
    }
}

static void
take_input (Server *self)
{
  InputMessage message;
  ssize_t n = recv (self->input, &message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);

  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
    {
      /* The window has gone: nothing may stay pressed. */
      message = (InputMessage) { .type = INPUT_RELEASE_ALL };
      if (self->machine)
        machine_call (self->machine, call_input, &message);
      close (self->input);
      self->input = -1;
      return;
    }
  if (n > 0 && self->phase == PHASE_RUNNING && input_message_check (&message, (size_t) n))
    machine_call (self->machine, call_input, &message);
}

static void
call_refresh (Machine *machine, void *data)
{
  Server *self = data;

  if (machine_refresh (machine, &self->surface))
    {
      uint64_t one = 1;

      self->n_frames++;
      if (write (self->frame_event, &one, sizeof one) < 0)
        return;                 /* a full counter wakes the viewer as well */
    }
}

static uint64_t
monotonic_ms (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* False: the guard is gone, broke the protocol, or said stop. */
static bool
take_message (Server *self)
{
  Message message;
  int fds[PROTOCOL_MAX_FDS] = { -1, -1 };
  size_t n_fds = 0;
  ssize_t n = protocol_receive (PROTOCOL_SOCKET_FD, &message, fds, &n_fds);
  bool go_on = false;

  if (n == -EINTR || n == -EAGAIN)
    return true;
  for (size_t i = n_fds; i < PROTOCOL_MAX_FDS; i++)
    fds[i] = -1;
  if (n > 0 && protocol_check (self->phase, SENDER_GUARD, &message, (size_t) n, n_fds, NULL) == 0)
    {
      go_on = handle (self, &message, fds);
      self->stopping |= message.header.type == MESSAGE_STOP;
    }
  for (unsigned i = 0; i < PROTOCOL_MAX_FDS; i++)
    if (fds[i] >= 0)
      close (fds[i]);
  return go_on;
}

static void
serve (Server *self)
{
  uint64_t next_frame = 0;

  for (;;)
    {
      struct pollfd polled[4 + MACHINE_N_FOLDERS] = {
        { PROTOCOL_SOCKET_FD, POLLIN, 0 }, { self->input, POLLIN, 0 }, { self->machine_started ? self->change_event[0] : -1, POLLIN, 0 },
        { -1, POLLIN, 0 },
      };
      uint64_t now = monotonic_ms ();
      int timeout = self->phase == PHASE_RUNNING ? (next_frame > now ? (int) (next_frame - now) : 0) : -1;

      if (self->cable && self->phase == PHASE_RUNNING && now >= self->cable_full_until)
        polled[3].fd = packet_fd_descriptor (self->cable);
      else if (self->cable && self->phase == PHASE_RUNNING && timeout > BUSY_CARD_MS)
        timeout = BUSY_CARD_MS;
      for (unsigned i = 0; i < MACHINE_N_FOLDERS; i++)
        polled[4 + i] = (struct pollfd) { self->folders[i] && self->phase == PHASE_RUNNING ? message_fd_descriptor (self->folders[i]) : -1,
                                          POLLIN, 0 };
      if (poll (polled, 4 + MACHINE_N_FOLDERS, timeout) < 0 && errno != EINTR)
        return;
      if (polled[2].revents)
        return;
      if (polled[0].revents && !take_message (self))
        return;
      if (polled[1].revents)
        take_input (self);
      now = monotonic_ms ();
      /* The message just taken may have changed the cable or the phase: then the next round looks again. */
      if (polled[3].revents && self->cable && self->phase == PHASE_RUNNING && packet_fd_descriptor (self->cable) == polled[3].fd)
        take_frames (self, now);
      for (unsigned i = 0; i < MACHINE_N_FOLDERS; i++)
        if (polled[4 + i].revents && self->folders[i] && self->phase == PHASE_RUNNING)
          take_answers (self, i);
      if (self->phase == PHASE_RUNNING && now >= next_frame)
        {
          machine_call (self->machine, call_refresh, self);
          next_frame = now + (self->input >= 0 ? FRAME_MS : IDLE_FRAME_MS);
        }
    }
}

static void
call_quit (Machine *machine, void *data)
{
  machine_quit (machine);
}

int
guarded_main (void)
{
  static Server self = { .phase = PHASE_SETUP, .frame_event = -1, .input = -1 };
  MsgReady ready = { .version = PROTOCOL_VERSION };

  signal (SIGPIPE, SIG_IGN);
  self.config.memory_fd = -1;
  qcow2_prepare_crypto ();
  self.sandbox = sandbox_enter_early ();
  flat_memory_use (sandbox_flat_file ());
  ready.sandbox = sandbox_probe () | self.sandbox;
  if (protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_READY, 0, &ready, NULL) < 0)
    return 1;
  serve (&self);
  if (self.machine_started)
    {
      machine_call (self.machine, call_quit, NULL);
      pthread_join (self.thread, NULL);
    }
  machine_free (self.machine);          /* flushes and closes the drives */
  if (self.stopping)
    tell_stopped (STOPPED_REQUESTED, 0, "");
  else if (self.end == MACHINE_END_FAILED)
    tell_stopped (STOPPED_FAILED, -EIO, "the engine cannot go on");
  else
    tell_stopped (STOPPED_OFF, 0, "");
  return 0;
}
