"""What a model draws at random for a record depends on the record's seed alone: not on its slot, not on its neighbours, not on
other draws of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archive import archive
from engine import Engine, Program, Training
from records import Record, Schema

SIZE = 24


def attention(x: Tensor) -> Tensor:
    q = x.view(1, 2, 3, 4)
    return F.scaled_dot_product_attention(q, q, q, dropout_p=0.5).reshape(1, SIZE)


DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "dropout": lambda x: F.dropout(x, 0.5, True),
    "dropout_": lambda x: torch.dropout_(x * 2.0, 0.5, True),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, True),
    "dropout2d": lambda x: F.dropout2d(x.view(1, 6, 2, 2), 0.5, True).reshape(1, SIZE),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x.view(1, 6, 4), 0.5, True).reshape(1, SIZE),
    "bernoulli": lambda x: x * torch.bernoulli(torch.full_like(x, 0.5)),
    "rand_like": lambda x: x * torch.rand_like(x),
    "randn_like": lambda x: x + torch.randn_like(x),
    "normal_": lambda x: x + torch.zeros_like(x).normal_(0.0, 1.0),
    "uniform_": lambda x: x * torch.zeros_like(x).uniform_(0.0, 1.0),
    "rrelu": lambda x: F.rrelu(x - 10.0, 0.1, 0.9, True),
    "randperm": lambda x: x[:, torch.randperm(SIZE)],
    "attention": attention,
    "two in a row": lambda x: F.dropout(F.dropout(x, 0.3, True), 0.3, True),
}


class Drawing(nn.Module):
    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(4, SIZE), nn.Linear(SIZE, 3)
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.draw(self.before(x)))


RECORDS = [Record({"x": torch.full((4,), 0.5 + i, dtype=torch.float64)}, torch.full((3,), 100.0 + i).double()) for i in range(3)]
SCHEMA = Schema.of(RECORDS[0])


@pytest.fixture(params=DRAWS)
def program(engine: Engine, request: pytest.FixtureRequest) -> Program:
    module = Drawing(DRAWS[request.param]).double()
    return engine.load(archive(module, SCHEMA, "trace"), SCHEMA, "l2")


def contribution(program: Program, slots: list[int], seed: int = 1) -> Tensor:
    trainer = program.trainer(Training(pass_size=4, clipping_norm=1e3))
    trainer.run_pass(RECORDS, slots, seed)
    return torch.cat([value.flatten() for value in trainer.clipped_sum().values()])


def test_a_record_draws_the_same_in_any_slot_and_company(program: Program) -> None:
    alone = contribution(program, [1, -1, -1, -1])
    assert alone.norm() > 0
    torch.testing.assert_close(contribution(program, [-1, -1, 1]), alone, rtol=1e-12, atol=1e-12)
    others = contribution(program, [0, -1, 2])
    torch.testing.assert_close(contribution(program, [2, 0, 1]) - others, alone, rtol=1e-9, atol=1e-9)


def test_another_seed_draws_anew_and_the_same_seed_the_same(program: Program) -> None:
    first = contribution(program, [1], seed=1)
    assert torch.equal(contribution(program, [1], seed=1), first)
    assert not torch.allclose(contribution(program, [1], seed=2), first)


def test_draws_before_do_not_shift_those_after(program: Program) -> None:
    expected = contribution(program, [1])
    trainer = program.trainer(Training(pass_size=4, clipping_norm=1e3))
    trainer.run_pass(RECORDS, [0, 2], 7)
    before = torch.cat([value.flatten() for value in trainer.clipped_sum().values()])
    torch.rand(17)  # this process and the engine share libtorch's generator
    trainer.run_pass(RECORDS, [1], 1)
    after = torch.cat([value.flatten() for value in trainer.clipped_sum().values()])
    torch.testing.assert_close(after - before, expected, rtol=1e-9, atol=1e-9)


def test_two_places_of_one_program_draw_apart(engine: Engine) -> None:
    """With one mask for both, half of the numbers would pass; with two, a quarter."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4096, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return (F.dropout(F.dropout(self.weight, 0.5, True), 0.5, True) * x).view(1, -1)

    record = Record({"x": torch.ones(1, dtype=torch.float64)}, torch.zeros(4096, dtype=torch.float64))
    schema = Schema.of(record)
    trainer = engine.load(archive(Twice(), schema, "trace"), schema, "l1").trainer(Training(clipping_norm=1e3))
    trainer.run_pass([record], [0], 3)
    passed = (trainer.clipped_sum()["weight"] != 0).double().mean().item()
    assert 0.2 < passed < 0.3


def test_masks_keep_the_share_that_was_asked_for(engine: Engine) -> None:
    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1000, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return (F.dropout(self.weight, 0.1, True) * x).view(1, -1)

    record = Record({"x": torch.ones(1, dtype=torch.float64)}, torch.zeros(1000, dtype=torch.float64))
    schema = Schema.of(record)
    trainer = engine.load(archive(Once(), schema, "trace"), schema, "l1").trainer(Training(clipping_norm=1e9))
    for seed in range(100):
        trainer.run_pass([record], [0], seed)
    times = trainer.clipped_sum()["weight"] * 1000 * 0.9  # how often each of the 1000 numbers passed, of 100
    assert abs(times.mean().item() - 90) < 0.3  # 3 standard deviations: 0.1 of 100 * 1000 draws
    assert 2.0 < times.std().item() < 4.0  # binomial: 3
