"""What must hold for every model that is admitted, however it was written: a record's contribution is bounded, and its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from engine import CERTIFIED, Program, Training
from oracle import Gradient, norm
from records import Record

NORM_SLACK = 1e-3
FINE = 36  # a grid whose rounding is far below the tolerances here


def contribution(program: Program, records: Sequence[Record], slots: Sequence[int], training: Training) -> Gradient:
    trainer = program.trainer(training)
    trainer.run_pass(records, slots)
    return trainer.clipped_sum()


def contribution_when_moved(
    program: Program, records: Sequence[Record], slots: Sequence[int], training: Training, seed: int = 0
) -> Gradient:
    """After a step of noise - the same noise every time - has moved every weight: a model may behave until then."""
    trainer = program.trainer(replace(training, release=CERTIFIED, grid_exponent=FINE, noise_stddev=1e-3))
    generator = torch.Generator().manual_seed(5)
    trainer.step(lambda n: torch.randint(0, 256, (n,), dtype=torch.uint8, generator=generator).numpy().tobytes())
    trainer.run_pass(records, slots, seed)
    return trainer.clipped_sum()


def assert_bounded(program: Program, records: Sequence[Record], training: Training) -> None:
    for index in range(len(records)):
        length = norm(contribution(program, records, [index], training))
        assert length <= training.clipping_norm * (1 + NORM_SLACK), f"record {index} contributes {length}"


def assert_isolated(program: Program, records: Sequence[Record], training: Training) -> None:
    """Two records in one pass, or one after the other, contribute what each contributes alone, in the slot that it has."""
    everyone = range(len(records))
    first = [contribution(program, records, [index], training) for index in everyone]
    third = [contribution(program, records, [-1, -1, index], training) for index in everyone]
    # The first record beside every other on either side, and every record beside the next.
    pairs = {pair for index in everyone for pair in ((0, index), (index, 0), (index, (index + 1) % len(records)))}
    for one, other in sorted(pair for pair in pairs if pair[0] != pair[1]):
        beside = contribution(program, records, [one, -1, other], training)
        _assert_close(beside, _add(first[one], third[other]), f"{one} beside {other}")
        trainer = program.trainer(training)
        trainer.run_pass(records, [one])
        trainer.run_pass(records, [other])
        _assert_close(trainer.clipped_sum(), _add(first[one], first[other]), f"{other} after {one}")


def assert_same_in_full_company(program: Program, records: Sequence[Record], training: Training) -> None:
    """A pass without an empty slot is the same pass with one slot emptied, and what that record contributes alone."""
    for first in range(len(records)):
        slots = [(first + i) % len(records) for i in range(training.pass_size)]
        full, without, alone = (
            contribution_when_moved(program, records, taken, training)
            for taken in (slots, [*slots[:-1], -1], [*[-1] * (len(slots) - 1), slots[-1]])
        )
        _assert_close(full, _add(without, alone), f"{slots[-1]} in the company of {slots[:-1]}")


def _add(left: Gradient, right: Gradient) -> Gradient:
    return {name: left[name] + right[name] for name in left}


def _assert_close(actual: Gradient, expected: Gradient, what: str) -> None:
    for name, want in expected.items():
        error = float((actual[name] - want).abs().max()) if want.numel() else 0.0
        assert error <= 1e-9, f"{what}: {name} off by {error}"


def assert_sound(program: Program, records: Sequence[Record], clipping_norm: float = 1.0) -> None:
    training = Training(pass_size=4, clipping_norm=clipping_norm)
    assert all(t.dtype != torch.float32 for record in records for t in record.tensors()), "float64 tells leaks from rounding"
    assert_bounded(program, records, training)
    assert_isolated(program, records, training)
    assert_same_in_full_company(program, records, training)
