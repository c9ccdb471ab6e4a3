#!/bin/sh
# Makes the image that server/Dockerfile builds on, where no registry hands it out: the same Debian, from Debian's own archive.
#
#   base.sh NAME          such as debian:trixie-slim; DOCKER_HOST says which engine gets it
#
# What this machine trusts and how it reaches package indexes goes with it: it is for a proof on this machine, and not to be published.
set -eu
name=$1
suite=${name#*:}
suite=${suite%-slim}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" > "$root.log" 2>&1 || { tail -n 5 "$root.log" >&2; exit 1; }
rm -f "$root.log"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/"; fi
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar --directory "$root" --create . | docker import - "$name" > /dev/null
