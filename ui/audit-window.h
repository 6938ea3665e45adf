/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard's audit trail: newest first, filtered by words and result, verified, exported. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_AUDIT_WINDOW (bh_audit_window_get_type ())
G_DECLARE_FINAL_TYPE (BhAuditWindow, bh_audit_window, BH, AUDIT_WINDOW, AdwWindow)

GtkWidget *bh_audit_window_new (BhLibrary *library);
guint      bh_audit_window_get_n_records (BhAuditWindow *self);
/* The records shown, as JSON lines or as comma-separated values with a heading line. Free with g_free. */
char      *bh_audit_window_export (BhAuditWindow *self, gboolean as_csv);

G_END_DECLS
