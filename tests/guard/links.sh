#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# "Always invoked", as far as the linker can see it: links.sh LIBGUARD LIBPOLICY
# Only the broker makes descriptors that reach a guest; besides it only the guard's own files and audit trail are opened, and
# processes are started in three places.  The policy needs nothing beyond the C language.
set -u
status=0
# The object files that use one of the symbols: check PATTERN ALLOWED...
check ()
{
  pattern=$1
  shift
  nm -A "$library" 2>/dev/null | grep -E " U ($pattern)(@|\$)" | sed 's/.*[:/]\([^:/]*\)\.c\.o:.*/\1/' | sort -u >"$work"
  while read -r object; do
    case " $* " in
      *" $object "*) ;;
      *) echo "$object uses one of $pattern"; status=1 ;;
    esac
  done <"$work"
  [ -s "$work" ] || { echo "nobody uses $pattern: this test sees nothing"; status=1; }
}
work=$(mktemp) || exit 1
trap 'rm -f "$work"' EXIT
library=$1
check 'open|open64|openat|openat64|creat|fopen|fopen64' broker files audit
check 'memfd_create|eventfd|socketpair|socket|pipe|pipe2' broker
check 'g_unix_open_pipe' spool
check 'g_spawn_[a-z_]*' machine-process network-process folder-process
check 'policy_decide' guard service
nm -u "$2" 2>/dev/null | grep -E '^ *U ' | awk '{ print $2 }' | grep -vE '^(label_|policy_|__stack_chk_fail|memset|memcpy|memcmp|__asan|__ubsan)' | sort -u >"$work"
if [ -s "$work" ]; then
  echo "the policy needs:"
  cat "$work"
  status=1
fi
exit $status
