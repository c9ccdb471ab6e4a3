#!/bin/sh
# Fuzzes for as long as it is told: first hostile archives through scan, intake, judgement and training (bastionlab-fuzz), then every fuzz
# target of the Go tests, or those that are named.
#   tools/fuzz.sh DURATION [archives | TARGET]...      for example: tools/fuzz.sh 10m FuzzTakenOverTrainer
# What is found lies in build/fuzz/findings, and for the targets in testdata/fuzz beside the test.
set -eu
cd "$(dirname "$0")/.."
duration=$1
shift
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
findings=build/fuzz/findings

fuzz_archives() {
	printf '\n== archives, %s\n' "$duration"
	make --no-print-directory -C server trainer fuzz LIBTORCH="${LIBTORCH:-$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)')}"
	(cd server/engine/tests && "$python" fuzz_seeds.py ../../../build/fuzz/seeds)
	cp server/cmd/bastionlab-fuzz/testdata/* build/fuzz/seeds/
	build/bastionlab-fuzz -seeds build/fuzz/seeds -findings "$findings" -trainer bin/bastionlab-trainer \
		-repeater build/bastionlab-trainer-fuzz -duration "$duration"
}

# targets: one "package target" a line.
targets() {
	(cd server && grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
		sed -n 's/^func \(Fuzz[A-Za-z]*\).*/\1/p' "$file" | while read -r target; do echo "$(dirname "$file") $target"; done
	done)
}

fuzz_target() {
	printf '\n== %s in %s, %s\n' "$2" "$1" "$duration"
	(cd server && CGO_ENABLED=0 go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$duration" -fuzzminimizetime 20x)
}

wanted=${*:-all}
case " $wanted " in *" all "* | *" archives "*) fuzz_archives ;; esac
targets | while read -r package target; do
	case " $wanted " in *" all "* | *" $target "*) fuzz_target "$package" "$target" </dev/null ;; esac
done
