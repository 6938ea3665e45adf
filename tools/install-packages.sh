#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs what building (and, with "tests", testing) Bulkhead needs on Debian 12 and that is missing.  Needs root, or sudo.
set -eu

build='gcc pkg-config meson ninja-build gettext nasm acpica-tools python3
  libglib2.0-dev libgtk-4-dev libadwaita-1-dev libjson-glib-dev libcairo2-dev libpng-dev zlib1g-dev libzstd-dev libgcrypt20-dev
  libseccomp-dev libslirp-dev libpulse-dev libsndfile1-dev libpcre2-dev libarchive-dev libxml2-dev libx11-dev libxi-dev libwayland-dev libwayland-bin wayland-protocols libxml2-utils
  seabios adwaita-icon-theme shared-mime-info desktop-file-utils'
tests='gcc-multilib libzydis-dev qemu-utils cryptsetup-bin xvfb xauth openbox xdotool imagemagick dbus dbus-x11 at-spi2-core
  appstream libgtk-4-bin fonts-dejavu-core e2fsprogs mtools util-linux'

wanted=$build
[ "${1:-}" = tests ] && wanted="$build $tests"
missing=
for package in $wanted; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [ "$status" = 'install ok installed' ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null; then
    as_root=sudo
  else
    echo "bulkhead: these packages are missing:$missing" >&2
    echo "bulkhead: install them as root: apt-get install$missing" >&2
    exit 1
  fi
fi
echo "bulkhead: installing$missing" >&2
$as_root apt-get update -q >&2 || echo 'bulkhead: warning: a package index could not be updated; trying to install anyway' >&2
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2
