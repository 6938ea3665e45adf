/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "policy.h"

#include "mutants.h"

typedef enum { KIND_EQUAL = 1, KIND_ONE_WAY, KIND_CLIPBOARD } ChannelKind;

static const struct
{
  const char *text;
  ChannelKind kind;
} channels[N_CHANNELS] = {
#define CHANNEL(name, text, kind) { text, KIND_##kind },
#include "channels.def"
#undef CHANNEL
};

static const char *const rules[N_RULES] = {
  [RULE_NONE] = "nothing allows it",
  [RULE_UNKNOWN_CHANNEL] = "there is no such channel",
  [RULE_EQUAL] = "the labels are equal",
  [RULE_NOT_EQUAL] = "this channel carries data both ways and needs equal labels",
  [RULE_LAWFUL] = "the target's secrecy and the source's integrity are high enough",
  [RULE_UNLAWFUL] = "data may flow only to equal or higher secrecy and to equal or lower integrity",
  [RULE_CLIPBOARD_EQUAL] = "the labels are equal",
  [RULE_CLIPBOARD_ASK] = "a lawful one-way flow that the officer lets the user confirm",
  [RULE_CLIPBOARD_ONE_WAY_OFF] = "a lawful one-way flow, but the officer has not enabled it for clipboards",
  [RULE_CLIPBOARD_UNLAWFUL] = "data may flow only to equal or higher secrecy and to equal or lower integrity",
};

static const char *const halves[] = { "", "secrecy", "integrity", "secrecy and integrity" };
static const char *const verdicts[] = { "deny", "ask", "allow" };

/* What is wrong with the flow from one label to the other. */
static PolicyHalf
flow_obstacle (const Label *from, const Label *to)
{
  unsigned half = HALF_NONE;

  if (!label_half_dominates (&to->secrecy, &from->secrecy))
    half |= HALF_SECRECY;
  if (!label_half_dominates (&from->integrity, &to->integrity))
    half |= HALF_INTEGRITY;
  return (PolicyHalf) half;
}

static PolicyDecision
decision (Verdict verdict, PolicyRule rule, PolicyHalf half)
{
  return (PolicyDecision) { verdict, rule, half };
}

PolicyDecision
policy_decide (const PolicySettings *settings, PolicyChannel channel, const Label *from, const Label *to)
{
  PolicyHalf there, back;

  if ((unsigned) channel >= N_CHANNELS)
    return decision (MUTANT (11) ? VERDICT_ALLOW : VERDICT_DENY, RULE_UNKNOWN_CHANNEL, HALF_NONE);
  there = flow_obstacle (from, to);
  switch (channels[channel].kind)
    {
    case KIND_EQUAL:
      back = flow_obstacle (to, from);
      if (MUTANT (12) ? there == HALF_NONE : there == HALF_NONE && back == HALF_NONE)
        return decision (VERDICT_ALLOW, RULE_EQUAL, HALF_NONE);
      return decision (VERDICT_DENY, RULE_NOT_EQUAL, (PolicyHalf) (there | back));
    case KIND_ONE_WAY:
      if (MUTANT (13) ? there != HALF_BOTH : there == HALF_NONE)
        return decision (VERDICT_ALLOW, RULE_LAWFUL, HALF_NONE);
      return decision (VERDICT_DENY, RULE_UNLAWFUL, there);
    case KIND_CLIPBOARD:
      back = flow_obstacle (to, from);
      if (there != HALF_NONE)
        return decision (MUTANT (14) && settings->clipboard_one_way_asks ? VERDICT_ASK : VERDICT_DENY,
                         RULE_CLIPBOARD_UNLAWFUL, there);
      if (back == HALF_NONE)
        return decision (VERDICT_ALLOW, RULE_CLIPBOARD_EQUAL, HALF_NONE);
      if (MUTANT (15) || settings->clipboard_one_way_asks)
        return decision (MUTANT (16) ? VERDICT_ALLOW : VERDICT_ASK, RULE_CLIPBOARD_ASK, HALF_NONE);
      return decision (VERDICT_DENY, RULE_CLIPBOARD_ONE_WAY_OFF, back);
    }
  return decision (VERDICT_DENY, RULE_NONE, HALF_NONE);
}

const char *
policy_channel_text (PolicyChannel channel)
{
  return (unsigned) channel < N_CHANNELS ? channels[channel].text : "?";
}

bool
policy_channel_find (const char *text, PolicyChannel *ret_channel)
{
  for (unsigned i = 0; i < N_CHANNELS; i++)
    {
      size_t k = 0;

      while (text[k] && text[k] == channels[i].text[k])
        k++;
      if (text[k] == channels[i].text[k])
        {
          *ret_channel = (PolicyChannel) i;
          return true;
        }
    }
  return false;
}

const char *
policy_rule_text (PolicyRule rule)
{
  return (unsigned) rule < N_RULES ? rules[rule] : rules[RULE_NONE];
}

const char *
policy_half_text (PolicyHalf half)
{
  return (unsigned) half <= HALF_BOTH ? halves[half] : "";
}

const char *
policy_verdict_text (Verdict verdict)
{
  return (unsigned) verdict <= VERDICT_ALLOW ? verdicts[verdict] : verdicts[VERDICT_DENY];
}
