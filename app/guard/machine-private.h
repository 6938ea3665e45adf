/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine from the inside, for machine.c and machine-library.c. */
#pragma once

#include "folder-process.h"
#include "machine.h"
#include "spool.h"

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
  GBytes         *passphrase;   /* while it runs, for changes of an encrypted file */
  gboolean        stopping;     /* its end was asked for */
  gboolean        suspended;    /* its state is saved, its end leads to STATE_SUSPENDED */
  gboolean        discard_state, discard_changes;
  int             display_fd, frame_fd, sound_fd;
  int             serial_fd[SERIAL_PORTS];
  Spool          *serial_spool[SERIAL_PORTS], *printer;
  gboolean        console_open;
  FolderProcess  *folders[PROTOCOL_FOLDERS];
  GArray         *waiting;      /* of Waiter: for its end */
};

void  machine_changed (Machine *self);
void  machine_warn (Machine *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
void  machine_forget_warnings (Machine *self);
char *machine_state_path (Machine *self, GError **error);

G_END_DECLS
