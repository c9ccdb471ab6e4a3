"""What a dataset's privacy limit still allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

from bastionlab import errors
from bastionlab._receipts import Receipt
from bastionlab._table import table
from bastionlab.v1 import dataset_pb2

NANO = 1e9
ATTO = 1e18
# So many runs one answer lists, the newest.
_LISTED_RUNS = 100_000


@dataclass(frozen=True)
class BudgetEntry:
    """What one run was charged."""

    run: str
    epsilon: float
    delta: float
    status: str
    created: datetime


@dataclass(frozen=True)
class ScientistLimit:
    """Up to where the runs of one scientist may draw on an account."""

    scientist: str
    limit: float
    spent: float


@dataclass(frozen=True)
class Budget:
    """A dataset's account: one for all runs of everybody."""

    limit: float | None
    """None: the owner set no limit."""
    spent: float
    """Infinite once something was trained without noise."""
    remaining: float
    """What any plan whatever is sure to get."""
    delta: float
    runs: tuple[BudgetEntry, ...]
    frozen: str = ""
    """Why nothing is charged any more, and so no run started; empty where there is no such reason."""
    datasets: tuple[str, ...] = ()
    """The identifiers of all datasets that draw on this account. The owner is told, others get none."""
    scientists: tuple[ScientistLimit, ...] = ()
    """Limits for single scientists: the owner is told all, a scientist their own."""

    @classmethod
    def from_message(cls, message: dataset_pb2.Budget) -> Budget:
        limited = message.HasField("limit_nano")
        return cls(
            limit=message.limit_nano / NANO if limited else None,
            spent=math.inf if message.spent_infinite else message.spent_nano / NANO,
            remaining=message.remaining_nano / NANO if limited else math.inf,
            delta=message.delta_atto / ATTO,
            runs=tuple(_entry(entry) for entry in message.runs),
            frozen=message.frozen,
            datasets=tuple(message.datasets),
            scientists=tuple(
                ScientistLimit(each.scientist, each.limit_nano / NANO, each.spent_nano / NANO) for each in message.scientists
            ),
        )

    def __str__(self) -> str:
        limit = "none" if self.limit is None else f"{self.limit:g}"
        remaining = "-" if self.limit is None else f"{self.remaining:g}"
        parts = [f"limit {limit}   spent {self.spent:g}   remaining {remaining}   delta {self.delta:g}"]
        charged = sum(run.epsilon for run in self.runs)
        if self.spent < charged < math.inf:
            parts.append(
                f"the runs' eps add up to {charged:g}, and together they cost no more than {self.spent:g}: "
                "plan(...).obtainable is what a run of its shape could still get"
            )
        if self.frozen:
            parts.append(f"FROZEN: {self.frozen}")
        if len(self.datasets) > 1:
            parts.append(f"drawn on by the datasets {', '.join(self.datasets)}")
        if self.scientists:
            limits = [(each.scientist, f"{each.limit:g}", f"{each.spent:g}") for each in self.scientists]
            parts.append(table(("scientist", "limit", "spent"), limits))
        if not self.runs:
            return "\n".join([*parts, "no runs"])
        rows = [(run.run, f"{run.epsilon:g}", f"{run.delta:.3g}", run.status, f"{run.created:%Y-%m-%d %H:%M}") for run in self.runs]
        return "\n".join([*parts, table(("run", "eps", "delta", "status", "started (UTC)"), rows)])


def _entry(message: dataset_pb2.BudgetEntry) -> BudgetEntry:
    return BudgetEntry(
        run=message.run_id,
        epsilon=math.inf if message.infinite else message.epsilon_nano / NANO,
        delta=message.delta_atto / ATTO,
        status=message.status,
        created=datetime.fromtimestamp(message.created_unix_ms / 1000, timezone.utc),
    )


def disagreement(budget: dataset_pb2.Budget, chain: list[Receipt]) -> errors.AttestationError | None:
    """What a budget says otherwise than the receipts of its account, from the first on.

    Its limit, whether it is frozen, and each run that is charged to it. Runs of accounts that were joined are in the budget too,
    and have their receipts there; and what is spent is not the plain sum that receipts tell: the counting filters make less of it.
    """
    newest = chain[-1]
    where = f"receipt {newest.seq} of account {newest.account}"
    limit = newest._members["after"].get("limit")
    told = budget.limit_nano if budget.HasField("limit_nano") else None
    if told != limit:
        return _disagrees(f"the limit of {where}: {_in_eps(limit)}", _in_eps(told))
    if bool(budget.frozen) != newest.frozen:
        frozen = {True: "a frozen account", False: "an account that is not frozen"}
        return _disagrees(f"{frozen[newest.frozen]}, as in {where}", frozen[bool(budget.frozen)])
    charged = {each.run: each.seq for each in chain if each.type == "reserve"}
    for each in chain:
        if each.type == "release":
            charged.pop(each.run, None)
    for run in charged.keys() - {entry.run_id for entry in budget.runs}:
        if len(budget.runs) < _LISTED_RUNS:
            return _disagrees(f"the run {run}, charged in receipt {charged[run]} of account {newest.account}", "no such run")
    return None


def _in_eps(nano: int | None) -> str:
    return "none" if nano is None else f"{nano / NANO:.12g}"


def _disagrees(expected: str, seen: str) -> errors.AttestationError:
    return errors.AttestationError(
        "sums", expected, f"{seen} in the budget", next="ask the operator of the server; what it signed is in the receipts"
    )
