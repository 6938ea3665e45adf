/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line of `bulkhead-monitor --standalone`. */
#pragma once

#include "machine.h"

enum { OPTIONS_MAX_FORWARDS = 16 };

typedef struct
{
  const char *path;
  const char *format;           /* "raw" or "qcow2"; from format=, else from the suffix */
  bool        read_only, present;
} OptionsDisk;

typedef struct
{
  MachineConfig machine;        /* what needs no opening */
  OptionsDisk   disks[MACHINE_N_DISKS];
  unsigned      n_disks;
  const char   *cdroms[MACHINE_N_DISKS];
  unsigned      n_cdroms;
  const char   *floppies[MACHINE_N_FLOPPIES];
  unsigned      n_floppies;
  const char   *firmware, *vga_firmware, *kernel, *initrd, *command_line;
  const char   *serials[MACHINE_N_SERIALS];
  unsigned      n_serials;
  const char   *parallel, *debug_port, *network, *sound, *control, *load_state;
  bool          boot_given;
} Options;

typedef enum { OPTIONS_RUN, OPTIONS_DONE /* --help, --version */, OPTIONS_BAD /* a message was printed */ } OptionsResult;

/* Changes argv's strings (disk options are cut at commas). */
OptionsResult options_parse (int argc, char **argv, Options *ret_options);
