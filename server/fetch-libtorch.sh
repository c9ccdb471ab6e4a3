#!/bin/sh
# Puts the pinned libtorch into a new directory: DIR/torch, to be given to make as LIBTORCH.
#
#   fetch-libtorch.sh DIR             from the wheels in libtorch.txt, each held to its digest
#   fetch-libtorch.sh DIR URL SHA256  from a libtorch zip of pytorch.org; make refuses one of another version
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 1 ] || [ $# = 3 ] || { echo "usage: $0 DIR [URL SHA256]" >&2; exit 2; }
directory=$1
mkdir -p "$directory"

if [ $# = 3 ]; then
	curl --fail --location --silent --show-error --output "$directory/libtorch.zip" "$2"
	echo "$3  $directory/libtorch.zip" | sha256sum --check --quiet
	unzip -q "$directory/libtorch.zip" -d "$directory"
	mv "$directory/libtorch" "$directory/torch"
	rm "$directory/libtorch.zip"
	exit
fi

# The C++ libraries are the same in the wheels of every Python: one is named, so that there is one digest for a machine.
machine=$(uname -m)
python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --root-user-action ignore --target "$directory" \
	--no-deps --only-binary :all: --require-hashes --requirement "$here/libtorch.txt" --implementation cp --python-version 3.11 \
	--platform "manylinux_2_28_$machine" --platform "manylinux_2_25_$machine" --platform "manylinux2014_$machine"
# Two thirds of it are for GPUs and for Python.
rm -f "$directory"/torch/lib/libtorch_cuda*.so "$directory"/torch/lib/libtorch_python.so "$directory"/torch/lib/libtorch_nvshmem.so
