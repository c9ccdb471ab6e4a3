"""Builds the engine's testing library and loads it once. A library that cannot be built is a failure, never a skip."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from engine import ENGINE, LIBRARY, OPERATORS, Engine


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also what takes minutes or gigabytes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session")
def engine() -> Engine:
    libtorch = os.environ.get("LIBTORCH") or str(Path(torch.__file__).parent)
    # make, not a look at the file: a library older than its sources would test what no longer exists.
    command = ["make", "-C", str(ENGINE), "testing", f"LIBTORCH={libtorch}"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        pytest.exit(f"the engine does not build:\n{built.stdout[-4000:]}\n{built.stderr[-8000:]}", returncode=1)
    return Engine(LIBRARY, OPERATORS, threads=2)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(20240)
