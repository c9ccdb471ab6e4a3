#!/bin/sh
# Runs every test of the checkout, each kind by its own runner; stops at the first that fails. --all adds the long ones.
set -eu
cd "$(dirname "$0")/.."
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
all=""
[ "${1:-}" = "--all" ] && all=1

step() { printf '\n== %s\n' "$*"; }

step lint
PYTHON=$python tools/lint.sh
step "go: accounting, ledger, storage, protocol, server"
if [ -n "$all" ]; then
	(cd server && BASTIONLAB_ALL=1 CGO_ENABLED=0 go test -timeout 40m ./...)
else
	(cd server && CGO_ENABLED=0 go test ./...)
fi
step "engine: clipped sums against the slow oracle, hostile models"
libtorch=${LIBTORCH:-$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)')}
make --no-print-directory -j"$(nproc)" -C server/engine testing LIBTORCH="$libtorch"
(cd server/engine/tests && "$python" -m pytest -q ${all:+--all})
for device in $("$python" -c 'import torch; print("privateuseone", "cuda" if torch.cuda.is_available() else "")'); do
	step "engine: the same on the device $device"
	if [ -n "$all" ]; then
		(cd server/engine/tests && "$python" -m pytest -q --all --device "$device" --ignore test_noise.py --ignore test_oracle.py \
			--ignore test_performance.py --ignore test_rounded_normal.py)
	else
		(cd server/engine/tests && "$python" -m pytest -q --device "$device" test_device*.py test_bounds.py test_trainer_state.py test_randomness.py test_hostile_company.py)
	fi
done
step "client"
(cd client && BASTIONLAB_SERVER=$PWD/../bin/bastionlab "$python" -m pytest -q)
step "the whole: server, sandboxed trainer and client together"
make --no-print-directory -C server replay standin
# The trainer for GPUs, which make leaves out: in the long run, and where an old one would be tried.
if [ -f "$libtorch/lib/libtorch_cuda.so" ] && { [ -n "$all" ] || [ -e bin/bastionlab-trainer-cuda ]; }; then
	make --no-print-directory -C server cuda LIBTORCH="$libtorch"
fi
"$python" -m pytest -q tests ${all:+--all}
if [ -n "$all" ]; then
	step "accounting: the random plans' values, by another accountant"
	"$python" -m venv build/vectors
	build/vectors/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/vectors.txt
	build/vectors/bin/python tools/vectors/accounting.py --check
	step "measurements: the random guests, by another program"
	build/vectors/bin/python tools/vectors/measurement.py --check
	step "fuzzing"
	PYTHON=$python tools/fuzz.sh "${DURATION:-10m}"
fi
