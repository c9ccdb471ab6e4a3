"""Models that try to read another record, or that fail on some: refused, or every record counts as if it were alone."""

from __future__ import annotations

import copy
import math
import multiprocessing

import pytest
import torch
from torch import nn

from abi import Status
from archive import archive
from comparison import assert_same
from engine import LIBRARY, OPERATORS, Engine, EngineError, Program, Training
from oracle import Expected
from records import Record, Schema
from soundness import assert_sound, contribution
from zoo import Case
from zoo.hostile import CHAOTIC, HONEST, HOSTILE, TRAPS, Base
from zoo.spoilt import spoilt_by, with_value

INDICES = [[1, 2, 3], [0, 0, 1], [3, 2, 1], [4, 5, 9], [-1, -2, -4], [-5, 0, 1], [10**12, -(10**12), 2], [-1, -1, -1]]
VALUES = [[0.5, 0.2, 0.3, 0.1], [-0.5, 0.2, -0.7, 1.0], [2.5, 0.4, 1.0, -1.0]]


def records() -> list[Record]:
    """One honest record, then every index and every kind of value once."""
    made = []
    for number, index in enumerate(INDICES):
        x = torch.tensor(VALUES[number % len(VALUES)], dtype=torch.float64)
        label = torch.full((3,), 0.3 * number, dtype=torch.float64)
        made.append(Record({"x": x, "index": torch.tensor(index)}, label))
    return made


def admit(engine: Engine, module: nn.Module, schema: Schema) -> Program | None:
    """FORWARD_FAILED is a refusal too: the model fails on zeros already, so nothing is told about a record."""
    try:
        program = engine.load(archive(module, schema, "script"), schema, "l2")
        program.rehearse(pass_size=4)
    except EngineError as error:
        if error.status in (Status.INCOMPATIBLE_MODEL, Status.FORWARD_FAILED) and error.reason:
            return None
        raise
    return program


@pytest.mark.parametrize("model", HOSTILE, ids=lambda model: model.__name__)
def test_a_hostile_model_is_refused_or_changes_nothing(engine: Engine, model: type[Base]) -> None:
    module = model().double()
    program = admit(engine, module, Schema.of(records()[0]))
    if program is None:
        assert model not in HONEST
        return
    assert_sound(program, records())
    if model in CHAOTIC:
        return
    # Where torch would raise, vmap may clamp: sound, but no oracle. An honest record's gradient is what it always is.
    expected = Expected.of(copy.deepcopy(module), records(), "l2")
    for index, factor in enumerate(expected.factors(1.0)):
        if model in HONEST or expected.norms()[index] > 0:
            alone = contribution(program, records(), [index], Training(pass_size=4))
            weights = [factor if other == index else 0.0 for other in range(len(INDICES))]
            assert_same(alone, expected.weighted_sum(weights), torch.float64)


@pytest.mark.parametrize("case", spoilt_by(math.nan), ids=lambda case: case.name)
def test_what_stands_in_the_other_slots_does_not_change_a_bit(engine: Engine, case: Case) -> None:
    """An empty slot and a record without a finite gradient both contribute zero, so the sums must be equal bit by bit."""
    records = [*case.records(2, torch.float32), *(with_value(record, math.nan) for record in case.records(2, torch.float32))]
    schema = case.schema(torch.float32)
    try:
        program = engine.load(archive(case.module(torch.float32), schema, "trace"), schema, case.loss)
    except EngineError:
        assert case.may_be_refused
        return
    training = Training(pass_size=4)
    among_empty = contribution(program, records, [-1, 0, -1, 1], training)
    among_spoilt = contribution(program, records, [2, 0, 3, 1], training)
    for name, value in among_empty.items():
        assert torch.equal(value, among_spoilt[name]), name


def _run_traps() -> None:
    engine = Engine(LIBRARY, OPERATORS, threads=1)
    for model in TRAPS:
        program = admit(engine, model().double(), Schema.of(records()[0]))
        if program is not None:
            for index in range(len(INDICES)):
                contribution(program, records(), [index], Training(pass_size=4))


@pytest.mark.usefixtures("engine")
def test_a_record_cannot_kill_the_process() -> None:
    process = multiprocessing.get_context("spawn").Process(target=_run_traps)
    process.start()
    process.join(300)
    assert process.exitcode == 0, f"exit status {process.exitcode}"
