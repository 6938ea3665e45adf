/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes as an operation stream on a drive controller: port accesses, time, saved states and media changes. */
#pragma once

#include "fake-ide.h"

typedef struct
{
  const uint8_t *bytes;
  size_t         left;
} FuzzInput;

static inline uint8_t
fuzz_byte (FuzzInput *input)
{
  if (!input->left)
    return 0;
  input->left--;
  return *input->bytes++;
}

/* Saves and restores; with damage, turns over one byte in between. A refused state resets the device, as the board does. */
static inline void
fuzz_state (FuzzInput *input, Device *device, bool damage)
{
  StateBuffer buffer = { 0 };

  state_save (device->klass->state, device, &buffer);
  if (damage && buffer.length)
    {
      size_t at = (size_t) (fuzz_byte (input) | fuzz_byte (input) << 8) % buffer.length;

      buffer.bytes[at] ^= fuzz_byte (input) | 1;
    }
  if (state_restore (device->klass->state, device, buffer.bytes, buffer.length) < 0)
    {
      g_assert_true (damage);
      device->klass->reset (device);
    }
  state_buffer_clear (&buffer);
}
