"""What can go wrong, as exceptions.

::

    BastionLabError
    ├── InvalidArgument      a value that cannot be accepted
    ├── BudgetExceeded       the run would pass the privacy limit
    ├── IncompatibleModel    the model holds what cannot be trained privately
    ├── PermissionDenied     the owner, or the server, does not allow it
    ├── AttestationError     the server did not prove what it must
    ├── NotFound             no such dataset, run or identity, or none that may be seen
    ├── ServerUnavailable    no answer
    ├── VersionMismatch      client and server do not speak the same protocol
    └── TrainingFailed       a run ended without weights

Each says what was wrong (``what``), what was spent of a privacy budget (``charged``, mostly "nothing") and what to do next
(``next``). None holds a value computed from private data.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AttestationError",
    "BastionLabError",
    "BastionLabWarning",
    "BudgetExceeded",
    "IncompatibleModel",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "PrivacyWarning",
    "ServerUnavailable",
    "TrainingFailed",
    "VersionMismatch",
]

NOTHING = "nothing"


class BastionLabError(Exception):
    """Everything this package raises on its own account.

    >>> from bastionlab.errors import InvalidArgument
    >>> print(InvalidArgument("eps is negative", next="give a positive eps"))
    eps is negative; spent: nothing; give a positive eps
    """

    def __init__(self, what: str, *, charged: str = NOTHING, next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.charged = charged
        self.next = next

    def __str__(self) -> str:
        return "; ".join(part for part in (self.what, f"spent: {self.charged}" if self.charged else "", self.next) if part)

    # Exceptions with more than one argument do not survive pickling (multiprocessing, data loaders) without this.
    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, self.__dict__)


def _revive(kind: type[BastionLabError], args: tuple[Any, ...], fields: dict[str, Any]) -> BastionLabError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


class InvalidArgument(BastionLabError, ValueError):
    """A value that cannot be accepted."""


class BudgetExceeded(BastionLabError):
    """The run would pass the dataset's privacy limit. All amounts are epsilons."""

    def __init__(
        self,
        limit: float,
        spent: float,
        requested: float,
        remaining: float,
        *,
        what: str = "",
        charged: str = NOTHING,
        next: str = "",
    ) -> None:
        what = what or f"the run needs {requested:g}, {remaining:g} remain of the limit of {limit:g} ({spent:g} spent)"
        super().__init__(what, charged=charged, next=next)
        self.limit = limit
        self.spent = spent
        self.requested = requested
        self.remaining = remaining


class IncompatibleModel(BastionLabError):
    """The model holds what cannot be trained privately: which operator, in which layer, and why."""

    def __init__(
        self,
        operator: str,
        layer: str,
        reason: str,
        *,
        what: str = "",
        charged: str = NOTHING,
        next: str = "",
    ) -> None:
        place = " in ".join(part for part in (operator, layer) if part)
        super().__init__(what or (f"{place}: {reason}" if place else reason), charged=charged, next=next)
        self.operator = operator
        self.layer = layer
        self.reason = reason


class PermissionDenied(BastionLabError):
    """The dataset's owner, or the server, does not allow it."""


class AttestationError(BastionLabError):
    """The server did not prove what it must: which check, what it expected, what it saw."""

    def __init__(
        self,
        check: str,
        expected: str,
        seen: str,
        *,
        what: str = "",
        charged: str = NOTHING,
        next: str = "",
    ) -> None:
        super().__init__(what or f"check {check!r} failed: expected {expected}, saw {seen}", charged=charged, next=next)
        self.check = check
        self.expected = expected
        self.seen = seen


class NotFound(BastionLabError):
    """No such dataset, run or identity, or none that may be seen."""


class ServerUnavailable(BastionLabError):
    """The server does not answer."""


class VersionMismatch(BastionLabError):
    """Client and server do not speak the same protocol."""


class TrainingFailed(BastionLabError):
    """A run ended without weights."""


class BastionLabWarning(UserWarning):
    """What should be known, though nothing failed."""


class PrivacyWarning(BastionLabWarning):
    """What is weaker than someone may assume. Shown each time, not once per line of code."""
