/* SPDX-License-Identifier: GPL-3.0-or-later */
/* May this flow?  Shows both labels, who they belong to, what would flow and a part of it, and how long there is to answer.
 * Refusing is the default in every way: the button with the focus, closing, the end of the time. */
#pragma once

#include "library.h"

#include <adwaita.h>

G_BEGIN_DECLS

#define BH_TYPE_QUESTION_DIALOG (bh_question_dialog_get_type ())
G_DECLARE_FINAL_TYPE (BhQuestionDialog, bh_question_dialog, BH, QUESTION_DIALOG, AdwWindow)

GtkWidget *bh_question_dialog_new (BhLibrary *library, guint64 id, GVariant *question);
guint64    bh_question_dialog_get_id (BhQuestionDialog *self);
/* Answered elsewhere or out of time: goes away without an answer. */
void       bh_question_dialog_withdraw (BhQuestionDialog *self);

/* A channel's name in the user's language; the name itself when it is unknown. */
const char *bh_channel_title (const char *channel);

G_END_DECLS
