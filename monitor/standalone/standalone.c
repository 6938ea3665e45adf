/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine without guard or app: opens what the command line names, runs, ends.
 *
 * Everything is opened and checked before the machine is made, so that a mistake costs nothing and changes nothing. */
#include "standalone.h"

#include "control.h"
#include "host-char.h"
#include "host-network.h"
#include "image.h"
#include "options.h"
#include "sound-file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FIRMWARE = 4 << 20, LAST_QUESTIONS_NS = 300000000 };

typedef struct
{
  Options   options;
  uint8_t  *files[4];           /* firmware, VGA firmware, kernel, initrd */
  HostChar *serials[MACHINE_N_SERIALS];
  HostNetwork *network;
  Control  *control;
  Machine  *machine;
} Standalone;

static bool __attribute__ ((format (printf, 1, 2)))
fail (const char *format, ...)
{
  va_list arguments;

  fputs ("bulkhead-monitor: ", stderr);
  va_start (arguments, format);
  vfprintf (stderr, format, arguments);
  va_end (arguments);
  fputc ('\n', stderr);
  return false;
}

/* A whole file. NULL after a message. */
static uint8_t *
read_file (const char *path, const char *what, size_t max, size_t *ret_n)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  uint8_t *bytes = NULL;
  size_t n = 0;

  if (fd < 0 || fstat (fd, &status) < 0)
    fail ("%s %s: %s", what, path, strerror (errno));
  else if (!S_ISREG (status.st_mode))
    fail ("%s %s: not a file", what, path);
  else if (status.st_size == 0 || (uint64_t) status.st_size > max)
    fail ("%s %s: %s", what, path, status.st_size ? "too large" : "the file is empty");
  else if (!(bytes = malloc ((size_t) status.st_size)))
    fail ("%s %s: out of memory", what, path);
  else
    while (n < (size_t) status.st_size)
      {
        ssize_t got = read (fd, bytes + n, (size_t) status.st_size - n);

        if (got < 0 && errno == EINTR)
          continue;
        if (got <= 0)
          {
            fail ("%s %s: %s", what, path, got < 0 ? strerror (errno) : "the file became shorter while it was read");
            free (bytes);
            bytes = NULL;
            break;
          }
        n += (size_t) got;
      }
  if (fd >= 0)
    close (fd);
  *ret_n = n;
  return bytes;
}

static bool
read_firmware (Standalone *self)
{
  Options *o = &self->options;
  MachineConfig *m = &o->machine;
  const char *bios = o->firmware ? o->firmware : BULKHEAD_SEABIOS "/bios-256k.bin";
  const char *vga = o->vga_firmware ? o->vga_firmware : BULKHEAD_SEABIOS "/vgabios-stdvga.bin";

  if (!o->firmware && access (bios, R_OK) < 0)
    return fail ("%s: %s; install the package `seabios` or name a BIOS with --firmware", bios, strerror (errno));
  m->firmware = self->files[0] = read_file (bios, "firmware", MAX_FIRMWARE, &m->n_firmware);
  if (!m->firmware)
    return false;
  if (m->n_firmware % 4096 || m->n_firmware < 65536)
    return fail ("firmware %s: a BIOS image has a multiple of 4 KiB and at least 64 KiB, not %zu bytes", bios, m->n_firmware);
  m->vga_firmware = self->files[1] = read_file (vga, "VGA firmware", 256 << 10, &m->n_vga_firmware);
  if (!m->vga_firmware)
    return false;
  if (o->kernel)
    {
      m->kernel = self->files[2] = read_file (o->kernel, "kernel", 1u << 30, &m->n_kernel);
      if (!m->kernel)
        return false;
    }
  if (o->initrd)
    {
      m->initrd = self->files[3] = read_file (o->initrd, "initrd", 1u << 31, &m->n_initrd);
      if (!m->initrd)
        return false;
    }
  m->command_line = o->command_line;
  return true;
}

static BlockBackend *
open_medium (const char *path, bool is_cdrom, char **ret_error)
{
  return image_open (path, "raw", is_cdrom || access (path, W_OK) < 0, ret_error);
}

static bool
open_drives (Standalone *self)
{
  Options *o = &self->options;
  MachineConfig *m = &o->machine;
  char *error = NULL;

  for (unsigned i = 0; i < o->n_disks; i++)
    {
      m->disks[i].present = true;
      m->disks[i].block = image_open (o->disks[i].path, o->disks[i].format, o->disks[i].read_only, &error);
      if (!m->disks[i].block)
        return fail ("disk %s", error ? error : "out of memory");
    }
  for (unsigned i = 0; i < o->n_cdroms; i++)
    {
      /* The secondary master is where PCs have their CD. */
      static const unsigned order[] = { 2, 3, 1, 0 };
      unsigned slot = 0;

      while (slot < 4 && m->disks[order[slot]].present)
        slot++;
      if (slot == 4)
        return fail ("CD %s: all four IDE places are taken by disks", o->cdroms[i]);
      slot = order[slot];
      m->disks[slot].present = m->disks[slot].is_cdrom = true;
      m->disks[slot].block = open_medium (o->cdroms[i], true, &error);
      if (!m->disks[slot].block)
        return fail ("CD %s", error ? error : "out of memory");
    }
  m->n_floppy_drives = o->n_floppies > 1 ? 2 : 1;
  for (unsigned i = 0; i < o->n_floppies; i++)
    {
      m->floppies[i] = open_medium (o->floppies[i], false, &error);
      if (!m->floppies[i])
        return fail ("floppy %s", error ? error : "out of memory");
    }
  return true;
}

static bool
open_ends (Standalone *self)
{
  Options *o = &self->options;
  MachineConfig *m = &o->machine;
  HostChar *end;
  char *error = NULL;

  for (unsigned i = 0; i < MACHINE_N_SERIALS; i++)
    {
      self->serials[i] = host_char_new (i < o->n_serials ? o->serials[i] : "null", &error);
      if (!self->serials[i])
        return fail ("serial port %u: %s", i, error ? error : "out of memory");
      m->serials[i] = host_char_backend (self->serials[i]);
    }
  end = host_char_new (o->parallel ? o->parallel : "null", &error);
  if (!end)
    return fail ("parallel port: %s", error ? error : "out of memory");
  m->parallel = host_char_backend (end);
  if (o->debug_port)
    {
      end = host_char_new (o->debug_port, &error);
      if (!end)
        return fail ("debug port: %s", error ? error : "out of memory");
      m->debug = host_char_backend (end);
    }
  if (o->sound && strcmp (o->sound, "none") != 0)
    {
      m->sound = sound_sink_open (o->sound, &error);
      if (!m->sound)
        return fail ("sound: %s", error ? error : "out of memory");
    }
  if (!host_network_open (o->network, m, &self->network, &error))
    return fail ("--network: %s", error ? error : "out of memory");
  if (o->control)
    {
      self->control = control_new (o->control, &error);
      if (!self->control)
        return fail ("%s", error ? error : "out of memory");
    }
  return true;
}

static bool
load_state (Standalone *self)
{
  const char *error = "out of memory", *path = self->options.load_state;
  int fd, result;

  if (!path)
    return true;
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return fail ("saved state %s: %s", path, strerror (errno));
  result = machine_restore (self->machine, fd, &error);
  close (fd);
  return result < 0 ? fail ("saved state %s: %s", path, error) : true;
}

static Machine *ending_machine;

static void
ask_to_quit (Machine *machine, void *data)
{
  machine_quit (machine);
}

/* SIGTERM and SIGINT are taken by a thread, so that disks are flushed and the socket removed. */
static void *
wait_for_signal (void *data)
{
  sigset_t *set = data;
  int number;

  while (sigwait (set, &number) != 0)
    ;
  machine_call (ending_machine, ask_to_quit, NULL);
  return NULL;
}

static void
tell_stalled (void *data, bool stalled)
{
  fail (stalled ? "the disk with the images is full: the machine waits and goes on when there is space again"
                : "there is space again: the machine goes on");
}

/* The engine's signals may still arrive: sleep on. */
static void
sleep_through (long ns)
{
  struct timespec left = { ns / 1000000000, ns % 1000000000 };

  while (clock_nanosleep (CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
    ;
}

static int
run (Standalone *self)
{
  static sigset_t set;
  pthread_t thread;
  uint32_t value = 0;
  MachineEnd end;

  sigemptyset (&set);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  pthread_sigmask (SIG_BLOCK, &set, NULL);
  signal (SIGPIPE, SIG_IGN);
  ending_machine = self->machine;
  machine_on_stall (self->machine, tell_stalled, NULL);
  if (pthread_create (&thread, NULL, wait_for_signal, &set) == 0)
    pthread_detach (thread);
  if (self->control)
    control_start (self->control, self->machine, self->serials, MACHINE_N_SERIALS, open_medium);
  for (unsigned i = 0; i < MACHINE_N_SERIALS; i++)
    host_char_start (self->serials[i], self->machine);
  /* A script that waits for the guest's last words still wants to ask for the screen or the statistics. */
  machine_linger (self->machine, self->control != NULL);
  host_network_start (self->network, self->machine);
  end = machine_run (self->machine, &value);
  if (self->control && end != MACHINE_END_QUIT)
    sleep_through (LAST_QUESTIONS_NS);
  machine_linger (self->machine, false);
  switch (end)
    {
    case MACHINE_END_EXIT_PORT:
      return (int) ((value << 1 | 1) & 0xff);
    case MACHINE_END_FAILED:
      fail ("%s", machine_message (self->machine));
      return 1;
    default:
      return 0;
    }
}

int
standalone_main (int argc, char **argv)
{
  static Standalone self;
  char *error = NULL;
  int status = 1;

  switch (options_parse (argc, argv, &self.options))
    {
    case OPTIONS_DONE:
      return 0;
    case OPTIONS_BAD:
      return 2;
    case OPTIONS_RUN:
      break;
    }
  if (read_firmware (&self) && open_drives (&self) && open_ends (&self))
    {
      self.machine = machine_new (&self.options.machine, &error);
      for (unsigned i = 0; i < 4; i++)
        free (self.files[i]);
      if (!self.machine)
        fail ("%s", error ? error : "out of memory");
      else if (load_state (&self))
        {
          status = run (&self);
          host_network_stop (self.network);
        }
    }
  control_free (self.control);
  machine_free (self.machine);
  fflush (stdout);
  return status;
}
