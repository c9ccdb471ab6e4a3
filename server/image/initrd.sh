#!/bin/sh
# Makes the initial file system of a measured image: bastionlab-init, and the kernel's drivers that it loads. The same input gives the same bytes.
#   initrd.sh INIT KERNEL_FILES OUTPUT
set -eu
init=$1 kernel=$2 output=$(realpath "$3")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

mkdir "$work/tree"
for folder in dev proc sys root modules; do mkdir "$work/tree/$folder"; done
install -m 755 "$init" "$work/tree/init"
for name in $(cat "$here/modules"); do
	found=$(find "$kernel" -name "$name.ko.xz" -o -name "$name.ko")
	[ "$(printf '%s\n' "$found" | wc -l)" = 1 ] && [ -n "$found" ] || { echo "initrd.sh: the kernel has no driver $name" >&2; exit 1; }
	case $found in
	*.xz) xz -dc "$found" >"$work/tree/modules/$name.ko" ;;
	*) cp "$found" "$work/tree/modules/$name.ko" ;;
	esac
	echo "$name" >>"$work/tree/modules/order"
done
find "$work/tree" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
(cd "$work/tree" && find . | LC_ALL=C sort | cpio --quiet --create --format=newc --reproducible --owner=0:0) | gzip -9n >"$output"
