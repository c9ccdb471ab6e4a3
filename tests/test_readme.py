"""The README's walk-through runs as it stands there: its snippets are taken out of the file and executed."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from server_process import ROOT, ServerProcess
from torch import nn
from torch.utils.data import TensorDataset

PORT = 50056


def snippet(name: str) -> str:
    readme = (ROOT / "README.md").read_text()
    found = re.search(rf"<!-- walk-through: {name} -->\n```python\n(.*?)```", readme, re.DOTALL)
    assert found, f"README.md has no walk-through of the {name}"
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


def test_the_walk_through_verbatim(
    new_server: Callable[..., ServerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.fail(f"something else listens on port {PORT}: stop it, the walk-through connects there")
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
