#!/bin/sh
# Copies the libraries that a program loads at its start out of a libtorch directory, and from nowhere else: what each names is looked for
# there, then beside it, where PyPI's wheels put the CUDA runtime. The C and C++ runtimes are the system's; anything else that is missing is
# refused by name.
#   libraries.sh PROGRAM LIBTORCH DESTINATION
set -eu
program=$1 libtorch=$2 destination=$3

of_the_system() {
	case $1 in
	libc.so.6 | libm.so.6 | libdl.so.2 | librt.so.1 | libpthread.so.0 | libutil.so.1 | ld-linux-x86-64.so.2 | libstdc++.so.6 | libgcc_s.so.1) return 0 ;;
	esac
	return 1
}

needed() { # needed FILE: the names that it asks the loader for
	readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'
}

find_library() { # find_library NAME
	for directory in "$libtorch/lib" "$libtorch"/../nvidia/*/lib; do
		[ -f "$directory/$1" ] && printf '%s\n' "$directory/$1" && return
	done
	return 1
}

copy_needed() { # copy_needed FILE
	needed "$1" | while read -r name; do
		if of_the_system "$name" || [ -e "$destination/$name" ]; then continue; fi
		found=$(find_library "$name") || {
			echo "$(basename "$1") needs $name, which is neither in $libtorch/lib nor in a CUDA runtime beside it, nor the system's" >&2
			exit 1
		}
		install -m 755 "$found" "$destination/$name"
		copy_needed "$found"
	done
}

rm -rf "$destination"
install -d -m 755 "$destination"
copy_needed "$program"
