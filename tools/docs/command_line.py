"""The page of the command line: what each command says of itself."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

# What depends on the machine that prints it.
THREADS = re.compile(r"(threads of one trainer) \(default \d+\)")
COMMAND = re.compile(r"^  ([a-z-]+) {2,}\S", re.MULTILINE)


def commands_of(root: Path) -> str:
    parts = []
    for words, text in commands(root / "bin" / "bastionlab", ()):
        heading = "#" * min(len(words) + 2, 3)
        parts.append(f"{heading} {' '.join(('bastionlab', *words))}\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def commands(program: Path, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """A command's help, then those of the commands below it, in the order in which it names them."""
    done = subprocess.run([str(program), *words, "--help"], capture_output=True, text=True, check=True)
    text = THREADS.sub(r"\1 (default: the machine's processors)", done.stdout)
    yield words, text
    _, _, below = text.partition("Available Commands:\n")
    for name in COMMAND.findall(below.partition("\n\n")[0]):
        if name not in ("help", "completion"):
            yield from commands(program, (*words, name))
