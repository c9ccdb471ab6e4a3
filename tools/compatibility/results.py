"""What was tried, and what came out: results.json, one entry for each Python, torch and choice of dependencies."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Result:
    python: str
    torch: str
    dependencies: str
    """lowest or newest"""
    client: str
    versions: dict[str, str]
    passed: int
    failed: list[str]
    seconds: int
    date: str

    @property
    def key(self) -> tuple[tuple[int, ...], tuple[int, ...], str]:
        """What it is about, as it sorts. Patch levels of Python do not make it another one."""
        return numbers(self.python)[:2], numbers(self.torch), self.dependencies


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def read() -> list[Result]:
    return [Result(**entry) for entry in json.loads(FILE.read_text())] if FILE.exists() else []


def record(result: Result) -> None:
    others = [other for other in read() if other.key != result.key]
    entries = sorted([*others, result], key=lambda each: each.key)
    FILE.write_text(json.dumps([asdict(entry) for entry in entries], indent=1) + "\n")


def project() -> str:
    return (ROOT / "client" / "pyproject.toml").read_text()


def lower_bounds() -> dict[str, str]:
    """The least version of each dependency that the client's metadata admits."""
    (block,) = re.findall(r"^dependencies = \[\n(.*?)^\]", project(), re.DOTALL | re.MULTILINE)
    return {name.lower(): bound for name, bound in re.findall(r'"([\w-]+)>=([\d.]+)', block)}


def pinned(name: str) -> str:
    """The version of a tool that develops the client."""
    (version,) = re.findall(rf"^{name}==(.*)$", (ROOT / "requirements" / "develop.txt").read_text(), re.MULTILINE)
    return str(version)
