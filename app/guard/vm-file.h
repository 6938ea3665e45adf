/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The file of a machine, NAME.bulkhead: a qcow2 image with the metadata of vm-header.h in its header.  Paths are resolved and
 * decided about before they come here.
 *
 * What the library's record says counts; the file is taken only when its metadata is to the bit what was written last.
 * Functions that change the record's file_generation and file_digest say whether they save the record as well.
 * keys: NULL for plain files; for encrypted ones the work that needs them is refused without. */
#pragma once

#include "store.h"
#include "vm-header.h"

G_BEGIN_DECLS

enum { VM_FILE_MAX_SNAPSHOTS = 256, VM_FILE_MAX_NOTE = 500 };

/* Makes the machine's file (mode 0600, must not exist) with a disk of n_bytes (0: none); fills in record->file, file_format,
 * disk_bytes and encrypted.  passphrase: NULL for a plain file.  vm_file_update has to follow. */
gboolean vm_file_create (Guard *guard, MachineRecord *record, const char *path, guint64 n_bytes, GBytes *passphrase,
                         VmKeys **ret_keys, GError **error);

/* Copies the disk in from_fd into the new, empty disk. */
gboolean vm_file_fill (Guard *guard, const MachineRecord *record, const VmKeys *keys, int from_fd, const char *format, GError **error);

/* The keys of an encrypted machine; NULL with an error when the passphrase is wrong or the file is not the one the library
 * knows.  repair: any header that whoever has the passphrase wrote will do. */
VmKeys *vm_file_unlock (Guard *guard, const MachineRecord *record, GBytes *passphrase, gboolean repair, GError **error);

/* The record changed: the file's copy of configuration and label follows.  Called before the store is written: a crash in
 * between leaves both slots in the file, and the store says which one counts. Without keys an encrypted file waits for
 * them (record->file_stale), unless the label changed: that is refused. */
gboolean vm_file_update (Guard *guard, MachineRecord *record, const VmKeys *keys, GError **error);

/* Before a start: whether the file is the one the store knows.  Removes what an operation cut short left behind, writes what
 * waited for the keys.  Saves the record when it changed it. */
gboolean vm_file_verify (Guard *guard, MachineRecord *record, const VmKeys *keys, GError **error);

/* Reads a file unknown to the store; the label in it is a claim.  A new record with its own uuid; what it named of the
 * other user's (drives, networks, folders) is left out.  vm_file_update has to follow. */
MachineRecord *vm_file_import (Guard *guard, const char *path, GBytes *passphrase, VmKeys **ret_keys, GError **error);

/* Copies a machine's disk for a clone (encrypted with the passphrase when given); linked: an overlay over it. */
gboolean vm_file_clone (Guard *guard, const MachineRecord *source, const VmKeys *source_keys, MachineRecord *copy, const char *path,
                        gboolean linked, GBytes *passphrase, VmKeys **ret_keys, GError **error);

/* The disk's contents into an empty file. */
gboolean vm_file_export (Guard *guard, const MachineRecord *record, const VmKeys *keys, int to_fd, const char *format, GError **error);

/* a{sv} of CheckMachine, floating; NULL with an error when the check could not be made.  repair: repairs the tables, and
 * writes the metadata anew from the library's record. */
GVariant *vm_file_check (Guard *guard, MachineRecord *record, const VmKeys *keys, gboolean repair, GError **error);

/* ------------------------------------------------------------------------------------------------ snapshots
 *
 * The disk must be released by its monitor.  All save the record. */

/* Rows of ListSnapshots, floating.  exclusive: the disk is not in use, so that the space of each can be counted. */
GVariant *vm_file_list_snapshots (Guard *guard, const MachineRecord *record, const VmKeys *keys, gboolean exclusive, GError **error);
guint     vm_file_n_snapshots (Guard *guard, const MachineRecord *record, const VmKeys *keys);

/* state_fd: the memory state of a live snapshot, or -1. */
gboolean vm_file_take_snapshot (Guard *guard, MachineRecord *record, const VmKeys *keys, const char *name, const char *note,
                                int state_fd, GError **error);

/* Whether the snapshot has a memory state, and with which hardware. */
gboolean vm_file_find_snapshot (Guard *guard, const MachineRecord *record, const VmKeys *keys, const char *name, gboolean *ret_live,
                                guint *ret_memory_mib, char **ret_cpu, GError **error);

/* *ret_state_fd: a memory file with the state to load, or -1 for a snapshot of the disk alone.  suspend: the machine is off
 * and becomes suspended in that state. */
gboolean vm_file_revert_snapshot (Guard *guard, MachineRecord *record, const VmKeys *keys, const char *name, gboolean suspend,
                                  int *ret_state_fd, GError **error);
gboolean vm_file_delete_snapshot (Guard *guard, MachineRecord *record, const VmKeys *keys, const char *name, GError **error);
gboolean vm_file_rename_snapshot (Guard *guard, MachineRecord *record, const VmKeys *keys, const char *name, const char *new_name,
                                  GError **error);

/* ------------------------------------------------------------------------------------------------ suspended machines */

/* Puts the memory state into the file; record->state becomes "suspended". */
gboolean vm_file_suspend (Guard *guard, MachineRecord *record, const VmKeys *keys, int state_fd, GError **error);
/* The memory file with the state of a suspended machine; -1 with an error. */
int      vm_file_load_state (Guard *guard, const MachineRecord *record, const VmKeys *keys, GError **error);
/* It runs again, or its state is thrown away: record->state becomes "off". */
gboolean vm_file_forget_state (Guard *guard, MachineRecord *record, const VmKeys *keys, GError **error);

/* A file without a name for a run whose changes are thrown away: an overlay over the machine's disk. */
int      vm_file_new_overlay (Guard *guard, const MachineRecord *record, GError **error);

/* A memory file that a monitor writes its state into: sealed at an upper bound for that machine. */
int      vm_file_state_memory (const MachineRecord *record, GError **error);

G_END_DECLS
