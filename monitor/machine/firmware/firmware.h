/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the board tells the firmware: tables, boot order, and a kernel to start directly.
 *
 * SeaBIOS and its VGA BIOS come from the distribution; everything here goes to it through fw_cfg. */
#pragma once

#include "fw-cfg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The PCI memory window begins where SeaBIOS begins it for this amount of RAM (fw/pciinit.c's rule: 80000000h, C0000000h
 * or E0000000h). */
uint32_t firmware_pci_window (uint64_t ram_bytes);

/* etc/e820, ACPI (etc/acpi/rsdp, etc/acpi/tables, etc/table-loader) and SMBIOS files. 0 or negative errno. */
int firmware_add_e820   (FwCfg *fw_cfg, uint64_t ram_bytes);
int firmware_add_acpi   (FwCfg *fw_cfg, uint64_t ram_bytes);
int firmware_add_smbios (FwCfg *fw_cfg, uint64_t ram_bytes, unsigned cpu_family, const char *cpu_name);

/* A kernel for direct start. bytes are those of the files; initrd and command_line may be NULL.
 * Linux bzImage (boot protocol 2.00 and later) or multiboot 0.6.96 ELF32.  On failure *ret_error says why (static text)
 * and the result is -ENOEXEC, -EFBIG or -ENOMEM. */
int firmware_add_kernel (FwCfg *fw_cfg, uint64_t ram_bytes, const uint8_t *kernel, size_t n_kernel, const uint8_t *initrd, size_t n_initrd,
                         const char *command_line, const char **ret_error);
#define FIRMWARE_KERNEL_ROM "genroms/bulkhead-kernel.bin"
