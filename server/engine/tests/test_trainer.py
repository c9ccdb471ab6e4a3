"""The trainer's own promises: what it refuses to start with, which slots it takes, weights in and out."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from abi import Status
from archive import archive
from comparison import assert_same
from engine import ADAM, CERTIFIED, EXACT, SGD, Engine, EngineError, Optimizer, Program, Training
from oracle import Expected
from records import Record, Schema


@pytest.fixture
def module() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


@pytest.fixture
def records() -> list[Record]:
    return [Record({"x": torch.randn(4).double()}, torch.randn(3).double()) for _ in range(6)]


@pytest.fixture
def program(engine: Engine, module: nn.Module, records: list[Record]) -> Program:
    schema = Schema.of(records[0])
    return engine.load(archive(module, schema, "script"), schema, "l2")


BAD_TRAINING: list[dict[str, object]] = [
    {"pass_size": 0},
    {"pass_size": -3},
    {"clipping_norm": 0.0},
    {"clipping_norm": -1.0},
    {"clipping_norm": math.nan},
    {"clipping_norm": math.inf},
    {"release": 3},
    {"release": -1},
    {"release": EXACT},
    {"release": CERTIFIED, "grid_exponent": 0},
    {"release": CERTIFIED, "grid_exponent": 16},
    {"release": CERTIFIED, "grid_exponent": 41},
    {"release": CERTIFIED, "grid_exponent": 40, "pass_size": 2},
    {"release": CERTIFIED, "noise_stddev": -1.0},
    {"release": CERTIFIED, "noise_stddev": math.nan},
    {"release": CERTIFIED, "noise_stddev": math.inf},
    {"release": CERTIFIED, "noise_stddev": 2.0**17},
    {"loss_bound": -1.0},
    {"loss_bound": math.nan},
    {"loss_bound": math.inf},
    {"normalizer": 0.0},
    {"normalizer": -2.0},
    {"normalizer": math.nan},
    {"normalizer": math.inf},
    {"optimizer": Optimizer(kind=0)},
    {"optimizer": Optimizer(kind=9)},
    {"optimizer": Optimizer(lr=math.nan)},
    {"optimizer": Optimizer(lr=-1.0)},
    {"optimizer": Optimizer(weight_decay=math.inf)},
    {"optimizer": Optimizer(kind=SGD, nesterov=True, momentum=0.0)},
    {"optimizer": Optimizer(kind=ADAM, beta1=1.0)},
    {"optimizer": Optimizer(kind=ADAM, beta2=-0.1)},
    {"optimizer": Optimizer(kind=ADAM, eps=-1.0)},
]


@pytest.mark.parametrize("change", BAD_TRAINING, ids=str)
def test_a_training_that_makes_no_sense_is_refused(program: Program, change: dict[str, object]) -> None:
    with pytest.raises(EngineError) as refusal:
        program.trainer(dataclasses.replace(Training(), **change))
    assert refusal.value.status == Status.INVALID_ARGUMENT
    assert refusal.value.reason


@pytest.mark.parametrize("slots", [[6], [-2], [0, 2**62], [-(2**63)], [0, 1, 2, 3, 4]], ids=str)
def test_slots_outside_the_records_or_the_pass_are_refused(program: Program, records: list[Record], slots: list[int]) -> None:
    trainer = program.trainer(Training(pass_size=4))
    with pytest.raises(EngineError) as refusal:
        trainer.run_pass(records, slots)
    assert refusal.value.status == Status.INVALID_ARGUMENT
    assert all(bool((value == 0).all()) for value in trainer.clipped_sum().values())


def test_a_record_in_several_passes_counts_each_time(program: Program, module: nn.Module, records: list[Record]) -> None:
    trainer = program.trainer(Training(pass_size=4, clipping_norm=1e3))
    trainer.run_pass(records, [2, 1])
    trainer.run_pass(records, [2])
    expected = Expected.of(module, records, "l2").weighted_sum([0, 1, 2, 0, 0, 0])
    assert_same(trainer.clipped_sum(), expected, torch.float64)


def test_two_trainers_of_one_program_do_not_meet(program: Program, records: list[Record]) -> None:
    training = Training(pass_size=4)
    first, second = program.trainer(training), program.trainer(training)
    start = second.parameters()
    first.run_pass(records, [0, 1, 2])
    first.step()
    assert all(bool((value == 0).all()) for value in second.clipped_sum().values())
    for name, value in second.parameters().items():
        assert torch.equal(value, start[name])
        assert not torch.equal(value, first.parameters()[name])
        assert torch.equal(value, program.trainer(training).parameters()[name])


def test_parameters_start_as_in_the_module(program: Program, module: nn.Module) -> None:
    parameters = program.trainer().parameters()
    assert list(parameters) == [name for name, _ in module.named_parameters()]
    for name, value in module.named_parameters():
        assert parameters[name].dtype == value.dtype
        assert torch.equal(parameters[name], value)


def test_weights_of_an_earlier_run_are_what_is_trained(program: Program, module: nn.Module, records: list[Record]) -> None:
    trainer = program.trainer(Training(pass_size=6, clipping_norm=1.0))
    for name, value in module.named_parameters():
        with torch.no_grad():
            value.copy_(torch.randn_like(value))
        trainer.set_parameter(name, value.detach())
    for name, value in trainer.parameters().items():
        assert torch.equal(value, module.get_parameter(name))
    trainer.run_pass(records, list(range(6)))
    assert_same(trainer.clipped_sum(), Expected.of(module, records, "l2").clipped_sum(1.0), torch.float64)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("0.weights", torch.zeros(5, 4).double()),
        ("", torch.zeros(5, 4).double()),
        ("0.weight", torch.zeros(5, 4)),
        ("0.weight", torch.zeros(5, 5).double()),
        ("0.weight", torch.zeros(0).double()),
        ("0.weight", torch.zeros(10, 4)),
    ],
    ids=["unknown name", "no name", "other dtype", "too large", "empty", "right size, other dtype"],
)
def test_weights_that_do_not_fit_are_refused(program: Program, name: str, value: torch.Tensor) -> None:
    trainer = program.trainer()
    start = trainer.parameters()
    with pytest.raises(EngineError) as refusal:
        trainer.set_parameter(name, value)
    assert refusal.value.status == Status.INVALID_ARGUMENT
    for key, unchanged in trainer.parameters().items():
        assert torch.equal(unchanged, start[key])


def test_a_dropped_unit_differs_by_seed(engine: Engine) -> None:
    """Dropout is drawn for each record anew: a mask that all records share would couple them."""
    module = nn.Sequential(nn.Dropout(0.5), nn.Linear(400, 1, bias=False)).double()
    record = Record({"x": torch.ones(400).double()}, torch.tensor([-1e6]).double())
    schema = Schema.of(record)
    for form in ("script", "trace"):
        program = engine.load(archive(module, schema, form), schema, "l1")
        trainer = program.trainer(Training(pass_size=4, clipping_norm=1e6))
        masks, before = [], torch.zeros(1, 400).double()
        for seed, slots in enumerate(([0], [-1, 0], [0], [-1, 0])):
            trainer.run_pass([record], slots, seed)
            total = trainer.clipped_sum()["1.weight"]
            masks.append(total - before)
            before = total
        for mask in masks:
            assert set(mask.unique().tolist()) == {0.0, 2.0}
            assert 130 < int((mask > 0).sum()) < 270
        assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 4
        trainer = program.trainer(Training(pass_size=2, clipping_norm=1e6))
        trainer.run_pass([record, record], [0, 1])
        assert set(trainer.clipped_sum()["1.weight"].unique().tolist()) == {0.0, 2.0, 4.0}


@pytest.mark.parametrize("training", [Training(pass_size=4), Training(pass_size=4, release=CERTIFIED, noise_stddev=1.0)])
def test_the_ends_of_a_run_are_clean(program: Program, records: list[Record], training: Training) -> None:
    """The sum is zero after every step."""
    trainer = program.trainer(training)
    trainer.run_pass(records, [0, 1])
    assert any(bool((value != 0).any()) for value in trainer.clipped_sum().values())
    trainer.step()
    assert all(bool((value == 0).all()) for value in trainer.clipped_sum().values())
