"""Writes the parts of the documentation that the code knows best: the command line, the protocol, the errors.

    python tools/docs/reference.py [--check]

They stand between `<!-- generated: NAME -->` and `<!-- end -->`. With --check nothing is written, and a page that is not
what the code says ends with status 1. Needs the built bin/bastionlab.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import command_line
import error_kinds
import protocol

ROOT = Path(__file__).resolve().parent.parent.parent
PART = re.compile(r"(<!-- generated: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)

PARTS: dict[str, dict[str, Callable[[Path], str]]] = {
    "docs/reference/command-line.md": {"commands": command_line.commands_of},
    "docs/reference/protocol.md": {"services": protocol.services},
    "docs/errors.md": {"kinds": error_kinds.kinds, "exceptions": error_kinds.exceptions},
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="write nothing; status 1 where a page is out of date")
    check = arguments.parse_args().check
    stale = {name: text for name, parts in PARTS.items() if (text := current(name, parts)) != (ROOT / name).read_text()}
    for name, text in stale.items():
        print(f"{name} {'is out of date: make generate' if check else 'is written'}", file=sys.stderr)
        if not check:
            (ROOT / name).write_text(text)
    return 1 if check and stale else 0


def current(name: str, parts: dict[str, Callable[[Path], str]]) -> str:
    """The page as it should be. Every part must have its place there, once."""
    text = (ROOT / name).read_text()
    places = [found[2] for found in PART.finditer(text)]
    if sorted(places) != sorted(parts):
        raise SystemExit(f"{name} has places for {places}, and generated are {list(parts)}")
    return PART.sub(lambda found: found[1] + parts[found[2]](ROOT).strip("\n") + "\n" + found[3], text)


if __name__ == "__main__":
    sys.exit(main())
