/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "application.h"
#include "bulkhead-config.h"
#include "paths.h"
#include "renderer.h"

#include <glib/gi18n.h>
#include <locale.h>

int
main (int argc, char **argv)
{
  g_autoptr (BhApplication) application = NULL;
  g_autofree char          *locale = bh_paths_locale ();

  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, locale);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  bh_renderer_choose ();
  g_set_prgname (BH_APPLICATION_ID);
  application = bh_application_new (G_APPLICATION_DEFAULT_FLAGS);
  return g_application_run (G_APPLICATION (application), argc, argv);
}
