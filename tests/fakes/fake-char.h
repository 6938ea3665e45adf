/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A far end that keeps what it gets and can be told to be slow. */
#pragma once

#include "chardev.h"

#include <glib.h>

typedef struct
{
  CharBackend parent;
  GString    *text;
  bool        stuck;            /* takes nothing */
  size_t      last_ready;
  unsigned    n_ready;
  bool       *closed;
} FakeChar;

static inline size_t
fake_char_write (CharBackend *backend, const uint8_t *bytes, size_t n_bytes)
{
  FakeChar *self = (FakeChar *) backend;

  if (self->stuck)
    return 0;
  g_string_append_len (self->text, (const char *) bytes, (gssize) n_bytes);
  return n_bytes;
}

static inline void
fake_char_ready (CharBackend *backend, size_t n_bytes)
{
  FakeChar *self = (FakeChar *) backend;

  self->last_ready = n_bytes;
  self->n_ready++;
}

static inline void
fake_char_close (CharBackend *backend)
{
  FakeChar *self = (FakeChar *) backend;

  if (self->closed)
    *self->closed = true;
  g_string_free (self->text, TRUE);
  g_free (self);
}

static const CharClass fake_char_class = { fake_char_write, fake_char_ready, fake_char_close };

static inline FakeChar *
fake_char_new (void)
{
  FakeChar *self = g_new0 (FakeChar, 1);

  self->parent.klass = &fake_char_class;
  self->text = g_string_new (NULL);
  return self;
}

static inline size_t
fake_char_send (FakeChar *self, const char *text)
{
  return self->parent.receive (self->parent.device, (const uint8_t *) text, strlen (text));
}
