/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Verdict "ask": the question goes to every application that is connected, the first answer counts, silence refuses. */
#pragma once

#include "guard.h"

G_BEGIN_DECLS

enum { QUESTION_SECONDS = 30 };

typedef void (*QuestionFunc) (gboolean allowed, gpointer data);

typedef struct
{
  PolicyChannel channel;
  PolicyRule    rule;
  const char   *from_name, *to_name;
  Label         from, to;
  const char   *type, *preview;
  gsize         n_bytes;
} Question;

/* Asks; `done` is called exactly once, later. */
void     questions_ask (Guard *guard, const Question *question, QuestionFunc done, gpointer data);

/* False when there is no such question (any more). */
gboolean questions_answer (Guard *guard, guint64 id, gboolean allow);

G_END_DECLS
