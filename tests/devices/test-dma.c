/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two 8237A: modes, registers, page registers. */
#include "dma.h"

#include "chip-bench.h"

static Bench bench;
static Dma  *dma;

enum { RAM = 4 << 20 };

static const uint16_t page_port[8] = { 0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a };

static void
set_up (void)
{
  bench = bench_new (RAM);
  g_assert_cmpint (dma_new (&bench.host, &dma), ==, 0);
  /* What every BIOS does: the first controller behind the second. */
  bench_out (&bench, 0xd6, 0xc0);
  bench_out (&bench, 0xd4, 0x00);
}

static void
tear_down (void)
{
  bench_free (&bench, dma);
}

static uint16_t
reg (unsigned channel, unsigned n)
{
  return (uint16_t) (channel < 4 ? n : 0xc0 + 2 * n);
}

/* mode without the channel; transfers is the number of bytes or words. */
static void
program (unsigned channel, uint8_t mode, uint32_t address, uint32_t transfers)
{
  uint32_t units = channel < 4 ? address : address >> 1;

  bench_out (&bench, reg (channel, 10), (uint8_t) (4 | (channel & 3)));
  bench_out (&bench, reg (channel, 12), 0);
  bench_out (&bench, reg (channel, 11), (uint8_t) (mode | (channel & 3)));
  bench_out (&bench, reg (channel, (channel & 3) * 2), units & 0xff);
  bench_out (&bench, reg (channel, (channel & 3) * 2), units >> 8 & 0xff);
  bench_out (&bench, page_port[channel], (uint8_t) (address >> 16));
  bench_out (&bench, reg (channel, (channel & 3) * 2 + 1), (transfers - 1) & 0xff);
  bench_out (&bench, reg (channel, (channel & 3) * 2 + 1), (uint8_t) ((transfers - 1) >> 8));
  bench_out (&bench, reg (channel, 10), channel & 3);
}

static uint16_t
read_word (unsigned channel, unsigned n)
{
  uint8_t low;

  bench_out (&bench, reg (channel, 12), 0);
  low = bench_in (&bench, reg (channel, n));
  return (uint16_t) (bench_in (&bench, reg (channel, n)) << 8 | low);
}

static uint8_t
ram (uint32_t address)
{
  uint8_t byte;

  guest_memory_read (bench.host.memory, address, &byte, 1);
  return byte;
}

static void
fill (uint8_t *bytes, size_t n)
{
  for (size_t i = 0; i < n; i++)
    bytes[i] = (uint8_t) (i * 7 + 1);
}

static void
test_write_to_memory (void)
{
  uint8_t bytes[512];
  bool    terminal;

  set_up ();
  fill (bytes, sizeof bytes);
  program (2, 0x44, 0x12345, 512);
  g_assert_true (dma_channel_ready (dma, 2));
  g_assert_cmpuint (dma_channel_left (dma, 2), ==, 512);
  g_assert_cmpuint (dma_channel_transfer (dma, 2, DMA_TO_MEMORY, bytes, 200, &terminal), ==, 200);
  g_assert_false (terminal);
  g_assert_cmphex (read_word (2, 4), ==, 0x2345 + 200);
  g_assert_cmphex (read_word (2, 5), ==, 511 - 200);
  g_assert_cmpuint (dma_channel_transfer (dma, 2, DMA_TO_MEMORY, bytes + 200, 312, &terminal), ==, 312);
  g_assert_true (terminal);
  for (unsigned i = 0; i < 512; i++)
    g_assert_cmphex (ram (0x12345 + i), ==, bytes[i]);
  g_assert_cmphex (ram (0x12345 + 512), ==, 0);
  /* Masked by the terminal count, which the status shows once. */
  g_assert_false (dma_channel_ready (dma, 2));
  g_assert_cmpuint (dma_channel_transfer (dma, 2, DMA_TO_MEMORY, bytes, 1, &terminal), ==, 0);
  g_assert_cmphex (bench_in (&bench, 8), ==, 0x04);
  g_assert_cmphex (bench_in (&bench, 8), ==, 0x00);
  g_assert_cmphex (read_word (2, 5), ==, 0xffff);
  tear_down ();
}

static void
test_read_from_memory (void)
{
  uint8_t bytes[256], back[256];
  bool    terminal;

  set_up ();
  fill (bytes, sizeof bytes);
  guest_memory_write (bench.host.memory, 0x3f000, bytes, sizeof bytes);
  program (1, 0x48, 0x3f000, 100);
  g_assert_cmpuint (dma_channel_transfer (dma, 1, DMA_FROM_MEMORY, back, 256, &terminal), ==, 100);
  g_assert_true (terminal);
  g_assert_cmpmem (back, 100, bytes, 100);
  tear_down ();
}

static void
test_verify (void)
{
  uint8_t bytes[16] = "0123456789abcde";
  bool    terminal;

  set_up ();
  program (3, 0x40, 0x1000, 16);
  g_assert_cmpuint (dma_channel_transfer (dma, 3, DMA_TO_MEMORY, bytes, 16, &terminal), ==, 16);
  g_assert_true (terminal);
  g_assert_cmphex (ram (0x1000), ==, 0);
  program (3, 0x40, 0x1000, 16);
  g_assert_cmpuint (dma_channel_transfer (dma, 3, DMA_FROM_MEMORY, bytes, 16, &terminal), ==, 16);
  g_assert_cmphex (bytes[5], ==, 0xff);
  tear_down ();
}

static void
test_wrong_direction_moves_nothing (void)
{
  uint8_t bytes[4] = { 1, 2, 3, 4 };

  set_up ();
  program (2, 0x48, 0x1000, 4);
  g_assert_cmpuint (dma_channel_transfer (dma, 2, DMA_TO_MEMORY, bytes, 4, NULL), ==, 4);
  g_assert_cmphex (ram (0x1000), ==, 0);
  program (2, 0x44, 0x1000, 4);
  g_assert_cmpuint (dma_channel_transfer (dma, 2, DMA_FROM_MEMORY, bytes, 4, NULL), ==, 4);
  g_assert_cmphex (bytes[0], ==, 0xff);
  /* The illegal type 3 too. */
  program (2, 0x4c, 0x1000, 4);
  g_assert_cmpuint (dma_channel_transfer (dma, 2, DMA_TO_MEMORY, bytes, 4, NULL), ==, 4);
  g_assert_cmphex (ram (0x1000), ==, 0);
  tear_down ();
}

static void
test_words (void)
{
  uint8_t bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
  bool    terminal;

  set_up ();
  program (5, 0x44, 0x2a0000 + 0x1fffc, 4);
  /* An odd byte does not fit a word; addresses wrap inside 128 KiB. */
  g_assert_cmpuint (dma_channel_transfer (dma, 5, DMA_TO_MEMORY, bytes, 5, &terminal), ==, 4);
  g_assert_false (terminal);
  g_assert_cmpuint (dma_channel_transfer (dma, 5, DMA_TO_MEMORY, bytes + 4, 4, &terminal), ==, 4);
  g_assert_true (terminal);
  g_assert_cmphex (ram (0x2bfffc), ==, 1);
  g_assert_cmphex (ram (0x2bffff), ==, 4);
  g_assert_cmphex (ram (0x2a0000), ==, 5);
  g_assert_cmphex (ram (0x2a0003), ==, 8);
  g_assert_cmphex (bench_in (&bench, 0xd0), ==, 0x02);
  /* Odd ports repeat the even ones. */
  bench_out (&bench, 0xd9, 0);
  bench_out (&bench, 0xc5, 0x34);
  bench_out (&bench, 0xc4, 0x12);
  g_assert_cmphex (read_word (5, 2), ==, 0x1234);
  tear_down ();
}

static void
test_address_wraps_in_page (void)
{
  uint8_t bytes[4] = { 1, 2, 3, 4 };

  set_up ();
  program (0, 0x44, 0x2fffe, 4);
  dma_channel_transfer (dma, 0, DMA_TO_MEMORY, bytes, 4, NULL);
  g_assert_cmphex (ram (0x2fffe), ==, 1);
  g_assert_cmphex (ram (0x2ffff), ==, 2);
  g_assert_cmphex (ram (0x20000), ==, 3);
  g_assert_cmphex (ram (0x20001), ==, 4);
  g_assert_cmphex (ram (0x30000), ==, 0);
  tear_down ();
}

static void
test_decrement (void)
{
  uint8_t bytes[4] = { 1, 2, 3, 4 };

  set_up ();
  program (1, 0x64, 0x20001, 4);
  dma_channel_transfer (dma, 1, DMA_TO_MEMORY, bytes, 4, NULL);
  g_assert_cmphex (ram (0x20001), ==, 1);
  g_assert_cmphex (ram (0x20000), ==, 2);
  g_assert_cmphex (ram (0x2ffff), ==, 3);
  g_assert_cmphex (ram (0x2fffe), ==, 4);
  g_assert_cmphex (read_word (1, 2), ==, 0xfffd);
  tear_down ();
}

static void
test_autoinitialise (void)
{
  uint8_t bytes[64], back[64];
  bool    terminal;

  set_up ();
  fill (bytes, sizeof bytes);
  guest_memory_write (bench.host.memory, 0x8000, bytes, sizeof bytes);
  program (1, 0x58, 0x8000, 32);
  for (unsigned i = 0; i < 5; i++)
    {
      g_assert_cmpuint (dma_channel_transfer (dma, 1, DMA_FROM_MEMORY, back, 64, &terminal), ==, 32);
      g_assert_true (terminal);
      g_assert_cmpmem (back, 32, bytes, 32);
      g_assert_cmphex (read_word (1, 2), ==, 0x8000);
      g_assert_cmphex (read_word (1, 3), ==, 31);
    }
  g_assert_true (dma_channel_ready (dma, 1));
  tear_down ();
}

static void
test_full_64k (void)
{
  uint8_t *bytes = g_malloc (70000);
  bool     terminal;

  set_up ();
  fill (bytes, 70000);
  program (2, 0x44, 0x10000, 65536);
  g_assert_cmpuint (dma_channel_left (dma, 2), ==, 65536);
  g_assert_cmpuint (dma_channel_transfer (dma, 2, DMA_TO_MEMORY, bytes, 70000, &terminal), ==, 65536);
  g_assert_true (terminal);
  g_assert_cmphex (ram (0x1ffff), ==, bytes[65535]);
  g_assert_cmphex (ram (0x20000), ==, 0);
  g_free (bytes);
  tear_down ();
}

static void
test_masks_and_enable (void)
{
  set_up ();
  program (2, 0x44, 0, 1);
  bench_out (&bench, 0x0a, 0x06);
  g_assert_false (dma_channel_ready (dma, 2));
  bench_out (&bench, 0x0e, 0);
  g_assert_true (dma_channel_ready (dma, 2));
  bench_out (&bench, 0x0f, 0x04);
  g_assert_false (dma_channel_ready (dma, 2));
  g_assert_cmphex (bench_in (&bench, 0x0f), ==, 0xf4);
  bench_out (&bench, 0x0f, 0x0b);
  g_assert_true (dma_channel_ready (dma, 2));
  bench_out (&bench, 0x08, 0x04);
  g_assert_false (dma_channel_ready (dma, 2));
  bench_out (&bench, 0x08, 0x00);
  g_assert_true (dma_channel_ready (dma, 2));
  bench_out (&bench, 0x0d, 0);
  g_assert_false (dma_channel_ready (dma, 2));
  g_assert_cmphex (bench_in (&bench, 0x0f), ==, 0xff);
  tear_down ();
}

static void
test_cascade (void)
{
  set_up ();
  program (2, 0x44, 0, 1);
  /* Without its way through channel 4 the byte controller gets no bus. */
  bench_out (&bench, 0xd4, 0x04);
  g_assert_false (dma_channel_ready (dma, 2));
  bench_out (&bench, 0xd4, 0x00);
  g_assert_true (dma_channel_ready (dma, 2));
  g_assert_false (dma_channel_ready (dma, 4));
  g_assert_cmpuint (dma_channel_transfer (dma, 4, DMA_TO_MEMORY, "x", 1, NULL), ==, 0);
  program (6, 0xc4, 0, 1);
  g_assert_false (dma_channel_ready (dma, 6));
  tear_down ();
}

static void
test_flip_flop (void)
{
  set_up ();
  bench_out (&bench, 0x0c, 0);
  bench_out (&bench, 0x00, 0x34);
  bench_out (&bench, 0x00, 0x12);
  bench_out (&bench, 0x02, 0x78);
  /* The flip-flop is one for all registers, for reading and writing. */
  g_assert_cmphex (bench_in (&bench, 0x00), ==, 0x12);
  g_assert_cmphex (bench_in (&bench, 0x00), ==, 0x34);
  bench_out (&bench, 0x02, 0x56);
  g_assert_cmphex (read_word (1, 2), ==, 0x5678);
  tear_down ();
}

static void
test_requests (void)
{
  set_up ();
  dma_channel_set_request (dma, 2, true);
  g_assert_cmphex (bench_in (&bench, 8), ==, 0x40);
  bench_out (&bench, 9, 0x07);
  g_assert_cmphex (bench_in (&bench, 8), ==, 0xc0);
  bench_out (&bench, 9, 0x03);
  dma_channel_set_request (dma, 2, false);
  g_assert_cmphex (bench_in (&bench, 8), ==, 0x00);
  tear_down ();
}

static void
test_memory_to_memory (void)
{
  uint8_t bytes[100];

  set_up ();
  fill (bytes, sizeof bytes);
  guest_memory_write (bench.host.memory, 0x5000, bytes, sizeof bytes);
  program (0, 0x88, 0x5000, 100);
  program (1, 0x84, 0x6000, 100);
  bench_out (&bench, 0x08, 0x01);
  bench_out (&bench, 0x09, 0x04);
  for (unsigned i = 0; i < 100; i++)
    g_assert_cmphex (ram (0x6000 + i), ==, bytes[i]);
  g_assert_cmphex (bench_in (&bench, 8), ==, 0x02);
  g_assert_cmphex (bench_in (&bench, 13), ==, bytes[99]);
  /* Channel 0 holds its address: a fill. */
  program (0, 0x88, 0x5000, 100);
  program (1, 0x84, 0x6000, 100);
  bench_out (&bench, 0x08, 0x03);
  bench_out (&bench, 0x09, 0x04);
  for (unsigned i = 0; i < 100; i++)
    g_assert_cmphex (ram (0x6000 + i), ==, bytes[0]);
  tear_down ();
}

static unsigned n_ready;

static void
count_ready (Device *listener)
{
  n_ready++;
}

static void
test_listener (void)
{
  uint8_t byte = 1;

  set_up ();
  n_ready = 0;
  dma_channel_on_ready (dma, 2, count_ready, NULL);
  program (2, 0x44, 0, 1);
  g_assert_cmpuint (n_ready, ==, 1);
  bench_out (&bench, 0x0b, 0x46);
  g_assert_cmpuint (n_ready, ==, 1);
  dma_channel_transfer (dma, 2, DMA_TO_MEMORY, &byte, 1, NULL);
  bench_out (&bench, 0x0a, 0x02);
  g_assert_cmpuint (n_ready, ==, 2);
  tear_down ();
}

static void
test_page_registers (void)
{
  set_up ();
  for (unsigned i = 0; i < 16; i++)
    bench_out (&bench, (uint16_t) (0x80 + i), (uint8_t) (0x11 * i));
  for (unsigned i = 0; i < 16; i++)
    g_assert_cmphex (bench_in (&bench, (uint16_t) (0x80 + i)), ==, 0x11 * i);
  tear_down ();
}

static void
test_bad_accesses (void)
{
  uint8_t bytes[64];

  set_up ();
  g_assert_false (dma_channel_ready (dma, 8));
  g_assert_false (dma_channel_ready (dma, UINT_MAX));
  g_assert_cmpuint (dma_channel_transfer (dma, 77, DMA_TO_MEMORY, bytes, 1, NULL), ==, 0);
  g_assert_cmpuint (dma_channel_left (dma, 9), ==, 0);
  dma_channel_set_request (dma, 9, true);
  dma_channel_on_ready (dma, 9, count_ready, NULL);
  /* Past the end of RAM: all ones, and nowhere. */
  program (1, 0x48, 0xff0000, 64);
  g_assert_cmpuint (dma_channel_transfer (dma, 1, DMA_FROM_MEMORY, bytes, 64, NULL), ==, 64);
  g_assert_cmphex (bytes[63], ==, 0xff);
  program (1, 0x44, 0xfffff0, 64);
  g_assert_cmpuint (dma_channel_transfer (dma, 1, DMA_TO_MEMORY, bytes, 64, NULL), ==, 64);
  g_assert_cmpuint (dma_channel_transfer (dma, 5, DMA_TO_MEMORY, bytes, 0, NULL), ==, 0);
  for (unsigned port = 8; port < 16; port++)
    {
      bench_in (&bench, (uint16_t) port);
      bus_write_port (bench.host.bus, (uint16_t) port, 4, 0xffffffff);
    }
  tear_down ();
}

static void
scramble (Bench *b)
{
  uint8_t bytes[8] = { 0 };

  bench_in (b, 8);
  bench_in (b, 0);
  bench_out (b, 0xd4, 0);
  bench_out (b, 0x0e, 0);
  for (unsigned i = 0; i < 8; i++)
    {
      dma_channel_transfer (dma, i, i & 1 ? DMA_TO_MEMORY : DMA_FROM_MEMORY, bytes, 8, NULL);
      dma_channel_set_request (dma, i, i & 1);
    }
  bench_out (b, 0x81, 0x55);
}

static void
test_state (void)
{
  set_up ();
  program (2, 0x54, 0x12345, 512);
  program (5, 0x48, 0x22344, 99);
  bench_in (&bench, 4);
  dma_channel_set_request (dma, 2, true);
  bench_check_state (&bench, dma, scramble);
  g_assert_cmpuint (dma_channel_left (dma, 2), ==, 512);
  g_assert_true (dma_channel_ready (dma, 2));
  g_assert_cmphex (bench_in (&bench, 4), ==, 0x23);
  tear_down ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dma/write-to-memory", test_write_to_memory);
  g_test_add_func ("/dma/read-from-memory", test_read_from_memory);
  g_test_add_func ("/dma/verify", test_verify);
  g_test_add_func ("/dma/wrong-direction-moves-nothing", test_wrong_direction_moves_nothing);
  g_test_add_func ("/dma/words", test_words);
  g_test_add_func ("/dma/address-wraps-in-page", test_address_wraps_in_page);
  g_test_add_func ("/dma/decrement", test_decrement);
  g_test_add_func ("/dma/autoinitialise", test_autoinitialise);
  g_test_add_func ("/dma/full-64k", test_full_64k);
  g_test_add_func ("/dma/masks-and-enable", test_masks_and_enable);
  g_test_add_func ("/dma/cascade", test_cascade);
  g_test_add_func ("/dma/flip-flop", test_flip_flop);
  g_test_add_func ("/dma/requests", test_requests);
  g_test_add_func ("/dma/memory-to-memory", test_memory_to_memory);
  g_test_add_func ("/dma/listener", test_listener);
  g_test_add_func ("/dma/page-registers", test_page_registers);
  g_test_add_func ("/dma/bad-accesses", test_bad_accesses);
  g_test_add_func ("/dma/state", test_state);
  return g_test_run ();
}
