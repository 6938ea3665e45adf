/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs the system test programs (*.asm with system.inc) on a bare processor and makes a test of every line they print.
 *
 *   test-system [--tap] PROGRAM.bin ...
 *
 * A program's name may end in --MODEL (paging--pentium-m.bin).  Programs whose name begins with "shutdown" must end in
 * shutdown, the others with the line "done". */
#include "bare-machine.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct
{
  char *text;
  bool  ok;
} Line;

static void
test_line (gconstpointer data)
{
  const Line *line = data;

  if (!line->ok)
    {
      g_test_message ("%s", line->text);
      g_test_fail ();
    }
}

static void
free_line (gpointer data)
{
  g_free (((Line *) data)->text);
  g_free (data);
}

static GPtrArray *kept;         /* of Line: g_test has pointers into it */
static GHashTable *seen;        /* paths of tests */

static void
add_line (const char *program, const char *text, bool ok)
{
  Line *line = g_new (Line, 1);
  g_autofree char *path = NULL;
  g_autofree char *name = g_strndup (text, strcspn (text, ":"));

  line->text = g_strdup (text);
  line->ok = ok;
  path = g_strdup_printf ("/system/%s/%s", program, name);
  /* A program that runs in circles says things twice. */
  if (!*name || !g_hash_table_add (seen, g_strdup (path)))
    {
      free_line (line);
      return;
    }
  g_ptr_array_add (kept, line);
  g_test_add_data_func (path, line, test_line);
}

static CpuModel
model_of (const char *program)
{
  const char *at = strstr (program, "--");
  static const char *const names[N_CPU_MODELS] = { "pentium", "pentium2", "pentium3", "pentium-m" };

  for (unsigned i = 0; at && i < N_CPU_MODELS; i++)
    if (!strcmp (at + 2, names[i]))
      return (CpuModel) i;
  return CPU_MODEL_PENTIUM3;
}

static void
run_program (const char *path)
{
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *program = g_strndup (base, strcspn (base, "."));
  g_autofree char *bytes = NULL;
  g_auto (GStrv) lines = NULL;
  bool done = false;
  BareMachine *machine = g_new0 (BareMachine, 1);
  ExitReason reason;
  gsize n_bytes = 0;

  if (!g_file_get_contents (path, &bytes, &n_bytes, NULL))
    {
      add_line (program, "program can be read", false);
      return;
    }
  bare_machine_init (machine, model_of (program), 16 << 20);
  guest_memory_write (machine->memory, 0x8000, bytes, n_bytes);
  machine->cpu->segments[SEG_CS].selector = 0;
  machine->cpu->segments[SEG_CS].base = 0;
  machine->cpu->eip = 0x8000;
  reason = bare_machine_run (machine, 20000000);
  lines = g_strsplit (machine->text, "\n", -1);
  for (char **line = lines; *line; line++)
    if (g_str_has_prefix (*line, "ok "))
      add_line (program, *line + 3, true);
    else if (g_str_has_prefix (*line, "not ok "))
      add_line (program, *line + 7, false);
    else if (!strcmp (*line, "done"))
      done = true;
  if (g_str_has_prefix (program, "shutdown"))
    add_line (program, "ends-in-shutdown", reason == EXIT_SHUTDOWN && !done);
  else if (!done)
    {
      const Cpu *cpu = machine->cpu;
      g_autofree char *text = g_strdup_printf ("finishes: reason %d, CS:EIP %04x:%08x, EFLAGS %08x, last vector %u, CR2 %08x", reason,
                                               cpu->segments[SEG_CS].selector, cpu->eip, cpu_get_eflags (cpu), cpu->exception_vector, cpu->cr2);

      add_line (program, text, false);
    }
  bare_machine_clear (machine);
  g_free (machine);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  g_test_set_nonfatal_assertions ();
  kept = g_ptr_array_new_with_free_func (free_line);
  seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (int i = 1; i < argc; i++)
    run_program (argv[i]);
  result = g_test_run ();
  g_hash_table_unref (seen);
  g_ptr_array_unref (kept);
  return result;
}
