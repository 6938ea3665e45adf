/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Machines whose file is a plain raw disk image; configuration and label live in the library's record alone. */
#include "vm-file.h"

#include "broker.h"
#include "disk-tools.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static gboolean
unsupported (GError **error, const char *what)
{
  g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s needs the .bulkhead file format, which this build does not have", what);
  return FALSE;
}

gboolean
vm_file_create (Guard *guard, MachineRecord *record, const char *path, guint64 n_bytes, GBytes *passphrase, GError **error)
{
  g_auto (AutoFd) fd = -1;

  if (passphrase)
    return unsupported (error, "encryption");
  fd = broker_create (path, error);
  if (fd < 0)
    return FALSE;
  if (ftruncate (fd, (off_t) n_bytes) < 0)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "%s cannot be made: %s", path, g_strerror (errno));
      unlink (path);
      return FALSE;
    }
  g_free (record->file);
  record->file = g_strdup (path);
  record->file_format = FORMAT_RAW;
  record->encrypted = FALSE;
  return TRUE;
}

gboolean
vm_file_update (Guard *guard, const MachineRecord *record, GBytes *passphrase, GError **error)
{
  return TRUE;
}

gboolean
vm_file_verify (Guard *guard, const MachineRecord *record, GBytes *passphrase, guint8 ret_key[64], guint *ret_n_key,
                GError **error)
{
  *ret_n_key = 0;
  return TRUE;
}

MachineRecord *
vm_file_import (Guard *guard, const char *path, GBytes *passphrase, GError **error)
{
  unsupported (error, "importing a machine");
  return NULL;
}

gboolean
vm_file_clone (Guard *guard, const MachineRecord *source, MachineRecord *copy, const char *path, gboolean linked,
               GBytes *passphrase, GError **error)
{
  g_auto (AutoFd) from = -1;
  g_auto (AutoFd) to = -1;

  if (linked)
    return unsupported (error, "a linked clone");
  from = broker_open_own (source->file, FALSE, error);
  to = from < 0 ? -1 : broker_create (path, error);
  if (to < 0)
    return FALSE;
  if (!disk_tools_copy (from, "raw", to, "raw", error))
    {
      unlink (path);
      return FALSE;
    }
  g_free (copy->file);
  copy->file = g_strdup (path);
  copy->file_format = source->file_format;
  return TRUE;
}

GVariant *
vm_file_list_snapshots (Guard *guard, const MachineRecord *record, GError **error)
{
  return g_variant_new_array (G_VARIANT_TYPE_VARDICT, NULL, 0);
}

gboolean
vm_file_take_snapshot (Guard *guard, MachineRecord *record, const char *name, const char *note, int state_fd, GError **error)
{
  return unsupported (error, "a snapshot");
}

gboolean
vm_file_revert_snapshot (Guard *guard, MachineRecord *record, const char *name, int *ret_state_fd, GError **error)
{
  *ret_state_fd = -1;
  return unsupported (error, "a snapshot");
}

gboolean
vm_file_delete_snapshot (Guard *guard, MachineRecord *record, const char *name, GError **error)
{
  return unsupported (error, "a snapshot");
}

gboolean
vm_file_rename_snapshot (Guard *guard, MachineRecord *record, const char *name, const char *new_name, GError **error)
{
  return unsupported (error, "a snapshot");
}
