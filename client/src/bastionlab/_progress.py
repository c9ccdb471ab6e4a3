"""The one look of every progress bar."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm


def bytes_bar(what: str, total: int, shown: bool) -> Any:
    """For what is sent or received."""
    return _bar(what, total, shown, unit="B", unit_scale=True)


def steps_bar(what: str, total: int, shown: bool) -> Any:
    """For the steps of one epoch."""
    return _bar(what, total, shown, unit="step")


def _bar(what: str, total: int, shown: bool, **options: Any) -> Any:
    return tqdm(total=total, desc=what, disable=not shown, bar_format="{l_bar}{bar:20}{r_bar}", **options)
