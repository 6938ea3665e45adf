/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bulkhead-folder: one shared folder of one machine.  Descriptor 3: the machine's monitor (SOCK_SEQPACKET, one 9P message
 * each); descriptor 4: the directory.  It ends when descriptor 3 closes.
 *
 *   bulkhead-folder [--writable]
 *
 * Says "ready" on its standard output when its sandbox is closed, or why it is not. */
#include "folder-sandbox.h"
#include "nine-p.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKET_FD = 3, DIRECTORY_FD = 4 };

static void
say (const char *text)
{
  if (write (STDOUT_FILENO, text, strlen (text)) < 0 || write (STDOUT_FILENO, "\n", 1) < 0)
    return;
}

int
main (int argc, char **argv)
{
  static uint8_t request[NINE_P_MAX_MESSAGE], answer[NINE_P_MAX_MESSAGE];
  bool writable = argc == 2 && strcmp (argv[1], "--writable") == 0;
  const char *why;
  NineP *server;

  if (argc > 1 && !writable)
    {
      fputs ("bulkhead-folder is started by bulkhead-guard\n", stderr);
      return 2;
    }
  prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  signal (SIGPIPE, SIG_IGN);
  server = nine_p_new (DIRECTORY_FD, writable);
  if (!server || !folder_sandbox_enter (DIRECTORY_FD, writable, &why))
    {
      say (server ? why : "out of memory");
      return 1;
    }
  say ("ready");
  close (STDOUT_FILENO);
  for (;;)
    {
      ssize_t n = recv (SOCKET_FD, request, sizeof request, MSG_TRUNC);
      size_t n_answer;

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        break;
      if ((size_t) n > sizeof request)
        continue;
      n_answer = nine_p_handle (server, request, (size_t) n, answer);
      if (n_answer && send (SOCKET_FD, answer, n_answer, MSG_NOSIGNAL) < 0)
        break;
    }
  nine_p_free (server);
  return 0;
}
