/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2 images, versions 2 and 3, as a disk.
 *
 * All functions that take a BlockBackend want one made by qcow2_open (its klass->format is "qcow2"); -EINVAL otherwise.
 * Nothing here opens a file: the image comes as a seam (image-io.h), the backing disk as an open BlockBackend.
 * Errors are negative errno: -EINVAL malformed or wrong use, -ENOTSUP a feature that is not understood, -EROFS,
 * -EIO (host error, or a part of the image that is damaged), -ENOSPC, -ENOMEM, -EFBIG (a named maximum),
 * -EKEYREJECTED (wrong passphrase or key), -ENOKEY (encrypted, and no key was given).
 *
 * What is on disk when: block_write puts data into the file at once; tables follow at block_flush (or when caches are full),
 * in an order that leaves a valid image after a kill or a power loss at any point, at worst with leaked clusters.  Snapshot
 * operations set the format's dirty bit while they last, so that a cut in their middle is repaired by the next writer that
 * opens the image.  A guest that never flushes should be flushed by its machine now and then: a kill costs what the tables
 * did not yet name. */
#pragma once

#include "block.h"
#include "image-io.h"

#define QCOW2_MIN_CLUSTER_BITS          9
#define QCOW2_MAX_CLUSTER_BITS          21
#define QCOW2_MAX_L1_BYTES              (32u << 20)
#define QCOW2_MAX_REFCOUNT_TABLE_BYTES  (8u << 20)
#define QCOW2_MAX_SNAPSHOTS             65536u
#define QCOW2_MAX_SNAPSHOT_TABLE_BYTES  (16u << 20)
#define QCOW2_MAX_SNAPSHOT_EXTRA        1024u
#define QCOW2_MAX_BACKING_NAME          1023u
#define QCOW2_MAX_TABLES                (1u << 20)      /* L2 tables and refcount blocks together, when writing */
#define QCOW2_KEY_BYTES                 64u             /* AES-256-XTS: two keys of 256 bits */
#define QCOW2_KEY_SLOTS                 8u

/* Our own automatically cleared feature bit: set by us, kept by us, cleared by every foreign program that opens the image
 * for writing.  Its absence in an image that once had it says that somebody else has written. */
#define QCOW2_AUTOCLEAR_BULKHEAD        (UINT64_C (1) << 47)

/* --- creating ------------------------------------------------------------------------------------------------- */

typedef struct
{
  uint64_t    n_bytes;                  /* virtual size; rounded up to 512 */
  unsigned    cluster_bits;             /* 9 … 21; 0: 16 (64 KiB) */
  unsigned    refcount_order;           /* refcounts have 1 << order bits, 0 … 6 */
  bool        default_refcount;         /* true: 16 bits, refcount_order is ignored */
  bool        extended_l2;              /* subclusters; needs clusters of at least 16 KiB */
  const char *backing_name;             /* NULL: none.  Only a string in the header: never opened by us */
  const char *backing_format;           /* NULL: "raw" */
  const void *passphrase;               /* not NULL: encrypted with LUKS, this passphrase in key slot 0 */
  size_t      n_passphrase;
  unsigned    unlock_ms;                /* work of one passphrase trial on this computer; 0: 1000 */
  uint32_t    extension_magic;          /* not 0: a header extension of this type … */
  uint32_t    n_extension;              /* … and this many zero bytes; must fit the first cluster */
  uint64_t    autoclear;                /* automatically cleared feature bits to set, QCOW2_AUTOCLEAR_BULKHEAD */
} Qcow2Create;

/* Writes an empty image into io, which must be empty (size 0), and makes it durable; the header comes last.  io stays the
 * caller's and can then be given to qcow2_open.  ret_key (may be NULL): the new master key, QCOW2_KEY_BYTES; all
 * zero for a plain image. */
int qcow2_create (ImageIo *io, const Qcow2Create *what, uint8_t *ret_key);

/* --- opening -------------------------------------------------------------------------------------------------- */

typedef struct
{
  ImageIo       *io;                    /* owned by the image after success, still the caller's after a failure */
  BlockBackend  *backing;               /* same; NULL for an image without one */
  bool           read_only;
  bool           without_backing;       /* open an image that names a backing file though backing is NULL: metadata work
                                           only, reads of clusters that lie in the backing file give -EIO */
  const uint8_t *key;                   /* master key of an encrypted image (n_key is QCOW2_KEY_BYTES), checked against
                                           the header's digest … */
  size_t         n_key;
  const void    *passphrase;            /* … or a passphrase tried on every slot, used when key is NULL */
  size_t         n_passphrase;
  bool           without_key;           /* open an encrypted image for metadata work only: disk reads and writes of
                                           encrypted clusters give -ENOKEY */
} Qcow2Open;

/* ret_reason (may be NULL): a constant sentence fragment about a failure ("the cluster size is out of range"). Opening for
 * writing repairs an image whose dirty bit is set and clears automatically cleared feature bits we do not know. */
int qcow2_open (const Qcow2Open *how, BlockBackend **ret, const char **ret_reason);

/* Whether an image is encrypted and whether it names a backing file can be asked before qcow2_open, from the header alone. */
typedef struct
{
  unsigned version, cluster_bits, refcount_order;
  uint64_t n_bytes;                     /* virtual size */
  bool     encrypted, dirty, corrupt, extended_l2;
  bool     has_backing;
  uint64_t autoclear;                   /* as found */
  uint32_t n_snapshots;
  char     backing_name[QCOW2_MAX_BACKING_NAME + 1];    /* untrusted text; "" without */
} Qcow2Info;

int qcow2_probe_header (ImageIo *io, Qcow2Info *ret, const char **ret_reason);
int qcow2_get_info (BlockBackend *image, Qcow2Info *ret);       /* autoclear: as found when it was opened */
int qcow2_set_autoclear (BlockBackend *image, uint64_t bits);   /* durable when it returns 0 */

/* Bytes of the host file that the active disk and all snapshots use (clusters with a reference, tables included). */
int qcow2_used_bytes (BlockBackend *image, uint64_t *ret_n_bytes);

/* --- private header extensions --------------------------------------------------------------------------------- */

/* Content of the first extension of that type inside the first cluster.  *ret_n_bytes: its full length; at most n_max bytes
 * are copied.  -ENOENT without one. */
int qcow2_get_extension (BlockBackend *image, uint32_t magic, void *ret_bytes, size_t n_max, size_t *ret_n_bytes);

/* Adds, replaces or (bytes NULL) removes an extension: the header cluster is written anew, so this is for times when
 * a torn write does not matter (creation, upgrade).  -ENOSPC when it does not fit the first cluster. */
int qcow2_set_extension (BlockBackend *image, uint32_t magic, const void *bytes, size_t n_bytes);

/* Overwrites bytes inside an existing extension in place: exactly these bytes are written, nothing moves.  Not durable
 * before qcow2_barrier.  A caller with two slots in the extension writes the older slot, then calls qcow2_barrier.
 * -ERANGE outside. */
int qcow2_write_extension_bytes (BlockBackend *image, uint32_t magic, uint64_t offset, const void *bytes, size_t n_bytes);

/* A host barrier for the above without writing the tables. */
int qcow2_barrier (BlockBackend *image);

/* The same from a file whose image is not open (no key needed, nothing is touched or repaired).  *ret_file_offset: where the
 * content stands in the file. */
int qcow2_peek_extension (ImageIo *io, uint32_t magic, void *ret_bytes, size_t n_max, size_t *ret_n_bytes, uint64_t *ret_file_offset);

/* --- internal snapshots ------------------------------------------------------------------------------------------ */

typedef struct
{
  char     id[64];                      /* unique, made by qcow2_snapshot_create: "1", "2" …; untrusted text */
  char     name[256];                   /* untrusted text, in the clear in every file: give opaque names */
  uint32_t date_s, date_ns;             /* host time since 1970, as given */
  uint64_t clock_ns;                    /* guest time */
  uint64_t n_vm_state;                  /* bytes of memory state, 0: disk only */
  uint64_t n_disk;                      /* virtual size when it was taken */
} Qcow2Snapshot;

/* Number of snapshots, and one of them.  Order is the table's. */
unsigned qcow2_n_snapshots (BlockBackend *image);
int qcow2_get_snapshot (BlockBackend *image, unsigned index, Qcow2Snapshot *ret);
int qcow2_find_snapshot (BlockBackend *image, const char *id_or_name);          /* index or -ENOENT; ids first */

/* Takes name, date, clock and n_vm_state from *snapshot, fills in id and n_disk.  The memory state is what
 * qcow2_write_vm_state put there since the last snapshot; the area is empty again afterwards.  Durable when it returns 0.
 * After an error the active disk is unchanged. */
int qcow2_snapshot_create (BlockBackend *image, Qcow2Snapshot *snapshot);
int qcow2_snapshot_delete (BlockBackend *image, unsigned index);        /* durable; later indices move down */
int qcow2_snapshot_rename (BlockBackend *image, unsigned index, const char *name);
/* The disk's content becomes the snapshot's; the present content is lost unless it has a snapshot of its own.
 * n_bytes of the BlockBackend becomes n_disk of the snapshot. */
int qcow2_snapshot_apply (BlockBackend *image, unsigned index);

/* Clusters that only this snapshot holds, in bytes: what deleting it would give back. */
int qcow2_snapshot_exclusive_bytes (BlockBackend *image, unsigned index, uint64_t *ret_n_bytes);

/* The memory state for the next snapshot: any offset, at most QCOW2_MAX_VM_STATE; encrypted like the disk. */
#define QCOW2_MAX_VM_STATE (UINT64_C (16) << 30)
int qcow2_write_vm_state (BlockBackend *image, uint64_t offset, const void *bytes, size_t n_bytes);
int qcow2_discard_vm_state (BlockBackend *image);               /* forgets it, after a failed save */
/* Of a snapshot, by index.  -EINVAL past n_vm_state. */
int qcow2_read_vm_state (BlockBackend *image, unsigned index, uint64_t offset, void *ret_bytes, size_t n_bytes);

/* --- keys -------------------------------------------------------------------------------------------------------- */

/* The master key of an image opened with key or passphrase. */
int qcow2_get_key (BlockBackend *image, uint8_t ret_key[QCOW2_KEY_BYTES]);
/* Tries a passphrase on every active slot.  Slot number, or -EKEYREJECTED. */
int qcow2_key_slot_find (BlockBackend *image, const void *passphrase, size_t n_passphrase);
bool qcow2_key_slot_active (BlockBackend *image, unsigned slot);
/* Puts a passphrase into a free slot: its number, or -ENOSPC.  Durable.  To change a passphrase: find, add, remove. */
int qcow2_key_slot_add (BlockBackend *image, const void *passphrase, size_t n_passphrase, unsigned unlock_ms);
/* Overwrites a slot's key material.  -EBUSY for the last one. */
int qcow2_key_slot_remove (BlockBackend *image, unsigned slot);

/* --- checking ------------------------------------------------------------------------------------------------------ */

typedef struct
{
  uint64_t n_errors;            /* a refcount too low, a wrong COPIED flag, a bad offset, tables that overlap */
  uint64_t n_leaks;             /* clusters nobody refers to */
  uint64_t n_allocated;         /* guest clusters of the active disk with a host cluster */
  uint64_t n_clusters;          /* host clusters in the file */
  bool     repaired;
} Qcow2Check;

/* libgcrypt looks at the host's files once; a process that is about to lose them calls this first.  Harmless twice. */
void qcow2_prepare_crypto (void);

/* 0 when the check ran, whatever it found.  repair: writes new refcounts and flags when all tables are readable. */
int qcow2_check (BlockBackend *image, bool repair, Qcow2Check *ret);
