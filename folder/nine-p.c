/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Message numbers and layouts: the 9P2000.L protocol as the Linux client speaks it (Documentation/filesystems/9p and the
 * protocol text of diod).  A fid is an O_PATH descriptor, with the folder and name that led to it: there is no /proc here
 * to open the descriptor itself again, so a file is opened by its name and compared with what the fid holds. */
#include "nine-p.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum
{
  RLERROR = 7, TSTATFS = 8, TLOPEN = 12, TLCREATE = 14, TSYMLINK = 16, TMKNOD = 18, TRENAME = 20, TREADLINK = 22, TGETATTR = 24,
  TSETATTR = 26, TXATTRWALK = 30, TREADDIR = 40, TFSYNC = 50, TLOCK = 52, TGETLOCK = 54, TLINK = 70, TMKDIR = 72, TRENAMEAT = 74,
  TUNLINKAT = 76, TVERSION = 100, TATTACH = 104, TFLUSH = 108, TWALK = 110, TREAD = 116, TWRITE = 118, TCLUNK = 120, TREMOVE = 122,
};

enum { HEADER = 7, MAX_WALK = 16, MIN_MESSAGE = 4096, IO_OVERHEAD = 24, NO_TAG = 0xffff };

/* Linux' numbers on x86, as the protocol has them, whatever the host. */
enum { L_WRONLY = 1, L_RDWR = 2, L_CREAT = 0100, L_EXCL = 0200, L_TRUNC = 01000, L_APPEND = 02000, L_DIRECTORY = 0200000 };
enum { SETATTR_MODE = 1, SETATTR_UID = 2, SETATTR_GID = 4, SETATTR_SIZE = 8, SETATTR_ATIME = 16, SETATTR_MTIME = 32, SETATTR_ATIME_SET = 128, SETATTR_MTIME_SET = 256 };

typedef struct
{
  bool     used;
  uint32_t id;
  int      path;                /* O_PATH */
  int      file;                /* opened for input or output; -1 */
  int      parent;              /* O_PATH of the folder it was found in; -1 for the root */
  char     name[256];
} Fid;

struct NineP
{
  int      root;
  bool     writable;
  uint32_t max_message;
  Fid      fids[NINE_P_MAX_FIDS];
};

/* What is left of a request, or room for an answer; `bad` once something did not fit. */
typedef struct
{
  uint8_t *at, *end;
  bool     bad;
} Cursor;

/* --- numbers ----------------------------------------------------------------------------------------------------- */

static uint64_t
get (Cursor *cursor, unsigned n_bytes)
{
  uint64_t value = 0;

  if (cursor->bad || (size_t) (cursor->end - cursor->at) < n_bytes)
    {
      cursor->bad = true;
      return 0;
    }
  for (unsigned i = 0; i < n_bytes; i++)
    value |= (uint64_t) *cursor->at++ << (8 * i);
  return value;
}

static void
put (Cursor *cursor, unsigned n_bytes, uint64_t value)
{
  if (cursor->bad || (size_t) (cursor->end - cursor->at) < n_bytes)
    {
      cursor->bad = true;
      return;
    }
  for (unsigned i = 0; i < n_bytes; i++)
    *cursor->at++ = (uint8_t) (value >> (8 * i));
}

static void
put_bytes (Cursor *cursor, const void *bytes, size_t n_bytes)
{
  if (cursor->bad || (size_t) (cursor->end - cursor->at) < n_bytes)
    {
      cursor->bad = true;
      return;
    }
  memcpy (cursor->at, bytes, n_bytes);
  cursor->at += n_bytes;
}

static void
put_string (Cursor *cursor, const char *text)
{
  put (cursor, 2, strlen (text));
  put_bytes (cursor, text, strlen (text));
}

/* A text of at most n - 1 bytes without NUL inside. */
static void
get_string (Cursor *cursor, char *ret_text, size_t n)
{
  size_t length = get (cursor, 2);

  ret_text[0] = 0;
  if (cursor->bad || length >= n || (size_t) (cursor->end - cursor->at) < length || memchr (cursor->at, 0, length))
    {
      cursor->bad = true;
      return;
    }
  memcpy (ret_text, cursor->at, length);
  ret_text[length] = 0;
  cursor->at += length;
}

/* One component: no slash, not empty, not a dot name. */
static bool
name_is_sound (const char *name)
{
  return *name && !strchr (name, '/') && strcmp (name, ".") != 0 && strcmp (name, "..") != 0;
}

/* --- fids -------------------------------------------------------------------------------------------------------- */

static Fid *
find (NineP *self, uint32_t id)
{
  for (unsigned i = 0; i < NINE_P_MAX_FIDS; i++)
    if (self->fids[i].used && self->fids[i].id == id)
      return &self->fids[i];
  return NULL;
}

static void
drop (Fid *fid)
{
  if (fid->path >= 0)
    close (fid->path);
  if (fid->file >= 0)
    close (fid->file);
  if (fid->parent >= 0)
    close (fid->parent);
  *fid = (Fid) { .path = -1, .file = -1, .parent = -1 };
}

/* Takes the descriptors over. -EBADF when the id is in use, -EMFILE when there are no more. */
static int
bind_fid (NineP *self, uint32_t id, int path, int parent, const char *name)
{
  int result = find (self, id) ? -EBADF : -EMFILE;

  for (unsigned i = 0; result == -EMFILE && i < NINE_P_MAX_FIDS; i++)
    if (!self->fids[i].used)
      {
        self->fids[i] = (Fid) { true, id, path, -1, parent, "" };
        memcpy (self->fids[i].name, name, strlen (name) + 1);
        return 0;
      }
  close (path);
  if (parent >= 0)
    close (parent);
  return result;
}

static int
open_beneath (int directory, const char *name, uint64_t flags, uint64_t mode)
{
  struct open_how how = { .flags = flags | O_CLOEXEC | O_NOFOLLOW, .mode = mode,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };
  long fd = syscall (SYS_openat2, directory, name, &how, sizeof how);

  return fd < 0 ? -errno : (int) fd;
}

static void
put_qid (Cursor *out, const struct stat *status)
{
  put (out, 1, S_ISDIR (status->st_mode) ? 0x80 : S_ISLNK (status->st_mode) ? 0x02 : 0);
  put (out, 4, (uint32_t) (status->st_mtim.tv_sec ^ status->st_mtim.tv_nsec));
  put (out, 8, status->st_ino);
}

static int
stat_of (int path, struct stat *ret)
{
  return fstatat (path, "", ret, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int
put_qid_of (Cursor *out, int path)
{
  struct stat status;
  int result = stat_of (path, &status);

  if (result == 0)
    put_qid (out, &status);
  return result;
}

/* What a guest may meet: plain files, folders, symbolic links.  A FIFO would block the server, a device is a device. */
static bool
kind_is_served (const struct stat *status)
{
  return S_ISREG (status->st_mode) || S_ISDIR (status->st_mode) || S_ISLNK (status->st_mode);
}

/* --- requests ------------------------------------------------------------------------------------------------------ */

static int
do_version (NineP *self, Cursor *in, Cursor *out)
{
  uint32_t size = (uint32_t) get (in, 4);
  char version[32];

  get_string (in, version, sizeof version);
  if (in->bad || size < MIN_MESSAGE)
    return -EINVAL;
  for (unsigned i = 0; i < NINE_P_MAX_FIDS; i++)
    if (self->fids[i].used)
      drop (&self->fids[i]);
  self->max_message = size < NINE_P_MAX_MESSAGE ? size : NINE_P_MAX_MESSAGE;
  put (out, 4, self->max_message);
  put_string (out, strcmp (version, "9P2000.L") == 0 ? version : "unknown");
  return 0;
}

static int
do_attach (NineP *self, Cursor *in, Cursor *out)
{
  uint32_t id = (uint32_t) get (in, 4);
  int path, result;

  if (in->bad)
    return -EINVAL;
  path = open_beneath (self->root, ".", O_PATH | O_DIRECTORY, 0);
  if (path < 0)
    return path;
  result = put_qid_of (out, path);
  if (result < 0)
    {
      close (path);
      return result;
    }
  return bind_fid (self, id, path, -1, "");
}

/* The first name that is not there ends the walk: an error only when it is the first. */
static int
do_walk (NineP *self, Cursor *in, Cursor *out)
{
  uint32_t id = (uint32_t) get (in, 4), new_id = (uint32_t) get (in, 4);
  unsigned n = (unsigned) get (in, 2), walked;
  Fid *fid = find (self, id);
  uint8_t *count = out->at;
  int at, parent = -1, result = 0;
  char last[256] = "";

  if (in->bad || n > MAX_WALK)
    return -EINVAL;
  if (!fid || (new_id != id && find (self, new_id)))
    return -EBADF;
  if (fid->file >= 0 && n)
    return -EBUSY;
  put (out, 2, 0);
  at = fcntl (fid->path, F_DUPFD_CLOEXEC, 0);
  if (at < 0)
    return -errno;
  if (fid->parent >= 0)
    {
      parent = fcntl (fid->parent, F_DUPFD_CLOEXEC, 0);
      memcpy (last, fid->name, sizeof last);
    }
  for (walked = 0; walked < n; walked++)
    {
      char name[256];
      struct stat status;
      int next;

      get_string (in, name, sizeof name);
      next = in->bad ? -EINVAL : name_is_sound (name) ? open_beneath (at, name, O_PATH, 0) : -ENOENT;
      result = next < 0 ? next : stat_of (next, &status);
      if (result == 0 && !kind_is_served (&status))
        result = -ENOENT;
      if (result < 0)
        {
          if (next >= 0)
            close (next);
          break;
        }
      if (parent >= 0)
        close (parent);
      parent = at;
      at = next;
      memcpy (last, name, sizeof last);
      put_qid (out, &status);
    }
  if (walked < n)
    {
      close (at);
      if (parent >= 0)
        close (parent);
      if (walked == 0 || in->bad)
        return result;
    }
  else
    {
      if (new_id == id)
        drop (fid);
      result = bind_fid (self, new_id, at, parent, last);
      if (result < 0)
        return result;
    }
  count[0] = (uint8_t) walked;
  return 0;
}

/* The file of a fid, by its name; -ESTALE when that names another by now. To be closed. */
static int
open_fid (const Fid *fid, int flags)
{
  struct stat held, opened;
  int fd = fid->parent < 0 ? open_beneath (fid->path, ".", (uint64_t) flags, 0)
                           : open_beneath (fid->parent, fid->name, (uint64_t) (flags & ~O_TRUNC), 0);

  if (fd < 0)
    return fd;
  if (stat_of (fid->path, &held) == 0 && fstat (fd, &opened) == 0 && held.st_ino == opened.st_ino && held.st_dev == opened.st_dev)
    {
      if (!(flags & O_TRUNC) || ftruncate (fd, 0) == 0)
        return fd;
    }
  close (fd);
  return -ESTALE;
}

static int
open_flags (NineP *self, uint32_t asked, int *ret_flags)
{
  int flags = (asked & 3) == L_RDWR ? O_RDWR : (asked & 3) == L_WRONLY ? O_WRONLY : O_RDONLY;

  if ((asked & 3) == 3)
    return -EINVAL;
  if (asked & L_TRUNC)
    flags |= O_TRUNC;
  if (asked & L_EXCL)
    flags |= O_EXCL;
  if (asked & L_DIRECTORY)
    flags |= O_DIRECTORY;
  /* O_APPEND would make the offsets of writes meaningless: the client sends them. */
  if (!self->writable && (flags & (O_RDWR | O_WRONLY | O_TRUNC)))
    return -EROFS;
  *ret_flags = flags | O_NONBLOCK | O_NOCTTY;
  return 0;
}

static int
do_lopen (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  uint32_t asked = (uint32_t) get (in, 4);
  struct stat status;
  int flags, result;

  if (in->bad)
    return -EINVAL;
  if (!fid || fid->file >= 0)
    return -EBADF;
  result = open_flags (self, asked, &flags);
  if (result == 0)
    result = stat_of (fid->path, &status);
  if (result < 0)
    return result;
  if (S_ISDIR (status.st_mode))
    {
      if (flags & (O_WRONLY | O_RDWR))
        return -EISDIR;
      fid->file = open_beneath (fid->path, ".", O_RDONLY | O_DIRECTORY, 0);
    }
  else if (S_ISREG (status.st_mode))
    fid->file = open_fid (fid, flags & ~O_EXCL);
  else
    return -ELOOP;
  if (fid->file < 0)
    {
      result = fid->file;
      fid->file = -1;
      return result;
    }
  put_qid (out, &status);
  put (out, 4, self->max_message - IO_OVERHEAD);
  return 0;
}

static int
do_lcreate (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  char name[256];
  uint32_t asked, mode;
  int flags, file, path, parent, result;

  get_string (in, name, sizeof name);
  asked = (uint32_t) get (in, 4);
  mode = (uint32_t) get (in, 4);
  if (in->bad || !name_is_sound (name))
    return -EINVAL;
  if (!fid || fid->file >= 0)
    return -EBADF;
  if (!self->writable)
    return -EROFS;
  result = open_flags (self, asked, &flags);
  if (result < 0)
    return result;
  file = open_beneath (fid->path, name, (uint64_t) (flags | O_CREAT), mode & 0777);
  if (file < 0)
    return file;
  path = open_beneath (fid->path, name, O_PATH, 0);
  result = path < 0 ? path : put_qid_of (out, path);
  if (result < 0)
    {
      close (file);
      if (path >= 0)
        close (path);
      return result;
    }
  parent = fid->path;
  if (fid->parent >= 0)
    close (fid->parent);
  fid->parent = parent;
  fid->path = path;
  fid->file = file;
  memcpy (fid->name, name, sizeof fid->name);
  put (out, 4, self->max_message - IO_OVERHEAD);
  return 0;
}

static int
do_read (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  uint64_t offset = get (in, 8);
  uint32_t n = (uint32_t) get (in, 4);
  uint8_t *count = out->at;
  ssize_t got;

  if (in->bad || offset > INT64_MAX)
    return -EINVAL;
  if (!fid || fid->file < 0)
    return -EBADF;
  put (out, 4, 0);
  if (n > (size_t) (out->end - out->at))
    n = (uint32_t) (out->end - out->at);
  got = pread (fid->file, out->at, n, (off_t) offset);
  if (got < 0)
    return -errno;
  out->at += got;
  for (unsigned i = 0; i < 4; i++)
    count[i] = (uint8_t) ((uint64_t) got >> (8 * i));
  return 0;
}

static int
do_write (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  uint64_t offset = get (in, 8);
  uint32_t n = (uint32_t) get (in, 4);
  ssize_t done;

  if (in->bad || offset > INT64_MAX || n > (size_t) (in->end - in->at))
    return -EINVAL;
  if (!fid || fid->file < 0)
    return -EBADF;
  if (!self->writable)
    return -EROFS;
  done = pwrite (fid->file, in->at, n, (off_t) offset);
  if (done < 0)
    return -errno;
  put (out, 4, (uint64_t) done);
  return 0;
}

static int
do_readdir (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  uint64_t offset = get (in, 8);
  uint32_t n = (uint32_t) get (in, 4);
  uint8_t *count = out->at, *first;
  _Alignas (8) uint8_t entries[8192];
  Cursor limited;

  if (in->bad || offset > INT64_MAX)
    return -EINVAL;
  if (!fid || fid->file < 0)
    return -EBADF;
  put (out, 4, 0);
  if (out->bad)
    return -EINVAL;
  first = out->at;
  limited = *out;
  if (n < (size_t) (limited.end - limited.at))
    limited.end = limited.at + n;
  if (lseek (fid->file, (off_t) offset, SEEK_SET) < 0)
    return -errno;
  for (bool full = false; !full; )
    {
      long got = syscall (SYS_getdents64, fid->file, entries, sizeof entries);

      if (got < 0)
        return -errno;
      if (got == 0)
        break;
      for (long at = 0; at < got && !full; )
        {
          /* linux_dirent64: inode 8, next offset 8, length 2, kind 1, name. */
          uint64_t inode, next;
          uint16_t length;
          const char *name = (const char *) entries + at + 19;
          uint8_t kind = entries[at + 18], *start = limited.at;

          memcpy (&inode, entries + at, 8);
          memcpy (&next, entries + at + 8, 8);
          memcpy (&length, entries + at + 16, 2);
          at += length;
          put (&limited, 1, kind == DT_DIR ? 0x80 : kind == DT_LNK ? 0x02 : 0);
          put (&limited, 4, 0);
          put (&limited, 8, inode);
          put (&limited, 8, next);
          put (&limited, 1, kind);
          put_string (&limited, name);
          if (limited.bad)
            {
              limited.at = start;
              full = true;
            }
        }
    }
  out->at = limited.at;
  for (unsigned i = 0; i < 4; i++)
    count[i] = (uint8_t) ((uint64_t) (out->at - first) >> (8 * i));
  return 0;
}

static int
do_getattr (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  struct stat status;
  int result;

  if (!fid || in->bad)
    return -EBADF;
  result = stat_of (fid->path, &status);
  if (result < 0)
    return result;
  put (out, 8, 0x7ff);          /* the basic fields */
  put_qid (out, &status);
  put (out, 4, status.st_mode);
  put (out, 4, status.st_uid);
  put (out, 4, status.st_gid);
  put (out, 8, status.st_nlink);
  put (out, 8, 0);
  put (out, 8, (uint64_t) status.st_size);
  put (out, 8, (uint64_t) status.st_blksize);
  put (out, 8, (uint64_t) status.st_blocks);
  put (out, 8, (uint64_t) status.st_atim.tv_sec);
  put (out, 8, (uint64_t) status.st_atim.tv_nsec);
  put (out, 8, (uint64_t) status.st_mtim.tv_sec);
  put (out, 8, (uint64_t) status.st_mtim.tv_nsec);
  put (out, 8, (uint64_t) status.st_ctim.tv_sec);
  put (out, 8, (uint64_t) status.st_ctim.tv_nsec);
  for (unsigned i = 0; i < 4; i++)
    put (out, 8, 0);            /* birth time, generation, data version */
  return 0;
}

static int
do_setattr (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  uint32_t valid = (uint32_t) get (in, 4), mode = (uint32_t) get (in, 4);
  struct timespec times[2] = { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } };
  struct stat status;
  uint64_t size;
  int result, fd;

  get (in, 8);                  /* owner and group are not given away */
  size = get (in, 8);
  for (unsigned i = 0; i < 2; i++)
    {
      uint64_t seconds = get (in, 8), nanoseconds = get (in, 8);
      uint32_t now = i ? SETATTR_MTIME : SETATTR_ATIME, set = i ? SETATTR_MTIME_SET : SETATTR_ATIME_SET;

      if (valid & now)
        times[i] = valid & set ? (struct timespec) { (time_t) seconds, (long) (nanoseconds % 1000000000) }
                               : (struct timespec) { 0, UTIME_NOW };
    }
  if (in->bad || size > INT64_MAX)
    return -EINVAL;
  if (!fid)
    return -EBADF;
  if (!self->writable)
    return -EROFS;
  result = stat_of (fid->path, &status);
  if (result < 0)
    return result;
  if (!S_ISREG (status.st_mode) && !S_ISDIR (status.st_mode))
    return -EOPNOTSUPP;
  fd = open_fid (fid, (valid & SETATTR_SIZE ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return fd;
  if (valid & SETATTR_MODE && fchmod (fd, mode & 0777) < 0)
    result = -errno;
  if (result == 0 && valid & SETATTR_SIZE && ftruncate (fd, (off_t) size) < 0)
    result = -errno;
  if (result == 0 && (valid & (SETATTR_ATIME | SETATTR_MTIME)) && futimens (fd, times) < 0)
    result = -errno;
  close (fd);
  return result;
}

static int
do_mkdir (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  char name[256];
  uint32_t mode;
  int path, result;

  get_string (in, name, sizeof name);
  mode = (uint32_t) get (in, 4);
  if (in->bad || !name_is_sound (name))
    return -EINVAL;
  if (!fid)
    return -EBADF;
  if (!self->writable)
    return -EROFS;
  if (mkdirat (fid->path, name, mode & 0777) < 0)
    return -errno;
  path = open_beneath (fid->path, name, O_PATH, 0);
  if (path < 0)
    return path;
  result = put_qid_of (out, path);
  close (path);
  return result;
}

static int
do_unlinkat (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  char name[256];
  uint32_t flags;

  get_string (in, name, sizeof name);
  flags = (uint32_t) get (in, 4);
  if (in->bad || !name_is_sound (name))
    return -EINVAL;
  if (!fid)
    return -EBADF;
  if (!self->writable)
    return -EROFS;
  return unlinkat (fid->path, name, flags & AT_REMOVEDIR) < 0 ? -errno : 0;
}

static bool
is_same (int a, int b)
{
  struct stat first, second;

  return a >= 0 && stat_of (a, &first) == 0 && stat_of (b, &second) == 0 && first.st_ino == second.st_ino && first.st_dev == second.st_dev;
}

/* Fids that were found under the old name are found under the new one. */
static void
follow_rename (NineP *self, const Fid *from, const char *name, const Fid *to, const char *new_name)
{
  for (unsigned i = 0; i < NINE_P_MAX_FIDS; i++)
    {
      Fid *fid = &self->fids[i];
      int parent;

      if (!fid->used || strcmp (fid->name, name) != 0 || !is_same (fid->parent, from->path)
          || (parent = fcntl (to->path, F_DUPFD_CLOEXEC, 0)) < 0)
        continue;
      close (fid->parent);
      fid->parent = parent;
      memcpy (fid->name, new_name, strlen (new_name) + 1);
    }
}

static int
do_renameat (NineP *self, Cursor *in, Cursor *out)
{
  Fid *from = find (self, (uint32_t) get (in, 4)), *to;
  char name[256], new_name[256];

  get_string (in, name, sizeof name);
  to = find (self, (uint32_t) get (in, 4));
  get_string (in, new_name, sizeof new_name);
  if (in->bad || !name_is_sound (name) || !name_is_sound (new_name))
    return -EINVAL;
  if (!from || !to)
    return -EBADF;
  if (!self->writable)
    return -EROFS;
  if (renameat (from->path, name, to->path, new_name) < 0)
    return -errno;
  follow_rename (self, from, name, to, new_name);
  return 0;
}

static int
do_readlink (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));
  char target[1024];
  ssize_t n;

  if (!fid || in->bad)
    return -EBADF;
  n = readlinkat (fid->path, "", target, sizeof target - 1);
  if (n < 0)
    return -errno;
  target[n] = 0;
  put_string (out, target);
  return 0;
}

static int
do_statfs (NineP *self, Cursor *in, Cursor *out)
{
  struct statfs status;

  if (!find (self, (uint32_t) get (in, 4)) || in->bad)
    return -EBADF;
  if (fstatfs (self->root, &status) < 0)
    return -errno;
  put (out, 4, 0x01021997);     /* V9FS_MAGIC */
  put (out, 4, (uint64_t) status.f_bsize);
  put (out, 8, status.f_blocks);
  put (out, 8, status.f_bfree);
  put (out, 8, status.f_bavail);
  put (out, 8, status.f_files);
  put (out, 8, status.f_ffree);
  put (out, 8, 0);
  put (out, 4, 255);
  return 0;
}

static int
do_fsync (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));

  if (!fid || fid->file < 0)
    return -EBADF;
  return fsync (fid->file) < 0 ? -errno : 0;
}

static int
do_clunk (NineP *self, Cursor *in, Cursor *out)
{
  Fid *fid = find (self, (uint32_t) get (in, 4));

  if (!fid || in->bad)
    return -EBADF;
  drop (fid);
  return 0;
}

/* A guest's locks hold among its own processes, which its kernel sees to. */
static int
do_lock (NineP *self, Cursor *in, Cursor *out)
{
  if (!find (self, (uint32_t) get (in, 4)) || in->bad)
    return -EBADF;
  put (out, 1, 0);
  return 0;
}

static int
do_flush (NineP *self, Cursor *in, Cursor *out)
{
  return 0;                     /* requests are answered in order: what was to be flushed is answered already */
}

static const struct
{
  uint8_t type;
  int   (*handle) (NineP *self, Cursor *in, Cursor *out);
} handlers[] = {
  { TSTATFS, do_statfs }, { TLOPEN, do_lopen }, { TLCREATE, do_lcreate }, { TREADLINK, do_readlink }, { TGETATTR, do_getattr },
  { TSETATTR, do_setattr }, { TREADDIR, do_readdir }, { TFSYNC, do_fsync }, { TLOCK, do_lock }, { TMKDIR, do_mkdir },
  { TRENAMEAT, do_renameat }, { TUNLINKAT, do_unlinkat }, { TVERSION, do_version }, { TATTACH, do_attach }, { TFLUSH, do_flush },
  { TWALK, do_walk }, { TREAD, do_read }, { TWRITE, do_write }, { TCLUNK, do_clunk },
};

NineP *
nine_p_new (int root, bool writable)
{
  NineP *self = calloc (1, sizeof *self);

  if (!self)
    return NULL;
  self->root = root;
  self->writable = writable;
  for (unsigned i = 0; i < NINE_P_MAX_FIDS; i++)
    self->fids[i] = (Fid) { .path = -1, .file = -1, .parent = -1 };
  return self;
}

void
nine_p_free (NineP *self)
{
  for (unsigned i = 0; self && i < NINE_P_MAX_FIDS; i++)
    if (self->fids[i].used)
      drop (&self->fids[i]);
  free (self);
}

size_t
nine_p_handle (NineP *self, const uint8_t *request, size_t n_bytes, uint8_t *ret_answer)
{
  Cursor in = { (uint8_t *) request, (uint8_t *) request + n_bytes, false };
  Cursor out = { ret_answer + HEADER, ret_answer + NINE_P_MAX_MESSAGE, false };
  uint32_t size = (uint32_t) get (&in, 4);
  uint8_t type = (uint8_t) get (&in, 1);
  uint16_t tag = (uint16_t) get (&in, 2);
  int result = -EOPNOTSUPP;
  size_t n;

  if (in.bad || size != n_bytes || n_bytes > NINE_P_MAX_MESSAGE)
    return 0;
  if (type != TVERSION && !self->max_message)
    return 0;
  if (self->max_message)
    out.end = ret_answer + self->max_message;
  for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
    if (handlers[i].type == type)
      {
        result = handlers[i].handle (self, &in, &out);
        break;
      }
  if (result == 0 && (in.bad || out.bad))
    result = -EINVAL;
  if (result < 0)
    {
      out = (Cursor) { ret_answer + HEADER, ret_answer + NINE_P_MAX_MESSAGE, false };
      put (&out, 4, (uint64_t) -result);
      type = RLERROR - 1;
    }
  n = (size_t) (out.at - ret_answer);
  out.at = ret_answer;
  put (&out, 4, n);
  put (&out, 1, type + 1u);
  put (&out, 2, tag);
  return n;
}
