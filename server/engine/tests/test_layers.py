"""For every kind of layer: the clipped sum of several passes is the oracle's, some records clipped and others not."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from abi import Status
from archive import Form, archive
from comparison import assert_same, differences
from engine import Engine, EngineError, Program, Training
from oracle import Expected
from zoo import CASES, Case

RECORDS = 9
# A full pass, one with empty slots in the middle, a partly filled last one, one of nothing.
PASSES = [[0, 1, 2, 3], [4, -1, 5, -1], [6, 7, 8], [-1, -1], []]
ALL = [pytest.param(case, form, id=f"{case.name}-{form}") for case in CASES for form in case.forms]


@cache
def expected_of(case: Case, dtype: torch.dtype) -> Expected:
    # The very numbers the engine gets: weights and records rounded to dtype, then computed in float64.
    return Expected.of(case.module(dtype), case.records(RECORDS, dtype), case.loss)


def load(engine: Engine, case: Case, form: Form, dtype: torch.dtype) -> Program:
    schema = case.schema(dtype)
    try:
        program = engine.load(archive(case.module(dtype), schema, form), schema, case.loss)
        program.rehearse(pass_size=4)
    except EngineError as error:
        named = (error.operator or error.layer) and error.reason
        if case.may_be_refused and error.status == Status.INCOMPATIBLE_MODEL and named:
            pytest.xfail(f"refused: {error}")
        raise
    return program


def clipped_sum(program: Program, case: Case, dtype: torch.dtype, training: Training) -> dict[str, torch.Tensor]:
    trainer, records = program.trainer(training), case.records(RECORDS, dtype)
    for slots in PASSES:
        trainer.run_pass(records, slots)
    return trainer.clipped_sum()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("case", "form"), ALL)
def test_the_clipped_sum_is_the_oracles(engine: Engine, case: Case, form: Form, dtype: torch.dtype) -> None:
    expected = expected_of(case, dtype)
    clipping_norm = expected.splitting_norm()
    factors = expected.factors(clipping_norm)
    assert 0 < sum(factor < 1 for factor in factors) < RECORDS

    program = load(engine, case, form, dtype)
    actual = clipped_sum(program, case, dtype, Training(pass_size=4, clipping_norm=clipping_norm))
    assert_same(actual, expected.clipped_sum(clipping_norm), dtype)

    # The comparison has teeth: a clip factor off by one per cent does not pass.
    wrong = [factor if factor == 1 else 0.99 * factor for factor in factors]
    assert differences(actual, expected.weighted_sum(wrong), dtype)


@pytest.mark.parametrize("case", CASES[::8], ids=lambda case: case.name)
def test_the_sum_does_not_depend_on_the_size_of_the_passes(engine: Engine, case: Case) -> None:
    expected, records = expected_of(case, torch.float64), case.records(RECORDS, torch.float64)
    clipping_norm = expected.splitting_norm()
    program = load(engine, case, "trace", torch.float64)
    for pass_size in (1, 16):
        trainer = program.trainer(Training(pass_size=pass_size, clipping_norm=clipping_norm))
        for start in range(0, RECORDS, pass_size):
            trainer.run_pass(records, list(range(start, min(start + pass_size, RECORDS))))
        assert_same(trainer.clipped_sum(), expected.clipped_sum(clipping_norm), torch.float64)


@pytest.mark.parametrize("case", CASES[::8], ids=lambda case: case.name)
def test_without_privacy_nothing_is_clipped(engine: Engine, case: Case) -> None:
    program = load(engine, case, "trace", torch.float64)
    training = Training(pass_size=4, is_private=False, clipping_norm=1e-3, noise_stddev=0.0)
    actual = clipped_sum(program, case, torch.float64, training)
    assert_same(actual, expected_of(case, torch.float64).plain_sum(), torch.float64)
