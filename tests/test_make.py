"""What make does, where doing it would take long: read from what it says that it would do, or with stand-ins."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from server_process import ROOT

MAKEFILES = ["Makefile", "client/Makefile", "server/Makefile"]


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "LIBTORCH")}
    return subprocess.run(["make", *arguments], cwd=cwd, env=ours, capture_output=True, text=True)


@pytest.mark.parametrize("path", MAKEFILES)
def test_every_target_that_is_named_has_a_rule(path: str) -> None:
    text = (ROOT / path).read_text()
    named = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert named
    without = [target for target in named[1].split() if not re.search(rf"^{re.escape(target)}:", text, re.MULTILINE)]
    assert without == [], "make would do nothing, and call that success"


@pytest.mark.parametrize("path", ["/a/messages.txt", "/my own/messages.txt", "it's mine.txt", "messages.txt"])
def test_the_demonstration_gets_its_file_as_one_word(path: str) -> None:
    (line,) = [
        line
        for line in make("-n", "-o", "build", "-o", f"{ROOT}/.venv/.stamps/demo", "demo", f"DATA={path}").stdout.splitlines()
        if "examples/demo.py" in line
    ]
    words = shlex.split(line)
    assert words[words.index("--data") + 1 :] == [path]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone with the server's real Makefile, and stand-ins for what takes long."""
    engine = tmp_path / "server" / "engine"
    engine.mkdir(parents=True)
    for file in ("Makefile", "prerequisites.sh", "go.mod"):
        shutil.copy(ROOT / "server" / file, tmp_path / "server")
    (tmp_path / "Makefile").write_text("client:\n\t@echo set-up\n\t@mkdir -p .venv/lib/python3.11/site-packages/torch\n")
    recipe = "@echo engine with $(LIBTORCH); mkdir -p build; touch build/libbastionlab_engine.a build/link.flags"
    (engine / "Makefile").write_text(f"all:\n\t{recipe}\n")
    return tmp_path


def test_the_server_by_itself_installs_the_pinned_wheel_once(clone: Path) -> None:
    torch = clone / ".venv/lib/python3.11/site-packages/torch"
    said = [make("GO=true", cwd=clone / "server").stdout.splitlines() for _ in range(2)]
    assert said == [["set-up", f"engine with {torch}"], [f"engine with {torch}"]]


def test_the_server_with_a_libtorch_of_ones_own_installs_nothing(clone: Path) -> None:
    done = make("GO=true", "LIBTORCH=/opt/libtorch", cwd=clone / "server")
    assert done.stdout.splitlines() == ["engine with /opt/libtorch"]
    assert not (clone / ".venv").exists()


def test_an_old_python_is_named_before_anything_is_built(tmp_path: Path) -> None:
    for minor, old in ((10, True), (11, False)):
        python = tmp_path / f"python3.{minor}"
        python.write_text(
            f"#!/bin/sh\ncase $1 in -V) echo Python 3.{minor}.1;; *) exec {sys.executable} -c "
            f'"import sys; sys.version_info = (3, {minor}, 1); $2";; esac\n'
        )
        python.chmod(0o755)
        environment = os.environ | {"PYTHON": str(python)}
        done = subprocess.run([str(ROOT / "tools/prerequisites.sh")], env=environment, capture_output=True, text=True)
        assert ("Python 3.11 or newer" in done.stderr) == old
