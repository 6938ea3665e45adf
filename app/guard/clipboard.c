/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clipboard.h"

#include "questions.h"

#include <string.h>

struct Clipboard
{
  Guard  *guard;
  GBytes *data;                 /* NULL: empty */
  char   *type, *from;          /* from: NULL for the host */
  Label   label;
  guint   timeout;
  gint64  deadline;
  guint64 serial;               /* counts fillings: an answer to an old question must not move new data */
};

Clipboard *
clipboard_new (Guard *guard)
{
  Clipboard *self = g_new0 (Clipboard, 1);

  self->guard = guard;
  return self;
}

static void
empty (Clipboard *self)
{
  g_clear_handle_id (&self->timeout, g_source_remove);
  g_clear_pointer (&self->data, g_bytes_unref);
  g_clear_pointer (&self->type, g_free);
  g_clear_pointer (&self->from, g_free);
  self->serial++;
}

void
clipboard_free (Clipboard *self)
{
  if (!self)
    return;
  empty (self);
  g_free (self);
}

static void
changed (Clipboard *self)
{
  if (self->guard->service)
    bh_guard1_emit_clipboard_changed (self->guard->service, clipboard_status (self));
}

void
clipboard_clear (Clipboard *self)
{
  gboolean was_full = self->data != NULL;

  empty (self);
  if (was_full)
    changed (self);
}

static gboolean
time_over (gpointer user_data)
{
  Clipboard *self = user_data;

  self->timeout = 0;
  clipboard_clear (self);
  return G_SOURCE_REMOVE;
}

gboolean
clipboard_put (Clipboard *self, const char *machine, const Label *label, const char *type, GBytes *data, GError **error)
{
  g_autofree char *seconds_text = guard_get_policy (self->guard, "clipboard-seconds");
  guint64 seconds = 60;

  if (g_bytes_get_size (data) > CLIPBOARD_MAX_BYTES)
    {
      g_set_error (error, GUARD_ERROR, GUARD_ERROR_FAILED, "the clipboard takes at most %d bytes, not %" G_GSIZE_FORMAT,
                   CLIPBOARD_MAX_BYTES, g_bytes_get_size (data));
      return FALSE;
    }
  /* The store takes the label of what it holds: equal, but asked and recorded like every other channel. */
  if (!guard_decide (self->guard, machine ? CHANNEL_CLIPBOARD_COPY : CHANNEL_HOST_CLIPBOARD_IN, machine ? machine : "host",
                     "clipboard", label, label, NULL, error))
    return FALSE;
  empty (self);
  g_ascii_string_to_unsigned (seconds_text, 10, 1, 3600, &seconds, NULL);
  self->data = g_bytes_ref (data);
  self->type = files_neutral_text (type, 100);
  self->from = g_strdup (machine);
  self->label = *label;
  self->deadline = g_get_monotonic_time () + (gint64) seconds * G_USEC_PER_SEC;
  self->timeout = g_timeout_add_seconds ((guint) seconds, time_over, self);
  changed (self);
  return TRUE;
}

typedef struct
{
  Clipboard    *clipboard;
  guint64       serial;
  char         *machine;
  Label         label;
  ClipboardFunc done;
  gpointer      user_data;
} Pending;

static void
hand_over (Clipboard *self, ClipboardFunc done, gpointer user_data)
{
  g_autoptr (GBytes) data = g_steal_pointer (&self->data);
  g_autofree char *type = g_steal_pointer (&self->type);

  empty (self);
  changed (self);
  done (data, type, NULL, user_data);
}

static void
answered (gboolean allowed, gpointer user_data)
{
  Pending *pending = user_data;
  Clipboard *self = pending->clipboard;
  g_autoptr (GError) error = NULL;

  if (!self->data || self->serial != pending->serial)
    error = g_error_new_literal (GUARD_ERROR, GUARD_ERROR_FAILED, "the clipboard was emptied in the meantime");
  else if (!allowed)
    guard_refuse (self->guard, pending->machine ? "clipboard-paste" : "host-clipboard-out",
                  pending->machine ? pending->machine : "host", "clipboard", &error, "the user did not confirm it");
  else
    guard_record (self->guard, "confirmed", pending->machine ? pending->machine : "host", "clipboard", NULL, &error);
  if (error)
    pending->done (NULL, NULL, error, pending->user_data);
  else
    hand_over (self, pending->done, pending->user_data);
  g_free (pending->machine);
  g_free (pending);
}

void
clipboard_get (Clipboard *self, const char *machine, const Label *label, ClipboardFunc done, gpointer user_data)
{
  PolicyChannel channel = machine ? CHANNEL_CLIPBOARD_PASTE : CHANNEL_HOST_CLIPBOARD_OUT;
  g_autoptr (GError) error = NULL;
  PolicyDecision decision;
  Question question;
  Pending *pending;
  g_autofree char *preview = NULL;

  if (!self->data)
    error = g_error_new_literal (GUARD_ERROR, GUARD_ERROR_FAILED, "the clipboard is empty; take something first");
  else if (machine && g_strcmp0 (machine, self->from) == 0)
    error = g_error_new (GUARD_ERROR, GUARD_ERROR_FAILED, "the clipboard's contents came from \"%s\" itself", machine);
  else
    guard_decide (self->guard, channel, machine ? machine : "host", "clipboard", &self->label, label, &decision, &error);
  if (error)
    {
      done (NULL, NULL, error, user_data);
      return;
    }
  if (decision.verdict == VERDICT_ALLOW)
    {
      hand_over (self, done, user_data);
      return;
    }
  pending = g_new0 (Pending, 1);
  pending->clipboard = self;
  pending->serial = self->serial;
  pending->machine = g_strdup (machine);
  pending->label = *label;
  pending->done = done;
  pending->user_data = user_data;
  preview = g_strndup (g_bytes_get_data (self->data, NULL), MIN (g_bytes_get_size (self->data), 200));
  question = (Question) { channel, decision.rule, self->from ? self->from : "host", machine ? machine : "host", self->label,
                          *label, self->type, preview, g_bytes_get_size (self->data) };
  questions_ask (self->guard, &question, answered, pending);
}

GVariant *
clipboard_status (Clipboard *self)
{
  GVariantBuilder row;

  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&row, "{sv}", "full", g_variant_new_boolean (self->data != NULL));
  if (self->data && guard_may_see (self->guard, &self->label))
    {
      g_variant_builder_add (&row, "{sv}", "type", g_variant_new_string (self->type));
      g_variant_builder_add (&row, "{sv}", "bytes", g_variant_new_uint64 (g_bytes_get_size (self->data)));
      g_variant_builder_add (&row, "{sv}", "from", g_variant_new_string (self->from ? self->from : "host"));
      guard_describe_label (self->guard, &row, "", &self->label);
      g_variant_builder_add (&row, "{sv}", "seconds",
                             g_variant_new_uint32 ((guint) MAX (0, (self->deadline - g_get_monotonic_time ()) / G_USEC_PER_SEC)));
    }
  return g_variant_builder_end (&row);
}
