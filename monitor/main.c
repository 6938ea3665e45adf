/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bulkhead-monitor: one virtual PC, either alone (--standalone) or as the guard's child (--guarded, socket at fd 3). */
#include "guarded.h"
#include "standalone.h"

#include <stdio.h>
#include <string.h>

int
main (int argc, char **argv)
{
  for (int i = 1; i < argc; i++)
    {
      if (strcmp (argv[i], "--standalone") == 0 || strcmp (argv[i], "--help") == 0 || strcmp (argv[i], "--version") == 0)
        return standalone_main (argc, argv);
      if (strcmp (argv[i], "--guarded") == 0)
        return guarded_main ();
    }
  fputs ("bulkhead-monitor is started by bulkhead-guard; use --standalone to run a machine by hand (--help lists its options)\n", stderr);
  return 2;
}
