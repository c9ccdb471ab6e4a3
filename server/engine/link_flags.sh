#!/bin/sh
# Prints what a program is linked with, each word quoted as both gcc's @FILE and go's CGO_LDFLAGS read it. Where no libraries are carried along,
# it finds them where they are.
#   link_flags.sh [carried]     with libraries carried along in lib/ beside the program
set -eu
torch=$(realpath build/torch)
# Two small CUDA runtime libraries that the CUDA build of libtorch_cpu names; the wheels have them beside torch, the zips in it.
cuda=$(ls -d "$torch"/../nvidia/cu13/lib "$torch"/../nvidia/cuda_runtime/lib "$torch"/../nvidia/cuda_cupti/lib 2>/dev/null || true)
# libtorch's own, so that there is one pool of threads.
gomp=$(cd "$torch/lib" && ls libgomp*.so* 2>/dev/null | head -n 1)

printf "'%s' " "-L$torch/lib" -Wl,--no-as-needed -ltorch_cpu -lc10 -Wl,--as-needed "${gomp:+-l:}${gomp:--lgomp}"
printf '%s\n%s\n' "$torch/lib" "$cuda" | while read -r directory; do
	[ -n "$directory" ] || continue
	directory=$(realpath "$directory")
	[ -n "${1:-}" ] || printf "'%s' " "-Wl,-rpath,$directory"
	printf "'%s' " "-Wl,-rpath-link,$directory"
done
[ -z "${1:-}" ] || printf "'%s' " '-Wl,-rpath,$ORIGIN/lib'
echo -lstdc++ -lm -lpthread
