/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const char help[] =
  "Usage: bulkhead-monitor --standalone [OPTION…]\n"
  "Run one virtual PC without labels, for development, tests and benchmarks.\n"
  "\n"
  "  --engine auto|interpreter|translator|kvm|lockstep   what runs the guest (default auto)\n"
  "  --cpu pentium|pentium2|pentium3|pentium-m           processor model (default pentium3)\n"
  "  --memory MiB             1 … 3584 (default 128)\n"
  "  --disk FILE[,format=raw|qcow2][,readonly]           repeat: IDE 0 master, 0 slave, 1 master, 1 slave\n"
  "  --cdrom FILE             CD or DVD image\n"
  "  --floppy FILE            repeat for drive B:\n"
  "  --boot floppy|disk|cdrom repeat or separate by commas; default floppy, CD, disk\n"
  "  --boot-menu              SeaBIOS waits for ESC and offers a menu\n"
  "  --firmware FILE          system BIOS (default: SeaBIOS)\n"
  "  --vga-firmware FILE      VGA BIOS (default: SeaBIOS's)\n"
  "  --kernel FILE            Linux bzImage or multiboot ELF, with\n"
  "  --initrd FILE            its initial RAM disk or module and\n"
  "  --append TEXT            its command line\n"
  "  --serial stdio|null|file:PATH|socket:PATH           repeat for the second port\n"
  "  --parallel null|file:PATH\n"
  "  --debug-port file:PATH   ports 0xe9 and 0x402\n"
  "  --exit-port PORT         a write of V ends with status (V << 1) | 1\n"
  "  --network none|nat[,forward=tcp:HOSTPORT:GUESTPORT]\n"
  "  --sound none|pulse|file:PATH.wav\n"
  "  --rtc utc|local|fixed:UNIXTIME\n"
  "  --seed N                 of everything random\n"
  "  --clock host|instructions\n"
  "  --control PATH           Unix socket for requests\n"
  "  --load-state FILE        go on from a saved state\n"
  "  --no-reboot              a guest's reset ends the process with 0\n"
  "  --undetectable           no hypervisor CPUID leaf, no VMware back door\n"
  "  --help, --version\n";

static OptionsResult __attribute__ ((format (printf, 1, 2)))
bad (const char *format, ...)
{
  va_list arguments;

  fputs ("bulkhead-monitor: ", stderr);
  va_start (arguments, format);
  vfprintf (stderr, format, arguments);
  va_end (arguments);
  fputs ("; --help lists the options\n", stderr);
  return OPTIONS_BAD;
}

static bool
parse_unsigned (const char *text, uint64_t least, uint64_t most, uint64_t *ret_value)
{
  char *end;
  unsigned long long value;

  errno = 0;
  value = strtoull (text, &end, 0);
  if (errno || end == text || *end || strchr (text, '-') || value < least || value > most)
    return false;
  *ret_value = value;
  return true;
}

/* The index of a word in a list ended by NULL, or -1. */
static int
find_word (const char *word, const char *const *words)
{
  for (int i = 0; words[i]; i++)
    if (strcmp (word, words[i]) == 0)
      return i;
  return -1;
}

static OptionsResult
parse_disk (char *text, Options *options)
{
  OptionsDisk *disk;
  char *part;

  if (options->n_disks == MACHINE_N_DISKS)
    return bad ("more than %d disks", MACHINE_N_DISKS);
  disk = &options->disks[options->n_disks++];
  disk->present = true;
  disk->path = strsep (&text, ",");
  while ((part = strsep (&text, ",")))
    if (strcmp (part, "readonly") == 0)
      disk->read_only = true;
    else if (strcmp (part, "format=raw") == 0 || strcmp (part, "format=qcow2") == 0)
      disk->format = part + 7;
    else
      return bad ("--disk %s: '%s' is neither format=raw, format=qcow2 nor readonly", disk->path, part);
  if (!disk->format)
    {
      const char *dot = strrchr (disk->path, '.');

      disk->format = dot && (strcasecmp (dot, ".qcow2") == 0 || strcasecmp (dot, ".bulkhead") == 0) ? "qcow2" : "raw";
    }
  return OPTIONS_RUN;
}

static OptionsResult
parse_boot (char *text, MachineConfig *machine, bool *given)
{
  static const char *const words[] = { "none", "floppy", "disk", "cdrom", NULL };
  unsigned n = 0;
  char *part;

  if (!*given)
    memset (machine->boot_order, 0, sizeof machine->boot_order);
  *given = true;
  while (n < MACHINE_BOOT_ORDER_MAX && machine->boot_order[n] != MACHINE_BOOT_NONE)
    n++;
  while ((part = strsep (&text, ",")))
    {
      int device = find_word (part, words);

      if (device <= 0)
        return bad ("--boot '%s' is neither floppy, disk nor cdrom", part);
      if (n == MACHINE_BOOT_ORDER_MAX)
        return bad ("--boot names more than %d devices", MACHINE_BOOT_ORDER_MAX);
      machine->boot_order[n++] = (MachineBootDevice) device;
    }
  return OPTIONS_RUN;
}

static OptionsResult
parse_rtc (const char *text, MachineConfig *machine)
{
  time_t now = time (NULL);
  struct tm local;
  char *end;

  if (strcmp (text, "utc") == 0)
    machine->rtc_unix_seconds = now;
  else if (strcmp (text, "local") == 0)
    {
      localtime_r (&now, &local);
      machine->rtc_unix_seconds = now + local.tm_gmtoff;
    }
  else if (strncmp (text, "fixed:", 6) == 0 && text[6])
    {
      errno = 0;
      machine->rtc_unix_seconds = strtoll (text + 6, &end, 10);
      if (errno || *end)
        return bad ("--rtc fixed: takes a Unix time, not '%s'", text + 6);
    }
  else
    return bad ("--rtc '%s' is neither utc, local nor fixed:UNIXTIME", text);
  return OPTIONS_RUN;
}

enum
{
  OPTION_STANDALONE = 256, OPTION_ENGINE, OPTION_CPU, OPTION_MEMORY, OPTION_DISK, OPTION_CDROM, OPTION_FLOPPY, OPTION_BOOT,
  OPTION_BOOT_MENU, OPTION_FIRMWARE, OPTION_VGA_FIRMWARE, OPTION_KERNEL, OPTION_INITRD, OPTION_APPEND, OPTION_SERIAL, OPTION_PARALLEL,
  OPTION_DEBUG_PORT, OPTION_EXIT_PORT, OPTION_NETWORK, OPTION_SOUND, OPTION_RTC, OPTION_SEED, OPTION_CLOCK, OPTION_CONTROL,
  OPTION_LOAD_STATE, OPTION_NO_REBOOT, OPTION_UNDETECTABLE, OPTION_HELP, OPTION_VERSION,
};

static const struct option long_options[] = {
  { "standalone", no_argument, NULL, OPTION_STANDALONE },
  { "engine", required_argument, NULL, OPTION_ENGINE },
  { "cpu", required_argument, NULL, OPTION_CPU },
  { "memory", required_argument, NULL, OPTION_MEMORY },
  { "disk", required_argument, NULL, OPTION_DISK },
  { "cdrom", required_argument, NULL, OPTION_CDROM },
  { "floppy", required_argument, NULL, OPTION_FLOPPY },
  { "boot", required_argument, NULL, OPTION_BOOT },
  { "boot-menu", no_argument, NULL, OPTION_BOOT_MENU },
  { "firmware", required_argument, NULL, OPTION_FIRMWARE },
  { "vga-firmware", required_argument, NULL, OPTION_VGA_FIRMWARE },
  { "kernel", required_argument, NULL, OPTION_KERNEL },
  { "initrd", required_argument, NULL, OPTION_INITRD },
  { "append", required_argument, NULL, OPTION_APPEND },
  { "serial", required_argument, NULL, OPTION_SERIAL },
  { "parallel", required_argument, NULL, OPTION_PARALLEL },
  { "debug-port", required_argument, NULL, OPTION_DEBUG_PORT },
  { "exit-port", required_argument, NULL, OPTION_EXIT_PORT },
  { "network", required_argument, NULL, OPTION_NETWORK },
  { "sound", required_argument, NULL, OPTION_SOUND },
  { "rtc", required_argument, NULL, OPTION_RTC },
  { "seed", required_argument, NULL, OPTION_SEED },
  { "clock", required_argument, NULL, OPTION_CLOCK },
  { "control", required_argument, NULL, OPTION_CONTROL },
  { "load-state", required_argument, NULL, OPTION_LOAD_STATE },
  { "no-reboot", no_argument, NULL, OPTION_NO_REBOOT },
  { "undetectable", no_argument, NULL, OPTION_UNDETECTABLE },
  { "help", no_argument, NULL, OPTION_HELP },
  { "version", no_argument, NULL, OPTION_VERSION },
  { NULL, 0, NULL, 0 },
};

static OptionsResult
parse_option (int option, Options *options)
{
  static const char *const engines[] = { "auto", "interpreter", "translator", "lockstep", "kvm", NULL };
  static const char *const models[] = { "pentium", "pentium2", "pentium3", "pentium-m", NULL };
  static const char *const clocks[] = { "host", "instructions", NULL };
  MachineConfig *machine = &options->machine;
  uint64_t number;
  int word;

  switch (option)
    {
    case OPTION_STANDALONE:
      break;
    case OPTION_ENGINE:
      word = find_word (optarg, engines);
      if (word == 4)
        return bad ("--engine kvm: this version has no KVM engine; use auto");
      if (word < 0)
        return bad ("--engine '%s' is neither auto, interpreter, translator, lockstep nor kvm", optarg);
      machine->engine = (MachineEngine) word;
      break;
    case OPTION_CPU:
      word = find_word (optarg, models);
      if (word < 0)
        return bad ("--cpu '%s' is neither pentium, pentium2, pentium3 nor pentium-m", optarg);
      machine->cpu_model = (CpuModel) word;
      break;
    case OPTION_MEMORY:
      if (!parse_unsigned (optarg, MACHINE_MIN_MEMORY_MIB, MACHINE_MAX_MEMORY_MIB, &number))
        return bad ("--memory '%s': a machine has %d to %d MiB", optarg, MACHINE_MIN_MEMORY_MIB, MACHINE_MAX_MEMORY_MIB);
      machine->memory_mib = (uint32_t) number;
      break;
    case OPTION_DISK:
      return parse_disk (optarg, options);
    case OPTION_CDROM:
      if (options->n_cdroms == MACHINE_N_DISKS)
        return bad ("more than %d CD drives", MACHINE_N_DISKS);
      options->cdroms[options->n_cdroms++] = optarg;
      break;
    case OPTION_FLOPPY:
      if (options->n_floppies == MACHINE_N_FLOPPIES)
        return bad ("more than %d floppies", MACHINE_N_FLOPPIES);
      options->floppies[options->n_floppies++] = optarg;
      break;
    case OPTION_BOOT:
      return parse_boot (optarg, machine, &options->boot_given);
    case OPTION_BOOT_MENU:
      machine->boot_menu = true;
      break;
    case OPTION_FIRMWARE:
      options->firmware = optarg;
      break;
    case OPTION_VGA_FIRMWARE:
      options->vga_firmware = optarg;
      break;
    case OPTION_KERNEL:
      options->kernel = optarg;
      break;
    case OPTION_INITRD:
      options->initrd = optarg;
      break;
    case OPTION_APPEND:
      options->command_line = optarg;
      break;
    case OPTION_SERIAL:
      if (options->n_serials == MACHINE_N_SERIALS)
        return bad ("more than %d serial ports", MACHINE_N_SERIALS);
      options->serials[options->n_serials++] = optarg;
      break;
    case OPTION_PARALLEL:
      if (strcmp (optarg, "null") != 0 && strncmp (optarg, "file:", 5) != 0)
        return bad ("--parallel '%s' is neither null nor file:PATH", optarg);
      options->parallel = optarg;
      break;
    case OPTION_DEBUG_PORT:
      if (strncmp (optarg, "file:", 5) != 0)
        return bad ("--debug-port '%s' is not file:PATH", optarg);
      options->debug_port = optarg;
      break;
    case OPTION_EXIT_PORT:
      if (!parse_unsigned (optarg, 1, 0xffff, &number))
        return bad ("--exit-port '%s' is not a port like 0xf4", optarg);
      machine->exit_port = (uint16_t) number;
      break;
    case OPTION_NETWORK:
      options->network = optarg;
      break;
    case OPTION_SOUND:
      options->sound = optarg;
      break;
    case OPTION_RTC:
      return parse_rtc (optarg, machine);
    case OPTION_SEED:
      if (!parse_unsigned (optarg, 0, UINT64_MAX, &machine->seed))
        return bad ("--seed '%s' is not a number", optarg);
      break;
    case OPTION_CLOCK:
      word = find_word (optarg, clocks);
      if (word < 0)
        return bad ("--clock '%s' is neither host nor instructions", optarg);
      machine->clock_source = word ? CLOCK_INSTRUCTIONS : CLOCK_HOST;
      break;
    case OPTION_CONTROL:
      options->control = optarg;
      break;
    case OPTION_LOAD_STATE:
      options->load_state = optarg;
      break;
    case OPTION_NO_REBOOT:
      machine->no_reboot = true;
      break;
    case OPTION_UNDETECTABLE:
      machine->undetectable = true;
      break;
    case OPTION_HELP:
      fputs (help, stdout);
      return OPTIONS_DONE;
    case OPTION_VERSION:
      puts ("bulkhead-monitor " BULKHEAD_VERSION);
      return OPTIONS_DONE;
    default:
      fputs ("bulkhead-monitor: --help lists the options\n", stderr);
      return OPTIONS_BAD;
    }
  return OPTIONS_RUN;
}

OptionsResult
options_parse (int argc, char **argv, Options *ret_options)
{
  OptionsResult result = OPTIONS_RUN;
  int option;

  *ret_options = (Options) {
    .machine = {
      .memory_mib = 128, .cpu_model = CPU_MODEL_PENTIUM3, .clock_source = CLOCK_HOST, .rtc_unix_seconds = time (NULL),
      .memory_fd = -1, .boot_order = { MACHINE_BOOT_FLOPPY, MACHINE_BOOT_CDROM, MACHINE_BOOT_DISK },
    },
  };
  while (result == OPTIONS_RUN && (option = getopt_long (argc, argv, "", long_options, NULL)) != -1)
    result = parse_option (option, ret_options);
  if (result == OPTIONS_RUN && optind < argc)
    result = bad ("'%s' is not an option", argv[optind]);
  if (result == OPTIONS_RUN && (ret_options->initrd || ret_options->command_line) && !ret_options->kernel)
    result = bad ("--initrd and --append need --kernel");
  /* In lockstep the two processors agree on time only if time is counted. */
  if (ret_options->machine.engine == MACHINE_ENGINE_LOCKSTEP)
    ret_options->machine.clock_source = CLOCK_INSTRUCTIONS;
  return result;
}
