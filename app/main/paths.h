/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where our own files are: beside the executable in a build tree, else where they were installed. Never the environment. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The folder of translations. Free with g_free. */
char      *bh_paths_locale (void);
/* The settings of our schema, or NULL when it is nowhere to be found. */
GSettings *bh_paths_settings (void);
/* A file of ours by its name in the installed data folder ("try-it.img"), or NULL. Free with g_free. */
char      *bh_paths_data_file (const char *name, const char *name_in_build_tree);

G_END_DECLS
