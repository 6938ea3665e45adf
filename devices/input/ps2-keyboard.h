/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An IBM enhanced keyboard (102 keys, the keys of later ones too) with scan code sets 1, 2 and 3. */
#pragma once

#include "input.h"
#include "ps2-port.h"

typedef struct Ps2Keyboard Ps2Keyboard;

enum { KEYBOARD_LED_SCROLL = 1, KEYBOARD_LED_NUM = 2, KEYBOARD_LED_CAPS = 4 };

int      ps2_keyboard_new   (Ps2Keyboard **ret_keyboard);
/* Where the cable is plugged in. */
Ps2Port *ps2_keyboard_port  (Ps2Keyboard *keyboard);

/* A key went down or up; code is an evdev number.  Down again without up is a repeat, up without down is ignored, and
 * so are codes without a key.  False: the keyboard's buffer was full (the guest finds an overrun code) or scanning is off. */
bool     ps2_keyboard_key   (Ps2Keyboard *keyboard, unsigned evdev_code, bool down);
/* Lets go of every key that is down: the window lost the focus. */
void     ps2_keyboard_release_all (Ps2Keyboard *keyboard);
/* Nothing is waiting for the guest. */
bool     ps2_keyboard_idle  (const Ps2Keyboard *keyboard);
bool     ps2_keyboard_is_scanning (const Ps2Keyboard *keyboard);
/* KEYBOARD_LED_*, as in DisplayHeader. */
unsigned ps2_keyboard_leds  (const Ps2Keyboard *keyboard);

extern const DeviceClass ps2_keyboard_class;
