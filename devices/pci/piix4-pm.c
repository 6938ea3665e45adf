/* SPDX-License-Identifier: GPL-3.0-or-later */
/* 82371AB PIIX4 power management (Intel 290562, chapters 7 and 11), as far as software can see it: configuration 40h
 * (PMBA), 58h (DEVACTB), 80h (PMREGMISC), 90h (SMBBA), D2h (SMBHSTCFG); the power management I/O block; the APM ports
 * B2h and B3h; an SMBus host without devices on its bus.
 *
 * ACPI_ENABLE and ACPI_DISABLE written to B2h set and clear SCI_EN at once: firmware's SMI handler does not do it. */
#include "piix4-pm.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
  PMBA = 0x40, DEVACTB = 0x58, PMREGMISC = 0x80, SMBBA = 0x90, SMBHSTCFG = 0xd2,
  DEVACTB_APMC_EN = 1 << 1,             /* bit 25 of the doubleword: byte 3, bit 1 */
  PM_BLOCK_BYTES = 64, SMB_BLOCK_BYTES = 16,

  PMSTS = 0x00, PMEN = 0x02, PMCNTRL = 0x04, PMTMR = 0x08, GPSTS = 0x0c, GPEN = 0x0e, PCNTRL = 0x10, GLBSTS = 0x18,
  GLBCTL = 0x28,
  PM_TMR = 1 << 0, PM_GLOBAL = 1 << 5, PM_POWER_BUTTON = 1 << 8, PM_RTC = 1 << 10, PM_RESUME = 1 << 15,
  PMSTS_BITS = PM_TMR | 1 << 4 | PM_GLOBAL | PM_POWER_BUTTON | PM_RTC | PM_RESUME,
  PMEN_BITS = PM_TMR | PM_GLOBAL | PM_POWER_BUTTON | PM_RTC,
  PMCNTRL_SCI_EN = 1 << 0, PMCNTRL_SUS_TYP = 7 << 10, PMCNTRL_SUS_EN = 1 << 13,
  GLBSTS_APM = 1 << 5,
  PM_TIMER_HZ = 3579545,
};

struct Piix4Pm
{
  Device      parent;
  DeviceHost  host;
  PciFunction pci[1];
  IrqLine     sci, smi, power_off;
  Timer      *overflow;
  uint8_t     block[PM_BLOCK_BYTES];    /* registers without a rule of their own, and those below by offset */
  uint8_t     apm_control, apm_status;
  uint8_t     smb[SMB_BLOCK_BYTES];
  uint16_t    pm_claimed, smb_claimed;  /* first port, 0: not decoded */
  uint8_t     sci_level;
};

static uint16_t
get16 (const Piix4Pm *self, unsigned offset)
{
  uint16_t value;

  memcpy (&value, self->block + offset, sizeof value);
  return value;
}

static void
set16 (Piix4Pm *self, unsigned offset, uint16_t value)
{
  memcpy (self->block + offset, &value, sizeof value);
}

static uint32_t
timer_value (const Piix4Pm *self)
{
  return (uint32_t) clock_ticks (clock_now_ns (self->host.clock), PM_TIMER_HZ);
}

/* The timer's status bit is set when bit 23 changes (11.2.5); a timer is needed only while somebody listens. */
static void
update_sci (Piix4Pm *self)
{
  uint16_t control = get16 (self, PMCNTRL), enable = get16 (self, PMEN);
  bool level = (control & PMCNTRL_SCI_EN) && ((get16 (self, PMSTS) & enable & PMEN_BITS) || (get16 (self, GPSTS) & get16 (self, GPEN)));

  if (level != self->sci_level)
    {
      self->sci_level = level;
      irq_line_set (&self->sci, level);
    }
  if (enable & PM_TMR && !(get16 (self, PMSTS) & PM_TMR))
    {
      uint64_t ticks = clock_ticks (clock_now_ns (self->host.clock), PM_TIMER_HZ);

      if (!timer_armed (self->overflow))
        timer_arm (self->overflow, clock_tick_ns ((ticks | 0x7fffff) + 1, PM_TIMER_HZ));
    }
  else
    timer_disarm (self->overflow);
}

static void
timer_overflowed (Device *device)
{
  Piix4Pm *self = (Piix4Pm *) device;

  set16 (self, PMSTS, get16 (self, PMSTS) | PM_TMR);
  update_sci (self);
}

static uint64_t
pm_read (Device *device, uint32_t offset, unsigned size)
{
  Piix4Pm *self = (Piix4Pm *) device;
  uint32_t value = 0;

  if (offset >= PMTMR && offset + size <= PMTMR + 4)
    return (timer_value (self) & 0xffffff) >> ((offset - PMTMR) * 8);
  memcpy (&value, self->block + offset, size);
  return value;
}

static void
write_byte (Piix4Pm *self, unsigned offset, uint8_t value)
{
  switch (offset)
    {
    case PMSTS: case PMSTS + 1:
    case GPSTS: case GPSTS + 1:
    case GLBSTS: case GLBSTS + 1:
      self->block[offset] &= (uint8_t) ~value;          /* write 1 to clear */
      break;
    case PMEN: case PMEN + 1:
      self->block[offset] = value & (uint8_t) (PMEN_BITS >> ((offset - PMEN) * 8));
      break;
    case PMCNTRL:
      /* SCI_EN belongs to the APM port. */
      self->block[offset] = (uint8_t) ((value & 0x06) | (self->block[offset] & PMCNTRL_SCI_EN));
      break;
    case PMCNTRL + 1:
      self->block[offset] = value & (uint8_t) (PMCNTRL_SUS_TYP >> 8);
      if (value & PMCNTRL_SUS_EN >> 8 && !(value & PMCNTRL_SUS_TYP >> 8))
        irq_line_pulse (&self->power_off);              /* SUS_TYP 0: soft off, as the DSDT's _S5 says */
      break;
    case PMTMR: case PMTMR + 1: case PMTMR + 2: case PMTMR + 3:
      break;
    default:
      self->block[offset] = value;
      break;
    }
}

static void
pm_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Piix4Pm *self = (Piix4Pm *) device;

  for (unsigned i = 0; i < size; i++)
    write_byte (self, offset + i, (uint8_t) (value >> (i * 8)));
  update_sci (self);
}

static uint64_t
apm_read (Device *device, uint32_t offset, unsigned size)
{
  Piix4Pm *self = (Piix4Pm *) device;

  return offset ? self->apm_status : self->apm_control;
}

static void
apm_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Piix4Pm *self = (Piix4Pm *) device;

  if (offset)
    {
      self->apm_status = (uint8_t) value;
      return;
    }
  self->apm_control = (uint8_t) value;
  if (value == PIIX4_PM_ACPI_ENABLE)
    self->block[PMCNTRL] |= PMCNTRL_SCI_EN;
  else if (value == PIIX4_PM_ACPI_DISABLE)
    self->block[PMCNTRL] &= (uint8_t) ~PMCNTRL_SCI_EN;
  update_sci (self);
  if (self->pci[0].config[DEVACTB + 3] & DEVACTB_APMC_EN)
    {
      self->block[GLBSTS] |= GLBSTS_APM;
      irq_line_pulse (&self->smi);
    }
}

/* An SMBus host (chapter 7.3) with nobody at the other end: every transaction ends with DEV_ERR. */
static uint64_t
smb_read (Device *device, uint32_t offset, unsigned size)
{
  return ((Piix4Pm *) device)->smb[offset];
}

static void
smb_write (Device *device, uint32_t offset, unsigned size, uint64_t value)
{
  Piix4Pm *self = (Piix4Pm *) device;

  if (offset == 0)
    self->smb[0] &= (uint8_t) ~(value & 0x1e);
  else
    self->smb[offset] = (uint8_t) value;
  if (offset == 2 && value & 0x40)
    {
      self->smb[0] |= 0x04;
      self->smb[2] &= 0xbf;
    }
}

static const BusRegion pm_region = { "piix4-pm", BUS_SIZE_1 | BUS_SIZE_2 | BUS_SIZE_4, pm_read, pm_write };
static const BusRegion smb_region = { "piix4-smbus", BUS_SIZE_1, smb_read, smb_write };
static const BusRegion apm_region = { "apm", BUS_SIZE_1, apm_read, apm_write };

static void
move_block (Piix4Pm *self, const BusRegion *region, uint16_t *claimed, uint16_t wanted, uint16_t n_ports)
{
  if (*claimed == wanted)
    return;
  if (*claimed)
    bus_release (self->host.bus, &self->parent, region);
  *claimed = wanted && bus_claim_ports (self->host.bus, &self->parent, region, wanted, n_ports) == 0 ? wanted : 0;
}

static void
update_blocks (Piix4Pm *self)
{
  const uint8_t *config = self->pci[0].config;
  uint16_t pm = (uint16_t) ((config[PMBA] | config[PMBA + 1] << 8) & 0xffc0);
  uint16_t smb = (uint16_t) ((config[SMBBA] | config[SMBBA + 1] << 8) & 0xfff0);

  move_block (self, &pm_region, &self->pm_claimed, config[PMREGMISC] & 1 ? pm : 0, PM_BLOCK_BYTES);
  move_block (self, &smb_region, &self->smb_claimed, config[SMBHSTCFG] & 1 ? smb : 0, SMB_BLOCK_BYTES);
}

static void
config_written (Device *device, unsigned offset, unsigned n_bytes, const uint8_t *old_bytes)
{
  update_blocks ((Piix4Pm *) device);
}

bool
piix4_pm_power_button (Piix4Pm *self)
{
  set16 (self, PMSTS, get16 (self, PMSTS) | PM_POWER_BUTTON);
  update_sci (self);
  return get16 (self, PMCNTRL) & PMCNTRL_SCI_EN && get16 (self, PMEN) & PM_POWER_BUTTON;
}

static void
piix4_pm_reset (Device *device)
{
  Piix4Pm *self = (Piix4Pm *) device;
  uint8_t *config = self->pci[0].config;

  pci_function_reset (&self->pci[0]);
  memset (self->block, 0, sizeof self->block);
  memset (self->smb, 0, sizeof self->smb);
  memset (config + DEVACTB, 0, 4);
  config[PMBA] = config[SMBBA] = 1;
  config[PMBA + 1] = config[SMBBA + 1] = 0;
  config[PMREGMISC] = config[SMBHSTCFG] = 0;
  config[0x5f] = 0x90;                  /* DEVRESD.. straps: no external devices */
  config[0x63] = 0x60;
  config[0x67] = 0x98;
  self->apm_control = self->apm_status = 0;
  update_blocks (self);
  update_sci (self);
}

static void
piix4_pm_finish (Device *device)
{
  Piix4Pm *self = (Piix4Pm *) device;

  timer_free (self->overflow);
  free (self);
}

static int
piix4_pm_check (Device *device)
{
  Piix4Pm *self = (Piix4Pm *) device;

  if (self->sci_level > 1 || get16 (self, PMEN) & ~PMEN_BITS || get16 (self, PMSTS) & ~PMSTS_BITS)
    return -EBADMSG;
  update_blocks (self);
  return pci_function_restored (&self->pci[0]);
}

static const StateField piix4_pm_fields[] = {
  STATE_NESTED (Piix4Pm, pci, &pci_function_state, 1),
  STATE_FIELD (Piix4Pm, block, STATE_BYTES, 1),
  STATE_FIELD (Piix4Pm, smb, STATE_BYTES, 1),
  STATE_FIELD (Piix4Pm, apm_control, STATE_UINT, 1),
  STATE_FIELD (Piix4Pm, apm_status, STATE_UINT, 1),
  STATE_FIELD (Piix4Pm, sci_level, STATE_UINT, 1),
  STATE_FIELD (Piix4Pm, overflow, STATE_TIMER, 1),
  STATE_END,
};
static const StateTable piix4_pm_state = { "piix4-pm", 1, piix4_pm_fields, piix4_pm_check };
static const DeviceClass piix4_pm_class = { "piix4-pm", sizeof (Piix4Pm), &piix4_pm_state, piix4_pm_reset, piix4_pm_finish };

int
piix4_pm_new (const DeviceHost *host, PciBus *bus, uint8_t devfn, IrqLine sci, IrqLine smi, IrqLine power_off, Piix4Pm **ret)
{
  Piix4Pm *self = calloc (1, sizeof *self);
  PciFunction *pci;
  int result;

  if (!self)
    return -ENOMEM;
  self->parent.klass = &piix4_pm_class;
  self->host = *host;
  self->sci = sci;
  self->smi = smi;
  self->power_off = power_off;
  self->overflow = clock_add_timer (host->clock, &self->parent, timer_overflowed);
  pci = &self->pci[0];
  pci_function_setup (pci, &self->parent, "piix4-pm", 0x8086, 0x7113, 0x068000, 3, 1);
  pci->config[PCI_STATUS] = 0x80;
  pci->config[PCI_STATUS + 1] = 0x02;
  pci->config[PCI_SUBSYSTEM_VENDOR] = 0xf4;
  pci->config[PCI_SUBSYSTEM_VENDOR + 1] = 0x1a;
  pci->config[PCI_SUBSYSTEM + 1] = 0x11;
  pci->writable[PMBA] = 0xc0;
  pci->writable[PMBA + 1] = 0xff;
  memset (pci->writable + 0x44, 0xff, 0x20);    /* counters, general purpose, DEVACTA, DEVACTB, device resources */
  pci->writable[PMREGMISC] = 0x01;
  pci->writable[SMBBA] = 0xf0;
  pci->writable[SMBBA + 1] = 0xff;
  pci->writable[SMBHSTCFG] = 0x0f;
  memset (pci->writable + SMBHSTCFG + 1, 0xff, 3);
  pci->config_written = config_written;
  result = self->overflow ? 0 : -ENOMEM;
  if (result == 0)
    result = bus_claim_ports (host->bus, &self->parent, &apm_region, 0xb2, 2);
  if (result == 0)
    result = pci_bus_add (bus, devfn, pci);
  if (result < 0)
    {
      piix4_pm_finish (&self->parent);
      return result;
    }
  *ret = self;
  return 0;
}

Device *
piix4_pm_device (Piix4Pm *self)
{
  return &self->parent;
}
