"""Building from source: what a libtorch directory must be, and that another one is refused before anything is compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from server_process import ROOT

ENGINE = ROOT / "server/engine"
PINNED = (ROOT / "server/LIBTORCH_VERSION").read_text().strip()
FILES = (
    "include/ATen/ATen.h",
    "include/torch/csrc/api/include/torch/torch.h",
    "lib/libtorch_cpu.so",
    "lib/libc10.so",
    "lib/libgomp.so.1",
)
# Says what it would compile. Asked for a header, it has it or has not.
COMPILER = '#!/bin/sh\ncase "$*" in *-fsyntax-only*) {answer}; exit $?;; esac\necho compiled "$@"\nexit 3\n'
HAS_IT, LACKS_IT = "cat >/dev/null", "! grep -q '#error'"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The engine's Makefile, scripts and sources, without anything built."""
    engine = tmp_path / "check out/server/engine"
    shutil.copytree(ENGINE, engine, ignore=shutil.ignore_patterns("build", "tests"))
    shutil.copy(ROOT / "server/LIBTORCH_VERSION", engine.parent)
    return engine


def libtorch(directory: Path, *, without: str = "", build_version: str = "", version_py: str = "", header: str = "") -> Path:
    """A directory of libtorch's layout with nothing in its files but a version, in one of the places where there is one."""
    for file in FILES:
        if file != without:
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            (directory / file).touch()
    if build_version:
        (directory / "build-version").write_text(f"{build_version}\n")
    if version_py:
        (directory / "version.py").write_text(f"from typing import Optional\n\n__version__ = '{version_py}'\ndebug = False\n")
    if header:
        path = directory / "include/torch/headeronly/version.h"
        path.parent.mkdir(parents=True)
        numbers = zip(("MAJOR", "MINOR", "PATCH"), header.split("."), strict=True)
        path.write_text("".join(f"#define TORCH_VERSION_{name} {number}\n" for name, number in numbers))
    return directory


def make(checkout: Path, directory: Path | str, *arguments: str, json: bool = True) -> subprocess.CompletedProcess[str]:
    compiler = checkout.parent / "compiler"
    compiler.write_text(COMPILER.format(answer=HAS_IT if json else LACKS_IT))
    compiler.chmod(0o755)
    ours = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "LIBTORCH", "CXX")
    }
    return subprocess.run(
        ["make", f"LIBTORCH={directory}", "CXX=../compiler", "V=1", *arguments],
        cwd=checkout,
        env=ours,
        capture_output=True,
        text=True,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert "compiled" not in done.stdout
    return done.stderr


@pytest.mark.parametrize("found", [{"build_version": "2.6.0+cpu"}, {"version_py": "2.6.0+cu124"}, {"header": "2.6.0"}])
def test_another_version_is_refused_by_name(checkout: Path, tmp_path: Path, found: dict[str, str]) -> None:
    said = refusal(make(checkout, libtorch(tmp_path / "old", **found)))
    assert f"libtorch 2.6.0 in {tmp_path}/old, wanted {PINNED}" in said
    assert f"https://download.pytorch.org/libtorch/cpu/libtorch-shared-with-deps-{PINNED}%2Bcpu.zip" in said
    assert f"pip install torch=={PINNED}" in said


def test_whatever_stands_where_the_version_should_is_shown_as_text(checkout: Path, tmp_path: Path) -> None:
    said = refusal(make(checkout, libtorch(tmp_path / "odd", build_version="2.6.0\x1b[2J\\c\\033$(touch made)")))
    assert "\x1b" not in said
    assert f"pip install torch=={PINNED}" in said
    assert not (checkout / "made").exists()
    done = make(checkout, libtorch(tmp_path / "of another system", build_version=f"{PINNED}\r"))
    assert "compiled" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "found",
    [{"build_version": PINNED}, {"build_version": f"{PINNED}+cpu"}, {"version_py": f"{PINNED}+cu132"}, {"header": PINNED}],
)
def test_the_pinned_version_is_compiled_with_whichever_build_it_is(checkout: Path, tmp_path: Path, found: dict[str, str]) -> None:
    done = make(checkout, libtorch(tmp_path / "lib torch", **found))
    assert "compiled" in done.stdout, done.stderr
    assert "-isystem build/torch/include" in done.stdout
    assert (checkout / "build/torch").resolve() == tmp_path / "lib torch"


def test_what_is_missing_is_named(checkout: Path, tmp_path: Path) -> None:
    for number, file in enumerate(FILES[:4]):
        directory = libtorch(tmp_path / str(number), without=file, build_version=PINNED)
        assert f"no libtorch in {directory}: it has no {file}" in refusal(make(checkout, directory))
    assert f"there is no directory {tmp_path}/nowhere" in refusal(make(checkout, tmp_path / "nowhere"))
    assert "no libtorch: give LIBTORCH=DIR" in refusal(make(checkout, "", f"VENV={tmp_path}"))
    assert "nothing says which version" in refusal(make(checkout, libtorch(tmp_path / "unknown")))


def test_a_libtorch_without_cuda_builds_no_trainer_for_gpus(checkout: Path, tmp_path: Path) -> None:
    directory = libtorch(tmp_path / "lib torch", build_version=f"{PINNED}+cpu")
    said = refusal(make(checkout, directory, "cuda"))
    assert f"no CUDA in libtorch {directory}: it has no lib/libtorch_cuda.so" in said
    (directory / "lib/libtorch_cuda.so").touch()
    done = make(checkout, directory, "cuda")
    assert "compiled" in done.stdout, done.stderr


def test_only_the_trainer_for_gpus_is_linked_with_cuda(checkout: Path, tmp_path: Path) -> None:
    directory = libtorch(tmp_path / "site-packages/torch", build_version=PINNED)
    (directory / "lib/libtorch_cuda.so").touch()
    (directory.parent / "nvidia/cudnn/lib").mkdir(parents=True)
    (checkout / "build").mkdir()
    (checkout / "build/torch").symlink_to(directory)
    flags = {
        kind: subprocess.run(["./link_flags.sh", *kind], cwd=checkout, capture_output=True, text=True, check=True).stdout
        for kind in ((), ("carried",), ("cuda",))
    }
    assert [kind for kind, said in flags.items() if "cuda" in said.replace(str(tmp_path), "")] == [("cuda",)]
    assert "'-ltorch_cuda' '-lc10_cuda'" in flags[("cuda",)]
    assert f"-Wl,-rpath,{directory.parent}/nvidia/cudnn/lib" in flags[("cuda",)]
    assert "cudnn" not in flags[()] + flags[("carried",)]


def test_the_directory_above_leads_to_the_right_one(checkout: Path, tmp_path: Path) -> None:
    directory = libtorch(tmp_path / "libtorch", build_version=PINNED)
    assert f"give LIBTORCH={directory}" in refusal(make(checkout, tmp_path))


def test_a_path_that_the_linker_cannot_be_told_is_refused(checkout: Path, tmp_path: Path) -> None:
    for name in ("it's", "a,b"):
        assert "quotation mark or a comma" in refusal(make(checkout, libtorch(tmp_path / name, build_version=PINNED)))


def test_the_missing_header_of_json_is_named_with_its_package(checkout: Path, tmp_path: Path) -> None:
    said = refusal(make(checkout, libtorch(tmp_path / "torch", build_version=PINNED), f"VENV={tmp_path}", json=False))
    assert "apt-get install nlohmann-json3-dev" in said


def test_a_missing_compiler_is_named(checkout: Path, tmp_path: Path) -> None:
    directory = libtorch(tmp_path / "torch", build_version=PINNED)
    assert "no C++ compiler: no-compiler" in refusal(make(checkout, directory, "CXX=no-compiler"))


def test_json_comes_from_libtorch_then_from_beside_it(checkout: Path, tmp_path: Path) -> None:
    directory = libtorch(tmp_path / "torch", build_version=PINNED)
    beside = tmp_path / "nlohmann_json/include/nlohmann/json.hpp"
    beside.parent.mkdir(parents=True)
    beside.touch()
    assert "-isystem build/json" in make(checkout, directory).stdout
    assert (checkout / "build/json").resolve() == beside.parent.parent
    inside = directory / "include/nlohmann/json.hpp"
    inside.parent.mkdir()
    inside.touch()
    assert "-isystem build/json" not in make(checkout, directory).stdout


def test_a_relative_directory_is_meant_from_where_make_was_called(checkout: Path, tmp_path: Path) -> None:
    server = checkout.parent
    for file in ("Makefile", "prerequisites.sh", "go.mod"):
        shutil.copy(ROOT / "server" / file, server)
    libtorch(server.parent / "libtorch", build_version="2.6.0")
    ours = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "LIBTORCH")}
    done = subprocess.run(["make", "LIBTORCH=../libtorch"], cwd=server, env=ours, capture_output=True, text=True)
    assert f"libtorch 2.6.0 in {server.parent}/libtorch" in done.stderr


def test_a_library_that_nobody_has_is_named(tmp_path: Path) -> None:
    """The trainer needs libtorch_cpu.so, which this directory does not have."""
    (tmp_path / "torch/lib").mkdir(parents=True)
    command = [ENGINE / "libraries.sh", ROOT / "bin/bastionlab-trainer", tmp_path / "torch", tmp_path / "lib"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode != 0
    assert f"bastionlab-trainer needs libtorch_cpu.so, which is neither in {tmp_path}/torch/lib" in done.stderr


def test_the_server_by_itself_needs_no_python(tmp_path: Path) -> None:
    """A machine with all but Python: the server can be built, the checkout cannot be set up, and each says so."""
    for command in ("sh", "sed", "sort", "head", "dirname", "cat", "g++", "make", "readelf", "go"):
        found = shutil.which(command)
        assert found, command
        (tmp_path / command).symlink_to(found)
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    assert subprocess.run([str(ROOT / "server/prerequisites.sh")], env=environment).returncode == 0
    done = subprocess.run([str(ROOT / "tools/prerequisites.sh")], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr
    (tmp_path / "g++").unlink()
    done = subprocess.run([str(ROOT / "server/prerequisites.sh")], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "apt-get install g++" in done.stderr
