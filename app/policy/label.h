/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Labels of the VAX security kernel's size: secrecy and integrity, each a level 0-255 and a set of 64 categories.
 *
 * Bell and LaPadula's rule for secrecy, Biba's for integrity: data may flow from A to B when the secrecy of B dominates
 * that of A and the integrity of A dominates that of B.  No allocation, no input or output, no clock; the contracts in
 * ACSL are proved by Frama-C (tests/policy/prove.sh).  Sets are arrays, not masks, because WP proves loops over arrays and not mask
 * algebra; a category counts as present when its byte is not 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LABEL_CATEGORIES = 64, LABEL_TEXT_BYTES = 400 };

typedef struct
{
  uint8_t level;
  uint8_t categories[LABEL_CATEGORIES];
} LabelHalf;

typedef struct
{
  LabelHalf secrecy, integrity;
} Label;

/*@ predicate half_above (LabelHalf *a, LabelHalf *b) =
      a->level >= b->level
      && \forall integer i; 0 <= i < 64 ==> (b->categories[i] != 0 ==> a->categories[i] != 0);

    predicate flow (Label *from, Label *to) =
      half_above (&to->secrecy, &from->secrecy) && half_above (&from->integrity, &to->integrity);
*/

/* Whether a dominates b: at least its level, all its categories. */
/*@ requires \valid_read (a) && \valid_read (b);
    assigns \nothing;
    ensures \result <==> half_above (a, b);
*/
bool label_half_dominates (const LabelHalf *a, const LabelHalf *b);

/* Whether data may flow from one label to the other. */
/*@ requires \valid_read (from) && \valid_read (to);
    assigns \nothing;
    ensures \result <==> flow (from, to);
*/
bool label_can_flow (const Label *from, const Label *to);

/* Flow both ways: the only relation that a two-way channel may have. */
/*@ requires \valid_read (a) && \valid_read (b);
    assigns \nothing;
    ensures \result <==> (flow (a, b) && flow (b, a));
*/
bool label_equal (const Label *a, const Label *b);

/* Least upper and greatest lower bound of two halves.  ret may not be one of the arguments. */
/*@ requires \valid_read (a) && \valid_read (b) && \valid (ret);
    requires \separated (ret, a) && \separated (ret, b);
    assigns *ret;
    ensures half_above (ret, a) && half_above (ret, b);
    ensures ret->level == a->level || ret->level == b->level;
    ensures \forall integer i; 0 <= i < 64 ==>
      (ret->categories[i] != 0 <==> (a->categories[i] != 0 || b->categories[i] != 0));
*/
void label_half_join (const LabelHalf *a, const LabelHalf *b, LabelHalf *ret);

/*@ requires \valid_read (a) && \valid_read (b) && \valid (ret);
    requires \separated (ret, a) && \separated (ret, b);
    assigns *ret;
    ensures half_above (a, ret) && half_above (b, ret);
    ensures ret->level == a->level || ret->level == b->level;
    ensures \forall integer i; 0 <= i < 64 ==>
      (ret->categories[i] != 0 <==> (a->categories[i] != 0 && b->categories[i] != 0));
*/
void label_half_meet (const LabelHalf *a, const LabelHalf *b, LabelHalf *ret);

/* The lowest label to which both may flow (high-water mark: secrecy joined, integrity met), and the highest from
 * which both may be reached. */
/*@ requires \valid_read (a) && \valid_read (b) && \valid (ret);
    requires \separated (ret, a) && \separated (ret, b);
    assigns *ret;
    ensures flow (a, ret) && flow (b, ret);
*/
void label_join (const Label *a, const Label *b, Label *ret);

/*@ requires \valid_read (a) && \valid_read (b) && \valid (ret);
    requires \separated (ret, a) && \separated (ret, b);
    assigns *ret;
    ensures flow (ret, a) && flow (ret, b);
*/
void label_meet (const Label *a, const Label *b, Label *ret);

/* Canonical text s<level>[:<category>,...]/i<level>[:<category>,...], decimal without leading zeros or blanks, categories
 * ascending without repetition.  False and *ret untouched on any other text. */
bool label_parse (const char *text, Label *ret);

/* Writes the canonical text with its NUL; the number of characters.  LABEL_TEXT_BYTES always suffice. */
size_t label_print (const Label *label, char ret_text[LABEL_TEXT_BYTES]);
