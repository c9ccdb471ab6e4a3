"""Records that are not numbers or not within bounds: they contribute zero, the others are unchanged, and nothing tells."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from archive import archive
from comparison import assert_same
from engine import Engine, EngineError, Program, Training
from oracle import Expected
from records import Record, Schema
from zoo import Case
from zoo import embedding as embeddings
from zoo.cancelling import Underflow
from zoo.spoilt import spoilt_by, with_value

COUNT = 8
SPOILT = (1, 6)  # one in each pass of four


def sum_of(program: Program, records: list[Record], clipping_norm: float) -> dict[str, Tensor]:
    trainer = program.trainer(Training(pass_size=4, clipping_norm=clipping_norm))
    trainer.run_pass(records, [0, 1, 2, 3])
    trainer.run_pass(records, [4, 5, 6, 7])
    return trainer.clipped_sum()


def check(engine: Engine, module: nn.Module, records: list[Record], loss: str, dtype: torch.dtype) -> None:
    """The oracle gives the spoilt records zero, and the engine agrees with it on the whole."""
    expected = Expected.of(module, records, loss)
    norms = expected.norms()
    assert [index for index in range(COUNT) if norms[index] == 0] == list(SPOILT)
    clipping_norm = sorted(norms)[COUNT // 2 + 1]
    schema = Schema.of(records[0])
    program = engine.load(archive(module, schema, "trace"), schema, loss)
    assert_same(sum_of(program, records, clipping_norm), expected.clipped_sum(clipping_norm), dtype)


def spoil(records: list[Record], change: dict[int, Record]) -> list[Record]:
    return [change.get(index, record) for index, record in enumerate(records)]


@pytest.mark.parametrize(
    ("case", "value"),
    [pytest.param(case, value, id=f"{case.name}-{value}") for value in (math.nan, math.inf) for case in spoilt_by(value)],
)
def test_a_record_that_is_not_a_number_contributes_zero(engine: Engine, case: Case, value: float) -> None:
    records = case.records(COUNT, torch.float32)
    spoilt = spoil(records, {index: with_value(records[index], value) for index in SPOILT})
    try:
        check(engine, case.module(torch.float32), spoilt, case.loss, torch.float32)
    except EngineError:
        assert case.may_be_refused


# l1 is no case: the gradient of a distance is its sign, and torch gives NaN the sign zero.
@pytest.mark.parametrize(
    ("loss", "value"),
    [("l2", math.nan), ("l2", math.inf), ("bce_with_logits", math.nan), ("bce_with_logits", math.inf)],
)
def test_a_label_that_is_not_a_number_contributes_zero(engine: Engine, loss: str, value: float) -> None:
    records = [Record({"x": torch.randn(4)}, torch.rand(3)) for _ in range(COUNT)]
    change = {index: Record(records[index].inputs, torch.tensor([0.5, value, 0.5])) for index in SPOILT}
    check(engine, nn.Linear(4, 3), spoil(records, change), loss, torch.float32)


WRONG = [-1, 9, 10**6, 2**62, -(2**63)]
INDEXED = [
    pytest.param(case, wrong, id=f"{case.name}-{wrong}")
    for case in embeddings.CASES
    if "ids" in case.inputs
    for wrong in WRONG
    if abs(wrong) < 2**31 or case.records(1, torch.float32)[0].inputs["ids"].dtype == torch.int64
]


@pytest.mark.parametrize(("case", "wrong"), INDEXED)
def test_an_index_out_of_range_contributes_zero(engine: Engine, case: Case, wrong: int) -> None:
    records, change = case.records(COUNT, torch.float64), {}
    for index in SPOILT:
        ids = records[index].inputs["ids"].clone()
        ids.view(-1)[-1] = wrong
        change[index] = Record({"ids": ids}, records[index].label)
    try:
        check(engine, case.module(torch.float64), spoil(records, change), case.loss, torch.float64)
    except EngineError:
        assert case.may_be_refused


@pytest.mark.parametrize("wrong", [-1, 3, -100, -101, 10**12], ids=str)
def test_a_class_out_of_range_contributes_zero(engine: Engine, wrong: int) -> None:
    """-100 is no class either: a record of which nothing is asked has no gradient."""
    records = [Record({"x": torch.randn(4).double()}, torch.tensor(index % 3)) for index in range(COUNT)]
    change = {index: Record(records[index].inputs, torch.tensor(wrong)) for index in SPOILT}
    check(engine, nn.Linear(4, 3).double(), spoil(records, change), "cross_entropy", torch.float64)


@pytest.mark.parametrize(
    "wrong", [[-100] * 5, [0, 1, 3, 1, 0], [-100, -100, -1, 0, 0], [-100, 2**40, 0, 0, 0]], ids=["all ignored", "3", "-1", "2^40"]
)
def test_tokens_out_of_range_or_all_ignored_contribute_zero(engine: Engine, wrong: list[int]) -> None:
    records = [Record({"x": torch.randn(5, 4).double()}, torch.randint(3, (5,))) for _ in range(COUNT)]
    change = {index: Record(records[index].inputs, torch.tensor(wrong)) for index in SPOILT}
    check(engine, nn.Linear(4, 3).double(), spoil(records, change), "cross_entropy", torch.float64)


def test_a_part_that_is_not_finite_empties_the_whole_record(engine: Engine) -> None:
    """One layer's gradient overflows and the other's does not: neither counts."""

    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calm, self.wild = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.calm(x.clamp(-1, 1)) + 0.0 * self.wild(x)

    records = [Record({"x": torch.randn(4).double()}, torch.randn(3).double()) for _ in range(COUNT)]
    change = {index: Record({"x": torch.tensor([0, math.inf, 0, 0]).double()}, records[index].label) for index in SPOILT}
    check(engine, TwoHeads().double(), spoil(records, change), "l2", torch.float64)


def test_a_gradient_whose_square_overflows_is_clipped_all_the_same(engine: Engine) -> None:
    """1e25 squared is beyond float32, and its norm is not."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.line(x[:, :, :4]) * x[:, :, 4:]

    records = []
    for index in range(COUNT):
        scale = torch.full((3, 1), 10.0 ** (25 * (index % 2)))
        records.append(Record({"x": torch.cat([torch.randn(3, 4), scale], 1)}, torch.ones(3, 3)))
    module = Scaled()
    expected = Expected.of(module, records, "l1")
    schema = Schema.of(records[0])
    program = engine.load(archive(module, schema, "trace"), schema, "l1")
    assert_same(sum_of(program, records, 1.0), expected.clipped_sum(1.0), torch.float32)


def test_a_record_without_gradient_is_no_division_by_zero(engine: Engine) -> None:
    records = [Record({"x": torch.zeros(4)}, torch.zeros(3)) for _ in range(COUNT)]
    module = nn.Linear(4, 3, bias=False)
    schema = Schema.of(records[0])
    program = engine.load(archive(module, schema, "trace"), schema, "l2")
    assert all(bool((value == 0).all()) for value in sum_of(program, records, 1.0).values())


def test_any_byte_is_a_bool(engine: Engine) -> None:
    """Uploads are not trusted to hold only 0 and 1 where the schema says bool."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return self.layer(x.masked_fill(mask, 0.0)) * mask.sum()

    records = [Record({"x": torch.randn(4).double(), "mask": torch.rand(4) < 0.5}, torch.randn(3).double()) for _ in range(COUNT)]
    odd = [Record({"x": r.inputs["x"], "mask": (r.inputs["mask"].byte() * 0xFE).view(torch.bool)}, r.label) for r in records]
    schema = Schema.of(records[0])
    program = engine.load(archive(Masked().double(), schema, "trace"), schema, "l2")
    assert_same(sum_of(program, odd, 1.0), sum_of(program, records, 1.0), torch.float64)


@pytest.mark.parametrize("clipping_norm", [0.1, 0.01, 1e-6])
def test_no_underflow_lifts_a_gradient_over_the_clipping_norm(engine: Engine, clipping_norm: float) -> None:
    record = Record({"x": torch.randn(2)}, torch.tensor([1e30]))
    schema = Schema.of(record)
    for step in range(-4, 5):
        row = clipping_norm * 32 / torch.finfo(torch.float32).tiny * (1 + step * 0.004)
        program = engine.load(archive(Underflow(row), schema, "trace"), schema, "l1")
        trainer = program.trainer(Training(pass_size=1, clipping_norm=clipping_norm))
        trainer.run_pass([record], [0])
        assert all(part.norm() <= clipping_norm * 1.001 for part in trainer.clipped_sum().values())
