/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a .bulkhead file says about its machine: the contents of one private extension in the header of its qcow2 image.
 *
 *      0  head, 1 KiB: "Bulkhead VM file", version, flags; of an encrypted file how its key is wrapped
 *   1024  slot 0, 23.5 KiB
 *  25088  slot 1
 *
 * A slot is written whole, the older one each time, so that a torn write leaves the other; each says which generation it
 * is.  Two digests lie over head and slot: a plain one, which finds torn writes and which the library keeps, and a keyed one,
 * by which a guard knows its own writing (plain files) or anybody who has the passphrase that nothing was changed
 * (encrypted files).  Text, with the machine's label, name and snapshots, is a GKeyFile, packed; encrypted files have it
 * encrypted, and nothing about the machine stands in the clear but the colours of its label. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

#define VM_HEADER_MAGIC 0x4248564du     /* "BHVM": what the MIME type looks for */

enum
{
  VM_HEADER_BYTES        = 48 << 10,
  VM_HEADER_HEAD_BYTES   = 1024,
  VM_HEADER_N_SLOTS      = 2,
  VM_HEADER_SLOT_BYTES   = (VM_HEADER_BYTES - VM_HEADER_HEAD_BYTES) / VM_HEADER_N_SLOTS,
  VM_HEADER_DIGEST_BYTES = 32,
  VM_HEADER_KEY_BYTES    = 32,
  VM_HEADER_MAX_TEXT     = 1 << 20,
  VM_DATA_KEY_BYTES      = 64,
};

/* Keys of one machine's file, in memory that is neither swapped nor dumped. */
typedef struct
{
  guint8 meta[VM_HEADER_KEY_BYTES];     /* seals, and in encrypted files encrypts, the metadata; never given to a monitor */
  guint8 data[VM_DATA_KEY_BYTES];       /* of the disk; zero for a plain file */
} VmKeys;

VmKeys *vm_keys_new  (void);
void    vm_keys_free (VmKeys *keys);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmKeys, vm_keys_free)

/* The key that seals the metadata of plain files: the guard's own. */
void vm_header_plain_key (const guint8 guard_key[SEAL_BYTES], VmKeys *ret_keys);

/* A fresh extension without a valid slot.  passphrase: NULL for a plain file; else keys->meta is made and wrapped. */
gboolean vm_header_new (guint8 ret_bytes[VM_HEADER_BYTES], GBytes *passphrase, VmKeys *keys, GError **error);

/* Whether the head is one, of a version that is understood. */
gboolean vm_header_check (const guint8 *untrusted_bytes, gsize n_bytes, gboolean *ret_encrypted, GError **error);

/* keys->meta from the passphrase.  An encrypted, checked header. */
gboolean vm_header_unlock (const guint8 bytes[VM_HEADER_BYTES], GBytes *passphrase, VmKeys *keys, GError **error);

/* The sound slot with that digest; for NULL the sound slot of the highest generation.  -1: there is none. */
int     vm_header_find       (const guint8 bytes[VM_HEADER_BYTES], const guint8 *digest);
guint64 vm_header_generation (const guint8 bytes[VM_HEADER_BYTES], int slot);
void    vm_header_digest     (const guint8 bytes[VM_HEADER_BYTES], int slot, guint8 ret_digest[VM_HEADER_DIGEST_BYTES]);
/* Whether the slot was written by somebody who has the key. */
gboolean vm_header_is_sealed (const guint8 bytes[VM_HEADER_BYTES], int slot, const VmKeys *keys);
/* The text of a sound slot; NULL with an error.  keys: of an encrypted file. */
char    *vm_header_text      (const guint8 bytes[VM_HEADER_BYTES], int slot, const VmKeys *keys, GError **error);

/* Fills a slot.  Fails when the text does not fit. */
gboolean vm_header_fill (guint8 bytes[VM_HEADER_BYTES], int slot, guint64 generation, const char *text, const guint8 colour[3],
                         const VmKeys *keys, GError **error);

/* Where a slot begins in the extension. */
gsize vm_header_slot_offset (int slot);

G_END_DECLS
