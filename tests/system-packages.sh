#!/usr/bin/env bash
# The programs of other makers that the tests use as real peers, validators and viewers: installed when this
# runs as root on Debian or Ubuntu, otherwise named. With the argument `all`, also those of the long suite.
set -euo pipefail

declare -A package=(
    [dcmsend]=dcmtk [storescp]=dcmtk [dsrdump]=dcmtk [echoscu]=dcmtk
    [curl]=curl [openssl]=openssl
    [Orthanc]=orthanc
    [strace]=strace
    [systemd-analyze]=systemd
)
declare -A long_package=(
    [chromium]=chromium
    [java]=default-jre-headless
    [/usr/share/java/pixelmed.jar]=libpixelmed-java
    [npm]=npm
    [/usr/share/orthanc/plugins/libOrthancDicomWeb.so]=orthanc-dicomweb
)

if [ "${1:-}" = all ]; then
    for name in "${!long_package[@]}"; do
        package[$name]=${long_package[$name]}
    done
fi
missing=()
for name in "${!package[@]}"; do
    # A path is a file that a package brings; anything else is a program.
    [ -e "$name" ] || command -v "$name" >/dev/null || missing+=("${package[$name]}")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "Installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    exit 0
fi
echo "The tests need these system packages: ${missing[*]}" >&2
echo "Install them, for example: sudo apt-get install ${missing[*]}" >&2
exit 1
