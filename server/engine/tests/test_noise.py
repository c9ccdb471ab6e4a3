"""The noise of a step, on a step without gradients: what it is distributed like, and where it comes from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from archive import archive
from engine import CERTIFIED, Engine, RandomSource, Trainer, Training
from records import Record, Schema

WIDTH = 720  # two layers of it: a little more than a million coordinates
# A right engine fails a test at this level once in a million runs.
LEVEL = 1e-6
SCHEMA = Schema.of(Record({"x": torch.zeros(WIDTH)}, torch.zeros(WIDTH)))


class TwoLayers(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH, bias=False, dtype=dtype)
        self.second = nn.Linear(WIDTH, WIDTH, bias=False, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


def empty_trainer(engine: Engine, stddev: float, normalizer: float, dtype: torch.dtype = torch.float64) -> Trainer:
    """Parameters of zero, so that after one step of SGD they are the noise and nothing else."""
    module = TwoLayers(dtype)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    schema = Schema.of(Record({"x": torch.zeros(WIDTH, dtype=dtype)}, torch.zeros(WIDTH, dtype=dtype)))
    program = engine.load(archive(module, schema, "trace"), schema, "l2")
    return program.trainer(Training(release=CERTIFIED, noise_stddev=stddev, normalizer=normalizer))


def noise_of_steps(trainer: Trainer, random: RandomSource = os.urandom) -> Iterator[np.ndarray]:
    before = np.zeros(2 * WIDTH * WIDTH)
    while True:
        trainer.step(random)
        after = np.concatenate([value.double().numpy().ravel() for value in trainer.parameters().values()])
        yield before - after
        before = after


class Stream:
    """A deterministic stand-in for the operating system's generator, which counts what is taken."""

    def __init__(self, key: bytes) -> None:
        self.key, self.calls, self.taken = key, 0, 0

    def __call__(self, count: int) -> bytes:
        self.calls += 1
        self.taken += count
        return hashlib.shake_256(self.key + self.calls.to_bytes(8, "big")).digest(count)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_an_empty_step_is_gaussian_noise_of_the_right_size(engine: Engine, dtype: torch.dtype) -> None:
    stddev, normalizer = 3.0, 16.0
    z = next(noise_of_steps(empty_trainer(engine, stddev, normalizer, dtype))) / (stddev / normalizer)
    n = z.size
    assert n > 1_000_000
    assert abs(z.mean()) * n**0.5 < 5
    assert abs(z.var() - 1) * (n / 2) ** 0.5 < 5
    assert abs((z**3).mean()) * (n / 15) ** 0.5 < 5
    assert abs((z**4).mean() - 3) * (n / 96) ** 0.5 < 5
    assert stats.kstest(z, "norm").pvalue > LEVEL
    # The tails, which Kolmogorov and Smirnov hardly look at.
    for bound in (3.0, 4.0):
        expected = n * stats.norm.sf(bound)
        for count in (int((z > bound).sum()), int((z < -bound).sum())):
            assert stats.poisson.cdf(count, expected) > LEVEL
            assert stats.poisson.sf(count - 1, expected) > LEVEL
    assert 4.2 < np.abs(z).max() < 6.5


def test_coordinates_are_independent(engine: Engine) -> None:
    z = next(noise_of_steps(empty_trainer(engine, 1.0, 1.0)))
    for lag in (1, 2, 4, 8, 16, WIDTH, WIDTH * WIDTH):
        pairs = z.size - lag
        assert abs((z[lag:] * z[:-lag]).mean()) * pairs**0.5 < 5.5, f"lag {lag}"
        # Box and Muller's two halves are uncorrelated, and their squares would show it if a radius were used twice.
        squares = ((z[lag:] ** 2 - 1) * (z[:-lag] ** 2 - 1)).mean() / 2
        assert abs(squares) * pairs**0.5 < 6, f"squares, lag {lag}"
    # On a grid of 2^-30 some 140 of a million numbers meet by chance.
    assert np.unique(z).size > z.size - 300


def test_every_step_has_its_own_noise_and_asks_for_fresh_bytes(engine: Engine) -> None:
    stream = Stream(b"one")
    steps = noise_of_steps(empty_trainer(engine, 1.0, 1.0), stream)
    seen: list[np.ndarray] = []
    for _ in range(3):
        before = stream.taken
        seen.append(next(steps))
        assert stream.taken - before >= 16, "less than a key of 128 bits"
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(seen[one], seen[other])[0, 1]) * seen[0].size ** 0.5 < 5
    # A repeated key stream may come back shifted, not only in place. On a grid of 2^-30 less than one meets another by chance.
    windows = [set(np.round(noise[:50_000], 12).tolist()) for noise in seen]
    assert len(windows[0] & windows[1]) < 10


def test_the_noise_comes_from_the_callers_bytes_alone(engine: Engine) -> None:
    """No generator of libtorch's, which a model or a seed could know."""
    torch.manual_seed(1)
    first = next(noise_of_steps(empty_trainer(engine, 1.0, 1.0), Stream(b"one")))
    torch.manual_seed(2)
    again = next(noise_of_steps(empty_trainer(engine, 1.0, 1.0), Stream(b"one")))
    torch.manual_seed(1)
    other = next(noise_of_steps(empty_trainer(engine, 1.0, 1.0), Stream(b"two")))
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) * first.size**0.5 < 5


def test_the_noise_does_not_depend_on_the_records(engine: Engine) -> None:
    """The same bytes, with and without records in the step: the difference is the records' sum and nothing else."""
    records = [Record({"x": torch.randn(WIDTH).double()}, torch.randn(WIDTH).double()) for _ in range(3)]
    module = TwoLayers(torch.float64)
    schema = Schema.of(records[0])
    program = engine.load(archive(module, schema, "trace"), schema, "l2")
    empty, full = (program.trainer(Training(release=CERTIFIED, noise_stddev=1.0)) for _ in range(2))
    full.run_pass(records, [0, 1, 2])
    total = full.clipped_sum()
    empty.step(Stream(b"one"))
    full.step(Stream(b"one"))
    for name, value in empty.parameters().items():
        difference = value - full.parameters()[name]
        assert torch.allclose(difference, total[name], rtol=0, atol=1e-12), name


def test_noise_is_scaled_by_its_deviation_over_the_normalizer(engine: Engine) -> None:
    deviations = [
        float(next(noise_of_steps(empty_trainer(engine, stddev, normalizer), Stream(b"one"))).std())
        for stddev, normalizer in ((1.0, 1.0), (5.0, 1.0), (1.0, 4.0), (1e-3, 1.0))
    ]
    assert deviations == pytest.approx([deviations[0] * factor for factor in (1, 5, 0.25, 1e-3)], rel=5 / (2 * 2 * WIDTH**2) ** 0.5)
