"""What is promised and not there yet: it has its place, and says so."""

from __future__ import annotations

from bastionlab import errors


def comes_later(what: str, next: str) -> errors.InvalidArgument:
    """To be raised. ``next``: what serves until then."""
    return errors.InvalidArgument(f"{what} comes in a later release", next=next)
