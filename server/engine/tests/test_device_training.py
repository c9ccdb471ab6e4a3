"""Training on a device: the same noise leads where it leads on the host, a run goes on anywhere, and draws and the amount of work
depend on nothing that is secret."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import standin
from archive import archive
from engine import CERTIFIED, Engine, Program, Training
from records import Record, Schema
from test_trainer_state import OPTIMIZERS, assert_identical, generator, train

pytestmark = pytest.mark.device

BOTH = [torch.float64, torch.float32]
DTYPES = ["float64", "float32"]


def vectors(dtype: torch.dtype) -> list[Record]:
    return [Record({"x": torch.randn(4).to(dtype)}, torch.randn(3).to(dtype)) for _ in range(6)]


@pytest.fixture(params=BOTH, ids=DTYPES)
def records(request: pytest.FixtureRequest) -> list[Record]:
    return vectors(request.param)


@pytest.fixture
def programs(host: Engine, engine: Engine, records: list[Record]) -> list[Program]:
    """Of the host and of the device."""
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(records[0].label.dtype)
    schema = Schema.of(records[0])
    written = archive(module, schema, "script")
    return [each.load(written, schema, "l2") for each in (host, engine)]


def training(name: str, **other: Any) -> Training:
    certified = {"release": CERTIFIED, "clipping_norm": 0.5, "noise_stddev": 0.3, "normalizer": 2.0, "loss_bound": 3.0}
    return Training(pass_size=3, optimizer=OPTIMIZERS[name], **(certified | other))


def near(one: Mapping[str, Tensor], other: Mapping[str, Tensor], device: str) -> None:
    if device == standin.DEVICE:
        assert_identical(dict(one), dict(other))
        return
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_with_the_same_noise_lead_where_they_lead_on_the_host(
    programs: list[Program], records: list[Record], device: str, name: str
) -> None:
    here, there = (program.trainer(training(name)) for program in programs)
    for step in range(4):
        for trainer in (here, there):
            train(trainer, records, range(step, step + 1))
        assert there.loss() == pytest.approx(here.loss(), rel=0 if device == standin.DEVICE else 1e-3)
        assert here.loss() != 0
    near(there.parameters(), here.parameters(), device)
    near(there.state(), here.state(), device)


@pytest.mark.parametrize("name", ["sgd momentum", "adamw amsgrad"])
def test_a_run_that_began_on_a_device_goes_on_anywhere(
    programs: list[Program], records: list[Record], device: str, name: str
) -> None:
    here, there = programs
    unbroken, before = (there.trainer(training(name)) for _ in range(2))
    train(unbroken, records, range(6))
    train(before, records, range(3))
    for program in (there, here):
        after = program.trainer(training(name))
        for parameter, value in before.parameters().items():
            after.set_parameter(parameter, value)
        for tensor, value in before.state().items():
            after.set_state(tensor, value)
        assert_identical(after.parameters(), before.parameters())
        train(after, records, range(3, 6))
        near(after.parameters(), unbroken.parameters(), device if program is here else standin.DEVICE)
        near(after.state(), unbroken.state(), device if program is here else standin.DEVICE)


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.layer(x), 0.5, True)


def test_draws_on_a_device_depend_on_the_records_seed_alone(engine: Engine) -> None:
    records = vectors(torch.float64)
    schema = Schema.of(records[0])
    program = engine.load(archive(Dropping().double(), schema, "trace"), schema, "l2")

    def contribution(seed: int) -> Tensor:
        trainer = program.trainer(Training(clipping_norm=1e3))
        trainer.run_pass(records, [2], seed)
        return torch.cat([value.flatten() for value in trainer.clipped_sum().values()])

    draws = [contribution(seed) for seed in range(20)]
    torch.rand(17)  # of the host's generator
    assert all(torch.equal(contribution(seed), draw) for seed, draw in enumerate(draws))
    assert len({tuple(draw.tolist()) for draw in draws}) > 4  # of eight masks


def test_whoever_is_in_a_pass_the_device_does_the_same_things(programs: list[Program], records: list[Record], device: str) -> None:
    """As many kernels and as many copies to the host: an observer of either learns nothing of records."""
    if device != standin.DEVICE:
        pytest.skip("only the stand-in counts them")
    counts = standin.load()

    def done(slots: list[int], worst: bool) -> tuple[int, int]:
        trainer = programs[1].trainer(training("adam"))
        given = [Record({"x": r.inputs["x"] * math.nan}, r.label) if worst else r for r in records]
        before = counts.standin_kernels(), counts.standin_copies()
        trainer.run_pass(given, slots)
        trainer.step(generator(0))  # type: ignore[arg-type]
        return counts.standin_kernels() - before[0], counts.standin_copies() - before[1]

    full = done([0, 1, 2], False)
    assert full[0] > 50
    assert done([0, 1, 2], True) == done([-1, 4, -1], False) == done([], False) == full


def test_a_pass_leaves_nothing_on_the_device_and_a_run_neither(engine: Engine, records: list[Record], device: str) -> None:
    if device != standin.DEVICE:
        pytest.skip("only the stand-in counts what it holds")
    allocated = standin.load().standin_allocated

    def held() -> int:
        """The device's thread of libtorch lets go of a pass's last tensors a moment after the pass is over."""
        least = allocated()
        for _ in range(20):
            time.sleep(0.002)
            least = min(least, allocated())
        return least

    schema = Schema.of(records[0])
    written = archive(nn.Linear(4, 3).to(records[0].label.dtype), schema, "script")

    def run() -> list[int]:
        trainer = engine.load(written, schema, "l2").trainer(training("adam"))
        holds = []
        for step in range(3):
            train(trainer, records, range(step, step + 1))
            trainer.run_pass(records, [step])
            holds.append(held())
        return holds

    run()  # libtorch keeps something of the first
    gc.collect()
    before = held()
    holds = run()
    assert before < holds[0] == holds[1] == holds[2]
    gc.collect()
    assert held() == before
