#!/bin/sh
# Makes a release out of the commit that is checked out, in build/release/VERSION: the server's archive, the client's wheel and sdist, an SBOM of
# each and SHA256SUMS; and tags an image, where a builder of images is there. docs/releasing.md says what to do with them.
#   PYTHON=... LIBTORCH=... [IMAGE=no] [SIGNING_KEY=FILE] tools/release/release.sh [DIRECTORY]
set -eu
cd "$(dirname "$0")/../.."
here=tools/release
: "${PYTHON:?the checkout\'s Python}" "${LIBTORCH:?the directory of the pinned libtorch}"
version=$(sed -n 's/^const Number = "\(.*\)"$/\1/p' server/internal/version/version.go)
directory=${1:-build/release/$version}

# A release is of a commit: whoever has that commit can make it again.
if [ -n "$(git status --porcelain)" ]; then
	echo "release: the checkout has changes that no commit has; commit them, or release from a clone" >&2
	exit 1
fi
# What is there is taken away: only an earlier release may be.
if [ $# != 0 ] && [ ! -f "$directory/SHA256SUMS" ] && [ -n "$(ls -A "$directory" 2>/dev/null)" ]; then
	echo "release: $directory has files that are not a release's, which would be deleted; name an empty directory, or one that is not there" >&2
	exit 1
fi
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
GOTOOLCHAIN=$(sed -n 's/^toolchain //p' server/go.mod)
export SOURCE_DATE_EPOCH GOTOOLCHAIN
rm -rf "$directory"
mkdir -p "$directory"
directory=$(realpath "$directory")
name=bastionlab-server-$version-linux-$(go env GOARCH)
stage=$directory/$name
share=$stage/usr/share/doc/bastionlab

echo "release $version of $(git rev-parse HEAD)"
make --no-print-directory -C server bundle LIBTORCH="$LIBTORCH" DESTDIR="$stage"
"$stage/usr/bin/bastionlab" doctor --json | grep -q '"name":"trainer","ok":true' || {
	echo "release: the bundled trainer does not start; see $stage/usr/bin/bastionlab doctor" >&2
	exit 1
}
mkdir -p "$share"
cp LICENSE "$share/"
find docs \( -name '*.md' -o -path 'docs/assets/*' \) -type f -exec cp --parents {} "$share/" \;
cp -r server/deploy "$share/deploy"
"$PYTHON" "$here/licences.py" "$stage/usr/lib/bastionlab" "$LIBTORCH" "$share/licences"
"$PYTHON" "$here/sbom.py" server "$version" "$stage/usr/lib/bastionlab" "$LIBTORCH" "$directory/$name.cdx.json"
"$here/archive.sh" "$stage" "$directory/$name.tar.gz"
rm -rf "$stage"

(cd client && "$PYTHON" -m hatchling build -d "$directory" >/dev/null)
"$PYTHON" "$here/sbom.py" client "$version" "$directory/bastionlab-$version-py3-none-any.whl" "$directory/bastionlab-$version-py3-none-any.cdx.json"

(cd "$directory" && sha256sum -- * | grep -v ' SHA256SUMS' >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS)
[ -z "${SIGNING_KEY:-}" ] || ssh-keygen -Y sign -q -n bastionlab-release -f "$SIGNING_KEY" "$directory/SHA256SUMS"
[ "${IMAGE:-}" = no ] || "$here/image.sh" "$version"
cat "$directory/SHA256SUMS"
