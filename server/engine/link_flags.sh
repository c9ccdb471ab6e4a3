#!/bin/sh
# Prints what a program is linked with, each word quoted as both gcc's @FILE and go's CGO_LDFLAGS read it. Where no libraries are carried along,
# it finds them where they are.
#   link_flags.sh            to compute on the CPU
#   link_flags.sh carried    with libraries carried along in lib/ beside the program
#   link_flags.sh cuda       to compute on a GPU: with libtorch's CUDA part, and all that this names
set -eu
kind=${1:-}
torch=$(realpath build/torch)
# Two small CUDA runtime libraries that the CUDA build of libtorch_cpu names; the wheels have them beside torch, the zips in it.
cuda=$(ls -d "$torch"/../nvidia/cu13/lib "$torch"/../nvidia/cuda_runtime/lib "$torch"/../nvidia/cuda_cupti/lib 2>/dev/null || true)
if [ "$kind" = cuda ]; then
	# What libtorch_cuda names, and opens by name when it is first needed: cuBLAS, cuSPARSE, cuSOLVER, nvJitLink and others.
	cuda=$(ls -d "$torch"/../nvidia/*/lib 2>/dev/null || true)
fi
# libtorch's own, so that there is one pool of threads.
gomp=$(cd "$torch/lib" && ls libgomp*.so* 2>/dev/null | head -n 1)

printf "'%s' " "-L$torch/lib" -Wl,--no-as-needed -ltorch_cpu -lc10
# Nothing of the engine names these: libtorch finds its CUDA part because it is there. The linear algebra part it would open by name later,
# when nothing can be opened.
[ "$kind" != cuda ] || printf "'%s' " -ltorch_cuda -lc10_cuda $(test ! -f "$torch/lib/libtorch_cuda_linalg.so" || echo -ltorch_cuda_linalg)
printf "'%s' " -Wl,--as-needed "${gomp:+-l:}${gomp:--lgomp}"
# The driver's threads are named by the program's own function; see internal/sandbox/confined/name_cuda.c.
[ "$kind" != cuda ] || printf "'%s' " -Wl,--export-dynamic-symbol=pthread_setname_np
printf '%s\n%s\n' "$torch/lib" "$cuda" | while read -r directory; do
	[ -n "$directory" ] || continue
	directory=$(realpath "$directory")
	[ "$kind" = carried ] || printf "'%s' " "-Wl,-rpath,$directory"
	printf "'%s' " "-Wl,-rpath-link,$directory"
done
[ "$kind" != carried ] || printf "'%s' " '-Wl,-rpath,$ORIGIN/lib'
echo -lstdc++ -lm -lpthread
