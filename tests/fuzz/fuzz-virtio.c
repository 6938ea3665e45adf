/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Virtqueues that lie: the input is the ring's memory, the driver's accesses, and answers of the far end. */
#include "chip-fuzz.h"
#include "pci-bus.h"
#include "virtio-9p.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

enum { IO = 0xc000, RING = 0x10000 };

static MessageBackend far_end;
static bool far_end_open, busy;

static int
far_send (MessageBackend *backend, const uint8_t *bytes, size_t n_bytes)
{
  g_assert_cmpuint (n_bytes, >=, 7);
  g_assert_cmpuint (n_bytes, <=, MESSAGE_MAX_BYTES);
  return busy ? -EAGAIN : 0;
}

static void
far_close (MessageBackend *backend)
{
  far_end_open = false;
}

static void
other (Bench *bench, FuzzInput *input, unsigned choice)
{
  uint8_t bytes[64];

  switch (choice & 7)
    {
    case 0: case 1:
      for (unsigned i = 0; i < 16; i++)
        bytes[i] = fuzz_byte (input);
      guest_memory_write (bench->host.memory, RING + (fuzz_byte (input) & 31) * 16u, bytes, 16);
      break;
    case 2: case 3:
      for (unsigned i = 0; i < 8; i++)
        bytes[i] = fuzz_byte (input);
      guest_memory_write (bench->host.memory, RING + 2048, bytes, 8);
      break;
    case 4:
      bus_write_port (bench->host.bus, IO + 0x10, 2, 0);
      break;
    case 5:
      busy = !busy;
      break;
    default:
      for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = fuzz_byte (input);
      if (far_end_open)
        far_end.receive (far_end.device, bytes, fuzz_byte (input) % sizeof bytes);
      break;
    }
}

static void
ignore_irq (void *data, unsigned input, bool level)
{
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const uint16_t ports[] = { IO, 128, 0xcf8, 8, 0, 0 };
  static const FuzzChip chip = { ports, NULL, other };
  Bench     bench = bench_new (1 << 20);
  IrqLine   pirqs[4];
  PciBus   *pci;
  Virtio9p *device;

  for (unsigned i = 0; i < 4; i++)
    pirqs[i] = (IrqLine) { ignore_irq, NULL, i };
  far_end = (MessageBackend) { .send = far_send, .close = far_close };
  far_end_open = true;
  busy = false;
  g_assert_cmpint (pci_bus_new (&bench.host, pirqs, NULL, NULL, &pci), ==, 0);
  g_assert_cmpint (virtio_9p_new (&bench.host, pci, 8 << 3, "docs", &far_end, &device), ==, 0);
  ((Device *) device)->klass->reset ((Device *) device);
  bus_write_port (bench.host.bus, 0xcf8, 4, 0x80000000u | 8 << 11 | 0x10);
  bus_write_port (bench.host.bus, 0xcfc, 4, IO);
  bus_write_port (bench.host.bus, 0xcf8, 4, 0x80000000u | 8 << 11 | 0x04);
  bus_write_port (bench.host.bus, 0xcfc, 2, 5);
  bus_write_port (bench.host.bus, IO + 0x08, 4, RING >> 12);
  bus_write_port (bench.host.bus, IO + 0x12, 1, 7);
  fuzz_chip (&bench, device, &chip, bytes, n_bytes);
  ((Device *) device)->klass->finish ((Device *) device);
  bench_free (&bench, pci_bus_device (pci));
  return 0;
}
