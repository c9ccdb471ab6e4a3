"""The end of a step: sum, noise, normaliser, optimizer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from archive import archive
from comparison import assert_same
from engine import ADAM, ADAMW, CERTIFIED, SGD, Engine, Optimizer, Trainer, Training
from oracle import Expected
from records import Record, Schema

NORMALIZER = 6.0


def net(dtype: torch.dtype) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def batch(dtype: torch.dtype) -> list[Record]:
    return [Record({"x": torch.randn(4) * (1 + i)}, torch.randn(3)).to(dtype) for i in range(7)]


def trainer_of(engine: Engine, module: nn.Module, records: list[Record], training: Training) -> Trainer:
    schema = Schema.of(records[0])
    return engine.load(archive(module, schema, "trace"), schema, "l2").trainer(training)


def passes(trainer: Trainer, records: list[Record]) -> None:
    trainer.run_pass(records, [0, 1, 2, -1])
    trainer.run_pass(records, [3, 4, 5, 6])


def no_randomness(_count: int) -> bytes:
    raise AssertionError("randomness was asked for")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_one_step_of_sgd_is_the_oracles_update(engine: Engine, dtype: torch.dtype) -> None:
    module, records = net(dtype), batch(dtype)
    expected = Expected.of(module, records, "l2")
    clipping_norm = expected.splitting_norm()
    training = Training(pass_size=4, clipping_norm=clipping_norm, normalizer=NORMALIZER)
    trainer = trainer_of(engine, module, records, training)
    start = trainer.parameters()
    passes(trainer, records)
    trainer.step()
    moved = {name: start[name].double() - value.double() for name, value in trainer.parameters().items()}
    want = {name: value / NORMALIZER for name, value in expected.clipped_sum(clipping_norm).items()}
    assert_same(moved, want, dtype)


def test_one_step_without_privacy_is_plain_sgd_and_asks_for_no_randomness(engine: Engine) -> None:
    module, records = net(torch.float64), batch(torch.float64)
    training = Training(pass_size=4, is_private=False, clipping_norm=1e-6, noise_stddev=0.0, normalizer=NORMALIZER)
    trainer = trainer_of(engine, module, records, training)
    start = trainer.parameters()
    passes(trainer, records)
    trainer.step(no_randomness)
    moved = {name: start[name] - value for name, value in trainer.parameters().items()}
    want = {name: value / NORMALIZER for name, value in Expected.of(module, records, "l2").plain_sum().items()}
    assert_same(moved, want, torch.float64)


Reference = Callable[[list[Tensor]], torch.optim.Optimizer]

OPTIMIZERS: list[tuple[str, Optimizer, Reference]] = [
    ("sgd", Optimizer(SGD, lr=0.1), lambda p: torch.optim.SGD(p, 0.1)),
    ("sgd decay", Optimizer(SGD, lr=0.1, weight_decay=0.3), lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.3)),
    ("sgd momentum", Optimizer(SGD, lr=0.1, momentum=0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9)),
    ("sgd dampening", Optimizer(SGD, lr=0.1, momentum=0.9, dampening=0.4), lambda p: torch.optim.SGD(p, 0.1, 0.9, 0.4)),
    (
        "sgd nesterov, decay",
        Optimizer(SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.2),
        lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.2, nesterov=True),
    ),
    ("adam", Optimizer(ADAM, lr=0.01), lambda p: torch.optim.Adam(p, 0.01)),
    (
        "adam, other betas, decay",
        Optimizer(ADAM, lr=0.01, beta1=0.5, beta2=0.9, eps=1e-3, weight_decay=0.2),
        lambda p: torch.optim.Adam(p, 0.01, (0.5, 0.9), 1e-3, weight_decay=0.2),
    ),
    ("adam amsgrad", Optimizer(ADAM, lr=0.01, amsgrad=True), lambda p: torch.optim.Adam(p, 0.01, amsgrad=True)),
    ("adamw", Optimizer(ADAMW, lr=0.01, weight_decay=0.2), lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.2)),
    (
        "adamw amsgrad",
        Optimizer(ADAMW, lr=0.01, weight_decay=0.2, amsgrad=True),
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.2, amsgrad=True),
    ),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("optimizer", "reference"), [row[1:] for row in OPTIMIZERS], ids=[row[0] for row in OPTIMIZERS])
def test_the_optimizer_is_torchs(engine: Engine, optimizer: Optimizer, reference: Reference, dtype: torch.dtype) -> None:
    """Several steps on the same gradients, the engine's own sums before its noise, which is too small to be seen."""
    module, records = net(dtype), batch(dtype)
    trainer = trainer_of(engine, module, records, Training(pass_size=4, normalizer=NORMALIZER, optimizer=optimizer))
    mirror = {name: value.clone().requires_grad_() for name, value in trainer.parameters().items()}
    torch_optimizer = reference(list(mirror.values()))
    for step in range(6):
        chosen = records[step:] + records[:step]
        trainer.run_pass(chosen, [0, 1, 2, 3][: 1 + step % 4])
        for name, total in trainer.clipped_sum().items():
            mirror[name].grad = (total / NORMALIZER).to(dtype)
        trainer.step()
        torch_optimizer.step()
        tolerance = 1e-12 if dtype == torch.float64 else 2e-6
        for name, value in trainer.parameters().items():
            assert torch.allclose(value, mirror[name].detach(), rtol=tolerance, atol=tolerance), f"{name} at step {step}"


def test_frozen_parameters_stay_and_unused_ones_get_their_noise(engine: Engine) -> None:
    """Noise that spares what no record touched would tell that none did."""

    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 3), nn.Linear(4, 3)
            self.frozen = nn.Linear(4, 3).requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x) + self.frozen(x)

    module, records = Partly().double(), batch(torch.float64)
    for form in ("script", "trace"):
        schema = Schema.of(records[0])
        trainer = engine.load(archive(module, schema, form), schema, "l2").trainer(Training(release=CERTIFIED, noise_stddev=1.0))
        start = trainer.parameters()
        assert sorted(start) == sorted(name for name, p in module.named_parameters() if p.requires_grad)
        passes(trainer, records)
        trainer.step()
        for name, value in trainer.parameters().items():
            assert bool((value != start[name]).all()), name
