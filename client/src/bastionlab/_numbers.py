"""Numbers as people have them: Python's own, and the scalars of NumPy and torch, without importing either."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

from bastionlab import errors

# The protocol's integers are signed and of 64 bits.
LARGEST_INTEGER = 2**63 - 1


def as_real(value: Any) -> float | None:
    """A finite number; None where the value is none. Truth values and words are none."""
    value = _unwrapped(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_integer(value: Any) -> int | None:
    """A whole number of at most 64 bits; None where the value is none, 2.0 included."""
    value = _unwrapped(value)
    if isinstance(value, bool):
        return None
    try:
        number = operator.index(value)
    except TypeError:
        return None
    return number if abs(number) <= LARGEST_INTEGER else None


def count(name: str, value: Any) -> int:
    number = as_integer(value)
    if number is None or number < 1:
        raise errors.InvalidArgument(f"{name} is {value!r}", next="give a whole number, at least 1 and below 2**63")
    return number


def positive(name: str, value: Any) -> float:
    number = as_real(value)
    if number is None or not number > 0:
        raise errors.InvalidArgument(f"{name} is {value!r}", next="give a number above 0")
    return number


def _unwrapped(value: Any) -> Any:
    """NumPy's and torch's scalars, and arrays of no dimension, as Python's own."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
