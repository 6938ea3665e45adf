/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "network-sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool
write_file (const char *path, const char *text, size_t n_bytes)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
  bool written = fd >= 0 && write (fd, text, n_bytes) == (ssize_t) n_bytes;

  if (fd >= 0)
    close (fd);
  return written;
}

static bool
enter_namespaces (bool nat)
{
  unsigned uid = getuid (), gid = getgid ();
  char text[64];
  int n;

  if (unshare (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | (nat ? 0 : CLONE_NEWNET)) < 0)
    return false;
  write_file ("/proc/self/setgroups", "deny", 4);
  n = snprintf (text, sizeof text, "%u %u 1\n", uid, uid);
  if (!write_file ("/proc/self/uid_map", text, (size_t) n))
    return false;
  n = snprintf (text, sizeof text, "%u %u 1\n", gid, gid);
  return write_file ("/proc/self/gid_map", text, (size_t) n);
}

static bool
change_root (bool nat)
{
  char resolver[4096];
  ssize_t n = 0;
  int fd = nat ? open ("/etc/resolv.conf", O_RDONLY | O_CLOEXEC) : -1;

  if (fd >= 0)
    {
      n = read (fd, resolver, sizeof resolver);
      close (fd);
    }
  if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
      || mount ("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,nr_inodes=8,mode=0555") < 0 || chdir ("/tmp") < 0)
    return false;
  if (nat && (mkdir ("etc", 0555) < 0 || !write_file ("etc/resolv.conf", resolver, n > 0 ? (size_t) n : 0)))
    return false;
  return syscall (SYS_pivot_root, ".", ".") == 0 && umount2 (".", MNT_DETACH) == 0 && chdir ("/") == 0
         && mount (NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

static bool
drop_privileges (void)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
  struct rlimit zero = { 0, 0 }, data = { 256 << 20, 256 << 20 };

  for (int i = 0; i <= 63; i++)
    prctl (PR_CAPBSET_DROP, i, 0, 0, 0);
  prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return syscall (SYS_capset, &header, none) == 0 && prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl (PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
         && setrlimit (RLIMIT_CORE, &zero) == 0 && setrlimit (RLIMIT_NPROC, &zero) == 0 && setrlimit (RLIMIT_DATA, &data) == 0;
}

#define COMPARE(argument, operation, ...) ((struct scmp_arg_cmp) { argument, operation, __VA_ARGS__ })

static bool
allow_socket (scmp_filter_ctx filter, int family, int type)
{
  return seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (socket), 2, COMPARE (0, SCMP_CMP_EQ, (scmp_datum_t) family),
                           COMPARE (1, SCMP_CMP_MASKED_EQ, ~(scmp_datum_t) (SOCK_CLOEXEC | SOCK_NONBLOCK), (scmp_datum_t) type)) == 0;
}

static bool
enter_seccomp (bool nat)
{
  static const int common[] = {
    SCMP_SYS (read), SCMP_SYS (write), SCMP_SYS (close), SCMP_SYS (poll), SCMP_SYS (recvmsg), SCMP_SYS (sendmsg), SCMP_SYS (recvfrom),
    SCMP_SYS (sendto), SCMP_SYS (clock_gettime), SCMP_SYS (munmap), SCMP_SYS (mremap), SCMP_SYS (brk), SCMP_SYS (madvise),
    SCMP_SYS (exit_group), SCMP_SYS (rt_sigreturn), SCMP_SYS (restart_syscall), SCMP_SYS (getrandom), SCMP_SYS (futex),
  };
  static const int for_nat[] = {
    SCMP_SYS (bind), SCMP_SYS (listen), SCMP_SYS (accept), SCMP_SYS (accept4), SCMP_SYS (connect), SCMP_SYS (shutdown),
    SCMP_SYS (getsockname), SCMP_SYS (getpeername), SCMP_SYS (getsockopt), SCMP_SYS (setsockopt), SCMP_SYS (fcntl), SCMP_SYS (ioctl),
    SCMP_SYS (openat) /* resolv.conf, the one file there is */, SCMP_SYS (newfstatat), SCMP_SYS (lseek), SCMP_SYS (gettid), SCMP_SYS (getpid),
  };
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_KILL_PROCESS);
  bool good = filter != NULL;

  for (size_t i = 0; good && i < sizeof common / sizeof common[0]; i++)
    good = seccomp_rule_add (filter, SCMP_ACT_ALLOW, common[i], 0) == 0;
  for (size_t i = 0; good && nat && i < sizeof for_nat / sizeof for_nat[0]; i++)
    good = seccomp_rule_add (filter, SCMP_ACT_ALLOW, for_nat[i], 0) == 0;
  good = good && seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (mmap), 1, COMPARE (2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0
         && seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (mprotect), 1, COMPARE (2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
  if (nat)
    good = good && allow_socket (filter, AF_INET, SOCK_STREAM) && allow_socket (filter, AF_INET, SOCK_DGRAM)
           && allow_socket (filter, AF_INET6, SOCK_STREAM) && allow_socket (filter, AF_INET6, SOCK_DGRAM)
           /* Any other family or type is an error to libslirp, not its end: it asks for raw ICMP sockets when the host lets it. */
           && seccomp_rule_add (filter, SCMP_ACT_ERRNO (13), SCMP_SYS (socket), 1, COMPARE (1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_RAW)) == 0;
  good = good && seccomp_load (filter) == 0;
  seccomp_release (filter);
  return good;
}

bool
network_sandbox_enter (bool nat, const char **ret_why)
{
  *ret_why = "this host refuses user namespaces";
  if (!enter_namespaces (nat))
    return false;
  *ret_why = "no empty root directory could be made";
  if (!change_root (nat))
    return false;
  *ret_why = "capabilities and limits could not be dropped";
  if (!drop_privileges ())
    return false;
  *ret_why = "the system call filter could not be set";
  return enter_seccomp (nat);
}
