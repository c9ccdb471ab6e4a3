"""The README's walk-through runs as it stands there: its snippets are taken out of the file and executed."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from server_process import ROOT, ServerProcess
from torch import nn
from torch.utils.data import TensorDataset

from bastionlab import Connection, Identity
from bastionlab.errors import BudgetExceeded, PermissionDenied

PORT = 50056


def snippet(name: str, walk: str = "walk-through", language: str = "python") -> str:
    readme = (ROOT / "README.md").read_text()
    found = re.search(rf"<!-- {walk}: {name} -->\n```{language}\n(.*?)```", readme, re.DOTALL)
    assert found, f"README.md has no {walk} of the {name}"
    return found.group(1)


class TinyEncoder(nn.Module):
    """Shaped like DistilBERT's classifier: token ids and a mask to logits, with attention, dropout and layer norms."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(100, 16)
        self.positions = nn.Embedding(8, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.words(input_ids) + self.positions(torch.arange(input_ids.shape[1]))
        x = self.layer(x, src_key_padding_mask=attention_mask == 0)
        return self.head(x[:, 0])


def messages(records: int = 300) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 100, (records, 8), generator=generator)
    return TensorDataset(ids, torch.ones_like(ids), (ids[:, 0] > 50).long())


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
    exec(snippet("owner"), {"train_dataset": messages()})
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "scientist"))
    model = TinyEncoder()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scope: dict[str, object] = {"model": model}
    exec(snippet("scientist"), scope)
    trained = scope["trained_model"]
    assert trained is model
    assert all(not torch.equal(value, before[name]) for name, value in model.named_parameters())
    budget = scope["remote_dataset"].budget()  # type: ignore[attr-defined]
    assert (budget.spent, budget.remaining, budget.limit) == (2.0, 4.0, 6.0)


def test_the_walk_through_of_registered_people(
    new_server: Callable[..., ServerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_the_port()
    server = new_server(port=PORT)
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "keys"))
    exec(snippet("keys", "registered"), {})
    hospital, university = re.findall(r"-----BEGIN.*?-----END PUBLIC KEY-----\n", capsys.readouterr().out, re.DOTALL)
    (tmp_path / "hospital.pub").write_text(hospital)
    (tmp_path / "university.pub").write_text(university)
    monkeypatch.chdir(tmp_path)
    for line in snippet("operator", "registered", "sh").splitlines():
        command = shlex.split(line.replace("bin/bastionlab", str(ROOT / "bin" / "bastionlab")))
        subprocess.run([*command, "--data-dir", str(server.data_dir)], check=True)
    with pytest.raises(PermissionDenied):
        Connection("localhost", PORT, identity=Identity.create("stranger")).client.torch.list_remote_datasets()

    exec(snippet("owner", "registered"), {"train_dataset": messages()})
    scope: dict[str, object] = {"model": TinyEncoder()}
    exec(snippet("scientist", "registered"), scope)
    assert scope["trained_model"] is scope["model"]
    client: Any = scope["client"]
    assert client._session.attested.claims.development is False
    with pytest.raises(BudgetExceeded):  # the grant ends at 4
        scope["remote_learner"].fit(nb_epochs=1, eps=2.5)  # type: ignore[attr-defined]
    with pytest.raises(PermissionDenied):
        scope["remote_dataset"].delete()  # type: ignore[attr-defined]
