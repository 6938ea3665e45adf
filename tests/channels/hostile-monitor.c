/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Started by a guard like a monitor, with the same descriptors and the same sandbox.  At RUN it tries everything, each
 * attempt in a copy of itself behind the complete sandbox, and tells the count as a warning: "hostile: N tried, N killed". */
#include "hostile.h"
#include "protocol.h"
#include "sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint32_t layers;

static void
enter (void)
{
  static const uint32_t all = SANDBOX_NAMESPACES | SANDBOX_EMPTY_ROOT | SANDBOX_SECCOMP | SANDBOX_NO_DUMP | SANDBOX_LIMITS;
  int64_t up = sandbox_enter_late (layers, 64 << 20);

  if (up < 0 || (up & all) != all)
    _exit (9);
}

static void
warn (const char *text)
{
  MsgText message;

  memset (&message, 0, sizeof message);
  strncpy (message.text, text, sizeof message.text - 1);
  protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_WARNING, 0, &message, NULL);
}

static void
try_everything (void)
{
  unsigned n_killed = 0;
  char text[1000];

  hostile_victim = getppid ();
  for (size_t i = 0; i < hostile_n_attempts; i++)
    {
      HostileOutcome outcome = hostile_try (hostile_attempts[i].attempt, enter, 1000);

      n_killed += outcome == OUTCOME_KILLED;
      if (outcome != OUTCOME_KILLED)
        {
          snprintf (text, sizeof text, "hostile: %s was not killed (%d)", hostile_attempts[i].name, outcome);
          warn (text);
        }
    }
  snprintf (text, sizeof text, "hostile: %zu tried, %u killed", hostile_n_attempts, n_killed);
  warn (text);
}

/* Capabilities, dumpable, new privileges, and descriptors beyond those that came. */
static void
look_around (int highest)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[2] = { { 1, 1, 1 }, { 1, 1, 1 } };
  unsigned n_open = 0;

  syscall (SYS_capget, &header, data);
  if (data[0].effective | data[0].permitted | data[0].inheritable | data[1].effective | data[1].permitted | data[1].inheritable)
    warn ("hostile: capabilities are left");
  if (prctl (PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl (PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
    warn ("hostile: dumpable or open to new privileges");
  for (int fd = 0; fd < 1024; fd++)
    n_open += fcntl (fd, F_GETFD) >= 0;
  if (n_open != (unsigned) highest)
    warn ("hostile: there are descriptors that the guard did not send");
}

int
main (int argc, char **argv)
{
  MsgReady ready = { PROTOCOL_VERSION, 0 };
  Phase phase = PHASE_SETUP;
  int n_open = 4;

  if (argc < 2 || strcmp (argv[1], "--guarded") != 0)
    return 2;
  layers = sandbox_enter_early ();
  n_open += sandbox_flat_file () >= 0;
  ready.sandbox = layers | sandbox_probe ();
  if (protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_READY, 0, &ready, NULL) < 0)
    return 3;
  for (;;)
    {
      MsgDone done = { 0 };
      int fds[PROTOCOL_MAX_FDS];
      size_t n_fds;
      Message frame;
      ssize_t n = protocol_receive (PROTOCOL_SOCKET_FD, &frame, fds, &n_fds);

      if (n <= 0 || protocol_check (phase, SENDER_GUARD, &frame, (size_t) n, n_fds, NULL) < 0)
        return 6;
      n_open += (int) n_fds;
      if (frame.header.type == MESSAGE_RUN)
        {
          phase = PHASE_RUNNING;
          look_around (n_open);
          try_everything ();
        }
      protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_DONE, frame.header.sequence, &done, NULL);
      if (frame.header.type == MESSAGE_STOP)
        {
          MsgStopped stopped = { .reason = STOPPED_REQUESTED };

          protocol_send (PROTOCOL_SOCKET_FD, MESSAGE_STOPPED, 0, &stopped, NULL);
          return 0;
        }
    }
}
