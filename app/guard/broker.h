/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The only door: every descriptor a monitor gets is made here, after policy_decide() allowed it and the audit record is
 * on disk.  All descriptors are close-on-exec and the caller's. */
#pragma once

#include "guard.h"
#include "protocol.h"

G_BEGIN_DECLS

/* Resolves a path the user named to the file it means: absolute, a plain file, not one of the guard's own. */
char *broker_resolve (Guard *guard, const char *path, GError **error);

/* Decides whether a machine may have a medium.  *inout_writable becomes false where the file system allows reading only.
 * A writable medium is raised to the machine's label at once. */
gboolean broker_check_medium (Guard *guard, const char *machine, const Label *label, ProtocolDrive kind, const char *path,
                              gboolean *inout_writable, GError **error);

/* The same, and opens it.  The file that is opened is the one that was decided about. */
int broker_open_medium (Guard *guard, const char *machine, const Label *label, ProtocolDrive kind, const char *path,
                        gboolean *inout_writable, GError **error);

/* A zero memory file sealed against every change of size. */
int broker_memory_file (const char *name, guint64 n_bytes, GError **error);

/* One that can be made shorter but not longer: its writer ends it where its contents end. */
int broker_growless_file (const char *name, guint64 n_bytes, GError **error);

/* The same file for reading only. */
int broker_read_only_view (int fd, GError **error);

/* An event counter, non-blocking. */
int broker_event (GError **error);

/* Two connected sockets of a type (SOCK_SEQPACKET, SOCK_STREAM), non-blocking. */
gboolean broker_socket_pair (int type, int ret_fds[2], GError **error);

/* A shared folder, for its server. */
int broker_open_folder (const char *path, GError **error);

/* A file of the firmware package, read-only. */
int broker_open_firmware (const char *name, GError **error);

/* Locks the open file against every other opener that asks (a machine's disk has one writer, or readers).  The lock goes
 * with the descriptor, also to another process, and is gone with the last copy: there are no stale ones. */
gboolean broker_lock (int fd, const char *path, gboolean writable, GError **error);

/* A file in a folder of the guard's own, read and write, made anew with mode 0600 if `create`. */
int broker_open_own (const char *path, gboolean create, GError **error);

/* A new file of mode 0600, read and write; one that is already there, also as a link, is an error (errno EEXIST). */
int broker_create (const char *path, GError **error);

/* A file without a name in a folder, gone with its last descriptor; -1 and errno. */
int broker_create_unnamed (const char *folder);

/* A file the user named as target of a conversion: made with mode 0600 or opened as it is, read and write. */
int broker_open_target (const char *path, GError **error);

/* A plain file for reading. */
int broker_open_source (const char *path, GError **error);

G_END_DECLS
