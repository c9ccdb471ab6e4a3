"""Builds the engine's testing library and loads it once. A library that cannot be built is a failure, never a skip."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

import standin
from engine import ENGINE, LIBRARY, OPERATORS, Engine


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also what takes minutes or gigabytes")
    parser.addoption("--device", default="cpu", help="what models are trained on: cpu, privateuseone (the stand-in) or cuda")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--device") != standin.DEVICE:
        return
    _build()
    standin.load()  # some tests differentiate while they are collected


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [] if config.getoption("--all") else ["slow"]
    if config.getoption("--device") == "cpu":
        left_out.append("device")
    not_now = [item for item in items if any(item.get_closest_marker(name) for name in left_out)]
    config.hook.pytest_deselected(items=not_now)
    items[:] = [item for item in items if item not in not_now]


def _build() -> None:
    libtorch = os.environ.get("LIBTORCH") or str(Path(torch.__file__).parent)
    # make, not a look at the file: a library older than its sources would test what no longer exists.
    command = ["make", "-C", str(ENGINE), "testing", f"LIBTORCH={libtorch}"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        pytest.exit(f"the engine does not build:\n{built.stdout[-4000:]}\n{built.stderr[-8000:]}", returncode=1)


@pytest.fixture(scope="session")
def host() -> Engine:
    _build()
    return Engine(LIBRARY, OPERATORS, threads=2)


@pytest.fixture(scope="session")
def engine(host: Engine, device: str) -> Engine:
    return host.on(device)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.config.getoption("--device")
    return name


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(20240)
