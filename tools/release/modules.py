"""What a program of ours is made of: the Go modules that it says itself, and the libraries that lie beside it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

SERVER = Path(__file__).resolve().parent.parent.parent / "server"


@dataclass(frozen=True)
class Module:
    path: str
    version: str
    directory: Path


def of_program(program: Path) -> list[Module]:
    """The modules whose code is in the program, with the directories that their sources lie in."""
    said = subprocess.run(["go", "version", "-m", str(program)], capture_output=True, text=True, check=True).stdout
    names = [fields[1] for line in said.splitlines() if (fields := line.split()) and fields[0] == "dep"]
    command = ["go", "list", "-m", "-json=Path,Version,Dir", *names]
    listed = subprocess.run(command, cwd=SERVER, capture_output=True, text=True, check=True).stdout
    decoder, modules = json.JSONDecoder(), []
    while listed := listed.lstrip():
        module, end = decoder.raw_decode(listed)
        modules.append(Module(module["Path"], module["Version"], Path(module["Dir"])))
        listed = listed[end:]
    return modules


@dataclass(frozen=True)
class Distribution:
    """A wheel that libraries were taken out of."""

    name: str
    version: str
    metadata: Path


def distribution_of(library: str, libtorch: Path) -> Distribution | None:
    """The wheel that a library of libtorch or of the CUDA runtime came with, where it came with one: its RECORD names each file."""
    for metadata in sorted(libtorch.parent.glob("*.dist-info")):
        record = metadata / "RECORD"
        if not record.exists() or not metadata.name.startswith(("torch-", "nvidia_")):
            continue
        if any(line.split(",")[0].endswith(f"/lib/{library}") for line in record.read_text().splitlines()):
            name, version = metadata.name.removesuffix(".dist-info").rsplit("-", 1)
            return Distribution(name.replace("_", "-"), version, metadata)
    return None
