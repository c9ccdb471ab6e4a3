"""What a dataset's privacy limit still allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

from bastionlab._table import table
from bastionlab.v1 import dataset_pb2

NANO = 1e9
ATTO = 1e18


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
