"""A run that goes on in another process: parameters and the optimizer's state, out and in, change no bit of what follows."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor, nn

from abi import Status
from archive import archive
from engine import ADAM, ADAMW, SGD, Engine, EngineError, Optimizer, Program, Trainer, Training
from records import Record, Schema

OPTIMIZERS = {
    "sgd": Optimizer(kind=SGD, lr=0.1, weight_decay=0.01),
    "sgd momentum": Optimizer(kind=SGD, lr=0.1, momentum=0.9, dampening=0.5),
    "sgd nesterov": Optimizer(kind=SGD, lr=0.1, momentum=0.9, nesterov=True),
    "adam": Optimizer(kind=ADAM, lr=0.01, weight_decay=0.1),
    "adam amsgrad": Optimizer(kind=ADAM, lr=0.01, amsgrad=True),
    "adamw": Optimizer(kind=ADAMW, lr=0.01, weight_decay=0.1),
    "adamw amsgrad": Optimizer(kind=ADAMW, lr=0.01, amsgrad=True),
}
KEPT = {
    "sgd": [],
    "sgd momentum": ["momentum_buffer"],
    "sgd nesterov": ["momentum_buffer"],
    "adam": ["exp_avg", "exp_avg_sq", "step"],
    "adam amsgrad": ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"],
    "adamw": ["exp_avg", "exp_avg_sq", "step"],
    "adamw amsgrad": ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"],
}
NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]
SHAPES = {"0.weight": (5, 4), "0.bias": (5,), "2.weight": (3, 5), "2.bias": (3,)}


def generator(number: int) -> object:
    """The noise of one step: another in every step, the same for every trainer."""
    offset = 0

    def fill(count: int) -> bytes:
        nonlocal offset
        offset += count
        return hashlib.shake_256(f"{number} {offset}".encode()).digest(count)

    return fill


def train(trainer: Trainer, records: list[Record], steps: range) -> None:
    for step in steps:
        trainer.run_pass(records, [step % 6, (step + 2) % 6, -1], seed=step)
        trainer.step(generator(step))  # type: ignore[arg-type]


def assert_identical(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype
        assert torch.equal(tensor.contiguous().view(-1).view(torch.uint8), second[name].contiguous().view(-1).view(torch.uint8)), (
            name
        )


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture
def records(dtype: torch.dtype) -> list[Record]:
    return [Record({"x": torch.randn(4).to(dtype)}, torch.randn(3).to(dtype)) for _ in range(6)]


@pytest.fixture
def program(engine: Engine, records: list[Record], dtype: torch.dtype) -> Program:
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)
    schema = Schema.of(records[0])
    return engine.load(archive(module, schema, "script"), schema, "l2")


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("broken_after", [0, 1, 4])
def test_a_trainer_goes_on_bit_for_bit_where_another_was(
    program: Program, records: list[Record], name: str, broken_after: int
) -> None:
    training = Training(pass_size=3, clipping_norm=0.5, noise_stddev=0.3, normalizer=2.0, optimizer=OPTIMIZERS[name])
    unbroken, before, after = program.trainer(training), program.trainer(training), program.trainer(training)
    train(unbroken, records, range(8))
    train(before, records, range(broken_after))
    for parameter, value in before.parameters().items():
        after.set_parameter(parameter, value)
    for tensor, value in before.state().items():
        after.set_state(tensor, value)
    assert_identical(before.state(), after.state())
    train(after, records, range(broken_after, 8))
    assert_identical(unbroken.parameters(), after.parameters())
    assert_identical(unbroken.state(), after.state())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_is_what_the_optimizer_remembers(program: Program, records: list[Record], name: str) -> None:
    trainer = program.trainer(Training(pass_size=3, optimizer=OPTIMIZERS[name]))
    assert trainer.state() == {}
    train(trainer, records, range(3))
    state = trainer.state()
    assert sorted(state) == sorted(f"{kind}.{parameter}" for kind in KEPT[name] for parameter in NAMES)
    for tensor, value in state.items():
        kind, parameter = tensor.split(".", 1)
        if kind == "step":
            assert value.dtype == torch.int64
            assert value.shape == ()
            assert value.item() == 3
        else:
            assert tuple(value.shape) == SHAPES[parameter]


def test_without_its_state_an_optimizer_goes_elsewhere(program: Program, records: list[Record]) -> None:
    """The oracle of the first test can tell: each part of the state matters."""
    # A beta2 with which exp_avg_sq shrinks now and then: as long as it grows, it is its own greatest.
    optimizer = Optimizer(kind=ADAMW, lr=0.01, beta2=0.5, amsgrad=True)
    training = Training(pass_size=3, clipping_norm=0.5, noise_stddev=0.3, optimizer=optimizer)
    unbroken, before = program.trainer(training), program.trainer(training)
    train(unbroken, records, range(8))
    train(before, records, range(4))
    for left_out in KEPT["adamw amsgrad"]:
        after = program.trainer(training)
        for parameter, value in before.parameters().items():
            after.set_parameter(parameter, value)
        for tensor, value in before.state().items():
            if not tensor.startswith(f"{left_out}."):
                after.set_state(tensor, value)
        train(after, records, range(4, 8))
        assert not all(torch.equal(value, after.parameters()[name]) for name, value in unbroken.parameters().items()), left_out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exp_avg.0.weights", torch.zeros(5, 4)),
        ("exp_avg.", torch.zeros(5, 4)),
        ("", torch.zeros(5, 4)),
        ("0.weight", torch.zeros(5, 4)),
        ("momentum_buffer.0.weight", torch.zeros(5, 4)),
        ("max_exp_avg_sq.0.weight", torch.zeros(5, 4)),
        ("exp_avg.0.weight", torch.zeros(5, 4, dtype=torch.int32)),
        ("exp_avg.0.weight", torch.zeros(4, 5)),
        ("exp_avg.0.weight", torch.zeros(20)),
        ("exp_avg.0.weight", torch.zeros(5, 4, 1)),
        ("step.0.weight", torch.tensor(0)),
        ("step.0.weight", torch.tensor(-1)),
        ("step.0.weight", torch.tensor([1])),
        ("step.0.weight", torch.tensor(1.0)),
    ],
    ids=str,
)
def test_what_is_no_state_of_the_optimizer_is_refused(program: Program, dtype: torch.dtype, name: str, value: Tensor) -> None:
    trainer = program.trainer(Training(optimizer=OPTIMIZERS["adam"]))
    with pytest.raises(EngineError) as refusal:
        trainer.set_state(name, value.to(dtype) if value.dtype == torch.float32 and value.dim() > 0 else value)
    assert refusal.value.status == Status.INVALID_ARGUMENT
    assert trainer.state() == {}


def test_steps_are_counted_beyond_what_a_float32_counts(program: Program) -> None:
    trainer = program.trainer(Training(optimizer=OPTIMIZERS["adam"]))
    for parameter in NAMES:
        trainer.set_state(f"step.{parameter}", torch.tensor(2**24))
    trainer.step(generator(0))  # type: ignore[arg-type]
    assert {trainer.state()[f"step.{parameter}"].item() for parameter in NAMES} == {2**24 + 1}


def test_sgd_without_momentum_keeps_nothing(program: Program, dtype: torch.dtype) -> None:
    with pytest.raises(EngineError):
        program.trainer(Training(optimizer=OPTIMIZERS["sgd"])).set_state("momentum_buffer.0.weight", torch.zeros(5, 4).to(dtype))
