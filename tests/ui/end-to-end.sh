#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# end-to-end.sh PROGRAM: clicks and types in the real windows on a display with a window manager, and looks at the pixels.
# PROGRAM is app-preview: the application with a guard in memory, which prints each packet that a guest would get.
app=$1
for program in xdotool import convert; do
  command -v $program >/dev/null || { echo "1..0 # SKIP $program is not installed"; exit 0; }
done
work=$(mktemp -d)
n=0
bad=0
say () { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; bad=1; fi; }
# rows COLOUR: first and last row of the screen in which a good part has exactly this colour
rows () {
  import -window root -depth 8 "$work/screen.png"
  convert "$work/screen.png" -fill black +opaque "$1" -fill white -opaque "$1" -resize '1x1000!' -threshold 8% txt:- \
    | awk -F'[,:]' '/white|#FFFFFF|gray\(255\)/ { if (first == "") first = $2; last = $2 } END { print first + 0, last + 0, first != "" }'
}
# Appending, so that emptying the log in between leaves no hole.
start () { : > "$work/log"; "$app" "$@" >> "$work/log" 2>> "$work/errors" & pid=$!; }
stop () { kill $pid 2>/dev/null; wait $pid 2>/dev/null; }
window () { for _ in $(seq 60); do id=$(xdotool search --onlyvisible --name "$1" 2>/dev/null | tail -1); [ -n "$id" ] && { echo "$id"; return 0; }; sleep 0.2; done; return 1; }
# log TEXT: the guest gets this within a while
log () { for _ in $(seq 40); do grep -q "$1" "$work/log" && return 0; sleep 0.1; done; return 1; }

start alpha
id=$(window '^alpha$'); say $? 'NAME on the command line opens that machine’s window'
xdotool windowactivate --sync "$id" 2>/dev/null; sleep 2
read -r first last found <<< "$(rows '#c8102e')"
[ "$found" = 1 ] && [ $((last - first)) -gt 100 ]; say $? "label strips above and below in the window ($first…$last of 1000)"

xdotool key a
log '^input 1 30 1' && log '^input 1 30 0'; say $? 'a key goes to the guest by its scan code'
xdotool key F11 ctrl+q ctrl+w ctrl+question
log '^input 1 87 1' && log '^input 1 16 1' && log '^input 1 17 1' && log '^input 1 53 1' && kill -0 $pid; say $? 'keys of the application belong to the guest'

: > "$work/log"
xdotool key ctrl+alt+Return; sleep 2
read -r first last found <<< "$(rows '#c8102e')"
[ "$found" = 1 ] && [ "$first" -lt 40 ] && [ "$last" -gt 960 ]; say $? "label strips at both edges in full screen ($first…$last of 1000)"
! grep -q '^input 1 28 ' "$work/log"; say $? 'the hot key itself does not reach the guest'
log '^input 4 '; say $? 'the guest’s Ctrl and Alt are let go'
xdotool key b; log '^input 1 48 1'; say $? 'the keyboard goes on to the guest in full screen'
xdotool key ctrl+alt+Return; sleep 2
read -r first last found <<< "$(rows '#c8102e')"
[ "$first" -gt 5 ] || [ "$last" -lt 995 ]; say $? 'the hot key leaves full screen'

: > "$work/log"
for _ in $(seq 20); do xdotool key ctrl+alt+Pause; sleep 0.15; xdotool key x; sleep 0.05; xdotool key Escape; sleep 0.25; done
! grep -q -e '^input 1 119 ' -e '^input 1 411 ' "$work/log"; say $? 'the attention key never reaches the guest'
! grep -q '^input 1 45 ' "$work/log"; say $? 'nothing typed into the trusted list reaches the guest'
xdotool search --onlyvisible --name '^Sessions$' >/dev/null 2>&1 && xdotool key Escape
stop

start --relative alpha
id=$(window '^alpha$'); xdotool windowactivate --sync "$id" 2>/dev/null; sleep 2
: > "$work/log"
xdotool mousemove --window "$id" 300 200 click 1; sleep 0.5
! grep -q '^input 2 .* 1$' "$work/log"; say $? 'the click that captures the mouse is not passed on'
for _ in $(seq 20); do xdotool mousemove_relative 8 0; sleep 0.1; grep -q '^input 2 ' "$work/log" && break; done
log '^input 2 '; say $? 'a captured mouse sends relative motion'
sleep 0.5; : > "$work/log"
for _ in 1 2 3 4 5 6; do xdotool mousemove_relative 37 11; sleep 0.1; done
sleep 0.5
read -r x y <<< "$(awk '$1 == "input" && $2 == 2 { x += $4; y += $5 } END { print x, y }' "$work/log")"
[ $((x - 222)) -ge -2 ] && [ $((x - 222)) -le 2 ] && [ $((y - 66)) -ge -2 ] && [ $((y - 66)) -le 2 ]
say $? "relative motion adds up (222 66, got $x $y)"
for _ in $(seq 40); do xdotool mousemove_relative 90 0; sleep 0.02; done; sleep 0.3
far=$(awk '$1 == "input" && $2 == 2 { x += $4 } END { print x }' "$work/log")
[ "$far" -gt 2500 ]; say $? "it does not end at the edge of the window or of the screen ($far pixels)"
xdotool key ctrl+alt; : > "$work/log"
xdotool mousemove_relative 20 20; sleep 0.3
! grep -q '^input 2 ' "$work/log"; say $? 'Ctrl+Alt gives the mouse back'
stop

start
id=$(window '^Bulkhead$'); say $? 'without arguments the library opens'
xdotool windowactivate --sync "$id" 2>/dev/null; sleep 2
xdotool key ctrl+n; window '^New Machine$' >/dev/null; say $? 'Ctrl+N opens the dialog for a new machine'
sleep 0.5; xdotool key Return; sleep 0.8; xdotool key Return; sleep 0.8; xdotool key Return
for _ in $(seq 50); do xdotool search --onlyvisible --name '^New Machine$' >/dev/null 2>&1 && break; sleep 0.1; done
sleep 2; read -r first last found <<< "$(rows '#007a33')"
[ "$found" = 1 ]; say $? 'Enter, Enter, Create makes and starts it'
xdotool search --name '^New Machine$' >/dev/null; say $? 'its window is open'
stop

start '--empty'
id=$(window '^Bulkhead$'); sleep 1; xdotool windowactivate --sync "$id" 2>/dev/null
xdotool windowsize "$id" 370 640 2>/dev/null; sleep 1; kill -0 $pid; say $? 'an empty library in a narrow window'
stop

! grep -h -e CRITICAL -e WARNING "$work/errors" | sed 's/^/# /' | grep . ; say $? 'nothing to complain about'
echo "1..$n"
rm -rf "$work"
exit $bad
