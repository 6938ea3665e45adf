/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Typing on behalf of the user: text, and key names as in QEMU's "sendkey".
 *
 * Key presses wait in a queue of their own and go to the keyboard one by one, each when the guest has fetched the last
 * and some time has passed, so that neither the keyboard's nor the BIOS's short buffers overflow at once. */
#pragma once

#include "clock.h"
#include "ps2-keyboard.h"

#include <stddef.h>

typedef struct KeyboardText KeyboardText;

enum { KEYBOARD_TEXT_MAX_EVENTS = 65536 };

int      keyboard_text_new  (const DeviceHost *host, Ps2Keyboard *keyboard, KeyboardText **ret_typer);
/* Queues the keys of a US keyboard for UTF-8 text; '\n' is Enter, '\t' Tab, '\b' Backspace, 0x1b Escape.
 * Returns 0, -EILSEQ (bad UTF-8, or a character the layout does not have: then nothing is typed), -ENOBUFS. */
int      keyboard_text_type (KeyboardText *typer, const char *text, size_t n_bytes);
/* Presses the named keys in order and lets go of them in reverse: "ctrl-alt-delete", "ret", "shift-a".
 * Returns 0, -EINVAL for a name that is none, -ENOBUFS. */
int      keyboard_text_key  (KeyboardText *typer, const char *names);
bool     keyboard_text_busy (const KeyboardText *typer);
/* Forgets what was not typed yet. */
void     keyboard_text_stop (KeyboardText *typer);

/* The evdev number of one sendkey name, 0 if there is none. */
unsigned keyboard_key_by_name (const char *name, size_t length);

extern const DeviceClass keyboard_text_class;
