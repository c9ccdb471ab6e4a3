"""Which records an upload holds, in little: so that the same ones are known again, whatever order or dtype they come in.

Each record has a keyed hash of its values, and a sketch keeps the smallest. Values are brought into the same form as the server
does it (server/internal/lineage): as the float64 that equals them, so that no lossless change of dtype, shape or order matters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bastionlab.torch._records import Record

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

KEPT = 1 << 18
"""Hashes in a sketch: 2 MiB, and exact up to so many records."""
_TENTH = 0.1  # the server's rule: what shares so much with an account draws on it
_MATCH = _TENTH / 2
_RISK = 1e-9

_NOT_A_NUMBER = np.uint64(0x7FF8_0000_0000_0000)
_ESCAPE = np.uint64(0x7FF8_0000_0000_0001)
_AT_ONCE = 1 << 20  # bytes of records that are brought into form together


@dataclass(frozen=True)
class Sketch:
    """The smallest hashes of a set of records, ascending, and how many distinct records it has."""

    records: int
    hashes: Hashes

    @classmethod
    def of(cls, hashes: Hashes) -> Sketch:
        return cls(len(hashes), hashes[:KEPT].copy())

    @classmethod
    def from_bytes(cls, records: int, content: bytes) -> Sketch:
        return cls(records, np.frombuffer(content, dtype="<u8").astype(np.uint64))

    def to_bytes(self) -> bytes:
        return self.hashes.astype("<u8").tobytes()

    @classmethod
    def union(cls, sketches: Sequence[Sketch]) -> Sketch:
        """Of all that the sets hold together. Up to the least end of those that do not hold all of theirs, it is known whole."""
        hashes = np.unique(np.concatenate([each.hashes for each in sketches]))
        sampled = [each for each in sketches if 0 < len(each.hashes) < each.records]
        if not sampled:
            return cls(len(hashes), hashes)
        hashes = hashes[hashes <= min(each.hashes.max() for each in sampled)]
        share = min(len(each.hashes) / each.records for each in sampled)
        return cls(math.ceil(len(hashes) / share), hashes)


def hashes_of(records: Iterable[Record], key: bytes, record_bytes: int) -> Hashes:
    """The hashes of the distinct records, ascending."""
    found = np.fromiter(_each(records, key, max(1, _AT_ONCE // record_bytes)), dtype=np.uint64)
    return np.unique(found)


def overlaps(old: Sketch, new: Hashes) -> bool:
    """Whether an upload shares a tenth of its records, or of the old ones, with an old one: the server's rule, on the safe side.

    The hashes are keyed, so the n smallest of a set are n of its records drawn at random without replacement, and how many of them
    are in the new upload is hypergeometric. Where a tenth of the smaller set is shared, its mean is m = 0.1 * smaller * n / old or
    more. By Chernoff's bound, which holds without replacement too (Hoeffding 1963, section 6), fewer than t < m of them are found
    with a probability of at most exp(-(m - t + t ln(t/m))). t is m/2 - a twentieth - or what keeps that below 1e-9, if that is
    less. Where even t = 0 does not, nothing shows that the records are others, and they count as the same: that takes an old upload
    of more than 2^18 records, and a new one of less than a thousandth of it. A sketch that holds all old records counts exactly.
    """
    smaller = min(old.records, len(new))
    if not smaller or not len(old.hashes):
        return False
    places = np.minimum(np.searchsorted(new, old.hashes), len(new) - 1)
    found = int(np.count_nonzero(new[places] == old.hashes))
    if len(old.hashes) == old.records:
        return found > 0 and found >= _MATCH * smaller
    return found >= least_found(_TENTH * smaller * len(old.hashes) / old.records)


def least_found(mean: float) -> float:
    """The most that may be asked for, so that a mean of so many is missed with a probability of at most 1e-9."""
    low, high = 0.0, mean / 2
    if _missed(mean, high) <= _RISK:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _missed(mean, middle) <= _RISK else (low, middle)
    return low


def _missed(mean: float, least: float) -> float:
    """A bound on the probability of finding fewer than least."""
    if not mean:
        return 1.0
    return math.exp(-(mean - least + (least * math.log(least / mean) if least else 0.0)))


def _each(records: Iterable[Record], key: bytes, at_once: int) -> Iterator[int]:
    waiting: list[Record] = []
    for record in records:
        waiting.append(record)
        if len(waiting) == at_once:
            yield from _hashed(waiting, key)
            waiting = []
    if waiting:
        yield from _hashed(waiting, key)


def _hashed(records: list[Record], key: bytes) -> Iterator[int]:
    columns = [_digests(torch.stack([record.inputs[name] for record in records])) for name in records[0].inputs]
    labels = _digests(torch.stack([record.label for record in records]))
    for inputs, label in zip(zip(*columns, strict=True), labels, strict=True):
        # Inputs may come in another order, or under other names.
        digest = hashlib.blake2b(b"".join((*sorted(inputs), label)), digest_size=8, key=key)
        yield int.from_bytes(digest.digest(), "little")


def _digests(stacked: torch.Tensor) -> list[bytes]:
    return [hashlib.blake2b(form, digest_size=16).digest() for form in _forms(stacked.reshape(len(stacked), -1))]


def _forms(values: torch.Tensor) -> list[bytes]:
    """The values of each row as float64; an integer that none equals as a mark and then itself."""
    if values.is_floating_point():
        forms = values.to(torch.float64).numpy().view(np.uint64).copy()
        numbers = values.to(torch.float64).numpy()
        forms[numbers == 0] = 0  # -0 equals 0
        forms[np.isnan(numbers)] = _NOT_A_NUMBER
        return [row.tobytes() for row in forms]
    integers = values.to(torch.int64).numpy()
    numbers = integers.astype(np.float64)
    fits = numbers < 2.0**63  # which no int64 is
    exact = fits & (np.where(fits, numbers, 0).astype(np.int64) == integers)
    forms = numbers.view(np.uint64)
    if exact.all():
        return [row.tobytes() for row in forms]
    return [_with_marks(*row) for row in zip(forms, integers, exact, strict=True)]


def _with_marks(forms: Hashes, integers: Any, exact: Any) -> bytes:
    marked = np.where(exact, forms, _ESCAPE)
    parts = [marked[i : i + 1].tobytes() + (b"" if exact[i] else integers[i : i + 1].tobytes()) for i in range(len(marked))]
    return b"".join(parts)
