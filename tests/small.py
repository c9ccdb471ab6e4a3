"""Small datasets and models with which a run takes a second, or as long as a test wants."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

FEATURES = 8
CLASSES = 3


def dataset(records: int = 200, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(records, FEATURES, generator=generator)
    return TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(FEATURES, CLASSES)


class Slow(nn.Module):
    """Takes a good part of a second for a pass of eight records: time enough to kill something in the middle of a run.

    With a smaller width it is quicker, and the run may be waited for.
    """

    def __init__(self, width: int = 700) -> None:
        super().__init__()
        self.head = nn.Linear(FEATURES, CLASSES)
        self.register_buffer("wide", torch.ones(width, width))

    def forward(self, x: Tensor) -> Tensor:
        busy = self.wide * x.mean()  # of the record, so that it cannot be computed once for all
        for _ in range(12):
            busy = torch.tanh(busy @ self.wide)
        return self.head(x) + 0.0 * busy.mean()
