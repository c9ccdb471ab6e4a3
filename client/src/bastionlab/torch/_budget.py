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

    @classmethod
    def from_message(cls, message: dataset_pb2.Budget) -> Budget:
        limited = message.HasField("limit_nano")
        return cls(
            limit=message.limit_nano / NANO if limited else None,
            spent=math.inf if message.spent_infinite else message.spent_nano / NANO,
            remaining=message.remaining_nano / NANO if limited else math.inf,
            delta=message.delta_atto / ATTO,
            runs=tuple(_entry(entry) for entry in message.runs),
        )

    def __str__(self) -> str:
        limit = "none" if self.limit is None else f"{self.limit:g}"
        remaining = "-" if self.limit is None else f"{self.remaining:g}"
        head = f"limit {limit}   spent {self.spent:g}   remaining {remaining}   delta {self.delta:g}"
        if not self.runs:
            return f"{head}\nno runs"
        rows = [(run.run, f"{run.epsilon:g}", f"{run.delta:.3g}", run.status, f"{run.created:%Y-%m-%d %H:%M}") for run in self.runs]
        return f"{head}\n{table(('run', 'eps', 'delta', 'status', 'started (UTC)'), rows)}"


def _entry(message: dataset_pb2.BudgetEntry) -> BudgetEntry:
    return BudgetEntry(
        run=message.run_id,
        epsilon=math.inf if message.infinite else message.epsilon_nano / NANO,
        delta=message.delta_atto / ATTO,
        status=message.status,
        created=datetime.fromtimestamp(message.created_unix_ms / 1000, timezone.utc),
    )
