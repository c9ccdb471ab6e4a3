"""The oracle itself: against torch.func, against sums by hand, and able to tell a clip factor that is off by one per cent."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad

from comparison import assert_same, differences
from oracle import Expected, clip_factor, model_output, record_gradient, record_loss
from records import Record
from zoo import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_gradient_is_that_of_torch_func(case: Case) -> None:
    """Another road to the same number: functional_call and grad instead of autograd on the module."""
    module, record = case.module(torch.float64), case.records(3, torch.float64)[2]
    tied = dict(module.named_parameters())
    parameters = {name: p.detach() for name, p in tied.items() if p.requires_grad}

    def loss(values: dict[str, torch.Tensor]) -> torch.Tensor:
        inputs = tuple(tensor.unsqueeze(0) for tensor in record.inputs.values())
        return record_loss(case.loss, model_output(functional_call(module, values, inputs)), record.label)

    if any(getattr(part, "sparse", False) for part in module.modules()):
        pytest.xfail("torch.func knows no sparse gradients")
    expected = record_gradient(module, record, case.loss)
    assert any(bool(g.abs().sum() > 0) for g in expected.values())
    assert_same(grad(loss)(parameters), expected, torch.float64)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_clips_some_records_and_tells_a_factor_off_by_one_per_cent(case: Case) -> None:
    expected = Expected.of(case.module(torch.float64), case.records(9, torch.float64), case.loss)
    clipping_norm = expected.splitting_norm()
    factors = expected.factors(clipping_norm)
    assert 3 <= sum(factor < 1 for factor in factors) <= 6
    wrong = [factor if factor == 1 else 1.01 * factor for factor in factors]
    for dtype in (torch.float64, torch.float32):
        assert differences(expected.weighted_sum(wrong), expected.clipped_sum(clipping_norm), dtype)


def test_losses_by_hand() -> None:
    logits = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    log_sum = math.log(math.e + math.e**3)
    assert record_loss("cross_entropy", logits, torch.tensor(0)).item() == pytest.approx(log_sum - 1)
    tokens = torch.stack([logits, logits.flip(1), logits], dim=1)
    per_token = record_loss("cross_entropy", tokens, torch.tensor([0, -100, 1]))
    assert per_token.item() == pytest.approx(((log_sum - 1) + (log_sum - 3)) / 2)
    label = torch.tensor([1.0, 0.0], dtype=torch.float64)
    bce = (math.log1p(math.exp(-1)) + math.log1p(math.exp(3))) / 2
    assert record_loss("bce_with_logits", logits, label).item() == pytest.approx(bce)
    assert record_loss("l2", logits, label).item() == record_loss("mse", logits, label).item() == 4.5
    assert record_loss("l1", logits, label).item() == 1.5


def test_clipping_by_hand() -> None:
    gradient = {"a": torch.tensor([3.0]), "b": torch.tensor([[4.0]])}
    assert clip_factor(gradient, 10) == 1
    assert clip_factor(gradient, 5) == 1
    assert clip_factor(gradient, 1) == 0.2


def test_what_is_not_finite_is_zero() -> None:
    module = nn.Linear(2, 1).double()
    for value in (math.nan, math.inf):
        record = Record({"x": torch.tensor([value, 0], dtype=torch.float64)}, torch.zeros(1, dtype=torch.float64))
        assert all(bool((g == 0).all()) for g in record_gradient(module, record, "l2").values())
