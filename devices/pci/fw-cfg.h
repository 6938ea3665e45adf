/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The firmware configuration device: what SeaBIOS asks the board (QEMU docs/specs/fw_cfg).
 *
 * Ports 510h (selector, 16 bits), 511h (data), 514h … 51Bh (DMA address, big endian).  Items by number, and files by name
 * in a directory at number 19h. */
#pragma once

#include "bus.h"

#include <stddef.h>

typedef struct FwCfg FwCfg;

enum
{
  FW_CFG_SIGNATURE = 0x00, FW_CFG_ID = 0x01, FW_CFG_RAM_SIZE = 0x03, FW_CFG_N_CPUS = 0x05, FW_CFG_BOOT_MENU = 0x0e,
  FW_CFG_MAX_CPUS = 0x0f, FW_CFG_FILE_DIRECTORY = 0x19, FW_CFG_FIRST_FILE = 0x20, FW_CFG_MAX_FILES = 32,
};

int  fw_cfg_new (const DeviceHost *host, FwCfg **ret);
Device *fw_cfg_device (FwCfg *self);
/* The bytes are copied. -EINVAL for a number out of range, -ENOMEM, -ENOSPC (too many files), -ENAMETOOLONG (55 bytes). */
int  fw_cfg_add_item (FwCfg *self, uint16_t number, const void *bytes, size_t n_bytes);
int  fw_cfg_add_file (FwCfg *self, const char *name, const void *bytes, size_t n_bytes);
/* The item number of a file, or -ENOENT. */
int  fw_cfg_file_number (FwCfg *self, const char *name);
