#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Proves the contracts of the label functions and the absence of run-time errors in them: prove.sh SOURCE-FOLDER
# Exit 77 (skipped) where Frama-C or a prover is missing.
set -u
source=$1
for tool in frama-c z3; do
  if ! command -v $tool >/dev/null 2>&1; then
    echo "skipped: $tool is not installed (apt install frama-c-base why3 z3)"
    exit 77
  fi
done
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export HOME=$work
export WHY3CONFIG=$work/why3.conf
if command -v why3 >/dev/null 2>&1; then
  why3 config detect >/dev/null 2>&1
fi
provers=z3
command -v cvc4 >/dev/null 2>&1 && provers=z3,cvc4
functions=label_half_dominates,label_can_flow,label_equal,label_half_join,label_half_meet,label_join,label_meet
frama-c -wp -wp-rte -wp-fct "$functions" -wp-prover "$provers" -wp-timeout 30 -wp-par 2 -cpp-extra-args="-I$source" \
  "$source/label.c" >"$work/log" 2>&1
grep -E 'Proved goals|Timeout|Unknown|Failed|error' "$work/log" | head -40
if grep -qiE 'no prover|prover .* not found|plugin.*not found|unknown option|user error' "$work/log"; then
  tail -5 "$work/log"
  echo 'skipped: Frama-C finds no prover here'
  exit 77
fi
line=$(grep -oE 'Proved goals: *[0-9]+ / [0-9]+' "$work/log" | tail -1)
proved=$(echo "$line" | grep -oE '[0-9]+' | head -1)
all=$(echo "$line" | grep -oE '[0-9]+' | tail -1)
[ -n "$proved" ] && [ "$proved" -gt 20 ] && [ "$proved" -eq "$all" ] || exit 1

# A proof that cannot fail proves nothing: with a seeded mistake the goals of this function must not all be proved.
frama-c -wp -wp-fct label_can_flow -wp-prover "$provers" -wp-timeout 5 -wp-par 2 \
  -cpp-extra-args="-I$source -DPOLICY_MUTANT=7" "$source/label.c" >"$work/mutant" 2>&1
line=$(grep -oE 'Proved goals: *[0-9]+ / [0-9]+' "$work/mutant" | tail -1)
proved=$(echo "$line" | grep -oE '[0-9]+' | head -1)
all=$(echo "$line" | grep -oE '[0-9]+' | tail -1)
echo "with a seeded mistake: $proved / $all"
[ -n "$proved" ] && [ "$proved" -lt "$all" ]
