"""The walk-through with DistilBERT's own size and `max_batch_size=4`; minutes, so only with --all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from server_process import ServerProcess
from test_readme import PORT, snippet
from torch.utils.data import TensorDataset

RECORDS = int(os.environ.get("BASTIONLAB_DISTILBERT_RECORDS", "4459"))
TOKENS = 32


@pytest.fixture(autouse=True)
def _only_with_all(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--all"):
        pytest.skip("minutes long: runs with --all")


def test_the_walk_through_with_66_million_parameters(
    new_server: Callable[..., ServerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    new_server(port=PORT)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 30000, (RECORDS, TOKENS), generator=generator)
    data = TensorDataset(ids, torch.ones_like(ids), torch.randint(0, 2, (RECORDS,), generator=generator))
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "owner"))
    exec(snippet("owner"), {"train_dataset": data})
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "scientist"))
    model = DistilBertForSequenceClassification(DistilBertConfig())
    size = sum(p.numel() for p in model.parameters())
    assert size > 66e6
    began = time.monotonic()
    scope: dict[str, object] = {"model": model}
    exec(snippet("scientist"), scope)
    seconds = time.monotonic() - began
    plan = scope["remote_learner"].plan(nb_epochs=2, eps=2.0)  # type: ignore[attr-defined]
    assert RECORDS != 4459 or (plan.batch_size, plan.steps) == (45, 199)
    assert scope["remote_dataset"].budget().spent == 2.0  # type: ignore[attr-defined]
    print(f"\n{size / 1e6:.1f}M parameters, {plan.steps} steps of {plan.batch_size}: {seconds:.0f} s")
