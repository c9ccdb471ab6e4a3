"""An operator whose kernels of a GPU add in an order of chance is refused in the rehearsal, in words that help.

The stand-in refuses one as libtorch's kernel of it does."""

from __future__ import annotations

import multiprocessing
import os

import pytest
import torch
from torch import Tensor, nn

import standin
from archive import archive
from engine import LIBRARY, OPERATORS, Engine, EngineError
from records import Record, Schema

pytestmark = pytest.mark.device


class Cumulated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).cumsum(1)


class Counted(Cumulated):
    """Integers add up in any order."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + x.gt(0).cumsum(1)


def _refuses_chance(device: str) -> None:
    if device == standin.DEVICE:
        standin.load()
    engine = Engine(LIBRARY, OPERATORS, threads=1, device=device)
    schema = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(4)))
    engine.load(archive(Counted(), schema, "script"), schema, "l2").rehearse(2)
    with pytest.raises(EngineError) as refused:
        engine.load(archive(Cumulated(), schema, "script"), schema, "l2").rehearse(2)
    said = str(refused.value)
    assert "INCOMPATIBLE_MODEL: operator 'aten::cumsum'" in said
    assert "cannot be computed on a GPU" in said
    assert "has no fixed order on a GPU; train the model on the CPU" in said
    assert "turn off" not in said  # libtorch's advice is for somebody else
    os._exit(0)  # the interpreter's end would meet autograd's thread in the middle of its start


@pytest.mark.usefixtures("engine")
def test_an_order_of_chance_is_refused_in_the_rehearsal(device: str) -> None:
    """In a process of its own: an engine is started once."""
    process = multiprocessing.get_context("spawn").Process(target=_refuses_chance, args=(device,))
    process.start()
    process.join()
    assert process.exitcode == 0
