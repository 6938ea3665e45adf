/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One machine of the library, running or not: what may be done to it in which state. */
#pragma once

#include "guard.h"
#include "machine-process.h"
#include "store.h"

G_BEGIN_DECLS

typedef enum { STATE_OFF, STATE_RUNNING, STATE_PAUSED, STATE_SUSPENDED, STATE_CRASHED } MachineState;

/* error is NULL on success; nothing belongs to the callee. */
typedef void (*MachineFunc)      (Machine *machine, const GError *error, gpointer data);
typedef void (*MachineLinesFunc) (Machine *machine, const char *const *lines, const GError *error, gpointer data);
typedef void (*MachineStatsFunc) (Machine *machine, GVariant *statistics, const GError *error, gpointer data);

/* Takes the record and enters guard->machines. */
Machine *machine_new (Guard *guard, MachineRecord *record);
void     machine_free (Machine *self);

/* The machine the caller may see, or NULL with GUARD_ERROR_NO_SUCH_MACHINE. */
Machine *machine_find (Guard *guard, const char *name, gboolean officer, GError **error);

/* Path of one of our programs beside this one, or NULL; g_free. */
char *machine_find_program (const char *name);

const MachineRecord *machine_record (Machine *self);
MachineState         machine_state (Machine *self);
gboolean             machine_is_live (Machine *self);   /* has a monitor */
GVariant            *machine_describe (Machine *self);  /* floating a{sv} */

/* The library. */
Machine *machine_create (Guard *guard, const char *name, GVariant *options, GError **error);
gboolean machine_set (Machine *self, GVariant *options, GError **error);
gboolean machine_rename (Machine *self, const char *new_name, GError **error);
gboolean machine_delete (Machine *self, GVariant *options, GError **error);
Machine *machine_clone (Machine *self, const char *new_name, GVariant *options, GError **error);
Machine *machine_import (Guard *guard, const char *path, GVariant *options, GError **error);
gboolean machine_export (Machine *self, const char *path, GVariant *options, GError **error);
GVariant *machine_list_snapshots (Machine *self, GError **error);
/* a{sv} of CheckMachine, floating. */
GVariant *machine_check (Machine *self, GVariant *options, GError **error);
/* Keeps the keys of an encrypted machine for a minute: for what follows. */
gboolean machine_unlock (Machine *self, GVariant *options, GError **error);

/* Running. */
void machine_start (Machine *self, GVariant *options, MachineFunc done, gpointer data);
void machine_stop (Machine *self, gboolean force, MachineFunc done, gpointer data);
void machine_command (Machine *self, MessageType type, const char *text, MachineFunc done, gpointer data);
void machine_pause (Machine *self, MachineFunc done, gpointer data);
void machine_resume (Machine *self, GVariant *options, MachineFunc done, gpointer data);
void machine_suspend (Machine *self, MachineFunc done, gpointer data);
void machine_screen_text (Machine *self, MachineLinesFunc done, gpointer data);
void machine_statistics (Machine *self, MachineStatsFunc done, gpointer data);
void machine_insert (Machine *self, const char *slot, const char *path, GVariant *options, MachineFunc done, gpointer data);
void machine_eject (Machine *self, const char *slot, MachineFunc done, gpointer data);
void machine_snapshot (Machine *self, const char *verb, const char *name, const char *argument, MachineFunc done, gpointer data);

typedef struct { int display, frame, input, sound; } Console;

/* Descriptors of the console; the caller closes them. */
gboolean machine_open_console (Machine *self, Console *ret_console, GError **error);
int      machine_open_serial (Machine *self, guint port, GError **error);

/* The display memory file, or -1 while there is none; belongs to the machine. */
int      machine_display_fd (Machine *self);
guint64  machine_display_bytes (void);
guint64  machine_sound_bytes (void);
gboolean machine_console_is_open (Machine *self);

/* The user's own eyes and hands: refused when the officer switched them off; recorded. */
gboolean machine_may_watch (Machine *self, const char *verb, GError **error);

G_END_DECLS
