"""Writes a software bill of materials in CycloneDX:

sbom.py server VERSION DIRECTORY-OF-PROGRAMS LIBTORCH FILE   the Go modules in both programs, by cyclonedx-gomod, and each library
sbom.py client VERSION WHEEL FILE                            what the wheel asks for
"""

from __future__ import annotations

import email
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import modules

Component = dict[str, Any]
HERE = Path(__file__).resolve().parent


def sha256(path: Path) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]


def of_program(program: Path, version: str) -> list[Component]:
    command = [
        "go",
        "tool",
        "cyclonedx-gomod",
        "bin",
        "-json",
        "-std",
        "-notimestamp",
        "-noserial",
        "-version",
        f"v{version}",
        str(program),
    ]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"sbom: cyclonedx-gomod on {program.name}: {done.stderr}")
    return list(json.loads(done.stdout)["components"])


def of_library(library: Path, libtorch: Path) -> Component:
    wheel = modules.distribution_of(library.name, libtorch)
    pinned = (modules.SERVER / "LIBTORCH_VERSION").read_text().strip()
    name, version = (wheel.name, wheel.version) if wheel else ("libtorch", pinned)
    component = {
        "type": "library",
        "bom-ref": f"lib/{library.name}",
        "name": library.name,
        "version": version,
        "hashes": sha256(library),
    }
    component["group"] = name
    if wheel:
        component["purl"] = f"pkg:pypi/{name}@{version}"
    return component


def of_server(version: str, programs: Path, libtorch: Path) -> list[Component]:
    both = [programs / "bastionlab", programs / "bastionlab-trainer"]
    found = {component["bom-ref"]: component for program in both for component in of_program(program, version)}
    ours = [
        {"type": "application", "bom-ref": path.name, "name": path.name, "version": version, "hashes": sha256(path)}
        for path in both
    ]
    libraries = [of_library(library, libtorch) for library in sorted((programs / "lib").iterdir())]
    return [*ours, *libraries, *(found[reference] for reference in sorted(found))]


def of_client(wheel: Path) -> list[Component]:
    """Ranges and not versions: which ones are installed is decided where it is installed."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    components = []
    for wanted in metadata.get_all("Requires-Dist") or []:
        requirement, _, condition = (part.strip() for part in wanted.partition(";"))
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
        components.append(
            {
                "type": "library",
                "bom-ref": f"requires/{len(components)}",
                "name": name,
                "purl": f"pkg:pypi/{name.lower()}",
                "scope": "optional" if "extra" in condition else "required",
                "properties": [{"name": "requirement", "value": wanted}],
            }
        )
    return components


def document(name: str, version: str, components: list[Component]) -> dict[str, Any]:
    time = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC).isoformat()
    licences = [{"license": {"id": "Apache-2.0"}}]
    product = {"type": "application", "bom-ref": "release", "name": name, "version": version, "licenses": licences}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": time, "component": product},
        "components": components,
    }


def main(kind: str, version: str, *arguments: str) -> None:
    *sources, file = (Path(argument) for argument in arguments)
    if kind == "server":
        made = document("bastionlab-server", version, of_server(version, *sources))
    else:
        made = document("bastionlab", version, of_client(*sources))
    file.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
