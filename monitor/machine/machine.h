/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One virtual PC: made from a configuration, run on its own thread, asked from others.
 *
 * machine_run is the machine's thread: the CPU, every device and every timer run there, so devices need no locks.  Other
 * threads hand it work with machine_call, which interrupts the guest for as long as the call takes. */
#pragma once

#include "block.h"
#include "chardev.h"
#include "cpu.h"
#include "display.h"
#include "engine.h"
#include "message.h"
#include "packet.h"
#include "sound.h"
#include "virtual-clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Machine Machine;

enum
{
  MACHINE_N_DISKS = 4, MACHINE_N_FLOPPIES = 2, MACHINE_N_SERIALS = 2,
  MACHINE_MIN_MEMORY_MIB = 1, MACHINE_MAX_MEMORY_MIB = 3584,
  MACHINE_BOOT_ORDER_MAX = 4,
  MACHINE_N_FOLDERS = 4,
};

typedef enum { MACHINE_ENGINE_AUTO, MACHINE_ENGINE_INTERPRETER, MACHINE_ENGINE_TRANSLATOR, MACHINE_ENGINE_LOCKSTEP } MachineEngine;
typedef enum { MACHINE_BOOT_NONE, MACHINE_BOOT_FLOPPY, MACHINE_BOOT_DISK, MACHINE_BOOT_CDROM } MachineBootDevice;

typedef struct
{
  BlockBackend *block;          /* NULL with is_cdrom: an empty drive */
  bool          present, is_cdrom;
} MachineDrive;

/* Descriptors and back ends belong to the machine once machine_new has succeeded; before, to the caller. */
typedef struct
{
  uint32_t          memory_mib;
  CpuModel          cpu_model;
  bool              undetectable;
  MachineEngine     engine;
  ClockSource       clock_source;
  int64_t           rtc_unix_seconds;
  uint64_t          seed;
  uint64_t          fuzzy_time_ns;
  bool              no_reboot;
  uint16_t          exit_port;
  MachineBootDevice boot_order[MACHINE_BOOT_ORDER_MAX];
  bool              boot_menu;
  MachineDrive      disks[MACHINE_N_DISKS];             /* IDE 0 master, 0 slave, 1 master, 1 slave */
  BlockBackend     *floppies[MACHINE_N_FLOPPIES];
  unsigned          n_floppy_drives;
  const uint8_t    *firmware, *vga_firmware;            /* read during machine_new only */
  size_t            n_firmware, n_vga_firmware;
  const uint8_t    *kernel, *initrd;
  size_t            n_kernel, n_initrd;
  const char       *command_line;
  CharBackend      *serials[MACHINE_N_SERIALS];
  CharBackend      *parallel;
  CharBackend      *debug;
  bool              has_network;                        /* a card, with or without a cable */
  PacketBackend    *network;
  uint8_t           mac[6];
  SoundSink        *sound;
  struct { char tag[33]; MessageBackend *far_end; } folders[MACHINE_N_FOLDERS];         /* tag "": none */
  int               memory_fd;                          /* -1: make one */
} MachineConfig;

typedef enum
{
  MACHINE_END_NONE,
  MACHINE_END_POWER_OFF,        /* the guest turned itself off */
  MACHINE_END_RESET,            /* reset under no_reboot */
  MACHINE_END_EXIT_PORT,        /* *value is what the guest wrote */
  MACHINE_END_QUIT,             /* machine_quit */
  MACHINE_END_FAILED,           /* the engine cannot go on: machine_message */
} MachineEnd;

/* NULL with a sentence that names the thing and the remedy in ret_error (freed by the caller). */
Machine *machine_new  (const MachineConfig *config, char **ret_error);
void     machine_free (Machine *self);

/* Runs until the machine ends. Call once, on the thread that is to be the machine's. */
MachineEnd machine_run (Machine *self, uint32_t *ret_value);
const char *machine_message (Machine *self);

/* --- from any thread ------------------------------------------------------------------------------------------- */

/* Runs call on the machine's thread between two instructions and waits for it. -ESHUTDOWN: the machine has ended.
 * On the machine's own thread it runs at once. */
int  machine_call (Machine *self, void (*call) (Machine *self, void *data), void *data);
/* Whether calls go on being answered (on the caller's thread) after the machine has ended: for last questions. */
void machine_linger (Machine *self, bool linger);
/* Told on the machine's thread when the run state changes or the machine ends. */
void machine_on_change (Machine *self, void (*changed) (void *data), void *data);

/* Told on the machine's thread when the host's disk is full and the guest waits (true), and when it goes on (false). */
void machine_on_stall (Machine *self, void (*stalled) (void *data, bool stalled), void *data);

/* --- on the machine's thread (inside machine_call) --------------------------------------------------------------- */

void machine_pause  (Machine *self);
void machine_resume (Machine *self);
bool machine_paused (const Machine *self);
bool machine_halted (const Machine *self);
void machine_reset  (Machine *self);
void machine_quit   (Machine *self);
/* False if the guest does not listen to the button. */
bool machine_power_button (Machine *self);
Cpu *machine_cpu (Machine *self);
Engine *machine_engine (Machine *self);
Clock *machine_clock (Machine *self);
GuestMemory *machine_memory (Machine *self);

/* Text of the screen, lines ended by \n (UTF-8), into a new string; empty in graphics modes. NULL: out of memory. */
char *machine_screen_text (Machine *self);
typedef struct { uint32_t mode, width, height, columns, rows; } MachineScreen;
void  machine_screen_info (Machine *self, MachineScreen *ret_screen);
/* Draws what changed; true if a frame was published. */
bool  machine_refresh (Machine *self, DisplaySurface *surface);

void machine_key        (Machine *self, uint16_t evdev_code, bool down);
void machine_release_keys (Machine *self);
void machine_mouse      (Machine *self, int dx, int dy, int dz, unsigned buttons);
void machine_mouse_at   (Machine *self, unsigned x, unsigned y, int dz, unsigned buttons);     /* 0 … 65535 */
bool machine_mouse_absolute (Machine *self);
/* -EILSEQ: a character that a US keyboard does not have (nothing is typed). */
int  machine_type       (Machine *self, const char *utf8);
/* "ctrl-alt-del" in QEMU's sendkey names. -EINVAL: unknown name. */
int  machine_key_combination (Machine *self, const char *names);

/* Media. slot: 0 … 1 floppies, or the n-th CD drive. block NULL: eject. -ENODEV: no such drive; -EBUSY: locked by the guest. */
int  machine_change_floppy (Machine *self, unsigned slot, BlockBackend *block);
int  machine_change_cdrom  (Machine *self, unsigned slot, BlockBackend *block, bool force);

/* Another back end with the same contents behind a disk (IDE position 0 … 3), unseen by the guest; the machine owns it from
 * success on and closes the one before.  -ENODEV: no disk there; -EINVAL: another size or right to write. */
int  machine_change_disk  (Machine *self, unsigned slot, BlockBackend *block);
/* What is behind a disk now; NULL: no disk there. */
BlockBackend *machine_disk (Machine *self, unsigned slot);

/* Puts another cable into the network card (NULL: pulls it out). -ENODEV: no card; the cable is then still the caller's. */
int  machine_plug_network (Machine *self, PacketBackend *cable);
/* Every disk's data reaches the host's disk. 0 or the first error. */
int  machine_flush        (Machine *self);

/* Saved state: RAM, CPU, clock and every device. The buffer is appended to. 0 or negative errno. */
int  machine_save    (Machine *self, int fd);
/* Untrusted input; on failure (-EBADMSG, -ENOTSUP: other configuration, with a sentence) the machine is reset. */
int  machine_restore (Machine *self, int fd, const char **ret_error);
