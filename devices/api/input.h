/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Key codes are Linux evdev numbers (KEY_A = 30 …, X11 keycode - 8): what GTK gives us and what tables are made for. */
#pragma once

#include "device.h"

#include <stdbool.h>
#include <stdint.h>

enum { MOUSE_BUTTON_LEFT = 1, MOUSE_BUTTON_RIGHT = 2, MOUSE_BUTTON_MIDDLE = 4, MOUSE_BUTTON_SIDE = 8, MOUSE_BUTTON_EXTRA = 16 };
#define MOUSE_ABSOLUTE_MAX 65535u
