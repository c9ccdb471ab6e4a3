#!/bin/sh -eu
# Sets the release's number in the two places that hold it, server/internal/version and the Python package, and nowhere else.
#
#   tools/set-version.sh 1.1.0
cd "$(dirname "$0")/.."
number=${1:-}
printf '%s' "$number" | grep -Eqxz '(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)' || {
    echo "usage: tools/set-version.sh MAJOR.MINOR.PATCH" >&2
    exit 2
}
go=server/internal/version/version.go
python=client/src/bastionlab/_version.py
sed -i "s/^const Number = \".*\"\$/const Number = \"$number\"/" "$go"
sed -i "s/^__version__ = \".*\"\$/__version__ = \"$number\"/" "$python"
grep -qx "const Number = \"$number\"" "$go" && grep -qx "__version__ = \"$number\"" "$python" || {
    echo "$go or $python does not hold $number now" >&2
    exit 1
}
echo "BastionLab is $number"
frozen=vectors/protocol/${number%.*}.binpb
[ -e "$frozen" ] || echo "a new minor version: python tools/compatibility/protocol.py freeze writes $frozen"
protocol=$(sed -n 's/^const Protocol = \([0-9]*\)$/\1/p' server/internal/server/protocol.go)
[ "${number%%.*}" = "$protocol" ] || echo "a new major version: Protocol in protocol.go and PROTOCOL in _version.py have to be ${number%%.*} too"
