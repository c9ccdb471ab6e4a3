"""The price of a run, before anything is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bastionlab.torch._budget import ATTO, NANO
from bastionlab.v1 import training_pb2


@dataclass(frozen=True)
class TrainingPlan:
    """What a run would do and cost. The server authorises and writes exactly this price."""

    nb_epochs: float
    steps: int
    batch_size: int
    """The expected size of a Poisson-sampled step."""
    max_batch_size: int
    """Records in memory in one pass."""
    sample_rate: float
    noise_multiplier: float
    max_grad_norm: float
    epsilon: float
    """Infinite for a run without noise."""
    delta: float
    remaining_after: float
    """Infinite where the owner set no limit."""
    obtainable: float
    """The largest eps that a run of this shape could get when it was planned, by whichever way of adding up admits most; it may be
    more than what remains. Infinite where the owner set no limit; 0 where the server does not say."""
    loss_bound: float
    """Up to where a record's loss counts in the epochs' losses; 0: none are released."""
    release_mode: str
    """"certified" or "exact"; "plain" for a run without noise."""
    eta: float
    """One record moves a step's sum by at most ``max_grad_norm * (1 + eta)``, and the noise is scaled to that."""
    grid_error: float
    """What rounding to the grid of integers may change of one record's contribution, in units of ``max_grad_norm``."""
    passes_per_step: int
    """In constant time: as many in every step; 0: as many as a sample needs."""
    device: str
    """What the run computes on: "cpu" or "cuda"."""
    seconds: float
    """An estimate; 0 where the server has none, as of a GPU."""
    warnings: tuple[str, ...]
    charge: bytes
    """What is authorised and written, byte for byte."""

    @classmethod
    def from_message(cls, message: training_pb2.Plan) -> TrainingPlan:
        return cls(
            nb_epochs=message.nb_epochs,
            steps=message.steps,
            batch_size=message.batch_size,
            max_batch_size=message.max_batch_size,
            sample_rate=message.sample_rate,
            noise_multiplier=message.noise_multiplier,
            max_grad_norm=message.max_grad_norm,
            epsilon=message.epsilon_nano / NANO if message.private else math.inf,
            delta=message.delta_atto / ATTO,
            remaining_after=math.inf if message.unlimited else message.remaining_after_nano / NANO,
            obtainable=math.inf if message.unlimited else message.obtainable_nano / NANO,
            loss_bound=message.loss_bound,
            release_mode=message.release_mode,
            eta=message.eta,
            grid_error=message.grid_error,
            passes_per_step=message.passes_per_step,
            device=message.device or "cpu",
            seconds=message.seconds,
            warnings=tuple(message.warnings),
            charge=message.charge,
        )

    def __str__(self) -> str:
        lines = [
            f"epochs            {self.nb_epochs:g}",
            f"steps             {self.steps} of {self.batch_size} records on average (rate {self.sample_rate:.4g})",
            f"records per pass  {self.max_batch_size}"
            + (f", {self.passes_per_step} passes in every step" if self.passes_per_step else ""),
        ]
        if math.isinf(self.epsilon):
            lines.append("privacy           none: no clipping, no noise")
        else:
            lines += [
                f"noise multiplier  {self.noise_multiplier:.4g}, gradients clipped at {self.max_grad_norm:g}",
                f"epsilon           {self.epsilon:g} at delta {self.delta:.3g}",
            ]
        if self.loss_bound:
            lines.append(f"losses            of every epoch, a record's up to {self.loss_bound:.3g}")
        if not math.isinf(self.remaining_after):
            lines.append(f"remaining after   {self.remaining_after:g}")
        if 0 < self.obtainable < math.inf:
            lines.append(f"obtainable        eps {self.obtainable:g} by a run of this shape")
        bound = "" if math.isinf(self.epsilon) else f", eta {self.eta:.2g}, grid error {self.grid_error:.2g}"
        lines.append(f"release mode      {self.release_mode}{bound}")
        if self.device != "cpu":
            lines.append(f"device            {self.device}")
        lines.append(f"time              {f'about {_duration(self.seconds)}' if self.seconds else 'not known'}")
        return "\n".join(lines + [f"warning: {text}" for text in self.warnings])


def price_of_test(plan: training_pb2.Plan, dataset: str) -> str:
    """What a test on the dataset spends, in words."""
    if not plan.private:
        return f"testing on {dataset!r} without noise"
    after = "" if plan.unlimited else f", after it {plan.remaining_after_nano / NANO:g} remain"
    return f"testing on {dataset!r} spends eps {plan.epsilon_nano / NANO:g}{after}"


def epoch_ends(plan: training_pb2.Plan) -> list[int]:
    """The step count at which each epoch ends; the last is the plan's steps."""
    epochs = max(1, math.ceil(plan.nb_epochs))
    declared = round(plan.batch_size / plan.sample_rate)
    # In integers: a rounding error would put a step into the wrong bar.
    return [min(plan.steps, -(-epoch * declared // plan.batch_size)) for epoch in range(1, epochs)] + [plan.steps]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
