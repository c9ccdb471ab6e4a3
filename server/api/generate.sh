#!/bin/sh
# Generates the Go and Python code of the protocol from the .proto files. Needs the checkout's virtual environment with
# grpcio-tools (which carries protoc); the Go plugins are the versions pinned in server/go.mod.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
python=${PYTHON:-$root/.venv/bin/python}
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
(cd "$root/server" && go build -o "$plugins/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc)
cd "$here"
PATH=$plugins:$PATH "$python" -m grpc_tools.protoc -I . \
    --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative \
    bastionlab/v1/*.proto bastionlab/trainer/v1/*.proto
# The trainer's protocol never leaves the server's machine, so the client has no code for it.
"$python" -m grpc_tools.protoc -I . --python_out="$root/client/src" --pyi_out="$root/client/src" \
    --grpc_python_out="$root/client/src" bastionlab/v1/*.proto
