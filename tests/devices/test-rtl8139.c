/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RTL8139C: identification, EEPROM, filter, ring, transmit descriptors, interrupts, bad descriptors, saved state. */
#include "guest-memory.h"
#include "pci-bus.h"
#include "physical-memory.h"
#include "rtl8139.h"
#include "virtual-clock.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

enum { IO = 0xc000, RING = 0x10000, BUFFER = 0x40000, DEVFN = 3 << 3 };

typedef struct
{
  PacketBackend cable;
  uint8_t       sent[2048];
  size_t        n_sent;
  unsigned      n_frames;
} Cable;

typedef struct
{
  Bus         *bus;
  GuestMemory *memory;
  Clock       *clock;
  PciBus      *pci;
  Rtl8139     *card;
  Cable        cable;
  bool         irq;
} Fixture;

static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

static void
cable_send (PacketBackend *backend, const uint8_t *frame, size_t n_bytes)
{
  Cable *self = (Cable *) backend;

  memcpy (self->sent, frame, n_bytes);
  self->n_sent = n_bytes;
  self->n_frames++;
}

static void
cable_close (PacketBackend *backend)
{
}

static void
set_irq (void *data, unsigned input, bool level)
{
  *(bool *) data = level;
}

static uint32_t in (Fixture *f, unsigned at, unsigned size) { return bus_read_port (f->bus, (uint16_t) (IO + at), size); }
static void out (Fixture *f, unsigned at, unsigned size, uint32_t value) { bus_write_port (f->bus, (uint16_t) (IO + at), size, value); }

static void
config (Fixture *f, unsigned offset, uint32_t value)
{
  bus_write_port (f->bus, 0xcf8, 4, 0x80000000u | DEVFN << 8 | offset);
  bus_write_port (f->bus, 0xcfc, 4, value);
}

static void
setup (Fixture *f, gconstpointer data)
{
  IrqLine pirqs[4];
  DeviceHost host;

  f->bus = bus_new ();
  f->memory = guest_memory_new (1 << 20, 4096, -1, f->bus);
  f->clock = clock_new (CLOCK_MANUAL, NULL);
  clock_start (f->clock);
  host = (DeviceHost) { f->bus, f->memory, f->clock };
  for (unsigned i = 0; i < 4; i++)
    pirqs[i] = (IrqLine) { set_irq, &f->irq, 0 };
  g_assert_cmpint (pci_bus_new (&host, pirqs, NULL, NULL, &f->pci), ==, 0);
  f->cable.cable = (PacketBackend) { cable_send, cable_close, NULL, NULL };
  g_assert_cmpint (rtl8139_new (&host, f->pci, DEVFN, &f->cable.cable, mac, &f->card), ==, 0);
  config (f, 0x10, IO);
  config (f, 0x04, 7);
  out (f, 0x37, 1, 0x10);
  out (f, 0x30, 4, RING);
  out (f, 0x37, 1, 0x0c);
  out (f, 0x44, 4, 0x8f);       /* WRAP, all filters */
  out (f, 0x3c, 2, 0xffff);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  rtl8139_device (f->card)->klass->finish (rtl8139_device (f->card));
  pci_bus_device (f->pci)->klass->finish (pci_bus_device (f->pci));
  clock_free (f->clock);
  guest_memory_free (f->memory);
  bus_free (f->bus);
}

static bool
arrive (Fixture *f, const uint8_t *to, uint8_t fill, size_t n_bytes)
{
  uint8_t frame[1518];

  memset (frame, fill, sizeof frame);
  memcpy (frame, to, 6);
  return f->cable.cable.receive (f->cable.cable.card, frame, n_bytes);
}

static unsigned
eeprom_word (Fixture *f, unsigned address)
{
  unsigned command = 6 << 6 | address, value = 0;

  out (f, 0x50, 1, 0x80);
  out (f, 0x50, 1, 0x88);
  for (int i = 8; i >= 0; i--)
    {
      unsigned bit = command >> i & 1 ? 2 : 0;

      out (f, 0x50, 1, 0x88 | bit);
      out (f, 0x50, 1, 0x8c | bit);
    }
  out (f, 0x50, 1, 0x88);
  g_assert_cmphex (in (f, 0x50, 1) & 1, ==, 0);
  for (unsigned i = 0; i < 16; i++)
    {
      out (f, 0x50, 1, 0x8c);
      value = value << 1 | (in (f, 0x50, 1) & 1);
      out (f, 0x50, 1, 0x88);
    }
  out (f, 0x50, 1, 0);
  return value;
}

static void
test_identity (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (in (f, 0, 4), ==, 0x12005452);
  g_assert_cmphex (in (f, 4, 2), ==, 0x5634);
  g_assert_cmphex (in (f, 0x40, 4) & 0x7cc00000, ==, 0x74000000);
  g_assert_cmphex (eeprom_word (f, 0), ==, 0x8129);
  g_assert_cmphex (eeprom_word (f, 7), ==, 0x5452);
  g_assert_cmphex (eeprom_word (f, 9), ==, 0x5634);
  g_assert_cmphex (in (f, 0x64, 2) & 0x24, ==, 0x24);
}

static void
test_receive (Fixture *f, gconstpointer data)
{
  uint8_t head[4], body[64];

  g_assert_true (in (f, 0x37, 1) & 1);
  g_assert_true (arrive (f, mac, 0x5a, 60));
  g_assert_false (in (f, 0x37, 1) & 1);
  g_assert_true (f->irq);
  g_assert_cmphex (in (f, 0x3e, 2), ==, 1);
  guest_memory_read (f->memory, RING, head, 4);
  g_assert_cmphex (head[0], ==, 0x01);
  g_assert_cmphex (head[1], ==, 0x40);
  g_assert_cmpuint (head[2] | head[3] << 8, ==, 64);
  guest_memory_read (f->memory, RING + 4, body, 64);
  g_assert_cmpmem (body, 6, mac, 6);
  g_assert_cmphex (body[59], ==, 0x5a);
  g_assert_cmpuint (in (f, 0x3a, 2), ==, 68);
  out (f, 0x38, 2, 68 - 16);
  g_assert_true (in (f, 0x37, 1) & 1);
  out (f, 0x3e, 2, 1);
  g_assert_false (f->irq);
}

static void
test_short_frames_are_padded (Fixture *f, gconstpointer data)
{
  uint8_t head[4];

  arrive (f, mac, 1, 20);
  guest_memory_read (f->memory, RING, head, 4);
  g_assert_cmpuint (head[2], ==, 64);
}

static void
test_filter (Fixture *f, gconstpointer data)
{
  static const uint8_t other[6] = { 2, 3, 4, 5, 6, 7 }, all[6] = { 255, 255, 255, 255, 255, 255 }, group[6] = { 1, 0, 0x5e, 0, 0, 1 };

  out (f, 0x44, 4, 0x82);
  arrive (f, other, 0, 60);
  arrive (f, all, 0, 60);
  arrive (f, group, 0, 60);
  g_assert_cmpuint (in (f, 0x3a, 2), ==, 0);
  out (f, 0x44, 4, 0x8a);
  arrive (f, all, 0, 60);
  g_assert_cmpuint (in (f, 0x3a, 2), ==, 68);
  out (f, 0x44, 4, 0x84);
  arrive (f, group, 0, 60);
  g_assert_cmpuint (in (f, 0x3a, 2), ==, 68);
  /* 01:00:5e:00:00:01 hashes to bit 31: byte 3 of MAR, bit 7. */
  out (f, 0x08 + 3, 1, 0x80);
  arrive (f, group, 0, 60);
  g_assert_cmpuint (in (f, 0x3a, 2), ==, 136);
}

static void
test_overflow (Fixture *f, gconstpointer data)
{
  unsigned n = 0;

  while (arrive (f, mac, 0, 1514) && n < 100)
    n++;
  g_assert_cmpuint (n, ==, 5);
  g_assert_true (in (f, 0x3e, 2) & 0x10);
}

static void
test_ring_wraps (Fixture *f, gconstpointer data)
{
  for (unsigned i = 0; i < 50; i++)
    {
      g_assert_true (arrive (f, mac, (uint8_t) i, 1000));
      out (f, 0x38, 2, in (f, 0x3a, 2) - 16);
      g_assert_cmpuint (in (f, 0x3a, 2), <, 8192);
    }
}

static void
test_transmit (Fixture *f, gconstpointer data)
{
  uint8_t frame[100];

  memset (frame, 0x77, sizeof frame);
  guest_memory_write (f->memory, BUFFER, frame, sizeof frame);
  out (f, 0x20, 4, BUFFER);
  out (f, 0x10, 4, 100);
  g_assert_cmpuint (f->cable.n_frames, ==, 1);
  g_assert_cmpuint (f->cable.n_sent, ==, 100);
  g_assert_cmphex (f->cable.sent[99], ==, 0x77);
  g_assert_cmphex (in (f, 0x10, 4) & 0xa000, ==, 0xa000);
  g_assert_true (in (f, 0x3e, 2) & 4);
}

/* Loopback delivers to the own ring and nowhere else, once (CVE-2021-3416's class: no recursion). */
static void
test_loopback (Fixture *f, gconstpointer data)
{
  guest_memory_write (f->memory, BUFFER, mac, 6);
  out (f, 0x40, 4, 3 << 17);
  out (f, 0x20, 4, BUFFER);
  out (f, 0x10, 4, 64);
  g_assert_cmpuint (f->cable.n_frames, ==, 0);
  g_assert_cmpuint (in (f, 0x3a, 2), ==, 72);
}

/* A frame from where no memory is, a frame longer than a buffer: aborted, nothing leaks (CVE-2015-5165's class). */
static void
test_bad_descriptors (Fixture *f, gconstpointer data)
{
  out (f, 0x20, 4, 0xfffff000);
  out (f, 0x10, 4, 100);
  g_assert_cmpuint (f->cable.n_frames, ==, 0);
  g_assert_cmphex (in (f, 0x10, 4) & 0x40000000, !=, 0);
  out (f, 0x20, 4, BUFFER);
  out (f, 0x10, 4, 0x1fff);
  g_assert_cmpuint (f->cable.n_frames, ==, 0);
  out (f, 0x10, 4, 3);
  g_assert_cmpuint (f->cable.n_frames, ==, 0);
  /* The ring where no memory is. */
  out (f, 0x30, 4, 0xfffffff0);
  arrive (f, mac, 0, 60);
}

static void
test_not_master (Fixture *f, gconstpointer data)
{
  config (f, 0x04, 3);
  out (f, 0x20, 4, BUFFER);
  out (f, 0x10, 4, 100);
  g_assert_cmpuint (f->cable.n_frames, ==, 0);
  arrive (f, mac, 0, 60);
  g_assert_cmpuint (in (f, 0x3a, 2), ==, 0);
}

static void
test_timer (Fixture *f, gconstpointer data)
{
  out (f, 0x48, 4, 0);
  out (f, 0x54, 4, 33000);
  clock_advance (f->clock, 999000);
  clock_run_timers (f->clock);
  g_assert_cmphex (in (f, 0x3e, 2) & 0x4000, ==, 0);
  clock_advance (f->clock, 2000);
  clock_run_timers (f->clock);
  g_assert_cmphex (in (f, 0x3e, 2) & 0x4000, !=, 0);
}

static void
test_state (Fixture *f, gconstpointer data)
{
  Device *card = rtl8139_device (f->card);
  StateBuffer before = { 0 }, after = { 0 };

  arrive (f, mac, 3, 200);
  out (f, 0x54, 4, 1234567);
  state_save (card->klass->state, card, &before);
  card->klass->reset (card);
  g_assert_cmpint (state_restore (card->klass->state, card, before.bytes, before.length), ==, (int64_t) before.length);
  state_save (card->klass->state, card, &after);
  g_assert_cmpmem (before.bytes, before.length, after.bytes, after.length);
  g_assert_cmpuint (in (f, 0x3a, 2), ==, 208);
  state_buffer_clear (&before);
  state_buffer_clear (&after);
}

static void
test_every_register_every_width (Fixture *f, gconstpointer data)
{
  for (unsigned pass = 0; pass < 4; pass++)
    for (unsigned at = 0; at < 256; at++)
      for (unsigned size = 1; size <= 4; size *= 2)
        {
          out (f, at, size, pass & 1 ? 0xffffffff : 0x5aa5c3 * (at + pass));
          in (f, at, size);
          arrive (f, mac, 0, 1514);
        }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, function) g_test_add (path, Fixture, NULL, setup, function, teardown)
  ADD ("/rtl8139/identity-and-eeprom", test_identity);
  ADD ("/rtl8139/receive", test_receive);
  ADD ("/rtl8139/padding", test_short_frames_are_padded);
  ADD ("/rtl8139/filter", test_filter);
  ADD ("/rtl8139/overflow", test_overflow);
  ADD ("/rtl8139/ring-wraps", test_ring_wraps);
  ADD ("/rtl8139/transmit", test_transmit);
  ADD ("/rtl8139/loopback", test_loopback);
  ADD ("/rtl8139/bad-descriptors", test_bad_descriptors);
  ADD ("/rtl8139/bus-master-off", test_not_master);
  ADD ("/rtl8139/timer", test_timer);
  ADD ("/rtl8139/state", test_state);
  ADD ("/rtl8139/every-register-every-width", test_every_register_every_width);
#undef ADD
  return g_test_run ();
}
