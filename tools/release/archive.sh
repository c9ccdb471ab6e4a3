#!/bin/sh
# Packs a directory so that its content alone decides about the archive: in the order of names, owned by root, of one time, and compressed
# without a name or a time.
#   SOURCE_DATE_EPOCH=SECONDS archive.sh DIRECTORY ARCHIVE.tar.gz
set -eu
: "${SOURCE_DATE_EPOCH:?the time of the commit, in seconds}"
LC_ALL=C tar --create --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go-w,go+rX,u+rw \
	--directory "$(dirname "$1")" "$(basename "$1")" | gzip --no-name >"$2"
