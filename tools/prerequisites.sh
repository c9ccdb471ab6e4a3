#!/bin/sh
# Checks what must be on the machine before the checkout is set up and built, and names the Debian package of what is missing: what the server
# needs, and Python. `make LIBTORCH=DIR` in server/ needs no Python.
set -u
status=0
"$(dirname "$0")/../server/prerequisites.sh" || status=1
missing=""

python=${PYTHON:-python3}
# As the pinned torch and NumPy do. The client by itself goes with 3.10 and older versions of theirs.
if ! command -v "$python" >/dev/null 2>&1; then
	missing="Python 3.11 or newer ($python): apt-get install python3 python3-venv"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	missing="Python 3.11 or newer: $python is $("$python" -V 2>&1); set PYTHON=... to another one"
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
	missing="Python's venv: apt-get install python3-venv"
fi

if [ -n "$missing" ]; then
	printf 'bastionlab cannot be set up here yet; missing:\n  %s\n' "$missing" >&2
	status=1
fi
exit $status
