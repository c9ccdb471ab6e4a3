"""Gradients that cancel in floating point: whatever the norm was measured to be, what is released of one record is at most C."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archive import archive
from engine import Engine, Training
from oracle import Gradient, norm
from records import Record, Schema
from soundness import NORM_SLACK, contribution
from zoo.cancelling import CANCELLING, FewWidePositions, FewWideWindows, SmallTimesLarge

# 1e6 is where a Gram matrix in float32 fails, 1e15 where one in float64 does.
SCALES = [1e3, 1e4, 1e6, 1e7, 1e8, 1e10, 1e12, 1e15, 1e16, 1e18, 1e20]
C = 1.0


def record(x: float, dtype: torch.dtype) -> Record:
    return Record({"x": torch.tensor([x])}, torch.tensor([-1e35])).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("model", CANCELLING, ids=lambda model: model.__name__)
def test_the_contribution_is_bounded(engine: Engine, model: type[nn.Module], dtype: torch.dtype) -> None:
    """Alone, and as the difference that the record makes to the sum of others."""
    records = [record(x, dtype) for x in (1.0, -0.37, 0.01)]
    schema, training = Schema.of(records[0]), Training(pass_size=4, clipping_norm=C)
    found: list[str] = []
    for scale in SCALES:
        module = model(scale).to(dtype)
        program = engine.load(archive(module, schema, "trace"), schema, "l1")
        alone = norm(contribution(program, records, [0], training))
        without = contribution(program, records, [-1, 1, 2], training)
        among = norm(_difference(contribution(program, records, [0, 1, 2], training), without))
        if not max(alone, among) <= C * (1 + NORM_SLACK):
            found.append(f"scale {scale:g}: {alone:.4g} alone, {among:.4g} among others")
    assert not found, "\n".join(found)


def _difference(left: Gradient, right: Gradient) -> Gradient:
    return {name: left[name] - right[name] for name in left}


@pytest.mark.parametrize("model", CANCELLING, ids=lambda model: model.__name__)
def test_the_attack_would_matter(model: type[nn.Module]) -> None:
    """Without the large parts each of these has a gradient far beyond C, so a bound that holds was the engine's doing."""
    module, inputs = model(0.0), torch.ones(1, 1)
    module(inputs).sum().backward()
    assert torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm() > 50 * C


def test_squares_below_the_smallest_float_count(engine: Engine) -> None:
    one = record(1.0, torch.float32)
    schema, smallest = Schema.of(one), 1e-6  # the smallest clipping norm that a plan may have
    program = engine.load(archive(SmallTimesLarge(), schema, "trace"), schema, "l1")
    length = norm(contribution(program, [one], [0], Training(pass_size=4, clipping_norm=smallest)))
    assert 0.1 * smallest < length <= smallest * (1 + NORM_SLACK)


@pytest.mark.parametrize("model", [FewWidePositions, FewWideWindows], ids=lambda model: model.__name__)
def test_parts_that_cancel_are_held_to_64_clipping_norms(engine: Engine, model: type[nn.Module]) -> None:
    """Ten times the parts, a tenth of the contribution: what rounding makes of the parts must stay small beside C."""
    one = record(1.0, torch.float32)
    schema, lengths = Schema.of(one), []
    for scale in (1e7, 1e8):
        torch.manual_seed(3)
        program = engine.load(archive(model(scale), schema, "trace"), schema, "l1")
        lengths.append(norm(contribution(program, [one], [0], Training(pass_size=4, clipping_norm=C))))
    assert 0 < lengths[1] < lengths[0] / 5 < C / 20
