/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The monitor's sandbox from inside: complete, each layer alone, and exactly the list of system calls below. */
#include "hostile.h"
#include "protocol.h"
#include "sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern uint32_t sandbox_without;

enum { ALL = SANDBOX_NAMESPACES | SANDBOX_LANDLOCK | SANDBOX_SECCOMP | SANDBOX_EMPTY_ROOT | SANDBOX_NO_DUMP | SANDBOX_LIMITS };

static uint64_t memory_bytes = 64 << 20;

static void
enter_late (void)
{
  if (sandbox_enter_late (0, memory_bytes) < 0)
    _exit (9);
}

static void
enter_all (void)
{
  uint32_t early = sandbox_enter_early ();

  if (sandbox_enter_late (early, memory_bytes) < 0)
    _exit (9);
}

/* --- complete ------------------------------------------------------------------------------------------------------ */

static void
every_attempt_is_killed (void)
{
  unsigned n_bad = 0;

  sandbox_without = 0;
  for (size_t i = 0; i < hostile_n_attempts; i++)
    {
      HostileOutcome outcome = hostile_try (hostile_attempts[i].attempt, enter_all, 1000);

      if (outcome != OUTCOME_KILLED)
        g_test_message ("%s: outcome %d", hostile_attempts[i].name, outcome);
      n_bad += outcome != OUTCOME_KILLED;
    }
  g_test_message ("%zu attempts", hostile_n_attempts);
  g_assert_cmpuint (n_bad, ==, 0);
}

/* Without any layer many of the attempts succeed: otherwise the tests here would prove nothing. */
static void
attempts_succeed_without_sandbox (void)
{
  unsigned n = 0;

  for (size_t i = 0; i < hostile_n_attempts; i++)
    if (strcmp (hostile_attempts[i].name, "kill_all") != 0 && strcmp (hostile_attempts[i].name, "reboot") != 0
        && strcmp (hostile_attempts[i].name, "settime") != 0 && strcmp (hostile_attempts[i].name, "sethostname") != 0
        && strcmp (hostile_attempts[i].name, "umount") != 0 && strcmp (hostile_attempts[i].name, "mount") != 0
        && strcmp (hostile_attempts[i].name, "remount") != 0 && strcmp (hostile_attempts[i].name, "pivot_root") != 0
        && strcmp (hostile_attempts[i].name, "acct") != 0)
      n += hostile_try (hostile_attempts[i].attempt, NULL, 1000) == OUTCOME_SUCCEEDED;
  g_test_message ("%u succeed", n);
  g_assert_cmpuint (n, >=, 40);
  unlink ("/tmp/bulkhead-was-here");
  unlink ("/tmp/bulkhead-was-there");
  rmdir ("/tmp/bulkhead-was-here");
  unlink ("/dev/shm/bulkhead-was-here");
  unlink ("/bulkhead-was-here");
}

static void
is_up_within_20_ms (void)
{
  gint64 best = G_MAXINT64;

  sandbox_without = 0;
  for (int i = 0; i < 10; i++)
    {
      int ends[2];
      gint64 took = 0;
      pid_t pid;

      g_assert_cmpint (pipe (ends), ==, 0);
      pid = fork ();
      if (pid == 0)
        {
          gint64 start = g_get_monotonic_time ();

          enter_all ();
          took = g_get_monotonic_time () - start;
          _exit (write (ends[1], &took, sizeof took) == sizeof took ? 0 : 1);
        }
      close (ends[1]);
      g_assert_cmpint (read (ends[0], &took, sizeof took), ==, sizeof took);
      close (ends[0]);
      waitpid (pid, NULL, 0);
      best = MIN (best, took);
    }
  g_test_message ("set up in %" G_GINT64_FORMAT " us", best);
  g_assert_cmpint (best, <, 20000);
}

/* --- the list -------------------------------------------------------------------------------------------------------- */

/* Allowed with any arguments, and allowed with some. */
static const int allowed_calls[] = {
  SYS_read, SYS_write, SYS_close, SYS_poll, SYS_lseek, SYS_munmap, SYS_brk, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_pread64,
  SYS_pwrite64, SYS_mremap, SYS_madvise, SYS_getpid, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_exit, SYS_fdatasync,
  SYS_ftruncate, SYS_gettid, SYS_futex, SYS_restart_syscall, SYS_timer_settime, SYS_clock_gettime, SYS_clock_nanosleep, SYS_exit_group,
  SYS_ppoll, SYS_fallocate, SYS_getrandom,
};
static const int conditional_calls[] = { SYS_mmap, SYS_mprotect, SYS_tgkill, SYS_fcntl, SYS_newfstatat };

static gboolean
listed (const int *calls, size_t n, long number)
{
  for (size_t i = 0; i < n; i++)
    if (calls[i] == number)
      return TRUE;
  return FALSE;
}

static void
list_is_exact (void)
{
  sandbox_without = SANDBOX_NAMESPACES | SANDBOX_LANDLOCK;
  g_test_message ("%zu calls", G_N_ELEMENTS (allowed_calls) + G_N_ELEMENTS (conditional_calls));
  g_assert_cmpuint (G_N_ELEMENTS (allowed_calls) + G_N_ELEMENTS (conditional_calls), <=, 40);
  for (size_t i = 0; i < G_N_ELEMENTS (conditional_calls); i++)
    g_assert_false (listed (allowed_calls, G_N_ELEMENTS (allowed_calls), conditional_calls[i]));
  for (long number = 0; number < 512; number++)
    {
      HostileOutcome outcome = hostile_try_number (number, -1, 0, enter_late);
      gboolean allowed = listed (allowed_calls, G_N_ELEMENTS (allowed_calls), number);

      /* uretprobe and uprobe: newer kernels do not show them to filters; they do nothing without a probe of root's. */
      if (number == 335 || number == 336)
        continue;
      /* With all arguments -1 the conditional ones ask for what is forbidden. */
      if ((outcome != OUTCOME_KILLED) != allowed)
        g_error ("system call %ld: outcome %d, the list says %s", number, outcome, allowed ? "allowed" : "killed");
    }
}

static void
other_entries_are_closed (void)
{
  sandbox_without = SANDBOX_NAMESPACES | SANDBOX_LANDLOCK;
  for (long number = 0; number < 512; number += 3)
    {
      HostileOutcome outcome = hostile_try_number (number, -1, 1, enter_late);

      if (outcome != OUTCOME_KILLED)
        g_error ("x32 call %ld: outcome %d", number, outcome);
      outcome = hostile_try_number (number, -1, 2, enter_late);
      if (outcome != OUTCOME_KILLED)
        g_error ("int 80h call %ld: outcome %d", number, outcome);
    }
}

static long call_map (void) { return syscall (SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1 ? -1 : 0; }
static long call_map_file (void) { return syscall (SYS_mmap, 0, 4096, PROT_READ, MAP_SHARED, -1, 0); }
static long call_protect (void) { return syscall (SYS_mprotect, 0, 0, PROT_READ); }
static long call_signal (void) { return syscall (SYS_tgkill, getpid (), getpid (), 0); }
static long call_flags (void) { return syscall (SYS_fcntl, 1, F_GETFL); }
static long call_stat (void) { struct stat status; return syscall (SYS_newfstatat, 1, "", &status, AT_EMPTY_PATH); }

static void
conditional_calls_are_allowed (void)
{
  sandbox_without = SANDBOX_NAMESPACES | SANDBOX_LANDLOCK;
  g_assert_cmpint (hostile_try (call_map, enter_late, 300), ==, OUTCOME_SUCCEEDED);
  g_assert_cmpint (hostile_try (call_map_file, enter_late, 300), ==, OUTCOME_REFUSED);
  g_assert_cmpint (hostile_try (call_protect, enter_late, 300), ==, OUTCOME_SUCCEEDED);
  g_assert_cmpint (hostile_try (call_signal, enter_late, 300), ==, OUTCOME_SUCCEEDED);
  g_assert_cmpint (hostile_try (call_flags, enter_late, 300), ==, OUTCOME_SUCCEEDED);
  g_assert_cmpint (hostile_try (call_stat, enter_late, 300), ==, OUTCOME_SUCCEEDED);
}

/* --- layers alone ------------------------------------------------------------------------------------------------------ */

/* One copy with the layers up and the outside attempts made in copies of that. `may`: names that this layer does not stop. */
static unsigned
count_outside (const char *const *may)
{
  unsigned n_bad = 0;

  for (size_t i = 0; i < hostile_n_attempts; i++)
    {
      const HostileAttempt *attempt = &hostile_attempts[i];
      HostileOutcome outcome;

      if (!attempt->outside || (may && g_strv_contains (may, attempt->name)))
        continue;
      outcome = hostile_try (attempt->attempt, enter_all, 1000);
      if (outcome == OUTCOME_SUCCEEDED || outcome == OUTCOME_OTHER)
        g_test_message ("%s: outcome %d", attempt->name, outcome);
      n_bad += outcome == OUTCOME_SUCCEEDED || outcome == OUTCOME_OTHER;
    }
  return n_bad;
}

static long landlock_version;

/* Namespaces hide files and the network; processes of the same user stay within reach of signals and ptrace. */
static void
namespaces_alone (void)
{
  static const char *const not_stopped[] = { "kill", "kill_parent", "kill_all", "tkill", "tgkill_other", "queue_signal", "ptrace",
                                             "read_other", "write_other", NULL };

  sandbox_without = ALL & ~(SANDBOX_NAMESPACES | SANDBOX_EMPTY_ROOT);
  g_assert_cmpuint (count_outside (not_stopped), ==, 0);
}

/* Landlock stops what it knows: files, and ptrace; TCP from version 4, signals and abstract sockets from version 6.  It does
 * not hide names (stat, readlink). */
static void
landlock_alone (void)
{
  static const char *const not_stopped[] = { "stat", "readlink", "name_to_handle", "getcwd", "chdir_up", "inotify", "udp", "session_bus", "chmod",
                                             "kill_all", "reopen_fd", "exec", NULL };

  if (landlock_version < 6)
    {
      g_test_skip ("this kernel's Landlock knows no scopes");
      return;
    }
  sandbox_without = ALL & ~SANDBOX_LANDLOCK;
  g_assert_cmpuint (count_outside (not_stopped), ==, 0);
}

static void
seccomp_alone (void)
{
  unsigned n_bad = 0;

  sandbox_without = ALL & ~SANDBOX_SECCOMP;
  for (size_t i = 0; i < hostile_n_attempts; i++)
    n_bad += hostile_try (hostile_attempts[i].attempt, enter_all, 1000) != OUTCOME_KILLED;
  g_assert_cmpuint (n_bad, ==, 0);
}

/* Any one missing: the two others hold everything. */
static void
without_seccomp (void)
{
  static const char *const not_stopped[] = { "kill_all", NULL };

  if (landlock_version < 6)
    {
      g_test_skip ("this kernel's Landlock knows no scopes");
      return;
    }
  sandbox_without = SANDBOX_SECCOMP;
  g_assert_cmpuint (count_outside (not_stopped), ==, 0);
}

static void
without_namespaces (void)
{
  sandbox_without = SANDBOX_NAMESPACES | SANDBOX_EMPTY_ROOT;
  g_assert_cmpuint (count_outside (NULL), ==, 0);
}

static void
without_landlock (void)
{
  sandbox_without = SANDBOX_LANDLOCK;
  g_assert_cmpuint (count_outside (NULL), ==, 0);
}

/* --- memory ------------------------------------------------------------------------------------------------------------ */

/* Fills memory until there is no more; succeeds when it got more than a quarter above the bound. */
static long
bomb (void)
{
  uint64_t n = 0;

  for (;;)
    {
      long at = syscall (SYS_mmap, 0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

      if (at == -1 || n > memory_bytes * 2)
        break;
      for (long i = 0; i < 1 << 20; i += 4096)
        ((volatile char *) at)[i] = 1;
      n += 1 << 20;
    }
  return n > memory_bytes + memory_bytes / 4 ? 1 : -1;
}

/* Read-only memory made writable afterwards counts as well. */
static long
late_bomb (void)
{
  long at = syscall (SYS_mmap, 0, memory_bytes * 4, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  return at == -1 ? -1 : syscall (SYS_mprotect, at, memory_bytes * 4, PROT_READ | PROT_WRITE);
}

static long
heap_bomb (void)
{
  long end = syscall (SYS_brk, 0);

  return syscall (SYS_brk, end + (long) memory_bytes * 2) == end ? -1 : 1;
}

static void
memory_is_bounded (void)
{
  sandbox_without = SANDBOX_NAMESPACES | SANDBOX_LANDLOCK;
  g_assert_cmpint (hostile_try (bomb, enter_late, 10000), ==, OUTCOME_REFUSED);
  g_assert_cmpint (hostile_try (late_bomb, enter_late, 10000), ==, OUTCOME_REFUSED);
  g_assert_cmpint (hostile_try (heap_bomb, enter_late, 10000), ==, OUTCOME_REFUSED);
  g_assert_cmpint (hostile_try (bomb, NULL, 10000), ==, OUTCOME_SUCCEEDED);
}

/* What is missing is reported as missing. */
static void
missing_layers_are_reported (void)
{
  static const uint32_t layers[] = { SANDBOX_NAMESPACES, SANDBOX_EMPTY_ROOT, SANDBOX_LANDLOCK, SANDBOX_SECCOMP, SANDBOX_LIMITS };

  for (size_t i = 0; i < G_N_ELEMENTS (layers); i++)
    {
      pid_t pid;
      int status;

      sandbox_without = layers[i];
      pid = fork ();
      if (pid == 0)
        {
          int64_t up = sandbox_enter_late (sandbox_enter_early (), memory_bytes);

          syscall (SYS_exit_group, up >= 0 && !(up & layers[i]) ? 0 : 1);
        }
      waitpid (pid, &status, 0);
      g_assert_cmpint (status, ==, 0);
    }
}

/* --- the outside --------------------------------------------------------------------------------------------------------- */

static void
make_outside (void)
{
  struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  struct sockaddr_un local = { .sun_family = AF_UNIX };
  socklen_t n = sizeof name;
  int tcp = socket (AF_INET, SOCK_STREAM, 0), abstract = socket (AF_UNIX, SOCK_STREAM, 0);

  g_assert_cmpint (bind (tcp, (struct sockaddr *) &name, n), ==, 0);
  listen (tcp, 100);
  getsockname (tcp, (struct sockaddr *) &name, &n);
  hostile_tcp_port = ntohs (name.sin_port);
  snprintf (hostile_abstract, sizeof hostile_abstract, "bulkhead-test-%d", getpid ());
  memcpy (local.sun_path + 1, hostile_abstract, strlen (hostile_abstract));
  g_assert_cmpint (bind (abstract, (struct sockaddr *) &local,
                         (socklen_t) (offsetof (struct sockaddr_un, sun_path) + 1 + strlen (hostile_abstract))), ==, 0);
  listen (abstract, 100);
  /* What the attempts reach is descriptor 3; the listeners stay with the parent. */
  fcntl (tcp, F_DUPFD, 100);
  fcntl (abstract, F_DUPFD, 101);
  close (open ("/tmp/bulkhead-victim", O_CREAT | O_WRONLY, 0600));
  hostile_victim = fork ();
  if (hostile_victim == 0)
    for (;;)
      pause ();
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  landlock_version = syscall (SYS_landlock_create_ruleset, NULL, 0, 1);
  g_test_message ("Landlock version %ld", landlock_version);
  make_outside ();
  g_test_add_func ("/sandbox/every-attempt-is-killed", every_attempt_is_killed);
  g_test_add_func ("/sandbox/attempts-succeed-without-sandbox", attempts_succeed_without_sandbox);
  g_test_add_func ("/sandbox/is-up-within-20-ms", is_up_within_20_ms);
  g_test_add_func ("/sandbox/list-is-exact", list_is_exact);
  g_test_add_func ("/sandbox/other-entries-are-closed", other_entries_are_closed);
  g_test_add_func ("/sandbox/conditional-calls-are-allowed", conditional_calls_are_allowed);
  g_test_add_func ("/sandbox/namespaces-alone", namespaces_alone);
  g_test_add_func ("/sandbox/landlock-alone", landlock_alone);
  g_test_add_func ("/sandbox/seccomp-alone", seccomp_alone);
  g_test_add_func ("/sandbox/without-seccomp", without_seccomp);
  g_test_add_func ("/sandbox/without-namespaces", without_namespaces);
  g_test_add_func ("/sandbox/without-landlock", without_landlock);
  g_test_add_func ("/sandbox/memory-is-bounded", memory_is_bounded);
  g_test_add_func ("/sandbox/missing-layers-are-reported", missing_layers_are_reported);
  status = g_test_run ();
  kill (hostile_victim, SIGKILL);
  waitpid (hostile_victim, NULL, 0);
  unlink ("/tmp/bulkhead-victim");
  return status;
}
