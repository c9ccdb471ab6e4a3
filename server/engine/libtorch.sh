#!/bin/sh
# Looks at a libtorch directory before anything is compiled, and gives it one name in build/, whatever its path is: make cannot hold a path
# with blanks, and so no object names a directory of this machine. Says nothing where all is well; else what is wrong, in one line.
#   libtorch.sh LIBTORCH VENV [cuda]
set -u
libtorch=$1 venv=$2 kind=${3:-}
wanted=$(cat ../LIBTORCH_VERSION)
url="https://download.pytorch.org/libtorch/cpu/libtorch-shared-with-deps-$wanted%2Bcpu.zip"
get="$wanted is $url, unzipped, or the directory torch/ of the wheel: pip install torch==$wanted"

refuse() {
	printf '%s\n' "$1"
	exit 1
}

[ -n "$libtorch" ] || refuse "no libtorch: give LIBTORCH=DIR, or install the pinned torch into $venv. $get"
[ -d "$libtorch" ] || refuse "no libtorch: there is no directory $libtorch. $get"
case $libtorch in
*\'* | *,*) refuse "libtorch in $libtorch: its path has a quotation mark or a comma, which the linker cannot be told; give it another name" ;;
esac
for file in include/ATen/ATen.h include/torch/csrc/api/include/torch/torch.h lib/libtorch_cpu.so lib/libc10.so; do
	[ -f "$libtorch/$file" ] && continue
	[ ! -f "$libtorch/libtorch/$file" ] || refuse "no libtorch in $libtorch, but in $libtorch/libtorch: give LIBTORCH=$libtorch/libtorch"
	refuse "no libtorch in $libtorch: it has no $file. $get"
done

[ "$kind" != cuda ] || [ -f "$libtorch/lib/libtorch_cuda.so" ] ||
	refuse "no CUDA in libtorch $libtorch: it has no lib/libtorch_cuda.so. The wheel of PyPI has it, for x86-64: pip install torch==$wanted; a +cpu build has not"

version() { # as the zip has it, as the wheel has it, as the headers of old and new releases have it
	if [ -f "$libtorch/build-version" ]; then
		head -n 1 "$libtorch/build-version"
	elif [ -f "$libtorch/version.py" ]; then
		sed -n "s/^__version__ = ['\"]\(.*\)['\"].*/\1/p" "$libtorch/version.py"
	else
		for header in include/torch/headeronly/version.h include/torch/csrc/api/include/torch/version.h; do
			sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\|PATCH\) \([0-9]*\).*/\2/p' "$libtorch/$header" 2>/dev/null
		done | head -n 3 | paste -sd .
	fi
}

# The part after + names the build, CPU or CUDA: each will do.
found=$(version | tr -cd '[:graph:]' | cut -c 1-40)
[ -n "$found" ] || refuse "libtorch in $libtorch: nothing says which version it is. $get"
[ "${found%%+*}" = "$wanted" ] || refuse "libtorch ${found%%+*} in $libtorch, wanted $wanted: the engine uses interfaces that change from one to the next. $get"

mkdir -p build
ln -sfn "$(realpath "$libtorch")" build/torch
rm -f build/json
for json in "$libtorch/../nlohmann_json/include" "$venv"/lib/python3*/site-packages/nlohmann_json/include; do
	[ ! -f "$libtorch/include/nlohmann/json.hpp" ] && [ -f "$json/nlohmann/json.hpp" ] || continue
	ln -sfn "$(realpath "$json")" build/json
	break
done

command -v "${CXX:-g++}" >/dev/null 2>&1 || refuse "no C++ compiler: ${CXX:-g++} is not there; Debian: apt-get install g++"
printf '%s\n' '#if !__has_include(<nlohmann/json.hpp>)' '#error' '#endif' |
	"${CXX:-g++}" -x c++ -std=c++20 -fsyntax-only -Ibuild/torch/include -Ibuild/json - 2>/dev/null ||
	refuse "no nlohmann/json.hpp, which a header of libtorch includes and $libtorch lacks; Debian: apt-get install nlohmann-json3-dev, or pip install nlohmann-json beside torch"
