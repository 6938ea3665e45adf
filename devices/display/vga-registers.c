/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The VGA's ports: miscellaneous output, sequencer, CRT controller, graphics controller, attribute controller, DAC.
 *
 * Register numbers and bits as in IBM's technical reference.  Unimplemented bits read as zero.  Input status 1 comes
 * from the guest clock and the timing that the registers ask for, so that programs which wait for the retrace wait
 * as long as on the bare machine. */
#include "vga-private.h"

#include <string.h>

enum { CRTC_N_REGISTERS = 25, CRTC_PROTECT = 0x80 /* in register 11h */ };

static const uint8_t seq_masks[8] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
static const uint8_t gc_masks[16] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
static const uint8_t ac_masks[32] = {
  0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
  0xef, 0xff, 0x3f, 0x0f, 0x0f,
};

typedef struct
{
  uint64_t hertz;               /* dots a second */
  uint32_t htotal, hdisplay;    /* dots */
  uint32_t vtotal, vdisplay, vretrace, vretrace_end;    /* lines */
} Timing;

static Timing
compute_timing (const Vga *self)
{
  const uint8_t *crtc = self->crtc;
  unsigned dots = self->seq[SEQ_CLOCKING] & 1 ? 8 : 9;
  Timing timing;

  if (vbe_is_enabled (self))
    {
      /* DISPI has no timing of its own; every mode runs at 60 Hz with a twentieth of the time in the blanking. */
      timing.hdisplay = self->vbe[VBE_XRES];
      timing.vdisplay = self->vbe[VBE_YRES];
      timing.htotal = timing.hdisplay + timing.hdisplay / 4 + 8;
      timing.vtotal = timing.vdisplay + timing.vdisplay / 20 + 8;
      timing.vretrace = timing.vdisplay + 2;
      timing.vretrace_end = timing.vretrace + 4;
      timing.hertz = (uint64_t) timing.htotal * timing.vtotal * 60;
      return timing;
    }
  timing.hertz = (self->misc >> 2 & 3) == 1 ? 28322000 : 25175000;
  if (self->seq[SEQ_CLOCKING] & 8)
    timing.hertz /= 2;
  timing.htotal = (crtc[0] + 5u) * dots;
  timing.hdisplay = (crtc[1] + 1u) * dots;
  timing.vtotal = (crtc[6] | (crtc[7] & 0x01) << 8 | (crtc[7] & 0x20) << 4) + 2u;
  timing.vdisplay = (crtc[0x12] | (crtc[7] & 0x02) << 7 | (crtc[7] & 0x40) << 3) + 1u;
  timing.vretrace = crtc[0x10] | (crtc[7] & 0x04) << 6 | (crtc[7] & 0x80) << 2;
  timing.vretrace_end = timing.vretrace + ((crtc[0x11] - timing.vretrace - 1) & 15) + 1;
  /* A retrace that never comes, or never ends, would hang whoever waits for it; monitors then run free. */
  if (timing.vretrace >= timing.vtotal)
    {
      timing.vretrace = timing.vtotal - 1;
      timing.vretrace_end = timing.vtotal;
    }
  else if (timing.vretrace == 0 && timing.vretrace_end >= timing.vtotal)
    timing.vretrace_end = timing.vtotal - 1;
  if (crtc[0x17] & 4)
    {
      timing.vtotal *= 2;
      timing.vdisplay *= 2;
      timing.vretrace *= 2;
      timing.vretrace_end *= 2;
    }
  return timing;
}

uint64_t
vga_frame_count (Vga *self)
{
  Timing timing = compute_timing (self);

  return clock_ticks (clock_now_ns (self->clock), timing.hertz) * 256 / ((uint64_t) timing.htotal * timing.vtotal);
}

/* How many vertical retraces have begun by then. */
static uint64_t
retraces_begun (const Timing *timing, uint64_t now_ns)
{
  uint64_t frame = (uint64_t) timing->htotal * timing->vtotal;

  return (clock_ticks (now_ns, timing->hertz) + frame - (uint64_t) timing->vretrace * timing->htotal) / frame;
}

static uint8_t
input_status_0 (Vga *self)
{
  Timing timing = compute_timing (self);
  bool pending = self->crtc[0x11] & 0x10
                 && retraces_begun (&timing, clock_now_ns (self->clock)) > retraces_begun (&timing, self->retrace_cleared_ns);

  /* Switch sense: a colour monitor. */
  return (uint8_t) (0x10 | (pending ? 0x80 : 0));
}

static uint8_t
input_status_1 (Vga *self)
{
  Timing timing = compute_timing (self);
  uint64_t dot = clock_ticks (clock_now_ns (self->clock), timing.hertz) % ((uint64_t) timing.htotal * timing.vtotal);
  uint32_t line = (uint32_t) (dot / timing.htotal), column = (uint32_t) (dot % timing.htotal);
  uint8_t value = 0;

  self->ac_data_next = 0;
  if (line >= timing.vdisplay || column >= timing.hdisplay)
    value |= 0x01;
  if (line >= timing.vretrace && line < timing.vretrace_end)
    value |= 0x08;
  return value;
}

static uint8_t
read_crtc (const Vga *self)
{
  unsigned index = self->crtc_index;

  if (index < CRTC_N_REGISTERS)
    return self->crtc[index];
  /* Undocumented on IBM's chip, but programs tell a VGA from others by them. */
  switch (index)
    {
    case 0x22:
      return (uint8_t) (self->latch >> (self->gc[GC_READ_MAP] & 3) * 8);
    case 0x24:
      return (uint8_t) (self->ac_data_next ? 0x80 : 0);
    case 0x26:
      return self->ac_index;
    default:
      return 0;
    }
}

static void
write_crtc (Vga *self, uint8_t value)
{
  unsigned index = self->crtc_index;

  if (index >= CRTC_N_REGISTERS)
    return;
  if (index < 8 && self->crtc[0x11] & CRTC_PROTECT)
    {
      /* Only bit 8 of the line compare register stays writable. */
      if (index == 7)
        self->crtc[7] = (uint8_t) ((self->crtc[7] & ~0x10) | (value & 0x10));
      return;
    }
  if (index == 0x11 && !(value & 0x10))
    self->retrace_cleared_ns = clock_now_ns (self->clock);
  self->crtc[index] = value;
}

static uint8_t
read_dac (Vga *self)
{
  uint8_t value = self->palette[self->dac_read_index * 3 + self->dac_component];

  if (++self->dac_component == 3)
    {
      self->dac_component = 0;
      self->dac_read_index++;
    }
  return value;
}

static void
write_dac (Vga *self, uint8_t value)
{
  uint8_t *entry = self->palette + self->dac_write_index * 3;

  if (!(self->vbe[VBE_ENABLE] & VBE_8BIT_DAC))
    value &= 0x3f;
  if (self->dac_component < 2)
    {
      self->dac_latch[self->dac_component++] = value;
      return;
    }
  /* The chip takes the three components at once, with the third. */
  entry[0] = self->dac_latch[0];
  entry[1] = self->dac_latch[1];
  entry[2] = value;
  self->dac_component = 0;
  self->dac_write_index++;
  self->palette_changed = true;
}

static void
write_attribute (Vga *self, uint8_t value)
{
  unsigned index = self->ac_index & 0x1f;

  if (!self->ac_data_next)
    self->ac_index = value & 0x3f;
  else if (self->ac[index] != (value & ac_masks[index]))
    {
      self->ac[index] = value & ac_masks[index];
      self->palette_changed = true;
    }
  self->ac_data_next = !self->ac_data_next;
}

/* 3B4-3BA answer in monochrome, 3D4-3DA in colour addressing. */
static bool
answers (const Vga *self, uint16_t port)
{
  bool colour = self->misc & MISC_COLOUR;

  return (port & 0xfff0) == 0x3c0 || colour == ((port & 0xfff0) == 0x3d0);
}

uint8_t
vga_read_register (Vga *self, uint16_t port)
{
  if (!answers (self, port))
    return 0xff;
  switch (port)
    {
    case 0x3c0:
      return self->ac_index;
    case 0x3c1:
      return self->ac[self->ac_index & 0x1f];
    case 0x3c2:
      return input_status_0 (self);
    case 0x3c3:
      return 1;                 /* the video subsystem is enabled; it cannot be put to sleep */
    case 0x3c4:
      return self->seq_index;
    case 0x3c5:
      return self->seq[self->seq_index & 7];
    case 0x3c6:
      return self->dac_mask;
    case 0x3c7:
      return self->dac_state;
    case 0x3c8:
      return self->dac_write_index;
    case 0x3c9:
      return read_dac (self);
    case 0x3ca:
      return self->feature;
    case 0x3cc:
      return self->misc;
    case 0x3ce:
      return self->gc_index;
    case 0x3cf:
      return self->gc[self->gc_index & 15];
    case 0x3b4:
    case 0x3d4:
      return self->crtc_index;
    case 0x3b5:
    case 0x3d5:
      return read_crtc (self);
    case 0x3ba:
    case 0x3da:
      return input_status_1 (self);
    default:
      return 0xff;
    }
}

void
vga_write_register (Vga *self, uint16_t port, uint8_t value)
{
  if (!answers (self, port))
    return;
  switch (port)
    {
    case 0x3c0:
    case 0x3c1:                 /* the chip does not decode the lowest address line for writes */
      write_attribute (self, value);
      break;
    case 0x3c2:
      self->misc = value & 0xef;
      vga_update_mapping (self);
      break;
    case 0x3c4:
      self->seq_index = value & 7;
      break;
    case 0x3c5:
      self->seq[self->seq_index & 7] = value & seq_masks[self->seq_index & 7];
      vga_update_mapping (self);
      break;
    case 0x3c6:
      self->palette_changed |= self->dac_mask != value;
      self->dac_mask = value;
      break;
    case 0x3c7:
      self->dac_read_index = value;
      self->dac_component = 0;
      self->dac_state = 3;
      break;
    case 0x3c8:
      self->dac_write_index = value;
      self->dac_component = 0;
      self->dac_state = 0;
      break;
    case 0x3c9:
      write_dac (self, value);
      break;
    case 0x3ce:
      self->gc_index = value & 15;
      break;
    case 0x3cf:
      self->gc[self->gc_index & 15] = value & gc_masks[self->gc_index & 15];
      vga_update_mapping (self);
      break;
    case 0x3b4:
    case 0x3d4:
      self->crtc_index = value & 0x3f;
      break;
    case 0x3b5:
    case 0x3d5:
      write_crtc (self, value);
      break;
    case 0x3ba:
    case 0x3da:
      self->feature = value & 3;
      break;
    default:
      break;
    }
}

#define PORT_REGION(name, text, first) \
  static uint64_t \
  read_##name##_region (Device *device, uint32_t offset, unsigned size) \
  { \
    return vga_read_register ((Vga *) device, (uint16_t) (first + offset)); \
  } \
  static void \
  write_##name##_region (Device *device, uint32_t offset, unsigned size, uint64_t value) \
  { \
    vga_write_register ((Vga *) device, (uint16_t) (first + offset), (uint8_t) value); \
  } \
  const BusRegion vga_##name##_region = { text, BUS_SIZE_1, read_##name##_region, write_##name##_region };

PORT_REGION (attribute, "vga", 0x3c0)
PORT_REGION (mono, "vga-crtc-mono", 0x3b4)
PORT_REGION (colour, "vga-crtc-colour", 0x3d4)
PORT_REGION (mono_status, "vga-status-mono", 0x3ba)
PORT_REGION (colour_status, "vga-status-colour", 0x3da)
