/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An ATA channel with up to two drives: disks (ATA/ATAPI-6) and CD-ROM drives (ATAPI, MMC-3). */
#pragma once

#include "block.h"
#include "device.h"
#include "irq-line.h"

typedef struct IdeChannel IdeChannel;
typedef struct IdeDrive   IdeDrive;

/* Texts are ASCII, cut at the length of their field; NULL: a plain default.  The structure and its texts are only
 * read during the call. */
typedef struct
{
  const char *model;            /* 40 characters; a CD's first word (8) is the vendor of INQUIRY, the rest (16) the product */
  const char *serial;           /* 20 */
  const char *firmware;         /* 8 (INQUIRY shows 4) */
  /* Disks only: the default translation; all 0: 16 heads of 63 sectors. */
  uint16_t    cylinders;
  uint8_t     heads, sectors;   /* 1 … 16, 1 … 63 */
} IdeDiskOptions;

/* The bus master's side of a DMA channel (ide-pci.c). */
typedef struct
{
  /* Moves up to n_bytes along the guest's descriptor table.  Returns how many; less than n_bytes when the guest has
   * not started the master, set it to the other direction, or described less. */
  size_t (*transfer)  (void *master, bool to_memory, void *bytes, size_t n_bytes);
  /* INTRQ changed. */
  void   (*interrupt) (void *master, bool level);
  void    *master;
} IdeBusMaster;

/* Claims command_port … + 7 and control_port (1f0h and 3f6h, 170h and 376h).  Errors: those of bus_claim_ports, -ENOMEM. */
int     ide_channel_new    (const DeviceHost *host, IrqLine irq, uint16_t command_port, uint16_t control_port, IdeChannel **ret);
Device *ide_channel_device (IdeChannel *self);

/* unit 0 or 1.  The drive owns the image from success on.  -EINVAL: bad unit, an image of less than one sector, or a
 * translation out of range; -EEXIST: the place is taken; -ENOMEM. */
int ide_attach_disk  (IdeChannel *self, unsigned unit, BlockBackend *image, const IdeDiskOptions *options);
int ide_attach_cdrom (IdeChannel *self, unsigned unit, const IdeDiskOptions *options, IdeDrive **ret);
/* Another back end with the same contents behind a disk, unseen by the guest; closes the one before, owns the new one from
 * success on.  -EINVAL: no disk (NULL is none), or another size or right to write. */
int ide_change_disk  (IdeDrive *drive, BlockBackend *image);
/* NULL when nothing is attached there. */
IdeDrive *ide_channel_drive (IdeChannel *self, unsigned unit);

/* Puts a disc in (NULL: takes it out), also against a lock: the hole for the paper clip.  The tray is closed after it.
 * The drive owns the image from success on and closes the one before.  -EINVAL: not a CD-ROM drive. */
int           cdrom_insert  (IdeDrive *drive, BlockBackend *image);
/* The eject button.  -EBUSY when the guest has locked the tray: it is told that the user asked; else as cdrom_insert
 * (drive, NULL) with the tray left open. */
int           cdrom_eject   (IdeDrive *drive);
/* Whether the guest has ejected the disc (it is still in the open tray, and the guest may load it again). */
bool          cdrom_tray_open (const IdeDrive *drive);
BlockBackend *ide_drive_image (const IdeDrive *drive);

/* Called when a write found the host's disk full; the command waits until ide_retry (or a reset). */
void ide_set_full_handler (IdeChannel *self, void (*full) (void *data), void *data);
void ide_retry            (IdeChannel *self);

void ide_channel_set_bus_master (IdeChannel *self, const IdeBusMaster *master);
/* The guest started the master: a drive that waits for it goes on. */
void ide_channel_dma_ready      (IdeChannel *self);
/* The PIIX can switch the decoding of the ports off (then they float). On after construction. */
void ide_channel_set_decode     (IdeChannel *self, bool on);
/* Sectors or CD blocks moved since power on: for an activity light. */
uint64_t ide_channel_activity   (const IdeChannel *self);
