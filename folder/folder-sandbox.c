/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "folder-sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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
  unsigned uid = getuid (), gid = getgid ();
  char text[64];

  if (unshare (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
    return false;
  write_file ("/proc/self/setgroups", "deny");
  snprintf (text, sizeof text, "%u %u 1\n", uid, uid);
  if (!write_file ("/proc/self/uid_map", text))
    return false;
  snprintf (text, sizeof text, "%u %u 1\n", gid, gid);
  return write_file ("/proc/self/gid_map", text);
}

/* The directory stays reachable through its descriptor alone. */
static bool
empty_root (void)
{
  return mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
         && mount ("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=0500") == 0
         && chdir ("/tmp") == 0 && syscall (SYS_pivot_root, ".", ".") == 0 && umount2 (".", MNT_DETACH) == 0 && chdir ("/") == 0
         && mount (NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

static bool
drop_privileges (void)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
  struct rlimit zero = { 0, 0 }, data = { 32 << 20, 32 << 20 }, files = { 4096, 4096 };

  for (int i = 0; i <= 63; i++)
    prctl (PR_CAPBSET_DROP, i, 0, 0, 0);
  prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  setrlimit (RLIMIT_NOFILE, &files);
  return syscall (SYS_capset, &header, none) == 0 && prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl (PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
         && setrlimit (RLIMIT_CORE, &zero) == 0 && setrlimit (RLIMIT_NPROC, &zero) == 0 && setrlimit (RLIMIT_DATA, &data) == 0;
}

/* One rule: what lies below the directory.  A layer more where the kernel has it. */
static void
enter_landlock (int directory, bool writable)
{
  uint64_t all = (1ull << 13) - 1, read = 1 << 2 /* file */ | 1 << 3 /* folder */;
  struct landlock_path_beneath_attr beneath = { .parent_fd = directory };
  long version = syscall (SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), ruleset;

  if (version < 1)
    return;
  if (version >= 2)
    all |= 1 << 13;             /* moving between folders */
  if (version >= 3)
    all |= 1 << 14;             /* truncating */
  ruleset = syscall (SYS_landlock_create_ruleset, &all, sizeof all, 0);
  if (ruleset < 0)
    return;
  /* Of what makes entries: folders and plain files only. */
  beneath.allowed_access = writable ? (read | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 14) & all : read;
  if (syscall (SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0)
    syscall (SYS_landlock_restrict_self, ruleset, 0);
  close ((int) ruleset);
}

static bool
enter_seccomp (bool writable)
{
  static const int common[] = {
    SCMP_SYS (read), SCMP_SYS (write) /* "ready" */, SCMP_SYS (recvfrom), SCMP_SYS (sendto), SCMP_SYS (poll), SCMP_SYS (close), SCMP_SYS (openat2), SCMP_SYS (pread64),
    SCMP_SYS (getdents64), SCMP_SYS (lseek), SCMP_SYS (newfstatat), SCMP_SYS (fstatfs), SCMP_SYS (readlinkat), SCMP_SYS (fsync),
    SCMP_SYS (brk), SCMP_SYS (munmap), SCMP_SYS (exit_group), SCMP_SYS (rt_sigreturn), SCMP_SYS (restart_syscall),
  };
  static const int for_writing[] = {
    SCMP_SYS (pwrite64), SCMP_SYS (ftruncate), SCMP_SYS (fchmod), SCMP_SYS (utimensat), SCMP_SYS (mkdirat), SCMP_SYS (unlinkat),
    SCMP_SYS (renameat),
  };
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_KILL_PROCESS);
  bool good = filter != NULL;

  for (size_t i = 0; good && i < sizeof common / sizeof common[0]; i++)
    good = seccomp_rule_add (filter, SCMP_ACT_ALLOW, common[i], 0) == 0;
  for (size_t i = 0; good && writable && i < sizeof for_writing / sizeof for_writing[0]; i++)
    good = seccomp_rule_add (filter, SCMP_ACT_ALLOW, for_writing[i], 0) == 0;
  good = good && seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (fcntl), 1, SCMP_A1 (SCMP_CMP_EQ, F_DUPFD_CLOEXEC)) == 0
         && seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (mmap), 1, SCMP_A2 (SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0
         && seccomp_load (filter) == 0;
  seccomp_release (filter);
  return good;
}

bool
folder_sandbox_enter (int directory, bool writable, const char **ret_why)
{
  *ret_why = "this host refuses user namespaces";
  if (!enter_namespaces ())
    return false;
  *ret_why = "no empty root directory could be made";
  if (!empty_root ())
    return false;
  *ret_why = "capabilities and limits could not be dropped";
  if (!drop_privileges ())
    return false;
  enter_landlock (directory, writable);
  *ret_why = "the system call filter could not be set";
  return enter_seccomp (writable);
}
