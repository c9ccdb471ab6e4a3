#!/bin/sh
# Checks what must be on the machine before anything is built, and names the Debian package of what is missing.
set -u
missing=""

need() { # need COMMAND PACKAGE WHAT
    command -v "$1" >/dev/null 2>&1 || missing="$missing\n  $3 ($1): apt-get install $2"
}
at_least() { # at_least FOUND WANTED: compares dotted versions
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

need g++ g++ "a C++20 compiler"
need make make "make"
python=${PYTHON:-python3}
# As the pinned torch and NumPy do. The client by itself goes with 3.10 and older versions of theirs.
if ! command -v "$python" >/dev/null 2>&1; then
    missing="$missing\n  Python 3.11 or newer ($python): apt-get install python3 python3-venv"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    missing="$missing\n  Python 3.11 or newer: $python is $("$python" -V 2>&1); set PYTHON=... to another one"
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    missing="$missing\n  Python's venv: apt-get install python3-venv"
fi
# Go fetches the toolchain that server/go.mod names by itself from 1.21 on.
if ! command -v go >/dev/null 2>&1; then
    missing="$missing\n  Go 1.21 or newer (go): apt-get install golang-go (from backports where it is older), or https://go.dev/dl"
else
    go_version=$(go env GOVERSION | sed 's/^go//')
    at_least "$go_version" 1.21 || missing="$missing\n  Go 1.21 or newer: this is $go_version; see https://go.dev/dl"
fi

if [ -n "$missing" ]; then
    printf 'bastionlab cannot be built here yet; missing:%b\n' "$missing" >&2
    exit 1
fi
