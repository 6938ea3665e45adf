/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The application with a library that only exists in memory: for looking at every window, and for the end-to-end test.
 * Options of its own come first: --empty, --paint WxH (the guest's size), --fps N (repaint that often). */
#include "application.h"
#include "fake-guard.h"

#include <stdlib.h>
#include <string.h>

static guint width = 720, height = 400, fps;
static gboolean relative;

static void
paint_something (FakeGuard *guard)
{
  guint32 *pixels = fake_guard_get_pixels (guard);

  fake_guard_paint (guard, width, height, 0x102040, !relative);
  for (guint y = 16; y + 16 < height; y++)
    for (guint x = 16; x + 16 < width; x++)
      if ((x / 8 + y / 16) % 5 == 0 && (x % 8) < 5 && (y % 16) < 10)
        pixels[(gsize) y * width + x] = 0xffb0b0b0;
  fake_guard_publish (guard, 0, 0, width, height);
}

static gboolean
on_frame (gpointer data)
{
  static guint32 n;
  guint32       *pixels = fake_guard_get_pixels (data);

  n++;
  for (gsize i = 0; i < (gsize) width * height; i++)
    pixels[i] = 0xff000000 | (guint32) (i + n * 40503u);
  fake_guard_publish (data, 0, 0, width, height);
  return G_SOURCE_CONTINUE;
}

static gboolean
report_input (gpointer data)
{
  InputMessage message;

  while (fake_guard_read_input (data, &message))
    {
      g_print ("input %u %u %d %d %d %u\n", message.type, message.code, message.value_x, message.value_y, message.wheel,
               message.buttons);
      fflush (stdout);
    }
  return G_SOURCE_CONTINUE;
}

static gboolean
ask_question (gpointer data)
{
  fake_guard_ask (data, 7, g_variant_new_parsed ("{'channel': <'clipboard-paste'>, 'from': <'UNCLASSIFIED'>, "
    "'from-name': <'Payroll'>, 'from-canonical': <'s10/i20'>, 'from-foreground': <'#ffffff'>, 'from-background': <'#007a33'>, "
    "'from-pattern': <'circle'>, 'to': <'SECRET'>, 'to-name': <'alpha'>, 'to-canonical': <'s40/i20'>, 'to-foreground': <'#ffffff'>, "
    "'to-background': <'#c8102e'>, 'to-pattern': <'diamond'>, 'type': <'text/plain'>, 'bytes': <@t 61>, "
    "'preview': <'Meeting moved to Tuesday, room 214. Bring the last figures.'>, 'rule': <'one-way flow upwards, confirmed by the user'>, "
    "'seconds': <@u 45>}"));
  return G_SOURCE_REMOVE;
}

int
main (int argc, char **argv)
{
  FakeGuard                *guard;
  g_autoptr (BhApplication) application = NULL;
  gboolean                  empty = FALSE, question = FALSE;
  int                       status;

  while (argc > 1 && g_str_has_prefix (argv[1], "--"))
    {
      if (g_str_equal (argv[1], "--empty"))
        empty = TRUE;
      else if (g_str_equal (argv[1], "--relative"))
        relative = TRUE;
      else if (g_str_equal (argv[1], "--question"))
        question = TRUE;
      else if (g_str_equal (argv[1], "--paint") && argc > 2)
        {
          sscanf (argv[2], "%ux%u", &width, &height);
          argv[2] = argv[0];
          argv++;
          argc--;
        }
      else if (g_str_equal (argv[1], "--fps") && argc > 2)
        {
          fps = (guint) atoi (argv[2]);
          argv[2] = argv[0];
          argv++;
          argc--;
        }
      else
        break;
      argv[1] = argv[0];
      argv++;
      argc--;
    }
  g_set_prgname ("io.github.bulkhead.Bulkhead");
  gtk_init ();
  guard = fake_guard_new ();
  if (!empty)
    {
      fake_guard_add (guard, "alpha", "off", "SECRET");
      fake_guard_add (guard, "Payroll", "suspended", "UNCLASSIFIED");
      fake_guard_add (guard, "Archive 1998", "off", "CONFIDENTIAL");
      fake_guard_add (guard, "Debian", "running", "UNCLASSIFIED");
      fake_guard_add (guard, "Signals", "crashed", "TOP SECRET//SI/TK//NOFORN");
      fake_guard_set_state (guard, "Signals", "crashed", "The monitor made a system call that it may not make (openat).");
      fake_guard_set_status (guard, "phrase", g_variant_new_string ("purple ocean 42"));
    }
  paint_something (guard);
  if (fps > 0)
    g_timeout_add (1000 / fps, on_frame, guard);
  g_timeout_add (50, report_input, guard);
  if (question)
    g_timeout_add_seconds (2, ask_question, guard);
  application = bh_application_new (G_APPLICATION_NON_UNIQUE);
  bh_application_set_guard (application, fake_guard_get_proxy (guard));
  status = g_application_run (G_APPLICATION (application), argc, argv);
  g_clear_object (&application);
  fake_guard_free (guard);
  return status;
}
