#!/bin/sh
# Builds a commit twice, in two directories of different names, and compares the digests of what comes out: the server, the client's wheel and
# sdist; with LIBTORCH also the trainer, whose engine takes many minutes each time. A difference is a failure.
#   PYTHON=... [LIBTORCH=DIR] tools/release/reproduce.sh [COMMIT]
set -eu
cd "$(dirname "$0")/../.."
: "${PYTHON:?the checkout\'s Python}"
python=$(realpath -s "$PYTHON")
commit=$(git rev-parse "${1:-HEAD}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit")
GOTOOLCHAIN=$(sed -n 's/^toolchain //p' server/go.mod)
export SOURCE_DATE_EPOCH GOTOOLCHAIN

build_in() { # build_in DIRECTORY: prints digest and name of each thing
	git clone --quiet --no-checkout . "$1"
	git -C "$1" checkout --quiet "$commit"
	mkdir "$1/out"
	if [ -n "${LIBTORCH:-}" ]; then
		make --no-print-directory -C "$1/server" bundle LIBTORCH="$LIBTORCH" DESTDIR="$1/stage" >&2
		cp "$1"/stage/usr/lib/bastionlab/bastionlab* "$1/out/"
	else
		make --no-print-directory -C "$1/server" bastionlab BIN="$1/out" >&2
	fi
	(cd "$1/client" && "$python" -m hatchling build -d "$1/out" >/dev/null)
	(cd "$1/out" && sha256sum -- *)
}

build_in "$scratch/one" >"$scratch/first"
build_in "$scratch/two/further down" >"$scratch/second"
if ! diff "$scratch/first" "$scratch/second"; then
	echo "reproduce: $commit built in two directories is not the same" >&2
	exit 1
fi
echo "the same from $commit in two directories:"
cat "$scratch/first"
