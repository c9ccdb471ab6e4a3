"""The calls of the protocol by name, apart from any connection, so that a call can be made again on another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bastionlab._version import PROTOCOL, __version__
from bastionlab.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    training_pb2,
    training_pb2_grpc,
)

# What changes nothing, or the same when it is done twice: made again where it is not known whether it arrived.
REPEATABLE = frozenset(
    {
        "DownloadWeights",
        "GetBudget",
        "GetDataset",
        "GetRun",
        "GetUpload",
        "ListAudit",
        "ListClosings",
        "ListDatasets",
        "ListReceipts",
        "ListRuns",
        "PlanTest",
        "PlanTraining",
        "PresentReceipts",
        "UploadModel",
        "WatchRun",
    }
)


@dataclass(frozen=True)
class Method:
    """To be bound to a link."""

    stub: type
    name: str

    @property
    def is_repeatable(self) -> bool:
        return self.name in REPEATABLE


class Service:
    """The methods of a service, as attributes."""

    def __init__(self, module: Any, name: str, stub: type) -> None:
        self._methods = {each.name: Method(stub, each.name) for each in module.DESCRIPTOR.services_by_name[name].methods}

    def __getattr__(self, name: str) -> Method:
        try:
            return self._methods[name]
        except KeyError:
            raise AttributeError(f"the protocol has no call {name}") from None

    def __iter__(self) -> Any:
        return iter(self._methods.values())


AUDIT = Service(audit_pb2, "AuditService", audit_pb2_grpc.AuditServiceStub)
DATASETS = Service(dataset_pb2, "DatasetService", dataset_pb2_grpc.DatasetServiceStub)
LEDGER = Service(ledger_pb2, "LedgerService", ledger_pb2_grpc.LedgerServiceStub)
MODELS = Service(model_pb2, "ModelService", model_pb2_grpc.ModelServiceStub)
SESSIONS = Service(session_pb2, "SessionService", session_pb2_grpc.SessionServiceStub)
TRAINING = Service(training_pb2, "TrainingService", training_pb2_grpc.TrainingServiceStub)


def metadata(token: str | None = None) -> list[tuple[str, str]]:
    """What every call carries."""
    pairs = [("bastionlab-protocol", str(PROTOCOL)), ("bastionlab-client", __version__)]
    if token is not None:
        pairs.append(("authorization", f"Bearer {token}"))
    return pairs
