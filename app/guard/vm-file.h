/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The file of a machine: everything that knows its format, apart from the library that knows which machines there are.
 * Paths are resolved and decided about before they come here. */
#pragma once

#include "store.h"

G_BEGIN_DECLS

/* Makes the machine's file (mode 0600, must not exist) with a disk of n_bytes (0: none); fills in record->file,
 * file_format and encrypted.  passphrase: NULL for a plain file. */
gboolean vm_file_create (Guard *guard, MachineRecord *record, const char *path, guint64 n_bytes, GBytes *passphrase,
                         GError **error);

/* The record changed: the file's copy of configuration and label follows.  Called before the store is written, so that a
 * crash leaves the file ahead of the store, never behind. */
gboolean vm_file_update (Guard *guard, const MachineRecord *record, GBytes *passphrase, GError **error);

/* Before a start: whether the file is the one the store knows (label, generation, digest).  ret_key and *ret_n_key: the data
 * key of an encrypted file, for the monitor. */
gboolean vm_file_verify (Guard *guard, const MachineRecord *record, GBytes *passphrase, guint8 ret_key[64], guint *ret_n_key,
                         GError **error);

/* Reads a file unknown to the store; the label in it is a claim.  A new record with its own uuid. */
MachineRecord *vm_file_import (Guard *guard, const char *path, GBytes *passphrase, GError **error);

/* Copies a machine's whole file for a clone; linked: an overlay over it. */
gboolean vm_file_clone (Guard *guard, const MachineRecord *source, MachineRecord *copy, const char *path, gboolean linked,
                        GBytes *passphrase, GError **error);

/* Rows of ListSnapshots without labels, floating. */
GVariant *vm_file_list_snapshots (Guard *guard, const MachineRecord *record, GError **error);

/* The disk must be released by its monitor.  state_fd: the memory state of a live snapshot, or -1. */
gboolean vm_file_take_snapshot (Guard *guard, MachineRecord *record, const char *name, const char *note, int state_fd,
                                GError **error);
/* *ret_state_fd: the memory state to load, or -1. */
gboolean vm_file_revert_snapshot (Guard *guard, MachineRecord *record, const char *name, int *ret_state_fd, GError **error);
gboolean vm_file_delete_snapshot (Guard *guard, MachineRecord *record, const char *name, GError **error);
gboolean vm_file_rename_snapshot (Guard *guard, MachineRecord *record, const char *name, const char *new_name, GError **error);

G_END_DECLS
