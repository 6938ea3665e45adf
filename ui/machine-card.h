/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine in the library: its label, what is on its screen, its name and state. As a card in the grid or as a row in
 * the list; without a machine it is the "New Machine" card. */
#pragma once

#include "machine.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_MACHINE_CARD (bh_machine_card_get_type ())
G_DECLARE_FINAL_TYPE (BhMachineCard, bh_machine_card, BH, MACHINE_CARD, GtkWidget)

/* Signal "menu" (x d, y d): a menu was asked for at this place. */
GtkWidget *bh_machine_card_new (gboolean as_row);
void       bh_machine_card_set_machine (BhMachineCard *self, BhMachine *machine);
BhMachine *bh_machine_card_get_machine (BhMachineCard *self);

G_END_DECLS
