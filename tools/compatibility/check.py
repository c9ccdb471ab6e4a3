"""Tries the client with one Python and one torch: an environment from nothing, the built wheel, its tests, a real server.

    python tools/compatibility/check.py --python python3.12 --torch 2.15.0 [--lowest]

Everything but the client comes from the package index; the client is the wheel of this checkout, installed without one. Tests of
it run beside it without its sources, first those against the real `bin/bastionlab`. What came out replaces the entry of the same
Python, torch and choice of dependencies in results.json, from which docs/installing.md has its table (table.py). The environment
is deleted afterwards: torch takes 5 GB.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path

from results import ROOT, Result, lower_bounds, pinned, record

# Those that meet what other versions of Python and of libraries may do otherwise; the first is against the real server.
TESTS = [
    f"tests/test_{name}.py"
    for name in (
        "contract", "walk_through", "versions", "connection", "tunnel", "identity", "records", "torchscript", "weights",
        "optimizer", "receipts", "attestation_vectors", "attestation_tdx",
    )
]  # fmt: skip

# Nvidia's libraries, 3 GB: the same files for every Python.
LENT = ("nvidia", "nvidia_*.dist-info", "cusparselt")


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], text=True, check=True, **options)  # type: ignore[call-overload, no-any-return]


def environment(place: Path, python: str, torch: str, lowest: bool, lender: Path | None) -> Path:
    """A virtual environment with torch and what the client needs, the lowest that it admits or the newest there is."""
    run(python, "-m", "venv", place)
    ours = place / "bin" / "python"
    if lender:
        (packages,) = place.glob("lib/python3*/site-packages")
        for pattern in LENT:
            for folder in lender.glob(pattern):
                # Hard links: should pip replace one, the lender keeps its own.
                shutil.copytree(folder, packages / folder.name, copy_function=os.link)
    bounds = lower_bounds()
    needs = [f"{name}=={bound}" if lowest else f"{name}>={bound}" for name, bound in bounds.items() if name != "torch"]
    install = [ours, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    run(*install, f"torch=={torch}", f"pytest=={pinned('pytest')}", *needs)
    return ours


def install_wheel(ours: Path, place: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place, cwd=ROOT / "client", stdout=subprocess.DEVNULL)
    (wheel,) = place.glob("*.whl")
    run(ours, "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", wheel)
    run(ours, "-m", "pip", "check", "--disable-pip-version-check")


def tests(ours: Path, place: Path) -> tuple[int, list[str]]:
    """How many tests passed, and which did not."""
    beside = place / "client"
    shutil.copytree(ROOT / "client", beside, ignore=shutil.ignore_patterns("src", "dist", "__pycache__", ".*_cache"))
    shutil.copytree(ROOT / "vectors", place / "vectors")
    ours_only = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    settings = ours_only | {"BASTIONLAB_SERVER": str(ROOT / "bin" / "bastionlab"), "PYTHONDONTWRITEBYTECODE": "1"}
    report = place / "report.xml"
    command = [str(ours), "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", f"--junitxml={report}", *TESTS]
    subprocess.run(command, cwd=beside, env=settings)
    cases = list(ET.parse(report).getroot().iter("testcase"))
    wrong = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    return len(cases) - len(wrong) - len(skipped), [f"{case.get('classname')}.{case.get('name')}" for case in wrong]


def examine(ours: Path, place: Path, torch: str, lowest: bool) -> Result:
    """The client in an environment, and what its tests say there."""
    started = time.monotonic()
    install_wheel(ours, place)
    listed = run(ours, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check", stdout=subprocess.PIPE).stdout
    found = {each["name"].lower().replace("_", "-"): each["version"] for each in json.loads(listed)}
    version = run(ours, "-c", "import platform; print(platform.python_version())", stdout=subprocess.PIPE).stdout.strip()
    passed, failed = tests(ours, place)
    return Result(
        python=version,
        torch=torch,
        dependencies="lowest" if lowest else "newest",
        client=found["bastionlab"],
        versions={name: found[name] for name in lower_bounds() if name != "torch"},
        passed=passed,
        failed=failed,
        seconds=round(time.monotonic() - started),
        date=datetime.date.today().isoformat(),
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--python", default=sys.executable, help="an interpreter with venv")
    options.add_argument("--torch", required=True, help="a version of torch, as 2.6.0")
    options.add_argument("--lowest", action="store_true", help="the lowest versions of everything else, not the newest")
    options.add_argument("--lender", type=Path, help="a site-packages on the same disk with the nvidia libraries of that torch")
    options.add_argument("--keep", action="store_true", help="leave the environment where it is, and say where")
    given = options.parse_args()
    (ROOT / "build").mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="compatibility-", dir=ROOT / "build"))
    try:
        ours = environment(place / "environment", given.python, given.torch, given.lowest, given.lender)
        result = examine(ours, place, given.torch, given.lowest)
        record(result)
    finally:
        if given.keep:
            print(f"left in {place}")
        else:
            shutil.rmtree(place)
    print(json.dumps(asdict(result), indent=2))
    return 1 if result.failed or not result.passed else 0


if __name__ == "__main__":
    raise SystemExit(main())
