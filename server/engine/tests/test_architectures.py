"""Whole architectures as people use them: taken as they are, and the clipped sum is the oracle's. docs/models.md is the table."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
from torch import nn

from abi import Status
from archive import FORMS, Form, archive
from comparison import assert_same, differences
from engine import Engine, EngineError, Training
from models_page import PAGE, page
from oracle import Expected
from zoo.architectures import ARCHITECTURES, REFUSED, Architecture, Refused
from zoo.architectures.frozen import WrittenOut, with_batch_norm_written_out
from zoo.normalisation import frozen_statistics

RECORDS = 5
# The second pass is partly filled, the first has an empty slot.
PASSES = [[0, 1, -1, 2], [3, 4]]
EACH = [pytest.param(a, marks=[pytest.mark.slow] if a.slow else [], id=a.name) for a in ARCHITECTURES]
IN_EACH_FORM = [
    pytest.param(a, form, marks=[pytest.mark.slow] if a.slow else [], id=f"{a.name}-{form}")
    for a in ARCHITECTURES
    for form in a.forms
]
LEFT_OUT = [
    pytest.param(a, form, marks=[pytest.mark.slow] if a.slow else [], id=f"{a.name}-{form}")
    for a in ARCHITECTURES
    for form in FORMS
    if form not in a.forms
]


@cache
def archive_of(architecture: Architecture, form: Form, dtype: torch.dtype) -> bytes:
    return archive(architecture.module(dtype), architecture.schema(dtype), form)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("architecture", "form"), IN_EACH_FORM)
def test_the_clipped_sum_is_the_oracles(engine: Engine, architecture: Architecture, form: Form, dtype: torch.dtype) -> None:
    records = architecture.records(RECORDS, dtype)
    expected = Expected.of(with_batch_norm_written_out(architecture.module(dtype)), records, architecture.loss)
    # The oracle gives zeros where a model fails on a record; these here do not.
    assert min(expected.norms()) > 0
    clipping_norm = expected.splitting_norm()
    factors = expected.factors(clipping_norm)
    assert 0 < sum(factor < 1 for factor in factors) < RECORDS

    program = engine.load(archive_of(architecture, form, dtype), architecture.schema(dtype), architecture.loss)
    program.rehearse(pass_size=4)
    trainer = program.trainer(Training(pass_size=4, clipping_norm=clipping_norm))
    for slots in PASSES:
        trainer.run_pass(records, slots)
    actual = trainer.clipped_sum()
    # Some compute a part in float32 whatever they are given: what is rounded there is not known better than that.
    precision = torch.float32 if architecture.rounds_to_float32 else dtype
    assert_same(actual, expected.clipped_sum(clipping_norm), precision)

    wrong = [factor if factor == 1 else 0.99 * factor for factor in factors]
    assert differences(actual, expected.weighted_sum(wrong), precision)


@pytest.mark.parametrize(("architecture", "form"), IN_EACH_FORM)
def test_the_report_says_how_each_parameter_is_measured(engine: Engine, architecture: Architecture, form: Form) -> None:
    program = engine.load(archive_of(architecture, form, torch.float32), architecture.schema(torch.float32), architecture.loss)
    parameters = {p["name"]: p["measurement"] for p in json.loads(program.report_json())["parameters"]}
    module = architecture.module(torch.float32)
    assert parameters.keys() == dict(module.named_parameters()).keys()
    assert {name for name, how in parameters.items() if how == "frozen"} == {
        name for name, p in module.named_parameters() if not p.requires_grad
    }
    assert ", ".join(sorted(set(parameters.values()) - {"frozen"})) == architecture.measured
    assert {name: parameters[name] for name in architecture.notable} == architecture.notable


@pytest.mark.parametrize(("architecture", "form"), LEFT_OUT)
def test_a_form_that_the_table_leaves_out_does_not_work(engine: Engine, architecture: Architecture, form: Form) -> None:
    """Else the table would say less than is true."""
    assert architecture.only
    try:
        written = archive_of(architecture, form, torch.float32)
    except Exception:  # TorchScript's compiler raises of all kinds
        return
    with pytest.raises(EngineError):
        engine.load(written, architecture.schema(torch.float32), architecture.loss)


@pytest.mark.parametrize("refused", [pytest.param(r, id=r.name) for r in REFUSED])
def test_what_is_refused_is_refused_by_name(engine: Engine, refused: Refused) -> None:
    for form in refused.forms:
        schema = refused.schema(torch.float32)
        with pytest.raises(EngineError) as caught:
            engine.load(archive(refused.module(torch.float32), schema, form), schema, refused.loss)
        assert caught.value.status == Status.INCOMPATIBLE_MODEL
        assert caught.value.operator == refused.operator
        assert refused.reason in caught.value.reason


def test_what_to_do_instead_is_in_the_table() -> None:
    names = {a.name for a in ARCHITECTURES}
    assert len(names) == len(ARCHITECTURES) >= 32
    assert {r.see for r in REFUSED if r.see} <= names


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text() == page(), f"{PAGE} is not what the tests hold: run python models_page.py in server/engine/tests"


def test_why_the_oracle_writes_batch_norm_out() -> None:
    """Once this fails, libtorch is mended, and the oracle can take the layer itself."""
    norm = frozen_statistics(nn.BatchNorm2d(4)).double()
    x = torch.randn(1, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(1, 6, 4, dtype=torch.float64).transpose(1, 2).view(1, 4, 3, 2)
    wrong, right = (torch.autograd.grad(norm(x), x, g)[0] for g in (gradient, gradient.contiguous()))
    (written_out,) = torch.autograd.grad(WrittenOut(norm)(x), x, gradient)
    assert torch.allclose(right, written_out)
    assert not torch.allclose(wrong, written_out)
