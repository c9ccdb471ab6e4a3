#!/bin/sh
# Puts together the root file system of a measured image out of another one - a container's, or what `make bundle` made beside a Debian - and
# takes from there only the two programs, the libraries that they load, and the loader: no shell, no login, nothing else that could be run.
#   root.sh SOURCE USERS DESTINATION
# SOURCE has /usr/lib/bastionlab; the C and C++ runtimes are taken from it too, or from SYSTEM (default /) where it has none.
# USERS is a folder of public keys: ROLES/NAME.pub, where ROLES is owner, scientist, operator or several with commas between them.
set -eu
source=$(realpath "$1") users=$(realpath "$2") destination=$(realpath -m "$3") system=$(realpath "${SYSTEM:-/}")
here=$(dirname "$(realpath "$0")")
programs=usr/lib/bastionlab
loader=lib64/ld-linux-x86-64.so.2
# The same file where it lies: links of a file system that is not mounted lead into this machine's.
loader_file=lib/x86_64-linux-gnu/ld-linux-x86-64.so.2

fail() { echo "root.sh: $*" >&2; exit 1; }

[ -x "$source/$programs/bastionlab-trainer" ] || fail "$1 has no /$programs/bastionlab-trainer"
[ -f "$source/$loader_file" ] && system=$source
system=${system%/}
[ ! -e "$destination" ] || fail "$destination is there already"

umask 022
mkdir -p "$destination/usr/lib" "$destination/lib64" "$destination/etc/bastionlab/users" "$destination/var/lib/bastionlab"
for folder in dev proc sys run tmp; do mkdir "$destination/$folder"; done
cp -r "$source/$programs" "$destination/$programs"

# What the trainer loads, by the loader of the source itself. What is not beside the trainer must come from the source, never from this machine.
"$system/$loader_file" --inhibit-cache --library-path "$destination/$programs/lib:$system/lib/x86_64-linux-gnu:$system/usr/lib/x86_64-linux-gnu" \
	--list "$destination/$programs/bastionlab-trainer" >"$destination.libraries" || fail "the trainer's libraries are not all there: $(grep 'not found' "$destination.libraries")"
sed -n 's/^.* => \(\/[^ ]*\) (0x[0-9a-f]*)$/\1/p' "$destination.libraries" | while read -r library; do
	case $library in
	"$destination/$programs/lib/"* | */ld-linux-x86-64.so.2) continue ;;
	"$system"/*) ;;
	*) fail "the trainer would load $library, which is not of $system" ;;
	esac
	case $(realpath "$library") in "$system"/*) ;; *) fail "$library leads out of $system" ;; esac
	mkdir -p "$destination/lib/x86_64-linux-gnu"
	cp -L "$library" "$destination/lib/x86_64-linux-gnu/"
done
rm "$destination.libraries"
cp -L "$system/$loader_file" "$destination/$loader"

cp "$here/bastionlab.conf" "$destination/etc/bastionlab/bastionlab.conf"
echo "bastionlab:x:50056:50056::/var/lib/bastionlab:/usr/sbin/nologin" >"$destination/etc/passwd"
echo "bastionlab:x:50056:" >"$destination/etc/group"
# What the machine would only find out when it starts, and end with: a key that is nobody's, or somewhere else than the roles say.
(cd "$users" && find . -name '*.pub' | sort) | while read -r key; do
	folder=$(dirname "$key")
	[ "$folder" != . ] && [ "$(dirname "$folder")" = . ] || fail "$2/$key is not ROLES/NAME.pub: it would be nobody's"
	for role in $(basename "$folder" | tr , ' '); do
		case $role in owner | scientist | operator) ;; *) fail "$2/$key: $role is no role; there are owner, scientist and operator" ;; esac
	done
	grep -q '^-----BEGIN PUBLIC KEY-----' "$users/$key" || fail "$2/$key is no public key in PEM, as Identity.create writes"
	mkdir -p "$destination/etc/bastionlab/users/$(dirname "$key")"
	cp -L "$users/$key" "$destination/etc/bastionlab/users/$key"
done
[ -n "$(ls "$destination/etc/bastionlab/users")" ] || fail "$2 has no ROLES/NAME.pub: nobody could ever sign in"
find "$destination" -type d -exec chmod 755 {} +
find "$destination" -type f -perm /111 -exec chmod 755 {} +
find "$destination" -type f ! -perm /111 -exec chmod 644 {} +
