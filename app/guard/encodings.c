/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "encodings.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

G_DEFINE_QUARK (bulkhead-encodings-error, encodings_error)

enum
{
  MAX_FILE_BYTES = 256 * 1024,
  MAX_LINE_BYTES = 1000,
  MAX_TOKENS     = 64,
  MAX_NAME_CHARS = 64,
  MAX_LEVELS     = 64,
  MAX_GROUPS     = 32,
  MAX_WORDS      = LABEL_CATEGORIES,
  MAX_RANGES     = 256,
};

typedef struct
{
  int   line;
  char *name, *short_name, *handling;
  char  foreground[8], background[8];
  const char *pattern;
  guint8 value;
  gboolean is_default;          /* integrity levels */
} Level;

typedef struct
{
  int   line;
  char *name, *prefix;
  char  foreground[8], background[8];
  const char *pattern;          /* NULL: the level's */
} Group;

typedef struct
{
  int   line;
  char *name, *short_name, *handling;
  char *group_name, *minimum_name, *maximum_name;
  GPtrArray *exclude_names, *require_names;
  guint group;
  guint8 category;
  guint8 minimum, maximum;      /* values of levels */
  gboolean inverse;
} Word;

typedef enum { RANGE_ONLY, RANGE_EXCEPT } RangeKind;

typedef struct
{
  int       line;
  char     *level_name, *text;
  RangeKind kind;
  Label     label;
} Range;

struct Encodings
{
  gatomicrefcount references;
  char *name, *title, *version, *date;
  GPtrArray *levels, *groups, *words, *integrity_levels, *integrity_words, *ranges;
  char *host_text, *default_text, *low_text, *high_text, *encrypt_text;
  int host_line, default_line, low_line, high_line, encrypt_line;
  Label host, standard, low, high;
  int encrypt_above;            /* level value, 256: never */
};

static const char *const patterns[] = { "circle", "square", "triangle", "diamond", "cross", "star" };

static void
level_free (gpointer pointer)
{
  Level *level = pointer;

  g_free (level->name);
  g_free (level->short_name);
  g_free (level->handling);
  g_free (level);
}

static void
group_free (gpointer pointer)
{
  Group *group = pointer;

  g_free (group->name);
  g_free (group->prefix);
  g_free (group);
}

static void
word_free (gpointer pointer)
{
  Word *word = pointer;

  g_free (word->name);
  g_free (word->short_name);
  g_free (word->handling);
  g_free (word->group_name);
  g_free (word->minimum_name);
  g_free (word->maximum_name);
  g_ptr_array_unref (word->exclude_names);
  g_ptr_array_unref (word->require_names);
  g_free (word);
}

static void
range_free (gpointer pointer)
{
  Range *range = pointer;

  g_free (range->level_name);
  g_free (range->text);
  g_free (range);
}

static Encodings *
encodings_new (void)
{
  Encodings *self = g_new0 (Encodings, 1);

  g_atomic_ref_count_init (&self->references);
  self->levels = g_ptr_array_new_with_free_func (level_free);
  self->groups = g_ptr_array_new_with_free_func (group_free);
  self->words = g_ptr_array_new_with_free_func (word_free);
  self->integrity_levels = g_ptr_array_new_with_free_func (level_free);
  self->integrity_words = g_ptr_array_new_with_free_func (word_free);
  self->ranges = g_ptr_array_new_with_free_func (range_free);
  self->encrypt_above = 256;
  return self;
}

Encodings *
encodings_ref (Encodings *self)
{
  g_atomic_ref_count_inc (&self->references);
  return self;
}

void
encodings_unref (Encodings *self)
{
  if (!self || !g_atomic_ref_count_dec (&self->references))
    return;
  g_free (self->name);
  g_free (self->title);
  g_free (self->version);
  g_free (self->date);
  g_ptr_array_unref (self->levels);
  g_ptr_array_unref (self->groups);
  g_ptr_array_unref (self->words);
  g_ptr_array_unref (self->integrity_levels);
  g_ptr_array_unref (self->integrity_words);
  g_ptr_array_unref (self->ranges);
  g_free (self->host_text);
  g_free (self->default_text);
  g_free (self->low_text);
  g_free (self->high_text);
  g_free (self->encrypt_text);
  g_free (self);
}

static gboolean G_GNUC_PRINTF (3, 4)
wrong (GError **error, int line, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, ENCODINGS_ERROR, ENCODINGS_ERROR_FILE, "line %d: %s", line, text);
  return FALSE;
}

/* ------------------------------------------------------------------------------------------------ reading lines */

/* Splits a line into bare and "quoted" tokens. */
static gboolean
tokenize (const char *text, int line, char **tokens, guint *ret_n, GError **error)
{
  guint n = 0;

  for (;;)
    {
      const char *begin;

      while (*text == ' ' || *text == '\t')
        text++;
      if (!*text)
        break;
      if (n == MAX_TOKENS)
        return wrong (error, line, "more than %d words in one line", MAX_TOKENS);
      if (*text == '"')
        {
          begin = ++text;
          while (*text && *text != '"')
            text++;
          if (!*text)
            return wrong (error, line, "a quotation mark is not closed");
          tokens[n++] = g_strndup (begin, (gsize) (text - begin));
          text++;
          if (*text && *text != ' ' && *text != '\t')
            return wrong (error, line, "a blank is missing behind a quotation mark");
        }
      else
        {
          begin = text;
          while (*text && *text != ' ' && *text != '\t' && *text != '"')
            text++;
          if (*text == '"')
            return wrong (error, line, "a quotation mark inside a word");
          tokens[n++] = g_strndup (begin, (gsize) (text - begin));
        }
    }
  *ret_n = n;
  return TRUE;
}

/* Names stand in banners: capitals, no separators, no blanks at the ends or twice. */
static gboolean
check_name (const char *name, int line, GError **error)
{
  glong n = g_utf8_strlen (name, -1);

  if (n < 1 || n > MAX_NAME_CHARS)
    return wrong (error, line, "a name has 1 to %d characters, not %ld", MAX_NAME_CHARS, n);
  if (*name == ' ' || name[strlen (name) - 1] == ' ' || strstr (name, "  "))
    return wrong (error, line, "blanks at the ends of \"%s\" or two in a row", name);
  for (const char *at = name; *at; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      if (strchr ("/[]", (int) (c < 128 ? c : 'x')) || !g_unichar_isprint (c) || g_unichar_type (c) == G_UNICODE_FORMAT)
        return wrong (error, line, "\"%s\" has a character that separates or hides", name);
      if (g_unichar_islower (c))
        return wrong (error, line, "\"%s\" is not in capitals", name);
    }
  return TRUE;
}

static gboolean
read_number (const char *text, unsigned maximum, guint8 *ret, const char *what, int line, GError **error)
{
  guint64 value;

  if (!g_ascii_string_to_unsigned (text, 10, 0, maximum, &value, NULL) || (*text == '0' && text[1]))
    return wrong (error, line, "%s is a number from 0 to %u, not \"%s\"", what, maximum, text);
  *ret = (guint8) value;
  return TRUE;
}

static gboolean
read_colour (const char *text, char ret[8], int line, GError **error)
{
  if (strlen (text) != 7 || *text != '#' || strspn (text + 1, "0123456789abcdefABCDEF") != 6)
    return wrong (error, line, "a colour is #rrggbb, not \"%s\"", text);
  memcpy (ret, text, 8);
  return TRUE;
}

static gboolean
read_pattern (const char *text, const char **ret, int line, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (patterns); i++)
    if (g_str_equal (patterns[i], text))
      {
        *ret = patterns[i];
        return TRUE;
      }
  return wrong (error, line, "\"%s\" is no pattern (circle, square, triangle, diamond, cross, star)", text);
}

/* WCAG 2.1, relative luminance of an sRGB colour. */
static double
luminance (const char colour[8])
{
  static const double weights[] = { 0.2126, 0.7152, 0.0722 };
  double sum = 0;

  for (int i = 0; i < 3; i++)
    {
      int high = g_ascii_xdigit_value (colour[1 + 2 * i]), low = g_ascii_xdigit_value (colour[2 + 2 * i]);
      double value = (high * 16 + low) / 255.0;

      sum += weights[i] * (value <= 0.04045 ? value / 12.92 : pow ((value + 0.055) / 1.055, 2.4));
    }
  return sum;
}

static gboolean
check_contrast (const char foreground[8], const char background[8], int line, GError **error)
{
  double a = luminance (foreground), b = luminance (background);
  double contrast = (MAX (a, b) + 0.05) / (MIN (a, b) + 0.05);

  if (contrast < 4.5)
    return wrong (error, line, "text of %s on %s has a contrast of %.1f : 1; 4.5 is the least", foreground, background,
                  contrast);
  return TRUE;
}

/* A walk over "key value" pairs behind the fixed part of a statement. */
typedef struct
{
  char **tokens;
  guint  n, at;
  int    line;
  GString *seen;
} Options;

static gboolean
next_value (Options *options, const char *key, const char **ret, GError **error)
{
  if (options->at >= options->n)
    return wrong (error, options->line, "\"%s\" wants a value", key);
  *ret = options->tokens[options->at++];
  return TRUE;
}

static gboolean
once (Options *options, const char *key, GError **error)
{
  g_autofree char *mark = g_strconcat ("\n", key, "\n", NULL);

  if (strstr (options->seen->str, mark))
    return wrong (error, options->line, "\"%s\" stands there twice", key);
  g_string_append (options->seen, mark);
  return TRUE;
}

static gboolean
check_sentence (const char *text, int line, GError **error)
{
  for (const char *at = text; *at; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      if (!g_unichar_isprint (c) || g_unichar_type (c) == G_UNICODE_FORMAT)
        return wrong (error, line, "a character that cannot be shown");
    }
  if (!*text)
    return wrong (error, line, "an empty text");
  return TRUE;
}

static gboolean
read_level (Encodings *self, Options *options, GError **error)
{
  Level *level = g_new0 (Level, 1);
  const char *key, *value = NULL;

  level->line = options->line;
  if (self->levels->len == MAX_LEVELS)
    {
      level_free (level);
      return wrong (error, options->line, "more than %d levels", MAX_LEVELS);
    }
  g_ptr_array_add (self->levels, level);
  if (options->n < 3)
    return wrong (error, options->line, "level VALUE \"NAME\" short S foreground #rrggbb background #rrggbb pattern P");
  if (!read_number (options->tokens[1], 255, &level->value, "a level", options->line, error)
      || !check_name (options->tokens[2], options->line, error))
    return FALSE;
  level->name = g_strdup (options->tokens[2]);
  options->at = 3;
  while (options->at < options->n)
    {
      key = options->tokens[options->at++];
      if (!once (options, key, error) || !next_value (options, key, &value, error))
        return FALSE;
      if (g_str_equal (key, "short"))
        {
          if (!check_name (value, options->line, error))
            return FALSE;
          level->short_name = g_strdup (value);
        }
      else if (g_str_equal (key, "foreground"))
        {
          if (!read_colour (value, level->foreground, options->line, error))
            return FALSE;
        }
      else if (g_str_equal (key, "background"))
        {
          if (!read_colour (value, level->background, options->line, error))
            return FALSE;
        }
      else if (g_str_equal (key, "pattern"))
        {
          if (!read_pattern (value, &level->pattern, options->line, error))
            return FALSE;
        }
      else if (g_str_equal (key, "handling"))
        {
          if (!check_sentence (value, options->line, error))
            return FALSE;
          level->handling = g_strdup (value);
        }
      else
        return wrong (error, options->line, "a level has no \"%s\"", key);
    }
  if (!level->short_name || !*level->foreground || !*level->background || !level->pattern)
    return wrong (error, options->line, "a level needs short, foreground, background and pattern");
  return check_contrast (level->foreground, level->background, options->line, error);
}

static gboolean
read_group (Encodings *self, Options *options, GError **error)
{
  Group *group = g_new0 (Group, 1);
  const char *key, *value = NULL;

  group->line = options->line;
  if (self->groups->len == MAX_GROUPS)
    {
      group_free (group);
      return wrong (error, options->line, "more than %d groups", MAX_GROUPS);
    }
  g_ptr_array_add (self->groups, group);
  if (options->n < 2)
    return wrong (error, options->line, "group NAME [prefix TEXT] [foreground #rrggbb background #rrggbb] [pattern P]");
  for (guint i = 0; i + 1 < self->groups->len; i++)
    if (g_str_equal (((Group *) self->groups->pdata[i])->name, options->tokens[1]))
      return wrong (error, options->line, "a second group \"%s\"", options->tokens[1]);
  group->name = g_strdup (options->tokens[1]);
  options->at = 2;
  while (options->at < options->n)
    {
      key = options->tokens[options->at++];
      if (!once (options, key, error) || !next_value (options, key, &value, error))
        return FALSE;
      if (g_str_equal (key, "prefix"))
        {
          if (!*value || strpbrk (value, "/[]"))
            return wrong (error, options->line, "\"%s\" is no prefix", value);
          group->prefix = g_strdup (value);
        }
      else if (g_str_equal (key, "foreground"))
        {
          if (!read_colour (value, group->foreground, options->line, error))
            return FALSE;
        }
      else if (g_str_equal (key, "background"))
        {
          if (!read_colour (value, group->background, options->line, error))
            return FALSE;
        }
      else if (g_str_equal (key, "pattern"))
        {
          if (!read_pattern (value, &group->pattern, options->line, error))
            return FALSE;
        }
      else
        return wrong (error, options->line, "a group has no \"%s\"", key);
    }
  if (!*group->foreground != !*group->background)
    return wrong (error, options->line, "foreground and background of a group go together");
  return !*group->foreground || check_contrast (group->foreground, group->background, options->line, error);
}

static gboolean
read_word (Encodings *self, Options *options, gboolean integrity, GError **error)
{
  GPtrArray *words = integrity ? self->integrity_words : self->words;
  Word *word = g_new0 (Word, 1);
  gboolean has_category = FALSE;
  const char *key, *value = NULL;

  word->line = options->line;
  word->exclude_names = g_ptr_array_new_with_free_func (g_free);
  word->require_names = g_ptr_array_new_with_free_func (g_free);
  if (words->len == MAX_WORDS)
    {
      word_free (word);
      return wrong (error, options->line, "more than %d words", MAX_WORDS);
    }
  g_ptr_array_add (words, word);
  if (options->n < 2 || !check_name (options->tokens[1], options->line, error))
    return options->n < 2 ? wrong (error, options->line, "a word needs its name") : FALSE;
  word->name = g_strdup (options->tokens[1]);
  options->at = 2;
  while (options->at < options->n)
    {
      gboolean repeats;

      key = options->tokens[options->at++];
      repeats = g_str_equal (key, "excludes") || g_str_equal (key, "requires");
      if (!repeats && !once (options, key, error))
        return FALSE;
      if (g_str_equal (key, "inverse") && !integrity)
        {
          word->inverse = TRUE;
          continue;
        }
      if (!next_value (options, key, &value, error))
        return FALSE;
      if (g_str_equal (key, "short"))
        {
          if (!check_name (value, options->line, error))
            return FALSE;
          word->short_name = g_strdup (value);
        }
      else if (g_str_equal (key, "category"))
        {
          if (!read_number (value, LABEL_CATEGORIES - 1, &word->category, "a category", options->line, error))
            return FALSE;
          has_category = TRUE;
        }
      else if (g_str_equal (key, "handling"))
        {
          if (!check_sentence (value, options->line, error))
            return FALSE;
          word->handling = g_strdup (value);
        }
      else if (g_str_equal (key, "group") && !integrity)
        word->group_name = g_strdup (value);
      else if (g_str_equal (key, "minimum"))
        word->minimum_name = g_strdup (value);
      else if (g_str_equal (key, "maximum"))
        word->maximum_name = g_strdup (value);
      else if (g_str_equal (key, "excludes") && !integrity)
        g_ptr_array_add (word->exclude_names, g_strdup (value));
      else if (g_str_equal (key, "requires") && !integrity)
        g_ptr_array_add (word->require_names, g_strdup (value));
      else
        return wrong (error, options->line, "a word has no \"%s\"", key);
    }
  if (!has_category)
    return wrong (error, options->line, "a word needs its category");
  if (!word->short_name)
    word->short_name = g_strdup (word->name);
  if (!integrity && !word->group_name)
    return wrong (error, options->line, "a word needs its group");
  if (word->inverse && !word->minimum_name)
    return wrong (error, options->line, "an inverse word needs the minimum from which its category is set");
  return TRUE;
}

static gboolean
read_integrity_level (Encodings *self, Options *options, GError **error)
{
  Level *level = g_new0 (Level, 1);

  level->line = options->line;
  g_ptr_array_add (self->integrity_levels, level);
  if (self->integrity_levels->len > MAX_LEVELS)
    return wrong (error, options->line, "more than %d levels", MAX_LEVELS);
  if (options->n < 3 || options->n > 4 || (options->n == 4 && !g_str_equal (options->tokens[3], "default")))
    return wrong (error, options->line, "integrity-level VALUE \"NAME\" [default]");
  if (!read_number (options->tokens[1], 255, &level->value, "a level", options->line, error)
      || !check_name (options->tokens[2], options->line, error))
    return FALSE;
  level->name = g_strdup (options->tokens[2]);
  level->is_default = options->n == 4;
  return TRUE;
}

static gboolean
read_range (Encodings *self, Options *options, GError **error)
{
  Range *range;

  if (options->n != 4 || !(g_str_equal (options->tokens[2], "only") || g_str_equal (options->tokens[2], "except")))
    return wrong (error, options->line, "range \"LEVEL\" only|except \"BANNER\"");
  if (self->ranges->len == MAX_RANGES)
    return wrong (error, options->line, "more than %d ranges", MAX_RANGES);
  range = g_new0 (Range, 1);
  range->line = options->line;
  range->level_name = g_strdup (options->tokens[1]);
  range->kind = g_str_equal (options->tokens[2], "only") ? RANGE_ONLY : RANGE_EXCEPT;
  range->text = g_strdup (options->tokens[3]);
  g_ptr_array_add (self->ranges, range);
  return TRUE;
}

static gboolean
read_single (Options *options, char **field, int *ret_line, GError **error)
{
  if (options->n != 2)
    return wrong (error, options->line, "\"%s\" has one value", options->tokens[0]);
  if (*field)
    return wrong (error, options->line, "a second \"%s\"", options->tokens[0]);
  if (!check_sentence (options->tokens[1], options->line, error))
    return FALSE;
  *field = g_strdup (options->tokens[1]);
  if (ret_line)
    *ret_line = options->line;
  return TRUE;
}

static gboolean
read_statement (Encodings *self, Options *options, GError **error)
{
  const char *keyword = options->tokens[0];

  if (g_str_equal (keyword, "name"))
    {
      if (!read_single (options, &self->name, NULL, error))
        return FALSE;
      if (strspn (self->name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen (self->name) || strlen (self->name) > 64)
        return wrong (error, options->line, "a name of encodings has small letters, digits and hyphens");
      return TRUE;
    }
  if (g_str_equal (keyword, "title"))
    return read_single (options, &self->title, NULL, error);
  if (g_str_equal (keyword, "version"))
    return read_single (options, &self->version, NULL, error);
  if (g_str_equal (keyword, "date"))
    {
      g_autoptr (GDateTime) date = NULL;
      g_autofree char *full = NULL;

      if (!read_single (options, &self->date, NULL, error))
        return FALSE;
      full = g_strconcat (self->date, "T00:00:00Z", NULL);
      date = strlen (self->date) == 10 ? g_date_time_new_from_iso8601 (full, NULL) : NULL;
      return date || wrong (error, options->line, "a date is YYYY-MM-DD, not \"%s\"", self->date);
    }
  if (g_str_equal (keyword, "level"))
    return read_level (self, options, error);
  if (g_str_equal (keyword, "group"))
    return read_group (self, options, error);
  if (g_str_equal (keyword, "word"))
    return read_word (self, options, FALSE, error);
  if (g_str_equal (keyword, "integrity-level"))
    return read_integrity_level (self, options, error);
  if (g_str_equal (keyword, "integrity-word"))
    return read_word (self, options, TRUE, error);
  if (g_str_equal (keyword, "range"))
    return read_range (self, options, error);
  if (g_str_equal (keyword, "host-label"))
    return read_single (options, &self->host_text, &self->host_line, error);
  if (g_str_equal (keyword, "default-label"))
    return read_single (options, &self->default_text, &self->default_line, error);
  if (g_str_equal (keyword, "clearance-low"))
    return read_single (options, &self->low_text, &self->low_line, error);
  if (g_str_equal (keyword, "clearance-high"))
    return read_single (options, &self->high_text, &self->high_line, error);
  if (g_str_equal (keyword, "encrypt-above"))
    return read_single (options, &self->encrypt_text, &self->encrypt_line, error);
  return wrong (error, options->line, "unknown statement \"%.40s\"", keyword);
}

/* ------------------------------------------------------------------------------------------------ the whole */

static Level *
find_level (GPtrArray *levels, const char *name)
{
  for (guint i = 0; i < levels->len; i++)
    {
      Level *level = levels->pdata[i];

      if (g_ascii_strcasecmp (level->name, name) == 0
          || (level->short_name && g_ascii_strcasecmp (level->short_name, name) == 0))
        return level;
    }
  return NULL;
}

static Level *
level_of_value (GPtrArray *levels, guint8 value)
{
  for (guint i = 0; i < levels->len; i++)
    if (((Level *) levels->pdata[i])->value == value)
      return levels->pdata[i];
  return NULL;
}

static Word *
find_word (GPtrArray *words, const char *name)
{
  for (guint i = 0; i < words->len; i++)
    {
      Word *word = words->pdata[i];

      if (g_ascii_strcasecmp (word->name, name) == 0 || g_ascii_strcasecmp (word->short_name, name) == 0)
        return word;
    }
  return NULL;
}

static gint
compare_levels (gconstpointer a, gconstpointer b)
{
  return (*(Level *const *) a)->value - (*(Level *const *) b)->value;
}

static gboolean
check_levels (GPtrArray *levels, const char *what, int last_line, GError **error)
{
  if (!levels->len)
    return wrong (error, last_line, "there is no %s", what);
  for (guint i = 0; i < levels->len; i++)
    for (guint k = 0; k < i; k++)
      {
        Level *a = levels->pdata[k], *b = levels->pdata[i];

        if (a->value == b->value)
          return wrong (error, b->line, "%s %d is already \"%s\"", what, b->value, a->name);
        if (find_level (levels, b->name) != b || (b->short_name && find_level (levels, b->short_name) != b))
          return wrong (error, b->line, "the name of \"%s\" is taken", b->name);
      }
  g_ptr_array_sort (levels, compare_levels);
  return TRUE;
}

static gboolean
check_words (Encodings *self, GPtrArray *words, GPtrArray *levels, gboolean integrity, GError **error)
{
  for (guint i = 0; i < words->len; i++)
    {
      Word *word = words->pdata[i];
      Level *minimum = word->minimum_name ? find_level (levels, word->minimum_name) : NULL;
      Level *maximum = word->maximum_name ? find_level (levels, word->maximum_name) : NULL;

      if (find_word (words, word->name) != word || find_word (words, word->short_name) != word
          || find_level (levels, word->name) || find_level (levels, word->short_name))
        return wrong (error, word->line, "the name of \"%s\" is taken", word->name);
      for (guint k = 0; k < i; k++)
        if (((Word *) words->pdata[k])->category == word->category)
          return wrong (error, word->line, "category %d is already \"%s\"", word->category,
                        ((Word *) words->pdata[k])->name);
      if (word->minimum_name && !minimum)
        return wrong (error, word->line, "there is no level \"%s\"", word->minimum_name);
      if (word->maximum_name && !maximum)
        return wrong (error, word->line, "there is no level \"%s\"", word->maximum_name);
      word->minimum = minimum ? minimum->value : 0;
      word->maximum = maximum ? maximum->value : 255;
      if (word->minimum > word->maximum)
        return wrong (error, word->line, "\"%s\" has a minimum above its maximum", word->name);
      if (integrity)
        continue;
      for (word->group = 0; word->group < self->groups->len; word->group++)
        if (g_str_equal (((Group *) self->groups->pdata[word->group])->name, word->group_name))
          break;
      if (word->group == self->groups->len)
        return wrong (error, word->line, "there is no group \"%s\"", word->group_name);
      for (guint pass = 0; pass < 2; pass++)
        {
          GPtrArray *names = pass ? word->require_names : word->exclude_names;

          for (guint k = 0; k < names->len; k++)
            {
              Word *other = find_word (words, names->pdata[k]);

              if (!other)
                return wrong (error, word->line, "there is no word \"%s\"", (char *) names->pdata[k]);
              if (other == word)
                return wrong (error, word->line, "\"%s\" %s itself", word->name, pass ? "requires" : "excludes");
              for (guint j = 0; !pass && j < word->require_names->len; j++)
                if (find_word (words, word->require_names->pdata[j]) == other)
                  return wrong (error, word->line, "\"%s\" requires and excludes \"%s\"", word->name, other->name);
            }
        }
    }
  return TRUE;
}

static gboolean
check_text_label (Encodings *self, const char *text, int line, gboolean clearance, Label *ret, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (clearance ? encodings_read_clearance (self, text, ret, &local) : encodings_read_label (self, text, ret, &local))
    return TRUE;
  return wrong (error, line, "%s", local->message);
}

/* Everything allowed: what nobody is cleared beyond. */
static void
highest_label (const Encodings *self, Label *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->secrecy.level = ((Level *) self->levels->pdata[self->levels->len - 1])->value;
  ret->integrity.level = ((Level *) self->integrity_levels->pdata[self->integrity_levels->len - 1])->value;
  for (guint i = 0; i < self->words->len; i++)
    ret->secrecy.categories[((Word *) self->words->pdata[i])->category] = 1;
  for (guint i = 0; i < self->integrity_words->len; i++)
    ret->integrity.categories[((Word *) self->integrity_words->pdata[i])->category] = 1;
}

static gboolean
check_whole (Encodings *self, int last_line, GError **error)
{
  guint n_defaults = 0;

  if (!self->name || !self->title || !self->version || !self->date)
    return wrong (error, last_line, "name, title, version or date is missing");
  if (!check_levels (self->levels, "level", last_line, error)
      || !check_levels (self->integrity_levels, "integrity-level", last_line, error))
    return FALSE;
  for (guint i = 0; i < self->integrity_levels->len; i++)
    n_defaults += ((Level *) self->integrity_levels->pdata[i])->is_default ? 1 : 0;
  if (n_defaults != 1)
    return wrong (error, last_line, "%u integrity levels are marked default; one must be", n_defaults);
  if (!check_words (self, self->words, self->levels, FALSE, error)
      || !check_words (self, self->integrity_words, self->integrity_levels, TRUE, error))
    return FALSE;
  for (guint i = 0; i < self->groups->len; i++)
    {
      Group *group = self->groups->pdata[i];
      gboolean used = FALSE;

      for (guint k = 0; k < self->words->len; k++)
        used |= ((Word *) self->words->pdata[k])->group == i;
      if (!used)
        return wrong (error, group->line, "no word is in group \"%s\"", group->name);
    }
  if (self->encrypt_text)
    {
      Level *level = find_level (self->levels, self->encrypt_text);

      if (!level)
        return wrong (error, self->encrypt_line, "there is no level \"%s\"", self->encrypt_text);
      self->encrypt_above = level->value;
    }
  for (guint i = 0; i < self->ranges->len; i++)
    {
      Range *range = self->ranges->pdata[i];
      Level *level = find_level (self->levels, range->level_name);

      if (!level)
        return wrong (error, range->line, "there is no level \"%s\"", range->level_name);
      if (!check_text_label (self, range->text, range->line, TRUE, &range->label, error))
        return FALSE;
      if (range->label.secrecy.level != level->value)
        return wrong (error, range->line, "\"%s\" is not of level \"%s\"", range->text, level->name);
    }
  if (!self->host_text || !self->default_text || !self->low_text || !self->high_text)
    return wrong (error, last_line, "host-label, default-label, clearance-low or clearance-high is missing");
  if (!check_text_label (self, self->host_text, self->host_line, FALSE, &self->host, error)
      || !check_text_label (self, self->default_text, self->default_line, FALSE, &self->standard, error)
      || !check_text_label (self, self->low_text, self->low_line, TRUE, &self->low, error))
    return FALSE;
  if (g_str_equal (self->high_text, "ALL"))
    highest_label (self, &self->high);
  else if (!check_text_label (self, self->high_text, self->high_line, TRUE, &self->high, error))
    return FALSE;
  if (!label_half_dominates (&self->high.secrecy, &self->low.secrecy)
      || !label_half_dominates (&self->high.integrity, &self->low.integrity))
    return wrong (error, self->high_line, "the high clearance does not dominate the low one");
  return TRUE;
}

Encodings *
encodings_parse (const char *text, gsize n_bytes, GError **error)
{
  g_autoptr (Encodings) self = encodings_new ();
  g_auto (GStrv) lines = NULL;
  gboolean started = FALSE;
  guint n_lines;

  if (n_bytes > MAX_FILE_BYTES)
    return wrong (error, 1, "the file is larger than %d KiB", MAX_FILE_BYTES / 1024), NULL;
  if (!g_utf8_validate_len (text, n_bytes, NULL))
    {
      const char *end = NULL;
      int line = 1;

      g_utf8_validate_len (text, n_bytes, &end);
      for (const char *at = text; at < end; at++)
        line += *at == '\n';
      return wrong (error, line, "not UTF-8, or a NUL byte"), NULL;
    }
  {
    g_autofree char *copy = g_strndup (text, n_bytes);

    lines = g_strsplit (copy, "\n", -1);
  }
  n_lines = g_strv_length (lines);
  for (guint i = 0; i < n_lines; i++)
    {
      int line = (int) i + 1;
      char *tokens[MAX_TOKENS] = { NULL };
      Options options = { tokens, 0, 1, line, NULL };
      gboolean good;

      if (strlen (lines[i]) > MAX_LINE_BYTES)
        return wrong (error, line, "longer than %d bytes", MAX_LINE_BYTES), NULL;
      if (*g_strchug (lines[i]) == '#' || !*g_strchomp (lines[i]))
        continue;
      options.seen = g_string_new (NULL);
      good = tokenize (lines[i], line, tokens, &options.n, error);
      if (good && !started)
        {
          good = options.n == 2 && g_str_equal (tokens[0], "bulkhead-encodings") && g_str_equal (tokens[1], "1");
          if (!good)
            wrong (error, line, "the first statement must be \"bulkhead-encodings 1\"");
          started = TRUE;
        }
      else if (good)
        good = read_statement (self, &options, error);
      g_string_free (options.seen, TRUE);
      for (guint k = 0; k < MAX_TOKENS; k++)
        g_free (tokens[k]);
      if (!good)
        return NULL;
    }
  if (!started)
    return wrong (error, 1, "the first statement must be \"bulkhead-encodings 1\""), NULL;
  if (!check_whole (self, (int) n_lines, error))
    return NULL;
  return g_steal_pointer (&self);
}

Encodings *
encodings_load (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  Encodings *self;
  gsize n_bytes;

  if (!g_file_get_contents (path, &text, &n_bytes, error))
    return NULL;
  self = encodings_parse (text, n_bytes, error);
  if (!self)
    g_prefix_error (error, "%s: ", path);
  return self;
}

/* ------------------------------------------------------------------------------------------------ labels */

static gboolean G_GNUC_PRINTF (2, 3)
no_label (GError **error, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, ENCODINGS_ERROR, ENCODINGS_ERROR_LABEL, text);
  return FALSE;
}

/* A word is in a label when its category is set; an inverse word when it is not, from its minimum level on. */
static gboolean
word_present (const Word *word, const LabelHalf *half)
{
  if (word->inverse)
    return half->level >= word->minimum && !half->categories[word->category];
  return half->categories[word->category] != 0;
}

static gboolean
check_half (GPtrArray *levels, GPtrArray *words, const LabelHalf *half, const char *what, GError **error)
{
  guint64 known = 0;
  Level *level = level_of_value (levels, half->level);

  if (!level)
    return no_label (error, "there is no %s level %d in these encodings", what, half->level);
  for (guint i = 0; i < words->len; i++)
    {
      Word *word = words->pdata[i];

      known |= (guint64) 1 << word->category;
      if (word->inverse && half->categories[word->category] && half->level < word->minimum)
        return no_label (error, "category %d has no meaning at \"%s\"", word->category, level->name);
      if (!word_present (word, half))
        continue;
      if (half->level < word->minimum)
        return no_label (error, "\"%s\" needs at least level \"%s\"", word->name, word->minimum_name);
      if (half->level > word->maximum && !word->inverse)
        return no_label (error, "\"%s\" goes up to level \"%s\" only", word->name, word->maximum_name);
      for (guint k = 0; k < word->exclude_names->len; k++)
        {
          Word *other = find_word (words, word->exclude_names->pdata[k]);

          if (word_present (other, half))
            return no_label (error, "\"%s\" excludes \"%s\"", word->name, other->name);
        }
      for (guint k = 0; k < word->require_names->len; k++)
        {
          Word *other = find_word (words, word->require_names->pdata[k]);

          if (!word_present (other, half))
            return no_label (error, "\"%s\" requires \"%s\"", word->name, other->name);
        }
    }
  for (guint i = 0; i < LABEL_CATEGORIES; i++)
    if (half->categories[i] && !(known >> i & 1))
      return no_label (error, "there is no %s category %u in these encodings", what, i);
  return TRUE;
}

static gboolean
half_equal (const LabelHalf *a, const LabelHalf *b)
{
  return label_half_dominates (a, b) && label_half_dominates (b, a);
}

gboolean
encodings_check_label (const Encodings *self, const Label *label, GError **error)
{
  gboolean listed = FALSE, only = FALSE;

  if (!check_half (self->levels, self->words, &label->secrecy, "secrecy", error)
      || !check_half (self->integrity_levels, self->integrity_words, &label->integrity, "integrity", error))
    return FALSE;
  for (guint i = 0; i < self->ranges->len; i++)
    {
      const Range *range = self->ranges->pdata[i];
      gboolean same;

      if (range->label.secrecy.level != label->secrecy.level)
        continue;
      same = half_equal (&range->label.secrecy, &label->secrecy);
      if (range->kind == RANGE_EXCEPT && same)
        return no_label (error, "\"%s\" is outside the range of these encodings", range->text);
      only |= range->kind == RANGE_ONLY;
      listed |= range->kind == RANGE_ONLY && same;
    }
  return !only || listed || no_label (error, "the label is outside the range of these encodings");
}

/* "SECRET//SI/TK//NOFORN" */
static gboolean
read_secrecy (const Encodings *self, const char *text, LabelHalf *ret, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, "//", -1);
  guint64 groups_seen = 0;
  LabelHalf half = { 0 };
  Level *level;

  level = parts[0] ? find_level (self->levels, parts[0]) : NULL;
  if (!level)
    return no_label (error, "there is no level \"%s\" in the encodings \"%s\"", parts[0] ? parts[0] : "", self->name);
  half.level = level->value;
  for (guint i = 0; i < self->words->len; i++)
    {
      const Word *word = self->words->pdata[i];

      if (word->inverse && half.level >= word->minimum)
        half.categories[word->category] = 1;
    }
  for (guint p = 1; parts[p]; p++)
    {
      g_auto (GStrv) names = NULL;
      const char *rest = parts[p];
      int group_here = -1;

      for (guint g = 0; g < self->groups->len; g++)
        {
          const Group *group = self->groups->pdata[g];

          if (group->prefix && g_ascii_strncasecmp (rest, group->prefix, strlen (group->prefix)) == 0)
            {
              group_here = (int) g;
              rest += strlen (group->prefix);
              break;
            }
        }
      names = g_strsplit (rest, "/", -1);
      for (guint n = 0; names[n]; n++)
        {
          const Word *word = find_word (self->words, names[n]);
          const Group *group = word ? self->groups->pdata[word->group] : NULL;

          if (!word)
            return no_label (error, "there is no word \"%s\" in the encodings \"%s\"", names[n], self->name);
          if (n == 0 && group_here < 0 && !group->prefix)
            {
              group_here = (int) word->group;
            }
          if (group_here != (int) word->group)
            return no_label (error, "\"%s\" does not belong beside its neighbours (group \"%s\")", word->name, group->name);
          if (word->inverse ? half.level < word->minimum : half.categories[word->category] != 0)
            return word->inverse ? no_label (error, "\"%s\" needs at least level \"%s\"", word->name, word->minimum_name)
                                 : no_label (error, "\"%s\" stands there twice", word->name);
          if (word->inverse && !half.categories[word->category])
            return no_label (error, "\"%s\" stands there twice", word->name);
          half.categories[word->category] = word->inverse ? 0 : 1;
        }
      if (group_here < 0)
        return no_label (error, "an empty part in \"%s\"", text);
      if (groups_seen >> group_here & 1)
        return no_label (error, "group \"%s\" stands there twice", ((Group *) self->groups->pdata[group_here])->name);
      groups_seen |= (guint64) 1 << group_here;
    }
  *ret = half;
  return TRUE;
}

static Level *
default_integrity (const Encodings *self)
{
  for (guint i = 0; i < self->integrity_levels->len; i++)
    if (((Level *) self->integrity_levels->pdata[i])->is_default)
      return self->integrity_levels->pdata[i];
  return self->integrity_levels->pdata[0];
}

/* "VERIFIED/SIGNED", the text between the brackets. */
static gboolean
read_integrity (const Encodings *self, const char *text, LabelHalf *ret, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, "/", -1);
  Level *level = parts[0] ? find_level (self->integrity_levels, parts[0]) : NULL;
  LabelHalf half = { 0 };

  if (!level)
    return no_label (error, "there is no integrity level \"%s\" in the encodings \"%s\"", parts[0] ? parts[0] : "",
                     self->name);
  half.level = level->value;
  for (guint p = 1; parts[p]; p++)
    {
      const Word *word = find_word (self->integrity_words, parts[p]);

      if (!word)
        return no_label (error, "there is no integrity word \"%s\" in the encodings \"%s\"", parts[p], self->name);
      if (half.categories[word->category])
        return no_label (error, "\"%s\" stands there twice", word->name);
      half.categories[word->category] = 1;
    }
  *ret = half;
  return TRUE;
}

gboolean
encodings_read_clearance (const Encodings *self, const char *text, Label *ret_label, GError **error)
{
  g_autofree char *copy = NULL;
  Label label;
  char *bracket;
  gsize length;

  if (label_parse (text, &label))
    {
      *ret_label = label;
      return TRUE;
    }
  if (strlen (text) > MAX_LINE_BYTES)
    return no_label (error, "the label is too long");
  copy = g_strstrip (g_strdup (text));
  length = strlen (copy);
  bracket = strchr (copy, '[');
  memset (&label, 0, sizeof label);
  label.integrity.level = default_integrity (self)->value;
  if (bracket)
    {
      if (copy[length - 1] != ']' || bracket == copy || bracket[-1] != ' ')
        return no_label (error, "\"%s\": the integrity stands in brackets at the end", text);
      copy[length - 1] = '\0';
      bracket[-1] = '\0';
      if (!read_integrity (self, bracket + 1, &label.integrity, error))
        return FALSE;
    }
  if (!read_secrecy (self, copy, &label.secrecy, error))
    return FALSE;
  *ret_label = label;
  return TRUE;
}

gboolean
encodings_read_label (const Encodings *self, const char *text, Label *ret_label, GError **error)
{
  Label label;

  if (!encodings_read_clearance (self, text, &label, error) || !encodings_check_label (self, &label, error))
    return FALSE;
  *ret_label = label;
  return TRUE;
}

/* Whether every bit of the half has a word, so that the banner says all there is. */
static gboolean
half_has_words (GPtrArray *levels, GPtrArray *words, const LabelHalf *half)
{
  if (!level_of_value (levels, half->level))
    return FALSE;
  for (guint i = 0; i < LABEL_CATEGORIES; i++)
    {
      gboolean known = FALSE;

      for (guint k = 0; k < words->len && !known; k++)
        {
          const Word *word = words->pdata[k];

          known = word->category == i && !(word->inverse && half->level < word->minimum);
        }
      if (half->categories[i] && !known)
        return FALSE;
    }
  return TRUE;
}

char *
encodings_banner (const Encodings *self, const Label *label)
{
  GString *text;
  Level *standard = default_integrity (self);
  gboolean integrity_differs = label->integrity.level != standard->value;

  if (!half_has_words (self->levels, self->words, &label->secrecy)
      || !half_has_words (self->integrity_levels, self->integrity_words, &label->integrity))
    {
      char canonical[LABEL_TEXT_BYTES];

      label_print (label, canonical);
      return g_strdup (canonical);
    }
  text = g_string_new (level_of_value (self->levels, label->secrecy.level)->name);
  for (guint g = 0; g < self->groups->len; g++)
    {
      const Group *group = self->groups->pdata[g];
      gboolean first = TRUE;

      for (guint i = 0; i < self->words->len; i++)
        {
          const Word *word = self->words->pdata[i];

          if (word->group != g || !word_present (word, &label->secrecy))
            continue;
          if (first)
            g_string_append_printf (text, "//%s", group->prefix ? group->prefix : "");
          else
            g_string_append_c (text, '/');
          g_string_append (text, word->name);
          first = FALSE;
        }
    }
  for (guint i = 0; i < LABEL_CATEGORIES; i++)
    integrity_differs |= label->integrity.categories[i] != 0;
  if (integrity_differs)
    {
      g_string_append_printf (text, " [%s", level_of_value (self->integrity_levels, label->integrity.level)->name);
      for (guint i = 0; i < self->integrity_words->len; i++)
        {
          const Word *word = self->integrity_words->pdata[i];

          if (label->integrity.categories[word->category])
            g_string_append_printf (text, "/%s", word->name);
        }
      g_string_append_c (text, ']');
    }
  return g_string_free (text, FALSE);
}

char *
encodings_handling (const Encodings *self, const Label *label)
{
  GString *text = g_string_new (NULL);
  Level *level = level_of_value (self->levels, label->secrecy.level);

  if (level && level->handling)
    g_string_append_printf (text, "%s\n", level->handling);
  for (guint i = 0; i < self->words->len; i++)
    {
      const Word *word = self->words->pdata[i];

      if (word->handling && word_present (word, &label->secrecy))
        g_string_append_printf (text, "%s\n", word->handling);
    }
  return g_string_free (text, FALSE);
}

void
encodings_colours (const Encodings *self, const Label *label, EncodingsColours *ret_colours)
{
  const Level *level = NULL;

  /* A level without a name here is shown as the next higher named one: rather too high than too low. */
  for (guint i = 0; i < self->levels->len; i++)
    {
      level = self->levels->pdata[i];
      ret_colours->rank = i;
      if (level->value >= label->secrecy.level)
        break;
    }
  ret_colours->foreground = level->foreground;
  ret_colours->background = level->background;
  ret_colours->pattern = level->pattern;
  for (guint i = 0; i < self->words->len; i++)
    {
      const Word *word = self->words->pdata[i];
      const Group *group = self->groups->pdata[word->group];

      if (!word_present (word, &label->secrecy))
        continue;
      if (*group->foreground)
        {
          ret_colours->foreground = group->foreground;
          ret_colours->background = group->background;
        }
      if (group->pattern)
        ret_colours->pattern = group->pattern;
    }
}

gboolean
encodings_wants_encryption (const Encodings *self, const Label *label)
{
  return label->secrecy.level > self->encrypt_above;
}

const char *
encodings_name (const Encodings *self)
{
  return self->name;
}

const char *
encodings_title (const Encodings *self)
{
  return self->title;
}

const char *
encodings_version (const Encodings *self)
{
  return self->version;
}

const Label *
encodings_host_label (const Encodings *self)
{
  return &self->host;
}

const Label *
encodings_default_label (const Encodings *self)
{
  return &self->standard;
}

const Label *
encodings_clearance_low (const Encodings *self)
{
  return &self->low;
}

const Label *
encodings_clearance_high (const Encodings *self)
{
  return &self->high;
}

static void
describe_words (const Encodings *self, GPtrArray *words, gboolean integrity, const LabelHalf *high, GVariantBuilder *into)
{
  for (guint i = 0; i < words->len; i++)
    {
      const Word *word = words->pdata[i];
      GVariantBuilder row;

      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&row, "{sv}", "name", g_variant_new_string (word->name));
      g_variant_builder_add (&row, "{sv}", "short", g_variant_new_string (word->short_name));
      g_variant_builder_add (&row, "{sv}", "category", g_variant_new_uint32 (word->category));
      g_variant_builder_add (&row, "{sv}", "reachable",
                             g_variant_new_boolean ((word->inverse || high->categories[word->category])
                                                    && high->level >= word->minimum));
      if (word->minimum_name)
        g_variant_builder_add (&row, "{sv}", "minimum", g_variant_new_string (word->minimum_name));
      if (word->maximum_name)
        g_variant_builder_add (&row, "{sv}", "maximum", g_variant_new_string (word->maximum_name));
      if (!integrity)
        {
          const Group *group = self->groups->pdata[word->group];

          g_variant_builder_add (&row, "{sv}", "group", g_variant_new_string (group->name));
          g_variant_builder_add (&row, "{sv}", "inverse", g_variant_new_boolean (word->inverse));
          g_variant_builder_add (&row, "{sv}", "excludes",
                                 g_variant_new_strv ((const char *const *) word->exclude_names->pdata,
                                                     word->exclude_names->len));
          g_variant_builder_add (&row, "{sv}", "requires",
                                 g_variant_new_strv ((const char *const *) word->require_names->pdata,
                                                     word->require_names->len));
          if (*group->foreground)
            {
              g_variant_builder_add (&row, "{sv}", "foreground", g_variant_new_string (group->foreground));
              g_variant_builder_add (&row, "{sv}", "background", g_variant_new_string (group->background));
            }
        }
      g_variant_builder_add_value (into, g_variant_builder_end (&row));
    }
}

GVariant *
encodings_describe (const Encodings *self, const Label *clearance_high)
{
  GVariantBuilder all, rows;
  g_autofree char *standard = encodings_banner (self, &self->standard);
  g_autofree char *host = encodings_banner (self, &self->host);

  g_variant_builder_init (&all, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&all, "{sv}", "name", g_variant_new_string (self->name));
  g_variant_builder_add (&all, "{sv}", "title", g_variant_new_string (self->title));
  g_variant_builder_add (&all, "{sv}", "version", g_variant_new_string (self->version));
  g_variant_builder_add (&all, "{sv}", "date", g_variant_new_string (self->date));
  g_variant_builder_add (&all, "{sv}", "default-label", g_variant_new_string (standard));
  g_variant_builder_add (&all, "{sv}", "host-label", g_variant_new_string (host));

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->levels->len; i++)
    {
      const Level *level = self->levels->pdata[i];
      GVariantBuilder row;

      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&row, "{sv}", "value", g_variant_new_uint32 (level->value));
      g_variant_builder_add (&row, "{sv}", "name", g_variant_new_string (level->name));
      g_variant_builder_add (&row, "{sv}", "short", g_variant_new_string (level->short_name));
      g_variant_builder_add (&row, "{sv}", "foreground", g_variant_new_string (level->foreground));
      g_variant_builder_add (&row, "{sv}", "background", g_variant_new_string (level->background));
      g_variant_builder_add (&row, "{sv}", "pattern", g_variant_new_string (level->pattern));
      g_variant_builder_add (&row, "{sv}", "integrity", g_variant_new_uint32 (default_integrity (self)->value));
      g_variant_builder_add (&row, "{sv}", "note", g_variant_new_string (level->handling ? level->handling : ""));
      g_variant_builder_add (&row, "{sv}", "reachable", g_variant_new_boolean (level->value <= clearance_high->secrecy.level));
      g_variant_builder_add_value (&rows, g_variant_builder_end (&row));
    }
  g_variant_builder_add (&all, "{sv}", "levels", g_variant_builder_end (&rows));

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->groups->len; i++)
    {
      const Group *group = self->groups->pdata[i];
      GVariantBuilder row;

      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&row, "{sv}", "name", g_variant_new_string (group->name));
      g_variant_builder_add (&row, "{sv}", "prefix", g_variant_new_string (group->prefix ? group->prefix : ""));
      g_variant_builder_add_value (&rows, g_variant_builder_end (&row));
    }
  g_variant_builder_add (&all, "{sv}", "groups", g_variant_builder_end (&rows));

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  describe_words (self, self->words, FALSE, &clearance_high->secrecy, &rows);
  g_variant_builder_add (&all, "{sv}", "words", g_variant_builder_end (&rows));

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->integrity_levels->len; i++)
    {
      const Level *level = self->integrity_levels->pdata[i];
      GVariantBuilder row;

      g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&row, "{sv}", "value", g_variant_new_uint32 (level->value));
      g_variant_builder_add (&row, "{sv}", "name", g_variant_new_string (level->name));
      g_variant_builder_add (&row, "{sv}", "default", g_variant_new_boolean (level->is_default));
      g_variant_builder_add_value (&rows, g_variant_builder_end (&row));
    }
  g_variant_builder_add (&all, "{sv}", "integrity-levels", g_variant_builder_end (&rows));

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  describe_words (self, self->integrity_words, TRUE, &clearance_high->integrity, &rows);
  g_variant_builder_add (&all, "{sv}", "integrity-words", g_variant_builder_end (&rows));
  return g_variant_ref_sink (g_variant_builder_end (&all));
}
