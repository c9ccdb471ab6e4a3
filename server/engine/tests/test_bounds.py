"""A number that an operator does not take costs the record its place in the sum, on a device as on the CPU.

With the stand-in a kernel that fails ends this process, as one of a GPU would: none may meet such a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import standin
from archive import archive
from engine import OPERATORS, Engine, Program, Training
from records import Schema
from soundness import contribution
from zoo import bounds
from zoo.attack import record
from zoo.hostile import Base

TRAINING = Training(pass_size=4, clipping_norm=1.0)
LABEL = [0.0, 0.1, 0.2]
X, INDEX = [0.5, 0.0, 0.25, 1.0], [1, 2, 3]
RECORDS = [
    record(X, LABEL, index=INDEX),
    record([1.0, 0.75, 0.0, 0.5], LABEL, index=[0, 0, 3]),
    # Some operators count from the end.
    record(X, LABEL, index=[-1, -4, 0]),
    record(X, LABEL, index=[0, 0, -1]),
    record(X, LABEL, index=[-5, 0, 0]),
    record(X, LABEL, index=[1, 4, 0]),
    record(X, LABEL, index=[10**12, -(10**12), 2]),
    record([0.5, -1.0, 0.25, 1.0], LABEL, index=INDEX),
    # No probability, and a rate like others.
    record([0.5, 1.5, 0.25, 1.0], LABEL, index=INDEX),
    record([math.nan, 0.0, 0.25, 1.0], LABEL, index=INDEX),
]


@pytest.fixture
def deadly(device: str) -> Iterator[None]:
    """A GPU is deadly by itself."""
    library = standin.load() if device == standin.DEVICE else None
    if library is not None:
        library.standin_deadly(1)
    yield
    if library is not None:
        library.standin_deadly(0)


def load(engine: Engine, model: type[Base]) -> Program:
    schema = Schema.of(RECORDS[0])
    torch.manual_seed(7)
    program = engine.load(archive(model().double(), schema, "script"), schema, "l2")
    program.rehearse(TRAINING.pass_size)
    return program


def operators(saying: str) -> set[str]:
    """Of which cuda.txt says what begins like this."""
    lines = Path(OPERATORS).with_name("cuda.txt").read_text().splitlines()
    return {name for name, _, words in (line.partition(" ") for line in lines) if "::" in name and words.startswith(saying)}


@pytest.mark.parametrize("model", bounds.MODELS, ids=lambda model: model.__name__)
def test_a_number_out_of_bounds_costs_its_record_only(host: Engine, engine: Engine, model: type[Base], deadly: None) -> None:
    program = load(engine, model)
    alone = [contribution(program, RECORDS, [index], TRAINING) for index in range(len(RECORDS))]
    assert any(length(sums) > 0 for sums in alone)
    there = load(host, model)
    for index, sums in enumerate(alone):
        assert_same(sums, contribution(there, RECORDS, [index], TRAINING), f"record {index} on the CPU")
    first, third = (contribution(program, RECORDS, slots, TRAINING) for slots in ([0], [-1, -1, 1]))
    for index in range(2, len(RECORDS)):
        second = contribution(program, RECORDS, [-1, index], TRAINING)
        company = contribution(program, RECORDS, [0, index, 1], TRAINING)
        assert_same(company, {name: first[name] + second[name] + third[name] for name in company}, f"record {index} in company")


def test_every_operator_that_is_checked_is_tried_and_none_met_that_never_is(host: Engine) -> None:
    met = {use["name"] for model in bounds.MODELS for use in load(host, model).report()["operators"]}
    assert operators("checked ") - met == set()
    assert operators("plain never met") & met == set()


def length(sums: dict[str, Tensor]) -> float:
    return sum(float(value.square().sum()) for value in sums.values())


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    for name, want in expected.items():
        torch.testing.assert_close(actual[name], want, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{what}: {name}: {text}")
