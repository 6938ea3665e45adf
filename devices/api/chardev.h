/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The far end of a serial or parallel port: a file, a socket, the console, a printer spool, or nothing. */
#pragma once

#include "device.h"

#include <stddef.h>
#include <stdint.h>

typedef struct CharBackend CharBackend;

typedef struct
{
  /* Takes bytes from the device. Returns how many were taken (0: the far end is slow, try again later). */
  size_t (*write)  (CharBackend *self, const uint8_t *bytes, size_t n_bytes);
  /* The device says it has room for n more received bytes. May be NULL. */
  void   (*ready)  (CharBackend *self, size_t n_bytes);
  void   (*close)  (CharBackend *self);
} CharClass;

struct CharBackend
{
  const CharClass *klass;
  /* Filled in by the device that is attached: bytes that arrive from the far end, on the machine's thread.
   * Returns how many were taken; the rest is offered again after `ready`. */
  size_t (*receive) (Device *device, const uint8_t *bytes, size_t n_bytes);
  Device  *device;
};
