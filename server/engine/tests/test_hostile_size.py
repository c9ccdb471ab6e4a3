"""Models that ask for more memory or time than there is: an answer at load or rehearsal, not a dead or endless process."""

from __future__ import annotations

import pytest
import torch

from abi import Status
from archive import archive
from engine import Engine, EngineError
from records import Record, Schema
from zoo.forbidden import Base
from zoo.oversized import OVERSIZED, Activation

SCHEMA = Schema.of(Record({"x": torch.zeros(4)}, torch.zeros(3)))


@pytest.mark.parametrize("model", OVERSIZED, ids=lambda model: model.__name__)
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
