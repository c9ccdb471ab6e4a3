"""One training run on the server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, overload

import torch

from bastionlab import errors
from bastionlab._receipts import Receipt
from bastionlab._session import Session
from bastionlab.torch._fingerprint import remember_loaded
from bastionlab.torch._later import comes_later
from bastionlab.torch._measured import EpochMetrics, TestResult
from bastionlab.torch._plan import TrainingPlan
from bastionlab.torch._receipts_of_runs import checked_receipts, collect, newest_receipt
from bastionlab.torch._watch import ENDED, follow
from bastionlab.torch._weights import as_module, download, load_into, under_all_names
from bastionlab.v1 import training_pb2


class Run:
    """A run: it lives on the server, whether or not anybody watches.

    >>> run = learner.fit(nb_epochs=1, eps=1.0)
    >>> run.status
    'completed'
    >>> sorted(client.torch.run(run.id).get_model())
    ['bias', 'weight']
    """

    def __init__(self, session: Session, message: training_pb2.Run, names: Sequence[Sequence[str]] = ()) -> None:
        """:param names: of each of the module's parameters, all that it has, where the module is known"""
        self._session = session
        self._message = message
        self._names = names

    @property
    def id(self) -> str:
        return self._message.id

    @property
    def name(self) -> str:
        return self._message.name

    @property
    def description(self) -> str:
        return self._message.description

    @property
    def dataset(self) -> str:
        """The identifier of the dataset."""
        return self._message.dataset_id

    @property
    def model(self) -> str:
        """The identifier of the model as it was sent."""
        return self._message.model_id

    @property
    def created(self) -> datetime:
        return datetime.fromtimestamp(self._message.created_unix_ms / 1000, timezone.utc)

    @property
    def plan(self) -> TrainingPlan:
        """What was priced, authorised and written."""
        return TrainingPlan.from_message(self._message.plan)

    @property
    def status(self) -> str:
        """waiting, queued, running, completed, failed or cancelled, as of now."""
        if self._message.status not in ENDED:
            request = training_pb2.GetRunRequest(id=self.id)
            self._message = self._session.call(self._session.training.GetRun, request)
        return status_name(self._message.status)

    def wait(self, progress: bool = True) -> Run:
        """Follows the run to its end; TrainingFailed where that is neither a trained model nor a test's result."""
        if self._message.status not in ENDED:
            # Before and after: what a run was charged is in the book though nobody waits for its end.
            collect(self._session, self._message)
            self._message = follow(self._session, self._message, progress)
            collect(self._session, self._message)
        self._require_completed()
        return self

    def cancel(self) -> None:
        """Stops the run. It gives no weights, and what it was charged stays charged once it had the data."""
        self._message = self._session.call(self._session.training.CancelRun, training_pb2.CancelRunRequest(id=self.id))

    @property
    def history(self) -> list[EpochMetrics]:
        """The loss of each epoch that has ended, as of now; empty where the run was started with metrics=False."""
        _ = self.status
        return [EpochMetrics.from_message(each) for each in self._message.history.epochs]

    @property
    def result(self) -> TestResult:
        """What a test measured, once it has completed."""
        if not self._message.plan.metric:
            raise errors.InvalidArgument(f"the run {self.id} is no test", next="get_model() gives what it trained")
        if self.status not in ("completed", "failed", "cancelled"):
            raise errors.InvalidArgument(f"the test {self.id} is {self.status}", next="wait() for its end")
        self._require_completed()
        return TestResult.from_message(self._message)

    @property
    def receipt(self) -> Receipt:
        """The newest that the server signed of this run: once it has ended, with what came of it.

        >>> run = learner.fit(nb_epochs=1, eps=1.0)
        >>> run.receipt.outcome
        'completed'
        """
        return newest_receipt(self._session, self._message)

    @property
    def receipts(self) -> list[Receipt]:
        """All that the server signed of this run, in order: its price, that it got the data, how it ended.

        >>> [receipt.type for receipt in learner.fit(nb_epochs=1, eps=1.0).receipts]
        ['reserve', 'data', 'settle']
        """
        return checked_receipts(self._session, self._message)

    @property
    def report(self) -> Any:
        """Not yet: comes in a later release."""
        raise comes_later("report", "the learner's check() says what the server understood of the model")

    @property
    def interruptions(self) -> int:
        """How often an attempt at the run ended without a result. The owner of its dataset is told; others read 0."""
        return int(self._message.interruptions)

    def approve(self) -> None:
        """Lets a run that waits make one more attempt. For the owner of its dataset.

        A run waits when attempts at it ended without a result more often than it is repeated unasked. That may be an accident, or a
        model made to end itself until it likes what it got: one attempt more is one choice more.
        """
        request = training_pb2.ApproveRunRequest(id=self.id)
        self._message = self._session.call(self._session.training.ApproveRun, request, concerns=self.dataset)

    def deny(self, reason: str = "") -> None:
        """Ends a run that waits, without weights and charged in full. For the owner of its dataset; its author reads the reason."""
        self._message = self._session.call(self._session.training.DenyRun, training_pb2.DenyRunRequest(id=self.id, reason=reason))

    @overload
    def get_model(self, model: None = None, progress: bool = True) -> dict[str, torch.Tensor]: ...
    @overload
    def get_model(self, model: torch.nn.Module, progress: bool = True) -> torch.nn.Module: ...
    def get_model(self, model: torch.nn.Module | None = None, progress: bool = True) -> dict[str, torch.Tensor] | torch.nn.Module:
        """The trained parameters by name; or the module given, with them loaded.

        Frozen parameters and buffers stayed as they were sent, and are not among them; ``load_state_dict(..., strict=False)`` takes
        what there is. A tied parameter comes under each of its names from a run that this process started, else under the first. A
        module given keeps its own values where nothing was trained: let them be those that it was sent with.
        """
        if model is not None:
            as_module(model)
        if self.status not in ("completed", "failed", "cancelled"):
            raise errors.InvalidArgument(f"the run {self.id} is {self.status}: it has no weights yet", next="wait() for its end")
        self._require_completed()
        weights = download(self._session, self.id, progress)
        if model is None:
            return under_all_names(weights, self._names)
        load_into(model, weights)
        remember_loaded(model, self.id)
        return model

    def __repr__(self) -> str:
        return f"Run({self.id}, {status_name(self._message.status)})"

    def _require_completed(self) -> None:
        if self._message.status == training_pb2.RUN_STATUS_COMPLETED:
            return
        status = status_name(self._message.status)
        what, again = ("test", "test()") if self._message.plan.metric else ("run", "fit()")
        why = "".join(f": {text}" for text in (self._message.failure, self._message.denial) if text)
        raise errors.TrainingFailed(
            f"the {what} {self.id} {'was cancelled' if status == 'cancelled' else 'failed'}{why}",
            charged=self._message.spent or "see the dataset's budget()",
            next=f"start another with {again}",
        )


def status_name(status: training_pb2.RunStatus) -> str:
    """A newer server may have one that this client does not know."""
    known = status in training_pb2.RunStatus.values()
    return str(training_pb2.RunStatus.Name(status)).removeprefix("RUN_STATUS_").lower() if known else f"status {status}"
