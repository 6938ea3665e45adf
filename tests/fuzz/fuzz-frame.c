/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Frames of guests: through the switch, and past the filter that stands before the NAT.  The filter's promise is checked
 * by a second reading of the frame that shares nothing with it. */
#include "frame-filter.h"
#include "switch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static unsigned sender;

static void
deliver (void *data, unsigned port, const uint8_t *frame, size_t n_bytes)
{
  Switch *ethernet = data;

  if (port == sender || port >= SWITCH_MAX_PORTS || !ethernet->ports[port] || n_bytes < 14 || n_bytes > SWITCH_MAX_FRAME)
    abort ();
}

/* An unfragmented IPv4 TCP segment with URG, as a receiver reads it. */
static bool
is_urgent (const uint8_t *frame, size_t n)
{
  size_t header;

  if (n < 34 || frame[12] != 8 || frame[13] != 0 || frame[14] >> 4 != 4 || frame[23] != 6)
    return false;
  header = 14 + (size_t) (frame[14] & 15) * 4;
  return header + 14 <= n && frame[header + 13] & 0x20;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static Switch ethernet;
  size_t at = 0;

  switch_init (&ethernet, deliver, &ethernet);
  while (size - at >= 3)
    {
      unsigned port = data[at] % SWITCH_MAX_PORTS;
      size_t n = (size_t) data[at + 1] + ((data[at + 2] & 7u) << 8);
      uint8_t *frame;

      switch_plug (&ethernet, port);
      if (data[at + 2] & 0x80)
        switch_unplug (&ethernet, (port + 1) % SWITCH_MAX_PORTS);
      at += 3;
      if (n > size - at)
        n = size - at;
      /* A copy of exactly this size: an overrun is seen. */
      frame = malloc (n ? n : 1);
      if (!frame)
        return 0;
      memcpy (frame, data + at, n);
      sender = port;
      switch_frame (&ethernet, port, frame, n);
      if (frame_filter_allows (frame, n) && is_urgent (frame, n))
        abort ();
      free (frame);
      at += n;
    }
  return 0;
}
