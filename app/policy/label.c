/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "label.h"

#include "mutants.h"

bool
label_half_dominates (const LabelHalf *a, const LabelHalf *b)
{
  if (MUTANT (1) ? a->level + 1 < b->level : MUTANT (2) ? false : a->level < b->level)
    return false;
  /*@ loop invariant 0 <= i <= 64;
      loop invariant \forall integer k; 0 <= k < i ==> (b->categories[k] != 0 ==> a->categories[k] != 0);
      loop assigns i;
      loop variant 64 - i;
  */
  for (size_t i = 0; i < (MUTANT (3) ? LABEL_CATEGORIES - 1 : LABEL_CATEGORIES); i++)
    if (MUTANT (4) ? a->categories[i] && !b->categories[i] : b->categories[i] && !a->categories[i])
      return false;
  return true;
}

bool
label_can_flow (const Label *from, const Label *to)
{
  if (MUTANT (5) ? !label_half_dominates (&from->secrecy, &to->secrecy)
                 : !label_half_dominates (&to->secrecy, &from->secrecy))
    return false;
  if (MUTANT (6))
    return true;
  if (MUTANT (7))
    return label_half_dominates (&to->integrity, &from->integrity);
  return label_half_dominates (&from->integrity, &to->integrity);
}

bool
label_equal (const Label *a, const Label *b)
{
  if (MUTANT (8))
    return label_can_flow (a, b);
  return label_can_flow (a, b) && label_can_flow (b, a);
}

void
label_half_join (const LabelHalf *a, const LabelHalf *b, LabelHalf *ret)
{
  ret->level = a->level > b->level ? a->level : b->level;
  /*@ loop invariant 0 <= i <= 64;
      loop invariant \forall integer k; 0 <= k < i ==>
        (ret->categories[k] != 0 <==> (a->categories[k] != 0 || b->categories[k] != 0));
      loop assigns i, ret->categories[0 .. 63];
      loop variant 64 - i;
  */
  for (size_t i = 0; i < LABEL_CATEGORIES; i++)
    ret->categories[i] = (MUTANT (9) ? a->categories[i] != 0 : a->categories[i] != 0 || b->categories[i] != 0) ? 1 : 0;
}

void
label_half_meet (const LabelHalf *a, const LabelHalf *b, LabelHalf *ret)
{
  ret->level = (MUTANT (10) ? a->level > b->level : a->level < b->level) ? a->level : b->level;
  /*@ loop invariant 0 <= i <= 64;
      loop invariant \forall integer k; 0 <= k < i ==>
        (ret->categories[k] != 0 <==> (a->categories[k] != 0 && b->categories[k] != 0));
      loop assigns i, ret->categories[0 .. 63];
      loop variant 64 - i;
  */
  for (size_t i = 0; i < LABEL_CATEGORIES; i++)
    ret->categories[i] = a->categories[i] != 0 && b->categories[i] != 0 ? 1 : 0;
}

void
label_join (const Label *a, const Label *b, Label *ret)
{
  label_half_join (&a->secrecy, &b->secrecy, &ret->secrecy);
  label_half_meet (&a->integrity, &b->integrity, &ret->integrity);
}

void
label_meet (const Label *a, const Label *b, Label *ret)
{
  label_half_meet (&a->secrecy, &b->secrecy, &ret->secrecy);
  label_half_join (&a->integrity, &b->integrity, &ret->integrity);
}

/* A decimal number 0 .. maximum without leading zeros at *text, which is moved behind it; -1 if there is none. */
static int
parse_number (const char **text, int maximum)
{
  const char *at = *text;
  int value = 0;

  if (*at < '0' || *at > '9')
    return -1;
  if (*at == '0' && at[1] >= '0' && at[1] <= '9')
    return -1;
  while (*at >= '0' && *at <= '9')
    {
      value = value * 10 + (*at++ - '0');
      if (value > maximum)
        return -1;
    }
  *text = at;
  return value;
}

static bool
parse_half (const char **text, char letter, LabelHalf *ret)
{
  LabelHalf half = { 0 };
  const char *at = *text;
  int value, last = -1;

  if (*at++ != letter)
    return false;
  value = parse_number (&at, 255);
  if (value < 0)
    return false;
  half.level = (uint8_t) value;
  if (*at == ':')
    do
      {
        at++;
        value = parse_number (&at, LABEL_CATEGORIES - 1);
        if (value <= last)
          return false;
        half.categories[value] = 1;
        last = value;
      }
    while (*at == ',');
  *text = at;
  *ret = half;
  return true;
}

bool
label_parse (const char *text, Label *ret)
{
  Label label;

  if (!parse_half (&text, 's', &label.secrecy) || *text++ != '/' || !parse_half (&text, 'i', &label.integrity) || *text)
    return false;
  *ret = label;
  return true;
}

static size_t
print_number (unsigned value, char *ret_text)
{
  size_t n = 0;

  if (value >= 100)
    ret_text[n++] = (char) ('0' + value / 100);
  if (value >= 10)
    ret_text[n++] = (char) ('0' + value / 10 % 10);
  ret_text[n++] = (char) ('0' + value % 10);
  return n;
}

static size_t
print_half (const LabelHalf *half, char letter, char *ret_text)
{
  size_t n = 0;
  char separator = ':';

  ret_text[n++] = letter;
  n += print_number (half->level, ret_text + n);
  for (unsigned i = 0; i < LABEL_CATEGORIES; i++)
    if (half->categories[i])
      {
        ret_text[n++] = separator;
        n += print_number (i, ret_text + n);
        separator = ',';
      }
  return n;
}

size_t
label_print (const Label *label, char ret_text[LABEL_TEXT_BYTES])
{
  size_t n = print_half (&label->secrecy, 's', ret_text);

  ret_text[n++] = '/';
  n += print_half (&label->integrity, 'i', ret_text + n);
  ret_text[n] = '\0';
  return n;
}
