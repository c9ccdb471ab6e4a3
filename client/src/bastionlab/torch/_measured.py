"""What the server measured on private records and released with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from bastionlab.torch._budget import ATTO, NANO
from bastionlab.v1 import training_pb2


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch of a run.

    >>> print(EpochMetrics(epoch=1, steps=100, loss=0.4312, standard_error=0.049))
    epoch 1: loss 0.43 +- 0.05
    """

    epoch: int
    steps: int
    """How many steps the loss is the mean of."""
    loss: float
    """Of records whose losses were clamped to the plan's bound, with noise."""
    standard_error: float
    """Of the noise alone: how the steps sampled comes on top."""

    @classmethod
    def from_message(cls, message: training_pb2.EpochMetrics) -> EpochMetrics:
        return cls(message.epoch, message.steps, message.loss, message.standard_error)

    def __str__(self) -> str:
        return f"epoch {self.epoch}: loss {with_error(self.loss, self.standard_error)}"


@dataclass(frozen=True)
class TestResult:
    """What a test measured, and what it cost. ``float(result)`` is its value.

    >>> print(TestResult(metric="accuracy", value=0.9134, standard_error=0.0041, epsilon=0.5, delta=1e-6, run="a1"))
    accuracy 0.913 +- 0.004 (eps 0.5)
    """

    __test__: ClassVar[bool] = False  # no test of pytest's

    metric: str
    value: float
    """The mean over all declared slots, empty ones counted as zero, with noise; it may lie a little outside of what is possible."""
    standard_error: float
    """Of the noise alone: that of a small dataset comes on top."""
    epsilon: float
    """Infinite for a test without noise."""
    delta: float
    run: str
    """The identifier of the test's run."""

    @classmethod
    def from_message(cls, run: training_pb2.Run) -> TestResult:
        return cls(
            metric=run.plan.metric,
            value=run.result.value,
            standard_error=run.result.standard_error,
            epsilon=run.plan.epsilon_nano / NANO if run.plan.private else math.inf,
            delta=run.plan.delta_atto / ATTO,
            run=run.id,
        )

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        price = "without noise" if math.isinf(self.epsilon) else f"eps {self.epsilon:g}"
        return f"{self.metric} {with_error(self.value, self.standard_error)} ({price})"


def with_error(value: float, standard_error: float) -> str:
    """To the first digit of the error."""
    if not standard_error > 0:
        return f"{value:.4g}"
    digits = max(0, -math.floor(math.log10(standard_error)))
    if round(standard_error, digits) >= 10 ** (1 - digits):  # 0.096 is 0.1 to one digit
        digits = max(0, digits - 1)
    return f"{value:.{digits}f} +- {standard_error:.{digits}f}"
