"""client.torch: private training of PyTorch models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bastionlab._session import Session
from bastionlab.torch._audit import AuditLog, fetch_audit
from bastionlab.torch._dataset import RemoteDataset as Dataset
from bastionlab.torch._dataset import upload
from bastionlab.torch._learner import RemoteLearner as Learner
from bastionlab.torch._permissions import Permissions
from bastionlab.torch._run import Run
from bastionlab.torch.optimizer import Adam, Optimizer
from bastionlab.v1 import dataset_pb2, training_pb2


class TorchClient:
    """What owners and scientists do; reached as ``client.torch``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def RemoteDataset(
        self,
        train_dataset: Any,
        test_dataset: Any | None = None,
        privacy_limit: float | None = None,
        name: str | None = None,
        description: str = "",
        *,
        delta: float | None = None,
        declared_samples: int | None = None,
        public: Mapping[str, Any] | None = None,
        permissions: Permissions | None = None,
        progress: bool = True,
    ) -> Dataset:
        """Uploads a dataset with a limit on what may ever be learnt of one record.

        An item is ``(inputs, label)``: inputs a tensor, a list or tuple of tensors (passed by position) or a dict (passed by the
        names of ``forward``'s parameters); a dict item with ``label`` or ``labels`` is split.

        :param train_dataset: any map-style dataset
        :param test_dataset: kept beside it, with the same limit and an account of its own
        :param privacy_limit: the epsilon that all runs of all scientists together never pass; math.inf for no limit
        :param delta: None: the largest power of ten that is at most a tenth of 1/samples
        :param declared_samples: None: as many as there are, thereby published
        :param public: what you publish, for example ``{"classes": 2, "ranges": {"input_ids": (0, 30521)}}``
        :param permissions: who may do what with it; None: nobody but you, on a server in development mode everybody,
            without a GPU

        >>> import torch
        >>> from torch.utils.data import TensorDataset
        >>> rows = TensorDataset(torch.zeros(10, 4), torch.zeros(10, dtype=torch.int64))
        >>> client.torch.RemoteDataset(rows, privacy_limit=6.0, name="zeros", progress=False).nb_samples
        10
        """
        return upload(
            self._session,
            train_dataset,
            test_dataset,
            privacy_limit,
            name,
            description,
            delta,
            declared_samples,
            public,
            permissions,
            progress,
        )

    def RemoteLearner(
        self,
        model: torch.nn.Module,
        remote_dataset: Dataset,
        loss: str,
        max_batch_size: int,
        optimizer: Optimizer = Adam(),  # noqa: B008 - frozen
        *,
        model_name: str | None = None,
        description: str = "",
        batch_size: int | None = None,
        max_grad_norm: float = 1.0,
        device: str = "cpu",
        metrics: bool = True,
        release: str | None = None,
        constant_time: bool = False,
        progress: bool = True,
    ) -> Learner:
        """Puts a model beside a dataset. Nothing is sent before check, plan or fit.

        A module in evaluation mode is trained in training mode; one in training mode is taken as it is, so that single layers can
        be frozen with ``eval()``.

        :param loss: cross_entropy, bce_with_logits, l2 (also mse) or l1
        :param max_batch_size: how many records are in memory in one pass
        :param batch_size: the expected size of a Poisson-sampled step; None: the server chooses
        :param max_grad_norm: where each record's gradient is clipped
        :param device: what fit() computes on: "cpu", or "cuda" where the server has a GPU and the dataset's owner permits it. No
            evidence speaks of a GPU's memory. test() computes on the CPU
        :param metrics: whether the run releases a loss for every epoch; it costs no eps, and a little of each gradient's norm
        """
        return Learner(
            self._session,
            model,
            remote_dataset,
            loss,
            max_batch_size,
            optimizer,
            model_name=model_name,
            description=description,
            batch_size=batch_size,
            max_grad_norm=max_grad_norm,
            device=device,
            metrics=metrics,
            release=release,
            constant_time=constant_time,
            progress=progress,
        )

    def list_remote_datasets(self) -> list[Dataset]:
        """All datasets that may be seen, newest first.

        >>> [dataset.name for dataset in client.torch.list_remote_datasets()]
        ['digits']
        """
        answer = self._session.call(self._session.datasets.ListDatasets, dataset_pb2.ListDatasetsRequest())
        return [Dataset(self._session, message) for message in answer.datasets]

    def get_available_datasets(self) -> list[Dataset]:
        """The same as list_remote_datasets."""
        return self.list_remote_datasets()

    def runs(self) -> list[Run]:
        """Your own runs and those on your datasets, newest first.

        >>> client.torch.runs()
        []
        """
        answer = self._session.call(self._session.training.ListRuns, training_pb2.ListRunsRequest())
        return [Run(self._session, message) for message in answer.runs]

    def audit(self, dataset: Dataset | None = None) -> AuditLog:
        """Who did what, allowed or not: to your datasets, and what you did yourself; for operators, all.

        :param dataset: only what concerns this one

        >>> client.torch.audit()
        no entries
        """
        return fetch_audit(self._session, "" if dataset is None else dataset.identifier)

    def run(self, identifier: str) -> Run:
        """Finds a run again."""
        request = training_pb2.GetRunRequest(id=identifier)
        return Run(self._session, self._session.call(self._session.training.GetRun, request))
