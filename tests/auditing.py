"""Lower bounds on epsilon from what an auditor sees: how well inclusion can be told from the scores of canaries.

Two of them. `one_run` holds against any mechanism (Steinke, Nasr and Jagielski, Privacy auditing with one training run, 2023,
arXiv 2305.08846). `gaussian` takes each canary for a trial of its own and the mechanism for a Gaussian one (Nasr et al., Tight
auditing of differentially private machine learning, 2023, arXiv 2302.07956): canaries that have a coordinate each are such trials,
and it is nearly tight. `any_mechanism` needs the trials only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

LARGEST = 30.0


def _largest(holds: Callable[[float], bool], steps: int = 50) -> float:
    """The largest value that is refuted, where all smaller ones are."""
    low, high = 0.0, LARGEST
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def p_value(canaries: int, guesses: int, correct: int, eps: float, delta: float) -> float:
    """At most how likely so many correct guesses are if the mechanism is (eps, delta)-private: theorem 5.2 of the paper."""
    rate = 1 / (1 + math.exp(-eps))
    at_least = float(stats.binom.sf(correct - 1, guesses, rate))
    below = np.arange(1, correct + 1)
    shortfall = np.cumsum(stats.binom.pmf(correct - below, guesses, rate))
    alpha = float((shortfall / below).max()) if correct else 0.0
    return min(1.0, at_least + 2 * canaries * delta * alpha)


@dataclass(frozen=True)
class Audit:
    scores: np.ndarray
    included: np.ndarray  # bool
    delta: float
    level: float = 1e-3  # a sound mechanism exceeds its epsilon in so many audits at most

    def one_run(self, guesses: int, level: float = 0.01) -> float:
        """Guesses that the highest scores are in, the lowest out, and nothing of the others. What delta adds over all canaries must
        lie below the level."""
        order, half = np.argsort(self.scores), guesses // 2
        correct = int(self.included[order[-half:]].sum() + (~self.included[order[:half]]).sum())
        return _largest(lambda eps: p_value(self.scores.size, 2 * half, correct, eps, self.delta) < level)

    def gaussian(self, threshold: float) -> float:
        true, false = self._rates(threshold)
        separation = float(stats.norm.ppf(true) - stats.norm.ppf(false))
        return epsilon_of_gaussian(separation, self.delta) if separation > 0 else 0.0

    def any_mechanism(self, threshold: float) -> float:
        true, false = self._rates(threshold)
        return max(0.0, math.log(max(true - self.delta, 1e-300) / false))

    def _rates(self, threshold: float) -> tuple[float, float]:
        """A lower bound on how often an included canary is above, an upper one on how often another is (Clopper and Pearson)."""
        above, level = self.scores > threshold, self.level / 2
        hits, trials = int(above[self.included].sum()), int(self.included.sum())
        false_hits, others = int(above[~self.included].sum()), int((~self.included).sum())
        true = float(stats.beta.ppf(level, hits, trials - hits + 1)) if hits else 0.0
        false = float(stats.beta.ppf(1 - level, false_hits + 1, others - false_hits)) if false_hits < others else 1.0
        return true, false


def epsilon_of_gaussian(separation: float, delta: float) -> float:
    """Of a release that moves by `separation` deviations (Balle and Wang 2018)."""

    def delta_of(eps: float) -> float:
        a, b = separation / 2 - eps / separation, -separation / 2 - eps / separation
        return float(stats.norm.cdf(a) - math.exp(eps + stats.norm.logcdf(b)))

    return _largest(lambda eps: delta_of(eps) > delta)
