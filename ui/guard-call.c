/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "guard-call.h"

#include "user-messages.h"

#include <glib/gi18n.h>

/* What an answer of the guard needs to find its way back to the window it was asked from, which may be gone by then. */
typedef struct
{
  GWeakRef from;
  char    *heading, *done;
} Call;

static void
on_called (GObject *source, GAsyncResult *result, gpointer data)
{
  Call                 *call = data;
  g_autoptr (GtkWidget) from = g_weak_ref_get (&call->from);
  g_autoptr (GError)    error = NULL;
  g_autoptr (GVariant)  reply = g_dbus_proxy_call_finish (G_DBUS_PROXY (source), result, &error);

  if (from != NULL && reply == NULL)
    bh_messages_error (from, call->heading, error);
  else if (from != NULL && call->done != NULL)
    bh_messages_toast (from, call->done);
  g_weak_ref_clear (&call->from);
  g_free (call->heading);
  g_free (call->done);
  g_free (call);
}

void
bh_guard_call (GtkWidget *from, BhLibrary *library, const char *method, GVariant *arguments, const char *heading,
               const char *done)
{
  BhGuard1 *guard = bh_library_get_guard (library);
  Call     *call;

  if (guard == NULL)
    {
      g_variant_unref (g_variant_ref_sink (arguments));
      bh_messages_toast (from, _("There is no connection to the guard"));
      return;
    }
  call = g_new0 (Call, 1);
  g_weak_ref_init (&call->from, from);
  call->heading = g_strdup (heading);
  call->done = g_strdup (done);
  g_dbus_proxy_call (G_DBUS_PROXY (guard), method, arguments, G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL, on_called, call);
}

GVariant *
bh_no_options (void)
{
  return g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0);
}

GVariant *
bh_one_option (const char *key, GVariant *value)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", key, value);
  return g_variant_builder_end (&builder);
}
