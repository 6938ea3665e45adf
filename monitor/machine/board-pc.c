/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The board: every chip, every address, every wire.  Nothing else knows them.
 *
 *   slot   0 i440FX    1.0 PIIX3   1.1 IDE   1.3 power management   2 VGA   3 network   8 … 11 shared folders
 *   IRQ    0 timer  1 keyboard  2 cascade  3 COM2  4 COM1  5,10,11 PCI  6 floppy  7 LPT1  8 clock  9 ACPI  12 mouse
 *          13 FPU  14,15 IDE
 *   DMA    2 floppy
 *
 * An ISA interrupt line is one wire that reaches the PICs and the I/O APIC; PIRQs may be steered onto it, so two
 * sources can hold it high.  The timer is input 0 of the PIC and input 2 of the I/O APIC. */
#include "machine-private.h"

#include "debug-port.h"
#include "dma.h"
#include "fdc.h"
#include "firmware.h"
#include "fpu-error.h"
#include "fw-cfg.h"
#include "guest-memory.h"
#include "i440fx.h"
#include "i8042.h"
#include "ide-pci.h"
#include "ide.h"
#include "io-apic.h"
#include "keyboard-text.h"
#include "local-apic.h"
#include "parallel.h"
#include "pci-bus.h"
#include "pic.h"
#include "piix3.h"
#include "piix4-pm.h"
#include "pit.h"
#include "port92.h"
#include "ps2-keyboard.h"
#include "ps2-mouse.h"
#include "rtc.h"
#include "rtl8139.h"
#include "speaker.h"
#include "uart16550.h"
#include "vga.h"
#include "virtio-9p.h"
#include "vmmouse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
  DEVFN_HOST_BRIDGE = 0 << 3, DEVFN_ISA = 1 << 3, DEVFN_IDE = 1 << 3 | 1, DEVFN_PM = 1 << 3 | 3, DEVFN_VGA = 2 << 3,
  DEVFN_NETWORK = 3 << 3, DEVFN_FOLDERS = 8 << 3,
  FIRMWARE_LOW_BYTES = 128 << 10,       /* what shows at E0000h … FFFFFh */
  MAX_DEVICES = 48,
};

struct Board
{
  Device     parent;                    /* the wires themselves have state */
  Machine   *machine;
  DeviceHost host;
  Device    *devices[MAX_DEVICES];      /* in the order of reset and of the state file */
  unsigned   n_devices;

  PciBus      *pci;
  I440fx      *i440fx;
  Piix3       *piix3;
  Piix4Pm     *pm;
  Pic         *pic;
  LocalApic   *local_apic;
  IoApic      *io_apic;
  FpuError    *fpu_error;
  Pit         *pit;
  Speaker     *speaker;
  Rtc         *rtc;
  Dma         *dma;
  Port92      *port92;
  I8042       *i8042;
  Ps2Keyboard *keyboard;
  Ps2Mouse    *mouse;
  VmMouse     *vmmouse;
  KeyboardText *typer;
  Uart        *serials[MACHINE_N_SERIALS];
  Parallel    *parallel;
  Fdc         *fdc;
  IdeChannel  *ide[2];
  IdePci      *ide_pci;
  Vga         *vga;
  Rtl8139     *network;
  Virtio9p    *folders[MACHINE_N_FOLDERS];
  FwCfg       *fw_cfg;
  DebugPort   *debug;

  uint32_t     firmware_page, n_firmware_pages;
  uint8_t      isa_levels[16];          /* who holds each line: ISA_BY_DEVICE, ISA_BY_PIRQ */
};

enum { ISA_BY_DEVICE = 1, ISA_BY_PIRQ = 2 };

/* --- wires ----------------------------------------------------------------------------------------------------- */

static void
set_isa_line (Board *self, unsigned irq, unsigned who, bool level)
{
  bool before = self->isa_levels[irq] != 0, after;

  self->isa_levels[irq] = (uint8_t) (level ? self->isa_levels[irq] | who : self->isa_levels[irq] & ~who);
  after = self->isa_levels[irq] != 0;
  if (before == after)
    return;
  pic_set_irq (self->pic, irq, after);
  io_apic_set_irq (self->io_apic, irq == 0 ? 2 : irq, after);
}

static void
isa_irq (void *board, unsigned irq, bool level)
{
  set_isa_line (board, irq, ISA_BY_DEVICE, level);
}

static void
pirq_to_isa (void *board, unsigned irq, bool level)
{
  set_isa_line (board, irq, ISA_BY_PIRQ, level);
}

static IrqLine
irq_line (Board *self, unsigned irq)
{
  return (IrqLine) { isa_irq, self, irq };
}

static void
full_reset (void *machine, unsigned input, bool level)
{
  if (level)
    machine_want_reset (machine);
}

/* The keyboard controller's and port 92h's reset reach the processor only (INIT#).  Firmware that finds no request in
 * the CMOS shutdown byte then resets everything; guests that left it nothing to find would hang, so do it for them. */
static void
processor_reset (void *board, unsigned input, bool level)
{
  Board *self = board;

  if (!level)
    return;
  if (board_soft_reset_wanted (self))
    cpu_pulse_init (self->machine->cpu, 0, true);
  else
    machine_want_reset (self->machine);
}

bool
board_soft_reset_wanted (Board *self)
{
  uint8_t code = rtc_get_cmos (self->rtc, CMOS_SHUTDOWN);

  return code == 0x05 || code == 0x09 || code == 0x0a;
}

static void
power_off (void *machine, unsigned input, bool level)
{
  if (level)
    machine_want_end (machine, MACHINE_END_POWER_OFF, 0);
}

static void
exit_port_written (void *machine, uint32_t value)
{
  machine_want_end (machine, MACHINE_END_EXIT_PORT, value);
}

static int
acknowledge_pic (void *board)
{
  return pic_acknowledge (((Board *) board)->pic);
}

static void
apic_base_written (void *local_apic, uint64_t base)
{
  local_apic_set_base (local_apic, base);
}

static size_t
fdc_dma_transfer (void *dma, unsigned channel, bool to_memory, void *bytes, size_t n_bytes, bool *terminal_count)
{
  return dma_channel_transfer (dma, channel, to_memory ? DMA_TO_MEMORY : DMA_FROM_MEMORY, bytes, n_bytes, terminal_count);
}

static void
fdc_dma_request (void *dma, unsigned channel, bool level)
{
  dma_channel_set_request (dma, channel, level);
}

/* --- building -------------------------------------------------------------------------------------------------- */

static bool __attribute__ ((format (printf, 2, 3)))
refuse (char **ret_error, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  if (vasprintf (ret_error, format, arguments) < 0)
    *ret_error = NULL;
  va_end (arguments);
  return false;
}

/* Registers a device for reset, state and freeing; result is its constructor's, which stored it at `place`. */
static bool
added (Board *self, const char *name, int result, void *place, char **ret_error)
{
  if (result < 0)
    return refuse (ret_error, "%s: %s", name, strerror (-result));
  self->devices[self->n_devices++] = *(Device **) place;
  return true;
}

static bool
load_firmware (Board *self, char **ret_error)
{
  const MachineConfig *config = &self->machine->config;
  uint32_t n_pages = (uint32_t) (config->n_firmware / GUEST_PAGE_SIZE), low = FIRMWARE_LOW_BYTES / GUEST_PAGE_SIZE;
  GuestMemory *memory = self->host.memory;

  if (guest_memory_allocate (memory, "firmware", config->n_firmware, &self->firmware_page) < 0)
    return refuse (ret_error, "the firmware of %zu bytes is too large for the board", config->n_firmware);
  self->n_firmware_pages = n_pages;
  memcpy (guest_memory_backing (memory, self->firmware_page), config->firmware, config->n_firmware);
  guest_memory_map (memory, (1ull << 32) - config->n_firmware, config->n_firmware, self->firmware_page, GUEST_PAGE_NONE);
  if (n_pages < low)
    {
      /* A 64 KiB BIOS: E0000h … EFFFFh shows it too. */
      uint32_t whole;

      if (guest_memory_allocate (memory, "firmware-low", FIRMWARE_LOW_BYTES, &whole) < 0)
        return refuse (ret_error, "no room for the firmware");
      for (uint32_t at = 0; at < FIRMWARE_LOW_BYTES; at += (uint32_t) config->n_firmware)
        memcpy (guest_memory_backing (memory, whole) + at, config->firmware,
                config->n_firmware < FIRMWARE_LOW_BYTES - at ? config->n_firmware : FIRMWARE_LOW_BYTES - at);
      return added (self, "host bridge", i440fx_new (&self->host, self->pci, whole, &self->i440fx), &self->i440fx, ret_error);
    }
  return added (self, "host bridge", i440fx_new (&self->host, self->pci, self->firmware_page + n_pages - low, &self->i440fx),
                &self->i440fx, ret_error);
}

static bool
add_interrupts (Board *self, char **ret_error)
{
  Cpu *cpu = self->machine->cpu;
  LocalApicWires wires = {
    .interrupt = { cpu_set_interrupt_line, cpu, 0 }, .nmi = { cpu_set_nmi_line, cpu, 0 }, .smi = { cpu_set_smi_line, cpu, 0 },
    .init = { cpu_pulse_init, cpu, 0 }, .pic_acknowledge = acknowledge_pic, .pic = self,
  };

  if (!added (self, "local APIC", local_apic_new (&self->host, &wires, &self->local_apic), &self->local_apic, ret_error))
    return false;
  if (!added (self, "PIC", pic_new (&self->host, (IrqLine) { local_apic_set_lint, self->local_apic, LOCAL_APIC_LINT0 }, &self->pic),
              &self->pic, ret_error)
      || !added (self, "I/O APIC", io_apic_new (&self->host, local_apic_deliver, self->local_apic, &self->io_apic), &self->io_apic,
                 ret_error))
    return false;
  if (!added (self, "x87 error latch",
              fpu_error_new (&self->host, irq_line (self, 13), (IrqLine) { cpu_set_ignne_line, cpu, 0 }, &self->fpu_error),
              &self->fpu_error, ret_error))
    return false;
  local_apic_connect_io_apic (self->local_apic, io_apic_eoi, self->io_apic);
  cpu->lines.acknowledge = local_apic_acknowledge;
  cpu->lines.controller = self->local_apic;
  cpu->lines.apic_base_written = apic_base_written;
  cpu->lines.ferr = (IrqLine) { fpu_error_set_ferr, self->fpu_error, 0 };
  return true;
}

static bool
add_pci (Board *self, char **ret_error)
{
  IrqLine pirqs[4], isa[16], reset = { full_reset, self->machine, 0 };
  IrqLine smi = { cpu_set_smi_line, self->machine->cpu, 0 }, off = { power_off, self->machine, 0 };

  for (unsigned i = 0; i < 16; i++)
    isa[i] = (IrqLine) { pirq_to_isa, self, i };
  if (!added (self, "ISA bridge", piix3_new (&self->host, isa, reset, &self->piix3), &self->piix3, ret_error))
    return false;
  for (unsigned i = 0; i < 4; i++)
    pirqs[i] = (IrqLine) { piix3_set_pirq, self->piix3, i };
  if (!added (self, "PCI bus", pci_bus_new (&self->host, pirqs, piix3_device (self->piix3), &piix3_reset_control, &self->pci),
              &self->pci, ret_error)
      || !load_firmware (self, ret_error))
    return false;
  self->machine->cpu->lines.smm_changed = i440fx_smm_changed;
  self->machine->cpu->lines.smm_controller = self->i440fx;
  if (piix3_attach (self->piix3, self->pci, DEVFN_ISA) < 0)
    return refuse (ret_error, "ISA bridge: its slot is taken");
  return added (self, "power management",
                piix4_pm_new (&self->host, self->pci, DEVFN_PM, irq_line (self, PIIX4_PM_SCI_IRQ), smi, off, &self->pm), &self->pm,
                ret_error);
}

static bool
add_timers (Board *self, char **ret_error)
{
  const MachineConfig *config = &self->machine->config;

  return added (self, "timer", pit_new (&self->host, irq_line (self, 0), &self->pit), &self->pit, ret_error)
         && added (self, "speaker", speaker_new (&self->host, self->pit, config->sound, &self->speaker), &self->speaker, ret_error)
         && added (self, "clock", rtc_new (&self->host, irq_line (self, 8), config->rtc_unix_seconds, &self->rtc), &self->rtc, ret_error)
         && added (self, "DMA", dma_new (&self->host, &self->dma), &self->dma, ret_error);
}

static void
a20_moved (void *board, unsigned input, bool level)
{
  Board *self = board;

  cpu_set_a20_line (self->machine->cpu, 0, level);
  if (self->i8042)
    i8042_a20_moved (self->i8042, level);
}

static uint32_t
read_register (void *cpu, unsigned reg)
{
  return ((Cpu *) cpu)->regs[reg & 7];
}

static void
write_register (void *cpu, unsigned reg, uint32_t value)
{
  ((Cpu *) cpu)->regs[reg & 7] = value;
}

static bool
add_input (Board *self, char **ret_error)
{
  IrqLine a20 = { a20_moved, self, 0 }, reset = { processor_reset, self, 0 };
  IrqLine irq_1 = irq_line (self, 1), irq_12 = irq_line (self, 12), keyboard_a20;
  BackDoorRegisters registers = { read_register, write_register, self->machine->cpu };

  if (!added (self, "port 92h", port92_new (&self->host, a20, reset, &self->port92), &self->port92, ret_error)
      || !added (self, "keyboard", ps2_keyboard_new (&self->keyboard), &self->keyboard, ret_error)
      || !added (self, "mouse", ps2_mouse_new (&self->mouse), &self->mouse, ret_error))
    return false;
  keyboard_a20 = (IrqLine) { port92_follow_a20, self->port92, 0 };
  if (!added (self, "keyboard controller",
              i8042_new (&self->host, ps2_keyboard_port (self->keyboard), ps2_mouse_port (self->mouse), &irq_1, &irq_12, &keyboard_a20,
                         &reset, &self->i8042),
              &self->i8042, ret_error)
      || !added (self, "typing", keyboard_text_new (&self->host, self->keyboard, &self->typer), &self->typer, ret_error))
    return false;
  if (self->machine->config.undetectable)
    return true;
  return added (self, "back door", vmmouse_new (&self->host, &registers, self->mouse, &self->vmmouse), &self->vmmouse, ret_error);
}

static bool
add_ports (Board *self, char **ret_error)
{
  static const uint16_t serial_ports[MACHINE_N_SERIALS] = { 0x3f8, 0x2f8 };
  static const unsigned serial_irqs[MACHINE_N_SERIALS] = { 4, 3 };
  const MachineConfig *config = &self->machine->config;

  for (unsigned i = 0; i < MACHINE_N_SERIALS; i++)
    if (!added (self, "serial port",
                uart_new (&self->host, serial_ports[i], irq_line (self, serial_irqs[i]), config->serials[i], false, &self->serials[i]),
                &self->serials[i], ret_error))
      return false;
  if (!added (self, "parallel port", parallel_new (&self->host, 0x378, irq_line (self, 7), config->parallel, &self->parallel),
              &self->parallel, ret_error))
    return false;
  if (!config->debug && !config->exit_port)
    return true;
  return added (self, "debug port",
                debug_port_new (&self->host, config->debug, config->exit_port, exit_port_written, self->machine, &self->debug),
                &self->debug, ret_error);
}

/* --- firmware configuration ------------------------------------------------------------------------------------ */

static int
add_boot_order (Board *self)
{
  const MachineConfig *config = &self->machine->config;
  char text[1024];
  size_t n = 0;

  if (config->n_kernel)
    n += (size_t) snprintf (text + n, sizeof text - n, "/rom@" FIRMWARE_KERNEL_ROM "\n");
  for (unsigned i = 0; i < MACHINE_BOOT_ORDER_MAX && config->boot_order[i] != MACHINE_BOOT_NONE; i++)
    {
      if (config->boot_order[i] == MACHINE_BOOT_FLOPPY)
        n += (size_t) snprintf (text + n, sizeof text - n, "/pci@i0cf8/isa@1/fdc@03f0/floppy@0\n");
      for (unsigned slot = 0; config->boot_order[i] != MACHINE_BOOT_FLOPPY && slot < MACHINE_N_DISKS; slot++)
        if (config->disks[slot].present && config->disks[slot].is_cdrom == (config->boot_order[i] == MACHINE_BOOT_CDROM))
          n += (size_t) snprintf (text + n, sizeof text - n, "/pci@i0cf8/ide@1,1/drive@%u/disk@%u\n", slot / 2, slot % 2);
    }
  /* Only what is in the list is tried. */
  n += (size_t) snprintf (text + n, sizeof text - n, "HALT");
  return fw_cfg_add_file (self->fw_cfg, "bootorder", text, n + 1);
}

static bool
add_firmware_configuration (Board *self, char **ret_error)
{
  const MachineConfig *config = &self->machine->config;
  uint64_t ram_bytes = guest_memory_ram_bytes (self->host.memory);
  uint16_t one = 1, menu = config->boot_menu;
  const char *reason = NULL;
  static const unsigned families[N_CPU_MODELS] = { 0x0b, 0x0d, 0x11, 0xb9 };
  static const char *const names[N_CPU_MODELS] = { "Pentium", "Pentium II", "Pentium III", "Pentium M" };
  int result;

  if (!added (self, "fw_cfg", fw_cfg_new (&self->host, &self->fw_cfg), &self->fw_cfg, ret_error))
    return false;
  result = fw_cfg_add_item (self->fw_cfg, FW_CFG_RAM_SIZE, &ram_bytes, sizeof ram_bytes);
  if (result == 0)
    result = fw_cfg_add_item (self->fw_cfg, FW_CFG_N_CPUS, &one, sizeof one);
  if (result == 0)
    result = fw_cfg_add_item (self->fw_cfg, FW_CFG_MAX_CPUS, &one, sizeof one);
  if (result == 0)
    result = fw_cfg_add_item (self->fw_cfg, FW_CFG_BOOT_MENU, &menu, sizeof menu);
  if (result == 0)
    result = add_boot_order (self);
  if (result == 0)
    result = firmware_add_e820 (self->fw_cfg, ram_bytes);
  if (result == 0)
    result = firmware_add_acpi (self->fw_cfg, ram_bytes);
  if (result == 0)
    result = firmware_add_smbios (self->fw_cfg, ram_bytes, families[config->cpu_model], names[config->cpu_model]);
  if (result < 0)
    return refuse (ret_error, "firmware tables: %s", strerror (-result));
  if (config->n_kernel
      && firmware_add_kernel (self->fw_cfg, ram_bytes, config->kernel, config->n_kernel, config->initrd, config->n_initrd,
                              config->command_line, &reason) < 0)
    return refuse (ret_error, "--kernel: %s", reason);
  return true;
}

/* What setup programs of PCs store; SeaBIOS reads memory and floppies from here. */
static void
fill_cmos (Board *self)
{
  uint64_t ram_bytes = guest_memory_ram_bytes (self->host.memory);
  uint64_t extended = ram_bytes > 1 << 20 ? (ram_bytes - (1 << 20)) >> 10 : 0, high = ram_bytes > 16 << 20 ? (ram_bytes - (16 << 20)) >> 16 : 0;
  unsigned floppies = 0, equipment = 0x02 | 0x04;      /* FPU, PS/2 mouse */

  if (extended > 0xfc00)
    extended = 0xfc00;
  if (high > 0xffff)
    high = 0xffff;
  rtc_set_cmos (self->rtc, CMOS_BASE_MEMORY_KIB, 640 & 0xff);
  rtc_set_cmos (self->rtc, CMOS_BASE_MEMORY_KIB + 1, 640 >> 8);
  for (unsigned i = 0; i < 2; i++)
    {
      rtc_set_cmos (self->rtc, CMOS_EXTENDED_MEMORY_KIB + i, (uint8_t) (extended >> (8 * i)));
      rtc_set_cmos (self->rtc, CMOS_EXTENDED_MEMORY_KIB_2 + i, (uint8_t) (extended >> (8 * i)));
      rtc_set_cmos (self->rtc, CMOS_MEMORY_ABOVE_16_MIB + i, (uint8_t) (high >> (8 * i)));
      if (fdc_drive_kind (self->fdc, i) != FLOPPY_DRIVE_NONE)
        floppies++;
    }
  rtc_set_cmos (self->rtc, CMOS_FLOPPY_TYPES, (uint8_t) (fdc_drive_kind (self->fdc, 0) << 4 | fdc_drive_kind (self->fdc, 1)));
  if (floppies)
    equipment |= 1 | (floppies - 1) << 6;
  rtc_set_cmos (self->rtc, CMOS_EQUIPMENT, (uint8_t) equipment);
  rtc_checksum (self->rtc);
}

/* --- drives ---------------------------------------------------------------------------------------------------- */

static FloppyDriveKind
drive_for_image (const BlockBackend *image)
{
  FloppyGeometry geometry;

  if (image && floppy_geometry_of (image->n_bytes, &geometry) == 0 && geometry.density == FLOPPY_DENSITY_EXTRA)
    return FLOPPY_DRIVE_2880K;
  return FLOPPY_DRIVE_1440K;
}

static void
host_disk_full (void *board)
{
  machine_stall (((Board *) board)->machine);
}

void
board_retry_drives (Board *self)
{
  for (unsigned i = 0; i < 2; i++)
    ide_retry (self->ide[i]);
  fdc_retry (self->fdc);
}

static bool
add_floppies (Board *self, char **ret_error)
{
  const MachineConfig *config = &self->machine->config;
  DmaPort port = { fdc_dma_transfer, fdc_dma_request, self->dma };

  if (!added (self, "floppy controller", fdc_new (&self->host, irq_line (self, 6), 0x3f0, &port, 2, &self->fdc), &self->fdc, ret_error))
    return false;
  fdc_set_full_handler (self->fdc, host_disk_full, self);
  for (unsigned i = 0; i < config->n_floppy_drives && i < MACHINE_N_FLOPPIES; i++)
    {
      fdc_set_drive (self->fdc, i, drive_for_image (config->floppies[i]));
      if (config->floppies[i] && fdc_insert (self->fdc, i, config->floppies[i]) < 0)
        return refuse (ret_error, "floppy %u: an image of %llu bytes has no floppy format", i,
                       (unsigned long long) config->floppies[i]->n_bytes);
    }
  return true;
}

static bool
add_disks (Board *self, char **ret_error)
{
  static const uint16_t command_ports[2] = { 0x1f0, 0x170 }, control_ports[2] = { 0x3f6, 0x376 };
  const MachineConfig *config = &self->machine->config;
  int result = 0;

  for (unsigned i = 0; i < 2; i++)
    if (!added (self, "IDE channel",
                ide_channel_new (&self->host, irq_line (self, 14 + i), command_ports[i], control_ports[i], &self->ide[i]), &self->ide[i],
                ret_error))
      return false;
  for (unsigned i = 0; i < 2; i++)
    ide_set_full_handler (self->ide[i], host_disk_full, self);
  if (!added (self, "IDE", ide_pci_new (&self->host, self->pci, DEVFN_IDE, self->ide[0], self->ide[1], &self->ide_pci), &self->ide_pci,
              ret_error))
    return false;
  for (unsigned i = 0; i < MACHINE_N_DISKS && result == 0; i++)
    if (config->disks[i].present && config->disks[i].is_cdrom)
      {
        IdeDiskOptions options = { .model = "Bulkhead CD-ROM", .serial = "BHCD", .firmware = "1.0" };
        IdeDrive *drive;

        result = ide_attach_cdrom (self->ide[i / 2], i % 2, &options, &drive);
        if (result == 0 && config->disks[i].block)
          result = cdrom_insert (drive, config->disks[i].block);
      }
    else if (config->disks[i].present)
      {
        char serial[20];
        IdeDiskOptions options = { .model = "Bulkhead disk", .serial = serial, .firmware = "1.0" };

        snprintf (serial, sizeof serial, "BH%06u", i);
        result = ide_attach_disk (self->ide[i / 2], i % 2, config->disks[i].block, &options);
      }
  return result == 0 || refuse (ret_error, "IDE drive: %s", strerror (-result));
}

static bool
add_network (Board *self, char **ret_error)
{
  const MachineConfig *config = &self->machine->config;

  return !config->has_network
         || added (self, "network card",
                   rtl8139_new (&self->host, self->pci, DEVFN_NETWORK, config->network, config->mac, &self->network), &self->network, ret_error);
}

static bool
add_folders (Board *self, char **ret_error)
{
  const MachineConfig *config = &self->machine->config;

  for (unsigned i = 0; i < MACHINE_N_FOLDERS; i++)
    if (*config->folders[i].tag
        && !added (self, "shared folder",
                   virtio_9p_new (&self->host, self->pci, (uint8_t) (DEVFN_FOLDERS + (i << 3)), config->folders[i].tag,
                                  config->folders[i].far_end, &self->folders[i]), &self->folders[i], ret_error))
      return false;
  return true;
}

/* --- the wires as a device -------------------------------------------------------------------------------------- */

static void
wires_reset (Device *device)
{
  memset (((Board *) device)->isa_levels, 0, sizeof ((Board *) device)->isa_levels);
}

static void
wires_finish (Device *device)
{
}

static int
wires_check (Device *device)
{
  const Board *self = (Board *) device;

  for (unsigned i = 0; i < 16; i++)
    if (self->isa_levels[i] & ~(ISA_BY_DEVICE | ISA_BY_PIRQ))
      return -EBADMSG;
  return 0;
}

static const StateField wires_fields[] = {
  STATE_FIELD (Board, isa_levels, STATE_BYTES, 1),
  STATE_END,
};
static const StateTable wires_state = { "wires", 1, wires_fields, wires_check };
static const DeviceClass wires_class = { "wires", sizeof (Board), &wires_state, wires_reset, wires_finish };

/* --- life ------------------------------------------------------------------------------------------------------ */

Board *
board_new (Machine *machine, char **ret_error)
{
  Board *self = calloc (1, sizeof *self);
  const MachineConfig *config = &machine->config;
  Device *wires = &self->parent;

  if (!self)
    return NULL;
  self->machine = machine;
  self->host = (DeviceHost) { machine->bus, machine->memory, machine->clock };
  self->parent.klass = &wires_class;
  machine->board = self;
  if (added (self, "wires", 0, &wires, ret_error) && add_interrupts (self, ret_error) && add_pci (self, ret_error) && add_timers (self, ret_error) && add_input (self, ret_error)
      && add_ports (self, ret_error)
      && added (self, "VGA", vga_new (&self->host, self->pci, DEVFN_VGA, config->vga_firmware, config->n_vga_firmware, &self->vga),
                &self->vga, ret_error)
      && add_floppies (self, ret_error) && add_disks (self, ret_error) && add_network (self, ret_error) && add_folders (self, ret_error)
      && add_firmware_configuration (self, ret_error))
    {
      fill_cmos (self);
      return self;
    }
  board_free (self);
  machine->board = NULL;
  return NULL;
}

void
board_free (Board *self)
{
  if (!self)
    return;
  while (self->n_devices)
    {
      Device *device = self->devices[--self->n_devices];

      device->klass->finish (device);
    }
  free (self);
}

void
board_reset (Board *self)
{
  for (unsigned i = 0; i < self->n_devices; i++)
    self->devices[i]->klass->reset (self->devices[i]);
  cpu_reset (self->machine->cpu);
}

void
board_each_device (Board *self, void (*call) (Device *device, void *data), void *data)
{
  for (unsigned i = 0; i < self->n_devices; i++)
    call (self->devices[i], data);
}


/* --- the machine's front panel: machine.h ------------------------------------------------------------------------ */

char *
machine_screen_text (Machine *machine)
{
  char *text = malloc (VGA_TEXT_MAX_BYTES);

  if (text)
    {
      size_t n = vga_screen_text (machine->board->vga, text, VGA_TEXT_MAX_BYTES);
      char *smaller = realloc (text, n + 1);

      text = smaller ? smaller : text;
    }
  return text;
}

void
machine_screen_info (Machine *machine, MachineScreen *ret_screen)
{
  VgaScreenInfo info;

  vga_screen_info (machine->board->vga, &info);
  *ret_screen = (MachineScreen) { info.mode, info.width, info.height, info.columns, info.rows };
}

bool
machine_refresh (Machine *machine, DisplaySurface *surface)
{
  Board *self = machine->board;

  surface->header->mouse_absolute = machine_mouse_absolute (machine);
  surface->header->keyboard_leds = ps2_keyboard_leds (self->keyboard);
  return vga_refresh (self->vga, surface);
}

void
machine_key (Machine *machine, uint16_t evdev_code, bool down)
{
  ps2_keyboard_key (machine->board->keyboard, evdev_code, down);
}

void
machine_release_keys (Machine *machine)
{
  ps2_keyboard_release_all (machine->board->keyboard);
  ps2_mouse_move (machine->board->mouse, 0, 0, 0, 0);
}

bool
machine_mouse_absolute (Machine *machine)
{
  return machine->board->vmmouse && vmmouse_is_absolute (machine->board->vmmouse);
}

void
machine_mouse (Machine *machine, int dx, int dy, int dz, unsigned buttons)
{
  ps2_mouse_move (machine->board->mouse, dx, dy, dz, buttons);
}

void
machine_mouse_at (Machine *machine, unsigned x, unsigned y, int dz, unsigned buttons)
{
  if (machine_mouse_absolute (machine))
    vmmouse_move (machine->board->vmmouse, x, y, dz, buttons);
}

int
machine_type (Machine *machine, const char *utf8)
{
  return keyboard_text_type (machine->board->typer, utf8, strlen (utf8));
}

int
machine_key_combination (Machine *machine, const char *names)
{
  return keyboard_text_key (machine->board->typer, names);
}

bool
machine_power_button (Machine *machine)
{
  return piix4_pm_power_button (machine->board->pm);
}

int
machine_change_floppy (Machine *machine, unsigned slot, BlockBackend *block)
{
  Board *self = machine->board;

  if (slot >= MACHINE_N_FLOPPIES || fdc_drive_kind (self->fdc, slot) == FLOPPY_DRIVE_NONE)
    return -ENODEV;
  return fdc_insert (self->fdc, slot, block);
}

int
machine_change_cdrom (Machine *machine, unsigned slot, BlockBackend *block, bool force)
{
  Board *self = machine->board;

  for (unsigned i = 0; i < MACHINE_N_DISKS; i++)
    if (machine->config.disks[i].is_cdrom && slot-- == 0)
      {
        IdeDrive *drive = ide_channel_drive (self->ide[i / 2], i % 2);

        return block || force ? cdrom_insert (drive, block) : cdrom_eject (drive);
      }
  return -ENODEV;
}

BlockBackend *
machine_disk (Machine *machine, unsigned slot)
{
  return slot < MACHINE_N_DISKS && !machine->config.disks[slot].is_cdrom ? machine->config.disks[slot].block : NULL;
}

int
machine_change_disk (Machine *machine, unsigned slot, BlockBackend *block)
{
  int result;

  if (!machine_disk (machine, slot))
    return -ENODEV;
  result = ide_change_disk (ide_channel_drive (machine->board->ide[slot / 2], slot % 2), block);
  if (result == 0)
    machine->config.disks[slot].block = block;
  return result;
}

int
machine_plug_network (Machine *machine, PacketBackend *cable)
{
  if (!machine->board->network)
    return -ENODEV;
  rtl8139_plug (machine->board->network, cable);
  return 0;
}

int
machine_flush (Machine *machine)
{
  int result = 0;

  for (unsigned i = 0; i < MACHINE_N_DISKS; i++)
    {
      BlockBackend *block = machine->config.disks[i].is_cdrom ? NULL : machine->config.disks[i].block;
      int flushed = block && !block->read_only ? block_flush (block) : 0;

      result = result ? result : flushed;
    }
  for (unsigned i = 0; i < MACHINE_N_FLOPPIES; i++)
    {
      BlockBackend *block = fdc_image (machine->board->fdc, i);
      int flushed = block && !block->read_only ? block_flush (block) : 0;

      result = result ? result : flushed;
    }
  return result;
}
