#!/bin/sh
# Puts the licences of what an image holds into DESTINATION: ours, those of the Go modules in the programs, of the libtorch in LIBTORCH and the wheels beside
# it, and of Debian's C and C++ runtimes. A part without one ends it, but for libtorch: PyTorch's zips may have none.
#   licences.sh LIBTORCH DESTINATION
set -eu
libtorch=$1 destination=$2
cd "$(dirname "$0")"

put() { # put NAME FILE...
	name=$1
	shift
	[ -e "$1" ] || { echo "licences: $name has no text of a licence" >&2; exit 1; }
	mkdir -p "$destination/$name"
	cp -- "$@" "$destination/$name/"
}

put bastionlab LICENSE # a copy: an image is built from this folder alone
go=${GO:-go}
put go "$("$go" env GOROOT)/LICENSE"
"$go" list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/bastionlab ./cmd/bastionlab-trainer >"$destination.modules"
sort -u "$destination.modules" | while read -r module directory; do
	find "$directory" -maxdepth 1 -type f | grep -iE '/(licen[cs]e|copying|notice|patents|authors)[^/]*$' >"$destination.texts" || true
	[ -s "$destination.texts" ] || { echo "licences: $module has no text of a licence" >&2; exit 1; }
	mkdir -p "$destination/$module"
	while read -r text; do cp -- "$text" "$destination/$module/"; done <"$destination.texts"
done
rm -f "$destination.modules" "$destination.texts"

found=''
for texts in "$libtorch"/LICENSE* "$libtorch"/../torch-*.dist-info/licenses "$libtorch"/../nvidia_*.dist-info/licenses; do
	[ -e "$texts" ] || continue
	found=yes
	name=$(basename "$(dirname "$texts")" .dist-info)
	mkdir -p "$destination/$name"
	cp -r -- "$texts" "$destination/$name/"
done
[ -n "$found" ] || echo "licences: there is none in $libtorch nor beside it: add PyTorch's before you hand the image on" >&2

for package in libc6 libstdc++6 libgcc-s1 ca-certificates; do put "debian/$package" "${DEBIAN:-/usr/share/doc}/$package/copyright"; done
