#!/bin/sh
# Tags the image of a release, under our own name and under the one that the first product's instructions pull.
#   image.sh VERSION
set -eu
cd "$(dirname "$0")/../../server"
version=$1
for builder in docker podman buildah; do
	command -v "$builder" >/dev/null 2>&1 && "$builder" info >/dev/null 2>&1 && break
	builder=""
done
if [ -z "$builder" ]; then
	echo "image: left out: neither docker nor podman nor buildah works here" >&2
	exit 0
fi
set -- --build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD)"
for name in bastionlab mithrilsecuritysas/bastionlab; do set -- "$@" --tag "$name:$version" --tag "$name:latest"; done
"$builder" build "$@" .
