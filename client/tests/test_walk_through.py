"""The walk-through of the README, word for word, but for the port."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from conftest import rows
from fake_server import FakeServer

import bastionlab
from bastionlab import Connection

SNIPPETS = re.findall(r"```python\n(.*?)```", (Path(__file__).parent.parent / "README.md").read_text(), re.DOTALL)


def test_both_snippets_run_as_they_stand(server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bastionlab, "Connection", lambda host: Connection(host, server.port))
    owner, scientist = SNIPPETS
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "owner"))
    exec(owner, {"train_dataset": rows()})
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "scientist"))
    model = torch.nn.Linear(8, 2)
    before = model.weight.detach().clone()
    scope: dict[str, object] = {"model": model}
    exec(scientist, scope)
    assert scope["trained_model"] is model
    assert torch.equal(model.weight, before + 1)
    (run,) = server.runs.values()
    assert (run.name, run.plan.epsilon_nano, run.plan.max_batch_size) == ("DistilBERT", 2 * 10**9, 4)
    assert server.requests[run.id].optimizer.adam.lr == 5e-5
    (stored,) = server.datasets.values()
    assert stored.message.owner != run.scientist, "two people, two keys"
