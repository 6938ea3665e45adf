/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine from the inside, for machine.c and machine-library.c. */
#pragma once

#include "folder-process.h"
#include "machine.h"
#include "machine-process.h"
#include "protocol.h"
#include "spool.h"
#include "vm-file.h"

G_BEGIN_DECLS

enum { MACHINE_MAX_WARNINGS = 32 };

typedef struct
{
  MachineFunc done;
  gpointer    data;
} Waiter;

struct Machine
{
  Guard          *guard;
  MachineRecord  *record;
  MachineState    state;
  char           *error;        /* why it crashed */
  GPtrArray      *warnings;     /* of the last change */
  guint           n_snapshots;

  MachineProcess *process;      /* NULL unless a monitor lives */
  VmKeys         *keys;         /* of an encrypted file: while it runs, and for a minute after the passphrase was given */
  guint           keys_timeout;
  gboolean        busy;         /* its disk is in the guard's hands */
  gboolean        stopping;     /* its end was asked for */
  gboolean        suspended;    /* its state is saved, its end leads to STATE_SUSPENDED */
  gboolean        discard_state, discard_changes;
  int             loaded_state; /* of a suspended machine that starts, or -1 */
  int             display_fd, frame_fd, sound_fd;
  int             serial_fd[SERIAL_PORTS];
  Spool          *serial_spool[SERIAL_PORTS], *printer;
  gboolean        console_open;
  FolderProcess  *folders[PROTOCOL_FOLDERS];
  GArray         *waiting;      /* of Waiter: for its end */
};

/* A message that waits to be sent. */
typedef struct
{
  MessageType type;
  Message     message;          /* only the payload counts */
  int         fds[PROTOCOL_MAX_FDS];
} Step;

GArray *machine_steps_new (void);
Step   *machine_add_step (GArray *steps, MessageType type, int fd0, int fd1);
/* The machine's own disk with what it lies over: decided about, opened, locked. Nothing when it has none. */
gboolean machine_add_own_drive (Machine *self, GArray *steps, GError **error);
/* Sends all; descriptors are taken over. */
void machine_send_steps (Machine *self, GArray *steps, MachineReplyFunc reply, gpointer data);

void    machine_set_state (Machine *self, MachineState state);
GError *machine_wrong_state (Machine *self, const char *what);
void    machine_wait_for_end (Machine *self, MachineFunc done, gpointer data);
/* Whether its file has room for memory states. */
gboolean machine_has_bundle (Machine *self);
/* With the passphrase in the options, unlocks an encrypted file. */
gboolean machine_take_keys (Machine *self, GVariant *options, GError **error);
void     machine_forget_keys (Machine *self);
void     machine_keep_keys (Machine *self);
/* The name of a linked clone that lies over this machine's disk, or NULL. */
const char *machine_linked_clone (Machine *self);
/* Before its disk is opened: takes the memory state out of the file of a suspended machine, or throws it away. */
gboolean machine_read_state (Machine *self, GError **error);
/* For the start of a suspended machine: LOAD_STATE.  Then, when that is sent, what follows up to RESUME, which done answers. */
gboolean machine_add_state (Machine *self, GArray *steps, GError **error);
void     machine_resume_suspended (Machine *self, MachineReplyFunc step, MachineReplyFunc done, gpointer data);
/* It runs: a state that is still recorded is used up or was thrown away. */
void     machine_state_used (Machine *self);

void  machine_changed (Machine *self);
void  machine_warn (Machine *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
void  machine_forget_warnings (Machine *self);
char *machine_state_path (Machine *self, GError **error);

G_END_DECLS
