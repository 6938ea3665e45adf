/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PCI configuration mechanism 1, BARs, interrupt wires; i440FX PAM and SMRAM; PIIX3; PIIX4 power management; fw_cfg. */
#include "fw-cfg.h"
#include "guest-memory.h"
#include "i440fx.h"
#include "pci-bus.h"
#include "physical-memory.h"
#include "piix3.h"
#include "piix4-pm.h"
#include "virtual-clock.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

typedef struct
{
  Device      parent;
  PciFunction pci[1];
  uint8_t     bytes[64];
  unsigned    n_mapped, n_config;
} Card;

typedef struct
{
  Bus         *bus;
  GuestMemory *memory;
  Clock       *clock;
  DeviceHost   host;
  PciBus      *pci;
  I440fx      *bridge;
  Piix3       *isa;
  Piix4Pm     *pm;
  FwCfg       *fw_cfg;
  Card         card;
  uint32_t     rom;
  unsigned     isa_levels;
  unsigned     n_resets, n_smis, n_offs;
  bool         sci;
} Fixture;

static void
set_isa (void *data, unsigned irq, bool level)
{
  Fixture *f = data;

  f->isa_levels = level ? f->isa_levels | 1u << irq : f->isa_levels & ~(1u << irq);
}

static void
count (void *data, unsigned input, bool level)
{
  *(unsigned *) data += level;
}

static void
set_sci (void *data, unsigned input, bool level)
{
  *(bool *) data = level;
}

static uint64_t
card_read (Device *device, uint32_t offset, unsigned size)
{
  return ((Card *) device)->bytes[offset];
}

static void
card_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  ((Card *) device)->bytes[offset] = (uint8_t) value;
}

static const BusRegion card_io = { "card-io", BUS_SIZE_1, card_read, card_write };
static const BusRegion card_memory = { "card-memory", BUS_SIZE_1, card_read, card_write };

static void
card_mapped (Device *device, unsigned bar, bool mapped, uint32_t address)
{
  ((Card *) device)->n_mapped++;
}

static void
card_config (Device *device, unsigned offset, unsigned n_bytes, const uint8_t *old_bytes)
{
  ((Card *) device)->n_config++;
}

static void
setup (Fixture *f, gconstpointer data)
{
  IrqLine isa[16], pirqs[4];

  f->bus = bus_new ();
  f->memory = guest_memory_new (2 << 20, 1 << 20, -1, f->bus);
  f->clock = clock_new (CLOCK_MANUAL, NULL);
  clock_start (f->clock);
  f->host = (DeviceHost) { f->bus, f->memory, f->clock };
  for (unsigned i = 0; i < 16; i++)
    isa[i] = (IrqLine) { set_isa, f, i };
  g_assert_cmpint (piix3_new (&f->host, isa, (IrqLine) { count, &f->n_resets, 0 }, &f->isa), ==, 0);
  for (unsigned i = 0; i < 4; i++)
    pirqs[i] = (IrqLine) { piix3_set_pirq, f->isa, i };
  g_assert_cmpint (pci_bus_new (&f->host, pirqs, piix3_device (f->isa), &piix3_reset_control, &f->pci), ==, 0);
  g_assert_cmpint (guest_memory_allocate (f->memory, "rom", 128 << 10, &f->rom), ==, 0);
  memset (guest_memory_backing (f->memory, f->rom), 'R', 128 << 10);
  g_assert_cmpint (i440fx_new (&f->host, f->pci, f->rom, &f->bridge), ==, 0);
  g_assert_cmpint (piix3_attach (f->isa, f->pci, 8), ==, 0);
  g_assert_cmpint (piix4_pm_new (&f->host, f->pci, 11, (IrqLine) { set_sci, &f->sci, 0 }, (IrqLine) { count, &f->n_smis, 0 },
                                 (IrqLine) { count, &f->n_offs, 0 }, &f->pm), ==, 0);
  g_assert_cmpint (fw_cfg_new (&f->host, &f->fw_cfg), ==, 0);
  pci_function_setup (&f->card.pci[0], &f->card.parent, "card", 0x1234, 0x5678, 0x020000, 1, 1);
  f->card.pci[0].bars[0] = (PciBar) { PCI_BAR_IO, 64, &card_io };
  f->card.pci[0].bars[1] = (PciBar) { PCI_BAR_MEMORY, 64, &card_memory };
  f->card.pci[0].bar_mapped = card_mapped;
  f->card.pci[0].config_written = card_config;
  g_assert_cmpint (pci_bus_add (f->pci, 4 << 3, &f->card.pci[0]), ==, 0);
  i440fx_device (f->bridge)->klass->reset (i440fx_device (f->bridge));
  piix3_device (f->isa)->klass->reset (piix3_device (f->isa));
  piix4_pm_device (f->pm)->klass->reset (piix4_pm_device (f->pm));
}

static void
teardown (Fixture *f, gconstpointer data)
{
  Device *devices[] = { fw_cfg_device (f->fw_cfg), piix4_pm_device (f->pm), i440fx_device (f->bridge), pci_bus_device (f->pci),
                        piix3_device (f->isa) };

  for (unsigned i = 0; i < G_N_ELEMENTS (devices); i++)
    devices[i]->klass->finish (devices[i]);
  clock_free (f->clock);
  guest_memory_free (f->memory);
  bus_free (f->bus);
}

static uint32_t
config_read (Fixture *f, unsigned devfn, unsigned offset, unsigned size)
{
  bus_write_port (f->bus, 0xcf8, 4, 0x80000000u | devfn << 8 | (offset & 0xfc));
  return bus_read_port (f->bus, (uint16_t) (0xcfc + (offset & 3)), size);
}

static void
config_write (Fixture *f, unsigned devfn, unsigned offset, unsigned size, uint32_t value)
{
  bus_write_port (f->bus, 0xcf8, 4, 0x80000000u | devfn << 8 | (offset & 0xfc));
  bus_write_port (f->bus, (uint16_t) (0xcfc + (offset & 3)), size, value);
}

static void
test_mechanism (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (config_read (f, 0, 0, 4), ==, 0x12378086);
  g_assert_cmphex (config_read (f, 8, 0, 2), ==, 0x8086);
  g_assert_cmphex (config_read (f, 8, 2, 2), ==, 0x7000);
  g_assert_cmphex (config_read (f, 11, 0, 4), ==, 0x71138086);
  g_assert_cmphex (config_read (f, 8, PCI_HEADER_TYPE, 1), ==, 0x80);
  g_assert_cmphex (config_read (f, 5 << 3, 0, 4), ==, 0xffffffff);
  /* Another bus, and the enable bit off. */
  bus_write_port (f->bus, 0xcf8, 4, 0x80010000);
  g_assert_cmphex (bus_read_port (f->bus, 0xcfc, 4), ==, 0xffffffff);
  bus_write_port (f->bus, 0xcf8, 4, 0);
  g_assert_cmphex (bus_read_port (f->bus, 0xcfc, 4), ==, 0xffffffff);
  /* A byte write to CF8h is not the address register's. */
  bus_write_port (f->bus, 0xcf8, 4, 0x80000000);
  bus_write_port (f->bus, 0xcf8, 1, 0x55);
  g_assert_cmphex (bus_read_port (f->bus, 0xcf8, 4), ==, 0x80000000);
  /* Ids are read-only. */
  config_write (f, 0, 0, 4, 0);
  g_assert_cmphex (config_read (f, 0, 0, 4), ==, 0x12378086);
}

static void
test_bars (Fixture *f, gconstpointer data)
{
  config_write (f, 32, PCI_BAR0, 4, 0xffffffff);
  g_assert_cmphex (config_read (f, 32, PCI_BAR0, 4), ==, 0xffffffc1);
  config_write (f, 32, PCI_BAR0 + 4, 4, 0xffffffff);
  g_assert_cmphex (config_read (f, 32, PCI_BAR0 + 4, 4), ==, 0xffffffc0);
  config_write (f, 32, PCI_BAR0 + 8, 4, 0xffffffff);
  g_assert_cmphex (config_read (f, 32, PCI_BAR0 + 8, 4), ==, 0);
  config_write (f, 32, PCI_BAR0, 4, 0xc000);
  f->card.bytes[3] = 0x42;
  g_assert_cmphex (bus_read_port (f->bus, 0xc003, 1), ==, 0xff);
  config_write (f, 32, PCI_COMMAND, 2, PCI_COMMAND_IO);
  g_assert_cmphex (bus_read_port (f->bus, 0xc003, 1), ==, 0x42);
  config_write (f, 32, PCI_BAR0, 4, 0xd000);
  g_assert_cmphex (bus_read_port (f->bus, 0xc003, 1), ==, 0xff);
  g_assert_cmphex (bus_read_port (f->bus, 0xd003, 1), ==, 0x42);
  config_write (f, 32, PCI_BAR0 + 4, 4, 0xe0000000);
  config_write (f, 32, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
  g_assert_cmphex (bus_read_memory (f->bus, 0xe0000003, 1), ==, 0x42);
  pci_function_reset (&f->card.pci[0]);
  g_assert_cmphex (bus_read_port (f->bus, 0xd003, 1), ==, 0xff);
  g_assert_cmphex (bus_read_memory (f->bus, 0xe0000003, 1), ==, 0xff);
  g_assert_cmphex (config_read (f, 32, PCI_BAR0, 4), ==, 1);
}

/* A BAR over somebody else's ports: no crash, the other keeps them. */
static void
test_bar_conflict (Fixture *f, gconstpointer data)
{
  config_write (f, 32, PCI_BAR0, 4, 0xcc0);
  config_write (f, 32, PCI_COMMAND, 2, PCI_COMMAND_IO);
  g_assert_cmphex (config_read (f, 0, 0, 4), ==, 0x12378086);
  config_write (f, 32, PCI_BAR0, 4, 0xffffffc0);
  config_write (f, 32, PCI_BAR0, 4, 0xe000);
  f->card.bytes[0] = 7;
  g_assert_cmphex (bus_read_port (f->bus, 0xe000, 1), ==, 7);
}

static void
test_pirq_routing (Fixture *f, gconstpointer data)
{
  /* Slot 4, INTA: PIRQD. */
  config_write (f, 8, 0x63, 1, 11);
  pci_function_set_irq (&f->card.pci[0], true);
  g_assert_cmphex (f->isa_levels, ==, 1 << 11);
  config_write (f, 8, 0x63, 1, 10);
  g_assert_cmphex (f->isa_levels, ==, 1 << 10);
  config_write (f, 8, 0x63, 1, 0x8a);
  g_assert_cmphex (f->isa_levels, ==, 0);
  config_write (f, 8, 0x63, 1, 0);      /* IRQ0 is reserved */
  g_assert_cmphex (f->isa_levels, ==, 0);
  config_write (f, 8, 0x63, 1, 5);
  pci_function_set_irq (&f->card.pci[0], false);
  g_assert_cmphex (f->isa_levels, ==, 0);
}

static void
test_reset_control (Fixture *f, gconstpointer data)
{
  bus_write_port (f->bus, 0xcf9, 1, 2);
  g_assert_cmpuint (f->n_resets, ==, 0);
  bus_write_port (f->bus, 0xcf9, 1, 6);
  g_assert_cmpuint (f->n_resets, ==, 1);
}

static uint8_t
peek (Fixture *f, uint32_t address)
{
  uint8_t byte = 0;

  guest_memory_read (f->memory, address, &byte, 1);
  return byte;
}

static void
test_pam (Fixture *f, gconstpointer data)
{
  uint8_t byte = 'r';

  g_assert_cmpint (peek (f, 0xf0000), ==, 'R');
  g_assert_cmpint (peek (f, 0xe0000), ==, 'R');
  g_assert_cmphex (peek (f, 0xc8000), ==, 0xff);
  config_write (f, 0, 0x59, 1, 0x20);           /* F0000h: write only */
  g_assert_cmpint (guest_memory_write (f->memory, 0xf1234, &byte, 1), ==, 0);
  g_assert_cmpint (peek (f, 0xf1234), ==, 'R');
  config_write (f, 0, 0x59, 1, 0x10);           /* read only */
  g_assert_cmpint (peek (f, 0xf1234), ==, 'r');
  byte = 'x';
  g_assert_cmpint (guest_memory_write (f->memory, 0xf1234, &byte, 1), ==, -EFAULT);
  config_write (f, 0, 0x5a, 1, 0x03);           /* C0000h both, C4000h neither */
  g_assert_cmpint (guest_memory_write (f->memory, 0xc0000, &byte, 1), ==, 0);
  g_assert_cmpint (guest_memory_write (f->memory, 0xc4000, &byte, 1), ==, -EFAULT);
}

static void
test_smram (Fixture *f, gconstpointer data)
{
  uint8_t byte = 's';

  guest_memory_map (f->memory, 0xa0000, 0x20000, GUEST_PAGE_NONE, GUEST_PAGE_NONE);
  config_write (f, 0, 0x72, 1, 0x4a);           /* open */
  g_assert_cmpint (guest_memory_write (f->memory, 0xa8000, &byte, 1), ==, 0);
  config_write (f, 0, 0x72, 1, 0x0a);           /* closed, enabled: only SMM sees it */
  g_assert_cmphex (peek (f, 0xa8000), ==, 0xff);
  i440fx_smm_changed (f->bridge, true);
  g_assert_cmpint (peek (f, 0xa8000), ==, 's');
  i440fx_smm_changed (f->bridge, false);
  g_assert_cmphex (peek (f, 0xa8000), ==, 0xff);
  config_write (f, 0, 0x72, 1, 0x1a);           /* locked */
  config_write (f, 0, 0x72, 1, 0x4a);
  g_assert_cmphex (peek (f, 0xa8000), ==, 0xff);
  g_assert_cmphex (config_read (f, 0, 0x72, 1), ==, 0x1a);
}

static void
enable_pm (Fixture *f)
{
  config_write (f, 11, 0x40, 4, 0x601);
  config_write (f, 11, 0x80, 1, 1);
}

static void
test_pm_smi_handshake (Fixture *f, gconstpointer data)
{
  bus_write_port (f->bus, 0xb3, 1, 1);
  bus_write_port (f->bus, 0xb2, 1, 0);
  g_assert_cmpuint (f->n_smis, ==, 0);
  config_write (f, 11, 0x58, 4, 1u << 25);
  bus_write_port (f->bus, 0xb2, 1, 0);
  g_assert_cmpuint (f->n_smis, ==, 1);
  g_assert_cmphex (bus_read_port (f->bus, 0xb3, 1), ==, 1);
}

static void
test_pm_timer (Fixture *f, gconstpointer data)
{
  uint32_t before;

  enable_pm (f);
  before = bus_read_port (f->bus, 0x608, 4);
  clock_advance (f->clock, CLOCK_NS_PER_SECOND);
  g_assert_cmpuint (bus_read_port (f->bus, 0x608, 4) - before, ==, 3579545);
  bus_write_port (f->bus, 0x608, 4, 0);
  g_assert_cmpuint (bus_read_port (f->bus, 0x608, 4) - before, ==, 3579545);
}

static void
test_pm_power_button (Fixture *f, gconstpointer data)
{
  enable_pm (f);
  g_assert_false (piix4_pm_power_button (f->pm));
  bus_write_port (f->bus, 0x600, 2, 0xffff);
  bus_write_port (f->bus, 0xb2, 1, PIIX4_PM_ACPI_ENABLE);
  g_assert_cmphex (bus_read_port (f->bus, 0x604, 2) & 1, ==, 1);
  bus_write_port (f->bus, 0x602, 2, 1 << 8);
  g_assert_false (f->sci);
  g_assert_true (piix4_pm_power_button (f->pm));
  g_assert_true (f->sci);
  bus_write_port (f->bus, 0x600, 2, 1 << 8);
  g_assert_false (f->sci);
}

static void
test_pm_soft_off (Fixture *f, gconstpointer data)
{
  enable_pm (f);
  bus_write_port (f->bus, 0x604, 2, 5 << 10 | 1 << 13);
  g_assert_cmpuint (f->n_offs, ==, 0);
  bus_write_port (f->bus, 0x604, 2, 1 << 13);
  g_assert_cmpuint (f->n_offs, ==, 1);
}

static void
test_pm_restore_refuses (Fixture *f, gconstpointer data)
{
  StateBuffer buffer = { 0 };
  Device *pm = piix4_pm_device (f->pm);

  enable_pm (f);
  state_save (pm->klass->state, pm, &buffer);
  pm->klass->reset (pm);
  g_assert_cmphex (bus_read_port (f->bus, 0x604, 2), ==, 0xffff);
  g_assert_cmpint (state_restore (pm->klass->state, pm, buffer.bytes, buffer.length), >, 0);
  g_assert_cmphex (bus_read_port (f->bus, 0x604, 2), ==, 0);
  state_buffer_clear (&buffer);
}

static void
test_fw_cfg_ports (Fixture *f, gconstpointer data)
{
  char text[5] = "";

  bus_write_port (f->bus, 0x510, 2, FW_CFG_SIGNATURE);
  for (unsigned i = 0; i < 4; i++)
    text[i] = (char) bus_read_port (f->bus, 0x511, 1);
  g_assert_cmpstr (text, ==, "QEMU");
  g_assert_cmphex (bus_read_port (f->bus, 0x511, 1), ==, 0);
  /* Architecture-local item 0 is not the signature. */
  bus_write_port (f->bus, 0x510, 2, 0x8000);
  g_assert_cmphex (bus_read_port (f->bus, 0x511, 1), ==, 0);
  bus_write_port (f->bus, 0x510, 2, 0x7fff);
  g_assert_cmphex (bus_read_port (f->bus, 0x511, 1), ==, 0);
  g_assert_cmpint (fw_cfg_add_item (f->fw_cfg, 0x1000, "x", 1), ==, -EINVAL);
}

static void
test_fw_cfg_dma (Fixture *f, gconstpointer data)
{
  uint8_t request[16] = { 0 }, back[8];
  int number;

  g_assert_cmpint (fw_cfg_add_file (f->fw_cfg, "etc/test", "abcdef", 6), ==, 0);
  number = fw_cfg_file_number (f->fw_cfg, "etc/test");
  g_assert_cmpint (number, >=, FW_CFG_FIRST_FILE);
  request[1] = (uint8_t) number;
  request[3] = 0x0a;
  request[7] = 8;
  request[14] = 0x20;
  guest_memory_write (f->memory, 0x1000, request, sizeof request);
  bus_write_port (f->bus, 0x518, 4, 0x00100000);
  guest_memory_read (f->memory, 0x2000, back, 8);
  g_assert_cmpmem (back, 8, "abcdef\0\0", 8);
  guest_memory_read (f->memory, 0x1000, back, 4);
  g_assert_cmpmem (back, 4, "\0\0\0\0", 4);
  /* Four gigabytes to where no memory is: ends at once. */
  memset (request + 4, 0xff, 12);
  guest_memory_write (f->memory, 0x1000, request, sizeof request);
  bus_write_port (f->bus, 0x518, 4, 0x00100000);
  /* A request where there is no memory is ignored. */
  bus_write_port (f->bus, 0x514, 4, 0xffffffff);
  bus_write_port (f->bus, 0x518, 4, 0xffffffff);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, function) g_test_add (path, Fixture, NULL, setup, function, teardown)
  ADD ("/pci/mechanism-1", test_mechanism);
  ADD ("/pci/bars/sizing-and-moving", test_bars);
  ADD ("/pci/bars/conflict", test_bar_conflict);
  ADD ("/pci/piix3/pirq-routing", test_pirq_routing);
  ADD ("/pci/piix3/reset-control", test_reset_control);
  ADD ("/pci/i440fx/pam", test_pam);
  ADD ("/pci/i440fx/smram", test_smram);
  ADD ("/pci/piix4/smi-handshake", test_pm_smi_handshake);
  ADD ("/pci/piix4/timer", test_pm_timer);
  ADD ("/pci/piix4/power-button", test_pm_power_button);
  ADD ("/pci/piix4/soft-off", test_pm_soft_off);
  ADD ("/pci/piix4/restore", test_pm_restore_refuses);
  ADD ("/fw-cfg/ports", test_fw_cfg_ports);
  ADD ("/fw-cfg/dma", test_fw_cfg_dma);
#undef ADD
  return g_test_run ();
}
