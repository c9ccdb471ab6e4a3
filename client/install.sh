#!/bin/sh -eu
# Installs the client from this folder: into the active virtual environment, else into the active conda environment unless that is conda's
# base, else into the checkout's .venv, which is made where it is missing. Says which. PYTHON names the interpreter that makes .venv.
here=$(cd "$(dirname "$0")" && pwd)
checkouts=$(dirname "$here")/.venv

fail() {
    printf 'bastionlab was not installed: %s\n' "$*" >&2
    exit 1
}
# The client's code has words that older ones do not read.
require_python() { # require_python INTERPRETER ADVICE
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || fail "$1 is $("$1" -V 2>&1); the client needs Python 3.10 or newer; $2"
}

if [ -n "${VIRTUAL_ENV:-}" ]; then
    target=$VIRTUAL_ENV
    why="the active virtual environment"
    [ -x "$target/bin/python" ] || fail "VIRTUAL_ENV is $target, where there is no bin/python; deactivate it (unset VIRTUAL_ENV), or make it anew"
    require_python "$target/bin/python" "activate another environment, or deactivate it to use $checkouts"
elif [ -n "${CONDA_PREFIX:-}" ] && [ "${CONDA_DEFAULT_ENV:-}" != base ]; then
    target=$CONDA_PREFIX
    why="the active conda environment"
    [ -x "$target/bin/python" ] || fail "the conda environment $target has no Python; conda install python, or conda deactivate"
    require_python "$target/bin/python" "activate another environment, or deactivate it to use $checkouts"
else
    target=$checkouts
    why="the checkout's; no virtual environment is active"
    [ -z "${CONDA_PREFIX:-}" ] || why="the checkout's; conda's base is left as it is"
    python=${PYTHON:-python3}
    if [ ! -x "$target/bin/python" ]; then
        command -v "$python" >/dev/null 2>&1 || fail "there is no $python; install Python 3.10 or newer (Debian: apt-get install python3 python3-venv), or set PYTHON"
        require_python "$python" "set PYTHON to another one"
        "$python" -c 'import venv, ensurepip' 2>/dev/null || fail "$python has no venv; Debian: apt-get install python3-venv"
        "$python" -m venv "$target"
    fi
    require_python "$target/bin/python" "delete $target, and set PYTHON to a newer one"
fi

"$target/bin/python" -m pip --version >/dev/null 2>&1 || fail "$target has no pip; $target/bin/python -m ensurepip puts it there"
echo "installing bastionlab into $target ($why)"
"$target/bin/python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' ||
    echo "PyTorch is not there yet and comes with it: up to 5 GB, which takes minutes"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check "$here" || fail "pip says above why; what it lacks it takes from the package index"
# Not from this folder: what was installed, and not what lies here.
cd /
"$target/bin/python" -c 'import bastionlab; print("installed bastionlab", bastionlab.__version__)'
