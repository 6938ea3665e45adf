/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How fast the interpreter is: millions of instructions per second over some loops (bench-loops.asm), flat 32-bit code.
 *
 *   bench-interpreter PROGRAM [MILLIONS] */
#include "bare-machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double
seconds (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void
flat (Cpu *cpu)
{
  for (unsigned i = 0; i < N_SEGMENTS; i++)
    cpu->segments[i] = (Segment) { 0, 0xffffffff, 8, i == SEG_CS ? 0xc09b : 0xc093 };
  cpu->cr0 |= CR0_PE;
}

int
main (int argc, char **argv)
{
  uint64_t most = argc > 2 ? strtoull (argv[2], NULL, 0) * 1000000 : 100000000;
  static const char *const names[] = { "arithmetic", "memory", "branches", "calls", "strings", "sieve" };
  uint8_t program[8192];
  size_t n_bytes = 0;
  FILE *file = argc > 1 ? fopen (argv[1], "rb") : NULL;

  if (file)
    {
      n_bytes = fread (program, 1, sizeof program, file);
      fclose (file);
    }
  if (n_bytes < 64)
    {
      fprintf (stderr, "usage: bench-interpreter bench-loops.bin [MILLIONS]\n");
      return 2;
    }
  for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
    {
      BareMachine machine;
      double begin;
      uint32_t entry;

      bare_machine_init (&machine, CPU_MODEL_PENTIUM3, 64 << 20);
      guest_memory_write (machine.memory, 0x100000, program, n_bytes);
      memcpy (&entry, program + i * 4, 4);
      flat (machine.cpu);
      machine.cpu->eip = entry;
      machine.cpu->regs[REG_ESP] = 0x90000;
      begin = seconds ();
      bare_machine_run (&machine, most);
      printf ("%-12s %7.1f MIPS\n", names[i], (double) machine.cpu->instructions / (seconds () - begin) / 1e6);
      bare_machine_clear (&machine);
    }
  return 0;
}
