"""A mutant: the product without one of its defences, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class DoesNotApply(Exception):
    """The text that a mutant replaces is not there, or not once: the source has moved on and the mutant must follow."""


@dataclass(frozen=True)
class Replacement:
    file: str  # below server/, or from there: "../client/..."
    old: str
    new: str

    def apply(self, server: Path) -> None:
        path = server / self.file
        path.write_text(self.applied_to(path.read_text()))

    def applied_to(self, text: str) -> str:
        if (found := text.count(self.old)) != 1:
            raise DoesNotApply(f"{self.file} holds {self.old!r} {found} times")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Engine:
    """Tests of server/engine/tests, as pytest takes them."""

    files: tuple[str, ...]
    select: str = ""
    device: str = "cpu"
    """As pytest's --device."""

    def command(self, python: str) -> list[str]:
        selected = ["-k", self.select] if self.select else []
        return [python, "-m", "pytest", "-q", "-x", "--device", self.device, *self.files, *selected]


@dataclass(frozen=True)
class Go:
    """Tests of one Go package below server/."""

    package: str
    run: str

    def command(self) -> list[str]:
        return ["go", "test", "-count=1", "-run", self.run, f"./{self.package}"]


@dataclass(frozen=True)
class Whole:
    """Tests of server, trainer and client together, for which both programs are built."""

    file: str

    def command(self, python: str) -> list[str]:
        return [python, "-m", "pytest", "-q", "-x", self.file]


@dataclass(frozen=True)
class Client:
    """Tests of client/tests."""

    files: tuple[str, ...]
    select: str = ""
    """As pytest's -k; empty: all."""

    def command(self, python: str) -> list[str]:
        selected = ["-k", self.select] if self.select else []
        return [python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *self.files, *selected]


Tests = Engine | Go | Whole | Client


@dataclass(frozen=True)
class Mutant:
    name: str
    replacements: tuple[Replacement, ...]
    tests: Tests


def without(name: str, file: str, old: str, new: str, tests: Tests) -> Mutant:
    return Mutant(name, (Replacement(file, old, new),), tests)
