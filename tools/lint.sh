#!/bin/sh
# Formatters and linters of all three languages, as checks. PYTHON is the checkout's.
set -eu
cd "$(dirname "$0")/.."
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
venv_bin=$(dirname "$python")

echo "lint: go"
unformatted=$(gofmt -l $(git ls-files 'server/*.go'))
[ -z "$unformatted" ] || { echo "not gofmt'ed: $unformatted" >&2; exit 1; }
(cd server && CGO_ENABLED=0 go vet ./... && go tool staticcheck ./...)
echo "lint: python"
"$venv_bin/ruff" check client examples tests bench server/engine/tests tools docs/conf.py
"$venv_bin/ruff" format --check client examples tests bench server/engine/tests tools docs/conf.py
"$venv_bin/mypy" --config-file client/pyproject.toml client/src/bastionlab
echo "lint: c++"
"$venv_bin/clang-format" --dry-run --Werror $(git ls-files 'server/engine/*.cpp' 'server/engine/*.h' 'server/engine/*.c' 'server/*.c')
echo "lint: mutants"
"$python" tools/mutation/run.py --stale
echo "lint: sizes"
# Hand-written files stay under 600 lines: beyond that a file holds more than one idea.
long=$(git ls-files '*.go' '*.py' '*.cpp' '*.h' '*.c' '*.sh' | grep -v -e '_pb2' -e '\.pb\.go$' | xargs wc -l | awk '$2 != "total" && $1 > 600 {print}')
[ -z "$long" ] || { echo "too long: $long" >&2; exit 1; }
