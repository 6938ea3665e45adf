/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a frame from a guest may reach the NAT.  Refused: TCP segments with URG (libslirp 4.7 reads past its buffers on
 * urgent data, CVE-2026-9539), fragments that hide a TCP header's flags, headers that lie about their length, and
 * whatever is addressed to the host's own loopback, directly or through the name server's address. */
bool frame_filter_allows (const uint8_t *frame, size_t n_bytes);
