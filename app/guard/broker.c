/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker.h"

#include "guard-config.h"
#include "media.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int
failed (GError **error, const char *what, const char *path)
{
  g_autofree char *shown = files_neutral_text (path, 4096);

  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s: %s: %s", shown, what, g_strerror (errno));
  return -1;
}

static gboolean
below (const char *path, const char *folder)
{
  gsize n = strlen (folder);

  return strncmp (path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

char *
broker_resolve (Guard *guard, const char *path, GError **error)
{
  g_autofree char *output = g_build_filename (guard->data_folder, "output", NULL);
  g_autofree char *disks = g_build_filename (guard->data_folder, "disks", NULL);
  g_autofree char *data = g_canonicalize_filename (guard->data_folder, NULL);
  g_autofree char *shown = files_neutral_text (path, 4096);
  struct stat info;
  char *resolved;
  char *copy;

  if (!g_path_is_absolute (path) || !g_utf8_validate (path, -1, NULL) || strlen (path) >= PATH_MAX)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_USAGE, "%s is no absolute path in UTF-8", shown);
      return NULL;
    }
  resolved = realpath (path, NULL);
  if (!resolved)
    {
      failed (error, "cannot be found", path);
      return NULL;
    }
  copy = g_strdup (resolved);
  free (resolved);
  if (stat (copy, &info) < 0 || !S_ISREG (info.st_mode))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s is no plain file", shown);
      g_free (copy);
      return NULL;
    }
  if ((below (copy, data) || below (copy, guard->data_folder)) && !below (copy, output) && !below (copy, disks))
    {
      guard_refuse (guard, "open", "user", copy, error, "%s is one of the guard's own files", shown);
      g_free (copy);
      return NULL;
    }
  return copy;
}

static const struct { PolicyChannel read, write; } channels[N_DRIVES] = {
  [DRIVE_DISK] = { CHANNEL_DISK_READ, CHANNEL_DISK_WRITE },
  [DRIVE_CDROM] = { CHANNEL_CD_READ, N_CHANNELS },
  [DRIVE_FLOPPY] = { CHANNEL_FLOPPY_READ, CHANNEL_FLOPPY_WRITE },
};

/* Decides about the file that the O_PATH descriptor holds. */
static gboolean
decide_medium (Guard *guard, const char *machine, const Label *label, ProtocolDrive kind, const char *path, int fd,
               gboolean *inout_writable, GError **error)
{
  g_autofree char *by_fd = g_strdup_printf ("/proc/self/fd/%d", fd);
  Label medium;

  if (kind == DRIVE_CDROM || access (by_fd, W_OK) < 0)
    *inout_writable = FALSE;
  media_label (guard->media, path, fd, &medium);
  if (!guard_decide (guard, channels[kind].read, machine, path, &medium, label, NULL, error))
    return FALSE;
  if (!*inout_writable)
    return TRUE;
  /* What a machine can write to may hold all that it knows: the record is raised before the first byte. */
  if (!media_raise (guard->media, path, fd, label, error))
    return FALSE;
  media_label (guard->media, path, fd, &medium);
  return guard_decide (guard, channels[kind].write, machine, path, label, &medium, NULL, error);
}

static int
open_path (const char *path, GError **error)
{
  int fd = open (path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;

  if (fd < 0)
    return failed (error, "cannot be opened", path);
  if (fstat (fd, &info) < 0 || !S_ISREG (info.st_mode))
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s is no plain file", path);
      close (fd);
      return -1;
    }
  return fd;
}

gboolean
broker_check_medium (Guard *guard, const char *machine, const Label *label, ProtocolDrive kind, const char *path,
                     gboolean *inout_writable, GError **error)
{
  g_auto (AutoFd) fd = open_path (path, error);

  return fd >= 0 && decide_medium (guard, machine, label, kind, path, fd, inout_writable, error);
}

int
broker_open_medium (Guard *guard, const char *machine, const Label *label, ProtocolDrive kind, const char *path,
                    gboolean *inout_writable, GError **error)
{
  g_auto (AutoFd) path_fd = open_path (path, error);
  g_autofree char *by_fd = NULL;
  int fd;

  if (path_fd < 0 || !decide_medium (guard, machine, label, kind, path, path_fd, inout_writable, error))
    return -1;
  by_fd = g_strdup_printf ("/proc/self/fd/%d", path_fd);
  fd = open (by_fd, (*inout_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  return fd < 0 ? failed (error, "cannot be opened", path) : fd;
}

static int
memory_file (const char *name, guint64 n_bytes, int seals, GError **error)
{
  int fd = memfd_create (name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

  if (fd < 0 || ftruncate (fd, (off_t) n_bytes) < 0 || fcntl (fd, F_ADD_SEALS, seals) < 0)
    {
      failed (error, "no memory file", name);
      if (fd >= 0)
        close (fd);
      return -1;
    }
  return fd;
}

int
broker_memory_file (const char *name, guint64 n_bytes, GError **error)
{
  return memory_file (name, n_bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, error);
}

int
broker_growless_file (const char *name, guint64 n_bytes, GError **error)
{
  return memory_file (name, n_bytes, F_SEAL_GROW, error);
}

int
broker_read_only_view (int fd, GError **error)
{
  g_autofree char *by_fd = g_strdup_printf ("/proc/self/fd/%d", fd);
  int view = open (by_fd, O_RDONLY | O_CLOEXEC);

  return view < 0 ? failed (error, "cannot be opened for reading", by_fd) : view;
}

int
broker_event (GError **error)
{
  int fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);

  return fd < 0 ? failed (error, "cannot be made", "event") : fd;
}

gboolean
broker_socket_pair (int type, int ret_fds[2], GError **error)
{
  if (socketpair (AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) == 0)
    return TRUE;
  failed (error, "cannot be made", "socket pair");
  return FALSE;
}

int
broker_open_folder (const char *path, GError **error)
{
  /* The path was made real when the folder was registered: a link on it is new, and not what was labelled. */
  struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
  int fd = (int) syscall (SYS_openat2, AT_FDCWD, path, &how, sizeof how);

  return fd < 0 ? failed (error, "the shared folder cannot be opened", path) : fd;
}

int
broker_open_firmware (const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (BULKHEAD_SEABIOS, name, NULL);
  int fd = open (path, O_RDONLY | O_CLOEXEC);

  return fd < 0 ? failed (error, "the firmware cannot be read; install the package seabios", path) : fd;
}

int
broker_create (const char *path, GError **error)
{
  int fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  return fd < 0 ? failed (error, "cannot be made", path) : fd;
}

int
broker_create_unnamed (const char *folder)
{
  return open (folder, O_RDWR | O_TMPFILE | O_EXCL | O_CLOEXEC, 0600);
}

int
broker_open_target (const char *path, GError **error)
{
  int fd = open (path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
  struct stat info;

  if (fd < 0)
    return failed (error, "cannot be written", path);
  if (fstat (fd, &info) < 0 || !S_ISREG (info.st_mode))
    {
      close (fd);
      errno = EINVAL;
      return failed (error, "cannot be written", path);
    }
  return fd;
}

int
broker_open_source (const char *path, GError **error)
{
  g_auto (AutoFd) by_path = open_path (path, error);
  g_autofree char *by_fd = NULL;
  int fd;

  if (by_path < 0)
    return -1;
  by_fd = g_strdup_printf ("/proc/self/fd/%d", by_path);
  fd = open (by_fd, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? failed (error, "cannot be opened", path) : fd;
}

int
broker_open_own (const char *path, gboolean create, GError **error)
{
  int fd = open (path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0), 0600);

  return fd < 0 ? failed (error, "cannot be opened", path) : fd;
}

gboolean
broker_lock (int fd, const char *path, gboolean writable, GError **error)
{
  struct flock lock = { .l_type = (short) (writable ? F_WRLCK : F_RDLCK), .l_whence = SEEK_SET };

  if (fcntl (fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
    return TRUE;
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE, "%s: another machine or program is using it; stop that first", path);
  return FALSE;
}
