#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# check-translations.sh SOURCE_ROOT: POTFILES names every file with translatable text, and each language is sound and complete.
root=$1
n=0
bad=0
say () { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; bad=1; fi; }
missing=
for file in $(cd "$root" && grep -l -e '\b_ *("' -e '\bN_ *("' -e 'ngettext *(' app/main/*.c ui/*.c ui/model/*.c; cd "$root" && ls resources/ui/*.ui resources/gtk/*.ui); do
  grep -qx "$file" "$root/po/POTFILES" || missing="$missing $file"
done
[ -z "$missing" ]; say $? "POTFILES is complete$missing"
if command -v msgfmt >/dev/null; then
  for language in $(grep -v '^#' "$root/po/LINGUAS"); do
    msgfmt -c -o /dev/null "$root/po/$language.po" 2>&1 | sed 's/^/# /'
    msgfmt -c -o /dev/null "$root/po/$language.po" 2>/dev/null; say $? "$language is sound"
    incomplete=$(msgattrib --untranslated "$root/po/$language.po" 2>/dev/null | grep -c '^msgid ')
    [ "$incomplete" -le 1 ]; say $? "$language is complete"
  done
fi
echo "1..$n"
exit $bad
