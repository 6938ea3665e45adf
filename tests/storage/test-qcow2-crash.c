/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is left of an image after a kill or a power loss at any point.
 *
 * A random script runs over an image whose every write is logged.  From the log come the states that a cut could leave:
 *   kill         every prefix of the log, the next write torn at a sector
 *   power loss   everything up to a barrier, and any sectors of what was written after it
 * Each state must open, check without errors, hold in every sector the flushed value or a later one, and hold every snapshot
 * unchanged.  BULKHEAD_CRASH_STATES=N (per variant and kind), BULKHEAD_CRASH_SEED=S for long runs. */
#include "memory-io.h"

#include "qcow2.h"

#include <glib/gstdio.h>
#include <unistd.h>

#define N_SECTOR 512u

typedef struct
{
  const char *name;
  unsigned    cluster_bits, refcount_order;
  bool        encrypted, extended_l2;
  uint64_t    n_disk;
} Variant;

static const Variant variants[] = {
  { "64k",             16, 4, false, false, 4 << 20 },
  { "64k-encrypted",   16, 4, true,  false, 4 << 20 },
  { "4k",              12, 4, false, false, 1 << 20 },
  { "4k-encrypted",    12, 4, true,  false, 1 << 20 },
  { "512-refcount64",   9, 6, false, false, 256 << 10 },
  { "16k-subclusters", 14, 3, false, true,  1 << 20 },
};

typedef enum { EVENT_WRITE, EVENT_FLUSH, EVENT_DURABLE } EventKind;

typedef struct
{
  EventKind kind;
  unsigned  log_begin, log_end; /* length of the log when it began and when it was done */
  uint64_t  n_disk;             /* size of the disk after it */
} Event;

typedef struct
{
  unsigned event;
  uint64_t value;
} Version;

typedef struct
{
  unsigned  created, deleted;   /* events; deleted 0: never */
  char      name[16];
  uint64_t *values;
  uint64_t  n_sectors;
} Taken;

typedef struct
{
  const Variant *variant;
  GRand         *random;
  MemoryFile     file, before;
  GArray        *log;
  BlockBackend  *disk;
  uint8_t        key[QCOW2_KEY_BYTES];
  GArray        *events;        /* of Event */
  GArray       **history;       /* per sector, of Version */
  uint64_t       n_history;
  GArray        *taken;         /* of Taken */
  uint64_t       stamp;
} Script;

static BlockBackend *
open_image (const Script *self, MemoryFile *file, GArray *log, bool read_only)
{
  MemoryIo *io = memory_io_new (file, log);
  Qcow2Open how = { .io = &io->parent, .read_only = read_only };
  BlockBackend *image = NULL;
  const char *reason = NULL;
  int result;

  if (self->variant->encrypted)
    {
      how.key = self->key;
      how.n_key = sizeof self->key;
    }
  result = qcow2_open (&how, &image, &reason);
  if (result < 0)
    {
      g_test_message ("open: %s (%s)", reason, g_strerror (-result));
      g_free (io);
      return NULL;
    }
  return image;
}

static unsigned
begin_event (Script *self, EventKind kind)
{
  Event event = { kind, self->log->len, 0, self->disk->n_bytes };

  g_array_append_val (self->events, event);
  return self->events->len - 1;
}

static void
end_event (Script *self, unsigned index)
{
  Event *event = &g_array_index (self->events, Event, index);

  event->log_end = self->log->len;
  event->n_disk = self->disk->n_bytes;
}

static void
note (Script *self, uint64_t sector, unsigned event, uint64_t value)
{
  Version version = { event, value };

  while (sector >= self->n_history)
    {
      self->history = g_renew (GArray *, self->history, self->n_history + 1);
      self->history[self->n_history++] = g_array_new (FALSE, FALSE, sizeof (Version));
    }
  g_array_append_val (self->history[sector], version);
}

static uint64_t
present (const Script *self, uint64_t sector)
{
  const GArray *history = sector < self->n_history ? self->history[sector] : NULL;

  return history && history->len ? g_array_index (history, Version, history->len - 1).value : 0;
}

static void
do_write (Script *self)
{
  uint64_t n_sectors = self->disk->n_bytes / N_SECTOR;
  uint64_t first = (uint64_t) g_rand_int_range (self->random, 0, (gint32) n_sectors);
  uint64_t n = 1u << g_rand_int_range (self->random, 0, 9);
  g_autofree uint64_t *bytes = NULL;
  unsigned event = begin_event (self, EVENT_WRITE);

  n = MIN (n, n_sectors - first);
  bytes = g_new (uint64_t, n * N_SECTOR / 8);
  for (uint64_t i = 0; i < n; i++)
    {
      self->stamp++;
      for (unsigned w = 0; w < N_SECTOR / 8; w++)
        bytes[i * N_SECTOR / 8 + w] = self->stamp;
      note (self, first + i, event, self->stamp);
    }
  g_assert_cmpint (block_write (self->disk, first * N_SECTOR, bytes, n * N_SECTOR), ==, 0);
  end_event (self, event);
}

static void
do_discard (Script *self)
{
  uint64_t n_sectors = self->disk->n_bytes / N_SECTOR;
  uint64_t first = (uint64_t) g_rand_int_range (self->random, 0, (gint32) n_sectors);
  uint64_t n = (uint64_t) g_rand_int_range (self->random, 1, 2048);
  unsigned event = begin_event (self, EVENT_WRITE);

  n = MIN (n, n_sectors - first);
  for (uint64_t i = 0; i < n; i++)
    note (self, first + i, event, 0);
  g_assert_cmpint (self->disk->klass->discard (self->disk, first * N_SECTOR, n * N_SECTOR), ==, 0);
  end_event (self, event);
}

static void
do_flush (Script *self)
{
  unsigned event = begin_event (self, EVENT_FLUSH);

  g_assert_cmpint (block_flush (self->disk), ==, 0);
  end_event (self, event);
}

static void
do_resize (Script *self)
{
  unsigned event;

  if (self->disk->n_bytes >= 2 * self->variant->n_disk)
    return;
  event = begin_event (self, EVENT_DURABLE);
  g_assert_cmpint (self->disk->klass->resize (self->disk, self->disk->n_bytes + 512 * (uint64_t) g_rand_int_range (self->random, 1, 200)),
                   ==, 0);
  end_event (self, event);
}

static void
do_take (Script *self)
{
  Qcow2Snapshot snapshot = { .date_s = 1 };
  Taken taken = { 0 };
  uint8_t state[5000];

  if (qcow2_n_snapshots (self->disk) >= 3)
    return;
  memset (state, 0x77, sizeof state);
  if (g_rand_boolean (self->random))
    {
      g_assert_cmpint (qcow2_write_vm_state (self->disk, 100, state, sizeof state), ==, 0);
      snapshot.n_vm_state = 5100;
    }
  taken.created = begin_event (self, EVENT_DURABLE);
  g_snprintf (taken.name, sizeof taken.name, "s%u", taken.created);
  g_strlcpy (snapshot.name, taken.name, sizeof snapshot.name);
  taken.n_sectors = self->disk->n_bytes / N_SECTOR;
  taken.values = g_new (uint64_t, taken.n_sectors);
  for (uint64_t i = 0; i < taken.n_sectors; i++)
    taken.values[i] = present (self, i);
  g_assert_cmpint (qcow2_snapshot_create (self->disk, &snapshot), ==, 0);
  end_event (self, taken.created);
  g_array_append_val (self->taken, taken);
}

static Taken *
choose_taken (Script *self)
{
  for (unsigned tries = 0; tries < 20 && self->taken->len; tries++)
    {
      Taken *taken = &g_array_index (self->taken, Taken, (unsigned) g_rand_int_range (self->random, 0, (gint32) self->taken->len));

      if (!taken->deleted)
        return taken;
    }
  return NULL;
}

static void
do_delete (Script *self)
{
  Taken *taken = choose_taken (self);

  if (!taken)
    return;
  taken->deleted = begin_event (self, EVENT_DURABLE);
  g_assert_cmpint (qcow2_snapshot_delete (self->disk, (unsigned) qcow2_find_snapshot (self->disk, taken->name)), ==, 0);
  end_event (self, taken->deleted);
}

static void
do_apply (Script *self)
{
  Taken *taken = choose_taken (self);
  uint64_t n;
  unsigned event;

  if (!taken)
    return;
  event = begin_event (self, EVENT_DURABLE);
  n = MAX (taken->n_sectors, self->n_history);
  for (uint64_t i = 0; i < n; i++)
    note (self, i, event, i < taken->n_sectors ? taken->values[i] : 0);
  g_assert_cmpint (qcow2_snapshot_apply (self->disk, (unsigned) qcow2_find_snapshot (self->disk, taken->name)), ==, 0);
  end_event (self, event);
}

static void
script_new (Script *self, const Variant *variant, uint32_t seed, unsigned n_steps)
{
  Qcow2Create what = {
    .n_bytes = variant->n_disk, .cluster_bits = variant->cluster_bits, .refcount_order = variant->refcount_order,
    .extended_l2 = variant->extended_l2, .passphrase = variant->encrypted ? "x" : NULL, .n_passphrase = 1, .unlock_ms = 1
  };
  MemoryIo *io;

  memset (self, 0, sizeof *self);
  self->variant = variant;
  self->random = g_rand_new_with_seed (seed);
  self->events = g_array_new (FALSE, FALSE, sizeof (Event));
  self->taken = g_array_new (FALSE, FALSE, sizeof (Taken));
  self->log = g_array_new (FALSE, FALSE, sizeof (Logged));
  g_array_set_clear_func (self->log, memory_io_clear_logged);
  io = memory_io_new (&self->file, NULL);
  g_assert_cmpint (qcow2_create (&io->parent, &what, self->key), ==, 0);
  g_free (io);
  memory_file_copy (&self->before, &self->file);
  self->disk = open_image (self, &self->file, self->log, false);
  g_assert_nonnull (self->disk);
  end_event (self, begin_event (self, EVENT_FLUSH));
  for (unsigned i = 0; i < n_steps; i++)
    {
      int choice = g_rand_int_range (self->random, 0, 100);

      if (choice < 62)
        do_write (self);
      else if (choice < 72)
        do_discard (self);
      else if (choice < 86)
        do_flush (self);
      else if (choice < 89)
        do_resize (self);
      else if (choice < 94)
        do_take (self);
      else if (choice < 97)
        do_delete (self);
      else
        do_apply (self);
    }
  block_close (self->disk);
  self->disk = NULL;
}

static void
script_clear (Script *self)
{
  for (uint64_t i = 0; i < self->n_history; i++)
    g_array_unref (self->history[i]);
  g_free (self->history);
  for (unsigned i = 0; i < self->taken->len; i++)
    g_free (g_array_index (self->taken, Taken, i).values);
  g_array_unref (self->taken);
  g_array_unref (self->events);
  g_array_unref (self->log);
  g_rand_free (self->random);
  memory_file_clear (&self->file);
  memory_file_clear (&self->before);
}

/* --- judging a state -------------------------------------------------------------------------------------------------- */

/* One value per sector; torn sectors are no value. */
static uint64_t *
read_sectors (BlockBackend *disk, uint64_t *ret_n)
{
  g_autofree uint64_t *bytes = g_malloc (disk->n_bytes);
  uint64_t n = disk->n_bytes / N_SECTOR, *values = g_new (uint64_t, n);

  g_assert_cmpint (block_read (disk, 0, bytes, disk->n_bytes), ==, 0);
  for (uint64_t i = 0; i < n; i++)
    {
      values[i] = bytes[i * N_SECTOR / 8];
      for (unsigned w = 1; w < N_SECTOR / 8; w++)
        if (bytes[i * N_SECTOR / 8 + w] != values[i])
          values[i] = UINT64_MAX;
    }
  *ret_n = n;
  return values;
}

static void
judge_disk (const Script *self, BlockBackend *disk, unsigned cut)
{
  unsigned flushed = 0;
  uint64_t n;
  g_autofree uint64_t *values = read_sectors (disk, &n);

  for (unsigned e = 0; e < self->events->len; e++)
    {
      const Event *event = &g_array_index (self->events, Event, e);

      if (event->kind != EVENT_WRITE && event->log_end <= cut)
        flushed = e;
    }
  for (uint64_t i = 0; i < MIN (n, self->n_history); i++)
    {
      const GArray *history = self->history[i];
      uint64_t old = 0;
      bool right;

      for (unsigned v = 0; v < history->len && g_array_index (history, Version, v).event <= flushed; v++)
        old = g_array_index (history, Version, v).value;
      right = values[i] == old;
      for (unsigned v = 0; v < history->len && !right; v++)
        {
          const Version *version = &g_array_index (history, Version, v);

          right = version->event > flushed && g_array_index (self->events, Event, version->event).log_begin <= cut
                  && version->value == values[i];
        }
      if (!right)
        g_error ("sector %" G_GUINT64_FORMAT " holds %" G_GUINT64_FORMAT ", flushed was %" G_GUINT64_FORMAT ", cut after write %u",
                 i, values[i], old, cut);
    }
}

static void
judge_snapshots (const Script *self, BlockBackend *disk, unsigned cut)
{
  for (unsigned t = 0; t < self->taken->len; t++)
    {
      const Taken *taken = &g_array_index (self->taken, Taken, t);
      g_autofree uint64_t *values = NULL;
      int index = qcow2_find_snapshot (disk, taken->name);
      uint64_t n;

      if (g_array_index (self->events, Event, taken->created).log_end <= cut
          && (!taken->deleted || g_array_index (self->events, Event, taken->deleted).log_begin > cut))
        g_assert_cmpint (index, >=, 0);
      if (index < 0)
        continue;
      g_assert_cmpint (qcow2_snapshot_apply (disk, (unsigned) index), ==, 0);
      values = read_sectors (disk, &n);
      g_assert_cmpuint (n, ==, taken->n_sectors);
      for (uint64_t i = 0; i < n; i++)
        if (values[i] != taken->values[i])
          g_error ("snapshot %s, sector %" G_GUINT64_FORMAT ": %" G_GUINT64_FORMAT " instead of %" G_GUINT64_FORMAT, taken->name, i,
                   values[i], taken->values[i]);
    }
}

static void
judge (const Script *self, MemoryFile *state, unsigned cut, bool with_qemu)
{
  BlockBackend *disk;
  Qcow2Check check;
  Qcow2Info info;
  MemoryIo *io = memory_io_new (state, NULL);
  int status;

  g_assert_cmpint (qcow2_probe_header (&io->parent, &info, NULL), ==, 0);
  g_free (io);
  if (with_qemu && !info.dirty)
    {
      status = qemu_check (state, self->variant->encrypted ? "x" : NULL);
      g_assert_true (status == 0 || status == 3);
    }
  disk = open_image (self, state, NULL, false);
  g_assert_nonnull (disk);
  g_assert_cmpint (qcow2_check (disk, false, &check), ==, 0);
  if (check.n_errors)
    g_error ("%" G_GUINT64_FORMAT " errors after a cut behind write %u%s", check.n_errors, cut, info.dirty ? " (repaired)" : "");
  judge_disk (self, disk, cut);
  judge_snapshots (self, disk, cut);
  g_assert_cmpint (qcow2_check (disk, true, &check), ==, 0);
  g_assert_cmpuint (check.n_errors, ==, 0);
  g_assert_cmpuint (check.n_leaks, ==, 0);
  block_close (disk);
  if (with_qemu)
    g_assert_cmpint (qemu_check (state, self->variant->encrypted ? "x" : NULL), ==, 0);
}

/* --- the states -------------------------------------------------------------------------------------------------------------- */

static void
apply_logged (MemoryFile *file, const Logged *logged)
{
  switch (logged->kind)
    {
    case LOGGED_WRITE: memory_file_write (file, logged->offset, logged->bytes, logged->n_bytes); break;
    case LOGGED_TRUNCATE: memory_file_resize (file, logged->n_bytes); break;
    case LOGGED_PUNCH: memory_file_punch (file, logged->offset, logged->n_bytes); break;
    case LOGGED_FLUSH: default: break;
    }
}

/* A write as far as it came: whole sectors of the file. */
static void
apply_torn (MemoryFile *file, const Logged *logged, GRand *random, bool any_order)
{
  uint64_t at = 0;
  uint64_t stop = (uint64_t) g_rand_int_range (random, 0, (gint32) logged->n_bytes + 1);

  if (logged->kind != LOGGED_WRITE)
    {
      if (any_order && g_rand_boolean (random))
        apply_logged (file, logged);
      return;
    }
  while (at < logged->n_bytes)
    {
      uint64_t n = MIN (N_SECTOR - (logged->offset + at) % N_SECTOR, logged->n_bytes - at);

      if (any_order ? g_rand_boolean (random) : at + n <= stop)
        memory_file_write (file, logged->offset + at, logged->bytes + at, n);
      at += n;
    }
}

static unsigned
n_states (unsigned usual)
{
  const char *text = g_getenv ("BULKHEAD_CRASH_STATES");

  return text ? (unsigned) g_ascii_strtoull (text, NULL, 10) : usual;
}

static uint32_t
first_seed (void)
{
  const char *text = g_getenv ("BULKHEAD_CRASH_SEED");

  return text ? (uint32_t) g_ascii_strtoull (text, NULL, 10) : 20261123;
}

static void
test_kill (gconstpointer data)
{
  unsigned wanted = n_states (90), done = 0;
  bool qemu = have_qemu ();
  MemoryFile state = { 0 };

  for (uint32_t seed = first_seed (); done < wanted; seed++)
    {
      MemoryFile sofar = { 0 };
      Script script;

      script_new (&script, data, seed, 60);
      memory_file_copy (&sofar, &script.before);
      for (unsigned cut = 0; cut <= script.log->len && done < wanted; cut++)
        {
          const Logged *next = cut < script.log->len ? &g_array_index (script.log, Logged, cut) : NULL;

          /* A short run takes some of them, a long run all. */
          if (wanted >= 1000 || g_rand_int_range (script.random, 0, 4) == 0)
            {
              memory_file_copy (&state, &sofar);
              if (next && cut % 2)
                apply_torn (&state, next, script.random, false);
              judge (&script, &state, cut, qemu && done % 50 == 0);
              done++;
            }
          if (next)
            apply_logged (&sofar, next);
        }
      memory_file_clear (&sofar);
      script_clear (&script);
    }
  memory_file_clear (&state);
  g_test_message ("%u states", done);
}

static void
test_power_loss (gconstpointer data)
{
  unsigned wanted = n_states (90), done = 0;
  bool qemu = have_qemu ();
  MemoryFile state = { 0 };

  for (uint32_t seed = first_seed () + 1000000; done < wanted; seed++)
    {
      MemoryFile durable = { 0 };
      unsigned begin = 0;
      Script script;

      script_new (&script, data, seed, 60);
      memory_file_copy (&durable, &script.before);
      for (unsigned end = 0; end <= script.log->len && done < wanted; end++)
        {
          unsigned n_subsets = wanted >= 1000 ? 50 : 3;

          if (end < script.log->len && g_array_index (script.log, Logged, end).kind != LOGGED_FLUSH)
            continue;
          for (unsigned subset = 0; subset < n_subsets && done < wanted && end > begin; subset++)
            {
              unsigned cut = begin + (unsigned) g_rand_int_range (script.random, 0, (gint32) (end - begin) + 1);
              unsigned dropped = begin + (unsigned) g_rand_int_range (script.random, 0, (gint32) (end - begin));

              memory_file_copy (&state, &durable);
              for (unsigned i = begin; i < cut; i++)
                if (subset % 3 == 0 && i != dropped)
                  apply_logged (&state, &g_array_index (script.log, Logged, i));
                else if (subset % 3 == 1)
                  apply_torn (&state, &g_array_index (script.log, Logged, i), script.random, true);
                else if (subset % 3 == 2 && g_rand_boolean (script.random))
                  apply_logged (&state, &g_array_index (script.log, Logged, i));
              judge (&script, &state, cut, qemu && done % 50 == 0);
              done++;
            }
          for (; begin < end; begin++)
            apply_logged (&durable, &g_array_index (script.log, Logged, begin));
        }
      memory_file_clear (&durable);
      script_clear (&script);
    }
  memory_file_clear (&state);
  g_test_message ("%u states", done);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (unsigned i = 0; i < G_N_ELEMENTS (variants); i++)
    {
      g_autofree char *kill = g_strdup_printf ("/qcow2-crash/kill/%s", variants[i].name);
      g_autofree char *power = g_strdup_printf ("/qcow2-crash/power-loss/%s", variants[i].name);

      g_test_add_data_func (kill, &variants[i], test_kill);
      g_test_add_data_func (power, &variants[i], test_power_loss);
    }
  return g_test_run ();
}
