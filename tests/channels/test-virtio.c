/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Virtqueues and the 9P device: what a driver does, and rings that lie. */
#include "chip-bench.h"
#include "pci-bus.h"
#include "virtio-9p.h"
#include "virtio-pci.h"

enum { IO = 0xc000, RING = 0x10000, AVAIL = RING + 128 * 16, USED = RING + 0x1000, OUT = 0x40000, IN = 0x50000, DEVFN = 8 << 3 };

typedef struct
{
  Bench     bench;
  PciBus   *pci;
  Virtio9p *device;
  MessageBackend far_end;
  uint8_t   sent[MESSAGE_MAX_BYTES];
  size_t    n_sent;
  unsigned  n_messages;
  int       result;
  bool      irq, closed;
  uint16_t  available;
} Fixture;

static Fixture *now;

static int
far_send (MessageBackend *backend, const uint8_t *bytes, size_t n_bytes)
{
  if (now->result)
    return now->result;
  memcpy (now->sent, bytes, n_bytes);
  now->n_sent = n_bytes;
  now->n_messages++;
  return 0;
}

static void
far_close (MessageBackend *backend)
{
  now->closed = true;
}

static void
set_irq (void *data, unsigned input, bool level)
{
  *(bool *) data = level;
}

static uint32_t in (Fixture *f, unsigned at, unsigned size) { return bus_read_port (f->bench.host.bus, (uint16_t) (IO + at), size); }
static void out (Fixture *f, unsigned at, unsigned size, uint32_t value) { bus_write_port (f->bench.host.bus, (uint16_t) (IO + at), size, value); }

static void
config (Fixture *f, unsigned offset, uint32_t value)
{
  bus_write_port (f->bench.host.bus, 0xcf8, 4, 0x80000000u | DEVFN << 8 | offset);
  bus_write_port (f->bench.host.bus, 0xcfc, 4, value);
}

static void
start_driver (Fixture *f)
{
  out (f, 0x12, 1, 0);
  out (f, 0x12, 1, 3);
  out (f, 0x0e, 2, 0);
  out (f, 0x08, 4, RING >> 12);
  out (f, 0x12, 1, 7);
  f->available = 0;
  for (unsigned i = 0; i < 0x2000; i += 4)
    guest_memory_write (f->bench.host.memory, RING + i, "\0\0\0\0", 4);
}

static void
setup (Fixture *f, gconstpointer data)
{
  IrqLine pirqs[4];

  now = f;
  f->bench = bench_new (1 << 20);
  for (unsigned i = 0; i < 4; i++)
    pirqs[i] = (IrqLine) { set_irq, &f->irq, 0 };
  g_assert_cmpint (pci_bus_new (&f->bench.host, pirqs, NULL, NULL, &f->pci), ==, 0);
  f->far_end = (MessageBackend) { .send = far_send, .close = far_close };
  g_assert_cmpint (virtio_9p_new (&f->bench.host, f->pci, DEVFN, "docs", &f->far_end, &f->device), ==, 0);
  ((Device *) f->device)->klass->reset ((Device *) f->device);
  config (f, 0x10, IO);
  config (f, 0x04, 5);
  start_driver (f);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  ((Device *) f->device)->klass->finish ((Device *) f->device);
  bench_free (&f->bench, pci_bus_device (f->pci));
}

static void
descriptor (Fixture *f, unsigned i, uint64_t address, uint32_t n_bytes, uint16_t flags, uint16_t next)
{
  uint8_t bytes[16];

  memcpy (bytes, &address, 8);
  memcpy (bytes + 8, &n_bytes, 4);
  memcpy (bytes + 12, &flags, 2);
  memcpy (bytes + 14, &next, 2);
  guest_memory_write (f->bench.host.memory, RING + i * 16, bytes, sizeof bytes);
}

static void
offer (Fixture *f, uint16_t head)
{
  guest_memory_write (f->bench.host.memory, AVAIL + 4 + f->available % 128 * 2u, &head, 2);
  f->available++;
  guest_memory_write (f->bench.host.memory, AVAIL + 2, &f->available, 2);
  out (f, 0x10, 2, 0);
}

static unsigned
used (Fixture *f, uint32_t *ret_length)
{
  uint16_t index;

  guest_memory_read (f->bench.host.memory, USED + 2, &index, 2);
  if (index)
    guest_memory_read (f->bench.host.memory, USED + 4 + (index - 1) % 128 * 8u + 4, ret_length, 4);
  return index;
}

static void
request (Fixture *f, uint16_t tag, uint32_t n_bytes)
{
  uint8_t message[64] = { (uint8_t) n_bytes, 0, 0, 0, 100, (uint8_t) tag, (uint8_t) (tag >> 8) };

  guest_memory_write (f->bench.host.memory, OUT, message, sizeof message);
  descriptor (f, 0, OUT, 5, 1, 1);
  descriptor (f, 1, OUT + 5, 15, 1, 2);
  descriptor (f, 2, IN, 1000, 2, 0);
  offer (f, 0);
}

static void
shows_itself (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (in (f, 0, 4), ==, 1);
  g_assert_cmpuint (in (f, 0x0c, 2), ==, 128);
  g_assert_cmpuint (in (f, 0x14, 2), ==, 4);
  g_assert_cmpuint (in (f, 0x16, 4), ==, 'd' | 'o' << 8 | 'c' << 16 | 's' << 24);
  g_assert_cmpuint (in (f, 0x7c, 4), ==, 0);
  out (f, 0x0e, 2, 1);
  g_assert_cmpuint (in (f, 0x0c, 2), ==, 0);
  out (f, 0x08, 4, 0x55);
  g_assert_cmpuint (in (f, 0x08, 4), ==, 0);
}

static void
carries_a_message_both_ways (Fixture *f, gconstpointer data)
{
  uint8_t answer[20] = { 20, 0, 0, 0, 101, 7, 0, 'x' }, got[20];
  uint32_t length = 0;

  request (f, 7, 20);
  g_assert_cmpuint (f->n_messages, ==, 1);
  g_assert_cmpuint (f->n_sent, ==, 20);
  g_assert_cmpuint (used (f, &length), ==, 0);
  f->far_end.receive (f->far_end.device, answer, sizeof answer);
  g_assert_cmpuint (used (f, &length), ==, 1);
  g_assert_cmpuint (length, ==, 20);
  guest_memory_read (f->bench.host.memory, IN, got, sizeof got);
  g_assert_cmpmem (got, 20, answer, 20);
  g_assert_true (f->irq);
  g_assert_cmpuint (in (f, 0x13, 1), ==, 1);
  g_assert_false (f->irq);
  /* An answer nobody waits for is dropped. */
  f->far_end.receive (f->far_end.device, answer, sizeof answer);
  g_assert_cmpuint (used (f, &length), ==, 1);
}

static void
bad_lengths_get_an_error (Fixture *f, gconstpointer data)
{
  static const uint32_t sizes[] = { 0, 6, 21, 63 };
  uint32_t length = 0;

  for (unsigned i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      uint8_t type;

      request (f, 3, sizes[i]);
      g_assert_cmpuint (used (f, &length), ==, i + 1);
      g_assert_cmpuint (length, ==, 11);
      guest_memory_read (f->bench.host.memory, IN + 4, &type, 1);
      g_assert_cmpuint (type, ==, 7);
    }
  g_assert_cmpuint (f->n_messages, ==, 0);
}

static void
lost_far_end_answers (Fixture *f, gconstpointer data)
{
  uint32_t length = 0;

  request (f, 7, 20);
  f->far_end.receive (f->far_end.device, NULL, 0);
  g_assert_true (f->closed);
  g_assert_cmpuint (used (f, &length), ==, 1);
  request (f, 8, 20);
  g_assert_cmpuint (used (f, &length), ==, 2);
}

static void
slow_far_end_gets_it_later (Fixture *f, gconstpointer data)
{
  uint8_t answer[7] = { 7, 0, 0, 0, 101, 9, 0 };

  f->result = -EAGAIN;
  request (f, 7, 20);
  g_assert_cmpuint (f->n_messages, ==, 0);
  f->result = 0;
  f->far_end.receive (f->far_end.device, answer, sizeof answer);
  g_assert_cmpuint (f->n_messages, ==, 1);
}

static void
lying_rings_stop_the_queue (Fixture *f, gconstpointer data)
{
  uint32_t length = 0;

  for (unsigned lie = 0; lie < 7; lie++)
    {
      start_driver (f);
      f->n_messages = 0;
      descriptor (f, 0, OUT, 20, 1, 1);
      descriptor (f, 1, IN, 100, 2, 0);
      switch (lie)
        {
        case 0:                 /* a circle */
          descriptor (f, 1, OUT, 20, 1, 0);
          offer (f, 0);
          break;
        case 1:                 /* beyond the table */
          descriptor (f, 0, OUT, 20, 1, 128);
          offer (f, 0);
          break;
        case 2:                 /* head beyond the table */
          offer (f, 0xffff);
          break;
        case 3:                 /* readable after writable */
          descriptor (f, 0, IN, 20, 3, 1);
          descriptor (f, 1, OUT, 20, 0, 0);
          offer (f, 0);
          break;
        case 4:                 /* indirect, which was not offered */
          descriptor (f, 0, OUT, 16, 4, 0);
          offer (f, 0);
          break;
        case 5:                 /* more available than there are */
          f->available = 300;
          offer (f, 0);
          break;
        default:                /* round the end of the address space */
          descriptor (f, 0, UINT64_MAX - 3, 20, 1, 1);
          offer (f, 0);
        }
      g_assert_cmpuint (f->n_messages, ==, 0);
      g_assert_cmpuint (used (f, &length), ==, 0);
      /* Until the driver starts again. */
      start_driver (f);
      request (f, 7, 20);
      g_assert_cmpuint (f->n_messages, ==, 1);
    }
}

static void
segments_outside_memory_do_no_harm (Fixture *f, gconstpointer data)
{
  uint8_t answer[20] = { 20, 0, 0, 0, 101, 0xff, 0xff };
  uint32_t length = 0;

  descriptor (f, 0, 0x7ffffff0, 20, 1, 1);
  descriptor (f, 1, 0xfffffff0, 100, 2, 0);
  offer (f, 0);
  f->far_end.receive (f->far_end.device, answer, sizeof answer);
  used (f, &length);
}

/* What was under way is answered with an error after a restore, once the machine runs. */
static void
restored_requests_are_answered (Fixture *f, gconstpointer data)
{
  Device *device = (Device *) f->device;
  StateBuffer saved = { 0 };
  uint32_t length = 0;
  uint8_t type;

  request (f, 7, 20);
  state_save (device->klass->state, device, &saved);
  device->klass->reset (device);
  g_assert_cmpint (state_restore (device->klass->state, device, saved.bytes, saved.length), ==, (int64_t) saved.length);
  g_assert_cmpuint (used (f, &length), ==, 0);
  bench_advance (&f->bench, 1000);
  g_assert_cmpuint (used (f, &length), ==, 1);
  guest_memory_read (f->bench.host.memory, IN + 4, &type, 1);
  g_assert_cmpuint (type, ==, 7);
  state_buffer_clear (&saved);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define TEST(name) g_test_add ("/virtio/" #name, Fixture, NULL, setup, name, teardown)
  TEST (shows_itself);
  TEST (carries_a_message_both_ways);
  TEST (bad_lengths_get_an_error);
  TEST (lost_far_end_answers);
  TEST (slow_far_end_gets_it_later);
  TEST (lying_rings_stop_the_queue);
  TEST (segments_outside_memory_do_no_harm);
  TEST (restored_requests_are_answered);
  return g_test_run ();
}
