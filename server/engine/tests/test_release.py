"""What leaves a step: sums on a grid. In both modes they differ from the clipped sum by no more than the grid's stated error, and
one record moves them by no more than is stated."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from archive import archive
from engine import CERTIFIED, EXACT, UNROUNDED, Engine, Program, Training
from oracle import Expected
from records import Record, Schema
from zoo import CASES, Case

RECORDS, PASS = 6, 3
GRID_SHARE = 2.0**-14  # of the clipping norm: what the grid may change of one record's contribution
ROUNDING_SHARE = 2.0**-6  # eta's other part
MOST_FORMS = 4


def grid_exponent(module: nn.Module) -> int:
    numbers = 1 + sum(p.numel() for p in module.parameters() if p.requires_grad)
    return math.ceil(math.log2(MOST_FORMS * math.sqrt(numbers) / GRID_SHARE))


def load(engine: Engine, case: Case, dtype: torch.dtype) -> Program:
    schema = case.schema(dtype)
    return engine.load(archive(case.module(dtype), schema, "trace"), schema, case.loss)


def squared(sums: dict[str, Tensor]) -> int:
    """Exactly, whatever the integers."""
    return sum(int(n) ** 2 for tensor in sums.values() for n in tensor.flatten().tolist())


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value - other[name] for name, value in one.items()}


def summed(program: Program, records: list[Record], slots: list[int], training: Training) -> dict[str, Tensor]:
    trainer, size = program.trainer(training), training.pass_size
    for start in range(0, len(slots), size):
        trainer.run_pass(records, slots[start : start + size])
    return trainer.clipped_sum() if training.release == UNROUNDED else trainer.grid_sum()


SOME = [case for case in CASES if not case.may_be_refused][::3]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_the_grid_changes_a_sum_by_no_more_than_it_states(engine: Engine, case: Case, dtype: torch.dtype) -> None:
    module, records = case.module(dtype), case.records(RECORDS, dtype)
    norm = Expected.of(module, records, case.loss).splitting_norm()
    program, k = load(engine, case, dtype), grid_exponent(module)
    slots = list(range(RECORDS))
    unit = norm * 2.0**-k
    for release, size in ((CERTIFIED, PASS), (EXACT, 1)):
        clipped = summed(program, records, slots, Training(size, clipping_norm=norm))
        on_grid = summed(program, records, slots, Training(size, release=release, grid_exponent=k, clipping_norm=norm))
        off = math.sqrt(sum(float((on_grid[n].double() * unit - c).square().sum()) for n, c in clipped.items()))
        # An exact release clips 2^-12 below the norm; float32 products are rounded alike on both sides up to their blocks.
        margin = 2.0**-12 * RECORDS if release == EXACT else 0
        rounding = 1e-5 if dtype == torch.float32 else 1e-9
        assert off <= norm * (GRID_SHARE / 2 * RECORDS + margin + rounding * RECORDS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_one_record_moves_an_exact_sum_by_its_own_integers_and_at_most_the_norm(
    engine: Engine, case: Case, dtype: torch.dtype
) -> None:
    """And every other record's contribution is bit for bit what it was."""
    module, records = case.module(dtype), case.records(RECORDS, dtype)
    norm = Expected.of(module, records, case.loss).splitting_norm()
    program, k = load(engine, case, dtype), grid_exponent(module)
    training = Training(1, release=EXACT, grid_exponent=k, clipping_norm=norm, loss_bound=3.0)
    everyone = summed(program, records, list(range(RECORDS)), training)
    largest = 0
    for z in range(RECORDS):
        without = summed(program, records, [slot for slot in range(RECORDS) if slot != z], training)
        alone = summed(program, records, [z], training)
        moved = difference(everyone, without)
        assert all(torch.equal(moved[name], alone[name]) for name in moved)
        largest = max(largest, squared(alone))
    assert 0.9 * 4**k < largest <= 4**k


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_one_record_moves_a_certified_sum_by_at_most_the_norm_and_eta(engine: Engine, case: Case) -> None:
    module, records = case.module(torch.float32), case.records(RECORDS, torch.float32)
    norm = Expected.of(module, records, case.loss).splitting_norm()
    program, k = load(engine, case, torch.float32), grid_exponent(module)
    training = Training(PASS, release=CERTIFIED, grid_exponent=k, clipping_norm=norm, loss_bound=3.0)
    everyone = summed(program, records, list(range(RECORDS)), training)
    for z in range(RECORDS):
        without = summed(program, records, [-1 if slot == z else slot for slot in range(RECORDS)], training)
        moved = squared(difference(everyone, without))
        assert moved <= (2**k * (1 + ROUNDING_SHARE + GRID_SHARE)) ** 2


@pytest.mark.parametrize("case", [case for case in CASES if not case.may_be_refused], ids=lambda case: case.name)
def test_what_a_record_adds_is_bit_for_bit_the_same_in_whatever_company(engine: Engine, case: Case) -> None:
    """In float32, where every other order of a sum shows. Blocks of records are at most 16 long and begin at multiples of their
    length: slots 0 and 16 never share one, so their integers add up exactly if no kernel looks at another slot."""
    module, records = case.module(torch.float32), case.records(RECORDS, torch.float32)
    norm = Expected.of(module, records, case.loss).splitting_norm()
    program, k = load(engine, case, torch.float32), grid_exponent(module)
    training = Training(18, release=CERTIFIED, grid_exponent=k, clipping_norm=norm, loss_bound=3.0)
    nobody = [-1] * 16
    for first, others in ((0, [1, 2]), (3, [4, 5]), (5, [0, -1])):
        alone = summed(program, records, [first, *nobody[1:], -1, -1], training)
        company = summed(program, records, [*nobody, *others], training)
        both = summed(program, records, [first, *nobody[1:], *others], training)
        assert squared(alone) > 0
        for name, value in both.items():
            assert torch.equal(value, alone[name] + company[name]), name


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x)


@pytest.mark.parametrize(("release", "size"), [(CERTIFIED, 4), (EXACT, 1)], ids=["certified", "exact"])
def test_losses_are_clamped_summed_and_released_beside_the_gradients(engine: Engine, release: int, size: int) -> None:
    module = Line().double()
    nn.init.zeros_(module.line.weight)
    nn.init.zeros_(module.line.bias)
    # l2 losses of y^2: 1, 0.25, 9 (clamped to 4), and one that is not finite.
    labels = [1.0, 0.5, 3.0, math.inf]
    records = [Record({"x": torch.randn(3).double()}, torch.tensor([y]).double()) for y in labels]
    schema = Schema.of(records[0])
    program = engine.load(archive(module, schema, "trace"), schema, "l2")
    training = Training(
        size, release=release, grid_exponent=24, clipping_norm=2.0, noise_stddev=0.0, normalizer=4.0, loss_bound=4.0
    )
    trainer = program.trainer(training)
    for start in range(0, 4, size):
        trainer.run_pass(records, list(range(start, start + size)))
    sums = trainer.grid_sum()
    scale = 2.0**24 * math.sqrt(0.05) / 4.0
    assert float(sums["loss"]) == pytest.approx((1 + 0.25 + 4) * scale, rel=1e-3 if release == EXACT else 1e-6)
    # Together with its loss no gradient is longer than the clipping norm.
    trainer = program.trainer(training)
    trainer.run_pass(records, [2])
    assert 0.99 * 4**24 < squared(trainer.grid_sum()) <= 4**24 * (1 + GRID_SHARE)
    trainer.run_pass(records, [0, 1][:size])
    trainer.step()
    expected = (1 + 4) / 4 if release == EXACT else (1 + 0.25 + 4) / 4
    assert trainer.loss() == pytest.approx(expected, rel=1e-3)


def test_the_loss_of_a_step_has_the_noise_of_a_coordinate(engine: Engine) -> None:
    """Steps without a record: what is told of losses is the noise, anew in each."""
    schema = Schema.of(Record({"x": torch.zeros(3).double()}, torch.zeros(1).double()))
    program = engine.load(archive(Line().double(), schema, "trace"), schema, "l2")
    trainer = program.trainer(
        Training(release=CERTIFIED, grid_exponent=24, clipping_norm=2.0, noise_stddev=3.0, normalizer=4.0, loss_bound=5.0)
    )
    losses = []
    for _ in range(500):
        trainer.step()
        losses.append(trainer.loss())
    scale = 2.0 * math.sqrt(0.05) / 5.0
    # A right engine fails this once in a million runs.
    assert stats.kstest([loss * 4.0 * scale / 3.0 for loss in losses], "norm").pvalue > 1e-6


def test_an_exact_contribution_that_does_not_fit_is_left_out(engine: Engine) -> None:
    """A gradient that is not finite, and one so large that its norm is not."""
    module = Line().double()
    values = (math.nan, math.inf, 1e200, 1.0)
    records = [Record({"x": torch.full((3,), x, dtype=torch.float64)}, torch.zeros(1).double()) for x in values]
    schema = Schema.of(records[0])
    program = engine.load(archive(module, schema, "trace"), schema, "l1")
    training = Training(1, release=EXACT, grid_exponent=24)
    for slot in range(3):
        assert squared(summed(program, records, [slot], training)) == 0
    assert squared(summed(program, records, [3], training)) > 0


class Wide(nn.Module):
    """Too wide to be written out: its gradient is a product over all positions of a block's records."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(384, 384, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sum((1, 2)).unsqueeze(1)


@pytest.mark.parametrize(("positions", "block"), [(2, 16), (8, 8), (40, 4)])
def test_the_more_positions_the_fewer_records_are_rounded_together(engine: Engine, positions: int, block: int) -> None:
    """b (b L + 4) <= 2^-6 / (6 u (kappa + 1)) = 672 in float32. Whoever is not in a record's block adds integers of its own."""
    records = [Record({"x": torch.randn(positions, 384)}, torch.tensor([-1e30])) for _ in range(2)]
    schema = Schema.of(records[0])
    program = engine.load(archive(Wide(), schema, "trace"), schema, "l1")
    training = Training(2 * block, release=CERTIFIED, grid_exponent=30)

    empty = [-1] * (block - 1)
    both, first, second = (
        summed(program, records, slots, training)
        for slots in ([0, *empty, 1, *empty], [0, *empty, -1, *empty], [-1, *empty, 1, *empty])
    )
    assert all(torch.equal(both[name], first[name] + second[name]) for name in both)
    assert squared(first) > 0
    # Within one block their sum is rounded, not each of them: the comparison can fail.
    beside = summed(program, records, [0, 1, *empty, *empty], training)
    assert any(not torch.equal(beside[name], first[name] + second[name]) for name in beside)
