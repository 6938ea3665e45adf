#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs a TAP program on a display and a session bus of its own, with nothing of the user's in reach.
#   on-display.sh [--window-manager] PROGRAM ARGUMENT…
wm=
[ "$1" = --window-manager ] && { wm=openbox; shift; }
for program in Xvfb dbus-run-session $wm; do
  command -v $program >/dev/null || { echo "1..0 # SKIP $program is not installed"; exit 0; }
done
folder=$(mktemp -d) || exit 1
mkdir -m 700 "$folder/run"
export HOME="$folder" XDG_RUNTIME_DIR="$folder/run" XDG_DATA_HOME="$folder/data" XDG_CONFIG_HOME="$folder/config" \
  XDG_CACHE_HOME="$folder/cache" GSETTINGS_BACKEND=memory GDK_BACKEND=x11 GTK_A11Y=${GTK_A11Y:-none} GSK_RENDERER=cairo LC_ALL=C.UTF-8
unset WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS
Xvfb -displayfd 3 -screen 0 1600x1000x24 -nolisten tcp 3>"$folder/display" 2>/dev/null &
xvfb=$!
tries=0
while [ ! -s "$folder/display" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
[ -s "$folder/display" ] || { echo "1..0 # SKIP Xvfb does not start"; kill $xvfb 2>/dev/null; rm -rf "$folder"; exit 0; }
export DISPLAY=:$(cat "$folder/display")
if [ -n "$wm" ]; then $wm >/dev/null 2>&1 & manager=$!; sleep 0.5; fi
dbus-run-session -- "$@" 2>"$folder/stderr"
status=$?
grep -v -e 'fd limit' -e 'menu file' -e 'Portal' "$folder/stderr" >&2
[ -n "$wm" ] && kill $manager 2>/dev/null
kill $xvfb 2>/dev/null
wait 2>/dev/null
rm -rf "$folder"
exit $status
