/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The policy core against the laws of lattices and against an oracle that shares nothing with it: labels as small integers,
 * dominance as table, channels by name. */
#include "policy.h"

#include <glib.h>
#include <string.h>

enum { N_HALVES = 32, N_LABELS = N_HALVES * N_HALVES };

/* The three categories in use stand at both ends and in the middle, so that a loop that is one short shows. */
static const unsigned places[] = { 0, 31, 63 };

static LabelHalf
half_of (unsigned number)
{
  LabelHalf half = { .level = (uint8_t) (number / 8) };

  for (unsigned i = 0; i < 3; i++)
    half.categories[places[i]] = number >> i & 1;
  return half;
}

static Label
label_of (unsigned number)
{
  return (Label) { half_of (number / N_HALVES), half_of (number % N_HALVES) };
}

static unsigned
half_number (const LabelHalf *half)
{
  unsigned number = half->level * 8u;

  for (unsigned i = 0; i < 3; i++)
    number |= (half->categories[places[i]] ? 1u : 0u) << i;
  return number;
}

/* ------------------------------------------------------------------------------------------------ the oracle */

static bool above[N_HALVES][N_HALVES];

static void
make_oracle (void)
{
  for (unsigned a = 0; a < N_HALVES; a++)
    for (unsigned b = 0; b < N_HALVES; b++)
      above[a][b] = (a >> 3) >= (b >> 3) && ((a & 7) | (b & 7)) == (a & 7);
}

static bool
oracle_flow (unsigned from, unsigned to)
{
  return above[to / N_HALVES][from / N_HALVES] && above[from % N_HALVES][to % N_HALVES];
}

static const char *const equal_channels[] = {
  "network-join", "nat", "port-forward", "serial-link", "folder-write", "floppy-write", "disk-write", "drag-in", "drag-out",
};
static const char *const one_way_channels[] = {
  "folder-read", "floppy-read", "cd-read", "disk-read", "base-image", "serial-out", "serial-in", "printer-out", "screenshot",
  "export", "import", "clone", "snapshot", "state-restore", "sound-out", "microphone",
};
static const char *const clipboard_channels[] = {
  "clipboard-copy", "clipboard-paste", "host-clipboard-out", "host-clipboard-in",
};

static PolicyChannel
find (const char *name)
{
  PolicyChannel channel = N_CHANNELS;

  g_assert_true (policy_channel_find (name, &channel));
  g_assert_cmpstr (policy_channel_text (channel), ==, name);
  return channel;
}

/* ------------------------------------------------------------------------------------------------ the lattice */

static void
test_dominance_is_a_partial_order (void)
{
  LabelHalf halves[N_HALVES];

  for (unsigned a = 0; a < N_HALVES; a++)
    halves[a] = half_of (a);
  for (unsigned a = 0; a < N_HALVES; a++)
    {
      g_assert_true (label_half_dominates (&halves[a], &halves[a]));
      for (unsigned b = 0; b < N_HALVES; b++)
        {
          g_assert_cmpint (label_half_dominates (&halves[a], &halves[b]), ==, above[a][b]);
          if (a != b)
            g_assert_false (label_half_dominates (&halves[a], &halves[b]) && label_half_dominates (&halves[b], &halves[a]));
          for (unsigned c = 0; c < N_HALVES; c++)
            if (label_half_dominates (&halves[a], &halves[b]) && label_half_dominates (&halves[b], &halves[c]))
              g_assert_true (label_half_dominates (&halves[a], &halves[c]));
        }
    }
}

static void
test_join_and_meet_are_bounds (void)
{
  for (unsigned a = 0; a < N_HALVES; a++)
    for (unsigned b = 0; b < N_HALVES; b++)
      {
        LabelHalf x = half_of (a), y = half_of (b), join, meet, again;
        unsigned j, m;

        label_half_join (&x, &y, &join);
        label_half_meet (&x, &y, &meet);
        j = half_number (&join);
        m = half_number (&meet);
        g_assert_true (above[j][a] && above[j][b] && above[a][m] && above[b][m]);
        for (unsigned c = 0; c < N_HALVES; c++)
          {
            if (above[c][a] && above[c][b])
              g_assert_true (above[c][j]);      /* least */
            if (above[a][c] && above[b][c])
              g_assert_true (above[m][c]);      /* greatest */
          }
        label_half_join (&y, &x, &again);
        g_assert_cmpuint (half_number (&again), ==, j);
        label_half_meet (&y, &x, &again);
        g_assert_cmpuint (half_number (&again), ==, m);
        /* absorption */
        label_half_join (&x, &meet, &again);
        g_assert_cmpuint (half_number (&again), ==, a);
        label_half_meet (&x, &join, &again);
        g_assert_cmpuint (half_number (&again), ==, a);
      }
}

static void
test_label_join_is_the_high_water_mark (void)
{
  for (unsigned a = 0; a < N_LABELS; a += 3)
    for (unsigned b = 0; b < N_LABELS; b += 5)
      {
        Label x = label_of (a), y = label_of (b), join, meet;

        label_join (&x, &y, &join);
        label_meet (&x, &y, &meet);
        g_assert_true (label_can_flow (&x, &join) && label_can_flow (&y, &join));
        g_assert_true (label_can_flow (&meet, &x) && label_can_flow (&meet, &y));
        if (oracle_flow (a, b))
          g_assert_true (label_equal (&join, &y) && label_equal (&meet, &x));
      }
}

static void
test_all_64_categories_count (void)
{
  for (unsigned i = 0; i < LABEL_CATEGORIES; i++)
    for (unsigned half = 0; half < 2; half++)
      {
        Label low = { 0 }, high = { 0 };

        (half ? &high.integrity : &high.secrecy)->categories[i] = 1;
        g_assert_cmpint (label_can_flow (&low, &high), ==, half == 0);
        g_assert_cmpint (label_can_flow (&high, &low), ==, half == 1);
        g_assert_false (label_equal (&low, &high));
      }
}

static void
test_all_256_levels_count (void)
{
  for (unsigned a = 0; a < 256; a++)
    for (unsigned b = 0; b < 256; b++)
      {
        LabelHalf x = { .level = (uint8_t) a }, y = { .level = (uint8_t) b };

        g_assert_cmpint (label_half_dominates (&x, &y), ==, a >= b);
      }
}

/* ------------------------------------------------------------------------------------------------ decisions */

static void
test_thirty_million_decisions (void)
{
  static Label labels[N_LABELS];
  uint8_t kind[N_CHANNELS] = { 0 };
  uint64_t n = 0, wrong = 0, allowed = 0;

  for (unsigned i = 0; i < G_N_ELEMENTS (equal_channels); i++)
    kind[find (equal_channels[i])] = 1;
  for (unsigned i = 0; i < G_N_ELEMENTS (one_way_channels); i++)
    kind[find (one_way_channels[i])] = 2;
  for (unsigned i = 0; i < G_N_ELEMENTS (clipboard_channels); i++)
    kind[find (clipboard_channels[i])] = 3;
  for (unsigned i = 0; i < N_CHANNELS; i++)
    g_assert_cmpuint (kind[i], !=, 0);
  g_assert_cmpint (N_CHANNELS, ==, 29);
  for (unsigned i = 0; i < N_LABELS; i++)
    labels[i] = label_of (i);
  for (unsigned a = 0; a < N_LABELS; a++)
    for (unsigned b = 0; b < N_LABELS; b++)
      {
        bool there = oracle_flow (a, b), same = a == b;
        PolicySettings settings = { .clipboard_one_way_asks = (a ^ b ^ (a >> 5) ^ (b >> 7)) & 1 };

        for (unsigned c = 0; c < N_CHANNELS; c++)
          {
            PolicyDecision decision = policy_decide (&settings, (PolicyChannel) c, &labels[a], &labels[b]);
            Verdict want = kind[c] == 1 ? (same ? VERDICT_ALLOW : VERDICT_DENY)
                           : kind[c] == 2 ? (there ? VERDICT_ALLOW : VERDICT_DENY)
                           : same ? VERDICT_ALLOW
                           : there && settings.clipboard_one_way_asks ? VERDICT_ASK : VERDICT_DENY;

            n++;
            wrong += decision.verdict != want || decision.rule == RULE_NONE || decision.rule >= N_RULES;
            allowed += decision.verdict == VERDICT_ALLOW;
          }
      }
  g_assert_cmpuint (n, ==, (uint64_t) 29 * 1048576);
  g_assert_cmpuint (wrong, ==, 0);
  g_test_message ("%" G_GUINT64_FORMAT " decisions, %" G_GUINT64_FORMAT " allowed", n, allowed);
}

static void
test_refusal_names_the_half (void)
{
  PolicySettings settings = { false };
  Label low = { { 1, { 0 } }, { 5, { 0 } } }, high = { { 2, { 0 } }, { 5, { 0 } } }, dirty = { { 1, { 0 } }, { 3, { 0 } } };
  Label both = { { 2, { 0 } }, { 3, { 0 } } };

  g_assert_cmpint (policy_decide (&settings, CHANNEL_FOLDER_READ, &high, &low).half, ==, HALF_SECRECY);
  g_assert_cmpint (policy_decide (&settings, CHANNEL_FOLDER_READ, &dirty, &low).half, ==, HALF_INTEGRITY);
  g_assert_cmpint (policy_decide (&settings, CHANNEL_NETWORK_JOIN, &low, &both).half, ==, HALF_BOTH);
  g_assert_cmpint (policy_decide (&settings, CHANNEL_FOLDER_READ, &low, &both).half, ==, HALF_NONE);
  g_assert_cmpint (policy_decide (&settings, CHANNEL_CLIPBOARD_PASTE, &high, &low).rule, ==, RULE_CLIPBOARD_UNLAWFUL);
  g_assert_cmpint (policy_decide (&settings, CHANNEL_CLIPBOARD_PASTE, &low, &high).rule, ==, RULE_CLIPBOARD_ONE_WAY_OFF);
  g_assert_cmpint (policy_decide (&settings, CHANNEL_CLIPBOARD_PASTE, &low, &high).half, ==, HALF_SECRECY);
  g_assert_cmpstr (policy_half_text (HALF_SECRECY), ==, "secrecy");
  g_assert_cmpstr (policy_half_text ((PolicyHalf) 9), ==, "");
  for (int rule = 0; rule < N_RULES; rule++)
    g_assert_cmpuint (strlen (policy_rule_text ((PolicyRule) rule)), >, 5);
}

static void
test_unknown_is_denied (void)
{
  PolicySettings settings = { true };
  Label label = { { 1, { 0 } }, { 1, { 0 } } };
  PolicyChannel channel;

  g_assert_cmpint (policy_decide (&settings, N_CHANNELS, &label, &label).verdict, ==, VERDICT_DENY);
  g_assert_cmpint (policy_decide (&settings, (PolicyChannel) -1, &label, &label).verdict, ==, VERDICT_DENY);
  g_assert_cmpint (policy_decide (&settings, N_CHANNELS, &label, &label).rule, ==, RULE_UNKNOWN_CHANNEL);
  g_assert_cmpint (VERDICT_DENY, ==, 0);
  g_assert_false (policy_channel_find ("", &channel));
  g_assert_false (policy_channel_find ("nat ", &channel));
  g_assert_false (policy_channel_find ("na", &channel));
  g_assert_cmpstr (policy_channel_text (N_CHANNELS), ==, "?");
  g_assert_cmpstr (policy_rule_text ((PolicyRule) 99), ==, policy_rule_text (RULE_NONE));
  g_assert_cmpstr (policy_verdict_text ((Verdict) 9), ==, "deny");
  g_assert_cmpstr (policy_verdict_text (VERDICT_ASK), ==, "ask");
}

/* ------------------------------------------------------------------------------------------------ text */

static void
test_canonical_text_round_trip (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (20261123);

  for (int round = 0; round < 20000; round++)
    {
      Label label = { 0 }, back;
      char text[LABEL_TEXT_BYTES];
      size_t n;

      label.secrecy.level = (uint8_t) g_rand_int (random);
      label.integrity.level = (uint8_t) g_rand_int (random);
      for (int i = 0; i < LABEL_CATEGORIES; i++)
        {
          label.secrecy.categories[i] = round == 0 || g_rand_int_range (random, 0, 8) == 0;
          label.integrity.categories[i] = round == 0 || g_rand_int_range (random, 0, 8) == 0;
        }
      n = label_print (&label, text);
      g_assert_cmpuint (n, ==, strlen (text));
      g_assert_cmpuint (n, <, LABEL_TEXT_BYTES);
      memset (&back, 0x55, sizeof back);
      g_assert_true (label_parse (text, &back));
      g_assert_cmpmem (&label, sizeof label, &back, sizeof back);
    }
}

static void
test_canonical_text_is_strict (void)
{
  static const char *const good[] = { "s0/i0", "s255/i255", "s3:0,5/i1", "s3:63/i1:0,1,2", "s10:9,10,11/i0" };
  static const char *const bad[] = {
    "", "s", "s1", "s1/", "s1/i", "i1/s1", "s256/i0", "s1/i256", "s01/i0", "s1/i00", "s1:/i0", "s1:64/i0", "s1:5,5/i0",
    "s1:5,3/i0", "s1:5,/i0", "s1:,5/i0", "s1/i0 ", " s1/i0", "s1/i0\n", "S1/I0", "s-1/i0", "s+1/i0", "s1:00/i0", "s1/i0/",
    "s1//i0", "s9999999999999999999/i0", "s1:1 ,2/i0", "s1;1/i0", "s1:05/i0", "SECRET",
  };
  Label label, untouched;

  for (unsigned i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (label_parse (good[i], &label));
  memset (&untouched, 0x5a, sizeof untouched);
  for (unsigned i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      label = untouched;
      if (label_parse (bad[i], &label))
        g_error ("\"%s\" was accepted", bad[i]);
      g_assert_cmpmem (&label, sizeof label, &untouched, sizeof untouched);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  make_oracle ();
  g_test_add_func ("/policy/dominance-is-a-partial-order", test_dominance_is_a_partial_order);
  g_test_add_func ("/policy/join-and-meet-are-bounds", test_join_and_meet_are_bounds);
  g_test_add_func ("/policy/label-join-is-the-high-water-mark", test_label_join_is_the_high_water_mark);
  g_test_add_func ("/policy/all-64-categories-count", test_all_64_categories_count);
  g_test_add_func ("/policy/all-256-levels-count", test_all_256_levels_count);
  g_test_add_func ("/policy/thirty-million-decisions", test_thirty_million_decisions);
  g_test_add_func ("/policy/refusal-names-the-half", test_refusal_names_the_half);
  g_test_add_func ("/policy/unknown-is-denied", test_unknown_is_denied);
  g_test_add_func ("/policy/canonical-text-round-trip", test_canonical_text_round_trip);
  g_test_add_func ("/policy/canonical-text-is-strict", test_canonical_text_is_strict);
  return g_test_run ();
}
