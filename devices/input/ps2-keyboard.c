/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The keyboard's side of the cable (IBM PS/2 hardware interface technical reference, "Keyboards (101- and 102-key)").
 *
 * Keys come in as evdev numbers and leave as scan codes of the set that the guest has chosen; the controller turns set
 * 2 into set 1 for guests that want that.  Repeats come from the host's keyboard, so the typematic rate is accepted
 * and remembered but makes nothing. */
#include "ps2-keyboard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  BUFFER_BYTES = 16,
  N_SET_3_CODES = 160,
  N_KEYS = 256,
  KEY_LEFTCTRL = 29, KEY_LEFTSHIFT = 42, KEY_RIGHTSHIFT = 54, KEY_LEFTALT = 56, KEY_RIGHTCTRL = 97, KEY_SYSRQ = 99, KEY_RIGHTALT = 100,
  KEY_PAUSE = 119,
};

/* What a key does in set 3 until the guest changes it. */
enum { TYPEMATIC, MAKE_BREAK, MAKE_ONLY, TYPEMATIC_MAKE_BREAK };

typedef struct
{
  uint16_t set_2;               /* 0xe0xx for the prefixed ones; the break code is F0 before the last byte */
  uint8_t  set_3;               /* 0: not in this set */
  uint8_t  type;
} Key;

/* By evdev number. Print screen and pause are sequences of their own. */
static const Key keys[N_KEYS] = {
  [  1] = { 0x76, 0x08, MAKE_ONLY },    /* ESC */
  [  2] = { 0x16, 0x16, TYPEMATIC },    /* 1 */
  [  3] = { 0x1e, 0x1e, TYPEMATIC },    /* 2 */
  [  4] = { 0x26, 0x26, TYPEMATIC },    /* 3 */
  [  5] = { 0x25, 0x25, TYPEMATIC },    /* 4 */
  [  6] = { 0x2e, 0x2e, TYPEMATIC },    /* 5 */
  [  7] = { 0x36, 0x36, TYPEMATIC },    /* 6 */
  [  8] = { 0x3d, 0x3d, TYPEMATIC },    /* 7 */
  [  9] = { 0x3e, 0x3e, TYPEMATIC },    /* 8 */
  [ 10] = { 0x46, 0x46, TYPEMATIC },    /* 9 */
  [ 11] = { 0x45, 0x45, TYPEMATIC },    /* 0 */
  [ 12] = { 0x4e, 0x4e, TYPEMATIC },    /* MINUS */
  [ 13] = { 0x55, 0x55, TYPEMATIC },    /* EQUAL */
  [ 14] = { 0x66, 0x66, TYPEMATIC },    /* BACKSPACE */
  [ 15] = { 0x0d, 0x0d, TYPEMATIC },    /* TAB */
  [ 16] = { 0x15, 0x15, TYPEMATIC },    /* Q */
  [ 17] = { 0x1d, 0x1d, TYPEMATIC },    /* W */
  [ 18] = { 0x24, 0x24, TYPEMATIC },    /* E */
  [ 19] = { 0x2d, 0x2d, TYPEMATIC },    /* R */
  [ 20] = { 0x2c, 0x2c, TYPEMATIC },    /* T */
  [ 21] = { 0x35, 0x35, TYPEMATIC },    /* Y */
  [ 22] = { 0x3c, 0x3c, TYPEMATIC },    /* U */
  [ 23] = { 0x43, 0x43, TYPEMATIC },    /* I */
  [ 24] = { 0x44, 0x44, TYPEMATIC },    /* O */
  [ 25] = { 0x4d, 0x4d, TYPEMATIC },    /* P */
  [ 26] = { 0x54, 0x54, TYPEMATIC },    /* LEFTBRACE */
  [ 27] = { 0x5b, 0x5b, TYPEMATIC },    /* RIGHTBRACE */
  [ 28] = { 0x5a, 0x5a, TYPEMATIC },    /* ENTER */
  [ 29] = { 0x14, 0x11, MAKE_BREAK },    /* LEFTCTRL */
  [ 30] = { 0x1c, 0x1c, TYPEMATIC },    /* A */
  [ 31] = { 0x1b, 0x1b, TYPEMATIC },    /* S */
  [ 32] = { 0x23, 0x23, TYPEMATIC },    /* D */
  [ 33] = { 0x2b, 0x2b, TYPEMATIC },    /* F */
  [ 34] = { 0x34, 0x34, TYPEMATIC },    /* G */
  [ 35] = { 0x33, 0x33, TYPEMATIC },    /* H */
  [ 36] = { 0x3b, 0x3b, TYPEMATIC },    /* J */
  [ 37] = { 0x42, 0x42, TYPEMATIC },    /* K */
  [ 38] = { 0x4b, 0x4b, TYPEMATIC },    /* L */
  [ 39] = { 0x4c, 0x4c, TYPEMATIC },    /* SEMICOLON */
  [ 40] = { 0x52, 0x52, TYPEMATIC },    /* APOSTROPHE */
  [ 41] = { 0x0e, 0x0e, TYPEMATIC },    /* GRAVE */
  [ 42] = { 0x12, 0x12, MAKE_BREAK },    /* LEFTSHIFT */
  [ 43] = { 0x5d, 0x5c, TYPEMATIC },    /* BACKSLASH */
  [ 44] = { 0x1a, 0x1a, TYPEMATIC },    /* Z */
  [ 45] = { 0x22, 0x22, TYPEMATIC },    /* X */
  [ 46] = { 0x21, 0x21, TYPEMATIC },    /* C */
  [ 47] = { 0x2a, 0x2a, TYPEMATIC },    /* V */
  [ 48] = { 0x32, 0x32, TYPEMATIC },    /* B */
  [ 49] = { 0x31, 0x31, TYPEMATIC },    /* N */
  [ 50] = { 0x3a, 0x3a, TYPEMATIC },    /* M */
  [ 51] = { 0x41, 0x41, TYPEMATIC },    /* COMMA */
  [ 52] = { 0x49, 0x49, TYPEMATIC },    /* DOT */
  [ 53] = { 0x4a, 0x4a, TYPEMATIC },    /* SLASH */
  [ 54] = { 0x59, 0x59, MAKE_BREAK },    /* RIGHTSHIFT */
  [ 55] = { 0x7c, 0x7e, MAKE_ONLY },    /* KPASTERISK */
  [ 56] = { 0x11, 0x19, MAKE_BREAK },    /* LEFTALT */
  [ 57] = { 0x29, 0x29, TYPEMATIC },    /* SPACE */
  [ 58] = { 0x58, 0x14, MAKE_BREAK },    /* CAPSLOCK */
  [ 59] = { 0x05, 0x07, MAKE_ONLY },    /* F1 */
  [ 60] = { 0x06, 0x0f, MAKE_ONLY },    /* F2 */
  [ 61] = { 0x04, 0x17, MAKE_ONLY },    /* F3 */
  [ 62] = { 0x0c, 0x1f, MAKE_ONLY },    /* F4 */
  [ 63] = { 0x03, 0x27, MAKE_ONLY },    /* F5 */
  [ 64] = { 0x0b, 0x2f, MAKE_ONLY },    /* F6 */
  [ 65] = { 0x83, 0x37, MAKE_ONLY },    /* F7 */
  [ 66] = { 0x0a, 0x3f, MAKE_ONLY },    /* F8 */
  [ 67] = { 0x01, 0x47, MAKE_ONLY },    /* F9 */
  [ 68] = { 0x09, 0x4f, MAKE_ONLY },    /* F10 */
  [ 69] = { 0x77, 0x76, MAKE_ONLY },    /* NUMLOCK */
  [ 70] = { 0x7e, 0x5f, MAKE_ONLY },    /* SCROLLLOCK */
  [ 71] = { 0x6c, 0x6c, MAKE_ONLY },    /* KP7 */
  [ 72] = { 0x75, 0x75, MAKE_ONLY },    /* KP8 */
  [ 73] = { 0x7d, 0x7d, MAKE_ONLY },    /* KP9 */
  [ 74] = { 0x7b, 0x84, MAKE_ONLY },    /* KPMINUS */
  [ 75] = { 0x6b, 0x6b, MAKE_ONLY },    /* KP4 */
  [ 76] = { 0x73, 0x73, MAKE_ONLY },    /* KP5 */
  [ 77] = { 0x74, 0x74, MAKE_ONLY },    /* KP6 */
  [ 78] = { 0x79, 0x7c, TYPEMATIC },    /* KPPLUS */
  [ 79] = { 0x69, 0x69, MAKE_ONLY },    /* KP1 */
  [ 80] = { 0x72, 0x72, MAKE_ONLY },    /* KP2 */
  [ 81] = { 0x7a, 0x7a, MAKE_ONLY },    /* KP3 */
  [ 82] = { 0x70, 0x70, MAKE_ONLY },    /* KP0 */
  [ 83] = { 0x71, 0x71, MAKE_ONLY },    /* KPDOT */
  [ 86] = { 0x61, 0x13, TYPEMATIC },    /* 102ND */
  [ 87] = { 0x78, 0x56, MAKE_ONLY },    /* F11 */
  [ 88] = { 0x07, 0x5e, MAKE_ONLY },    /* F12 */
  [ 89] = { 0x51, 0x51, TYPEMATIC },    /* RO */
  [ 92] = { 0x64, 0x86, MAKE_ONLY },    /* HENKAN */
  [ 93] = { 0x13, 0x87, MAKE_ONLY },    /* KATAKANAHIRAGANA */
  [ 94] = { 0x67, 0x85, MAKE_ONLY },    /* MUHENKAN */
  [ 96] = { 0xe05a, 0x79, MAKE_ONLY },  /* KPENTER */
  [ 97] = { 0xe014, 0x58, MAKE_ONLY },  /* RIGHTCTRL */
  [ 98] = { 0xe04a, 0x77, MAKE_ONLY },  /* KPSLASH */
  [100] = { 0xe011, 0x39, MAKE_ONLY },  /* RIGHTALT */
  [102] = { 0xe06c, 0x6e, MAKE_ONLY },  /* HOME */
  [103] = { 0xe075, 0x63, TYPEMATIC },  /* UP */
  [104] = { 0xe07d, 0x6f, MAKE_ONLY },  /* PAGEUP */
  [105] = { 0xe06b, 0x61, TYPEMATIC },  /* LEFT */
  [106] = { 0xe074, 0x6a, TYPEMATIC },  /* RIGHT */
  [107] = { 0xe069, 0x65, MAKE_ONLY },  /* END */
  [108] = { 0xe072, 0x60, TYPEMATIC },  /* DOWN */
  [109] = { 0xe07a, 0x6d, MAKE_ONLY },  /* PAGEDOWN */
  [110] = { 0xe070, 0x67, MAKE_ONLY },  /* INSERT */
  [111] = { 0xe071, 0x64, TYPEMATIC },  /* DELETE */
  [113] = { 0xe023, 0x9c, MAKE_ONLY },  /* MUTE */
  [114] = { 0xe021, 0x9d, MAKE_ONLY },  /* VOLUMEDOWN */
  [115] = { 0xe032, 0x95, MAKE_ONLY },  /* VOLUMEUP */
  [116] = { 0xe037, 0x00, MAKE_ONLY },  /* POWER */
  [124] = { 0x6a, 0x5d, TYPEMATIC },    /* YEN */
  [125] = { 0xe01f, 0x8b, MAKE_ONLY },  /* LEFTMETA */
  [126] = { 0xe027, 0x8c, MAKE_ONLY },  /* RIGHTMETA */
  [127] = { 0xe02f, 0x8d, MAKE_ONLY },  /* COMPOSE */
  [128] = { 0xe028, 0x00, MAKE_ONLY },  /* STOP */
  [140] = { 0xe02b, 0x00, MAKE_ONLY },  /* CALC */
  [142] = { 0xe03f, 0x00, MAKE_ONLY },  /* SLEEP */
  [143] = { 0xe05e, 0x00, MAKE_ONLY },  /* WAKEUP */
  [155] = { 0xe048, 0x00, MAKE_ONLY },  /* MAIL */
  [156] = { 0xe018, 0x00, MAKE_ONLY },  /* BOOKMARKS */
  [157] = { 0xe040, 0x00, MAKE_ONLY },  /* COMPUTER */
  [158] = { 0xe038, 0x00, MAKE_ONLY },  /* BACK */
  [159] = { 0xe030, 0x00, MAKE_ONLY },  /* FORWARD */
  [163] = { 0xe04d, 0x93, MAKE_ONLY },  /* NEXTSONG */
  [164] = { 0xe034, 0x00, MAKE_ONLY },  /* PLAYPAUSE */
  [165] = { 0xe015, 0x94, MAKE_ONLY },  /* PREVIOUSSONG */
  [166] = { 0xe03b, 0x98, MAKE_ONLY },  /* STOPCD */
  [172] = { 0xe03a, 0x00, MAKE_ONLY },  /* HOMEPAGE */
  [173] = { 0xe020, 0x00, MAKE_ONLY },  /* REFRESH */
  [217] = { 0xe010, 0x00, MAKE_ONLY },  /* SEARCH */
  [226] = { 0xe050, 0x00, MAKE_ONLY },  /* MEDIA */
};

struct Ps2Keyboard
{
  Ps2Port port;
  uint8_t set;                  /* 1, 2, 3 */
  uint8_t scanning;
  uint8_t leds, rate;
  uint8_t command;              /* whose parameter is awaited; 0: none */
  uint8_t overrun;              /* keys were lost since the buffer was last empty */
  uint8_t down[N_KEYS / 8];
  uint8_t types[N_SET_3_CODES];
};

Ps2Port *
ps2_keyboard_port (Ps2Keyboard *self)
{
  return &self->port;
}

static bool
is_down (const Ps2Keyboard *self, unsigned key)
{
  return self->down[key / 8] >> key % 8 & 1;
}

static void
default_types (Ps2Keyboard *self)
{
  memset (self->types, TYPEMATIC, sizeof self->types);
  for (unsigned i = 0; i < N_KEYS; i++)
    self->types[keys[i].set_3] = keys[i].type;
  self->types[0x57] = self->types[0x62] = MAKE_ONLY;
}

static void
set_defaults (Ps2Keyboard *self)
{
  self->set = 2;
  self->rate = 0x2b;            /* 10.9 a second after half a second */
  self->command = 0;
  default_types (self);
}

/* Whole sequences only: half a key would be another key. */
static bool
send (Ps2Keyboard *self, const uint8_t *bytes, unsigned n_bytes)
{
  static const uint8_t overrun_codes[] = { 0, 0xff, 0x00, 0x00 };

  if (self->port.events->count == 0)
    self->overrun = 0;
  if (self->overrun)
    return false;
  if (ps2_port_event (&self->port, BUFFER_BYTES, bytes, n_bytes))
    return true;
  /* The seventeenth place is for the code that says so. */
  self->overrun = 1;
  ps2_port_event (&self->port, BUFFER_BYTES + 1, &overrun_codes[self->set], 1);
  return false;
}

/* Set 2 in its bytes, or set 1 made of it as the controller would. */
static bool
send_set_1_or_2 (Ps2Keyboard *self, const uint8_t *set_2, unsigned n_bytes)
{
  uint8_t bytes[8], released = 0;
  unsigned n = 0;

  if (self->set != 1)
    return send (self, set_2, n_bytes);
  for (unsigned i = 0; i < n_bytes; i++)
    if (set_2[i] == 0xf0)
      released = 0x80;
    else
      {
        bytes[n++] = ps2_set_2_to_set_1 (set_2[i]) | released;
        released = 0;
      }
  return send (self, bytes, n);
}

static bool
send_print_screen (Ps2Keyboard *self, bool down)
{
  static const uint8_t make[] = { 0xe0, 0x12, 0xe0, 0x7c }, release[] = { 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12 };
  static const uint8_t make_alt[] = { 0x84 }, release_alt[] = { 0xf0, 0x84 };

  if (is_down (self, KEY_LEFTALT) || is_down (self, KEY_RIGHTALT))
    return send_set_1_or_2 (self, down ? make_alt : release_alt, down ? 1 : 2);
  /* With Shift or Ctrl there is no made-up shift around it. */
  if (is_down (self, KEY_LEFTSHIFT) || is_down (self, KEY_RIGHTSHIFT) || is_down (self, KEY_LEFTCTRL) || is_down (self, KEY_RIGHTCTRL))
    return send_set_1_or_2 (self, down ? make + 2 : release, down ? 2 : 3);
  return send_set_1_or_2 (self, down ? make : release, down ? 4 : 6);
}

/* Everything at the press, nothing at the release. */
static bool
send_pause (Ps2Keyboard *self, bool down)
{
  static const uint8_t make[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };
  static const uint8_t make_ctrl[] = { 0xe0, 0x7e, 0xe0, 0xf0, 0x7e };

  if (!down)
    return true;
  if (is_down (self, KEY_LEFTCTRL) || is_down (self, KEY_RIGHTCTRL))
    return send_set_1_or_2 (self, make_ctrl, sizeof make_ctrl);
  return send_set_1_or_2 (self, make, sizeof make);
}

static bool
send_set_3 (Ps2Keyboard *self, uint8_t code, bool down, bool repeat)
{
  uint8_t type = self->types[code];
  const uint8_t bytes[] = { 0xf0, code };

  if (code == 0 || (down && repeat && (type == MAKE_ONLY || type == MAKE_BREAK)))
    return true;
  if (down)
    return send (self, bytes + 1, 1);
  return type == MAKE_BREAK || type == TYPEMATIC_MAKE_BREAK ? send (self, bytes, 2) : true;
}

bool
ps2_keyboard_key (Ps2Keyboard *self, unsigned evdev_code, bool down)
{
  const Key *key;
  uint8_t bytes[3];
  unsigned n = 0;
  bool was_down;

  if (evdev_code >= N_KEYS)
    return true;
  key = &keys[evdev_code];
  was_down = is_down (self, evdev_code);
  if (!down && !was_down)
    return true;
  self->down[evdev_code / 8] = (uint8_t) ((self->down[evdev_code / 8] & ~(1u << evdev_code % 8)) | (unsigned) down << evdev_code % 8);
  if (!self->scanning)
    return false;
  if (self->set == 3)
    return send_set_3 (self, evdev_code == KEY_SYSRQ ? 0x57 : evdev_code == KEY_PAUSE ? 0x62 : key->set_3, down, was_down);
  if (evdev_code == KEY_SYSRQ)
    return send_print_screen (self, down);
  if (evdev_code == KEY_PAUSE)
    return send_pause (self, down);
  if (!key->set_2)
    return true;
  if (key->set_2 >> 8)
    bytes[n++] = (uint8_t) (key->set_2 >> 8);
  if (!down)
    bytes[n++] = 0xf0;
  bytes[n++] = (uint8_t) key->set_2;
  return send_set_1_or_2 (self, bytes, n);
}

void
ps2_keyboard_release_all (Ps2Keyboard *self)
{
  for (unsigned key = 0; key < N_KEYS; key++)
    if (is_down (self, key))
      ps2_keyboard_key (self, key, false);
}

bool
ps2_keyboard_idle (const Ps2Keyboard *self)
{
  return !ps2_port_has_byte (&self->port);
}

bool
ps2_keyboard_is_scanning (const Ps2Keyboard *self)
{
  return self->scanning;
}

unsigned
ps2_keyboard_leds (const Ps2Keyboard *self)
{
  return self->leds;
}

static void
reply (Ps2Keyboard *self, uint8_t byte)
{
  ps2_port_reply (&self->port, byte);
}

static void
clear_buffer (Ps2Keyboard *self)
{
  memset (self->port.events, 0, sizeof self->port.events);
  self->overrun = 0;
}

static void
set_all_types (Ps2Keyboard *self, uint8_t type)
{
  memset (self->types, type, sizeof self->types);
}

/* Takes the parameter of the last command.  False: it is a command itself. */
static bool
take_parameter (Ps2Keyboard *self, uint8_t byte)
{
  uint8_t command = self->command;

  self->command = 0;
  switch (command)
    {
    case 0xed:
      if (byte & 0xf8)
        return false;
      self->leds = byte;
      break;
    case 0xf0:
      if (byte > 3)
        return false;
      if (byte)
        {
          self->set = byte;
          clear_buffer (self);
        }
      reply (self, PS2_ACK);
      if (byte == 0)
        reply (self, self->set);
      return true;
    case 0xf3:
      if (byte & 0x80)
        return false;
      self->rate = byte;
      break;
    default:
      /* FB, FC, FD: one key after the other until a command comes. */
      if (byte >= N_SET_3_CODES)
        return false;
      self->types[byte] = command == 0xfb ? TYPEMATIC : command == 0xfc ? MAKE_BREAK : MAKE_ONLY;
      self->command = command;
      break;
    }
  reply (self, PS2_ACK);
  return true;
}

static void
keyboard_command (Ps2Port *port, uint8_t byte)
{
  Ps2Keyboard *self = (Ps2Keyboard *) port;

  /* Resending is for the host's ears: it neither ends a command nor changes what was sent last. */
  if (byte == PS2_RESEND)
    {
      reply (self, port->last_sent);
      return;
    }
  /* What had not been fetched of the last answer will not be waited for any more. */
  memset (port->replies, 0, sizeof port->replies);
  if (self->command && take_parameter (self, byte))
    return;
  self->command = 0;
  switch (byte)
    {
    case 0xed:
    case 0xf0:
    case 0xf3:
    case 0xfb:
    case 0xfc:
    case 0xfd:
      self->command = byte;
      reply (self, PS2_ACK);
      break;
    case 0xee:
      reply (self, 0xee);
      break;
    case 0xf2:
      reply (self, PS2_ACK);
      reply (self, 0xab);
      reply (self, 0x83);
      break;
    case 0xf4:
      clear_buffer (self);
      self->scanning = 1;
      reply (self, PS2_ACK);
      break;
    case 0xf5:
    case 0xf6:
      clear_buffer (self);
      set_defaults (self);
      self->scanning = byte == 0xf6;
      reply (self, PS2_ACK);
      break;
    case 0xf7:
    case 0xf8:
    case 0xf9:
    case 0xfa:
      set_all_types (self, byte == 0xf7 ? TYPEMATIC : byte == 0xf8 ? MAKE_BREAK : byte == 0xf9 ? MAKE_ONLY : TYPEMATIC_MAKE_BREAK);
      reply (self, PS2_ACK);
      break;
    case 0xff:
      clear_buffer (self);
      set_defaults (self);
      self->scanning = 1;
      self->leds = 0;
      reply (self, PS2_ACK);
      reply (self, PS2_SELF_TEST_PASSED);
      break;
    default:
      reply (self, PS2_RESEND);
      break;
    }
}

static void
keyboard_reset (Device *device)
{
  Ps2Keyboard *self = (Ps2Keyboard *) device;

  ps2_port_clear (&self->port);
  set_defaults (self);
  self->scanning = 1;
  self->leds = self->overrun = 0;
  memset (self->down, 0, sizeof self->down);
}

static void
keyboard_finish (Device *device)
{
  free (device);
}

static int
keyboard_check (Device *device)
{
  Ps2Keyboard *self = (Ps2Keyboard *) device;

  if (ps2_port_check (&self->port) < 0 || self->set < 1 || self->set > 3 || self->scanning > 1 || self->leds > 7 || self->overrun > 1)
    return -EBADMSG;
  for (unsigned i = 0; i < N_SET_3_CODES; i++)
    if (self->types[i] > TYPEMATIC_MAKE_BREAK)
      return -EBADMSG;
  if (self->command && self->command != 0xed && self->command != 0xf0 && (self->command < 0xf3 || self->command > 0xfd
      || (self->command > 0xf3 && self->command < 0xfb)))
    return -EBADMSG;
  return 0;
}

static const StateField keyboard_fields[] = {
  STATE_NESTED (Ps2Keyboard, port.replies, &ps2_queue_state, 1),
  STATE_NESTED (Ps2Keyboard, port.events, &ps2_queue_state, 1),
  STATE_FIELD (Ps2Keyboard, port.last_sent, STATE_UINT, 1),
  STATE_FIELD (Ps2Keyboard, set, STATE_UINT, 1),
  STATE_FIELD (Ps2Keyboard, scanning, STATE_UINT, 1),
  STATE_FIELD (Ps2Keyboard, leds, STATE_UINT, 1),
  STATE_FIELD (Ps2Keyboard, rate, STATE_UINT, 1),
  STATE_FIELD (Ps2Keyboard, command, STATE_UINT, 1),
  STATE_FIELD (Ps2Keyboard, overrun, STATE_UINT, 1),
  STATE_FIELD (Ps2Keyboard, down, STATE_BYTES, 1),
  STATE_FIELD (Ps2Keyboard, types, STATE_BYTES, 1),
  STATE_END,
};

static const StateTable keyboard_state = { "ps2-keyboard", 1, keyboard_fields, keyboard_check };

const DeviceClass ps2_keyboard_class = { "ps2-keyboard", sizeof (Ps2Keyboard), &keyboard_state, keyboard_reset, keyboard_finish };

int
ps2_keyboard_new (Ps2Keyboard **ret_keyboard)
{
  Ps2Keyboard *self = calloc (1, sizeof *self);

  if (!self)
    return -ENOMEM;
  self->port.parent.klass = &ps2_keyboard_class;
  self->port.command = keyboard_command;
  keyboard_reset (&self->port.parent);
  *ret_keyboard = self;
  return 0;
}
