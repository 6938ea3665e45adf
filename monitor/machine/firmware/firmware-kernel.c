/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Direct start of a kernel: fw_cfg items for its parts and an option ROM (boot-rom.asm) that copies and enters them.
 *
 * Linux: Documentation/x86/boot.rst, protocol 2.00 and later.  Multiboot: specification 0.6.96.
 * The files come from the user but may be anything: every offset is checked against the file's size and against RAM. */
#include "firmware.h"

#include "boot-rom.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
  KERNEL_ITEM = 0x11, INITRD_ITEM = 0x12, COMMAND_LINE_ITEM = 0x15, SETUP_ITEM = 0x18,
  LINUX_SETUP_ADDRESS = 0x10000, LINUX_COMMAND_LINE_ADDRESS = 0x20000, LINUX_KERNEL_ADDRESS = 0x100000,
  TOP_RESERVE = 2 << 20,        /* SeaBIOS keeps its tables at the top of RAM */
  MULTIBOOT_INFORMATION = 0x9000, MULTIBOOT_MAP = 0x9800, MULTIBOOT_STRINGS = 0xa000,
  ROM_MAGIC_BYTES = 16, MAX_ITEMS = 8, COMMAND_LINE_MAX = 4096,
};

/* The block in boot-rom.asm after its magic. */
typedef struct __attribute__ ((packed))
{
  uint32_t entry_kind, n_items;
  struct __attribute__ ((packed)) { uint32_t number, n_bytes, address, zero; } items[MAX_ITEMS];
  uint32_t entry_point, information, memory_map;
  uint16_t setup_segment, stack_top;
} RomBlock;

typedef struct
{
  FwCfg   *fw_cfg;
  RomBlock block;
  int      error;
} Plan;

static void
plan_copy (Plan *plan, uint16_t number, const void *bytes, size_t n_bytes, uint32_t address)
{
  unsigned i = plan->block.n_items;

  if (plan->error || n_bytes == 0)
    return;
  if (i == MAX_ITEMS || n_bytes > UINT32_MAX)
    {
      plan->error = -EFBIG;
      return;
    }
  plan->block.items[i].number = number;
  plan->block.items[i].n_bytes = (uint32_t) n_bytes;
  plan->block.items[i].address = address;
  plan->block.n_items++;
  plan->error = fw_cfg_add_item (plan->fw_cfg, number, bytes, n_bytes);
}

static uint32_t
get32 (const uint8_t *at)
{
  uint32_t value;

  memcpy (&value, at, sizeof value);
  return value;
}

static void
put32 (uint8_t *at, uint32_t value)
{
  memcpy (at, &value, sizeof value);
}

/* vga=normal, ext, ask or a number on the command line is meant for the boot loader. */
static uint16_t
video_mode (const char *command_line)
{
  const char *at = command_line;

  for (at = strstr (command_line, "vga="); at; at = strstr (at + 1, "vga="))
    {
      if (at != command_line && at[-1] != ' ')
        continue;
      at += 4;
      if (strncmp (at, "normal", 6) == 0)
        return 0xffff;
      if (strncmp (at, "ext", 3) == 0)
        return 0xfffe;
      if (strncmp (at, "ask", 3) == 0)
        return 0xfffd;
      return (uint16_t) strtoul (at, NULL, 0);
    }
  return 0xffff;
}

static int
plan_linux (Plan *plan, uint64_t ram_bytes, const uint8_t *kernel, size_t n_kernel, const uint8_t *initrd, size_t n_initrd,
            const char *command_line, const char **ret_error)
{
  uint16_t protocol, mode = video_mode (command_line);
  size_t n_setup, n_command_line = strlen (command_line) + 1;
  uint32_t n_limit = 255;
  uint8_t *setup;

  memcpy (&protocol, kernel + 0x206, sizeof protocol);
  n_setup = ((kernel[0x1f1] ? kernel[0x1f1] : 4u) + 1u) * 512u;
  if (n_setup >= n_kernel || n_setup > LINUX_COMMAND_LINE_ADDRESS - LINUX_SETUP_ADDRESS)
    {
      *ret_error = "the Linux kernel image is truncated";
      return -ENOEXEC;
    }
  if (protocol < 0x200 || !(kernel[0x211] & 1))
    {
      *ret_error = "not a bzImage of boot protocol 2.00 or later that loads at 1 MiB";
      return -ENOEXEC;
    }
  if (protocol >= 0x206)
    n_limit = get32 (kernel + 0x238);
  if (n_command_line > COMMAND_LINE_MAX || n_command_line - 1 > n_limit)
    {
      *ret_error = "the kernel's command line (--append) is longer than this kernel takes";
      return -EFBIG;
    }
  if (LINUX_KERNEL_ADDRESS + (n_kernel - n_setup) > ram_bytes)
    {
      *ret_error = "the kernel does not fit into the machine's memory: give it more with --memory";
      return -EFBIG;
    }
  setup = malloc (n_setup);
  if (!setup)
    return -ENOMEM;
  memcpy (setup, kernel, n_setup);
  memcpy (setup + 0x1fa, &mode, sizeof mode);
  setup[0x210] = 0xff;                                  /* type_of_loader: none of the registered ones */
  if (protocol >= 0x201)
    {
      uint16_t heap_end = 0xfe00 - 0x200;

      setup[0x211] |= 0x80;                             /* CAN_USE_HEAP */
      memcpy (setup + 0x224, &heap_end, sizeof heap_end);
    }
  if (protocol >= 0x202)
    put32 (setup + 0x228, LINUX_COMMAND_LINE_ADDRESS);
  else
    {
      uint16_t magic = 0xa33f, offset = (uint16_t) (LINUX_COMMAND_LINE_ADDRESS - LINUX_SETUP_ADDRESS);

      memcpy (setup + 0x20, &magic, sizeof magic);
      memcpy (setup + 0x22, &offset, sizeof offset);
    }
  if (n_initrd)
    {
      uint64_t top = protocol >= 0x203 ? get32 (kernel + 0x22c) : 0x37ffffff, address;
      uint64_t usable = ram_bytes > TOP_RESERVE ? ram_bytes - TOP_RESERVE : 0;
      /* The kernel unpacks itself above its image: init_size tells how far. */
      uint64_t kernel_end = LINUX_KERNEL_ADDRESS + (protocol >= 0x20a ? get32 (kernel + 0x260) : 2 * (n_kernel - n_setup));

      if (top >= usable)
        top = usable ? usable - 1 : 0;
      if (n_initrd > top || ((top + 1 - n_initrd) & ~0xfffull) < kernel_end)
        {
          free (setup);
          *ret_error = "kernel and initrd do not fit into the machine's memory: give it more with --memory";
          return -EFBIG;
        }
      address = (top + 1 - n_initrd) & ~0xfffull;
      put32 (setup + 0x218, (uint32_t) address);
      put32 (setup + 0x21c, (uint32_t) n_initrd);
      plan_copy (plan, INITRD_ITEM, initrd, n_initrd, (uint32_t) address);
    }
  plan_copy (plan, SETUP_ITEM, setup, n_setup, LINUX_SETUP_ADDRESS);
  plan_copy (plan, COMMAND_LINE_ITEM, command_line, n_command_line, LINUX_COMMAND_LINE_ADDRESS);
  plan_copy (plan, KERNEL_ITEM, kernel + n_setup, n_kernel - n_setup, LINUX_KERNEL_ADDRESS);
  free (setup);
  plan->block.entry_kind = 1;
  plan->block.setup_segment = LINUX_SETUP_ADDRESS >> 4;
  plan->block.stack_top = 0xfdf0;
  return plan->error;
}

/* --- multiboot ------------------------------------------------------------------------------------------------- */

/* The header lies in the first 8192 bytes, 4-aligned: magic, flags, checksum. */
static size_t
find_multiboot (const uint8_t *kernel, size_t n_kernel)
{
  size_t end = n_kernel < 8192 ? n_kernel : 8192;

  for (size_t at = 0; at + 12 <= end; at += 4)
    if (get32 (kernel + at) == 0x1badb002 && get32 (kernel + at) + get32 (kernel + at + 4) + get32 (kernel + at + 8) == 0)
      return at;
  return SIZE_MAX;
}

typedef struct
{
  uint8_t *bytes;               /* from `low` to `high` of guest memory */
  uint32_t low, high, entry;
} Image;

static bool
grow_image (uint32_t address, uint32_t n_bytes, uint64_t ram_bytes, Image *image)
{
  if (address < 0x100000 || (uint64_t) address + n_bytes > ram_bytes)
    return false;
  if (image->high == 0 || address < image->low)
    image->low = address;
  if (address + n_bytes > image->high)
    image->high = address + n_bytes;
  return true;
}

static int
load_elf (const uint8_t *kernel, size_t n_kernel, uint64_t ram_bytes, Image *ret_image, const char **ret_error)
{
  Elf32_Ehdr header;
  Elf32_Phdr segments[64];

  memcpy (&header, kernel, sizeof header);
  if (header.e_phentsize != sizeof (Elf32_Phdr) || header.e_phnum == 0 || header.e_phnum > 64 || header.e_phoff > n_kernel
      || header.e_phnum * sizeof (Elf32_Phdr) > n_kernel - header.e_phoff)
    {
      *ret_error = "the multiboot ELF's program headers are damaged";
      return -ENOEXEC;
    }
  memcpy (segments, kernel + header.e_phoff, header.e_phnum * sizeof (Elf32_Phdr));
  for (unsigned i = 0; i < header.e_phnum; i++)
    {
      const Elf32_Phdr *segment = &segments[i];

      if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
        continue;
      if (segment->p_offset > n_kernel || segment->p_filesz > n_kernel - segment->p_offset || segment->p_filesz > segment->p_memsz)
        {
          *ret_error = "the multiboot ELF is truncated";
          return -ENOEXEC;
        }
      if (!grow_image (segment->p_paddr, segment->p_memsz, ram_bytes, ret_image))
        {
          *ret_error = "a segment of the multiboot ELF lies below 1 MiB or outside the machine's memory";
          return -EFBIG;
        }
    }
  if (ret_image->high == 0)
    {
      *ret_error = "the multiboot ELF has nothing to load";
      return -ENOEXEC;
    }
  ret_image->bytes = calloc (1, ret_image->high - ret_image->low);
  if (!ret_image->bytes)
    return -ENOMEM;
  ret_image->entry = header.e_entry;
  for (unsigned i = 0; i < header.e_phnum; i++)
    if (segments[i].p_type == PT_LOAD && segments[i].p_memsz)
      {
        memcpy (ret_image->bytes + (segments[i].p_paddr - ret_image->low), kernel + segments[i].p_offset, segments[i].p_filesz);
        /* Linkers give the entry as a virtual address; the specification means the physical one. */
        if (header.e_entry >= segments[i].p_vaddr && header.e_entry - segments[i].p_vaddr < segments[i].p_memsz)
          ret_image->entry = header.e_entry - segments[i].p_vaddr + segments[i].p_paddr;
      }
  return 0;
}

static int
load_by_header (const uint8_t *kernel, size_t n_kernel, size_t at, uint64_t ram_bytes, Image *ret_image, const char **ret_error)
{
  uint32_t header_address, load, load_end, bss_end, n_load, file_offset;

  if (at + 32 > n_kernel)
    goto damaged;
  header_address = get32 (kernel + at + 12);
  load = get32 (kernel + at + 16);
  load_end = get32 (kernel + at + 20);
  bss_end = get32 (kernel + at + 24);
  if (header_address < load || header_address - load > at)
    goto damaged;
  file_offset = (uint32_t) (at - (header_address - load));
  n_load = load_end ? load_end - load : (uint32_t) (n_kernel - file_offset);
  if ((load_end && load_end < load) || n_load > n_kernel - file_offset)
    goto damaged;
  if (bss_end && bss_end - load > n_load && bss_end > load)
    {
      if (!grow_image (load, bss_end - load, ram_bytes, ret_image))
        goto outside;
    }
  else if (!grow_image (load, n_load, ram_bytes, ret_image))
    goto outside;
  ret_image->bytes = calloc (1, ret_image->high - ret_image->low);
  if (!ret_image->bytes)
    return -ENOMEM;
  memcpy (ret_image->bytes, kernel + file_offset, n_load);
  ret_image->entry = get32 (kernel + at + 28);
  return 0;

outside:
  *ret_error = "the multiboot kernel lies below 1 MiB or outside the machine's memory";
  return -EFBIG;
damaged:
  *ret_error = "the multiboot header's addresses do not fit the file";
  return -ENOEXEC;
}

static int
plan_multiboot (Plan *plan, uint64_t ram_bytes, const uint8_t *kernel, size_t n_kernel, const uint8_t *initrd, size_t n_initrd,
                const char *command_line, const char **ret_error)
{
  enum { FLAG_MEMORY = 1, FLAG_COMMAND_LINE = 4, FLAG_MODULES = 8, FLAG_MAP = 64, FLAG_LOADER = 512, INFORMATION_BYTES = 88 };
  static const char loader_name[] = "Bulkhead";
  size_t header = find_multiboot (kernel, n_kernel), n_text = strlen (command_line) + 1;
  Image image = { 0 };
  uint8_t *low;
  uint32_t module_end = 0, module_start = 0;
  int result;

  if (n_text > COMMAND_LINE_MAX)
    {
      *ret_error = "the kernel's command line (--append) is longer than 4095 bytes";
      return -EFBIG;
    }
  if (get32 (kernel + header + 4) & 1 << 16)
    result = load_by_header (kernel, n_kernel, header, ram_bytes, &image, ret_error);
  else if (n_kernel >= sizeof (Elf32_Ehdr) && memcmp (kernel, ELFMAG "\1\1", 6) == 0)
    result = load_elf (kernel, n_kernel, ram_bytes, &image, ret_error);
  else
    {
      *ret_error = "the multiboot kernel is neither a 32-bit ELF nor gives load addresses";
      result = -ENOEXEC;
    }
  if (result < 0)
    return result;
  if (n_initrd)
    {
      module_start = (image.high + 0xfff) & ~0xfffu;
      if (n_initrd > ram_bytes || module_start + n_initrd > ram_bytes - TOP_RESERVE)
        {
          free (image.bytes);
          *ret_error = "kernel and module do not fit into the machine's memory: give it more with --memory";
          return -EFBIG;
        }
      module_end = (uint32_t) (module_start + n_initrd);
    }
  /* Information, module list and strings, copied as one item to MULTIBOOT_INFORMATION. */
  low = calloc (1, MULTIBOOT_STRINGS - MULTIBOOT_INFORMATION + COMMAND_LINE_MAX + sizeof loader_name);
  if (!low)
    {
      free (image.bytes);
      return -ENOMEM;
    }
  put32 (low, FLAG_MEMORY | FLAG_COMMAND_LINE | FLAG_MAP | FLAG_LOADER | (n_initrd ? FLAG_MODULES : 0));
  put32 (low + 8, (uint32_t) ((ram_bytes - 0x100000) >> 10));
  put32 (low + 16, MULTIBOOT_STRINGS + sizeof loader_name);
  if (n_initrd)
    {
      put32 (low + 20, 1);
      put32 (low + 24, MULTIBOOT_INFORMATION + INFORMATION_BYTES + 8);
      put32 (low + INFORMATION_BYTES + 8, module_start);
      put32 (low + INFORMATION_BYTES + 12, module_end);
    }
  put32 (low + 48, MULTIBOOT_MAP);
  put32 (low + 64, MULTIBOOT_STRINGS);
  memcpy (low + MULTIBOOT_STRINGS - MULTIBOOT_INFORMATION, loader_name, sizeof loader_name);
  memcpy (low + MULTIBOOT_STRINGS - MULTIBOOT_INFORMATION + sizeof loader_name, command_line, n_text);
  plan_copy (plan, SETUP_ITEM, low, MULTIBOOT_STRINGS - MULTIBOOT_INFORMATION + sizeof loader_name + n_text, MULTIBOOT_INFORMATION);
  plan_copy (plan, KERNEL_ITEM, image.bytes, image.high - image.low, image.low);
  plan_copy (plan, INITRD_ITEM, initrd, n_initrd, module_start);
  plan->block.entry_kind = 2;
  plan->block.entry_point = image.entry;
  plan->block.information = MULTIBOOT_INFORMATION;
  plan->block.memory_map = MULTIBOOT_MAP;
  free (low);
  free (image.bytes);
  return plan->error;
}

static int
add_rom (Plan *plan)
{
  uint8_t rom[sizeof boot_rom];
  uint8_t sum = 0;
  size_t at = 0, pnp = boot_rom[0x1a] | (size_t) boot_rom[0x1b] << 8;

  memcpy (rom, boot_rom, sizeof rom);
  for (unsigned i = 0; i < 32; i++)
    sum = (uint8_t) (sum + rom[pnp + i]);
  rom[pnp + 9] = (uint8_t) -sum;
  sum = 0;
  while (at + ROM_MAGIC_BYTES + sizeof plan->block <= sizeof rom && memcmp (rom + at, "BulkheadBootROM", ROM_MAGIC_BYTES) != 0)
    at++;
  memcpy (rom + at + ROM_MAGIC_BYTES, &plan->block, sizeof plan->block);
  rom[2] = sizeof rom / 512;
  rom[sizeof rom - 1] = 0;
  for (size_t i = 0; i < sizeof rom; i++)
    sum = (uint8_t) (sum + rom[i]);
  rom[sizeof rom - 1] = (uint8_t) -sum;
  return fw_cfg_add_file (plan->fw_cfg, FIRMWARE_KERNEL_ROM, rom, sizeof rom);
}

int
firmware_add_kernel (FwCfg *fw_cfg, uint64_t ram_bytes, const uint8_t *kernel, size_t n_kernel, const uint8_t *initrd, size_t n_initrd,
                     const char *command_line, const char **ret_error)
{
  Plan plan = { .fw_cfg = fw_cfg };
  int result;

  *ret_error = "out of memory";
  if (!command_line)
    command_line = "";
  if (find_multiboot (kernel, n_kernel) != SIZE_MAX)
    result = plan_multiboot (&plan, ram_bytes, kernel, n_kernel, initrd, n_initrd, command_line, ret_error);
  else if (n_kernel >= 1024 && memcmp (kernel + 0x202, "HdrS", 4) == 0)
    result = plan_linux (&plan, ram_bytes, kernel, n_kernel, initrd, n_initrd, command_line, ret_error);
  else
    {
      *ret_error = "neither a Linux bzImage nor a multiboot kernel";
      return -ENOEXEC;
    }
  return result < 0 ? result : add_rom (&plan);
}
