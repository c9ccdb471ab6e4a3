"""The wheel holds the package, its types and its licence, and nothing else."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import bastionlab

CLIENT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds it, is not installed here")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--disable-pip-version-check", "--wheel-dir", str(out), str(CLIENT)], check=True)
    (built,) = out.iterdir()
    return zipfile.ZipFile(built)


def test_its_files(wheel: zipfile.ZipFile) -> None:
    source = CLIENT / "src"
    expected = {
        str(path.relative_to(source)) for path in source.rglob("*") if path.is_file() and path.suffix in (".py", ".pyi", ".typed")
    }
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected
    assert "bastionlab/py.typed" in held
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_its_metadata(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    lines = wheel.read(name).decode().splitlines()
    assert f"Version: {bastionlab.__version__}" in lines
    assert "License-Expression: Apache-2.0" in lines
    required = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    needs = {need.split(">")[0].split("<")[0] for need in required if "extra ==" not in need}
    known = {"cryptography", "grpcio", "numpy", "protobuf", "pyopenssl", "safetensors", "torch", "tqdm"}
    assert needs == known, "no more without a reason"


def test_it_installs_no_script_of_the_servers_name(wheel: zipfile.ZipFile) -> None:
    assert not any("entry_points" in name or "/scripts/" in name for name in wheel.namelist())


def test_generated_code_is_not_newer_than_what_is_required(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    metadata = wheel.read(name).decode()
    generated = wheel.read("bastionlab/v1/session_pb2_grpc.py").decode()
    version = generated.split("GRPC_GENERATED_VERSION = '")[1].split("'")[0]
    assert f"grpcio>={version}" in metadata
    version = wheel.read("bastionlab/v1/session_pb2.py").decode().split("Protobuf Python Version: ")[1].split("\n")[0]
    assert f"protobuf<9,>={version}" in metadata
