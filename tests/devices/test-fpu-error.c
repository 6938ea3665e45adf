/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fpu-error.h"
#include "physical-memory.h"

#include <glib.h>

static bool irq, ignne;

static void
set (void *data, unsigned input, bool level)
{
  *(bool *) data = level;
}

static void
test_protocol (void)
{
  Bus *bus = bus_new ();
  DeviceHost host = { bus, NULL, NULL };
  FpuError *latch;
  Device *device;

  g_assert_cmpint (fpu_error_new (&host, (IrqLine) { set, &irq, 0 }, (IrqLine) { set, &ignne, 0 }, &latch), ==, 0);
  device = fpu_error_device (latch);
  device->klass->reset (device);
  fpu_error_set_ferr (latch, 0, true);
  g_assert_true (irq);
  g_assert_false (ignne);
  /* The handler writes F0h: the interrupt falls at once, errors are ignored until FERR# falls. */
  bus_write_port (bus, 0xf0, 1, 0);
  g_assert_false (irq);
  g_assert_true (ignne);
  fpu_error_set_ferr (latch, 0, false);
  g_assert_false (ignne);
  /* Without an error the write does nothing, and F1h never does. */
  bus_write_port (bus, 0xf0, 1, 0);
  g_assert_false (ignne);
  fpu_error_set_ferr (latch, 0, true);
  bus_write_port (bus, 0xf1, 1, 0);
  g_assert_true (irq);
  device->klass->reset (device);
  g_assert_false (irq);
  device->klass->finish (device);
  bus_free (bus);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fpu-error/ferr-irq13-ignne", test_protocol);
  return g_test_run ();
}
