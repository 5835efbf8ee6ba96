#!/usr/bin/env bash
# newer-pythons.sh PREFIX VERSION...: CPython versions that this Debian lacks, unpacked from a later
# suite with their own C library; PREFIX/VERSION/usr/bin is for PATH. Nothing on the system changes.
# Needs apt-get, dpkg-deb and patchelf; the mirror is the one of apt's own settings.
set -euo pipefail

prefix=$(realpath -m "$1")
shift
. "${BASH_SOURCE%/*}/later-debian.sh"
later_debian "${DEBIAN_SUITE:-forky}"

for version; do
    root=$prefix/$version
    rm -rf "$root"
    mkdir "$root"
    "${apt[@]}" install --yes --download-only --no-install-recommends \
        "python$version-venv" "python$version-dev" > /dev/null
    for package in "$prefix"/apt/archives/*.deb; do dpkg-deb --extract "$package" "$root"; done
    rm "$prefix"/apt/archives/*.deb
    libc=$(find "$root" -name libc.so.6 -print -quit)
    loader=$(find "$root" -name 'ld-linux*.so.*' -print -quit)
    # --force-rpath: a plain run path does not reach the libraries of extension modules.
    patchelf --set-interpreter "$loader" --force-rpath --set-rpath "${libc%/*}" \
        "$root/usr/bin/python$version"
    "$root/usr/bin/python$version" -c 'import ssl, sqlite3, venv'
    # The other programs lack their libraries, and would be first on PATH.
    find "$root/usr/bin" ! -type d ! -name 'python*' -delete
done
rm -rf "$prefix/apt"
