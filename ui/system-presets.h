/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What kinds of systems people run, and what each is comfortable with. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  const char *id;
  const char *name;             /* a name of its own, or translatable through gettext */
  guint       memory_mib;
  guint       disk_mib;         /* 0: none */
  const char *cpu;
  gboolean    local_clock;      /* expects the CMOS clock in local time */
} BhSystemPreset;

const BhSystemPreset *bh_system_presets_get (guint *ret_n_presets);
/* By the name of an image file; the "other" preset when it says nothing.  Never NULL. */
const BhSystemPreset *bh_system_presets_guess (const char *file_name);
/* A machine's name for an image file: "debian-12.5.0-i386-netinst.iso" gives "Debian 12.5.0". Free with g_free. */
char                 *bh_system_presets_machine_name (const char *file_name);

typedef enum { BH_IMAGE_UNKNOWN, BH_IMAGE_MACHINE, BH_IMAGE_CD, BH_IMAGE_FLOPPY, BH_IMAGE_DISK } BhImageKind;

/* By suffix alone, as far as that goes: files are opened by the guard only. */
BhImageKind           bh_image_kind (const char *path);
/* The guard's name of a disk image's format; "raw" when the suffix tells nothing. */
const char           *bh_image_format (const char *path);

G_END_DECLS
