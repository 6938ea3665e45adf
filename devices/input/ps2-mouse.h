/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A PS/2 mouse: three buttons; a wheel or five buttons once the driver has knocked for them. */
#pragma once

#include "clock.h"
#include "input.h"
#include "ps2-port.h"

typedef struct Ps2Mouse Ps2Mouse;

int      ps2_mouse_new  (Ps2Mouse **ret_mouse);
Ps2Port *ps2_mouse_port (Ps2Mouse *mouse);
/* dx to the right, dy downwards (as on a screen), dz wheel towards the user; buttons: MOUSE_BUTTON_* now down.
 * Movement that the guest has not fetched adds up; no press or release gets lost unless the guest stops listening. */
void     ps2_mouse_move (Ps2Mouse *mouse, int dx, int dy, int dz, unsigned buttons);
/* An empty packet, so that the driver looks for data elsewhere (vmmouse). */
void     ps2_mouse_nudge (Ps2Mouse *mouse);
/* The guest has a driver that listens. */
bool     ps2_mouse_is_enabled (const Ps2Mouse *mouse);

extern const DeviceClass ps2_mouse_class;
