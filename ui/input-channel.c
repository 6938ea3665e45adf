/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "input-channel.h"

#include "protocol.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { N_KEYS = 768 };          /* evdev codes, KEY_MAX + 1 */

struct _BhInputChannel
{
  GObject  parent_instance;
  int      socket;
  guint    buttons;
  guint    n_held;
  gboolean frozen;
  gboolean owes_release;        /* a full socket swallowed something: let go of everything as soon as it takes packets */
  guint8   held[N_KEYS];
};

G_DEFINE_FINAL_TYPE (BhInputChannel, bh_input_channel, G_TYPE_OBJECT)

static gboolean
send_message (BhInputChannel *self, const InputMessage *message)
{
  /* Never waits: a monitor that does not read must not hang the app. */
  return self->socket >= 0 &&
         send (self->socket, message, sizeof *message, MSG_DONTWAIT | MSG_NOSIGNAL) == (gssize) sizeof *message;
}

static void
submit (BhInputChannel *self, const InputMessage *message)
{
  if (self->frozen)
    return;
  if (self->owes_release)
    {
      InputMessage release = { .type = INPUT_RELEASE_ALL };

      if (!send_message (self, &release))
        return;
      self->owes_release = FALSE;
    }
  /* A lost movement is no harm; a lost key release would leave a key stuck in the guest. */
  if (!send_message (self, message) && message->type == INPUT_KEY)
    self->owes_release = TRUE;
}

static void
bh_input_channel_finalize (GObject *object)
{
  BhInputChannel *self = BH_INPUT_CHANNEL (object);

  if (self->socket >= 0)
    {
      bh_input_channel_release_all (self);
      close (self->socket);
    }

  G_OBJECT_CLASS (bh_input_channel_parent_class)->finalize (object);
}

static void
bh_input_channel_class_init (BhInputChannelClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = bh_input_channel_finalize;
}

static void
bh_input_channel_init (BhInputChannel *self)
{
  self->socket = -1;
}

BhInputChannel *
bh_input_channel_new (int socket)
{
  BhInputChannel *self = g_object_new (BH_TYPE_INPUT_CHANNEL, NULL);

  self->socket = socket;
  return self;
}

void
bh_input_channel_key (BhInputChannel *self, guint code, gboolean down)
{
  InputMessage message = { .type = INPUT_KEY, .code = (uint16_t) code, .value_x = down };

  g_return_if_fail (BH_IS_INPUT_CHANNEL (self));

  if (code == 0 || code >= N_KEYS || self->frozen)
    return;
  if (!down && !self->held[code])
    return;
  if (down && !self->held[code])
    self->n_held++;
  else if (!down)
    self->n_held--;
  self->held[code] = (guint8) (down != 0);
  submit (self, &message);
}

void
bh_input_channel_chord (BhInputChannel *self, const guint *codes, gsize n_codes)
{
  g_return_if_fail (BH_IS_INPUT_CHANNEL (self));

  for (gsize i = 0; i < n_codes; i++)
    bh_input_channel_key (self, codes[i], TRUE);
  for (gsize i = n_codes; i > 0; i--)
    bh_input_channel_key (self, codes[i - 1], FALSE);
}

void
bh_input_channel_move (BhInputChannel *self, int dx, int dy, int wheel)
{
  InputMessage message = { .type = INPUT_MOUSE_RELATIVE, .value_x = CLAMP (dx, -32768, 32767),
                           .value_y = CLAMP (dy, -32768, 32767), .wheel = (int16_t) CLAMP (wheel, -127, 127) };

  g_return_if_fail (BH_IS_INPUT_CHANNEL (self));

  message.buttons = (uint16_t) self->buttons;
  submit (self, &message);
}

void
bh_input_channel_point (BhInputChannel *self, guint x, guint y, int wheel)
{
  InputMessage message = { .type = INPUT_MOUSE_ABSOLUTE, .value_x = (int32_t) MIN (x, 65535u),
                           .value_y = (int32_t) MIN (y, 65535u), .wheel = (int16_t) CLAMP (wheel, -127, 127) };

  g_return_if_fail (BH_IS_INPUT_CHANNEL (self));

  message.buttons = (uint16_t) self->buttons;
  submit (self, &message);
}

void
bh_input_channel_set_button (BhInputChannel *self, guint button, gboolean down)
{
  g_return_if_fail (BH_IS_INPUT_CHANNEL (self));

  if (self->frozen)
    return;
  if (down)
    self->buttons |= button;
  else
    self->buttons &= ~button;
}

guint
bh_input_channel_get_buttons (BhInputChannel *self)
{
  g_return_val_if_fail (BH_IS_INPUT_CHANNEL (self), 0);

  return self->buttons;
}

gboolean
bh_input_channel_is_held (BhInputChannel *self, guint code)
{
  g_return_val_if_fail (BH_IS_INPUT_CHANNEL (self), FALSE);

  return code < N_KEYS && self->held[code];
}

void
bh_input_channel_release_all (BhInputChannel *self)
{
  InputMessage message = { .type = INPUT_RELEASE_ALL };

  g_return_if_fail (BH_IS_INPUT_CHANNEL (self));

  if (self->n_held == 0 && self->buttons == 0)
    return;
  memset (self->held, 0, sizeof self->held);
  self->n_held = 0;
  self->buttons = 0;
  /* Sent even while frozen: letting go is never held back. */
  self->owes_release = !send_message (self, &message);
}

void
bh_input_channel_set_frozen (BhInputChannel *self, gboolean frozen)
{
  g_return_if_fail (BH_IS_INPUT_CHANNEL (self));

  if (frozen && !self->frozen)
    bh_input_channel_release_all (self);
  self->frozen = frozen;
}

gboolean
bh_input_channel_get_frozen (BhInputChannel *self)
{
  g_return_val_if_fail (BH_IS_INPUT_CHANNEL (self), FALSE);

  return self->frozen;
}
