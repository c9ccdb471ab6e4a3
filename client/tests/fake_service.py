"""What the services of the fake server have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import torch
from fake_refusals import Kind, abort

from bastionlab.v1 import dataset_pb2, training_pb2

if TYPE_CHECKING:
    from fake_server import FakeServer

NANO = 10**9
ATTO = 10**18
ENDED = (training_pb2.RUN_STATUS_COMPLETED, training_pb2.RUN_STATUS_FAILED, training_pb2.RUN_STATUS_CANCELLED)
Message = TypeVar("Message")


@dataclass
class StoredDataset:
    message: dataset_pb2.Dataset
    header: dataset_pb2.UploadDatasetHeader
    tensors: list[dict[str, torch.Tensor]]
    entries: list[dataset_pb2.BudgetEntry] = field(default_factory=list)

    def column(self, name: str) -> torch.Tensor:
        return torch.cat([batch[name] for batch in self.tensors])


def copy_of(message: Message) -> Message:
    copied: Any = type(message)()
    copied.CopyFrom(message)
    made: Message = copied
    return made


class Service:
    def __init__(self, server: FakeServer) -> None:
        self._s = server

    def _find(self, context: grpc.ServicerContext, table: dict[str, Message], key: str, what: str) -> Message:
        if key not in table:
            raise abort(context, Kind.KIND_NOT_FOUND, f"there is no such {what}", f"list what there is, {what}s change")
        return table[key]
