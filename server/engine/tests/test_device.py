"""What is computed on a device is what is computed on the host, up to the point where a step's noise is added and beyond.

The stand-in's kernels are the CPU's, so there the integers of the grid are the host's to the last bit. Before the grid there is one
difference: what a parameter's uses leave written out for each record is summed in float64 by libtorch, and on the host by the
engine's own loop, in another order. A GPU's kernels are others, and the two agree as they do with the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import standin
from archive import archive
from comparison import TOLERANCE, assert_same
from engine import CERTIFIED, EXACT, UNROUNDED, Engine, EngineError, Program, Training
from records import Record, Schema
from test_evaluation import MEASURED, Net, released
from test_trainer_state import assert_identical
from zoo import CASES, Case
from zoo.architectures import ARCHITECTURES

pytestmark = pytest.mark.device

RECORDS = 5
# An empty slot among others, and a pass that is partly filled.
PASSES = [[0, 1, -1, 2], [3, 4]]
# Of the whole sum's norm, in float64: the order of a sum over records.
ANOTHER_ORDER = 1e-14
BOTH = [torch.float64, torch.float32]
DTYPES = ["float64", "float32"]


@pytest.fixture(autouse=True)
def attention_by_steps() -> Iterator[None]:
    """A device has no fused attention, and the CPU's is another kernel."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


def step_sum(program: Program, records: Sequence[Record], release: int) -> dict[str, Tensor]:
    size = 1 if release == EXACT else 4
    bound = 0.0 if release == UNROUNDED else 3.0
    trainer = program.trainer(Training(pass_size=size, release=release, clipping_norm=1.0, loss_bound=bound))
    for seed, slots in enumerate(PASSES):
        for first in range(0, len(slots), size):
            trainer.run_pass(records, slots[first : first + size], seed=seed)
    return trainer.clipped_sum() if release == UNROUNDED else trainer.grid_sum()


def distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    return math.sqrt(sum(float((value.double() - other[name].double()).square().sum()) for name, value in one.items()))


def assert_the_hosts(here: Program, there: Program, records: Sequence[Record], dtype: torch.dtype, device: str) -> None:
    of_host, of_device = (step_sum(program, records, UNROUNDED) for program in (here, there))
    total = distance(of_host, {name: torch.zeros_like(value) for name, value in of_host.items()})
    assert total > 0
    if device != standin.DEVICE:
        assert_same(of_device, of_host, dtype)
    else:
        assert distance(of_device, of_host) <= ANOTHER_ORDER * total
    for release in (CERTIFIED, EXACT):
        of_host, of_device = (step_sum(program, records, release) for program in (here, there))
        if device == standin.DEVICE:
            assert_identical(of_device, of_host)
            continue
        coordinates = sum(value.numel() for value in of_host.values())
        assert distance(of_device, of_host) <= math.sqrt(coordinates) + TOLERANCE[dtype] * total * 2**30


def both(host: Engine, engine: Engine, case: Case, dtype: torch.dtype) -> list[Program]:
    schema = case.schema(dtype)
    written = archive(case.module(dtype), schema, case.forms[-1])
    try:
        programs = [each.load(written, schema, case.loss) for each in (host, engine)]
    except EngineError as error:
        assert case.may_be_refused
        pytest.xfail(f"refused: {error}")
    programs[1].rehearse(pass_size=4)
    return programs


@pytest.mark.parametrize("dtype", BOTH, ids=DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_sums_of_a_layer_are_the_hosts(host: Engine, engine: Engine, device: str, case: Case, dtype: torch.dtype) -> None:
    here, there = both(host, engine, case, dtype)
    assert_the_hosts(here, there, case.records(RECORDS, dtype), dtype, device)


SOME = [a for a in ARCHITECTURES if not a.slow][::3]
EACH = [pytest.param(a, marks=[] if a in SOME else [pytest.mark.slow], id=a.name) for a in ARCHITECTURES]


@pytest.mark.parametrize("architecture", EACH)
def test_the_sums_of_an_architecture_are_the_hosts(host: Engine, engine: Engine, device: str, architecture: Case) -> None:
    here, there = both(host, engine, architecture, torch.float32)
    assert_the_hosts(here, there, architecture.records(RECORDS, torch.float32), torch.float32, device)


class EachForm(nn.Module):
    """A product, a table, and a gradient that is written out for each record."""

    def __init__(self, rows: int, columns: int, written_out: int) -> None:
        super().__init__()
        self.layer, self.table = nn.Linear(4, 3), nn.Embedding(7, 3)
        self.left, self.right = nn.Linear(4, rows), nn.Linear(rows, columns)
        self.scale = nn.Parameter(torch.randn(written_out))

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        wide = (self.right(self.left(x)).mean(1, keepdim=True) * self.scale).mean(1, keepdim=True)
        return self.layer(x) + self.table(index).sum(1) + wide


def records_of_each_form(number: int) -> list[Record]:
    return [Record({"x": torch.randn(4), "index": torch.randint(0, 7, (5,))}, torch.randn(3)) for _ in range(number)]


def sum_of_one_pass(engine: Engine, module: nn.Module, records: Sequence[Record], filled: Sequence[int]) -> dict[str, Tensor]:
    schema = Schema.of(records[0])
    program = engine.load(archive(module, schema, "script"), schema, "l2")
    trainer = program.trainer(Training(pass_size=len(filled), release=CERTIFIED, loss_bound=3.0))
    trainer.run_pass(records, filled)
    return trainer.grid_sum()


def test_a_pass_is_rounded_in_the_hosts_blocks(host: Engine, engine: Engine, device: str) -> None:
    """Where records are summed before they are rounded, one moves what rounding makes of the others."""
    if device != standin.DEVICE:
        pytest.skip("only the stand-in rounds a product as the host does")
    module, records = EachForm(2, 2, 300), records_of_each_form(40)
    filled = [-1 if slot % 5 == 3 else slot for slot in range(40)]
    here, there = (sum_of_one_pass(each, module, records, filled) for each in (host, engine))
    assert_identical(there, here)


@pytest.mark.parametrize(
    "sizes",
    [(2, 2, (1 << 20) + 5), pytest.param((1 << 12, (1 << 12) + 1, 5), marks=pytest.mark.slow)],
    ids=["written out", "a product"],
)
def test_a_parameter_of_several_tiles_has_the_hosts_sum(
    host: Engine, engine: Engine, device: str, sizes: tuple[int, int, int]
) -> None:
    module, records = EachForm(*sizes), records_of_each_form(2)
    here, there = (sum_of_one_pass(each, module, records, [0, 1]) for each in (host, engine))
    if device == standin.DEVICE:
        assert_identical(there, here)
    assert_same({name: value.double() for name, value in there.items()}, {n: v.double() for n, v in here.items()}, torch.float32)


@pytest.mark.parametrize(("loss", "shape", "label", "metric", "bound"), MEASURED, ids=[f"{r[0]}{r[1]} by {r[3]}" for r in MEASURED])
def test_a_test_gives_the_hosts_sum(
    host: Engine,
    engine: Engine,
    device: str,
    loss: str,
    shape: tuple[int, ...],
    label: Callable[[], Tensor],
    metric: str,
    bound: float,
) -> None:
    records = [Record({"x": torch.randn(5) * (i + 1)}, label()) for i in range(8)]
    schema = Schema.of(records[0])
    written = archive(Net(shape), schema, "trace")
    here, there = (released(each.load(written, schema, loss).evaluator(metric, bound), records) for each in (host, engine))
    assert 0 < here < len(records)
    assert there == pytest.approx(here, rel=0 if device == standin.DEVICE else 1e-4)
