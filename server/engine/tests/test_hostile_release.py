"""Models made to move a released sum by more than C: factors and norms that vanish, products of nothing, passes that fail."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archive import archive
from engine import CERTIFIED, EXACT, Engine, Program, Training
from records import Record, Schema
from test_release import squared

ETA = 2.0**-6 + 2.0**-14 + 2.0**-18
K = 24


def load(engine: Engine, module: nn.Module, record: Record, loss: str = "l1") -> Program:
    schema = Schema.of(record)
    return engine.load(archive(module, schema, "trace"), schema, loss)


def moved(program: Program, record: Record, training: Training) -> float:
    """By how many clipping norms the record moves the sum, alone in its pass."""
    trainer = program.trainer(training)
    trainer.run_pass([record], [0])
    return math.sqrt(squared(trainer.grid_sum())) / 2.0**training.grid_exponent


class CancellingForms(nn.Module):
    """Two uses of one weight that cancel, one measured as a product and the other written out."""

    def __init__(self, scale: float, width: int) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.zeros(1, width)), scale

    def forward(self, x: Tensor) -> Tensor:
        return (F.linear(x, self.weight) - (self.weight * x).sum(-1, keepdim=True)) * self.scale


class TiedCancelling(nn.Module):
    """The same of a table: looked up, and as a weight."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.table, self.scale = nn.Embedding(2, 8), scale

    def forward(self, x: Tensor) -> Tensor:
        row = self.table((x[:, :1] * 0).long()).sum((1, 2))
        return (row - F.linear(torch.ones_like(x[:, :8]), self.table.weight)[:, 0]).unsqueeze(1) * self.scale


@pytest.mark.parametrize("clipping_norm", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("scale", [1e20, 1e30, 1e36, 1e37, 2e38])
def test_a_factor_that_vanishes_in_one_form_vanishes_in_all(engine: Engine, scale: float, clipping_norm: float) -> None:
    training = Training(2, release=CERTIFIED, grid_exponent=K, clipping_norm=clipping_norm)
    for module, width in ((CancellingForms(scale, 1), 1), (CancellingForms(scale, 1000), 1000), (TiedCancelling(scale), 8)):
        record = Record({"x": torch.ones(width)}, torch.tensor([-1.0]))
        assert moved(load(engine, module, record), record, training) <= 1 + ETA


class Shrunk(nn.Module):
    """A linear layer whose inputs are so small that their squares vanish, and whose outputs make up for it."""

    def __init__(self, down: float, up: float) -> None:
        super().__init__()
        self.line, self.down, self.up = nn.Linear(10_000, 1, bias=False), down, up

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x * self.down) * self.up


@pytest.mark.parametrize(("down", "up"), [(1.0, 1.0), (1e-90, 1e90), (1.4e-154, 1.3e154), (1e-162, 1e154), (1e154, 1e-154)])
@pytest.mark.parametrize("positions", [1, 3])
def test_a_norm_whose_squares_vanish_is_no_norm(engine: Engine, down: float, up: float, positions: int) -> None:
    class Repeated(Shrunk):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).sum(1)

    module = Repeated(down, up).double()
    record = Record({"x": torch.ones(positions, 10_000).double()}, torch.tensor([-1e6]).double())
    program = load(engine, module, record)
    for release, size in ((CERTIFIED, 2), (EXACT, 1)):
        assert moved(program, record, Training(size, release=release, grid_exponent=K)) <= 1 + ETA


class OfNothing(nn.Module):
    """A layer that is used at no position at all."""

    def __init__(self) -> None:
        super().__init__()
        self.line, self.out = nn.Linear(4, 300), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x).sum(1) + self.line(x[:, 0:0]).sum()


def test_a_product_over_no_positions_is_zero(engine: Engine) -> None:
    record = Record({"x": torch.ones(5, 4)}, torch.tensor([-1e6]))
    program = load(engine, OfNothing(), record)
    for _ in range(5):
        torch.full((1 << 16,), math.pi)  # memory that is not zero
        trainer = program.trainer(Training(4, release=CERTIFIED, grid_exponent=K))
        trainer.run_pass([record], [0])
        sums = trainer.grid_sum()
        assert not sums["line.weight"].any()
        assert squared(sums) <= (2**K * (1 + ETA)) ** 2


class FailsWhereNobodyIs(nn.Module):
    """Refers to a row that there is not, if its weight says so and the record is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.switch = nn.Parameter(torch.zeros(254)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        index = ((x[:, :1] == 0) & (self.switch > 0.5)).long() * 7
        picked = torch.gather(torch.cat([x, x], 1), 1, index)
        return (self.weight * x).sum(-1, keepdim=True) + picked * 0 + 0 * self.switch


def test_a_pass_that_fails_changes_nothing_for_the_others(engine: Engine) -> None:
    """Their contributions are half a unit of the grid: rounded one by one they vanish, and together they do not."""
    size, k = 64, 20
    module = FailsWhereNobodyIs()
    others = Record({"x": torch.full((254,), 0.49 * 2.0**-k)}, torch.tensor([-1.0]))
    z = Record({"x": torch.ones(254)}, torch.tensor([-1.0]))
    empty = torch.zeros(1)
    program = load(engine, module, others)
    training = Training(size, release=CERTIFIED, grid_exponent=k)

    def total(slots: list[int]) -> dict[str, Tensor]:
        trainer = program.trainer(training)
        trainer.set_parameter("switch", empty + 1)
        trainer.run_pass([z, others], slots)
        return trainer.grid_sum()

    company = [1] * (size - 1)
    with_z, without = total([0, *company]), total([-1, *company])
    assert without["weight"].any(), "the others are counted together"
    difference = {name: with_z[name] - without[name] for name in with_z}
    assert math.sqrt(squared(difference)) / 2.0**k <= 1 + ETA
    alone = total([0, *[-1] * (size - 1)])
    assert all(bool((difference[name] - alone[name]).abs().max() <= 1) for name in difference)


@pytest.mark.parametrize("good", [[], [0], [2], [0, 1, 2]], ids=str)
def test_who_does_not_fail_counts_as_if_the_others_were_empty(engine: Engine, good: list[int]) -> None:
    class FailsOnZero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.line(x) + torch.gather(x, 1, (x[:, :1] < 0).long() * 7) * 0

    records = [Record({"x": torch.rand(3) + 0.5 if i in good else -torch.rand(3)}, torch.randn(1)) for i in range(3)]
    program = load(engine, FailsOnZero(), records[0])
    training = Training(4, release=CERTIFIED, grid_exponent=K)
    all_of_them, only_the_good = program.trainer(training), program.trainer(training)
    all_of_them.run_pass(records, [0, 1, -1, 2])
    only_the_good.run_pass(records, [slot if slot in good else -1 for slot in (0, 1, -1, 2)])
    want = only_the_good.grid_sum()
    assert all(torch.equal(value, want[name]) for name, value in all_of_them.grid_sum().items())
    assert bool(squared(want)) == bool(good)
