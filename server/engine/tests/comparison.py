"""When two sums of gradients count as equal."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

# Of each parameter's own norm.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
# Of the whole sum's norm: a gradient that is zero on paper (a key's bias under softmax) is rounding noise on both sides.
NOISE_FLOOR = {torch.float64: 1e-14, torch.float32: 1e-6}


def differences(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], dtype: torch.dtype) -> list[str]:
    """One line per parameter that differs; empty if the two are the same."""
    if actual.keys() != expected.keys():
        return [f"parameters {sorted(actual)} instead of {sorted(expected)}"]
    total = float(torch.stack([e.double().norm() for e in expected.values()]).norm())
    lines = []
    for name, want in expected.items():
        have = actual[name]
        if have.shape != want.shape:
            lines.append(f"{name}: shape {tuple(have.shape)} instead of {tuple(want.shape)}")
            continue
        error, scale = float((have.double() - want.double()).norm()), float(want.double().norm())
        # Written so that NaN counts as a difference.
        if not error <= max(TOLERANCE[dtype] * scale, NOISE_FLOOR[dtype] * total):
            lines.append(f"{name}: off by {error:.3g}, norm {float(have.norm()):.9g} instead of {scale:.9g}")
    return lines


def assert_same(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    found = differences(actual, expected, dtype)
    assert not found, "\n".join(found)
