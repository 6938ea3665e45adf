/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One virtual machine as the guard tells it. Nothing here is stored: the guard's dictionary is the truth. */
#pragma once

#include "label-look.h"

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum
{
  BH_MACHINE_OFF,
  BH_MACHINE_RUNNING,
  BH_MACHINE_PAUSED,
  BH_MACHINE_SUSPENDED,
  BH_MACHINE_CRASHED,
} BhMachineState;

#define BH_TYPE_MACHINE_STATE (bh_machine_state_get_type ())
GType bh_machine_state_get_type (void);

#define BH_TYPE_MACHINE (bh_machine_get_type ())
G_DECLARE_FINAL_TYPE (BhMachine, bh_machine, BH, MACHINE, GObject)

BhMachine         *bh_machine_new (const char *name, GVariant *details);
/* Notifies what changed; "details" always. */
void               bh_machine_update (BhMachine *self, GVariant *details);
void               bh_machine_rename (BhMachine *self, const char *name);

const char        *bh_machine_get_name (BhMachine *self);
BhMachineState     bh_machine_get_state (BhMachine *self);
const char        *bh_machine_get_state_text (BhMachine *self);   /* translated */
const BhLabelLook *bh_machine_get_look (BhMachine *self);
GdkTexture        *bh_machine_get_thumbnail (BhMachine *self);    /* NULL: none, or its label is above the reader */
/* A console of this program has a fresher picture than the guard. */
void               bh_machine_set_thumbnail (BhMachine *self, GdkTexture *thumbnail);
GVariant          *bh_machine_get_details (BhMachine *self);
/* "64 MiB · Pentium III" and so on, for the list. */
char              *bh_machine_describe (BhMachine *self);

gboolean           bh_machine_is_alive (BhMachine *self);         /* running or paused: there is a monitor */

G_END_DECLS
