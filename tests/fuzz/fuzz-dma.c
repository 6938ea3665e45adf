/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "chip-fuzz.h"
#include "dma.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static Dma *dma;

static void
ready (Device *listener)
{
  uint8_t buffer[64] = { 0 };

  /* A device that has been waiting moves something at once, from inside the port write. */
  dma_channel_transfer (dma, 2, DMA_TO_MEMORY, buffer, sizeof buffer, NULL);
}

static void
other (Bench *bench, FuzzInput *input, unsigned choice)
{
  uint8_t  buffer[512] = { 0 };
  unsigned channel = fuzz_byte (input) % 10;
  size_t   n = fuzz_byte (input) * 2u, moved;
  bool     terminal;

  if (choice & 4)
    dma_channel_set_request (dma, channel, choice & 1);
  moved = dma_channel_transfer (dma, channel, choice & 1 ? DMA_TO_MEMORY : DMA_FROM_MEMORY, buffer, n, &terminal);
  g_assert_cmpuint (moved, <=, n);
  g_assert_true (moved > 0 || !terminal);
  dma_channel_left (dma, channel);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const uint16_t ports[] = { 0x00, 16, 0x80, 16, 0xc0, 32, 0, 0 };
  static const FuzzChip chip = { ports, NULL, other };
  static GuestMemory   *memory;
  Bench bench = bench_new (0);

  /* One memory for all runs: making it costs more than a run. */
  if (!memory)
    memory = guest_memory_new (1 << 20, 0, -1, bench.host.bus);
  bench.host.memory = memory;
  g_assert_cmpint (dma_new (&bench.host, &dma), ==, 0);
  dma_channel_on_ready (dma, 2, ready, NULL);
  fuzz_chip (&bench, dma, &chip, bytes, n_bytes);
  bench.host.memory = NULL;
  bench_free (&bench, dma);
  return 0;
}
