/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

unsigned hostile_tcp_port;
char     hostile_abstract[64];
int      hostile_victim;

/* --- files ------------------------------------------------------------------------------------------------------- */

static const char *const paths[] = {
  "/etc/passwd", "/etc/shadow", "/etc/hostname", "/proc/self/mem", "/proc/self/maps", "/proc/self/environ", "/proc/self/fd/3",
  "/proc/1/environ", "/proc/kallsyms", "/proc/cpuinfo", "/proc/meminfo", "/sys/kernel/uevent_seqnum", "/sys/class/net", "/dev/null",
  "/dev/zero", "/dev/mem", "/dev/kmsg", "/dev/tty", "/dev/shm", "/dev/fuse", "/dev/kvm", "/root/.bashrc", "/home", "/tmp", "/var/log",
  "/run", "/usr/bin/id", "/bin/sh", "/boot", "/lib/x86_64-linux-gnu/libc.so.6",
};

static long
open_any (int flags, long call)
{
  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
    {
      uint64_t how[3] = { (uint64_t) flags, 0, 0 };
      long fd = call == SYS_open ? syscall (SYS_open, paths[i], flags, 0600)
                : call == SYS_openat ? syscall (SYS_openat, AT_FDCWD, paths[i], flags, 0600)
                : syscall (SYS_openat2, AT_FDCWD, paths[i], how, sizeof how);

      if (fd >= 0)
        return fd;
    }
  return -1;
}

static long try_open (void) { return open_any (O_RDONLY, SYS_open); }
static long try_openat (void) { return open_any (O_RDONLY, SYS_openat); }
static long try_openat2 (void) { return open_any (O_RDONLY, SYS_openat2); }
static long try_open_write (void) { return open_any (O_RDWR, SYS_openat); }
static long try_create_root (void) { return syscall (SYS_openat, AT_FDCWD, "/bulkhead-was-here", O_CREAT | O_RDWR, 0600); }
static long try_create_tmp (void) { return syscall (SYS_openat, AT_FDCWD, "/tmp/bulkhead-was-here", O_CREAT | O_RDWR, 0600); }
static long try_creat (void) { return syscall (SYS_creat, "/dev/shm/bulkhead-was-here", 0600); }
static long try_link (void) { return syscall (SYS_link, "/etc/passwd", "/tmp/bulkhead-was-here"); }
static long try_symlink (void) { return syscall (SYS_symlink, "/etc/passwd", "/tmp/bulkhead-was-here"); }
static long try_rename (void) { return syscall (SYS_rename, "/tmp/bulkhead-was-here", "/tmp/bulkhead-was-there"); }
static long try_unlink (void) { return syscall (SYS_unlink, "/tmp/bulkhead-victim"); }
static long try_mkdir (void) { return syscall (SYS_mkdir, "/tmp/bulkhead-was-here", 0700); }
static long try_mknod (void) { return syscall (SYS_mknod, "/tmp/bulkhead-was-here", S_IFIFO | 0600, 0); }
static long try_chmod (void) { return syscall (SYS_chmod, "/tmp/bulkhead-victim", 0777); }
static long try_truncate (void) { return syscall (SYS_truncate, "/tmp/bulkhead-victim", 0); }
static long try_stat (void) { struct stat status; return syscall (SYS_stat, "/etc/passwd", &status); }
static long try_getcwd (void) { char name[256]; return syscall (SYS_getcwd, name, sizeof name) > 1 && name[0] == '/' && name[1] ? 0 : -1; }
static long try_readlink (void) { char name[256]; return syscall (SYS_readlink, "/proc/self/exe", name, sizeof name); }
static long try_chdir_up (void) { return syscall (SYS_chdir, "/../../etc"); }
static long try_chroot (void) { return syscall (SYS_chroot, "/"); }
static long try_name_to_handle (void) { char handle[136] = { 128 }; int id; return syscall (SYS_name_to_handle_at, AT_FDCWD, "/etc/passwd", handle, &id, 0); }
static long try_inotify (void) { int fd = (int) syscall (SYS_inotify_init1, 0); return fd < 0 ? -1 : syscall (SYS_inotify_add_watch, fd, "/etc", 2); }
static long try_memfd (void) { return syscall (SYS_memfd_create, "x", 0); }
static long try_reopen_fd (void) { return syscall (SYS_openat, AT_FDCWD, "/proc/self/fd/3", O_RDWR); }

/* --- network ------------------------------------------------------------------------------------------------------ */

static long
try_socket (void)
{
  for (int family = 0; family < 48; family++)
    for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++)
      if (syscall (SYS_socket, family, type, 0) >= 0)
        return family;
  return -1;
}

static long try_socketpair (void) { int ends[2]; return syscall (SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ends); }

static long
try_tcp (void)
{
  struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons ((uint16_t) hostile_tcp_port), .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  long fd = syscall (SYS_socket, AF_INET, SOCK_STREAM, 0);

  return fd < 0 || !hostile_tcp_port ? -1 : syscall (SYS_connect, fd, &name, sizeof name);
}

static long
try_udp (void)
{
  struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons (53), .sin_addr.s_addr = htonl (0x08080808) };
  long fd = syscall (SYS_socket, AF_INET, SOCK_DGRAM, 0);

  return fd < 0 ? -1 : syscall (SYS_sendto, fd, "x", 1, 0, &name, sizeof name);
}

static long
try_abstract (void)
{
  struct sockaddr_un name = { .sun_family = AF_UNIX };
  long fd = syscall (SYS_socket, AF_UNIX, SOCK_STREAM, 0);

  memcpy (name.sun_path + 1, hostile_abstract, strlen (hostile_abstract));
  return fd < 0 || !*hostile_abstract ? -1
         : syscall (SYS_connect, fd, &name, offsetof (struct sockaddr_un, sun_path) + 1 + strlen (hostile_abstract));
}

static long
try_session_bus (void)
{
  struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/run/dbus/system_bus_socket" };
  long fd = syscall (SYS_socket, AF_UNIX, SOCK_STREAM, 0);

  return fd < 0 ? -1 : syscall (SYS_connect, fd, &name, sizeof name);
}

/* --- processes ------------------------------------------------------------------------------------------------------ */

static long
try_exec (void)
{
  char *argv[] = { (char *) "/bin/true", NULL };

  return syscall (SYS_execve, argv[0], argv, NULL);
}

static long try_execveat (void) { char *argv[] = { (char *) "x", NULL }; return syscall (SYS_execveat, 3, "", argv, NULL, AT_EMPTY_PATH); }
static long try_fork (void) { long pid = syscall (SYS_fork); if (pid == 0) _exit (0); return pid; }
static long try_vfork (void) { long pid = syscall (SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0); if (pid == 0) _exit (0); return pid; }
static long try_clone3 (void) { uint64_t args[11] = { 0 }; long pid = syscall (SYS_clone3, args, sizeof args); if (pid == 0) _exit (0); return pid; }
static long try_ptrace (void) { return hostile_victim ? syscall (SYS_ptrace, PTRACE_SEIZE, hostile_victim, 0, 0) : -1; }
static long try_traceme (void) { return syscall (SYS_ptrace, PTRACE_TRACEME, 0, 0, 0); }
static long try_read_other (void) { char byte; struct iovec here = { &byte, 1 }, there = { (void *) 0x400000, 1 }; return syscall (SYS_process_vm_readv, hostile_victim, &here, 1, &there, 1, 0); }
static long try_write_other (void) { char byte = 0; struct iovec here = { &byte, 1 }, there = { (void *) 0x400000, 1 }; return syscall (SYS_process_vm_writev, hostile_victim, &here, 1, &there, 1, 0); }
static long try_kill (void) { return hostile_victim ? syscall (SYS_kill, hostile_victim, 0) : -1; }
static long try_kill_parent (void) { return syscall (SYS_kill, getppid (), 0); }
static long try_kill_all (void) { return syscall (SYS_kill, -1, 0); }
static long try_tkill (void) { return hostile_victim ? syscall (SYS_tkill, hostile_victim, 0) : -1; }
static long try_tgkill_other (void) { return hostile_victim ? syscall (SYS_tgkill, hostile_victim, hostile_victim, 0) : -1; }
static long try_pidfd (void) { return syscall (SYS_pidfd_open, hostile_victim, 0); }
static long try_queue_signal (void) { siginfo_t info = { .si_signo = SIGUSR1, .si_code = SI_QUEUE }; return syscall (SYS_rt_sigqueueinfo, hostile_victim, SIGUSR1, &info); }
static long try_setpriority (void) { return syscall (SYS_setpriority, PRIO_PROCESS, hostile_victim, 5); }
static long try_prlimit (void) { struct rlimit limit; return syscall (SYS_prlimit64, hostile_victim, RLIMIT_NOFILE, NULL, &limit); }
static long try_own_limits (void) { struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY }; return syscall (SYS_setrlimit, RLIMIT_DATA, &limit); }
static long try_affinity (void) { uint64_t mask = 1; return syscall (SYS_sched_setaffinity, hostile_victim, sizeof mask, &mask); }
static long try_setsid (void) { return syscall (SYS_setsid); }

/* --- privileges and kernel surface -------------------------------------------------------------------------------------- */

static long try_setuid (void) { return syscall (SYS_setuid, 0); }
static long try_setresuid (void) { return syscall (SYS_setresuid, 0, 0, 0); }
static long try_setgroups (void) { return syscall (SYS_setgroups, 0, NULL); }
static long try_capset (void) { uint32_t header[2] = { 0x20080522, 0 }, data[6] = { 1 << 21, 1 << 21, 0, 0, 0, 0 }; return syscall (SYS_capset, header, data); }
static long try_user_namespace (void) { return syscall (SYS_unshare, CLONE_NEWUSER); }
static long try_mount_namespace (void) { return syscall (SYS_unshare, CLONE_NEWNS); }
static long try_setns (void) { return syscall (SYS_setns, 3, 0); }
static long try_mount (void) { return syscall (SYS_mount, "none", "/", "tmpfs", 0, NULL); }
static long try_remount (void) { return syscall (SYS_mount, NULL, "/", NULL, MS_REMOUNT, NULL); }
static long try_umount (void) { return syscall (SYS_umount2, "/", MNT_DETACH); }
static long try_pivot_root (void) { return syscall (SYS_pivot_root, "/", "/"); }
static long try_fsopen (void) { return syscall (SYS_fsopen, "tmpfs", 0); }
static long try_bpf (void) { char attributes[128] = { 0 }; return syscall (SYS_bpf, 0, attributes, sizeof attributes); }
static long try_perf (void) { uint32_t attributes[32] = { 0, 128 }; return syscall (SYS_perf_event_open, attributes, 0, -1, -1, 0); }
static long try_io_uring (void) { char parameters[120] = { 0 }; return syscall (SYS_io_uring_setup, 4, parameters); }
static long try_userfaultfd (void) { return syscall (SYS_userfaultfd, 1); }
static long try_keyctl (void) { return syscall (SYS_keyctl, 0, -3, 1); }
static long try_add_key (void) { return syscall (SYS_add_key, "user", "x", "y", 1, -3); }
static long try_seccomp (void) { return syscall (SYS_seccomp, 2, 0, NULL); }
static long try_prctl (void) { return syscall (SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); }
static long try_prctl_name (void) { return syscall (SYS_prctl, PR_SET_NAME, "root", 0, 0, 0); }
static long try_arch_prctl (void) { uint64_t base; return syscall (SYS_arch_prctl, 0x1003, &base); }
static long try_personality (void) { return syscall (SYS_personality, 0x0040000); }
static long try_tiocsti (void) { char byte = 'x'; return syscall (SYS_ioctl, 0, TIOCSTI, &byte); }
static long try_ioctl (void) { int n; return syscall (SYS_ioctl, 3, FIONREAD, &n); }
static long try_dup_fd (void) { return syscall (SYS_fcntl, 3, F_DUPFD, 10); }
static long try_set_flags (void) { return syscall (SYS_fcntl, 3, F_SETFL, O_APPEND); }
static long try_add_seals (void) { return syscall (SYS_fcntl, 3, F_ADD_SEALS, 0); }
static long try_dup (void) { return syscall (SYS_dup, 3); }
static long try_pipe (void) { int ends[2]; return syscall (SYS_pipe2, ends, 0); }
static long try_eventfd (void) { return syscall (SYS_eventfd2, 0, 0); }
static long try_shmget (void) { return syscall (SYS_shmget, 0x4242, 4096, 01600); }
static long try_msgget (void) { return syscall (SYS_msgget, 0x4242, 01600); }
static long try_mq_open (void) { return syscall (SYS_mq_open, "/x", O_CREAT | O_RDWR, 0600, NULL); }
static long try_acct (void) { return syscall (SYS_acct, NULL); }
static long try_reboot (void) { return syscall (SYS_reboot, 0xfee1dead, 672274793, 0, NULL); }
static long try_swapon (void) { return syscall (SYS_swapon, "/x", 0); }
static long try_module (void) { return syscall (SYS_init_module, "", 0, ""); }
static long try_settime (void) { struct timespec now = { 0, 0 }; return syscall (SYS_clock_settime, CLOCK_REALTIME, &now); }
static long try_sethostname (void) { return syscall (SYS_sethostname, "x", 1); }
static long try_iopl (void) { return syscall (SYS_iopl, 3); }
static long try_modify_ldt (void) { char entry[16]; return syscall (SYS_modify_ldt, 0, entry, sizeof entry); }
static long try_uname (void) { char name[400]; return syscall (SYS_uname, name); }
static long try_sysinfo (void) { char info[200]; return syscall (SYS_sysinfo, info); }
static long try_sigaction (void) { return syscall (SYS_rt_sigaction, SIGSYS, NULL, NULL, 8); }
static long try_x32_getpid (void) { return syscall (0x40000000 | SYS_getpid); }
static long try_x32_open (void) { return syscall (0x40000000 | SYS_open, "/etc/passwd", O_RDONLY); }

static long
try_int_80 (void)
{
  long result = 20;             /* getpid of the 32-bit table */

  __asm__ volatile ("int $0x80" : "+a" (result) : : "memory", "r8", "r9", "r10", "r11");
  return result;
}

/* --- memory --------------------------------------------------------------------------------------------------------------- */

static long map (int protection, int flags) { return syscall (SYS_mmap, 0, 4096, protection, flags, -1, 0) == -1 ? -1 : 0; }
static long try_map_exec (void) { return map (PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS); }
static long try_map_rwx (void) { return map (PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS); }
static long try_map_shared_anonymous (void) { return map (PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS); }
static long try_map_stack (void) { return map (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN); }
static long try_map_fd_exec (void) { return syscall (SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, 3, 0) == -1 ? -1 : 0; }

static long
try_protect_exec (void)
{
  long page = syscall (SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  return page == -1 ? -1 : syscall (SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC);
}

static long try_pkey_protect (void) { return syscall (SYS_pkey_mprotect, (uintptr_t) &paths & ~4095ul, 4096, PROT_READ | PROT_EXEC, -1); }
static long try_remap_file_pages (void) { return syscall (SYS_remap_file_pages, 0, 0, 0, 0, 0); }
static long try_mlockall (void) { return syscall (SYS_mlockall, 1); }

#define INSIDE(name)  { #name, try_##name, false }
#define OUTSIDE(name) { #name, try_##name, true }

const HostileAttempt hostile_attempts[] = {
  OUTSIDE (open), OUTSIDE (openat), OUTSIDE (openat2), OUTSIDE (open_write), OUTSIDE (create_root), OUTSIDE (create_tmp), OUTSIDE (creat),
  OUTSIDE (link), OUTSIDE (symlink), OUTSIDE (rename), OUTSIDE (unlink), OUTSIDE (mkdir), OUTSIDE (mknod), OUTSIDE (chmod), OUTSIDE (truncate),
  OUTSIDE (stat), OUTSIDE (getcwd), OUTSIDE (readlink), OUTSIDE (chdir_up), INSIDE (chroot), OUTSIDE (name_to_handle), OUTSIDE (inotify),
  INSIDE (memfd), OUTSIDE (reopen_fd),
  INSIDE (socket), INSIDE (socketpair), OUTSIDE (tcp), OUTSIDE (udp), OUTSIDE (abstract), OUTSIDE (session_bus),
  OUTSIDE (exec), INSIDE (execveat), INSIDE (fork), INSIDE (vfork), INSIDE (clone3), OUTSIDE (ptrace), INSIDE (traceme), OUTSIDE (read_other),
  OUTSIDE (write_other), OUTSIDE (kill), OUTSIDE (kill_parent), OUTSIDE (kill_all), OUTSIDE (tkill), OUTSIDE (tgkill_other), INSIDE (pidfd),
  OUTSIDE (queue_signal), INSIDE (setpriority), INSIDE (prlimit), INSIDE (own_limits), INSIDE (affinity), INSIDE (setsid),
  INSIDE (setuid), INSIDE (setresuid), INSIDE (setgroups), INSIDE (capset), INSIDE (user_namespace), INSIDE (mount_namespace), INSIDE (setns),
  INSIDE (mount), INSIDE (remount), INSIDE (umount), INSIDE (pivot_root), INSIDE (fsopen), INSIDE (bpf), INSIDE (perf), INSIDE (io_uring),
  INSIDE (userfaultfd), INSIDE (keyctl), INSIDE (add_key), INSIDE (seccomp), INSIDE (prctl), INSIDE (prctl_name), INSIDE (arch_prctl),
  INSIDE (personality), INSIDE (tiocsti), INSIDE (ioctl), INSIDE (dup_fd), INSIDE (set_flags), INSIDE (add_seals), INSIDE (dup), INSIDE (pipe),
  INSIDE (eventfd), INSIDE (shmget), INSIDE (msgget), INSIDE (mq_open), INSIDE (acct), INSIDE (reboot), INSIDE (swapon), INSIDE (module),
  INSIDE (settime), INSIDE (sethostname), INSIDE (iopl), INSIDE (modify_ldt), INSIDE (uname), INSIDE (sysinfo), INSIDE (sigaction),
  INSIDE (x32_getpid), INSIDE (x32_open), INSIDE (int_80),
  INSIDE (map_exec), INSIDE (map_rwx), INSIDE (map_shared_anonymous), INSIDE (map_stack), INSIDE (map_fd_exec), INSIDE (protect_exec),
  INSIDE (pkey_protect), INSIDE (remap_file_pages), INSIDE (mlockall),
};
const size_t hostile_n_attempts = sizeof hostile_attempts / sizeof hostile_attempts[0];

/* --- trying ------------------------------------------------------------------------------------------------------------------ */

static HostileOutcome
wait_for (pid_t pid, int timeout_ms)
{
  int status = 0;

  for (int waited = 0; waitpid (pid, &status, WNOHANG) == 0; waited++)
    {
      if (waited > timeout_ms * 5)
        {
          kill (pid, SIGKILL);
          waitpid (pid, &status, 0);
          return OUTCOME_OTHER;
        }
      usleep (200);
    }
  if (WIFSIGNALED (status))
    return WTERMSIG (status) == SIGSYS ? OUTCOME_KILLED : OUTCOME_OTHER;
  return WEXITSTATUS (status) == 0 ? OUTCOME_REFUSED : WEXITSTATUS (status) == 1 ? OUTCOME_SUCCEEDED : OUTCOME_OTHER;
}

HostileOutcome
hostile_try (long (*attempt) (void), void (*enter) (void), int timeout_ms)
{
  pid_t pid = fork ();

  if (pid == 0)
    {
      if (enter)
        enter ();
      syscall (SYS_exit_group, attempt () >= 0);
    }
  return wait_for (pid, timeout_ms);
}

HostileOutcome
hostile_try_number (long number, long argument, int entry, void (*enter) (void))
{
  pid_t pid = fork ();

  if (pid == 0)
    {
      long result = number;

      enter ();
      if (entry == 2)
        __asm__ volatile ("push %%rbx\n\tmov %1, %%rbx\n\tint $0x80\n\tpop %%rbx" : "+a" (result)
                          : "r" (argument), "c" (argument), "d" (argument), "S" (argument), "D" (argument)
                          : "memory", "r8", "r9", "r10", "r11");
      else
        syscall (entry == 1 ? 0x40000000 | number : number, argument, argument, argument, argument, argument, argument);
      syscall (SYS_exit_group, 0);
    }
  return wait_for (pid, 300);
}
