/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "renderer.h"

#include <gio/gio.h>
#include <glib/gstdio.h>

/* A renderer in the kernel's sense. Without one Mesa draws with llvmpipe; with one GTK may still find the same, but then
 * the user's compositor does as well, and this is only a matter of speed. */
static gboolean
has_render_node (void)
{
  g_autoptr (GDir) folder = g_dir_open ("/dev/dri", 0, NULL);
  const char      *name;

  while (folder != NULL && (name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/dev/dri", name, NULL);

      if (g_str_has_prefix (name, "renderD") && g_access (path, 6) == 0)
        return TRUE;
    }
  return FALSE;
}

void
bh_renderer_choose (void)
{
  if (g_getenv ("GSK_RENDERER") != NULL)
    return;
  if (g_getenv ("LIBGL_ALWAYS_SOFTWARE") != NULL || !has_render_node ())
    g_setenv ("GSK_RENDERER", "cairo", TRUE);
}
