/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Floppy disk controller: Intel 82077AA in PC-AT mode, with up to two drives. */
#pragma once

#include "block.h"
#include "device.h"
#include "irq-line.h"

typedef struct Fdc Fdc;

/* What a device needs of an 8237: two functions, so that the controller and its devices do not know each other. */
typedef struct
{
  /* Moves up to n_bytes between the device's bytes and guest memory as the channel is programmed; to_memory: the
   * device gives, else it takes.  Returns how many were moved (0: masked or programmed for the other direction).
   * *terminal_count is set to whether the channel's count ran out with the last byte moved. */
  size_t (*transfer)    (void *dma, unsigned channel, bool to_memory, void *bytes, size_t n_bytes, bool *terminal_count);
  /* The DREQ wire. */
  void   (*set_request) (void *dma, unsigned channel, bool level);
  void    *dma;
} DmaPort;

/* The values are those of CMOS byte 0x10, so the board can store them as they are. */
typedef enum
{
  FLOPPY_DRIVE_NONE, FLOPPY_DRIVE_360K, FLOPPY_DRIVE_1200K, FLOPPY_DRIVE_720K, FLOPPY_DRIVE_1440K, FLOPPY_DRIVE_2880K,
} FloppyDriveKind;

typedef struct
{
  uint8_t n_tracks, n_heads;
  uint8_t n_sectors;            /* on a track */
  uint8_t size_code;            /* 128 << size_code bytes in a sector */
  uint8_t density;              /* FLOPPY_DENSITY_* */
} FloppyGeometry;

enum { FLOPPY_DENSITY_DOUBLE, FLOPPY_DENSITY_HIGH, FLOPPY_DENSITY_EXTRA };
enum { FDC_MAX_IMAGE_BYTES = 84 * 2 * 48 * 512 };

/* The format of an image by its size: a known one, else any that divides it exactly, else the smallest standard format
 * that holds it (the missing end reads as zeros).  -EINVAL for an empty image or one of more than FDC_MAX_IMAGE_BYTES. */
int floppy_geometry_of (uint64_t n_bytes, FloppyGeometry *ret);

/* Claims base + 2 … base + 5 and base + 7 (base + 6 belongs to the IDE channel; base is 0x3f0 or 0x370).  dma is
 * copied; NULL leaves only programmed I/O.  Errors: those of bus_claim_ports, -ENOMEM. */
int     fdc_new    (const DeviceHost *host, IrqLine irq, uint16_t base, const DmaPort *dma, unsigned dma_channel, Fdc **ret);
Device *fdc_device (Fdc *self);

/* Which drive is on the cable; unit 0 or 1 (others: -EINVAL). Before the guest runs. */
int             fdc_set_drive  (Fdc *self, unsigned unit, FloppyDriveKind kind);
FloppyDriveKind fdc_drive_kind (const Fdc *self, unsigned unit);

/* Puts a disk in (NULL: takes it out).  The drive owns the image from success on and closes the one before.
 * -EINVAL: no such drive or no format of that size; the image is then still the caller's. */
int           fdc_insert (Fdc *self, unsigned unit, BlockBackend *image);
BlockBackend *fdc_image  (const Fdc *self, unsigned unit);

/* Called when a write found the host's disk full; the command waits until fdc_retry (or a reset). */
void fdc_set_full_handler (Fdc *self, void (*full) (void *data), void *data);
void fdc_retry            (Fdc *self);
/* Whether a motor is on: for an activity light. */
bool fdc_motor_on         (const Fdc *self, unsigned unit);
