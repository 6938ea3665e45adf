/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "paths.h"

#include "bulkhead-config.h"

/* The root of the build tree that this executable lies in (it is app/main/bulkhead there), or NULL when installed. */
static char *
build_root (void)
{
  g_autofree char *exe = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = exe ? g_path_get_dirname (exe) : NULL;

  for (guint i = 0; folder != NULL && i < 3; i++)
    {
      g_autofree char *mark = g_build_filename (folder, "meson-info", NULL);
      g_autofree char *up = NULL;

      if (g_file_test (mark, G_FILE_TEST_IS_DIR))
        return g_steal_pointer (&folder);
      up = g_path_get_dirname (folder);
      g_free (folder);
      folder = g_steal_pointer (&up);
    }
  return NULL;
}

char *
bh_paths_locale (void)
{
  g_autofree char *root = build_root ();

  return root ? g_build_filename (root, "po", NULL) : g_strdup (BH_LOCALEDIR);
}

GSettings *
bh_paths_settings (void)
{
  g_autofree char                  *root = build_root ();
  g_autofree char                  *folder = root ? g_build_filename (root, "data", NULL) : NULL;
  GSettingsSchemaSource            *installed = g_settings_schema_source_get_default ();
  g_autoptr (GSettingsSchemaSource) source = NULL;
  g_autoptr (GSettingsSchema)       schema = NULL;

  if (folder != NULL)
    source = g_settings_schema_source_new_from_directory (folder, installed, FALSE, NULL);
  if (source == NULL && installed != NULL)
    source = g_settings_schema_source_ref (installed);
  if (source != NULL)
    schema = g_settings_schema_source_lookup (source, BH_APPLICATION_ID, TRUE);
  return schema ? g_settings_new_full (schema, NULL, NULL) : NULL;
}

char *
bh_paths_data_file (const char *name, const char *name_in_build_tree)
{
  g_autofree char *root = build_root ();
  g_autofree char *path = root ? g_build_filename (root, name_in_build_tree, NULL) : g_build_filename (BH_PKGDATADIR, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS) ? g_steal_pointer (&path) : NULL;
}
