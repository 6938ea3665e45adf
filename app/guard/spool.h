/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a guest prints or sends through a serial port: the monitor writes into a pipe, the guard into files of mode 0600 in
 * the folder of the machine's label.  Each job is one file with a banner and a trailer page; a pause of JOB_IDLE_SECONDS
 * ends a job.  The file is registered as a medium of the label, so that it opens as input only where it may. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

enum { JOB_IDLE_SECONDS = 30, JOB_MAX_BYTES = 256 * 1024 * 1024 };

typedef struct Spool Spool;

/* Decides (printer-out or serial-out); *ret_fd is the end for the monitor, write only. */
Spool *spool_new (Guard *guard, const char *machine, const Label *label, PolicyChannel channel, const char *port, int *ret_fd,
                  GError **error);

/* Takes what is left in the pipe, ends the job. */
void   spool_free (Spool *self);

G_END_DECLS
