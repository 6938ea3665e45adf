/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What can be done with a machine, as actions "machine.NAME" of any window that has one: menus, keys, buttons and tests
 * all come through here.
 *
 * start open pause resume suspend reset power-button power-off snapshot clone rename settings statistics delete */
#pragma once

#include "library.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_MACHINE_HOST (bh_machine_host_get_type ())
G_DECLARE_INTERFACE (BhMachineHost, bh_machine_host, BH, MACHINE_HOST, GtkWidget)

struct _BhMachineHostInterface
{
  GTypeInterface parent;
  BhMachine   *(*get_machine) (BhMachineHost *self);    /* the selected one, or NULL */
  BhLibrary   *(*get_library) (BhMachineHost *self);
  void         (*delete)      (BhMachineHost *self, BhMachine *machine);        /* optional */
};

/* In class_init of a widget that is a BhMachineHost. */
void bh_machine_actions_install (GtkWidgetClass *klass);
/* Whenever the machine or its state changed: only what makes sense now can be chosen. */
void bh_machine_actions_update (BhMachineHost *host);

/* Starts a machine that is off, suspended or crashed; asks for the passphrase of an encrypted one.  callback is called
 * with NULL when it runs, or with the error, or with a G_IO_ERROR_CANCELLED when the user gave up. */
typedef void (*BhStartFunc) (GError *error, gpointer data);
void bh_machine_start (GtkWidget *from, BhLibrary *library, BhMachine *machine, BhStartFunc callback, gpointer data,
                       GDestroyNotify destroy);

G_END_DECLS
