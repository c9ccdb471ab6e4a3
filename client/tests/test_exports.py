"""What is public is listed, sorted, and there; importing it is cheap."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import bastionlab
from bastionlab import errors
from bastionlab.torch import RemoteLearner, Run

MODULES = ["bastionlab", "bastionlab.errors", "bastionlab.torch", "bastionlab.torch.optimizer", "bastionlab.torch.optimizer_config"]


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_there(name: str) -> None:
    module = importlib.import_module(name)

    def isort_order(export: str) -> tuple[int, str]:
        """Constants, classes, the rest: as the linter sorts."""
        return (0 if export.isupper() else 1 if export[0].isupper() else 2, export)

    assert module.__all__ == sorted(module.__all__, key=isort_order)
    for export in module.__all__:
        assert hasattr(module, export)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_is_in_all(name: str) -> None:
    module = importlib.import_module(name)
    public = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", "").startswith("bastionlab")
    }
    assert public <= set(module.__all__)


def test_every_module_is_private_or_named_here() -> None:
    root = Path(bastionlab.__file__).parent
    found = {
        ".".join(("bastionlab", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for path in root.rglob("*.py")
        if "v1" not in path.parts and not path.name.startswith("_")
    }
    assert found <= set(MODULES)


def test_optimizers_are_where_they_were() -> None:
    from bastionlab.torch import Adam, optimizer, optimizer_config

    assert Adam is optimizer.Adam is optimizer_config.Adam


def test_importing_the_package_does_not_import_torch() -> None:
    script = "import sys, bastionlab; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_version_is_in_one_place() -> None:
    assert re.fullmatch(r"[1-9]\d*\.\d+\.\d+", bastionlab.__version__)
    try:
        assert metadata.version("bastionlab") == bastionlab.__version__
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed here")


def test_files_are_small() -> None:
    root = Path(bastionlab.__file__).parent
    lengths = {path.name: len(path.read_text().splitlines()) for path in root.rglob("*.py") if "v1" not in path.parts}
    assert max(lengths.values()) <= 400
    assert sorted(lengths.values())[len(lengths) // 2] <= 160


LATER = {
    RemoteLearner: ("rehearse", "recorder"),
    Run: ("report",),
}


@pytest.mark.parametrize(("kind", "member"), [(kind, member) for kind, members in LATER.items() for member in members])
def test_what_comes_later_has_its_place_and_says_so(kind: type[Any], member: str) -> None:
    bare = object.__new__(kind)
    with pytest.raises(errors.InvalidArgument, match=f"{member} comes in a later release") as refused:
        getattr(bare, member)()
    assert (refused.value.charged, bool(refused.value.next)) == ("nothing", True)
