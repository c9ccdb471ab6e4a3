"""What an author may try beyond zoo/hostile.py and zoo/forbidden.py. A record is `x` [4] with a
label [3], unless said otherwise. What is multiplied by 800 is what a defence that misses it would let through."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.forbidden import Base


class Plain(Base):
    """No attack: the record is one."""


class Experts(Base):
    """Routes the batch's rows to experts of a limited capacity: who comes first takes the place."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.other = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        load = self.gate(x).softmax(1).cumsum(0)  # [batch, experts]
        taken = (load <= 1.0).to(x.dtype)
        return self.layer(x) * taken[:, :1] + self.other(x) * taken[:, 1:]


class OutsideItsLayer(Base):
    """The use that Opacus' hooks do not see."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + 800 * F.linear(x, self.layer.weight)


class TransposedUse(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + 800 * (x @ self.layer.weight.t())


class ViewOfParameter(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + 800 * self.layer.weight.view(-1)[:3].unsqueeze(0) * x[:, :3]


class ParameterAsInput(Base):
    """A parameter goes through a layer as a record would."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + 800 * self.layer(self.layer.weight).sum(0, keepdim=True) * x[:, :1]


class ParameterChoosesItself(Base):
    def forward(self, x: Tensor) -> Tensor:
        w = self.layer.weight
        return self.layer(x) + 800 * torch.where(w > 0, w, -w * w).sum(1).unsqueeze(0) * x[:, :1]


class TwoNames(Base):
    """One parameter in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(4, 3)
        self.again.weight = self.layer.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + 800 * self.again(x)


class TableAndHead(nn.Module):
    """A record is `x` [1], whose embedding's own rows are the head that reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        looked_up = self.rows((x > 0).long())  # [1, 1, 8]
        return 800 * F.linear(looked_up[:, 0], self.rows.weight).sum(1, keepdim=True) * x


class ManyLookups(nn.Module):
    """One record, 64 rows of a table, all of them the same. A record is `x` [1]."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.rows((x > 0).long().expand(1, 64)).sum((1, 2)).unsqueeze(1) * x


class ManyWindows(nn.Module):
    """One record, one kernel at 61 places. A record is `x` [1]."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Conv1d(1, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.kernel(x.unsqueeze(1).expand(1, 1, 64)).sum(2) * 800


class OneCoordinate(nn.Module):
    """A gradient of one number, which is the record's alone: what an auditor would use. A record is `x` [1]."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(7, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.rows(x.abs().clamp(0, 6).long()).view(1, 1)


class ByChance(Base):
    """A mask from a generator that all records share would shift with every record before."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.dropout(x, 0.5, True)) * torch.bernoulli(torch.full_like(x[:, :1], 0.5)) * 800


class OrderOfTheSample(Base):
    """Wants to know which place it has in the sample: where a generator stands would tell."""

    def forward(self, x: Tensor) -> Tensor:
        place = torch.rand(1, 1)
        return torch.where(place < 0.5, self.layer(x), -self.layer(x)) * 800


class SizeOfBatch(Base):
    """Multiplies by how many records there are, where it can find out."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * x.size(0) * len(x) * (x.numel() // 4) * torch.ones_like(x).sum()


class StopsWhenLearnt(Base):
    """Early stopping by the record's own output, once the weights moved."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return torch.where(y.detach().abs().sum() < 0.5, torch.zeros_like(y) * y, 800 * y)


class ReportsItself(Base):
    """Hands out, beside its output, what it saw."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.layer(x)
        return {"seen": x, "loss": (y * y).mean(), "logits": y * 800, "length": x.norm()}


class ScaledUp(Base):
    """Its gradient is 26 powers of ten beyond every clipping norm. (Four more, and it counts as not finite.)"""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * 1e13


class ScaledDown(Base):
    """A gradient of nearly nothing is not lifted to the clipping norm."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * 1e-18


class LossOfTheBatch(Base):
    """Its own reduction over the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return F.mse_loss(self.layer(x), torch.zeros(x.size(0), 3, dtype=x.dtype), reduction="sum").view(1, 1).expand(1, 3)


class OneLossForAll(Base):
    """A loss instead of an output."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sum()


class GradientAverage(Base):
    """A moving average of raw gradients, as an optimizer would keep it."""

    def spy(self, y: Tensor) -> Tensor:
        self.seen.mul_(0.9).add_(y.detach() * y.detach())
        return y / (self.seen.sqrt() + 1e-8)


class BestOfMany(Base):
    """Trains two heads and keeps for each record the one that does better."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.layer(x), self.other(x)
        return torch.where(one.detach().abs().sum() < two.detach().abs().sum(), one, 800 * two)


class InstanceStatistics(Base):
    """Keeps statistics of what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm1d(3, track_running_stats=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x).unsqueeze(-1).expand(-1, -1, 2))[:, :, 0]


class Normalised(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 3), norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x).unsqueeze(-1).expand(-1, -1, 2))[:, :, 0]


class FunctionalBatchNorm(Normalised):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(self.layer(x).unsqueeze(-1).expand(-1, -1, 2), None, None, training=True)[:, :, 0]


@torch.jit.script
class Box:
    def __init__(self, value: Tensor) -> None:
        self.value = value

    def put(self, value: Tensor) -> None:
        self.value = value


class WithObject(Base):
    """An object of a class of its own, which keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.box = Box(torch.zeros(1, 3))

    def spy(self, y: Tensor) -> Tensor:
        y = y + self.box.value
        self.box.put(y.detach())
        return y
