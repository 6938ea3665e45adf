/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one decision.  Whoever moves data between labels asks here first; zero means deny, and every answer carries the
 * rule that gave it. */
#pragma once

#include "label.h"

typedef enum
{
#define CHANNEL(name, text, kind) CHANNEL_##name,
#include "channels.def"
#undef CHANNEL
  N_CHANNELS
} PolicyChannel;

typedef enum { VERDICT_DENY = 0, VERDICT_ASK, VERDICT_ALLOW } Verdict;

typedef enum
{
  RULE_NONE = 0,                /* nothing spoke: deny */
  RULE_UNKNOWN_CHANNEL,
  RULE_EQUAL,
  RULE_NOT_EQUAL,
  RULE_LAWFUL,
  RULE_UNLAWFUL,
  RULE_CLIPBOARD_EQUAL,
  RULE_CLIPBOARD_ASK,
  RULE_CLIPBOARD_ONE_WAY_OFF,
  RULE_CLIPBOARD_UNLAWFUL,
  N_RULES
} PolicyRule;

/* Which half of the labels stands in the way. */
typedef enum { HALF_NONE = 0, HALF_SECRECY = 1, HALF_INTEGRITY = 2, HALF_BOTH = 3 } PolicyHalf;

typedef struct
{
  bool clipboard_one_way_asks;  /* the officer's setting */
} PolicySettings;

typedef struct
{
  Verdict    verdict;
  PolicyRule rule;
  PolicyHalf half;              /* HALF_NONE unless a label stood in the way */
} PolicyDecision;

PolicyDecision policy_decide (const PolicySettings *settings, PolicyChannel channel, const Label *from, const Label *to);

/* "clipboard-copy"; "?" outside the table. */
const char *policy_channel_text (PolicyChannel channel);

/* False when there is no such channel. */
bool policy_channel_find (const char *text, PolicyChannel *ret_channel);

/* One English sentence, without labels. */
const char *policy_rule_text (PolicyRule rule);

/* "secrecy", "integrity", "secrecy and integrity", "". */
const char *policy_half_text (PolicyHalf half);

/* "deny", "ask", "allow". */
const char *policy_verdict_text (Verdict verdict);
