/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text and key names to key presses.  See keyboard-text.h. */
#include "keyboard-text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Between two key events, in guest time: 100 characters a second. */
#define EVENT_NS 5000000ull

enum { EVENT_DOWN = 0x8000, KEY_LEFTSHIFT = 42 };

struct KeyboardText
{
  Device       parent;
  Clock       *clock;
  Ps2Keyboard *keyboard;
  Timer       *timer;
  uint32_t     first, count;
  uint16_t     events[KEYBOARD_TEXT_MAX_EVENTS];        /* evdev number, EVENT_DOWN */
};

typedef struct
{
  const char *name;
  uint8_t     code;
} NamedKey;

static const NamedKey named_keys[] = {
  { "shift", 42 }, { "shift_r", 54 }, { "alt", 56 }, { "alt_r", 100 }, { "altgr", 100 }, { "ctrl", 29 }, { "ctrl_r", 97 },
  { "meta_l", 125 }, { "meta_r", 126 }, { "menu", 127 }, { "compose", 127 },
  { "esc", 1 }, { "1", 2 }, { "2", 3 }, { "3", 4 }, { "4", 5 }, { "5", 6 }, { "6", 7 }, { "7", 8 }, { "8", 9 }, { "9", 10 }, { "0", 11 },
  { "minus", 12 }, { "equal", 13 }, { "backspace", 14 }, { "tab", 15 },
  { "q", 16 }, { "w", 17 }, { "e", 18 }, { "r", 19 }, { "t", 20 }, { "y", 21 }, { "u", 22 }, { "i", 23 }, { "o", 24 }, { "p", 25 },
  { "bracket_left", 26 }, { "bracket_right", 27 }, { "ret", 28 }, { "enter", 28 },
  { "a", 30 }, { "s", 31 }, { "d", 32 }, { "f", 33 }, { "g", 34 }, { "h", 35 }, { "j", 36 }, { "k", 37 }, { "l", 38 },
  { "semicolon", 39 }, { "apostrophe", 40 }, { "grave_accent", 41 }, { "backslash", 43 },
  { "z", 44 }, { "x", 45 }, { "c", 46 }, { "v", 47 }, { "b", 48 }, { "n", 49 }, { "m", 50 },
  { "comma", 51 }, { "dot", 52 }, { "slash", 53 }, { "asterisk", 55 }, { "spc", 57 }, { "space", 57 }, { "caps_lock", 58 },
  { "f1", 59 }, { "f2", 60 }, { "f3", 61 }, { "f4", 62 }, { "f5", 63 }, { "f6", 64 }, { "f7", 65 }, { "f8", 66 }, { "f9", 67 },
  { "f10", 68 }, { "f11", 87 }, { "f12", 88 }, { "num_lock", 69 }, { "scroll_lock", 70 },
  { "kp_divide", 98 }, { "kp_multiply", 55 }, { "kp_subtract", 74 }, { "kp_add", 78 }, { "kp_enter", 96 }, { "kp_decimal", 83 },
  { "kp_0", 82 }, { "kp_1", 79 }, { "kp_2", 80 }, { "kp_3", 81 }, { "kp_4", 75 }, { "kp_5", 76 }, { "kp_6", 77 }, { "kp_7", 71 },
  { "kp_8", 72 }, { "kp_9", 73 }, { "less", 86 }, { "sysrq", 99 }, { "print", 99 }, { "pause", 119 }, { "ro", 89 },
  { "hiragana", 93 }, { "henkan", 92 }, { "muhenkan", 94 }, { "yen", 124 },
  { "home", 102 }, { "pgup", 104 }, { "pgdn", 109 }, { "end", 107 }, { "left", 105 }, { "up", 103 }, { "down", 108 }, { "right", 106 },
  { "insert", 110 }, { "delete", 111 }, { "del", 111 }, { "stop", 128 }, { "audiomute", 113 }, { "volumedown", 114 },
  { "volumeup", 115 }, { "power", 116 }, { "sleep", 142 }, { "wake", 143 },
};

/* The US layout: by character, the key, and 0x80 if with Shift. */
static const uint8_t us_layout[128] = {
  ['\b'] = 14, ['\t'] = 15, ['\n'] = 28, ['\r'] = 28, [0x1b] = 1, [' '] = 57,
  ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10, ['0'] = 11,
  ['!'] = 0x82, ['@'] = 0x83, ['#'] = 0x84, ['$'] = 0x85, ['%'] = 0x86, ['^'] = 0x87, ['&'] = 0x88, ['*'] = 0x89, ['('] = 0x8a,
  [')'] = 0x8b, ['-'] = 12, ['_'] = 0x8c, ['='] = 13, ['+'] = 0x8d,
  ['q'] = 16, ['w'] = 17, ['e'] = 18, ['r'] = 19, ['t'] = 20, ['y'] = 21, ['u'] = 22, ['i'] = 23, ['o'] = 24, ['p'] = 25,
  ['a'] = 30, ['s'] = 31, ['d'] = 32, ['f'] = 33, ['g'] = 34, ['h'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38,
  ['z'] = 44, ['x'] = 45, ['c'] = 46, ['v'] = 47, ['b'] = 48, ['n'] = 49, ['m'] = 50,
  ['['] = 26, ['{'] = 0x9a, [']'] = 27, ['}'] = 0x9b, [';'] = 39, [':'] = 0xa7, ['\''] = 40, ['"'] = 0xa8, ['`'] = 41, ['~'] = 0xa9,
  ['\\'] = 43, ['|'] = 0xab, [','] = 51, ['<'] = 0xb3, ['.'] = 52, ['>'] = 0xb4, ['/'] = 53, ['?'] = 0xb5,
};

static uint8_t
key_for_character (uint8_t character)
{
  if (character >= 0x80)
    return 0;
  if (character >= 'A' && character <= 'Z')
    return us_layout[character + 'a' - 'A'] | 0x80;
  return us_layout[character];
}

unsigned
keyboard_key_by_name (const char *name, size_t length)
{
  for (size_t i = 0; i < sizeof named_keys / sizeof named_keys[0]; i++)
    if (strlen (named_keys[i].name) == length && strncasecmp (named_keys[i].name, name, length) == 0)
      return named_keys[i].code;
  return 0;
}

static void
put (KeyboardText *self, unsigned code, bool down)
{
  self->events[(self->first + self->count++) % KEYBOARD_TEXT_MAX_EVENTS] = (uint16_t) (code | (down ? EVENT_DOWN : 0));
}

static void
start (KeyboardText *self)
{
  if (self->count && !timer_armed (self->timer))
    timer_arm (self->timer, clock_now_ns (self->clock) + EVENT_NS);
}

static void
next_event (Device *device)
{
  KeyboardText *self = (KeyboardText *) device;

  /* While the guest has switched scanning off (a driver is being set up) typing waits too. */
  if (self->count && ps2_keyboard_idle (self->keyboard) && ps2_keyboard_is_scanning (self->keyboard))
    {
      uint16_t event = self->events[self->first];

      self->first = (self->first + 1) % KEYBOARD_TEXT_MAX_EVENTS;
      self->count--;
      ps2_keyboard_key (self->keyboard, event & ~(unsigned) EVENT_DOWN, event & EVENT_DOWN);
    }
  start (self);
}

int
keyboard_text_type (KeyboardText *self, const char *text, size_t n_bytes)
{
  size_t n_events = 0;

  for (size_t i = 0; i < n_bytes; i++)
    {
      uint8_t key = key_for_character ((uint8_t) text[i]);

      if (!key)
        return -EILSEQ;
      n_events += key & 0x80 ? 4 : 2;
      if (n_events > KEYBOARD_TEXT_MAX_EVENTS - self->count)
        return -ENOBUFS;
    }
  for (size_t i = 0; i < n_bytes; i++)
    {
      uint8_t key = key_for_character ((uint8_t) text[i]);

      if (key & 0x80)
        put (self, KEY_LEFTSHIFT, true);
      put (self, key & 0x7f, true);
      put (self, key & 0x7f, false);
      if (key & 0x80)
        put (self, KEY_LEFTSHIFT, false);
    }
  start (self);
  return 0;
}

int
keyboard_text_key (KeyboardText *self, const char *names)
{
  unsigned codes[16], n = 0;

  while (true)
    {
      size_t length = strcspn (names, "-");

      if (n == sizeof codes / sizeof codes[0] || !(codes[n] = keyboard_key_by_name (names, length)))
        return -EINVAL;
      n++;
      if (!names[length])
        break;
      names += length + 1;
    }
  if (n * 2 > KEYBOARD_TEXT_MAX_EVENTS - self->count)
    return -ENOBUFS;
  for (unsigned i = 0; i < n; i++)
    put (self, codes[i], true);
  for (unsigned i = n; i-- > 0;)
    put (self, codes[i], false);
  start (self);
  return 0;
}

bool
keyboard_text_busy (const KeyboardText *self)
{
  return self->count || !ps2_keyboard_idle (self->keyboard);
}

void
keyboard_text_stop (KeyboardText *self)
{
  self->first = self->count = 0;
  timer_disarm (self->timer);
  ps2_keyboard_release_all (self->keyboard);
}

static void
text_reset (Device *device)
{
  KeyboardText *self = (KeyboardText *) device;

  self->first = self->count = 0;
  timer_disarm (self->timer);
}

static void
text_finish (Device *device)
{
  KeyboardText *self = (KeyboardText *) device;

  if (!self)
    return;
  timer_free (self->timer);
  free (self);
}

/* What a person was typing is not part of the machine: a restored machine starts with nothing to type. */
static const StateField text_fields[] = { STATE_END };
static const StateTable text_state = { "keyboard-text", 1, text_fields, NULL };

const DeviceClass keyboard_text_class = { "keyboard-text", sizeof (KeyboardText), &text_state, text_reset, text_finish };

int
keyboard_text_new (const DeviceHost *host, Ps2Keyboard *keyboard, KeyboardText **ret_typer)
{
  KeyboardText *self = calloc (1, sizeof *self);

  if (!self)
    return -ENOMEM;
  self->parent.klass = &keyboard_text_class;
  self->clock = host->clock;
  self->keyboard = keyboard;
  self->timer = clock_add_timer (host->clock, &self->parent, next_event);
  if (!self->timer)
    {
      text_finish (&self->parent);
      return -ENOMEM;
    }
  *ret_typer = self;
  return 0;
}
