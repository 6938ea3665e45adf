/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of the ATA devices: shared by ide.c (registers, transfers), ide-disk.c and atapi.c (commands).
 *
 * A drive runs one command at a time as a chain of steps, each started by its timer:
 *
 *   command register written -> STEP_COMMAND -> (STEP_FILL or STEP_DRAIN <-> host moves data)* -> STEP_DONE
 *
 * The data of a command goes through `buffer`: the command code fills or drains it, ide.c carries it to or from the
 * host by programmed I/O or DMA.  All that survives a step is in the state table; nothing calls back across a step. */
#pragma once

#include "ide.h"

#include "clock.h"

enum
{
  IDE_BUFFER_BYTES  = 65536,
  IDE_SECTOR_BYTES  = 512,
  IDE_MAX_MULTIPLE  = 16,       /* sectors per interrupt of READ MULTIPLE; a power of two */
  IDE_DMA_BLOCK     = IDE_BUFFER_BYTES / IDE_SECTOR_BYTES,
  IDE_N_SELF_TESTS  = 21,       /* entries of the SMART self-test log */
  IDE_MAX_TRIM      = 8,        /* blocks of ranges in one DATA SET MANAGEMENT */
  CD_BLOCK_BYTES    = 2048,
  CD_RAW_BYTES      = 2352,
  CD_PACKET_BYTES   = 12,
};

/* Guest time. Real disks take milliseconds; guests only need the interrupt to come after the command returned. */
#define IDE_COMMAND_NS 25000ull
#define IDE_BLOCK_NS    5000ull
#define IDE_RESET_NS  100000ull

enum { STATUS_BSY = 0x80, STATUS_DRDY = 0x40, STATUS_DF = 0x20, STATUS_DSC = 0x10, STATUS_DRQ = 0x08, STATUS_ERR = 0x01,
       STATUS_READY = STATUS_DRDY | STATUS_DSC };
enum { ERROR_UNC = 0x40, ERROR_WP = 0x40, ERROR_IDNF = 0x10, ERROR_ABRT = 0x04 };
enum { DEVICE_LBA = 0x40, DEVICE_DEV = 0x10 };
enum { REASON_COMMAND = 1, REASON_TO_HOST = 2 };     /* a packet device's count register */

typedef enum { IDE_KIND_NONE, IDE_KIND_DISK, IDE_KIND_CDROM } IdeKind;
typedef enum { IDE_IDLE, IDE_BUSY, IDE_PIO_IN, IDE_PIO_OUT, IDE_DMA_WAIT, N_IDE_PHASES } IdePhase;
typedef enum { STEP_NONE, STEP_RESET, STEP_COMMAND, STEP_FILL, STEP_DRAIN, STEP_MOVE, STEP_DONE, N_IDE_STEPS } IdeStep;

/* What is in the buffer. */
typedef enum
{
  DATA_NONE,
  DATA_REPLY,                   /* to the host: one block, made by the command */
  DATA_SECTORS_IN,              /* to the host: sectors of the disk */
  DATA_CD_IN,                   /* to the host: blocks of the disc */
  DATA_SECTORS_OUT,             /* the rest come from the host */
  DATA_BUFFER_OUT,              /* WRITE BUFFER */
  DATA_TRIM_OUT,                /* DATA SET MANAGEMENT */
  DATA_PACKET_OUT,              /* the twelve bytes of a packet */
  DATA_PARAMETERS_OUT,          /* MODE SELECT */
  N_IDE_DATA,
} IdeData;

typedef enum { POWER_ACTIVE, POWER_IDLE, POWER_STANDBY, POWER_SLEEP, N_POWERS } IdePower;

struct IdeDrive
{
  /* Task file: [0] as written last, [1] as written before that (48-bit commands). */
  uint8_t  feature[2], count[2], low[2], mid[2], high[2];
  uint8_t  device, status, error, command;
  bool     interrupt;           /* INTRQ, if this drive is selected */

  uint8_t  phase, step, data;
  bool     dma, stalled;
  uint32_t position, burst_end, end;    /* in buffer; burst_end: of what the host may move now by programmed I/O */
  uint8_t *buffer;
  Timer   *timer;

  /* Disk: the rest of the running command. */
  uint64_t sector;
  uint32_t n_left;
  uint16_t block;               /* sectors per interrupt */
  bool     beyond;              /* the command goes past the end: "ID not found" after the rest */
  bool     sync;                /* flush before reporting success */
  /* Disk: settings. */
  uint64_t max_sectors;         /* what SET MAX left of n_sectors */
  uint8_t  heads, sectors;      /* INITIALIZE DEVICE PARAMETERS */
  uint8_t  multiple;
  uint8_t  native_read;         /* the READ NATIVE MAX command that must precede SET MAX, or 0 */
  bool     write_cache, look_ahead, smart;
  uint8_t  n_self_tests;
  uint8_t  self_tests[IDE_N_SELF_TESTS];        /* subcommands, newest last */
  /* Both. */
  uint8_t  power;
  uint8_t  transfer_mode;       /* as SET FEATURES gave it */
  uint64_t n_moved;

  /* CD-ROM */
  uint8_t  packet[CD_PACKET_BYTES];
  uint16_t byte_limit;          /* of one burst of programmed I/O, from the PACKET command */
  uint32_t cd_block, cd_left;   /* next block and how many */
  uint16_t cd_bytes;            /* of one block as the host sees it */
  uint8_t  cd_parts;            /* READ CD: bits 7-3 of its byte 9 */
  uint32_t cd_position;         /* for READ SUB-CHANNEL */
  uint8_t  sense_key, sense_code, sense_qualifier;
  uint16_t attention;           /* unit attention: additional code and qualifier, 0 for none */
  bool     changing;            /* a disc was swapped: say once "no medium" before the unit attention */
  bool     tray_open, locked;
  uint8_t  event;               /* MMC media event */
  uint8_t  retry_count;         /* mode page 01h */

  /* Not state. */
  IdeChannel   *channel;
  unsigned      unit;
  IdeKind       kind;
  BlockBackend *image;
  uint64_t      n_sectors;      /* of 512 bytes; CD: of 2048 */
  uint16_t      default_cylinders;
  uint8_t       default_heads, default_sectors;
  char          model[41], serial[21], firmware[9];
};

/* ---- ide.c */

/* Busy until the step runs. */
void ide_drive_run_in (IdeDrive *self, IdeStep step, uint64_t delay_ns);
/* buffer[position … end) is ready for the host, or waits for its data. quiet: without interrupt. */
void ide_drive_offer  (IdeDrive *self, bool quiet);
/* The command has succeeded, or failed with this error register (plus STATUS_DF in extra). Both interrupt. */
void ide_drive_done   (IdeDrive *self);
void ide_drive_fail   (IdeDrive *self, uint8_t error, uint8_t extra_status);
/* The host's disk is full: true if the command now waits and will run `step` again, false if nobody listens. */
bool ide_drive_stall  (IdeDrive *self, IdeStep step);
/* The signature of ATA-6 9.12 in the task file. */
void ide_drive_sign   (IdeDrive *self);
/* Text in IDENTIFY order: two characters a word, the first in the high byte, padded with blanks. */
void ide_put_text     (uint8_t *to, const char *text, unsigned n_bytes);
/* SET FEATURES 03h: -EINVAL for a mode that neither kind of drive has. */
int  ide_set_transfer_mode (IdeDrive *self, uint8_t mode);
/* IDENTIFY words that both kinds share: transfer modes, cable, checksum. */
void ide_identify_modes    (const IdeDrive *self, uint8_t *words);
/* Commands E0h … E6h and 94h … 99h; true if it was one. */
bool ide_power_command     (IdeDrive *self);

static inline void
ide_put16 (uint8_t *words, unsigned word, uint16_t value)
{
  words[word * 2] = (uint8_t) value;
  words[word * 2 + 1] = (uint8_t) (value >> 8);
}

/* ---- ide-disk.c */
void disk_reset   (IdeDrive *self, bool power_on);
void disk_command (IdeDrive *self);
void disk_fill    (IdeDrive *self);
void disk_drain   (IdeDrive *self);
bool disk_more    (const IdeDrive *self);
int  disk_check   (const IdeDrive *self);

/* ---- atapi.c */
void cd_reset   (IdeDrive *self, bool power_on);
void cd_command (IdeDrive *self);
void cd_fill    (IdeDrive *self);
void cd_drain   (IdeDrive *self);
bool cd_more    (const IdeDrive *self);
int  cd_check   (const IdeDrive *self);
void cd_finish  (IdeDrive *self);     /* success of a packet command */
