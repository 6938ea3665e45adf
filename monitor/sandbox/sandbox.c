/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stage 1, sandbox_enter_early: user, mount, network, IPC, UTS and cgroup namespaces; a root directory that is an empty
 * read-only tmpfs; no new privileges; not dumpable; no capabilities; Landlock without a single rule.
 *   should: run before any thread exists and before a descriptor of a guest arrives.
 *   must not: fail the process: the guard decides what is enough.
 *
 * Landlock belongs to this stage because it holds for the calling thread and those it starts later, not for others.
 *
 * Stage 2, sandbox_enter_late: resource limits, the system call list on all threads.
 *   should: come after the last open, thread, timer and executable mapping.
 *   must not: leave a thread outside (SECCOMP_FILTER_FLAG_TSYNC). */
#include "sandbox.h"

#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In tests, layers that are left out so that each of the others can be tried alone. In the monitor, none. */
#ifdef SANDBOX_FOR_TESTS
extern uint32_t sandbox_without;
uint32_t sandbox_without;
#define WITHOUT(layer) (sandbox_without & (layer))
#else
#define WITHOUT(layer) false
#endif

/* --- stage 1 --------------------------------------------------------------------------------------------------- */

static bool
write_file (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  bool written = fd >= 0 && write (fd, text, strlen (text)) == (ssize_t) strlen (text);

  if (fd >= 0)
    close (fd);
  return written;
}

static bool
enter_namespaces (void)
{
  uid_t uid = getuid ();
  gid_t gid = getgid ();
  char text[64];

  if (unshare (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
    return false;
  write_file ("/proc/self/setgroups", "deny");
  snprintf (text, sizeof text, "%u %u 1\n", (unsigned) uid, (unsigned) uid);
  if (!write_file ("/proc/self/uid_map", text))
    return false;
  snprintf (text, sizeof text, "%u %u 1\n", (unsigned) gid, (unsigned) gid);
  return write_file ("/proc/self/gid_map", text);
}

static int flat_file = -1;

int
sandbox_flat_file (void)
{
  int fd = flat_file;

  flat_file = -1;
  return fd;
}

/* A nameless file on a temporary file system of limited size, which goes when its last descriptor does. */
static void
make_flat_file (void)
{
  if (mount ("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1g,nr_inodes=4,mode=0700") < 0)
    return;
  flat_file = open ("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  umount2 ("/tmp", MNT_DETACH);
}

/* An empty tmpfs becomes the root, the old one is detached. Mounts are private already. */
static bool
empty_root (void)
{
  return mount ("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=0500") == 0
         && chdir ("/tmp") == 0
         && syscall (SYS_pivot_root, ".", ".") == 0
         && umount2 (".", MNT_DETACH) == 0
         && chdir ("/") == 0
         && mount (NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

static void
drop_capabilities (void)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

  for (int i = 0; i <= 63; i++)
    prctl (PR_CAPBSET_DROP, i, 0, 0, 0);
  prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  syscall (SYS_capset, &header, none);
}

/* Rights by version of Landlock, declared here because the headers of Debian 12 know only the first three. */
typedef struct { uint64_t file_system, network, scoped; } LandlockRights;

/* A ruleset that handles every right this kernel knows, and allows none: files, TCP (version 4), and from version 6 signals
 * to and abstract sockets of processes outside.  Version 1 already forbids ptrace of those. */
static bool
enter_landlock (void)
{
  static const LandlockRights rights_by_version[] = {
    { 0, 0, 0 }, { (1ull << 13) - 1, 0, 0 }, { (1ull << 14) - 1, 0, 0 }, { (1ull << 15) - 1, 0, 0 }, { (1ull << 15) - 1, 3, 0 },
    { (1ull << 16) - 1, 3, 0 }, { (1ull << 16) - 1, 3, 3 },
  };
  static const size_t sizes[] = { 0, 8, 8, 8, 16, 16, 24 };
  long version = syscall (SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
  unsigned known = version < 6 ? (unsigned) version : 6;
  long ruleset;
  bool entered;

  if (version < 1)
    return false;
  ruleset = syscall (SYS_landlock_create_ruleset, &rights_by_version[known], sizes[known], 0);
  if (ruleset < 0)
    return false;
  entered = syscall (SYS_landlock_restrict_self, ruleset, 0) == 0;
  close ((int) ruleset);
  return entered;
}

uint32_t
sandbox_probe (void)
{
  uint32_t layers = SANDBOX_SECCOMP | SANDBOX_LIMITS | SANDBOX_NO_DUMP;

  if (syscall (SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1)
    layers |= SANDBOX_LANDLOCK;
  return layers;
}

uint32_t
sandbox_enter_early (void)
{
  uint32_t layers = 0;

  if (!WITHOUT (SANDBOX_NAMESPACES) && enter_namespaces ())
    {
      layers |= SANDBOX_NAMESPACES;
      if (!WITHOUT (SANDBOX_EMPTY_ROOT) && mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        {
          make_flat_file ();
          if (empty_root ())
            layers |= SANDBOX_EMPTY_ROOT;
        }
    }
  drop_capabilities ();
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl (PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
    layers |= SANDBOX_NO_DUMP;
  if (!WITHOUT (SANDBOX_LANDLOCK) && enter_landlock ())
    layers |= SANDBOX_LANDLOCK;
  return layers;
}

/* --- stage 2 --------------------------------------------------------------------------------------------------- */

static bool
set_limits (uint64_t memory_bytes)
{
  struct rlimit none = { 0, 0 }, data = { memory_bytes, memory_bytes };

  return setrlimit (RLIMIT_CORE, &none) == 0 && setrlimit (RLIMIT_NPROC, &none) == 0 && setrlimit (RLIMIT_MEMLOCK, &none) == 0
         && setrlimit (RLIMIT_DATA, &data) == 0 && setrlimit (RLIMIT_MSGQUEUE, &none) == 0;
}

#define COMPARE(argument, operation, ...) ((struct scmp_arg_cmp) { argument, operation, __VA_ARGS__ })

static bool
allow (scmp_filter_ctx filter, int call)
{
  return seccomp_rule_add (filter, SCMP_ACT_ALLOW, call, 0) == 0;
}

static bool
allow_if (scmp_filter_ctx filter, int call, struct scmp_arg_cmp condition)
{
  return seccomp_rule_add (filter, SCMP_ACT_ALLOW, call, 1, condition) == 0;
}

/* mmap without PROT_EXEC and without any of these flags. */
static bool
allow_map (scmp_filter_ctx filter, unsigned flags_not)
{
  return seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (mmap), 2, COMPARE (2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                           COMPARE (3, SCMP_CMP_MASKED_EQ, flags_not, 0)) == 0;
}

/* Every system call of a running monitor, and who makes it. */
static const int plain_calls[] = {
  SCMP_SYS (read),              /* change pipe */
  SCMP_SYS (write),             /* serial and parallel files, frame event */
  SCMP_SYS (pread64), SCMP_SYS (pwrite64),       /* disks, saved state */
  SCMP_SYS (fdatasync), SCMP_SYS (ftruncate), SCMP_SYS (fallocate), SCMP_SYS (lseek),  /* disks */
  SCMP_SYS (close),
  SCMP_SYS (poll), SCMP_SYS (ppoll),            /* the serving thread */
  SCMP_SYS (recvmsg), SCMP_SYS (sendmsg), SCMP_SYS (recvfrom), SCMP_SYS (sendto),       /* guard, console, network */
  SCMP_SYS (futex), SCMP_SYS (rt_sigreturn), SCMP_SYS (rt_sigprocmask), SCMP_SYS (restart_syscall),
  SCMP_SYS (timer_settime),                     /* the guest's next timer */
  SCMP_SYS (clock_gettime), SCMP_SYS (clock_nanosleep),
  SCMP_SYS (munmap), SCMP_SYS (mremap), SCMP_SYS (brk), SCMP_SYS (madvise),     /* heap, windows of the translator */
  SCMP_SYS (getrandom),
  SCMP_SYS (exit), SCMP_SYS (exit_group), SCMP_SYS (getpid), SCMP_SYS (gettid),
};

static int
enter_seccomp (void)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_KILL_PROCESS);
  bool good = filter != NULL;
  int result;

  for (size_t i = 0; good && i < sizeof plain_calls / sizeof plain_calls[0]; i++)
    good = allow (filter, plain_calls[i]);
  good = good && seccomp_attr_set (filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0
         /* No mapping becomes executable after this point.  Private memory counts for RLIMIT_DATA, and files have the size
          * that the guard gave them; shared anonymous memory and growing stacks would escape both. */
         && allow_map (filter, MAP_SHARED | MAP_GROWSDOWN) && allow_map (filter, MAP_ANONYMOUS | MAP_GROWSDOWN)
         && allow_if (filter, SCMP_SYS (mprotect), COMPARE (2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0))
         /* The serving thread wakes the machine's. */
         && allow_if (filter, SCMP_SYS (tgkill), COMPARE (0, SCMP_CMP_EQ, (scmp_datum_t) getpid ()))
         && allow_if (filter, SCMP_SYS (fcntl), COMPARE (1, SCMP_CMP_EQ, F_GETFL))
         /* fstat, not stat of a name. */
         && allow_if (filter, SCMP_SYS (newfstatat), COMPARE (3, SCMP_CMP_EQ, AT_EMPTY_PATH));
  result = good ? seccomp_load (filter) : -ENOMEM;
  seccomp_release (filter);
  return result;
}

int64_t
sandbox_enter_late (uint32_t early, uint64_t memory_bytes)
{
  uint32_t layers = early;
  int result;

  if (!WITHOUT (SANDBOX_LIMITS) && set_limits (memory_bytes))
    layers |= SANDBOX_LIMITS;
  if (WITHOUT (SANDBOX_SECCOMP))
    return layers;
  result = enter_seccomp ();
  return result < 0 ? result : (int64_t) (layers | SANDBOX_SECCOMP);
}
