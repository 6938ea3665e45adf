/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The far end of a device that exchanges whole messages: a folder's server. */
#pragma once

#include "device.h"

#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_MAX_BYTES = 65536 };

typedef struct MessageBackend MessageBackend;

struct MessageBackend
{
  /* 0; -EAGAIN: the far end is slow, try again after the next message from it; -EPIPE: it is gone. */
  int  (*send)  (MessageBackend *self, const uint8_t *bytes, size_t n_bytes);
  void (*close) (MessageBackend *self);
  /* Filled in by the device: a message arrives (n_bytes 0: the far end is gone), on the machine's thread. */
  void (*receive) (Device *device, const uint8_t *bytes, size_t n_bytes);
  Device *device;
};
