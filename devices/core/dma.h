/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two 8237A DMA controllers of a PC with their page registers: channels 0 … 3 move bytes (ports 00h … 0fh),
 * 5 … 7 move words (c0h … dfh), 4 is the cascade.  Pages are at 80h … 8fh.  (Device *) dma is the device.
 *
 * A device moves data when it has some:
 *
 *     n = dma_channel_transfer (dma, 2, DMA_TO_MEMORY, sector, 512, &terminal_count);
 *
 * and tries again when its listener says that the guest has let the channel go on. */
#pragma once

#include "device.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Dma Dma;

enum { DMA_N_CHANNELS = 8 };

/* What the device does at its end of the wires. */
typedef enum { DMA_TO_MEMORY, DMA_FROM_MEMORY } DmaDirection;

/* host->memory is what the controllers reach. Returns 0, -ENOMEM or what bus_claim_ports says. */
int dma_new (const DeviceHost *host, Dma **ret);

/* Whether the channel would answer a request now. */
bool dma_channel_ready (const Dma *self, unsigned channel);

/* Moves up to n_bytes between `bytes` and memory, in the mode the guest has programmed, and stops after the terminal
 * count.  Word channels move an even number.  Returns how many bytes were moved: 0 when the channel is masked,
 * disabled or in cascade mode.  DMA_FROM_MEMORY: `bytes` is filled.
 * A channel that is programmed the other way, or to verify, counts but moves nothing: `bytes` becomes all ones.
 * ret_terminal_count (may be NULL): the count ran out with the last byte moved; with autoinitialisation the channel is
 * ready again. */
size_t dma_channel_transfer (Dma *self, unsigned channel, DmaDirection direction, void *bytes, size_t n_bytes,
                             bool *ret_terminal_count);

/* The DREQ wire, for what the guest sees in the status register. */
void dma_channel_set_request (Dma *self, unsigned channel, bool level);

/* Transfers left before the terminal count (1 … 65536 bytes or words). */
uint32_t dma_channel_left (const Dma *self, unsigned channel);

/* One listener per channel, called (after the port write) when a channel that was not ready becomes ready. */
void dma_channel_on_ready (Dma *self, unsigned channel, void (*ready) (Device *listener), Device *listener);
