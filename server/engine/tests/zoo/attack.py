"""An attack: a model of a hostile author, the records it is tried on, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from abi import Status
from archive import Form
from records import Record, Schema


class Row(Enum):
    """The ways to break the claim that are known from the literature and from attacks on other libraries."""

    MIXING = "normalisation, attention, sorting, routing over the batch"
    STATE = "buffers, in-place state, attributes, running statistics, changed parameters"
    BRANCH = "control flow and shapes that depend on data"
    FAILURE = "errors, asserts and exhausted memory on some data"
    NOT_FINITE = "a record, an activation or a loss that is no number"
    UNSEEN_USE = "a use of a parameter that nobody measures"
    CANCELLATION = "numbers so large or small that the measured norm is not the true one"
    SIDE_OUTPUT = "gradients, files, printing, generators, libraries inside the script"
    RANDOMNESS = "a generator that records share"
    PASS_SHAPE = "kernels that compute otherwise beside others, and models that amplify it"
    MANY_ROWS = "one record that takes part many times"
    SAMPLING = "the order and the choice of records"
    NORMALISER = "the size of the batch or of the dataset"
    ADAPTIVE = "training that stops by what it sees"
    UNNOISED = "losses, outputs and norms beside the weights"
    TIMING = "work that takes as long as the data want"
    WORST_USE = "a gradient that is one record's alone"
    LOSS = "reductions and scales of the loss"
    OPTIMIZER_STATE = "averages of gradients that have no noise"
    COLLUSION = "what another user's run left behind"
    SELECTION = "the best of many models"


@dataclass(frozen=True)
class Ground:
    """Records that a model of one signature is tried on: ordinary ones, and those of which one is added."""

    others: Sequence[Record]
    worst: Sequence[Record]

    def to(self, dtype: torch.dtype) -> Ground:
        return Ground([record.to(dtype) for record in self.others], [record.to(dtype) for record in self.worst])

    @property
    def schema(self) -> Schema:
        return Schema.of(self.others[0])


@dataclass(frozen=True, eq=False)
class Attack:
    name: str
    row: Row
    build: Callable[[], nn.Module]
    ground: Ground
    refused: tuple[str, ...] | None = None  # operators, of which the refusal names one ("" for none); None: it is admitted
    status: Status = Status.INCOMPATIBLE_MODEL
    loss: str = "l2"
    form: Form = "script"
    dtype: torch.dtype = torch.float64
    repeats: bool = False  # its pass fails on one of the worst records, and is repeated
    reaches_bound: bool = False  # one of the worst records counts as much as a record may

    @property
    def records(self) -> Ground:
        return self.ground.to(self.dtype)

    def module(self) -> nn.Module:
        torch.manual_seed(7)
        return self.build().to(self.dtype)


def record(x: Sequence[float], label: Sequence[float], **ids: Sequence[int]) -> Record:
    inputs: dict[str, Tensor] = {"x": torch.tensor(x, dtype=torch.float64)}
    inputs |= {name: torch.tensor(value) for name, value in ids.items()}
    return Record(inputs, torch.tensor(label, dtype=torch.float64))
