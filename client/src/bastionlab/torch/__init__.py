"""Private training of PyTorch models: what ``client.torch`` gives and takes."""

from bastionlab.torch._audit import AuditEntry, AuditLog
from bastionlab.torch._budget import Budget, BudgetEntry, ScientistLimit
from bastionlab.torch._client import TorchClient
from bastionlab.torch._dataset import RemoteDataset
from bastionlab.torch._learner import RemoteLearner
from bastionlab.torch._measured import EpochMetrics, TestResult
from bastionlab.torch._permissions import Grant, Permissions
from bastionlab.torch._plan import TrainingPlan
from bastionlab.torch._public import PublicFacts
from bastionlab.torch._report import CapabilityReport, Parameter
from bastionlab.torch._run import Run
from bastionlab.torch._schema import Schema, TensorSpec
from bastionlab.torch.optimizer import SGD, Adam, AdamW

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "AuditEntry",
    "AuditLog",
    "Budget",
    "BudgetEntry",
    "CapabilityReport",
    "EpochMetrics",
    "Grant",
    "Parameter",
    "Permissions",
    "PublicFacts",
    "RemoteDataset",
    "RemoteLearner",
    "Run",
    "Schema",
    "ScientistLimit",
    "TensorSpec",
    "TestResult",
    "TorchClient",
    "TrainingPlan",
]
