"""Models that ask for more memory or time than there is: an answer at load or rehearsal, not a dead or endless process."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from abi import Status
from archive import archive
from engine import Engine, EngineError
from records import Record, Schema
from zoo.forbidden import Base

SCHEMA = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(3)))


class Constant(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y + torch.zeros([1 << 45]).sum()


class Activation(Base):
    """Small for one record's batch of one, and not for anything else."""

    def spy(self, y: Tensor) -> Tensor:
        return y + y.repeat(1 << 20, 1 << 22).sum()


class Turns(Base):
    def spy(self, y: Tensor) -> Tensor:
        total = 0
        for i in range(1 << 40):
            total += i
        return y * total


class Endless(Base):
    def spy(self, y: Tensor) -> Tensor:
        go_on = True
        while go_on:
            go_on = y.dim() == 2
        return y


class Steps(Base):
    def spy(self, y: Tensor) -> Tensor:
        for _ in range(1 << 30):
            y = y + 1
        return y


@pytest.mark.parametrize("model", [Constant, Activation, Turns, Endless, Steps], ids=lambda model: model.__name__)
def test_what_is_too_large_is_refused(engine: Engine, model: type[Base]) -> None:
    with pytest.raises(EngineError) as refusal:
        engine.load(archive(model(), SCHEMA, "script"), SCHEMA, "l2").rehearse()
    assert refusal.value.status in (Status.OUT_OF_MEMORY, Status.INCOMPATIBLE_MODEL)
    assert refusal.value.reason


def test_the_engine_works_on_after_a_refusal(engine: Engine) -> None:
    """An exception in the middle leaves no vmap level, no mode and no half-open pass behind."""
    for _ in range(3):
        with pytest.raises(EngineError):
            engine.load(archive(Activation(), SCHEMA, "script"), SCHEMA, "l2").rehearse()
        program = engine.load(archive(Base(), SCHEMA, "script"), SCHEMA, "l2")
        program.rehearse()
        trainer = program.trainer()
        trainer.run_pass([Record({"x": torch.ones(4)}, torch.ones(3))], [0])
        assert any(bool((value != 0).any()) for value in trainer.clipped_sum().values())
