/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A file in memory behind the seam of the image formats: it can log every change, fail the n-th call, and lose power. */
#pragma once

#include "image-io.h"

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum { LOGGED_WRITE, LOGGED_FLUSH, LOGGED_TRUNCATE, LOGGED_PUNCH } LoggedKind;

typedef struct
{
  LoggedKind kind;
  uint64_t   offset, n_bytes;   /* TRUNCATE: n_bytes is the new size */
  uint8_t   *bytes;
} Logged;

typedef struct
{
  uint8_t *bytes;
  uint64_t size, allocated;
} MemoryFile;

typedef struct
{
  ImageIo     parent;
  MemoryFile *file;             /* borrowed: the test looks at it after the image was closed */
  GArray     *log;              /* of Logged, or NULL */
  unsigned    n_calls;          /* reads included */
  unsigned    fail_call;        /* number of the call that fails, counted from 1; 0: none */
  int         fail_error;
  bool        fail_for_ever;
  bool        failed;
  bool        flush_failed;
  uint64_t    n_max;            /* writes past this size give -ENOSPC; 0: none */
} MemoryIo;

static inline void
memory_file_resize (MemoryFile *self, uint64_t n_bytes)
{
  g_assert_cmpuint (n_bytes, <, UINT64_C (1) << 32);
  if (n_bytes > self->allocated)
    {
      uint64_t larger = MAX (n_bytes, self->allocated * 2);

      self->bytes = g_realloc (self->bytes, larger);
      memset (self->bytes + self->allocated, 0, larger - self->allocated);
      self->allocated = larger;
    }
  if (n_bytes < self->size)
    memset (self->bytes + n_bytes, 0, self->size - n_bytes);
  self->size = n_bytes;
}

static inline void
memory_file_write (MemoryFile *self, uint64_t offset, const uint8_t *bytes, uint64_t n_bytes)
{
  if (n_bytes == 0)
    return;
  if (offset + n_bytes > self->size)
    memory_file_resize (self, offset + n_bytes);
  memcpy (self->bytes + offset, bytes, n_bytes);
}

static inline void
memory_file_punch (MemoryFile *self, uint64_t offset, uint64_t n_bytes)
{
  if (offset < self->size)
    memset (self->bytes + offset, 0, MIN (n_bytes, self->size - offset));
}

static inline void
memory_file_copy (MemoryFile *self, const MemoryFile *from)
{
  memory_file_resize (self, 0);
  memory_file_write (self, 0, from->bytes, from->size);
}

static inline void
memory_file_clear (MemoryFile *self)
{
  g_clear_pointer (&self->bytes, g_free);
  self->size = self->allocated = 0;
}

static inline int
memory_io_call (MemoryIo *self)
{
  self->n_calls++;
  if (self->fail_call && (self->n_calls == self->fail_call || (self->fail_for_ever && self->n_calls > self->fail_call)))
    {
      self->failed = true;
      return self->fail_error;
    }
  return 0;
}

static inline void
memory_io_log (MemoryIo *self, LoggedKind kind, uint64_t offset, const void *bytes, uint64_t n_bytes)
{
  Logged logged = { kind, offset, n_bytes, bytes ? g_memdup2 (bytes, n_bytes) : NULL };

  if (self->log)
    g_array_append_val (self->log, logged);
  else
    g_free (logged.bytes);
}

static inline void
memory_io_clear_logged (gpointer data)
{
  g_free (((Logged *) data)->bytes);
}

static inline int
memory_io_read (ImageIo *io, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  MemoryIo *self = (MemoryIo *) io;
  int result = memory_io_call (self);
  uint64_t n;

  if (result < 0)
    return result;
  n = offset < self->file->size ? MIN (n_bytes, self->file->size - offset) : 0;
  if (n)
    memcpy (ret_bytes, self->file->bytes + offset, n);
  memset ((uint8_t *) ret_bytes + n, 0, n_bytes - n);
  return 0;
}

static inline int
memory_io_write (ImageIo *io, uint64_t offset, const void *bytes, size_t n_bytes)
{
  MemoryIo *self = (MemoryIo *) io;
  int result = memory_io_call (self);

  if (io->read_only)
    return -EROFS;
  if (self->n_max && offset + n_bytes > self->n_max)
    return -ENOSPC;
  if (result < 0)
    {
      /* Half of it may have arrived. */
      memory_file_write (self->file, offset, bytes, n_bytes / 1024 * 512);
      return result;
    }
  memory_io_log (self, LOGGED_WRITE, offset, bytes, n_bytes);
  memory_file_write (self->file, offset, bytes, n_bytes);
  return 0;
}

static inline int
memory_io_flush (ImageIo *io)
{
  MemoryIo *self = (MemoryIo *) io;
  int result = memory_io_call (self);

  if (result < 0)
    self->flush_failed = true;
  if (self->flush_failed)
    return result < 0 ? result : -EIO;
  memory_io_log (self, LOGGED_FLUSH, 0, NULL, 0);
  return 0;
}

static inline int
memory_io_truncate (ImageIo *io, uint64_t n_bytes)
{
  MemoryIo *self = (MemoryIo *) io;
  int result = memory_io_call (self);

  if (result < 0)
    return result;
  if (self->n_max && n_bytes > self->n_max)
    return -ENOSPC;
  memory_io_log (self, LOGGED_TRUNCATE, 0, NULL, n_bytes);
  memory_file_resize (self->file, n_bytes);
  return 0;
}

static inline int
memory_io_punch (ImageIo *io, uint64_t offset, uint64_t n_bytes)
{
  MemoryIo *self = (MemoryIo *) io;
  int result = memory_io_call (self);

  if (result < 0)
    return result;
  memory_io_log (self, LOGGED_PUNCH, offset, NULL, n_bytes);
  memory_file_punch (self->file, offset, n_bytes);
  return 0;
}

static inline int
memory_io_size (ImageIo *io, uint64_t *ret_n_bytes)
{
  MemoryIo *self = (MemoryIo *) io;
  int result = memory_io_call (self);

  *ret_n_bytes = self->file->size;
  return result;
}

static inline void
memory_io_close (ImageIo *io)
{
  g_free (io);
}

static inline MemoryIo *
memory_io_new (MemoryFile *file, GArray *log)
{
  static const ImageIoClass klass = {
    .read = memory_io_read, .write = memory_io_write, .flush = memory_io_flush, .truncate = memory_io_truncate,
    .punch_hole = memory_io_punch, .size = memory_io_size, .close = memory_io_close
  };
  MemoryIo *self = g_new0 (MemoryIo, 1);

  self->parent.klass = &klass;
  self->file = file;
  self->log = log;
  return self;
}

/* --- QEMU's tools as judges ---------------------------------------------------------------------------------------- */

/* Exit status of a program without output; its words become test messages when the status is not wanted. */
static inline int
run_tool (const char *const *argv, char **ret_out)
{
  g_autofree char *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  int status = 0;

  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &error))
    g_error ("%s: %s", argv[0], error->message);
  status = WIFEXITED (status) ? WEXITSTATUS (status) : -1;
  if (status)
    g_test_message ("%s %s: %d: %s%s", argv[0], argv[1], status, out, err);
  if (ret_out)
    *ret_out = g_steal_pointer (&out);
  return status;
}

static inline bool
have_qemu (void)
{
  g_autofree char *path = g_find_program_in_path ("qemu-img");

  return path != NULL;
}

static inline char *
scratch_file (const char *name)
{
  g_autofree char *base = g_strdup_printf ("bulkhead-storage-%d-%s", getpid (), name);

  return g_build_filename (g_get_tmp_dir (), base, NULL);
}

/* 0: clean, 3: leaks.  passphrase: NULL for a plain image. */
static inline int
qemu_check (const MemoryFile *file, const char *passphrase)
{
  g_autofree char *path = scratch_file ("check.qcow2");
  g_autofree char *secret = g_strdup_printf ("secret,id=s,data=%s", passphrase ? passphrase : "");
  g_autofree char *image = g_strdup_printf ("driver=qcow2,file.filename=%s%s", path, passphrase ? ",encrypt.key-secret=s" : "");
  const char *argv[] = { "qemu-img", "check", "-q", "--object", secret, "--image-opts", image, NULL };
  int status;

  g_assert_true (g_file_set_contents (path, (const char *) file->bytes, (gssize) file->size, NULL));
  status = run_tool (argv, NULL);
  g_remove (path);
  return status;
}
