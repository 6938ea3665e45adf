/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "questions.h"

typedef struct
{
  Guard       *guard;
  guint64      id;
  guint        timeout;
  QuestionFunc done;
  gpointer     data;
} Open;

static GPtrArray *open_questions;       /* of Open; the only state of this file: questions of the one guard of the process */
static guint64    last_id;

static void
finish (Open *open, gboolean allowed)
{
  g_clear_handle_id (&open->timeout, g_source_remove);
  g_ptr_array_remove (open_questions, open);
  if (open->guard->service)
    bh_guard1_emit_question_closed (open->guard->service, open->id);
  open->done (allowed, open->data);
  g_free (open);
}

static gboolean
time_over (gpointer user_data)
{
  Open *open = user_data;

  open->timeout = 0;
  finish (open, FALSE);
  return G_SOURCE_REMOVE;
}

void
questions_ask (Guard *guard, const Question *question, QuestionFunc done, gpointer data)
{
  Open *open = g_new0 (Open, 1);
  g_autofree char *preview = files_neutral_text (question->preview, 200);
  g_autofree char *type = files_neutral_text (question->type, 100);
  GVariantBuilder row;

  if (!open_questions)
    open_questions = g_ptr_array_new ();
  open->guard = guard;
  open->id = ++last_id;
  open->done = done;
  open->data = data;
  open->timeout = g_timeout_add_seconds (QUESTION_SECONDS, time_over, open);
  g_ptr_array_add (open_questions, open);
  if (!guard->service)
    return;
  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&row, "{sv}", "id", g_variant_new_uint64 (open->id));
  g_variant_builder_add (&row, "{sv}", "channel", g_variant_new_string (policy_channel_text (question->channel)));
  g_variant_builder_add (&row, "{sv}", "from-name", g_variant_new_string (question->from_name));
  g_variant_builder_add (&row, "{sv}", "to-name", g_variant_new_string (question->to_name));
  guard_describe_label (guard, &row, "from-", &question->from);
  guard_describe_label (guard, &row, "to-", &question->to);
  g_variant_builder_add (&row, "{sv}", "type", g_variant_new_string (type));
  g_variant_builder_add (&row, "{sv}", "bytes", g_variant_new_uint64 (question->n_bytes));
  g_variant_builder_add (&row, "{sv}", "preview", g_variant_new_string (preview));
  g_variant_builder_add (&row, "{sv}", "rule", g_variant_new_string (policy_rule_text (question->rule)));
  g_variant_builder_add (&row, "{sv}", "seconds", g_variant_new_uint32 (QUESTION_SECONDS));
  bh_guard1_emit_question (guard->service, open->id, g_variant_builder_end (&row));
}

gboolean
questions_answer (Guard *guard, guint64 id, gboolean allow)
{
  for (guint i = 0; open_questions && i < open_questions->len; i++)
    {
      Open *open = open_questions->pdata[i];

      if (open->id == id)
        {
          finish (open, allow);
          return TRUE;
        }
    }
  return FALSE;
}
