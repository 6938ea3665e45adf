/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control.h"

#include "json.h"
#include "reasons.h"
#include "screenshot.h"

#include "guest-memory.h"
#include "input.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MAX_ARGUMENTS = 16, MAX_LINE = 1 << 20, MAX_MEMORY_REQUEST = 1 << 20 };

struct Control
{
  int               listener;
  char             *path;
  Machine          *machine;
  HostChar *const  *serials;
  unsigned          n_serials;
  ControlOpenMedium open_medium;
  pthread_mutex_t   picture_lock;       /* of surface */
  DisplaySurface    surface;
};

/* One request on its way through the machine's thread. */
typedef struct
{
  Control *control;
  Json     json;
  char    *arguments[MAX_ARGUMENTS];
  int      n_arguments;
  char    *error;
  char    *text;
  bool     end_after_reply;
} Request;

static void __attribute__ ((format (printf, 2, 3)))
refuse (Request *request, const char *format, ...)
{
  va_list arguments;

  free (request->error);
  va_start (arguments, format);
  if (vasprintf (&request->error, format, arguments) < 0)
    request->error = NULL;
  va_end (arguments);
}

static bool
parse_number (const char *text, uint64_t *ret_value)
{
  char *end;

  errno = 0;
  *ret_value = strtoull (text, &end, 0);
  return errno == 0 && end != text && *end == 0;
}

static bool
parse_seconds (const char *text, double *ret_seconds)
{
  char *end;

  *ret_seconds = strtod (text, &end);
  return end != text && *end == 0 && *ret_seconds >= 0 && *ret_seconds < 1e7;
}

/* --- requests, each run on the machine's thread ------------------------------------------------------------------ */

static void
do_status (Machine *machine, void *data)
{
  Request *request = data;
  MachineScreen screen;

  machine_screen_info (machine, &screen);
  json_string (&request->json, "state", machine_paused (machine) ? "paused" : "running");
  json_bool (&request->json, "halted", machine_halted (machine));
  json_string (&request->json, "engine", machine_engine (machine)->klass->name);
  json_begin_object (&request->json, "display");
  json_string (&request->json, "mode", screen.mode == DISPLAY_MODE_TEXT ? "text" : "graphics");
  json_number (&request->json, "width", screen.width);
  json_number (&request->json, "height", screen.height);
  json_end_object (&request->json);
  json_bool (&request->json, "mouse-absolute", machine_mouse_absolute (machine));
  json_number (&request->json, "guest-ns", clock_now_ns (machine_clock (machine)));
}

static void
do_screen_text (Machine *machine, void *data)
{
  Request *request = data;
  char *text = machine_screen_text (machine), *line = text;

  json_begin_array (&request->json, "lines");
  while (line && *line)
    {
      size_t n = strcspn (line, "\n");

      json_string_n (&request->json, NULL, line, n);
      line += n + (line[n] == '\n');
    }
  json_end_array (&request->json);
  free (text);
}

static void
do_refresh (Machine *machine, void *data)
{
  Control *control = data;

  machine_refresh (machine, &control->surface);
}

static void
do_screenshot (Request *request)
{
  Control *control = request->control;
  int result;

  pthread_mutex_lock (&control->picture_lock);
  if (machine_call (control->machine, do_refresh, control) < 0)
    refuse (request, "the machine has ended");
  else if (!control->surface.header->width)
    refuse (request, "the screen shows nothing yet");
  else if ((result = screenshot_write_png (&control->surface, request->arguments[1])) < 0)
    refuse (request, "%s: %s", request->arguments[1], strerror (-result));
  pthread_mutex_unlock (&control->picture_lock);
}

static void
do_type (Machine *machine, void *data)
{
  Request *request = data;

  if (machine_type (machine, request->arguments[1]) < 0)
    refuse (request, "the text has a character that a US keyboard lacks; nothing was typed");
}

static void
do_key (Machine *machine, void *data)
{
  Request *request = data;

  if (machine_key_combination (machine, request->arguments[1]) < 0)
    refuse (request, "'%s' is not a key combination like ctrl-alt-del", request->arguments[1]);
}

static void
do_mouse (Machine *machine, void *data)
{
  Request *request = data;

  machine_mouse (machine, atoi (request->arguments[1]), atoi (request->arguments[2]), 0, (unsigned) atoi (request->arguments[3]));
}

static void
do_mouse_at (Machine *machine, void *data)
{
  Request *request = data;
  MachineScreen screen;
  uint64_t x, y;

  machine_screen_info (machine, &screen);
  if (!parse_number (request->arguments[1], &x) || !parse_number (request->arguments[2], &y) || x >= screen.width || y >= screen.height)
    {
      refuse (request, "mouse-at takes a position inside %ux%u", screen.width, screen.height);
      return;
    }
  machine_mouse_at (machine, (unsigned) (x * MOUSE_ABSOLUTE_MAX / (screen.width > 1 ? screen.width - 1 : 1)),
                    (unsigned) (y * MOUSE_ABSOLUTE_MAX / (screen.height > 1 ? screen.height - 1 : 1)), 0, (unsigned) atoi (request->arguments[3]));
}

static void
do_registers (Machine *machine, void *data)
{
  static const char *const names[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" };
  static const char *const segments[] = { "es", "cs", "ss", "ds", "fs", "gs" };
  Request *request = data;
  const Cpu *cpu = machine_cpu (machine);
  Json *json = &request->json;
  char name[16];

  for (unsigned i = 0; i < 8; i++)
    json_hex (json, names[i], cpu->regs[i]);
  json_hex (json, "eip", cpu->eip);
  json_hex (json, "eflags", cpu_get_eflags (cpu));
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    {
      json_hex (json, segments[i], cpu->segments[i].selector);
      snprintf (name, sizeof name, "%s-base", segments[i]);
      json_hex (json, name, cpu->segments[i].base);
      snprintf (name, sizeof name, "%s-limit", segments[i]);
      json_hex (json, name, cpu->segments[i].limit);
    }
  json_hex (json, "cr0", cpu->cr0);
  json_hex (json, "cr2", cpu->cr2);
  json_hex (json, "cr3", cpu->cr3);
  json_hex (json, "cr4", cpu->cr4);
  json_hex (json, "gdt-base", cpu->gdt_base);
  json_hex (json, "gdt-limit", cpu->gdt_limit);
  json_hex (json, "idt-base", cpu->idt_base);
  json_hex (json, "idt-limit", cpu->idt_limit);
  json_hex (json, "ldt", cpu->ldt.selector);
  json_hex (json, "tr", cpu->task.selector);
  for (unsigned i = 0; i < 8; i++)
    {
      snprintf (name, sizeof name, "dr%u", i);
      json_hex (json, name, cpu->dr[i]);
    }
  json_hex (json, "cpl", cpu->cpl);
  json_hex (json, "smbase", cpu->smbase);
  json_hex (json, "tsc", cpu_tsc (cpu));
}

static void
do_memory (Machine *machine, void *data)
{
  static const char digits[] = "0123456789abcdef";
  Request *request = data;
  uint64_t address, length;
  uint8_t *bytes;
  char *text;

  if (!parse_number (request->arguments[1], &address) || !parse_number (request->arguments[2], &length) || length > MAX_MEMORY_REQUEST)
    {
      refuse (request, "memory takes a guest-physical address and a length of at most %d bytes", MAX_MEMORY_REQUEST);
      return;
    }
  bytes = malloc (length + 1);
  text = malloc (length * 2 + 1);
  if (!bytes || !text)
    refuse (request, "out of memory");
  else
    {
      guest_memory_read (machine_memory (machine), address, bytes, length);
      for (uint64_t i = 0; i < length; i++)
        {
          text[i * 2] = digits[bytes[i] >> 4];
          text[i * 2 + 1] = digits[bytes[i] & 15];
        }
      text[length * 2] = 0;
      json_string (&request->json, "bytes", text);
    }
  free (bytes);
  free (text);
}

static void
do_stats (Machine *machine, void *data)
{
  Request *request = data;
  const Cpu *cpu = machine_cpu (machine);
  const Engine *engine = machine_engine (machine);

  json_number (&request->json, "instructions", cpu->instructions);
  json_number (&request->json, "translated", cpu->n_translated);
  json_number (&request->json, "interpreted", cpu->n_interpreted);
  json_number (&request->json, "compared", engine->n_compared);
  json_bool (&request->json, "estimated", !engine->exact);
  json_begin_object (&request->json, "reasons");
  for (unsigned i = 0; i < N_REASONS; i++)
    if (cpu->reason_counts[i])
      json_number (&request->json, reason_codes[i], cpu->reason_counts[i]);
  json_end_object (&request->json);
}

static void
do_pause (Machine *machine, void *data)
{
  machine_pause (machine);
}

static void
do_resume (Machine *machine, void *data)
{
  machine_resume (machine);
}

static void
do_reset (Machine *machine, void *data)
{
  machine_reset (machine);
}

static void
do_power_button (Machine *machine, void *data)
{
  json_bool (&((Request *) data)->json, "guest-listens", machine_power_button (machine));
}

static void
do_save_state (Machine *machine, void *data)
{
  Request *request = data;
  char *part = NULL;
  FILE *file = NULL;
  int result = -ENOMEM;

  if (asprintf (&part, "%s.part", request->arguments[1]) >= 0)
    {
      file = fopen (part, "wbe");
      result = file ? machine_save (machine, fileno (file)) : -errno;
      if (file && fclose (file) != 0 && result == 0)
        result = -errno;
      if (result == 0 && rename (part, request->arguments[1]) < 0)
        result = -errno;
      if (result < 0 && file)
        remove (part);
      free (part);
    }
  if (result < 0)
    refuse (request, "%s: %s", request->arguments[1], strerror (-result));
}

static void
do_insert (Machine *machine, void *data)
{
  Request *request = data;
  bool eject = strcmp (request->arguments[0], "eject") == 0;
  const char *slot = request->arguments[1];
  bool is_cdrom = strncmp (slot, "cdrom", 5) == 0;
  unsigned number = 0;
  BlockBackend *block = NULL;
  char *error = NULL;
  int result;

  if (!(is_cdrom && (slot[5] == 0 || sscanf (slot + 5, "%u", &number) == 1)) && sscanf (slot, "floppy%u", &number) != 1)
    {
      refuse (request, "'%s' is no drive: use cdrom, floppy0 or floppy1", slot);
      return;
    }
  if (!eject)
    {
      block = request->control->open_medium (request->arguments[2], is_cdrom, &error);
      if (!block)
        {
          refuse (request, "%s", error ? error : "out of memory");
          free (error);
          return;
        }
    }
  result = is_cdrom ? machine_change_cdrom (machine, number, block, false) : machine_change_floppy (machine, number, block);
  if (result < 0)
    {
      block_close (block);
      refuse (request, "%s: %s", slot, result == -EBUSY ? "the guest has locked the tray" : "this machine has no such drive");
    }
}

static void
do_quit (Machine *machine, void *data)
{
  machine_quit (machine);
}

/* --- waiting ----------------------------------------------------------------------------------------------------- */

static void
do_nothing (Machine *machine, void *data)
{
}

static void
get_screen_text (Machine *machine, void *data)
{
  ((Request *) data)->text = machine_screen_text (machine);
}

static double
monotonic_seconds (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

/* Polls text until the expression matches. Guest time goes on; the caller's connection waits. */
static void
wait_for (Request *request, const char *expression, double seconds, HostChar *serial)
{
  double end = monotonic_seconds () + seconds;
  int error_number;
  size_t error_offset;
  pcre2_code *code = pcre2_compile ((PCRE2_SPTR) expression, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &error_number,
                                    &error_offset, NULL);
  pcre2_match_data *match = code ? pcre2_match_data_create_from_pattern (code, NULL) : NULL;

  if (!match)
    {
      PCRE2_UCHAR message[200] = "out of memory";

      if (!code)
        pcre2_get_error_message (error_number, message, sizeof message);
      refuse (request, "'%s' is not a regular expression: %s", expression, (const char *) message);
      pcre2_code_free (code);
      return;
    }
  for (;;)
    {
      bool over = monotonic_seconds () >= end, ended = false;
      int found;

      if (serial)
        {
          request->text = host_char_log (serial);
          ended = machine_call (request->control->machine, do_nothing, NULL) < 0;
        }
      else
        ended = machine_call (request->control->machine, get_screen_text, request) < 0;
      found = request->text ? pcre2_match (code, (PCRE2_SPTR) request->text, strlen (request->text), 0, 0, match, NULL) : -1;
      free (request->text);
      request->text = NULL;
      if (found >= 0)
        break;
      if (ended || over)
        {
          refuse (request, ended ? "the machine has ended before '%s' came" : "'%s' did not come in time", expression);
          break;
        }
      usleep (30000);
    }
  pcre2_match_data_free (match);
  pcre2_code_free (code);
}

static void
do_wait_screen (Request *request)
{
  double seconds;

  if (!parse_seconds (request->arguments[2], &seconds))
    refuse (request, "wait-screen takes a regular expression and seconds");
  else
    wait_for (request, request->arguments[1], seconds, NULL);
}

static void
do_wait_serial (Request *request)
{
  double seconds;
  uint64_t n;

  if (!parse_number (request->arguments[1], &n) || n >= request->control->n_serials || !parse_seconds (request->arguments[3], &seconds))
    refuse (request, "wait-serial takes the number of a serial port, a regular expression and seconds");
  else
    wait_for (request, request->arguments[2], seconds, request->control->serials[n]);
}

/* --- dispatch ---------------------------------------------------------------------------------------------------- */

typedef struct
{
  const char *verb;
  int         n_arguments;      /* besides the verb */
  void      (*on_machine) (Machine *machine, void *request);
  void      (*here) (Request *request);
} Verb;

static const Verb verbs[] = {
  { "status",            0, do_status,       NULL },
  { "screen-text",       0, do_screen_text,  NULL },
  { "screenshot",        1, NULL,            do_screenshot },
  { "type",              1, do_type,         NULL },
  { "key",               1, do_key,          NULL },
  { "mouse",             3, do_mouse,        NULL },
  { "mouse-at",          3, do_mouse_at,     NULL },
  { "wait-screen",       2, NULL,            do_wait_screen },
  { "wait-serial",       3, NULL,            do_wait_serial },
  { "registers",         0, do_registers,    NULL },
  { "memory",            2, do_memory,       NULL },
  { "stats",             0, do_stats,        NULL },
  { "pause",             0, do_pause,        NULL },
  { "resume",            0, do_resume,       NULL },
  { "reset",             0, do_reset,        NULL },
  { "acpi-power-button", 0, do_power_button, NULL },
  { "save-state",        1, do_save_state,   NULL },
  { "insert",            2, do_insert,       NULL },
  { "eject",             1, do_insert,       NULL },
  { "quit",              0, do_quit,         NULL },
};

static void
answer (Request *request, char *line)
{
  const Verb *verb = NULL;

  request->n_arguments = json_split_arguments (line, request->arguments, MAX_ARGUMENTS);
  if (request->n_arguments <= 0)
    {
      refuse (request, "a request is a verb and its arguments; arguments with spaces or quotes are JSON strings");
      return;
    }
  for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
    if (strcmp (verbs[i].verb, request->arguments[0]) == 0)
      verb = &verbs[i];
  if (!verb)
    refuse (request, "'%s' is not a request", request->arguments[0]);
  else if (request->n_arguments != verb->n_arguments + 1)
    refuse (request, "%s takes %d argument%s", verb->verb, verb->n_arguments, verb->n_arguments == 1 ? "" : "s");
  else if (verb->here)
    verb->here (request);
  else if (machine_call (request->control->machine, verb->on_machine, request) < 0)
    refuse (request, "the machine has ended");
}

static bool
send_all (int fd, const char *bytes, size_t n_bytes)
{
  while (n_bytes)
    {
      ssize_t n = send (fd, bytes, n_bytes, MSG_NOSIGNAL);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return false;
      bytes += n;
      n_bytes -= (size_t) n;
    }
  return true;
}

static bool
reply (int fd, Request *request)
{
  Json error = { 0 };
  Json *json = &request->json;
  bool sent;

  if (request->error || json->failed)
    {
      json_begin_object (&error, NULL);
      json_bool (&error, "ok", false);
      json_string (&error, "error", request->error ? request->error : "out of memory");
      json_end_object (&error);
      json = &error;
    }
  else
    {
      json_bool (json, "ok", true);
      json_end_object (json);
    }
  sent = json->text && send_all (fd, json->text, json->length) && send_all (fd, "\n", 1);
  json_clear (&error);
  return sent;
}

typedef struct
{
  Control *control;
  int      fd;
} Client;

static void *
serve (void *data)
{
  Client *client = data;
  char *line = malloc (MAX_LINE);
  size_t n_line = 0;
  bool open = line != NULL;

  while (open)
    {
      ssize_t n = read (client->fd, line + n_line, MAX_LINE - n_line);
      char *end;

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        break;
      n_line += (size_t) n;
      while (open && (end = memchr (line, '\n', n_line)))
        {
          Request request = { .control = client->control };

          *end = 0;
          if (end > line && end[-1] == '\r')
            end[-1] = 0;
          json_begin_object (&request.json, NULL);
          answer (&request, line);
          open = reply (client->fd, &request);
          json_clear (&request.json);
          free (request.error);
          n_line -= (size_t) (end + 1 - line);
          memmove (line, end + 1, n_line);
        }
      if (n_line == MAX_LINE)
        break;                  /* a line of a megabyte is no request */
    }
  free (line);
  close (client->fd);
  free (client);
  return NULL;
}

static void *
accept_clients (void *data)
{
  Control *self = data;
  int fd;

  while ((fd = accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == EINTR || errno == ECONNABORTED)
    {
      Client *client = fd >= 0 ? malloc (sizeof *client) : NULL;
      pthread_t thread;

      if (!client)
        {
          if (fd >= 0)
            close (fd);
          continue;
        }
      *client = (Client) { self, fd };
      if (pthread_create (&thread, NULL, serve, client) == 0)
        pthread_detach (thread);
      else
        {
          close (fd);
          free (client);
        }
    }
  return NULL;
}

static char *
describe (const char *path, const char *reason)
{
  char *text = NULL;

  return asprintf (&text, "control socket %s: %s", path, reason) < 0 ? NULL : text;
}

Control *
control_new (const char *path, char **ret_error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  Control *self;
  struct stat status;
  mode_t mask;
  int result;

  *ret_error = NULL;
  if (strlen (path) >= sizeof address.sun_path)
    {
      *ret_error = describe (path, "the path is too long for a socket");
      return NULL;
    }
  strcpy (address.sun_path, path);
  self = calloc (1, sizeof *self);
  if (!self)
    return NULL;
  pthread_mutex_init (&self->picture_lock, NULL);
  self->listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  /* A socket that nobody listens on is left over from a monitor that was killed. */
  if (stat (path, &status) == 0 && S_ISSOCK (status.st_mode))
    {
      int probe = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

      if (probe >= 0 && connect (probe, (struct sockaddr *) &address, sizeof address) < 0 && errno == ECONNREFUSED)
        unlink (path);
      if (probe >= 0)
        close (probe);
    }
  mask = umask (0177);
  result = self->listener < 0 ? -1 : bind (self->listener, (struct sockaddr *) &address, sizeof address);
  umask (mask);
  if (result < 0 || listen (self->listener, 8) < 0)
    {
      *ret_error = describe (path, errno == EADDRINUSE ? "another monitor uses it, or a file is in the way; choose another path or remove it"
                                                       : strerror (errno));
      if (self->listener >= 0)
        close (self->listener);
      free (self);
      return NULL;
    }
  self->path = strdup (path);
  self->surface.header = calloc (1, DISPLAY_FILE_BYTES);
  if (!self->path || !self->surface.header)
    {
      control_free (self);
      return NULL;
    }
  self->surface.pixels = (uint8_t *) self->surface.header + DISPLAY_PIXELS_OFFSET;
  self->surface.n_bytes = DISPLAY_FILE_BYTES;
  return self;
}

void
control_start (Control *self, Machine *machine, HostChar *const *serials, unsigned n_serials, ControlOpenMedium open_medium)
{
  pthread_t thread;

  self->machine = machine;
  self->serials = serials;
  self->n_serials = n_serials;
  self->open_medium = open_medium;
  if (pthread_create (&thread, NULL, accept_clients, self) == 0)
    pthread_detach (thread);
}

void
control_free (Control *self)
{
  if (!self)
    return;
  if (self->path)
    unlink (self->path);
  /* Client threads may still be answering: the rest goes with the process. */
}
