#!/bin/sh
# Makes a measured image: kernel, initial file system, root file system with its hash tree, command line; then what it will measure, and the policy
# for clients. The same input gives the same bytes. Run it without arguments for its options; docs/operations/measured-image.md tells the whole.
set -eu
here=$(dirname "$(realpath "$0")")
server=$(dirname "$here")

usage() {
	cat >&2 <<'TEXT'
build.sh --root DIR --users DIR --output DIR [--kernel FILE] [--bastionlab FILE]
         [--firmware FILE --vcpus N[,N] --vcpu-type NAME --tcb FLOOR [--chip-id ID] [--allow smt]]
  --root       a root file system with /usr/lib/bastionlab: a container's, or `make bundle DESTDIR=DIR`
  --users      public keys of who may sign in, as ROLES/NAME.pub
  --kernel     the Debian package of kernel.lock (default: fetched from $MIRROR, http://deb.debian.org/debian)
  --bastionlab the program that measures (default: the one of --root)
  The other options are those of `bastionlab measure`. Without --firmware nothing is measured.
TEXT
	exit 2
}

root='' users='' output='' package='' firmware='' vcpus='' type='' measure='' more=''
while [ $# -gt 1 ]; do
	case $1 in
	--root) root=$2 ;; --users) users=$2 ;; --output) output=$2 ;; --kernel) package=$2 ;; --bastionlab) measure=$2 ;;
	--firmware) firmware=$2 ;; --vcpus) vcpus=$2 ;; --vcpu-type) type=$2 ;;
	--tcb) more="$more --tcb $2" ;; --chip-id) more="$more --chip-id $2" ;; --allow) more="$more --allow $2" ;;
	*) usage ;;
	esac
	shift 2
done
[ $# = 0 ] && [ -n "$root" ] && [ -n "$users" ] && [ -n "$output" ] || usage
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps veritysetup, and no user who is not root looks
for tool in dpkg-deb mksquashfs veritysetup cpio xz go; do
	command -v "$tool" >/dev/null || { echo "build.sh: there is no $tool: apt-get install dpkg squashfs-tools cryptsetup-bin cpio xz-utils golang" >&2; exit 1; }
done
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"
mkdir -p "$output"
# SECURITY: a policy of an earlier image must not lie beside this one.
for name in firmware kernel initrd root.img cmdline measurement policy.json SHA256SUMS; do rm -f "$output/$name"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Its first program, by the one Go that go.mod names: a newer one of this machine's would measure otherwise.
GOTOOLCHAIN=$(sed -n 's/^toolchain //p' "$server/go.mod")
export GOTOOLCHAIN
(cd "$server" && CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o "$work/init" ./cmd/bastionlab-init)

# The kernel, as its lock names it.
sha256='' path=''
eval "$(grep -E '^(sha256|path)=' "$here/kernel.lock")"
if [ -z "$package" ]; then
	package=$work/kernel.deb
	curl --fail --silent --show-error --location --output "$package" "${MIRROR:-http://deb.debian.org/debian}/$path"
fi
echo "$sha256  $package" | sha256sum --check --quiet || { echo "build.sh: $package is not the kernel of kernel.lock" >&2; exit 1; }
dpkg-deb -x "$package" "$work/kernel"
cp "$work"/kernel/boot/vmlinuz-* "$output/kernel"

# The initial file system.
"$here/initrd.sh" "$work/init" "$work/kernel" "$output/initrd"

# The root: one file, the hash tree behind the data, and nothing that describes either on the disk.
"$here/root.sh" "$root" "$users" "$work/root"
mksquashfs "$work/root" "$output/root.img" -quiet -no-progress -noappend -all-root -no-xattrs -comp zstd -Xcompression-level 6 -b 256K -processors 2 \
	>"$work/squashfs.log" || { cat "$work/squashfs.log" >&2; exit 1; }
truncate -s %4096 "$output/root.img"
bytes=$(stat -c %s "$output/root.img")
blocks=$((bytes / 4096))
veritysetup format "$output/root.img" "$output/root.img" --no-superblock --hash=sha256 --salt=- --data-block-size=4096 --hash-block-size=4096 \
	--data-blocks="$blocks" --hash-offset="$bytes" >"$work/verity.log"
hash=$(sed -n 's/^Root hash:[[:space:]]*//p' "$work/verity.log")
[ ${#hash} = 64 ] || { echo "build.sh: veritysetup gives no root hash" >&2; exit 1; }

# SECURITY: the whole of it is measured. lockdown keeps the kernel from showing or changing itself, panic=-1 ends the machine with what fails.
printf '%s' "console=ttyS0 loglevel=4 panic=-1 oops=panic lockdown=confidentiality module.sig_enforce=1 bastionlab.root=$blocks:$hash" >"$output/cmdline"

if [ -n "$firmware" ]; then
	cp "$firmware" "$output/firmware"
	# shellcheck disable=SC2086 # options with their values
	"${measure:-$work/root/usr/lib/bastionlab/bastionlab}" measure --firmware "$output/firmware" --kernel "$output/kernel" --initrd "$output/initrd" \
		--command-line-file "$output/cmdline" --vcpus "$vcpus" --vcpu-type "$type" --policy "$output/policy.json" \
		--trainer "$work/root/usr/lib/bastionlab/bastionlab-trainer" --config "$here/bastionlab.conf" $more >"$output/measurement"
	cat "$output/measurement"
fi
cd "$output"
sha256sum $([ -z "$firmware" ] || echo firmware) kernel initrd root.img cmdline >SHA256SUMS
