#!/bin/sh
# Checks what must be on the machine before the server is built, and names the Debian package of what is missing. No Python: this is all
# that `make LIBTORCH=DIR` needs, but for libtorch and nlohmann/json.hpp, which engine/libtorch.sh looks at.
set -u
cd "$(dirname "$0")"
missing=""

need() { # need COMMAND PACKAGE WHAT
	command -v "$1" >/dev/null 2>&1 || missing="$missing\n  $3 ($1): apt-get install $2"
}
at_least() { # at_least FOUND WANTED: compares dotted versions
	[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

need "${CXX:-g++}" g++ "a C++20 compiler"
need make make "make"
need readelf binutils "a reader of programs"
go=${GO:-go}
wanted=$(sed -n 's/^go //p' go.mod)
if ! command -v "$go" >/dev/null 2>&1; then
	missing="$missing\n  Go 1.21 or newer (go): apt-get install golang-go (from backports where it is older), or https://go.dev/dl"
else
	# Asked outside of the module: in it, an older Go would already fetch the one that go.mod names.
	version=$(cd / && "$go" env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
	if [ -z "$version" ]; then
		: # a stand-in
	elif ! at_least "$version" 1.21; then
		missing="$missing\n  Go 1.21 or newer: this is $version; see https://go.dev/dl"
	elif ! at_least "$version" "$wanted" && [ "$(cd / && "$go" env GOTOOLCHAIN)" = local ]; then
		missing="$missing\n  Go $wanted: this is $version, and GOTOOLCHAIN=local keeps it from fetching that; set GOTOOLCHAIN=auto, or see https://go.dev/dl"
	fi
fi

if [ -n "$missing" ]; then
	printf 'bastionlab cannot be built here yet; missing:%b\n' "$missing" >&2
	exit 1
fi
