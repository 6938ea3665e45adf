/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One monitor: its process and the socket to it.  Frames from it are checked against the one table; a wrong one ends the
 * monitor and nothing else.  Requests go out one at a time; each has a time limit, after which the monitor counts as hung. */
#pragma once

#include "guard.h"
#include "protocol.h"

G_BEGIN_DECLS

typedef struct MachineProcess MachineProcess;

enum { REQUEST_SECONDS = 10, REQUEST_LONG_SECONDS = 300 };

typedef struct
{
  GPtrArray    *rows;           /* of SCREEN_TEXT: strings */
  MsgStatus     status;
  MsgStatistics statistics;
} MachineReply;

/* `error` is NULL when the monitor answered DONE without error.  Nothing belongs to the callee. */
typedef void (*MachineReplyFunc) (MachineProcess *process, const MachineReply *reply, const GError *error, gpointer data);

typedef struct
{
  void (*warning) (MachineProcess *process, const char *text, gpointer data);
  /* The process is gone (reaped): `stopped` tells whether it said STOPPED before, with the reason; `text` why it ended
   * otherwise.  Requests still open were answered with an error before. The process may be freed here. */
  void (*ended)   (MachineProcess *process, gboolean stopped, ProtocolStopped reason, const char *text, gpointer data);
} MachineProcessEvents;

MachineProcess *machine_process_spawn (const char *program, const MachineProcessEvents *events, gpointer data,
                                       GError **error);
/* Kills what still runs; no callback is called any more. */
void            machine_process_free (MachineProcess *self);

GPid            machine_process_pid (MachineProcess *self);
void            machine_process_kill (MachineProcess *self, const char *why);

/* Queues a request.  payload: protocol_message_bytes of them (NULL: zeros), copied; fds: as many as the table says, taken
 * over also on failure. */
void machine_process_request (MachineProcess *self, MessageType type, const void *payload, const int *fds, guint seconds,
                              MachineReplyFunc reply, gpointer data);

/* False once it is gone or condemned: requests would fail. */
gboolean machine_process_is_alive (MachineProcess *self);

/* The phase the machine is in, as far as it has confirmed. */
Phase machine_process_phase (MachineProcess *self);

G_END_DECLS
