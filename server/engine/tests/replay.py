"""Coupled replay: the same run on neighbouring datasets, with the same draws and the same slots. In one of them a slot is filled.

What is claimed of the two sums is claimed here, exactly: nobody else's contribution changes, and the slot moves the sum by at most
the clipping norm. This file alone knows what a sum is made of.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine import Program, Trainer, Training
from records import Record

EMPTY = -1


@dataclass(frozen=True)
class Mode:
    name: str
    pass_size: int
    bound: float  # how far one record may move the sum
    isolation: float  # how far what a record adds in company may lie from what it adds alone

    @property
    def training(self) -> Training:
        return Training(pass_size=self.pass_size, clipping_norm=1.0)


# One record in every pass, and several.
MODES = (Mode("single", 1, 1 + 1e-3, 1e-5), Mode("shared", 4, 1 + 1e-3, 1e-2))


@dataclass(frozen=True)
class Total:
    """What a step adds up to before its noise, and what was called for it."""

    sums: dict[str, Tensor]
    calls: tuple[str, ...]

    def __sub__(self, other: Total) -> dict[str, Tensor]:
        return {name: value - other.sums[name] for name, value in self.sums.items()}


def length(sums: dict[str, Tensor]) -> float:
    return float(torch.linalg.vector_norm(torch.cat([value.double().flatten() for value in sums.values()])))


def is_zero(sums: dict[str, Tensor]) -> bool:
    return not any(bool(value.any()) for value in sums.values())


def total(program: Program, mode: Mode, records: Sequence[Record], slots: Sequence[int], moved: bool) -> Total:
    """The sum over the slots, cut into passes. Moved: after a step of noise, the same every time; a model may behave until then."""
    trainer = moved_trainer(program, mode) if moved else program.trainer(mode.training)
    for first in range(0, len(slots), mode.pass_size):
        trainer.run_pass(records, slots[first : first + mode.pass_size], seed=1)
    assert not any(trainer.said), f"the engine said {trainer.said}"
    return Total(trainer.clipped_sum(), tuple(trainer.calls))


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
    assert length(moved) <= mode.bound, f"one record moves the sum by {length(moved):.6g} clipping norms"
    apart = length({name: value - replay.alone.sums[name] for name, value in moved.items()})
    assert apart <= mode.isolation, f"the others' contributions move by {apart:.3g} clipping norms"
    if is_zero(replay.alone.sums):
        assert is_zero(moved), "a record that counts nothing changes the others' last bits"
