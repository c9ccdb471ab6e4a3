"""Operators whose kernels read beyond a tensor - by a scale that overflows, a raw pointer, strides of zero, overlapping windows -
reach no other record: they are refused, or get each record's numbers by themselves. Every model here once read its neighbours."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from abi import Status
from archive import archive
from engine import Engine, EngineError, Program, Training
from oracle import Gradient, norm
from records import Record, Schema
from soundness import contribution, contribution_when_moved
from zoo.layout import Expanded, InnermostRecords, Packed, Polygamma, Scale, Scale1, Windows

SLOTS = 16


def row(value: float, label: float = 1e3, size: int = 4) -> Record:
    return Record({"x": torch.full((size,), value)}, torch.tensor([label]))


def load(engine: Engine, module: nn.Module, like: Record) -> Program:
    schema = Schema.of(like)
    program = engine.load(archive(module, schema, "script"), schema, "l2")
    program.rehearse(pass_size=SLOTS)
    return program


def moved(one: Gradient, other: Gradient) -> float:
    return norm({name: one[name] - other[name] for name in one})


@pytest.mark.parametrize("model", [Scale, Scale1, Packed, Polygamma], ids=lambda model: model.__name__)
def test_what_cannot_be_bounded_is_refused(engine: Engine, model: type[nn.Module]) -> None:
    with pytest.raises(EngineError) as refusal:
        load(engine, model(), row(1.0))
    assert refusal.value.status == Status.INCOMPATIBLE_MODEL
    assert refusal.value.operator


class Ordinary(nn.Module):
    """What people write is not touched by those rules."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.cell = nn.Linear(4, 4), nn.LSTM(2, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        image = self.layer(x).view(1, 1, 2, 2)
        larger = F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)
        sized = F.interpolate(image, size=[3, 3], mode="bicubic", align_corners=False)
        out, _ = self.cell(image.view(1, 2, 2))
        return (larger.sum() + sized.sum() + out.sum() + torch.polygamma(0, x.abs() + 1).sum()).view(1, 1)


def test_ordinary_uses_are_admitted(engine: Engine) -> None:
    program = load(engine, Ordinary(), row(1.0))
    assert norm(contribution(program, [row(1.0)], [0], Training(pass_size=SLOTS))) > 0


@pytest.mark.parametrize("model", [Expanded, InnermostRecords, Windows], ids=lambda model: model.__name__)
def test_a_neighbour_is_not_seen(engine: Engine, model: type[nn.Module]) -> None:
    size = 64 if model is Windows else 4
    secret = row(77777.0 if model is Windows else -100.0, float("nan"), size)  # contributes nothing itself
    records = [*(row(1.0, size=size) for _ in range(SLOTS)), secret]
    program = load(engine, model(), records[0])
    training = Training(pass_size=SLOTS)
    others = list(range(SLOTS - 1))
    for beside, without in (([*others, SLOTS], [*others, -1]), ([SLOTS, *others], [-1, *others])):
        for sum_of in (contribution, contribution_when_moved):
            assert moved(sum_of(program, records, beside, training), sum_of(program, records, without, training)) < 1e-3
