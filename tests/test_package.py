"""The client as it is handed out: wheel and source archive, its types, its version, and where `make install` puts it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from server_process import ROOT, SERVER

from bastionlab import __version__

sys.path.insert(0, str(ROOT / "tools" / "compatibility"))
import results
import table

CLIENT = ROOT / "client"
CACHES = shutil.ignore_patterns("__pycache__", ".*_cache", "dist")


def hatch(folder: Path, target: str, out: Path, **environment: str) -> Path:
    """Builds without a network: nothing is asked of an index, whatever is there."""
    nowhere = {"PIP_NO_INDEX": "1", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    subprocess.run(command, cwd=folder, env=os.environ | nowhere | environment, check=True, stdout=subprocess.DEVNULL)
    (built,) = out.iterdir()
    return built


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tracked_files(under: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z", under], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path.removeprefix(f"{under}/") for path in listed.split("\0") if path]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """client/ by itself, elsewhere, with what lies about in a folder that is worked in."""
    place = tmp_path_factory.mktemp("copy") / "client"
    shutil.copytree(CLIENT, place, ignore=CACHES)
    package = place / "src" / "bastionlab"
    for litter in ("__pycache__/x.cpython-311.pyc", "torch/y.pyc", ".mypy_cache/z.json", "../../.pytest_cache/v"):
        (package / litter).parent.mkdir(parents=True, exist_ok=True)
        (package / litter).write_text("litter")
    return place


@pytest.fixture(scope="module")
def wheel(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hatch(copy, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hatch(copy, "sdist", tmp_path_factory.mktemp("sdist"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    package = set(tracked_files("client/src"))
    information = {f"bastionlab-{__version__}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    assert set(zipfile.ZipFile(wheel).namelist()) == package | information
    assert wheel.name == f"bastionlab-{__version__}-py3-none-any.whl"
    assert "bastionlab/py.typed" in package


def test_the_source_archive_holds_what_is_tracked(sdist: Path) -> None:
    tracked = {f"bastionlab-{__version__}/{path}" for path in tracked_files("client")}
    with tarfile.open(sdist) as archive:
        held = set(archive.getnames())
    # hatchling takes a .gitignore along wherever it finds one.
    assert held - {f"bastionlab-{__version__}/.gitignore"} == tracked | {f"bastionlab-{__version__}/PKG-INFO"}


def test_two_builds_have_the_same_bytes(copy: Path, wheel: Path, sdist: Path, tmp_path: Path) -> None:
    other = tmp_path / "somewhere else" / "client"
    shutil.copytree(copy, other)
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(path.stat().st_mode & 0o700)
    unpacked = tmp_path / "unpacked"
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    assert digest(hatch(other, "wheel", tmp_path / "w")) == digest(hatch(source, "wheel", tmp_path / "s")) == digest(wheel)
    assert digest(hatch(other, "sdist", tmp_path / "d")) == digest(sdist)
    dated = [digest(hatch(copy, "wheel", tmp_path / f"e{i}", SOURCE_DATE_EPOCH="1700000000")) for i in range(2)]
    assert dated[0] == dated[1] != digest(wheel)


def test_the_metadata_says_who_can_install_it(wheel: Path) -> None:
    lines = zipfile.ZipFile(wheel).read(f"bastionlab-{__version__}.dist-info/METADATA").decode().split("\n\n")[0].splitlines()
    for line in (
        f"Version: {__version__}",
        "Requires-Python: >=3.10",
        "Classifier: Typing :: Typed",
        "License-Expression: Apache-2.0",
    ):
        assert line in lines
    # The project has no address of its own that could be named.
    assert not [line for line in lines if line.startswith(("Project-URL", "Home-page", "Author-email"))]


USER = """
from bastionlab import Connection
from bastionlab.torch import Adam

client = Connection("localhost").client.torch
dataset = client.RemoteDataset([], privacy_limit=6.0)
reveal_type(dataset.budget().remaining)
reveal_type(Connection("localhost").client.info.simulated)
Connection(host=1)
Adam(lr="much")
dataset.no_such_thing()
"""


def test_a_type_checker_sees_the_types_of_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    (tmp_path / "user.py").write_text(USER)
    settings = (
        "[mypy]\nstrict = true\n[mypy-torch.*,grpc.*,google.*,numpy.*,OpenSSL.*,cryptography.*]\nignore_missing_imports = true\n"
    )
    (tmp_path / "mypy.ini").write_text(settings)
    command = [sys.executable, "-m", "mypy", "--python-executable", str(environment / "bin" / "python"), "user.py"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    found = sorted(re.findall(r"^user\.py:(\d+): (?:note: (Revealed.*)|error: .*\[([\w-]+)\])$", told, re.MULTILINE))
    assert found == [
        ("10", "", "arg-type"),
        ("11", "", "attr-defined"),
        ("7", 'Revealed type is "float"', ""),
        ("8", 'Revealed type is "bool"', ""),
        ("9", "", "arg-type"),
    ], told


# ---- the version, in one place for each language ----

# Where the number stands for something else than what this release is.
OTHER_MEANINGS = {
    "docs/attestation.md": "a least version",
    "docs/installing.md": "what was tried then",
    "server/internal/attestation/verification/policy.go": "an example of a form",
    "tools/compatibility/results.json": "what was tried then",
    "tools/vectors/attestation_cases.py": "a least version",
}
PLACES = {"server/internal/version/version.go", "client/src/bastionlab/_version.py"}
TEST_DATA = re.compile(r"(^|/)tests/|_test\.go$|/testdata/|^vectors/|^requirements/|go\.(sum|mod)$")


def test_nothing_else_carries_the_number() -> None:
    number = re.compile(rf"(?<![\w.]){re.escape(__version__)}(?![\w.]|\.\d)")
    carriers = set()
    for path in tracked_files("."):
        if not TEST_DATA.search(path) and number.search((ROOT / path).read_bytes().decode(errors="replace")):
            carriers.add(path)
    assert carriers - set(OTHER_MEANINGS) == PLACES, "tools/set-version.sh would leave it behind"


def test_server_and_client_have_one_version() -> None:
    said = subprocess.run([SERVER, "version"], capture_output=True, text=True, check=True).stdout.strip()
    assert said == __version__
    assert f'const Number = "{__version__}"' in (ROOT / "server/internal/version/version.go").read_text()


@pytest.fixture
def two_places(tmp_path: Path) -> Path:
    for path in [*PLACES, "tools/set-version.sh", "server/internal/server/protocol.go"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def test_setting_the_version_sets_it_everywhere(two_places: Path) -> None:
    done = subprocess.run([two_places / "tools/set-version.sh", "7.8.9"], capture_output=True, text=True, check=True)
    assert all("7.8.9" in (two_places / path).read_text() for path in PLACES)
    assert not any(__version__ in (two_places / path).read_text() for path in PLACES)
    assert "Protocol in protocol.go and PROTOCOL in _version.py have to be 7 too" in done.stdout
    assert "freeze writes vectors/protocol/7.8.binpb" in done.stdout


@pytest.mark.parametrize("number", ["", "1.0", "v1.0.0", "1.0.0-rc.1", "1.00.0", '1.0.0"', "1.0.0\n2.0.0"])
def test_what_is_no_version_is_not_set(number: str, two_places: Path) -> None:
    done = subprocess.run([two_places / "tools/set-version.sh", number], capture_output=True, text=True)
    assert (done.returncode, "usage" in done.stderr) == (2, True)
    assert all(__version__ in (two_places / path).read_text() for path in PLACES)


# ---- where `make install` puts it: with a stand-in for Python, which says what it was asked ----

STAND_IN = """#!/bin/sh
case "$*" in
-V) echo Python 3.{minor}.0 ;;
*"version_info <"*) [ {minor} -ge 10 ] ;;
*"import importlib"*) [ {torch} = yes ] ;;
*"import venv"*) [ {venv} = yes ] ;;
"-m venv "*) echo "made $3" && mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip --version") [ {pip} = yes ] ;;
"-m pip install "*) echo "$0 installs $6" && [ {index} = yes ] ;;
*"import bastionlab"*) echo installed ;;
*) echo "unforeseen: $*" >&2 && exit 9 ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone, where nothing is built, with a blank in its name."""
    client = tmp_path / "a clone" / "client"
    client.mkdir(parents=True)
    for name in ("Makefile", "install.sh", "pyproject.toml"):
        shutil.copy(CLIENT / name, client)
    return client


def stand_in(path: Path, minor: int = 12, venv: str = "yes", pip: str = "yes", torch: str = "yes", index: str = "yes") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(STAND_IN.format(minor=minor, venv=venv, pip=pip, torch=torch, index=index))
    path.chmod(0o755)
    return path


def install(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    unset = ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHON", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    ours = {name: value for name, value in os.environ.items() if name not in unset}
    return subprocess.run(["make", "install"], cwd=clone, env=ours | environment, capture_output=True, text=True)


def test_without_an_active_environment_it_makes_the_checkouts(clone: Path, tmp_path: Path) -> None:
    python = stand_in(tmp_path / "python3")
    said = [install(clone, PYTHON=str(python)).stdout.splitlines() for _ in range(2)]
    target = clone.parent / ".venv"
    rest = [
        f"installing bastionlab into {target} (the checkout's; no virtual environment is active)",
        f"{target}/bin/python installs {clone}",
        "installed",
    ]
    assert said == [[f"made {target}", *rest], rest]


@pytest.mark.parametrize("also_conda", [False, True])
def test_the_active_environment_is_used_and_the_checkouts_left_alone(also_conda: bool, clone: Path, tmp_path: Path) -> None:
    python = stand_in(tmp_path / "mine" / "bin" / "python")
    conda = {"CONDA_PREFIX": str(tmp_path / "conda"), "CONDA_DEFAULT_ENV": "work"} if also_conda else {}
    said = install(clone, VIRTUAL_ENV=str(tmp_path / "mine"), **conda).stdout.splitlines()
    assert said[:2] == [
        f"installing bastionlab into {tmp_path}/mine (the active virtual environment)",
        f"{python} installs {clone}",
    ]
    assert not (clone.parent / ".venv").exists()


def test_an_active_conda_environment_is_one_too_but_not_its_base(clone: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "conda" / "bin" / "python")
    python = stand_in(tmp_path / "python3")
    for name, target, why in (
        ("work", tmp_path / "conda", "the active conda environment"),
        ("base", clone.parent / ".venv", "the checkout's; conda's base is left as it is"),
    ):
        done = install(clone, CONDA_PREFIX=str(tmp_path / "conda"), CONDA_DEFAULT_ENV=name, PYTHON=str(python))
        assert f"installing bastionlab into {target} ({why})" in done.stdout.splitlines()


def test_what_is_missing_is_named(clone: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    bare = stand_in(tmp_path / "bare", venv="no")
    old = stand_in(tmp_path / "old", minor=9)
    for environment, words in (
        ({"PYTHON": str(tmp_path / "none")}, f"there is no {tmp_path}/none; install Python 3.10 or newer"),
        ({"PYTHON": str(old)}, f"{old} is Python 3.9.0; the client needs Python 3.10 or newer; set PYTHON"),
        ({"PYTHON": str(bare)}, "has no venv; Debian: apt-get install python3-venv"),
        ({"VIRTUAL_ENV": str(mine)}, f"VIRTUAL_ENV is {mine}, where there is no bin/python"),
        ({"CONDA_PREFIX": str(mine), "CONDA_DEFAULT_ENV": "work"}, f"the conda environment {mine} has no Python"),
    ):
        done = install(clone, **environment)
        assert done.returncode != 0
        assert words in done.stderr
        assert not (clone.parent / ".venv").exists()
    stand_in(mine / "bin" / "python", pip="no")
    assert f"{mine} has no pip; {mine}/bin/python -m ensurepip puts it there" in install(clone, VIRTUAL_ENV=str(mine)).stderr
    stand_in(mine / "bin" / "python", minor=9)
    assert "activate another environment" in install(clone, VIRTUAL_ENV=str(mine)).stderr
    stand_in(clone.parent / ".venv" / "bin" / "python", minor=9)
    assert f"delete {clone.parent}/.venv" in install(clone).stderr


def test_a_long_download_is_announced_and_one_that_failed_is_no_success(clone: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    stand_in(mine / "bin" / "python", torch="no")
    said = install(clone, VIRTUAL_ENV=str(mine)).stdout.splitlines()
    assert said[1] == "PyTorch is not there yet and comes with it: up to 5 GB, which takes minutes"
    stand_in(mine / "bin" / "python", index="no")
    done = install(clone, VIRTUAL_ENV=str(mine))
    assert (done.returncode == 0, "installed" in done.stdout.splitlines()) == (False, False)
    assert "bastionlab was not installed: pip says above why" in done.stderr


# ---- what was tried: results, page and metadata say the same ----


def test_the_page_has_what_was_tried() -> None:
    page = table.PAGE.read_text()
    assert page == table.written(page), "python tools/compatibility/table.py"
    assert all(f"| {each.python} | {each.torch} |" in page for each in results.read())


def test_the_metadata_claims_what_was_tried_and_nothing_failed_there() -> None:
    tried = results.read()
    assert {each.key: each.failed for each in tried if each.failed} == {}, "what fails there is not claimed: mend it"
    assert min(each.passed for each in tried) > 1000
    claimed = set(re.findall(r'"Programming Language :: Python :: (3\.\d+)"', results.project()))
    assert claimed == {".".join(each.python.split(".")[:2]) for each in tried}
    pinned_torch = (ROOT / "server" / "LIBTORCH_VERSION").read_text().strip()
    assert pinned_torch in {each.torch for each in tried}, "the torch that the release is built with"


def test_the_lowest_versions_that_are_claimed_were_tried() -> None:
    bounds = results.lower_bounds()
    lowest = [each for each in results.read() if each.dependencies == "lowest"]
    assert lowest or "The `lowest` versions together were not tried yet." in table.PAGE.read_text()
    for each in lowest:
        assert results.numbers(each.torch)[:2] == results.numbers(bounds["torch"])[:2]
        for name, version in each.versions.items():
            # 42 is met by 42.0.0.
            assert [*results.numbers(version), 0, 0][:3] == [*results.numbers(bounds[name]), 0, 0][:3], name
