"""How long a pass and a step of a DistilBERT take beside ordinary training. Printed; the bounds only catch what is broken."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archive import archive
from engine import ADAM, CERTIFIED, Engine, Optimizer, Training
from records import Record, Schema

TOKENS, BATCH = 32, 16


class DistilBert(nn.Module):
    """66 million parameters in DistilBERT's shapes, without a download."""

    def __init__(self) -> None:
        super().__init__()
        transformers = pytest.importorskip("transformers")
        config = transformers.DistilBertConfig(num_labels=2, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
        self.model = transformers.DistilBertForSequenceClassification(config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids, attention_mask, return_dict=False)[0]


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.slow
def test_a_distilbert_step(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    module = DistilBert()
    records = [
        Record({"input_ids": torch.randint(30000, (TOKENS,)), "attention_mask": torch.ones(TOKENS).long()}, torch.tensor(i % 2))
        for i in range(BATCH)
    ]
    schema = Schema.of(records[0], named=True)
    program = engine.load(archive(module, schema, "trace"), schema, "cross_entropy")
    optimizer = Optimizer(ADAM, lr=5e-5)
    lines = []
    for pass_size in (4, BATCH):
        trainer = program.trainer(
            Training(pass_size=pass_size, release=CERTIFIED, noise_stddev=1.0, normalizer=BATCH, optimizer=optimizer)
        )
        slots = list(range(pass_size))
        one_pass = seconds(lambda trainer=trainer, slots=slots: trainer.run_pass(records, slots))
        one_step = seconds(lambda trainer=trainer: trainer.step(os.urandom))
        whole = BATCH // pass_size * one_pass + one_step
        lines.append(f"pass of {pass_size}: {one_pass:.3f} s, step: {one_step:.3f} s, {BATCH} records: {whole:.3f} s")

    torch_optimizer = torch.optim.Adam(module.parameters(), 5e-5)
    ids = torch.stack([record.inputs["input_ids"] for record in records])
    mask, labels = torch.ones_like(ids), torch.stack([record.label for record in records])

    def ordinary() -> None:
        torch_optimizer.zero_grad()
        F.cross_entropy(module(ids, mask), labels).backward()
        torch_optimizer.step()

    plain = seconds(ordinary)
    lines.append(f"ordinary step of {BATCH}: {plain:.3f} s; ratio {whole / plain:.2f}")
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert whole < 4 * plain
