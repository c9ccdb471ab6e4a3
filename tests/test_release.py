"""What is released can be made again: the same bytes from the same commit, wherever it lies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import ROOT, ServerProcess

RELEASE = ROOT / "tools/release"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sources(directory: Path) -> Path:
    """The server's sources, as they are in the checkout, without what was built."""
    ignored = shutil.ignore_patterns("build", "tests", "testdata", "*_test.go", "src")
    shutil.copytree(ROOT / "server", directory, ignore=ignored)
    return directory


def server_of(directory: Path) -> Path:
    ours = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "GOFLAGS")}
    subprocess.run(["make", "bastionlab", f"BIN={directory}/out"], cwd=directory, env=ours, check=True, capture_output=True)
    return directory / "out/bastionlab"


def test_the_server_is_one_program_wherever_it_is_built(tmp_path: Path) -> None:
    one, two = sources(tmp_path / "one"), sources(tmp_path / "two/further down")
    first, second = server_of(one), server_of(two)
    assert digest(first) == digest(second)
    assert str(tmp_path).encode() not in first.read_bytes()
    # Were it not built from the sources that lie there, a change would not be seen either.
    version = two / "internal/version/version.go"
    version.write_text(version.read_text().replace('const Number = "', 'const Number = "7'))
    assert digest(server_of(two)) != digest(first)


def test_a_program_that_names_its_directory_is_noticed(tmp_path: Path) -> None:
    """The same digest is not what go makes by itself: it needs the flags of the Makefile."""
    digests = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "go.mod").write_text("module example.org/program\n\ngo 1.26.0\n")
        (directory / "main.go").write_text("package main\n\nfunc main() { panic(1) }\n")
        environment = os.environ | {"CGO_ENABLED": "0"}
        subprocess.run(["go", "build", "-buildvcs=false", "-o", "program", "."], cwd=directory, env=environment, check=True)
        assert str(directory).encode() in (directory / "program").read_bytes()
        digests.append(digest(directory / "program"))
    assert digests[0] != digests[1]


def archived(directory: Path, archive: Path) -> str:
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run([str(RELEASE / "archive.sh"), str(directory), str(archive)], env=environment, check=True)
    return digest(archive)


def test_an_archive_is_decided_by_its_content(tmp_path: Path) -> None:
    digests = []
    letters = "abcdefghij"
    for number, names in enumerate((letters, letters[::-1])):
        directory = tmp_path / str(number) / "release"
        directory.mkdir(parents=True)
        for name in names:
            (directory / name).write_text(name)
            os.utime(directory / name, (number, number))
        (directory / "a").chmod(0o644 if number else 0o664)
        digests.append(archived(directory, tmp_path / f"{number}.tar.gz"))
    assert digests[0] == digests[1]
    with tarfile.open(tmp_path / "0.tar.gz") as archive:
        assert archive.getnames() == ["release", *(f"release/{name}" for name in letters)]
    assert (tmp_path / "0.tar.gz").read_bytes()[4:8] == bytes(4), "the compressor wrote the time down"
    (tmp_path / "1/release/a").write_text("b")
    assert archived(tmp_path / "1/release", tmp_path / "2.tar.gz") != digests[0]


def test_a_changed_checkout_is_not_released(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
    shutil.copy(RELEASE / "release.sh", clone / "tools/release/release.sh")
    (clone / "README.md").write_text("changed")
    environment = os.environ | {"PYTHON": sys.executable, "LIBTORCH": str(tmp_path)}
    done = subprocess.run([str(clone / "tools/release/release.sh")], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "changes that no commit has" in done.stderr
    assert not (clone / "build").exists()


def test_a_release_takes_nothing_else_away(tmp_path: Path) -> None:
    clone, precious = tmp_path / "clone", tmp_path / "home/thesis"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
    shutil.copy(RELEASE / "release.sh", clone / "tools/release/release.sh")
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-am", "x"],
        cwd=clone,
        check=True,
    )
    precious.parent.mkdir()
    precious.write_text("words")
    environment = os.environ | {"PYTHON": sys.executable, "LIBTORCH": str(tmp_path)}
    command = [str(clone / "tools/release/release.sh"), str(precious.parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "not a release's" in done.stderr
    assert precious.read_text() == "words"


def test_a_part_without_a_licence_stops_the_release(tmp_path: Path) -> None:
    """A program of Go modules that have theirs, and a library of a libtorch that has none."""
    programs, libtorch = tmp_path / "programs", tmp_path / "libtorch"
    (programs / "lib").mkdir(parents=True)
    libtorch.mkdir()
    for name in ("bastionlab", "bastionlab-trainer"):
        (programs / name).symlink_to(ROOT / "bin" / name)
    (programs / "lib/libtorch_cpu.so").touch()
    command = [sys.executable, str(RELEASE / "licences.py"), str(programs), str(libtorch), str(tmp_path / "licences")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == "licences: libtorch has no text of a licence"
    (libtorch / "LICENSE").write_text("text")
    subprocess.run(command, check=True)
    assert (tmp_path / "licences/libtorch/LICENSE").read_text() == "text"
    assert (tmp_path / "licences/google.golang.org/grpc/LICENSE").exists()
    assert (tmp_path / "licences/go/LICENSE").exists()


def test_the_clients_bill_names_what_the_wheel_asks_for(tmp_path: Path) -> None:
    wheel, bill = tmp_path / "bastionlab-1.0.0-py3-none-any.whl", tmp_path / "bill.json"
    wanted = ("torch>=2.6", "protobuf<9,>=7.35.1", "some-thing[fast]~=1.2", "dcap-qvl>=0.7; extra == 'tdx'")
    with zipfile.ZipFile(wheel, "w") as archive:
        lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in wanted)
        archive.writestr("bastionlab-1.0.0.dist-info/METADATA", f"Metadata-Version: 2.4\nName: bastionlab\n{lines}\ntext\n")
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(
        [sys.executable, str(RELEASE / "sbom.py"), "client", "1.0.0", str(wheel), str(bill)], env=environment, check=True
    )
    said = json.loads(bill.read_text())
    assert said["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert [(component["name"], component["scope"]) for component in said["components"]] == [
        ("torch", "required"),
        ("protobuf", "required"),
        ("some-thing", "required"),
        ("dcap-qvl", "optional"),
    ]
    assert [component["properties"][0]["value"] for component in said["components"]] == list(wanted)


@pytest.fixture(scope="module")
def long(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--all"):
        pytest.skip("takes minutes: --all")


@pytest.fixture(scope="module")
def release(long: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A whole release of the commit that is checked out, out of a clone."""
    import torch

    clone, made = tmp_path_factory.mktemp("release") / "clone", tmp_path_factory.mktemp("made")
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
    environment = os.environ | {"PYTHON": sys.executable, "LIBTORCH": str(Path(torch.__file__).parent), "IMAGE": "no"}
    subprocess.run([str(clone / "tools/release/release.sh"), str(made)], env=environment, check=True)
    yield made
    shutil.rmtree(made)


def test_a_release_is_whole_and_its_server_runs(release: Path, tmp_path: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=release, check=True)
    named = {line.split()[1] for line in (release / "SHA256SUMS").read_text().splitlines()}
    assert named == {path.name for path in release.iterdir()} - {"SHA256SUMS"}
    (archive,) = release.glob("bastionlab-server-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="tar")
    (unpacked,) = tmp_path.iterdir()
    programs = unpacked / "usr/lib/bastionlab"
    share = unpacked / "usr/share/doc/bastionlab"
    for page in (ROOT / "docs").rglob("*.md"):
        assert (share / page.relative_to(ROOT)).exists(), f"the archive lacks {page}, which other pages lead to"
    (sbom,) = release.glob("bastionlab-server-*.cdx.json")
    components = {component["name"]: component for component in json.loads(sbom.read_text())["components"]}
    for path in [programs / "bastionlab", programs / "bastionlab-trainer", *(programs / "lib").iterdir()]:
        assert components[path.name]["hashes"][0]["content"] == digest(path)
    assert "google.golang.org/grpc" in components
    assert b"site-packages" not in (programs / "bastionlab-trainer").read_bytes(), "the trainer names the directory of its libtorch"
    server = ServerProcess(
        tmp_path / "data", tmp_path / "log", program=programs / "bastionlab", trainer=programs / "bastionlab-trainer"
    )
    server.start()
    assert server.stop() == 0


def test_wheel_and_sdist_are_the_same_wherever_they_are_built(long: None, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "LIBTORCH"} | {"PYTHON": sys.executable}
    done = subprocess.run([str(RELEASE / "reproduce.sh")], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ".whl" in done.stdout
