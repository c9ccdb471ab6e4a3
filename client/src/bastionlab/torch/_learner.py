"""A scientist's model beside a dataset that the scientist never sees."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import torch

from bastionlab import errors
from bastionlab._notices import notice
from bastionlab._numbers import count, positive
from bastionlab._session import Session
from bastionlab.torch._dataset import RemoteDataset
from bastionlab.torch._later import comes_later
from bastionlab.torch._measured import TestResult
from bastionlab.torch._plan import TrainingPlan, price_of_test
from bastionlab.torch._report import CapabilityReport
from bastionlab.torch._run import Run
from bastionlab.torch._sending import Sending
from bastionlab.torch._sent_models import SentModels
from bastionlab.torch._start import start
from bastionlab.torch._weights import all_names, as_module
from bastionlab.torch.optimizer import Optimizer
from bastionlab.v1 import training_pb2

DEVICES = ("cpu", "cuda")
LOSSES = ("bce_with_logits", "cross_entropy", "l1", "l2", "mse")


class RemoteLearner:
    """A model and how it is trained. ``client.torch.RemoteLearner(...)`` makes one; nothing is sent before it is needed.

    >>> print(learner.plan(nb_epochs=1, eps=1.0).epsilon)
    1.0
    >>> run = learner.fit(nb_epochs=1, eps=1.0)
    >>> learner.get_model() is model
    True
    """

    def __init__(
        self,
        session: Session,
        model: torch.nn.Module,
        remote_dataset: RemoteDataset,
        loss: str,
        max_batch_size: int,
        optimizer: Optimizer,
        *,
        model_name: str | None,
        description: str,
        batch_size: int | None,
        max_grad_norm: float,
        device: str,
        metrics: bool,
        release: str | None,
        constant_time: bool,
        progress: bool,
    ) -> None:
        if not isinstance(remote_dataset, RemoteDataset):
            raise errors.InvalidArgument(
                f"remote_dataset is a {type(remote_dataset).__name__}", next="take one of client.torch.list_remote_datasets()"
            )
        if loss not in LOSSES:
            raise errors.InvalidArgument(f"there is no loss {loss!r}", next=f"choose one of {', '.join(LOSSES)}")
        if not isinstance(optimizer, Optimizer):
            raise errors.InvalidArgument(
                f"optimizer is a {type(optimizer).__name__}", next="use bastionlab.torch.Adam, AdamW or SGD, without parameters"
            )
        if device not in DEVICES:
            raise errors.InvalidArgument(f"there is no device {device!r}", next=f"choose one of {', '.join(DEVICES)}")
        self.model = as_module(model)
        self.remote_dataset = remote_dataset
        self.loss = loss
        self.name = type(model).__name__ if model_name is None else model_name
        self.description = description
        self._session = session
        self._progress = progress
        self._sent = SentModels(self.model, Sending(session, remote_dataset, loss, self.name, description, progress))
        self._optimizer = optimizer
        # What does not change from run to run.
        self._settings = training_pb2.TrainingRequest(
            dataset_id=remote_dataset.identifier,
            max_batch_size=count("max_batch_size", max_batch_size),
            max_grad_norm=positive("max_grad_norm", max_grad_norm),
            batch_size=None if batch_size is None else count("batch_size", batch_size),
            metrics=bool(metrics),
            release=release or "",
            constant_time=constant_time,
            device=device,
        )
        # The last run whose weights there are, and the one that was started after it and not seen to end.
        self._completed: Run | None = None
        self._started: Run | None = None

    def check(self) -> CapabilityReport:
        """Sends the model, once and again after a change, and says what the server understood of it. Costs nothing."""
        return self._sent.report()

    def plan(
        self,
        nb_epochs: float,
        eps: float | None = None,
        *,
        batch_size: int | None = None,
        max_batch_size: int | None = None,
        lr: float | None = None,
        max_grad_norm: float | None = None,
        delta: float | None = None,
    ) -> TrainingPlan:
        """What fit with the same arguments would do and cost. Costs nothing."""
        overrides = {"batch_size": batch_size, "max_batch_size": max_batch_size, "max_grad_norm": max_grad_norm, "delta": delta}
        request = self._request(nb_epochs, eps, lr, overrides)
        request.model_id = self.check().model
        return self._price(request)

    def fit(
        self,
        nb_epochs: float,
        eps: float | None = None,
        *,
        resume: bool = False,
        restart: bool = False,
        batch_size: int | None = None,
        max_batch_size: int | None = None,
        lr: float | None = None,
        max_grad_norm: float | None = None,
        delta: float | None = None,
    ) -> Run:
        """Trains, and returns when that is done. A second fit goes on from the last finished weights.

        Ctrl-C leaves the run running; the next fit goes on from it once it is done. The bars show each epoch's loss, with the
        standard error that its noise makes; the run's history has them all.

        :param eps: the price of the whole run; None: without noise, on a dataset without a limit only
        :param restart: begin with the weights that the model had when it was sent, or was given since by anybody but get_model
        """
        if resume:
            raise comes_later("resume", "fit again: it goes on from the last finished weights")
        overrides = {"batch_size": batch_size, "max_batch_size": max_batch_size, "max_grad_norm": max_grad_norm, "delta": delta}
        request = self._request(nb_epochs, eps, lr, overrides)
        self._settle()
        if self._completed is not None and not restart:
            self._sent.require_unchanged_since(self._completed)
            request.continue_run_id = self._completed.id
        request.model_id = self.check().model
        plan = self._price(request)
        for text in plan.warnings:
            notice(text)
        starting = training_pb2.StartTrainingRequest(
            request=request, charge=plan.charge, name=self.name, description=self.description
        )
        # Remembered before it is waited for: who stops waiting has paid for it all the same.
        started = start(self._session, self._session.training.StartTraining, starting)
        run = self._started = Run(self._session, started, all_names(self.model))
        run.wait(progress=self._progress)
        self._settle()
        return run

    def test(self, dataset: RemoteDataset | None = None, metric: str = "accuracy", eps: float | None = None) -> TestResult:
        """Measures the weights of the last finished run, or before the first the model's own, without dropout.

        Each record counts between 0 and 1 (a loss up to its bound). The result is the mean over the declared slots plus noise, and
        its standard error is that of the noise.

        :param dataset: None: the test set that was uploaded beside the learner's dataset
        :param metric: accuracy (with cross_entropy or bce_with_logits), or a loss
        :param eps: the price, charged to the tested dataset's own account; None: without noise, on a dataset without a limit only

        >>> print(learner.test(dataset=learner.remote_dataset, eps=1.0))
        accuracy 0.75 +- 0.02 (eps 1)
        """
        tested = self._tested(dataset)
        request = training_pb2.TestRequest(dataset_id=tested.identifier, metric=metric)
        if eps is not None:
            request.epsilon = positive("eps", eps)
        elif tested.privacy_limit is not None:
            raise errors.InvalidArgument(
                f"eps is missing: the tested dataset has a limit of {tested.privacy_limit:g}",
                next="give test the part of it that this test may spend",
            )
        self._settle()
        if self._completed is not None:
            self._sent.require_unchanged_since(self._completed)
            request.weights_run_id = self._completed.id
        request.model_id = self.check().model
        plan = self._session.call(self._session.training.PlanTest, request)
        for text in plan.warnings:
            notice(text)
        if self._progress:
            sys.stderr.write(f"{price_of_test(plan, tested.name)}\n")
        starting = training_pb2.StartTestRequest(request=request, charge=plan.charge, name=self.name, description=self.description)
        run = Run(self._session, start(self._session, self._session.training.StartTest, starting))
        return run.wait(progress=self._progress).result

    def rehearse(self) -> Any:
        """Not yet: comes in a later release."""
        raise comes_later("rehearse", "check() and plan() cost nothing")

    @property
    def recorder(self) -> Any:
        """Not yet: comes in a later release."""
        raise comes_later("recorder", "the run that fit() returns has a history")

    def get_model(self) -> torch.nn.Module:
        """The module given to this learner, with the weights of the last finished run."""
        self._settle()
        if self._completed is None:
            raise errors.InvalidArgument(
                "nothing was trained yet", next="call fit() first, or client.torch.run(id).get_model(model)"
            )
        return self._completed.get_model(self.model, progress=self._progress)

    def __repr__(self) -> str:
        return f"RemoteLearner({self.name!r} on {self.remote_dataset.name!r})"

    def _tested(self, dataset: RemoteDataset | None) -> RemoteDataset:
        if dataset is not None and not isinstance(dataset, RemoteDataset):
            raise errors.InvalidArgument(
                f"dataset is a {type(dataset).__name__}", next="give a dataset of the server, or get_model() and test it here"
            )
        found = self.remote_dataset.test_dataset if dataset is None else dataset
        if found is None:
            raise errors.NotFound(
                f"no test set was uploaded beside {self.remote_dataset.name!r}",
                next="name a dataset to test on; its owner can upload one with RemoteDataset(train, test_dataset=...)",
            )
        return found

    def _settle(self) -> None:
        """Asks how the last run ended that nobody saw end."""
        run = self._started
        if run is None:
            return
        status = run.status
        if status == "completed":
            self._completed = run
            self._sent.finished(run)
        elif status not in ("failed", "cancelled"):
            raise errors.InvalidArgument(
                f"the run {run.id} that this learner started is {status}",
                charged="nothing more than when it was started",
                next=f'client.torch.run("{run.id}") finds it: wait() for its end, or cancel() it',
            )
        self._started = None

    def _price(self, request: training_pb2.TrainingRequest) -> TrainingPlan:
        return TrainingPlan.from_message(self._session.call(self._session.training.PlanTraining, request))

    def _request(
        self, nb_epochs: float, eps: float | None, lr: float | None, overrides: dict[str, Any]
    ) -> training_pb2.TrainingRequest:
        """Checks what can be checked here before the model, which may be large, is sent."""
        request = training_pb2.TrainingRequest()
        request.CopyFrom(self._settings)
        request.nb_epochs = positive("nb_epochs", nb_epochs)
        if eps is not None:
            request.epsilon = positive("eps", eps)
        elif self.remote_dataset.privacy_limit is not None:
            raise errors.InvalidArgument(
                f"eps is missing: the dataset has a limit of {self.remote_dataset.privacy_limit:g}",
                next="give fit the part of it that this run may spend",
            )
        for name, value in overrides.items():
            if value is not None:
                setattr(request, name, count(name, value) if name.endswith("batch_size") else positive(name, value))
        optimizer = self._optimizer if lr is None else dataclasses.replace(self._optimizer, lr=positive("lr", lr))
        request.optimizer.CopyFrom(optimizer.to_message())
        return request
