/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The library: one sealed record per machine, and an index with the generation of each, so that an older record put back
 * is noticed.  The record holds the authoritative label; what stands in a VM's file is a claim. */
#pragma once

#include "guard.h"
#include "protocol.h"

G_BEGIN_DECLS

typedef enum
{
  SLOT_DISK0, SLOT_DISK1, SLOT_DISK2, SLOT_DISK3,
  SLOT_CDROM0, SLOT_CDROM1,
  SLOT_FLOPPY0, SLOT_FLOPPY1,
  N_SLOTS,
} SlotIndex;

typedef struct
{
  char          *path;          /* NULL: empty */
  ProtocolFormat format;
  gboolean       read_only;
} Slot;

enum { SERIAL_PORTS = 2 };

typedef struct
{
  char    *uuid, *name;
  Label    label;
  guint64  generation;
  char    *state;               /* "off" or "suspended": what outlives the guard */
  guint    memory_mib;
  char    *cpu, *engine, *rtc, *clock;
  char   **boot;
  char    *file;                /* the VM's own file, disk0; NULL while it has none */
  ProtocolFormat file_format;
  gboolean encrypted;
  guint64  disk_bytes;          /* of the own file's disk; 0: it has none */
  guint64  file_generation;     /* of the metadata in the file that was written last … */
  guint8   file_digest[32];     /* … and its digest: no other header is taken */
  Label    file_label;          /* the label that stands in it */
  gboolean file_stale;          /* an encrypted file whose metadata waits for the passphrase to follow the record */
  char    *base;                /* uuid of the machine whose disk this one's lies over (linked clone), or NULL */
  Slot     slots[N_SLOTS];      /* SLOT_DISK0 is unused when there is a file */
  char    *network;             /* NULL: none */
  char   **folders;
  char    *parallel;            /* none, printer, file */
  char    *serial[SERIAL_PORTS];/* null, file, console */
  gboolean sound, undetectable, fuzzy_time;
  guint8   mac[6];
  guint64  seed;
  char    *notes;
  gint64   created, used;
} MachineRecord;

Store *store_new (Guard *guard, GError **error);
void   store_free (Store *self);

/* Makes a Machine of every record and puts it into guard->machines; a damaged one is left out with a problem. */
void store_load_machines (Store *self);

/* What was wrong with records at loading, one line each; belongs to the store. */
const char *const *store_problems (Store *self);

MachineRecord *machine_record_new (const char *name);
MachineRecord *machine_record_copy (const MachineRecord *record);
void           machine_record_free (MachineRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MachineRecord, machine_record_free)

/* The record as text; and one from text that may be of any origin. */
GKeyFile      *machine_record_to_key_file   (const MachineRecord *record);
MachineRecord *machine_record_from_key_file (GKeyFile *untrusted_file, GError **error);

/* Writes the record with the next generation; the record in memory is unchanged on failure. */
gboolean store_save (Store *self, MachineRecord *record, GError **error);
gboolean store_delete (Store *self, const MachineRecord *record, GError **error);

/* 1 to 64 printable characters without / and without a leading dot or hyphen. */
gboolean store_check_name (const char *name, GError **error);

/* "floppy0"; N_SLOTS for no slot.  "cdrom" and "floppy" mean the first. */
const char *slot_name (SlotIndex slot);
SlotIndex   slot_find (const char *name);
ProtocolDrive slot_kind (SlotIndex slot);
/* The slot number on the wire: IDE position or floppy drive. */
unsigned    slot_position (SlotIndex slot);

G_END_DECLS
