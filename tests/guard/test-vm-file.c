/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One machine, one file: its header under every kind of damage, and snapshots, suspension and clones with the real monitor and
 * QEMU's tools as judges.  As root the tests step down first: everything behind the guard works for an ordinary user. */
#include "image-convert.h"
#include "machine.h"
#include "machine-private.h"
#include "media.h"
#include "qcow2.h"
#include "vm-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSPHRASE "correct horse battery staple"

typedef struct
{
  char  *folder;
  Guard *guard;
} Fixture;

/* ------------------------------------------------------------------------------------------------ tools */

static Guard *
open_guard (const char *folder)
{
  g_autofree char *data = g_build_filename (folder, "data", NULL);
  g_autofree char *runtime = g_build_filename (folder, "run", NULL);
  g_autoptr (GError) error = NULL;
  Guard *guard = guard_new (data, runtime, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (guard_problem (guard), ==, NULL);
  return guard;
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->folder = g_dir_make_tmp ("bulkhead-vm-XXXXXX", NULL);
  fixture->guard = open_guard (fixture->folder);
}

static void
reopen (Fixture *fixture)
{
  guard_free (fixture->guard);
  fixture->guard = open_guard (fixture->folder);
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder)))
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  guard_free (fixture->guard);
  remove_tree (fixture->folder);
  g_free (fixture->folder);
}

static char *
in (Fixture *fixture, const char *name)
{
  return g_build_filename (fixture->folder, name, NULL);
}

static GVariant *
passphrase_of (const char *text)
{
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1);
}

/* options: key, string value, …, NULL; "passphrase" is taken as bytes, "encrypt", "linked", "repair" as true. */
static GVariant *
options_of (const char *key, ...)
{
  GVariantBuilder builder;
  va_list rest;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  va_start (rest, key);
  for (; key; key = va_arg (rest, const char *))
    {
      const char *value = va_arg (rest, const char *);

      if (g_str_equal (key, "passphrase"))
        g_variant_builder_add (&builder, "{sv}", key, passphrase_of (value));
      else if (g_str_equal (key, "encrypt") || g_str_equal (key, "linked") || g_str_equal (key, "repair")
               || g_str_equal (key, "discard-state"))
        g_variant_builder_add (&builder, "{sv}", key, g_variant_new_boolean (TRUE));
      else if (g_str_equal (key, "discard-changes"))
        g_variant_builder_add (&builder, "{sv}", "keep", g_variant_new_boolean (FALSE));
      else if (g_str_equal (key, "memory"))
        g_variant_builder_add (&builder, "{sv}", key, g_variant_new_uint32 ((guint32) g_ascii_strtoull (value, NULL, 10)));
      else
        g_variant_builder_add (&builder, "{sv}", key, g_variant_new_string (value));
    }
  va_end (rest);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static Machine *
create (Fixture *fixture, const char *name, const char *label, const char *passphrase)
{
  g_autofree char *file_name = g_strconcat (passphrase ? "x" : name, ".bulkhead", NULL);
  g_autofree char *path = in (fixture, file_name);
  g_autoptr (GVariant) options = passphrase ? options_of ("label", label, "disk", "8M", "file", path, "encrypt", "", "passphrase",
                                                          passphrase, NULL)
                                            : options_of ("label", label, "disk", "8M", "file", path, NULL);
  g_autoptr (GError) error = NULL;
  Machine *machine = machine_create (fixture->guard, name, options, &error);

  g_assert_no_error (error);
  return machine;
}

static gboolean
run_tool (const char *const *argv)
{
  int status = 1;

  g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                               NULL, NULL, NULL, NULL, &status, NULL));
  return g_spawn_check_wait_status (status, NULL);
}

static void
assert_sound (const char *path)
{
  const char *argv[] = { "qemu-img", "check", "-f", "qcow2", path, NULL };
  g_autofree char *with = g_strdup_printf ("driver=qcow2,file.filename=%s,encrypt.key-secret=s", path);
  const char *with_key[] = { "qemu-img", "check", "--object", "secret,id=s,data=" PASSPHRASE, "--image-opts", with, NULL };
  g_autofree char *program = g_find_program_in_path ("qemu-img");

  if (program && !run_tool (argv) && !run_tool (with_key))
    g_error ("qemu-img check finds errors in %s", path);
}

static char *
read_file (const char *path, gsize *ret_n)
{
  char *bytes = NULL;

  g_assert_true (g_file_get_contents (path, &bytes, ret_n, NULL));
  return bytes;
}

/* In place: the file keeps its inode. */
static void
write_at (const char *path, const void *bytes, gsize n, off_t at)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);

  g_assert_cmpint (pwrite (fd, bytes, n, at), ==, (gssize) n);
  close (fd);
}

static guint64
header_at (const char *path)
{
  g_autofree guint8 *header = g_malloc (VM_HEADER_BYTES);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  guint64 offset = 0;
  ImageIo *io;
  gsize n;

  g_assert_cmpint (image_io_fd_new (fd, TRUE, &io), ==, 0);
  g_assert_cmpint (qcow2_peek_extension (io, VM_HEADER_MAGIC, header, VM_HEADER_BYTES, &n, &offset), ==, 0);
  image_io_close (io);
  return offset;
}

/* ------------------------------------------------------------------------------------------------ waiting */

typedef struct
{
  gboolean over;
  GError  *error;
  char    *text;
} Wait;

static void
wait_done (Machine *machine, const GError *error, gpointer data)
{
  Wait *wait = data;

  wait->over = TRUE;
  wait->error = error ? g_error_copy (error) : NULL;
}

static gboolean
too_long (gpointer data)
{
  g_error ("no answer within two minutes");
  return G_SOURCE_REMOVE;
}

static GError *
finish (Wait *wait)
{
  guint limit = g_timeout_add_seconds (120, too_long, NULL);

  while (!wait->over)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (limit);
  return wait->error;
}

static void
wait_lines (Machine *machine, const char *const *lines, const GError *error, gpointer data)
{
  Wait *wait = data;

  wait->text = error ? g_strdup ("") : g_strjoinv ("\n", (char **) lines);
  wait->over = TRUE;
}

static void
wait_screen (Machine *machine, const char *wanted, gboolean there)
{
  gint64 end = g_get_monotonic_time () + 120 * G_USEC_PER_SEC;

  for (;;)
    {
      Wait wait = { 0 };
      gboolean found;

      machine_screen_text (machine, wait_lines, &wait);
      finish (&wait);
      found = strstr (wait.text, wanted) != NULL;
      if (g_get_monotonic_time () > end)
        g_error ("\"%s\" not on the screen:\n%s", wanted, wait.text);
      g_free (wait.text);
      if (found == there)
        return;
      g_usleep (100000);
    }
}

static GError *
start (Machine *machine, const char *passphrase)
{
  g_autoptr (GVariant) options = passphrase ? options_of ("passphrase", passphrase, NULL) : options_of (NULL, NULL);
  Wait wait = { 0 };

  machine_start (machine, options, wait_done, &wait);
  return finish (&wait);
}

static void
stop (Machine *machine)
{
  Wait wait = { 0 };

  machine_stop (machine, TRUE, wait_done, &wait);
  g_assert_no_error (finish (&wait));
}

static GError *
snapshot (Machine *machine, const char *verb, const char *name, const char *argument)
{
  Wait wait = { 0 };

  machine_snapshot (machine, verb, name, argument, wait_done, &wait);
  return finish (&wait);
}

static void
assert_snapshot (Machine *machine, const char *verb, const char *name, const char *argument)
{
  g_autoptr (GError) error = snapshot (machine, verb, name, argument);

  g_assert_no_error (error);
}

static void
type (Machine *machine, const char *text)
{
  Wait wait = { 0 };

  machine_command (machine, MESSAGE_TYPE, text, wait_done, &wait);
  g_assert_no_error (finish (&wait));
}

static GError *
suspend (Machine *machine)
{
  Wait wait = { 0 };

  machine_suspend (machine, wait_done, &wait);
  return finish (&wait);
}

/* ------------------------------------------------------------------------------------------------ a guest */

/* Echoes what is typed and keeps it in the second sector of its disk. */
static Machine *
create_guest (Fixture *fixture, const char *name, const char *memory, const char *passphrase)
{
  static const guint8 code[] = {
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c,   /* xor ax, ax; ds = es = ss = 0; mov sp, 7c00h */
    0xbf, 0x00, 0x80, 0xfc,                                             /* mov di, 8000h; cld */
    0x30, 0xe4, 0xcd, 0x16, 0xaa,                                       /* again: int 16h, ah 0; stosb */
    0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10,                           /* int 10h, ah 0eh */
    0x57, 0xb8, 0x01, 0x03, 0xb9, 0x02, 0x00, 0xba, 0x80, 0x00,         /* push di; ax 0301h, cx 2, dx 80h */
    0xbb, 0x00, 0x80, 0xcd, 0x13, 0x5f, 0xeb, 0xe2,                     /* bx 8000h; int 13h; pop di; jmp again */
  };
  g_autofree char *raw = in (fixture, "boot.raw");
  g_autofree char *file_name = g_strconcat (name, ".bulkhead", NULL);
  g_autofree char *path = in (fixture, file_name);
  g_autofree guint8 *disk = g_malloc0 (4 << 20);
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GError) error = NULL;
  Machine *machine;

  memcpy (disk, code, sizeof code);
  disk[510] = 0x55;
  disk[511] = 0xaa;
  g_assert_true (g_file_set_contents (raw, (char *) disk, 4 << 20, NULL));
  options = passphrase ? options_of ("label", "SECRET", "from-disk", raw, "file", path, "memory", memory, "encrypt", "", "passphrase",
                                     passphrase, NULL)
                       : options_of ("label", "SECRET", "from-disk", raw, "file", path, "memory", memory, NULL);
  machine = machine_create (fixture->guard, name, options, &error);
  g_assert_no_error (error);
  g_assert_true (machine_record (machine)->disk_bytes == 4 << 20);
  return machine;
}

/* The second sector, as text. */
static char *
kept (Machine *machine)
{
  BlockBackend *image = NULL;
  char *text = g_malloc0 (513);
  int fd = open (machine_record (machine)->file, O_RDWR | O_CLOEXEC);
  ImageIo *io;
  Qcow2Open how = { .read_only = TRUE, .passphrase = PASSPHRASE, .n_passphrase = strlen (PASSPHRASE) };

  g_assert_cmpint (image_io_fd_new (fd, TRUE, &io), ==, 0);
  how.io = io;
  g_assert_cmpint (qcow2_open (&how, &image, NULL), ==, 0);
  g_assert_cmpint (block_read (image, 512, text, 512), ==, 0);
  block_close (image);
  return text;
}

/* ------------------------------------------------------------------------------------------------ the header alone */

static void
test_header_torn_writes (void)
{
  static const guint8 colour[3] = { 1, 2, 3 };
  g_autofree guint8 *old = g_malloc (VM_HEADER_BYTES);
  g_autofree guint8 *new = NULL;
  g_autoptr (VmKeys) keys = vm_keys_new ();
  g_autoptr (GError) error = NULL;
  gsize begin = vm_header_slot_offset (1);

  g_assert_true (vm_header_new (old, NULL, keys, &error));
  g_assert_cmpint (vm_header_find (old, NULL), ==, -1);
  g_assert_true (vm_header_fill (old, 0, 7, "[machine]\nlabel=s1/i1\n", colour, keys, &error));
  g_assert_true (vm_header_fill (old, 1, 6, "[machine]\nlabel=s0/i1\n", colour, keys, &error));
  g_assert_cmpint (vm_header_find (old, NULL), ==, 0);
  new = g_memdup2 (old, VM_HEADER_BYTES);
  g_assert_true (vm_header_fill (new, 1, 8, "[machine]\nlabel=s2/i1\n", colour, keys, &error));
  /* The write of slot 1 stops after n bytes: generation 7, or all of 8. */
  for (gsize n = 0; n <= VM_HEADER_SLOT_BYTES; n += n < 700 ? 1 : 512)
    {
      g_autofree guint8 *torn = g_memdup2 (old, VM_HEADER_BYTES);
      int slot;

      memcpy (torn + begin, new + begin, n);
      slot = vm_header_find (torn, NULL);
      g_assert_cmpint (slot, >=, 0);
      if (memcmp (torn, new, VM_HEADER_BYTES) == 0)
        g_assert_cmpuint (vm_header_generation (torn, slot), ==, 8);
      else
        g_assert_cmpuint (vm_header_generation (torn, slot), ==, 7);
    }
}

static void
test_header_flipped_bits (void)
{
  static const guint8 colour[3] = { 1, 2, 3 };
  g_autofree guint8 *bytes = g_malloc (VM_HEADER_BYTES);
  g_autoptr (VmKeys) keys = vm_keys_new ();
  g_autoptr (GError) error = NULL;
  gsize end;

  g_assert_true (vm_header_new (bytes, NULL, keys, &error));
  g_assert_true (vm_header_fill (bytes, 0, 7, "[machine]\nlabel=s1/i1\n", colour, keys, &error));
  end = vm_header_slot_offset (0) + 96 + 512;
  for (gsize at = 0; at < end; at++)
    for (int bit = 0; bit < 8; bit++)
      {
        bytes[at] ^= (guint8) (1 << bit);
        if (vm_header_find (bytes, NULL) >= 0)
          g_error ("bit %d of byte %" G_GSIZE_FORMAT " can be changed", bit, at);
        bytes[at] ^= (guint8) (1 << bit);
      }
  g_assert_cmpint (vm_header_find (bytes, NULL), ==, 0);
}

static void
test_header_encrypted (void)
{
  static const guint8 colour[3] = { 1, 2, 3 };
  g_autofree guint8 *bytes = g_malloc (VM_HEADER_BYTES);
  g_autoptr (VmKeys) keys = vm_keys_new ();
  g_autoptr (VmKeys) other = vm_keys_new ();
  g_autoptr (GBytes) passphrase = g_bytes_new_static (PASSPHRASE, strlen (PASSPHRASE));
  g_autoptr (GBytes) wrong = g_bytes_new_static (PASSPHRASE "\n", strlen (PASSPHRASE) + 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  gboolean encrypted;

  g_assert_true (vm_header_new (bytes, passphrase, keys, &error));
  g_assert_true (vm_header_fill (bytes, 0, 1, "[machine]\nname=vault\n", colour, keys, &error));
  g_assert_true (vm_header_check (bytes, VM_HEADER_BYTES, &encrypted, &error));
  g_assert_true (encrypted);
  g_assert_null (memmem (bytes, VM_HEADER_BYTES, "vault", 5));
  g_assert_null (memmem (bytes, VM_HEADER_BYTES, keys->meta, 32));
  g_assert_false (vm_header_unlock (bytes, wrong, other, NULL));
  g_assert_true (vm_header_unlock (bytes, passphrase, other, &error));
  g_assert_cmpmem (keys->meta, 32, other->meta, 32);
  g_assert_true (vm_header_is_sealed (bytes, 0, other));
  text = vm_header_text (bytes, 0, other, &error);
  g_assert_cmpstr (text, ==, "[machine]\nname=vault\n");
  other->meta[0] ^= 1;
  g_assert_false (vm_header_is_sealed (bytes, 0, other));
}

static void
test_header_too_much (void)
{
  static const guint8 colour[3] = { 1, 2, 3 };
  g_autofree guint8 *bytes = g_malloc (VM_HEADER_BYTES);
  g_autoptr (VmKeys) keys = vm_keys_new ();
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autofree char *text = g_malloc0 (60001);

  for (int i = 0; i < 60000; i++)
    text[i] = (char) g_rand_int_range (random, 32, 127);
  g_assert_true (vm_header_new (bytes, NULL, keys, NULL));
  g_assert_false (vm_header_fill (bytes, 0, 1, text, colour, keys, NULL));
  text[15000] = '\0';
  g_assert_true (vm_header_fill (bytes, 0, 1, text, colour, keys, NULL));
}

/* ------------------------------------------------------------------------------------------------ the file */

static void
test_is_a_sound_qcow2_image (Fixture *fixture, gconstpointer data)
{
  Machine *machine = create (fixture, "box", "CONFIDENTIAL", NULL);
  struct stat info;

  assert_sound (machine_record (machine)->file);
  g_assert_cmpint (stat (machine_record (machine)->file, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0600);
  reopen (fixture);
  machine = machine_find (fixture->guard, "box", TRUE, NULL);
  g_assert_true (vm_file_verify (fixture->guard, (MachineRecord *) machine_record (machine), NULL, NULL));
}

static void
test_default_place (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GVariant) options = options_of ("label", "SECRET", "disk", "8M", NULL);
  g_autoptr (GError) error = NULL;
  Machine *machine = machine_create (fixture->guard, "box", options, &error);

  g_assert_no_error (error);
  g_assert_true (g_str_has_suffix (machine_record (machine)->file, "/box.bulkhead"));
  assert_sound (machine_record (machine)->file);
}

static void
test_older_header_is_refused (Fixture *fixture, gconstpointer data)
{
  Machine *machine = create (fixture, "box", "SECRET", NULL);
  const char *path = machine_record (machine)->file;
  g_autoptr (GVariant) raise = options_of ("label", "TOP SECRET", NULL);
  g_autoptr (GVariant) repair = options_of ("repair", "", NULL);
  g_autoptr (GVariant) checked = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *before = NULL;
  g_autofree char *label = NULL;
  gboolean ok = FALSE;
  gsize n;

  before = read_file (path, &n);
  g_assert_true (machine_set (machine, raise, &error));
  g_assert_no_error (error);
  path = machine_record (machine)->file;
  write_at (path, before, 65536, 0);
  g_assert_false (vm_file_verify (fixture->guard, (MachineRecord *) machine_record (machine), NULL, &error));
  g_assert_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED);
  g_assert_nonnull (strstr (error->message, "older"));
  g_assert_nonnull (strstr (error->message, "--repair"));
  g_clear_error (&error);
  error = start (machine, NULL);
  g_assert_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED);
  g_clear_error (&error);
  /* The way to recover: the library's word. */
  checked = g_variant_ref_sink (machine_check (machine, repair, &error));
  g_assert_no_error (error);
  g_assert_true (g_variant_lookup (checked, "ok", "b", &ok) && ok);
  g_assert_true (vm_file_verify (fixture->guard, (MachineRecord *) machine_record (machine), NULL, &error));
  label = guard_banner (fixture->guard, &machine_record (machine)->label);
  g_assert_nonnull (strstr (label, "TOP SECRET"));
  assert_sound (path);
}

/* Whoever writes a header of his own, with a right plain digest, is not the guard. */
static void
test_forged_label_is_refused (Fixture *fixture, gconstpointer data)
{
  static const guint8 colour[3] = { 0 };
  Machine *machine = create (fixture, "box", "SECRET", NULL);
  const char *path = machine_record (machine)->file;
  guint64 offset = header_at (path);
  g_autofree guint8 *header = g_malloc (VM_HEADER_BYTES);
  g_autoptr (VmKeys) keys = vm_keys_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) parts = NULL;
  g_autofree char *forged = NULL;
  g_autofree char *file = NULL;
  gsize n;

  file = read_file (path, &n);
  memcpy (header, file + offset, VM_HEADER_BYTES);
  text = vm_header_text (header, 0, keys, &error);
  g_assert_no_error (error);
  parts = g_strsplit (text, "label=s40", 2);
  g_assert_nonnull (parts[1]);
  forged = g_strjoinv ("label=s10", parts);
  for (guint64 generation = 1; generation < 4; generation++)
    for (int slot = 0; slot < 2; slot++)
      {
        memcpy (header, file + offset, VM_HEADER_BYTES);
        memset (header + vm_header_slot_offset (0), 0, 2 * VM_HEADER_SLOT_BYTES);
        g_assert_true (vm_header_fill (header, slot, generation, forged, colour, keys, NULL));
        write_at (path, header, VM_HEADER_BYTES, (off_t) offset);
        g_clear_error (&error);
        g_assert_false (vm_file_verify (fixture->guard, (MachineRecord *) machine_record (machine), NULL, &error));
        g_assert_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED);
      }
}

static void
test_import_keeps_the_label (Fixture *fixture, gconstpointer data)
{
  Machine *machine = create (fixture, "box", "SECRET", NULL), *imported;
  g_autofree char *other_folder = in (fixture, "other");
  g_autofree char *moved = in (fixture, "moved.bulkhead");
  g_autofree char *bytes = NULL;
  g_autoptr (GVariant) none = options_of (NULL, NULL);
  g_autoptr (GVariant) lower = options_of ("label", "CONFIDENTIAL", "name", "low", NULL);
  g_autoptr (GVariant) higher = options_of ("label", "TOP SECRET", "name", "high", NULL);
  g_autoptr (GError) error = NULL;
  Guard *other;
  gsize n;

  assert_snapshot (machine, "take", "first", "a note");
  bytes = read_file (machine_record (machine)->file, &n);
  g_assert_true (g_file_set_contents (moved, bytes, (gssize) n, NULL));
  g_mkdir (other_folder, 0700);
  other = open_guard (other_folder);
  g_assert_null (machine_import (other, moved, lower, &error));
  g_assert_error (error, GUARD_ERROR, GUARD_ERROR_REFUSED);
  g_clear_error (&error);
  imported = machine_import (other, moved, none, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (machine_record (imported)->name, ==, "box");
  g_assert_true (label_equal (&machine_record (imported)->label, &machine_record (machine)->label));
  g_assert_cmpstr (machine_record (imported)->uuid, !=, machine_record (machine)->uuid);
  g_assert_cmpuint (vm_file_n_snapshots (other, machine_record (imported), NULL), ==, 1);
  g_assert_true (vm_file_verify (other, (MachineRecord *) machine_record (imported), NULL, NULL));
  g_assert_null (machine_import (other, moved, higher, &error));
  g_clear_error (&error);
  assert_sound (moved);
  guard_free (other);
}

static void
test_encrypted_says_nothing (Fixture *fixture, gconstpointer data)
{
  static const char *const words[] = { "vault-of-canaries", "SECRET", "snapshot-canary", "note-canary", "label=", "s40" };
  Machine *machine = create (fixture, "vault-of-canaries", "SECRET", PASSPHRASE);
  g_autoptr (GVariant) raise = options_of ("label", "TOP SECRET", NULL);
  g_autoptr (GVariant) with = options_of ("label", "TOP SECRET", "passphrase", PASSPHRASE, NULL);
  g_autoptr (GVariant) wrong = options_of ("passphrase", "wrong", NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *bytes = NULL;
  gsize n;

  error = start (machine, NULL);
  g_assert_error (error, GUARD_ERROR, GUARD_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "passphrase"));
  g_clear_error (&error);
  g_assert_false (machine_unlock (machine, wrong, NULL));
  g_assert_false (machine_set (machine, raise, &error));
  g_assert_nonnull (strstr (error->message, "passphrase"));
  g_clear_error (&error);
  g_assert_true (machine_set (machine, with, &error));
  g_assert_no_error (error);
  /* Unlocked for a minute. */
  assert_snapshot (machine, "take", "snapshot-canary", "note-canary");
  bytes = read_file (machine_record (machine)->file, &n);
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    {
      g_autofree char *wide = g_malloc0 (2 * strlen (words[i]));

      for (gsize k = 0; k < strlen (words[i]); k++)
        wide[2 * k] = words[i][k];
      if (memmem (bytes, n, words[i], strlen (words[i])) || memmem (bytes, n, wide, 2 * strlen (words[i])))
        g_error ("\"%s\" stands in the clear", words[i]);
    }
  assert_sound (machine_record (machine)->file);
}

static void
test_encrypted_import (Fixture *fixture, gconstpointer data)
{
  Machine *machine = create (fixture, "vault", "SECRET", PASSPHRASE), *imported;
  g_autofree char *other_folder = in (fixture, "other");
  g_autofree char *moved = in (fixture, "moved.bulkhead");
  g_autofree char *bytes = NULL;
  g_autoptr (GVariant) none = options_of (NULL, NULL);
  g_autoptr (GVariant) with = options_of ("passphrase", PASSPHRASE, NULL);
  g_autoptr (GError) error = NULL;
  Guard *other;
  gsize n;

  bytes = read_file (machine_record (machine)->file, &n);
  g_assert_true (g_file_set_contents (moved, bytes, (gssize) n, NULL));
  g_mkdir (other_folder, 0700);
  other = open_guard (other_folder);
  g_assert_null (machine_import (other, moved, none, NULL));
  imported = machine_import (other, moved, with, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (machine_record (imported)->name, ==, "vault");
  g_assert_true (machine_record (imported)->encrypted);
  guard_free (other);
}

/* ------------------------------------------------------------------------------------------------ snapshots of a machine that is off */

static char *
parent_of (Machine *machine, const char *name)
{
  g_autoptr (GVariant) rows = g_variant_ref_sink (machine_list_snapshots (machine, NULL));
  const char *id = NULL;

  for (gsize i = 0; i < g_variant_n_children (rows); i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (rows, i);
      const char *own = "", *parent = "";

      g_variant_lookup (row, "name", "&s", &own);
      g_variant_lookup (row, "parent", "&s", &parent);
      if (g_str_equal (own, name))
        id = parent;
    }
  for (gsize i = 0; id && *id && i < g_variant_n_children (rows); i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (rows, i);
      const char *own = "", *theirs = "";

      g_variant_lookup (row, "name", "&s", &own);
      g_variant_lookup (row, "id", "&s", &theirs);
      if (g_str_equal (theirs, id))
        return g_strdup (own);
    }
  return id ? g_strdup ("") : NULL;
}

static void
assert_parent (Machine *machine, const char *name, const char *parent)
{
  g_autofree char *found = parent_of (machine, name);

  g_assert_cmpstr (found, ==, parent);
}

static void
test_snapshot_tree (Fixture *fixture, gconstpointer data)
{
  Machine *machine = create (fixture, "box", "SECRET", NULL);
  g_autoptr (GError) error = NULL;

  assert_snapshot (machine, "take", "a", "first of all");
  assert_snapshot (machine, "take", "b", NULL);
  assert_snapshot (machine, "take", "c", NULL);
  assert_snapshot (machine, "revert", "a", NULL);
  assert_snapshot (machine, "take", "d", NULL);
  assert_parent (machine, "a", "");
  assert_parent (machine, "b", "a");
  assert_parent (machine, "c", "b");
  assert_parent (machine, "d", "a");
  error = snapshot (machine, "take", "d", NULL);
  g_assert_error (error, GUARD_ERROR, GUARD_ERROR_FAILED);
  g_clear_error (&error);
  assert_snapshot (machine, "delete", "b", NULL);
  assert_parent (machine, "c", "a");
  assert_snapshot (machine, "rename", "d", "other name");
  assert_parent (machine, "other name", "a");
  error = snapshot (machine, "revert", "b", NULL);
  g_assert_error (error, GUARD_ERROR, GUARD_ERROR_FAILED);
  assert_sound (machine_record (machine)->file);
  reopen (fixture);
  machine = machine_find (fixture->guard, "box", TRUE, NULL);
  assert_parent (machine, "c", "a");
  assert_snapshot (machine, "delete", "a", NULL);
  assert_parent (machine, "c", "");
  assert_snapshot (machine, "delete", "c", NULL);
  assert_snapshot (machine, "delete", "other name", NULL);
  g_assert_cmpuint (vm_file_n_snapshots (fixture->guard, machine_record (machine), NULL), ==, 0);
  assert_sound (machine_record (machine)->file);
}

static unsigned
table_entries (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  Qcow2Info info;
  ImageIo *io;

  g_assert_cmpint (image_io_fd_new (fd, TRUE, &io), ==, 0);
  g_assert_cmpint (qcow2_probe_header (io, &info, NULL), ==, 0);
  image_io_close (io);
  return info.n_snapshots;
}

/* The guard died between the table and the metadata: the next start takes the remains away.  Foreign ones stay. */
static void
test_orphans_are_removed (Fixture *fixture, gconstpointer data)
{
  Machine *machine = create (fixture, "box", "SECRET", NULL);
  const char *path = machine_record (machine)->file;
  int fd = open (path, O_RDWR | O_CLOEXEC);
  Qcow2Open how = { 0 };
  Qcow2Snapshot orphan = { .name = "bh-0123456789abcdef" }, foreign = { .name = "made by somebody" };
  BlockBackend *image;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (image_io_fd_new (fd, FALSE, &how.io), ==, 0);
  g_assert_cmpint (qcow2_open (&how, &image, NULL), ==, 0);
  g_assert_cmpint (qcow2_snapshot_create (image, &orphan), ==, 0);
  g_assert_cmpint (qcow2_snapshot_create (image, &foreign), ==, 0);
  block_close (image);
  g_assert_cmpuint (table_entries (path), ==, 2);
  g_assert_true (vm_file_verify (fixture->guard, (MachineRecord *) machine_record (machine), NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (table_entries (path), ==, 1);
  assert_sound (path);
}

/* ------------------------------------------------------------------------------------------------ with the real monitor */

static void
live (Fixture *fixture, const char *passphrase)
{
  Machine *machine = create_guest (fixture, "guest", "16", passphrase);
  const char *path = machine_record (machine)->file;
  g_autoptr (GError) error = start (machine, passphrase);
  g_autofree char *text = NULL;

  g_assert_no_error (error);
  wait_screen (machine, "Booting from Hard Disk", TRUE);
  type (machine, "before");
  wait_screen (machine, "before", TRUE);
  assert_snapshot (machine, "take", "one", "with memory");
  type (machine, "after");
  wait_screen (machine, "beforeafter", TRUE);
  assert_snapshot (machine, "revert", "one", NULL);
  wait_screen (machine, "beforeafter", FALSE);
  wait_screen (machine, "before", TRUE);
  type (machine, "again");
  wait_screen (machine, "beforeagain", TRUE);
  assert_snapshot (machine, "take", "two", NULL);
  assert_snapshot (machine, "delete", "one", NULL);
  assert_parent (machine, "two", "");
  error = suspend (machine);
  g_assert_no_error (error);
  g_assert_cmpint (machine_state (machine), ==, STATE_SUSPENDED);
  assert_sound (path);
  text = kept (machine);
  g_assert_cmpstr (text, ==, "beforeagain");
  g_clear_pointer (&text, g_free);
  /* A guard that begins anew knows it. */
  reopen (fixture);
  machine = machine_find (fixture->guard, "guest", TRUE, NULL);
  path = machine_record (machine)->file;
  g_assert_cmpint (machine_state (machine), ==, STATE_SUSPENDED);
  error = start (machine, passphrase);
  g_assert_no_error (error);
  wait_screen (machine, "beforeagain", TRUE);
  type (machine, "alive");
  wait_screen (machine, "beforeagainalive", TRUE);
  stop (machine);
  g_assert_cmpuint (table_entries (path), ==, 1);
  /* Off, back to a live snapshot: suspended in it. */
  if (passphrase)
    {
      g_autoptr (GVariant) with = options_of ("passphrase", passphrase, NULL);

      g_assert_true (machine_unlock (machine, with, NULL));
    }
  assert_snapshot (machine, "revert", "two", NULL);
  g_assert_cmpint (machine_state (machine), ==, STATE_SUSPENDED);
  text = kept (machine);
  g_assert_cmpstr (text, ==, "beforeagain");
  error = start (machine, passphrase);
  g_assert_no_error (error);
  wait_screen (machine, "beforeagain", TRUE);
  stop (machine);
  g_assert_cmpuint (table_entries (path), ==, 1);
  assert_sound (path);
}

static void
test_live (Fixture *fixture, gconstpointer data)
{
  live (fixture, NULL);
}

static void
test_live_encrypted (Fixture *fixture, gconstpointer data)
{
  live (fixture, PASSPHRASE);
}

static void
test_linked_clone (Fixture *fixture, gconstpointer data)
{
  Machine *base = create_guest (fixture, "base", "16", NULL), *clone;
  g_autofree char *path = in (fixture, "clone.bulkhead");
  g_autoptr (GVariant) options = options_of ("linked", "", "file", path, NULL);
  g_autoptr (GVariant) none = options_of (NULL, NULL);
  g_autoptr (GVariant) full = options_of (NULL, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  g_autofree char *text = NULL;
  gsize n_before, n_after;

  clone = machine_clone (base, "clone", options, &error);
  g_assert_no_error (error);
  before = read_file (machine_record (base)->file, &n_before);
  error = start (base, NULL);
  g_assert_error (error, GUARD_ERROR, GUARD_ERROR_WRONG_STATE);
  g_clear_error (&error);
  g_assert_false (machine_delete (base, none, &error));
  g_clear_error (&error);
  error = start (clone, NULL);
  g_assert_no_error (error);
  wait_screen (clone, "Booting from Hard Disk", TRUE);
  type (clone, "mine");
  wait_screen (clone, "mine", TRUE);
  assert_snapshot (clone, "take", "s", NULL);
  stop (clone);
  after = read_file (machine_record (base)->file, &n_after);
  g_assert_cmpmem (before, n_before, after, n_after);
  clone = machine_clone (clone, "full", full, &error);
  g_assert_no_error (error);
  g_assert_null (machine_record (clone)->base);
  text = kept (clone);
  g_assert_cmpstr (text, ==, "mine");
  assert_sound (machine_record (clone)->file);
}

static void
test_disposable_run (Fixture *fixture, gconstpointer data)
{
  Machine *machine = create_guest (fixture, "guest", "16", NULL);
  g_autoptr (GVariant) options = options_of ("discard-changes", "", NULL);
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  gsize n_before, n_after;
  Wait wait = { 0 };

  before = read_file (machine_record (machine)->file, &n_before);
  machine_start (machine, options, wait_done, &wait);
  g_assert_no_error (finish (&wait));
  wait_screen (machine, "Booting from Hard Disk", TRUE);
  type (machine, "gone");
  wait_screen (machine, "gone", TRUE);
  stop (machine);
  after = read_file (machine_record (machine)->file, &n_after);
  g_assert_cmpmem (before, n_before, after, n_after);
}

/* The state in the file of a suspended machine was changed: it is not loaded, and the state stays. */
static void
test_changed_state_is_refused (Fixture *fixture, gconstpointer data)
{
  Machine *machine = create_guest (fixture, "guest", "16", NULL);
  g_autoptr (GVariant) discard = options_of ("discard-state", "", NULL);
  g_autoptr (GError) error = start (machine, NULL);
  const char *path = machine_record (machine)->file;
  g_autofree char *bytes = NULL;
  Wait wait = { 0 };
  char *found;
  gsize n;

  g_assert_no_error (error);
  wait_screen (machine, "Booting from Hard Disk", TRUE);
  error = suspend (machine);
  g_assert_no_error (error);
  bytes = read_file (path, &n);
  found = memmem (bytes, n, "BHSTATE1", 8);
  g_assert_nonnull (found);
  found[4096] ^= 0x10;
  write_at (path, bytes, n, 0);
  error = start (machine, NULL);
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_cmpint (machine_state (machine), ==, STATE_SUSPENDED);
  machine_start (machine, discard, wait_done, &wait);
  g_assert_no_error (finish (&wait));
  wait_screen (machine, "Booting from Hard Disk", TRUE);
  stop (machine);
  g_assert_cmpuint (table_entries (path), ==, 0);
  assert_sound (path);
}

static void
test_pause_of_a_live_snapshot (Fixture *fixture, gconstpointer data)
{
  Machine *machine = create_guest (fixture, "guest", "256", NULL);
  g_autoptr (GError) error = start (machine, NULL);
  gint64 begin, taken, suspended;

  g_assert_no_error (error);
  wait_screen (machine, "Booting from Hard Disk", TRUE);
  begin = g_get_monotonic_time ();
  assert_snapshot (machine, "take", "one", NULL);
  taken = g_get_monotonic_time ();
  error = suspend (machine);
  g_assert_no_error (error);
  suspended = g_get_monotonic_time ();
  error = start (machine, NULL);
  g_assert_no_error (error);
  g_test_message ("256 MiB: snapshot %d ms, suspend %d ms, resume %d ms", (int) ((taken - begin) / 1000),
                  (int) ((suspended - taken) / 1000), (int) ((g_get_monotonic_time () - suspended) / 1000));
  stop (machine);
}

int
main (int argc, char **argv)
{
  if (geteuid () == 0 && (setgroups (0, NULL) < 0 || setresgid (65534, 65534, 65534) < 0 || setresuid (65534, 65534, 65534) < 0))
    return 77;
  g_setenv ("HOME", g_get_tmp_dir (), TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vm-file/header/torn-writes", test_header_torn_writes);
  g_test_add_func ("/vm-file/header/flipped-bits", test_header_flipped_bits);
  g_test_add_func ("/vm-file/header/encrypted", test_header_encrypted);
  g_test_add_func ("/vm-file/header/too-much", test_header_too_much);
#define ADD(path, function) g_test_add ("/vm-file/" path, Fixture, NULL, set_up, function, tear_down)
  ADD ("is-a-sound-qcow2-image", test_is_a_sound_qcow2_image);
  ADD ("default-place", test_default_place);
  ADD ("older-header-is-refused", test_older_header_is_refused);
  ADD ("forged-label-is-refused", test_forged_label_is_refused);
  ADD ("import-keeps-the-label", test_import_keeps_the_label);
  ADD ("encrypted-says-nothing", test_encrypted_says_nothing);
  ADD ("encrypted-import", test_encrypted_import);
  ADD ("snapshot-tree", test_snapshot_tree);
  ADD ("orphans-are-removed", test_orphans_are_removed);
  ADD ("live", test_live);
  ADD ("live-encrypted", test_live_encrypted);
  ADD ("linked-clone", test_linked_clone);
  ADD ("disposable-run", test_disposable_run);
  ADD ("changed-state-is-refused", test_changed_state_is_refused);
  ADD ("pause-of-a-live-snapshot", test_pause_of_a_live_snapshot);
  return g_test_run ();
}
