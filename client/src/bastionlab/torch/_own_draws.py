"""Randomness that is ours while a model is tried out: the same draws for the same seed, and none taken from the user's."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def own_draws(seed: int = 0) -> Iterator[None]:
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


class OutsideDraws:
    """Inside of own_draws: whether something was drawn from Python's or NumPy's generator, which no trace can repeat."""

    def __init__(self) -> None:
        self._before = _outside()

    @property
    def any(self) -> bool:
        return _outside() != self._before


def _outside() -> tuple[object, ...]:
    kind, keys, position, *rest = np.random.get_state()
    return random.getstate(), kind, np.asarray(keys).tobytes(), position, *rest
