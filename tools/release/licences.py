"""Collects the licences of everything that is in the server's archive: licences.py DIRECTORY-OF-PROGRAMS LIBTORCH DESTINATION

A part without a licence text is an error: an archive is not made without.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import modules

TEXT = re.compile(r"^(licen[cs]e|copying|notice|patents|authors)", re.IGNORECASE)


def texts_in(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file() and TEXT.match(path.name))


def collect(name: str, texts: list[Path], destination: Path) -> None:
    if not texts:
        raise SystemExit(f"licences: {name} has no text of a licence")
    into = destination / name
    into.mkdir(parents=True, exist_ok=True)
    for text in texts:
        shutil.copyfile(text, into / text.name)


def of_go(programs: list[Path], destination: Path) -> None:
    root = subprocess.run(["go", "env", "GOROOT"], cwd=modules.SERVER, capture_output=True, text=True, check=True).stdout.strip()
    collect("go", texts_in(Path(root)), destination)
    for module in {module for program in programs for module in modules.of_program(program)}:
        collect(module.path, texts_in(module.directory), destination)


def of_libraries(libraries: list[str], libtorch: Path, destination: Path) -> None:
    for library in libraries:
        wheel = modules.distribution_of(library, libtorch)
        if wheel is None:
            collect("libtorch", texts_in(libtorch), destination)
        elif not (destination / wheel.name).exists():
            if not (wheel.metadata / "licenses").is_dir():
                raise SystemExit(f"licences: {wheel.name} has no text of a licence")
            shutil.copytree(wheel.metadata / "licenses", destination / wheel.name, copy_function=shutil.copyfile)


def main(programs: Path, libtorch: Path, destination: Path) -> None:
    of_go([programs / "bastionlab", programs / "bastionlab-trainer"], destination)
    of_libraries(sorted(path.name for path in (programs / "lib").iterdir()), libtorch, destination)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
