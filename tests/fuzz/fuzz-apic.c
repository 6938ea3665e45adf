/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Local APIC, I/O APIC and PIC, wired as on the board. */
#include "chip-fuzz.h"
#include "io-apic.h"
#include "local-apic.h"
#include "pic.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes);

static LocalApic *apic;
static IoApic    *io;
static Pic       *pic;

static int
acknowledge_pic (void *nothing)
{
  return pic_acknowledge (pic);
}

static void
int_fans_out (void *nothing, unsigned input, bool level)
{
  local_apic_set_lint (apic, LOCAL_APIC_LINT0, level);
  if (io)
    io_apic_set_irq (io, 0, level);
}

static void
other (Bench *bench, FuzzInput *input, unsigned choice)
{
  unsigned irq;
  int      vector;

  switch (choice & 7)
    {
    case 0: case 1:
      vector = local_apic_acknowledge (apic);
      g_assert_cmpint (vector, >=, -1);
      g_assert_cmpint (vector, <=, 255);
      break;
    case 2: case 3: case 4:
      irq = fuzz_byte (input) & 31;
      pic_set_irq (pic, irq, choice & 8);
      io_apic_set_irq (io, irq == 0 ? 2 : irq, choice & 8);
      break;
    case 5:
      local_apic_set_lint (apic, fuzz_byte (input) & 3, choice & 8);
      break;
    case 6:
      local_apic_set_base (apic, choice & 8 ? 0xfee00900 : fuzz_word (input));
      break;
    default:
      fuzz_restore ((Device *) io, input);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n_bytes)
{
  static const uint16_t ports[] = { 0x20, 2, 0xa0, 2, 0x4d0, 2, 0, 0 };
  static const uint64_t memory[] = { 0xfee00000, 0x400, 0xfec00000, 0x20, 0, 0 };
  static const FuzzChip chip = { ports, memory, other };
  LocalApicWires wires = { .pic_acknowledge = acknowledge_pic };
  FakeLine       lines[4] = { { 0 } };
  Bench          bench = bench_new (0);

  if (n_bytes && (bytes[0] & 0x80))
    clock_set_fuzz (bench.host.clock, 1 + bytes[0] * 1000u, bytes[0]);
  wires.interrupt = fake_line (&lines[0]);
  wires.nmi = fake_line (&lines[1]);
  wires.smi = fake_line (&lines[2]);
  wires.init = fake_line (&lines[3]);
  io = NULL;
  g_assert_cmpint (local_apic_new (&bench.host, &wires, &apic), ==, 0);
  g_assert_cmpint (pic_new (&bench.host, (IrqLine) { int_fans_out, NULL, 0 }, &pic), ==, 0);
  g_assert_cmpint (io_apic_new (&bench.host, local_apic_deliver, apic, &io), ==, 0);
  local_apic_connect_io_apic (apic, io_apic_eoi, io);
  fuzz_chip (&bench, apic, &chip, bytes, n_bytes);
  ((Device *) io)->klass->finish ((Device *) io);
  ((Device *) pic)->klass->finish ((Device *) pic);
  bench_free (&bench, apic);
  return 0;
}
