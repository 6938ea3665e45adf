/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Speaks the monitor's side of the protocol without a machine behind it.  What it does wrong is chosen by the memory size, the
 * one number of the configuration that a test can set freely:
 *
 *   13 dies at RUN          14 breaks the protocol after RUN      15 never answers STOP      16 refuses FIRMWARE
 *   17 floods warnings      18 sends descriptors after RUN        19 speaks before its turn  20 powers itself off after RUN
 *   21 never says READY     22 screen rows out of order           23 prints a job to the parallel port at RUN
 *   24 says STOPPED and stays                                      25 an endless text */
#include "display.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static const int guard = PROTOCOL_SOCKET_FD;
static unsigned memory_mib;
static int parallel = -1, serial[2] = { -1, -1 }, input = -1, frame_event = -1;
static char typed[8][128];
static unsigned n_typed;

static void
done (uint32_t sequence, int error, const char *text)
{
  MsgDone message = { .error = error };

  if (text)
    strncpy (message.text, text, sizeof message.text - 1);
  if (protocol_send (guard, MESSAGE_DONE, sequence, &message, NULL) < 0)
    _exit (3);
}

static void
say_stopped (ProtocolStopped reason)
{
  MsgStopped message = { .reason = reason };

  protocol_send (guard, MESSAGE_STOPPED, 0, &message, NULL);
}

static void
row (uint32_t sequence, unsigned at, unsigned n, const char *text)
{
  MsgScreenRow message = { .row = (uint16_t) at, .n_rows = (uint16_t) n };

  strncpy (message.text, text, sizeof message.text - 1);
  protocol_send (guard, MESSAGE_SCREEN_ROW, sequence, &message, NULL);
}

static void
screen (uint32_t sequence)
{
  unsigned n = 2 + n_typed;

  if (memory_mib == 22)
    row (sequence, 1, n, "second");
  row (sequence, 0, n, "MikeOS is not here, this is a test");
  row (sequence, 1, n, "\x1b[31mred\x07 \xff");
  for (unsigned i = 0; i < n_typed; i++)
    row (sequence, 2 + i, n, typed[i]);
}

/* A picture of 64 by 48, all blue. */
static void
draw (int fd)
{
  uint8_t *map = mmap (NULL, DISPLAY_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  DisplayHeader header = { .magic = DISPLAY_MAGIC, .generation = 2, .width = 64, .height = 48, .stride = 256, .mode = 1,
                           .damage_width = 64, .damage_height = 48 };

  if (map == MAP_FAILED)
    return;
  for (unsigned i = 0; i < 64 * 48; i++)
    memcpy (map + DISPLAY_PIXELS_OFFSET + 4 * i, "\xff\x00\x00\xff", 4);
  memcpy (map, &header, sizeof header);
  munmap (map, DISPLAY_FILE_BYTES);
}

static void
misbehave_after_run (void)
{
  MsgText text;
  MsgNone none = { 0 };
  Message raw;

  memset (&text, 0, sizeof text);
  memset (&raw, 0, sizeof raw);
  switch (memory_mib)
    {
    case 13:
      abort ();
    case 14:
      protocol_send (guard, MESSAGE_RUN, 7, &none, NULL);
      break;
    case 17:
      strcpy (text.text, "flood");
      for (int i = 0; i < 5000; i++)
        if (protocol_send (guard, MESSAGE_WARNING, 0, &text, NULL) < 0)
          break;
      break;
    case 18:
      {
        int fd = open ("/dev/null", O_RDONLY);

        protocol_send (guard, MESSAGE_SOUND, 0, &none, &fd);
        break;
      }
    case 20:
      say_stopped (STOPPED_OFF);
      _exit (0);
    case 23:
      if (parallel >= 0 && write (parallel, "PRINTED-CANARY-77\r\n", 19) < 0)
        _exit (4);
      break;
    case 24:
      say_stopped (STOPPED_OFF);
      for (;;)
        pause ();
    case 25:
      raw.header.type = MESSAGE_WARNING;
      raw.header.n_bytes = sizeof (MsgText);
      memset (raw.text.text, 'x', sizeof raw.text.text);
      send (guard, raw.bytes, sizeof (MessageHeader) + sizeof (MsgText), MSG_NOSIGNAL);
      break;
    default:
      break;
    }
}

static void
keep (int *place, int fd)
{
  if (*place >= 0)
    close (*place);
  *place = fd;
}

static void
type (const char *text)
{
  if (n_typed < 8)
    snprintf (typed[n_typed++], sizeof typed[0], "%.120s", text);
  if (strstr (text, "lpt1") && parallel >= 0 && write (parallel, text, strlen (text)) < 0)
    _exit (4);
  if (strstr (text, "poweroff"))
    {
      say_stopped (STOPPED_OFF);
      _exit (0);
    }
}

int
main (int argc, char **argv)
{
  MsgReady ready = { PROTOCOL_VERSION, SANDBOX_SECCOMP };
  Phase phase = PHASE_SETUP;

  if (argc < 2 || strcmp (argv[1], "--guarded") != 0)
    return 2;
  /* Whether the guard left something open that is not ours. */
  for (int fd = 4; fd < 64; fd++)
    if (fcntl (fd, F_GETFD) >= 0)
      return 5;
  if (protocol_send (guard, MESSAGE_READY, 0, &ready, NULL) < 0)
    return 3;
  for (;;)
    {
      int fds[PROTOCOL_MAX_FDS];
      size_t n_fds;
      Message frame;
      ssize_t n = protocol_receive (guard, &frame, fds, &n_fds);
      int fd;

      if (n <= 0)
        return 0;               /* the guard is gone */
      if (protocol_check (phase, SENDER_GUARD, &frame, (size_t) n, n_fds, NULL) < 0)
        return 6;
      fd = n_fds ? fds[0] : -1;
      switch ((int) frame.header.type)
        {
        case MESSAGE_CONFIGURE:
          memory_mib = frame.configure.memory_mib;
          if (memory_mib == 19)
            row (0, 0, 1, "nobody asked");
          if (memory_mib == 21)
            protocol_send (guard, MESSAGE_READY, 0, &ready, NULL);
          done (frame.header.sequence, 0, NULL);
          break;
        case MESSAGE_DISPLAY:
          draw (fd);
          close (fd);
          keep (&frame_event, fds[1]);
          done (frame.header.sequence, 0, NULL);
          break;
        case MESSAGE_FIRMWARE:
          close (fd);
          done (frame.header.sequence, memory_mib == 16 ? -EINVAL : 0, memory_mib == 16 ? "no such BIOS\x1b[2J" : NULL);
          break;
        case MESSAGE_PARALLEL:
          keep (&parallel, fd);
          done (frame.header.sequence, 0, NULL);
          break;
        case MESSAGE_SERIAL:
          keep (&serial[frame.port.index], fd);
          done (frame.header.sequence, 0, NULL);
          break;
        case MESSAGE_INPUT:
          keep (&input, fd);
          done (frame.header.sequence, 0, NULL);
          break;
        case MESSAGE_RUN:
        case MESSAGE_RESUME:
          done (frame.header.sequence, 0, NULL);
          phase = PHASE_RUNNING;
          misbehave_after_run ();
          if (serial[0] >= 0 && write (serial[0], "login: ", 7) < 0)
            return 4;
          break;
        case MESSAGE_PAUSE:
        case MESSAGE_LOAD_STATE:
          if (fd >= 0)
            close (fd);
          done (frame.header.sequence, 0, NULL);
          phase = PHASE_PAUSED;
          break;
        case MESSAGE_SAVE_STATE:
          if (write (fd, "state", 5) != 5)
            return 4;
          close (fd);
          done (frame.header.sequence, 0, NULL);
          break;
        case MESSAGE_SCREEN_TEXT:
          screen (frame.header.sequence);
          done (frame.header.sequence, 0, NULL);
          break;
        case MESSAGE_TYPE:
        case MESSAGE_KEYS:
          done (frame.header.sequence, 0, NULL);
          type (frame.text.text);
          break;
        case MESSAGE_STATISTICS:
          {
            MsgStatistics statistics = { .instructions = 1000, .translated = 900, .interpreted = 100, .n_reasons = 1 };

            strcpy (statistics.reasons[0].code, "3A1");
            statistics.reasons[0].count = 7;
            protocol_send (guard, MESSAGE_STATISTICS_INFO, frame.header.sequence, &statistics, NULL);
            done (frame.header.sequence, 0, NULL);
            break;
          }
        case MESSAGE_STOP:
          if (memory_mib == 15)
            break;
          done (frame.header.sequence, 0, NULL);
          say_stopped (STOPPED_REQUESTED);
          return 0;
        default:
          for (size_t i = 0; i < n_fds; i++)
            close (fds[i]);
          done (frame.header.sequence, 0, NULL);
        }
    }
}
