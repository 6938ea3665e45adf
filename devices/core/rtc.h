/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The MC146818A real-time clock with 256 bytes of CMOS memory: ports 70h/71h for bytes 0 … 127, 72h/73h for 128 … 255
 * (PIIX3).  It runs on guest time; what day it is comes from the constructor.  (Device *) rtc is the device. */
#pragma once

#include "device.h"
#include "irq-line.h"

#include <stdint.h>

typedef struct Rtc Rtc;

/* Bytes that the board fills in. */
enum
{
  CMOS_SHUTDOWN = 0x0f, CMOS_FLOPPY_TYPES = 0x10, CMOS_DISK_TYPES = 0x12, CMOS_EQUIPMENT = 0x14,
  CMOS_BASE_MEMORY_KIB = 0x15 /* 2 bytes */, CMOS_EXTENDED_MEMORY_KIB = 0x17 /* 2 bytes, at most 65535 */,
  CMOS_CHECKSUM = 0x2e /* 2 bytes, high first, of 10h … 2dh */, CMOS_EXTENDED_MEMORY_KIB_2 = 0x30 /* the same again */,
  CMOS_CENTURY = 0x32, CMOS_MEMORY_ABOVE_16_MIB = 0x34 /* 2 bytes, in units of 64 KiB */,
  CMOS_BOOT_ORDER_2 = 0x38 /* high nibble: third boot device */, CMOS_BOOT_ORDER_1 = 0x3d /* first | second << 4 */,
  CMOS_BYTES = 256,
};

/* irq8 is high while an enabled event is unread.  The clock shows unix_seconds (as calendar fields: add the time zone
 * for local time) when it is made.  Returns 0, -ENOMEM or what bus_claim_ports says. */
int rtc_new (const DeviceHost *host, IrqLine irq8, int64_t unix_seconds, Rtc **ret);

/* CMOS bytes as the board sees them: no side effects, index 14 … 255 without CMOS_CENTURY; others read 0 and are not
 * written. */
void    rtc_set_cmos (Rtc *self, unsigned index, uint8_t value);
uint8_t rtc_get_cmos (const Rtc *self, unsigned index);
/* Computes CMOS_CHECKSUM. */
void    rtc_checksum (Rtc *self);
/* The battery's memory as bytes that a file may hold: CMOS_BYTES of them. The clock's own registers are skipped. */
void    rtc_save_cmos (const Rtc *self, uint8_t *ret_bytes);
void    rtc_load_cmos (Rtc *self, const uint8_t *bytes);

/* Sets the time, as the constructor does: after a saved machine has been restored, or the host has slept. */
void    rtc_set_time (Rtc *self, int64_t unix_seconds);
int64_t rtc_get_time (const Rtc *self);

/* Bit 7 of the last write to port 70h: NMI is masked. */
bool    rtc_nmi_masked (const Rtc *self);
