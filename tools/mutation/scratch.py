"""A copy of the sources in a temporary directory, in which mutants are made, built and tested. The checkout is never written to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from mutant import Client, Go, Mutant, Tests, Whole

ROOT = Path(__file__).resolve().parent.parent.parent
# What a test may take at most: a mutant that hangs was not noticed.
SECONDS = 900
COPIED = ("server", "client/src", "client/tests", "tests", "vectors")
BUILT = Path("server/engine/build")


class Scratch:
    def __init__(self, directory: Path, python: str, libtorch: str) -> None:
        self.root, self.python, self.libtorch = directory, python, libtorch
        for part in COPIED:
            shutil.copytree(
                ROOT / part, directory / part, ignore=shutil.ignore_patterns("build", "__pycache__"), copy_function=shutil.copy2
            )
        # Object files too, with their times: only what a mutant changes is compiled.
        (directory / BUILT).mkdir()
        self._fetch_built(lambda _: True)
        self.made = max((path.stat().st_mtime for path in (directory / BUILT).rglob("*")), default=0.0)

    def _fetch_built(self, wanted: Callable[[Path], bool]) -> None:
        for path in (ROOT / BUILT).rglob("*"):
            copy = self.root / path.relative_to(ROOT)
            if path.is_file() and wanted(copy):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)

    def apply(self, mutant: Mutant) -> None:
        for replacement in mutant.replacements:
            replacement.apply(self.root / "server")

    def restore(self, mutant: Mutant) -> None:
        """As it was, times included: an object file of the mutant's must not pass for one of the original's."""
        for file in {replacement.file for replacement in mutant.replacements}:
            shutil.copy2(ROOT / "server" / file, self.root / "server" / file)
        if not isinstance(mutant.tests, Go | Client):
            self._fetch_built(lambda copy: not copy.exists() or copy.stat().st_mtime > self.made)

    def build(self, tests: Tests) -> str:
        """What the compiler said where it refused, else nothing."""
        if isinstance(tests, Go | Client):
            return ""
        where = ["server"] if isinstance(tests, Whole) else ["server/engine", "testing"]
        made = self._run(["make", "-s", f"-j{os.cpu_count()}", "-C", *where, f"LIBTORCH={self.libtorch}"], self.root)
        return "" if made.returncode == 0 else made.stdout[-2000:]

    def test(self, tests: Tests) -> subprocess.CompletedProcess[str]:
        if isinstance(tests, Go):
            return self._run(tests.command(), self.root / "server")
        where = {Whole: ".", Client: "client"}.get(type(tests), "server/engine/tests")
        return self._run(tests.command(self.python), self.root / where)

    def _run(self, command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"LIBTORCH": self.libtorch, "CGO_ENABLED": "0", "PYTHONPATH": str(self.root / "client/src")}
        return subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
