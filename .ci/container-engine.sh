#!/usr/bin/env bash
# container-engine.sh DIR: a container engine of a later Debian with Compose and buildx, unpacked
# into DIR; nothing on the system changes and nothing is started. DIR/bin is for PATH, DIR/config
# for DOCKER_CONFIG. It runs with runc of the system's own suite: a later one needs its C library.
# DIR/*.tar are what stand-ins for images are made of where none can be pulled.
# Needs apt-get, dpkg-deb and mmdebstrap; the mirror is the one of apt's own settings.
set -euo pipefail

prefix=$(realpath -m "$1")
if cmp --silent "$0" "$prefix/complete"; then exit; fi # this very script has made it
rm -rf "$prefix"/{root,bin,config}
mkdir -p "$prefix"/{root,bin,config/cli-plugins}
. "${BASH_SOURCE%/*}/later-debian.sh"
later_debian trixie
# These alone, without what they depend on: the system's libraries do.
(cd "$prefix/apt/archives" \
    && "${apt[@]}" download docker.io docker-cli containerd tini docker-compose docker-buildx)
for package in "$prefix"/apt/archives/*.deb; do dpkg-deb --extract "$package" "$prefix/root"; done
rm -rf "$prefix/apt"

find "$prefix/root" -path '*/cli-plugins/docker-*' -type f \
    -exec ln -s -t "$prefix/config/cli-plugins" {} +
find "$prefix"/root/usr/{bin,sbin} -type f -exec ln -s -t "$prefix/bin" {} +
DOCKER_CONFIG=$prefix/config "$prefix/bin/docker" compose version
DOCKER_CONFIG=$prefix/config "$prefix/bin/docker" buildx version
"$prefix/bin/dockerd" --version

tree() { # NAME SUITE PACKAGE...: a root file system
    # Without what takes most of the room: documentation, and the compiler of PostgreSQL's queries.
    # Also from a mirror that has not been brought up to date for long.
    mmdebstrap --quiet --variant=minbase --aptopt='Apt::Install-Recommends "false"' \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/lib/*/libLLVM*' --dpkgopt='path-exclude=*/llvmjit*' \
        --include="$(IFS=,; echo "${*:3}")" "$2" "$prefix/$1.tar" "$source $2 main"
}
tree python forky ca-certificates netbase tzdata python3.15
tree servers trixie ca-certificates netbase tzdata postgresql redis-server rabbitmq-server
cp "$0" "$prefix/complete"
