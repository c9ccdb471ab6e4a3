"""What was sent of a learner's module, so that each form of it is sent once, and none is trained in the place of another."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from bastionlab import errors
from bastionlab.torch._fingerprint import Fingerprint, last_loaded
from bastionlab.torch._report import CapabilityReport
from bastionlab.torch._run import Run
from bastionlab.torch._sending import Sending


@dataclass
class _Sent:
    fingerprint: Fingerprint
    report: CapabilityReport
    runs: set[str] = field(default_factory=set)
    """The finished runs that it was trained in."""


class SentModels:
    """One module, and what the server has of it."""

    def __init__(self, model: torch.nn.Module, sending: Sending) -> None:
        self._model = model
        self._sending = sending
        self._sent: list[_Sent] = []

    def report(self) -> CapabilityReport:
        """On the module as it is now; sends it where the server does not have it so."""
        now = Fingerprint.of(self._model)
        sent = self._find(now, exactly=False)
        if sent is None:
            sent = _Sent(now, self._sending.send(self._model))
            self._sent.append(sent)
        return sent.report

    def finished(self, run: Run) -> None:
        for sent in self._sent:
            if sent.report.model == run.model:
                sent.runs.add(run.id)

    def require_unchanged_since(self, run: Run) -> None:
        """Refuses to go on from a run's weights where the module holds others by now, or has become another."""
        sent = self._find(Fingerprint.of(self._model), exactly=True)
        if sent is None or sent.report.model != run.model:
            raise errors.InvalidArgument(
                f"the model was changed since it was sent, and fit would go on from the run {run.id} without the change",
                next="make a new RemoteLearner of it, or begin anew from it with fit(..., restart=True)",
            )

    def _find(self, now: Fingerprint, exactly: bool) -> _Sent | None:
        """:param exactly: once we have loaded a run's weights into the module, those it was sent with are a change too"""
        loaded = last_loaded(self._model)
        for sent in reversed(self._sent):
            ours = loaded.values if loaded is not None and loaded.run in sent.runs else None
            known = {sent.fingerprint.values if ours is None or not exactly else ours, ours}
            if now.is_like(sent.fingerprint) and now.values in known:
                return sent
        return None
