/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A monitor that has been taken over, under a real guard; and a host on which the sandbox cannot be had. */
#include "hostile.h"
#include "live-guard.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *hostile_guard, *ctl;

static GPid
start_guard (const char *program)
{
  char *argv[] = { (char *) program, NULL };
  GPid pid;

  g_assert_true (g_spawn_async (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL));
  for (int i = 0; i < 100; i++)
    {
      g_autofree char *path = g_build_filename (g_getenv ("XDG_RUNTIME_DIR"), "bulkhead", "guard.sock", NULL);

      if (g_file_test (path, G_FILE_TEST_EXISTS))
        break;
      g_usleep (20000);
    }
  return pid;
}

static void
stop_guard (GPid pid)
{
  kill (pid, SIGTERM);
  waitpid (pid, NULL, 0);
}

static void
hostile_monitor_gets_nowhere (void)
{
  LiveGuard guard;
  GPid pid;
  g_autofree char *shown = NULL;
  g_autofree char *expected = g_strdup_printf ("hostile: %zu tried, %zu killed", hostile_n_attempts, hostile_n_attempts);

  live_guard_open (&guard, ctl);
  pid = start_guard (hostile_guard);
  g_assert_cmpint (live_ctl (&guard, NULL, "create", "mallory", "--label", "SECRET", "--memory", "8", NULL), ==, 0);
  g_assert_cmpint (live_ctl (&guard, NULL, "start", "mallory", "--headless", NULL), ==, 0);
  live_ctl (&guard, &shown, "--json", "show", "mallory", NULL);
  g_test_message ("%s", shown);
  g_assert_nonnull (strstr (shown, expected));
  g_assert_null (strstr (shown, "not killed"));
  g_assert_null (strstr (shown, "hostile: capab"));
  g_assert_null (strstr (shown, "hostile: dump"));
  g_assert_null (strstr (shown, "hostile: there are"));
  g_assert_cmpint (live_ctl (&guard, NULL, "stop", "mallory", "--force", NULL), ==, 0);
  stop_guard (pid);
  live_guard_close (&guard);
}

static gboolean
write_text (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  gboolean written = fd >= 0 && write (fd, text, strlen (text)) == (ssize_t) strlen (text);

  if (fd >= 0)
    close (fd);
  return written;
}

/* In a copy of this program that may make no user namespaces any more. Status 77: this host cannot show it. */
static int
start_without_namespaces (void)
{
  g_autofree char *users = g_strdup_printf ("0 %d 1", getuid ());
  g_autofree char *groups = g_strdup_printf ("0 %d 1", getgid ());
  g_autofree char *out = NULL;
  LiveGuard guard;
  int status;

  if (unshare (CLONE_NEWUSER) < 0 || !write_text ("/proc/self/setgroups", "deny") || !write_text ("/proc/self/uid_map", users)
      || !write_text ("/proc/self/gid_map", groups) || !write_text ("/proc/sys/user/max_user_namespaces", "0"))
    return 77;
  live_guard_open (&guard, ctl);
  live_ctl (&guard, NULL, "create", "a", "--label", "UNCLASSIFIED", "--memory", "8", NULL);
  status = live_ctl (&guard, &out, "start", "a", "--headless", NULL);
  fprintf (stderr, "# %s\n", out);
  status = status == 1 && strstr (out, "user namespaces") ? 0 : 1;
  live_guard_close (&guard);
  return status;
}

static void
fails_closed_without_namespaces (void)
{
  pid_t pid = fork ();
  int status;

  if (pid == 0)
    _exit (start_without_namespaces ());
  waitpid (pid, &status, 0);
  if (WIFEXITED (status) && WEXITSTATUS (status) == 77)
    g_test_skip ("user namespaces cannot be turned off for a test here");
  else
    g_assert_cmpint (status, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, >=, 3);
  ctl = argv[1];
  hostile_guard = argv[2];
  g_test_add_func ("/hostile/monitor-gets-nowhere", hostile_monitor_gets_nowhere);
  g_test_add_func ("/hostile/fails-closed-without-namespaces", fails_closed_without_namespaces);
  return g_test_run ();
}
