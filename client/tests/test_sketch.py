"""The same records are known again whatever was done to them that loses nothing; others are not."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from bastionlab.torch import _sketch
from bastionlab.torch._records import Records
from bastionlab.torch._sketch import Hashes, Sketch, hashes_of, least_found, overlaps

KEY = bytes(range(32))


def hashed(dataset: Any, key: bytes = KEY) -> Hashes:
    records = Records(dataset)
    return hashes_of(records, key, records.schema.record_bytes)


def table(count: int = 300, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randint(-99, 100, (count, 6), generator=torch.Generator().manual_seed(seed)).to(dtype)


def labels(x: torch.Tensor) -> torch.Tensor:
    return (x[:, 0] > 0).long()


CHANGES: dict[str, Any] = {
    "permuted": lambda x, y: TensorDataset(x.flip(0), y.flip(0)),
    "a wider dtype": lambda x, y: TensorDataset(x.double(), y.double()),
    "integers": lambda x, y: TensorDataset(x.to(torch.int16), y.to(torch.int32)),
    "labels as truth values": lambda x, y: TensorDataset(x, y.bool()),
    "another shape": lambda x, y: TensorDataset(x.reshape(-1, 2, 3), y),
    "-0 for 0": lambda x, y: TensorDataset(torch.where(x == 0, -0.0, x), y),
    "repeated": lambda x, y: TensorDataset(torch.cat([x, x]), torch.cat([y, y])),
    "by name": lambda x, y: [{"any": row, "label": label} for row, label in zip(x, y, strict=True)],
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_loses_nothing_changes_no_hash(change: str) -> None:
    x = table()
    assert np.array_equal(hashed(CHANGES[change](x, labels(x))), hashed(TensorDataset(x, labels(x))))


def test_the_order_of_inputs_does_not_matter_and_that_of_values_does() -> None:
    x, other, y = table(), table(seed=1), labels(table())
    assert np.array_equal(hashed(TensorDataset(x, other, y)), hashed(TensorDataset(other, x, y)))
    assert not np.isin(hashed(TensorDataset(x.flip(1), y)), hashed(TensorDataset(x, y))).any()


def test_integers_that_no_float_equals_are_told_apart() -> None:
    large = torch.tensor([[2**53], [2**53 + 1], [2**53 + 2], [2**63 - 1], [-(2**63)]])
    assert len(hashed(TensorDataset(large, torch.zeros(5)))) == 5
    exact = large[[0, 2, 4]]
    assert np.array_equal(hashed(TensorDataset(exact, torch.zeros(3))), hashed(TensorDataset(exact.double(), torch.zeros(3))))


def test_every_nan_is_one_and_another_key_has_other_hashes() -> None:
    nan = torch.from_numpy(np.array([[0x7FC00000], [0x7FC00001], [0xFFC00000]], dtype="u4").view("f4"))
    assert len(hashed(TensorDataset(nan, torch.zeros(3)))) == 1
    x = TensorDataset(table(), labels(table()))
    assert not np.isin(hashed(x, bytes(32)), hashed(x)).any()


@functools.cache
def drawn() -> Hashes:
    """Hashes as they fall: keyed ones are as good as drawn."""
    return np.random.default_rng(7).integers(0, 2**64, size=2_000_000, dtype=np.uint64)


def numbers(start: int, count: int) -> Hashes:
    return np.unique(drawn()[start : start + count])


@pytest.mark.parametrize(
    ("old", "new", "shared", "same"),
    [
        (1000, 1000, 1000, True),
        (1000, 1000, 999, True),
        (1000, 1000, 100, True),
        (1000, 1000, 49, False),
        (1000, 1000, 0, False),
        (1, 1, 0, False),
        (600_000, 600_000, 60_000, True),
        (600_000, 600_000, 12_000, False),
        (600_000, 5_000, 500, True),
        (600_000, 5_000, 0, False),
        (5_000, 600_000, 500, True),
        (5_000, 600_000, 0, False),
        (600_000, 300, 0, True),  # a sketch cannot tell, and so it counts
    ],
)
def test_a_tenth_of_either_is_the_same_and_nothing_is_not(old: int, new: int, shared: int, same: bool) -> None:
    sketch = Sketch.of(numbers(0, old))
    assert overlaps(Sketch.from_bytes(sketch.records, sketch.to_bytes()), numbers(old - shared, new)) == same


def test_nothing_is_not_like_anything() -> None:
    assert not overlaps(Sketch.of(numbers(0, 0)), numbers(0, 5))
    assert not overlaps(Sketch.of(numbers(0, 5)), numbers(0, 0))


@pytest.mark.parametrize("mean", [0.5, 5.0, 21.0, 25.0, 50.0, 100.0, 135.0, 200.0, 5000.0])
def test_what_is_asked_for_is_missed_once_in_a_thousand_million_at_most(mean: float) -> None:
    """The exact probability, of the distribution of which the bound holds: Poisson's is above the hypergeometric's tail."""
    asked = least_found(mean)
    assert asked <= mean / 2
    below = [count for count in range(int(np.ceil(asked))) if count < asked]
    log_terms = [count * np.log(mean) - mean - sum(np.log(range(1, count + 1))) for count in below]
    assert sum(np.exp(log_terms)) <= 1e-9
    assert (asked == 0) == (mean < np.log(1e9)) or asked < 1


def test_a_tenth_is_never_missed_where_the_sketch_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many times over, at a size of sketch that makes it hard."""
    monkeypatch.setattr(_sketch, "KEPT", 1024)
    draw = np.random.default_rng(3)
    for old, new in [(20_000, 20_000), (20_000, 8_000), (20_000, 5_000), (5_000, 20_000)]:
        shared = -(-min(old, new) // 10)
        for _ in range(50):
            values = draw.integers(0, 2**64, size=old + new, dtype=np.uint64)
            assert overlaps(Sketch.of(np.unique(values[:old])), np.unique(values[old - shared : old - shared + new]))


@pytest.mark.parametrize("kept", [100, 1 << 18])
def test_what_is_known_of_several_uploads_is_what_is_known_of_all_their_records(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sketch, "KEPT", kept)
    parts = [numbers(start, count) for start, count in [(0, 80), (40, 900), (500, 600)]]
    together, whole = Sketch.union([Sketch.of(part) for part in parts]), np.unique(np.concatenate(parts))
    assert np.array_equal(together.hashes, whole[: len(together.hashes)])
    assert abs(together.records - len(whole)) <= (0 if kept > 1000 else 0.3 * len(whole))
    assert overlaps(together, numbers(1000, 1000))
