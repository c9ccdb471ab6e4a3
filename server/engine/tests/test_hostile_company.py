"""A record counts the same whoever shares its pass: full or with empty slots, beside a record that fails, after the weights moved.

Each model here once broke that: by an empty slot on which it fails, by a gradient that asks what the whole pass holds, by the
random numbers that a neighbour used up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archive import archive
from engine import Engine, Program, Training
from oracle import Gradient, norm
from records import Record, Schema
from soundness import contribution, contribution_when_moved
from zoo.company import PRODUCTS, AsksHowMuchOthersDrew, FailsByChance, FailsOnEmptyOnceMoved, Underflows

SLOTS = 4


def load(engine: Engine, module: nn.Module, like: Record) -> Program:
    schema = Schema.of(like)
    program = engine.load(archive(module, schema, "script"), schema, "l2")
    program.rehearse(pass_size=SLOTS)
    return program


def moved_sum(program: Program, records: list[Record], slots: list[int], seed: int = 0) -> Gradient:
    return contribution_when_moved(program, records, slots, Training(pass_size=SLOTS), seed)


def difference(left: Gradient, right: Gradient) -> float:
    return norm({name: left[name] - right[name] for name in left})


def vector(value: float, size: int = 4) -> Record:
    return Record({"x": torch.full((size,), value)}, torch.tensor([1e3]))


def test_an_empty_slot_that_fails_takes_nobody_with_it(engine: Engine) -> None:
    records = [vector(1.0)] * SLOTS
    program = load(engine, FailsOnEmptyOnceMoved(), records[0])
    full = moved_sum(program, records, [0, 1, 2, 3])
    one_empty = moved_sum(program, records, [0, 1, 2, -1])
    assert 0.99 < difference(full, one_empty) <= 1 + 1e-6
    assert norm(one_empty) > 2.9


@pytest.mark.parametrize("product", PRODUCTS)
def test_an_empty_slot_does_not_change_how_others_are_differentiated(engine: Engine, product: str) -> None:
    record = Record({"x": torch.tensor([1e-25, 1e-25, 1.0])}, torch.tensor([1e3]))
    schema = Schema.of(record)
    program = engine.load(archive(Underflows(PRODUCTS[product]), schema, "trace"), schema, "l2")
    full, one_empty = (contribution(program, [record], slots, Training(pass_size=SLOTS)) for slots in ([0, 0, 0, 0], [0, 0, 0, -1]))
    assert difference(full, one_empty) <= 1 + 1e-6


def test_nobody_learns_how_much_a_neighbour_drew(engine: Engine) -> None:
    loud = Record({"x": torch.full((4,), 100.0)}, torch.tensor([float("nan")]))  # contributes nothing itself
    records = [vector(1.0), vector(2.0), vector(3.0), loud]
    program = load(engine, AsksHowMuchOthersDrew(), records[0])
    beside_empty, beside_loud = moved_sum(program, records, [0, 1, 2, -1]), moved_sum(program, records, [0, 1, 2, 3])
    assert norm(beside_empty) > 0.5
    assert difference(beside_empty, beside_loud) < 1e-6


def test_a_neighbour_that_fails_gives_no_second_chance(engine: Engine) -> None:
    records = [vector(1.0), vector(100.0)]
    program = load(engine, FailsByChance(), records[0])
    counted = []
    for seed in range(60):
        alone, beside = (norm(moved_sum(program, records, slots, seed)) > 0.5 for slots in ([0, -1], [0, 1]))
        assert alone == beside, seed
        counted.append(alone)
    assert 10 < sum(counted) < 50  # half of 60: the model does fail by chance
