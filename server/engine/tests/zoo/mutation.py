"""Honest programs that change tensors and containers in place: a straight line of pure operators must come to the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.case import Case, floats


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)


class ChangedAfterUse(Base):
    """The constant is one thing where it is first used and another later."""

    def forward(self, x: Tensor) -> Tensor:
        c = torch.zeros(3, dtype=x.dtype)
        y = self.layer(x) + c
        c.add_(1.0)
        return y * c


class VaryingAfterUse(Base):
    def forward(self, x: Tensor) -> Tensor:
        c = torch.zeros(1, 3, dtype=x.dtype)
        y = self.layer(x) + c
        c.add_(x[:, :3] + 1.0)
        return y * c


class WrittenThroughView(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y[:, 1].mul_(3.0)
        y[:, 2:] += 1.0
        return self.layer(y)


class ViewOfWritten(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        view = y[:, 1:3]
        y.add_(1.0)
        return self.layer(y) * view.sum()


class WrittenThroughTranspose(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        view = y.view(1, 2, 2).transpose(1, 2)[:, 0]
        view.mul_(x[:, :2])
        return self.layer(y)


class FilledStepByStep(Base):
    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(1, 4, dtype=x.dtype)
        for i in range(4):
            out[:, i] = x[:, 3 - i] * (i + 1)
        return self.layer(out)


class Rows(Base):
    def forward(self, x: Tensor) -> Tensor:
        rows = torch.zeros(2, 4, dtype=x.dtype)
        rows[0] = x[0]
        rows[1] = x[0].flip(0)
        return self.layer(rows).sum(0, keepdim=True)


class Masked(Base):
    def forward(self, x: Tensor) -> Tensor:
        weight = torch.ones_like(x)
        weight[:, 0] = 0.0
        weight.masked_fill_(x > 0, 2.0)
        return self.layer(x * weight)


class Chain(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).clone().add_(1.0).mul_(0.5).clamp_(-1.0, 1.0)


class DetachedAlias(Base):
    """The alias shares memory, so the write is seen, and the gradient does not know of it."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x) + 0.0
        alias = y.detach()
        alias.mul_(2.0)
        return y


class IndexAssigned(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[:, torch.tensor([0, 2])] = x[:, 1:3] * 5
        return self.layer(y)


class Containers(Base):
    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        parts.append(x * 2)
        parts[0] = parts[1] + 1
        table = {"a": parts.pop()}
        table["b"] = parts[0]
        table["a"] = table["a"] * table["b"]
        return self.layer(table["a"]) + self.layer(parts[-1])


class SharedList(Base):
    """Two names of one list."""

    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        same = parts
        same.append(x + 1)
        return self.layer(torch.stack(parts).sum(0))


MODELS: list[type[Base]] = [
    ChangedAfterUse,
    VaryingAfterUse,
    WrittenThroughView,
    ViewOfWritten,
    WrittenThroughTranspose,
    FilledStepByStep,
    Rows,
    Masked,
    Chain,
    DetachedAlias,
    IndexAssigned,
    Containers,
    SharedList,
]

CASES = [Case(f"in place: {model.__name__}", model, {"x": floats(4)}, floats(3), may_be_refused=True) for model in MODELS]
