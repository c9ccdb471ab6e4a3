#!/bin/sh
# Starts a measured image in a virtual machine without SEV-SNP, to look at all of it but the proof: the same kernel, initial file system, root and
# command line. Its server answers on 127.0.0.1:PORT (default 50056); its evidence is simulated. It runs until the machine ends or is interrupted.
#   try.sh IMAGE [PORT]
# ROOT names another root file, CMDLINE another command line, MEMORY and VCPUS other sizes; ACCELERATOR=tcg does without KVM, ten times slower.
set -eu
image=$(realpath "$1") port=${2:-50056}
root=${ROOT:-$image/root.img}
command -v qemu-system-x86_64 >/dev/null || { echo "try.sh: there is no qemu-system-x86_64: apt-get install qemu-system-x86" >&2; exit 1; }
if [ -w /dev/kvm ]; then accelerator=kvm; else accelerator=tcg; fi
accelerator=${ACCELERATOR:-$accelerator} processor=host
if [ "$accelerator" = tcg ]; then processor=max; fi
exec qemu-system-x86_64 -machine "q35,accel=$accelerator" -cpu "$processor" -smp "${VCPUS:-2}" -m "${MEMORY:-3G}" -nodefaults -no-user-config -no-reboot -display none \
	-serial stdio -kernel "$image/kernel" -initrd "$image/initrd" -append "${CMDLINE:-$(cat "$image/cmdline")}" \
	-drive "file=$root,format=raw,if=none,id=root,readonly=on" -device virtio-blk-pci,drive=root \
	-netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:50056" -device virtio-net-pci,netdev=net,romfile=
