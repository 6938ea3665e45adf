/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Encodings files: the four that ship, their labels there and back, and broken ones, each refused at its line. */
#include "encodings.h"

#include <glib.h>
#include <string.h>

static const char *source;      /* data/encodings */

static const char *const shipped[] = { "us-government", "nato", "business", "personal" };

static Encodings *
load (const char *name)
{
  g_autofree char *file = g_strconcat (name, ".encodings", NULL);
  g_autofree char *path = g_build_filename (source, file, NULL);
  g_autoptr (GError) error = NULL;
  Encodings *encodings = encodings_load (path, &error);

  g_assert_no_error (error);
  return encodings;
}

/* A small sound file; the samples replace or add lines. */
static const char *const base[] = {
  /*  1 */ "bulkhead-encodings 1",
  /*  2 */ "name test",
  /*  3 */ "title \"Test\"",
  /*  4 */ "version 1",
  /*  5 */ "date 2026-11-23",
  /*  6 */ "level 10 \"LOW\" short L foreground #ffffff background #000000 pattern circle",
  /*  7 */ "level 20 \"MIDDLE\" short M foreground #ffffff background #000000 pattern square",
  /*  8 */ "level 30 \"HIGH\" short H foreground #000000 background #ffffff pattern star",
  /*  9 */ "group one",
  /* 10 */ "group two prefix \"P-\"",
  /* 11 */ "word \"ALPHA\" short A group one category 0 minimum \"MIDDLE\"",
  /* 12 */ "word \"BETA\" short B group one category 1 excludes \"ALPHA\"",
  /* 13 */ "word \"GAMMA\" short G group two category 2 requires \"ALPHA\"",
  /* 14 */ "word \"FREE\" group one category 3 inverse minimum \"HIGH\"",
  /* 15 */ "integrity-level 1 \"POOR\"",
  /* 16 */ "integrity-level 2 \"FAIR\" default",
  /* 17 */ "integrity-word \"SIGNED\" category 5",
  /* 18 */ "range \"LOW\" except \"LOW//BETA\"",
  /* 19 */ "host-label \"LOW\"",
  /* 20 */ "default-label \"LOW\"",
  /* 21 */ "clearance-low \"LOW [POOR]\"",
  /* 22 */ "clearance-high \"ALL\"",
  /* 23 */ "encrypt-above \"MIDDLE\"",
};

/* Line `at` replaced by `text` (NULL: left out); line 0: appended. */
static char *
vary (guint at, const char *text)
{
  GString *all = g_string_new (NULL);

  for (guint i = 1; i <= G_N_ELEMENTS (base); i++)
    if (i != at)
      g_string_append_printf (all, "%s\n", base[i - 1]);
    else
      g_string_append_printf (all, "%s\n", text ? text : "");
  if (!at)
    g_string_append_printf (all, "%s\n", text);
  return g_string_free (all, FALSE);
}

static const struct { guint at; const char *text, *reason; guint line; } broken[] = {
  { 1, "bulkhead-encodings 2", "first statement", 1 },
  { 1, NULL, "first statement", 2 },
  { 0, "bulkhead-encodings 1", "unknown statement", 24 },
  { 2, "name Test", "small letters", 2 },
  { 2, NULL, "missing", 0 },
  { 0, "name again", "a second", 24 },
  { 3, "title", "one value", 3 },
  { 3, "title \"a\" \"b\"", "one value", 3 },
  { 3, "title \"", "not closed", 3 },
  { 3, "title \"x\"y", "blank is missing", 3 },
  { 3, "title x\"y\"", "inside a word", 3 },
  { 5, "date 23.11.2026", "YYYY-MM-DD", 5 },
  { 5, "date 2026-13-01", "YYYY-MM-DD", 5 },
  { 6, "level 256 \"LOW\" short L foreground #ffffff background #000000 pattern circle", "0 to 255", 6 },
  { 6, "level -1 \"LOW\" short L foreground #ffffff background #000000 pattern circle", "0 to 255", 6 },
  { 6, "level 010 \"LOW\" short L foreground #ffffff background #000000 pattern circle", "0 to 255", 6 },
  { 6, "level 20 \"LOW\" short L foreground #ffffff background #000000 pattern circle", "already", 7 },
  { 6, "level 10 \"Low\" short L foreground #ffffff background #000000 pattern circle", "capitals", 6 },
  { 6, "level 10 \"LO/W\" short L foreground #ffffff background #000000 pattern circle", "separates", 6 },
  { 6, "level 10 \"LOW[\" short L foreground #ffffff background #000000 pattern circle", "separates", 6 },
  { 6, "level 10 \" LOW\" short L foreground #ffffff background #000000 pattern circle", "blanks", 6 },
  { 6, "level 10 \"LO  W\" short L foreground #ffffff background #000000 pattern circle", "blanks", 6 },
  { 6, "level 10 \"\" short L foreground #ffffff background #000000 pattern circle", "1 to 64", 6 },
  { 6, "level 10 \"MIDDLE\" short L foreground #ffffff background #000000 pattern circle", "taken", 7 },
  { 6, "level 10 \"LOW\" short M foreground #ffffff background #000000 pattern circle", "taken", 7 },
  { 6, "level 10 \"LOW\" short L foreground white background #000000 pattern circle", "#rrggbb", 6 },
  { 6, "level 10 \"LOW\" short L foreground #fffffg background #000000 pattern circle", "#rrggbb", 6 },
  { 6, "level 10 \"LOW\" short L foreground #ffffff background #fefefe pattern circle", "contrast", 6 },
  { 6, "level 10 \"LOW\" short L foreground #ffffff background #000000 pattern blob", "no pattern", 6 },
  { 6, "level 10 \"LOW\" short L foreground #ffffff background #000000", "needs", 6 },
  { 6, "level 10 \"LOW\" short L foreground #ffffff foreground #ffffff background #000000 pattern circle", "twice", 6 },
  { 6, "level 10 \"LOW\" short L foreground #ffffff background #000000 pattern circle size 3", "no \"size\"", 6 },
  { 6, "level 10 \"LOW\" short L foreground #ffffff background #000000 pattern", "wants a value", 6 },
  { 6, "level 10", "VALUE", 6 },
  { 9, "group one foreground #000000", "go together", 9 },
  { 9, "group two", "a second group", 10 },
  { 0, "group three", "no word", 24 },
  { 10, "group two prefix \"P/\"", "no prefix", 10 },
  { 11, "word \"ALPHA\" short A group one category 64", "0 to 63", 11 },
  { 11, "word \"ALPHA\" short A group one", "needs its category", 11 },
  { 11, "word \"ALPHA\" short A category 0", "needs its group", 11 },
  { 11, "word \"ALPHA\" short A group none category 0", "no group", 11 },
  { 11, "word \"ALPHA\" short A group one category 1", "already", 12 },
  { 11, "word \"ALPHA\" short A group one category 0 minimum \"TOP\"", "no level", 11 },
  { 11, "word \"ALPHA\" short A group one category 0 minimum \"HIGH\" maximum \"LOW\"", "above its maximum", 11 },
  { 11, "word \"ALPHA\" short A group one category 0 excludes \"DELTA\"", "no word", 11 },
  { 11, "word \"ALPHA\" short A group one category 0 requires \"ALPHA\"", "itself", 11 },
  { 11, "word \"ALPHA\" short A group one category 0 requires \"BETA\" excludes \"BETA\"", "requires and excludes", 11 },
  { 11, "word \"LOW\" short A group one category 0", "taken", 11 },
  { 11, "word \"BETA\" short A group one category 0", "taken", 12 },
  { 14, "word \"FREE\" group one category 3 inverse", "minimum", 14 },
  { 15, "integrity-level 1 \"POOR\" default", "marked default", 0 },
  { 16, "integrity-level 2 \"FAIR\"", "marked default", 0 },
  { 16, "integrity-level 2 \"FAIR\" standard", "integrity-level VALUE", 16 },
  { 16, "integrity-level 1 \"FAIR\" default", "already", 16 },
  { 17, "integrity-word \"SIGNED\" category 5 group one", "no \"group\"", 17 },
  { 17, "integrity-word \"SIGNED\" category 5 minimum \"HIGH\"", "no level", 17 },
  { 18, "range \"LOW\" beyond \"LOW//BETA\"", "only|except", 18 },
  { 18, "range \"TOP\" only \"LOW\"", "no level", 18 },
  { 18, "range \"LOW\" only \"HIGH\"", "not of level", 18 },
  { 18, "range \"LOW\" only \"LOW//DELTA\"", "no word", 18 },
  { 19, "host-label \"NONE\"", "no level", 19 },
  { 19, "host-label \"LOW//BETA\"", "outside the range", 19 },
  { 19, NULL, "missing", 0 },
  { 20, "default-label \"LOW//ALPHA\"", "at least", 20 },
  { 21, "clearance-low \"TOP\"", "no level", 21 },
  { 22, "clearance-high \"LOW//\"", "empty part", 22 },
  { 22, "clearance-high \"LOW [NONE]\"", "no integrity level", 22 },
  { 22, "clearance-high \"LOW[POOR]\"", "brackets", 22 },
  { 23, "encrypt-above \"TOP\"", "no level", 23 },
  { 0, "!! nonsense [[", "unknown statement", 24 },
  { 0, "levels", "unknown statement", 24 },
  { 0, "word", "needs its name", 24 },
};

static void
test_broken_samples (void)
{
  g_assert_cmpuint (G_N_ELEMENTS (broken), >=, 50);
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++)
    {
      g_autofree char *text = vary (broken[i].at, broken[i].text);
      g_autoptr (GError) error = NULL;
      g_autoptr (Encodings) encodings = encodings_parse (text, strlen (text), &error);
      g_autofree char *start = g_strdup_printf ("line %u: ", broken[i].line);

      if (encodings)
        g_error ("sample %u was accepted: %s", i, broken[i].text);
      g_assert_error (error, ENCODINGS_ERROR, ENCODINGS_ERROR_FILE);
      if (!strstr (error->message, broken[i].reason) || (broken[i].line && !g_str_has_prefix (error->message, start)))
        g_error ("sample %u (%s): wanted %s%s, got: %s", i, broken[i].text, start, broken[i].reason, error->message);
    }
}

static void
test_clearances_in_order (void)
{
  g_autofree char *text = vary (22, "clearance-high \"LOW\"");
  g_autoptr (GString) swapped = g_string_new (text);
  g_autoptr (GError) error = NULL;

  g_string_replace (swapped, "clearance-low \"LOW [POOR]\"", "clearance-low \"HIGH\"", 1);
  g_assert_null (encodings_parse (swapped->str, swapped->len, &error));
  g_assert_nonnull (strstr (error->message, "line 22: the high clearance does not dominate"));
}

static void
test_sound_sample (void)
{
  g_autofree char *text = vary (0, "# the end");
  g_autoptr (GError) error = NULL;
  g_autoptr (Encodings) encodings = encodings_parse (text, strlen (text), &error);

  g_assert_no_error (error);
  g_assert_cmpstr (encodings_name (encodings), ==, "test");
  g_assert_cmpuint (encodings_host_label (encodings)->secrecy.level, ==, 10);
  g_assert_cmpuint (encodings_host_label (encodings)->integrity.level, ==, 2);
}

static void
test_limits (void)
{
  g_autofree char *sound = vary (0, "");
  g_autoptr (GString) text = g_string_new (sound);
  g_autoptr (GError) error = NULL;

  /* A NUL byte, broken UTF-8, a line of 1001 bytes, a file of more than 256 KiB, nothing. */
  g_string_append_len (text, "# \0 nul\n", 8);
  g_assert_null (encodings_parse (text->str, text->len, &error));
  g_assert_nonnull (strstr (error->message, "line 25: not UTF-8"));
  g_clear_error (&error);
  g_string_assign (text, sound);
  g_string_append (text, "# \xff\n");
  g_assert_null (encodings_parse (text->str, text->len, &error));
  g_clear_error (&error);
  g_string_assign (text, sound);
  g_string_append_c (text, '#');
  for (int i = 0; i < 1000; i++)
    g_string_append_c (text, 'x');
  g_assert_null (encodings_parse (text->str, text->len, &error));
  g_assert_nonnull (strstr (error->message, "longer than 1000"));
  g_clear_error (&error);
  g_string_truncate (text, text->len - 1);
  g_autoptr (Encodings) longest = encodings_parse (text->str, text->len, &error);
  g_assert_no_error (error);
  g_assert_nonnull (longest);
  while (text->len <= 256 * 1024)
    g_string_append (text, "\n# more of it");
  g_assert_null (encodings_parse (text->str, text->len, &error));
  g_clear_error (&error);
  g_assert_null (encodings_parse ("", 0, &error));
  g_clear_error (&error);
  g_assert_null (encodings_load ("/nonexistent", &error));
  g_clear_error (&error);
}

static void
test_every_truncation_is_safe (void)
{
  g_autofree char *text = vary (0, "");

  for (gsize n = 0; n < strlen (text); n++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (Encodings) encodings = encodings_parse (text, n, &error);

      g_assert_true (encodings != NULL || error != NULL);
    }
}

static void
test_shipped_files_round_trip (void)
{
  for (guint f = 0; f < G_N_ELEMENTS (shipped); f++)
    {
      g_autoptr (Encodings) encodings = load (shipped[f]);
      g_autoptr (GRand) random = g_rand_new_with_seed (7);
      g_autoptr (GVariant) described = encodings_describe (encodings, encodings_clearance_high (encodings));
      g_autoptr (GVariant) levels = g_variant_lookup_value (described, "levels", G_VARIANT_TYPE ("aa{sv}"));
      g_autoptr (GVariant) words = g_variant_lookup_value (described, "words", G_VARIANT_TYPE ("aa{sv}"));
      guint n_valid = 0;

      g_assert_cmpstr (encodings_name (encodings), ==, shipped[f]);
      for (int round = 0; round < 20000; round++)
        {
          gsize l = (gsize) g_rand_int_range (random, 0, (gint32) g_variant_n_children (levels));
          g_autoptr (GVariant) level = g_variant_get_child_value (levels, l);
          Label label = *encodings_host_label (encodings), back;
          g_autofree char *banner = NULL;
          EncodingsColours colours;
          char text[LABEL_TEXT_BYTES];
          guint value;

          g_variant_lookup (level, "value", "u", &value);
          label.secrecy.level = (uint8_t) value;
          for (gsize w = 0; w < g_variant_n_children (words); w++)
            {
              g_autoptr (GVariant) word = g_variant_get_child_value (words, w);
              guint category;

              g_variant_lookup (word, "category", "u", &category);
              label.secrecy.categories[category] = g_rand_int_range (random, 0, 5) == 0;
            }
          banner = encodings_banner (encodings, &label);
          if (!encodings_check_label (encodings, &label, NULL))
            {
              g_assert_false (encodings_read_label (encodings, banner, &back, NULL));
              continue;
            }
          n_valid++;
          g_assert_true (encodings_read_label (encodings, banner, &back, NULL));
          g_assert_true (label_equal (&label, &back));
          label_print (&label, text);
          g_assert_true (encodings_read_label (encodings, text, &back, NULL));
          g_assert_true (label_equal (&label, &back));
          encodings_colours (encodings, &label, &colours);
          g_assert_cmpuint (strlen (colours.background), ==, 7);
        }
      g_test_message ("%s: %u valid labels", shipped[f], n_valid);
      g_assert_cmpuint (n_valid, >, 50);
    }
}

static void
check_reads (Encodings *encodings, const char *text, const char *canonical, const char *banner)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *back = NULL;
  char print[LABEL_TEXT_BYTES];
  Label label;

  if (!encodings_read_label (encodings, text, &label, &error))
    g_error ("%s: %s", text, error->message);
  label_print (&label, print);
  g_assert_cmpstr (print, ==, canonical);
  back = encodings_banner (encodings, &label);
  g_assert_cmpstr (back, ==, banner);
}

static void
test_us_government_labels (void)
{
  static const char *const refused[] = {
    "", "ULTRA VIOLET", "SECRET//", "SECRET//NOPE", "SECRET//SI//SI", "SECRET//SI/SI", "SECRET//SI//TK", "SECRET/SI", "SECRET SI",
    "SECRET//NOFORN/REL TO USA, FVEY", "UNCLASSIFIED//SI", "SECRET//KLONDIKE", "SECRET//HCS", "SECRET//RD/FRD",
    "SECRET//PRIVACY", "SECRET [", "SECRET []", "SECRET [NONE]", "SECRET [STANDARD/REVIEWED]", "SECRET [VERIFIED] //SI",
    "s41/i20", "s40:40/i20", "s10:16/i20", "s40:16/i7", "SECRET//EXDIS/NODIS", "//SECRET", "SECRET//SI NOFORN",
  };
  g_autoptr (Encodings) encodings = load ("us-government");
  EncodingsColours colours;
  Label label;

  check_reads (encodings, "UNCLASSIFIED", "s10/i20", "UNCLASSIFIED");
  check_reads (encodings, "  cui ", "s20/i20", "CUI");
  check_reads (encodings, "secret", "s40:16/i20", "SECRET");
  check_reads (encodings, "S", "s40:16/i20", "SECRET");
  check_reads (encodings, "TOP SECRET//SI/TK//NOFORN", "s50:3,4,15,16/i20", "TOP SECRET//SI/TK//NOFORN");
  check_reads (encodings, "TS//TK/SI//NF", "s50:3,4,15,16/i20", "TOP SECRET//SI/TK//NOFORN");
  check_reads (encodings, "TOP SECRET//SAR-AMBER GATE/BP", "s50:5,6,16/i20", "TOP SECRET//SAR-AMBER GATE/BUTTER POPCORN");
  check_reads (encodings, "SECRET//REL TO USA, FVEY", "s40/i20", "SECRET//REL TO USA, FVEY");
  check_reads (encodings, "SECRET [VERIFIED/SIGNED]", "s40:16/i30:0", "SECRET [VERIFIED/SIGNED]");
  check_reads (encodings, "SECRET [STANDARD]", "s40:16/i20", "SECRET");
  check_reads (encodings, "s40:15,16/i20", "s40:15,16/i20", "SECRET//NOFORN");
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    if (encodings_read_label (encodings, refused[i], &label, NULL))
      g_error ("\"%s\" was accepted", refused[i]);
  g_assert_true (encodings_read_label (encodings, "SECRET", &label, NULL));
  encodings_colours (encodings, &label, &colours);
  g_assert_cmpstr (colours.background, ==, "#c8102e");
  g_assert_cmpstr (colours.foreground, ==, "#ffffff");
  g_assert_true (encodings_read_label (encodings, "TOP SECRET//SI", &label, NULL));
  encodings_colours (encodings, &label, &colours);
  g_assert_cmpstr (colours.background, ==, "#fce83a");
  g_assert_cmpstr (colours.foreground, ==, "#000000");
  g_assert_cmpstr (colours.pattern, ==, "star");
}

/* A word that releases widens where data may go; a word that restricts narrows it. */
static void
test_inverse_word_flows (void)
{
  g_autoptr (Encodings) encodings = load ("us-government");
  Label plain, released, restricted, open;

  g_assert_true (encodings_read_label (encodings, "SECRET", &plain, NULL));
  g_assert_true (encodings_read_label (encodings, "SECRET//REL TO USA, FVEY", &released, NULL));
  g_assert_true (encodings_read_label (encodings, "SECRET//NOFORN", &restricted, NULL));
  g_assert_true (encodings_read_label (encodings, "UNCLASSIFIED", &open, NULL));
  g_assert_true (label_can_flow (&released, &plain));
  g_assert_false (label_can_flow (&plain, &released));
  g_assert_true (label_can_flow (&plain, &restricted));
  g_assert_false (label_can_flow (&restricted, &released));
  g_assert_true (label_can_flow (&open, &released));
}

static void
test_unknown_level_is_shown_high (void)
{
  g_autoptr (Encodings) encodings = load ("us-government");
  Label label = { { 45, { 0 } }, { 20, { 0 } } };
  g_autofree char *banner = encodings_banner (encodings, &label);
  EncodingsColours colours;

  g_assert_cmpstr (banner, ==, "s45/i20");
  encodings_colours (encodings, &label, &colours);
  g_assert_cmpstr (colours.background, ==, "#ff8c00");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  source = argc > 1 ? argv[1] : "data/encodings";
  g_test_add_func ("/encodings/sound-sample", test_sound_sample);
  g_test_add_func ("/encodings/broken-samples", test_broken_samples);
  g_test_add_func ("/encodings/clearances-in-order", test_clearances_in_order);
  g_test_add_func ("/encodings/limits", test_limits);
  g_test_add_func ("/encodings/every-truncation-is-safe", test_every_truncation_is_safe);
  g_test_add_func ("/encodings/shipped-files-round-trip", test_shipped_files_round_trip);
  g_test_add_func ("/encodings/us-government-labels", test_us_government_labels);
  g_test_add_func ("/encodings/inverse-word-flows", test_inverse_word_flows);
  g_test_add_func ("/encodings/unknown-level-is-shown-high", test_unknown_level_is_shown_high);
  return g_test_run ();
}
