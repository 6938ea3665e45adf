/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the guard and a monitor say to each other: SOCK_SEQPACKET, fixed structs in host byte order, one table
 * (protocol.def).  And what the application writes into a console's input socket.
 *
 * A frame is one MessageHeader and one payload struct, exactly; descriptors come as SCM_RIGHTS with it.
 *
 * A monitor's life, seen from its socket (descriptor 3, started with --guarded):
 *   > READY
 *   < CONFIGURE MEMORY DISPLAY SOUND FIRMWARE VGA_FIRMWARE DRIVE* SERIAL* PARALLEL NETWORK INPUT     (each answered by DONE)
 *   < LOAD_STATE                          when it was suspended: DONE leaves it paused; RESUME then goes on
 *   < RUN        > DONE                   the sandbox is complete before this DONE; a layer that cannot be set up is an error
 *   ...
 *   < STOP       > DONE  > STOPPED        or STOPPED alone when the guest powers itself off
 * End of file on the socket means that the guard is gone: flush the drives and exit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum
{
  PROTOCOL_VERSION       = 1,
  PROTOCOL_SOCKET_FD     = 3,
  PROTOCOL_MAX_FDS       = 2,
  PROTOCOL_TEXT_BYTES    = 1024,        /* with the final NUL */
  PROTOCOL_MIN_MEMORY    = 1,           /* MiB */
  PROTOCOL_MAX_MEMORY    = 3584,
  PROTOCOL_EXTRA_MEMORY  = 32,          /* MiB behind the guest's RAM in the same file: video memory and ROMs */
  PROTOCOL_MAX_DEPTH     = 8,           /* backing files of one drive */
  PROTOCOL_SCREEN_BYTES  = 132 * 4 + 4, /* one row as UTF-8 with its NUL */
  PROTOCOL_SCREEN_ROWS   = 64,
  PROTOCOL_REASONS       = 32,
  PROTOCOL_FOLDERS       = 4,
};

typedef enum { SENDER_GUARD = 1, SENDER_MONITOR = 2 } Sender;
typedef enum { PHASE_SETUP = 1, PHASE_RUNNING = 2, PHASE_PAUSED = 4 } Phase;

typedef enum { MODEL_PENTIUM, MODEL_PENTIUM2, MODEL_PENTIUM3, MODEL_PENTIUM_M, N_MODELS } ProtocolModel;
typedef enum { ENGINE_CHOICE_AUTO, ENGINE_CHOICE_INTERPRETER, ENGINE_CHOICE_TRANSLATOR, N_ENGINE_CHOICES } ProtocolEngine;
typedef enum { BOOT_NONE, BOOT_FLOPPY, BOOT_DISK, BOOT_CDROM, N_BOOTS } ProtocolBoot;
typedef enum { RTC_UTC, RTC_LOCAL, RTC_FIXED, N_RTCS } ProtocolRtc;
typedef enum { DRIVE_DISK, DRIVE_CDROM, DRIVE_FLOPPY, N_DRIVES } ProtocolDrive;
typedef enum { FORMAT_RAW, FORMAT_QCOW2, N_FORMATS } ProtocolFormat;
typedef enum { PORT_FILE, PORT_SOCKET, PORT_PRINTER, N_PORTS } ProtocolPort;
typedef enum { STOPPED_OFF, STOPPED_REQUESTED, STOPPED_FAILED, N_STOPPED } ProtocolStopped;

enum
{
  MACHINE_UNDETECTABLE       = 1 << 0,  /* no VMware back door, no hypervisor CPUID leaf */
  MACHINE_FUZZY_TIME         = 1 << 1,
  MACHINE_CLOCK_INSTRUCTIONS = 1 << 2,  /* guest time from instructions retired */
  MACHINE_NO_REBOOT          = 1 << 3,  /* a guest's reset ends the machine */
  MACHINE_SOUND              = 1 << 4,  /* sound cards fitted */
  MACHINE_REQUIRE_SANDBOX    = 1 << 5,  /* RUN fails when a required layer is missing (always set for labelled machines) */
  MACHINE_FLAGS_ALL          = (1 << 6) - 1,
};

enum { DRIVE_READ_ONLY = 1 << 0, DRIVE_ENCRYPTED = 1 << 1, DRIVE_DISCARD_CHANGES = 1 << 2, DRIVE_FLAGS_ALL = (1 << 3) - 1 };

/* Layers of the sandbox, in READY (what the host offers) and in STATUS_INFO (what is up). */
enum
{
  SANDBOX_NAMESPACES = 1 << 0,
  SANDBOX_LANDLOCK   = 1 << 1,
  SANDBOX_SECCOMP    = 1 << 2,
  SANDBOX_EMPTY_ROOT = 1 << 3,
  SANDBOX_NO_DUMP    = 1 << 4,
  SANDBOX_LIMITS     = 1 << 5,
};

typedef struct { uint16_t type, n_bytes; uint32_t sequence; } MessageHeader;     /* n_bytes: of the payload */

typedef struct { uint32_t unused; } MsgNone;            /* 0 */

typedef struct
{
  uint32_t version;             /* PROTOCOL_VERSION */
  uint32_t memory_mib;          /* PROTOCOL_MIN_MEMORY .. PROTOCOL_MAX_MEMORY */
  uint8_t  model, engine;       /* ProtocolModel, ProtocolEngine */
  uint8_t  rtc, reserved;       /* ProtocolRtc; 0 */
  uint8_t  boot[4];             /* ProtocolBoot in order, BOOT_NONE at the end */
  uint32_t flags;               /* MACHINE_* */
  int32_t  utc_offset_s;        /* of local time, -86400 .. 86400, for RTC_LOCAL */
  int64_t  rtc_base_s;          /* seconds since 1970 at power-on, for every kind of RTC: the monitor reads no clock for it */
  uint64_t seed;                /* of every pseudo-random source of the machine */
} MsgConfigure;

typedef struct
{
  uint8_t  kind;                /* ProtocolDrive */
  uint8_t  slot;                /* disk 0..3 and CD 0..3: IDE 0 master, 0 slave, 1 master, 1 slave; floppy 0..1 */
  uint8_t  format;              /* ProtocolFormat: from the configuration, never probed */
  uint8_t  flags;               /* DRIVE_* */
  uint32_t depth;               /* 0 the image itself, 1.. its backing files */
} MsgDrive;

typedef struct
{
  uint8_t  kind, slot;          /* as in MsgDrive */
  uint16_t n_key;               /* 1 .. 64 */
  uint32_t reserved;            /* 0 */
  uint8_t  key[64];
} MsgDriveKey;

typedef struct
{
  uint8_t  index;               /* serial 0..1, parallel 0 */
  uint8_t  kind;                /* ProtocolPort; a printer spool is a file, opened for appending */
  uint16_t reserved;            /* 0 */
} MsgPort;

typedef struct { uint8_t mac[6]; uint16_t reserved; } MsgNetwork;

typedef struct
{
  uint8_t index, reserved[3];   /* below PROTOCOL_FOLDERS; 0 */
  char    tag[36];              /* what the guest mounts: 1 .. 32 bytes, NUL-terminated, zero after it */
} MsgFolder;

typedef struct { char text[PROTOCOL_TEXT_BYTES]; } MsgText;      /* UTF-8, NUL-terminated, zero after it */

typedef struct
{
  uint32_t version;             /* PROTOCOL_VERSION */
  uint32_t sandbox;             /* SANDBOX_* the host offers */
} MsgReady;

typedef struct
{
  int32_t error;                /* 0, or a negative errno value */
  char    text[252];            /* why, NUL-terminated; empty when error is 0 */
} MsgDone;

typedef struct
{
  uint16_t row, n_rows;         /* row < n_rows <= PROTOCOL_SCREEN_ROWS */
  char     text[PROTOCOL_SCREEN_BYTES];         /* UTF-8 without trailing blanks */
} MsgScreenRow;

typedef struct
{
  uint8_t  phase;               /* Phase */
  uint8_t  engine;              /* ENGINE_CHOICE_INTERPRETER or _TRANSLATOR: the one in use */
  uint8_t  display_mode;        /* DISPLAY_MODE_* */
  uint8_t  reserved;            /* 0 */
  uint32_t width, height;
  uint32_t sandbox;             /* SANDBOX_* that are up */
  uint64_t uptime_ns;           /* guest time */
} MsgStatus;

typedef struct
{
  uint64_t instructions, translated, interpreted, frames;
  uint32_t estimated, n_reasons;
  struct { char code[8]; uint64_t count; } reasons[PROTOCOL_REASONS];
} MsgStatistics;

typedef struct
{
  uint32_t reason;              /* ProtocolStopped */
  int32_t  error;
  char     text[256];
} MsgStopped;

_Static_assert (sizeof (MessageHeader) == 8 && sizeof (MsgConfigure) == 40 && sizeof (MsgDrive) == 8
                && sizeof (MsgDriveKey) == 72 && sizeof (MsgPort) == 4 && sizeof (MsgNetwork) == 8 && sizeof (MsgFolder) == 40
                && sizeof (MsgText) == 1024 && sizeof (MsgReady) == 8 && sizeof (MsgDone) == 256
                && sizeof (MsgScreenRow) == 536 && sizeof (MsgStatus) == 24
                && sizeof (MsgStatistics) == 40 + 16 * PROTOCOL_REASONS && sizeof (MsgStopped) == 264,
                "no padding: every byte on the wire is named");

typedef enum
{
#define MESSAGE(name, sender, phases, payload, fds) MESSAGE_##name,
#include "protocol.def"
#undef MESSAGE
  N_MESSAGES
} MessageType;

/* Room for any frame, aligned for any payload. */
typedef union
{
  struct
  {
    MessageHeader header;
    union
    {
      MsgNone       none;
      MsgConfigure  configure;
      MsgDrive      drive;
      MsgDriveKey   drive_key;
      MsgPort       port;
      MsgNetwork    network;
      MsgFolder     folder;
      MsgText       text;
      MsgReady      ready;
      MsgDone       done;
      MsgScreenRow  screen_row;
      MsgStatus     status;
      MsgStatistics statistics;
      MsgStopped    stopped;
    };
  };
  uint8_t bytes[sizeof (MessageHeader) + sizeof (MsgText) + 8];
} Message;

_Static_assert (sizeof (MsgText) >= sizeof (MsgStatistics) && sizeof (MsgText) >= sizeof (MsgScreenRow),
                "the text is the largest payload");

/* "CONFIGURE"; "?" outside the table. */
const char *protocol_message_name (unsigned type);

/* Bytes of a message's payload, descriptors with it; 0 outside the table. */
size_t   protocol_message_bytes (unsigned type);
unsigned protocol_message_fds (unsigned type);

/* The one check.  Phase `now` is the receiver's; contents are checked as far as the table of structs tells: enums, flags,
 * reserved fields, ranges, and texts that end within their field.  0, or -EBADMSG with *ret_why (if not NULL) set to a
 * constant that says what is wrong. */
int protocol_check (Phase now, Sender from, const Message *untrusted_frame, size_t n_bytes, size_t n_fds,
                    const char **ret_why);

/* Sends one frame.  `payload` has protocol_message_bytes (type) bytes (NULL: zeros); `fds` as many as the table says.
 * The descriptors remain the caller's.  0 or a negative errno value (-EAGAIN on a full non-blocking socket). */
int protocol_send (int socket, MessageType type, uint32_t sequence, const void *payload, const int *fds);

/* Receives one frame without checking it: pass what it gives to protocol_check.  Descriptors arrive close-on-exec in
 * ret_fds[PROTOCOL_MAX_FDS] and belong to the caller (close them also when the check fails).  The number of bytes, 0 at
 * end of file, or a negative errno value; -EMSGSIZE for a frame or a set of descriptors too large (those are closed). */
ssize_t protocol_receive (int socket, Message *ret_frame, int ret_fds[PROTOCOL_MAX_FDS], size_t *ret_n_fds);

/* ------------------------------------------------------------------------------------------------ the input socket */

enum
{
  INPUT_KEY = 1,                /* code: Linux evdev number; value_x: 1 down, 0 up */
  INPUT_MOUSE_RELATIVE,         /* value_x, value_y: pixels, y downwards, -32768 .. 32767; wheel: steps, positive away from the user; buttons */
  INPUT_MOUSE_ABSOLUTE,         /* value_x, value_y: 0 .. 65535 over the whole screen; wheel; buttons */
  INPUT_RELEASE_ALL,            /* every key and button goes up: on loss of focus */
};

/* One per packet, from the application to the monitor.  buttons: MOUSE_BUTTON_* of devices/api/input.h. */
typedef struct
{
  uint16_t type, code;
  int32_t  value_x, value_y;
  int16_t  wheel;
  uint16_t buttons;
} InputMessage;

_Static_assert (sizeof (InputMessage) == 16, "no padding");

/* Whether a packet of n_bytes is one sound InputMessage; the monitor drops all others. */
bool input_message_check (const InputMessage *untrusted_message, size_t n_bytes);
