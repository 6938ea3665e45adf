/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vm-file.h"

#include "broker.h"
#include "image-convert.h"
#include "machine.h"
#include "qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* The header's text is a GKeyFile: [machine] as in the library, [disk] parent=ID of the snapshot that the disk goes on from,
 * [suspended] snapshot=ID reserved=BOOL state=HEX, and one [snapshot ID] each.  ID is the snapshot's name in qcow2's own table,
 * which everybody can read: random, so that it says nothing.  `state` is the digest that ends the memory state, so that
 * an exchanged state is noticed. */
#define MACHINE   "machine"
#define DISK      "disk"
#define SUSPENDED "suspended"
#define SNAPSHOT  "snapshot "
#define ID_PREFIX "bh-"

enum { ID_BYTES = 8, STATE_DIGEST_BYTES = 32, COPY_BYTES = 1 << 20 };

/* One look into a machine's file. */
typedef struct
{
  Guard         *guard;
  MachineRecord *record;        /* NULL while a file is imported */
  const VmKeys  *keys;          /* those given, or own */
  VmKeys        *own;
  char          *path;
  ImageIo       *io;
  BlockBackend  *image;         /* once it was needed */
  guint64        offset;        /* of the extension in the file */
  guint8        *header;        /* VM_HEADER_BYTES */
  gboolean       encrypted;
  int            slot;
  char          *text;          /* as read */
  GKeyFile      *contents;
} File;

static gboolean G_GNUC_PRINTF (3, 4)
fail (GError **error, GuardError code, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, GUARD_ERROR, (int) code, text);
  return FALSE;
}

static void
file_close (File *self)
{
  block_close (self->image);
  image_io_close (self->io);
  vm_keys_free (self->own);
  g_free (self->path);
  g_free (self->header);
  if (self->text)
    explicit_bzero (self->text, strlen (self->text));
  g_free (self->text);
  g_clear_pointer (&self->contents, g_key_file_unref);
  memset (self, 0, sizeof *self);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (File, file_close)

/* ------------------------------------------------------------------------------------------------ opening */

static gboolean
open_seam (const char *path, gboolean read_only, ImageIo **ret, GError **error)
{
  g_auto (AutoFd) fd = broker_open_own (path, FALSE, error);
  int result;

  if (fd < 0)
    return FALSE;
  result = image_io_fd_new (fd, read_only, ret);
  if (result < 0)
    return fail (error, GUARD_ERROR_FAILED, "%s: %s", path, g_strerror (-result));
  steal_fd (&fd);
  return TRUE;
}

/* Reads the header; which slot counts is found by the caller. */
static gboolean
read_header (File *self, const char *path, GError **error)
{
  g_autoptr (GError) local = NULL;
  gsize n = 0;
  int result;

  self->path = g_strdup (path);
  self->slot = -1;
  self->header = g_malloc0 (VM_HEADER_BYTES);
  if (!open_seam (path, FALSE, &self->io, error))
    return FALSE;
  result = qcow2_peek_extension (self->io, VM_HEADER_MAGIC, self->header, VM_HEADER_BYTES, &n, &self->offset);
  if (result < 0)
    return fail (error, GUARD_ERROR_FAILED, "%s: %s", path,
                 result == -ENOENT || result == -EINVAL ? "it is no Bulkhead VM file" : g_strerror (-result));
  if (vm_header_check (self->header, n, &self->encrypted, &local))
    return TRUE;
  return fail (error, GUARD_ERROR_FAILED, "%s: %s", path, local->message);
}

static gboolean
read_text (File *self, GError **error)
{
  g_autoptr (GError) local = NULL;

  self->text = vm_header_text (self->header, self->slot, self->keys, &local);
  self->contents = g_key_file_new ();
  if (!self->text || !g_key_file_load_from_data (self->contents, self->text, strlen (self->text), G_KEY_FILE_NONE, &local))
    {
      if (self->encrypted)
        return fail (error, GUARD_ERROR_FAILED, "%s: its metadata cannot be read with these keys", self->path);
      return fail (error, GUARD_ERROR_FAILED, "%s: %s", self->path, local->message);
    }
  return TRUE;
}

/* The file of a record whose metadata is exactly what was written last.  `contents` needs the keys of an encrypted file. */
static gboolean
file_open (File *self, Guard *guard, const MachineRecord *record, const VmKeys *keys, gboolean contents, GError **error)
{
  self->guard = guard;
  self->record = (MachineRecord *) record;
  self->keys = keys;
  if (record->file_format != FORMAT_QCOW2)
    return fail (error, GUARD_ERROR_FAILED, "%s is a plain disk image, no .bulkhead file; clone the VM to make one of it", record->file);
  if (!read_header (self, record->file, error))
    return FALSE;
  if (self->encrypted != record->encrypted)
    return fail (error, GUARD_ERROR_FAILED, "%s is not the file the library knows: its encryption changed; put back the right file",
                 record->file);
  if (!self->encrypted)
    {
      self->own = vm_keys_new ();
      vm_header_plain_key (guard->key, self->own);
      self->keys = self->own;
    }
  if (contents && !self->keys)
    return fail (error, GUARD_ERROR_FAILED, "VM \"%s\" is encrypted: give its passphrase (--passphrase-file FILE)", record->name);
  if (!record->file_generation)
    {
      /* It was just made: nothing has been written yet. */
      self->contents = g_key_file_new ();
      return TRUE;
    }
  self->slot = vm_header_find (self->header, record->file_digest);
  if (self->slot < 0)
    {
      int other = vm_header_find (self->header, NULL);
      guint64 found = other < 0 ? 0 : vm_header_generation (self->header, other);

      guard_record (guard, "file-differs", record->name, record->file,
                    other < 0 ? "no sound header" : found < record->file_generation ? "older header" : "changed header", NULL);
      if (other < 0)
        return fail (error, GUARD_ERROR_REFUSED, "%s: its header is damaged. Put back the newest copy of the file, or write the "
                     "header anew from the library with `check %s --repair`", record->file, record->name);
      return fail (error, GUARD_ERROR_REFUSED, "%s: its header is not the one that was written last (generation %" G_GUINT64_FORMAT
                   " instead of %" G_GUINT64_FORMAT "): %s. Put back the newest copy of the file; or write the header anew from the "
                   "library with `check %s --repair`; or `import` the file as another VM", record->file, found,
                   record->file_generation, found < record->file_generation ? "an older copy was put back" : "it was changed",
                   record->name);
    }
  return !contents || read_text (self, error);
}

static MachineRecord *
find_by_uuid (Guard *guard, const char *uuid)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, guard->machines);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (g_str_equal (machine_record (value)->uuid, uuid))
      return (MachineRecord *) machine_record (value);
  return NULL;
}

static gboolean lock_file (ImageIo **io, const char *path, gboolean read_only, GError **error);

/* depth guards against a ring of bases. */
static gboolean
open_disk (Guard *guard, const MachineRecord *record, const VmKeys *keys, gboolean read_only, gboolean with_backing, guint depth,
           BlockBackend **ret, GError **error)
{
  Qcow2Open how = { .read_only = read_only, .without_backing = TRUE };
  const char *reason = "it cannot be read";
  int result;

  *ret = NULL;
  if (depth > PROTOCOL_MAX_DEPTH)
    return fail (error, GUARD_ERROR_FAILED, "%s: too many linked clones on one another", record->file);
  if (record->encrypted)
    {
      if (!keys)
        return fail (error, GUARD_ERROR_FAILED, "VM \"%s\" is encrypted: give its passphrase (--passphrase-file FILE)", record->name);
      how.key = keys->data;
      how.n_key = sizeof keys->data;
    }
  if (with_backing && record->base)
    {
      const MachineRecord *base = find_by_uuid (guard, record->base);

      if (!base || !base->file)
        return fail (error, GUARD_ERROR_FAILED, "VM \"%s\": the VM that its disk lies over is not in the library", record->name);
      if (!open_disk (guard, base, NULL, TRUE, TRUE, depth + 1, &how.backing, error))
        return FALSE;
      how.without_backing = FALSE;
    }
  if (!lock_file (&how.io, record->file, read_only, error))
    {
      block_close (how.backing);
      return FALSE;
    }
  if (record->file_format == FORMAT_RAW)
    result = image_open_io (how.io, "raw", read_only, ret, &reason);
  else
    result = qcow2_open (&how, ret, &reason);
  if (result == 0)
    return TRUE;
  image_io_close (how.io);
  block_close (how.backing);
  return fail (error, GUARD_ERROR_FAILED, "%s: %s: %s", record->file, reason ? reason : "it cannot be read", g_strerror (-result));
}

/* Two writers destroy an image: the same lock as that of a machine that runs from it. */
static gboolean
lock_file (ImageIo **io, const char *path, gboolean read_only, GError **error)
{
  g_auto (AutoFd) fd = broker_open_own (path, FALSE, error);
  int result;

  if (fd < 0 || !broker_lock (fd, path, !read_only, error))
    return FALSE;
  result = image_io_fd_new (fd, read_only, io);
  if (result < 0)
    return fail (error, GUARD_ERROR_FAILED, "%s: %s", path, g_strerror (-result));
  steal_fd (&fd);
  return TRUE;
}

static gboolean
result_of (File *self, int result, const char *what, GError **error)
{
  return result >= 0 || fail (error, GUARD_ERROR_FAILED, "%s: %s: %s", self->path, what, g_strerror (-result));
}

/* What operations cut short left in the table: memory states and snapshots that no metadata names.  Those that other
 * programs made stay. */
static gboolean
remove_orphans (File *self, GError **error)
{
  for (unsigned i = qcow2_n_snapshots (self->image); i-- > 0;)
    {
      g_autofree char *group = NULL;
      g_autofree char *suspended = g_key_file_get_string (self->contents, SUSPENDED, "snapshot", NULL);
      Qcow2Snapshot snapshot;

      if (!result_of (self, qcow2_get_snapshot (self->image, i, &snapshot), "snapshots", error))
        return FALSE;
      group = g_strconcat (SNAPSHOT, snapshot.name, NULL);
      if (!g_str_has_prefix (snapshot.name, ID_PREFIX) || g_key_file_has_group (self->contents, group)
          || g_strcmp0 (suspended, snapshot.name) == 0)
        continue;
      if (!result_of (self, qcow2_snapshot_delete (self->image, i), "what is left of a snapshot cannot be removed", error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
need_image (File *self, GError **error)
{
  if (self->image)
    return TRUE;
  return open_disk (self->guard, self->record, self->encrypted ? self->keys : NULL, FALSE, FALSE, 0, &self->image, error)
         && remove_orphans (self, error);
}

/* ------------------------------------------------------------------------------------------------ writing metadata */

/* [machine] of the header: what belongs to this computer and this library alone is left out. */
static void
set_machine (GKeyFile *contents, const MachineRecord *record, const VmKeys *keys)
{
  static const char *const own[] = { "generation", "state", "file", "file-format", "file-generation", "file-digest", "file-label",
                                     "file-stale", "used", NULL };
  g_autoptr (GKeyFile) from = machine_record_to_key_file (record);
  g_auto (GStrv) names = g_key_file_get_keys (from, MACHINE, NULL, NULL);

  g_key_file_remove_group (contents, MACHINE, NULL);
  for (guint i = 0; names[i]; i++)
    if (!g_strv_contains (own, names[i]))
      {
        g_autofree char *value = g_key_file_get_value (from, MACHINE, names[i], NULL);

        g_key_file_set_value (contents, MACHINE, names[i], value);
      }
  if (record->encrypted)
    {
      g_autofree char *hex = files_hex (keys->data, sizeof keys->data);

      g_key_file_set_string (contents, MACHINE, "data-key", hex);
      explicit_bzero (hex, strlen (hex));
    }
}

static void
colour_of (Guard *guard, const Label *label, guint8 ret_rgb[3])
{
  EncodingsColours colours;
  guint r = 0x80, g = 0x80, b = 0x80;

  guard_colours (guard, label, &colours);
  sscanf (colours.background, "#%2x%2x%2x", &r, &g, &b);
  ret_rgb[0] = (guint8) r;
  ret_rgb[1] = (guint8) g;
  ret_rgb[2] = (guint8) b;
}

/* Writes contents and record into the older slot, if they say something new.  Durable when true; the slot written before stays
 * what counts until the store has the record. */
static gboolean
file_commit (File *self, GError **error)
{
  MachineRecord *record = self->record;
  g_autofree char *text = NULL;
  guint8 colour[3];
  int slot = self->slot < 0 ? 0 : 1 - self->slot, result;

  set_machine (self->contents, record, self->keys);
  text = g_key_file_to_data (self->contents, NULL, NULL);
  if (self->slot >= 0 && g_strcmp0 (text, self->text) == 0)
    return TRUE;
  colour_of (self->guard, &record->label, colour);
  if (!vm_header_fill (self->header, slot, record->file_generation + 1, text, colour, self->keys, error))
    return FALSE;
  /* The head is written with the first slot; later it never changes. */
  if (self->slot < 0)
    {
      result = self->io->klass->write (self->io, self->offset, self->header, VM_HEADER_BYTES);
      self->slot = 0;
    }
  else
    result = self->io->klass->write (self->io, self->offset + vm_header_slot_offset (slot),
                                     self->header + vm_header_slot_offset (slot), VM_HEADER_SLOT_BYTES);
  if (result == 0)
    result = image_io_flush (self->io);
  if (!result_of (self, result, "its header cannot be written", error))
    return FALSE;
  self->slot = slot;
  if (self->text)
    explicit_bzero (self->text, strlen (self->text));
  g_free (self->text);
  self->text = g_steal_pointer (&text);
  record->file_generation++;
  vm_header_digest (self->header, slot, record->file_digest);
  record->file_label = record->label;
  record->file_stale = FALSE;
  return TRUE;
}

static gboolean
commit_and_save (File *self, GError **error)
{
  return file_commit (self, error) && store_save (self->guard->store, self->record, error);
}

/* ------------------------------------------------------------------------------------------------ making */

gboolean
vm_file_create (Guard *guard, MachineRecord *record, const char *path, guint64 n_bytes, GBytes *passphrase, VmKeys **ret_keys,
                GError **error)
{
  g_autoptr (VmKeys) keys = vm_keys_new ();
  g_autofree guint8 *header = g_malloc0 (VM_HEADER_BYTES);
  const MachineRecord *base = record->base ? find_by_uuid (guard, record->base) : NULL;
  /* A disk of nothing is no image for other tools. */
  Qcow2Create what = { .n_bytes = MAX (n_bytes, (guint64) 512), .cluster_bits = 16, .default_refcount = TRUE,
                       .backing_name = base ? base->file : NULL, .backing_format = base ? "qcow2" : NULL,
                       .extension_magic = VM_HEADER_MAGIC, .n_extension = VM_HEADER_BYTES, .autoclear = QCOW2_AUTOCLEAR_BULKHEAD };
  g_auto (AutoFd) fd = -1;
  ImageIo *io = NULL;
  guint64 offset = 0;
  gsize n;
  int result;

  if (passphrase && !g_bytes_get_size (passphrase))
    return fail (error, GUARD_ERROR_USAGE, "the passphrase is empty");
  if (!vm_header_new (header, passphrase, keys, error))
    return FALSE;
  fd = broker_create (path, error);
  if (fd < 0)
    return FALSE;
  /* Whatever the umask is. */
  result = fchmod (fd, 0600) < 0 ? -errno : image_io_fd_new (fd, FALSE, &io);
  if (result == 0)
    {
      steal_fd (&fd);
      if (passphrase)
        what.passphrase = g_bytes_get_data (passphrase, &what.n_passphrase);
      result = qcow2_create (io, &what, keys->data);
    }
  if (result == 0)
    result = qcow2_peek_extension (io, VM_HEADER_MAGIC, header + VM_HEADER_HEAD_BYTES, 0, &n, &offset);
  if (result == 0)
    result = io->klass->write (io, offset, header, VM_HEADER_HEAD_BYTES);
  if (result == 0)
    result = image_io_flush (io);
  image_io_close (io);
  if (result < 0)
    {
      unlink (path);
      return fail (error, GUARD_ERROR_FAILED, "%s cannot be made: %s", path, g_strerror (-result));
    }
  g_free (record->file);
  record->file = g_strdup (path);
  record->file_format = FORMAT_QCOW2;
  record->encrypted = passphrase != NULL;
  record->disk_bytes = n_bytes;
  record->file_generation = 0;
  record->file_label = record->label;
  record->file_stale = FALSE;
  memset (record->file_digest, 0, sizeof record->file_digest);
  *ret_keys = passphrase ? g_steal_pointer (&keys) : NULL;
  return TRUE;
}

gboolean
vm_file_fill (Guard *guard, const MachineRecord *record, const VmKeys *keys, int from_fd, const char *format, GError **error)
{
  BlockBackend *from = NULL, *to = NULL;
  const char *reason = "it cannot be read";
  int own = fcntl (from_fd, F_DUPFD_CLOEXEC, 3), result;
  ImageIo *io = NULL;

  result = own < 0 ? -errno : image_io_fd_new (own, TRUE, &io);
  if (result < 0)
    {
      clear_fd (&own);
      return fail (error, GUARD_ERROR_FAILED, "the disk cannot be read: %s", g_strerror (-result));
    }
  result = image_open_io (io, format, TRUE, &from, &reason);
  if (result < 0)
    {
      image_io_close (io);
      return fail (error, GUARD_ERROR_FAILED, "the disk is no %s image that can be used: %s", format, reason);
    }
  if (!open_disk (guard, record, keys, FALSE, TRUE, 0, &to, error))
    {
      block_close (from);
      return FALSE;
    }
  result = image_copy (from, to, NULL);
  if (result == 0)
    result = block_flush (to);
  block_close (from);
  block_close (to);
  return result == 0 || fail (error, GUARD_ERROR_FAILED, "the disk cannot be copied: %s", g_strerror (-result));
}

gboolean
vm_file_clone (Guard *guard, const MachineRecord *source, const VmKeys *source_keys, MachineRecord *copy, const char *path,
               gboolean linked, GBytes *passphrase, VmKeys **ret_keys, GError **error)
{
  BlockBackend *from = NULL, *to = NULL;
  guint64 n_bytes;
  int result;

  *ret_keys = NULL;
  if (linked)
    {
      if (source->file_format != FORMAT_QCOW2)
        return fail (error, GUARD_ERROR_FAILED, "%s is a plain disk image; only a .bulkhead file can lie under a linked clone", source->file);
      if (source->encrypted || passphrase)
        return fail (error, GUARD_ERROR_FAILED, "linked clones of and into encrypted files are not possible: one key would open both; "
                                                "make a full clone");
      copy->base = g_strdup (source->uuid);
      return vm_file_create (guard, copy, path, source->disk_bytes, NULL, ret_keys, error);
    }
  g_clear_pointer (&copy->base, g_free);
  if (!open_disk (guard, source, source_keys, TRUE, TRUE, 0, &from, error))
    return FALSE;
  n_bytes = source->file_format == FORMAT_RAW ? from->n_bytes : source->disk_bytes;
  if (!vm_file_create (guard, copy, path, n_bytes, passphrase, ret_keys, error))
    {
      block_close (from);
      return FALSE;
    }
  result = 0;
  if (open_disk (guard, copy, *ret_keys, FALSE, FALSE, 0, &to, error))
    {
      result = n_bytes ? image_copy (from, to, NULL) : 0;
      if (result == 0)
        result = block_flush (to);
      block_close (to);
    }
  block_close (from);
  if (!to || result < 0)
    {
      unlink (path);
      g_clear_pointer (ret_keys, vm_keys_free);
      return to ? fail (error, GUARD_ERROR_FAILED, "the disk cannot be copied: %s", g_strerror (-result)) : FALSE;
    }
  return TRUE;
}

gboolean
vm_file_export (Guard *guard, const MachineRecord *record, const VmKeys *keys, int to_fd, const char *format, GError **error)
{
  BlockBackend *from = NULL;
  ImageIo *io = NULL;
  int own, result;

  if (!image_format_writable (format))
    return fail (error, GUARD_ERROR_USAGE, "disks are written as raw, qcow2, vmdk and vdi, not as \"%s\"", format);
  if (!open_disk (guard, record, keys, TRUE, TRUE, 0, &from, error))
    return FALSE;
  own = fcntl (to_fd, F_DUPFD_CLOEXEC, 3);
  result = own < 0 ? -errno : image_io_fd_new (own, FALSE, &io);
  if (result < 0)
    clear_fd (&own);
  else
    result = image_convert (from, io, format, NULL);
  block_close (from);
  return result == 0 || fail (error, GUARD_ERROR_FAILED, "the disk cannot be written: %s", g_strerror (-result));
}

/* ------------------------------------------------------------------------------------------------ keys, checks */

/* The data key stands in the sealed metadata. */
static gboolean
take_data_key (File *self, VmKeys *keys, GError **error)
{
  g_autofree char *hex = g_key_file_get_string (self->contents, MACHINE, "data-key", NULL);

  if (!hex || strlen (hex) != 2 * sizeof keys->data)
    return fail (error, GUARD_ERROR_FAILED, "%s: the key of its disk is missing", self->path);
  for (gsize i = 0; i < sizeof keys->data; i++)
    keys->data[i] = (guint8) ((g_ascii_xdigit_value (hex[2 * i]) << 4) | g_ascii_xdigit_value (hex[2 * i + 1]));
  explicit_bzero (hex, strlen (hex));
  return TRUE;
}

VmKeys *
vm_file_unlock (Guard *guard, const MachineRecord *record, GBytes *passphrase, gboolean repair, GError **error)
{
  g_auto (File) file = { 0 };
  g_autoptr (VmKeys) keys = vm_keys_new ();
  g_autoptr (GError) local = NULL;

  if (!file_open (&file, guard, record, NULL, FALSE, &local))
    {
      if (repair && local->code == GUARD_ERROR_REFUSED && file.header && file.encrypted)
        file.slot = vm_header_find (file.header, NULL);
      if (file.slot < 0 || !file.header || !repair)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return NULL;
        }
      g_clear_error (&local);
    }
  if (!vm_header_unlock (file.header, passphrase, keys, &local))
    {
      guard_record (guard, "unlock", "user", record->name, "refused", NULL);
      fail (error, GUARD_ERROR_FAILED, "%s: %s", record->file, local->message);
      return NULL;
    }
  file.keys = keys;
  if (!vm_header_is_sealed (file.header, file.slot, keys))
    {
      fail (error, GUARD_ERROR_REFUSED, "%s: its header was changed", record->file);
      return NULL;
    }
  return read_text (&file, error) && take_data_key (&file, keys, error) ? g_steal_pointer (&keys) : NULL;
}

gboolean
vm_file_update (Guard *guard, MachineRecord *record, const VmKeys *keys, GError **error)
{
  g_auto (File) file = { 0 };

  if (!record->file || record->file_format != FORMAT_QCOW2)
    return TRUE;
  if (record->encrypted && !keys)
    {
      if (!label_equal (&record->label, &record->file_label))
        return fail (error, GUARD_ERROR_FAILED, "VM \"%s\" is encrypted and its file bears the label too: give its passphrase "
                                                "(--passphrase-file FILE)", record->name);
      record->file_stale = TRUE;
      return TRUE;
    }
  return file_open (&file, guard, record, keys, TRUE, error) && file_commit (&file, error);
}

static guint
count_known (GKeyFile *contents)
{
  g_auto (GStrv) groups = g_key_file_get_groups (contents, NULL);
  guint n = g_key_file_get_boolean (contents, SUSPENDED, "reserved", NULL) ? 1 : 0;

  for (guint i = 0; groups[i]; i++)
    n += g_str_has_prefix (groups[i], SNAPSHOT);
  return n;
}

gboolean
vm_file_verify (Guard *guard, MachineRecord *record, const VmKeys *keys, GError **error)
{
  g_auto (File) file = { 0 };
  const char *reason = NULL;
  Qcow2Info info;

  if (record->file_format != FORMAT_QCOW2)
    return TRUE;
  if (!file_open (&file, guard, record, keys, TRUE, error))
    return FALSE;
  if (qcow2_probe_header (file.io, &info, &reason) < 0)
    return fail (error, GUARD_ERROR_FAILED, "%s: %s", record->file, reason ? reason : "it cannot be read");
  if (info.encrypted != record->encrypted || info.has_backing != (record->base != NULL))
    {
      guard_record (guard, "file-differs", record->name, record->file, "encryption or backing file", NULL);
      return fail (error, GUARD_ERROR_REFUSED, "%s: its disk was exchanged (%s); put back the right file", record->file,
                   info.encrypted != record->encrypted ? "its encryption is another" : "it names a backing file that the "
                   "configuration does not know, or none where it should");
    }
  if (!(info.autoclear & QCOW2_AUTOCLEAR_BULKHEAD))
    {
      guard_record (guard, "foreign-write", record->name, record->file, "another program has written to the disk", NULL);
      if (!need_image (&file, error)
          || !result_of (&file, qcow2_set_autoclear (file.image, QCOW2_AUTOCLEAR_BULKHEAD), "its header cannot be written", error))
        return FALSE;
    }
  if (info.n_snapshots != count_known (file.contents) && !need_image (&file, error))
    return FALSE;
  if (record->file_stale)
    return commit_and_save (&file, error);
  return TRUE;
}

MachineRecord *
vm_file_import (Guard *guard, const char *path, GBytes *passphrase, VmKeys **ret_keys, GError **error)
{
  g_auto (File) file = { .guard = guard };
  g_autoptr (VmKeys) keys = vm_keys_new ();
  g_autoptr (MachineRecord) record = NULL;
  g_autoptr (MachineRecord) fresh = machine_record_new ("");
  g_autoptr (GError) local = NULL;
  const char *reason = NULL;
  Qcow2Info info;

  *ret_keys = NULL;
  if (!read_header (&file, path, error))
    return NULL;
  file.slot = vm_header_find (file.header, NULL);
  if (file.slot < 0)
    {
      fail (error, GUARD_ERROR_FAILED, "%s: its header is damaged", path);
      return NULL;
    }
  file.keys = keys;
  if (file.encrypted)
    {
      if (!passphrase)
        {
          fail (error, GUARD_ERROR_FAILED, "%s is encrypted: give its passphrase (--passphrase-file FILE)", path);
          return NULL;
        }
      if (!vm_header_unlock (file.header, passphrase, keys, &local))
        {
          fail (error, GUARD_ERROR_FAILED, "%s: %s", path, local->message);
          return NULL;
        }
      if (!vm_header_is_sealed (file.header, file.slot, keys))
        {
          fail (error, GUARD_ERROR_REFUSED, "%s: its header was changed by somebody who has not the passphrase", path);
          return NULL;
        }
    }
  if (!read_text (&file, error) || (file.encrypted && !take_data_key (&file, keys, error)))
    return NULL;
  record = machine_record_from_key_file (file.contents, &local);
  if (!record)
    {
      fail (error, GUARD_ERROR_FAILED, "%s: %s", path, local->message);
      return NULL;
    }
  if (qcow2_probe_header (file.io, &info, &reason) < 0)
    {
      fail (error, GUARD_ERROR_FAILED, "%s: %s", path, reason ? reason : "it cannot be read");
      return NULL;
    }
  if (info.has_backing || record->base)
    {
      fail (error, GUARD_ERROR_FAILED, "%s is a linked clone, which is nothing without the file it lies over; make a full clone of it "
                                       "where it comes from", path);
      return NULL;
    }
  g_free (record->uuid);
  record->uuid = g_strdup (fresh->uuid);
  g_free (record->file);
  record->file = g_strdup (path);
  record->file_format = FORMAT_QCOW2;
  record->encrypted = file.encrypted;
  record->disk_bytes = record->disk_bytes ? info.n_bytes : 0;
  record->generation = 0;
  record->used = 0;
  record->file_generation = vm_header_generation (file.header, file.slot);
  vm_header_digest (file.header, file.slot, record->file_digest);
  record->file_label = record->label;
  record->file_stale = FALSE;
  g_free (record->state);
  record->state = g_strdup (g_key_file_has_group (file.contents, SUSPENDED) ? "suspended" : "off");
  for (int i = 0; i < N_SLOTS; i++)
    g_clear_pointer (&record->slots[i].path, g_free);
  g_clear_pointer (&record->network, g_free);
  g_strfreev (record->folders);
  record->folders = g_new0 (char *, 1);
  if (file.encrypted)
    *ret_keys = g_steal_pointer (&keys);
  return g_steal_pointer (&record);
}

GVariant *
vm_file_check (Guard *guard, MachineRecord *record, const VmKeys *keys, gboolean repair, GError **error)
{
  g_auto (File) file = { 0 };
  g_autoptr (GError) local = NULL;
  GVariantBuilder all, messages;
  Qcow2Check check = { 0 };
  gboolean sound;
  int result;

  if (record->file_format != FORMAT_QCOW2)
    {
      fail (error, GUARD_ERROR_FAILED, "a raw image has nothing to check");
      return NULL;
    }
  g_variant_builder_init (&messages, G_VARIANT_TYPE_STRING_ARRAY);
  sound = file_open (&file, guard, record, keys, repair, &local);
  if (!sound && repair && local->code == GUARD_ERROR_REFUSED && file.header)
    {
      int other = vm_header_find (file.header, NULL);

      /* The library's word is written over what stands there.  The list of snapshots is taken from the file, whose qcow2 table it
       * fits, if it can be read. */
      if (record->encrypted && !keys)
        {
          g_variant_builder_clear (&messages);
          fail (error, GUARD_ERROR_FAILED, "VM \"%s\" is encrypted: give its passphrase (--passphrase-file FILE)", record->name);
          return NULL;
        }
      file.slot = other;
      if (other >= 0 && !read_text (&file, NULL))
        other = -1;
      if (other < 0)
        {
          g_clear_pointer (&file.contents, g_key_file_unref);
          file.contents = g_key_file_new ();
          file.slot = 0;
        }
      g_clear_pointer (&file.text, g_free);
      /* A label that we or the owner of the passphrase wrote there counts: it may have been raised on another computer. */
      if (other >= 0 && vm_header_is_sealed (file.header, other, file.keys))
        {
          g_autofree char *theirs = g_key_file_get_string (file.contents, MACHINE, "label", NULL);
          Label claimed, joined;

          if (theirs && label_parse (theirs, &claimed))
            {
              label_join (&record->label, &claimed, &joined);
              record->label = joined;
            }
        }
      record->file_generation = MAX (record->file_generation, other < 0 ? 0 : vm_header_generation (file.header, other));
      g_free (record->state);
      record->state = g_strdup (g_key_file_has_group (file.contents, SUSPENDED) ? "suspended" : "off");
      g_clear_error (&local);
      sound = guard_record (guard, "header-rewritten", record->name, record->file, NULL, &local) && commit_and_save (&file, &local);
      if (sound)
        g_variant_builder_add (&messages, "s", "the header was written anew from the library");
    }
  if (!sound)
    g_variant_builder_add (&messages, "s", local->message);
  if (!file.image)
    {
      Qcow2Open how = { .read_only = !repair, .without_backing = TRUE, .without_key = TRUE };
      const char *reason = NULL;

      if (!lock_file (&how.io, record->file, !repair, error))
        {
          g_variant_builder_clear (&messages);
          return NULL;
        }
      result = qcow2_open (&how, &file.image, &reason);
      if (result < 0)
        {
          image_io_close (how.io);
          g_variant_builder_clear (&messages);
          fail (error, GUARD_ERROR_FAILED, "%s: %s: %s", record->file, reason ? reason : "", g_strerror (-result));
          return NULL;
        }
    }
  result = qcow2_check (file.image, repair, &check);
  if (result < 0)
    g_variant_builder_add (&messages, "s", g_strerror (-result));
  if (check.repaired)
    g_variant_builder_add (&messages, "s", "the tables were repaired");
  g_variant_builder_init (&all, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&all, "{sv}", "ok", g_variant_new_boolean (sound && result == 0 && (!check.n_errors || check.repaired)));
  g_variant_builder_add (&all, "{sv}", "errors", g_variant_new_uint32 ((guint32) MIN (check.n_errors + !sound, G_MAXUINT32)));
  g_variant_builder_add (&all, "{sv}", "leaks", g_variant_new_uint32 ((guint32) MIN (check.n_leaks, G_MAXUINT32)));
  g_variant_builder_add (&all, "{sv}", "messages", g_variant_builder_end (&messages));
  return g_variant_builder_end (&all);
}

/* ------------------------------------------------------------------------------------------------ memory states */

int
vm_file_state_memory (const MachineRecord *record, GError **error)
{
  guint64 n_bytes = ((guint64) record->memory_mib + PROTOCOL_EXTRA_MEMORY) << 20;

  /* What cannot be packed grows a little; devices and tables come on top. */
  n_bytes += n_bytes / 64 + (16 << 20);
  return broker_growless_file ("bulkhead-state", n_bytes, error);
}

/* The digest at the end of a state as hexadecimal digits. */
static char *
state_digest (int fd, guint64 *ret_n_bytes, GError **error)
{
  off_t end = lseek (fd, 0, SEEK_END);
  guint8 digest[STATE_DIGEST_BYTES];

  if (end < STATE_DIGEST_BYTES || pread (fd, digest, sizeof digest, end - STATE_DIGEST_BYTES) != sizeof digest)
    {
      fail (error, GUARD_ERROR_FAILED, "the monitor gave no memory state");
      return NULL;
    }
  *ret_n_bytes = (guint64) end;
  return files_hex (digest, sizeof digest);
}

/* Writes the state and makes the snapshot that holds it under this id. */
static gboolean
make_snapshot (File *self, const char *id, int state_fd, guint64 n_state, gint64 now_us, GError **error)
{
  Qcow2Snapshot snapshot = { .n_vm_state = n_state, .date_s = (uint32_t) (now_us / G_USEC_PER_SEC),
                             .date_ns = (uint32_t) (now_us % G_USEC_PER_SEC * 1000) };
  const guint8 *bytes = NULL;
  int result = 0;

  g_strlcpy (snapshot.name, id, sizeof snapshot.name);
  if (n_state)
    bytes = mmap (NULL, n_state, PROT_READ, MAP_SHARED, state_fd, 0);
  if (bytes == MAP_FAILED)
    return fail (error, GUARD_ERROR_FAILED, "the memory state cannot be read: %s", g_strerror (errno));
  for (guint64 at = 0; at < n_state && result == 0; at += COPY_BYTES)
    result = qcow2_write_vm_state (self->image, at, bytes + at, MIN ((guint64) COPY_BYTES, n_state - at));
  if (bytes)
    munmap ((void *) bytes, n_state);
  if (result == 0)
    result = qcow2_snapshot_create (self->image, &snapshot);
  if (result < 0 && n_state)
    qcow2_discard_vm_state (self->image);
  return result_of (self, result, "the snapshot cannot be written", error);
}

/* The index in qcow2's table of the snapshot with our id. */
static int
find_in_table (File *self, const char *id, Qcow2Snapshot *ret, GError **error)
{
  for (unsigned i = 0; i < qcow2_n_snapshots (self->image); i++)
    if (qcow2_get_snapshot (self->image, i, ret) == 0 && g_str_equal (ret->name, id))
      return (int) i;
  fail (error, GUARD_ERROR_FAILED, "%s: the data of the snapshot is gone; another program removed it", self->path);
  return -1;
}

static int
read_state (File *self, const char *id, const char *digest, GError **error)
{
  g_auto (AutoFd) fd = -1;
  g_autofree char *found = NULL;
  Qcow2Snapshot snapshot;
  int index = find_in_table (self, id, &snapshot, error), result = 0;
  guint64 n;
  guint8 *bytes;

  if (index < 0)
    return -1;
  fd = vm_file_state_memory (self->record, error);
  if (fd < 0)
    return -1;
  if (snapshot.n_vm_state < STATE_DIGEST_BYTES || ftruncate (fd, (off_t) snapshot.n_vm_state) < 0)
    {
      fail (error, GUARD_ERROR_FAILED, "%s: the memory state is damaged", self->path);
      return -1;
    }
  bytes = mmap (NULL, snapshot.n_vm_state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (bytes == MAP_FAILED)
    {
      fail (error, GUARD_ERROR_FAILED, "no memory for the state: %s", g_strerror (errno));
      return -1;
    }
  for (guint64 at = 0; at < snapshot.n_vm_state && result == 0; at += COPY_BYTES)
    result = qcow2_read_vm_state (self->image, (unsigned) index, at, bytes + at, MIN ((guint64) COPY_BYTES, snapshot.n_vm_state - at));
  munmap (bytes, snapshot.n_vm_state);
  if (!result_of (self, result, "the memory state cannot be read", error))
    return -1;
  found = state_digest (fd, &n, error);
  if (!found || g_strcmp0 (found, digest) != 0)
    {
      if (found)
        fail (error, GUARD_ERROR_REFUSED, "%s: the memory state is not the one that was saved", self->path);
      return -1;
    }
  return steal_fd (&fd);
}

static char *
new_id (void)
{
  guint8 random[ID_BYTES];
  g_autofree char *hex = NULL;

  if (getrandom (random, sizeof random, 0) != sizeof random)
    g_error ("no random bytes");
  hex = files_hex (random, sizeof random);
  return g_strconcat (ID_PREFIX, hex, NULL);
}

static void
set_parent (GKeyFile *contents, const char *id)
{
  if (id && *id)
    g_key_file_set_string (contents, DISK, "parent", id);
  else
    g_key_file_remove_group (contents, DISK, NULL);
}

static void
set_state (MachineRecord *record, const char *state)
{
  g_free (record->state);
  record->state = g_strdup (state);
}

gboolean
vm_file_suspend (Guard *guard, MachineRecord *record, const VmKeys *keys, int state_fd, GError **error)
{
  g_auto (File) file = { 0 };
  g_autofree char *id = new_id ();
  g_autofree char *digest = NULL;
  guint64 n_state;

  digest = state_digest (state_fd, &n_state, error);
  if (!digest || !file_open (&file, guard, record, keys, TRUE, error) || !need_image (&file, error)
      || !make_snapshot (&file, id, state_fd, n_state, g_get_real_time (), error))
    return FALSE;
  g_key_file_set_string (file.contents, SUSPENDED, "snapshot", id);
  g_key_file_set_boolean (file.contents, SUSPENDED, "reserved", TRUE);
  g_key_file_set_string (file.contents, SUSPENDED, "state", digest);
  set_state (record, "suspended");
  if (commit_and_save (&file, error))
    return TRUE;
  set_state (record, "off");
  return FALSE;
}

int
vm_file_load_state (Guard *guard, const MachineRecord *record, const VmKeys *keys, GError **error)
{
  g_auto (File) file = { 0 };
  g_autofree char *id = NULL;
  g_autofree char *digest = NULL;

  if (!file_open (&file, guard, record, keys, TRUE, error) || !need_image (&file, error))
    return -1;
  id = g_key_file_get_string (file.contents, SUSPENDED, "snapshot", NULL);
  digest = g_key_file_get_string (file.contents, SUSPENDED, "state", NULL);
  if (id && digest)
    return read_state (&file, id, digest, error);
  fail (error, GUARD_ERROR_FAILED, "%s: it holds no memory state; start the VM with --discard-state", record->file);
  return -1;
}

gboolean
vm_file_forget_state (Guard *guard, MachineRecord *record, const VmKeys *keys, GError **error)
{
  g_auto (File) file = { 0 };

  if (!file_open (&file, guard, record, keys, TRUE, error))
    return FALSE;
  g_key_file_remove_group (file.contents, SUSPENDED, NULL);
  set_state (record, "off");
  /* With its name gone from the metadata the state is an orphan, which opening the image removes. */
  return commit_and_save (&file, error) && need_image (&file, error);
}

/* ------------------------------------------------------------------------------------------------ snapshots */

/* The id of a snapshot by name or id; NULL with an error. */
static char *
find_snapshot (File *self, const char *name, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (self->contents, NULL);

  for (guint i = 0; groups[i]; i++)
    {
      const char *id = groups[i] + strlen (SNAPSHOT);
      g_autofree char *own = NULL;

      if (!g_str_has_prefix (groups[i], SNAPSHOT))
        continue;
      own = g_key_file_get_string (self->contents, groups[i], "name", NULL);
      if (g_strcmp0 (own, name) == 0 || g_str_equal (id, name))
        return g_strdup (id);
    }
  fail (error, GUARD_ERROR_FAILED, "VM \"%s\" has no snapshot \"%s\"; `snapshot list` shows them", self->record->name, name);
  return NULL;
}

static char *
group_of (const char *id)
{
  return g_strconcat (SNAPSHOT, id, NULL);
}

guint
vm_file_n_snapshots (Guard *guard, const MachineRecord *record, const VmKeys *keys)
{
  g_auto (File) file = { 0 };
  g_auto (GStrv) groups = NULL;
  guint n = 0;

  if (!record->file || record->file_format != FORMAT_QCOW2 || (record->encrypted && !keys)
      || !file_open (&file, guard, record, keys, TRUE, NULL))
    return 0;
  groups = g_key_file_get_groups (file.contents, NULL);
  for (guint i = 0; groups[i]; i++)
    n += g_str_has_prefix (groups[i], SNAPSHOT);
  return n;
}

GVariant *
vm_file_list_snapshots (Guard *guard, const MachineRecord *record, const VmKeys *keys, gboolean exclusive, GError **error)
{
  g_auto (File) file = { 0 };
  g_auto (GStrv) groups = NULL;
  g_autofree char *current = NULL;
  GVariantBuilder rows;

  if (record->file_format != FORMAT_QCOW2)
    return g_variant_new_array (G_VARIANT_TYPE_VARDICT, NULL, 0);
  if (!file_open (&file, guard, record, keys, TRUE, error))
    return NULL;
  /* Without the disk (a linked clone may read it) the rest is known all the same. */
  if (exclusive)
    need_image (&file, NULL);
  current = g_key_file_get_string (file.contents, DISK, "parent", NULL);
  groups = g_key_file_get_groups (file.contents, NULL);
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; groups[i]; i++)
    {
      const char *id = groups[i] + strlen (SNAPSHOT);
      g_autofree char *name = NULL;
      g_autofree char *note = NULL;
      g_autofree char *parent = NULL;
      g_autofree char *shown = NULL;
      g_autofree char *shown_note = NULL;
      guint64 n_state, n_exclusive = 0;
      Qcow2Snapshot snapshot;
      GVariantBuilder row;
      int index;

      if (!g_str_has_prefix (groups[i], SNAPSHOT))
        continue;
      name = g_key_file_get_string (file.contents, groups[i], "name", NULL);
      note = g_key_file_get_string (file.contents, groups[i], "note", NULL);
      parent = g_key_file_get_string (file.contents, groups[i], "parent", NULL);
      n_state = g_key_file_get_uint64 (file.contents, groups[i], "bytes", NULL);
      index = file.image ? find_in_table (&file, id, &snapshot, NULL) : -1;
      if (index < 0 || qcow2_snapshot_exclusive_bytes (file.image, (unsigned) index, &n_exclusive) < 0)
        n_exclusive = n_state;
      shown = files_neutral_text (name, 64);
      shown_note = files_neutral_text (note, VM_FILE_MAX_NOTE);
      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&row, "{sv}", "name", g_variant_new_string (shown));
      g_variant_builder_add (&row, "{sv}", "id", g_variant_new_string (id));
      g_variant_builder_add (&row, "{sv}", "parent", g_variant_new_string (parent ? parent : ""));
      g_variant_builder_add (&row, "{sv}", "note", g_variant_new_string (shown_note));
      g_variant_builder_add (&row, "{sv}", "taken", g_variant_new_int64 (g_key_file_get_int64 (file.contents, groups[i], "taken", NULL)));
      g_variant_builder_add (&row, "{sv}", "live", g_variant_new_boolean (n_state != 0));
      g_variant_builder_add (&row, "{sv}", "bytes", g_variant_new_uint64 (n_exclusive));
      g_variant_builder_add (&row, "{sv}", "current", g_variant_new_boolean (g_strcmp0 (current, id) == 0));
      guard_describe_label (guard, &row, "", &record->label);
      g_variant_builder_add_value (&rows, g_variant_builder_end (&row));
    }
  return g_variant_builder_end (&rows);
}

gboolean
vm_file_take_snapshot (Guard *guard, MachineRecord *record, const VmKeys *keys, const char *name, const char *note, int state_fd,
                       GError **error)
{
  g_auto (File) file = { 0 };
  g_autofree char *id = new_id ();
  g_autofree char *group = group_of (id);
  g_autofree char *digest = NULL;
  g_autofree char *parent = NULL;
  g_autofree char *there = NULL;
  gint64 now = g_get_real_time ();
  guint64 n_state = 0;

  if (note && strlen (note) > VM_FILE_MAX_NOTE)
    return fail (error, GUARD_ERROR_USAGE, "the note of a snapshot has at most %d bytes", VM_FILE_MAX_NOTE);
  if (!file_open (&file, guard, record, keys, TRUE, error))
    return FALSE;
  there = find_snapshot (&file, name, NULL);
  if (there)
    return fail (error, GUARD_ERROR_FAILED, "VM \"%s\" already has a snapshot \"%s\"", record->name, name);
  if (count_known (file.contents) >= VM_FILE_MAX_SNAPSHOTS)
    return fail (error, GUARD_ERROR_FAILED, "VM \"%s\" has %d snapshots already; delete some", record->name, VM_FILE_MAX_SNAPSHOTS);
  if (state_fd >= 0 && !(digest = state_digest (state_fd, &n_state, error)))
    return FALSE;
  if (!need_image (&file, error) || !make_snapshot (&file, id, state_fd, n_state, now, error))
    return FALSE;
  parent = g_key_file_get_string (file.contents, DISK, "parent", NULL);
  g_key_file_set_string (file.contents, group, "name", name);
  if (note && *note)
    g_key_file_set_string (file.contents, group, "note", note);
  if (parent)
    g_key_file_set_string (file.contents, group, "parent", parent);
  g_key_file_set_int64 (file.contents, group, "taken", now / G_USEC_PER_SEC);
  g_key_file_set_uint64 (file.contents, group, "bytes", n_state);
  if (digest)
    {
      g_key_file_set_string (file.contents, group, "state", digest);
      g_key_file_set_uint64 (file.contents, group, "memory", record->memory_mib);
      g_key_file_set_string (file.contents, group, "cpu", record->cpu);
    }
  set_parent (file.contents, id);
  return commit_and_save (&file, error);
}

gboolean
vm_file_find_snapshot (Guard *guard, const MachineRecord *record, const VmKeys *keys, const char *name, gboolean *ret_live,
                       guint *ret_memory_mib, char **ret_cpu, GError **error)
{
  g_auto (File) file = { 0 };
  g_autofree char *id = NULL;
  g_autofree char *group = NULL;

  if (!file_open (&file, guard, record, keys, TRUE, error) || !(id = find_snapshot (&file, name, error)))
    return FALSE;
  group = group_of (id);
  *ret_live = g_key_file_get_uint64 (file.contents, group, "bytes", NULL) != 0;
  *ret_memory_mib = (guint) g_key_file_get_uint64 (file.contents, group, "memory", NULL);
  *ret_cpu = g_key_file_get_string (file.contents, group, "cpu", NULL);
  return TRUE;
}

gboolean
vm_file_revert_snapshot (Guard *guard, MachineRecord *record, const VmKeys *keys, const char *name, gboolean suspend,
                         int *ret_state_fd, GError **error)
{
  g_auto (File) file = { 0 };
  g_auto (AutoFd) state_fd = -1;
  g_autofree char *id = NULL;
  g_autofree char *group = NULL;
  g_autofree char *digest = NULL;
  g_autofree char *cpu = NULL;
  guint64 memory;
  Qcow2Snapshot snapshot;
  int index;

  *ret_state_fd = -1;
  if (!file_open (&file, guard, record, keys, TRUE, error) || !(id = find_snapshot (&file, name, error)) || !need_image (&file, error))
    return FALSE;
  group = group_of (id);
  digest = g_key_file_get_string (file.contents, group, "state", NULL);
  memory = g_key_file_get_uint64 (file.contents, group, "memory", NULL);
  cpu = g_key_file_get_string (file.contents, group, "cpu", NULL);
  if (digest && (memory < PROTOCOL_MIN_MEMORY || memory > PROTOCOL_MAX_MEMORY || !cpu))
    return fail (error, GUARD_ERROR_FAILED, "%s: the snapshot's description is damaged", record->file);
  if (digest && suspend && (memory != record->memory_mib || g_strcmp0 (cpu, record->cpu) != 0))
    {
      /* The state fits only the hardware it was saved with. */
      record->memory_mib = (guint) memory;
      g_free (record->cpu);
      record->cpu = g_steal_pointer (&cpu);
    }
  if (digest && (state_fd = read_state (&file, id, digest, error)) < 0)
    return FALSE;
  index = find_in_table (&file, id, &snapshot, error);
  if (index < 0 || !result_of (&file, qcow2_snapshot_apply (file.image, (unsigned) index), "the snapshot cannot be gone back to", error))
    return FALSE;
  if (record->disk_bytes)
    record->disk_bytes = snapshot.n_disk;
  set_parent (file.contents, id);
  g_key_file_remove_group (file.contents, SUSPENDED, NULL);
  if (suspend)
    {
      set_state (record, digest ? "suspended" : "off");
      if (digest)
        {
          g_key_file_set_string (file.contents, SUSPENDED, "snapshot", id);
          g_key_file_set_boolean (file.contents, SUSPENDED, "reserved", FALSE);
          g_key_file_set_string (file.contents, SUSPENDED, "state", digest);
        }
    }
  if (!commit_and_save (&file, error))
    return FALSE;
  *ret_state_fd = steal_fd (&state_fd);
  return TRUE;
}

gboolean
vm_file_delete_snapshot (Guard *guard, MachineRecord *record, const VmKeys *keys, const char *name, GError **error)
{
  g_auto (File) file = { 0 };
  g_auto (GStrv) groups = NULL;
  g_autofree char *id = NULL;
  g_autofree char *group = NULL;
  g_autofree char *parent = NULL;
  g_autofree char *current = NULL;
  g_autofree char *suspended = NULL;

  if (!file_open (&file, guard, record, keys, TRUE, error) || !(id = find_snapshot (&file, name, error)))
    return FALSE;
  suspended = g_key_file_get_string (file.contents, SUSPENDED, "snapshot", NULL);
  if (g_strcmp0 (suspended, id) == 0)
    return fail (error, GUARD_ERROR_WRONG_STATE, "VM \"%s\" is suspended in this snapshot; resume it, or start it with --discard-state, "
                                                 "first", record->name);
  group = group_of (id);
  parent = g_key_file_get_string (file.contents, group, "parent", NULL);
  current = g_key_file_get_string (file.contents, DISK, "parent", NULL);
  /* Its children become its parent's. */
  groups = g_key_file_get_groups (file.contents, NULL);
  for (guint i = 0; groups[i]; i++)
    {
      g_autofree char *theirs = g_key_file_get_string (file.contents, groups[i], "parent", NULL);

      if (!g_str_has_prefix (groups[i], SNAPSHOT) || g_strcmp0 (theirs, id) != 0)
        continue;
      if (parent)
        g_key_file_set_string (file.contents, groups[i], "parent", parent);
      else
        g_key_file_remove_key (file.contents, groups[i], "parent", NULL);
    }
  if (g_strcmp0 (current, id) == 0)
    set_parent (file.contents, parent);
  g_key_file_remove_group (file.contents, group, NULL);
  return commit_and_save (&file, error) && need_image (&file, error);
}

gboolean
vm_file_rename_snapshot (Guard *guard, MachineRecord *record, const VmKeys *keys, const char *name, const char *new_name, GError **error)
{
  g_auto (File) file = { 0 };
  g_autofree char *id = NULL;
  g_autofree char *group = NULL;
  g_autofree char *there = NULL;

  if (!file_open (&file, guard, record, keys, TRUE, error) || !(id = find_snapshot (&file, name, error)))
    return FALSE;
  there = find_snapshot (&file, new_name, NULL);
  if (there && !g_str_equal (there, id))
    return fail (error, GUARD_ERROR_FAILED, "VM \"%s\" already has a snapshot \"%s\"", record->name, new_name);
  group = group_of (id);
  g_key_file_set_string (file.contents, group, "name", new_name);
  return commit_and_save (&file, error);
}

int
vm_file_new_overlay (Guard *guard, const MachineRecord *record, GError **error)
{
  g_autofree char *folder = guard_folder (guard, "states", error);
  Qcow2Create what = { .n_bytes = MAX (record->disk_bytes, (guint64) 512), .cluster_bits = 16, .default_refcount = TRUE,
                       .backing_name = record->file, .backing_format = "qcow2" };
  g_auto (AutoFd) fd = -1;
  ImageIo *io = NULL;
  int copy, result;

  if (!folder)
    return -1;
  if (record->encrypted || record->file_format != FORMAT_QCOW2)
    {
      fail (error, GUARD_ERROR_FAILED, "changes of VM \"%s\" cannot be thrown away: its file is %s; take a snapshot and revert to it",
            record->name, record->encrypted ? "encrypted" : "a plain disk image");
      return -1;
    }
  fd = broker_create_unnamed (folder);
  copy = fd < 0 ? -1 : fcntl (fd, F_DUPFD_CLOEXEC, 3);
  result = copy < 0 ? -errno : image_io_fd_new (copy, FALSE, &io);
  if (result == 0)
    result = qcow2_create (io, &what, NULL);
  else
    clear_fd (&copy);
  image_io_close (io);
  if (result < 0)
    {
      fail (error, GUARD_ERROR_FAILED, "no room for the changes: %s: %s", folder, g_strerror (-result));
      return -1;
    }
  return steal_fd (&fd);
}
