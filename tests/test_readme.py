"""The README's walk-through does what it says there: its snippets are executed, and what came of them is looked at."""

from __future__ import annotations

import re
import runpy
import shlex
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from server_process import ROOT, ServerProcess

from bastionlab import Connection, Identity
from bastionlab.errors import BudgetExceeded, PermissionDenied

PORT = 50056
# What the README takes for granted, as tests/test_docs.py has it.
MADE = runpy.run_path(str(ROOT / "tests" / "snippets" / "README.py"), run_name="taken_for_granted")


def snippet(name: str, walk: str = "walk-through", language: str = "python") -> str:
    readme = (ROOT / "README.md").read_text()
    found = re.search(rf"<!-- {walk}: {name} -->\n(?:<!-- [^\n]* -->\n)?```{language}\n(.*?)```", readme, re.DOTALL)
    assert found, f"README.md has no {walk} of the {name}"
    return found.group(1)


def require_the_port() -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.fail(f"something else listens on port {PORT}: stop it, the walk-through connects there")


def test_the_walk_through_verbatim(
    new_server: Callable[..., ServerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_the_port()
    new_server(port=PORT)
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "owner"))
    exec(snippet("owner"), {"train_dataset": MADE["messages"]()})
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "scientist"))
    model = MADE["TinyEncoder"]()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scope: dict[str, object] = {"model": model}
    exec(snippet("scientist"), scope)
    trained = scope["trained_model"]
    assert trained is model
    assert all(not torch.equal(value, before[name]) for name, value in model.named_parameters())
    budget = scope["remote_dataset"].budget()  # type: ignore[attr-defined]
    assert (budget.spent, budget.remaining, budget.limit) == (2.0, 4.0, 6.0)


def test_the_walk_through_of_registered_people(
    new_server: Callable[..., ServerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_the_port()
    server = new_server(port=PORT)
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "keys"))
    monkeypatch.chdir(tmp_path)
    for whose in ("owner's key", "scientist's key"):
        exec(snippet(whose, "registered"), {})
    for line in snippet("operator", "registered", "sh").splitlines():
        command = shlex.split(line.replace("bin/bastionlab", str(ROOT / "bin" / "bastionlab")))
        subprocess.run([*command, "--data-dir", str(server.data_dir)], check=True)
    with pytest.raises(PermissionDenied):
        Connection("localhost", PORT, identity=Identity.create("stranger")).client.torch.list_remote_datasets()

    exec(snippet("owner", "registered"), {"train_dataset": MADE["messages"]()})
    scope: dict[str, object] = {"model": MADE["TinyEncoder"]()}
    exec(snippet("scientist", "registered"), scope)
    assert scope["trained_model"] is scope["model"]
    client: Any = scope["client"]
    assert client._session.attested.claims.development is False
    with pytest.raises(BudgetExceeded):  # the grant ends at 4
        scope["remote_learner"].fit(nb_epochs=1, eps=2.5)  # type: ignore[attr-defined]
    with pytest.raises(PermissionDenied):
        scope["remote_dataset"].delete()  # type: ignore[attr-defined]
