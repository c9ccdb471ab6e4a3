"""Coupled replay: the same run on neighbouring datasets, with the same draws and the same slots. In one of them a slot is filled.

What is claimed of the two sums is claimed here, in integers. Exact: the difference is what the record adds alone, bit for bit, and
its norm is at most 2^k. Certified: the norm of the difference is at most 2^k (1 + eta); eta is what rounding makes of the others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine import CERTIFIED, EXACT, Program, Trainer, Training
from records import Record

EMPTY = -1


EXPONENT = 24
BOUND = 2**EXPONENT  # the clipping norm in units of the grid
# Eta of docs/release.md: what rounding may add to one record's influence where a pass holds several.
ETA = 2.0**-6 + 2.0**-14 + 2.0**-18


@dataclass(frozen=True)
class Mode:
    name: str
    release: int
    pass_size: int
    eta: float

    @property
    def training(self) -> Training:
        # Losses too: one more coordinate, in which the worst record counts what it may.
        return Training(self.pass_size, release=self.release, grid_exponent=EXPONENT, clipping_norm=1.0, loss_bound=3.0)


MODES = (Mode("exact", EXACT, 1, 0.0), Mode("certified", CERTIFIED, 4, ETA))


@dataclass(frozen=True)
class Total:
    """What a step adds up to before its noise, and what was called for it."""

    sums: dict[str, Tensor]
    calls: tuple[str, ...]

    def __sub__(self, other: Total) -> dict[str, Tensor]:
        return difference(self.sums, other.sums)


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value - other[name] for name, value in one.items()}


def squared(sums: dict[str, Tensor]) -> int:
    """Exactly, whatever the integers."""
    return sum(int(n) ** 2 for value in sums.values() for n in value.flatten().tolist())


def length(sums: dict[str, Tensor]) -> float:
    """In clipping norms."""
    return math.sqrt(squared(sums)) / BOUND


def is_zero(sums: dict[str, Tensor]) -> bool:
    return not any(bool(value.any()) for value in sums.values())


def total(program: Program, mode: Mode, records: Sequence[Record], slots: Sequence[int], moved: bool) -> Total:
    """The sum over the slots, cut into passes. Moved: after a step of noise, the same every time; a model may behave until then."""
    trainer = moved_trainer(program, mode) if moved else program.trainer(mode.training)
    for first in range(0, len(slots), mode.pass_size):
        trainer.run_pass(records, slots[first : first + mode.pass_size], seed=1)
    assert not any(trainer.said), f"the engine said {trainer.said}"
    return Total(trainer.grid_sum(), tuple(trainer.calls))


def moved_trainer(program: Program, mode: Mode) -> Trainer:
    trainer = program.trainer(replace(mode.training, noise_stddev=1e-3))
    generator = torch.Generator().manual_seed(5)
    trainer.step(lambda n: torch.randint(0, 256, (n,), dtype=torch.uint8, generator=generator).numpy().tobytes())
    return trainer


@dataclass(frozen=True)
class Replay:
    """One slot filled or empty, among others."""

    filled: Total
    empty: Total
    alone: Total

    @property
    def repeats(self) -> bool:
        return self.filled.calls != self.empty.calls


def replays(program: Program, mode: Mode, others: Sequence[Record], worst: Sequence[Record]) -> Iterator[Replay]:
    """Each of the worst records in every slot of a pass, before and after the weights moved."""
    records, number = [*others, *worst], len(others)
    # Where every pass holds one record, the first and the last slot are enough.
    for moved, slot in itertools.product((False, True), range(4) if mode.pass_size > 1 else (0, number)):
        company = [*range(slot), EMPTY, *range(slot, number)]
        nobody = [EMPTY] * len(company)
        empty = total(program, mode, records, company, moved)
        for added in range(number, len(records)):
            filled, alone = (total(program, mode, records, _with(slots, slot, added), moved) for slots in (company, nobody))
            yield Replay(filled, empty, alone)


def _with(slots: list[int], slot: int, record: int) -> list[int]:
    return [*slots[:slot], record, *slots[slot + 1 :]]


def assert_coupled(replay: Replay, mode: Mode) -> None:
    moved = replay.filled - replay.empty
    assert squared(moved) <= (BOUND * (1 + mode.eta)) ** 2, f"one record moves the sum by {length(moved):.9g} clipping norms"
    apart = difference(moved, replay.alone.sums)
    assert length(apart) <= mode.eta, f"the others' contributions move by {length(apart):.3g} clipping norms"
    if is_zero(replay.alone.sums):
        assert is_zero(moved), "a record that counts nothing changes the others' last bits"
