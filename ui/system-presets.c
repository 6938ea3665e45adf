/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system-presets.h"

#include <glib/gi18n.h>

static const BhSystemPreset presets[] = {
  { "dos", "DOS", 32, 512, "pentium", TRUE },
  { "windows-3", "Windows 3.x", 32, 512, "pentium", TRUE },
  { "windows-9x", "Windows 95/98/ME", 128, 4096, "pentium2", TRUE },
  { "windows-nt", "Windows NT/2000/XP", 512, 10240, "pentium3", TRUE },
  { "linux-old", N_("Linux (before 2010)"), 256, 8192, "pentium3", FALSE },
  { "linux", N_("Linux (32-bit)"), 512, 10240, "pentium-m", FALSE },
  { "bsd", "BSD", 512, 10240, "pentium-m", FALSE },
  { "os2", "OS/2", 64, 2048, "pentium", TRUE },
  { "small", N_("Hobby or boot-sector system"), 64, 0, "pentium3", FALSE },
  { "other", N_("Other"), 256, 8192, "pentium3", FALSE },
};

/* Parts of file names, in the order in which they are looked for. */
static const struct { const char *part, *id; } hints[] = {
  { "freedos", "dos" }, { "msdos", "dos" }, { "ms-dos", "dos" }, { "pcdos", "dos" }, { "drdos", "dos" }, { "fd1", "dos" },
  { "win3", "windows-3" }, { "wfw", "windows-3" }, { "windows3", "windows-3" },
  { "win95", "windows-9x" }, { "win98", "windows-9x" }, { "winme", "windows-9x" }, { "windows95", "windows-9x" },
  { "windows98", "windows-9x" }, { "w98", "windows-9x" },
  { "winnt", "windows-nt" }, { "nt4", "windows-nt" }, { "win2k", "windows-nt" }, { "w2k", "windows-nt" },
  { "winxp", "windows-nt" }, { "windowsxp", "windows-nt" }, { "reactos", "windows-nt" }, { "xp", "windows-nt" },
  { "potato", "linux-old" }, { "woody", "linux-old" }, { "sarge", "linux-old" }, { "slackware", "linux-old" },
  { "redhat", "linux-old" }, { "knoppix", "linux-old" },
  { "debian", "linux" }, { "ubuntu", "linux" }, { "fedora", "linux" }, { "mint", "linux" }, { "alpine", "linux" },
  { "arch", "linux" }, { "gentoo", "linux" }, { "suse", "linux" }, { "antix", "linux" }, { "puppy", "linux" },
  { "tinycore", "linux" }, { "netinst", "linux" }, { "linux", "linux" },
  { "freebsd", "bsd" }, { "openbsd", "bsd" }, { "netbsd", "bsd" }, { "bsd", "bsd" },
  { "os2", "os2" }, { "warp", "os2" }, { "ecs", "os2" },
  { "mikeos", "small" }, { "haribote", "small" }, { "kolibri", "small" }, { "menuet", "small" }, { "memtest", "small" },
  { "minix", "small" }, { "try-it", "small" }, { "boot", "small" },
};

const BhSystemPreset *
bh_system_presets_get (guint *ret_n_presets)
{
  *ret_n_presets = G_N_ELEMENTS (presets);
  return presets;
}

const BhSystemPreset *
bh_system_presets_guess (const char *file_name)
{
  g_autofree char *base = file_name ? g_path_get_basename (file_name) : g_strdup ("");
  g_autofree char *lower = g_ascii_strdown (base, -1);

  for (guint i = 0; i < G_N_ELEMENTS (hints); i++)
    if (strstr (lower, hints[i].part) != NULL)
      for (guint j = 0; j < G_N_ELEMENTS (presets); j++)
        if (g_str_equal (presets[j].id, hints[i].id))
          return &presets[j];
  if (bh_image_kind (lower) == BH_IMAGE_FLOPPY)
    return &presets[0];
  return &presets[G_N_ELEMENTS (presets) - 1];
}

char *
bh_system_presets_machine_name (const char *file_name)
{
  static const char *const noise[] = { "i386", "i486", "i586", "i686", "x86", "amd64", "netinst", "dvd", "cd", "cd1",
                                       "disc1", "install", "live", "iso", "img", "bootonly", NULL };
  g_autofree char         *base = g_path_get_basename (file_name);
  char                    *dot = strrchr (base, '.');
  g_auto (GStrv)           parts = NULL;
  GString                 *name = g_string_new (NULL);

  if (dot != NULL && dot != base)
    *dot = '\0';
  if (!g_utf8_validate (base, -1, NULL))
    return g_string_free (name, FALSE);
  parts = g_strsplit_set (base, "-_ ", -1);
  for (guint i = 0; parts[i] != NULL; i++)
    {
      g_autofree char *lower = g_utf8_strdown (parts[i], -1);

      if (*parts[i] == '\0' || (name->len > 0 && g_strv_contains (noise, lower)))
        continue;
      if (name->len > 0)
        g_string_append_c (name, ' ');
      if (name->len == 0)
        {
          gunichar first = g_utf8_get_char (parts[i]);

          g_string_append_unichar (name, g_unichar_toupper (first));
          g_string_append (name, g_utf8_next_char (parts[i]));
        }
      else
        g_string_append (name, parts[i]);
    }
  return g_string_free (name, FALSE);
}

static const struct { const char *suffix; BhImageKind kind; const char *format; } suffixes[] = {
  { ".bulkhead", BH_IMAGE_MACHINE, "qcow2" },
  { ".iso", BH_IMAGE_CD, "raw" }, { ".cdr", BH_IMAGE_CD, "raw" },
  { ".flp", BH_IMAGE_FLOPPY, "raw" }, { ".ima", BH_IMAGE_FLOPPY, "raw" }, { ".vfd", BH_IMAGE_FLOPPY, "raw" },
  { ".img", BH_IMAGE_FLOPPY, "raw" }, { ".dsk", BH_IMAGE_FLOPPY, "raw" },
  { ".qcow2", BH_IMAGE_DISK, "qcow2" }, { ".qcow", BH_IMAGE_DISK, "qcow2" }, { ".vmdk", BH_IMAGE_DISK, "vmdk" },
  { ".vdi", BH_IMAGE_DISK, "vdi" }, { ".vhd", BH_IMAGE_DISK, "vpc" }, { ".raw", BH_IMAGE_DISK, "raw" },
  { ".hdd", BH_IMAGE_DISK, "raw" },
};

BhImageKind
bh_image_kind (const char *path)
{
  g_autofree char *lower = g_ascii_strdown (path, -1);

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    if (g_str_has_suffix (lower, suffixes[i].suffix))
      return suffixes[i].kind;
  return BH_IMAGE_UNKNOWN;
}

const char *
bh_image_format (const char *path)
{
  g_autofree char *lower = g_ascii_strdown (path, -1);

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    if (g_str_has_suffix (lower, suffixes[i].suffix))
      return suffixes[i].format;
  return "raw";
}
