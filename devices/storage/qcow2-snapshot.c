/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2: internal snapshots and the memory state behind the disk.
 *
 * A snapshot is a second L1 table over shared clusters, so refcounts of clusters in use change: that is done under the
 * dirty bit, and one write of the header's fixed fields (inside one sector) decides between before and after.  Version 2
 * has no dirty bit: its snapshots can be read, not changed. */
#include "qcow2-private.h"

#include <stdio.h>
#include <stdlib.h>

#define ENTRY_FIXED 40u
#define ENTRY_EXTRA 16u

void
qcow2_free_snapshots (Snapshot *snapshots, uint32_t n)
{
  for (uint32_t i = 0; snapshots && i < n; i++)
    {
      free (snapshots[i].extra);
      free (snapshots[i].id);
      free (snapshots[i].name);
    }
  free (snapshots);
}

static int
because (const char **ret_reason, int error, const char *reason)
{
  if (ret_reason)
    *ret_reason = reason;
  return error;
}

static char *
text_of (const uint8_t *bytes, size_t n)
{
  char *text = malloc (n + 1);

  if (text)
    {
      memcpy (text, bytes, n);
      text[n] = 0;
    }
  return text;
}

int
qcow2_load_snapshots (Qcow2 *self, const char **ret_reason)
{
  uint64_t at = self->snapshots_offset, limit = at + QCOW2_MAX_SNAPSHOT_TABLE_BYTES;
  uint8_t *rest;
  int result = 0;

  if (self->n_snapshots == 0)
    return 0;
  if (limit > self->end)
    limit = self->end;
  self->snapshots = calloc (self->n_snapshots, sizeof *self->snapshots);
  rest = malloc (QCOW2_MAX_SNAPSHOT_EXTRA + 2 * 65536);
  if (!self->snapshots || !rest)
    {
      free (rest);
      return -ENOMEM;
    }
  for (uint32_t i = 0; i < self->n_snapshots && result == 0; i++)
    {
      Snapshot *s = &self->snapshots[i];
      uint8_t fixed[ENTRY_FIXED];
      uint32_t n_extra;
      uint64_t n;

      if (at > limit || limit - at < ENTRY_FIXED)
        result = because (ret_reason, -EINVAL, "its snapshot table is cut off");
      if (result == 0)
        result = image_io_read (self->io, at, fixed, sizeof fixed);
      if (result < 0)
        break;
      s->l1_offset = get_be64 (fixed);
      s->n_l1 = get_be32 (fixed + 8);
      s->n_id = get_be16 (fixed + 12);
      s->n_name = get_be16 (fixed + 14);
      s->date_s = get_be32 (fixed + 16);
      s->date_ns = get_be32 (fixed + 20);
      s->clock_ns = get_be64 (fixed + 24);
      s->n_vm_state = get_be32 (fixed + 32);
      s->n_disk = self->parent.n_bytes;
      n_extra = get_be32 (fixed + 36);
      n = (uint64_t) n_extra + s->n_id + s->n_name;
      if (n_extra > QCOW2_MAX_SNAPSHOT_EXTRA || n > limit - at - ENTRY_FIXED)
        result = because (ret_reason, -EINVAL, "its snapshot table is damaged");
      else if ((uint64_t) s->n_l1 * 8 > QCOW2_MAX_L1_BYTES
               || (s->n_l1 && (!is_table_offset (self, s->l1_offset)
                               || clusters_of (self, (uint64_t) s->n_l1 * 8) > (self->end - s->l1_offset) >> self->cluster_bits)))
        result = because (ret_reason, -EINVAL, "a snapshot's table is outside the file");
      if (result == 0)
        result = image_io_read (self->io, at + ENTRY_FIXED, rest, n);
      if (result < 0)
        break;
      if (n_extra >= 8)
        s->n_vm_state = get_be64 (rest);
      if (n_extra >= 16)
        s->n_disk = get_be64 (rest + 8);
      if (l1_entries_for (self, s->n_disk) > s->n_l1)
        result = because (ret_reason, -EINVAL, "a snapshot's table is too small for its disk");
      if (n_extra > ENTRY_EXTRA)
        {
          s->n_extra = n_extra - ENTRY_EXTRA;
          s->extra = malloc (s->n_extra);
          if (s->extra)
            memcpy (s->extra, rest + ENTRY_EXTRA, s->n_extra);
        }
      s->id = text_of (rest + n_extra, s->n_id);
      s->name = text_of (rest + n_extra + s->n_id, s->n_name);
      if (!s->id || !s->name || (s->n_extra && !s->extra))
        result = -ENOMEM;
      at += (ENTRY_FIXED + n + 7) & ~UINT64_C (7);
    }
  free (rest);
  self->snapshot_table_bytes = at - self->snapshots_offset;
  return result;
}

/* Writes a table into new clusters; not durable, not named by the header. */
static int
store_table (Qcow2 *self, const Snapshot *snapshots, uint32_t n, uint64_t *ret_offset, uint64_t *ret_n_bytes)
{
  uint64_t n_bytes = 0, n_clusters, got, at = 0;
  uint8_t *bytes;
  int result;

  *ret_offset = *ret_n_bytes = 0;
  if (n == 0)
    return 0;
  for (uint32_t i = 0; i < n; i++)
    n_bytes += ((uint64_t) ENTRY_FIXED + ENTRY_EXTRA + snapshots[i].n_extra + snapshots[i].n_id + snapshots[i].n_name + 7)
               & ~UINT64_C (7);
  if (n > QCOW2_MAX_SNAPSHOTS || n_bytes > QCOW2_MAX_SNAPSHOT_TABLE_BYTES)
    return -EFBIG;
  n_clusters = clusters_of (self, n_bytes);
  bytes = calloc (n_clusters, self->cluster);
  if (!bytes)
    return -ENOMEM;
  for (uint32_t i = 0; i < n; i++)
    {
      const Snapshot *s = &snapshots[i];
      uint8_t *e = bytes + at;

      put_be64 (e, s->l1_offset);
      put_be32 (e + 8, s->n_l1);
      put_be16 (e + 12, s->n_id);
      put_be16 (e + 14, s->n_name);
      put_be32 (e + 16, s->date_s);
      put_be32 (e + 20, s->date_ns);
      put_be64 (e + 24, s->clock_ns);
      put_be32 (e + 32, s->n_vm_state > UINT32_MAX ? 0 : (uint32_t) s->n_vm_state);
      put_be32 (e + 36, ENTRY_EXTRA + s->n_extra);
      put_be64 (e + ENTRY_FIXED, s->n_vm_state);
      put_be64 (e + ENTRY_FIXED + 8, s->n_disk);
      e += ENTRY_FIXED + ENTRY_EXTRA;
      if (s->n_extra)
        memcpy (e, s->extra, s->n_extra);
      memcpy (e + s->n_extra, s->id, s->n_id);
      memcpy (e + s->n_extra + s->n_id, s->name, s->n_name);
      at += ((uint64_t) ENTRY_FIXED + ENTRY_EXTRA + s->n_extra + s->n_id + s->n_name + 7) & ~UINT64_C (7);
    }
  result = qcow2_allocate (self, n_clusters, n_clusters, ret_offset, &got);
  if (result == 0)
    {
      result = qcow2_io_write (self, *ret_offset, bytes, (size_t) n_clusters << self->cluster_bits);
      if (result == 0)
        result = qcow2_guard_add (self, *ret_offset, n_clusters);
      if (result < 0)
        qcow2_unallocate (self, *ret_offset, n_clusters);
    }
  free (bytes);
  *ret_n_bytes = n_bytes;
  return result;
}

static void
drop_table (Qcow2 *self, uint64_t offset, uint64_t n_bytes)
{
  if (offset)
    qcow2_unallocate (self, offset, clusters_of (self, n_bytes));
}

/* --- asking --------------------------------------------------------------------------------------------------------- */

unsigned
qcow2_n_snapshots (BlockBackend *image)
{
  Qcow2 *self = qcow2_of (image);

  return self ? self->n_snapshots : 0;
}

static void
copy_text (char *to, size_t n_to, const char *from, size_t n_from)
{
  size_t n = n_from < n_to ? n_from : n_to - 1;

  memcpy (to, from, n);
  to[n] = 0;
}

int
qcow2_get_snapshot (BlockBackend *image, unsigned index, Qcow2Snapshot *ret)
{
  Qcow2 *self = qcow2_of (image);
  const Snapshot *s;

  if (!self || index >= self->n_snapshots)
    return -EINVAL;
  s = &self->snapshots[index];
  memset (ret, 0, sizeof *ret);
  copy_text (ret->id, sizeof ret->id, s->id, s->n_id);
  copy_text (ret->name, sizeof ret->name, s->name, s->n_name);
  ret->date_s = s->date_s;
  ret->date_ns = s->date_ns;
  ret->clock_ns = s->clock_ns;
  ret->n_vm_state = s->n_vm_state;
  ret->n_disk = s->n_disk;
  return 0;
}

int
qcow2_find_snapshot (BlockBackend *image, const char *id_or_name)
{
  Qcow2 *self = qcow2_of (image);

  for (uint32_t i = 0; self && i < self->n_snapshots; i++)
    if (strcmp (self->snapshots[i].id, id_or_name) == 0)
      return (int) i;
  for (uint32_t i = 0; self && i < self->n_snapshots; i++)
    if (strcmp (self->snapshots[i].name, id_or_name) == 0)
      return (int) i;
  return -ENOENT;
}

static int
count_exclusive (Qcow2 *self, uint64_t cluster_number, uint64_t n, void *data)
{
  uint64_t *total = data, refs;

  for (uint64_t i = 0; i < n; i++)
    {
      int result = qcow2_refcount (self, cluster_number + i, &refs);

      if (result < 0)
        return result;
      *total += refs == 1;
    }
  return 0;
}

int
qcow2_snapshot_exclusive_bytes (BlockBackend *image, unsigned index, uint64_t *ret_n_bytes)
{
  Qcow2 *self = qcow2_of (image);
  uint64_t total = 0, n_bad = 0;
  L1View l1;
  int result;

  if (!self || index >= self->n_snapshots)
    return -EINVAL;
  result = qcow2_load_l1 (self, self->snapshots[index].l1_offset, self->snapshots[index].n_l1, &l1);
  if (result < 0)
    return result;
  result = qcow2_visit (self, &l1, &n_bad, count_exclusive, &total);
  total += clusters_of (self, (uint64_t) l1.n * 8);
  free (l1.entries);
  *ret_n_bytes = total << self->cluster_bits;
  return result;
}

static int
drop_one (Qcow2 *self, uint64_t cluster_number, uint64_t n, void *data)
{
  return qcow2_free_later (self, cluster_number << self->cluster_bits, n);
}

/* --- memory state ------------------------------------------------------------------------------------------------------- */

static uint64_t
vm_state_base (const Qcow2 *self, uint64_t n_disk)
{
  return l1_entries_for (self, n_disk) << (self->cluster_bits + self->l2_bits);
}

int
qcow2_write_vm_state (BlockBackend *image, uint64_t offset, const void *bytes, size_t n_bytes)
{
  Qcow2 *self = qcow2_of (image);
  uint64_t base, needed;
  int result = 0;

  if (!self || offset > QCOW2_MAX_VM_STATE || n_bytes > QCOW2_MAX_VM_STATE - offset)
    return -EINVAL;
  if (image->read_only || self->broken)
    return image->read_only ? -EROFS : -EIO;
  base = vm_state_base (self, image->n_bytes);
  needed = l1_entries_for (self, base + offset + n_bytes);
  if (needed > self->l1.n)
    result = qcow2_grow_l1 (self, needed + (needed - (base >> (self->cluster_bits + self->l2_bits))) / 2, image->n_bytes);
  return result < 0 ? result : qcow2_write_area (self, base + offset, bytes, n_bytes);
}

int
qcow2_discard_vm_state (BlockBackend *image)
{
  Qcow2 *self = qcow2_of (image);

  if (!self)
    return -EINVAL;
  if (image->read_only)
    return -EROFS;
  for (uint64_t i = l1_entries_for (self, image->n_bytes); i < self->l1.n; i++)
    {
      L1View one = { &self->l1.entries[i], 1 };
      uint64_t n_bad = 0;
      int result;

      if (!self->l1.entries[i])
        continue;
      result = qcow2_visit (self, &one, &n_bad, drop_one, NULL);
      if (result < 0)
        return result;
      self->l1.entries[i] = 0;
      qcow2_touch_l1 (self, (uint32_t) i);
    }
  return 0;
}

int
qcow2_read_vm_state (BlockBackend *image, unsigned index, uint64_t offset, void *ret_bytes, size_t n_bytes)
{
  Qcow2 *self = qcow2_of (image);
  L1View l1;
  int result;

  if (!self || index >= self->n_snapshots || offset > self->snapshots[index].n_vm_state
      || n_bytes > self->snapshots[index].n_vm_state - offset)
    return -EINVAL;
  result = qcow2_load_l1 (self, self->snapshots[index].l1_offset, self->snapshots[index].n_l1, &l1);
  if (result < 0)
    return result;
  result = qcow2_read_area (self, &l1, vm_state_base (self, self->snapshots[index].n_disk) + offset, ret_bytes, n_bytes, 0);
  free (l1.entries);
  return result;
}

/* --- changing ---------------------------------------------------------------------------------------------------------------- */

static int
add_one (Qcow2 *self, uint64_t cluster_number, uint64_t n, void *data)
{
  return qcow2_add_refs (self, cluster_number, n, 1);
}

static int
has_room (Qcow2 *self, uint64_t cluster_number, uint64_t n, void *data)
{
  for (uint64_t i = 0; i < n; i++)
    {
      uint64_t refs;
      int result = qcow2_refcount (self, cluster_number + i, &refs);

      if (result < 0)
        return result;
      if (refs == 0)
        return -EIO;
      if (refs >= self->max_refcount)
        return -ENOTSUP;
    }
  return 0;
}

/* Everything an L1 table names loses a reference, in portions. */
static int
drop_all (Qcow2 *self, L1View *l1)
{
  int result = 0;

  for (uint32_t i = 0; i < l1->n && result == 0; i++)
    {
      L1View one = { &l1->entries[i], 1 };
      uint64_t n_bad = 0;

      result = qcow2_visit (self, &one, &n_bad, drop_one, NULL);
      if (result == 0 && self->n_frees > MAX_PENDING_FREES)
        result = qcow2_commit (self);
    }
  return result;
}

static int
may_change (Qcow2 *self)
{
  return !self ? -EINVAL : self->parent.read_only ? -EROFS : self->broken ? -EIO : self->version < 3 ? -ENOTSUP : 0;
}

static void
fill_id (const Qcow2 *self, char id[64])
{
  unsigned long largest = 0;

  for (uint32_t i = 0; i < self->n_snapshots; i++)
    {
      char *end;
      unsigned long number = strtoul (self->snapshots[i].id, &end, 10);

      if (*end == 0 && number > largest && number < UINT32_MAX)
        largest = number;
    }
  snprintf (id, 64, "%lu", largest + 1);
}

static Snapshot *
copy_list (const Qcow2 *self, uint32_t n_extra)
{
  Snapshot *list = calloc ((size_t) self->n_snapshots + n_extra + 1, sizeof *list);

  if (list && self->n_snapshots)
    memcpy (list, self->snapshots, self->n_snapshots * sizeof *list);
  return list;
}

int
qcow2_snapshot_create (BlockBackend *image, Qcow2Snapshot *snapshot)
{
  Qcow2 *self = qcow2_of (image);
  uint64_t l1_offset = 0, n_l1_clusters, got, table_offset = 0, n_table_bytes = 0, n_bad = 0;
  uint64_t old_table, old_bytes;
  Snapshot *list = NULL, *new_one;
  L1View copy = { NULL, 0 };
  int result = may_change (self);

  if (result < 0)
    return result;
  if (self->n_snapshots >= QCOW2_MAX_SNAPSHOTS)
    return -EFBIG;
  if (snapshot->n_vm_state > QCOW2_MAX_VM_STATE)
    return -EINVAL;
  result = qcow2_commit (self);
  if (result == 0)
    result = qcow2_visit (self, &self->l1, &n_bad, has_room, NULL);
  if (result < 0 || n_bad)
    return n_bad ? -EIO : result;
  fill_id (self, snapshot->id);
  snapshot->n_disk = image->n_bytes;

  /* First half: everything that needs room.  Until the dirty bit is set all of it can be taken back. */
  list = copy_list (self, 1);
  copy.n = self->l1.n;
  copy.entries = malloc ((size_t) copy.n * 8 + 8);
  if (!list || !copy.entries)
    {
      result = -ENOMEM;
      goto out;
    }
  for (uint32_t i = 0; i < copy.n; i++)
    copy.entries[i] = self->l1.entries[i] & ~ENTRY_COPIED;
  new_one = &list[self->n_snapshots];
  new_one->n_l1 = copy.n;
  new_one->date_s = snapshot->date_s;
  new_one->date_ns = snapshot->date_ns;
  new_one->clock_ns = snapshot->clock_ns;
  new_one->n_vm_state = snapshot->n_vm_state;
  new_one->n_disk = image->n_bytes;
  new_one->id = strdup (snapshot->id);
  snapshot->name[sizeof snapshot->name - 1] = 0;
  new_one->name = strdup (snapshot->name);
  if (!new_one->id || !new_one->name)
    {
      result = -ENOMEM;
      goto out;
    }
  new_one->n_id = (uint16_t) strlen (new_one->id);
  new_one->n_name = (uint16_t) strlen (new_one->name);
  n_l1_clusters = clusters_of (self, (uint64_t) copy.n * 8);
  if (n_l1_clusters)
    {
      result = qcow2_allocate (self, n_l1_clusters, n_l1_clusters, &l1_offset, &got);
      if (result < 0)
        goto out;
      new_one->l1_offset = l1_offset;
      result = qcow2_store_l1 (self, &copy, l1_offset);
    }
  if (result == 0)
    result = store_table (self, list, self->n_snapshots + 1, &table_offset, &n_table_bytes);
  if (result == 0)
    result = qcow2_begin_structural (self);
  if (result < 0)
    {
      drop_table (self, table_offset, n_table_bytes);
      if (l1_offset)
        qcow2_unallocate (self, l1_offset, n_l1_clusters);
      goto out;
    }

  /* Second half: two references each, nobody may write in place; then the header says so. */
  self->broken = true;
  result = qcow2_visit (self, &self->l1, &n_bad, add_one, NULL);
  if (result == 0)
    result = qcow2_fix_copied (self);
  if (result == 0)
    result = qcow2_write_tables (self);
  if (result == 0)
    result = qcow2_sync (self);
  if (result < 0)
    goto out;
  old_table = self->snapshots_offset;
  old_bytes = self->snapshot_table_bytes;
  free (self->snapshots);
  self->snapshots = list;
  list = NULL;
  self->n_snapshots++;
  self->snapshots_offset = table_offset;
  self->snapshot_table_bytes = n_table_bytes;
  self->incompatible &= ~INCOMPATIBLE_DIRTY;
  result = qcow2_write_header (self);
  if (result == 0)
    result = qcow2_sync (self);
  if (result < 0)
    goto out;
  self->broken = false;
  if (l1_offset)
    qcow2_guard_add (self, l1_offset, n_l1_clusters);
  if (old_table)
    result = qcow2_free_later (self, old_table, clusters_of (self, old_bytes));
  if (result == 0)
    result = qcow2_discard_vm_state (image);
  if (result == 0)
    result = qcow2_commit (self);

out:
  if (list)
    {
      free (list[self->n_snapshots].id);
      free (list[self->n_snapshots].name);
      free (list);
    }
  free (copy.entries);
  return result;
}

int
qcow2_snapshot_delete (BlockBackend *image, unsigned index)
{
  Qcow2 *self = qcow2_of (image);
  uint64_t table_offset = 0, n_table_bytes = 0, old_table, old_bytes;
  Snapshot *list, gone;
  L1View l1 = { NULL, 0 };
  int result = may_change (self);

  if (result < 0)
    return result;
  if (index >= self->n_snapshots)
    return -EINVAL;
  gone = self->snapshots[index];
  result = qcow2_commit (self);
  if (result == 0)
    result = qcow2_load_l1 (self, gone.l1_offset, gone.n_l1, &l1);
  if (result < 0)
    return result;
  list = copy_list (self, 0);
  result = list ? 0 : -ENOMEM;
  if (result == 0)
    {
      memmove (&list[index], &list[index + 1], (self->n_snapshots - index - 1) * sizeof *list);
      result = store_table (self, list, self->n_snapshots - 1, &table_offset, &n_table_bytes);
    }
  if (result == 0 && (result = qcow2_begin_structural (self)) < 0)
    drop_table (self, table_offset, n_table_bytes);
  if (result < 0)
    {
      free (list);
      free (l1.entries);
      return result;
    }
  old_table = self->snapshots_offset;
  old_bytes = self->snapshot_table_bytes;
  free (self->snapshots);
  self->snapshots = list;
  self->n_snapshots--;
  self->snapshots_offset = table_offset;
  self->snapshot_table_bytes = n_table_bytes;
  result = qcow2_write_header (self);
  if (result == 0)
    result = qcow2_sync (self);
  if (result == 0)
    result = drop_all (self, &l1);
  if (result == 0 && gone.n_l1)
    result = qcow2_free_later (self, gone.l1_offset, clusters_of (self, (uint64_t) gone.n_l1 * 8));
  if (result == 0)
    result = qcow2_free_later (self, old_table, clusters_of (self, old_bytes));
  if (result == 0)
    result = qcow2_commit (self);
  if (result == 0)
    result = qcow2_fix_copied (self);
  if (result == 0)
    result = qcow2_end_structural (self);
  if (result < 0)
    self->broken = true;
  free (gone.id);
  free (gone.name);
  free (gone.extra);
  free (l1.entries);
  return result;
}

int
qcow2_snapshot_rename (BlockBackend *image, unsigned index, const char *name)
{
  Qcow2 *self = qcow2_of (image);
  uint64_t table_offset = 0, n_table_bytes = 0, old_table, old_bytes;
  char *new_name, *old_name;
  uint16_t n_old;
  int result = may_change (self);

  if (result < 0)
    return result;
  if (index >= self->n_snapshots || strlen (name) > 255)
    return -EINVAL;
  new_name = strdup (name);
  if (!new_name)
    return -ENOMEM;
  old_name = self->snapshots[index].name;
  n_old = self->snapshots[index].n_name;
  self->snapshots[index].name = new_name;
  self->snapshots[index].n_name = (uint16_t) strlen (new_name);
  result = store_table (self, self->snapshots, self->n_snapshots, &table_offset, &n_table_bytes);
  if (result == 0 && (result = qcow2_commit (self)) < 0)
    drop_table (self, table_offset, n_table_bytes);
  if (result < 0)
    {
      self->snapshots[index].name = old_name;
      self->snapshots[index].n_name = n_old;
      free (new_name);
      return result;
    }
  free (old_name);
  old_table = self->snapshots_offset;
  old_bytes = self->snapshot_table_bytes;
  self->snapshots_offset = table_offset;
  self->snapshot_table_bytes = n_table_bytes;
  result = qcow2_write_header (self);
  if (result == 0)
    result = qcow2_sync (self);
  if (result < 0)
    {
      self->broken = true;
      return result;
    }
  result = qcow2_free_later (self, old_table, clusters_of (self, old_bytes));
  return result < 0 ? result : qcow2_commit (self);
}

int
qcow2_snapshot_apply (BlockBackend *image, unsigned index)
{
  Qcow2 *self = qcow2_of (image);
  uint64_t offset = 0, n_clusters, got = 0, old_offset, n_bad = 0;
  L1View taken = { NULL, 0 }, old;
  const Snapshot *s;
  int result = may_change (self);

  if (result < 0)
    return result;
  if (index >= self->n_snapshots)
    return -EINVAL;
  s = &self->snapshots[index];
  result = qcow2_commit (self);
  if (result == 0)
    result = qcow2_load_l1 (self, s->l1_offset, s->n_l1, &taken);
  if (result < 0)
    return result;
  /* The memory state stays with the snapshot. */
  taken.n = (uint32_t) l1_entries_for (self, s->n_disk);
  for (uint32_t i = 0; i < taken.n; i++)
    taken.entries[i] &= ~ENTRY_COPIED;
  result = qcow2_visit (self, &taken, &n_bad, has_room, NULL);
  if (result == 0 && n_bad)
    result = -EIO;
  n_clusters = clusters_of (self, (uint64_t) taken.n * 8);
  if (result == 0 && n_clusters)
    result = qcow2_allocate (self, n_clusters, n_clusters, &offset, &got);
  if (result == 0)
    result = qcow2_store_l1 (self, &taken, offset);
  if (result == 0)
    result = qcow2_begin_structural (self);
  if (result < 0)
    {
      if (got)
        qcow2_unallocate (self, offset, got);
      free (taken.entries);
      return result;
    }
  old = self->l1;
  old_offset = self->l1_offset;
  self->l1 = taken;
  self->l1_offset = offset;
  image->n_bytes = s->n_disk;
  result = qcow2_write_header (self);
  if (result == 0)
    result = qcow2_sync (self);
  if (result == 0)
    result = qcow2_visit (self, &self->l1, &n_bad, add_one, NULL);
  if (result == 0)
    result = drop_all (self, &old);
  if (result == 0 && old_offset)
    result = qcow2_free_later (self, old_offset, clusters_of (self, (uint64_t) old.n * 8));
  if (result == 0)
    result = qcow2_commit (self);
  if (result == 0)
    result = qcow2_guard_all (self);
  if (result == 0)
    result = qcow2_fix_copied (self);
  if (result == 0)
    result = qcow2_end_structural (self);
  if (result < 0)
    self->broken = true;
  free (old.entries);
  return result;
}
