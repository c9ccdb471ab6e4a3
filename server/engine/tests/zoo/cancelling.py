"""Models whose gradient is a small difference of large parts: what is measured and what is released may differ.

A record is `x` [1]; the loss is l1 against a label far below every output, so the gradient is that of the output. `scale` is the
size of the parts. In exact arithmetic the parts cancel but for rounding, and 100 * x of the rest is left.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POSITIONS = 33


class Base(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        weights = torch.randn(POSITIONS)
        weights[-1] = -weights[:-1].double().sum()
        self.register_buffer("parts", (scale * weights).view(1, POSITIONS, 1))
        self.register_buffer("same", (torch.rand(8) + 0.1).expand(1, POSITIONS, 8).clone())
        self.scale = scale

    def total(self, y: Tensor, x: Tensor) -> Tensor:
        """y is [1, positions, features]; the first feature's parts cancel, the second's are the record's."""
        return (y[:, :, :1] * self.parts).sum((1, 2)).unsqueeze(1) + 100 * x * y[:, 1, 1:2]


class TwoPositions(Base):
    """The attack that Opacus' ghost norms let through."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.layer = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(torch.ones(1, 2, 8, dtype=x.dtype))
        return (self.scale * y[:, 0, 1] - self.scale * y[:, 1, 1] + 100.0 * x[:, 0] * y[:, 1, 0]).unsqueeze(1)


class ManyPositions(Base):
    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.layer = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.total(self.layer(self.same), x)


class FewWidePositions(nn.Module):
    """Too wide to be written out per record: the norm comes from Gram matrices, and the sum from a product."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        weights = torch.randn(6)
        weights[-1] = -weights[:-1].double().sum()
        self.register_buffer("parts", (scale * weights).view(1, 6, 1))
        self.register_buffer("same", (torch.rand(96) + 0.1).expand(1, 6, 96).clone())
        self.layer = nn.Linear(96, 96, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(self.same)
        return (y * self.parts).sum((1, 2)).unsqueeze(1) + 100 * x * y[:, 1, 1:2]


class SmallTimesLarge(nn.Module):
    """Too wide to write out. The squares of one factor lie below the smallest float32, and those of the other make up for it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(96, 96, bias=False)
        nn.init.zeros_(self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        rows = (x.unsqueeze(1) * 0 + 1e14).expand(1, 6, 96)
        return (self.layer(rows) * 1e-21).sum((1, 2)).unsqueeze(1)


class FewWideWindows(FewWidePositions):
    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.layer = nn.Conv1d(96, 96, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(self.same.transpose(1, 2)).transpose(1, 2)
        return (y * self.parts).sum((1, 2)).unsqueeze(1) + 100 * x * y[:, 1, 1:2]


class Bias(Base):
    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.layer = nn.Linear(8, 8)
        self.layer.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.total(self.layer(self.same), x)


class Convolution(Base):
    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.layer = nn.Conv1d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.total(self.layer(self.same.transpose(1, 2)).transpose(1, 2), x)


class Embedding(Base):
    """All positions look up the same row."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.layer = nn.Embedding(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.total(self.layer(torch.ones(1, POSITIONS, dtype=torch.int64)), x)


class Norm(Base):
    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.layer = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.total(self.layer(self.same), x)


class Broadcast(Base):
    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.shift = nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.total(self.same + self.shift, x)


class Matmul(Base):
    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.weight = nn.Parameter(torch.randn(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.total(self.same @ self.weight, x)


class TiedUses(Base):
    """Each use's part is large, and the sum of the uses is not."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        total = 100 * x * self.layer(self.same)[:, 1, 1:2]
        for position in range(POSITIONS):
            use = F.linear(self.same[:, position], self.layer.weight, self.layer.bias)
            total = total + use[:, :1] * self.parts[:, position]
        return total


class TiedEmbedding(Base):
    """The embedding's own gradient against that of the head it is tied to."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.rows = nn.Embedding(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        up = self.rows(torch.ones(1, 1, dtype=torch.int64))[:, 0, :1]
        first = torch.zeros(1, 8, dtype=x.dtype)
        first[:, 0] = 1.0
        down = F.linear(first, self.rows.weight)[:, 1:2]
        return self.scale * up - self.scale * down + 100 * x * self.rows(torch.zeros(1, 1, dtype=torch.int64))[:, 0, 1:2]


class Underflow(nn.Module):
    """Two huge parts that cancel: once scaled, the smaller of them is below the smallest float32 and the other is not."""

    def __init__(self, row: float) -> None:
        super().__init__()
        self.layer, self.row = nn.Linear(1, 1, bias=False), row
        nn.init.constant_(self.layer.weight, 1e-3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer((x.unsqueeze(-1) * 0 + 1) * self.row).squeeze(-1)
        return (y * torch.tensor([1.01e-20, -1e-20])).sum(-1, keepdim=True)


CANCELLING: list[type[nn.Module]] = [
    TwoPositions,
    ManyPositions,
    FewWidePositions,
    FewWideWindows,
    Bias,
    Convolution,
    Embedding,
    Norm,
    Broadcast,
    Matmul,
    TiedUses,
    TiedEmbedding,
]
