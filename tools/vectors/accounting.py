"""Computes vectors/accounting/random_plans.csv and random_mixed.csv: what random plans cost by dp-accounting.

    python -m venv build/vectors && build/vectors/bin/pip install -r requirements/vectors.txt
    build/vectors/bin/python tools/vectors/accounting.py            # writes both files
    build/vectors/bin/python tools/vectors/accounting.py --check    # recomputes their values, and fails if one differs

The values are those of its pessimistic loss distributions.

How a plan is drawn, from a seed per row: q log-uniform in [1e-5, 1], steps log-uniform up to 50,000, delta a power of ten
from 1e-5 to 1e-9, and a target eps log-uniform in [0.02, 50]. The noise is the one whose Renyi bound is the target, to four
digits; the loss distribution shows less.

How its grid is chosen: 1e-4, as is usual. A grid of step h adds to eps in proportion to h^2, so the value at h less the
value at h/2 is three quarters of what h has added. Where that is more than 2e-5, the step is divided until what is left is
below it.

What is replaced, by the next draw of the same row: plans with an eps below 1e-3 or above 50 on the usual grid; plans whose
composed law would have more than 6 million points, which takes minutes; plans on which dp-accounting fails or finds no finite
eps. The column draw counts them: 0 is the first.
"""

import argparse
import csv
import json
import logging
import math
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from dp_accounting.pld import privacy_loss_distribution as pld

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "accounting"
USUAL_STEP = 1e-4
GRID_ERROR = 2e-5
MOST_POINTS = 6e6
PROCESSES = 2
PLANS, MIXED = 500, 20
RUNS = "runs_json(q,sigma,T)"

Run = tuple[float, float, int]  # sample rate, noise multiplier, steps
Row = dict[str, str]


class Unfit(Exception):
    """The accountant cannot do this plan, or not in reasonable time."""


def epsilon(runs: Iterable[Run], delta: float, step: float) -> float:
    """The joint plan's pessimistic eps on a grid of that step; both directions, the larger one."""
    whole = None
    for q, sigma, count in runs:
        if loss_range(q, sigma, count) / step > MOST_POINTS:
            raise Unfit("too many points")
        once = pld.from_gaussian_mechanism(sigma, value_discretization_interval=step, sampling_prob=q, use_connect_dots=True)
        phase = once.self_compose(count)
        whole = phase if whole is None else whole.compose(phase)
    assert whole is not None, "a plan has a run"
    eps = float(whole.get_epsilon_for_delta(delta))
    if not math.isfinite(eps):
        raise Unfit("no finite eps")
    return eps


def loss_range(q: float, sigma: float, count: int) -> float:
    """About how long the composed law is: one step's range, or ten deviations of the sum to either side, whichever is more."""
    once = math.log1p(q * math.expm1(min(10 / sigma + 0.5 / sigma**2, 700))) - math.log1p(-min(q, 1 - 1e-9)) * (q < 1)
    spread = q * math.sqrt(count * math.expm1(min(1 / sigma**2, 700)))
    return max(once, min(once * count, 20 * spread + spread**2))


def refined(runs: list[Run], delta: float) -> tuple[float, float]:
    """Eps, and the grid's step with which what the grid adds is small."""
    step = USUAL_STEP
    eps = epsilon(runs, delta, step)
    if not 1e-3 <= eps <= 50:
        raise Unfit("eps out of range")
    while True:
        finer = epsilon(runs, delta, step / 2)
        added = (eps - finer) * 4 / 3
        if added <= GRID_ERROR:
            return eps, step
        step /= max(2, 2 ** math.ceil(math.log2(math.sqrt(added / GRID_ERROR))))
        eps = epsilon(runs, delta, step)


def renyi_epsilon(q: float, sigma: float, count: int, delta: float) -> float:
    """A Renyi bound by plain integration: good enough to choose noise by."""
    t = np.linspace(-9, 9, 1801)
    best = math.inf
    for order in np.concatenate([1 + np.geomspace(0.05, 1, 12), np.geomspace(2.2, 3000, 60)]):
        moments = []
        for centre in (0.0, 1.0, float(order)):  # the integrand's mass lies near one of them
            x = centre + sigma * t
            ratio = np.logaddexp(math.log1p(-q) if q < 1 else -math.inf, math.log(q) + (x - 0.5) / sigma**2)
            log = order * ratio - x**2 / (2 * sigma**2) - 0.5 * math.log(2 * math.pi)
            moments.append(float(np.logaddexp.reduce(log)) + math.log(t[1] - t[0]))
        moment = max(0.0, max(moments))
        best = min(best, (count * moment + math.log(1 / delta) - math.log(order)) / (order - 1) + math.log1p(-1 / order))
    return best


def noise_for(q: float, count: int, target: float, delta: float) -> float:
    low, high = 0.15, 1e5
    for _ in range(40):
        middle = math.sqrt(low * high)
        if renyi_epsilon(q, middle, count, delta) > target:
            low = middle
        else:
            high = middle
    return float(f"{high:.4g}")


def draw(random: np.random.Generator, runs: int) -> tuple[list[Run], float]:
    delta = float(f"1e-{random.integers(5, 10)}")
    target = math.exp(random.uniform(math.log(0.02), math.log(50)))
    plan = []
    for _ in range(runs):
        q = float(f"{10 ** random.uniform(-5, 0):.4g}")
        count = int(50_000 ** random.uniform())
        plan.append((q, noise_for(q, count, target / math.sqrt(runs), delta), count))
    return plan, delta


def found(seed: list[int], runs: Callable[[np.random.Generator], int]) -> tuple[list[Run], float, float, float, int]:
    """The first draw of a row that can be computed."""
    random = np.random.default_rng(seed)
    attempt = 0
    while True:
        plan, delta = draw(random, runs(random))
        try:
            return plan, delta, *refined(plan, delta), attempt
        except (Unfit, ValueError, OverflowError, MemoryError):
            attempt += 1


def plan_row(index: int) -> Row:
    [(q, sigma, count)], delta, eps, step, attempt = found([1, index], lambda _: 1)
    row = {"id": index + 1, "q": q, "sigma": sigma, "T": count, "delta": delta, "eps": f"{eps:.6f}", "step": step, "draw": attempt}
    return {name: str(value) for name, value in row.items()}


def mixed_row(index: int) -> Row:
    plan, delta, eps, step, attempt = found([2, index], lambda random: int(random.integers(2, 5)))
    row = {"id": index + 1, RUNS: json.dumps(plan), "delta": delta, "eps": f"{eps:.6f}", "step": step, "draw": attempt}
    return {name: str(value) for name, value in row.items()}


def recomputed(row: Row) -> float:
    runs = json.loads(row[RUNS]) if RUNS in row else [(float(row["q"]), float(row["sigma"]), int(row["T"]))]
    return epsilon(runs, float(row["delta"]), float(row["step"]))


def write(name: str, make: Callable[[int], Row], count: int, pool: ProcessPoolExecutor) -> None:
    rows = []
    for row in pool.map(make, range(count), chunksize=1):
        rows.append(row)
        print(f"\r{name}: {len(rows)} of {count}", end="", file=sys.stderr)
    print(file=sys.stderr)
    with (FOLDER / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def check(name: str, count: int, pool: ProcessPoolExecutor) -> bool:
    """The values of a file, recomputed: to the digits it has, and the last bits of a transform that may differ between machines."""
    with (FOLDER / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    good = len(rows) == count
    for row, value in zip(rows, pool.map(recomputed, rows, chunksize=4), strict=True):
        if not abs(value - float(row["eps"])) <= 2e-6 * max(1.0, value):
            print(f"{name} row {row['id']}: {row['eps']}, recomputed {value:.6f}", file=sys.stderr)
            good = False
    print(f"{name}: {len(rows)} rows {'agree' if good else 'DO NOT AGREE'}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="recompute the files' values instead of writing them")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    with ProcessPoolExecutor(PROCESSES) as pool:
        if arguments.check:
            results = [check("random_mixed.csv", MIXED, pool), check("random_plans.csv", PLANS, pool)]
            return 0 if all(results) else 1
        write("random_mixed.csv", mixed_row, MIXED, pool)
        write("random_plans.csv", plan_row, PLANS, pool)
    return 0


if __name__ == "__main__":
    sys.exit(main())
