#!/usr/bin/env bash
# The programs of other makers that the tests use as real peers: installed when this runs as root on Debian
# or Ubuntu, otherwise named.
set -euo pipefail

declare -A package=(
    [dcmsend]=dcmtk [storescp]=dcmtk [dsrdump]=dcmtk [echoscu]=dcmtk
    [openssl]=openssl
    [Orthanc]=orthanc
    [strace]=strace
    [systemd-analyze]=systemd
)

missing=()
for program in "${!package[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package[$program]}")
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
