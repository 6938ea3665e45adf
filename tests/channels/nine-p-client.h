/* SPDX-License-Identifier: GPL-3.0-or-later */
/* 9P requests made by hand. */
#pragma once

#include "nine-p.h"

#include <glib.h>
#include <string.h>

typedef struct
{
  uint8_t bytes[NINE_P_MAX_MESSAGE];
  size_t  n;
} NinePMessage;

static inline void
nine_p_begin (NinePMessage *message, unsigned type)
{
  memset (message->bytes, 0, 7);
  message->bytes[4] = (uint8_t) type;
  message->bytes[5] = 1;
  message->n = 7;
}

static inline void
nine_p_put (NinePMessage *message, unsigned n_bytes, uint64_t value)
{
  for (unsigned i = 0; i < n_bytes; i++)
    message->bytes[message->n++] = (uint8_t) (value >> (8 * i));
}

static inline void
nine_p_text (NinePMessage *message, const char *text)
{
  nine_p_put (message, 2, strlen (text));
  memcpy (message->bytes + message->n, text, strlen (text));
  message->n += strlen (text);
}

static inline uint64_t
nine_p_get (const NinePMessage *message, size_t at, unsigned n_bytes)
{
  uint64_t value = 0;

  for (unsigned i = 0; i < n_bytes; i++)
    value |= (uint64_t) message->bytes[at + i] << (8 * i);
  return value;
}

/* 0, or the error of an Rlerror, negative; -1000 when there is no answer. */
static inline int
nine_p_ask (NineP *server, NinePMessage *message, NinePMessage *ret_answer)
{
  unsigned type = message->bytes[4];

  for (unsigned i = 0; i < 4; i++)
    message->bytes[i] = (uint8_t) (message->n >> (8 * i));
  ret_answer->n = nine_p_handle (server, message->bytes, message->n, ret_answer->bytes);
  if (!ret_answer->n)
    return -1000;
  g_assert_cmpuint (nine_p_get (ret_answer, 0, 4), ==, ret_answer->n);
  if (ret_answer->bytes[4] == 7)
    return -(int) nine_p_get (ret_answer, 7, 4);
  g_assert_cmpuint (ret_answer->bytes[4], ==, type + 1);
  return 0;
}
